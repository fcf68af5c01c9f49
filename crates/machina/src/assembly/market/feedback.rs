//! What the market says of its workers on the chain, in the reputation registry of ERC-8004: one word
//! for each piece of evidence, by money ([`::market::reputation::words`]), from the market's own key.
//!
//! A word is the part of the checked work that passed, in per cent; its file, at `/market/feedback/…`,
//! has the receipts that it stands on, and the registry keeps the file's hash. So anyone who has the
//! chain and the files computes every record again ([`::market::reputation::replay`]), and whoever
//! trusts the market's checks names the market as the client to be counted; words of others count for
//! nothing here. Nothing at the market depends on what is on the chain.
//!
//! **Once.** Which word is next follows from how many are on the chain; an interruption loses nothing and
//! says nothing twice. A worker without an agent is spoken of when it has one, and then on that one alone,
//! for agents change hands: who gives it away is spoken of no more. One that makes the
//! market's key an operator of its agent cannot be spoken of there (the registry refuses), and its
//! words stay missing, which a reader sees: the receipts are public.
//!
//! Bounds: one word at a time, [`AT_A_TIME`] of one worker before the next worker's turn; who cannot be
//! spoken of is tried again after [`FIRST_PAUSE`], then twice as long each time up to
//! [`LONGEST_PAUSE`]. On a chain of others nothing is said: that costs money.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::market::reputation::trust::eigentrust;
use ::market::reputation::words::{Word, Words};
use ::market::reputation::{Counts, Receipt, beta, replay};
use ::market::{Party, Skill, State};
use ::money::{Amount, Timestamp};
use alloy_primitives::Address;
use protocol::feedback::{FeedbackFile, SUCCESS_RATE, account_name, agents_of, file_hash};
use serde::{Deserialize, Serialize};
use settlement::Settlement;
use settlement::registries::{Feedback, Word as SaidBefore};
use tokio::sync::broadcast::error::RecvError;

use super::{LOOK_EVERY, Market};
use crate::failure::Failure;
use crate::report::SkillStanding;

/// How many words of one worker are said before the next worker's turn.
const AT_A_TIME: u64 = 16;
/// How long who cannot be spoken of is let alone at first.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// The most parties that are told of at once.
const MOST_LISTED: usize = 256;
/// How long who asks for receipts waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);
/// Words are hundredths of a per cent.
const DECIMALS: u8 = 2;
/// How a file says what its evidence is.
const EVIDENCE: &str = "machina/receipts/1";

/// What a word stands on, in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What this is, with its version: bytes that were hashed once never change.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose work.
    pub worker: Party,
    /// Of which skill.
    pub skill: Skill,
    /// Which word of this worker's in this skill, from 1.
    pub word: u64,
    /// What checks have found, in order.
    pub receipts: Vec<Receipt>,
}

/// What is known of what was said.
#[derive(Default)]
pub struct Speech {
    words: Mutex<Words>,
    /// How far each record is told.
    told: Mutex<HashMap<(Party, Skill), Told>>,
    /// On which agent each worker is spoken of, as the chain has it; `None` until it was asked.
    agents: Mutex<Option<HashMap<Party, u64>>>,
    /// One says at a time: words of one client follow on one another.
    turn: tokio::sync::Mutex<()>,
    /// Who asks how a party stands has all receipts and the chain's events looked through: one at a time.
    asked: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone, Copy)]
struct Told {
    words: u64,
    again_at: Timestamp,
    pause: Duration,
}

/// Whose work a word is about, by where its file is ([`path`]).
fn worker_of(uri: &str) -> Option<Party> {
    let (_, path) = uri.split_once("/market/feedback/")?;
    path.split('/').nth(1)?.parse().ok()
}

/// Where the file of a word is, below the economy's address.
fn path(agent: u64, worker: Party, number: u64, tag: &str) -> String {
    format!("/market/feedback/{agent}/{worker}/{number}?skill={tag}")
}

/// The agent on which a worker is spoken of, by those on which workers were: always the first, for
/// agents can be given away and made anew, and a word that was said elsewhere would be said again. Of
/// its own, one on which nobody else was spoken of.
fn agent_among(spoken: &HashMap<Party, u64>, worker: Party, own: &[u64]) -> Option<u64> {
    let another_s = |agent: &u64| spoken.values().any(|taken| taken == agent);
    spoken.get(&worker).copied().or_else(|| own.iter().copied().find(|a| !another_s(a)))
}

/// What a skill is called in the registry: by its name where the market knows it, else by its
/// digits.
pub fn tag(skill: Skill) -> String {
    foreman::Service::of(skill)
        .map_or_else(|| skill.to_string(), |service| service.name().to_owned())
}

/// The skill that is called so.
fn skill_of(tag: &str) -> Skill {
    tag.parse().unwrap_or_else(|_| Skill::derive(&[tag.as_bytes()]))
}

/// The file of a word, as its bytes are hashed.
fn file(chain_id: u64, market: Address, agent: u64, skill: &str, word: &Word) -> Vec<u8> {
    let receipts = &word.receipts;
    let file = FeedbackFile {
        agent_registry: agents_of(chain_id),
        agent_id: agent,
        client_address: account_name(chain_id, market),
        // The last of what it stands on, and no clock of ours: the same file whenever it is made.
        created_at: receipts.last().map_or(Timestamp::default(), |receipt| receipt.at).to_string(),
        value: i64::try_from(word.worth.value()).expect("at most a hundred per cent"),
        value_decimals: DECIMALS,
        tag1: SUCCESS_RATE.into(),
        tag2: skill.into(),
        evidence: Evidence {
            kind: EVIDENCE.into(),
            worker: receipts.first().map_or(Party::new([0; 20]), |receipt| receipt.worker),
            skill: skill_of(skill),
            word: word.number,
            receipts: receipts.clone(),
        },
    };
    serde_json::to_vec(&file).expect("names and numbers")
}

impl Market {
    fn word(&self, worker: Party, skill: Skill, number: u64) -> Option<Word> {
        self.with_words(|words, receipts| words.word(receipts, worker, skill, number))
    }

    fn with_words<T>(&self, look: impl FnOnce(&Words, &[Receipt]) -> T) -> T {
        self.desk.read(|state| {
            let mut words = self.speech.words.lock().expect("nothing panics under this lock");
            words.read(state.receipts(), state.rules());
            look(&words, state.receipts())
        })
    }

    fn file_of(&self, agent: u64, skill: &str, word: &Word) -> Vec<u8> {
        let chain_id = self.parts.chain.token().chain_id;
        file(chain_id, self.party().into(), agent, skill, word)
    }

    /// On which agent each worker was spoken of first, as the chain's events tell.
    async fn spoken_of(&self, registrar: &Settlement) -> Result<HashMap<Party, u64>, Failure> {
        let known = || self.speech.agents.lock().expect("nothing panics under this lock");
        if let Some(agents) = &*known() {
            return Ok(agents.clone());
        }
        let mut agents = HashMap::new();
        for said in registrar.feedback_events_by(self.party().into(), 0).await? {
            if let Some(worker) = worker_of(&said.word.uri) {
                agents.entry(worker).or_insert(said.word.agent);
            }
        }
        // Whoever was here first may have added to it.
        Ok(known().get_or_insert(agents).clone())
    }

    /// The agent on which a worker is spoken of, or will be; `None` if it has none of its own.
    async fn agent_of(
        &self,
        registrar: &Settlement,
        worker: Party,
    ) -> Result<Option<u64>, Failure> {
        let spoken = self.spoken_of(registrar).await?;
        let own = match spoken.contains_key(&worker) {
            true => Vec::new(),
            false => registrar.agents_of(worker.into()).await?,
        };
        Ok(agent_among(&spoken, worker, &own))
    }

    /// What the market has said of an agent's skill, in order, whatever it was called then: a skill that
    /// got a name later is the same.
    async fn said(
        &self,
        registrar: &Settlement,
        agent: u64,
        skill: Skill,
    ) -> Result<Vec<SaidBefore>, Failure> {
        let me = vec![self.party().into()];
        let mut said = registrar.feedback(agent, me, SUCCESS_RATE, "").await?;
        said.retain(|word| skill_of(&word.tag2) == skill);
        Ok(said)
    }

    /// The file behind a word that the market has said of an agent under this name of a skill; `None` if
    /// it has said none such.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn feedback_file(
        self: &Arc<Self>,
        agent: u64,
        worker: Party,
        skill: &str,
        number: u64,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(registrar) = &self.parts.registrar else { return Ok(None) };
        let _turn = self.turn_to_ask().await?;
        if self.spoken_of(registrar).await?.get(&worker) != Some(&agent) {
            return Ok(None);
        }
        let (market, called) = (Arc::clone(self), skill_of(skill));
        let word = tokio::task::spawn_blocking(move || market.word(worker, called, number)).await;
        let Some(word) = word.map_err(Failure::new)? else { return Ok(None) };
        let said = self.said(registrar, agent, skill_of(skill)).await?.len() as u64;
        Ok((number <= said).then(|| self.file_of(agent, skill, &word)))
    }

    /// Says all words that are due: whether some wait to be said.
    async fn say_words(&self) -> bool {
        let Some(registrar) = &self.parts.registrar else { return false };
        let _turn = self.speech.turn.lock().await;
        let now = self.parts.clock.now();
        let told = |key: &(Party, Skill)| {
            let told = self.speech.told.lock().expect("nothing panics under this lock");
            told.get(key).copied().unwrap_or_default()
        };
        let due: Vec<(Party, Skill, u64)> = self.with_words(|words, _| {
            words.all().filter(|(party, skill, n)| told(&(*party, *skill)).words < *n).collect()
        });
        let mut waits = false;
        for (worker, skill, count) in due {
            let mut told = told(&(worker, skill));
            if now < told.again_at {
                waits = true;
                continue;
            }
            match self.say_of(registrar, worker, skill, count).await {
                Ok(words) => told = Told { words, ..Told::default() },
                Err(failure) => {
                    told.pause = (2 * told.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    told.again_at = now.plus(told.pause);
                    tracing::info!(%worker, error = failure.message, "a word waits to be said");
                }
            }
            waits |= told.words < count;
            let mut all = self.speech.told.lock().expect("nothing panics under this lock");
            all.insert((worker, skill), told);
        }
        waits
    }

    /// Says what is due of one worker's skill: how many words of it are said now.
    async fn say_of(
        &self,
        registrar: &Settlement,
        worker: Party,
        skill: Skill,
        count: u64,
    ) -> Result<u64, Failure> {
        let me: Address = self.party().into();
        let agent = self.agent_of(registrar, worker).await?;
        let agent = agent.ok_or_else(|| Failure::new("it has no agent of its own yet"))?;
        let owner = registrar.agent(agent).await?.map(|agent| agent.owner);
        if owner != Some(worker.into()) {
            return Err(Failure::new("it has given away the agent on which it was spoken of"));
        }
        let tag = tag(skill);
        let said = self.said(registrar, agent, skill).await?.len() as u64;
        let mut all = registrar.feedback_count(agent, me).await?;
        let last = count.min(said.saturating_add(AT_A_TIME));
        for number in said + 1..=last {
            let Some(word) = self.word(worker, skill, number) else { break };
            let path = path(agent, worker, number, &tag);
            all += 1;
            let word = Feedback {
                agent,
                number: all,
                value: word.worth.value(),
                decimals: DECIMALS,
                tag1: SUCCESS_RATE.into(),
                tag2: tag.clone(),
                endpoint: String::new(),
                uri: format!("{}{path}", self.parts.base),
                hash: file_hash(&self.file_of(agent, &tag, &word)),
            };
            let given = registrar.give_feedback(me, &word).await;
            let mut known = self.speech.agents.lock().expect("nothing panics under this lock");
            match given {
                Ok(_) => known.get_or_insert_default().entry(worker).or_insert(agent),
                Err(error) => {
                    // It may be said, or not: the chain is asked before the next.
                    *known = None;
                    return Err(error.into());
                }
            };
        }
        Ok(last.max(said))
    }

    /// Says words as checks end, until the economy is closed.
    pub(super) fn follow_receipts(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(market) = market.upgrade() else { return };
                let waits = market.say_words().await;
                drop(market);
                loop {
                    let next = changes.recv();
                    let change = match waits {
                        true => tokio::time::timeout(LOOK_EVERY, next).await,
                        false => Ok(next.await),
                    };
                    match change {
                        Ok(Err(RecvError::Closed)) => return,
                        // Money moves when a job ends; most changes are of other kinds.
                        Ok(Ok(change)) if change.effects.is_empty() => {}
                        Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => break,
                    }
                }
            }
        })
    }

    /// The turn of who asks for what has to be looked for among all receipts; they are many.
    async fn turn_to_ask(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Failure> {
        let turn = tokio::time::timeout(LONGEST_TURN, self.speech.asked.lock()).await;
        turn.map_err(|_| Failure::new("too many ask for receipts now: ask again in a moment"))
    }

    /// Receipts in which a party worked or did work again to check it, or all, newest first: after so
    /// many that are left out, at most so many.
    ///
    /// # Errors
    /// If too many ask.
    pub async fn receipts(
        &self,
        party: Option<Party>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Receipt>, Failure> {
        let _turn = self.turn_to_ask().await?;
        let desk = self.desk.clone();
        let look = move || {
            desk.read(|state| {
                let receipts = state.receipts().iter().rev();
                let shown = |receipt: &&Receipt| party.is_none_or(|party| shows(receipt, party));
                receipts.filter(shown).skip(skip).take(limit).cloned().collect()
            })
        };
        tokio::task::spawn_blocking(look).await.map_err(Failure::new)
    }

    /// Who has worked in a job that was checked, or done one again to check it; the latest
    /// [`MOST_LISTED`].
    pub fn checked(&self) -> Vec<Party> {
        let mut seen = BTreeSet::new();
        self.desk.read(|state| {
            let seats = |receipt: &Receipt| {
                let worked = receipt.checkers.iter().filter(|seat| seat.worked);
                std::iter::once(receipt.worker)
                    .chain(worked.map(|seat| seat.checker))
                    .collect::<Vec<_>>()
            };
            let parties = state.receipts().iter().rev().flat_map(seats);
            parties.filter(|party| seen.insert(*party)).take(MOST_LISTED).collect()
        })
    }

    /// How the trust in these parties flows to others along paid, checked work.
    ///
    /// # Errors
    /// None that could be mended.
    pub async fn trust(&self, trusted: &[Party]) -> Result<BTreeMap<Party, f64>, Failure> {
        let (desk, trusted) = (self.desk.clone(), trusted.to_vec());
        let flow = tokio::task::spawn_blocking(move || {
            let receipts = desk.read(|state| state.receipts().to_vec());
            eigentrust(&receipts, &trusted)
        });
        flow.await.map_err(Failure::new)
    }

    /// What checks have shown of a party, skill by skill: as the market counts it, computed anew from
    /// the receipts, and compared with what is on the chain.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn reputation(&self, party: Party) -> Result<Vec<SkillStanding>, Failure> {
        let _turn = self.turn_to_ask().await?;
        let look = move |state: &State| {
            let of_party = state.receipts().iter().filter(|receipt| shows(receipt, party));
            let receipts: Vec<Receipt> = of_party.cloned().collect();
            let skills: BTreeSet<Skill> = receipts.iter().map(|receipt| receipt.skill).collect();
            let anew = replay(&receipts, state.rules(), state.now());
            let shown: Vec<(Skill, Counts, Counts, Vec<Receipt>)> = skills
                .into_iter()
                .map(|skill| {
                    let anew = anew.get(&(party, skill)).copied().unwrap_or_default();
                    let mine = receipts.iter().filter(|receipt| receipt.skill == skill);
                    (skill, state.record(party, skill), anew, mine.cloned().collect())
                })
                .collect();
            (state.now(), shown)
        };
        let desk = self.desk.clone();
        let looked = tokio::task::spawn_blocking(move || desk.read(look)).await;
        let (now, shown) = looked.map_err(Failure::new)?;
        let agent = match &self.parts.registrar {
            Some(registrar) => self.agent_of(registrar, party).await?,
            None => None,
        };
        let asset = self.parts.chain.token().asset;
        let mut standings = Vec::new();
        for (skill, counts, anew, receipts) in shown {
            let worked = receipts.iter().filter(|receipt| receipt.worker == party);
            let paid: i128 = worked.clone().map(|receipt| receipt.price.minor()).sum();
            let interval = beta::interval(counts, 0.95);
            let ppm = |share: f64| (share * 1e6) as u32;
            let mut standing = SkillStanding {
                skill: tag(skill),
                at: now,
                passed: counts.passed,
                failed: counts.failed,
                mean_ppm: counts.mean(),
                low_ppm: ppm(interval.low),
                high_ppm: ppm(interval.high),
                jobs: worked.count() as u64,
                checks: receipts.iter().filter(|receipt| receipt.worker != party).count() as u64,
                checked: Amount::from_minor(asset, paid),
                computed_passed: anew.passed,
                computed_failed: anew.failed,
                agent,
                words: 0,
                words_due: 0,
                jobs_in_words: 0,
                differences: Vec::new(),
            };
            if counts != anew {
                standing.differences.push("the receipts say otherwise than the market".into());
            }
            self.compare_words(party, skill, &mut standing).await?;
            standings.push(standing);
        }
        Ok(standings)
    }

    /// Compares what the chain has of a worker's skill with what its receipts say.
    async fn compare_words(
        &self,
        worker: Party,
        skill: Skill,
        standing: &mut SkillStanding,
    ) -> Result<(), Failure> {
        standing.words_due = self.with_words(|words, _| words.count(worker, skill));
        let (Some(registrar), Some(agent)) = (&self.parts.registrar, standing.agent) else {
            return Ok(());
        };
        let me: Address = self.party().into();
        let said = self.said(registrar, agent, skill).await?;
        let events = registrar.feedback_events(agent, me, 0).await?;
        let mut faults = Vec::new();
        for (number, kept) in (1..).zip(&said) {
            let event = events.iter().find(|event| event.word.number == kept.number);
            let word = self.word(worker, skill, number);
            let fault = match (event, word) {
                (_, None) => "no receipts stand behind it",
                (None, _) => "no event tells of it",
                _ if kept.revoked => "it was taken back",
                (Some(_), Some(word))
                    if (kept.value, kept.decimals) != (word.worth.value(), DECIMALS) =>
                {
                    "its receipts say another value"
                }
                (Some(event), Some(word)) => {
                    if event.word.hash == file_hash(&self.file_of(agent, &kept.tag2, &word)) {
                        continue;
                    }
                    "its file has another hash"
                }
            };
            faults.push(format!("word {number} on the chain: {fault}"));
        }
        standing.differences.extend(faults);
        standing.words = said.len() as u64;
        let (told, _) = self.with_words(|words, _| words.receipts(worker, skill, standing.words));
        standing.jobs_in_words = told as u64;
        Ok(())
    }
}

/// Whether a receipt shows something of a party's own work.
fn shows(receipt: &Receipt, party: Party) -> bool {
    let checked = receipt.checkers.iter().any(|seat| seat.worked && seat.checker == party);
    receipt.worker == party || checked
}

#[cfg(test)]
mod tests {
    use ::market::JobId;
    use ::market::reputation::words::Worth;
    use ::money::Asset;

    use super::*;

    #[test]
    fn a_skill_is_called_by_its_name_and_found_by_it() {
        let known = Skill::derive(&[b"vision/classify"]);
        assert_eq!(tag(known), "vision/classify");
        let unknown = Skill::derive(&[b"weather/foretell"]);
        assert_eq!(tag(unknown).len(), 32);
        for skill in [known, unknown] {
            assert_eq!(skill_of(&tag(skill)), skill);
        }
    }

    #[test]
    fn a_worker_is_spoken_of_on_one_agent_and_an_agent_speaks_of_one_worker() {
        let [one, other] = [1, 2].map(|n| Party::new([n; 20]));
        let nobody = HashMap::new();
        assert_eq!(agent_among(&nobody, one, &[4, 9]), Some(4));
        assert_eq!(agent_among(&nobody, one, &[]), None);
        let uri = format!("http://localhost:4020{}", path(4, one, 1, "vision/classify"));
        assert_eq!(worker_of(&uri), Some(one));
        let spoken = HashMap::from([(one, 4)]);
        // Given away, with a new one in its place: it stays with the first.
        assert_eq!(agent_among(&spoken, one, &[9]), Some(4));
        // And who got it gets no words of another's.
        assert_eq!(agent_among(&spoken, other, &[4, 7]), Some(7));
        assert_eq!(agent_among(&spoken, other, &[4]), None);
    }

    /// What the registry keeps the hash of must never change: words that were said would be worth
    /// nothing.
    #[test]
    fn a_file_has_the_same_bytes_for_ever() {
        let musd = |minor| Amount::from_minor(Asset::MUSD, minor);
        let receipt = Receipt {
            job: JobId::from_u128(10),
            at: Timestamp::from_millis(1_795_000_000_123),
            skill: Skill::derive(&[b"vision/classify"]),
            client: Party::new([1; 20]),
            worker: Party::new([2; 20]),
            price: musd(12_000),
            fee: musd(120),
            checker_fee: musd(200),
            passed: true,
            checkers: Vec::new(),
        };
        let worth = Worth { checked: 12_000, passed: 12_000 };
        let word = Word { number: 1, worth, receipts: vec![receipt] };
        let bytes = file(402_402, Address::repeat_byte(9), 5, "vision/classify", &word);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text, include_str!("feedback.json").trim_end(), "{text}");
        let read: FeedbackFile<Evidence> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.value, 10_000);
        assert_eq!(read.evidence.receipts, word.receipts);
    }
}

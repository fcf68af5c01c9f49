//! Finding offers: by what a text means where the meaning machine's model is here, by its words elsewhere;
//! then by record, price and time, with the reasons told.
//!
//! An offer says of itself only its kind of work, so a text is compared with what each kind is good for
//! ([`Service::about`]) and with the names of worker and kind. Kinds that this program does not know are found
//! by their worker's name alone. In parts per million, with m how well an offer suits the text (all of it
//! without one), r the lower bound of its record, p the cheapest rival's price as a part of its own, and s the
//! fastest rival's time as a part of its own, its score is m · (½ + r/4 + 3p/20 + s/10): what somebody asks
//! for comes first, and a proven worker before a cheap one. Scores order lists and move no money.
//!
//! Bounds: [`SEARCHED`] offers and [`LATEST`] jobs are looked through, [`WORDS`] characters of a text are
//! read, [`REMEMBERED`] texts' vectors are kept, one text is read at a time: who comes meanwhile with another
//! one finds by words.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};

use ::market::reputation::{Counts, beta};
use ::market::{Offer, Party, Skill, Stage, State};
use foreman::Service;
use labour::MeaningWorker;
use labour::meaning::Embedding;

use super::Market;
use crate::report::{OfferFound, OffersFound};

/// The most offers that a search looks through.
const SEARCHED: usize = 5_000;
/// The most jobs, newest first, by which a worker's time is measured.
const LATEST: usize = 2_000;
/// The most of them for one worker and kind of work.
const MEASURED: usize = 15;
/// The longest text that is searched for, in characters.
const WORDS: usize = 200;
/// How many texts' vectors are remembered.
const REMEMBERED: usize = 64;
/// How alike a text and a kind of work must be, in parts per million, to have to do with each other: unlike
/// ones are about 0, and what a kind is good for, said in other words, is above 300,000.
const ALIKE: u32 = 200_000;

/// The machine that tells what texts mean, if its model is here. Called on a thread that may wait.
pub type Reader = Arc<dyn Fn() -> Option<Arc<MeaningWorker>> + Send + Sync>;

/// By what offers were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// All were asked for.
    Everything,
    /// By the words of the text: no model that tells meaning is here.
    Words,
    /// By what the text means, and by its words.
    Meaning,
}

impl By {
    /// As programs are told.
    pub fn name(self) -> &'static str {
        match self {
            By::Everything => "everything",
            By::Words => "words",
            By::Meaning => "meaning",
        }
    }
}

/// An offer that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// It.
    pub offer: Offer,
    /// How many jobs it has in hand.
    pub busy: u32,
    /// What checks have shown of its worker.
    pub counts: Counts,
    /// How well it suits the text, in parts per million.
    pub suits_ppm: u32,
    /// Its score, in parts per million.
    pub score_ppm: u32,
    /// The median time from an order to its end, in milliseconds, if such jobs were done.
    pub takes_ms: Option<u64>,
    /// Why it stands where it stands, in a few words each.
    pub reasons: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Search {
    /// By what.
    pub by: By,
    /// How many in all.
    pub count: usize,
    /// One page of them, best first.
    pub page: Vec<Found>,
}

/// What is remembered of texts.
#[derive(Default)]
pub struct Meanings {
    reader: OnceLock<Reader>,
    services: OnceLock<HashMap<Skill, Embedding>>,
    texts: Mutex<HashMap<String, Embedding>>,
    /// Who has a text read: a search costs nothing, and shares the machine with who pays.
    reading: Mutex<()>,
}

impl Meanings {
    /// How well each known kind of work suits a text, in parts per million; `None` without a model, and
    /// while another text is read: who searches waits for nobody, so that searches cannot take all threads
    /// that may wait.
    fn of(&self, text: &str) -> Option<HashMap<Skill, u32>> {
        let reader = self.reader.get()?;
        let known = || self.texts.lock().expect("nothing panics under this lock");
        let meant = known().get(text).cloned();
        let (services, meant) = match (self.services.get(), meant) {
            (Some(services), Some(meant)) => (services, meant),
            _ => {
                let _alone = match self.reading.try_lock() {
                    Ok(alone) => alone,
                    // What it guards is a turn: who broke down in it left nothing behind.
                    Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
                    Err(TryLockError::WouldBlock) => return None,
                };
                let worker = reader()?;
                let services = match self.services.get() {
                    Some(services) => services,
                    None => {
                        let read = |service: Service| {
                            Some((service.skill(), worker.embed(service.about()).ok()?))
                        };
                        let services = Service::ALL.into_iter().map(read).collect::<Option<_>>()?;
                        self.services.get_or_init(|| services)
                    }
                };
                let meant = worker.embed(text).ok()?;
                let mut texts = known();
                if texts.len() >= REMEMBERED {
                    texts.clear();
                }
                texts.insert(text.to_owned(), meant.clone());
                (services, meant)
            }
        };
        let ppm = |likeness: f64| (likeness.clamp(0.0, 1.0) * 1e6) as u32;
        Some(services.iter().map(|(skill, of)| (*skill, ppm(meant.likeness(of)))).collect())
    }
}

/// The words of a text that are looked for.
fn words_of(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1);
    words.map(str::to_owned).collect()
}

/// The median time of each worker's latest jobs of one kind.
fn times(state: &State) -> HashMap<(Party, Skill), u64> {
    let mut found: HashMap<(Party, Skill), Vec<u64>> = HashMap::new();
    for job in state.jobs().rev().take(LATEST).filter(|job| job.stage == Stage::Completed) {
        let (Some(worker), Some(ended)) = (job.worker, job.ended_at) else { continue };
        let times = found.entry((worker, job.terms.skill)).or_default();
        if times.len() < MEASURED {
            times.push(u64::try_from(ended.since(job.opened_at).as_millis()).unwrap_or(u64::MAX));
        }
    }
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    found.into_iter().map(|(whose, times)| (whose, median(times))).collect()
}

/// What rivals in one kind of work come to.
#[derive(Clone, Copy)]
struct Rivals {
    least: i128,
    count: u32,
    fastest: Option<u64>,
}

impl Market {
    /// Who tells what texts mean; said once.
    pub fn reads_meaning(&self, reader: Reader) {
        let _ = self.meanings.reader.set(reader);
    }

    /// The median time from an order to its end of a worker's latest jobs of one kind, in milliseconds.
    pub fn takes_ms(&self, worker: Party, skill: Skill) -> Option<u64> {
        self.desk.read(|state| times(state).get(&(worker, skill)).copied())
    }

    /// The offers that suit a text, or all without one, of workers that are there, best first: after so many that are left out, at
    /// most so many. `name` is what parties are called. Blocks: it may compute.
    pub fn search(
        &self,
        text: &str,
        skip: usize,
        limit: usize,
        name: impl Fn(Party) -> String,
    ) -> Search {
        let text: String = text.chars().take(WORDS).collect();
        let words = words_of(&text);
        let meanings = if words.is_empty() { None } else { self.meanings.of(text.trim()) };
        let by = match (words.is_empty(), &meanings) {
            (true, _) => By::Everything,
            (false, Some(_)) => By::Meaning,
            (false, None) => By::Words,
        };
        let (offers, times) = self.desk.read(|state| {
            let offers: Vec<(Offer, Counts, u32)> = state
                .offers()
                .filter(|offer| self.silent_since(offer.worker).is_none())
                .take(SEARCHED)
                .map(|o| (o.clone(), state.record(o.worker, o.skill), state.busy(o.id)))
                .collect();
            (offers, times(state))
        });
        let mut rivals: HashMap<Skill, Rivals> = HashMap::new();
        for (offer, ..) in &offers {
            let of = rivals.entry(offer.skill).or_insert(Rivals {
                least: offer.price.minor(),
                count: 0,
                fastest: None,
            });
            let takes = times.get(&(offer.worker, offer.skill)).copied();
            of.least = of.least.min(offer.price.minor());
            of.count += 1;
            of.fastest = [of.fastest, takes].into_iter().flatten().min();
        }
        let mut found: Vec<Found> = offers
            .into_iter()
            .filter_map(|(offer, counts, busy)| {
                let met = met(&words, &offer, &name(offer.worker), &self.model(offer.id));
                let meant = meanings.as_ref().and_then(|m| m.get(&offer.skill).copied());
                let suits_ppm = suits(by, &words, met, meant)?;
                let takes_ms = times.get(&(offer.worker, offer.skill)).copied();
                let of = rivals[&offer.skill];
                let low_ppm = (beta::interval(counts, 0.95).low.clamp(0.0, 1.0) * 1e6) as u32;
                let score_ppm = score(suits_ppm, low_ppm, &offer, takes_ms, of);
                let reasons =
                    reasons(by, (&words, met, meant), counts, low_ppm, &offer, takes_ms, of);
                Some(Found { offer, busy, counts, suits_ppm, score_ppm, takes_ms, reasons })
            })
            .collect();
        found.sort_by_key(|f| (std::cmp::Reverse(f.score_ppm), f.offer.price.minor(), f.offer.id));
        let count = found.len();
        Search { by, count, page: found.into_iter().skip(skip).take(limit).collect() }
    }
}

impl Market {
    /// A search as programs are told of it.
    pub fn found(&self, text: &str, skip: usize, limit: usize) -> OffersFound {
        let named = |party| self.parts.cast.name(party);
        let search = self.search(text, skip, limit, named);
        let told = |found: Found| {
            let service = Service::of(found.offer.skill);
            OfferFound {
                offer: found.offer.id.to_string(),
                skill: service.map_or_else(|| found.offer.skill.to_string(), |s| s.name().into()),
                about: service.map_or("work of another kind", Service::title).into(),
                worker: self.parts.cast.name(found.offer.worker),
                address: found.offer.worker,
                model: self.model(found.offer.id),
                price: found.offer.price,
                busy: found.busy,
                capacity: found.offer.capacity,
                passed: found.counts.passed,
                failed: found.counts.failed,
                suits_ppm: found.suits_ppm,
                score_ppm: found.score_ppm,
                takes_ms: found.takes_ms,
                reasons: found.reasons,
            }
        };
        OffersFound {
            by: search.by.name().into(),
            found: search.count as u64,
            offers: search.page.into_iter().map(told).collect(),
        }
    }
}

/// How many of the words an offer's names have.
fn met(words: &BTreeSet<String>, offer: &Offer, worker: &str, model: &Option<String>) -> usize {
    let service = Service::of(offer.skill);
    let about =
        service.map_or(String::new(), |s| format!("{} {} {}", s.name(), s.title(), s.about()));
    let model = model.as_deref().unwrap_or("");
    let about = format!("{about} {worker} {model}").to_lowercase();
    words.iter().filter(|word| about.contains(word.as_str())).count()
}

/// How well an offer suits; `None` if it has nothing to do with the text.
fn suits(by: By, words: &BTreeSet<String>, met: usize, meant: Option<u32>) -> Option<u32> {
    let share = |met: usize| (met as u64 * 1_000_000 / words.len().max(1) as u64) as u32;
    match by {
        By::Everything => Some(1_000_000),
        By::Words => (met > 0).then(|| share(met)),
        By::Meaning => {
            // Small words meet everything: by words alone it is found if it has all of them, as by its name.
            let by_name = if met == words.len() { 1_000_000 } else { 0 };
            Some(meant.unwrap_or(0).max(by_name)).filter(|suits| *suits >= ALIKE)
        }
    }
}

/// The formula of this module's head.
fn score(suits: u32, low: u32, offer: &Offer, takes: Option<u64>, rivals: Rivals) -> u32 {
    let part = |small: u128, large: u128| (small * 1_000_000 / large.max(1)).min(1_000_000);
    let price = part(rivals.least.unsigned_abs(), offer.price.minor().unsigned_abs());
    let speed = match (rivals.fastest, takes) {
        (Some(fastest), Some(takes)) => part(fastest.into(), takes.into()),
        // Nobody knows: as if it took twice as long as the fastest.
        _ => 500_000,
    };
    let worth = 500_000 + u128::from(low) / 4 + price * 3 / 20 + speed / 10;
    u32::try_from(u128::from(suits) * worth / 1_000_000).unwrap_or(u32::MAX)
}

fn reasons(
    by: By,
    (words, met, meant): (&BTreeSet<String>, usize, Option<u32>),
    counts: Counts,
    low_ppm: u32,
    offer: &Offer,
    takes: Option<u64>,
    rivals: Rivals,
) -> Vec<String> {
    let mut reasons = Vec::new();
    match (by, meant) {
        (By::Everything, _) => {}
        (By::Meaning, Some(meant)) if meant >= ALIKE => {
            reasons.push(format!("{} % alike in meaning", (meant + 5_000) / 10_000));
        }
        _ => reasons.push(format!("{met} of {} words", words.len())),
    }
    reasons.push(match counts.passed + counts.failed {
        0 => "no record yet: gets work by the draw".into(),
        _ => format!("passes at least {} %", (low_ppm + 5_000) / 10_000),
    });
    match rivals.count {
        0 | 1 => {}
        count if offer.price.minor() == rivals.least => {
            reasons.push(format!("cheapest of {count}"))
        }
        count => reasons.push(format!("one of {count} rivals")),
    }
    if let Some(takes) = takes {
        let fastest =
            if rivals.count > 1 && rivals.fastest == Some(takes) { ", the fastest" } else { "" };
        reasons.push(format!("takes {}{fastest}", span(takes)));
    }
    reasons
}

/// A time in the unit that fits: `1.4 s`.
pub fn span(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=59_999 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..=5_999_999 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use ::market::OfferId;
    use ::money::{Amount, Asset};

    use super::*;

    fn offer(price: i128) -> Offer {
        let price = Amount::from_minor(Asset::MUSD, price);
        let party = Party::new([1; 20]);
        Offer::standard(OfferId::from_u128(1), party, Service::Classify.skill(), price)
    }

    const RIVALS: Rivals = Rivals { least: 100, count: 2, fastest: Some(1_000) };

    #[test]
    fn what_was_asked_for_comes_before_what_is_cheap_and_proven_before_cheap() {
        let asked = score(600_000, 50_000, &offer(500), None, RIVALS);
        let cheap = score(250_000, 950_000, &offer(100), Some(1_000), RIVALS);
        assert!(asked > cheap, "{asked} {cheap}");
        let proven = score(600_000, 900_000, &offer(200), Some(1_000), RIVALS);
        let newcomer = score(600_000, 25_000, &offer(100), None, RIVALS);
        assert!(proven > newcomer, "{proven} {newcomer}");
        let slow = score(600_000, 900_000, &offer(200), Some(9_000), RIVALS);
        assert!(slow < proven);
    }

    #[test]
    fn a_name_finds_and_what_has_nothing_to_do_with_it_is_left_out() {
        let words = words_of("Lite2, please");
        let model = Some("EfficientNet-Lite2".to_owned());
        assert_eq!(met(&words, &offer(1), "lite2", &model), 1);
        assert_eq!(suits(By::Words, &words, 0, None), None);
        assert_eq!(suits(By::Words, &words, 1, None), Some(500_000));
        assert_eq!(suits(By::Meaning, &words, 1, Some(100_000)), None);
        assert_eq!(suits(By::Meaning, &words, 2, Some(100_000)), Some(1_000_000));
        assert_eq!(suits(By::Meaning, &words, 0, Some(450_000)), Some(450_000));
        assert!(words_of("a ? !").is_empty());
    }
}

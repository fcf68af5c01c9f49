//! Discovery: what can be bought, ranked by what was bought.
//!
//! Source: `specs/extensions/bazaar.md` for the two addresses and the form of an entry;
//! `@x402/extensions` 2.27 for the form of the answers. An offer is listed when a payment that
//! describes it was **settled here**, and counts by who paid for it, not by what it says of itself.
//!
//! What only lies in a channel or an escrow may be taken back, so it counts nothing yet: a deposit
//! says which offer it is for (`Catalogue::awaits`), and what is claimed of the channel or captured
//! from the escrow is then counted for that offer (`Catalogue::earned`), each unit once, however
//! often the same claim comes. A channel counts for the offer of its newest deposit.
//!
//! **The rank** is a whole number, and ties go to the later settled:
//!
//! ```text
//! score = Σ over payers p of (4 + min(3, ⌊log₂ n_p⌋)) + min(3, ⌊log₁₀(volume)⌋ / 3)
//! ```
//!
//! `n_p` is how often p's payments were settled, and the volume is in minor units. So another payer
//! is worth more than any number of payments by the same one, and money alone is worth less than
//! one payer. A payer who is the payee, or who is [`Related`] to it (one owner, say), counts
//! nothing, and does not list. What this cannot see is a seller who pays itself from many strangers'
//! addresses; on a chain where gas costs something that costs something.
//!
//! **What has gone is not shown**: an offer is listed for [`LISTED_FOR`] after its last settled payment. What
//! was counted stays, so the next payment brings it back where it was. Nobody's address is asked whether it
//! answers: whoever names one in a payment would have this program knock at any door.
//!
//! **It lasts** in a file of its own: a line for each settled payment that counts, folded at the
//! start by the same function that counts them, and rewritten as a summary when it has grown. It is
//! a catalogue and no book: lines are not synced one by one, and a torn last one is dropped.
//!
//! **Bounds**: [`MOST_ENTRIES`], the lowest ranked goes first; [`MOST_PAYERS`] are told apart for
//! each entry, more count as volume; [`MOST_AWAITED`] channels and escrowed payments wait to be
//! counted, the oldest goes first, for at most [`MOST_OFFERS`] offers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::B256;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use money::{Clock, Party, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::extensions::listing::{self, Entry};
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse};

/// How many offers are listed.
pub const MOST_ENTRIES: usize = 4096;
/// How long an offer is listed after its last settled payment: a week. Who is paid was there; what is
/// never asked of strangers' addresses here is whether they are still.
pub const LISTED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many payers of one offer are told apart.
pub const MOST_PAYERS: usize = 1024;
/// How many channels and escrowed payments are remembered with their offer.
pub const MOST_AWAITED: usize = 16_384;
/// How many offers these may be for; of more, what is earned is not counted.
pub const MOST_OFFERS: usize = 1024;
/// How many lines may be added before the file is rewritten, beside four for each entry and each
/// thing awaited.
const MOST_LINES: usize = 20_000;
/// The longest line that is read, in bytes.
const MAX_LINE: usize = 256 * 1024;
/// Results on a page, if the asker does not say.
const PAGE: usize = 20;
/// Results on a page at most.
const MOST_ON_A_PAGE: usize = 100;
/// The longest search, in bytes, and the most words of it.
const MAX_QUERY: usize = 400;
const MAX_WORDS: usize = 16;

/// Whether a payer and a payee are one behind the curtain, so that their trade proves nothing.
pub type Related = Arc<dyn Fn(Party, Party) -> bool + Send + Sync>;

/// What was settled for one entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Outcomes {
    /// How many payments of each payer.
    payers: HashMap<Party, u32>,
    settled: u64,
    /// Minor units.
    #[serde(with = "decimal")]
    volume: u128,
    last: Timestamp,
}

impl Outcomes {
    fn score(&self) -> u64 {
        let each = |n: &u32| 4 + u64::from(n.max(&1).ilog2().min(3));
        let volume = u64::from(self.volume.max(1).ilog10() / 3).min(3);
        self.payers.values().map(each).sum::<u64>() + volume
    }

    fn count(&mut self, payer: Party, amount: u128, at: Timestamp) {
        if self.payers.len() < MOST_PAYERS || self.payers.contains_key(&payer) {
            let times = self.payers.entry(payer).or_default();
            *times = times.saturating_add(1);
        }
        self.settled = self.settled.saturating_add(1);
        self.volume = self.volume.saturating_add(amount);
        self.last = self.last.max(at);
    }
}

/// An entry with its outcomes.
#[derive(Debug, Clone, PartialEq)]
struct Listed {
    entry: Entry,
    outcomes: Outcomes,
    /// All its texts in small letters, for searching.
    text: String,
}

impl Listed {
    fn new(entry: Entry, outcomes: Outcomes) -> Listed {
        let mut text = format!("{} {} ", entry.resource, entry.call);
        let texts = [&entry.description, &entry.service_name, &entry.mime_type];
        for part in texts.into_iter().flatten().chain(&entry.tags) {
            text.push_str(part);
            text.push(' ');
        }
        if let Some(said) = entry.bazaar.pointer("/info/input/description").and_then(Value::as_str)
        {
            text.push_str(said);
        }
        Listed { entry, outcomes, text: text.to_lowercase() }
    }

    /// As the SDK's client reads it, and what it is ranked by.
    fn shown(&self) -> Value {
        let Entry {
            resource,
            kind,
            accepts,
            description,
            mime_type,
            service_name,
            tags,
            bazaar,
            ..
        } = &self.entry;
        let mut shown = json!({
            "resource": resource,
            "type": kind,
            "x402Version": wire::VERSION,
            "accepts": [accepts],
            "lastUpdated": self.outcomes.last.to_string(),
            "extensions": { listing::NAME: bazaar },
            "outcomes": {
                "payers": self.outcomes.payers.len(),
                "settled": self.outcomes.settled,
                "volume": self.outcomes.volume.to_string(),
                "score": self.outcomes.score(),
            },
        });
        let optional =
            [("description", description), ("mimeType", mime_type), ("serviceName", service_name)];
        for (name, value) in optional {
            if let Some(value) = value {
                shown[name] = Value::from(value.as_str());
            }
        }
        if !tags.is_empty() {
            shown["tags"] = json!(tags);
        }
        shown
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// A payment that counts; the entry as it describes it.
    Paid {
        entry: Box<Entry>,
        payer: Party,
        #[serde(with = "decimal")]
        amount: u128,
        at: Timestamp,
    },
    /// All that was counted before the file was rewritten.
    Sum { entry: Box<Entry>, outcomes: Outcomes },
    /// A channel or an escrowed payment, whose money is earned later.
    Awaited {
        name: B256,
        /// Which offer it is for: [`Entry::key`].
        offer: B256,
        /// The offer, unless an earlier line has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<Box<Entry>>,
        /// What of it was counted before the file was rewritten.
        #[serde(with = "decimal")]
        counted: u128,
    },
    /// So much more of it was earned.
    Earned {
        name: B256,
        payer: Party,
        #[serde(with = "decimal")]
        amount: u128,
        at: Timestamp,
    },
}

/// What was deposited for an offer, as far as it was counted.
struct Awaited {
    offer: B256,
    /// Minor units.
    counted: u128,
}

/// Amounts in the file are decimal strings, as everywhere.
mod decimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<[u8; 32], Listed>,
    /// Channels and escrowed payments by their names.
    awaited: HashMap<B256, Awaited>,
    /// Their names, the oldest first.
    oldest: VecDeque<B256>,
    /// Their offers, and how many of them are for each.
    offers: HashMap<B256, (Entry, usize)>,
    file: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: File,
    lines: usize,
}

/// What can be bought, as far as this facilitator settled it.
pub struct Catalogue {
    shelf: Mutex<Shelf>,
    clock: Arc<dyn Clock>,
    related: Related,
}

impl Catalogue {
    /// An empty one that ends with the process.
    pub fn in_memory(clock: Arc<dyn Clock>, related: Related) -> Catalogue {
        Catalogue { shelf: Mutex::default(), clock, related }
    }

    /// The one that is kept in this file, which is made if there is none. Lines that cannot be read
    /// are left out and logged.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        related: Related,
    ) -> std::io::Result<Catalogue> {
        let mut shelf = Shelf::default();
        let mut lines = 0;
        if path.exists() {
            let mut reader = BufReader::new(File::open(path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                let length =
                    std::io::Read::by_ref(&mut reader).take_until(b'\n', MAX_LINE, &mut line)?;
                if length == 0 {
                    break;
                }
                lines += 1;
                match serde_json::from_slice(&line) {
                    Ok(line) => shelf.fold(line),
                    Err(error) => tracing::warn!(lines, %error, "a line of the catalogue is lost"),
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        shelf.file = Some(Open { path: path.to_owned(), file, lines });
        // A torn last line must not swallow the next one.
        shelf.rewrite();
        Ok(Catalogue { shelf: Mutex::new(shelf), clock, related })
    }

    /// Counts a settlement. What the payment says of its offer is listed if it can be.
    pub(crate) fn count(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        settlement: &SettleResponse,
    ) {
        if !settlement.success {
            return;
        }
        let Some(Ok(entry)) = Entry::read(payment, requirements) else { return };
        let payer = settlement.payer.as_deref().and_then(|p| p.parse::<Party>().ok());
        let payee = requirements.pay_to.parse::<Party>().ok();
        let (Some(payer), Some(payee)) = (payer, payee) else { return };
        if payer == payee || (self.related)(payer, payee) {
            return;
        }
        let amount = settlement.amount.as_ref().unwrap_or(&requirements.amount);
        let Ok(amount) = amount.parse::<u128>() else { return };
        if amount == 0 {
            return;
        }
        let line = Line::Paid { entry: Box::new(entry), payer, amount, at: self.clock.now() };
        let mut shelf = self.shelf.lock().expect("nothing panics under this lock");
        shelf.append(&line);
        shelf.fold(line);
    }

    /// Remembers what a deposit in a channel, or a payment into escrow, says of its offer, under the
    /// name of channel or payment. It counts nothing before something of it is [`Self::earned`].
    pub(crate) fn awaits(
        &self,
        name: B256,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) {
        let Some(Ok(entry)) = Entry::read(payment, requirements) else { return };
        let offer = B256::from(entry.key());
        let mut shelf = self.shelf.lock().expect("nothing panics under this lock");
        if shelf.awaited.get(&name).is_some_and(|known| known.offer == offer) {
            return;
        }
        let entry = (!shelf.offers.contains_key(&offer)).then(|| Box::new(entry));
        let counted = shelf.awaited.get(&name).map_or(0, |known| known.counted);
        let line = Line::Awaited { name, offer, entry, counted };
        shelf.append(&line);
        shelf.fold(line);
    }

    /// Counts what was earned of something [awaited](Self::awaits): `total` says how much that is in
    /// all, given how much of it was counted before, both in minor units.
    pub(crate) fn earned(
        &self,
        name: B256,
        payer: Party,
        payee: Party,
        total: impl FnOnce(u128) -> u128,
    ) {
        if payer == payee || (self.related)(payer, payee) {
            return;
        }
        let mut shelf = self.shelf.lock().expect("nothing panics under this lock");
        let Some(counted) = shelf.awaited.get(&name).map(|known| known.counted) else { return };
        let amount = total(counted).saturating_sub(counted);
        if amount == 0 {
            return;
        }
        let line = Line::Earned { name, payer, amount, at: self.clock.now() };
        shelf.append(&line);
        shelf.fold(line);
    }

    /// A page of what passes the filter, the best first, and how many there are.
    fn page(&self, filter: &Filter, from: usize, most: usize) -> (Vec<Value>, usize) {
        let shelf = self.shelf.lock().expect("nothing panics under this lock");
        let now = self.clock.now();
        let mut found: Vec<(usize, u64, Timestamp, &[u8; 32], &Listed)> = shelf
            .entries
            .iter()
            .filter(|(_, listed)| now.since(listed.outcomes.last) <= LISTED_FOR)
            .filter(|(_, listed)| filter.passes(&listed.entry))
            .filter_map(|(key, listed)| {
                let words = filter.words.iter().filter(|w| listed.text.contains(*w)).count();
                let matches = filter.words.is_empty() || words > 0;
                let outcomes = &listed.outcomes;
                matches.then(|| (words, outcomes.score(), outcomes.last, key, listed))
            })
            .collect();
        found.sort_unstable_by(|a, b| {
            (b.0, b.1, b.2).cmp(&(a.0, a.1, a.2)).then_with(|| a.3.cmp(b.3))
        });
        let page = found.iter().skip(from).take(most).map(|(.., listed)| listed.shown()).collect();
        (page, found.len())
    }
}

impl Shelf {
    fn fold(&mut self, line: Line) {
        match line {
            Line::Paid { entry, payer, amount, at } => self.paid(*entry, payer, amount, at),
            Line::Sum { entry, outcomes } => self.put(*entry, |_| outcomes),
            Line::Awaited { name, offer, entry, counted } => {
                self.await_one(name, offer, entry.map(|e| *e), counted);
            }
            Line::Earned { name, payer, amount, at } => {
                let Some(known) = self.awaited.get_mut(&name) else { return };
                known.counted = known.counted.saturating_add(amount);
                let offer = self.offers.get(&known.offer).map(|(entry, _)| entry.clone());
                if let Some(entry) = offer {
                    self.paid(entry, payer, amount, at);
                }
            }
        }
    }

    fn await_one(&mut self, name: B256, offer: B256, entry: Option<Entry>, counted: u128) {
        if let Some(entry) = entry
            && !self.offers.contains_key(&offer)
        {
            if self.offers.len() >= MOST_OFFERS {
                tracing::debug!(%name, "more offers are awaited than are remembered");
                return;
            }
            self.offers.insert(offer, (entry, 0));
        }
        let Some((_, users)) = self.offers.get_mut(&offer) else { return };
        *users += 1;
        match self.awaited.insert(name, Awaited { offer, counted }) {
            Some(before) => self.leave(before.offer),
            None => self.oldest.push_back(name),
        }
        while self.awaited.len() > MOST_AWAITED
            && let Some(oldest) = self.oldest.pop_front()
        {
            if let Some(gone) = self.awaited.remove(&oldest) {
                self.leave(gone.offer);
            }
        }
    }

    /// Something awaited is not for this offer any more.
    fn leave(&mut self, offer: B256) {
        if let Some((_, users)) = self.offers.get_mut(&offer) {
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.offers.remove(&offer);
            }
        }
    }

    /// A payment that counts. The newest description stands.
    fn paid(&mut self, entry: Entry, payer: Party, amount: u128, at: Timestamp) {
        self.put(entry, |mut outcomes| {
            outcomes.count(payer, amount, at);
            outcomes
        });
    }

    /// Lists an entry with what becomes of its outcomes.
    fn put(&mut self, entry: Entry, change: impl FnOnce(Outcomes) -> Outcomes) {
        let key = entry.key();
        let before = self.entries.remove(&key).map(|l| l.outcomes).unwrap_or_default();
        let listed = Listed::new(entry, change(before));
        self.entries.insert(key, listed);
        if self.entries.len() > MOST_ENTRIES {
            let rank = |l: &Listed| (l.outcomes.score(), l.outcomes.last);
            let lowest = self
                .entries
                .iter()
                .filter(|(other, _)| **other != key)
                .min_by_key(|(other, l)| (rank(l), **other))
                .map(|(other, _)| *other);
            if let Some(lowest) = lowest {
                self.entries.remove(&lowest);
            }
        }
    }

    fn append(&mut self, line: &Line) {
        let most = MOST_LINES + 4 * (self.entries.len() + self.awaited.len());
        let Some(open) = &mut self.file else { return };
        let mut text = serde_json::to_vec(line).expect("plain data");
        text.push(b'\n');
        match open.file.write_all(&text) {
            Ok(()) => open.lines += 1,
            Err(error) => tracing::error!(%error, "the catalogue cannot be written"),
        }
        if open.lines > most {
            self.rewrite();
        }
    }

    /// Puts a summary in the file's place; if that fails, the file stays as it is.
    fn rewrite(&mut self) {
        let Some(open) = &mut self.file else { return };
        let draft = open.path.with_extension("draft");
        let write = || -> std::io::Result<File> {
            let mut file = std::io::BufWriter::new(File::create(&draft)?);
            for listed in self.entries.values() {
                let entry = Box::new(listed.entry.clone());
                let line = Line::Sum { entry, outcomes: listed.outcomes.clone() };
                serde_json::to_writer(&mut file, &line)?;
                file.write_all(b"\n")?;
            }
            let mut told = HashSet::new();
            for name in &self.oldest {
                let Some(Awaited { offer, counted }) = self.awaited.get(name) else { continue };
                let entry = self.offers.get(offer).filter(|_| told.insert(*offer));
                let entry = entry.map(|(entry, _)| Box::new(entry.clone()));
                let (name, offer, counted) = (*name, *offer, *counted);
                serde_json::to_writer(&mut file, &Line::Awaited { name, offer, entry, counted })?;
                file.write_all(b"\n")?;
            }
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&draft, &open.path)?;
            OpenOptions::new().append(true).open(&open.path)
        };
        match write() {
            Ok(file) => {
                open.file = file;
                open.lines = self.entries.len() + self.awaited.len();
            }
            Err(error) => tracing::error!(%error, "the catalogue cannot be rewritten"),
        }
    }
}

/// Reads up to and with a byte, keeps no more than `most`, and tells how many bytes there were.
trait TakeUntil {
    fn take_until(&mut self, end: u8, most: usize, into: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl<R: std::io::BufRead> TakeUntil for R {
    fn take_until(&mut self, end: u8, most: usize, into: &mut Vec<u8>) -> std::io::Result<usize> {
        let mut read = 0;
        loop {
            let buffer = self.fill_buf()?;
            if buffer.is_empty() {
                return Ok(read);
            }
            let place = buffer.iter().position(|b| *b == end);
            let length = place.map_or(buffer.len(), |place| place + 1);
            let room = most.saturating_sub(into.len()).min(length);
            into.extend_from_slice(&buffer[..room]);
            self.consume(length);
            read += length;
            if place.is_some() {
                return Ok(read);
            }
        }
    }
}

/// What may be asked. Numbers are read by hand, so that a wrong one gets an answer in words.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    query: Option<String>,
    r#type: Option<String>,
    pay_to: Option<String>,
    scheme: Option<String>,
    network: Option<String>,
    extensions: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

struct Filter {
    words: Vec<String>,
    kind: Option<String>,
    payee: Option<String>,
    scheme: Option<String>,
    network: Option<String>,
    extension: Option<String>,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        let same = |asked: &Option<String>, is: &str| {
            asked.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(is))
        };
        same(&self.kind, &entry.kind)
            && same(&self.payee, &entry.accepts.pay_to)
            && same(&self.scheme, &entry.accepts.scheme)
            && same(&self.network, &entry.accepts.network)
            && same(&self.extension, listing::NAME)
    }
}

type Refused = (StatusCode, Json<Value>);

fn refuse(message: &str) -> Refused {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_request", "message": message })))
}

impl Asked {
    fn filter(self) -> Result<Filter, Refused> {
        let words = self.query.unwrap_or_default();
        if words.len() > MAX_QUERY {
            return Err(refuse("`query` is longer than 400 bytes"));
        }
        let words = words
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .take(MAX_WORDS)
            .map(str::to_string)
            .collect();
        Ok(Filter {
            words,
            kind: self.r#type,
            payee: self.pay_to,
            scheme: self.scheme,
            network: self.network,
            extension: self.extensions,
        })
    }

    fn number(text: Option<&String>, name: &str, otherwise: usize) -> Result<usize, Refused> {
        let Some(text) = text else { return Ok(otherwise) };
        let digits = text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| refuse(&format!("`{name}` is no number")))
    }

    fn limit(&self) -> Result<usize, Refused> {
        match Asked::number(self.limit.as_ref(), "limit", PAGE)? {
            limit @ 1..=MOST_ON_A_PAGE => Ok(limit),
            _ => Err(refuse("`limit` must be from 1 to 100")),
        }
    }
}

/// Serves `/discovery/resources` and `/discovery/search`.
pub fn router(catalogue: Arc<Catalogue>) -> Router {
    Router::new()
        .route("/discovery/resources", get(resources))
        .route("/discovery/search", get(search))
        .with_state(catalogue)
}

async fn resources(
    State(catalogue): State<Arc<Catalogue>>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refused> {
    let limit = asked.limit()?;
    let offset = Asked::number(asked.offset.as_ref(), "offset", 0)?;
    // Words are for searching.
    let filter = Asked { query: None, ..asked }.filter()?;
    let (items, total) = catalogue.page(&filter, offset, limit);
    Ok(Json(json!({
        "x402Version": wire::VERSION,
        "items": items,
        "pagination": { "limit": limit, "offset": offset, "total": total },
    })))
}

async fn search(
    State(catalogue): State<Arc<Catalogue>>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refused> {
    let limit = asked.limit()?;
    // Where the next page begins; to the asker it is any text.
    let from = Asked::number(asked.cursor.as_ref(), "cursor", 0)?;
    let filter = asked.filter()?;
    if filter.words.is_empty() {
        return Err(refuse("`query` must have a word to search for"));
    }
    let (found, total) = catalogue.page(&filter, from, limit);
    let next = from.saturating_add(found.len());
    let more = next < total && !found.is_empty();
    Ok(Json(json!({
        "x402Version": wire::VERSION,
        "resources": found,
        "partialResults": more,
        "pagination": { "limit": limit, "cursor": more.then(|| next.to_string()) },
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(payers: &[u32], volume: u128) -> u64 {
        let named = |(i, n): (usize, &u32)| (Party::new([u8::try_from(i).unwrap(); 20]), *n);
        let payers = payers.iter().enumerate().map(named).collect();
        Outcomes { payers, volume, ..Outcomes::default() }.score()
    }

    #[test]
    fn another_payer_is_worth_more_than_any_volume_or_repetition_of_one() {
        assert_eq!(paid(&[1], 1), 4);
        assert_eq!(paid(&[2], 1), 5);
        assert_eq!(paid(&[8], 1), 7);
        assert_eq!(paid(&[u32::MAX], 1), 7);
        assert_eq!(paid(&[1], 1_000), 5);
        assert_eq!(paid(&[1], u128::MAX), 7);
        assert!(paid(&[1, 1, 1], 3) > paid(&[u32::MAX], u128::MAX));
    }
}

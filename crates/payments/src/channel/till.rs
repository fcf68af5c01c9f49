//! The till: a seller's channels, as the books and the chain have them.
//!
//! *Purpose.* A voucher is judged and charged without a word to the chain. For that, what is needed
//! of each channel lies in memory: its terms, its [`Tab`], the greatest voucher, and what the chain
//! said last. None of it is lost with the process: all is found again in the books (what was
//! charged, from the account `unearned/…`; the newest vouchers, from their documents) and on the
//! chain.
//!
//! *Limits.* What a channel can still pay is an account that cannot be overdrawn. The till counts
//! no money of its own: the tab says which voucher comes next, the ledger whether there is room.
//!
//! *Bounds.* [`TillLimits::channels`] channels of about half a kilobyte. Beyond, those make room
//! that are longest unused, with nothing under way and nothing left to claim; they are found again
//! in the books. If there is none, a new channel is refused until there is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use ledger::{
    AccountId, Kind, Ledger, LedgerError, Operation, Reference, State, Status, Transfer,
    TransferId, Write,
};
use mandates::Key;
use mandates::books::{self, Entry, Line};
use money::{Amount, Asset, Clock, Party, Timestamp};
use serde::{Deserialize, Serialize};
use settlement::channels::{CONTRACT, Counted, MAX_CLAIMS};
use settlement::{Settlement, SettlementError};

use super::tab::{Proof, Tab};
use super::voucher::{self, Domain, KnownKey};
use super::wire::{ChannelConfig, ChannelState, Units};
use super::{ChannelInvalid, Terms};
use crate::documents;

/// The documents that a till keeps.
pub mod stage {
    /// What a channel is: its configuration.
    pub const CHANNEL: &str = "seller/channel";
    /// A voucher that was charged, with the answer that it paid for.
    pub const VOUCHER: &str = "seller/voucher";
    /// The body of that answer, where it is long or no text.
    pub const OUTPUT: &str = "seller/output";
}

/// What bounds a till, and when it claims.
#[derive(Debug, Clone, Copy)]
pub struct TillLimits {
    /// The most channels that are kept in memory.
    pub channels: usize,
    /// How long the chain's word on a channel counts as fresh; never longer than a third of the
    /// channel's withdrawal delay, so that a withdrawal is always noticed in time.
    pub fresh_for: Duration,
    /// A receiver's channels are claimed when so much is unclaimed in them, in minor units.
    pub claim_amount: u128,
    /// They are claimed when a charge has waited so long.
    pub claim_age: Duration,
    /// The most channels that are claimed in one transaction, up to
    /// [`MAX_CLAIMS`].
    pub claim_rows: usize,
}

impl Default for TillLimits {
    fn default() -> TillLimits {
        TillLimits {
            channels: 100_000,
            fresh_for: Duration::from_secs(5 * 60),
            claim_amount: 10_000_000,
            claim_age: Duration::from_secs(60 * 60),
            claim_rows: MAX_CLAIMS,
        }
    }
}

/// What the chain said last of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// What counts: a deposit whose block may still vanish is no part of it.
    pub(crate) balance: u128,
    /// Deposits that do not count yet.
    pub(crate) coming: u128,
    pub(crate) claimed: u128,
    /// What a withdrawal that waits would take.
    pub(crate) withdrawing: u128,
    /// When it was begun, in Unix seconds; 0 if none waits.
    pub(crate) withdraw_at: u64,
    pub(crate) refund_nonce: U256,
    /// When we asked; never, since the process began, if missing.
    pub(crate) seen_at: Option<Timestamp>,
}

impl Mirror {
    /// Whether a voucher of this total can be claimed, even if a withdrawal that waits is carried
    /// out first.
    pub(crate) fn covers(&self, amount: u128) -> Result<(), ChannelInvalid> {
        if self.balance == 0 {
            return Err(ChannelInvalid::ChannelNotFound);
        }
        if amount > self.balance - self.withdrawing.min(self.balance) {
            return Err(ChannelInvalid::ExceedsBalance);
        }
        if amount <= self.claimed {
            return Err(ChannelInvalid::BelowClaimed);
        }
        Ok(())
    }

    /// Whether a voucher of this total could be claimed once all deposits count, and cannot yet.
    pub(crate) fn waits_for(&self, amount: u128) -> bool {
        let balance = self.balance.saturating_add(self.coming);
        self.coming > 0
            && self.covers(amount).is_err()
            && Mirror { balance, ..*self }.covers(amount).is_ok()
    }

    fn is_fresh(&self, now: Timestamp, bound: Duration) -> bool {
        // What is coming is looked at again until it is there.
        self.coming == 0 && self.seen_at.is_some_and(|seen| now.since(seen) <= bound)
    }
}

/// The accounts between which a channel's vouchers are charged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    pub(crate) unearned: AccountId,
    sales: AccountId,
    /// What its receiver owes where it keeps payers' money.
    owed: AccountId,
}

impl Lines {
    fn of(id: B256, config: &ChannelConfig, asset: Asset) -> Lines {
        let book = config.receiver.into();
        Lines {
            unearned: Line::Unearned(id.0).of(book, asset),
            sales: Line::Sales.of(book, asset),
            owed: Line::Owed.of(book, asset),
        }
    }

    /// Whether a transfer is a voucher's charge, be it a sale or money that is owed.
    fn charges(&self, transfer: &Transfer) -> bool {
        transfer.debit == self.unearned && [self.sales, self.owed].contains(&transfer.credit)
    }

    /// Where a charge goes that is this to its receiver ([`Offer::income`](crate::Offer::income)).
    pub(crate) fn income(&self, income: Line) -> AccountId {
        if income == Line::Owed { self.owed } else { self.sales }
    }
}

/// One channel, as its seller knows it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: B256,
    pub(crate) config: ChannelConfig,
    pub(crate) lines: Lines,
    /// The key of its vouchers, once one was seen.
    pub(crate) signer: Option<KnownKey>,
    pub(crate) tab: Tab,
    pub(crate) mirror: Mirror,
    /// Since when something is charged and not claimed.
    pub(crate) unclaimed_since: Option<Timestamp>,
    pub(crate) used_at: Timestamp,
    /// A write of it failed, and nobody knows how: it is read from the books again, once nothing is
    /// under way.
    pub(crate) doubtful: bool,
    /// Taken out of the till; whoever still has it looks again.
    pub(crate) gone: bool,
}

impl Channel {
    /// As buyers are told.
    pub(crate) fn state(&self, charged: u128) -> ChannelState {
        ChannelState {
            channel_id: self.id,
            balance: Units(self.mirror.balance),
            total_claimed: Units(self.mirror.claimed),
            withdraw_requested_at: self.mirror.withdraw_at,
            refund_nonce: self.mirror.refund_nonce.to_string(),
            charged_cumulative_amount: Some(Units(charged)),
        }
    }

    /// A voucher's signature as the contract takes it.
    pub(crate) fn signature_of(&self, domain: &Domain, proof: &Proof) -> Bytes {
        let hash = domain.voucher_hash(self.id, proof.amount);
        voucher::mended(hash, &proof.signature, self.config.payer_authorizer)
    }

    /// What could be claimed now, beyond what was. What is no longer in the channel, as the chain
    /// said last, cannot be: it would make claims due for ever that are never made.
    pub(crate) fn unclaimed(&self) -> u128 {
        let covered = self.tab.newest().map_or(0, |proof| proof.amount);
        let there = self.mirror.seen_at.map_or(u128::MAX, |_| self.mirror.balance);
        self.tab.claimable().min(covered).min(there).saturating_sub(self.mirror.claimed)
    }

    /// Whether nothing is lost if it is dropped: neither work, nor a claim, nor that the books may
    /// have more of it than they show.
    fn is_idle(&self) -> bool {
        self.tab.is_quiet() && self.unclaimed() == 0 && !self.doubtful
    }

    pub(crate) fn look(&mut self, mirror: Mirror) {
        self.mirror = mirror;
        self.tab.at_least(mirror.claimed);
        if self.unclaimed() == 0 {
            self.unclaimed_since = None;
        } else if self.unclaimed_since.is_none() {
            // Money came back into the channel.
            self.unclaimed_since = mirror.seen_at;
        }
    }
}

/// A channel of the till.
pub(crate) type Shared = Arc<Mutex<Channel>>;

/// Why a channel could not be brought into the till.
#[derive(Debug)]
pub(crate) enum NotHere {
    /// It is no good.
    Invalid(ChannelInvalid),
    /// Its deposit stands in a block that may still vanish.
    Uncounted,
    /// No room is left.
    Full,
    /// The chain did not answer.
    Chain(SettlementError),
    /// The books did not.
    Books(LedgerError),
}

/// One attempt to sell for a voucher. The first has the sale's usual name; later ones are numbered,
/// since a voucher whose work failed may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sale {
    pub(crate) reference: Reference,
    pub(crate) attempt: u32,
}

impl Sale {
    pub(crate) fn id(self) -> TransferId {
        match self.attempt {
            0 => books::sale_id(self.reference),
            n => TransferId::derive("sale/again", &[self.reference.as_bytes(), &n.to_be_bytes()]),
        }
    }

    /// The stage of one of its documents.
    pub(crate) fn stage(self, stage: &str) -> String {
        match self.attempt {
            0 => stage.into(),
            n => format!("{stage}/{n}"),
        }
    }

    /// The newest attempt there is. Attempts follow each other without gaps, so it is found by
    /// doubling and halving.
    pub(crate) fn newest(state: &State, reference: Reference) -> Option<Sale> {
        let is_there = |attempt| {
            let sale = Sale { reference, attempt };
            state.transfer(&sale.id()).is_some().then_some(sale)
        };
        let mut low = is_there(0)?;
        let mut high = 1;
        while let Some(sale) = is_there(high) {
            low = sale;
            high = high.saturating_mul(2);
        }
        while high - low.attempt > 1 {
            let middle = low.attempt + (high - low.attempt) / 2;
            match is_there(middle) {
                Some(sale) => low = sale,
                None => high = middle,
            }
        }
        Some(low)
    }
}

/// The document of a channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    channel_id: B256,
    channel_config: ChannelConfig,
}

/// What a till reads of a charged voucher's document; the gate writes the rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Charged {
    signed_max_claimable: Units,
    signature: Bytes,
    base: Units,
}

/// All channels in which somebody of this home is paid.
pub(crate) struct Till {
    pub(crate) ledger: Ledger,
    pub(crate) chain: Settlement,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) domain: Domain,
    /// Keys that sign claims and refunds, by address. Where a quote names another, its facilitator
    /// signs.
    pub(crate) keys: HashMap<Address, Key>,
    pub(crate) limits: TillLimits,
    channels: Mutex<HashMap<B256, Shared>>,
    /// How far the chain was searched for what the books lack of a channel.
    searched: Mutex<HashMap<B256, Searched>>,
    /// Whose channels were brought back since the start.
    recalled: Mutex<HashSet<Party>>,
    /// One channel at a time is read from the books, so that none is there twice.
    entering: Mutex<()>,
    /// One collection at a time.
    pub(crate) collecting: tokio::sync::Mutex<()>,
}

/// How long a search of the chain that failed is not tried again.
const SEARCH_AGAIN: Duration = Duration::from_secs(60);

/// How far the chain was searched for a channel's money.
#[derive(Debug, Clone, Copy)]
enum Searched {
    /// Up to this block.
    To(u64),
    /// It could not be, at this time.
    Failed(Timestamp),
}

impl Till {
    pub(crate) fn new(
        ledger: Ledger,
        chain: Settlement,
        clock: Arc<dyn Clock>,
        keys: Vec<Key>,
        limits: TillLimits,
    ) -> Till {
        Till {
            domain: Domain::new(chain.token().chain_id),
            keys: keys.into_iter().map(|key| (key.address(), key)).collect(),
            ledger,
            chain,
            clock,
            limits,
            channels: Mutex::default(),
            searched: Mutex::default(),
            recalled: Mutex::default(),
            entering: Mutex::default(),
            collecting: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn asset(&self) -> Asset {
        self.chain.token().asset
    }

    pub(crate) fn reference(&self, channel: B256, amount: u128) -> Reference {
        super::reference(self.domain.chain_id(), channel, amount)
    }

    /// The channel, if it is in memory.
    pub(crate) fn find(&self, id: B256) -> Option<Shared> {
        self.channels.lock().expect("nothing panics under this lock").get(&id).cloned()
    }

    /// Takes a channel out of memory; whoever marked it as gone.
    pub(crate) fn forget(&self, id: B256) {
        let mut channels = self.channels.lock().expect("nothing panics under this lock");
        let gone = |c: &Shared| c.lock().expect("nothing panics under this lock").gone;
        if channels.get(&id).is_some_and(gone) {
            channels.remove(&id);
        }
    }

    /// All channels in memory.
    pub(crate) fn all(&self) -> Vec<Shared> {
        self.channels.lock().expect("nothing panics under this lock").values().cloned().collect()
    }

    /// Whether what the chain said of a channel is recent enough to judge by.
    pub(crate) fn is_fresh(&self, channel: &Channel) -> bool {
        let third = Duration::from_secs(channel.config.withdraw_delay / 3);
        channel.mirror.is_fresh(self.clock.now(), self.limits.fresh_for.min(third))
    }

    /// What the chain says of channels now, in their order: money in counts once its block does, and
    /// money out at once.
    pub(crate) async fn ask(&self, channels: &[B256]) -> Result<Vec<Mirror>, SettlementError> {
        let asked_at = self.clock.now();
        let counted = self.chain.counted_channels(channels).await?;
        let mirror = |Counted { state, coming }: Counted| Mirror {
            balance: state.balance,
            coming,
            claimed: state.total_claimed,
            withdrawing: state.withdrawal.map_or(0, |withdrawal| withdrawal.amount),
            withdraw_at: state.withdrawal.map_or(0, |withdrawal| withdrawal.begun_at),
            refund_nonce: state.refund_nonce,
            seen_at: Some(asked_at),
        };
        Ok(counted.into_iter().map(mirror).collect())
    }

    /// Asks the chain about one channel and remembers the answer.
    pub(crate) async fn refresh(&self, channel: &Shared) -> Result<(), SettlementError> {
        let id = channel.lock().expect("nothing panics under this lock").id;
        let mirror = self.ask(&[id]).await?.pop().expect("one answer for one question");
        channel.lock().expect("nothing panics under this lock").look(mirror);
        Ok(())
    }

    /// The channel of a payload that was checked, brought into memory if it is not there: from the
    /// chain, which knows its money, and from the books, which know what was charged.
    ///
    /// The books open an account only for a channel that covers `amount`, and take in at once what
    /// the chain shows of it: an account without its money would read as books that differ from the
    /// chain, and anybody can make a channel.
    pub(crate) async fn enter(
        &self,
        id: B256,
        config: &ChannelConfig,
        amount: u128,
    ) -> Result<Shared, NotHere> {
        if let Some(channel) = self.find(id) {
            return Ok(channel);
        }
        let mirror = self.ask(&[id]).await.map_err(NotHere::Chain)?;
        let mirror = mirror.into_iter().next().expect("one answer for one question");
        if mirror.waits_for(amount) {
            return Err(NotHere::Uncounted);
        }
        if mirror.balance == 0 {
            return Err(NotHere::Invalid(ChannelInvalid::ChannelNotFound));
        }
        if !self.is_booked(id, config) {
            // A total below what was claimed is let through: its payer is to be corrected.
            if let Err(reason @ ChannelInvalid::ExceedsBalance) = mirror.covers(amount) {
                return Err(NotHere::Invalid(reason));
            }
            self.open_account(id, config).await?;
        }
        self.take_in(id, config, Some(mirror))
    }

    /// Whether the books have taken in money of this channel.
    pub(crate) fn is_booked(&self, id: B256, config: &ChannelConfig) -> bool {
        let unearned = Line::Unearned(id.0).of(config.receiver.into(), self.asset());
        self.ledger.read(|state| state.entries_of(unearned).len() > 0)
    }

    /// From which block on the books must be brought up to the chain for a channel.
    ///
    /// # Errors
    /// [`ChannelInvalid::StateUnavailable`] for a minute after it failed.
    pub(crate) fn begin_search(&self, id: B256) -> Result<Option<u64>, NotHere> {
        let searched = self.searched.lock().expect("nothing panics under this lock");
        match searched.get(&id) {
            None => Ok(None),
            Some(Searched::To(block)) => Ok(Some(*block)),
            Some(Searched::Failed(at)) if self.clock.now().since(*at) >= SEARCH_AGAIN => Ok(None),
            Some(Searched::Failed(_)) => Err(NotHere::Invalid(ChannelInvalid::StateUnavailable)),
        }
    }

    pub(crate) fn end_search(&self, id: B256, to: Option<u64>) {
        let mut searched = self.searched.lock().expect("nothing panics under this lock");
        // What is forgotten is searched once more.
        if searched.len() >= self.limits.channels {
            searched.clear();
        }
        searched.insert(id, to.map_or(Searched::Failed(self.clock.now()), Searched::To));
    }

    /// Opens the channel's account and keeps what the channel is. Repeating it changes nothing.
    pub(crate) async fn remember(
        &self,
        id: B256,
        config: &ChannelConfig,
    ) -> Result<(), LedgerError> {
        let opened = Opened { channel_id: id, channel_config: *config };
        let account = Line::Unearned(id.0).open(config.receiver.into(), self.asset());
        let document = documents::json(channel_reference(id), stage::CHANNEL, &opened);
        let write = Write { operation: Some(account), evidence: vec![document] };
        let outcome = self.ledger.submit(write).await?;
        if !outcome.holds() {
            tracing::error!(channel = %id, ?outcome, "a channel's account could not be opened");
        }
        Ok(())
    }

    fn take_in(
        &self,
        id: B256,
        config: &ChannelConfig,
        mirror: Option<Mirror>,
    ) -> Result<Shared, NotHere> {
        let _one = self.entering.lock().expect("nothing panics under this lock");
        if let Some(channel) = self.find(id) {
            return Ok(channel);
        }
        let tab = self.resume(id, config).map_err(NotHere::Books)?;
        let now = self.clock.now();
        let mut channel = Channel {
            id,
            config: *config,
            lines: Lines::of(id, config, self.asset()),
            signer: None,
            tab,
            mirror: Mirror::default(),
            unclaimed_since: Some(now),
            used_at: now,
            doubtful: false,
            gone: false,
        };
        if let Some(mirror) = mirror {
            channel.look(mirror);
        }
        let mut channels = self.channels.lock().expect("nothing panics under this lock");
        if channels.len() >= self.limits.channels && !make_room(&mut channels) {
            return Err(NotHere::Full);
        }
        let shared = Arc::new(Mutex::new(channel));
        channels.insert(id, shared.clone());
        Ok(shared)
    }

    /// What the books know of a channel: what was charged, and a voucher that covers it.
    fn resume(&self, id: B256, config: &ChannelConfig) -> Result<Tab, LedgerError> {
        let lines = Lines::of(id, config, self.asset());
        let (booked, newest_first) = self.ledger.read(|state| {
            let mut booked = 0_u128;
            let mut references: Vec<TransferId> = Vec::new();
            for record in state.entries_of(lines.unearned) {
                if let Status::Posted { amount, .. } = record.status
                    && lines.charges(&record.transfer)
                {
                    booked += amount.minor().unsigned_abs();
                    references.push(record.transfer.id);
                }
            }
            references.reverse();
            (booked, references)
        });
        let (mut base, mut newest) = (0, None::<Proof>);
        for sale in newest_first {
            let Some(charged) = self.charged(&sale)? else { continue };
            base = base.max(charged.base.0);
            if newest.as_ref().is_none_or(|p| p.amount < charged.signed_max_claimable.0) {
                let amount = charged.signed_max_claimable.0;
                newest = Some(Proof { amount, signature: charged.signature });
            }
            // Older ones are needed only if this one does not cover all that was charged.
            if newest.as_ref().is_some_and(|p| p.amount >= base.saturating_add(booked)) {
                break;
            }
        }
        Ok(Tab::resumed(base, booked, newest))
    }

    fn charged(&self, sale: &TransferId) -> Result<Option<Charged>, LedgerError> {
        let reference = self.ledger.read(|s| s.transfer(sale).map(|r| r.transfer.reference));
        let Some(reference) = reference else { return Ok(None) };
        let documents = self.ledger.evidence(reference)?;
        let newest = documents
            .iter()
            .filter(|d| d.evidence.stage.starts_with(stage::VOUCHER))
            .filter_map(|d| serde_json::from_slice::<Charged>(&d.evidence.body).ok())
            .max_by_key(|charged| charged.base);
        Ok(newest)
    }

    /// Brings the channels of a payee back into memory after a start, as many as there is room for.
    pub(crate) fn recall(&self, payee: Party) -> Result<usize, LedgerError> {
        if !self.recalled.lock().expect("nothing panics under this lock").insert(payee) {
            return Ok(0);
        }
        let names: Vec<String> = self.ledger.read(|state| {
            let accounts = state.accounts_of(payee);
            let unearned = accounts.filter_map(|a| a.name.strip_prefix("unearned/"));
            unearned.map(str::to_string).collect()
        });
        let mut recalled = 0;
        for name in names {
            let Some(short) = short_of(&name) else { continue };
            let documents = self.ledger.evidence(reference_of_short(&short))?;
            let opened = documents
                .iter()
                .find(|d| d.evidence.stage == stage::CHANNEL)
                .and_then(|d| serde_json::from_slice::<Opened>(&d.evidence.body).ok());
            let Some(opened) = opened else { continue };
            if self.domain.channel_id(&opened.channel_config) != opened.channel_id {
                continue;
            }
            match self.take_in(opened.channel_id, &opened.channel_config, None) {
                Ok(_) => recalled += 1,
                Err(NotHere::Books(error)) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(recalled)
    }

    /// Books money that a transaction put into a channel. Repeating it changes nothing.
    pub(crate) async fn book_deposit(
        &self,
        id: B256,
        config: &ChannelConfig,
        transaction: B256,
        amount: Amount,
    ) -> Result<(), LedgerError> {
        let (book, payer) = (Party::from(config.receiver), Party::from(config.payer));
        let entry = Entry {
            id: books::deposited_id(&id.0, &transaction.0),
            book,
            debit: Line::Escrow,
            credit: Line::Unearned(id.0),
            amount,
            kind: Kind::Financial,
            counterparty: payer,
            reference: super::deposit_reference(self.domain.chain_id(), id, transaction),
            digest: [0; 32],
            hold_until: None,
        };
        let outcome = self.ledger.submit(Write::operation(entry.transfer())).await?;
        if !outcome.holds() {
            tracing::error!(channel = %id, ?outcome, "a deposit could not be booked");
        }
        Ok(())
    }

    /// Lets go the holds of vouchers. Versions before books of version 2 made such, and whoever made one has
    /// ended: nothing was charged. Returns how many it resolved.
    pub(crate) async fn release_abandoned(&self, payee: Party) -> Result<usize, LedgerError> {
        let asset = self.asset();
        let (sales, cash) = (Line::Sales.of(payee, asset), Line::Cash.of(payee, asset));
        let held: Vec<TransferId> = self.ledger.read(|state| {
            let mine = state.holds().filter(|h| h.transfer.credit == sales);
            mine.filter(|h| h.transfer.debit != cash).map(|h| h.transfer.id).collect()
        });
        let mut released = 0;
        for hold in held {
            let outcome = self.ledger.submit(Write::operation(Operation::Void { hold })).await?;
            released += usize::from(outcome.holds());
        }
        Ok(released)
    }

    /// Whether the books have room for all that a channel has under way, its place included.
    pub(crate) fn has_room(&self, channel: &Shared) -> bool {
        let channel = channel.lock().expect("nothing panics under this lock");
        let lines = channel.lines;
        let signed = |units: u128| i128::try_from(units).unwrap_or(i128::MAX);
        self.ledger.read(|state| {
            let Some(balance) = state.balance(&lines.unearned) else { return false };
            let available = balance.available().minor();
            if available >= signed(channel.tab.under_way()) {
                return true;
            }
            // Some of it may be written already: then it is counted once, exactly.
            let charged = state.entries_of(lines.unearned).filter_map(|entry| {
                entry
                    .posted()
                    .filter(|_| lines.charges(&entry.transfer))
                    .map(|(_, amount)| amount.minor())
            });
            available + charged.sum::<i128>() >= signed(channel.tab.committed())
        })
    }
}

/// Drops channels that are not needed now, the longest unused first; `false` if none can go.
fn make_room(channels: &mut HashMap<B256, Shared>) -> bool {
    let mut idle: Vec<(Timestamp, B256)> = channels
        .values()
        .filter_map(|channel| {
            let channel = channel.lock().expect("nothing panics under this lock");
            channel.is_idle().then_some((channel.used_at, channel.id))
        })
        .collect();
    idle.sort_unstable();
    idle.truncate((channels.len() / 64).max(1));
    let mut went = false;
    for (_, id) in &idle {
        if let Some(channel) = channels.get(id).cloned() {
            let mut channel = channel.lock().expect("nothing panics under this lock");
            // Somebody may have taken a place since.
            if channel.is_idle() {
                channel.gone = true;
                channels.remove(id);
                went = true;
            }
        }
    }
    went
}

/// Whether a channel is one that this seller quotes, in the reference's order of checks.
///
/// # Errors
/// The first reason against it.
pub(crate) fn check_terms(
    config: &ChannelConfig,
    payee: Party,
    token: Address,
    terms: &Terms,
) -> Result<(), ChannelInvalid> {
    if Party::from(config.receiver) != payee {
        return Err(ChannelInvalid::Receiver);
    }
    if config.receiver_authorizer != terms.receiver_authorizer {
        return Err(ChannelInvalid::ReceiverAuthorizer);
    }
    if config.token != token {
        return Err(ChannelInvalid::Token);
    }
    if config.withdraw_delay != terms.withdraw_delay {
        return Err(ChannelInvalid::WithdrawDelay);
    }
    Ok(())
}

/// The name of a channel's own document.
fn channel_reference(id: B256) -> Reference {
    reference_of_short(id[..20].try_into().expect("a hash has 20 bytes and more"))
}

/// What a channel of a seller is, by the document kept with its account `unearned/SHORT`.
pub(crate) fn config_of(
    ledger: &Ledger,
    short: &str,
) -> Result<Option<ChannelConfig>, LedgerError> {
    let Some(short) = short_of(short) else { return Ok(None) };
    let documents = ledger.evidence(reference_of_short(&short))?;
    let opened = documents.iter().find(|d| d.evidence.stage == stage::CHANNEL);
    Ok(opened
        .and_then(|d| serde_json::from_slice::<Opened>(&d.evidence.body).ok())
        .map(|opened| opened.channel_config))
}

fn reference_of_short(short: &[u8; 20]) -> Reference {
    Reference::derive("x402/batch-settlement/channel", &[CONTRACT.as_slice(), short])
}

fn short_of(text: &str) -> Option<[u8; 20]> {
    alloy_primitives::hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_is_gone_makes_no_claim_due() {
        let mut tab = Tab::default();
        let place = tab.take_next(10, 10).unwrap();
        tab.write(place, 10);
        tab.written(place, 10, alloy_primitives::Bytes::new());
        let now = Timestamp::from_secs(1);
        let mut channel = Channel {
            id: B256::ZERO,
            config: ChannelConfig {
                payer: Address::ZERO,
                payer_authorizer: Address::ZERO,
                receiver: Address::ZERO,
                receiver_authorizer: Address::ZERO,
                token: Address::ZERO,
                withdraw_delay: 900,
                salt: B256::ZERO,
            },
            lines: Lines {
                unearned: AccountId::from_u128(1),
                sales: AccountId::from_u128(2),
                owed: AccountId::from_u128(3),
            },
            signer: None,
            tab,
            mirror: Mirror::default(),
            unclaimed_since: Some(now),
            used_at: now,
            doubtful: false,
            gone: false,
        };
        // Until the chain was asked, all of it may be there.
        assert_eq!(channel.unclaimed(), 10);
        for (balance, claimed, left) in [(20, 0, 10), (20, 4, 6), (7, 4, 3), (4, 4, 0), (0, 0, 0)] {
            channel.look(Mirror { balance, claimed, seen_at: Some(now), ..Mirror::default() });
            assert_eq!(channel.unclaimed(), left, "{balance} {claimed}");
            assert_eq!(channel.unclaimed_since.is_some(), left > 0);
        }
    }
}

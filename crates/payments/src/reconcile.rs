//! Keeping books and chain equal: interrupted purchases, and money that moved without us.
//!
//! The chain is the truth about money, the journal about why. [`Bookkeeper::reconcile`] resolves
//! each hold of a purchase whose payment was used or has ended, then books every movement of the
//! token from or to our parties that no entry explains: funding, gifts, withdrawals. Entries are
//! named by what they book, so doing it twice changes nothing, and a crash in the middle neither.
//! What still differs afterwards is reported, never plugged (invariant 1).

mod escrow;

use std::sync::Arc;
use std::time::Duration;

use ledger::{
    Kind, Ledger, LedgerError, Operation, Outcome, Reason, Reference, Status, TransferId, Write,
};
use mandates::books::{self, Entry, Line};
use mandates::{MandateError, Mandates};
use money::{Amount, Clock, Party};
use serde::Serialize;
use settlement::{AuthorizationState, Settlement, SettlementError, TokenMovement};
use thiserror::Error;
use tokio::sync::Mutex;

use self::escrow::{Escrows, InEscrows};
use crate::channel::bookkeeping::{Channels, Looked};
use crate::channel::wallet;
use crate::documents;
use crate::order::{self, Order};
use crate::wire::PaymentPayload;
use settlement::channels::CONTRACT;

pub(crate) use self::escrow::escrow_of;

/// How many blocks are searched at once; fewer where a node finds that too many.
const BLOCKS_AT_ONCE: u64 = 1_000;

/// How long a purchase may be held and not signed, while others are being made: signing follows
/// the hold at once, so what is older was abandoned in between.
const UNSIGNED_FOR: Duration = Duration::from_secs(15 * 60);

/// How much later than its end a payment counts as dead: the chain's clock may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Why books and chain could not be compared.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] SettlementError),
    /// The books could not be written.
    #[error(transparent)]
    Books(#[from] LedgerError),
    /// A hold could not be resolved.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// The books refused an entry that the chain proves.
    #[error("the books refuse what the chain says: {0}")]
    Refused(Reason),
}

/// What a reconciliation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// The chain's newest block that was looked at.
    pub block: u64,
    /// Purchases whose money moved and was posted now.
    pub posted: usize,
    /// Purchases that can no longer be paid and were released.
    pub released: usize,
    /// Movements that were booked now.
    pub booked: usize,
    /// Parties whose books and chain differ, with what the books and the chain say.
    pub breaks: Vec<Break>,
    /// Channels and escrowed payments that could not be compared: something happened in them above
    /// `block`, or blocks came faster than they could be read. Nothing is said of them.
    pub not_compared: usize,
}

/// What a comparison of channels or escrowed payments found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) breaks: Vec<Break>,
    /// How many could not be compared.
    pub(crate) left_out: usize,
}

/// A party whose books are not what the chain says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// Whose.
    pub party: Party,
    /// Which account: cash, what the channels' contract holds for it, or what it has in a channel.
    pub account: String,
    /// What the books say, with nothing in flight.
    pub books: Amount,
    /// What the chain says.
    pub chain: Amount,
}

/// The block from which on a home's books follow a chain that was there before it.
///
/// The first time it books what each party owns at that moment as funding, in one piece with the
/// block's number; later it tells that number. Without it, books would have to be compared from a
/// chain's first block on, which on a public one takes days.
///
/// # Errors
/// [`ReconcileError`]; nothing was booked then.
pub async fn opening_block(
    ledger: &Ledger,
    chain: &Settlement,
    parties: &[Party],
) -> Result<u64, ReconcileError> {
    let reference = opening(chain);
    if let Some(block) = kept_opening(ledger, reference)? {
        return Ok(block);
    }
    let (block, balances) = balances_at_one_block(chain, parties).await?;
    let entries =
        balances.into_iter().filter(|(_, owned)| owned.is_positive()).map(|(book, amount)| {
            let entry = Entry {
                id: TransferId::derive("chain/opening", &[reference.as_bytes(), book.as_bytes()]),
                book,
                debit: Line::Cash,
                credit: Line::Funding,
                amount,
                kind: Kind::Financial,
                counterparty: Party::from(chain.token().address),
                reference,
                digest: [0; 32],
                hold_until: None,
            };
            entry.transfer()
        });
    let entries: Vec<_> = entries.collect();
    let next = block + 1;
    let write = Write {
        operation: (!entries.is_empty()).then_some(Operation::Linked(entries)),
        evidence: vec![documents::json(reference, OPENING, &next)],
    };
    match ledger.submit(write).await? {
        Outcome::Applied | Outcome::Exists => Ok(next),
        Outcome::Refused(refusal) => Err(ReconcileError::Refused(refusal.reason)),
    }
}

/// The stage of the document that tells where the books begin on a chain.
const OPENING: &str = "opening";

fn opening(chain: &Settlement) -> Reference {
    let token = chain.token();
    Reference::derive(OPENING, &[&token.chain_id.to_be_bytes(), token.address.as_slice()])
}

fn kept_opening(ledger: &Ledger, reference: Reference) -> Result<Option<u64>, LedgerError> {
    let kept = ledger.evidence(reference)?;
    let document = kept.iter().find(|d| d.evidence.stage == OPENING);
    Ok(document.and_then(|d| serde_json::from_slice(&d.evidence.body).ok()))
}

/// The first block that the books answer for: the chain's own first, if they began with it.
pub(crate) fn first_block(ledger: &Ledger, chain: &Settlement) -> Result<u64, LedgerError> {
    Ok(kept_opening(ledger, opening(chain))?.unwrap_or(0))
}

/// What each party owns, all read between the same two blocks.
async fn balances_at_one_block(
    chain: &Settlement,
    parties: &[Party],
) -> Result<(u64, Vec<(Party, Amount)>), ReconcileError> {
    const LOOKS: usize = 20;
    let mut before = chain.safe_head().await?;
    for _ in 0..LOOKS {
        let mut balances = Vec::with_capacity(parties.len());
        for party in parties {
            balances.push((*party, chain.settled_balance(*party).await?));
        }
        let after = chain.safe_head().await?;
        if before == after {
            return Ok((before, balances));
        }
        before = after;
    }
    Err(ReconcileError::Chain(SettlementError::Unreadable {
        what: "balances at one block",
        cause: "blocks come faster than balances can be read".into(),
    }))
}

/// Keeps the books of some parties equal to a chain.
pub struct Bookkeeper {
    pub(crate) ledger: Ledger,
    pub(crate) mandates: Mandates,
    pub(crate) chain: Settlement,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) parties: Vec<Party>,
    /// One reconciliation runs at a time.
    place: Mutex<Place>,
}

/// Where a bookkeeper is.
struct Place {
    /// The first block that was not booked whole yet.
    next_block: u64,
    channels: Channels,
    escrows: Escrows,
}

impl Bookkeeper {
    /// A bookkeeper of these parties; the first look goes back to `from_block`.
    pub fn new(
        ledger: Ledger,
        mandates: Mandates,
        chain: Settlement,
        clock: Arc<dyn Clock>,
        parties: Vec<Party>,
        from_block: u64,
    ) -> Bookkeeper {
        let (channels, escrows) = (Channels::default(), Escrows::default());
        let place = Place { next_block: from_block, channels, escrows };
        Bookkeeper { ledger, mandates, chain, clock, parties, place: Mutex::new(place) }
    }

    /// Whose books are kept.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Resolves, books and compares. `at_rest` says that no purchase is being made now, so that
    /// one without a signed payment can be released.
    ///
    /// # Errors
    /// [`ReconcileError`]; what was resolved and booked before stays so.
    pub async fn reconcile(&self, at_rest: bool) -> Result<Reconciled, ReconcileError> {
        let mut place = self.place.lock().await;
        let Place { next_block, channels, escrows } = &mut *place;
        self.chain.tend().await;
        let (mut posted, mut released) = self.resolve_purchases(at_rest).await?;
        // What lies above may vanish again.
        let newest = self.chain.safe_head().await?;
        let mut booked = 0;
        let mut step = BLOCKS_AT_ONCE;
        let mut next = *next_block;
        // The first block with a movement whose entry is still a hold, or that cannot be booked
        // yet: it is looked at again.
        let mut waits: Option<u64> = None;
        while next <= newest {
            let last = newest.min(next + step - 1);
            let movements = match self.chain.movements(&self.parties, next, last).await {
                Ok(movements) => movements,
                // Too many blocks or events at once for this node.
                Err(SettlementError::Refused { .. }) if step > 1 => {
                    step /= 2;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let in_channels = refused(self.book_channels(channels, next, last).await, next)?;
            let in_escrows = refused(self.book_escrows(escrows, next, last).await, next)?;
            let (Some(mut in_channels), Some(mut in_escrows)) = (in_channels, in_escrows) else {
                if step > 1 {
                    step /= 2;
                    continue;
                }
                // Somebody may have filled a block with events. What cannot be explained is not
                // booked; this block is looked at again, and stops none after it.
                step = BLOCKS_AT_ONCE;
                waits = Some(waits.map_or(next, |first| first.min(next)));
                next = last + 1;
                *next_block = waits.unwrap_or(next);
                continue;
            };
            booked += in_channels.entries + in_escrows.entries;
            waits = [waits, in_channels.waits, in_escrows.waits].into_iter().flatten().min();
            for movement in movements {
                let booking = self.book(&movement, &mut in_channels, &mut in_escrows).await?;
                let Booking { entries, waiting } = booking;
                booked += entries;
                if waiting {
                    waits = Some(waits.map_or(movement.block, |first| first.min(movement.block)));
                }
            }
            next = last + 1;
            *next_block = waits.unwrap_or(next);
        }
        let vouchers = self.resolve_vouchers(channels, at_rest).await?;
        posted += vouchers.0;
        released += vouchers.1;
        let mut breaks = self.breaks().await?;
        let in_escrows = escrows.booked(&self.mandates);
        let in_channels = self.channel_breaks(channels, &in_escrows, newest).await?;
        let in_escrow = self.escrow_breaks(escrows, newest).await?;
        let not_compared = in_channels.left_out + in_escrow.left_out;
        breaks.extend(in_channels.breaks.into_iter().chain(in_escrow.breaks));
        Ok(Reconciled { block: newest, posted, released, booked, breaks, not_compared })
    }

    async fn resolve_purchases(&self, at_rest: bool) -> Result<(usize, usize), ReconcileError> {
        let asset = self.chain.token().asset;
        let cash: Vec<_> = self.parties.iter().map(|p| Line::Cash.of(*p, asset)).collect();
        // Purchases that are paid at once, and deposits into channels.
        let held: Vec<_> = self.ledger.read(|state| {
            state
                .holds()
                .filter(|h| cash.contains(&h.transfer.credit))
                .filter(|h| h.transfer.id == books::purchase_id(h.transfer.reference))
                .map(|h| (h.transfer.reference, h.at))
                .collect()
        });
        let (mut posted, mut released) = (0, 0);
        for (reference, held_at) in held {
            let documents = self.ledger.evidence(reference)?;
            if let Some((payer, order, voucher)) = wallet::kept_deposit(&documents) {
                let ended = self.clock.now() > order.ends_at.plus(CLOCK_SKEW);
                if !ended && !at_rest {
                    continue; // Its buyer still has it in hand.
                }
                let state = match order.state(&self.chain, payer).await {
                    // Made in a block that may vanish: the next look tells.
                    Err(SettlementError::Pending { .. }) => continue,
                    // One that cannot be made out keeps its hold, and stops nobody else.
                    Err(error @ SettlementError::Unreadable { .. }) => {
                        tracing::warn!(%reference, %error, "it is not known what became of a deposit");
                        continue;
                    }
                    state => state?,
                };
                match state {
                    AuthorizationState::Used { .. } => {
                        let voucher = voucher.as_ref();
                        self.mandates.settle_deposit(reference, voucher, Vec::new()).await?;
                        posted += 1;
                    }
                    AuthorizationState::Unused if !ended => {}
                    AuthorizationState::Cancelled | AuthorizationState::Unused => {
                        self.mandates.release(reference, Vec::new()).await?;
                        released += 1;
                    }
                }
                continue;
            }
            let signed = documents
                .into_iter()
                .find(|d| d.evidence.stage == crate::buyer::stage::PAYMENT)
                .and_then(|d| serde_json::from_slice::<PaymentPayload>(&d.evidence.body).ok())
                .and_then(|p| Order::read(&p.payload, &p.accepted).ok());
            let Some(order) = signed else {
                // It was held and never signed: nobody can use it.
                if at_rest || self.clock.now().since(held_at) > UNSIGNED_FOR {
                    self.mandates.release(reference, Vec::new()).await?;
                    released += 1;
                }
                continue;
            };
            let ended = self.clock.now() > order.ends_at().plus(CLOCK_SKEW);
            if !ended && !at_rest {
                continue; // Its buyer still has it in hand.
            }
            let state = match order.state(&self.chain).await {
                Ok(AuthorizationState::Used { .. }) if order.escrow().is_some() => {
                    posted += self.resolve_escrow(reference, &order).await?;
                    continue;
                }
                // Used in a block that may vanish: the next look tells.
                Err(SettlementError::Pending { .. }) => continue,
                // One that cannot be made out keeps its hold, and stops nobody else.
                Err(
                    error @ (SettlementError::Unreadable { .. } | SettlementError::Refused { .. }),
                ) => {
                    tracing::warn!(%reference, %error, "it is not known what became of a purchase");
                    continue;
                }
                state => state?,
            };
            match state {
                AuthorizationState::Used { value, .. } => {
                    let moved = self.chain.amount(value)?;
                    self.mandates.settle_part(reference, moved, Vec::new()).await?;
                    posted += 1;
                }
                AuthorizationState::Cancelled => {
                    self.mandates.release(reference, Vec::new()).await?;
                    released += 1;
                }
                AuthorizationState::Unused if ended => {
                    self.mandates.release(reference, Vec::new()).await?;
                    released += 1;
                }
                AuthorizationState::Unused => {}
            }
        }
        Ok((posted, released))
    }

    /// Books one movement in the book of each of our parties that it touches.
    async fn book(
        &self,
        movement: &TokenMovement,
        in_channels: &mut Looked,
        in_escrows: &mut InEscrows,
    ) -> Result<Booking, ReconcileError> {
        let mut booking = Booking::default();
        if !movement.amount.is_positive() {
            return Ok(booking); // EIP-20 allows transfers of nothing; they are no entry.
        }
        let paid = movement.order.map(|name| order::reference_of(name, self.chain.token()));
        for (party, direction) in [(movement.to, Direction::In), (movement.from, Direction::Out)] {
            if let Some(party) = party.filter(|p| self.parties.contains(p)) {
                // The channels' contract says what it pays for; that is booked already.
                if matches!(direction, Direction::In)
                    && movement.from == Some(CONTRACT.into())
                    && in_channels.explains(movement.transaction, party, movement.amount)
                {
                    continue;
                }
                // So does the escrow, of a payer's money; and what a seller was paid for.
                if in_escrows.explains(movement.transaction, party, direction, movement.amount) {
                    continue;
                }
                let paid = match direction {
                    Direction::In => match in_escrows.captured(movement) {
                        // One of several captures that are posted as one sale.
                        Some(sale) if self.has_posted_more(sale, movement.amount) => continue,
                        captured => captured.or(paid),
                    },
                    Direction::Out => paid,
                };
                match self.book_one(movement, party, direction, paid).await? {
                    Step::Booked => booking.entries += 1,
                    Step::Known => {}
                    Step::Waits => booking.waiting = true,
                }
            }
        }
        Ok(booking)
    }

    async fn book_one(
        &self,
        movement: &TokenMovement,
        party: Party,
        direction: Direction,
        paid: Option<Reference>,
    ) -> Result<Step, ReconcileError> {
        // A payment that we know has an entry of its own, or a hold that will become one.
        let own_id = |reference| match direction {
            Direction::In => books::sale_id(reference),
            Direction::Out => books::purchase_id(reference),
        };
        let known = paid.and_then(|reference| {
            let id = own_id(reference);
            self.ledger.read(|state| {
                state
                    .transfer(&id)
                    // Less than what was held may have been charged.
                    .filter(|r| r.transfer.amount.minor() >= movement.amount.minor())
                    .filter(|r| match r.status {
                        Status::Posted { amount, .. } => amount == movement.amount,
                        Status::Held | Status::Voided { .. } | Status::Expired { .. } => true,
                    })
                    .map(|r| (reference, r.status, r.transfer.kind, r.transfer.debit))
            })
        });
        let late = match known {
            Some((_, Status::Posted { .. }, ..)) => return Ok(Step::Known),
            Some((_, Status::Held, ..)) => return Ok(Step::Waits),
            // Its hold was let go before the money moved: the chain is right, and it is booked late.
            Some((reference, Status::Voided { .. } | Status::Expired { .. }, kind, debit)) => {
                Some((reference, kind, debit))
            }
            None => None,
        };
        if let (Some((reference, ..)), Direction::Out) = (late, direction) {
            self.mandates.charge_late(reference, movement.amount).await?;
        }
        let reference = late.map(|(reference, ..)| reference).or(paid).unwrap_or_else(|| {
            Reference::derive("transaction", &[movement.transaction.as_slice()])
        });
        let other = match direction {
            Direction::In => movement.from,
            Direction::Out => movement.to,
        };
        let (debit, credit) = match (direction, late.is_some()) {
            (Direction::In, false) => (Line::Cash, Line::Funding),
            (Direction::In, true) => (Line::Cash, Line::Sales),
            (Direction::Out, false) => (Line::Funding, Line::Cash),
            (Direction::Out, true) => (Line::Purchases, Line::Cash),
        };
        let is_new = |id| {
            self.ledger.read(|state| {
                // By us a moment ago, if it has this transaction.
                state.transfer(&id).is_none_or(|r| r.transfer.digest == movement.transaction.0)
            })
        };
        let id = match (late, paid) {
            // Its payer carried it to the chain before any seller of ours had seen it. Booked under
            // the payment's own name it can start no work any more, nor be booked a second time.
            (None, Some(reference)) if is_new(own_id(reference)) => own_id(reference),
            _ => TransferId::derive(
                direction.domain(),
                &[
                    &self.chain.token().chain_id.to_be_bytes(),
                    movement.transaction.as_slice(),
                    &movement.log_index.to_be_bytes(),
                ],
            ),
        };
        let entry = Entry {
            id,
            book: party,
            debit,
            credit,
            amount: movement.amount,
            kind: late.map_or(Kind::Financial, |(_, kind, _)| kind),
            counterparty: other.unwrap_or_else(|| Party::from(self.chain.token().address)),
            reference,
            digest: movement.transaction.0,
            hold_until: None,
        };
        if self.ledger.read(|state| state.transfer(&entry.id).is_some()) {
            return Ok(Step::Known);
        }
        let mut operation = entry.transfer();
        if let (Some((_, _, debit)), Direction::Out, Operation::Transfer(transfer)) =
            (late, direction, &mut operation)
        {
            transfer.debit = debit; // A purchase, or what is prepaid in a channel.
        }
        match self.ledger.submit(operation.into()).await? {
            Outcome::Applied => Ok(Step::Booked),
            Outcome::Exists => Ok(Step::Known),
            Outcome::Refused(refusal) => match refusal.reason {
                // What came in is not booked yet, or a hold stands in the way of what went out.
                Reason::LimitExceeded { .. } => {
                    tracing::warn!(%party, reason = %refusal.reason, "a withdrawal cannot be booked yet");
                    Ok(Step::Waits)
                }
                Reason::ExistsWithDifferent { .. } => Ok(Step::Known),
                reason => Err(ReconcileError::Refused(reason)),
            },
        }
    }

    /// Compares cash with the chain, for parties with nothing in flight.
    async fn breaks(&self) -> Result<Vec<Break>, ReconcileError> {
        let asset = self.chain.token().asset;
        let mut breaks = Vec::new();
        for party in &self.parties {
            let cash = Line::Cash.of(*party, asset);
            let books = || {
                self.ledger.read(|state| {
                    state
                        .balance(&cash)
                        .map(|b| (b.settled(), b.debits_pending + b.credits_pending))
                })
            };
            let Some((before, in_flight)) = books() else { continue };
            let chain = self.chain.settled_balance(*party).await?;
            // An entry may land between the two looks; only a difference that stands is one.
            if in_flight == 0 && before != chain && books() == Some((before, 0)) {
                let account = Line::Cash.name().into_owned();
                breaks.push(Break { party: *party, account, books: before, chain });
            }
        }
        Ok(breaks)
    }
}

/// What a look at the blocks from `first` on came to; `None` if the node refuses to show them.
fn refused<T>(looked: Result<T, ReconcileError>, first: u64) -> Result<Option<T>, ReconcileError> {
    match looked {
        Ok(looked) => Ok(Some(looked)),
        Err(ReconcileError::Chain(error @ SettlementError::Refused { .. })) => {
            tracing::warn!(%error, first, "blocks cannot be booked yet");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What became of a movement.
#[derive(Default)]
struct Booking {
    /// How many entries were made.
    entries: usize,
    /// Whether it has to be looked at again.
    waiting: bool,
}

/// What became of a movement in one book.
enum Step {
    Booked,
    /// It has its entry.
    Known,
    /// It will have one.
    Waits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

impl Direction {
    const fn domain(self) -> &'static str {
        match self {
            Direction::In => "chain/in",
            Direction::Out => "chain/out",
        }
    }
}

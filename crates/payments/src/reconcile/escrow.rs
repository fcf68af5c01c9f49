//! Escrowed payments in the books of our parties: what the chain shows of each, booked once.
//!
//! A payer's payment is known by the order that its buyer kept. Its events are booked as they are
//! found, in the payer's book (the table is at the head of the crate `mandates`' `escrow.rs`); what a
//! capture brings a seller is its sale, under the payment's own name. Payments that nobody here
//! signed come and go as any other money does.

use std::collections::{HashMap, HashSet};

use alloy_primitives::{B256, U256};
use ledger::{Ledger, LedgerError, Reference, Status};
use mandates::Mandates;
use mandates::books::{self, Line};
use money::{Amount, Party};
use settlement::TokenMovement;
use settlement::escrow::{Collector, EscrowEvent, Happened, SignedEscrow};

use super::{Bookkeeper, Break, Compared, Direction, ReconcileError};
use crate::auth_capture;
use crate::buyer;
use crate::buyer::escrow::steps;
use crate::order::Order;
use crate::wire::PaymentPayload;

/// How often books and contract are compared before a chain that never rests is left alone.
const LOOKS: usize = 3;

/// The escrowed payment that a buyer signed under a reference; `None` if it signed none, or another.
///
/// # Errors
/// [`LedgerError`].
pub(crate) fn escrow_of(
    ledger: &Ledger,
    reference: Reference,
) -> Result<Option<SignedEscrow>, LedgerError> {
    let documents = ledger.evidence(reference)?;
    let payment = documents
        .iter()
        .find(|d| d.evidence.stage == buyer::stage::PAYMENT)
        .and_then(|d| serde_json::from_slice::<PaymentPayload>(&d.evidence.body).ok());
    let order = payment.and_then(|p| Order::read(&p.payload, &p.accepted).ok());
    Ok(match order {
        Some(Order::Escrow(order)) => Some(order.signed),
        _ => None,
    })
}

/// What a bookkeeper has in mind of escrowed payments; all of it is found again.
#[derive(Default)]
pub(super) struct Escrows {
    /// How many entries of a party's escrow were looked at.
    seen: HashMap<Party, usize>,
    /// Held, and not signed when it was looked.
    unsigned: Vec<(Party, Reference)>,
    /// By the contract's name for them.
    known: HashMap<B256, Known>,
    /// Those of which the book has something in escrow, or may have.
    open: HashSet<B256>,
    /// Those that were not compared since something happened.
    touched: HashSet<B256>,
}

#[derive(Clone, Copy)]
struct Known {
    party: Party,
    reference: Reference,
    /// What was signed, and by whose hand it is taken.
    most: U256,
    by: Collector,
}

impl Known {
    /// What comes from or to the payer's account by something that happened, in minor units.
    fn moved_by(&self, what: Happened) -> Vec<(Direction, U256)> {
        match what {
            // The token moves all that was signed, and the collector sends the rest back.
            Happened::Authorized { amount } | Happened::Charged { amount, .. }
                if self.by == Collector::Authorization && amount < self.most =>
            {
                vec![(Direction::Out, self.most), (Direction::In, self.most - amount)]
            }
            Happened::Authorized { amount } | Happened::Charged { amount, .. } => {
                vec![(Direction::Out, amount)]
            }
            Happened::Voided { amount }
            | Happened::Reclaimed { amount }
            | Happened::Refunded { amount } => vec![(Direction::In, amount)],
            Happened::Captured { .. } => Vec::new(),
        }
    }
}

impl Escrows {
    /// What our parties' books have in escrowed payments, in minor units.
    pub(super) fn booked(&mut self, mandates: &Mandates) -> HashMap<Party, i128> {
        let mut sums = HashMap::new();
        let mut empty = Vec::new();
        for name in &self.open {
            let Some(known) = self.known.get(name) else { continue };
            let Some(book) = mandates.escrow(known.party, known.reference) else { continue };
            *sums.entry(known.party).or_default() += book.in_escrow.minor();
            if book.status != Status::Held && book.in_escrow.is_zero() {
                empty.push(*name);
            }
        }
        for name in empty {
            self.open.remove(&name);
        }
        sums
    }
}

/// What a look at some blocks came to.
#[derive(Default)]
pub(super) struct InEscrows {
    /// How many entries were made.
    pub(super) entries: usize,
    /// The first block that has to be looked at again.
    pub(super) waits: Option<u64>,
    /// Movements of payers' escrowed money, which are in these entries: transaction, payer, whether
    /// it came or went, amount.
    explained: Vec<(B256, Party, Direction, Amount)>,
    /// What sellers got by captures: transaction, amount without the fee, the payment.
    captured: Vec<(B256, Amount, Reference)>,
}

impl InEscrows {
    /// Whether a movement of a payer's money is in the entries of its escrowed payments; each
    /// explains one.
    pub(super) fn explains(
        &mut self,
        transaction: B256,
        party: Party,
        direction: Direction,
        amount: Amount,
    ) -> bool {
        let movement = (transaction, party, direction, amount);
        let found = self.explained.iter().position(|one| *one == movement);
        found.map(|at| self.explained.swap_remove(at)).is_some()
    }

    /// The payment by whose capture a movement came; each capture brings one.
    pub(super) fn captured(&mut self, movement: &TokenMovement) -> Option<Reference> {
        let found = self.captured.iter().position(|(transaction, amount, _)| {
            (*transaction, *amount) == (movement.transaction, movement.amount)
        });
        found.map(|at| self.captured.swap_remove(at).2)
    }
}

impl Bookkeeper {
    /// Reads the orders of payments that were held since.
    fn meet_escrows(&self, escrows: &mut Escrows) -> Result<(), LedgerError> {
        let token = self.chain.token();
        let mut fresh = std::mem::take(&mut escrows.unsigned);
        for party in &self.parties {
            let escrow = Line::Escrow.of(*party, token.asset);
            let seen = escrows.seen.entry(*party).or_default();
            self.ledger.read(|state| {
                let entries = state.entries_of(escrow);
                let length = entries.len();
                let new = entries.rev().take(length.saturating_sub(*seen));
                fresh.extend(
                    new.filter(|r| r.transfer.id == books::purchase_id(r.transfer.reference))
                        .map(|r| (*party, r.transfer.reference)),
                );
                *seen = length;
            });
        }
        for (party, reference) in fresh {
            let Some(signed) = escrow_of(&self.ledger, reference)? else {
                let status = self.mandates.escrow(party, reference).map(|b| b.status);
                if status == Some(Status::Held) {
                    escrows.unsigned.push((party, reference));
                }
                continue;
            };
            let name = signed.hash(token.chain_id);
            let (most, by) = (signed.most(), signed.by);
            escrows.known.insert(name, Known { party, reference, most, by });
            escrows.open.insert(name);
            escrows.touched.insert(name);
        }
        Ok(())
    }

    /// Books what happened to our parties' escrowed payments in some blocks.
    pub(super) async fn book_escrows(
        &self,
        escrows: &mut Escrows,
        from: u64,
        to: u64,
    ) -> Result<InEscrows, ReconcileError> {
        self.meet_escrows(escrows)?;
        let chain_id = self.chain.token().chain_id;
        let mut looked = InEscrows::default();
        for event in &self.chain.escrow_events(from, to).await? {
            if let Happened::Captured { amount, fee } | Happened::Charged { amount, fee } =
                event.what
            {
                let net = self.chain.amount(amount.saturating_sub(fee))?;
                let reference = auth_capture::reference_of(event.payment, chain_id);
                looked.captured.push((event.transaction, net, reference));
            }
            let Some(known) = escrows.known.get(&event.payment).copied() else { continue };
            for (direction, moved) in known.moved_by(event.what) {
                let amount = self.chain.amount(moved)?;
                looked.explained.push((event.transaction, known.party, direction, amount));
            }
            let book = self.mandates.escrow(known.party, known.reference);
            if book.is_none_or(|book| book.status == Status::Held) {
                // Its buyer still has it in hand, or it is resolved in the next round.
                looked.waits = Some(looked.waits.map_or(event.block, |b| b.min(event.block)));
                continue;
            }
            escrows.touched.insert(event.payment);
            escrows.open.insert(event.payment);
            looked.entries += self.book_events(known, [event]).await?;
        }
        Ok(looked)
    }

    /// Whether a sale is posted of which this is a part.
    pub(super) fn has_posted_more(&self, sale: Reference, amount: Amount) -> bool {
        self.ledger.read(|state| {
            let posted = state.transfer(&books::sale_id(sale)).and_then(|r| r.posted());
            posted.is_some_and(|(_, all)| all.minor() > amount.minor())
        })
    }

    async fn book_events<'a>(
        &self,
        known: Known,
        events: impl IntoIterator<Item = &'a EscrowEvent>,
    ) -> Result<usize, ReconcileError> {
        let steps = steps(&self.chain, events)?;
        let Known { party, reference, .. } = known;
        Ok(self.mandates.settle_escrow(party, reference, &steps, Vec::new()).await?)
    }

    /// A purchase that came into escrow and is still held: all that became of it. Returns 1 if it
    /// is booked now.
    pub(super) async fn resolve_escrow(
        &self,
        reference: Reference,
        order: &Order,
    ) -> Result<usize, ReconcileError> {
        let Some(signed) = order.escrow() else { return Ok(0) };
        let history = self.chain.escrow_history(signed).await?;
        let party = Party::from(signed.payment.payer);
        let known = Known { party, reference, most: signed.most(), by: signed.by };
        Ok(usize::from(self.book_events(known, &history.events).await? > 0))
    }

    /// Compares what books and contract say of our parties' escrowed payments, if the chain rests
    /// for so long. Where something happened above `newest`, nothing is compared before it counts.
    pub(super) async fn escrow_breaks(
        &self,
        escrows: &mut Escrows,
        newest: u64,
    ) -> Result<Compared, ReconcileError> {
        if escrows.touched.is_empty() {
            return Ok(Compared::default());
        }
        for _ in 0..LOOKS {
            let head = self.chain.block_number().await?;
            let mut open = HashSet::new();
            if head > newest {
                let events = self.chain.escrow_events(newest + 1, head).await?;
                open.extend(events.iter().map(|event| event.payment));
            }
            let mut states = Vec::with_capacity(escrows.touched.len());
            for name in &escrows.touched {
                let state = self.chain.escrow_state(*name).await?;
                states.push((*name, self.chain.amount(U256::from(state.capturable))?));
            }
            let mut compared = Compared::default();
            let mut equal = Vec::new();
            for (name, chain) in states {
                if open.contains(&name) {
                    compared.left_out += 1;
                    continue;
                }
                let Some(Known { party, reference, .. }) = escrows.known.get(&name).copied() else {
                    continue;
                };
                let Some(book) = self.mandates.escrow(party, reference) else { continue };
                if book.status == Status::Held {
                    continue; // Its fate is not booked yet.
                }
                if book.in_escrow == chain {
                    equal.push(name);
                } else {
                    let account = format!("{}/{name}", Line::Escrow.name());
                    let books = book.in_escrow;
                    compared.breaks.push(Break { party, account, books, chain });
                }
            }
            // Books and chain were read between the same two looks at the head.
            if head < newest || self.chain.block_number().await? != head {
                continue;
            }
            for name in equal {
                escrows.touched.remove(&name);
            }
            return Ok(compared);
        }
        tracing::info!("blocks come faster than escrowed payments can be compared");
        Ok(Compared { breaks: Vec::new(), left_out: escrows.touched.len() })
    }
}

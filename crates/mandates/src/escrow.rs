//! Escrowed payments under a mandate: what is set aside with an operator, and what becomes of it.
//!
//! What lies in escrow can be captured by its operator, so it is held against every limit like a
//! purchase of its amount. The chain then says what became of it, step by step, and each step is an
//! entry named by the event that shows it:
//!
//! | on the chain | in the payer's book |
//! |---|---|
//! | authorized | escrow ← cash: the hold, posted |
//! | charged | the same, and purchases ← escrow at once |
//! | captured | purchases ← escrow |
//! | voided, reclaimed | cash ← escrow, and its room back to the budget |
//! | refunded | cash ← funding: the seller's gift, as the purchase was made; and its room back |
//!
//! Room never comes back beyond what the payment had taken; the sliding day only time gives back.

use alloy_primitives::{Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use ledger::{
    Evidence, Kind, Operation, Outcome, Reason, Reference, Refusal, State, Status, Transfer,
    TransferId, Write,
};
use money::{Amount, Party, Timestamp};
use protocol::escrow::{PaymentInfo, authorization_order, permit_order};
use protocol::permit2::permit2_domain;

use crate::books::{Entry, Line};
use crate::error::MandateError;
use crate::key::{Key, Terms};
use crate::limits::{Held, Mandates, Names, Spend};

/// Something that the chain shows to have happened to an escrowed payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscrowStep {
    /// What.
    pub what: Stepped,
    /// How much; more than nothing.
    pub amount: Amount,
    /// The transaction's hash.
    pub transaction: [u8; 32],
    /// The event's index in its block.
    pub log_index: u64,
}

/// See [`EscrowStep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// From the wallet into escrow.
    Authorized,
    /// From the wallet to the seller.
    Charged,
    /// From escrow to the seller.
    Captured,
    /// From escrow to the wallet: voided or reclaimed.
    Returned,
    /// From the seller's side back to the wallet.
    Refunded,
}

impl Stepped {
    const fn domain(self) -> &'static str {
        match self {
            Stepped::Authorized => "escrow/authorized",
            Stepped::Charged => "escrow/charged",
            Stepped::Captured => "escrow/captured",
            Stepped::Returned => "escrow/returned",
            Stepped::Refunded => "escrow/refunded",
        }
    }
}

impl EscrowStep {
    fn named(&self, domain: &str, reference: Reference) -> TransferId {
        let place = self.log_index.to_be_bytes();
        TransferId::derive(domain, &[reference.as_bytes(), &self.transaction, &place])
    }
}

/// What a payer's book has of an escrowed payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscrowBook {
    /// Whether the money is only set aside, gone into escrow, or let go.
    pub status: Status,
    /// In escrow by the book.
    pub in_escrow: Amount,
}

impl Mandates {
    /// As [`Mandates::hold`], for a payment that goes into escrow first.
    ///
    /// # Errors
    /// As [`Mandates::hold`].
    pub async fn hold_escrow(
        &self,
        spend: Spend,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Result<Held, MandateError> {
        let cap = spend.amount;
        self.hold_on(spend, Line::Escrow, cap, now, evidence).await
    }

    /// What a payer's book has of an escrowed payment; `None` if it was never held there.
    pub fn escrow(&self, book: Party, reference: Reference) -> Option<EscrowBook> {
        self.ledger.read(|state| {
            let purchase = state.transfer(&Names::of(reference).purchase)?;
            let asset = purchase.transfer.amount.asset();
            let escrow = Line::Escrow.of(book, asset);
            if purchase.transfer.debit != escrow {
                return None;
            }
            let minor: i128 = state
                .by_reference(reference)
                .iter()
                .filter_map(|r| {
                    let (_, amount) = r.posted()?;
                    match (r.transfer.debit == escrow, r.transfer.credit == escrow) {
                        (true, false) => Some(amount.minor()),
                        (false, true) => Some(-amount.minor()),
                        _ => None,
                    }
                })
                .sum();
            let in_escrow = Amount::from_minor(asset, minor);
            Some(EscrowBook { status: purchase.status, in_escrow })
        })
    }

    /// Books what the chain shows to have happened to an escrowed payment, in this order. Steps
    /// that are booked already are left alone, so it may be told all of them again and again.
    /// Returns how many it booked.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the payment was never held in that book, or its steps cannot have
    /// happened; [`MandateError::Store`]. What was booked before stays so.
    pub async fn settle_escrow(
        &self,
        book: Party,
        reference: Reference,
        steps: &[EscrowStep],
        evidence: Vec<Evidence>,
    ) -> Result<usize, MandateError> {
        /// Two of one machine may learn the same at once; each round finds what the other did.
        const ROUNDS: usize = 4;
        let purpose = self.purpose(book).map_or(Kind::Intermediate, |p| p.kind());
        let mut booked = 0;
        for step in steps.iter().filter(|step| step.amount.is_positive()) {
            for round in 1..=ROUNDS {
                let status = self
                    .ledger
                    .read(|state| state.transfer(&Names::of(reference).purchase).map(|r| r.status));
                let Some(status) = status else {
                    let cause = "an escrowed payment was never held in this book";
                    return Err(MandateError::Ledger(cause.into()));
                };
                let takes = matches!(step.what, Stepped::Authorized | Stepped::Charged);
                if takes && matches!(status, Status::Voided { .. } | Status::Expired { .. }) {
                    self.charge_late(reference, step.amount).await?;
                }
                let operations =
                    self.ledger.read(|state| operations(state, book, reference, step, purpose));
                if operations.is_empty() {
                    break;
                }
                let operation = Operation::Linked(operations);
                match self.ledger.submit(Write::operation(operation)).await? {
                    Outcome::Applied => {
                        booked += 1;
                        break;
                    }
                    Outcome::Exists => break,
                    Outcome::Refused(Refusal {
                        reason:
                            Reason::ChainPartlyExists
                            | Reason::ExistsWithDifferent { .. }
                            | Reason::HoldExpired { .. }
                            | Reason::HoldAlreadyVoided { .. }
                            | Reason::HoldAlreadyPosted { .. },
                        ..
                    }) if round < ROUNDS => {}
                    Outcome::Refused(refusal) => {
                        return Err(MandateError::Ledger(refusal.reason.to_string()));
                    }
                }
            }
        }
        if !evidence.is_empty() {
            let outcome = self.ledger.submit(Write::evidence(evidence)).await?;
            if let Outcome::Refused(refusal) = outcome {
                return Err(MandateError::Ledger(refusal.reason.to_string()));
            }
        }
        Ok(booked)
    }
}

/// What books one step; nothing if it is booked.
fn operations(
    state: &State,
    book: Party,
    reference: Reference,
    step: &EscrowStep,
    purpose: Kind,
) -> Vec<Operation> {
    let names = Names::of(reference);
    let Some(purchase) = state.transfer(&names.purchase) else { return Vec::new() };
    let payee = purchase.transfer.counterparty.unwrap_or(book);
    let entry = |id, debit, credit, kind| {
        let (amount, digest) = (step.amount, step.transaction);
        let counterparty = payee;
        let hold_until = None;
        Entry { id, book, debit, credit, amount, kind, counterparty, reference, digest, hold_until }
            .transfer()
    };
    let id = step.named(step.what.domain(), reference);
    if state.transfer(&id).is_some() {
        return Vec::new();
    }
    let mut operations = Vec::new();
    match step.what {
        Stepped::Authorized | Stepped::Charged => {
            let amount = Some(step.amount);
            let late = TransferId::derive("escrow/late", &[reference.as_bytes()]);
            match purchase.status {
                Status::Held => {
                    operations.push(Operation::Post { hold: names.lifetime, amount });
                    operations.push(Operation::Post { hold: names.purchase, amount });
                }
                Status::Voided { .. } | Status::Expired { .. }
                    if state.transfer(&late).is_none() =>
                {
                    operations.push(entry(late, Line::Escrow, Line::Cash, Kind::Financial));
                }
                Status::Posted { .. } | Status::Voided { .. } | Status::Expired { .. } => {}
            }
            if step.what == Stepped::Charged {
                operations.push(entry(id, Line::Purchases, Line::Escrow, purpose));
            }
        }
        Stepped::Captured => {
            operations.push(entry(id, Line::Purchases, Line::Escrow, purpose));
        }
        Stepped::Returned => {
            operations.push(entry(id, Line::Cash, Line::Escrow, Kind::Financial));
            operations.extend(room_back(state, reference, step));
        }
        Stepped::Refunded => {
            operations.push(entry(id, Line::Cash, Line::Funding, Kind::Transfer));
            operations.extend(room_back(state, reference, step));
        }
    }
    operations
}

/// The room that what came back gives back to the budget it was taken from.
fn room_back(state: &State, reference: Reference, step: &EscrowStep) -> Option<Operation> {
    let taken = state.transfer(&Names::of(reference).lifetime)?;
    let (budget, spent) = (taken.transfer.debit, taken.transfer.credit);
    // A budget that has ended takes nothing back: nothing can be spent of it anyway.
    if state.account(&budget)?.closes_at.is_some_and(|at| at <= state.now()) {
        return None;
    }
    let records = state.by_reference(reference);
    let sum = |debit, credit| -> i128 {
        let between =
            records.iter().filter(|r| r.transfer.debit == debit && r.transfer.credit == credit);
        between.filter_map(|r| Some(r.posted()?.1.minor())).sum()
    };
    let left = sum(budget, spent) - sum(spent, budget);
    let minor = left.min(step.amount.minor());
    (minor > 0).then(|| {
        Operation::Transfer(Transfer {
            id: step.named("mandate/back", reference),
            debit: spent,
            credit: budget,
            amount: Amount::from_minor(step.amount.asset(), minor),
            kind: Kind::Memo,
            counterparty: taken.transfer.counterparty,
            reference,
            digest: step.transaction,
            hold_until: None,
        })
    })
}

impl Key {
    /// As [`Key::sign_payment`], of a payment into escrow by EIP-3009: for exactly what is held, to
    /// the held payee, in the token whose domain it is.
    ///
    /// # Errors
    /// As [`Key::sign_payment`].
    pub fn sign_escrow(
        &self,
        held: &Held,
        payment: &PaymentInfo,
        domain: &Eip712Domain,
        chain_id: u64,
    ) -> Result<Signature, MandateError> {
        let hash = authorization_order(payment, chain_id).eip712_signing_hash(domain);
        self.sign_held(held, &terms(payment, hash))
    }

    /// As [`Key::sign_escrow`], through Permit2.
    ///
    /// # Errors
    /// As [`Key::sign_payment`].
    pub fn sign_escrow_permit(
        &self,
        held: &Held,
        payment: &PaymentInfo,
        chain_id: u64,
    ) -> Result<Signature, MandateError> {
        let domain = permit2_domain(chain_id);
        let hash = permit_order(payment, chain_id).eip712_signing_hash(&domain);
        self.sign_held(held, &terms(payment, hash))
    }
}

/// What an escrowed payment's order says, though it names its payee by a hash alone.
fn terms(payment: &PaymentInfo, hash: alloy_primitives::B256) -> Terms {
    Terms {
        payer: payment.payer,
        payee: payment.receiver,
        amount: U256::from(payment.maxAmount),
        ends: U256::from(payment.preApprovalExpiry),
        hash,
    }
}

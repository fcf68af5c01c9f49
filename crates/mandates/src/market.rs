//! Money at a labour market: paid in under a mandate, paid out by the market's own key.
//!
//! A deposit is held as any payment is, on the line `market` instead of purchases: what a machine
//! may have at a market is what it may spend. A payout gives room back to the budget that the
//! deposit took it from, as far as what came in was not spent there.
//!
//! A payout is held before it is signed, in the market's book and, if it has one here, in its
//! receiver's; the signed order's number follows from the withdrawal's name, so the chain itself
//! makes it once, whoever sends it how often.

use alloy_primitives::{B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use ledger::{Evidence, Kind, Operation, Outcome, Reference, State, Status, TransferId, Write};
use money::{Amount, Party, Timestamp};
use protocol::TransferWithAuthorization;

use crate::books::{self, Entry, Line};
use crate::channels::room_of_deposits;
use crate::error::MandateError;
use crate::key::Key;
use crate::limits::{Held, Mandates, Spend};

/// Money that a market pays out of what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// The market that keeps it.
    pub market: Party,
    /// Whose it is, and who gets it.
    pub to: Party,
    /// How much.
    pub amount: Amount,
    /// The number of its signed order, made from the withdrawal's name: whatever is signed for it
    /// moves money once.
    pub number: B256,
    /// The payment's reference, which follows from market and number.
    pub reference: Reference,
    /// Whether the receiver has a book in this ledger.
    pub booked: bool,
    /// Until when it stays held if nobody says what became of it.
    pub until: Timestamp,
}

/// A payout whose money is set aside. Only [`Mandates`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPayout(Payout);

impl HeldPayout {
    /// What is held.
    pub fn payout(&self) -> &Payout {
        &self.0
    }
}

impl Mandates {
    /// As [`Mandates::hold`], for money that stays the machine's own and goes to a market.
    ///
    /// # Errors
    /// As [`Mandates::hold`].
    pub async fn hold_at_market(
        &self,
        spend: Spend,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Result<Held, MandateError> {
        let cap = spend.amount;
        self.hold_on(spend, Line::Market, cap, now, evidence).await
    }

    /// Sets a payout aside in the market's book and in its receiver's. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the market has not so much, or if the payout was let go;
    /// [`MandateError::Store`].
    pub async fn hold_payout(&self, payout: Payout) -> Result<HeldPayout, MandateError> {
        let known = self.ledger.read(|state| {
            let record = state.transfer(&books::purchase_id(payout.reference))?;
            Some((record.transfer.amount, record.transfer.counterparty, record.status))
        });
        if let Some((amount, to, status)) = known {
            let is_same = amount == payout.amount && to == Some(payout.to);
            return match status {
                Status::Held | Status::Posted { .. } if is_same => Ok(HeldPayout(payout)),
                _ => Err(MandateError::Ledger("another payout has this name".into())),
            };
        }
        let entry = |book, other, id, debit, credit| {
            let Payout { amount, reference, until, .. } = payout;
            Entry {
                id,
                book,
                debit,
                credit,
                amount,
                kind: Kind::Financial,
                counterparty: other,
                reference,
                digest: [0; 32],
                hold_until: Some(until),
            }
            .transfer()
        };
        let (market, to) = (payout.market, payout.to);
        let out = books::purchase_id(payout.reference);
        let mut holds = vec![entry(market, to, out, Line::Owed, Line::Cash)];
        if payout.booked {
            let back = books::sale_id(payout.reference);
            holds.push(entry(to, market, back, Line::Cash, Line::Market));
        }
        match self.ledger.submit(Operation::Linked(holds).into()).await? {
            Outcome::Applied | Outcome::Exists => Ok(HeldPayout(payout)),
            Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
        }
    }

    /// The chain shows the payout: its holds become entries, and the receiver's budget has its room
    /// again. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the hold is gone, [`MandateError::Store`].
    pub async fn settle_payout(&self, held: &HeldPayout) -> Result<(), MandateError> {
        let payout = &held.0;
        let out = books::purchase_id(payout.reference);
        let operations = self.ledger.read(|state| {
            let record = state.transfer(&out)?;
            if matches!(record.status, Status::Posted { .. }) {
                return None;
            }
            let mut operations = vec![Operation::Post { hold: out, amount: None }];
            if payout.booked {
                let back = books::sale_id(payout.reference);
                operations.push(Operation::Post { hold: back, amount: None });
                operations.extend(room_back(state, payout));
            }
            Some(operations)
        });
        let Some(operations) = operations else { return Ok(()) };
        match self.ledger.submit(Write::operation(Operation::Linked(operations))).await? {
            Outcome::Applied | Outcome::Exists => Ok(()),
            Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
        }
    }
}

/// The room that a payout gives back: no more than what was paid in and neither spent there nor
/// given back before, so that earnings never make a budget larger.
fn room_back(state: &State, payout: &Payout) -> Vec<Operation> {
    let asset = payout.amount.asset();
    let at_market = Line::Market.of(payout.to, asset);
    let cash = Line::Cash.of(payout.to, asset);
    let (mut paid_in, mut gone) = (0, 0);
    for record in state.entries_of(at_market) {
        let Some((_, amount)) = record.posted() else { continue };
        let (debit, credit) = (record.transfer.debit, record.transfer.credit);
        if debit == at_market && credit == cash {
            paid_in += amount.minor();
        } else if credit == at_market {
            // Spent there, or paid out before.
            gone += amount.minor();
        }
    }
    let room = (paid_in - gone).clamp(0, payout.amount.minor());
    let name = |deposit: Reference| {
        let parts: [&[u8]; 2] = [payout.reference.as_bytes(), deposit.as_bytes()];
        TransferId::derive("mandate/payout", &parts)
    };
    let room = Amount::from_minor(asset, room);
    room_of_deposits(state, payout.to, Line::Market, room, [0; 32], name)
}

impl Key {
    /// Signs a payout that is held: of this key's own market, to the one whose money it is, and of
    /// exactly that much.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] naming what the hold does not cover.
    pub fn sign_payout(
        &self,
        held: &HeldPayout,
        order: &TransferWithAuthorization,
        domain: &Eip712Domain,
    ) -> Result<Signature, MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let payout = &held.0;
        if payout.market != self.party() || order.from != self.address() {
            return refuse("the money is kept by somebody else");
        }
        if Party::from(order.to) != payout.to {
            return refuse("the hold is for another payee");
        }
        if U256::try_from(payout.amount.minor()).ok() != Some(order.value) {
            return refuse("the hold is for another amount");
        }
        if order.nonce != payout.number {
            return refuse("the hold is for another payout");
        }
        if order.validBefore > U256::from(payout.until.as_secs()) {
            return refuse("the payment would outlive its hold");
        }
        Ok(self.sign_hash(order.eip712_signing_hash(domain)))
    }
}

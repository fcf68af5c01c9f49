//! A mandate in force: accounts that cannot be overdrawn.
//!
//! Granting a mandate opens five accounts in the machine's book and fills three of them with what
//! is allowed. A payment is one linked chain of holds, so either every limit has room, or nothing
//! changes:
//!
//! | step | from → to | what it means |
//! |---|---|---|
//! | 0, 1 | `payment` → `spent`, and void at once | the cap for one payment: the hold fits or fails |
//! | 2 | `day` → `spent`, for 24 hours, never posted | the sliding day: it comes back by expiring |
//! | 3 | `lifetime` → `spent` | the budget, posted when paid |
//! | 4 | `cash` → `purchases` | the money itself, posted when paid |
//!
//! Where the mandate says how much goes without asking, more steps follow, so that the limits are
//! asked first. Either the owner accepted this very purchase, or it goes unasked:
//!
//! | step | from → to | what it means |
//! |---|---|---|
//! | 5 | `approval/…` → `spent`, never posted | the owner's word, used up ([`crate::Approval`]) |
//! | or 5, 6 | `unasked-payment` → `spent`, and void at once | the cap for one payment without asking |
//! | 7 | `unasked-day` → `spent`, for 24 hours, never posted | the sliding day without asking |
//!
//! Expiry is the accounts' own: they close. No limit is counted anywhere else (invariant 4). Nor
//! is it noted elsewhere which mandate is in force: it is the one whose accounts were opened last,
//! so all who share a ledger agree, and an old document that is granted again brings nothing back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use alloy_primitives::B256;
use ledger::{
    Account, AccountId, Class, Evidence, Kind, Ledger, Limit, Operation, Outcome, Reason,
    Reference, Refusal, State, Status, Transfer, TransferId, Write,
};
use money::{Amount, Party, Timestamp};

use crate::approval;
use crate::books::{self, Entry, Line};
use crate::error::{MandateError, Rule};
use crate::mandate::{Mandate, MandateId, Purpose, SignedMandate, Unasked};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many steps a payment takes against the limits; what follows asks for leave.
const STEPS: usize = 5;

/// Where a signed mandate is kept among a reference's documents.
const DOCUMENT: &str = "mandate";

/// A payment that a machine asks to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Who pays.
    pub machine: Party,
    /// Who is paid.
    pub payee: Party,
    /// How much.
    pub amount: Amount,
    /// The payment's reference.
    pub reference: Reference,
    /// The digest of the request that it pays for.
    pub digest: [u8; 32],
    /// The EIP-712 hash of the order that is to be signed for it: the token, the chain, the nonce
    /// and all the rest. The key signs this order and no other.
    pub order: B256,
    /// Until when the money stays set aside if nobody says what became of the payment.
    pub until: Timestamp,
}

/// A payment whose money is set aside. Only [`Mandates`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    spend: Spend,
    mandate: MandateId,
    left: Left,
}

impl Held {
    /// What is held.
    pub fn spend(&self) -> &Spend {
        &self.spend
    }

    /// Under which mandate.
    pub fn mandate(&self) -> MandateId {
        self.mandate
    }

    /// What may still be spent after it.
    pub fn left(&self) -> &Left {
        &self.left
    }
}

/// What may still be spent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// For one payment.
    pub per_payment: Amount,
    /// In the last 24 hours.
    pub daily: Amount,
    /// In all.
    pub lifetime: Amount,
    /// In the wallet.
    pub wallet: Amount,
    /// Until when.
    pub expires_at: Timestamp,
    /// What of it still goes without asking; all if the mandate asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Unasked>,
}

/// The mandates of a home, over its ledger. Cheap to clone.
#[derive(Clone)]
pub struct Mandates {
    pub(crate) ledger: Ledger,
    /// Documents that were read and checked, by their reference; they never change.
    checked: Arc<RwLock<HashMap<Reference, Arc<InForce>>>>,
    /// What came back out of each channel, as far as its entries were looked through.
    pub(crate) came_back: Arc<Mutex<HashMap<AccountId, CameBack>>>,
}

/// What came back out of a channel to its buyer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CameBack {
    /// How many of its entries were looked at; they never change sides.
    pub(crate) seen: usize,
    /// Minor units.
    pub(crate) minor: i128,
}

/// A mandate that was read and checked, with the names that follow from it: each purchase asks for
/// them, and they are hashes of all that it says.
pub(crate) struct InForce {
    pub(crate) mandate: Mandate,
    id: MandateId,
    pub(crate) accounts: Accounts,
}

/// The accounts of one mandate.
pub(crate) struct Accounts {
    source: AccountId,
    pub(crate) payment: AccountId,
    day: AccountId,
    lifetime: AccountId,
    pub(crate) spent: AccountId,
    pub(crate) asked: AccountId,
    pub(crate) unasked_payment: AccountId,
    unasked_day: AccountId,
}

impl Accounts {
    fn name(id: MandateId, part: &str) -> String {
        format!("mandate/{id}/{part}")
    }

    fn of(mandate: &Mandate, id: MandateId) -> Accounts {
        let asset = mandate.lifetime.asset();
        let account = |part| AccountId::derive(mandate.machine, &Accounts::name(id, part), asset);
        Accounts {
            source: account("granted"),
            payment: account("payment"),
            day: account("day"),
            lifetime: account("lifetime"),
            spent: account("spent"),
            asked: account("asked"),
            unasked_payment: account("unasked-payment"),
            unasked_day: account("unasked-day"),
        }
    }
}

impl Mandates {
    /// The mandates in this ledger. Those of the given machines are read and checked now, others
    /// when they are first asked for.
    ///
    /// # Errors
    /// [`MandateError::Store`]; [`MandateError::NotSignedByOwner`] or [`MandateError::Invalid`] if
    /// a kept document was changed.
    pub fn open(ledger: Ledger, machines: &[Party]) -> Result<Mandates, MandateError> {
        let mandates = Mandates { ledger, checked: Arc::default(), came_back: Arc::default() };
        for machine in machines {
            mandates.in_force(*machine)?;
        }
        Ok(mandates)
    }

    /// The newest mandate of a machine.
    pub(crate) fn in_force(&self, machine: Party) -> Result<Option<Arc<InForce>>, MandateError> {
        let Some(reference) = self.ledger.read(|state| newest(state, machine)) else {
            return Ok(None);
        };
        if let Some(known) = self.checked.read().expect("no panic while reading").get(&reference) {
            return Ok(Some(known.clone()));
        }
        let invalid = |cause: &str| MandateError::Invalid { machine, cause: cause.into() };
        let documents = self.ledger.evidence(reference)?;
        let document = documents
            .iter()
            .find(|d| d.evidence.stage == DOCUMENT)
            .ok_or_else(|| invalid("its document is missing from the journal"))?;
        let mandate = SignedMandate::from_json(&document.evidence.body)?.mandate().clone();
        if mandate.reference() != reference || mandate.machine != machine {
            return Err(invalid("its document is not the one that was granted"));
        }
        let id = mandate.id();
        let known = Arc::new(InForce { accounts: Accounts::of(&mandate, id), id, mandate });
        let mut checked = self.checked.write().expect("no panic while reading");
        checked.insert(reference, known.clone());
        Ok(Some(known))
    }

    /// Puts a mandate in force. It replaces the machine's earlier one; granting the same one again
    /// changes nothing, so a repeated grant does not add up.
    ///
    /// # Errors
    /// [`MandateError::NotSignedByOwner`] if the machine has a mandate of another owner,
    /// [`MandateError::Superseded`] if it was replaced before, [`MandateError::Expired`] if it
    /// has ended, [`MandateError::Ledger`] if the journal refuses, [`MandateError::Store`] if it
    /// fails.
    pub async fn grant(&self, signed: SignedMandate) -> Result<MandateId, MandateError> {
        let mandate = signed.mandate().clone();
        // Whoever granted first is the owner; else a machine could make itself a second one.
        if let Some(present) = self.in_force(mandate.machine)?
            && present.mandate.owner != mandate.owner
        {
            return Err(MandateError::NotSignedByOwner {
                machine: mandate.machine,
                owner: present.mandate.owner,
            });
        }
        let id = mandate.id();
        let accounts = Accounts::of(&mandate, id);
        let asset = mandate.lifetime.asset();
        let open = |part: &str, limit: Limit, closes: bool| {
            let mut account =
                Account::new(mandate.machine, Accounts::name(id, part), asset, Class::Memo, limit);
            account.closes_at = closes.then_some(mandate.expires_at);
            Operation::Open(account)
        };
        let fill = |part: &str, to: AccountId, amount: Amount| {
            Operation::Transfer(Transfer {
                id: TransferId::derive(
                    "mandate/grant",
                    &[id.to_string().as_bytes(), part.as_bytes()],
                ),
                debit: accounts.source,
                credit: to,
                amount,
                kind: Kind::Memo,
                counterparty: Some(mandate.owner),
                reference: mandate.reference(),
                // Not of the signature: one document may be signed twice, and is still one mandate.
                digest: mandate.signing_hash().0,
                hold_until: None,
            })
        };
        let bounded = Limit::DebitsMustNotExceedCredits;
        let mut operations = vec![
            open("granted", Limit::None, false),
            open("spent", Limit::None, false),
            open("payment", bounded, true),
            open("day", bounded, true),
            open("lifetime", bounded, true),
            fill("payment", accounts.payment, mandate.per_payment),
            fill("day", accounts.day, mandate.daily),
            fill("lifetime", accounts.lifetime, mandate.lifetime),
        ];
        if let Some(unasked) = mandate.unasked {
            operations.push(open("asked", Limit::None, true));
            let limits = [
                ("unasked-payment", accounts.unasked_payment, unasked.per_payment),
                ("unasked-day", accounts.unasked_day, unasked.daily),
            ];
            for (part, account, amount) in limits {
                operations.push(open(part, bounded, true));
                // Nothing cannot be moved: an account without filling allows nothing.
                operations.extend(amount.is_positive().then(|| fill(part, account, amount)));
            }
        }
        let operation = Operation::Linked(operations);
        let evidence = vec![Evidence {
            reference: mandate.reference(),
            stage: DOCUMENT.into(),
            media_type: "application/json".into(),
            body: signed.to_json(),
        }];
        match self.ledger.submit(Write { operation: Some(operation), evidence }).await? {
            Outcome::Applied | Outcome::Exists => match self.in_force(mandate.machine)? {
                Some(present) if present.id != id => Err(MandateError::Superseded {
                    machine: mandate.machine,
                    mandate: id,
                    by: present.id,
                }),
                _ => Ok(id),
            },
            Outcome::Refused(refusal) => match refusal.reason {
                Reason::AccountClosed { .. } | Reason::AccountMustCloseInFuture { .. } => {
                    Err(MandateError::Expired {
                        machine: mandate.machine,
                        expired_at: mandate.expires_at,
                    })
                }
                reason => Err(MandateError::Ledger(reason.to_string())),
            },
        }
    }

    /// The mandate in force for a machine, expired or not. One that cannot be read is none: what
    /// is not known to be allowed is refused.
    pub fn of(&self, machine: Party) -> Option<Mandate> {
        self.readable(machine).map(|known| known.mandate.clone())
    }

    fn readable(&self, machine: Party) -> Option<Arc<InForce>> {
        self.in_force(machine).unwrap_or_else(|error| {
            tracing::error!(%machine, %error, "a mandate cannot be read, so it allows nothing");
            None
        })
    }

    /// What a machine may still spend; `None` without a mandate.
    pub fn left(&self, machine: Party) -> Option<Left> {
        let known = self.readable(machine)?;
        Some(self.left_of(&known))
    }

    fn left_of(&self, InForce { mandate, accounts, .. }: &InForce) -> Left {
        let asset = mandate.lifetime.asset();
        let cash = Line::Cash.of(mandate.machine, asset);
        self.ledger.read(|state| {
            let available = |id: &AccountId| {
                state.balance(id).map_or(Amount::zero(asset), |balance| balance.available())
            };
            Left {
                per_payment: available(&accounts.payment),
                daily: available(&accounts.day),
                lifetime: available(&accounts.lifetime),
                wallet: available(&cash),
                expires_at: mandate.expires_at,
                unasked: mandate.unasked.map(|_| Unasked {
                    per_payment: available(&accounts.unasked_payment),
                    daily: available(&accounts.unasked_day),
                }),
            }
        })
    }

    /// Sets the money of a payment aside, if every limit has room for it: all or nothing.
    ///
    /// `now` is the present, for the sliding day; the ledger's own clock judges expiry. `evidence`
    /// is written with the holds, or not at all.
    ///
    /// # Errors
    /// [`MandateError::NoMandate`], [`MandateError::Expired`], [`MandateError::Refused`] with the
    /// rule and what is left, [`MandateError::NeedsApproval`] if all limits have room and the owner
    /// has not accepted it, [`MandateError::Store`]. Nothing changed then.
    pub async fn hold(
        &self,
        spend: Spend,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Result<Held, MandateError> {
        let cap = spend.amount;
        self.hold_on(spend, Line::Purchases, cap, now, evidence).await
    }

    /// As [`Mandates::hold`], for `line`: purchases, or what is prepaid in a channel. `cap` is what
    /// the limit for one payment is asked for.
    pub(crate) async fn hold_on(
        &self,
        spend: Spend,
        line: Line,
        cap: Amount,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Result<Held, MandateError> {
        let known = self
            .in_force(spend.machine)?
            .filter(|known| known.mandate.lifetime.asset() == spend.amount.asset())
            .ok_or(MandateError::NoMandate { machine: spend.machine })?;
        let InForce { mandate, accounts, .. } = &*known;
        let names = Names::of(spend.reference);
        // A clock that steps back must not make the day shorter.
        let day_ends = now.max(self.ledger.read(State::now)).plus(DAY);
        let limit = |id: TransferId, account: AccountId, amount: Amount, until: Timestamp| {
            Operation::Transfer(Transfer {
                id,
                debit: account,
                credit: accounts.spent,
                amount,
                kind: Kind::Memo,
                counterparty: Some(spend.payee),
                reference: spend.reference,
                digest: spend.digest,
                hold_until: Some(until),
            })
        };
        let purchase = Entry {
            id: names.purchase,
            book: spend.machine,
            debit: line,
            credit: Line::Cash,
            amount: spend.amount,
            kind: match line {
                Line::Purchases => mandate.purpose.kind(),
                _ => Kind::Financial,
            },
            counterparty: spend.payee,
            reference: spend.reference,
            digest: spend.digest,
            hold_until: Some(spend.until),
        };
        let write = |more: Vec<Operation>, evidence: Vec<Evidence>| {
            let mut steps = vec![
                limit(names.payment, accounts.payment, cap, spend.until),
                Operation::Void { hold: names.payment },
                limit(names.day, accounts.day, spend.amount, day_ends),
                limit(names.lifetime, accounts.lifetime, spend.amount, spend.until),
                purchase.transfer(),
            ];
            steps.extend(more);
            Write { operation: Some(Operation::Linked(steps)), evidence }
        };
        let mut unasked = Vec::new();
        if mandate.unasked.is_some() {
            if let Some(word) = self.accepted(&known, &spend, now)? {
                let used = approval::use_of(&word, names.approval, accounts.spent, &spend);
                match self.ledger.submit(write(vec![used], evidence.clone())).await? {
                    // Another purchase was faster, or its time has just ended: as without it.
                    Outcome::Refused(refusal) if refusal.index >= STEPS => {}
                    outcome => return self.held(&known, spend, outcome),
                }
            }
            let cap = names.unasked_payment;
            unasked = vec![
                limit(cap, accounts.unasked_payment, spend.amount, spend.until),
                Operation::Void { hold: cap },
                limit(names.unasked_day, accounts.unasked_day, spend.amount, day_ends),
            ];
        }
        let outcome = self.ledger.submit(write(unasked, evidence)).await?;
        self.held(&known, spend, outcome)
    }

    fn held(&self, known: &InForce, spend: Spend, outcome: Outcome) -> Result<Held, MandateError> {
        match outcome {
            Outcome::Applied => Ok(Held { spend, mandate: known.id, left: self.left_of(known) }),
            // A reference names one payment; holding it twice is a mistake of the caller.
            Outcome::Exists => Err(MandateError::Ledger("this payment is held already".into())),
            Outcome::Refused(refusal) if refusal.index >= STEPS => {
                Err(self.needs_approval(known, spend.payee, spend.amount))
            }
            Outcome::Refused(refusal) => Err(refused(&known.mandate, &spend, refusal)),
        }
    }

    /// Why a payment within all limits does not go without asking.
    pub(crate) fn needs_approval(
        &self,
        known: &InForce,
        payee: Party,
        asked: Amount,
    ) -> MandateError {
        let left = self.left_of(known).unasked;
        let least = left.map(|left| match left.daily.minor() < left.per_payment.minor() {
            true => left.daily,
            false => left.per_payment,
        });
        MandateError::NeedsApproval {
            machine: known.mandate.machine,
            owner: known.mandate.owner,
            payee,
            asked,
            unasked: least.unwrap_or(asked),
        }
    }

    /// The payment was made: its holds become entries. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the hold is gone, [`MandateError::Store`].
    pub async fn settle(
        &self,
        reference: Reference,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        self.post(reference, None, evidence).await
    }

    /// The payment was made, of as much as `moved`: more than nothing, at most what was held. The
    /// rest comes back to the wallet and to the budget; the sliding day keeps the whole of what was
    /// held, as if it had been spent, until the day is over. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the hold is gone, if more moved than was held, or if another
    /// amount was settled before; [`MandateError::Store`].
    pub async fn settle_part(
        &self,
        reference: Reference,
        moved: Amount,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        self.post(reference, Some(moved), evidence).await
    }

    async fn post(
        &self,
        reference: Reference,
        amount: Option<Amount>,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        let names = Names::of(reference);
        let operation = Operation::Linked(vec![
            Operation::Post { hold: names.lifetime, amount },
            Operation::Post { hold: names.purchase, amount },
        ]);
        match self.ledger.submit(Write { operation: Some(operation), evidence }).await? {
            Outcome::Applied | Outcome::Exists => Ok(()),
            Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
        }
    }

    /// The payment can no longer be made: its money and its room come back, as far as time has
    /// not brought them back already. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if it was never held or was settled, [`MandateError::Store`].
    pub async fn release(
        &self,
        reference: Reference,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        let names = Names::of(reference);
        let mut holds = vec![names.day, names.lifetime, names.purchase];
        // Those that only a mandate with something to ask for has.
        holds.extend(self.ledger.read(|state| {
            let asking = [names.unasked_day, names.approval].into_iter();
            asking.filter(|hold| state.transfer(hold).is_some()).collect::<Vec<_>>()
        }));
        // Each round but the last finds that one more of them has expired meanwhile.
        let mut rounds = holds.len();
        loop {
            let open = self.ledger.read(|state| {
                let expired = |hold: &TransferId| {
                    matches!(state.transfer(hold).map(|r| r.status), Some(Status::Expired { .. }))
                };
                holds.iter().copied().filter(|hold| !expired(hold)).collect::<Vec<_>>()
            });
            let voids: Vec<_> = open.into_iter().map(|hold| Operation::Void { hold }).collect();
            let operation = (!voids.is_empty()).then_some(Operation::Linked(voids));
            if operation.is_none() && evidence.is_empty() {
                return Ok(());
            }
            match self.ledger.submit(Write { operation, evidence: evidence.clone() }).await? {
                Outcome::Applied | Outcome::Exists => return Ok(()),
                Outcome::Refused(Refusal { reason: Reason::HoldExpired { .. }, .. })
                    if rounds > 0 =>
                {
                    rounds -= 1;
                }
                Outcome::Refused(refusal) => {
                    return Err(MandateError::Ledger(refusal.reason.to_string()));
                }
            }
        }
    }

    /// The chain shows that `moved` was paid though the hold was let go: its room in the budget is
    /// taken after all, as far as it is still there. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if it was never held, [`MandateError::Store`].
    pub async fn charge_late(
        &self,
        reference: Reference,
        moved: Amount,
    ) -> Result<(), MandateError> {
        let names = Names::of(reference);
        let late = TransferId::derive("mandate/late", &[reference.as_bytes()]);
        let found = self.ledger.read(|state| {
            if state.transfer(&late).is_some() {
                return None;
            }
            let record = state.transfer(&names.lifetime)?;
            let left = state.balance(&record.transfer.debit)?.available();
            Some((record.clone(), left))
        });
        let Some((record, left)) = found else { return Ok(()) };
        match record.status {
            Status::Posted { .. } => return Ok(()),
            Status::Held => return self.settle_part(reference, moved, Vec::new()).await,
            Status::Voided { .. } | Status::Expired { .. } => {}
        }
        let held = record.transfer.amount;
        let asked = if moved.minor() < held.minor() { moved } else { held };
        let amount = if left.minor() < asked.minor() { left } else { asked };
        if amount.minor() < asked.minor() {
            tracing::error!(%reference, %asked, %left, "a late payment exceeds what its mandate has left");
        }
        if !amount.is_positive() {
            return Ok(());
        }
        let charge = Transfer { id: late, amount, hold_until: None, ..record.transfer };
        match self.ledger.submit(Operation::Transfer(charge).into()).await? {
            Outcome::Applied | Outcome::Exists => Ok(()),
            // The mandate has ended: nothing more can be spent under it anyway.
            Outcome::Refused(Refusal { reason: Reason::AccountClosed { .. }, .. }) => Ok(()),
            Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
        }
    }

    /// Opens a party's book in an asset.
    ///
    /// # Errors
    /// [`MandateError::Store`], or [`MandateError::Ledger`] if an account of that name differs.
    pub async fn open_book(&self, party: Party, asset: money::Asset) -> Result<(), MandateError> {
        let lines = books::open(party, asset).into_iter().map(Write::operation).collect();
        for outcome in self.ledger.submit_all(lines).await? {
            if let Outcome::Refused(refusal) = outcome {
                return Err(MandateError::Ledger(refusal.reason.to_string()));
            }
        }
        Ok(())
    }

    /// What a purchase by this machine is to the national accounts.
    pub fn purpose(&self, machine: Party) -> Option<Purpose> {
        self.readable(machine).map(|known| known.mandate.purpose)
    }
}

/// The names of one payment's holds: all follow from its reference.
pub(crate) struct Names {
    payment: TransferId,
    day: TransferId,
    pub(crate) lifetime: TransferId,
    pub(crate) purchase: TransferId,
    unasked_payment: TransferId,
    unasked_day: TransferId,
    approval: TransferId,
}

impl Names {
    pub(crate) fn of(reference: Reference) -> Names {
        let name = |domain| TransferId::derive(domain, &[reference.as_bytes()]);
        Names {
            payment: name("mandate/payment"),
            day: name("mandate/day"),
            lifetime: name("mandate/lifetime"),
            purchase: books::purchase_id(reference),
            unasked_payment: name("mandate/unasked-payment"),
            unasked_day: name("mandate/unasked-day"),
            approval: name("mandate/approval"),
        }
    }
}

/// The reference of a machine's newest mandate: accounts are in the order of their opening.
fn newest(state: &State, machine: Party) -> Option<Reference> {
    let budget = state
        .accounts_of(machine)
        .rev()
        .find(|a| a.name.starts_with("mandate/") && a.name.ends_with("/lifetime"))?;
    state.entries_of(budget.id).next().map(|filling| filling.transfer.reference)
}

/// Which rule a refused chain broke: its steps are in the order of the module's table.
fn refused(mandate: &Mandate, spend: &Spend, refusal: Refusal) -> MandateError {
    let rule = match refusal.index {
        0 | 1 => Rule::PerPayment,
        2 => Rule::Daily,
        3 => Rule::Lifetime,
        _ => Rule::Wallet,
    };
    match refusal.reason {
        Reason::LimitExceeded { available, asked, .. } => {
            MandateError::Refused { rule, asked, left: available, payee: spend.payee }
        }
        Reason::AccountClosed { .. } => {
            MandateError::Expired { machine: mandate.machine, expired_at: mandate.expires_at }
        }
        // Nobody opened the machine's book in this asset: its wallet was never filled.
        Reason::AccountNotFound { .. } if rule == Rule::Wallet => MandateError::Refused {
            rule,
            asked: spend.amount,
            left: Amount::zero(spend.amount.asset()),
            payee: spend.payee,
        },
        reason => MandateError::Ledger(reason.to_string()),
    }
}

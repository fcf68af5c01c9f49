//! What waits for the owner's word: a purchase above what its mandate lets go without asking.
//!
//! A request is for exactly one purchase: who is paid, at most how much, and the digest of what is
//! asked for (method, address, body). It is a hold among the mandate's own accounts, so that the
//! ledger itself makes it resolve once, and in time:
//!
//! | step | from → to | what it means |
//! |---|---|---|
//! | asked | `asked` → `approval/…`, a hold for [`DECIDE_WITHIN`] | it waits; no money is set aside |
//! | accepted | the hold is posted, with the owner's signature beside it | there is room for one purchase |
//! | refused | the hold is void | the same is not asked again before the request's end |
//! | used | `approval/…` → `spent`, a hold in the payment's own chain | all of that room, whatever it costs |
//!
//! The account `approval/…` cannot be overdrawn and closes at [`Approval::use_by`]: a second
//! purchase, or a late one, finds no room. A payment that comes to nothing ([`Mandates::release`])
//! gives the room back as it gives back the budget's. What is accepted is still within all limits:
//! those are asked first. A new mandate ends what waits under the old one.
//!
//! Bounds: [`MOST_WAITING`] requests of a machine wait at once.

use std::time::Duration;

use alloy_primitives::{B256, Signature, U256};
use alloy_sol_types::{SolStruct as _, sol};
use ledger::{
    Account, AccountId, Class, Evidence, Kind, Limit, Operation, Outcome, Reason, Reference, State,
    Status, Transfer, TransferId, TransferRecord, Write,
};
use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::MandateError;
use crate::key::Key;
use crate::limits::{InForce, Mandates, Spend};
use crate::mandate::DOMAIN;

/// How long a request waits for its owner, if the caller says nothing shorter.
pub const DECIDE_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after that an accepted purchase may still be made.
pub const USE_WITHIN: Duration = Duration::from_secs(60 * 60);
/// How many requests of one machine may wait at once: an agent must not bury its owner.
pub const MOST_WAITING: usize = 16;

/// How many of the newest requests are looked through.
const LOOK_BACK: usize = 1_000;
/// How many digits of a request's name are shown, and the fewest that name one.
const SHOWN_DIGITS: usize = 16;
const FEWEST_DIGITS: usize = 6;

/// The documents that are kept with a request.
pub mod approval_stage {
    /// What was asked, for the owner to read; whoever asks writes it.
    pub const REQUEST: &str = "approval/request";
    /// The owner's word: [`super::Acceptance`].
    pub const ACCEPTED: &str = "approval/accepted";
    /// Who refused, and why.
    pub const REFUSED: &str = "approval/refused";
}

/// A purchase that waits, or waited, for the owner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Its name in the journal.
    pub reference: Reference,
    /// Who wants to buy.
    pub machine: Party,
    /// Who decides.
    pub owner: Party,
    /// Who is paid.
    pub payee: Party,
    /// The most that it may cost.
    pub amount: Amount,
    /// The digest of the request that is paid for.
    #[serde(skip)]
    pub digest: [u8; 32],
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it may be decided.
    pub decide_by: Timestamp,
    /// Until when it may be used, once it is accepted.
    pub use_by: Timestamp,
    /// What became of it.
    #[serde(flatten)]
    pub state: ApprovalState,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ApprovalState {
    /// The owner has not decided.
    Waiting,
    /// The owner said yes, and the purchase was not made yet.
    Accepted {
        /// When.
        at: Timestamp,
    },
    /// The owner said yes, and this payment is it.
    Used {
        /// The payment.
        by: Reference,
    },
    /// The owner said no.
    Refused {
        /// When.
        at: Timestamp,
    },
    /// Nobody decided in time, or what was accepted was not used in time.
    Expired,
}

impl ApprovalState {
    /// The state in a word, for programs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            ApprovalState::Waiting => "waiting",
            ApprovalState::Accepted { .. } => "accepted",
            ApprovalState::Used { .. } => "used",
            ApprovalState::Refused { .. } => "refused",
            ApprovalState::Expired => "expired",
        }
    }
}

impl Approval {
    /// What people call it: the first 16 hexadecimal digits of its name.
    pub fn id(&self) -> String {
        self.reference.to_string()[2..2 + SHOWN_DIGITS].to_string()
    }

    /// What the owner signs (EIP-712).
    pub fn signing_hash(&self) -> B256 {
        typed::Acceptance {
            machine: self.machine.into(),
            owner: self.owner.into(),
            request: B256::from(*self.reference.as_bytes()),
            payee: self.payee.into(),
            asset: format!("{:?}", self.amount.asset()),
            atMost: U256::try_from(self.amount.minor()).unwrap_or_default(), // held, so positive
            purchase: B256::from(self.digest),
            useBy: U256::from(self.use_by.as_millis()),
        }
        .eip712_signing_hash(&DOMAIN)
    }

    /// Whether this request is for that spend, whatever it asked for at most.
    fn is_for(&self, spend: &Spend) -> bool {
        self.payee == spend.payee && self.digest == spend.digest
    }
}

mod typed {
    use super::sol;

    sol! {
        /// [`super::Approval`] as its owner's wallet shows and signs it.
        struct Acceptance {
            address machine;
            address owner;
            bytes32 request;
            address payee;
            string asset;
            uint256 atMost;
            bytes32 purchase;
            uint256 useBy;
        }
    }
}

/// The owner's word that a purchase may be made. It is worth nothing for any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The request's name.
    pub request: Reference,
    /// Of [`Approval::signing_hash`], in hexadecimal digits.
    pub signature: String,
}

impl Acceptance {
    /// The owner signs.
    ///
    /// # Errors
    /// [`MandateError::NotAccepted`] if the key is not the owner's.
    pub fn sign(approval: &Approval, owner: &Key) -> Result<Acceptance, MandateError> {
        let signature = owner.sign_hash(approval.signing_hash());
        let signature = format!("0x{}", alloy_primitives::hex::encode(signature.as_bytes()));
        let acceptance = Acceptance { request: approval.reference, signature };
        acceptance.check(approval).map(|()| acceptance)
    }

    /// Whether it is the owner's word for exactly this request.
    fn check(&self, approval: &Approval) -> Result<(), MandateError> {
        let signer = self
            .signature
            .parse::<Signature>()
            .ok()
            .filter(|s| s.normalize_s().is_none()) // high-s: the same signature in another dress
            .and_then(|s| s.recover_address_from_prehash(&approval.signing_hash()).ok());
        if self.request != approval.reference || signer != Some(approval.owner.into()) {
            return Err(MandateError::NotAccepted {
                request: approval.id(),
                owner: approval.owner,
            });
        }
        Ok(())
    }
}

/// The hold by which a request waits.
fn asked_id(request: Reference) -> TransferId {
    TransferId::derive("approval/asked", &[request.as_bytes()])
}

/// The account of a request: its room for one purchase, once it is accepted.
fn account(machine: Party, request: Reference, asset: money::Asset, closes: Timestamp) -> Account {
    let name = format!("approval/{}", &request.to_string()[2..42]);
    Account::new(machine, name, asset, Class::Memo, Limit::DebitsMustNotExceedCredits)
        .closing_at(closes)
}

/// A request as the books have it.
fn read(
    state: &State,
    known: &InForce,
    asked: &TransferRecord,
    now: Timestamp,
) -> Option<Approval> {
    let transfer = &asked.transfer;
    let room = state.account(&transfer.credit)?;
    let use_by = room.closes_at?;
    let decide_by = transfer.hold_until?;
    let used = || {
        let taken = state.entries_of(room.id).rev();
        taken
            .filter(|r| r.transfer.debit == room.id && !matches!(r.status, Status::Voided { .. }))
            .map(|r| r.transfer.reference)
            .next()
    };
    let became = match asked.status {
        Status::Held if decide_by > now => ApprovalState::Waiting,
        Status::Held | Status::Expired { .. } => ApprovalState::Expired,
        Status::Voided { at } => ApprovalState::Refused { at },
        Status::Posted { at, .. } => match used() {
            Some(by) => ApprovalState::Used { by },
            None if use_by <= now => ApprovalState::Expired,
            None => ApprovalState::Accepted { at },
        },
    };
    Some(Approval {
        reference: transfer.reference,
        machine: known.mandate.machine,
        owner: known.mandate.owner,
        payee: transfer.counterparty?,
        amount: transfer.amount,
        digest: transfer.digest,
        asked_at: asked.at,
        decide_by,
        use_by,
        state: became,
    })
}

/// The requests under a mandate, the newest first.
fn requests(state: &State, known: &InForce, now: Timestamp) -> Vec<Approval> {
    let asked = state.entries_of(known.accounts.asked).rev();
    asked.take(LOOK_BACK).filter_map(|record| read(state, known, record, now)).collect()
}

impl Mandates {
    /// The requests of a machine under the mandate in force, the newest first; none if it may spend
    /// all without asking.
    ///
    /// # Errors
    /// As [`Mandates::open`].
    pub fn approvals(&self, machine: Party, now: Timestamp) -> Result<Vec<Approval>, MandateError> {
        let Some(known) = self.in_force(machine)? else { return Ok(Vec::new()) };
        Ok(self.ledger.read(|state| requests(state, &known, now)))
    }

    /// The request that is called so: by its name, or its first digits.
    ///
    /// # Errors
    /// [`MandateError::NoSuchRequest`] if there is none, or more than one; as [`Mandates::open`].
    pub fn approval(
        &self,
        machine: Party,
        name: &str,
        now: Timestamp,
    ) -> Result<Approval, MandateError> {
        let wanted = name.trim().trim_start_matches("0x").to_ascii_lowercase();
        let mut found = self.approvals(machine, now)?;
        let is_name =
            wanted.len() >= FEWEST_DIGITS && wanted.bytes().all(|b| b.is_ascii_hexdigit());
        found.retain(|one| is_name && one.reference.to_string()[2..].starts_with(&wanted));
        match found.len() {
            1 => Ok(found.remove(0)),
            _ => Err(MandateError::NoSuchRequest {
                machine,
                wanted: name.chars().take(70).collect(),
            }),
        }
    }

    /// Whether a purchase of so much needs the owner's word, by the limit for one payment alone.
    pub fn asks_about(&self, machine: Party, amount: Amount) -> bool {
        let mandate = self.of(machine);
        mandate.and_then(|mandate| mandate.unasked).is_some_and(|unasked| {
            unasked.per_payment.checked_cmp(amount).is_ok_and(std::cmp::Ordering::is_lt)
        })
    }

    /// Asks the owner for this purchase, if that was not done yet: the request that now stands for
    /// it, which waits, or was decided. Nothing is held and nothing signed. `explain` makes the
    /// documents that are kept with a new request.
    ///
    /// # Errors
    /// [`MandateError::NoMandate`], [`MandateError::Expired`], [`MandateError::TooManyWaiting`],
    /// [`MandateError::Ledger`], [`MandateError::Store`].
    pub async fn ask(
        &self,
        spend: &Spend,
        within: Duration,
        now: Timestamp,
        explain: impl Fn(Reference) -> Vec<Evidence>,
    ) -> Result<Approval, MandateError> {
        /// Two of one machine may ask the same at once; each round finds what the other did.
        const ROUNDS: usize = 4;
        let machine = spend.machine;
        let known = self
            .in_force(machine)?
            .filter(|known| known.mandate.unasked.is_some())
            .filter(|known| known.mandate.lifetime.asset() == spend.amount.asset())
            .ok_or(MandateError::NoMandate { machine })?;
        let ends = known.mandate.expires_at;
        if ends <= now {
            return Err(MandateError::Expired { machine, expired_at: ends });
        }
        for _ in 0..ROUNDS {
            let all = self.ledger.read(|state| requests(state, &known, now));
            if let Some(standing) = standing(&all, spend, now) {
                return Ok(standing);
            }
            let waiting = all.iter().filter(|one| one.state == ApprovalState::Waiting).count();
            if waiting >= MOST_WAITING {
                return Err(MandateError::TooManyWaiting { machine, most: MOST_WAITING });
            }
            let request = self.ledger.read(|state| next_name(state, &known, spend));
            let decide_by = now.plus(within).min(ends);
            let use_by = decide_by.plus(USE_WITHIN).min(ends);
            let room = account(machine, request, spend.amount.asset(), use_by);
            let asked = Transfer {
                id: asked_id(request),
                debit: known.accounts.asked,
                credit: room.id,
                amount: spend.amount,
                kind: Kind::Memo,
                counterparty: Some(spend.payee),
                reference: request,
                digest: spend.digest,
                hold_until: Some(decide_by),
            };
            let operation =
                Operation::Linked(vec![Operation::Open(room), Operation::Transfer(asked)]);
            let write = Write { operation: Some(operation), evidence: explain(request) };
            match self.ledger.submit(write).await? {
                // Asked, or somebody else just did: what stands is read again.
                Outcome::Applied | Outcome::Exists => {}
                Outcome::Refused(refusal) => match refusal.reason {
                    Reason::ExistsWithDifferent { .. } | Reason::ChainPartlyExists => {}
                    Reason::AccountClosed { .. } | Reason::AccountMustCloseInFuture { .. } => {
                        return Err(MandateError::Expired { machine, expired_at: ends });
                    }
                    reason => return Err(MandateError::Ledger(reason.to_string())),
                },
            }
        }
        Err(MandateError::Ledger("the same purchase is being asked for by others".into()))
    }

    /// The owner accepts: the purchase may be made once, until [`Approval::use_by`]. To accept the
    /// same again changes nothing.
    ///
    /// # Errors
    /// [`MandateError::NoSuchRequest`] under the mandate in force, [`MandateError::NotAccepted`] if
    /// the owner has not signed exactly that, [`MandateError::NotWaiting`] if it was refused, used,
    /// or its time is over; [`MandateError::Store`].
    pub async fn accept(
        &self,
        machine: Party,
        acceptance: Acceptance,
        now: Timestamp,
    ) -> Result<Approval, MandateError> {
        let approval = self.approval(machine, &acceptance.request.to_string(), now)?;
        acceptance.check(&approval)?;
        match approval.state {
            ApprovalState::Waiting => {}
            ApprovalState::Accepted { .. } => return Ok(approval),
            _ => return Err(MandateError::NotWaiting(Box::new(approval))),
        }
        let body = serde_json::to_vec(&acceptance).expect("plain data");
        let word = evidence(approval.reference, approval_stage::ACCEPTED, body);
        let post = Operation::Post { hold: asked_id(approval.reference), amount: None };
        self.decide(approval, post, vec![word], now).await
    }

    /// The request is refused, and the same purchase is not asked for again before the request's
    /// end. What was accepted cannot be refused any more. To refuse the same again changes nothing.
    ///
    /// # Errors
    /// [`MandateError::NoSuchRequest`], [`MandateError::NotWaiting`], [`MandateError::Store`].
    pub async fn refuse(
        &self,
        machine: Party,
        request: Reference,
        why: &str,
        now: Timestamp,
    ) -> Result<Approval, MandateError> {
        let approval = self.approval(machine, &request.to_string(), now)?;
        match approval.state {
            ApprovalState::Waiting => {}
            ApprovalState::Refused { .. } => return Ok(approval),
            _ => return Err(MandateError::NotWaiting(Box::new(approval))),
        }
        let body = serde_json::to_vec(&serde_json::json!({ "why": why })).expect("plain data");
        let word = evidence(approval.reference, approval_stage::REFUSED, body);
        let void = Operation::Void { hold: asked_id(approval.reference) };
        self.decide(approval, void, vec![word], now).await
    }

    async fn decide(
        &self,
        approval: Approval,
        operation: Operation,
        evidence: Vec<Evidence>,
        now: Timestamp,
    ) -> Result<Approval, MandateError> {
        let name = approval.reference.to_string();
        let write = Write { operation: Some(operation), evidence };
        let outcome = self.ledger.submit(write).await?;
        // The clock may have gone on meanwhile, and somebody else may have decided.
        let now = now.max(self.ledger.read(State::now));
        let approval = self.approval(approval.machine, &name, now)?;
        match outcome {
            Outcome::Applied | Outcome::Exists => Ok(approval),
            Outcome::Refused(_) => Err(MandateError::NotWaiting(Box::new(approval))),
        }
    }

    /// The accepted request that lets this spend go, with the owner's word looked at again.
    pub(crate) fn accepted(
        &self,
        known: &InForce,
        spend: &Spend,
        now: Timestamp,
    ) -> Result<Option<Approval>, MandateError> {
        let all = self.ledger.read(|state| requests(state, known, now));
        let lets_go = |one: &Approval| {
            matches!(one.state, ApprovalState::Accepted { .. })
                && one.is_for(spend)
                && one.amount.minor() >= spend.amount.minor()
        };
        // Of several that which allows least, and of equal ones that which ends first.
        let Some(found) =
            all.into_iter().filter(lets_go).min_by_key(|one| (one.amount.minor(), one.use_by))
        else {
            return Ok(None);
        };
        let word = self.ledger.document(found.reference, approval_stage::ACCEPTED)?;
        let word: Option<Acceptance> =
            word.and_then(|document| serde_json::from_slice(&document.evidence.body).ok());
        match word {
            Some(word) => word.check(&found).map(|()| Some(found)),
            None => Err(MandateError::NotAccepted { request: found.id(), owner: found.owner }),
        }
    }
}

/// The request that answers for a spend: one that waits, is accepted, or was refused and still
/// stands.
fn standing(all: &[Approval], spend: &Spend, now: Timestamp) -> Option<Approval> {
    let mut same = all.iter().filter(|one| one.is_for(spend));
    same.find(|one| match one.state {
        ApprovalState::Waiting | ApprovalState::Accepted { .. } => {
            one.amount.minor() >= spend.amount.minor()
        }
        // Who refused a price refused every higher one.
        ApprovalState::Refused { .. } => {
            one.decide_by > now && one.amount.minor() <= spend.amount.minor()
        }
        ApprovalState::Used { .. } | ApprovalState::Expired => false,
    })
    .cloned()
}

/// The name of the next request for this spend: of all that binds it, and of how often it was asked.
fn next_name(state: &State, known: &InForce, spend: &Spend) -> Reference {
    let mandate = known.mandate.signing_hash();
    let amount = spend.amount.minor().to_be_bytes();
    let name = |number: u32| {
        let parts: [&[u8]; 5] = [
            mandate.as_slice(),
            spend.payee.as_bytes(),
            &spend.digest,
            &amount,
            &number.to_be_bytes(),
        ];
        Reference::derive("approval", &parts)
    };
    let free = |request: &Reference| state.transfer(&asked_id(*request)).is_none();
    (0..u32::MAX).map(name).find(free).unwrap_or(Reference::NONE)
}

/// The step of a payment's chain that uses an accepted request: all of its room.
pub(crate) fn use_of(
    approval: &Approval,
    hold: TransferId,
    spent: AccountId,
    spend: &Spend,
) -> Operation {
    let room = account(spend.machine, approval.reference, approval.amount.asset(), approval.use_by);
    Operation::Transfer(Transfer {
        id: hold,
        debit: room.id,
        credit: spent,
        amount: approval.amount,
        kind: Kind::Memo,
        counterparty: Some(spend.payee),
        reference: spend.reference,
        digest: spend.digest,
        // It must not come back by time as long as the room is open.
        hold_until: Some(spend.until.max(approval.use_by)),
    })
}

fn evidence(reference: Reference, stage: &str, body: Vec<u8>) -> Evidence {
    Evidence { reference, stage: stage.into(), media_type: "application/json".into(), body }
}

//! Payment channels under a mandate: a deposit takes its room, a voucher needs its leave.
//!
//! What lies in a channel can be claimed by the seller, so a deposit is held against every limit
//! like a purchase of its amount; only the cap for one payment is asked for the voucher that comes
//! with it. A voucher then draws on what is prepaid:
//!
//! | step | from → to | what it means |
//! |---|---|---|
//! | 0, 1 | `payment` → `spent`, and void at once | the mandate is in force, and its cap allows it |
//! | 2 | `prepaid` → `purchases`, until its fate is known | the seller may charge as much, no more |
//!
//! What was charged of a channel is read from its account: all that left it otherwise than back to
//! the wallet. A voucher is signed for that and the price, and for no other sum. What comes back
//! gives its room back to the budgets it was taken from, the newest deposit first, and never more
//! than was taken; the sliding day only time gives back.

use alloy_primitives::{B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use ledger::{
    Evidence, Kind, Operation, Outcome, Reason, Reference, Refusal, State, Status, Transfer,
    TransferId, TransferRecord, Write,
};
use money::{Amount, Asset, Party, Timestamp};
use protocol::ReceiveWithAuthorization;
use protocol::addresses::{ERC3009_DEPOSIT_COLLECTOR, PERMIT2_DEPOSIT_COLLECTOR};
use protocol::channels::{
    DepositPermit, RequestBinding, Voucher, binding_domain, channel_domain, deposit_nonce,
};
use protocol::permit2::{Permit, permit2_domain};
use serde::{Deserialize, Serialize};

use crate::books::{ChannelId, Entry, Line};
use crate::error::{MandateError, Rule};
use crate::key::Key;
use crate::limits::{Held, InForce, Mandates, Names, Spend};

/// A channel as its buyer's book has it. All amounts are of one asset, and none is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChannelBook {
    /// Paid in, less what came back: what the chain calls the channel's balance.
    pub balance: Amount,
    /// Charged by the seller, all in all.
    pub charged: Amount,
    /// Set aside for vouchers whose fate is not known.
    pub held: Amount,
}

impl ChannelBook {
    /// What new vouchers may draw on.
    pub fn available(&self) -> Amount {
        let minor = self.balance.minor() - self.charged.minor() - self.held.minor();
        Amount::from_minor(self.balance.asset(), minor)
    }
}

/// A voucher that a machine asks to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherSpend {
    /// Who pays.
    pub machine: Party,
    /// Who is paid.
    pub payee: Party,
    /// The chain that the channel is on.
    pub chain_id: u64,
    /// The channel.
    pub channel: ChannelId,
    /// The most that it may be charged for.
    pub amount: Amount,
    /// What was charged before it and `amount`, together: this is what gets signed.
    pub cumulative: Amount,
    /// The purchase's name in both books.
    pub reference: Reference,
    /// Tells apart purchases that were tried with the same voucher, because it had not been
    /// charged; see [`Mandates::next_attempt`].
    pub attempt: u32,
    /// The digest of the request that it pays for.
    pub digest: [u8; 32],
    /// Until when the money stays set aside if nobody says what became of it.
    pub until: Timestamp,
}

impl VoucherSpend {
    /// The name of its hold.
    pub fn hold_id(&self) -> TransferId {
        id("channel/voucher", self.reference, self.attempt)
    }

    fn entry(&self, kind: Kind) -> Entry {
        Entry {
            id: self.hold_id(),
            book: self.machine,
            debit: Line::Purchases,
            credit: Line::Prepaid(self.channel),
            amount: self.amount,
            kind,
            counterparty: self.payee,
            reference: self.reference,
            digest: self.digest,
            hold_until: Some(self.until),
        }
    }

    fn hash(&self) -> Option<B256> {
        let voucher = Voucher {
            channelId: self.channel.into(),
            maxClaimableAmount: u128::try_from(self.cumulative.minor()).ok()?,
        };
        Some(voucher.eip712_signing_hash(&channel_domain(self.chain_id)))
    }
}

fn id(domain: &str, reference: Reference, attempt: u32) -> TransferId {
    TransferId::derive(domain, &[reference.as_bytes(), &attempt.to_be_bytes()])
}

/// A voucher whose money is set aside, or that promises nothing new. Only [`Mandates`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVoucher {
    spend: VoucherSpend,
}

impl HeldVoucher {
    /// What is held.
    pub fn spend(&self) -> &VoucherSpend {
        &self.spend
    }
}

/// A deposit that a machine asks to make, with the voucher that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositSpend {
    /// What is put in; its payee is the channel's receiver.
    pub spend: Spend,
    /// The first payment from it.
    pub voucher: VoucherSpend,
}

/// A deposit whose money is set aside. Only [`Mandates`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDeposit {
    held: Held,
    voucher: HeldVoucher,
}

impl HeldDeposit {
    /// What is held.
    pub fn spend(&self) -> &Spend {
        self.held.spend()
    }

    /// The voucher that the deposit covers.
    pub fn voucher(&self) -> &HeldVoucher {
        &self.voucher
    }
}

/// What became of a voucher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Its hold.
    pub hold: TransferId,
    /// What the seller charged; nothing if it did not.
    pub charged: Amount,
}

/// Money that a channel gave back to its buyer's wallet, as the chain shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// Whose wallet.
    pub book: Party,
    /// Out of which channel.
    pub channel: ChannelId,
    /// How much that one transaction gave back, all in all.
    pub amount: Amount,
    /// The act that it belongs to.
    pub reference: Reference,
    /// The channels' contract.
    pub contract: Party,
    /// The transaction's hash.
    pub transaction: [u8; 32],
}

impl Returned {
    /// The name of its entry in the buyer's book.
    pub fn id(&self) -> TransferId {
        self.named("channel/back")
    }

    fn named(&self, domain: &str) -> TransferId {
        TransferId::derive(domain, &[self.book.as_bytes(), &self.channel, &self.transaction])
    }
}

impl Mandates {
    /// A channel as its buyer's book has it; `None` if it was never opened there. It costs as much
    /// as there are entries that were not looked at before.
    pub fn channel(&self, book: Party, asset: Asset, channel: ChannelId) -> Option<ChannelBook> {
        self.ledger.read(|state| self.channel_in(state, book, asset, channel))
    }

    fn channel_in(
        &self,
        state: &State,
        book: Party,
        asset: Asset,
        channel: ChannelId,
    ) -> Option<ChannelBook> {
        let prepaid = Line::Prepaid(channel).of(book, asset);
        let cash = Line::Cash.of(book, asset);
        let sums = state.balance(&prepaid)?;
        let mut all = self.came_back.lock().expect("no panic while counting");
        let back = all.entry(prepaid).or_default();
        let entries = state.entries_of(prepaid);
        let length = entries.len();
        let fresh = length.saturating_sub(back.seen);
        let more: i128 = entries
            .rev()
            .take(fresh)
            .filter(|record| record.transfer.debit == cash)
            .map(|record| record.transfer.amount.minor())
            .sum();
        back.minor += more;
        back.seen = length.max(back.seen);
        let amount = |minor| Amount::from_minor(asset, minor);
        Some(ChannelBook {
            balance: amount(sums.debits_posted - back.minor),
            charged: amount(sums.credits_posted - back.minor),
            held: amount(sums.credits_pending),
        })
    }

    /// The vouchers of a channel whose fate is not known, the newest first.
    pub fn open_vouchers(
        &self,
        book: Party,
        asset: Asset,
        channel: ChannelId,
    ) -> Vec<TransferRecord> {
        self.ledger.read(|state| open_vouchers(state, book, asset, channel))
    }

    /// Opens a channel's account in its buyer's book, with documents that explain it. Repeating it
    /// changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`], [`MandateError::Store`].
    pub async fn open_channel(
        &self,
        book: Party,
        asset: Asset,
        channel: ChannelId,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        let operation = Some(Line::Prepaid(channel).open(book, asset));
        done(self.ledger.submit(Write { operation, evidence }).await?)
    }

    /// The number of the next purchase that is tried with the voucher of this name.
    pub fn next_attempt(&self, reference: Reference) -> u32 {
        self.ledger.read(|state| {
            let taken =
                |attempt| state.transfer(&id("channel/voucher", reference, attempt)).is_some();
            (0..u32::MAX).find(|attempt| !taken(*attempt)).unwrap_or(u32::MAX)
        })
    }

    /// Sets a deposit's money aside if every limit has room for it and the cap for one payment
    /// allows its voucher: all or nothing.
    ///
    /// # Errors
    /// As [`Mandates::hold`]; [`MandateError::NotHeld`] for a voucher that is not the channel's
    /// next.
    pub async fn hold_deposit(
        &self,
        deposit: DepositSpend,
        now: Timestamp,
        evidence: Vec<Evidence>,
    ) -> Result<HeldDeposit, MandateError> {
        let DepositSpend { spend, voucher } = deposit;
        self.check_next(&voucher, Some(spend.amount))?;
        if spend.machine != voucher.machine || spend.payee != voucher.payee {
            return Err(MandateError::NotHeld { cause: "deposit and voucher are of two channels" });
        }
        let line = Line::Prepaid(voucher.channel);
        let held = self.hold_on(spend, line, voucher.amount, now, evidence).await?;
        Ok(HeldDeposit { held, voucher: HeldVoucher { spend: voucher } })
    }

    /// The same deposit with another voucher: the seller has proved what it had charged before.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if the deposit is no longer held, or would not cover it.
    pub fn other_voucher(
        &self,
        deposit: HeldDeposit,
        voucher: VoucherSpend,
    ) -> Result<HeldDeposit, MandateError> {
        let before = deposit.voucher.spend();
        if (before.machine, before.payee, before.channel, before.amount)
            != (voucher.machine, voucher.payee, voucher.channel, voucher.amount)
        {
            return Err(MandateError::NotHeld { cause: "the deposit is for another purchase" });
        }
        let hold = Names::of(deposit.spend().reference).purchase;
        let status = self.ledger.read(|state| state.transfer(&hold).map(|r| r.status));
        if status != Some(Status::Held) {
            return Err(MandateError::NotHeld { cause: "the deposit is not held any more" });
        }
        self.check_next(&voucher, Some(deposit.spend().amount))?;
        Ok(HeldDeposit { voucher: HeldVoucher { spend: voucher }, ..deposit })
    }

    /// Sets the money of a voucher aside in its channel, if the mandate in force allows a payment
    /// of that amount.
    ///
    /// # Errors
    /// As [`Mandates::hold`], by the rules [`Rule::PerPayment`] and [`Rule::Prepaid`];
    /// [`MandateError::NotHeld`] for a voucher that is not the channel's next.
    pub async fn hold_voucher(
        &self,
        voucher: VoucherSpend,
        evidence: Vec<Evidence>,
    ) -> Result<HeldVoucher, MandateError> {
        self.hold_drawn(voucher, |voucher| self.check_next(voucher, None), evidence).await
    }

    /// As [`Mandates::hold_voucher`], for a voucher that runs ahead of others whose fate is not
    /// known: its total is at least what was charged and its own amount, and at most what is in the
    /// channel. The seller can claim up to that total; all of it was held against the mandate's
    /// limits when it was put in.
    ///
    /// # Errors
    /// As [`Mandates::hold_voucher`].
    pub async fn hold_voucher_ahead(
        &self,
        voucher: VoucherSpend,
        evidence: Vec<Evidence>,
    ) -> Result<HeldVoucher, MandateError> {
        self.hold_drawn(voucher, |voucher| self.check_ahead(voucher), evidence).await
    }

    async fn hold_drawn(
        &self,
        voucher: VoucherSpend,
        check: impl Fn(&VoucherSpend) -> Result<(), MandateError>,
        evidence: Vec<Evidence>,
    ) -> Result<HeldVoucher, MandateError> {
        let machine = voucher.machine;
        let known = self
            .in_force(machine)?
            .filter(|known| known.mandate.lifetime.asset() == voucher.amount.asset())
            .ok_or(MandateError::NoMandate { machine })?;
        let InForce { mandate, accounts, .. } = &*known;
        check(&voucher)?;
        let cap = id("channel/cap", voucher.reference, voucher.attempt);
        let asks = |id, debit| {
            let limit = Transfer {
                id,
                debit,
                credit: accounts.spent,
                amount: voucher.amount,
                kind: Kind::Memo,
                counterparty: Some(voucher.payee),
                reference: voucher.reference,
                digest: voucher.digest,
                hold_until: Some(voucher.until),
            };
            [Operation::Transfer(limit), Operation::Void { hold: id }]
        };
        let mut steps = asks(cap, accounts.payment).to_vec();
        steps.push(voucher.entry(mandate.purpose.kind()).transfer());
        let limits = steps.len();
        if mandate.unasked.is_some() {
            // The deposit took its room of the day; each voucher still has to be small enough.
            let unasked = id("channel/unasked", voucher.reference, voucher.attempt);
            steps.extend(asks(unasked, accounts.unasked_payment));
        }
        let operation = Operation::Linked(steps);
        match self.ledger.submit(Write { operation: Some(operation), evidence }).await? {
            Outcome::Applied => Ok(HeldVoucher { spend: voucher }),
            Outcome::Exists => Err(MandateError::Ledger("this voucher is held already".into())),
            Outcome::Refused(refusal) if refusal.index >= limits => {
                Err(self.needs_approval(&known, voucher.payee, voucher.amount))
            }
            Outcome::Refused(Refusal { index, reason }) => Err(match reason {
                Reason::LimitExceeded { available, asked, .. } => {
                    let rule = if index < 2 { Rule::PerPayment } else { Rule::Prepaid };
                    MandateError::Refused { rule, asked, left: available, payee: voucher.payee }
                }
                Reason::AccountClosed { .. } => {
                    MandateError::Expired { machine, expired_at: mandate.expires_at }
                }
                reason => MandateError::Ledger(reason.to_string()),
            }),
        }
    }

    /// A voucher for what was charged and no more, by which money is asked back. It promises
    /// nothing new, so it needs neither hold nor mandate.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if it would promise more.
    pub fn charged_voucher(&self, voucher: VoucherSpend) -> Result<HeldVoucher, MandateError> {
        let asset = voucher.cumulative.asset();
        let charged = self.channel(voucher.machine, asset, voucher.channel).map(|c| c.charged);
        if voucher.amount.minor() != 0 || charged != Some(voucher.cumulative) {
            let cause = "a refund is asked for with what was charged, no more and no less";
            return Err(MandateError::NotHeld { cause });
        }
        Ok(HeldVoucher { spend: voucher })
    }

    /// Whether a voucher that runs ahead promises neither too little nor more than is there.
    fn check_ahead(&self, voucher: &VoucherSpend) -> Result<(), MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let asset = voucher.amount.asset();
        let Some(channel) = self.channel(voucher.machine, asset, voucher.channel) else {
            return refuse("the channel has no account in the machine's book");
        };
        if !voucher.amount.is_positive() || voucher.cumulative.asset() != asset {
            return refuse("the voucher is for no amount of the channel's asset");
        }
        let total = voucher.cumulative.minor();
        if total.checked_sub(voucher.amount.minor()).is_none_or(|low| low < channel.charged.minor())
        {
            return refuse("the voucher is for less than was charged and its own amount");
        }
        if total > channel.balance.minor() {
            return refuse("the voucher is for more than is in the channel");
        }
        Ok(())
    }

    /// Whether a voucher promises what was charged and its own amount, and whether that is there.
    fn check_next(
        &self,
        voucher: &VoucherSpend,
        deposit: Option<Amount>,
    ) -> Result<(), MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let asset = voucher.amount.asset();
        let Some(channel) = self.channel(voucher.machine, asset, voucher.channel) else {
            return refuse("the channel has no account in the machine's book");
        };
        if !voucher.amount.is_positive() || voucher.cumulative.asset() != asset {
            return refuse("the voucher is for no amount of the channel's asset");
        }
        let next = channel.charged.minor().checked_add(voucher.amount.minor());
        if next != Some(voucher.cumulative.minor()) {
            return refuse("the voucher is not for what was charged and its own amount");
        }
        let Some(deposit) = deposit else { return Ok(()) };
        let covered = deposit.asset() == asset
            && channel.available().minor().saturating_add(deposit.minor())
                >= voucher.amount.minor();
        if !covered {
            return refuse("the deposit does not cover its voucher");
        }
        Ok(())
    }

    /// The chain shows a deposit: it becomes an entry, and the voucher that went with it is held
    /// from then on, if it is the channel's next still: else its total was charged under another
    /// hold, or can be charged no more. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if the hold is gone, [`MandateError::Store`].
    pub async fn settle_deposit(
        &self,
        reference: Reference,
        voucher: Option<&VoucherSpend>,
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        let names = Names::of(reference);
        let mut chain = vec![
            Operation::Post { hold: names.lifetime, amount: None },
            Operation::Post { hold: names.purchase, amount: None },
        ];
        let deposited = chain.len();
        if let Some(voucher) = voucher.filter(|voucher| self.check_next(voucher, None).is_ok()) {
            let kind = self.purpose(voucher.machine).map_or(Kind::Intermediate, |p| p.kind());
            chain.push(voucher.entry(kind).transfer());
        }
        let write = |chain: &[Operation]| {
            let operation = Some(Operation::Linked(chain.to_vec()));
            Write { operation, evidence: evidence.clone() }
        };
        match self.ledger.submit(write(&chain)).await? {
            // Another purchase of this machine was faster, or the deposit was posted before: it
            // stands in any case. The voucher is followed by what the seller proves.
            Outcome::Refused(refusal)
                if refusal.index == deposited || refusal.reason == Reason::ChainPartlyExists =>
            {
                tracing::warn!(%reference, reason = %refusal.reason, "a deposit's voucher is not held");
                done(self.ledger.submit(write(&chain[..deposited])).await?)
            }
            outcome => done(outcome),
        }
    }

    /// What became of vouchers, all at once or not at all. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`MandateError::Ledger`] if a hold is gone, or less was held than was charged;
    /// [`MandateError::Store`].
    pub async fn settle_vouchers(
        &self,
        fates: &[Fate],
        evidence: Vec<Evidence>,
    ) -> Result<(), MandateError> {
        /// Two of one machine may learn the same at once; each round finds what the other did.
        const ROUNDS: usize = 4;
        for round in 1..=ROUNDS {
            let open: Vec<Operation> = self.ledger.read(|state| {
                let open = fates.iter().filter(|fate| !is_so(state, fate));
                open.map(|fate| resolution(fate.hold, fate.charged)).collect()
            });
            let operation = (!open.is_empty()).then_some(Operation::Linked(open));
            if operation.is_none() && evidence.is_empty() {
                break;
            }
            match self.ledger.submit(Write { operation, evidence: evidence.clone() }).await? {
                Outcome::Refused(Refusal { reason: Reason::ChainPartlyExists, .. })
                    if round < ROUNDS => {}
                outcome => return done(outcome),
            }
        }
        Ok(())
    }

    /// Books what was charged for a voucher that was let go when it was signed, and is not held.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if it is not the next; [`MandateError::Ledger`], [`MandateError::Store`].
    pub async fn charge_voucher(
        &self,
        voucher: &VoucherSpend,
        charged: Amount,
    ) -> Result<(), MandateError> {
        self.check_next(voucher, None)?;
        let kind = self.purpose(voucher.machine).map_or(Kind::Intermediate, |p| p.kind());
        let steps = vec![voucher.entry(kind).transfer(), resolution(voucher.hold_id(), charged)];
        done(self.ledger.submit(Operation::Linked(steps).into()).await?)
    }

    /// Takes over a channel that the chain knows and this journal does not, or only in part: after
    /// the journal was lost. `balance` and `charged` are what chain and seller prove; where the
    /// book has less, the difference is booked against what nobody remembers.
    ///
    /// # Errors
    /// [`MandateError::Ledger`], [`MandateError::Store`].
    pub async fn adopt_channel(
        &self,
        book: Party,
        channel: ChannelId,
        balance: Amount,
        charged: Amount,
        contract: Party,
    ) -> Result<(), MandateError> {
        let asset = balance.asset();
        let Some(known) = self.channel(book, asset, channel) else {
            return Err(MandateError::Ledger("the channel has no account".into()));
        };
        let entry = |part: &str, debit, credit, minor: i128| {
            let totals = [balance.minor().to_be_bytes(), charged.minor().to_be_bytes()].concat();
            let parts = [book.as_bytes().as_slice(), &channel, part.as_bytes(), &totals];
            Entry {
                id: TransferId::derive("channel/adopted", &parts),
                book,
                debit,
                credit,
                amount: Amount::from_minor(asset, minor),
                kind: Kind::Financial,
                counterparty: contract,
                reference: Reference::derive("channel/adopted", &[book.as_bytes(), &channel]),
                digest: channel,
                hold_until: None,
            }
            .transfer()
        };
        let prepaid = Line::Prepaid(channel);
        let paid_in = balance.minor() - known.balance.minor();
        let spent = charged.minor() - known.charged.minor();
        let mut entries = Vec::new();
        if paid_in > 0 {
            entries.push(entry("balance", prepaid, Line::Funding, paid_in));
        }
        if spent > 0 {
            entries.push(entry("charged", Line::Funding, prepaid, spent));
        }
        if entries.is_empty() {
            return Ok(());
        }
        done(self.ledger.submit(Operation::Linked(entries).into()).await?)
    }

    /// Books what a channel gave back, and gives its room back to the budgets that the deposits
    /// had taken it from. `true` if it was booked now.
    ///
    /// What comes back although it was set aside for an open voucher was not taken by it. What
    /// comes back although it had been charged is the seller's gift.
    ///
    /// # Errors
    /// [`MandateError::Ledger`], [`MandateError::Store`].
    pub async fn take_back(&self, back: Returned) -> Result<bool, MandateError> {
        let operations = self.ledger.read(|state| {
            state.transfer(&back.id()).is_none().then(|| self.taking_back(state, &back))
        });
        let Some(operations) = operations else { return Ok(false) };
        match self.ledger.submit(Operation::Linked(operations).into()).await? {
            Outcome::Applied => Ok(true),
            Outcome::Exists => Ok(false),
            Outcome::Refused(Refusal { reason: Reason::ExistsWithDifferent { .. }, .. }) => {
                Ok(false)
            }
            Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
        }
    }

    fn taking_back(&self, state: &State, back: &Returned) -> Vec<Operation> {
        let asset = back.amount.asset();
        let amount = |minor| Amount::from_minor(asset, minor);
        let known = self.channel_in(state, back.book, asset, back.channel);
        let mut free = known.map_or(0, |channel| channel.available().minor().max(0));
        let mut operations = Vec::new();
        // Vouchers of unknown fate: what comes back was not taken by them.
        for hold in open_vouchers(state, back.book, asset, back.channel).iter().take(16) {
            let excess = back.amount.minor() - free;
            if excess <= 0 {
                break;
            }
            let held = hold.transfer.amount.minor();
            let released = held.min(excess);
            operations.push(resolution(hold.transfer.id, amount(held - released)));
            free += released;
        }
        let from_channel = back.amount.minor().min(free);
        let parts = [
            (Line::Prepaid(back.channel), from_channel, Kind::Financial),
            (Line::Funding, back.amount.minor() - from_channel, Kind::Transfer),
        ];
        let mut name = Some(back.id());
        for (credit, minor, kind) in parts {
            if minor <= 0 {
                continue;
            }
            operations.push(
                Entry {
                    id: name.take().unwrap_or_else(|| back.named("channel/gift")),
                    book: back.book,
                    debit: Line::Cash,
                    credit,
                    amount: amount(minor),
                    kind,
                    counterparty: back.contract,
                    reference: back.reference,
                    digest: back.transaction,
                    hold_until: None,
                }
                .transfer(),
            );
        }
        operations.extend(room_back(state, back, from_channel));
        operations
    }
}

/// The room that a return gives back, the newest deposit first.
fn room_back(state: &State, back: &Returned, minor: i128) -> Vec<Operation> {
    let prepaid = Line::Prepaid(back.channel);
    let name = |reference: Reference| {
        let parts: [&[u8]; 3] = [&back.channel, &back.transaction, reference.as_bytes()];
        TransferId::derive("mandate/back", &parts)
    };
    let amount = Amount::from_minor(back.amount.asset(), minor);
    room_of_deposits(state, back.book, prepaid, amount, back.transaction, name)
}

/// The room that deposits on `line` had taken from their budgets, given back as far as `amount`
/// goes, the newest deposit first. `name` names the entry for one deposit.
pub(crate) fn room_of_deposits(
    state: &State,
    book: Party,
    line: Line,
    amount: Amount,
    digest: [u8; 32],
    name: impl Fn(Reference) -> TransferId,
) -> Vec<Operation> {
    /// Bounds one return's chain; the rest of the room is not given back.
    const MOST_DEPOSITS: usize = 32;
    let asset = amount.asset();
    let (line, cash) = (line.of(book, asset), Line::Cash.of(book, asset));
    let mut left = amount.minor();
    let mut operations = Vec::new();
    let deposits = state
        .entries_of(line)
        .rev()
        .filter(|r| r.transfer.debit == line && r.transfer.credit == cash)
        .filter(|r| r.posted().is_some());
    for deposit in deposits.take(MOST_DEPOSITS) {
        if left <= 0 {
            break;
        }
        let reference = deposit.transfer.reference;
        let Some(taken) = state.transfer(&Names::of(reference).lifetime) else { continue };
        let (budget, spent) = (taken.transfer.debit, taken.transfer.credit);
        // A budget that has ended takes nothing back: nothing can be spent of it anyway.
        let closed =
            state.account(&budget).is_none_or(|a| a.closes_at.is_some_and(|at| at <= state.now()));
        let given: i128 = state
            .by_reference(reference)
            .iter()
            .filter(|r| r.transfer.debit == spent && r.transfer.credit == budget)
            .map(|r| r.transfer.amount.minor())
            .sum();
        let room = taken.posted().map_or(0, |(_, amount)| amount.minor()) - given;
        let more = room.min(left);
        if closed || more <= 0 {
            continue;
        }
        left -= more;
        operations.push(Operation::Transfer(Transfer {
            id: name(reference),
            debit: spent,
            credit: budget,
            amount: Amount::from_minor(asset, more),
            kind: Kind::Memo,
            counterparty: taken.transfer.counterparty,
            reference,
            digest,
            hold_until: None,
        }));
    }
    operations
}

fn open_vouchers(
    state: &State,
    book: Party,
    asset: Asset,
    channel: ChannelId,
) -> Vec<TransferRecord> {
    let prepaid = Line::Prepaid(channel).of(book, asset);
    let mut pending = state.balance(&prepaid).map_or(0, |b| b.credits_pending);
    let mut open = Vec::new();
    for record in state.entries_of(prepaid).rev() {
        if pending <= 0 {
            break;
        }
        if record.status == Status::Held && record.transfer.credit == prepaid {
            pending -= record.transfer.amount.minor();
            open.push(record.clone());
        }
    }
    open
}

/// Whether a voucher's fate is booked already.
fn is_so(state: &State, fate: &Fate) -> bool {
    match state.transfer(&fate.hold).map(|record| record.status) {
        Some(Status::Posted { amount, .. }) => amount == fate.charged,
        Some(Status::Voided { .. } | Status::Expired { .. }) => !fate.charged.is_positive(),
        Some(Status::Held) | None => false,
    }
}

fn resolution(hold: TransferId, charged: Amount) -> Operation {
    match charged.is_positive() {
        true => Operation::Post { hold, amount: Some(charged) },
        false => Operation::Void { hold },
    }
}

fn done(outcome: Outcome) -> Result<(), MandateError> {
    match outcome {
        Outcome::Applied | Outcome::Exists => Ok(()),
        Outcome::Refused(refusal) => Err(MandateError::Ledger(refusal.reason.to_string())),
    }
}

impl Key {
    /// Signs a voucher that is held: for the held sum, in the held channel, and for nothing else.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if the hold is another machine's.
    pub fn sign_voucher(&self, held: &HeldVoucher) -> Result<Signature, MandateError> {
        let spend = held.spend();
        if spend.machine != self.party() {
            return Err(MandateError::NotHeld { cause: "the hold is another machine's" });
        }
        let hash = spend
            .hash()
            .ok_or(MandateError::NotHeld { cause: "the voucher is for less than nothing" })?;
        Ok(self.sign_hash(hash))
    }

    /// Signs to which request a held voucher belongs. It moves nothing: the voucher alone does.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if the hold is another machine's.
    pub fn sign_binding(
        &self,
        held: &HeldVoucher,
        request: B256,
    ) -> Result<Signature, MandateError> {
        let spend = held.spend();
        if spend.machine != self.party() {
            return Err(MandateError::NotHeld { cause: "the hold is another machine's" });
        }
        let total = u128::try_from(spend.cumulative.minor())
            .map_err(|_| MandateError::NotHeld { cause: "the voucher is for less than nothing" })?;
        let binding =
            RequestBinding { channelId: spend.channel.into(), maxClaimableAmount: total, request };
        Ok(self.sign_hash(binding.eip712_signing_hash(&binding_domain(spend.chain_id))))
    }

    /// Signs a deposit that is held: into the channel of its voucher, the same amount, valid no
    /// longer than the hold, and the very order that it was held for. `salt` is the one that, with
    /// the channel's name, makes the order's nonce.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] naming what the hold does not cover.
    pub fn sign_deposit(
        &self,
        held: &HeldDeposit,
        order: &ReceiveWithAuthorization,
        salt: U256,
        domain: &Eip712Domain,
    ) -> Result<Signature, MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let spend = held.spend();
        if spend.machine != self.party() || order.from != self.address() {
            return refuse("the hold is another machine's");
        }
        if order.to != ERC3009_DEPOSIT_COLLECTOR
            || order.nonce != deposit_nonce(held.voucher.spend.channel.into(), salt)
        {
            return refuse("the hold is for another channel");
        }
        if U256::try_from(spend.amount.minor()).ok() != Some(order.value) {
            return refuse("the hold is for another amount");
        }
        if order.validBefore > U256::from(spend.until.as_secs()) {
            return refuse("the deposit would outlive its hold");
        }
        let hash = order.eip712_signing_hash(domain);
        if hash != spend.order {
            return refuse("the hold is for another order, token or chain");
        }
        Ok(self.sign_hash(hash))
    }

    /// As [`Key::sign_deposit`], of a deposit by Permit2.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] naming what the hold does not cover.
    pub fn sign_deposit_permit(
        &self,
        held: &HeldDeposit,
        order: &DepositPermit,
        chain_id: u64,
    ) -> Result<Signature, MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let spend = held.spend();
        if spend.machine != self.party() {
            return refuse("the hold is another machine's");
        }
        if order.spender != PERMIT2_DEPOSIT_COLLECTOR
            || order.witness.channelId != held.voucher.spend.channel
        {
            return refuse("the hold is for another channel");
        }
        if U256::try_from(spend.amount.minor()).ok() != Some(order.permitted.amount) {
            return refuse("the hold is for another amount");
        }
        if order.deadline > U256::from(spend.until.as_secs()) {
            return refuse("the deposit would outlive its hold");
        }
        let hash = order.eip712_signing_hash(&permit2_domain(chain_id));
        if hash != spend.order {
            return refuse("the hold is for another order, token or chain");
        }
        Ok(self.sign_hash(hash))
    }

    /// As [`Key::sign_approval`], for a deposit by Permit2.
    ///
    /// # Errors
    /// As [`Key::sign_approval`].
    pub fn sign_deposit_approval(
        &self,
        held: &HeldDeposit,
        approval: &Permit,
        domain: &Eip712Domain,
    ) -> Result<Signature, MandateError> {
        self.sign_approval(&held.held, approval, domain)
    }
}

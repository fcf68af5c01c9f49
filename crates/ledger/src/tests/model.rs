//! The same books, told the slow way: no index, no running sum, no undo.
//!
//! Balances are summed anew over all transfers each time, a chain works on a copy, and the
//! reasons are restated here in their order. Whatever the fast books answer, these must have
//! predicted, word for word.

use money::{Amount, Asset, Party, Timestamp};

use crate::{
    Account, AccountId, Balance, Class, Kind, Limit, MAX_LINKED, Operation, Outcome, Reason,
    Reference, Refusal, State, Status, Transfer, TransferId, TransferRecord,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) accounts: Vec<Account>,
    pub(crate) entries: Vec<TransferRecord>,
}

impl Model {
    pub(crate) fn apply(&mut self, at: Timestamp, operation: &Operation) -> Outcome {
        self.expire(at);
        self.perform(operation)
    }

    /// Returns how many holds expired.
    pub(crate) fn expire(&mut self, at: Timestamp) -> usize {
        self.now = self.now.max(at);
        let mut expired = 0;
        for entry in &mut self.entries {
            let deadline = entry.transfer.hold_until.unwrap_or(Timestamp::from_millis(u64::MAX));
            if entry.status == Status::Held && deadline <= self.now {
                entry.status = Status::Expired { at: deadline };
                expired += 1;
            }
        }
        expired
    }

    pub(crate) fn perform(&mut self, operation: &Operation) -> Outcome {
        let Operation::Linked(chain) = operation else {
            return match self.one(operation) {
                Ok(true) => Outcome::Applied,
                Ok(false) => Outcome::Exists,
                Err(reason) => Outcome::Refused(Refusal { index: 0, reason }),
            };
        };
        let refused = |index, reason| Outcome::Refused(Refusal { index, reason });
        if !(1..=MAX_LINKED).contains(&chain.len()) {
            return refused(0, Reason::ChainLength { length: chain.len() });
        }
        for (index, operation) in chain.iter().enumerate() {
            if let Operation::Linked(_) = operation {
                return refused(index, Reason::ChainNested);
            }
        }
        let mut copy = self.clone();
        let mut done = Vec::new();
        for (index, operation) in chain.iter().enumerate() {
            match copy.one(operation) {
                Ok(new) => done.push(new),
                Err(reason) => return refused(index, reason),
            }
            if done.contains(&true)
                && let Some(existing) = done.iter().position(|new| !new)
            {
                return refused(existing, Reason::ChainPartlyExists);
            }
        }
        *self = copy;
        if done.contains(&true) { Outcome::Applied } else { Outcome::Exists }
    }

    /// True if it is done now, false if it was done before.
    fn one(&mut self, operation: &Operation) -> Result<bool, Reason> {
        match operation {
            Operation::Open(account) => self.open(account),
            Operation::Transfer(transfer) => self.transfer(transfer),
            Operation::Post { hold, amount } => self.resolve(*hold, Some(*amount)),
            Operation::Void { hold } => self.resolve(*hold, None),
            Operation::Linked(_) => unreachable!("chains are not nested"),
        }
    }

    fn open(&mut self, account: &Account) -> Result<bool, Reason> {
        let derived = AccountId::derive(account.book, &account.name, account.asset);
        if account.id != derived {
            return Err(Reason::AccountIdMismatch { account: account.id, derived });
        }
        let length = account.name.chars().count();
        if !(1..=64).contains(&length) || account.name.contains(char::is_control) {
            return Err(Reason::AccountNameInvalid { length });
        }
        if let Some(stored) = self.accounts.iter().find(|a| a.id == account.id) {
            let different = |field| Reason::ExistsWithDifferent { id: derived.to_string(), field };
            return match () {
                () if stored == account => Ok(false),
                () if stored.class != account.class => Err(different("class")),
                () if stored.limit != account.limit => Err(different("limit")),
                () => Err(different("closes_at")),
            };
        }
        match account.closes_at {
            Some(closes_at) if closes_at <= self.now => {
                Err(Reason::AccountMustCloseInFuture { closes_at, at: self.now })
            }
            _ => {
                self.accounts.push(account.clone());
                Ok(true)
            }
        }
    }

    fn transfer(&mut self, transfer: &Transfer) -> Result<bool, Reason> {
        if let Some(stored) = self.entries.iter().find(|e| e.transfer.id == transfer.id) {
            let stored = &stored.transfer;
            let field = match () {
                () if stored == transfer => return Ok(false),
                () if stored.debit != transfer.debit => "debit",
                () if stored.credit != transfer.credit => "credit",
                () if stored.amount != transfer.amount => "amount",
                () if stored.kind != transfer.kind => "kind",
                () if stored.counterparty != transfer.counterparty => "counterparty",
                () if stored.reference != transfer.reference => "reference",
                () if stored.digest != transfer.digest => "digest",
                () => "hold_until",
            };
            return Err(Reason::ExistsWithDifferent { id: transfer.id.to_string(), field });
        }
        let amount = transfer.amount;
        if amount.minor() <= 0 {
            return Err(Reason::AmountMustBePositive { amount });
        }
        if transfer.debit == transfer.credit {
            return Err(Reason::AccountsMustBeDifferent { account: transfer.debit });
        }
        let find = |id: AccountId| {
            let found = self.accounts.iter().find(|a| a.id == id);
            found.ok_or(Reason::AccountNotFound { account: id })
        };
        let (debit, credit) = (find(transfer.debit)?, find(transfer.credit)?);
        if debit.asset != amount.asset() || credit.asset != amount.asset() {
            return Err(Reason::AssetsMustMatch {
                amount: amount.asset(),
                debit: debit.asset,
                credit: credit.asset,
            });
        }
        if let Some(until) = transfer.hold_until
            && until <= self.now
        {
            return Err(Reason::HoldMustEndInFuture { until, at: self.now });
        }
        for account in [debit, credit] {
            if let Some(closed_at) = account.closes_at
                && closed_at <= self.now
            {
                return Err(Reason::AccountClosed { account: account.id, closed_at });
            }
        }
        // Overflow is left to a test of its own: no history comes near it.
        let of_debit = self.balance(debit);
        let left = of_debit.credits_posted - of_debit.debits_posted - of_debit.debits_pending;
        if debit.limit == Limit::DebitsMustNotExceedCredits && left < amount.minor() {
            let available = Amount::from_minor(debit.asset, left);
            return Err(Reason::LimitExceeded { account: debit.id, available, asked: amount });
        }
        let of_credit = self.balance(credit);
        let left = of_credit.debits_posted - of_credit.credits_posted - of_credit.credits_pending;
        if credit.limit == Limit::CreditsMustNotExceedDebits && left < amount.minor() {
            let available = Amount::from_minor(credit.asset, left);
            return Err(Reason::LimitExceeded { account: credit.id, available, asked: amount });
        }
        let status = match transfer.hold_until {
            Some(_) => Status::Held,
            None => Status::Posted { at: self.now, amount },
        };
        let sequence = self.entries.len() as u64;
        let transfer = transfer.clone();
        self.entries.push(TransferRecord { transfer, at: self.now, sequence, status });
        Ok(true)
    }

    /// Posts with `Some`, voids with `None`.
    fn resolve(&mut self, hold: TransferId, post: Option<Option<Amount>>) -> Result<bool, Reason> {
        let now = self.now;
        let entry = self.entries.iter_mut().find(|e| e.transfer.id == hold);
        let entry = entry.ok_or(Reason::HoldNotFound { hold })?;
        if entry.transfer.hold_until.is_none() {
            return Err(Reason::TransferIsNoHold { transfer: hold });
        }
        let held = entry.transfer.amount;
        let asked = post.map(|amount| amount.unwrap_or(held));
        match (entry.status, asked) {
            (Status::Posted { amount, .. }, Some(asked)) if amount == asked => Ok(false),
            (Status::Posted { amount: posted, .. }, _) => {
                Err(Reason::HoldAlreadyPosted { hold, posted })
            }
            (Status::Voided { .. }, None) => Ok(false),
            (Status::Voided { at }, Some(_)) => Err(Reason::HoldAlreadyVoided { hold, at }),
            (Status::Expired { at }, _) => Err(Reason::HoldExpired { hold, at }),
            (Status::Held, None) => {
                entry.status = Status::Voided { at: now };
                Ok(true)
            }
            (Status::Held, Some(asked)) => {
                if asked.minor() <= 0 {
                    return Err(Reason::AmountMustBePositive { amount: asked });
                }
                if asked.asset() != held.asset() {
                    return Err(Reason::PostInOtherAsset { held, asked });
                }
                if asked.minor() > held.minor() {
                    return Err(Reason::PostExceedsHold { held, asked });
                }
                entry.status = Status::Posted { at: now, amount: asked };
                Ok(true)
            }
        }
    }

    fn balance(&self, account: &Account) -> Balance {
        let mut balance = Balance {
            asset: account.asset,
            class: account.class,
            limit: account.limit,
            debits_posted: 0,
            debits_pending: 0,
            credits_posted: 0,
            credits_pending: 0,
        };
        for entry in &self.entries {
            let (posted, pending) = match entry.status {
                Status::Posted { amount, .. } => (amount.minor(), 0),
                Status::Held => (0, entry.transfer.amount.minor()),
                Status::Voided { .. } | Status::Expired { .. } => (0, 0),
            };
            if entry.transfer.debit == account.id {
                balance.debits_posted += posted;
                balance.debits_pending += pending;
            }
            if entry.transfer.credit == account.id {
                balance.credits_posted += posted;
                balance.credits_pending += pending;
            }
        }
        balance
    }

    /// Whether `state` shows exactly these books, through each of its windows.
    pub(crate) fn matches(&self, state: &State) -> Result<(), String> {
        let expect = |what: &str, same: bool| match same {
            true => Ok(()),
            false => Err(format!("{what} differ:\n{self:#?}\n{state:#?}")),
        };
        expect("times", state.now() == self.now)?;
        expect("accounts", state.accounts().eq(&self.accounts))?;
        expect("entries", state.entries().eq(&self.entries))?;
        for account in &self.accounts {
            expect("balances", state.balance(&account.id) == Some(self.balance(account)))?;
            let touches = |entry: &&TransferRecord| {
                entry.transfer.debit == account.id || entry.transfer.credit == account.id
            };
            let entries = self.entries.iter().filter(touches);
            expect("an account's entries", state.entries_of(account.id).eq(entries))?;
        }
        for entry in &self.entries {
            expect("ids", state.transfer(&entry.transfer.id) == Some(entry))?;
            let reference = entry.transfer.reference;
            if !reference.is_none() {
                let same = self.entries.iter().filter(|e| e.transfer.reference == reference);
                expect("acts", state.by_reference(reference).into_iter().eq(same))?;
            }
        }
        let mut held: Vec<_> = self.entries.iter().filter(|e| e.status == Status::Held).collect();
        held.sort_by_key(|entry| (entry.transfer.hold_until, entry.transfer.id));
        expect("holds", state.holds().eq(held))
    }
}

/// Draws operations from bytes, so that a seed and a shrinking test case read alike.
///
/// The world is small on purpose: few accounts, few ids and short times, so that things repeat,
/// collide, run dry and run out often. A transfer's fields follow from its id, except when they
/// are disturbed.
pub(crate) struct Draw<'a>(pub(crate) &'a mut dyn Iterator<Item = u8>);

impl Draw<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }

    fn once_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    pub(crate) fn operation(&mut self) -> Operation {
        match self.byte() % 16 {
            15 => {
                let length = if self.once_in(32) { 0 } else { 1 + self.byte() % 4 };
                let mut chain: Vec<_> = (0..length).map(|_| self.single()).collect();
                if self.once_in(32) {
                    chain.push(Operation::Linked(vec![]));
                }
                Operation::Linked(chain)
            }
            12..=14 => {
                // A limit a payment: set aside, release, and pay, all or nothing.
                let hold = self.single();
                let Operation::Transfer(Transfer { id, .. }) = hold else { return hold };
                Operation::Linked(vec![hold, Operation::Void { hold: id }, self.single()])
            }
            _ => self.single(),
        }
    }

    fn single(&mut self) -> Operation {
        match self.byte() % 8 {
            0 => Operation::Open(self.account()),
            1..=4 => Operation::Transfer(self.transfer()),
            5 => {
                let asset = if self.once_in(16) { Asset::USDC } else { Asset::MUSD };
                let part = Amount::from_minor(asset, i128::from(self.byte() % 40) - 1);
                let amount = self.once_in(2).then_some(part);
                Operation::Post { hold: self.transfer_id(), amount }
            }
            6 => Operation::Post { hold: self.transfer_id(), amount: None },
            _ => Operation::Void { hold: self.transfer_id() },
        }
    }

    fn transfer_id(&mut self) -> TransferId {
        TransferId::from_u128(u128::from(self.byte() % 40))
    }

    fn account(&mut self) -> Account {
        let mut account = account(self.byte() % ACCOUNTS);
        if self.once_in(16) {
            match self.byte() % 4 {
                0 => account.closes_at = Some(Timestamp::from_millis(self.byte().into())),
                1 => account.class = Class::Income,
                2 => account.limit = Limit::None,
                _ => account.name.push('\n'),
            }
        }
        account
    }

    fn transfer(&mut self) -> Transfer {
        let id = self.transfer_id();
        let n = u8::try_from(id.as_u128()).expect("ids are small");
        // Every third endows a wallet; the others go from anywhere to anywhere.
        let (debit, credit) = match n % 3 {
            0 => (n % 2, 2 + n % 2),
            _ => (n % ACCOUNTS, (n / 3) % (ACCOUNTS + 1)),
        };
        let asset = account(debit).asset;
        let mut transfer = Transfer {
            id,
            debit: account(debit).id,
            credit: account(credit).id,
            amount: Amount::from_minor(asset, i128::from(n % 3 == 0) * 50 + i128::from(n)),
            kind: Kind::ALL[usize::from(n) % Kind::ALL.len()],
            counterparty: (n % 5 == 0).then_some(Party::new([n; 20])),
            reference: if n % 4 == 0 { Reference::NONE } else { Reference::new([n % 4; 32]) },
            digest: [n; 32],
            hold_until: (n % 2 == 1).then_some(Timestamp::from_millis(10 + 3 * u64::from(n))),
        };
        if self.once_in(12) {
            let wild = self.byte();
            match self.byte() % 8 {
                0 => transfer.amount = Amount::from_minor(asset, i128::from(wild) - 4),
                1 => transfer.amount = Amount::from_minor(Asset::USDC, i128::from(wild)),
                2 => transfer.debit = account(wild % ACCOUNTS).id,
                3 => transfer.credit = account(wild % ACCOUNTS).id,
                4 => transfer.hold_until = Some(Timestamp::from_millis(wild.into())),
                5 => transfer.reference = Reference::new([wild; 32]),
                6 => transfer.digest = [wild; 32],
                _ => transfer.counterparty = None,
            }
        }
        transfer
    }
}

const ACCOUNTS: u8 = 8;

/// The n-th account of the small world; there is one that nobody opens.
pub(crate) fn account(n: u8) -> Account {
    use Limit::{CreditsMustNotExceedDebits, DebitsMustNotExceedCredits};
    let book = Party::new([1 + n % 2; 20]);
    let (name, asset, class, limit) = match n {
        0 | 1 => ("wallet", Asset::MUSD, Class::Asset, CreditsMustNotExceedDebits),
        2 | 3 => ("capital", Asset::MUSD, Class::Equity, Limit::None),
        4 => ("budget", Asset::MUSD, Class::Memo, DebitsMustNotExceedCredits),
        5 => ("deposit", Asset::MUSD, Class::Liability, DebitsMustNotExceedCredits),
        6 => ("closing", Asset::MUSD, Class::Expense, Limit::None),
        7 => ("coins", Asset::USDC, Class::Asset, Limit::None),
        _ => ("nowhere", Asset::MUSD, Class::Income, Limit::None),
    };
    let account = Account::new(book, name, asset, class, limit);
    if n == 6 { account.closing_at(Timestamp::from_millis(60)) } else { account }
}

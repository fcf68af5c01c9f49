//! Money in and out: deposits are credited when their payment is in the market's book, and what is
//! taken back is paid by the market's key.

use std::sync::Arc;

use ::market::desk::Withdrawn;
use ::market::{MoveId, Operation};
use ::money::{Amount, Party};
use ledger::{Reference, State};
use mandates::books::Line;
use payments::payout::PaidOut;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::Market;
use crate::failure::Failure;

/// The least that a stranger takes out at once, in whole dollars, unless it is all that is free:
/// each payout is a transaction.
const LEAST_WITHDRAWAL: &str = "0.001";

/// Money that came under the market's disposal.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposited {
    /// Whose.
    pub party: Party,
    /// How much.
    pub amount: Amount,
    /// The payment's reference.
    pub reference: String,
}

/// Money that its owner has back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidBack {
    /// Whose.
    pub party: Party,
    /// How much.
    pub amount: Amount,
    /// The transaction.
    pub transaction: String,
}

impl Market {
    /// Credits every deposit whose payment is booked: after a start, and whenever some may have been
    /// missed. One payment is credited once.
    ///
    /// # Errors
    /// If the market cannot be written.
    pub async fn credit_all(&self) -> Result<(), Failure> {
        let asset = self.parts.chain.token().asset;
        let owed = Line::Owed.of(self.party(), asset);
        let references: Vec<Reference> = self
            .parts
            .ledger
            .read(|state| state.entries_of(owed).map(|record| record.transfer.reference).collect());
        self.credit(&references).await
    }

    /// Credits the deposits among these acts.
    ///
    /// # Errors
    /// If the market cannot be written.
    pub async fn credit(&self, references: &[Reference]) -> Result<(), Failure> {
        let market = self.party();
        let found: Vec<(Reference, Party, Amount)> = self
            .parts
            .ledger
            .read(|state| references.iter().filter_map(|r| deposit(state, market, *r)).collect());
        for batch in found.chunks(::market::desk::MAX_BATCH) {
            let operations = batch.iter().map(|&(reference, party, amount)| Operation::Deposit {
                id: MoveId::derive(&[b"deposit", reference.as_bytes()]),
                party,
                amount,
            });
            let outcomes =
                self.desk.submit_all(operations.collect()).await.map_err(Failure::new)?;
            for (outcome, (reference, ..)) in outcomes.iter().zip(batch) {
                if !outcome.holds() {
                    tracing::error!(%reference, ?outcome, "a deposit cannot be credited");
                }
            }
        }
        Ok(())
    }

    /// Credits deposits as they are booked.
    pub(super) fn follow_deposits(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut committed = self.parts.ledger.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            // What an earlier run left, first.
            let mut missed = true;
            let mut references: Arc<[Reference]> = Arc::new([]);
            loop {
                let Some(market) = market.upgrade() else { return };
                let credited = match missed {
                    true => market.credit_all().await,
                    false => market.credit(&references).await,
                };
                drop(market);
                missed = credited.is_err();
                if let Err(failure) = credited {
                    tracing::error!(error = failure.message, "deposits could not be credited");
                }
                match committed.recv().await {
                    Ok(batch) => references = batch.references,
                    Err(RecvError::Lagged(_)) => missed = true,
                    Err(RecvError::Closed) => return,
                }
            }
        })
    }

    /// Gives a party's free money back to it: taken out of the market, then paid on the chain. The
    /// same name again is the same withdrawal, and tells of the same payment.
    ///
    /// # Errors
    /// If it has not so much, or the chain does not answer: then it is paid as soon as that does.
    pub async fn withdraw(
        &self,
        id: MoveId,
        party: Party,
        amount: Amount,
    ) -> Result<PaidBack, Failure> {
        // What was earned must be in the books before it leaves them.
        self.keep_books().await?;
        self.submit(Operation::Withdraw { id, party, amount }).await?;
        self.paid_back(id, party, amount).await
    }

    /// The same for whoever asks at the doors, within bounds that a stranger cannot make many
    /// payments of: so much at the least, one payout at a time. Without an amount it is what was
    /// asked for under this name before, or all that is free.
    ///
    /// # Errors
    /// As [`Market::withdraw`], and if it is out of these bounds.
    pub async fn withdraw_asked(
        &self,
        id: MoveId,
        party: Party,
        amount: Option<Amount>,
    ) -> Result<PaidBack, Failure> {
        self.keep_books().await?;
        let amount = {
            // Held until it is taken out: two at once are one after the other.
            let turn = self.turn.lock().await;
            let (known, free) =
                self.desk.read(|state| (state.withdrawal(id), state.holding(party).free));
            let amount = amount.or(known.map(|(_, amount)| amount)).unwrap_or(free);
            if known.is_none() {
                let asset = self.parts.chain.token().asset;
                let least = Amount::parse(asset, LEAST_WITHDRAWAL)?;
                if amount.minor() < least.minor() && amount != free {
                    return Err(Failure::new(format!(
                        "{amount} is less than the {least} that is paid out at the least, and not all of the {free} that is free"
                    )));
                }
                let rows = self.desk.unbooked(turn.done(), usize::MAX);
                let mut new = rows.iter().flat_map(|moved| moved.withdrawn.iter().copied());
                let before = turn.pending.of(party).or_else(|| new.find(|w| w.party == party));
                if let Some(before) = before {
                    return Err(Failure::new(format!(
                        "{} is on its way to {party}: one payout at a time",
                        before.amount
                    )));
                }
            }
            self.submit(Operation::Withdraw { id, party, amount }).await?;
            amount
        };
        self.paid_back(id, party, amount).await
    }

    /// Pays what was taken out under this name.
    async fn paid_back(
        &self,
        id: MoveId,
        party: Party,
        amount: Amount,
    ) -> Result<PaidBack, Failure> {
        self.keep_books().await?;
        let paid = self.pay_out(&Withdrawn { id, party, amount }).await?;
        Ok(PaidBack { party, amount, transaction: paid.transaction.to_string() })
    }

    /// Pays what was taken out, or finds that it was paid.
    pub(super) async fn pay_out(&self, withdrawn: &Withdrawn) -> Result<PaidOut, Failure> {
        let Withdrawn { id, party, amount } = *withdrawn;
        let booked = self.parts.cast.booked().contains(&party);
        let name = id.as_u128().to_be_bytes();
        let payout = self.cashier.payout(&name, party, amount, booked);
        self.cashier.pay(payout).await.map_err(|error| {
            Failure::new(format!("{amount} is on its way to {party} and not there yet: {error}"))
                .hint("it is tried again every few seconds")
        })
    }

    /// Whether money of a party's has ever moved, by its book.
    pub fn has_moved(&self, party: Party) -> bool {
        let asset = self.parts.chain.token().asset;
        let lines = [Line::Cash, Line::Market].map(|line| line.of(party, asset));
        self.parts
            .ledger
            .read(|state| lines.iter().any(|line| state.entries_of(*line).next().is_some()))
    }

    /// How the books and the desk differ about what the market owes, in words.
    pub fn difference(&self) -> Option<String> {
        let (books, market) = self.owed().filter(|(books, market)| books != market)?;
        Some(format!("market: the books say that it owes {books}, and it owes {market}"))
    }

    /// What the books say that the market owes, and what it does owe; `None` while money is on its
    /// way between the two.
    pub fn owed(&self) -> Option<(Amount, Amount)> {
        let asset = self.parts.chain.token().asset;
        let owed = Line::Owed.of(self.party(), asset);
        let cash = Line::Cash.of(self.party(), asset);
        let books = || {
            self.parts.ledger.read(|state| {
                let (owed, cash) = (state.balance(&owed)?, state.balance(&cash)?);
                let held = owed.debits_pending + owed.credits_pending;
                (held + cash.debits_pending + cash.credits_pending == 0).then_some(owed.settled())
            })
        };
        let before = books()?;
        let (market, rows) = self.desk.read(|state| {
            let own = state.holding(self.party());
            let own = own.free.minor() + own.stake.minor();
            (Amount::from_minor(asset, state.deposited().minor() - own), self.all_is_booked())
        });
        (rows && books() == Some(before)).then_some((before, market))
    }
}

/// The deposit of this act, if it is one and is paid.
fn deposit(
    state: &State,
    market: Party,
    reference: Reference,
) -> Option<(Reference, Party, Amount)> {
    // Under its own name, or, where its hold was let go before the money moved, as booked late.
    state.by_reference(reference).into_iter().find_map(|record| {
        let (_, amount) = record.posted()?;
        let asset = amount.asset();
        let is_one = record.transfer.debit == Line::Cash.of(market, asset)
            && record.transfer.credit == Line::Owed.of(market, asset);
        Some((reference, record.transfer.counterparty.filter(|_| is_one)?, amount))
    })
}

#[cfg(test)]
mod tests {
    use ::money::{Asset, SystemClock, Timestamp};
    use ledger::{Kind, Ledger, Operation as Entered, TransferId};
    use mandates::books::{self, Entry};

    use super::*;

    #[tokio::test]
    async fn a_deposit_that_is_booked_late_is_credited_like_any_other() {
        let (market, payer) = (Party::new([1; 20]), Party::new([2; 20]));
        let reference = Reference::derive("test/deposit", &[]);
        let ledger = Ledger::in_memory(Arc::new(SystemClock));
        for line in [Line::Cash, Line::Owed, Line::Funding] {
            assert!(ledger.submit(line.open(market, Asset::MUSD).into()).await.unwrap().holds());
        }
        let held = Entry {
            id: books::sale_id(reference),
            book: market,
            debit: Line::Cash,
            credit: Line::Owed,
            amount: Amount::from_minor(Asset::MUSD, 500),
            kind: Kind::Financial,
            counterparty: payer,
            reference,
            digest: [0; 32],
            hold_until: Some(Timestamp::from_secs(u64::from(u32::MAX))),
        };
        let late = Entry {
            id: TransferId::derive("chain/in", &[b"transaction"]),
            hold_until: None,
            ..held
        };
        let found = || ledger.read(|state| deposit(state, market, reference));
        for operation in [held.transfer(), Entered::Void { hold: held.id }] {
            assert!(ledger.submit(operation.into()).await.unwrap().holds());
            assert_eq!(found(), None, "nothing is paid");
        }
        assert!(ledger.submit(late.transfer().into()).await.unwrap().holds());
        assert_eq!(found(), Some((reference, payer, late.amount)));
        // What is a gift by the books is nobody's deposit.
        let gift = Reference::derive("test/gift", &[]);
        let entry =
            Entry { id: books::sale_id(gift), credit: Line::Funding, reference: gift, ..late };
        assert!(ledger.submit(entry.transfer().into()).await.unwrap().holds());
        assert_eq!(ledger.read(|state| deposit(state, market, gift)), None);
    }
}

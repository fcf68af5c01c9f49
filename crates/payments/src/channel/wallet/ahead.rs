//! Purchases that run ahead: many from one channel at once, each with a voucher of its own.
//!
//! Where buyer ([`ChannelPolicy::lanes`](super::ChannelPolicy)) and quote (`lanes`) both want it, a voucher is
//! signed for the greatest total so far and one price more, and says `ahead`; the seller takes such
//! vouchers in any order (decision 11). Nobody waits for another's answer, and no answer corrects.
//!
//! | this waits for the channel alone, in order | because |
//! |---|---|
//! | the first purchase after a start, or after an answer that was lost | the seller tells what it charged |
//! | one that needs a deposit | money that is not there can pay for nothing |
//! | one after many that cost less than their price, or nothing | what was signed and not charged is used |
//!
//! What is signed is within what is in the channel, and that was held against the mandate when it
//! was put in. After a crash in the middle the vouchers under way stay held, and the next purchase,
//! which goes in order, learns with proof what they were charged.
//!
//! Bounds: as many at once as the smaller of both numbers; more wait here.

use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use mandates::{Fate, HeldVoucher, MandateError, Rule};
use money::Amount;
use serde_json::Value;
use tokio::sync::{OwnedRwLockReadGuard, Semaphore};

use super::paying::{Refused, Word, decided, numbered};
use super::{Buyer, Known, MOST_NUMBERS, Offered};
use crate::buyer::{Answer, Bought, BuyError, Paid, Purchase, shown, stage, summary};
use crate::channel::wire::Payload;
use crate::documents;
use crate::wire::{self, PaymentPayload, PaymentRequired};

/// From where vouchers of a channel may run ahead.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The greatest total that was signed; `None` until the seller has confirmed one in order.
    greatest: Mutex<Option<Amount>>,
    /// A place for each voucher under way, made when they are first asked for.
    places: Mutex<Option<Arc<Semaphore>>>,
}

impl Ahead {
    /// The seller has confirmed this total, and nothing else is under way.
    pub(super) fn begin(&self, total: Amount) {
        *self.greatest.lock().expect("nothing panics under this lock") = Some(total);
    }

    /// Nobody may run ahead until the seller has confirmed another total.
    pub(super) fn end(&self) {
        *self.greatest.lock().expect("nothing panics under this lock") = None;
    }

    fn has_begun(&self) -> bool {
        self.greatest.lock().expect("nothing panics under this lock").is_some()
    }

    fn places(&self, lanes: u16) -> Arc<Semaphore> {
        let mut places = self.places.lock().expect("nothing panics under this lock");
        places.get_or_insert_with(|| Arc::new(Semaphore::new(lanes.into()))).clone()
    }
}

/// A channel that many sign for at once.
struct Lane {
    id: B256,
    offered: Offered,
    known: OwnedRwLockReadGuard<Known>,
}

/// How a purchase that ran ahead ended.
pub(crate) enum Ran {
    /// With goods or with an error.
    Done(Box<Result<Bought, BuyError>>),
    /// Nothing was bought, nothing is charged, and it has to be tried in order.
    InOrder,
}

impl Buyer {
    /// Buys beside others, if that can be done now.
    pub(crate) async fn buy_ahead(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
    ) -> Ran {
        let lanes = self.lanes(offered);
        if lanes < 2 {
            return Ran::InOrder;
        }
        let Some(lane) = self.lane(offered).await else { return Ran::InOrder };
        let places = lane.known.ahead.places(lanes);
        let Ok(_place) = places.acquire().await else { return Ran::InOrder };
        let result = match self.hold_ahead(purchase, quote, &lane).await {
            Ok(Some(voucher)) => self.follow_ahead(purchase, quote, &lane, voucher).await,
            Ok(None) => return Ran::InOrder,
            Err(error) => Err(error),
        };
        match result {
            Ok(Some(bought)) => Ran::Done(Box::new(Ok(bought))),
            Ok(None) => Ran::InOrder,
            Err(error) => Ran::Done(Box::new(Err(error))),
        }
    }

    /// Whether others have begun to run ahead in this channel meanwhile.
    pub(crate) fn may_run_ahead(&self, offered: &Offered, channel: &super::InHand) -> bool {
        let price = offered.amount.minor();
        self.lanes(offered) >= 2
            && channel.known.ahead.has_begun()
            && self.book_of(channel.id).is_ok_and(|book| book.available().minor() >= price)
            && self.next_total(channel.id, &channel.known.ahead, offered, false).is_some()
    }

    /// How many vouchers may be under way, by our policy and the quote.
    fn lanes(&self, offered: &Offered) -> u16 {
        let extra = offered.terms.extra.as_ref();
        let theirs = extra.and_then(|extra| extra.get("lanes")).and_then(Value::as_u64);
        let theirs = theirs.map_or(0, |lanes| u16::try_from(lanes).unwrap_or(u16::MAX));
        self.limits.channels.lanes.min(theirs)
    }

    /// The channel that the next purchase in order would use, if vouchers may run ahead in it.
    async fn lane(&self, offered: &Offered) -> Option<Lane> {
        for number in 0..MOST_NUMBERS {
            let (id, config) = self.numbered(&offered.config, number);
            let known = self.wallet.of(id).read_owned().await;
            if known.stopped.get().is_some() {
                continue;
            }
            let offered = Offered {
                terms: offered.terms.clone(),
                amount: offered.amount,
                payee: offered.payee,
                by: offered.by,
                config,
            };
            return (known.compared && known.ahead.has_begun()).then_some(Lane {
                id,
                offered,
                known,
            });
        }
        None
    }

    /// The next total, if there is room for it; taken at once if it is to be.
    fn next_total(
        &self,
        channel: B256,
        ahead: &Ahead,
        offered: &Offered,
        take: bool,
    ) -> Option<Amount> {
        let book = self.book_of(channel).ok()?;
        let mut greatest = ahead.greatest.lock().expect("nothing panics under this lock");
        let total = greatest.as_ref()?.checked_add(offered.amount).ok()?;
        // What was signed, is not held and was not charged: it is used by who goes in order.
        let unused = total.minor() - book.charged.minor() - book.held.minor();
        let slack = offered.amount.minor().saturating_mul(self.limits.channels.lanes.into());
        if total.minor() > book.balance.minor() || unused > slack {
            return None;
        }
        if take {
            *greatest = Some(total);
        }
        Some(total)
    }

    async fn hold_ahead(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        lane: &Lane,
    ) -> Result<Option<HeldVoucher>, BuyError> {
        // Its seller may have lied to another while this one waited for a place.
        if lane.known.stopped.get().is_some() {
            return Ok(None);
        }
        let Some(total) = self.next_total(lane.id, &lane.known.ahead, &lane.offered, true) else {
            return Ok(None);
        };
        let spend = self.voucher_for(purchase, &lane.offered, lane.id, total)?;
        if self.was_charged(&spend) || self.told(spend.reference, spend.digest)?.is_some() {
            // The total is taken, so the next try is at another.
            return Ok(None);
        }
        let decision = self.decision(purchase, &lane.offered, lane.id)?;
        let evidence = decided(&spend, quote, &decision);
        match self.mandates.hold_voucher_ahead(spend, evidence).await {
            Ok(held) => Ok(Some(held)),
            // Others were faster, and the channel wants money first.
            Err(MandateError::Refused { rule: Rule::Prepaid, .. }) => Ok(None),
            Err(MandateError::NotHeld { .. } | MandateError::Ledger(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Signs, keeps and sends a voucher that is held, and books what the seller says.
    async fn follow_ahead(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        lane: &Lane,
        voucher: HeldVoucher,
    ) -> Result<Option<Bought>, BuyError> {
        let spend = voucher.spend();
        let (reference, amount) = (spend.reference, spend.amount);
        let zero = Amount::zero(amount.asset());
        let payload = Payload::Voucher {
            channel_config: lane.offered.config,
            voucher: self.signed(&voucher)?,
        };
        let mut payment = PaymentPayload {
            x402_version: wire::VERSION,
            resource: Some(quote.resource.clone()),
            accepted: lane.offered.terms.clone(),
            payload: serde_json::to_value(&payload).expect("wire types are plain data"),
            extensions: self.bound_voucher(purchase, quote, &lane.offered, &voucher)?,
        };
        payment.payload["ahead"] = Value::Bool(true);
        let stage = |stage: &str| numbered(stage, spend.attempt);
        self.keep(vec![documents::json(reference, &stage(stage::PAYMENT), &payment)]).await?;
        let (answer, sent) = self.present_voucher(purchase, &payment).await;
        let word = self.word(lane.id, &voucher, &answer, true)?;
        let said = answer.as_ref().ok();
        let evidence = said.map(|a| documents::json(reference, &stage(stage::ANSWER), &summary(a)));
        let charged = match &word {
            Word::Charged(charged) => {
                let minor = i128::try_from(*charged).unwrap_or(i128::MAX);
                Some(Amount::from_minor(amount.asset(), minor))
            }
            Word::No => Some(zero),
            // Sent once and not taken, it was not charged.
            Word::Corrects(_) if sent == 1 => Some(zero),
            Word::Silent | Word::Lie(_) | Word::Open | Word::Corrects(_) => None,
        };
        let fate = charged.map(|charged| Fate { hold: spend.hold_id(), charged });
        let fates: Vec<Fate> = fate.into_iter().collect();
        // What is paid for is delivered, whatever our books say; they are mended before the next one
        // in order.
        let settled = self.mandates.settle_vouchers(&fates, evidence.into_iter().collect()).await;
        let booked = settled.is_ok();
        if let Err(error) = settled {
            tracing::error!(%reference, %error, "a charge could not be booked yet");
            lane.known.book_later(&fates);
            if let (Word::Charged(_), Some(charged)) = (&word, charged) {
                self.note_charge(spend, charged).await;
            }
        }
        if !booked || !matches!(word, Word::Charged(_) | Word::No) {
            // Its fate is not known, or the seller counts otherwise: the next one goes in order.
            lane.known.ahead.end();
        }
        if let Word::Lie(why) = &word {
            self.stop(lane.id, &lane.known, why).await?;
        }
        let url = shown(&purchase.url);
        match (answer, word) {
            (_, Word::Corrects(_)) if sent == 1 => Ok(None),
            (Ok(Answer { status, headers, body, .. }), _) if status.is_success() => {
                let machine = self.party();
                let left = self.mandates.left(machine);
                let left = left.ok_or(MandateError::NoMandate { machine })?;
                let paid = Paid {
                    reference,
                    amount: charged.unwrap_or(amount),
                    payee: spend.payee,
                    transaction: None,
                    left,
                };
                Ok(Some(Bought { status, headers, body, paid: Some(paid) }))
            }
            (answer, Word::No) => {
                let said = Refused { cause: None, charged: None };
                Err(self.unpaid(purchase, &answer, said, &voucher, lane.id))
            }
            _ => Err(BuyError::Unanswered { url, amount, channel: lane.id, reference }),
        }
    }
}

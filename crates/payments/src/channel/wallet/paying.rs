//! One purchase from a channel: hold, sign, keep, send, and follow what the seller proves.
//!
//! | what the seller says | what is booked | next |
//! |---|---|---|
//! | delivered, with a charge that adds up | the charge is posted, older open vouchers are void | – |
//! | the same, and this voucher had been signed for this request before | the charge is posted, others stay held | the next in order tells |
//! | delivered, and the numbers do not add up | the voucher stays held | the channel is stopped |
//! | it had charged an earlier voucher, with our signature on it | that one is posted | one new voucher |
//! | refused (4xx) | the voucher is void: the next may be the same | – |
//! | nothing, or that it failed | the voucher stays held | the next answer tells |
//!
//! The same voucher is sent until there is an answer; another one is signed for the same purchase
//! only when the seller has proved that the first could not have been meant.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use http::StatusCode;
use ledger::{Evidence, Outcome, Status, Write};
use mandates::books::Line;
use mandates::{Fate, HeldVoucher, MandateError, VoucherSpend, books};
use money::Amount;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::correcting::{Corrected, Own};
use super::depositing::{FIRST_VOUCHER, Made, SignedDeposit};
use super::{Buyer, CHARGED, InHand, Offered, Told};
use crate::buyer::{Answer, Bought, BuyError, Paid, Purchase, blame, may_be_repeated, receipt};
use crate::buyer::{bound_to, shown, stage, summary};
use crate::channel::wire::{ChannelState, Payload, Units, Voucher};
use crate::channel::{self, ChannelInvalid};
use crate::documents;
use crate::extensions::{self, binding};
use crate::wire::{self, PaymentPayload, PaymentRequired};

/// What a seller's answer means for the voucher.
pub(super) enum Word {
    /// It delivered, and charged this much.
    Charged(u128),
    /// It delivered, and does not tell what it charged.
    Silent,
    /// It delivered, and what it tells does not add up.
    Lie(String),
    /// It had charged something else before, or says so.
    Corrects(Box<PaymentRequired>),
    /// It refused.
    No,
    /// Nobody knows.
    Open,
}

impl Buyer {
    /// Buys from a channel.
    pub(crate) async fn buy_from_channel(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: Offered,
        mut channel: InHand,
    ) -> Result<Bought, BuyError> {
        const TRIES: u32 = 8;
        let mut tries = 1;
        let mut deposit: Option<SignedDeposit> = None;
        let mut may_correct = true;
        let compared = channel.known.compared;
        loop {
            let spend = self.next_voucher(purchase, &offered, channel.id).await?;
            let voucher = match deposit.take() {
                Some(before) => {
                    let held = self.mandates.other_voucher(before.held, spend)?;
                    let voucher = held.voucher().clone();
                    deposit = Some(SignedDeposit { held, ..before });
                    voucher
                }
                None => {
                    let held =
                        self.hold_from_channel(purchase, quote, &offered, &channel, spend).await;
                    match held {
                        Ok((voucher, new)) => {
                            deposit = new;
                            voucher
                        }
                        // Another of this machine was charged in between: the total is another.
                        Err(BuyError::Mandate(
                            MandateError::NotHeld { .. } | MandateError::Ledger(_),
                        )) if tries < TRIES => {
                            tries += 1;
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            let signed = self
                .sign_from_channel(purchase, quote, &offered, &channel, &voucher, deposit.as_ref())
                .await;
            let payment = match signed {
                Ok(payment) => payment,
                Err(error) => {
                    self.let_go(&voucher, deposit.as_ref(), may_correct).await;
                    return Err(error);
                }
            };
            if deposit.is_some() {
                // From here on the chain may have what the book lacks, also if this ends in the
                // middle: whoever comes next looks first.
                channel.known.compared = false;
                channel.known.ahead.end();
            }
            let (answer, sent) = self.present_voucher(purchase, &payment).await;
            let made = match &deposit {
                None => None,
                Some(deposit) => Some(self.follow_deposit(deposit, &voucher, &answer).await?),
            };
            let deposited = made == Some(Made::Booked);
            // Without its deposit the voucher was never held, and its fate is the deposit's.
            let held = deposit.is_none() || deposited;
            if deposited {
                channel.known.compared = compared;
            }
            let again = self.was_signed_before(voucher.spend());
            let word = self.word(channel.id, &voucher, &answer, again)?;
            if let Word::Corrects(quote) = word {
                if deposited {
                    deposit = None;
                }
                let own = held.then(|| self.own(&voucher, sent));
                let corrected = self.correct(&mut channel, &quote, own).await?;
                if let (Corrected::GoOn, Some(own)) = (&corrected, own) {
                    // Not this one was charged, and it will not be sent again.
                    let charged = Amount::zero(offered.amount.asset());
                    let fate = Fate { hold: own.hold, charged };
                    self.mandates.settle_vouchers(&[fate], Vec::new()).await?;
                }
                let said = match corrected {
                    // It may be wrong once; a seller that always is would have us sign for ever.
                    Corrected::GoOn if may_correct => {
                        may_correct = false;
                        continue;
                    }
                    Corrected::GoOn => {
                        let cause = Some("it corrects itself again and again".into());
                        Refused { cause, charged: None }
                    }
                    Corrected::Charged(amount) => Refused { cause: None, charged: Some(amount) },
                    Corrected::NotProved(why) => Refused { cause: Some(why), charged: None },
                };
                return Err(self.unpaid(purchase, &answer, said, &voucher, channel.id));
            }
            return self
                .conclude_voucher(purchase, answer, word, voucher, deposit, made, channel, again)
                .await;
        }
    }

    fn own(&self, voucher: &HeldVoucher, sent: u32) -> Own {
        let spend = voucher.spend();
        let hold = spend.hold_id();
        let sequence =
            self.ledger.read(|state| state.transfer(&hold).map_or(u64::MAX, |r| r.sequence));
        let base = units(spend.cumulative).saturating_sub(units(spend.amount));
        Own { hold, sequence, base, sent }
    }

    /// What never left can go at once. A deposit that left with an earlier voucher stays.
    async fn let_go(&self, voucher: &HeldVoucher, deposit: Option<&SignedDeposit>, first: bool) {
        let gone = match deposit {
            None => {
                let spend = voucher.spend();
                let charged = Amount::zero(spend.amount.asset());
                let fate = Fate { hold: spend.hold_id(), charged };
                self.mandates.settle_vouchers(&[fate], Vec::new()).await
            }
            Some(deposit) if first => {
                self.mandates.release(deposit.held.spend().reference, Vec::new()).await
            }
            Some(_) => Ok(()),
        };
        if let Err(error) = gone {
            tracing::error!(%error, "the hold of an unsigned payment stays for now");
        }
    }

    /// The voucher for what was charged and this price.
    async fn next_voucher(
        &self,
        purchase: &Purchase,
        offered: &Offered,
        channel: B256,
    ) -> Result<VoucherSpend, BuyError> {
        let next = || {
            let book = self.book_of(channel)?;
            let cumulative = book.charged.checked_add(offered.amount).map_err(|_| {
                let cause = "its total would be more than can be counted".into();
                BuyError::Channel { channel, cause }
            })?;
            self.voucher_for(purchase, offered, channel, cumulative)
        };
        let mut spend = next()?;
        // What was delivered for it and noted is charged, though the book never had its hold: so it
        // is booked first, where the channel has the money by now.
        if !self.was_charged(&spend)
            && let Some(told) = self.told(spend.reference, spend.digest)?
            && told.charged.minor() <= self.book_of(channel)?.available().minor()
        {
            let booked = VoucherSpend { attempt: spend.attempt, ..told.spend };
            self.mandates.charge_voucher(&booked, told.charged).await?;
            spend = next()?;
        }
        if self.was_charged(&spend) || self.told(spend.reference, spend.digest)?.is_some() {
            let cause = "this request was paid for with the same total before; pay for it by another scheme, or after the next purchase".into();
            return Err(BuyError::Channel { channel, cause });
        }
        Ok(spend)
    }

    /// Whether this very voucher was charged for this very request. Vouchers that ran ahead leave
    /// totals behind that were charged, and come again where others failed. With the same request,
    /// too, the seller would give what was bought then.
    pub(super) fn was_charged(&self, spend: &VoucherSpend) -> bool {
        self.ledger.read(|state| {
            let mut same = state.by_reference(spend.reference).into_iter();
            same.any(|r| r.transfer.digest == spend.digest && r.posted().is_some())
        })
    }

    /// Whether this very voucher was signed for this very request before. It may have run ahead, and
    /// its answer was lost: then it is answered now, with the total of then. That says what this
    /// voucher was charged, and nothing of others that were under way beside it.
    fn was_signed_before(&self, spend: &VoucherSpend) -> bool {
        let own = spend.hold_id();
        let purchases = Line::Purchases.of(self.party(), spend.amount.asset());
        self.ledger.read(|state| {
            let held = state.by_reference(spend.reference).into_iter();
            held.filter(|r| r.transfer.debit == purchases && r.transfer.id != own)
                .any(|r| r.transfer.digest == spend.digest)
        })
    }

    /// The voucher for this total.
    pub(super) fn voucher_for(
        &self,
        purchase: &Purchase,
        offered: &Offered,
        channel: B256,
        cumulative: Amount,
    ) -> Result<VoucherSpend, BuyError> {
        let chain_id = self.wallet.domain.chain_id();
        let reference = channel::reference(chain_id, channel, units(cumulative));
        // A deposit that came to nothing has left documents, and no hold of its voucher.
        let documents = self.ledger.evidence(reference)?;
        let taken = |attempt: u32| {
            // One that took the place of another, with the same deposit, has its payment alone.
            let stages = [stage::DECISION, stage::PAYMENT].map(|stage| numbered(stage, attempt));
            documents.iter().any(|d| stages.contains(&d.evidence.stage))
        };
        let mut attempt = self.mandates.next_attempt(reference);
        while taken(attempt) {
            attempt += 1;
        }
        Ok(VoucherSpend {
            machine: self.party(),
            payee: offered.payee,
            chain_id,
            channel: channel.0,
            amount: offered.amount,
            cumulative,
            reference,
            attempt,
            digest: request_digest(purchase),
            until: self.clock.now().plus(self.limits.grace),
        })
    }

    /// Sets the money aside: in the channel, or with a deposit where it has not enough.
    async fn hold_from_channel(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
        channel: &InHand,
        spend: VoucherSpend,
    ) -> Result<(HeldVoucher, Option<SignedDeposit>), BuyError> {
        let book = self.book_of(channel.id)?;
        let decision = self.decision(purchase, offered, channel.id)?;
        let evidence = decided(&spend, quote, &decision);
        if book.available().minor() >= offered.amount.minor() {
            return Ok((self.mandates.hold_voucher(spend, evidence).await?, None));
        }
        let deposit =
            self.hold_deposit(quote, offered, channel, spend, &decision, evidence).await?;
        Ok((deposit.held.voucher().clone(), Some(deposit)))
    }

    /// What is known when a voucher is decided on, for the journal.
    pub(super) fn decision(
        &self,
        purchase: &Purchase,
        offered: &Offered,
        channel: B256,
    ) -> Result<Value, BuyError> {
        Ok(json!({
            "url": shown(&purchase.url),
            "method": purchase.method.as_str(),
            "bytes": purchase.body.len(),
            "amount": offered.amount,
            "payee": offered.payee,
            "max": purchase.max,
            "channel": channel,
            "channelBefore": self.book_of(channel)?,
            "leftBefore": self.mandates.left(self.party()),
        }))
    }

    /// Signs, and keeps the signed payment before anybody else has it.
    async fn sign_from_channel(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
        channel: &InHand,
        voucher: &HeldVoucher,
        deposit: Option<&SignedDeposit>,
    ) -> Result<PaymentPayload, BuyError> {
        let spend = voucher.spend();
        let wire_voucher = self.signed(voucher)?;
        let extensions = extensions::with(
            self.bound_voucher(purchase, quote, offered, voucher)?,
            deposit.and_then(|deposit| deposit.approval.clone()),
        );
        let payload = match deposit {
            None => Payload::Voucher { channel_config: channel.config, voucher: wire_voucher },
            Some(deposit) => Payload::Deposit {
                channel_config: channel.config,
                voucher: wire_voucher,
                deposit: deposit.wire.clone(),
            },
        };
        let payment = PaymentPayload {
            x402_version: wire::VERSION,
            resource: Some(quote.resource.clone()),
            accepted: offered.terms.clone(),
            payload: serde_json::to_value(&payload).expect("wire types are plain data"),
            extensions,
        };
        let mut evidence: Vec<Evidence> = vec![documents::json(
            spend.reference,
            &numbered(stage::PAYMENT, spend.attempt),
            &payment,
        )];
        let mut hold = spend.hold_id();
        if let Some(deposit) = deposit {
            let reference = deposit.held.spend().reference;
            hold = books::purchase_id(reference);
            let known = self.ledger.evidence(reference)?;
            let again = known.iter().any(|d| d.evidence.stage == stage::PAYMENT);
            let attempt = u32::from(again);
            evidence.push(documents::json(reference, &numbered(stage::PAYMENT, attempt), &payment));
            if again {
                evidence.push(documents::json(reference, &numbered(FIRST_VOUCHER, 1), spend));
            }
        }
        if let Outcome::Refused(refusal) = self.ledger.submit(Write::evidence(evidence)).await? {
            return Err(MandateError::Ledger(refusal.reason.to_string()).into());
        }
        // The bookkeeper lets go what stays unsigned for long; it may have been faster.
        if self.ledger.read(|s| s.transfer(&hold).map(|r| r.status)) != Some(Status::Held) {
            let cause = "the hold was let go before the payment was signed";
            return Err(MandateError::NotHeld { cause }.into());
        }
        Ok(payment)
    }

    /// What binds a voucher to its request, in a channel whose vouchers are bound.
    pub(super) fn bound_voucher(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
        voucher: &HeldVoucher,
    ) -> Result<Option<Map<String, Value>>, BuyError> {
        if !binding::is_marked(offered.config.salt) {
            return Ok(None);
        }
        let request = bound_to(purchase, quote, &offered.terms);
        let signature = self.key.sign_binding(voucher, request)?;
        let signature = Bytes::from(signature.as_bytes().to_vec());
        Ok(Some(binding::with_signature(quote, &signature)))
    }

    pub(super) fn signed(&self, voucher: &HeldVoucher) -> Result<Voucher, BuyError> {
        let spend = voucher.spend();
        let signature = self.key.sign_voucher(voucher)?;
        Ok(Voucher {
            channel_id: spend.channel.into(),
            max_claimable_amount: Units(units(spend.cumulative)),
            signature: signature.as_bytes().to_vec().into(),
        })
    }

    /// Sends the same voucher until somebody answers it for good; tells how often it was sent.
    pub(super) async fn present_voucher(
        &self,
        purchase: &Purchase,
        payment: &PaymentPayload,
    ) -> (Result<Answer, BuyError>, u32) {
        let mut pause = Duration::from_millis(50);
        let mut attempt = 1;
        loop {
            let answer = self.ask(purchase, Some(payment)).await;
            let busy = answer.as_ref().is_ok_and(|answer| {
                refusal(answer).is_some_and(|q| says(&q, ChannelInvalid::Busy))
            });
            if !(busy || may_be_repeated(&answer)) || attempt >= self.limits.attempts {
                return (answer, attempt);
            }
            tracing::info!(url = %shown(&purchase.url), attempt, "the same voucher is sent again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            attempt += 1;
        }
    }

    /// What an answer means.
    ///
    /// What others were charged meanwhile is in the total of a voucher that runs, or may once have
    /// run, `beside` them: so that tells less.
    pub(super) fn word(
        &self,
        channel: B256,
        voucher: &HeldVoucher,
        answer: &Result<Answer, BuyError>,
        beside: bool,
    ) -> Result<Word, BuyError> {
        let Ok(answer) = answer else { return Ok(Word::Open) };
        if let Some(quote) = refusal(answer) {
            let corrects = says(&quote, ChannelInvalid::CumulativeMismatch)
                || says(&quote, ChannelInvalid::BelowClaimed);
            return Ok(match corrects {
                true => Word::Corrects(Box::new(quote)),
                false if says(&quote, ChannelInvalid::Busy) => Word::Open,
                false => Word::No,
            });
        }
        if !answer.status.is_success() {
            let refused =
                answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS;
            return Ok(if refused { Word::No } else { Word::Open });
        }
        let Some(receipt) = receipt(&answer.headers).filter(|r| r.success) else {
            return Ok(Word::Silent);
        };
        let Some(extra) = receipt.extra else { return Ok(Word::Silent) };
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Said {
            charged_amount: Units,
            #[serde(default)]
            channel_state: Option<ChannelState>,
        }
        let Ok(said) = serde_json::from_value::<Said>(Value::Object(extra)) else {
            return Ok(Word::Silent);
        };
        let spend = voucher.spend();
        let charged = said.charged_amount.0;
        let lie = |text: String| Ok(Word::Lie(text));
        if charged > units(spend.amount) {
            return lie(format!("its seller charged {charged} minor units for {}", spend.amount));
        }
        let Some(state) = said.channel_state else { return Ok(Word::Charged(charged)) };
        if state.channel_id != channel {
            return lie(format!("its seller answered for another channel, {}", state.channel_id));
        }
        let total = units(spend.cumulative) - units(spend.amount) + charged;
        let book = self.book_of(channel)?;
        let counts = |said: Units| match beside {
            false => said.0 == total,
            true => said.0 >= charged && said.0 <= units(book.balance),
        };
        if state.charged_cumulative_amount.is_some_and(|said| !counts(said)) {
            return lie(format!("its seller counts another total than {total} minor units"));
        }
        // Less than the book has is no lie: the answer may be of before the newest deposit, or that
        // came after its seller had stopped waiting. But it sold on what it says it has not.
        if state.balance.0 < total {
            let said = state.balance.0;
            return lie(format!("its seller holds {said} minor units, it says, and sold {total}"));
        }
        Ok(Word::Charged(charged))
    }

    /// Books what the answer means, and gives the answer to whom it belongs.
    #[allow(clippy::too_many_arguments)] // one of each thing that a purchase has in hand
    async fn conclude_voucher(
        &self,
        purchase: &Purchase,
        answer: Result<Answer, BuyError>,
        word: Word,
        voucher: HeldVoucher,
        deposit: Option<SignedDeposit>,
        made: Option<Made>,
        channel: InHand,
        again: bool,
    ) -> Result<Bought, BuyError> {
        let spend = voucher.spend();
        let held = matches!(made, None | Some(Made::Booked));
        let (reference, amount) = (spend.reference, spend.amount);
        let zero = Amount::zero(amount.asset());
        let said = numbered(stage::ANSWER, spend.attempt);
        let mut evidence: Vec<Evidence> = answer
            .as_ref()
            .ok()
            .map(|answer| documents::json(reference, &said, &summary(answer)))
            .into_iter()
            .collect();
        let charged = match &word {
            Word::Charged(charged) => Some(Amount::from_minor(
                amount.asset(),
                i128::try_from(*charged).unwrap_or(i128::MAX),
            )),
            Word::No => Some(zero),
            Word::Silent | Word::Lie(_) | Word::Open | Word::Corrects(_) => None,
        };
        if let (Word::Charged(_), Some(charged), false) = (&word, charged, held) {
            let told = Told { spend: spend.clone(), charged };
            evidence.push(documents::json(reference, &numbered(CHARGED, spend.attempt), &told));
        }
        let mut unbooked = Vec::new();
        let settled = match charged.filter(|_| held) {
            // A charge tells that no older voucher was charged: the total would be another. One that
            // may have been charged long ago tells so of its own twins alone.
            Some(charged) => {
                let own = self.own(&voucher, 1);
                let mut fates = vec![Fate { hold: own.hold, charged }];
                if matches!(word, Word::Charged(_)) {
                    let open =
                        self.mandates.open_vouchers(self.party(), amount.asset(), channel.id.0);
                    fates.extend(
                        open.iter()
                            .filter(|hold| hold.sequence < own.sequence)
                            .filter(|hold| !again || hold.transfer.reference == reference)
                            .map(|hold| Fate { hold: hold.transfer.id, charged: zero }),
                    );
                }
                let settled = self.mandates.settle_vouchers(&fates, evidence).await;
                unbooked = fates;
                settled
            }
            None => self.mandates.settle_vouchers(&[], evidence).await,
        };
        // What is paid for is delivered, whatever our books say; they are mended before the next one.
        let booked = settled.is_ok();
        if let Err(error) = settled {
            tracing::error!(%reference, %error, "a charge could not be booked yet");
            channel.known.book_later(&unbooked);
            if let (Word::Charged(_), Some(charged)) = (&word, charged) {
                self.note_charge(spend, charged).await;
            }
        }
        if let Word::Lie(why) = &word {
            self.stop(channel.id, &channel.known, why).await?;
        }
        // What the seller confirmed is where others may run ahead from; else nobody may.
        match (&word, held && booked) {
            (Word::Charged(_), true) if !again => channel.known.ahead.begin(spend.cumulative),
            (Word::No, _) => {}
            _ => channel.known.ahead.end(),
        }
        let url = shown(&purchase.url);
        match answer {
            Ok(answer) if answer.status.is_success() => {
                let Answer { status, headers, body, .. } = answer;
                let left = self
                    .mandates
                    .left(self.party())
                    .ok_or(MandateError::NoMandate { machine: self.party() })?;
                let paid = Paid {
                    reference,
                    amount: charged.unwrap_or(amount),
                    payee: spend.payee,
                    transaction: None,
                    left,
                };
                Ok(Bought { status, headers, body, paid: Some(paid) })
            }
            answer => {
                if let (Some(deposit), false) = (&deposit, held) {
                    // Nothing moved for good, and the seller could still use the deposit.
                    let until = deposit.order.ends_at;
                    let amount = deposit.held.spend().amount;
                    let (status, cause) = blame(&answer);
                    return Err(match word {
                        Word::No if made == Some(Made::Unknown) => {
                            BuyError::NotDelivered { url, status, cause, amount, until }
                        }
                        _ => BuyError::Open {
                            url,
                            amount,
                            until,
                            reference: deposit.held.spend().reference,
                        },
                    });
                }
                match word {
                    Word::No => {
                        let said = Refused { cause: None, charged: None };
                        Err(self.unpaid(purchase, &answer, said, &voucher, channel.id))
                    }
                    _ => Err(BuyError::Unanswered { url, amount, channel: channel.id, reference }),
                }
            }
        }
    }

    pub(super) fn unpaid(
        &self,
        purchase: &Purchase,
        answer: &Result<Answer, BuyError>,
        said: Refused,
        voucher: &HeldVoucher,
        channel: B256,
    ) -> BuyError {
        let url = shown(&purchase.url);
        let (status, blamed) = blame(answer);
        let cause = said.cause.unwrap_or(blamed);
        let spend = voucher.spend();
        match said.charged {
            Some(amount) => BuyError::ChargedNotDelivered {
                url,
                status,
                cause,
                amount,
                channel,
                reference: spend.reference,
            },
            None => {
                let left = self
                    .book_of(channel)
                    .map_or(Amount::zero(spend.amount.asset()), |book| book.available());
                BuyError::NotCharged { url, status, cause, channel, left }
            }
        }
    }
}

/// Why a purchase ends without its goods.
pub(super) struct Refused {
    /// In words; the seller's own if missing.
    pub(super) cause: Option<String>,
    /// What was charged for it all the same.
    pub(super) charged: Option<Amount>,
}

/// The quote of a 402 answer.
pub(super) fn refusal(answer: &Answer) -> Option<PaymentRequired> {
    if answer.status != StatusCode::PAYMENT_REQUIRED {
        return None;
    }
    wire::decode(&answer.headers, wire::PAYMENT_REQUIRED).ok().flatten()
}

pub(super) fn says(quote: &PaymentRequired, reason: ChannelInvalid) -> bool {
    quote.error.as_deref() == Some(reason.code())
}

/// Minor units as the contract counts them; amounts in a channel are never negative.
pub(super) fn units(amount: Amount) -> u128 {
    u128::try_from(amount.minor()).unwrap_or(0)
}

/// The documents of a decision, by the voucher's name and attempt.
pub(super) fn decided(
    spend: &VoucherSpend,
    quote: &PaymentRequired,
    decision: &Value,
) -> Vec<Evidence> {
    let stage = |stage: &str| numbered(stage, spend.attempt);
    vec![
        documents::json(spend.reference, &stage(stage::QUOTE), quote),
        documents::json(spend.reference, &stage(stage::DECISION), decision),
    ]
}

/// What binds a voucher to a request.
fn request_digest(purchase: &Purchase) -> [u8; 32] {
    documents::digest(&[
        purchase.method.as_str().as_bytes(),
        purchase.url.as_str().as_bytes(),
        &purchase.body,
    ])
}

/// A stage's name, for a later attempt with the same voucher.
pub(crate) fn numbered(stage: &str, attempt: u32) -> String {
    if attempt == 0 { stage.to_string() } else { format!("{stage}/{attempt}") }
}

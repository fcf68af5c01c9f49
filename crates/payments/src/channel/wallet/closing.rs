//! Getting money back out of a channel: at once with the seller's help, or after its delay without.

use std::time::Duration;

use alloy_primitives::B256;
use http::Method;
use mandates::VoucherSpend;
use money::{Amount, Timestamp};
use serde::Serialize;
use settlement::channels::{ChannelState, Config};
use settlement::{SenderLimits, SettlementError};

use super::paying::{refusal, says, units};
use super::{Buyer, InHand, Opened, opened_by};
use crate::buyer::{BuyError, Purchase, blame, receipt, shown, stage};
use crate::channel::wire::{ChannelConfig, Payload};
use crate::channel::{self, ChannelInvalid};
use crate::extensions::binding;
use crate::wire::{self, PaymentPayload, PaymentRequired, PaymentRequirements};

/// What became of a channel that was to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Closed {
    /// There is nothing in it that is ours.
    Empty,
    /// The seller gave back what it had not charged.
    Refunded {
        /// How much.
        amount: Amount,
    },
    /// The seller did not; the money can be had without it later. Close the channel again then.
    Waiting {
        /// How much was asked for.
        amount: Amount,
        /// From when on.
        until: Timestamp,
        /// Why the seller did not, if it was asked.
        cause: Option<String>,
    },
    /// The delay was over, and what the seller had not claimed came back.
    Withdrawn {
        /// How much.
        amount: Amount,
    },
}

impl Buyer {
    /// Gets back what a channel holds and the seller has not charged: by its refund, at `url` if
    /// given, else where it was last charged, else where it was opened, or by a withdrawal that waits. The books follow
    /// with the bookkeeper's next look.
    ///
    /// # Errors
    /// [`BuyError::Channel`] for one that this machine never opened; [`BuyError::Chain`]: a
    /// withdrawal is a transaction of this machine's own key, which needs gas where gas costs.
    pub async fn close_channel(
        &self,
        channel: B256,
        url: Option<&reqwest::Url>,
    ) -> Result<Closed, BuyError> {
        let opened = opened_by(&self.ledger, self.party())?
            .into_iter()
            .map(|(opened, _)| opened)
            .find(|opened| opened.channel == channel)
            .ok_or_else(|| BuyError::Channel {
                channel,
                cause: "this machine never opened it".into(),
            })?;
        let known = self.wallet.of(channel).write_owned().await;
        let mut channel = InHand { id: channel, config: opened.config, known };
        let state = self.chain.channel(channel.id).await?;
        if state.withdrawal.is_some() {
            return self.end_withdrawal(&mut channel, state).await;
        }
        // By what is ours, not by all that could be taken: charges that wait are the seller's.
        let ours = self.ours(&channel, &state)?;
        if !ours.is_positive() {
            return Ok(Closed::Empty);
        }
        let cause = match self.ask_back(&opened, &mut channel, url).await {
            Ok(()) => {
                let after = self.chain.channel(channel.id).await?;
                let back = state.balance.saturating_sub(after.balance);
                if back > 0 {
                    // Not used again before the books have it.
                    channel.known.compared = false;
                    return Ok(Closed::Refunded { amount: self.amount_of(back)? });
                }
                "its seller says that it gave money back, and the chain shows none".to_string()
            }
            Err(cause) => cause,
        };
        tracing::info!(channel = %channel.id, cause, "no refund; a withdrawal is begun");
        let state = self.chain.channel(channel.id).await?;
        let ours = self.ours(&channel, &state)?;
        let own = self.own_transactions();
        own.begin_withdrawal(&config(&channel.config), units(ours)).await?;
        channel.known.compared = false;
        let state = self.chain.channel(channel.id).await?;
        let until = self.ready_at(&channel, &state);
        Ok(Closed::Waiting { amount: ours, until, cause: Some(cause) })
    }

    /// What the book calls ours, as far as the chain has it.
    fn ours(&self, channel: &InHand, state: &ChannelState) -> Result<Amount, BuyError> {
        let book = self.book_of(channel.id)?;
        let uncharged = book.balance.minor() - book.charged.minor();
        let unclaimed = self.amount_of(state.unclaimed())?;
        Ok(if uncharged < unclaimed.minor() {
            Amount::from_minor(unclaimed.asset(), uncharged)
        } else {
            unclaimed
        })
    }

    fn amount_of(&self, units: u128) -> Result<Amount, BuyError> {
        Ok(self.chain.amount(alloy_primitives::U256::from(units))?)
    }

    fn own_transactions(&self) -> settlement::Settlement {
        self.chain.sending_by(self.key.transaction_signer(), SenderLimits::default())
    }

    fn ready_at(&self, channel: &InHand, state: &ChannelState) -> Timestamp {
        let begun = state.withdrawal.map_or(0, |withdrawal| withdrawal.begun_at);
        Timestamp::from_secs(begun).plus(Duration::from_secs(channel.config.withdraw_delay))
    }

    async fn end_withdrawal(
        &self,
        channel: &mut InHand,
        state: ChannelState,
    ) -> Result<Closed, BuyError> {
        let until = self.ready_at(channel, &state);
        channel.known.compared = false;
        if self.clock.now() < until {
            let asked = state.withdrawal.map_or(0, |withdrawal| withdrawal.amount);
            return Ok(Closed::Waiting { amount: self.amount_of(asked)?, until, cause: None });
        }
        match self.own_transactions().end_withdrawal(&config(&channel.config)).await {
            Ok(_) => {}
            // By the chain's own clock it is too early: its newest block is older than ours.
            Err(SettlementError::Reverted { reason, transaction: None, .. }) => {
                let asked = state.withdrawal.map_or(0, |withdrawal| withdrawal.amount);
                let cause = Some(format!("the chain does not give it out yet: {reason}"));
                return Ok(Closed::Waiting { amount: self.amount_of(asked)?, until, cause });
            }
            Err(error) => return Err(error.into()),
        }
        let after = self.chain.channel(channel.id).await?;
        let amount = self.amount_of(state.balance.saturating_sub(after.balance))?;
        Ok(Closed::Withdrawn { amount })
    }

    /// Asks the seller for a refund of all that is not charged. The error is for people.
    async fn ask_back(
        &self,
        opened: &Opened,
        channel: &mut InHand,
        url: Option<&reqwest::Url>,
    ) -> Result<(), String> {
        if let Some(why) = channel.known.stopped.get() {
            return Err(why.clone());
        }
        let method = Method::from_bytes(opened.method.as_bytes()).unwrap_or(Method::GET);
        let (method, url) = match url {
            Some(url) => (method, url.clone()),
            None => match self.last_bought_at(channel) {
                Some(place) => place,
                None => {
                    let url = opened.url.parse();
                    (method, url.map_err(|_| "its seller's address is not kept")?)
                }
            },
        };
        let body = bytes::Bytes::new();
        let purchase = Purchase { method, url, media_type: None, body, max: None, agent: None };
        let quote = self
            .quote(&purchase)
            .await
            .map_err(|e| e.to_string())?
            .ok_or("its seller asks for no payment any more")?;
        let terms = self
            .terms_of(channel, &quote)
            .ok_or("its seller does not quote this channel any more")?;
        const TRIES: u32 = 2;
        let mut said = String::new();
        for _ in 0..TRIES {
            let payment = self.refund_payment(channel, &quote, &terms)?;
            let (answer, _) = self.present_voucher(&purchase, &payment).await;
            let quote = answer.as_ref().ok().and_then(refusal);
            said = match &answer {
                Ok(answer) if answer.status.is_success() => {
                    return match receipt(&answer.headers) {
                        Some(receipt) if receipt.success => Ok(()),
                        _ => Err("its seller answered without a receipt".into()),
                    };
                }
                answer => blame(answer).1,
            };
            let Some(quote) = quote.filter(|q| says(q, ChannelInvalid::CumulativeMismatch)) else {
                break;
            };
            // Something was charged whose answer was lost: with proof it is booked.
            if let Err(error) = self.correct_for_refund(channel, &quote).await {
                return Err(error.to_string());
            }
        }
        Err(format!("{} refused: {said}", shown(&purchase.url)))
    }

    /// Where the last charged voucher bought: the seller may have moved since the channel was opened.
    /// None where charges are lower than prices, so that no voucher is of the charged total.
    fn last_bought_at(&self, channel: &InHand) -> Option<(Method, reqwest::Url)> {
        let charged = u128::try_from(self.book_of(channel.id).ok()?.charged.minor()).ok()?;
        let chain_id = self.wallet.domain.chain_id();
        let reference = channel::reference(chain_id, channel.id, charged);
        let documents = self.ledger.evidence(reference).ok()?;
        // Several tries may stand there, oldest first.
        let mut tries = documents.iter().rev().map(|document| &document.evidence);
        let decision = tries.find(|evidence| evidence.stage.starts_with(stage::DECISION))?;
        let decision: serde_json::Value = serde_json::from_slice(&decision.body).ok()?;
        let method = decision["method"].as_str()?.parse().ok()?;
        Some((method, decision["url"].as_str()?.parse().ok()?))
    }

    fn terms_of(&self, channel: &InHand, quote: &PaymentRequired) -> Option<PaymentRequirements> {
        let ways = quote.accepts.iter().filter(|terms| terms.scheme == channel::SCHEME);
        ways.take(64)
            .find(|terms| {
                let bound = binding::is_marked(channel.config.salt);
                self.offered(terms, bound).is_ok_and(|offered| {
                    ChannelConfig { salt: channel.config.salt, ..offered.config } == channel.config
                })
            })
            .cloned()
    }

    fn refund_payment(
        &self,
        channel: &InHand,
        quote: &PaymentRequired,
        terms: &PaymentRequirements,
    ) -> Result<PaymentPayload, String> {
        let book = self.book_of(channel.id).map_err(|e| e.to_string())?;
        let chain_id = self.wallet.domain.chain_id();
        let spend = VoucherSpend {
            machine: self.party(),
            payee: channel.config.receiver.into(),
            chain_id,
            channel: channel.id.0,
            amount: Amount::zero(book.charged.asset()),
            cumulative: book.charged,
            reference: channel::reference(chain_id, channel.id, units(book.charged)),
            attempt: 0,
            digest: [0; 32],
            until: self.clock.now(),
        };
        let held = self.mandates.charged_voucher(spend).map_err(|e| e.to_string())?;
        let payload = Payload::Refund {
            channel_config: channel.config,
            voucher: self.signed(&held).map_err(|e| e.to_string())?,
            amount: None,
            refund_nonce: None,
            claims: Vec::new(),
            refund_authorizer_signature: None,
            claim_authorizer_signature: None,
        };
        Ok(PaymentPayload {
            x402_version: wire::VERSION,
            resource: Some(quote.resource.clone()),
            accepted: terms.clone(),
            payload: serde_json::to_value(&payload).expect("wire types are plain data"),
            extensions: None,
        })
    }
}

fn config(config: &ChannelConfig) -> Config {
    Config {
        payer: config.payer,
        payer_authorizer: config.payer_authorizer,
        receiver: config.receiver,
        receiver_authorizer: config.receiver_authorizer,
        token: config.token,
        withdraw_delay: config.withdraw_delay,
        salt: config.salt,
    }
}

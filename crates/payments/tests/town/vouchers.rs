//! A shop that is paid from channels, and a payer who signs as any client would.

use std::sync::Arc;

use mandates::Key;
use mandates::books::Line;
use payments::channel::wire::{ChannelConfig, Payload, Units};
use payments::channel::{Terms, TillLimits};
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{Facilitator, Gate, GateChannels, GateLimits, GateParts, Offer, Way};
use serde_json::Value;

use super::shop::{self, Answer, Shop};
use super::{PRICE, Town, canal, person, seller};

/// The shop's own key, which authorizes its claims.
pub fn keeper() -> Key {
    person(0x5e)
}

pub fn terms() -> Terms {
    Terms {
        receiver_authorizer: keeper().address(),
        withdraw_delay: canal::DELAY,
        by_permit: false,
    }
}

/// What one piece of work costs, as channels count it.
pub const COSTS: u128 = PRICE as u128;

impl Town {
    pub fn channel_facilitator(&self) -> Arc<dyn Facilitator> {
        Arc::new(canal::facilitator(self, &person(0x77)))
    }

    pub async fn channel_shop(&self) -> Shop {
        let till = TillLimits::default();
        self.channel_shop_with(self.channel_facilitator(), GateLimits::default(), till).await
    }

    pub async fn channel_shop_with(
        &self,
        facilitator: Arc<dyn Facilitator>,
        limits: GateLimits,
        till: TillLimits,
    ) -> Shop {
        self.channel_shop_of(facilitator, limits, till, |_| {}).await
    }

    /// A shop with a changed offer.
    pub async fn channel_shop_of(
        &self,
        facilitator: Arc<dyn Facilitator>,
        limits: GateLimits,
        till: TillLimits,
        change: impl Fn(&mut Offer),
    ) -> Shop {
        let gate = Gate::new(GateParts {
            limits,
            channels: Some(GateChannels { keys: vec![keeper()], limits: till }),
            ..self.gate_parts(facilitator)
        });
        gate.recover(seller()).await;
        self.open_shop(gate, |url| {
            let mut offer = shop::offer(self.token(), url);
            offer.ways.push(Way::Channel(terms()));
            change(&mut offer);
            offer
        })
        .await
    }

    /// What the books have of a channel: left to earn, and held of it.
    pub fn unearned(&self, config: &ChannelConfig) -> (i128, i128) {
        self.line(seller(), Line::Unearned(canal::domain().channel_id(config).0))
    }

    pub async fn on_chain(&self, config: &ChannelConfig) -> settlement::channels::ChannelState {
        self.chain.channel(canal::domain().channel_id(config)).await.unwrap()
    }
}

/// Somebody with a channel, who counts nothing: tests say each total.
pub struct Client {
    pub key: Key,
    pub config: ChannelConfig,
    pub asked: PaymentRequirements,
}

impl Client {
    pub fn new(town: &Town, number: u8, salt: u8) -> Client {
        let key = person(number);
        let config = canal::config(town, key.address(), keeper().address(), salt);
        let asked = canal::terms(town, keeper().address());
        Client { key, config, asked }
    }

    /// A client whose channel holds `amount`, put in past the shop.
    pub async fn funded(town: &Town, number: u8, salt: u8, amount: u128) -> Client {
        let client = Client::new(town, number, salt);
        let minor = i128::try_from(amount).unwrap();
        town.give(client.key.party(), super::musd(minor)).await;
        let payment = client.deposit(town, amount, 1, u64::from(salt));
        let settled = town.channel_facilitator().settle(&payment, &client.asked).await.unwrap();
        assert!(settled.success, "{settled:?}");
        client
    }

    pub fn wrap(&self, payload: &Payload) -> PaymentPayload {
        canal::wrap(payload, &self.asked)
    }

    pub fn voucher(&self, total: u128) -> PaymentPayload {
        let voucher = canal::voucher(&self.key, &self.config, total);
        self.wrap(&Payload::Voucher { channel_config: self.config, voucher })
    }

    /// A voucher that may come before others.
    pub fn ahead(&self, total: u128) -> PaymentPayload {
        let mut payment = self.voucher(total);
        payment.payload["ahead"] = Value::Bool(true);
        payment
    }

    pub fn deposit(&self, town: &Town, amount: u128, total: u128, salt: u64) -> PaymentPayload {
        let voucher = canal::voucher(&self.key, &self.config, total);
        let deposit = canal::deposit(town, &self.key, &self.config, amount, salt);
        self.wrap(&Payload::Deposit { channel_config: self.config, voucher, deposit })
    }

    pub fn refund(&self, total: u128, amount: Option<u128>) -> PaymentPayload {
        self.wrap(&Payload::Refund {
            channel_config: self.config,
            voucher: canal::voucher(&self.key, &self.config, total),
            amount: amount.map(Units),
            refund_nonce: None,
            claims: Vec::new(),
            refund_authorizer_signature: None,
            claim_authorizer_signature: None,
        })
    }
}

/// The member of the settlement's `extra.channelState` with this name.
pub fn state(answer: &Answer, name: &str) -> Value {
    let extra = answer.receipt.as_ref().and_then(|r| r.extra.clone()).unwrap_or_default();
    extra.get("channelState").map_or(Value::Null, |state| state[name].clone())
}

/// What was charged, as the settlement says.
pub fn charged(answer: &Answer) -> Value {
    let extra = answer.receipt.as_ref().and_then(|r| r.extra.clone()).unwrap_or_default();
    extra.get("chargedAmount").cloned().unwrap_or_default()
}

/// What a corrective answer says in its way to pay from channels.
pub fn corrected(answer: &Answer, part: &str, name: &str) -> Value {
    let quote = answer.quote.as_ref().unwrap();
    let way = quote.accepts.iter().find(|w| w.scheme == canal::SCHEME).unwrap();
    way.extra.as_ref().unwrap().get(part).map_or(Value::Null, |part| part[name].clone())
}

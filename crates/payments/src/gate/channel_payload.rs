//! What buyers send to be served from a channel, read quickly where it is what it mostly is.

use std::sync::RwLock;

use alloy_primitives::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel::wire::{ChannelConfig, Deposit, Payload, Units, Voucher};
use crate::channel::{self, ChannelInvalid};
use crate::extensions::binding;
use crate::offer::Offer;
use crate::wire::{self, PaymentPayload, PaymentRequirements};

/// How many echoes of a quote are remembered: clients write the same one in few ways.
const ECHOES: usize = 16;

/// Texts by which buyers echoed the way to pay, and that were found to be it. Clients send the same
/// text each time, so the next time it is compared and not read.
#[derive(Debug, Default)]
pub(super) struct Echoes(RwLock<Vec<Box<str>>>);

impl Echoes {
    fn knows(&self, text: &str) -> bool {
        self.0.read().expect("nothing panics under this lock").iter().any(|known| **known == *text)
    }

    fn learn(&self, text: &str) {
        let mut known = self.0.write().expect("nothing panics under this lock");
        if known.len() < ECHOES {
            known.push(text.into());
        }
    }
}

/// What a buyer wants of a channel.
pub(super) enum Want {
    /// Work for a voucher; ahead of others, if it says so.
    Work { ahead: bool },
    /// The same, after money was put in.
    Deposit { deposit: Box<Deposit>, payment: Box<PaymentPayload>, asked: Box<PaymentRequirements> },
    /// Money back.
    Refund { amount: Option<Units>, payment: Box<PaymentPayload>, asked: Box<PaymentRequirements> },
}

/// A payload that can be read.
pub(super) struct Drawn {
    pub(super) config: ChannelConfig,
    pub(super) voucher: Voucher,
    pub(super) want: Want,
    /// What binds the voucher to its request, if the channel says that its vouchers are bound.
    pub(super) binding: Option<Bytes>,
}

/// A payload as most requests carry it, read without copies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quick<'a> {
    x402_version: u32,
    #[serde(borrow)]
    accepted: &'a RawValue,
    payload: QuickVoucher<'a>,
    #[serde(default, borrow)]
    extensions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuickVoucher<'a> {
    r#type: &'a str,
    channel_config: ChannelConfig,
    voucher: Voucher,
    #[serde(default)]
    ahead: bool,
}

/// Reads a voucher whose quote is echoed in a text that is known; `None` for everything else, which
/// is read with more care and better words.
pub(super) fn quick(headers: &HeaderMap, offer: &Offer, echoes: &Echoes) -> Option<Drawn> {
    let mut values = headers.get_all(wire::PAYMENT_SIGNATURE).iter();
    let value = values.next()?;
    if values.next().is_some() || value.len() > wire::MAX_HEADER {
        return None;
    }
    let bytes = STANDARD.decode(value.as_bytes()).ok()?;
    let quick: Quick<'_> = serde_json::from_slice(&bytes).ok()?;
    if quick.x402_version != wire::VERSION || quick.payload.r#type != "voucher" {
        return None;
    }
    let echo = quick.accepted.get();
    if !echoes.knows(echo) {
        let accepted: PaymentRequirements = serde_json::from_str(echo).ok()?;
        let requirements = offer.accepts(&accepted).ok()?;
        if requirements.scheme != channel::SCHEME {
            return None;
        }
        echoes.learn(echo);
    }
    let QuickVoucher { channel_config, voucher, ahead, .. } = quick.payload;
    let extensions = quick.extensions.filter(|_| binding::is_marked(channel_config.salt));
    let extensions = extensions.and_then(|text| serde_json::from_str(text.get()).ok());
    let binding = binding::signature(extensions.as_ref());
    Some(Drawn { config: channel_config, voucher, want: Want::Work { ahead }, binding })
}

/// Reads any payload of the scheme.
pub(super) fn read(
    payment: PaymentPayload,
    asked: PaymentRequirements,
) -> Result<Drawn, ChannelInvalid> {
    let ahead = payment.payload.get("ahead").and_then(serde_json::Value::as_bool) == Some(true);
    let binding = binding::signature(payment.extensions.as_ref());
    let payload =
        serde_json::from_value(payment.payload.clone()).map_err(|_| ChannelInvalid::PayloadType)?;
    let (payment, asked) = (Box::new(payment), Box::new(asked));
    let (config, voucher, want) = match payload {
        Payload::Voucher { channel_config, voucher } => {
            (channel_config, voucher, Want::Work { ahead })
        }
        Payload::Deposit { channel_config, voucher, deposit } => {
            (channel_config, voucher, Want::Deposit { deposit: Box::new(deposit), payment, asked })
        }
        Payload::Refund { channel_config, voucher, amount, .. } => {
            (channel_config, voucher, Want::Refund { amount, payment, asked })
        }
        Payload::Claim { .. } | Payload::Settle { .. } => {
            return Err(ChannelInvalid::PayloadType);
        }
    };
    Ok(Drawn { config, voucher, want, binding })
}

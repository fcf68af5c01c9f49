//! What travels for a channel: its terms in a quote, and the payloads of buyers and sellers.
//!
//! Amounts are decimal strings of at most 128 bits, as the contract counts them. What is read here
//! has the right form, and is not yet believed.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use settlement::channels::{Config, Row};

/// The shortest and the longest time that the contract takes for a withdrawal, in seconds.
pub const WITHDRAW_DELAY: std::ops::RangeInclusive<u64> = 15 * 60..=30 * 24 * 60 * 60;

/// Minor units of a channel's token, as a decimal string on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Units(pub u128);

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Units, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // A decimal number and nothing else: no sign, no `0x`, no exponent.
        if text.is_empty() || text.len() > 39 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(D::Error::custom("an amount is a decimal number of at most 39 digits"));
        }
        text.parse().map(Units).map_err(|_| D::Error::custom("an amount has at most 128 bits"))
    }
}

/// A number of the chain's full width, as a decimal string on the wire.
mod decimal {
    use super::*;

    pub fn serialize<S: Serializer>(value: &U256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text.is_empty() || text.len() > 78 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(D::Error::custom("a number is decimal, of at most 78 digits"));
        }
        U256::from_str_radix(&text, 10).map_err(|_| D::Error::custom("a number has 256 bits"))
    }
}

/// What a channel is: its name follows from it, and it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelConfig {
    /// Who pays in, and gets back what is not claimed.
    pub payer: Address,
    /// The key that signs vouchers; zero if the payer is a contract that judges them itself.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// Whose signature claims and refunds.
    pub receiver_authorizer: Address,
    /// The token.
    pub token: Address,
    /// How long a withdrawal waits for the receiver's claims, in seconds.
    pub withdraw_delay: u64,
    /// Tells channels of otherwise equal terms apart.
    pub salt: B256,
}

/// The promise of all that a channel pays so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// Which channel.
    pub channel_id: B256,
    /// The most that may be claimed, all in all.
    pub max_claimable_amount: Units,
    /// EIP-712, by the payer's authorizer.
    pub signature: Bytes,
}

/// What a buyer sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Payload {
    /// Opens a channel or adds to it, and pays from it.
    #[serde(rename_all = "camelCase")]
    Deposit {
        /// Which channel.
        channel_config: ChannelConfig,
        /// The payment.
        voucher: Voucher,
        /// What is put in.
        deposit: Deposit,
    },
    /// Pays from a channel.
    #[serde(rename_all = "camelCase")]
    Voucher {
        /// Which channel.
        channel_config: ChannelConfig,
        /// The payment.
        voucher: Voucher,
    },
    /// Asks for money back. A seller adds the last four before it asks a facilitator.
    #[serde(rename_all = "camelCase")]
    Refund {
        /// Which channel.
        channel_config: ChannelConfig,
        /// A voucher for what was charged, and no more.
        voucher: Voucher,
        /// How much; all that is left if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Units>,
        /// The channel's refund number on the chain, as a decimal string.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refund_nonce: Option<String>,
        /// What to claim before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        claims: Vec<Claim>,
        /// The receiver authorizer's word for the refund; the facilitator's own if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refund_authorizer_signature: Option<Bytes>,
        /// The receiver authorizer's word for the claims; the facilitator's own if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim_authorizer_signature: Option<Bytes>,
    },
    /// A seller's: counts vouchers as earned.
    #[serde(rename_all = "camelCase")]
    Claim {
        /// One row a channel.
        claims: Vec<Claim>,
        /// The receiver authorizer's word; the facilitator's own if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim_authorizer_signature: Option<Bytes>,
    },
    /// A seller's: pays out what was claimed.
    Settle {
        /// To whom.
        receiver: Address,
        /// In which token.
        token: Address,
    },
}

/// Money put into a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposit {
    /// How much.
    pub amount: Units,
    /// By which signature.
    pub authorization: DepositAuthorization,
}

/// The payer's word for a deposit: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DepositAuthorization {
    /// By the token itself (EIP-3009 `ReceiveWithAuthorization`).
    #[serde(rename = "erc3009Authorization", rename_all = "camelCase")]
    Erc3009 {
        /// Valid only after this Unix second.
        #[serde(with = "decimal")]
        valid_after: U256,
        /// Valid only before this Unix second.
        #[serde(with = "decimal")]
        valid_before: U256,
        /// With the channel's name it makes the order's nonce.
        salt: U256,
        /// Of the payer.
        signature: Bytes,
    },
    /// By Permit2, bound to the channel.
    #[serde(rename = "permit2Authorization", rename_all = "camelCase")]
    Permit2 {
        /// The payer.
        from: Address,
        /// What may be moved.
        permitted: Permitted,
        /// The collector that may move it.
        spender: Address,
        /// Used once.
        #[serde(with = "decimal")]
        nonce: U256,
        /// Valid until this Unix second.
        #[serde(with = "decimal")]
        deadline: U256,
        /// What else was signed.
        witness: DepositWitness,
        /// Of the payer.
        signature: Bytes,
    },
}

/// What Permit2 may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permitted {
    /// Which token.
    pub token: Address,
    /// How much.
    #[serde(with = "decimal")]
    pub amount: U256,
}

/// Binds a Permit2 deposit to its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DepositWitness {
    /// Which channel.
    pub channel_id: B256,
}

/// One channel's row in a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The voucher.
    pub voucher: ClaimedVoucher,
    /// Its signature.
    pub signature: Bytes,
    /// All that is claimed of it, so far and now.
    pub total_claimed: Units,
}

/// A voucher with the channel that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedVoucher {
    /// Which channel.
    pub channel: ChannelConfig,
    /// The most that may be claimed, all in all.
    pub max_claimable_amount: Units,
}

impl From<ChannelConfig> for Config {
    fn from(config: ChannelConfig) -> Config {
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
}

impl From<&Claim> for Row {
    fn from(claim: &Claim) -> Row {
        Row {
            config: claim.voucher.channel.into(),
            most: claim.voucher.max_claimable_amount.0,
            signature: claim.signature.clone(),
            total: claim.total_claimed.0,
        }
    }
}

/// A channel as chain and seller have it: `extra.channelState`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// Which channel.
    pub channel_id: B256,
    /// Paid in, less what went back.
    pub balance: Units,
    /// Claimed on the chain, all in all.
    pub total_claimed: Units,
    /// When a withdrawal was begun, in Unix seconds; 0 if none.
    pub withdraw_requested_at: u64,
    /// The next refund's number, as a decimal string.
    pub refund_nonce: String,
    /// What the seller has charged, all in all; the chain does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_cumulative_amount: Option<Units>,
}

/// The newest voucher that a seller has, as proof of what it charged: `extra.voucherState`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherState {
    /// Its amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_max_claimable: Option<Units>,
    /// Its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config() -> Value {
        json!({
            "payer": "0x1111111111111111111111111111111111111111",
            "payerAuthorizer": "0x1111111111111111111111111111111111111111",
            "receiver": "0x2222222222222222222222222222222222222222",
            "receiverAuthorizer": "0x3333333333333333333333333333333333333333",
            "token": "0x4444444444444444444444444444444444444444",
            "withdrawDelay": 900,
            "salt": format!("0x{}", "00".repeat(32)),
        })
    }

    fn voucher() -> Value {
        json!({
            "channelId": format!("0x{}", "ab".repeat(32)),
            "maxClaimableAmount": "1000",
            "signature": "0x0102",
        })
    }

    #[test]
    fn each_payload_of_the_specification_is_read_and_written_back() {
        let claim = json!({
            "voucher": { "channel": config(), "maxClaimableAmount": "5000" },
            "signature": "0x01",
            "totalClaimed": "5000",
        });
        let by_token = json!({ "erc3009Authorization": {
            "validAfter": "0", "validBefore": "1770000000", "salt": "0x7", "signature": "0x01",
        }});
        let by_permit2 = json!({ "permit2Authorization": {
            "from": "0x1111111111111111111111111111111111111111",
            "permitted": { "token": "0x4444444444444444444444444444444444444444", "amount": "9" },
            "spender": "0x5555555555555555555555555555555555555555",
            "nonce": "12", "deadline": "1770000000",
            "witness": { "channelId": format!("0x{}", "ab".repeat(32)) },
            "signature": "0x01",
        }});
        let deposit = |authorization: &Value| {
            json!({
                "type": "deposit", "channelConfig": config(), "voucher": voucher(),
                "deposit": { "amount": "100000", "authorization": authorization },
            })
        };
        for payload in [
            deposit(&by_token),
            deposit(&by_permit2),
            json!({ "type": "voucher", "channelConfig": config(), "voucher": voucher() }),
            json!({ "type": "refund", "channelConfig": config(), "voucher": voucher() }),
            json!({
                "type": "refund", "channelConfig": config(), "voucher": voucher(),
                "amount": "1500", "refundNonce": "1", "claims": [claim],
                "refundAuthorizerSignature": "0x01", "claimAuthorizerSignature": "0x02",
            }),
            json!({ "type": "claim", "claims": [claim], "claimAuthorizerSignature": "0x02" }),
            json!({
                "type": "settle",
                "receiver": "0x2222222222222222222222222222222222222222",
                "token": "0x4444444444444444444444444444444444444444",
            }),
        ] {
            let read: Payload = serde_json::from_value(payload.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), payload);
        }
    }

    #[test]
    fn an_amount_is_decimal_and_fits() {
        for bad in ["", "-1", "0x1", "1.0", "1e3", " 1", "340282366920938463463374607431768211456"]
        {
            assert!(serde_json::from_value::<Units>(json!(bad)).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<Units>(json!(1)).is_err());
        let most: Units = serde_json::from_value(json!(u128::MAX.to_string())).unwrap();
        assert_eq!(most, Units(u128::MAX));
    }
}

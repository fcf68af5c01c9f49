//! What sellers ask for: claims, payouts and refunds.

use alloy_primitives::{Address, B256, Bytes, U256};
use ledger::Reference;
use settlement::channels::{Act, ChannelState, Happened, MAX_CLAIMS, Row};

use super::{Done, EmbeddedFacilitator, Mined, Refusal, decimal, written};
use crate::channel::ChannelInvalid;
use crate::channel::wire::{Claim, Payload};
use crate::facilitator::Asker;

impl EmbeddedFacilitator {
    /// Counts vouchers as earned. Nothing moves, and the same claim again changes nothing.
    pub(super) async fn claim(
        &self,
        claims: &[Claim],
        signature: Option<Bytes>,
    ) -> Result<Done, Refusal> {
        let (rows, signature) = self.claimed_rows(claims, signature)?;
        let name = self.name("claim", &[self.channels.claims_hash(claims).as_slice()]);
        let Some(_listed) = self.begin_settling(name) else {
            return Err(ChannelInvalid::Pending.into());
        };
        let (simulation, failure) =
            (ChannelInvalid::ClaimSimulation, ChannelInvalid::ClaimTransaction);
        let mined = match self.resume(name, failure).await? {
            Some(mined) => mined,
            None => self.carry(name, &Act::Claim { rows, signature }, simulation, failure).await?,
        };
        self.list_claims(claims);
        Ok(Done { transaction: mined.transaction, amount: Some(String::new()), state: None })
    }

    /// Lists what was claimed. After a claim that succeeded the chain has at least these totals,
    /// whoever claimed them first.
    fn list_claims(&self, claims: &[Claim]) {
        let Some(catalogue) = &self.catalogue else { return };
        for claim in claims {
            let config = &claim.voucher.channel;
            let (payer, payee) = (config.payer.into(), config.receiver.into());
            let total = claim.total_claimed.0;
            catalogue.earned(self.channels.channel_id(config), payer, payee, |_| total);
        }
    }

    /// Rows and the receiver authorizer's signature: the seller's, or our own.
    fn claimed_rows(
        &self,
        claims: &[Claim],
        signature: Option<Bytes>,
    ) -> Result<(Vec<Row>, Bytes), Refusal> {
        if claims.len() > MAX_CLAIMS {
            let detail = format!("it has {} rows, and {MAX_CLAIMS} are the most", claims.len());
            let reason = ChannelInvalid::ClaimSimulation;
            return Err(Refusal { reason, detail: Some(detail), transaction: None });
        }
        for claim in claims {
            self.check_token(claim.voucher.channel.token)?;
        }
        let signature = match signature {
            Some(signature) => signature,
            None => {
                let authorizers = claims.iter().map(|c| c.voucher.channel.receiver_authorizer);
                self.authorize(authorizers, self.channels.claims_hash(claims))?
            }
        };
        Ok((claims.iter().map(Row::from).collect(), signature))
    }

    /// Pays a receiver all that was claimed for it.
    pub(super) async fn pay_out(&self, receiver: Address, token: Address) -> Result<Done, Refusal> {
        self.check_token(token)?;
        let name = self.name("settle", &[receiver.as_slice(), token.as_slice()]);
        let Some(_listed) = self.begin_settling(name) else {
            return Err(ChannelInvalid::Pending.into());
        };
        let (simulation, failure) =
            (ChannelInvalid::SettleSimulation, ChannelInvalid::SettleTransaction);
        let mined = match self.resume(name, failure).await? {
            Some(mined) => mined,
            None => {
                let totals =
                    self.chain.receiver_totals(receiver, token).await.map_err(Refusal::unread)?;
                if totals.due() == 0 {
                    return Err(ChannelInvalid::NothingToSettle.into());
                }
                self.carry(name, &Act::PayOut { receiver, token }, simulation, failure).await?
            }
        };
        let amount = self
            .moved(&mined, &[], &[receiver], |happened| match happened {
                Happened::PaidOut { amount, .. } => Some(amount),
                _ => None,
            })
            .await;
        Ok(Done {
            transaction: mined.transaction,
            amount: amount.map(|amount| amount.to_string()),
            state: None,
        })
    }

    /// Gives a payer back what is not claimed, after the claims that come along.
    pub(super) async fn refund(&self, refund: Payload, asker: Asker) -> Result<Done, Refusal> {
        let Payload::Refund {
            channel_config: config,
            amount: Some(amount),
            refund_nonce: Some(nonce),
            claims,
            refund_authorizer_signature,
            claim_authorizer_signature,
            ..
        } = refund
        else {
            // A buyer's refund, which its seller has yet to complete.
            return Err(ChannelInvalid::PayloadType.into());
        };
        let (amount, nonce) = (amount.0, decimal(&nonce).ok_or(ChannelInvalid::RefundPayload)?);
        self.check_token(config.token)?;
        let id = self.channels.channel_id(&config);
        let name = self.name("refund", &[id.as_slice(), &nonce.to_be_bytes::<32>()]);
        let Some(_listed) = self.begin_settling(name) else {
            return Err(ChannelInvalid::Pending.into());
        };
        let (simulation, failure) =
            (ChannelInvalid::RefundSimulation, ChannelInvalid::RefundTransaction);
        let mined = match self.resume(name, failure).await? {
            Some(mined) => mined,
            None => {
                let before = self.chain.channel(id).await.map_err(Refusal::unread)?;
                if self.refundable(id, &before, amount, &claims) == Some(0) {
                    return Err(ChannelInvalid::RefundNoBalance.into());
                }
                let signature = match (refund_authorizer_signature, asker) {
                    (Some(signature), _) => signature,
                    // Anybody could ask for a channel's money before its vouchers are claimed.
                    (None, Asker::Stranger) => {
                        return Err(ChannelInvalid::AuthorizerMissing.into());
                    }
                    (None, Asker::Here) => {
                        let hash = self.channels.refund_hash(id, nonce, amount);
                        self.authorize([config.receiver_authorizer], hash)?
                    }
                };
                let claims = match claims.is_empty() {
                    true => None,
                    false => Some(self.claimed_rows(&claims, claim_authorizer_signature)?),
                };
                let act = Act::Refund { config: config.into(), amount, nonce, signature, claims };
                self.carry(name, &act, simulation, failure).await?
            }
        };
        self.list_claims(&claims);
        self.refunded(id, nonce, mined).await
    }

    /// What a refund would give after its claims; `None` where only the chain can judge.
    fn refundable(
        &self,
        id: B256,
        before: &ChannelState,
        amount: u128,
        claims: &[Claim],
    ) -> Option<u128> {
        let claimed = claims
            .iter()
            .filter(|claim| self.channels.channel_id(&claim.voucher.channel) == id)
            .map(|claim| claim.total_claimed.0)
            .fold(before.total_claimed, u128::max);
        let left = before.balance.checked_sub(claimed)?;
        (amount > 0).then_some(amount.min(left))
    }

    async fn refunded(&self, id: B256, nonce: U256, mined: Mined) -> Result<Done, Refusal> {
        let amount = self
            .moved(&mined, &[id], &[], |happened| match happened {
                Happened::Refunded { amount, .. } => Some(amount),
                _ => None,
            })
            .await;
        // A node that lags shows the channel as it was before.
        let state = self.chain.channel(id).await.ok().filter(|s| s.refund_nonce > nonce);
        Ok(Done {
            transaction: mined.transaction,
            amount: amount.map(|amount| amount.to_string()),
            state: state.map(|state| written(id, &state)),
        })
    }

    /// What a mined transaction moved, by its events; `None` if they cannot be read.
    async fn moved(
        &self,
        mined: &Mined,
        channels: &[B256],
        receivers: &[Address],
        amount: impl Fn(Happened) -> Option<u128>,
    ) -> Option<u128> {
        let block = mined.block;
        let events = self.chain.channel_events(channels, receivers, block, block).await.ok()?;
        events
            .iter()
            .filter(|event| event.transaction == mined.transaction)
            .filter_map(|event| amount(event.what))
            .try_fold(0u128, u128::checked_add)
    }

    fn name(&self, act: &str, parts: &[&[u8]]) -> Reference {
        let chain = self.chain.token().chain_id.to_be_bytes();
        let parts: Vec<&[u8]> = [&chain[..]].into_iter().chain(parts.iter().copied()).collect();
        Reference::derive(&format!("x402/batch-settlement/{act}"), &parts)
    }
}

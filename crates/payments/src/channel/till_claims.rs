//! Claims: what channels have charged becomes the seller's on the chain, many in one transaction.
//!
//! Only the newest voucher of a channel is needed, whatever the number of requests that it stands
//! for. What is claimed is what was charged and is durable, never what was merely signed. One
//! transaction claims up to [`TillLimits::claim_rows`](super::till::TillLimits) channels; another
//! one pays out all that was claimed for a receiver.
//!
//! One row that the chain refuses would fail a whole batch. Then the chain is asked about all of
//! them, what it does not cover is left out, and what still fails is halved until the row that fails
//! stands alone. A claim whose fate is open says nothing against its rows: they stay due, and the
//! next collection asks again.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use money::Party;
use serde::Serialize;
use serde_json::{Map, Value};
use settlement::channels::MAX_CLAIMS;

use super::till::{Channel, Shared, Till};
use super::voucher::Domain;
use super::wire::{ChannelConfig, Claim, ClaimedVoucher, Payload, Units};
use crate::facilitator::{self, Facilitator};
use crate::gate::channel::{is_open, payment_of};
use crate::wire::{self, PaymentRequirements};

/// Which channels are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collect {
    /// Those of receivers for whom enough has come together, or waited long enough, or from whom a
    /// payer withdraws.
    Due,
    /// All in which something is unclaimed: before a shutdown, or on demand.
    All,
    /// The same for one receiver, which needs its money now; the others' channels wait.
    Of(Party),
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Channels that were claimed.
    pub channels: usize,
    /// Minor units that were claimed in them.
    pub claimed: u128,
    /// Transactions that this took, payouts included.
    pub transactions: usize,
    /// Channels that could not be claimed now; they stay due.
    pub failed: usize,
}

/// What channels must have in common to be claimed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Batch {
    receiver: Address,
    authorizer: Address,
    token: Address,
    withdraw_delay: u64,
}

impl Batch {
    fn of(config: &ChannelConfig) -> Batch {
        Batch {
            receiver: config.receiver,
            authorizer: config.receiver_authorizer,
            token: config.token,
            withdraw_delay: config.withdraw_delay,
        }
    }
}

/// What a facilitator made of a claim or a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    /// The chain would not take it, or did not.
    Refused,
    /// Nobody knows: it may be under way, or the chain or the facilitator cannot be reached.
    Open,
}

/// A channel's row, with where it came from.
struct Row {
    channel: Shared,
    id: B256,
    claim: Claim,
    before: u128,
}

/// The row of a channel, if there is something to claim that the chain covers.
fn row(domain: &Domain, shared: &Shared) -> Option<Row> {
    let channel = shared.lock().expect("nothing panics under this lock");
    let proof = channel.tab.newest()?;
    let total = channel.tab.claimable().min(proof.amount).min(channel.mirror.balance);
    (total > channel.mirror.claimed).then(|| Row {
        channel: shared.clone(),
        id: channel.id,
        claim: Claim {
            voucher: ClaimedVoucher {
                channel: channel.config,
                max_claimable_amount: Units(proof.amount),
            },
            signature: channel.signature_of(domain, proof),
            total_claimed: Units(total),
        },
        before: channel.mirror.claimed,
    })
}

impl Till {
    /// Claims through `facilitator` what is due, and has it paid out.
    pub(crate) async fn collect(&self, facilitator: &dyn Facilitator, what: Collect) -> Collected {
        let _alone = self.collecting.lock().await;
        let mut collected = Collected::default();
        let mut batches: BTreeMap<Batch, Vec<Shared>> = BTreeMap::new();
        let open = |channel: &Channel| {
            // On demand, the chain is asked of what was lost, too: money may have come back.
            let lacks = channel.tab.claimable() > channel.mirror.claimed;
            channel.unclaimed() > 0
                || channel.mirror.seen_at.is_none()
                || what != Collect::Due && lacks
        };
        let mut channels = self.all();
        if let Collect::Of(receiver) = what {
            channels.retain(|channel| {
                let channel = channel.lock().expect("nothing panics under this lock");
                Party::from(channel.config.receiver) == receiver
            });
        }
        let receivers = self.receivers(&channels);
        channels.retain(|c| open(&c.lock().expect("nothing panics under this lock")));
        self.look_again(&channels, false).await;
        for channel in channels {
            let config = channel.lock().expect("nothing panics under this lock").config;
            let batch = Batch::of(&config);
            batches.entry(batch).or_default().push(channel);
        }
        let mut claimed: Vec<(Address, Address)> = Vec::new();
        for (batch, channels) in batches {
            if what == Collect::Due && !self.is_due(&channels) {
                continue;
            }
            let before = collected.channels;
            self.claim_batch(facilitator, &batch, &channels, &mut collected).await;
            if collected.channels > before {
                claimed.push((batch.receiver, batch.token));
            }
        }
        for batch in receivers {
            // A refund claims, too, and leaves the payout to the next who has reason for one.
            let due = claimed.contains(&(batch.receiver, batch.token))
                || what != Collect::Due && self.has_claimed(&batch).await;
            let payload = Payload::Settle { receiver: batch.receiver, token: batch.token };
            if due && self.ask_to(facilitator, &batch, &payload).await == Told::Done {
                collected.transactions += 1;
            }
        }
        collected
    }

    /// Who is paid in these channels, each once.
    fn receivers(&self, channels: &[Shared]) -> Vec<Batch> {
        let batches = channels
            .iter()
            .map(|c| Batch::of(&c.lock().expect("nothing panics under this lock").config));
        let each: BTreeMap<(Address, Address), Batch> =
            batches.map(|batch| ((batch.receiver, batch.token), batch)).collect();
        each.into_values().collect()
    }

    /// Whether something is claimed for a receiver and not paid out.
    async fn has_claimed(&self, batch: &Batch) -> bool {
        match self.chain.receiver_totals(batch.receiver, batch.token).await {
            Ok(totals) => totals.due() > 0,
            Err(error) => {
                tracing::warn!(%error, "the chain cannot tell what is to be paid out");
                false
            }
        }
    }

    fn is_due(&self, channels: &[Shared]) -> bool {
        let now = self.clock.now();
        let mut sum = 0_u128;
        for channel in channels {
            let channel = channel.lock().expect("nothing panics under this lock");
            let unclaimed = channel.unclaimed();
            if unclaimed == 0 {
                continue;
            }
            sum = sum.saturating_add(unclaimed);
            let waits =
                channel.unclaimed_since.is_some_and(|s| now.since(s) >= self.limits.claim_age);
            if waits || channel.mirror.withdraw_at > 0 {
                return true;
            }
        }
        sum > 0 && sum >= self.limits.claim_amount
    }

    /// Asks the chain about channels of which it was not asked lately, or about all of them.
    async fn look_again(&self, channels: &[Shared], all: bool) {
        let stale: Vec<Shared> = channels
            .iter()
            .filter(|c| all || !self.is_fresh(&c.lock().expect("nothing panics under this lock")))
            .cloned()
            .collect();
        for some in stale.chunks(MAX_CLAIMS) {
            let ids: Vec<B256> =
                some.iter().map(|c| c.lock().expect("nothing panics under this lock").id).collect();
            match self.ask(&ids).await {
                Ok(mirrors) => {
                    for (channel, mirror) in some.iter().zip(mirrors) {
                        channel.lock().expect("nothing panics under this lock").look(mirror);
                    }
                }
                Err(error) => tracing::warn!(%error, "the chain cannot tell of channels"),
            }
        }
    }

    async fn claim_batch(
        &self,
        facilitator: &dyn Facilitator,
        batch: &Batch,
        channels: &[Shared],
        collected: &mut Collected,
    ) {
        let most = self.limits.claim_rows.clamp(1, MAX_CLAIMS);
        let mut waiting: Vec<(Vec<Shared>, bool)> =
            channels.chunks(most).rev().map(|some| (some.to_vec(), true)).collect();
        while let Some((some, first)) = waiting.pop() {
            let rows: Vec<Row> =
                some.iter().filter_map(|channel| row(&self.domain, channel)).collect();
            if rows.is_empty() {
                continue;
            }
            let claims: Vec<Claim> = rows.iter().map(|row| row.claim.clone()).collect();
            let hash = self.domain.claims_hash(&claims);
            let signature = self.keys.get(&batch.authorizer).map(|key| {
                let signer = key.transaction_signer();
                let signature = protocol::sign_hash(&signer, hash);
                signature.as_bytes().to_vec().into()
            });
            let payload = Payload::Claim { claims, claim_authorizer_signature: signature };
            let told = self.ask_to(facilitator, batch, &payload).await;
            // Whatever was answered, the chain knows.
            let asked: Vec<Shared> = rows.iter().map(|row| row.channel.clone()).collect();
            self.look_again(&asked, true).await;
            if told == Told::Done {
                collected.transactions += 1;
            }
            let mut left = Vec::new();
            for row in rows {
                let claimed = {
                    let channel = row.channel.lock().expect("nothing panics under this lock");
                    channel.mirror.claimed
                };
                if claimed >= row.claim.total_claimed.0 {
                    collected.channels += 1;
                    collected.claimed += claimed.saturating_sub(row.before);
                } else {
                    tracing::warn!(channel = %row.id, "a channel could not be claimed");
                    left.push(row.channel);
                }
            }
            match (left.len(), first) {
                (0, _) => {}
                // Only a refusal says that some row is bad.
                (many, _) if told != Told::Refused => collected.failed += many,
                // As the chain has it now, some may be left out.
                (_, true) => waiting.push((left, false)),
                (1, false) => collected.failed += 1,
                (_, false) => {
                    let second = left.split_off(left.len() / 2);
                    waiting.push((second, false));
                    waiting.push((left, false));
                }
            }
        }
    }

    /// Asks the facilitator to act.
    async fn ask_to(
        &self,
        facilitator: &dyn Facilitator,
        batch: &Batch,
        payload: &Payload,
    ) -> Told {
        let asked = self.requirements(batch);
        match facilitator.settle(&payment_of(&asked, payload), &asked).await {
            Ok(response) if response.success => Told::Done,
            Ok(response) => {
                let reason = response.error_reason.unwrap_or_default();
                let payee = Party::from(batch.receiver);
                tracing::warn!(%payee, %reason, "channels could not be claimed or paid out");
                let open = is_open(&reason) || facilitator::is_unsure(&reason);
                if open { Told::Open } else { Told::Refused }
            }
            Err(error) => {
                tracing::warn!(%error, "channels could not be claimed or paid out");
                Told::Open
            }
        }
    }

    fn requirements(&self, batch: &Batch) -> PaymentRequirements {
        let token = self.chain.token();
        let mut extra = Map::new();
        extra.insert("name".into(), Value::from(token.name.clone()));
        extra.insert("version".into(), Value::from(token.version.clone()));
        extra.insert("receiverAuthorizer".into(), Value::from(batch.authorizer.to_string()));
        extra.insert("withdrawDelay".into(), Value::from(batch.withdraw_delay));
        PaymentRequirements {
            scheme: super::SCHEME.into(),
            network: wire::network(token.chain_id),
            amount: "0".into(),
            asset: batch.token.to_string(),
            pay_to: batch.receiver.to_string(),
            max_timeout_seconds: 60,
            extra: Some(extra),
        }
    }
}

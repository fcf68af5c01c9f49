//! Money that goes into a channel or back from it, at the gate.
//!
//! A deposit is carried out *before* its voucher is held and the work begins: money that is not in
//! the channel could not pay for it. If the work then fails, the deposit stays in the channel, the
//! answer says so, and the payer may use it or have it back.
//!
//! A refund is a payment operation and starts no work. While it runs it has the channel for itself,
//! and what it may give back is held in the books, so that no voucher is taken on it. A signed refund
//! is good until its number is used, whatever was answered of it: so what was held for a number is
//! never let go for a smaller refund of the same number.
//!
//! Both are carried out by the facilitator and believed only as the chain shows them, in blocks that
//! count ([`settlement::Settlement::safe_head`]): nothing is sold on a deposit, and nothing booked of
//! a refund, that may still vanish. The chain does each at most once: a deposit by its order's nonce,
//! a refund by the channel's refund number.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use ledger::{Kind, Operation, Outcome, Reference, Status, TransferId, TransferRecord, Write};
use mandates::books::{self, Entry, Line};
use money::{Amount, Party};
use serde_json::json;
use settlement::channels::{ChannelEvent, Happened};
use settlement::{AuthorizationState, Receipt as Mined, SettlementError};

use super::channel::{
    BOOKS, Deposited, Draw, Receipt, ReceiptExtra, UNSURE, correction, invalid, not_here,
    payment_of, with_receipt,
};
use super::channel_payload::Drawn;
use super::reply::Reply;
use super::{Gate, LONGEST_BEYOND};
use crate::channel::tab::Proof;
use crate::channel::till::{NotHere, Shared, Till};
use crate::channel::voucher;
use crate::channel::wallet::DepositOrder;
use crate::channel::wire::{
    ChannelConfig, Claim, ClaimedVoucher, Deposit, DepositAuthorization, Payload, Units, Voucher,
};
use crate::channel::{self, ChannelInvalid, Terms};
use crate::offer::Offer;
use crate::permit;
use crate::reconcile::first_block;
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse};

/// How many blocks are searched back for what happened in a channel.
const BLOCKS_BACK: u64 = 20_000;
/// How many of them at once.
const BLOCKS_AT_ONCE: u64 = 1_000;
/// How many of those that were searched are searched once more.
const BLOCKS_AGAIN: u64 = 100;

impl Gate {
    /// Carries out a deposit whose voucher could be sold, and books it.
    #[allow(clippy::too_many_arguments)] // one call, from where all of it is at hand
    pub(super) async fn deposit(
        &self,
        till: &Till,
        offer: &Offer,
        terms: &Terms,
        draw: &Draw,
        deposit: &Deposit,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Result<Deposited, Box<Reply>> {
        let refuse = |reason| Box::new(invalid(offer, reason));
        let (config, id) = (&draw.drawn.config, draw.drawn.voucher.channel_id);
        self.check_channel(offer, terms, config).map_err(refuse)?;
        // Looked at before money moves: a voucher that could not be sold asks for no deposit.
        self.check_total(till, offer, draw)?;
        self.check_deposit(deposit, asked).map_err(refuse)?;
        let transaction = match self.deposited_before(till, offer, id, config, deposit).await? {
            Some(transaction) => transaction,
            None => {
                till.check_age(id, config).await.map_err(|why| Box::new(not_here(offer, why)))?;
                self.verify_channel(offer, payment, asked).await?;
                self.carry_deposit(till, offer, draw, deposit, payment, asked).await?
            }
        };
        if !till.is_booked(id, config) {
            till.open_account(id, config).await.map_err(|why| Box::new(not_here(offer, why)))?;
        }
        let (transaction, amount) = match self.counts(till, id, transaction).await {
            Ok(Shown::Counts { transaction, amount }) => (transaction, amount),
            Ok(Shown::Open) => return Err(Box::new(Reply::pending())),
            Ok(Shown::Nothing) => {
                tracing::error!(channel = %id, %transaction, "a deposit's transaction shows no deposit");
                return Err(refuse(ChannelInvalid::DepositTransaction));
            }
            Err(why) => return Err(Box::new(not_here(offer, why))),
        };
        let booked = self.chain.amount(U256::from(amount)).map_err(NotHere::Chain);
        let booked = booked.map_err(|why| Box::new(not_here(offer, why)))?;
        let booking = till.book_deposit(id, config, transaction, booked).await;
        booking.map_err(|error| Box::new(not_here(offer, NotHere::Books(error))))?;
        if let Some(channel) = till.find(id)
            && let Err(error) = till.refresh(&channel).await
        {
            tracing::warn!(%error, "the chain cannot tell of a channel");
            return Err(Box::new(Reply::busy(UNSURE)));
        }
        Ok(Deposited { transaction, amount })
    }

    /// Whether the voucher's total would follow, as far as that can be said without the chain.
    fn check_total(&self, till: &Till, offer: &Offer, draw: &Draw) -> Result<(), Box<Reply>> {
        let price = offer.price.minor().unsigned_abs();
        let amount = draw.drawn.voucher.max_claimable_amount.0;
        let Some(channel) = till.find(draw.drawn.voucher.channel_id) else {
            return match amount >= price {
                true => Ok(()),
                false => Err(Box::new(invalid(offer, ChannelInvalid::CumulativeMismatch))),
            };
        };
        let known = channel.lock().expect("nothing panics under this lock");
        if known.tab.charged().checked_add(price) != Some(amount) {
            return Err(Box::new(correction(till, offer, &known)));
        }
        if !known.tab.is_quiet() {
            return Err(Box::new(invalid(offer, ChannelInvalid::Busy)));
        }
        Ok(())
    }

    /// Whether a deposit comes by the way that the offer takes, and ended so lately that its answer may
    /// have been lost: nobody has signed for what is checked here, and a search of the chain goes back to
    /// the deposit's end.
    fn check_deposit(
        &self,
        deposit: &Deposit,
        asked: &PaymentRequirements,
    ) -> Result<(), ChannelInvalid> {
        let method = asked.extra.as_ref().and_then(|extra| extra.get(permit::METHOD)?.as_str());
        let by_permit = method == Some(permit::METHOD_PERMIT2);
        let (ends, late) = match &deposit.authorization {
            DepositAuthorization::Permit2 { deadline, .. } if by_permit => {
                (deadline, ChannelInvalid::Permit2Deadline)
            }
            DepositAuthorization::Erc3009 { valid_before, .. } if !by_permit => {
                (valid_before, ChannelInvalid::ValidBefore)
            }
            DepositAuthorization::Permit2 { .. } => return Err(ChannelInvalid::Erc3009Required),
            DepositAuthorization::Erc3009 { .. } => return Err(ChannelInvalid::PayloadType),
        };
        let oldest = self.clock.now().as_secs().saturating_sub(LONGEST_BEYOND.as_secs());
        if *ends < U256::from(oldest) { Err(late) } else { Ok(()) }
    }

    /// The transaction that carried out this very deposit before: the answer to it was lost.
    async fn deposited_before(
        &self,
        till: &Till,
        offer: &Offer,
        id: B256,
        config: &ChannelConfig,
        deposit: &Deposit,
    ) -> Result<Option<B256>, Box<Reply>> {
        let order = DepositOrder::of(id, deposit);
        let unread = |error| Box::new(not_here(offer, NotHere::Chain(error)));
        let searching = async {
            if !order.is_spent(&till.chain, config.payer).await.map_err(unread)? {
                return Ok(None);
            }
            let Ok(_place) = self.searches.try_acquire() else {
                return Err(Box::new(Reply::busy(UNSURE)));
            };
            match order.state(&till.chain, config.payer).await {
                // In a block that may vanish: whoever goes on waits until it counts.
                Ok(AuthorizationState::Used { transaction, .. })
                | Err(SettlementError::Pending { transaction }) => Ok(Some(transaction)),
                Ok(AuthorizationState::Unused | AuthorizationState::Cancelled) => Ok(None),
                // Spent, and nothing that can be read tells for what: as far as we see, nothing came.
                Err(SettlementError::Unreadable { .. })
                    if matches!(deposit.authorization, DepositAuthorization::Permit2 { .. }) =>
                {
                    Ok(None)
                }
                Err(error) => Err(unread(error)),
            }
        };
        match tokio::time::timeout(self.limits.settle_wait, searching).await {
            Ok(found) => found,
            Err(_) => Err(Box::new(Reply::pending())),
        }
    }

    async fn carry_deposit(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
        deposit: &Deposit,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Result<B256, Box<Reply>> {
        let response = self.settled(payment, asked).await;
        if let Some(response) = &response {
            if let Some(transaction) = transaction_of(response) {
                return Ok(transaction);
            }
            let reason = response.error_reason.clone().unwrap_or_default();
            if !is_open(&reason) {
                return Err(Box::new(Reply::quote(offer, Some(reason))));
            }
        }
        // Not known: the chain is asked once more, and then the payer may.
        let (config, id) = (&draw.drawn.config, draw.drawn.voucher.channel_id);
        match self.deposited_before(till, offer, id, config, deposit).await {
            Ok(Some(transaction)) => Ok(transaction),
            _ => Err(Box::new(Reply::pending())),
        }
    }

    /// What the facilitator answers, if it does in time.
    async fn settled(
        &self,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Option<SettleResponse> {
        let settling = self.facilitator.settle(payment, asked);
        match tokio::time::timeout(self.limits.settle_wait, settling).await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a channel's settlement got no answer");
                None
            }
            Err(_) => {
                tracing::warn!("a channel's settlement got no answer in time");
                None
            }
        }
    }

    /// What a transaction put into a channel, as the chain shows it, once its block counts. It is
    /// waited for as for a settlement, since a facilitator elsewhere may answer before.
    async fn counts(&self, till: &Till, id: B256, transaction: B256) -> Result<Shown, NotHere> {
        let waited = tokio::time::Instant::now() + self.limits.settle_wait;
        let mut pause = Duration::from_millis(20);
        let mut was_seen = false;
        loop {
            match self.shown(till, id, transaction).await? {
                Some((_, 0)) => return Ok(Shown::Nothing),
                Some((mined, amount)) => {
                    if mined.block <= till.chain.safe_head().await.map_err(NotHere::Chain)? {
                        let transaction = mined.transaction;
                        return Ok(Shown::Counts { transaction, amount });
                    }
                    was_seen = true;
                }
                // Its block vanished, and it may come again.
                None if was_seen => {}
                None => return Ok(Shown::Nothing),
            }
            if tokio::time::Instant::now() + pause > waited {
                return Ok(Shown::Open);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// What a transaction put into a channel, and its receipt; `None` if it is in no block.
    async fn shown(
        &self,
        till: &Till,
        id: B256,
        transaction: B256,
    ) -> Result<Option<(Mined, u128)>, NotHere> {
        let Some(receipt) = till.chain.receipt(transaction).await.map_err(NotHere::Chain)? else {
            return Ok(None);
        };
        let block = receipt.block;
        let events = till.chain.channel_events(&[id], &[], block, block).await;
        let events = events.map_err(NotHere::Chain)?;
        let ours = events.iter().filter(|event| event.transaction == receipt.transaction);
        let amount = ours
            .filter_map(|event| match event.what {
                Happened::Deposited { channel, amount } if channel == id => Some(amount),
                _ => None,
            })
            .sum();
        Ok(Some((receipt, amount)))
    }

    /// Gives back what a channel has not charged.
    #[allow(clippy::too_many_arguments)] // as `deposit`
    pub(super) async fn refund(
        &self,
        till: &Till,
        offer: &Offer,
        terms: &Terms,
        draw: &Draw,
        wanted: Option<Units>,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Reply {
        let (config, id) = (&draw.drawn.config, draw.drawn.voucher.channel_id);
        if let Err(reason) = self.check_channel(offer, terms, config) {
            return invalid(offer, reason);
        }
        if wanted.is_some_and(|amount| amount.0 == 0) {
            return invalid(offer, ChannelInvalid::RefundAmount);
        }
        let channel = match till.find(id) {
            Some(channel) => channel,
            None => match self.enter(till, offer, draw).await {
                Ok(channel) => channel,
                Err(reply) => return *reply,
            },
        };
        {
            let mut known = channel.lock().expect("nothing panics under this lock");
            if known.gone {
                return invalid(offer, ChannelInvalid::Busy);
            }
            match known.tab.begin_refund(draw.drawn.voucher.max_claimable_amount.0) {
                Ok(()) => {}
                Err(ChannelInvalid::CumulativeMismatch) => return correction(till, offer, &known),
                Err(reason) => return invalid(offer, reason),
            }
        }
        let reply = self.refund_alone(till, offer, draw, &channel, wanted, payment, asked).await;
        channel.lock().expect("nothing panics under this lock").tab.end_refund();
        reply
    }

    #[allow(clippy::too_many_arguments)] // as `deposit`
    async fn refund_alone(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
        channel: &Shared,
        wanted: Option<Units>,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Reply {
        let (config, id) = (&draw.drawn.config, draw.drawn.voucher.channel_id);
        // The refund number and the balance must be of now.
        if let Err(error) = till.refresh(channel).await {
            tracing::warn!(%error, "the chain cannot tell of a channel");
            return Reply::busy(UNSURE);
        }
        let (charged, left, nonce) = {
            let known = channel.lock().expect("nothing panics under this lock");
            let charged = known.tab.charged();
            let left = known.mirror.balance.saturating_sub(charged);
            (charged, left, known.mirror.refund_nonce)
        };
        if charged != draw.drawn.voucher.max_claimable_amount.0 {
            let known = channel.lock().expect("nothing panics under this lock");
            return correction(till, offer, &known);
        }
        if left == 0 {
            return invalid(offer, ChannelInvalid::RefundNoBalance);
        }
        let amount = wanted.map_or(left, |wanted| wanted.0.min(left));
        if let Err(reply) = self.verify_channel(offer, payment, asked).await {
            return *reply;
        }
        let HeldRefund { hold, amount, again } =
            match self.hold_refund(till, offer, draw, amount, nonce).await {
                Ok(held) => held,
                Err(reply) => return *reply,
            };
        let payload = refund_payload(till, draw, amount, charged, nonce);
        let response = self.settled(&payment_of(asked, &payload), asked).await;
        if let Some(failed) = response.as_ref().filter(|r| !r.success) {
            let reason = failed.error_reason.clone().unwrap_or_default();
            if !is_open(&reason) {
                // An earlier try may still come to the chain: then only the chain ends the hold.
                if !again {
                    let void = Write::operation(Operation::Void { hold });
                    if let Err(error) = self.ledger.submit(void).await {
                        tracing::error!(%error, "a refund's hold could not be let go");
                    }
                }
                return Reply::quote(offer, Some(reason));
            }
        }
        if let Err(error) = till.refresh(channel).await {
            tracing::warn!(%error, "the chain cannot tell of a refund");
            return Reply::pending();
        }
        let state = {
            let mut known = channel.lock().expect("nothing panics under this lock");
            if known.mirror.refund_nonce == nonce {
                // Not carried out yet, and perhaps under way: the hold stays.
                return Reply::pending();
            }
            let signature = signature_of(till, draw);
            known.tab.prove(Proof { amount: charged, signature });
            known.state(charged)
        };
        let transaction = response.as_ref().and_then(transaction_of);
        let gone = match till.book_returns(id, config, Some(hold)).await {
            Ok(gone) => gone,
            Err(why) => return not_here(offer, why),
        };
        let (shown, given) = transaction
            .and_then(|t| gone.iter().find(|(other, _)| *other == t).copied())
            .or_else(|| gone.last().copied())
            .unwrap_or((B256::ZERO, 0));
        let receipt = Receipt {
            success: true,
            payer: config.payer.to_string(),
            transaction: transaction.unwrap_or(shown).to_string(),
            network: wire::network(offer.token.chain_id),
            amount: given.to_string(),
            extra: ReceiptExtra { charged_amount: None, channel_state: state },
        };
        let body = json!({ "message": "Refund acknowledged", "channelId": id });
        with_receipt(Reply::told(&body), Some(&receipt))
    }

    /// Holds what a refund may give back. The channel's refund number is what it is bound to.
    ///
    /// At most one refund of a number comes to the chain, and any that was handed out may: what is
    /// held is the greatest of them, and a smaller one is not asked for after a greater.
    async fn hold_refund(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
        amount: u128,
        nonce: U256,
    ) -> Result<HeldRefund, Box<Reply>> {
        let (config, id) = (&draw.drawn.config, draw.drawn.voucher.channel_id);
        let minor = self.chain.amount(U256::from(amount));
        let minor = minor.map_err(|e| Box::new(not_here(offer, NotHere::Chain(e))))?;
        // The channel is this refund's alone, so nobody else takes the next number of its account.
        let unearned = Line::Unearned(id.0).of(offer.payee, offer.price.asset());
        let escrow = Line::Escrow.of(offer.payee, offer.price.asset());
        let (number, before) = self.ledger.read(|state| {
            let open =
                |e: &&TransferRecord| e.status == Status::Held && e.transfer.credit == escrow;
            let held = state.entries_of(unearned).filter(open);
            let held = held.map(|e| (e.transfer.id, e.transfer.amount, e.transfer.digest));
            (state.entries_of(unearned).len() as u64, held.collect::<Vec<_>>())
        });
        let mut replaced = Vec::new();
        for (hold, held, of) in before {
            let of = U256::from_be_bytes(of);
            if of > nonce {
                // The node that we asked lags behind what we know.
                return Err(Box::new(Reply::busy(UNSURE)));
            }
            if of < nonce {
                // The chain has carried out a refund of that number.
                let booking = till.book_returns(id, config, Some(hold)).await;
                booking.map_err(|why| Box::new(not_here(offer, why)))?;
                continue;
            }
            if held.minor() >= minor.minor() {
                let amount = held.minor().unsigned_abs();
                return Ok(HeldRefund { hold, amount, again: true });
            }
            replaced.push(Operation::Void { hold });
        }
        let again = !replaced.is_empty();
        let hold = TransferId::derive("channel/refund", &[id.as_slice(), &number.to_be_bytes()]);
        let entry = Entry {
            id: hold,
            book: offer.payee,
            debit: Line::Unearned(id.0),
            credit: Line::Escrow,
            amount: minor,
            kind: Kind::Financial,
            counterparty: config.payer.into(),
            reference: Reference::derive(
                "x402/batch-settlement/refund",
                &[id.as_slice(), &nonce.to_be_bytes::<32>()],
            ),
            digest: nonce.to_be_bytes(),
            hold_until: Some(self.clock.now().plus(self.limits.grace)),
        };
        // The greater hold takes the smaller one's place in one step.
        replaced.push(entry.transfer());
        for attempt in 0..2 {
            let holding = Write::operation(Operation::Linked(replaced.clone()));
            match self.ledger.submit(holding).await {
                Ok(Outcome::Applied | Outcome::Exists) => {
                    return Ok(HeldRefund { hold, amount, again });
                }
                // The chain says that there is more than the books know of.
                Ok(Outcome::Refused(_)) if attempt == 0 => {
                    if let Err(why) = till.catch_up(id, config).await {
                        return Err(Box::new(not_here(offer, why)));
                    }
                }
                Ok(Outcome::Refused(refusal)) => {
                    tracing::error!(channel = %id, reason = %refusal.reason, "a refund could not be held");
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "a refund could not be held");
                    break;
                }
            }
        }
        Err(Box::new(Reply::busy(BOOKS)))
    }
}

/// What a transaction did for a channel.
enum Shown {
    /// It put something in, in a block that counts.
    Counts {
        /// Its hash as it was mined, which may be of a version with higher fees.
        transaction: B256,
        amount: u128,
    },
    /// It put something in, in a block that may vanish, or has vanished.
    Open,
    /// It put nothing in.
    Nothing,
}

/// A refund, held in the books.
struct HeldRefund {
    hold: TransferId,
    /// What is asked for: no less than any refund of the same number that was asked for before.
    amount: u128,
    /// Whether there was one.
    again: bool,
}

/// What the facilitator is asked for a refund: all that was charged is claimed before.
fn refund_payload(till: &Till, draw: &Draw, amount: u128, charged: u128, nonce: U256) -> Payload {
    let config = &draw.drawn.config;
    let voucher = Voucher { signature: signature_of(till, draw), ..draw.drawn.voucher.clone() };
    let claims = vec![Claim {
        voucher: ClaimedVoucher {
            channel: *config,
            max_claimable_amount: voucher.max_claimable_amount,
        },
        signature: voucher.signature.clone(),
        total_claimed: Units(charged),
    }];
    let key = till.keys.get(&config.receiver_authorizer);
    let sign = |hash: B256| {
        let signer = key?.transaction_signer();
        let signature = protocol::sign_hash(&signer, hash);
        Some(signature.as_bytes().to_vec().into())
    };
    Payload::Refund {
        channel_config: *config,
        amount: Some(Units(amount)),
        refund_nonce: Some(nonce.to_string()),
        refund_authorizer_signature: sign(till.domain.refund_hash(
            voucher.channel_id,
            nonce,
            amount,
        )),
        voucher,
        claim_authorizer_signature: sign(till.domain.claims_hash(&claims)),
        claims,
    }
}

/// The voucher's signature as the contract takes it.
fn signature_of(till: &Till, draw: &Draw) -> Bytes {
    let Drawn { config, voucher, .. } = &draw.drawn;
    let hash = till.domain.voucher_hash(voucher.channel_id, voucher.max_claimable_amount.0);
    voucher::mended(hash, &voucher.signature, config.payer_authorizer)
}

fn transaction_of(response: &SettleResponse) -> Option<B256> {
    response.success.then(|| response.transaction.parse().ok()).flatten()
}

/// Whether the chain may have done it all the same.
pub(crate) fn is_open(reason: &str) -> bool {
    ChannelInvalid::ALL.iter().any(|known| known.is_open() && known.code() == reason)
        || crate::exact::Invalid::ALL.iter().any(|known| known.is_open() && known.code() == reason)
}

impl Till {
    /// Opens a channel's account and books what happened in the channel before.
    pub(crate) async fn open_account(
        &self,
        id: B256,
        config: &ChannelConfig,
    ) -> Result<(), NotHere> {
        // Searched first: an account that is there without its money differs from the chain.
        let events = self.all_of(id).await?;
        self.remember(id, config).await.map_err(NotHere::Books)?;
        self.book_deposits(id, config, &events).await?;
        self.book_found(id, config, None, &events).await?;
        Ok(())
    }

    /// Refuses a channel that the books cannot take in, before money is put into it.
    async fn check_age(&self, id: B256, config: &ChannelConfig) -> Result<(), NotHere> {
        if self.is_booked(id, config)
            || self.chain.channel(id).await.map_err(NotHere::Chain)?.balance == 0
        {
            return Ok(());
        }
        self.all_of(id).await.map(drop)
    }

    /// All that happened in a channel whose account is to be opened.
    ///
    /// A channel with money from before the books began is refused: what was claimed of it, and
    /// charged, then is not known here, and an account with a part of its money would differ from
    /// the chain for good. Its payer has the money back by a withdrawal, and opens another channel.
    async fn all_of(&self, id: B256) -> Result<Vec<ChannelEvent>, NotHere> {
        self.begin_search(id)?;
        let from = first_block(&self.ledger, &self.chain).map_err(NotHere::Books)?;
        let found = self.search(id, from).await;
        let whole = found.as_ref().is_ok_and(|found| found.whole);
        // What was not found whole is not searched again at once.
        let to = found.as_ref().ok().filter(|_| whole);
        self.end_search(id, to.map(|found| found.next().max(from)));
        match found {
            Ok(found) if found.whole => Ok(found.events),
            Ok(_) => {
                tracing::warn!(channel = %id, "a channel has money from before the books began");
                Err(NotHere::Invalid(ChannelInvalid::ChannelNotFound))
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the books up to what the chain shows of a channel: deposits past this seller, or
    /// whose booking a crash prevented.
    pub(crate) async fn catch_up(&self, id: B256, config: &ChannelConfig) -> Result<(), NotHere> {
        if !self.is_booked(id, config) {
            return self.open_account(id, config).await;
        }
        let events = self.missing(id).await?;
        self.book_deposits(id, config, &events).await
    }

    async fn book_deposits(
        &self,
        id: B256,
        config: &ChannelConfig,
        events: &[ChannelEvent],
    ) -> Result<(), NotHere> {
        let mut sums: Vec<(B256, u128)> = Vec::new();
        for event in events {
            if let Happened::Deposited { amount, .. } = event.what {
                add(&mut sums, event.transaction, amount);
            }
        }
        for (transaction, amount) in sums {
            let amount = self.chain.amount(U256::from(amount)).map_err(NotHere::Chain)?;
            self.book_deposit(id, config, transaction, amount).await.map_err(NotHere::Books)?;
        }
        Ok(())
    }

    /// Books what went back from a channel and is not booked yet, in place of the hold that was
    /// made for it. What stands in a block that may vanish is booked later, and the hold stays for
    /// it. Returns all returns that were looked at, in the order of the chain.
    pub(crate) async fn book_returns(
        &self,
        id: B256,
        config: &ChannelConfig,
        hold: Option<TransferId>,
    ) -> Result<Vec<(B256, u128)>, NotHere> {
        let events = self.events(id).await?;
        let safe = self.chain.safe_head().await.map_err(NotHere::Chain)?;
        let counts = |event: &&ChannelEvent| event.block <= safe;
        let counted: Vec<ChannelEvent> = events.iter().filter(counts).copied().collect();
        let all = returns(&events);
        let hold = hold.filter(|_| returns(&counted) == all);
        self.book_found(id, config, hold, &counted).await?;
        Ok(all)
    }

    async fn book_found(
        &self,
        id: B256,
        config: &ChannelConfig,
        hold: Option<TransferId>,
        events: &[ChannelEvent],
    ) -> Result<(), NotHere> {
        let sums = returns(events);
        let book = Party::from(config.receiver);
        let mut operations = Vec::new();
        for (transaction, amount) in &sums {
            let entry = books::returned_id(&id.0, &transaction.0);
            let booked = self.ledger.read(|state| state.transfer(&entry).is_some());
            if booked || *amount == 0 {
                continue;
            }
            let amount: Amount = self.chain.amount(U256::from(*amount)).map_err(NotHere::Chain)?;
            let entry = Entry {
                id: entry,
                book,
                debit: Line::Unearned(id.0),
                credit: Line::Escrow,
                amount,
                kind: Kind::Financial,
                counterparty: config.payer.into(),
                reference: channel::return_reference(self.domain.chain_id(), id, *transaction),
                digest: [0; 32],
                hold_until: None,
            };
            operations.push(entry.transfer());
        }
        // The hold first: what it set aside is what went back.
        let void = hold.map(|hold| Operation::Void { hold });
        for operation in void.into_iter().chain(operations) {
            let write = Write::operation(operation);
            let outcome = self.ledger.submit(write).await.map_err(NotHere::Books)?;
            if !outcome.holds() {
                tracing::error!(channel = %id, ?outcome, "a return could not be booked");
            }
        }
        Ok(())
    }

    /// What happened in a channel and the books may lack: all since they began, the first time,
    /// and later what came since. Whoever asks again soon after it failed is told to wait.
    async fn missing(&self, id: B256) -> Result<Vec<ChannelEvent>, NotHere> {
        let from = match self.begin_search(id)? {
            Some(searched) => searched,
            None => first_block(&self.ledger, &self.chain).map_err(NotHere::Books)?,
        };
        let found = self.search(id, from).await;
        self.end_search(id, found.as_ref().ok().map(|found| found.next().max(from)));
        found.map(|found| found.events)
    }

    /// What happened in a channel from a block on, in blocks that count, and the newest of them. It ends early where the
    /// channel was empty: what happened before has no part in what is in it now.
    async fn search(&self, id: B256, from: u64) -> Result<Found, NotHere> {
        // In this order: a deposit that comes in between is found, and is one too many, not too few.
        let counted = self.chain.counted_channels(&[id]).await.map_err(NotHere::Chain)?;
        let balance = counted.first().map_or(0, |one| one.state.balance);
        let newest = self.chain.safe_head().await.map_err(NotHere::Chain)?;
        let (mut found, mut put_in, mut given) = (Vec::new(), 0_u128, 0_u128);
        let mut to = newest;
        while to >= from && put_in < balance.saturating_add(given) {
            let low = from.max(to.saturating_sub(BLOCKS_AT_ONCE - 1));
            let some = self.chain.channel_events(&[id], &[], low, to).await;
            for event in some.map_err(NotHere::Chain)? {
                match event.what {
                    Happened::Deposited { amount, .. } => put_in = put_in.saturating_add(amount),
                    Happened::Refunded { amount, .. } | Happened::Withdrawn { amount, .. } => {
                        given = given.saturating_add(amount);
                    }
                    _ => {}
                }
                found.push(event);
            }
            let Some(next) = low.checked_sub(1) else { break };
            to = next;
        }
        Ok(Found { events: found, newest, whole: put_in >= balance.saturating_add(given) })
    }

    /// What happened in a channel lately, from the newest block back.
    async fn events(&self, id: B256) -> Result<Vec<ChannelEvent>, NotHere> {
        let newest = self.chain.block_number().await.map_err(NotHere::Chain)?;
        let oldest = newest.saturating_sub(BLOCKS_BACK);
        let mut found = Vec::new();
        let mut from = oldest;
        while from <= newest {
            let to = newest.min(from + BLOCKS_AT_ONCE - 1);
            let some = self.chain.channel_events(&[id], &[], from, to).await;
            found.extend(some.map_err(NotHere::Chain)?);
            from = to + 1;
        }
        Ok(found)
    }

    /// Resolves refunds that were interrupted: where the chain has carried one out, it is booked;
    /// where it has not, its hold stays until it is asked for again or its number is used.
    pub(crate) async fn resolve_refunds(&self, payee: Party) -> Result<usize, NotHere> {
        let escrow = Line::Escrow.of(payee, self.asset());
        let held: Vec<(TransferId, ledger::AccountId, [u8; 32])> = self.ledger.read(|state| {
            let mine = state.holds().filter(|h| h.transfer.credit == escrow);
            mine.map(|h| (h.transfer.id, h.transfer.debit, h.transfer.digest)).collect()
        });
        let mut resolved = 0;
        for (hold, account, nonce) in held {
            let channel = self.all().into_iter().find(|channel| {
                let known = channel.lock().expect("nothing panics under this lock");
                Line::Unearned(known.id.0).of(payee, self.asset()) == account
            });
            let Some(channel) = channel else { continue };
            self.refresh(&channel).await.map_err(NotHere::Chain)?;
            let (id, config, now, quiet) = {
                let known = channel.lock().expect("nothing panics under this lock");
                (known.id, known.config, known.mirror.refund_nonce, known.tab.is_quiet())
            };
            if quiet && now > U256::from_be_bytes(nonce) {
                self.book_returns(id, &config, Some(hold)).await?;
                let held = self.ledger.read(|s| s.transfer(&hold).map(|r| r.status));
                resolved += usize::from(held != Some(Status::Held));
            }
        }
        Ok(resolved)
    }
}

/// What a search of the chain found in a channel.
struct Found {
    events: Vec<ChannelEvent>,
    /// The newest block that was searched.
    newest: u64,
    /// Whether it explains all that is in the channel.
    whole: bool,
}

impl Found {
    /// Where the next search begins: a node may lag behind the one that was asked for the newest
    /// block.
    fn next(&self) -> u64 {
        self.newest.saturating_sub(BLOCKS_AGAIN)
    }
}

/// What went back from a channel, by transaction, in the order of the chain.
fn returns(events: &[ChannelEvent]) -> Vec<(B256, u128)> {
    let mut sums = Vec::new();
    for event in events {
        match event.what {
            Happened::Refunded { amount, .. } | Happened::Withdrawn { amount, .. } => {
                add(&mut sums, event.transaction, amount);
            }
            Happened::Deposited { .. }
            | Happened::Claimed { .. }
            | Happened::WithdrawalBegun { .. }
            | Happened::PaidOut { .. } => {}
        }
    }
    sums
}

fn add(sums: &mut Vec<(B256, u128)>, transaction: B256, amount: u128) {
    match sums.iter_mut().find(|(known, _)| *known == transaction) {
        Some((_, sum)) => *sum = sum.saturating_add(amount),
        None => sums.push((transaction, amount)),
    }
}

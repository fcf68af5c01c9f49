//! Corrections: what a seller says, with proof, that it had charged before.
//!
//! A proof is our own signature on a total. What was charged beyond what the book has is explained by
//! vouchers whose fate is not known: by the one that was signed for the proved total, or, where
//! several were under way at once, by all that are open. Then the sum is proved, and which of
//! them it was is not, but for the one that is shown: after that the oldest are taken first.

use alloy_primitives::{B256, Bytes};
use ledger::{Reference, TransferId, TransferRecord};
use mandates::Fate;
use mandates::books::Line;
use money::Amount;
use serde::Deserialize as _;

use super::paying::units;
use super::{Buyer, InHand};
use crate::buyer::BuyError;
use crate::channel;
use crate::channel::voucher::signed_by;
use crate::channel::wire::{ChannelState, VoucherState};
use crate::wire::PaymentRequired;

/// The voucher that a seller corrects.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// Its hold.
    pub(super) hold: TransferId,
    /// Its hold's place in the journal.
    pub(super) sequence: u64,
    /// What had been charged before it.
    pub(super) base: u128,
    /// How often it was sent.
    pub(super) sent: u32,
}

/// What became of a correction.
pub(super) enum Corrected {
    /// What was proved is booked: the next total is known.
    GoOn,
    /// The voucher itself had been charged, and its answer was lost.
    Charged(Amount),
    /// Nothing was proved, in words.
    NotProved(String),
}

impl Buyer {
    /// The seller says that it had charged something before, and a refund was asked for without
    /// it. If that is proved, it is booked.
    pub(super) async fn correct_for_refund(
        &self,
        channel: &mut InHand,
        quote: &PaymentRequired,
    ) -> Result<(), BuyError> {
        match self.correct(channel, quote, None).await? {
            Corrected::GoOn => Ok(()),
            Corrected::Charged(_) | Corrected::NotProved(_) => Err(BuyError::Channel {
                channel: channel.id,
                cause: "its seller counts another total and does not prove it".into(),
            }),
        }
    }

    /// The seller says that it had charged something before. If that is proved, it is booked.
    pub(super) async fn correct(
        &self,
        channel: &mut InHand,
        quote: &PaymentRequired,
        own: Option<Own>,
    ) -> Result<Corrected, BuyError> {
        let asset = self.chain.token().asset;
        let book = self.book_of(channel.id)?;
        let zero = Amount::zero(asset);
        let release: Vec<Fate> =
            own.iter().map(|own| Fate { hold: own.hold, charged: zero }).collect();
        let (charged, signed) = match self.proved(channel, quote) {
            Ok(Some(proof)) => proof,
            Ok(None) => {
                self.mandates.settle_vouchers(&release, Vec::new()).await?;
                let why = "it counts another total and does not prove it";
                return Ok(Corrected::NotProved(why.into()));
            }
            Err(lie) => {
                self.stop(channel.id, &channel.known, &lie).await?;
                return Ok(Corrected::NotProved(lie));
            }
        };
        let before = units(book.charged);
        let Some(more) = charged.checked_sub(before).filter(|more| *more > 0) else {
            let why = format!("its seller goes back to {charged} minor units of {before}");
            if own.is_some_and(|own| own.base < charged) {
                // Another of this machine was faster: by now the book has what the seller proves, or
                // more, since it may have been charged again after the seller said so.
                self.mandates.settle_vouchers(&release, Vec::new()).await?;
                return Ok(Corrected::GoOn);
            }
            if charged < before {
                self.stop(channel.id, &channel.known, &why).await?;
            } else {
                // It refuses the very total that follows from its own.
                self.mandates.settle_vouchers(&release, Vec::new()).await?;
            }
            return Ok(Corrected::NotProved(why));
        };
        let more = Amount::from_minor(asset, i128::try_from(more).unwrap_or(i128::MAX));
        let chain_id = self.wallet.domain.chain_id();
        let reference = channel::reference(chain_id, channel.id, signed);
        let open = self.mandates.open_vouchers(self.party(), asset, channel.id.0);
        let is_own = |hold: &&TransferRecord| own.is_some_and(|own| own.hold == hold.transfer.id);
        let fits = |hold: &&TransferRecord| {
            hold.transfer.reference == reference && hold.transfer.amount.minor() >= more.minor()
        };
        let other = open.iter().filter(|hold| !is_own(hold)).find(fits);
        let purchases = Line::Purchases.of(self.party(), asset);
        let known = self.ledger.read(|state| {
            let mut records = state.by_reference(reference).into_iter();
            records.any(|r| r.transfer.debit == purchases && !is_own(&r))
        });
        // Sent more than once, its first answer may have been lost: then it was this one. Sent
        // once, its answer is this correction, so it was another; and if there is no other, the
        // seller proves its charge by the very voucher in hand: it has charged it. A total that was
        // signed before, and that it said not to have charged, proves nothing but that it lies.
        let mine = open.iter().find(is_own).filter(fits);
        let found = mine
            .filter(|_| own.is_some_and(|own| own.sent > 1))
            .or(other)
            .or(mine.filter(|_| !known));
        // What was held later is somebody else's, who has it in hand.
        let until = own.map_or(u64::MAX, |own| own.sequence);
        let older = || open.iter().filter(move |hold| hold.sequence <= until);
        if let Some(found) = found {
            let mut fates = vec![Fate { hold: found.transfer.id, charged: more }];
            fates.extend(
                older()
                    .map(|hold| hold.transfer.id)
                    .filter(|hold| *hold != found.transfer.id)
                    .map(|hold| Fate { hold, charged: zero }),
            );
            self.mandates.settle_vouchers(&fates, Vec::new()).await?;
            return Ok(if is_own(&found) { Corrected::Charged(more) } else { Corrected::GoOn });
        }
        // Several were under way at once, and their answers were lost.
        let others = older().filter(|hold| !is_own(hold));
        if let Some(fates) = explained(others, reference, more) {
            self.settle_all(fates).await?;
            return Ok(Corrected::GoOn);
        }
        let is_there = more.minor() <= book.balance.minor() - book.charged.minor();
        if known || !is_there {
            if self.is_in_unbooked_deposit(channel, charged).await {
                // No lie, as far as we know. The next purchase compares book and chain first.
                self.mandates.settle_vouchers(&release, Vec::new()).await?;
                channel.known.compared = false;
                return Ok(Corrected::NotProved("a deposit into it is not booked yet".into()));
            }
            let why = format!("its seller charged {more} that nothing explains");
            self.stop(channel.id, &channel.known, &why).await?;
            return Ok(Corrected::NotProved(why));
        }
        // Our own signature, of which this journal knows nothing: it was lost. All that is open is
        // older than what the seller proves.
        let fates: Vec<Fate> =
            older().map(|hold| Fate { hold: hold.transfer.id, charged: zero }).collect();
        self.mandates.settle_vouchers(&fates, Vec::new()).await?;
        let total = Amount::from_minor(asset, book.charged.minor() + more.minor());
        let contract = settlement::channels::CONTRACT.into();
        self.mandates
            .adopt_channel(self.party(), channel.id.0, book.balance, total, contract)
            .await?;
        Ok(Corrected::GoOn)
    }

    /// Whether a charge is of money that is in the channel and not in the book: its deposit stands
    /// in a block that may still vanish, or its booking is about to come. Its voucher is booked
    /// with it, so the book cannot explain the charge before.
    async fn is_in_unbooked_deposit(&self, channel: &InHand, charged: u128) -> bool {
        if !self.deposit_under_way(channel.id.0) {
            return false;
        }
        let (Ok(book), Ok(state)) =
            (self.book_of(channel.id), self.chain.channel(channel.id).await)
        else {
            return true; // Nobody is called a liar for what cannot be looked up.
        };
        state.balance > units(book.balance) && charged <= state.balance
    }

    /// Settles vouchers, as many at once as one step may have.
    async fn settle_all(&self, fates: Vec<Fate>) -> Result<(), BuyError> {
        for some in fates.chunks(ledger::MAX_LINKED) {
            self.mandates.settle_vouchers(some, Vec::new()).await?;
        }
        Ok(())
    }

    /// What a seller proves to have charged, and the total that we had signed for it. `None` if it
    /// proves nothing, an error if its proof is false.
    fn proved(
        &self,
        channel: &InHand,
        quote: &PaymentRequired,
    ) -> Result<Option<(u128, u128)>, String> {
        const MOST_WAYS: usize = 64;
        let extras = quote.accepts.iter().take(MOST_WAYS).filter(|t| t.scheme == channel::SCHEME);
        for extra in extras.filter_map(|terms| terms.extra.as_ref()) {
            let state = extra.get("channelState").and_then(|v| ChannelState::deserialize(v).ok());
            let proof = extra.get("voucherState").and_then(|v| VoucherState::deserialize(v).ok());
            let Some(state) = state.filter(|state| state.channel_id == channel.id) else {
                continue;
            };
            let (
                Some(charged),
                Some(VoucherState {
                    signed_max_claimable: Some(signed),
                    signature: Some(signature),
                }),
            ) = (state.charged_cumulative_amount, proof)
            else {
                return Ok(None);
            };
            let hash = self.wallet.domain.voucher_hash(channel.id, signed.0);
            if !is_ours(hash, &signature, channel) || charged.0 > signed.0 {
                return Err("its seller shows a voucher that this machine did not sign".into());
            }
            return Ok(Some((charged.0, signed.0)));
        }
        Ok(None)
    }
}

/// How open vouchers explain a charge together: the one that the seller shows, then the oldest.
/// `None` if they do not.
fn explained<'a>(
    open: impl Iterator<Item = &'a TransferRecord>,
    shown: Reference,
    charged: Amount,
) -> Option<Vec<Fate>> {
    let mut open: Vec<&TransferRecord> = open.collect();
    open.sort_by_key(|hold| (hold.transfer.reference != shown, hold.sequence));
    let mut left = charged.minor();
    let fates = open
        .into_iter()
        .map(|hold| {
            let taken = hold.transfer.amount.minor().min(left);
            left -= taken;
            Fate { hold: hold.transfer.id, charged: Amount::from_minor(charged.asset(), taken) }
        })
        .collect();
    (left == 0).then_some(fates)
}

fn is_ours(hash: B256, signature: &Bytes, channel: &InHand) -> bool {
    signed_by(hash, signature, channel.config.payer_authorizer)
}

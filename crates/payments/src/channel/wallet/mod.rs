//! The buyer's side of payment channels: when one is worth it, and which one is used.
//!
//! A channel follows from its terms: this machine, the seller, what the quote says of it, and a
//! number from 0. So it is found again after any loss: its name is computed, its money is read from
//! the chain, and what the seller charged is proved by the seller with our own voucher. What the
//! journal has is the truth about charges; nothing here is remembered that a restart would miss.
//!
//! - [`paying`](self): one purchase from a channel, in order, one at a time in each channel.
//! - ahead: many at once, where buyer and seller both want it.
//! - depositing: money put in, by its token or through Permit2, and what became of it.
//! - correcting: what a seller proves to have charged before.
//! - closing: getting money back, with the seller's help or without.
//!
//! Bounds: `MOST_NUMBERS` channels for the same terms, one lock for each channel in use.

mod ahead;
mod closing;
mod correcting;
mod depositing;
mod paying;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use ledger::{Evidence, LedgerError, Reference, StoredEvidence, Write};
use mandates::books::{ChannelId, Line};
use mandates::{ChannelBook, Fate, MandateError, VoucherSpend};
use money::{Amount, Party};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use ahead::Ran;
pub use closing::Closed;
pub(crate) use depositing::DepositOrder;
use depositing::{DepositMethod, FIRST_VOUCHER};
use paying::numbered;

use super::voucher::Domain;
use super::wire::{ChannelConfig, WITHDRAW_DELAY};
use crate::buyer::{Bought, BuyError, Buyer, Purchase, shown, stage};
use crate::documents;
use crate::extensions::binding;
use crate::wire::{PaymentPayload, PaymentRequired, PaymentRequirements};

/// How many channels are tried for the same terms; one is given up only if its seller lied or its
/// money is on its way back.
const MOST_NUMBERS: u64 = 16;

/// How many of the newest purchases are looked through for those of one seller.
const LOOK_BACK: usize = 1_000;

/// How many channels are kept in mind; those not in use are forgotten beyond, and looked up again.
const MOST_KNOWN: usize = 4_096;

/// What was opened, kept with the channel's [`document_reference`].
const OPENED: &str = "channel/opened";
/// Why nothing is signed any more, kept there too.
const STOPPED: &str = "channel/stopped";

/// What a seller charged for a voucher whose deposit our book did not have yet, kept with the
/// voucher's name: it is booked when the book has both.
const CHARGED: &str = "channel/charged";

/// The body of a [`CHARGED`] document.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    spend: VoucherSpend,
    charged: Amount,
}

/// When and how a buyer uses payment channels.
#[derive(Debug, Clone, Copy)]
pub struct ChannelPolicy {
    /// After how many purchases from the same seller a channel is opened unasked.
    pub open_after: usize,
    /// For how many purchases at the present price a deposit is made; fewer if mandate or wallet
    /// have less; more where the seller's own hint is higher, up to four times as many.
    pub deposit_prices: u32,
    /// The longest time that a seller may have our money wait for a withdrawal.
    pub longest_delay: Duration,
    /// How many vouchers of one channel may be under way at once, where its seller offers lanes;
    /// with less than two each purchase waits for the one before. A seller that keeps what it did
    /// not serve can claim what was signed ahead: at most so many prices.
    pub lanes: u16,
}

impl Default for ChannelPolicy {
    fn default() -> ChannelPolicy {
        ChannelPolicy {
            open_after: 1,
            deposit_prices: 10,
            longest_delay: Duration::from_secs(24 * 60 * 60),
            lanes: 1,
        }
    }
}

/// What a buyer has in mind of its channels.
pub(crate) struct Wallet {
    pub(crate) domain: Domain,
    known: Mutex<HashMap<B256, Shared>>,
}

type Shared = Arc<tokio::sync::RwLock<Known>>;

/// Whoever has it locked for writing is the only one to sign for the channel; those who sign ahead
/// share it.
#[derive(Default)]
pub(crate) struct Known {
    /// Whether the book was compared with the chain since the start, or since money came or left
    /// that it does not have yet.
    compared: bool,
    /// Why nothing is signed any more. It is set by whoever learns it, those who share the channel
    /// included, and seen by all who wait for it.
    stopped: OnceLock<String>,
    /// Charges that are answered and could not be booked yet, on a full disk for example.
    unbooked: Mutex<Vec<Fate>>,
    /// From where vouchers may run ahead.
    ahead: ahead::Ahead,
}

impl Known {
    /// What was answered is delivered, whatever our books say; nothing more is signed until they
    /// have it.
    fn book_later(&self, fates: &[Fate]) {
        self.unbooked.lock().expect("no panic while adding").extend_from_slice(fates);
    }
}

impl Wallet {
    pub(crate) fn new(chain_id: u64) -> Wallet {
        Wallet { domain: Domain::new(chain_id), known: Mutex::default() }
    }

    fn of(&self, channel: B256) -> Shared {
        let mut known = self.known.lock().expect("no panic while looking up");
        if known.len() >= MOST_KNOWN {
            known.retain(|_, one| Arc::strong_count(one) > 1);
        }
        known.entry(channel).or_default().clone()
    }
}

/// A quote's way to pay by a channel.
pub(crate) struct Offered {
    pub(crate) terms: PaymentRequirements,
    pub(crate) amount: Amount,
    pub(crate) payee: Party,
    /// How a deposit is signed.
    pub(crate) by: DepositMethod,
    /// The channel with number 0.
    pub(crate) config: ChannelConfig,
}

/// A channel that is in hand: nobody else signs for it meanwhile.
pub(crate) struct InHand {
    pub(crate) id: B256,
    pub(crate) config: ChannelConfig,
    pub(crate) known: tokio::sync::OwnedRwLockWriteGuard<Known>,
}

/// How a purchase from a channel begins.
pub(crate) enum Begun {
    /// It is over: it ran beside others.
    Done(Box<Result<Bought, BuyError>>),
    /// It has the channel for itself.
    InHand(InHand),
}

/// A channel, as a buyer tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// Its name on the chain.
    pub id: B256,
    /// Who is paid from it.
    pub payee: Party,
    /// What was paid in, charged and set aside, by this machine's book.
    pub book: ChannelBook,
    /// How long a withdrawal waits for the seller's claims, in seconds.
    pub withdraw_delay: u64,
    /// Why it is not used any more, if so.
    pub stopped: Option<String>,
}

/// What is kept of a channel when it is opened: enough to ask for its money after any restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Opened {
    pub(crate) chain_id: u64,
    pub(crate) channel: B256,
    pub(crate) config: ChannelConfig,
    /// Where it was opened, without what may be secret.
    pub(crate) url: String,
    pub(crate) method: String,
}

/// Under which name a channel's documents are kept: it follows from the account's name.
pub(crate) fn document_reference(book: Party, account: &str) -> Reference {
    Reference::derive("channel/documents", &[book.as_bytes(), account.as_bytes()])
}

fn of_channel(book: Party, channel: B256) -> Reference {
    document_reference(book, &Line::Prepaid(channel.0).name())
}

/// The channels of a buyer, by what its journal keeps of them.
pub(crate) fn opened_by(
    ledger: &ledger::Ledger,
    book: Party,
) -> Result<Vec<(Opened, Option<String>)>, LedgerError> {
    let names: Vec<String> = ledger.read(|state| {
        state
            .accounts_of(book)
            .filter(|account| account.name.starts_with("prepaid/"))
            .map(|account| account.name.clone())
            .collect()
    });
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let documents = ledger.evidence(document_reference(book, &name))?;
        let body = |stage: &str| {
            documents.iter().find(|d| d.evidence.stage == stage).map(|d| &d.evidence.body)
        };
        let opened: Option<Opened> =
            body(OPENED).and_then(|body| serde_json::from_slice(body).ok());
        let stopped = body(STOPPED).and_then(|body| serde_json::from_slice(body).ok());
        all.extend(opened.map(|opened| (opened, stopped)));
    }
    Ok(all)
}

/// What a channel of a buyer is, by the document kept with its account.
pub(crate) fn config_of(
    ledger: &ledger::Ledger,
    book: Party,
    account: &str,
) -> Result<Option<ChannelConfig>, LedgerError> {
    let documents = ledger.evidence(document_reference(book, account))?;
    let opened = documents.iter().find(|d| d.evidence.stage == OPENED);
    Ok(opened
        .and_then(|d| serde_json::from_slice::<Opened>(&d.evidence.body).ok())
        .map(|opened| opened.config))
}

/// The deposit that was signed last under a reference: who pays it, its order, and the voucher that
/// went with it. `None` if it was no deposit, or was never signed.
pub(crate) fn kept_deposit(
    documents: &[StoredEvidence],
) -> Option<(Address, DepositOrder, Option<VoucherSpend>)> {
    let find = |stage: &str| documents.iter().find(|d| d.evidence.stage == stage);
    let (payment, voucher) = [1, 0].into_iter().find_map(|attempt| {
        let payment = find(&numbered(stage::PAYMENT, attempt))?;
        Some((payment, find(&numbered(FIRST_VOUCHER, attempt))))
    })?;
    let payment: PaymentPayload = serde_json::from_slice(&payment.evidence.body).ok()?;
    let (payer, order) = DepositOrder::read(&payment.payload)?;
    let voucher = voucher.and_then(|d| serde_json::from_slice(&d.evidence.body).ok());
    Some((payer, order, voucher))
}

impl Buyer {
    /// The channels of this machine, in the order in which they were opened.
    ///
    /// # Errors
    /// [`BuyError::Store`].
    pub fn channels(&self) -> Result<Vec<Channel>, BuyError> {
        let asset = self.chain.token().asset;
        let opened = opened_by(&self.ledger, self.party())?;
        Ok(opened
            .into_iter()
            .filter(|(opened, _)| {
                opened.chain_id == self.wallet.domain.chain_id()
                    && opened.config.token == self.chain.token().address
            })
            .filter_map(|(opened, stopped)| {
                let book = self.mandates.channel(self.party(), asset, opened.channel.0)?;
                Some(Channel {
                    id: opened.channel,
                    payee: opened.config.receiver.into(),
                    book,
                    withdraw_delay: opened.config.withdraw_delay,
                    stopped,
                })
            })
            .collect())
    }

    /// The way to pay from a channel, if the quote has one, and the caller asks for it or it is
    /// worth it.
    pub(crate) fn channel_for(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        scheme: Option<&str>,
    ) -> Result<Option<Offered>, BuyError> {
        const MOST_WAYS: usize = 64;
        let mut why_not = None;
        let mut best: Option<Offered> = None;
        let mut least_at_once: Option<Amount> = None;
        for terms in quote.accepts.iter().take(MOST_WAYS) {
            if terms.scheme != super::SCHEME {
                let price = self.payable(terms).ok().map(|(amount, ..)| amount);
                least_at_once = match (least_at_once, price) {
                    (Some(one), Some(other)) if one.minor() <= other.minor() => Some(one),
                    (one, other) => other.or(one),
                };
                continue;
            }
            match self.offered(terms, binding::is_declared(quote)) {
                Ok(offered) => {
                    // Of equal ones that which needs no approval.
                    let rank = |o: &Offered| (o.amount.minor(), o.by);
                    if best.as_ref().is_none_or(|b| rank(&offered) < rank(b)) {
                        best = Some(offered);
                    }
                }
                Err(cause) => why_not = Some(cause),
            }
        }
        match scheme {
            Some(super::SCHEME) => best.map(Some).ok_or_else(|| BuyError::NoWayToPay {
                url: shown(&purchase.url),
                cause: why_not.unwrap_or_else(|| "it takes no payments from channels".into()),
            }),
            Some(_) => Ok(None),
            None => Ok(best.filter(|offered| match least_at_once {
                None => true,
                Some(at_once) => {
                    offered.amount.minor() <= at_once.minor() && self.is_worth_it(offered)
                }
            })),
        }
    }

    /// Reads terms as a channel's; `bound` if its vouchers are bound to their requests.
    fn offered(&self, terms: &PaymentRequirements, bound: bool) -> Result<Offered, String> {
        let by = DepositMethod::of(terms)?;
        let (amount, payee) = self.acceptable(terms, by == DepositMethod::Token)?;
        if self.market == Some(payee) {
            // Its books hold a market's money by payments that are settled alone.
            return Err("what this machine has at its market is paid in at once".into());
        }
        let extra = |key| terms.extra.as_ref().and_then(|extra| extra.get(key));
        let authorizer = extra("receiverAuthorizer")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<Address>().ok())
            .filter(|address| !address.is_zero())
            .ok_or("it does not say whose signature claims from the channel")?;
        let delay = match extra("withdrawDelay") {
            None => *WITHDRAW_DELAY.start(),
            Some(delay) => delay.as_u64().unwrap_or(u64::MAX),
        };
        let longest = self.limits.channels.longest_delay.as_secs();
        if !WITHDRAW_DELAY.contains(&delay) || delay > longest {
            return Err(format!(
                "money would wait {delay} seconds for its withdrawal, and this machine accepts {} to {longest}",
                WITHDRAW_DELAY.start()
            ));
        }
        let payer = self.key.address();
        let config = ChannelConfig {
            payer,
            payer_authorizer: payer,
            receiver: payee.into(),
            receiver_authorizer: authorizer,
            token: self.chain.token().address,
            withdraw_delay: delay,
            salt: if bound { binding::channel_salt(0) } else { B256::ZERO },
        };
        Ok(Offered { terms: terms.clone(), amount, payee, by, config })
    }

    /// Whether a channel pays without being asked for: it has the money, or this is not the first
    /// purchase there and a deposit would last for more than one.
    fn is_worth_it(&self, offered: &Offered) -> bool {
        let price = offered.amount.minor();
        let asset = offered.amount.asset();
        let (number, _) = self.numbered(&offered.config, 0);
        let known = self.mandates.channel(self.party(), asset, number.0);
        if known.is_some_and(|book| book.available().minor() >= price) {
            return true;
        }
        let purchases = Line::Purchases.of(self.party(), asset);
        let before = self.ledger.read(|state| {
            state
                .entries_of(purchases)
                .rev()
                .take(LOOK_BACK)
                .filter(|r| r.transfer.counterparty == Some(offered.payee) && r.posted().is_some())
                .count()
        });
        before >= self.limits.channels.open_after
            && self.room().is_some_and(|room| room >= price.saturating_mul(2))
    }

    /// What a deposit may be at most, in minor units; `None` without a mandate. No deposit is what
    /// the owner would have to be asked for.
    fn room(&self) -> Option<i128> {
        let left = self.mandates.left(self.party())?;
        let unasked = left.unasked.map(|unasked| [unasked.per_payment, unasked.daily]);
        let all = [left.daily, left.lifetime, left.wallet].into_iter();
        all.chain(unasked.into_iter().flatten()).map(|amount| amount.minor()).min()
    }

    fn numbered(&self, config: &ChannelConfig, number: u64) -> (B256, ChannelConfig) {
        let salt = match binding::is_marked(config.salt) {
            true => binding::channel_salt(number),
            false => U256::from(number).into(),
        };
        let config = ChannelConfig { salt, ..*config };
        (self.wallet.domain.channel_id(&config), config)
    }

    /// Takes the channel for these terms in hand: the first whose money can be used.
    pub(crate) async fn take_in_hand(
        &self,
        purchase: &Purchase,
        offered: &Offered,
    ) -> Result<InHand, BuyError> {
        let mut last = None;
        for number in 0..MOST_NUMBERS {
            let (id, config) = self.numbered(&offered.config, number);
            let known = self.wallet.of(id).write_owned().await;
            let mut in_hand = InHand { id, config, known };
            match self.compare(purchase, &mut in_hand).await? {
                None => return Ok(in_hand),
                Some(cause) => last = Some((id, cause)),
            }
        }
        let (channel, cause) = last.unwrap_or_default();
        Err(BuyError::Channel { channel, cause })
    }

    /// Buys beside others where that can be done, or takes the channel in hand.
    pub(crate) async fn begin_in_channel(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
    ) -> Result<Begun, BuyError> {
        /// Who waited for the channel and finds others running ahead in it joins them.
        const TRIES: u32 = 3;
        for turn in 1.. {
            if let Ran::Done(bought) = self.buy_ahead(purchase, quote, offered).await {
                return Ok(Begun::Done(bought));
            }
            let channel = self.take_in_hand(purchase, offered).await?;
            self.may_deposit(purchase, quote, offered, &channel).await?;
            if turn == TRIES || !self.may_run_ahead(offered, &channel) {
                return Ok(Begun::InHand(channel));
            }
        }
        unreachable!("the last turn ends it")
    }

    /// Books charges that could not be booked when they were answered. Without them the next voucher
    /// would be of the same total, and the same request would get what it had bought before.
    async fn book_what_waits(&self, known: &Known) -> Result<(), BuyError> {
        let waiting = known.unbooked.lock().expect("no panic while reading").clone();
        if waiting.is_empty() {
            return Ok(());
        }
        match self.mandates.settle_vouchers(&waiting, Vec::new()).await {
            // Resolved otherwise meanwhile, by what the seller proved: nothing is left to book.
            Err(MandateError::Ledger(cause)) => {
                tracing::error!(cause, "charges were booked otherwise")
            }
            settled => settled?,
        }
        known.unbooked.lock().expect("no panic while clearing").clear();
        Ok(())
    }

    /// Books what sellers had charged for vouchers before the book had their deposits. Without it the
    /// same request would be paid for with the same total, and get what was delivered before.
    ///
    /// Two deposits may have gone with the same voucher for the same request, the second because the
    /// first was not seen to come: the answer to one tells what the seller charged, once, for
    /// both. So it is booked on whichever of them has its hold in the book.
    async fn book_what_was_told(&self, channel: B256) -> Result<(), BuyError> {
        let open = self.mandates.open_vouchers(self.party(), self.chain.token().asset, channel.0);
        for voucher in open {
            let Some(told) = self.told(voucher.transfer.reference, voucher.transfer.digest)? else {
                continue;
            };
            let charged = match self.was_charged(&told.spend) {
                true => Amount::zero(told.charged.asset()),
                false => told.charged,
            };
            let fate = Fate { hold: voucher.transfer.id, charged };
            self.mandates.settle_vouchers(&[fate], Vec::new()).await?;
        }
        Ok(())
    }

    /// What a seller charged for a voucher and a request, where it was noted because the book could
    /// not have it then.
    fn told(&self, reference: Reference, digest: [u8; 32]) -> Result<Option<Told>, BuyError> {
        let documents = self.ledger.evidence(reference)?;
        let mut told = documents
            .iter()
            .filter(|d| d.evidence.stage.starts_with(CHARGED))
            .filter_map(|d| serde_json::from_slice::<Told>(&d.evidence.body).ok());
        Ok(told.find(|told| told.charged.is_positive() && told.spend.digest == digest))
    }

    /// Notes what a seller charged and the book does not have: the next purchase books it first.
    async fn note_charge(&self, spend: &VoucherSpend, charged: Amount) {
        let told = Told { spend: spend.clone(), charged };
        let stage = numbered(CHARGED, spend.attempt);
        if let Err(error) = self.keep(vec![documents::json(spend.reference, &stage, &told)]).await {
            tracing::error!(reference = %spend.reference, %error, "a charge could not be noted");
        }
    }

    /// Makes sure that the book has the channel as the chain has it. Says why it cannot be used.
    async fn compare(
        &self,
        purchase: &Purchase,
        channel: &mut InHand,
    ) -> Result<Option<String>, BuyError> {
        if let Some(why) = channel.known.stopped.get() {
            return Ok(Some(why.clone()));
        }
        self.book_what_waits(&channel.known).await?;
        if channel.known.compared {
            return Ok(None);
        }
        let (id, asset) = (channel.id, self.chain.token().asset);
        let documents = self.ledger.evidence(of_channel(self.party(), id))?;
        if let Some(document) = documents.iter().find(|d| d.evidence.stage == STOPPED) {
            let why = serde_json::from_slice(&document.evidence.body).unwrap_or_default();
            return Ok(Some(channel.known.stopped.get_or_init(|| why).clone()));
        }
        let chain = self.chain.channel(id).await?;
        if chain.withdrawal.is_some() {
            return Ok(Some("its money is being withdrawn".into()));
        }
        let opened = Opened {
            chain_id: self.wallet.domain.chain_id(),
            channel: id,
            config: channel.config,
            url: shown(&purchase.url),
            method: purchase.method.to_string(),
        };
        let opened = documents::json(of_channel(self.party(), id), OPENED, &opened);
        self.mandates.open_channel(self.party(), asset, id.0, vec![opened]).await?;
        let Some(book) = self.mandates.channel(self.party(), asset, id.0) else {
            return Ok(Some("it has no account in this machine's book".into()));
        };
        let amount = |units: u128| self.chain.amount(U256::from(units)).map_err(BuyError::Chain);
        let (balance, claimed) = (amount(chain.balance)?, amount(chain.total_claimed)?);
        if balance.minor() < book.balance.minor() {
            return Ok(Some("money that came back from it is not booked yet".into()));
        }
        if balance.minor() > book.balance.minor() && self.deposit_under_way(id.0) {
            return Ok(Some("a deposit into it is not booked yet".into()));
        }
        let could = book.charged.minor() + book.held.minor();
        if claimed.minor() > could && balance == book.balance {
            let why = format!("its seller claimed {claimed} and had charged {}", book.charged);
            self.stop(channel.id, &channel.known, &why).await?;
            return Ok(Some(why));
        }
        if balance.minor() > book.balance.minor() {
            // The journal was lost, or a part of it: the chain knows the rest. What stands in a
            // block that may vanish is taken in later.
            let counted = self.chain.counted_channels(&[id]).await?;
            if counted.iter().any(|one| one.coming > 0) {
                return Ok(Some("a deposit into it does not count yet".into()));
            }
            let charged = if claimed.minor() > could { claimed } else { book.charged };
            let contract = Party::from(settlement::channels::CONTRACT);
            self.mandates.adopt_channel(self.party(), id.0, balance, charged, contract).await?;
        }
        self.book_what_was_told(id).await?;
        // A deposit that is under way may still come to the chain: then the book lacks it.
        channel.known.compared = !self.deposit_under_way(id.0);
        Ok(None)
    }

    fn deposit_under_way(&self, channel: ChannelId) -> bool {
        let prepaid = Line::Prepaid(channel).of(self.party(), self.chain.token().asset);
        self.ledger.read(|s| s.balance(&prepaid).is_some_and(|b| b.debits_pending > 0))
    }

    /// Nothing is signed for this channel any more, also after a restart, and also by those who
    /// share it now.
    async fn stop(&self, channel: B256, known: &Known, why: &str) -> Result<(), BuyError> {
        tracing::error!(%channel, why, "a payment channel is used no more; close it to get its money back");
        // In memory first: those who wait for the channel see it at once. The first reason stays.
        let _ = known.stopped.set(why.to_string());
        let document = documents::json(of_channel(self.party(), channel), STOPPED, &why);
        self.keep(vec![document]).await
    }

    /// Keeps documents. Where one stands already, it stays.
    async fn keep(&self, evidence: Vec<Evidence>) -> Result<(), BuyError> {
        match self.ledger.submit(Write::evidence(evidence)).await? {
            ledger::Outcome::Applied | ledger::Outcome::Exists => Ok(()),
            ledger::Outcome::Refused(refusal) => {
                Err(MandateError::Ledger(refusal.reason.to_string()).into())
            }
        }
    }

    fn book_of(&self, channel: B256) -> Result<ChannelBook, BuyError> {
        self.mandates.channel(self.party(), self.chain.token().asset, channel.0).ok_or_else(|| {
            BuyError::Channel { channel, cause: "this machine never opened it".into() }
        })
    }
}

//! The buyer: reads a quote, asks its mandate, holds, signs, pays, and never pays twice.
//!
//! What the mandate does not let go without asking waits for the owner: `asking.rs`.
//!
//! The way of a purchase: request → 402 with the quote → the terms are checked against what this
//! buyer knows (chain, token, its EIP-712 domain) and the caller's maximum → the mandate holds the
//! money → the key signs, and the signed payment is kept before it leaves → the same signed payment
//! is sent until there is an answer or it has expired; another one is never signed for the same
//! purchase → the chain says whether money moved, and the hold is posted.
//!
//! A way that moves exactly the price is preferred. Where the price is only the most (`upto`), the
//! most is held, and what the chain shows to have moved is posted. If the seller charged nothing,
//! the answer is given at once, and the hold stays until the signed payment has ended.
//!
//! A seller who fails after it got the signature can still use it until it expires, so the hold
//! stays until then; [`crate::reconcile`] resolves it.

mod agent;
mod answer;
mod asking;
mod error;
pub(crate) mod escrow;
mod permit;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use ledger::{Evidence, Ledger, Outcome, Reference, Status, Write};
use mandates::{Held, Key, Left, MandateError, Mandates, Spend, books};
use money::{Amount, Clock, Party};
use serde::Serialize;
use serde_json::{Value, json};
use settlement::{AuthorizationState, Settlement, SettlementError, SignedAuthorization};
use tokio::sync::Mutex;

pub use self::agent::{AgentNews, AgentRequest, FoundAgent, Watch};
pub use self::answer::receipt;
pub(crate) use self::answer::{blame, may_be_repeated, shown, summary};
use self::answer::{is_free, root_cause};
pub use self::asking::Wanted;
pub use self::error::BuyError;
use self::escrow::trust;
pub(crate) use self::permit::Approval;
use self::permit::By;
use crate::channel::wallet::{Begun, ChannelPolicy, Offered, Wallet};
use crate::documents;
use crate::exact;
use crate::extensions::{self, binding};
use crate::order::Order;
use crate::wire::{self, PaymentPayload, PaymentRequired, PaymentRequirements};

/// The documents that a buyer keeps with a payment's reference.
pub mod stage {
    /// What the seller asked: [`crate::wire::PaymentRequired`].
    pub const QUOTE: &str = "buyer/quote";
    /// What the mandate said.
    pub const DECISION: &str = "buyer/decision";
    /// What was signed: [`crate::wire::PaymentPayload`].
    pub const PAYMENT: &str = "buyer/payment";
    /// What came back, in short.
    pub const ANSWER: &str = "buyer/answer";
    /// The seller's signed receipt: [`crate::wire::SettleResponse`], kept if it is good.
    pub const RECEIPT: &str = "buyer/receipt";
}

/// A payment of shorter validity could not be settled in time, and its money would be set aside
/// for nothing: the margin that facilitators keep, and some seconds to work.
const SHORTEST_VALIDITY: Duration = Duration::from_secs(exact::EXPIRY_MARGIN_SECONDS + 4);

/// What bounds a purchase.
#[derive(Debug, Clone, Copy)]
pub struct BuyerLimits {
    /// How often the same signed payment is sent, and as often again once the chain shows it paid.
    pub attempts: u32,
    /// The longest validity that is signed, whatever the seller asks.
    pub longest_validity: Duration,
    /// How long one request may take.
    pub request_wait: Duration,
    /// The largest answer that is read, in bytes.
    pub max_answer: usize,
    /// How long after a payment's end its hold stays, for the chain to be asked. It should outlast
    /// any time that this home may be shut: what expires unasked may have been paid.
    pub grace: Duration,
    /// How long money may lie in an escrow before this buyer can take it back itself.
    pub longest_escrow: Duration,
    /// When and how payment channels are used.
    pub channels: ChannelPolicy,
    /// How long the owner has to decide what the mandate does not let go without asking.
    pub decide_within: Duration,
}

impl Default for BuyerLimits {
    fn default() -> BuyerLimits {
        BuyerLimits {
            attempts: 8,
            longest_validity: Duration::from_secs(15 * 60),
            request_wait: Duration::from_secs(90),
            max_answer: 16 * 1024 * 1024,
            grace: Duration::from_secs(366 * 24 * 60 * 60),
            longest_escrow: Duration::from_secs(31 * 24 * 60 * 60),
            channels: ChannelPolicy::default(),
            decide_within: mandates::DECIDE_WITHIN,
        }
    }
}

/// What to buy.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// The request's method.
    pub method: http::Method,
    /// Where.
    pub url: reqwest::Url,
    /// The body's media type.
    pub media_type: Option<String>,
    /// The body.
    pub body: Bytes,
    /// The most that it may cost; without it only the mandate decides.
    pub max: Option<Amount>,
    /// Asks an agent of A2A 1.0, at this address; without it this is a request of HTTP.
    pub agent: Option<AgentRequest>,
}

/// What was bought.
#[derive(Debug, Clone)]
pub struct Bought {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: Bytes,
    /// What was paid; `None` if it was free, or if the seller charged nothing so far where the work
    /// decides what it costs. What it charges later is booked when the chain shows it.
    pub paid: Option<Paid>,
}

/// A payment that the chain confirms, or a charge of a channel.
#[derive(Debug, Clone, Serialize)]
pub struct Paid {
    /// The payment's name in the journal.
    pub reference: Reference,
    /// How much.
    pub amount: Amount,
    /// To whom.
    pub payee: Party,
    /// The transaction; `None` if it was paid from a channel.
    pub transaction: Option<B256>,
    /// What the mandate leaves.
    pub left: Left,
}

/// A machine that buys.
pub struct Buyer {
    pub(crate) key: Key,
    pub(crate) mandates: Mandates,
    pub(crate) ledger: Ledger,
    pub(crate) chain: Settlement,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
    http: reqwest::Client,
    pub(crate) limits: BuyerLimits,
    /// Approvals of Permit2 by signature are numbered, so purchases that need one take turns.
    pub(crate) approving: Arc<Mutex<()>>,
    pub(crate) wallet: Wallet,
    /// Where what is paid stays this machine's own.
    pub(crate) market: Option<Party>,
}

/// A way to pay that this buyer takes.
struct Choice {
    terms: PaymentRequirements,
    amount: Amount,
    payee: Party,
    by: By,
    approval: Approval,
}

/// Why a purchase was not made from a channel.
enum NotFromChannel {
    /// Nothing was signed for it, so it may be paid in another way.
    Unsigned(BuyError),
    /// It came to nothing otherwise.
    Failed(BuyError),
}

/// What a buyer is made of.
#[derive(Clone)]
pub struct Parts {
    /// The machine's key.
    pub key: Key,
    /// The mandates of the home.
    pub mandates: Mandates,
    /// The books.
    pub ledger: Ledger,
    /// The chain that it pays on.
    pub chain: Settlement,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// 32 random bytes at each call: a payment's nonce.
    pub entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
    /// How it asks. To agents nothing goes where a redirect leads: this had better follow none.
    pub http: reqwest::Client,
    /// What bounds it.
    pub limits: BuyerLimits,
}

/// What came back from the seller.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The task that an agent made.
    pub(crate) task: Option<String>,
}

impl Buyer {
    /// A buyer of these parts.
    pub fn new(parts: Parts) -> Buyer {
        let Parts { key, mandates, ledger, chain, clock, entropy, http, limits } = parts;
        let approving = Arc::default();
        let wallet = Wallet::new(chain.token().chain_id);
        let market = None;
        Buyer {
            key,
            mandates,
            ledger,
            chain,
            clock,
            entropy,
            http,
            limits,
            approving,
            wallet,
            market,
        }
    }

    /// The same buyer, for whom what it pays to this market stays its own money there.
    pub fn with_market(self, market: Party) -> Buyer {
        Buyer { market: Some(market), ..self }
    }

    /// Who pays.
    pub fn party(&self) -> Party {
        self.key.party()
    }

    /// Asks a seller what a request costs, without paying. `None` if it is free.
    ///
    /// # Errors
    /// [`BuyError::Unreachable`], [`BuyError::Quote`], [`BuyError::AnswerTooLarge`].
    pub async fn quote(&self, purchase: &Purchase) -> Result<Option<PaymentRequired>, BuyError> {
        let answer = self.ask(purchase, None).await?;
        self.read_quote(purchase, &answer)
    }

    /// Buys: free answers come back as they are, priced ones are paid under the mandate.
    ///
    /// # Errors
    /// [`BuyError`], each saying what became of the money.
    pub async fn buy(&self, purchase: &Purchase) -> Result<Bought, BuyError> {
        self.buy_by(purchase, None).await
    }

    /// As [`Buyer::buy`], by one scheme and no other: `exact` or `batch-settlement`, for example.
    /// Without one it pays by the cheapest that it knows, and from a channel where that is worth
    /// it; see [`ChannelPolicy`].
    ///
    /// # Errors
    /// [`BuyError`], each saying what became of the money.
    pub async fn buy_by(
        &self,
        purchase: &Purchase,
        scheme: Option<&str>,
    ) -> Result<Bought, BuyError> {
        let first = self.ask(purchase, None).await?;
        let Some(quote) = self.read_quote(purchase, &first)? else {
            let Answer { status, headers, body, .. } = first;
            return Ok(Bought { status, headers, body, paid: None });
        };
        let of_task;
        let purchase = match &purchase.agent {
            None => purchase,
            Some(_) => {
                of_task = purchase.of_task(&first);
                &of_task
            }
        };
        let scheme = self.scheme_for(purchase, &quote, scheme)?;
        // An agent's tasks are not paid from channels.
        let offered = match &purchase.agent {
            None => self.channel_for(purchase, &quote, scheme)?,
            Some(_) => None,
        };
        if let Some(offered) = offered {
            self.below_maximum(purchase, offered.amount)?;
            match self.try_channel(purchase, &quote, offered).await {
                // Nothing was signed, and there is another way.
                Err(NotFromChannel::Unsigned(error))
                    if scheme.is_none() && self.choose(purchase, &quote, None).await.is_ok() =>
                {
                    tracing::info!(%error, "no payment channel can be used; this is paid at once");
                }
                Err(NotFromChannel::Unsigned(error) | NotFromChannel::Failed(error)) => {
                    return Err(error);
                }
                Ok(bought) => return Ok(bought),
            }
        }
        let choice = self.choose(purchase, &quote, scheme).await?;
        self.below_maximum(purchase, choice.amount)?;
        let _turn = match choice.approval {
            Approval::There => None,
            Approval::Along => Some(self.approving.lock().await),
        };
        let (mut order, held, salt) = self.hold(purchase, &quote, &choice).await?;
        let payment = match self.sign(&quote, choice, &mut order, &held, salt).await {
            Ok(payment) => payment,
            Err(error) => {
                // It never left, so the hold can go at once.
                if let Err(error) = self.mandates.release(held.spend().reference, Vec::new()).await
                {
                    tracing::error!(%error, "the hold of an unsigned payment stays for now");
                }
                return Err(error);
            }
        };
        self.pay(purchase, &payment, &order, &held).await
    }

    /// Buys from a channel if that can be done.
    async fn try_channel(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: Offered,
    ) -> Result<Bought, NotFromChannel> {
        if self.mandates.asks_about(self.party(), offered.amount) {
            return Err(NotFromChannel::Unsigned(self.asks_first(purchase, offered.amount)));
        }
        let begun = self.begin_in_channel(purchase, quote, &offered).await;
        let bought = match begun.map_err(NotFromChannel::Unsigned)? {
            Begun::Done(bought) => *bought,
            Begun::InHand(channel) => {
                self.buy_from_channel(purchase, quote, offered, channel).await
            }
        };
        bought.map_err(|error| match error {
            // It is asked for before anything is held or signed.
            BuyError::Mandate(MandateError::NeedsApproval { .. }) => {
                NotFromChannel::Unsigned(error)
            }
            error => NotFromChannel::Failed(error),
        })
    }

    fn below_maximum(&self, purchase: &Purchase, amount: Amount) -> Result<(), BuyError> {
        if let Some(max) = purchase.max
            // A maximum in another asset allows nothing of this one.
            && max.checked_cmp(amount).map_or(true, |order| order.is_lt())
        {
            return Err(MandateError::AboveMaximum { price: amount, max }.into());
        }
        Ok(())
    }

    pub(crate) async fn ask(
        &self,
        purchase: &Purchase,
        payment: Option<&PaymentPayload>,
    ) -> Result<Answer, BuyError> {
        if let Some(agent) = &purchase.agent {
            return self.ask_agent(purchase, agent, payment).await;
        }
        let mut request = self
            .http
            .request(purchase.method.clone(), purchase.url.clone())
            .body(purchase.body.clone());
        if let Some(media_type) = &purchase.media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        if let Some(payment) = payment {
            request = request.header(wire::PAYMENT_SIGNATURE, wire::encode(payment));
        }
        self.send(purchase, request).await
    }

    /// Sends a request of a purchase, and reads its answer.
    async fn send(
        &self,
        purchase: &Purchase,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, BuyError> {
        let response = self.open(purchase, request).await?;
        self.drain(purchase, response).await
    }

    /// Sends a request of a purchase: what begins to answer it.
    async fn open(
        &self,
        purchase: &Purchase,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, BuyError> {
        let url = shown(&purchase.url);
        let request = request.timeout(self.limits.request_wait);
        let response = request.send().await.map_err(|e| {
            let (url, cause) = (url.clone(), root_cause(&e));
            BuyError::Unreachable { url, cause }
        })?;
        if purchase.agent.is_some() && shown(response.url()) != url {
            let cause = "it leads elsewhere, and what is said to an agent goes to nobody else";
            return Err(BuyError::Agent { url, cause: cause.into() });
        }
        Ok(response)
    }

    /// All that answers a request, as far as it is read.
    async fn drain(
        &self,
        purchase: &Purchase,
        response: reqwest::Response,
    ) -> Result<Answer, BuyError> {
        let url = shown(&purchase.url);
        let unreachable = |cause: String| BuyError::Unreachable { url: url.clone(), cause };
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| unreachable(root_cause(&e)))?;
            if body.len() + chunk.len() > self.limits.max_answer {
                return Err(BuyError::AnswerTooLarge { url, max: self.limits.max_answer });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.into(), task: None })
    }

    pub(crate) fn read_quote(
        &self,
        purchase: &Purchase,
        answer: &Answer,
    ) -> Result<Option<PaymentRequired>, BuyError> {
        if answer.status != StatusCode::PAYMENT_REQUIRED {
            return Ok(None);
        }
        let url = shown(&purchase.url);
        match wire::decode::<PaymentRequired>(&answer.headers, wire::PAYMENT_REQUIRED) {
            Ok(Some(quote)) => Ok(Some(quote)),
            Ok(None) => Err(BuyError::NoWayToPay {
                url,
                cause: "it answers 402 without a quote of x402 version 2".into(),
            }),
            Err(cause) => Err(BuyError::Quote { url, cause }),
        }
    }

    /// The cheapest way to pay that this buyer knows and can take now; of equal ones that which
    /// moves nothing before the work, and then that which moves exactly the price.
    async fn choose(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        scheme: Option<&str>,
    ) -> Result<Choice, BuyError> {
        const MOST_WAYS: usize = 64;
        let mut why_not = String::from("it names no way to pay");
        let mut ways = Vec::new();
        let asked = |terms: &&PaymentRequirements| scheme.is_none_or(|name| terms.scheme == name);
        for terms in quote.accepts.iter().take(MOST_WAYS).filter(asked) {
            match self.payable(terms) {
                Ok((amount, payee, by)) => ways.push((amount.minor(), by, terms, amount, payee)),
                Err(cause) => why_not = cause,
            }
        }
        ways.sort_by_key(|(minor, by, terms, ..)| (*minor, trust(terms), *by));
        for (minor, by, terms, amount, payee) in ways {
            let most = U256::try_from(minor).expect("a price is positive");
            match self.approval(quote, terms, by, most).await {
                Ok(approval) => {
                    return Ok(Choice { terms: terms.clone(), amount, payee, by, approval });
                }
                Err(cause) => why_not = cause,
            }
        }
        Err(BuyError::NoWayToPay { url: shown(&purchase.url), cause: why_not })
    }

    pub(crate) fn payable(
        &self,
        terms: &PaymentRequirements,
    ) -> Result<(Amount, Party, By), String> {
        let by = By::of(terms)?;
        let in_token = matches!(by, By::Token | By::Escrow { .. });
        let (amount, payee) = self.acceptable(terms, in_token)?;
        if let By::Escrow { .. } = by {
            self.acceptable_escrow(terms)?;
        }
        Ok((amount, payee, by))
    }

    /// What terms of any scheme ask, if they ask for our money. With `in_token`, what will be
    /// signed is signed in the token's own domain, which they must tell.
    pub(crate) fn acceptable(
        &self,
        terms: &PaymentRequirements,
        in_token: bool,
    ) -> Result<(Amount, Party), String> {
        let token = self.chain.token();
        let network = wire::network(token.chain_id);
        let said = |text: &str| text.chars().take(80).collect::<String>();
        if terms.network != network {
            return Err(format!(
                "it wants money on {}, and this machine's is on {network}",
                said(&terms.network)
            ));
        }
        if terms.asset.parse::<Address>().ok() != Some(token.address) {
            return Err(format!(
                "it wants the token {}, and this machine has {}",
                said(&terms.asset),
                token.address
            ));
        }
        let extra = |key| terms.extra.as_ref().and_then(|e| e.get(key)).and_then(Value::as_str);
        // What goes through Permit2 is not signed in the token's domain, and need not tell it.
        let is_told = |key| in_token || terms.extra.as_ref().is_some_and(|e| e.contains_key(key));
        if (is_told("name") && extra("name") != Some(&token.name))
            || (is_told("version") && extra("version") != Some(&token.version))
        {
            return Err(format!(
                "it describes the token {} otherwise than the token itself; a signature for that would be worthless or stolen",
                token.asset
            ));
        }
        let minor = Some(&terms.amount)
            .filter(|a| a.len() <= 39 && a.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|a| a.parse::<i128>().ok())
            .filter(|a| *a > 0)
            .ok_or_else(|| format!("its price `{}` is no amount", said(&terms.amount)))?;
        let payee =
            terms.pay_to.parse::<Party>().map_err(|e| format!("its payee is no address: {e}"))?;
        if payee == self.party() {
            return Err("it would pay this machine itself".into());
        }
        if payee == Party::new([0; 20]) {
            return Err("it would pay nobody: the payee is the zero address".into());
        }
        if terms.max_timeout_seconds < SHORTEST_VALIDITY.as_secs() {
            return Err(format!(
                "it gives a payment {} seconds, too few to be settled",
                terms.max_timeout_seconds
            ));
        }
        Ok((Amount::from_minor(token.asset, minor), payee))
    }

    async fn hold(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        choice: &Choice,
    ) -> Result<(Order, Held, Option<B256>), BuyError> {
        let Choice { terms, amount, payee, by, .. } = choice;
        let (amount, payee) = (*amount, *payee);
        let now = self.clock.now();
        let validity =
            Duration::from_secs(terms.max_timeout_seconds).min(self.limits.longest_validity);
        let ends = now.as_secs() + validity.as_secs();
        // The chain's clock may be behind ours; the reference allows ten minutes too.
        let from = now.as_secs().saturating_sub(600);
        let value = U256::try_from(amount.minor()).expect("a price is positive");
        // The payment's number is made from the request, so that it can buy nothing else.
        let salt = B256::from((self.entropy)());
        let request = bound_to(purchase, quote, terms);
        let binds = binding::is_declared(quote) && purchase.agent.is_none();
        let nonce = match binds {
            true => binding::nonce(salt, request),
            false => binding::unmarked_nonce(salt, request),
        };
        let order = match self.permit(*by, payee.into(), value, nonce, from, ends) {
            _ if matches!(by, By::Escrow { .. }) => self.order_into_escrow(choice, nonce, ends)?,
            Some(permit) => Order::Permit(permit),
            None => Order::Authorization(SignedAuthorization {
                from: self.key.address(),
                to: payee.into(),
                value,
                valid_after: U256::from(from),
                valid_before: U256::from(ends),
                nonce,
                signature: Default::default(),
            }),
        };
        let token = self.chain.token();
        let reference = order.reference(token);
        let spend = Spend {
            machine: self.party(),
            payee,
            amount,
            reference,
            digest: asking::digest(purchase),
            order: order.signing_hash(token),
            until: order.ends_at().plus(self.limits.grace),
        };
        let before = self.mandates.left(self.party());
        let decision = json!({
            "url": shown(&purchase.url),
            "method": purchase.verb(),
            "bytes": purchase.body.len(),
            "amount": amount,
            "payee": payee,
            "scheme": terms.scheme,
            "max": purchase.max,
            "leftBefore": before,
            // With these anybody can check what was signed for.
            "binding": { "request": request, "salt": salt },
        });
        let evidence = vec![
            documents::json(reference, stage::QUOTE, quote),
            documents::json(reference, stage::DECISION, &decision),
        ];
        let held = match &order {
            Order::Escrow(_) => self.mandates.hold_escrow(spend.clone(), now, evidence).await,
            _ if self.market == Some(payee) => {
                self.mandates.hold_at_market(spend.clone(), now, evidence).await
            }
            _ => self.mandates.hold(spend.clone(), now, evidence).await,
        };
        let held = match held {
            Err(MandateError::NeedsApproval { .. }) => {
                return Err(self.ask_owner(purchase, quote, terms, &spend).await);
            }
            held => held?,
        };
        Ok((order, held, binds.then_some(salt)))
    }

    /// Signs, and keeps the signed payment before anybody else has it.
    async fn sign(
        &self,
        quote: &PaymentRequired,
        choice: Choice,
        order: &mut Order,
        held: &Held,
        salt: Option<B256>,
    ) -> Result<PaymentPayload, BuyError> {
        let mut extensions = None;
        match order {
            Order::Authorization(authorization) => {
                let token = self.chain.token();
                let (name, version) = (&token.name, &token.version);
                let domain = protocol::dollar_domain(name, version, token.chain_id, token.address);
                let unsigned = exact::order(authorization);
                let signature = self.key.sign_payment(held, &unsigned, &domain)?;
                authorization.signature = signature.as_bytes().to_vec().into();
            }
            Order::Escrow(escrow) => self.sign_escrow(&mut escrow.signed, held)?,
            Order::Permit(permit) => {
                self.sign_permit(permit, held)?;
                if choice.approval == Approval::Along {
                    let sign =
                        |approval: &_, domain: &_| self.key.sign_approval(held, approval, domain);
                    let (most, deadline) = (permit.most(), permit.deadline());
                    let along = self.approval_along(quote, most, deadline, sign).await?;
                    extensions = Some(along);
                }
            }
        }
        let payment = PaymentPayload {
            x402_version: wire::VERSION,
            resource: Some(quote.resource.clone()),
            accepted: choice.terms,
            payload: order.payload(),
            extensions: extensions::with(
                extensions::with(extensions::echo(quote, held.spend().reference), extensions),
                salt.map(|salt| binding::with_salt(quote, salt)),
            ),
        };
        let reference = held.spend().reference;
        let evidence = vec![documents::json(reference, stage::PAYMENT, &payment)];
        if let Outcome::Refused(refusal) = self.ledger.submit(Write::evidence(evidence)).await? {
            return Err(MandateError::Ledger(refusal.reason.to_string()).into());
        }
        // The bookkeeper lets go what stays unsigned for long; it may have been faster.
        let hold =
            self.ledger.read(|s| s.transfer(&books::purchase_id(reference)).map(|r| r.status));
        if hold != Some(Status::Held) {
            let cause = "the hold was let go before the payment was signed";
            return Err(MandateError::NotHeld { cause }.into());
        }
        Ok(payment)
    }

    /// Gets the answer for the one signed payment, and learns from the chain what became of it.
    async fn pay(
        &self,
        purchase: &Purchase,
        payment: &PaymentPayload,
        order: &Order,
        held: &Held,
    ) -> Result<Bought, BuyError> {
        let ends = order.ends_at();
        let mut answer = self.present(purchase, payment, ends).await;
        let delivered = answer.as_ref().is_ok_and(|a| a.status.is_success());
        let state = self.chain_says(order, delivered && !is_free(order, &answer)).await;
        if matches!(state, Ok(AuthorizationState::Used { .. })) && may_be_repeated(&answer) {
            // It is paid by now, so its answer is kept for us.
            answer = self.present(purchase, payment, ends).await;
        }
        self.keep_receipt(payment, &answer, held).await;
        self.conclude(purchase, answer, state, order, held).await
    }

    /// Keeps the seller's signed receipt, if it gave a good one.
    async fn keep_receipt(
        &self,
        payment: &PaymentPayload,
        answer: &Result<Answer, BuyError>,
        held: &Held,
    ) {
        let spend = held.spend();
        let told = answer.as_ref().ok().and_then(|a| receipt(&a.headers));
        let (Some(told), Some(resource)) = (told, &payment.resource) else { return };
        let payer = self.key.address();
        if extensions::receipt::verified(&told, &resource.url, payer, spend.payee.into()).is_none()
        {
            return;
        }
        let evidence = vec![documents::json(spend.reference, stage::RECEIPT, &told)];
        if let Err(error) = self.ledger.submit(Write::evidence(evidence)).await {
            tracing::error!(%error, "a receipt could not be kept");
        }
    }

    /// Sends the same signed payment until somebody answers it for good.
    async fn present(
        &self,
        purchase: &Purchase,
        payment: &PaymentPayload,
        ends: money::Timestamp,
    ) -> Result<Answer, BuyError> {
        let mut pause = Duration::from_millis(100);
        let mut attempt = 1;
        loop {
            let answer = self.ask(purchase, Some(payment)).await;
            let out_of_time = self.clock.now().plus(pause) >= ends;
            if !may_be_repeated(&answer) || attempt >= self.limits.attempts || out_of_time {
                return answer;
            }
            tracing::info!(url = %shown(&purchase.url), attempt, "the same payment is sent again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            attempt += 1;
        }
    }

    /// Decides by the chain, not by what the seller says, whether money moved.
    async fn conclude(
        &self,
        purchase: &Purchase,
        answer: Result<Answer, BuyError>,
        state: Result<AuthorizationState, SettlementError>,
        order: &Order,
        held: &Held,
    ) -> Result<Bought, BuyError> {
        let url = shown(&purchase.url);
        let spend = held.spend();
        let (reference, amount) = (spend.reference, spend.amount);
        let until = order.ends_at();
        let evidence: Vec<Evidence> = answer
            .as_ref()
            .ok()
            .map(|a| documents::json(reference, stage::ANSWER, &summary(a)))
            .into_iter()
            .collect();
        match (state, answer) {
            (Ok(AuthorizationState::Used { .. }), answer) if order.escrow().is_some() => {
                self.conclude_escrow(purchase, answer, order, held, evidence).await
            }
            (Ok(AuthorizationState::Used { transaction, value, .. }), answer) => {
                // No more can move than was signed, and no more was signed than is held.
                let moved = self.chain.amount(value).unwrap_or(amount);
                // What is paid for is delivered, whatever our books say; they are mended later.
                if let Err(error) = self.mandates.settle_part(reference, moved, evidence).await {
                    tracing::error!(%reference, %error, "a purchase was paid and could not be booked yet");
                }
                match answer {
                    Ok(answer) if answer.status.is_success() => {
                        let left = self
                            .mandates
                            .left(spend.machine)
                            .unwrap_or_else(|| held.left().clone());
                        let paid = Paid {
                            reference,
                            amount: moved,
                            payee: spend.payee,
                            transaction: Some(transaction),
                            left,
                        };
                        let Answer { status, headers, body, .. } = answer;
                        Ok(Bought { status, headers, body, paid: Some(paid) })
                    }
                    answer => {
                        let (status, cause) = blame(&answer);
                        Err(BuyError::PaidNotDelivered {
                            url,
                            status,
                            cause,
                            amount: moved,
                            transaction,
                            reference,
                        })
                    }
                }
            }
            // Cancelled: it can never be used.
            (Ok(AuthorizationState::Cancelled), answer) => {
                self.mandates.release(reference, evidence).await?;
                let (status, cause) = blame(&answer);
                Err(BuyError::NotDelivered { url, status, cause, amount, until: self.clock.now() })
            }
            // The seller charged nothing, or nothing yet. Until the payment ends it still can, so the
            // hold stays; the answer is ours.
            (Ok(AuthorizationState::Unused), answer)
                if order.is_metered() && answer.as_ref().is_ok_and(|a| a.status.is_success()) =>
            {
                if !evidence.is_empty() {
                    let _ = self.ledger.submit(Write::evidence(evidence)).await;
                }
                let Answer { status, headers, body, .. } = answer?;
                Ok(Bought { status, headers, body, paid: None })
            }
            (Ok(AuthorizationState::Unused), answer)
                if answer.as_ref().is_ok_and(|a| !a.status.is_success())
                    && !may_be_repeated(&answer) =>
            {
                let (status, cause) = blame(&answer);
                Err(BuyError::NotDelivered { url, status, cause, amount, until })
            }
            (Ok(AuthorizationState::Unused) | Err(_), _) => {
                Err(BuyError::Open { url, amount, until, reference })
            }
        }
    }

    /// After a delivery the money should have moved; a chain that lags is given a moment.
    async fn chain_says(
        &self,
        order: &Order,
        delivered: bool,
    ) -> Result<AuthorizationState, SettlementError> {
        let looks = if delivered { 6 } else { 1 };
        let mut pause = Duration::from_millis(50);
        let mut state = Ok(AuthorizationState::Unused);
        for look in 1..=looks {
            state = order.state(&self.chain).await;
            if matches!(state, Ok(AuthorizationState::Used { .. } | AuthorizationState::Cancelled))
                || look == looks
            {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        state
    }
}

/// What a purchase's payment is bound to; see [`crate::extensions::binding`].
pub(crate) fn bound_to(
    purchase: &Purchase,
    quote: &PaymentRequired,
    terms: &PaymentRequirements,
) -> B256 {
    binding::Bound {
        terms,
        resource: &quote.resource.url,
        method: purchase.verb(),
        path: purchase.url.path(),
        query: purchase.url.query().unwrap_or_default(),
        media_type: purchase.media_type.as_deref().unwrap_or_default().as_bytes(),
        body: purchase.content_digest(),
    }
    .digest()
}

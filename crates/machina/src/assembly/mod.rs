//! An economy, put together: chain, books, mandates, machines, and who watches over them.
//!
//! [`Assembly::open`] opens the floors in the order in which they need each other and brings a new
//! home to life (books, play money, the shopper's mandate). What an earlier run left unfinished is
//! resolved before anything else happens. [`server`] puts it on the network; [`Assembly::close`]
//! takes it down in the opposite order.

pub mod a2a;
pub mod agents;
mod carrier;
pub mod cast;
pub mod mcp;
mod measure;
mod metrics;
mod notary;
mod nowcast;
pub mod person;
pub mod publication;
pub mod server;

mod accounts;
mod api;
mod approvals;
mod capital;
mod channels;
mod hall;
mod hire;
mod market;
mod money_chain;
mod openai;
mod overrides;
mod quality;
mod reports;
mod retyping;
mod square;
mod stalls;
mod tasks;
mod vision;
mod work;
mod workplace;

use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use labour::VisionWorker;
use ledger::{Kind, Ledger};
use mandates::books::Line;
use mandates::{Key, Mandate, Mandates, Purpose, SignedMandate, Unasked};
use money::{Amount, Clock, Party, SystemClock};
use payments::buyer::Parts;
use payments::channel::wallet::ChannelPolicy;
use payments::channel::{Collect, TillLimits};
use payments::extensions::Doorman;
use payments::facilitator::Catalogue;
use payments::{
    AgentRequest, Bookkeeper, Buyer, BuyerLimits, EmbeddedFacilitator, Extras, Gate, GateChannels,
    GateParts, Mpp, Offer, Purchase, Watch,
};
use settlement::{SenderLimits, SendingKeys, Settlement};

use crate::cli::Place;
use crate::failure::Failure;
use crate::home::{self, Held};
use crate::report::{
    BooksAndChain, FundReport, MandateReport, PaidReport, PayOrder, PayReport, QuoteReport,
    ReputationReport, StallOrder, StallReport, WayReport,
};
use agents::Agents;
use carrier::Carrier;
use cast::Cast;
use market::Market;
pub use market::PaidBack;
use measure::Measure;
use metrics::Metrics;
use money_chain::{open_chain, wallet_makers};
use notary::Archive;
use square::Square;
use stalls::Stalls;
use workplace::{Seat, Workplace};

/// What one photograph costs, in whole dollars.
const PRICE: &str = "0.01";
/// What a new shopper gets on the embedded chain, in whole dollars.
const FIRST_MONEY: &str = "5";
/// After how many purchases from one seller the shopper opens a channel with it unasked.
const OPEN_AFTER: usize = 10;
/// How long a buyer who withdraws from a channel waits for the seller's claims.
const WITHDRAW_DELAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the last claims of an economy that closes may take.
const LAST_CLAIMS: Duration = Duration::from_secs(15);
/// How often books and chain are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// The largest sum that is given or allowed at once, in whole dollars: beyond it a zero too many is
/// likelier than a wish, and all sums in the books together must stay below 2¹²⁷ minor units.
const LARGEST_SUM: &str = "1000000000";

/// An economy that is open in this process.
pub struct Assembly {
    /// Nobody else may open the home while this is.
    _home: Held,
    place: Place,
    cast: Arc<Cast>,
    clock: Arc<dyn Clock>,
    node: Option<chain::Node>,
    chain: Settlement,
    mint: Option<Settlement>,
    ledger: Ledger,
    mandates: Mandates,
    buyer: Buyer,
    gate: Arc<Gate>,
    bookkeeper: Arc<Bookkeeper>,
    facilitator: Arc<EmbeddedFacilitator>,
    measure: Arc<Mutex<Measure>>,
    facts: Arc<Mutex<Facts>>,
    metrics: Arc<Metrics>,
    offer: Offer,
    vision: Option<Arc<VisionWorker>>,
    square: Arc<Square>,
    stalls: Arc<Stalls>,
    agents: Arc<Agents>,
    /// None where the asset cannot say prices so small.
    openai: Option<Arc<openai::Endpoints>>,
    market: Arc<Market>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// What the last look at the chain told.
#[derive(Debug, Clone)]
struct Facts {
    supply: Amount,
    /// What of it the issuer holds itself, where that is known: on the embedded chain.
    issuer: Option<Amount>,
    /// Books less chain, over all parties.
    difference: Amount,
    agree: BooksAndChain,
}

impl Assembly {
    /// Opens the economy of a home. With `vision`, its vision machine works.
    ///
    /// # Errors
    /// [`Failure`] that says which part could not be opened, and what to do.
    pub async fn open(
        home: Held,
        place: Place,
        vision: Option<Arc<VisionWorker>>,
    ) -> Result<Arc<Assembly>, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let makers = wallet_makers(&place)?;
        let cast = Arc::new(Cast::of(&home, place.sending_keys)?);
        let (node, endpoint, token) = open_chain(&home, &place, &cast).await?;
        let limits = SenderLimits { confirmations: place.confirmations, ..SenderLimits::default() };
        let connect = |keys: SendingKeys| {
            Settlement::connect(
                endpoint.clone(),
                place.chain_id.or(node.as_ref().map(chain::Node::chain_id)),
                token,
                keys,
                limits,
            )
        };
        let chain = connect(cast.senders()).await?;
        let mint = match &node {
            Some(_) => Some(connect(cast.mint.transaction_signer().into()).await?),
            None => None,
        };
        let registrar = match &node {
            Some(_) => Some(connect(cast.registrars()).await?),
            None => None,
        };
        let asset = chain.token().asset;

        let books = home.books_file(chain.token(), node.is_some());
        let catalogue_file = home.catalogue_file(&books);
        let market_file = home.market_file(&books);
        let ledger_clock = clock.clone();
        let ledger = tokio::task::spawn_blocking(move || Ledger::open(&books, ledger_clock))
            .await
            .map_err(Failure::new)??;
        let mandates = Mandates::open(ledger.clone(), &cast.booked())?;
        for party in cast.booked() {
            mandates.open_book(party, asset).await?;
        }
        let registry = cast.registry()?;

        let catalogue = {
            let registry = registry.clone();
            // What an owner's machines buy of one another proves nothing to others.
            let related = Arc::new(move |a: Party, b: Party| registry.same_owner(a, b));
            Arc::new(
                Catalogue::open(&catalogue_file, clock.clone(), related).map_err(Failure::new)?,
            )
        };
        let facilitator = EmbeddedFacilitator::new(chain.clone(), clock.clone())
            .with_receiver_authorizer(cast.facilitator.transaction_signer());
        let facilitator = Arc::new(
            facilitator
                .listing(catalogue)
                .with_factories(makers)
                .with_payees(cast.sellers().map(Key::address).collect()),
        );
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Failure::new)?;
        let metrics = Metrics::new(cast.sellers().map(Key::party).map(|seller| {
            [Line::Sales, Line::Cash, Line::Escrow].map(|line| line.of(seller, asset))
        }));
        let carrier = {
            let (own, sender, chain_id) =
                (facilitator.clone(), chain.sender(), chain.token().chain_id);
            Carrier::of(&place, own, sender, chain_id, http.clone()).await?
        };
        let classify = {
            let (registry, mandates) = (registry.clone(), mandates.clone());
            let seller = cast.vision.party();
            Arc::new(move |payer: Party| -> Kind {
                let purpose = match mandates.purpose(payer) {
                    Some(Purpose::Household) => economy::Purpose::Household,
                    Some(Purpose::Production) | None => economy::Purpose::Production,
                };
                registry.kind_of_purchase(payer, seller, purpose)
            })
        };
        let gate = Gate::new(GateParts {
            extras: Extras {
                mpp: Some(Mpp::new(cast.vision.secret_for("mpp"), Arc::new(home::entropy))),
                notaries: vec![Arc::new(cast.vision.clone()), Arc::new(cast.seller.clone())],
                doorman: Some(Arc::new(Doorman::new(Arc::new(home::entropy)))),
            },
            channels: Some(GateChannels {
                keys: vec![cast.vision.clone(), cast.seller.clone(), cast.market.clone()],
                limits: TillLimits::default(),
            }),
            ..GateParts::new(
                ledger.clone(),
                metrics.counting(carrier.facilitator()),
                chain.clone(),
                clock.clone(),
                classify,
            )
        });
        // The embedded chain begins with the home; any other was there before.
        let from_block = match &node {
            Some(_) => 0,
            None => payments::opening_block(&ledger, &chain, &cast.booked()).await?,
        };
        let bookkeeper = Arc::new(Bookkeeper::new(
            ledger.clone(),
            mandates.clone(),
            chain.clone(),
            clock.clone(),
            cast.booked(),
            from_block,
        ));
        let parts = Parts {
            key: cast.shopper.clone(),
            mandates: mandates.clone(),
            ledger: ledger.clone(),
            chain: chain.clone(),
            clock: clock.clone(),
            entropy: Arc::new(home::entropy),
            http,
            limits: BuyerLimits {
                channels: ChannelPolicy {
                    open_after: OPEN_AFTER,
                    lanes: place.lanes,
                    ..ChannelPolicy::default()
                },
                ..BuyerLimits::default()
            },
        };
        let keeper = cast.market.party();
        let buyers = move |key: &Key| {
            Buyer::new(Parts { key: key.clone(), ..parts.clone() }).with_market(keeper)
        };
        let buyer = buyers(&cast.shopper);
        let market = Market::open(
            &market_file,
            market::Parts {
                cast: cast.clone(),
                ledger: ledger.clone(),
                mandates: mandates.clone(),
                chain: chain.clone(),
                mint: mint.clone(),
                registrar: registrar.clone(),
                clock: clock.clone(),
                gate: gate.clone(),
                registry: registry.clone(),
                base: format!("http://localhost:{}", place.port),
                vision: vision.clone(),
                bookkeeper: bookkeeper.clone(),
                buyer: Box::new(buyers),
            },
        )
        .await?;
        let known = tasks::Known {
            market: market.party(),
            quality: quality::by_job(market.desk().clone()),
        };
        let measure = Measure::of(&ledger, registry.clone(), asset, known)?;
        let measure = Arc::new(Mutex::new(measure));
        let mut offer = vision::offer(
            format!("http://localhost:{}", place.port),
            Amount::parse(asset, PRICE)?,
            cast.vision.party(),
            chain.token().clone(),
        );
        offer.ways = carrier.fixed_price(&cast.vision);
        offer.extensions = payments::sponsoring::declaration();
        let facts = Arc::new(Mutex::new(Facts {
            supply: Amount::zero(asset),
            issuer: None,
            difference: Amount::zero(asset),
            agree: BooksAndChain { state: "unknown".into(), ..BooksAndChain::default() },
        }));
        let square = Square::new(square::Parts {
            cast: cast.clone(),
            ledger: ledger.clone(),
            mandates: mandates.clone(),
            chain: chain.clone(),
            measure: measure.clone(),
            facts: facts.clone(),
            offer: offer.clone(),
            working: vision.is_some(),
            workplace: Workplace::new(
                seats(vision.as_ref()),
                market.vacancies(),
                clock.clone(),
                measure.lock().expect("nothing panics under this lock").added_before(),
            ),
            archive: Archive::new(home.home()),
            clock: clock.clone(),
            market: market.clone(),
            opened_at: clock.now(),
        });

        let metered = carrier.by_use(&cast.seller);
        let base = format!("http://localhost:{}", place.port);
        let openai = openai::open(openai::Parts {
            base: base.clone(),
            payee: cast.seller.party(),
            token: chain.token().clone(),
            ways: metered
                .iter()
                .cloned()
                .chain([payments::Way::Authorization, payments::Way::Permit])
                .collect(),
            clock: clock.clone(),
            model: place.model.clone(),
        });
        if let Some(openai) = &openai {
            let (openai, runtime) = (openai.clone(), tokio::runtime::Handle::current());
            market.reads_meaning(Arc::new(move || runtime.block_on(openai.reader())));
        }
        let stalls = Arc::new(Stalls::new(
            gate.clone(),
            cast.seller.party(),
            chain.token().clone(),
            base,
            carrier.fixed_price(&cast.seller),
            metered,
        )?);

        let agents = Agents::new(agents::Parts {
            machines: {
                let (cast, market) = (cast.clone(), market.clone());
                let first = vision::known(&cast, &offer, vision.is_some());
                Box::new(move || {
                    first.iter().cloned().chain(market.known_machines(&cast)).collect()
                })
            },
            registrar,
            chain_id: chain.token().chain_id,
            port: place.port,
            clock: clock.clone(),
        })?;

        let assembly = Arc::new(Assembly {
            _home: home,
            place,
            cast,
            clock,
            node,
            chain,
            mint,
            ledger,
            mandates,
            buyer,
            gate,
            bookkeeper,
            facilitator,
            measure,
            facts,
            metrics,
            offer,
            vision,
            square,
            stalls,
            agents,
            openai,
            market,
            tasks: Mutex::default(),
        });
        assembly.resolve_leftovers().await?;
        assembly.bring_to_life().await?;
        // What the chain says now is not needed to open: a node that is away comes back.
        if let Err(failure) = assembly.compare(true).await {
            assembly.could_not_compare(failure);
        }
        Ok(assembly)
    }

    /// What an earlier run left unfinished: sales first, since purchases may wait for them.
    async fn resolve_leftovers(&self) -> Result<(), Failure> {
        let (resolved, open) = self.recover_sales().await;
        if resolved + open > 0 {
            tracing::warn!(resolved, open, "sales of an earlier run were left unfinished");
        }
        Ok(())
    }

    /// Resolves the sales of every seller here that were left held: how many, and how many stay.
    async fn recover_sales(&self) -> (usize, usize) {
        let (mut resolved, mut open) = (0, 0);
        for payee in self.cast.sellers().map(Key::party) {
            let (now, still) = self.gate.recover(payee).await;
            resolved += now;
            open += still;
        }
        (resolved, open)
    }

    /// Opens a stall, and has what stands behind it take jobs at the market if the order names a skill.
    ///
    /// # Errors
    /// If the order makes no sense, or the endpoint does not answer; then no stall is open.
    pub async fn open_stall(&self, order: &StallOrder) -> Result<StallReport, Failure> {
        let guest = market::Guest::of(order, self.chain.token().asset)?;
        let mut stall = self.stalls.open(order)?;
        if let Some(guest) = guest {
            stall.skill = order.skill.clone();
            if let Err(failure) = self.market.join(guest).await {
                let _ = self.stalls.close(&order.name);
                return Err(failure);
            }
        }
        Ok(stall)
    }

    /// Closes a stall. What stands behind it takes no more jobs, and ends those that it has.
    ///
    /// # Errors
    /// If none of that name is open.
    pub async fn close_stall(&self, name: &str) -> Result<StallReport, Failure> {
        let stall = self.stalls.close(name)?;
        self.market.leave(name).await;
        Ok(stall)
    }

    /// The labour market.
    pub fn market(&self) -> &Arc<Market> {
        &self.market
    }

    /// The shopper pays money in at the labour market, under its mandate.
    ///
    /// # Errors
    /// If it is refused; the message says what became of the money.
    pub async fn deposit(&self, amount: &str) -> Result<market::Deposited, Failure> {
        let amount = positive(self.chain.token().asset, amount)?;
        self.market.deposit(&self.buyer, amount).await
    }

    /// What checks have shown of a party, by name or address, or of all whose work was checked.
    ///
    /// # Errors
    /// If there is no such party, or the chain does not answer.
    pub async fn reputation(&self, party: Option<&str>) -> Result<Vec<ReputationReport>, Failure> {
        let parties = match party {
            Some(party) => vec![self.party(party)?],
            None => self.market.checked(),
        };
        let trusted: Vec<Party> = std::iter::once(&self.cast.shopper)
            .chain(&self.cast.checkers)
            .map(Key::party)
            .collect();
        let trust = self.market.trust(&trusted).await?;
        let mut reports = Vec::new();
        for party in parties {
            reports.push(ReputationReport {
                name: self.cast.name(party),
                party,
                trust_ppm: trust.get(&party).map(|share| (share * 1e6) as u32),
                skills: self.market.reputation(party).await?,
            });
        }
        Ok(reports)
    }

    /// A home's first money and mandate, once.
    async fn bring_to_life(&self) -> Result<(), Failure> {
        let shopper = self.cast.shopper.party();
        if self.mandates.of(shopper).is_some() {
            return Ok(());
        }
        // Real money is never allowed by a program: its owner runs `machina grant`.
        let Some(mint) = &self.mint else { return Ok(()) };
        let asset = self.chain.token().asset;
        if self.chain.balance(shopper).await?.is_zero() {
            mint.mint(shopper, Amount::parse(asset, FIRST_MONEY)?).await?;
        }
        let one = Amount::parse(asset, "1")?;
        let (machine, owner) = (self.cast.shopper.party(), &self.cast.ada);
        let each = Amount::parse(asset, "0.10")?;
        self.grant(
            machine,
            owner,
            Limits { lifetime: one, daily: one, per_payment: each, unasked: None, days: 30 },
        )
        .await?;
        Ok(())
    }

    /// Its owner grants a machine a mandate: Ada her shopper, for what she herself uses; the others what they work
    /// with.
    ///
    /// # Errors
    /// If the limits make no sense, or the books cannot be written.
    async fn grant(
        &self,
        machine: Party,
        owner: &Key,
        Limits { lifetime, daily, per_payment, unasked, days }: Limits,
    ) -> Result<MandateReport, Failure> {
        let now = self.clock.now();
        let is_household = machine == self.cast.shopper.party();
        let mandate = Mandate {
            machine,
            owner: owner.party(),
            per_payment,
            daily,
            lifetime,
            expires_at: now.plus(Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
            purpose: if is_household { Purpose::Household } else { Purpose::Production },
            serial: now.as_millis(),
            unasked,
        };
        self.mandates.grant(SignedMandate::sign(mandate, owner)?).await?;
        self.mandate_of(machine)
            .ok_or_else(|| Failure::new("the mandate was granted and is not in force"))
    }

    /// Reconciles books and chain and remembers what came of it.
    async fn compare(&self, at_rest: bool) -> Result<(), Failure> {
        let reconciled = self.bookkeeper.reconcile(at_rest).await?;
        let supply = self.chain.supply().await?;
        let issuer = match &self.mint {
            Some(_) => Some(self.chain.balance(self.cast.mint.party()).await?),
            None => None,
        };
        let mut difference = Amount::zero(supply.asset());
        for b in &reconciled.breaks {
            difference = difference.checked_add(b.books.checked_sub(b.chain)?)?;
        }
        let mut detail: Vec<String> = reconciled
            .breaks
            .iter()
            .map(|b| {
                format!(
                    "{}: the books say {}, the chain {}",
                    self.cast.name(b.party),
                    b.books,
                    b.chain
                )
            })
            .collect();
        detail.extend(self.market.difference());
        if !detail.is_empty() {
            tracing::error!(breaks = ?detail, "books and chain differ");
        }
        let (state, detail) = match (detail.is_empty(), reconciled.not_compared) {
            (false, _) => ("differ", detail),
            (true, 0) => ("equal", detail),
            // Nothing is said of what was not looked at.
            (true, left) => {
                let why = "channels or escrowed payments move in blocks that do not count yet";
                ("unknown", vec![format!("{left} {why}; what else there is agrees")])
            }
        };
        let mut facts = self.facts.lock().expect("nothing panics under this lock");
        *facts = Facts {
            supply,
            issuer,
            difference,
            agree: BooksAndChain { state: state.into(), block: reconciled.block, detail },
        };
        Ok(())
    }

    fn could_not_compare(&self, failure: Failure) {
        tracing::warn!(error = failure.message, "books and chain could not be compared");
        let mut facts = self.facts.lock().expect("nothing panics under this lock");
        facts.agree.state = "unknown".into();
        facts.agree.detail = vec![failure.message];
    }

    /// Keeps comparing, resolving and telling until the economy is closed.
    fn watch(self: &Arc<Self>) {
        let keeper = Arc::downgrade(self);
        let compare = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(COMPARE_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(assembly) = keeper.upgrade() else { return };
                assembly.recover_sales().await;
                assembly.gate.collect(Collect::Due).await;
                // What a seller left in escrow beyond its time comes back by itself.
                if let Err(error) = assembly.buyer.reclaim(SenderLimits::default()).await {
                    tracing::warn!(%error, "what lies in escrow could not be taken back");
                }
                if let Err(failure) = assembly.compare(false).await {
                    assembly.could_not_compare(failure);
                }
            }
        });
        let tell = self.square.follow();
        self.market.watch();
        let (market, agents) = (self.market.clone(), self.agents.clone());
        let announce = tokio::spawn(async move {
            market.awake().await;
            for counter in market.counters() {
                agents.host(&counter.machine, counter.agent, counter.router);
            }
            agents.announce();
        });
        let mut tasks = self.tasks.lock().expect("nothing panics under this lock");
        tasks.extend([compare, tell, announce, self.square.hall().follow(), self.agents.watch()]);
        tasks.extend(self.watch_hiring());
    }

    /// Takes the economy down: no more work, then the chain, then the books.
    pub async fn close(self: Arc<Self>) {
        self.square.close();
        let tasks =
            std::mem::take(&mut *self.tasks.lock().expect("nothing panics under this lock"));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        self.market.close().await;
        let collecting = self.gate.collect(Collect::All);
        if tokio::time::timeout(LAST_CLAIMS, collecting).await.is_err() {
            tracing::warn!(
                "not all vouchers could be claimed before the end; the next run goes on"
            );
        }
        if let Some(node) = self.node.clone() {
            node.close().await;
        }
        if let Err(error) = self.ledger.clone().close().await {
            tracing::warn!(%error, "the books did not close cleanly; they are whole all the same");
        }
    }

    fn with_measure<T>(&self, look: impl FnOnce(&Measure) -> T) -> T {
        look(&self.measure.lock().expect("nothing panics under this lock"))
    }

    /// Reads a party by name or address.
    fn party(&self, text: &str) -> Result<Party, Failure> {
        let known = self.cast.everyone();
        if let Some(party) = known.iter().find(|p| p.name.eq_ignore_ascii_case(text)) {
            return Ok(party.address);
        }
        Party::from_str(text).map_err(|e| {
            let names: Vec<_> = known.iter().map(|p| p.name.as_str()).collect();
            Failure::misuse(e).hint(format!("name an address, or one of {}", names.join(", ")))
        })
    }

    /// The shopper pays for a request.
    ///
    /// # Errors
    /// If the order makes no sense, or nothing was bought; the message says what became of the
    /// money.
    pub async fn pay(&self, order: PayOrder) -> Result<PayReport, Failure> {
        let scheme = order.scheme.clone();
        let purchase = self.found(self.purchase(order)?).await?;
        let bought = self.buyer.buy_by(&purchase, scheme.as_deref()).await?;
        Ok(PayReport {
            status: bought.status.as_u16(),
            media_type: bought
                .headers
                .get(http::header::CONTENT_TYPE)
                .and_then(|v| v.to_str().ok())
                .map(str::to_string),
            body: STANDARD.encode(&bought.body),
            paid: bought.paid.map(|paid| PaidReport {
                amount: paid.amount,
                payee: paid.payee,
                transaction: paid.transaction.map(|t| t.to_string()),
                reference: paid.reference.to_string(),
                mandate_left: paid.left.lifetime,
            }),
        })
    }

    /// Asks what a request costs, and pays nothing. What is free is done by asking.
    ///
    /// # Errors
    /// If nobody answers there, or the quote cannot be read.
    pub async fn quote(&self, order: PayOrder) -> Result<QuoteReport, Failure> {
        let purchase = self.found(self.purchase(PayOrder { max: None, ..order })?).await?;
        let Some(quote) = self.buyer.quote(&purchase).await? else {
            return Ok(QuoteReport { priced: false, description: None, ways: Vec::new() });
        };
        let token = self.chain.token();
        let network = payments::wire::network(token.chain_id);
        let ours = |way: &payments::wire::PaymentRequirements| {
            way.network == network
                && way.asset.parse::<Party>().is_ok_and(|asset| asset == Party::from(token.address))
        };
        let ways = quote.accepts.into_iter().map(|way| WayReport {
            price: ours(&way)
                .then(|| {
                    way.amount.parse().ok().map(|minor| Amount::from_minor(token.asset, minor))
                })
                .flatten(),
            scheme: way.scheme,
            network: way.network,
            asset: way.asset,
            amount: way.amount,
            pay_to: way.pay_to,
        });
        Ok(QuoteReport {
            priced: true,
            description: quote.resource.description,
            ways: ways.collect(),
        })
    }

    /// The same purchase, where its agent answers, and by a stream if it streams.
    async fn found(&self, mut purchase: Purchase) -> Result<Purchase, Failure> {
        let Some(agent) = &mut purchase.agent else { return Ok(purchase) };
        let found = self.buyer.find_agent(&purchase.url).await?;
        agent.streams = found.streams;
        if agent.streams {
            let name = found.name.unwrap_or_default();
            agent.watch =
                Some(Watch::new(move |news| tracing::info!(agent = name, ?news, "an agent tells")));
        }
        purchase.url = found.endpoint;
        Ok(purchase)
    }

    /// A purchase as the buyer takes it.
    fn purchase(&self, order: PayOrder) -> Result<Purchase, Failure> {
        let url = reqwest::Url::parse(&order.url)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some())
            .ok_or_else(|| {
                Failure::misuse(format!(
                    "`{}` is no web address",
                    order.url.chars().take(120).collect::<String>()
                ))
                .hint("write it whole, as in http://localhost:4020/m/vision/classify")
            })?;
        let method = http::Method::from_str(&order.method)
            .map_err(|_| Failure::misuse(format!("`{}` is no HTTP method", order.method)))?;
        let body =
            STANDARD.decode(&order.body).map_err(|_| Failure::misuse("the body is not base64"))?;
        let asset = self.chain.token().asset;
        let max = order.max.as_deref().map(|text| positive(asset, text)).transpose()?;
        let media_type = order.media_type;
        let agent =
            order.agent.map(|agent| AgentRequest { words: agent.words, ..AgentRequest::default() });
        Ok(Purchase { method, url, media_type, body: body.into(), max, agent })
    }

    /// Makes play dollars for somebody.
    ///
    /// # Errors
    /// On any chain but the embedded one; for an amount that is nothing, or absurd.
    pub async fn fund(&self, to: &str, amount: &str) -> Result<FundReport, Failure> {
        let Some(mint) = &self.mint else {
            return Err(Failure::new(format!(
                "chain {} is not the embedded one, so nobody here can make money on it",
                self.chain.token().chain_id
            ))
            .hint("send real money from a wallet; `machina info` shows the addresses"));
        };
        let to = self.party(to)?;
        let asset = self.chain.token().asset;
        let amount = at_most(positive(asset, amount)?, Amount::parse(asset, LARGEST_SUM)?)?;
        let receipt = mint.mint(to, amount).await?;
        self.compare(false).await?;
        let balance = self.chain.balance(to).await?;
        Ok(FundReport { to, amount, transaction: receipt.transaction.to_string(), balance })
    }

    /// Reads limits as people write them, and grants.
    ///
    /// # Errors
    /// As [`Assembly::grant`].
    pub async fn grant_text(&self, grant: &crate::cli::Grant) -> Result<MandateReport, Failure> {
        let asset = self.chain.token().asset;
        let most = Amount::parse(asset, LARGEST_SUM)?;
        let limit = |text: &str| positive(asset, text).and_then(|amount| at_most(amount, most));
        let lifetime = limit(&grant.lifetime)?;
        let daily = grant.daily.as_deref().map_or(Ok(lifetime), limit)?;
        let per_payment = limit(&grant.per_payment)?;
        let above = |text: Option<&str>, limit: Amount| -> Result<Amount, Failure> {
            let Some(text) = text else { return Ok(limit) };
            let amount = Amount::parse(asset, text).map_err(Failure::misuse)?;
            match amount.is_negative() {
                true => Err(Failure::misuse(format!("{amount} is less than nothing"))),
                // What is forbidden anyway needs no question.
                false => Ok(if amount.minor() < limit.minor() { amount } else { limit }),
            }
        };
        let (each, a_day) = (grant.ask_above.as_deref(), grant.ask_above_daily.as_deref());
        let unasked = match (each, a_day) {
            (None, None) => None,
            _ => Some(Unasked {
                per_payment: above(each, per_payment)?,
                daily: above(a_day, daily)?,
            }),
        };
        let shopper = self.cast.shopper.party();
        let machine = grant.machine.as_deref().map_or(Ok(shopper), |name| self.party(name))?;
        let owner = match machine == shopper {
            true => Some(&self.cast.ada),
            false => self.cast.owner_of(machine),
        };
        let owner = owner.ok_or_else(|| {
            let name = self.cast.name(machine);
            Failure::misuse(format!("{name} spends under no mandate"))
                .hint("name the shopper, or a machine that works at the labour market: foreman, vision, checker1")
        })?;
        let limits = Limits { lifetime, daily, per_payment, unasked, days: grant.days };
        self.grant(machine, owner, limits).await
    }
}

/// What a mandate allows.
struct Limits {
    lifetime: Amount,
    daily: Amount,
    per_payment: Amount,
    unasked: Option<Unasked>,
    days: u16,
}

/// Who works in this process.
fn seats(vision: Option<&Arc<VisionWorker>>) -> Vec<Seat> {
    let lanes = u32::try_from(labour::vision::LANES).unwrap_or(1);
    vision.map(|worker| Seat { worker: worker.clone(), lanes }).into_iter().collect()
}

fn positive(asset: money::Asset, text: &str) -> Result<Amount, Failure> {
    let amount = Amount::parse(asset, text).map_err(Failure::misuse)?;
    if amount.is_positive() {
        Ok(amount)
    } else {
        Err(Failure::misuse(format!("{amount} is not more than nothing")))
    }
}

fn at_most(amount: Amount, most: Amount) -> Result<Amount, Failure> {
    if amount.minor() <= most.minor() {
        Ok(amount)
    } else {
        Err(Failure::misuse(format!("{amount} is more than the {most} that are given at once")))
    }
}

//! The labour market of an economy: its desk, the money that it keeps, the books of who hires and
//! works, the machines of this home that work and check there, and its doors.
//!
//! Money comes in by an ordinary x402 payment to the market's own key and goes out by an order that
//! this key signs; between them the [`Desk`] says whose it is. What the desk moves is entered into
//! the books of those who have one here ([`bookings`]), from its journal, by names that follow from
//! it: whatever is interrupted is done again, and stands once.
//!
//! The market's machines begin to work when somebody first comes ([`Market::wake`]): an economy that
//! nobody hires in has nothing of theirs on its chain.

mod appeals;
mod bookings;
mod capital;
mod checkers;
mod clerk;
mod counters;
mod doors;
mod endpoint;
mod feedback;
mod guests;
mod heard;
pub mod labelling;
mod machines;
mod models;
mod money;
mod noticeboard;
mod payouts;
mod people;
mod search;
mod signature;
mod views;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ::market::desk::{Desk, Settings};
use ::market::{Job, OfferId, Outcome, Rules, Stage};
use ::money::{Amount, Clock, Party, Timestamp};
use economy::Registry;
use labour::VisionWorker;
use ledger::Ledger;
use mandates::Mandates;
use payments::payout::Cashier;
use payments::{Bookkeeper, Buyer, Gate};
use settlement::Settlement;
use tokio::sync::OnceCell;
use tokio::sync::broadcast::error::RecvError;

use super::agents::Known;
use super::cast::Cast;
use super::hire::Hires;
use super::workplace::Vacancies;
use crate::failure::Failure;
use machines::Workshop;

pub use counters::path as counter_path;
pub use guests::Guest;
pub use money::{Deposited, PaidBack};
pub use search::{By, Found, span};

/// How long bids come in, and are opened, in milliseconds: machines in this process answer within
/// some, those elsewhere within a few hundred.
const ROUND_MS: u64 = 400;
/// How long a verdict may be appealed against where it can be, in milliseconds: machines decide at once.
const APPEAL_MS: u64 = 5_000;
/// How long sealed reports may take to be opened, in milliseconds.
const REPORT_MS: u64 = 15_000;
/// How long entropy may take on a chain whose blocks are not made at once, in milliseconds.
const ENTROPY_ELSEWHERE_MS: u64 = 60_000;

/// How many composite jobs the foreman takes at a time: it answers for what it hires with its own money.
const FOREMAN_CAPACITY: u32 = 4;
/// What the foreman takes where it is hired at a posted price, in whole dollars.
const FOREMAN_PRICE: &str = "0.05";

/// What a market is made of.
pub struct Parts {
    /// Who lives here.
    pub cast: Arc<Cast>,
    /// The books.
    pub ledger: Ledger,
    /// Who may spend what.
    pub mandates: Mandates,
    /// The chain that money is on.
    pub chain: Settlement,
    /// Who makes play money, on the embedded chain.
    pub mint: Option<Settlement>,
    /// Who registers machines and says what checks have shown of them, on the embedded chain.
    pub registrar: Option<Settlement>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Behind which deposits are paid.
    pub gate: Arc<Gate>,
    /// Who is who in the national accounts.
    pub registry: Arc<Registry>,
    /// Where the economy is, without a slash at the end.
    pub base: String,
    /// The vision machine's model, if it is loaded.
    pub vision: Option<Arc<VisionWorker>>,
    /// Keeps books and chain equal.
    pub bookkeeper: Arc<Bookkeeper>,
    /// Makes a buyer for a machine of this home.
    pub buyer: Box<dyn Fn(&mandates::Key) -> Buyer + Send + Sync>,
}

/// A labour market that is open in this process.
pub struct Market {
    parts: Parts,
    desk: Desk,
    cashier: Cashier,
    turn: tokio::sync::Mutex<bookings::Turn>,
    woken: OnceCell<()>,
    workshop: OnceLock<Arc<Workshop>>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    bounds: doors::Bounds,
    heard: heard::Heard,
    /// The keys of those who have signed at the doors.
    keys: signature::Keys,
    board: noticeboard::Board,
    hires: Hires,
    /// When channels were last claimed because a payout was more than the market's cash.
    claimed_at: Mutex<Timestamp>,
    labels: labelling::Names,
    meanings: search::Meanings,
    speech: feedback::Speech,
    awake: tokio::sync::watch::Sender<bool>,
}

impl Market {
    /// Opens the market in this file, and makes it if there is none.
    ///
    /// # Errors
    /// If the file cannot be opened, or is damaged.
    pub async fn open(file: &Path, parts: Parts) -> Result<Arc<Market>, Failure> {
        let asset = parts.chain.token().asset;
        let standard = Rules::standard(asset, parts.cast.market.party());
        let rules = Rules {
            bid_ms: ROUND_MS,
            reveal_ms: ROUND_MS,
            report_ms: REPORT_MS,
            appeal_ms: APPEAL_MS,
            entropy_ms: match &parts.mint {
                Some(_) => standard.entropy_ms,
                None => ENTROPY_ELSEWHERE_MS,
            },
            ..standard
        };
        let (file, clock) = (file.to_owned(), parts.clock.clone());
        let settings = Settings { rules, books: true };
        let desk = tokio::task::spawn_blocking(move || Desk::open(&file, settings, clock))
            .await
            .map_err(Failure::new)?
            .map_err(Failure::new)?;
        let now = parts.clock.now();
        let cashier = Cashier::new(
            parts.cast.market.clone(),
            parts.mandates.clone(),
            parts.chain.clone(),
            parts.clock.clone(),
        );
        Ok(Arc::new(Market {
            heard: heard::Heard::new(parts.cast.booked(), parts.clock.now()),
            parts,
            desk,
            cashier,
            turn: tokio::sync::Mutex::default(),
            woken: OnceCell::new(),
            workshop: OnceLock::new(),
            tasks: Mutex::default(),
            bounds: doors::Bounds::default(),
            keys: signature::Keys::default(),
            board: noticeboard::Board::new(now),
            hires: Hires::default(),
            claimed_at: Mutex::default(),
            labels: labelling::Names::default(),
            meanings: search::Meanings::default(),
            speech: feedback::Speech::default(),
            awake: tokio::sync::watch::Sender::new(false),
        }))
    }

    /// The desk: for whoever hires, works or looks on within this process. Who calls it makes sure
    /// that an operation comes from the party that it names.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Where it stands which jobs wait for whom.
    pub fn board(&self) -> &noticeboard::Board {
        &self.board
    }

    /// Keeps the board with the desk.
    fn follow_work(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk.subscribe();
        let market = Arc::downgrade(self);
        // What was told before somebody followed says nothing.
        self.board.forget();
        tokio::spawn(async move {
            loop {
                let change = changes.recv().await;
                let Some(market) = market.upgrade() else { return };
                match change {
                    Ok(change) => {
                        let changed = market.desk.read(|state| {
                            let jobs = change.jobs.iter().filter_map(|job| state.job(*job));
                            jobs.map(noticeboard::Changed::of).collect()
                        });
                        market.board.tell(changed);
                    }
                    Err(RecvError::Lagged(_)) => market.board.forget(),
                    Err(RecvError::Closed) => return,
                }
            }
        })
    }

    /// What hires of this process share.
    pub fn hires(&self) -> &Hires {
        &self.hires
    }

    /// The model behind an offer of this home's machines, by name; none before they woke.
    pub fn model(&self, offer: OfferId) -> Option<String> {
        let workshop = self.workshop.get()?;
        let machine = workshop.machines.iter().find(|machine| machine.offer.id == offer);
        machine.map(|it| it.model.name.clone()).or_else(|| workshop.guests.model(offer))
    }

    /// What labels are called.
    pub fn labels(&self) -> &labelling::Names {
        &self.labels
    }

    /// Who examines hidden tests for clients of this home.
    pub fn examiners(&self) -> Vec<Party> {
        self.parts.cast.checkers.iter().map(mandates::Key::party).collect()
    }

    /// Items of known labels for a client to hide among its own ([`labelling::hidden`]).
    ///
    /// # Errors
    /// If so many could not be made.
    pub async fn hidden(
        self: &Arc<Self>,
        wanted: foreman::hiring::Labelling,
        secret: ::market::Digest,
        formats: Vec<labour::picture::Format>,
    ) -> Result<Vec<foreman::hiring::Hidden>, Failure> {
        let market = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || {
            let models = market.workshop.get().map_or(&[][..], |it| it.models(wanted.service));
            let workers = models.iter().map(|model| model.worker()).collect::<Result<Vec<_>, _>>();
            let workers = workers.map_err(Failure::new)?;
            let count = usize::try_from(wanted.hidden).unwrap_or_default();
            labelling::hidden(market.labels(), wanted.service, &workers, count, secret, &formats)
        });
        let made = made.await.map_err(Failure::new)??;
        if made.len() < usize::try_from(wanted.hidden).unwrap_or(usize::MAX) {
            return Err(Failure::new(format!(
                "{} items with known answers must be hidden among yours, and {} could be made here",
                wanted.hidden,
                made.len()
            ))
            .hint(
                "`machina models --fetch` fetches the sample photographs; or take --check exact",
            ));
        }
        Ok(made)
    }

    /// Who lives here: whose offers are believed before any of their work was seen.
    pub fn known(&self) -> foreman::pricing::Known {
        // What the seller's work comes from is not of this home: it is believed when it has been seen.
        let seller = self.parts.cast.seller.party();
        Arc::new(self.parts.cast.booked().into_iter().filter(|party| *party != seller).collect())
    }

    /// Counts the jobs for which nobody is hired yet, whenever it is asked.
    pub fn vacancies(self: &Arc<Self>) -> Vacancies {
        let market = Arc::clone(self);
        Arc::new(move || {
            let hiring = |job: &&Job| {
                matches!(job.stage, Stage::Bidding | Stage::Revealing | Stage::Choosing)
            };
            Some(market.desk.read(|state| state.under_way().filter(hiring).count()) as u64)
        })
    }

    /// The market's own party: where deposits are paid, and its treasury.
    pub fn party(&self) -> Party {
        self.parts.cast.market.party()
    }

    /// Keeps money, time and books going until the economy is closed. Machines that have worked
    /// here before go on.
    pub fn watch(self: &Arc<Self>) {
        let mut tasks = self.tasks.lock().expect("nothing panics under this lock");
        tasks.push(self.follow_deposits());
        tasks.push(self.follow_desk());
        tasks.push(self.follow_work());
        tasks.push(clerk::start(self));
        tasks.push(self.judge_people());
        tasks.push(self.pay_people());
        tasks.push(self.follow_receipts());
        if self.desk.read(|state| state.checkers() > 0) {
            let market = Arc::clone(self);
            tasks.push(tokio::spawn(async move {
                if let Err(failure) = market.wake().await {
                    tracing::warn!(error = failure.message, "the market's machines cannot work");
                }
            }));
        }
    }

    /// Has the machines of this home offer their work, and check that of others: with play money of
    /// their own on the embedded chain, and elsewhere with what they have at the market. Later calls
    /// wait for the first and do nothing.
    ///
    /// # Errors
    /// If their models or their money are not there; the next call tries again.
    pub async fn wake(self: &Arc<Self>) -> Result<(), Failure> {
        self.woken
            .get_or_try_init(|| async {
                let workshop = machines::open(self).await?;
                let _ = self.workshop.set(Arc::clone(&workshop));
                let foreman = self.foreman().await?;
                let mut tasks = self.tasks.lock().expect("nothing panics under this lock");
                tasks.push(workshop.start(self));
                if let Some(key) = self.parts.cast.machine("foreman") {
                    tasks.push(tokio::spawn(capital::follow(Arc::downgrade(self), key.clone())));
                }
                tasks.extend(foreman);
                self.awake.send_replace(true);
                Ok(())
            })
            .await
            .copied()
    }

    /// When a worker was last heard of, if it is not there now: its offers are in no list.
    pub fn silent_since(&self, worker: Party) -> Option<Timestamp> {
        self.heard.silent_since(worker, self.parts.clock.now())
    }

    /// Waits until the machines of this home have begun to work.
    pub async fn awake(&self) {
        // It cannot close: the sender is ours.
        let _ = self.awake.subscribe().wait_for(|awake| *awake).await;
    }

    /// The machines of this home that work or check at the market by now, as they are made known.
    pub fn known_machines(&self, cast: &Cast) -> Vec<Known> {
        let machines = cast.market_machines();
        self.desk.read(|state| {
            let known = machines.into_iter().filter_map(|(name, address, _)| {
                let offer = state.offers().find(|offer| offer.worker == address);
                let checks = state.holding(address).stake.is_positive();
                let (description, page, offers) = match offer {
                    Some(offer) => {
                        let skill = feedback::tag(offer.skill);
                        let does = foreman::Service::of(offer.skill)
                            .map_or_else(|| skill.clone(), |service| service.title().to_owned());
                        let told = format!(
                            "Takes jobs at the labour market: {does}, for {} and what a round makes of it. What it delivers is checked before it is paid.",
                            offer.price
                        );
                        (told, format!("/m/{name}"), format!("/market/offers?skill={skill}"))
                    }
                    None if checks => {
                        let told = "Checks the work of others at the labour market, with a stake of its own, when it is drawn by lot.";
                        (told.into(), "/market".into(), "/market/rules".into())
                    }
                    None => return None,
                };
                let sells = self.sells(&name);
                let guide = (!sells).then(|| {
                    let base = &self.parts.base;
                    format!("{description} GET {base}{offers} tells the terms, and GET {base}/market/rules who signs what.")
                });
                Some(Known { name, address, description, page, sells, tools: false, offers: Some(offers), guide })
            });
            known.collect()
        })
    }

    /// The foreman of this home, at work: its offer stands when this returns.
    async fn foreman(&self) -> Result<Option<tokio::task::JoinHandle<()>>, Failure> {
        let Some(key) = self.parts.cast.machine("foreman") else { return Ok(None) };
        let settings = foreman::agent::Settings {
            margin_bps: foreman::hiring::USUAL_MARGIN_BPS,
            capacity: FOREMAN_CAPACITY,
            posted: Amount::parse(self.parts.chain.token().asset, FOREMAN_PRICE)?,
            secret: key.secret_for("foreman"),
            known: self.known(),
        };
        let (desk, clock) = (self.desk.clone(), self.parts.clock.clone());
        let agent = foreman::agent::Agent::new(desk, key.party(), clock, settings);
        agent.publish().await.map_err(Failure::new)?;
        Ok(Some(tokio::spawn(agent.run())))
    }

    /// Ends what runs, and closes the desk.
    pub async fn close(&self) {
        let tasks =
            std::mem::take(&mut *self.tasks.lock().expect("nothing panics under this lock"));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        if let Err(error) = self.desk.clone().close().await {
            tracing::warn!(%error, "the market did not close cleanly; it is whole all the same");
        }
    }

    /// The routes.
    pub fn router(self: &Arc<Self>, token: &str) -> axum::Router {
        doors::router(self, token)
    }

    /// Submits, and takes a refusal for a failure.
    ///
    /// # Errors
    /// Why it was refused, or that the market cannot be written.
    pub async fn submit(&self, operation: ::market::Operation) -> Result<(), Failure> {
        match self.desk.submit(operation).await.map_err(Failure::new)? {
            Outcome::Applied | Outcome::Exists => Ok(()),
            Outcome::Refused(refusal) => Err(Failure::new(refusal)),
        }
    }
}

/// How often what should have come by itself is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

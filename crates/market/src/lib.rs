//! The labour market: offers and jobs, how prices are found, how work is checked, and what that
//! shows of those who work.
//!
//! The core knows who may do what to a job, when each of its stages ends by itself, what a check
//! says of given evidence, and where each unit of money goes. It knows no HTTP, no chain and no
//! model, reads no clock, draws no number, and never reads a text that parties write: briefs and
//! deliverables are digests here, so there is nothing in it that an offer's words could command.
//!
//! Start at [`State::apply`]: an [`Operation`] in, an [`Outcome`] out, and a list of [`Effect`]s, the
//! money that moved. Around it are pure functions: [`price`] clears rounds, [`checks`] judges and
//! chooses checks, [`reputation`] counts evidence. [`simulation`] plays whole markets against scripted
//! cheats, and makes the tables of `docs/checks.md`. [`desk`] is the core as a service: durable,
//! on time, with the documents that its digests stand for.
//!
//! # The way of a job
//!
//! ```text
//! Open ──fund──▶ Bidding ─▶ Revealing ─▶ Choosing ──clear──▶ Working ──submit──▶ …
//!                (posted prices go to Working at once; quotes are accepted out of Bidding)
//! … ─▶ Drawing ─▶ Checking ─▶ Reporting ─▶ Appealable ─▶ Completed | Rejected
//! … ─▶ Reporting (gold) …   … ─▶ Challengeable (optimistic) ─▶ Completed, or Drawing …
//! ```
//!
//! Each stage but `Open` has a deadline, and an ending for silence, so every funded job is over by
//! [`Job::ends_by`], whoever vanishes. Two panels that come to nothing end it without a verdict. An appeal
//! calls jurors in a larger panel, at most [`MAX_APPEALS`] times.
//!
//! # How an edge drives it
//!
//! - **Authenticate first.** An operation that names a party must come from it: by signature, by
//!   session, or because a chain's event says so.
//! - **Money.** Tell [`Operation::Deposit`] when money has come under the market's disposal (a ledger
//!   hold, an escrow contract, a channel), and make each [`Effect`] where the money really lies, in
//!   the same write as the operation. [`Movement`] says how; `docs/decisions/0017-deposits-and-effects.md`
//!   why. ERC-8183's `fund` is a deposit and [`Operation::Fund`]; its `complete`, `reject` and
//!   `claimRefund` are what the effects of the last operation come to.
//! - **Time.** Hand in the present with each operation, and an [`Operation::Tick`] at
//!   [`State::next_deadline`]. The journal keeps (moment, operation) of all that was applied, ticks too;
//!   the same list gives the same [`State::digest`].
//! - **Entropy.** Hand in 32 bytes for [`Operation::Clear`] and [`Operation::Draw`] that nobody could know
//!   when the bids or the work came in: a later block's hash, or a beacon. Who runs the market must not
//!   choose them.
//! - **Bytes.** Keep briefs and deliverables by their digest, and hand them to those who may see them:
//!   the brief to bidders and checkers, the deliverable to the client after the verdict. Labels too: the
//!   state forgets them when their job has ended.
//! - **Bounds.** One client's open jobs and the rate of operations are the edge's to bound.
//!
//! ```
//! use market::{Amount, Asset, Check, Digest, JobId, MoveId, Offer, OfferId, Operation, Outcome, Party, Pricing,
//!     Rules, Skill, State, Stage, Terms, Timestamp};
//!
//! let [treasury, ada, bob] = [1, 2, 3].map(|n| Party::new([n; 20]));
//! let musd = |minor| Amount::from_minor(Asset::MUSD, minor);
//! let mut market = State::new(Rules::standard(Asset::MUSD, treasury))?;
//! let mut effects = Vec::new();
//! let now = Timestamp::from_secs(1_000);
//! let (job, offer, skill) = (JobId::from_u128(1), OfferId::from_u128(1), Skill::derive(&[b"vision"]));
//! let terms = Terms {
//!     id: job, client: ada, parent: None, skill, brief: Digest::of(b"what is this?"), budget: musd(100), worth: musd(300),
//!     quality: 0, pricing: Pricing::Posted { offer }, check: Check::Optimistic { window_ms: 1_000, executors: 1 },
//!     audit: 1_000_000, checker_fee: musd(0), appeals: 0, stake: musd(2), deliver_by: Timestamp::from_secs(1_060), check_ms: 5_000,
//! };
//! for party in 10..14 {
//!     let party = Party::new([party; 20]);
//!     let id = MoveId::derive(&[party.as_bytes()]);
//!     for operation in [Operation::Deposit { id, party, amount: musd(10_000) }, Operation::Enlist { party, stake: musd(10_000) }] {
//!         assert_eq!(market.apply(now, &operation, &mut effects), Outcome::Applied);
//!     }
//! }
//! for operation in [
//!     Operation::Deposit { id: MoveId::from_u128(1), party: ada, amount: musd(100) },
//!     Operation::Deposit { id: MoveId::from_u128(2), party: bob, amount: musd(2) },
//!     Operation::Publish(Offer::standard(offer, bob, skill, musd(80))),
//!     Operation::Open(Box::new(terms)),
//!     Operation::Fund { job },
//!     Operation::Submit { job, by: bob, delivery: market::Delivery::Open(market::Report::Digest(Digest::of(b"a cat"))) },
//! ] {
//!     assert_eq!(market.apply(now, &operation, &mut effects), Outcome::Applied);
//! }
//! // Nobody challenges: after a second Bob has his price less the market's fee, and his stake, and Ada the rest.
//! let _ = market.apply(Timestamp::from_secs(1_001), &Operation::Tick, &mut effects);
//! assert_eq!(market.job(job).map(|job| job.stage), Some(Stage::Completed));
//! assert_eq!(market.holding(bob).free, musd(79 + 2));
//! assert_eq!(market.holding(ada).free, musd(20));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod checks;
pub mod desk;
mod entropy;
mod id;
mod job;
mod operation;
mod pool;
pub mod price;
pub mod reputation;
mod rules;
pub mod simulation;
mod state;
mod terms;

pub use checks::choose::Kind as CheckKind;
pub use entropy::Draws;
pub use id::{Digest, IdError, JobId, MoveId, OfferId, Skill};
pub use job::{Bid, BidState, Bond, Job, Panel, Seat};
pub use money::{Amount, Asset, Party, Timestamp};
pub use operation::{
    Effect, Movement, OfferLimit, Operation, Outcome, Pot, Refusal, Stage, TermsProblem,
};
pub use rules::{
    MAX_APPEALS, MAX_BIDS, MAX_BIDS_EVER, MAX_CHECKED_SKILLS, MAX_CHILDREN, MAX_CHOICES, MAX_DEPTH,
    MAX_DURATION_MS, MAX_LABELS, MAX_MINOR, MAX_OFFERS, MAX_SEATS, MILLION, Rules,
};
pub use state::{Holding, State};
pub use terms::{Check, Delivery, GoldKey, Offer, Pricing, Report, Terms, bid_commitment};

//! Machines that join by `machina sell --skill`: their work is done at an endpoint that somebody of this home
//! runs, and they take jobs by the seller's key, with its money, its stake and its record.
//!
//! Checkers here do work again with the models of this home, so bytes that another model gives pass none of
//! `exact`, `redundant`, `optimistic` and `juror`. A guest bids under these only if its owner says so; by itself it
//! bids for jobs of many labels, under `gold` and `peer`, where labels are compared and not bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ::market::{CheckKind, Offer, OfferId, Operation};
use ::money::{Amount, Asset};
use foreman::Service;
use foreman::labelling::MOST_ITEMS;

use super::Market;
use super::capital::capital;
use super::endpoint::Endpoint;
use super::machines::{Machine, machine_of};
use super::models::Model;
use crate::failure::Failure;
use crate::report::StallOrder;

/// What joins, as it was ordered.
pub struct Guest {
    name: String,
    service: Service,
    price: Amount,
    checks: BTreeSet<CheckKind>,
    endpoint: Endpoint,
}

/// The kinds of work that an endpoint may do.
const SKILLS: [Service; 4] = [Service::Classify, Service::FileKind, Service::Read, Service::Write];
/// How many guests there are at most, with those that leave.
const MOST_GUESTS: usize = 64;
/// The checks by their names, and whether they are of labels.
const CHECKS: [(&str, CheckKind, bool); 6] = [
    ("gold", CheckKind::Gold, true),
    ("peer", CheckKind::Peer, true),
    ("exact", CheckKind::Exact, false),
    ("redundant", CheckKind::Redundant, false),
    ("optimistic", CheckKind::Optimistic, false),
    ("juror", CheckKind::Juror, false),
];

impl Guest {
    /// What an order has join; none if it names no skill.
    ///
    /// # Errors
    /// If it cannot be done so: which words are wrong, and what would do.
    pub fn of(order: &StallOrder, asset: Asset) -> Result<Option<Guest>, Failure> {
        let Some(skill) = &order.skill else { return Ok(None) };
        let service = SKILLS.into_iter().find(|service| service.name() == skill);
        let Some(service) = service else {
            let skills = SKILLS.map(Service::name).join(", ");
            return Err(Failure::misuse("this is no skill of which an endpoint can take jobs")
                .hint(format!("take one of {skills}")));
        };
        let price = order.price.as_deref().filter(|_| order.per == "request");
        let Some(price) = price else {
            return Err(Failure::misuse("jobs are paid by the piece")
                .hint("give `--price AMOUNT`, without `--per`"));
        };
        let price = Amount::parse(asset, price)?;
        if !price.is_positive() {
            return Err(Failure::misuse("a job costs more than nothing"));
        }
        let mut checks = BTreeSet::new();
        for name in &order.checks {
            let known = CHECKS.iter().find(|(known, ..)| known == name);
            let Some((_, kind, _)) = known else {
                let names = CHECKS.map(|(name, ..)| name).join(", ");
                return Err(Failure::misuse("there is no such check")
                    .hint(format!("take one or more of {names}")));
            };
            checks.insert(*kind);
        }
        if checks.is_empty() {
            checks.extend([CheckKind::Gold, CheckKind::Peer]);
        }
        let suits = |(_, kind, labels): &(_, CheckKind, bool)| {
            checks.contains(kind) && (!labels || service.of_many().is_some())
        };
        if !CHECKS.iter().any(suits) {
            return Err(Failure::misuse(format!(
                "no check that needs no equal bytes suits {skill}: it gives no labels"
            ))
            .hint("if it gives byte for byte what the machine of this home gives, say so with `--check exact`"));
        }
        let model = order.model.clone();
        let endpoint = Endpoint::new(&order.to, &order.headers, service, model);
        let endpoint = endpoint.map_err(Failure::misuse)?;
        Ok(Some(Guest { name: order.name.clone(), service, price, checks, endpoint }))
    }
}

/// The guests of a market, each by the name of its stall.
#[derive(Default)]
pub struct Guests(Mutex<Vec<(String, Arc<Machine>)>>);

impl Guests {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<(String, Arc<Machine>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, with those that leave and have jobs to end.
    pub fn at_work(&self) -> Vec<Arc<Machine>> {
        self.all().iter().map(|(_, machine)| Arc::clone(machine)).collect()
    }

    /// What does the work of an offer.
    pub fn model(&self, offer: OfferId) -> Option<String> {
        let all = self.all();
        let machine = all.iter().find(|(_, machine)| machine.offer.id == offer);
        machine.map(|(_, machine)| machine.model.name.clone())
    }
}

impl Market {
    /// Has a guest take jobs from now on: its offers stand when this returns.
    ///
    /// # Errors
    /// If its endpoint does not answer, it has no money for its stakes, or one like it is there.
    pub async fn join(self: &Arc<Self>, guest: Guest) -> Result<(), Failure> {
        guest.endpoint.answers().await.map_err(|error| {
            Failure::new(format!("nothing answers at the endpoint: {error}"))
                .hint("start it first, and look whether `--to` is its address")
        })?;
        self.wake().await?;
        let workshop = self.workshop.get().ok_or_else(|| Failure::new("the market is asleep"))?;
        let Guest { name, service, price, checks, endpoint } = guest;
        let key = &self.parts.cast.seller;
        capital(self, key).await?;
        let model = Arc::new(Model::elsewhere(endpoint));
        let asset = price.asset();
        let all = price.minor().checked_mul(MOST_ITEMS as i128);
        let all = all.ok_or_else(|| Failure::misuse("no job can cost that much"))?;
        let of_many = service.of_many().map(|many| (many, Amount::from_minor(asset, all)));
        let mut joins = Vec::new();
        for (service, price) in [(service, price)].into_iter().chain(of_many) {
            let gives_labels = service.of_one().is_some();
            let suits = CHECKS
                .iter()
                .filter(|(_, kind, labels)| *labels == gives_labels && checks.contains(kind));
            let checks: BTreeSet<CheckKind> = suits.map(|(_, kind, _)| *kind).collect();
            if checks.is_empty() {
                continue;
            }
            let machine = machine_of(key, service, price, &model);
            // A name of this time's own: an offer that was taken back stays so.
            let id = OfferId::derive(&[key.party().as_bytes(), &crate::home::entropy()]);
            let offered = machine.offer.checks.intersection(&checks).copied().collect();
            let offer = Offer { id, checks: offered, ..machine.offer };
            joins.push(Arc::new(Machine { offer, checks, ..machine }));
        }
        {
            let mut guests = workshop.guests.all();
            let is_done = |machine: &Machine| {
                machine.leaves() && self.desk.read(|state| state.busy(machine.offer.id)) == 0
            };
            guests.retain(|(_, machine)| !is_done(machine));
            // A record is of one key and one skill: it must tell of one worker.
            let is_there = guests.iter().any(|(_, machine)| {
                !machine.leaves() && joins.iter().any(|new| new.offer.skill == machine.offer.skill)
            });
            if is_there {
                return Err(Failure::new("the seller takes jobs of this skill already")
                    .hint("close the other first: a record tells of one worker"));
            }
            if guests.len() + joins.len() > MOST_GUESTS {
                return Err(Failure::new("too many that left still have jobs to end"));
            }
            guests.extend(joins.iter().map(|machine| (name.clone(), Arc::clone(machine))));
        }
        for machine in &joins {
            if let Err(failure) = self.submit(Operation::Publish(machine.offer.clone())).await {
                self.leave(&name).await;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Has the guests of a stall take nothing on any more; what they have in hand they end.
    pub async fn leave(&self, name: &str) {
        let Some(workshop) = self.workshop.get() else { return };
        let leaving: Vec<Arc<Machine>> = {
            let guests = workshop.guests.all();
            let of_it = guests.iter().filter(|(stall, machine)| stall == name && !machine.leaves());
            of_it.map(|(_, machine)| Arc::clone(machine)).collect()
        };
        for machine in leaving {
            if let Some(endpoint) = &machine.model.endpoint {
                endpoint.leave();
            }
            let (offer, by) = (machine.offer.id, machine.offer.worker);
            if let Err(failure) = self.submit(Operation::Retire { offer, by }).await {
                tracing::warn!(error = failure.message, %offer, "an offer could not be taken back");
            }
        }
    }
}

/// Takes back the offers of guests of an earlier run.
///
/// # Errors
/// If the market cannot be written.
pub async fn retire_all(market: &Market) -> Result<(), Failure> {
    let by = market.parts.cast.seller.party();
    let offers: Vec<OfferId> = market.desk.read(|state| {
        let offers = state.offers().filter(|offer| offer.worker == by);
        offers.map(|offer| offer.id).collect()
    });
    for offer in offers {
        market.submit(Operation::Retire { offer, by }).await?;
    }
    Ok(())
}

impl Machine {
    /// Whether its endpoint takes nothing on any more.
    fn leaves(&self) -> bool {
        self.model.endpoint.as_ref().is_some_and(|endpoint| endpoint.leaves())
    }
}

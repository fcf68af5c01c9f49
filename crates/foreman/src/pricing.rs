//! What each service costs now, by the offers of those who can be believed.
//!
//! An offer costs nothing, so one that is cheap and never works would make every budget too small to hire
//! anybody else. Counted are the machines that one knows, and where none of them sells a service, whoever
//! has done such work before, has the money for its stake and is not busy. Others still bid in each round,
//! and win it if they are better.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use market::desk::Desk;
use market::{Offer, Party, Skill, State};

use crate::budget::Prices;
use crate::service::Service;

/// The parties that one knows to work: the machines of one's own home.
pub type Known = Arc<BTreeSet<Party>>;

/// What each service costs at the cheapest offer that counts and is not this party's own.
pub(crate) fn prices(desk: &Desk, services: &[Service], known: &Known, but: Party) -> Prices {
    let wanted: BTreeMap<Skill, Service> = services.iter().map(|s| (s.skill(), *s)).collect();
    let mut found: BTreeMap<Service, (bool, i128)> = BTreeMap::new();
    desk.read(|state| {
        for offer in state.offers().filter(|offer| offer.worker != but) {
            let Some(service) = wanted.get(&offer.skill) else { continue };
            let is_stranger = !known.contains(&offer.worker);
            let rank = (is_stranger, offer.price.minor());
            let is_better = found.get(service).is_none_or(|best| rank < *best);
            if is_better && (!is_stranger || has_proven_itself(state, offer)) {
                found.insert(*service, rank);
            }
        }
    });
    found.into_iter().map(|(service, (_, price))| (service, price)).collect()
}

fn has_proven_itself(state: &State, offer: &Offer) -> bool {
    state.holding(offer.worker).free.minor() >= offer.price.minor()
        && state.busy(offer.id) < offer.capacity
        && state.record(offer.worker, offer.skill).passed > 0
}

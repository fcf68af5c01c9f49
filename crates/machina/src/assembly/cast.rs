//! Who lives in a home: two people, the machines that they own, and two services.
//!
//! Ada owns the shopper, which buys for her; Grace owns the vision machine, which sells, and the
//! seller, which sells what runs elsewhere, and the machines that take jobs at the labour market;
//! Barbara owns those that check there, so that nobody's own machines judge its work. The mint
//! makes play dollars on the embedded chain, the facilitator carries payments there, and the market
//! keeps what is paid in there. Each has a key of its own: a machine never holds its owner's.

use std::sync::Arc;

use economy::{Registry, Sector, Unit};
use mandates::Key;
use money::Party;
use settlement::SendingKeys;

use crate::failure::Failure;
use crate::home::Held;
use crate::report::PartyInfo;

/// The keys of a home.
pub struct Cast {
    /// Owns the shopper.
    pub ada: Key,
    /// Buys, under Ada's mandate.
    pub shopper: Key,
    /// Owns the vision machine.
    pub grace: Key,
    /// Sells the classification of photographs.
    pub vision: Key,
    /// Sells what `machina sell` puts behind the gate.
    pub seller: Key,
    /// Keeps the labour market's money.
    pub market: Key,
    /// Machines of Grace's that take jobs at the market, by name; the vision machine does, too.
    pub workers: Vec<(&'static str, Key)>,
    /// Owns the checkers.
    pub barbara: Key,
    /// Check at the market what others have done.
    pub checkers: Vec<Key>,
    /// Makes play dollars.
    pub mint: Key,
    /// Carries payments to the chain.
    pub facilitator: Key,
    /// More keys that the facilitator sends with, so that one that sticks keeps nobody waiting.
    pub more_senders: Vec<Key>,
}

impl Cast {
    /// Reads the keys of a home, making those that are missing; the facilitator has so many.
    ///
    /// # Errors
    /// If a key file cannot be read or written.
    pub fn of(home: &Held, sending_keys: u8) -> Result<Cast, Failure> {
        let more = (2..=sending_keys).map(|number| home.key(&sender_name(number)));
        Ok(Cast {
            ada: home.key("ada")?,
            shopper: home.key("shopper")?,
            grace: home.key("grace")?,
            vision: home.key("vision")?,
            seller: home.key("seller")?,
            market: home.key("market")?,
            workers: WORKERS
                .into_iter()
                .map(|name| Ok((name, home.key(name)?)))
                .collect::<Result<_, Failure>>()?,
            barbara: home.key("barbara")?,
            checkers: (1..=CHECKERS)
                .map(|number| home.key(&checker_name(number)))
                .collect::<Result<_, _>>()?,
            mint: home.key("mint")?,
            facilitator: home.key("facilitator")?,
            more_senders: more.collect::<Result<_, _>>()?,
        })
    }

    /// Whose books are kept here: people and machines, and the market.
    pub fn booked(&self) -> Vec<Party> {
        let first = [&self.ada, &self.shopper, &self.grace, &self.vision, &self.seller];
        first.into_iter().map(Key::party).chain(self.at_market()).collect()
    }

    /// Those who live by the labour market alone.
    pub fn at_market(&self) -> Vec<Party> {
        let machines = self.workers.iter().map(|(_, key)| key).chain(&self.checkers);
        machines.chain([&self.barbara, &self.market]).map(Key::party).collect()
    }

    /// The key of a machine that works, by name.
    pub fn machine(&self, name: &str) -> Option<&Key> {
        let worker = self.workers.iter().find(|(worker, _)| *worker == name).map(|(_, key)| key);
        worker.or_else(|| Some(&self.vision).filter(|_| name == "vision"))
    }

    /// The machines that only the labour market sees: each with its owner's name.
    pub fn market_machines(&self) -> Vec<(String, Party, &'static str)> {
        let workers =
            self.workers.iter().map(|(name, key)| ((*name).to_owned(), key.party(), "grace"));
        let checkers = (1..).zip(&self.checkers);
        let checkers = checkers.map(|(n, key)| (checker_name(n), key.party(), "barbara"));
        workers.chain(checkers).collect()
    }

    /// Who owns a machine that works or checks at the market.
    pub fn owner_of(&self, machine: Party) -> Option<&Key> {
        let is = |key: &Key| key.party() == machine;
        if self.checkers.iter().any(is) {
            return Some(&self.barbara);
        }
        let works =
            is(&self.vision) || is(&self.seller) || self.workers.iter().any(|(_, key)| is(key));
        works.then_some(&self.grace)
    }

    /// Everyone, as they are told to people and programs.
    pub fn everyone(&self) -> Vec<PartyInfo> {
        let one = |name: &str, key: &Key, role: &str, owner: Option<&str>| PartyInfo {
            name: name.into(),
            address: key.party(),
            role: role.into(),
            owner: owner.map(str::to_string),
        };
        let mut all = vec![
            one("ada", &self.ada, "person", None),
            one("shopper", &self.shopper, "machine", Some("ada")),
            one("grace", &self.grace, "person", None),
            one("vision", &self.vision, "machine", Some("grace")),
            one("seller", &self.seller, "machine", Some("grace")),
            one("facilitator", &self.facilitator, "service", None),
            one("mint", &self.mint, "service", None),
        ];
        let workers = self.workers.iter();
        all.extend(workers.map(|(name, key)| one(name, key, "machine", Some("grace"))));
        all.push(one("barbara", &self.barbara, "person", None));
        let checkers = (1..).zip(&self.checkers);
        all.extend(
            checkers
                .map(|(number, key)| one(&checker_name(number), key, "machine", Some("barbara"))),
        );
        all.push(one("market", &self.market, "service", None));
        let more = (2..).zip(&self.more_senders);
        all.extend(more.map(|(number, key)| one(&sender_name(number), key, "service", None)));
        all
    }

    /// What a party is called here; strangers by their address, shortened.
    pub fn name(&self, party: Party) -> String {
        self.everyone()
            .into_iter()
            .find(|p| p.address == party)
            .map_or_else(|| party.short(), |p| p.name)
    }

    /// Everyone to whom somebody may pay at a counter here.
    pub fn sellers(&self) -> impl Iterator<Item = &Key> {
        let first = [&self.vision, &self.seller, &self.market].into_iter();
        first.chain(self.workers.iter().map(|(_, key)| key))
    }

    /// The keys that the facilitator sends with.
    pub fn senders(&self) -> SendingKeys {
        let more = self.more_senders.iter().map(Key::transaction_signer);
        SendingKeys::pool(self.facilitator.transaction_signer(), more)
    }

    /// The machines' keys, with which each registers itself, and the market's, which says what checks
    /// have shown of them.
    pub fn registrars(&self) -> SendingKeys {
        let first = [&self.seller, &self.shopper, &self.market].into_iter();
        let others = first.chain(self.workers.iter().map(|(_, key)| key)).chain(&self.checkers);
        SendingKeys::pool(self.vision.transaction_signer(), others.map(Key::transaction_signer))
    }

    /// The economy's boundary: everyone else is the rest of the world.
    ///
    /// # Errors
    /// If the keys were exchanged so that somebody would own themselves.
    pub fn registry(&self) -> Result<Arc<Registry>, Failure> {
        let mut registry = Registry::new();
        registry.insert(Unit::household(self.ada.party(), "ada"))?;
        registry.insert(Unit::household(self.grace.party(), "grace"))?;
        let application = Sector::Application;
        registry.insert(Unit::machine(
            self.shopper.party(),
            "shopper",
            self.ada.party(),
            application,
        ))?;
        for (key, name) in [(&self.vision, "vision"), (&self.seller, "seller")] {
            let owner = self.grace.party();
            registry.insert(Unit::machine(key.party(), name, owner, application))?;
        }
        for (name, key) in &self.workers {
            let owner = self.grace.party();
            registry.insert(Unit::machine(key.party(), *name, owner, application))?;
        }
        registry.insert(Unit::household(self.barbara.party(), "barbara"))?;
        for (number, key) in (1..).zip(&self.checkers) {
            let (name, owner) = (checker_name(number), self.barbara.party());
            registry.insert(Unit::machine(key.party(), name, owner, application))?;
        }
        registry.insert(Unit::firm(self.market.party(), "market", Sector::Network))?;
        Ok(Arc::new(registry))
    }
}

/// Machines that take jobs at the market. Their names are words: they stand in addresses.
const WORKERS: [&str; 7] = ["lite1", "lite2", "filekind", "reader", "writer", "meaning", "foreman"];

/// How many machines check: a panel of three is drawn of those who have no part in a job.
const CHECKERS: u8 = 5;

/// What a checker is called.
fn checker_name(number: u8) -> String {
    format!("checker{number}")
}

/// What the facilitator's keys after the first are called.
fn sender_name(number: u8) -> String {
    format!("facilitator-{number}")
}

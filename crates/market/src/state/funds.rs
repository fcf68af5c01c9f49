//! Deposits, withdrawals, and the stakes of checkers.

use std::collections::BTreeSet;

use money::{Amount, Party};

use super::{Decision, State, Step};
use crate::id::{MoveId, Skill};
use crate::operation::{Movement, Pot, Refusal};
use crate::rules::{MAX_CHECKED_SKILLS, MAX_MINOR};

impl State {
    pub(super) fn deposit(&mut self, id: MoveId, party: Party, amount: Amount) -> Decision {
        let minor = self.positive(amount)?;
        if self.move_exists(id, party, minor)? {
            return Ok(Step::Existed);
        }
        if self.deposited + minor > MAX_MINOR {
            return Err(Refusal::AmountTooLarge { amount });
        }
        let place = self.place(party);
        self.holders[place].free += minor;
        self.holders[place].paid_in += minor;
        self.deposited += minor;
        self.moves.insert(id, (place, minor));
        Ok(Step::Done)
    }

    pub(super) fn withdraw(&mut self, id: MoveId, party: Party, amount: Amount) -> Decision {
        let minor = self.positive(amount)?;
        if self.move_exists(id, party, -minor)? {
            return Ok(Step::Existed);
        }
        self.afford(party, minor)?;
        let place = self.place(party);
        self.holders[place].free -= minor;
        self.holders[place].paid_in -= minor;
        self.deposited -= minor;
        self.moves.insert(id, (place, -minor));
        Ok(Step::Done)
    }

    fn move_exists(&self, id: MoveId, party: Party, minor: i128) -> Result<bool, Refusal> {
        match self.moves.get(&id) {
            None => Ok(false),
            Some(&(place, stored)) if stored == minor && self.holders[place].party == party => {
                Ok(true)
            }
            Some(_) => {
                let what = "deposit or withdrawal".to_owned();
                Err(Refusal::ExistsWithDifferent { what, id: id.to_string() })
            }
        }
    }

    pub(super) fn enlist(&mut self, party: Party, stake: Amount) -> Decision {
        let minor = self.positive(stake)?;
        let (before, locked) = self.staked(party);
        if before == minor {
            return Ok(Step::Existed);
        }
        if minor < self.rules.least_pool_stake {
            let least = self.amount(self.rules.least_pool_stake);
            return Err(Refusal::PoolStakeTooSmall { least });
        }
        if minor < locked {
            return Err(Refusal::StakeLocked { party, locked: self.amount(locked) });
        }
        if minor > before {
            self.afford(party, minor - before)?;
            self.hold(None, Pot::Pool, party, minor - before);
        } else {
            self.give(Movement::Release, None, Pot::Pool, party, party, before - minor);
        }
        let place = self.place(party);
        self.holders[place].stake = minor;
        self.weigh(place);
        Ok(Step::Done)
    }

    pub(super) fn leave(&mut self, party: Party) -> Decision {
        let (stake, locked) = self.staked(party);
        if stake == 0 {
            return Err(Refusal::NotEnlisted { party });
        }
        if locked > 0 {
            return Err(Refusal::StakeLocked { party, locked: self.amount(locked) });
        }
        let place = self.place(party);
        self.holders[place].stake = 0;
        self.qualified.remove(&place);
        self.weigh(place);
        self.give(Movement::Release, None, Pot::Pool, party, party, stake);
        Ok(Step::Done)
    }

    pub(super) fn qualify(&mut self, party: Party, skills: Option<&BTreeSet<Skill>>) -> Decision {
        if skills.is_some_and(|skills| skills.len() > MAX_CHECKED_SKILLS) {
            return Err(Refusal::TooManySkills);
        }
        let place = self.holder_index.get(&party).copied();
        let place = place.filter(|place| self.holders[*place].stake > 0);
        let place = place.ok_or(Refusal::NotEnlisted { party })?;
        if self.qualified.get(&place) == skills {
            return Ok(Step::Existed);
        }
        match skills {
            Some(skills) => self.qualified.insert(place, skills.clone()),
            None => self.qualified.remove(&place),
        };
        Ok(Step::Done)
    }

    /// Whether a checker says that it can check such work. Who never said is drawn for any.
    pub(super) fn can_check(&self, place: usize, skill: Skill) -> bool {
        self.qualified.get(&place).is_none_or(|skills| skills.contains(&skill))
    }

    /// A checker's stake, and what of it is locked.
    pub(super) fn staked(&self, party: Party) -> (i128, i128) {
        self.holder_index.get(&party).map_or((0, 0), |place| {
            let holder = &self.holders[*place];
            (holder.stake, holder.locked)
        })
    }

    /// Locks a part of a checker's stake behind a seat, or, negative, unlocks it.
    pub(super) fn lock(&mut self, place: usize, minor: i128) {
        self.holders[place].locked += minor;
        self.weigh(place);
    }

    /// Takes from a checker's stake, which the caller has unlocked, for `to`.
    pub(super) fn slash_checker(&mut self, job: usize, place: usize, to: Party, minor: i128) {
        self.holders[place].stake -= minor;
        self.weigh(place);
        let owner = self.holders[place].party;
        self.give(Movement::Slash, Some(job), Pot::Pool, owner, to, minor);
    }

    fn weigh(&mut self, place: usize) {
        let holder = &self.holders[place];
        assert!(0 <= holder.locked && holder.locked <= holder.stake, "a seat has its deposit");
        // Who was slashed below the least is drawn again when it has added to its stake.
        let is_enough = holder.stake >= self.rules.least_pool_stake;
        self.pool.set(place, if is_enough { holder.stake - holder.locked } else { 0 });
    }
}

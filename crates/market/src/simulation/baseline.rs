//! The same machines and jobs without checks: whatever is delivered is paid.

use super::played::{BIDDERS, WORTH, bidders};
use super::population::{Character, Machine, Task, deliver, machines};
use super::{Figures, Plan, gini};
use crate::entropy::Draws;

/// Which part of clients has its agent read offers, and obey what they command, in millionths. In
/// the market itself nothing reads texts.
const OBEDIENT: u32 = 200_000;

/// Plays it. If `first_come`, the fastest proposal within the budget wins; else the lowest price.
/// Cheats ask little less than honest machines, since there is nothing to win by asking less.
pub fn play(first_come: bool, plan: Plan) -> Figures {
    let mut draws = Draws::seeded(plan.seed);
    let machines = machines(plan.machines, &mut draws);
    let mut figures = Figures::default();
    let mut earned = vec![0i128; machines.len()];
    for n in 0..plan.jobs {
        let task = Task::new(&mut draws);
        let late = n * 2 >= plan.jobs;
        let chosen = bidders(&machines, late, &mut draws);
        let price = |machine: &Machine| {
            if machine.character.works() { machine.cost * 6 / 5 } else { machine.cost }
        };
        let fastest = (0..chosen.len()).min_by_key(|at| machines[chosen[*at]].speed);
        let cheapest = (0..chosen.len()).min_by_key(|at| price(&machines[chosen[*at]]));
        let injected = chosen
            .iter()
            .position(|at| machines[*at].character == Character::Injector)
            .filter(|_| draws.chance(OBEDIENT));
        let picked = if first_come { fastest } else { cheapest };
        let Some(picked) = injected.or(picked) else {
            figures.unhired += 1;
            continue;
        };
        let at = chosen[picked];
        let machine = &machines[at];
        let report = deliver(machine, &task, false, &mut draws);
        let is_right = task.is_right(&report);
        let price = price(machine);
        let seen = figures.seen.entry(machine.character).or_default();
        seen.hired += 1;
        seen.net += price - machine.effort();
        if !is_right {
            seen.caught.count(false);
            figures.caught.count(false);
            figures.paid_for_wrong += price;
            if !machine.character.works() {
                figures.fraud += price;
            }
        } else {
            figures.false_alarms.count(false);
            figures.welfare += WORTH;
        }
        earned[at] += price;
        figures.delivered += 1;
        figures.paid += price;
        figures.welfare -= machine.effort();
        figures.count_fairness(&machines, &chosen, at, late);
    }
    figures.count_population(&machines, &earned);
    figures
}

impl Figures {
    /// What one hire says about fairness.
    pub(super) fn count_fairness(
        &mut self,
        machines: &[Machine],
        chosen: &[usize],
        hired: usize,
        late: bool,
    ) {
        let fastest = chosen.iter().copied().min_by_key(|at| machines[*at].speed);
        self.first.count(fastest == Some(hired));
        self.first_by_lot += 1_000_000 / chosen.len() as u64;
        let best = chosen
            .iter()
            .filter(|at| machines[**at].character.works())
            .map(|at| WORTH * i128::from(machines[*at].skill) / 1_000_000 - machines[*at].cost)
            .max();
        self.possible_welfare += best.unwrap_or(0).max(0);
        if late {
            let is_new = |at: usize| machines[at].is_newcomer && machines[at].character.works();
            self.newcomers.count(is_new(hired));
            for at in chosen {
                self.newcomers_bids.count(is_new(*at));
            }
        }
    }

    /// What all jobs together say.
    pub(super) fn count_population(&mut self, machines: &[Machine], earned: &[i128]) {
        for machine in machines {
            self.seen.entry(machine.character).or_default().machines += 1;
        }
        let honest = machines
            .iter()
            .zip(earned)
            .filter(|(machine, _)| machine.character.works() && !machine.is_newcomer)
            .map(|(_, earned)| (*earned).max(0))
            .collect();
        self.gini = gini(honest);
    }
}

const _: () = assert!(BIDDERS > 1);

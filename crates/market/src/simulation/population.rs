//! Who takes part: machines, most of them honest, and the cheats.

use money::Party;

use crate::entropy::Draws;
use crate::terms::Report;
use crate::{Digest, MILLION};

/// How somebody behaves. The cheats are scripts: they do not learn, and are told nothing of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Character {
    /// Works, and says what it found.
    Honest,
    /// Does not work: says always what is most often right.
    Lazy,
    /// Says anything.
    Random,
    /// Hands in what others have sealed, or, where it sees nobody, an old answer.
    Copier,
    /// One of a ring whose members deliver one wrong answer, and as checkers find each other right.
    Ring,
    /// One of many identities of one owner, which buys from itself to be believed, and then does
    /// not work.
    Sybil,
    /// Checks, and finds right whatever cheats deliver, who pay it for that. As a worker it is lazy.
    Bribed,
    /// Lazy, with an offer whose text commands whoever reads it to hire this machine.
    Injector,
}

impl Character {
    /// All, honest first.
    pub const ALL: [Character; 8] = [
        Character::Honest,
        Character::Lazy,
        Character::Random,
        Character::Copier,
        Character::Ring,
        Character::Sybil,
        Character::Bribed,
        Character::Injector,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Character::Honest => "honest",
            Character::Lazy => "lazy",
            Character::Random => "random",
            Character::Copier => "copier",
            Character::Ring => "colluding ring",
            Character::Sybil => "Sybil ring",
            Character::Bribed => "evaluator in the provider's pay",
            Character::Injector => "prompt injection",
        }
    }

    /// Whether it does the work it is paid for.
    pub fn works(self) -> bool {
        self == Character::Honest
    }
}

/// One machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Its address.
    pub party: Party,
    /// How it behaves.
    pub character: Character,
    /// How often it is right when it works, in millionths.
    pub skill: u32,
    /// What doing the work costs it, in minor units. Who does not work pays a tenth.
    pub cost: i128,
    /// How fast its proposals are: the fastest have 0.
    pub speed: u32,
    /// Whether it comes only when half of the jobs are done.
    pub is_newcomer: bool,
}

impl Machine {
    /// What one job really costs it.
    pub fn effort(&self) -> i128 {
        if self.character.works() { self.cost } else { self.cost / 10 }
    }
}

/// `count` machines: of each twenty, thirteen honest ones and one of each cheat. A tenth are newcomers.
/// Skills are uniform within 85 and 99 %, costs within 0.60 and 1.00 cents.
pub fn machines(count: usize, draws: &mut Draws) -> Vec<Machine> {
    (0..count)
        .map(|n| {
            let mut address = [0; 20];
            address[..8].copy_from_slice(&(n as u64 + 1_000).to_be_bytes());
            let uniform = |draws: &mut Draws, from: u32, to: u32| {
                from + u32::try_from(draws.below(u128::from(to - from))).expect("below a u32")
            };
            Machine {
                party: Party::new(address),
                character: match n % 20 {
                    13 => Character::Lazy,
                    14 => Character::Random,
                    15 => Character::Copier,
                    16 => Character::Ring,
                    17 => Character::Sybil,
                    18 => Character::Bribed,
                    19 => Character::Injector,
                    _ => Character::Honest,
                },
                skill: uniform(draws, 850_000, 990_000),
                cost: i128::from(uniform(draws, 6_000, 10_000)),
                speed: uniform(draws, 0, MILLION),
                is_newcomer: (n / 20) % 10 == 9,
            }
        })
        .collect()
}

/// How many answers one question has; answer 0 is right in 3 of 10.
pub const ANSWERS: u16 = 10;
/// How many items a labelling job has, with how many labels; label 0 is right in 4 of 10.
pub const ITEMS: usize = 40;
/// How many labels an item may have.
pub const LABELS: u16 = 4;

/// What is right in one job.
#[derive(Debug, Clone)]
pub struct Task {
    /// The answer to its question.
    pub answer: u16,
    /// The labels of its items.
    pub labels: Vec<u16>,
}

impl Task {
    /// Any task.
    pub fn new(draws: &mut Draws) -> Task {
        let mut any = |of: u16, often: u32| {
            if draws.chance(often) {
                0
            } else {
                1 + u16::try_from(draws.below(u128::from(of - 1))).expect("below a u16")
            }
        };
        Task {
            answer: any(ANSWERS, 300_000),
            labels: (0..ITEMS).map(|_| any(LABELS, 400_000)).collect(),
        }
    }

    /// What somebody reports who is right with chance `skill` in each, and else says another.
    pub fn found(&self, skill: u32, is_labels: bool, draws: &mut Draws) -> Report {
        let mut say = |truth: u16, of: u16| {
            if draws.chance(skill) {
                truth
            } else {
                let other = u16::try_from(draws.below(u128::from(of - 1))).expect("below a u16");
                (truth + 1 + other) % of
            }
        };
        if is_labels {
            Report::Labels(self.labels.iter().map(|label| say(*label, LABELS)).collect())
        } else {
            answer(say(self.answer, ANSWERS))
        }
    }

    /// What the ring has agreed on: wrong, and the same for all.
    pub fn plot(&self, is_labels: bool) -> Report {
        if is_labels {
            Report::Labels(self.labels.iter().map(|label| (label + 1) % LABELS).collect())
        } else {
            answer((self.answer + 1) % ANSWERS)
        }
    }

    /// Whether a report is right: for labels, in at least three of four.
    pub fn is_right(&self, report: &Report) -> bool {
        match report {
            Report::Labels(labels) => {
                let right = labels.iter().zip(&self.labels).filter(|(said, is)| said == is).count();
                right * 4 >= self.labels.len() * 3
            }
            Report::Digest(_) => *report == answer(self.answer),
            Report::Vote(_) => false,
        }
    }
}

/// The report of one answer.
pub fn answer(n: u16) -> Report {
    Report::Digest(Digest::of(&n.to_be_bytes()))
}

/// What a machine delivers.
pub fn deliver(machine: &Machine, task: &Task, is_labels: bool, draws: &mut Draws) -> Report {
    let constant = || {
        if is_labels { Report::Labels(vec![0; ITEMS]) } else { answer(0) }
    };
    match machine.character {
        Character::Honest => task.found(machine.skill, is_labels, draws),
        Character::Lazy | Character::Sybil | Character::Bribed | Character::Injector => constant(),
        Character::Ring => task.plot(is_labels),
        Character::Random => task.found(MILLION / 10, is_labels, draws),
        // An old answer: right as often as two tasks have the same.
        Character::Copier => Task::new(draws).found(MILLION, is_labels, draws),
    }
}

/// How often an honest juror sees whether work is right, in millionths.
pub const JUDGEMENT: u32 = 920_000;

/// What a machine says as a checker of what `worker` delivered. `None`: it copies what another sealed,
/// and so can open nothing.
pub fn check(
    machine: &Machine,
    worker: &Machine,
    delivered: &Report,
    task: &Task,
    is_jury: bool,
    draws: &mut Draws,
) -> Option<Report> {
    let is_labels = matches!(delivered, Report::Labels(_));
    let is_right = task.is_right(delivered);
    let friends = match machine.character {
        Character::Ring => worker.character == Character::Ring,
        Character::Sybil => worker.character == Character::Sybil,
        Character::Bribed => !worker.character.works(),
        _ => false,
    };
    if friends {
        return Some(if is_jury { Report::Vote(true) } else { delivered.clone() });
    }
    if is_jury {
        let vote = match machine.character {
            Character::Honest | Character::Ring | Character::Bribed => {
                is_right == draws.chance(JUDGEMENT)
            }
            Character::Random => draws.chance(500_000),
            Character::Lazy | Character::Sybil | Character::Injector => true,
            Character::Copier => return None,
        };
        return Some(Report::Vote(vote));
    }
    match machine.character {
        // Towards strangers they do the work, since being wrong costs them.
        Character::Honest | Character::Ring | Character::Bribed => {
            Some(task.found(machine.skill, is_labels, draws))
        }
        Character::Random => Some(task.found(MILLION / 10, is_labels, draws)),
        Character::Lazy | Character::Sybil | Character::Injector => {
            Some(if is_labels { Report::Labels(vec![0; ITEMS]) } else { answer(0) })
        }
        Character::Copier => None,
    }
}

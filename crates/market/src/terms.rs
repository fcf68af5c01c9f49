//! What is agreed before work begins: offers, jobs, their prices and checks.

use std::collections::BTreeSet;
use std::time::Duration;

use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checks::choose::Kind;
use crate::id::{Digest, JobId, OfferId, Skill, hash};
use crate::operation::OfferLimit;
use crate::rules::{MAX_CHOICES, MAX_LABELS};

/// What a worker sells: a kind of work, at a price that whoever orders gets at once.
///
/// Whoever orders at the posted price names the rest of the terms and asks nobody, so the offer says
/// what of them its worker agrees to: the fields from `most_stake` on. They do not bind bids and quotes,
/// which a worker makes with the terms before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its name.
    pub id: OfferId,
    /// Who works.
    pub worker: Party,
    /// What at.
    pub skill: Skill,
    /// For how much, where no round decides.
    pub price: Amount,
    /// How many jobs the worker takes at a time by this offer; at least 1.
    pub capacity: u32,
    /// The most that it puts at stake in one job.
    pub most_stake: Amount,
    /// The least time that it has to deliver, in milliseconds.
    pub least_ms: u64,
    /// The checks that it lets judge its work. Under [`Kind::Gold`] the client names its judge.
    pub checks: BTreeSet<Kind>,
    /// The highest pass mark that it works for, in millionths, where a check has one.
    pub most_mark: u32,
}

impl Offer {
    /// An offer of one job at a time, on terms that an honest worker can bear: it puts its price at
    /// stake and no more, has a second to deliver, lets every check judge whose judges are drawn by
    /// lot, and works for a mark of 80 %.
    pub fn standard(id: OfferId, worker: Party, skill: Skill, price: Amount) -> Offer {
        Offer {
            id,
            worker,
            skill,
            price,
            capacity: 1,
            most_stake: price,
            least_ms: 1_000,
            checks: BTreeSet::from([
                Kind::Exact,
                Kind::Redundant,
                Kind::Peer,
                Kind::Optimistic,
                Kind::Juror,
            ]),
            most_mark: 800_000,
        }
    }

    /// What of these terms, funded at `now`, the worker does not agree to, if anything.
    pub(crate) fn limit_of(&self, terms: &Terms, now: Timestamp) -> Option<OfferLimit> {
        let earliest = now.plus(Duration::from_millis(self.least_ms));
        if terms.stake.minor() > self.most_stake.minor() {
            Some(OfferLimit::Stake { most: self.most_stake })
        } else if terms.deliver_by < earliest {
            Some(OfferLimit::Time { least_ms: self.least_ms })
        } else if !self.checks.contains(&terms.check.kind()) {
            Some(OfferLimit::Check { check: terms.check.kind() })
        } else if terms.check.pass_mark().is_some_and(|mark| mark > self.most_mark) {
            Some(OfferLimit::Mark { most: self.most_mark })
        } else {
            None
        }
    }
}

/// How a job's price and worker are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// The price that stands in an offer. One step: the money is set aside and the work begins.
    Posted {
        /// Whose.
        offer: OfferId,
    },
    /// Quotes come in openly, and the client takes one.
    Quotes,
    /// A sealed round, cleared by second score (`price::second_score`).
    Auction {
        /// Whether bids are sealed by commitments, for bidders who trust nobody with their bid; else
        /// they are told to whoever runs the market, and to nobody else.
        committed: bool,
        /// What a bidder loses who commits and does not open.
        bond: Amount,
    },
}

/// How a job's work is judged. Money moves only on its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Executors do the pinned work again; equal bytes pass.
    Exact {
        /// How many; odd.
        executors: u8,
    },
    /// Hidden tasks with known answers were mixed in, and enough of them must be right.
    Gold {
        /// Who knows the answers: one of the pool, and neither client nor worker.
        examiner: Party,
        /// The commitment to where they are and what is right: [`GoldKey::commitment`].
        key: Digest,
        /// Which part of them must be right, in millionths.
        pass_mark: u32,
    },
    /// Others do the work too; a vote weighted by their records decides.
    Redundant {
        /// How many others; even, so that with the worker there is no tie of equals.
        peers: u8,
    },
    /// Others label the same items; agreement beyond chance passes, without any truth.
    Peer {
        /// How many others; at most [`MAX_RATERS`](crate::checks::peer::MAX_RATERS).
        raters: u8,
        /// The least mean agreement with them beyond chance, in millionths:
        /// [`same_label`](crate::checks::peer::same_label).
        pass_mark: u32,
    },
    /// Silence passes. A challenge with a bond calls executors.
    Optimistic {
        /// How long it may be challenged, in milliseconds.
        window_ms: u64,
        /// How many executors decide a challenge; odd.
        executors: u8,
    },
    /// Jurors look at what was delivered, and vote.
    Juror {
        /// How many; odd.
        jurors: u8,
    },
}

impl Check {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Check::Exact { .. } => Kind::Exact,
            Check::Gold { .. } => Kind::Gold,
            Check::Redundant { .. } => Kind::Redundant,
            Check::Peer { .. } => Kind::Peer,
            Check::Optimistic { .. } => Kind::Optimistic,
            Check::Juror { .. } => Kind::Juror,
        }
    }

    /// What work must reach, in millionths, where the check counts it.
    pub fn pass_mark(&self) -> Option<u32> {
        match *self {
            Check::Gold { pass_mark, .. } | Check::Peer { pass_mark, .. } => Some(pass_mark),
            Check::Exact { .. }
            | Check::Redundant { .. }
            | Check::Optimistic { .. }
            | Check::Juror { .. } => None,
        }
    }

    /// How many seats its first panel has; for [`Check::Optimistic`], if it comes to one.
    pub fn seats(&self) -> u8 {
        match *self {
            Check::Exact { executors } | Check::Optimistic { executors, .. } => executors,
            Check::Gold { .. } => 1,
            Check::Redundant { peers } => peers,
            Check::Peer { raters, .. } => raters,
            Check::Juror { jurors } => jurors,
        }
    }

    /// Its name, as people write it.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Whether the worker delivers sealed, so that checkers cannot copy what they should find.
    pub fn is_sealed(&self) -> bool {
        match self {
            Check::Exact { .. } | Check::Redundant { .. } | Check::Peer { .. } => true,
            Check::Gold { .. } | Check::Optimistic { .. } | Check::Juror { .. } => false,
        }
    }

    /// The most fees that its first panel can cost: all seats, and, once, all of a panel before it
    /// that came to no verdict.
    pub fn most_fees(&self) -> i128 {
        let seats = i128::from(self.seats());
        match self {
            Check::Gold { .. } => 1,
            Check::Exact { .. }
            | Check::Redundant { .. }
            | Check::Peer { .. }
            | Check::Optimistic { .. }
            | Check::Juror { .. } => 2 * seats,
        }
    }
}

/// A piece of work under escrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Its name.
    pub id: JobId,
    /// Who pays; for a job that another job hired, that job's worker.
    pub client: Party,
    /// The job whose budget pays for this one.
    pub parent: Option<JobId>,
    /// What at.
    pub skill: Skill,
    /// What is to be done: the digest of its description. Text is never read by the market.
    pub brief: Digest,
    /// The most that it may cost, checks included.
    pub budget: Amount,
    /// What perfect work is worth to the client: a worker of quality q is worth q times this, and
    /// is hired only for less.
    pub worth: Amount,
    /// The least quality asked for, in millionths; measured, never declared.
    pub quality: u32,
    /// How price and worker are found.
    pub pricing: Pricing,
    /// How the work is judged.
    pub check: Check,
    /// Which part of such work is looked at, in millionths: whether this job is, is drawn with its
    /// panel. Work that is not looked at is paid, and shows nothing. It deters as long as the
    /// stake is at least [`gold::stake`](crate::checks::gold::stake) for this share. Hidden tests and
    /// challenges have shares of their own, and pay no heed to this one.
    pub audit: u32,
    /// What each checker gets.
    pub checker_fee: Amount,
    /// How many appeals there may be: under [`Check::Gold`], whose judge the client names, at least 1, so
    /// that jurors drawn by lot have the last word.
    pub appeals: u8,
    /// What the worker puts at stake.
    pub stake: Amount,
    /// Until when the work must be delivered.
    pub deliver_by: Timestamp,
    /// How long checkers have for their work, in milliseconds: at least the market's
    /// [`least_check_ms`](crate::Rules::least_check_ms).
    pub check_ms: u64,
}

/// What somebody says the answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The digest of the canonical answer.
    Digest(Digest),
    /// A label for each item, by its place among the possible ones: less than
    /// [`MAX_CHOICES`](crate::MAX_CHOICES).
    Labels(Vec<u16>),
    /// A juror's vote: whether the work is as asked.
    Vote(bool),
}

impl Report {
    fn encode(&self) -> Vec<u8> {
        match self {
            Report::Digest(digest) => [&[0], digest.as_bytes().as_slice()].concat(),
            // A byte each where that is enough: so markets of before labels were wider open theirs.
            Report::Labels(labels) => match narrow(labels.iter()) {
                Some(narrow) => [&[1], narrow.as_slice()].concat(),
                None => {
                    let wide = labels.iter().flat_map(|label| label.to_be_bytes());
                    [3].into_iter().chain(wide).collect()
                }
            },
            Report::Vote(vote) => vec![2, u8::from(*vote)],
        }
    }

    /// The document that labels are: a JSON list of numbers without spaces. Of a digest the document is
    /// somebody's own, and a vote has none.
    pub fn document(&self) -> Option<Vec<u8>> {
        match self {
            Report::Labels(labels) => {
                let labels: Vec<String> = labels.iter().map(u16::to_string).collect();
                Some(format!("[{}]", labels.join(",")).into_bytes())
            }
            Report::Digest(_) | Report::Vote(_) => None,
        }
    }

    /// The document that this says the answer is: a vote says none.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Report::Digest(digest) => Some(*digest),
            Report::Labels(_) => self.document().map(|document| Digest::of(&document)),
            Report::Vote(_) => None,
        }
    }

    /// What is kept of it when its job has ended: of labels, their document's digest.
    pub(crate) fn shortened(&self) -> Report {
        match self.document() {
            Some(document) => Report::Digest(Digest::of(&document)),
            None => self.clone(),
        }
    }

    /// Whether `kept`, which may have been shortened since, is this report.
    pub(crate) fn is_kept(&self, kept: &Report) -> bool {
        self == kept || (matches!(self, Report::Labels(_)) && self.shortened() == *kept)
    }

    /// What binds `party` to this report in `job` without telling it: Keccak-256 over job, party,
    /// salt and report, each length-prefixed. A copied commitment cannot be opened, since the
    /// party is in it.
    pub fn commitment(&self, job: JobId, party: Party, salt: &Digest) -> Digest {
        Digest::new(hash(
            "machina/market/report/1",
            &[&job.as_u128().to_be_bytes(), party.as_bytes(), salt.as_bytes(), &self.encode()],
        ))
    }

    /// Whether a report of this form can be compared by this check.
    pub(crate) fn suits(&self, check: &Check) -> bool {
        match (self, check) {
            (Report::Digest(_), Check::Gold { .. } | Check::Peer { .. }) => false,
            (Report::Digest(_), _) => true,
            (
                Report::Labels(_),
                Check::Gold { .. } | Check::Peer { .. } | Check::Redundant { .. },
            ) => true,
            (Report::Labels(_), _) | (Report::Vote(_), _) => false,
        }
    }

    /// Whether it is within its bounds.
    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Report::Labels(labels) => {
                let are_known = labels.iter().all(|label| *label < MAX_CHOICES);
                are_known && labels.len() <= MAX_LABELS && !labels.is_empty()
            }
            Report::Digest(_) | Report::Vote(_) => true,
        }
    }
}

/// Labels of a byte each, if all are so small.
fn narrow<'a>(labels: impl Iterator<Item = &'a u16>) -> Option<Vec<u8>> {
    labels.map(|label| u8::try_from(*label).ok()).collect()
}

/// What a worker delivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The answer, for all to see.
    Open(Report),
    /// Its commitment, opened when the checkers have committed theirs.
    Sealed(Digest),
}

/// Where hidden tests are, and what is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldKey {
    /// The items that are tests, ascending, each with its right label.
    pub answers: Vec<(u32, u16)>,
    /// Random bytes, so that nobody finds the key by trying.
    pub salt: Digest,
}

impl GoldKey {
    /// What the examiner is bound to before the work begins.
    pub fn commitment(&self) -> Digest {
        // As for a report.
        let (name, answers): (_, Vec<u8>) = match narrow(self.answers.iter().map(|(_, l)| l)) {
            Some(labels) => {
                let items = self.answers.iter().zip(labels);
                let told = items
                    .flat_map(|((item, _), label)| item.to_be_bytes().into_iter().chain([label]));
                ("machina/market/gold/1", told.collect())
            }
            None => {
                let told = self.answers.iter().flat_map(|(item, label)| {
                    item.to_be_bytes().into_iter().chain(label.to_be_bytes())
                });
                ("machina/market/gold/2", told.collect())
            }
        };
        Digest::new(hash(name, &[&answers, self.salt.as_bytes()]))
    }

    /// Whether it has at least one test and at most one for each item, ascending.
    pub(crate) fn is_bounded(&self) -> bool {
        !self.answers.is_empty()
            && self.answers.len() <= MAX_LABELS
            && self.answers.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }
}

/// What binds `worker` to a bid of `price` in `job` without telling it.
pub fn bid_commitment(job: JobId, worker: Party, price: Amount, salt: &Digest) -> Digest {
    Digest::new(hash(
        "machina/market/bid/1",
        &[
            &job.as_u128().to_be_bytes(),
            worker.as_bytes(),
            &price.minor().to_be_bytes(),
            salt.as_bytes(),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was sealed before labels were wider is opened still, and nothing else by the same bytes.
    #[test]
    fn small_labels_are_bound_as_they_always_were_and_wide_ones_are_told_apart() {
        let (job, party, salt) = (JobId::from_u128(1), Party::new([2; 20]), Digest::of(b"salt"));
        let bound = |encoded: &[u8]| {
            let parts = [&job.as_u128().to_be_bytes()[..], party.as_bytes(), salt.as_bytes()];
            let parts = [parts[0], parts[1], parts[2], encoded];
            Digest::new(hash("machina/market/report/1", &parts))
        };
        let commitment =
            |labels: &[u16]| Report::Labels(labels.into()).commitment(job, party, &salt);
        assert_eq!(commitment(&[0, 7, 255]), bound(&[1, 0, 7, 255]));
        assert_ne!(commitment(&[256]), commitment(&[1, 0]));
        let key = |answers: &[(u32, u16)]| GoldKey { answers: answers.into(), salt }.commitment();
        let old = |answers: &[u8]| {
            Digest::new(hash("machina/market/gold/1", &[answers, salt.as_bytes()]))
        };
        assert_eq!(key(&[(1, 9)]), old(&[0, 0, 0, 1, 9]));
        assert_ne!(key(&[(1, 256)]), old(&[0, 0, 0, 1, 1, 0]));
    }
}

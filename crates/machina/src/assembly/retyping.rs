//! A reader of the accounts types a trade anew, with a reason.

use economy::Flow;
use ledger::{Kind, Outcome, Reason, Reference};

use super::Assembly;
use super::measure::{Progress, Trade, trade_of};
use super::overrides::{self, Document, MAX_OVERRIDES, MAX_REASON};
use super::square::said;
use crate::cli::Retype;
use crate::failure::Failure;
use crate::report::RetypeReport;

/// What stands for the kind that was declared.
const DECLARED: &str = "declared";

impl Assembly {
    /// Counts a trade as another kind, or again as it was declared. Whoever may read the home decides
    /// in Ada's name, as with a mandate.
    ///
    /// # Errors
    /// If there is no such trade or kind, it is not settled, no reason is given, or nothing would
    /// change.
    pub async fn retype(&self, retype: &Retype) -> Result<RetypeReport, Failure> {
        self.square.catch_up()?;
        let reason = reason(&retype.reason)?;
        let trade = self.settled(&retype.trade)?;
        let of = trade.flow.reference;
        let (from, gdp_before) = self
            .with_measure(|measure| (measure.kind_in_force(&trade), measure.all().gdp_so_far()));
        let from = from.ok_or_else(|| Failure::new(format!("trade {of} is not counted yet")))?;
        let to = kind(&retype.kind, &trade)?;
        let (counted_before, counted_now) = self.would_change(&trade, from, to)?;
        let earlier = self.ledger.read(|state| overrides::of(state, of).len());
        let number = u32::try_from(earlier + 1).unwrap_or(u32::MAX);
        if number > MAX_OVERRIDES {
            return Err(Failure::new(format!(
                "trade {of} was typed anew {MAX_OVERRIDES} times, and is not again"
            )));
        }
        let document = Document { trade: of, number, from, to, by: self.cast.ada.party(), reason };
        let outcomes = self.ledger.submit_all(document.writes(trade.flow.amount)).await?;
        for outcome in outcomes {
            match outcome {
                Outcome::Applied | Outcome::Exists => {}
                Outcome::Refused(refusal) => {
                    let taken = matches!(refusal.reason, Reason::ExistsWithDifferent { .. });
                    let failure = Failure::new(format!("trade {of} was not typed anew: {refusal}"));
                    return Err(if taken {
                        failure.hint("somebody else just did; look again, and repeat it if need be")
                    } else {
                        failure
                    });
                }
            }
        }
        self.square.catch_up()?;
        let (newest, gdp_now) = self.with_measure(|measure| {
            let newest = measure.overrides().iter().rev().find(|one| one.trade == of).copied();
            (newest, measure.all().gdp_so_far())
        });
        let newest =
            newest.ok_or_else(|| Failure::new("the override is written and not counted"))?;
        let entry = self.square.reasoned(newest)?;
        Ok(RetypeReport { entry, counted_before, counted_now, gdp_before, gdp_now })
    }

    /// The settled trade of this reference.
    fn settled(&self, text: &str) -> Result<Trade, Failure> {
        let hint = "`machina books` lists the trades by their references, and each has a page";
        let reference: Reference = text
            .parse()
            .map_err(|error| Failure::misuse(format!("that names no trade: {error}")).hint(hint))?;
        let found = self.ledger.read(|state| trade_of(state, reference));
        let trade = found.ok_or_else(|| {
            Failure::new(format!("there is no trade {reference} in this home")).hint(hint)
        })?;
        match trade.progress {
            Progress::Posted => Ok(trade),
            Progress::Held => Err(Failure::new(format!("trade {reference} is not settled yet"))
                .hint("it counts, and can be typed anew, once it is")),
            Progress::Ended => Err(Failure::new(format!(
                "the money of trade {reference} was given back: it counts as nothing"
            ))),
        }
    }

    /// What the trade counts as under both kinds, if that differs or takes an override back.
    fn would_change(
        &self,
        trade: &Trade,
        from: Kind,
        to: Kind,
    ) -> Result<(String, String), Failure> {
        let of = trade.flow.reference;
        if from == to {
            return Err(Failure::new(format!("trade {of} counts as {} already", said(to))));
        }
        let read = |kind| {
            let flow = Flow { kind, ..trade.flow };
            self.with_measure(|measure| measure.all().registry().read(&flow))
        };
        let (before, now) = (read(from)?, read(to)?);
        if before.counted == now.counted && to != trade.flow.kind {
            return Err(Failure::new(format!(
                "as {} trade {of} would still count as {}, because of who pays whom",
                said(to),
                now.counted
            ))
            .hint("docs/accounts.md has the rules; nothing was written"));
        }
        Ok((before.counted.to_string(), now.counted.to_string()))
    }
}

/// The reason, in one line.
fn reason(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 {
        return Err(Failure::misuse("an override needs a reason")
            .hint("say why with `--reason`: it is kept, and shown with the accounts"));
    }
    if length > MAX_REASON || text.chars().any(char::is_control) {
        return Err(Failure::misuse(format!(
            "a reason has at most {MAX_REASON} characters in one line; this has {length}"
        )));
    }
    Ok(text.to_string())
}

/// The kind of this name, or the trade's own.
fn kind(text: &str, trade: &Trade) -> Result<Kind, Failure> {
    if text == DECLARED {
        return Ok(trade.flow.kind);
    }
    match text.replace('-', "_").parse() {
        Ok(Kind::Memo) => Err(Failure::misuse("a settled payment is no memo")
            .hint("what was given for nothing is a transfer")),
        Ok(kind) => Ok(kind),
        Err(error) => {
            Err(Failure::misuse(error)
                .hint(format!("or `{DECLARED}`, to count it as it was declared")))
        }
    }
}

//! What the machines of a home have to work with at the market: their first money, and how the foreman's is refilled.
//!
//! What a machine earns at the market stays there as its own, and is its capital from then on. The foreman answers
//! with it for what it hires, and bears what was spent on work that it cannot finish; so it can run dry, and would
//! then take orders that it cannot hire for. When less than half of its first capital is left, it pays in what is
//! missing, from what it has on the chain, as every deposit is paid: by x402, under its owner's mandate, and booked
//! as its own money at the market. No money is made for it, and no mandate is widened. Where it has not enough, or
//! may not, the log tells its owner what to do, once until that changes.
//!
//! Bounds: it never pays in more than brings it back to its first capital, nothing below [`LEAST_REFILL`], and where
//! it has not enough it looks again after [`SHORT_PAUSE`].

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use ::market::Party;
use ::money::Amount;
use mandates::{Key, Mandate, Purpose, SignedMandate};
use tokio::sync::broadcast::error::RecvError;

use super::Market;
use crate::failure::Failure;

/// What a machine gets on the embedded chain, in whole dollars.
const FIRST_MONEY: &str = "1";
/// What of that it takes to the market.
const WORKING_CAPITAL: &str = "0.5";
/// For how long a machine's first mandate is good, in days.
const MANDATE_DAYS: u64 = 365;
/// The least that is paid in to refill capital, in whole dollars: each deposit is a transaction.
const LEAST_REFILL: &str = "0.01";
/// How long who has not enough waits until it looks again: money on the chain comes without a word.
const SHORT_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done about a machine's capital, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refill {
    /// Half of it or more is there.
    Enough,
    /// So much is to be paid in.
    PayIn(i128),
    /// So much is missing on the chain.
    NoMoney(i128),
    /// So much is missing, and may not be spent.
    NotAllowed(i128),
}

/// What to do for who has `own` at the market, free or answering for its hires, and should have `target`, where it
/// has `cash` on the chain and its mandate allows `allowed` of it. All in minor units.
fn refill(own: i128, target: i128, cash: i128, allowed: i128, least: i128) -> Refill {
    let missing = target - own;
    if 2 * own >= target {
        return Refill::Enough;
    }
    match missing.min(cash).min(allowed) {
        amount if amount >= least => Refill::PayIn(amount),
        _ if cash < least => Refill::NoMoney(missing),
        _ => Refill::NotAllowed(missing),
    }
}

/// Sees to it that a machine has working capital at the market: on the embedded chain it gets play
/// money once, with a mandate for it, and pays it in as everybody does.
pub async fn capital(market: &Arc<Market>, key: &Key) -> Result<(), Failure> {
    let party = key.party();
    let holding = market.desk().holding(party);
    let Some(mint) = &market.parts.mint else { return Ok(()) };
    if !holding.free.is_zero() || !holding.stake.is_zero() {
        return Ok(());
    }
    let parts = &market.parts;
    let asset = parts.chain.token().asset;
    let first = Amount::parse(asset, FIRST_MONEY)?;
    if parts.chain.balance(party).await?.minor() < first.minor() {
        let has_worked = parts.mandates.of(party).is_some();
        if has_worked {
            return Err(Failure::new("it has lost its first money, and gets no other"));
        }
        mint.mint(party, first).await?;
    }
    if parts.mandates.of(party).is_none() {
        let now = parts.clock.now();
        let owner = parts.cast.owner_of(party).ok_or_else(|| Failure::new("it has no owner"))?;
        let days = std::time::Duration::from_secs(MANDATE_DAYS * 24 * 60 * 60);
        let mandate = Mandate {
            machine: party,
            owner: owner.party(),
            per_payment: first,
            daily: first,
            lifetime: first,
            expires_at: now.plus(days),
            purpose: Purpose::Production,
            serial: now.as_millis(),
            unasked: None,
        };
        parts.mandates.grant(SignedMandate::sign(mandate, owner)?).await?;
    }
    let amount = Amount::parse(asset, WORKING_CAPITAL)?;
    market.deposit(&(parts.buyer)(key), amount).await?;
    Ok(())
}

/// What a party has at the market to work with: free, or answering in jobs under way for what it hires.
fn own(market: &Market, party: Party) -> i128 {
    market.desk().read(|state| {
        let at_stake =
            state.under_way().filter(|job| job.worker == Some(party)).map(|job| job.stake);
        state.holding(party).free.minor() + at_stake.sum::<i128>()
    })
}

/// Refills a machine's capital if it is to be: what its owner has to be told, if something.
async fn keep(market: &Arc<Market>, key: &Key) -> Result<Option<Failure>, Failure> {
    let (parts, party) = (&market.parts, key.party());
    let asset = parts.chain.token().asset;
    let name = parts.cast.name(party);
    let target = Amount::parse(asset, WORKING_CAPITAL)?.minor();
    let least = Amount::parse(asset, LEAST_REFILL)?.minor();
    let has = own(market, party);
    if refill(has, target, 0, 0, least) == Refill::Enough {
        return Ok(None);
    }
    let cash = parts.chain.balance(party).await?.minor();
    let allowed = parts.mandates.left(party).map_or(0, |left| {
        let limits = [left.per_payment, left.daily, left.lifetime];
        let is_over = left.expires_at <= parts.clock.now();
        limits.iter().map(|limit| limit.minor()).min().filter(|_| !is_over).unwrap_or_default()
    });
    let amount = |minor| Amount::from_minor(asset, minor);
    let told = |why: &dyn Display, hint: String| {
        let has = amount(has);
        Failure::new(format!(
            "{name} has {has} left at the labour market to answer for what it hires with, {why}"
        ))
        .hint(hint)
    };
    Ok(match refill(has, target, cash, allowed, least) {
        Refill::Enough => None,
        Refill::PayIn(minor) => {
            let paid = market.deposit(&(parts.buyer)(key), amount(minor)).await?;
            tracing::info!(name, amount = %paid.amount, "a machine has refilled its capital from what it has");
            None
        }
        Refill::NoMoney(missing) => {
            let number = amount(missing).number();
            let why = "and nothing more on the chain; it takes small orders only";
            let hint = match &parts.mint {
                Some(_) => format!("machina fund {party} {number}"),
                None => format!("send {number} to {party} on the chain"),
            };
            Some(told(&why, hint))
        }
        Refill::NotAllowed(missing) => {
            let number = amount(missing).number();
            let why =
                format!("and more on the chain, of which its mandate allows {}", amount(allowed));
            Some(told(
                &why,
                format!("machina grant {number} --per-payment {number} --machine {name}"),
            ))
        }
    })
}

/// Keeps a machine's capital full from what it has, until the desk closes.
pub async fn follow(market: std::sync::Weak<Market>, key: Key) {
    let Some(mut changes) = market.upgrade().map(|market| market.desk().subscribe()) else {
        return;
    };
    let mut said: Option<String> = None;
    let asset = market.upgrade().map(|market| market.parts.chain.token().asset);
    let target = asset.and_then(|asset| Amount::parse(asset, WORKING_CAPITAL).ok());
    let Some(target) = target.map(|target| target.minor()) else { return };
    loop {
        let Some(now) = market.upgrade() else { return };
        let is_short = match keep(&now, &key).await {
            Ok(told) => {
                let hint = told.as_ref().and_then(|told| told.hint.clone());
                if let Some(told) = told.filter(|_| hint != said) {
                    tracing::warn!(hint, "{}", told.message);
                }
                said = hint;
                said.is_some()
            }
            Err(failure) => {
                tracing::warn!(error = failure.message, "capital could not be refilled");
                true
            }
        };
        drop(now);
        // Money moves; or, where it is short, it may have come on the chain.
        let pause = tokio::time::sleep(SHORT_PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Err(RecvError::Closed) => return,
                    // Tried again in vain with each change would be a hammer.
                    Ok(_) | Err(RecvError::Lagged(_)) if is_short => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        let Some(market) = market.upgrade() else { return };
                        let free = market.desk().holding(key.party()).free;
                        if refill(free.minor(), target, 0, 0, 0) != Refill::Enough {
                            break;
                        }
                    }
                },
                () = &mut pause, if is_short => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capital_is_refilled_from_what_is_there_and_allowed_and_else_somebody_is_told() {
        let of = |own, cash, allowed| refill(own, 500, cash, allowed, 10);
        // Half of it is enough, whatever lies on the chain.
        assert_eq!(of(250, 1_000, 1_000), Refill::Enough);
        assert_eq!(
            of(249, 1_000, 1_000),
            Refill::PayIn(251),
            "and never more than was there at first"
        );
        assert_eq!(of(0, 300, 1_000), Refill::PayIn(300));
        assert_eq!(of(0, 300, 40), Refill::PayIn(40));
        assert_eq!(of(100, 9, 1_000), Refill::NoMoney(400));
        assert_eq!(of(100, 300, 9), Refill::NotAllowed(400));
        assert_eq!(of(100, 0, 0), Refill::NoMoney(400));
    }
}

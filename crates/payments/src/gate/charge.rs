//! What one piece of work turned out to cost, where the way of paying leaves that open.

use std::fmt;
use std::sync::Arc;

use money::Amount;

/// Put by a service into the extensions of its response: what this answer costs.
///
/// It counts where the buyer signed for *up to* the price (schemes `upto` and `batch-settlement`):
/// the gate holds the price before the work, and afterwards settles the charge. Nothing at all may
/// be charged; then no money moves. A response without a charge costs the full price, and so does
/// every response that was paid by a way which moves exactly what was signed (scheme `exact`): a
/// lower charge cannot be made there, so it is not looked at.
///
/// It is asked for once the answer's body has ended, so that what is counted as the body passes is
/// counted whole.
///
/// ```
/// # use money::{Amount, Asset};
/// # use payments::Charge;
/// let mut response = http::Response::new("42");
/// response.extensions_mut().insert(Charge::of(Amount::from_minor(Asset::MUSD, 250)));
/// ```
#[derive(Clone)]
pub struct Charge(Arc<dyn Fn() -> Amount + Send + Sync>);

impl Charge {
    /// This much.
    pub fn of(amount: Amount) -> Charge {
        Charge::at_end(move || amount)
    }

    /// As much as `count` says when the body has ended.
    pub fn at_end(count: impl Fn() -> Amount + Send + Sync + 'static) -> Charge {
        Charge(Arc::new(count))
    }

    /// How much; call it when the body has ended.
    pub fn amount(&self) -> Amount {
        (self.0)()
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charge")
    }
}

/// What is charged for an answer that says `asked`: never more than `price`, never less than
/// nothing. What a service gets wrong is told in the log, since nobody else would hear of it.
pub(super) fn charged(offer: &str, price: Amount, asked: Option<Amount>) -> Amount {
    let Some(asked) = asked else { return price };
    if asked.asset() != price.asset() {
        tracing::error!(%offer, %asked, %price, "a charge is not in the asset of the price; the price is charged");
        return price;
    }
    if asked.is_negative() {
        tracing::error!(%offer, %asked, "a charge is less than nothing; nothing is charged");
        return Amount::zero(price.asset());
    }
    if asked.minor() > price.minor() {
        tracing::error!(%offer, %asked, %price, "a charge is above what the buyer signed; the price is charged");
        return price;
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;

    #[test]
    fn a_charge_is_between_nothing_and_the_price() {
        let musd = |minor| Amount::from_minor(Asset::MUSD, minor);
        let other = Amount::from_minor(Asset::try_new("EURX", 6).unwrap(), 3);
        for (asked, charge) in [
            (None, 100),
            (Some(musd(0)), 0),
            (Some(musd(40)), 40),
            (Some(musd(100)), 100),
            (Some(musd(101)), 100),
            (Some(musd(-1)), 0),
            (Some(musd(i128::MAX)), 100),
            (Some(other), 100),
        ] {
            assert_eq!(charged("test", musd(100), asked), musd(charge), "{asked:?}");
        }
    }
}

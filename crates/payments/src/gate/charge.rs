//! What a piece of work costs, where that is known only when it is done.

use std::fmt;
use std::sync::Arc;

use money::Amount;

/// What was used, said by the service behind a gate in its response's extensions
/// (`response.extensions_mut().insert(charge)`). Without it a piece of work costs its price.
///
/// It is asked for once the answer's body has ended, so that what is counted as the body passes is
/// counted whole. A charge above the offer's price is cut to it; ways of payment that can only pay
/// exactly the price ignore it.
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

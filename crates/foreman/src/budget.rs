//! What composite work costs, to the unit.
//!
//! A job's budget pays its check and its work. What the work of a composite job is paid (its *price*)
//! pays the market's fee, the jobs that its foreman hires, and the foreman's margin:
//!
//! ```text
//! budget = check's reserve + price          what is not needed of either goes back to the client
//! price  = market's fee + Σ shares + margin
//! share  = check's reserve + reserve price of one piece of work
//! ```
//!
//! The foreman quotes a price before it is hired, and keeps what its hires cost less than their shares;
//! what they cost more is its loss. All amounts are minor units of one asset; each division says who
//! keeps the remainder.

use std::collections::BTreeMap;

use crate::service::Service;

/// One whole, in basis points.
const WHOLE: i128 = 10_000;

/// What each service costs at the cheapest offer that counts, in minor units.
pub type Prices = BTreeMap<Service, i128>;

/// What holds for all hires of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tariff {
    /// The market's part of each price, in basis points, rounded up.
    pub fee_bps: u16,
    /// What the check of one job may cost its client at most, in minor units.
    pub reserve: i128,
    /// The foreman's part of what it hires for, in basis points, rounded up; at least one unit.
    pub margin_bps: u16,
}

/// A foreman's price and what it makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// What it is paid if its work passes.
    pub price: i128,
    /// What each piece of work may cost, in the order of the works: together with fee and margin
    /// exactly the price.
    pub shares: Vec<i128>,
    /// The market's fee on the price.
    pub fee: i128,
    /// What the foreman keeps if each share is used up.
    pub margin: i128,
}

/// Why there is no quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoQuote {
    /// Nobody offers this.
    NotForSale(Service),
    /// The least price that would do.
    TooLittle {
        /// It, in minor units.
        least: i128,
    },
}

impl Tariff {
    /// The market's fee on a price, rounded up: as `market::Rules::fee`.
    fn fee(&self, price: i128) -> i128 {
        (price * i128::from(self.fee_bps) + WHOLE - 1) / WHOLE
    }

    /// The least price of which `net` is left after the fee.
    fn gross(&self, net: i128) -> i128 {
        let kept = (WHOLE - i128::from(self.fee_bps)).max(1);
        // Rounded down it may leave too little, by less than two units.
        let mut price = net * WHOLE / kept;
        while price - self.fee(price) < net {
            price += 1;
        }
        price
    }

    fn margin(&self, hired: i128) -> i128 {
        ((hired * i128::from(self.margin_bps) + WHOLE - 1) / WHOLE).max(1)
    }

    /// The least budget with which one piece of work can be hired for at this price.
    pub fn least_share(&self, price: i128) -> i128 {
        price + self.reserve
    }

    /// What a foreman asks for these works, if it may ask at most `most`: enough for each to be hired for at
    /// twice the cheapest offer, so that better workers can win too, or else all there is.
    ///
    /// # Errors
    /// What is not for sale, or the least price that would do.
    pub fn quote(&self, works: &[Service], prices: &Prices, most: i128) -> Result<Quote, NoQuote> {
        let of =
            |service: &Service| prices.get(service).copied().ok_or(NoQuote::NotForSale(*service));
        let prices: Vec<i128> = works.iter().map(of).collect::<Result<_, _>>()?;
        let all: i128 = prices.iter().sum();
        let need = all + self.reserve * works.len() as i128;
        let least = self.gross(need + self.margin(need));
        if least > most {
            return Err(NoQuote::TooLittle { least });
        }
        let ample = need + all;
        let price = self.gross(ample + self.margin(ample)).min(most);
        let fee = self.fee(price);
        let net = price - fee;
        let margin = {
            let whole = WHOLE + i128::from(self.margin_bps);
            let part = (net * i128::from(self.margin_bps) + whole - 1) / whole;
            part.clamp(1, net - need)
        };
        let surplus = net - margin - need;
        let part = |price: &i128| if all > 0 { surplus * price / all } else { 0 };
        let mut shares: Vec<i128> =
            prices.iter().map(|price| self.least_share(*price) + part(price)).collect();
        // What rounding left goes to the first works, a unit each: fewer units than works.
        let mut rest = net - margin - shares.iter().sum::<i128>();
        for share in &mut shares {
            if rest == 0 {
                break;
            }
            *share += 1;
            rest -= 1;
        }
        if let Some(first) = shares.first_mut() {
            *first += rest;
        }
        Ok(Quote { price, shares, fee, margin })
    }

    /// The least budget of a job for these works: with a foreman if there are several. `reserve` is what the
    /// check of the foreman's own work may cost.
    ///
    /// # Errors
    /// What is not for sale.
    pub fn least_budget(
        &self,
        works: &[Service],
        prices: &Prices,
        reserve: i128,
    ) -> Result<i128, NoQuote> {
        if let [alone] = works {
            let price = prices.get(alone).ok_or(NoQuote::NotForSale(*alone))?;
            return Ok(self.least_share(*price));
        }
        match self.quote(works, prices, 0) {
            Ok(quote) => Ok(quote.price + reserve),
            Err(NoQuote::TooLittle { least }) => Ok(least + reserve),
            Err(other) => Err(other),
        }
    }

    /// What one more try may cost: its first share, or what is left if that is less.
    /// `None` if that would hire nobody.
    pub fn again(&self, share: i128, left: i128, price: i128) -> Option<i128> {
        let share = share.min(left);
        (share >= self.least_share(price)).then_some(share)
    }
}

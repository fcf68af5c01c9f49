//! What a proxied service costs, by method and path: a small TOML file, or one price for all.
//!
//! ```toml
//! price = "0.001"            # whatever no route below names; without it, nothing else is sold
//!
//! [[route]]
//! method = "POST"            # any method if missing
//! path = "/api/generate"     # exactly; "/api/*" is everything below
//! price = "0.00002"
//! per = "token"              # "request" (the default), "kB" or "token"
//! most = "0.02"              # the most that one request may cost; needed unless per request
//!
//! [[route]]
//! path = "/health"
//! price = "0"                # free
//! ```

use http::Method;
use money::{Amount, Asset};
use serde::Deserialize;
use thiserror::Error;

/// The longest price list that is read, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// The most routes of one price list.
pub const MAX_ROUTES: usize = 256;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Per {
    /// Each answered request.
    #[default]
    #[serde(rename = "request")]
    Request,
    /// Each thousand bytes of the answer's body, begun ones too.
    #[serde(rename = "kB")]
    Kilobyte,
    /// Each token that a language model reports to have read or written.
    #[serde(rename = "token")]
    Token,
}

impl Per {
    /// The word in a price list and on a command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Per::Request => "request",
            Per::Kilobyte => "kB",
            Per::Token => "token",
        }
    }
}

impl std::str::FromStr for Per {
    type Err = PriceError;

    fn from_str(word: &str) -> Result<Per, PriceError> {
        [Per::Request, Per::Kilobyte, Per::Token]
            .into_iter()
            .find(|per| per.as_str() == word)
            .ok_or_else(|| PriceError::Unit { word: word.chars().take(40).collect() })
    }
}

/// A price, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tariff {
    /// For each unit; more than nothing.
    pub price: Amount,
    /// The unit.
    pub per: Per,
    /// The most that one request may cost: the price itself where that is per request.
    pub most: Amount,
}

impl Tariff {
    /// What so many units cost, and never more than [`Tariff::most`].
    pub fn charge(&self, units: u64) -> Amount {
        let asked = self.price.minor().saturating_mul(i128::from(units));
        Amount::from_minor(self.price.asset(), asked.min(self.most.minor()))
    }
}

/// What is asked for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priced {
    /// This much.
    At(Tariff),
    /// Nothing: it passes without payment.
    Free,
    /// It is not for sale, and does not pass.
    NotSold,
}

/// A price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    routes: Vec<Route>,
    otherwise: Priced,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    method: Option<Method>,
    path: String,
    below: bool,
    priced: Priced,
}

/// Why a price list is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PriceError {
    /// Longer than [`MAX_TEXT`].
    #[error("the price list has {length} bytes; at most {MAX_TEXT} are read")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// Not the TOML that it should be.
    #[error("the price list cannot be read: {0}")]
    Toml(String),
    /// More than [`MAX_ROUTES`].
    #[error("the price list has {0} routes; at most {MAX_ROUTES} are taken")]
    TooManyRoutes(usize),
    /// Nothing is sold.
    #[error("the price list sells nothing: it has neither a `price` nor a `[[route]]`")]
    Empty,
    /// A price that is no amount, or less than nothing.
    #[error("{place}: `{text}` is no price: {cause}")]
    Price {
        /// Which route.
        place: String,
        /// What it says.
        text: String,
        /// What is wrong.
        cause: String,
    },
    /// A metered price without `most`, or with one that is less than one unit.
    #[error(
        "{place}: a price per {} needs `most`, the most that one request may cost, of at least one unit's price", .per.as_str()
    )]
    Most {
        /// Which route.
        place: String,
        /// What is counted.
        per: Per,
    },
    /// A path that is none.
    #[error("`{path}` is no path: it begins with `/` and may end with `/*`")]
    Path {
        /// What it says.
        path: String,
    },
    /// A method that is none.
    #[error("`{method}` is no HTTP method")]
    Method {
        /// What it says.
        method: String,
    },
    /// A unit that nobody counts.
    #[error("`{word}` is no unit; it is one of request, kB, token")]
    Unit {
        /// What it says.
        word: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPrices {
    price: Option<String>,
    #[serde(default)]
    per: Per,
    most: Option<String>,
    #[serde(default)]
    route: Vec<WrittenRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoute {
    method: Option<String>,
    path: String,
    price: String,
    #[serde(default)]
    per: Per,
    most: Option<String>,
}

impl Prices {
    /// One price for everything.
    ///
    /// # Errors
    /// [`PriceError::Price`], [`PriceError::Most`].
    pub fn one(
        asset: Asset,
        price: &str,
        per: Per,
        most: Option<&str>,
    ) -> Result<Prices, PriceError> {
        Ok(Prices { routes: Vec::new(), otherwise: priced(asset, "the price", price, per, most)? })
    }

    /// Reads a price list.
    ///
    /// # Errors
    /// [`PriceError`], which names the place.
    pub fn parse(asset: Asset, text: &str) -> Result<Prices, PriceError> {
        if text.len() > MAX_TEXT {
            return Err(PriceError::TooLong { length: text.len() });
        }
        let written: WrittenPrices =
            toml::from_str(text).map_err(|e| PriceError::Toml(e.to_string()))?;
        if written.route.len() > MAX_ROUTES {
            return Err(PriceError::TooManyRoutes(written.route.len()));
        }
        if written.route.is_empty() && written.price.is_none() {
            return Err(PriceError::Empty);
        }
        let otherwise = match &written.price {
            None => Priced::NotSold,
            Some(price) => priced(asset, "the price", price, written.per, written.most.as_deref())?,
        };
        let routes =
            written.route.iter().map(|route| read(asset, route)).collect::<Result<_, _>>()?;
        Ok(Prices { routes, otherwise })
    }

    /// What a request costs: the first route that fits decides.
    pub fn of(&self, method: &Method, path: &str) -> Priced {
        let fits = |route: &&Route| {
            route.method.as_ref().is_none_or(|m| m == method)
                && if route.below { path.starts_with(&route.path) } else { path == route.path }
        };
        self.routes.iter().find(fits).map_or(self.otherwise, |route| route.priced)
    }

    /// By which method something is sold at a path, and what it costs; the first route that fits
    /// decides.
    pub fn sold_by(&self, path: &str) -> Option<(Method, Tariff)> {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].into_iter().find_map(|method| {
            match self.of(&method, path) {
                Priced::At(tariff) => Some((method, tariff)),
                Priced::Free | Priced::NotSold => None,
            }
        })
    }

    /// Every price of the list, for people: what, how much.
    pub fn lines(&self) -> Vec<(String, Priced)> {
        let routes = self.routes.iter().map(|route| {
            let method = route.method.as_ref().map_or("any", Method::as_str);
            let star = if route.below { "*" } else { "" };
            (format!("{method} {}{star}", route.path), route.priced)
        });
        let rest = (self.otherwise != Priced::NotSold)
            .then(|| ("everything else".to_string(), self.otherwise));
        routes.chain(rest).collect()
    }
}

fn read(asset: Asset, written: &WrittenRoute) -> Result<Route, PriceError> {
    let said = |text: &str| text.chars().take(120).collect::<String>();
    let method = match &written.method {
        None => None,
        Some(text) => Some(
            text.to_uppercase()
                .parse::<Method>()
                .map_err(|_| PriceError::Method { method: said(text) })?,
        ),
    };
    let (path, below) = match written.path.strip_suffix('*') {
        Some(start) if start.ends_with('/') => (start, true),
        Some(_) => return Err(PriceError::Path { path: said(&written.path) }),
        None => (written.path.as_str(), false),
    };
    if !path.starts_with('/') || path.contains(['*', '?', '#']) {
        return Err(PriceError::Path { path: said(&written.path) });
    }
    let place = format!("route {}", said(&written.path));
    let priced = priced(asset, &place, &written.price, written.per, written.most.as_deref())?;
    Ok(Route { method, path: path.to_string(), below, priced })
}

fn priced(
    asset: Asset,
    place: &str,
    price: &str,
    per: Per,
    most: Option<&str>,
) -> Result<Priced, PriceError> {
    let wrong = |text: &str, cause: String| PriceError::Price {
        place: place.into(),
        text: text.chars().take(40).collect(),
        cause,
    };
    let read = |text: &str| {
        let amount = Amount::parse(asset, text).map_err(|e| wrong(text, e.to_string()))?;
        if amount.minor() < 0 {
            return Err(wrong(text, "it is less than nothing".into()));
        }
        Ok(amount)
    };
    let price = read(price)?;
    if price.is_zero() {
        return Ok(Priced::Free);
    }
    let most = match (per, most) {
        (Per::Request, None) => price,
        (Per::Request, Some(most)) => {
            return Err(wrong(most, "a price per request has no `most`".into()));
        }
        (_, None) => return Err(PriceError::Most { place: place.into(), per }),
        (_, Some(most)) => read(most)?,
    };
    if most.minor() < price.minor() {
        return Err(PriceError::Most { place: place.into(), per });
    }
    Ok(Priced::At(Tariff { price, per, most }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn musd(minor: i128) -> Amount {
        Amount::from_minor(Asset::MUSD, minor)
    }

    fn parse(text: &str) -> Result<Prices, PriceError> {
        Prices::parse(Asset::MUSD, text)
    }

    #[test]
    fn the_first_route_that_fits_decides() {
        let prices = parse(
            r#"
            price = "0.001"
            [[route]]
            method = "post"
            path = "/api/generate"
            price = "0.00002"
            per = "token"
            most = "0.02"
            [[route]]
            path = "/files/*"
            price = "0.0001"
            per = "kB"
            most = "1"
            [[route]]
            path = "/health"
            price = "0"
            "#,
        )
        .unwrap();
        let tokens = Tariff { price: musd(20), per: Per::Token, most: musd(20_000) };
        let bytes = Tariff { price: musd(100), per: Per::Kilobyte, most: musd(1_000_000) };
        let usual = Tariff { price: musd(1_000), per: Per::Request, most: musd(1_000) };
        for (method, path, expected) in [
            (Method::POST, "/api/generate", Priced::At(tokens)),
            (Method::GET, "/api/generate", Priced::At(usual)),
            (Method::POST, "/api/generate/x", Priced::At(usual)),
            (Method::GET, "/files/a/b", Priced::At(bytes)),
            (Method::GET, "/files", Priced::At(usual)),
            (Method::GET, "/health", Priced::Free),
        ] {
            assert_eq!(prices.of(&method, path), expected, "{method} {path}");
        }
        assert_eq!(tokens.charge(0), musd(0));
        assert_eq!(tokens.charge(7), musd(140));
        assert_eq!(tokens.charge(u64::MAX), musd(20_000), "never more than the most");
    }

    #[test]
    fn without_a_price_for_the_rest_only_the_routes_are_sold() {
        let prices = parse("[[route]]\npath = \"/a\"\nprice = \"1\"").unwrap();
        assert_eq!(prices.of(&Method::GET, "/b"), Priced::NotSold);
        assert_eq!(prices.lines().len(), 1);
    }

    #[test]
    fn what_is_no_price_list_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "sells nothing"),
            ("price = 1", "cannot be read"),
            ("prise = \"1\"", "cannot be read"),
            ("price = \"-1\"", "the price: `-1`"),
            ("price = \"a\"", "the price: `a`"),
            ("price = \"1\"\nper = \"byte\"", "cannot be read"),
            ("price = \"1\"\nper = \"kB\"", "needs `most`"),
            ("price = \"1\"\nper = \"token\"\nmost = \"0.5\"", "needs `most`"),
            ("price = \"1\"\nmost = \"2\"", "has no `most`"),
            ("[[route]]\npath = \"a\"\nprice = \"1\"", "`a` is no path"),
            ("[[route]]\npath = \"/a*\"\nprice = \"1\"", "`/a*` is no path"),
            ("[[route]]\npath = \"/a?b\"\nprice = \"1\"", "`/a?b` is no path"),
            ("[[route]]\npath = \"/a\"\nmethod = \"G T\"\nprice = \"1\"", "no HTTP method"),
            ("[[route]]\npath = \"/a\"\nprice = \"x\"", "route /a: `x`"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
        assert!(matches!(parse(&"#".repeat(MAX_TEXT + 1)), Err(PriceError::TooLong { .. })));
        let many = "[[route]]\npath = \"/a\"\nprice = \"1\"\n".repeat(MAX_ROUTES + 1);
        assert_eq!(parse(&many), Err(PriceError::TooManyRoutes(MAX_ROUTES + 1)));
    }
}

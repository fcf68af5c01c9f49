//! Money and capital: what circulates, what is locked, and what of it is counted twice.
//!
//! Holdings are handed in by whoever reads the chain. Amounts are integers; a value is an amount at
//! a price, rounded down. What has no price is listed as unpriced and never counted as nothing.
//!
//! - **Circulating** = minted − burned − held by the issuer − locked in bridges.
//! - **TVL, gross**: the value of every token that vaults hold, receipts for what lies in other vaults
//!   included, each at what stands behind it. It counts the same money once for each time it was
//!   deposited onwards.
//! - **TVL, net**: the value of what is no receipt and not the vault's own token: *total value
//!   redeemable* (Luo et al. 2024, arXiv 2404.11745). In December 2021 gross was about twice net.

use std::collections::BTreeMap;

use money::{Amount, Asset};
use serde::Serialize;

use crate::{Accounts, EconomyError, Ratio, Sector};

/// How much of an asset there is, and where; in its minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Supply {
    /// Ever made.
    pub minted: Amount,
    /// Ever destroyed.
    pub burned: Amount,
    /// Held by its issuer, so not in anybody's hands.
    pub treasury: Amount,
    /// Locked because its twin circulates on another chain.
    pub bridged: Amount,
}

impl Supply {
    /// Minted − burned − treasury − bridged.
    ///
    /// # Errors
    /// [`EconomyError::Holding`] if the four are not of one asset, or more was taken out than made.
    pub fn circulating(&self) -> Result<Amount, EconomyError> {
        let refused = |problem| EconomyError::Holding {
            what: format!("supply of {}", self.minted.asset()),
            problem,
        };
        [self.burned, self.treasury, self.bridged]
            .into_iter()
            .try_fold(self.minted, |left, part| left.checked_sub(part).ok())
            .ok_or_else(|| refused("has parts in different assets, or past what can be counted"))
            .and_then(|left| {
                if left.is_negative() {
                    Err(refused("is below zero: more was taken out than was ever made"))
                } else {
                    Ok(left)
                }
            })
    }
}

/// What a vault can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Token {
    /// An asset that is no claim on a vault.
    Asset(Asset),
    /// A claim on a share of what this vault holds: a wrapped, staked or deposited token.
    Receipt(String),
}

/// A contract that keeps other people's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vault {
    /// Its name, by which receipts refer to it.
    pub name: String,
    /// What it holds, in minor units; each above zero.
    pub holds: Vec<(Token, i128)>,
    /// Receipts that it has issued, in minor units.
    pub receipts: i128,
    /// Its own token, if it has one: kept apart from what users put in.
    pub own_token: Option<Asset>,
}

/// What an asset is worth: `value` minor units of the unit of account for `of` minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Price {
    /// In minor units of the unit of account.
    pub value: i128,
    /// For so many minor units of the asset; above zero.
    pub of: i128,
}

/// What all vaults hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    /// Every token, receipts included.
    pub gross: Amount,
    /// Tokens that are no receipts and not the vault's own.
    pub net: Amount,
    /// Gross / net: how often a deposit was deposited onwards.
    pub gross_to_net: Ratio,
    /// Tokens of vaults themselves, in neither figure.
    pub own_tokens: Amount,
    /// Assets without a price, and how much of them is held: in no figure.
    pub unpriced: BTreeMap<String, i128>,
}

/// What these vaults hold, in minor units of `unit`; the unit of account itself needs no price.
///
/// # Errors
/// [`EconomyError::Holding`]: two vaults of one name, an amount not above zero, more receipts held
/// than were issued, receipts of an unknown vault, receipts that stand for each other in a circle,
/// a price of nothing, or a sum past what can be counted.
pub fn locked(
    vaults: &[Vault],
    unit: Asset,
    prices: &BTreeMap<Asset, Price>,
) -> Result<Locked, EconomyError> {
    let mut books = Books { unit, prices, vaults: BTreeMap::new(), values: BTreeMap::new() };
    for vault in vaults {
        if books.vaults.insert(&vault.name, vault).is_some() {
            return Err(refused(&vault.name, "is there twice"));
        }
    }
    books.check()?;
    let mut sums = Sums::default();
    for vault in vaults {
        for (token, amount) in &vault.holds {
            let value = books.value(token, *amount, &mut Vec::new())?;
            match (token, value) {
                (Token::Asset(asset), None) => {
                    let held = sums.unpriced.entry(asset.code().to_owned()).or_default();
                    *held = held.checked_add(*amount).ok_or_else(|| too_large(&vault.name))?;
                }
                (Token::Asset(asset), Some(value)) if vault.own_token == Some(*asset) => {
                    sums.own = add(sums.own, value, &vault.name)?;
                }
                (Token::Asset(_), Some(value)) => {
                    sums.net = add(sums.net, value, &vault.name)?;
                    sums.gross = add(sums.gross, value, &vault.name)?;
                }
                (Token::Receipt(_), value) => {
                    sums.gross = add(sums.gross, value.unwrap_or(0), &vault.name)?;
                }
            }
        }
    }
    let amount = |minor| Amount::from_minor(unit, minor);
    Ok(Locked {
        gross: amount(sums.gross),
        net: amount(sums.net),
        gross_to_net: Ratio { numerator: sums.gross, denominator: sums.net },
        own_tokens: amount(sums.own),
        unpriced: sums.unpriced,
    })
}

#[derive(Default)]
struct Sums {
    gross: i128,
    net: i128,
    own: i128,
    unpriced: BTreeMap<String, i128>,
}

/// The vaults by name, and what each was found to be worth.
struct Books<'a> {
    unit: Asset,
    prices: &'a BTreeMap<Asset, Price>,
    vaults: BTreeMap<&'a str, &'a Vault>,
    values: BTreeMap<&'a str, i128>,
}

impl<'a> Books<'a> {
    fn check(&self) -> Result<(), EconomyError> {
        let mut receipts: BTreeMap<&str, i128> = BTreeMap::new();
        for vault in self.vaults.values() {
            for (token, amount) in &vault.holds {
                if *amount <= 0 {
                    return Err(refused(&vault.name, "holds an amount that is not above zero"));
                }
                if let Token::Receipt(of) = token {
                    let held = receipts.entry(of).or_default();
                    *held = add(*held, *amount, of)?;
                }
            }
        }
        for (of, held) in receipts {
            let vault = self.vaults.get(of).ok_or_else(|| refused(of, "is no known vault"))?;
            if held > vault.receipts {
                return Err(refused(of, "has issued fewer receipts than are held"));
            }
        }
        check_prices(self.prices)
    }

    /// What this much is worth; none if it has no price.
    fn value(
        &mut self,
        token: &'a Token,
        amount: i128,
        above: &mut Vec<&'a str>,
    ) -> Result<Option<i128>, EconomyError> {
        match token {
            Token::Asset(asset) if *asset == self.unit => Ok(Some(amount)),
            Token::Asset(asset) => match self.prices.get(asset) {
                None => Ok(None),
                Some(price) => share(amount, price.value, price.of, asset.code()).map(Some),
            },
            Token::Receipt(of) => {
                let backing = self.backing(of, above)?;
                share(amount, backing, self.vaults[of.as_str()].receipts, of).map(Some)
            }
        }
    }

    /// What stands behind all receipts of a vault. What has no price adds nothing here: the vault
    /// that holds it lists it as unpriced.
    fn backing(&mut self, of: &'a str, above: &mut Vec<&'a str>) -> Result<i128, EconomyError> {
        if let Some(known) = self.values.get(of) {
            return Ok(*known);
        }
        if above.contains(&of) {
            return Err(refused(of, "is a claim on itself, through others: it has no value"));
        }
        above.push(of);
        let vault = self.vaults[of];
        let mut sum = 0;
        for (token, amount) in &vault.holds {
            let value = self.value(token, *amount, above)?.unwrap_or(0);
            sum = add(sum, value, of)?;
        }
        above.pop();
        self.values.insert(of, sum);
        Ok(sum)
    }
}

fn check_prices(prices: &BTreeMap<Asset, Price>) -> Result<(), EconomyError> {
    let wrong = prices.iter().find(|(_, price)| price.of <= 0 || price.value < 0);
    wrong.map_or(Ok(()), |(asset, _)| Err(refused(asset.code(), "has a price that is none")))
}

fn share(amount: i128, value: i128, of: i128, what: &str) -> Result<i128, EconomyError> {
    amount.checked_mul(value).map(|product| product / of).ok_or_else(|| too_large(what))
}

fn add(sum: i128, part: i128, what: &str) -> Result<i128, EconomyError> {
    sum.checked_add(part).ok_or_else(|| too_large(what))
}

fn too_large(what: &str) -> EconomyError {
    refused(what, "is past what can be counted")
}

fn refused(what: &str, problem: &'static str) -> EconomyError {
    EconomyError::Holding { what: what.to_owned(), problem }
}

/// An asset on the market, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// How much there is, and where. It names the asset.
    pub supply: Supply,
    /// The asset of which each unit of this one is a claim on a unit, if it is one: what is wrapped,
    /// staked or bridged. Its worth lies in that asset already.
    pub stands_for: Option<Asset>,
}

/// What all assets on the market are worth: price × circulating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capitalisation {
    /// All of them, as they are listed.
    pub gross: Amount,
    /// Less what stands for another listed asset: each unit once.
    pub net: Amount,
    /// Circulating amounts of assets without a price, in their own minor units: in no figure.
    pub unpriced: BTreeMap<String, i128>,
}

/// What these assets are worth in minor units of `unit`, which itself needs no price.
///
/// # Errors
/// [`EconomyError::Holding`]: an asset that is listed twice, stands for itself (through others, too)
/// or for one that is not listed, a supply or a price that is none, or a sum past what can be counted.
pub fn market_capitalisation(
    listings: &[Listing],
    unit: Asset,
    prices: &BTreeMap<Asset, Price>,
) -> Result<Capitalisation, EconomyError> {
    let mut listed: BTreeMap<Asset, &Listing> = BTreeMap::new();
    for listing in listings {
        let asset = listing.supply.minted.asset();
        if listed.insert(asset, listing).is_some() {
            return Err(refused(asset.code(), "is listed twice"));
        }
    }
    check_prices(prices)?;
    let mut found = Capitalisation {
        gross: Amount::zero(unit),
        net: Amount::zero(unit),
        unpriced: BTreeMap::new(),
    };
    let (mut gross, mut net) = (0, 0);
    for (asset, listing) in &listed {
        let mut base = listing.stands_for;
        for _ in 0..=listed.len() {
            let Some(behind) = base else { break };
            let Some(next) = listed.get(&behind) else {
                return Err(refused(asset.code(), "stands for an asset that is not listed"));
            };
            base = next.stands_for;
        }
        if base.is_some() {
            return Err(refused(asset.code(), "stands for itself, through others"));
        }
        let circulating = listing.supply.circulating()?.minor();
        let value = match prices.get(asset) {
            _ if *asset == unit => circulating,
            Some(price) => share(circulating, price.value, price.of, asset.code())?,
            None => {
                found.unpriced.insert(asset.code().to_owned(), circulating);
                continue;
            }
        };
        gross = add(gross, value, asset.code())?;
        if listing.stands_for.is_none() {
            net = add(net, value, asset.code())?;
        }
    }
    (found.gross, found.net) = (Amount::from_minor(unit, gross), Amount::from_minor(unit, net));
    Ok(found)
}

/// How much of GDP is finance: settlement, escrow, lending, exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FinancialShare {
    /// Value added of the sector *protocol* / GDP.
    pub share: Ratio,
    /// Whether that lies within the 10 to 20 % that the source of this project expects of an economy
    /// (Sokolin 2023). None where there is no GDP.
    pub as_expected: Option<bool>,
}

/// The financial share of these accounts' GDP.
pub fn financial_share(accounts: &Accounts) -> FinancialShare {
    let finance = accounts
        .sectors
        .iter()
        .filter(|sector| sector.sector == Some(Sector::Protocol))
        .map(|sector| sector.value_added.minor())
        .sum();
    let share = Ratio { numerator: finance, denominator: accounts.gdp_production.minor() };
    let as_expected = share.hundredths().map(|hundredths| (10..=20).contains(&hundredths));
    FinancialShare { share, as_expected }
}

/// Value added over the period of these accounts, for each minor unit of capital locked, net. Both must
/// be of one unit of account; `n/a` where nothing is locked.
pub fn capital_efficiency(accounts: &Accounts, locked: &Locked) -> Ratio {
    Ratio { numerator: accounts.value_added.minor(), denominator: locked.net.minor() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLD: Asset = Asset::new("GOLD", 3);

    fn vault(name: &str, holds: Vec<(Token, i128)>, receipts: i128) -> Vault {
        Vault { name: name.to_owned(), holds, receipts, own_token: None }
    }

    fn receipt(of: &str) -> Token {
        Token::Receipt(of.to_owned())
    }

    fn musd() -> Token {
        Token::Asset(Asset::MUSD)
    }

    #[test]
    fn a_deposit_that_is_deposited_onwards_is_counted_once_in_net() {
        // 100 staked; the receipts lent; the lender's receipts pooled with 20 more.
        let vaults = [
            vault("stake", vec![(musd(), 100)], 100),
            vault("lend", vec![(receipt("stake"), 100)], 50),
            vault("pool", vec![(receipt("lend"), 50), (musd(), 20)], 10),
        ];
        let locked = locked(&vaults, Asset::MUSD, &BTreeMap::new()).unwrap();
        assert_eq!(locked.gross.minor(), 100 + 100 + 100 + 20);
        assert_eq!(locked.net.minor(), 120);
    }

    #[test]
    fn what_has_no_price_is_said_to_have_none() {
        let vaults = [vault("vault", vec![(Token::Asset(GOLD), 5), (musd(), 7)], 0)];
        let none = locked(&vaults, Asset::MUSD, &BTreeMap::new()).unwrap();
        assert_eq!((none.net.minor(), none.unpriced["GOLD"]), (7, 5));
        let prices = BTreeMap::from([(GOLD, Price { value: 9, of: 2 })]);
        let priced = locked(&vaults, Asset::MUSD, &prices).unwrap();
        assert_eq!((priced.net.minor(), priced.unpriced.len()), (7 + 22, 0));
    }

    #[test]
    fn a_vaults_own_token_is_kept_apart() {
        let own = Vault { own_token: Some(GOLD), ..vault("v", vec![(Token::Asset(GOLD), 5)], 0) };
        let prices = BTreeMap::from([(GOLD, Price { value: 3, of: 1 })]);
        let locked = locked(&[own], Asset::MUSD, &prices).unwrap();
        assert_eq!((locked.net.minor(), locked.own_tokens.minor()), (0, 15));
        assert_eq!(locked.gross_to_net.to_string(), "n/a");
    }

    #[test]
    fn impossible_holdings_are_refused_by_name() {
        let refusal = |vaults: &[Vault]| {
            locked(vaults, Asset::MUSD, &BTreeMap::new()).unwrap_err().to_string()
        };
        let circle =
            [vault("a", vec![(receipt("b"), 1)], 1), vault("b", vec![(receipt("a"), 1)], 1)];
        assert!(refusal(&circle).contains("claim on itself"));
        assert!(refusal(&[vault("a", vec![(receipt("c"), 1)], 1)]).contains("no known vault"));
        let forged = [vault("a", vec![(musd(), 1)], 1), vault("b", vec![(receipt("a"), 2)], 1)];
        assert!(refusal(&forged).contains("fewer receipts"));
        assert!(refusal(&[vault("a", vec![(musd(), 0)], 1)]).contains("not above zero"));
        let two = [vault("a", vec![(musd(), i128::MAX)], 1), vault("b", vec![(musd(), 1)], 1)];
        assert!(refusal(&two).contains("past what can be counted"));
        let twice = [vault("a", vec![], 1), vault("a", vec![], 1)];
        assert!(refusal(&twice).contains("twice"));
    }

    const WRAPPED: Asset = Asset::new("WGOLD", 3);

    fn listing(asset: Asset, minted: i128, stands_for: Option<Asset>) -> Listing {
        let amount = |minor| Amount::from_minor(asset, minor);
        let (burned, treasury, bridged) = (amount(0), amount(0), amount(0));
        Listing { supply: Supply { minted: amount(minted), burned, treasury, bridged }, stands_for }
    }

    #[test]
    fn what_is_wrapped_is_on_the_market_once() {
        let prices =
            BTreeMap::from([GOLD, WRAPPED].map(|asset| (asset, Price { value: 3, of: 1 })));
        let listings = [
            listing(Asset::MUSD, 1_000, None),
            listing(GOLD, 100, None),
            listing(WRAPPED, 40, Some(GOLD)),
            listing(Asset::new("DUST", 0), 7, None),
        ];
        let cap = market_capitalisation(&listings, Asset::MUSD, &prices).unwrap();
        assert_eq!((cap.gross.minor(), cap.net.minor()), (1_000 + 300 + 120, 1_000 + 300));
        assert_eq!(cap.unpriced, BTreeMap::from([("DUST".to_owned(), 7)]));
    }

    #[test]
    fn a_listing_that_cannot_be_is_refused_by_name() {
        let refusal = |listings: &[Listing]| {
            let prices = BTreeMap::from([(GOLD, Price { value: 3, of: 1 })]);
            market_capitalisation(listings, Asset::MUSD, &prices).unwrap_err().to_string()
        };
        let twice = [listing(GOLD, 1, None), listing(GOLD, 2, None)];
        assert!(refusal(&twice).contains("GOLD: is listed twice"));
        let alone = [listing(WRAPPED, 1, Some(GOLD))];
        assert!(refusal(&alone).contains("not listed"));
        let circle = [listing(WRAPPED, 1, Some(GOLD)), listing(GOLD, 1, Some(WRAPPED))];
        assert!(refusal(&circle).contains("stands for itself"));
        assert!(refusal(&[listing(GOLD, -1, None)]).contains("below zero"));
        assert!(
            refusal(&[listing(GOLD, i128::MAX / 2, None)]).contains("past what can be counted")
        );
    }

    #[test]
    fn circulating_is_what_is_in_peoples_hands() {
        let musd = |minor| Amount::from_minor(Asset::MUSD, minor);
        let supply =
            Supply { minted: musd(100), burned: musd(10), treasury: musd(20), bridged: musd(5) };
        assert_eq!(supply.circulating(), Ok(musd(65)));
        let forged = Supply { burned: musd(101), ..supply };
        assert!(forged.circulating().unwrap_err().to_string().contains("more was taken out"));
    }
}

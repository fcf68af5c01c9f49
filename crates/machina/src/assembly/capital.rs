//! Capital locked: what lies in contracts, as far as the books of this home tell.
//!
//! A deposit in a payment channel stands in two books if both parties keep theirs here: the buyer has
//! it prepaid, and for the seller the channels' contract holds it. It is one sum of money, so the
//! buyer's is a receipt for the seller's, and only the latter counts net.

use std::collections::{BTreeMap, BTreeSet};

use economy::{
    Capitalisation, EconomyError, Listing, Locked, Supply, Token, Vault, locked,
    market_capitalisation,
};
use ledger::State;
use mandates::books::Line;
use money::{Amount, Asset, Party};

/// How the names of channels' accounts begin: what a buyer prepaid, what a seller has yet to earn.
const PREPAID: &str = "prepaid/";
const UNEARNED: &str = "unearned/";

/// What contracts hold of this asset for those who keep books here.
///
/// # Errors
/// If the books make no sense, which would be a defect of this program.
pub fn of(state: &State, asset: Asset) -> Result<Locked, EconomyError> {
    let mut held: BTreeMap<Party, i128> = BTreeMap::new();
    let mut prepaid: Vec<(&str, i128)> = Vec::new();
    let mut sellers: BTreeMap<&str, Party> = BTreeMap::new();
    let escrow = Line::Escrow.name();
    for account in state.accounts().filter(|account| account.asset == asset) {
        if let Some(channel) = account.name.strip_prefix(UNEARNED) {
            sellers.insert(channel, account.book);
            continue;
        }
        let channel = account.name.strip_prefix(PREPAID);
        if channel.is_none() && account.name != escrow {
            continue;
        }
        let settled = state.balance(&account.id).map_or(0, |balance| balance.settled().minor());
        match channel {
            _ if settled <= 0 => {}
            Some(channel) => prepaid.push((channel, settled)),
            None => {
                held.insert(account.book, settled);
            }
        }
    }
    // What buyers have in channels of sellers who keep books here is a claim on what these hold.
    let mut claims: BTreeMap<Party, i128> = BTreeMap::new();
    let mut vaults = Vec::new();
    for (channel, amount) in prepaid {
        let token = match sellers.get(channel).filter(|seller| held.contains_key(seller)) {
            Some(seller) => {
                *claims.entry(*seller).or_default() += amount;
                Token::Receipt(escrow_of(*seller))
            }
            None => Token::Asset(asset),
        };
        let name = format!("channel {channel}");
        vaults.push(Vault { name, holds: vec![(token, amount)], receipts: 0, own_token: None });
    }
    for (book, amount) in held {
        // A buyer's book may be a moment behind its seller's: then the claims are more than is held.
        let receipts = claims.get(&book).copied().unwrap_or(0).max(amount);
        let holds = vec![(Token::Asset(asset), amount)];
        vaults.push(Vault { name: escrow_of(book), holds, receipts, own_token: None });
    }
    locked(&vaults, asset, &BTreeMap::new())
}

/// What is a claim on dollars that lie elsewhere, and passes for money where it is taken: prepaid in
/// channels, in escrow, and at the labour market.
const CLAIMS: [Asset; 3] =
    [Asset::new("PREPAID", 6), Asset::new("ESCROW", 6), Asset::new("MARKET", 6)];

/// What all assets of this home are worth, in the asset itself: its supply, and the claims on it that the
/// books know. Each claim stands for as much of the asset, so it is in the gross figure alone. Without a
/// price from outside, the asset is the unit of account and nothing else is priced.
///
/// # Errors
/// As [`market_capitalisation`].
pub fn market(
    state: &State,
    asset: Asset,
    supply: Amount,
    treasury: Option<Amount>,
) -> Result<Capitalisation, EconomyError> {
    let (escrow, market) = (Line::Escrow.name(), Line::Market.name());
    let mut claims = [0i128; CLAIMS.len()];
    // A channel whose seller keeps its book here is in that seller's escrow already.
    let here = |name: &str| name.strip_prefix(UNEARNED).map(str::to_owned);
    let of_asset = || state.accounts().filter(|account| account.asset == asset);
    let sold_here: BTreeSet<String> =
        of_asset().filter_map(|account| here(&account.name)).collect();
    for account in of_asset() {
        let claim = if let Some(channel) = account.name.strip_prefix(PREPAID) {
            if sold_here.contains(channel) {
                continue;
            }
            0
        } else if account.name == escrow {
            1
        } else if account.name == market {
            2
        } else {
            continue;
        };
        let settled = state.balance(&account.id).map_or(0, |balance| balance.settled().minor());
        claims[claim] += settled.max(0);
    }
    let listing = |of: Asset, minted: i128, treasury: i128, stands_for| {
        let amount = |minor| Amount::from_minor(of, minor);
        let (burned, bridged) = (amount(0), amount(0));
        let (minted, treasury) = (amount(minted), amount(treasury));
        Listing { supply: Supply { minted, burned, treasury, bridged }, stands_for }
    };
    let treasury = treasury.map_or(0, |treasury| treasury.minor());
    let mut listings = vec![listing(asset, supply.minor(), treasury, None)];
    let held = CLAIMS.into_iter().zip(claims).filter(|(claim, held)| *held > 0 && *claim != asset);
    listings.extend(held.map(|(claim, held)| listing(claim, held, 0, Some(asset))));
    // A unit of each is a claim on a unit of the asset.
    let at_par = CLAIMS.map(|claim| (claim, economy::Price { value: 1, of: 1 }));
    market_capitalisation(&listings, asset, &BTreeMap::from(at_par))
}

fn escrow_of(book: Party) -> String {
    format!("escrow of {book}")
}

#[cfg(test)]
mod tests {
    use ledger::{Kind, Operation, Reference, Transfer, TransferId};
    use mandates::books;
    use money::Timestamp;

    use super::*;

    fn party(n: u8) -> Party {
        Party::new([n; 20])
    }

    fn moves(state: &mut State, n: u8, book: Party, debit: Line, credit: Line, minor: i128) {
        let asset = Asset::MUSD;
        for line in [debit, credit] {
            let opened = state.apply(Timestamp::from_secs(1), &line.open(book, asset));
            assert!(opened.holds(), "{opened:?}");
        }
        let entry = Operation::Transfer(Transfer {
            id: TransferId::derive("capital", &[&[n]]),
            debit: debit.of(book, asset),
            credit: credit.of(book, asset),
            amount: Amount::from_minor(asset, minor),
            kind: Kind::Transfer,
            counterparty: None,
            reference: Reference::NONE,
            digest: [0; 32],
            hold_until: None,
        });
        let moved = state.apply(Timestamp::from_secs(1), &entry);
        assert!(moved.holds(), "{moved:?}");
    }

    #[test]
    fn a_channel_between_two_books_of_this_home_is_locked_once() {
        let (buyer, seller, payer) = (party(1), party(2), party(3));
        let (here, elsewhere) = ([7; 32], [8; 32]);
        let mut state = State::new();
        for operation in books::open(buyer, Asset::MUSD) {
            assert!(state.apply(Timestamp::from_secs(1), &operation).holds());
        }
        let nothing = of(&state, Asset::MUSD).unwrap();
        assert_eq!((nothing.gross.minor(), nothing.net.minor()), (0, 0));
        assert_eq!(nothing.gross_to_net.to_string(), "n/a");
        moves(&mut state, 1, buyer, Line::Cash, Line::Funding, 1_000);
        moves(&mut state, 2, buyer, Line::Prepaid(here), Line::Cash, 100);
        moves(&mut state, 3, seller, Line::Escrow, Line::Unearned(here), 100);
        // A tenth was earned and lies in the contract still.
        moves(&mut state, 4, buyer, Line::Purchases, Line::Prepaid(here), 10);
        moves(&mut state, 5, seller, Line::Unearned(here), Line::Sales, 10);
        // A channel to somebody whose books are elsewhere, and a payment in escrow.
        moves(&mut state, 6, buyer, Line::Prepaid(elsewhere), Line::Cash, 40);
        moves(&mut state, 7, payer, Line::Cash, Line::Funding, 50);
        moves(&mut state, 8, payer, Line::Escrow, Line::Cash, 5);
        let locked = of(&state, Asset::MUSD).unwrap();
        assert_eq!(locked.net.minor(), 100 + 40 + 5);
        assert_eq!(locked.gross.minor(), 100 + 90 + 40 + 5);
        assert!(locked.unpriced.is_empty());
        // What is prepaid or in escrow is a claim on dollars that are in the supply already.
        let supply = Amount::from_minor(Asset::MUSD, 5_000);
        let treasury = Amount::from_minor(Asset::MUSD, 700);
        let cap = market(&state, Asset::MUSD, supply, Some(treasury)).unwrap();
        assert_eq!(cap.net.minor(), 5_000 - 700);
        assert_eq!(cap.gross.minor(), 4_300 + 40 + (100 + 5), "each channel once");
        assert!(cap.unpriced.is_empty());
    }

    #[test]
    fn a_book_that_is_a_moment_behind_breaks_nothing() {
        let (buyer, seller) = (party(1), party(2));
        let mut state = State::new();
        moves(&mut state, 1, buyer, Line::Cash, Line::Funding, 1_000);
        moves(&mut state, 2, buyer, Line::Prepaid([7; 32]), Line::Cash, 100);
        moves(&mut state, 3, seller, Line::Escrow, Line::Unearned([7; 32]), 60);
        let locked = of(&state, Asset::MUSD).unwrap();
        assert_eq!(locked.net.minor(), 60);
    }
}

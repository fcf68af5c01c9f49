//! Whom to believe among strangers: EigenTrust over paid, checked work.
//!
//! A client that paid for work which passed says with its money that it trusts the worker. Trust
//! flows along these payments from parties that one trusts beforehand, the market's checkers:
//! t ← (1 − a)·Cᵀt + a·p with the row-normalised trust C, the trusted p, and the restart a (S. Kamvar,
//! M. Schlosser and H. Garcia-Molina, "The EigenTrust Algorithm for Reputation Management in P2P
//! Networks", WWW 2003, algorithm 2). A ring that pays only itself gets nothing, however much it
//! pays: nothing flows into it.

use std::collections::BTreeMap;

use money::Party;

use super::Receipt;

/// How much of all trust starts anew with the trusted at each step.
pub const RESTART: f64 = 0.15;

/// The trust in each party: not negative, 1 in all. Empty without trusted parties.
///
/// A client trusts a worker by what it paid it for work that passed, less what it would have paid
/// for work that failed, if that is positive. Checkers whose report was borne out are trusted by
/// the client for their fee. Who trusts nobody trusts the trusted. It ends when nothing changes by
/// 10⁻¹⁰, or after 200 steps, each linear in the pairs of parties that dealt.
pub fn eigentrust(receipts: &[Receipt], trusted: &[Party]) -> BTreeMap<Party, f64> {
    if trusted.is_empty() {
        return BTreeMap::new();
    }
    let mut places: BTreeMap<Party, usize> = BTreeMap::new();
    let mut net: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut place = |party: Party| {
        let next = places.len();
        *places.entry(party).or_insert(next)
    };
    let start: Vec<usize> = trusted.iter().map(|party| place(*party)).collect();
    for receipt in receipts {
        let client = place(receipt.client);
        let paid = receipt.price.minor() as f64;
        let sign = if receipt.passed { 1.0 } else { -1.0 };
        *net.entry((client, place(receipt.worker))).or_default() += sign * paid;
        let fee = receipt.checker_fee.minor() as f64;
        for checker in &receipt.checkers {
            let sign = if checker.agreed { 1.0 } else { -1.0 };
            *net.entry((client, place(checker.checker))).or_default() += sign * fee;
        }
    }
    let size = places.len();
    net.retain(|(from, to), trust| *trust > 0.0 && from != to);
    let mut out = vec![0.0; size];
    for ((from, _), trust) in &net {
        out[*from] += trust;
    }
    let mut prior = vec![0.0; size];
    for trusted in &start {
        prior[*trusted] += 1.0 / start.len() as f64;
    }
    let mut trust = prior.clone();
    for _ in 0..200 {
        let mut next = vec![0.0; size];
        for ((from, to), weight) in &net {
            next[*to] += trust[*from] * weight / out[*from];
        }
        let idle: f64 = (0..size).filter(|at| out[*at] == 0.0).map(|at| trust[at]).sum();
        let mut change: f64 = 0.0;
        for at in 0..size {
            let flowed = next[at] + idle * prior[at];
            let value = (1.0 - RESTART) * flowed + RESTART * prior[at];
            change = change.max((value - trust[at]).abs());
            next[at] = value;
        }
        trust = next;
        if change < 1e-10 {
            break;
        }
    }
    places.into_iter().map(|(party, at)| (party, trust[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{JobId, Skill};
    use money::{Amount, Asset, Timestamp};

    fn party(n: u8) -> Party {
        Party::new([n; 20])
    }

    fn paid(client: u8, worker: u8, minor: i128, passed: bool) -> Receipt {
        Receipt {
            job: JobId::from_u128(0),
            at: Timestamp::default(),
            skill: Skill::from_u128(1),
            client: party(client),
            worker: party(worker),
            price: Amount::from_minor(Asset::MUSD, minor),
            fee: Amount::zero(Asset::MUSD),
            checker_fee: Amount::zero(Asset::MUSD),
            passed,
            checkers: Vec::new(),
        }
    }

    #[test]
    fn a_ring_that_pays_only_itself_is_trusted_by_nobody() {
        let mut receipts = vec![paid(1, 2, 10, true), paid(2, 3, 10, true), paid(1, 4, 10, false)];
        for n in 10..20 {
            receipts.push(paid(n, if n == 19 { 10 } else { n + 1 }, 1_000_000, true));
        }
        let trust = eigentrust(&receipts, &[party(1)]);
        assert!(trust[&party(2)] > 0.1 && trust[&party(3)] > 0.1);
        assert_eq!(trust[&party(4)], 0.0);
        assert!((10..20).all(|n| trust[&party(n)] == 0.0));
        assert!((trust.values().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(eigentrust(&receipts, &[]).is_empty());
    }
}

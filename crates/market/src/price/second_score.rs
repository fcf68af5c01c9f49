//! The second-score auction, for buying work: the best score wins and is paid so much that its
//! score would equal the second best.
//!
//! The score of a bid is `worth · q − price` with the bidder's quality `q`, as Y.-K. Che proposed
//! ("Design competition through multidimensional auctions", RAND Journal of Economics 24, 1993). Here
//! q is measured and not part of the bid, so a bidder has only its price to choose. It wins exactly
//! if its price is at most `min(reserve, worth · q − s₂)`, where s₂ is the best score among the
//! others (and not less than 0, since the client does not buy at a loss), and that is what it is
//! paid. The price paid does not depend on its own bid, so no bid is better than its true cost
//! (W. Vickrey, 1961): a property test looks for one that is. It holds within one round. A worker
//! with room for fewer jobs than it bids for, or one that plans for its record, may do better by
//! other bids.
//!
//! Equal scores are decided by the entropy of the round and never by who came first: being fast
//! gains nothing.

use crate::entropy::Draws;
use crate::rules::MILLION;

/// What decides about one bid. Money is in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bidder {
    /// What it asks.
    pub price: i128,
    /// Its quality in this round, in millionths.
    pub quality: u32,
}

/// What the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The most that is paid, in minor units.
    pub reserve: i128,
    /// What perfect work is worth, in minor units.
    pub worth: i128,
    /// The least quality, in millionths.
    pub quality: u32,
}

/// Who won, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Award {
    /// The bid's place.
    pub bid: usize,
    /// What it is paid, in minor units: at least what it asked.
    pub price: i128,
    /// Its score.
    pub score: i128,
    /// The best score among the others, or 0.
    pub second: i128,
}

/// What work of this quality is worth, rounded down.
pub fn value(worth: i128, quality: u32) -> i128 {
    worth * i128::from(quality) / i128::from(MILLION)
}

/// Decides a round. `None` if no bid is within the reserve, good enough and worth its price.
///
/// Takes time linear in the bids.
pub fn clear(bidders: &[Bidder], demand: &Demand, draws: &mut Draws) -> Option<Award> {
    let mut best: Option<(usize, i128)> = None;
    let mut second = 0;
    let mut equals = 0u128;
    for (bid, bidder) in bidders.iter().enumerate() {
        let score = value(demand.worth, bidder.quality) - bidder.price;
        if bidder.price > demand.reserve || bidder.quality < demand.quality || score < 0 {
            continue;
        }
        match best {
            Some((_, leading)) if score < leading => second = second.max(score),
            Some((_, leading)) if score == leading => {
                // The n-th of equals takes the lead with chance 1/n: all alike.
                equals += 1;
                second = leading;
                if draws.below(equals) == 0 {
                    best = Some((bid, score));
                }
            }
            Some((_, leading)) => {
                second = leading;
                best = Some((bid, score));
                equals = 1;
            }
            None => {
                best = Some((bid, score));
                equals = 1;
            }
        }
    }
    best.map(|(bid, score)| {
        let threshold = value(demand.worth, bidders[bid].quality) - second;
        Award { bid, price: threshold.min(demand.reserve), score, second }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEMAND: Demand = Demand { reserve: 100, worth: 200, quality: 300_000 };

    fn bidder() -> impl Strategy<Value = Bidder> {
        (1i128..150, 0u32..=MILLION).prop_map(|(price, quality)| Bidder { price, quality })
    }

    /// What a bidder with this true cost gains by a bid.
    fn gain(bidders: &[Bidder], me: usize, bid: i128, cost: i128, seed: u64) -> i128 {
        let mut bidders = bidders.to_vec();
        bidders[me].price = bid;
        match clear(&bidders, &DEMAND, &mut Draws::seeded(seed)) {
            Some(award) if award.bid == me => award.price - cost,
            _ => 0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_bid_gains_more_than_the_true_cost(
            bidders in prop::collection::vec(bidder(), 1..8),
            other in 1i128..150,
            seed in any::<u64>(),
        ) {
            let cost = bidders[0].price;
            let truthful = gain(&bidders, 0, cost, cost, seed);
            prop_assert!(truthful >= 0, "the truth loses {truthful}");
            prop_assert!(gain(&bidders, 0, other, cost, seed) <= truthful);
        }

        #[test]
        fn the_winner_gets_what_it_asked_and_the_client_pays_at_most_reserve_and_worth(
            bidders in prop::collection::vec(bidder(), 0..8),
            seed in any::<u64>(),
        ) {
            if let Some(award) = clear(&bidders, &DEMAND, &mut Draws::seeded(seed)) {
                let winner = bidders[award.bid];
                prop_assert!(award.price >= winner.price);
                prop_assert!(award.price <= DEMAND.reserve);
                prop_assert!(award.price <= value(DEMAND.worth, winner.quality));
                prop_assert!(winner.quality >= DEMAND.quality);
                let best = bidders
                    .iter()
                    .filter(|b| b.price <= DEMAND.reserve && b.quality >= DEMAND.quality)
                    .map(|b| value(DEMAND.worth, b.quality) - b.price)
                    .max();
                prop_assert_eq!(best, Some(award.score));
            }
        }
    }

    #[test]
    fn equals_win_equally_often_wherever_they_stand() {
        let bidders = [Bidder { price: 50, quality: 900_000 }; 4];
        let mut won = [0; 4];
        for seed in 0..4_000 {
            let award = clear(&bidders, &DEMAND, &mut Draws::seeded(seed)).unwrap();
            assert_eq!(award.price, 50);
            won[award.bid] += 1;
        }
        assert!(won.iter().all(|n| (900..1100).contains(n)), "{won:?}");
    }

    #[test]
    fn who_bids_alone_is_paid_the_reserve_or_all_that_its_work_is_worth() {
        let alone = |quality| {
            clear(&[Bidder { price: 10, quality }], &DEMAND, &mut Draws::seeded(0)).map(|a| a.price)
        };
        assert_eq!(alone(1_000_000), Some(100));
        assert_eq!(alone(400_000), Some(80));
        assert_eq!(alone(299_999), None);
    }
}

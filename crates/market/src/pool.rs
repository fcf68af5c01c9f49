//! The pool of checkers: who may be drawn, and with what weight.
//!
//! A checker is drawn with the chance of its free stake's part in the whole: two identities with
//! half the stake each are drawn as often as one with all of it, so splitting oneself gains
//! nothing. Drawing takes time logarithmic in the size of the pool (a Fenwick tree; P. Fenwick, "A
//! New Data Structure for Cumulative Frequency Tables", 1994).

use std::collections::BTreeSet;

use crate::entropy::Draws;

/// Weights by place, with their sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    /// What each place can put at stake: its stake less what is locked.
    weights: Vec<i128>,
    /// Fenwick sums; place n is at n + 1.
    sums: Vec<i128>,
    total: i128,
    /// How many places weigh something.
    members: u32,
    /// Those that weigh something, by weight.
    ordered: BTreeSet<(i128, usize)>,
}

impl Pool {
    /// Gives a place a weight; places that were never given one weigh nothing.
    pub(crate) fn set(&mut self, place: usize, weight: i128) {
        self.ordered.remove(&(self.weight(place), place));
        if weight > 0 {
            self.ordered.insert((weight, place));
        }
        self.put(place, weight);
    }

    /// Whether `needs` could be drawn that weigh at least `least` and are not `excluded`: how many
    /// there are, counted up to `needs`. Takes time linear in `needs` and those excluded.
    pub(crate) fn able(&self, needs: u32, least: i128, excluded: impl Fn(usize) -> bool) -> u32 {
        let heavy = self.ordered.iter().rev().take_while(|(weight, _)| *weight >= least);
        let most = usize::try_from(needs).expect("panels are small");
        let able = heavy.filter(|(_, place)| !excluded(*place)).take(most).count();
        u32::try_from(able).expect("at most what is needed")
    }

    fn put(&mut self, place: usize, weight: i128) {
        debug_assert!(weight >= 0, "nobody has less than nothing at stake");
        while self.weights.len() <= place {
            self.weights.push(0);
            let at = self.weights.len();
            if self.sums.is_empty() {
                self.sums.push(0);
            }
            // A new place sums the weights that its lowest bit spans.
            let low = at & at.wrapping_neg();
            let mut sum = 0;
            let (mut child, stop) = (at - 1, at - low);
            while child > stop {
                sum += self.sums[child];
                child -= child & child.wrapping_neg();
            }
            self.sums.push(sum);
        }
        let before = std::mem::replace(&mut self.weights[place], weight);
        self.members = self.members + u32::from(weight > 0) - u32::from(before > 0);
        self.total += weight - before;
        let mut at = place + 1;
        while at < self.sums.len() {
            self.sums[at] += weight - before;
            at += at & at.wrapping_neg();
        }
    }

    /// How many could be drawn.
    pub(crate) fn members(&self) -> u32 {
        self.members
    }

    /// A place's weight.
    pub(crate) fn weight(&self, place: usize) -> i128 {
        self.weights.get(place).copied().unwrap_or(0)
    }

    /// Whose part of the whole contains this point.
    fn at(&self, mut point: i128) -> usize {
        let mut place = 0;
        let mut step = self.sums.len().next_power_of_two() >> 1;
        while step > 0 {
            let next = place + step;
            if next < self.sums.len() && self.sums[next] <= point {
                place = next;
                point -= self.sums[next];
            }
            step >>= 1;
        }
        place
    }

    /// Draws `seats` different places, each of at least `least` weight and none `excluded`, each
    /// by its part of what is left. `None` if there are not as many.
    pub(crate) fn draw(
        &mut self,
        seats: usize,
        least: i128,
        excluded: impl Fn(usize) -> bool,
        draws: &mut Draws,
    ) -> Option<Vec<usize>> {
        // What is drawn and not taken is set aside, so that each draw ends something; all is put
        // back at the end.
        let mut aside: Vec<(usize, i128)> = Vec::with_capacity(seats + 2);
        let mut drawn = Vec::with_capacity(seats);
        while drawn.len() < seats && self.total > 0 {
            let point = draws.below(self.total.unsigned_abs());
            let place = self.at(i128::try_from(point).expect("below a sum of stakes"));
            let weight = self.weight(place);
            aside.push((place, weight));
            self.put(place, 0);
            if weight >= least && !excluded(place) {
                drawn.push(place);
            }
        }
        for (place, weight) in aside {
            self.put(place, weight);
        }
        (drawn.len() == seats).then_some(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_drawn_by_their_weight_and_each_once() {
        let mut pool = Pool::default();
        for (place, weight) in [(0, 10), (3, 20), (7, 70)] {
            pool.set(place, weight);
        }
        assert_eq!(pool.members(), 3);
        let mut draws = Draws::seeded(1);
        let mut seen = [0; 8];
        for _ in 0..10_000 {
            seen[pool.draw(1, 1, |_| false, &mut draws).unwrap()[0]] += 1;
        }
        assert!((850..1150).contains(&seen[0]), "{seen:?}");
        assert!((1850..2150).contains(&seen[3]), "{seen:?}");
        let mut all = pool.draw(3, 1, |_| false, &mut draws).unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 3, 7]);
        assert_eq!(pool.draw(3, 1, |place| place == 7, &mut draws), None);
        assert_eq!(pool.draw(1, 50, |_| false, &mut draws), Some(vec![7]));
        // Those that weigh enough, without the excluded, and counted no further than needed.
        assert_eq!(pool.able(9, 20, |_| false), 2);
        assert_eq!(pool.able(9, 20, |place| place == 7), 1);
        assert_eq!((pool.able(2, 1, |_| false), pool.able(9, 71, |_| false)), (2, 0));
        // Whatever was drawn, the pool is as it was.
        assert_eq!((pool.total, pool.weight(7), pool.members()), (100, 70, 3));
    }

    #[test]
    fn sums_are_right_after_any_growth() {
        let mut pool = Pool::default();
        let mut draws = Draws::seeded(2);
        for _ in 0..2_000 {
            let place = usize::try_from(draws.below(100)).unwrap();
            pool.set(place, i128::try_from(draws.below(50)).unwrap());
            let mut point = 0;
            for (place, weight) in pool.weights.iter().enumerate() {
                if *weight > 0 {
                    assert_eq!(pool.at(point), place);
                    assert_eq!(pool.at(point + weight - 1), place);
                }
                point += weight;
            }
            assert_eq!(point, pool.total);
        }
    }
}

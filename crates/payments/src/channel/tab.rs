//! The tab of one channel: what was charged, what is under way, and which voucher comes next.
//!
//! A voucher is a signed total. At a price it stands for a *span* of the running total: from the
//! amount less the price up to the amount. Two rules say which voucher may be taken:
//!
//! - **In step**, as the specification says: nothing else is under way in the channel, and the
//!   span begins exactly where the charges end.
//! - **Ahead**, for a buyer who opts in with `"ahead": true` where the quote says `lanes`: the span
//!   begins at or above the floor and overlaps no other that was charged or is under way. Any
//!   number up to the lanes may be under way at once, and they may come in any order.
//!
//! Why the money is safe ahead, too: spans above the floor are disjoint, and what was charged
//! without them is at most the floor. So whichever of them are charged, in whatever order, and
//! whichever fail or are lost in a crash: the sum of all charges never exceeds the greatest voucher
//! that was charged. That one alone has to be kept, and claims everything.
//!
//! Pure: no clock, no I/O. Bounded by twice the number of lanes.

use alloy_primitives::Bytes;

use super::ChannelInvalid;

/// The most vouchers of one channel that may be under way at once.
pub const MAX_LANES: u16 = 256;

/// A voucher that was charged: the proof with which its channel is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its amount.
    pub amount: u128,
    /// Its signature.
    pub signature: Bytes,
}

/// A part of the running total, from above `low` up to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    low: u128,
    high: u128,
    stands: Stands,
}

/// How far the voucher of a span has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Its work is under way.
    Working,
    /// Its charge is being written.
    Writing,
    /// It was charged.
    Charged,
}

impl Span {
    fn is_under_way(&self) -> bool {
        self.stands != Stands::Charged
    }
}

/// A voucher's place in the tab. It is given back to the tab in one of two ways: charged or
/// released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a place that is not given back blocks its channel"]
pub struct Place {
    low: u128,
    high: u128,
}

/// The running total of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tab {
    /// All that was charged, what is just being written included.
    charged: u128,
    /// What of it is not durable yet.
    writing: u128,
    /// No voucher that runs ahead may reach below. What was charged outside of the spans above is
    /// at most this much.
    floor: u128,
    /// What is charged or under way above the floor, by place.
    spans: Vec<Span>,
    /// The greatest voucher that was charged.
    newest: Option<Proof>,
    /// What of the charges is not in our books: the chain had counted it before they began.
    base: u128,
    /// Whether a refund has the channel for itself.
    refunding: bool,
}

impl Tab {
    /// A tab as the books have it: so much was charged beyond what is not in them, and this voucher
    /// covers all of it.
    pub fn resumed(base: u128, booked: u128, newest: Option<Proof>) -> Tab {
        let signed = newest.as_ref().map_or(0, |proof| proof.amount);
        let charged = base.saturating_add(booked);
        Tab { charged, floor: charged.max(signed), newest, base, ..Tab::default() }
    }

    /// What of the charges is not in our books.
    pub fn base(&self) -> u128 {
        self.base
    }

    /// All that was charged, what is just being written included.
    pub fn charged(&self) -> u128 {
        self.charged
    }

    /// What was charged and is durable: what may be claimed.
    pub fn claimable(&self) -> u128 {
        self.charged - self.writing
    }

    /// The greatest voucher that was charged.
    pub fn newest(&self) -> Option<&Proof> {
        self.newest.as_ref()
    }

    /// The most that all vouchers under way can still charge beyond what is durable.
    pub fn under_way(&self) -> u128 {
        let open = self.spans.iter().filter(|span| span.is_under_way());
        open.map(|span| span.high - span.low).sum()
    }

    /// All that is charged in our books once every voucher under way has charged its most. What is
    /// being written is in it as it is charged, whether the books show it yet or not.
    pub fn committed(&self) -> u128 {
        let working = self.spans.iter().filter(|span| span.stands == Stands::Working);
        let open: u128 = working.map(|span| span.high - span.low).sum();
        (self.charged - self.base).saturating_add(open)
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        !self.refunding && self.writing == 0 && !self.spans.iter().any(Span::is_under_way)
    }

    /// Takes a place for a voucher in step.
    ///
    /// # Errors
    /// [`ChannelInvalid::CumulativeMismatch`] before [`ChannelInvalid::Busy`].
    pub fn take_next(&mut self, amount: u128, price: u128) -> Result<Place, ChannelInvalid> {
        if self.charged.checked_add(price) != Some(amount) {
            return Err(ChannelInvalid::CumulativeMismatch);
        }
        if !self.is_quiet() {
            return Err(ChannelInvalid::Busy);
        }
        self.floor = self.charged;
        self.spans.clear();
        Ok(self.take(Span { low: self.charged, high: amount, stands: Stands::Working }))
    }

    /// Takes a place for a voucher that runs ahead, beside up to `lanes` less one others.
    ///
    /// # Errors
    /// [`ChannelInvalid::Busy`] if this very voucher is under way,
    /// [`ChannelInvalid::CumulativeMismatch`] if the place is taken or below the floor,
    /// [`ChannelInvalid::Busy`] if as many are under way as may be.
    pub fn take_ahead(
        &mut self,
        amount: u128,
        price: u128,
        lanes: u16,
    ) -> Result<Place, ChannelInvalid> {
        let low = amount.checked_sub(price).ok_or(ChannelInvalid::CumulativeMismatch)?;
        if self.spans.iter().any(|s| s.is_under_way() && (s.low, s.high) == (low, amount)) {
            return Err(ChannelInvalid::Busy);
        }
        let overlaps = |span: &Span| low < span.high && span.low < amount;
        if price == 0 || low < self.floor || self.spans.iter().any(overlaps) {
            return Err(ChannelInvalid::CumulativeMismatch);
        }
        let lanes = usize::from(lanes.min(MAX_LANES));
        let under_way = self.spans.iter().filter(|span| span.is_under_way()).count();
        if self.refunding || under_way >= lanes {
            return Err(ChannelInvalid::Busy);
        }
        // A gap that nobody fills is closed when the room is needed: that forbids, and allows
        // nothing.
        if self.spans.len() >= 2 * lanes {
            match self.spans.first() {
                Some(first) if !first.is_under_way() && first.high <= low => {
                    self.floor = first.high;
                    self.spans.remove(0);
                }
                _ => return Err(ChannelInvalid::Busy),
            }
        }
        Ok(self.take(Span { low, high: amount, stands: Stands::Working }))
    }

    fn take(&mut self, span: Span) -> Place {
        let at = self.spans.partition_point(|other| other.low < span.low);
        self.spans.insert(at, span);
        Place { low: span.low, high: span.high }
    }

    fn at(&self, place: Place) -> usize {
        self.spans
            .iter()
            .position(|span| {
                span.is_under_way() && (span.low, span.high) == (place.low, place.high)
            })
            .expect("a place is given back once")
    }

    /// Gives a place back: nothing is charged, and the same voucher may come again.
    pub fn release(&mut self, place: Place) {
        let at = self.at(place);
        self.spans.remove(at);
    }

    /// Counts a charge that is about to be written, and tells the total with it.
    ///
    /// # Panics
    /// If more is charged than the place is wide.
    pub fn write(&mut self, place: Place, charge: u128) -> u128 {
        assert!(charge <= place.high - place.low, "no charge is above its price");
        let at = self.at(place);
        self.spans[at].stands = Stands::Writing;
        self.writing += charge;
        self.charged += charge;
        self.charged
    }

    /// The charge could not be written: it is taken back, and the place with it.
    pub fn unwrite(&mut self, place: Place, charge: u128) {
        self.writing -= charge;
        self.charged -= charge;
        self.release(place);
    }

    /// The charge is durable, and so is its voucher.
    ///
    /// # Panics
    /// If what is charged would not be covered by the greatest voucher.
    pub fn written(&mut self, place: Place, charge: u128, signature: Bytes) {
        self.writing -= charge;
        let at = self.at(place);
        self.spans[at].stands = Stands::Charged;
        if self.newest.as_ref().is_none_or(|newest| newest.amount < place.high) {
            self.newest = Some(Proof { amount: place.high, signature });
        }
        while let Some(first) = self.spans.first()
            && !first.is_under_way()
            && first.low <= self.floor
        {
            self.floor = first.high;
            self.spans.remove(0);
        }
        let covered = self.newest.as_ref().map_or(0, |newest| newest.amount);
        assert!(self.claimable() <= covered, "the newest voucher covers all charges");
    }

    /// Takes the whole channel for a refund, by a voucher for exactly what was charged.
    ///
    /// # Errors
    /// [`ChannelInvalid::CumulativeMismatch`] before [`ChannelInvalid::Busy`].
    pub fn begin_refund(&mut self, amount: u128) -> Result<(), ChannelInvalid> {
        if amount != self.charged {
            return Err(ChannelInvalid::CumulativeMismatch);
        }
        if !self.is_quiet() {
            return Err(ChannelInvalid::Busy);
        }
        self.refunding = true;
        Ok(())
    }

    /// Gives the channel back after a refund, whatever came of it.
    pub fn end_refund(&mut self) {
        self.refunding = false;
    }

    /// Takes a voucher for what was charged already as the newest: a buyer sends one with the
    /// request for a refund.
    pub fn prove(&mut self, proof: Proof) {
        if self.newest.as_ref().is_none_or(|newest| newest.amount < proof.amount) {
            self.newest = Some(proof);
        }
    }

    /// The chain has counted more than we remember: charges that we lost the vouchers of.
    pub fn at_least(&mut self, claimed: u128) {
        if self.is_quiet() && self.charged < claimed {
            self.base += claimed - self.charged;
            self.charged = claimed;
            self.floor = self.floor.max(claimed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: u128 = 10;

    fn charge(tab: &mut Tab, place: Place, charge: u128) {
        tab.write(place, charge);
        tab.written(place, charge, Bytes::from_static(b"signed"));
    }

    #[test]
    fn in_step_one_voucher_follows_the_other() {
        let mut tab = Tab::default();
        let first = tab.take_next(10, PRICE).unwrap();
        assert_eq!(tab.take_next(10, PRICE), Err(ChannelInvalid::Busy));
        assert_eq!(tab.take_next(20, PRICE), Err(ChannelInvalid::CumulativeMismatch));
        charge(&mut tab, first, 7);
        assert_eq!(tab.take_next(20, PRICE), Err(ChannelInvalid::CumulativeMismatch));
        let second = tab.take_next(17, PRICE).unwrap();
        tab.release(second);
        let again = tab.take_next(17, PRICE).unwrap();
        charge(&mut tab, again, PRICE);
        assert_eq!((tab.charged(), tab.newest().unwrap().amount), (17, 17));
    }

    #[test]
    fn ahead_they_come_in_any_order_and_no_place_is_sold_twice() {
        let mut tab = Tab::default();
        let third = tab.take_ahead(30, PRICE, 4).unwrap();
        let first = tab.take_ahead(10, PRICE, 4).unwrap();
        for taken in [15, 25, 35] {
            let refused = tab.take_ahead(taken, PRICE, 4);
            assert_eq!(refused, Err(ChannelInvalid::CumulativeMismatch), "{taken}");
        }
        for under_way in [10, 30] {
            assert_eq!(tab.take_ahead(under_way, PRICE, 4), Err(ChannelInvalid::Busy));
        }
        assert_eq!((tab.under_way(), tab.committed()), (20, 20));
        assert_eq!(tab.take_ahead(5, PRICE, 4), Err(ChannelInvalid::CumulativeMismatch));
        tab.write(third, 7);
        // Being written, it counts with what it charges, and its place is still taken.
        assert_eq!((tab.under_way(), tab.committed()), (20, 17));
        tab.unwrite(third, 7);
        assert_eq!((tab.under_way(), tab.committed()), (10, 10));
        let third = tab.take_ahead(30, PRICE, 4).unwrap();
        charge(&mut tab, third, PRICE);
        assert_eq!((tab.under_way(), tab.committed()), (10, 20));
        assert_eq!((tab.charged(), tab.newest().unwrap().amount), (10, 30));
        tab.release(first);
        let second = tab.take_ahead(20, PRICE, 4).unwrap();
        charge(&mut tab, second, PRICE);
        assert_eq!(tab.charged(), 20);
        // In step again, as soon as all is quiet.
        let next = tab.take_next(30, PRICE).unwrap();
        charge(&mut tab, next, PRICE);
        assert_eq!((tab.charged(), tab.newest().unwrap().amount), (30, 30));
    }

    #[test]
    fn lanes_and_gaps_are_bounded() {
        let mut tab = Tab::default();
        let places = [20, 30, 40].map(|amount| tab.take_ahead(amount, PRICE, 3).unwrap());
        assert_eq!(tab.take_ahead(50, PRICE, 3), Err(ChannelInvalid::Busy));
        for place in places {
            charge(&mut tab, place, PRICE);
        }
        // Nobody fills the gap below 10, and the way goes on.
        for amount in (50..1_000).step_by(20) {
            let place = tab.take_ahead(amount, PRICE, 3).unwrap();
            charge(&mut tab, place, PRICE);
            assert!(tab.spans.len() <= 6);
        }
        assert_eq!(tab.take_ahead(10, PRICE, 3), Err(ChannelInvalid::CumulativeMismatch));
    }

    #[test]
    fn a_refund_has_the_channel_for_itself() {
        let mut tab = Tab::resumed(0, 40, Some(Proof { amount: 40, signature: Bytes::new() }));
        assert_eq!(tab.begin_refund(39), Err(ChannelInvalid::CumulativeMismatch));
        let place = tab.take_next(50, PRICE).unwrap();
        assert_eq!(tab.begin_refund(40), Err(ChannelInvalid::Busy));
        tab.release(place);
        tab.begin_refund(40).unwrap();
        assert_eq!(tab.take_next(50, PRICE), Err(ChannelInvalid::Busy));
        assert_eq!(tab.take_ahead(50, PRICE, 9), Err(ChannelInvalid::Busy));
        tab.end_refund();
        let next = tab.take_next(50, PRICE).unwrap();
        tab.release(next);
    }

    proptest! {
        /// Whatever is sent in whatever order, charged in part or not at all, and lost in a crash:
        /// the kept voucher covers the charges.
        #[test]
        fn the_newest_voucher_covers_all_charges(
            steps in prop::collection::vec((0_u8..8, 0_u128..400, 1_u128..30, 0_u128..30), 1..200),
        ) {
            let mut tab = Tab::default();
            let mut open: Vec<(Place, u128)> = Vec::new();
            for (what, amount, price, part) in steps {
                match what {
                    0..=2 => {
                        let next = tab.charged() + price;
                        open.extend(tab.take_next(next, price).ok().map(|p| (p, price)));
                    }
                    3 | 4 => {
                        let ahead = tab.charged() + amount;
                        open.extend(tab.take_ahead(ahead, price, 4).ok().map(|p| (p, price)));
                    }
                    5 if !open.is_empty() => {
                        let (place, _) = open.swap_remove(part as usize % open.len());
                        tab.release(place);
                    }
                    6 if amount % 10 == 0 => {
                        // A crash: what is under way is lost, and any covering voucher is found.
                        open.clear();
                        tab = Tab::resumed(0, tab.charged(), tab.newest().cloned());
                    }
                    _ if !open.is_empty() => {
                        let (place, price) = open.swap_remove(part as usize % open.len());
                        charge(&mut tab, place, part.min(price));
                    }
                    _ => {}
                }
                let covered = tab.newest().map_or(0, |proof| proof.amount);
                prop_assert!(tab.claimable() <= covered);
            }
        }
    }
}

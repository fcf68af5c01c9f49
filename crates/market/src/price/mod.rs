//! How a price is found, as pure functions over bids.
//!
//! *Posted* prices and *quotes* need no computation: an offer's price is taken, or a client takes
//! one of the bids. A round of sealed bids is cleared by [`second_score`]; what quality a bidder
//! has is drawn by [`thompson`] from its measured record.

pub mod second_score;
pub mod thompson;

//! Optimism: work is paid unless somebody puts a bond on its being wrong. Then executors decide as in
//! [`exact`](super::exact), and whoever was wrong pays them.
//!
//! **Needs** challengers who look. **Costs** the client nothing. **Confidence**: the chance that
//! somebody looks, times that of the executors ([`confidence`]).
//!
//! Who cheats gains the saved cost c and loses stake S and pay w if challenged: it is honest iff
//! P(challenge) · (S + w) ≥ c ([`stake`]). But where nobody cheats, looking earns nothing, and nobody
//! looks (the verifier's dilemma; J. Teutsch and C. Reitwießner, "A scalable verification solution
//! for blockchains", 2017). So the treasury has wrong work delivered on purpose: with a share f of
//! forced errors, each worth the bounty B to whoever finds it, looking at cost k pays iff
//! f · B ≥ k ([`forced_errors`]).

use crate::rules::MILLION;

/// The least stake, in minor units, at which cheating does not pay: ⌈c/P⌉ − w. `watched` is the
/// chance P that wrong work is challenged, in millionths; the others are as in
/// [`gold::stake`](super::gold::stake), whose formula it is.
pub fn stake(saved: i128, pay: i128, watched: u32) -> Option<i128> {
    super::gold::stake(saved, pay, watched)
}

/// The least share of forced errors, in millionths, at which looking pays: ⌈k/B⌉ for the cost `look`
/// of looking once and the bounty for an error found, both in minor units. `None` if even
/// nothing but errors would not pay.
pub fn forced_errors(look: i128, bounty: i128) -> Option<u32> {
    if bounty <= 0 || look > bounty {
        return None;
    }
    let share = (look.max(0).checked_mul(i128::from(MILLION))? + bounty - 1) / bounty;
    u32::try_from(share).ok()
}

/// The chance that wrong work is found wrong: that one of `watchers`, each looking at a share
/// `looking` of all work, looks at it, and most executors are honest.
pub fn confidence(watchers: u32, looking: f64, executors: u8, honest: f64) -> f64 {
    let unseen = (1.0 - looking.clamp(0.0, 1.0)).powi(i32::try_from(watchers).unwrap_or(i32::MAX));
    (1.0 - unseen) * super::majority(executors, honest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_pays_from_the_share_of_forced_errors_on() {
        assert_eq!(forced_errors(1, 50), Some(20_000));
        assert_eq!(forced_errors(0, 50), Some(0));
        assert_eq!(forced_errors(51, 50), None);
        // At 2 % and a bounty of 50, looking at cost 1 breaks even.
        assert_eq!(20_000 * 50, MILLION);
        assert_eq!(stake(10, 10, 100_000), Some(90));
    }

    #[test]
    fn confidence_grows_with_watchers_and_never_beyond_the_executors() {
        let of = |watchers| confidence(watchers, 0.2, 3, 0.9);
        assert!(of(1) < of(5) && of(5) < of(50));
        assert!(of(1_000) <= super::super::majority(3, 0.9));
    }
}

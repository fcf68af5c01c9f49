//! One typed payment, and the gate through which every payment enters a fold.

use ledger::{Kind, Reference};
use money::{Amount, Asset, Party, Timestamp};
use serde::Serialize;

use crate::EconomyError;

/// The largest gross sum of payments, in minor units, that one set of accounts takes: 2¹²³
/// (about 10³¹ dollars at six decimals).
///
/// Derivation: a fold posts a payment at most once with each sign to any one figure, so each
/// figure lies within ± the gross sum; the longest formula (C + G + I + X − M) has five such terms.
/// 16 × 2¹²³ = 2¹²⁷ > `i128::MAX`, and 5 × 2¹²³ fits: once a payment is let in, no sum over the
/// accounts can overflow.
pub const MAX_GROSS: i128 = 1 << 123;

/// One payment between two parties, typed at its source, as taken from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Who paid.
    pub payer: Party,
    /// Who was paid.
    pub payee: Party,
    /// How much; above zero.
    pub amount: Amount,
    /// What it was for, as declared when it was made.
    pub kind: Kind,
    /// When it was made.
    pub at: Timestamp,
    /// The entry it came from, so that every figure can be traced back to its payments.
    pub reference: Reference,
}

/// Lets flows in, one asset only, and keeps the promise of [`MAX_GROSS`].
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    asset: Asset,
    gross: i128,
}

impl Gate {
    pub(crate) fn new(asset: Asset) -> Gate {
        Gate { asset, gross: 0 }
    }

    pub(crate) fn asset(&self) -> Asset {
        self.asset
    }

    /// The flow's amount in minor units, now counted against [`MAX_GROSS`].
    ///
    /// Checks in order: asset, sign, size.
    #[inline]
    pub(crate) fn admit(&mut self, flow: &Flow) -> Result<i128, EconomyError> {
        let minor = self.amount(flow)?;
        let Flow { amount, reference, .. } = *flow;
        self.gross = self
            .gross
            .checked_add(minor)
            .filter(|gross| *gross <= MAX_GROSS)
            .ok_or(EconomyError::TooLarge { reference, amount })?;
        Ok(minor)
    }

    /// The amount of a flow that was let in before. Two signs of it stay within the promise of
    /// [`MAX_GROSS`], for a retyped flow leaves one figure by what it enters another.
    ///
    /// Checks in order: asset, sign, that so much was let in at all.
    pub(crate) fn was_admitted(&self, flow: &Flow) -> Result<i128, EconomyError> {
        let minor = self.amount(flow)?;
        if minor > self.gross {
            let Flow { amount, reference, .. } = *flow;
            return Err(EconomyError::NotCounted { reference, amount });
        }
        Ok(minor)
    }

    /// The amount in minor units of this gate's asset.
    #[inline]
    fn amount(&self, flow: &Flow) -> Result<i128, EconomyError> {
        let Flow { amount, reference, .. } = *flow;
        if amount.asset() != self.asset {
            let (found, expected) = (amount.asset(), self.asset);
            return Err(EconomyError::WrongAsset { reference, found, expected });
        }
        if !amount.is_positive() {
            return Err(EconomyError::NotPositive { reference, amount });
        }
        Ok(amount.minor())
    }
}

/// A count of flows after one more of this amount, or one less where the sign is turned.
#[inline]
pub(crate) fn counted(count: u64, amount: i128) -> u64 {
    if amount < 0 { count.saturating_sub(1) } else { count + 1 }
}

//! What can go wrong between us and a chain.

use alloy_primitives::{Address, B256, Bytes, U256};
use money::{Amount, Asset};
use thiserror::Error;

/// Why the chain did not do what was asked, or why we do not know whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettlementError {
    /// No answer came. Reading again is safe; nothing is known of a transaction that was sent.
    #[error(
        "the chain at {endpoint} does not answer: {cause}; check that the node runs and the address is right"
    )]
    Unreachable {
        /// Whom we asked.
        endpoint: String,
        /// What the connection said.
        cause: String,
    },
    /// The node refused the request. Repeating it unchanged will not help.
    #[error("the chain refused {what}: {message} (code {code})")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The node answered something that cannot be read.
    #[error("the chain's answer to {what} cannot be read: {cause}")]
    Unreadable {
        /// What was asked.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// The contract reverted: in a simulation, or in a mined transaction.
    #[error("the contract reverted: {reason}")]
    Reverted {
        /// What the contract said, decoded where it was text.
        reason: String,
        /// The raw revert data.
        data: Bytes,
        /// The mined transaction, if it got that far.
        transaction: Option<B256>,
    },
    /// A transaction was sent and its fate is not known yet. Ask again; do not send another.
    #[error("transaction {transaction} was sent and is not mined yet; its fate is still open")]
    Pending {
        /// The transaction to watch.
        transaction: B256,
    },
    /// Something that the same account sent earlier is not mined yet, and may be just this. Nothing
    /// was sent; ask again when it is mined.
    #[error(
        "a transaction that {sender} sent earlier is not mined yet; nothing was sent: try again in a moment"
    )]
    UnderWay {
        /// Whose.
        sender: Address,
    },
    /// Gas costs more now than we may offer. Nothing was sent; it may be cheaper later.
    #[error(
        "gas costs {asked} wei now, and at most {most} may be offered: wait until it is cheaper, or raise the limit"
    )]
    GasTooDear {
        /// What the next block asks, tip included, in wei per gas.
        asked: u128,
        /// [`crate::SenderLimits::most_fee_per_gas`].
        most: u128,
    },
    /// The sender is none of ours.
    #[error("{sender} cannot send: its key is not among those that were handed in")]
    NoSuchSender {
        /// Who was to send.
        sender: Address,
    },
    /// The node serves another chain than the one that was asked for.
    #[error("the node serves chain {found}, not {expected}; check `--rpc` and `--chain-id`")]
    WrongChain {
        /// Which chain was wanted.
        expected: u64,
        /// Which chain it is.
        found: u64,
    },
    /// There is no such token.
    #[error("there is no token at {token} on chain {chain_id}: {cause}")]
    NoToken {
        /// Where we looked.
        token: Address,
        /// On which chain.
        chain_id: u64,
        /// What was missing.
        cause: String,
    },
    /// What cannot be made: nothing, less than nothing, or another asset's money.
    #[error("{amount} cannot be made: write an amount of {asset} that is more than nothing")]
    NotMintable {
        /// What was asked.
        amount: Amount,
        /// What the token is.
        asset: Asset,
    },
    /// The chain counts more than we can: above 2¹²⁷ minor units.
    #[error("{value} minor units of {asset} are more than can be counted")]
    TooLarge {
        /// What was counted.
        asset: Asset,
        /// How much there was.
        value: U256,
    },
}

impl SettlementError {
    /// Whether the same request may succeed later, unchanged.
    pub fn may_succeed_later(&self) -> bool {
        matches!(
            self,
            SettlementError::Unreachable { .. }
                | SettlementError::Pending { .. }
                | SettlementError::UnderWay { .. }
                | SettlementError::GasTooDear { .. }
        )
    }

    /// The same with the contract's own name for its refusal as the reason, where `name_of` has one
    /// for the first four bytes of the revert data.
    pub(crate) fn named_by(
        self,
        name_of: impl FnOnce([u8; 4]) -> Option<&'static str>,
    ) -> SettlementError {
        let SettlementError::Reverted { reason, data, transaction } = self else { return self };
        let name = data.first_chunk().and_then(|selector| name_of(*selector));
        let reason = name.map_or(reason, str::to_string);
        SettlementError::Reverted { reason, data, transaction }
    }
}

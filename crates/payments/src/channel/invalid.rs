//! Why a payload of a channel is refused: the words of the scheme.

use thiserror::Error;

/// Why a payload is no good. `code` is what travels; `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ChannelInvalid {
    /// Not the scheme `batch-settlement`.
    #[error("the payment is not of the scheme `batch-settlement`")]
    Scheme,
    /// Not this chain.
    #[error("the payment is for another network")]
    Network,
    /// Not a payload of the scheme, or not one that is asked for here.
    #[error("the payload is none of a channel that can be used here")]
    PayloadType,
    /// The channel's name is not 32 bytes.
    #[error("the channel id is not 32 bytes in hexadecimal")]
    ChannelId,
    /// The channel's name is not the hash of what it is.
    #[error("the channel id is not the hash of the channel's configuration")]
    ChannelIdMismatch,
    /// Pays somebody else.
    #[error("the channel pays another receiver")]
    Receiver,
    /// Another key, or none, authorizes claims.
    #[error("the channel's receiver authorizer is not the one that was asked for")]
    ReceiverAuthorizer,
    /// Another token.
    #[error("the channel is in another token")]
    Token,
    /// Withdrawals wait for another time than was asked.
    #[error("the channel's withdraw delay is not the one that was asked for")]
    WithdrawDelay,
    /// Withdrawals wait for a time that the contract does not take.
    #[error("the withdraw delay is not between 15 minutes and 30 days")]
    WithdrawDelayRange,
    /// A deposit without an EIP-3009 order where one is needed.
    #[error("the deposit has no EIP-3009 order")]
    Erc3009Required,
    /// `extra.name` or `extra.version` is missing.
    #[error("the quote does not tell the token's EIP-712 name and version")]
    MissingDomain,
    /// The deposit's order is too late.
    #[error("the deposit's order has expired, or is about to")]
    ValidBefore,
    /// The deposit's order is too early.
    #[error("the deposit's order is not valid yet")]
    ValidAfter,
    /// The wallet is not there yet, and its factory is none that may be called.
    #[error("the payer's wallet does not exist yet, and its factory is not allowed here")]
    FactoryNotAllowed,
    /// The deposit's order is signed by somebody else.
    #[error("the signature of the deposit's order is not the payer's")]
    ReceiveSignature,
    /// The Permit2 order is not for the collector.
    #[error("the Permit2 order lets another spender move the deposit")]
    Permit2Spender,
    /// The Permit2 order is not for the deposit's amount.
    #[error("the Permit2 order is for another amount than the deposit")]
    Permit2Amount,
    /// The Permit2 order is too late.
    #[error("the Permit2 order has expired, or is about to")]
    Permit2Deadline,
    /// The Permit2 order is signed by somebody else.
    #[error("the signature of the Permit2 order is not the payer's")]
    Permit2Signature,
    /// Permit2 may not move so much of the payer's token.
    #[error("the payer has not approved Permit2 for the deposit")]
    Permit2Allowance,
    /// The approval cannot be read.
    #[error("the EIP-2612 permit is malformed")]
    PermitFormat,
    /// The approval is for another amount than the deposit.
    #[error("the EIP-2612 permit is for another amount than the deposit")]
    PermitAmount,
    /// The approval is another owner's.
    #[error("the EIP-2612 permit is of another owner than the payer")]
    PermitOwner,
    /// The approval is for another token.
    #[error("the EIP-2612 permit is for another token")]
    PermitAsset,
    /// The approval is for somebody else than Permit2.
    #[error("the EIP-2612 permit does not approve Permit2")]
    PermitSpender,
    /// The approval is too late.
    #[error("the EIP-2612 permit has expired, or is about to")]
    PermitDeadline,
    /// An approval by a transaction, which is not carried here.
    #[error("approvals by a transaction of the payer are not carried here")]
    ApprovalUnavailable,
    /// The voucher is signed by somebody else.
    #[error("the voucher's signature is not the payer's")]
    VoucherSignature,
    /// The payer has less than the deposit.
    #[error("the payer's balance is smaller than the deposit")]
    InsufficientBalance,
    /// There is nothing in the channel.
    #[error("there is no channel of that id with money in it")]
    ChannelNotFound,
    /// The voucher promises more than there is.
    #[error("the voucher is for more than the channel holds")]
    ExceedsBalance,
    /// The voucher adds nothing to what was claimed.
    #[error("the voucher is for no more than was claimed already")]
    BelowClaimed,
    /// The chain would refuse the deposit.
    #[error("the chain would refuse the deposit")]
    DepositSimulation,
    /// The chain did refuse the deposit.
    #[error("the chain refused the deposit")]
    DepositTransaction,
    /// Nobody here signs for the receiver.
    #[error("the receiver authorizer's signature is missing, and none is given here")]
    AuthorizerMissing,
    /// The receiver authorizer is not the key that signs here.
    #[error("the receiver authorizer is not this facilitator's, and its signature is missing")]
    AuthorizerAddress,
    /// The chain would refuse the claim.
    #[error("the chain would refuse the claim")]
    ClaimSimulation,
    /// The chain did refuse the claim.
    #[error("the chain refused the claim")]
    ClaimTransaction,
    /// Everything that was claimed was paid out.
    #[error("nothing that was claimed is left to pay out")]
    NothingToSettle,
    /// The chain would refuse to pay out.
    #[error("the chain would refuse the payout")]
    SettleSimulation,
    /// The chain did refuse to pay out.
    #[error("the chain refused the payout")]
    SettleTransaction,
    /// The refund lacks what a seller adds.
    #[error("the refund is not complete")]
    RefundPayload,
    /// Nothing is left to give back.
    #[error("the channel has nothing left to give back")]
    RefundNoBalance,
    /// Not an amount that can be given back.
    #[error("the refund's amount is not a positive number")]
    RefundAmount,
    /// The chain would refuse the refund.
    #[error("the chain would refuse the refund")]
    RefundSimulation,
    /// The chain did refuse the refund.
    #[error("the chain refused the refund")]
    RefundTransaction,
    /// A seller's: the voucher does not continue from what was charged.
    #[error("the voucher is not what was charged so far and this request's price")]
    CumulativeMismatch,
    /// A seller's: another request of the channel is being worked on.
    #[error("another request is being paid from this channel; try again")]
    Busy,
    /// A seller's: it does not know what it charged.
    #[error("the channel's state cannot be told at present; try again")]
    StateUnavailable,
    /// It was sent and is not mined yet.
    #[error("the transaction was sent and is not mined yet")]
    Pending,
    /// The chain could not be asked.
    #[error("the chain could not be asked; try again")]
    ReadFailed,
}

impl ChannelInvalid {
    /// All reasons: a buyer's payload in the order in which it is checked, then what sellers ask,
    /// then what only a seller says.
    pub const ALL: [ChannelInvalid; 52] = [
        ChannelInvalid::Scheme,
        ChannelInvalid::Network,
        ChannelInvalid::PayloadType,
        ChannelInvalid::ChannelId,
        ChannelInvalid::ChannelIdMismatch,
        ChannelInvalid::Receiver,
        ChannelInvalid::ReceiverAuthorizer,
        ChannelInvalid::Token,
        ChannelInvalid::WithdrawDelay,
        ChannelInvalid::WithdrawDelayRange,
        ChannelInvalid::Erc3009Required,
        ChannelInvalid::MissingDomain,
        ChannelInvalid::ValidBefore,
        ChannelInvalid::ValidAfter,
        ChannelInvalid::FactoryNotAllowed,
        ChannelInvalid::ReceiveSignature,
        ChannelInvalid::Permit2Spender,
        ChannelInvalid::Permit2Amount,
        ChannelInvalid::Permit2Deadline,
        ChannelInvalid::Permit2Signature,
        ChannelInvalid::PermitFormat,
        ChannelInvalid::PermitOwner,
        ChannelInvalid::PermitAsset,
        ChannelInvalid::PermitSpender,
        ChannelInvalid::PermitDeadline,
        ChannelInvalid::PermitAmount,
        ChannelInvalid::ApprovalUnavailable,
        ChannelInvalid::Permit2Allowance,
        ChannelInvalid::VoucherSignature,
        ChannelInvalid::InsufficientBalance,
        ChannelInvalid::ChannelNotFound,
        ChannelInvalid::ExceedsBalance,
        ChannelInvalid::BelowClaimed,
        ChannelInvalid::DepositSimulation,
        ChannelInvalid::DepositTransaction,
        ChannelInvalid::AuthorizerMissing,
        ChannelInvalid::AuthorizerAddress,
        ChannelInvalid::ClaimSimulation,
        ChannelInvalid::ClaimTransaction,
        ChannelInvalid::NothingToSettle,
        ChannelInvalid::SettleSimulation,
        ChannelInvalid::SettleTransaction,
        ChannelInvalid::RefundPayload,
        ChannelInvalid::RefundNoBalance,
        ChannelInvalid::RefundAmount,
        ChannelInvalid::RefundSimulation,
        ChannelInvalid::RefundTransaction,
        ChannelInvalid::Pending,
        ChannelInvalid::ReadFailed,
        ChannelInvalid::CumulativeMismatch,
        ChannelInvalid::Busy,
        ChannelInvalid::StateUnavailable,
    ];

    /// The reference SDK's string.
    pub const fn code(self) -> &'static str {
        match self {
            ChannelInvalid::Scheme => "invalid_batch_settlement_evm_scheme",
            ChannelInvalid::Network => "invalid_batch_settlement_evm_network_mismatch",
            ChannelInvalid::PayloadType => "invalid_batch_settlement_evm_payload_type",
            ChannelInvalid::ChannelId => "invalid_batch_settlement_evm_channel_id_invalid",
            ChannelInvalid::ChannelIdMismatch => "invalid_batch_settlement_evm_channel_id_mismatch",
            ChannelInvalid::Receiver => "invalid_batch_settlement_evm_receiver_mismatch",
            ChannelInvalid::ReceiverAuthorizer => {
                "invalid_batch_settlement_evm_receiver_authorizer_mismatch"
            }
            ChannelInvalid::Token => "invalid_batch_settlement_evm_token_mismatch",
            ChannelInvalid::WithdrawDelay => "invalid_batch_settlement_evm_withdraw_delay_mismatch",
            ChannelInvalid::WithdrawDelayRange => {
                "invalid_batch_settlement_evm_withdraw_delay_out_of_range"
            }
            ChannelInvalid::Erc3009Required => {
                "invalid_batch_settlement_evm_erc3009_authorization_required"
            }
            ChannelInvalid::MissingDomain => "invalid_batch_settlement_evm_missing_eip712_domain",
            ChannelInvalid::ValidBefore => {
                "invalid_batch_settlement_evm_payload_authorization_valid_before"
            }
            ChannelInvalid::ValidAfter => {
                "invalid_batch_settlement_evm_payload_authorization_valid_after"
            }
            ChannelInvalid::FactoryNotAllowed => {
                "invalid_batch_settlement_evm_eip6492_factory_not_allowed"
            }
            ChannelInvalid::ReceiveSignature => {
                "invalid_batch_settlement_evm_receive_authorization_signature"
            }
            ChannelInvalid::Permit2Spender => {
                "invalid_batch_settlement_evm_permit2_invalid_spender"
            }
            ChannelInvalid::Permit2Amount => "invalid_batch_settlement_evm_permit2_amount_mismatch",
            ChannelInvalid::Permit2Deadline => {
                "invalid_batch_settlement_evm_permit2_deadline_expired"
            }
            ChannelInvalid::Permit2Signature => {
                "invalid_batch_settlement_evm_permit2_invalid_signature"
            }
            ChannelInvalid::Permit2Allowance => {
                "invalid_batch_settlement_evm_permit2_allowance_required"
            }
            // The specification's: the SDK has its own checks of other schemes answer here.
            ChannelInvalid::PermitFormat => "invalid_batch_settlement_evm_eip2612_invalid_format",
            ChannelInvalid::PermitAmount => "invalid_batch_settlement_evm_eip2612_amount_mismatch",
            ChannelInvalid::PermitOwner => "invalid_batch_settlement_evm_eip2612_owner_mismatch",
            ChannelInvalid::PermitAsset => "invalid_batch_settlement_evm_eip2612_asset_mismatch",
            ChannelInvalid::PermitSpender => {
                "invalid_batch_settlement_evm_eip2612_spender_mismatch"
            }
            ChannelInvalid::PermitDeadline => {
                "invalid_batch_settlement_evm_eip2612_deadline_expired"
            }
            ChannelInvalid::ApprovalUnavailable => {
                "invalid_batch_settlement_evm_erc20_approval_unavailable"
            }
            ChannelInvalid::VoucherSignature => "invalid_batch_settlement_evm_voucher_signature",
            ChannelInvalid::InsufficientBalance => {
                "invalid_batch_settlement_evm_insufficient_balance"
            }
            ChannelInvalid::ChannelNotFound => "invalid_batch_settlement_evm_channel_not_found",
            ChannelInvalid::ExceedsBalance => {
                "invalid_batch_settlement_evm_cumulative_exceeds_balance"
            }
            ChannelInvalid::BelowClaimed => "invalid_batch_settlement_evm_cumulative_below_claimed",
            ChannelInvalid::DepositSimulation => {
                "invalid_batch_settlement_evm_deposit_simulation_failed"
            }
            ChannelInvalid::DepositTransaction => {
                "invalid_batch_settlement_evm_deposit_transaction_failed"
            }
            ChannelInvalid::AuthorizerMissing => {
                "invalid_batch_settlement_evm_authorizer_not_configured"
            }
            ChannelInvalid::AuthorizerAddress => {
                "invalid_batch_settlement_evm_authorizer_address_mismatch"
            }
            ChannelInvalid::ClaimSimulation => {
                "invalid_batch_settlement_evm_claim_simulation_failed"
            }
            ChannelInvalid::ClaimTransaction => {
                "invalid_batch_settlement_evm_claim_transaction_failed"
            }
            ChannelInvalid::NothingToSettle => "invalid_batch_settlement_evm_nothing_to_settle",
            ChannelInvalid::SettleSimulation => {
                "invalid_batch_settlement_evm_settle_simulation_failed"
            }
            ChannelInvalid::SettleTransaction => {
                "invalid_batch_settlement_evm_settle_transaction_failed"
            }
            ChannelInvalid::RefundPayload => "invalid_batch_settlement_evm_refund_payload",
            ChannelInvalid::RefundNoBalance => "invalid_batch_settlement_evm_refund_no_balance",
            ChannelInvalid::RefundAmount => "invalid_batch_settlement_evm_refund_amount_invalid",
            ChannelInvalid::RefundSimulation => {
                "invalid_batch_settlement_evm_refund_simulation_failed"
            }
            ChannelInvalid::RefundTransaction => {
                "invalid_batch_settlement_evm_refund_transaction_failed"
            }
            ChannelInvalid::CumulativeMismatch => {
                "invalid_batch_settlement_evm_cumulative_amount_mismatch"
            }
            ChannelInvalid::Busy => "invalid_batch_settlement_evm_channel_busy",
            ChannelInvalid::StateUnavailable => {
                "invalid_batch_settlement_evm_verification_state_unavailable"
            }
            ChannelInvalid::Pending => "settlement_pending",
            ChannelInvalid::ReadFailed => "invalid_batch_settlement_evm_rpc_read_failed",
        }
    }

    /// Whether the chain may have done it all the same, so that it must be asked until it is
    /// clear.
    pub const fn is_open(self) -> bool {
        matches!(self, ChannelInvalid::Pending | ChannelInvalid::ReadFailed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_reason_has_a_code_and_words_of_its_own() {
        let codes: HashSet<_> = ChannelInvalid::ALL.iter().map(|reason| reason.code()).collect();
        let words: HashSet<_> = ChannelInvalid::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((codes.len(), words.len()), (52, 52));
        for reason in ChannelInvalid::ALL {
            let of_the_scheme = reason.code().starts_with("invalid_batch_settlement_evm_");
            assert_eq!(of_the_scheme, reason != ChannelInvalid::Pending);
        }
    }
}

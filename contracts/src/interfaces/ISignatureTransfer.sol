// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title The part of Permit2 that collectors use
/// @notice Transfers of any ERC-20 by signature (github.com/Uniswap/permit2), from a payer who has
/// approved Permit2 once. The caller is the spender that the payer's signature names.
interface ISignatureTransfer {
    /// @notice What may be moved at most.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// @notice What the payer signed: token and most, a nonce good once, and a last second (Unix).
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice What the spender asks for.
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    /// @notice Moves tokens of `owner` on a signature without a witness.
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external;

    /// @notice Moves tokens of `owner` on a signature that also binds `witness`.
    /// @param witness The EIP-712 hash of the struct that the signature binds beside the permit.
    /// @param witnessTypeString Completes the type of the permit: the witness's member, and then the
    /// struct types used, in the order of their names.
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;
}

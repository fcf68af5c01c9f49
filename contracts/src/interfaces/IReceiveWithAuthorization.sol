// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title The part of EIP-3009 that collectors use
/// @notice The form with a signature as bytes, which USDC has since its version 2.2.
interface IReceiveWithAuthorization {
    /// @notice Moves `value` from `from` to `to`, who must be the caller, on the order of `from`.
    /// @param validAfter Unix seconds; good only in blocks later than this.
    /// @param validBefore Unix seconds; good only in blocks earlier than this.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

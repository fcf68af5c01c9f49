// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title How a deposit reaches a channel
/// @notice A collector turns what a payer signed into tokens that arrive at the settlement contract.
interface IDepositCollector {
    /// @notice Moves exactly `amount` of `token` from `payer` to the caller, or reverts.
    /// @param payer Whose tokens they are, and who signed for them.
    /// @param token An ERC-20 contract.
    /// @param amount Minor units of the token.
    /// @param channelId The channel that the deposit is for; the payer's signature must bind it.
    /// @param collectorData What this kind of collector needs: signature, nonce, deadline.
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external;
}

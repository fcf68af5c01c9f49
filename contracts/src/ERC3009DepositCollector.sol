// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {DepositCollector} from "./bases/DepositCollector.sol";
import {IReceiveWithAuthorization} from "./interfaces/IReceiveWithAuthorization.sol";

/// @title Deposits by EIP-3009
/// @notice Takes a payer's `ReceiveWithAuthorization` order to this collector and passes the tokens
/// on to the settlement contract, within one call; it never keeps any.
/// @dev Written anew to the public contract at 0x4020806089470a89826cB9fB1f4059150b550004.
///
/// The order itself has no room for a channel, so its nonce carries it:
/// `keccak256(abi.encode(channelId, salt))`. Whoever moves the order to another channel computes
/// another nonce, for which there is no signature.
contract ERC3009DepositCollector is DepositCollector {
    using SafeERC20 for IERC20;

    constructor(address settlement) DepositCollector(settlement) {}

    /// @notice As `IDepositCollector` says.
    /// @param collectorData `abi.encode(uint256 validAfter, uint256 validBefore, uint256 salt,
    /// bytes signature)`, as the x402 SDK encodes it.
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external onlySettlement {
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));

        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(
                payer, address(this), amount, validAfter, validBefore, nonce, signature
            );
        IERC20(token).safeTransfer(x402BatchSettlement, amount);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title One operator's escrowed tokens
/// @notice Each operator of the escrow has a store of its own, so that no mistake with one's money
/// can reach another's. It does what the escrow says, and nothing else.
/// @dev Runs as the code behind minimal proxies (ERC-1167), which the escrow makes.
contract TokenStore {
    using SafeERC20 for IERC20;

    /// @notice The only caller.
    address public immutable authCaptureEscrow;

    /// @notice Somebody else than the escrow called.
    error OnlyAuthCaptureEscrow();

    constructor(address escrow) {
        authCaptureEscrow = escrow;
    }

    /// @notice Sends `amount` minor units of `token` to `recipient`.
    function sendTokens(address token, address recipient, uint256 amount) external {
        require(msg.sender == authCaptureEscrow, OnlyAuthCaptureEscrow());
        IERC20(token).safeTransfer(recipient, amount);
    }
}

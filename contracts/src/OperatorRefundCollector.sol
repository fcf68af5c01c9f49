// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {AuthCaptureEscrow} from "./AuthCaptureEscrow.sol";
import {TokenCollector} from "./bases/TokenCollector.sol";

/// @title Refunds out of the operator's pocket
/// @notice Moves what is refunded from the operator, who has approved this collector. That the
/// operator wants it is certain: only the operator can make the escrow ask.
/// @dev Written anew to the public contract at 0x7a03443724d14798c4AB4622F1DAAcA761Fea486.
contract OperatorRefundCollector is TokenCollector {
    using SafeERC20 for IERC20;

    /// @inheritdoc TokenCollector
    CollectorType public constant override collectorType = CollectorType.Refund;

    constructor(address escrow) TokenCollector(escrow) {}

    /// @dev Needs no data.
    function _collect(
        AuthCaptureEscrow.PaymentInfo calldata paymentInfo,
        address tokenStore,
        uint256 amount,
        bytes calldata
    ) internal override {
        IERC20(paymentInfo.token).safeTransferFrom(paymentInfo.operator, tokenStore, amount);
    }
}

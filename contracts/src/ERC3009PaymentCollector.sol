// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {AuthCaptureEscrow} from "./AuthCaptureEscrow.sol";
import {TokenCollector} from "./bases/TokenCollector.sol";
import {WalletSignature} from "./bases/WalletSignature.sol";
import {IReceiveWithAuthorization} from "./interfaces/IReceiveWithAuthorization.sol";

/// @title Escrowed payments by EIP-3009
/// @notice Takes a payer's `ReceiveWithAuthorization` order over the payment's greatest amount, puts
/// what is asked for into the store, and gives the rest back at once; it never keeps any.
/// @dev Written anew to the public contract at 0x8612dfdc421f80336cd14E8EF9cb1E765dB5ab88. The order's
/// window is from the beginning of time until before `preApprovalExpiry`.
contract ERC3009PaymentCollector is TokenCollector, WalletSignature {
    using SafeERC20 for IERC20;

    /// @inheritdoc TokenCollector
    CollectorType public constant override collectorType = CollectorType.Payment;

    constructor(address escrow, address multicall3_)
        TokenCollector(escrow)
        WalletSignature(multicall3_)
    {}

    /// @dev `signature` is the payer's, as it is or wrapped (ERC-6492).
    function _collect(
        AuthCaptureEscrow.PaymentInfo calldata paymentInfo,
        address tokenStore,
        uint256 amount,
        bytes calldata signature
    ) internal override {
        uint256 most = paymentInfo.maxAmount;
        IReceiveWithAuthorization(paymentInfo.token)
            .receiveWithAuthorization(
                paymentInfo.payer,
                address(this),
                most,
                0,
                paymentInfo.preApprovalExpiry,
                _hashWithoutPayer(paymentInfo),
                _unwrapped(signature)
            );
        IERC20 token = IERC20(paymentInfo.token);
        token.safeTransfer(tokenStore, amount);
        if (amount < most) token.safeTransfer(paymentInfo.payer, most - amount);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AuthCaptureEscrow} from "../AuthCaptureEscrow.sol";

/// @title A collector that serves one escrow
/// @notice Turns what somebody authorized into tokens in an operator's store. Only the escrow may ask
/// for it, because only the escrow knows that the operator did.
abstract contract TokenCollector {
    /// @notice What the tokens are for: a payment comes from the payer, a refund from elsewhere. The
    /// escrow never takes one for the other, so what a payer authorized cannot pay its own refund.
    enum CollectorType {
        Payment,
        Refund
    }

    /// @notice The escrow that this collector serves.
    AuthCaptureEscrow public immutable authCaptureEscrow;

    /// @notice Somebody else than the escrow asked for tokens.
    error OnlyAuthCaptureEscrow();

    constructor(address escrow) {
        authCaptureEscrow = AuthCaptureEscrow(escrow);
    }

    /// @notice What this collector is for.
    function collectorType() external view virtual returns (CollectorType);

    /// @notice Moves exactly `amount` of the payment's token into `tokenStore`, or reverts.
    /// @param collectorData What this kind of collector needs, as its own text says.
    function collectTokens(
        AuthCaptureEscrow.PaymentInfo calldata paymentInfo,
        address tokenStore,
        uint256 amount,
        bytes calldata collectorData
    ) external {
        require(msg.sender == address(authCaptureEscrow), OnlyAuthCaptureEscrow());
        _collect(paymentInfo, tokenStore, amount, collectorData);
    }

    function _collect(
        AuthCaptureEscrow.PaymentInfo calldata paymentInfo,
        address tokenStore,
        uint256 amount,
        bytes calldata collectorData
    ) internal virtual;

    /// @dev The hash of a payment before its payer is known, which is the nonce of what the payer
    /// signs: a signature moves tokens for the payment that it was made for, and for no other.
    function _hashWithoutPayer(AuthCaptureEscrow.PaymentInfo memory paymentInfo)
        internal
        view
        returns (bytes32)
    {
        paymentInfo.payer = address(0);
        return authCaptureEscrow.getHash(paymentInfo);
    }
}

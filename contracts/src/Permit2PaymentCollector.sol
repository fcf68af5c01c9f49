// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AuthCaptureEscrow} from "./AuthCaptureEscrow.sol";
import {TokenCollector} from "./bases/TokenCollector.sol";
import {WalletSignature} from "./bases/WalletSignature.sol";
import {ISignatureTransfer} from "./permit2/ISignatureTransfer.sol";

/// @title Escrowed payments by Permit2
/// @notice Moves any ERC-20 from a payer who approved Permit2 straight into the store. The payer signs
/// a plain permit for this collector; the payment is bound by the permit's nonce.
/// @dev Written anew to the public contract at 0xD69831Aed5bfe262067ec4c751f4F830EcdD446e.
contract Permit2PaymentCollector is TokenCollector, WalletSignature {
    /// @inheritdoc TokenCollector
    CollectorType public constant override collectorType = CollectorType.Payment;

    /// @notice The Permit2 that payers approve.
    ISignatureTransfer public immutable permit2;

    constructor(address escrow, address permit2_, address multicall3_)
        TokenCollector(escrow)
        WalletSignature(multicall3_)
    {
        permit2 = ISignatureTransfer(permit2_);
    }

    /// @dev `signature` is the payer's, as it is or wrapped (ERC-6492).
    function _collect(
        AuthCaptureEscrow.PaymentInfo calldata paymentInfo,
        address tokenStore,
        uint256 amount,
        bytes calldata signature
    ) internal override {
        permit2.permitTransferFrom(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions(
                    paymentInfo.token, paymentInfo.maxAmount
                ),
                nonce: uint256(_hashWithoutPayer(paymentInfo)),
                deadline: paymentInfo.preApprovalExpiry
            }),
            ISignatureTransfer.SignatureTransferDetails(tokenStore, amount),
            paymentInfo.payer,
            _unwrapped(signature)
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISignatureTransfer} from "../permit2/ISignatureTransfer.sol";

/// @title What x402's two Permit2 proxies share
/// @dev A payer names a proxy as the spender in a Permit2 order, and signs with it, as the order's
/// witness, whom it may pay. The proxy takes from the payer, for that payee, and holds nothing itself.
///
/// The names, structs, errors and events are those of the x402 SDK's ABI (its npm package `evm`, 2.27) and of the
/// specification (specs/schemes/exact/scheme_exact_evm.md, annex). Where they differ the SDK is right:
/// `Settled` and named errors, not `x402PermitTransfer` and a text.
abstract contract x402Permit2Proxy is ReentrancyGuardTransient {
    /// @notice Permit2, where it is on every chain. The public proxies are told it when they are
    /// deployed; a constant needs no such step, and answers the same.
    ISignatureTransfer public constant PERMIT2 =
        ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    /// @notice A payer's EIP-2612 permit for Permit2, which saves it its one transaction of its own.
    struct EIP2612Permit {
        /// Minor units; must be exactly what the Permit2 order permits.
        uint256 value;
        /// Unix seconds.
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    /// @notice A payment was made by `settle`.
    event Settled();

    /// @notice A payment was made by `settleWithPermit`.
    event SettledWithPermit();

    /// @notice The token refused the EIP-2612 permit with a text; the payment goes on without it.
    event EIP2612PermitFailedWithReason(
        address indexed token, address indexed owner, string reason
    );

    /// @notice The token panicked at the EIP-2612 permit; the payment goes on without it.
    event EIP2612PermitFailedWithPanic(
        address indexed token, address indexed owner, uint256 errorCode
    );

    /// @notice The token refused the EIP-2612 permit with an error of its own, or with nothing; the
    /// payment goes on without it.
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    /// @notice Nothing is to be paid.
    error InvalidAmount();

    /// @notice The payee is the zero address.
    error InvalidDestination();

    /// @notice The payer is the zero address.
    error InvalidOwner();

    /// @notice Part of the public ABI, for a deployment without Permit2; cannot happen here.
    error InvalidPermit2Address();

    /// @notice The payment is not good before the `validAfter` of its witness.
    error PaymentTooEarly();

    /// @notice The EIP-2612 permit must be for exactly the amount that the Permit2 order permits.
    error Permit2612AmountMismatch();

    /// @dev Moves `amount` to `to` by the order that `owner` signed with this witness. Permit2 checks
    /// the rest: deadline, amount, nonce and signature.
    function _settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        address to,
        uint256 validAfter,
        bytes32 witness,
        string memory witnessTypeString,
        bytes calldata signature
    ) internal {
        require(amount > 0, InvalidAmount());
        require(owner != address(0), InvalidOwner());
        require(to != address(0), InvalidDestination());
        require(block.timestamp >= validAfter, PaymentTooEarly());
        PERMIT2.permitWitnessTransferFrom(
            permit,
            ISignatureTransfer.SignatureTransferDetails(to, amount),
            owner,
            witness,
            witnessTypeString,
            signature
        );
    }

    /// @dev Hands the token the permit of `owner` for Permit2. A permit is good once and anyone may
    /// carry it, so it may be used up already, and Permit2 approved: what the token says is told in an
    /// event, and the payment then shows whether the allowance is there.
    function _permit(
        ISignatureTransfer.TokenPermissions calldata permitted,
        address owner,
        EIP2612Permit calldata permit2612
    ) internal {
        require(permit2612.value == permitted.amount, Permit2612AmountMismatch());
        address token = permitted.token;
        try IERC20Permit(token)
            .permit(
                owner,
                address(PERMIT2),
                permit2612.value,
                permit2612.deadline,
                permit2612.v,
                permit2612.r,
                permit2612.s
            ) {}
        catch Error(string memory reason) {
            emit EIP2612PermitFailedWithReason(token, owner, reason);
        } catch Panic(uint256 errorCode) {
            emit EIP2612PermitFailedWithPanic(token, owner, errorCode);
        } catch (bytes memory data) {
            emit EIP2612PermitFailedWithData(token, owner, data);
        }
    }
}

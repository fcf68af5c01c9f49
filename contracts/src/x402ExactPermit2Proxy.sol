// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "./permit2/ISignatureTransfer.sol";
import {x402Permit2Proxy} from "./x402/x402Permit2Proxy.sol";

/// @title x402ExactPermit2Proxy
/// @notice Makes x402 payments of scheme `exact` through Permit2: all that was permitted, to the payee
/// whom the payer signed, by whoever carries it. Clients expect it at
/// 0x402085c248EeA27D92E8b30b2C58ed07f9E20001.
contract x402ExactPermit2Proxy is x402Permit2Proxy {
    /// @notice What a payer signs with a Permit2 order.
    struct Witness {
        /// The payee.
        address to;
        /// Unix seconds; good from this second on.
        uint256 validAfter;
    }

    /// @notice The EIP-712 type hash of `Witness`.
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");

    /// @notice The end of the type that a payer signs, as Permit2 wants it.
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    /// @notice Pays by an order of `owner`, who approved Permit2 before.
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _pay(permit, owner, witness, signature);
        emit Settled();
    }

    /// @notice As `settle`, after handing the token the permit of `owner` for Permit2 (EIP-2612).
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _permit(permit.permitted, owner, permit2612);
        _pay(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _pay(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        _settle(
            permit,
            permit.permitted.amount,
            owner,
            witness.to,
            witness.validAfter,
            keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.validAfter)),
            WITNESS_TYPE_STRING,
            signature
        );
    }
}

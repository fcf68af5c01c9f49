// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "./permit2/ISignatureTransfer.sol";
import {x402Permit2Proxy} from "./x402/x402Permit2Proxy.sol";

/// @title x402UptoPermit2Proxy
/// @notice Makes x402 payments of scheme `upto` through Permit2: as much of what was permitted as the
/// work came to, to the payee whom the payer signed, by the facilitator whom the payer signed. Clients
/// expect it at 0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002.
contract x402UptoPermit2Proxy is x402Permit2Proxy {
    /// @notice What a payer signs with a Permit2 order.
    struct Witness {
        /// The payee.
        address to;
        /// Who alone may settle, and so name the amount.
        address facilitator;
        /// Unix seconds; good from this second on.
        uint256 validAfter;
    }

    /// @notice The EIP-712 type hash of `Witness`.
    bytes32 public constant WITNESS_TYPEHASH =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    /// @notice The end of the type that a payer signs, as Permit2 wants it.
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    /// @notice More is to be paid than the payer permitted.
    error AmountExceedsPermitted();

    /// @notice The caller is not the facilitator whom the payer signed.
    error UnauthorizedFacilitator();

    /// @notice Pays `amount` by an order of `owner`, who approved Permit2 before. The order is then
    /// used up, whatever the amount was. What cost nothing needs no call: zero is refused.
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _requireAllowed(permit, amount, witness);
        _pay(permit, amount, owner, witness, signature);
        emit Settled();
    }

    /// @notice As `settle`, after handing the token the permit of `owner` for Permit2 (EIP-2612), which
    /// must be for all that was permitted.
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _requireAllowed(permit, amount, witness);
        _permit(permit.permitted, owner, permit2612);
        _pay(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _requireAllowed(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        Witness calldata witness
    ) private view {
        require(msg.sender == witness.facilitator, UnauthorizedFacilitator());
        require(amount <= permit.permitted.amount, AmountExceedsPermitted());
    }

    function _pay(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        bytes32 hash = keccak256(
            abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter)
        );
        _settle(
            permit,
            amount,
            owner,
            witness.to,
            witness.validAfter,
            hash,
            WITNESS_TYPE_STRING,
            signature
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Permit2} from "../src/Permit2.sol";
import {ISignatureTransfer} from "../src/permit2/ISignatureTransfer.sol";
import {SignedOrders} from "../src/permit2/SignedOrders.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev Permit2 at its address, a payer who approved it for dollars, and orders that the payer signs.
/// The hashes are computed here from the text of the types, not taken from the contract.
abstract contract Permit2Test is DollarTest {
    /// @dev An order as one is signed; without a witness its type is empty.
    struct Permitted {
        ISignatureTransfer.PermitTransferFrom permit;
        address spender;
        bytes32 witness;
        string witnessType;
    }

    Permit2 internal constant PERMIT2 = Permit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    string internal constant TOKEN_PERMISSIONS = "TokenPermissions(address token,uint256 amount)";

    /// @dev The refusal of a transfer that the token refuses, as the public contract words it.
    bytes internal constant FAILED =
        abi.encodeWithSignature("Error(string)", "TRANSFER_FROM_FAILED");

    function setUp() public virtual override {
        super.setUp();
        vm.etch(address(PERMIT2), address(new Permit2()).code);
        vm.prank(payer);
        dollar.approve(address(PERMIT2), type(uint256).max);
    }

    /// @dev An order of 100 minor units, good for a minute, for `spender`.
    function aPermit() internal view returns (ISignatureTransfer.PermitTransferFrom memory) {
        return ISignatureTransfer.PermitTransferFrom(
            ISignatureTransfer.TokenPermissions(address(dollar), 100), 7, NOW + 60
        );
    }

    // ---- what is signed ----------------------------------------------------------------------

    /// @dev Permit2's domain separator: it has no version.
    function permit2Domain() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(PERMIT2)
            )
        );
    }

    function permit2Typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", permit2Domain(), structHash));
    }

    function hashOf(ISignatureTransfer.TokenPermissions memory permitted)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(keccak256(bytes(TOKEN_PERMISSIONS)), permitted.token, permitted.amount)
        );
    }

    function digestOf(Permitted memory p) internal view returns (bytes32) {
        bytes memory head =
            abi.encode(hashOf(p.permit.permitted), p.spender, p.permit.nonce, p.permit.deadline);
        string memory fields =
            "(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline";
        if (bytes(p.witnessType).length == 0) {
            bytes32 plain =
                keccak256(abi.encodePacked("PermitTransferFrom", fields, ")", TOKEN_PERMISSIONS));
            return permit2Typed(keccak256(abi.encodePacked(plain, head)));
        }
        bytes32 typeHash =
            keccak256(abi.encodePacked("PermitWitnessTransferFrom", fields, ",", p.witnessType));
        return permit2Typed(keccak256(abi.encodePacked(typeHash, head, p.witness)));
    }

    /// @dev The 64 bytes of ERC-2098 for the 65 of a key's signature.
    function compact(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        return abi.encodePacked(r, uint256(s) | (v == 28 ? 1 << 255 : 0));
    }

    function parts(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    // ---- what is called ----------------------------------------------------------------------

    function encoded(bytes4 reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(reason);
    }

    function invalidSigner() internal pure returns (bytes memory) {
        return encoded(SignedOrders.InvalidSigner.selector);
    }

    function invalidNonce() internal pure returns (bytes memory) {
        return encoded(SignedOrders.InvalidNonce.selector);
    }

    function expired(uint256 deadline) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(SignedOrders.SignatureExpired.selector, deadline);
    }

    function ask(address from, address target, bytes memory call)
        internal
        returns (bool ok, bytes memory answer)
    {
        vm.prank(from);
        return target.call(call);
    }

    function done(address from, address target, bytes memory call) internal {
        (bool ok,) = ask(from, target, call);
        vm.assertTrue(ok, "the call reverted");
    }

    /// @dev A call that must revert with exactly `reason`, and must move nothing.
    function refused(address from, address target, bytes memory call, bytes memory reason)
        internal
    {
        (uint256 paid, uint256 kept) = (dollar.balanceOf(SELLER), dollar.balanceOf(payer));
        (bool ok, bytes memory answer) = ask(from, target, call);
        vm.assertTrue(!ok, "the call should have reverted");
        vm.assertEq(answer, reason);
        vm.assertEq(dollar.balanceOf(SELLER), paid);
        vm.assertEq(dollar.balanceOf(payer), kept);
    }
}

/// @dev A token that refuses or answers in the ways that tokens do, and may call back meanwhile.
contract OddToken {
    enum Manner {
        Silent,
        False,
        Text,
        Panic
    }

    Manner public manner;
    address private target;
    bytes private callback;
    /// What the called-back contract answered.
    bytes public answer;
    bool public answered;

    constructor(Manner manner_) {
        manner = manner_;
    }

    function callBack(address target_, bytes calldata callback_) external {
        (target, callback) = (target_, callback_);
    }

    /// @dev Moves nothing; `Silent` returns nothing, as some tokens do.
    fallback() external {
        if (target != address(0) && !answered) {
            answered = true;
            (, answer) = target.call(callback);
        }
        if (manner == Manner.False) {
            assembly ("memory-safe") {
                mstore(0, 0)
                return(0, 32)
            }
        }
        require(manner != Manner.Text, "no permits today");
        assert(manner != Manner.Panic);
    }
}

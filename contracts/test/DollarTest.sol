// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MachinaDollar} from "../src/MachinaDollar.sol";
import {Test} from "./Test.sol";

/// @dev A dollar, a payer with money, and orders that the payer signs. The hashes are computed here
/// from the text of the standards, not taken from the contract.
abstract contract DollarTest is Test {
    struct Order {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    string internal constant ORDER_FIELDS =
        "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

    address internal constant MINTER = address(0xA11CE);
    address internal constant SELLER = address(0x5E11);
    address internal constant CARRIER = address(0xCA221E2);
    uint256 internal constant PAYER_KEY = 0xBADCAFE;
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant FUNDS = 1_000_000;

    MachinaDollar internal dollar;
    address internal payer;

    function setUp() public virtual {
        vm.warp(NOW);
        dollar = new MachinaDollar(MINTER);
        payer = vm.addr(PAYER_KEY);
        vm.prank(MINTER);
        dollar.mint(payer, FUNDS);
    }

    function anOrder(uint256 value) internal view returns (Order memory) {
        return Order(payer, SELLER, value, NOW - 1, NOW + 60, keccak256("an order"));
    }

    // ---- what is signed ----------------------------------------------------------------------

    /// @dev EIP-712's domain separator, for this contract on this chain.
    function domainSeparator() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Machina Dollar"),
                keccak256("1"),
                block.chainid,
                address(dollar)
            )
        );
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    function orderDigest(string memory kind, Order memory o) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(abi.encodePacked(kind, ORDER_FIELDS));
        return typed(
            keccak256(
                abi.encode(typeHash, o.from, o.to, o.value, o.validAfter, o.validBefore, o.nonce)
            )
        );
    }

    function transferDigest(Order memory o) internal view returns (bytes32) {
        return orderDigest("TransferWithAuthorization", o);
    }

    function receiveDigest(Order memory o) internal view returns (bytes32) {
        return orderDigest("ReceiveWithAuthorization", o);
    }

    function cancelDigest(address authorizer, bytes32 nonce) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        return typed(keccak256(abi.encode(typeHash, authorizer, nonce)));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    // ---- what is called ----------------------------------------------------------------------

    /// @dev The bytes overload of transferWithAuthorization.
    function transferCall(Order memory o, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
            o.from,
            o.to,
            o.value,
            o.validAfter,
            o.validBefore,
            o.nonce,
            signature
        );
    }

    /// @dev The (v, r, s) overload of transferWithAuthorization.
    function transferCallVrs(Order memory o, uint8 v, bytes32 r, bytes32 s)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
            o.from,
            o.to,
            o.value,
            o.validAfter,
            o.validBefore,
            o.nonce,
            v,
            r,
            s
        );
    }

    /// @dev The bytes overload of receiveWithAuthorization.
    function receiveCall(Order memory o, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
            o.from,
            o.to,
            o.value,
            o.validAfter,
            o.validBefore,
            o.nonce,
            signature
        );
    }

    /// @dev The (v, r, s) overload of receiveWithAuthorization.
    function receiveCallVrs(Order memory o, uint8 v, bytes32 r, bytes32 s)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
            o.from,
            o.to,
            o.value,
            o.validAfter,
            o.validBefore,
            o.nonce,
            v,
            r,
            s
        );
    }

    function send(address from, bytes memory call) internal returns (bool ok, bytes memory answer) {
        vm.prank(from);
        return address(dollar).call(call);
    }

    function sendOk(address from, bytes memory call) internal {
        (bool ok,) = send(from, call);
        vm.assertTrue(ok, "the call reverted");
    }

    /// @dev Sends a call that must revert with exactly `reason`, and must move nothing.
    function sendRefused(address from, bytes memory call, bytes memory reason) internal {
        (uint256 paid, uint256 kept) = (dollar.balanceOf(SELLER), dollar.balanceOf(payer));
        (bool ok, bytes memory answer) = send(from, call);
        vm.assertTrue(!ok, "the call should have reverted");
        vm.assertEq(answer, reason);
        vm.assertEq(dollar.balanceOf(SELLER), paid);
        vm.assertEq(dollar.balanceOf(payer), kept);
    }
}

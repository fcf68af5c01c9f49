// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MachinaDollar} from "../src/MachinaDollar.sol";
import {ISignatureTransfer} from "../src/permit2/ISignatureTransfer.sol";
import {Permit2Test} from "./Permit2Test.sol";

/// @dev Permit2's orders of several transfers under one signature.
contract SignatureBatchTest is Permit2Test {
    address private constant OTHER_SELLER = address(0x5E12);
    string private constant WITNESS =
        "Photo witness)Photo(bytes32 digest)TokenPermissions(address token,uint256 amount)";
    bytes32 private constant DIGEST = keccak256("what the payer wants to have signed");

    MachinaDollar private other;

    function setUp() public override {
        super.setUp();
        other = new MachinaDollar(MINTER);
        vm.prank(MINTER);
        other.mint(payer, FUNDS);
        vm.prank(payer);
        other.approve(address(PERMIT2), type(uint256).max);
    }

    /// @dev 100 of each of the two tokens, and 50 more of the first.
    function aBatch() private view returns (ISignatureTransfer.PermitBatchTransferFrom memory b) {
        b.permitted = new ISignatureTransfer.TokenPermissions[](3);
        b.permitted[0] = ISignatureTransfer.TokenPermissions(address(dollar), 100);
        b.permitted[1] = ISignatureTransfer.TokenPermissions(address(other), 100);
        b.permitted[2] = ISignatureTransfer.TokenPermissions(address(dollar), 50);
        (b.nonce, b.deadline) = (7, NOW + 60);
    }

    function asking(uint256 first, uint256 second, uint256 third)
        private
        pure
        returns (ISignatureTransfer.SignatureTransferDetails[] memory asked)
    {
        asked = new ISignatureTransfer.SignatureTransferDetails[](3);
        asked[0] = ISignatureTransfer.SignatureTransferDetails(SELLER, first);
        asked[1] = ISignatureTransfer.SignatureTransferDetails(SELLER, second);
        asked[2] = ISignatureTransfer.SignatureTransferDetails(OTHER_SELLER, third);
    }

    function digestOf(
        ISignatureTransfer.PermitBatchTransferFrom memory b,
        address spender,
        bool witnessed
    ) private view returns (bytes32) {
        bytes memory hashes;
        for (uint256 i = 0; i < b.permitted.length; ++i) {
            hashes = bytes.concat(hashes, hashOf(b.permitted[i]));
        }
        bytes memory head = abi.encode(keccak256(hashes), spender, b.nonce, b.deadline);
        string memory fields =
            "(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline";
        if (!witnessed) {
            bytes32 plain = keccak256(
                abi.encodePacked("PermitBatchTransferFrom", fields, ")", TOKEN_PERMISSIONS)
            );
            return permit2Typed(keccak256(abi.encodePacked(plain, head)));
        }
        bytes32 typeHash =
            keccak256(abi.encodePacked("PermitBatchWitnessTransferFrom", fields, ",", WITNESS));
        return permit2Typed(keccak256(abi.encodePacked(typeHash, head, DIGEST)));
    }

    function callOf(
        ISignatureTransfer.PermitBatchTransferFrom memory b,
        ISignatureTransfer.SignatureTransferDetails[] memory asked,
        bool witnessed,
        bytes memory signature
    ) private view returns (bytes memory) {
        if (!witnessed) {
            return abi.encodeWithSignature(
                "permitTransferFrom(((address,uint256)[],uint256,uint256),(address,uint256)[],address,bytes)",
                b,
                asked,
                payer,
                signature
            );
        }
        return abi.encodeWithSignature(
            "permitWitnessTransferFrom(((address,uint256)[],uint256,uint256),(address,uint256)[],address,bytes32,string,bytes)",
            b,
            asked,
            payer,
            DIGEST,
            WITNESS,
            signature
        );
    }

    /// @dev The batch, signed by the payer for the carrier, asking for these amounts.
    function signedCall(
        ISignatureTransfer.PermitBatchTransferFrom memory b,
        ISignatureTransfer.SignatureTransferDetails[] memory asked,
        bool witnessed
    ) private view returns (bytes memory) {
        return callOf(b, asked, witnessed, signed(PAYER_KEY, digestOf(b, CARRIER, witnessed)));
    }

    function testFuzz_a_batch_moves_each_part_once(
        uint8 first,
        uint8 second,
        uint8 third,
        bool witnessed
    ) public {
        (first, second, third) = (first % 101, second % 101, third % 51);
        bytes memory call = signedCall(aBatch(), asking(first, second, third), witnessed);
        done(CARRIER, address(PERMIT2), call);
        vm.assertEq(dollar.balanceOf(SELLER), first);
        vm.assertEq(other.balanceOf(SELLER), second);
        vm.assertEq(dollar.balanceOf(OTHER_SELLER), third);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - first - third);
        vm.assertEq(other.balanceOf(payer), FUNDS - second);
        refused(CARRIER, address(PERMIT2), call, invalidNonce());
    }

    /// @dev What is not asked for is not even tried: a dead token among them does not matter.
    function test_a_part_of_zero_is_left_out() public {
        ISignatureTransfer.PermitBatchTransferFrom memory b = aBatch();
        b.permitted[1].token = SELLER;
        done(CARRIER, address(PERMIT2), signedCall(b, asking(1, 0, 0), false));
        vm.assertEq(dollar.balanceOf(SELLER), 1);
        b.nonce = 8;
        refused(CARRIER, address(PERMIT2), signedCall(b, asking(1, 1, 0), false), FAILED);
    }

    function testFuzz_one_part_too_large_undoes_all(uint256 which, uint256 more) public {
        ISignatureTransfer.SignatureTransferDetails[] memory asked = asking(1, 1, 1);
        which %= 3;
        uint256 most = which == 2 ? 50 : 100;
        asked[which].requestedAmount = bound(more, most + 1, type(uint256).max);
        bytes memory reason =
            abi.encodeWithSelector(ISignatureTransfer.InvalidAmount.selector, most);
        refused(CARRIER, address(PERMIT2), signedCall(aBatch(), asked, false), reason);
        vm.assertEq(other.balanceOf(SELLER), 0);
        vm.assertEq(PERMIT2.nonceBitmap(payer, 0), 0);
    }

    function test_as_many_parts_as_were_permitted_must_be_asked_for() public {
        bytes memory reason = encoded(ISignatureTransfer.LengthMismatch.selector);
        for (uint256 count = 0; count < 5; ++count) {
            if (count == 3) continue;
            ISignatureTransfer.SignatureTransferDetails[] memory asked =
                new ISignatureTransfer.SignatureTransferDetails[](count);
            refused(CARRIER, address(PERMIT2), signedCall(aBatch(), asked, false), reason);
        }
    }

    function testFuzz_a_changed_field_moves_nothing(uint256 which, uint256 change, bool witnessed)
        public
    {
        ISignatureTransfer.PermitBatchTransferFrom memory b = aBatch();
        bytes32 before = digestOf(b, CARRIER, witnessed);
        bytes memory signature = signed(PAYER_KEY, before);
        which %= 5;
        address carrier = CARRIER;
        if (which == 0) b.permitted[1].token = address(uint160(change));
        else if (which == 1) b.permitted[2].amount = bound(change, 1, type(uint256).max);
        else if (which == 2) b.nonce = change;
        else if (which == 3) b.deadline = bound(change, NOW, type(uint256).max);
        else carrier = address(uint160(change));
        vm.assume(digestOf(b, carrier, witnessed) != before);
        bytes memory call = callOf(b, asking(1, 1, 1), witnessed, signature);
        refused(carrier, address(PERMIT2), call, invalidSigner());
    }

    function test_the_order_of_the_checks() public {
        done(CARRIER, address(PERMIT2), signedCall(aBatch(), asking(1, 1, 1), false));
        ISignatureTransfer.PermitBatchTransferFrom memory b = aBatch();
        bytes memory signature = signed(PAYER_KEY + 1, digestOf(b, CARRIER, false));
        ISignatureTransfer.SignatureTransferDetails[] memory none;
        b.deadline = NOW - 1;
        bytes memory call = callOf(b, none, false, signature);
        refused(CARRIER, address(PERMIT2), call, expired(NOW - 1));
        b.deadline = NOW;
        call = callOf(b, none, false, signature);
        bytes memory reason = encoded(ISignatureTransfer.LengthMismatch.selector);
        refused(CARRIER, address(PERMIT2), call, reason);
        call = callOf(b, asking(101, 1, 1), false, signature);
        refused(CARRIER, address(PERMIT2), call, invalidNonce());
        b.nonce = 8;
        call = callOf(b, asking(101, 1, 1), false, signature);
        refused(CARRIER, address(PERMIT2), call, invalidSigner());
    }
}

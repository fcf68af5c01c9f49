// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAllowanceTransfer} from "../src/permit2/IAllowanceTransfer.sol";
import {SignedOrders} from "../src/permit2/SignedOrders.sol";
import {Wallet} from "./Authorization.t.sol";
import {Permit2Test} from "./Permit2Test.sol";

/// @dev Permit2's allowances: set by the owner or by its signature, taken from, taken back.
contract AllowanceTransferTest is Permit2Test {
    event NonceInvalidation(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint48 newNonce,
        uint48 oldNonce
    );
    event Approval(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint160 amount,
        uint48 expiration
    );
    event Permit(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint160 amount,
        uint48 expiration,
        uint48 nonce
    );
    event Lockdown(address indexed owner, address token, address spender);

    string private constant DETAILS =
        "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)";
    uint160 private constant UNLIMITED = type(uint160).max;
    uint48 private constant LATER = uint48(NOW) + 60;

    function details(uint48 nonce) private view returns (IAllowanceTransfer.PermitDetails memory) {
        return IAllowanceTransfer.PermitDetails(address(dollar), 100, LATER, nonce);
    }

    function single(uint48 nonce) private view returns (IAllowanceTransfer.PermitSingle memory) {
        return IAllowanceTransfer.PermitSingle(details(nonce), CARRIER, NOW + 30);
    }

    /// @dev An allowance of the dollar, and one of a token that is only an address.
    function batch(uint48 nonce) private view returns (IAllowanceTransfer.PermitBatch memory b) {
        b.details = new IAllowanceTransfer.PermitDetails[](2);
        (b.details[0], b.details[1]) = (details(nonce), details(nonce));
        b.details[1].token = SELLER;
        (b.spender, b.sigDeadline) = (CARRIER, NOW + 30);
    }

    function hashOf(IAllowanceTransfer.PermitDetails memory d) private pure returns (bytes32) {
        return
            keccak256(
                abi.encode(keccak256(bytes(DETAILS)), d.token, d.amount, d.expiration, d.nonce)
            );
    }

    function digestOf(IAllowanceTransfer.PermitSingle memory p) private view returns (bytes32) {
        bytes32 typeHash = keccak256(
            abi.encodePacked(
                "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)", DETAILS
            )
        );
        return
            permit2Typed(
                keccak256(abi.encode(typeHash, hashOf(p.details), p.spender, p.sigDeadline))
            );
    }

    function digestOf(IAllowanceTransfer.PermitBatch memory b) private view returns (bytes32) {
        bytes32 typeHash = keccak256(
            abi.encodePacked(
                "PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)", DETAILS
            )
        );
        bytes memory hashes;
        for (uint256 i = 0; i < b.details.length; ++i) {
            hashes = bytes.concat(hashes, hashOf(b.details[i]));
        }
        return
            permit2Typed(
                keccak256(abi.encode(typeHash, keccak256(hashes), b.spender, b.sigDeadline))
            );
    }

    function callOf(IAllowanceTransfer.PermitSingle memory p, bytes memory signature)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)",
            payer,
            p,
            signature
        );
    }

    function callOf(IAllowanceTransfer.PermitBatch memory b, bytes memory signature)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            "permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)",
            payer,
            b,
            signature
        );
    }

    function takeCall(uint160 amount) private view returns (bytes memory) {
        return abi.encodeWithSignature(
            "transferFrom(address,address,uint160,address)", payer, SELLER, amount, address(dollar)
        );
    }

    function approve(uint160 amount, uint48 expiration) private {
        vm.prank(payer);
        PERMIT2.approve(address(dollar), CARRIER, amount, expiration);
    }

    function requireAllowance(address token, uint160 amount, uint48 expiration, uint48 nonce)
        private
        view
    {
        (uint160 left, uint48 until, uint48 next) = PERMIT2.allowance(payer, token, CARRIER);
        vm.assertEq(left, amount);
        vm.assertEq(until, expiration);
        vm.assertEq(next, nonce);
    }

    function insufficient(uint256 left) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAllowanceTransfer.InsufficientAllowance.selector, left);
    }

    function over(uint256 until) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAllowanceTransfer.AllowanceExpired.selector, until);
    }

    // ---- taking ------------------------------------------------------------------------------

    function testFuzz_a_spender_takes_up_to_what_is_allowed_in_parts(
        uint160 amount,
        uint160 first,
        uint160 second
    ) public {
        amount = uint160(bound(amount, 0, FUNDS));
        first = uint160(bound(first, 0, amount));
        vm.expectEmit(true, true, true, true, address(PERMIT2));
        emit Approval(payer, address(dollar), CARRIER, amount, LATER);
        approve(amount, LATER);
        done(CARRIER, address(PERMIT2), takeCall(first));
        requireAllowance(address(dollar), amount - first, LATER, 0);

        uint160 left = amount - first;
        second = uint160(bound(second, left + 1, UNLIMITED));
        refused(CARRIER, address(PERMIT2), takeCall(second), insufficient(left));
        done(CARRIER, address(PERMIT2), takeCall(left));
        vm.assertEq(dollar.balanceOf(SELLER), amount);
    }

    function testFuzz_an_allowance_without_limit_stays(uint160 amount) public {
        amount = uint160(bound(amount, 0, FUNDS));
        approve(UNLIMITED, LATER);
        done(CARRIER, address(PERMIT2), takeCall(amount));
        requireAllowance(address(dollar), UNLIMITED, LATER, 0);
        vm.assertEq(dollar.balanceOf(SELLER), amount);
    }

    function testFuzz_an_allowance_is_good_up_to_its_expiration(uint48 until, uint256 time) public {
        until = uint48(bound(until, NOW, 2 * NOW));
        approve(100, until);
        // One in three falls on the edge, where mistakes live.
        if (time % 6 == 0) time = until;
        else if (time % 6 == 1) time = uint256(until) + 1;
        else time = bound(time, NOW, 2 * NOW);
        vm.warp(time);
        if (time <= until) done(CARRIER, address(PERMIT2), takeCall(1));
        else refused(CARRIER, address(PERMIT2), takeCall(1), over(until));
    }

    function test_an_expiration_of_zero_means_this_block() public {
        approve(100, 0);
        requireAllowance(address(dollar), 100, uint48(NOW), 0);
        done(CARRIER, address(PERMIT2), takeCall(1));
        vm.warp(NOW + 1);
        refused(CARRIER, address(PERMIT2), takeCall(1), over(NOW));
    }

    function testFuzz_nobody_else_takes(address thief, uint160 amount) public {
        vm.assume(thief != CARRIER);
        approve(UNLIMITED, LATER);
        refused(thief, address(PERMIT2), takeCall(amount), over(0));
    }

    function test_what_the_token_refuses_stays_allowed() public {
        approve(uint160(FUNDS) + 1, LATER);
        refused(CARRIER, address(PERMIT2), takeCall(uint160(FUNDS) + 1), FAILED);
        requireAllowance(address(dollar), uint160(FUNDS) + 1, LATER, 0);
    }

    function testFuzz_a_batch_of_transfers_is_all_or_nothing(uint160 first, uint160 second) public {
        (first, second) = (uint160(bound(first, 0, 100)), uint160(bound(second, 0, 100)));
        approve(100, LATER);
        IAllowanceTransfer.AllowanceTransferDetails[] memory many =
            new IAllowanceTransfer.AllowanceTransferDetails[](2);
        many[0] = IAllowanceTransfer.AllowanceTransferDetails(payer, SELLER, first, address(dollar));
        many[1] =
            IAllowanceTransfer.AllowanceTransferDetails(payer, SELLER, second, address(dollar));
        bytes memory call =
            abi.encodeWithSignature("transferFrom((address,address,uint160,address)[])", many);
        if (first + second <= 100) {
            done(CARRIER, address(PERMIT2), call);
            vm.assertEq(dollar.balanceOf(SELLER), first + second);
        } else {
            refused(CARRIER, address(PERMIT2), call, insufficient(100 - first));
            requireAllowance(address(dollar), 100, LATER, 0);
        }
    }

    // ---- signed allowances -------------------------------------------------------------------

    function testFuzz_a_signed_allowance_is_set_once_by_anyone(
        address carrier,
        uint160 amount,
        uint48 expiration
    ) public {
        IAllowanceTransfer.PermitSingle memory p = single(0);
        (p.details.amount, p.details.expiration) = (amount, expiration);
        bytes memory call = callOf(p, signed(PAYER_KEY, digestOf(p)));
        vm.expectEmit(true, true, true, true, address(PERMIT2));
        emit Permit(payer, address(dollar), CARRIER, amount, expiration, 0);
        done(carrier, address(PERMIT2), call);
        uint48 until = expiration == 0 ? uint48(NOW) : expiration;
        requireAllowance(address(dollar), amount, until, 1);
        refused(carrier, address(PERMIT2), call, invalidNonce());
    }

    function test_signed_allowances_come_in_order_and_replace_each_other() public {
        IAllowanceTransfer.PermitSingle memory p = single(1);
        bytes memory second = callOf(p, signed(PAYER_KEY, digestOf(p)));
        refused(CARRIER, address(PERMIT2), second, invalidNonce());
        p = single(0);
        p.details.amount = UNLIMITED;
        done(CARRIER, address(PERMIT2), callOf(p, compact(signed(PAYER_KEY, digestOf(p)))));
        done(CARRIER, address(PERMIT2), second);
        requireAllowance(address(dollar), 100, LATER, 2);

        // One's own approval keeps the nonce, so that nothing signed before becomes good again.
        approve(7, LATER);
        requireAllowance(address(dollar), 7, LATER, 2);
        done(CARRIER, address(PERMIT2), takeCall(7));
    }

    function testFuzz_a_changed_field_sets_nothing(uint256 which, uint256 change) public {
        IAllowanceTransfer.PermitSingle memory p = single(0);
        bytes32 before = digestOf(p);
        bytes memory signature = signed(PAYER_KEY, before);
        which %= 6;
        if (which == 0) p.details.token = address(uint160(change));
        else if (which == 1) p.details.amount = uint160(change);
        else if (which == 2) p.details.expiration = uint48(change);
        else if (which == 3) p.details.nonce = uint48(change);
        else if (which == 4) p.spender = address(uint160(change));
        else p.sigDeadline = bound(change, NOW, type(uint256).max);
        vm.assume(digestOf(p) != before);
        refused(CARRIER, address(PERMIT2), callOf(p, signature), invalidSigner());
        requireAllowance(address(dollar), 0, 0, 0);
    }

    function testFuzz_a_signature_is_good_up_to_its_deadline(uint256 deadline, bool many) public {
        deadline = bound(deadline, NOW - 5, NOW + 5);
        IAllowanceTransfer.PermitSingle memory p = single(0);
        IAllowanceTransfer.PermitBatch memory b = batch(0);
        (p.sigDeadline, b.sigDeadline) = (deadline, deadline);
        bytes memory call = many
            ? callOf(b, signed(PAYER_KEY, digestOf(b)))
            : callOf(p, signed(PAYER_KEY, digestOf(p)));
        if (NOW <= deadline) done(CARRIER, address(PERMIT2), call);
        else refused(CARRIER, address(PERMIT2), call, expired(deadline));
    }

    function test_a_batch_of_allowances_is_all_or_nothing() public {
        IAllowanceTransfer.PermitBatch memory b = batch(0);
        b.details[1].nonce = 1;
        bytes memory call = callOf(b, signed(PAYER_KEY, digestOf(b)));
        refused(CARRIER, address(PERMIT2), call, invalidNonce());
        requireAllowance(address(dollar), 0, 0, 0);

        b.details[1].nonce = 0;
        call = callOf(b, signed(PAYER_KEY, digestOf(b)));
        done(CARRIER, address(PERMIT2), call);
        requireAllowance(address(dollar), 100, LATER, 1);
        requireAllowance(SELLER, 100, LATER, 1);
        refused(CARRIER, address(PERMIT2), call, invalidNonce());
    }

    function testFuzz_a_batch_that_the_owner_did_not_sign_sets_nothing(uint256 seed, uint256 change)
        public
    {
        uint256 key = keyFrom(seed);
        vm.assume(key != PAYER_KEY && change % 100 != 0);
        IAllowanceTransfer.PermitBatch memory b = batch(0);
        bytes memory signature = signed(PAYER_KEY, digestOf(b));
        refused(CARRIER, address(PERMIT2), callOf(b, signed(key, digestOf(b))), invalidSigner());
        b.details[change % 2].amount = uint160(change % 100);
        refused(CARRIER, address(PERMIT2), callOf(b, signature), invalidSigner());
    }

    function test_an_account_with_code_is_asked_itself() public {
        address wallet = address(new Wallet(vm.addr(PAYER_KEY)));
        IAllowanceTransfer.PermitSingle memory p = single(0);
        bytes memory other = signed(PAYER_KEY + 1, digestOf(p));
        bytes memory own = signed(PAYER_KEY, digestOf(p));
        vm.expectRevert(encoded(SignedOrders.InvalidContractSignature.selector));
        PERMIT2.permit(wallet, p, other);
        PERMIT2.permit(wallet, p, own);
        (uint160 amount,,) = PERMIT2.allowance(wallet, address(dollar), CARRIER);
        vm.assertEq(amount, 100);
    }

    // ---- taking back -------------------------------------------------------------------------

    function test_a_lockdown_takes_back_what_it_names_and_no_more() public {
        approve(100, LATER);
        vm.prank(payer);
        PERMIT2.approve(SELLER, CARRIER, 100, LATER);
        IAllowanceTransfer.TokenSpenderPair[] memory pairs =
            new IAllowanceTransfer.TokenSpenderPair[](1);
        pairs[0] = IAllowanceTransfer.TokenSpenderPair(address(dollar), CARRIER);

        // Somebody else's lockdown takes back nothing of the payer's.
        vm.prank(SELLER);
        PERMIT2.lockdown(pairs);
        requireAllowance(address(dollar), 100, LATER, 0);

        vm.expectEmit(true, true, true, true, address(PERMIT2));
        emit Lockdown(payer, address(dollar), CARRIER);
        vm.prank(payer);
        PERMIT2.lockdown(pairs);
        refused(CARRIER, address(PERMIT2), takeCall(1), insufficient(0));
        requireAllowance(SELLER, 100, LATER, 0);
    }

    function testFuzz_what_was_signed_with_an_earlier_nonce_is_void(uint48 next) public {
        next = uint48(bound(next, 1, type(uint16).max));
        IAllowanceTransfer.PermitSingle memory p = single(next - 1);
        bytes memory void = callOf(p, signed(PAYER_KEY, digestOf(p)));
        vm.expectEmit(true, true, true, true, address(PERMIT2));
        emit NonceInvalidation(payer, address(dollar), CARRIER, next, 0);
        vm.prank(payer);
        PERMIT2.invalidateNonces(address(dollar), CARRIER, next);
        refused(CARRIER, address(PERMIT2), void, invalidNonce());
        p = single(next);
        done(CARRIER, address(PERMIT2), callOf(p, signed(PAYER_KEY, digestOf(p))));
    }

    function testFuzz_nonces_only_rise_and_not_by_too_many(uint48 first, uint48 second) public {
        first = uint48(bound(first, 1, type(uint16).max));
        vm.prank(payer);
        PERMIT2.invalidateNonces(address(dollar), CARRIER, first);
        bytes memory call =
            abi.encodeCall(PERMIT2.invalidateNonces, (address(dollar), CARRIER, second));
        if (second <= first) {
            refused(payer, address(PERMIT2), call, invalidNonce());
        } else if (second - first > type(uint16).max) {
            bytes memory reason = encoded(IAllowanceTransfer.ExcessiveInvalidation.selector);
            refused(payer, address(PERMIT2), call, reason);
        } else {
            done(payer, address(PERMIT2), call);
        }
    }
}

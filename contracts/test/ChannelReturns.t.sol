// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {ChannelTest} from "./ChannelTest.sol";

/// @dev What goes back to a payer: by the seller's will, or by the payer's own after the delay.
contract ChannelReturnsTest is ChannelTest {
    x402BatchSettlement.ChannelConfig internal c;
    bytes32 internal id;
    address internal authorizer;

    function setUp() public override {
        super.setUp();
        authorizer = vm.addr(AUTHORIZER_KEY);
        c = aChannel();
        id = idOf(c);
        deposit(c, 1000);
    }

    // ---- refunds -----------------------------------------------------------------------------

    function test_the_receiver_or_its_authorizer_refunds() public {
        address[2] memory senders = [SELLER, authorizer];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectEmit(true, true, true, true, address(settlement));
            emit x402BatchSettlement.Refunded(id, senders[i], 100);
            vm.prank(senders[i]);
            settlement.refund(c, 100);
        }
        vm.assertEq(balanceOf(c), 800);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 800);
        vm.assertEq(settlement.refundNonce(id), 2);
    }

    function test_nobody_else_refunds() public {
        address[3] memory strangers = [payer, CARRIER, vm.addr(VOUCHER_KEY)];
        for (uint256 i = 0; i < strangers.length; ++i) {
            expectRefusal(x402BatchSettlement.NotAuthorizedToRefund.selector);
            vm.prank(strangers[i]);
            settlement.refund(c, 1);
        }
    }

    function test_a_refund_stops_at_what_is_claimed() public {
        claim(c, 300);
        refund(type(uint128).max);
        vm.assertEq(balanceOf(c), 300);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 300);
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), 300);
        vm.assertEq(dollar.balanceOf(address(settlement)), 0);
    }

    function test_a_refund_of_nothing_is_refused() public {
        expectRefusal(x402BatchSettlement.ZeroRefund.selector);
        vm.prank(SELLER);
        settlement.refund(c, 0);
    }

    function test_a_refund_where_nothing_is_left_still_spends_its_nonce() public {
        claim(c, 1000);
        bytes memory signature = signed(AUTHORIZER_KEY, refundDigest(id, 0, 5));
        settlement.refundWithSignature(c, 5, 0, signature);
        vm.assertEq(settlement.refundNonce(id), 1);
        vm.assertEq(balanceOf(c), 1000);
        deposit(c, 5);
        expectRefusal(x402BatchSettlement.InvalidRefundNonce.selector);
        settlement.refundWithSignature(c, 5, 0, signature);
    }

    function test_a_signed_refund_is_carried_by_anyone_once() public {
        bytes memory signature = signed(AUTHORIZER_KEY, refundDigest(id, 0, 250));
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.Refunded(id, CARRIER, 250);
        vm.prank(CARRIER);
        settlement.refundWithSignature(c, 250, 0, signature);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 750);

        expectRefusal(x402BatchSettlement.InvalidRefundNonce.selector);
        settlement.refundWithSignature(c, 250, 0, signature);
        expectRefusal(x402BatchSettlement.InvalidSignature.selector);
        settlement.refundWithSignature(c, 250, 1, signature);
    }

    function test_a_signed_refund_is_good_only_as_it_was_signed() public {
        bytes memory signature = signed(AUTHORIZER_KEY, refundDigest(id, 0, 250));
        bytes4 reason = x402BatchSettlement.InvalidSignature.selector;
        expectRefusal(reason);
        settlement.refundWithSignature(c, 251, 0, signature);
        x402BatchSettlement.ChannelConfig memory other = aChannel();
        other.salt = keccak256("another");
        expectRefusal(reason);
        settlement.refundWithSignature(other, 250, 0, signature);
        uint256[3] memory keys = [PAYER_KEY, VOUCHER_KEY, uint256(77)];
        for (uint256 i = 0; i < keys.length; ++i) {
            bytes memory wrong = signed(keys[i], refundDigest(id, 0, 250));
            expectRefusal(reason);
            settlement.refundWithSignature(c, 250, 0, wrong);
        }
        // A voucher's or a batch's signature is none for a refund.
        bytes memory voucher = signed(AUTHORIZER_KEY, voucherDigest(id, 250));
        expectRefusal(reason);
        settlement.refundWithSignature(c, 250, 0, voucher);
    }

    function test_a_refund_in_between_takes_the_signed_ones_nonce() public {
        bytes memory signature = signed(AUTHORIZER_KEY, refundDigest(id, 0, 250));
        refund(1);
        expectRefusal(x402BatchSettlement.InvalidRefundNonce.selector);
        settlement.refundWithSignature(c, 250, 0, signature);
    }

    function test_the_last_refund_closes_the_channel_and_a_deposit_opens_it_again() public {
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.ChannelClosed(id, c);
        refund(1000);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.ChannelCreated(id, c);
        deposit(c, 1);
        vm.assertEq(settlement.refundNonce(id), 1);
    }

    // ---- withdrawals -------------------------------------------------------------------------

    function test_the_payer_or_its_authorizer_withdraws_after_the_delay() public {
        address[2] memory senders = [payer, vm.addr(VOUCHER_KEY)];
        for (uint128 i = 0; i < 2; ++i) {
            vm.expectEmit(true, true, true, true, address(settlement));
            emit x402BatchSettlement.WithdrawInitiated(id, 400, uint40(block.timestamp) + DELAY);
            vm.prank(senders[i]);
            settlement.initiateWithdraw(c, 400);
            checkWaiting(400, block.timestamp);

            vm.warp(block.timestamp + DELAY);
            vm.expectEmit(true, true, true, true, address(settlement));
            emit x402BatchSettlement.WithdrawFinalized(id, senders[i], 400);
            vm.prank(senders[i]);
            settlement.finalizeWithdraw(c);
            checkWaiting(0, 0);
        }
        vm.assertEq(balanceOf(c), 200);
        // Whoever asked, it is the payer who gets it.
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 200);
    }

    function test_nobody_else_begins_or_ends_a_withdrawal() public {
        address[3] memory strangers = [SELLER, authorizer, CARRIER];
        for (uint256 i = 0; i < strangers.length; ++i) {
            expectRefusal(x402BatchSettlement.InvalidChannel.selector);
            vm.prank(strangers[i]);
            settlement.initiateWithdraw(c, 1);
        }
        initiate(400);
        vm.warp(block.timestamp + DELAY);
        for (uint256 i = 0; i < strangers.length; ++i) {
            expectRefusal(x402BatchSettlement.NotAuthorizedToFinalizeWithdraw.selector);
            vm.prank(strangers[i]);
            settlement.finalizeWithdraw(c);
        }
    }

    function test_a_withdrawal_before_its_delay_is_refused_to_the_second() public {
        initiate(400);
        vm.warp(block.timestamp + DELAY - 1);
        expectRefusal(x402BatchSettlement.WithdrawDelayNotElapsed.selector);
        vm.prank(payer);
        settlement.finalizeWithdraw(c);
        vm.warp(block.timestamp + 1);
        vm.prank(payer);
        settlement.finalizeWithdraw(c);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 600);
    }

    function test_a_withdrawal_that_cannot_be_is_refused() public {
        vm.prank(payer);
        expectRefusal(x402BatchSettlement.NothingToWithdraw.selector);
        settlement.initiateWithdraw(c, 0);
        claim(c, 300);
        vm.prank(payer);
        expectRefusal(x402BatchSettlement.WithdrawAmountExceedsAvailable.selector);
        settlement.initiateWithdraw(c, 701);
        vm.prank(payer);
        expectRefusal(x402BatchSettlement.WithdrawalNotPending.selector);
        settlement.finalizeWithdraw(c);
        initiate(700);
        vm.prank(payer);
        expectRefusal(x402BatchSettlement.WithdrawalAlreadyPending.selector);
        settlement.initiateWithdraw(c, 1);
    }

    function test_what_is_claimed_in_the_delay_is_not_withdrawn() public {
        initiate(1000);
        claim(c, 300);
        finalize();
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 300);
        vm.assertEq(balanceOf(c), 300);
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), 300);
    }

    function test_all_claimed_in_the_delay_leaves_a_withdrawal_of_nothing() public {
        initiate(1000);
        claim(c, 1000);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.WithdrawFinalized(id, payer, 0);
        finalize();
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 1000);
        checkWaiting(0, 0);
    }

    function test_a_voucher_that_comes_after_the_withdrawal_is_worth_nothing() public {
        initiate(1000);
        finalize();
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300));
        vm.prank(SELLER);
        expectRefusal(x402BatchSettlement.ClaimExceedsBalance.selector);
        settlement.claim(rows);
    }

    function test_a_withdrawal_of_all_closes_the_channel() public {
        initiate(1000);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.ChannelClosed(id, c);
        finalize();
    }

    function test_a_refund_takes_off_what_waits_to_be_withdrawn() public {
        initiate(400);
        refund(150);
        checkWaiting(250, NOW);
        finalize();
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 600);
    }

    function test_a_refund_of_as_much_ends_the_withdrawal() public {
        initiate(400);
        refund(400);
        checkWaiting(0, 0);
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        expectRefusal(x402BatchSettlement.WithdrawalNotPending.selector);
        settlement.finalizeWithdraw(c);
        initiate(600);
    }

    function test_a_deposit_in_the_delay_stays() public {
        initiate(1000);
        deposit(c, 50);
        finalize();
        vm.assertEq(balanceOf(c), 50);
    }

    // ---- properties --------------------------------------------------------------------------

    /// @dev Whatever the seller claims, the payer gets all the rest, and the seller all of that.
    function testFuzz_the_rest_always_comes_back(uint128 claimed, uint128 refunded, uint128 asked)
        public
    {
        claimed = uint128(bound(claimed, 0, 1000));
        asked = uint128(bound(asked, 1, 1000));
        initiate(asked);
        if (claimed > 0) claim(c, claimed);
        if (refunded > 0) refund(refunded);
        (uint128 waits, uint40 since) = settlement.pendingWithdrawals(id);
        if (since != 0) finalize();
        vm.assertTrue(waits <= asked, "more waits than was asked for");
        uint128 rest = balanceOf(c) - claimedOf(c);
        if (rest > 0) {
            initiate(rest);
            finalize();
        }
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), claimed);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - claimed);
        vm.assertEq(dollar.balanceOf(address(settlement)), 0);
    }

    function refund(uint128 amount) private {
        vm.prank(SELLER);
        settlement.refund(c, amount);
    }

    function initiate(uint128 amount) private {
        vm.prank(payer);
        settlement.initiateWithdraw(c, amount);
    }

    function finalize() private {
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        settlement.finalizeWithdraw(c);
    }

    function checkWaiting(uint256 amount, uint256 since) private view {
        (uint128 waits, uint40 initiatedAt) = settlement.pendingWithdrawals(id);
        vm.assertEq(waits, amount);
        vm.assertEq(initiatedAt, since);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {ChannelTest, KeyedWallet} from "./ChannelTest.sol";

contract ChannelClaimsTest is ChannelTest {
    x402BatchSettlement.ChannelConfig internal c;
    address internal authorizer;

    function setUp() public override {
        super.setUp();
        authorizer = vm.addr(AUTHORIZER_KEY);
        c = aChannel();
        deposit(c, 1000);
    }

    function test_the_receiver_or_its_authorizer_claims_and_no_token_moves() public {
        address[2] memory senders = [SELLER, authorizer];
        for (uint128 i = 0; i < 2; ++i) {
            x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300 * (i + 1)));
            vm.expectEmit(true, true, true, true, address(settlement));
            emit x402BatchSettlement.Claimed(idOf(c), senders[i], 300, 300 * (i + 1));
            vm.prank(senders[i]);
            settlement.claim(rows);
        }
        vm.assertEq(claimedOf(c), 600);
        vm.assertEq(balanceOf(c), 1000);
        checkEarned(600, 0);
        vm.assertEq(dollar.balanceOf(address(settlement)), 1000);
    }

    function test_nobody_else_claims() public {
        address[3] memory strangers = [payer, CARRIER, vm.addr(VOUCHER_KEY)];
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300));
        for (uint256 i = 0; i < strangers.length; ++i) {
            expectRefusal(x402BatchSettlement.NotAuthorizedToClaim.selector);
            vm.prank(strangers[i]);
            settlement.claim(rows);
        }
    }

    function test_one_bad_row_undoes_the_batch() public {
        x402BatchSettlement.ChannelConfig memory other = aChannel();
        (other.receiver, other.receiverAuthorizer) = (CARRIER, CARRIER);
        deposit(other, 10);
        x402BatchSettlement.VoucherClaim[] memory rows = new x402BatchSettlement.VoucherClaim[](2);
        (rows[0], rows[1]) = (row(c, 300), row(other, 10));
        expectRefusal(x402BatchSettlement.NotAuthorizedToClaim.selector);
        vm.prank(SELLER);
        settlement.claim(rows);
        vm.assertEq(claimedOf(c), 0);
    }

    function test_less_than_the_voucher_allows_can_be_claimed_and_the_rest_later() public {
        claimAs(SELLER, rowUpTo(c, 1, 900, VOUCHER_KEY));
        vm.assertEq(claimedOf(c), 1);
        claimAs(SELLER, rowUpTo(c, 900, 900, VOUCHER_KEY));
        vm.assertEq(claimedOf(c), 900);
        checkEarned(900, 0);
    }

    function test_a_claim_that_came_before_changes_nothing() public {
        x402BatchSettlement.VoucherClaim memory old = row(c, 200);
        claim(c, 200);
        claim(c, 300);
        claimAs(SELLER, old);
        claimAs(SELLER, row(c, 300));
        vm.assertEq(claimedOf(c), 300);
        checkEarned(300, 0);
    }

    /// @dev So a batch does not fail because a part of it came before, whatever its vouchers are.
    function test_what_is_claimed_already_asks_for_no_proof_and_is_not_told_again() public {
        claim(c, 300);
        x402BatchSettlement.VoucherClaim memory unproven = row(c, 300);
        (unproven.voucher.maxClaimableAmount, unproven.signature) = (0, "");
        claimAs(SELLER, unproven);
        vm.assertEq(claimedOf(c), 300);
        checkEarned(300, 0);
    }

    function test_the_same_channel_twice_in_a_batch_counts_once() public {
        x402BatchSettlement.VoucherClaim[] memory rows = new x402BatchSettlement.VoucherClaim[](3);
        (rows[0], rows[1], rows[2]) = (row(c, 300), row(c, 500), row(c, 400));
        vm.prank(SELLER);
        settlement.claim(rows);
        vm.assertEq(claimedOf(c), 500);
        checkEarned(500, 0);
    }

    function test_more_than_the_voucher_allows_is_refused() public {
        refuseClaim(
            rowUpTo(c, 301, 300, VOUCHER_KEY), x402BatchSettlement.ClaimExceedsCeiling.selector
        );
    }

    function test_more_than_the_channel_holds_is_refused() public {
        refuseClaim(row(c, 1001), x402BatchSettlement.ClaimExceedsBalance.selector);
        claim(c, 1000);
        refuseClaim(row(c, 1001), x402BatchSettlement.ClaimExceedsBalance.selector);
    }

    function test_a_voucher_that_the_payers_authorizer_did_not_sign_is_refused() public {
        bytes4 reason = x402BatchSettlement.InvalidSignature.selector;
        refuseClaim(rowUpTo(c, 300, 300, PAYER_KEY), reason);
        refuseClaim(rowUpTo(c, 300, 300, AUTHORIZER_KEY), reason);
        // Signed for less.
        x402BatchSettlement.VoucherClaim memory changed = row(c, 300);
        (changed.voucher.maxClaimableAmount, changed.totalClaimed) = (400, 400);
        refuseClaim(changed, reason);
        // Signed for another channel.
        x402BatchSettlement.ChannelConfig memory other = aChannel();
        other.salt = keccak256("another");
        changed = row(c, 300);
        changed.signature = row(other, 300).signature;
        refuseClaim(changed, reason);
        // No signature at all.
        changed.signature = "";
        refuseClaim(changed, reason);
        changed.signature = new bytes(65);
        refuseClaim(changed, reason);
    }

    function test_without_authorizer_the_payer_signs() public {
        c.payerAuthorizer = address(0);
        deposit(c, 1000);
        refuseClaim(
            rowUpTo(c, 300, 300, VOUCHER_KEY), x402BatchSettlement.InvalidSignature.selector
        );
        claimAs(SELLER, rowUpTo(c, 300, 300, PAYER_KEY));
        vm.assertEq(claimedOf(c), 300);
    }

    function test_without_authorizer_a_smart_wallet_is_asked() public {
        KeyedWallet wallet = new KeyedWallet(vm.addr(VOUCHER_KEY));
        (c.payer, c.payerAuthorizer) = (address(wallet), address(0));
        // A wallet's own deposit needs ERC-1271 in the token, which the dollar has.
        vm.prank(MINTER);
        dollar.mint(address(wallet), 1000);
        Order memory o = anOrder(1000);
        (o.from, o.to) = (address(wallet), address(collector));
        o.nonce = keccak256(abi.encode(idOf(c), uint256(1)));
        settlement.deposit(
            c,
            1000,
            address(collector),
            abi.encode(o.validAfter, o.validBefore, 1, signed(VOUCHER_KEY, receiveDigest(o)))
        );
        refuseClaim(rowUpTo(c, 300, 300, PAYER_KEY), x402BatchSettlement.InvalidSignature.selector);
        claimAs(SELLER, row(c, 300));
        vm.assertEq(claimedOf(c), 300);
    }

    /// @dev A payer's authorizer is a key, even if a contract stands at its address.
    function test_an_authorizer_of_payers_is_never_asked_as_a_wallet() public {
        c.payerAuthorizer = address(new KeyedWallet(vm.addr(VOUCHER_KEY)));
        deposit(c, 1000);
        refuseClaim(row(c, 300), x402BatchSettlement.InvalidSignature.selector);
    }

    function test_an_empty_batch_is_refused() public {
        x402BatchSettlement.VoucherClaim[] memory none = new x402BatchSettlement.VoucherClaim[](0);
        expectRefusal(x402BatchSettlement.EmptyBatch.selector);
        settlement.claim(none);
        bytes memory signature = signed(AUTHORIZER_KEY, batchDigest(none));
        expectRefusal(x402BatchSettlement.EmptyBatch.selector);
        settlement.claimWithSignature(none, signature);
    }

    // ---- claims that others carry ------------------------------------------------------------

    function test_a_signed_batch_of_many_payers_is_carried_by_anyone() public {
        x402BatchSettlement.VoucherClaim[] memory rows = twoRows();
        bytes memory signature = signed(AUTHORIZER_KEY, batchDigest(rows));
        vm.prank(CARRIER);
        settlement.claimWithSignature(rows, signature);
        checkEarned(700, 0);

        // Again it is good, and changes nothing.
        settlement.claimWithSignature(rows, signature);
        checkEarned(700, 0);
    }

    function test_a_batch_is_good_only_as_it_was_signed() public {
        bytes memory signature = signed(AUTHORIZER_KEY, batchDigest(twoRows()));
        bytes4 reason = x402BatchSettlement.InvalidSignature.selector;
        x402BatchSettlement.VoucherClaim[] memory rows = twoRows();
        rows[0].totalClaimed -= 1;
        refuseBatch(rows, signature, reason);
        rows = twoRows();
        rows[1].voucher.maxClaimableAmount += 1;
        refuseBatch(rows, signature, reason);
        rows = twoRows();
        (rows[0], rows[1]) = (rows[1], rows[0]);
        refuseBatch(rows, signature, reason);
        refuseBatch(batch(twoRows()[0]), signature, reason);
        refuseBatch(twoRows(), signed(PAYER_KEY, batchDigest(twoRows())), reason);
        refuseBatch(twoRows(), "", reason);
        vm.assertEq(claimedOf(c), 0);
    }

    function test_a_batch_over_two_authorizers_is_refused() public {
        x402BatchSettlement.VoucherClaim[] memory rows = twoRows();
        rows[1].voucher.channel.receiverAuthorizer = CARRIER;
        refuseBatch(
            rows,
            signed(AUTHORIZER_KEY, batchDigest(rows)),
            x402BatchSettlement.NotReceiverAuthorizer.selector
        );
    }

    function test_a_signed_batch_still_needs_each_payers_voucher() public {
        x402BatchSettlement.VoucherClaim[] memory rows = twoRows();
        rows[1].signature = rows[0].signature;
        refuseBatch(
            rows,
            signed(AUTHORIZER_KEY, batchDigest(rows)),
            x402BatchSettlement.InvalidSignature.selector
        );
    }

    function test_a_smart_wallet_authorizes_for_a_receiver() public {
        c.receiverAuthorizer = address(new KeyedWallet(vm.addr(AUTHORIZER_KEY)));
        deposit(c, 1000);
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300));
        bytes memory signature = signed(AUTHORIZER_KEY, batchDigest(rows));
        settlement.claimWithSignature(rows, signature);
        vm.assertEq(claimedOf(c), 300);
        signature = signed(AUTHORIZER_KEY, refundDigest(idOf(c), 0, 700));
        settlement.refundWithSignature(c, 700, 0, signature);
        vm.assertEq(balanceOf(c), 300);
    }

    // ---- settlement --------------------------------------------------------------------------

    function test_all_that_a_receiver_claimed_is_paid_at_once() public {
        x402BatchSettlement.VoucherClaim[] memory rows = twoRows();
        vm.prank(SELLER);
        settlement.claim(rows);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.Settled(SELLER, address(dollar), CARRIER, 700);
        vm.prank(CARRIER);
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), 700);
        checkEarned(700, 700);
    }

    function test_settling_twice_pays_once_and_more_claims_pay_more() public {
        claim(c, 300);
        settlement.settle(SELLER, address(dollar));
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), 300);
        claim(c, 301);
        settlement.settle(SELLER, address(dollar));
        vm.assertEq(dollar.balanceOf(SELLER), 301);
        checkEarned(301, 301);
    }

    function test_settling_for_one_who_earned_nothing_moves_nothing() public {
        claim(c, 300);
        settlement.settle(CARRIER, address(dollar));
        settlement.settle(SELLER, CARRIER);
        vm.assertEq(dollar.balanceOf(CARRIER), 0);
        vm.assertEq(dollar.balanceOf(address(settlement)), 1000);
    }

    // ---- several steps at once ---------------------------------------------------------------

    function test_a_last_claim_and_a_refund_go_together() public {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300));
        bytes[] memory steps = new bytes[](2);
        steps[0] = abi.encodeCall(
            settlement.claimWithSignature, (rows, signed(AUTHORIZER_KEY, batchDigest(rows)))
        );
        steps[1] = abi.encodeCall(
            settlement.refundWithSignature,
            (c, 700, 0, signed(AUTHORIZER_KEY, refundDigest(idOf(c), 0, 700)))
        );
        vm.prank(CARRIER);
        settlement.multicall(steps);
        vm.assertEq(claimedOf(c), 300);
        vm.assertEq(balanceOf(c), 300);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 300);

        // The second step's nonce is used, so neither step happens again.
        expectRefusal(x402BatchSettlement.InvalidRefundNonce.selector);
        settlement.multicall(steps);
    }

    /// @dev Facilitators append bytes of their own to the call (ERC-8021); they mean nothing here.
    function test_bytes_after_a_call_change_nothing() public {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 300));
        bytes memory call = abi.encodeCall(settlement.claim, (rows));
        vm.prank(SELLER);
        (bool ok,) = address(settlement).call(bytes.concat(call, "builder"));
        vm.assertTrue(ok, "the call reverted");
        vm.assertEq(claimedOf(c), 300);
    }

    // ---- properties --------------------------------------------------------------------------

    function testFuzz_claims_only_grow_and_never_exceed(uint128[6] memory totals) public {
        uint128 most = 0;
        for (uint256 i = 0; i < totals.length; ++i) {
            uint128 total = uint128(bound(totals[i], 0, 1500));
            x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, total));
            vm.prank(SELLER);
            (bool ok,) = address(settlement).call(abi.encodeCall(settlement.claim, (rows)));
            vm.assertEq(ok, total <= 1000);
            if (ok && total > most) most = total;
            vm.assertEq(claimedOf(c), most);
            checkEarned(most, 0);
        }
    }

    function testFuzz_no_other_key_makes_a_voucher(uint256 seed, uint128 total) public {
        uint256 key = keyFrom(seed);
        vm.assume(key != VOUCHER_KEY);
        total = uint128(bound(total, 1, 1000));
        refuseClaim(rowUpTo(c, total, total, key), x402BatchSettlement.InvalidSignature.selector);
    }

    function twoRows() private returns (x402BatchSettlement.VoucherClaim[] memory rows) {
        x402BatchSettlement.ChannelConfig memory other = aChannel();
        other.salt = keccak256("another payer's");
        if (balanceOf(other) == 0) deposit(other, 500);
        rows = new x402BatchSettlement.VoucherClaim[](2);
        (rows[0], rows[1]) = (row(c, 300), row(other, 400));
    }

    function claimAs(address sender, x402BatchSettlement.VoucherClaim memory one) private {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(one);
        vm.prank(sender);
        settlement.claim(rows);
    }

    function refuseClaim(x402BatchSettlement.VoucherClaim memory one, bytes4 reason) private {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(one);
        expectRefusal(reason);
        vm.prank(SELLER);
        settlement.claim(rows);
    }

    function refuseBatch(
        x402BatchSettlement.VoucherClaim[] memory rows,
        bytes memory signature,
        bytes4 reason
    ) private {
        expectRefusal(reason);
        settlement.claimWithSignature(rows, signature);
    }

    function checkEarned(uint256 claimed, uint256 settled) private view {
        (uint128 nowClaimed, uint128 nowSettled) = settlement.receivers(SELLER, address(dollar));
        vm.assertEq(nowClaimed, claimed);
        vm.assertEq(nowSettled, settled);
    }
}

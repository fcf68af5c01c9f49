// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AuthCaptureEscrow} from "../src/AuthCaptureEscrow.sol";
import {TokenStore} from "../src/TokenStore.sol";
import {EscrowTest} from "./EscrowTest.sol";

contract EscrowPaymentsTest is EscrowTest {
    AuthCaptureEscrow.PaymentInfo internal p;
    bytes32 internal id;

    function setUp() public override {
        super.setUp();
        p = aPayment();
        id = hashOf(p);
    }

    // ---- names and stores --------------------------------------------------------------------

    function test_a_payment_is_named_by_its_terms_the_contract_and_the_chain() public {
        vm.assertEq(escrow.getHash(p), id);
        vm.assertEq(escrow.PAYMENT_INFO_TYPEHASH(), keccak256(bytes(PAYMENT_TYPE)));
        vm.chainId(31_337_000);
        vm.assertTrue(hashOf(p) != id, "the chain must be part of a payment's name");
        vm.assertEq(escrow.getHash(p), hashOf(p));
    }

    function test_an_operators_store_is_where_it_was_foretold_and_only_its_own() public {
        address store = escrow.getTokenStore(OPERATOR);
        vm.assertEq(store.code.length, 0);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.TokenStoreCreated(OPERATOR, store);
        authorize(p, 1000);
        vm.assertTrue(store.code.length > 0, "the store has no code");
        vm.assertEq(dollar.balanceOf(store), 1000);

        p.operator = CARRIER;
        authorize(p, 10);
        vm.assertTrue(escrow.getTokenStore(CARRIER) != store, "two operators share a store");
        vm.assertEq(dollar.balanceOf(store), 1000);
        vm.assertEq(dollar.balanceOf(escrow.getTokenStore(CARRIER)), 10);
    }

    function test_a_store_obeys_nobody_but_the_escrow() public {
        authorize(p, 1000);
        TokenStore store = TokenStore(escrow.getTokenStore(OPERATOR));
        address[3] memory others = [OPERATOR, payer, SELLER];
        for (uint256 i = 0; i < others.length; ++i) {
            expectRefusal(TokenStore.OnlyAuthCaptureEscrow.selector);
            vm.prank(others[i]);
            store.sendTokens(address(dollar), others[i], 1);
        }
        TokenStore behind = TokenStore(escrow.tokenStoreImplementation());
        expectRefusal(TokenStore.OnlyAuthCaptureEscrow.selector);
        behind.sendTokens(address(dollar), SELLER, 0);
    }

    // ---- authorize ---------------------------------------------------------------------------

    function test_what_is_authorized_lies_in_the_store() public {
        bytes memory signature = order(PAYER_KEY, p);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentAuthorized(id, p, 1000, address(collector));
        vm.prank(OPERATOR);
        escrow.authorize(p, 1000, address(collector), signature);
        checkState(p, true, 1000, 0);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 1000);
        vm.assertEq(dollar.balanceOf(SELLER), 0);
    }

    function test_less_than_was_signed_can_be_authorized_and_the_rest_stays_the_payers() public {
        authorize(p, 400);
        checkState(p, true, 400, 0);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 400);
        vm.assertEq(dollar.balanceOf(address(collector)), 0);
    }

    function test_a_payment_is_collected_once_whatever_became_of_it() public {
        authorize(p, 400);
        bytes memory again =
            abi.encodeWithSelector(AuthCaptureEscrow.PaymentAlreadyCollected.selector, id);
        refuseBoth(400, again);
        void(p);
        refuseBoth(400, again);
    }

    function test_only_the_operator_takes_hands_over_voids_and_refunds() public {
        bytes memory signature = order(PAYER_KEY, p);
        address[4] memory others = [payer, SELLER, FEES, CARRIER];
        for (uint256 i = 0; i < others.length; ++i) {
            address other = others[i];
            bytes memory reason =
                abi.encodeWithSelector(AuthCaptureEscrow.InvalidSender.selector, other, OPERATOR);
            vm.expectRevert(reason);
            vm.prank(other);
            escrow.authorize(p, 1, address(collector), signature);
            vm.expectRevert(reason);
            vm.prank(other);
            escrow.charge(p, 1, address(collector), signature, 0, FEES);
            vm.expectRevert(reason);
            vm.prank(other);
            escrow.capture(p, 1, 0, FEES);
            vm.expectRevert(reason);
            vm.prank(other);
            escrow.void(p);
            vm.expectRevert(reason);
            vm.prank(other);
            escrow.refund(p, 1, address(refunds), "");
        }
    }

    function test_nothing_and_too_much_are_refused_before_all_else() public {
        uint256 most = type(uint120).max;
        bytes memory over =
            abi.encodeWithSelector(AuthCaptureEscrow.AmountOverflow.selector, most + 1, most);
        bytes memory zero = abi.encodePacked(AuthCaptureEscrow.ZeroAmount.selector);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 amount = i == 0 ? 0 : most + 1;
            bytes memory reason = i == 0 ? zero : over;
            refuseBoth(amount, reason);
            vm.expectRevert(reason);
            vm.prank(OPERATOR);
            escrow.capture(p, amount, 0, FEES);
            vm.expectRevert(reason);
            vm.prank(OPERATOR);
            escrow.refund(p, amount, address(refunds), "");
        }
        refuseBoth(
            1001, abi.encodeWithSelector(AuthCaptureEscrow.ExceedsMaxAmount.selector, 1001, 1000)
        );
    }

    function test_after_the_pre_approval_nothing_is_taken() public {
        vm.warp(p.preApprovalExpiry);
        refuseBoth(
            1,
            abi.encodeWithSelector(
                AuthCaptureEscrow.AfterPreApprovalExpiry.selector,
                p.preApprovalExpiry,
                p.preApprovalExpiry
            )
        );
        vm.warp(p.preApprovalExpiry - 1);
        authorize(p, 1);
    }

    function test_times_out_of_order_are_refused() public {
        for (uint256 i = 0; i < 2; ++i) {
            p = aPayment();
            if (i == 0) p.authorizationExpiry = p.preApprovalExpiry - 1;
            if (i == 1) p.refundExpiry = p.authorizationExpiry - 1;
            refuseBoth(
                1,
                abi.encodeWithSelector(
                    AuthCaptureEscrow.InvalidExpiries.selector,
                    p.preApprovalExpiry,
                    p.authorizationExpiry,
                    p.refundExpiry
                )
            );
        }
        p = aPayment();
        p.refundExpiry = p.authorizationExpiry = p.preApprovalExpiry;
        authorize(p, 1);
    }

    function test_fee_bounds_that_cannot_be_are_refused() public {
        p.maxFeeBps = 10_001;
        refuseBoth(1, abi.encodeWithSelector(AuthCaptureEscrow.FeeBpsOverflow.selector, 10_001));
        (p.minFeeBps, p.maxFeeBps) = (101, 100);
        refuseBoth(
            1, abi.encodeWithSelector(AuthCaptureEscrow.InvalidFeeBpsRange.selector, 101, 100)
        );
        (p.minFeeBps, p.maxFeeBps) = (10_000, 10_000);
        authorize(p, 1);
    }

    // ---- charge ------------------------------------------------------------------------------

    function test_a_charge_pays_at_once_and_can_be_refunded() public {
        bytes memory signature = order(PAYER_KEY, p);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentCharged(id, p, 800, address(collector), 80, FEES);
        vm.prank(OPERATOR);
        escrow.charge(p, 800, address(collector), signature, 80, FEES);
        checkState(p, true, 0, 800);
        checkPaid(720, 80);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 800);
        refund(p, 800);
        vm.assertEq(dollar.balanceOf(payer), FUNDS);
        checkState(p, true, 0, 0);
    }

    // ---- capture -----------------------------------------------------------------------------

    function test_captures_go_on_until_all_is_captured() public {
        authorize(p, 1000);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentCaptured(id, 600, 60, FEES);
        capture(p, 600, 60);
        checkState(p, true, 400, 600);
        checkPaid(540, 60);
        capture(p, 400, 0);
        checkState(p, true, 0, 1000);
        checkPaid(940, 60);
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(AuthCaptureEscrow.InsufficientAuthorization.selector, id, 0, 1)
        );
    }

    function test_more_than_is_authorized_is_not_captured() public {
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(AuthCaptureEscrow.InsufficientAuthorization.selector, id, 0, 1)
        );
        authorize(p, 400);
        refuseCapture(
            401,
            0,
            FEES,
            abi.encodeWithSelector(
                AuthCaptureEscrow.InsufficientAuthorization.selector, id, 400, 401
            )
        );
    }

    function test_one_payments_tokens_are_not_captured_for_another() public {
        authorize(p, 1000);
        p.salt = 2;
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(
                AuthCaptureEscrow.InsufficientAuthorization.selector, hashOf(p), 0, 1
            )
        );
        p.salt = 1;
        p.receiver = OPERATOR;
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(
                AuthCaptureEscrow.InsufficientAuthorization.selector, hashOf(p), 0, 1
            )
        );
    }

    function test_captures_end_when_reclaims_begin() public {
        authorize(p, 1000);
        vm.warp(p.authorizationExpiry - 1);
        capture(p, 1, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                AuthCaptureEscrow.BeforeAuthorizationExpiry.selector,
                p.authorizationExpiry - 1,
                p.authorizationExpiry
            )
        );
        vm.prank(payer);
        escrow.reclaim(p);
        vm.warp(p.authorizationExpiry);
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(
                AuthCaptureEscrow.AfterAuthorizationExpiry.selector,
                p.authorizationExpiry,
                p.authorizationExpiry
            )
        );
        reclaim(p);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 1);
    }

    function test_a_fee_stays_within_what_the_payer_signed() public {
        (p.minFeeBps, p.maxFeeBps) = (100, 500);
        authorize(p, 1000);
        bytes4 reason = AuthCaptureEscrow.FeeAmountOutOfRange.selector;
        refuseCapture(1000, 9, FEES, abi.encodeWithSelector(reason, 9, 10, 50));
        refuseCapture(1000, 51, FEES, abi.encodeWithSelector(reason, 51, 10, 50));
        // Of a small capture both bounds round down.
        refuseCapture(99, 5, FEES, abi.encodeWithSelector(reason, 5, 0, 4));
        capture(p, 99, 0);
        capture(p, 901, 45);
        checkPaid(955, 45);
    }

    function test_a_fee_can_be_the_whole() public {
        p.maxFeeBps = 10_000;
        authorize(p, 1000);
        capture(p, 1000, 1000);
        checkPaid(0, 1000);
    }

    function test_a_fixed_fee_receiver_is_named_even_for_no_fee() public {
        authorize(p, 1000);
        bytes4 reason = AuthCaptureEscrow.InvalidFeeReceiver.selector;
        refuseCapture(10, 1, CARRIER, abi.encodeWithSelector(reason, CARRIER, FEES));
        refuseCapture(10, 0, address(0), abi.encodeWithSelector(reason, address(0), FEES));
    }

    function test_a_free_fee_receiver_is_anyone_but_nobody() public {
        p.feeReceiver = address(0);
        authorize(p, 1000);
        refuseCapture(
            10, 1, address(0), abi.encodePacked(AuthCaptureEscrow.ZeroFeeReceiver.selector)
        );
        vm.prank(OPERATOR);
        escrow.capture(p, 10, 1, CARRIER);
        vm.assertEq(dollar.balanceOf(CARRIER), 1);
        vm.prank(OPERATOR);
        escrow.capture(p, 10, 0, address(0));
        vm.assertEq(dollar.balanceOf(SELLER), 19);
    }

    function test_a_charge_asks_for_its_fee_as_a_capture_does() public {
        bytes memory signature = order(PAYER_KEY, p);
        vm.expectRevert(
            abi.encodeWithSelector(AuthCaptureEscrow.FeeAmountOutOfRange.selector, 101, 0, 100)
        );
        vm.prank(OPERATOR);
        escrow.charge(p, 1000, address(collector), signature, 101, FEES);
        vm.expectRevert(
            abi.encodeWithSelector(AuthCaptureEscrow.InvalidFeeReceiver.selector, CARRIER, FEES)
        );
        vm.prank(OPERATOR);
        escrow.charge(p, 1000, address(collector), signature, 100, CARRIER);
    }

    // ---- void and reclaim --------------------------------------------------------------------

    function test_the_operator_voids_what_is_not_captured_at_any_time() public {
        authorize(p, 1000);
        capture(p, 300, 0);
        vm.warp(uint256(p.refundExpiry) + 1);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentVoided(id, 700);
        void(p);
        checkState(p, true, 0, 300);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 300);
        vm.expectRevert(abi.encodeWithSelector(AuthCaptureEscrow.ZeroAuthorization.selector, id));
        vm.prank(OPERATOR);
        escrow.void(p);
    }

    function test_the_payer_reclaims_alone_when_the_time_is_over() public {
        authorize(p, 1000);
        vm.warp(p.authorizationExpiry);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentReclaimed(id, 1000);
        reclaim(p);
        vm.assertEq(dollar.balanceOf(payer), FUNDS);
        checkState(p, true, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(AuthCaptureEscrow.ZeroAuthorization.selector, id));
        vm.prank(payer);
        escrow.reclaim(p);
    }

    function test_nobody_but_the_payer_reclaims() public {
        authorize(p, 1000);
        vm.warp(p.authorizationExpiry);
        address[3] memory others = [OPERATOR, SELLER, CARRIER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(AuthCaptureEscrow.InvalidSender.selector, others[i], payer)
            );
            vm.prank(others[i]);
            escrow.reclaim(p);
        }
    }

    function test_what_was_voided_is_not_captured() public {
        authorize(p, 1000);
        void(p);
        refuseCapture(
            1,
            0,
            FEES,
            abi.encodeWithSelector(AuthCaptureEscrow.InsufficientAuthorization.selector, id, 0, 1)
        );
    }

    // ---- refund ------------------------------------------------------------------------------

    function test_captured_tokens_are_refunded_out_of_the_operators_pocket() public {
        authorize(p, 1000);
        capture(p, 600, 60);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit AuthCaptureEscrow.PaymentRefunded(id, 250, address(refunds));
        refund(p, 250);
        checkState(p, true, 400, 350);
        vm.assertEq(dollar.balanceOf(OPERATOR), FUNDS - 250);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 750);
        refund(p, 350);
        vm.expectRevert(
            abi.encodeWithSelector(AuthCaptureEscrow.RefundExceedsCapture.selector, 1, 0)
        );
        vm.prank(OPERATOR);
        escrow.refund(p, 1, address(refunds), "");
    }

    function test_what_is_not_captured_is_not_refunded() public {
        authorize(p, 1000);
        capture(p, 10, 0);
        vm.expectRevert(
            abi.encodeWithSelector(AuthCaptureEscrow.RefundExceedsCapture.selector, 11, 10)
        );
        vm.prank(OPERATOR);
        escrow.refund(p, 11, address(refunds), "");
    }

    function test_refunds_end_with_their_time() public {
        charge(p, 1000, 0);
        vm.warp(p.refundExpiry - 1);
        refund(p, 1);
        vm.warp(p.refundExpiry);
        vm.expectRevert(
            abi.encodeWithSelector(
                AuthCaptureEscrow.AfterRefundExpiry.selector, p.refundExpiry, p.refundExpiry
            )
        );
        vm.prank(OPERATOR);
        escrow.refund(p, 1, address(refunds), "");
    }

    // ---- properties --------------------------------------------------------------------------

    function testFuzz_a_capture_divides_into_price_and_fee(
        uint256 amount,
        uint256 fee,
        uint16 least,
        uint16 most
    ) public {
        p.maxFeeBps = uint16(bound(most, 0, 10_000));
        p.minFeeBps = uint16(bound(least, 0, p.maxFeeBps));
        amount = bound(amount, 1, 1000);
        uint256 lowest = amount * p.minFeeBps / 10_000;
        uint256 highest = amount * p.maxFeeBps / 10_000;
        fee = bound(fee, 0, amount + 1);
        authorize(p, 1000);
        vm.prank(OPERATOR);
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.capture, (p, amount, fee, FEES)));
        vm.assertEq(ok, lowest <= fee && fee <= highest);
        if (ok) checkPaid(amount - fee, fee);
        checkState(p, true, ok ? 1000 - amount : 1000, ok ? amount : 0);
    }

    function refuseBoth(uint256 amount, bytes memory reason) private {
        bytes memory signature = order(PAYER_KEY, p);
        vm.expectRevert(reason);
        vm.prank(OPERATOR);
        escrow.authorize(p, amount, address(collector), signature);
        vm.expectRevert(reason);
        vm.prank(OPERATOR);
        escrow.charge(p, amount, address(collector), signature, 0, FEES);
    }

    function refuseCapture(uint256 amount, uint256 fee, address receiver, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        vm.prank(OPERATOR);
        escrow.capture(p, amount, fee, receiver);
    }

    function checkPaid(uint256 seller, uint256 fees) private view {
        vm.assertEq(dollar.balanceOf(SELLER), seller);
        vm.assertEq(dollar.balanceOf(FEES), fees);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {x402Permit2Proxy} from "../src/x402/x402Permit2Proxy.sol";
import {x402ExactPermit2Proxy} from "../src/x402ExactPermit2Proxy.sol";
import {x402UptoPermit2Proxy} from "../src/x402UptoPermit2Proxy.sol";
import {ProxyTest} from "./ProxyTest.sol";
import {OddToken} from "./Permit2Test.sol";

/// @dev x402's `upto` through Permit2: what must happen, and what must not.
contract UptoPermit2ProxyTest is ProxyTest {
    string private constant WITNESS_TYPE =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    x402UptoPermit2Proxy private proxy;
    x402UptoPermit2Proxy.Witness private witness;

    function setUp() public override {
        super.setUp();
        proxy = new x402UptoPermit2Proxy();
        witness = x402UptoPermit2Proxy.Witness(SELLER, CARRIER, NOW);
    }

    function anOrder() private view returns (Permitted memory p) {
        p = Permitted(aPermit(), address(proxy), bytes32(0), WITNESS_TYPE);
        p.witness = keccak256(
            abi.encode(
                keccak256("Witness(address to,address facilitator,uint256 validAfter)"),
                witness.to,
                witness.facilitator,
                witness.validAfter
            )
        );
    }

    function settleCall(Permitted memory p, uint256 amount, address owner, bytes memory signature)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(proxy.settle, (p.permit, amount, owner, witness, signature));
    }

    function signedCall(Permitted memory p, uint256 amount) private view returns (bytes memory) {
        return settleCall(p, amount, payer, signed(PAYER_KEY, digestOf(p)));
    }

    function permitCall(
        x402Permit2Proxy.EIP2612Permit memory permit2612,
        Permitted memory p,
        uint256 amount
    ) private view returns (bytes memory) {
        return abi.encodeCall(
            proxy.settleWithPermit,
            (permit2612, p.permit, amount, payer, witness, signed(PAYER_KEY, digestOf(p)))
        );
    }

    function test_the_constants_are_what_clients_expect() public view {
        vm.assertEq(address(proxy.PERMIT2()), address(PERMIT2));
        vm.assertEq(proxy.WITNESS_TYPE_STRING(), WITNESS_TYPE);
        bytes32 typeHash = keccak256("Witness(address to,address facilitator,uint256 validAfter)");
        vm.assertEq(proxy.WITNESS_TYPEHASH(), typeHash);
    }

    // ---- settle ------------------------------------------------------------------------------

    function testFuzz_any_amount_up_to_the_permitted_goes_to_the_payee_once(
        uint256 permitted,
        uint256 amount,
        uint256 nonce,
        uint256 again
    ) public {
        Permitted memory p = anOrder();
        permitted = bound(permitted, 1, type(uint256).max);
        (p.permit.permitted.amount, p.permit.nonce) = (permitted, nonce);
        amount = bound(amount, 1, permitted < FUNDS ? permitted : FUNDS);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit Settled();
        done(CARRIER, address(proxy), signedCall(p, amount));
        vm.assertEq(dollar.balanceOf(SELLER), amount);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - amount);
        vm.assertEq(dollar.balanceOf(address(proxy)), 0);

        // What was left of the permitted is gone with the order.
        again = bound(again, 1, permitted);
        refused(CARRIER, address(proxy), signedCall(p, again), invalidNonce());
    }

    function testFuzz_more_than_the_permitted_is_refused(uint256 permitted, uint256 amount) public {
        permitted = bound(permitted, 0, type(uint256).max - 1);
        amount = bound(amount, permitted + 1, type(uint256).max);
        Permitted memory p = anOrder();
        p.permit.permitted.amount = permitted;
        bytes memory reason = encoded(x402UptoPermit2Proxy.AmountExceedsPermitted.selector);
        refused(CARRIER, address(proxy), signedCall(p, amount), reason);
        bytes memory call = permitCall(sponsored(PAYER_KEY, permitted), p, amount);
        refused(CARRIER, address(proxy), call, reason);
    }

    function testFuzz_nobody_but_the_signed_facilitator_settles(address thief) public {
        vm.assume(thief != CARRIER);
        Permitted memory p = anOrder();
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        bytes memory reason = encoded(x402UptoPermit2Proxy.UnauthorizedFacilitator.selector);
        refused(thief, address(proxy), settleCall(p, 1, payer, signature), reason);
        bytes memory call = permitCall(sponsored(PAYER_KEY, 100), p, 1);
        refused(thief, address(proxy), call, reason);

        // A facilitator that names itself has an order that the payer did not sign.
        witness.facilitator = thief;
        refused(thief, address(proxy), settleCall(p, 1, payer, signature), invalidSigner());
    }

    function testFuzz_a_changed_field_moves_nothing(uint256 which, uint256 change) public {
        Permitted memory p = anOrder();
        bytes32 before = digestOf(p);
        bytes memory signature = signed(PAYER_KEY, before);
        which %= 6;
        if (which == 0) witness.to = address(uint160(bound(change, 1, type(uint160).max)));
        else if (which == 1) witness.validAfter = bound(change, 0, NOW);
        else if (which == 2) p.permit.permitted.token = address(uint160(change));
        else if (which == 3) p.permit.permitted.amount = bound(change, 1, type(uint256).max);
        else if (which == 4) p.permit.nonce = change;
        else p.permit.deadline = bound(change, NOW, type(uint256).max);
        p.witness = anOrder().witness;
        vm.assume(digestOf(p) != before);
        refused(CARRIER, address(proxy), settleCall(p, 1, payer, signature), invalidSigner());
    }

    /// @dev An order for one proxy is none for the other, although both are spenders of the same kind.
    function test_orders_of_the_two_schemes_are_not_mixed_up() public {
        Permitted memory p = anOrder();
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        x402ExactPermit2Proxy exact = new x402ExactPermit2Proxy();
        bytes memory call = abi.encodeCall(
            exact.settle, (p.permit, payer, x402ExactPermit2Proxy.Witness(SELLER, NOW), signature)
        );
        refused(CARRIER, address(exact), call, invalidSigner());
    }

    function testFuzz_a_payment_is_good_from_its_first_second_to_its_last(
        uint256 from,
        uint256 until,
        uint256 time
    ) public {
        Permitted memory p = anOrder();
        witness.validAfter = bound(from, 0, 2 * NOW);
        p.witness = anOrder().witness;
        p.permit.deadline = bound(until, 0, 2 * NOW);
        // One in three falls on an edge, where mistakes live.
        if (time % 6 == 0) time = witness.validAfter;
        else if (time % 6 == 1) time = p.permit.deadline;
        else time = bound(time, 0, 2 * NOW);
        vm.warp(time);
        bytes memory call = signedCall(p, 1);
        if (time < witness.validAfter) {
            bytes memory early = encoded(x402Permit2Proxy.PaymentTooEarly.selector);
            refused(CARRIER, address(proxy), call, early);
        } else if (time > p.permit.deadline) {
            refused(CARRIER, address(proxy), call, expired(p.permit.deadline));
        } else {
            done(CARRIER, address(proxy), call);
        }
    }

    /// @dev Everything is wrong; what is mended uncovers the next.
    function test_the_order_of_the_checks() public {
        Permitted memory p = anOrder();
        p.permit.permitted.amount = 0;
        witness = x402UptoPermit2Proxy.Witness(address(0), SELLER, NOW + 1);
        bytes memory signature = signed(PAYER_KEY + 1, digestOf(p));
        bytes memory call = settleCall(p, 1, address(0), signature);
        bytes4 reason = x402UptoPermit2Proxy.UnauthorizedFacilitator.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        witness.facilitator = CARRIER;
        call = settleCall(p, 1, address(0), signature);
        reason = x402UptoPermit2Proxy.AmountExceedsPermitted.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        p.permit.permitted.amount = 1;
        call = settleCall(p, 0, address(0), signature);
        reason = x402Permit2Proxy.InvalidAmount.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        call = settleCall(p, 1, address(0), signature);
        reason = x402Permit2Proxy.InvalidOwner.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        call = settleCall(p, 1, payer, signature);
        reason = x402Permit2Proxy.InvalidDestination.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        witness.to = SELLER;
        call = settleCall(p, 1, payer, signature);
        reason = x402Permit2Proxy.PaymentTooEarly.selector;
        refused(CARRIER, address(proxy), call, encoded(reason));
        witness.validAfter = NOW;
        call = settleCall(p, 1, payer, signature);
        refused(CARRIER, address(proxy), call, invalidSigner());
    }

    function test_a_token_that_calls_back_finds_the_proxy_shut() public {
        for (uint256 i = 0; i < 2; ++i) {
            OddToken token = new OddToken(OddToken.Manner.Silent);
            witness.facilitator = address(token);
            Permitted memory second = anOrder();
            second.permit.nonce = 8;
            token.callBack(address(proxy), signedCall(second, 1));
            Permitted memory first = anOrder();
            (first.permit.permitted.token, first.permit.nonce) = (address(token), i);
            bytes memory call =
                i == 0 ? signedCall(first, 1) : permitCall(sponsored(PAYER_KEY, 100), first, 1);
            done(address(token), address(proxy), call);
            bytes4 shut = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
            vm.assertEq(token.answer(), encoded(shut));
        }
    }

    // ---- settleWithPermit --------------------------------------------------------------------

    function testFuzz_a_permit_saves_the_payer_its_approval(uint256 permitted, uint256 amount)
        public
    {
        withdrawApproval();
        Permitted memory p = anOrder();
        p.permit.permitted.amount = permitted = bound(permitted, 1, FUNDS);
        amount = bound(amount, 1, permitted);
        bytes memory call = permitCall(sponsored(PAYER_KEY, permitted), p, amount);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit SettledWithPermit();
        done(CARRIER, address(proxy), call);
        vm.assertEq(dollar.balanceOf(SELLER), amount);
        vm.assertEq(dollar.allowance(payer, address(PERMIT2)), permitted - amount);
        refused(CARRIER, address(proxy), call, invalidNonce());
    }

    /// @dev The permit is for all that may be taken, also when less is.
    function testFuzz_a_permit_must_be_for_the_permitted_amount(uint256 value) public {
        vm.assume(value != 100);
        bytes memory reason = encoded(x402Permit2Proxy.Permit2612AmountMismatch.selector);
        bytes memory call = permitCall(sponsored(PAYER_KEY, value), anOrder(), 40);
        refused(CARRIER, address(proxy), call, reason);
    }

    function test_without_an_allowance_a_bad_permit_moves_nothing() public {
        withdrawApproval();
        bytes memory call = permitCall(sponsored(PAYER_KEY + 1, 100), anOrder(), 1);
        refused(CARRIER, address(proxy), call, FAILED);
        vm.prank(payer);
        dollar.approve(address(PERMIT2), 1);
        done(CARRIER, address(proxy), call);
        vm.assertEq(dollar.balanceOf(SELLER), 1);
    }
}

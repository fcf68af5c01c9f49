// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {x402Permit2Proxy} from "../src/x402/x402Permit2Proxy.sol";
import {x402ExactPermit2Proxy} from "../src/x402ExactPermit2Proxy.sol";
import {ProxyTest} from "./ProxyTest.sol";
import {OddToken} from "./Permit2Test.sol";

/// @dev x402's `exact` through Permit2: what must happen, and what must not.
contract ExactPermit2ProxyTest is ProxyTest {
    string private constant WITNESS_TYPE =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    x402ExactPermit2Proxy private proxy;
    x402ExactPermit2Proxy.Witness private witness;

    function setUp() public override {
        super.setUp();
        proxy = new x402ExactPermit2Proxy();
        witness = x402ExactPermit2Proxy.Witness(SELLER, NOW);
    }

    function anOrder() private view returns (Permitted memory p) {
        p = Permitted(aPermit(), address(proxy), bytes32(0), WITNESS_TYPE);
        p.witness = keccak256(
            abi.encode(
                keccak256("Witness(address to,uint256 validAfter)"), witness.to, witness.validAfter
            )
        );
    }

    function settleCall(Permitted memory p, address owner, bytes memory signature)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(proxy.settle, (p.permit, owner, witness, signature));
    }

    function permitCall(x402Permit2Proxy.EIP2612Permit memory permit2612, Permitted memory p)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            proxy.settleWithPermit,
            (permit2612, p.permit, payer, witness, signed(PAYER_KEY, digestOf(p)))
        );
    }

    function signedCall(Permitted memory p) private view returns (bytes memory) {
        return settleCall(p, payer, signed(PAYER_KEY, digestOf(p)));
    }

    function test_the_constants_are_what_clients_expect() public view {
        vm.assertEq(address(proxy.PERMIT2()), address(PERMIT2));
        vm.assertEq(proxy.WITNESS_TYPE_STRING(), WITNESS_TYPE);
        bytes32 typeHash = keccak256("Witness(address to,uint256 validAfter)");
        vm.assertEq(proxy.WITNESS_TYPEHASH(), typeHash);
    }

    // ---- settle ------------------------------------------------------------------------------

    function testFuzz_the_signed_amount_goes_to_the_signed_payee_once_whoever_carries_it(
        uint256 amount,
        uint256 nonce,
        address carrier,
        bool short
    ) public {
        Permitted memory p = anOrder();
        amount = bound(amount, 1, FUNDS);
        (p.permit.permitted.amount, p.permit.nonce) = (amount, nonce);
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        bytes memory call = settleCall(p, payer, short ? compact(signature) : signature);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit Settled();
        done(carrier, address(proxy), call);
        vm.assertEq(dollar.balanceOf(SELLER), amount);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - amount);
        vm.assertEq(dollar.balanceOf(address(proxy)), 0);
        refused(carrier, address(proxy), call, invalidNonce());
    }

    /// @dev Nobody but the payer says how much goes to whom and when.
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
        refused(CARRIER, address(proxy), settleCall(p, payer, signature), invalidSigner());
    }

    function testFuzz_an_order_signed_by_or_for_another_moves_nothing(uint256 seed, address other)
        public
    {
        uint256 key = keyFrom(seed);
        vm.assume(key != PAYER_KEY && other != address(proxy));
        Permitted memory p = anOrder();
        bytes memory call = settleCall(p, payer, signed(key, digestOf(p)));
        refused(CARRIER, address(proxy), call, invalidSigner());
        p.spender = other;
        refused(CARRIER, address(proxy), signedCall(p), invalidSigner());
    }

    /// @dev An order for the proxy is worthless at Permit2 itself, where the spender is the caller.
    function test_an_order_cannot_be_taken_around_the_proxy() public {
        Permitted memory p = anOrder();
        bytes memory call = abi.encodeWithSignature(
            "permitWitnessTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes32,string,bytes)",
            p.permit,
            CARRIER,
            uint256(100),
            payer,
            p.witness,
            WITNESS_TYPE,
            signed(PAYER_KEY, digestOf(p))
        );
        refused(CARRIER, address(PERMIT2), call, invalidSigner());
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
        bytes memory call = signedCall(p);
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
        witness = x402ExactPermit2Proxy.Witness(address(0), NOW + 1);
        bytes memory signature = signed(PAYER_KEY + 1, digestOf(p));
        bytes memory call = settleCall(p, address(0), signature);
        refused(CARRIER, address(proxy), call, encoded(x402Permit2Proxy.InvalidAmount.selector));
        p.permit.permitted.amount = 1;
        call = settleCall(p, address(0), signature);
        refused(CARRIER, address(proxy), call, encoded(x402Permit2Proxy.InvalidOwner.selector));
        call = settleCall(p, payer, signature);
        refused(
            CARRIER, address(proxy), call, encoded(x402Permit2Proxy.InvalidDestination.selector)
        );
        witness.to = SELLER;
        call = settleCall(p, payer, signature);
        refused(CARRIER, address(proxy), call, encoded(x402Permit2Proxy.PaymentTooEarly.selector));
        witness.validAfter = NOW;
        call = settleCall(p, payer, signature);
        refused(CARRIER, address(proxy), call, invalidSigner());
    }

    function test_without_an_approval_of_permit2_nothing_moves() public {
        withdrawApproval();
        refused(CARRIER, address(proxy), signedCall(anOrder()), FAILED);
    }

    /// @dev While a token moves, a second good order comes in: the proxy does one thing at a time.
    function test_a_token_that_calls_back_finds_the_proxy_shut() public {
        for (uint256 i = 0; i < 2; ++i) {
            OddToken token = new OddToken(OddToken.Manner.Silent);
            Permitted memory second = anOrder();
            second.permit.nonce = 8;
            token.callBack(address(proxy), signedCall(second));
            Permitted memory first = anOrder();
            (first.permit.permitted.token, first.permit.nonce) = (address(token), i);
            bytes memory call =
                i == 0 ? signedCall(first) : permitCall(sponsored(PAYER_KEY, 100), first);
            done(CARRIER, address(proxy), call);
            bytes4 shut = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
            vm.assertEq(token.answer(), encoded(shut));
        }
    }

    // ---- settleWithPermit --------------------------------------------------------------------

    function testFuzz_a_permit_saves_the_payer_its_approval(uint256 amount, address carrier)
        public
    {
        withdrawApproval();
        Permitted memory p = anOrder();
        p.permit.permitted.amount = amount = bound(amount, 1, FUNDS);
        bytes memory call = permitCall(sponsored(PAYER_KEY, amount), p);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit SettledWithPermit();
        done(carrier, address(proxy), call);
        vm.assertEq(dollar.balanceOf(SELLER), amount);
        vm.assertEq(dollar.allowance(payer, address(PERMIT2)), 0);
        vm.assertEq(dollar.balanceOf(address(proxy)), 0);

        // The same again: the permit fails, which is told, and then the nonce.
        refused(carrier, address(proxy), call, invalidNonce());
    }

    function testFuzz_a_permit_must_be_for_the_permitted_amount(uint256 value) public {
        vm.assume(value != 100);
        bytes memory reason = encoded(x402Permit2Proxy.Permit2612AmountMismatch.selector);
        bytes memory call = permitCall(sponsored(PAYER_KEY, value), anOrder());
        refused(CARRIER, address(proxy), call, reason);
        vm.assertEq(dollar.allowance(payer, address(PERMIT2)), type(uint256).max);
    }

    /// @dev Anyone can carry a permit to the token first; the payment goes through all the same.
    function test_a_permit_that_somebody_else_carried_first_does_no_harm() public {
        withdrawApproval();
        x402Permit2Proxy.EIP2612Permit memory one = sponsored(PAYER_KEY, 100);
        dollar.permit(payer, address(PERMIT2), one.value, one.deadline, one.v, one.r, one.s);
        done(CARRIER, address(proxy), permitCall(one, anOrder()));
        vm.assertEq(dollar.balanceOf(SELLER), 100);
    }

    function test_a_bad_permit_is_told_and_the_allowance_decides() public {
        x402Permit2Proxy.EIP2612Permit memory late = sponsored(PAYER_KEY, 100);
        late.deadline = NOW - 1;
        bytes memory call = permitCall(late, anOrder());
        withdrawApproval();
        refused(CARRIER, address(proxy), call, FAILED);

        vm.prank(payer);
        dollar.approve(address(PERMIT2), 100);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit EIP2612PermitFailedWithData(
            address(dollar),
            payer,
            abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, NOW - 1)
        );
        done(CARRIER, address(proxy), call);
        vm.assertEq(dollar.balanceOf(SELLER), 100);
    }

    function test_what_a_token_says_of_a_permit_is_told() public {
        Permitted memory p = anOrder();
        p.permit.permitted.token = address(new OddToken(OddToken.Manner.Text));
        (bool ok, bytes memory answer) =
            ask(CARRIER, address(proxy), permitCall(sponsored(PAYER_KEY, 100), p));
        vm.assertTrue(!ok, "such a token moves nothing either");
        vm.assertEq(answer, FAILED);

        PermitlessToken text = new PermitlessToken(new OddToken(OddToken.Manner.Text));
        p.permit.permitted.token = address(text);
        bytes memory call = permitCall(sponsored(PAYER_KEY, 100), p);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit EIP2612PermitFailedWithReason(address(text), payer, "no permits today");
        done(CARRIER, address(proxy), call);

        PermitlessToken panic = new PermitlessToken(new OddToken(OddToken.Manner.Panic));
        p.permit.permitted.token = address(panic);
        p.permit.nonce = 8;
        call = permitCall(sponsored(PAYER_KEY, 100), p);
        vm.expectEmit(true, true, true, true, address(proxy));
        emit EIP2612PermitFailedWithPanic(address(panic), payer, 1);
        done(CARRIER, address(proxy), call);
    }
}

/// @dev A token that moves, and passes every other question on.
contract PermitlessToken {
    OddToken private immutable oddity;

    constructor(OddToken oddity_) {
        oddity = oddity_;
    }

    function transferFrom(address, address, uint256) external pure returns (bool) {
        return true;
    }

    fallback() external {
        (bool ok, bytes memory answer) = address(oddity).call(msg.data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }
}

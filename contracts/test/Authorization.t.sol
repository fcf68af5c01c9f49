// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MachinaDollar} from "../src/MachinaDollar.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev A smart wallet that accepts the signatures of one key (ERC-1271).
contract Wallet {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        return ECDSA.recoverCalldata(hash, signature) == owner
            ? this.isValidSignature.selector
            : bytes4(0xffffffff);
    }
}

/// @dev EIP-3009 in both forms of signature: what must happen, and what must not.
contract AuthorizationTest is DollarTest {
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    function invalidSignature() private pure returns (bytes memory) {
        return abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector);
    }

    function invalidTime(Order memory o) private pure returns (bytes memory) {
        return abi.encodeWithSelector(
            ERC3009.ERC3009InvalidAuthorizationTime.selector, o.validAfter, o.validBefore
        );
    }

    function used(Order memory o) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, o.from, o.nonce);
    }

    /// @dev Refused in both forms, for the same reason.
    function refusedInBothForms(uint256 key, Order memory o, bytes memory reason) private {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, transferDigest(o));
        sendRefused(CARRIER, transferCallVrs(o, v, r, s), reason);
        sendRefused(CARRIER, transferCall(o, abi.encodePacked(r, s, v)), reason);
    }

    // ---- transfer ----------------------------------------------------------------------------

    function testFuzz_an_order_moves_its_value_once_in_either_form(
        uint256 seed,
        uint256 value,
        bytes32 nonce,
        bool bytesForm
    ) public {
        uint256 key = keyFrom(seed);
        Order memory o = anOrder(bound(value, 0, FUNDS));
        (o.from, o.nonce) = (vm.addr(key), nonce);
        vm.assume(o.from != payer && o.from.code.length == 0);
        vm.prank(MINTER);
        dollar.mint(o.from, FUNDS);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, transferDigest(o));
        bytes memory asBytes = transferCall(o, abi.encodePacked(r, s, v));
        bytes memory asVrs = transferCallVrs(o, v, r, s);

        vm.expectEmit(true, true, true, true, address(dollar));
        emit AuthorizationUsed(o.from, o.nonce);
        sendOk(CARRIER, bytesForm ? asBytes : asVrs);
        vm.assertEq(dollar.balanceOf(SELLER), o.value);
        vm.assertEq(dollar.balanceOf(o.from), FUNDS - o.value);
        vm.assertTrue(dollar.authorizationState(o.from, nonce), "the nonce is used");

        sendRefused(CARRIER, asBytes, used(o));
        sendRefused(CARRIER, asVrs, used(o));
    }

    function testFuzz_a_wrong_signer_moves_nothing(uint256 seed, uint256 value) public {
        uint256 key = keyFrom(seed);
        vm.assume(key != PAYER_KEY);
        refusedInBothForms(key, anOrder(bound(value, 0, FUNDS)), invalidSignature());
    }

    /// @dev Changing any field after signing makes it another order, which nobody signed.
    function testFuzz_a_changed_field_moves_nothing(uint256 which, uint256 change) public {
        Order memory o = anOrder(5);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, transferDigest(o));
        which %= 6;
        if (which == 0) o.to = address(uint160(bound(change, 1, type(uint160).max)));
        else if (which == 1) o.value = change;
        else if (which == 2) o.validAfter = bound(change, 0, NOW - 2);
        else if (which == 3) o.validBefore = bound(change, NOW + 61, type(uint256).max);
        else if (which == 4) o.nonce = bytes32(change);
        else o.from = address(uint160(bound(change, 0x10000, type(uint160).max)));
        vm.assume(o.to != SELLER || which != 0);
        vm.assume(o.value != 5 || which != 1);
        vm.assume(o.nonce != keccak256("an order") || which != 4);
        vm.assume((o.from != payer && o.from.code.length == 0) || which != 5);
        sendRefused(CARRIER, transferCallVrs(o, v, r, s), invalidSignature());
        sendRefused(CARRIER, transferCall(o, abi.encodePacked(r, s, v)), invalidSignature());
    }

    function testFuzz_the_window_excludes_both_its_ends(uint256 from, uint256 until, uint256 time)
        public
    {
        Order memory o = anOrder(1);
        o.validAfter = bound(from, 0, 2 * NOW);
        o.validBefore = bound(until, 0, 2 * NOW);
        // One in three falls on an edge, where mistakes live.
        if (time % 6 == 0) time = o.validAfter;
        else if (time % 6 == 1) time = o.validBefore;
        else time = bound(time, 1, 2 * NOW);
        vm.warp(time);
        if (o.validAfter < time && time < o.validBefore) {
            sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
            vm.assertEq(dollar.balanceOf(SELLER), 1);
        } else {
            refusedInBothForms(PAYER_KEY, o, invalidTime(o));
        }
    }

    function test_the_window_opens_after_its_first_second_and_closes_before_its_last() public {
        Order memory o = anOrder(1);
        o.validAfter = NOW;
        refusedInBothForms(PAYER_KEY, o, invalidTime(o));
        (o.validAfter, o.validBefore) = (NOW - 1, NOW);
        refusedInBothForms(PAYER_KEY, o, invalidTime(o));
        o.validBefore = NOW + 1;
        sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
    }

    /// @dev OpenZeppelin would read these two as block numbers; here seconds are seconds.
    function test_a_window_in_block_numbers_is_refused() public {
        vm.roll(100);
        Order memory o = anOrder(1);
        (o.validAfter, o.validBefore) = ((1 << 47) | 1, (1 << 47) | 1000);
        refusedInBothForms(PAYER_KEY, o, invalidTime(o));
    }

    function test_an_order_without_end_is_good() public {
        Order memory o = anOrder(1);
        (o.validAfter, o.validBefore) = (0, type(uint256).max);
        sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
    }

    /// @dev For every signature (v, r, s) there is a twin (v', r, n - s) that recovers the same key.
    /// Taking only the lower s keeps it from being a second valid spelling of one order.
    function testFuzz_the_high_s_twin_of_a_signature_is_refused(bytes32 nonce) public {
        Order memory o = anOrder(1);
        o.nonce = nonce;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, transferDigest(o));
        (v, s) = (v == 27 ? 28 : 27, bytes32(CURVE_ORDER - uint256(s)));
        vm.assertEq(ecrecover(transferDigest(o), v, r, s), payer);
        sendRefused(
            CARRIER,
            transferCallVrs(o, v, r, s),
            abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, s)
        );
        sendRefused(CARRIER, transferCall(o, abi.encodePacked(r, s, v)), invalidSignature());
    }

    function testFuzz_bytes_that_are_no_signature_move_nothing(bytes calldata noise) public {
        sendRefused(CARRIER, transferCall(anOrder(1), noise), invalidSignature());
    }

    /// @dev A failed recovery gives the zero address; it must not speak for the zero address.
    function testFuzz_nobody_signs_for_the_zero_address(uint8 v, bytes32 r, bytes32 s) public {
        Order memory o = anOrder(0);
        o.from = address(0);
        (bool ok,) = send(CARRIER, transferCallVrs(o, v, r, s));
        vm.assertTrue(!ok, "the zero address paid");
        (ok,) = send(CARRIER, transferCall(o, abi.encodePacked(r, s, v)));
        vm.assertTrue(!ok, "the zero address paid");
    }

    function testFuzz_an_order_beyond_the_balance_moves_nothing_and_stays_unused(uint256 value)
        public
    {
        Order memory o = anOrder(bound(value, FUNDS + 1, type(uint256).max));
        refusedInBothForms(
            PAYER_KEY,
            o,
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, payer, FUNDS, o.value
            )
        );
        vm.assertTrue(!dollar.authorizationState(payer, o.nonce), "the nonce is free");
    }

    function test_orders_with_other_nonces_pass_in_any_sequence() public {
        Order memory o = anOrder(1);
        for (uint256 i = 5; i > 0; --i) {
            o.nonce = bytes32(i);
            sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
        }
        vm.assertEq(dollar.balanceOf(SELLER), 5);
    }

    function test_an_order_for_another_chain_or_token_moves_nothing() public {
        Order memory o = anOrder(1);
        bytes memory here = transferCall(o, signed(PAYER_KEY, transferDigest(o)));
        uint256 home = block.chainid;
        vm.chainId(home + 1);
        sendRefused(CARRIER, here, invalidSignature());
        vm.chainId(home);
        MachinaDollar other = new MachinaDollar(MINTER);
        (bool ok, bytes memory answer) = address(other).call(here);
        vm.assertTrue(!ok, "another dollar took the order");
        vm.assertEq(answer, invalidSignature());
        sendOk(CARRIER, here);
    }

    // ---- receive -----------------------------------------------------------------------------

    function testFuzz_only_the_payee_carries_a_receive_order(address carrier, bool bytesForm)
        public
    {
        vm.assume(carrier != SELLER);
        Order memory o = anOrder(9);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, receiveDigest(o));
        bytes memory call =
            bytesForm ? receiveCall(o, abi.encodePacked(r, s, v)) : receiveCallVrs(o, v, r, s);
        sendRefused(
            carrier,
            call,
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, SELLER)
        );
        sendOk(SELLER, call);
        vm.assertEq(dollar.balanceOf(SELLER), 9);
        sendRefused(SELLER, call, used(o));
    }

    function test_a_transfer_order_is_no_receive_order_nor_the_reverse() public {
        Order memory o = anOrder(1);
        bytes memory forTransfer = signed(PAYER_KEY, transferDigest(o));
        bytes memory forReceive = signed(PAYER_KEY, receiveDigest(o));
        sendRefused(SELLER, receiveCall(o, forTransfer), invalidSignature());
        sendRefused(SELLER, transferCall(o, forReceive), invalidSignature());
    }

    function test_transfer_and_receive_share_their_nonces() public {
        Order memory o = anOrder(1);
        sendOk(SELLER, receiveCall(o, signed(PAYER_KEY, receiveDigest(o))));
        refusedInBothForms(PAYER_KEY, o, used(o));
    }

    // ---- cancel ------------------------------------------------------------------------------

    function testFuzz_a_cancelled_order_moves_nothing(bytes32 nonce, bool bytesForm) public {
        Order memory o = anOrder(1);
        o.nonce = nonce;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, cancelDigest(payer, nonce));
        vm.expectEmit(true, true, true, true, address(dollar));
        emit AuthorizationCanceled(payer, nonce);
        if (bytesForm) dollar.cancelAuthorization(payer, nonce, abi.encodePacked(r, s, v));
        else dollar.cancelAuthorization(payer, nonce, v, r, s);
        vm.assertTrue(dollar.authorizationState(payer, nonce), "the nonce is used");
        refusedInBothForms(PAYER_KEY, o, used(o));

        vm.expectRevert(used(o));
        dollar.cancelAuthorization(payer, nonce, v, r, s);
    }

    function testFuzz_only_the_payer_cancels(uint256 seed, bytes32 nonce) public {
        uint256 key = keyFrom(seed);
        vm.assume(key != PAYER_KEY);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, cancelDigest(payer, nonce));
        vm.expectRevert(invalidSignature());
        dollar.cancelAuthorization(payer, nonce, v, r, s);
        vm.expectRevert(invalidSignature());
        dollar.cancelAuthorization(payer, nonce, abi.encodePacked(r, s, v));
    }

    function test_a_used_order_cannot_be_cancelled() public {
        Order memory o = anOrder(1);
        sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
        bytes memory signature = signed(PAYER_KEY, cancelDigest(payer, o.nonce));
        vm.expectRevert(used(o));
        dollar.cancelAuthorization(payer, o.nonce, signature);
    }

    // ---- smart wallets -----------------------------------------------------------------------

    function walletOrder() private returns (Order memory o) {
        o = anOrder(3);
        o.from = address(new Wallet(payer));
        vm.prank(MINTER);
        dollar.mint(o.from, 3);
    }

    function test_a_smart_wallet_pays_in_the_bytes_form() public {
        Order memory o = walletOrder();
        sendOk(CARRIER, transferCall(o, signed(PAYER_KEY, transferDigest(o))));
        vm.assertEq(dollar.balanceOf(SELLER), 3);
    }

    function test_a_smart_wallet_refuses_a_stranger() public {
        Order memory o = walletOrder();
        bytes memory call = transferCall(o, signed(PAYER_KEY + 1, transferDigest(o)));
        sendRefused(CARRIER, call, invalidSignature());
    }

    function test_a_smart_wallet_cannot_pay_by_key() public {
        Order memory o = walletOrder();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, transferDigest(o));
        sendRefused(CARRIER, transferCallVrs(o, v, r, s), invalidSignature());
    }

    function test_a_contract_that_is_no_wallet_cannot_pay() public {
        Order memory o = anOrder(0);
        o.from = address(dollar);
        bytes memory call = transferCall(o, signed(PAYER_KEY, transferDigest(o)));
        sendRefused(CARRIER, call, invalidSignature());
    }
}

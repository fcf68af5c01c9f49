// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "../src/permit2/ISignatureTransfer.sol";
import {SignedOrders} from "../src/permit2/SignedOrders.sol";
import {Wallet} from "./Authorization.t.sol";
import {OddToken, Permit2Test} from "./Permit2Test.sol";

/// @dev Permit2's orders, single and without a batch: what must happen, and what must not.
contract SignatureTransferTest is Permit2Test {
    event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

    string private constant WITNESS =
        "Photo witness)Photo(bytes32 digest)TokenPermissions(address token,uint256 amount)";

    function anOrder() private view returns (Permitted memory) {
        return Permitted(aPermit(), CARRIER, bytes32(0), "");
    }

    function aWitnessedOrder() private view returns (Permitted memory p) {
        p = anOrder();
        (p.witness, p.witnessType) = (keccak256("what the payer wants to have signed"), WITNESS);
    }

    function callOf(Permitted memory p, address owner, uint256 amount, bytes memory signature)
        private
        pure
        returns (bytes memory)
    {
        ISignatureTransfer.SignatureTransferDetails memory asked =
            ISignatureTransfer.SignatureTransferDetails(SELLER, amount);
        if (bytes(p.witnessType).length == 0) {
            return abi.encodeWithSignature(
                "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)",
                p.permit,
                asked,
                owner,
                signature
            );
        }
        return abi.encodeWithSignature(
            "permitWitnessTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes32,string,bytes)",
            p.permit,
            asked,
            owner,
            p.witness,
            p.witnessType,
            signature
        );
    }

    function take(Permitted memory p, uint256 amount, bytes memory signature) private {
        done(CARRIER, address(PERMIT2), callOf(p, payer, amount, signature));
    }

    function takeRefused(
        Permitted memory p,
        uint256 amount,
        bytes memory signature,
        bytes memory reason
    ) private {
        refused(CARRIER, address(PERMIT2), callOf(p, payer, amount, signature), reason);
    }

    function tooMuch(uint256 most) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ISignatureTransfer.InvalidAmount.selector, most);
    }

    // ---- what is moved -----------------------------------------------------------------------

    function testFuzz_an_order_moves_what_it_permits_or_less_once(
        uint256 seed,
        uint256 permitted,
        uint256 amount,
        uint256 nonce,
        bool witnessed
    ) public {
        uint256 key = keyFrom(seed);
        address owner = vm.addr(key);
        vm.assume(owner != payer && owner.code.length == 0);
        vm.prank(MINTER);
        dollar.mint(owner, FUNDS);
        vm.prank(owner);
        dollar.approve(address(PERMIT2), type(uint256).max);
        Permitted memory p = witnessed ? aWitnessedOrder() : anOrder();
        (p.permit.permitted.amount, p.permit.nonce) = (permitted, nonce);
        amount = bound(amount, 0, permitted < FUNDS ? permitted : FUNDS);

        bytes memory call = callOf(p, owner, amount, signed(key, digestOf(p)));
        done(CARRIER, address(PERMIT2), call);
        vm.assertEq(dollar.balanceOf(SELLER), amount);
        vm.assertEq(dollar.balanceOf(owner), FUNDS - amount);
        vm.assertEq(dollar.balanceOf(address(PERMIT2)), 0);
        vm.assertEq(PERMIT2.nonceBitmap(owner, nonce >> 8), 2 ** (nonce & 0xff));

        refused(CARRIER, address(PERMIT2), call, invalidNonce());
    }

    function testFuzz_more_than_permitted_is_refused(uint256 permitted, uint256 more) public {
        Permitted memory p = anOrder();
        permitted = bound(permitted, 0, type(uint256).max - 1);
        p.permit.permitted.amount = permitted;
        more = bound(more, permitted + 1, type(uint256).max);
        takeRefused(p, more, signed(PAYER_KEY, digestOf(p)), tooMuch(permitted));
    }

    function testFuzz_an_order_is_good_up_to_its_deadline(uint256 deadline, uint256 time) public {
        Permitted memory p = anOrder();
        p.permit.deadline = bound(deadline, 0, 2 * NOW);
        // One in three falls on the edge, where mistakes live.
        if (time % 6 == 0) time = p.permit.deadline;
        else if (time % 6 == 1) time = p.permit.deadline + 1;
        else time = bound(time, 0, 2 * NOW);
        vm.warp(time);
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        if (time <= p.permit.deadline) take(p, 1, signature);
        else takeRefused(p, 1, signature, expired(p.permit.deadline));
    }

    /// @dev Each nonce is its own: neighbours in a word, and equal bits of two words.
    function testFuzz_nonces_come_in_any_order(uint256 one, uint256 other) public {
        vm.assume(one != other);
        Permitted memory p = anOrder();
        p.permit.nonce = one;
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
        p.permit.nonce = other;
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
        vm.assertEq(dollar.balanceOf(SELLER), 2);
        takeRefused(p, 1, signed(PAYER_KEY, digestOf(p)), invalidNonce());
    }

    // ---- who signed what ---------------------------------------------------------------------

    function testFuzz_a_wrong_signer_moves_nothing(uint256 seed, bool witnessed) public {
        uint256 key = keyFrom(seed);
        vm.assume(key != PAYER_KEY);
        Permitted memory p = witnessed ? aWitnessedOrder() : anOrder();
        takeRefused(p, 1, signed(key, digestOf(p)), invalidSigner());
    }

    /// @dev Changing anything after signing makes it another order, which nobody signed.
    function testFuzz_a_changed_field_moves_nothing(uint256 which, uint256 change) public {
        Permitted memory p = aWitnessedOrder();
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        bytes32 before = digestOf(p);
        which %= 7;
        (address carrier, address owner) = (CARRIER, payer);
        if (which == 0) p.permit.permitted.token = address(uint160(change));
        else if (which == 1) p.permit.permitted.amount = bound(change, 1, type(uint256).max);
        else if (which == 2) p.permit.nonce = change;
        else if (which == 3) p.permit.deadline = bound(change, NOW, type(uint256).max);
        else if (which == 4) p.witness = bytes32(change);
        else if (which == 5) p.spender = carrier = address(uint160(change));
        else owner = address(uint160(bound(change, 0x10000, type(uint160).max)));
        vm.assume(which == 6 ? owner != payer : digestOf(p) != before);
        vm.assume(owner.code.length == 0);
        refused(carrier, address(PERMIT2), callOf(p, owner, 1, signature), invalidSigner());
    }

    function test_a_witness_of_another_type_is_another_order() public {
        Permitted memory p = aWitnessedOrder();
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        p.witnessType =
        "Image witness)Image(bytes32 digest)TokenPermissions(address token,uint256 amount)";
        takeRefused(p, 1, signature, invalidSigner());
        p.witnessType = "";
        takeRefused(p, 1, signature, invalidSigner());
    }

    function testFuzz_the_domain_is_that_of_this_chain(uint64 chain) public {
        vm.assume(chain != 0 && chain != block.chainid);
        Permitted memory p = anOrder();
        bytes memory elsewhere = signed(PAYER_KEY, digestOf(p));
        vm.chainId(chain);
        vm.assertEq(PERMIT2.DOMAIN_SEPARATOR(), permit2Domain());
        takeRefused(p, 1, elsewhere, invalidSigner());
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
    }

    function testFuzz_a_key_signs_in_65_bytes_or_in_64(uint256 seed) public {
        Permitted memory p = anOrder();
        p.permit.nonce = seed;
        take(p, 1, compact(signed(PAYER_KEY, digestOf(p))));
        p.permit.nonce = ~seed;
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
        vm.assertEq(dollar.balanceOf(SELLER), 2);
    }

    function testFuzz_other_lengths_are_no_signature(bytes memory signature) public {
        vm.assume(signature.length != 64 && signature.length != 65);
        bytes memory reason = encoded(SignedOrders.InvalidSignatureLength.selector);
        takeRefused(anOrder(), 1, signature, reason);
    }

    function testFuzz_a_v_that_is_none_is_nobodys_signature(uint8 v) public {
        vm.assume(v != 27 && v != 28);
        Permitted memory p = anOrder();
        (bytes32 r, bytes32 s,) = parts(signed(PAYER_KEY, digestOf(p)));
        bytes memory reason = encoded(SignedOrders.InvalidSignature.selector);
        takeRefused(p, 1, abi.encodePacked(r, s, v), reason);
    }

    /// @dev The zero address is what the recovery answers when it finds nobody.
    function test_nobody_is_not_the_owner_of_anything() public {
        bytes memory call = callOf(anOrder(), address(0), 0, new bytes(65));
        bytes memory reason = encoded(SignedOrders.InvalidSignature.selector);
        refused(CARRIER, address(PERMIT2), call, reason);
    }

    function test_an_account_with_code_is_asked_itself() public {
        address wallet = address(new Wallet(vm.addr(PAYER_KEY)));
        vm.prank(MINTER);
        dollar.mint(wallet, 5);
        vm.prank(wallet);
        dollar.approve(address(PERMIT2), 5);
        Permitted memory p = anOrder();
        bytes memory reason = encoded(SignedOrders.InvalidContractSignature.selector);

        bytes memory good = callOf(p, wallet, 5, signed(PAYER_KEY, digestOf(p)));
        bytes memory bad = callOf(p, wallet, 5, signed(PAYER_KEY + 1, digestOf(p)));
        bytes memory none = callOf(p, wallet, 5, "");
        refused(CARRIER, address(PERMIT2), bad, reason);
        refused(CARRIER, address(PERMIT2), none, reason);
        done(CARRIER, address(PERMIT2), good);
        vm.assertEq(dollar.balanceOf(SELLER), 5);

        // Code that knows no ERC-1271 has signed nothing.
        bytes memory token = callOf(p, address(dollar), 0, signed(PAYER_KEY, digestOf(p)));
        refused(CARRIER, address(PERMIT2), token, reason);
    }

    // ---- in which order it is checked --------------------------------------------------------

    /// @dev Everything is wrong; what is mended uncovers the next.
    function test_the_order_of_the_checks() public {
        Permitted memory p = anOrder();
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
        p.permit.deadline = NOW - 1;
        bytes memory other = signed(PAYER_KEY + 1, digestOf(p));
        takeRefused(p, 101, other, expired(NOW - 1));
        p.permit.deadline = NOW;
        takeRefused(p, 101, other, tooMuch(100));
        takeRefused(p, 100, other, invalidNonce());
        p.permit.nonce = 8;
        takeRefused(p, 100, other, invalidSigner());
        p.permit.permitted.token = SELLER;
        takeRefused(p, 100, signed(PAYER_KEY, digestOf(p)), FAILED);
    }

    // ---- what the token says -----------------------------------------------------------------

    function test_what_the_token_refuses_is_refused_and_the_order_stays_good() public {
        Permitted memory p = anOrder();
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        vm.prank(payer);
        dollar.approve(address(PERMIT2), 99);
        takeRefused(p, 100, signature, FAILED);
        vm.prank(payer);
        dollar.approve(address(PERMIT2), 100);
        take(p, 100, signature);

        p.permit.permitted.amount = FUNDS;
        p.permit.nonce = 8;
        takeRefused(p, FUNDS, signed(PAYER_KEY, digestOf(p)), FAILED);
    }

    function test_a_token_may_answer_nothing_but_not_false() public {
        Permitted memory p = anOrder();
        p.permit.permitted.token = address(new OddToken(OddToken.Manner.False));
        takeRefused(p, 1, signed(PAYER_KEY, digestOf(p)), FAILED);
        p.permit.permitted.token = address(new OddToken(OddToken.Manner.Silent));
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
    }

    /// @dev Where there is no code nothing could move, and nobody must think it did.
    function testFuzz_an_address_without_code_is_no_token(address token) public {
        vm.assume(token.code.length == 0 && uint160(token) > 0xffff);
        Permitted memory p = anOrder();
        p.permit.permitted.token = token;
        takeRefused(p, 1, signed(PAYER_KEY, digestOf(p)), FAILED);
    }

    /// @dev While the token moves, the same order comes again: it finds its nonce used.
    function test_a_token_that_calls_back_finds_the_nonce_used() public {
        OddToken token = new OddToken(OddToken.Manner.Silent);
        Permitted memory p = anOrder();
        p.permit.permitted.token = address(token);
        p.spender = address(token);
        bytes memory call = callOf(p, payer, 1, signed(PAYER_KEY, digestOf(p)));
        token.callBack(address(PERMIT2), call);
        done(address(token), address(PERMIT2), call);
        vm.assertEq(token.answer(), invalidNonce());
    }

    // ---- taking back -------------------------------------------------------------------------

    function testFuzz_nonces_taken_back_are_refused_and_no_others(uint256 nonce, uint256 mask)
        public
    {
        vm.expectEmit(true, true, true, true, address(PERMIT2));
        emit UnorderedNonceInvalidation(payer, nonce >> 8, mask);
        vm.prank(payer);
        PERMIT2.invalidateUnorderedNonces(nonce >> 8, mask);
        vm.assertEq(PERMIT2.nonceBitmap(payer, nonce >> 8), mask);

        Permitted memory p = anOrder();
        p.permit.nonce = nonce;
        bytes memory signature = signed(PAYER_KEY, digestOf(p));
        if (mask >> (nonce & 0xff) & 1 == 1) takeRefused(p, 1, signature, invalidNonce());
        else take(p, 1, signature);
    }

    function test_taking_back_adds_to_what_is_used_and_touches_nobody_elses() public {
        vm.prank(payer);
        PERMIT2.invalidateUnorderedNonces(0, 1);
        vm.prank(payer);
        PERMIT2.invalidateUnorderedNonces(0, 2);
        vm.prank(CARRIER);
        PERMIT2.invalidateUnorderedNonces(0, type(uint256).max);
        vm.assertEq(PERMIT2.nonceBitmap(payer, 0), 3);
        Permitted memory p = anOrder();
        take(p, 1, signed(PAYER_KEY, digestOf(p)));
    }
}

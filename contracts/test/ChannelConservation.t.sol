// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {ChannelTest} from "./ChannelTest.sol";

/// @dev A town of three payers and two receivers with a channel between each pair. It does all that
/// the settlement contract can, well and badly, and keeps its own simple books of it.
contract ChannelTown is ChannelTest {
    uint256 public constant PAYERS = 3;
    uint256 public constant RECEIVERS = 2;
    uint256 private constant FIRST_PAYER = 0x9A7E0;
    uint256 private constant PURSE = 1_000_000;

    struct Books {
        uint256 deposited;
        uint256 givenBack;
        uint256 claimed;
    }

    /// By channel: what went in, what went back to the payer, and what was claimed at most.
    mapping(uint256 payer => mapping(uint256 receiver => Books)) public books;
    /// How many calls went through, by kind, so that a run that moved nothing does not pass.
    uint256 public moved;

    constructor() {
        setUp();
        for (uint256 p = 0; p < PAYERS; ++p) {
            vm.prank(MINTER);
            dollar.mint(vm.addr(payerKey(p)), PURSE);
        }
    }

    function payerKey(uint256 p) private pure returns (uint256) {
        return FIRST_PAYER + p;
    }

    function receiver(uint256 r) public pure returns (address) {
        return address(uint160(0x5E1100 + r));
    }

    function channel(uint256 p, uint256 r)
        public
        view
        returns (x402BatchSettlement.ChannelConfig memory c)
    {
        c = aChannel();
        (c.payer, c.receiver) = (vm.addr(payerKey(p)), receiver(r));
        c.withdrawDelay = uint40(15 minutes + p * 1 hours);
    }

    // ---- what people do ----------------------------------------------------------------------

    function fill(uint256 p, uint256 r, uint128 amount) external {
        (p, r) = (p % PAYERS, r % RECEIVERS);
        uint256 purse = dollar.balanceOf(vm.addr(payerKey(p)));
        if (purse == 0) return;
        amount = uint128(bound(amount, 1, purse));
        depositBy(payerKey(p), channel(p, r), amount);
        books[p][r].deposited += amount;
        moved += 1;
    }

    /// @dev Totals go beyond the balance now and then, and must then be refused whole.
    function earn(uint256 p, uint256 r, uint128 total, bool signedBatch) external {
        (p, r) = (p % PAYERS, r % RECEIVERS);
        x402BatchSettlement.ChannelConfig memory c = channel(p, r);
        uint256 held = balanceOf(c);
        total = uint128(bound(total, 0, held + held / 8));
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, total));
        bytes memory call = signedBatch
            ? abi.encodeCall(
                settlement.claimWithSignature, (rows, signed(AUTHORIZER_KEY, batchDigest(rows)))
            )
            : abi.encodeCall(settlement.claim, (rows));
        bool ok = act(signedBatch ? CARRIER : c.receiver, call);
        vm.assertEq(ok, total <= held);
        if (ok && total > books[p][r].claimed) books[p][r].claimed = total;
    }

    function pay(uint256 r) external {
        bytes memory call =
            abi.encodeCall(settlement.settle, (receiver(r % RECEIVERS), address(dollar)));
        vm.assertTrue(act(CARRIER, call), "settling never fails");
    }

    function refund(uint256 p, uint256 r, uint128 amount, bool signedRefund) external {
        (p, r) = (p % PAYERS, r % RECEIVERS);
        x402BatchSettlement.ChannelConfig memory c = channel(p, r);
        uint256 held = balanceOf(c);
        amount = uint128(bound(amount, 1, held + 1));
        uint256 nonce = settlement.refundNonce(idOf(c));
        bytes memory call = abi.encodeCall(settlement.refund, (c, amount));
        if (signedRefund) {
            bytes memory signature = signed(AUTHORIZER_KEY, refundDigest(idOf(c), nonce, amount));
            call = abi.encodeCall(settlement.refundWithSignature, (c, amount, nonce, signature));
        }
        vm.assertTrue(act(signedRefund ? CARRIER : c.receiver, call), "the refund failed");
        books[p][r].givenBack += held - balanceOf(c);
    }

    function askBack(uint256 p, uint256 r, uint128 amount) external {
        x402BatchSettlement.ChannelConfig memory c = channel(p % PAYERS, r % RECEIVERS);
        uint256 free = balanceOf(c) - claimedOf(c);
        if (free == 0) return;
        amount = uint128(bound(amount, 1, free));
        (, uint40 since) = settlement.pendingWithdrawals(idOf(c));
        vm.assertEq(
            act(c.payer, abi.encodeCall(settlement.initiateWithdraw, (c, amount))), since == 0
        );
    }

    function takeBack(uint256 p, uint256 r) external {
        (p, r) = (p % PAYERS, r % RECEIVERS);
        x402BatchSettlement.ChannelConfig memory c = channel(p, r);
        uint256 held = balanceOf(c);
        (, uint40 since) = settlement.pendingWithdrawals(idOf(c));
        bool due = since != 0 && block.timestamp >= since + c.withdrawDelay;
        vm.assertEq(act(c.payer, abi.encodeCall(settlement.finalizeWithdraw, (c))), due);
        books[p][r].givenBack += held - balanceOf(c);
    }

    function wait(uint16 time) external {
        vm.warp(block.timestamp + time);
    }

    /// @dev A stranger, with every right signature but the needed one, gets nowhere.
    function meddle(uint256 p, uint256 r, uint256 key, uint128 amount) external {
        x402BatchSettlement.ChannelConfig memory c = channel(p % PAYERS, r % RECEIVERS);
        key = keyFrom(key);
        // forge tries the constants that it finds in here.
        if (
            key == AUTHORIZER_KEY || key == VOUCHER_KEY
                || (key >= FIRST_PAYER && key < FIRST_PAYER + PAYERS)
        ) return;
        amount = uint128(bound(amount, uint256(claimedOf(c)) + 1, type(uint128).max));
        address stranger = vm.addr(key);
        bytes[3] memory claims = strangeClaims(c, key, amount);
        for (uint256 i = 0; i < claims.length; ++i) {
            refuse(stranger, claims[i]);
        }
        refuse(stranger, abi.encodeCall(settlement.refund, (c, amount)));
        refuse(stranger, strangeRefund(c, key, amount));
        refuse(stranger, abi.encodeCall(settlement.initiateWithdraw, (c, 1)));
        refuse(stranger, abi.encodeCall(settlement.finalizeWithdraw, (c)));
    }

    /// @dev A good voucher claimed by nobody who may; the same signed for by a stranger; and a
    /// voucher that the stranger made, with the authorizer's good signature over the batch.
    function strangeClaims(x402BatchSettlement.ChannelConfig memory c, uint256 key, uint128 amount)
        private
        view
        returns (bytes[3] memory calls)
    {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, amount));
        bytes memory signature = signed(key, batchDigest(rows));
        calls[0] = abi.encodeCall(settlement.claim, (rows));
        calls[1] = abi.encodeCall(settlement.claimWithSignature, (rows, signature));
        rows = batch(rowUpTo(c, amount, amount, key));
        signature = signed(AUTHORIZER_KEY, batchDigest(rows));
        calls[2] = abi.encodeCall(settlement.claimWithSignature, (rows, signature));
    }

    function strangeRefund(x402BatchSettlement.ChannelConfig memory c, uint256 key, uint128 amount)
        private
        view
        returns (bytes memory)
    {
        uint256 nonce = settlement.refundNonce(idOf(c));
        bytes memory signature = signed(key, refundDigest(idOf(c), nonce, amount));
        return abi.encodeCall(settlement.refundWithSignature, (c, amount, nonce, signature));
    }

    function refuse(address sender, bytes memory call) private {
        vm.prank(sender);
        (bool ok,) = address(settlement).call(call);
        vm.assertTrue(!ok, "a stranger got through");
    }

    function act(address sender, bytes memory call) private returns (bool ok) {
        vm.prank(sender);
        (ok,) = address(settlement).call(call);
        if (ok) moved += 1;
    }

    // ---- what must hold ----------------------------------------------------------------------

    /// @dev Everything that is here is somebody's, and of each channel the books agree.
    function check() external view {
        uint256 owed = 0;
        for (uint256 r = 0; r < RECEIVERS; ++r) {
            uint256 earned = 0;
            for (uint256 p = 0; p < PAYERS; ++p) {
                x402BatchSettlement.ChannelConfig memory c = channel(p, r);
                Books memory b = books[p][r];
                vm.assertEq(balanceOf(c), b.deposited - b.givenBack);
                vm.assertEq(claimedOf(c), b.claimed);
                vm.assertTrue(claimedOf(c) <= balanceOf(c), "more claimed than held");
                (uint128 waits,) = settlement.pendingWithdrawals(idOf(c));
                vm.assertTrue(waits <= b.deposited, "more waits than was ever here");
                owed += balanceOf(c) - claimedOf(c);
                earned += b.claimed;
            }
            (uint128 claimed, uint128 settled) = settlement.receivers(receiver(r), address(dollar));
            vm.assertEq(claimed, earned);
            vm.assertEq(dollar.balanceOf(receiver(r)), settled);
            owed += claimed - settled;
        }
        vm.assertEq(dollar.balanceOf(address(settlement)), owed);
        for (uint256 p = 0; p < PAYERS; ++p) {
            vm.assertEq(dollar.balanceOf(vm.addr(payerKey(p))), PURSE - inChannels(p));
        }
    }

    function inChannels(uint256 p) private view returns (uint256 sum) {
        for (uint256 r = 0; r < RECEIVERS; ++r) {
            sum += books[p][r].deposited - books[p][r].givenBack;
        }
    }

    /// @dev Without a seller's help every payer gets all that is unclaimed, every receiver all that
    /// it claimed, and nothing is left over.
    function everyoneDeparts() external {
        for (uint256 p = 0; p < PAYERS; ++p) {
            for (uint256 r = 0; r < RECEIVERS; ++r) {
                depart(channel(p, r));
            }
        }
        for (uint256 r = 0; r < RECEIVERS; ++r) {
            settlement.settle(receiver(r), address(dollar));
            uint256 earned = 0;
            for (uint256 p = 0; p < PAYERS; ++p) {
                earned += books[p][r].claimed;
            }
            vm.assertEq(dollar.balanceOf(receiver(r)), earned);
        }
        for (uint256 p = 0; p < PAYERS; ++p) {
            uint256 spent = 0;
            for (uint256 r = 0; r < RECEIVERS; ++r) {
                spent += books[p][r].claimed;
            }
            vm.assertEq(dollar.balanceOf(vm.addr(payerKey(p))), PURSE - spent);
        }
        vm.assertEq(dollar.balanceOf(address(settlement)), 0);
    }

    /// @dev At most two withdrawals: the one that waits already, and one for what it left.
    function depart(x402BatchSettlement.ChannelConfig memory c) private {
        for (uint256 i = 0; i < 2; ++i) {
            (, uint40 since) = settlement.pendingWithdrawals(idOf(c));
            uint128 free = balanceOf(c) - claimedOf(c);
            if (since == 0) {
                if (free == 0) return;
                vm.prank(c.payer);
                settlement.initiateWithdraw(c, free);
            }
            vm.warp(block.timestamp + c.withdrawDelay);
            vm.prank(c.payer);
            settlement.finalizeWithdraw(c);
        }
        vm.assertEq(balanceOf(c), claimedOf(c));
    }
}

/// @dev No path takes out more than went in, whatever is done in whatever order.
contract ChannelConservationTest is ChannelTest {
    ChannelTown private town;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public override {
        town = new ChannelTown();
    }

    /// @dev forge calls this contract, and only it, at random.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(town);
    }

    /// @dev What people do, not the questions.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(town);
        targets[0].selectors = new bytes4[](8);
        targets[0].selectors[0] = ChannelTown.fill.selector;
        targets[0].selectors[1] = ChannelTown.earn.selector;
        targets[0].selectors[2] = ChannelTown.pay.selector;
        targets[0].selectors[3] = ChannelTown.refund.selector;
        targets[0].selectors[4] = ChannelTown.askBack.selector;
        targets[0].selectors[5] = ChannelTown.takeBack.selector;
        targets[0].selectors[6] = ChannelTown.wait.selector;
        targets[0].selectors[7] = ChannelTown.meddle.selector;
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_everything_held_is_somebodys_and_the_books_agree() public view {
        town.check();
    }

    /// @dev Each run must have moved something, and everyone can leave with what is theirs.
    function afterInvariant() public {
        vm.assertTrue(town.moved() > 0, "no dollar moved in this run");
        town.everyoneDeparts();
    }
}

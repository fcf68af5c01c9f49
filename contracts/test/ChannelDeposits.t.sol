// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ERC3009DepositCollector} from "../src/ERC3009DepositCollector.sol";
import {DepositCollector} from "../src/bases/DepositCollector.sol";
import {IDepositCollector} from "../src/interfaces/IDepositCollector.sol";
import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {ChannelTest} from "./ChannelTest.sol";

/// @dev Brings from its own pocket what it was told to, whatever is asked for.
contract GenerousCollector is IDepositCollector {
    uint256 private immutable BRINGS;

    constructor(uint256 brings) {
        BRINGS = brings;
    }

    function collect(address, address token, uint256, bytes32, bytes calldata) external {
        require(IERC20(token).transfer(msg.sender, BRINGS), "the token refused");
    }
}

/// @dev Calls back into the settlement contract while it collects.
contract ReentrantCollector is IDepositCollector {
    function collect(address, address, uint256, bytes32, bytes calldata again) external {
        (bool ok, bytes memory answer) = msg.sender.call(again);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}

contract ChannelDepositsTest is ChannelTest {
    function test_a_first_deposit_makes_the_channel() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes32 id = idOf(c);
        bytes memory data = collectorData(PAYER_KEY, id, 400, 7);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.ChannelCreated(id, c);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.Deposited(id, CARRIER, 400, 400);
        vm.prank(CARRIER);
        settlement.deposit(c, 400, address(collector), data);

        vm.assertEq(balanceOf(c), 400);
        vm.assertEq(claimedOf(c), 0);
        vm.assertEq(dollar.balanceOf(address(settlement)), 400);
        vm.assertEq(dollar.balanceOf(address(collector)), 0);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 400);
    }

    function test_a_second_deposit_adds_to_the_channel() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        deposit(c, 400);
        claim(c, 400);
        vm.expectEmit(true, true, true, true, address(settlement));
        emit x402BatchSettlement.Deposited(idOf(c), CARRIER, 100, 500);
        deposit(c, 100);
        vm.assertEq(balanceOf(c), 500);
        vm.assertEq(claimedOf(c), 400);
    }

    function test_channels_that_differ_in_one_word_are_apart() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        deposit(c, 400);
        c.salt = bytes32(uint256(1));
        vm.assertEq(balanceOf(c), 0);
        deposit(c, 1);
        vm.assertEq(balanceOf(c), 1);
        vm.assertEq(balanceOf(aChannel()), 400);
    }

    function test_the_names_and_digests_are_those_of_the_types() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes32 id = idOf(c);
        vm.assertEq(settlement.getChannelId(c), id);
        vm.assertEq(settlement.getVoucherDigest(id, 5), voucherDigest(id, 5));
        vm.assertEq(settlement.getRefundDigest(id, 3, 5), refundDigest(id, 3, 5));
        x402BatchSettlement.VoucherClaim[] memory rows = new x402BatchSettlement.VoucherClaim[](0);
        vm.assertEq(settlement.getClaimBatchDigest(rows), batchDigest(rows));
        rows = new x402BatchSettlement.VoucherClaim[](2);
        (rows[0], rows[1]) = (row(c, 5), rowUpTo(c, 6, 9, VOUCHER_KEY));
        vm.assertEq(settlement.getClaimBatchDigest(rows), batchDigest(rows));

        vm.chainId(31_337_000);
        vm.assertTrue(idOf(c) != id, "the chain must be part of a channel's name");
        vm.assertEq(settlement.getChannelId(c), idOf(c));
    }

    function test_a_channel_without_payer_receiver_authorizer_or_token_is_refused() public {
        for (uint256 i = 0; i < 4; ++i) {
            x402BatchSettlement.ChannelConfig memory c = aChannel();
            if (i == 0) c.payer = address(0);
            if (i == 1) c.receiver = address(0);
            if (i == 2) c.receiverAuthorizer = address(0);
            if (i == 3) c.token = address(0);
            refuseDeposit(c, 1, address(collector), x402BatchSettlement.InvalidChannel.selector);
        }
    }

    function test_a_delay_below_fifteen_minutes_or_above_thirty_days_is_refused() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes4 reason = x402BatchSettlement.WithdrawDelayOutOfRange.selector;
        c.withdrawDelay = 15 minutes - 1;
        refuseDeposit(c, 1, address(collector), reason);
        c.withdrawDelay = 30 days + 1;
        refuseDeposit(c, 1, address(collector), reason);
        c.withdrawDelay = 15 minutes;
        deposit(c, 1);
        c.withdrawDelay = 30 days;
        deposit(c, 1);
    }

    function test_a_deposit_of_nothing_or_by_nobody_is_refused() public {
        refuseDeposit(aChannel(), 0, address(collector), x402BatchSettlement.ZeroDeposit.selector);
        refuseDeposit(aChannel(), 1, address(0), x402BatchSettlement.InvalidCollector.selector);
    }

    function test_a_channel_cannot_hold_more_than_its_number_can() public {
        vm.prank(MINTER);
        dollar.mint(payer, type(uint128).max);
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        deposit(c, type(uint128).max);
        refuseDeposit(c, 1, address(collector), x402BatchSettlement.DepositOverflow.selector);
    }

    function test_a_collector_that_brings_another_amount_is_refused() public {
        bytes4 reason = x402BatchSettlement.DepositCollectionFailed.selector;
        for (uint256 brings = 0; brings < 12; ++brings) {
            GenerousCollector generous = new GenerousCollector(brings);
            vm.prank(payer);
            require(dollar.transfer(address(generous), 20), "the token refused");
            if (brings == 10) continue;
            refuseDeposit(aChannel(), 10, address(generous), reason);
        }
        GenerousCollector exact = new GenerousCollector(10);
        vm.prank(payer);
        require(dollar.transfer(address(exact), 10), "the token refused");
        settlement.deposit(aChannel(), 10, address(exact), "");
        vm.assertEq(balanceOf(aChannel()), 10);
    }

    /// @dev Otherwise a collector could let the same tokens count for two deposits, or let them
    /// leave while they are counted.
    function test_a_collector_reaches_nothing_that_counts_or_pays() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        deposit(c, 400);
        claim(c, 100);
        bytes memory data = collectorData(PAYER_KEY, idOf(c), 10, 99);
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, 200));
        bytes[] memory calls = new bytes[](9);
        calls[0] = abi.encodeCall(settlement.deposit, (c, 10, address(collector), data));
        calls[1] = abi.encodeCall(settlement.claim, (rows));
        calls[2] = abi.encodeCall(settlement.claimWithSignature, (rows, ""));
        calls[3] = abi.encodeCall(settlement.settle, (SELLER, address(dollar)));
        calls[4] = abi.encodeCall(settlement.refund, (c, 10));
        calls[5] = abi.encodeCall(settlement.refundWithSignature, (c, 10, 0, ""));
        calls[6] = abi.encodeCall(settlement.initiateWithdraw, (c, 10));
        calls[7] = abi.encodeCall(settlement.finalizeWithdraw, (c));
        bytes[] memory nested = new bytes[](1);
        nested[0] = calls[3];
        calls[8] = abi.encodeCall(settlement.multicall, (nested));
        ReentrantCollector reentrant = new ReentrantCollector();
        for (uint256 i = 0; i < calls.length; ++i) {
            expectRefusal(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            settlement.deposit(c, 10, address(reentrant), calls[i]);
        }
    }

    // ---- the collector for EIP-3009 ----------------------------------------------------------

    function test_an_order_for_one_channel_fills_no_other() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes memory data = collectorData(PAYER_KEY, idOf(c), 400, 1);
        c.receiver = CARRIER;
        expectRefusal(ERC3009.ERC3009InvalidSignature.selector);
        settlement.deposit(c, 400, address(collector), data);
    }

    function test_an_order_fills_a_channel_once() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes memory data = collectorData(PAYER_KEY, idOf(c), 400, 1);
        settlement.deposit(c, 400, address(collector), data);
        bytes32 nonce = keccak256(abi.encode(idOf(c), uint256(1)));
        vm.expectRevert(
            abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, payer, nonce)
        );
        settlement.deposit(c, 400, address(collector), data);
    }

    function test_an_order_for_another_amount_or_by_another_key_is_refused() public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        bytes memory data = collectorData(PAYER_KEY, idOf(c), 400, 1);
        expectRefusal(ERC3009.ERC3009InvalidSignature.selector);
        settlement.deposit(c, 401, address(collector), data);
        data = collectorData(VOUCHER_KEY, idOf(c), 400, 1);
        expectRefusal(ERC3009.ERC3009InvalidSignature.selector);
        settlement.deposit(c, 400, address(collector), data);
    }

    function test_only_the_settlement_contract_collects() public {
        bytes memory data = collectorData(PAYER_KEY, idOf(aChannel()), 400, 1);
        expectRefusal(DepositCollector.OnlyX402BatchSettlement.selector);
        collector.collect(payer, address(dollar), 400, idOf(aChannel()), data);
    }

    function test_a_collector_for_nobody_cannot_be() public {
        expectRefusal(DepositCollector.InvalidX402BatchSettlementAddress.selector);
        new ERC3009DepositCollector(address(0));
    }

    function testFuzz_what_is_deposited_is_what_is_held(uint128[4] memory amounts) public {
        x402BatchSettlement.ChannelConfig memory c = aChannel();
        uint256 sum = 0;
        for (uint256 i = 0; i < amounts.length; ++i) {
            uint128 amount = uint128(bound(amounts[i], 1, FUNDS / 4));
            c.salt = bytes32(i % 2);
            deposit(c, amount);
            sum += amount;
        }
        vm.assertEq(dollar.balanceOf(address(settlement)), sum);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - sum);
        c.salt = 0;
        uint256 held = balanceOf(c);
        c.salt = bytes32(uint256(1));
        vm.assertEq(held + balanceOf(c), sum);
    }

    function refuseDeposit(
        x402BatchSettlement.ChannelConfig memory c,
        uint128 amount,
        address through,
        bytes4 reason
    ) private {
        bytes memory data = collectorData(PAYER_KEY, idOf(c), amount, ++deposits);
        expectRefusal(reason);
        settlement.deposit(c, amount, through, data);
    }
}

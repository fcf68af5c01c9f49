// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Multicall3} from "../src/Multicall3.sol";
import {Test} from "./Test.sol";

/// @dev Something to call: it remembers, repeats, refuses, and takes money.
contract Callee {
    uint256 public calls;

    error Refused(uint256 why);

    function repeat(uint256 word) external payable returns (uint256) {
        calls += 1;
        return word;
    }

    function refuse(uint256 why) external payable {
        calls += 1;
        revert Refused(why);
    }

    function caller() external view returns (address) {
        return msg.sender;
    }
}

/// @dev The behaviour of the public contract, function by function.
contract Multicall3Test is Test {
    Multicall3 private multicall;
    Callee private callee;

    bytes private constant FAILED =
        abi.encodeWithSignature("Error(string)", "Multicall3: call failed");
    bytes private constant MISMATCH =
        abi.encodeWithSignature("Error(string)", "Multicall3: value mismatch");

    function setUp() public {
        multicall = new Multicall3();
        callee = new Callee();
        vm.roll(1000);
        vm.warp(1_800_000_000);
    }

    function repeat(uint256 word) private pure returns (bytes memory) {
        return abi.encodeCall(Callee.repeat, (word));
    }

    function refuse(uint256 why) private pure returns (bytes memory) {
        return abi.encodeCall(Callee.refuse, (why));
    }

    /// @dev `count` calls that repeat their place, of which the one at `bad` refuses.
    function batch(uint256 count, uint256 bad)
        private
        view
        returns (Multicall3.Call[] memory calls)
    {
        calls = new Multicall3.Call[](count);
        for (uint256 i = 0; i < count; ++i) {
            calls[i] = Multicall3.Call(address(callee), i == bad ? refuse(i) : repeat(i));
        }
    }

    function checkResults(Multicall3.Result[] memory results, uint256 count, uint256 bad)
        private
        pure
    {
        vm.assertEq(results.length, count);
        for (uint256 i = 0; i < count; ++i) {
            vm.assertEq(results[i].success, i != bad);
            bytes memory expected =
                i == bad ? abi.encodeWithSelector(Callee.Refused.selector, i) : abi.encode(i);
            vm.assertEq(results[i].returnData, expected);
        }
    }

    function testFuzz_aggregate_answers_in_order(uint8 count) public {
        (uint256 number, bytes[] memory answers) = multicall.aggregate(batch(count, 256));
        vm.assertEq(number, 1000);
        vm.assertEq(answers.length, count);
        for (uint256 i = 0; i < count; ++i) {
            vm.assertEq(answers[i], abi.encode(i));
        }
        vm.assertEq(callee.calls(), count);
    }

    function testFuzz_one_failure_undoes_a_batch_that_needs_success(uint8 count, uint8 bad) public {
        count = uint8(bound(count, 1, 40));
        Multicall3.Call[] memory calls = batch(count, bad % count);
        vm.expectRevert(FAILED);
        multicall.aggregate(calls);
        vm.expectRevert(FAILED);
        multicall.tryAggregate(true, calls);
        vm.expectRevert(FAILED);
        multicall.blockAndAggregate(calls);
        vm.expectRevert(FAILED);
        multicall.tryBlockAndAggregate(true, calls);
        vm.assertEq(callee.calls(), 0);
    }

    function testFuzz_try_aggregate_says_which_failed_and_why(uint8 count, uint8 bad) public {
        count = uint8(bound(count, 1, 40));
        bad %= count;
        checkResults(multicall.tryAggregate(false, batch(count, bad)), count, bad);
        (uint256 number, bytes32 hash, Multicall3.Result[] memory results) =
            multicall.tryBlockAndAggregate(false, batch(count, bad));
        checkResults(results, count, bad);
        vm.assertEq(number, 1000);
        vm.assertEq(hash, blockhash(1000));
    }

    function test_block_and_aggregate_tells_the_block() public {
        (uint256 number, bytes32 hash, Multicall3.Result[] memory results) =
            multicall.blockAndAggregate(batch(3, 256));
        checkResults(results, 3, 256);
        vm.assertEq(number, 1000);
        vm.assertEq(hash, blockhash(1000));
    }

    function testFuzz_aggregate3_lets_each_call_say_whether_it_may_fail(uint8 count, uint8 bad)
        public
    {
        count = uint8(bound(count, 1, 40));
        bad %= count;
        Multicall3.Call3[] memory calls = new Multicall3.Call3[](count);
        for (uint256 i = 0; i < count; ++i) {
            bytes memory data = i == bad ? refuse(i) : repeat(i);
            calls[i] = Multicall3.Call3(address(callee), i == bad, data);
        }
        checkResults(multicall.aggregate3(calls), count, bad);
        calls[bad].allowFailure = false;
        vm.expectRevert(FAILED);
        multicall.aggregate3(calls);
    }

    function valueCalls(uint256 first, uint256 second)
        private
        view
        returns (Multicall3.Call3Value[] memory calls)
    {
        calls = new Multicall3.Call3Value[](2);
        calls[0] = Multicall3.Call3Value(address(callee), false, first, repeat(1));
        calls[1] = Multicall3.Call3Value(address(callee), false, second, repeat(2));
    }

    function testFuzz_aggregate3_value_sends_on_exactly_what_came(uint96 first, uint96 second)
        public
    {
        uint256 sum = uint256(first) + second;
        vm.deal(address(this), sum);
        Multicall3.Result[] memory results =
            multicall.aggregate3Value{value: sum}(valueCalls(first, second));
        vm.assertEq(results[0].returnData, abi.encode(1));
        vm.assertEq(results[1].returnData, abi.encode(2));
        vm.assertEq(address(callee).balance, sum);
        vm.assertEq(address(multicall).balance, 0);
    }

    function testFuzz_aggregate3_value_refuses_any_other_sum(uint96 first, uint96 sent) public {
        vm.assume(sent > first);
        vm.deal(address(this), sent);
        vm.expectRevert(MISMATCH);
        multicall.aggregate3Value{value: sent}(valueCalls(first, 0));
        vm.assertEq(address(callee).balance, 0);
    }

    function test_a_sum_that_wraps_moves_only_what_was_left_behind() public {
        Multicall3.Call3Value[] memory calls = valueCalls(type(uint256).max, 1);
        (calls[0].allowFailure, calls[1].allowFailure) = (true, true);
        vm.deal(address(multicall), 1);
        multicall.aggregate3Value(calls);
        vm.assertEq(address(callee).balance, 1);
    }

    function test_a_failed_call_keeps_its_money_for_nobody() public {
        Multicall3.Call3Value[] memory calls = valueCalls(5, 0);
        (calls[0].allowFailure, calls[0].callData) = (true, refuse(0));
        vm.deal(address(this), 5);
        Multicall3.Result[] memory results = multicall.aggregate3Value{value: 5}(calls);
        vm.assertEq(results[0].success, false);
        vm.assertEq(address(multicall).balance, 5);
    }

    function test_calls_come_from_the_multicall_itself() public {
        Multicall3.Call3[] memory calls = new Multicall3.Call3[](1);
        calls[0] = Multicall3.Call3(address(callee), false, abi.encodeCall(Callee.caller, ()));
        bytes memory answer = multicall.aggregate3(calls)[0].returnData;
        vm.assertEq(abi.decode(answer, (address)), address(multicall));
    }

    function test_an_empty_batch_is_good() public {
        vm.assertEq(multicall.aggregate3(new Multicall3.Call3[](0)).length, 0);
    }

    function testFuzz_the_getters_tell_the_block_and_balances(address account, uint96 balance)
        public
    {
        vm.deal(account, balance);
        vm.assertEq(multicall.getEthBalance(account), account.balance);
        vm.assertEq(multicall.getBlockNumber(), block.number);
        vm.assertEq(multicall.getBlockHash(999), blockhash(999));
        vm.assertEq(multicall.getLastBlockHash(), blockhash(999));
        vm.assertEq(multicall.getCurrentBlockTimestamp(), block.timestamp);
        vm.assertEq(multicall.getCurrentBlockCoinbase(), block.coinbase);
        vm.assertEq(multicall.getCurrentBlockDifficulty(), block.prevrandao);
        vm.assertEq(multicall.getCurrentBlockGasLimit(), block.gaslimit);
        vm.assertEq(multicall.getBasefee(), block.basefee);
        vm.assertEq(multicall.getChainId(), block.chainid);
    }
}

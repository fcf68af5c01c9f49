// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {AgenticCommerce} from "../src/AgenticCommerce.sol";
import {IAgenticCommerce} from "../src/interfaces/IAgenticCommerce.sol";
import {IERC8183Hook} from "../src/interfaces/IERC8183Hook.sol";
import {LabourTest} from "./LabourTest.sol";

/// @dev A token that can be made to misbehave in each way that a payment can.
contract MoodyToken is ERC20 {
    enum Mood {
        Good,
        Reverts,
        SaysNo,
        BurnsGas,
        TalksMuch,
        TakesAFee
    }

    Mood public mood;

    constructor(address holder) ERC20("Moody", "MOOD") {
        _mint(holder, 1e18);
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        require(mood != Mood.Reverts, "no");
        if (mood == Mood.SaysNo) return false;
        if (mood == Mood.BurnsGas) while (true) {}
        if (mood == Mood.TalksMuch) {
            assembly {
                revert(0, 1000000)
            }
        }
        return super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        super.transferFrom(from, to, value);
        if (mood == Mood.TakesAFee) _burn(to, 1);
        return true;
    }
}

/// @dev A hook that refuses one selector, before or after, and counts its calls.
contract MoodyHook is IERC8183Hook {
    bytes4 public refused;
    uint256 public calls;
    bytes public reentry;

    function refuse(bytes4 selector) external {
        refused = selector;
    }

    function reenter(bytes calldata call) external {
        reentry = call;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IERC8183Hook).interfaceId || id == 0x01ffc9a7;
    }

    function beforeAction(uint256, bytes4 selector, bytes calldata) external {
        require(selector != refused, "refused");
        ++calls;
    }

    function afterAction(uint256, bytes4, bytes calldata) external {
        if (reentry.length == 0) return;
        (bool ok,) = msg.sender.call(reentry);
        require(!ok, "it let me in");
    }
}

/// @dev Jobs whose evaluator is a plain address: the escrow alone.
contract AgenticCommerceTest is LabourTest {
    address private constant JUDGE = address(0x10D6E);
    MoodyToken private moody;
    MoodyHook private hook;

    function setUp() public override {
        super.setUp();
        moody = new MoodyToken(CLIENT);
        vm.prank(CLIENT);
        moody.approve(address(commerce), type(uint256).max);
        hook = new MoodyHook();
        vm.prank(ADMIN);
        commerce.setHookWhitelist(address(hook), true);
    }

    function create(address hook_) private returns (uint256 jobId) {
        vm.prank(CLIENT);
        jobId = commerce.createJob(PROVIDER, JUDGE, block.timestamp + 1 hours, "a job", hook_, 0);
    }

    function funded(address token, address hook_) private returns (uint256 jobId) {
        jobId = create(hook_);
        vm.prank(CLIENT);
        commerce.setBudget(jobId, token, BUDGET, "");
        vm.prank(CLIENT);
        commerce.fund(jobId, BUDGET, "");
    }

    // ---- the way of a job --------------------------------------------------------------------

    function test_a_job_is_paid_when_its_evaluator_says_so_less_the_fees() external {
        vm.prank(ADMIN);
        commerce.setPlatformFee(100, TREASURY);
        vm.prank(ADMIN);
        commerce.setEvaluatorFee(200);
        uint256 jobId = funded(address(dollar), address(0));
        // Fees that are raised now are not this job's.
        vm.prank(ADMIN);
        commerce.setEvaluatorFee(9000);
        submit(jobId, WORK);
        uint256 before = dollar.balanceOf(PROVIDER);
        vm.prank(JUDGE);
        commerce.complete(jobId, "good", "");
        vm.assertEq(dollar.balanceOf(TREASURY), BUDGET / 100);
        vm.assertEq(dollar.balanceOf(JUDGE), BUDGET / 50);
        vm.assertEq(dollar.balanceOf(PROVIDER) - before, BUDGET - BUDGET / 100 - BUDGET / 50);
        vm.assertEq(dollar.balanceOf(address(commerce)), 0);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    function test_a_rejected_job_gives_all_back() external {
        uint256 jobId = funded(address(dollar), address(0));
        vm.prank(JUDGE);
        commerce.reject(jobId, "late", "");
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
    }

    function test_only_the_right_one_does_each_thing() external {
        uint256 jobId = funded(address(dollar), address(0));
        address[3] memory others = [CLIENT, JUDGE, ANYONE];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector));
            commerce.submit(jobId, WORK, "");
        }
        submit(jobId, WORK);
        others = [CLIENT, PROVIDER, ANYONE];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector));
            commerce.complete(jobId, "", "");
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.Unauthorized.selector));
            commerce.reject(jobId, "", "");
        }
    }

    function test_an_ended_job_does_nothing_more() external {
        uint256 jobId = funded(address(dollar), address(0));
        submit(jobId, WORK);
        vm.prank(JUDGE);
        commerce.complete(jobId, "", "");
        vm.warp(block.timestamp + 1 days);
        bytes memory wrong = abi.encodeWithSelector(AgenticCommerce.WrongStatus.selector);
        vm.expectRevert(wrong);
        commerce.claimRefund(jobId);
        vm.prank(JUDGE);
        vm.expectRevert(wrong);
        commerce.reject(jobId, "", "");
        vm.prank(JUDGE);
        vm.expectRevert(wrong);
        commerce.complete(jobId, "", "");
        vm.prank(PROVIDER);
        vm.expectRevert(wrong);
        commerce.submit(jobId, WORK, "");
    }

    function test_work_that_was_handed_in_has_an_hour_to_be_evaluated() external {
        uint256 jobId = funded(address(dollar), address(0));
        vm.warp(block.timestamp + 59 minutes);
        submit(jobId, WORK);
        vm.warp(block.timestamp + 1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.GracePeriodActive.selector));
        commerce.claimRefund(jobId);
        vm.warp(block.timestamp + 1);
        vm.prank(ANYONE);
        commerce.claimRefund(jobId);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE);
    }

    /// @dev The public contract of April 2026 pays the budget of an expired job that was never funded
    /// out of what others set aside.
    function test_a_job_that_was_never_funded_gets_nothing_back() external {
        funded(address(dollar), address(0));
        vm.prank(ANYONE);
        uint256 thief =
            commerce.createJob(PROVIDER, JUDGE, block.timestamp + 6 minutes, "", address(0), 0);
        vm.prank(ANYONE);
        commerce.setBudget(thief, address(dollar), BUDGET, "");
        vm.warp(block.timestamp + 6 minutes);
        commerce.claimRefund(thief);
        vm.assertEq(dollar.balanceOf(ANYONE), PURSE);
        vm.assertEq(dollar.balanceOf(address(commerce)), BUDGET);
    }

    function test_a_job_that_pays_nothing_needs_no_funds() external {
        uint256 jobId = create(address(0));
        submit(jobId, WORK);
        vm.prank(JUDGE);
        commerce.complete(jobId, "", "");
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    function test_the_provider_cannot_swap_the_token_under_the_clients_hand() external {
        uint256 jobId = create(address(0));
        vm.prank(CLIENT);
        commerce.setBudget(jobId, address(dollar), BUDGET, "");
        vm.prank(PROVIDER);
        vm.expectRevert(
            abi.encodeWithSelector(AgenticCommerce.TokenFixed.selector, address(dollar))
        );
        commerce.setBudget(jobId, address(moody), BUDGET, "");
        vm.prank(PROVIDER);
        commerce.setBudget(jobId, address(dollar), BUDGET + 1, "");
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.BudgetMismatch.selector));
        commerce.fund(jobId, BUDGET, "");
    }

    function test_jobs_that_cannot_be_are_refused_in_order() external {
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.ZeroAddress.selector));
        commerce.createJob(PROVIDER, address(0), 0, "", ANYONE, 0);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.ProviderCannotBeEvaluator.selector));
        commerce.createJob(PROVIDER, PROVIDER, 0, "", ANYONE, 0);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.ExpiryTooShort.selector));
        commerce.createJob(PROVIDER, JUDGE, block.timestamp + 5 minutes, "", ANYONE, 0);
        uint256 fine = block.timestamp + 5 minutes + 1;
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.HookNotWhitelisted.selector));
        commerce.createJob(PROVIDER, JUDGE, fine, "", ANYONE, 0);
        vm.prank(ADMIN);
        commerce.setHookWhitelist(ANYONE, true);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.InvalidHook.selector));
        commerce.createJob(PROVIDER, JUDGE, fine, "", ANYONE, 0);
        string memory long = string(new bytes(16_385));
        vm.expectRevert(
            abi.encodeWithSelector(AgenticCommerce.DescriptionTooLong.selector, 16_385, 16_384)
        );
        commerce.createJob(PROVIDER, JUDGE, fine, long, address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.InvalidJob.selector));
        commerce.claimRefund(1);
    }

    // ---- hostile tokens and hooks ------------------------------------------------------------

    function testFuzz_no_token_keeps_a_job_from_ending(uint8 mood, uint8 way) external {
        MoodyToken.Mood bad = MoodyToken.Mood(bound(mood, 1, 4));
        uint256 jobId = funded(address(moody), address(0));
        uint256 before = moody.balanceOf(CLIENT);
        way = uint8(bound(way, 0, 2));
        moody.setMood(bad);
        address payee = CLIENT;
        if (way == 0) {
            vm.warp(block.timestamp + 1 hours);
            commerce.claimRefund(jobId);
        } else if (way == 1) {
            vm.prank(JUDGE);
            commerce.reject(jobId, "", "");
        } else {
            payee = PROVIDER;
            before = 0;
            submit(jobId, WORK);
            vm.prank(JUDGE);
            commerce.complete(jobId, "", "");
        }
        vm.assertTrue(uint256(commerce.statusOf(jobId)) >= 3, "the job hangs");
        vm.assertEq(moody.balanceOf(payee), before);
        vm.assertEq(commerce.owed(address(moody), payee), BUDGET);
        // The token is good again, and the payee takes what is its own, once.
        moody.setMood(MoodyToken.Mood.Good);
        vm.prank(payee);
        commerce.withdraw(address(moody), payee);
        vm.assertEq(moody.balanceOf(payee), before + BUDGET);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(AgenticCommerce.NothingOwed.selector));
        commerce.withdraw(address(moody), payee);
    }

    function test_little_gas_makes_no_payment_fail() external {
        uint256 jobId = funded(address(dollar), address(0));
        vm.warp(block.timestamp + 1 hours);
        for (uint256 gas_ = 60_000; gas_ < 420_000; gas_ += 20_000) {
            (bool ok,) =
                address(commerce).call{gas: gas_}(abi.encodeCall(commerce.claimRefund, (jobId)));
            vm.assertEq(commerce.owed(address(dollar), CLIENT), 0);
            if (ok) break;
        }
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE);
    }

    function test_a_token_that_takes_a_fee_is_refused() external {
        uint256 jobId = create(address(0));
        vm.prank(CLIENT);
        commerce.setBudget(jobId, address(moody), BUDGET, "");
        moody.setMood(MoodyToken.Mood.TakesAFee);
        vm.prank(CLIENT);
        vm.expectRevert(
            abi.encodeWithSelector(AgenticCommerce.InexactToken.selector, BUDGET - 1, BUDGET)
        );
        commerce.fund(jobId, BUDGET, "");
    }

    function test_a_hook_can_refuse_all_but_the_refund() external {
        bytes4[3] memory actions =
            [commerce.submit.selector, commerce.complete.selector, commerce.reject.selector];
        uint256 jobId = funded(address(dollar), address(hook));
        for (uint256 i = 0; i < actions.length; ++i) {
            hook.refuse(actions[i]);
            if (i == 0) {
                vm.prank(PROVIDER);
                vm.expectRevert("refused");
                commerce.submit(jobId, WORK, "");
                hook.refuse(0);
                submit(jobId, WORK);
            } else {
                vm.prank(JUDGE);
                vm.expectRevert("refused");
                if (i == 1) commerce.complete(jobId, "", "");
                else commerce.reject(jobId, "", "");
            }
        }
        hook.refuse(commerce.claimRefund.selector);
        uint256 calls = hook.calls();
        vm.warp(block.timestamp + 2 hours);
        commerce.claimRefund(jobId);
        vm.assertEq(hook.calls(), calls);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE);
    }

    function test_a_hook_finds_every_door_closed() external {
        uint256 jobId = funded(address(dollar), address(hook));
        bytes[6] memory doors = [
            abi.encodeCall(commerce.claimRefund, (jobId)),
            abi.encodeCall(commerce.withdraw, (address(dollar), ANYONE)),
            abi.encodeCall(commerce.fund, (jobId, BUDGET, "")),
            abi.encodeCall(commerce.setProvider, (jobId, ANYONE, 0)),
            abi.encodeCall(commerce.setBudget, (jobId, address(dollar), 0, "")),
            abi.encodeCall(commerce.complete, (jobId, "", ""))
        ];
        vm.warp(block.timestamp + 2 hours);
        for (uint256 i = 0; i < doors.length; ++i) {
            hook.reenter(doors[i]);
            uint256 other = create(address(hook));
            vm.prank(CLIENT);
            commerce.reject(other, "", "");
        }
    }

    // ---- in one ------------------------------------------------------------------------------

    function test_a_job_is_opened_with_a_permit_in_one() external {
        AgenticCommerce.JobOffer memory its = offer("");
        (its.evaluator, its.hook) = (JUDGE, address(0));
        AgenticCommerce.Permit memory permit = permitFor(BUDGET);
        vm.prank(payer);
        uint256 jobId = commerce.openJob(its, permit);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Funded);
        vm.assertEq(commerce.escrowOf(jobId), BUDGET);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - BUDGET);
    }

    /// @dev Whoever sees the permit can use it first; the job is opened all the same.
    function test_a_permit_that_was_used_by_another_does_no_harm() external {
        AgenticCommerce.JobOffer memory its = offer("");
        (its.evaluator, its.hook) = (JUDGE, address(0));
        AgenticCommerce.Permit memory p = permitFor(BUDGET);
        dollar.permit(payer, address(commerce), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(payer);
        uint256 jobId = commerce.openJob(its, p);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Funded);
    }

    function permitFor(uint256 value) private view returns (AgenticCommerce.Permit memory permit) {
        bytes32 permitType = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 structHash =
            keccak256(abi.encode(permitType, payer, address(commerce), value, 0, NOW + 60));
        (permit.value, permit.deadline) = (value, NOW + 60);
        (permit.v, permit.r, permit.s) = vm.sign(
            PAYER_KEY, keccak256(abi.encodePacked("\x19\x01", domainSeparator(), structHash))
        );
    }
}

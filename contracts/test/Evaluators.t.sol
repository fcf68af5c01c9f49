// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AgenticCommerce} from "../src/AgenticCommerce.sol";
import {EvaluatorPool} from "../src/EvaluatorPool.sol";
import {Evaluators} from "../src/Evaluators.sol";
import {Case, Stage} from "../src/evaluators/Cases.sol";
import {Check, Rule, Rules} from "../src/evaluators/Rules.sol";
import {IAgenticCommerce} from "../src/interfaces/IAgenticCommerce.sol";
import {LabourTest} from "./LabourTest.sol";

/// @dev What becomes of jobs and money under each kind of rule.
contract EvaluatorsTest is LabourTest {
    uint256 private constant BOND = 20_000;
    uint256 private constant PROVIDERS = 100_000;

    function exactJob() private returns (uint256 jobId, address[] memory panel) {
        seatMany(9);
        jobId = openUnder(aRule(Check.Exact));
        submit(jobId, sealedWork(jobId));
        panel = drawn(jobId);
    }

    /// @dev Appeals' time passes, the verdict is carried out, and every panel is paid.
    function conclude(uint256 jobId) private {
        pass(1 hours);
        finish(jobId);
        for (uint256 i = 1; i <= court.caseOf(jobId).round; ++i) {
            court.settle(jobId, i);
        }
        vm.assertEq(pool.totalHeld(), 0);
        vm.assertEq(lockedIn(PROVIDER), 0);
        assertSolvent();
    }

    // ---- optimistic --------------------------------------------------------------------------

    function test_work_that_nobody_challenges_is_good() external {
        seatMany(3);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        vm.assertEq(lockedIn(PROVIDER), BOND);
        pass(5 minutes - 1);
        vm.expectRevert(
            abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Challengeable)
        );
        court.finish(jobId);
        pass(1);
        vm.prank(ANYONE);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Final));
        court.challenge(jobId);
        finish(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(dollar.balanceOf(PROVIDER), PURSE - PROVIDERS + BUDGET);
        vm.assertEq(lockedIn(PROVIDER), 0);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Closed));
        court.finish(jobId);
    }

    function test_a_challenge_that_is_right_is_repaid_and_shares_the_bond() external {
        seatMany(9);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        vm.prank(ANYONE);
        court.challenge(jobId);
        vm.assertEq(pool.totalHeld(), 6 * FEE);
        vote(jobId, drawn(jobId), 0, 0, OTHER);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        // Half of what the bond leaves, and no more than it risked.
        uint256 reward = 3 * FEE;
        vm.assertTrue(reward < (BOND - 3 * FEE) / 2, "the bound does not bind");
        // Its margin, the fees it spent, and its reward.
        vm.assertEq(balanceIn(ANYONE), 3 * FEE + 3 * FEE + reward);
        vm.assertEq(balanceIn(CLIENT), BOND - 3 * FEE - reward);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS - BOND);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE);
    }

    function test_a_challenge_that_is_wrong_pays_panel_and_provider() external {
        seatMany(9);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        vm.prank(CLIENT);
        court.challenge(jobId);
        // Both ways of saying that it is good count.
        vote(jobId, drawn(jobId), 1, WORK, ACCEPT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS + 3 * FEE);
        vm.assertEq(balanceIn(CLIENT), 0);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE - BUDGET - 6 * FEE);
    }

    function test_the_provider_cannot_challenge_itself() external {
        seatMany(3);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        vm.prank(PROVIDER);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.ProviderCannotChallenge.selector));
        court.challenge(jobId);
    }

    // ---- panels ------------------------------------------------------------------------------

    function test_work_that_the_panel_gets_too_is_paid() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        vm.assertEq(panel.length, 3);
        vote(jobId, panel, 0, 0, WORK);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(balanceIn(panel[i]), SEAT_PRICE + FEE);
            vm.assertEq(lockedIn(panel[i]), 0);
        }
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE - BUDGET - 3 * FEE);
    }

    /// @dev Under `Exact` the word `ACCEPT` is not an answer: who did not do the work has none.
    function test_saying_yes_is_no_answer_where_the_work_is_to_be_done_again() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        vote(jobId, panel, 0, 0, ACCEPT);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
    }

    function test_the_minority_and_the_absent_lose_their_stakes_to_the_others() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        seal(jobId, panel[0], WORK);
        seal(jobId, panel[1], OTHER);
        seal(jobId, panel[2], WORK);
        unfold(jobId, panel[0], WORK);
        unfold(jobId, panel[1], OTHER);
        unfold(jobId, panel[2], WORK);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        vm.assertEq(balanceIn(panel[0]), SEAT_PRICE + FEE + STAKE / 2);
        vm.assertEq(balanceIn(panel[1]), SEAT_PRICE - STAKE);
        vm.assertEq(balanceIn(panel[2]), SEAT_PRICE + FEE + STAKE / 2);
        // The fee that it did not earn is the client's again.
        vm.assertEq(balanceIn(CLIENT), FEE);
        (,,,, uint32 agreed, uint32 voted,) = pool.evaluatorOf(panel[1]);
        vm.assertEq(agreed, 0);
        vm.assertEq(voted, 1);
    }

    function test_without_a_verdict_the_client_has_its_money_back() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        seal(jobId, panel[0], WORK);
        pass(10 minutes);
        pass(10 minutes);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        // Nobody opened an answer: the fees are the client's, the bond is free, and the stakes are
        // nobody's. Else who is client and provider would live on the stakes of the absent.
        vm.assertEq(balanceIn(CLIENT), 3 * FEE);
        vm.assertEq(balanceIn(court.BURNED()), 3 * STAKE);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS);
    }

    function test_a_tie_is_no_verdict_and_all_who_came_are_paid() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        seal(jobId, panel[0], WORK);
        seal(jobId, panel[1], OTHER);
        pass(10 minutes);
        unfold(jobId, panel[0], WORK);
        unfold(jobId, panel[1], OTHER);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        vm.assertEq(balanceIn(panel[0]), SEAT_PRICE + FEE + STAKE / 2);
        vm.assertEq(balanceIn(panel[1]), SEAT_PRICE + FEE + STAKE / 2);
        vm.assertEq(balanceIn(panel[2]), SEAT_PRICE - STAKE);
    }

    function test_a_copied_seal_cannot_be_opened() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        bytes32 first = court.sealOf(WORK, SALT, panel[0], jobId);
        seal(jobId, panel[0], WORK);
        vm.prank(panel[1]);
        court.commit(jobId, first);
        vm.prank(panel[0]);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.AlreadyDone.selector));
        court.commit(jobId, first);
        vm.prank(panel[0]);
        vm.expectRevert(
            abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Committing)
        );
        court.reveal(jobId, WORK, SALT);
        pass(10 minutes);
        vm.prank(panel[1]);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongSeal.selector));
        court.reveal(jobId, WORK, SALT);
        vm.prank(ANYONE);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.NotOnPanel.selector, jobId, ANYONE));
        court.reveal(jobId, WORK, SALT);
    }

    function test_sealed_work_is_opened_after_the_panels_answers() external {
        seatMany(9);
        uint256 jobId = openUnder(aRule(Check.Redundant));
        submit(jobId, sealedWork(jobId));
        address[] memory panel = drawn(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Committing)
        );
        court.unseal(jobId, WORK, SALT);
        vote(jobId, panel, 0, 0, WORK);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongSeal.selector));
        court.unseal(jobId, OTHER, SALT);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
    }

    function test_work_that_stays_sealed_is_bad() external {
        seatMany(9);
        uint256 jobId = openUnder(aRule(Check.Redundant));
        submit(jobId, sealedWork(jobId));
        address[] memory panel = drawn(jobId);
        vote(jobId, panel, 0, 0, WORK);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS - BOND);
        vm.assertEq(balanceIn(panel[0]), SEAT_PRICE + FEE);
    }

    function test_one_evaluator_decides_in_five_transactions() external {
        seatMany(3);
        Rule memory rule = aRule(Check.Gold);
        (rule.panel, rule.appeals) = (1, 0);
        uint256 jobId = openUnder(rule); // 1
        submit(jobId, WORK); // 2
        address[] memory panel = drawn(jobId); // 3
        vm.prank(panel[0]);
        court.decide(jobId, ACCEPT); // 4
        finish(jobId); // 5
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(balanceIn(panel[0]), SEAT_PRICE + FEE);
    }

    // ---- appeals -----------------------------------------------------------------------------

    function test_an_appeal_that_is_right_costs_those_who_were_wrong() external {
        seatMany(20);
        uint256 jobId = openUnder(aRule(Check.Juror));
        submit(jobId, WORK);
        address[] memory first = drawn(jobId);
        vote(jobId, first, 3, REJECT, REJECT);
        vm.prank(PROVIDER);
        court.appeal(jobId);
        address[] memory second = drawn(jobId);
        vm.assertEq(second.length, 7);
        vote(jobId, second, 0, 0, ACCEPT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        // The appeal's seven fees are repaid out of the first panel's three stakes, and its margin
        // comes back. What the stakes leave is nobody's, for none of the three was right.
        vm.assertEq(3 * STAKE - 7 * FEE, 5 * FEE);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS - 14 * FEE + 7 * FEE + 7 * FEE);
        vm.assertEq(balanceIn(court.BURNED()), 5 * FEE);
        vm.assertEq(balanceIn(CLIENT), 3 * FEE);
    }

    function test_an_appeal_that_is_wrong_pays_the_other_side() external {
        seatMany(20);
        uint256 jobId = openUnder(aRule(Check.Juror));
        submit(jobId, WORK);
        address[] memory first = drawn(jobId);
        vote(jobId, first, 0, 0, ACCEPT);
        vm.prank(CLIENT);
        court.appeal(jobId);
        address[] memory second = drawn(jobId);
        vote(jobId, second, 2, REJECT, ACCEPT);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS + 7 * FEE);
        // Two of the seven did not earn their fees.
        vm.assertEq(balanceIn(CLIENT), 2 * FEE);
    }

    function test_an_appeal_that_no_larger_panel_can_hear_costs_nothing() external {
        (uint256 jobId, address[] memory panel) = (0, new address[](0));
        seatMany(3);
        jobId = openUnder(aRule(Check.Juror));
        submit(jobId, WORK);
        panel = drawn(jobId);
        vote(jobId, panel, 0, 0, ACCEPT);
        vm.prank(CLIENT);
        court.appeal(jobId);
        drawn(jobId);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(balanceIn(CLIENT), 14 * FEE);
    }

    function test_appeals_end() external {
        seatMany(40);
        Rule memory rule = aRule(Check.Juror);
        rule.appeals = 3;
        uint256 jobId = openUnder(rule);
        submit(jobId, WORK);
        for (uint256 i = 0; i <= 3; ++i) {
            address[] memory panel = drawn(jobId);
            vm.assertTrue(panel.length <= 31 && panel.length > 2 * i, "a panel of no such size");
            vote(jobId, panel, 0, 0, i % 2 == 0 ? ACCEPT : REJECT);
            if (i == 3) break;
            vm.prank(i % 2 == 0 ? CLIENT : PROVIDER);
            court.appeal(jobId);
        }
        vm.prank(PROVIDER);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Final));
        court.appeal(jobId);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
    }

    // ---- time --------------------------------------------------------------------------------

    function test_work_is_refused_when_its_check_would_come_too_late() external {
        seatMany(3);
        Rule memory rule = aRule(Check.Optimistic);
        rule.challengeTime = 6 hours;
        uint256 jobId = openUnder(rule);
        (,,,, uint256 longest) = court.termsOf(rule);
        vm.prank(PROVIDER);
        vm.expectRevert(
            abi.encodeWithSelector(
                Evaluators.TooLate.selector, jobId, longest, block.timestamp + 6 hours
            )
        );
        commerce.submit(jobId, WORK, "");
    }

    function test_a_job_without_work_ends_and_gives_its_fees_back() external {
        uint256 jobId = openUnder(aRule(Check.Exact));
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongStage.selector, jobId, Stage.Agreed));
        court.finish(jobId);
        pass(6 hours);
        commerce.claimRefund(jobId);
        finish(jobId);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE - 3 * FEE);
        vm.assertEq(balanceIn(CLIENT), 3 * FEE);
        vm.assertEq(pool.totalHeld(), 0);
    }

    /// @dev Nobody but the client did anything since: no evaluator, no hook of ours, can hold it up.
    function testFuzz_the_refund_comes_whatever_the_case_is_at(uint8 steps) external {
        seatMany(9);
        uint256 jobId = openUnder(aRule(Check.Exact));
        if (steps > 50) submit(jobId, sealedWork(jobId));
        address[] memory panel;
        if (steps > 100) panel = drawn(jobId);
        if (steps > 150) seal(jobId, panel[0], WORK);
        if (steps > 200) {
            pass(10 minutes);
            unfold(jobId, panel[0], WORK);
        }
        pass(7 hours);
        commerce.claimRefund(jobId);
        vm.assertEq(dollar.balanceOf(CLIENT), PURSE - 3 * FEE);
        finish(jobId);
        vm.assertEq(pool.totalHeld(), 0);
        vm.assertEq(lockedIn(PROVIDER), 0);
        assertSolvent();
    }

    // ---- the lot -----------------------------------------------------------------------------

    function testFuzz_no_party_and_nobody_of_theirs_is_drawn(bytes32 chance) external {
        // The provider's owner has an evaluator, the client's has one, and both sit themselves.
        address rich = address(0x41C4);
        uint256 providersAgent = agentOf(rich);
        vm.prank(rich);
        identity.approve(PROVIDER, providersAgent);
        seat(address(0xE1), rich);
        uint256 clientsAgent = agentOf(ADMIN);
        vm.prank(ADMIN);
        identity.approve(CLIENT, clientsAgent);
        seat(address(0xE2), ADMIN);
        seat(PROVIDER, address(0xE3));
        seat(CLIENT, address(0xE4));
        seatMany(3);

        Rule memory rule = aRule(Check.Juror);
        rule.clientAgentId = clientsAgent;
        AgenticCommerce.JobOffer memory its = offer(abi.encode(rule));
        its.providerAgentId = providersAgent;
        uint256 jobId = open(its);
        submit(jobId, WORK);
        // It does not help to part with the agent now.
        vm.prank(rich);
        identity.transferFrom(rich, address(0xF00), providersAgent);
        vm.roll(block.number + 1);
        vm.setBlockhash(block.number - 1, keccak256(abi.encode(chance)));
        court.draw(jobId, 0);
        address[] memory panel = court.roundOf(jobId, 0).panel;
        for (uint256 i = 0; i < panel.length; ++i) {
            vm.assertTrue(uint160(panel[i]) >> 16 == 0xE7A1, "a party's evaluator was drawn");
            for (uint256 j = 0; j < i; ++j) {
                vm.assertTrue(panel[i] != panel[j], "one evaluator has two places");
            }
        }
    }

    function testFuzz_who_challenged_is_not_drawn_in_any_round(bytes32 chance) external {
        seatMany(9);
        address accuser = evaluator(4);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        vm.prank(accuser);
        court.challenge(jobId);
        for (uint256 round = 0; round < 2; ++round) {
            vm.roll(block.number + 1);
            vm.setBlockhash(block.number - 1, keccak256(abi.encode(chance, round)));
            court.draw(jobId, 0);
            address[] memory panel = court.roundOf(jobId, round).panel;
            for (uint256 i = 0; i < panel.length; ++i) {
                vm.assertTrue(panel[i] != accuser, "the accuser judges");
            }
            if (panel.length == 0 || round == 1) break;
            vote(jobId, panel, 0, 0, ACCEPT);
            vm.prank(CLIENT);
            court.appeal(jobId);
        }
    }

    function test_one_owner_has_one_place_and_work_waits_for_a_panel() external {
        for (uint256 i = 0; i < 9; ++i) {
            seat(evaluator(i), ownerOf(0));
        }
        nextBlock();
        uint256 jobId = openUnder(aRule(Check.Juror));
        vm.expectRevert(abi.encodeWithSelector(Evaluators.NoPanel.selector, jobId, 1));
        submit(jobId, WORK);
        seat(evaluator(9), ownerOf(9));
        seat(evaluator(10), ownerOf(10));
        nextBlock();
        submit(jobId, WORK);
        vm.assertTrue(stageOf(jobId) == Stage.Drawing, "the work was not taken");
    }

    /// @dev Who knows the lot can come and go before it is thrown, and changes nothing by it.
    function testFuzz_coming_and_going_after_the_announcement_changes_nothing(uint8 moves)
        external
    {
        seatMany(12);
        uint256 jobId = openUnder(aRule(Check.Juror));
        submit(jobId, WORK);
        nextBlock();
        uint256 snapshot = block.number - 1;
        uint256 seats = pool.seatCountAt(snapshot);
        address[] memory before = new address[](seats);
        for (uint256 i = 0; i < seats; ++i) {
            before[i] = pool.seatAt(i, snapshot);
        }
        for (uint256 i = 0; i < 8; ++i) {
            if (moves >> i & 1 == 0) continue;
            vm.prank(evaluator(i));
            pool.resign();
            seat(evaluator(100 + i), ownerOf(100 + i));
        }
        vm.assertEq(pool.seatCountAt(snapshot), seats);
        for (uint256 i = 0; i < seats; ++i) {
            vm.assertEq(pool.seatAt(i, snapshot), before[i]);
        }
        court.draw(jobId, 0);
        address[] memory panel = court.roundOf(jobId, 0).panel;
        for (uint256 i = 0; i < panel.length; ++i) {
            vm.assertTrue(uint160(panel[i]) & 0xFFFF < 12, "a newcomer was drawn");
            vm.assertEq(lockedIn(panel[i]), STAKE);
        }
    }

    function drawing(bytes32 lotSecret) private returns (uint256 jobId) {
        seatMany(9);
        Rule memory rule = aRule(Check.Juror);
        rule.lotSecret = lotSecret;
        jobId = openUnder(rule);
        submit(jobId, WORK);
    }

    function test_a_lost_lot_is_thrown_again_once_and_late() external {
        uint256 jobId = drawing(0);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.TooEarly.selector, block.number));
        court.draw(jobId, 0);
        vm.roll(block.number + 300);
        uint256 from = block.timestamp + 5 minutes;
        vm.expectRevert(abi.encodeWithSelector(Evaluators.LotLost.selector, from));
        court.draw(jobId, 0);
        vm.warp(from);
        court.draw(jobId, 0);
        vm.assertEq(court.caseOf(jobId).announced, block.number);
        vm.assertEq(uint256(stageOf(jobId)), uint256(Stage.Drawing));
        uint256 snapshot = vm.snapshotState();
        vm.assertEq(drawn(jobId).length, 3);
        vm.revertToState(snapshot);
        // Who lets it pass again has no third.
        vm.roll(block.number + 300);
        court.draw(jobId, 0);
        vm.assertEq(uint256(stageOf(jobId)), uint256(Stage.Decided));
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Rejected);
    }

    /// @dev Who does not like the lot cannot wait until its hash is lost, if anyone pinned it.
    function test_a_pinned_lot_stays() external {
        uint256 jobId = drawing(0);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.TooEarly.selector, block.number));
        court.pin(jobId);
        nextBlock();
        uint256 snapshot = vm.snapshotState();
        court.draw(jobId, 0);
        address[] memory meant = court.roundOf(jobId, 0).panel;
        vm.revertToState(snapshot);
        vm.prank(ANYONE);
        court.pin(jobId);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.AlreadyDone.selector));
        court.pin(jobId);
        vm.roll(block.number + 300);
        court.draw(jobId, 0);
        address[] memory panel = court.roundOf(jobId, 0).panel;
        vm.assertEq(panel.length, meant.length);
        for (uint256 i = 0; i < panel.length; ++i) {
            vm.assertEq(panel[i], meant[i]);
        }
    }

    /// @dev A client that sees the lot and keeps its secret would else have the work for nothing.
    function test_a_client_that_keeps_its_secret_has_accepted() external {
        uint256 jobId = drawing(keccak256(abi.encode(SALT)));
        nextBlock();
        vm.warp(block.timestamp + 10 minutes - 1);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongSecret.selector));
        court.draw(jobId, 0);
        vm.expectRevert(abi.encodeWithSelector(Evaluators.WrongSecret.selector));
        court.draw(jobId, WORK);
        uint256 snapshot = vm.snapshotState();
        court.draw(jobId, SALT);
        vm.assertEq(court.roundOf(jobId, 0).panel.length, 3);
        vm.revertToState(snapshot);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        vm.assertEq(balanceIn(CLIENT), 3 * FEE);
        assertNothingToPublish(jobId);
    }

    /// @dev Jobs of an attacker's own that lock others' money gain its evaluators no place.
    function test_who_is_locked_out_leaves_its_place_empty() external {
        seatMany(9);
        address[8] memory barred;
        address[] memory all = pool.throwLot(SALT, block.number, 3, STAKE, FEE, barred);
        vm.assertEq(all.length, 3);
        vm.prank(address(court));
        pool.lock(all[1], SEAT_PRICE - STAKE + 1);
        address[] memory rest = pool.throwLot(SALT, block.number, 3, STAKE, FEE, barred);
        vm.assertEq(rest.length, 2);
        vm.assertEq(rest[0], all[0]);
        vm.assertEq(rest[1], all[2]);
    }

    function test_a_challenge_that_finds_no_panel_changes_nothing() external {
        seatMany(3);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(address(court));
            pool.lock(evaluator(i), SEAT_PRICE);
        }
        vm.prank(CLIENT);
        court.challenge(jobId);
        vm.assertEq(drawn(jobId).length, 0);
        conclude(jobId);
        assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
        // The challenge was not found wrong.
        vm.assertEq(balanceIn(CLIENT), 6 * FEE);
        vm.assertEq(balanceIn(PROVIDER), PROVIDERS);
    }

    // ---- records -----------------------------------------------------------------------------

    function recordOf(address one) private view returns (uint256 agreed, uint256 voted) {
        (,,,, uint32 right, uint32 all,) = pool.evaluatorOf(one);
        return (right, all);
    }

    function test_a_job_that_costs_nothing_makes_and_spoils_no_record() external {
        seatMany(9);
        for (uint256 i = 0; i < 2; ++i) {
            Rule memory rule = aRule(Check.Juror);
            // Too small a fee, then nothing at stake.
            if (i == 0) rule.fee = uint128(pool.leastFeeOfRecord()) - 1;
            else rule.auditBps = 10_000;
            AgenticCommerce.JobOffer memory its = offer(abi.encode(rule));
            its.providerAgentId = agentOf(PROVIDER);
            uint256 jobId = open(its);
            submit(jobId, WORK);
            address[] memory panel = drawn(jobId);
            vote(jobId, panel, 1, REJECT, ACCEPT);
            conclude(jobId);
            assertStatus(jobId, IAgenticCommerce.JobStatus.Completed);
            for (uint256 j = 0; j < 3; ++j) {
                (, uint256 voted) = recordOf(panel[j]);
                vm.assertEq(voted, 0);
            }
            assertNothingToPublish(jobId);
        }
    }

    /// @dev Where a wrong answer costs no weight, not coming costs none either.
    function test_absence_costs_no_more_weight_than_a_wrong_answer() external {
        (uint256 jobId, address[] memory panel) = exactJob();
        seal(jobId, panel[0], WORK);
        seal(jobId, panel[1], OTHER);
        pass(10 minutes);
        unfold(jobId, panel[0], WORK);
        unfold(jobId, panel[1], OTHER);
        court.unseal(jobId, WORK, SALT);
        conclude(jobId);
        for (uint256 i = 0; i < 3; ++i) {
            (, uint256 voted) = recordOf(panel[i]);
            vm.assertEq(voted, 0);
        }
        vm.assertEq(balanceIn(panel[2]), SEAT_PRICE - STAKE);
    }

    function test_who_resigned_still_answers_and_gets_its_price_later() external {
        seatMany(3);
        uint256 jobId = openUnder(aRule(Check.Juror));
        submit(jobId, WORK);
        nextBlock();
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(evaluator(i));
            pool.resign();
        }
        vm.assertEq(pool.seatCount(), 0);
        vm.assertEq(drawn(jobId).length, 3);
        vm.prank(evaluator(0));
        vm.expectRevert(
            abi.encodeWithSelector(EvaluatorPool.NotAvailable.selector, evaluator(0), 0, 1)
        );
        pool.withdraw(ANYONE, 1);
        conclude(jobId);
        pass(1 days);
        vm.prank(evaluator(0));
        pool.withdraw(ANYONE, SEAT_PRICE - STAKE);
        vm.assertEq(balanceIn(evaluator(0)), 0);
    }

    // ---- what is written, and who may call ---------------------------------------------------

    function test_the_registries_learn_how_a_checked_job_ended() external {
        seatMany(3);
        uint256 agent = agentOf(PROVIDER);
        Rule memory rule = aRule(Check.Gold);
        (rule.panel, rule.appeals) = (1, 0);
        AgenticCommerce.JobOffer memory its = offer(abi.encode(rule));
        its.providerAgentId = agent;
        uint256 jobId = open(its);
        // Who does not know what will be handed in names another request.
        uint256 strangers = agentOf(ANYONE);
        bytes32 guess = court.requestOf(jobId, OTHER);
        vm.prank(ANYONE);
        validation.validationRequest(ANYONE, strangers, "", guess);
        bytes32 request = court.requestOf(jobId, WORK);
        vm.prank(PROVIDER);
        validation.validationRequest(address(court), agent, "", request);
        submit(jobId, WORK);
        assertNothingToPublish(jobId);
        address[] memory panel = drawn(jobId);
        vm.prank(panel[0]);
        court.decide(jobId, ACCEPT);
        finish(jobId);
        court.publish(jobId);
        assertNothingToPublish(jobId);
        address[] memory clients = new address[](1);
        clients[0] = address(court);
        (uint64 count, int128 value,) = reputation.getSummary(agent, clients, "gold", "");
        vm.assertEq(count, 1);
        vm.assertEq(uint128(value), 100);
        (, uint8 mark) = validation.getSummary(agent, clients, "gold");
        vm.assertEq(mark, 100);
    }

    /// @dev Who hires itself under `Optimistic`, and is silent, has no name by it.
    function test_silence_makes_no_reputation() external {
        seatMany(3);
        AgenticCommerce.JobOffer memory its = offer(abi.encode(aRule(Check.Optimistic)));
        its.providerAgentId = agentOf(PROVIDER);
        uint256 jobId = open(its);
        submit(jobId, WORK);
        pass(5 minutes);
        finish(jobId);
        assertNothingToPublish(jobId);
    }

    function test_nobody_is_rated_for_an_agent_that_is_not_its_own() external {
        seatMany(3);
        Rule memory rule = aRule(Check.Gold);
        (rule.panel, rule.appeals) = (1, 0);
        AgenticCommerce.JobOffer memory its = offer(abi.encode(rule));
        its.providerAgentId = agentOf(ADMIN);
        uint256 jobId = open(its);
        submit(jobId, WORK);
        address[] memory panel = drawn(jobId);
        vm.prank(panel[0]);
        court.decide(jobId, REJECT);
        finish(jobId);
        assertNothingToPublish(jobId);
    }

    function assertNothingToPublish(uint256 jobId) private {
        vm.expectRevert(abi.encodeWithSelector(Evaluators.NothingToPublish.selector));
        court.publish(jobId);
    }

    function test_only_the_escrow_and_the_court_are_obeyed() external {
        vm.expectRevert(abi.encodeWithSelector(Evaluators.CommerceOnly.selector, address(this)));
        court.beforeAction(1, commerce.fund.selector, "");
        bytes memory barred =
            abi.encodeWithSelector(EvaluatorPool.CourtOnly.selector, address(this));
        vm.expectRevert(barred);
        pool.credit(1, ANYONE, 1);
        vm.expectRevert(barred);
        pool.charge(1, CLIENT, 1);
        vm.expectRevert(barred);
        pool.slash(1, PROVIDER, 1);
        vm.expectRevert(barred);
        pool.unlock(PROVIDER, 1);
        vm.expectRevert(barred);
        pool.lock(PROVIDER, 1);
        vm.expectRevert(barred);
        pool.remember(PROVIDER, true);
    }

    function test_jobs_of_others_and_rules_that_cannot_be_are_refused_at_funding() external {
        refused(offer(""), abi.encodeWithSelector(Evaluators.RuleMissing.selector, 1));
        AgenticCommerce.JobOffer memory its = offer(abi.encode(aRule(Check.Juror)));
        its.evaluator = ANYONE;
        refused(its, abi.encodeWithSelector(Evaluators.NotTheEvaluator.selector, 1));
        bytes memory invalid = abi.encodeWithSelector(Rules.InvalidRule.selector);
        for (uint256 i = 0; i < 11; ++i) {
            Rule memory rule = aRule(Check.Optimistic);
            if (i == 0) rule.panel = 2;
            if (i == 1) rule.panel = 9;
            if (i == 2) rule.appeals = 4;
            if (i == 3) rule.auditBps = 99;
            if (i == 4) rule.commitTime = 4;
            if (i == 5) rule.revealTime = 7 days + 1;
            if (i == 6) rule.appealTime = 0;
            if (i == 7) rule.challengeTime = 0;
            if (i == 8) rule.fee = 1e18 + 1;
            if (i == 9) rule.commitTime = 10 minutes - 1;
            if (i == 10) rule.revealTime = 10 minutes - 1;
            refused(offer(abi.encode(rule)), invalid);
        }
        Rule memory dear = aRule(Check.Juror);
        dear.fee = 2_000_000;
        refused(
            offer(abi.encode(dear)),
            abi.encodeWithSelector(EvaluatorPool.StakeTooHigh.selector, 8_000_000, SEAT_PRICE)
        );
    }

    function refused(AgenticCommerce.JobOffer memory its, bytes memory reason) private {
        vm.prank(CLIENT);
        vm.expectRevert(reason);
        commerce.openJob(its, noPermit());
    }

    function test_the_escrows_fee_for_its_evaluator_is_the_clients() external {
        seatMany(3);
        vm.prank(ADMIN);
        commerce.setEvaluatorFee(500);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        submit(jobId, WORK);
        pass(5 minutes);
        finish(jobId);
        vm.assertEq(balanceIn(CLIENT), BUDGET / 20);
        assertSolvent();
    }

    function test_a_provider_without_its_bond_cannot_hand_in() external {
        seatMany(3);
        vm.prank(PROVIDER);
        pool.withdraw(PROVIDER, PROVIDERS - 1);
        uint256 jobId = openUnder(aRule(Check.Optimistic));
        vm.prank(PROVIDER);
        vm.expectRevert(
            abi.encodeWithSelector(EvaluatorPool.NotAvailable.selector, PROVIDER, 1, BOND)
        );
        commerce.submit(jobId, WORK, "");
    }

    // ---- arithmetic --------------------------------------------------------------------------

    function testFuzz_the_stake_makes_answering_blindly_not_pay(uint128 fee, uint16 audit)
        external
        pure
    {
        fee = uint128(bound(fee, 0, 1e18));
        audit = uint16(bound(audit, 100, 10_000));
        uint256 stake_ = Rules.stakeFor(fee, audit, fee);
        vm.assertTrue(audit * (stake_ + fee) >= uint256(fee) * 10_000, "q (S + w) < c");
        vm.assertTrue(stake_ <= 99 * uint256(fee), "a stake of more than 99 fees");
    }

    function testFuzz_weights_grow_with_the_record(uint16 agreed, uint16 more) external pure {
        uint256 voted = uint256(agreed) + more;
        uint256 weight = Rules.weightOf(agreed, voted);
        vm.assertTrue(weight >= 100 && weight <= 2944, "out of range");
        vm.assertTrue(Rules.weightOf(uint256(agreed) + 1, voted + 1) >= weight, "right costs");
        vm.assertTrue(Rules.weightOf(agreed, voted + 1) <= weight, "wrong pays");
        vm.assertEq(Rules.weightOf(0, 0), 1237);
    }
}

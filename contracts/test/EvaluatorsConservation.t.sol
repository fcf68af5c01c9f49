// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Case, Round, Stage} from "../src/evaluators/Cases.sol";
import {Check, Rule} from "../src/evaluators/Rules.sol";
import {IAgenticCommerce} from "../src/interfaces/IAgenticCommerce.sol";
import {LabourTest} from "./LabourTest.sol";

/// @dev A market day: jobs under every check, honest and dishonest evaluators, challenges and appeals,
/// people who come and go, and time that passes. Everything is tried at any time by anyone; what is
/// refused is refused, and nothing may be lost by it.
contract Courthouse is LabourTest {
    uint256 public constant EVALUATORS = 12;
    uint256 public constant MOST_JOBS = 6;

    /// All that was ever given out.
    uint256 public supply;
    /// How many cases came to a panel's verdict, so that an idle run does not pass for proof.
    uint256 public verdicts;

    constructor() {
        setUp();
        seatMany(EVALUATORS);
        supply = dollar.totalSupply();
    }

    function jobs() public view returns (uint256) {
        return commerce.jobCounter();
    }

    // ---- what people do ----------------------------------------------------------------------

    function hire(uint8 how, uint8 appeals, uint8 panel) external {
        if (jobs() >= MOST_JOBS) return;
        Rule memory rule = aRule(Check(how % 6));
        (rule.appeals, rule.panel) = (appeals % 3, 1 + 2 * (panel % 2));
        uint256 jobId = openUnder(rule);
        bool hidden = rule.check == Check.Exact || rule.check == Check.Redundant;
        bytes32 work = hidden ? sealedWork(jobId) : WORK;
        if (panel > 20) {
            attempt(PROVIDER, address(commerce), abi.encodeCall(commerce.submit, (jobId, work, "")));
        }
    }

    function handIn(uint256 jobId) external {
        attempt(
            PROVIDER, address(commerce), abi.encodeCall(commerce.submit, (any(jobId), WORK, ""))
        );
    }

    function object(uint256 jobId, bool appeal, uint8 who) external {
        address by = who % 3 == 0 ? CLIENT : who % 3 == 1 ? PROVIDER : ANYONE;
        bytes memory call = appeal
            ? abi.encodeCall(court.appeal, (any(jobId)))
            : abi.encodeCall(court.challenge, (any(jobId)));
        attempt(by, address(court), call);
    }

    /// @dev Sometimes the lot is pinned first, and sometimes its hash is lost.
    function draw(uint256 jobId, bool pinned, bool lost) external {
        nextBlock();
        if (pinned) attempt(ANYONE, address(court), abi.encodeCall(court.pin, (any(jobId))));
        if (lost) vm.roll(block.number + 300);
        attempt(ANYONE, address(court), abi.encodeCall(court.draw, (any(jobId), 0)));
    }

    /// @dev Those of the panel whose bit is set seal an answer; the others stay away.
    function sealSome(uint256 jobId, uint32 who, uint32 honest) external {
        jobId = any(jobId);
        (address[] memory panel,) = panelOf(jobId);
        for (uint256 i = 0; i < panel.length; ++i) {
            if (who >> i & 1 == 1) {
                bytes32 hidden = court.sealOf(answer(honest, i), SALT, panel[i], jobId);
                attempt(panel[i], address(court), abi.encodeCall(court.commit, (jobId, hidden)));
            }
        }
    }

    function openSome(uint256 jobId, uint32 who, uint32 honest, bool provider) external {
        jobId = any(jobId);
        (address[] memory panel,) = panelOf(jobId);
        for (uint256 i = 0; i < panel.length; ++i) {
            if (who >> i & 1 == 0) continue;
            attempt(
                panel[i],
                address(court),
                abi.encodeCall(court.reveal, (jobId, answer(honest, i), SALT))
            );
        }
        if (provider) {
            attempt(PROVIDER, address(court), abi.encodeCall(court.unseal, (jobId, WORK, SALT)));
        }
    }

    /// @dev All of a panel do what they should, so that verdicts happen.
    function judge(uint256 jobId, uint32 honest) external {
        jobId = any(jobId);
        nextBlock();
        attempt(ANYONE, address(court), abi.encodeCall(court.draw, (jobId, 0)));
        this.sealSome(jobId, type(uint32).max, honest);
        this.openSome(jobId, type(uint32).max, honest, true);
    }

    function wait(uint16 time) external {
        pass(bound(time, 1, 10 minutes));
    }

    function finishOne(uint256 jobId) external {
        jobId = any(jobId);
        bool panel = court.roundOf(jobId, 0).panel.length > 0;
        bool ok = attempt(ANYONE, address(court), abi.encodeCall(court.finish, (jobId)));
        if (ok && panel) ++verdicts;
    }

    function settleOne(uint256 jobId, uint8 round) external {
        attempt(ANYONE, address(court), abi.encodeCall(court.settle, (any(jobId), round % 4)));
    }

    function refund(uint256 jobId) external {
        attempt(ANYONE, address(commerce), abi.encodeCall(commerce.claimRefund, (any(jobId))));
    }

    function comeOrGo(uint8 who, bool come) external {
        address one = evaluator(who % EVALUATORS);
        (uint256 agentId,,,,,,) = pool.evaluatorOf(one);
        bytes memory call =
            come ? abi.encodeCall(pool.join, (agentId, 0)) : abi.encodeCall(pool.resign, ());
        attempt(one, address(pool), call);
        attempt(ANYONE, address(pool), abi.encodeCall(pool.evict, (one)));
    }

    function takeOut(uint8 who, uint256 amount) external {
        address one = person(who % people());
        attempt(one, address(pool), abi.encodeCall(pool.withdraw, (one, amount % (2 * SEAT_PRICE))));
    }

    function putIn(uint8 who, uint256 amount) external {
        address one = person(who % people());
        attempt(one, address(pool), abi.encodeCall(pool.deposit, (one, amount % SEAT_PRICE)));
    }

    // ---- what must hold ----------------------------------------------------------------------

    function people() public pure returns (uint256) {
        return EVALUATORS + 3;
    }

    function person(uint256 i) public pure returns (address) {
        if (i < EVALUATORS) return evaluator(i);
        return i == EVALUATORS ? CLIENT : i == EVALUATORS + 1 ? PROVIDER : ANYONE;
    }

    /// @dev Everything held is somebody's, to the unit; nobody answers for more than it has.
    function check() external view {
        // What is nobody's is the only money that stays.
        uint256 balances = balanceIn(court.BURNED());
        uint256 pockets = 0;
        for (uint256 i = 0; i < people(); ++i) {
            (uint128 balance, uint128 locked) = pool.accountOf(person(i));
            vm.assertTrue(locked <= balance, "more locked than there is");
            balances += balance;
            pockets += dollar.balanceOf(person(i));
        }
        vm.assertEq(pool.totalBalance(), balances);
        vm.assertEq(dollar.balanceOf(address(pool)), balances + pool.totalHeld());
        uint256 escrowed = 0;
        for (uint256 id = 1; id <= jobs(); ++id) {
            escrowed += commerce.escrowOf(id);
        }
        vm.assertEq(dollar.balanceOf(address(commerce)), escrowed);
        vm.assertEq(dollar.balanceOf(address(court)), 0);
        uint256 outside = dollar.balanceOf(payer);
        vm.assertEq(pockets + outside + balances + pool.totalHeld() + escrowed, supply);
        vm.assertTrue(pool.seatCount() <= EVALUATORS, "a seat for nobody");
    }

    /// @dev When the time is over, anyone ends every job, and nothing stays held or locked.
    function everyoneDeparts() external {
        pass(1 days);
        for (uint256 id = 1; id <= jobs(); ++id) {
            if (uint256(commerce.statusOf(id)) < 3) {
                attempt(ANYONE, address(court), abi.encodeCall(court.finish, (id)));
            }
            if (uint256(commerce.statusOf(id)) < 3) commerce.claimRefund(id);
            attempt(ANYONE, address(court), abi.encodeCall(court.finish, (id)));
            vm.assertTrue(stageOf(id) == Stage.Closed, "a case hangs");
            vm.assertTrue(uint256(commerce.statusOf(id)) >= 3, "a job hangs");
            for (uint256 i = 0; i < 4; ++i) {
                attempt(ANYONE, address(court), abi.encodeCall(court.settle, (id, i)));
            }
        }
        pass(1 days);
        vm.assertEq(pool.totalHeld(), 0);
        for (uint256 i = 0; i < people(); ++i) {
            address one = person(i);
            (uint256 agentId,, uint48 seat_,,,,) = pool.evaluatorOf(one);
            if (agentId != 0 && seat_ != 0) {
                vm.prank(one);
                pool.resign();
            }
        }
        pass(1 days);
        for (uint256 i = 0; i < people(); ++i) {
            address one = person(i);
            (uint128 balance, uint128 locked) = pool.accountOf(one);
            vm.assertEq(locked, 0);
            if (balance == 0) continue;
            vm.prank(one);
            pool.withdraw(one, balance);
        }
        vm.assertEq(dollar.balanceOf(address(pool)), balanceIn(court.BURNED()));
        vm.assertEq(dollar.balanceOf(address(commerce)), 0);
    }

    // ---- within ------------------------------------------------------------------------------

    function any(uint256 seed) private view returns (uint256) {
        return jobs() == 0 ? 1 : 1 + seed % jobs();
    }

    function panelOf(uint256 jobId) private view returns (address[] memory panel, uint256 round) {
        round = court.caseOf(jobId).round;
        panel = court.roundOf(jobId, round).panel;
    }

    function answer(uint32 honest, uint256 i) private pure returns (bytes32) {
        return honest >> i & 1 == 1 ? WORK : honest >> i & 2 == 2 ? OTHER : ACCEPT;
    }

    function attempt(address who, address where, bytes memory call) private returns (bool ok) {
        vm.prank(who);
        (ok,) = where.call(call);
    }
}

contract EvaluatorsConservationTest is LabourTest {
    Courthouse private house;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public override {
        house = new Courthouse();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(house);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](14);
        selectors[0] = house.hire.selector;
        selectors[1] = house.handIn.selector;
        selectors[2] = house.object.selector;
        selectors[3] = house.draw.selector;
        selectors[4] = house.sealSome.selector;
        selectors[5] = house.openSome.selector;
        selectors[6] = house.wait.selector;
        selectors[7] = house.finishOne.selector;
        selectors[8] = house.settleOne.selector;
        selectors[9] = house.refund.selector;
        selectors[10] = house.comeOrGo.selector;
        selectors[11] = house.takeOut.selector;
        selectors[12] = house.putIn.selector;
        selectors[13] = house.judge.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(house), selectors);
    }

    function invariant_everything_held_is_somebodys() external view {
        house.check();
    }

    function afterInvariant() external {
        house.everyoneDeparts();
    }

    /// @dev The courthouse itself comes to verdicts: what holds above is not for want of any.
    function test_the_courthouse_judges() external {
        house.hire(0, 1, 21);
        house.judge(0, type(uint32).max);
        house.wait(type(uint16).max);
        house.wait(599);
        house.finishOne(0);
        vm.assertEq(house.verdicts(), 1);
        house.check();
        house.everyoneDeparts();
    }
}

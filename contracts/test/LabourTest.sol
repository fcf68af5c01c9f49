// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AgenticCommerce} from "../src/AgenticCommerce.sol";
import {EvaluatorPool} from "../src/EvaluatorPool.sol";
import {Evaluators} from "../src/Evaluators.sol";
import {IdentityRegistry} from "../src/IdentityRegistry.sol";
import {ReputationRegistry} from "../src/ReputationRegistry.sol";
import {ValidationRegistry} from "../src/ValidationRegistry.sol";
import {Case, Round, Stage} from "../src/evaluators/Cases.sol";
import {Check, Rule} from "../src/evaluators/Rules.sol";
import {IAgenticCommerce} from "../src/interfaces/IAgenticCommerce.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev The labour market's contracts, a client, a provider, and a pool of evaluators.
abstract contract LabourTest is DollarTest {
    address internal constant ADMIN = address(0xAD314);
    address internal constant TREASURY = address(0x72EA5);
    address internal constant CLIENT = address(0xC11E47);
    address internal constant PROVIDER = address(0x920714E2);
    address internal constant ANYONE = address(0xB0B);
    uint256 internal constant PURSE = 1_000_000_000;
    uint256 internal constant SEAT_PRICE = 1_000_000;
    uint256 internal constant BUDGET = 100_000;
    uint128 internal constant FEE = 1000;
    /// With an audit rate of a fifth, 1000 / 0.2 - 1000.
    uint256 internal constant STAKE = 4000;
    bytes32 internal constant WORK = keccak256("the work");
    bytes32 internal constant OTHER = keccak256("other work");
    bytes32 internal constant SALT = keccak256("salt");
    bytes32 internal constant ACCEPT = bytes32(uint256(1));
    bytes32 internal constant REJECT = bytes32(uint256(2));

    IdentityRegistry internal identity;
    ReputationRegistry internal reputation;
    ValidationRegistry internal validation;
    AgenticCommerce internal commerce;
    EvaluatorPool internal pool;
    Evaluators internal court;

    function setUp() public virtual override {
        super.setUp();
        vm.roll(1000);
        identity = new IdentityRegistry();
        reputation = new ReputationRegistry(address(identity));
        validation = new ValidationRegistry(address(identity));
        uint256 nonce = vm.getNonce(address(this));
        address foretold = vm.computeCreateAddress(address(this), nonce + 2);
        commerce = new AgenticCommerce(ADMIN, TREASURY, foretold);
        pool = new EvaluatorPool(foretold, address(dollar), address(identity), SEAT_PRICE);
        court = new Evaluators(
            address(commerce), address(pool), address(reputation), address(validation)
        );
        vm.assertEq(address(court), foretold);
        enrich(CLIENT);
        enrich(PROVIDER);
        enrich(ANYONE);
        stake(PROVIDER, 100_000);
    }

    // ---- people ------------------------------------------------------------------------------

    function enrich(address who) internal {
        vm.prank(MINTER);
        dollar.mint(who, PURSE);
        vm.prank(who);
        dollar.approve(address(commerce), type(uint256).max);
        vm.prank(who);
        dollar.approve(address(pool), type(uint256).max);
    }

    function stake(address who, uint256 amount) internal {
        vm.prank(who);
        pool.deposit(who, amount);
    }

    function evaluator(uint256 i) internal pure returns (address) {
        return address(uint160(0xE7A10000 + i));
    }

    function ownerOf(uint256 i) internal pure returns (address) {
        return address(uint160(0x0E7A0000 + i));
    }

    /// @dev An agent of `owner`'s takes a seat with `who` for a wallet.
    function seat(address who, address owner) internal {
        enrich(who);
        stake(who, SEAT_PRICE);
        uint256 agent = agentOf(owner);
        vm.prank(owner);
        identity.approve(who, agent);
        vm.prank(who);
        pool.join(agent, 0);
    }

    function agentOf(address owner) internal returns (uint256 agent) {
        vm.prank(owner);
        agent = identity.register();
    }

    function seatMany(uint256 count) internal {
        for (uint256 i = 0; i < count; ++i) {
            seat(evaluator(i), ownerOf(i));
        }
        nextBlock();
    }

    function nextBlock() internal {
        vm.roll(block.number + 1);
        vm.setBlockhash(block.number - 1, keccak256(abi.encode("block", block.number - 1)));
    }

    function pass(uint256 time) internal {
        vm.warp(block.timestamp + time);
        nextBlock();
    }

    // ---- jobs --------------------------------------------------------------------------------

    function aRule(Check check) internal pure returns (Rule memory) {
        return Rule({
            check: check,
            panel: 3,
            appeals: 2,
            auditBps: 2000,
            challengeTime: 5 minutes,
            commitTime: 10 minutes,
            revealTime: 10 minutes,
            appealTime: 1 minutes,
            fee: FEE,
            bond: 20_000,
            lotSecret: 0,
            criteria: keccak256("criteria"),
            clientAgentId: 0
        });
    }

    function offer(bytes memory optParams) internal view returns (AgenticCommerce.JobOffer memory) {
        return AgenticCommerce.JobOffer({
            provider: PROVIDER,
            evaluator: address(court),
            expiredAt: block.timestamp + 6 hours,
            description: "a job",
            hook: address(court),
            providerAgentId: 0,
            token: address(dollar),
            budget: BUDGET,
            optParams: optParams
        });
    }

    function noPermit() internal pure returns (AgenticCommerce.Permit memory permit) {}

    function open(AgenticCommerce.JobOffer memory its) internal returns (uint256 jobId) {
        vm.prank(CLIENT);
        jobId = commerce.openJob(its, noPermit());
    }

    function openUnder(Rule memory rule) internal returns (uint256 jobId) {
        jobId = open(offer(abi.encode(rule)));
    }

    /// @dev The work, as it is handed in where evaluators do it again.
    function sealedWork(uint256 jobId) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(WORK, SALT, PROVIDER, jobId));
    }

    function submit(uint256 jobId, bytes32 deliverable) internal {
        vm.prank(PROVIDER);
        commerce.submit(jobId, deliverable, "");
    }

    function drawn(uint256 jobId) internal returns (address[] memory panel) {
        nextBlock();
        court.draw(jobId, 0);
        panel = court.roundOf(jobId, court.caseOf(jobId).round).panel;
    }

    function seal(uint256 jobId, address who, bytes32 answer) internal {
        bytes32 hidden = keccak256(abi.encodePacked(answer, SALT, who, jobId));
        vm.prank(who);
        court.commit(jobId, hidden);
    }

    function unfold(uint256 jobId, address who, bytes32 answer) internal {
        vm.prank(who);
        court.reveal(jobId, answer, SALT);
    }

    /// @dev All of a panel seal and open: the first `dissenters` say the one, the rest the other.
    function vote(
        uint256 jobId,
        address[] memory panel,
        uint256 dissenters,
        bytes32 theirs,
        bytes32 others
    ) internal {
        for (uint256 i = 0; i < panel.length; ++i) {
            seal(jobId, panel[i], i < dissenters ? theirs : others);
        }
        for (uint256 i = 0; i < panel.length; ++i) {
            unfold(jobId, panel[i], i < dissenters ? theirs : others);
        }
    }

    function finish(uint256 jobId) internal {
        vm.prank(ANYONE);
        court.finish(jobId);
    }

    function stageOf(uint256 jobId) internal view returns (Stage) {
        return court.caseOf(jobId).stage;
    }

    function assertStatus(uint256 jobId, IAgenticCommerce.JobStatus status) internal view {
        vm.assertEq(uint256(commerce.statusOf(jobId)), uint256(status));
    }

    function balanceIn(address who) internal view returns (uint256 balance) {
        (uint128 its,) = pool.accountOf(who);
        balance = its;
    }

    function lockedIn(address who) internal view returns (uint256 locked) {
        (, uint128 its) = pool.accountOf(who);
        locked = its;
    }

    /// @dev Whatever happened, the pool has what it owes, and a closed case holds nothing.
    function assertSolvent() internal view {
        vm.assertTrue(
            dollar.balanceOf(address(pool)) >= pool.totalBalance() + pool.totalHeld(),
            "the pool owes more than it has"
        );
        vm.assertEq(dollar.balanceOf(address(court)), 0);
    }
}

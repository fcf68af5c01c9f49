// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {EvaluatorPool} from "./EvaluatorPool.sol";
import {ReputationRegistry} from "./ReputationRegistry.sol";
import {ValidationRegistry} from "./ValidationRegistry.sol";
import {Case, Round, Stage, Vote} from "./evaluators/Cases.sol";
import {Check, Rule, Rules} from "./evaluators/Rules.sol";
import {IAgenticCommerce} from "./interfaces/IAgenticCommerce.sol";
import {IERC8183Hook} from "./interfaces/IERC8183Hook.sol";
import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";

/// @title Evaluators that nobody chooses
/// @notice In ERC-8183 one address judges a job. If provider and evaluator are one person, the client
/// is robbed; if client and evaluator are, the provider is. Here the judge is this contract, and
/// whoever judges for it is drawn by lot, after the work is in, from a pool of evaluators who staked
/// money on being right.
/// @dev A job names this contract twice, as its evaluator and as its hook. Its client hands the
/// job's `Rule` to `fund`, encoded, as `optParams`. From there:
///
/// - The provider hands work in by `submit`, which locks its bond. Under `Optimistic` the work is
///   good when `challengeTime` passed and nobody challenged it.
/// - Else, or if someone did, a panel is announced, and in a later block anyone draws it: distinct
///   evaluators of distinct owners, never the parties, nor whom the identity registry shows to be
///   the parties' owners or theirs, nor who challenged or appealed.
/// - The panel seals its answers, then opens them. The side with more weight wins.
/// - Anyone may appeal, for a bond that grows, to a panel of twice the size and one, as often as the
///   rule allows.
/// - Anyone carries the verdict out by `finish`: the job is completed or rejected, evaluators who were
///   with the final verdict are paid, those who were against it or did not come lose their stake.
///
/// Without a verdict (a tie, nobody came, no panel to be had) the job is rejected: money moves to the
/// provider only on a check's word. Under `Optimistic` silence is that word, also if a challenge finds
/// no panel; and a client that keeps the lot's secret to itself has accepted. All of it takes at most `Rules.longest` seconds from `submit`,
/// which is refused if the client could have its money back before.
///
/// The lot is the hash of the block of the announcement, with a secret of the client's if the rule
/// has one; docs/decisions/0015 says what that is worth on which chain.
contract Evaluators is ReentrancyGuardTransient, IERC8183Hook {
    using SafeERC20 for IERC20;

    /// @notice The answer that work is good, where the check asks for a verdict.
    bytes32 public constant ACCEPT = bytes32(uint256(1));

    /// @notice The reason that a job is completed or rejected for by a panel's verdict, or by silence:
    /// nobody challenged, no panel could be drawn for who did, or the client kept its secret.
    bytes32 public constant REASON_VERDICT = "verdict";
    bytes32 public constant REASON_UNCHALLENGED = "unchallenged";
    /// @notice The reason that a job is rejected for because no panel came to a verdict.
    bytes32 public constant REASON_UNDECIDED = "undecided";

    /// @notice Whose balance in the pool is what evaluators lose and no colleague or appellant of
    /// theirs is due. Nobody has its key, so nobody gains by a case that makes evaluators lose.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;

    /// @dev As the escrow has it: how long work that was handed in can be evaluated at least.
    uint256 private constant GRACE_TIME = 1 hours;

    /// @dev The mark of good work, in the validation registry and as feedback.
    uint8 private constant FULL_MARK = 100;

    /// @notice The escrow of jobs whose evaluator this is.
    IAgenticCommerce public immutable commerce;

    /// @notice Where this contract says how jobs ended (ERC-8004).
    ReputationRegistry public immutable reputation;
    ValidationRegistry public immutable validation;

    /// @notice Keeps all money of cases, and draws panels.
    EvaluatorPool public immutable pool;

    /// @notice The ERC-20 that jobs and evaluators are paid in.
    IERC20 public immutable token;

    /// @notice Where agents are registered (ERC-8004).
    IIdentityRegistry public immutable identity;

    mapping(uint256 jobId => Case) private _cases;
    mapping(uint256 jobId => mapping(uint256 round => Round)) private _rounds;
    mapping(uint256 jobId => mapping(uint256 round => mapping(address evaluator => Vote))) private
        _votes;
    mapping(uint256 jobId => bool) private _published;

    /// @notice A job is under a rule from now on.
    event RuleSet(uint256 indexed jobId, address indexed client, Check check, Rule rule);
    /// @notice Work is in; unless challenged until `deadline` (0: a panel is drawn anyway) it is good.
    event WorkSubmitted(
        uint256 indexed jobId, address indexed provider, bytes32 deliverable, uint256 deadline
    );
    /// @notice Someone put money on work being bad.
    event Challenged(uint256 indexed jobId, address indexed challenger, uint256 bond);
    /// @notice A panel of `size` can be drawn in any later block, until `deadline`.
    event PanelAnnounced(
        uint256 indexed jobId, uint256 indexed round, uint256 size, uint256 deadline
    );
    /// @notice The lot of the announced panel is kept, and is this.
    event LotPinned(uint256 indexed jobId, uint256 indexed round, bytes32 lot);
    /// @notice This panel was drawn, and seals its answers until `deadline`.
    event PanelDrawn(
        uint256 indexed jobId, uint256 indexed round, address[] panel, uint256 deadline
    );
    /// @notice An evaluator sealed its answer.
    event Committed(uint256 indexed jobId, uint256 indexed round, address indexed evaluator);
    /// @notice An evaluator, or the provider, opened its answer.
    event Revealed(
        uint256 indexed jobId, uint256 indexed round, address indexed who, bytes32 answer
    );
    /// @notice A round is over; if it `decided`, its verdict is the case's.
    event RoundEnded(
        uint256 indexed jobId,
        uint256 indexed round,
        bool decided,
        bool accepted,
        uint256 weightFor,
        uint256 weightAgainst
    );
    /// @notice Someone put money on a verdict being wrong.
    event Appealed(
        uint256 indexed jobId, uint256 indexed round, address indexed appellant, uint256 bond
    );
    /// @notice A case is over.
    event CaseClosed(uint256 indexed jobId, bool decided, bool accepted);
    /// @notice How a job ended was written to the registries.
    event Published(uint256 indexed jobId, uint256 indexed agentId, uint8 mark);

    /// @notice The caller is not the escrow.
    error CommerceOnly(address caller);
    /// @notice The job has another evaluator; as its hook this contract must be its evaluator too.
    error NotTheEvaluator(uint256 jobId);
    /// @notice The job is paid in another token.
    error WrongToken(address token);
    /// @notice The job was not funded under a rule.
    error RuleMissing(uint256 jobId);
    /// @notice The check takes `longest` seconds, and the client could have its money back before.
    error TooLate(uint256 jobId, uint256 longest, uint256 expiredAt);
    /// @notice So few evaluators could be drawn now, which is no majority of a panel.
    error NoPanel(uint256 jobId, uint256 found);
    /// @notice Not now: the case is at another stage.
    error WrongStage(uint256 jobId, Stage stage);
    /// @notice The provider cannot challenge its own work.
    error ProviderCannotChallenge();
    /// @notice The panel can be drawn in a later block only.
    error TooEarly(uint256 announced);
    /// @notice The announced block's hash is lost, and the panel announced anew not before `from`.
    error LotLost(uint256 from);
    /// @notice That is not the client's secret, which the rule says goes into the lot.
    error WrongSecret();
    /// @notice The caller is not on the panel.
    error NotOnPanel(uint256 jobId, address caller);
    /// @notice The answer was sealed before, or opened before, or the seal is empty.
    error AlreadyDone();
    /// @notice The answer does not fit its seal.
    error WrongSeal();
    /// @notice The round's case is not closed, or it was settled before.
    error NothingToSettle();
    /// @notice There is nothing to tell the registries, or it was told before.
    error NothingToPublish();

    constructor(address commerce_, address pool_, address reputation_, address validation_) {
        commerce = IAgenticCommerce(commerce_);
        pool = EvaluatorPool(pool_);
        reputation = ReputationRegistry(reputation_);
        validation = ValidationRegistry(validation_);
        token = pool.token();
        identity = pool.identity();
    }

    // ---- what the escrow tells ---------------------------------------------------------------

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return
            interfaceId == type(IERC8183Hook).interfaceId
                || interfaceId == type(IERC165).interfaceId;
    }

    /// @notice At funding, takes in the job's rule and the first panel's fees; at submission, takes in
    /// the work and locks the provider's bond. All else it lets pass.
    function beforeAction(uint256 jobId, bytes4 selector, bytes calldata data) external {
        require(msg.sender == address(commerce), CommerceOnly(msg.sender));
        if (selector == IAgenticCommerce.fund.selector) {
            (address client, bytes memory optParams) = abi.decode(data, (address, bytes));
            _agree(jobId, client, optParams);
        } else if (selector == IAgenticCommerce.submit.selector) {
            (address provider, bytes32 deliverable,) = abi.decode(data, (address, bytes32, bytes));
            _receive(jobId, provider, deliverable);
        }
    }

    /// @notice Does nothing.
    function afterAction(uint256, bytes4, bytes calldata) external view {
        require(msg.sender == address(commerce), CommerceOnly(msg.sender));
    }

    // ---- what people do ----------------------------------------------------------------------

    /// @notice Puts money on work being bad, so that a panel decides.
    function challenge(uint256 jobId) external nonReentrant {
        Case storage c = _at(jobId, Stage.Challengeable);
        require(msg.sender != c.provider, ProviderCannotChallenge());
        uint256 bond = Rules.bondOf(c.rule.fee, c.rule.panel, 0);
        c.challenger = msg.sender;
        emit Challenged(jobId, msg.sender, bond);
        _open(jobId, c, 0, msg.sender, bond);
    }

    /// @notice Keeps the lot of the panel that was announced, which a block's hash is, readable for 256
    /// blocks only: then the panel cannot be announced anew. Anyone who fears that someone waits for
    /// a better one calls it; it needs no secret.
    function pin(uint256 jobId) external nonReentrant {
        Case storage c = _at(jobId, Stage.Drawing);
        require(block.number > c.announced, TooEarly(c.announced));
        bytes32 lot = blockhash(c.announced);
        require(lot != 0 && c.lot == 0, AlreadyDone());
        c.lot = lot;
        emit LotPinned(jobId, c.round, lot);
    }

    /// @notice Draws the panel that was announced. `secret` is the client's, whose hash is in the
    /// rule; without it the first panel cannot be drawn, and a client that keeps it until the
    /// deadline has accepted the work. Too late for the block's hash, which nobody pinned, it announces
    /// the panel anew, once, in the second half of the time; too late again, there is no panel.
    function draw(uint256 jobId, bytes32 secret) external nonReentrant {
        Case storage c = _at(jobId, Stage.Drawing);
        require(block.number > c.announced, TooEarly(c.announced));
        if (c.round == 0 && c.rule.lotSecret != 0) {
            require(keccak256(abi.encode(secret)) == c.rule.lotSecret, WrongSecret());
        } else {
            secret = 0;
        }
        bytes32 lot = c.lot;
        if (lot == 0) lot = blockhash(c.announced);
        if (lot != 0) {
            _seat(jobId, c, keccak256(abi.encode(lot, jobId, c.round, secret)));
        } else if (c.again) {
            _endWithoutPanel(jobId, c, block.timestamp, false);
        } else {
            uint256 from = c.roundAt + Rules.DRAW_TIME / 2;
            require(block.timestamp >= from, LotLost(from));
            (c.announced, c.again) = (uint64(block.number), true);
            emit PanelAnnounced(jobId, c.round, Rules.panelOf(c.rule.panel, c.round), c.deadline);
        }
    }

    /// @notice Seals the caller's answer: `sealOf` it, with a salt that nobody can guess.
    function commit(uint256 jobId, bytes32 seal) external nonReentrant {
        Case storage c = _at(jobId, Stage.Committing);
        Vote storage vote = _voteOf(jobId, c.round);
        require(vote.seal == 0 && seal != 0, AlreadyDone());
        vote.seal = seal;
        ++_rounds[jobId][c.round].committed;
        emit Committed(jobId, c.round, msg.sender);
    }

    /// @notice Opens the caller's answer, once all are sealed or the time for it is over.
    function reveal(uint256 jobId, bytes32 answer, bytes32 salt) external nonReentrant {
        Case storage c = _at(jobId, Stage.Revealing);
        Vote storage vote = _voteOf(jobId, c.round);
        require(!vote.revealed, AlreadyDone());
        require(vote.seal == sealOf(answer, salt, msg.sender, jobId), WrongSeal());
        _reveal(jobId, c.round, vote, answer);
    }

    /// @notice Answers at once, for an evaluator who is alone on its panel and so hides nothing.
    function decide(uint256 jobId, bytes32 answer) external nonReentrant {
        Case storage c = _at(jobId, Stage.Committing);
        Vote storage vote = _voteOf(jobId, c.round);
        Round storage round = _rounds[jobId][c.round];
        require(round.panel.length == 1, WrongStage(jobId, c.stage));
        require(vote.seal == 0, AlreadyDone());
        vote.seal = sealOf(answer, 0, msg.sender, jobId);
        ++round.committed;
        _reveal(jobId, c.round, vote, answer);
    }

    /// @notice Opens what the provider handed in sealed, once the evaluators' answers are sealed.
    /// Anyone who knows answer and salt may.
    function unseal(uint256 jobId, bytes32 answer, bytes32 salt) external nonReentrant {
        Case storage c = _at(jobId, Stage.Revealing);
        require(_isSealed(c), AlreadyDone());
        require(c.deliverable == sealOf(answer, salt, c.provider, jobId), WrongSeal());
        c.answer = answer;
        emit Revealed(jobId, c.round, c.provider, answer);
    }

    /// @notice Puts money on the verdict being wrong, so that a larger panel decides.
    function appeal(uint256 jobId) external nonReentrant {
        Case storage c = _at(jobId, Stage.Decided);
        uint8 next = c.round + 1;
        uint256 bond = Rules.bondOf(c.rule.fee, c.rule.panel, next);
        emit Appealed(jobId, next, msg.sender, bond);
        _open(jobId, c, next, msg.sender, bond);
    }

    /// @notice Carries a final verdict out, or winds up the case of a job that ended without one. Pays
    /// the first panel; the panels of appeals are paid by `settle`.
    function finish(uint256 jobId) external nonReentrant {
        Case storage c = _advanced(jobId);
        require(c.stage != Stage.None && c.stage != Stage.Closed, WrongStage(jobId, c.stage));
        bool running = commerce.statusOf(jobId) == IAgenticCommerce.JobStatus.Submitted;
        if (c.stage != Stage.Final) {
            // Only the end of the job itself ends a case before its verdict.
            require(!_isUnderWay(jobId), WrongStage(jobId, c.stage));
            (c.decided, c.accepted, c.judged) = (false, false, false);
        }
        c.stage = Stage.Closed;
        emit CaseClosed(jobId, c.decided, c.accepted);
        if (running) _carryOut(jobId, c);
        _resolveBonds(jobId, c);
        if (_rounds[jobId][0].payer != address(0)) _settle(jobId, c, 0);
    }

    /// @notice Pays and slashes the panel of a round, once its case is closed.
    function settle(uint256 jobId, uint256 round) external nonReentrant {
        Case storage c = _cases[jobId];
        Round storage r = _rounds[jobId][round];
        require(c.stage == Stage.Closed && !r.settled && r.payer != address(0), NothingToSettle());
        _settle(jobId, c, round);
    }

    /// @notice Writes how a job ended to the registries of ERC-8004, if a panel decided it and the
    /// provider spoke for the agent that the job names: as feedback by this contract, and as the
    /// answer to the agent's validation request named `requestOf`, if there is one. An owner can make
    /// this contract its operator, whose feedback the registry refuses; `CaseClosed` tells anyway.
    function publish(uint256 jobId) external nonReentrant {
        Case storage c = _cases[jobId];
        require(c.stage == Stage.Closed && c.judged && !_published[jobId], NothingToPublish());
        // Silence is no check, and costs nothing to come by; nor does a panel that costs nothing.
        require(c.counts && c.providerAgentId != 0, NothingToPublish());
        _published[jobId] = true;
        uint8 mark = c.accepted ? FULL_MARK : 0;
        bytes32 request = requestOf(jobId, c.deliverable);
        string memory check = Rules.nameOf(c.rule.check);
        emit Published(jobId, c.providerAgentId, mark);
        reputation.giveFeedback(
            c.providerAgentId, int128(uint128(mark)), 0, check, "erc8183", "", "", request
        );
        try validation.getValidationStatus(request) returns (
            address validator, uint256 agentId, uint8, bytes32, string memory, uint256
        ) {
            if (validator == address(this) && agentId == c.providerAgentId) {
                validation.validationResponse(request, mark, "", c.deliverable, check);
            }
        } catch {}
    }

    // ---- what can be asked -------------------------------------------------------------------

    /// @notice The case of a job, as it was when something last happened to it.
    function caseOf(uint256 jobId) external view returns (Case memory) {
        return _cases[jobId];
    }

    /// @notice One round of a case.
    function roundOf(uint256 jobId, uint256 round) external view returns (Round memory) {
        return _rounds[jobId][round];
    }

    /// @notice One evaluator's part in a round.
    function voteOf(uint256 jobId, uint256 round, address evaluator)
        external
        view
        returns (Vote memory)
    {
        return _votes[jobId][round][evaluator];
    }

    /// @notice What a rule comes to, before it is used: the first panel's fees, to be brought at
    /// funding (none under `Optimistic`), an evaluator's stake, what challenging and the first appeal
    /// cost, and how many seconds a verdict takes at most. Reverts if the rule cannot be.
    function termsOf(Rule memory rule)
        external
        view
        returns (
            uint256 bounty,
            uint256 stake,
            uint256 challengeBond,
            uint256 appealBond,
            uint256 longest
        )
    {
        return pool.termsOf(rule);
    }

    /// @notice The seal of an answer: keccak256(answer ‖ salt ‖ who ‖ jobId), each 32 bytes but the
    /// address, 20. It binds who answers, so that copying it is of no use.
    function sealOf(bytes32 answer, bytes32 salt, address who, uint256 jobId)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(answer, salt, who, jobId));
    }

    /// @notice The hash that names a job in the validation registry: keccak256 of the chain's id, the
    /// escrow, the job's number and what is handed in, each in 32 bytes. A hash is given there to who
    /// asks first; who asks before handing in is the only one who knows this one.
    function requestOf(uint256 jobId, bytes32 deliverable) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, commerce, jobId, deliverable));
    }

    // ---- the beginning of a case -------------------------------------------------------------

    function _agree(uint256 jobId, address client, bytes memory optParams) private {
        IAgenticCommerce.Job memory job = commerce.getJob(jobId);
        require(job.evaluator == address(this), NotTheEvaluator(jobId));
        require(job.paymentToken == address(token), WrongToken(job.paymentToken));
        require(optParams.length > 0, RuleMissing(jobId));
        Rule memory rule = abi.decode(optParams, (Rule));

        Case storage c = _cases[jobId];
        uint256 bounty;
        (bounty, c.stake,,, c.longest) = pool.termsOf(rule);
        c.rule = rule;
        c.client = client;
        c.provider = job.provider;
        if (_speaksFor(client, rule.clientAgentId)) {
            c.clientOwner = identity.ownerOf(rule.clientAgentId);
        }
        if (_speaksFor(job.provider, job.providerAgentId)) {
            c.providerAgentId = job.providerAgentId;
            c.providerOwner = identity.ownerOf(job.providerAgentId);
        }
        c.counts = c.stake > 0 && rule.fee >= pool.leastFeeOfRecord();
        c.expiredAt = job.expiredAt;
        c.stage = Stage.Agreed;
        emit RuleSet(jobId, client, rule.check, rule);
        if (rule.check != Check.Optimistic) _fill(jobId, 0, client, bounty, 0);
    }

    function _receive(uint256 jobId, address provider, bytes32 deliverable) private {
        Case storage c = _cases[jobId];
        require(c.stage == Stage.Agreed, RuleMissing(jobId));
        // The client can have its money back at the later of the two times that the escrow knows.
        uint256 longest = c.longest;
        uint256 refundable = block.timestamp + GRACE_TIME;
        if (c.expiredAt > refundable) refundable = c.expiredAt;
        require(block.timestamp + longest <= refundable, TooLate(jobId, longest, c.expiredAt));
        if (c.rule.bond > 0) {
            pool.lock(provider, c.rule.bond);
            c.bondLocked = true;
        }
        c.deliverable = deliverable;
        if (!_comesSealed(c.rule.check)) c.answer = deliverable;
        // Work that no panel could judge now is not taken: it can be handed in when one can. The lot is
        // not this one, so that it can be foreseen does no harm.
        bytes32 trial = keccak256(abi.encode(jobId, block.number, block.timestamp));
        uint256 size = c.rule.panel;
        uint256 found = _lot(jobId, c, trial, block.number, size).length;
        require(found > size / 2, NoPanel(jobId, found));
        if (c.rule.check == Check.Optimistic) {
            c.stage = Stage.Challengeable;
            c.deadline = uint64(block.timestamp + c.rule.challengeTime);
            emit WorkSubmitted(jobId, provider, deliverable, c.deadline);
        } else {
            emit WorkSubmitted(jobId, provider, deliverable, 0);
            _announce(jobId, c, 0);
        }
    }

    // ---- panels ------------------------------------------------------------------------------

    /// @dev Opens a round that `payer` pays by a bond, half of it the panel's fees.
    function _open(uint256 jobId, Case storage c, uint8 round, address payer, uint256 bond)
        private
    {
        Round storage r = _rounds[jobId][round];
        (r.decidedBefore, r.acceptedBefore) = (c.decided, c.accepted);
        _announce(jobId, c, round);
        _fill(jobId, round, payer, bond / 2, bond - bond / 2);
    }

    /// @dev Takes a round's money in.
    function _fill(uint256 jobId, uint256 round, address payer, uint256 pot, uint256 margin)
        private
    {
        Round storage r = _rounds[jobId][round];
        r.payer = payer;
        // A bond is some fees, and they are bounded.
        // forge-lint: disable-next-line(unsafe-typecast)
        (r.pot, r.margin) = (uint128(pot), uint128(margin));
        if (pot + margin > 0) pool.charge(jobId, payer, pot + margin);
    }

    function _announce(uint256 jobId, Case storage c, uint8 round) private {
        c.stage = Stage.Drawing;
        c.round = round;
        c.roundAt = uint64(block.timestamp);
        c.deadline = uint64(block.timestamp + Rules.DRAW_TIME);
        (c.announced, c.again, c.lot) = (uint64(block.number), false, 0);
        emit PanelAnnounced(jobId, round, Rules.panelOf(c.rule.panel, round), c.deadline);
    }

    /// @dev Draws a panel by this seed from the pool as it was at the announcement, and makes it
    /// answer with its stake. A panel that is too small is none: most of the first one's places must
    /// be taken, and an appeal's must be larger than the one before.
    function _seat(uint256 jobId, Case storage c, bytes32 seed) private {
        uint256 size = Rules.panelOf(c.rule.panel, c.round);
        uint256 stake = c.stake;
        address[] memory panel = _lot(jobId, c, seed, c.announced, size);
        uint256 least = size / 2 + 1;
        if (c.round > 0) least = _rounds[jobId][c.round - 1].panel.length + 1;
        if (panel.length < least) {
            _endWithoutPanel(jobId, c, block.timestamp, false);
            return;
        }
        uint32[] memory weights = pool.lockPanel(panel, stake);
        for (uint256 i = 0; i < panel.length; ++i) {
            _votes[jobId][c.round][panel[i]].weight = weights[i];
        }
        _rounds[jobId][c.round].panel = panel;
        c.stage = Stage.Committing;
        c.deadline = uint64(block.timestamp + c.rule.commitTime);
        emit PanelDrawn(jobId, c.round, panel, c.deadline);
    }

    function _lot(uint256 jobId, Case storage c, bytes32 seed, uint256 blockNumber, uint256 size)
        private
        view
        returns (address[] memory)
    {
        return pool.throwLot(seed, blockNumber, size, c.stake, c.rule.fee, _barred(jobId, c));
    }

    /// @dev Who cannot judge, nor who is owned by them: the parties, who owned their agents when the
    /// rule was set, the agents' wallets, who challenged, and who paid for the round.
    function _barred(uint256 jobId, Case storage c)
        private
        view
        returns (address[8] memory barred)
    {
        (barred[0], barred[1]) = (c.client, c.provider);
        (barred[2], barred[7]) = (_rounds[jobId][c.round].payer, c.challenger);
        if (c.clientOwner != address(0)) {
            barred[3] = c.clientOwner;
            barred[4] = identity.getAgentWallet(c.rule.clientAgentId);
        }
        if (c.providerOwner != address(0)) {
            barred[5] = c.providerOwner;
            barred[6] = identity.getAgentWallet(c.providerAgentId);
        }
    }

    /// @dev Whether this is the agent's wallet, or its owner or one of the owner's operators. False
    /// for an agent that is not there.
    function _speaksFor(address who, uint256 agentId) private view returns (bool) {
        if (agentId == 0) return false;
        try identity.isAuthorizedOrOwner(who, agentId) returns (bool speaks) {
            return speaks || identity.getAgentWallet(agentId) == who;
        } catch {
            return false;
        }
    }

    // ---- stages ------------------------------------------------------------------------------

    /// @dev The case, brought up to the time, if it then is at this stage.
    function _at(uint256 jobId, Stage stage) private returns (Case storage c) {
        c = _advanced(jobId);
        require(c.stage == stage, WrongStage(jobId, c.stage));
    }

    /// @dev Brings a case up to the time. Each stage ends when it is done, or at its deadline, and the
    /// next one begins then, whoever noticed it when.
    function _advanced(uint256 jobId) private returns (Case storage c) {
        c = _cases[jobId];
        if (c.stage == Stage.Challengeable && block.timestamp >= c.deadline) {
            (c.decided, c.accepted, c.stage) = (true, true, Stage.Final);
        }
        if (c.stage == Stage.Drawing && block.timestamp >= c.deadline) {
            _endWithoutPanel(jobId, c, c.deadline, c.rule.lotSecret != 0);
        }
        if (c.stage == Stage.Committing) {
            Round storage r = _rounds[jobId][c.round];
            bool done = r.committed == r.panel.length;
            if (done || block.timestamp >= c.deadline) {
                uint64 from = done ? _earlier(c.deadline) : c.deadline;
                (c.stage, c.deadline) = (Stage.Revealing, from + c.rule.revealTime);
            }
        }
        if (c.stage == Stage.Revealing) {
            Round storage r = _rounds[jobId][c.round];
            bool done = r.revealed == r.committed && !_isSealed(c);
            if (done || block.timestamp >= c.deadline) {
                _count(jobId, c, done ? _earlier(c.deadline) : c.deadline);
            }
        }
        if (c.stage == Stage.Decided && block.timestamp >= c.deadline) c.stage = Stage.Final;
    }

    function _earlier(uint64 deadline) private view returns (uint64) {
        return block.timestamp < deadline ? uint64(block.timestamp) : deadline;
    }

    /// @dev The provider did not open what it handed in.
    function _isSealed(Case storage c) private view returns (bool) {
        return _comesSealed(c.rule.check) && c.answer == 0;
    }

    /// @dev Where evaluators answer with their own result, the provider's is hidden from them: an
    /// answer in the open would be copied by who does not do the work.
    function _comesSealed(Check check) private pure returns (bool) {
        return check == Check.Exact || check == Check.Redundant;
    }

    /// @dev Counts a panel's answers. A provider that did not open its own has no answer to be right.
    function _count(uint256 jobId, Case storage c, uint256 ended) private {
        Round storage r = _rounds[jobId][c.round];
        uint256 weightFor;
        uint256 weightAgainst;
        for (uint256 i = 0; i < r.panel.length; ++i) {
            Vote storage vote = _votes[jobId][c.round][r.panel[i]];
            if (!vote.revealed) continue;
            if (_isFor(c, vote.answer)) weightFor += vote.weight;
            else weightAgainst += vote.weight;
        }
        bool decided = weightFor != weightAgainst;
        _endRound(jobId, c, ended, decided, weightFor > weightAgainst, weightFor, weightAgainst);
    }

    /// @dev Whether an answer says that the work is good: the same as the provider's, where the check
    /// is to do the work again; `ACCEPT`, where it is to judge; either, where someone challenged.
    function _isFor(Case storage c, bytes32 answer) private view returns (bool) {
        Check check = c.rule.check;
        bool same = answer == c.answer && !_isSealed(c);
        if (_comesSealed(check)) return same;
        return answer == ACCEPT || (check == Check.Optimistic && same);
    }

    /// @dev Ends a round that has no panel. The first one's word is then what silence says: under
    /// `Optimistic`, and if the client `withheld` its secret, that the work is good. Else whoever can
    /// keep a panel from being drawn has the work for nothing.
    function _endWithoutPanel(uint256 jobId, Case storage c, uint256 ended, bool withheld) private {
        if (c.round == 0 && (withheld || c.rule.check == Check.Optimistic)) {
            (c.decided, c.accepted) = (true, true);
        }
        _endRound(jobId, c, ended, false, false, 0, 0);
    }

    function _endRound(
        uint256 jobId,
        Case storage c,
        uint256 ended,
        bool decided,
        bool accepted,
        uint256 weightFor,
        uint256 weightAgainst
    ) private {
        Round storage r = _rounds[jobId][c.round];
        r.decided = decided;
        if (decided) (c.decided, c.accepted, c.judged) = (true, accepted, true);
        bool last = c.round >= c.rule.appeals;
        c.stage = last ? Stage.Final : Stage.Decided;
        c.deadline = uint64(last ? ended : ended + c.rule.appealTime);
        emit RoundEnded(jobId, c.round, decided, accepted, weightFor, weightAgainst);
    }

    function _voteOf(uint256 jobId, uint256 round) private view returns (Vote storage vote) {
        vote = _votes[jobId][round][msg.sender];
        require(vote.weight > 0, NotOnPanel(jobId, msg.sender));
    }

    function _reveal(uint256 jobId, uint256 round, Vote storage vote, bytes32 answer) private {
        (vote.answer, vote.revealed) = (answer, true);
        ++_rounds[jobId][round].revealed;
        emit Revealed(jobId, round, msg.sender, answer);
    }

    // ---- the end of a case -------------------------------------------------------------------

    function _isUnderWay(uint256 jobId) private view returns (bool) {
        IAgenticCommerce.JobStatus status = commerce.statusOf(jobId);
        return status == IAgenticCommerce.JobStatus.Funded
            || status == IAgenticCommerce.JobStatus.Submitted;
    }

    /// @dev Ends the job as the verdict says. What the escrow pays its evaluator for that is the
    /// client's, who paid for the check.
    function _carryOut(uint256 jobId, Case storage c) private {
        if (!c.decided) {
            commerce.reject(jobId, REASON_UNDECIDED, "");
        } else if (!c.accepted) {
            commerce.reject(jobId, REASON_VERDICT, "");
        } else {
            uint256 before = token.balanceOf(address(this));
            commerce.complete(jobId, c.judged ? REASON_VERDICT : REASON_UNCHALLENGED, "");
            uint256 evaluatorFee = token.balanceOf(address(this)) - before;
            if (evaluatorFee > 0) {
                token.forceApprove(address(pool), evaluatorFee);
                pool.deposit(c.client, evaluatorFee);
            }
        }
    }

    /// @dev Frees or forfeits the provider's bond, and gives each round's margin to whom it is due.
    function _resolveBonds(uint256 jobId, Case storage c) private {
        bool bad = c.decided && !c.accepted;
        if (c.bondLocked) {
            c.bondLocked = false;
            if (bad) _forfeit(jobId, c);
            else pool.unlock(c.provider, c.rule.bond);
        }
        for (uint256 i = 0; i <= c.round; ++i) {
            Round storage r = _rounds[jobId][i];
            uint256 margin = r.margin;
            if (margin == 0) continue;
            r.margin = 0;
            // A challenge is against good work; an appeal against the verdict before.
            bool right = i == 0 ? bad : c.decided && _overturned(c, r);
            bool blameless = right || !c.decided || !r.decided;
            _credit(jobId, blameless ? r.payer : c.accepted ? c.provider : c.client, margin);
        }
    }

    /// @dev A bond of bad work repays who challenged it, then is shared with the client; without a
    /// challenger it is the client's. A challenger gets no more than it risked, its fees and its
    /// margin, so that a provider cannot save most of its bond by challenging itself as another.
    function _forfeit(uint256 jobId, Case storage c) private {
        uint256 bond = c.rule.bond;
        pool.slash(jobId, c.provider, bond);
        if (c.challenger != address(0)) {
            Round storage r = _rounds[jobId][0];
            uint256 spent = r.pot;
            uint256 repaid = spent < bond ? spent : bond;
            uint256 reward = (bond - repaid) / 2;
            if (reward > r.margin) reward = r.margin;
            _credit(jobId, c.challenger, repaid + reward);
            bond -= repaid + reward;
        }
        _credit(jobId, c.client, bond);
    }

    /// @dev Whether the final verdict is another than the one before this round.
    function _overturned(Case storage c, Round storage r) private view returns (bool) {
        return !r.decidedBefore || r.acceptedBefore != c.accepted;
    }

    /// @dev Pays each evaluator of a round who was with the final verdict, or came, if there is none.
    /// What the others lose repays who appealed against them, then goes to the first; without any, to
    /// nobody. A party or payer never has it: else who is both parties could make a living of panels
    /// that miss a case. Fees that nobody earned go back to who paid them.
    function _settle(uint256 jobId, Case storage c, uint256 round) private {
        Round storage r = _rounds[jobId][round];
        if (r.settled) return;
        r.settled = true;
        uint256 stake = c.stake;
        uint256 fee = c.rule.fee;
        uint256 good;
        address[] memory panel = r.panel;
        for (uint256 i = 0; i < panel.length; ++i) {
            if (_serve(jobId, c, round, panel[i], stake)) {
                ++good;
            } else {
                panel[i] = address(0);
            }
        }
        uint256 lost = (panel.length - good) * stake;
        uint256 share = _repay(jobId, c, round, lost);
        uint256 each = good > 0 ? share / good : 0;
        for (uint256 i = 0; i < panel.length; ++i) {
            if (panel[i] != address(0)) _credit(jobId, panel[i], fee + each);
        }
        _credit(jobId, BURNED, share - each * good);
        uint256 pot = r.pot;
        _credit(jobId, r.payer, pot - fee * good);
    }

    /// @dev Frees or takes one evaluator's stake, and keeps its record. True if it earned its fee.
    function _serve(uint256 jobId, Case storage c, uint256 round, address one, uint256 stake)
        private
        returns (bool good)
    {
        Vote storage vote = _votes[jobId][round][one];
        good = vote.revealed && (!c.judged || _isFor(c, vote.answer) == c.accepted);
        // Without a verdict nobody was wrong, so not coming costs no weight either. A record that
        // costs nothing to make, or to spoil for others, is none.
        if (c.judged && c.counts) pool.remember(one, good);
        if (good) pool.unlock(one, stake);
        else pool.slash(jobId, one, stake);
    }

    function _credit(uint256 jobId, address account, uint256 amount) private {
        if (amount > 0) pool.credit(jobId, account, amount);
    }

    /// @dev Gives who rightly appealed against a round the fees that it cost, out of what the round's
    /// evaluators lost; and tells what is left of that.
    function _repay(uint256 jobId, Case storage c, uint256 round, uint256 lost)
        private
        returns (uint256 left)
    {
        left = lost;
        if (round >= c.round || !c.decided) return left;
        Round storage next = _rounds[jobId][round + 1];
        if (!next.decided || !_overturned(c, next)) return left;
        uint256 cost = c.rule.fee * next.panel.length;
        if (cost > left) cost = left;
        left -= cost;
        _credit(jobId, next.payer, cost);
    }
}

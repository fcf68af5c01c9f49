// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {Check, Rule, Rules} from "./evaluators/Rules.sol";
import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";

/// @title What people have at stake, and who sits in the pool of evaluators
/// @notice Each account has a balance. Part of it can be locked: a worker's bond while its work is
/// judged, an evaluator's stake while it judges. An evaluator besides leaves the price of its seat in
/// it. What is locked can be lost, by the rule of the job it was locked for, and by nothing else.
/// @dev The pool keeps all money of the judging of jobs; the contract `Evaluators` says whose it is,
/// within what the pool holds. Of each unit here it is known whether it is in somebody's balance or
/// held for a job, and the pool never has less of its token than both together. The token is one
/// that moves what it is told to move and calls nobody (MUSD, USDC).
///
/// The lot is thrown over the pool as it was at the end of a past block, so that nobody can come or
/// go to change it.
contract EvaluatorPool is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Rules for Rule;
    using Checkpoints for Checkpoints.Trace208;

    /// @notice What an account has, in minor units.
    struct Account {
        /// All that is its own.
        uint128 balance;
        /// How much of it is locked.
        uint128 locked;
    }

    /// @notice An evaluator.
    struct Evaluator {
        /// Its agent in the ERC-8004 registry; 0 if it never sat in the pool.
        uint256 agentId;
        /// Who owned the agent when the evaluator took its seat.
        address owner;
        /// Its seat's number and one, while it has one; else 0.
        uint48 seat;
        /// Unix seconds; after it left, the price of its seat stays until then.
        uint48 freeAt;
        /// How often it was with the final verdict.
        uint32 agreed;
        /// How often it was with or against one, or did not come.
        uint32 voted;
        /// The least fee, in minor units, for which it may be drawn.
        uint128 leastFee;
    }

    /// @notice How long the price of a seat stays after its evaluator left, in seconds: longer than
    /// a panel can still be drawn from the pool as it was.
    uint256 public constant UNBONDING_TIME = 1 days;

    /// @dev How many fees of a job that counts in a record are a seat's price.
    uint256 private constant FEES_PER_SEAT = 1000;

    /// @dev How often the lot is thrown at most: this, and so often for each place of the panel.
    uint256 private constant THROWS = 16;
    uint256 private constant THROWS_PER_PLACE = 8;

    /// @notice The contract `Evaluators`, which says what is locked, lost and earned.
    address public immutable court;

    /// @notice The ERC-20 in which all is staked, charged and paid here.
    IERC20 public immutable token;

    /// @notice Where agents are registered (ERC-8004).
    IIdentityRegistry public immutable identity;

    /// @notice The price of a seat in the pool, in minor units. It is the most an evaluator can lose
    /// by one job.
    uint256 public immutable seatPrice;

    /// @notice What each account has.
    mapping(address account => Account) public accountOf;

    /// @notice Every evaluator there ever was.
    mapping(address evaluator => Evaluator) public evaluatorOf;

    /// @notice The sum of all balances, in minor units.
    uint256 public totalBalance;

    /// @notice What is held for jobs, in minor units: charged or lost, and not yet credited.
    uint256 public totalHeld;

    /// @dev Who sat on each seat from which block on; zero for nobody. A draw reads the pool as it
    /// was when the draw was announced, so that nobody can come or go to change it.
    mapping(uint256 seat => Checkpoints.Trace208) private _seats;

    /// @dev How many seats there were from which block on. Seats with lower numbers are all taken.
    Checkpoints.Trace208 private _seatCount;

    /// @notice An account has `amount` more.
    event Deposited(address indexed account, address indexed from, uint256 amount);
    /// @notice An account took `amount` out.
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    /// @notice An evaluator took a seat.
    event Joined(address indexed evaluator, uint256 indexed agentId, address indexed owner);
    /// @notice An evaluator gave its seat up.
    event Left(address indexed evaluator);
    /// @notice `amount` of an account's is held for a job from now on.
    event Charged(uint256 indexed jobId, address indexed account, uint256 amount);
    /// @notice `account` lost `amount` of what was locked.
    event Slashed(uint256 indexed jobId, address indexed account, uint256 amount);
    /// @notice `account` was given `amount` of what was held.
    event Credited(uint256 indexed jobId, address indexed account, uint256 amount);

    /// @notice The evaluator's stake would exceed the price of a seat.
    error StakeTooHigh(uint256 stake, uint256 seatPrice);
    /// @notice Only `Evaluators` may do this.
    error CourtOnly(address caller);
    /// @notice `account` has only `available` that is neither locked nor a seat's price.
    error NotAvailable(address account, uint256 available, uint256 needed);
    /// @notice The caller is neither wallet nor speaker of this agent.
    error NotTheAgents(uint256 agentId, address caller);
    /// @notice The caller has a seat already.
    error AlreadySeated();
    /// @notice The caller has no seat.
    error NotSeated();
    /// @notice The caller's last seat is bound until then, in Unix seconds.
    error StillBound(uint256 freeAt);
    /// @notice This evaluator has the price of its seat.
    error StillGood(address evaluator, uint256 balance);
    /// @notice Nothing, or more than can ever be.
    error InvalidAmount();
    /// @notice The token delivered something else.
    error InexactToken(uint256 received, uint256 amount);

    constructor(address court_, address token_, address identity_, uint256 seatPrice_) {
        require(court_ != address(0), CourtOnly(address(0)));
        court = court_;
        token = IERC20(token_);
        identity = IIdentityRegistry(identity_);
        seatPrice = seatPrice_;
    }

    // ---- balances ----------------------------------------------------------------------------

    /// @notice Brings tokens of the caller's to anyone's balance. The caller allowed it before.
    function deposit(address account, uint256 amount) external nonReentrant {
        _bring(msg.sender, account, amount);
    }

    /// @notice As `deposit`, with the caller's leave by signature (EIP-2612).
    function depositWithPermit(
        address account,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Someone may have used the permit already; then leave was given, and the transfer decides.
        try IERC20Permit(address(token))
            .permit(msg.sender, address(this), amount, deadline, v, r, s) {}
            catch {}
        _bring(msg.sender, account, amount);
    }

    /// @notice Takes what is available of the caller's balance.
    function withdraw(address to, uint256 amount) external nonReentrant {
        _spend(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice What of a balance is neither locked nor the price of a seat, in minor units.
    function availableOf(address account) public view returns (uint256) {
        Account storage its = accountOf[account];
        Evaluator storage evaluator = evaluatorOf[account];
        bool bound = evaluator.seat != 0 || block.timestamp < evaluator.freeAt;
        uint256 kept = bound && its.locked < seatPrice ? seatPrice : its.locked;
        return its.balance > kept ? its.balance - kept : 0;
    }

    // ---- the pool ----------------------------------------------------------------------------

    /// @notice Takes a seat in the pool, to be drawn for jobs that pay at least `leastFee`. The caller
    /// is an agent's wallet, or speaks for the agent, and has a seat's price that is not locked. Who
    /// left can come back when the price of its seat was free: else it could change its terms while
    /// its name is in a lot.
    function join(uint256 agentId, uint128 leastFee) external nonReentrant {
        Evaluator storage its = evaluatorOf[msg.sender];
        require(its.seat == 0, AlreadySeated());
        require(block.timestamp >= its.freeAt, StillBound(its.freeAt));
        require(
            identity.getAgentWallet(agentId) == msg.sender
                || identity.isAuthorizedOrOwner(msg.sender, agentId),
            NotTheAgents(agentId, msg.sender)
        );
        Account storage account = accountOf[msg.sender];
        uint256 free = account.balance - account.locked;
        require(free >= seatPrice, NotAvailable(msg.sender, free, seatPrice));
        uint256 seat = seatCount();
        its.agentId = agentId;
        its.leastFee = leastFee;
        its.owner = identity.ownerOf(agentId);
        // A seat is a seat price of somebody's, so there are never so many.
        // forge-lint: disable-next-line(unsafe-typecast)
        its.seat = uint48(seat + 1);
        _seats[seat].push(uint48(block.number), uint160(msg.sender));
        _seatCount.push(uint48(block.number), uint208(seat + 1));
        emit Joined(msg.sender, agentId, its.owner);
    }

    /// @notice Gives the caller's seat up. It still serves on panels whose draw was announced before,
    /// and the price of its seat stays for `UNBONDING_TIME`.
    function resign() external nonReentrant {
        _vacate(msg.sender);
    }

    /// @notice Gives up the seat of an evaluator that lost so much that it cannot be drawn any more.
    function evict(address evaluator) external nonReentrant {
        uint256 balance = accountOf[evaluator].balance;
        require(balance < seatPrice, StillGood(evaluator, balance));
        _vacate(evaluator);
    }

    /// @notice How many evaluators are in the pool.
    function seatCount() public view returns (uint256) {
        return _seatCount.latest();
    }

    /// @notice How many were at the end of a past block.
    function seatCountAt(uint256 blockNumber) public view returns (uint256) {
        return _seatCount.upperLookupRecent(uint48(blockNumber));
    }

    /// @notice Who had a seat at the end of a past block; zero for nobody.
    function seatAt(uint256 seat, uint256 blockNumber) public view returns (address) {
        return address(uint160(_seats[seat].upperLookupRecent(uint48(blockNumber))));
    }

    // ---- terms -------------------------------------------------------------------------------

    /// @notice The least fee, in minor units, of a job that counts in anyone's record: a thousandth of
    /// a seat's price. A record that is free to make is worth nothing, and free to spoil.
    function leastFeeOfRecord() external view returns (uint256) {
        return seatPrice / FEES_PER_SEAT;
    }

    /// @notice What a rule comes to: see `Evaluators.termsOf`. Reverts if the rule cannot be.
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
        rule.validate();
        stake = rule.stakeOf();
        require(stake <= seatPrice, StakeTooHigh(stake, seatPrice));
        if (rule.check != Check.Optimistic) bounty = rule.fee * uint256(rule.panel);
        challengeBond = Rules.bondOf(rule.fee, rule.panel, 0);
        appealBond = Rules.bondOf(rule.fee, rule.panel, 1);
        longest = rule.longest();
    }

    // ---- for the court -----------------------------------------------------------------------

    modifier onlyCourt() {
        require(msg.sender == court, CourtOnly(msg.sender));
        _;
    }

    /// @notice Throws the lot for `size` places by `seed`, over the pool as it was at the end of a past
    /// block: distinct evaluators of distinct owners, none of them `barred` or owned by who is, each
    /// able to answer for `stake` and willing to judge for `fee`. One that is not able because its
    /// money is locked for other jobs takes its place, and leaves it empty: so nobody gains places by
    /// locking others out. May find fewer than `size`.
    function throwLot(
        bytes32 seed,
        uint256 blockNumber,
        uint256 size,
        uint256 stake,
        uint256 fee,
        address[8] calldata barred
    ) external view returns (address[] memory panel) {
        panel = new address[](size);
        address[] memory owners = new address[](size);
        uint256 seats = seatCountAt(blockNumber);
        uint256 throws = seats == 0 ? 0 : THROWS + THROWS_PER_PLACE * size;
        // So many places are taken; those of who is not able stay in the list until the end.
        uint256 taken;
        for (uint256 i = 0; i < throws && taken < size; ++i) {
            uint256 lot = uint256(keccak256(abi.encode(seed, i)));
            address one = seatAt(lot % seats, blockNumber);
            if (_isAmong(one, panel, taken) || !_isWilling(one, fee)) continue;
            Evaluator storage its = evaluatorOf[one];
            address owner = identity.ownerOf(its.agentId);
            if (_isAmong(owner, owners, taken)) continue;
            if (_isBarred(one, barred) || _isBarred(owner, barred) || _isBarred(its.owner, barred))
            {
                continue;
            }
            (panel[taken], owners[taken]) = (one, owner);
            ++taken;
        }
        uint256 found;
        for (uint256 i = 0; i < taken; ++i) {
            Account storage its = accountOf[panel[i]];
            if (its.balance - its.locked >= stake) panel[found++] = panel[i];
        }
        // The list becomes as long as what was found.
        assembly ("memory-safe") {
            mstore(panel, found)
        }
    }

    /// @notice Locks some of what an account has.
    function lock(address account, uint256 amount) public onlyCourt {
        Account storage its = accountOf[account];
        uint256 free = its.balance - its.locked;
        require(free >= amount, NotAvailable(account, free, amount));
        // It is at most the balance.
        // forge-lint: disable-next-line(unsafe-typecast)
        its.locked += uint128(amount);
    }

    /// @notice As `lock`, for each of a panel; tells each one's weight, in thousandths.
    function lockPanel(address[] calldata panel, uint256 amount)
        external
        onlyCourt
        returns (uint32[] memory weights)
    {
        weights = new uint32[](panel.length);
        for (uint256 i = 0; i < panel.length; ++i) {
            lock(panel[i], amount);
            Evaluator storage its = evaluatorOf[panel[i]];
            // forge-lint: disable-next-line(unsafe-typecast)
            weights[i] = uint32(Rules.weightOf(its.agreed, its.voted));
        }
    }

    /// @notice Unlocks what was locked.
    function unlock(address account, uint256 amount) public onlyCourt {
        // It was locked.
        // forge-lint: disable-next-line(unsafe-typecast)
        accountOf[account].locked -= uint128(amount);
    }

    /// @notice Takes what was locked, and holds it.
    function slash(uint256 jobId, address account, uint256 amount) external onlyCourt {
        unlock(account, amount);
        // It was locked, so it is there.
        // forge-lint: disable-next-line(unsafe-typecast)
        accountOf[account].balance -= uint128(amount);
        (totalBalance, totalHeld) = (totalBalance - amount, totalHeld + amount);
        emit Slashed(jobId, account, amount);
    }

    /// @notice Takes from what is available to an account, and what that lacks from its own pocket, and
    /// holds it.
    function charge(uint256 jobId, address account, uint256 amount)
        external
        onlyCourt
        nonReentrant
    {
        uint256 available = availableOf(account);
        if (available < amount) _bring(account, account, amount - available);
        _spend(account, amount);
        totalHeld += amount;
        emit Charged(jobId, account, amount);
    }

    /// @notice Gives what was held. There is never more to give than is held.
    function credit(uint256 jobId, address account, uint256 amount) external onlyCourt {
        totalHeld -= amount;
        _add(account, amount);
        emit Credited(jobId, account, amount);
    }

    /// @notice Writes down that an evaluator was with the final verdict, or was not.
    function remember(address evaluator, bool right) external onlyCourt {
        Evaluator storage its = evaluatorOf[evaluator];
        ++its.voted;
        if (right) ++its.agreed;
    }

    // ---- within ------------------------------------------------------------------------------

    function _vacate(address evaluator) private {
        Evaluator storage its = evaluatorOf[evaluator];
        require(its.seat != 0, NotSeated());
        uint256 seat = its.seat - 1;
        uint256 last = seatCount() - 1;
        // The last evaluator moves to the empty seat.
        uint208 mover = _seats[last].latest();
        // forge-lint: disable-next-line(unsafe-typecast)
        evaluatorOf[address(uint160(mover))].seat = uint48(seat + 1);
        its.seat = 0;
        its.freeAt = uint48(block.timestamp + UNBONDING_TIME);
        _seats[seat].push(uint48(block.number), mover);
        _seats[last].push(uint48(block.number), 0);
        // forge-lint: disable-next-line(unsafe-typecast)
        _seatCount.push(uint48(block.number), uint208(last));
        emit Left(evaluator);
    }

    /// @dev Whether an evaluator judges for `fee`. One that was slashed below the price of its seat has
    /// no say until it brought what is missing.
    function _isWilling(address one, uint256 fee) private view returns (bool) {
        return accountOf[one].balance >= seatPrice && evaluatorOf[one].leastFee <= fee;
    }

    function _isBarred(address one, address[8] calldata barred) private pure returns (bool) {
        for (uint256 i = 0; i < barred.length; ++i) {
            if (barred[i] == one && one != address(0)) return true;
        }
        return false;
    }

    function _isAmong(address one, address[] memory some, uint256 count)
        private
        pure
        returns (bool)
    {
        for (uint256 i = 0; i < count; ++i) {
            if (some[i] == one) return true;
        }
        return false;
    }

    function _spend(address account, uint256 amount) private {
        uint256 available = availableOf(account);
        require(available >= amount, NotAvailable(account, available, amount));
        // It is at most the balance.
        // forge-lint: disable-next-line(unsafe-typecast)
        accountOf[account].balance -= uint128(amount);
        totalBalance -= amount;
    }

    function _bring(address from, address account, uint256 amount) private {
        require(amount > 0, InvalidAmount());
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        require(received == amount, InexactToken(received, amount));
        _add(account, amount);
        emit Deposited(account, from, amount);
    }

    function _add(address account, uint256 amount) private {
        uint256 balance = accountOf[account].balance + amount;
        require(balance <= type(uint128).max, InvalidAmount());
        // forge-lint: disable-next-line(unsafe-typecast)
        accountOf[account].balance = uint128(balance);
        totalBalance += amount;
    }
}

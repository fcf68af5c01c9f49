// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";

import {IAgenticCommerce} from "./interfaces/IAgenticCommerce.sol";
import {IERC8183Hook} from "./interfaces/IERC8183Hook.sol";

/// @title Jobs under escrow (ERC-8183)
/// @notice A client sets money aside for a job, a provider hands in work, and the job's evaluator
/// alone says whether the provider is paid or the client gets its money back. When the job's time is
/// over the money goes back without anyone's leave.
/// @dev Written anew to the ABI, events and errors of the public contract
/// (github.com/erc-8183/base-contracts, contracts/AgenticCommerce.sol of April 2026), which differs
/// from the text of the standard; without proxy and upgrade. It is stricter where the public contract
/// lets one job pay with another's money, or lets a job hang:
///
/// - A job gets back what was set aside for it, never its mere budget: one that was never funded gets
///   nothing back.
/// - What a token delivers at funding must be the budget, to the unit.
/// - A payment that its token refuses is owed to the payee, who takes it by `withdraw`. So neither a
///   token nor a payee can keep a job from ending.
/// - Fees are those of the time of funding. They cannot be raised on work that is under way.
/// - Once the client named the token, the provider can still change the amount, but not the token:
///   `fund` names only the amount.
///
/// `claimRefund` asks nobody: no hook, no evaluator.
contract AgenticCommerce is IAgenticCommerce, AccessControl, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What `openJob` is told in one: what `createJob`, `setBudget` and `fund` are told.
    struct JobOffer {
        address provider;
        address evaluator;
        uint256 expiredAt;
        string description;
        address hook;
        uint256 providerAgentId;
        address token;
        uint256 budget;
        /// For the hook, as `fund` would hand it on.
        bytes optParams;
    }

    /// @notice The client's leave for the escrow to take the budget (EIP-2612). A `deadline` of 0
    /// means there is none, because leave was given before.
    struct Permit {
        uint256 value;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @dev The fees of a job, as they were when it was funded, in hundredths of a percent.
    struct Fees {
        uint16 platformBP;
        uint16 evaluatorBP;
        address treasury;
    }

    /// @notice Who sets fees and says which hooks jobs may have.
    bytes32 public constant ADMIN_ROLE = keccak256("ADMIN_ROLE");

    /// @notice How long, in seconds, an evaluator has at least, however late work comes.
    uint256 public constant EVALUATION_GRACE_PERIOD = 1 hours;

    /// @dev A job runs longer than this, in seconds.
    uint256 private constant SHORTEST_JOB = 5 minutes;

    /// @dev All of an amount, in hundredths of a percent.
    uint256 private constant WHOLE_BP = 10_000;

    /// @dev The longest description, in bytes: what a job costs others to read is bounded.
    uint256 private constant LONGEST_DESCRIPTION = 16_384;

    /// @dev What a token may use to make one payment. A payment that takes more is owed instead.
    uint256 private constant TRANSFER_GAS = 200_000;

    /// @dev What must be left for a payment: the token's share, of which the EVM keeps a 64th back,
    /// and enough to write down that it failed. So nobody makes one fail by sending little gas.
    uint256 private constant PAYMENT_GAS = 300_000;

    /// @notice What the platform takes of a payment, in hundredths of a percent.
    uint256 public platformFeeBP;

    /// @notice Who gets it.
    address public platformTreasury;

    /// @notice What the job's evaluator takes of a payment, in hundredths of a percent.
    uint256 public evaluatorFeeBP;

    /// @notice All jobs, by number.
    mapping(uint256 jobId => Job) public jobs;

    /// @notice The newest job's number.
    uint256 public jobCounter;

    /// @notice Which hooks a job may have; zero, which is none, among them.
    mapping(address hook => bool) public whitelistedHooks;

    /// @notice What is set aside for a job, in minor units of its token.
    mapping(uint256 jobId => uint256) public escrowOf;

    /// @notice What a token refused to pay, in its minor units.
    mapping(address token => mapping(address payee => uint256)) public owed;

    mapping(uint256 jobId => Fees) private _fees;

    /// @dev Who named a job's token: the client, whose word is final, or nobody or the provider.
    mapping(uint256 jobId => bool) private _tokenIsClients;

    event JobCreated(
        uint256 indexed jobId,
        address indexed client,
        address indexed provider,
        address evaluator,
        uint256 expiredAt,
        address hook
    );
    event ProviderSet(uint256 indexed jobId, address indexed provider, uint256 agentId);
    event BudgetSet(uint256 indexed jobId, address indexed token, uint256 amount);
    event JobFunded(uint256 indexed jobId, address indexed client, uint256 amount);
    event JobSubmitted(uint256 indexed jobId, address indexed provider, bytes32 deliverable);
    event JobCompleted(uint256 indexed jobId, address indexed evaluator, bytes32 reason);
    event JobRejected(uint256 indexed jobId, address indexed rejector, bytes32 reason);
    event JobExpired(uint256 indexed jobId);
    event PaymentReleased(uint256 indexed jobId, address indexed provider, uint256 amount);
    event PlatformFeePaid(uint256 indexed jobId, address indexed platformTreasury, uint256 amount);
    event EvaluatorFeePaid(uint256 indexed jobId, address indexed evaluator, uint256 amount);
    event Refunded(uint256 indexed jobId, address indexed client, uint256 amount);
    event HookWhitelistUpdated(address indexed hook, bool status);
    event PlatformFeeSet(uint256 feeBP, address indexed treasury);
    event EvaluatorFeeSet(uint256 feeBP);

    /// @notice A token refused a payment; it is owed. Not of the public contract.
    event PaymentOwed(address indexed token, address indexed payee, uint256 amount);
    /// @notice What was owed was paid. Not of the public contract.
    event OwedWithdrawn(
        address indexed token, address indexed payee, address indexed to, uint256 amount
    );

    error InvalidJob();
    error InvalidHook();
    error WrongStatus();
    error Unauthorized();
    error ZeroAddress();
    error ExpiryTooShort();
    error ZeroBudget();
    error ProviderNotSet();
    error FeesTooHigh();
    error HookNotWhitelisted();
    error BudgetMismatch();
    error ProviderCannotBeEvaluator();
    error GracePeriodActive();

    /// @notice The description has more bytes than `limit`. Not of the public contract.
    error DescriptionTooLong(uint256 length, uint256 limit);
    /// @notice The token delivered something else than the budget. Not of the public contract.
    error InexactToken(uint256 received, uint256 budget);
    /// @notice The client named another token. Not of the public contract.
    error TokenFixed(address token);
    /// @notice The transaction has too little gas to make the payment. Not of the public contract.
    error MoreGasNeeded(uint256 needed);
    /// @notice Nothing is owed. Not of the public contract.
    error NothingOwed();

    /// @param admin Gets both roles.
    /// @param treasury_ Gets platform fees, which are 0 until `admin` sets them.
    /// @param firstHook A hook that jobs may have from the beginning; zero for none.
    constructor(address admin, address treasury_, address firstHook) {
        require(admin != address(0) && treasury_ != address(0), ZeroAddress());
        platformTreasury = treasury_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(ADMIN_ROLE, admin);
        whitelistedHooks[address(0)] = true;
        whitelistedHooks[firstHook] = true;
    }

    // ---- for administrators ------------------------------------------------------------------

    /// @notice Sets what the platform takes of jobs that are funded from now on, and for whom.
    function setPlatformFee(uint256 feeBP_, address treasury_) external onlyRole(ADMIN_ROLE) {
        require(treasury_ != address(0), ZeroAddress());
        require(feeBP_ <= WHOLE_BP && feeBP_ + evaluatorFeeBP <= WHOLE_BP, FeesTooHigh());
        (platformFeeBP, platformTreasury) = (feeBP_, treasury_);
        emit PlatformFeeSet(feeBP_, treasury_);
    }

    /// @notice Sets what evaluators take of jobs that are funded from now on.
    function setEvaluatorFee(uint256 feeBP_) external onlyRole(ADMIN_ROLE) {
        require(feeBP_ <= WHOLE_BP && feeBP_ + platformFeeBP <= WHOLE_BP, FeesTooHigh());
        evaluatorFeeBP = feeBP_;
        emit EvaluatorFeeSet(feeBP_);
    }

    /// @notice Says whether new jobs may have this hook.
    function setHookWhitelist(address hook, bool status) external onlyRole(ADMIN_ROLE) {
        require(hook != address(0), ZeroAddress());
        whitelistedHooks[hook] = status;
        emit HookWhitelistUpdated(hook, status);
    }

    // ---- the way of a job --------------------------------------------------------------------

    /// @notice Opens a job. The provider may be zero, and set later; the evaluator may not.
    function createJob(
        address provider,
        address evaluator,
        uint256 expiredAt,
        string calldata description,
        address hook,
        uint256 providerAgentId
    ) external nonReentrant returns (uint256) {
        return _create(provider, evaluator, expiredAt, description, hook, providerAgentId);
    }

    /// @notice Names the provider of a job that was opened without one.
    function setProvider(uint256 jobId, address provider_, uint256 agentId) external nonReentrant {
        Job storage job = _existing(jobId);
        require(job.status == JobStatus.Open, WrongStatus());
        require(msg.sender == job.client, Unauthorized());
        require(job.provider == address(0), WrongStatus());
        require(provider_ != address(0), ZeroAddress());
        require(provider_ != job.evaluator, ProviderCannotBeEvaluator());
        (job.provider, job.providerAgentId) = (provider_, agentId);
        emit ProviderSet(jobId, provider_, agentId);
    }

    /// @notice Proposes what the job pays: its client or its provider, until it is funded.
    function setBudget(uint256 jobId, address token, uint256 amount, bytes calldata optParams)
        external
        nonReentrant
    {
        _setBudget(jobId, token, amount, optParams);
    }

    /// @notice Sets the budget aside, out of the client's pocket.
    function fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams)
        external
        nonReentrant
    {
        _fund(jobId, expectedBudget, optParams);
    }

    /// @notice `createJob`, `setBudget` and `fund` in one, with the same checks, hooks and events.
    /// Not of the public contract.
    function openJob(JobOffer calldata offer, Permit calldata permit)
        external
        nonReentrant
        returns (uint256 jobId)
    {
        jobId = _create(
            offer.provider,
            offer.evaluator,
            offer.expiredAt,
            offer.description,
            offer.hook,
            offer.providerAgentId
        );
        _setBudget(jobId, offer.token, offer.budget, offer.optParams);
        if (permit.deadline != 0) {
            // Someone may have used the permit already; then leave was given, and funding decides.
            try IERC20Permit(offer.token)
                .permit(
                    msg.sender,
                    address(this),
                    permit.value,
                    permit.deadline,
                    permit.v,
                    permit.r,
                    permit.s
                ) {}
                catch {}
        }
        _fund(jobId, offer.budget, offer.optParams);
    }

    /// @notice Hands in work, by a hash of it. A job that pays nothing need not be funded first.
    function submit(uint256 jobId, bytes32 deliverable, bytes calldata optParams)
        external
        nonReentrant
    {
        Job storage job = _existing(jobId);
        bool unpaid = job.status == JobStatus.Open && job.budget == 0;
        require(job.status == JobStatus.Funded || unpaid, WrongStatus());
        require(msg.sender == job.provider, Unauthorized());

        bytes memory data = abi.encode(msg.sender, deliverable, optParams);
        _before(job.hook, jobId, this.submit.selector, data);
        (job.status, job.submittedAt) = (JobStatus.Submitted, block.timestamp);
        emit JobSubmitted(jobId, msg.sender, deliverable);
        _after(job.hook, jobId, this.submit.selector, data);
    }

    /// @notice Pays the provider. For the evaluator alone.
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams)
        external
        nonReentrant
    {
        Job storage job = _existing(jobId);
        require(job.status == JobStatus.Submitted, WrongStatus());
        require(msg.sender == job.evaluator, Unauthorized());

        bytes memory data = abi.encode(msg.sender, reason, optParams);
        _before(job.hook, jobId, this.complete.selector, data);
        job.status = JobStatus.Completed;
        uint256 net = _payOut(jobId, job);
        emit JobCompleted(jobId, msg.sender, reason);
        emit PaymentReleased(jobId, job.provider, net);
        _after(job.hook, jobId, this.complete.selector, data);
    }

    /// @notice Ends a job unpaid: its client while it is open, later its evaluator alone.
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams) external nonReentrant {
        Job storage job = _existing(jobId);
        require(!_isOver(job.status), WrongStatus());
        address who = job.status == JobStatus.Open ? job.client : job.evaluator;
        require(msg.sender == who, Unauthorized());

        bytes memory data = abi.encode(msg.sender, reason, optParams);
        _before(job.hook, jobId, this.reject.selector, data);
        job.status = JobStatus.Rejected;
        _giveBack(jobId, job);
        emit JobRejected(jobId, msg.sender, reason);
        _after(job.hook, jobId, this.reject.selector, data);
    }

    /// @notice Ends a job whose time is over, and gives the client its money back. Anyone may call;
    /// nobody is asked. Work that was handed in has an hour to be evaluated.
    function claimRefund(uint256 jobId) external nonReentrant {
        Job storage job = _existing(jobId);
        require(!_isOver(job.status), WrongStatus());
        require(block.timestamp >= job.expiredAt, WrongStatus());
        require(
            job.status != JobStatus.Submitted
                || block.timestamp >= job.submittedAt + EVALUATION_GRACE_PERIOD,
            GracePeriodActive()
        );
        job.status = JobStatus.Expired;
        _giveBack(jobId, job);
        emit JobExpired(jobId);
    }

    /// @notice Takes what a token refused to pay the caller before. Not of the public contract.
    function withdraw(address token, address to) external nonReentrant {
        uint256 amount = owed[token][msg.sender];
        require(amount > 0, NothingOwed());
        owed[token][msg.sender] = 0;
        emit OwedWithdrawn(token, msg.sender, to, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    // ---- what can be asked -------------------------------------------------------------------

    /// @notice All of a job; all zero if there is none.
    function getJob(uint256 jobId) external view returns (Job memory) {
        return jobs[jobId];
    }

    /// @inheritdoc IAgenticCommerce
    function statusOf(uint256 jobId) external view returns (JobStatus) {
        return _existing(jobId).status;
    }

    // ---- within ------------------------------------------------------------------------------

    function _existing(uint256 jobId) private view returns (Job storage job) {
        require(jobId != 0 && jobId <= jobCounter, InvalidJob());
        job = jobs[jobId];
    }

    function _isOver(JobStatus status) private pure returns (bool) {
        return status == JobStatus.Completed || status == JobStatus.Rejected
            || status == JobStatus.Expired;
    }

    function _create(
        address provider,
        address evaluator,
        uint256 expiredAt,
        string calldata description,
        address hook,
        uint256 providerAgentId
    ) private returns (uint256 jobId) {
        require(evaluator != address(0), ZeroAddress());
        require(evaluator != provider, ProviderCannotBeEvaluator());
        require(expiredAt > block.timestamp + SHORTEST_JOB, ExpiryTooShort());
        require(whitelistedHooks[hook], HookNotWhitelisted());
        require(
            hook == address(0)
                || ERC165Checker.supportsInterface(hook, type(IERC8183Hook).interfaceId),
            InvalidHook()
        );
        uint256 length = bytes(description).length;
        require(length <= LONGEST_DESCRIPTION, DescriptionTooLong(length, LONGEST_DESCRIPTION));

        jobId = ++jobCounter;
        Job storage job = jobs[jobId];
        job.id = jobId;
        job.client = msg.sender;
        job.provider = provider;
        job.evaluator = evaluator;
        job.description = description;
        job.expiredAt = expiredAt;
        job.hook = hook;
        if (provider != address(0)) job.providerAgentId = providerAgentId;
        emit JobCreated(jobId, msg.sender, provider, evaluator, expiredAt, hook);
        _after(hook, jobId, this.createJob.selector, abi.encode(msg.sender, provider, evaluator));
    }

    function _setBudget(uint256 jobId, address token, uint256 amount, bytes calldata optParams)
        private
    {
        Job storage job = _existing(jobId);
        require(job.status == JobStatus.Open, WrongStatus());
        bool byClient = msg.sender == job.client;
        require(byClient || msg.sender == job.provider, Unauthorized());
        require(token != address(0), ZeroAddress());
        require(
            byClient || !_tokenIsClients[jobId] || token == job.paymentToken,
            TokenFixed(job.paymentToken)
        );

        bytes memory data = abi.encode(msg.sender, token, amount, optParams);
        _before(job.hook, jobId, this.setBudget.selector, data);
        (job.paymentToken, job.budget) = (token, amount);
        if (byClient) _tokenIsClients[jobId] = true;
        emit BudgetSet(jobId, token, amount);
        _after(job.hook, jobId, this.setBudget.selector, data);
    }

    function _fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams) private {
        Job storage job = _existing(jobId);
        require(job.status == JobStatus.Open, WrongStatus());
        require(msg.sender == job.client, Unauthorized());
        require(job.provider != address(0), ProviderNotSet());
        require(job.budget == expectedBudget, BudgetMismatch());
        require(block.timestamp < job.expiredAt, WrongStatus());

        bytes memory data = abi.encode(msg.sender, optParams);
        _before(job.hook, jobId, this.fund.selector, data);
        job.status = JobStatus.Funded;
        // Neither can exceed the whole, which fits.
        // forge-lint: disable-next-line(unsafe-typecast)
        _fees[jobId] = Fees(uint16(platformFeeBP), uint16(evaluatorFeeBP), platformTreasury);
        if (expectedBudget > 0) _take(jobId, IERC20(job.paymentToken), expectedBudget);
        emit JobFunded(jobId, msg.sender, expectedBudget);
        _after(job.hook, jobId, this.fund.selector, data);
    }

    function _take(uint256 jobId, IERC20 token, uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        require(received == amount, InexactToken(received, amount));
        escrowOf[jobId] = amount;
    }

    /// @dev Pays fees and provider, and tells what the provider got.
    function _payOut(uint256 jobId, Job storage job) private returns (uint256 net) {
        uint256 amount = escrowOf[jobId];
        Fees memory fees = _fees[jobId];
        uint256 platformFee = amount * fees.platformBP / WHOLE_BP;
        uint256 evaluatorFee = amount * fees.evaluatorBP / WHOLE_BP;
        net = amount - platformFee - evaluatorFee;
        escrowOf[jobId] = 0;
        address token = job.paymentToken;
        if (platformFee > 0) {
            _pay(token, fees.treasury, platformFee);
            emit PlatformFeePaid(jobId, fees.treasury, platformFee);
        }
        if (evaluatorFee > 0) {
            _pay(token, job.evaluator, evaluatorFee);
            emit EvaluatorFeePaid(jobId, job.evaluator, evaluatorFee);
        }
        if (net > 0) _pay(token, job.provider, net);
    }

    function _giveBack(uint256 jobId, Job storage job) private {
        uint256 amount = escrowOf[jobId];
        if (amount == 0) return;
        escrowOf[jobId] = 0;
        _pay(job.paymentToken, job.client, amount);
        emit Refunded(jobId, job.client, amount);
    }

    /// @dev Pays, or owes what the token refuses. The token's answer is read by hand, one word of it,
    /// so that a long one costs nothing.
    function _pay(address token, address payee, uint256 amount) private {
        require(gasleft() >= PAYMENT_GAS, MoreGasNeeded(PAYMENT_GAS));
        bytes memory data = abi.encodeCall(IERC20.transfer, (payee, amount));
        bool paid;
        assembly ("memory-safe") {
            mstore(0, 0)
            let ok := call(TRANSFER_GAS, token, 0, add(data, 32), mload(data), 0, 32)
            // Paid: true was answered, or nothing by something that is a contract.
            paid := and(
                ok,
                or(
                    and(gt(returndatasize(), 31), eq(mload(0), 1)),
                    and(iszero(returndatasize()), gt(extcodesize(token), 0))
                )
            )
        }
        if (paid) return;
        owed[token][payee] += amount;
        emit PaymentOwed(token, payee, amount);
    }

    function _before(address hook, uint256 jobId, bytes4 selector, bytes memory data) private {
        if (hook != address(0)) IERC8183Hook(hook).beforeAction(jobId, selector, data);
    }

    function _after(address hook, uint256 jobId, bytes4 selector, bytes memory data) private {
        if (hook != address(0)) IERC8183Hook(hook).afterAction(jobId, selector, data);
    }
}

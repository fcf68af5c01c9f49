// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {TokenStore} from "./TokenStore.sol";
import {TokenCollector} from "./bases/TokenCollector.sol";

/// @title Authorize now, capture later
/// @notice Holds a payer's tokens until an operator, whom payer and seller agreed on, hands them to
/// the seller, or back. The terms of a payment are fixed by what the payer signed: who may get how
/// much, in which time, for which fee. Within them the operator decides, and out of them nobody can.
/// @dev Written anew to x402's scheme `auth-capture` on EVM, and to the ABI of the public contract
/// (github.com/base/commerce-payments, v1.1) at 0xf96815976523E00e65Be8f34cA5e64b4f41EB19c, where stock
/// x402 clients look for it. Against v1.0 a fee is an amount, no longer a rate.
///
/// The way of a payment:
///
/// - `authorize` brings tokens into the operator's store, before `preApprovalExpiry`.
/// - `capture` hands some or all of them to the seller, less a fee, before `authorizationExpiry`.
/// - `void` gives what is not captured back to the payer, whenever the operator says so.
/// - `reclaim` does the same when the payer says so, from `authorizationExpiry` on.
/// - `charge` is `authorize` and `capture` in one.
/// - `refund` gives captured tokens back, brought from elsewhere, before `refundExpiry`.
///
/// What always holds, of each payment: captured, voided and reclaimed together are at most what was
/// authorized, that is at most `maxAmount`; refunded is at most captured; and it is collected once.
/// Nobody has a special right here; there is no owner, no pause and no upgrade.
contract AuthCaptureEscrow is ReentrancyGuardTransient {
    /// @notice The terms of a payment. Their hash is the payment's name, so none of them can change.
    struct PaymentInfo {
        /// Who may authorize, capture, charge, void and refund: x402's `captureAuthorizer`.
        address operator;
        /// Whose tokens they are, who signs, and who gets back what is not captured.
        address payer;
        /// The seller.
        address receiver;
        /// The ERC-20.
        address token;
        /// The most that may be taken, in minor units.
        uint120 maxAmount;
        /// Unix seconds; taken from the payer only before.
        uint48 preApprovalExpiry;
        /// Unix seconds; captured only before, reclaimed only from then on.
        uint48 authorizationExpiry;
        /// Unix seconds; refunded only before.
        uint48 refundExpiry;
        /// The least fee of a capture, in hundredths of a percent of it.
        uint16 minFeeBps;
        /// The greatest fee of a capture, in hundredths of a percent of it.
        uint16 maxFeeBps;
        /// Who gets fees; zero if the operator may name anyone.
        address feeReceiver;
        /// Tells payments apart that are equal in all else.
        uint256 salt;
    }

    /// @notice How far a payment is, in minor units.
    struct PaymentState {
        /// Tokens were taken from the payer; that happens once.
        bool hasCollectedPayment;
        /// In the store, to be captured, voided or reclaimed.
        uint120 capturableAmount;
        /// Captured, and not refunded.
        uint120 refundableAmount;
    }

    /// @notice The hash of the type of `PaymentInfo`, as EIP-712 computes it.
    bytes32 public constant PAYMENT_INFO_TYPEHASH = keccak256(
        "PaymentInfo(address operator,address payer,address receiver,address token,uint120 maxAmount,uint48 preApprovalExpiry,uint48 authorizationExpiry,uint48 refundExpiry,uint16 minFeeBps,uint16 maxFeeBps,address feeReceiver,uint256 salt)"
    );

    /// @dev All of an amount, in hundredths of a percent.
    uint256 private constant WHOLE_BPS = 10_000;

    /// @notice The code behind each operator's store.
    address public immutable tokenStoreImplementation;

    /// @notice How far each payment is, by `getHash`.
    mapping(bytes32 paymentInfoHash => PaymentState) public paymentState;

    /// @notice `amount` was taken from the payer and handed to the seller, less the fee.
    event PaymentCharged(
        bytes32 indexed paymentInfoHash,
        PaymentInfo paymentInfo,
        uint256 amount,
        address tokenCollector,
        uint256 feeAmount,
        address feeReceiver
    );

    /// @notice `amount` was taken from the payer and lies in the operator's store.
    event PaymentAuthorized(
        bytes32 indexed paymentInfoHash,
        PaymentInfo paymentInfo,
        uint256 amount,
        address tokenCollector
    );

    /// @notice `amount` was handed to the seller, less the fee.
    event PaymentCaptured(
        bytes32 indexed paymentInfoHash, uint256 amount, uint256 feeAmount, address feeReceiver
    );

    /// @notice `amount` went back to the payer, by the operator's will.
    event PaymentVoided(bytes32 indexed paymentInfoHash, uint256 amount);

    /// @notice `amount` went back to the payer, by its own will.
    event PaymentReclaimed(bytes32 indexed paymentInfoHash, uint256 amount);

    /// @notice `amount` that was captured was given back to the payer.
    event PaymentRefunded(bytes32 indexed paymentInfoHash, uint256 amount, address tokenCollector);

    /// @notice The operator has a store from now on.
    event TokenStoreCreated(address indexed operator, address tokenStore);

    /// @notice Only `expected` may do this.
    error InvalidSender(address sender, address expected);
    /// @notice Nothing was asked for.
    error ZeroAmount();
    /// @notice More was asked for than any payment can be.
    error AmountOverflow(uint256 amount, uint256 limit);
    /// @notice More was asked for than the payer signed.
    error ExceedsMaxAmount(uint256 amount, uint256 maxAmount);
    /// @notice The time to take tokens from the payer is over.
    error AfterPreApprovalExpiry(uint48 timestamp, uint48 expiry);
    /// @notice The three times are not in their order.
    error InvalidExpiries(uint48 preApproval, uint48 authorization, uint48 refund);
    /// @notice A fee of more than the whole.
    error FeeBpsOverflow(uint16 feeBps);
    /// @notice The least fee is above the greatest.
    error InvalidFeeBpsRange(uint16 minFeeBps, uint16 maxFeeBps);
    /// @notice The fee is not between what the payer signed.
    error FeeAmountOutOfRange(uint256 feeAmount, uint256 minFee, uint256 maxFee);
    /// @notice A fee for nobody.
    error ZeroFeeReceiver();
    /// @notice The payer signed that fees go to `expected`.
    error InvalidFeeReceiver(address attempted, address expected);
    /// @notice A refund through a collector for payments, or the reverse.
    error InvalidCollectorForOperation();
    /// @notice The collector brought more or less than was asked for.
    error TokenCollectionFailed();
    /// @notice This payment was authorized or charged before.
    error PaymentAlreadyCollected(bytes32 paymentInfoHash);
    /// @notice The time to capture is over.
    error AfterAuthorizationExpiry(uint48 timestamp, uint48 expiry);
    /// @notice More is to be captured than lies in the store for this payment.
    error InsufficientAuthorization(
        bytes32 paymentInfoHash, uint256 authorizedAmount, uint256 requestedAmount
    );
    /// @notice Nothing lies in the store for this payment.
    error ZeroAuthorization(bytes32 paymentInfoHash);
    /// @notice The operator can still capture, so the payer must wait.
    error BeforeAuthorizationExpiry(uint48 timestamp, uint48 expiry);
    /// @notice The time to refund is over.
    error AfterRefundExpiry(uint48 timestamp, uint48 expiry);
    /// @notice More is to be refunded than was captured and not refunded yet.
    error RefundExceedsCapture(uint256 refund, uint256 captured);

    constructor() {
        tokenStoreImplementation = address(new TokenStore(address(this)));
    }

    /// @dev The operator, or the payer, and nobody in their name.
    modifier onlySender(address expected) {
        require(msg.sender == expected, InvalidSender(msg.sender, expected));
        _;
    }

    modifier validAmount(uint256 amount) {
        require(amount > 0, ZeroAmount());
        require(amount <= type(uint120).max, AmountOverflow(amount, type(uint120).max));
        _;
    }

    // ---- money in ----------------------------------------------------------------------------

    /// @notice Takes `amount` from the payer into the operator's store.
    /// @param tokenCollector Any contract that is a collector of payments; it is held to what it
    /// brings, and the payer's signature says through which one tokens may leave.
    /// @param collectorData Handed on to the collector.
    function authorize(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        address tokenCollector,
        bytes calldata collectorData
    ) external nonReentrant onlySender(paymentInfo.operator) validAmount(amount) {
        bytes32 paymentInfoHash = _begin(paymentInfo, amount);
        paymentState[paymentInfoHash] = PaymentState(true, uint120(amount), 0);
        emit PaymentAuthorized(paymentInfoHash, paymentInfo, amount, tokenCollector);
        _collect(
            paymentInfo, amount, tokenCollector, collectorData, TokenCollector.CollectorType.Payment
        );
    }

    /// @notice Takes `amount` from the payer and hands it to the seller, less the fee.
    /// @param feeAmount Minor units of the token, of which `amount` is the whole.
    /// @param feeReceiver As the payment says; anyone, if the payment says nobody.
    function charge(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        address tokenCollector,
        bytes calldata collectorData,
        uint256 feeAmount,
        address feeReceiver
    ) external nonReentrant onlySender(paymentInfo.operator) validAmount(amount) {
        bytes32 paymentInfoHash = _begin(paymentInfo, amount);
        _requireFee(paymentInfo, amount, feeAmount, feeReceiver);
        paymentState[paymentInfoHash] = PaymentState(true, 0, uint120(amount));
        emit PaymentCharged(
            paymentInfoHash, paymentInfo, amount, tokenCollector, feeAmount, feeReceiver
        );
        _collect(
            paymentInfo, amount, tokenCollector, collectorData, TokenCollector.CollectorType.Payment
        );
        _handOver(paymentInfo, amount, feeAmount, feeReceiver);
    }

    // ---- money on ----------------------------------------------------------------------------

    /// @notice Hands `amount` of what is authorized to the seller, less the fee; as often as there is
    /// something left.
    /// @param feeAmount Minor units of the token, of which `amount` is the whole.
    /// @param feeReceiver As the payment says; anyone, if the payment says nobody.
    function capture(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        uint256 feeAmount,
        address feeReceiver
    ) external nonReentrant onlySender(paymentInfo.operator) validAmount(amount) {
        _requireFee(paymentInfo, amount, feeAmount, feeReceiver);
        require(
            block.timestamp < paymentInfo.authorizationExpiry,
            AfterAuthorizationExpiry(uint48(block.timestamp), paymentInfo.authorizationExpiry)
        );
        bytes32 paymentInfoHash = getHash(paymentInfo);
        PaymentState memory state = paymentState[paymentInfoHash];
        require(
            amount <= state.capturableAmount,
            InsufficientAuthorization(paymentInfoHash, state.capturableAmount, amount)
        );
        state.capturableAmount -= uint120(amount);
        state.refundableAmount += uint120(amount);
        paymentState[paymentInfoHash] = state;
        emit PaymentCaptured(paymentInfoHash, amount, feeAmount, feeReceiver);
        _handOver(paymentInfo, amount, feeAmount, feeReceiver);
    }

    // ---- money back --------------------------------------------------------------------------

    /// @notice The operator gives the payer all that is not captured.
    function void(PaymentInfo calldata paymentInfo)
        external
        nonReentrant
        onlySender(paymentInfo.operator)
    {
        (bytes32 paymentInfoHash, uint256 amount) = _takeCapturable(paymentInfo);
        emit PaymentVoided(paymentInfoHash, amount);
        _send(paymentInfo, paymentInfo.payer, amount);
    }

    /// @notice The payer takes all that is not captured, once the time to capture is over.
    function reclaim(PaymentInfo calldata paymentInfo)
        external
        nonReentrant
        onlySender(paymentInfo.payer)
    {
        require(
            block.timestamp >= paymentInfo.authorizationExpiry,
            BeforeAuthorizationExpiry(uint48(block.timestamp), paymentInfo.authorizationExpiry)
        );
        (bytes32 paymentInfoHash, uint256 amount) = _takeCapturable(paymentInfo);
        emit PaymentReclaimed(paymentInfoHash, amount);
        _send(paymentInfo, paymentInfo.payer, amount);
    }

    /// @notice Gives the payer `amount` of what was captured. The collector brings it: what the seller
    /// has got is out of this contract's reach.
    function refund(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        address tokenCollector,
        bytes calldata collectorData
    ) external nonReentrant onlySender(paymentInfo.operator) validAmount(amount) {
        require(
            block.timestamp < paymentInfo.refundExpiry,
            AfterRefundExpiry(uint48(block.timestamp), paymentInfo.refundExpiry)
        );
        bytes32 paymentInfoHash = getHash(paymentInfo);
        uint120 captured = paymentState[paymentInfoHash].refundableAmount;
        require(amount <= captured, RefundExceedsCapture(amount, captured));
        paymentState[paymentInfoHash].refundableAmount = captured - uint120(amount);
        emit PaymentRefunded(paymentInfoHash, amount, tokenCollector);
        _collect(
            paymentInfo, amount, tokenCollector, collectorData, TokenCollector.CollectorType.Refund
        );
        _send(paymentInfo, paymentInfo.payer, amount);
    }

    // ---- questions ---------------------------------------------------------------------------

    /// @notice The name of a payment, bound to this contract on this chain. With the payer left zero
    /// it is the nonce that the payer signs.
    function getHash(PaymentInfo calldata paymentInfo) public view returns (bytes32) {
        bytes32 terms = keccak256(abi.encode(PAYMENT_INFO_TYPEHASH, paymentInfo));
        return keccak256(abi.encode(block.chainid, address(this), terms));
    }

    /// @notice Where the operator's escrowed tokens lie, also before it has any.
    function getTokenStore(address operator) public view returns (address) {
        return Clones.predictDeterministicAddress(tokenStoreImplementation, _salt(operator));
    }

    // ---- what the doors above share ----------------------------------------------------------

    /// @dev Everything that must be true of a payment's terms and time before tokens are taken.
    function _begin(PaymentInfo calldata paymentInfo, uint256 amount)
        private
        view
        returns (bytes32 paymentInfoHash)
    {
        require(amount <= paymentInfo.maxAmount, ExceedsMaxAmount(amount, paymentInfo.maxAmount));
        require(
            block.timestamp < paymentInfo.preApprovalExpiry,
            AfterPreApprovalExpiry(uint48(block.timestamp), paymentInfo.preApprovalExpiry)
        );
        require(
            paymentInfo.preApprovalExpiry <= paymentInfo.authorizationExpiry
                && paymentInfo.authorizationExpiry <= paymentInfo.refundExpiry,
            InvalidExpiries(
                paymentInfo.preApprovalExpiry,
                paymentInfo.authorizationExpiry,
                paymentInfo.refundExpiry
            )
        );
        require(paymentInfo.maxFeeBps <= WHOLE_BPS, FeeBpsOverflow(paymentInfo.maxFeeBps));
        require(
            paymentInfo.minFeeBps <= paymentInfo.maxFeeBps,
            InvalidFeeBpsRange(paymentInfo.minFeeBps, paymentInfo.maxFeeBps)
        );
        paymentInfoHash = getHash(paymentInfo);
        require(
            !paymentState[paymentInfoHash].hasCollectedPayment,
            PaymentAlreadyCollected(paymentInfoHash)
        );
    }

    /// @dev Both bounds are of this capture and rounded down, so of a small capture the fee may be
    /// nothing. A fixed receiver must be named even for a fee of nothing, as in the public contract.
    function _requireFee(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        uint256 feeAmount,
        address feeReceiver
    ) private pure {
        uint256 minFee = amount * paymentInfo.minFeeBps / WHOLE_BPS;
        uint256 maxFee = amount * paymentInfo.maxFeeBps / WHOLE_BPS;
        require(
            minFee <= feeAmount && feeAmount <= maxFee,
            FeeAmountOutOfRange(feeAmount, minFee, maxFee)
        );
        require(feeAmount == 0 || feeReceiver != address(0), ZeroFeeReceiver());
        address fixedReceiver = paymentInfo.feeReceiver;
        require(
            fixedReceiver == address(0) || feeReceiver == fixedReceiver,
            InvalidFeeReceiver(feeReceiver, fixedReceiver)
        );
    }

    /// @dev Holds the collector to its word by what the store owns before and after. Nothing can
    /// leave in between: all that pays out is closed to reentry. The store is made before, so that
    /// no token ever lies where there is no code.
    function _collect(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        address tokenCollector,
        bytes calldata collectorData,
        TokenCollector.CollectorType purpose
    ) private {
        TokenCollector collector = TokenCollector(tokenCollector);
        require(collector.collectorType() == purpose, InvalidCollectorForOperation());
        address store = _storeOf(paymentInfo.operator);
        IERC20 token = IERC20(paymentInfo.token);
        uint256 owned = token.balanceOf(store);
        collector.collectTokens(paymentInfo, store, amount, collectorData);
        require(token.balanceOf(store) == owned + amount, TokenCollectionFailed());
    }

    function _storeOf(address operator) private returns (address store) {
        store = getTokenStore(operator);
        if (store.code.length > 0) return store;
        Clones.cloneDeterministic(tokenStoreImplementation, _salt(operator));
        emit TokenStoreCreated(operator, store);
    }

    function _handOver(
        PaymentInfo calldata paymentInfo,
        uint256 amount,
        uint256 feeAmount,
        address feeReceiver
    ) private {
        if (feeAmount > 0) _send(paymentInfo, feeReceiver, feeAmount);
        if (feeAmount < amount) _send(paymentInfo, paymentInfo.receiver, amount - feeAmount);
    }

    /// @dev The only way out of a store.
    function _send(PaymentInfo calldata paymentInfo, address recipient, uint256 amount) private {
        TokenStore(getTokenStore(paymentInfo.operator))
            .sendTokens(paymentInfo.token, recipient, amount);
    }

    function _takeCapturable(PaymentInfo calldata paymentInfo)
        private
        returns (bytes32 paymentInfoHash, uint256 amount)
    {
        paymentInfoHash = getHash(paymentInfo);
        amount = paymentState[paymentInfoHash].capturableAmount;
        require(amount > 0, ZeroAuthorization(paymentInfoHash));
        paymentState[paymentInfoHash].capturableAmount = 0;
    }

    function _salt(address operator) private pure returns (bytes32) {
        return bytes32(bytes20(operator));
    }
}

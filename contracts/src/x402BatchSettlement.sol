// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IDepositCollector} from "./interfaces/IDepositCollector.sol";

/// @title x402 Batch Settlement
/// @notice Payment channels: a payer deposits once, signs a growing total for each purchase, and the
/// seller claims many payers' totals in one transaction and gets them in one transfer.
/// @dev Written anew to the specification of x402's scheme `batch-settlement` on EVM, and to the
/// public contract's ABI at 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003: the same functions, structs,
/// events, errors and EIP-712 types.
///
/// A channel is a `ChannelConfig`, named by its EIP-712 hash; nothing opens it but its first deposit.
/// It goes through these hands:
///
/// - `deposit`: tokens arrive, through a collector that holds the payer's signature.
/// - `claim`, `claimWithSignature`: the seller proves by a voucher what it earned. No token moves.
/// - `settle`: all that a receiver has claimed in a token, over all channels, goes to the receiver.
/// - `refund`, `refundWithSignature`: the seller gives back what is not claimed.
/// - `initiateWithdraw`, `finalizeWithdraw`: the payer takes it back alone, after a delay in which
///   the seller can still claim.
///
/// What always holds, of each channel: `totalClaimed <= balance`, and `totalClaimed` never falls. Of
/// each token: this contract owns at least all that channels hold beyond their claims, and all that
/// receivers have claimed and not been paid. Nobody has a special right here; there is no owner, no
/// pause and no upgrade.
///
/// A token that takes a fee on transfer is refused at the deposit. One that changes balances by
/// itself harms those who use it, and no channel in another token.
contract x402BatchSettlement is EIP712, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What a channel is. Its hash is the channel's name, so none of it can change.
    struct ChannelConfig {
        /// Who deposits, and to whom every refund and withdrawal goes.
        address payer;
        /// Whose key signs vouchers; zero if the payer itself does, which may be a smart wallet.
        address payerAuthorizer;
        /// Who gets what is claimed.
        address receiver;
        /// Who, beside the receiver, authorizes claims and refunds; by signature also through others.
        address receiverAuthorizer;
        /// The ERC-20 that the channel holds.
        address token;
        /// Seconds from `initiateWithdraw` to the earliest `finalizeWithdraw`.
        uint40 withdrawDelay;
        /// Tells channels apart that are equal in all else.
        bytes32 salt;
    }

    /// @notice What a channel holds, in minor units of its token.
    struct ChannelState {
        /// All deposits, less what was refunded and withdrawn. What was claimed is still in it.
        uint128 balance;
        /// All that was ever claimed.
        uint128 totalClaimed;
    }

    /// @notice A withdrawal that waits for its delay.
    struct WithdrawalState {
        /// Minor units asked for, less what was refunded since.
        uint128 amount;
        /// Unix seconds of the block in which it was asked for; zero if none waits.
        uint40 initiatedAt;
    }

    /// @notice What one receiver has earned in one token over all channels, in minor units.
    struct ReceiverState {
        /// All that was ever claimed for it.
        uint128 totalClaimed;
        /// All that was ever paid out to it.
        uint128 totalSettled;
    }

    /// @notice The payer's word: of this channel, up to this much in total may be claimed.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice A voucher with the payer's signature, and the total that the seller claims under it.
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        /// The channel's `totalClaimed` afterwards; not an addition to it.
        uint128 totalClaimed;
    }

    /// @notice The shortest and the longest delay of a withdrawal, in seconds.
    uint40 public constant MIN_WITHDRAW_DELAY = 15 minutes;
    uint40 public constant MAX_WITHDRAW_DELAY = 30 days;

    /// @notice EIP-712's hashes of the types that are signed here.
    bytes32 public constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 public constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 public constant REFUND_TYPEHASH =
        keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    bytes32 public constant CLAIM_ENTRY_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 public constant CLAIM_BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );

    /// @notice Each channel's balance and claims.
    mapping(bytes32 channelId => ChannelState) public channels;

    /// @notice The nonce that the channel's next signed refund must carry.
    mapping(bytes32 channelId => uint256) public refundNonce;

    /// @notice The withdrawal that waits in each channel.
    mapping(bytes32 channelId => WithdrawalState) public pendingWithdrawals;

    /// @notice What each receiver has earned and been paid in each token.
    mapping(address receiver => mapping(address token => ReceiverState)) public receivers;

    /// @notice An empty channel got its first tokens. It comes again if the channel is emptied by
    /// refund or withdrawal, without ever a claim, and filled once more.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);

    /// @notice The last token left a channel of which nothing was ever claimed.
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);

    /// @notice `amount` arrived, through a call by `sender`.
    event Deposited(
        bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance
    );

    /// @notice `claimAmount` more than before is now the receiver's.
    event Claimed(
        bytes32 indexed channelId,
        address indexed sender,
        uint128 claimAmount,
        uint128 newTotalClaimed
    );

    /// @notice `amount` went to the receiver.
    event Settled(
        address indexed receiver, address indexed token, address indexed sender, uint128 amount
    );

    /// @notice `amount` went back to the payer, by the seller's will.
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// @notice From `finalizeAfter` on, in Unix seconds, the payer can take up to `amount`.
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);

    /// @notice `amount` went back to the payer, by its own will; zero if all was claimed meanwhile.
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    // The errors have no parameters, and these names, because tools know the public contract's.

    /// @notice Payer, receiver, receiver's authorizer or token is zero; or a withdrawal was begun by
    /// somebody else than the payer and its authorizer.
    error InvalidChannel();
    /// @notice The channel's delay is not between the shortest and the longest.
    error WithdrawDelayOutOfRange();
    /// @notice A deposit of nothing.
    error ZeroDeposit();
    /// @notice With this deposit the channel would hold 2^128 or more.
    error DepositOverflow();
    /// @notice A deposit without collector.
    error InvalidCollector();
    /// @notice The collector brought more or less than was announced.
    error DepositCollectionFailed();
    /// @notice A batch of no claims.
    error EmptyBatch();
    /// @notice Neither the receiver nor its authorizer sent this claim.
    error NotAuthorizedToClaim();
    /// @notice The batch has channels of different authorizers, of which only one signed.
    error NotReceiverAuthorizer();
    /// @notice More is claimed than the voucher allows.
    error ClaimExceedsCeiling();
    /// @notice More is claimed than the channel holds.
    error ClaimExceedsBalance();
    /// @notice This is not the signature of the one who must sign.
    error InvalidSignature();
    /// @notice Neither the receiver nor its authorizer sent this refund.
    error NotAuthorizedToRefund();
    /// @notice The refund was signed for another nonce: it was used, or a refund came in between.
    error InvalidRefundNonce();
    /// @notice A refund of nothing.
    error ZeroRefund();
    /// @notice A withdrawal of nothing.
    error NothingToWithdraw();
    /// @notice A withdrawal waits already.
    error WithdrawalAlreadyPending();
    /// @notice More is to be withdrawn than is unclaimed.
    error WithdrawAmountExceedsAvailable();
    /// @notice Neither the payer nor its authorizer sent this.
    error NotAuthorizedToFinalizeWithdraw();
    /// @notice No withdrawal waits.
    error WithdrawalNotPending();
    /// @notice The withdrawal's delay is not over.
    error WithdrawDelayNotElapsed();

    constructor() EIP712("x402 Batch Settlement", "1") {}

    // ---- money in ----------------------------------------------------------------------------

    /// @notice Adds `amount` minor units to a channel; anyone may carry the payer's authorization.
    /// @param collector Any contract; it is held to what it brings, not trusted.
    /// @param collectorData Handed on to the collector.
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external nonReentrant {
        require(
            config.payer != address(0) && config.receiver != address(0)
                && config.receiverAuthorizer != address(0) && config.token != address(0),
            InvalidChannel()
        );
        require(
            config.withdrawDelay >= MIN_WITHDRAW_DELAY
                && config.withdrawDelay <= MAX_WITHDRAW_DELAY,
            WithdrawDelayOutOfRange()
        );
        require(amount > 0, ZeroDeposit());
        require(collector != address(0), InvalidCollector());

        bytes32 channelId = getChannelId(config);
        ChannelState storage channel = channels[channelId];
        uint128 before = channel.balance;
        require(amount <= type(uint128).max - before, DepositOverflow());
        channel.balance = before + amount;

        _collect(config, amount, channelId, collector, collectorData);

        // Claims never exceed the balance, so an empty channel has none.
        if (before == 0) emit ChannelCreated(channelId, config);
        emit Deposited(channelId, msg.sender, amount, before + amount);
    }

    /// @dev Holds the collector to its word by what this contract owns before and after. Nothing can
    /// leave in between: all that pays out is closed to reentry.
    function _collect(
        ChannelConfig calldata config,
        uint128 amount,
        bytes32 channelId,
        address collector,
        bytes calldata collectorData
    ) private {
        IERC20 token = IERC20(config.token);
        uint256 owned = token.balanceOf(address(this));
        IDepositCollector(collector)
            .collect(config.payer, config.token, amount, channelId, collectorData);
        require(token.balanceOf(address(this)) == owned + amount, DepositCollectionFailed());
    }

    // ---- claims and settlement ---------------------------------------------------------------

    /// @notice Claims by the receiver, or its authorizer, of every channel in the batch.
    /// @dev A payer's withdrawal ends what can be claimed, vouchers or not: claim within its delay.
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        require(voucherClaims.length > 0, EmptyBatch());
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            require(
                _isReceiverSide(voucherClaims[i].voucher.channel, msg.sender),
                NotAuthorizedToClaim()
            );
            _claim(voucherClaims[i]);
        }
    }

    /// @notice Claims that one authorizer signed for all channels of the batch; anyone may carry it.
    /// @param authorizerSignature Over `getClaimBatchDigest(voucherClaims)`. It needs no nonce:
    /// a claim that was applied changes nothing when it comes again.
    function claimWithSignature(
        VoucherClaim[] calldata voucherClaims,
        bytes calldata authorizerSignature
    ) external nonReentrant {
        require(voucherClaims.length > 0, EmptyBatch());
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        require(
            SignatureChecker.isValidSignatureNowCalldata(
                authorizer, getClaimBatchDigest(voucherClaims), authorizerSignature
            ),
            InvalidSignature()
        );
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            require(
                voucherClaims[i].voucher.channel.receiverAuthorizer == authorizer,
                NotReceiverAuthorizer()
            );
            _claim(voucherClaims[i]);
        }
    }

    /// @notice Pays a receiver all that was claimed for it in a token; anyone may call. Without
    /// anything to pay it does nothing.
    function settle(address receiver, address token) external nonReentrant {
        ReceiverState storage earned = receivers[receiver][token];
        uint128 amount = earned.totalClaimed - earned.totalSettled;
        if (amount == 0) return;
        earned.totalSettled += amount;
        IERC20(token).safeTransfer(receiver, amount);
        emit Settled(receiver, token, msg.sender, amount);
    }

    /// @dev One row of a batch. A total that is claimed already changes nothing and asks for no
    /// proof, so that a batch does not fail because some of its rows came before it.
    function _claim(VoucherClaim calldata row) private {
        ChannelConfig calldata config = row.voucher.channel;
        bytes32 channelId = getChannelId(config);
        ChannelState storage channel = channels[channelId];
        uint128 before = channel.totalClaimed;
        if (row.totalClaimed <= before) return;

        require(row.totalClaimed <= row.voucher.maxClaimableAmount, ClaimExceedsCeiling());
        require(row.totalClaimed <= channel.balance, ClaimExceedsBalance());
        _requireVoucher(config, channelId, row.voucher.maxClaimableAmount, row.signature);

        uint128 more = row.totalClaimed - before;
        channel.totalClaimed = row.totalClaimed;
        receivers[config.receiver][config.token].totalClaimed += more;
        emit Claimed(channelId, msg.sender, more, row.totalClaimed);
    }

    /// @dev The payer's authorizer is a key, and nothing else, so that anyone can check its vouchers
    /// without a chain. Without authorizer the payer signs: by key, or by its ERC-1271 code.
    function _requireVoucher(
        ChannelConfig calldata config,
        bytes32 channelId,
        uint128 maxClaimableAmount,
        bytes calldata signature
    ) private view {
        bytes32 digest = getVoucherDigest(channelId, maxClaimableAmount);
        bool good;
        if (config.payerAuthorizer == address(0)) {
            good = SignatureChecker.isValidSignatureNowCalldata(config.payer, digest, signature);
        } else {
            (address signer, ECDSA.RecoverError fault,) =
                ECDSA.tryRecoverCalldata(digest, signature);
            good = fault == ECDSA.RecoverError.NoError && signer == config.payerAuthorizer;
        }
        require(good, InvalidSignature());
    }

    // ---- money back --------------------------------------------------------------------------

    /// @notice Gives the payer up to `amount` of what is not claimed; by receiver or authorizer.
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        require(_isReceiverSide(config, msg.sender), NotAuthorizedToRefund());
        _refund(config, getChannelId(config), amount);
    }

    /// @notice As `refund`, signed by the receiver's authorizer; anyone may carry it, once.
    /// @param nonce What `refundNonce` says of the channel.
    /// @param receiverAuthorizerSignature Over `getRefundDigest`.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        require(nonce == refundNonce[channelId], InvalidRefundNonce());
        require(
            SignatureChecker.isValidSignatureNowCalldata(
                config.receiverAuthorizer,
                getRefundDigest(channelId, nonce, amount),
                receiverAuthorizerSignature
            ),
            InvalidSignature()
        );
        _refund(config, channelId, amount);
    }

    /// @notice The payer, or its authorizer, asks for `amount` of what is not claimed.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        require(_isPayerSide(config, msg.sender), InvalidChannel());
        require(amount > 0, NothingToWithdraw());
        bytes32 channelId = getChannelId(config);
        WithdrawalState storage waiting = pendingWithdrawals[channelId];
        require(waiting.initiatedAt == 0, WithdrawalAlreadyPending());
        require(amount <= _unclaimed(channels[channelId]), WithdrawAmountExceedsAvailable());

        uint40 begun = uint40(block.timestamp);
        (waiting.amount, waiting.initiatedAt) = (amount, begun);
        emit WithdrawInitiated(channelId, amount, begun + config.withdrawDelay);
    }

    /// @notice The payer gets what it asked for, or what the seller has left of it unclaimed; sent by
    /// the payer or its authorizer, from the second on in which the delay is over.
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        require(_isPayerSide(config, msg.sender), NotAuthorizedToFinalizeWithdraw());
        bytes32 channelId = getChannelId(config);
        WithdrawalState memory waiting = pendingWithdrawals[channelId];
        require(waiting.initiatedAt != 0, WithdrawalNotPending());
        require(
            block.timestamp >= uint256(waiting.initiatedAt) + config.withdrawDelay,
            WithdrawDelayNotElapsed()
        );

        delete pendingWithdrawals[channelId];
        uint128 amount = _smaller(waiting.amount, _unclaimed(channels[channelId]));
        emit WithdrawFinalized(channelId, msg.sender, amount);
        _giveBack(config, channelId, amount);
    }

    /// @dev The nonce is spent first and in any case, so that a signature is good once even when
    /// there was nothing to refund.
    function _refund(ChannelConfig calldata config, bytes32 channelId, uint128 amount) private {
        require(amount > 0, ZeroRefund());
        refundNonce[channelId] += 1;
        uint128 refunded = _smaller(amount, _unclaimed(channels[channelId]));
        if (refunded == 0) return;

        // What is given back now is not withdrawn again later.
        WithdrawalState storage waiting = pendingWithdrawals[channelId];
        if (refunded < waiting.amount) {
            waiting.amount -= refunded;
        } else {
            delete pendingWithdrawals[channelId];
        }
        emit Refunded(channelId, msg.sender, refunded);
        _giveBack(config, channelId, refunded);
    }

    /// @dev The only way back to a payer. `amount` is at most what is unclaimed.
    function _giveBack(ChannelConfig calldata config, bytes32 channelId, uint128 amount) private {
        if (amount == 0) return;
        ChannelState storage channel = channels[channelId];
        channel.balance -= amount;
        // Claims never exceed the balance, so an empty channel has none.
        if (channel.balance == 0) emit ChannelClosed(channelId, config);
        IERC20(config.token).safeTransfer(config.payer, amount);
    }

    // ---- what is signed ----------------------------------------------------------------------

    /// @notice The name of a channel: its EIP-712 hash, bound to this contract on this chain.
    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    /// @notice What a payer signs to let up to `maxClaimableAmount` in total be claimed.
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount))
        );
    }

    /// @notice What a receiver's authorizer signs to refund up to `amount`.
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
    }

    /// @notice What a receiver's authorizer signs to claim a batch, in its order.
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims)
        public
        view
        returns (bytes32)
    {
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            entries[i] = keccak256(
                abi.encode(
                    CLAIM_ENTRY_TYPEHASH,
                    getChannelId(row.voucher.channel),
                    row.voucher.maxClaimableAmount,
                    row.totalClaimed
                )
            );
        }
        bytes32 list = keccak256(abi.encodePacked(entries));
        return _hashTypedDataV4(keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, list)));
    }

    // ---- small questions ---------------------------------------------------------------------

    function _isReceiverSide(ChannelConfig calldata config, address sender)
        private
        pure
        returns (bool)
    {
        return sender == config.receiver || sender == config.receiverAuthorizer;
    }

    function _isPayerSide(ChannelConfig calldata config, address sender)
        private
        pure
        returns (bool)
    {
        return sender == config.payer || sender == config.payerAuthorizer;
    }

    function _unclaimed(ChannelState memory channel) private pure returns (uint128) {
        return channel.balance - channel.totalClaimed;
    }

    function _smaller(uint128 a, uint128 b) private pure returns (uint128) {
        return a < b ? a : b;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Permit2's transfers by allowance
/// @notice A payer lets a spender take up to an amount, in as many parts as it likes, until a time.
/// @dev Functions, structs, errors and events are those of the public contract
/// (github.com/Uniswap/permit2), which clients encode and decode by.
interface IAllowanceTransfer {
    /// @notice An allowance as a payer signs it.
    struct PermitDetails {
        /// The token's contract.
        address token;
        /// Minor units; the largest value means without limit.
        uint160 amount;
        /// Unix seconds, the last at which it is good; zero means in this block only.
        uint48 expiration;
        /// The next nonce of this owner, token and spender: signed allowances come in order.
        uint48 nonce;
    }

    /// @notice What a payer signs for one token.
    struct PermitSingle {
        PermitDetails details;
        /// Who may take.
        address spender;
        /// Unix seconds; the signature is good up to and including this second.
        uint256 sigDeadline;
    }

    /// @notice What a payer signs for several tokens and one spender.
    struct PermitBatch {
        PermitDetails[] details;
        /// Who may take.
        address spender;
        /// Unix seconds; the signature is good up to and including this second.
        uint256 sigDeadline;
    }

    /// @notice An allowance as it stands; one word of storage.
    struct PackedAllowance {
        /// Minor units that are left; the largest value means without limit, and stays.
        uint160 amount;
        /// Unix seconds, the last at which it is good.
        uint48 expiration;
        /// The nonce that the next signed allowance must have.
        uint48 nonce;
    }

    /// @notice One allowance of the caller's, to be taken back.
    struct TokenSpenderPair {
        address token;
        address spender;
    }

    /// @notice One transfer of a batch; each takes from its own allowance.
    struct AllowanceTransferDetails {
        address from;
        address to;
        /// Minor units.
        uint160 amount;
        address token;
    }

    /// @notice The allowance was good up to `deadline`, Unix seconds; zero if there never was one.
    error AllowanceExpired(uint256 deadline);

    /// @notice Only `amount` is left of the allowance.
    error InsufficientAllowance(uint256 amount);

    /// @notice At most 65535 nonces can be taken back at once.
    error ExcessiveInvalidation();

    /// @notice `owner` took back the nonces from `oldNonce` up to but without `newNonce`.
    event NonceInvalidation(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint48 newNonce,
        uint48 oldNonce
    );

    /// @notice `owner` itself set an allowance.
    event Approval(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint160 amount,
        uint48 expiration
    );

    /// @notice An allowance was set by the signature of `owner`.
    event Permit(
        address indexed owner,
        address indexed token,
        address indexed spender,
        uint160 amount,
        uint48 expiration,
        uint48 nonce
    );

    /// @notice `owner` took back an allowance whole.
    event Lockdown(address indexed owner, address token, address spender);

    /// @notice What `spender` may still take of `token` from `user`, until when, and the next nonce.
    function allowance(address user, address token, address spender)
        external
        view
        returns (uint160 amount, uint48 expiration, uint48 nonce);

    /// @notice Sets the caller's own allowance; its nonce stays.
    /// @param expiration Unix seconds; zero means in this block only.
    function approve(address token, address spender, uint160 amount, uint48 expiration) external;

    /// @notice Sets an allowance by the signature of `owner`; anyone may carry it.
    function permit(address owner, PermitSingle calldata permitSingle, bytes calldata signature)
        external;

    /// @notice Sets several allowances by one signature of `owner`; anyone may carry it.
    function permit(address owner, PermitBatch calldata permitBatch, bytes calldata signature)
        external;

    /// @notice Moves from what `from` allowed the caller.
    function transferFrom(address from, address to, uint160 amount, address token) external;

    /// @notice Moves several times, from what each `from` allowed the caller; all or none.
    function transferFrom(AllowanceTransferDetails[] calldata transferDetails) external;

    /// @notice Takes back the caller's own allowances, whole.
    function lockdown(TokenSpenderPair[] calldata approvals) external;

    /// @notice Takes back what the caller signed with a nonce below `newNonce` and did not use yet.
    function invalidateNonces(address token, address spender, uint48 newNonce) external;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Permit2's transfers by signature
/// @notice A payer signs once what one spender may take; the spender takes it, or less, once.
/// @dev Functions, structs, errors and events are those of the public contract
/// (github.com/Uniswap/permit2), which clients encode and decode by.
interface ISignatureTransfer {
    /// @notice What may be taken, of one token.
    struct TokenPermissions {
        /// The token's contract.
        address token;
        /// The most that may be taken, in the token's minor units.
        uint256 amount;
    }

    /// @notice What a payer signs for one token, without the spender, who is always the caller.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        /// Chosen by the payer, in any order; each is good once.
        uint256 nonce;
        /// Unix seconds; good up to and including this second.
        uint256 deadline;
    }

    /// @notice What a payer signs for several tokens, or several payees of one.
    struct PermitBatchTransferFrom {
        TokenPermissions[] permitted;
        /// Chosen by the payer, in any order; each is good once.
        uint256 nonce;
        /// Unix seconds; good up to and including this second.
        uint256 deadline;
    }

    /// @notice What the spender asks for, within what was permitted.
    struct SignatureTransferDetails {
        /// Who gets it.
        address to;
        /// Minor units of the permitted token.
        uint256 requestedAmount;
    }

    /// @notice More was asked for than the `maxAmount` that was signed.
    error InvalidAmount(uint256 maxAmount);

    /// @notice A batch must ask for exactly as many transfers as it permits; those of zero are left out.
    error LengthMismatch();

    /// @notice `owner` took back the nonces `mask` of the word `word`: nonce 256 * word + bit.
    event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

    /// @notice Which nonces of `owner` are used: bit `b` of the word `w` stands for nonce 256 * w + b.
    function nonceBitmap(address owner, uint256 word) external view returns (uint256 used);

    /// @notice Moves what `owner` signed for the caller, or less.
    /// @param signature Over PermitTransferFrom, with the caller as its spender.
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external;

    /// @notice As the single `permitTransferFrom`, for several tokens under one signature and nonce.
    /// @param signature Over PermitBatchTransferFrom, with the caller as its spender.
    function permitTransferFrom(
        PermitBatchTransferFrom calldata permit,
        SignatureTransferDetails[] calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external;

    /// @notice As `permitTransferFrom`, where `owner` also signed a struct of the spender's own.
    /// @param witness That struct's EIP-712 hash.
    /// @param witnessTypeString The rest of the signed type after its deadline: the witness member,
    /// the closing parenthesis, then TokenPermissions and the witness's types, sorted by name.
    /// @param signature Over PermitWitnessTransferFrom, with the caller as its spender.
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;

    /// @notice As the single `permitWitnessTransferFrom`, for several tokens.
    /// @param signature Over PermitBatchWitnessTransferFrom, with the caller as its spender.
    function permitWitnessTransferFrom(
        PermitBatchTransferFrom calldata permit,
        SignatureTransferDetails[] calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;

    /// @notice Takes back the caller's own nonces `mask` of the word `wordPos`, used or not.
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
}

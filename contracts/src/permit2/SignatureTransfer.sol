// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "./ISignatureTransfer.sol";
import {SignedOrders} from "./SignedOrders.sol";

/// @title The half of Permit2 in which one signature allows one call of one spender
/// @dev The checks come in the order of the public contract: deadline, amount (in a batch: number of
/// transfers), nonce, signature, and in a batch each amount. A nonce is used up before anything moves,
/// so a token that calls back finds it used.
abstract contract SignatureTransfer is ISignatureTransfer, SignedOrders {
    bytes32 private constant TOKEN_PERMISSIONS_TYPEHASH =
        keccak256("TokenPermissions(address token,uint256 amount)");
    bytes32 private constant SINGLE_TYPEHASH = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)"
        "TokenPermissions(address token,uint256 amount)"
    );
    bytes32 private constant BATCH_TYPEHASH = keccak256(
        "PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline)"
        "TokenPermissions(address token,uint256 amount)"
    );
    /// @dev The beginning of a type whose end the spender gives.
    string private constant SINGLE_WITNESS_STEM =
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,";
    string private constant BATCH_WITNESS_STEM =
        "PermitBatchWitnessTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline,";

    /// @inheritdoc ISignatureTransfer
    mapping(address owner => mapping(uint256 word => uint256 used)) public nonceBitmap;

    /// @inheritdoc ISignatureTransfer
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                SINGLE_TYPEHASH, _hash(permit.permitted), msg.sender, permit.nonce, permit.deadline
            )
        );
        _transferOne(permit, transferDetails, owner, order, signature);
    }

    /// @inheritdoc ISignatureTransfer
    function permitTransferFrom(
        PermitBatchTransferFrom calldata permit,
        SignatureTransferDetails[] calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                BATCH_TYPEHASH, _hash(permit.permitted), msg.sender, permit.nonce, permit.deadline
            )
        );
        _transferMany(permit, transferDetails, owner, order, signature);
    }

    /// @inheritdoc ISignatureTransfer
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                keccak256(abi.encodePacked(SINGLE_WITNESS_STEM, witnessTypeString)),
                _hash(permit.permitted),
                msg.sender,
                permit.nonce,
                permit.deadline,
                witness
            )
        );
        _transferOne(permit, transferDetails, owner, order, signature);
    }

    /// @inheritdoc ISignatureTransfer
    function permitWitnessTransferFrom(
        PermitBatchTransferFrom calldata permit,
        SignatureTransferDetails[] calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                keccak256(abi.encodePacked(BATCH_WITNESS_STEM, witnessTypeString)),
                _hash(permit.permitted),
                msg.sender,
                permit.nonce,
                permit.deadline,
                witness
            )
        );
        _transferMany(permit, transferDetails, owner, order, signature);
    }

    /// @inheritdoc ISignatureTransfer
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external {
        nonceBitmap[msg.sender][wordPos] |= mask;
        emit UnorderedNonceInvalidation(msg.sender, wordPos, mask);
    }

    function _transferOne(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata asked,
        address owner,
        bytes32 order,
        bytes calldata signature
    ) private {
        TokenPermissions calldata permitted = permit.permitted;
        _requireInTime(permit.deadline);
        require(asked.requestedAmount <= permitted.amount, InvalidAmount(permitted.amount));
        _useNonce(owner, permit.nonce);
        _requireSigned(owner, order, signature);
        _move(permitted.token, owner, asked.to, asked.requestedAmount);
    }

    function _transferMany(
        PermitBatchTransferFrom calldata permit,
        SignatureTransferDetails[] calldata asked,
        address owner,
        bytes32 order,
        bytes calldata signature
    ) private {
        _requireInTime(permit.deadline);
        require(asked.length == permit.permitted.length, LengthMismatch());
        _useNonce(owner, permit.nonce);
        _requireSigned(owner, order, signature);
        for (uint256 i = 0; i < asked.length; ++i) {
            TokenPermissions calldata permitted = permit.permitted[i];
            uint256 amount = asked[i].requestedAmount;
            require(amount <= permitted.amount, InvalidAmount(permitted.amount));
            if (amount > 0) _move(permitted.token, owner, asked[i].to, amount);
        }
    }

    /// @dev The upper 248 bits of a nonce say which word, the lower 8 which bit of it.
    function _useNonce(address owner, uint256 nonce) private {
        uint256 word = nonce >> 8;
        // forge-lint: disable-next-line(incorrect-shift)
        uint256 bit = 1 << (nonce & 0xff);
        uint256 used = nonceBitmap[owner][word];
        require(used & bit == 0, InvalidNonce());
        nonceBitmap[owner][word] = used | bit;
    }

    function _hash(TokenPermissions calldata permitted) private pure returns (bytes32) {
        return keccak256(abi.encode(TOKEN_PERMISSIONS_TYPEHASH, permitted.token, permitted.amount));
    }

    function _hash(TokenPermissions[] calldata permitted) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](permitted.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = _hash(permitted[i]);
        }
        return keccak256(abi.encodePacked(hashes));
    }
}

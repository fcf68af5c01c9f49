// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAllowanceTransfer} from "./IAllowanceTransfer.sol";
import {SignedOrders} from "./SignedOrders.sol";

/// @title The half of Permit2 in which a spender takes from an allowance
abstract contract AllowanceTransfer is IAllowanceTransfer, SignedOrders {
    bytes32 private constant DETAILS_TYPEHASH =
        keccak256("PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)");
    bytes32 private constant SINGLE_TYPEHASH = keccak256(
        "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)"
        "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
    );
    bytes32 private constant BATCH_TYPEHASH = keccak256(
        "PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)"
        "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
    );

    /// @inheritdoc IAllowanceTransfer
    mapping(
        address user => mapping(address token => mapping(address spender => PackedAllowance))
    ) public allowance;

    /// @inheritdoc IAllowanceTransfer
    function approve(address token, address spender, uint160 amount, uint48 expiration) external {
        PackedAllowance storage allowed = allowance[msg.sender][token][spender];
        (allowed.amount, allowed.expiration) = (amount, _orThisBlock(expiration));
        emit Approval(msg.sender, token, spender, amount, expiration);
    }

    /// @inheritdoc IAllowanceTransfer
    function permit(address owner, PermitSingle calldata permitSingle, bytes calldata signature)
        external
    {
        _requireInTime(permitSingle.sigDeadline);
        bytes32 order = keccak256(
            abi.encode(
                SINGLE_TYPEHASH,
                _hash(permitSingle.details),
                permitSingle.spender,
                permitSingle.sigDeadline
            )
        );
        _requireSigned(owner, order, signature);
        _set(owner, permitSingle.spender, permitSingle.details);
    }

    /// @inheritdoc IAllowanceTransfer
    function permit(address owner, PermitBatch calldata permitBatch, bytes calldata signature)
        external
    {
        _requireInTime(permitBatch.sigDeadline);
        PermitDetails[] calldata details = permitBatch.details;
        bytes32[] memory hashes = new bytes32[](details.length);
        for (uint256 i = 0; i < details.length; ++i) {
            hashes[i] = _hash(details[i]);
        }
        bytes32 order = keccak256(
            abi.encode(
                BATCH_TYPEHASH,
                keccak256(abi.encodePacked(hashes)),
                permitBatch.spender,
                permitBatch.sigDeadline
            )
        );
        _requireSigned(owner, order, signature);
        for (uint256 i = 0; i < details.length; ++i) {
            _set(owner, permitBatch.spender, details[i]);
        }
    }

    /// @inheritdoc IAllowanceTransfer
    function transferFrom(address from, address to, uint160 amount, address token) external {
        _take(from, to, amount, token);
    }

    /// @inheritdoc IAllowanceTransfer
    function transferFrom(AllowanceTransferDetails[] calldata transferDetails) external {
        for (uint256 i = 0; i < transferDetails.length; ++i) {
            AllowanceTransferDetails calldata one = transferDetails[i];
            _take(one.from, one.to, one.amount, one.token);
        }
    }

    /// @inheritdoc IAllowanceTransfer
    function lockdown(TokenSpenderPair[] calldata approvals) external {
        for (uint256 i = 0; i < approvals.length; ++i) {
            (address token, address spender) = (approvals[i].token, approvals[i].spender);
            allowance[msg.sender][token][spender].amount = 0;
            emit Lockdown(msg.sender, token, spender);
        }
    }

    /// @inheritdoc IAllowanceTransfer
    function invalidateNonces(address token, address spender, uint48 newNonce) external {
        PackedAllowance storage allowed = allowance[msg.sender][token][spender];
        uint48 oldNonce = allowed.nonce;
        require(newNonce > oldNonce, InvalidNonce());
        require(newNonce - oldNonce <= type(uint16).max, ExcessiveInvalidation());
        allowed.nonce = newNonce;
        emit NonceInvalidation(msg.sender, token, spender, newNonce, oldNonce);
    }

    /// @dev What the caller takes is gone from its allowance before anything moves.
    function _take(address from, address to, uint160 amount, address token) private {
        PackedAllowance storage allowed = allowance[from][token][msg.sender];
        require(block.timestamp <= allowed.expiration, AllowanceExpired(allowed.expiration));
        uint160 left = allowed.amount;
        if (left != type(uint160).max) {
            require(amount <= left, InsufficientAllowance(left));
            allowed.amount = left - amount;
        }
        _move(token, from, to, amount);
    }

    /// @dev Sets what was signed, if its nonce is the next one.
    function _set(address owner, address spender, PermitDetails calldata details) private {
        PackedAllowance storage allowed = allowance[owner][details.token][spender];
        require(details.nonce == allowed.nonce, InvalidNonce());
        allowed.amount = details.amount;
        allowed.expiration = _orThisBlock(details.expiration);
        allowed.nonce = details.nonce + 1;
        emit Permit(
            owner, details.token, spender, details.amount, details.expiration, details.nonce
        );
    }

    function _orThisBlock(uint48 expiration) private view returns (uint48) {
        return expiration == 0 ? uint48(block.timestamp) : expiration;
    }

    function _hash(PermitDetails calldata details) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                DETAILS_TYPEHASH, details.token, details.amount, details.expiration, details.nonce
            )
        );
    }
}

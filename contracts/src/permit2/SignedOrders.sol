// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title What both halves of Permit2 share: its EIP-712 domain, the check of a signature, the move
abstract contract SignedOrders {
    using SafeERC20 for IERC20;

    /// @dev A domain without version, as the public contract has it.
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Permit2");

    /// @notice The signature was good up to `signatureDeadline`, Unix seconds.
    error SignatureExpired(uint256 signatureDeadline);

    /// @notice The nonce is used or taken back already, or it is not the next one.
    error InvalidNonce();

    /// @notice A key's signature is 65 bytes (r, s, v), or 64 (r, vs) by ERC-2098.
    error InvalidSignatureLength();

    /// @notice The bytes are nobody's signature.
    error InvalidSignature();

    /// @notice Somebody else signed.
    error InvalidSigner();

    /// @notice The account has code, and that does not take the signature for its own (ERC-1271).
    error InvalidContractSignature();

    /// @notice The EIP-712 domain separator for this contract on this chain.
    /// @dev Computed at each call, so that there is nothing to set when it is deployed, and it is right
    /// on every chain, also after a fork.
    // The name is that of the public ABI.
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() public view returns (bytes32 separator) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, block.chainid, address(this)));
    }

    /// @dev Refuses after `deadline`.
    function _requireInTime(uint256 deadline) internal view {
        require(block.timestamp <= deadline, SignatureExpired(deadline));
    }

    /// @dev Refuses unless `owner` signed the struct with this hash. An account with code is asked
    /// (ERC-1271); else its key must have signed. Each order is bound to a nonce, so that it does not
    /// matter that a second signature can be made from one (s and the curve's order less s).
    function _requireSigned(address owner, bytes32 structHash, bytes calldata signature)
        internal
        view
    {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), structHash));
        if (owner.code.length > 0) {
            require(
                SignatureChecker.isValidERC1271SignatureNowCalldata(owner, digest, signature),
                InvalidContractSignature()
            );
            return;
        }
        (bytes32 r, bytes32 s, uint8 v) = _parts(signature);
        address signer = ecrecover(digest, v, r, s);
        require(signer != address(0), InvalidSignature());
        require(signer == owner, InvalidSigner());
    }

    /// @dev Moves the tokens, or refuses with the text of the public contract. Unlike there, an address
    /// without code is no token: nothing would move.
    function _move(address token, address from, address to, uint256 amount) internal {
        require(IERC20(token).trySafeTransferFrom(from, to, amount), "TRANSFER_FROM_FAILED");
    }

    function _parts(bytes calldata signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        if (signature.length == 65) {
            (r, s) = abi.decode(signature, (bytes32, bytes32));
            v = uint8(signature[64]);
        } else if (signature.length == 64) {
            // ERC-2098: the highest bit of the second word, which is never set in a low s, says which v.
            uint256 vs;
            (r, vs) = abi.decode(signature, (bytes32, uint256));
            s = bytes32(vs & type(uint256).max >> 1);
            v = vs >> 255 == 0 ? 27 : 28;
        } else {
            revert InvalidSignatureLength();
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Machina Dollar (MUSD)
/// @notice PLAY MONEY. It is backed by nothing, redeemable for nothing, and made out of thin air by
/// its minter. It lets an embedded economy run; on a public chain machines use a real stablecoin.
/// @dev An ERC-20 of 6 decimals that moves by signature: EIP-3009 (transfer, receive and cancel, each
/// as (v, r, s) and as bytes) and EIP-2612 (permit). It answers what x402 asks of USDC: `version()`
/// is the version of the EIP-712 domain.
///
/// The two forms of signature differ in one point. (v, r, s) is always the account's own key. The
/// bytes form asks an account that has code, by ERC-1271, whether the signature is its own; so smart
/// wallets can pay. For an account without code both say the same.
///
/// It has no pause, no blacklist and no upgrade: who holds it can always move it.
contract MachinaDollar is ERC3009, ERC20Permit {
    string private constant NAME = "Machina Dollar";
    string private constant SYMBOL = "MUSD";
    string private constant VERSION = "1";

    /// @notice Who may make new dollars, and hand that right on.
    address public minter;

    /// @notice The right to mint passed from `from` to `to`; `from` is zero at the beginning.
    event MinterChanged(address indexed from, address indexed to);

    /// @notice `caller` is not the minter.
    error MinterOnly(address caller);

    /// @notice The zero address cannot be the minter.
    error MinterMissing();

    constructor(address firstMinter) ERC20(NAME, SYMBOL) ERC20Permit(NAME) {
        require(firstMinter != address(0), MinterMissing());
        minter = firstMinter;
        emit MinterChanged(address(0), firstMinter);
    }

    modifier onlyMinter() {
        require(msg.sender == minter, MinterOnly(msg.sender));
        _;
    }

    /// @notice Makes `value` minor units (millionths of a dollar) out of nothing, for `to`.
    function mint(address to, uint256 value) external onlyMinter {
        _mint(to, value);
    }

    /// @notice Hands the right to mint to `next`. There is always exactly one minter.
    function setMinter(address next) external onlyMinter {
        require(next != address(0), MinterMissing());
        emit MinterChanged(minter, next);
        minter = next;
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice The version of the EIP-712 domain, which wallets and x402 clients sign for.
    function version() external pure returns (string memory) {
        return VERSION;
    }

    /// @notice Moves `value` from `from` to `to` on the signed order of `from`; anyone may carry it.
    /// @param validAfter Unix seconds; good only in blocks later than this.
    /// @param validBefore Unix seconds; good only in blocks earlier than this.
    /// @param nonce Chosen by the payer, at random; an order is good once.
    /// @param signature 65 bytes r, s, v of the account's key, or whatever its ERC-1271 code accepts.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                TRANSFER_WITH_AUTHORIZATION_TYPEHASH,
                from,
                to,
                value,
                validAfter,
                validBefore,
                nonce
            )
        );
        _requireSigned(from, order, signature);
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As `transferWithAuthorization`, but only `to` itself may carry the order, so that
    /// nobody can take it out of the call that it was meant for.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 order = keccak256(
            abi.encode(
                RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
            )
        );
        _requireSigned(from, order, signature);
        require(to == msg.sender, ERC20InvalidReceiver(to));
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice Takes back the order with this nonce, if it is not used yet; anyone may carry it.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature)
        external
    {
        bytes32 order = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        _requireSigned(authorizer, order, signature);
        _cancelAuthorization(authorizer, nonce);
    }

    /// @dev EIP-3009 knows only Unix seconds. OpenZeppelin's reading also admits windows in block
    /// numbers, when bit 47 is set in both ends; here they are refused, so that an order means on the
    /// chain exactly what sellers and facilitators read in it.
    function _checkValidity(uint256 validAfter, uint256 validBefore) internal view override {
        require(
            validAfter < block.timestamp && block.timestamp < validBefore,
            ERC3009InvalidAuthorizationTime(validAfter, validBefore)
        );
    }

    /// @dev Refuses unless `account` signed `order`, in the domain of this contract on this chain.
    function _requireSigned(address account, bytes32 order, bytes calldata signature) private view {
        require(
            SignatureChecker.isValidSignatureNowCalldata(
                account, _hashTypedDataV4(order), signature
            ),
            ERC3009InvalidSignature()
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {DepositCollector} from "./bases/DepositCollector.sol";
import {ISignatureTransfer} from "./permit2/ISignatureTransfer.sol";

/// @title Deposits by Permit2
/// @notice Moves any ERC-20 from a payer who approved Permit2 straight to the settlement contract.
/// The payer's signature names this collector as the spender, and the channel as its witness.
/// @dev Written anew to the public contract at 0x4020425FAf3B746C082C2f942b4E5159887B0005.
contract Permit2DepositCollector is DepositCollector {
    /// @notice The Permit2 that payers approve.
    ISignatureTransfer public immutable PERMIT2;

    /// @notice What Permit2 appends to its own type to get the type that the payer signed.
    string public constant DEPOSIT_WITNESS_TYPE_STRING =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";

    /// @notice EIP-712's hash of the witness's type.
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH =
        keccak256("DepositWitness(bytes32 channelId)");

    /// @notice The constructor was given no Permit2.
    error InvalidPermit2Address();

    /// @notice The EIP-2612 permit that came along is for another amount than the deposit.
    error Permit2612AmountMismatch();

    /// @notice The EIP-2612 permit failed with a text. The deposit went on: the allowance may be
    /// there already, for instance because somebody else carried the permit first.
    event EIP2612PermitFailedWithReason(
        address indexed token, address indexed owner, string reason
    );

    /// @notice As `EIP2612PermitFailedWithReason`, with a panic's code.
    event EIP2612PermitFailedWithPanic(
        address indexed token, address indexed owner, uint256 errorCode
    );

    /// @notice As `EIP2612PermitFailedWithReason`, with any other revert data.
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    constructor(address settlement, address permit2) DepositCollector(settlement) {
        require(permit2 != address(0), InvalidPermit2Address());
        PERMIT2 = ISignatureTransfer(permit2);
    }

    /// @notice As `IDepositCollector` says.
    /// @param collectorData `abi.encode(uint256 nonce, uint256 deadline, bytes signature, bytes
    /// permit)`, as the x402 SDK encodes it. `permit` is empty, or an EIP-2612 permit for Permit2 as
    /// `abi.encode(uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)`, by which a payer
    /// without gas approves Permit2 in the same transaction.
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external onlySettlement {
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory permit) =
            abi.decode(collectorData, (uint256, uint256, bytes, bytes));
        if (permit.length > 0) _permit(payer, token, amount, permit);

        PERMIT2.permitWitnessTransferFrom(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions(token, amount),
                nonce: nonce,
                deadline: deadline
            }),
            ISignatureTransfer.SignatureTransferDetails(x402BatchSettlement, amount),
            payer,
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, channelId)),
            DEPOSIT_WITNESS_TYPE_STRING,
            signature
        );
    }

    /// @dev Lets the payer approve Permit2 by signature. A failure is told, and decides nothing: the
    /// transfer that follows succeeds or reverts by the allowance that there is.
    function _permit(address payer, address token, uint256 amount, bytes memory permit) private {
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(permit, (uint256, uint256, uint8, bytes32, bytes32));
        require(value == amount, Permit2612AmountMismatch());
        try IERC20Permit(token).permit(payer, address(PERMIT2), value, deadline, v, r, s) {}
        catch Error(string memory reason) {
            emit EIP2612PermitFailedWithReason(token, payer, reason);
        } catch Panic(uint256 code) {
            emit EIP2612PermitFailedWithPanic(token, payer, code);
        } catch (bytes memory data) {
            emit EIP2612PermitFailedWithData(token, payer, data);
        }
    }
}

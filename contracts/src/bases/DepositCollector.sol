// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IDepositCollector} from "../interfaces/IDepositCollector.sol";

/// @title A collector that serves one settlement contract
/// @notice Only that contract may call `collect`: it alone tells the true channel of a deposit.
abstract contract DepositCollector is IDepositCollector {
    /// @notice The settlement contract that this collector pays into.
    address public immutable x402BatchSettlement;

    /// @notice Somebody else than the settlement contract called `collect`.
    error OnlyX402BatchSettlement();

    /// @notice The constructor was given no settlement contract.
    error InvalidX402BatchSettlementAddress();

    constructor(address settlement) {
        require(settlement != address(0), InvalidX402BatchSettlementAddress());
        x402BatchSettlement = settlement;
    }

    modifier onlySettlement() {
        require(msg.sender == x402BatchSettlement, OnlyX402BatchSettlement());
        _;
    }
}

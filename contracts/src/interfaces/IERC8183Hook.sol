// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

/// @title What a job may have called at its turns (ERC-8183)
interface IERC8183Hook is IERC165 {
    /// @notice Comes before what `selector` names is done to a job, and may refuse it.
    /// @param data What was asked for, encoded as the selector's row in the standard says.
    function beforeAction(uint256 jobId, bytes4 selector, bytes calldata data) external;

    /// @notice Comes after it was done, and may still undo all of it by reverting.
    function afterAction(uint256 jobId, bytes4 selector, bytes calldata data) external;
}

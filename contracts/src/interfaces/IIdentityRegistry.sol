// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What other contracts ask of the registry of agents (ERC-8004)
interface IIdentityRegistry {
    /// @notice Who owns the agent; reverts if there is no such agent.
    function ownerOf(uint256 agentId) external view returns (address);

    /// @notice Whether `spender` speaks for the agent; reverts if there is no such agent.
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool);

    /// @notice Where the agent is paid; zero for nowhere.
    function getAgentWallet(uint256 agentId) external view returns (address);
}

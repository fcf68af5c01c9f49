// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What an evaluator asks of the escrow of jobs (ERC-8183)
/// @dev The functions and the two types are those of the public contract, but for `statusOf`.
interface IAgenticCommerce {
    /// @notice How far a job is. The last three are ends.
    enum JobStatus {
        Open,
        Funded,
        Submitted,
        Completed,
        Rejected,
        Expired
    }

    /// @notice A job: work that is paid when its evaluator says so.
    struct Job {
        /// Its number, from 1.
        uint256 id;
        /// Who pays, and gets back what is not paid out.
        address client;
        /// Who works; zero until one is found.
        address provider;
        /// Who alone says whether the work is good.
        address evaluator;
        /// What is to be done, or where that is written.
        string description;
        /// What the provider gets, fees included, in minor units of `paymentToken`.
        uint256 budget;
        /// Unix seconds; from then on the client's money comes back.
        uint256 expiredAt;
        /// How far it is.
        JobStatus status;
        /// What is called at its turns; zero for nothing.
        address hook;
        /// The ERC-20 it is paid in; zero until there is a budget.
        address paymentToken;
        /// The provider's agent in the ERC-8004 registry; 0 for none.
        uint256 providerAgentId;
        /// Unix seconds at which work was handed in; 0 until then.
        uint256 submittedAt;
    }

    function fund(uint256 jobId, uint256 expectedBudget, bytes calldata optParams) external;
    function submit(uint256 jobId, bytes32 deliverable, bytes calldata optParams) external;
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams) external;
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams) external;
    function getJob(uint256 jobId) external view returns (Job memory);

    /// @notice How far a job is, without its description, whose length is the client's choice.
    function statusOf(uint256 jobId) external view returns (JobStatus);
}

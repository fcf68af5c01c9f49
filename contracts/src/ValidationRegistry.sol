// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";

/// @title What validators found of agents' work (ERC-8004, validation)
/// @notice An agent asks a validator of its own choice to look at a piece of work; the validator
/// answers with a mark from 0 to 100, and may answer again. Whose marks count is the reader's choice.
/// @dev Written anew to the ABI, events and revert strings of v2.0.0 of
/// github.com/erc-8004/erc-8004-contracts; without owner, proxy and upgrade. The reference names no
/// address of it on a main network; here it is at 0x8004C00000000000000000000000000000000001.
contract ValidationRegistry {
    /// @notice One request, and the validator's last answer.
    struct ValidationStatus {
        address validatorAddress;
        uint256 agentId;
        uint8 response;
        bytes32 responseHash;
        string tag;
        uint256 lastUpdate;
        bool hasResponse;
    }

    /// @dev The best mark.
    uint8 private constant FULL_MARK = 100;

    address private immutable IDENTITY;

    /// @notice Each request, by the hash that names it.
    mapping(bytes32 requestHash => ValidationStatus) private _validations;
    mapping(uint256 agentId => bytes32[]) private _ofAgent;
    mapping(address validator => bytes32[]) private _ofValidator;

    /// @notice An agent asked a validator. `requestHash` names the request, and is usually the hash
    /// of the file at `requestURI`.
    event ValidationRequest(
        address indexed validatorAddress,
        uint256 indexed agentId,
        string requestURI,
        bytes32 indexed requestHash
    );

    /// @notice A validator answered.
    event ValidationResponse(
        address indexed validatorAddress,
        uint256 indexed agentId,
        bytes32 indexed requestHash,
        uint8 response,
        string responseURI,
        bytes32 responseHash,
        string tag
    );

    constructor(address identityRegistry) {
        require(identityRegistry != address(0), "bad identity");
        IDENTITY = identityRegistry;
    }

    /// @notice Where the agents are registered.
    function getIdentityRegistry() external view returns (address) {
        return IDENTITY;
    }

    /// @notice Asks a validator, on behalf of an agent that the caller speaks for. A hash names one
    /// request, once and for all.
    function validationRequest(
        address validatorAddress,
        uint256 agentId,
        string calldata requestURI,
        bytes32 requestHash
    ) external {
        require(validatorAddress != address(0), "bad validator");
        ValidationStatus storage status = _validations[requestHash];
        require(status.validatorAddress == address(0), "exists");
        require(
            IIdentityRegistry(IDENTITY).isAuthorizedOrOwner(msg.sender, agentId), "Not authorized"
        );
        status.validatorAddress = validatorAddress;
        status.agentId = agentId;
        status.lastUpdate = block.timestamp;
        _ofAgent[agentId].push(requestHash);
        _ofValidator[validatorAddress].push(requestHash);
        emit ValidationRequest(validatorAddress, agentId, requestURI, requestHash);
    }

    /// @notice Answers a request that named the caller; a later answer replaces an earlier one.
    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external {
        ValidationStatus storage status = _known(requestHash);
        require(msg.sender == status.validatorAddress, "not validator");
        require(response <= FULL_MARK, "resp>100");
        status.response = response;
        status.responseHash = responseHash;
        status.tag = tag;
        status.lastUpdate = block.timestamp;
        status.hasResponse = true;
        emit ValidationResponse(
            msg.sender, status.agentId, requestHash, response, responseURI, responseHash, tag
        );
    }

    /// @notice One request and its last answer; `response` is 0 before any, too.
    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress,
            uint256 agentId,
            uint8 response,
            bytes32 responseHash,
            string memory tag,
            uint256 lastUpdate
        )
    {
        ValidationStatus storage status = _known(requestHash);
        return (
            status.validatorAddress,
            status.agentId,
            status.response,
            status.responseHash,
            status.tag,
            status.lastUpdate
        );
    }

    /// @notice How many requests of an agent these validators, or all if none is named, answered
    /// under this tag, or under any if it is empty; and the mean of their marks, rounded down.
    function getSummary(uint256 agentId, address[] calldata validatorAddresses, string calldata tag)
        external
        view
        returns (uint64 count, uint8 avgResponse)
    {
        bytes32[] storage requests = _ofAgent[agentId];
        uint256 sum;
        for (uint256 i = 0; i < requests.length; ++i) {
            ValidationStatus storage status = _validations[requests[i]];
            if (!status.hasResponse) continue;
            if (!_among(status.validatorAddress, validatorAddresses)) continue;
            if (bytes(tag).length > 0 && keccak256(bytes(status.tag)) != keccak256(bytes(tag))) {
                continue;
            }
            sum += status.response;
            ++count;
        }
        // The mean of marks is a mark, and fits.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (count > 0) avgResponse = uint8(sum / count);
    }

    /// @notice All requests of an agent, oldest first.
    function getAgentValidations(uint256 agentId) external view returns (bytes32[] memory) {
        return _ofAgent[agentId];
    }

    /// @notice All requests to a validator, oldest first.
    function getValidatorRequests(address validatorAddress)
        external
        view
        returns (bytes32[] memory)
    {
        return _ofValidator[validatorAddress];
    }

    /// @notice The version of the reference whose ABI this is.
    function getVersion() external pure returns (string memory) {
        return "2.0.0";
    }

    function _known(bytes32 requestHash) private view returns (ValidationStatus storage status) {
        status = _validations[requestHash];
        require(status.validatorAddress != address(0), "unknown");
    }

    function _among(address one, address[] calldata some) private pure returns (bool) {
        if (some.length == 0) return true;
        for (uint256 i = 0; i < some.length; ++i) {
            if (some[i] == one) return true;
        }
        return false;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";

/// @title What clients say of agents (ERC-8004, reputation)
/// @notice Anyone but an agent's own people may say a number about it, take it back, and answer what
/// was said. Nothing here is checked: whose word counts is the reader's choice, and so a summary
/// must name the clients it is over.
/// @dev Written anew to the ABI, events and revert strings of v2.0.0 of
/// github.com/erc-8004/erc-8004-contracts, at 0x8004BAa17C55a88189AE136b182e5fdA19dE9b63; without
/// owner, proxy and upgrade. Lists only grow; what reads all of one is for `eth_call`.
contract ReputationRegistry {
    /// @notice What is kept of one word; its other parts are in the event.
    struct Feedback {
        int128 value;
        uint8 valueDecimals;
        bool isRevoked;
        string tag1;
        string tag2;
    }

    /// @dev What a reading asks for. Empty tags ask for all.
    struct Filter {
        bytes32 tag1;
        bytes32 tag2;
        bool revokedToo;
    }

    /// @dev A value is at most this far from zero, so that no sum in a summary can overflow.
    int128 private constant MAX_VALUE = 1e38;

    /// @dev The finest unit a value may have, and that in which summaries add.
    uint8 private constant MAX_DECIMALS = 18;

    bytes32 private constant ANY_TAG = keccak256("");

    address private immutable IDENTITY;

    mapping(uint256 agentId => mapping(address client => mapping(uint64 index => Feedback))) private
        _feedback;
    mapping(uint256 agentId => mapping(address client => uint64)) private _lastIndex;
    mapping(uint256 agentId => address[]) private _clients;
    mapping(
        uint256 agentId
            => mapping(
            address client => mapping(uint64 index => mapping(address responder => uint64))
        )
    ) private _responses;
    mapping(uint256 agentId => mapping(address client => mapping(uint64 index => address[])))
        private _responders;

    /// @notice A client's word about an agent.
    event NewFeedback(
        uint256 indexed agentId,
        address indexed clientAddress,
        uint64 feedbackIndex,
        int128 value,
        uint8 valueDecimals,
        string indexed indexedTag1,
        string tag1,
        string tag2,
        string endpoint,
        string feedbackURI,
        bytes32 feedbackHash
    );

    /// @notice A client took its word back.
    event FeedbackRevoked(
        uint256 indexed agentId, address indexed clientAddress, uint64 indexed feedbackIndex
    );

    /// @notice Someone answered a client's word.
    event ResponseAppended(
        uint256 indexed agentId,
        address indexed clientAddress,
        uint64 feedbackIndex,
        address indexed responder,
        string responseURI,
        bytes32 responseHash
    );

    constructor(address identityRegistry) {
        require(identityRegistry != address(0), "bad identity");
        IDENTITY = identityRegistry;
    }

    /// @notice Where the agents are registered.
    function getIdentityRegistry() external view returns (address) {
        return IDENTITY;
    }

    /// @notice Says `value` of an agent, in units of 10^-`valueDecimals`. The agent's owner and its
    /// operators cannot. `feedbackHash` is the hash of the file at `feedbackURI`, if there is one.
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string memory tag1,
        string memory tag2,
        string memory endpoint,
        string memory feedbackURI,
        bytes32 feedbackHash
    ) external {
        uint64 index = _keep(agentId, Feedback(value, valueDecimals, false, tag1, tag2));
        emit NewFeedback(
            agentId,
            msg.sender,
            index,
            value,
            valueDecimals,
            tag1,
            tag1,
            tag2,
            endpoint,
            feedbackURI,
            feedbackHash
        );
    }

    /// @notice Takes back the caller's own word.
    function revokeFeedback(uint256 agentId, uint64 feedbackIndex) external {
        _requireGiven(agentId, msg.sender, feedbackIndex);
        Feedback storage word = _feedback[agentId][msg.sender][feedbackIndex];
        require(!word.isRevoked, "Already revoked");
        word.isRevoked = true;
        emit FeedbackRevoked(agentId, msg.sender, feedbackIndex);
    }

    /// @notice Answers a client's word, with a file at `responseURI` whose hash is `responseHash`.
    function appendResponse(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        string calldata responseURI,
        bytes32 responseHash
    ) external {
        require(feedbackIndex > 0, "index must be > 0");
        require(bytes(responseURI).length > 0, "Empty URI");
        _requireGiven(agentId, clientAddress, feedbackIndex);
        uint64 before = _responses[agentId][clientAddress][feedbackIndex][msg.sender]++;
        if (before == 0) _responders[agentId][clientAddress][feedbackIndex].push(msg.sender);
        emit ResponseAppended(
            agentId, clientAddress, feedbackIndex, msg.sender, responseURI, responseHash
        );
    }

    /// @notice How many words a client said of an agent; the first has the index 1.
    function getLastIndex(uint256 agentId, address clientAddress) external view returns (uint64) {
        return _lastIndex[agentId][clientAddress];
    }

    /// @notice One word.
    function readFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex)
        external
        view
        returns (
            int128 value,
            uint8 valueDecimals,
            string memory tag1,
            string memory tag2,
            bool isRevoked
        )
    {
        _requireGiven(agentId, clientAddress, feedbackIndex);
        Feedback storage word = _feedback[agentId][clientAddress][feedbackIndex];
        return (word.value, word.valueDecimals, word.tag1, word.tag2, word.isRevoked);
    }

    /// @notice The mean of what these clients said and did not take back, rounded toward zero, in the
    /// unit that most of the words have. There must be clients: over everyone, strangers who rate for
    /// nothing would decide.
    function getSummary(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals) {
        require(clientAddresses.length > 0, "clientAddresses required");
        (address[] memory whose, uint64[] memory which) =
            _matching(agentId, clientAddresses, _filter(tag1, tag2, false));
        if (whose.length == 0) return (0, 0, 0);
        count = uint64(whose.length);
        (summaryValue, summaryValueDecimals) = _mean(agentId, whose, which);
    }

    /// @notice All words of these clients, or of everyone if none is named, as seven lists side by
    /// side.
    function readAllFeedback(
        uint256 agentId,
        address[] memory clientAddresses,
        string memory tag1,
        string memory tag2,
        bool includeRevoked
    )
        external
        view
        returns (
            address[] memory clients,
            uint64[] memory feedbackIndexes,
            int128[] memory values,
            uint8[] memory valueDecimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revokedStatuses
        )
    {
        if (clientAddresses.length == 0) {
            clientAddresses = _clients[agentId];
        }
        (clients, feedbackIndexes) =
            _matching(agentId, clientAddresses, _filter(tag1, tag2, includeRevoked));
        (values, valueDecimals, tag1s, tag2s, revokedStatuses) =
            _read(agentId, clients, feedbackIndexes);
    }

    /// @notice How often these responders, or all if none is named, answered: one word, or all words
    /// of a client (index 0), or all words of everyone (client zero).
    function getResponseCount(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        address[] calldata responders
    ) external view returns (uint64 count) {
        if (clientAddress != address(0) && feedbackIndex != 0) {
            return _answers(agentId, clientAddress, feedbackIndex, responders);
        }
        address[] memory clients = _clients[agentId];
        if (clientAddress != address(0)) {
            clients = new address[](1);
            clients[0] = clientAddress;
        }
        for (uint256 i = 0; i < clients.length; ++i) {
            uint64 last = _lastIndex[agentId][clients[i]];
            for (uint64 j = 1; j <= last; ++j) {
                count += _answers(agentId, clients[i], j, responders);
            }
        }
    }

    /// @notice Everyone who ever said a word of this agent.
    function getClients(uint256 agentId) external view returns (address[] memory) {
        return _clients[agentId];
    }

    /// @notice The version of the reference whose ABI this is.
    function getVersion() external pure returns (string memory) {
        return "2.0.0";
    }

    /// @dev Keeps a client's next word of an agent, if it may say one.
    function _keep(uint256 agentId, Feedback memory word) private returns (uint64 index) {
        require(word.valueDecimals <= MAX_DECIMALS, "too many decimals");
        require(word.value >= -MAX_VALUE && word.value <= MAX_VALUE, "value too large");
        require(
            !IIdentityRegistry(IDENTITY).isAuthorizedOrOwner(msg.sender, agentId),
            "Self-feedback not allowed"
        );
        index = ++_lastIndex[agentId][msg.sender];
        if (index == 1) _clients[agentId].push(msg.sender);
        _feedback[agentId][msg.sender][index] = word;
    }

    function _requireGiven(uint256 agentId, address client, uint64 index) private view {
        require(index > 0, "index must be > 0");
        require(index <= _lastIndex[agentId][client], "index out of bounds");
    }

    function _filter(string memory tag1, string memory tag2, bool revokedToo)
        private
        pure
        returns (Filter memory)
    {
        return Filter(keccak256(bytes(tag1)), keccak256(bytes(tag2)), revokedToo);
    }

    function _passes(Filter memory filter, Feedback storage word) private view returns (bool) {
        return (filter.revokedToo || !word.isRevoked)
            && (filter.tag1 == ANY_TAG || filter.tag1 == keccak256(bytes(word.tag1)))
            && (filter.tag2 == ANY_TAG || filter.tag2 == keccak256(bytes(word.tag2)));
    }

    /// @dev What a value with so many decimals is multiplied by to have eighteen.
    function _unit(uint8 decimals) private pure returns (int256) {
        return int256(10 ** uint256(MAX_DECIMALS - decimals));
    }

    /// @dev Which words pass: whose, and which of theirs. All are counted first, for memory does not
    /// grow.
    function _matching(uint256 agentId, address[] memory clients, Filter memory filter)
        private
        view
        returns (address[] memory whose, uint64[] memory which)
    {
        uint256 most;
        for (uint256 i = 0; i < clients.length; ++i) {
            most += _lastIndex[agentId][clients[i]];
        }
        whose = new address[](most);
        which = new uint64[](most);
        uint256 found;
        for (uint256 i = 0; i < clients.length; ++i) {
            uint64 last = _lastIndex[agentId][clients[i]];
            for (uint64 j = 1; j <= last; ++j) {
                if (!_passes(filter, _feedback[agentId][clients[i]][j])) continue;
                (whose[found], which[found]) = (clients[i], j);
                ++found;
            }
        }
        // Both lists become as long as what was found.
        assembly ("memory-safe") {
            mstore(whose, found)
            mstore(which, found)
        }
    }

    /// @dev The parts of some words, as lists side by side.
    function _read(uint256 agentId, address[] memory whose, uint64[] memory which)
        private
        view
        returns (
            int128[] memory values,
            uint8[] memory decimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revoked
        )
    {
        values = new int128[](whose.length);
        decimals = new uint8[](whose.length);
        tag1s = new string[](whose.length);
        tag2s = new string[](whose.length);
        revoked = new bool[](whose.length);
        for (uint256 i = 0; i < whose.length; ++i) {
            Feedback memory word = _feedback[agentId][whose[i]][which[i]];
            (values[i], decimals[i], revoked[i]) = (word.value, word.valueDecimals, word.isRevoked);
            (tag1s[i], tag2s[i]) = (word.tag1, word.tag2);
        }
    }

    /// @dev The mean of some words, of which there is at least one.
    function _mean(uint256 agentId, address[] memory whose, uint64[] memory which)
        private
        view
        returns (int128 value, uint8 decimals)
    {
        int256 sum;
        uint256[] memory ofDecimals = new uint256[](MAX_DECIMALS + 1);
        for (uint256 i = 0; i < whose.length; ++i) {
            Feedback storage word = _feedback[agentId][whose[i]][which[i]];
            sum += word.value * _unit(word.valueDecimals);
            ++ofDecimals[word.valueDecimals];
        }
        for (uint8 more = 1; more <= MAX_DECIMALS; ++more) {
            if (ofDecimals[more] > ofDecimals[decimals]) decimals = more;
        }
        int256 mean = sum / int256(whose.length) / _unit(decimals);
        // A mean is no further from zero than what it is the mean of, in its own unit or a coarser
        // one; in a finer one it may not fit, and then it is the nearest that does.
        if (mean > type(int128).max) mean = type(int128).max;
        if (mean < type(int128).min) mean = type(int128).min;
        // forge-lint: disable-next-line(unsafe-typecast)
        value = int128(mean);
    }

    function _answers(uint256 agentId, address client, uint64 index, address[] calldata responders)
        private
        view
        returns (uint64 count)
    {
        address[] memory by = responders;
        if (by.length == 0) by = _responders[agentId][client][index];
        for (uint256 i = 0; i < by.length; ++i) {
            count += _responses[agentId][client][index][by[i]];
        }
    }
}

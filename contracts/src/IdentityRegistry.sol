// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {
    ERC721URIStorage
} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721URIStorage.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Who the agents are (ERC-8004, identity)
/// @notice Each agent is an ERC-721 token whose URI leads to its registration file. Whoever owns the
/// token speaks for the agent, and may name the wallet at which the agent is paid.
/// @dev Written anew to the ABI, events, revert strings and EIP-712 domain of v2.0.0 of
/// github.com/erc-8004/erc-8004-contracts, at 0x8004A169FB4a3325136EB29fA0ceB6D2e539a432. Two things
/// differ, and no client can see the first: this contract has no owner, no proxy and no upgrade; and
/// ids begin at 1, not 0, because in ERC-8183 a job's agent 0 means that it names none.
contract IdentityRegistry is ERC721URIStorage, EIP712 {
    /// @notice One fact that an agent's owner states about it.
    struct MetadataEntry {
        /// What the fact is called; never `agentWallet`, which takes a signature.
        string metadataKey;
        /// The fact, in whatever form the key's readers expect.
        bytes metadataValue;
    }

    /// @dev Where the agent's wallet is kept, which only `setAgentWallet` may write.
    string private constant WALLET_KEY = "agentWallet";

    /// @dev What the new wallet signs, as EIP-712 computes the hash of its type.
    bytes32 private constant WALLET_TYPEHASH = keccak256(
        "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"
    );

    /// @dev A wallet's word must be fresh: it is signed for at most this long.
    uint256 private constant WALLET_DELAY = 5 minutes;

    /// @dev The newest agent; 0 while there is none.
    uint256 private _lastId;

    mapping(uint256 agentId => mapping(string key => bytes)) private _metadata;

    /// @notice There is a new agent.
    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);

    /// @notice An agent's owner stated a fact; empty unsets it.
    event MetadataSet(
        uint256 indexed agentId,
        string indexed indexedMetadataKey,
        string metadataKey,
        bytes metadataValue
    );

    /// @notice An agent's registration file is elsewhere from now on.
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);

    constructor() ERC721("AgentIdentity", "AGENT") EIP712("ERC8004IdentityRegistry", "1") {}

    /// @notice Makes the caller owner and wallet of a new agent without a registration file.
    function register() external returns (uint256 agentId) {
        agentId = _enter();
        emit Registered(agentId, "", msg.sender);
        _told(agentId, WALLET_KEY, abi.encodePacked(msg.sender));
    }

    /// @notice Makes the caller owner and wallet of a new agent whose registration file is at
    /// `agentURI`.
    function register(string memory agentURI) external returns (uint256 agentId) {
        return _register(agentURI);
    }

    /// @notice As `register`, and states facts about the agent.
    function register(string memory agentURI, MetadataEntry[] memory metadata)
        external
        returns (uint256 agentId)
    {
        agentId = _register(agentURI);
        for (uint256 i = 0; i < metadata.length; ++i) {
            _state(agentId, metadata[i].metadataKey, metadata[i].metadataValue);
        }
    }

    /// @notice Moves an agent's registration file.
    function setAgentURI(uint256 agentId, string calldata newURI) external {
        _requireSpeaker(ownerOf(agentId), agentId);
        _setTokenURI(agentId, newURI);
        emit URIUpdated(agentId, newURI, msg.sender);
    }

    /// @notice What was last stated about an agent under this key; empty if nothing.
    function getMetadata(uint256 agentId, string memory metadataKey)
        external
        view
        returns (bytes memory)
    {
        return _metadata[agentId][metadataKey];
    }

    /// @notice States a fact about an agent.
    function setMetadata(uint256 agentId, string memory metadataKey, bytes memory metadataValue)
        external
    {
        _requireSpeaker(ownerOf(agentId), agentId);
        _state(agentId, metadataKey, metadataValue);
    }

    /// @notice Where an agent is paid; zero if it has no wallet, or does not exist.
    function getAgentWallet(uint256 agentId) external view returns (address) {
        return address(bytes20(_metadata[agentId][WALLET_KEY]));
    }

    /// @notice Names the wallet of an agent. The wallet must agree: it signed `AgentWalletSet`, with
    /// its key or by ERC-1271, for a `deadline` at most five minutes away.
    function setAgentWallet(
        uint256 agentId,
        address newWallet,
        uint256 deadline,
        bytes calldata signature
    ) external {
        address owner = ownerOf(agentId);
        _requireSpeaker(owner, agentId);
        require(newWallet != address(0), "bad wallet");
        require(block.timestamp <= deadline, "expired");
        require(deadline <= block.timestamp + WALLET_DELAY, "deadline too far");
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(WALLET_TYPEHASH, agentId, newWallet, owner, deadline))
        );
        require(_agrees(newWallet, digest, signature), "invalid wallet sig");
        _setWallet(agentId, abi.encodePacked(newWallet));
    }

    /// @notice The agent has no wallet from now on.
    function unsetAgentWallet(uint256 agentId) external {
        _requireSpeaker(ownerOf(agentId), agentId);
        _setWallet(agentId, "");
    }

    /// @notice Whether `spender` speaks for the agent: its owner, or approved for it or for all of
    /// its owner's. Reverts with `ERC721NonexistentToken` if there is no such agent.
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool) {
        return _isAuthorized(ownerOf(agentId), spender, agentId);
    }

    /// @notice EIP-712's domain separator, which clients sign wallets in.
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @notice The version of the reference whose ABI this is.
    function getVersion() external pure returns (string memory) {
        return "2.0.0";
    }

    function _register(string memory agentURI) private returns (uint256 agentId) {
        agentId = _enter();
        _setTokenURI(agentId, agentURI);
        emit Registered(agentId, agentURI, msg.sender);
        _told(agentId, WALLET_KEY, abi.encodePacked(msg.sender));
    }

    /// @dev All is written before the new owner, if it is a contract, is asked to take the token.
    function _enter() private returns (uint256 agentId) {
        agentId = ++_lastId;
        _metadata[agentId][WALLET_KEY] = abi.encodePacked(msg.sender);
        _safeMint(msg.sender, agentId);
    }

    function _state(uint256 agentId, string memory key, bytes memory value) private {
        require(keccak256(bytes(key)) != keccak256(bytes(WALLET_KEY)), "reserved key");
        _metadata[agentId][key] = value;
        _told(agentId, key, value);
    }

    function _setWallet(uint256 agentId, bytes memory wallet) private {
        _metadata[agentId][WALLET_KEY] = wallet;
        _told(agentId, WALLET_KEY, wallet);
    }

    function _told(uint256 agentId, string memory key, bytes memory value) private {
        emit MetadataSet(agentId, key, key, value);
    }

    function _requireSpeaker(address owner, uint256 agentId) private view {
        require(_isAuthorized(owner, msg.sender, agentId), "Not authorized");
    }

    /// @dev A key's signature counts even if code was put behind the key since (EIP-7702).
    function _agrees(address wallet, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return _isKeys(wallet, digest, signature)
            || SignatureChecker.isValidERC1271SignatureNow(wallet, digest, signature);
    }

    function _isKeys(address wallet, bytes32 digest, bytes calldata signature)
        private
        pure
        returns (bool)
    {
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, signature);
        return fault == ECDSA.RecoverError.NoError && signer == wallet;
    }

    /// @dev A wallet agreed to the old owner, so it does not pass to a new one.
    function _update(address to, uint256 agentId, address auth)
        internal
        override
        returns (address)
    {
        if (_ownerOf(agentId) != address(0) && to != address(0)) {
            _setWallet(agentId, "");
        }
        return super._update(to, agentId, auth);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IdentityRegistry} from "../src/IdentityRegistry.sol";
import {ReputationRegistry} from "../src/ReputationRegistry.sol";
import {ValidationRegistry} from "../src/ValidationRegistry.sol";
import {Test} from "./Test.sol";

/// @dev A wallet that agrees by ERC-1271 to what is signed `yes`.
contract AgreeableWallet {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return keccak256(signature) == keccak256("yes") ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

/// @dev ERC-8004: what clients of the public registries read and write.
contract RegistriesTest is Test {
    uint256 private constant WALLET_KEY = 0x3A11E7;
    uint256 private constant NOW = 1_800_000_000;
    address private constant OWNER = address(0x03E2);
    address private constant OPERATOR = address(0x09E2);
    address private constant CLIENT = address(0xC11E47);
    address private constant OTHER = address(0x07E2);

    IdentityRegistry private identity;
    ReputationRegistry private reputation;
    ValidationRegistry private validation;
    uint256 private agent;

    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    event MetadataSet(
        uint256 indexed agentId,
        string indexed indexedMetadataKey,
        string metadataKey,
        bytes metadataValue
    );

    function setUp() external {
        vm.warp(NOW);
        identity = new IdentityRegistry();
        reputation = new ReputationRegistry(address(identity));
        validation = new ValidationRegistry(address(identity));
        vm.prank(OWNER);
        agent = identity.register("http://a/agent.json");
        vm.prank(OWNER);
        identity.setApprovalForAll(OPERATOR, true);
    }

    // ---- identity ----------------------------------------------------------------------------

    function test_an_agent_is_registered_with_its_file_and_facts() external {
        IdentityRegistry.MetadataEntry[] memory facts = new IdentityRegistry.MetadataEntry[](1);
        facts[0] = IdentityRegistry.MetadataEntry("skill", "vision");
        vm.expectEmit(true, true, true, true, address(identity));
        emit Registered(2, "http://b", OTHER);
        vm.expectEmit(true, true, true, true, address(identity));
        emit MetadataSet(2, "agentWallet", "agentWallet", abi.encodePacked(OTHER));
        vm.expectEmit(true, true, true, true, address(identity));
        emit MetadataSet(2, "skill", "skill", "vision");
        vm.prank(OTHER);
        vm.assertEq(identity.register("http://b", facts), 2);
        vm.assertEq(identity.tokenURI(2), "http://b");
        vm.assertEq(identity.getMetadata(2, "skill"), "vision");
        vm.assertEq(identity.getAgentWallet(2), OTHER);
        vm.assertEq(identity.name(), "AgentIdentity");
        vm.assertEq(identity.symbol(), "AGENT");
        vm.assertEq(identity.getVersion(), "2.0.0");
    }

    function test_only_who_speaks_for_an_agent_changes_it() external {
        vm.prank(OPERATOR);
        identity.setAgentURI(agent, "http://c");
        vm.assertEq(identity.tokenURI(agent), "http://c");
        vm.prank(CLIENT);
        vm.expectRevert("Not authorized");
        identity.setAgentURI(agent, "http://d");
        vm.prank(CLIENT);
        vm.expectRevert("Not authorized");
        identity.setMetadata(agent, "skill", "all");
        vm.prank(CLIENT);
        vm.expectRevert("Not authorized");
        identity.unsetAgentWallet(agent);
        vm.prank(OWNER);
        vm.expectRevert("reserved key");
        identity.setMetadata(agent, "agentWallet", abi.encodePacked(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 9));
        identity.isAuthorizedOrOwner(OWNER, 9);
    }

    function signedFor(address wallet, uint256 deadline) private view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("ERC8004IdentityRegistry"),
                keccak256("1"),
                block.chainid,
                address(identity)
            )
        );
        vm.assertEq(identity.DOMAIN_SEPARATOR(), domain);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"
                ),
                agent,
                wallet,
                OWNER,
                deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(WALLET_KEY, keccak256(abi.encodePacked("\x19\x01", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function test_a_wallet_is_set_by_its_own_signature_and_lost_by_transfer() external {
        address wallet = vm.addr(WALLET_KEY);
        bytes memory signature = signedFor(wallet, NOW + 5 minutes);
        vm.prank(OWNER);
        vm.expectRevert("invalid wallet sig");
        identity.setAgentWallet(agent, OTHER, NOW + 5 minutes, signature);
        vm.prank(OWNER);
        identity.setAgentWallet(agent, wallet, NOW + 5 minutes, signature);
        vm.assertEq(identity.getAgentWallet(agent), wallet);
        vm.prank(OWNER);
        identity.transferFrom(OWNER, OTHER, agent);
        vm.assertEq(identity.getAgentWallet(agent), address(0));
        // The signature named the old owner.
        vm.prank(OTHER);
        vm.expectRevert("invalid wallet sig");
        identity.setAgentWallet(agent, wallet, NOW + 5 minutes, signature);
    }

    function test_a_wallets_word_must_be_fresh() external {
        address wallet = vm.addr(WALLET_KEY);
        bytes memory far = signedFor(wallet, NOW + 5 minutes + 1);
        vm.prank(OWNER);
        vm.expectRevert("deadline too far");
        identity.setAgentWallet(agent, wallet, NOW + 5 minutes + 1, far);
        bytes memory old = signedFor(wallet, NOW - 1);
        vm.prank(OWNER);
        vm.expectRevert("expired");
        identity.setAgentWallet(agent, wallet, NOW - 1, old);
        vm.prank(OWNER);
        vm.expectRevert("bad wallet");
        identity.setAgentWallet(agent, address(0), NOW, old);
    }

    function test_a_smart_wallet_agrees_by_its_code() external {
        address wallet = address(new AgreeableWallet());
        vm.prank(OWNER);
        identity.setAgentWallet(agent, wallet, NOW, "yes");
        vm.assertEq(identity.getAgentWallet(agent), wallet);
        vm.prank(OWNER);
        vm.expectRevert("invalid wallet sig");
        identity.setAgentWallet(agent, wallet, NOW, "no");
        vm.prank(OWNER);
        identity.unsetAgentWallet(agent);
        vm.assertEq(identity.getAgentWallet(agent), address(0));
    }

    // ---- reputation --------------------------------------------------------------------------

    function say(address client, int128 value, uint8 decimals, string memory tag) private {
        vm.prank(client);
        reputation.giveFeedback(agent, value, decimals, tag, "", "", "", 0);
    }

    function summary(string memory tag)
        private
        view
        returns (uint64 count, int128 value, uint8 decimals)
    {
        address[] memory clients = new address[](2);
        (clients[0], clients[1]) = (CLIENT, OTHER);
        return reputation.getSummary(agent, clients, tag, "");
    }

    function test_a_summary_is_the_mean_in_the_commonest_unit() external {
        say(CLIENT, 80, 0, "quality");
        say(CLIENT, 905, 1, "quality");
        say(OTHER, -10, 0, "quality");
        say(OTHER, 5, 0, "speed");
        (uint64 count, int128 value, uint8 decimals) = summary("quality");
        vm.assertEq(count, 3);
        vm.assertTrue(value == 53 && decimals == 0, "(80 + 90.5 - 10) / 3, rounded toward zero");
        vm.prank(OTHER);
        reputation.revokeFeedback(agent, 1);
        (count, value, decimals) = summary("quality");
        vm.assertTrue(count == 2 && value == 85 && decimals == 0, "(80 + 90.5) / 2");
        vm.prank(OTHER);
        vm.expectRevert("Already revoked");
        reputation.revokeFeedback(agent, 1);
    }

    /// @dev The reference wraps round here.
    function test_a_mean_that_does_not_fit_is_the_nearest_that_does() external {
        say(CLIENT, 1e38, 0, "");
        say(OTHER, 0, 18, "");
        say(OTHER, 0, 18, "");
        (, int128 value, uint8 decimals) = summary("");
        vm.assertTrue(value == type(int128).max && decimals == 18, "it wrapped");
    }

    function test_an_agents_own_people_cannot_rate_it() external {
        address[2] memory own = [OWNER, OPERATOR];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(own[i]);
            vm.expectRevert("Self-feedback not allowed");
            reputation.giveFeedback(agent, 1, 0, "", "", "", "", 0);
        }
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 9));
        reputation.giveFeedback(9, 1, 0, "", "", "", "", 0);
        vm.expectRevert("too many decimals");
        reputation.giveFeedback(agent, 1, 19, "", "", "", "", 0);
        vm.expectRevert("value too large");
        reputation.giveFeedback(agent, 1e38 + 1, 0, "", "", "", "", 0);
        vm.expectRevert("clientAddresses required");
        reputation.getSummary(agent, new address[](0), "", "");
    }

    function test_all_words_are_read_side_by_side() external {
        say(CLIENT, 1, 0, "a");
        say(OTHER, 2, 1, "b");
        say(CLIENT, 3, 2, "a");
        vm.prank(CLIENT);
        reputation.revokeFeedback(agent, 1);
        (address[] memory clients, uint64[] memory indexes, int128[] memory values,,,,) =
            reputation.readAllFeedback(agent, new address[](0), "", "", false);
        vm.assertEq(clients.length, 2);
        vm.assertTrue(clients[0] == CLIENT && indexes[0] == 2 && values[0] == 3, "the first");
        vm.assertTrue(clients[1] == OTHER && indexes[1] == 1 && values[1] == 2, "the second");
        (clients,,,,,,) = reputation.readAllFeedback(agent, new address[](0), "a", "", true);
        vm.assertEq(clients.length, 2);
        vm.assertEq(reputation.getClients(agent).length, 2);
        vm.assertEq(reputation.getLastIndex(agent, CLIENT), 2);
        vm.expectRevert("index out of bounds");
        reputation.readFeedback(agent, CLIENT, 3);
        vm.expectRevert("index must be > 0");
        reputation.readFeedback(agent, CLIENT, 0);
    }

    function test_answers_are_counted_by_who_gave_them() external {
        say(CLIENT, 1, 0, "");
        say(CLIENT, 1, 0, "");
        for (uint64 i = 1; i <= 2; ++i) {
            vm.prank(OWNER);
            reputation.appendResponse(agent, CLIENT, i, "http://r", 0);
        }
        vm.prank(OTHER);
        reputation.appendResponse(agent, CLIENT, 1, "http://spam", 0);
        address[] memory anyone = new address[](0);
        address[] memory owner = new address[](1);
        owner[0] = OWNER;
        vm.assertEq(reputation.getResponseCount(agent, address(0), 0, anyone), 3);
        vm.assertEq(reputation.getResponseCount(agent, CLIENT, 0, owner), 2);
        vm.assertEq(reputation.getResponseCount(agent, CLIENT, 1, anyone), 2);
        vm.expectRevert("Empty URI");
        reputation.appendResponse(agent, CLIENT, 1, "", 0);
        vm.expectRevert("index out of bounds");
        reputation.appendResponse(agent, CLIENT, 3, "x", 0);
    }

    // ---- validation --------------------------------------------------------------------------

    function test_a_validator_that_was_asked_marks_the_work_and_may_change_its_mind() external {
        vm.prank(OPERATOR);
        validation.validationRequest(OTHER, agent, "http://w", "one");
        vm.prank(OWNER);
        validation.validationRequest(OTHER, agent, "http://w", "two");
        (,, uint8 mark,,, uint256 when) = validation.getValidationStatus("one");
        vm.assertTrue(mark == 0 && when == NOW, "not answered yet");
        vm.prank(OTHER);
        validation.validationResponse("one", 40, "", 0, "exact");
        vm.prank(OTHER);
        validation.validationResponse("one", 90, "", 0, "exact");
        (uint64 count, uint8 mean) = validation.getSummary(agent, new address[](0), "");
        vm.assertTrue(count == 1 && mean == 90, "only what was answered counts, and the last word");
        (count,) = validation.getSummary(agent, new address[](0), "gold");
        vm.assertEq(count, 0);
        vm.assertEq(validation.getAgentValidations(agent).length, 2);
        vm.assertEq(validation.getValidatorRequests(OTHER).length, 2);
    }

    function test_nobody_else_asks_or_answers() external {
        vm.prank(CLIENT);
        vm.expectRevert("Not authorized");
        validation.validationRequest(OTHER, agent, "", "one");
        vm.prank(OWNER);
        vm.expectRevert("bad validator");
        validation.validationRequest(address(0), agent, "", "one");
        vm.prank(OWNER);
        validation.validationRequest(OTHER, agent, "", "one");
        vm.prank(OWNER);
        vm.expectRevert("exists");
        validation.validationRequest(CLIENT, agent, "", "one");
        vm.prank(OWNER);
        vm.expectRevert("not validator");
        validation.validationResponse("one", 100, "", 0, "");
        vm.prank(OTHER);
        vm.expectRevert("resp>100");
        validation.validationResponse("one", 101, "", 0, "");
        vm.expectRevert("unknown");
        validation.validationResponse("two", 1, "", 0, "");
    }
}

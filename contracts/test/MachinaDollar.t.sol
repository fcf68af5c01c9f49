// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {MachinaDollar} from "../src/MachinaDollar.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev The dollar as a token: its name, its minter, permits.
contract MachinaDollarTest is DollarTest {
    event MinterChanged(address indexed from, address indexed to);

    function test_it_tells_what_it_is() public view {
        vm.assertEq(dollar.name(), "Machina Dollar");
        vm.assertEq(dollar.symbol(), "MUSD");
        vm.assertEq(dollar.version(), "1");
        vm.assertEq(uint256(dollar.decimals()), 6);
        vm.assertEq(dollar.totalSupply(), FUNDS);
        vm.assertEq(dollar.minter(), MINTER);
    }

    function testFuzz_its_domain_is_its_name_version_chain_and_address(uint64 chainId) public {
        vm.assume(chainId != 0);
        vm.chainId(chainId);
        vm.assertEq(dollar.DOMAIN_SEPARATOR(), domainSeparator());
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 id,
            address token,
            bytes32 salt,
            uint256[] memory extensions
        ) = dollar.eip712Domain();
        vm.assertEq(bytes32(fields), bytes32(hex"0f"));
        vm.assertEq(name, dollar.name());
        vm.assertEq(version, dollar.version());
        vm.assertEq(id, chainId);
        vm.assertEq(token, address(dollar));
        vm.assertEq(salt, bytes32(0));
        vm.assertEq(extensions.length, 0);
    }

    // ---- minting -----------------------------------------------------------------------------

    function testFuzz_only_the_minter_mints_or_hands_on(address stranger, uint256 value) public {
        vm.assume(stranger != MINTER);
        bytes memory refusal = abi.encodeWithSelector(MachinaDollar.MinterOnly.selector, stranger);
        sendRefused(stranger, abi.encodeCall(MachinaDollar.mint, (stranger, value)), refusal);
        sendRefused(stranger, abi.encodeCall(MachinaDollar.setMinter, (stranger)), refusal);
    }

    function testFuzz_minting_adds_to_the_supply(address to, uint256 value) public {
        vm.assume(to != address(0) && to != payer);
        value = bound(value, 0, type(uint256).max - FUNDS);
        vm.prank(MINTER);
        dollar.mint(to, value);
        vm.assertEq(dollar.balanceOf(to), value);
        vm.assertEq(dollar.totalSupply(), FUNDS + value);
    }

    function test_the_supply_never_overflows() public {
        vm.prank(MINTER);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        dollar.mint(SELLER, type(uint256).max);
    }

    function testFuzz_the_right_to_mint_is_handed_on_whole(address next) public {
        vm.assume(next != address(0) && next != MINTER);
        vm.expectEmit(true, true, true, true, address(dollar));
        emit MinterChanged(MINTER, next);
        vm.prank(MINTER);
        dollar.setMinter(next);
        vm.assertEq(dollar.minter(), next);
        sendOk(next, abi.encodeCall(MachinaDollar.mint, (SELLER, 1)));
        bytes memory refusal = abi.encodeWithSelector(MachinaDollar.MinterOnly.selector, MINTER);
        sendRefused(MINTER, abi.encodeCall(MachinaDollar.mint, (SELLER, 1)), refusal);
    }

    function test_there_is_always_a_minter() public {
        bytes memory refusal = abi.encodeWithSelector(MachinaDollar.MinterMissing.selector);
        sendRefused(MINTER, abi.encodeCall(MachinaDollar.setMinter, (address(0))), refusal);
        vm.expectRevert(refusal);
        new MachinaDollar(address(0));
    }

    // ---- permit ------------------------------------------------------------------------------

    function permitDigest(uint256 value, uint256 nonce, uint256 deadline)
        private
        view
        returns (bytes32)
    {
        bytes32 typeHash = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        return typed(keccak256(abi.encode(typeHash, payer, CARRIER, value, nonce, deadline)));
    }

    function testFuzz_a_permit_allows_once(uint256 value, uint256 deadline) public {
        deadline = bound(deadline, NOW, type(uint256).max);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(value, 0, deadline));
        dollar.permit(payer, CARRIER, value, deadline, v, r, s);
        vm.assertEq(dollar.allowance(payer, CARRIER), value);
        vm.assertEq(dollar.nonces(payer), 1);
        (bool again,) = address(dollar)
            .call(abi.encodeCall(dollar.permit, (payer, CARRIER, value, deadline, v, r, s)));
        vm.assertTrue(!again, "a permit is good once");
    }

    function testFuzz_a_late_permit_is_refused(uint256 deadline) public {
        deadline = bound(deadline, 0, NOW - 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(1, 0, deadline));
        vm.expectRevert(
            abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, deadline)
        );
        dollar.permit(payer, CARRIER, 1, deadline, v, r, s);
    }

    function test_an_allowance_bounds_what_another_moves() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(10, 0, NOW));
        dollar.permit(payer, CARRIER, 10, NOW, v, r, s);
        bytes memory refusal = abi.encodeWithSelector(
            IERC20Errors.ERC20InsufficientAllowance.selector, CARRIER, 10, 11
        );
        sendRefused(CARRIER, abi.encodeCall(dollar.transferFrom, (payer, SELLER, 11)), refusal);
        sendOk(CARRIER, abi.encodeCall(dollar.transferFrom, (payer, SELLER, 10)));
        vm.assertEq(dollar.balanceOf(SELLER), 10);
    }
}

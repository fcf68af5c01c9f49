// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DollarTest} from "./DollarTest.sol";

/// @dev A small town of payers who do everything that moves dollars, well and badly.
contract Town is DollarTest {
    uint256 public constant PEOPLE = 5;

    /// What was made so far; the supply must be exactly this.
    uint256 public minted = FUNDS;
    /// How many movements went through, so that a run that moved nothing does not pass for proof.
    uint256 public moved;

    constructor() {
        setUp();
    }

    function token() external view returns (address) {
        return address(dollar);
    }

    function person(uint256 seed) public pure returns (address) {
        return vm.addr(key(seed));
    }

    function key(uint256 seed) private pure returns (uint256) {
        return PAYER_KEY + seed % PEOPLE;
    }

    function mint(uint256 to, uint96 value) external {
        vm.prank(MINTER);
        dollar.mint(person(to), value);
        minted += value;
        moved += 1;
    }

    function transfer(uint256 from, uint256 to, uint256 value) external {
        address sender = person(from);
        value = bound(value, 0, dollar.balanceOf(sender));
        sendOk(sender, abi.encodeCall(dollar.transfer, (person(to), value)));
        moved += 1;
    }

    /// @dev Any value, so most exceed the balance and must fail whole.
    function overspend(uint256 from, uint256 to, uint256 value) external {
        (bool ok,) = send(person(from), abi.encodeCall(dollar.transfer, (person(to), value)));
        if (ok) moved += 1;
    }

    /// @dev Nonces are few, so many of these are replays, which must fail and move nothing.
    function pay(uint256 from, uint256 to, uint256 value, uint8 nonce, bool asPayee) external {
        Order memory o = anOrder(0);
        (o.from, o.to, o.nonce) = (person(from), person(to), bytes32(uint256(nonce % 4)));
        o.value = bound(value, 0, dollar.balanceOf(o.from));
        bool fresh = !dollar.authorizationState(o.from, o.nonce);
        bytes32 digest = asPayee ? receiveDigest(o) : transferDigest(o);
        bytes memory signature = signed(key(from), digest);
        (bool ok,) = asPayee
            ? send(o.to, receiveCall(o, signature))
            : send(CARRIER, transferCall(o, signature));
        vm.assertEq(ok, fresh);
        if (ok) moved += 1;
    }
}

/// @dev Invariant 1 of Machina, on the token: no dollar appears or vanishes but by the minter.
contract ConservationTest is DollarTest {
    Town private town;

    function setUp() public override {
        town = new Town();
    }

    /// @dev forge calls these contracts, and only these, at random.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(town);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev The movements, not the getters and not setUp.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(town);
        targets[0].selectors = new bytes4[](4);
        targets[0].selectors[0] = Town.mint.selector;
        targets[0].selectors[1] = Town.transfer.selector;
        targets[0].selectors[2] = Town.overspend.selector;
        targets[0].selectors[3] = Town.pay.selector;
    }

    function invariant_balances_sum_to_the_supply_and_the_supply_to_what_was_minted() public view {
        uint256 sum = 0;
        for (uint256 i = 0; i < town.PEOPLE(); ++i) {
            sum += tokenBalance(town.person(i));
        }
        vm.assertEq(sum, supply());
        vm.assertEq(supply(), town.minted());
    }

    /// @dev Each run must have tested something.
    function afterInvariant() public view {
        vm.assertTrue(town.moved() > 0, "no dollar moved in this run");
    }

    function supply() private view returns (uint256) {
        return DollarReader(town.token()).totalSupply();
    }

    function tokenBalance(address account) private view returns (uint256) {
        return DollarReader(town.token()).balanceOf(account);
    }
}

interface DollarReader {
    function totalSupply() external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
}

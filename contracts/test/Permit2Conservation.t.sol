// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAllowanceTransfer} from "../src/permit2/IAllowanceTransfer.sol";
import {x402ExactPermit2Proxy} from "../src/x402ExactPermit2Proxy.sol";
import {x402UptoPermit2Proxy} from "../src/x402UptoPermit2Proxy.sol";
import {Permit2Test} from "./Permit2Test.sol";

/// @dev A market of payers who sign, carriers who carry, and thieves who change what was signed or
/// have no signature at all. It writes down what each payer allowed and what was taken from it.
contract Market is Permit2Test {
    uint256 public constant PAYERS = 3;
    /// @dev Few, so that many orders are replays.
    uint256 private constant NONCES = 40;

    x402ExactPermit2Proxy private exact = new x402ExactPermit2Proxy();
    x402UptoPermit2Proxy private upto = new x402UptoPermit2Proxy();

    /// What each payer agreed to have taken from it so far.
    mapping(uint256 person => uint256 minorUnits) public agreed;
    /// Which nonces of each payer are used, by the orders that went through and by taking back.
    mapping(uint256 person => uint256 bits) public used;
    /// What the carrier may still take from each payer by allowance.
    mapping(uint256 person => uint160 minorUnits) public allowed;
    /// Whom the carrier was ever allowed to take from: taking nothing needs that, too.
    mapping(uint256 person => bool ever) private wasAllowed;
    /// How many payments went through, and how many thefts were tried.
    uint256 public paid;
    uint256 public tried;

    constructor() {
        setUp();
        for (uint256 i = 0; i < PAYERS; ++i) {
            vm.prank(MINTER);
            dollar.mint(person(i), FUNDS);
            vm.prank(person(i));
            dollar.approve(address(PERMIT2), type(uint256).max);
        }
    }

    function person(uint256 i) public pure returns (address) {
        return vm.addr(key(i));
    }

    /// @dev Not the payer of the other tests, who has money of its own here.
    function key(uint256 i) private pure returns (uint256) {
        return PAYER_KEY + 1 + i % PAYERS;
    }

    function balanceOf(address account) external view returns (uint256) {
        return dollar.balanceOf(account);
    }

    function bitmap(uint256 i) external view returns (uint256) {
        return PERMIT2.nonceBitmap(person(i), 0);
    }

    function spenders() external view returns (address[3] memory) {
        return [address(PERMIT2), address(exact), address(upto)];
    }

    function seller() external pure returns (address) {
        return SELLER;
    }

    function initial() external pure returns (uint256) {
        return FUNDS;
    }

    /// @dev What a fuzzed call tries; `good` is then found out from its kind.
    struct Attempt {
        uint256 who;
        uint256 most;
        uint256 amount;
        uint8 nonce;
        uint8 kind;
        bool more;
        bool good;
    }

    function signOrder(Attempt memory a, Permitted memory p) private view returns (bytes memory) {
        (p.permit.nonce, p.permit.permitted.amount) = (a.nonce % NONCES, a.most);
        return signed(key(a.who), digestOf(p));
    }

    function attempt(address from, address target, bytes memory call, bool mustGo) private {
        (bool went,) = ask(from, target, call);
        vm.assertEq(went, mustGo);
    }

    function isFresh(uint256 who, uint256 nonce) private view returns (bool) {
        return used[who % PAYERS] >> nonce & 1 == 0;
    }

    /// @dev What must come of a good order, and is written down if it does.
    function expect(uint256 who, uint256 nonce, uint256 amount, bool good) private returns (bool) {
        bool covered = amount > 0 && amount <= dollar.balanceOf(person(who));
        if (!good || !isFresh(who, nonce) || !covered) return false;
        used[who % PAYERS] |= 1 << nonce;
        agreed[who % PAYERS] += amount;
        paid += 1;
        return true;
    }

    function theft(uint8 kind) private returns (bool) {
        if (kind % 4 != 0) return false;
        tried += 1;
        return true;
    }

    /// @dev Any carrier settles an exact order; a thief pays himself, or more.
    function settleExact(Attempt memory a) external {
        (a.most, a.good) = (bound(a.most, 0, FUNDS / 8), !theft(a.kind));
        x402ExactPermit2Proxy.Witness memory witness = x402ExactPermit2Proxy.Witness(SELLER, NOW);
        bytes32 hash = keccak256(abi.encode(exact.WITNESS_TYPEHASH(), witness));
        Permitted memory p = Permitted(aPermit(), address(exact), hash, exact.WITNESS_TYPE_STRING());
        bytes memory signature = signOrder(a, p);
        if (!a.good && a.more) p.permit.permitted.amount += 1;
        else if (!a.good) witness.to = CARRIER;
        bytes memory call =
            abi.encodeCall(exact.settle, (p.permit, person(a.who), witness, signature));
        bool ok = expect(a.who, p.permit.nonce, a.most, a.good);
        attempt(person(a.kind), address(exact), call, ok);
    }

    /// @dev The signed facilitator settles a part; a thief is another, or takes more.
    function settleUpto(Attempt memory a) external {
        (a.most, a.good) = (bound(a.most, 0, FUNDS / 8), !theft(a.kind));
        a.amount = bound(a.amount, 0, a.most);
        x402UptoPermit2Proxy.Witness memory witness =
            x402UptoPermit2Proxy.Witness(SELLER, CARRIER, NOW);
        bytes32 hash = keccak256(abi.encode(upto.WITNESS_TYPEHASH(), witness));
        Permitted memory p = Permitted(aPermit(), address(upto), hash, upto.WITNESS_TYPE_STRING());
        bytes memory signature = signOrder(a, p);
        bool ok = expect(a.who, p.permit.nonce, a.amount, a.good);
        if (!a.good && a.more) a.amount = a.most + 1;
        bytes memory call =
            abi.encodeCall(upto.settle, (p.permit, a.amount, person(a.who), witness, signature));
        attempt(a.good || a.more ? CARRIER : person(a.kind), address(upto), call, ok);
    }

    /// @dev The signed spender takes a part at Permit2 itself; a thief is another spender.
    function take(Attempt memory a) external {
        (a.most, a.good) = (bound(a.most, 0, FUNDS / 8), !theft(a.kind));
        a.amount = bound(a.amount, 0, a.most);
        Permitted memory p = Permitted(aPermit(), CARRIER, bytes32(0), "");
        bytes memory signature = signOrder(a, p);
        bytes memory call = abi.encodeWithSignature(
            "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)",
            p.permit,
            SELLER,
            a.amount,
            person(a.who),
            signature
        );
        // Unlike the proxies, Permit2 also takes nothing at all, and then uses the nonce up.
        bool empty = a.good && a.amount == 0 && isFresh(a.who, p.permit.nonce);
        bool ok = expect(a.who, p.permit.nonce, a.amount, a.good) || empty;
        if (empty) used[a.who % PAYERS] |= 1 << p.permit.nonce;
        attempt(a.good ? CARRIER : SELLER, address(PERMIT2), call, ok);
    }

    /// @dev A payer allows the carrier something, for as long as this block lasts.
    function allow(uint256 who, uint160 amount) external {
        amount = uint160(bound(amount, 0, FUNDS / 4));
        vm.prank(person(who));
        PERMIT2.approve(address(dollar), CARRIER, amount, 0);
        (allowed[who % PAYERS], wasAllowed[who % PAYERS]) = (amount, true);
    }

    /// @dev The carrier takes from its allowance; a thief has none.
    function takeAllowed(uint256 who, uint160 amount, uint8 kind) external {
        amount = uint160(bound(amount, 0, FUNDS / 4));
        bool good = !theft(kind);
        bytes memory call = abi.encodeWithSignature(
            "transferFrom(address,address,uint160,address)",
            person(who),
            SELLER,
            amount,
            address(dollar)
        );
        bool covered = amount <= allowed[who % PAYERS] && amount <= dollar.balanceOf(person(who));
        bool ok = good && wasAllowed[who % PAYERS] && covered;
        attempt(good ? CARRIER : SELLER, address(PERMIT2), call, ok);
        if (!ok) return;
        allowed[who % PAYERS] -= amount;
        agreed[who % PAYERS] += amount;
        paid += 1;
    }

    /// @dev A payer takes back its allowance and one nonce.
    function takeBack(uint256 who, uint8 nonce) external {
        IAllowanceTransfer.TokenSpenderPair[] memory pairs =
            new IAllowanceTransfer.TokenSpenderPair[](1);
        pairs[0] = IAllowanceTransfer.TokenSpenderPair(address(dollar), CARRIER);
        vm.prank(person(who));
        PERMIT2.lockdown(pairs);
        vm.prank(person(who));
        PERMIT2.invalidateUnorderedNonces(0, 1 << nonce % NONCES);
        allowed[who % PAYERS] = 0;
        used[who % PAYERS] |= 1 << nonce % NONCES;
    }
}

/// @dev Invariants 1 and 2 of Machina at Permit2: what a payer loses is what it agreed to, to the unit;
/// it all arrives; and each nonce is good once.
contract Permit2ConservationTest is Permit2Test {
    Market private market;

    function setUp() public override {
        market = new Market();
    }

    /// @dev forge calls these contracts, and only these, at random.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev The movements, not the getters and not setUp.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(market);
        targets[0].selectors = new bytes4[](6);
        targets[0].selectors[0] = Market.settleExact.selector;
        targets[0].selectors[1] = Market.settleUpto.selector;
        targets[0].selectors[2] = Market.take.selector;
        targets[0].selectors[3] = Market.allow.selector;
        targets[0].selectors[4] = Market.takeAllowed.selector;
        targets[0].selectors[5] = Market.takeBack.selector;
    }

    function invariant_a_payer_loses_what_it_agreed_to_and_the_seller_gets_it() public view {
        uint256 sum = 0;
        for (uint256 i = 0; i < market.PAYERS(); ++i) {
            uint256 kept = market.balanceOf(market.person(i));
            vm.assertEq(kept + market.agreed(i), market.initial());
            sum += market.agreed(i);
        }
        vm.assertEq(market.balanceOf(market.seller()), sum);
    }

    function invariant_a_nonce_is_used_if_and_only_if_its_payer_used_it() public view {
        for (uint256 i = 0; i < market.PAYERS(); ++i) {
            vm.assertEq(market.bitmap(i), market.used(i));
        }
    }

    function invariant_nothing_stays_on_the_way() public view {
        address[3] memory spenders = market.spenders();
        for (uint256 i = 0; i < spenders.length; ++i) {
            vm.assertEq(market.balanceOf(spenders[i]), 0);
        }
    }

    /// @dev Each run must have tested something.
    function afterInvariant() public view {
        vm.assertTrue(market.paid() > 0, "no payment went through in this run");
        vm.assertTrue(market.tried() > 0, "nobody tried to steal in this run");
    }
}

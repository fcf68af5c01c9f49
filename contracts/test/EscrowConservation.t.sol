// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AuthCaptureEscrow} from "../src/AuthCaptureEscrow.sol";
import {EscrowTest} from "./EscrowTest.sol";

/// @dev Two payers, two sellers and two operators with a few payments between them. They do all that
/// the escrow can, in and out of time, and the office keeps its own simple books of it.
contract Office is EscrowTest {
    uint256 public constant PAYMENTS = 6;
    uint256 private constant FIRST_PAYER = 0x9A7E0;
    uint256 private constant PURSE = 1_000_000;

    struct Books {
        uint256 taken;
        uint256 captured;
        uint256 fees;
        uint256 givenBack;
        uint256 refunded;
    }

    /// By payment: what was taken, what became of it, and what was refunded from elsewhere.
    mapping(uint256 payment => Books) public books;
    /// How many calls went through, so that a run that moved nothing does not pass for proof.
    uint256 public moved;

    constructor() {
        setUp();
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(MINTER);
            dollar.mint(vm.addr(FIRST_PAYER + i), PURSE);
            vm.prank(MINTER);
            dollar.mint(operator(i), PURSE);
            vm.prank(operator(i));
            dollar.approve(address(refunds), type(uint256).max);
        }
    }

    function operator(uint256 i) public pure returns (address) {
        return address(uint160(0x09E2A700 + i));
    }

    function seller(uint256 i) public pure returns (address) {
        return address(uint160(0x5E1100 + i));
    }

    /// @dev Payments differ in who is in them, and their times come one after another.
    function payment(uint256 i) public view returns (AuthCaptureEscrow.PaymentInfo memory p) {
        p = aPayment();
        (p.operator, p.payer) = (operator(i % 2), vm.addr(FIRST_PAYER + i / 2 % 2));
        (p.receiver, p.maxAmount, p.salt) = (seller(i / 3), uint120(1000 * (i + 1)), i);
        p.preApprovalExpiry = uint48(NOW + (i + 1) * 1 hours);
        p.authorizationExpiry = p.preApprovalExpiry + 4 hours;
        p.refundExpiry = p.authorizationExpiry + 4 hours;
        (p.minFeeBps, p.maxFeeBps) = (uint16(50 * i), uint16(1000 * i));
    }

    // ---- what people do ----------------------------------------------------------------------

    function take(uint256 i, uint256 amount, bool atOnce, uint256 fee) external {
        i = i % PAYMENTS;
        AuthCaptureEscrow.PaymentInfo memory p = payment(i);
        amount = bound(amount, 1, p.maxAmount + 10);
        fee = near(p, amount, fee);
        bytes memory signature = order(FIRST_PAYER + i / 2 % 2, p);
        bytes memory call = atOnce
            ? abi.encodeCall(escrow.charge, (p, amount, address(collector), signature, fee, FEES))
            : abi.encodeCall(escrow.authorize, (p, amount, address(collector), signature));
        bool good = books[i].taken == 0 && amount <= p.maxAmount
            && block.timestamp < p.preApprovalExpiry && (!atOnce || feeFits(p, amount, fee));
        if (!act(p.operator, call, good)) return;
        books[i].taken = amount;
        if (atOnce) (books[i].captured, books[i].fees) = (amount, fee);
    }

    function capture(uint256 i, uint256 amount, uint256 fee) external {
        i = i % PAYMENTS;
        AuthCaptureEscrow.PaymentInfo memory p = payment(i);
        amount = bound(amount, 1, left(i) + 10);
        fee = near(p, amount, fee);
        bool good =
            amount <= left(i) && block.timestamp < p.authorizationExpiry && feeFits(p, amount, fee);
        bytes memory call = abi.encodeCall(escrow.capture, (p, amount, fee, FEES));
        if (!act(p.operator, call, good)) return;
        books[i].captured += amount;
        books[i].fees += fee;
    }

    function giveBack(uint256 i, bool byPayer) external {
        i = i % PAYMENTS;
        AuthCaptureEscrow.PaymentInfo memory p = payment(i);
        bool good = left(i) > 0 && (!byPayer || block.timestamp >= p.authorizationExpiry);
        bytes memory call =
            byPayer ? abi.encodeCall(escrow.reclaim, (p)) : abi.encodeCall(escrow.void, (p));
        if (act(byPayer ? p.payer : p.operator, call, good)) books[i].givenBack += left(i);
    }

    function refund(uint256 i, uint256 amount) external {
        i = i % PAYMENTS;
        AuthCaptureEscrow.PaymentInfo memory p = payment(i);
        uint256 most = books[i].captured - books[i].refunded;
        amount = bound(amount, 1, most + 10);
        bool good = amount <= most && block.timestamp < p.refundExpiry;
        bytes memory call = abi.encodeCall(escrow.refund, (p, amount, address(refunds), ""));
        if (act(p.operator, call, good)) books[i].refunded += amount;
    }

    function wait(uint16 time) external {
        vm.warp(block.timestamp + bound(time, 0, 90 minutes));
    }

    /// @dev Everyone but the one who may, with the payer's good signature at hand.
    function meddle(uint256 i, uint256 who, uint256 amount) external {
        i = i % PAYMENTS;
        AuthCaptureEscrow.PaymentInfo memory p = payment(i);
        amount = bound(amount, 1, p.maxAmount);
        bytes memory signature = order(FIRST_PAYER + i / 2 % 2, p);
        address[5] memory others = [p.payer, p.receiver, FEES, operator(i + 1), CARRIER];
        address stranger = others[who % 5];
        act(
            stranger,
            abi.encodeCall(escrow.authorize, (p, amount, address(collector), signature)),
            false
        );
        act(
            stranger,
            abi.encodeCall(escrow.charge, (p, amount, address(collector), signature, 0, FEES)),
            false
        );
        act(stranger, abi.encodeCall(escrow.capture, (p, amount, 0, FEES)), false);
        act(stranger, abi.encodeCall(escrow.void, (p)), false);
        act(stranger, abi.encodeCall(escrow.refund, (p, amount, address(refunds), "")), false);
        if (stranger != p.payer) act(stranger, abi.encodeCall(escrow.reclaim, (p)), false);
    }

    /// @dev Whether a call goes through is foretold, and held to it both ways.
    function act(address sender, bytes memory call, bool good) private returns (bool ok) {
        vm.prank(sender);
        (ok,) = address(escrow).call(call);
        vm.assertEq(ok, good);
        if (ok) moved += 1;
    }

    function feeFits(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount, uint256 fee)
        private
        pure
        returns (bool)
    {
        return amount * p.minFeeBps / 10_000 <= fee && fee <= amount * p.maxFeeBps / 10_000;
    }

    /// @dev Any fee that fits, and a little more, so that some are refused.
    function near(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount, uint256 seed)
        private
        pure
        returns (uint256)
    {
        uint256 highest = amount * p.maxFeeBps / 10_000;
        return bound(seed, amount * p.minFeeBps / 10_000, highest + highest / 8 + 1);
    }

    function left(uint256 i) private view returns (uint256) {
        return books[i].taken - books[i].captured - books[i].givenBack;
    }

    // ---- what must hold ----------------------------------------------------------------------

    /// @dev Each payment is where the books say, each store holds what is left of its operator's
    /// payments, and everyone has what they had, and earned, and paid.
    function check() external view {
        uint256[2] memory stores;
        uint256[2] memory payers;
        uint256[2] memory sellers;
        uint256[2] memory operators;
        uint256 fees = 0;
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            Books memory b = books[i];
            vm.assertTrue(b.captured + b.givenBack <= b.taken, "more left than was taken");
            vm.assertTrue(b.refunded <= b.captured, "more refunded than captured");
            (bool collected, uint120 capturable, uint120 refundable) =
                escrow.paymentState(hashOf(payment(i)));
            vm.assertEq(collected, b.taken > 0);
            vm.assertEq(capturable, left(i));
            vm.assertEq(refundable, b.captured - b.refunded);
            stores[i % 2] += left(i);
            payers[i / 2 % 2] += b.taken - b.givenBack - b.refunded;
            sellers[i / 3] += b.captured - b.fees;
            operators[i % 2] += b.refunded;
            fees += b.fees;
        }
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(dollar.balanceOf(escrow.getTokenStore(operator(i))), stores[i]);
            vm.assertEq(dollar.balanceOf(vm.addr(FIRST_PAYER + i)), PURSE - payers[i]);
            vm.assertEq(dollar.balanceOf(seller(i)), sellers[i]);
            vm.assertEq(dollar.balanceOf(operator(i)), PURSE - operators[i]);
        }
        vm.assertEq(dollar.balanceOf(FEES), fees);
        vm.assertEq(dollar.balanceOf(address(collector)), 0);
        vm.assertEq(dollar.balanceOf(address(escrow)), 0);
    }

    /// @dev After the deadlines every payer gets what is left without anyone's help, and nothing
    /// stays behind.
    function everyoneDeparts() external {
        vm.warp(block.timestamp + 1 days);
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            if (left(i) == 0) continue;
            AuthCaptureEscrow.PaymentInfo memory p = payment(i);
            vm.prank(p.payer);
            escrow.reclaim(p);
        }
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(dollar.balanceOf(escrow.getTokenStore(operator(i))), 0);
        }
    }
}

/// @dev Captured, voided and reclaimed are never more than was authorized, whatever is done in
/// whatever order.
contract EscrowConservationTest is EscrowTest {
    Office private office;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public override {
        office = new Office();
    }

    /// @dev forge calls this contract, and only it, at random.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(office);
    }

    /// @dev What people do, not the questions.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(office);
        targets[0].selectors = new bytes4[](6);
        targets[0].selectors[0] = Office.take.selector;
        targets[0].selectors[1] = bytes4(keccak256("capture(uint256,uint256,uint256)"));
        targets[0].selectors[2] = Office.giveBack.selector;
        targets[0].selectors[3] = bytes4(keccak256("refund(uint256,uint256)"));
        targets[0].selectors[4] = Office.wait.selector;
        targets[0].selectors[5] = Office.meddle.selector;
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_every_payment_is_where_the_books_say() public view {
        office.check();
    }

    /// @dev Each run must have moved something, and every payer can leave with what is left.
    function afterInvariant() public {
        vm.assertTrue(office.moved() > 0, "no dollar moved in this run");
        office.everyoneDeparts();
    }
}

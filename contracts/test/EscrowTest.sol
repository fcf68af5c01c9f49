// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AuthCaptureEscrow} from "../src/AuthCaptureEscrow.sol";
import {ERC3009PaymentCollector} from "../src/ERC3009PaymentCollector.sol";
import {Multicall3} from "../src/Multicall3.sol";
import {OperatorRefundCollector} from "../src/OperatorRefundCollector.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev An escrow for dollars, an operator, and payments that the payer signs by EIP-3009. Hashes are
/// computed here from the text of the types.
abstract contract EscrowTest is DollarTest {
    address internal constant OPERATOR = address(0x09E2A702);
    address internal constant FEES = address(0xFEE5);

    string internal constant PAYMENT_TYPE =
        "PaymentInfo(address operator,address payer,address receiver,address token,uint120 maxAmount,uint48 preApprovalExpiry,uint48 authorizationExpiry,uint48 refundExpiry,uint16 minFeeBps,uint16 maxFeeBps,address feeReceiver,uint256 salt)";

    AuthCaptureEscrow internal escrow;
    ERC3009PaymentCollector internal collector;
    OperatorRefundCollector internal refunds;

    function setUp() public virtual override {
        super.setUp();
        escrow = new AuthCaptureEscrow();
        collector = new ERC3009PaymentCollector(address(escrow), address(new Multicall3()));
        refunds = new OperatorRefundCollector(address(escrow));
        vm.prank(MINTER);
        dollar.mint(OPERATOR, FUNDS);
        vm.prank(OPERATOR);
        dollar.approve(address(refunds), type(uint256).max);
    }

    /// @dev At most 1000, a minute to take them, a day to capture, a month to refund, and a fee of up
    /// to a tenth for FEES.
    function aPayment() internal view returns (AuthCaptureEscrow.PaymentInfo memory) {
        return AuthCaptureEscrow.PaymentInfo({
            operator: OPERATOR,
            payer: payer,
            receiver: SELLER,
            token: address(dollar),
            maxAmount: 1000,
            preApprovalExpiry: uint48(NOW + 1 minutes),
            authorizationExpiry: uint48(NOW + 1 days),
            refundExpiry: uint48(NOW + 30 days),
            minFeeBps: 0,
            maxFeeBps: 1000,
            feeReceiver: FEES,
            salt: 1
        });
    }

    // ---- what is signed ----------------------------------------------------------------------

    function hashOf(AuthCaptureEscrow.PaymentInfo memory p) internal view returns (bytes32) {
        bytes memory members = bytes.concat(
            abi.encode(keccak256(bytes(PAYMENT_TYPE)), p.operator, p.payer, p.receiver, p.token),
            abi.encode(p.maxAmount, p.preApprovalExpiry, p.authorizationExpiry, p.refundExpiry),
            abi.encode(p.minFeeBps, p.maxFeeBps, p.feeReceiver, p.salt)
        );
        return keccak256(abi.encode(block.chainid, address(escrow), keccak256(members)));
    }

    function nonceOf(AuthCaptureEscrow.PaymentInfo memory p) internal view returns (bytes32) {
        address whose = p.payer;
        p.payer = address(0);
        bytes32 nonce = hashOf(p);
        p.payer = whose;
        return nonce;
    }

    /// @dev The payer's order for a payment, as a stock client signs it.
    function order(uint256 key, AuthCaptureEscrow.PaymentInfo memory p)
        internal
        view
        returns (bytes memory)
    {
        return signed(
            key,
            receiveDigest(
                Order({
                    from: p.payer,
                    to: address(collector),
                    value: p.maxAmount,
                    validAfter: 0,
                    validBefore: p.preApprovalExpiry,
                    nonce: nonceOf(p)
                })
            )
        );
    }

    // ---- what is done ------------------------------------------------------------------------

    function authorize(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount) internal {
        bytes memory signature = order(PAYER_KEY, p);
        vm.prank(p.operator);
        escrow.authorize(p, amount, address(collector), signature);
    }

    function charge(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount, uint256 fee) internal {
        bytes memory signature = order(PAYER_KEY, p);
        vm.prank(p.operator);
        escrow.charge(p, amount, address(collector), signature, fee, FEES);
    }

    function capture(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount, uint256 fee) internal {
        vm.prank(p.operator);
        escrow.capture(p, amount, fee, FEES);
    }

    function void(AuthCaptureEscrow.PaymentInfo memory p) internal {
        vm.prank(p.operator);
        escrow.void(p);
    }

    function reclaim(AuthCaptureEscrow.PaymentInfo memory p) internal {
        vm.prank(p.payer);
        escrow.reclaim(p);
    }

    function refund(AuthCaptureEscrow.PaymentInfo memory p, uint256 amount) internal {
        vm.prank(p.operator);
        escrow.refund(p, amount, address(refunds), "");
    }

    function checkState(
        AuthCaptureEscrow.PaymentInfo memory p,
        bool collected,
        uint256 capturable,
        uint256 refundable
    ) internal view {
        (bool nowCollected, uint120 nowCapturable, uint120 nowRefundable) =
            escrow.paymentState(hashOf(p));
        vm.assertEq(nowCollected, collected);
        vm.assertEq(nowCapturable, capturable);
        vm.assertEq(nowRefundable, refundable);
        vm.assertEq(dollar.balanceOf(escrow.getTokenStore(p.operator)), capturable);
    }

    function expectRefusal(bytes4 reason) internal {
        vm.expectRevert(abi.encodePacked(reason));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {AuthCaptureEscrow} from "../src/AuthCaptureEscrow.sol";
import {Multicall3} from "../src/Multicall3.sol";
import {Permit2} from "../src/Permit2.sol";
import {Permit2PaymentCollector} from "../src/Permit2PaymentCollector.sol";
import {TokenCollector} from "../src/bases/TokenCollector.sol";
import {SignedOrders} from "../src/permit2/SignedOrders.sol";
import {KeyedWallet} from "./ChannelTest.sol";
import {EscrowTest} from "./EscrowTest.sol";

/// @dev Brings from its own pocket what it was told to, whatever is asked for.
contract GenerousPayments {
    uint256 private immutable BRINGS;

    constructor(uint256 brings) {
        BRINGS = brings;
    }

    function collectorType() external pure returns (TokenCollector.CollectorType) {
        return TokenCollector.CollectorType.Payment;
    }

    function collectTokens(
        AuthCaptureEscrow.PaymentInfo calldata p,
        address store,
        uint256,
        bytes calldata
    ) external {
        require(IERC20(p.token).transfer(store, BRINGS), "the token refused");
    }
}

/// @dev Is an operator too, and calls back into the escrow while it collects.
contract ReentrantPayments {
    function collectorType() external pure returns (TokenCollector.CollectorType) {
        return TokenCollector.CollectorType.Payment;
    }

    function collectTokens(
        AuthCaptureEscrow.PaymentInfo calldata,
        address,
        uint256,
        bytes calldata again
    ) external {
        forward(msg.sender, again);
    }

    function forward(address to, bytes calldata call) public {
        (bool ok, bytes memory answer) = to.call(call);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}

/// @dev Deploys a wallet to where it was foretold (ERC-6492).
contract WalletFactory {
    function deploy(address owner) external returns (address) {
        return address(new KeyedWallet{salt: 0}(owner));
    }

    function foretell(address owner) external view returns (address) {
        bytes32 code =
            keccak256(abi.encodePacked(type(KeyedWallet).creationCode, abi.encode(owner)));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), code));
        return address(uint160(uint256(hash)));
    }
}

contract EscrowCollectorsTest is EscrowTest {
    bytes32 private constant WRAPPED =
        0x6492649264926492649264926492649264926492649264926492649264926492;

    Permit2 private permit2;
    Permit2PaymentCollector private universal;
    AuthCaptureEscrow.PaymentInfo private p;

    function setUp() public override {
        super.setUp();
        permit2 = new Permit2();
        universal = new Permit2PaymentCollector(
            address(escrow), address(permit2), address(new Multicall3())
        );
        vm.prank(payer);
        dollar.approve(address(permit2), type(uint256).max);
        p = aPayment();
    }

    // ---- by EIP-3009 -------------------------------------------------------------------------

    function test_an_order_pays_only_the_payment_it_was_signed_for() public {
        bytes memory signature = order(PAYER_KEY, p);
        for (uint256 i = 0; i < 9; ++i) {
            AuthCaptureEscrow.PaymentInfo memory other = aPayment();
            if (i == 0) other.receiver = OPERATOR;
            if (i == 1) other.maxAmount += 1;
            if (i == 2) other.preApprovalExpiry += 1;
            if (i == 3) other.authorizationExpiry += 1;
            if (i == 4) other.refundExpiry += 1;
            if (i == 5) other.minFeeBps = 1;
            if (i == 6) other.maxFeeBps = 10_000;
            if (i == 7) other.feeReceiver = OPERATOR;
            if (i == 8) other.salt += 1;
            refuseAuthorize(
                other, address(collector), signature, ERC3009.ERC3009InvalidSignature.selector
            );
        }
        AuthCaptureEscrow.PaymentInfo memory stolen = aPayment();
        stolen.operator = CARRIER;
        refuseAuthorize(
            stolen, address(collector), signature, ERC3009.ERC3009InvalidSignature.selector
        );
    }

    function test_an_order_by_another_key_pays_nothing() public {
        bytes memory signature = order(0xB0B, p);
        refuseAuthorize(p, address(collector), signature, ERC3009.ERC3009InvalidSignature.selector);
    }

    function test_a_wallet_pays_that_is_deployed_by_its_first_payment() public {
        WalletFactory factory = new WalletFactory();
        p.payer = factory.foretell(payer);
        vm.prank(MINTER);
        dollar.mint(p.payer, 1000);
        bytes memory inner = order(PAYER_KEY, p);
        refuseAuthorize(p, address(collector), inner, ERC3009.ERC3009InvalidSignature.selector);

        bytes memory deploy = abi.encodeCall(factory.deploy, (payer));
        bytes memory wrapped = bytes.concat(abi.encode(factory, deploy, inner), WRAPPED);
        vm.prank(OPERATOR);
        escrow.authorize(p, 1000, address(collector), wrapped);
        vm.assertTrue(p.payer.code.length > 0, "the wallet has no code");
        checkState(p, true, 1000, 0);

        // Deployed already, the wrapped signature is as good; the call's failure means nothing.
        vm.prank(MINTER);
        dollar.mint(p.payer, 1000);
        p.salt = 2;
        inner = order(PAYER_KEY, p);
        wrapped = bytes.concat(abi.encode(factory, deploy, inner), WRAPPED);
        vm.prank(OPERATOR);
        escrow.authorize(p, 1, address(collector), wrapped);
    }

    /// @dev The call in a wrapped signature is a stranger's: it must not come from the collector, to
    /// which payers' tokens come.
    function test_a_wrapped_signatures_call_has_no_rights() public {
        vm.prank(MINTER);
        dollar.mint(address(collector), 500);
        bytes memory steal = abi.encodeCall(dollar.transfer, (OPERATOR, 500));
        bytes memory wrapped = bytes.concat(abi.encode(dollar, steal, order(PAYER_KEY, p)), WRAPPED);
        vm.prank(OPERATOR);
        escrow.authorize(p, 1000, address(collector), wrapped);
        vm.assertEq(dollar.balanceOf(address(collector)), 500);
        vm.assertEq(dollar.balanceOf(OPERATOR), FUNDS);
    }

    // ---- by Permit2 --------------------------------------------------------------------------

    function test_permit2_pays_what_is_asked_for_and_no_more() public {
        bytes memory signature = permit(PAYER_KEY, p);
        vm.prank(OPERATOR);
        escrow.authorize(p, 400, address(universal), signature);
        checkState(p, true, 400, 0);
        vm.assertEq(dollar.balanceOf(payer), FUNDS - 400);
        capture(p, 400, 40);
        vm.assertEq(dollar.balanceOf(SELLER), 360);
    }

    function test_a_permit_pays_only_the_payment_it_was_signed_for() public {
        bytes memory signature = permit(PAYER_KEY, p);
        bytes4 reason = SignedOrders.InvalidSigner.selector;
        p.receiver = OPERATOR;
        refuseAuthorize(p, address(universal), signature, reason);
        p = aPayment();
        p.maxAmount += 1;
        refuseAuthorize(p, address(universal), signature, reason);
        p = aPayment();
        refuseAuthorize(p, address(universal), permit(0xB0B, p), reason);
        // Through another collector the spender is another.
        refuseAuthorize(p, address(collector), signature, ERC3009.ERC3009InvalidSignature.selector);
    }

    // ---- what the escrow asks of collectors --------------------------------------------------

    function test_only_the_escrow_collects() public {
        bytes memory signature = order(PAYER_KEY, p);
        TokenCollector[3] memory all = [TokenCollector(collector), universal, refunds];
        for (uint256 i = 0; i < all.length; ++i) {
            expectRefusal(TokenCollector.OnlyAuthCaptureEscrow.selector);
            vm.prank(OPERATOR);
            all[i].collectTokens(p, OPERATOR, 1000, signature);
        }
    }

    function test_a_refund_is_not_paid_with_what_the_payer_signed_nor_the_reverse() public {
        charge(p, 1000, 0);
        AuthCaptureEscrow.PaymentInfo memory next = aPayment();
        next.salt = 2;
        bytes memory signature = order(PAYER_KEY, next);
        expectRefusal(AuthCaptureEscrow.InvalidCollectorForOperation.selector);
        vm.prank(OPERATOR);
        escrow.refund(p, 1000, address(collector), signature);
        refuseAuthorize(
            next, address(refunds), "", AuthCaptureEscrow.InvalidCollectorForOperation.selector
        );
    }

    function test_a_collector_that_brings_another_amount_is_refused() public {
        for (uint256 brings = 8; brings < 13; ++brings) {
            GenerousPayments generous = new GenerousPayments(brings);
            vm.prank(MINTER);
            dollar.mint(address(generous), 20);
            p.salt = brings;
            if (brings == 10) {
                vm.prank(OPERATOR);
                escrow.authorize(p, 10, address(generous), "");
                continue;
            }
            expectRefusal(AuthCaptureEscrow.TokenCollectionFailed.selector);
            vm.prank(OPERATOR);
            escrow.authorize(p, 10, address(generous), "");
        }
    }

    /// @dev Otherwise a collector could let tokens leave the store while they are counted.
    function test_a_collector_reaches_no_door_of_the_escrow() public {
        ReentrantPayments reentrant = new ReentrantPayments();
        p.operator = address(reentrant);
        authorize(p, 1000);
        AuthCaptureEscrow.PaymentInfo memory next = aPayment();
        (next.operator, next.salt) = (address(reentrant), 2);
        bytes memory signature = order(PAYER_KEY, next);
        bytes[] memory calls = new bytes[](6);
        calls[0] = abi.encodeCall(escrow.authorize, (next, 10, address(collector), signature));
        calls[1] = abi.encodeCall(escrow.charge, (next, 10, address(collector), signature, 0, FEES));
        calls[2] = abi.encodeCall(escrow.capture, (p, 10, 0, FEES));
        calls[3] = abi.encodeCall(escrow.void, (p));
        calls[4] = abi.encodeCall(escrow.reclaim, (p));
        calls[5] = abi.encodeCall(escrow.refund, (p, 10, address(refunds), ""));
        next.salt = 3;
        for (uint256 i = 0; i < calls.length; ++i) {
            bytes memory outer =
                abi.encodeCall(escrow.authorize, (next, 10, address(reentrant), calls[i]));
            expectRefusal(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            reentrant.forward(address(escrow), outer);
        }
    }

    function refuseAuthorize(
        AuthCaptureEscrow.PaymentInfo memory payment,
        address through,
        bytes memory data,
        bytes4 reason
    ) private {
        expectRefusal(reason);
        vm.prank(payment.operator);
        escrow.authorize(payment, 1000, through, data);
    }

    /// @dev The payer's permit for a payment, as a stock client signs it: no witness.
    function permit(uint256 key, AuthCaptureEscrow.PaymentInfo memory payment)
        private
        view
        returns (bytes memory)
    {
        bytes32 permitted = keccak256(
            abi.encode(
                keccak256("TokenPermissions(address token,uint256 amount)"),
                payment.token,
                payment.maxAmount
            )
        );
        bytes32 hash = keccak256(
            abi.encode(
                keccak256(
                    "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
                ),
                permitted,
                address(universal),
                nonceOf(payment),
                payment.preApprovalExpiry
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(permit2)
            )
        );
        return signed(key, keccak256(abi.encodePacked(hex"1901", domain, hash)));
    }
}

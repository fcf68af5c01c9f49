// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Permit2DepositCollector} from "../src/Permit2DepositCollector.sol";
import {DepositCollector} from "../src/bases/DepositCollector.sol";
import {ISignatureTransfer} from "../src/interfaces/ISignatureTransfer.sol";
import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {ChannelTest} from "./ChannelTest.sol";

/// @dev The one function of Permit2 that the collector calls, held to Permit2's published types: it
/// moves tokens only on a payer's signature over permit, spender (the caller) and witness.
contract WitnessTransfer {
    error InvalidSigner();
    error SignatureExpired(uint256 deadline);
    error InvalidNonce();

    mapping(address owner => mapping(uint256 nonce => bool)) private used;

    function permitWitnessTransferFrom(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        ISignatureTransfer.SignatureTransferDetails calldata details,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        require(block.timestamp <= permit.deadline, SignatureExpired(permit.deadline));
        require(!used[owner][permit.nonce], InvalidNonce());
        used[owner][permit.nonce] = true;
        bytes32 kind = keccak256(
            abi.encodePacked(
                "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,",
                witnessTypeString
            )
        );
        bytes32 permitted = keccak256(
            abi.encode(
                keccak256("TokenPermissions(address token,uint256 amount)"), permit.permitted
            )
        );
        bytes32 order = keccak256(
            abi.encode(kind, permitted, msg.sender, permit.nonce, permit.deadline, witness)
        );
        require(recover(order, signature) == owner, InvalidSigner());
        require(
            IERC20(permit.permitted.token).transferFrom(owner, details.to, details.requestedAmount),
            "the token refused"
        );
    }

    function recover(bytes32 order, bytes calldata signature) private view returns (address) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(this)
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, order));
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        return ecrecover(digest, uint8(signature[64]), r, s);
    }
}

contract ChannelPermit2Test is ChannelTest {
    struct Permit {
        uint256 amount;
        address spender;
        uint256 nonce;
        uint256 deadline;
        bytes32 channelId;
    }

    address private permit2;
    Permit2DepositCollector private universal;

    function setUp() public override {
        super.setUp();
        permit2 = address(new WitnessTransfer());
        universal = new Permit2DepositCollector(address(settlement), permit2);
    }

    function test_a_payer_who_approved_permit2_deposits() public {
        approve();
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), ""));
        vm.assertEq(balanceOf(aChannel()), 400);
        vm.assertEq(dollar.balanceOf(address(settlement)), 400);
        vm.assertEq(dollar.balanceOf(address(universal)), 0);
    }

    function test_a_permit_for_anything_else_fills_no_channel() public {
        approve();
        for (uint256 i = 0; i < 4; ++i) {
            Permit memory p = aPermit();
            if (i == 0) p.amount = 401;
            if (i == 1) p.spender = address(collector);
            if (i == 2) p.channelId = keccak256("another channel");
            bytes memory signed_ = data(p, "");
            if (i == 3) {
                // The payer's good signature, carried with another nonce.
                (uint256 nonce, uint256 deadline, bytes memory signature,) =
                    abi.decode(signed_, (uint256, uint256, bytes, bytes));
                signed_ = abi.encode(nonce + 1, deadline, signature, "");
            }
            expectRefusal(WitnessTransfer.InvalidSigner.selector);
            settlement.deposit(aChannel(), 400, address(universal), signed_);
        }
    }

    function test_a_permit_is_good_once_and_in_time() public {
        approve();
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), ""));
        expectRefusal(WitnessTransfer.InvalidNonce.selector);
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), ""));
        Permit memory late = aPermit();
        (late.nonce, late.deadline) = (8, NOW - 1);
        vm.expectRevert(abi.encodeWithSelector(WitnessTransfer.SignatureExpired.selector, NOW - 1));
        settlement.deposit(aChannel(), 400, address(universal), data(late, ""));
    }

    function test_a_payer_without_gas_approves_permit2_in_the_same_call() public {
        bytes memory allowance = allowancePermit(PAYER_KEY, 400);
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), allowance));
        vm.assertEq(balanceOf(aChannel()), 400);
        vm.assertEq(dollar.allowance(payer, permit2), 0);
    }

    function test_an_allowance_permit_for_another_amount_is_refused() public {
        bytes memory allowance = allowancePermit(PAYER_KEY, 401);
        expectRefusal(Permit2DepositCollector.Permit2612AmountMismatch.selector);
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), allowance));
    }

    /// @dev Otherwise whoever carries the allowance permit first would spoil the deposit.
    function test_an_allowance_permit_that_was_carried_before_spoils_nothing() public {
        bytes memory allowance = allowancePermit(PAYER_KEY, 400);
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(allowance, (uint256, uint256, uint8, bytes32, bytes32));
        dollar.permit(payer, permit2, value, deadline, v, r, s);
        vm.expectEmit(true, true, false, false, address(universal));
        emit Permit2DepositCollector.EIP2612PermitFailedWithData(address(dollar), payer, "");
        settlement.deposit(aChannel(), 400, address(universal), data(aPermit(), allowance));
        vm.assertEq(balanceOf(aChannel()), 400);
    }

    function test_without_any_allowance_nothing_moves() public {
        bytes memory allowance = allowancePermit(VOUCHER_KEY, 400);
        (bool ok,) = address(settlement)
            .call(
                abi.encodeCall(
                    settlement.deposit,
                    (aChannel(), 400, address(universal), data(aPermit(), allowance))
                )
            );
        vm.assertTrue(!ok, "the deposit should have failed");
        vm.assertEq(dollar.balanceOf(payer), FUNDS);
    }

    function test_only_the_settlement_contract_collects() public {
        approve();
        bytes memory signed_ = data(aPermit(), "");
        expectRefusal(DepositCollector.OnlyX402BatchSettlement.selector);
        universal.collect(payer, address(dollar), 400, idOf(aChannel()), signed_);
    }

    function test_a_collector_without_permit2_or_settlement_cannot_be() public {
        expectRefusal(Permit2DepositCollector.InvalidPermit2Address.selector);
        new Permit2DepositCollector(address(settlement), address(0));
        expectRefusal(DepositCollector.InvalidX402BatchSettlementAddress.selector);
        new Permit2DepositCollector(address(0), permit2);
    }

    // ---- what is signed ----------------------------------------------------------------------

    function approve() private {
        vm.prank(payer);
        dollar.approve(permit2, type(uint256).max);
    }

    function aPermit() private view returns (Permit memory) {
        return Permit(400, address(universal), 7, NOW + 60, idOf(aChannel()));
    }

    function data(Permit memory p, bytes memory allowance) private view returns (bytes memory) {
        return abi.encode(p.nonce, p.deadline, signed(PAYER_KEY, permitDigest(p)), allowance);
    }

    /// @dev As a wallet computes it: the types that are used, in the order of their names.
    function permitDigest(Permit memory p) private view returns (bytes32) {
        bytes32 kind = keccak256(
            "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)"
        );
        bytes32 permitted = keccak256(
            abi.encode(
                keccak256("TokenPermissions(address token,uint256 amount)"), dollar, p.amount
            )
        );
        bytes32 witness =
            keccak256(abi.encode(keccak256("DepositWitness(bytes32 channelId)"), p.channelId));
        bytes32 order =
            keccak256(abi.encode(kind, permitted, p.spender, p.nonce, p.deadline, witness));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                permit2
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, order));
    }

    /// @dev An EIP-2612 permit of the payer's dollars for Permit2.
    function allowancePermit(uint256 key, uint256 value) private view returns (bytes memory) {
        bytes32 kind = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 digest = typed(
            keccak256(abi.encode(kind, payer, permit2, value, dollar.nonces(payer), NOW + 60))
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encode(value, NOW + 60, v, r, s);
    }
}

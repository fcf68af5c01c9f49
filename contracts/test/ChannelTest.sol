// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC3009DepositCollector} from "../src/ERC3009DepositCollector.sol";
import {x402BatchSettlement} from "../src/x402BatchSettlement.sol";
import {DollarTest} from "./DollarTest.sol";

/// @dev Channels in dollars: a payer whose vouchers another key signs, a receiver, and the
/// receiver's authorizer. What is signed is computed here from the texts of the types.
abstract contract ChannelTest is DollarTest {
    uint256 internal constant VOUCHER_KEY = 0x70C4E2;
    uint256 internal constant AUTHORIZER_KEY = 0xA0780;
    uint40 internal constant DELAY = 1 days;

    string internal constant CONFIG_TYPE =
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)";
    string internal constant ENTRY_TYPE =
        "ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)";

    x402BatchSettlement internal settlement;
    ERC3009DepositCollector internal collector;
    /// Makes each deposit's order another one.
    uint256 internal deposits;

    function setUp() public virtual override {
        super.setUp();
        settlement = new x402BatchSettlement();
        collector = new ERC3009DepositCollector(address(settlement));
    }

    function aChannel() internal view returns (x402BatchSettlement.ChannelConfig memory) {
        return x402BatchSettlement.ChannelConfig({
            payer: payer,
            payerAuthorizer: vm.addr(VOUCHER_KEY),
            receiver: SELLER,
            receiverAuthorizer: vm.addr(AUTHORIZER_KEY),
            token: address(dollar),
            withdrawDelay: DELAY,
            salt: 0
        });
    }

    // ---- what is signed ----------------------------------------------------------------------

    function channelTyped(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function idOf(x402BatchSettlement.ChannelConfig memory c) internal view returns (bytes32) {
        bytes32 members = keccak256(
            abi.encode(
                keccak256(bytes(CONFIG_TYPE)),
                c.payer,
                c.payerAuthorizer,
                c.receiver,
                c.receiverAuthorizer,
                c.token,
                c.withdrawDelay,
                c.salt
            )
        );
        return channelTyped(members);
    }

    function voucherDigest(bytes32 id, uint128 most) internal view returns (bytes32) {
        bytes32 kind = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
        return channelTyped(keccak256(abi.encode(kind, id, most)));
    }

    function refundDigest(bytes32 id, uint256 nonce, uint128 amount)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
        return channelTyped(keccak256(abi.encode(kind, id, nonce, amount)));
    }

    function batchDigest(x402BatchSettlement.VoucherClaim[] memory rows)
        internal
        view
        returns (bytes32)
    {
        bytes memory entries;
        for (uint256 i = 0; i < rows.length; ++i) {
            bytes32 entry = keccak256(
                abi.encode(
                    keccak256(bytes(ENTRY_TYPE)),
                    idOf(rows[i].voucher.channel),
                    rows[i].voucher.maxClaimableAmount,
                    rows[i].totalClaimed
                )
            );
            entries = bytes.concat(entries, entry);
        }
        bytes32 kind = keccak256(abi.encodePacked("ClaimBatch(ClaimEntry[] claims)", ENTRY_TYPE));
        return channelTyped(keccak256(abi.encode(kind, keccak256(entries))));
    }

    // ---- what is done ------------------------------------------------------------------------

    /// @dev What the EIP-3009 collector needs, signed with `key` for a channel.
    function collectorData(uint256 key, bytes32 id, uint128 amount, uint256 salt)
        internal
        view
        returns (bytes memory)
    {
        Order memory o = anOrder(amount);
        (o.from, o.to) = (vm.addr(key), address(collector));
        (o.validAfter, o.validBefore) = (0, block.timestamp + 60);
        o.nonce = keccak256(abi.encode(id, salt));
        return abi.encode(o.validAfter, o.validBefore, salt, signed(key, receiveDigest(o)));
    }

    function deposit(x402BatchSettlement.ChannelConfig memory c, uint128 amount) internal {
        depositBy(PAYER_KEY, c, amount);
    }

    function depositBy(uint256 key, x402BatchSettlement.ChannelConfig memory c, uint128 amount)
        internal
    {
        bytes memory data = collectorData(key, idOf(c), amount, ++deposits);
        vm.prank(CARRIER);
        settlement.deposit(c, amount, address(collector), data);
    }

    /// @dev A row as an honest payer and seller make it: the voucher allows exactly what is claimed.
    function row(x402BatchSettlement.ChannelConfig memory c, uint128 total)
        internal
        view
        returns (x402BatchSettlement.VoucherClaim memory)
    {
        return rowUpTo(c, total, total, VOUCHER_KEY);
    }

    function rowUpTo(
        x402BatchSettlement.ChannelConfig memory c,
        uint128 total,
        uint128 most,
        uint256 key
    ) internal view returns (x402BatchSettlement.VoucherClaim memory) {
        return x402BatchSettlement.VoucherClaim({
                voucher: x402BatchSettlement.Voucher(c, most),
                signature: signed(key, voucherDigest(idOf(c), most)),
                totalClaimed: total
            });
    }

    function batch(x402BatchSettlement.VoucherClaim memory one)
        internal
        pure
        returns (x402BatchSettlement.VoucherClaim[] memory rows)
    {
        rows = new x402BatchSettlement.VoucherClaim[](1);
        rows[0] = one;
    }

    function claim(x402BatchSettlement.ChannelConfig memory c, uint128 total) internal {
        x402BatchSettlement.VoucherClaim[] memory rows = batch(row(c, total));
        vm.prank(c.receiver);
        settlement.claim(rows);
    }

    // ---- what is left ------------------------------------------------------------------------

    function balanceOf(x402BatchSettlement.ChannelConfig memory c)
        internal
        view
        returns (uint128 balance)
    {
        (balance,) = settlement.channels(idOf(c));
    }

    function claimedOf(x402BatchSettlement.ChannelConfig memory c)
        internal
        view
        returns (uint128 claimed)
    {
        (, claimed) = settlement.channels(idOf(c));
    }

    function expectRefusal(bytes4 reason) internal {
        vm.expectRevert(abi.encodePacked(reason));
    }
}

/// @dev A wallet that calls signed what its owner's key signed (ERC-1271).
contract KeyedWallet {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        address signer = ecrecover(digest, uint8(signature[64]), r, s);
        return signer == OWNER ? this.isValidSignature.selector : bytes4(0);
    }
}

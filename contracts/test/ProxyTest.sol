// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {x402Permit2Proxy} from "../src/x402/x402Permit2Proxy.sol";
import {Permit2Test} from "./Permit2Test.sol";

/// @dev What the tests of x402's two Permit2 proxies share: permits by which a payer lets the proxies'
/// callers pay for its approval of Permit2 (EIP-2612).
abstract contract ProxyTest is Permit2Test {
    event Settled();
    event SettledWithPermit();
    event EIP2612PermitFailedWithReason(
        address indexed token, address indexed owner, string reason
    );
    event EIP2612PermitFailedWithPanic(
        address indexed token, address indexed owner, uint256 errorCode
    );
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    /// @dev The payer's next EIP-2612 permit of `value` for Permit2, in the dollar's domain.
    function sponsored(uint256 key, uint256 value)
        internal
        view
        returns (x402Permit2Proxy.EIP2612Permit memory p)
    {
        (p.value, p.deadline) = (value, NOW + 60);
        bytes32 typeHash = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 digest = typed(
            keccak256(
                abi.encode(
                    typeHash, payer, address(PERMIT2), p.value, dollar.nonces(payer), p.deadline
                )
            )
        );
        (p.r, p.s, p.v) = parts(signed(key, digest));
    }

    /// @dev The payer has not approved Permit2.
    function withdrawApproval() internal {
        vm.prank(payer);
        dollar.approve(address(PERMIT2), 0);
    }
}

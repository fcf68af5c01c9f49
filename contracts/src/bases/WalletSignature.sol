// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Multicall3} from "../Multicall3.sol";

/// @title Signatures of wallets that are not deployed yet (ERC-6492)
/// @notice Such a signature carries the call that deploys its wallet. Here that call is made first,
/// and the wallet's own signature taken out.
abstract contract WalletSignature {
    /// @notice Who makes the call. It is anyone's call, so it must come from where it can do nothing
    /// that anyone could not do: never from a contract that payers trust.
    Multicall3 public immutable multicall3;

    /// @dev What a wrapped signature ends with (ERC-6492).
    bytes32 private constant WRAPPED =
        0x6492649264926492649264926492649264926492649264926492649264926492;

    constructor(address multicall3_) {
        multicall3 = Multicall3(multicall3_);
    }

    /// @dev A signature that is not wrapped comes back as it is. The call may fail, for instance
    /// because the wallet has been deployed meanwhile: the signature decides.
    function _unwrapped(bytes calldata signature) internal returns (bytes memory) {
        uint256 length = signature.length;
        if (length < 32 || bytes32(signature[length - 32:]) != WRAPPED) return signature;
        (address target, bytes memory data, bytes memory inner) =
            abi.decode(signature[:length - 32], (address, bytes, bytes));
        Multicall3.Call[] memory calls = new Multicall3.Call[](1);
        calls[0] = Multicall3.Call(target, data);
        multicall3.tryAggregate(false, calls);
        return inner;
    }
}

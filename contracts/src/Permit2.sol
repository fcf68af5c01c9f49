// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {AllowanceTransfer} from "./permit2/AllowanceTransfer.sol";
import {SignatureTransfer} from "./permit2/SignatureTransfer.sol";

/// @title Permit2
/// @notice Lets any ERC-20 token be paid by signature: a payer approves this contract once, and then
/// signs what each spender may take. Clients expect it at 0x000000000022D473030F116dDEE9F6B43aC78BA3
/// on every chain.
/// @dev Written anew to the public ABI (github.com/Uniswap/permit2): the same functions, structs, type
/// hashes, errors, events and slots, and its checks in the same order. The public source is open, but
/// is pinned to solc 0.8.17 and comes in no package of npm, so that it cannot be built with the rest.
///
/// It differs in what it refuses: an address without code is no token, and a smart wallet that reverts
/// or answers nothing gets InvalidContractSignature. It has no owner and holds no money.
contract Permit2 is SignatureTransfer, AllowanceTransfer {}

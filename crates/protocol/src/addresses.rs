//! Where stock clients expect what. They are the same on every chain, public or embedded.

use alloy_primitives::{Address, address};

/// The Machina Dollar of an embedded chain. Its first four bytes spell `MUSD`, its last is 1; no
/// key and no CREATE2 deployment can be found for such an address, so only genesis puts it there.
pub const MACHINA_DOLLAR: Address = address!("0x4d55534400000000000000000000000000000001");

/// The deterministic deployment proxy, through which anyone deploys by CREATE2
/// (github.com/Arachnid/deterministic-deployment-proxy).
pub const CREATE2_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// Multicall3 (github.com/mds1/multicall): many calls in one.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// Permit2 (github.com/Uniswap/permit2): payments by signature in any ERC-20 token.
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// x402's proxy for scheme `exact` through Permit2 (`@x402/evm`, `x402ExactPermit2ProxyAddress`).
pub const X402_EXACT_PERMIT2_PROXY: Address =
    address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");

/// x402's proxy for scheme `upto` through Permit2 (`@x402/evm`, `x402UptoPermit2ProxyAddress`).
pub const X402_UPTO_PERMIT2_PROXY: Address = address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// x402's payment channels, of its scheme `batch-settlement`.
pub const BATCH_SETTLEMENT: Address = address!("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// Brings deposits into [`BATCH_SETTLEMENT`] by EIP-3009.
pub const ERC3009_DEPOSIT_COLLECTOR: Address =
    address!("0x4020806089470a89826cB9fB1f4059150b550004");

/// Brings deposits into [`BATCH_SETTLEMENT`] by [`PERMIT2`].
pub const PERMIT2_DEPOSIT_COLLECTOR: Address =
    address!("0x4020425FAf3B746C082C2f942b4E5159887B0005");

/// x402's escrow, of its scheme `auth-capture`: v1.1 of github.com/base/commerce-payments.
pub const AUTH_CAPTURE_ESCROW: Address = address!("0xf96815976523E00e65Be8f34cA5e64b4f41EB19c");

/// Brings payments into [`AUTH_CAPTURE_ESCROW`] by EIP-3009.
pub const ERC3009_PAYMENT_COLLECTOR: Address =
    address!("0x8612dfdc421f80336cd14E8EF9cb1E765dB5ab88");

/// Brings payments into [`AUTH_CAPTURE_ESCROW`] by [`PERMIT2`].
pub const PERMIT2_PAYMENT_COLLECTOR: Address =
    address!("0xD69831Aed5bfe262067ec4c751f4F830EcdD446e");

/// Brings refunds into [`AUTH_CAPTURE_ESCROW`] out of the operator's pocket.
pub const OPERATOR_REFUND_COLLECTOR: Address =
    address!("0x7a03443724d14798c4AB4622F1DAAcA761Fea486");

/// Who the agents are (ERC-8004): the address on every main network
/// (github.com/erc-8004/erc-8004-contracts).
pub const IDENTITY_REGISTRY: Address = address!("0x8004A169FB4a3325136EB29fA0ceB6D2e539a432");

/// What clients say of agents (ERC-8004): the address on every main network.
pub const REPUTATION_REGISTRY: Address = address!("0x8004BAa17C55a88189AE136b182e5fdA19dE9b63");

/// What validators found of agents' work (ERC-8004). The reference names no address on a main
/// network; this one continues its series, and only genesis puts a contract there.
pub const VALIDATION_REGISTRY: Address = address!("0x8004C00000000000000000000000000000000001");

/// Jobs under escrow (ERC-8183). The standard names no address; only genesis puts a contract there.
pub const AGENTIC_COMMERCE: Address = address!("0x8183000000000000000000000000000000000001");

/// The evaluator, and the hook, of jobs that are judged by lot. Only genesis puts a contract there.
pub const EVALUATORS: Address = address!("0x8183000000000000000000000000000000000002");

/// Keeps the stakes of those who judge and of those who work. Only genesis puts a contract there.
pub const EVALUATOR_POOL: Address = address!("0x8183000000000000000000000000000000000003");

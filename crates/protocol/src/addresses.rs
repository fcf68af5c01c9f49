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

/// Permit2 (github.com/Uniswap/permit2): transfers of any ERC-20 by signature.
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// x402's payment channels, of its scheme `batch-settlement`.
pub const BATCH_SETTLEMENT: Address = address!("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// Brings deposits into [`BATCH_SETTLEMENT`] by EIP-3009.
pub const ERC3009_DEPOSIT_COLLECTOR: Address =
    address!("0x4020806089470a89826cB9fB1f4059150b550004");

/// Brings deposits into [`BATCH_SETTLEMENT`] by [`PERMIT2`].
pub const PERMIT2_DEPOSIT_COLLECTOR: Address =
    address!("0x4020425FAf3B746C082C2f942b4E5159887B0005");

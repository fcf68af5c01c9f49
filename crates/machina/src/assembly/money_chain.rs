//! The chain on which an economy settles: its own, in this process, or a node that was named.

use std::str::FromStr as _;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use money::{Clock as _, Party, SystemClock};
use settlement::{Endpoint, LocalNode};

use super::cast::Cast;
use crate::cli::Place;
use crate::failure::Failure;
use crate::home::Held;

/// When the embedded chain begins: 2026-01-01 00:00 UTC. Any moment before its first block will do.
const GENESIS_TIME: u64 = 1_767_225_600;

struct LocalChain(chain::Node);

impl LocalNode for LocalChain {
    fn request(
        &self,
        request: serde_json::Value,
    ) -> std::pin::Pin<Box<dyn Future<Output = serde_json::Value> + Send>> {
        let node = self.0.clone();
        Box::pin(async move { node.request(request).await })
    }
}

/// The contracts that may make wallets here.
pub fn wallet_makers(place: &Place) -> Result<Vec<Address>, Failure> {
    /// Each is compared with every such payment.
    const MOST: usize = 64;
    if place.wallet_makers.len() > MOST {
        return Err(Failure::misuse(format!("at most {MOST} contracts may make wallets")));
    }
    let read = |text: &String| Ok(Party::from_str(text).map_err(Failure::misuse)?.into());
    place.wallet_makers.iter().map(read).collect()
}

/// The embedded chain of the home, or the node that was named.
pub async fn open_chain(
    home: &Held,
    place: &Place,
    cast: &Cast,
) -> Result<(Option<chain::Node>, Endpoint, Address), Failure> {
    if let Some(url) = &place.rpc {
        let token = place.token.as_deref().ok_or_else(|| {
            Failure::misuse("`--rpc` needs the dollar's address on that chain")
                .hint("name it with `--token ADDRESS`, for example USDC's")
        })?;
        let token = Party::from_str(token).map_err(Failure::misuse)?;
        return Ok((None, Endpoint::parse(url).map_err(Failure::misuse)?, token.into()));
    }
    if place.confirmations.is_some() {
        return Err(Failure::misuse(
            "`--confirmations` goes with `--rpc`: what the embedded chain seals is final",
        ));
    }
    if place.token.is_some() {
        return Err(Failure::misuse(
            "`--token` goes with `--rpc`: the embedded chain has its own dollar",
        ));
    }
    let mint = cast.mint.address();
    // Gas is free on the embedded chain; the coins are for clients that insist on having some.
    let coins = U256::from(1_000_000_000_000_000_000_000u128);
    let alloc = protocol::genesis(mint, &[(mint, coins), (cast.facilitator.address(), coins)])?
        .into_iter()
        .map(|account| chain::GenesisAccount {
            address: account.address,
            balance: account.balance,
            nonce: account.nonce,
            code: account.code,
            storage: account.storage,
        })
        .collect();
    let genesis = chain::Genesis {
        chain_id: protocol::EMBEDDED_CHAIN_ID,
        timestamp: GENESIS_TIME,
        gas_limit: 100_000_000,
        alloc,
    };
    let now: Arc<dyn Fn() -> u64 + Send + Sync> = Arc::new(|| SystemClock.now().as_secs());
    let config = chain::Config::in_memory(genesis, now).in_directory(home.chain_folder());
    let node = tokio::task::spawn_blocking(move || chain::Node::open(config))
        .await
        .map_err(Failure::new)??;
    let endpoint = Endpoint::Local(Arc::new(LocalChain(node.clone())));
    Ok((Some(node), endpoint, protocol::addresses::MACHINA_DOLLAR))
}

//! A node to try tools against:
//! `node [--port 8545] [--dir DIR] [--chain-id 402402] [--fund ADDRESS]...`
//!
//! Each funded address begins with a million ether. Ctrl-C closes the chain cleanly.

use alloy_primitives::{Address, U256};
use chain::{Config, Genesis, GenesisAccount, Node};
use std::{
    error::Error,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut chain_id, mut directory, mut alloc) = (8545u16, 402_402, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--chain-id" => chain_id = value.parse()?,
            "--dir" => directory = Some(value),
            "--fund" => alloc.push(GenesisAccount {
                address: value.parse::<Address>()?,
                balance: U256::from(1_000_000) * U256::from(10).pow(U256::from(18)),
                ..GenesisAccount::default()
            }),
            unknown => return Err(format!("there is no option {unknown}").into()),
        }
    }
    let genesis = Genesis { chain_id, timestamp: 1_700_000_000, gas_limit: 100_000_000, alloc };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut config = Config::in_memory(genesis, Arc::new(now));
    if let Some(directory) = directory {
        config = config.in_directory(directory);
    }
    let node = Node::open(config)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!(
        "chain {} at block {}, http://{}",
        node.chain_id(),
        node.block_number(),
        listener.local_addr()?
    );
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, node.router()).with_graceful_shutdown(stop).await?;
    node.close().await;
    Ok(())
}

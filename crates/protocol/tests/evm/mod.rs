//! A bare EVM that holds a genesis: enough to run the contracts for real, without a chain.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct};
use protocol::GenesisAccount;
use revm::bytecode::Bytecode;
use revm::context::result::{ExecutionResult, Output};
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::Log;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};

/// The time of the first block here, in Unix seconds.
pub const NOW: u64 = 1_800_000_000;

/// A state, and the chain id that contracts see.
pub struct Evm {
    pub state: CacheDB<EmptyDB>,
    pub chain_id: u64,
    /// The time of the next block, in Unix seconds: [`NOW`] until a test moves it.
    pub now: u64,
    /// The most gas that the next transaction may use.
    pub gas_limit: u64,
}

/// What a call did: its return data and logs, or its revert data.
pub type Answer = Result<(Bytes, Vec<Log>), Bytes>;

impl Evm {
    /// A chain that begins with `accounts`.
    pub fn with(accounts: &[GenesisAccount], chain_id: u64) -> Evm {
        let mut state = CacheDB::new(EmptyDB::new());
        for account in accounts {
            let code = Bytecode::new_raw(account.code.clone());
            let info = AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: code.hash_slow(),
                code: Some(code),
                ..AccountInfo::default()
            };
            state.insert_account_info(account.address, info);
            for &(slot, value) in &account.storage {
                state.insert_account_storage(account.address, slot, value).unwrap();
            }
        }
        Evm { state, chain_id, now: NOW, gas_limit: 10_000_000 }
    }

    /// Sends a transaction and keeps what it changed.
    pub fn send(&mut self, from: Address, to: TxKind, data: Bytes) -> (Answer, Option<Address>) {
        let nonce = self.state.load_account(from).unwrap().info.nonce;
        let tx = TxEnv::builder()
            .caller(from)
            .kind(to)
            .data(data)
            .nonce(nonce)
            .chain_id(Some(self.chain_id))
            .gas_limit(self.gas_limit)
            .build()
            .unwrap();
        let block = BlockEnv { timestamp: U256::from(self.now), ..BlockEnv::default() };
        let config = CfgEnv::new_with_spec(SpecId::PRAGUE).with_chain_id(self.chain_id);
        let context =
            Context::mainnet().with_cfg(config).with_block(block).with_db(&mut self.state);
        match context.build_mainnet().transact_commit(tx).unwrap() {
            ExecutionResult::Success { output: Output::Call(data), logs, .. } => {
                (Ok((data, logs)), None)
            }
            ExecutionResult::Success { output: Output::Create(code, address), logs, .. } => {
                (Ok((code, logs)), address)
            }
            ExecutionResult::Revert { output, .. } => (Err(output), None),
            ExecutionResult::Halt { reason, .. } => panic!("the EVM halted: {reason:?}"),
        }
    }

    /// Calls a contract, keeps what it changed, and decodes its answer; or gives the revert data.
    pub fn call<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: C,
    ) -> Result<C::Return, Bytes> {
        let (answer, _) = self.send(from, TxKind::Call(to), call.abi_encode().into());
        answer.map(|(data, _)| C::abi_decode_returns(&data).unwrap())
    }

    /// Deploys by a plain creating transaction.
    pub fn deploy(&mut self, from: Address, init_code: Bytes) -> Address {
        let (answer, address) = self.send(from, TxKind::Create, init_code);
        answer.unwrap();
        address.unwrap()
    }

    /// The code at an address.
    pub fn code(&mut self, address: Address) -> Bytes {
        let hash = self.state.load_account(address).unwrap().info.code_hash;
        self.state.cache.contracts[&hash].original_bytes()
    }

    /// The storage of an address, without zeros, in the order of slots.
    pub fn storage(&mut self, address: Address) -> Vec<(U256, U256)> {
        let account = self.state.load_account(address).unwrap();
        let mut slots: Vec<_> = account
            .storage
            .iter()
            .map(|(&slot, &value)| (slot, value))
            .filter(|(_, value)| !value.is_zero())
            .collect();
        slots.sort();
        slots
    }
}

/// A key that everyone may know, for tests.
pub fn key(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap()
}

/// A typed order signed: (v, r, s), and the same as 65 bytes.
pub fn sign<T: SolStruct>(
    key: &PrivateKeySigner,
    order: &T,
    domain: &Eip712Domain,
) -> ((u8, B256, B256), Bytes) {
    let signature = key.sign_hash_sync(&order.eip712_signing_hash(domain)).unwrap();
    let parts = (27 + u8::from(signature.v()), signature.r().into(), signature.s().into());
    (parts, Bytes::from(signature.as_bytes()))
}

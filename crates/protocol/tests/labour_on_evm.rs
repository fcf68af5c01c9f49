//! The contracts of the labour market live on a real EVM, from genesis.

mod evm;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use alloy_sol_types::{SolConstructor, SolEvent};
use evm::{Evm, NOW, key, sign};
use protocol::addresses::{
    AGENTIC_COMMERCE, EVALUATOR_POOL, EVALUATORS, IDENTITY_REGISTRY, MACHINA_DOLLAR,
    REPUTATION_REGISTRY, VALIDATION_REGISTRY,
};
use protocol::bindings::labour::{
    AgenticCommerce, EvaluatorPool, Evaluators, IdentityRegistry, RegisterWithUri,
    ReputationRegistry, ValidationRegistry,
};
use protocol::genesis::genesis_on;
use protocol::identity::{AgentWalletSet, identity_domain};
use protocol::jobs::{Check, Rule, SEAT_PRICE, rule_parameters, seal_of, validation_request};
use protocol::{EMBEDDED_CHAIN_ID, GenesisAccount, MachinaDollar, genesis};

const MINTER: Address = address!("0x00000000000000000000000000000000000a11ce");
const CLIENT: Address = address!("0x0000000000000000000000000000000000000c11");
const PROVIDER: Address = address!("0x0000000000000000000000000000000000005e11");
const ANYONE: Address = address!("0x0000000000000000000000000000000000000b0b");
const BUDGET: u64 = 10_000;

fn embedded() -> Evm {
    Evm::with(&genesis(MINTER, &[]).unwrap(), EMBEDDED_CHAIN_ID)
}

fn balance(evm: &mut Evm, account: Address) -> u64 {
    evm.call(ANYONE, MACHINA_DOLLAR, MachinaDollar::balanceOfCall { account }).unwrap().to()
}

/// Each constructor is put at its contract's address and called there, among the other contracts of
/// the genesis, and compared byte for byte.
#[test]
fn genesis_is_what_the_constructors_make() {
    let with = |code: &[u8], arguments: Vec<u8>| [code, &arguments].concat();
    let over = IDENTITY_REGISTRY;
    let reputation = ReputationRegistry::constructorCall { identityRegistry: over }.abi_encode();
    let validation = ValidationRegistry::constructorCall { identityRegistry: over }.abi_encode();
    let commerce = AgenticCommerce::constructorCall {
        admin: MINTER,
        treasury_: MINTER,
        firstHook: EVALUATORS,
    };
    let pool = EvaluatorPool::constructorCall {
        court_: EVALUATORS,
        token_: MACHINA_DOLLAR,
        identity_: IDENTITY_REGISTRY,
        seatPrice_: U256::from(SEAT_PRICE),
    };
    let evaluators = Evaluators::constructorCall {
        commerce_: AGENTIC_COMMERCE,
        pool_: EVALUATOR_POOL,
        reputation_: REPUTATION_REGISTRY,
        validation_: VALIDATION_REGISTRY,
    };
    let constructors = [
        (IDENTITY_REGISTRY, IdentityRegistry::BYTECODE.to_vec()),
        (REPUTATION_REGISTRY, with(&ReputationRegistry::BYTECODE, reputation)),
        (VALIDATION_REGISTRY, with(&ValidationRegistry::BYTECODE, validation)),
        (AGENTIC_COMMERCE, with(&AgenticCommerce::BYTECODE, commerce.abi_encode())),
        (EVALUATOR_POOL, with(&EvaluatorPool::BYTECODE, pool.abi_encode())),
        (EVALUATORS, with(&Evaluators::BYTECODE, evaluators.abi_encode())),
    ];
    for chain_id in [EMBEDDED_CHAIN_ID, 8453] {
        let accounts = genesis_on(chain_id, MINTER, &[]).unwrap();
        for (address, constructor) in &constructors {
            let mut blank = accounts.clone();
            let account = blank.iter_mut().find(|account| account.address == *address).unwrap();
            let made = std::mem::replace(
                account,
                GenesisAccount {
                    address: *address,
                    balance: U256::ZERO,
                    nonce: 1,
                    code: constructor.clone().into(),
                    storage: Vec::new(),
                },
            );
            let mut evm = Evm::with(&blank, chain_id);
            let (answer, _) = evm.send(ANYONE, TxKind::Call(*address), Bytes::new());
            assert_eq!(answer.unwrap().0, made.code, "the code at {address}");
            assert_eq!(evm.storage(*address), made.storage, "the storage at {address}");
            assert!(made.code.len() <= 24_576, "EIP-170");
        }
    }
}

#[test]
fn an_agent_is_registered_and_its_wallet_agrees_by_signature() {
    let mut evm = embedded();
    let wallet = key(7);
    let register = RegisterWithUri { agentURI: "http://a/agent.json".into() };
    let agent = evm.call(ANYONE, IDENTITY_REGISTRY, register).unwrap();
    assert_eq!(agent, U256::ONE, "0 is nobody");
    let order = AgentWalletSet {
        agentId: agent,
        newWallet: wallet.address(),
        owner: ANYONE,
        deadline: U256::from(NOW + 60),
    };
    let (_, signature) = sign(&wallet, &order, &identity_domain(EMBEDDED_CHAIN_ID));
    let set = IdentityRegistry::setAgentWalletCall {
        agentId: agent,
        newWallet: wallet.address(),
        deadline: order.deadline,
        signature,
    };
    evm.call(ANYONE, IDENTITY_REGISTRY, set).unwrap();
    let asked = IdentityRegistry::getAgentWalletCall { agentId: agent };
    assert_eq!(evm.call(CLIENT, IDENTITY_REGISTRY, asked).unwrap(), wallet.address());
}

fn rule() -> Rule {
    Rule {
        check: Check::Optimistic as u8,
        panel: 1,
        appeals: 1,
        auditBps: 2_000,
        challengeTime: 60,
        commitTime: 600,
        revealTime: 600,
        appealTime: 60,
        fee: 1_000,
        bond: 0,
        lotSecret: B256::ZERO,
        criteria: B256::ZERO,
        clientAgentId: U256::ZERO,
    }
}

/// Someone is in the pool, for work that nobody could judge is not taken.
fn seat(evm: &mut Evm, evaluator: Address) {
    let price = U256::from(SEAT_PRICE);
    let mint = MachinaDollar::mintCall { to: evaluator, value: price };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    let leave = MachinaDollar::approveCall { spender: EVALUATOR_POOL, value: price };
    evm.call(evaluator, MACHINA_DOLLAR, leave).unwrap();
    let deposit = EvaluatorPool::depositCall { account: evaluator, amount: price };
    evm.call(evaluator, EVALUATOR_POOL, deposit).unwrap();
    let register = RegisterWithUri { agentURI: "http://e/agent.json".into() };
    let agent = evm.call(evaluator, IDENTITY_REGISTRY, register).unwrap();
    let join = EvaluatorPool::joinCall { agentId: agent, leastFee: 0 };
    evm.call(evaluator, EVALUATOR_POOL, join).unwrap();
}

/// The plain case, in three transactions: opened and funded, handed in, carried out.
#[test]
fn a_job_that_nobody_challenges_is_paid_in_three_transactions() {
    let mut evm = embedded();
    seat(&mut evm, ANYONE);
    let mint = MachinaDollar::mintCall { to: CLIENT, value: U256::from(BUDGET) };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    let leave = MachinaDollar::approveCall { spender: AGENTIC_COMMERCE, value: U256::MAX };
    evm.call(CLIENT, MACHINA_DOLLAR, leave).unwrap();

    let open = AgenticCommerce::openJobCall {
        offer: AgenticCommerce::JobOffer {
            provider: PROVIDER,
            evaluator: EVALUATORS,
            expiredAt: U256::from(NOW + 7_200),
            description: "what is in these pictures?".into(),
            hook: EVALUATORS,
            providerAgentId: U256::ZERO,
            token: MACHINA_DOLLAR,
            budget: U256::from(BUDGET),
            optParams: rule_parameters(&rule()),
        },
        permit: AgenticCommerce::Permit {
            value: U256::ZERO,
            deadline: U256::ZERO,
            v: 0,
            r: B256::ZERO,
            s: B256::ZERO,
        },
    };
    let job = evm.call(CLIENT, AGENTIC_COMMERCE, open).unwrap();
    assert_eq!((job, balance(&mut evm, CLIENT)), (U256::ONE, 0));

    let submit = AgenticCommerce::submitCall {
        jobId: job,
        deliverable: B256::repeat_byte(7),
        optParams: Bytes::new(),
    };
    evm.call(PROVIDER, AGENTIC_COMMERCE, submit).unwrap();
    let finish = Evaluators::finishCall { jobId: job };
    evm.call(ANYONE, EVALUATORS, finish.clone()).unwrap_err();
    evm.now += 60;
    let (answer, _) = evm.send(
        ANYONE,
        TxKind::Call(EVALUATORS),
        alloy_sol_types::SolCall::abi_encode(&finish).into(),
    );
    let (_, logs) = answer.unwrap();
    assert!(logs.iter().any(|log| AgenticCommerce::JobCompleted::decode_log(log).is_ok()));
    assert_eq!(balance(&mut evm, PROVIDER), BUDGET);
}

#[test]
fn seals_requests_and_checks_are_the_contracts() {
    let mut evm = embedded();
    let (answer, salt, job) = (B256::repeat_byte(1), B256::repeat_byte(2), U256::from(3));
    let call = Evaluators::sealOfCall { answer, salt, who: PROVIDER, jobId: job };
    let seal = evm.call(ANYONE, EVALUATORS, call).unwrap();
    assert_eq!(seal, seal_of(answer, salt, PROVIDER, job));
    let call = Evaluators::requestOfCall { jobId: job, deliverable: answer };
    let request = evm.call(ANYONE, EVALUATORS, call).unwrap();
    assert_eq!(request, validation_request(EMBEDDED_CHAIN_ID, job, answer));
    for check in Check::ALL {
        let rule = Rule { check: check as u8, ..rule() };
        let terms = evm.call(ANYONE, EVALUATORS, Evaluators::termsOfCall { rule }).unwrap();
        assert_eq!(terms.stake, U256::from(4_000), "1000 / 0.2 - 1000");
        assert_eq!(terms.bounty.is_zero(), check == Check::Optimistic);
    }
}

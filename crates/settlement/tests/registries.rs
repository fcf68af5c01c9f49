//! Agents: registered once whatever is lost, spoken of, and validated.

mod town;

use alloy_primitives::{Address, B256};
use alloy_signer::SignerSync as _;
use alloy_sol_types::SolStruct as _;
use protocol::EMBEDDED_CHAIN_ID;
use protocol::addresses::MACHINA_DOLLAR;
use protocol::identity::{AgentWalletSet, identity_domain};
use settlement::registries::{AGENTS_AT_ONCE, Agent, Feedback, Summary};
use settlement::{Endpoint, SenderLimits, SendingKeys, Settlement, SettlementError};
use town::{Fault, NOW, Town, key};

const URI: &str = "http://localhost:4020/m/vision/agent.json";

/// A process that sends from these keys; another one after it knows nothing of the first.
async fn process(town: &Town, keys: &[u8], limits: SenderLimits) -> Settlement {
    let keys = SendingKeys::pool(key(keys[0]), keys[1..].iter().map(|number| key(*number)));
    let endpoint = Endpoint::Local(town.wire.clone());
    Settlement::connect(endpoint, None, MACHINA_DOLLAR, keys, limits).await.unwrap()
}

fn word(agent: u64, number: u64, value: i128) -> Feedback {
    Feedback {
        agent,
        number,
        value,
        decimals: 2,
        tag1: "exact".into(),
        tag2: "vision/classify".into(),
        endpoint: String::new(),
        uri: String::new(),
        hash: B256::repeat_byte(7),
    }
}

#[tokio::test]
async fn an_agent_registers_once_and_is_found_again() {
    let town = Town::begin().await;
    let machine = key(0x31).address();
    let chain = process(&town, &[0x31, 0x32], SenderLimits::default()).await;
    assert_eq!(chain.agents_of(machine).await.unwrap(), Vec::<u64>::new());
    assert_eq!(chain.agent(1).await.unwrap(), None);

    let id = chain.register_agent(machine, URI).await.unwrap();
    let agent = Agent { id, owner: machine, wallet: machine, uri: URI.into() };
    assert_eq!(chain.agent(id).await.unwrap(), Some(agent.clone()));
    // Again, by another process, and under another URI: the same agent, and no transaction.
    let blocks = town.node.block_number();
    let again = process(&town, &[0x31], SenderLimits::default()).await;
    assert_eq!(again.register_agent(machine, "http://elsewhere").await.unwrap(), id);
    assert!(!again.set_agent_uri(machine, id, URI).await.unwrap());
    assert_eq!(town.node.block_number(), blocks);
    // It moves its file, and nobody else does.
    assert!(again.set_agent_uri(machine, id, "http://localhost:4021").await.unwrap());
    let other = key(0x32).address();
    let stolen = chain.set_agent_uri(other, id, URI).await;
    assert!(matches!(stolen, Err(SettlementError::Reverted { transaction: None, .. })));
    let nobody = chain.register_agent(Address::repeat_byte(9), URI).await;
    assert!(matches!(nobody, Err(SettlementError::NoSuchSender { .. })));
    let listed = chain.agents(1).await.unwrap();
    assert_eq!(listed, [Agent { uri: "http://localhost:4021".into(), ..agent }]);
}

#[tokio::test]
async fn whatever_is_lost_on_the_way_there_is_one_agent() {
    for fault in [Fault::Swallow, Fault::Mute, Fault::Garble, Fault::Twice] {
        let town = Town::begin().await;
        let machine = key(0x31).address();
        let hasty = process(&town, &[0x31], Town::hasty()).await;
        // What it sends meets the fault, and it never learns what became of it.
        town.wire.follow(Some(Box::new(move |method| match method {
            "eth_sendRawTransaction" | "eth_sendRawTransactionSync" => Some(fault),
            "eth_getTransactionReceipt" if fault != Fault::Twice => Some(Fault::Swallow),
            _ => None,
        })));
        let first = hasty.register_agent(machine, URI).await;
        town.wire.follow(None);
        // The process ends here; the next one asks the chain.
        let next = process(&town, &[0x31], SenderLimits::default()).await;
        let id = next.register_agent(machine, URI).await.unwrap();
        assert!(first.is_err() || first == Ok(id), "{fault:?}: {first:?}");
        assert_eq!(next.agents_of(machine).await.unwrap(), [id], "{fault:?}");
        assert_eq!(next.agents(1).await.unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn while_something_is_under_way_nothing_is_sent() {
    let town = Town::begin().await;
    let machine = key(0x31).address();
    let chain = process(&town, &[0x31], SenderLimits::default()).await;
    town.wire.claim_sent(Some(1));
    let waits = chain.register_agent(machine, URI).await.unwrap_err();
    assert_eq!(waits, SettlementError::UnderWay { sender: machine });
    assert!(waits.may_succeed_later());
    let silent = chain.give_feedback(machine, &word(1, 1, 1)).await.unwrap_err();
    assert_eq!(silent, SettlementError::UnderWay { sender: machine });
    assert_eq!(town.node.block_number(), 0);
    town.wire.claim_sent(None);
    assert_eq!(chain.register_agent(machine, URI).await, Ok(1));
}

#[tokio::test]
async fn many_agents_are_read_page_by_page() {
    let town = Town::begin().await;
    let chain = process(&town, &[0x31], SenderLimits::default()).await;
    let count = AGENTS_AT_ONCE + 3;
    let call = alloy_sol_types::SolCall::abi_encode(&protocol::bindings::labour::Register {});
    for _ in 0..count {
        let registry = protocol::addresses::IDENTITY_REGISTRY;
        town.transact(&key(0x41), registry, call.clone().into()).await;
    }
    let machine = key(0x31).address();
    let id = chain.register_agent(machine, URI).await.unwrap();
    assert_eq!(id, count + 1);
    assert_eq!(chain.agents(1).await.unwrap().len() as u64, AGENTS_AT_ONCE);
    let rest = chain.agents(AGENTS_AT_ONCE + 1).await.unwrap();
    assert_eq!(rest.iter().map(|agent| agent.id).collect::<Vec<_>>(), [65, 66, 67, 68]);
    assert!(rest[0].uri.is_empty());
    assert_eq!(chain.agents_of(machine).await.unwrap(), [id]);
    assert_eq!(chain.agents_of(key(0x41).address()).await.unwrap().len() as u64, count);
}

#[tokio::test]
async fn a_wallet_agrees_by_its_signature() {
    let town = Town::begin().await;
    let (machine, wallet) = (key(0x31).address(), key(0x33));
    let chain = process(&town, &[0x31], SenderLimits::default()).await;
    let id = chain.register_agent(machine, URI).await.unwrap();
    let order = AgentWalletSet {
        agentId: alloy_primitives::U256::from(id),
        newWallet: wallet.address(),
        owner: machine,
        deadline: alloy_primitives::U256::from(NOW + 60),
    };
    let hash = order.eip712_signing_hash(&identity_domain(EMBEDDED_CHAIN_ID));
    let signature = wallet.sign_hash_sync(&hash).unwrap().as_bytes().to_vec();
    let deadline = NOW + 60;
    let set = chain.set_agent_wallet(machine, id, wallet.address(), deadline, signature.into());
    set.await.unwrap();
    assert_eq!(chain.agent(id).await.unwrap().unwrap().wallet, wallet.address());
}

#[tokio::test]
async fn a_word_is_said_once_counted_and_taken_back() {
    let town = Town::begin().await;
    let chain = process(&town, &[0x31, 0x32, 0x33], SenderLimits::default()).await;
    let [machine, client, other] = [0x31, 0x32, 0x33].map(|number| key(number).address());
    let agent = chain.register_agent(machine, URI).await.unwrap();
    assert!(chain.give_feedback(client, &word(agent, 1, 9_000)).await.unwrap());
    assert!(!chain.give_feedback(client, &word(agent, 1, 9_000)).await.unwrap(), "said already");
    assert!(chain.give_feedback(client, &word(agent, 2, 8_000)).await.unwrap());
    assert!(chain.give_feedback(other, &word(agent, 1, 1_000)).await.unwrap());
    // Out of order, of oneself, and of nobody.
    for (who, word) in
        [(client, word(agent, 4, 1)), (machine, word(agent, 1, 1)), (client, word(9, 1, 1))]
    {
        let refused = chain.give_feedback(who, &word).await;
        assert!(
            matches!(refused, Err(SettlementError::Reverted { transaction: None, .. })),
            "{refused:?}"
        );
    }
    let of = |clients: Vec<Address>| chain.feedback_summary(agent, clients, "exact", "");
    assert_eq!(of(vec![client]).await.unwrap(), Summary { count: 2, value: 8_500, decimals: 2 });
    assert_eq!(
        of(vec![client, other]).await.unwrap(),
        Summary { count: 3, value: 6_000, decimals: 2 }
    );
    assert_eq!(of(vec![]).await.unwrap().count, 0, "nobody named is nothing said");
    assert_eq!(chain.feedback_summary(agent, vec![client], "gold", "").await.unwrap().count, 0);
    assert!(chain.revoke_feedback(client, agent, 2).await.unwrap());
    assert!(!chain.revoke_feedback(client, agent, 2).await.unwrap());
    assert_eq!(of(vec![client]).await.unwrap(), Summary { count: 1, value: 9_000, decimals: 2 });
    let words = chain.feedback(agent, vec![], "", "").await.unwrap();
    let told: Vec<_> = words.iter().map(|w| (w.client, w.number, w.value, w.revoked)).collect();
    assert_eq!(
        told,
        [(client, 1, 9_000, false), (client, 2, 8_000, true), (other, 1, 1_000, false)]
    );
    // Events tell where the reasons are, of one client alone, and of the words from a block on.
    let said = chain.feedback_events(agent, client, 0).await.unwrap();
    let told: Vec<_> = said.iter().map(|said| said.word.clone()).collect();
    assert_eq!(told, [word(agent, 1, 9_000), word(agent, 2, 8_000)]);
    let head = town.node.block_number();
    assert_eq!(chain.feedback_events(agent, client, head).await.unwrap(), []);
    let of_anybody = chain.feedback_events_by(client, 0).await.unwrap();
    assert_eq!(of_anybody, said, "of no other agent has it said anything");
    assert_eq!(chain.feedback_events(agent + 1, client, 0).await.unwrap(), []);
}

alloy_sol_types::sol! {
    /// ERC-721, by which agents change hands.
    function transferFrom(address from, address to, uint256 token_id);
}

/// What the market stands on when it speaks of nobody who has given its agent away: the chain tells the new owner,
/// nobody is paid at the old wallet any more, and what was said stays said of the agent.
#[tokio::test]
async fn an_agent_that_is_given_away_keeps_its_words_and_loses_its_wallet() {
    let town = Town::begin().await;
    let chain = process(&town, &[0x31, 0x32, 0x33], SenderLimits::default()).await;
    let [first, client, second] = [0x31, 0x32, 0x33].map(|number| key(number).address());
    let agent = chain.register_agent(first, URI).await.unwrap();
    assert_eq!(chain.agent(agent).await.unwrap().map(|agent| agent.wallet), Some(first));
    assert!(chain.give_feedback(client, &word(agent, 1, 9_000)).await.unwrap());

    let gives = |from: Address, to: Address| {
        let token_id = alloy_primitives::U256::from(agent);
        alloy_sol_types::SolCall::abi_encode(&transferFromCall { from, to, token_id })
    };
    let registry = protocol::addresses::IDENTITY_REGISTRY;
    // Nobody gives away what is another's.
    town.transact(&key(0x33), registry, gives(first, second).into()).await;
    assert_eq!(chain.agents_of(first).await.unwrap(), [agent]);
    town.transact(&key(0x31), registry, gives(first, second).into()).await;
    let given = Agent { id: agent, owner: second, wallet: Address::ZERO, uri: URI.into() };
    assert_eq!(
        chain.agent(agent).await.unwrap(),
        Some(given),
        "its wallet agreed for its old owner"
    );
    assert_eq!(chain.agents_of(first).await.unwrap(), Vec::<u64>::new());
    assert_eq!(chain.agents_of(second).await.unwrap(), [agent]);

    // What was said is of the agent: it stays, and more can be said, but not by who owns it now.
    let summary = chain.feedback_summary(agent, vec![client], "exact", "").await.unwrap();
    assert_eq!(summary, Summary { count: 1, value: 9_000, decimals: 2 });
    let own = chain.give_feedback(second, &word(agent, 1, 10_000)).await;
    assert!(matches!(own, Err(SettlementError::Reverted { transaction: None, .. })), "{own:?}");
    assert!(chain.give_feedback(client, &word(agent, 2, 8_000)).await.unwrap());
    // Who gave it away moves its file no more, and begins anew: with another agent, of which nothing is said.
    let moved = chain.set_agent_uri(first, agent, "http://localhost:4021").await;
    assert!(matches!(moved, Err(SettlementError::Reverted { transaction: None, .. })), "{moved:?}");
    let anew = chain.register_agent(first, URI).await.unwrap();
    assert_ne!(anew, agent);
    assert_eq!(chain.feedback(anew, vec![], "", "").await.unwrap(), []);
}

#[tokio::test]
async fn a_crash_after_a_word_does_not_say_it_twice() {
    let town = Town::begin().await;
    let chain = process(&town, &[0x31], SenderLimits::default()).await;
    let (machine, client) = (key(0x31).address(), key(0x32).address());
    let agent = chain.register_agent(machine, URI).await.unwrap();
    let hasty = process(&town, &[0x32], Town::hasty()).await;
    town.wire.follow(Some(Box::new(|method| match method {
        "eth_sendRawTransaction" | "eth_sendRawTransactionSync" => Some(Fault::Mute),
        "eth_getTransactionReceipt" => Some(Fault::Swallow),
        _ => None,
    })));
    let first = hasty.give_feedback(client, &word(agent, 1, 9_000)).await;
    assert!(matches!(first, Err(SettlementError::Pending { .. })), "{first:?}");
    town.wire.follow(None);
    let next = process(&town, &[0x32], SenderLimits::default()).await;
    assert!(!next.give_feedback(client, &word(agent, 1, 9_000)).await.unwrap());
    assert_eq!(next.feedback_count(agent, client).await.unwrap(), 1);
}

#[tokio::test]
async fn a_validator_is_asked_once_and_answers() {
    let town = Town::begin().await;
    let chain = process(&town, &[0x31, 0x32], SenderLimits::default()).await;
    let (machine, validator) = (key(0x31).address(), key(0x32).address());
    let agent = chain.register_agent(machine, URI).await.unwrap();
    let request = B256::repeat_byte(5);
    assert_eq!(chain.validation(request).await.unwrap(), None);
    assert!(chain.request_validation(machine, agent, validator, "", request).await.unwrap());
    assert!(!chain.request_validation(machine, agent, validator, "", request).await.unwrap());
    let other = chain.request_validation(machine, agent, machine, "", request).await;
    assert!(matches!(other, Err(SettlementError::Reverted { .. })), "the name is taken: {other:?}");
    let reasons = B256::repeat_byte(6);
    chain.answer_validation(validator, request, 80, "", reasons, "exact").await.unwrap();
    let found = chain.validation(request).await.unwrap().unwrap();
    assert_eq!(
        (found.agent, found.mark, found.hash, found.tag.as_str()),
        (agent, 80, reasons, "exact")
    );
    assert_eq!(chain.validation_summary(agent, vec![], "exact").await.unwrap(), (1, 80));
    assert_eq!(chain.validation_summary(agent, vec![machine], "").await.unwrap(), (0, 0));
}

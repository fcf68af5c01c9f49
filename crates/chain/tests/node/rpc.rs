//! JSON-RPC as clients meet it: envelopes, errors, reads, calls, logs.

use crate::harness::*;
use alloy_primitives::{Address, B256, U256, hex};
use chain::Node;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn word(value: u64) -> String {
    format!("{:#066x}", U256::from(value))
}

#[tokio::test]
async fn envelopes_follow_json_rpc() {
    let node = open();
    let ask = |request: Value| {
        let node = node.clone();
        async move { node.request(request).await }
    };
    let ok = |id: Value| json!({ "jsonrpc": "2.0", "id": id, "result": "0x623e2" });
    let request = |id: Value| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId" });
    for id in [json!(0), json!(7), json!("seven"), json!(-1), json!(1.5), json!(null)] {
        assert_eq!(ask(request(id.clone())).await, ok(id));
    }
    let notification = json!({ "jsonrpc": "2.0", "method": "eth_chainId" });
    assert_eq!(ask(notification.clone()).await, Value::Null);
    assert_eq!(ask(json!([notification, notification])).await, Value::Null);

    for wrong in [
        json!(1),
        json!("eth_chainId"),
        json!(null),
        json!([]),
        json!({}),
        json!({ "jsonrpc": "1.0", "id": 1, "method": "eth_chainId" }),
        json!({ "id": 1, "method": "eth_chainId" }),
        json!({ "jsonrpc": "2.0", "id": 1 }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": 5 }),
        json!({ "jsonrpc": "2.0", "id": [1], "method": "eth_chainId" }),
    ] {
        let answer = ask(wrong.clone()).await;
        assert_eq!(answer["error"]["code"], -32600, "{wrong}: {answer}");
        assert_eq!(answer["id"], Value::Null);
    }

    // Valid, invalid and silent ones in one batch: each gets its own due, in order.
    let answer = ask(json!([
        request(json!(1)),
        notification,
        5,
        { "jsonrpc": "2.0", "id": 2, "method": "eth_nonsense" },
        request(json!("last")),
    ]))
    .await;
    let answers = answer.as_array().expect("a batch");
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0], ok(json!(1)));
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[2]["error"]["code"], -32601);
    assert_eq!(answers[2]["id"], 2);
    assert_eq!(answers[3], ok(json!("last")));

    let many = Value::Array(vec![request(json!(1)); 1_000]);
    assert_eq!(ask(many).await.as_array().map(Vec::len), Some(1_000));
    let too_many = Value::Array(vec![request(json!(1)); 1_001]);
    assert_eq!(ask(too_many).await["error"]["code"], -32600);
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    let node = open();
    for (method, params, words) in [
        ("eth_getBalance", json!([]), "missing value for required argument 0"),
        ("eth_getBalance", json!(["0x12"]), "invalid argument 0"),
        ("eth_getBalance", json!([CONTRACT, "yesterday"]), "invalid argument 1"),
        ("eth_getBalance", json!([CONTRACT, "latest", 3]), "too many arguments, want at most 2"),
        ("eth_getBalance", json!({ "address": CONTRACT }), "non-array args"),
        ("eth_chainId", json!([1]), "too many arguments, want at most 0"),
        ("eth_sendRawTransaction", json!(["0xzz"]), "invalid argument 0"),
        ("eth_getTransactionReceipt", json!(["0x1234"]), "invalid argument 0"),
        ("eth_getLogs", json!([{ "fromBlock": "0x5", "toBlock": "0x1" }]), "invalid block range"),
        ("eth_feeHistory", json!(["0x1", "latest", [50.0, 10.0]]), "percentiles must rise"),
        ("eth_feeHistory", json!(["0x1", "latest", [-1.0]]), "percentiles must rise"),
    ] {
        let failure = refused(&node, method, params.clone()).await;
        assert_eq!(failure.code, -32602, "{method} {params}: {failure:?}");
        assert!(failure.message.contains(words), "{method} {params}: {failure:?}");
    }
    let failure = refused(&node, "eth_fillTransaction", json!([{}])).await;
    assert_eq!(failure.code, -32601, "viem falls back on this");
    assert!(failure.message.contains("does not exist/is not available"));
    let failure = refused(&node, &"x".repeat(100_000), json!([])).await;
    assert!(failure.message.len() < 200, "what was asked is not sent back whole");
}

#[tokio::test]
async fn what_describes_the_chain_is_told() {
    let node = open();
    for (method, expected) in [
        ("eth_chainId", json!("0x623e2")),
        ("net_version", json!("402402")),
        ("eth_syncing", json!(false)),
        ("eth_accounts", json!([])),
        ("eth_blockNumber", json!("0x0")),
        ("eth_gasPrice", json!("0x0")),
        ("eth_maxPriorityFeePerGas", json!("0x0")),
        ("eth_blobBaseFee", json!("0x1")),
    ] {
        assert_eq!(rpc(&node, method, json!([])).await, expected, "{method}");
    }
    let version = rpc(&node, "web3_clientVersion", json!([])).await;
    assert!(version.as_str().is_some_and(|version| version.starts_with("Machina/")));
}

#[tokio::test]
async fn blocks_transactions_and_receipts_are_found_by_every_road() {
    let node = open();
    let receipt = seal(&node, &sign(&key(0), call(0))).await;
    let (hash, block) = (&receipt["transactionHash"], &receipt["blockHash"]);
    let full = rpc(&node, "eth_getBlockByHash", json!([block, true])).await;
    for tag in ["0x1", "latest", "safe", "finalized", "pending"] {
        assert_eq!(rpc(&node, "eth_getBlockByNumber", json!([tag, true])).await, full, "{tag}");
    }
    let slim = rpc(&node, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(slim["transactions"], json!([hash]));
    assert_eq!(slim["withdrawals"], json!([]));
    assert_eq!(slim["baseFeePerGas"], "0x0");
    let earliest = rpc(&node, "eth_getBlockByNumber", json!(["earliest", false])).await;
    assert_eq!((&earliest["number"], &earliest["hash"]), (&json!("0x0"), &full["parentHash"]));

    let transaction = &full["transactions"][0];
    assert_eq!(transaction["from"], json!(key(0).address()));
    for (method, params) in [
        ("eth_getTransactionByHash", json!([hash])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_getTransactionByBlockHashAndIndex", json!([block, "0x0"])),
    ] {
        assert_eq!(&rpc(&node, method, params).await, transaction, "{method}");
    }
    let raw = rpc(&node, "eth_getRawTransactionByHash", json!([hash])).await;
    assert_eq!(raw, json!(sign(&key(0), call(0))));
    assert_eq!(rpc(&node, "eth_getTransactionReceipt", json!([hash])).await, receipt);
    for id in [json!("0x1"), json!("latest"), block.clone()] {
        assert_eq!(rpc(&node, "eth_getBlockReceipts", json!([id])).await, json!([receipt]));
    }
    for (method, params) in [
        ("eth_getBlockTransactionCountByNumber", json!(["0x1"])),
        ("eth_getBlockTransactionCountByHash", json!([block])),
    ] {
        assert_eq!(rpc(&node, method, params).await, "0x1", "{method}");
    }
    let nothing = B256::repeat_byte(9);
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x2", false])),
        ("eth_getBlockByHash", json!([nothing, false])),
        ("eth_getBlockReceipts", json!(["0x2"])),
        ("eth_getTransactionByHash", json!([nothing])),
        ("eth_getTransactionReceipt", json!([nothing])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x1"])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x2"])),
    ] {
        assert_eq!(rpc(&node, method, params).await, Value::Null, "{method}");
    }
    for field in ["transactionIndex", "cumulativeGasUsed", "gasUsed", "effectiveGasPrice", "type"] {
        number(&receipt[field]);
    }
    assert_eq!((&receipt["to"], &receipt["contractAddress"]), (&json!(CONTRACT), &Value::Null));
    let log = &receipt["logs"][0];
    assert_eq!(log["address"], json!(CONTRACT));
    assert_eq!(log["topics"], json!([word(TOPIC.into())]));
    assert_eq!((&log["data"], &log["logIndex"]), (&json!(word(1)), &json!("0x0")));
    assert_eq!((&log["removed"], &log["blockHash"]), (&json!(false), block));
}

#[tokio::test]
async fn a_revert_is_code_three_with_its_data_and_reason() {
    let node = open();
    for method in ["eth_call", "eth_estimateGas"] {
        let failure = refused(&node, method, json!([{ "to": CONTRACT, "data": "0x01" }])).await;
        assert_eq!(failure.code, 3, "{method}");
        assert_eq!(failure.message, "execution reverted: nope");
        assert_eq!(failure.data, json!(hex::encode_prefixed(revert_data("nope"))));
    }
    // Code that reverts with what it was given.
    let echo =
        json!({ CONTRACT.to_string(): { "code": "0x3660006000373660 00fd".replace(' ', "") } });
    let panic = |code: u64| format!("0x4e487b71{}", &word(code)[2..]);
    for (data, message) in [
        ("0x".to_owned(), "execution reverted"),
        ("0x12345678".to_owned(), "execution reverted"),
        (panic(0x11), "execution reverted: arithmetic underflow or overflow"),
        (panic(0x99), "execution reverted: unknown panic code: 0x99"),
    ] {
        let params = json!([{ "to": CONTRACT, "input": data }, "latest", echo]);
        let failure = refused(&node, "eth_call", params).await;
        assert_eq!((failure.code, failure.message.as_str()), (3, message));
        assert_eq!(failure.data, json!(data));
    }
    let failure = refused(&node, "eth_call", json!([{ "to": CONTRACT, "data": "0x02" }])).await;
    assert_eq!((failure.code, failure.message.as_str()), (-32000, "invalid opcode"));
    let params = json!([{ "to": CONTRACT, "gas": "0x5400" }]);
    let failure = refused(&node, "eth_call", params).await;
    assert_eq!((failure.code, failure.message.as_str()), (-32000, "out of gas"));
    let params = json!([{ "to": CONTRACT, "gas": "0x5207" }]);
    let failure = refused(&node, "eth_call", params).await;
    assert_eq!(failure.message, "intrinsic gas too low: have 20999, want 21000");
}

#[tokio::test]
async fn an_endless_call_ends_at_its_gas() {
    let node = open();
    let forever = json!({ CONTRACT.to_string(): { "code": "0x5b600056" } });
    let params = json!([{ "to": CONTRACT, "gas": "0xffffffffffff" }, "latest", forever]);
    let failure = refused(&node, "eth_call", params).await;
    assert_eq!((failure.code, failure.message.as_str()), (-32000, "out of gas"));
    let params = json!([{ "to": CONTRACT }, "latest", forever]);
    let failure = refused(&node, "eth_estimateGas", params).await;
    assert_eq!(failure.message, "gas required exceeds allowance (16777216)");
}

#[tokio::test]
async fn calls_see_the_state_of_the_block_they_name() {
    let node = open();
    for nonce in 0..130 {
        seal(&node, &sign(&key(0), call(nonce))).await;
    }
    let request = json!({ "to": CONTRACT, "data": "0x03" });
    for (block, count) in [("latest", 130), ("0x82", 130), ("0x81", 129), ("0x3", 3)] {
        let answer = rpc(&node, "eth_call", json!([request, block])).await;
        assert_eq!(answer, json!(word(count)), "{block}");
        let slot = rpc(&node, "eth_getStorageAt", json!([CONTRACT, "0x0", block])).await;
        assert_eq!(slot, json!(word(count)));
    }
    let hash = rpc(&node, "eth_getBlockByNumber", json!(["0x50", false])).await["hash"].take();
    for id in [json!({ "blockHash": hash }), json!({ "blockNumber": "0x50" }), hash] {
        assert_eq!(rpc(&node, "eth_call", json!([request, id])).await, json!(word(0x50)));
    }
    let failure = refused(&node, "eth_call", json!([request, "0x2"])).await;
    assert_eq!(failure.code, -32000);
    assert!(failure.message.contains("oldest state kept is that of block 3"), "{failure:?}");
    let failure = refused(&node, "eth_call", json!([request, "0x83"])).await;
    assert_eq!((failure.code, failure.message.as_str()), (-32000, "header not found"));
}

#[tokio::test]
async fn overrides_change_what_a_call_sees_and_nothing_else() {
    let node = open();
    let request = json!({ "to": CONTRACT, "data": "0x03" });
    let with = |account: Value| json!([request, "latest", { CONTRACT.to_string(): account }]);
    let diff = with(json!({ "stateDiff": { (word(0)): word(9) } }));
    assert_eq!(rpc(&node, "eth_call", diff).await, json!(word(9)));
    // Code that answers slot 7, which genesis set.
    let code = "0x60075460005260206000f3";
    let kept = with(json!({ "code": code }));
    assert_eq!(rpc(&node, "eth_call", kept).await, json!(word(77)));
    let replaced = with(json!({ "code": code, "state": { (word(1)): word(1) } }));
    assert_eq!(rpc(&node, "eth_call", replaced).await, json!(word(0)));
    let both = with(json!({ "state": {}, "stateDiff": {} }));
    assert_eq!(refused(&node, "eth_call", both).await.code, -32602);

    let poor = Address::repeat_byte(0x77);
    let pay = json!({ "from": poor, "to": key(0).address(), "value": "0x5" });
    let failure = refused(&node, "eth_call", json!([pay, "latest"])).await;
    assert!(failure.message.starts_with("insufficient funds for gas * price + value"));
    let rich = json!({ poor.to_string(): { "balance": "0x5" } });
    assert_eq!(rpc(&node, "eth_call", json!([pay, "latest", rich])).await, "0x");

    // NUMBER, TIMESTAMP and BASEFEE, one word each.
    let show = json!({ CONTRACT.to_string(): { "code": "0x43600052426020524860405260606000f3" } });
    let params = json!([{ "to": CONTRACT }, "latest", show, {
        "number": "0x1234", "time": "0x5678", "baseFeePerGas": "0x9",
    }]);
    let answer = rpc(&node, "eth_call", params).await;
    let expected = format!("{}{}{}", word(0x1234), &word(0x5678)[2..], &word(9)[2..]);
    assert_eq!(answer, json!(expected));
    assert_eq!(rpc(&node, "eth_call", json!([request])).await, json!(word(0)), "nothing was kept");
}

#[tokio::test]
async fn calls_may_come_from_contracts_and_to_code_that_is_not_deployed() {
    let node = open();
    let params = json!([{ "from": CONTRACT, "to": CONTRACT, "data": "0x03" }]);
    assert_eq!(rpc(&node, "eth_call", params).await, json!(word(0)));
    // Without `to`, the input runs as init code, and its return data is the answer.
    let params = json!([{ "data": "0x602a60005260206000f3" }]);
    assert_eq!(rpc(&node, "eth_call", params).await, json!(word(42)));
    let both = json!([{ "to": CONTRACT, "data": "0x03", "input": "0x01" }]);
    assert_eq!(refused(&node, "eth_call", both).await.code, -32602);
}

#[tokio::test]
async fn precompiles_answer() {
    let node = open();
    // EIP-196 to EIP-198, EIP-152 and EIP-2537 have vectors elsewhere; here: the ones that
    // payments need. ecrecover of the well-known vector of geth's precompile tests.
    let input = "0x18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c\
                 000000000000000000000000000000000000000000000000000000000000001c\
                 73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f\
                 eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549";
    let params = json!([{ "to": "0x0000000000000000000000000000000000000001", "data": input }]);
    let answer = rpc(&node, "eth_call", params).await;
    let expected = "0x000000000000000000000000a94f5374fce5edbc8e2a8697c15331677e6ebf0b";
    assert_eq!(answer, expected);
    let params = json!([{ "to": "0x0000000000000000000000000000000000000002", "data": "0x" }]);
    let answer = rpc(&node, "eth_call", params).await;
    assert_eq!(answer, "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[tokio::test]
async fn an_estimate_is_enough_and_not_far_too_much() {
    let node = open();
    let plain = json!([{ "from": key(0).address(), "to": key(1).address(), "value": "0x1" }]);
    assert_eq!(rpc(&node, "eth_estimateGas", plain).await, "0x5208");
    let estimate = rpc(&node, "eth_estimateGas", json!([{ "to": CONTRACT }])).await;
    let mut transaction = call(0);
    transaction.gas_limit = number(&estimate);
    let receipt = seal(&node, &sign(&key(0), transaction)).await;
    assert_eq!(receipt["status"], "0x1");
    let used = number(&receipt["gasUsed"]);
    assert!(number(&estimate) <= used * 103 / 100, "{estimate} for {used}");

    let code = init_code(&counter());
    let params = json!([{ "from": key(0).address(), "data": code, "nonce": "0x1" }]);
    let estimate = number(&rpc(&node, "eth_estimateGas", params).await);
    let mut transaction = deploy(1, code);
    transaction.gas_limit = estimate;
    assert_eq!(seal(&node, &sign(&key(0), transaction)).await["status"], "0x1");
}

#[tokio::test]
async fn an_access_list_names_what_is_touched() {
    let node = open();
    let params = json!([{ "from": key(0).address(), "to": CONTRACT }]);
    let answer = rpc(&node, "eth_createAccessList", params).await;
    assert_eq!(answer["accessList"], json!([{ "address": CONTRACT, "storageKeys": [word(0)] }]));
    assert!(number(&answer["gasUsed"]) > 21_000);
    let plain = json!([{ "from": key(0).address(), "to": key(1).address(), "value": "0x1" }]);
    let answer = rpc(&node, "eth_createAccessList", plain).await;
    assert_eq!(answer["accessList"], json!([]));
}

#[tokio::test]
async fn logs_are_found_by_block_address_and_topic() {
    let node = open();
    for nonce in 0..5 {
        seal(&node, &sign(&key(0), call(nonce))).await;
    }
    let hash = rpc(&node, "eth_getBlockByNumber", json!(["0x2", false])).await["hash"].take();
    let other = Address::repeat_byte(1);
    for (filter, blocks) in [
        (json!({}), vec![5]),
        (json!({ "fromBlock": "0x0" }), vec![1, 2, 3, 4, 5]),
        (json!({ "fromBlock": "earliest", "toBlock": "latest" }), vec![1, 2, 3, 4, 5]),
        (json!({ "fromBlock": "0x2", "toBlock": "0x3" }), vec![2, 3]),
        (json!({ "fromBlock": "0x4", "toBlock": "0xffff" }), vec![4, 5]),
        (json!({ "fromBlock": "0x9", "toBlock": "0xffff" }), vec![]),
        (json!({ "blockHash": hash }), vec![2]),
        (json!({ "fromBlock": "0x5", "address": CONTRACT }), vec![5]),
        (json!({ "fromBlock": "0x5", "address": [other, CONTRACT] }), vec![5]),
        (json!({ "fromBlock": "0x0", "address": other }), vec![]),
        (json!({ "fromBlock": "0x5", "topics": [word(TOPIC.into())] }), vec![5]),
        (json!({ "fromBlock": "0x5", "topics": [[word(1), word(TOPIC.into())]] }), vec![5]),
        (json!({ "fromBlock": "0x0", "topics": [word(1)] }), vec![]),
        (json!({ "fromBlock": "0x0", "topics": [null, word(1)] }), vec![]),
    ] {
        let logs = rpc(&node, "eth_getLogs", json!([filter])).await;
        let found: Vec<u64> =
            logs.as_array().expect("logs").iter().map(|log| number(&log["blockNumber"])).collect();
        assert_eq!(found, blocks, "{filter}");
    }
    let unknown = json!([{ "blockHash": B256::repeat_byte(3) }]);
    assert_eq!(refused(&node, "eth_getLogs", unknown).await.message, "unknown block");
}

#[tokio::test]
async fn a_search_for_logs_is_bounded() {
    let mut config = config();
    config.limits.log_blocks = 3;
    config.limits.log_results = 2;
    let node = Node::open(config).expect("opens");
    for nonce in 0..4 {
        seal(&node, &sign(&key(0), call(nonce))).await;
    }
    let wide = refused(&node, "eth_getLogs", json!([{ "fromBlock": "0x0" }])).await;
    assert_eq!((wide.code, wide.message.as_str()), (-32005, "block range too wide: 5, limit 3"));
    let many = refused(&node, "eth_getLogs", json!([{ "fromBlock": "0x2" }])).await;
    assert_eq!(many.code, -32005);
    assert!(many.message.starts_with("query returned more than 2 results"));
    let logs = rpc(&node, "eth_getLogs", json!([{ "fromBlock": "0x3" }])).await;
    assert_eq!(logs.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn one_block_s_logs_can_always_be_had() {
    let mut config = config();
    config.limits.log_results = 0;
    let node = Node::open(config).expect("opens");
    seal(&node, &sign(&key(0), call(0))).await;
    let range = json!([{ "fromBlock": "0x0", "toBlock": "0x1" }]);
    assert_eq!(refused(&node, "eth_getLogs", range).await.code, -32005);
    let block = json!([{ "fromBlock": "0x1", "toBlock": "0x1" }]);
    let logs = rpc(&node, "eth_getLogs", block).await;
    assert_eq!(logs.as_array().map(Vec::len), Some(1), "else nobody could ever read past it");
}

#[tokio::test]
async fn the_answers_of_a_batch_are_bounded_together() {
    let mut config = config();
    config.limits.batch_answer_bytes = 1_000;
    let node = Node::open(config).expect("opens");
    let one = json!({ "jsonrpc": "2.0", "id": 7, "method": "eth_getBlockByNumber", "params": ["latest", true] });
    let answer = node.request(Value::Array(vec![one; 50])).await;
    let answers = answer.as_array().expect("a batch");
    assert_eq!(answers.len(), 50, "each request is answered");
    assert!(answers[0]["result"].is_object());
    assert_eq!(answers[49]["error"]["code"], -32005);
    assert_eq!(answers[49]["id"], 7);
}

#[tokio::test]
async fn filters_tell_what_is_new_once_and_expire() {
    let (time, now) = clock();
    let mut config = config();
    config.now = now;
    config.limits.filters = 2;
    config.limits.log_results = 2;
    let node = Node::open(config).expect("opens");
    seal(&node, &sign(&key(0), call(0))).await;
    let logs = rpc(&node, "eth_newFilter", json!([{ "address": CONTRACT }])).await;
    let blocks = rpc(&node, "eth_newBlockFilter", json!([])).await;
    let full = refused(&node, "eth_newBlockFilter", json!([])).await;
    assert_eq!(full.code, -32005);
    assert_eq!(rpc(&node, "eth_getFilterChanges", json!([logs])).await, json!([]));
    for nonce in 1..4 {
        seal(&node, &sign(&key(0), call(nonce))).await;
    }
    // Three are new, two fit into one answer, the third comes with the next.
    for expected in [vec![word(2), word(3)], vec![word(4)], vec![]] {
        let new = rpc(&node, "eth_getFilterChanges", json!([logs])).await;
        let data: Vec<String> = new
            .as_array()
            .expect("logs")
            .iter()
            .map(|log| log["data"].as_str().expect("data").to_owned())
            .collect();
        assert_eq!(data, expected);
    }
    let new = rpc(&node, "eth_getFilterChanges", json!([blocks])).await;
    assert_eq!(new.as_array().map(Vec::len), Some(3));
    assert_eq!(new[2], head(&node).await["hash"]);
    assert_eq!(rpc(&node, "eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(rpc(&node, "eth_uninstallFilter", json!([blocks])).await, false);
    time.fetch_add(301, Ordering::SeqCst);
    let gone = refused(&node, "eth_getFilterChanges", json!([logs])).await;
    assert_eq!((gone.code, gone.message.as_str()), (-32000, "filter not found"));
}

#[tokio::test]
async fn sending_synchronously_answers_the_receipt_and_can_be_repeated() {
    let node = open();
    let raw = sign(&key(0), call(0));
    let receipt = seal(&node, &raw).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(seal(&node, &raw).await, receipt, "the same again gets the same answer");
    let gapped = sign(&key(0), call(2));
    let params = json!([gapped, 1]);
    let failure = refused(&node, "eth_sendRawTransactionSync", params).await;
    assert_eq!(failure.code, 4);
    assert_eq!(failure.data, json!(alloy_primitives::keccak256(&gapped)));
    let waiting = tokio::spawn({
        let (node, gapped) = (node.clone(), gapped.clone());
        async move { seal(&node, &gapped).await }
    });
    seal(&node, &sign(&key(0), call(1))).await;
    assert_eq!(waiting.await.expect("answers")["status"], "0x1");
}

#[tokio::test]
async fn fee_history_covers_what_there_is() {
    let node = open();
    seal(&node, &sign(&key(0), call(0))).await;
    for count in [json!("0x5"), json!(5)] {
        let history = rpc(&node, "eth_feeHistory", json!([count, "latest", []])).await;
        assert_eq!(history["oldestBlock"], "0x0");
        assert_eq!(history["baseFeePerGas"], json!(["0x0", "0x0", "0x0"]));
        assert_eq!(history["gasUsedRatio"].as_array().map(Vec::len), Some(2));
        assert!(history.get("reward").is_none_or(Value::is_null));
    }
    let beyond = refused(&node, "eth_feeHistory", json!(["0x1", "0x9", []])).await;
    assert!(beyond.message.starts_with("request beyond head block"));
}

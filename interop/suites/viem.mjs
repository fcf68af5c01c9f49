// viem against the chain's port: reads, writes, logs, reverts, batches, signatures.

import assert from "node:assert/strict";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, custom, encodeFunctionData,
  getContractAddress, http, keccak256, parseEther, parseSignature, toHex,
} from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { claim, done, within } from "../harness/claims.mjs";
import {
  artifact, balance, chain, DOLLAR, DOMAIN, fundedAccount, info, reader, TRANSFER_WITH_AUTHORIZATION,
} from "../harness/economy.mjs";

const token = { address: info.token.address, abi: DOLLAR };
const dollar = await artifact("MachinaDollar");
const account = await fundedAccount("1");
const stranger = privateKeyToAddress(generatePrivateKey());
const wallet = createWalletClient({ account, chain, transport: http() });
const mined = (hash) => within(20, "a receipt", reader.waitForTransactionReceipt({ hash }));

await claim("the chain id is what `info` says", async () => {
  assert.equal(await reader.getChainId(), info.chainId);
});

await claim("readContract: the dollar is what `info` says", async () => {
  const read = (functionName) => reader.readContract({ ...token, functionName });
  assert.deepEqual(
    { name: await read("name"), version: await read("version"), symbol: await read("symbol"), decimals: await read("decimals") },
    { name: info.token.name, version: info.token.version, symbol: info.token.symbol, decimals: info.token.decimals },
  );
});

await claim("a fresh key without ether sends: gas costs nothing", async () => {
  const penniless = privateKeyToAccount(generatePrivateKey());
  assert.equal(await reader.getBalance({ address: penniless.address }), 0n);
  const hash = await createWalletClient({ account: penniless, chain, transport: http() })
    .sendTransaction({ to: stranger, value: 0n });
  const receipt = await mined(hash);
  assert.equal(receipt.status, "success");
  assert.equal(receipt.effectiveGasPrice, 0n);
  assert.equal(receipt.gasUsed, 21_000n);
  assert.equal(await reader.getTransactionCount({ address: penniless.address }), 1);
});

await claim("ether that is not there cannot be sent", () =>
  assert.rejects(wallet.sendTransaction({ to: stranger, value: parseEther("1") }), BaseError));

const deployed = await claim("deployContract: code where CREATE says, and the constructor's event", async () => {
  const nonce = await reader.getTransactionCount({ address: account.address });
  const hash = await wallet.deployContract({ abi: dollar.abi, bytecode: dollar.bytecode, args: [account.address] });
  const receipt = await mined(hash);
  assert.equal(receipt.status, "success");
  assert.equal(receipt.contractAddress.toLowerCase(),
    getContractAddress({ from: account.address, nonce: BigInt(nonce) }).toLowerCase());
  assert.ok((await reader.getCode({ address: receipt.contractAddress })).length > 1_000);
  const [event] = await reader.getContractEvents({
    address: receipt.contractAddress, abi: dollar.abi, eventName: "MinterChanged",
    fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber, strict: true,
  });
  assert.equal(event.args.to, account.address);
  return { address: receipt.contractAddress, abi: dollar.abi };
});

await claim("writeContract, receipt, getLogs: the event and the state agree", async () => {
  const hash = await wallet.writeContract({ ...deployed, functionName: "mint", args: [stranger, 123n] });
  const receipt = await mined(hash);
  const logs = await reader.getLogs({
    address: deployed.address, event: DOLLAR.find((item) => item.name === "Transfer"), args: { to: stranger },
    fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber,
  });
  assert.deepEqual(logs.map((log) => [log.args.value, log.transactionHash]), [[123n, hash]]);
  assert.deepEqual(receipt.logs.map((log) => log.logIndex), logs.map((log) => log.logIndex));
  assert.equal(await reader.readContract({ ...deployed, functionName: "balanceOf", args: [stranger] }), 123n);
});

await claim("a revert is decoded: the dollar's own error with its argument", async () => {
  const error = await reader
    .simulateContract({ ...token, functionName: "mint", args: [stranger, 1n], account })
    .then(() => assert.fail("it did not revert"), (e) => e);
  const reverted = error.walk((e) => e instanceof ContractFunctionRevertedError);
  assert.equal(reverted?.data?.errorName, "MinterOnly", error.shortMessage);
  assert.deepEqual(reverted.data.args, [account.address]);
});

await claim("a transaction that reverts when mined has a receipt that says so, and changes nothing", async () => {
  const hash = await wallet.sendTransaction({
    to: token.address, gas: 200_000n, data: encodeFunctionData({ abi: DOLLAR, functionName: "mint", args: [stranger, 1n] }),
  });
  const receipt = await mined(hash);
  assert.equal(receipt.status, "reverted");
  assert.deepEqual(receipt.logs, []);
  assert.equal(await balance(stranger), 0n);
});

await claim("estimateGas is enough, and not much more than was used", async () => {
  const call = { ...deployed, functionName: "transfer", args: [stranger, 0n], account };
  const estimate = await reader.estimateContractGas(call);
  const receipt = await mined(await wallet.writeContract({ ...call, gas: estimate }));
  assert.equal(receipt.status, "success");
  assert.ok(receipt.gasUsed <= estimate && estimate < 2n * receipt.gasUsed, `used ${receipt.gasUsed} of ${estimate}`);
});

await claim("multicall through the contract at 0xcA11…: many reads, one request, one failure told apart", async () => {
  let requests = 0;
  const counting = createPublicClient({
    chain,
    transport: custom({ request: (request) => { requests += 1; return reader.request(request); } }),
  });
  const results = await counting.multicall({
    contracts: [
      { ...token, functionName: "balanceOf", args: [account.address] },
      { ...token, functionName: "totalSupply" },
      { ...token, functionName: "mint", args: [stranger, 1n] },
      { ...token, functionName: "symbol" },
    ],
  });
  assert.equal(requests, 1);
  assert.deepEqual(results.map((r) => r.status), ["success", "success", "failure", "success"]);
  assert.equal(results[0].result, 1_000_000n);
  assert.equal(results[3].result, "MUSD");
});

await claim("a batching transport: ten questions in one HTTP request", async () => {
  let posts = 0;
  const batching = createPublicClient({
    chain, transport: http(undefined, { batch: true, onFetchRequest: () => { posts += 1; } }),
  });
  const answers = await Promise.all([
    ...Array.from({ length: 8 }, (_, i) => batching.getBalance({ address: toHex(i + 1, { size: 20 }) })),
    batching.getChainId(),
    batching.getBlock({ blockNumber: 0n }).then((block) => block.number),
  ]);
  assert.equal(posts, 1);
  assert.deepEqual(answers, [...Array(8).fill(0n), info.chainId, 0n]);
});

await claim("getBlock: by number, by hash and by tag, with the transactions that it says", async () => {
  const receipt = await mined(await wallet.sendTransaction({ to: stranger }));
  const byNumber = await reader.getBlock({ blockNumber: receipt.blockNumber, includeTransactions: true });
  const byHash = await reader.getBlock({ blockHash: receipt.blockHash });
  assert.equal(byNumber.hash, byHash.hash);
  assert.deepEqual(byNumber.transactions.map((t) => t.hash), byHash.transactions);
  assert.ok(byHash.transactions.includes(receipt.transactionHash));
  const parent = await reader.getBlock({ blockNumber: byNumber.number - 1n });
  assert.equal(byNumber.parentHash, parent.hash);
  assert.ok(byNumber.timestamp >= parent.timestamp);
  for (const blockTag of ["latest", "pending", "safe", "finalized", "earliest"]) {
    assert.ok(await reader.getBlock({ blockTag }), blockTag);
  }
});

await claim("watchBlockNumber and watchContractEvent see what happens", async () => {
  const stops = [];
  const blocks = new Promise((resolve, reject) => {
    const from = reader.getBlockNumber({ cacheTime: 0 });
    stops.push(reader.watchBlockNumber({
      onBlockNumber: async (number) => { if (number > (await from)) resolve(number); }, onError: reject,
    }));
  });
  const told = new Promise((resolve, reject) => {
    stops.push(reader.watchContractEvent({ ...token, eventName: "Transfer", args: { to: stranger }, onLogs: resolve, onError: reject }));
  });
  try {
    // The filter must be there before the transfer; its first poll makes it.
    await reader.getBlockNumber({ cacheTime: 0 });
    let sum = 0n;
    const sending = (async () => {
      for (let i = 0; i < 20; i += 1) {
        await mined(await wallet.writeContract({ ...token, functionName: "transfer", args: [stranger, 1n] }));
        sum += 1n;
        if (await Promise.race([told.then(() => true), Promise.resolve(false)])) return;
      }
    })();
    await within(20, "a block and an event", Promise.all([blocks, told]));
    await sending;
    assert.equal(await balance(stranger), sum);
  } finally {
    stops.forEach((stop) => stop());
  }
});

/** An EIP-3009 order of the account, signed. */
async function order(value) {
  const message = {
    from: account.address, to: stranger, value, validAfter: 0n,
    validBefore: BigInt(Math.floor(Date.now() / 1000) + 600), nonce: keccak256(generatePrivateKey()),
  };
  const signature = await wallet.signTypedData({
    domain: DOMAIN, types: TRANSFER_WITH_AUTHORIZATION, primaryType: "TransferWithAuthorization", message,
  });
  return { signature, fields: Object.values(message), nonce: message.nonce };
}

const carrier = createWalletClient({ account: privateKeyToAccount(generatePrivateKey()), chain, transport: http() });
for (const form of ["bytes", "(v, r, s)"]) {
  await claim(`signTypedData and transferWithAuthorization, ${form}: a stranger carries the order, once`, async () => {
    const { signature, fields, nonce } = await order(1_000n);
    const { r, s, v } = parseSignature(signature);
    const tail = form === "bytes" ? [signature] : [Number(v), r, s];
    const call = { ...token, functionName: "transferWithAuthorization", args: [...fields, ...tail] };
    const before = [await balance(account.address), await balance(stranger)];
    const receipt = await mined(await carrier.writeContract(call));
    assert.equal(receipt.status, "success");
    assert.deepEqual([await balance(account.address), await balance(stranger)], [before[0] - 1_000n, before[1] + 1_000n]);
    const used = await reader.readContract({ ...token, functionName: "authorizationState", args: [account.address, nonce] });
    assert.equal(used, true);
    await assert.rejects(reader.simulateContract({ ...call, account: carrier.account }), /revert/i);
  });
}

await claim("twenty transactions of one key at once, numbered by hand: all are mined, in one order", async () => {
  const first = await reader.getTransactionCount({ address: account.address, blockTag: "pending" });
  // The last first: the pool must wait for the ones before it.
  const numbers = Array.from({ length: 20 }, (_, i) => first + 19 - i);
  const hashes = await Promise.all(numbers.map((nonce) => wallet.sendTransaction({ to: stranger, nonce, gas: 21_000n })));
  const receipts = await Promise.all(hashes.map(mined));
  assert.ok(receipts.every((receipt) => receipt.status === "success"));
  assert.equal(await reader.getTransactionCount({ address: account.address }), first + 20);
});

// What viem hides: the codes themselves.
const ask = (method, ...params) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
const mint = encodeFunctionData({ abi: DOLLAR, functionName: "mint", args: [stranger, 1n] });
const refused = {
  "text that is not JSON": ["{", -32700],
  "JSON that is no request": ["{}", -32600],
  "an empty batch": ["[]", -32600],
  "a method that there is not": [ask("eth_makeMeRich"), -32601],
  "parameters that make no sense": [ask("eth_getBalance", "me", "latest"), -32602],
  "a transaction that is none": [ask("eth_sendRawTransaction", "0x1234"), -32602, -32000],
  "a call that reverts": [ask("eth_call", { to: token.address, data: mint }, "latest"), 3],
};
for (const [what, [body, ...codes]] of Object.entries(refused)) {
  await claim(`${what}: JSON-RPC error ${codes.join(" or ")}`, async () => {
    const reply = await fetch(info.rpcUrl, { method: "POST", body, headers: { "content-type": "application/json" } });
    const { error } = await reply.json();
    assert.ok(codes.includes(error.code), JSON.stringify(error));
    if (error.code === 3) assert.match(error.data, /^0x[0-9a-f]{8}/);
  });
}

done();

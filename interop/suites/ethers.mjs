// ethers v6 against the chain's port.

import assert from "node:assert/strict";
import { Contract, ContractFactory, FetchRequest, Interface, JsonRpcProvider, NonceManager, Signature, Wallet, ZeroAddress, hexlify, isError, randomBytes } from "ethers";
import { claim, done, within } from "../harness/claims.mjs";
import { artifact, DOMAIN, info, machina, TRANSFER_WITH_AUTHORIZATION } from "../harness/economy.mjs";

const dollar = await artifact("MachinaDollar");
const provider = new JsonRpcProvider(new FetchRequest(info.rpcUrl), undefined, { polling: true, pollingInterval: 50, cacheTimeout: -1 });
const wallet = Wallet.createRandom().connect(provider);
await machina("fund", wallet.address, "1");
const stranger = Wallet.createRandom().address;
const token = new Contract(info.token.address, dollar.abi, wallet);
const mined = (sent) => within(20, "a receipt", sent.wait());

await claim("the network is found: chain id", async () => {
  assert.equal((await provider.getNetwork()).chainId, BigInt(info.chainId));
});

await claim("the dollar's facts and a funded balance", async () => {
  assert.equal(await token.symbol(), info.token.symbol);
  assert.equal(await token.decimals(), BigInt(info.token.decimals));
  assert.equal(await token.balanceOf(wallet.address), 1_000_000n);
  const domain = await token.eip712Domain();
  assert.deepEqual([domain.name, domain.version, domain.chainId], [DOMAIN.name, DOMAIN.version, BigInt(DOMAIN.chainId)]);
});

await claim("a fresh key without ether sends, and pays no fee", async () => {
  assert.equal(await provider.getBalance(wallet.address), 0n);
  const receipt = await mined(await wallet.sendTransaction({ to: stranger, value: 0n }));
  assert.deepEqual([receipt.status, receipt.fee], [1, 0n]);
});

const own = await claim("ContractFactory deploys", async () => {
  const contract = await new ContractFactory(dollar.abi, dollar.bytecode, wallet).deploy(wallet.address);
  await within(20, "the deployment", contract.waitForDeployment());
  assert.equal(await contract.minter(), wallet.address);
  return contract;
});

await claim("a write, its receipt's parsed event, and queryFilter tell the same", async () => {
  const receipt = await mined(await own.mint(stranger, 77n));
  const [event] = receipt.logs.map((log) => own.interface.parseLog(log));
  assert.deepEqual([event.name, event.args.from, event.args.to, event.args.value], ["Transfer", ZeroAddress, stranger, 77n]);
  const found = await own.queryFilter(own.filters.Transfer(null, stranger), receipt.blockNumber, receipt.blockNumber);
  assert.deepEqual(found.map((log) => log.transactionHash), [receipt.hash]);
  assert.equal(await own.balanceOf(stranger), 77n);
});

await claim("a revert is decoded: the dollar's own error with its argument", async () => {
  const error = await token.mint.staticCall(stranger, 1n).then(() => assert.fail("it did not revert"), (e) => e);
  assert.ok(isError(error, "CALL_EXCEPTION"), error.message);
  assert.deepEqual([error.revert.name, [...error.revert.args]], ["MinterOnly", [wallet.address]]);
});

await claim("a transaction that reverts when mined: wait() rejects with status 0", async () => {
  const sent = await token.mint(stranger, 1n, { gasLimit: 200_000 });
  const error = await mined(sent).then(() => assert.fail("it did not revert"), (e) => e);
  assert.ok(isError(error, "CALL_EXCEPTION"), error.message);
  assert.equal(error.receipt.status, 0);
});

await claim("estimateGas is enough", async () => {
  const gasLimit = await own.transfer.estimateGas(stranger, 0n);
  assert.equal((await mined(await own.transfer(stranger, 0n, { gasLimit }))).status, 1);
});

await claim("the provider batches: many questions at once have their own answers", async () => {
  const addresses = Array.from({ length: 20 }, () => Wallet.createRandom().address);
  const answers = await Promise.all(addresses.map((address) => token.balanceOf(address)));
  assert.deepEqual(answers, Array(20).fill(0n));
});

await claim("blocks link, with whole transactions where asked", async () => {
  const receipt = await mined(await wallet.sendTransaction({ to: stranger }));
  const block = await provider.getBlock(receipt.blockNumber, true);
  assert.equal(block.hash, receipt.blockHash);
  assert.ok(block.prefetchedTransactions.some((t) => t.hash === receipt.hash && t.from === wallet.address));
  assert.equal(block.parentHash, (await provider.getBlock(receipt.blockNumber - 1)).hash);
});

await claim("provider.on(\"block\") and contract.on(event) hear what happens", async () => {
  const block = new Promise((resolve) => { provider.once("block", resolve); });
  const event = new Promise((resolve) => { own.once(own.filters.Transfer(null, stranger), (told) => resolve(told.args.value)); });
  await provider.getBlockNumber();
  let minted = 0n;
  const minting = (async () => {
    for (let i = 0; i < 20; i += 1) {
      await mined(await own.mint(stranger, 5n));
      minted += 5n;
      if (await Promise.race([event.then(() => true), Promise.resolve(false)])) return;
    }
  })();
  const [, value] = await within(20, "a block and an event", Promise.all([block, event]));
  await minting;
  assert.equal(value, 5n);
  assert.equal(await own.balanceOf(stranger), 77n + minted);
});

await claim("signTypedData and transferWithAuthorization in both forms: a stranger carries it, once", async () => {
  const carrier = new Contract(info.token.address, dollar.abi, Wallet.createRandom().connect(provider));
  const forms = {
    "(address,address,uint256,uint256,uint256,bytes32,bytes)": (s) => [s.serialized],
    "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)": (s) => [s.v, s.r, s.s],
  };
  for (const [types, tail] of Object.entries(forms)) {
    const order = {
      from: wallet.address, to: stranger, value: 500n, validAfter: 0n,
      validBefore: BigInt(Math.floor(Date.now() / 1000) + 600), nonce: hexlify(randomBytes(32)),
    };
    const signature = Signature.from(await wallet.signTypedData(DOMAIN, TRANSFER_WITH_AUTHORIZATION, order));
    const method = carrier.getFunction(`transferWithAuthorization${types}`);
    const args = [...Object.values(order), ...tail(signature)];
    const before = await token.balanceOf(stranger);
    assert.equal((await mined(await method(...args))).status, 1);
    assert.equal(await token.balanceOf(stranger), before + 500n);
    assert.equal(await token.authorizationState(wallet.address, order.nonce), true);
    await assert.rejects(method.staticCall(...args), (e) => isError(e, "CALL_EXCEPTION"));
  }
});

await claim("NonceManager: twenty transactions at once, all mined", async () => {
  const manager = new NonceManager(Wallet.createRandom().connect(provider));
  const sent = await Promise.all(Array.from({ length: 20 }, () => manager.sendTransaction({ to: stranger })));
  const receipts = await Promise.all(sent.map(mined));
  assert.deepEqual(receipts.map((receipt) => receipt.status), Array(20).fill(1));
});

await claim("Multicall3's aggregate3 answers through its address", async () => {
  const abi = ["function aggregate3((address target, bool allowFailure, bytes callData)[]) payable returns ((bool success, bytes returnData)[])"];
  const multicall = new Contract("0xcA11bde05977b3631167028862bE2a173976CA11", abi, provider);
  const call = (name, ...args) => ({ target: info.token.address, allowFailure: true, callData: new Interface(dollar.abi).encodeFunctionData(name, args) });
  const results = await multicall.aggregate3.staticCall([call("decimals"), call("mint", stranger, 1n)]);
  assert.deepEqual(results.map((r) => r.success), [true, false]);
});

provider.destroy();
done();

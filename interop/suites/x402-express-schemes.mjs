// npm @x402/express sells by `upto` and `batch-settlement` through our facilitator: to the SDK's own
// buyer, and to `machina pay`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toClientEvmSigner } from "@x402/evm";
import {
  BatchSettlementEvmScheme as BatchClient, computeChannelId, readChannelBalanceAndTotalClaimed,
} from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as BatchServer } from "@x402/evm/batch-settlement/server";
import { createPermit2ApprovalTx } from "@x402/evm/exact/client";
import { UptoEvmScheme as UptoClient } from "@x402/evm/upto/client";
import { UptoEvmScheme as UptoServer } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import express from "express";
import { createWalletClient, http, parseAbi } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { claim, done } from "../harness/claims.mjs";
import { balance, chain, fundedAccount, info, machina, reader, settledTransfer } from "../harness/economy.mjs";
import { allowing, buyer, decode, quoteOf, settlementOf } from "../harness/x402.mjs";

const PRICE = 4_000n;
/** What EIP-2612 counts: the approvals by signature that a token has seen. */
const NONCES = parseAbi(["function nonces(address owner) view returns (uint256)"]);
const payee = privateKeyToAccount(generatePrivateKey());
/** Signs claims and refunds of the shop's channels: the shop's own key, as our facilitator refunds for no stranger. */
const authorizer = privateKeyToAccount(generatePrivateKey());
const facilitator = new HTTPFacilitatorClient({ url: info.facilitatorUrl });
const channels = new BatchServer(payee.address, { receiverAuthorizerSigner: authorizer });
let worked = 0;

/** A shop of the reference server: `/metered?parts=N` charges N quarters of its most, `/drawn` is paid by voucher. */
async function open() {
  const sdk = new x402ResourceServer(facilitator).register(info.network, new UptoServer()).register(info.network, channels);
  const accepts = (scheme, extra = {}) => ({
    scheme, network: info.network, payTo: payee.address,
    price: {
      amount: PRICE.toString(), asset: info.token.address, extra: { name: info.token.name, version: info.token.version, ...extra },
    },
  });
  const shop = express();
  shop.use(paymentMiddleware({
    "GET /metered": { accepts: accepts("upto"), extensions: declareEip2612GasSponsoringExtension() },
    "GET /drawn": { accepts: accepts("batch-settlement") },
    "GET /permitted": {
      accepts: accepts("batch-settlement", { assetTransferMethod: "permit2" }), extensions: declareEip2612GasSponsoringExtension(),
    },
    "GET /broken": { accepts: accepts("upto") },
  }, sdk));
  shop.get("/metered", (request, response) => {
    worked += 1;
    setSettlementOverrides(response, { amount: String((PRICE / 4n) * BigInt(request.query.parts)) });
    response.send("metered");
  });
  shop.get(["/drawn", "/permitted"], (_, response) => {
    worked += 1;
    response.send("drawn");
  });
  shop.get("/broken", (_, response) => response.status(500).send("out of order"));
  const server = shop.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://localhost:${server.address().port}`;
}

const base = await open();

/** Does something and demands that the shop worked so often and that this much moved from `payer` to the shop. */
async function sells(times, sum, payer, act) {
  const before = [worked, await balance(payer), await balance(payee.address)];
  const result = await act();
  const after = [worked, await balance(payer), await balance(payee.address)];
  assert.deepEqual(
    { worked: after[0] - before[0], paid: before[1] - after[1], earned: after[2] - before[2] },
    { worked: times, paid: sum, earned: sum },
  );
  return result;
}

async function good(response) {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text;
}

/** Lets Permit2 move an account's dollars, by a transaction of the account's own. */
async function approvePermit2(owner) {
  const wallet = createWalletClient({ account: owner, chain, transport: http() });
  const hash = await wallet.sendTransaction(createPermit2ApprovalTx(info.token.address));
  assert.equal((await reader.waitForTransactionReceipt({ hash, timeout: 10_000 })).status, "success");
}

const account = await fundedAccount("1");
await approvePermit2(account);
const metered = buyer(account, allowing(PRICE), new UptoClient(account, { rpcUrl: info.rpcUrl }));

await claim("upto: the reference server's quote names our facilitator", async () => {
  const quote = await quoteOf(`${base}/metered?parts=1`);
  assert.equal(quote.accepts[0].extra.facilitatorAddress, info.parties.find((party) => party.name === "facilitator").address);
});

for (const parts of [1n, 3n, 4n]) {
  const charge = (PRICE / 4n) * parts;
  await claim(`upto: the reference server charges ${charge} of ${PRICE}, and our facilitator settles just that`, () =>
    sells(1, charge, account.address, async () => {
      const response = await metered.fetch(`${base}/metered?parts=${parts}`);
      assert.equal(await good(response), "metered");
      const { success, transaction, amount } = settlementOf(response);
      assert.deepEqual({ success, amount }, { success: true, amount: String(charge) });
      await settledTransfer(transaction, { from: account.address, to: payee.address, value: charge });
    }));
}

await claim("upto: nothing charged is nothing paid", () =>
  sells(1, 0n, account.address, async () => good(await metered.fetch(`${base}/metered?parts=0`))));

await claim("upto: the same payment again is refused, and not paid twice", async () => {
  const before = await balance(payee.address);
  const reply = await fetch(`${base}/metered?parts=3`, { headers: { "PAYMENT-SIGNATURE": metered.headers[1] } });
  assert.equal(reply.status, 402, await reply.text());
  assert.ok(decode(reply.headers.get("PAYMENT-REQUIRED")).error);
  assert.equal(await balance(payee.address), before);
});

await claim("upto: never approved, the approval travels along by signature (EIP-2612)", async () => {
  const newcomer = await fundedAccount("1");
  const sponsored = buyer(newcomer, allowing(PRICE), new UptoClient(newcomer, { rpcUrl: info.rpcUrl }));
  await sells(1, PRICE / 4n, newcomer.address, async () => good(await sponsored.fetch(`${base}/metered?parts=1`)));
});

await claim("upto: work that fails is not settled", () =>
  sells(0, 0n, account.address, async () => assert.equal((await metered.fetch(`${base}/broken`)).status, 500)));

await claim("upto: twenty at once, each settled once at its own charge", () =>
  sells(20, 20n * (PRICE / 4n), account.address, async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => metered.fetch(`${base}/metered?parts=1`)));
    await Promise.all(replies.map(good));
    assert.equal(new Set(replies.map((reply) => settlementOf(reply).transaction)).size, 20);
  }));

// Channels.

const saver = toClientEvmSigner(await fundedAccount("1"), reader);
const scheme = new BatchClient(saver);
const drawing = buyer(saver, allowing(2n * PRICE), scheme);
const way = (await quoteOf(`${base}/drawn`)).accepts[0];
const channel = computeChannelId(scheme.buildChannelConfig(way), info.network);
const held = () => readChannelBalanceAndTotalClaimed(reader, channel);
let deposit;

await claim("batch-settlement: the first purchase deposits, through our facilitator", async () => {
  const before = await balance(saver.address);
  assert.equal(await good(await drawing.fetch(`${base}/drawn`)), "drawn");
  [deposit] = await held();
  assert.ok(deposit >= PRICE, `the deposit is ${deposit}`);
  assert.equal(before - await balance(saver.address), deposit);
});

await claim("batch-settlement: three vouchers buy without a transaction", () =>
  sells(3, 0n, saver.address, async () => {
    for (const nth of [2n, 3n, 4n]) {
      const response = await drawing.fetch(`${base}/drawn`);
      await good(response);
      const { transaction, extra } = settlementOf(response);
      assert.deepEqual([transaction, extra.channelState.chargedCumulativeAmount], ["", String(nth * PRICE)]);
    }
  }));

const collecting = channels.createChannelManager(facilitator, info.network, info.token.address);

await claim("batch-settlement: the server claims and is paid out by our facilitator, to the unit", async () => {
  const before = await balance(payee.address);
  const { claims, settle } = await collecting.claimAndSettle();
  assert.deepEqual(claims.map((one) => one.vouchers), [1]);
  assert.equal((await reader.getTransactionReceipt({ hash: settle.transaction })).status, "success");
  assert.equal(await balance(payee.address) - before, 4n * PRICE);
  assert.deepEqual(await held(), [deposit, 4n * PRICE]);
});

await claim("batch-settlement: the payer asks for the rest, the server signs, our facilitator pays it back", async () => {
  const before = await balance(saver.address);
  const refund = await scheme.refund(`${base}/drawn`);
  assert.equal(refund.success, true, JSON.stringify(refund));
  assert.equal(await balance(saver.address) - before, deposit - 4n * PRICE);
});

const shopper = info.parties.find((party) => party.name === "shopper");

await claim("`machina pay` buys of the reference server by upto, and is charged what the work cost", () =>
  sells(1, PRICE / 4n, shopper.address, async () => {
    const report = await machina("pay", `${base}/metered?parts=1`, "--scheme", "upto", "--max", "0.004");
    assert.deepEqual([report.status, report.paid.amount.minor], [200, String(PRICE / 4n)]);
  }));

await claim("`machina pay` buys of the reference server from a channel, and gets back what it did not spend", async () => {
  const before = [worked, await balance(shopper.address)];
  for (const _ of [1, 2, 3]) {
    const report = await machina("pay", `${base}/drawn`, "--scheme", "batch-settlement", "--max", "0.004");
    assert.deepEqual([report.status, report.paid.amount.minor], [200, String(PRICE)], JSON.stringify(report));
  }
  assert.equal(worked - before[0], 3);
  const listed = await machina("channels");
  const opened = listed.find((one) => one.payee.toLowerCase().includes(payee.address.toLowerCase()));
  assert.ok(opened, JSON.stringify(listed));
  assert.equal(opened.charged.minor, String(3n * PRICE));
  await machina("channels", "--close", opened.id);
  assert.equal(before[1] - await balance(shopper.address), 3n * PRICE);
});

await claim("`machina pay` deposits through Permit2 where the reference server takes no other deposits, with its approval along", async () => {
  const before = [worked, await balance(shopper.address)];
  const approved = () => reader.readContract({ address: info.token.address, abi: NONCES, functionName: "nonces", args: [shopper.address] });
  const approvals = await approved();
  for (const _ of [1, 2]) {
    const report = await machina("pay", `${base}/permitted`, "--scheme", "batch-settlement", "--max", "0.004");
    assert.deepEqual([report.status, report.paid.amount.minor], [200, String(PRICE)], JSON.stringify(report));
  }
  assert.equal(worked - before[0], 2);
  assert.equal(await approved() - approvals, 1n, "one approval, for the one deposit");
  const opened = (await machina("channels")).find((one) => one.payee.toLowerCase().includes(payee.address.toLowerCase()));
  await machina("channels", "--close", opened.id);
  assert.equal(before[1] - await balance(shopper.address), 2n * PRICE);
});

await claim("the books of the economy equal the chain", async () => {
  const { books } = await machina("economy");
  assert.equal(books.state, "equal", JSON.stringify(books));
});

done();

// npm @x402/express sells through our facilitator: to the SDK's own buyer, and to `machina pay`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { claim, done, within } from "../harness/claims.mjs";
import { balance, fundedAccount, info, machina, settledTransfer } from "../harness/economy.mjs";
import { allowing, buyer, decode, quoteOf, settlementOf } from "../harness/x402.mjs";

const PRICE = 2_500n;
const payee = privateKeyToAddress(generatePrivateKey());
let worked = 0;

/** A shop of the reference server: it shouts what it is told. */
async function open() {
  const sdk = new x402ResourceServer(new HTTPFacilitatorClient({ url: info.facilitatorUrl }))
    .register(info.network, new ExactEvmScheme());
  const accepts = (asset) => ({
    scheme: "exact",
    network: info.network,
    payTo: payee,
    price: { amount: PRICE.toString(), asset, extra: { name: info.token.name, version: info.token.version } },
  });
  const shop = express();
  shop.use(paymentMiddleware({
    "POST /shout": { accepts: accepts(info.token.address), description: "Shouts", mimeType: "text/plain" },
    "GET /broken": { accepts: accepts(info.token.address), description: "Fails" },
  }, sdk));
  shop.post("/shout", express.text(), (request, response) => {
    worked += 1;
    response.type("text/plain").send(`${request.body.toUpperCase()}!`);
  });
  shop.get("/broken", (_, response) => response.status(500).send("out of order"));
  const server = shop.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://localhost:${server.address().port}`;
}

const base = await open();
const shout = `${base}/shout`;
const say = (text) => ({ method: "POST", body: text, headers: { "content-type": "text/plain" } });
const account = await fundedAccount("1");
const sdk = buyer(account, allowing(PRICE));

/** Does something and demands that the shop worked and was paid by `payer` just so often. */
async function sells(times, payer, act) {
  const before = [worked, await balance(payer), await balance(payee)];
  const result = await act();
  const after = [worked, await balance(payer), await balance(payee)];
  const sum = PRICE * BigInt(times);
  assert.deepEqual(
    { worked: after[0] - before[0], paid: before[1] - after[1], earned: after[2] - before[2] },
    { worked: times, paid: sum, earned: sum },
  );
  return result;
}

await claim("the reference server starts: our /supported tells it what it asks for", async () => {
  const quote = await within(20, "the first quote", quoteOf(shout, say("hello")));
  assert.equal(quote.accepts.length, 1);
  assert.equal(quote.accepts[0].amount, PRICE.toString());
  assert.equal(worked, 0);
});

await claim("the SDK's buyer buys of the SDK's server, settled by our facilitator", () =>
  sells(1, account.address, async () => {
    const response = await sdk.fetch(shout, say("hello"));
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "HELLO!");
    const { success, transaction, network } = settlementOf(response);
    assert.deepEqual({ success, network }, { success: true, network: info.network });
    await settledTransfer(transaction, { from: account.address, to: payee, value: PRICE });
  }));

await claim("the same payment again: the server is told that it was used, and is not paid twice", async () => {
  const before = await balance(payee);
  const reply = await fetch(shout, { ...say("hello"), headers: { "content-type": "text/plain", "PAYMENT-SIGNATURE": sdk.headers[0] } });
  assert.equal(reply.status, 402);
  assert.equal(decode(reply.headers.get("PAYMENT-REQUIRED")).error, "invalid_exact_evm_nonce_already_used");
  assert.equal(await balance(payee), before);
});

await claim("an empty wallet: the server's 402 carries our facilitator's reason", async () => {
  const poor = await fundedAccount();
  await sells(0, poor.address, async () => {
    const reply = await buyer(poor, allowing(PRICE)).fetch(shout, say("hello"));
    assert.equal(reply.status, 402);
    assert.equal(decode(reply.headers.get("PAYMENT-REQUIRED")).error, "invalid_exact_evm_insufficient_balance");
  });
});

await claim("work that fails is not settled", () =>
  sells(0, account.address, async () => {
    const reply = await sdk.fetch(`${base}/broken`);
    assert.equal(reply.status, 500);
  }));

await claim("fifty payments at once: all served, each settled exactly once", () =>
  sells(50, account.address, async () => {
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => sdk.fetch(shout, say(`number ${i}`))));
    assert.deepEqual(replies.map((reply) => reply.status), Array(50).fill(200));
    const texts = await Promise.all(replies.map((reply) => reply.text()));
    assert.deepEqual(texts, Array.from({ length: 50 }, (_, i) => `NUMBER ${i}!`));
    const hashes = replies.map((reply) => settlementOf(reply).transaction);
    assert.equal(new Set(hashes).size, 50);
    await Promise.all(hashes.map((hash) => settledTransfer(hash, { from: account.address, to: payee, value: PRICE })));
  }));

const shopper = info.parties.find((party) => party.name === "shopper");
const folder = await mkdtemp(join(tmpdir(), "machina-interop-order-"));
const order = join(folder, "order.txt");
await writeFile(order, "from a file");

await claim("`machina pay` buys of the reference server, under its mandate", () =>
  sells(1, shopper.address, async () => {
    const [before] = await machina("books", "shopper");
    const report = await machina("pay", shout, "--data", `@${order}`, "--max", "0.0025");
    assert.equal(report.status, 200);
    assert.equal(Buffer.from(report.body, "base64").toString(), "FROM A FILE!");
    assert.equal(report.paid.amount.minor, PRICE.toString());
    assert.equal(report.paid.payee.toLowerCase(), payee.toLowerCase());
    await settledTransfer(report.paid.transaction, { from: shopper.address, to: payee, value: PRICE });
    const [after] = await machina("books", "shopper");
    assert.equal(BigInt(before.mandate.lifetimeLeft.minor) - BigInt(after.mandate.lifetimeLeft.minor), PRICE);
    const [entry] = after.entries;
    assert.deepEqual([entry.amount.minor, entry.status, entry.reference], [PRICE.toString(), "posted", report.paid.reference]);
  }));

await claim("`machina pay --max` below the price refuses, and nothing is charged", () =>
  sells(0, shopper.address, () =>
    assert.rejects(machina("pay", shout, "--data", `@${order}`, "--max", "0.0024"), /0\.0025/)));

await claim("`machina pay` for work that fails tells so, and is not charged", () =>
  sells(0, shopper.address, async () => {
    await assert.rejects(machina("pay", `${base}/broken`), /500/);
    const [books] = await machina("books", "shopper");
    const held = books.lines.find((line) => line.name === "cash").held.minor;
    // The order was signed and sent, so it may still be used until it expires: its hold stays.
    assert.ok(held === "0" || held === PRICE.toString(), `held is ${held}`);
  }));

await rm(folder, { recursive: true });
done();

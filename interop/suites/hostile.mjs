// Ten thousand hostile retries in one run, drawn from a seed: payments that were used, that belong to
// other requests, that were tampered with or torn, at the gate, the facilitator and the paid tool. The
// buyer of the same two purchases gets its answers again in between, and nothing else may happen at all.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { claim, done } from "../harness/claims.mjs";
import { balance, fundedAccount, info, machina, openStall } from "../harness/economy.mjs";
import { allowing, buyer, decode, encode, quoteOf } from "../harness/x402.mjs";
import { drawing } from "../faults/random.mjs";

const SEED = Number(process.env.HOSTILE_SEED ?? 402);
const RETRIES = 10_000;
const AT_ONCE = 64;
const PRICE = 1_000n;

let begun = 0;
const service = createServer((request, response) => {
  begun += 1;
  request.resume().on("end", () => response.writeHead(200, { "content-length": 4 }).end("done"));
});
service.listen(0, "127.0.0.1");
await once(service, "listening");
const stall = await openStall("--to", `http://127.0.0.1:${service.address().port}`, "--price", "0.001", "--name", "hostile");

const account = await fundedAccount("1");
const honest = buyer(account, allowing(PRICE));
const own = { url: `${stall.url}/own`, init: { method: "POST", body: "own" } };
const quote = await quoteOf(own.url, own.init);

/** All that a retry must not change. */
async function standing() {
  const [paid, earned, [books]] = await Promise.all([balance(account.address), balance(stall.payee), machina("books", "seller")]);
  return { begun, paid, earned, lines: books.lines, entries: books.entries.length };
}

const first = await claim(`seed ${SEED}: an honest purchase, paid once`, async () => {
  const before = await standing();
  const response = await honest.fetch(own.url, own.init);
  assert.deepEqual([response.status, await response.text()], [200, "done"]);
  const after = await standing();
  assert.deepEqual([after.begun - before.begun, before.paid - after.paid], [1, PRICE]);
  return honest.headers[0];
});

const draw = drawing(SEED);
const hex = (digits) => Array.from({ length: digits }, () => draw.between(0, 15).toString(16)).join("");
const used = decode(first);
const stranger = privateKeyToAddress(generatePrivateKey());
const changed = (change) => {
  const payment = structuredClone(used);
  change(payment, payment.payload.authorization);
  return encode(payment);
};
const torn = () => first.slice(0, draw.between(0, first.length - 8));
const send = (header, { url = own.url, body = "own", method = "POST" } = {}) =>
  fetch(url, { method, body, headers: { "PAYMENT-SIGNATURE": header } });
const ask = (path, header) => fetch(`${info.facilitatorUrl}/${path}`, {
  method: "POST", headers: { "content-type": "application/json" },
  body: JSON.stringify({ x402Version: 2, paymentPayload: decode(header), paymentRequirements: quote.accepts[0] }),
});

/** Statuses that refuse. */
const refused = async (reply) => {
  const text = await reply.text();
  assert.ok(reply.status >= 400 && reply.status < 500, `status ${reply.status}: ${text}`);
};
/** What the facilitator says to a payment that it will not carry. */
const notCarried = async (reply) => {
  const told = await reply.json();
  assert.ok(reply.status !== 200 || told.isValid === false || told.success === false, JSON.stringify(told));
};

// Each makes one retry; the first is the honest buyer's.
const kinds = [
  [10, async () => assert.equal(await (await send(first)).text(), "done")],
  [10, async () => refused(await send(first, { body: hex(12) }))],
  [10, async () => refused(await send(first, { url: `${stall.url}/${hex(6)}` }))],
  [10, async () => refused(await send(first, { url: `${own.url}?${hex(6)}` }))],
  [5, async () => refused(await send(first, { method: "PUT" }))],
  [10, async () => refused(await send(changed((_, order) => { order.nonce = `0x${hex(64)}`; })))],
  [10, async () => refused(await send(changed((payment) => { payment.payload.signature = `0x${hex(128)}1b`; })))],
  [5, async () => refused(await send(changed((_, order) => { order.value = String(draw.between(0, 5_000)); order.nonce = `0x${hex(64)}`; })))],
  [5, async () => refused(await send(changed((_, order) => { order.from = stranger; })))],
  [5, async () => refused(await send(changed((_, order) => { order.to = stranger; })))],
  [5, async () => refused(await send(changed((_, order) => { order.validBefore = String(2 ** 40); })))],
  [5, async () => refused(await send(changed((payment) => { payment.accepted.amount = "1"; })))],
  [5, async () => refused(await send(torn()))],
  [5, async () => refused(await send(Buffer.from(hex(200)).toString("base64")))],
  [5, async () => notCarried(await ask("verify", first))],
  [5, async () => notCarried(await ask("settle", first))],
  [5, async () => notCarried(await ask("settle", changed((_, order) => { order.nonce = `0x${hex(64)}`; })))],
];

await claim(`${RETRIES} hostile retries, ${AT_ONCE} at once: each is refused, or given the answer that was paid for`, async () => {
  const before = await standing();
  let left = RETRIES;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left > 0) {
      left -= 1;
      await draw.among(kinds)();
    }
  }));
  assert.deepEqual(await standing(), before, "work, money, books");
});

await claim("and after them an honest purchase is as good as before", async () => {
  const before = await standing();
  assert.equal((await honest.fetch(own.url, { ...own.init, body: "more" })).status, 200);
  const after = await standing();
  assert.deepEqual([after.begun - before.begun, before.paid - after.paid, after.earned - before.earned], [1, PRICE, PRICE]);
});

await claim("the books of the economy equal the chain", async () => {
  const { books } = await machina("economy");
  assert.equal(books.state, "equal", JSON.stringify(books));
});

await claim("the stall closes when asked", async () => assert.equal(await stall.close(), 0));
done();

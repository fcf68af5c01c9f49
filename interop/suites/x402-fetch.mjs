// npm @x402/fetch buys from the vision machine: what it costs, what it may never cost twice, and
// what must cost nothing at all.

import assert from "node:assert/strict";
import { claim, done } from "../harness/claims.mjs";
import {
  balance, changes, fundedAccount, info, machina, offer, photograph, PRICE, settledTransfer, visionSign,
} from "../harness/economy.mjs";
import { allowing, buyer, decode, encode, quoteOf, settlementOf } from "../harness/x402.mjs";

/** The order of the group of secp256k1 (SEC 2, version 2, section 2.4.1). */
const GROUP_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const account = await fundedAccount("1");
const cat = await photograph("chelsea.png");
const coffee = await photograph("coffee.png");
const careful = buyer(account, allowing(PRICE));

/** What was sold abroad, by the economy's accounts, and what the vision machine earned. */
const exported = async () => ({
  exports: BigInt((await machina("economy")).headline.exports.minor), earned: BigInt((await visionSign()).earned.minor),
});
const atFirst = await exported();

const post = (body, header, type = "image/png") => fetch(offer.url, {
  method: "POST",
  body,
  headers: { "content-type": type, ...(header === undefined ? {} : { "PAYMENT-SIGNATURE": header }) },
});
const picture = { method: "POST", body: cat, headers: { "content-type": "image/png" } };
const quote = await quoteOf(offer.url, picture);
// The deadlines of an escrow count from the quote that names them.
const timeless = (accepts) => accepts.map((way) => way.scheme !== "auth-capture" ? way : {
  ...way, extra: { ...way.extra, captureDeadline: 0, refundDeadline: 0 },
});
const costsNothing = (act) => changes(0, account.address, act);

await claim("the quote says what `info` says", () => {
  const common = {
    network: info.network, amount: offer.price.minor, asset: info.token.address,
    payTo: offer.payee, maxTimeoutSeconds: 60,
  };
  const domain = { name: info.token.name, version: info.token.version };
  assert.deepEqual(quote.accepts, [
    { scheme: "exact", ...common, extra: domain },
    { scheme: "exact", ...common, extra: { ...domain, assetTransferMethod: "permit2" } },
    { scheme: "batch-settlement", ...common, extra: quote.accepts[2].extra },
    { scheme: "auth-capture", ...common, extra: quote.accepts[3].extra },
  ]);
  assert.equal(quote.resource.url, offer.url);
});

await claim("the SDK's own spend controls refuse a dollar that they do not know, and nothing is charged", () =>
  costsNothing(async () => {
    const stock = buyer(account);
    await assert.rejects(stock.fetch(offer.url, picture), /rejected by spendControls/);
    assert.deepEqual(stock.headers, [], "nothing was signed");
  }));

await claim("a limit below the price refuses too", () =>
  costsNothing(() => assert.rejects(
    buyer(account, allowing(PRICE - 1n)).fetch(offer.url, picture), /maxAmountPerPayment/)));

const first = await claim("allowed, it buys: one piece of work, paid once, at the price", () =>
  changes(1, account.address, async () => {
    const response = await careful.fetch(offer.url, picture);
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, body.toString());
    return { body, settlement: settlementOf(response) };
  }));

await claim("the answer names the cat", () => {
  const { labels, picture: seen } = JSON.parse(first.body);
  assert.deepEqual([seen.width, seen.height], [451, 300]);
  assert.equal(labels.length, 5);
  assert.match(labels[0].label, /cat/);
  const total = labels.reduce((sum, guess) => sum + guess.probability_ppm, 0);
  assert.ok(total > 0 && total <= 1_000_000, `probabilities add up to ${total} ppm`);
});

await claim("PAYMENT-RESPONSE tells the transaction, and the chain tells the same", async () => {
  const { success, transaction, payer, network } = first.settlement;
  assert.deepEqual({ success, network }, { success: true, network: info.network });
  assert.equal(payer.toLowerCase(), account.address.toLowerCase());
  await settledTransfer(transaction, { from: account.address, to: offer.payee, value: PRICE });
});

const paidHeader = careful.headers[0];

await claim("the same payment five times at once: the stored answer, byte for byte, and no work", () =>
  costsNothing(async () => {
    const replies = await Promise.all(Array.from({ length: 5 }, () => post(cat, paidHeader)));
    for (const reply of replies) {
      assert.equal(reply.status, 200);
      assert.equal(settlementOf(reply).transaction, first.settlement.transaction);
      assert.ok(Buffer.from(await reply.arrayBuffer()).equals(first.body), "the same bytes");
    }
  }));

await claim("a new payment five times at once: one piece of work, five equal answers", () =>
  changes(1, account.address, async () => {
    const header = careful.encode(await careful.sign(quote));
    const replies = await Promise.all(Array.from({ length: 5 }, () => post(coffee, header)));
    const bodies = await Promise.all(replies.map((reply) => reply.text()));
    assert.deepEqual(replies.map((reply) => reply.status), [200, 200, 200, 200, 200], bodies.join("\n"));
    assert.equal(new Set(bodies).size, 1);
    assert.match(bodies[0], /espresso|cup/);
  }));

await claim("and later again: still the stored answer", () =>
  costsNothing(async () => {
    const reply = await post(cat, paidHeader);
    assert.equal(reply.status, 200);
    assert.ok(Buffer.from(await reply.arrayBuffer()).equals(first.body));
  }));

await claim("the same payment with another photograph: 409", () =>
  costsNothing(async () => {
    const reply = await post(coffee, paidHeader);
    assert.equal(reply.status, 409, await reply.text());
  }));

await claim("the same payment for another number of answers: 409", () =>
  costsNothing(async () => {
    const reply = await fetch(`${offer.url}?top=3`, {
      method: "POST", body: cat, headers: { "content-type": "image/png", "PAYMENT-SIGNATURE": paidHeader },
    });
    assert.equal(reply.status, 409, await reply.text());
  }));

await claim("a used payment with a signature of one's own does not fetch the buyer's answer", () =>
  costsNothing(async () => {
    const forged = structuredClone(decode(paidHeader));
    forged.payload.signature = `0x${"11".repeat(64)}1b`;
    const reply = await post(cat, encode(forged));
    assert.equal(reply.status, 409, await reply.text());
  }));

// Each damages a fresh, good payment after it was signed.
const flipped = (hex, at) => hex.slice(0, at) + (hex[at] === "a" ? "b" : "a") + hex.slice(at + 1);
const damages = {
  "another amount signed for": (p) => { p.payload.authorization.value = String(PRICE - 1n); },
  "another amount accepted": (p) => { p.accepted.amount = "1"; },
  "another payee in the order": (p) => { p.payload.authorization.to = account.address; },
  "another payee accepted": (p) => { p.accepted.payTo = account.address; },
  "another network accepted": (p) => { p.accepted.network = "eip155:8453"; },
  "another asset accepted": (p) => { p.accepted.asset = offer.payee; },
  "another scheme accepted": (p) => { p.accepted.scheme = "upto"; },
  "another token name accepted": (p) => { p.accepted.extra.name = "USD Coin"; },
  "another token version accepted": (p) => { p.accepted.extra.version = "2"; },
  "no token domain accepted": (p) => { delete p.accepted.extra; },
  "a nonce changed after signing": (p) => {
    p.payload.authorization.nonce = flipped(p.payload.authorization.nonce, 10);
  },
  "a longer life than signed for": (p) => {
    p.payload.authorization.validBefore = String(BigInt(p.payload.authorization.validBefore) + 60n);
  },
  "a tampered signature": (p) => { p.payload.signature = flipped(p.payload.signature, 20); },
  "a high-s signature": (p) => {
    const [r, s, v] = [p.payload.signature.slice(2, 66), p.payload.signature.slice(66, 130), p.payload.signature.slice(130)];
    const high = (GROUP_ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, "0");
    p.payload.signature = `0x${r}${high}${v === "1b" ? "1c" : "1b"}`;
  },
  "another payer than the signer": (p) => { p.payload.authorization.from = offer.payee; },
};
for (const [what, damage] of Object.entries(damages)) {
  await claim(`${what}: 402 with a quote, and nothing is charged`, () =>
    costsNothing(async () => {
      const payment = structuredClone(await careful.sign(quote));
      damage(payment);
      const reply = await post(cat, encode(payment));
      assert.equal(reply.status, 402, await reply.text());
      const told = decode(reply.headers.get("PAYMENT-REQUIRED"));
      assert.ok(told.error, "the quote says why the payment was not enough");
      assert.deepEqual(timeless(told.accepts), timeless(quote.accepts));
    }));
}

// Each asks the SDK to sign for a quote that is not the seller's.
const windows = {
  "a payment that is about to expire": { maxTimeoutSeconds: 2 },
  "a payment that has expired": { maxTimeoutSeconds: -30 },
};
for (const [what, change] of Object.entries(windows)) {
  await claim(`${what}: 402, and nothing is charged`, () =>
    costsNothing(async () => {
      const payment = structuredClone(await careful.sign({ ...quote, accepts: [{ ...quote.accepts[0], ...change }] }));
      payment.accepted = quote.accepts[0];
      const reply = await post(cat, encode(payment));
      assert.equal(reply.status, 402, await reply.text());
      assert.equal(decode(reply.headers.get("PAYMENT-REQUIRED")).error,
        "invalid_exact_evm_payload_authorization_valid_before");
    }));
}

await claim("an empty wallet: 402 that says so, and nothing happens", async () => {
  const poor = await fundedAccount();
  await changes(0, poor.address, async () => {
    const reply = await buyer(poor, allowing(PRICE)).fetch(offer.url, picture);
    assert.equal(reply.status, 402);
    assert.equal(decode(reply.headers.get("PAYMENT-REQUIRED")).error, "invalid_exact_evm_insufficient_balance");
  });
});

const malformed = {
  "a header that is not base64": "§§§".replaceAll("§", "%"),
  "a header that is not JSON": Buffer.from("{").toString("base64"),
  "a header that is other JSON": encode({ x402Version: 2, hello: "world" }),
  "a header of another protocol version": encode({ x402Version: 1, scheme: "exact", network: "base", payload: {} }),
  "a header that nests without end": Buffer.from("[".repeat(9_000)).toString("base64"),
  "a header of 40 kB": "A".repeat(40_000),
};
for (const [what, header] of Object.entries(malformed)) {
  await claim(`${what}: 4xx that is not 402, and nothing is charged`, () =>
    costsNothing(async () => {
      const reply = await post(cat, header);
      assert.ok(reply.status >= 400 && reply.status < 500 && reply.status !== 402, `status ${reply.status}`);
    }));
}

const notPictures = {
  "a body that is not a picture": Buffer.from("this is not a picture"),
  "half a picture": cat.subarray(0, cat.length / 2),
  "no body at all": Buffer.alloc(0),
};
for (const [what, body] of Object.entries(notPictures)) {
  await claim(`${what}: 4xx, told why, and nothing is charged`, () =>
    costsNothing(async () => {
      const reply = await careful.fetch(offer.url, { method: "POST", body, headers: { "content-type": "image/png" } });
      const text = await reply.text();
      assert.ok(reply.status >= 400 && reply.status < 500 && reply.status !== 402, `status ${reply.status}: ${text}`);
      assert.ok(JSON.parse(text).message.length > 10, text);
    }));
}

const { maxBytes } = (await visionSign()).offers[0];

await claim("the largest body without a payment: the quote, not a broken connection, ten times of ten", async () => {
  for (let i = 0; i < 10; i += 1) {
    const again = await quoteOf(offer.url, { method: "POST", body: Buffer.alloc(maxBytes) });
    // Signed offers and sign-in challenges are made anew for each quote.
    assert.deepEqual(timeless(again.accepts), timeless(quote.accepts));
  }
});

await claim("a body above the limit: 413, and nothing is charged", () =>
  costsNothing(async () => {
    const reply = await post(Buffer.alloc(maxBytes + 1), careful.encode(await careful.sign(quote)));
    assert.equal(reply.status, 413, await reply.text());
  }));

await claim("the same photograph bought again: a new payment, the same bytes", () =>
  changes(1, account.address, async () => {
    const reply = await careful.fetch(offer.url, picture);
    assert.ok(Buffer.from(await reply.arrayBuffer()).equals(first.body));
  }));

await claim("fifty payments at once: each paid once, fifty transactions", () =>
  changes(50, account.address, async () => {
    const replies = await Promise.all(Array.from({ length: 50 }, () => careful.fetch(offer.url, picture)));
    assert.deepEqual(replies.filter((reply) => reply.status !== 200), []);
    assert.equal(new Set(replies.map((reply) => settlementOf(reply).transaction)).size, 50);
  }));

await claim("the economy counts all of it as exports, and its books equal the chain", async () => {
  const { headline, books } = await machina("economy");
  const [production, expenditure, income] = [headline.production, headline.expenditure, headline.income].map((a) => a.minor);
  assert.deepEqual([expenditure, income], [production, production], "GDP three ways");
  const now = await exported();
  assert.equal(now.exports - atFirst.exports, now.earned - atFirst.earned, "exported and earned meanwhile");
  assert.ok(now.earned - atFirst.earned >= 53n * PRICE);
  assert.equal(books.state, "equal", JSON.stringify(books));
});

await claim("the books show the sales: settled equals what the chain paid, nothing is left on hold", async () => {
  const [vision] = await machina("books", "vision");
  const lines = Object.fromEntries(vision.lines.map((line) => [line.name, line]));
  assert.equal(BigInt(lines.cash.settled.minor), await balance(offer.payee));
  assert.equal(lines.cash.held.minor, "0");
});

done();

// npm mppx buys from the vision machine by MPP: the same offer, the same 402, another protocol.

import assert from "node:assert/strict";
import { Challenge, Credential, Receipt } from "mppx";
import { Mppx, evm } from "mppx/client";
import { claim, done } from "../harness/claims.mjs";
import { changes, DOMAIN, fundedAccount, info, offer, photograph, PRICE, settledTransfer } from "../harness/economy.mjs";

const account = await fundedAccount("1");
const cat = await photograph("chelsea.png");
const coffee = await photograph("coffee.png");
const picture = (body) => ({ method: "POST", body, headers: { "content-type": "image/png" } });
const costsNothing = (act) => changes(0, account.address, act);

/** A client of mppx whose requests are noted. */
function buyer(limits = {}) {
  const sent = [];
  const noting = (input, init) => {
    sent.push(new Headers(init?.headers));
    return fetch(input, init);
  };
  const method = evm.charge({
    account,
    authorization: { name: DOMAIN.name, version: DOMAIN.version },
    currencies: [info.token.address],
    networks: [info.chainId],
    ...limits,
  });
  const client = Mppx.create({ methods: [method], polyfill: false, fetch: noting });
  return { fetch: client.fetch, sent };
}

const unpaid = await fetch(offer.url, picture(cat));
await unpaid.arrayBuffer();
const challenge = await claim("the 402 has both: PAYMENT-REQUIRED, and a challenge that mppx reads", () => {
  assert.equal(unpaid.status, 402);
  assert.ok(unpaid.headers.get("payment-required"));
  const challenge = Challenge.fromResponse(unpaid);
  assert.deepEqual([challenge.method, challenge.intent], ["evm", "charge"]);
  assert.deepEqual(challenge.request, {
    amount: offer.price.minor,
    currency: info.token.address,
    methodDetails: { chainId: info.chainId, credentialTypes: ["authorization"], decimals: info.token.decimals },
    recipient: offer.payee,
  });
  assert.match(challenge.digest, /^sha-256=:.+:$/);
  return challenge;
});

await claim("mppx refuses what is above its own limit, and nothing is charged", () =>
  costsNothing(() => assert.rejects(
    buyer({ maxAtomicAmount: PRICE - 1n }).fetch(offer.url, picture(cat)), /maxAtomicAmount/)));

const careful = buyer({ maxAtomicAmount: PRICE });
const first = await claim("mppx buys by MPP: one piece of work, paid once, at the price, with a receipt", () =>
  changes(1, account.address, async () => {
    const response = await careful.fetch(offer.url, picture(cat));
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, body.toString());
    const credential = careful.sent.at(-1).get("authorization");
    assert.match(credential, /^Payment /);
    assert.equal(careful.sent.at(-1).get("payment-signature"), null);
    return { body, credential, receipt: Receipt.fromResponse(response) };
  }));

await claim("the answer names the cat", () => {
  assert.match(JSON.parse(first.body).labels[0].label, /cat/);
});

await claim("the receipt names the transaction that moved the price", async () => {
  assert.deepEqual([first.receipt.method, first.receipt.status], ["evm", "success"]);
  await settledTransfer(first.receipt.reference, { from: account.address, to: offer.payee, value: PRICE });
});

const again = (body, credential = first.credential, target = offer.url) => fetch(target, {
  ...picture(body), headers: { "content-type": "image/png", authorization: credential },
});
const problem = async (response) => {
  assert.equal(response.status, 402);
  assert.match(response.headers.get("content-type"), /^application\/problem\+json/);
  assert.ok(Challenge.fromResponse(response).id, "a fresh challenge comes with it");
  return (await response.json()).type.split("/").at(-1);
};

await claim("the same credential five times at once: the same answer and receipt, nothing charged", () =>
  costsNothing(async () => {
    const responses = await Promise.all(Array.from({ length: 5 }, () => again(cat)));
    for (const response of responses) {
      assert.equal(response.status, 200);
      assert.ok(first.body.equals(Buffer.from(await response.arrayBuffer())));
      assert.deepEqual(Receipt.fromResponse(response), first.receipt);
    }
  }));

await claim("the same credential with another photograph buys nothing", () =>
  costsNothing(async () => assert.equal(await problem(await again(coffee)), "invalid-challenge")));

await claim("the same credential at another target buys nothing", () =>
  costsNothing(async () => assert.equal(await problem(await again(cat, undefined, `${offer.url}?top=3`)), "invalid-challenge")));

await claim("a credential that is none, or for a changed challenge, buys nothing", () =>
  costsNothing(async () => {
    assert.equal(await problem(await again(cat, "Payment e30")), "malformed-credential");
    // Of a payment that the books know, its answer is given again; so this is another one.
    const paid = Credential.deserialize(first.credential);
    const changed = Credential.from({
      ...paid,
      challenge: { ...challenge, request: { ...challenge.request, amount: "1" } },
      payload: { ...paid.payload, nonce: `0x${"11".repeat(32)}` },
    });
    assert.equal(await problem(await again(cat, Credential.serialize(changed))), "invalid-challenge");
  }));

await claim("ten purchases at once are ten payments", () =>
  changes(10, account.address, async () => {
    const responses = await Promise.all(Array.from({ length: 10 }, () => careful.fetch(offer.url, picture(coffee))));
    for (const response of responses) {
      assert.equal(response.status, 200);
      await response.arrayBuffer();
    }
  }));

done();

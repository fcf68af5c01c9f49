// The labour market from outside: keys that are not of the home pay in by npm @x402/fetch, sign by
// viem, hire the home's machines and one another, and take out what is theirs.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { claim, done } from "../harness/claims.mjs";
import { balance, fundedAccount, info, machina, photograph } from "../harness/economy.mjs";
import { allowing, buyer } from "../harness/x402.mjs";

const musd = (minor) => ({ asset: "MUSD/6", minor: String(minor) });
const name = () => randomBytes(16).toString("hex");
const { market } = await (await fetch(`${info.url}/market/rules`)).json();

/** Somebody at the market: a key from outside. */
async function somebody(dollars, deposit) {
  const account = await fundedAccount(dollars);
  const say = async (method, path, body = "", headers = {}) => {
    const at = String(Date.now());
    const digest = createHash("sha256").update(body).digest("hex");
    const text = `Machina market\n${method} ${path}\nchain ${info.chainId}\nmarket ${market}\nat ${at}\n${digest}`;
    const signature = await account.signMessage({ message: text });
    return fetch(info.url + path, {
      method,
      ...(method === "GET" ? {} : { body }),
      headers: { ...headers, "machina-party": account.address, "machina-at": at, "machina-signature": signature },
    });
  };
  const json = async (method, path, body) => {
    const answer = await say(method, path, body === undefined ? "" : JSON.stringify(body));
    return { status: answer.status, told: await answer.json() };
  };
  const does = async (...operations) => {
    const { status, told } = await json("POST", "/market/operations", operations);
    assert.equal(status, 200, JSON.stringify(told));
    for (const one of told) assert.equal(one.outcome, "applied", JSON.stringify(told));
  };
  const keep = async (body, type) => {
    const answer = await say("POST", "/market/documents", body, { "content-type": type });
    const told = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(told));
    return told.digest;
  };
  const free = async () =>
    BigInt((await (await fetch(`${info.url}/market/parties/${account.address}`)).json()).free.minor);
  const payIn = (amount) =>
    buyer(account, allowing(1_000_000n)).fetch(`${info.url}/market/deposits?amount=${amount}`, { method: "POST" });
  if (deposit !== undefined) assert.equal((await payIn(deposit)).status, 200);
  return { account, address: account.address, say, json, does, keep, free, payIn };
}

const until = async (what, look) => {
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`waited in vain until ${what}`);
};
const job = async (id) => (await fetch(`${info.url}/market/jobs/${id}`)).json();
const ended = (id) => until("the job ends", async () => {
  const now = await job(id);
  return ["completed", "rejected", "expired"].includes(now.stage) ? now : undefined;
});
const terms = (id, client, more) => ({
  id, client, parent: null, budget: musd(20_000), worth: musd(50_000), quality: 0, audit: 1_000_000,
  checker_fee: musd(200), appeals: 0, stake: musd(1_000), deliver_by: Date.now() + 60_000, check_ms: 20_000, ...more,
});

const client = await somebody("1");
const worker = await somebody("1", "0.01");
// One seat, and two who might be its job's parties: the market counts so before it knows who works.
const checkers = [await somebody("1", "0.05"), await somebody("1", "0.05"), await somebody("1", "0.05")];

await claim("a stock client pays in: it is credited once, to who paid", async () => {
  assert.equal((await client.payIn("0.05")).status, 200);
  await until("it is credited", async () => (await client.free()) === 50_000n);
  assert.equal(await balance(client.address), 950_000n);
});

const offers = await (await fetch(`${info.url}/market/offers?skill=vision/classify`)).json();

await claim("the home's machines bid for an outsider's photograph, are checked and paid", async () => {
  const brief = await client.keep(await photograph("chelsea.png"), "image/png");
  const id = name();
  const pricing = { auction: { committed: true, bond: musd(10) } };
  const check = { exact: { executors: 3 } };
  const { skill } = offers[0].offer;
  await client.does({ open: terms(id, client.address, { skill, brief, pricing, check }) }, { fund: { job: id } });
  const over = await ended(id);
  assert.equal(over.stage, "completed", JSON.stringify(over));
  assert.equal(over.bids.length, offers.length, "all of them bid");
  const answer = await (await client.say("GET", `/market/jobs/${id}/answer`)).json();
  assert.match(answer.labels[0].label, /cat/);
  assert.equal((await worker.say("GET", `/market/jobs/${id}/answer`)).status, 404, "it is the client's");
  assert.equal((await fetch(`${info.url}/jobs/${id}/picture`)).status, 404, "pages show no outsider's picture");
  assert.doesNotMatch(await (await fetch(`${info.url}/jobs/${id}`)).text(), /tabby|\bcat\b/, "nor its answer");
  const cost = BigInt(over.price.minor) + 600n;
  assert.equal(await client.free(), 50_000n - cost);
});

await claim("an outsider works for an outsider: it bids, delivers, nobody challenges, it is paid", async () => {
  const [id, offer, skill] = [name(), name(), name()];
  await worker.does({ publish: {
    id: offer, worker: worker.address, skill, price: musd(3_000), capacity: 1, most_stake: musd(3_000), least_ms: 1_000,
    checks: ["optimistic"], most_mark: 800_000,
  } });
  const [mine, theirs] = [await client.free(), await worker.free()];
  const brief = await client.keep("what is the answer?", "text/plain");
  const check = { optimistic: { window_ms: 300, executors: 1 } };
  await client.does({ open: terms(id, client.address, { skill, brief, pricing: "quotes", check }) });
  const unfunded = (await client.json("POST", "/market/operations", [{ fund: { job: id } }])).told[0];
  assert.deepEqual(unfunded.reason, { nobody_checks: { has: 0, needs: 1 } }, "no money for what nobody here can check");
  assert.equal(await client.free(), mine);
  for (const one of checkers) {
    await until("a checker's money is credited", async () => (await one.free()) === 50_000n);
    await one.does({ enlist: { party: one.address, stake: musd(20_000) } },
      { qualify: { party: one.address, skills: [skill] } });
  }
  await client.does({ fund: { job: id } });
  const asked = await (await worker.say("GET", `/market/jobs/${id}/brief`)).text();
  assert.equal(asked, "what is the answer?");
  const theft = name();
  const stolen = terms(theft, worker.address, { skill, brief, pricing: "quotes", check });
  const refused = await worker.json("POST", "/market/operations", [{ open: stolen }]);
  assert.deepEqual([refused.status, refused.told.error], [409, "no_brief"], "a digest gives no right to bytes");
  await worker.does({ bid: { job: id, offer, price: musd(2_500) } });
  await client.does({ accept: { job: id, offer, by: client.address } });
  const answer = await worker.keep("42", "text/plain");
  await worker.does({ submit: { job: id, by: worker.address, delivery: { open: { digest: answer } } } });
  assert.equal(await (await client.say("GET", `/market/jobs/${id}/answer`)).text(), "42");
  assert.equal((await ended(id)).stage, "completed");
  assert.equal(mine - await client.free(), 2_500n);
  assert.equal(await worker.free() - theirs, 2_475n, "less one per cent");
  for (const one of checkers) await one.does({ leave: { party: one.address } });
});

await claim("who signs for another, late, or another request is told so, and nothing happens", async () => {
  const leave = JSON.stringify([{ leave: { party: client.address } }]);
  const { status, told } = await worker.json("POST", "/market/operations", [{ leave: { party: client.address } }]);
  assert.deepEqual([status, told.error], [403, "not_yours"]);
  const at = String(Date.now() - 120_000);
  const headers = { "machina-party": client.address, "machina-at": at, "machina-signature": `0x${"11".repeat(65)}` };
  const late = await fetch(`${info.url}/market/operations`, { method: "POST", body: leave, headers });
  assert.equal(late.status, 401);
  assert.match((await late.json()).message, /sign it again/);
});

await claim("what is theirs they take out, once, and the books are the chain", async () => {
  for (const one of [client, worker]) {
    const [free, owned] = [await one.free(), await balance(one.address)];
    const order = { id: name() };
    const first = await one.json("POST", "/market/withdrawals", order);
    assert.equal(first.status, 200, JSON.stringify(first.told));
    const again = await one.json("POST", "/market/withdrawals", { ...order, amount: musd(free) });
    assert.equal(again.told.transaction, first.told.transaction, "the same name is the same payment");
    assert.equal(await balance(one.address), owned + free);
    assert.equal(await one.free(), 0n);
  }
  await until("books and chain agree", async () => (await machina("economy")).books.state === "equal");
});

done();

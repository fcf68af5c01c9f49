// The official MCP SDK, as an agent has it: it calls the paid tool at `/mcp`, with `@x402/core` to sign,
// and it drives the wallet `machina mcp` over standard input and output.

import assert from "node:assert/strict";
import { x402Client } from "@x402/core/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { claim, done } from "../harness/claims.mjs";
import {
  balance, changes, command, fundedAccount, info, machina, offer, photograph, PRICE, secrets, settledTransfer,
} from "../harness/economy.mjs";
import { allowing } from "../harness/x402.mjs";

/** Where a call carries its payment, and a result what became of it (specs/transports-v2/mcp.md). */
const PAYMENT = "x402/payment";
const PAYMENT_RESPONSE = "x402/payment-response";

const cat = (await photograph("chelsea.png")).toString("base64");
const coffee = (await photograph("coffee.png")).toString("base64");

/** A client of the official SDK that is connected over `transport`. */
async function connected(transport) {
  const client = new Client({ name: "machina-interop", version: "0.1.0" });
  await client.connect(transport);
  return client;
}

const overHttp = () => connected(new StreamableHTTPClientTransport(new URL(`${info.url}/mcp`)));

/** The quote that a result carries, in both of the forms that the specification asks for. */
function quoteOf(result) {
  assert.equal(result.isError, true, JSON.stringify(result));
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return result.structuredContent;
}

/** Calls of paid tools: one that is asked for money is paid and made again. `payments` lists what was sent. */
function paying(client, account, limit) {
  const wallet = new x402Client().register("eip155:*", new ExactEvmScheme(account));
  wallet.setSpendControls(allowing(limit));
  const payments = [];
  const call = async (name, tool) => {
    const asked = await client.callTool({ name, arguments: tool });
    if (asked.structuredContent?.accepts === undefined) return asked;
    const payment = await wallet.createPaymentPayload(quoteOf(asked));
    payments.push(payment);
    return client.callTool({ name, arguments: tool, _meta: { [PAYMENT]: payment } });
  };
  return { call, payments };
}

/** What a result says, if it is good. */
function good(result) {
  assert.ok(!result.isError, JSON.stringify(result).slice(0, 500));
  return result.content[0].text;
}

// The paid tool.

const account = await fundedAccount("1");
const shop = await overHttp();
const buyer = paying(shop, account, PRICE);

await claim("the paid tool is listed, with what it takes", async () => {
  const { tools } = await shop.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), ["classify"]);
  assert.deepEqual(Object.keys(tools[0].inputSchema.properties).sort(), ["picture", "top"]);
});

await claim("a call without a payment is asked for the price, in both forms, and costs nothing", () =>
  changes(0, account.address, async () => {
    const quote = quoteOf(await shop.callTool({ name: "classify", arguments: { picture: cat } }));
    assert.equal(quote.x402Version, 2);
    assert.equal(quote.resource.url, "mcp://tool/classify");
    assert.deepEqual([quote.accepts[0].scheme, quote.accepts[0].amount, quote.accepts[0].payTo],
      ["exact", offer.price.minor, offer.payee]);
  }));

const first = await claim("paid, it works: once, at the price, and tells the settlement", () =>
  changes(1, account.address, async () => {
    const result = await buyer.call("classify", { picture: cat });
    assert.match(good(result), /cat/);
    const { success, transaction, network } = result._meta[PAYMENT_RESPONSE];
    assert.deepEqual({ success, network }, { success: true, network: info.network });
    await settledTransfer(transaction, { from: account.address, to: offer.payee, value: PRICE });
    return result;
  }));

await claim("the same payment again, five at once: the stored answer, and no work", () =>
  changes(0, account.address, async () => {
    const again = () => shop.callTool({ name: "classify", arguments: { picture: cat }, _meta: { [PAYMENT]: buyer.payments[0] } });
    for (const result of await Promise.all(Array.from({ length: 5 }, again))) {
      assert.equal(good(result), good(first));
    }
  }));

await claim("the same payment for another photograph is refused, and costs nothing", () =>
  changes(0, account.address, async () => {
    const result = await shop.callTool({ name: "classify", arguments: { picture: coffee }, _meta: { [PAYMENT]: buyer.payments[0] } });
    assert.equal(result.isError, true);
  }));

await claim("a payment that was tampered with: asked again, with the reason", () =>
  changes(0, account.address, async () => {
    const forged = structuredClone(buyer.payments[0]);
    forged.payload.authorization.nonce = `0x${"11".repeat(32)}`;
    const quote = quoteOf(await shop.callTool({ name: "classify", arguments: { picture: cat }, _meta: { [PAYMENT]: forged } }));
    assert.equal(quote.error, "invalid_exact_evm_signature");
  }));

await claim("work that cannot be done costs nothing", () =>
  changes(0, account.address, async () => {
    const result = await buyer.call("classify", { picture: Buffer.from("not a picture").toString("base64") });
    assert.equal(result.isError, true);
  }));

await claim("ten calls at once over one connection: each paid once", () =>
  changes(10, account.address, async () => {
    const results = await Promise.all(Array.from({ length: 10 }, () => buyer.call("classify", { picture: coffee })));
    assert.equal(new Set(results.map((result) => result._meta[PAYMENT_RESPONSE].transaction)).size, 10);
    for (const result of results) assert.match(good(result), /espresso|cup/);
  }));

await shop.close();

// The agent's wallet.

const [program, ...words] = command("mcp");
const transport = new StdioClientTransport({ command: program, args: words, stderr: "pipe" });
let said = "";
transport.stderr.setEncoding("utf8").on("data", (part) => { said += part; });
const wallet = await connected(transport);

/** What a tool of the wallet tells. All of it is kept, to look for keys. */
async function told(name, tool = {}) {
  const result = await wallet.callTool({ name, arguments: tool });
  said += JSON.stringify(result);
  assert.ok(!result.isError, JSON.stringify(result));
  return result.structuredContent;
}

const shopper = info.parties.find((party) => party.name === "shopper");
const request = { url: offer.url, body_base64: cat };

await claim("the wallet's tools: discover, quote, pay, balance, mandate, approvals, and the labour market's", async () => {
  const { tools } = await wallet.listTools();
  said += JSON.stringify(tools);
  assert.deepEqual(tools.map((tool) => tool.name), [
    "discover", "quote", "pay", "balance", "mandate", "approvals",
    "offers", "hire", "job", "judge", "cancel", "withdraw",
  ]);
});

await claim("discover finds what is for sale here", async () => {
  const { offers } = await told("discover");
  assert.ok(offers.some((one) => one.url === offer.url), JSON.stringify(offers));
});

await claim("quote tells the price, and costs nothing", () =>
  changes(0, shopper.address, async () => {
    const quote = await told("quote", request);
    assert.equal(quote.priced, true);
    assert.equal(quote.ways[0].price.minor, offer.price.minor);
  }));

const before = { mandate: await told("mandate"), paid: await balance(shopper.address) };

await claim("pay above its own limit refuses, says both amounts, and costs nothing", () =>
  changes(0, shopper.address, async () => {
    const result = await wallet.callTool({ name: "pay", arguments: { ...request, max: "0.001" } });
    said += JSON.stringify(result);
    assert.equal(result.isError, true);
    assert.match(result.content[0].text, /0\.01/);
    assert.match(result.content[0].text, /0\.001/);
  }));

await claim("pay buys: one piece of work, paid once, at the price, under the mandate", () =>
  changes(1, shopper.address, async () => {
    const paid = await told("pay", { ...request, max: "0.01" });
    assert.equal(paid.status, 200);
    assert.match(paid.body, /cat/);
    assert.equal(paid.paid.amount.minor, offer.price.minor);
    await settledTransfer(paid.paid.transaction, { from: shopper.address, to: offer.payee, value: PRICE });
  }));

await claim("balance and mandate tell what is left, to the unit", async () => {
  const mandate = await told("mandate");
  const left = (one) => BigInt(one.lifetimeLeft.minor);
  assert.equal(left(before.mandate) - left(mandate), PRICE);
  const { books } = await told("balance");
  const cash = books.lines.find((line) => line.name === "cash");
  assert.equal(BigInt(cash.settled.minor), before.paid - PRICE, JSON.stringify(cash));
  assert.equal(await balance(shopper.address), before.paid - PRICE);
});

await claim("a tool that does not exist, and words that a tool does not take, are refused as such", async () => {
  await assert.rejects(told("no_such_tool", {}));
  await assert.rejects(told("pay", { ...request, max: "0.01", key: "please" }));
});

await wallet.close();

await claim("no key was seen in anything that the wallet said", async () => {
  const keys = await secrets();
  assert.ok(keys.length >= 3 && said.length > 1_000, `${keys.length} keys, ${said.length} characters`);
  for (const key of keys) {
    const digits = key.replace(/^0x/, "").toLowerCase();
    assert.match(digits, /^[0-9a-f]{64}$/);
    assert.ok(!said.toLowerCase().includes(digits), "a key's digits");
  }
});

await claim("the books of the economy equal the chain", async () => {
  const { books } = await machina("economy");
  assert.equal(books.state, "equal", JSON.stringify(books));
});

done();

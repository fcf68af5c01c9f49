// The reference stack of x402, measured as ours is: npm's `@x402/express` before a trivial handler,
// the SDK's facilitator with a nonce manager (without one it loses settlements that run at once),
// and anvil as the chain. Server, facilitator, chain and buyers each have a process of their own.
//
// `node stack.mjs [PAYMENTS] [IN_FLIGHT]` prints one JSON object a line: name, value, unit.

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { x402Facilitator } from "@x402/core/facilitator";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme as Paying } from "@x402/evm/exact/client";
import { ExactEvmScheme as Settling } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme as Selling } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import express from "express";
import { createPublicClient, createWalletClient, http, numberToHex, pad, publicActions } from "viem";
import { nonceManager, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const NETWORK = `eip155:${foundry.id}`;
const PRICE = 10_000n;
const PAYEE = "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
// The first of the keys that anvil gives ether to; everybody knows it.
const KEEPER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

const client = (url, account) =>
  createWalletClient({ account, chain: foundry, transport: http(url), pollingInterval: 50 }).extend(publicActions);

async function listen(app) {
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.send(`http://127.0.0.1:${server.address().port}`);
}

async function facilitator(rpc) {
  const account = privateKeyToAccount(KEEPER, { nonceManager });
  const wallet = client(rpc, account);
  const signer = toFacilitatorEvmSigner({
    address: account.address,
    getCode: (args) => wallet.getCode(args),
    readContract: (args) => wallet.readContract(args),
    verifyTypedData: (args) => wallet.verifyTypedData(args),
    writeContract: (args) => wallet.writeContract(args),
    sendTransaction: (args) => wallet.sendTransaction(args),
    waitForTransactionReceipt: (args) => wallet.waitForTransactionReceipt(args),
  });
  const parts = new x402Facilitator().register(NETWORK, new Settling(signer));
  const app = express().use(express.json());
  const answer = (act) => async (request, response) => {
    const { paymentPayload, paymentRequirements } = request.body;
    response.json(await act(paymentPayload, paymentRequirements));
  };
  app.post("/verify", answer((payload, terms) => parts.verify(payload, terms)));
  app.post("/settle", answer((payload, terms) => parts.settle(payload, terms)));
  app.get("/supported", (_, response) => response.json(parts.getSupported()));
  await listen(app);
}

async function seller(facilitatorUrl, token) {
  const sdk = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl })).register(NETWORK, new Selling());
  const price = { amount: PRICE.toString(), asset: token, extra: { name: "Machina Dollar", version: "1" } };
  const app = express();
  const accepts = { scheme: "exact", network: NETWORK, payTo: PAYEE, price };
  app.use(paymentMiddleware({ "POST /work": { accepts, description: "does what it is told" } }, sdk));
  app.post("/work", express.text(), (request, response) => response.type("text/plain").send(`did ${request.body}`));
  await listen(app);
}

/** Another part in a process of its own, and what it says first. */
async function start(...words) {
  const child = fork(new URL(import.meta.url), words);
  const [said] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`the ${words[0]} ended with ${code}`))),
  ]);
  return [child, said];
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function chain() {
  const port = await freePort();
  const program = new URL(`./node_modules/.bin/anvil`, import.meta.url).pathname;
  const child = spawn(program, ["--port", String(port), "--accounts", "1"], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const piece of child.stdout) if (String(piece).includes("Listening on")) break;
  child.stdout.resume();
  return [child, `http://127.0.0.1:${port}`];
}

async function deploy(keeper) {
  const text = await readFile(new URL("../../contracts/artifacts/MachinaDollar.json", import.meta.url), "utf8");
  const { abi, bytecode } = JSON.parse(text);
  const hash = await keeper.deployContract({ abi, bytecode, args: [keeper.account.address] });
  const { contractAddress: address } = await keeper.waitForTransactionReceipt({ hash });
  return { abi, address };
}

const tell = (name, value, unit) => console.log(JSON.stringify({ name, value, unit }));
const percent = (times, part) => times.sort((a, b) => a - b)[Math.floor(((times.length - 1) * part) / 100)];

async function measure(payments, inFlight) {
  const parts = [];
  const begin = async (starting) => {
    const [child, said] = await starting;
    parts.push(child);
    return said;
  };
  try {
    const rpc = await begin(chain());
    const keeper = client(rpc, privateKeyToAccount(KEEPER));
    const token = await deploy(keeper);
    const accounts = Array.from({ length: inFlight }, (_, n) => privateKeyToAccount(pad(numberToHex(n + 0x1000))));
    for (const { address } of accounts) {
      const call = { ...token, functionName: "mint", args: [address, PRICE * BigInt(payments + 100)] };
      await keeper.waitForTransactionReceipt({ hash: await keeper.writeContract(call) });
    }
    const facilitatorUrl = await begin(start("facilitator", rpc));
    const shop = await begin(start("seller", facilitatorUrl, token.address));
    const buyers = accounts.map((account) => {
      const sdk = new x402Client().register(NETWORK, new Paying(account));
      sdk.setSpendControls({ allowedAssets: [{ network: NETWORK, asset: token.address, maxAmountPerPayment: String(PRICE) }] });
      return wrapFetchWithPayment(fetch, sdk);
    });
    let done = 0;
    const buy = async (pay, job) => {
      const begun = performance.now();
      const response = await pay(`${shop}/work`, { method: "POST", body: job, headers: { "content-type": "text/plain" } });
      const said = await response.text();
      if (response.status !== 200 || said !== `did ${job}`) throw new Error(`${response.status}: ${said}`);
      done += 1;
      return performance.now() - begun;
    };
    for (let n = 0; n < 10; n += 1) await buy(buyers[n % inFlight], `warm ${n}`);
    const alone = [];
    for (let n = 0; n < 20; n += 1) alone.push(await buy(buyers[n % inFlight], `alone ${n}`));
    tell("reference_payment_alone_p50", percent(alone, 50), "ms");
    let next = 0;
    const begun = performance.now();
    const took = await Promise.all(buyers.map(async (pay) => {
      const mine = [];
      for (let job = next++; job < payments; job = next++) mine.push(await buy(pay, `job ${job}`));
      return mine;
    }));
    const seconds = (performance.now() - begun) / 1e3;
    tell("reference_payments_per_s", payments / seconds, "1/s");
    tell("reference_payment_p50", percent(took.flat(), 50), "ms");
    // A benchmark that cheats is worth nothing.
    const paid = await createPublicClient({ chain: foundry, transport: http(rpc) })
      .readContract({ ...token, functionName: "balanceOf", args: [PAYEE] });
    if (paid !== PRICE * BigInt(done)) throw new Error(`${done} were served, ${paid} was paid`);
  } finally {
    for (const child of parts.reverse()) child.kill();
  }
}

const [part, ...rest] = process.argv.slice(2);
if (part === "facilitator") await facilitator(...rest);
else if (part === "seller") await seller(...rest);
else await measure(Number(part ?? 300), Number(rest[0] ?? 50));

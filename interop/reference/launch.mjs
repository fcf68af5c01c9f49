// The reference stack, of stock parts: anvil for a chain, the facilitator of `@x402/evm`, and a shop of
// `@x402/express`. Each is a process of its own, so that each can be killed and started again on
// the port that it had. Nothing of ours is in the way of a payment but the token's contract.
//
// As a module, `openReference(settings)`. As a program, for whoever does not speak JavaScript:
//
//   node interop/reference/launch.mjs '{"nonceManager": true}'
//
// prints one line of JSON once the shop sells, and runs until its standard input ends.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { createTestClient, createWalletClient, defineChain, http, publicActions, walletActions } from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { within } from "../harness/claims.mjs";

/** npm's build of anvil for this machine. Only that for Linux on x86-64 is pinned. */
const ANVIL_PACKAGE = `@foundry-rs/anvil-${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
const ANVIL = fileURLToPath(new URL(`../node_modules/${ANVIL_PACKAGE}/bin/anvil`, import.meta.url));
/** The chain's number. */
const CHAIN = 31_337;
/** Seconds that a process has to open. */
const OPENING = 60;
/** Characters kept of what a process says. */
const TAIL = 4000;
/** Characters kept of its standard output. */
const OUTPUT = 100_000;
/** Ether, in wei, for whoever sends transactions: anvil takes gas. */
const ETHER = 10n ** 22n;

/** What can be chosen; each has a default here. */
const DEFAULTS = {
  /** Whether the facilitator's key counts its nonces by viem's nonce manager. The SDK's examples do not. */
  nonceManager: false,
  /** The payment flow that the shop asks for: `authorization` (verify, work, settle) or `upfront`. */
  flow: "authorization",
  /** Seconds between blocks; 0 mines each transaction as it comes. */
  blockTime: 0,
  /** What one request costs, in minor units. */
  price: "1000",
  /** Milliseconds between two looks for a receipt. viem's own default, 4,000, would be all that is measured. */
  pollingInterval: 20,
  /** A service that does the shop's work; without it the shop answers with a few bytes of its own. */
  work: undefined,
  /** Where the facilitator finds the chain; something may be put in between. */
  rpcUrl: undefined,
};

/** Starts a chain with the token on it: `{rpcUrl, chain, client, token, fund, close}`. */
export async function openChain({ blockTime = 0 } = {}) {
  if (!existsSync(ANVIL)) throw new Error(`${ANVIL_PACKAGE} is not installed: run interop/setup (anvil is pinned for Linux on x86-64 alone)`);
  const port = await freePort();
  const words = ["--host", "127.0.0.1", "--port", String(port), "--chain-id", String(CHAIN), "--silent"];
  if (blockTime > 0) words.push("--block-time", String(blockTime));
  const child = launch("anvil", [ANVIL, ...words]);
  const rpcUrl = `http://127.0.0.1:${port}`;
  await answering(child, () => fetch(rpcUrl, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] }),
  }));
  const chain = defineChain({
    id: CHAIN, name: "anvil", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
  const minter = privateKeyToAccount(generatePrivateKey());
  const client = createTestClient({ mode: "anvil", account: minter, chain, transport: http(), pollingInterval: 20 })
    .extend(publicActions).extend(walletActions);
  await client.setBalance({ address: minter.address, value: ETHER });
  const token = await deployDollar(client, minter);
  /** Gives tokens, and ether to whoever sends by itself. */
  const fund = async (address, amount, { ether = false } = {}) => {
    if (ether) await client.setBalance({ address, value: ETHER });
    if (amount > 0n) await sent(client, client.writeContract({ address: token.address, abi: token.abi, functionName: "mint", args: [address, amount] }));
  };
  /** Mines a block every so many seconds from now on; with 0, one for each transaction. */
  const every = async (seconds) => {
    await client.setAutomine(seconds === 0);
    await client.setIntervalMining({ interval: seconds });
    if (seconds === 0) await client.mine({ blocks: 1 });
  };
  return { rpcUrl, chain, client, token, network: `eip155:${CHAIN}`, fund, every, close: () => end(child) };
}

async function deployDollar(client, minter) {
  const artifact = JSON.parse(readFileSync(new URL("../../contracts/artifacts/MachinaDollar.json", import.meta.url)));
  const hash = await client.deployContract({ abi: artifact.abi, bytecode: artifact.bytecode, args: [minter.address] });
  const { contractAddress: address } = await client.waitForTransactionReceipt({ hash, timeout: 60_000 });
  const read = (functionName) => client.readContract({ address, abi: artifact.abi, functionName });
  const domain = (await read("eip712Domain"));
  return { address, abi: artifact.abi, name: domain[1], version: domain[2] };
}

async function sent(client, sending) {
  const receipt = await client.waitForTransactionReceipt({ hash: await sending, timeout: 60_000 });
  if (receipt.status !== "success") throw new Error(`transaction ${receipt.transactionHash} was reverted`);
}

/**
 * Starts facilitator and shop, on `chain` or on one of their own. What it returns:
 * `shopUrl` sells `POST /work` (any path below it too); `kill(part)` ends `"facilitator"` or
 * `"shop"` at once and `restart(part)` opens it again on the same port; `close` ends all.
 */
export async function openReference(settings = {}, chain = undefined) {
  const chosen = { ...DEFAULTS, ...settings };
  const own = chain === undefined;
  const on = chain ?? await openChain({ blockTime: chosen.blockTime });
  const key = generatePrivateKey();
  await on.fund(privateKeyToAddress(key), 0n, { ether: true });
  const payee = privateKeyToAddress(generatePrivateKey());
  const ports = { facilitator: await freePort(), shop: await freePort() };
  const facilitatorUrl = `http://127.0.0.1:${ports.facilitator}`;
  const shopUrl = `http://127.0.0.1:${ports.shop}`;
  const token = { address: on.token.address, name: on.token.name, version: on.token.version };
  const common = { chainId: CHAIN, network: on.network, token, pollingInterval: chosen.pollingInterval };
  const given = {
    facilitator: { ...common, port: ports.facilitator, rpcUrl: chosen.rpcUrl ?? on.rpcUrl, key, nonceManager: chosen.nonceManager },
    shop: { ...common, port: ports.shop, facilitatorUrl: chosen.facilitatorUrl ?? facilitatorUrl, payee, price: chosen.price, flow: chosen.flow, work: chosen.work },
  };
  const running = {};
  const restart = async (part) => {
    const file = fileURLToPath(new URL(`${part}.mjs`, import.meta.url));
    const child = launch(part, [process.execPath, file], { MACHINA_REFERENCE: JSON.stringify(given[part]) });
    running[part] = child;
    await answering(child, () => fetch(`http://127.0.0.1:${ports[part]}/health`));
  };
  const kill = async (part) => {
    const gone = exited(running[part]);
    running[part].kill("SIGKILL");
    await gone;
  };
  await restart("facilitator");
  await restart("shop");
  const close = async () => {
    await Promise.all(Object.values(running).map(end));
    if (own) await on.close();
  };
  return {
    shopUrl, facilitatorUrl, payee, price: BigInt(chosen.price), network: on.network, chainId: CHAIN, rpcUrl: on.rpcUrl,
    token: on.token, fund: on.fund, chain: on, processes: running, kill, restart, close,
  };
}

/** Starts a process that ends with this one at the latest. `said()` is the end of all it says, `heard()` of its standard output. */
export function launch(name, [command, ...words], extra = {}) {
  const env = { ...process.env, NO_PROXY: "*", no_proxy: "*", ...extra };
  const child = spawn(command, words, { env, stdio: ["ignore", "pipe", "pipe"] });
  child.label = name;
  let [text, output] = ["", ""];
  const keep = (part) => { text = (text + part).slice(-TAIL); };
  child.stderr.setEncoding("utf8").on("data", keep);
  child.stdout.setEncoding("utf8").on("data", (part) => { keep(part); output = (output + part).slice(-OUTPUT); });
  child.said = () => text;
  child.heard = () => output;
  const last = () => child.kill("SIGKILL");
  process.once("exit", last);
  child.once("exit", () => process.removeListener("exit", last));
  return child;
}

/** Waits until a process answers with any good status. It is asked every few milliseconds: it has no other way to tell. */
async function answering(child, ask) {
  const deadline = Date.now() + OPENING * 1000;
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    const reply = await ask().catch(() => undefined);
    await reply?.arrayBuffer().catch(() => undefined);
    if (reply?.ok) return;
    await new Promise((wake) => setTimeout(wake, 20));
  }
  child.kill("SIGKILL");
  throw new Error(`${child.label} did not open within ${OPENING} s: ${child.said()}`);
}

async function exited(child) {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Ends a process: asked first, killed if it does not listen. */
export async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await within(5, `the end of ${child.label}`, exited(child)).catch(() => child.kill("SIGKILL"));
}

/** A port that was free just now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stack = await openReference(JSON.parse(process.argv[2] ?? "{}"));
  const { shopUrl, facilitatorUrl, rpcUrl, payee, network, chainId, token } = stack;
  const buyer = generatePrivateKey();
  await stack.fund(privateKeyToAddress(buyer), 10n ** 12n);
  const pids = Object.fromEntries(Object.entries(stack.processes).map(([name, child]) => [name, child.pid]));
  console.log(JSON.stringify({
    shopUrl, facilitatorUrl, rpcUrl, payee, network, chainId, price: String(stack.price), pids,
    token: { address: token.address, name: token.name, version: token.version }, buyerKey: buyer,
  }));
  process.stdin.resume();
  await Promise.race([once(process.stdin, "end"), once(process, "SIGTERM"), once(process, "SIGINT")]);
  await stack.close();
  process.exit(0);
}

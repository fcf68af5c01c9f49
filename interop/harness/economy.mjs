// The running economy, as `run.mjs` hands it to a suite: what it tells of itself, its command, and
// what can be measured of it from outside.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createPublicClient, defineChain, http, parseAbi } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { within } from "./claims.mjs";

const { program, home, info: told, photographs } = JSON.parse(process.env.MACHINA_INTEROP ?? "null")
  ?? (() => { throw new Error("start suites by interop/run"); })();

/** What `machina --json info` tells. */
export const info = told;

/** How a command of the program is started in the economy's home. */
export const command = (...words) => [program, "--home", home, ...words];

/** What the vision machine sells. */
export const offer = info.offers.find((o) => o.name === "vision/classify");

/** Its price, in minor units. */
export const PRICE = BigInt(offer.price.minor);

/** The dollar, as far as suites use it. */
export const DOLLAR = parseAbi([
  "function name() view returns (string)",
  "function version() view returns (string)",
  "function decimals() view returns (uint8)",
  "function symbol() view returns (string)",
  "function totalSupply() view returns (uint256)",
  "function minter() view returns (address)",
  "function balanceOf(address) view returns (uint256)",
  "function authorizationState(address, bytes32) view returns (bool)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function mint(address to, uint256 value)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  "error MinterOnly(address caller)",
  "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)",
]);

/** The types of an EIP-3009 order, for EIP-712. */
export const TRANSFER_WITH_AUTHORIZATION = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

/** The dollar's EIP-712 domain. */
export const DOMAIN = {
  name: info.token.name,
  version: info.token.version,
  chainId: info.chainId,
  verifyingContract: info.token.address,
};

/** The chain, as viem names one. */
export const chain = defineChain({
  id: info.chainId,
  name: "Machina",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [info.rpcUrl] } },
  contracts: { multicall3: { address: "0xcA11bde05977b3631167028862bE2a173976CA11" } },
});

/** Reads the chain. */
export const reader = createPublicClient({ chain, transport: http(), pollingInterval: 50 });

/** Runs a command of the program in the economy's home; its JSON, or an error with what it said. */
export async function machina(...args) {
  try {
    const run = await promisify(execFile)(program, ["--json", "--home", home, ...args], {
      timeout: 60_000,
      maxBuffer: 16 << 20,
    });
    return JSON.parse(run.stdout);
  } catch (error) {
    throw new Error(`machina ${args.join(" ")}: ${error.stdout || error.stderr || error.message}`);
  }
}

/**
 * Opens a stall, by `machina sell` and the words that follow it: what it tells of itself, and
 * `close`, which ends the command and gives its exit code. It ends with the suite at the latest.
 */
export async function openStall(...words) {
  const child = spawn(program, ["--json", "--home", home, "sell", ...words], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit").then(([code, signal]) => code ?? signal);
  process.once("exit", () => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (part) => { said = (said + part).slice(-4000); });
  const told = new Promise((resolve) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      text += part;
      try { resolve(JSON.parse(text)); } catch { /* not whole yet */ }
    });
  });
  const broken = ended.then((code) => { throw new Error(`machina sell ended with ${code}: ${said}`); });
  broken.catch(() => {}); // that it ends later is no error
  const stall = await within(20, "the opening of the stall", Promise.race([told, broken]));
  const close = () => {
    child.kill("SIGTERM");
    return within(20, "the closing of the stall", ended);
  };
  return { ...stall, close };
}

/** A sample photograph's bytes. */
export async function photograph(name) {
  return readFile(photographs[name]);
}

/** The secrets of the economy's parties, as their files have them. No client may ever see one. */
export async function secrets() {
  const folder = join(home, "keys");
  const files = (await readdir(folder)).filter((file) => file.endsWith(".key"));
  return Promise.all(files.map(async (file) => (await readFile(join(folder, file), "utf8")).trim()));
}

/** A contract of this project as it was compiled: `{abi, bytecode, …}`. */
export async function artifact(name) {
  return JSON.parse(await readFile(new URL(`../../contracts/artifacts/${name}.json`, import.meta.url)));
}

/** A fresh key with some whole dollars, and no ether. */
export async function fundedAccount(dollars) {
  const account = privateKeyToAccount(generatePrivateKey());
  if (dollars !== undefined) await machina("fund", account.address, dollars);
  return account;
}

/** What an address has, in minor units, by the chain. */
export function balance(address) {
  return reader.readContract({
    address: info.token.address, abi: DOLLAR, functionName: "balanceOf", args: [address],
  });
}

/**
 * Has files told apart at the labour market, a job each, until the market has said a word of who did it: how
 * it stands, by `/market/reputation/ADDRESS`.
 */
export async function checkedWork() {
  const worker = info.parties.find((party) => party.name === "filekind").address;
  const standing = async () => {
    const told = await (await fetch(`${info.url}/market/reputation/${worker}`)).json();
    return told.skills.find((one) => one.skill === "file/kind");
  };
  const folder = await mkdtemp(join(tmpdir(), "machina-suite-"));
  try {
    for (let round = 0; round < 12; round += 1) {
      const before = await standing();
      if (before !== undefined && before.words > 0 && before.words === before.wordsDue) return before;
      if (before === undefined || before.wordsDue === 0) {
        const file = join(folder, `${generatePrivateKey()}.sh`);
        await writeFile(file, `#!/bin/sh\necho ${generatePrivateKey()}\n`);
        await machina("hire", "what kind of file is this?", file, "--budget", "0.04");
      } else {
        await new Promise((wake) => setTimeout(wake, 1_000));
      }
    }
    throw new Error(`the market has said no word: ${JSON.stringify(await standing())}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the vision machine says of itself. */
export async function visionSign() {
  return (await fetch(`${info.url}/m/vision`)).json();
}

/** What a trade with the vision machine can change. */
async function standing(buyer) {
  const [paid, earned, sign] = await Promise.all([balance(buyer), balance(offer.payee), visionSign()]);
  return { paid, earned, sold: sign.sold, booked: BigInt(sign.earned.minor) };
}

/**
 * Does something and demands that it changed just this: `sales` more pieces of work, each paid by
 * `buyer` to the vision machine at its price, on the chain and in its books. Returns what it gave.
 */
export async function changes(sales, buyer, act) {
  const before = await standing(buyer);
  const result = await act();
  const after = await standing(buyer);
  const expected = PRICE * BigInt(sales);
  assert.deepEqual(
    {
      sold: after.sold - before.sold,
      paid: before.paid - after.paid,
      earned: after.earned - before.earned,
      booked: after.booked - before.booked,
    },
    { sold: sales, paid: expected, earned: expected, booked: expected },
    "what was sold, paid, earned and booked",
  );
  return result;
}

/** A mined transaction that succeeded and moved exactly this, as the dollar's event tells. */
export async function settledTransfer(hash, { from, to, value }) {
  const receipt = await reader.getTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  const transfers = await reader.getContractEvents({
    address: info.token.address, abi: DOLLAR, eventName: "Transfer",
    fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber, args: { from, to },
  });
  const moved = transfers.filter((t) => t.transactionHash === hash).map((t) => t.args.value);
  assert.deepEqual(moved, [value]);
  return receipt;
}

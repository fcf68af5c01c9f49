// Foundry's cast against the chain's port. The native program is called, not npm's launcher, which
// exits 0 whatever cast did.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { claim, done } from "../harness/claims.mjs";
import { artifact, balance, info, machina } from "../harness/economy.mjs";

const architecture = process.arch === "x64" ? "amd64" : process.arch;
const platform = `@foundry-rs/cast-${process.platform}-${architecture}`;
const binary = (() => {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${platform}/package.json`);
    return join(dirname(manifest), "bin", process.platform === "win32" ? "cast.exe" : "cast");
  } catch {
    return undefined;
  }
})();

/** Runs cast; its output, or an error with what it said. */
async function cast(command, ...args) {
  try {
    const run = await promisify(execFile)(binary, [command, "--rpc-url", info.rpcUrl, ...args], { timeout: 30_000 });
    return run.stdout.trim();
  } catch (error) {
    throw new Error(`cast ${command}: ${error.stderr || error.stdout || error.message}`);
  }
}

const held = await claim(`there is a cast for this machine (${platform})`, () => {
  assert.ok(binary, "npm has no build of cast for this platform; the other suites cover the same port");
  return true;
});
if (!held) done();

const secret = generatePrivateKey();
const address = privateKeyToAddress(secret);
const stranger = privateKeyToAddress(generatePrivateKey());
const token = info.token.address;
const free = ["--gas-price", "0", "--priority-gas-price", "0"];
await machina("fund", address, "1");

await claim("cast chain-id", async () => {
  assert.equal(await cast("chain-id"), String(info.chainId));
});

await claim("cast balance: a fresh key has no ether", async () => {
  assert.equal(await cast("balance", address), "0");
});

await claim("cast call: the dollar's name, decimals and a balance", async () => {
  assert.equal(await cast("call", token, "name()(string)"), JSON.stringify(info.token.name));
  assert.equal(await cast("call", token, "decimals()(uint8)"), String(info.token.decimals));
  assert.match(await cast("call", token, "balanceOf(address)(uint256)", address), /^1000000\b/);
});

const receipt = await claim("cast send at the price that gas has here: mined without ether, and the money moved", async () => {
  const told = JSON.parse(await cast("send", token, "transfer(address,uint256)", stranger, "250000",
    "--private-key", secret, "--json", ...free));
  assert.equal(told.status, "0x1");
  assert.equal(BigInt(told.effectiveGasPrice), 0n);
  assert.deepEqual([await balance(address), await balance(stranger)], [750_000n, 250_000n]);
  return told;
});

await claim("cast receipt and cast tx tell the same transaction", async () => {
  const again = JSON.parse(await cast("receipt", receipt.transactionHash, "--json"));
  assert.deepEqual([again.blockHash, again.gasUsed, again.status], [receipt.blockHash, receipt.gasUsed, "0x1"]);
  const transaction = JSON.parse(await cast("tx", receipt.transactionHash, "--json"));
  assert.equal(transaction.from.toLowerCase(), address.toLowerCase());
});

await claim("cast block: by number, with that transaction in it", async () => {
  const block = JSON.parse(await cast("block", String(BigInt(receipt.blockNumber)), "--json"));
  assert.equal(block.hash, receipt.blockHash);
  assert.ok(block.transactions.includes(receipt.transactionHash));
  assert.equal(BigInt(await cast("block-number")) >= BigInt(receipt.blockNumber), true);
});

await claim("cast logs: the transfer's event, found by its topics", async () => {
  const number = String(BigInt(receipt.blockNumber));
  const logs = JSON.parse(await cast("logs", "--from-block", number, "--to-block", number, "--address", token,
    "Transfer(address indexed,address indexed,uint256)", address, stranger, "--json"));
  assert.deepEqual(logs.map((log) => [log.transactionHash, BigInt(log.data)]), [[receipt.transactionHash, 250_000n]]);
});

await claim("cast estimate, nonce, gas-price", async () => {
  assert.ok(BigInt(await cast("estimate", token, "transfer(address,uint256)", stranger, "1", "--from", address)) > 21_000n);
  assert.equal(await cast("nonce", address), "1");
  assert.equal(await cast("gas-price"), "0");
});

await claim("cast send --legacy asks for the price first, so it needs no flags", async () => {
  const told = JSON.parse(await cast("send", "--legacy", stranger, "--private-key", secret, "--json"));
  assert.equal(told.status, "0x1");
});

// Whatever a chain suggests, cast (as alloy, on which it stands) tips at least 1 wei unless told.
await claim("cast send without a price wants to tip: told plainly that the key has no ether for it", () =>
  assert.rejects(cast("send", stranger, "--private-key", secret), /insufficient funds|exceeds allowance/));

await claim("cast send --create deploys, and cast code finds it", async () => {
  const { bytecode } = await artifact("Multicall3");
  const told = JSON.parse(await cast("send", "--private-key", secret, "--json", ...free, "--create", bytecode));
  assert.equal(told.status, "0x1");
  assert.ok((await cast("code", told.contractAddress)).length > 1_000);
});

await claim("a call that reverts ends cast with an error and the revert's data", () =>
  assert.rejects(cast("call", token, "mint(address,uint256)", stranger, "1", "--from", address), /execution reverted|custom error/i));

await claim("ether that is not there cannot be sent", () =>
  assert.rejects(cast("send", stranger, "--value", "1ether", "--private-key", secret, ...free), /insufficient|funds/i));

done();

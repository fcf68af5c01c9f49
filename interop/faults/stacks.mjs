// The stacks that are compared, behind one shape: where they sell, what they cost, and how a process of
// theirs is killed and started again. Both settle on the same kind of chain: anvil.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { end, freePort, launch, openReference } from "../reference/launch.mjs";

/** What one request costs, in minor units and in dollars. */
export const PRICE = 1_000n;
const DOLLARS = "0.001";
/** Seconds that the program has to open, the first time too, and that a command has. */
const OPENING = 120;

/** The stacks by their names in the table. `open(chain, work)` starts one. */
export const STACKS = {
  "reference": { open: reference({ nonceManager: false }) },
  "reference, nonce manager": { open: reference({ nonceManager: true }) },
  "reference, nonce manager, `upfront`": { open: reference({ nonceManager: true, flow: "upfront" }) },
  "here": { open: machina },
};

function reference(settings) {
  return async (chain, work) => {
    const stack = await openReference({ ...settings, price: String(PRICE), work: work.url }, chain);
    return {
      ...stack,
      shop: () => `${stack.shopUrl}/work/`,
      parts: ["shop", "facilitator"],
      strike: async (part) => {
        await stack.kill(part);
        await stack.restart(part);
      },
    };
  };
}

/** `machina up` and `machina sell`, as an owner starts them, with the work behind the stall. */
async function machina(chain, work, program) {
  const home = mkdtempSync(join(tmpdir(), "machina-faults-"));
  const port = await freePort();
  const words = (...more) => [program, "--json", "--home", home, "--port", String(port), "--rpc", chain.rpcUrl, "--token", chain.token.address, ...more];
  const info = JSON.parse(await finished(launch("machina info", words("info"))));
  const address = (name) => info.parties.find((party) => party.name === name).address;
  for (const { address: sender } of info.parties) await chain.fund(sender, 0n, { ether: true });
  let running = [];
  const start = async () => {
    const up = launch("machina up", words("up"));
    await told(up);
    const stall = launch("machina sell", words("sell", "--to", work.url, "--price", DOLLARS, "--name", "work"));
    running = [up, stall];
    return (await told(stall)).url;
  };
  const url = await start();
  return {
    payee: address("seller"),
    shop: () => `${url.replace("localhost", "127.0.0.1")}/`,
    parts: ["program"],
    strike: async () => {
      for (const child of running.toReversed()) {
        child.kill("SIGKILL");
        await ended(child);
      }
      await start();
    },
    close: async () => {
      for (const child of running.toReversed()) await end(child);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The first JSON document that a command tells, which runs on. */
async function told(child) {
  const deadline = Date.now() + OPENING * 1000;
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    try { return JSON.parse(child.heard()); } catch { /* not whole yet */ }
    await new Promise((wake) => setTimeout(wake, 20));
  }
  throw new Error(`${child.label} did not open: ${child.said()}`);
}

/** What a command tells that ends by itself. */
async function finished(child) {
  await ended(child);
  if (child.exitCode !== 0) throw new Error(`${child.label} failed: ${child.said()}`);
  return child.heard();
}

function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("close", resolve));
}

// Starts an economy in a home of its own, lets each suite trade with it in a process of its own,
// prints a table of claims, and stops the economy. Bounded: every wait has an end, and whatever was
// started is ended by its process number.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Seconds that the economy has to open: a first start may have to fetch the model. */
const OPENING = 300;
/** Seconds that it then has to answer. */
const HEALTHY = 30;
/** Seconds that the economy has to close. */
const CLOSING = 30;
/** Seconds that a suite has. */
const SUITE = 300;
/** Bytes kept of what a process says besides its claims. */
const TAIL = 6000;

/** How a suite is started, by the end of its file's name. */
const STARTS = {
  ".mjs": (file) => [process.execPath, "--import", join(ROOT, "harness/loopback.mjs"), file],
  ".py": (file) => [join(ROOT, ".venv/bin/python"), file],
  ".rs": (file) => [join(ROOT, "rust/target/debug", basename(file, ".rs"))],
};

/** Children that run now; an interruption ends them, and no other suite begins. */
const children = new Set();
let interrupted = false;

async function main([program, ...wanted]) {
  const suites = readdirSync(join(ROOT, "suites")).filter((f) => extname(f) in STARTS).sort();
  const names = suites.map((file) => basename(file, extname(file)));
  const unknown = wanted.filter((name) => !names.includes(name));
  if (program === undefined || unknown.length > 0) {
    console.error("usage: interop/run PROGRAM [SUITE…]");
    console.error(`suites: ${names.join(", ")}`);
    return 2;
  }
  const tally = { passed: 0, failed: 0 };
  await testTheTester(tally);
  const home = mkdtempSync(join(tmpdir(), "machina-interop-"));
  try {
    const chosen = suites.filter((_, i) => wanted.length === 0 || wanted.includes(names[i]));
    await trade(resolve(program), home, chosen, tally);
  } catch (error) {
    report(tally, { claim: "the economy runs", ok: false, why: error.message });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  console.log(`\n${tally.passed} passed, ${tally.failed} failed`);
  return tally.failed === 0 && tally.passed > 0 ? 0 : 1;
}

/** A runner that lets a false claim pass, or does not notice that a suite broke off, is no proof. */
async function testTheTester(tally) {
  console.log("runner");
  const canary = { passed: 0, failed: 0, silent: true };
  await runSuite(join(ROOT, "harness/canary.mjs"), null, canary);
  const told = `${canary.passed} passed, ${canary.failed} failed`;
  report(tally, { claim: "a false claim fails, and so does a suite that breaks off", ok: told === "1 passed, 2 failed", why: told });
}

async function trade(program, home, suites, tally) {
  console.log("\neconomy");
  const economy = await open(program, home);
  try {
    report(tally, { claim: "`up --json` tells where it is, and it is healthy there", ok: true });
    const given = { program, home, info: economy.info, photographs: photographs(program, home) };
    for (const suite of suites) {
      if (interrupted) throw new Error("interrupted");
      console.log(`\n${basename(suite, extname(suite))}`);
      await runSuite(join(ROOT, "suites", suite), given, tally);
    }
  } finally {
    console.log("\neconomy");
    const ended = await economy.close();
    report(tally, { claim: "asked to stop, it ends with exit code 0", ok: ended === 0, why: `${ended}\n${economy.said()}` });
  }
}

/** Starts the economy on ports that the system chooses, and waits until it is healthy. */
async function open(program, home) {
  const up = start([program, "--json", "--home", home, "--port", "0", "--rpc-port", "0", "up"], {});
  const said = tail(up.stderr);
  const info = await bounded(OPENING, "the start of the economy", firstJson(up))
    .catch((error) => { kill(up); throw new Error(`${error.message}\n${said()}`); });
  await healthy(info.url, up)
    .catch((error) => { kill(up); throw new Error(`${error.message}\n${said()}`); });
  const close = async () => {
    const gone = exit(up);
    up.kill("SIGTERM");
    return bounded(CLOSING, "the end of the economy", gone).catch((error) => { kill(up); return error.message; });
  };
  return { info, said, close };
}

async function healthy(url, up) {
  const deadline = Date.now() + HEALTHY * 1000;
  while (up.exitCode === null && Date.now() < deadline) {
    const health = await fetch(`${url}/healthz`).catch(() => undefined);
    if (health?.ok) return;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error(`it says where it is, but ${url}/healthz is not well within ${HEALTHY} s`);
}

/** The first JSON document of a program's standard output; the rest is let through unread. */
function firstJson(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      if (text === undefined) return;
      text += part;
      try { resolve(JSON.parse(text)); text = undefined; } catch { /* not whole yet */ }
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`it ended with ${signal ?? code}`)));
  });
}

function photographs(program, home) {
  const models = spawnSync(program, ["--json", "--home", home, "models"], { encoding: "utf8", timeout: 60_000 });
  const known = JSON.parse(models.stdout);
  const samples = known.find((model) => model.name === "sample-photographs");
  // Also those of the machines that speak, which an economy does not need to start.
  if (!known.every((model) => model.cached)) {
    const fetched = spawnSync(program, ["--json", "--home", home, "models", "--fetch"], { encoding: "utf8", timeout: 300_000 });
    if (fetched.status !== 0) throw new Error(`the models and photographs are not there\n${fetched.stderr}`);
  }
  return Object.fromEntries(samples.files.map((file) => [basename(file.path), file.path]));
}

/** Runs one suite; that it does not come to its end is a failed claim too. */
async function runSuite(file, given, tally) {
  const child = start(STARTS[extname(file)](file), { MACHINA_INTEROP: JSON.stringify(given) });
  const said = tail(child.stderr);
  let ended = false;
  let stray = "";
  const read = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      let told;
      try { told = JSON.parse(line); } catch { stray += `${line}\n`; continue; }
      if (told.done) ended = true;
      else report(tally, told);
    }
  })();
  const code = await bounded(SUITE, "the suite", Promise.all([exit(child), read]).then(([code]) => code))
    .catch((error) => { kill(child); return error.message; });
  if (code !== 0 || !ended) {
    report(tally, { claim: "the suite comes to its end", ok: false, why: `${code}\n${stray.slice(-TAIL)}${said()}` });
  }
}

function report(tally, { claim, ok, why }) {
  if (ok) tally.passed += 1;
  else tally.failed += 1;
  if (tally.silent) return;
  console.log(`  ${ok ? "ok    " : "FAILED"}  ${claim}`);
  if (!ok) console.log(String(why).trim().replace(/^/gm, "            "));
}

/** Settings of whoever runs us that would send a suite elsewhere: another home, a proxy, a chain. */
const ELSEWHERE = /^MACHINA_(?!INTEROP$|CACHE$|PYTHON$)|^(ETH|FOUNDRY)_/i;

function start([command, ...args], extra) {
  const env = { ...process.env, NO_PROXY: "*", no_proxy: "*", ...extra };
  for (const name of Object.keys(env)) if (ELSEWHERE.test(name)) delete env[name];
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  child.once("close", () => children.delete(child));
  return child;
}

async function exit(child) {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
  const [code, signal] = await once(child, "exit");
  return code ?? signal;
}

function kill(child) {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
}

/** Keeps the end of what a stream says. */
function tail(stream) {
  let text = "";
  stream.setEncoding("utf8").on("data", (part) => { text = (text + part).slice(-TAIL); });
  return () => text;
}

async function bounded(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    interrupted = true;
    for (const child of children) child.kill("SIGTERM");
  });
}

process.exitCode = await main(process.argv.slice(2));

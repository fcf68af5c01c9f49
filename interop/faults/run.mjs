// Puts the reference stack and this one through the same histories of faults, and prints a table.
//
//   node interop/faults/run.mjs PROGRAM [--seed N] [--json] [--history WORDS] [--stack WORDS]
//
// for example with target/release/machina. The plan of each history is drawn from the seed (402, if none
// is given) and the same for every stack. It takes some minutes, so it is not part of `interop/run`.
// It exits with 1 only if something could not be measured: that a stack fails its buyers is a figure here.

import { resolve } from "node:path";
import { openChain } from "../reference/launch.mjs";
import { HISTORIES, lastAttempts } from "./histories.mjs";
import { meddle } from "./meddler.mjs";
import { STACKS } from "./stacks.mjs";
import { openWork } from "./work.mjs";
import { World } from "./world.mjs";

const COLUMNS = [
  ["signed", "payments"], ["paid", "paid"], ["work begun", "worked"], ["paid, worked and answered once", "right"],
  ["work begun again", "excess"], ["worked, never paid", "unpaid"], ["paid, no answer", "lost"],
];

const { program, seed, json, history, stack } = read(process.argv.slice(2));
const rows = [];
for (const [name, plan] of Object.entries(HISTORIES).filter(([name]) => name.includes(history))) {
  for (const [whose, kind] of Object.entries(STACKS).filter(([whose]) => whose.includes(stack))) {
    rows.push({ history: name, stack: whose, ...await live(plan, kind) });
    console.error(JSON.stringify(rows.at(-1)));
  }
}
console.log(json ? JSON.stringify({ seed, rows }, null, 2) : table());
process.exit(0);

/** One history of one stack, from an empty chain to the reckoning. */
async function live({ run, blockTime }, kind) {
  const started = Date.now();
  const chain = await openChain();
  const work = await openWork();
  const running = await kind.open(chain, work, program);
  const between = await meddle(() => running.shop());
  try {
    const world = new World({ stack: running, chain, work, through: between.url });
    await world.open();
    if (blockTime) await chain.every(blockTime);
    await run(world, seed);
    if (blockTime) await chain.every(0);
    await Promise.all(world.unanswered().map((payment) => lastAttempts(world, payment)));
    return { ...await world.reckon(), seconds: Math.round((Date.now() - started) / 1000) };
  } finally {
    between.close();
    await running.close();
    work.close();
    await chain.close();
  }
}

function table() {
  const lines = [`| history | stack | ${COLUMNS.map(([head]) => head).join(" | ")} |`, `|---|---|${COLUMNS.map(() => "---:|").join("")}`];
  for (const row of rows) lines.push(`| ${row.history} | ${row.stack} | ${COLUMNS.map(([, key]) => row[key]).join(" | ")} |`);
  return lines.join("\n");
}

function read(words) {
  const given = { seed: 402, json: false, history: "", stack: "" };
  const rest = [...words];
  while (rest.length > 0) {
    const word = rest.shift();
    if (word === "--json") given.json = true;
    else if (word === "--seed") given.seed = Number(rest.shift());
    else if (word === "--history") given.history = rest.shift();
    else if (word === "--stack") given.stack = rest.shift();
    else given.program = resolve(word);
  }
  if (given.program === undefined || !Number.isSafeInteger(given.seed)) {
    console.error("usage: node interop/faults/run.mjs PROGRAM [--seed N] [--json] [--history WORDS] [--stack WORDS]");
    process.exit(2);
  }
  return given;
}

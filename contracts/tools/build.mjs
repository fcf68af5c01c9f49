#!/usr/bin/env node
// Compiles src/*.sol and writes artifacts/*.json, one file a contract.
//
//   node tools/build.mjs            writes the artifacts
//   node tools/build.mjs --check    writes nothing; exit 1 if a fresh build gives other bytes
//
// An artifact holds what Rust needs, so that `cargo build` needs no Node: the ABI, the code that
// deploys (`bytecode`), the code that then runs (`deployedBytecode`, immutables still zero), where
// each immutable's words stand in it (`immutables`: name to byte offsets, 32 bytes each), and which
// slot each variable lives in (`storage`: name to slot). Offline after `npm ci`.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { ROOT, forge } from "./forge.mjs";

const ARTIFACTS = join(ROOT, "artifacts");

class BuildFailure extends Error {}

/** The contracts that get an artifact: one a file of src/, by the file's name. */
function contractNames() {
  return readdirSync(join(ROOT, "src"))
    .filter((file) => file.endsWith(".sol"))
    .map((file) => basename(file, ".sol"))
    .sort();
}

/** Compiles `names` from nothing into `out`, with the settings of foundry.toml. */
function compile(names, out) {
  const run = forge(
    [
      "build",
      "--ast",
      "--extra-output", "storageLayout",
      "--out", join(out, "out"),
      "--cache-path", join(out, "cache"),
      ...names.map((name) => join("src", `${name}.sol`)),
    ],
    "pipe",
  );
  if (run.status !== 0) {
    throw new BuildFailure(`forge could not compile the contracts:\n${run.stdout}${run.stderr}${run.error ?? ""}`);
  }
}

/** Every variable declared anywhere in a syntax tree, by node id. */
function variablesOf(node, found = new Map()) {
  if (Array.isArray(node)) {
    for (const part of node) variablesOf(part, found);
  } else if (node !== null && typeof node === "object") {
    if (node.nodeType === "VariableDeclaration") found.set(String(node.id), node.name);
    for (const part of Object.values(node)) variablesOf(part, found);
  }
  return found;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Node id to variable name, over all files that forge compiled; ids are unique in one build. */
function allVariables(out) {
  const names = new Map();
  for (const folder of readdirSync(join(out, "out"), { withFileTypes: true })) {
    if (!folder.isDirectory() || !folder.name.endsWith(".sol")) continue;
    for (const file of readdirSync(join(out, "out", folder.name))) {
      variablesOf(readJson(join(out, "out", folder.name, file)).ast, names);
    }
  }
  return names;
}

/** Name to value, in the order of names; two variables of one name would hide each other. */
function named(contract, what, pairs) {
  const sorted = [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i][0] === sorted[i - 1][0]) {
      throw new BuildFailure(`${contract} has two ${what} named ${sorted[i][0]}: rename one`);
    }
  }
  return Object.fromEntries(sorted);
}

/** forge's output for one contract, reduced to an artifact's fields. */
function artifact(name, out, variables) {
  const built = readJson(join(out, "out", `${name}.sol`, `${name}.json`));
  const unlinked = Object.keys(built.bytecode.linkReferences ?? {});
  if (unlinked.length > 0) throw new BuildFailure(`${name} needs linked libraries: ${unlinked.join(", ")}`);

  const immutables = Object.entries(built.deployedBytecode.immutableReferences ?? {}).map(([id, places]) => {
    const variable = variables.get(id);
    if (variable === undefined) throw new BuildFailure(`${name}: no variable has the id ${id} of an immutable`);
    if (places.some((place) => place.length !== 32)) throw new BuildFailure(`${name}: ${variable} is not 32 bytes`);
    return [variable, places.map((place) => place.start).sort((a, b) => a - b)];
  });
  const storage = built.storageLayout.storage.map(({ label, slot, offset }) => {
    if (offset !== 0) throw new BuildFailure(`${name}: ${label} shares its slot, which an artifact cannot say`);
    return [label, Number(slot)];
  });
  const settings = built.metadata.settings;
  return {
    contractName: name,
    compiler: {
      solc: built.metadata.compiler.version,
      evmVersion: settings.evmVersion,
      optimizerRuns: settings.optimizer.enabled ? settings.optimizer.runs : null,
    },
    abi: built.abi,
    bytecode: built.bytecode.object,
    deployedBytecode: built.deployedBytecode.object,
    immutables: named(name, "immutables", immutables),
    storage: named(name, "variables", storage),
  };
}

/** One line a field, and one line an ABI entry: a change reads well in a diff. */
function print(value) {
  const fields = Object.entries(value).map(([key, field]) => {
    const text = Array.isArray(field)
      ? `[\n${field.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n")}\n  ]`
      : JSON.stringify(field);
    return `  ${JSON.stringify(key)}: ${text}`;
  });
  return `{\n${fields.join(",\n")}\n}\n`;
}

/**
 * The contracts in groups of one compiler profile: those that foundry.toml restricts, and all others.
 * Node ids are unique within a run of the compiler, and forge runs it once a profile.
 */
function profiles(names) {
  const settings = readFileSync(join(ROOT, "foundry.toml"), "utf8");
  const restricted = names.filter((name) => settings.includes(`paths = "src/${name}.sol"`));
  return [names.filter((name) => !restricted.includes(name)), restricted].filter((group) => group.length > 0);
}

/** Artifact file name to contents, freshly built. */
function build() {
  const fresh = profiles(contractNames()).flatMap((names) => {
    const out = mkdtempSync(join(tmpdir(), "machina-contracts-"));
    try {
      compile(names, out);
      const variables = allVariables(out);
      return names.map((name) => [`${name}.json`, print(artifact(name, out, variables))]);
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });
  return new Map(fresh);
}

/** The fields in which two artifacts differ; unreadable text differs as a whole. */
function differingFields(one, other) {
  try {
    const [a, b] = [JSON.parse(one), JSON.parse(other)];
    const fields = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const differing = fields.filter((field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]));
    return differing.length > 0 ? differing.join(", ") : "layout of the text";
  } catch {
    return "it is not JSON";
  }
}

function check(fresh) {
  const kept = readdirSync(ARTIFACTS).filter((file) => file.endsWith(".json"));
  const faults = kept
    .filter((file) => !fresh.has(file))
    .map((file) => `artifacts/${file} has no contract of that name in src/`);
  for (const [file, text] of fresh) {
    if (!kept.includes(file)) {
      faults.push(`artifacts/${file} is missing`);
      continue;
    }
    const stored = readFileSync(join(ARTIFACTS, file), "utf8");
    if (stored !== text) faults.push(`artifacts/${file} differs from a fresh build in: ${differingFields(stored, text)}`);
  }
  return faults;
}

try {
  const fresh = build();
  if (process.argv.includes("--check")) {
    const faults = check(fresh);
    for (const fault of faults) console.error(fault);
    if (faults.length > 0) {
      console.error("hint: run `npm run build` in contracts/, look at the change, and commit it");
      process.exitCode = 1;
    } else {
      console.error(`${fresh.size} artifacts equal a fresh build, byte for byte`);
    }
  } else {
    for (const [file, text] of fresh) writeFileSync(join(ARTIFACTS, file), text);
    console.error(`wrote ${[...fresh.keys()].map((file) => `artifacts/${file}`).join(", ")}`);
  }
} catch (fault) {
  if (!(fault instanceof BuildFailure)) throw fault;
  console.error(fault.message);
  process.exitCode = 1;
}

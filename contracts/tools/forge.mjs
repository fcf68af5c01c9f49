#!/usr/bin/env node
// Runs the native forge that npm installed, with the arguments given, and ends as it ended.
//
//   node tools/forge.mjs test --offline
//
// package.json names forge's builds themselves, one a platform, of which npm installs the fitting
// one. It does without `@foundry-rs/forge`, whose launcher (1.7.1) exits 0 whatever forge did, so
// that failing tests would pass for good ones.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that holds foundry.toml. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Where npm put the forge built for this machine. */
function forgeBinary() {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const name = `@foundry-rs/forge-${process.platform}-${architecture}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return join(dirname(manifest), "bin", process.platform === "win32" ? "forge.exe" : "forge");
  } catch {
    console.error(`there is no ${name} in node_modules: run \`npm ci\` in contracts/`);
    console.error("hint: on a platform that package.json does not list, the contracts cannot be compiled;"
      + " cargo needs only the artifacts, which are checked in");
    process.exit(2);
  }
}

/** Runs forge in contracts/ and waits; `stdio` as node's spawnSync takes it. */
export function forge(args, stdio) {
  return spawnSync(forgeBinary(), args, { cwd: ROOT, encoding: "utf8", stdio });
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const run = forge(process.argv.slice(2), "inherit");
  if (run.error) console.error(`forge did not start: ${run.error.message}`);
  process.exitCode = run.status ?? 1;
}

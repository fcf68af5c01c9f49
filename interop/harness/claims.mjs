// How a suite tells what it found: one line of JSON on standard output for each claim, and a last
// one that says that the suite came to its end. `run.mjs` reads them.

/** Tries a claim: it holds if `check` does not throw. Returns what `check` returned, if it held. */
export async function claim(text, check) {
  try {
    const result = await check();
    tell({ claim: text, ok: true });
    return result;
  } catch (error) {
    tell({ claim: text, ok: false, why: reason(error) });
    return undefined;
  }
}

/** Says that the suite came to its end, and ends it: open connections do not keep it. */
export function done() {
  tell({ done: true });
  process.exit(0);
}

function tell(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function reason(error) {
  if (!(error instanceof Error)) return String(error);
  const where = (error.stack ?? "").split("\n").find((line) => line.includes("/suites/"));
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.message}${cause}\n${(where ?? "").trim()}`.trim();
}

/** What `promise` gives, or an error that names `what` once `seconds` have passed. */
export async function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

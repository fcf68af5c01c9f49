// What happens to the stacks: each history is a plan that is drawn from the seed before it runs, and is
// the same for every stack. Between two of its steps the scheduler decides, so figures of one seed may
// differ by a few; what must hold must hold each time.
//
// A buyer here is as loyal as a buyer can be: it signs once, and sends the same signed payment again
// until it has an answer. A buyer that signs anew instead would pay more.

import { drawing } from "./random.mjs";

/** Attempts that a buyer makes while the faults last, and after they have ended. */
const ATTEMPTS = 8;
const LAST_ATTEMPTS = 5;
/** Milliseconds between two attempts, and that a buyer waits for an answer. */
const PAUSE = 250;
const PATIENCE = 20_000;

/** The histories by name, each with what it asks of the chain and what it does. */
export const HISTORIES = {
  "one payment five times at once": { run: copies },
  "requests and answers lost, doubled, late, cut": { run: wire },
  "processes killed at random steps": { run: kills },
  "100 payments at once": { run: crowd },
  "a chain with a block every 3 s, buyers who hang up": { blockTime: 3, run: slow },
  "used payments on other requests": { run: hostile },
};

/** Each of 20 payments arrives five times at once. */
async function copies(world) {
  for (let i = 0; i < 20; i += 1) {
    const payment = await world.sign();
    await Promise.all(Array.from({ length: 5 }, () => world.send(payment)));
  }
}

/** 48 payments, eight at once, over a wire that does to each attempt what the seed says. */
async function wire(world, seed) {
  const draw = drawing(seed);
  const deed = () => draw.among([
    [35, "pass"], [15, "drop"], [15, "mute"], [15, "double"],
    [10, `late:${draw.between(20, 400)}`], [10, `cut:${draw.between(5, 150)}`],
  ]);
  const plans = Array.from({ length: 48 }, () => Array.from({ length: ATTEMPTS }, deed));
  await inLanes(8, plans, (plan) => loyal(world, { meddle: (nth) => plan[nth] }));
}

/** 48 payments, four at once; ten times a process is killed, after as many answers as the seed says. */
async function kills(world, seed) {
  const draw = drawing(seed);
  const strikes = Array.from({ length: 10 }, () => ({
    part: world.stack.parts[draw.between(0, world.stack.parts.length - 1)],
    afterSends: draw.between(2, 6), afterMs: draw.between(0, 120),
  }));
  let over = false;
  const buying = inLanes(4, Array.from({ length: 48 }), () => loyal(world, { attempts: 60 })).finally(() => { over = true; });
  for (const { part, afterSends, afterMs } of strikes) {
    await Promise.race([world.sends(afterSends), buying]);
    if (over) break;
    await pause(afterMs);
    await world.stack.strike(part);
    world.count("killed");
  }
  await buying;
}

/** 100 payments at once, each of its own buyer's attempt. */
async function crowd(world) {
  const payments = [];
  for (let i = 0; i < 100; i += 1) payments.push(await world.sign());
  await Promise.all(payments.map((payment) => world.send(payment)));
}

/** 20 payments at once on a slow chain; a buyer hangs up after the seed's time and asks again. */
async function slow(world, seed) {
  const draw = drawing(seed);
  const plans = Array.from({ length: 20 }, () => Array.from({ length: ATTEMPTS }, () => draw.between(500, 4_000)));
  await Promise.all(plans.map((plan) => loyal(world, { patience: (nth) => plan[nth] })));
}

/** Each of 20 payments is sent with its own request; with ten others' while it is worked for, and once it is answered. */
async function hostile(world, seed) {
  const draw = drawing(seed);
  for (let i = 0; i < 20; i += 1) {
    const payment = await world.sign();
    const others = draw.shuffled([
      ...Array.from({ length: 4 }, (_, n) => ({ body: `another ${n}` })),
      ...Array.from({ length: 3 }, (_, n) => ({ route: `other${n}/` })),
      ...Array.from({ length: 3 }, (_, n) => ({ query: `?n=${n}` })),
    ]);
    const own = world.send(payment);
    await Promise.race([own, world.worked(payment)]);
    await Promise.all([own, ...others.slice(0, 5).map((other) => world.send(payment, other))]);
    for (const other of others.slice(5)) await world.send(payment, other);
  }
}

/** A buyer that signs once and sends that payment until it has an answer. */
async function loyal(world, { attempts = ATTEMPTS, meddle = () => "pass", patience = () => PATIENCE }) {
  const payment = await world.sign();
  for (let nth = 0; nth < attempts; nth += 1) {
    if (await world.send(payment, { meddle: meddle(nth), patience: patience(nth) })) return;
    await pause(PAUSE);
  }
}

/** What a buyer does who had no answer, once all faults have ended. */
export async function lastAttempts(world, payment) {
  for (let nth = 0; nth < LAST_ATTEMPTS; nth += 1) {
    if (await world.send(payment)) return;
    await pause(2 * PAUSE);
  }
}

async function inLanes(lanes, plans, act) {
  const rest = [...plans];
  await Promise.all(Array.from({ length: lanes }, async () => {
    while (rest.length > 0) await act(rest.shift());
  }));
}

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

// Numbers drawn from a seed: the same seed gives the same plan on every machine.

/** A source of numbers: mulberry32, as published by Tommy Ettinger (public domain). */
export function drawing(seed) {
  let state = seed >>> 0;
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    /** A whole number from `from` up to and including `to`. */
    between: (from, to) => from + Math.floor(unit() * (to - from + 1)),
    /** One of `[weight, value]`, each as often as its weight says. */
    among: (choices) => {
      let left = unit() * choices.reduce((sum, [weight]) => sum + weight, 0);
      return (choices.find(([weight]) => (left -= weight) < 0) ?? choices.at(-1))[1];
    },
    /** The same values in another order. */
    shuffled: (values) => {
      const rest = [...values];
      for (let last = rest.length - 1; last > 0; last -= 1) {
        const other = Math.floor(unit() * (last + 1));
        [rest[last], rest[other]] = [rest[other], rest[last]];
      }
      return rest;
    },
  };
}

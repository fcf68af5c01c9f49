// Tests the tester: one true claim, one false, and no end. `run.mjs` must count one and two.

import assert from "node:assert/strict";
import { claim } from "./claims.mjs";

await claim("one is one", () => assert.equal(1, 1));
await claim("one is two", () => assert.equal(1, 2));
process.exit(7);

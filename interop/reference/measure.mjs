// How many payments a second the reference stack does, and how long one takes, as `bench/run` measures
// ours: some alone, then `IN_FLIGHT` at once, each the full round trip by the SDK's own buyer. The
// facilitator counts its nonces: without, it loses settlements that run at once.
//
// `node interop/reference/measure.mjs [PAYMENTS] [IN_FLIGHT]` prints one JSON object a line: `name`,
// `value`, `unit`.

import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { openReference } from "./launch.mjs";

/** How many are made alone, after half as many that warm up. */
const ALONE = 20;

const tell = (name, value, unit) => console.log(JSON.stringify({ name, value, unit }));
const median = (times) => times.sort((a, b) => a - b)[Math.floor((times.length - 1) / 2)];

const payments = Number(process.argv[2] ?? 300);
const inFlight = Number(process.argv[3] ?? 50);
const stack = await openReference({ nonceManager: true });
try {
  const { network, price, token, shopUrl } = stack;
  const asset = { network, asset: token.address, maxAmountPerPayment: String(price) };
  const buyers = [];
  for (let n = 0; n < inFlight; n += 1) {
    const account = privateKeyToAccount(generatePrivateKey());
    await stack.fund(account.address, price * BigInt(payments + 2 * ALONE));
    const client = new x402Client().register("eip155:*", new ExactEvmScheme(account));
    client.setSpendControls({ allowedAssets: [asset] });
    buyers.push(wrapFetchWithPayment(fetch, client));
  }
  let done = 0;
  const buy = async (pay) => {
    const begun = performance.now();
    const reply = await pay(`${shopUrl}/work`, { method: "POST", body: `job ${done}`, headers: { "content-type": "text/plain" } });
    const said = await reply.text();
    if (reply.status !== 200) throw new Error(`${reply.status}: ${said}`);
    done += 1;
    return performance.now() - begun;
  };
  const alone = [];
  for (let n = 0; n < ALONE + ALONE / 2; n += 1) alone.push(await buy(buyers[n % inFlight]));
  tell("reference_payment_alone_p50", median(alone.slice(ALONE / 2)), "ms");

  let next = 0;
  const begun = performance.now();
  const took = await Promise.all(buyers.map(async (pay) => {
    const mine = [];
    while (next < payments) {
      next += 1;
      mine.push(await buy(pay));
    }
    return mine;
  }));
  const seconds = (performance.now() - begun) / 1e3;
  tell("reference_payments_per_s", payments / seconds, "1/s");
  tell("reference_payment_p50", median(took.flat()), "ms");

  // A benchmark that cheats is worth nothing: what was served was paid for.
  const paid = await stack.chain.client.readContract({ ...token, functionName: "balanceOf", args: [stack.payee] });
  if (paid !== price * BigInt(done)) throw new Error(`${done} were served, and ${paid} was paid for them`);
} finally {
  await stack.close();
}

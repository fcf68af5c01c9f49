// The reference stack itself, as the benchmark and `faults/` use it: it opens, sells, survives that its
// parts are killed, and does under repetition what docs/faults.md says of it. It needs anvil.

import assert from "node:assert/strict";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { openWork } from "../faults/work.mjs";
import { claim, done } from "../harness/claims.mjs";
import { encode, quoteOf } from "../harness/x402.mjs";
import { openReference } from "../reference/launch.mjs";

const work = await openWork();
const stack = await claim("the reference stack opens: anvil, facilitator, shop", () => openReference({ nonceManager: true, work: work.url }));
if (stack === undefined) done();

const account = privateKeyToAccount(generatePrivateKey());
await stack.fund(account.address, 10n ** 9n);
const wallet = new x402Client().register("eip155:*", new ExactEvmScheme(account));
wallet.setSpendControls(false);
const pay = wrapFetchWithPayment(fetch, wallet);
const at = (name) => `${stack.shopUrl}/work/${name}`;
const init = { method: "POST", body: "work" };

const earned = () => stack.chain.client.readContract({
  address: stack.token.address, abi: stack.token.abi, functionName: "balanceOf", args: [stack.payee],
});

/** Does something, and demands that the shop was paid so often. */
async function sells(times, act) {
  const before = await earned();
  await act();
  assert.equal(await earned() - before, BigInt(times) * stack.price);
}

await claim("it sells: one piece of work, paid once", () =>
  sells(1, async () => {
    assert.equal((await pay(at("first"), init)).status, 200);
    assert.equal(work.begun.get("first"), 1);
  }));

for (const part of ["facilitator", "shop"]) {
  await claim(`its ${part} is killed and started again: it sells as before`, () =>
    sells(1, async () => {
      await stack.kill(part);
      await stack.restart(part);
      assert.equal((await pay(at(part), init)).status, 200);
    }));
}

await claim("its default flow works for each copy of one payment, and is paid for one", () =>
  sells(1, async () => {
    const payment = encode(await wallet.createPaymentPayload(await quoteOf(at("copies"), init)));
    const send = () => fetch(at("copies"), { ...init, headers: { "PAYMENT-SIGNATURE": payment } });
    const replies = await Promise.all([send(), send(), send(), send(), send()]);
    assert.equal(replies.filter((reply) => reply.status === 200).length, 1);
    assert.ok(work.begun.get("copies") > 1, `work was begun ${work.begun.get("copies")} times: docs/faults.md says more than once`);
  }));

await stack.close();
done();

// Our facilitator beside the SDK's own, on the same chain: the same verdict and the same code on
// every damaged payment, and money that moves once whoever is asked.

import assert from "node:assert/strict";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { createWalletClient, http, publicActions } from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { claim, done } from "../harness/claims.mjs";
import {
  balance, chain, DOMAIN, fundedAccount, info, reader, settledTransfer, TRANSFER_WITH_AUTHORIZATION,
} from "../harness/economy.mjs";
import { buyer } from "../harness/x402.mjs";

const AMOUNT = 1_000n;
const payee = privateKeyToAddress(generatePrivateKey());
const account = await fundedAccount("1");
const poor = await fundedAccount();
const ours = new HTTPFacilitatorClient({ url: info.facilitatorUrl });
// A key without ether: gas costs nothing here.
const wallet = createWalletClient({
  account: privateKeyToAccount(generatePrivateKey()), chain, transport: http(), pollingInterval: 20,
}).extend(publicActions);
const reference = new ExactEvmScheme(toFacilitatorEvmSigner({ ...wallet, address: wallet.account.address }));

const requirements = {
  scheme: "exact",
  network: info.network,
  amount: AMOUNT.toString(),
  asset: info.token.address,
  payTo: payee,
  maxTimeoutSeconds: 60,
  extra: { name: info.token.name, version: info.token.version },
};

/** A payment that the SDK signs for these requirements. */
async function payment(asked = requirements, payer = account) {
  const quote = { x402Version: 2, resource: { url: "http://localhost/x" }, accepts: [asked] };
  return structuredClone(await buyer(payer, false).sign(quote));
}

/** Does something and demands that this many payments went from the account to the payee. */
async function moves(times, act) {
  const before = [await balance(account.address), await balance(payee)];
  const result = await act();
  const after = [await balance(account.address), await balance(payee)];
  const sum = AMOUNT * BigInt(times);
  assert.deepEqual([before[0] - after[0], after[1] - before[1]], [sum, sum], "paid and earned");
  return result;
}

await claim("/supported names the scheme, the chain and who sends", async () => {
  const { kinds, signers } = await ours.getSupported();
  assert.ok(kinds.some((k) => k.x402Version === 2 && k.scheme === "exact" && k.network === info.network));
  const facilitator = info.parties.find((party) => party.name === "facilitator");
  assert.deepEqual(signers["eip155:*"].map((a) => a.toLowerCase()), [facilitator.address.toLowerCase()]);
});

await claim("/health says that it is well", async () => {
  const reply = await fetch(`${info.facilitatorUrl}/health`);
  assert.equal(reply.status, 200);
});

await claim("a good payment: both call it valid, and name the payer", async () => {
  const good = await payment();
  for (const verdict of [await ours.verify(good, requirements), await reference.verify(good, requirements)]) {
    assert.equal(verdict.isValid, true, verdict.invalidReason);
    assert.equal(verdict.payer.toLowerCase(), account.address.toLowerCase());
  }
});

const other = privateKeyToAddress(generatePrivateKey());
const flip = (hex) => hex.slice(0, 40) + (hex[40] === "a" ? "b" : "a") + hex.slice(41);
const asking = (change) => ({ ...requirements, ...change });
const now = () => Math.floor(Date.now() / 1000);

// Each gives a payment and what the seller asks for; the SDK's facilitator is the judge of the code.
const wrong = {
  "another scheme": async () => {
    const p = await payment();
    p.accepted.scheme = "upto";
    return [p, requirements];
  },
  "no name and version of the token": async () => [await payment(), asking({ extra: {} })],
  "another network than accepted": async () => [await payment(), asking({ network: "eip155:8453" })],
  "a tampered signature": async () => {
    const p = await payment();
    p.payload.signature = flip(p.payload.signature);
    return [p, requirements];
  },
  "a changed nonce": async () => {
    const p = await payment();
    p.payload.authorization.nonce = flip(p.payload.authorization.nonce);
    return [p, requirements];
  },
  "another payer than the signer": async () => {
    const p = await payment();
    p.payload.authorization.from = other;
    return [p, requirements];
  },
  "another payee": async () => [await payment(), asking({ payTo: other })],
  "more than was signed for": async () => [await payment(), asking({ amount: String(AMOUNT + 1n) })],
  "less than was signed for": async () => [await payment(), asking({ amount: String(AMOUNT - 1n) })],
  "an expired payment": async () => [await signed({ validBefore: String(now() - 60) }), requirements],
  "a payment about to expire": async () => {
    const asked = asking({ maxTimeoutSeconds: 3 });
    return [await payment(asked), asked];
  },
  "a payment for later": async () =>
    [await signed({ validAfter: String(now() + 600), validBefore: String(now() + 1200) }), requirements],
  "another token name": async () => {
    const asked = asking({ extra: { name: "USD Coin", version: info.token.version } });
    return [await payment(asked), asked];
  },
  "another token version": async () => {
    const asked = asking({ extra: { name: info.token.name, version: "2" } });
    return [await payment(asked), asked];
  },
  "a token that is another contract": async () => {
    const asked = asking({ asset: chain.contracts.multicall3.address });
    return [await payment(asked), asked];
  },
  "a token that is no contract": async () => {
    const asked = asking({ asset: other });
    return [await payment(asked), asked];
  },
  "an empty wallet": async () => [await payment(requirements, poor), requirements],
  "a used payment": async () => {
    const p = await payment();
    const settled = await ours.settle(p, requirements);
    assert.equal(settled.success, true, settled.errorReason);
    return [p, requirements];
  },
};

/** A payment with a window of its own choice, signed as the SDK does. */
async function signed(window) {
  const p = await payment();
  Object.assign(p.payload.authorization, window);
  const { from, to, value, validAfter, validBefore, nonce } = p.payload.authorization;
  p.payload.signature = await account.signTypedData({
    domain: DOMAIN,
    types: TRANSFER_WITH_AUTHORIZATION,
    primaryType: "TransferWithAuthorization",
    message: { from, to, value: BigInt(value), validAfter: BigInt(validAfter), validBefore: BigInt(validBefore), nonce },
  });
  return p;
}

for (const [what, make] of Object.entries(wrong)) {
  await claim(`${what}: invalid, with the SDK's own code`, async () => {
    const [p, asked] = await make();
    const [mine, theirs] = [await ours.verify(p, asked), await reference.verify(p, asked)];
    assert.equal(theirs.isValid, false, "the reference refuses it");
    assert.deepEqual(
      { isValid: mine.isValid, invalidReason: mine.invalidReason },
      { isValid: false, invalidReason: theirs.invalidReason },
    );
  });
}

await claim("a refused payment is not settled either, with the same code, and moves nothing", () =>
  moves(0, async () => {
    const p = await payment();
    p.payload.signature = flip(p.payload.signature);
    const settled = await ours.settle(p, requirements);
    assert.deepEqual([settled.success, settled.errorReason], [false, "invalid_exact_evm_signature"]);
  }));

await claim("one payment settled eight times at once: exactly one success", () =>
  moves(1, async () => {
    const p = await payment();
    const all = await Promise.all(Array.from({ length: 8 }, () => ours.settle(p, requirements)));
    const good = all.filter((settled) => settled.success);
    assert.equal(good.length, 1);
    await settledTransfer(good[0].transaction, { from: account.address, to: payee, value: AMOUNT });
    const reasons = new Set(all.filter((settled) => !settled.success).map((settled) => settled.errorReason));
    assert.deepEqual([...reasons], ["invalid_exact_evm_nonce_already_used"]);
    const later = await ours.settle(p, requirements);
    assert.deepEqual([later.success, later.errorReason], [false, "invalid_exact_evm_nonce_already_used"]);
  }));

await claim("fifty payments settled at once: fifty transactions, each of its own", () =>
  moves(50, async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => payment()));
    const settled = await Promise.all(all.map((p) => ours.settle(p, requirements)));
    assert.deepEqual(settled.filter((s) => !s.success).map((s) => s.errorReason), []);
    assert.equal(new Set(settled.map((s) => s.transaction)).size, 50);
  }));

await claim("the SDK's facilitator settles on our chain, from a key without ether", () =>
  moves(1, async () => {
    const settled = await reference.settle(await payment(), requirements);
    assert.equal(settled.success, true, `${settled.errorReason} ${settled.errorMessage ?? ""}`);
    await settledTransfer(settled.transaction, { from: account.address, to: payee, value: AMOUNT });
    assert.equal(await reader.getBalance({ address: wallet.account.address }), 0n);
  }));

await claim("a payment that the SDK's facilitator settled is used for ours, and the other way round", () =>
  moves(2, async () => {
    const [a, b] = [await payment(), await payment()];
    assert.equal((await reference.settle(a, requirements)).success, true);
    assert.equal((await ours.settle(b, requirements)).success, true);
    assert.equal((await ours.settle(a, requirements)).errorReason, "invalid_exact_evm_nonce_already_used");
    assert.equal((await reference.verify(b, requirements)).invalidReason, "invalid_exact_evm_nonce_already_used");
  }));

const post = (path, body, type = "application/json") =>
  fetch(`${info.facilitatorUrl}/${path}`, { method: "POST", body, headers: { "content-type": type } });
const malformed = {
  "no JSON": "{",
  "other JSON": JSON.stringify({ hello: "world" }),
  "endless nesting": "[".repeat(100_000),
  "a megabyte": JSON.stringify({ x402Version: 2, junk: "x".repeat(1 << 20) }),
};
for (const [what, body] of Object.entries(malformed)) {
  await claim(`${what}: 4xx of /verify and /settle, and the facilitator lives on`, async () => {
    for (const path of ["verify", "settle"]) {
      const reply = await post(path, body);
      assert.ok(reply.status >= 400 && reply.status < 500, `/${path} answered ${reply.status}`);
    }
    assert.equal((await fetch(`${info.facilitatorUrl}/health`)).status, 200);
  });
}

done();

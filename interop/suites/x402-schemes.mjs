// npm @x402/evm buys by the other schemes: `exact` through Permit2, `upto` from a metered stall, and
// `batch-settlement`, from the deposit over vouchers to the refund.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { toClientEvmSigner } from "@x402/evm";
import { AuthCaptureEvmScheme } from "@x402/evm/auth-capture/client";
import {
  BatchSettlementEvmScheme, computeChannelId, InMemoryClientChannelStorage, readChannelBalanceAndTotalClaimed,
} from "@x402/evm/batch-settlement/client";
import { createPermit2ApprovalTx, ExactEvmScheme, getPermit2AllowanceReadParams } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { createWalletClient, http } from "viem";
import { claim, done } from "../harness/claims.mjs";
import {
  balance, chain, changes, fundedAccount, info, machina, offer, openStall, photograph, PRICE, reader, settledTransfer,
} from "../harness/economy.mjs";
import { allowing, buyer, decode, quoteOf, settlementOf } from "../harness/x402.mjs";

const picture = { method: "POST", body: await photograph("chelsea.png"), headers: { "content-type": "image/png" } };
const otherPicture = { ...picture, body: await photograph("coffee.png") };
/** Where the SDK asks the chain, for what it cannot sign without. */
const rpc = { rpcUrl: info.rpcUrl };

/** Lets Permit2 move an account's dollars, by a transaction of the account's own. */
async function approvePermit2(account) {
  const wallet = createWalletClient({ account, chain, transport: http() });
  const hash = await wallet.sendTransaction(createPermit2ApprovalTx(info.token.address));
  const receipt = await reader.waitForTransactionReceipt({ hash, timeout: 10_000 });
  assert.equal(receipt.status, "success");
}

/** What Permit2 may still move of an account's dollars. */
const allowance = (account) => reader.readContract(
  getPermit2AllowanceReadParams({ tokenAddress: info.token.address, ownerAddress: account.address }));

/** Lines of a party's books: minor units settled and held, by name. */
async function books(party) {
  const [{ lines }] = await machina("books", party);
  return Object.fromEntries(lines.map(({ name, settled, held }) =>
    [name, { settled: BigInt(settled.minor), held: BigInt(held.minor) }]));
}

/** Of the ways to pay, the one through Permit2. */
const throughPermit2 = (ways) => ways.find((way) => way.extra?.assetTransferMethod === "permit2");

/** The answer's text, of an answer that must be good. */
async function good(response) {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text;
}

// `exact` through Permit2.

const approver = await fundedAccount("1");

await claim("exact through Permit2, approved on the chain: one piece of work, paid once, at the price", async () => {
  await approvePermit2(approver);
  const permit = buyer(approver, allowing(PRICE), new ExactEvmScheme(approver), throughPermit2);
  await changes(1, approver.address, async () => {
    const response = await permit.fetch(offer.url, picture);
    assert.match(await good(response), /cat/);
    const { success, transaction } = settlementOf(response);
    assert.equal(success, true);
    await settledTransfer(transaction, { from: approver.address, to: offer.payee, value: PRICE });
    const { accepted, payload } = decode(permit.headers[0]);
    assert.deepEqual([accepted.scheme, payload.permit2Authorization.permitted.amount], ["exact", String(PRICE)]);
  });
});

await claim("exact through Permit2, never approved: the approval travels along by signature (EIP-2612)", async () => {
  const account = await fundedAccount("1");
  const permit = buyer(account, allowing(PRICE), new ExactEvmScheme(account, rpc), throughPermit2);
  await changes(1, account.address, async () => {
    const response = await permit.fetch(offer.url, picture);
    await good(response);
    await settledTransfer(settlementOf(response).transaction, { from: account.address, to: offer.payee, value: PRICE });
  });
  assert.equal(decode(permit.headers[0]).extensions.eip2612GasSponsoring.info.amount, String(PRICE));
  assert.equal(await allowance(account), 0n, "what was approved is used up");
});

await claim("exact through Permit2, not approved in any way: 412, and nothing is charged", async () => {
  const account = await fundedAccount("1");
  await changes(0, account.address, async () => {
    const permit = buyer(account, allowing(PRICE), new ExactEvmScheme(account), throughPermit2);
    const response = await permit.fetch(offer.url, picture);
    assert.equal(response.status, 412, await response.text());
    assert.equal(decode(response.headers.get("PAYMENT-REQUIRED")).error, "permit2_allowance_required");
  });
});

// A stall that is paid by the kilobyte: the service answers with as many bytes as it is asked for.

const PER_KILOBYTE = 1_000n;
const MOST = 20_000n;
const service = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://service");
  const filler = "x".repeat(Number(searchParams.get("bytes")) - JSON.stringify({ text: "" }).length);
  const body = JSON.stringify({ text: filler });
  const length = pathname === "/flow" ? {} : { "content-length": body.length };
  request.resume().on("end", () => {
    response.writeHead(pathname === "/broken" ? 500 : 200, { "content-type": "application/json", ...length });
    response.end(body);
  });
});
service.listen(0, "127.0.0.1");
await once(service, "listening");
const stall = await openStall(
  "--to", `http://127.0.0.1:${service.address().port}`, "--price", "0.001", "--per", "kB", "--most", "0.02",
  "--name", "echo", "--describe", "As many bytes as asked for",
);

/** What a purchase from the stall can change. */
async function stallStanding(account) {
  const [paid, earned, lines] = await Promise.all([balance(account.address), balance(stall.payee), books("seller")]);
  return { paid, earned, sales: lines.sales.settled, held: lines.cash.held };
}

/** Does something, and demands that the stall was paid just `sum` by `account`, on the chain and in its books. */
async function stallEarns(sum, account, act) {
  const before = await stallStanding(account);
  const result = await act();
  const after = await stallStanding(account);
  assert.deepEqual(
    {
      paid: before.paid - after.paid, earned: after.earned - before.earned,
      sales: after.sales - before.sales, held: after.held,
    },
    { paid: sum, earned: sum, sales: sum, held: 0n },
    "what was paid, earned and booked, and what is left on hold",
  );
  return result;
}

await claim("upto: the quote names the most, and who may settle", async () => {
  const [upto] = (await quoteOf(`${stall.url}/text`)).accepts;
  assert.deepEqual([upto.scheme, upto.amount, upto.payTo], ["upto", String(MOST), stall.payee]);
  assert.equal(upto.extra.facilitatorAddress, info.parties.find((party) => party.name === "facilitator").address);
});

const metered = buyer(approver, allowing(MOST), new UptoEvmScheme(approver));

for (const [bytes, charge] of [[2_600, 3n * PER_KILOBYTE], [1_000, PER_KILOBYTE], [50_000, MOST]]) {
  await claim(`upto: ${bytes} bytes cost ${charge} of at most ${MOST}`, () =>
    stallEarns(charge, approver, async () => {
      const response = await metered.fetch(`${stall.url}/text?bytes=${bytes}`);
      assert.equal((await good(response)).length, bytes);
      const { success, transaction, amount } = settlementOf(response);
      assert.deepEqual({ success, amount }, { success: true, amount: String(charge) });
      await settledTransfer(transaction, { from: approver.address, to: stall.payee, value: charge });
      assert.equal(decode(metered.headers.at(-1)).payload.permit2Authorization.permitted.amount, String(MOST));
    }));
}

await claim("upto: the same payment again gives the same answer, and costs nothing", () =>
  stallEarns(0n, approver, async () => {
    const header = metered.headers[0];
    const response = await fetch(`${stall.url}/text?bytes=2600`, { headers: { "PAYMENT-SIGNATURE": header } });
    assert.equal((await good(response)).length, 2_600);
  }));

await claim("upto: an answer of unknown length passes as it comes, and is charged by its end", () =>
  stallEarns(3n * PER_KILOBYTE, approver, async () => {
    const response = await metered.fetch(`${stall.url}/flow?bytes=2001`);
    assert.equal((await good(response)).length, 2_001);
  }));

await claim("upto: a service that fails costs nothing", () =>
  stallEarns(0n, approver, async () => {
    const response = await metered.fetch(`${stall.url}/broken?bytes=2600`);
    assert.ok(response.status >= 500, `status ${response.status}`);
  }));

await claim("upto: never approved, the approval travels along by signature (EIP-2612)", async () => {
  const account = await fundedAccount("1");
  await stallEarns(2n * PER_KILOBYTE, account, async () => {
    const sponsored = buyer(account, allowing(MOST), new UptoEvmScheme(account, rpc));
    await good(await sponsored.fetch(`${stall.url}/text?bytes=1001`));
  });
});

// `batch-settlement`: the SDK deposits ten prices, as the quote asks, if one payment may be two.

const DEPOSIT = 10n * PRICE;

/**
 * A buyer who pays by vouchers, and who can ask the chain: `known` is what it has written down of its
 * channel, `chained` what the chain holds there.
 */
function channelBuyer(account, way) {
  const signer = toClientEvmSigner(account, reader);
  const storage = new InMemoryClientChannelStorage();
  const scheme = new BatchSettlementEvmScheme(signer, { storage });
  const id = computeChannelId(scheme.buildChannelConfig(way), info.network);
  return {
    ...buyer(signer, allowing(2n * BigInt(way.amount)), scheme),
    refund: (url, options) => scheme.refund(url, options),
    known: () => storage.get(id),
    chained: async () => {
      const [balance, claimed] = await readChannelBalanceAndTotalClaimed(reader, id);
      return { balance, claimed };
    },
  };
}

const byVouchers = (quote) => quote.accepts.find((way) => way.scheme === "batch-settlement");
const kindOf = (header) => decode(header).payload.type;

/** What a purchase by voucher can change: of the payer, of the seller's books and of the channel. */
async function channelStanding(payer, seller, channel) {
  const [paid, lines, chained] = await Promise.all([balance(payer.address), books(seller), channel.chained()]);
  return { paid, sales: lines.sales.settled, escrow: lines.escrow.settled, cash: lines.cash.settled, chained };
}

/**
 * Does something, and demands that the payer paid `paid` on the chain, that the seller booked `sales`
 * (received in `cash`, and in `escrow` until it is claimed), and that the channel then holds `chained`.
 */
async function channelChanges({ payer, seller, channel }, expected, act) {
  const before = await channelStanding(payer, seller, channel);
  const result = await act();
  const after = await channelStanding(payer, seller, channel);
  const told = {
    paid: before.paid - after.paid, sales: after.sales - before.sales, escrow: after.escrow - before.escrow,
    cash: after.cash - before.cash, chained: after.chained,
  };
  assert.deepEqual(told, expected, "what was paid and booked, and what the channel holds");
  return result;
}

const saver = await fundedAccount("1");
const wayOfVision = byVouchers(await quoteOf(offer.url, picture));
const saving = channelBuyer(saver, wayOfVision);
const ofVision = { payer: saver, seller: "vision", channel: saving };
const open = { balance: DEPOSIT, claimed: 0n };

/** Buys once by voucher: what the answer tells of the payment. */
async function buyByVoucher(channel, kind, request = picture) {
  const response = await channel.fetch(offer.url, request);
  assert.match(await good(response), /label/);
  assert.equal(kindOf(channel.headers.at(-1)), kind);
  const { success, transaction, extra } = settlementOf(response);
  assert.deepEqual([success, extra.chargedAmount], [true, String(PRICE)]);
  return { transaction, charged: BigInt(extra.channelState.chargedCumulativeAmount) };
}

await claim("batch-settlement: the first purchase deposits ten prices, and is charged one", () =>
  channelChanges(ofVision, { paid: DEPOSIT, sales: PRICE, escrow: DEPOSIT, cash: 0n, chained: open }, async () => {
    const { transaction, charged } = await buyByVoucher(saving, "deposit");
    assert.equal((await reader.getTransactionReceipt({ hash: transaction })).status, "success");
    assert.equal(charged, PRICE);
  }));

for (const [nth, charged] of [["first", 2n * PRICE], ["second", 3n * PRICE]]) {
  await claim(`batch-settlement: the ${nth} voucher buys without a transaction`, () =>
    channelChanges(ofVision, { paid: 0n, sales: PRICE, escrow: 0n, cash: 0n, chained: open }, async () => {
      assert.deepEqual(await buyByVoucher(saving, "voucher"), { transaction: "", charged });
      assert.equal((await saving.known()).chargedCumulativeAmount, String(charged));
    }));
}

await claim("batch-settlement: the same voucher again gives the same answer, and costs nothing", () =>
  channelChanges(ofVision, { paid: 0n, sales: 0n, escrow: 0n, cash: 0n, chained: open }, async () => {
    const headers = { ...picture.headers, "PAYMENT-SIGNATURE": saving.headers.at(-1) };
    assert.match(await good(await fetch(offer.url, { ...picture, headers })), /cat/);
  }));

await claim("batch-settlement: a client that forgot its channel learns what it has spent from the 402, and buys on", () =>
  channelChanges(ofVision, { paid: 0n, sales: PRICE, escrow: 0n, cash: 0n, chained: open }, async () => {
    const forgetful = channelBuyer(saver, wayOfVision);
    assert.deepEqual(await buyByVoucher(forgetful, "voucher", otherPicture), { transaction: "", charged: 4n * PRICE });
    assert.equal(forgetful.headers.length, 2, "one voucher that was behind, and one that was right");
  }));

/** The SDK asks for refunds by GET; the vision machine sells by POST alone. Keeps what was sent last. */
let lastRefund;
const byPost = {
  fetch: (url, init) => {
    lastRefund = { ...init, method: "POST" };
    return fetch(url, lastRefund);
  },
};
const claimed = { balance: 4n * PRICE, claimed: 4n * PRICE };

await claim("batch-settlement: a refund brings back what was not charged; a client that is behind is corrected first", () =>
  channelChanges(ofVision, { paid: -6n * PRICE, sales: 0n, escrow: -6n * PRICE, cash: 0n, chained: claimed }, async () => {
    const { success, transaction, amount } = await saving.refund(offer.url, byPost);
    assert.deepEqual({ success, amount }, { success: true, amount: String(6n * PRICE) });
    assert.equal((await reader.getTransactionReceipt({ hash: transaction })).status, "success");
    assert.equal(await saving.known(), undefined, "the client has closed its channel");
  }));

await claim("batch-settlement: after the refund the next purchase deposits into the same channel", () =>
  channelChanges(ofVision, {
    paid: DEPOSIT, sales: PRICE, escrow: DEPOSIT, cash: 0n, chained: { ...claimed, balance: claimed.balance + DEPOSIT },
  }, async () => assert.equal((await buyByVoucher(saving, "deposit")).charged, 5n * PRICE)));

await claim("batch-settlement: the old refund sent again moves nothing of the new deposit", () =>
  channelChanges(ofVision, {
    paid: 0n, sales: 0n, escrow: 0n, cash: 0n, chained: { ...claimed, balance: claimed.balance + DEPOSIT },
  }, async () => {
    const response = await fetch(offer.url, lastRefund);
    assert.equal(response.status, 402, await response.text());
    assert.equal(decode(response.headers.get("PAYMENT-REQUIRED")).error,
      "invalid_batch_settlement_evm_cumulative_amount_mismatch");
  }));

const patron = await fundedAccount("1");
const kilobytes = `${stall.url}/text?bytes=2600`;
const tab = channelBuyer(patron, byVouchers(await quoteOf(kilobytes)));
const ofStall = { payer: patron, seller: "seller", channel: tab };
const TAB = 10n * MOST;

await claim("batch-settlement at the stall: a deposit and two vouchers, each charged what the answer cost", () =>
  channelChanges(ofStall, {
    paid: TAB, sales: 9n * PER_KILOBYTE, escrow: TAB, cash: 0n, chained: { balance: TAB, claimed: 0n },
  }, async () => {
    for (const [kind, total] of [["deposit", 3n], ["voucher", 6n], ["voucher", 9n]]) {
      const response = await tab.fetch(kilobytes);
      assert.equal((await good(response)).length, 2_600);
      assert.equal(kindOf(tab.headers.at(-1)), kind);
      const { extra } = settlementOf(response);
      assert.equal(extra.chargedAmount, String(3n * PER_KILOBYTE));
      assert.equal(extra.channelState.chargedCumulativeAmount, String(total * PER_KILOBYTE));
    }
  }));

await claim("batch-settlement at the stall: the stock refund, by GET, brings back the rest to the unit", () => {
  const spent = 9n * PER_KILOBYTE;
  const back = spent - TAB;
  return channelChanges(ofStall, {
    paid: back, sales: 0n, escrow: back, cash: 0n, chained: { balance: spent, claimed: spent },
  }, async () => assert.equal((await tab.refund(kilobytes)).amount, String(-back)));
});

// `auth-capture`: the price lies in escrow while the work is done.

const careful = await fundedAccount("1");
const intoEscrow = () => buyer(careful, allowing(MOST), new AuthCaptureEvmScheme(careful));

await claim("auth-capture: the price goes into escrow and is captured once the work is done", () =>
  changes(1, careful.address, async () => {
    const escrowed = intoEscrow();
    const response = await escrowed.fetch(offer.url, picture);
    assert.match(await good(response), /cat/);
    const { success, amount, extra } = settlementOf(response);
    assert.deepEqual([success, amount, extra.capturedAmount], [true, String(PRICE), String(PRICE)]);
    const { accepted, payload } = decode(escrowed.headers[0]);
    assert.deepEqual([accepted.scheme, accepted.extra.paymentFlow], ["auth-capture", "escrow"]);
    // The same payment again: the same answer, and nothing moves.
    const again = await fetch(offer.url, {
      ...picture, headers: { ...picture.headers, "PAYMENT-SIGNATURE": escrowed.headers[0] },
    });
    assert.match(await good(again), /cat/);
    assert.equal(payload.authorization.value, String(PRICE));
  }));

await claim("auth-capture: work that fails gives all of it back", () =>
  changes(0, careful.address, async () => {
    const response = await intoEscrow().fetch(offer.url, { ...picture, body: "no picture" });
    assert.equal(response.status, 422, await response.text());
    const { success, amount, extra } = settlementOf(response);
    assert.deepEqual([success, amount, extra.returnedAmount], [true, "0", String(PRICE)]);
  }));

await claim("auth-capture at the stall: what the answer cost is captured, and the rest comes back", async () => {
  const before = await stallStanding(careful);
  const response = await intoEscrow().fetch(`${stall.url}/text?bytes=2600`);
  assert.equal((await good(response)).length, 2_600);
  assert.equal(settlementOf(response).amount, String(3n * PER_KILOBYTE));
  const after = await stallStanding(careful);
  assert.equal(before.paid - after.paid, 3n * PER_KILOBYTE);
  assert.equal(after.earned - before.earned, 3n * PER_KILOBYTE);
  assert.equal(after.sales - before.sales, 3n * PER_KILOBYTE);
});

await claim("the stall closes when asked", async () => assert.equal(await stall.close(), 0));

await claim("the books of the economy equal the chain, and GDP is the same three ways", async () => {
  const { headline, books: compared } = await machina("economy");
  const [production, expenditure, income] = [headline.production, headline.expenditure, headline.income].map((a) => a.minor);
  assert.deepEqual([expenditure, income], [production, production]);
  assert.equal(compared.state, "equal", JSON.stringify(compared));
});

done();

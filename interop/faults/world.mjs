// One stack in one history: who signs, what is sent, and what is counted of it. The chain says what was
// paid, the service behind the stack says what was worked, and the buyer knows what it was answered.

import { x402Client } from "@x402/core/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { decode, encode } from "../harness/wire.mjs";
import { PRICE } from "./stacks.mjs";

/** Milliseconds that a buyer waits for an answer, if its history does not say. */
const PATIENCE = 20_000;

/** A stack before the buyer of one history. */
export class World {
  #chain; #work; #through; #account; #wallet; #quote;
  #payments = []; #counts = new Map(); #sent = 0; #waiting = [];

  constructor({ stack, chain, work, through }) {
    this.stack = stack;
    this.#chain = chain;
    this.#work = work;
    this.#through = through;
    this.#account = privateKeyToAccount(generatePrivateKey());
    this.#wallet = new x402Client().register("eip155:*", new ExactEvmScheme(this.#account));
    this.#wallet.setSpendControls(false);
  }

  /** Gives the buyer money, and asks once for the price. */
  async open() {
    await this.#chain.fund(this.#account.address, 1_000n * PRICE);
    const reply = await fetch(`${this.stack.shop()}quote`, { method: "POST", body: "quote" });
    await reply.arrayBuffer();
    if (reply.status !== 402) throw new Error(`expected 402 without a payment, got ${reply.status}`);
    const told = decode(reply.headers.get("PAYMENT-REQUIRED"));
    const exact = (way) => way.scheme === "exact" && way.extra?.assetTransferMethod !== "permit2" && way.amount === String(PRICE);
    this.#quote = { ...told, accepts: told.accepts.filter(exact) };
    this.before = await this.#earned();
  }

  /** Signs a payment for one piece of work, which is named by the payment's nonce. */
  async sign() {
    const payload = await this.#wallet.createPaymentPayload(this.#quote);
    const payment = { name: payload.payload.authorization.nonce.slice(2, 18), nonce: payload.payload.authorization.nonce, header: encode(payload), answered: false };
    this.#payments.push(payment);
    return payment;
  }

  /**
   * Sends a payment with its own request, or with another: whether it was answered. The name of the payment
   * ends the path, whatever the request, so that all work is counted by the payment that it was done for.
   */
  async send(payment, { meddle = "pass", patience = PATIENCE, route = "", query = "", body = "work" } = {}) {
    this.#sent += 1;
    this.#waiting = this.#waiting.filter(({ goal, wake }) => this.#sent < goal || wake());
    const own = route === "" && query === "" && body === "work";
    try {
      const url = new URL(`${this.stack.shop()}${route}${payment.name}${query}`);
      const reply = await fetch(new URL(url.pathname + url.search, this.#through), {
        method: "POST", body, signal: AbortSignal.timeout(patience),
        headers: { "PAYMENT-SIGNATURE": payment.header, "content-type": "text/plain", "x-meddle": meddle },
      });
      const text = await reply.text();
      const good = reply.status === 200 && text.includes(payment.name);
      this.count(good ? "good" : `status ${reply.status}`);
      if (good && own) payment.answered = true;
      if (good && !own) this.count("foreign answers");
      return good;
    } catch {
      this.count("broken");
      return false;
    }
  }

  /** Waits until so many more requests were sent. */
  sends(more) {
    return new Promise((resolve) => {
      this.#waiting.push({ goal: this.#sent + more, wake: () => { resolve(); return false; } });
    });
  }

  /** Waits until work was begun for a payment. */
  worked(payment) {
    return this.#work.beginning(payment.name);
  }

  count(what) {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** Payments that had no answer. */
  unanswered() {
    return this.#payments.filter((payment) => !payment.answered);
  }

  #earned() {
    const { address, abi } = this.#chain.token;
    return this.#chain.client.readContract({ address, abi, functionName: "balanceOf", args: [this.stack.payee] });
  }

  /** What became of it all. */
  async reckon() {
    const { address, abi } = this.#chain.token;
    const fates = await Promise.all(this.#payments.map(async (payment) => ({
      ...payment,
      worked: this.#work.begun.get(payment.name) ?? 0,
      paid: await this.#chain.client.readContract({
        address, abi, functionName: "authorizationState", args: [this.#account.address, payment.nonce],
      }),
    })));
    const moved = Number((await this.#earned() - this.before) / PRICE);
    const count = (holds) => fates.filter(holds).length;
    const paid = count((fate) => fate.paid);
    if (moved !== paid) throw new Error(`the chain says ${paid} payments were used, and ${moved} prices were earned`);
    return {
      payments: fates.length,
      paid,
      worked: fates.reduce((sum, { worked }) => sum + worked, 0),
      right: count((fate) => fate.paid && fate.worked === 1 && fate.answered),
      excess: fates.reduce((sum, { worked }) => sum + Math.max(0, worked - 1), 0),
      unpaid: count((fate) => !fate.paid && fate.worked > 0),
      lost: count((fate) => fate.paid && !fate.answered),
      neither: count((fate) => !fate.paid && fate.worked === 0),
      counts: Object.fromEntries([...this.#counts].sort()),
    };
  }
}

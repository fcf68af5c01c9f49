// x402 as the SDK speaks it, with a look at what went over the wire.

import { ExactEvmScheme } from "@x402/evm/exact/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import { info } from "./economy.mjs";
import { decode, encode } from "./wire.mjs";

export { decode, encode };

/** Spend controls that allow the economy's dollar, up to `limit` minor units a payment. */
export function allowing(limit) {
  const asset = { network: info.network, asset: info.token.address, maxAmountPerPayment: String(limit) };
  return { allowedAssets: [asset] };
}

/**
 * A buyer of the SDK: `fetch` pays by itself; `headers` lists the payments that it sent; `sign`
 * makes a payment for a quote without sending it. Without `controls` it has the SDK's own. It pays
 * by `scheme`, the first way of it that is offered, or the one that `choose` picks.
 */
export function buyer(account, controls, scheme = new ExactEvmScheme(account), choose = ([first]) => first) {
  const client = new x402Client((_version, accepts) => choose(accepts)).register("eip155:*", scheme);
  if (controls !== undefined) client.setSpendControls(controls);
  const wire = new x402HTTPClient(client);
  const headers = [];
  const recorded = (input, init) => {
    const request = new Request(input, init);
    const header = request.headers.get("PAYMENT-SIGNATURE");
    if (header !== null) headers.push(header);
    return fetch(request);
  };
  return {
    headers,
    fetch: wrapFetchWithPayment(recorded, client),
    sign: (quote) => client.createPaymentPayload(quote),
    encode: (payment) => wire.encodePaymentSignatureHeader(payment)["PAYMENT-SIGNATURE"],
  };
}

/** Asks without paying, and reads the quote of the 402 answer. */
export async function quoteOf(url, init) {
  const response = await fetch(url, init);
  if (response.status !== 402) throw new Error(`expected 402 without a payment, got ${response.status}`);
  return decode(response.headers.get("PAYMENT-REQUIRED"));
}

/** The settlement that an answer tells. */
export function settlementOf(response) {
  const header = response.headers.get("PAYMENT-RESPONSE");
  if (header === null) throw new Error(`no PAYMENT-RESPONSE in an answer with status ${response.status}`);
  return decodePaymentResponseHeader(header);
}

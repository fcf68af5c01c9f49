// A shop of `@x402/express` as a process, with the SDK's own middleware and nothing before it. Started
// by `launch.mjs`, which hands it its settings.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";

const given = JSON.parse(process.env.MACHINA_REFERENCE);
const sdk = new x402ResourceServer(new HTTPFacilitatorClient({ url: given.facilitatorUrl }))
  .register(given.network, new ExactEvmScheme());
const extra = { name: given.token.name, version: given.token.version };
if (given.flow !== "authorization") extra.paymentFlow = given.flow;
const accepts = {
  scheme: "exact", network: given.network, payTo: given.payee, maxTimeoutSeconds: 60,
  price: { amount: given.price, asset: given.token.address, extra },
};

const shop = express();
shop.get("/health", (_, response) => response.json({ ok: true }));
shop.use(paymentMiddleware({ "POST /work": { accepts }, "POST /work/*": { accepts } }, sdk));
shop.post(/^\/work(\/.*)?$/, express.text({ type: "*/*", limit: "1mb" }), async (request, response) => {
  if (given.work === undefined) {
    response.json({ done: true });
    return;
  }
  const body = typeof request.body === "string" ? request.body : "";
  try {
    const reply = await fetch(given.work + request.originalUrl.slice("/work".length), { method: "POST", body });
    response.status(reply.status).type("application/json").send(await reply.text());
  } catch (error) {
    response.status(502).json({ error: String(error?.message ?? error) });
  }
});
shop.listen(given.port, "127.0.0.1");

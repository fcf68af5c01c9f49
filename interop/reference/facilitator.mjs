// The SDK's facilitator as a process: `x402Facilitator` with the scheme `exact`, over HTTP. Started by
// `launch.mjs`, which hands it its settings.

import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import express from "express";
import { createWalletClient, defineChain, http, nonceManager, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const given = JSON.parse(process.env.MACHINA_REFERENCE);
const account = privateKeyToAccount(given.key, given.nonceManager ? { nonceManager } : {});
const chain = defineChain({
  id: given.chainId, name: "anvil", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [given.rpcUrl] } },
});
const client = createWalletClient({ account, chain, transport: http(), pollingInterval: given.pollingInterval })
  .extend(publicActions);
const facilitator = new x402Facilitator()
  .register(given.network, new ExactEvmScheme(toFacilitatorEvmSigner({ ...client, address: account.address })));

const app = express();
app.use(express.json({ limit: "1mb" }));
app.get("/health", (_, response) => response.json({ ok: true }));
app.get("/supported", (_, response) => response.json(facilitator.getSupported()));
for (const act of ["verify", "settle"]) {
  app.post(`/${act}`, async (request, response) => {
    const { paymentPayload, paymentRequirements } = request.body;
    try {
      response.json(await facilitator[act](paymentPayload, paymentRequirements));
    } catch (error) {
      response.status(500).json({ error: String(error?.message ?? error) });
    }
  });
}
app.listen(given.port, "127.0.0.1");

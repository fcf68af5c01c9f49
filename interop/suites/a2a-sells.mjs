// An agent made with the official A2A SDK sells its work, by x402's extension as its specification says and
// with our facilitator: `machina pay` and `machina mcp`'s way of buying find it by its card, pay, and hear its
// stream. The extension's side of the seller is written out here, since no package has it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from "@a2a-js/sdk/server";
import { agentCardHandler, jsonRpcHandler, UserBuilder } from "@a2a-js/sdk/server/express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import express from "express";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { claim, done } from "../harness/claims.mjs";
import { balance, info, machina } from "../harness/economy.mjs";

const EXTENSION = "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";
const [STATUS, REQUIRED, PAYLOAD, RECEIPTS, ERROR] =
  ["status", "required", "payload", "receipts", "error"].map((name) => `x402.payment.${name}`);
/** Task states and roles by number, as the protocol's own definition has them. */
const [WORKING, COMPLETED, FAILED, INPUT_REQUIRED] = [2, 3, 4, 6];
const AGENT = 2;

const PRICE = 3_000n;
const payee = privateKeyToAddress(generatePrivateKey());
const facilitator = new HTTPFacilitatorClient({ url: info.facilitatorUrl });
const requirements = {
  scheme: "exact", network: info.network, amount: PRICE.toString(), asset: info.token.address, payTo: payee,
  maxTimeoutSeconds: 60, extra: { name: info.token.name, version: info.token.version },
};
const text = (value) => ({ content: { $case: "text", value }, metadata: undefined, filename: "", mediaType: "text/plain" });

/** How often work was done, and by which calls. */
const seen = { work: 0, methods: [] };

/** Says twice what it is told, in two pieces, once it is paid. */
const executor = {
  async execute(context, bus) {
    const { taskId, contextId, userMessage, task } = context;
    const status = (state, words, metadata) => ({
      state, timestamp: new Date().toISOString(),
      message: {
        messageId: randomUUID(), taskId, contextId, role: AGENT, parts: [text(words)], metadata, extensions: [EXTENSION],
        referenceTaskIds: [],
      },
    });
    const say = (...said) => bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(...said), metadata: undefined }));
    const payment = userMessage.metadata?.[PAYLOAD];
    const words = (message) => message.parts.map((part) => part.content).find((content) => content?.$case === "text")?.value;
    if (payment === undefined) {
      const quote = { x402Version: 2, resource: { url: `${base}/rpc` }, accepts: [requirements] };
      const asks = status(INPUT_REQUIRED, "It costs money.", { [STATUS]: "payment-required", [REQUIRED]: quote });
      bus.publish(AgentEvent.task({ id: taskId, contextId, status: asks, artifacts: [], history: [userMessage], metadata: undefined }));
      bus.finished();
      return;
    }
    // The SDK wants the task first, and so a client hears it as it was before the payment.
    bus.publish(AgentEvent.task(task));
    say(WORKING, "The payment is checked.", { [STATUS]: "payment-submitted" });
    const verdict = await facilitator.verify(payment, requirements);
    const settled = verdict.isValid ? await facilitator.settle(payment, requirements) : undefined;
    if (!settled?.success) {
      say(FAILED, "No.", { [STATUS]: "payment-failed", [ERROR]: verdict.invalidReason ?? settled.errorReason });
      bus.finished();
      return;
    }
    seen.work += 1;
    const asked = words(task.history[0]);
    const piece = (value, append, lastChunk) => bus.publish(AgentEvent.artifactUpdate({
      taskId, contextId, append, lastChunk, metadata: undefined,
      artifact: { artifactId: "echo", name: "", description: "", parts: [text(value)], metadata: undefined, extensions: [] },
    }));
    piece(`${asked}, `, false, false);
    piece(asked, true, true);
    say(COMPLETED, "Done.", { [STATUS]: "payment-completed", [RECEIPTS]: [settled] });
    bus.finished();
  },
  async cancelTask() {},
};

const app = express();
const server = app.listen(0, "127.0.0.1");
await new Promise((ready) => { server.once("listening", ready); });
const base = `http://localhost:${server.address().port}`;

/** The agent of this name, as others find it. */
function open(name, { streaming, endpoint = `${base}/${name}/rpc` }) {
  const card = {
    name, description: "It says twice what it is told.", version: "1",
    supportedInterfaces: [{ url: endpoint, protocolBinding: "JSONRPC", protocolVersion: "1.0", tenant: "" }],
    provider: undefined, documentationUrl: "", iconUrl: "",
    capabilities: {
      streaming, pushNotifications: false, extendedAgentCard: false,
      extensions: [{ uri: EXTENSION, description: "Paid by x402.", required: true, params: undefined }],
    },
    securitySchemes: {}, securityRequirements: [], signatures: [],
    defaultInputModes: ["text/plain"], defaultOutputModes: ["text/plain"],
    skills: [{ id: "echo", name: "Echo", description: "Echo", tags: ["echo"], examples: [], inputModes: [], outputModes: [], securityRequirements: [] }],
  };
  const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), executor);
  app.use(`/${name}/.well-known/agent-card.json`, agentCardHandler({ agentCardProvider: requestHandler }));
  app.use(`/${name}/rpc`, express.json(), (request, _, next) => {
    if (request.method === "POST") seen.methods.push(request.body.method);
    next();
  },
    jsonRpcHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication }));
}
open("streams", { streaming: true });
open("waits", { streaming: false });
open("elsewhere", { streaming: true, endpoint: `${info.rpcUrl}/` });

/** Does something and demands that the agent worked and was paid so often; by which calls. */
async function sells(times, act) {
  const before = [seen.work, await balance(payee)];
  seen.methods.length = 0;
  const result = await act();
  assert.deepEqual([seen.work - before[0], (await balance(payee)) - before[1]], [times, PRICE * BigInt(times)]);
  return [result, [...seen.methods]];
}

/** What `machina pay` gets of an agent. */
async function buy(url, ...more) {
  const report = await machina("pay", "--a2a", url, "hello", ...more);
  return [report.status, Buffer.from(report.body, "base64").toString(), report.paid.amount.minor, report.paid.payee.toLowerCase()];
}
const bought = [200, "hello, hello", PRICE.toString(), payee.toLowerCase()];

await claim("an agent that streams is found by its card, paid once, and heard piece by piece", async () => {
  const [told, methods] = await sells(1, () => buy(`${base}/streams`));
  assert.deepEqual(told, bought);
  assert.deepEqual(methods, ["SendStreamingMessage", "SendStreamingMessage"]);
});

await claim("the same by the card's own address", async () => {
  const [told] = await sells(1, () => buy(`${base}/streams/.well-known/agent-card.json`));
  assert.deepEqual(told, bought);
});

for (const [name, url] of [["whose card says that it does not stream", "waits"], ["that is named by where it answers", "streams/rpc"]]) {
  await claim(`an agent ${name} is asked by plain messages`, async () => {
    const [told, methods] = await sells(1, () => buy(`${base}/${url}`));
    assert.deepEqual([told[0], told[2], told[3]], [bought[0], bought[2], bought[3]]);
    assert.equal(told[1].replace("\n", ""), bought[1]);
    assert.ok(methods.every((method) => method === "SendMessage" || method === "GetTask"), methods.join());
  });
}

await claim("more than was allowed is not paid", () =>
  sells(0, () => assert.rejects(buy(`${base}/streams`, "--max", "0.002"), /0\.002 MUSD/)));

await claim("a card that leads to another server is told, and nothing is sent there", () =>
  sells(0, () => assert.rejects(buy(`${base}/elsewhere`), /another place/)));

done();

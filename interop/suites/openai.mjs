// The official openai client (npm), with a fetch that pays by x402, speaks with the machines at /v1.

import assert from "node:assert/strict";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import OpenAI, { APIError } from "openai";
import { claim, done, within } from "../harness/claims.mjs";
import { balance, fundedAccount, info, machina } from "../harness/economy.mjs";
import { allowing, buyer } from "../harness/x402.mjs";

const LANGUAGE = "smollm2-135m";
const MEANING = "minilm-l6";
/** The most that a chat and a request for embeddings may cost, in minor units. */
const MOST_CHAT = 2_048n;
const MOST_MEANING = 820n;
/** What this chat costs by use: 27 tokens and 7. */
const BY_USE = 34n;

const chat = {
  model: LANGUAGE,
  messages: [{ role: "user", content: "What is the capital of France?" }],
};
const CONTRACT = "The contract is governed by French law.";
const PARIS = "The capital of France is Paris.";

const account = await fundedAccount("1");
const client = (fetch) => new OpenAI({ baseURL: `${info.url}/v1`, apiKey: "not needed", maxRetries: 0, fetch });
const stranger = client(fetch);
const fixed = client(buyer(account, allowing(MOST_CHAT), new ExactEvmScheme(account)).fetch);
const rpc = { rpcUrl: info.rpcUrl };
const byUse = client(buyer(account, allowing(MOST_CHAT), new UptoEvmScheme(account, rpc)).fetch);

/** What the machines' seller has earned, by its books. */
async function earned() {
  const [{ lines }] = await machina("books", "seller");
  return BigInt(lines.find(({ name }) => name === "sales").settled.minor);
}

/** Does something, and demands that it cost just `sum`, on the chain and in the books. */
async function costs(sum, act) {
  const before = { paid: await balance(account.address), sales: await earned() };
  const result = await act();
  // An answer that streams is settled when it has ended, which its reader may see before.
  const settled = async () => { while (await earned() < before.sales + sum); };
  await within(20, "the settlement", settled());
  const [paid, sales] = [await balance(account.address), await earned()];
  assert.deepEqual([before.paid - paid, sales - before.sales], [sum, sum], "paid and earned");
  return result;
}

/** What a call is refused with. */
async function refusal(call) {
  const error = await call.then(() => undefined, (error) => error);
  assert.ok(error instanceof APIError, `it was not refused, or otherwise: ${error}`);
  return error;
}

await claim("the models that are here are listed", async () => {
  const ids = [];
  for await (const model of stranger.models.list()) ids.push(model.id);
  assert.deepEqual(ids, [LANGUAGE, MEANING]);
  assert.equal((await stranger.models.retrieve(LANGUAGE)).object, "model");
});

await claim("without a payment a chat is refused with 402, and costs nothing", () =>
  costs(0n, async () => {
    const error = await refusal(stranger.chat.completions.create(chat));
    assert.equal(error.status, 402);
    assert.ok(error.headers.get("payment-required"), "the quote comes along");
  }));

await claim("exact: a chat is answered, and costs the quoted price", () =>
  costs(MOST_CHAT, async () => {
    const answer = await fixed.chat.completions.create(chat);
    assert.equal(answer.choices[0].message.content, PARIS);
    assert.deepEqual(answer.usage, { prompt_tokens: 27, completion_tokens: 7, total_tokens: 34 });
  }));

await claim("upto: the same chat costs its tokens", () =>
  costs(BY_USE, async () => {
    const answer = await byUse.chat.completions.create(chat);
    assert.equal(answer.choices[0].message.content, PARIS);
    assert.equal(answer.choices[0].finish_reason, "stop");
  }));

await claim("upto: a stream says the same word by word, tells its tokens, and costs them", () =>
  costs(BY_USE, async () => {
    const stream = await byUse.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } });
    let [text, pieces, usage] = ["", 0, undefined];
    for await (const chunk of stream) {
      const said = chunk.choices[0]?.delta?.content;
      if (said) { text += said; pieces += 1; }
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual([text, usage.total_tokens], [PARIS, 34]);
    assert.ok(pieces > 3, `${pieces} pieces`);
  }));

await claim("embeddings come as the client asks for them, and cost the quoted price", () =>
  costs(MOST_MEANING, async () => {
    const { data, usage } = await fixed.embeddings.create({ model: MEANING, input: ["cat", "kitten", CONTRACT] });
    const alike = (a, b) => data[a].embedding.reduce((sum, value, i) => sum + value * data[b].embedding[i], 0);
    assert.ok(Math.abs(alike(0, 1) - 0.788) < 1e-3, `${alike(0, 1)}`);
    assert.ok(alike(0, 2) < 0.3, `${alike(0, 2)}`);
    assert.deepEqual([data[0].embedding.length, usage.total_tokens], [384, 16]);
  }));

await claim("what is not done is refused as the client knows it, and costs nothing", () =>
  costs(0n, async () => {
    const unknown = await refusal(fixed.chat.completions.create({ ...chat, model: "gpt-4o" }));
    assert.deepEqual([unknown.status, unknown.code, unknown.param], [404, "model_not_found", "model"]);
    const tools = [{ type: "function", function: { name: "f", parameters: {} } }];
    const undone = await refusal(fixed.chat.completions.create({ ...chat, tools }));
    assert.deepEqual([undone.status, undone.code, undone.param], [400, "unsupported_parameter", "tools"]);
    const long = "rain ".repeat(3_000);
    const tooLong = await refusal(fixed.chat.completions.create({ ...chat, messages: [{ role: "user", content: long }] }));
    assert.deepEqual([tooLong.status, tooLong.code], [400, "context_length_exceeded"]);
  }));

done();

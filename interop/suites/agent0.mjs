// npm agent0-sdk on RPC alone, without its index (a subgraph) and without IPFS: it reads the machines of
// this home as their registry and their files have them, registers and moves an agent of its own, keeps a
// whole file on the chain, speaks of an agent, takes it back, reads what the market said, and buys by x402.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { SDK } from "agent0-sdk";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { claim, done, within } from "../harness/claims.mjs";
import { balance, checkedWork, info, machina, offer, photograph, PRICE } from "../harness/economy.mjs";

const REGISTRIES = {
  IDENTITY: "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432",
  REPUTATION: "0x8004BAa17C55a88189AE136b182e5fdA19dE9b63",
};
const address = (name) => info.parties.find((party) => party.name === name).address.toLowerCase();
const named = (id) => `${info.chainId}:${id}`;

/** An SDK that signs with a key of its own, or none that only reads. */
function sdk(privateKey) {
  return new SDK({
    chainId: info.chainId,
    rpcUrl: info.rpcUrl,
    privateKey,
    registryOverrides: { [info.chainId]: REGISTRIES },
  });
}

const reader = sdk();
const key = generatePrivateKey();
const me = privateKeyToAccount(key).address;
const writer = sdk(key);

/** The agents of this home, by name, as `/agents` numbers them, once all of these names are there. */
async function numbers(...names) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { agents } = await (await fetch(`${info.url}/agents`)).json();
    const found = Object.fromEntries(agents.map((agent) => [agent.name, agent.agentId]));
    if (names.every((name) => found[name] !== undefined) || Date.now() > deadline) return found;
    await new Promise((wake) => setTimeout(wake, 250));
  }
}

/** Waits for a transaction, and gives what the SDK makes of it. */
async function mined(handle) {
  return (await within(30, "a transaction", handle.waitMined({ timeoutMs: 20_000 }))).result;
}

const ids = await claim("it loads the machines of this home from the registry and their files", async () => {
  await fetch(`${info.url}/market/offers`);
  const ids = await numbers("vision", "shopper", "filekind", "foreman");
  assert.equal(reader.isReadOnly, true);
  for (const name of ["vision", "shopper", "filekind", "foreman"]) {
    const agent = await reader.loadAgent(named(ids[name]));
    assert.equal(agent.name, name);
    assert.equal((await reader.getAgentOwner(named(ids[name]))).toLowerCase(), address(name));
    assert.equal((await agent.getWallet()).toLowerCase(), address(name));
    assert.equal(agent.getRegistrationFile().active, true);
    assert.equal(agent.a2aEndpoint, `${info.url}/m/${name}/.well-known/agent-card.json`);
  }
  const [vision, shopper] = await Promise.all(["vision", "shopper"].map((name) => reader.loadAgent(named(ids[name]))));
  assert.deepEqual([vision, shopper].map((agent) => agent.getRegistrationFile().x402support), [true, false]);
  assert.equal(vision.mcpEndpoint, `${info.url}/mcp`);
  return ids;
});

await claim("it registers an agent at an address, reads it back, and moves it", async () => {
  const files = createServer((request, response) => {
    const file = {
      type: "https://eips.ethereum.org/EIPS/eip-8004#registration-v1", name: `at ${request.url}`, description: "Tests.",
      services: [{ name: "web", endpoint: `http://localhost:${files.address().port}/` }], active: true,
    };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(file));
  }).listen(0, "127.0.0.1");
  await once(files, "listening");
  const at = (path) => `http://localhost:${files.address().port}${path}`;
  const agent = writer.createAgent("tester", "Tests.");
  const { agentId } = await mined(await agent.registerHTTP(at("/first")));
  assert.equal((await reader.loadAgent(agentId)).name, "at /first");
  assert.equal(await reader.isAgentOwner(agentId, me), true);
  const again = await writer.loadAgent(agentId);
  await mined(await again.setAgentURI(at("/second")));
  assert.equal((await reader.loadAgent(agentId)).name, "at /second");
  const theirs = await writer.loadAgent(named(ids.vision));
  await assert.rejects(theirs.setAgentURI(at("/stolen")), "nobody moves another's agent");
  files.close();
});

await claim("it keeps a whole registration file on the chain, and reads it back", async () => {
  const agent = writer.createAgent("on chain", "Has its file in the registry itself.");
  agent.setActive(true);
  agent.setTrust(true, false, false);
  const { agentId } = await mined(await agent.registerOnChain());
  const read = await reader.loadAgent(agentId);
  assert.deepEqual([read.name, read.description, read.getRegistrationFile().active], ["on chain", "Has its file in the registry itself.", true]);
});

await claim("it speaks of an agent, reads the word and the mean, and takes it back", async () => {
  const id = named(ids.shopper);
  await mined(await writer.giveFeedback(id, 87.5, "starred", "buyer"));
  // The mean first: only that, and speaking, tells the SDK's reader where the registry is.
  assert.deepEqual(await reader.getReputationSummary(id, "starred"), { count: 1, averageValue: 87.5 });
  const word = await reader.getFeedback(id, me, 1);
  assert.deepEqual([word.value, word.tags, word.isRevoked], [87.5, ["starred", "buyer"], false]);
  await mined(await writer.revokeFeedback(id, 1));
  assert.equal((await reader.getFeedback(id, me, 1)).isRevoked, true);
  assert.deepEqual(await reader.getReputationSummary(id, "starred"), { count: 0, averageValue: 0 });
});

await claim("it reads what the market said of a worker whose work was checked and paid", async () => {
  const { agent, words } = await checkedWork();
  assert.equal(agent, ids.filekind);
  const id = named(agent);
  assert.deepEqual(await reader.getReputationSummary(id, "successRate", "file/kind"), { count: words, averageValue: 100 });
  const said = await reader.getFeedback(id, address("market"), 1);
  assert.deepEqual([said.value, said.tags], [100, ["successRate", "file/kind"]]);
});

await claim("its request pays by x402, and the machine works", async () => {
  await machina("fund", me, "1");
  const asked = await writer.request({ url: offer.url, method: "POST", body: await photograph("chelsea.png") });
  assert.equal(asked.x402Required, true);
  const before = await balance(me);
  const answer = await asked.x402Payment.pay();
  assert.match(JSON.stringify(answer), /cat/);
  assert.equal(before - (await balance(me)), PRICE);
});

await claim("it talks to an agent by A2A", async () => {
  const shopper = await reader.loadAgent(named(ids.shopper));
  const answer = await within(20, "an answer", shopper.message("What do you sell?"));
  assert.match(JSON.stringify(answer), /sell nothing/);
});

done();

// viem with the public ABI of ERC-8004 (github.com/erc-8004/erc-8004-contracts, v2.0.0): reads the
// agents of this home and the files that they lead to, registers one of its own, speaks of one, and is
// listed only with what answers.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { createWalletClient, http, keccak256, parseAbi, parseEventLogs, toHex, zeroHash } from "viem";
import { claim, done, within } from "../harness/claims.mjs";
import { chain, checkedWork, fundedAccount, info, reader } from "../harness/economy.mjs";

const IDENTITY = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
const REPUTATION = "0x8004BAa17C55a88189AE136b182e5fdA19dE9b63";
const identity = {
  address: IDENTITY,
  abi: parseAbi([
    "function register(string agentURI) returns (uint256 agentId)",
    "function setAgentURI(uint256 agentId, string newURI)",
    "function tokenURI(uint256 tokenId) view returns (string)",
    "function ownerOf(uint256 tokenId) view returns (address)",
    "function getAgentWallet(uint256 agentId) view returns (address)",
    "function getMetadata(uint256 agentId, string metadataKey) view returns (bytes)",
    "function setMetadata(uint256 agentId, string metadataKey, bytes metadataValue)",
    "event Registered(uint256 indexed agentId, string agentURI, address indexed owner)",
  ]),
};
const reputation = {
  address: REPUTATION,
  abi: parseAbi([
    "function giveFeedback(uint256 agentId, int128 value, uint8 valueDecimals, string tag1, string tag2, string endpoint, string feedbackURI, bytes32 feedbackHash)",
    "function getSummary(uint256 agentId, address[] clientAddresses, string tag1, string tag2) view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals)",
    "function readFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex) view returns (int128 value, uint8 valueDecimals, string tag1, string tag2, bool isRevoked)",
    "function revokeFeedback(uint256 agentId, uint64 feedbackIndex)",
    "function getClients(uint256 agentId) view returns (address[])",
    "function getIdentityRegistry() view returns (address)",
    "event NewFeedback(uint256 indexed agentId, address indexed clientAddress, uint64 feedbackIndex, int128 value, uint8 valueDecimals, string indexed indexedTag1, string tag1, string tag2, string endpoint, string feedbackURI, bytes32 feedbackHash)",
  ]),
};

const read = (contract, functionName, ...args) => reader.readContract({ ...contract, functionName, args });
const account = await fundedAccount();
const wallet = createWalletClient({ account, chain, transport: http() });

/** Writes, and gives the receipt of what was mined. */
async function write(contract, functionName, ...args) {
  const hash = await wallet.writeContract({ ...contract, functionName, args });
  const receipt = await within(20, "a receipt", reader.waitForTransactionReceipt({ hash }));
  assert.equal(receipt.status, "success");
  return receipt;
}

/** What `/agents` lists, once `look` likes it. */
async function listed(look, query = "") {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const list = await (await fetch(`${info.url}/agents${query}`)).json();
    if (look(list.agents) || Date.now() > deadline) return list;
    await new Promise((wake) => setTimeout(wake, 250));
  }
}

// The labour market's machines are registered when it begins: when somebody first comes.
await fetch(`${info.url}/market/offers`);
const machines = info.parties.filter((party) => party.role === "machine");
const home = await claim("every machine of the home is listed, with endpoints that answer", async () => {
  const list = await listed((agents) => agents.length >= machines.length);
  assert.equal(list.registry.toLowerCase(), `eip155:${info.chainId}:${IDENTITY}`.toLowerCase());
  for (const machine of machines) {
    const agent = list.agents.find((one) => one.owner.toLowerCase() === machine.address.toLowerCase());
    assert.ok(agent, `${machine.name} is listed`);
    assert.deepEqual([agent.name, agent.namesItsRegistry, agent.silent], [machine.name, true, 0]);
    assert.ok(agent.services.every((service) => Date.now() - service.answeredAt < 120_000));
  }
  const vision = list.agents.find((agent) => agent.name === "vision");
  assert.deepEqual(vision.services.map((service) => service.name), ["web", "A2A", "MCP"]);
  return vision;
});

await claim("the registry leads to the file, and the file back to the registry", async () => {
  const id = BigInt(home.agentId);
  const file = await (await fetch(await read(identity, "tokenURI", id))).json();
  assert.equal(file.type, "https://eips.ethereum.org/EIPS/eip-8004#registration-v1");
  assert.deepEqual([file.name, file.x402Support, file.active], ["vision", true, true]);
  const [entry] = file.registrations;
  assert.equal(entry.agentId, home.agentId);
  assert.equal(entry.agentRegistry.toLowerCase(), `eip155:${info.chainId}:${IDENTITY}`.toLowerCase());
  assert.equal((await read(identity, "ownerOf", id)).toLowerCase(), home.owner.toLowerCase());
  assert.equal((await read(identity, "getAgentWallet", id)).toLowerCase(), home.wallet.toLowerCase());
  const proof = await (await fetch(`${info.url}/.well-known/agent-registration.json`)).json();
  assert.ok(proof.registrations.some((one) => one.agentId === home.agentId));
});

const own = await claim("a stranger registers, states a fact, and is paid at its own address", async () => {
  const receipt = await write(identity, "register", "http://localhost:9/agent.json");
  const [event] = parseEventLogs({ abi: identity.abi, logs: receipt.logs, eventName: "Registered" });
  const id = event.args.agentId;
  assert.equal(event.args.owner, account.address);
  assert.equal(await read(identity, "getAgentWallet", id), account.address);
  await write(identity, "setMetadata", id, "kind", toHex("tester"));
  assert.equal(await read(identity, "getMetadata", id, "kind"), toHex("tester"));
  return id;
});

await claim("its endpoint is silent, so it is not shown, unless all are asked for", async () => {
  const list = await listed((agents) => agents.some((agent) => agent.agentId === Number(own)), "?all=true");
  assert.ok(list.agents.some((agent) => agent.agentId === Number(own)));
  const shown = await (await fetch(`${info.url}/agents`)).json();
  assert.ok(!shown.agents.some((agent) => agent.agentId === Number(own)));
});

await claim("it answers, and is shown with that alone which answers; other computers are not asked", async () => {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    const services = [
      { name: "web", endpoint: `http://localhost:${server.address().port}/here` },
      { name: "web", endpoint: `http://localhost:${server.address().port}/missing` },
      { name: "web", endpoint: "http://192.0.2.1/elsewhere" },
    ];
    const file = {
      type: "https://eips.ethereum.org/EIPS/eip-8004#registration-v1", name: "stranger", description: "", services, active: true,
    };
    response.writeHead(request.url === "/missing" ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(request.url === "/agent.json" ? file : {}));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  await write(identity, "setAgentURI", own, `http://localhost:${server.address().port}/agent.json`);
  const list = await listed((agents) => agents.some((agent) => agent.agentId === Number(own)));
  const agent = list.agents.find((one) => one.agentId === Number(own));
  assert.ok(agent, "it is listed");
  assert.deepEqual(agent.services.map((service) => new URL(service.endpoint).pathname), ["/here"]);
  assert.deepEqual([agent.silent, agent.namesItsRegistry], [2, false]);
  assert.ok(asked.includes("/here") && asked.includes("/missing"));
  server.close();
});

await claim("a client's word counts for who names it, and can be taken back", async () => {
  const id = BigInt(home.agentId);
  assert.equal((await read(reputation, "getIdentityRegistry")).toLowerCase(), IDENTITY.toLowerCase());
  await write(reputation, "giveFeedback", id, 87n, 0, "starred", "vision", "", "", keccak256(toHex("why")));
  assert.deepEqual(await read(reputation, "getSummary", id, [account.address], "starred", ""), [1n, 87n, 0]);
  assert.ok((await read(reputation, "getClients", id)).includes(account.address));
  await write(reputation, "revokeFeedback", id, 1n);
  assert.equal((await read(reputation, "readFeedback", id, account.address, 1n))[4], true);
  assert.deepEqual(await read(reputation, "getSummary", id, [account.address], "", ""), [0n, 0n, 0]);
});

await claim("nobody speaks of themselves", () =>
  assert.rejects(reader.simulateContract({
    ...reputation, account, functionName: "giveFeedback", args: [own, 100n, 0, "", "", "", "", zeroHash],
  }), /Self-feedback not allowed/));

await claim("what the market said of a worker is recomputed from the chain and the files alone", async () => {
  const market = info.parties.find((party) => party.name === "market").address;
  const shown = await checkedWork();
  const rules = await (await fetch(`${info.url}/market/rules`)).json();
  const said = await reader.getContractEvents({
    ...reputation, eventName: "NewFeedback", args: { agentId: BigInt(shown.agent), clientAddress: market }, fromBlock: 0n,
  });
  assert.equal(said.length, shown.words);
  // Evidence by money, which loses an eighth of its weight each whole week, as docs/market.md says.
  let [passed, failed, week, jobs] = [0n, 0n, 0n, 0];
  const fade = (at) => {
    for (; week < BigInt(at) / BigInt(rules.decay_ms); week += 1n) {
      if (passed === 0n && failed === 0n) { week = BigInt(at) / BigInt(rules.decay_ms); break; }
      passed -= (passed + 7n) / 8n;
      failed -= (failed + 7n) / 8n;
    }
  };
  for (const { args } of said) {
    const text = await (await fetch(args.feedbackURI)).text();
    assert.equal(keccak256(toHex(text)), args.feedbackHash, "nobody changed it");
    const file = JSON.parse(text);
    assert.equal(file.agentRegistry.toLowerCase(), `eip155:${info.chainId}:${IDENTITY}`.toLowerCase());
    assert.equal(file.clientAddress.toLowerCase(), `eip155:${info.chainId}:${market}`.toLowerCase());
    assert.deepEqual([BigInt(file.value), file.tag1, file.tag2], [args.value, args.tag1, args.tag2]);
    const part = { passed: 0n, all: 0n };
    for (const receipt of file.evidence.receipts) {
      fade(receipt.at);
      const minor = BigInt(receipt.price.minor);
      if (receipt.passed) passed += minor; else failed += minor;
      part.all += minor;
      if (receipt.passed) part.passed += minor;
      jobs += 1;
    }
    assert.equal((part.passed * 10_000n) / part.all, args.value);
    assert.ok(part.all >= BigInt(rules.evidence_unit), "each word stands on a piece of evidence at least");
  }
  assert.equal(jobs, shown.jobsInWords);
  if (jobs === shown.jobs) {
    fade(shown.at);
    const unit = BigInt(rules.evidence_unit);
    assert.deepEqual([Number(passed / unit), Number(failed / unit)], [shown.passed, shown.failed]);
  }
  // Anyone may say anything of it, and nothing that counts moves.
  for (let n = 0; n < 3; n += 1) {
    await write(reputation, "giveFeedback", BigInt(shown.agent), 0n, 2, "successRate", "file/kind", "", "", zeroHash);
  }
  const owner = info.parties.find((party) => party.name === "filekind").address;
  const after = await (await fetch(`${info.url}/market/reputation/${owner}`)).json();
  const again = after.skills.find((one) => one.skill === "file/kind");
  assert.deepEqual([again.words, again.passed, again.differences], [shown.words, shown.passed, []]);
  assert.equal((await read(reputation, "getSummary", BigInt(shown.agent), [market], "successRate", ""))[1], 10_000n);
});

done();

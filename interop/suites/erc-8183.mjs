// viem with the public ABI of ERC-8183 (github.com/erc-8183/base-contracts, April 2026): a job from its
// opening to its end, by the standard's own functions, with an evaluator of the parties' choice.

import assert from "node:assert/strict";
import { createWalletClient, http, keccak256, parseAbi, parseEventLogs, toHex, zeroAddress } from "viem";
import { claim, done, within } from "../harness/claims.mjs";
import { balance, chain, DOLLAR, fundedAccount, info, reader } from "../harness/economy.mjs";

const jobs = {
  address: "0x8183000000000000000000000000000000000001",
  abi: parseAbi([
    "struct Job { uint256 id; address client; address provider; address evaluator; string description; uint256 budget; uint256 expiredAt; uint8 status; address hook; address paymentToken; uint256 providerAgentId; uint256 submittedAt; }",
    "function createJob(address provider, address evaluator, uint256 expiredAt, string description, address hook, uint256 providerAgentId) returns (uint256)",
    "function setProvider(uint256 jobId, address provider_, uint256 agentId)",
    "function setBudget(uint256 jobId, address token, uint256 amount, bytes optParams)",
    "function fund(uint256 jobId, uint256 expectedBudget, bytes optParams)",
    "function submit(uint256 jobId, bytes32 deliverable, bytes optParams)",
    "function complete(uint256 jobId, bytes32 reason, bytes optParams)",
    "function reject(uint256 jobId, bytes32 reason, bytes optParams)",
    "function claimRefund(uint256 jobId)",
    "function getJob(uint256 jobId) view returns (Job)",
    "event JobCreated(uint256 indexed jobId, address indexed client, address indexed provider, address evaluator, uint256 expiredAt, address hook)",
    "event JobCompleted(uint256 indexed jobId, address indexed evaluator, bytes32 reason)",
    "event PaymentReleased(uint256 indexed jobId, address indexed provider, uint256 amount)",
    "event Refunded(uint256 indexed jobId, address indexed client, uint256 amount)",
    "error Unauthorized()",
    "error WrongStatus()",
    "error BudgetMismatch()",
    "error ProviderCannotBeEvaluator()",
  ]),
};
const [OPEN, FUNDED, SUBMITTED, COMPLETED, REJECTED] = [0, 1, 2, 3, 4];
const BUDGET = 20_000n;

const client = await fundedAccount("1");
const [provider, evaluator] = [await fundedAccount(), await fundedAccount()];
const hour = async () => (await reader.getBlock()).timestamp + 100_000n;

/** Writes as somebody, and gives the receipt of what was mined. */
async function as(account, functionName, ...args) {
  const wallet = createWalletClient({ account, chain, transport: http() });
  const { request } = await reader.simulateContract({ ...jobs, account, functionName, args });
  const hash = await wallet.writeContract(request);
  const receipt = await within(20, "a receipt", reader.waitForTransactionReceipt({ hash }));
  assert.equal(receipt.status, "success");
  return receipt;
}

const refused = (account, name, functionName, ...args) =>
  assert.rejects(reader.simulateContract({ ...jobs, account, functionName, args }), new RegExp(name));
const job = (id) => reader.readContract({ ...jobs, functionName: "getJob", args: [id] });
const event = (receipt, eventName) => parseEventLogs({ abi: jobs.abi, logs: receipt.logs, eventName })[0].args;

/** A job that is open, with its budget named, and the escrow allowed to take it. */
async function opened() {
  const args = [provider.address, evaluator.address, await hour(), "what is in these pictures?", zeroAddress, 0n];
  const { jobId } = event(await as(client, "createJob", ...args), "JobCreated");
  await as(provider, "setBudget", jobId, info.token.address, BUDGET, "0x");
  const wallet = createWalletClient({ account: client, chain, transport: http() });
  const hash = await wallet.writeContract({
    address: info.token.address, abi: [...DOLLAR, ...parseAbi(["function approve(address,uint256) returns (bool)"])],
    functionName: "approve", args: [jobs.address, BUDGET],
  });
  await within(20, "a receipt", reader.waitForTransactionReceipt({ hash }));
  return jobId;
}

await claim("a job: opened, funded, handed in, completed, and its provider paid to the unit", async () => {
  const id = await opened();
  assert.equal((await job(id)).status, OPEN);
  await refused(client, "BudgetMismatch", "fund", id, BUDGET - 1n, "0x");
  const before = await balance(client.address);
  await as(client, "fund", id, BUDGET, "0x");
  assert.equal(before - (await balance(client.address)), BUDGET);
  assert.equal((await job(id)).status, FUNDED);
  await refused(client, "Unauthorized", "submit", id, keccak256("0x01"), "0x");
  await as(provider, "submit", id, keccak256("0x01"), "0x");
  assert.equal((await job(id)).status, SUBMITTED);
  await refused(client, "Unauthorized", "complete", id, toHex("good", { size: 32 }), "0x");
  const receipt = await as(evaluator, "complete", id, toHex("good", { size: 32 }), "0x");
  assert.equal(event(receipt, "PaymentReleased").amount, BUDGET);
  assert.deepEqual([(await job(id)).status, await balance(provider.address)], [COMPLETED, BUDGET]);
  await refused(evaluator, "WrongStatus", "complete", id, toHex("good", { size: 32 }), "0x");
});

await claim("work that is rejected gives the client its money back to the unit", async () => {
  const [before, earned] = [await balance(client.address), await balance(provider.address)];
  const id = await opened();
  await as(client, "fund", id, BUDGET, "0x");
  await as(provider, "submit", id, keccak256("0x02"), "0x");
  const receipt = await as(evaluator, "reject", id, toHex("bad", { size: 32 }), "0x");
  assert.equal(event(receipt, "Refunded").amount, BUDGET);
  assert.equal((await job(id)).status, REJECTED);
  assert.deepEqual([await balance(client.address), await balance(provider.address)], [before, earned]);
});

await claim("before its time nobody takes the money back, and the provider is never the judge", async () => {
  const id = await opened();
  await as(client, "fund", id, BUDGET, "0x");
  await refused(client, "WrongStatus", "claimRefund", id);
  const args = [provider.address, provider.address, await hour(), "", zeroAddress, 0n];
  await refused(client, "ProviderCannotBeEvaluator", "createJob", ...args);
});

done();

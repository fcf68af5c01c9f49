// The work that both stacks sell, as a service of its own that no fault reaches: it counts how often work
// was begun on the strength of each payment. The last part of a request's path names the payment.

import { once } from "node:events";
import { createServer } from "node:http";

/** Milliseconds that a piece of work takes. */
const DURATION = 40;

/** Opens the service: `begun` counts by payment, and `beginning(payment)` waits for the first. */
export async function openWork() {
  const begun = new Map();
  const waiting = new Map();
  const server = createServer(async (incoming, outgoing) => {
    await incoming.toArray();
    const name = new URL(incoming.url, "http://work").pathname.split("/").at(-1);
    begun.set(name, (begun.get(name) ?? 0) + 1);
    waiting.get(name)?.();
    waiting.delete(name);
    await new Promise((wake) => setTimeout(wake, DURATION));
    const body = JSON.stringify({ done: name });
    outgoing.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`, begun,
    beginning: (name) => (begun.has(name) ? Promise.resolve() : new Promise((wake) => waiting.set(name, wake))),
    close: () => { server.close(); server.closeAllConnections(); },
  };
}

// Somebody between buyer and seller, who loses, doubles and delays as the header `x-meddle` of each
// request says: `drop` (the request is lost), `mute` (its answer is lost), `double` (it arrives twice at
// once), `late:MS`, and `cut:MS` (after so long the buyer is gone). Without the header all passes.

import { once } from "node:events";
import { createServer, request as ask } from "node:http";

/** Stands before `target()`, an address that may change while it runs: `{url, close}`. */
export async function meddle(target) {
  const server = createServer(async (incoming, outgoing) => {
    const body = Buffer.concat(await incoming.toArray());
    const [deed, given] = (incoming.headers["x-meddle"] ?? "pass").split(":");
    const lost = () => outgoing.destroy();
    if (deed === "drop") return lost();
    if (deed === "late") await new Promise((wake) => setTimeout(wake, Number(given)));
    const sent = [forward(target(), incoming, body)];
    if (deed === "double") sent.push(forward(target(), incoming, body));
    if (deed === "cut") setTimeout(() => { sent[0].abort(); lost(); }, Number(given));
    try {
      const answer = await Promise.any(sent.map((one) => one.answer));
      await Promise.allSettled(sent.map((one) => one.answer)); // the copy is not left behind
      if (deed === "mute") return lost();
      outgoing.writeHead(answer.status, answer.headers).end(answer.body);
    } catch {
      lost();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => { server.close(); server.closeAllConnections(); },
  };
}

/** Sends a request on, over a connection of its own: its answer, whole, and `abort`. */
function forward(target, incoming, body) {
  const { "x-meddle": _, host: __, connection: ___, "transfer-encoding": ____, ...headers } = incoming.headers;
  const outgoing = ask(new URL(incoming.url, target), {
    method: incoming.method, headers: { ...headers, "content-length": body.length }, agent: false,
  });
  const answer = (async () => {
    outgoing.end(body);
    const [reply] = await once(outgoing, "response");
    const whole = Buffer.concat(await reply.toArray());
    const { connection, "transfer-encoding": _, ...told } = reply.headers;
    return { status: reply.statusCode, headers: told, body: whole };
  })();
  answer.catch(() => {}); // who awaits it is told
  outgoing.on("error", () => {});
  return { answer, abort: () => outgoing.destroy() };
}

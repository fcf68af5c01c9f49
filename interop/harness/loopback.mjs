// Loaded before every Node suite: connections go to this machine or nowhere.

import net from "node:net";

const HERE = new Set(["localhost", "127.0.0.1", "::1"]);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [first] = args.flat();
  const host = typeof first === "object" ? (first?.host ?? "localhost") : (args[1] ?? "localhost");
  const isPath = typeof first === "string" || first?.path !== undefined;
  if (!isPath && typeof host === "string" && !HERE.has(host)) {
    throw new Error(`a suite wanted to reach ${host}: only this machine is allowed`);
  }
  return connect.apply(this, args);
};

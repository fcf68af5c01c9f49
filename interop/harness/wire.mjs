// How x402 puts a document into a header: base64(JSON).

/** Reads one. */
export function decode(header) {
  return JSON.parse(Buffer.from(header, "base64").toString("utf8"));
}

/** Writes one. */
export function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

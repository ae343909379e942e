// What of a wasm file with names belongs to which part of Postern: KiB of code, and by how much smaller all of the code
// packs without it. What several parts share (serde, formatting, collections) is nobody's but where its name tells whose it
// is: a reader of a type counts to the type.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

// The first that matches has it.
const PARTS = [
  ["sealing", /domain::seal|\baes\b|ghash|polyval|hkdf|aead/],
  ["receiving: providers, sources", /domain::provider|postern::ingest/],
  ["JWT: API tokens, id_tokens, service accounts", /jwt|Jwt|id_token|service_account/],
  [
    "OAuth: catalogue, browser's way, exchange, refresh",
    new RegExp(
      "domain::oauth|postern::connect\\b|" +
        "postern_connection::(account|attempt|credential|exchange|outcome|probe|refresh|session|token)|" +
        "postern_connection::Connection<.*>>::(account_found|ask_account|begin_refresh|block_until|connect|end_attempt|" +
        "exchange|failed|finish|lease_now|look_at_id_token|send|store_key|token_refused|tokens_came|unfit|" +
        "without_refresh_token)\\b",
    ),
  ],
  [
    "connections otherwise: watches, proxy, API keys, import, health, their API",
    /postern_connection|postern::api::(oauth_app|app::connection|connection_provider)|domain::watch|wire::connection|postern_durable::(connection|errand)/,
  ],
  ["ledger: a tenant's object", /postern_ledger|postern_durable/],
  ["API", /postern::api/],
  ["delivering", /postern::deliver/],
  ["the domain otherwise", /postern_domain/],
  ["Postern otherwise", /\bpostern/],
];

const functions = named(readFileSync(process.argv[2]));
const packed = (parts) => gzipSync(Buffer.concat(parts), { level: 9 }).length;
const all = packed(functions.map(({ code }) => code));
const row = (name, code, bytes) => {
  const kib = (count) => `${Math.round(count / 1024)} KiB`.padStart(9);
  console.log(`${kib(code)} ${kib(bytes)}  ${name}`);
};

console.log("     code    packed");
const partOf = (name) => PARTS.findIndex(([, pattern]) => pattern.test(name));
const parts = functions.map(({ name }) => partOf(name));
const sum = (list) => list.reduce((total, { code }) => total + code.length, 0);
for (const [part, [name]] of [...PARTS, ["libraries, and what is shared"]].entries()) {
  const is = part < PARTS.length ? part : -1;
  const own = functions.filter((_, at) => parts[at] === is);
  const others = functions.filter((_, at) => parts[at] !== is).map(({ code }) => code);
  row(name, sum(own), all - packed(others));
}
row("all code", sum(functions), all);

// Functions with their names, without the hashes of their crates.
function named(bytes) {
  let at = 8;
  const number = () => {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      result += (byte & 127) * 2 ** shift;
      if (byte < 128) return result;
    }
  };
  const text = () => {
    const length = number();
    at += length;
    return bytes.toString("utf8", at - length, at);
  };
  const limits = () => {
    const flags = bytes[at++];
    number();
    if (flags & 1) number();
  };

  let imported = 0;
  const bodies = [];
  const names = new Map();
  while (at < bytes.length) {
    const section = bytes[at++];
    const length = number();
    const end = at + length;
    if (section === 2) {
      for (let left = number(); left > 0; left--) {
        text();
        text();
        const kind = bytes[at++];
        if (kind === 0) {
          imported++;
          number();
        } else if (kind === 1) {
          at++;
          limits();
        } else if (kind === 2) {
          limits();
        } else if (kind === 3) {
          at += 2;
        } else {
          at++;
          number();
        }
      }
    } else if (section === 10) {
      for (let left = number(); left > 0; left--) {
        const size = number();
        bodies.push(bytes.subarray(at, at + size));
        at += size;
      }
    } else if (section === 0 && text() === "name") {
      while (at < end) {
        const kind = bytes[at++];
        const size = number();
        const next = at + size;
        if (kind === 1) for (let left = number(); left > 0; left--) names.set(number(), text());
        at = next;
      }
    }
    at = end;
  }
  if (names.size === 0) throw new Error("the file has no names: scripts/size builds one that has");
  const plain = (name) => name.replace(/\[[0-9a-f]+\]/g, "");
  return bodies.map((code, place) => ({ code, name: plain(names.get(imported + place) ?? "") }));
}

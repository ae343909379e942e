#!/usr/bin/env node
// A forwarder with a fixed address for Postern's deliveries: docs/egress.md is its contract. One file, no dependencies,
// Node 20 or later. Put TLS in front of it.
//
//   EGRESS_SECRET=<the same as Postern's> PORT=8080 node forwarder.mjs
//
// It sends only what is signed with the secret and not older than five minutes, never to private addresses (looked at
// after the name was resolved, and the same address is then called) unless EGRESS_ALLOW_PRIVATE=1, follows no redirect,
// and keeps nothing.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { lookup } from "node:dns/promises";
import http from "node:http";
import https from "node:https";
import { BlockList, isIP } from "node:net";

const { EGRESS_SECRET: secret = "", EGRESS_ALLOW_PRIVATE, PORT = "8080", HOST = "0.0.0.0" } = process.env;
if (secret.length < 24) {
  console.error("forwarder: EGRESS_SECRET must have 24 characters or more");
  process.exit(1);
}
const MOST_BODY = 2 * 1024 * 1024;
const MOST_AGE_SECONDS = 300;
const OF_THE_CONNECTION = /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|postern-egress.*)$/i;

const closed = new BlockList();
for (const range of ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
  "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
  "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/3", "64:ff9b::/96", "2001::/23", "2001:db8::/32", "2002::/16",
  "4000::/2", "8000::/1"]) {
  const [address, bits] = range.split("/");
  closed.addSubnet(address, Number(bits), isIP(address) === 4 ? "ipv4" : "ipv6"); // of IPv6 only 2000::/3 is public
}

/** Why there is no answer: a word of the contract. */
class Failure extends Error {
  constructor(word, status = 502) {
    super(word);
    Object.assign(this, { word, status });
  }
}

const server = http.createServer(async (request, response) => {
  const began = Date.now();
  let word = "answered";
  let host = "";
  try {
    const body = await read(request);
    const { target, headers, deadline } = checked(request, body);
    host = target.host;
    const answer = await forward(target, request.method, headers, body, deadline, response);
    const kept = Object.entries(answer.headers).filter(([name]) => !OF_THE_CONNECTION.test(name));
    response.writeHead(answer.statusCode, { ...Object.fromEntries(kept), "postern-egress": word });
    answer.on("error", () => response.destroy()).pipe(response);
  } catch (failure) {
    word = failure.word ?? "reset";
    response.writeHead(failure.status ?? 502, { "postern-egress": word, "content-length": 0 }).end();
  }
  console.log(JSON.stringify({ time: new Date(began).toISOString(), host, word, ms: Date.now() - began }));
});
server.listen(Number(PORT), HOST, () => console.log(JSON.stringify({ listening: server.address().port })));

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MOST_BODY) {
      throw new Failure("unauthorized", 413);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What is to be sent where, if Postern says so. */
function checked(request, body) {
  const own = (name) => request.headers[`postern-egress-${name}`] ?? "";
  const names = own("headers");
  const list = names.split(",").filter(Boolean);
  const values = list.map((name) => request.headers[name.toLowerCase()] ?? "");
  const digest = createHash("sha256").update(body).digest("hex");
  const lines = ["v1", own("timestamp"), own("deadline-ms"), request.method, own("target"), names, ...values, digest];
  const wanted = Buffer.from(`v1=${createHmac("sha256", secret).update(lines.join("\n")).digest("hex")}`);
  const given = Buffer.from(own("signature"));
  const fresh = Math.abs(Date.now() / 1000 - Number(own("timestamp"))) <= MOST_AGE_SECONDS;
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted) || !fresh) {
    throw new Failure("unauthorized", 401);
  }
  const target = URL.parse(own("target"));
  if (!target || !/^https?:$/.test(target.protocol) || target.username || target.password) {
    throw new Failure("address");
  }
  return { target, headers: Object.fromEntries(list.map((name, n) => [name, values[n]])), deadline: Number(own("deadline-ms")) };
}

/** Sends it, and gives the answer as soon as its headers are here. */
async function forward(target, method, headers, body, deadline, response) {
  const addresses = await resolved(target.hostname.replace(/^\[|\]$/g, ""));
  return new Promise((done, failed) => {
    const pinned = (_name, options, found) =>
      options.all ? found(null, addresses) : found(null, addresses[0].address, addresses[0].family);
    const scheme = target.protocol === "https:" ? https : http;
    const sent = scheme.request(target, { method, headers, lookup: pinned, agent: false });
    const timer = setTimeout(() => failed(new Failure("timeout")), deadline);
    sent.on("response", done).on("error", (error) => failed(new Failure(wordOf(error.code ?? ""))));
    sent.on("close", () => clearTimeout(timer));
    response.on("close", () => sent.destroy()); // nobody waits any longer
    sent.end(body);
  });
}

async function resolved(host) {
  const found = isIP(host) ? [{ address: host, family: isIP(host) }] : await lookup(host, { all: true }).catch(() => []);
  if (found.length === 0) {
    throw new Failure("name");
  }
  const isClosed = ({ address, family }) => closed.check(address, family === 4 ? "ipv4" : "ipv6");
  if (EGRESS_ALLOW_PRIVATE !== "1" && found.some(isClosed)) {
    throw new Failure("address");
  }
  return found;
}

function wordOf(code) {
  if (/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)$/.test(code)) {
    return "refused";
  }
  if (code === "ETIMEDOUT") {
    return "timeout";
  }
  return /CERT|TLS|SSL|SIGNATURE|EPROTO|SELF_SIGNED|CRL/.test(code) ? "tls" : "reset";
}

// What providers post: believed with proof, refused without, never lost.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const KEY = "a key that is long enough";
let postern, receiver, api, app;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  receiver = await startReceiver();
  api = caller(postern);
  app = (await api.ok("POST", "/api/v1/app", { name: "Inbound" })).id;
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

const source = (body) => api.ok("POST", `/api/v1/app/${app}/source`, { name: "S", ...body });
const apiKey = (config = {}) => source({ provider: "api_key", config: { header: "x-key", ...config }, secrets: [KEY] });

async function post(url, body, headers = {}, method = "POST") {
  const answer = await fetch(url, { method, headers, body, redirect: "manual" });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, code: text.startsWith("{") ? JSON.parse(text).code : undefined };
}

const messages = async (query = "") => (await api.ok("GET", `/api/v1/app/${app}/msg${query}`)).data;

const standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const presets = {
  "hmac over a template": {
    body: {
      provider: "hmac",
      config: { header: "X-Sig", prefix: "v0=", template: "{timestamp}.{body}", timestampHeader: "X-Time" },
      secrets: [KEY],
    },
    sign(text) {
      const time = String(Math.floor(Date.now() / 1000));
      return { "x-time": time, "x-sig": `v0=${createHmac("sha256", KEY).update(`${time}.${text}`).digest("hex")}` };
    },
  },
  "standard-webhooks": {
    body: { provider: "standard-webhooks", secrets: [standard] },
    sign(text) {
      const now = new Date();
      const signature = new Webhook(standard).sign("msg_1", now, text);
      return { "webhook-id": "msg_1", "webhook-timestamp": String(Math.floor(now / 1000)), "webhook-signature": signature };
    },
  },
  basic: {
    body: { provider: "basic", config: { username: "shop" }, secrets: ["pass:word of some length"] },
    sign: () => ({ authorization: `Basic ${Buffer.from("shop:pass:word of some length").toString("base64")}` }),
  },
  api_key: { body: { provider: "api_key", config: { header: "x-key" }, secrets: [KEY] }, sign: () => ({ "x-key": KEY }) },
};

for (const [name, { body, sign }] of Object.entries(presets)) {
  test(`${name}: good is 200 and empty, wrong is 401 signature_invalid, none is 401 signature_missing`, async () => {
    const { url } = await source(body);
    const text = '{"type":"order.paid"}';
    const good = await post(url, text, sign(text));
    assert.deepEqual([good.status, good.text], [200, ""]);
    const wrong = Object.fromEntries(Object.entries(sign(text)).map(([key, value]) => [key, value.replace(/.{2}$/, "00")]));
    assert.deepEqual(await post(url, text, wrong).then(({ status, code }) => [status, code]), [401, "signature_invalid"]);
    assert.deepEqual(await post(url, text).then(({ status, code }) => [status, code]), [401, "signature_missing"]);
  });
}

test("why a request was refused is recorded for the tenant, and not told to the sender", async () => {
  const { url, id } = await apiKey();
  const refused = await post(url, "{}", { "x-key": "another key" });
  assert.ok(!refused.text.includes("another key"));
  const ask = () => inspect(postern, app);
  const { rejected } = await eventually(ask, (seen) => seen.rejected.some(({ reason }) => reason === "mismatch"), `why ${id}`);
  assert.ok(rejected.length > 0);
});

test("the type and the id of an event come from where the source says, and an id is taken once", async () => {
  const { url } = await apiKey({ eventType: "/meta/kind", eventId: "x-id" });
  const body = '{"meta":{"kind":"order.shipped"}}';
  for (let n = 0; n < 2; n++) {
    assert.equal((await post(url, body, { "x-key": KEY, "x-id": "17" })).status, 200);
  }
  const found = await messages("?event_types=order.shipped");
  assert.deepEqual(found.map(({ eventId }) => eventId), ["17"]);
});

test("a body is kept byte for byte, whatever it is, with its content type", async () => {
  const inbox = receiver.at("/bytes");
  const endpoint = await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, eventTypes: ["bytes"] });
  const { url } = await apiKey({ eventType: "x-type" });
  const headers = { "x-key": KEY, "x-type": "bytes", "content-type": "application/octet-stream" };
  const bodies = [Buffer.alloc(0), Buffer.from([0xff, 0, 0xfe, 0x80]), Buffer.alloc(1 << 20, "x")];
  for (const body of bodies) assert.equal((await post(url, body, headers)).status, 200);
  await inbox.request(3);
  const got = inbox.requests.map(({ body }) => body).sort((a, b) => a.length - b.length);
  assert.ok(bodies.every((body, n) => body.equals(got[n])));
  assert.equal(inbox.requests[0].headers["content-type"], "application/octet-stream");
  const [{ id }] = await messages("?event_types=bytes");
  const raw = await postern.fetch(`/api/v1/app/${app}/msg/${id}/body`, { headers: { authorization: `Bearer ${postern.token()}` } });
  assert.equal((await raw.arrayBuffer()).byteLength, 1 << 20);
  assert.match(raw.headers.get("content-security-policy"), /sandbox/);
  await api("DELETE", `/api/v1/app/${app}/endpoint/${endpoint.id}`);
});

test("a byte more than 1 MiB is 413, also when its length is not said", async () => {
  const { url } = await apiKey();
  assert.equal((await post(url, Buffer.alloc((1 << 20) + 1), { "x-key": KEY })).status, 413);
  const { hostname, port, pathname } = new URL(url);
  const status = await new Promise((done, failed) => {
    const socket = connect(port, hostname, () => {
      socket.write(`POST ${pathname} HTTP/1.1\r\nhost: x\r\nx-key: ${KEY}\r\ntransfer-encoding: chunked\r\n\r\n`);
      const chunk = Buffer.alloc(64 * 1024, "x");
      for (let n = 0; n < 17; n++) socket.write(Buffer.concat([Buffer.from("10000\r\n"), chunk, Buffer.from("\r\n")]));
      socket.write("0\r\n\r\n");
    });
    socket.on("error", failed);
    socket.once("data", (data) => done(Number(data.toString().split(" ")[1])) || socket.destroy());
  });
  assert.equal(status, 413);
});

test("an unknown address is 404, another method 405, and nothing is HTML", async () => {
  const { url } = await apiKey();
  for (const token of ["x", "0".repeat(52), `${url.slice(-52, -1)}0`, `${url.slice(-52)}/`, ""]) {
    const answer = await post(`${postern.url}/in/${token}`, "{}", { "x-key": KEY });
    assert.equal(answer.status, 404, token);
  }
  for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]) {
    const answer = await post(url, undefined, {}, method);
    assert.equal(answer.status, 405, method);
    assert.equal(answer.headers.get("allow"), "POST");
    assert.match(answer.headers.get("content-security-policy"), /sandbox/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  }
});

test("a secret is rotated with an overlap, and never shown", async () => {
  const made = await apiKey();
  const path = `/api/v1/app/${app}/source/${made.id}`;
  assert.ok(!JSON.stringify(made).includes(KEY));
  assert.deepEqual(made.secrets.map(({ hint }) => hint), ["ough"]);
  const rotated = await api.ok("POST", `${path}/secret/rotate`, { secret: "the next key, also long", overlapSeconds: 3600 });
  assert.equal(rotated.secrets.length, 2);
  const { url } = await api.ok("GET", path);
  // Its isolate may know the old configuration for 30 s: a source that was never asked for is read as it is now.
  for (const key of [KEY, "the next key, also long"]) {
    assert.equal((await post(url, "{}", { "x-key": key })).status, 200, key);
  }
  for (const method of ["PUT", "PATCH"]) {
    const refused = await api(method, path, { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: ["x"] });
    assert.equal(refused.status, 422, method);
    assert.ok(refused.body.detail.some(({ loc }) => loc[1] === "secrets"), JSON.stringify(refused.body));
  }
});

test("an address is rotated with an overlap, and a deleted source's is gone", async () => {
  const made = await apiKey();
  const path = `/api/v1/app/${app}/source/${made.id}`;
  const rotated = await api.ok("POST", `${path}/token/rotate`, { overlapSeconds: 3600 });
  assert.notEqual(rotated.url, made.url);
  for (const url of [made.url, rotated.url]) assert.equal((await post(url, "{}", { "x-key": KEY })).status, 200);
  const other = await apiKey();
  assert.equal((await api("DELETE", `/api/v1/app/${app}/source/${other.id}`)).status, 204);
  assert.equal((await post(other.url, "{}", { "x-key": KEY })).status, 404);
  assert.equal((await api("GET", `/api/v1/app/${app}/source/${other.id}`)).status, 404);
});

test("sources are listed in pages, by id and by uid", async () => {
  const own = (await api.ok("POST", "/api/v1/app", { name: "Pages" })).id;
  for (let n = 0; n < 5; n++) {
    const body = { name: `S${n}`, uid: `s-${n}`, provider: "api_key", config: { header: "x-key" }, secrets: [KEY] };
    await api.ok("POST", `/api/v1/app/${own}/source`, body);
  }
  const first = await api.ok("GET", `/api/v1/app/${own}/source?limit=3`);
  const second = await api.ok("GET", `/api/v1/app/${own}/source?limit=3&iterator=${first.iterator}`);
  assert.deepEqual([first.done, second.done], [false, true]);
  assert.equal(new Set([...first.data, ...second.data].map(({ id }) => id)).size, 5);
  assert.equal((await api.ok("GET", `/api/v1/app/${own}/source/s-3`)).name, "S3");
});

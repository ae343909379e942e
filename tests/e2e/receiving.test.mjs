// Receiving, as a source's owner shapes it: bodies of any size, states, answers, forwarding, what was refused, replays.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import Stripe from "stripe";
import { Webhook } from "svix";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const MIB = 1024 * 1024;
const STRIPE_SECRET = "whsec_the_secret_that_stripe_shows_once";
const KEYED = { provider: "api_key", config: { header: "x-key", eventId: "header:x-id" }, secrets: ["a-key-of-ours"] };
const KEY = { "x-key": "a-key-of-ours" };
const stripe = new Stripe("sk_test_unused");
let postern, api, customer;
let paths = 0;
const inbox = () => customer.at(`/${(paths += 1)}`);
before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1", BODY_TIMEOUT_SECONDS: "8" } });
  api = caller(postern);
  customer = await startReceiver();
});
after(async () => {
  await customer?.stop();
  await postern?.stop();
});

/** A tenant with one source, and an endpoint if it is to be sent on. */
async function source(body, { endpoint } = {}) {
  const app = await api.ok("POST", "/api/v1/app", { name: "Receiving" });
  const from = await api.ok("POST", `/api/v1/app/${app.id}/source`, { name: "Source", ...body });
  const path = `/api/v1/app/${app.id}/source/${from.id}`;
  const to = endpoint && (await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: endpoint }));
  return { app, from, path, to };
}

async function post(from, body, headers = {}, init = {}) {
  const answer = await fetch(from.url ?? from, { method: "POST", redirect: "manual", body, headers, ...init });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const bearer = () => ({ authorization: `Bearer ${postern.token()}` });
const messages = async (app) => (await api.ok("GET", `/api/v1/app/${app.id}/msg`)).data;
const raw = async (app, { id }) => {
  const answer = await postern.fetch(`/api/v1/app/${app.id}/msg/${id}/body`, { headers: bearer() });
  assert.equal(answer.status, 200);
  return Buffer.from(await answer.arrayBuffer());
};
const stripeHeader = (payload, options) => ({
  "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret: STRIPE_SECRET, ...options }),
});

describe("large bodies", () => {
  const bytes = (length) => Buffer.alloc(length, "postern ");

  test("above 1 MiB stand in the bucket, and are read and delivered byte for byte", async () => {
    const path = inbox();
    const { app, from } = await source({ ...KEYED, maxBodyBytes: 25 * MIB }, { endpoint: path.url });
    const sink = await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { type: "polling" });
    const body = bytes(3 * MIB + 17);
    const headers = { ...KEY, "x-id": "large", "content-type": "application/octet-stream" };
    assert.equal((await post(from, body, headers)).status, 200);
    const [message] = await messages(app);
    assert.equal(message.payload.bytes, body.length);
    assert.ok(body.equals(await raw(app, message)), "read back as it came");
    const text = await api.ok("GET", `/api/v1/app/${app.id}/msg/${message.id}/raw`);
    assert.deepEqual([text.encoding, text.contentType], ["base64", "application/octet-stream"]);
    assert.ok(body.equals(Buffer.from(text.payload, "base64")), "as a text");
    const whole = await postern.fetch(`/api/v1/app/${app.id}/msg/${message.id}/request`, { headers: bearer() });
    assert.ok(body.equals(Buffer.from(await whole.arrayBuffer())), "its request is itself");
    const [polled] = (await api.ok("GET", `/api/v1/app/${app.id}/poller/${sink.id}`)).data;
    const lines = (await (await postern.fetch(`/api/v1/app/${app.id}/export`, { headers: bearer() })).text()).trim().split("\n");
    const exported = lines.map((line) => JSON.parse(line)).find(({ kind }) => kind === "message").message;
    assert.equal("body" in exported, false);
    for (const { path, bytes, sha256 } of [message.payload, polled.payload, exported.bodyAt]) {
      assert.deepEqual([path, bytes], [`msg/${message.id}/body`, body.length], "says where it is");
      assert.equal(sha256, createHash("sha256").update(body).digest("hex"));
    }
    const delivered = await path.request(1);
    assert.ok(body.equals(delivered.body), "delivered as it came");
    assert.equal((await post(from, body, headers)).status, 200);
    assert.equal((await messages(app)).length, 1, "deduped");
    const bucket = await postern.mf.getR2Bucket("BODIES");
    const kept = await eventually(
      async () => (await bucket.list({ prefix: `${app.id}/` })).objects,
      (objects) => objects.length === 1,
      "the duplicate's body goes",
      5000,
    );
    await api.ok("DELETE", `/api/v1/app/${app.id}/msg/${message.id}/content`);
    await eventually(() => bucket.get(kept[0].key), (object) => object === null, "the body goes with its content", 5000);
  });

  test("exactly 25 MiB are taken, and a byte more is refused while it streams", async () => {
    const { app, from } = await source({ ...KEYED, maxBodyBytes: 25 * MIB });
    const whole = new Blob([bytes(25 * MIB)]);
    const taken = await post(from, whole.stream(), KEY, { duplex: "half" });
    assert.equal(taken.status, 200, taken.text);
    const larger = new Blob([whole, "x"]);
    const refused = await post(from, larger.stream(), KEY, { duplex: "half" }).catch(() => ({ status: 413 }));
    assert.equal(refused.status, 413);
    assert.equal((await messages(app)).length, 1);
  });

  test("no more than 25 MiB can be asked for, and a small cap holds", async () => {
    const app = await api.ok("POST", "/api/v1/app", { name: "Caps" });
    const wrong = await api("POST", `/api/v1/app/${app.id}/source`, { name: "S", ...KEYED, maxBodyBytes: 25 * MIB + 1 });
    assert.equal(wrong.status, 422);
    const { from } = await source({ ...KEYED, maxBodyBytes: 10 });
    assert.equal((await post(from, "0123456789", KEY)).status, 200);
    assert.equal((await post(from, "0123456789a", KEY)).status, 413);
  });

  test("a body that does not come in time is refused", async () => {
    const { app, from } = await source(KEYED);
    const { hostname, port, pathname } = new URL(from.url);
    const socket = connect(Number(port), hostname);
    const answer = new Promise((done, failed) => {
      let text = "";
      socket.on("data", (chunk) => (text += chunk) && text.includes("\r\n\r\n") && done(text));
      socket.on("error", failed);
    });
    socket.write(`POST ${pathname} HTTP/1.1\r\nhost: x\r\nx-key: a-key-of-ours\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n`);
    assert.match(await answer, /^HTTP\/1\.1 408 /);
    socket.destroy();
    assert.equal((await messages(app)).length, 0);
  });

  test("a compressed body is verified as it came, kept compressed and sent on so", async () => {
    const path = inbox();
    const config = { header: "x-signature" };
    const { app, from } = await source({ provider: "hmac", config, secrets: ["the-hmac-secret"] }, { endpoint: path.url });
    const plain = JSON.stringify({ n: 1, text: "postern ".repeat(1000) });
    const body = gzipSync(plain);
    const sign = (bytes) => createHmac("sha256", "the-hmac-secret").update(bytes).digest("hex");
    const headers = { "content-encoding": "gzip", "content-type": "application/json" };
    assert.equal((await post(from, body, { ...headers, "x-signature": sign(plain) })).status, 401);
    assert.equal((await post(from, body, { ...headers, "x-signature": sign(body) })).status, 200);
    const [message] = await messages(app);
    assert.ok(body.equals(await raw(app, message)));
    const delivered = await path.request(1);
    assert.equal(delivered.headers["content-encoding"], "gzip");
    assert.ok(body.equals(delivered.body), "nobody inflated it");
  });

  test("a compression bomb is kept as small as it came", async () => {
    const { app, from } = await source(KEYED);
    const bomb = gzipSync(Buffer.alloc(64 * MIB), { level: 9 });
    assert.ok(bomb.length < MIB);
    assert.equal((await post(from, bomb, { ...KEY, "content-encoding": "gzip" })).status, 200);
    const [message] = await messages(app);
    assert.equal((await raw(app, message)).length, bomb.length);
  });
});

describe("answers", { concurrency: true }, () => {
  test("are the owner's where the owner gives one, and never HTML", async () => {
    const kinds = {
      text: ["text/plain; charset=utf-8", "taken"],
      json: ["application/json", '{"ok":true}'],
      xml: ["text/xml; charset=utf-8", "<Response/>"],
    };
    for (const [kind, [type, body]] of Object.entries(kinds)) {
      const { from } = await source({ ...KEYED, answer: { status: 202, kind, body } });
      assert.deepEqual(from.answer, { status: 202, kind, body });
      const answer = await post(from, "{}", KEY);
      assert.deepEqual([answer.status, answer.text, answer.headers.get("content-type")], [202, body, type]);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
      assert.equal((await post(from, "{}")).status, 401, "what is refused gets another one");
    }
  });

  test("that cannot be are refused with their place", async () => {
    const app = await api.ok("POST", "/api/v1/app", { name: "Answers" });
    const wrong = {
      "answer.kind": { kind: "html", body: "<b>" },
      "answer.status": { kind: "text", status: 302 },
      "answer.body": { kind: "json", body: "{" },
    };
    for (const [place, answer] of Object.entries(wrong)) {
      const refused = await api("POST", `/api/v1/app/${app.id}/source`, { name: "S", ...KEYED, answer });
      assert.equal(refused.status, 422);
      assert.deepEqual(refused.body.detail.map(({ loc }) => loc.slice(1).join(".")), [place]);
    }
  });

  test("never redirect: not for another path, not for a slash", async () => {
    const { from } = await source(KEYED);
    for (const path of [`${from.url}/`, from.url.replace("/in/", "/in//")]) {
      const answer = await post(path, "{}", KEY);
      assert.equal(answer.status, 404, path);
      assert.equal(answer.headers.get("location"), null);
    }
  });
});

describe("states", { concurrency: true }, () => {
  test("a paused source answers as ever and sends on when it is active again", async () => {
    const path = inbox();
    const { app, from, path: at } = await source(KEYED, { endpoint: path.url });
    assert.equal((await api.ok("PATCH", at, { state: "paused" })).state, "paused");
    const answer = await post(from, '{"n":1}', { ...KEY, "x-id": "1" });
    assert.deepEqual([answer.status, answer.text], [200, ""]);
    assert.equal((await post(from, "{}")).status, 401, "verified all the same");
    const [held] = await messages(app);
    assert.match(held.notSent, /paused/);
    assert.equal((await api.ok("PATCH", at, { state: "active" })).state, "active");
    const delivered = await path.request(1);
    assert.equal(delivered.body.toString(), '{"n":1}');
    assert.equal(delivered.headers["postern-replay-of"], held.id);
  });

  test("a disabled source is neither found missing nor gone, and stores nothing", async () => {
    const { app, from, path } = await source({ provider: "stripe", secrets: [STRIPE_SECRET] });
    const body = '{"id":"evt_1","type":"invoice.paid"}';
    assert.equal((await post(from, body, stripeHeader(body))).status, 200);
    await api.ok("PATCH", path, { state: "disabled" });
    const second = body.replace("evt_1", "evt_2");
    const answer = await post(from, second, stripeHeader(second));
    assert.ok([200, 503].includes(answer.status), `${answer.status}`);
    assert.equal((await post(from, second, {})).status, 401);
    assert.equal((await messages(app)).length, 1);
    assert.equal((await api.ok("GET", path)).state, "disabled");
    await api.ok("PATCH", path, { state: "active" });
    await eventually(
      () => post(from, second, stripeHeader(second)),
      ({ status }) => status === 200,
      "it takes webhooks again",
      40_000,
    );
  });

  test("a deleted source and one that never was are the same 404", async () => {
    const { from, path } = await source(KEYED);
    await api.ok("DELETE", path);
    const gone = await post(from, "{}", KEY);
    const never = await post(from.url.replace(/.$/, (last) => (last === "0" ? "1" : "0")), "{}", KEY);
    assert.deepEqual([gone.status, gone.text], [404, never.text]);
  });
});

describe("forwarding", { concurrency: true }, () => {
  test("passes through what names the event, and signs it with ours", async () => {
    const path = inbox();
    const { app, from, to } = await source(
      { provider: "stripe", secrets: [STRIPE_SECRET] },
      { endpoint: path.url },
    );
    const body = '{"id":"evt_1", "type":"invoice.paid"}';
    const headers = { ...stripeHeader(body), "x-request-id": "r1", authorization: "Bearer x", cookie: "a=b" };
    assert.equal((await post(from, body, headers)).status, 200);
    const delivered = await path.request(1);
    const { key } = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${to.id}/secret`);
    new Webhook(key).verify(delivered.body.toString(), delivered.headers);
    assert.equal(delivered.body.toString(), body);
    assert.equal(delivered.headers["x-request-id"], "r1");
    assert.equal(delivered.headers["postern-source"], from.id);
    assert.equal(delivered.headers["postern-provider"], "stripe");
    assert.equal(delivered.headers["postern-event-type"], "invoice.paid");
    assert.equal(delivered.headers["postern-event-id"], "evt_1");
    for (const name of ["stripe-signature", "authorization", "cookie"]) {
      assert.equal(delivered.headers[name], undefined, name);
    }
  });

  test("passes all through where the source asks for it, so that the provider's own library still verifies", async () => {
    const path = inbox();
    const settings = { provider: "stripe", secrets: [STRIPE_SECRET], forwardHeaders: "all" };
    const { from } = await source(settings, { endpoint: path.url });
    const body = '{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{}}}';
    const headers = { ...stripeHeader(body), authorization: "Bearer x", "x-custom": "1" };
    assert.equal((await post(from, body, headers)).status, 200);
    const delivered = await path.request(1);
    const event = stripe.webhooks.constructEvent(delivered.body, delivered.headers["stripe-signature"], STRIPE_SECRET);
    assert.equal(event.id, "evt_1");
    assert.equal(delivered.headers["x-custom"], "1");
    assert.equal(delivered.headers.authorization, undefined);
  });

  test("keeps the method and the parameters of the query that were named", async () => {
    const path = inbox();
    const { from } = await source({ ...KEYED, queryParameters: ["shop"] }, { endpoint: path.url });
    const answer = await post(`${from.url}?token=secret&shop=a%20b`, "{}", KEY, { method: "PUT" });
    assert.equal(answer.status, 200);
    const delivered = await path.request(1);
    assert.equal(delivered.method, "PUT");
    assert.equal(delivered.headers["postern-query"], "shop=a%20b");
  });

  test("puts it into an envelope, signed as a whole", async () => {
    const path = inbox();
    const { app, from, to } = await source({ ...KEYED, forward: "envelope" }, { endpoint: path.url });
    const body = '{"amount": 1.00}';
    assert.equal((await post(from, body, { ...KEY, "x-id": "e1", "content-type": "application/json" })).status, 200);
    const delivered = await path.request(1);
    const { key } = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${to.id}/secret`);
    new Webhook(key).verify(delivered.body.toString(), delivered.headers);
    const text = delivered.body.toString();
    assert.ok(text.endsWith('"data":{"amount": 1.00}}'), text);
    const envelope = JSON.parse(text);
    assert.deepEqual(
      [envelope.type, envelope.source, envelope.provider, envelope.providerEventId, envelope.verified],
      ["webhook.received", from.id, "api_key", "e1", "token"],
    );
    assert.equal(JSON.stringify(envelope).includes("a-key-of-ours"), false);
  });
});

describe("what was refused", { concurrency: true }, () => {
  test("is listed with its reason and without credentials, and counted", async () => {
    const { from, path } = await source(KEYED);
    await post(`${from.url}?a=1`, '{"n":1}', { "x-key": "the-wrong-key", authorization: "Bearer secret", "x-other": "shown" });
    const { data } = await eventually(() => api.ok("GET", `${path}/rejected`), ({ data }) => data.length === 1, "it is kept");
    const [rejected] = data;
    assert.deepEqual([rejected.reason, rejected.method, rejected.query], ["mismatch", "POST", "a=1"]);
    assert.deepEqual(rejected.body, { text: '{"n":1}' });
    assert.ok(!JSON.stringify(rejected).includes("the-wrong-key"));
    assert.ok(!JSON.stringify(rejected).includes("Bearer secret"));
    assert.ok(rejected.headers.some(([name, value]) => name === "x-other" && value === "shown"));
    assert.deepEqual(await api.ok("GET", `${path}/rejected/${rejected.id}`), rejected);
    const stats = await api.ok("GET", `${path}/stats`);
    assert.equal(stats.lastFailureReason, "mismatch");
    assert.deepEqual(stats.rejected.map(({ reason, count }) => [reason, count]), [["mismatch", 1]]);
    const other = await source(KEYED);
    assert.equal((await api("GET", `${other.path}/rejected/${rejected.id}`)).status, 404);
  });

  test("of a flood ten are kept a minute, and the ledger gets none of it", async () => {
    const { app, from, path } = await source(KEYED);
    const statuses = await Promise.all(Array.from({ length: 60 }, () => post(from, "{}", { "x-key": "wrong" })));
    assert.ok(statuses.every(({ status }) => status === 401));
    const { data } = await eventually(() => api.ok("GET", `${path}/rejected`), ({ data }) => data.length >= 10, "some are kept");
    assert.ok(data.length <= 20, `${data.length}: at most ten in each of two minutes`);
    assert.equal((await messages(app)).length, 0);
  });
});

describe("the doctor", { concurrency: true }, () => {
  test("says of a request that was refused, and of one that is told, which secret would have matched", async () => {
    const { app, from, path } = await source({ provider: "stripe", secrets: [STRIPE_SECRET] });
    const other = { name: "Stripe test", provider: "stripe", secrets: ["whsec_another_one_of_the_same_shop"] };
    await api.ok("POST", `/api/v1/app/${app.id}/source`, other);
    const body = '{"id":"evt_1","type":"invoice.paid"}';
    const headers = stripeHeader(body, { secret: other.secrets[0] });
    assert.equal((await post(from, body, headers)).status, 401);
    const { data } = await eventually(() => api.ok("GET", `${path}/rejected`), ({ data }) => data.length === 1, "it is kept");
    for (const request of [{ rejectedId: data[0].id }, { headers, body }]) {
      const { findings } = await api.ok("POST", `${path}/diagnose`, request);
      assert.equal(findings[0].step, "found");
      assert.ok(findings.some(({ step, sentence }) => step === "match" && sentence.includes("Stripe test")), JSON.stringify(findings));
      assert.ok(!JSON.stringify(findings).includes("whsec_another"));
    }
    assert.equal((await messages(app)).length, 0);
    assert.equal((await api("POST", `${path}/diagnose`, {})).status, 422);
  });
});

describe("secrets", { concurrency: true }, () => {
  test("have labels and times, say when they matched, and can be taken away one by one", async () => {
    const past = new Date(Date.now() - 1000).toISOString();
    const future = new Date(Date.now() + 3_600_000).toISOString();
    const secrets = [{ secret: "ended-secret", notAfter: past }, { secret: "later-secret", notBefore: future }, { secret: "live-secret", label: "of May" }];
    const { from, path } = await source({ ...KEYED, secrets });
    for (const secret of ["ended-secret", "later-secret"]) {
      assert.equal((await post(from, "{}", { "x-key": secret })).status, 401, secret);
    }
    assert.equal((await post(from, "{}", { "x-key": "live-secret" })).status, 200);
    const shown = await eventually(() => api.ok("GET", path), ({ secrets }) => secrets.some(({ lastMatchedAt }) => lastMatchedAt), "it matched");
    assert.deepEqual(shown.secrets.map(({ label, lastMatchedAt }) => [label, lastMatchedAt !== null]), [[null, false], [null, false], ["of May", true]]);
    await api.ok("DELETE", `${path}/secret/${shown.secrets[0].id}`);
    assert.equal((await api.ok("GET", path)).secrets.length, 2);
    assert.equal((await api("DELETE", `${path}/secret/${shown.secrets[0].id}`)).status, 404);
  });

  test("of which none is valid now accept nothing", async () => {
    const past = new Date(Date.now() - 1000).toISOString();
    const { from, path } = await source({ ...KEYED, secrets: [{ secret: "ended-secret", notAfter: past }] });
    assert.equal((await post(from, "{}", { "x-key": "ended-secret" })).status, 401);
    const { data } = await eventually(() => api.ok("GET", `${path}/rejected`), ({ data }) => data.length > 0, "the reason");
    assert.equal(data[0].reason, "no_active_secret");
  });
});

describe("the address that is signed", { concurrency: true }, () => {
  const config = { header: "x-signature", template: "{url}{body}" };
  const sign = (text) => createHmac("sha256", "the-hmac-secret").update(text).digest("hex");

  test("is the one that the owner says the provider has, with the request's query", async () => {
    const { from } = await source({ provider: "hmac", config, secrets: ["the-hmac-secret"], publicUrl: "https://hooks.acme.example" });
    const { pathname } = new URL(from.url);
    const answer = await post(`${from.url}?a=1`, "{}", { "x-signature": sign(`https://hooks.acme.example${pathname}?a=1{}`) });
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await post(`${from.url}?a=1`, "{}", { "x-signature": sign(`${from.url}?a=1{}`) })).status, 401);
  });

  test("is ours without that, whatever a proxy says", async () => {
    const { from } = await source({ provider: "hmac", config, secrets: ["the-hmac-secret"] });
    const headers = { "x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "x-signature": sign(`${from.url}{}`) };
    assert.equal((await post(from, "{}", headers)).status, 200);
  });
});

describe("replays", { concurrency: true }, () => {
  test("take a stored webhook again, to the endpoints of today, with a signature of today", async () => {
    const { app, from, path: at } = await source({ provider: "stripe", secrets: [STRIPE_SECRET] });
    const body = '{"id":"evt_1","type":"invoice.paid"}';
    assert.equal((await post(from, body, stripeHeader(body))).status, 200);
    const [message] = await messages(app);
    const path = inbox();
    const to = await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: path.url });
    const plan = { ids: [message.id], endpoints: [to.id] };
    assert.deepEqual(await api.ok("POST", `${at}/replay`, { ...plan, dryRun: true }), { count: 1, approximated: false });
    const task = await api.ok("POST", `${at}/replay`, plan);
    assert.equal(task.task, "source.replay");
    const delivered = await path.request(1);
    assert.equal(delivered.body.toString(), body);
    assert.equal(delivered.headers["postern-replay-of"], message.id);
    const { key } = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${to.id}/secret`);
    new Webhook(key).verify(delivered.body.toString(), delivered.headers);
    await eventually(() => api.ok("GET", `/api/v1/background-task/${task.id}`), ({ status }) => status === "finished", "it ends");
    assert.equal((await messages(app))[0].replayOf, message.id);
  });

  test("are named by the settings of today", async () => {
    const config = { header: "x-key", eventType: "header:x-topic" };
    const { app, from, path } = await source({ ...KEYED, config });
    const headers = { ...KEY, "x-topic": "a.topic", "x-other": "1" };
    assert.equal((await post(from, '{"kind":"a.kind"}', headers)).status, 200);
    const [original] = await messages(app);
    assert.equal(original.eventType, "a.topic");
    const replayed = async (eventType, count) => {
      await api.ok("PATCH", path, { config: { ...config, eventType } });
      await api.ok("POST", `${path}/replay`, { ids: [original.id] });
      const [again] = await eventually(() => messages(app), ({ length }) => length === count, "it came again");
      assert.equal(again.replayOf, original.id);
      return again.eventType;
    };
    assert.equal(await replayed("/kind", 2), "a.kind");
    assert.equal(await replayed("header:x-topic", 3), "a.topic", "a header that named it was kept");
    assert.equal(await replayed("header:x-other", 4), "a.topic", "one that did not was not: the name stays");
  });

  test("must say of what, and only of their own source", async () => {
    const one = await source(KEYED);
    const refused = await api("POST", `${one.path}/replay`, {});
    assert.equal(refused.status, 422);
    const other = await source(KEYED);
    await post(other.from, "{}", KEY);
    const [message] = await messages(other.app);
    assert.equal((await api("POST", `${one.path}/replay`, { ids: [message.id] })).status, 422);
  });
});

test("what is faster than a source's rate is asked to come again, and what comes again is taken", async () => {
  const { from } = await source({ provider: "stripe", secrets: [STRIPE_SECRET], rateLimit: 1 });
  const body = (n) => `{"id":"evt_${n}","type":"invoice.paid"}`;
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => post(from, body(n), stripeHeader(body(n)))));
  const late = answers.filter(({ status }) => status === 503);
  assert.ok(late.length >= 2, answers.map(({ status }) => status).join());
  assert.ok(late.every(({ headers }) => headers.get("retry-after")));
  const missed = answers.findIndex(({ status }) => status === 503) + 1;
  await eventually(() => post(from, body(missed), stripeHeader(body(missed))), ({ status }) => status === 200, "it is taken", 10_000);
});

test("two deliveries of one event at the same time are one message and two answers", async () => {
  const { app, from } = await source(KEYED);
  const answers = await Promise.all([1, 2, 3].map(() => post(from, "{}", { ...KEY, "x-id": "one" })));
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
  const [message, ...rest] = await messages(app);
  assert.deepEqual(rest, []);
  assert.equal((await api.ok("GET", `/api/v1/app/${app.id}/msg/${message.id}`)).duplicates, 2);
});

// Webhooks in: every preset with what it believes and what it does not, and the sources that they are posted to.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";

const MIB = 1024 * 1024;
const STRIPE_SECRET = "whsec_the_secret_that_stripe_shows_once";
const STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const stripe = new Stripe("sk_test_unused");
let postern, api;
before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  api = caller(postern);
});
after(() => postern?.stop());

const makeApp = () => api.ok("POST", "/api/v1/app", { name: "Inbound" });
const makeSource = (app, body) => api.ok("POST", `/api/v1/app/${app.id}/source`, { name: "Source", ...body });
const KEYED = { provider: "api_key", config: { header: "x-key" }, secrets: ["a-key-of-ours"] };

/** A tenant with one source. */
async function source(body) {
  const app = await makeApp();
  const from = await makeSource(app, body);
  return { app, from, path: `/api/v1/app/${app.id}/source/${from.id}` };
}

/** Posts a webhook: `{status, headers, text}`. */
async function post(from, body, headers = {}, method = "POST") {
  const answer = await fetch(from.url ?? from, { method, body, headers });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** A webhook that must be taken. */
async function taken(from, body, headers) {
  const answer = await post(from, body, headers);
  assert.deepEqual([answer.status, answer.text], [200, ""]);
}

/** A webhook that must be refused as 401 with this code and one sentence. */
async function refused(from, body, headers, code) {
  const answer = await post(from, body, headers);
  assert.equal(answer.status, 401, answer.text);
  const problem = JSON.parse(answer.text);
  assert.equal(problem.code, code);
  assert.equal(typeof problem.detail, "string");
  assert.deepEqual(Object.keys(problem).sort(), ["code", "detail"]);
}

/** The messages of a tenant, the newest first. */
const messages = async (app) => (await api.ok("GET", `/api/v1/app/${app.id}/msg`)).data;

const hmac = (secret, text, encoding = "hex", algorithm = "sha256") => createHmac(algorithm, secret).update(text).digest(encoding);
const basic = (user, password) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
const seconds = () => Math.floor(Date.now() / 1000);
const stripeHeader = (payload, options) => ({
  "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret: STRIPE_SECRET, ...options }),
});
function standard(id, body, { secret = STANDARD_SECRET, at = new Date(), family = "webhook" } = {}) {
  return {
    [`${family}-id`]: id,
    [`${family}-timestamp`]: String(Math.floor(at / 1000)),
    [`${family}-signature`]: new Webhook(secret).sign(id, at, body),
  };
}

const templated = {
  header: "x-signature",
  algorithm: "sha512",
  encoding: "base64",
  prefix: "v1=",
  template: "{timestamp}.{body}",
  timestampHeader: "x-time",
};

/** Each preset: what it believes, and by reason what it does not. */
const presets = {
  stripe: {
    source: { provider: "stripe", secrets: [STRIPE_SECRET] },
    body: '{"id":"evt_1","type":"invoice.paid"}',
    good: (body) => stripeHeader(body),
    wanted: { eventType: "invoice.paid", eventId: "evt_1" },
    bad: {
      missing_signature: () => ({}),
      malformed_signature: () => ({ "stripe-signature": "nonsense" }),
      mismatch: (body) => stripeHeader(body, { secret: "whsec_another" }),
      stale: (body) => stripeHeader(body, { timestamp: seconds() - 3600 }),
    },
  },
  "standard-webhooks": {
    source: { provider: "standard-webhooks", secrets: [STANDARD_SECRET] },
    body: '{"type":"user.added"}',
    good: (body) => standard("msg_1", body),
    wanted: { eventType: "user.added", eventId: "msg_1" },
    bad: {
      missing_signature: () => ({}),
      unknown_scheme: (body) => ({ ...standard("msg_1", body), "webhook-signature": "v9,abc" }),
      mismatch: (body) => ({ ...standard("msg_1", body), "webhook-id": "msg_2" }),
      bad_timestamp: (body) => ({ ...standard("msg_1", body), "webhook-timestamp": "soon" }),
      stale: (body) => standard("msg_1", body, { at: new Date(Date.now() - 3_600_000) }),
      future: (body) => standard("msg_1", body, { at: new Date(Date.now() + 3_600_000) }),
    },
  },
  hmac: {
    source: { provider: "hmac", config: templated, secrets: ["the-hmac-secret"] },
    body: "plain text",
    good: (body, time = seconds(), secret = "the-hmac-secret") => ({
      "x-time": String(time),
      "x-signature": `v1=${hmac(secret, `${time}.${body}`, "base64", "sha512")}`,
    }),
    wanted: { eventType: "webhook.received", eventId: null },
    bad: {
      missing_signature: () => ({ "x-time": String(seconds()) }),
      malformed_signature: (body, good) => ({ ...good(body), "x-signature": "v1=%%%" }),
      mismatch: (body, good) => good(body, seconds(), "another"),
      stale: (body, good) => good(body, seconds() - 3600),
      bad_timestamp: (body, good) => ({ ...good(body), "x-time": "1e9" }),
    },
  },
  basic: {
    source: { provider: "basic", config: { username: "acme" }, secrets: ["a: password"] },
    body: "{}",
    good: () => basic("acme", "a: password"),
    wanted: { eventType: "webhook.received", eventId: null },
    bad: {
      missing_signature: () => ({}),
      malformed_signature: () => ({ authorization: "Basic %%%" }),
      mismatch: () => basic("acme", "another"),
    },
  },
  api_key: {
    source: KEYED,
    body: "",
    good: () => ({ "x-key": "a-key-of-ours" }),
    wanted: { eventType: "webhook.received", eventId: null },
    bad: { missing_signature: () => ({}), mismatch: () => ({ "x-key": "a-key-of-our" }) },
  },
};

describe("presets", { concurrency: true }, () => {
  for (const [provider, { source: settings, body, good, wanted, bad }] of Object.entries(presets)) {
    test(`${provider} takes what is genuine and says when it is active`, async () => {
      const { app, from, path } = await source(settings);
      assert.equal(from.provider, provider);
      assert.equal(from.state, "pending");
      await taken(from, body, good(body));
      const [message, ...rest] = await messages(app);
      assert.deepEqual([message.eventType, message.eventId ?? null], [wanted.eventType, wanted.eventId]);
      assert.equal(message.sourceId, from.id);
      assert.deepEqual(rest, []);
      await eventually(() => api.ok("GET", path), ({ state }) => state === "active", "the source is active", 5000);
    });

    for (const [reason, headers] of Object.entries(bad)) {
      test(`${provider} refuses ${reason}, records why, and stores nothing`, async () => {
        const { app, from, path } = await source(settings);
        const code = reason === "missing_signature" ? "signature_missing" : "signature_invalid";
        await refused(from, body, headers(body, good), code);
        const counts = await eventually(() => inspect(postern, app.id), ({ rejected }) => rejected.length > 0, "the reason");
        assert.equal(counts.rejected.length, 1);
        assert.equal(counts.rejected[0].reason, reason, counts.rejected[0].detail);
        assert.ok(counts.rejected[0].detail.length > 10);
        for (const secret of settings.secrets) {
          assert.ok(!JSON.stringify(counts).includes(secret), "a reason holds no secret");
        }
        assert.deepEqual([counts.messages, counts.lastSequence], [0, 0]);
        assert.equal((await api.ok("GET", path)).state, "pending");
      });
    }
  }

  test("a changed body is refused where the body is signed", async () => {
    for (const provider of ["stripe", "standard-webhooks", "hmac"]) {
      const { source: settings, body, good } = presets[provider];
      const { from } = await source(settings);
      await refused(from, `${body} `, good(body), "signature_invalid");
    }
  });

  test("standard-webhooks takes the svix names, too", async () => {
    const { app, from } = await source({ provider: "standard-webhooks", secrets: [STANDARD_SECRET] });
    await taken(from, '{"type":"a.b"}', standard("msg_s", '{"type":"a.b"}', { family: "svix" }));
    assert.equal((await messages(app))[0].eventId, "msg_s");
  });

  test("hmac by its defaults is SHA-256 in hex over the body", async () => {
    const { from } = await source({ provider: "hmac", config: { header: "X-Hub-Signature-256", prefix: "sha256=" }, secrets: ["s3cret-s3cret"] });
    const body = '{"zen":"ö"}';
    await taken(from, body, { "x-hub-signature-256": `sha256=${hmac("s3cret-s3cret", body)}` });
    await refused(from, body, { "x-hub-signature-256": `sha256=${hmac("s3cret-s3cret", `${body}\n`)}` }, "signature_invalid");
  });

  test("a key in the query string is not looked at", async () => {
    const { from } = await source(KEYED);
    await refused(`${from.url}?x-key=a-key-of-ours`, "{}", {}, "signature_missing");
  });
});

describe("the address", { concurrency: true }, () => {
  test("that nobody was given is not found", async () => {
    const { from } = await source(KEYED);
    const token = new URL(from.url).pathname.split("/").pop();
    const other = token.at(-1) === "0" ? "1" : "0";
    const odd = [token.slice(0, -1) + other, token.slice(0, -1), `${token}0`, "", "x", "%ff", `${token}/more`, "0".repeat(token.length)];
    for (const text of odd) {
      const answer = await post(`${postern.url}/in/${text}`, "{}", { "x-key": "a-key-of-ours" });
      assert.equal(answer.status, 404, text);
      assert.equal(JSON.parse(answer.text).code, "not_found");
    }
    await taken(from, "{}", { "x-key": "a-key-of-ours" });
  });

  for (const method of ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]) {
    test(`takes no ${method}, and says what it takes`, async () => {
      const { app, from } = await source({ ...KEYED, methods: ["POST"] });
      const answer = await post(from, undefined, { "x-key": "a-key-of-ours" }, method);
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.get("allow"), "POST");
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
      assert.equal((await inspect(postern, app.id)).messages, 0);
    });
  }

  test("answers nothing that a browser would run", async () => {
    const { from } = await source(KEYED);
    for (const headers of [{}, { "x-key": "a-key-of-ours" }]) {
      const answer = await post(from, "{}", headers);
      assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.ok(!(answer.headers.get("content-type") ?? "").includes("html"));
    }
  });

  test("a query behind it changes nothing", async () => {
    const { app, from } = await source(KEYED);
    await taken(`${from.url}?a=b`, "{}", { "x-key": "a-key-of-ours" });
    assert.equal((await messages(app)).length, 1);
  });
});

describe("bodies", { concurrency: true }, () => {
  const headers = { "x-key": "a-key-of-ours" };
  const raw = async (app, { id }) => {
    const authorization = `Bearer ${postern.token()}`;
    const answer = await postern.fetch(`/api/v1/app/${app.id}/msg/${id}/body`, { headers: { authorization } });
    return Buffer.from(await answer.arrayBuffer());
  };

  test("an empty one is a message, too", async () => {
    const { app, from } = await source(KEYED);
    await taken(from, undefined, headers);
    const [message] = await messages(app);
    assert.equal((await raw(app, message)).length, 0);
  });

  test("one that is no UTF-8 is kept byte for byte", async () => {
    const { app, from } = await source(KEYED);
    const body = Buffer.from(Array.from({ length: 256 }, (_, n) => 255 - n));
    await taken(from, body, { ...headers, "content-type": "application/octet-stream" });
    const [message] = await messages(app);
    assert.deepEqual(message.payload, { contentType: "application/octet-stream", base64: body.toString("base64") });
    assert.deepEqual(await raw(app, message), body);
  });

  test("an announced length over the cap is refused before a byte is read", async () => {
    const { from } = await source(KEYED);
    const { hostname, port, pathname } = new URL(from.url);
    const socket = connect(Number(port), hostname);
    const answer = new Promise((done, failed) => {
      let text = "";
      socket.on("data", (chunk) => (text += chunk) && text.includes("\r\n\r\n") && done(text));
      socket.on("error", failed);
    });
    socket.write(`POST ${pathname} HTTP/1.1\r\nhost: x\r\nx-key: a-key-of-ours\r\ncontent-length: ${MIB + 1}\r\n\r\n`);
    assert.match(await answer, /^HTTP\/1\.1 413 /);
    socket.destroy();
  });

  test("one without a length is counted while it comes, and refused at the first byte too many", async () => {
    const { app, from } = await source(KEYED);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        sent += 64 * 1024;
        controller.enqueue(new Uint8Array(64 * 1024));
        if (sent >= 64 * MIB) {
          controller.close();
        }
      },
    });
    const status = await fetch(from.url, { method: "POST", headers, body, duplex: "half" }).then(
      (answer) => answer.status,
      (error) => assert.ok(sent < 64 * MIB, `${error}`), // the server may hang up while the sender still pours
    );
    assert.ok(status === undefined || status === 413, `${status}`);
    assert.ok(sent < 64 * MIB, `${sent} bytes went`);
    assert.equal((await inspect(postern, app.id)).messages, 0);
  });

  test("one without a length that fits exactly is taken; a byte more is not", async () => {
    const { app, from } = await source(KEYED);
    const stream = (length) => new Blob([new Uint8Array(length)]).stream();
    const answer = await fetch(from.url, { method: "POST", headers, body: stream(MIB), duplex: "half" });
    assert.equal(answer.status, 200);
    const larger = await fetch(from.url, { method: "POST", headers, body: stream(MIB + 1), duplex: "half" });
    assert.equal(larger.status, 413);
    assert.equal((await inspect(postern, app.id)).messages, 1);
  });

  test("an odd content type does no harm", async () => {
    const { app, from } = await source(KEYED);
    for (const type of ["", "text/html", "x".repeat(5000), "tëxt/plain".normalize("NFC")]) {
      await taken(from, "<script>1</script>", { ...headers, "content-type": Buffer.from(type).toString("latin1") });
    }
    for (const { id } of await messages(app)) {
      const answer = await postern.fetch(`/api/v1/app/${app.id}/msg/${id}/body`, {
        headers: { authorization: `Bearer ${postern.token()}` },
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
      assert.equal(answer.headers.get("content-disposition"), "attachment");
    }
  });
});

describe("an event's name", { concurrency: true }, () => {
  const headers = { "x-key": "a-key-of-ours" };
  const named = (eventType, eventId) => source({ ...KEYED, config: { header: "x-key", eventType, eventId } });

  test("comes from the headers that the source names", async () => {
    const { app, from } = await named("header:x-event", "x-id");
    await taken(from, "not json", { ...headers, "x-event": "push", "x-id": "1" });
    const [message] = await messages(app);
    assert.deepEqual([message.eventType, message.eventId], ["push", "1"]);
  });

  test("comes from where the JSON pointers point", async () => {
    const { app, from } = await named("/meta/a~1b/0", "/id");
    await taken(from, '{"id":17,"meta":{"a/b":["order.paid"]}}', headers);
    const [message] = await messages(app);
    assert.deepEqual([message.eventType, message.eventId], ["order.paid", "17"]);
  });

  test("is the default where there is none, and characters that no filter can name are replaced", async () => {
    const { app, from } = await named("/type", "/id");
    const bodies = ["", "{", "[]", '{"type":{},"id":[]}', '{"type":"a b\\u00e9"}', "\xff"];
    for (const body of bodies) {
      await taken(from, body, headers);
    }
    const names = (await messages(app)).map(({ eventType }) => eventType).toReversed();
    assert.deepEqual(names, [...Array(4).fill("webhook.received"), "a_b_", "webhook.received"]);
    assert.ok((await messages(app)).every(({ eventId }) => eventId === null));
  });

  test("the same id again is answered the same and stored once; without an id nothing is deduplicated", async () => {
    const { app, from } = await named("/type", "/id");
    await Promise.all(Array.from({ length: 5 }, () => taken(from, '{"id":"evt_1"}', headers)));
    await taken(from, '{"id":"evt_1","other":"body"}', headers);
    assert.equal((await messages(app)).length, 1);
    await taken(from, '{"id":""}', headers);
    await taken(from, '{"id":""}', headers);
    assert.equal((await messages(app)).length, 3);
  });

  test("the same id at another source is another event", async () => {
    const { app, from } = await named("/type", "/id");
    const other = await makeSource(app, { ...KEYED, config: { header: "x-key", eventId: "/id" } });
    await taken(from, '{"id":"evt_1"}', headers);
    await taken(other, '{"id":"evt_1"}', headers);
    assert.equal((await messages(app)).length, 2);
  });
});

describe("secrets", { concurrency: true }, () => {
  const OLD = "the-old-secret-abcd";
  const NEW = "the-new-secret-wxyz";
  const key = (value) => ({ "x-key": value });
  const keyed = () => source({ provider: "api_key", config: { header: "x-key" }, secrets: [OLD] });

  test("are never shown again, only their last four characters", async () => {
    const { app, from, path } = await keyed();
    const rotated = await api.ok("POST", `${path}/secret/rotate`, { secret: NEW });
    assert.deepEqual(rotated.secrets.map(({ hint }) => hint).sort(), ["abcd", "wxyz"]);
    assert.ok(rotated.secrets.every(({ notBefore }) => !Number.isNaN(Date.parse(notBefore))));
    const token = await api.ok("POST", `${path}/token/rotate`);
    const patched = await api.ok("PATCH", path, { name: "Patched" });
    const replaced = await api.ok("PUT", path, { name: "Put", provider: "api_key", config: { header: "x-key" } });
    const listed = await api.ok("GET", `/api/v1/app/${app.id}/source`);
    const got = await api.ok("GET", path);
    const counts = await inspect(postern, app.id);
    for (const [name, shown] of Object.entries({ from, rotated, token, patched, replaced, listed, got, counts })) {
      for (const secret of [OLD, NEW]) {
        assert.ok(!JSON.stringify(shown).includes(secret.slice(0, -4)), name);
      }
    }
  });

  test("are refused by update and patch, which change nothing then", async () => {
    const { path, from } = await keyed();
    const whole = { name: "Changed", provider: "api_key", config: { header: "x-other" }, secrets: [NEW] };
    for (const [method, body] of [["PUT", whole], ["PATCH", { name: "Changed", secrets: [NEW] }]]) {
      const answer = await api(method, path, body);
      assert.equal(answer.status, 422, method);
      assert.deepEqual(answer.body.detail.map(({ loc }) => loc), [["body", "secrets"]]);
      assert.ok(!JSON.stringify(answer.body).includes(NEW));
    }
    assert.equal((await api.ok("GET", path)).name, "Source");
    await taken(from, "{}", key(OLD));
    await refused(from, "{}", key(NEW), "signature_invalid");
  });

  test("both hold while a rotation overlaps", async () => {
    const { from, path } = await keyed();
    await taken(from, "{}", key(OLD));
    // The edge still knows the source as it was: the first use of the new secret makes it ask.
    await api.ok("POST", `${path}/secret/rotate`, { secret: NEW, overlapSeconds: 3600 });
    await taken(from, "{}", key(OLD));
    await taken(from, "{}", key(NEW));
    const { secrets } = await api.ok("GET", path);
    const old = secrets.find(({ hint }) => hint === "abcd");
    const wait = Date.parse(old.notAfter) - Date.now();
    assert.ok(wait > 3_500_000 && wait <= 3_600_000, `${wait} ms`);
    assert.equal(secrets.find(({ hint }) => hint === "wxyz").notAfter ?? null, null);
  });

  test("the old one ends with the overlap", async () => {
    const { from, path } = await keyed();
    await taken(from, "{}", key(OLD));
    await api.ok("POST", `${path}/secret/rotate`, { secret: NEW, overlapSeconds: 1 });
    await taken(from, "{}", key(NEW));
    await eventually(() => post(from, "{}", key(OLD)), ({ status }) => status === 401, "the old one is refused");
    await taken(from, "{}", key(NEW));
  });

  test("without an overlap the old one ends with the first use of the new one", async () => {
    const { from, path } = await keyed();
    await taken(from, "{}", key(OLD));
    await api.ok("POST", `${path}/secret/rotate`, { secret: NEW, overlapSeconds: 0 });
    await taken(from, "{}", key(NEW));
    await refused(from, "{}", key(OLD), "signature_invalid");
  });

  test("of four that hold at once each accepts; there are no five", async () => {
    const secrets = ["first-secret", "second-secret", "third-secret", "fourth-secret"];
    const { app, from, path } = await source({ provider: "api_key", config: { header: "x-key" }, secrets });
    for (const secret of secrets) {
      await taken(from, "{}", key(secret));
    }
    const five = { name: "Five", ...KEYED, secrets: [...secrets, "fifth-secret"] };
    assert.equal((await api("POST", `/api/v1/app/${app.id}/source`, five)).status, 422);
    const rotated = await api("POST", `${path}/secret/rotate`, { secret: "fifth-secret" });
    assert.ok(rotated.status < 500 && (rotated.status !== 200 || rotated.body.secrets.length <= 4), JSON.stringify(rotated));
  });

  test("a rotation that cannot be is refused with its place", async () => {
    const { path } = await source({ provider: "standard-webhooks", secrets: [STANDARD_SECRET] });
    for (const [body, place] of [
      [{}, "secret"],
      [{ secret: 1 }, "secret"],
      [{ secret: "" }, "secret"],
      [{ secret: "whsec_%%%" }, "secret"],
      [{ secret: STANDARD_SECRET, overlapSeconds: -1 }, "overlapSeconds"],
      [{ secret: STANDARD_SECRET, overlapSeconds: "1" }, "overlapSeconds"],
    ]) {
      const answer = await api("POST", `${path}/secret/rotate`, body);
      assert.equal(answer.status, 422, JSON.stringify(body));
      assert.deepEqual(answer.body.detail.map(({ loc }) => loc), [["body", place]]);
    }
    assert.equal((await api.ok("GET", path)).secrets.length, 1);
  });
});

describe("the address's rotation", { concurrency: true }, () => {
  const headers = { "x-key": "a-key-of-ours" };

  test("gives a new one, and the old one holds while they overlap", async () => {
    const { app, from, path } = await source(KEYED);
    const rotated = await api.ok("POST", `${path}/token/rotate`);
    assert.notEqual(rotated.url, from.url);
    assert.equal((await api.ok("GET", path)).url, rotated.url);
    await taken(from, "{}", headers);
    await taken(rotated, "{}", headers);
    assert.equal((await messages(app)).length, 2);
  });

  test("without an overlap ends the old one at once", async () => {
    const { from, path } = await source(KEYED);
    const rotated = await api.ok("POST", `${path}/token/rotate`, { overlapSeconds: 0 });
    await taken(rotated, "{}", headers);
    assert.equal((await post(from, "{}", headers)).status, 404);
  });

  test("ends the old one with the overlap", async () => {
    const { from, path } = await source(KEYED);
    const rotated = await api.ok("POST", `${path}/token/rotate`, { overlapSeconds: 1 });
    await eventually(() => post(from, "{}", headers), ({ status }) => status === 404, "the old address is gone");
    await taken(rotated, "{}", headers);
  });

  test("with one idempotency key happens once", async () => {
    const { path } = await source(KEYED);
    const idempotency = { "idempotency-key": randomUUID() };
    const first = await api.ok("POST", `${path}/token/rotate`, {}, idempotency);
    const again = await api.ok("POST", `${path}/token/rotate`, {}, idempotency);
    assert.equal(again.url, first.url);
  });
});

describe("sources", { concurrency: true }, () => {
  test("are made, found, listed page by page, changed and deleted", async () => {
    const app = await makeApp();
    const path = `/api/v1/app/${app.id}/source`;
    const made = [];
    for (let n = 0; n < 5; n++) {
      made.push(await makeSource(app, { ...KEYED, name: `Source ${n}`, uid: `source-${n}` }));
    }
    assert.match(made[0].id, /^src_[0-9A-Za-z]{27}$/);
    assert.ok(made[0].url.startsWith(`${postern.url}/in/`));
    assert.deepEqual(made[0].config, { header: "x-key" });
    assert.equal(new Set(made.map(({ url }) => url)).size, 5);

    const seen = [];
    for (let iterator = "", done = false; !done; ) {
      const page = await api.ok("GET", `${path}?limit=2${iterator && `&iterator=${encodeURIComponent(iterator)}`}`);
      assert.deepEqual(Object.keys(page).sort(), ["data", "done", "iterator", "prevIterator"]);
      assert.ok(page.data.length <= 2 && seen.length <= 5);
      seen.push(...page.data);
      ({ iterator, done } = page);
    }
    assert.deepEqual(seen, made);
    assert.deepEqual(await api.ok("GET", `${path}/source-3`), made[3]);

    const patched = await api.ok("PATCH", `${path}/${made[0].id}`, { name: "Patched", config: { header: "x-other" } });
    assert.deepEqual([patched.name, patched.config, patched.uid, patched.url], ["Patched", { header: "x-other" }, "source-0", made[0].url]);
    await refused(made[0], "{}", { "x-key": "a-key-of-ours" }, "signature_missing");
    await taken(made[0], "{}", { "x-other": "a-key-of-ours" });

    assert.equal((await api("POST", path, { name: "Twice", ...KEYED, uid: "source-1" })).status, 409);
    assert.equal((await api("DELETE", `${path}/${made[1].id}`)).status, 204);
    assert.equal((await api("GET", `${path}/${made[1].id}`)).status, 404);
    assert.equal((await api("GET", `${path}/source-1`)).status, 404);
    assert.equal((await post(made[1], "{}", { "x-key": "a-key-of-ours" })).status, 404);
    assert.equal((await api.ok("GET", path)).data.length, 4);
    await makeSource(app, { ...KEYED, uid: "source-1" });
  });

  test("one that was in use is not found soon after it is deleted, and its messages stay", async () => {
    const { app, from, path } = await source(KEYED);
    await taken(from, "{}", { "x-key": "a-key-of-ours" });
    assert.equal((await api("DELETE", path)).status, 204);
    await eventually(() => post(from, "{}", { "x-key": "a-key-of-ours" }), ({ status }) => status === 404, "404", 5000);
    const [message] = await messages(app);
    assert.equal(message.sourceId, from.id);
  });

  test("one of a deleted tenant is not found", async () => {
    const { app, from } = await source(KEYED);
    await taken(from, "{}", { "x-key": "a-key-of-ours" });
    assert.equal((await api("DELETE", `/api/v1/app/${app.id}`)).status, 204);
    await eventually(() => post(from, "{}", { "x-key": "a-key-of-ours" }), ({ status }) => status === 404, "404", 5000);
  });

  test("of one tenant are not another's", async () => {
    const { from } = await source(KEYED);
    const other = await makeApp();
    const path = `/api/v1/app/${other.id}/source/${from.id}`;
    for (const [method, suffix, body] of [
      ["GET", ""],
      ["PUT", "", { name: "x", ...KEYED, secrets: undefined }],
      ["PATCH", "", { name: "x" }],
      ["DELETE", ""],
      ["POST", "/token/rotate", {}],
      ["POST", "/secret/rotate", { secret: "another-secret" }],
    ]) {
      assert.equal((await api(method, path + suffix, body)).status, 404, `${method} ${suffix}`);
    }
    await taken(from, "{}", { "x-key": "a-key-of-ours" });
  });
});

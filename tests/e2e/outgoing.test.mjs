// Deliveries to endpoints that behave badly in every way that a server can, and what is never sent at all.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { endless, garbage, hang, hangInBody, redirect, reset, slow, startReceiver, status } from "./receiver.mjs";

const MIB = 1024 * 1024;
let postern, receiver, api;
before(async () => {
  const vars = { TEST_HOOKS: "1", DELIVERY_TIMEOUT_SECONDS: "2", LEASE_SECONDS: "10" };
  [postern, receiver] = await Promise.all([start({ vars }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

let count = 0;
/** An inbox that no other test has. */
const inboxOf = (what) => receiver.at(`/${what}-${++count}`);

const makeApp = (body) => api.ok("POST", "/api/v1/app", { name: "Outgoing", ...body });
const makeEndpoint = (app, inbox, body) => api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url, ...body });
const publish = (app, body) => api.ok("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: { n: 1 }, ...body });
const attemptsOf = (app, message) => api.ok("GET", `/api/v1/app/${app.id}/attempt/msg/${message.id}`);

/** The attempts of a message once there are this many, oldest first. */
async function attempts(app, message, n, patience) {
  const { data } = await eventually(
    () => attemptsOf(app, message),
    ({ data }) => data.length >= n,
    `${n} attempts`,
    patience,
  );
  assert.equal(data.length, n);
  return data.toReversed();
}

/** One message to one endpoint that is tried once; answers the attempt and where it went. */
async function once(answer, body = {}) {
  const inbox = inboxOf("once").always(answer);
  const app = await makeApp();
  const endpoint = await makeEndpoint(app, inbox, { retrySchedule: [], ...body });
  const message = await publish(app);
  const [attempt] = await attempts(app, message, 1);
  return { app, endpoint, message, attempt, inbox };
}

describe("how an attempt ends", { concurrency: true }, () => {
  const causes = [
    ["an error of the endpoint's", status(500, {}, "broken"), { responseStatusCode: 500, cause: "server_error", response: "broken" }],
    ["a refusal", status(400, {}, "no"), { responseStatusCode: 400, cause: "client_error", response: "no" }],
    ["410, which is a failure", 410, { responseStatusCode: 410, cause: "gone" }],
    ["413", 413, { responseStatusCode: 413, cause: "too_large" }],
    ["429", 429, { responseStatusCode: 429, cause: "too_many_requests", whoActs: "nobody" }],
    ["520 by the endpoint itself", 520, { responseStatusCode: 520, cause: "server_error" }],
    ["a connection that is reset", reset(), { responseStatusCode: 0, cause: "connection_lost" }],
    ["no answer", hang(), { responseStatusCode: 0, cause: "timeout" }],
    ["headers and then nothing", hangInBody(), { responseStatusCode: 200, cause: "body_timeout" }],
    ["less of a body than was announced", hangInBody(200, { "content-length": "100" }), { responseStatusCode: 200, cause: "body_timeout" }],
    ["a failure's headers and then nothing", hangInBody(500), { responseStatusCode: 500, cause: "server_error" }],
  ];
  for (const [what, answer, wanted] of causes) {
    test(`${what} is a failure with its cause`, async () => {
      const { attempt, inbox } = await once(answer);
      assert.equal(attempt.status, 2);
      for (const [field, value] of Object.entries(wanted)) {
        assert.equal(attempt[field], value, `${field} of ${JSON.stringify(attempt)}`);
      }
      assert.ok(attempt.causeText.length > 10);
      assert.equal(inbox.requests.length, 1);
    });
  }

  test("what is not HTTP is a failure", async () => {
    const { attempt } = await once(garbage());
    assert.equal(attempt.status, 2);
    assert.equal(attempt.responseStatusCode, 0);
    assert.ok(["connection_lost", "unknown", "name_or_tls"].includes(attempt.cause), attempt.cause);
  });

  test("a port where nobody listens is a failure", async () => {
    const gone = await startReceiver();
    const { url } = gone.at("/gone");
    await gone.stop();
    const app = await makeApp();
    await makeEndpoint(app, { url }, { retrySchedule: [] });
    const [attempt] = await attempts(app, await publish(app), 1);
    assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.cause], [2, 0, "connection_lost"]);
  });

  for (const code of [200, 201, 202, 204, 299]) {
    test(`${code} is success`, async () => {
      const { attempt } = await once(code);
      assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.cause ?? null], [0, code, null]);
    });
  }

  for (const code of [301, 302, 303, 307, 308]) {
    test(`a redirect by ${code} is a failure, and its target is never contacted`, async () => {
      const target = inboxOf("target");
      const { attempt, inbox } = await once(redirect(target.url, code));
      assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.cause], [2, code, "redirect"]);
      assert.equal(inbox.requests.length, 1);
      assert.equal(target.requests.length, 0);
    });
  }

  test("a slow answer inside the deadline is success", async () => {
    const { attempt } = await once(slow(1000));
    assert.equal(attempt.status, 0);
    assert.ok(attempt.responseDurationMs >= 900, `${attempt.responseDurationMs} ms`);
  });

  test("the deadline ends a request that hangs", async () => {
    const { attempt, inbox } = await once(hang());
    assert.ok(attempt.responseDurationMs >= 1900 && attempt.responseDurationMs < 6000, `${attempt.responseDurationMs} ms`);
    await inbox.requests[0].closed;
  });

  test("an endless body of a success is cut, and it stays a success", async () => {
    const { attempt, inbox } = await once(endless());
    assert.deepEqual([attempt.status, attempt.responseStatusCode], [0, 200]);
    assert.equal(attempt.response, "x".repeat(1024));
    await inbox.requests[0].closed;
    assert.ok(inbox.requests[0].sent < 64 * MIB, `${inbox.requests[0].sent} bytes were poured`);
  });

  test("an endless body of a failure is cut where an error page has said enough", async () => {
    const { attempt, inbox } = await once(endless(500));
    assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.cause], [2, 500, "server_error"]);
    assert.equal(attempt.response, "x".repeat(16 * 1024));
    await inbox.requests[0].closed;
  });

  test("a small body that unpacks to a huge one is cut like any other", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB, "x"));
    assert.ok(bomb.length < 100_000);
    for (const [code, kept] of [[200, 1024], [500, 16 * 1024]]) {
      const { attempt } = await once(status(code, { "content-encoding": "gzip" }, bomb));
      assert.equal(attempt.responseStatusCode, code);
      assert.equal(attempt.response, "x".repeat(kept));
    }
  });

  test("an answer that is no UTF-8 is shown without breaking the list", async () => {
    const { attempt } = await once(status(500, {}, Buffer.from([0xff, 0xfe, 0x41])));
    assert.ok(attempt.response.endsWith("A"), attempt.response);
  });

  test("an attempt shows the URL without the values of its query", async () => {
    const inbox = inboxOf("query");
    const app = await makeApp();
    await makeEndpoint(app, { url: `${inbox.url}?token=hunter2` });
    const [attempt] = await attempts(app, await publish(app), 1);
    assert.ok(!JSON.stringify(attempt).includes("hunter2"), attempt.url);
    assert.ok(inbox.requests[0].url.endsWith("?token=hunter2"));
  });
});

describe("when a delivery is tried again", { concurrency: true }, () => {
  for (const code of [429, 503]) {
    test(`after ${code} never before Retry-After is over`, async () => {
      const inbox = inboxOf("retry-after").answer(status(code, { "retry-after": "3" }));
      const app = await makeApp();
      await makeEndpoint(app, inbox, { retrySchedule: [1] });
      await publish(app);
      const second = await inbox.request(2);
      const waited = second.at - inbox.requests[0].at;
      assert.ok(waited >= 3000, `${waited} ms`);
      assert.ok(waited < 12_000, `${waited} ms`);
    });
  }

  test("Retry-After may be a date", async () => {
    const date = new Date(Date.now() + 4000);
    const inbox = inboxOf("retry-date").answer(status(503, { "retry-after": date.toUTCString() }));
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [1] });
    await publish(app);
    const second = await inbox.request(2);
    assert.ok(second.at >= Math.floor(date / 1000) * 1000, `${second.at - date} ms`);
  });

  test("not after the plan is used up", async () => {
    const inbox = inboxOf("used-up").always(500);
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [1, 1] });
    const message = await publish(app);
    await attempts(app, message, 3);
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.failed === 1, "failed for good");
    const counts = await inspect(postern, app.id);
    assert.deepEqual([counts.due, counts.deliveries.waiting], [0, 0]);
    assert.equal(inbox.requests.length, 3);
  });

  test("once more than the plan has steps, and once where it has none", async () => {
    for (const retrySchedule of [[], [1], [1, 1]]) {
      const inbox = inboxOf("steps").always(500);
      const app = await makeApp();
      await makeEndpoint(app, inbox, { retrySchedule });
      await publish(app);
      await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.failed === 1, "failed for good");
      assert.equal(inbox.requests.length, retrySchedule.length + 1);
    }
  });

  test("after a connection that was reset by the plan alone, not twice within one attempt", async () => {
    const inbox = inboxOf("reset").answer(reset());
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [2] });
    const message = await publish(app);
    const all = await attempts(app, message, 2);
    assert.deepEqual(all.map(({ status }) => status), [2, 0]);
    assert.equal(inbox.requests.length, 2, "a request for each attempt");
    assert.ok(inbox.requests[1].at - inbox.requests[0].at >= 1700);
  });

  test("at one endpoint while no other gets the message a second time", async () => {
    const app = await makeApp();
    const broken = [hang(), reset(), 500].map((answer) => inboxOf("broken").answer(answer, answer));
    const healthy = [1, 2, 3].map(() => inboxOf("healthy"));
    for (const inbox of [...broken, ...healthy]) {
      await makeEndpoint(app, inbox, { retrySchedule: [1, 1] });
    }
    await publish(app);
    await Promise.all(broken.map((inbox) => inbox.request(3)));
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.delivered === 6, "all delivered");
    assert.deepEqual(healthy.map(({ requests }) => requests.length), [1, 1, 1]);
    assert.deepEqual(broken.map(({ requests }) => requests.length), [3, 3, 3]);
  });

  test("on the application's plan where the endpoint has none", async () => {
    const inbox = inboxOf("of-app").answer(500, 500);
    const app = await makeApp({ retrySchedule: [1] });
    await makeEndpoint(app, inbox);
    await publish(app);
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.failed === 1, "failed for good");
    assert.equal(inbox.requests.length, 2, "the one retry of its plan");
  });

  test("the attempt says when", async () => {
    const inbox = inboxOf("says-when").always(500);
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [600] });
    const [attempt] = await attempts(app, await publish(app), 1);
    const wait = new Date(attempt.nextAttempt) - new Date(attempt.timestamp);
    assert.ok(wait > 500_000 && wait < 700_000, `${wait} ms`);
  });
});

describe("what is sent", { concurrency: true }, () => {
  const families = { standard: ["webhook"], svix: ["svix"], both: ["webhook", "svix"] };
  for (const [headerNames, wanted] of Object.entries(families)) {
    test(`the signature under the names of ${headerNames}, which others' verifiers believe`, async () => {
      const inbox = inboxOf("names");
      const app = await makeApp();
      const endpoint = await makeEndpoint(app, inbox, { headerNames });
      const { key } = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${endpoint.id}/secret`);
      const message = await publish(app, { payload: { text: "ö", deep: [1.5, null] } });
      const { body, headers } = await inbox.request(1);

      for (const family of ["webhook", "svix"]) {
        const there = ["id", "timestamp", "signature"].map((part) => `${family}-${part}` in headers);
        assert.deepEqual(there, Array(3).fill(wanted.includes(family)), family);
      }
      for (const family of wanted) {
        assert.equal(headers[`${family}-id`], message.id);
        assert.ok(Math.abs(Date.now() / 1000 - headers[`${family}-timestamp`]) < 60);
      }
      assert.deepEqual(new SvixWebhook(key).verify(body, headers), { text: "ö", deep: [1.5, null] });
      const standard = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.replace(/^svix-/, "webhook-"), value]),
      );
      new StandardWebhook(key).verify(body, standard);
      const altered = Buffer.from(body);
      altered[0] ^= 1;
      assert.throws(() => new StandardWebhook(key).verify(altered, standard));
    });
  }

  test("a signature that no other endpoint's secret verifies", async () => {
    const app = await makeApp();
    const inboxes = [inboxOf("own"), inboxOf("other")];
    const keys = [];
    for (const inbox of inboxes) {
      const { id } = await makeEndpoint(app, inbox);
      keys.push((await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${id}/secret`)).key);
    }
    await publish(app);
    const [own, other] = await Promise.all(inboxes.map((inbox) => inbox.request(1)));
    new StandardWebhook(keys[0]).verify(own.body, own.headers);
    new StandardWebhook(keys[1]).verify(other.body, other.headers);
    assert.throws(() => new StandardWebhook(keys[1]).verify(own.body, own.headers));
    assert.throws(() => new StandardWebhook(keys[0]).verify(other.body, other.headers));
  });

  test("the endpoint's own headers, a User-Agent and a hop counter, and no authority of ours", async () => {
    const inbox = inboxOf("headers");
    const app = await makeApp();
    await makeEndpoint(app, inbox, { headers: { Authorization: "Bearer theirs", "X-Tenant": "7" } });
    await publish(app);
    const { method, headers } = await inbox.request(1);
    assert.equal(method, "POST");
    assert.equal(headers.authorization, "Bearer theirs");
    assert.equal(headers["x-tenant"], "7");
    assert.match(headers["user-agent"], /^Postern\/\d/);
    assert.equal(headers["postern-hop"], "1");
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["content-length"], String(inbox.requests[0].body.length));
    assert.equal(headers.cookie, undefined);
  });

  test("the payload's bytes as they came, not as another JSON writer would put them", async () => {
    const inbox = inboxOf("bytes");
    const app = await makeApp();
    await makeEndpoint(app, inbox);
    const payload = '{ "b" : 1.00, "a":1e2,\n "ö": "\\u00f6", "a": 9007199254740993 }';
    await api.ok("POST", `/api/v1/app/${app.id}/msg`, `{"eventType":"a.b","payload":${payload}}`);
    const got = await inbox.request(1);
    assert.equal(got.text, payload);
  });

  /** A source that believes an API key. */
  const source = (app) =>
    api.ok("POST", `/api/v1/app/${app.id}/source`, {
      name: "Raw",
      provider: "api_key",
      config: { header: "x-key" },
      secrets: ["a-key-of-ours"],
    });
  const post = (from, body, type = "application/octet-stream") =>
    fetch(from.url, { method: "POST", body, headers: { "x-key": "a-key-of-ours", "content-type": type } });

  test("a webhook's bytes that are no text, byte for byte, with their type", async () => {
    const inbox = inboxOf("binary");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox);
    const { key } = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${endpoint.id}/secret`);
    const body = Buffer.from([0, 255, 254, 13, 10, 0, 128]);
    assert.equal((await post(await source(app), body, "image/x-odd")).status, 200);
    const got = await inbox.request(1);
    assert.deepEqual(got.body, body);
    assert.equal(got.headers["content-type"], "image/x-odd");
    assert.equal(got.headers["x-key"], undefined, "what authorised the webhook goes no further");
    // The verifier takes text only, so what was signed is checked by hand.
    const signed = Buffer.concat([Buffer.from(`${got.headers["webhook-id"]}.${got.headers["webhook-timestamp"]}.`), body]);
    const mac = createHmac("sha256", Buffer.from(key.slice(6), "base64")).update(signed).digest("base64");
    assert.equal(got.headers["webhook-signature"], `v1,${mac}`);

    const shown = await api.ok("GET", `/api/v1/app/${app.id}/msg/${got.headers["webhook-id"]}`);
    assert.deepEqual(shown.payload, { contentType: "image/x-odd", base64: body.toString("base64") });
    const raw = await postern.fetch(`/api/v1/app/${app.id}/msg/${shown.id}/body`, {
      headers: { authorization: `Bearer ${postern.token()}` },
    });
    assert.deepEqual(Buffer.from(await raw.arrayBuffer()), body);
    assert.equal(raw.headers.get("content-type"), "image/x-odd");
  });

  test("1 MiB, byte for byte; one byte more is refused", async () => {
    const inbox = inboxOf("large");
    const app = await makeApp();
    await makeEndpoint(app, inbox);
    const from = await source(app);
    const body = randomBytes(MIB);
    assert.equal((await post(from, body)).status, 200);
    assert.ok((await inbox.request(1)).body.equals(body));
    const refused = await post(from, Buffer.concat([body, Buffer.from("x")]));
    assert.equal(refused.status, 413);
    assert.equal((await refused.json()).code, "payload_too_large");
    assert.equal((await inspect(postern, app.id)).messages, 1);
  });

  test("1 MiB through the API, too; one byte more is refused", async () => {
    const inbox = inboxOf("large-api");
    const app = await makeApp();
    await makeEndpoint(app, inbox);
    const payload = { text: "x".repeat(MIB - '{"text":""}'.length) };
    await publish(app, { payload });
    assert.equal((await inbox.request(1)).body.length, MIB);
    const refused = await api("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: { text: `${payload.text}x` } });
    assert.equal(refused.status, 413);
    assert.equal((await inspect(postern, app.id)).messages, 1);
  });

  test("a body that is too large for a queue message comes again at a retry", async () => {
    const inbox = inboxOf("large-retry").answer(500);
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [1] });
    const body = randomBytes(200_000);
    assert.equal((await post(await source(app), body)).status, 200);
    assert.ok((await inbox.request(2)).body.equals(body));
  });
});

describe("who gets a message", { concurrency: true }, () => {
  /** Endpoints by name, and then what each has got when all of `published` have come where they should. */
  async function arrived(endpoints, published, wanted) {
    const app = await makeApp();
    const inboxes = {};
    for (const [name, body] of Object.entries(endpoints)) {
      inboxes[name] = inboxOf(name);
      await makeEndpoint(app, inboxes[name], body);
    }
    const named = new Map();
    for (const [name, body] of Object.entries(published)) {
      named.set((await publish(app, body)).id, name);
    }
    const total = Object.values(wanted).reduce((sum, list) => sum + list.length, 0);
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.delivered === total, `${total} delivered`);
    const got = Object.entries(inboxes).map(([name, { requests }]) => [
      name,
      requests.map(({ headers }) => named.get(headers["webhook-id"])).sort(),
    ]);
    assert.deepEqual(Object.fromEntries(got), wanted);
  }

  test("those whose event types or patterns name it", () =>
    arrived(
      {
        all: {},
        exact: { eventTypes: ["invoice.paid"] },
        pattern: { eventTypes: ["invoice.*"] },
        star: { eventTypes: ["*"] },
        alias: { filterTypes: ["user.added", "invoice.sent"] },
      },
      {
        paid: { eventType: "invoice.paid" },
        sent: { eventType: "invoice.sent" },
        item: { eventType: "invoice.item.added" },
        user: { eventType: "user.added" },
        odd: { eventType: "invoices.paid" },
      },
      {
        all: ["item", "odd", "paid", "sent", "user"],
        exact: ["paid"],
        pattern: ["item", "paid", "sent"],
        star: ["item", "odd", "paid", "sent", "user"],
        alias: ["sent", "user"],
      },
    ));

  test("those that share a channel with it, and those without channels", () =>
    arrived(
      { all: {}, one: { channels: ["c1"] }, two: { channels: ["c1", "c2"] } },
      { plain: {}, c1: { channels: ["c1"] }, c2: { channels: ["c2", "c3"] }, c3: { channels: ["c3"] } },
      { all: ["c1", "c2", "c3", "plain"], one: ["c1"], two: ["c1", "c2"] },
    ));

  test("each of twenty, once", async () => {
    const app = await makeApp();
    const inboxes = Array.from({ length: 20 }, () => inboxOf("each"));
    for (const inbox of inboxes) {
      await makeEndpoint(app, inbox);
    }
    const { id } = await publish(app);
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.delivered === 20, "twenty delivered");
    for (const { requests } of inboxes) {
      assert.deepEqual(requests.map(({ headers }) => headers["webhook-id"]), [id]);
    }
  });

  test("as their event types and channels are when it comes: an edit counts for the very next message", async () => {
    const inbox = inboxOf("edited");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox, { eventTypes: ["a.b"] });
    const path = `/api/v1/app/${app.id}/endpoint/${endpoint.id}`;
    const sent = [await publish(app)];
    await api.ok("PATCH", path, { eventTypes: ["c.d"] });
    await publish(app);
    sent.push(await publish(app, { eventType: "c.d" }));
    await api.ok("PATCH", path, { eventTypes: null, channels: ["eu"] });
    await publish(app, { channels: ["us"] });
    sent.push(await publish(app, { channels: ["eu"] }));
    await api.ok("PATCH", path, { channels: null });
    sent.push(await publish(app));
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.delivered === 4, "four delivered");
    const got = inbox.requests.map(({ headers }) => headers["webhook-id"]);
    assert.deepEqual(got.sort(), sent.map(({ id }) => id).sort());
  });

  test("not one that was made later", async () => {
    const app = await makeApp();
    const early = inboxOf("early");
    const late = inboxOf("late");
    await makeEndpoint(app, early);
    await publish(app);
    await makeEndpoint(app, late);
    const second = await publish(app);
    await early.request(2);
    await late.request(1);
    await eventually(() => inspect(postern, app.id), ({ deliveries }) => deliveries.delivered === 3, "three");
    assert.deepEqual(late.requests.map(({ headers }) => headers["webhook-id"]), [second.id]);
  });
});

describe("what is owed when the endpoint changes", { concurrency: true }, () => {
  test("is cancelled when it is disabled, and stays so when it is enabled again", async () => {
    const inbox = inboxOf("disabled").always(500);
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox, { retrySchedule: [2, 1, 1] });
    const path = `/api/v1/app/${app.id}/endpoint/${endpoint.id}`;
    const owed = await publish(app);
    await attempts(app, owed, 1);
    await api.ok("PATCH", path, { disabled: true });
    const meanwhile = await publish(app);
    inbox.always(200);
    await api.ok("PATCH", path, { disabled: false });
    const later = await publish(app);
    await inbox.matching(({ headers }) => headers["webhook-id"] === later.id);
    await new Promise((done) => setTimeout(done, 4000)); // past the time when the cancelled one would have come again
    const ids = inbox.requests.map(({ headers }) => headers["webhook-id"]);
    assert.deepEqual(ids, [owed.id, later.id]);
    assert.deepEqual((await attemptsOf(app, meanwhile)).data, []);
    assert.equal((await attemptsOf(app, owed)).data[0].nextAttempt ?? null, null);
  });

  test("goes to the new address after an edit", async () => {
    const before = inboxOf("before").always(500);
    const after = inboxOf("after");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, before, { retrySchedule: [2] });
    const message = await publish(app);
    await attempts(app, message, 1);
    await api.ok("PATCH", `/api/v1/app/${app.id}/endpoint/${endpoint.id}`, { url: after.url });
    const got = await after.request(1);
    assert.equal(got.headers["webhook-id"], message.id);
    assert.equal(before.requests.length, 1);
  });

  test("is cancelled when it is deleted; others still get theirs", async () => {
    const gone = inboxOf("gone").always(500);
    const stays = inboxOf("stays").answer(500);
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, gone, { retrySchedule: [2, 1] });
    await makeEndpoint(app, stays, { retrySchedule: [2, 1] });
    const message = await publish(app);
    await attempts(app, message, 2);
    await api.ok("DELETE", `/api/v1/app/${app.id}/endpoint/${endpoint.id}`);
    await stays.request(2);
    await new Promise((done) => setTimeout(done, 2000)); // past the time when the deleted one would have got it
    assert.equal(gone.requests.length, 1);
    assert.equal((await api("GET", `/api/v1/app/${app.id}/attempt/endpoint/${endpoint.id}`)).status, 404);
    await publish(app);
    await stays.request(3);
    assert.equal(gone.requests.length, 1);
  });
});

// One after another: a rate holds where deliveries are handed out, and the local queue, which runs one batch at a time,
// would bunch them behind the endpoints that hang.
describe("what protects others", () => {
  test("an endpoint's rate is kept", async () => {
    const inbox = inboxOf("throttled");
    const app = await makeApp();
    await makeEndpoint(app, inbox, { throttleRate: 5 });
    await Promise.all(Array.from({ length: 15 }, () => publish(app)));
    await inbox.request(15, 40_000);
    const times = inbox.requests.map(({ at }) => at).sort((a, b) => a - b);
    assert.ok(times[14] - times[0] >= 2000, `all within ${times[14] - times[0]} ms`);
    for (const begin of times) {
      const within = times.filter((at) => at >= begin && at < begin + 1000).length;
      assert.ok(within <= 7, `${within} within a second: ${times.map((at) => at - times[0])}`);
    }
    const ids = new Set(inbox.requests.map(({ headers }) => headers["webhook-id"]));
    assert.equal(ids.size, 15);
  });

  test("six endpoints that hang do not keep six healthy ones waiting", async () => {
    const app = await makeApp();
    const inboxes = [];
    for (let n = 0; n < 12; n++) {
      const inbox = inboxOf(n % 2 ? "healthy" : "hanging").always(n % 2 ? status(200) : hang());
      inboxes.push(inbox);
      await makeEndpoint(app, inbox, { retrySchedule: [600] });
    }
    const begun = Date.now();
    const message = await publish(app);
    const healthy = inboxes.filter((_, n) => n % 2);
    const arrivals = await Promise.all(healthy.map((inbox) => inbox.request(1, 20_000)));
    const slowest = Math.max(...arrivals.map(({ at }) => at)) - begun;
    assert.ok(slowest < 6000, `the slowest came after ${slowest} ms`);
    const all = await attempts(app, message, 12);
    assert.equal(all.filter(({ status }) => status === 0).length, 6);
    assert.equal(all.filter(({ cause }) => cause === "timeout").length, 6);
    assert.ok(healthy.every(({ requests }) => requests.length === 1));
  });

  test("a message that passed three gateways is stored and goes no further", async () => {
    const inbox = inboxOf("hops");
    const app = await makeApp();
    await makeEndpoint(app, inbox);
    const path = `/api/v1/app/${app.id}/msg`;
    const body = { eventType: "a.b", payload: {} };
    const stopped = await api.ok("POST", path, body, { "postern-hop": "3" });
    const odd = await api.ok("POST", path, body, { "postern-hop": "not a number" });
    for (const { id } of [stopped, odd]) {
      const { notSent } = await api.ok("GET", `${path}/${id}`);
      assert.ok(notSent.includes("gateways"), notSent);
    }
    const sent = await api.ok("POST", path, body, { "postern-hop": "2" });
    const got = await inbox.request(1);
    assert.equal(got.headers["webhook-id"], sent.id);
    assert.equal(got.headers["postern-hop"], "3");
    await attempts(app, sent, 1);
    assert.equal(inbox.requests.length, 1);
    assert.deepEqual((await attemptsOf(app, stopped)).data, []);
  });

  test("a webhook with a high hop counter is stored and goes no further", async () => {
    const inbox = inboxOf("hops-in");
    const app = await makeApp();
    await makeEndpoint(app, inbox);
    const config = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: ["a-key-of-ours"] };
    const from = await api.ok("POST", `/api/v1/app/${app.id}/source`, config);
    const post = (hop) => fetch(from.url, { method: "POST", body: "{}", headers: { "x-key": "a-key-of-ours", "postern-hop": hop } });
    assert.equal((await post("3")).status, 200);
    assert.equal((await post("1")).status, 200);
    const got = await inbox.request(1);
    assert.equal(got.headers["postern-hop"], "2");
    const { data } = await api.ok("GET", `/api/v1/app/${app.id}/msg`);
    assert.equal(data.length, 2);
    assert.equal(inbox.requests.length, 1);
  });

  test("our own host is refused when an endpoint is saved", async () => {
    const app = await makeApp();
    const path = `/api/v1/app/${app.id}/endpoint`;
    const { port } = new URL(postern.url);
    for (const url of [`${postern.url}/in/abc`, `HTTP://127.0.0.1:${port}/`, `http://127.1:${port}/`, `http://0x7f000001:${port}/`]) {
      const refused = await api("POST", path, { url });
      assert.equal(refused.status, 422, url);
      assert.deepEqual(refused.body.detail[0].loc, ["body", "url"]);
    }
    const endpoint = await makeEndpoint(app, inboxOf("mine"));
    for (const method of ["PUT", "PATCH"]) {
      assert.equal((await api(method, `${path}/${endpoint.id}`, { url: postern.url })).status, 422, method);
    }
    assert.equal((await api.ok("GET", `${path}/${endpoint.id}`)).url, endpoint.url);
  });
});

test("without permission no private address can be saved, and none is called", async () => {
  const strict = await start({ vars: { ALLOW_PRIVATE_ADDRESSES: null, TEST_HOOKS: "1" } });
  try {
    const strictly = caller(strict);
    const app = await strictly.ok("POST", "/api/v1/app", { name: "Strict" });
    const path = `/api/v1/app/${app.id}/endpoint`;
    const target = inboxOf("strict");
    const { port } = new URL(target.url);
    const urls = [
      target.url,
      `http://localhost:${port}/`,
      `http://[::1]:${port}/`,
      `http://2130706433:${port}/`,
      `http://[::ffff:127.0.0.1]:${port}/`,
      "http://10.0.0.1/",
      "http://192.168.1.1/",
      "http://172.16.0.1/",
      "http://169.254.169.254/latest/meta-data/",
      "http://metadata.google.internal/",
      "http://100.64.0.1/",
      "http://[fd00::1]/",
      "http://[fe80::1]/",
      "http://0.0.0.0/",
      "http://0x0a000001/",
      "http://intranet/",
      "nonsense",
      "https://user:password@example.com/",
      "ftp://example.com/",
      "file:///etc/passwd",
      "javascript:alert(1)",
    ];
    for (const url of urls) {
      const refused = await strictly("POST", path, { url });
      assert.equal(refused.status, 422, url);
      assert.deepEqual(refused.body.detail.map(({ loc }) => loc), [["body", "url"]], url);
      assert.ok(!JSON.stringify(refused.body).includes("password@"), "an error repeats no credential");
    }
    assert.deepEqual((await strictly.ok("GET", path)).data, []);
    assert.equal(target.requests.length, 0);
  } finally {
    await strict.stop();
  }
});

test("an address that is no longer allowed is refused at the send, and not called", async () => {
  const persist = await mkdtemp(join(tmpdir(), "postern-"));
  const inbox = inboxOf("no-longer");
  let server;
  try {
    server = await start({ persist, vars: { TEST_HOOKS: "1" } });
    let call = caller(server);
    const app = await call.ok("POST", "/api/v1/app", { name: "No longer" });
    await call.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url, retrySchedule: [] });
    await server.stop();
    server = await start({ persist, vars: { TEST_HOOKS: "1", ALLOW_PRIVATE_ADDRESSES: null } });
    call = caller(server);
    const message = await call.ok("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: {} });
    const { data } = await eventually(
      () => call.ok("GET", `/api/v1/app/${app.id}/attempt/msg/${message.id}`),
      ({ data }) => data.length === 1,
      "the refusal",
    );
    assert.deepEqual([data[0].status, data[0].responseStatusCode, data[0].cause], [2, 0, "address_refused"]);
    assert.equal(inbox.requests.length, 0);
  } finally {
    await server?.stop();
    await rm(persist, { recursive: true, force: true });
  }
});

test("where nothing goes in the clear, plain http is refused, and what stood before is not called", async () => {
  const persist = await mkdtemp(join(tmpdir(), "postern-clear-"));
  const inbox = inboxOf("clear");
  let server = await start({ persist });
  try {
    const before = caller(server);
    const { id: app } = await before.ok("POST", "/api/v1/app", { name: "Clear" });
    const { id: endpoint } = await before.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, retrySchedule: [] });
    await server.stop();
    server = await start({ persist, vars: { HTTPS_ONLY: "1" } });
    const strict = caller(server);
    const refused = await strict("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url });
    assert.equal(refused.status, 422);
    assert.deepEqual(refused.body.detail[0].loc, ["body", "url"]);
    assert.match(refused.body.detail[0].msg, /https:\/\//);
    await strict.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url.replace("http:", "https:"), disabled: true });
    const { id } = await strict.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: {} });
    const { data } = await eventually(
      () => strict.ok("GET", `/api/v1/app/${app}/attempt/msg/${id}`),
      ({ data }) => data.length > 0,
      "an attempt",
    );
    assert.deepEqual([data[0].endpointId, data[0].cause], [endpoint, "address_refused"]);
    assert.equal(inbox.requests.length, 0);
  } finally {
    await server.stop();
    await rm(persist, { recursive: true, force: true });
  }
});

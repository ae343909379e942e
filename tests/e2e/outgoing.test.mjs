// What leaves, and what hostile receivers can do to it: nothing.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { endless, garbage, hang, hangInBody, redirect, reset, startReceiver, status } from "./receiver.mjs";

let postern, receiver, api;
let names = 0;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1", LEASE_SECONDS: "10", DELIVERY_TIMEOUT_SECONDS: "2" } });
  receiver = await startReceiver();
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** A tenant with one endpoint that is not retried unless the test says so. */
async function tenant(config = {}, ...script) {
  const inbox = receiver.at(`/${++names}`).answer(...script);
  const app = (await api.ok("POST", "/api/v1/app", { name: "Outgoing" })).id;
  const body = { url: inbox.url, retrySchedule: [], ...config };
  const endpoint = (await api.ok("POST", `/api/v1/app/${app}/endpoint`, body)).id;
  return { app, endpoint, inbox };
}

const publish = (app, more = {}) =>
  api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { n: 1 }, ...more });

/** The attempts of a message, once there are so many. */
async function attempts(app, message, count = 1) {
  const ask = () => api.ok("GET", `/api/v1/app/${app}/attempt/msg/${message.id}`);
  return (await eventually(ask, ({ data }) => data.length >= count, `${count} attempts`)).data;
}

for (const [what, answer, cause, code] of [
  ["is never followed when it redirects", () => redirect("/never"), "redirect", 302],
  ["hangs", hang, "timeout", 0],
  ["hangs in the middle of its body", hangInBody, "body_timeout", 200],
  ["resets the connection", reset, "connection_lost", 0],
  ["does not speak HTTP", garbage, "connection_lost", 0],
  ["answers 410", () => 410, "client_error", 410],
  ["answers 503 with a body without an end", () => endless(503), "server_error", 503],
]) {
  test(`a receiver that ${what} makes a failed attempt with that cause`, async () => {
    const { app } = await tenant({}, answer());
    const message = await publish(app);
    const [attempt] = await attempts(app, message);
    assert.deepEqual(
      { status: attempt.status, statusText: attempt.statusText, code: attempt.responseStatusCode, cause: attempt.cause },
      { status: 2, statusText: "fail", code, cause },
    );
    assert.ok(attempt.response.length <= 16 * 1024);
    assert.equal(receiver.requests.length, 0, "nothing came to another path");
  });
}

test("a success whose body has no end is a success, and its body is cut", async () => {
  const { app } = await tenant({}, endless());
  const [attempt] = await attempts(app, await publish(app));
  assert.equal(attempt.status, 0);
  assert.equal(attempt.response.length, 1024);
});

for (const code of [429, 503]) {
  test(`after ${code} with Retry-After no retry comes earlier`, async () => {
    const { app, inbox } = await tenant({ retrySchedule: [1] }, status(code, { "retry-after": "3" }));
    await publish(app);
    const second = await inbox.request(2);
    assert.ok(second.at - inbox.requests[0].at >= 2900, `${second.at - inbox.requests[0].at} ms`);
  });
}

for (const [names, families] of [["standard", ["webhook"]], ["svix", ["svix"]], ["both", ["webhook", "svix"]]]) {
  test(`headerNames ${names} signs under ${families.join(" and ")}`, async () => {
    const { app, endpoint, inbox } = await tenant({ headerNames: names });
    const { key } = await api.ok("GET", `/api/v1/app/${app}/endpoint/${endpoint}/secret`);
    await publish(app);
    const { headers, body } = await inbox.request(1);
    assert.deepEqual(["webhook", "svix"].filter((family) => `${family}-id` in headers), families);
    for (const family of families) {
      const standard = ["id", "timestamp", "signature"].map((name) => [`webhook-${name}`, headers[`${family}-${name}`]]);
      new Webhook(key).verify(body, Object.fromEntries(standard));
    }
    assert.match(headers["user-agent"], /^Postern\/\d/);
    assert.equal(headers["postern-hop"], "1");
  });
}

test("a payload leaves as it came, byte for byte", async () => {
  const { app, inbox } = await tenant();
  const payload = '{"b": 1.0,  "a":"\\u00e4", "big": 12345678901234567890}';
  const body = `{"eventType": "a.b", "payload": ${payload}}`;
  await api.ok("POST", `/api/v1/app/${app}/msg`, body);
  assert.equal((await inbox.request(1)).text, payload);
});

test("6 endpoints that hang keep 6 that answer waiting for seconds at the most", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Hanging" })).id;
  const inboxes = [];
  for (let n = 0; n < 12; n++) {
    const inbox = receiver.at(`/mixed/${n}`).always(n < 6 ? hang() : 200);
    inboxes.push(inbox);
    await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, retrySchedule: [] });
  }
  await publish(app);
  await Promise.all(inboxes.slice(6).map((inbox) => inbox.request(1, 10_000)));
  const done = await eventually(() => inspect(postern, app), (seen) => seen.deliveries.delivered === 6, "six deliveries");
  assert.equal(done.deliveries.delivered, 6);
});

test("event types and channels choose the endpoints", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Choosing" })).id;
  const make = async (path, config) => {
    const inbox = receiver.at(path);
    await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, ...config });
    return inbox;
  };
  const paid = await make("/paid", { eventTypes: ["invoice.paid"] });
  const any = await make("/any", { eventTypes: ["invoice.*"] });
  const channel = await make("/channel", { channels: ["eu"] });
  const all = await make("/all", {});
  await publish(app, { eventType: "invoice.paid" });
  await publish(app, { eventType: "invoice.item.added", channels: ["eu"] });
  await publish(app, { eventType: "other" });
  await all.request(3);
  await any.request(2);
  await channel.request(1);
  await paid.request(1);
  await eventually(() => inspect(postern, app), (seen) => seen.deliveries.delivered === 7, "seven deliveries");
  assert.deepEqual([paid, any, channel, all].map(({ requests }) => requests.length), [1, 2, 1, 3]);
});

test("a rate is kept, and everything arrives", async () => {
  const { app, inbox } = await tenant({ throttleRate: 5 });
  for (let n = 0; n < 15; n++) await publish(app);
  await inbox.request(15);
  const times = inbox.requests.map(({ at }) => at);
  assert.ok(times[14] - times[0] >= 2000, `15 came within ${times[14] - times[0]} ms`);
  for (const from of times) {
    const within = times.filter((at) => at >= from && at < from + 1000).length;
    assert.ok(within <= 8, `${within} came within a second`);
  }
});

test("an endpoint that is disabled gets nothing more of what it was owed, and new messages after it is enabled", async () => {
  const { app, endpoint, inbox } = await tenant({ retrySchedule: [1, 1, 1] }, 500);
  await publish(app, { payload: { n: "before" } });
  await inbox.request(1);
  await api.ok("PATCH", `/api/v1/app/${app}/endpoint/${endpoint}`, { disabled: true });
  await publish(app, { payload: { n: "while" } });
  await api.ok("PATCH", `/api/v1/app/${app}/endpoint/${endpoint}`, { disabled: false });
  await publish(app, { payload: { n: "after" } });
  const second = await inbox.request(2);
  assert.equal(second.text, '{"n":"after"}');
});

test("a retry goes to the URL that the endpoint was changed to", async () => {
  const { app, endpoint, inbox } = await tenant({ retrySchedule: [2] }, 500);
  const other = receiver.at("/moved");
  await publish(app);
  await inbox.request(1);
  await api.ok("PATCH", `/api/v1/app/${app}/endpoint/${endpoint}`, { url: other.url });
  await other.request(1);
  assert.equal(inbox.requests.length, 1);
});

test("a message that came through three gateways is stored and not sent on", async () => {
  const { app, inbox } = await tenant();
  const body = { eventType: "a.b", payload: { n: "looped" } };
  const looped = await api("POST", `/api/v1/app/${app}/msg`, body, { "postern-hop": "3" });
  assert.equal(looped.status, 202);
  await publish(app, { payload: { n: "fresh" } });
  assert.equal((await inbox.request(1)).text, '{"n":"fresh"}');
  assert.equal((await inspect(postern, app)).messages, 2);
});

test("our own address and addresses that are not public are refused when an endpoint is saved", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Refused" })).id;
  for (const url of [
    `${postern.url}/in/x`,
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00::1]/",
    "http://0x0a000001/",
    "http://user:password@example.com/",
    "ftp://example.com/",
    "http://intranet/",
    "nonsense",
  ]) {
    const refused = await api("POST", `/api/v1/app/${app}/endpoint`, { url });
    assert.equal(refused.status, 422, url);
    assert.deepEqual(refused.body.detail[0].loc, ["body", "url"], url);
  }
});

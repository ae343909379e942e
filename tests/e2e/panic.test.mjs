// A planted panic harms nobody else, and nothing that is owed is lost.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

let postern, receiver, api;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1", LEASE_SECONDS: "8", DELIVERY_TIMEOUT_SECONDS: "2" } });
  receiver = await startReceiver();
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

async function tenant(path, query = "") {
  const inbox = receiver.at(path);
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: path });
  const body = { url: inbox.url + query, retrySchedule: [1, 1] };
  const { id: endpoint } = await api.ok("POST", `/api/v1/app/${app}/endpoint`, body);
  return { app, endpoint, inbox };
}

const publish = (app, n = 1) => api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { n } });

async function object(app) {
  const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
  return namespace.get(namespace.idFromName(app));
}

test("a panic in the fetch handler ends that request alone", async () => {
  const other = await tenant("/edge");
  const [panicked, published] = await Promise.all([api("POST", "/test/panic"), publish(other.app)]);
  assert.equal(panicked.status, 500);
  assert.ok(!JSON.stringify(panicked.body).includes(".rs:"), "the answer tells where");
  assert.match(published.id, /^msg_/);
  await other.inbox.request(1);
});

test("a panic in a tenant's object ends that call alone, and the tenant goes on", async () => {
  const own = await tenant("/own");
  const other = await tenant("/other");
  await publish(own.app);
  const call = (await object(own.app)).fetch("https://tenant/test/panic", { method: "POST" });
  const outcome = call.then((answer) => answer.status, () => "failed");
  const [ended] = await Promise.all([outcome, publish(other.app)]);
  assert.ok(ended === "failed" || ended >= 500, `the panicking call ended with ${ended}`);
  await publish(own.app, 2);
  await own.inbox.request(2);
  await other.inbox.request(1);
});

test("a panic in the alarm is followed by another run, and the retry comes", async () => {
  const { app, inbox } = await tenant("/alarm");
  inbox.answer(500);
  await (await object(app)).fetch("https://tenant/test/panic-in-alarm", { method: "POST" });
  await publish(app);
  await inbox.request(2);
  await eventually(() => inspect(postern, app), ({ deliveries }) => deliveries.delivered === 1, "the delivery");
  assert.ok(postern.logs.some(({ message }) => message.includes("planted: the object's alarm")));
});

test("a panic in the consumer keeps no neighbour from its delivery, and what it owed is still owed", async () => {
  const broken = await tenant("/consumer", "?x-postern-panic=consumer");
  const healthy = await tenant("/neighbour");
  await Promise.all([publish(broken.app), publish(healthy.app)]);
  await healthy.inbox.request(1);
  assert.ok(postern.logs.some(({ message }) => message.includes("planted: the consumer")));
  // Whoever repairs the cause finds it owed: here it is the endpoint's URL.
  await api.ok("PATCH", `/api/v1/app/${broken.app}/endpoint/${broken.endpoint}`, { url: broken.inbox.url });
  await broken.inbox.request(1, 60_000);
});

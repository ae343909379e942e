// A tenant's object that has too much to do: what was verified is acknowledged, kept in the overflow, and stored once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const KEY = "a key that is long enough";
let postern, receiver, api;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  receiver = await startReceiver();
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

async function tenant() {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Busy" });
  const inbox = receiver.at(`/${app}`);
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url });
  const body = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: [KEY] };
  const { url } = await api.ok("POST", `/api/v1/app/${app}/source`, body);
  const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
  const object = namespace.get(namespace.idFromName(app));
  const post = (text) => fetch(url, { method: "POST", headers: { "x-key": KEY }, body: text });
  /** The source is known at the edge, and no report is on its way: the next call is the test's own. */
  const warm = async () => {
    assert.equal((await post("warm")).status, 200);
    await eventually(() => inspect(postern, app), ({ deliveries }) => deliveries.delivered === 1, "the first delivery");
    await object.fetch("https://tenant/test/stall", { method: "POST" });
  };
  return { app, inbox, object, post, warm };
}

test("a webhook whose object does not answer in time is 200, and stored and delivered once, without an id to dedupe by", async () => {
  const { app, inbox, post, warm } = await tenant();
  await warm();
  assert.equal((await post("late")).status, 200);
  await inbox.matching(({ text }) => text === "late");
  // Both the stalled call and the drained repeat have been there by now: the nonce let one of them in.
  await eventually(() => inspect(postern, app), ({ deliveries }) => deliveries.delivered === 2, "two deliveries");
  assert.equal((await inspect(postern, app)).messages, 2);
  assert.equal(inbox.requests.length, 2);
  assert.ok(postern.logs.some(({ message }) => message.includes("accept_overflows")));
});

test("a webhook that is too large for the overflow is asked for again", async () => {
  const { post, warm } = await tenant();
  await warm();
  const answer = await post("x".repeat(200_000));
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get("retry-after"), "30");
});

test("a publish to an object that does not answer in time is 503 with Retry-After", async () => {
  const { app, object } = await tenant();
  await object.fetch("https://tenant/test/stall", { method: "POST" });
  const answer = await api("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: {} });
  assert.deepEqual([answer.status, answer.body.code], [503, "overloaded"]);
  assert.ok(Number(answer.headers.get("retry-after")) > 0);
});

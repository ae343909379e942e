// What an organisation hears of its tenants: operational webhooks through the same ledger, driven with the official Svix
// SDKs; and broadcasts to all tenants, also when the Worker is killed in the middle.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Webhook } from "standardwebhooks";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually, inspect } from "./api.mjs";
import { DEVELOPMENT_ORGANISATION, start } from "./harness.mjs";
import { startKillable } from "./killable.mjs";
import { startReceiver } from "./receiver.mjs";

const vars = { TEST_HOOKS: "1" };
const ENDPOINTS = "/api/v1/operational-webhook/endpoint";
let postern, receiver, api;

before(async () => {
  [postern, receiver] = await Promise.all([start({ vars }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** An operational endpoint, and what comes there, verified. */
async function listen(path, eventTypes, call = api) {
  const inbox = receiver.at(path);
  const { id } = await call.ok("POST", ENDPOINTS, { url: inbox.url, eventTypes });
  const { key } = await call.ok("GET", `${ENDPOINTS}/${id}/secret`);
  const webhook = new Webhook(key);
  return {
    id,
    inbox,
    /** The first event that the predicate likes; its signature holds. */
    async event(type, predicate = () => true) {
      const liked = (request) => {
        const event = JSON.parse(request.text);
        return event.type === type && predicate(event.data);
      };
      const request = await inbox.matching(liked);
      return webhook.verify(request.text, request.headers);
    },
    stop: () => call.ok("DELETE", `${ENDPOINTS}/${id}`),
  };
}

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  test(`the Svix SDK ${version} makes, finds, lists, changes and deletes operational endpoints`, async () => {
    const organisation = `org_${version[0].repeat(27)}`;
    const svix = new sdk.Svix(postern.token({ org: organisation }), { serverUrl: postern.url });
    const endpoints = svix.operationalWebhookEndpoint ?? svix.operationalWebhook.endpoint;
    const put = (...request) => (endpoints.upsert ?? endpoints.update).apply(endpoints, request);
    assert.deepEqual((await endpoints.list()).data, []);
    const url = receiver.at("/sdk").url;
    const types = ["endpoint.disabled"];
    const made = await endpoints.create({
      url,
      uid: "ops",
      description: "d",
      metadata: { k: "v" },
      filterTypes: types,
      eventTypes: types,
    });
    assert.match(made.id, /^ep_[0-9A-Za-z]{27}$/);
    assert.equal(made.uid, "ops");
    assert.deepEqual(made.filterTypes ?? made.eventTypes, types);
    assert.deepEqual(made.metadata, { k: "v" });
    assert.equal((await endpoints.get("ops")).id, made.id);
    assert.match((await endpoints.getSecret(made.id)).key, /^whsec_/);
    const changed = await put(made.id, { url, description: "changed" });
    assert.equal(changed.description, "changed");
    assert.equal((await endpoints.list({ limit: 1 })).data[0].id, made.id);
    await endpoints.delete(made.id);
    await assert.rejects(endpoints.get(made.id), ({ code }) => code === 404);
  });
}

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  test(`the Svix SDK ${version} gives an operational endpoint headers of its own and another key`, async () => {
    const organisation = `org_${version[0].repeat(26)}k`;
    const token = postern.token({ org: organisation });
    const svix = new sdk.Svix(token, { serverUrl: postern.url });
    const endpoints = svix.operationalWebhookEndpoint ?? svix.operationalWebhook.endpoint;
    const setHeaders = (id, headers) => (endpoints.setHeaders ?? endpoints.updateHeaders).call(endpoints, id, { headers });
    const inbox = receiver.at(`/keyed-${version}`);
    const { id } = await endpoints.create({ url: inbox.url, eventTypes: ["endpoint.created"] });
    assert.deepEqual(await endpoints.getHeaders(id), { headers: {}, sensitive: [] });
    await setHeaders(id, { "x-team": "ops", authorization: "Bearer of-ops" });
    const shown = await endpoints.getHeaders(id);
    assert.deepEqual(shown.headers, { "x-team": "ops" });
    assert.deepEqual([...shown.sensitive], ["authorization"]);

    const { key: before } = await endpoints.getSecret(id);
    const mine = `whsec_${Buffer.alloc(24, version).toString("base64")}`;
    await endpoints.rotateSecret(id, { key: mine });
    assert.equal((await endpoints.getSecret(id)).key, mine);
    const call = caller(postern, token);
    const { id: app } = await call.ok("POST", "/api/v1/app", { name: "Keyed" });
    await call.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.at("/nothing").url });
    const request = await inbox.request(1);
    assert.deepEqual([request.headers["x-team"], request.headers.authorization], ["ops", "Bearer of-ops"]);
    for (const key of [mine, before]) {
      assert.equal(new Webhook(key).verify(request.text, request.headers).type, "endpoint.created", "either key holds for a day");
    }

    await endpoints.rotateSecret(id, {});
    assert.ok(![mine, before].includes((await endpoints.getSecret(id)).key), "without a key one is made");
    await assert.rejects(setHeaders(id, { "webhook-id": "x" }), ({ code }) => code === 422);
    for (const ask of [(id) => endpoints.getHeaders(id), (id) => setHeaders(id, {}), (id) => endpoints.rotateSecret(id, {})]) {
      await assert.rejects(ask("nobody"), ({ code }) => code === 404);
    }
    const tenant = caller(postern, postern.token({ app, org: organisation }));
    assert.equal((await tenant("GET", `${ENDPOINTS}/${id}/headers`)).status, 403);
  });
}

test("what happens to a tenant's endpoints and messages arrives signed, with whose and which", async () => {
  const told = await listen("/told");
  const bad = receiver.at("/bad").always(500);
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Acme", uid: "acme" });
  assert.equal((await api("PATCH", `/api/v1/app/${app}/alert-email`, { email: "ops@acme.example" })).status, 204);
  const body = { url: bad.url, uid: "hook", retrySchedule: [] };
  const { id: endpoint } = await api.ok("POST", `/api/v1/app/${app}/endpoint`, body);
  const whose = { appId: app, appUid: "acme", endpointId: endpoint, endpointUid: "hook" };
  assert.deepEqual((await told.event("endpoint.created", ({ appId }) => appId === app)).data, whose);

  const message = await api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", eventId: "evt_1", payload: {} });
  const exhausted = (await told.event("message.attempt.exhausted")).data;
  const { data: attempts } = await api.ok("GET", `/api/v1/app/${app}/attempt/msg/${message.id}`);
  const { lastAttempt, ...rest } = exhausted;
  assert.deepEqual(rest, { ...whose, msgId: message.id, msgEventId: "evt_1", alertEmail: "ops@acme.example" });
  assert.equal(lastAttempt.id, attempts[0].id);
  assert.equal(lastAttempt.responseStatusCode, 500);
  assert.equal(lastAttempt.timestamp, attempts[0].timestamp);

  await api.ok("PATCH", `/api/v1/app/${app}/endpoint/hook`, { disabled: true });
  const disabled = (await told.event("endpoint.disabled")).data;
  const why = { trigger: "manual", reason: "manual", failSince: null, alertEmail: "ops@acme.example" };
  assert.deepEqual(disabled, { ...whose, ...why });
  await api.ok("PATCH", `/api/v1/app/${app}`, { uid: "acme-2" });
  await api.ok("PATCH", `/api/v1/app/${app}/endpoint/hook`, { disabled: false });
  assert.equal((await told.event("endpoint.enabled")).data.appUid, "acme-2", "a changed uid is told");
  await api.ok("DELETE", `/api/v1/app/${app}/endpoint/hook`);
  await told.event("endpoint.deleted", ({ appId }) => appId === app);

  const ids = told.inbox.requests.map(({ headers }) => headers["webhook-id"]);
  assert.equal(new Set(ids).size, ids.length, "each once");
  assert.equal((await inspect(postern, app)).outbox, 0);
  await told.stop();
});

test("an organisation hears nothing of another's", async () => {
  const other = caller(postern, postern.token({ org: `org_${"4".repeat(27)}` }));
  const told = await listen("/other", undefined, other);
  const own = await listen("/own");
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Own" });
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.at("/unused").url });
  await own.event("endpoint.created", ({ appId }) => appId === app);
  assert.equal(told.inbox.requests.length, 0);
  assert.equal((await other("GET", `${ENDPOINTS}/${own.id}`)).status, 404);
  assert.equal((await other("GET", `${ENDPOINTS}/${own.id}/secret`)).status, 404);
  assert.equal((await other("DELETE", `${ENDPOINTS}/${own.id}`)).status, 404);
  await own.stop();
});

test("the operational tenant is in no list and behind no path, and a tenant's token does not reach it", async () => {
  await api.ok("GET", ENDPOINTS);
  const hidden = operationalTenant(DEVELOPMENT_ORGANISATION);
  const apps = await api.ok("GET", "/api/v1/app?limit=250");
  assert.ok(apps.data.every(({ id }) => id !== hidden));
  for (const [method, path, body] of [
    ["GET", ""],
    ["PUT", "", { name: "Mine" }],
    ["PATCH", "", { name: "Mine" }],
    ["DELETE", ""],
    ["GET", "/endpoint"],
    ["POST", "/endpoint", { url: receiver.at("/x").url }],
    ["GET", "/msg"],
    ["POST", "/msg", { eventType: "a.b", payload: {} }],
    ["POST", "/source", { name: "S", provider: "api_key", config: { header: "x" }, secrets: ["a key that is long"] }],
    ["PATCH", "/alert-email", { email: "a@b" }],
  ]) {
    assert.equal((await api(method, `/api/v1/app/${hidden}${path}`, body)).status, 404, `${method} ${path}`);
  }
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Tenant" });
  const tenant = caller(postern, postern.token({ app }));
  assert.equal((await tenant("GET", ENDPOINTS)).status, 403);
  const forged = caller(postern, postern.token({ app: hidden }));
  assert.equal((await forged("GET", `/api/v1/app/${hidden}/endpoint`)).status, 404);
});

test("an alert address that is none is refused, and null takes it away", async () => {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Alert" });
  const path = `/api/v1/app/${app}/alert-email`;
  for (const email of ["", "nobody", "@", "a@", "@b", "a b@c", "a@b@c", 7, "a@b\n"]) {
    const answer = await api("PATCH", path, { email });
    assert.equal(answer.status, 422, JSON.stringify(email));
    assert.deepEqual(answer.body.detail[0].loc, ["body", "email"]);
  }
  const kept = async () => {
    const row = await (await postern.database()).prepare("SELECT alert_email FROM application WHERE id = ?").bind(app).first();
    return row.alert_email;
  };
  await api.ok("PATCH", path, { email: "a@b.example" });
  await api.ok("PUT", `/api/v1/app/${app}`, { name: "Replaced" });
  await api.ok("PATCH", path, {});
  assert.equal(await kept(), "a@b.example", "what does not name it leaves it");
  await api.ok("PATCH", path, { email: null });
  assert.equal(await kept(), null);
});

describe("a broadcast", () => {
  const broadcast = (body, headers, call = api) => call("POST", "/api/v1/msg/broadcast", body, headers);
  const task = async (id, from = postern) => {
    const row = await (await from.database()).prepare("SELECT * FROM background_task WHERE id = ?").bind(id).first();
    return { ...row, data: JSON.parse(row.data) };
  };
  const ended = (id, from) => eventually(() => task(id, from), ({ state }) => state !== "running", "the end of the task");

  test("reaches each tenant of the organisation once, and no other", async () => {
    const organisation = `org_${"5".repeat(27)}`;
    const own = caller(postern, postern.token({ org: organisation }));
    const inboxes = [];
    const apps = [];
    for (const n of [1, 2, 3]) {
      const { id } = await own.ok("POST", "/api/v1/app", { name: `B${n}` });
      inboxes.push(receiver.at(`/broadcast-${n}`));
      apps.push(id);
      await own.ok("POST", `/api/v1/app/${id}/endpoint`, { url: inboxes.at(-1).url });
    }
    const { id: stranger } = await api.ok("POST", "/api/v1/app", { name: "Stranger" });
    const body = { eventType: "terms.changed", eventId: "terms-2", payload: { v: 2 }, channels: ["all"] };
    const answer = await broadcast(body, { "idempotency-key": "once" }, own);
    assert.equal(answer.status, 202);
    assert.match(answer.body.id, /^qtask_[0-9A-Za-z]{27}$/);
    assert.equal(answer.body.status, "running");
    assert.equal(answer.body.task, "message.broadcast");
    const again = await broadcast(body, { "idempotency-key": "once" }, own);
    assert.deepEqual(again.body, answer.body);
    for (const inbox of inboxes) {
      assert.equal((await inbox.request(1)).text, '{"v":2}');
    }
    const { state, data } = await ended(answer.body.id);
    assert.equal(state, "finished");
    assert.deepEqual([data.sent, data.skipped, data.failed], [3, 0, 0]);
    for (const app of apps) {
      const { data: messages } = await own.ok("GET", `/api/v1/app/${app}/msg`);
      assert.deepEqual(
        messages.map(({ eventType, eventId, channels }) => ({ eventType, eventId, channels })),
        [{ eventType: "terms.changed", eventId: "terms-2", channels: ["all"] }],
      );
    }
    assert.equal((await inspect(postern, stranger)).messages, 0);

    const second = await broadcast(body, {}, own);
    const skipped = await ended(second.body.id);
    assert.deepEqual([skipped.data.sent, skipped.data.skipped], [0, 3], "each has a message of this eventId");
    await postern.cron();
    const left = await (await postern.database()).prepare("SELECT count(*) AS n FROM broadcast").first();
    assert.equal(left.n, 0, "what was published is not kept");
  });

  test("that does not hold is refused whole, and a tenant's token may not", async () => {
    const answer = await broadcast({ eventType: "a b", payload: [], eventId: "", channels: ["a b"] });
    assert.equal(answer.status, 422);
    const places = answer.body.detail.map(({ loc }) => loc.join(".")).sort();
    assert.deepEqual(places, ["body.channels.0", "body.eventId", "body.eventType", "body.payload"]);
    const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Tenant" });
    const tenant = caller(postern, postern.token({ app }));
    assert.equal((await broadcast({ eventType: "a.b", payload: {} }, {}, tenant)).status, 403);
    const rows = await (await postern.database())
      .prepare("SELECT count(*) AS n FROM background_task WHERE organisation = ?")
      .bind(DEVELOPMENT_ORGANISATION)
      .first();
    assert.equal(rows.n, 0);
  });

  test("that was cancelled goes no further, and one that was cut off is gone on with by the cron", async () => {
    const organisation = `org_${"6".repeat(27)}`;
    const own = caller(postern, postern.token({ org: organisation }));
    const { id: app } = await own.ok("POST", "/api/v1/app", { name: "Late" });
    const database = await postern.database();
    const at = Date.now() + 1000;
    const plant = async (letter, state) => {
      const id = `qtask_${letter.repeat(27)}`;
      const insert = "INSERT INTO background_task VALUES (?, ?, NULL, 'message.broadcast', ?, '{}', ?, ?)";
      await database.prepare(insert).bind(id, organisation, state, at, at - 62_000).run();
      const content = "INSERT INTO broadcast VALUES (?, 'a.b', NULL, NULL, 0, '{}')";
      await database.prepare(content).bind(id).run();
      return id;
    };
    const cancelled = await plant("C", "cancelled");
    const cut = await plant("R", "running");
    await postern.cron();
    assert.equal((await task(cut)).state, "finished");
    const gone = await task(cancelled);
    assert.deepEqual([gone.state, gone.data], ["cancelled", {}]);
    assert.equal((await inspectAs(own, app)).messages, 1, "the cancelled one published nothing");
  });

  test("that is cancelled while a slice is at work stays cancelled", async () => {
    const own = caller(postern, postern.token({ org: `org_${"7".repeat(27)}` }));
    const { id: app } = await own.ok("POST", "/api/v1/app", { name: "Slow" });
    const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
    await namespace.get(namespace.idFromName(app)).fetch("https://tenant/test/stall");
    const answer = await broadcast({ eventType: "a.b", payload: {} }, {}, own);
    const database = await postern.database();
    const cancel = "UPDATE background_task SET state = 'cancelled' WHERE id = ? AND state = 'running'";
    assert.equal((await database.prepare(cancel).bind(answer.body.id).run()).meta.changes, 1);
    await eventually(() => inspectAs(own, app), ({ messages }) => messages === 1, "the slice that was at work");
    await postern.cron();
    const { state, data } = await task(answer.body.id);
    assert.deepEqual([state, data.sent], ["cancelled", 0]);
  });

  test("reaches every tenant once when the Worker is killed in the middle", async () => {
    const persist = mkdtempSync(join(tmpdir(), "postern-broadcast-"));
    const TENANTS = 205; // three slices
    let killable, back;
    try {
      killable = await startKillable({ persist, vars });
      const own = caller(killable);
      const apps = [];
      for (let n = 0; n < TENANTS; n++) {
        apps.push((await own.ok("POST", "/api/v1/app", { name: `K${n}` })).id);
      }
      const listening = [0, 120, TENANTS - 1];
      const inboxes = listening.map((n) => receiver.at(`/killed-${n}`));
      for (const [at, n] of listening.entries()) {
        await own.ok("POST", `/api/v1/app/${apps[n]}/endpoint`, { url: inboxes[at].url });
      }
      await killable.object(apps[150], "/test/stall"); // the second slice cannot end for seconds
      const answer = await broadcast({ eventType: "a.b", payload: { n: 1 } }, {}, own);
      await inboxes[1].request(1);
      await killable.kill();
      killable = undefined;
      assert.equal(inboxes[2].requests.length, 0, "it was killed in the middle");

      back = await start({ persist, vars });
      assert.equal((await task(answer.body.id, back)).state, "running");
      await back.cron();
      assert.equal(inboxes[2].requests.length, 0, "a run may still be alive: it is left alone for a minute");
      const older = "UPDATE background_task SET updated_at = updated_at - 61000";
      await (await back.database()).prepare(older).run();
      await back.cron();
      const { state, data } = await ended(answer.body.id, back);
      assert.equal(state, "finished");
      assert.equal(data.failed, 0);
      await Promise.all(inboxes.map((inbox) => inbox.request(1)));
      for (const app of apps) {
        assert.equal((await inspect(back, app)).messages, 1);
      }
      for (const inbox of inboxes) {
        const ids = new Set(inbox.requests.map(({ headers }) => headers["webhook-id"]));
        assert.equal(ids.size, 1, "one message, however often its attempt was made");
      }
    } finally {
      await killable?.stop();
      await back?.stop();
      rmSync(persist, { recursive: true, force: true });
    }
  });
});

const inspectAs = (call, app) => call.ok("GET", `/test/app/${app}/inspect`);

/** Its id, as src/domain/operational.rs derives it. */
function operationalTenant(organisation) {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let number = 0n;
  for (const digit of organisation.slice("org_".length)) {
    number = number * 62n + BigInt(digits.indexOf(digit));
  }
  const bytes = Buffer.from(number.toString(16).padStart(40, "0"), "hex");
  const hash = createHash("sha256").update("operational").update(bytes).digest().subarray(0, 20);
  let rest = BigInt(`0x${hash.toString("hex")}`);
  let text = "";
  for (let n = 0; n < 27; n++) {
    text = digits[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return `app_${text}`;
}

// App-level sources: one address for all tenants, verified once, stored once, and brought to whoever claims the account.

import assert from "node:assert/strict";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { DEVELOPMENT_ORGANISATION, start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const SOURCES = "/api/v1/source";
const SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5".replace(/[yz]/g, "0");
let postern, receiver, api;

before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** A tenant with an endpoint that takes everything. */
async function tenant(name) {
  const app = await api.ok("POST", "/api/v1/app", { name });
  const inbox = receiver.at(`/${app.id}`);
  await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url });
  return { id: app.id, inbox, messages: async () => (await api.ok("GET", `/api/v1/app/${app.id}/msg`)).data };
}

const slackSource = () =>
  api.ok("POST", SOURCES, { name: "Slack app", provider: "slack", secrets: [SIGNING_SECRET] });

/** What Slack posts: one event of a workspace, signed with the app's secret. */
async function slack(source, team, { id = `Ev${randomUUID()}`, secret = SIGNING_SECRET, body } = {}) {
  const event = body ?? { type: "event_callback", team_id: team, event_id: id, event: { type: "message", text: "hej" } };
  const text = JSON.stringify(event);
  const time = String(Math.floor(Date.now() / 1000));
  const signature = createHmac("sha256", secret).update(`v0:${time}:${text}`).digest("hex");
  const headers = {
    "content-type": "application/json",
    "x-slack-request-timestamp": time,
    "x-slack-signature": `v0=${signature}`,
  };
  const answer = await fetch(source.url, { method: "POST", headers, body: text });
  return { status: answer.status, text: await answer.text(), sent: text };
}

/** A source of the generic preset, whose key stands where `routingKey` says. */
const ownSource = (routingKey) =>
  api.ok("POST", SOURCES, {
    name: "Own",
    provider: "hmac",
    config: { header: "x-signature", eventType: "/type", eventId: "/id", routingKey },
    secrets: ["the-operators-own-secret"],
  });

async function own(source, event, headers = {}) {
  const text = JSON.stringify(event);
  const signature = createHmac("sha256", "the-operators-own-secret").update(text).digest("hex");
  const answer = await fetch(source.url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-signature": signature, ...headers },
    body: text,
  });
  assert.equal(answer.status, 200, await answer.text());
}

const claim = (source, key, app) => api.ok("PUT", `${SOURCES}/${source.id}/route/${encodeURIComponent(key)}`, { appId: app.id });
const unrouted = async (source) => (await api.ok("GET", `${SOURCES}/${source.id}/unrouted`)).data;

describe("routing", () => {
  test("an event of a workspace is delivered to the tenant that claims it, signed by us, and to nobody else", async () => {
    const source = await slackSource();
    const [acme, globex] = [await tenant("Acme"), await tenant("Globex")];
    await claim(source, "T-acme", acme);
    await claim(source, "T-globex", globex);
    const posted = await slack(source, "T-acme", { id: "Ev1" });
    assert.deepEqual([posted.status, posted.text], [200, ""]);
    const request = await acme.inbox.request(1);
    assert.equal(request.text, posted.sent);
    assert.match(request.headers["webhook-signature"], /^v1,/);
    const [message] = await acme.messages();
    assert.deepEqual(
      [message.eventType, message.eventId, message.sourceId, message.sourceName, message.provider, message.routingKey],
      ["message", "Ev1", source.id, "Slack app", "slack", "T-acme"],
    );
    assert.deepEqual(await globex.messages(), []);
    assert.deepEqual(await unrouted(source), []);

    // The provider's retry, and the next one.
    assert.equal((await slack(source, "T-acme", { id: "Ev1" })).status, 200);
    await slack(source, "T-acme", { id: "Ev2" });
    await acme.inbox.request(2);
    assert.deepEqual((await acme.messages()).map(({ eventId }) => eventId), ["Ev2", "Ev1"]);
  });

  test("two tenants that claim one account get a message each", async () => {
    const source = await slackSource();
    const both = [await tenant("One"), await tenant("Two")];
    for (const app of both) {
      await claim(source, "T-both", app);
    }
    await slack(source, "T-both");
    for (const { inbox, messages } of both) {
      await inbox.request(1);
      assert.equal((await messages()).length, 1);
    }
    const { claims } = await api.ok("GET", `${SOURCES}/${source.id}/route/T-both`);
    assert.deepEqual(claims.map(({ appId }) => appId).sort(), both.map(({ id }) => id).sort());
  });

  test("a bad signature stores and routes nothing, whatever account the body names", async () => {
    const source = await slackSource();
    const app = await tenant("Careful");
    await claim(source, "T-careful", app);
    const { status } = await slack(source, "T-careful", { secret: "0".repeat(32) });
    assert.equal(status, 401);
    assert.deepEqual(await app.messages(), []);
    assert.deepEqual(await unrouted(source), []);
  });

  test("the handshake is answered, and makes no event", async () => {
    const source = await slackSource();
    const { status, text } = await slack(source, undefined, { body: { type: "url_verification", challenge: "c1" } });
    assert.deepEqual([status, text], [200, "c1"]);
    assert.deepEqual(await unrouted(source), []);
  });
});

describe("what nobody claims", () => {
  test("it is counted by key, shown, and replayed to whoever claims the key later", async () => {
    const source = await ownSource("/account");
    for (const id of ["e1", "e2", "e3"]) {
      await own(source, { id, type: "order.paid", account: "shop/9 é" });
    }
    await own(source, { id: "e4", type: "order.paid" });
    const keys = await eventually(() => unrouted(source), (keys) => keys.length === 2 && keys[1].count === 3, "unrouted");
    assert.deepEqual(keys.map(({ key, count, eventType }) => [key, count, eventType]), [
      [null, 1, "order.paid"],
      ["shop/9 é", 3, "order.paid"],
    ]);
    const key = encodeURIComponent("shop/9 é");
    const events = await api.ok("GET", `${SOURCES}/${source.id}/unrouted/msg?key=${key}&limit=2`);
    assert.deepEqual(events.data.map(({ eventId, reason }) => [eventId, reason]), [["e3", "unclaimed"], ["e2", "unclaimed"]]);
    assert.equal(events.done, false);
    const without = await api.ok("GET", `${SOURCES}/${source.id}/unrouted/msg`);
    assert.deepEqual(without.data.map(({ eventId, reason }) => [eventId, reason]), [["e4", "no_key"]]);

    const replay = `${SOURCES}/${source.id}/route/${key}/replay`;
    assert.equal((await api("POST", replay)).status, 409, "nobody claims it");
    const app = await tenant("Late");
    await claim(source, "shop/9 é", app);
    const counted = await api.ok("POST", `${replay}?dry_run=true`);
    assert.deepEqual(counted, { count: 3, approximated: false, appIds: [app.id] });
    assert.deepEqual(await app.messages(), []);

    const task = await api.ok("POST", replay, {});
    assert.deepEqual([task.task, task.data.request.key], ["source.route-replay", "shop/9 é"]);
    assert.equal(task.data.applicationId, undefined, "the hidden ledger is nobody's application");
    await app.inbox.request(3);
    const ended = await eventually(
      () => api.ok("GET", `/api/v1/background-task/${task.id}`),
      ({ status }) => status !== "running",
      "the replay ends",
    );
    assert.deepEqual([ended.status, ended.data.progress.done, ended.data.progress.total], ["finished", 3, 3]);
    assert.deepEqual((await app.messages()).map(({ eventId }) => eventId).sort(), ["e1", "e2", "e3"]);
    assert.deepEqual((await unrouted(source)).map(({ key }) => key), [null]);
  });

  test("a key in an unsigned header routes only where the source was told to trust it", async () => {
    const source = await ownSource("header:X-Shop");
    const app = await tenant("Shop");
    await claim(source, "acme.example", app);
    await own(source, { id: "e1", type: "a" }, { "x-shop": "acme.example" });
    await eventually(() => unrouted(source), (keys) => keys.length === 1, "unrouted");
    const { data } = await api.ok("GET", `${SOURCES}/${source.id}/unrouted/msg?key=acme.example`);
    assert.equal(data[0].reason, "unsigned_key");
    assert.deepEqual(await app.messages(), []);

    const routing = `${SOURCES}/${source.id}/routing`;
    assert.deepEqual(await api.ok("GET", routing), { trustUnsignedRoute: false, oauthAppIds: [] });
    assert.equal((await api("PUT", routing, { trustUnsignedRoute: "yes" })).status, 422);
    assert.equal((await api.ok("PUT", routing, { trustUnsignedRoute: true })).trustUnsignedRoute, true);
    await own(source, { id: "e2", type: "a" }, { "x-shop": "acme.example" });
    await app.inbox.request(1);
    assert.deepEqual((await app.messages()).map(({ eventId }) => eventId), ["e2"]);

    // What came before is replayed only when that is said in words.
    const replay = `${SOURCES}/${source.id}/route/acme.example/replay`;
    assert.equal((await api.ok("POST", replay, { dryRun: true })).count, 0);
    assert.equal((await api.ok("POST", replay, { dryRun: true, unsignedKeys: true })).count, 1);
  });

  test("what a deleted tenant claimed is unclaimed again", async () => {
    const source = await ownSource("/account");
    const app = await tenant("Short");
    await claim(source, "a1", app);
    await own(source, { id: "e1", type: "a", account: "a1" });
    await app.inbox.request(1);
    await api.ok("DELETE", `/api/v1/app/${app.id}`);
    await own(source, { id: "e2", type: "a", account: "a1" });
    const [key] = await eventually(() => unrouted(source), (keys) => keys.length === 1, "unrouted");
    assert.deepEqual([key.key, key.count], ["a1", 1]);
    assert.deepEqual((await api.ok("GET", `${SOURCES}/${source.id}/route`)).data, []);
  });
});

describe("routes", () => {
  test("they are claimed, listed in pages, and given up for one application or for all", async () => {
    const source = await slackSource();
    const [one, two] = [await tenant("R1"), await tenant("R2")];
    const first = await claim(source, "k1", one);
    assert.deepEqual([first.key, first.appId, first.origin], ["k1", one.id, "hand"]);
    assert.deepEqual(await claim(source, "k1", one), first, "again: nothing changes");
    await claim(source, "k1", two);
    await claim(source, "k2", two);
    const path = `${SOURCES}/${source.id}/route`;
    const page = await api.ok("GET", `${path}?limit=2`);
    assert.deepEqual([page.data.map(({ key }) => key), page.done], [["k1", "k1"], false]);
    const next = await api.ok("GET", `${path}?limit=2&iterator=${page.iterator}`);
    assert.deepEqual([next.data.map(({ key }) => key), next.done], [["k2"], true]);

    const claimants = async (key) => (await api.ok("GET", `${path}/${key}`)).claims.map(({ appId }) => appId);
    await api.ok("DELETE", `${path}/k1?app_id=${one.id}`);
    assert.deepEqual(await claimants("k1"), [two.id]);
    assert.equal((await api("DELETE", `${path}/k1?app_id=${one.id}`)).status, 404);
    await api.ok("DELETE", `${path}/k1`);
    assert.deepEqual(await claimants("k1"), []);

    await api.ok("DELETE", `${SOURCES}/${source.id}`);
    assert.equal((await api("GET", path)).status, 404);
    assert.equal((await slack(source, "k2")).status, 404);
  });

  test("bad input is refused whole, with its place", async () => {
    const source = await slackSource();
    const app = await tenant("Input");
    const route = `${SOURCES}/${source.id}/route`;
    const cases = [
      [`${route}/k`, {}, ["body", "appId"]],
      [`${route}/k`, { appId: "app_nobody" }, ["body", "appId"]],
      [`${route}/${"k".repeat(257)}`, { appId: app.id }, ["path", "key"]],
      [`${route}/a%0Ab`, { appId: app.id }, ["path", "key"]],
    ];
    for (const [path, body, loc] of cases) {
      const refused = await api("PUT", path, body);
      assert.equal(refused.status, 422, JSON.stringify(refused.body));
      assert.deepEqual(refused.body.detail[0].loc, loc);
    }
    assert.deepEqual((await api.ok("GET", route)).data, []);
    assert.equal((await api("GET", `${SOURCES}/${source.id}/unrouted?iterator=zz`)).status, 400);
  });
});

describe("large bodies", () => {
  const MIB = 1 << 20;
  const bodies = async (owner) => (await (await postern.mf.getR2Bucket("BODIES")).list({ prefix: `${owner}/` })).objects;
  const read = async (app, message) => {
    const answer = await postern.fetch(`/api/v1/app/${app.id}/msg/${message.id}/body`, { headers: { authorization: `Bearer ${postern.token()}` } });
    return [answer.status, Buffer.from(await answer.arrayBuffer())];
  };

  test("each tenant gets a copy of its own, byte for byte, and keeps it whatever becomes of the others'", async () => {
    const source = await ownSource("/account");
    await api.ok("PATCH", `${SOURCES}/${source.id}`, { maxBodyBytes: 25 * MIB });
    const both = [await tenant("Copy one"), await tenant("Copy two")];
    for (const app of both) await claim(source, "big", app);
    const before = (await bodies(hiddenLedger(DEVELOPMENT_ORGANISATION))).length;
    const event = (id, size) => ({ id, type: "report", account: "big", pad: "å".repeat(size / 2) });
    await own(source, { id: "small 1", type: "report", account: "big" });
    await own(source, event("large", 3 * MIB));
    await own(source, { id: "small 2", type: "report", account: "big" });
    const wanted = Buffer.from(JSON.stringify(event("large", 3 * MIB)));
    const [one, two] = both;
    for (const { inbox, messages, id } of both) {
      for (const nth of [1, 2, 3]) await inbox.request(nth);
      const found = await messages();
      assert.deepEqual(found.map(({ eventId }) => eventId), ["small 2", "large", "small 1"], "in order");
      assert.equal(found[1].payload.bytes, wanted.length);
      assert.deepEqual(await read({ id }, found[1]), [200, wanted]);
      assert.equal((await bodies(id)).length, 1);
    }
    const delivered = await Promise.all([1, 2, 3].map((nth) => one.inbox.request(nth)));
    assert.ok(delivered.some(({ body }) => wanted.equals(body)), "delivered as it came");
    assert.equal((await bodies(hiddenLedger(DEVELOPMENT_ORGANISATION))).length, before + 1, "the organisation's own stands once");

    const [, mine] = await one.messages();
    await api.ok("DELETE", `/api/v1/app/${one.id}/msg/${mine.id}/content`);
    await eventually(() => bodies(one.id), (left) => left.length === 0, "its copy goes");
    const [, theirs] = await two.messages();
    assert.deepEqual(await read(two, theirs), [200, wanted]);
    await api.ok("DELETE", `/api/v1/app/${two.id}`);
    await eventually(() => bodies(two.id), (left) => left.length === 0, "with the tenant its copy goes");
    assert.equal((await bodies(hiddenLedger(DEVELOPMENT_ORGANISATION))).length, before + 1);
  });

  test("what nobody claims waits whole, and more than the source takes is refused", async () => {
    const source = await ownSource("/account");
    await api.ok("PATCH", `${SOURCES}/${source.id}`, { maxBodyBytes: 2 * MIB });
    const event = { id: "waits", type: "report", account: "later", pad: "x".repeat(MIB + 5) };
    await own(source, event);
    await eventually(() => unrouted(source), (keys) => keys.length === 1, "it waits");
    const app = await tenant("Later");
    await claim(source, "later", app);
    await api.ok("POST", `${SOURCES}/${source.id}/route/later/replay`, {});
    const request = await app.inbox.request(1);
    assert.ok(Buffer.from(JSON.stringify(event)).equals(request.body));
    const refused = await fetch(source.url, { method: "POST", body: Buffer.alloc(2 * MIB + 1) });
    assert.equal(refused.status, 413);
    const plain = await ownSource("/account");
    assert.equal((await fetch(plain.url, { method: "POST", body: Buffer.alloc(MIB + 1) })).status, 413, "1 MiB if nobody says");
  });

  test("a request of several accounts of which one is large brings each its own part", async () => {
    const secret = "0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d";
    const source = await api.ok("POST", SOURCES, { name: "HubSpot app", provider: "hubspot", secrets: [secret] });
    await api.ok("PATCH", `${SOURCES}/${source.id}`, { maxBodyBytes: 25 * MIB });
    const [small, large] = [await tenant("Small portal"), await tenant("Large portal")];
    await claim(source, "11", small);
    await claim(source, "22", large);
    const event = (eventId, portalId, more) => ({ eventId, portalId, subscriptionType: "contact.creation", occurredAt: Date.now(), ...more });
    const body = JSON.stringify([event(1, 11), event(2, 22, { pad: "y".repeat(2 * MIB) })]);
    const time = String(Date.now());
    const signature = createHmac("sha256", secret).update(`POST${source.url}${body}${time}`).digest("base64");
    const headers = { "content-type": "application/json", "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": time };
    const answer = await fetch(source.url, { method: "POST", headers, body });
    assert.equal(answer.status, 200, await answer.text());
    const [first, second] = await Promise.all([small.inbox.request(1), large.inbox.request(1)]);
    assert.ok(!first.text.includes("yyy") && first.text.includes("11"));
    assert.ok(second.body.length > 2 * MIB && second.body.length < 2 * MIB + 500);
    assert.deepEqual([(await bodies(small.id)).length, (await bodies(large.id)).length], [0, 1]);
  });
});

describe("whose it is", () => {
  test("a tenant's token may not touch it, and another organisation finds nothing", async () => {
    const source = await slackSource();
    const app = await tenant("Own");
    const other = caller(postern, postern.token({ org: `org_${"2".repeat(27)}` }));
    const own = caller(postern, postern.token({ app: app.id }));
    const paths = ["", "/routing", "/route", "/route/k", "/unrouted", "/unrouted/msg"];
    for (const path of paths.map((path) => `${SOURCES}/${source.id}${path}`)) {
      assert.equal((await own("GET", path)).status, 403, path);
      assert.equal((await other("GET", path)).status, 404, path);
    }
    assert.equal((await other("PUT", `${SOURCES}/${source.id}/route/k`, { appId: app.id })).status, 404);
    assert.deepEqual((await other.ok("GET", SOURCES)).data, []);

    // Nor can the key of one organisation's source be given to another's application.
    const stranger = await other.ok("POST", "/api/v1/app", { name: "Stranger" });
    const refused = await api("PUT", `${SOURCES}/${source.id}/route/k`, { appId: stranger.id });
    assert.equal(refused.status, 422);
  });

  test("no list shows the organisation's ledger, and no path names it", async () => {
    await slackSource();
    const hidden = hiddenLedger(DEVELOPMENT_ORGANISATION);
    const apps = await api.ok("GET", "/api/v1/app?limit=250");
    assert.ok(!apps.data.some(({ id }) => id === hidden));
    for (const path of ["", "/msg", "/source", "/endpoint"]) {
      assert.equal((await api("GET", `/api/v1/app/${hidden}${path}`)).status, 404, path);
    }
    const source = await slackSource();
    assert.equal((await api("PUT", `${SOURCES}/${source.id}/route/k`, { appId: hidden })).status, 422);
  });

  test("it is made, changed, rotated and listed as a tenant's source is", async () => {
    const source = await slackSource();
    const path = `${SOURCES}/${source.id}`;
    assert.equal((await api.ok("PATCH", path, { name: "Renamed" })).name, "Renamed");
    const listed = await api.ok("GET", `${SOURCES}?limit=250`);
    assert.ok(listed.data.some(({ id, name }) => id === source.id && name === "Renamed"));
    const rotated = await api.ok("POST", `${path}/token/rotate`, { overlapSeconds: 0 });
    assert.notEqual(rotated.url, source.url);
    const secret = "1".repeat(32);
    await api.ok("POST", `${path}/secret/rotate`, { secret, overlapSeconds: 0 });
    assert.equal((await slack(rotated, "T", { secret })).status, 200);
    assert.equal((await api.ok("GET", path)).state, "active");
  });

  test("what it refused is seen, counted and explained as a tenant's is, and single secrets go", async () => {
    const source = await slackSource();
    const path = `${SOURCES}/${source.id}`;
    assert.equal((await slack(source, "T1", { secret: "2".repeat(32) })).status, 401);
    const { data } = await eventually(() => api.ok("GET", `${path}/rejected`), ({ data }) => data.length === 1, "it is on record");
    assert.equal(data[0].reason, "mismatch");
    const one = await api.ok("GET", `${path}/rejected/${data[0].id}`);
    assert.match(one.body.text, /"team_id":"T1"/);
    const { findings } = await api.ok("POST", `${path}/diagnose`, { rejectedId: data[0].id });
    assert.equal(findings[0].code, "mismatch");
    assert.equal((await slack(source, "T1")).status, 200);
    const stats = await api.ok("GET", `${path}/stats`);
    assert.deepEqual([stats.state, stats.lastFailureReason, stats.secretInUse], ["active", "mismatch", source.secrets[0].id]);
    assert.equal((await api("GET", `${path}/captured-secret`)).status, 404);
    const rotated = await api.ok("POST", `${path}/secret/rotate`, { secret: "3".repeat(32), overlapSeconds: 600 });
    assert.equal(rotated.secrets.length, 2);
    await api("DELETE", `${path}/secret/${rotated.secrets[1].id}`);
    assert.deepEqual((await api.ok("GET", path)).secrets.map(({ id }) => id), [rotated.secrets[0].id]);
  });
});

/** The id of the organisation's ledger, as the design derives it: SHA-256 of a word and the organisation's id, cut. */
function hiddenLedger(organisation) {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const text = organisation.slice("org_".length);
  let number = [...text].reduce((sum, digit) => sum * 62n + BigInt(digits.indexOf(digit)), 0n);
  const bytes = Buffer.from(number.toString(16).padStart(40, "0"), "hex");
  const hash = createHash("sha256").update("app-level").update(bytes).digest().subarray(0, 20);
  number = BigInt(`0x${hash.toString("hex")}`);
  let id = "";
  for (let at = 0; at < 27; at += 1) {
    id = digits[Number(number % 62n)] + id;
    number /= 62n;
  }
  return `app_${id}`;
}

// App-level sources fed by connections: who connects an account gets its events, as long as the connection stands.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";
import { consent } from "./stand-in/server.mjs";
import { startSlack } from "./stand-in/slack.mjs";

const SOURCES = "/api/v1/source";
const SIGNING_SECRET = "8f742231b10e8888abcd99000000085a";
let postern, receiver, slack, api;

before(async () => {
  [postern, receiver, slack] = await Promise.all([start(), startReceiver(), startSlack()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop(), slack?.stop()]));

/** A tenant with an endpoint that takes everything. */
async function tenant(name) {
  const { id } = await api.ok("POST", "/api/v1/app", { name });
  const inbox = receiver.at(`/${id}`);
  await api.ok("POST", `/api/v1/app/${id}/endpoint`, { url: inbox.url, eventTypes: ["message"] });
  const events = async () => (await api.ok("GET", `/api/v1/app/${id}/msg?event_types=message`)).data.map(({ eventId }) => eventId);
  return { id, path: `/api/v1/app/${id}`, inbox, events };
}

/** An app at the stand-in: the operator's, or a tenant's own. */
async function oauthApp(owner = "/api/v1") {
  const { entry } = await api.ok("GET", "/api/v1/connection-provider/slack");
  const { id: _, kind: __, verified: ___, ...providerConfig } = slack.relocated(entry);
  const client = { clientId: slack.client.id, clientSecret: slack.client.secret };
  return api.ok("POST", `${owner}/oauth-app`, { name: "Slack", provider: "slack", providerConfig, scopes: ["chat:write"], ...client });
}

/** Connects a workspace, as its admin does with a browser. With `id` that connection again. */
async function connect(app, oauthApp, team, id) {
  slack.team.id = team;
  const session = id ? { connectionId: id } : { oauthAppId: oauthApp.id };
  const { url, connection } = await api.ok("POST", `${app.path}/connection/session`, session);
  const gone = await fetch(`${url}/go`, { redirect: "manual" });
  await gone.arrayBuffer();
  const cookie = gone.headers.getSetCookie()[0].split(";")[0];
  const arrived = await fetch(await consent(gone.headers.get("location")), { redirect: "manual", headers: { cookie } });
  await arrived.arrayBuffer();
  const at = `${app.path}/connection/${connection.id}`;
  const stands = await api.ok("GET", at);
  assert.deepEqual([stands.state, stands.routingKeys], ["active", [team]]);
  return { id: connection.id, at };
}

const slackSource = () => api.ok("POST", SOURCES, { name: "Slack app", provider: "slack", secrets: [SIGNING_SECRET] });
const feed = (source, ...apps) => api.ok("PUT", `${SOURCES}/${source.id}/routing`, { trustUnsignedRoute: false, oauthAppIds: apps.map(({ id }) => id) });
const claims = async (source, key) => (await api.ok("GET", `${SOURCES}/${source.id}/route/${key}`)).claims;
const claimants = async (source, key) => (await claims(source, key)).map(({ appId }) => appId);
const unrouted = async (source) => (await api.ok("GET", `${SOURCES}/${source.id}/unrouted`)).data.map(({ key, count }) => [key, count]);

/** What Slack posts: one event of a workspace, signed with the app's secret. */
async function post(source, team, id = `Ev${randomUUID()}`) {
  const text = JSON.stringify({ type: "event_callback", team_id: team, event_id: id, event: { type: "message", text: "hej" } });
  const time = String(Math.floor(Date.now() / 1000));
  const signature = createHmac("sha256", SIGNING_SECRET).update(`v0:${time}:${text}`).digest("hex");
  const headers = { "content-type": "application/json", "x-slack-request-timestamp": time, "x-slack-signature": `v0=${signature}` };
  const answer = await fetch(source.url, { method: "POST", headers, body: text });
  assert.equal(answer.status, 200, await answer.text());
  return id;
}

/** The directory says so: the row of a connection is written behind its answer. */
const until = (source, key, apps) =>
  eventually(() => claimants(source, key), (found) => found.join() === apps.map(({ id }) => id).sort().join(), `${key} is claimed by ${apps.length}`);

describe("a connection", () => {
  test("claims its account's key for its tenant, from the next event on, and gives it up when it ends", async () => {
    const [source, acme, app] = [await slackSource(), await tenant("Acme"), await oauthApp()];
    await feed(source, app);
    // Nobody has connected: what comes waits, and the directory's answer is remembered.
    const early = await post(source, "T-acme");
    await eventually(() => unrouted(source), (keys) => keys.length === 1, "it waits");

    const connection = await connect(acme, app, "T-acme");
    await until(source, "T-acme", [acme]);
    assert.deepEqual((await claims(source, "T-acme")).map(({ origin }) => origin), [connection.id]);
    const next = await eventually(
      async () => (await post(source, "T-acme"), acme.events()),
      (events) => events.length > 0,
      "an event is routed",
    );
    assert.ok(!next.includes(early));
    await acme.inbox.request(1);

    // What waited is offered as it is for a claim by hand.
    const task = await api.ok("POST", `${SOURCES}/${source.id}/route/T-acme/replay`, {});
    assert.deepEqual(task.data.request.appIds, [acme.id]);
    await eventually(acme.events, (events) => events.includes(early), "what waited is routed");

    await api.ok("DELETE", connection.at);
    await until(source, "T-acme", []);
    await eventually(
      async () => (await post(source, "T-acme"), unrouted(source)),
      (keys) => keys.some(([key]) => key === "T-acme"),
      "events of it go to nobody",
    );
    const [settled, [[, count]]] = [await acme.events(), await unrouted(source)];
    await post(source, "T-acme");
    await eventually(() => unrouted(source), ([[, now]]) => now > count, "and stay with nobody");
    assert.deepEqual(await acme.events(), settled);
  });

  test("holds the key beside others: it goes with the last connection, and a hand holds it longer", async () => {
    const [source, one, two, app] = [await slackSource(), await tenant("One"), await tenant("Two"), await oauthApp()];
    await feed(source, app);
    const first = await connect(one, app, "T-both");
    const second = await connect(one, app, "T-both");
    const third = await connect(two, app, "T-both");
    const origins = () => eventually(() => claims(source, "T-both"), (found) => found.length === 3, "three claims");
    assert.deepEqual((await origins()).map(({ origin }) => origin).sort(), [first.id, second.id, third.id].sort());
    // All of them in pages, each once.
    const path = `${SOURCES}/${source.id}/route?limit=2`;
    const page = await api.ok("GET", path);
    const rest = await api.ok("GET", `${path}&iterator=${page.iterator}`);
    assert.deepEqual([page.data.length, page.done, rest.data.length, rest.done], [2, false, 1, true]);
    assert.deepEqual([...page.data, ...rest.data].map(({ origin }) => origin).sort(), [first.id, second.id, third.id].sort());
    const back = await api.ok("GET", `${path}&iterator=${rest.prevIterator}`);
    assert.deepEqual(back.data, page.data);

    const id = await post(source, "T-both");
    for (const app of [one, two]) {
      await eventually(app.events, (events) => events.includes(id), "each has it");
      assert.equal((await app.events()).length, 1, "once, however many connections there are");
    }
    await api.ok("POST", `${first.at}/reset`, {});
    await eventually(() => claims(source, "T-both"), (found) => found.length === 2, "the reset one gave it up");
    assert.deepEqual(await claimants(source, "T-both"), [one.id, two.id].sort());
    await api.ok("PUT", `${SOURCES}/${source.id}/route/T-both`, { appId: one.id });
    await api.ok("DELETE", second.at);
    await eventually(() => claims(source, "T-both"), (found) => found.length === 2, "the hand and the other tenant");
    assert.deepEqual(await claimants(source, "T-both"), [one.id, two.id].sort());
    // A hand gives up what a hand claimed.
    await api.ok("DELETE", `${SOURCES}/${source.id}/route/T-both`);
    assert.deepEqual(await claimants(source, "T-both"), [two.id]);
    assert.equal((await api("DELETE", `${SOURCES}/${source.id}/route/T-both`)).status, 404);
  });

  test("that connects another account after a reset claims that one's key alone", async () => {
    const [source, app, shop] = [await slackSource(), await oauthApp(), await tenant("Moves")];
    await feed(source, app);
    const connection = await connect(shop, app, "T-old");
    await until(source, "T-old", [shop]);
    await api.ok("POST", `${connection.at}/reset`, {});
    await connect(shop, app, "T-new", connection.id);
    await until(source, "T-new", [shop]);
    assert.deepEqual(await claimants(source, "T-old"), []);
  });

  test("of a deleted tenant claims nothing", async () => {
    const [source, app, gone, stays] = [await slackSource(), await oauthApp(), await tenant("Gone"), await tenant("Stays")];
    await feed(source, app);
    await connect(gone, app, "T-gone");
    await connect(stays, app, "T-gone");
    await until(source, "T-gone", [gone, stays]);
    await api.ok("DELETE", gone.path);
    assert.deepEqual(await claimants(source, "T-gone"), [stays.id]);
    const database = await postern.database();
    const left = await database.prepare("SELECT count(*) AS rows FROM connection_route WHERE application = ?").bind(gone.id).first();
    assert.equal(left.rows, 0);
  });

  test("whose token is refreshed and whose row is written anew keeps its claim as it is", async () => {
    const [source, app, shop] = [await slackSource(), await oauthApp(), await tenant("Refreshes")];
    await feed(source, app);
    const connection = await connect(shop, app, "T-fresh");
    await until(source, "T-fresh", [shop]);
    const [before] = await claims(source, "T-fresh");
    await api.ok("POST", `${connection.at}/token`, { refresh: true });
    await api.ok("PATCH", connection.at, { label: "Renamed" });
    await eventually(() => api.ok("GET", `${shop.path}/connection`), ({ data }) => data[0].label === "Renamed", "the row is written");
    assert.deepEqual(await claims(source, "T-fresh"), [before]);
  });
});

describe("a feed", () => {
  test("counts for connections that stand, and is over when it is taken away, or its app is", async () => {
    const [source, app, shop] = [await slackSource(), await oauthApp(), await tenant("Before")];
    const connection = await connect(shop, app, "T-before");
    const routing = `${SOURCES}/${source.id}/routing`;
    assert.deepEqual(await api.ok("GET", routing), { trustUnsignedRoute: false, oauthAppIds: [] });
    assert.deepEqual(await claimants(source, "T-before"), []);
    assert.deepEqual(await feed(source, app), { trustUnsignedRoute: false, oauthAppIds: [app.id] });
    await until(source, "T-before", [shop]);
    // Not said: as it is.
    assert.deepEqual((await api.ok("PUT", routing, { trustUnsignedRoute: true })).oauthAppIds, [app.id]);
    const id = await post(source, "T-before");
    await eventually(shop.events, (events) => events.includes(id), "it is routed");

    await feed(source);
    assert.deepEqual(await claimants(source, "T-before"), []);
    await post(source, "T-before");
    await eventually(() => unrouted(source), (keys) => keys.length === 1, "from the next event on");

    await feed(source, app);
    await api.ok("DELETE", connection.at);
    await eventually(() => api("DELETE", `/api/v1/oauth-app/${app.id}`), ({ status }) => status === 204, "the app goes");
    assert.deepEqual((await api.ok("GET", routing)).oauthAppIds, []);
  });

  test("is refused of whoever's account it could be made to say: a tenant's own app, an app without keys, a stranger's", async () => {
    const [source, shop] = [await slackSource(), await tenant("Own app")];
    const own = await oauthApp(shop.path);
    const plain = await api.ok("POST", "/api/v1/oauth-app", { name: "GitHub", provider: "github", clientId: "x", clientSecret: "y" });
    const other = caller(postern, postern.token({ org: `org_${"3".repeat(27)}` }));
    const routing = `${SOURCES}/${source.id}/routing`;
    for (const apps of [[own.id], [plain.id], ["oapp_nobody"], [plain.id, own.id], Array(9).fill("x")]) {
      const refused = await api("PUT", routing, { trustUnsignedRoute: true, oauthAppIds: apps });
      assert.equal(refused.status, 422, JSON.stringify(refused.body));
      assert.deepEqual(refused.body.detail[0].loc.slice(0, 2), ["body", "oauthAppIds"]);
    }
    assert.deepEqual(await api.ok("GET", routing), { trustUnsignedRoute: false, oauthAppIds: [] }, "nothing half-written");
    const app = await oauthApp();
    const theirs = await other.ok("POST", SOURCES, { name: "Theirs", provider: "slack", secrets: [SIGNING_SECRET] });
    assert.equal((await other("PUT", `${SOURCES}/${theirs.id}/routing`, { trustUnsignedRoute: false, oauthAppIds: [app.id] })).status, 422);

    // A connection of the tenant's own app claims nothing, also where the operator's app of the same kind feeds.
    await feed(source, app);
    await connect(shop, own, "T-own");
    await post(source, "T-own");
    await eventually(() => unrouted(source), (keys) => keys.length === 1, "it goes to nobody");
    assert.deepEqual(await claimants(source, "T-own"), []);
  });
});

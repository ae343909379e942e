// Watches: what changes in a mailbox or a calendar comes as messages, from the provider's notification on.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { tenant } from "./stand-in/connecting.mjs";
import { startGoogle } from "./stand-in/google.mjs";

const MAIL = "https://mail.google.com/";
const CALENDAR = "https://www.googleapis.com/auth/calendar";
const AUDIENCE = "https://hooks.example/gmail";
const PUSHER = "push@acme.iam.gserviceaccount.com";
const TOPIC = "projects/acme/topics/gmail";
const HISTORY = "GET gmail.googleapis.com/gmail/v1/users/me/history";
const EVENTS = "GET www.googleapis.com/calendar/v3/calendars/primary/events";

let postern, google, api, app, source;

before(async () => {
  google = await startGoogle();
  postern = await start({ beside: google.withKeys });
  api = caller(postern);
  const { entry } = await api.ok("GET", "/api/v1/connection-provider/google");
  const { id: _, kind: __, verified: ___, ...providerConfig } = google.relocated(entry);
  await api.ok("POST", "/api/v1/oauth-app", { name: "Google", uid: "google", provider: "google", providerConfig, clientId: google.client.id, clientSecret: google.client.secret });
  app = await api.ok("POST", "/api/v1/app", { name: "Shop" });
  source = await api.ok("POST", `/api/v1/app/${app.id}/source`, { name: "Gmail", provider: "pubsub", config: { audience: AUDIENCE, email: PUSHER } });
});
after(() => Promise.all([postern?.stop(), google?.stop()]));

/** A connection that moved in, with what it watches. */
async function imported(watch = [], of = app) {
  const refreshToken = `1//0moved-${Math.random()}`;
  google.refreshes.set(refreshToken, { account: google.accounts.get("ann"), scope: `openid ${MAIL} ${CALENDAR}` });
  return api.ok("POST", `/api/v1/app/${of.id}/connection/import`, { oauthAppId: "google", refreshToken, scopes: ["openid", MAIL, CALENDAR], account: "ann@example.com", watch });
}

const at = ({ id }, rest = "") => `/api/v1/app/${app.id}/connection/${id}/watch${rest}`;
const watches = async (connection) => (await api.ok("GET", at(connection))).data;
const active = (connection) => eventually(() => watches(connection), (all) => all.length > 0 && all.every(({ state }) => state === "active"), "its watches are active");
const pushed = (notification, more = {}) => google.push(source.url, notification, { audience: AUDIENCE, email: PUSHER, ...more });

/** Messages that this connection's watches made, oldest first. */
async function told({ id }, of = app) {
  const { data } = await api.ok("GET", `/api/v1/app/${of.id}/msg?limit=250`);
  const made = data.filter(({ payload }) => payload?.data?.connectionId === id && payload.data.watchId);
  return made.reverse().map(({ eventType, eventId, payload }) => ({ eventType, eventId, data: payload.data }));
}
const types = (messages) => messages.map(({ eventType, data }) => `${eventType} ${data.messageId ?? data.eventId ?? ""}`.trim());
const tells = (connection, wanted) => eventually(async () => types(await told(connection)), (seen) => seen.length >= wanted.length, "it is told").then((seen) => assert.deepEqual(seen, wanted));

describe("a mailbox", () => {
  let connection;
  before(async () => {
    connection = await imported();
  });

  test("is registered at Gmail, wired to its source, and shown", async () => {
    const watch = await api.ok("POST", at(connection), { kind: "gmail", topic: TOPIC, sourceId: source.id });
    assert.equal(watch.state, "active", watch.detail);
    assert.deepEqual([watch.kind, watch.topic, watch.sourceId, watch.mailbox], ["gmail", TOPIC, source.id, "ann@example.com"]);
    assert.equal(google.state.watch.topicName, TOPIC);
    const renewal = Date.parse(watch.nextRenewalAt) - Date.now();
    assert.ok(renewal > 20 * 3_600_000 && renewal <= 86_400_000, `within a day, not ${renewal} ms`);
    assert.deepEqual(await api.ok("GET", at(connection, `/${watch.id}`)).then(({ id }) => id), watch.id);
    const { watches: [shown] } = await api.ok("GET", `/api/v1/app/${app.id}/connection/${connection.id}`);
    assert.deepEqual([shown.kind, shown.state], ["gmail", "active"]);
  });

  test("a push that is proven becomes messages that say what changed, once each", async () => {
    google.mail("m1");
    const notification = google.mail("m2");
    const answer = await pushed(notification, { id: "same" });
    assert.equal(answer.status, 204);
    await tells(connection, ["gmail.message_added m1", "gmail.message_added m2"]);
    const [{ eventId, data }] = await told(connection);
    assert.match(eventId, new RegExp(`^${connection.id}_gmail_\\d+-m1-message_added$`));
    assert.deepEqual([data.mailbox, data.threadId, data.labelIds], ["ann@example.com", "tm1", ["INBOX", "UNREAD"]]);
    const asked = google.of(HISTORY).length;
    assert.equal((await pushed(notification, { id: "same" })).status, 204);
    assert.equal((await pushed(notification)).status, 204);
    assert.equal(google.of(HISTORY).length, asked);
    assert.equal((await told(connection)).length, 2);
    const [{ lastPushAt, lastEventAt }] = await watches(connection);
    assert.ok(lastPushAt >= lastEventAt);
  });

  test("a push that is not proven leads to nothing", async () => {
    const notification = google.mail("m3");
    const asked = google.of(HISTORY).length;
    const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    for (const more of [
      { audience: "https://elsewhere.example" },
      { email: "other@acme.iam.gserviceaccount.com" },
      { key: stranger },
      { change: (claims) => ({ ...claims, email_verified: false }) },
      { change: (claims) => ({ ...claims, exp: claims.iat - 3600, iat: claims.iat - 7200 }) },
    ]) {
      assert.equal((await pushed(notification, more)).status, 401);
    }
    assert.equal(google.of(HISTORY).length, asked);
    assert.equal((await pushed(notification)).status, 204);
    await tells(connection, ["gmail.message_added m1", "gmail.message_added m2", "gmail.message_added m3"]);
  });

  test("a push for a mailbox that nobody watches is kept as a message, and that is all", async () => {
    const asked = google.of(HISTORY).length;
    assert.equal((await pushed({ emailAddress: "nobody@example.com", historyId: 99_999 })).status, 204);
    assert.equal(google.of(HISTORY).length, asked);
  });

  test("a history that Gmail has forgotten is told, and a new one begins", async () => {
    google.mail("m4");
    google.state.oldestHistory = google.state.historyId + 1;
    google.state.historyId += 10;
    assert.equal((await pushed({ emailAddress: "ann@example.com", historyId: google.state.historyId })).status, 204);
    await eventually(() => told(connection), (seen) => seen.at(-1).eventType === "gmail.history_lost", "the loss is told");
    await eventually(() => watches(connection), ([{ state }]) => state === "active", "it goes on");
    assert.equal((await pushed(google.mail("m5"))).status, 204);
    await eventually(async () => types(await told(connection)), (seen) => seen.at(-1) === "gmail.message_added m5", "what comes after is told");
    google.state.oldestHistory = 0;
  });

  test("another application's path does not lead to it, and its messages are its own", async () => {
    const other = await api.ok("POST", "/api/v1/app", { name: "Other" });
    const watch = `/api/v1/app/${other.id}/connection/${connection.id}/watch`;
    for (const [method, path] of [["GET", watch], ["POST", watch], ["GET", `${watch}/1`], ["DELETE", `${watch}/1`]]) {
      assert.equal((await api(method, path, method === "POST" ? { kind: "calendar" } : undefined)).status, 404, `${method} ${path}`);
    }
    const theirs = await api.ok("POST", `/api/v1/app/${other.id}/connection/import`, { oauthAppId: "google", refreshToken: [...google.refreshes.keys()][0], scopes: ["openid", MAIL] });
    const { status, body } = await api("POST", `/api/v1/app/${other.id}/connection/${theirs.id}/watch`, { kind: "gmail", topic: TOPIC, sourceId: source.id });
    assert.equal(status, 422);
    assert.deepEqual(body.detail[0].loc, ["body", "sourceId"]);
  });

  test("one source of the operator's serves the mailboxes of several applications", async () => {
    const common = await api.ok("POST", "/api/v1/source", { name: "Gmail", provider: "pubsub", config: { audience: AUDIENCE, email: PUSHER } });
    const all = [];
    for (const name of ["One", "Two"]) {
      const owner = await api.ok("POST", "/api/v1/app", { name });
      const made = await imported([], owner);
      const watch = await api.ok("POST", `/api/v1/app/${owner.id}/connection/${made.id}/watch`, { kind: "gmail", topic: TOPIC, sourceId: common.id });
      assert.equal(watch.state, "active", watch.detail);
      all.push([made, owner]);
    }
    assert.equal((await google.push(common.url, google.mail("for-both"), { audience: AUDIENCE, email: PUSHER })).status, 204);
    for (const [made, owner] of all) {
      await eventually(async () => types(await told(made, owner)), (seen) => seen.includes("gmail.message_added for-both"), "each is told");
    }
  });

  test("a wish that is none is refused by name", async () => {
    for (const [wish, field] of [
      [{}, "kind"],
      [{ kind: "drive" }, "kind"],
      [{ kind: "gmail", topic: "gmail" }, "topic"],
      [{ kind: "gmail", topic: TOPIC, sourceId: "src_nothing" }, "sourceId"],
      [{ kind: "gmail", topic: TOPIC, labelIds: "INBOX" }, "labelIds"],
      [{ kind: "calendar", calendarId: "" }, "calendarId"],
    ]) {
      const { status, body } = await api("POST", at(connection), wish);
      assert.equal(status, 422, JSON.stringify(wish));
      assert.equal(body.detail[0].loc[1], field);
    }
    const second = await api("POST", at(connection), { kind: "gmail", topic: `${TOPIC}-2` });
    assert.equal(second.status, 409);
  });

  test("is stopped when its watch is taken away", async () => {
    const [{ id }] = await watches(connection);
    assert.equal((await api("DELETE", at(connection, `/${id}`))).status, 204);
    await eventually(() => watches(connection), (all) => all.length === 0, "it is gone");
    assert.equal(google.state.watch, undefined);
    const asked = google.of(HISTORY).length;
    assert.equal((await pushed(google.mail("m6"))).status, 204);
    assert.equal(google.of(HISTORY).length, asked);
    assert.equal((await api("DELETE", at(connection, `/${id}`))).status, 404);
  });
});

describe("a calendar", () => {
  let connection, channel;
  before(async () => {
    google.event("old");
    connection = await imported([{ kind: "calendar" }]);
    await active(connection);
    channel = [...google.channels.values()].at(-1);
  });

  test("is watched from the import on, by a channel with a token of its own", () => {
    assert.equal(channel.address, `${postern.url}/in/channel/${connection.id}`);
    assert.match(channel.token, /^[0-9a-f]{64}$/);
  });

  test("what happens in it is told, once, by however many notifications", async () => {
    assert.equal((await google.notify(channel, "sync")).status, 200);
    google.event("new", { summary: "Lunch" });
    assert.equal((await google.notify(channel)).status, 200);
    await tells(connection, ["calendar.event_created new"]);
    assert.equal((await google.notify(channel)).status, 200);
    google.event("old");
    assert.equal((await google.notify(channel)).status, 200);
    await tells(connection, ["calendar.event_created new", "calendar.event_updated old"]);
    google.event("old", { status: "cancelled" });
    assert.equal((await google.notify(channel)).status, 200);
    await tells(connection, ["calendar.event_created new", "calendar.event_updated old", "calendar.event_deleted old"]);
    const [{ data }] = await told(connection);
    assert.deepEqual([data.calendarId, data.event.summary], ["primary", "Lunch"]);
  });

  test("what is not proven is refused, and nobody is asked for it", async () => {
    const asked = google.of(EVENTS).length;
    for (const more of [
      { "x-goog-channel-token": "0".repeat(64) },
      { "x-goog-channel-id": "other" },
      { "x-goog-resource-id": "res-2" },
      { "x-goog-channel-token": "" },
    ]) {
      assert.equal((await google.notify(channel, "exists", more)).status, 401, JSON.stringify(more));
    }
    const stranger = await imported([]);
    assert.equal((await google.notify({ ...channel, address: channel.address.replace(connection.id, stranger.id) })).status, 401);
    assert.equal((await google.notify({ ...channel, address: channel.address.replace(connection.id, "conn_nothing") })).status, 404);
    assert.equal((await fetch(channel.address)).status, 405);
    assert.equal(google.of(EVENTS).length, asked);
  });

  test("a sync token that Google has forgotten is told, and what was made since is found", async () => {
    google.event("while");
    google.state.oldestSync = google.state.syncToken + 1;
    google.state.syncToken += 1;
    assert.equal((await google.notify(channel)).status, 200);
    await eventually(async () => types(await told(connection)), (seen) => seen.includes("calendar.event_created while"), "it is found");
    assert.deepEqual(types(await told(connection)).slice(3), ["calendar.sync_lost", "calendar.event_created while"]);
    google.state.oldestSync = 0;
  });

  test("a disconnect stops the channel, then revokes", async () => {
    await api.ok("DELETE", `/api/v1/app/${app.id}/connection/${connection.id}`);
    const places = google.seen.map(({ path }) => path);
    const stopped = places.lastIndexOf("www.googleapis.com/calendar/v3/channels/stop");
    const revoked = places.lastIndexOf("oauth2.googleapis.com/revoke");
    assert.ok(stopped >= 0 && stopped < revoked, `${stopped} ${revoked}`);
    assert.equal(google.channels.has(channel.id), false);
    assert.ok([401, 404].includes((await google.notify(channel)).status));
  });
});

test("a session brings its watches, which begin when somebody has connected", async () => {
  const shop = await tenant(postern, "by session");
  const oauthApp = await shop.oauthApp(google, "google", { scopes: [MAIL] });
  const { id } = await shop.connect({ oauthAppId: oauthApp.id, watch: [{ kind: "gmail", topic: TOPIC, labelIds: ["INBOX"] }] });
  const path = shop.of(id, "/watch");
  const { data: [watch] } = await eventually(() => api.ok("GET", path), ({ data }) => data[0].state === "active", "it has begun", 60_000);
  assert.deepEqual([watch.labelIds, watch.sourceId], [["INBOX"], null]);
  assert.match(watch.detail, /every hour/);
  assert.deepEqual(google.state.watch.labelIds, ["INBOX"]);
  const { status, body } = await api("POST", `${shop.at}/connection/session`, { oauthAppId: oauthApp.id, watch: [{ kind: "gmail" }, { kind: "gmail" }] });
  assert.equal(status, 422);
  assert.deepEqual(body.detail[0].loc, ["body", "watch", "1"]);
});

test("no token of a channel or an account stands in what is shown or told", async () => {
  const { data } = await api.ok("GET", `/api/v1/app/${app.id}/msg?limit=250`);
  const connections = await api.ok("GET", `/api/v1/app/${app.id}/connection`);
  const shown = JSON.stringify([data, connections, postern.logs]);
  const secrets = google.seen.flatMap(({ json, bearer }) => [json?.token, bearer]).filter(Boolean);
  assert.ok(secrets.length > 2);
  for (const secret of secrets) assert.ok(!shown.includes(secret), "a secret is shown");
});

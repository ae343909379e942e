// What time does to watches, on the real engine: they are renewed before they end, looked at when nobody notifies, and
// found again when they have ended. Days pass by the object's clock alone, with the provider's beside it; seconds pass by
// themselves, and the alarm that then rings is the platform's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { clockOf } from "./connecting.mjs";
import { start } from "./harness.mjs";
import { tenant } from "./stand-in/connecting.mjs";
import { startGoogle } from "./stand-in/google.mjs";
import { json } from "./stand-in/server.mjs";

const MAIL = "https://mail.google.com/";
const CALENDAR = "https://www.googleapis.com/auth/calendar";
const AUDIENCE = "https://hooks.example/gmail";
const PUSHER = "push@acme.iam.gserviceaccount.com";
const TOPIC = "projects/acme/topics/gmail";
const REGISTER = "POST gmail.googleapis.com/gmail/v1/users/me/watch";
const HISTORY = "GET gmail.googleapis.com/gmail/v1/users/me/history";
const OPEN = "POST www.googleapis.com/calendar/v3/calendars/primary/events/watch";
const EVENTS = "GET www.googleapis.com/calendar/v3/calendars/primary/events";
const STOP = "POST www.googleapis.com/calendar/v3/channels/stop";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNAVAILABLE = json(503, { error: { code: 503, message: "The service is currently unavailable.", status: "UNAVAILABLE" } });

let postern, publisher;
const standIns = [];

before(async () => {
  publisher = await startGoogle();
  postern = await start({ vars: { TEST_HOOKS: "1" }, awake: true, beside: publisher.withKeys });
});
after(() => Promise.all([postern?.stop(), publisher?.stop(), ...standIns.map((standIn) => standIn.stop())]));

/** A Google of a test's own, and a connection to it that watches. */
async function watching(kind, { life, server = postern } = {}) {
  const google = await startGoogle();
  standIns.push(google);
  if (life) google.state.life = life;
  const shop = await tenant(server, `a ${kind}`);
  const { call, at } = shop;
  const oauthApp = await shop.oauthApp(google, "google", { scopes: [MAIL, CALENDAR] });
  const source = await call.ok("POST", `${at}/source`, { name: "Gmail", provider: "pubsub", config: { audience: AUDIENCE, email: PUSHER } });
  const refreshToken = "1//0of-ann";
  google.refreshes.set(refreshToken, { account: google.accounts.get("ann"), scope: `openid ${MAIL} ${CALENDAR}` });
  const { id } = await call.ok("POST", `${at}/connection/import`, { oauthAppId: oauthApp.id, refreshToken, scopes: ["openid", MAIL, CALENDAR], account: "ann@example.com" });
  await call.ok("POST", shop.of(id, "/watch"), kind === "gmail" ? { kind, topic: TOPIC, sourceId: source.id } : { kind });
  const clock = clockOf(server, id);
  const watch = async () => (await call.ok("GET", shop.of(id, "/watch"))).data[0];
  const becomes = (state) => eventually(watch, (watch) => watch.state === state, `it is ${state}`);
  const messages = async () => {
    const { data } = await call.ok("GET", `${at}/msg?limit=250`);
    return data.reverse().filter(({ payload }) => payload?.data?.connectionId === id);
  };
  await becomes("active");
  // It has looked once: what comes from here on is told.
  if (kind === "calendar") await eventually(watch, ({ nextAt }) => nextAt !== null, "it has looked");
  return {
    google,
    shop,
    id,
    watch,
    becomes,
    /** The object's time, and the provider's, is this from here on, and the object's alarm has rung. */
    passesTo: async (time) => {
      google.state.ahead = time - Date.now();
      await clock.ahead(google.state.ahead);
    },
    now: () => Date.now() + google.state.ahead,
    /** So many requests of this route came. */
    asked: (route, count) => eventually(() => google.of(route).length, (seen) => seen >= count, `${count} of ${route}`),
    push: (notification) => publisher.push(source.url, notification, { audience: AUDIENCE, email: PUSHER }),
    /** What its watch told, in the order in which it did. */
    told: async () => (await messages()).filter(({ payload }) => payload.data.watchId).map(({ eventType, payload: { data } }) => `${eventType} ${data.messageId ?? data.eventId ?? ""}`.trim()),
    /** How it came to stand, in the order in which it did. */
    turns: async () => (await messages()).filter(({ payload }) => !payload.data.watchId).map(({ eventType }) => eventType),
  };
}

const tells = async ({ told }, wanted) => assert.deepEqual(await eventually(told, (seen) => seen.length >= wanted.length, "it is told"), wanted);
const time = Date.parse;

describe("a mailbox", { concurrency: true }, () => {
  test("whose watch is short is registered anew by the platform's own alarm, and always before it ends", async () => {
    const { google, asked, watch } = await watching("gmail", { life: 16_000 });
    await asked(REGISTER, 3);
    const [first, ...renewals] = google.state.registered;
    assert.equal(first.replaced, undefined);
    for (const { at, replaced } of renewals) assert.ok(at < replaced, `${replaced - at} ms before its end`);
    const { state, nextRenewalAt, expiresAt } = await watch();
    assert.equal(state, "active");
    assert.ok(time(nextRenewalAt) < time(expiresAt));
  });

  test("is registered anew every day, with a week left, and its notifications go on", async () => {
    const mailbox = await watching("gmail");
    const { google, passesTo, asked, watch, push } = mailbox;
    for (let day = 1; day <= 8; day += 1) {
      const { nextRenewalAt } = await watch();
      const from = google.state.registered.at(-1).at;
      assert.ok(time(nextRenewalAt) - from <= DAY && time(nextRenewalAt) - from > 0.89 * DAY, nextRenewalAt);
      await passesTo(time(nextRenewalAt) - MINUTE);
      assert.equal((await watch()).nextRenewalAt, nextRenewalAt);
      assert.equal(google.of(REGISTER).length, day, "not before its time");
      await passesTo(time(nextRenewalAt) + 1);
      await asked(REGISTER, day + 1);
      await eventually(watch, (watch) => watch.nextRenewalAt !== nextRenewalAt, "the next one is planned");
    }
    for (const { at, replaced } of google.state.registered.slice(1)) assert.ok(replaced - at > 5 * DAY);
    assert.equal((await watch()).state, "active");
    assert.equal((await push(google.mail("m1"))).status, 204);
    await tells(mailbox, ["gmail.message_added m1"]);
    assert.ok(google.of(google.TOKEN).length > 7, "each day's token was a new one");
  });

  test("of which nobody notifies is looked at after an hour, and not before", async () => {
    const mailbox = await watching("gmail");
    const { google, passesTo, asked, watch } = mailbox;
    const { lastSyncAt } = await watch();
    const looks = google.of(HISTORY).length;
    google.mail("unheard of");
    await passesTo(time(lastSyncAt) + 58 * MINUTE);
    assert.equal((await watch()).lastSyncAt, lastSyncAt);
    assert.equal(google.of(HISTORY).length, looks);
    await passesTo(time(lastSyncAt) + HOUR);
    await asked(HISTORY, looks + 1);
    await tells(mailbox, ["gmail.message_added unheard of"]);
    assert.equal((await watch()).lastPushAt, null);
  });

  test("whose watch ended while nobody looked is registered anew, and what came meanwhile is told", async () => {
    const mailbox = await watching("gmail");
    const { google, passesTo, asked, becomes } = mailbox;
    google.mail("m1");
    google.mail("m2");
    await passesTo(Date.now() + 9 * DAY);
    await asked(REGISTER, 2);
    const { at, replaced } = google.state.registered[1];
    assert.ok(at > replaced, "it had ended");
    await tells(mailbox, ["gmail.message_added m1", "gmail.message_added m2"]);
    const { expiresAt } = await becomes("active");
    assert.ok(time(expiresAt) > mailbox.now() + 6 * DAY);
  });

  test("whose history was forgotten with it says so, and tells what comes from then on", async () => {
    const mailbox = await watching("gmail");
    const { google, passesTo, asked, push, becomes } = mailbox;
    google.mail("m1");
    google.state.oldestHistory = google.state.historyId + 1;
    google.state.historyId += 10;
    await passesTo(Date.now() + 30 * DAY);
    await asked(REGISTER, 2);
    await tells(mailbox, ["gmail.history_lost"]);
    await becomes("active");
    assert.equal((await push(google.mail("m2"))).status, 204);
    await tells(mailbox, ["gmail.history_lost", "gmail.message_added m2"]);
  });
});

describe("a calendar", { concurrency: true }, () => {
  test("whose channel is short gets another by the platform's own alarm, and always before it ends", async () => {
    const { google, asked, watch } = await watching("calendar", { life: 16_000 });
    await asked(OPEN, 3);
    const { opened } = google.state;
    for (const [index, { at, channel }] of opened.entries()) {
      if (index > 0) assert.ok(at < opened[index - 1].channel.expiration);
      assert.equal(opened.filter((other) => other.channel.id === channel.id || other.channel.token === channel.token).length, 1, "another id and another token each time");
    }
    assert.equal((await watch()).state, "active");
  });

  test("has two channels for an hour, which tell what one would, and the old one is stopped then", async () => {
    const calendar = await watching("calendar");
    const { google, passesTo, asked, watch } = calendar;
    const { nextRenewalAt, expiresAt } = await watch();
    assert.ok(time(expiresAt) - time(nextRenewalAt) >= DAY, "a day or more before its end");
    await passesTo(time(nextRenewalAt) - MINUTE);
    assert.equal((await watch()).nextRenewalAt, nextRenewalAt);
    assert.equal(google.of(OPEN).length, 1, "not before its time");
    await passesTo(time(nextRenewalAt) + 1);
    await asked(OPEN, 2);
    await eventually(watch, (watch) => watch.expiresAt !== expiresAt, "the new one serves");
    const [first, second] = google.state.opened;
    assert.notEqual(first.channel.id, second.channel.id);
    assert.notEqual(first.channel.token, second.channel.token);
    assert.equal((await google.notify(second.channel, "sync")).status, 200);

    google.event("lunch");
    for (const { channel } of [first, second, second, first]) assert.equal((await google.notify(channel)).status, 200);
    await tells(calendar, ["calendar.event_created lunch"]);
    google.event("lunch");
    for (const { channel } of [second, first]) assert.equal((await google.notify(channel)).status, 200);
    await tells(calendar, ["calendar.event_created lunch", "calendar.event_updated lunch"]);

    await passesTo(second.at + HOUR - MINUTE);
    google.event("tea");
    assert.equal((await google.notify(first.channel)).status, 200, "the old one counts still");
    await tells(calendar, ["calendar.event_created lunch", "calendar.event_updated lunch", "calendar.event_created tea"]);
    assert.equal(google.of(STOP).length, 0);
    await passesTo(second.at + HOUR + MINUTE);
    await asked(STOP, 1);
    await eventually(() => first.stopped, (stopped) => stopped - second.at >= HOUR, "it is stopped");
    assert.deepEqual([...google.channels.keys()], [second.channel.id]);
    await eventually(async () => (await google.notify(first.channel)).status, (status) => status === 401, "it counts no more");
    google.event("dinner");
    assert.equal((await google.notify(second.channel)).status, 200);
    await tells(calendar, ["calendar.event_created lunch", "calendar.event_updated lunch", "calendar.event_created tea", "calendar.event_created dinner"]);
    assert.equal(google.of(STOP).length, 1);
  });

  test("of which nobody notifies is looked at after an hour, and not before", async () => {
    const calendar = await watching("calendar");
    const { google, passesTo, watch } = calendar;
    const { lastSyncAt } = await eventually(watch, ({ lastSyncAt }) => lastSyncAt !== null, "it has looked");
    google.event("unheard of");
    const looks = google.of(EVENTS).length;
    await passesTo(time(lastSyncAt) + 58 * MINUTE);
    assert.equal((await watch()).lastSyncAt, lastSyncAt);
    assert.equal(google.of(EVENTS).length, looks);
    await passesTo(time(lastSyncAt) + HOUR);
    await tells(calendar, ["calendar.event_created unheard of"]);
    assert.equal((await watch()).lastPushAt, null);
  });

  test("whose channel ended while nobody looked gets another, and what happened meanwhile is told", async () => {
    const calendar = await watching("calendar");
    const { google, passesTo, asked, becomes } = calendar;
    google.event("meanwhile");
    await passesTo(Date.now() + 9 * DAY);
    await asked(OPEN, 2);
    const [first, second] = google.state.opened;
    assert.ok(second.at > first.channel.expiration, "it had ended");
    await tells(calendar, ["calendar.event_created meanwhile"]);
    const { expiresAt } = await becomes("active");
    assert.ok(time(expiresAt) > calendar.now() + 6 * DAY);
  });

  test("whose sync token was forgotten with it says so, and what happened meanwhile is found", async () => {
    const calendar = await watching("calendar");
    const { google, passesTo, asked } = calendar;
    google.state.ahead = DAY; // it happens after the first look, by either clock
    google.event("meanwhile");
    google.state.oldestSync = google.state.syncToken + 1;
    google.state.syncToken += 1;
    await passesTo(Date.now() + 9 * DAY);
    await asked(OPEN, 2);
    await tells(calendar, ["calendar.sync_lost", "calendar.event_created meanwhile"]);
  });
});

for (const [kind, route, named] of [["gmail", REGISTER, "registrations"], ["calendar", OPEN, "openings"]]) {
  test(`two ${named} that fail degrade the connection, its changes are told all the same, and a good one heals it`, async () => {
    const connection = await watching(kind);
    const { google, shop, id, passesTo, asked, watch, turns } = connection;
    const standing = async () => {
      const { state, reason } = await shop.get(id);
      return { state, reason };
    };
    const { nextRenewalAt } = await watch();
    for (let failure = 0; failure < 2; failure += 1) google.next(route, UNAVAILABLE);
    await passesTo(time(nextRenewalAt) + 1);
    await asked(route, 2);
    const failing = await connection.becomes("failing");
    assert.ok(failing.detail, "and says why");
    await asked(route, 3); // in some seconds, by the platform's alarm
    await eventually(standing, ({ state }) => state === "degraded", "it is degraded");
    assert.deepEqual(await standing(), { state: "degraded", reason: "watch_failed" });
    assert.equal((await shop.token(id)).generation >= 1, true, "its token is served meanwhile");

    // Nobody is sure to notify: it is looked at by the hour.
    const happened = kind === "gmail" ? (google.mail("unheard of"), "gmail.message_added unheard of") : (google.event("unheard of"), "calendar.event_created unheard of");
    google.next(route, UNAVAILABLE);
    await passesTo(connection.now() + HOUR + MINUTE);
    await tells(connection, [happened]);
    await asked(route, 4);
    assert.equal((await standing()).state, "degraded");

    await passesTo(connection.now() + 2 * HOUR);
    await asked(route, 5);
    await connection.becomes("active");
    assert.deepEqual(await standing(), { state: "active", reason: null });
    assert.deepEqual(await eventually(turns, (seen) => seen.includes("connection.recovered"), "it is told"), ["connection.created", "connection.degraded", "connection.recovered"]);
  });
}

test("without test hooks nobody moves an object's clock", async () => {
  const server = await start();
  try {
    const { google, shop, id, passesTo, watch } = await watching("calendar", { server });
    const { token, generation } = await shop.token(id);
    await passesTo(Date.now() + 9 * DAY);
    const again = await shop.token(id);
    assert.deepEqual([again.token, again.generation], [token, generation]);
    assert.equal((await watch()).state, "active");
    assert.equal(google.of(OPEN).length, 1);
    assert.equal((await caller(server)("POST", "/test/panic")).status, 404);
  } finally {
    await server.stop();
  }
});

// What time does to grants, on the real engine: a used token is refreshed ahead of its end, an idle grant is kept alive, and
// one that nothing keeps alive is told of ahead. Days pass by the object's clock alone; the provider is a certified one
// that rotates strictly.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "./api.mjs";
import { clockOf, customer } from "./connecting.mjs";
import { start } from "./harness.mjs";
import { startPeer } from "./oidc.mjs";
import { startReceiver } from "./receiver.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let postern, receiver;
const peers = [];

before(async () => {
  receiver = await startReceiver();
  postern = await start({ vars: { TEST_HOOKS: "1" }, awake: true });
});
after(async () => {
  await postern?.stop();
  for (const peer of peers) await peer.stop();
  await receiver?.stop();
});

/** A connection to a peer of a test's own, whose entry says so of its grants' lifetimes. */
async function connected({ accessSeconds = 3600, ...lifetime } = {}) {
  const peer = await startPeer({ accessSeconds });
  peers.push(peer);
  const shop = await customer(postern, peer, { receiver, provider: { oauth: { rotation: "strict", lifetime } } });
  const id = await shop.connect();
  const clock = clockOf(postern, id);
  const view = () => shop.get(id);
  return {
    peer,
    shop,
    id,
    view,
    /** The object's time is this from here on, and its alarm has rung. */
    passesTo: (at) => clock.ahead(at - Date.now()),
    /** It has been refreshed so often. */
    generation: (wanted) => eventually(view, ({ generation }) => generation === wanted, `generation ${wanted}`),
    /** So many notices of its end were told. */
    notices: (count) => eventually(() => shop.told(id).filter(({ type }) => type === "connection.expiring"), ({ length }) => length >= count, `${count} notices`),
  };
}

const time = Date.parse;

describe("time", { concurrency: true }, () => {
  test("brings a token that is used to its next one before it ends, and leaves one that nobody used for a day alone", async () => {
    const { peer, shop, id, view, passesTo, generation } = await connected({ accessSeconds: 4 * 3600 });
    await shop.token(id);
    const used = Date.now();
    const { expiresAt, nextRefreshAt } = await view();
    const ahead = time(expiresAt) - time(nextRefreshAt);
    assert.ok(ahead >= 15 * MINUTE && ahead <= 22.5 * MINUTE, `${ahead} ms before its end`);
    await passesTo(time(nextRefreshAt) - MINUTE);
    assert.equal((await view()).nextRefreshAt, nextRefreshAt);
    assert.equal(peer.refreshes().length, 0, "not before its time");
    let now = await view();
    while (now.nextRefreshAt !== null) {
      assert.ok(time(now.nextRefreshAt) - used <= DAY + MINUTE, "only while it is in use");
      await passesTo(time(now.nextRefreshAt) + 1);
      const next = await generation(now.generation + 1);
      assert.ok(time(next.expiresAt) > time(now.expiresAt));
      now = next;
    }
    assert.equal(now.generation, 7, "every four hours of a day, some minutes early");
    await passesTo(time(now.expiresAt) + 2 * DAY);
    const idle = await view();
    assert.deepEqual([idle.state, idle.generation], ["active", 7]);
    assert.equal(peer.refreshes().length, 6, "nobody has used it");
    const { status, body } = await shop.token(id);
    assert.deepEqual([status, body.generation], [200, 8], "but it is there when somebody asks");
    assert.equal(new Set(peer.refreshes().map(({ refreshToken }) => refreshToken)).size, 7, "each refresh token once");
  });

  test("keeps an idle grant alive at a quarter of its limit, and the forecast moves with it", async () => {
    const limit = 60 * DAY;
    const { peer, shop, id, view, passesTo, generation } = await connected({ accessSeconds: 100, idle: limit / 1000 });
    let { diesAt, createdAt } = await view();
    assert.ok(Math.abs(time(diesAt) - time(createdAt) - limit) < MINUTE, diesAt);
    let before = time(createdAt);
    for (let round = 1; round <= 6; round += 1) {
      const shows = peer.refreshes().length;
      await passesTo(before + limit / 4 - HOUR);
      assert.equal((await view()).generation, round, "not before its time");
      assert.equal(peer.refreshes().length, shows);
      await passesTo(before + limit / 4 + MINUTE);
      const { diesAt: later, state } = await generation(round + 1);
      assert.ok(time(later) > time(diesAt), `${later} after ${diesAt}`);
      assert.equal(state, "active");
      before = time(later) - limit;
      diesAt = later;
    }
    const shown = peer.refreshes().map(({ refreshToken }) => refreshToken);
    assert.equal(new Set(shown).size, 6, "each refresh token once");
    assert.deepEqual(shop.told(id).map(({ type }) => type), ["connection.created"], "nobody need be told");
  });

  test("tells of a grant's end fourteen days, three days and a day ahead, each once", async () => {
    const life = 30 * DAY;
    const { shop, id, view, passesTo, notices } = await connected({ absolute: life / 1000 });
    const { diesAt, diesOf } = await view();
    assert.match(diesOf, /connect again before/);
    for (const [told, days] of [14, 3, 1].entries()) {
      await passesTo(time(diesAt) - days * DAY - HOUR);
      assert.equal((await notices(told)).length, told, "not before its time");
      for (let again = 1; again <= 3; again += 1) await passesTo(time(diesAt) - days * DAY + again * MINUTE);
      assert.equal((await notices(told + 1)).length, told + 1);
    }
    const all = await notices(3);
    for (const { data } of all) assert.deepEqual([data.diesAt, data.diesOf], [diesAt, diesOf]);
    // Refreshes do not prolong it.
    assert.equal((await shop.token(id, { refresh: true })).status, 200);
    assert.equal((await view()).diesAt, diesAt);
    await passesTo(time(diesAt) - HOUR);
    assert.deepEqual(shop.told(id).map(({ type }) => type), ["connection.created", "connection.expiring", "connection.expiring", "connection.expiring"]);
  });
});

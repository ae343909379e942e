// The life of a connection's tokens on the real engine, against a certified provider that rotates strictly: one refresh
// however many ask, what becomes of each answer, and the end.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { caller, eventually } from "./api.mjs";
import { customer } from "./connecting.mjs";
import { start } from "./harness.mjs";
import { startPeer } from "./oidc.mjs";
import { startReceiver } from "./receiver.mjs";

const READERS = 1000;

const REISSUED = { oauth: { rotation: "reissue_old_ok" } };
const GRACE = { oauth: { rotation: { grace: { seconds: 3600 } } } };

let postern, receiver;
const peers = [];

before(async () => {
  receiver = await startReceiver();
  postern = await start({ vars: { TEST_HOOKS: "1" } });
});
after(async () => {
  await postern?.stop();
  for (const peer of peers) await peer.stop();
  await receiver?.stop();
});

/** A peer of a test's own, and a customer of it whose connection's first token lives this long. */
async function connected({ seconds = 120, peer: profile = "strict", login, ...more } = {}) {
  const peer = await startPeer();
  peers.push(peer);
  peer.state.profile = profile;
  peer.state.accessSeconds = seconds;
  const shop = await customer(postern, peer, { receiver, ...more });
  const id = await shop.connect({ login });
  peer.state.accessSeconds = 120;
  return { peer, shop, id };
}

/** The token is over: there is no event for that but the clock. */
async function over(shop, id) {
  const { expiresAt } = await shop.get(id);
  await wait(Math.max(0, Date.parse(expiresAt) - Date.now() + 20));
}

/** What an object was billed for since it woke. */
async function written(id) {
  const namespace = await postern.mf.getDurableObjectNamespace("CONNECTION");
  const answer = await namespace.get(namespace.idFromName(id)).fetch("http://object/test/written");
  return answer.json();
}

const types = (shop, id) => shop.told(id).map(({ type }) => type);
const standing = ({ state, reason }) => ({ state, reason });

describe("reading", () => {
  test(`${READERS} readers of a token that is over cause one refresh, and each gets the new one`, async () => {
    const { peer, shop, id } = await connected({ seconds: 5 });
    const { body: old } = await shop.token(id);
    await over(shop, id);
    const open = peer.token.gate();
    const asked = peer.token.requests(2);
    const reads = [shop.token(id)];
    await asked;
    while (reads.length < READERS) reads.push(shop.token(id));
    // As many as this machine brings there before the provider's deadline; the others find it answered.
    await Promise.race([wait(8_000), eventually(() => noted(shop, id), (count) => count > READERS, "all readers are noted")]);
    open();
    const answers = await Promise.all(reads);
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    const tokens = new Set(answers.map(({ body }) => body.token));
    assert.equal(tokens.size, 1);
    assert.ok(!tokens.has(old.token));
    assert.deepEqual(new Set(answers.map(({ body }) => body.generation)), new Set([2]));
    assert.equal(peer.refreshes().length, 1);
    assert.deepEqual([...peer.state.refreshes.values()], [1]);
  });

  test("a warm read asks nobody, and that it was read costs some rows a minute, not one a read", async () => {
    const { peer, shop, id } = await connected();
    const first = await shop.token(id);
    const asked = peer.token.seen.length;
    const rows = await written(id);
    for (let n = 0; n < 40; n += 1) assert.equal((await shop.token(id)).body.token, first.body.token);
    assert.equal(peer.token.seen.length, asked);
    const cost = (await written(id)) - rows;
    assert.ok(cost <= 12, `${cost} rows: of each minute's reads the first, second, fourth …, and the count at its end`);
    assert.equal(await noted(shop, id), 41);
  });

  test("a token is read by whoever may, is kept by nobody on the way, and the audit says who and when", async () => {
    const { shop, id } = await connected();
    const api = caller(postern);
    const scoped = async (kind) => (await api.ok("POST", `/api/v1/auth/app/${shop.app}/create-${kind}-token`, { name: "a reader" })).token;
    const reader = caller(postern, await scoped("connection"));
    const publisher = caller(postern, await scoped("message"));
    const stranger = caller(postern, postern.token({ app: (await api.ok("POST", "/api/v1/app", { name: "Stranger" })).id }));
    const tenant = caller(postern, postern.token({ app: shop.app }));
    const at = shop.of(id, "/token");

    const read = await reader("POST", at);
    assert.equal(read.status, 200);
    assert.equal(read.headers.get("cache-control"), "no-store");
    assert.equal((await tenant("POST", at)).body.token, read.body.token);
    assert.equal((await tenant("POST", at)).status, 200);
    assert.equal((await publisher("POST", at)).status, 403);
    assert.equal((await reader("GET", shop.of(id))).status, 403, "it reads tokens, and nothing else");
    const refused = await stranger("POST", at);
    assert.ok([403, 404].includes(refused.status), `${refused.status}`);
    assert.equal((await caller(postern, null)("POST", at)).status, 401);

    const { data } = await api.ok("GET", shop.of(id, "/token/read"));
    const reads = new Map();
    for (const { at, reader, reads: count } of data) {
      assert.ok(Math.abs(Date.parse(at) - Date.now()) < 180_000, at);
      const kind = reader.split(":")[0];
      reads.set(kind, (reads.get(kind) ?? 0) + count);
    }
    assert.deepEqual(Object.fromEntries(reads), { scoped: 1, application: 2 });
    assert.equal((await reader("GET", shop.of(id, "/token/read"))).status, 403);
  });
});

describe("a refresh token", { concurrency: true }, () => {
  for (const rotation of ["none", "strict"]) {
    test(`S26: stays if an answer has none, or an empty one, and goes when there is a new one (${rotation})`, async () => {
      const { peer, shop, id } = await connected({ peer: "none", provider: { oauth: { rotation } } });
      peer.state.graceSeconds = 0;
      const given = [];
      const answers = [
        ({ refresh_token: _, ...answer }) => answer,
        (answer) => ({ ...answer, refresh_token: "" }),
        (answer) => (given.push(answer.refresh_token), answer),
        (answer) => (given.push(answer.refresh_token), answer),
        ({ refresh_token: _, ...answer }) => answer,
        (answer) => answer,
      ];
      for (const [index, answer] of answers.entries()) {
        peer.state.profile = index < 2 || index > 3 ? "none" : "strict"; // a new one comes with the third and the fourth
        peer.token.patch(answer);
        const { status, body } = await shop.token(id, { refresh: true });
        assert.deepEqual([status, body.generation], [200, index + 2]);
        assert.equal((await me(peer, body.token)).sub, "ann", "it is a token that the provider takes");
        assert.equal((await shop.get(id)).refreshable, true);
      }
      const shown = peer.refreshes().map(({ form }) => form.refresh_token);
      assert.deepEqual(shown.slice(1, 3), [shown[0], shown[0]]);
      assert.notEqual(given[0], shown[0]);
      assert.deepEqual(shown.slice(3), [given[0], given[1], given[1]]);
      assert.deepEqual(standing(await shop.get(id)), { state: "active", reason: null });
      assert.deepEqual(types(shop, id), ["connection.created"]);
    });
  }
});

describe("a refresh that fails", { concurrency: true }, () => {
  test("an outage is degraded, told once, and heals by itself", async () => {
    const { peer, shop, id } = await connected({ seconds: 1, peer: "reissue", provider: REISSUED });
    await over(shop, id);
    peer.token.html();
    const read = await shop.token(id);
    assert.equal(read.status, 503);
    assert.match(read.body.detail, /token endpoint does not answer/);
    const view = await shop.get(id);
    assert.deepEqual(standing(view), { state: "degraded", reason: "provider_outage" });
    assert.match(view.detail, /tried again/);
    const [line] = await shop.history(id);
    assert.equal(line.class, "outage");
    assert.ok(Date.parse(line.nextAt) > Date.parse(line.at));
    await shop.hears(id, "connection.recovered");
    assert.deepEqual(standing(await shop.get(id)), { state: "active", reason: null });
    assert.deepEqual(types(shop, id), ["connection.created", "connection.degraded", "connection.recovered"]);
    assert.equal(peer.refreshes().length, 2);
  });

  test("a provider that throttles is left alone for as long as it says", async () => {
    const { peer, shop, id } = await connected({ seconds: 1 });
    await over(shop, id);
    peer.token.fail(429, { error: "slow_down" }, { "content-type": "application/json", "retry-after": "8" });
    assert.equal((await shop.token(id)).status, 503);
    assert.deepEqual(standing(await shop.get(id)), { state: "degraded", reason: "throttled" });
    assert.equal((await shop.token(id)).status, 503, "whoever asks meanwhile is told the same");
    await shop.hears(id, "connection.recovered");
    const [first, second, ...more] = peer.refreshes();
    assert.equal(more.length, 0);
    assert.ok(second.at - first.at >= 8000, `${second.at - first.at} ms`);
    assert.deepEqual(types(shop, id), ["connection.created", "connection.degraded", "connection.recovered"]);
  });

  test("a broken app is found out once and told once for all of its connections, and they heal when it is mended", async () => {
    const { peer, shop, id } = await connected({ seconds: 1 });
    const other = await shop.connect({ login: "bob" });
    const app = `${shop.path}/oauth-app/${shop.oauthApp.id}`;
    assert.equal(shop.oauthApp.broken, null);
    const secret = "the secret that the peer has now";
    await peer.client({ id: shop.client.id, secret, redirectUri: shop.oauthApp.redirectUri });
    await over(shop, id);
    assert.equal((await shop.token(id)).status, 503);
    const { broken } = await eventually(() => caller(postern).ok("GET", app), (shown) => shown.broken !== null, "the app's row says it");
    assert.match(broken.words, /invalid_client/);
    assert.ok(Date.parse(broken.againAt) - Date.parse(broken.since) >= 3_600_000, "one connection an hour asks again");
    assert.equal((await shop.token(other, { refresh: true })).status, 200, "its token is good, and is served meanwhile");
    for (const one of [id, other]) {
      const view = await shop.get(one);
      assert.deepEqual(standing(view), { state: "blocked", reason: "app" });
      assert.match(view.detail, /correct the app/);
    }
    assert.equal((await shop.token(id)).status, 503);
    assert.equal(peer.refreshes().length, 1, "one for all: nobody asks again on his own");
    const [line] = await shop.history(other);
    assert.match(line.words, /invalid_client/, "the other one says what the first was told");
    const alerts = () => receiver.requests.map(({ text }) => JSON.parse(text)).filter(({ type, data }) => type.startsWith("oauth-app.") && data.oauthAppId === shop.oauthApp.id).sort((one, two) => one.timestamp.localeCompare(two.timestamp));
    await receiver.until(() => alerts().length > 0, "the app's alert");
    const mended = await caller(postern).ok("PATCH", app, { clientSecret: secret });
    assert.equal(mended.broken, null);
    for (const one of [id, other]) {
      await shop.hears(one, "connection.recovered");
      assert.deepEqual(standing(await shop.get(one)), { state: "active", reason: null });
      assert.equal((await shop.token(one)).status, 200);
      assert.deepEqual(types(shop, one), ["connection.created", "connection.degraded", "connection.recovered"]);
    }
    assert.equal(peer.refreshes().length, 3);
    await receiver.until(() => alerts().some(({ type }) => type === "oauth-app.recovered"), "its end");
    const { name, provider, id: oauthAppId } = shop.oauthApp;
    const of = { appId: shop.app, oauthAppId, oauthAppUid: null, name, provider, brokenSince: broken.since };
    assert.deepEqual(alerts().map(({ type, data }) => [type, data]), [
      ["oauth-app.broken", { ...of, words: broken.words }],
      ["oauth-app.recovered", { ...of, words: null }],
    ]);
    const told = (await shop.messages()).filter(({ eventType }) => eventType.startsWith("oauth-app."));
    assert.equal(told.length, 2);
  });

  test("of a broken app one connection is let through when its time has come, and heals all when it is taken", async () => {
    const { peer, shop, id } = await connected({ seconds: 1 });
    const [other, third] = [await shop.connect({ login: "bob" }), await shop.connect({ login: "cleo" })];
    const app = `${shop.path}/oauth-app/${shop.oauthApp.id}`;
    const is = (wanted) => eventually(() => caller(postern).ok("GET", app), ({ broken }) => (broken !== null) === wanted, `broken: ${wanted}`);
    await over(shop, id);
    peer.token.fail(401, { error: "invalid_client" });
    assert.equal((await shop.token(id)).status, 503);
    await is(true);
    // The hour is over: there is no event for that but the clock.
    const database = await postern.database();
    await database.prepare("UPDATE oauth_app SET probe_at = 1 WHERE id = ?").bind(shop.oauthApp.id).run();
    const open = peer.token.gate();
    const asked = peer.token.requests(peer.token.seen.length + 1);
    const probe = shop.token(other, { refresh: true });
    await asked;
    assert.equal((await shop.token(third, { refresh: true })).status, 200);
    assert.deepEqual(standing(await shop.get(third)), { state: "blocked", reason: "app" }, "another one is the probe");
    open();
    assert.equal((await probe).status, 200);
    await is(false);
    assert.equal(peer.refreshes().length, 2);
    await postern.cron();
    for (const one of [id, third]) {
      await shop.hears(one, "connection.recovered");
      assert.deepEqual(standing(await shop.get(one)), { state: "active", reason: null });
    }
    assert.deepEqual(types(shop, other), ["connection.created"]);
  });

  test("a grant that its owner ended needs a person, and the same connection lives on when he has connected again", async () => {
    const { peer, shop, id } = await connected({ seconds: 1 });
    await over(shop, id);
    peer.token.fail(400, { error: "invalid_grant", error_description: "grant request is invalid" });
    const read = await shop.token(id);
    assert.equal(read.status, 409);
    assert.match(read.body.detail, /connect again/);
    assert.deepEqual(standing(await shop.get(id)), { state: "needs_reauth", reason: "grant_dead" });
    const [line] = await shop.history(id);
    assert.deepEqual([line.class, line.words], ["dead_grant", "invalid_grant: grant request is invalid"]);
    assert.equal((await shop.token(id)).status, 409);
    assert.equal(peer.refreshes().length, 1, "a dead grant is not asked again");
    await shop.hears(id, "connection.needs_reauth");
    assert.equal(await shop.connect({ session: { connectionId: id, oauthAppId: undefined } }), id);
    await shop.hears(id, "connection.recovered");
    assert.equal((await shop.token(id)).body.generation, 2);
    assert.deepEqual(types(shop, id), ["connection.created", "connection.needs_reauth", "connection.recovered"]);
  });

  test("after a lost answer a strict provider is asked once more, after a pause and near the old token's end, and never again", async () => {
    const { peer, shop, id } = await connected({ seconds: 6 });
    const { body: old } = await shop.token(id);
    peer.token.dropAfter();
    const read = await shop.token(id, { refresh: true });
    assert.deepEqual([read.status, read.body.token], [200, old.token], "the old token works, and is served");
    assert.deepEqual(standing(await shop.get(id)), { state: "degraded", reason: "refresh_unknown" });
    assert.equal(peer.refreshes().length, 1);
    await shop.hears(id, "connection.needs_reauth");
    const [first, second] = peer.refreshes();
    assert.equal(second.refreshToken, first.refreshToken, "the one token that there is");
    // A token of 6 s is near its end (60 s) from the beginning: what holds the one more try back is the pause, 5 s less a fifth.
    assert.ok(second.at - first.at >= 3900, `${second.at - first.at} ms`);
    const view = await shop.get(id);
    assert.deepEqual(standing(view), { state: "needs_reauth", reason: "refresh_answer_lost" });
    assert.match(view.detail, /answer was lost/);
    assert.ok((await shop.history(id)).some(({ decision }) => decision.includes("probe_once")), "it is written down");
    assert.equal((await shop.token(id)).status, 409);
    assert.equal(peer.refreshes().length, 2);
    assert.deepEqual(types(shop, id), ["connection.created", "connection.degraded", "connection.needs_reauth"]);
  });

  test("a request that never arrived costs a strict grant nothing", async () => {
    const { peer, shop, id } = await connected({ seconds: 1 });
    await over(shop, id);
    peer.token.dropBefore();
    const read = await shop.token(id);
    // The token is over: the one more try is made at once, or with the next read.
    const token = read.status === 200 ? read : await eventually(() => shop.token(id), ({ status }) => status === 200, "a token");
    assert.equal(token.body.generation, 2);
    assert.equal(peer.refreshes().length, 2);
    assert.deepEqual(standing(await shop.get(id)), { state: "active", reason: null });
  });

  test("after a lost answer a provider with a grace is asked again at once, and whoever waits gets the token", async () => {
    const { peer, shop, id } = await connected({ seconds: 1, peer: "grace", provider: GRACE });
    peer.state.graceSeconds = 3600;
    await over(shop, id);
    peer.token.dropAfter();
    const read = await shop.token(id);
    assert.equal(read.status, 200);
    assert.equal(read.body.generation, 2);
    const [first, second, ...more] = peer.refreshes();
    assert.deepEqual([second.refreshToken, more.length], [first.refreshToken, 0]);
    assert.deepEqual([...peer.state.refreshes.values()], [1], "the provider did it once");
    assert.deepEqual(standing(await shop.get(id)), { state: "active", reason: null });
  });

  test("after a lost answer a provider whose old tokens work is asked again, and the grant lives", async () => {
    const { peer, shop, id } = await connected({ seconds: 1, peer: "reissue", provider: REISSUED });
    await over(shop, id);
    peer.token.dropAfter();
    assert.equal((await shop.token(id)).status, 503);
    assert.deepEqual(standing(await shop.get(id)), { state: "degraded", reason: "refresh_unknown" });
    await shop.hears(id, "connection.recovered");
    assert.equal((await shop.token(id)).body.generation, 2);
    assert.deepEqual([...peer.state.refreshes.values()], [1]);
  });

  test("an answer that is no token answer leaves the state that its class has", async () => {
    for (const [fault, state, reason] of [
      [(peer) => peer.token.redirect("/elsewhere"), "blocked", "config"],
      [(peer) => peer.token.fail(400, { error: "interaction_required" }), "needs_reauth", "policy_needs_user"],
      [(peer) => peer.token.patch(({ access_token: _, ...rest }) => rest), "degraded", "refresh_unknown"],
    ]) {
      const { peer, shop, id } = await connected({ seconds: 1, peer: "reissue", provider: REISSUED });
      await over(shop, id);
      fault(peer);
      assert.notEqual((await shop.token(id)).status, 200);
      assert.deepEqual(standing(await shop.get(id)), { state, reason });
    }
  });

  test("a token that cannot be refreshed ends with a word about it", async () => {
    const peer = await startPeer();
    peers.push(peer);
    Object.assign(peer.state, { withoutRefreshToken: true, accessSeconds: 3 });
    const shop = await customer(postern, peer, { receiver });
    const id = await shop.connect();
    const view = await shop.get(id);
    assert.deepEqual([view.refreshable, view.diesAt, view.diesConfidence], [false, view.expiresAt, "told"]);
    await shop.hears(id, "connection.needs_reauth"); // by the alarm: nobody reads
    assert.deepEqual(standing(await shop.get(id)), { state: "needs_reauth", reason: "no_refresh_token" });
    assert.equal((await shop.token(id)).status, 409);
  });
});

describe("the rest of its life", { concurrency: true }, () => {
  test("a forecast says when the grant will be over and why, and its owner is told ahead", async () => {
    const seconds = 86_400 + 4; // the last notice is due a day ahead
    const { shop, id } = await connected({ provider: { oauth: { rotation: "strict", lifetime: { absolute: seconds } } } });
    const view = await shop.get(id);
    assert.ok(Math.abs(Date.parse(view.diesAt) - Date.parse(view.createdAt) - seconds * 1000) < 5000, view.diesAt);
    assert.match(view.diesOf, /connect again before/);
    await shop.hears(id, "connection.expiring");
    const [, expiring] = shop.told(id);
    assert.deepEqual([expiring.data.diesAt, expiring.data.state], [view.diesAt, "active"]);
  });

  test("imported tokens are refreshed at once, and the connection lives by the new ones", async () => {
    const { peer, shop } = await connected();
    const given = await shop.grant("carol");
    const view = await shop.import({ refreshToken: given.refresh_token, scopes: ["openid", "api:read"], account: "carol@example.com" });
    assert.deepEqual([view.state, view.account, view.accountKey, view.generation], ["active", "carol", "carol", 2], "the refresh's id token says whose they are");
    assert.equal(peer.refreshes().length, 1);
    const { body } = await shop.token(view.id);
    assert.notEqual(body.token, given.access_token);
    assert.equal((await me(peer, body.token)).sub, "carol");
  });

  test("what is disconnected is revoked at the provider and shredded here, and its owner is told", async () => {
    const { peer, shop, id } = await connected();
    const { body } = await shop.token(id);
    const ended = await caller(postern).ok("DELETE", shop.of(id));
    assert.deepEqual([ended.revoked, ended.connection.state, ended.connection.reason], ["revoked", "revoked", "disconnected"]);
    assert.deepEqual([ended.connection.generation, ended.connection.refreshable], [null, false]);
    const [revoked, ...more] = peer.at("/token/revocation").seen;
    assert.equal(more.length, 0);
    assert.ok(revoked.form.token, "the provider was shown the token");
    assert.equal(await me(peer, body.token), null, "the access token went with its grant");
    await shop.hears(id, "connection.revoked");
    assert.equal(shop.told(id).at(-1).data.revoked, "revoked");
    assert.equal((await shop.token(id)).status, 409);
    const again = await caller(postern).ok("DELETE", shop.of(id));
    assert.equal(again.revoked, "revoked");
    assert.equal(peer.at("/token/revocation").seen.length, 1);
    const { data } = await caller(postern).ok("GET", `${shop.path}/connection`);
    assert.deepEqual(data.map(({ id }) => id), [], "lists name those that live");
  });

  test("a provider that does not revoke keeps nothing from being shredded", async () => {
    const { peer, shop, id } = await connected();
    peer.at("/token/revocation").fail(500, "<html>no</html>", { "content-type": "text/html" });
    const ended = await caller(postern).ok("DELETE", shop.of(id));
    assert.deepEqual([ended.revoked, ended.connection.state, ended.connection.generation], ["failed", "revoked", null]);
    await shop.hears(id, "connection.revoked");
    assert.equal(shop.told(id).at(-1).data.revoked, "failed");
  });

  test("a reset connection has no secret, and connects again under its id, to whichever account", async () => {
    const { peer, shop, id } = await connected();
    const reset = await caller(postern).ok("POST", shop.of(id, "/reset"));
    assert.deepEqual([reset.id, reset.state, reset.generation, reset.account, reset.scopes], [id, "pending", null, null, []]);
    assert.equal(peer.at("/token/revocation").seen.length, 1);
    assert.equal((await shop.token(id)).status, 409);
    assert.equal(await shop.connect({ session: { connectionId: id, oauthAppId: undefined }, login: "dora" }), id);
    const view = await shop.get(id);
    assert.deepEqual([view.state, view.accountKey], ["active", "dora"]);
    assert.equal((await shop.token(id)).status, 200);
  });

  test("one that is switched off spends nothing until it is on again", async () => {
    const { shop, id } = await connected();
    const toggle = (enabled) => caller(postern).ok("POST", shop.of(id, "/toggle"), { enabled });
    const off = await toggle(false);
    assert.deepEqual([off.enabled, off.state, off.reason], [false, "active", "switched_off"]);
    const read = await shop.token(id);
    assert.deepEqual([read.status, read.body.detail], [409, "Switched off by its owner"]);
    assert.equal((await toggle(true)).reason, null);
    assert.equal((await shop.token(id)).status, 200);
  });

  test("a test of the connection asks the provider, and says what it answered", async () => {
    const { peer, shop, id } = await connected();
    const tried = () => caller(postern).ok("POST", shop.of(id, "/test"));
    const good = await tried();
    assert.deepEqual([good.ok, good.status, good.connection.lastCheck.ok], [true, 200, true]);
    assert.equal(peer.at("/me").seen.length, 1);
    const { body } = await shop.token(id);
    assert.equal(await peer.revoke(body.token, shop.client.id, shop.client.secret), 200);
    const bad = await tried();
    assert.deepEqual([bad.ok, bad.status], [false, 401]);
    assert.match(bad.detail, /refuses it/);
  });

  test("its history is read in pages, the newest first", async () => {
    const { shop, id } = await connected();
    const api = caller(postern);
    for (const enabled of [false, true, false, true]) await api.ok("POST", shop.of(id, "/toggle"), { enabled });
    const whole = await shop.history(id);
    assert.ok(whole.length >= 2, `${whole.length} lines`);
    const pages = [];
    for (let iterator = ""; ; ) {
      const page = await api.ok("GET", shop.of(id, `/history?limit=1${iterator && `&iterator=${iterator}`}`));
      pages.push(...page.data);
      if (page.done) break;
      iterator = page.iterator;
    }
    assert.deepEqual(pages, whole);
    assert.equal(whole.at(-1).what, "connect");
  });
});

/** Reads of a connection's token that were noted. */
async function noted(shop, id) {
  const { data } = await caller(postern).ok("GET", shop.of(id, "/token/read"));
  return data.reduce((sum, { reads }) => sum + reads, 0);
}

/** Whose token the peer takes it for; null: it does not take it. */
async function me(peer, token) {
  const answer = await fetch(`${peer.issuer}/me`, { headers: { authorization: `Bearer ${token}` } });
  const body = await answer.text();
  return answer.status === 200 ? JSON.parse(body) : null;
}

// A power cut while a refresh is on its way: the intent is found after the start, decided by what the provider does with
// used refresh tokens, and nothing is sent twice that would end the grant without a word about it.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { caller, eventually } from "./api.mjs";
import { arrive, customer, depart } from "./connecting.mjs";
import { startKillable } from "./killable.mjs";
import { startPeer } from "./oidc.mjs";
import { startReceiver } from "./receiver.mjs";

const STRICT = { oauth: { rotation: "strict" } };
const GRACE = { oauth: { rotation: { grace: { seconds: 3600 } } } };
const REISSUED = { oauth: { rotation: "reissue_old_ok" } };

/** Where the power cut finds each: what the peer had done, and what becomes of the grant. */
const CASES = [
  { name: "strict, the provider never asked", profile: "strict", provider: STRICT, when: "before", survives: true },
  { name: "strict, the provider had done it", profile: "strict", provider: STRICT, when: "after", survives: false },
  { name: "a grace, the provider had done it", profile: "grace", provider: GRACE, when: "after", survives: true },
  { name: "old tokens work, the provider had done it", profile: "reissue", provider: REISSUED, when: "after", survives: true },
];

let persist, receiver, postern;
const peers = [];

before(async () => {
  persist = mkdtempSync(join(tmpdir(), "postern-crash-"));
  receiver = await startReceiver();
  postern = await startKillable({ persist });
});
after(async () => {
  await postern?.stop();
  for (const peer of peers) await peer.stop();
  await receiver?.stop();
  rmSync(persist, { recursive: true, force: true });
});

test("kill -9 between the intent and the result of a refresh, and of an exchange", async (t) => {
  const stands = [];
  for (const each of CASES) {
    const peer = await startPeer();
    peers.push(peer);
    Object.assign(peer.state, { profile: each.profile, graceSeconds: 3600, accessSeconds: 1 });
    const shop = await customer(postern, peer, { receiver, provider: each.provider });
    const id = await shop.connect();
    peer.state.accessSeconds = 120;
    peer.token.gate(each.when); // opened by nobody: the answer goes down with whoever asked
    stands.push({ ...each, peer, shop, id });
  }
  const peer = await startPeer();
  peers.push(peer);
  const shop = await customer(postern, peer, { receiver });
  const { url, connection } = await caller(postern).ok("POST", `${shop.path}/connection/session`, { oauthAppId: shop.oauthApp.id });
  const { callback, cookie } = await depart(url);
  peer.token.gate("after");

  await wait(1100); // all tokens are over
  const cut = [
    ...stands.map(({ shop, id }) => shop.token(id)),
    fetch(callback, { redirect: "manual", headers: { cookie } }),
  ].map((request) => request.then(() => assert.fail("answered before the power cut"), () => {}));
  await Promise.all(stands.map(({ peer }) => peer.token.requests(2)));
  await peer.token.requests(1);
  for (const { peer, when } of stands) {
    if (when === "after") await eventually(() => peer.state.refreshes.size, (size) => size === 1, "the provider has done it");
  }
  await postern.kill();
  await Promise.all(cut);
  postern = await startKillable({ persist, port: Number(new URL(postern.url).port) });

  for (const { name, peer, shop: before, id, survives, profile } of stands) {
    await t.test(name, async () => {
      const api = caller(postern);
      const read = () => api("POST", before.of(id, "/token"));
      const history = async () => (await api.ok("GET", before.of(id, "/history?limit=250"))).data;
      const last = await eventually(read, ({ status }) => status === (survives ? 200 : 409), "decided");
      const view = await api.ok("GET", before.of(id));
      const [first, second, ...more] = peer.refreshes();
      assert.equal(second.refreshToken, first.refreshToken);
      assert.equal(more.length, 0, "no third request");
      const lines = await history();
      assert.ok(lines.some(({ class: of }) => of === "lost"), `the intent was found: ${JSON.stringify(lines)}`);
      assert.equal(lines.some(({ decision }) => decision.includes("probe_once")), profile === "strict", "what might end the grant is written down");
      if (survives) {
        assert.deepEqual([view.state, view.reason, last.body.generation], ["active", null, 2]);
        assert.equal([...peer.state.refreshes.values()].reduce((sum, n) => sum + n, 0), 1, "the provider gave tokens once");
      } else {
        assert.deepEqual([view.state, view.reason], ["needs_reauth", "refresh_answer_lost"]);
        assert.equal((await read()).status, 409);
        assert.equal(peer.refreshes().length, 2, "never again");
      }
      const end = survives ? "connection.recovered" : "connection.needs_reauth";
      await before.hears(id, end);
      const types = before.told(id).map(({ type }) => type);
      assert.deepEqual(types, ["connection.created", "connection.degraded", end], "each told once");
    });
  }

  await t.test("a code whose exchange was cut off is not sent again, and the page says to begin anew", async () => {
    const { page } = await arrive(callback, cookie);
    assert.match(page, /again/i);
    assert.doesNotMatch(page, /is connected/i);
    assert.equal(peer.exchanges().length, 1);
    const view = await caller(postern).ok("GET", shop.of(connection.id));
    assert.equal(view.state, "pending");
  });
});

/** How many connections, and how many callbacks, each power cut meets. */
const READERS = 3;
const CALLBACKS = 2;

/**
 * When the power goes. `hold`: where the provider keeps what it was asked, until the end; `answered`: one of the readers has
 * its token.
 */
const MOMENTS = [
  { name: "at once", when: () => {} },
  { name: "after some milliseconds", when: () => wait(5) },
  { name: "after some more", when: () => wait(25) },
  { name: "after many", when: () => wait(90) },
  { name: "when the provider was asked, and has done nothing yet", hold: "before", when: ({ peer, connects }) => peer.token.requests(connects + READERS + CALLBACKS) },
  { name: "when the provider has done it, and has not answered", hold: "after", when: ({ peer }) => eventually(() => peer.state.refreshes.size, (size) => size === READERS, "it has done it") },
  { name: "when the provider has answered the first", when: async ({ peer, connects }) => (await peer.token.requests(connects + 1)).at(-1).ended },
  { name: "when the first reader has its token", answered: true, when: ({ reads }) => Promise.any(reads) },
];

/** What the peer was shown of a customer's, by refresh token, and how often it gave tokens for each. */
function shown(peer, { client }) {
  const of = ({ headers }) => Buffer.from(headers.authorization.split(" ")[1], "base64").toString().split(":")[0] === client.id;
  const times = new Map();
  for (const { refreshToken } of peer.refreshes().filter(of)) times.set(refreshToken, (times.get(refreshToken) ?? 0) + 1);
  return [...times].map(([token, count]) => ({ count, given: peer.state.refreshes.get(token) ?? 0 }));
}

for (const { name, hold, answered, when } of MOMENTS) {
  test(`S12, S37: kill -9 ${name}`, async () => {
    const peer = await startPeer();
    peers.push(peer);
    peer.state.accessSeconds = 1;
    const several = (count, make) => Promise.all(Array.from({ length: count }, (_, n) => make(n)));
    const stands = await several(READERS, async (n) => {
      const shop = await customer(postern, peer, { receiver });
      return { shop, id: await shop.connect({ login: `reader-${n}` }) };
    });
    peer.state.accessSeconds = 600;
    const arrivals = await several(CALLBACKS, async (n) => {
      const shop = await customer(postern, peer, { receiver });
      const { url, connection } = await caller(postern).ok("POST", `${shop.path}/connection/session`, { oauthAppId: shop.oauthApp.id });
      return { shop, id: connection.id, ...(await depart(url, { login: `newcomer-${n}` })) };
    });
    const connects = peer.token.seen.length;
    await wait(1100); // all tokens are over
    for (let n = 0; hold && n < READERS + CALLBACKS; n += 1) peer.token.gate(hold); // opened by nobody

    // What was answered before the end is kept; what was cut off is null.
    const kept = (request) => request.then((answer) => answer, () => null);
    const reads = stands.map(({ shop, id }) => shop.token(id));
    const backs = arrivals.map(({ callback, cookie }) => fetch(callback, { redirect: "manual", headers: { cookie } }));
    for (const request of [...reads, ...backs]) request.catch(() => {});
    await when({ peer, connects, reads });
    await postern.kill();
    const told = await Promise.all(reads.map(kept));
    const sent = await Promise.all(backs.map(kept));
    postern = await startKillable({ persist, port: Number(new URL(postern.url).port) });

    if (hold) assert.ok([...told, ...sent].every((answer) => answer === null), "nothing was answered");
    if (answered) assert.ok(told.some((answer) => answer !== null), "one of them was");
    const readerEnded = async ({ shop, id }, n) => {
      const last = await eventually(() => shop.token(id), ({ status }) => status === 200 || status === 409, "decided");
      const view = await shop.get(id);
      const history = await shop.history(id);
      const shows = shown(peer, shop);
      const log = JSON.stringify({ shows, told: told[n], view, history });
      for (const { count, given } of shows) {
        assert.ok(count <= 2 && given <= 1, log);
        if (count === 2) {
          assert.ok(history.some(({ class: of }) => of === "lost"), `shown twice, and nothing says why: ${log}`);
          assert.ok(history.some(({ decision }) => decision.includes("probe_once")), `shown twice without a decision: ${log}`);
        }
      }
      if (told[n]) {
        assert.equal(told[n].status, 200, log);
        assert.deepEqual([last.body.token, last.body.generation], [told[n].body.token, told[n].body.generation], `told, and not stored: ${log}`);
      }
      if (last.status === 200) {
        assert.deepEqual([view.state, view.generation], ["active", 2], log);
        assert.equal((await fetch(`${peer.issuer}/me`, { headers: { authorization: `Bearer ${last.body.token}` } })).status, 200, "the provider takes it");
      } else {
        // Only the one case in which nobody could have saved it: done by the provider, and its answer never stored.
        assert.deepEqual([view.state, view.reason], ["needs_reauth", "refresh_answer_lost"], log);
        assert.deepEqual(shows, [{ count: 2, given: 1 }], log);
      }
    };
    const arrivalEnded = async ({ shop, id, callback, cookie }, n) => {
      const { page } = await arrive(callback, cookie);
      const view = await shop.get(id);
      const exchanges = peer.exchanges().filter(({ form }) => form.code === new URL(callback).searchParams.get("code"));
      assert.ok(exchanges.length <= 1, "a code is sent once");
      assert.equal(/is connected/i.test(page), view.state === "active", `${view.state}: ${page}`);
      if (sent[n] && view.state !== "active") assert.fail(`told an end that is none: ${sent[n].headers.get("location")}`);
      if (view.state === "active") assert.equal((await shop.token(id)).status, 200);
      else assert.equal((await shop.token(id)).status, 409);
    };
    await Promise.all([...stands.map(readerEnded), ...arrivals.map(arrivalEnded)]);
    for (const { shop, id } of [...stands, ...arrivals]) {
      const types = shop.told(id).map(({ type }) => type);
      assert.deepEqual(types, [...new Set(types)], "each turn is told once");
    }
  });
}

test("S31: after all of them no file holds a code, a verifier, a token or a client's secret", async () => {
  const all = peers.flatMap((peer) => peer.token.seen);
  const secrets = new Set(all.flatMap(({ form }) => [form.code, form.code_verifier, form.refresh_token]).filter(Boolean));
  for (const { headers } of all) secrets.add(decodeURIComponent(Buffer.from(headers.authorization.split(" ")[1], "base64").toString().split(":")[1].replaceAll("+", " ")));
  for (const peer of peers) {
    for (const { answer } of peer.state.replay.values()) {
      const { access_token, refresh_token, id_token } = JSON.parse(answer.body.toString());
      for (const one of [access_token, refresh_token, id_token]) if (one) secrets.add(one);
    }
    for (const { headers } of peer.at("/me").seen) secrets.add(headers.authorization.split(" ")[1]);
  }
  assert.ok(secrets.size > 100, `${secrets.size}`);
  await postern.stop();
  postern = undefined;
  const files = readdirSync(persist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length > 20);
  for (const file of files) {
    const bytes = readFileSync(join(file.parentPath, file.name));
    for (const one of secrets) assert.ok(!bytes.includes(one), `${file.name} holds ${one.slice(0, 6)}…`);
  }
});

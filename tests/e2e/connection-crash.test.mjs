// A power cut while a refresh is on its way: the intent is found after the start, decided by what the provider does with
// used refresh tokens, and nothing is sent twice that would end the grant without a word about it.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { eventually } from "./api.mjs";
import { arrive, customer, depart } from "./connecting.mjs";
import { startKillable } from "./killable.mjs";
import { startPeer } from "./oidc.mjs";
import { startReceiver } from "./receiver.mjs";
import { caller } from "./api.mjs";

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

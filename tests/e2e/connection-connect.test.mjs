// The browser's way, step by step: link, page, provider, callback, result. The provider is a certified one on this machine;
// the deployment believes that it stands at https, so that its cookies are those of production.

import assert from "node:assert/strict";
import { createHash, createHmac, createPublicKey, sign } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startKillable } from "./killable.mjs";
import { startPeer } from "./oidc.mjs";
import { person, words } from "./person.mjs";
import { startReceiver } from "./receiver.mjs";

const BASE = "https://postern.example";
const RETURN = "https://product.example/settings";

let postern, api, peer, other, receiver, persist;
/** Everything that must stand in no log and no file. */
const secrets = new Set();
const secret = (text) => (secrets.add(text), text);

before(async () => {
  persist = await mkdtemp(join(tmpdir(), "postern-connect-"));
  [peer, other, receiver] = await Promise.all([startPeer(), startPeer(), startReceiver()]);
  postern = await start({ vars: { BASE_URL: BASE }, persist });
  api = caller(postern);
});
after(async () => {
  await postern?.stop();
  await Promise.all([peer?.stop(), other?.stop(), receiver?.stop()]);
  await rm(persist, { recursive: true, force: true });
});

let tenants = 0;

/** A tenant with an app of its own at the peer, and an endpoint that hears of its connections. */
async function tenant({ at = peer, app: settings = {}, known = true } = {}) {
  tenants += 1;
  const name = `tenant-${tenants}`;
  const client = { id: `client-${tenants}`, secret: secret(`canary-client-secret-${tenants}`) };
  const { id } = await api.ok("POST", "/api/v1/app", { name });
  const path = `/api/v1/app/${id}`;
  const inbox = receiver.at(`/${name}`);
  await api.ok("POST", `${path}/endpoint`, { url: inbox.url });
  const app = await api.ok("POST", `${path}/oauth-app`, {
    name: "Acme Mail",
    provider: "oidc",
    issuer: at.issuer,
    clientId: client.id,
    clientSecret: client.secret,
    scopes: ["email", "api:read"],
    returnUrls: [RETURN],
    ...settings,
  });
  if (known) await at.client({ ...client, redirectUri: app.redirectUri });
  const of = (connection, rest = "") => `${path}/connection/${connection.id ?? connection}${rest}`;
  return {
    path,
    app,
    client,
    inbox,
    of,
    session: async (more = {}) => {
      const opened = await api.ok("POST", `${path}/connection/session`, { oauthAppId: app.id, ...more });
      secret(opened.url.split("/").at(-1));
      return opened;
    },
    get: (connection) => api.ok("GET", of(connection)),
    token: async (connection, body) => {
      const read = await api.ok("POST", of(connection, "/token"), body);
      secret(read.token);
      return read.token;
    },
    /** Of each kind, how many messages of a connection's came to the endpoint. */
    told: (connection) => {
      const all = inbox.requests.map(({ text }) => JSON.parse(text)).filter(({ data }) => data.connectionId === connection.id);
      return all.map(({ type }) => type);
    },
  };
}

/** A browser of one's own. What it is given is as secret as a password. */
function browser() {
  const one = person(postern, BASE);
  const leave = async (link, answers) => {
    const callback = await one.leave(link, answers);
    for (const name of ["code", "state"]) {
      const value = new URL(callback).searchParams.get(name);
      if (value) secret(value);
    }
    for (const value of one.jar.values()) secret(value);
    return callback;
  };
  return { ...one, leave, connect: async (link, answers) => one.arrive(await leave(link, answers)) };
}

/** A callback with other parameters. */
function altered(callback, change) {
  const url = new URL(callback);
  change(url.searchParams);
  return url.href;
}

/** How often the callback's code came to the provider. */
const exchangesOf = (callback, at = peer) => at.exchanges().filter(({ form }) => form.code === new URL(callback).searchParams.get("code"));

test("a link leads to the provider and back, and its token is one that the provider takes", async () => {
  const shop = await tenant();
  const { url, connection, expiresAt } = await shop.session({ label: "Ann's mail" });
  assert.ok(url.startsWith(`${BASE}/connect/`), url);
  assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 30 * 60_000) < 60_000, expiresAt);
  assert.equal(connection.state, "pending");

  const ann = browser();
  const page = await ann.get(url);
  assert.equal(page.status, 200);
  for (const said of ["Acme Mail", "Ann's mail", "See your e-mail address", "api:read"]) assert.ok(words(page.text).includes(said), said);
  const { location, page: result } = await ann.connect(url);
  assert.match(location, new RegExp(`^/connect/result/${connection.id}/[0-9a-f]{32}$`));
  assert.match(words(result), /is connected.*ann@example\.com/);

  const shown = await shop.get(connection);
  assert.deepEqual(
    [shown.state, shown.account, shown.refreshable, shown.generation, shown.missingScopes],
    ["active", "ann@example.com", true, 1, []],
  );
  const me = await fetch(`${peer.issuer}/me`, { headers: { authorization: `Bearer ${await shop.token(connection)}` } });
  assert.deepEqual([me.status, (await me.json()).email], [200, "ann@example.com"]);
});

describe("a link", () => {
  test("S4: whoever only looks changes nothing, and a scanner costs an attempt and never the link", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const before = await shop.get(connection);
    const scanner = browser();
    for (let n = 0; n < 5; n += 1) assert.equal((await scanner.get(url)).status, 200);
    for (const path of [url, `${url}/go`]) {
      const head = await scanner.get(path, { method: "HEAD" });
      assert.deepEqual([head.status, head.location, head.set], [204, null, []], path);
    }
    for (const headers of [{ "sec-purpose": "prefetch;prerender" }, { purpose: "prefetch" }]) {
      const ahead = await scanner.get(`${url}/go`, { headers });
      assert.deepEqual([ahead.status, ahead.location, ahead.set], [503, null, []]);
    }
    assert.deepEqual(await shop.get(connection), before);

    const ann = browser();
    const callback = await ann.leave(url);
    for (let n = 0; n < 3; n += 1) await scanner.go(url);
    for (const look of [{ method: "HEAD" }, { headers: { purpose: "prefetch" } }]) {
      const looked = await ann.get(callback, look);
      assert.deepEqual([looked.location, looked.set], [null, []]);
    }
    assert.equal(exchangesOf(callback).length, 0);
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
    assert.equal((await shop.get(connection)).state, "active");
  });

  test("S4: more attempts than five end the oldest, and the newest still connects", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const ann = browser();
    const first = await ann.leave(url);
    for (let n = 0; n < 5; n += 1) await ann.go(url);
    assert.equal((await ann.arrive(first)).page.includes("is connected"), false);
    assert.equal(exchangesOf(first).length, 0);
    assert.match(words((await ann.connect(url)).page), /is connected/);
  });

  test("S4: that is followed without end leads nowhere any more, and says so", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const scanner = browser();
    for (let n = 0; n < 50; n += 1) await scanner.go(url, { cookies: false });
    const refused = await scanner.get(`${url}/go`);
    assert.deepEqual([refused.status, refused.set], [429, []]);
    assert.match(words(refused.text), /^Too many attempts/);
    assert.equal((await browser().get(url)).status, 200);
  });

  test("S3: begins nothing any more once it connected", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const slow = await ann.leave(url);
    await ann.connect(url);
    const again = await browser().get(url);
    assert.equal(again.status, 200);
    assert.match(words(again.text), /^Already connected/);
    assert.ok(!again.text.includes("/go"));
    const gone = await browser().get(`${url}/go`);
    assert.deepEqual([gone.status, gone.location, gone.set], [303, url.slice(BASE.length), []]);
    const late = await ann.arrive(slow);
    assert.match(words(late.page), /^Already connected/);
    assert.equal(exchangesOf(slow).length, 0);
    assert.equal((await shop.get(connection)).generation, 1);
  });

  test("S1: of nobody's is not known, and says no more", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const swapped = `${url.slice(0, -1)}${url.endsWith("A") ? "B" : "A"}`;
    for (const link of [swapped, `${BASE}/connect/abc`, `${swapped}/go`]) {
      const page = await browser().get(link);
      assert.deepEqual([page.status, page.set], [404, []], link);
      assert.match(words(page.text), /^This link is not known/);
    }
  });

  test("S2, S6: keeps what it was made with: the app as it was, whatever changes of it before the callback", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    await api.ok("PATCH", `${shop.path}/oauth-app/${shop.app.id}`, { clientSecret: secret("canary-another-client-secret"), scopes: ["openid"] });
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
    assert.ok((await shop.get(connection)).scopes.includes("api:read"));
  });

  test("S8: names a return URL that the app's owner allows, or is not made", async () => {
    const shop = await tenant();
    for (const returnUrl of [
      "https://evil.example/settings",
      `${RETURN}x`,
      "//product.example/settings",
      "https://product.example\\@evil.example/settings",
      "https://user@product.example/settings",
      "https://product.example/settings/..%2f..",
      "http://product.example/settings",
      "javascript:alert(1)",
      "https://product.example:444/settings",
      `${RETURN}#there`,
    ]) {
      const refused = await api("POST", `${shop.path}/connection/session`, { oauthAppId: shop.app.id, returnUrl });
      assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "returnUrl"]], returnUrl);
    }
    const { url, connection } = await shop.session({ returnUrl: `${RETURN}/mail?tab=1&status=mine` });
    const { location, set } = await browser().connect(url);
    assert.equal(location, `${RETURN}/mail?tab=1&connection_id=${connection.id}&status=connected`);
    assert.match(set[0], /Max-Age=0/);
  });
});

describe("the way to the provider", () => {
  test("S5, S10: has a verifier and a cookie of its own each time", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const ann = browser();
    const cookies = [];
    const challenges = new Set();
    for (let n = 0; n < 2; n += 1) {
      const gone = await ann.get(`${url}/go`);
      const asked = new URL(gone.location).searchParams;
      challenges.add(asked.get("code_challenge"));
      assert.deepEqual([asked.get("code_challenge_method"), asked.get("code_challenge").length, asked.get("response_type")], ["S256", 43, "code"]);
      assert.equal(gone.set.length, 1);
      assert.match(gone.set[0], /^__Host-pc_[0-9a-f]{8}=[0-9a-f]{64}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/);
      cookies.push(gone.set[0].split("=")[0]);
    }
    assert.deepEqual([challenges.size, new Set(cookies).size], [2, 2]);
    const callback = await ann.leave(url);
    await ann.arrive(callback);
    const [exchange] = exchangesOf(callback);
    assert.equal(exchange.form.code_verifier.length, 43);
    secret(exchange.form.code_verifier);
  });

  test("S7: the redirect URI is the deployment's, whatever a request says its host is", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const asked = await new Promise((resolve, reject) => {
      const headers = { host: "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http", forwarded: "host=evil.example" };
      const to = new URL(`${browser().here(url)}/go?redirect_uri=https://evil.example`);
      const sent = httpRequest({ host: to.hostname, port: to.port, path: to.pathname + to.search, headers }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer));
      });
      sent.on("error", reject).end();
    });
    assert.equal(asked.statusCode, 303);
    assert.equal(new URL(asked.headers.location).searchParams.get("redirect_uri"), `${BASE}/oauth/callback/${shop.app.id}`);
    assert.match(asked.headers["set-cookie"][0], /^__Host-/);
    const ann = browser();
    const callback = await ann.leave(url);
    assert.equal(new URL(callback).origin, BASE);
    await ann.arrive(callback);
    assert.equal(exchangesOf(callback)[0].form.redirect_uri, `${BASE}/oauth/callback/${shop.app.id}`);
  });
});

describe("a callback", () => {
  test("S9, S12: twenty at once are one exchange, one connection and one message, and all see the same end", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    const open = peer.token.gate();
    const cookie = [...ann.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const all = Promise.all(Array.from({ length: 20 }, () => browser().get(callback, { headers: { cookie } })));
    await eventually(async () => exchangesOf(callback).length, (count) => count === 1, "the exchange");
    open();
    const answers = await all;
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [303]);
    assert.equal(new Set(answers.map(({ location }) => location)).size, 1, "one result");
    assert.match(words((await ann.get(answers[0].location)).text), /is connected/);
    const reloaded = await ann.get(callback);
    assert.notEqual(reloaded.status, 500);
    assert.equal(exchangesOf(callback).length, 1);
    await shop.inbox.request(1);
    assert.deepEqual(await shop.get(connection).then(({ state, generation }) => [state, generation]), ["active", 1]);
    const { data: messages } = await api.ok("GET", `${shop.path}/msg`);
    assert.deepEqual(messages.map(({ eventType }) => eventType), ["connection.created"]);
    assert.deepEqual(shop.told(connection), ["connection.created"]);
  });

  test("S9: of unknown, used and expired states says the same", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    await ann.arrive(callback);
    const unknown = altered(callback, (query) => query.set("state", `${query.get("state").slice(0, -2)}AA`));
    const ofNobody = altered(callback, (query) => query.set("state", "abc"));
    const ends = [];
    for (const [who, one] of [[ann, unknown], [browser(), callback], [ann, callback], [browser(), ofNobody]]) ends.push((await who.get(one)).location);
    assert.deepEqual(ends, Array(4).fill("/connect/result/expired"));
    assert.match(words((await ann.get(ends[0])).text), /^This attempt is over/);
  });

  test("S10: in another browser gets nothing and takes nothing", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    const eve = browser();
    await eve.go(url); // with a cookie of her own attempt
    const [name] = ann.jar.keys();
    for (const cookie of [undefined, `${name}=${"0".repeat(64)}`, `${name.replace("__Host-", "")}=${ann.jar.get(name)}`, `${name}=${ann.jar.get(name)}; ${name}=x`]) {
      const refused = await eve.get(callback, { headers: cookie ? { cookie } : {}, cookies: !cookie });
      assert.deepEqual([refused.status, refused.location], [303, "/connect/result/other-browser"]);
    }
    assert.match(words((await eve.get("/connect/result/other-browser")).text), /^Opened in another browser/);
    assert.equal(exchangesOf(callback).length, 0);
    assert.equal((await shop.get(connection)).state, "pending");
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
  });

  test("S11: from another issuer, without one, or to another app burns nothing", async () => {
    const shop = await tenant();
    const second = await tenant({ at: other });
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    for (const mixed of [
      altered(callback, (query) => query.set("iss", other.issuer)),
      altered(callback, (query) => query.set("iss", `${peer.issuer}/`)),
      altered(callback, (query) => query.delete("iss")),
      callback.replace(shop.app.id, second.app.id),
    ]) {
      assert.equal((await ann.get(mixed)).location, "/connect/result/unreadable", mixed);
    }
    assert.deepEqual([exchangesOf(callback).length, exchangesOf(callback, other).length], [0, 0]);
    assert.equal((await shop.get(connection)).state, "pending");
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
  });

  test("S13: leads to an address that tells nothing, and looking there again does nothing", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    const { location, page } = await ann.arrive(callback);
    for (const value of new URL(callback).searchParams.values()) assert.ok(!location.includes(value) && !page.includes(value));
    const before = await shop.get(connection);
    const asked = peer.token.seen.length;
    for (let n = 0; n < 3; n += 1) assert.equal((await browser().get(location)).text, page);
    assert.deepEqual(await shop.get(connection), before);
    assert.equal(peer.token.seen.length, asked);
  });

  test("S15: that says a thing twice, or too much, or comes by POST, is refused and burns nothing", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    for (const change of [
      (query) => query.append("code", "another"),
      (query) => query.append("state", query.get("state")),
      (query) => query.append("iss", query.get("iss")),
      (query) => query.set("error", "access_denied"),
      (query) => query.set("code", "a".repeat(4097)),
      (query) => query.set("padding", "a".repeat(8192)),
      (query) => query.delete("code"),
    ]) {
      assert.equal((await ann.get(altered(callback, change))).location, "/connect/result/unreadable", String(change));
    }
    const form = await ann.get(callback.split("?")[0], { method: "POST", body: new URL(callback).searchParams });
    const posted = await ann.get(callback, { method: "POST" });
    assert.deepEqual([form.status, posted.status, posted.headers.get("allow")], [405, 405, "GET, HEAD"]);
    assert.equal(exchangesOf(callback).length, 0);
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
  });

  test("S16: that says no leads to the product with that word alone; an error has our words and shows the provider's", async () => {
    const shop = await tenant();
    const denied = await shop.session({ returnUrl: RETURN });
    const { location } = await browser().connect(denied.url, { answer: "no" });
    assert.equal(location, `${RETURN}?connection_id=${denied.connection.id}&status=denied`);
    assert.deepEqual(await shop.get(denied.connection).then(({ state, reason }) => [state, reason]), ["pending", "denied"]);

    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = altered(await ann.leave(url), (query) => {
      query.delete("code");
      query.set("error", "temporarily_unavailable");
      query.set("error_description", `<script>alert(1)</script>${"very ".repeat(100)}`);
    });
    const { location: ended, page } = await ann.arrive(callback);
    assert.match(ended, new RegExp(`^/connect/result/${connection.id}/`));
    assert.ok(!page.includes("<script") && page.includes("&lt;script&gt;"), page);
    assert.match(words(page), /temporarily_unavailable: <script>/);
    assert.ok(words(page).split("very").length < 45, "cut");
    // The session is good for another try, by the page's own link.
    const again = /href="([^"]+\/again)"/.exec(page)[1];
    assert.equal((await browser().get(again)).location, "/connect/result/expired");
    const onward = await ann.get(again);
    assert.equal(new URL(onward.location).origin, peer.issuer);
    assert.match(words((await ann.connect(url)).page), /is connected/);
  });

  test("S17: of one tenant's moves nothing of another's, with whatever of theirs it comes", async () => {
    const [mine, theirs] = [await tenant(), await tenant()];
    const [here, there] = [await mine.session(), await theirs.session()];
    const [ann, bob] = [browser(), browser()];
    const callback = await ann.leave(here.url);
    await bob.leave(there.url);
    assert.equal((await bob.get(callback)).location, "/connect/result/other-browser");
    assert.equal((await ann.get(callback.replace(mine.app.id, theirs.app.id))).location, "/connect/result/unreadable");
    assert.equal((await theirs.get(there.connection)).state, "pending");
    const { location } = await ann.arrive(callback);
    const foreign = location.replace(here.connection.id, there.connection.id);
    assert.equal((await ann.get(foreign)).status, 404);
    for (const rest of ["", "/token", "/history"]) {
      const answer = await api(rest === "/token" ? "POST" : "GET", theirs.of(here.connection, rest));
      assert.equal(answer.status, 404, rest);
    }
    const reconnect = await api("POST", `${theirs.path}/connection/session`, { connectionId: here.connection.id });
    assert.equal(reconnect.status, 422);
    const app = await api("POST", `${theirs.path}/connection/session`, { oauthAppId: mine.app.id });
    assert.equal(app.status, 422);
  });
});

test("S14: every answer forbids caches, frames, referrers, scripts and whatever is not ours", async () => {
  const shop = await tenant();
  const { url } = await shop.session();
  const ann = browser();
  const callback = await ann.leave(url);
  const answers = [
    await ann.get(url),
    await ann.get(url, { method: "HEAD" }),
    await ann.get(`${url}/go`),
    await ann.get(`${url}/go`, { headers: { purpose: "prefetch" } }),
    await ann.get(callback, { method: "POST" }),
    await ann.get(`${callback}&code=two`),
    await ann.get(callback),
    await ann.get("/connect/style.css"),
    await ann.get("/connect/nonsense"),
    await ann.get("/connect/result/expired"),
    await ann.get("/oauth/callback/nonsense"),
    await ann.get("/oauth/nonsense"),
  ];
  const policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  for (const [at, { headers, text }] of answers.entries()) {
    const told = ["cache-control", "referrer-policy", "x-content-type-options", "x-frame-options", "content-security-policy", "x-robots-tag"].map((name) => headers.get(name));
    assert.deepEqual(told, ["no-store", "no-referrer", "nosniff", "DENY", policy, "noindex, nofollow"], `${at}`);
    assert.ok(!headers.has("access-control-allow-origin"), `${at}`);
    assert.ok(!/<script|<style|<img|<iframe|<form| style=|https?:\/\//.test(text), `${at}: ${text}`);
  }
});

describe("an exchange", () => {
  test("S12: whose answer is lost is not tried again: the page says so, and the connection stays pending", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    peer.token.dropAfter();
    const { location, page } = await ann.arrive(callback);
    assert.match(words(page), /^Start again/);
    assert.deepEqual(await shop.get(connection).then(({ state, generation }) => [state, generation]), ["pending", null]);
    await ann.get(callback);
    assert.equal(exchangesOf(callback).length, 1);
    const { data: history } = await api.ok("GET", shop.of(connection, "/history"));
    assert.deepEqual([history[0].what, history[0].class], ["connect", "lost"]);
    const onward = await ann.get(`${location}/again`);
    assert.equal(new URL(onward.location).origin, peer.issuer);
    assert.match(words((await ann.connect(url)).page), /is connected/);
    assert.deepEqual(shop.told(connection).filter((type) => type !== "connection.created"), []);
  });

  test("that somebody asks for again while it runs is not waited for to its end: a page says so, and leads on", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session({ returnUrl: undefined });
    const ann = browser();
    const callback = await ann.leave(url);
    const open = peer.token.gate();
    const asked = peer.token.requests(peer.token.seen.length + 1);
    const first = ann.get(callback);
    await asked;
    // The exchange has 20 s and the gate is closed: whoever waited for its end would be told that it is lost.
    const { location, page } = await ann.arrive(callback);
    assert.match(words(page), /^One moment .*This page looks again by itself\..*Look again/);
    assert.equal((await fetch(ann.here(location))).headers.get("refresh"), "2");
    assert.equal((await shop.get(connection)).state, "pending");
    open();
    assert.equal((await first).location, location, "both have one page");
    assert.match(words((await ann.get(location)).text), /is connected/);
    assert.equal(exchangesOf(callback).length, 1);
    await shop.inbox.request(1);
    assert.deepEqual(shop.told(connection), ["connection.created"]);
  });

  test("S12: goes on when its browser goes away, and is not begun again", async () => {
    const shop = await tenant();
    const { url, connection } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    const open = peer.token.gate();
    const asked = peer.token.requests(peer.token.seen.length + 1);
    const leaving = new AbortController();
    const cookie = [...ann.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const gone = fetch(ann.here(callback), { redirect: "manual", headers: { cookie }, signal: leaving.signal });
    await asked;
    leaving.abort();
    await assert.rejects(gone, { name: "AbortError" });
    open();
    await shop.inbox.request(1);
    assert.equal((await shop.get(connection)).state, "active");
    assert.match(words((await ann.arrive(callback)).page), /is connected/);
    assert.equal(exchangesOf(callback).length, 1);
  });

  test("S12: is not begun again by a machine that died in the middle of it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "postern-killed-"));
    const options = { vars: { BASE_URL: BASE }, persist: folder };
    let machine = await startKillable(options);
    try {
      const mine = caller(machine);
      const { id } = await mine.ok("POST", "/api/v1/app", { name: "Killed" });
      const client = { id: "client-killed", secret: secret("canary-client-secret-killed") };
      const app = await mine.ok("POST", `/api/v1/app/${id}/oauth-app`, { name: "Acme", provider: "oidc", issuer: peer.issuer, clientId: client.id, clientSecret: client.secret });
      await peer.client({ ...client, redirectUri: app.redirectUri });
      const { url, connection } = await mine.ok("POST", `/api/v1/app/${id}/connection/session`, { oauthAppId: app.id });
      const ann = person(machine, BASE);
      const callback = await ann.leave(url);
      peer.token.gate(); // for ever
      const asked = peer.token.requests(peer.token.seen.length + 1);
      const cut = ann.get(callback).catch(() => "cut");
      await asked;
      await machine.kill();
      assert.equal(await cut, "cut");
      machine = await startKillable({ ...options, port: Number(new URL(machine.url).port) });
      const { page } = await ann.arrive(callback);
      assert.match(words(page), /^Start again/);
      assert.equal(exchangesOf(callback).length, 1);
      assert.equal((await caller(machine).ok("GET", `/api/v1/app/${id}/connection/${connection.id}`)).state, "pending");
      assert.match(words((await ann.connect(url)).page), /is connected/);
    } finally {
      await machine.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("with a wrong secret: the doctor says it before, the page says it, and a right one mends it", async () => {
    const shop = await tenant({ known: false });
    await peer.client({ id: shop.client.id, secret: secret("canary-the-right-secret"), redirectUri: shop.app.redirectUri });
    const doctor = () => api.ok("POST", `${shop.path}/oauth-app/${shop.app.id}/doctor`);
    const found = await doctor();
    assert.deepEqual([found.verdict, found.redirectUri], ["wrong_secret", `${BASE}/oauth/callback/${shop.app.id}`]);
    const { url, connection } = await shop.session();
    const { page } = await browser().connect(url);
    assert.match(words(page), /^Not connected.*invalid_client/);
    assert.deepEqual(await shop.get(connection).then(({ state, reason }) => [state, reason]), ["pending", "exchange_failed"]);
    const { data: history } = await api.ok("GET", shop.of(connection, "/history"));
    assert.deepEqual([history[0].class, /invalid_client/.test(history[0].words)], ["broken_app", true]);
    await api.ok("PATCH", `${shop.path}/oauth-app/${shop.app.id}`, { clientSecret: "canary-the-right-secret" });
    assert.equal((await doctor()).verdict, "good");
    const next = await shop.session({ connectionId: connection.id });
    assert.match(words((await browser().connect(next.url)).page), /is connected/);
    assert.equal((await shop.get(connection)).state, "active");
  });

  // What the answer is instead, and a word that the page says of it.
  const part = (token, at) => JSON.parse(Buffer.from(token.split(".")[at], "base64url"));
  const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = (token, change, header = {}) => {
    const head = { ...part(token, 0), ...header };
    const body = `${text(head)}.${text({ ...part(token, 1), ...change })}`;
    const publicPem = createPublicKey(peer.key).export({ type: "spki", format: "pem" });
    const signatures = {
      none: () => "",
      HS256: () => createHmac("sha256", publicPem).update(body).digest("base64url"),
      RS256: () => sign("sha256", Buffer.from(body), peer.key).toString("base64url"),
    };
    return `${body}.${signatures[head.alg]()}`;
  };
  const withToken = (change, header) => (answer) => ({ ...answer, id_token: signed(answer.id_token, change, header) });
  const now = () => Math.floor(Date.now() / 1000);
  const bad = {
    "S19: that redirects": () => peer.token.redirect(`${peer.issuer}/token`),
    "S21: without an end": () => peer.token.endless(),
    "S23: of another token type": () => peer.token.patch((answer) => ({ ...answer, token_type: "mac" })),
    "S22: with a token that is no text of a header": () => peer.token.patch((answer) => ({ ...answer, access_token: "a b\n" })),
    "S22: that says its token twice": () => peer.token.patch((answer) => JSON.stringify(answer).replace("{", '{"access_token":"another",')),
    "S24: that is an error under 200": () => peer.token.fail(200, { error: "bad_verification_code", error_description: "too late" }),
    "S24: that is a success under 500": () => peer.token.fail(500, { access_token: "a", token_type: "bearer" }),
    "S25: that is a page": () => peer.token.html(),
    "S27: without a signature": () => peer.token.patch(withToken({}, { alg: "none" })),
    "S27: signed with the public key as a secret": () => peer.token.patch(withToken({}, { alg: "HS256" })),
    "S27: signed by nobody known": () => peer.token.patch(withToken({}, { kid: "another" })),
    "S27: whose signature is of something else": () => peer.token.patch((answer) => ({ ...answer, id_token: answer.id_token.replace(/\.[^.]+\./, `.${text({ ...part(answer.id_token, 1), sub: "eve" })}.`) })),
    "S27: that is over": () => peer.token.patch(withToken({ exp: now() - 3600, iat: now() - 7200 })),
    "S28: of another issuer": () => peer.token.patch(withToken({ iss: other.issuer })),
    "S28: for another client": () => peer.token.patch(withToken({ aud: "another" })),
    "S28: with another nonce": () => peer.token.patch(withToken({ nonce: "another" })),
    "S28: for several, and made for another": () => peer.token.patch((answer) => withToken({ aud: [part(answer.id_token, 1).aud, "another"], azp: "another" })(answer)),
  };
  for (const [name, prepare] of Object.entries(bad)) {
    test(`${name} connects nothing`, async () => {
      const shop = await tenant();
      const { url, connection } = await shop.session();
      const ann = browser();
      const callback = await ann.leave(url);
      prepare();
      const { page } = await ann.arrive(callback);
      assert.match(words(page), /^(Not connected|Start again)/);
      const shown = await shop.get(connection);
      assert.deepEqual([shown.state, shown.generation, shown.account], ["pending", null, null]);
      assert.equal((await api("POST", shop.of(connection, "/token"))).status, 409);
      assert.equal(exchangesOf(callback).length, 1, "one try");
    });
  }

  test("S28: a grant whose id token is not good is revoked at the provider", async () => {
    const shop = await tenant();
    const { url } = await shop.session();
    const ann = browser();
    const callback = await ann.leave(url);
    const before = peer.at("/token/revocation").seen.length;
    peer.token.patch(withToken({ nonce: "another" }));
    await ann.arrive(callback);
    const seen = await peer.at("/token/revocation").requests(before + 1);
    assert.ok(secret(seen[before].form.token).length > 10);
  });
});

describe("an account", () => {
  /** What the peer gives with the next code. */
  const given = () => new Promise((resolve) => peer.token.patch((answer) => (resolve(answer), answer)));
  const taken = async (token) => (await fetch(`${peer.issuer}/me`, { headers: { authorization: `Bearer ${secret(token)}` } })).status === 200;
  const facts = async (shop, connection) => {
    const { state, reason, generation, account, accountKey, scopes, expiresAt } = await shop.get(connection);
    return { state, reason, generation, account, accountKey, scopes, expiresAt };
  };

  test("S29: that comes back as another one changes nothing, its grant is ended, and the page names both", async () => {
    const shop = await tenant();
    const first = await shop.session();
    const anns = given();
    await browser().connect(first.url);
    const ann = await anns;
    await shop.inbox.request(1);
    const before = await facts(shop, first.connection);

    const { url } = await shop.session({ connectionId: first.connection.id });
    const somebody = browser();
    const bobs = given();
    const revoked = peer.at("/token/revocation").requests(peer.at("/token/revocation").seen.length + 1);
    const { page } = await somebody.connect(url, { login: "bob" });
    const bob = await bobs;
    assert.match(words(page), /^This is another account/);
    for (const said of ["ann@example.com", "bob@example.com"]) assert.ok(words(page).includes(said), page);
    assert.equal((await revoked).at(-1).form.token, secret(bob.refresh_token));
    await eventually(() => taken(bob.access_token), (held) => !held, "the peer ended the other account's grant");
    assert.deepEqual(await facts(shop, first.connection), before);
    assert.equal(await shop.token(first.connection), ann.access_token);
    assert.equal(await taken(ann.access_token), true);

    // The link is good for another try, and the first account goes on by its own refresh token meanwhile.
    assert.equal(await taken(await shop.token(first.connection, { refresh: true })), true);
    assert.equal(peer.refreshes().at(-1).form.refresh_token, secret(ann.refresh_token));
    assert.match(words((await browser().connect(url)).page), /is connected/);
    assert.deepEqual([(await facts(shop, first.connection)).account, (await facts(shop, first.connection)).generation], ["ann@example.com", 3]);
    assert.deepEqual(shop.told(first.connection), ["connection.created"], "nobody is told of what changed nothing");
  });

  test("S29: of which userinfo tells another subject than the id token connects nothing, and its grant is ended", async () => {
    const identity = { from: { call: { url: `${peer.issuer}/me` } }, key: ["/sub"], label: ["/email"] };
    const shop = await tenant({ app: { providerConfig: { identity } } });
    const { url, connection } = await shop.session();
    for (const told of [{ sub: "eve" }, { sub: "" }, { sub: 7 }, { sub: undefined }]) {
      const tokens = given();
      peer.at("/me").patch((claims) => ({ ...claims, ...told }));
      const revoked = peer.at("/token/revocation").requests(peer.at("/token/revocation").seen.length + 1);
      const { page } = await browser().connect(url);
      assert.match(words(page), /^Not connected/);
      assert.match(words(page), /another subject/);
      const { refresh_token } = await tokens;
      assert.equal((await revoked).at(-1).form.token, secret(refresh_token));
      assert.deepEqual([(await facts(shop, connection)).state, (await facts(shop, connection)).account], ["pending", null]);
    }
    assert.match(words((await browser().connect(url)).page), /is connected/);
    const stands = await facts(shop, connection);
    assert.deepEqual([stands.state, stands.account, stands.accountKey], ["active", "ann@example.com", "ann"]);

    const again = await shop.session({ connectionId: connection.id });
    peer.at("/me").patch((claims) => ({ ...claims, sub: "eve" }));
    assert.match(words((await browser().connect(again.url)).page), /another subject/);
    assert.deepEqual(await facts(shop, connection), stands);
  });
});

test("each turn of a connection is one message at the tenant's endpoint", async () => {
  const shop = await tenant();
  const { url, connection } = await shop.session();
  await browser().connect(url);
  await shop.inbox.request(1);
  // Its owner takes the access away at the provider.
  const refreshed = await shop.token(connection, { refresh: true });
  assert.equal(await peer.revoke(refreshed, shop.client.id, shop.client.secret), 200);
  const [last] = peer.refreshes().slice(-1);
  assert.equal(last.form.grant_type, "refresh_token");
  peer.token.fail(400, { error: "invalid_grant", error_description: "gone" });
  const dead = await api("POST", shop.of(connection, "/token"), { refresh: true });
  assert.equal(dead.status, 409);
  await shop.inbox.request(2);
  const again = await shop.session({ connectionId: connection.id });
  assert.match(words((await browser().get(again.url)).text), /ann@example\.com/);
  assert.match(words((await browser().connect(again.url)).page), /is connected/);
  await shop.inbox.request(3);
  const gone = await api.ok("DELETE", shop.of(connection));
  assert.ok(gone === "" || gone.revoked);
  await shop.inbox.request(4);
  assert.deepEqual(shop.told(connection), ["connection.created", "connection.needs_reauth", "connection.recovered", "connection.revoked"]);
  const messages = shop.inbox.requests.map(({ headers }) => headers["webhook-id"]);
  assert.equal(new Set(messages).size, 4);
});

test("S20: private addresses are refused when an app is saved, and when a request would leave", async () => {
  const shop = await tenant();
  const { url, connection } = await shop.session();
  const ann = browser();
  const callback = await ann.leave(url);
  const logs = postern.logs;
  await postern.stop();
  postern = await start({ vars: { BASE_URL: BASE, ALLOW_PRIVATE_ADDRESSES: null }, persist, port: Number(new URL(postern.url).port) });
  postern.logs.push(...logs);
  api = caller(postern);
  const save = (settings) => api("POST", `${shop.path}/oauth-app`, { name: "Inside", clientId: "a", clientSecret: "a secret", ...settings });
  for (const issuer of [peer.issuer, "http://issuer.example", "https://localhost", "https://10.0.0.1", "https://169.254.169.254", "https://[::1]", "https://0x7f.1"]) {
    const refused = await save({ provider: "oidc", issuer });
    assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "issuer"]], issuer);
  }
  const oauth = { authorizeUrl: "https://as.example/authorize", tokenUrl: "https://192.168.1.1/token" };
  const refused = await save({ provider: "oauth2", providerConfig: { oauth } });
  assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "providerConfig", "oauth", "tokenUrl"]]);

  const asked = peer.token.seen.length;
  const found = await api.ok("POST", `${shop.path}/oauth-app/${shop.app.id}/doctor`);
  assert.equal(found.verdict, "cannot_tell");
  assert.match(words((await ann.arrive(callback)).page), /^Not connected/);
  assert.equal((await shop.get(connection)).state, "pending");
  assert.equal(peer.token.seen.length, asked, "nothing left");
});

test("S1, S31: no log and no file holds a link, a state, a code, a cookie, a verifier, a secret or a token", async () => {
  const logs = JSON.stringify(postern.logs);
  await postern.stop();
  postern = undefined;
  const files = (await readdir(persist, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const contents = await Promise.all(files.map(async (file) => [file.name, await readFile(join(file.parentPath, file.name))]));
  const [link] = [...secrets].filter((one) => one.length === 71);
  const hashed = createHash("sha256").update(Buffer.from(link, "base64url").subarray(-32)).digest();
  assert.ok(contents.some(([, bytes]) => bytes.includes(hashed)), "a link's hash stands there");
  for (const one of secrets) {
    const binary = /^[\w-]{43,}$/.test(one) ? Buffer.from(one, "base64url").subarray(-32) : /^[0-9a-f]{64}$/.test(one) ? Buffer.from(one, "hex") : Buffer.from(one);
    for (const form of [Buffer.from(one), binary, Buffer.from(binary.toString("hex"))]) {
      assert.ok(!logs.includes(form.toString("latin1")), "a log holds a secret");
      for (const [name, bytes] of contents) assert.ok(!bytes.includes(form), `${name} holds a secret: ${form.toString("latin1").slice(0, 12)}`);
    }
  }
});

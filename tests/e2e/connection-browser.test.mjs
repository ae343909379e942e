// The browser's way in a browser: Chromium without JavaScript. What a page says is read as a person reads it, and what a
// person can do is done by following its links. Postern stands at localhost and the provider at 127.0.0.1: two sites, so
// that a browser sends the cookie on the way back only because it is Lax.
//
// POSTERN_SHOTS=<folder> keeps a picture of each page: light, dark and 360 pixels wide.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { caller } from "./api.mjs";
import { startBrowser } from "./browser.mjs";
import { start } from "./harness.mjs";
import { startPeer } from "./oidc.mjs";
import { startReceiver } from "./receiver.mjs";

const shots = process.env.POSTERN_SHOTS;

let postern, api, peer, browser, product, persist, shop, port, base;

before(async () => {
  persist = await mkdtemp(join(tmpdir(), "postern-browser-"));
  [peer, browser, product] = await Promise.all([startPeer(), startBrowser(), startReceiver()]);
  port = await freePort();
  base = `http://localhost:${port}`;
  await begin();
  const { id } = await api.ok("POST", "/api/v1/app", { name: "Shop" });
  shop = { path: `/api/v1/app/${id}` };
  shop.app = await oauthApp({ name: "Acme Mail", returnUrls: [product.origin] });
});
after(async () => {
  await browser?.stop();
  await postern?.stop();
  await Promise.all([peer?.stop(), product?.stop()]);
  await rm(persist, { recursive: true, force: true });
});

async function begin() {
  postern = await start({ persist, port, vars: { BASE_URL: base } });
  api = caller(postern);
}

/** The server's address has to be known before it starts, and to be the same when it starts again. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address();
  server.close();
  await once(server, "close");
  return free;
}

let clients = 0;

async function oauthApp(settings) {
  clients += 1;
  const client = { id: `client-${clients}`, secret: `the secret of client ${clients}` };
  const app = await api.ok("POST", `${shop.path}/oauth-app`, {
    provider: "oidc",
    issuer: peer.issuer,
    clientId: client.id,
    clientSecret: client.secret,
    scopes: ["email", "api:read", "api:write"],
    providerConfig: { oauth: { scopeWords: { "api:read": "Read your mail", "api:write": "Send mail in your name" } } },
    ...settings,
  });
  await peer.client({ ...client, redirectUri: app.redirectUri });
  return app;
}

const session = (more = {}) => api.ok("POST", `${shop.path}/connection/session`, { oauthAppId: shop.app.id, ...more });
const standing = (connection) => api.ok("GET", `${shop.path}/connection/${connection.id}`);

/** A browser of somebody's own, JavaScript off. */
const somebody = () => browser.page({ script: false });

/** Follows the page's one link to the provider, signs in there and answers. */
async function answer(page, { login = "ann", says = "yes" } = {}) {
  await page.locator("a.first").click();
  await page.waitForURL(`${peer.issuer}/**`);
  if (says === "yes") {
    await page.locator("input[name=login]").fill(login);
    await page.locator("#yes").click();
    await page.getByRole("heading", { name: "Allow this app?" }).waitFor();
  }
  await page.locator(says === "yes" ? "#yes" : "#no").click();
  await page.waitForURL((url) => url.origin !== peer.issuer);
}

/** Reads a page and judges what every one of ours must be. */
async function look(page, name) {
  const text = await page.locator("main").innerText();
  assert.equal(await page.locator("h1").count(), 1, name);
  assert.equal(await page.title(), await page.locator("h1").innerText(), name);
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  assert.ok((await page.locator("a.first").count()) <= 1, "at most one action comes first");
  assert.deepEqual(await page.locator("script, style, img, iframe, form, [style]").count(), 0);
  for (const url of page.requests) assert.ok([base, peer.issuer, product.origin].includes(new URL(url).origin), `${name}: ${url}`);
  for (const width of [360, 900]) {
    await page.setViewportSize({ width, height: width === 360 ? 740 : 700 });
    for (const colorScheme of width === 360 ? ["light"] : ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      if (shots) await page.screenshot({ path: join(shots, `${name}-${width === 360 ? "small" : colorScheme}.png`), fullPage: true });
    }
    const { inside, wide } = await page.evaluate(() => ({ inside: innerWidth, wide: document.documentElement.scrollWidth }));
    assert.ok(wide <= inside, `${name} is cut off at ${width}: ${wide}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  return text.replace(/\s+/g, " ");
}

test("somebody connects: one page, one link, and a page that says whose account it is", async () => {
  const { url, connection } = await session({ label: "Ann's mail" });
  const page = await somebody();
  await page.goto(url);
  const asked = await look(page, "01-connect");
  for (const said of ["Acme Mail", "Ann's mail", "See your e-mail address", "Read your mail", "Send mail in your name"]) assert.ok(asked.includes(said), `${said}: ${asked}`);
  assert.equal(await page.locator("a").count(), 1);
  // By the keyboard alone.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "first");
  await answer(page);
  assert.match(page.url(), new RegExp(`^${base}/connect/result/${connection.id}/[0-9a-f]{32}$`));
  const told = await look(page, "02-connected");
  for (const said of ["Acme Mail is connected", "ann@example.com", connection.id]) assert.ok(told.includes(said), `${said}: ${told}`);
  assert.equal((await standing(connection)).state, "active");
  await page.reload();
  assert.equal((await look(page, "02-connected")).includes("is connected"), true);
  await page.goBack();
  await page.goto(url);
  assert.match(await look(page, "03-already-connected"), /^Already connected/);
});

test("somebody says no, and may think again", async () => {
  const { url, connection } = await session();
  const page = await somebody();
  await page.goto(url);
  await answer(page, { says: "no" });
  assert.match(await look(page, "04-denied"), /^Not connected.*You said no at Acme Mail/);
  assert.deepEqual(await standing(connection).then(({ state, reason }) => [state, reason]), ["pending", "denied"]);
  await answer(page);
  assert.match(await page.locator("h1").innerText(), /is connected/);
  assert.equal((await standing(connection)).state, "active");
});

test("somebody who came from a product is back there at the end", async () => {
  const back = product.at("/back");
  const { url, connection } = await session({ returnUrl: back.url });
  const page = await somebody();
  await page.goto(url);
  await answer(page);
  const { url: came, headers } = await back.request(1);
  assert.equal(came, `/back?connection_id=${connection.id}&status=connected`);
  assert.equal(headers.referer, undefined);
});

describe("on reconnect", () => {
  let connection;
  before(async () => {
    const first = await session({ label: "Mail of the sales team" });
    connection = first.connection;
    const page = await somebody();
    await page.goto(first.url);
    await answer(page);
  });

  test("the same account goes on under the same id", async () => {
    const { url } = await session({ connectionId: connection.id });
    const page = await somebody();
    await page.goto(url);
    assert.match(await look(page, "05-reconnect"), /ann@example\.com/);
    await answer(page);
    assert.equal(peer.at("/auth").seen.findLast(({ query }) => query.state).query.login_hint, "ann@example.com");
    assert.match(await look(page, "06-reconnected"), /is connected/);
    assert.deepEqual(await standing(connection).then(({ state, generation }) => [state, generation]), ["active", 2]);
  });

  test("S29: another account is refused, both are named, and its grant is ended", async () => {
    const { url } = await session({ connectionId: connection.id });
    const page = await somebody();
    await page.goto(url);
    const revoked = peer.at("/token/revocation").seen.length;
    await answer(page, { login: "bob" });
    const told = await look(page, "07-other-account");
    for (const said of ["ann@example.com", "bob@example.com"]) assert.ok(told.includes(said), told);
    assert.match(told, /^This is another account/);
    const [ended] = (await peer.at("/token/revocation").requests(revoked + 1)).slice(revoked);
    assert.equal(ended.form.token_type_hint ?? "refresh_token", "refresh_token");
    assert.deepEqual(await standing(connection).then(({ state, account }) => [state, account]), ["active", "ann@example.com"]);
    assert.equal((await api.ok("POST", `${shop.path}/connection/${connection.id}/token`, { refresh: true })).generation, 3, "the grant that stood lives on");
  });
});

test("S30: what was left out is said, and connects or does not as the app's owner wants", async () => {
  peer.state.granted = ["email"];
  try {
    const lenient = await session();
    const page = await somebody();
    await page.goto(lenient.url);
    await answer(page);
    assert.match(await look(page, "08-missing-scopes"), /less than was asked for.*Read your mail.*Send mail in your name/);
    assert.deepEqual(await standing(lenient.connection).then(({ state, missingScopes }) => [state, missingScopes]), ["active", ["api:read", "api:write"]]);

    const strict = await oauthApp({ name: "Acme Mail", allScopes: true });
    const { url, connection } = await session({ oauthAppId: strict.id });
    const other = await somebody();
    await other.goto(url);
    await answer(other);
    assert.match(await look(other, "09-refused-scopes"), /^Not connected.*Read your mail/);
    assert.equal((await standing(connection)).state, "pending");
  } finally {
    peer.state.granted = undefined;
  }
});

test("somebody hears of whatever goes wrong, and what to do", async () => {
  const { url, connection } = await session();
  const page = await somebody();
  await page.goto(url);
  peer.token.fail(401, { error: "invalid_client", error_description: "client authentication failed" });
  await answer(page);
  assert.match(await look(page, "10-exchange-failed"), /^Not connected.*client authentication failed.*Try again/);
  peer.token.dropAfter();
  await answer(page);
  assert.match(await look(page, "11-lost"), /^Start again/);
  assert.equal((await standing(connection)).state, "pending");
  const [name] = (await page.context().cookies(base)).map(({ name }) => name);
  assert.match(name, /^pc_/);

  await page.locator("a.first").click();
  await page.waitForURL(`${peer.issuer}/**`);
  const state = new URL(peer.at("/auth").seen.at(-1).query.redirect_uri);
  state.search = new URLSearchParams({ error: "server_error", error_description: "The <b>database</b> is away", state: peer.at("/auth").seen.at(-1).query.state, iss: peer.issuer }).toString();
  const elsewhere = await somebody();
  await elsewhere.goto(state.href);
  assert.match(await look(elsewhere, "12-other-browser"), /^Opened in another browser/);
  await page.goto(state.href);
  assert.match(await look(page, "13-provider-error"), /The <b>database<\/b> is away/);
  const names = { unreadable: /cannot be read/, expired: /This attempt is over/, "too-often": /Too many/, busy: /Too busy/, failed: /went wrong/ };
  for (const [word, said] of Object.entries(names)) {
    await page.goto(`${base}/connect/result/${word}`);
    assert.match(await look(page, `14-${word}`), said);
  }
  await page.goto(`${url.slice(0, -3)}AAA`);
  assert.match(await look(page, "15-unknown-link"), /not known/);
  await page.goto(`${base}/connect/result/nonsense`);
  assert.match(await look(page, "16-nothing-here"), /nothing here/);
});

test("while the provider thinks, the browser waits, and is told how it ended", async () => {
  const { url, connection } = await session();
  const page = await somebody();
  await page.goto(url);
  await page.locator("a.first").click();
  await page.locator("#yes").click();
  await page.getByRole("heading", { name: "Allow this app?" }).waitFor();
  const open = peer.token.gate("after");
  const asked = peer.token.requests(peer.token.seen.length + 1);
  const answered = page.locator("#yes").click({ noWaitAfter: true });
  await asked;
  assert.equal((await standing(connection)).state, "pending");
  open();
  await answered;
  await page.getByRole("heading", { name: "is connected" }).waitFor();
  assert.equal((await standing(connection)).state, "active");
});

test("whoever cannot go on with the product is offered both: to try again, and to go back", async () => {
  const { url, connection } = await session({ returnUrl: `${product.origin}/settings` });
  const page = await somebody();
  await page.goto(url);
  peer.token.html();
  await answer(page);
  await look(page, "20-back-or-again");
  const links = await page.locator("a").evaluateAll((all) => all.map((link) => link.href));
  assert.equal(links.length, 2);
  assert.match(links[0], /\/again$/);
  assert.match(links[1], new RegExp(`^${product.origin}/settings\\?connection_id=${connection.id}&status=(lost|exchange_failed)$`));
});

test("a long list of what is asked stays readable on a small screen", async () => {
  const words = Object.fromEntries(Array.from({ length: 14 }, (_, n) => [`scope:${n}`, `See, change and delete what stands in folder number ${n} of your account`]));
  const long = await oauthApp({
    name: "Überlandwerke Niederösterreich Dokumentenverwaltung",
    scopes: ["https://www.acme.example/auth/documents.readwrite.everything.and.a.very.long.name", ...Object.keys(words)],
    providerConfig: { oauth: { scopeWords: words } },
  });
  const { url } = await session({ oauthAppId: long.id, label: "<b>Ann & Bob's</b> documents of the years before the war with all that belongs to them" });
  const page = await somebody();
  await page.goto(url);
  assert.match(await look(page, "17-long"), /<b>Ann & Bob's<\/b>.*documents\.readwrite\.everything.*folder number 13/);
});

test("S1: a link is over after half an hour, and an attempt after ten minutes", async () => {
  const [link, attempt] = [await session(), await session()];
  const page = await somebody();
  await page.goto(attempt.url);
  await page.locator("a.first").click();
  await page.waitForURL(`${peer.issuer}/**`);
  await postern.stop();
  await ages(persist, 31 * 60_000);
  await begin();
  await page.locator("#yes").click();
  await page.getByRole("heading", { name: "Allow this app?" }).waitFor();
  const before = peer.exchanges().length;
  await page.locator("#yes").click();
  await page.waitForURL(`${base}/**`);
  assert.match(await look(page, "18-attempt-over"), /^This attempt is over/);
  assert.equal(peer.exchanges().length, before);
  for (const url of [link.url, `${link.url}/go`]) {
    await page.goto(url);
    assert.match(await look(page, "19-link-expired"), /^This link has expired/);
    assert.equal(await page.locator("a").count(), 0);
  }
  assert.equal((await standing(link.connection)).state, "pending");
});

/** Lets time go by for all links and attempts that are stored, while nothing runs. */
async function ages(folder, milliseconds) {
  let aged = 0;
  const files = await readdir(folder, { recursive: true });
  for (const file of files.filter((name) => name.includes("Connection") && name.endsWith(".sqlite"))) {
    const database = new DatabaseSync(join(folder, file));
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE name IN ('session', 'attempt')").all();
    for (const { name } of tables) aged += Number(database.prepare(`UPDATE ${name} SET expires_at = expires_at - ?`).run(milliseconds).changes);
    database.close();
  }
  assert.ok(aged >= 3, `${aged} rows`);
}

// A tenant that goes takes its connections along: revoked at the providers, shredded, no row left; what came of it is told.
// And before it goes, an export tells of them without a secret.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { Codes, back, consent, empty, json, page, random, startStandIn } from "./stand-in/server.mjs";

const REVOKE = "POST idp/revoke";
const ME = "GET idp/me";
let persist, postern, api, idp, standing;

before(async () => {
  persist = mkdtempSync(join(tmpdir(), "postern-erasure-"));
  [postern, idp] = await Promise.all([start({ persist }), startIdp()]);
  api = caller(postern);
});
after(async () => {
  await Promise.all([postern?.stop(), idp?.stop()]);
  rmSync(persist, { recursive: true, force: true });
});

/** A provider of the plainest kind. `standing` holds the refresh tokens whose grants stand. */
async function startIdp() {
  const codes = new Codes();
  standing = new Set();
  return startStandIn({
    "GET idp/authorize": ({ query }) => page("Allow?", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied" })),
    "POST idp/token": ({ form, basic }) => {
      const issued = codes.redeem(form.code, { redirectUri: form.redirect_uri, verifier: form.code_verifier, clientId: basic?.[0] });
      if (issued.error) return json(400, { error: "invalid_grant" });
      const refresh = random("refresh_");
      standing.add(refresh);
      return json(200, { access_token: random("access_"), token_type: "Bearer", expires_in: 3600, refresh_token: refresh });
    },
    [REVOKE]: ({ form }) => {
      standing.delete(form.token);
      return empty();
    },
    [ME]: () => json(200, { ok: true }),
  });
}

/** A tenant with an app whose grants can be revoked, and one whose cannot. */
async function tenant(name) {
  const { id } = await api.ok("POST", "/api/v1/app", { name, uid: name });
  const at = `/api/v1/app/${id}`;
  const urls = { authorizeUrl: idp.at("https://idp/authorize"), tokenUrl: idp.at("https://idp/token") };
  const revoke = { url: idp.at("https://idp/revoke"), token: "refresh" };
  const oauthApp = async (more) => {
    const client = { clientId: random("client_"), clientSecret: random("client-secret_") };
    const provider = { provider: "oauth2", providerConfig: { name: "The provider", oauth: { ...urls, ...more } } };
    return { ...(await api.ok("POST", `${at}/oauth-app`, { name: "The app", ...provider, ...client })), ...client };
  };
  return { id, at, app: await oauthApp({ revoke }), withoutRevoke: await oauthApp({}) };
}

/** A browser goes all the way. */
async function connect({ at }, { id: oauthAppId }, more = {}) {
  const { url, connection } = await api.ok("POST", `${at}/connection/session`, { oauthAppId, ...more });
  const gone = await fetch(`${url}/go`, { redirect: "manual" });
  const callback = await consent(gone.headers.get("location"));
  const came = await fetch(callback, { redirect: "manual", headers: { cookie: gone.headers.getSetCookie()[0].split(";")[0] } });
  assert.equal(came.status, 303);
  const connected = await api.ok("GET", `${at}/connection/${connection.id}`);
  assert.equal(connected.state, "active", JSON.stringify(connected));
  return connection.id;
}

/** An API key of a provider that checks it here. */
async function withKey({ at }, key, more = {}) {
  const config = { name: "Keys", api: { base: idp.at("https://idp") }, check: { url: idp.at("https://idp/me") } };
  const { id } = await api.ok("POST", `${at}/oauth-app`, { name: "Keys", provider: "api-key", providerConfig: config });
  return api("POST", `${at}/connection/key`, { oauthAppId: id, key, ...more });
}

/** Rows of the directory that name it, by table. */
async function rows(id) {
  const database = await postern.database();
  const sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf%'";
  const found = {};
  for (const { name } of (await database.prepare(sql).all()).results) {
    const all = (await database.prepare(`SELECT * FROM ${name}`).all()).results;
    const count = all.filter((row) => JSON.stringify(row).includes(id)).length;
    if (count) found[name] = count;
  }
  return found;
}

/** Rows of a connection's object, by table; its schema is none of them. */
async function stored(id) {
  const connections = await postern.mf.getDurableObjectNamespace("CONNECTION");
  const name = `${connections.idFromName(id)}.sqlite`;
  const file = readdirSync(persist, { recursive: true }).find((path) => path.endsWith(name));
  if (!file) return {};
  const storage = new DatabaseSync(join(persist, file), { readOnly: true });
  try {
    const tables = storage.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'meta' AND substr(name, 1, 4) <> '_cf_'").all();
    const counts = tables.map(({ name }) => [name, storage.prepare(`SELECT count(*) AS n FROM ${name}`).get().n]);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  } finally {
    storage.close();
  }
}

/** What the directory says of one row. */
const change = async (sql, ...values) => (await postern.database()).prepare(sql).bind(...values).run();

test("an erasure ends each connection at its provider and here, and tells what came of each", async () => {
  const shop = await tenant("erased");
  const revoked = await connect(shop, shop.app, { uid: "the-first" });
  const refused = await connect(shop, shop.app);
  const unsupported = await connect(shop, shop.withoutRevoke);
  const key = (await withKey(shop, "a-key-of-the-shop")).body.id;
  const pending = (await api.ok("POST", `${shop.at}/connection/session`, { oauthAppId: shop.app.id })).connection.id;
  const before = await connect(shop, shop.app);
  assert.equal((await api.ok("DELETE", `${shop.at}/connection/${before}`)).revoked, "revoked");
  const token = await api.ok("POST", `${shop.at}/connection/${revoked}/token`);
  assert.match(token.token, /^access_/);
  await eventually(() => rows(shop.id), ({ connection }) => connection === 6, "each has told the directory how it stands");
  assert.deepEqual(await rows(shop.id), { application: 1, connection: 6, oauth_app: 3 });
  assert.equal(standing.size, 3);

  // Two of them are to be revoked: one of the two revocations fails, as often as it is tried.
  const asked = idp.of(REVOKE).length;
  const [spared] = [...standing];
  for (let n = 0; n < 4; n++) {
    idp.next(REVOKE, ({ form }) => (form.token === spared ? json(500, {}) : (standing.delete(form.token), empty())));
  }
  const body = await api.ok("POST", `${shop.at}/erase`, { confirm: shop.id });
  assert.deepEqual([body.erased.connections, body.erased.grants], [5, { revoked: 1, alreadyGone: 0, unsupported: 2, failed: 1, unknown: 0 }]);
  const { application, connection, oauthApp } = body.erased.directoryRows;
  assert.deepEqual([application, connection, oauthApp], [1, 6, 3]);
  assert.ok(body.left.some(({ place }) => place === "providers"), "it says what it cannot reach");
  assert.ok(idp.of(REVOKE).length - asked >= 2);
  assert.equal(standing.size, 2, "one that was refused, and one that cannot be revoked");

  assert.deepEqual(await rows(shop.id), {});
  for (const id of [revoked, refused, unsupported, key, pending, before]) {
    assert.deepEqual([await rows(id), await stored(id)], [{}, {}], "no row, and nothing in its object");
    assert.equal((await api("GET", `${shop.at}/connection/${id}`)).status, 404);
    assert.equal((await api("POST", `${shop.at}/connection/${id}/token`)).status, 404);
  }
  assert.equal((await api("GET", `${shop.at}/oauth-app/${shop.app.id}`)).status, 404);
  assert.deepEqual(await api.ok("POST", `${shop.at}/erase`, { confirm: shop.id }), body, "asked again, it says the same");
});

test("a deletion ends them as well, and tells nothing", async () => {
  const shop = await tenant("deleted");
  const id = await connect(shop, shop.app);
  standing.clear();
  const asked = idp.of(REVOKE).length;
  assert.equal((await api("DELETE", shop.at)).status, 204);
  assert.equal(idp.of(REVOKE).length, asked + 1);
  assert.deepEqual([await rows(shop.id), await rows(id), await stored(id)], [{}, {}, {}]);
});

test("a deletion that broke off is finished by the clock, with what was made by halves, and told", async () => {
  const shop = await tenant("halved");
  const [hangs, goes] = [await connect(shop, shop.app), await connect(shop, shop.app)];
  // As it stands when the edge dies between the directory and the objects, a minute ago.
  const hash = createHash("sha256").update(shop.id).digest("hex");
  const { organisation } = (await (await postern.database()).prepare("SELECT organisation FROM application WHERE id = ?").bind(shop.id).first());
  await change("INSERT INTO erasure (tenant, organisation, asked_at) VALUES (?, ?, 1)", hash, organisation);
  await change("UPDATE application SET state = 'deleting', uid = NULL, updated_at = 1 WHERE id = ?", shop.id);
  // One that was made by halves: a row, and no object.
  const half = "conn_" + hangs.slice(5, -6) + "000000";
  await change(
    "INSERT INTO connection (id, organisation, application, app, provider, state, version, created_at, updated_at, look_at) VALUES (?, ?, ?, ?, 'oauth2', 'pending', 0, 1, 1, 2)",
    half, organisation, shop.id, shop.app.id,
  );
  await postern.cron();
  const [done] = await eventually(
    async () => (await api.ok("GET", `/api/v1/erasure?application=${shop.id}`)).data,
    ([line]) => line.at !== null,
    "the erasure",
  );
  assert.deepEqual([done.erased.connections, done.erased.grants.revoked], [3, 2]);
  assert.equal(done.erased.directoryRows.connection, 3);
  for (const id of [hangs, goes, half]) assert.deepEqual([await rows(id), await stored(id)], [{}, {}]);
  assert.deepEqual(await rows(shop.id), {});
});

test("a row whose object was never made goes, and one whose object stands is filled in", async () => {
  const shop = await tenant("half-made");
  const id = await connect(shop, shop.app);
  const { view, organisation } = await (await postern.database()).prepare("SELECT view, organisation FROM connection WHERE id = ?").bind(id).first();
  assert.ok(view);
  const half = "conn_" + id.slice(5, -6) + "000000";
  await change(
    "INSERT INTO connection (id, organisation, application, app, provider, state, version, created_at, updated_at, look_at) VALUES (?, ?, ?, ?, 'oauth2', 'pending', 0, 1, 1, 2)",
    half, organisation, shop.id, shop.app.id,
  );
  await change("UPDATE connection SET view = NULL, version = 0, state = 'pending', look_at = 2 WHERE id = ?", id);
  assert.deepEqual((await api.ok("GET", `${shop.at}/connection`)).data, [], "what is not known to stand is not listed");
  await postern.cron();
  await eventually(() => rows(half), (left) => !left.connection, "the half is gone");
  const { data } = await api.ok("GET", `${shop.at}/connection`);
  assert.deepEqual(data.map((listed) => [listed.id, listed.state]), [[id, "active"]]);
});

test("what was disconnected is forgotten when its time is over, in its object too", async () => {
  const shop = await tenant("forgotten");
  const id = await connect(shop, shop.app);
  await api.ok("DELETE", `${shop.at}/connection/${id}`);
  const listed = async () => (await api.ok("GET", `${shop.at}/connection?state=revoked`)).data.map((shown) => shown.id);
  await eventually(listed, (ids) => ids.includes(id), "it is listed as over");
  assert.notDeepEqual(await stored(id), {}, "its history stands");
  await change("UPDATE connection SET look_at = 2 WHERE id = ?", id);
  await postern.cron();
  await eventually(() => rows(id), (left) => !left.connection, "its row is gone");
  assert.deepEqual([await rows(id), await stored(id)], [{}, {}]);
  assert.equal((await api("GET", `${shop.at}/connection/${id}`)).status, 404);
});

test("a connection that is being made while its tenant goes does not outlive it", async () => {
  const shop = await tenant("raced");
  let open;
  const held = new Promise((resolve) => (open = resolve));
  idp.next(ME, async () => (await held, json(200, { ok: true })));
  const asked = idp.of(ME).length;
  const made = withKey(shop, "a-key-that-comes-too-late");
  await eventually(() => idp.of(ME).length, (count) => count > asked, "the key is being checked");
  const [{ id }] = (await (await postern.database()).prepare("SELECT id FROM connection WHERE application = ?").bind(shop.id).all()).results;
  const deleted = api("DELETE", shop.at);
  open();
  const [answer, { status }] = await Promise.all([made, deleted]);
  assert.ok([201, 404, 409].includes(answer.status), JSON.stringify(answer.body));
  assert.equal(status, 204);
  assert.deepEqual([await rows(shop.id), await rows(id), await stored(id)], [{}, {}, {}]);
});

test("an export tells of apps and connections, and of none of their secrets, whoever asks and however", async () => {
  const shop = await tenant("exported");
  const id = await connect(shop, shop.app, { uid: "theirs", label: "The office" });
  const key = "a-key-that-an-export-never-shows";
  const keyed = (await withKey(shop, key)).body.id;
  await eventually(() => rows(id), ({ connection }) => connection === 1, "it is listed");
  const secrets = [key, shop.app.clientSecret, shop.withoutRevoke.clientSecret, "access_", "refresh_"];
  for (const query of ["", "?secrets=true"]) {
    const answer = await postern.fetch(`${shop.at}/export${query}`, { headers: { authorization: `Bearer ${postern.token()}` } });
    const text = await answer.text();
    for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} stands in the export`);
    const lines = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const apps = lines.filter(({ kind }) => kind === "oauthApp").map(({ oauthApp }) => [oauthApp.id, oauthApp.hasClientSecret]);
    assert.deepEqual(apps.slice(0, 2), [[shop.app.id, true], [shop.withoutRevoke.id, true]]);
    const connections = lines.filter(({ kind }) => kind === "connection").map(({ connection }) => [connection.id, connection.uid, connection.state]);
    assert.deepEqual(connections, [[id, "theirs", "active"], [keyed, null, "active"]]);
    const { kind, counts } = lines.at(-1);
    assert.deepEqual([kind, counts.oauthApp, counts.connection], ["end", 3, 2]);
  }
  // Of an object that is being ended nobody shows anything any more; its own export says how it is.
  await api.ok("POST", `${shop.at}/erase`, { confirm: shop.id });
  assert.equal((await api("GET", `${shop.at}/export`)).status, 404);
});

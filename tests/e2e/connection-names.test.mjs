// What connections and apps are called, and how their lists are read: nobody has to be connected for it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { caller } from "./api.mjs";
import { start } from "./harness.mjs";

const APP = { name: "GitHub", provider: "github", clientId: "a client", clientSecret: "a secret" };
let postern, api, at;

before(async () => {
  postern = await start();
  api = caller(postern);
  at = `/api/v1/app/${(await api.ok("POST", "/api/v1/app", { name: "Shop" })).id}`;
});
after(() => postern?.stop());

const session = (body) => api("POST", `${at}/connection/session`, body);

test("a connection's uid is its own, changes, and is free when it is taken away or over", async () => {
  const { id: oauthAppId } = await api.ok("POST", `${at}/oauth-app`, APP);
  const first = (await session({ oauthAppId, uid: "main" })).body.connection;
  const second = (await session({ oauthAppId })).body.connection;
  assert.deepEqual([first.uid, second.uid], ["main", null]);
  assert.equal((await api.ok("GET", `${at}/connection/main`)).id, first.id);
  const refused = await session({ oauthAppId, uid: "main" });
  assert.deepEqual([refused.status, refused.body.code], [409, "conflict"]);
  assert.equal((await api("PATCH", `${at}/connection/${second.id}`, { uid: "main" })).status, 409);

  await api.ok("PATCH", `${at}/connection/main`, { uid: "old" });
  assert.equal((await api("GET", `${at}/connection/main`)).status, 404);
  assert.equal((await api.ok("PATCH", `${at}/connection/${second.id}`, { uid: "main" })).uid, "main");
  assert.equal((await api.ok("PATCH", `${at}/connection/main`, { uid: null })).uid, null);
  assert.equal((await api("GET", `${at}/connection/main`)).status, 404);
  const { data } = await api.ok("GET", `${at}/connection`);
  assert.deepEqual(data.map(({ id, uid }) => [id, uid]), [[first.id, "old"], [second.id, null]]);

  await api.ok("DELETE", `${at}/connection/old`);
  const again = await session({ oauthAppId, uid: "main" });
  assert.equal(again.status, 201);
});

test("a key goes to a connection of keys alone, and says which member of the body was wrong", async () => {
  const { id: oauthAppId } = await api.ok("POST", `${at}/oauth-app`, APP);
  const { id: connectionId } = (await session({ oauthAppId })).body.connection;
  const file = { client_email: "a@b.example", private_key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" };
  for (const [path, body] of [["key", { key: "a-key" }], ["service-account", { key: file, scopes: ["a"] }]]) {
    const refused = await api("POST", `${at}/connection/${path}`, { connectionId, ...body });
    assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "connectionId"]], path);
    assert.match(refused.body.detail[0].msg, /session/);
  }
});

test("the catalogue is a list as others are", async () => {
  const ids = [];
  let iterator;
  for (;;) {
    const page = await api.ok("GET", `/api/v1/connection-provider?limit=10${iterator ? `&iterator=${iterator}` : ""}`);
    ids.push(...page.data.map(({ id }) => id));
    iterator = page.iterator;
    if (page.done) break;
  }
  const whole = (await api.ok("GET", "/api/v1/connection-provider?limit=250")).data.map(({ id }) => id);
  assert.deepEqual(ids, whole);
  assert.ok(whole.includes("google") && whole.length >= 30);
  const wrong = await api("GET", "/api/v1/connection-provider?iterator=nonsense");
  assert.deepEqual([wrong.status, wrong.body.code], [400, "invalid_iterator"]);
});

test("an app's uid is its owner's own: the operator's and a tenant's do not meet, and the tenant's comes first", async () => {
  const operators = await api.ok("POST", "/api/v1/oauth-app", { ...APP, uid: "github" });
  const own = await api.ok("POST", `${at}/oauth-app`, { ...APP, uid: "github" });
  assert.notEqual(operators.redirectUri, own.redirectUri);
  assert.equal((await api("POST", `${at}/oauth-app`, { ...APP, uid: "github" })).status, 409);
  assert.equal((await session({ oauthAppId: "github" })).body.connection.oauthAppId, own.id);
  assert.equal((await session({ oauthAppId: operators.id })).body.connection.oauthAppId, operators.id);
  const shown = (await api.ok("GET", `${at}/oauth-app?owner=operator`)).data.map(({ id, owner }) => [id, owner]);
  assert.deepEqual(shown, [[operators.id, "operator"]]);
  const kept = await api("DELETE", `${at}/oauth-app/github`);
  assert.deepEqual([kept.status, kept.body.code], [409, "conflict"], "a connection lives by it");
});

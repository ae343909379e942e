// Connections that nobody makes in a browser: API keys, tokens that another product got, service accounts. And connections as
// a whole: lists, names, switches, a clean beginning, what happened.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";
import { settings, tenant } from "./stand-in/connecting.mjs";
import { startGithub } from "./stand-in/github.mjs";
import { startGoogle } from "./stand-in/google.mjs";
import { startNotion } from "./stand-in/notion.mjs";
import { empty, json, startStandIn } from "./stand-in/server.mjs";

const KEY = "sk-canary-of-a-key-0123456789abcd";
const NEXT = "sk-canary-of-a-key-9876543210wxyz";

let postern, shop, keys, google;

before(async () => {
  [postern, keys, google] = await Promise.all([start(), startKeys(), startGoogle()]);
  shop = await tenant(postern, "shop");
});
after(() => Promise.all([postern, keys, google].map((each) => each?.stop())));

/**
 * Providers of API keys.
 *
 * - OpenAI-compatible proxies such as LiteLLM answer `/v1/models` to a Bearer, and 401 with `error.type: "auth_error"` and a
 *   `code` that is a text [LiteLLM docs, "Exception mapping"]; the list may be long.
 * - Anthropic takes `x-api-key` and wants `anthropic-version` [Claude docs, "API overview", Authentication]; its errors are
 *   `{type: "error", error: {type, message}}` [Claude docs, "Errors"].
 * - Twilio takes Basic with the account's SID and its auth token; a wrong one is 401 with a `code` that is a number
 *   [Twilio docs, "Error 20003"].
 */
async function startKeys() {
  const good = new Set([KEY, NEXT]);
  const acme = { status: 200 };
  const standIn = await startStandIn({
    "GET api.acme.example/v1/me": ({ headers }) => (acme.status !== 200 ? empty(acme.status) : good.has(headers["x-acme-key"]) ? json(200, { account: { id: 7, name: "Acme Ltd" } }) : json(401, { error: "invalid_key", message: "This key was withdrawn." })),
    "GET v1/models": ({ bearer }) => {
      const data = Array.from({ length: 2000 }, (_, at) => ({ id: `model-${at}`, object: "model", created: 1, owned_by: "openai" }));
      return good.has(bearer) ? json(200, { data, object: "list" }) : json(401, { error: { message: "Authentication Error, Invalid proxy server token passed.", type: "auth_error", param: "None", code: "401" } });
    },
    "GET api.anthropic.com/v1/models": ({ headers }) => {
      if (!headers["anthropic-version"]) return json(400, { type: "error", error: { type: "invalid_request_error", message: "anthropic-version: header is required" } });
      return good.has(headers["x-api-key"]) ? json(200, { data: [], has_more: false }) : json(401, { type: "error", error: { type: "authentication_error", message: "invalid x-api-key" } });
    },
    "GET api.twilio.com/2010-04-01/Accounts.json": ({ basic }) =>
      basic?.[0].startsWith("AC") && good.has(basic[1]) ? json(200, { accounts: [{ sid: basic[0], friendly_name: "Acme's account" }] }) : json(401, { code: 20003, message: "Authenticate", more_info: "https://www.twilio.com/docs/errors/20003", status: 401 }),
  });
  return { ...standIn, good, acme };
}

/** A provider by configuration. */
const ACME = () => ({
  name: "Acme",
  key: { label: "Secret", prefixes: ["sk-"] },
  api: { base: keys.at("https://api.acme.example/v1"), place: { header: "x-acme-key" } },
  check: { url: keys.at("https://api.acme.example/v1/me") },
  identity: { from: { call: { url: keys.at("https://api.acme.example/v1/me") } }, key: ["/account/id"], label: ["/account/name"] },
});
const acme = (customer) => customer.call.ok("POST", `${customer.at}/oauth-app`, { name: "Acme", provider: "api-key", providerConfig: ACME() });
const bring = (customer, body) => customer.call("POST", `${customer.at}/connection/key`, body);

/** All that the directory holds and all that was logged, as text. */
async function everything(server) {
  const database = await server.database();
  const { results: tables } = await database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'").all();
  const rows = await Promise.all(tables.map(({ name }) => database.prepare(`SELECT * FROM "${name}"`).all()));
  return JSON.stringify([rows.map(({ results }) => results), server.logs]);
}

describe("an API key", () => {
  test("of a provider by configuration is asked about once, kept sealed, and shown by its last four", async () => {
    const { id: oauthAppId } = await acme(shop);
    const before = keys.of("GET api.acme.example/v1/me").length;
    const { status, body } = await bring(shop, { oauthAppId, key: KEY, label: "Billing", uid: "billing" });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.state, body.lastFour, body.label, body.uid], ["active", "abcd", "Billing", "billing"]);
    assert.deepEqual([body.account, body.accountKey], ["Acme Ltd", "7"]);
    assert.deepEqual([body.expiresAt, body.refreshable, body.generation, body.oauthAppId], [null, false, 1, oauthAppId]);
    assert.equal(keys.of("GET api.acme.example/v1/me").length, before + 1);
    const token = await shop.token(body.id);
    assert.deepEqual([token.token, token.apiBase], [KEY, ACME().api.base]);
    assert.ok(!JSON.stringify([body, await shop.get(body.id), await shop.history(body.id)]).includes(KEY));
    assert.ok(!(await everything(postern)).includes(KEY), "the key stands in the directory or in the log");
  });

  test("that the provider refuses is refused in its words, and leaves nothing", async () => {
    const { id: oauthAppId } = await acme(shop);
    const { status, body } = await bring(shop, { oauthAppId, key: "sk-canary-of-nobody", uid: "nothing" });
    assert.equal(status, 422);
    assert.deepEqual(body.detail.map(({ loc, msg }) => [loc, msg]), [[["body", "key"], "The provider refuses the key: invalid_key: This key was withdrawn."]]);
    assert.ok(!JSON.stringify(body).includes("canary"));
    assert.equal((await shop.call("GET", shop.of("nothing"))).status, 404);
    assert.equal((await shop.call.ok("GET", `${shop.at}/connection?oauth_app_id=${oauthAppId}`)).data.length, 0);
  });

  test("is replaced by another one of the same account, and a bad one leaves the old one", async () => {
    const { id: oauthAppId } = await acme(shop);
    const { body: made } = await bring(shop, { oauthAppId, key: KEY });
    assert.equal((await bring(shop, { connectionId: made.id, key: "sk-canary-of-nobody" })).status, 422);
    assert.equal((await shop.token(made.id)).token, KEY);
    const { status, body } = await bring(shop, { connectionId: made.id, key: NEXT });
    assert.deepEqual([status, body.id, body.generation, body.lastFour], [200, made.id, 2, "wxyz"]);
    assert.equal((await shop.token(made.id)).token, NEXT);
    keys.next("GET api.acme.example/v1/me", json(200, { account: { id: 8, name: "Somebody else" } }));
    const foreign = await bring(shop, { connectionId: made.id, key: KEY });
    assert.equal(foreign.status, 422);
    assert.match(foreign.body.detail[0].msg, /another account than the connection, which is for Acme Ltd/);
    assert.equal((await shop.token(made.id)).token, NEXT);
  });

  test("is tested when somebody asks, and what was found is shown", async () => {
    const { id: oauthAppId } = await acme(shop);
    const { body: made } = await bring(shop, { oauthAppId, key: KEY });
    const good = await shop.test(made.id);
    assert.deepEqual([good.ok, good.status, good.detail], [true, 200, "The provider takes it"]);
    keys.good.delete(KEY);
    const bad = await shop.test(made.id);
    assert.deepEqual([bad.ok, bad.status, bad.detail], [false, 401, "The provider refuses it: invalid_key: This key was withdrawn."]);
    assert.deepEqual([bad.connection.state, bad.connection.lastCheck.ok], ["active", false]);
    const twice = await shop.test(made.id);
    assert.deepEqual([twice.connection.state, twice.connection.reason], ["needs_reauth", "key_refused"]);
    assert.equal((await shop.call("POST", shop.of(made.id, "/token"))).status, 409);
    keys.good.add(KEY);
    const healed = await shop.test(made.id);
    assert.deepEqual([healed.ok, healed.connection.state], [true, "active"]);
  });

  test("of a proxy that speaks as OpenAI does is asked about at its own address, however many models it has", async () => {
    const { status, body } = await bring(shop, { provider: "openai", key: KEY, variables: { base: keys.origin } });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.state, body.provider, body.oauthAppId, body.lastFour], ["active", "openai", null, "abcd"]);
    assert.equal((await shop.token(body.id)).apiBase, `${keys.origin}/v1`);
    assert.equal((await shop.test(body.id)).ok, true);
    const refused = await bring(shop, { provider: "openai", key: "sk-wrong", variables: { base: keys.origin } });
    assert.equal(refused.status, 422);
    assert.match(refused.body.detail[0].msg, /Authentication Error, Invalid proxy server token passed/);
    for (const base of ["http://169.254.169.254", "http://10.0.0.1", "not a url", `${keys.origin}/path`]) {
      const { status, body } = await bring(shop, { provider: "openai", key: KEY, variables: { base } });
      assert.deepEqual([status, body.detail?.[0].loc], [422, ["body", "variables", "base"]], base);
    }
  });

  test("of Anthropic stands in a header of its own, beside a version", async () => {
    const { id: oauthAppId } = await shop.oauthApp(keys, "anthropic");
    const { status, body } = await bring(shop, { oauthAppId, key: KEY });
    assert.equal(status, 201, JSON.stringify(body));
    const { headers, query } = keys.of("GET api.anthropic.com/v1/models").at(-1);
    assert.deepEqual([headers["x-api-key"], headers["anthropic-version"], headers.authorization, query], [KEY, "2023-06-01", undefined, { limit: "1" }]);
    const refused = await bring(shop, { oauthAppId, key: "sk-ant-wrong" });
    assert.match(refused.body.detail[0].msg, /invalid x-api-key/);
  });

  test("of Twilio stands in Basic beside the account's SID, without which it is not taken", async () => {
    const { id: oauthAppId } = await shop.oauthApp(keys, "twilio");
    const lacking = await bring(shop, { oauthAppId, key: KEY });
    assert.deepEqual([lacking.status, lacking.body.detail[0].loc, lacking.body.detail[0].msg], [422, ["body", "user"], "is missing: Account SID"]);
    const { status, body } = await bring(shop, { oauthAppId, key: KEY, user: "AC123" });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.account, body.accountKey], ["Acme's account", "AC123"]);
    assert.deepEqual(keys.of("GET api.twilio.com/2010-04-01/Accounts.json").at(-1).basic, ["AC123", KEY]);
    const token = await shop.token(body.id);
    assert.deepEqual([token.token, token.user], [KEY, "AC123"]);
    assert.match((await bring(shop, { oauthAppId, key: "wrong", user: "AC123" })).body.detail[0].msg, /Authenticate/);
  });

  test("is taken unchecked when its provider does not answer, and the history says so", async () => {
    const { id: oauthAppId } = await acme(shop);
    keys.next("GET api.acme.example/v1/me", empty(503));
    const { status, body } = await bring(shop, { oauthAppId, key: KEY });
    assert.deepEqual([status, body.state], [201, "active"]);
    assert.ok((await shop.history(body.id)).some(({ decision }) => decision.includes("unchecked")));
  });

  test("comes by its own door, and nothing else comes by it", async () => {
    const session = await shop.call("POST", `${shop.at}/connection/session`, { oauthAppId: (await acme(shop)).id });
    assert.match(session.body.detail[0].msg, /connection\/key/);
    const { body } = await bring(shop, { oauthAppId: (await shop.oauthApp(google, "google")).id, key: KEY });
    assert.match(body.detail[0].msg, /connection\/session/);
    const { status } = await bring(shop, { provider: "openai", key: "two words" });
    assert.equal(status, 422);
  });
});

test("health is checked by the clock: what a provider withdraws is found, told and listed, and a new key heals it", async () => {
  const [watched, receiver] = await Promise.all([start({ vars: { CONNECTION_CHECK_SECONDS: "1" } }), startReceiver()]);
  try {
    const customer = await tenant(watched, "watched");
    await customer.call.ok("POST", `${customer.at}/endpoint`, { url: receiver.url });
    const { id: oauthAppId } = await acme(customer);
    const { body: made } = await bring(customer, { oauthAppId, key: KEY });
    const asked = () => keys.of("GET api.acme.example/v1/me").length;
    const before = asked();
    await eventually(asked, (count) => count >= before + 2, "the clock asks twice");
    assert.equal((await customer.get(made.id)).lastCheck.ok, true);
    keys.good.delete(KEY);
    const listed = (state) => eventually(() => customer.call.ok("GET", `${customer.at}/connection`), ({ data: [shown] }) => shown.state === state, `it is listed as ${state}`);
    const { data: [refused] } = await listed("needs_reauth");
    assert.deepEqual([refused.reason, refused.lastCheck.ok], ["key_refused", false]);
    assert.match(refused.lastCheck.detail, /This key was withdrawn/);
    keys.good.add(KEY);
    assert.equal((await bring(customer, { connectionId: made.id, key: NEXT })).body.state, "active");
    await listed("active");
    const told = (type) => receiver.matching(({ text }) => JSON.parse(text).type === type);
    for (const type of ["connection.created", "connection.needs_reauth", "connection.recovered"]) assert.ok(await told(type), type);
  } finally {
    keys.good.add(KEY);
    await Promise.all([watched.stop(), receiver.stop()]);
  }
});

describe("tokens that another product got", () => {
  const scopes = ["openid", "https://www.googleapis.com/auth/gmail.readonly"];
  let app;
  const grant = () => {
    const token = `1//0canary-${Math.random()}`;
    google.refreshes.set(token, { account: google.accounts.get("ann"), scope: scopes.join(" ") });
    return token;
  };
  const imported = (body) => shop.call("POST", `${shop.at}/connection/import`, { oauthAppId: app.id, ...body });
  before(async () => {
    app = await shop.oauthApp(google, "google", { scopes: scopes.slice(1) });
  });

  test("are refreshed at once, so that nobody has to connect again", async () => {
    const refreshToken = grant();
    const before = google.of(google.TOKEN).length;
    const { status, body } = await imported({ refreshToken, scopes, account: "ann@example.com", label: "Moved", uid: "moved" });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.state, body.account, body.uid, body.label, body.refreshable, body.generation], ["active", "ann@example.com", "moved", "Moved", true, 2]);
    assert.equal(body.accountKey, google.accounts.get("ann").sub);
    assert.deepEqual(body.scopes, scopes);
    assert.equal(google.of(google.TOKEN).length, before + 1);
    assert.ok(google.tokens.has((await shop.token(body.id)).token));
    assert.equal((await shop.test(body.id)).ok, true);
    assert.ok(!(await everything(postern)).includes(refreshToken));
  });

  test("of a grant that is over say so at once, before the one try that confirms it", async () => {
    const { status, body } = await imported({ refreshToken: "1//0canary-dead", scopes });
    assert.deepEqual([status, body.state, body.reason], [201, "degraded", "grant_dead"]);
    assert.match(body.detail, /the grant is over/);
    assert.equal((await shop.call("POST", shop.of(body.id, "/token"))).status, 503);
    assert.ok((await shop.history(body.id)).some(({ words }) => /expired or revoked/.test(words)));
    const { page } = await shop.connect({ connectionId: body.id });
    assert.match(page, /Google is connected/);
    assert.equal((await shop.get(body.id)).state, "active");
  });

  test("S29: are of the account that the provider names, and another one does not take its place", async () => {
    const { body } = await imported({ refreshToken: grant(), scopes, account: "bob@example.com" });
    const { sub, email } = google.accounts.get("ann");
    assert.deepEqual([body.state, body.account, body.accountKey], ["active", email, sub]);
    assert.ok((await shop.history(body.id)).some(({ words }) => words === "ann@example.com, and not bob@example.com"));
    google.state.login = "bob";
    try {
      const { page } = await shop.connect({ connectionId: body.id });
      assert.match(page, /another account/);
      assert.match(page, /ann@example\.com.*bob@example\.com/);
    } finally {
      google.state.login = "ann";
    }
    const { accountKey, generation } = await shop.get(body.id);
    assert.deepEqual([accountKey, generation], [sub, 2], "nothing of it is stored");
    await shop.connect({ connectionId: body.id });
    assert.equal((await shop.get(body.id)).generation, 3);
  });

  test("S29: stand although the provider does not say at once whose they are, and the next refresh learns it", async () => {
    const whoami = "GET openidconnect.googleapis.com/v1/userinfo";
    google.next(whoami, empty(503));
    const { body } = await imported({ refreshToken: grant(), scopes });
    assert.deepEqual([body.state, body.account, body.accountKey], ["active", null, null]);
    assert.ok((await shop.history(body.id)).some(({ decision }) => /whose account/.test(decision)));
    await shop.token(body.id, { refresh: true });
    const view = await eventually(() => shop.get(body.id), ({ accountKey }) => accountKey !== null, "the account");
    assert.deepEqual([view.account, view.accountKey], ["ann@example.com", google.accounts.get("ann").sub]);
  });

  test("with an access token that is good still are refreshed all the same", async () => {
    const expiresAt = new Date(Date.now() + 1_800_000).toISOString();
    const { body } = await imported({ accessToken: "ya29.canary-old", refreshToken: grant(), scopes, expiresAt });
    assert.deepEqual([body.state, body.generation], ["active", 2]);
    assert.notEqual((await shop.token(body.id)).token, "ya29.canary-old");
  });

  test("without a refresh token are shown to the provider first", async () => {
    const github = await startGithub();
    try {
      const { id: oauthAppId } = await shop.oauthApp(github, "github");
      github.tokens.set("gho_canary", { scope: "repo" });
      const { body: good } = await shop.call("POST", `${shop.at}/connection/import`, { oauthAppId, accessToken: "gho_canary", scopes: ["repo"] });
      assert.deepEqual([good.state, good.refreshable, good.lastCheck?.ok], ["active", false, true]);
      assert.ok(good.accountKey, "and tell whose they are");
      assert.equal(github.of("GET api.github.com/user").at(-1).bearer, "gho_canary");
      assert.equal((await shop.token(good.id)).token, "gho_canary");
      const { body: bad } = await shop.call("POST", `${shop.at}/connection/import`, { oauthAppId, accessToken: "gho_of_nobody", scopes: ["repo"] });
      assert.deepEqual([bad.state, bad.reason, bad.lastCheck.detail], ["needs_reauth", "no_refresh_token", "The provider refuses it: Bad credentials"]);
    } finally {
      await github.stop();
    }
  });

  test("rotate as their provider rotates them", async () => {
    const notion = await startNotion();
    try {
      const { id: oauthAppId } = await shop.oauthApp(notion, "notion");
      notion.refreshes.add("nrt_canary");
      const { body } = await shop.call("POST", `${shop.at}/connection/import`, { oauthAppId, refreshToken: "nrt_canary" });
      assert.equal(body.state, "active");
      assert.equal(notion.refreshes.has("nrt_canary"), false);
      assert.ok(notion.tokens.has((await shop.token(body.id, { refresh: true })).token));
    } finally {
      await notion.stop();
    }
  });

  test("are refused where nothing was brought", async () => {
    const { status, body } = await imported({ scopes });
    assert.deepEqual([status, body.detail[0].loc], [422, ["body", "refreshToken"]]);
  });
});

describe("a service account", () => {
  const scopes = ["https://www.googleapis.com/auth/calendar"];
  let app;
  const put = (body) => shop.call("POST", `${shop.at}/connection/service-account`, { oauthAppId: app.id, scopes, key: google.serviceAccount, ...body });
  before(async () => {
    app = await shop.oauthApp(google, "google-service-account", { clientId: undefined, clientSecret: undefined });
  });
  const shown = () => JSON.parse(Buffer.from(google.of(google.TOKEN).at(-1).form.assertion.split(".")[1], "base64url").toString());

  test("is exchanged for tokens, by the key's file as the provider gives it", async () => {
    const { status, body } = await put({ uid: "robot" });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.state, body.account, body.refreshable, body.uid], ["active", google.serviceAccount.client_email, true, "robot"]);
    const { iss, sub, aud, scope, iat, exp } = shown();
    assert.deepEqual({ iss, sub, aud, scope, life: exp - iat }, { iss: google.serviceAccount.client_email, sub: undefined, aud: google.at("https://oauth2.googleapis.com/token"), scope: scopes[0], life: 3600 });
    const first = await shop.token(body.id);
    const second = await shop.token(body.id, { refresh: true });
    assert.ok(google.tokens.has(second.token));
    assert.notEqual(first.token, second.token);
    const secret = google.serviceAccount.private_key.split("\n")[1];
    assert.ok(!(await everything(postern)).includes(secret), "the key stands in the directory or in the log");
    assert.equal((await shop.disconnect(body.id)).revoked, "unsupported");
  });

  test("may speak for somebody of its domain", async () => {
    const { status, body } = await put({ subject: "ann@example.com" });
    assert.deepEqual([status, body.account], [201, "ann@example.com"]);
    assert.equal(shown().sub, "ann@example.com");
    const { token } = await shop.token(body.id);
    assert.equal(google.tokens.get(token).account.email, "ann@example.com");
  });

  test("is refused in the provider's words: without authority over the domain, for nobody, with another's key", async () => {
    google.state.delegated = false;
    const without = await put({ subject: "ann@example.com" });
    google.state.delegated = true;
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const foreign = privateKey.export({ type: "pkcs8", format: "pem" });
    for (const [refused, words] of [
      [without, /Client is unauthorized/],
      [await put({ subject: "nobody@example.com" }), /Invalid email or User ID/],
      [await put({ key: { ...google.serviceAccount, private_key: foreign } }), /Invalid JWT Signature/],
    ]) {
      assert.equal(refused.status, 422, JSON.stringify(refused.body));
      assert.deepEqual(refused.body.detail[0].loc, ["body", "key"]);
      assert.match(refused.body.detail[0].msg, words);
    }
  });

  test("whose key is none is refused without a word of it", async () => {
    const broken = google.serviceAccount.private_key.replace(/[A-Za-z]{20}/, "canary");
    for (const private_key of [broken, "canary", google.serviceAccount.private_key.replaceAll("PRIVATE", "PUBLIC")]) {
      const { status, body } = await put({ key: { ...google.serviceAccount, private_key } });
      assert.equal(status, 422, JSON.stringify(body));
      assert.ok(!JSON.stringify(body).includes("canary"));
    }
    const { body } = await put({ key: undefined });
    assert.deepEqual(body.detail[0].loc, ["body", "key"]);
  });
});

describe("connections as a whole", () => {
  let whole, mail, billing, robot, app;
  before(async () => {
    whole = await tenant(postern, "whole");
    app = await whole.oauthApp(google, "google");
    mail = (await whole.connect({ oauthAppId: app.id, label: "Mail", uid: "mail" })).id;
    billing = (await bring(whole, { provider: "openai", key: KEY, variables: { base: keys.origin }, uid: "billing" })).body.id;
    robot = (await bring(whole, { oauthAppId: (await acme(whole)).id, key: KEY })).body.id;
    await whole.call.ok("POST", `${whole.at}/connection/session`, { oauthAppId: app.id, uid: "waits" });
  });
  const listed = async (query = "") => (await whole.call.ok("GET", `${whole.at}/connection${query}`)).data.map(({ id, uid }) => uid ?? id);

  test("are listed by what they are: state, provider, app", async () => {
    await eventually(() => listed("?state=active"), (names) => names.length === 3, "three are active");
    assert.deepEqual(await listed(), ["mail", "billing", robot, "waits"]);
    assert.deepEqual(await listed("?state=pending"), ["waits"]);
    assert.deepEqual(await listed("?provider=openai"), ["billing"]);
    assert.deepEqual(await listed(`?oauth_app_id=${app.id}`), ["mail", "waits"]);
    assert.deepEqual(await listed(`?oauth_app_id=${app.id}&state=active&provider=google`), ["mail"]);
    assert.deepEqual(await listed("?state=revoked"), []);
    for (const query of ["?state=broken", "?oauth_app_id=x"]) {
      assert.equal((await whole.call("GET", `${whole.at}/connection${query}`)).status, 422, query);
    }
  });

  test("are listed by pages, both ways", async () => {
    const seen = [];
    let page = await whole.call.ok("GET", `${whole.at}/connection?limit=3`);
    seen.push(page.data.map(({ id }) => id));
    assert.equal(page.done, false);
    page = await whole.call.ok("GET", `${whole.at}/connection?limit=3&iterator=${encodeURIComponent(page.iterator)}`);
    seen.push(page.data.map(({ id }) => id));
    assert.deepEqual([seen[0], seen[1].length, page.done], [[mail, billing, robot], 1, true]);
    const back = await whole.call.ok("GET", `${whole.at}/connection?limit=3&iterator=${encodeURIComponent(page.prevIterator)}`);
    assert.deepEqual(back.data.map(({ id }) => id), seen[0]);
    assert.equal((await listed("?order=descending"))[0], "waits");
  });

  test("are found by their own name, which no two have and which can be changed", async () => {
    assert.equal((await whole.get("mail")).id, mail);
    assert.equal((await whole.test("billing")).ok, true);
    const twice = await bring(whole, { provider: "openai", key: KEY, variables: { base: keys.origin }, uid: "mail" });
    assert.equal(twice.status, 409);
    const renamed = await whole.call.ok("PATCH", whole.of(robot), { uid: "robot", label: "The robot" });
    assert.deepEqual([renamed.uid, renamed.label], ["robot", "The robot"]);
    assert.equal((await whole.get("robot")).id, robot);
    assert.equal((await whole.call("PATCH", whole.of("robot"), { uid: "billing" })).status, 409);
    assert.equal((await whole.call.ok("PATCH", whole.of("robot"), { label: null })).label, null);
    assert.equal((await shop.call("GET", shop.of(robot))).status, 404, "another tenant's");
    assert.equal((await shop.call("GET", shop.of("robot"))).status, 404);
  });

  test("are switched off, when they give no token, and on again", async () => {
    const off = await whole.call.ok("POST", whole.of(billing, "/toggle"), { enabled: false });
    assert.deepEqual([off.enabled, off.state, off.reason], [false, "active", "switched_off"]);
    const refused = await whole.call("POST", whole.of(billing, "/token"));
    assert.equal(refused.status, 409);
    assert.match(refused.body.detail, /[Ss]witched off/);
    assert.equal((await whole.call.ok("POST", whole.of(billing, "/toggle"), { enabled: false })).enabled, false);
    assert.equal((await whole.call.ok("POST", whole.of(billing, "/toggle"), { enabled: true })).enabled, true);
    assert.equal((await whole.token(billing)).token, KEY);
    assert.equal((await whole.call("POST", whole.of(billing, "/toggle"), {})).status, 422);
  });

  test("begin anew under the same name, with no secret left behind", async () => {
    const { token } = await whole.token(mail);
    assert.ok(google.tokens.has(token));
    await whole.call.ok("POST", whole.of(mail, "/reset"));
    const clean = await eventually(() => whole.get(mail), ({ state }) => state === "pending", "it is clean");
    const { uid, label, reason, account, accountKey, scopes, generation, expiresAt, refreshable, lastFour } = clean;
    assert.deepEqual(
      { uid, label, reason, account, accountKey, scopes, generation, expiresAt, refreshable, lastFour },
      { uid: "mail", label: "Mail", reason: "not_connected", account: null, accountKey: null, scopes: [], generation: null, expiresAt: null, refreshable: false, lastFour: null },
    );
    assert.equal(google.tokens.has(token), false, "revoked at the provider");
    assert.equal((await whole.call("POST", whole.of(mail, "/token"))).status, 409);
    google.state.login = "bob";
    const { page } = await whole.connect({ connectionId: mail });
    google.state.login = "ann";
    assert.match(page, /Google is connected/);
    assert.equal((await whole.get("mail")).account, "bob@example.com");

    await whole.call.ok("POST", whole.of(robot, "/reset"));
    assert.equal((await whole.get(robot)).lastFour, null);
    assert.equal((await bring(whole, { connectionId: robot, key: NEXT })).body.lastFour, "wxyz");
  });

  test("tell what happened, newest first, by pages, and by whom their tokens were read", async () => {
    const lines = await whole.history(mail);
    assert.deepEqual(lines.map(({ number }) => number), [...lines].map(({ number }) => number).sort((one, two) => two - one));
    const happened = lines.map(({ what }) => what);
    for (const what of ["connect", "revoke"]) assert.ok(happened.includes(what), `${what} in ${happened}`);
    const first = await whole.call.ok("GET", whole.of(mail, "/history?limit=1"));
    const second = await whole.call.ok("GET", whole.of(mail, `/history?limit=1&iterator=${encodeURIComponent(first.iterator)}`));
    assert.deepEqual([first.data[0].number, second.data[0].number], [lines[0].number, lines[1].number]);
    const tenants = caller(postern, postern.token({ app: whole.app }));
    assert.equal((await tenants("GET", whole.of(mail, "/history"))).status, 200);
  });

  test("end for good, leave the list, and are found where what is over is asked for", async () => {
    const { revoked, connection } = await whole.disconnect(billing);
    assert.deepEqual([revoked, connection.state, connection.lastFour], ["unsupported", "revoked", null]);
    await eventually(() => listed(), (names) => !names.includes("billing") && !names.includes(billing), "it left the list");
    assert.deepEqual(await listed("?state=revoked"), [billing]);
    assert.equal((await whole.get(billing)).state, "revoked");
    assert.equal((await whole.call("POST", whole.of(billing, "/reset"))).status, 409);
    // Its name is free again.
    assert.equal((await bring(whole, { provider: "openai", key: KEY, variables: { base: keys.origin }, uid: "billing" })).status, 201);
  });
});

test("settings of one tenant's provider are not another's", async () => {
  const other = await tenant(postern, "other");
  const { id: oauthAppId } = await acme(shop);
  const { status, body } = await bring(other, { oauthAppId, key: KEY });
  assert.deepEqual([status, body.detail[0].loc], [422, ["body", "oauthAppId"]]);
  assert.equal((await settings(shop.call, keys, "anthropic")).api.base, keys.at("https://api.anthropic.com"));
});

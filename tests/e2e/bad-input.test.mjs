// Bad input at every operation: refused whole, with what is wrong and where, and nothing half-written.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { caller, inspect } from "./api.mjs";
import { start, testSecrets } from "./harness.mjs";

const OTHER = "org_23rb8YdGqMT0qIzpgGwdXfHirMv";
let postern, api, own, other, counted, directory;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  api = caller(postern);
  own = await things("own");
  other = await things("other");
  counted = await inspect(postern, own.app);
  directory = await written();
});
after(() => postern?.stop());

async function things(name) {
  const app = (await api.ok("POST", "/api/v1/app", { name, uid: name })).id;
  const base = `/api/v1/app/${app}`;
  const endpoint = (await api.ok("POST", `${base}/endpoint`, { url: "http://127.0.0.1:9/", disabled: true })).id;
  const sink = (await api.ok("POST", `${base}/endpoint`, { type: "polling" })).id;
  const secrets = ["a key that is long enough"];
  const body = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets };
  const source = (await api.ok("POST", `${base}/source`, body)).id;
  const appLevel = (await api.ok("POST", "/api/v1/source", body)).id;
  const message = (await api.ok("POST", `${base}/msg`, { eventType: "a.b", payload: {} })).id;
  const oauthApp = (await api.ok("POST", `${base}/oauth-app`, OAUTH_APP)).id;
  const operatorApp = (await api.ok("POST", "/api/v1/oauth-app", OAUTH_APP)).id;
  const connection = (await api.ok("POST", `${base}/connection/session`, { oauthAppId: oauthApp })).connection.id;
  return { app, endpoint, sink, source, appLevel, message, oauthApp, operatorApp, connection };
}

const OAUTH_APP = { name: "GitHub", provider: "github", clientId: "a client", clientSecret: "a secret of the client's" };

/** What the directory holds, by table. */
async function written() {
  const database = await postern.database();
  const count = (table) => database.prepare(`SELECT count(*) AS n FROM ${table}`).first("n");
  const apps = await count("oauth_app");
  const connections = await count("connection");
  return { applications: await count("application"), types: await count("event_type"), apps, connections };
}

/** Every operation of the document, with a path to own things. */
async function operations() {
  const document = await (await postern.fetch("/openapi.json")).json();
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => ["get", "post", "put", "patch", "delete"].includes(method))
      .map((method) => ({ method: method.toUpperCase(), path, body: Boolean(methods[method].requestBody) })),
  );
}

const filled = (path, { app, endpoint, sink, source, appLevel, message, oauthApp, operatorApp, connection }) =>
  path
    .replace("{app_id}", app)
    .replace(/\/poller\/{(sink|endpoint)_id}/, `/poller/${sink}`)
    .replace("{consumer_id}", "worker")
    .replace("{endpoint_id}", endpoint)
    .replace("/v1/source/{source_id}", `/v1/source/${appLevel}`)
    .replace("{source_id}", source)
    .replace("/v1/oauth-app/{oauth_app_id}", `/v1/oauth-app/${operatorApp}`)
    .replace("{oauth_app_id}", oauthApp)
    .replace("{connection_id}", connection)
    .replace("{provider_id}", "github")
    .replace("{path}", "user")
    .replace("{key}", "an-account")
    .replace("{msg_id}", message)
    .replace("{event_type_name}", "no.such.type")
    .replace(/\/stats\/attempts$/, "$&?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z");

/** What every operation that starts a job, or sends something, would take. */
const job = { since: new Date(), createdBefore: new Date(), missing: true, eventType: "a.b", payload: {} };

const takesBody = ({ method, body = true }) => body && ["POST", "PUT", "PATCH"].includes(method);
const isTenants = ({ path }) => path.includes("{app_id}");
/** All but those that anybody may ask; a one-time token is an authority of its own, in the body. */
const isGuarded = ({ path }) => path.startsWith("/api/v1/") && !path.includes("/health")
  && !["/one-time-token", "/jwks.json"].some((end) => path.endsWith(end));
/** Nothing in its body is required. */
const mayBeEmpty = ({ path }) => ["/token/rotate", "/expire-all", "{endpoint_id}/secret/rotate", "/failed/redrive", "/entitlement-backfill", "/route/{key}/replay", "{connection_id}/token"].some((end) => path.endsWith(end))
  || path.includes("/app-portal-access/");

/** No answer tells what only we may know. */
function assertClean({ status, body }, what) {
  const text = JSON.stringify(body);
  assert.ok(status < 500, `${what}: ${status} ${text}`);
  assert.ok(!/\.rs:|panicked|SQLITE|stack|at async/.test(text), `${what}: ${text}`);
  if (status >= 400) {
    assert.match(body.code, /^[a-z_]+$/, what);
    assert.ok(body.detail.length > 0, what);
  }
}

test("there is a document, and it lists the operations", async () => {
  assert.ok((await operations()).length >= 30);
});

for (const [what, body] of [
  ["nothing", ""],
  ["no JSON", "{"],
  ["not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ["a list", "[]"],
  ["null", "null"],
  ["a text", '"x"'],
  ["too deep", `${"[".repeat(5000)}${"]".repeat(5000)}`],
  ["fields of wrong types", JSON.stringify(Object.fromEntries(
    ["name", "uid", "url", "eventType", "payload", "provider", "secrets", "secret", "config", "description", "disabled",
      "channels", "eventTypes", "metadata", "throttleRate", "retrySchedule", "headerNames", "overlapSeconds", "eventId", "email",
      "after", "expiry", "oldTokenExpiry", "ids", "limit", "headers", "signatures", "legacySignature", "key", "gracePeriodSeconds",
      "since", "until", "createdBefore", "dryRun", "ratePerSecond", "status", "label", "enabled", "refresh"]
      .map((name) => [name, { wrong: [1] }]).filter(([name]) => !["payload", "metadata", "config"].includes(name))
      .concat([["payload", "text"], ["metadata", 7], ["config", "text"]]),
  ))],
]) {
  test(`a body that is ${what} is refused with its place, by every operation that takes one`, async () => {
    for (const operation of (await operations()).filter(takesBody).filter(isGuarded)) {
      if (body === "" && mayBeEmpty(operation)) continue;
      if ((body === "" || what === "fields of wrong types") && /\/(resend|cancel)$/.test(operation.path)) continue; // nor read
      const path = filled(operation.path, own);
      const answer = await api(operation.method, path, body);
      assertClean(answer, `${operation.method} ${operation.path}`);
      assert.ok([400, 422].includes(answer.status), `${operation.method} ${path}: ${answer.status}`);
      if (answer.status === 422) {
        for (const fault of answer.body.detail) {
          assert.equal(fault.loc[0], "body", JSON.stringify(fault));
          assert.ok(fault.msg && fault.type, JSON.stringify(fault));
        }
      }
    }
  });
}

test("each fault has its own place", async () => {
  const body = { url: "nonsense", channels: ["a b"], throttleRate: 0, retrySchedule: [0], headerNames: "x", uid: "" };
  const { status, body: answer } = await api("POST", `/api/v1/app/${own.app}/endpoint`, body);
  assert.equal(status, 422);
  const places = new Set(answer.detail.map(({ loc }) => loc[1]));
  assert.deepEqual([...places].sort(), Object.keys(body).sort());
});

const text = (length) => "x".repeat(length);
const many = (length) => Array.from({ length }, (_, n) => `n${n}`);
const SOURCE = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: ["a key that is long enough"] };

/** Per operation: what would be taken, and values of single fields that must not be, with the places of their faults. */
const fields = [
  ["POST", "/api/v1/app", { name: "x" }, [
    [{ name: "" }, ["name"]],
    [{ name: text(257) }, ["name"]],
    [{ name: 7 }, ["name"]],
    [{ name: null }, ["name"]],
    [{ uid: "a b" }, ["uid"]],
    [{ uid: text(300) }, ["uid"]],
    [{ metadata: { a: 1, b: [] } }, ["metadata.a", "metadata.b"]],
    [{ metadata: { a: text(20_000) } }, ["metadata"]],
    [{ throttleRate: -1 }, ["throttleRate"]],
    [{ throttleRate: 1.5 }, ["throttleRate"]],
    [{ throttleRate: 1e99 }, ["throttleRate"]],
    [{ retrySchedule: [1, "2", -3] }, ["retrySchedule.1", "retrySchedule.2"]],
    [{ name: 7, uid: [], throttleRate: "x" }, ["name", "throttleRate", "uid"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/endpoint", { url: "http://127.0.0.1:9/" }, [
    [{ url: null }, ["url"]],
    [{ url: `http://127.0.0.1:9/${text(5000)}` }, ["url"]],
    [{ url: "http://127.0.0.1:9/\u0000" }, ["url"]],
    [{ description: text(5000) }, ["description"]],
    [{ eventTypes: [] }, ["eventTypes"]],
    [{ eventTypes: ["a b", "ok", "*.x"] }, ["eventTypes.0", "eventTypes.2"]],
    [{ eventTypes: [text(300)] }, ["eventTypes.0"]],
    [{ filterTypes: "a" }, ["filterTypes"]],
    [{ channels: many(11) }, ["channels"]],
    [{ channels: ["a", "a"] }, ["channels"]],
    [{ channels: [text(129)] }, ["channels.0"]],
    [{ throttleRate: 0 }, ["throttleRate"]],
    [{ throttleRate: 70_000 }, ["throttleRate"]],
    [{ disabled: "yes" }, ["disabled"]],
    [{ headers: { host: "x" } }, ["headers.host"]],
    [{ headers: { "webhook-id": "x", "a b": "x", ok: "a\nb" } }, ["headers.a b", "headers.ok", "headers.webhook-id"]],
    [{ retrySchedule: Array(21).fill(1) }, ["retrySchedule"]],
    [{ retrySchedule: [604_801] }, ["retrySchedule"]],
    [{ retrySchedule: [604_800, 604_800, 1] }, ["retrySchedule"]],
    [{ headerNames: "Both" }, ["headerNames"]],
    [{ secret: "whsec_short" }, ["secret"]],
    [{ secret: 5 }, ["secret"]],
    [{ connectionId: 7 }, ["connectionId"]],
    [{ connectionId: "of nobody" }, ["connectionId"]],
  ]],
  ["PATCH", "/api/v1/app/{app_id}/endpoint/{endpoint_id}", {}, [
    [{ connectionId: [] }, ["connectionId"]],
    [{ connectionId: "nothing-of-this-name" }, ["connectionId"]],
    [{ url: null }, ["url"]],
    [{ url: "nonsense", description: 1 }, ["description", "url"]],
    [{ throttleRate: "fast" }, ["throttleRate"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/msg", { eventType: "a.b", payload: {} }, [
    [{ eventType: "" }, ["eventType"]],
    [{ eventType: "a b" }, ["eventType"]],
    [{ eventType: "invoice.*" }, ["eventType"]],
    [{ eventType: text(257) }, ["eventType"]],
    [{ payload: null }, ["payload"]],
    [{ payload: [] }, ["payload"]],
    [{ payload: "{}" }, ["payload"]],
    [{ eventId: "" }, ["eventId"]],
    [{ eventId: text(257) }, ["eventId"]],
    [{ eventId: 17 }, ["eventId"]],
    [{ channels: [] }, ["channels"]],
    [{ channels: many(6) }, ["channels"]],
    [{ eventType: 1, channels: ["é"] }, ["channels.0", "eventType"]],
    [{ transformationsParams: { rawPayload: 1 } }, ["transformationsParams.rawPayload"]],
    [{ transformationsParams: [] }, ["transformationsParams"]],
    [{ transformationsParams: { rawPayload: "x", headers: { "content-type": "a\r\nb: c" } } }, ["transformationsParams.headers.content-type"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/source", SOURCE, [
    [{ name: text(257) }, ["name"]],
    [{ provider: "no-such" }, ["provider"]],
    [{ provider: 1 }, ["provider"]],
    [{ config: [] }, ["config"]],
    [{ config: {} }, ["config.header"]],
    [{ config: { header: "a b" } }, ["config.header"]],
    [{ config: { header: "x-key", eventId: "authorization" } }, ["config.eventId"]],
    [{ config: { header: "x-key", eventType: "/a~2" } }, ["config.eventType"]],
    [{ config: { header: "x-key", surprise: 1 } }, ["config.surprise"]],
    [{ secrets: [] }, ["secrets"]],
    [{ secrets: [""] }, ["secrets.0"]],
    [{ secrets: [1] }, ["secrets.0"]],
    [{ secrets: ["a key that is fine", " another"] }, ["secrets.1"]],
    [{ secrets: [text(2000)] }, ["secrets.0"]],
    [{ secrets: null }, ["secrets"]],
    [{ provider: "hmac", config: { header: "x-sig", algorithm: "md5" } }, ["config.algorithm"]],
    [{ provider: "hmac", config: { header: "x-sig", template: "{nothing}" } }, ["config.template"]],
    [{ provider: "standard-webhooks", config: {}, secrets: ["whsec_%%%"] }, ["secrets.0"]],
    [{ provider: "standard-webhooks", config: { publicKeys: ["nonsense"] } }, ["config.publicKeys"]],
    [{ provider: "basic", config: { username: "a:b" } }, ["config.username"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/replay", { since: "2026-08-01T12:00:00Z", status: "any" }, [
    [{ since: null }, ["since"]],
    [{ since: "yesterday", until: 7 }, ["since", "until"]],
    [{ until: "2026-08-01T12:00:00Z" }, ["until"]],
    [{ status: null }, ["status"]],
    [{ status: "pending" }, ["status"]],
    [{ endpoints: [] }, ["endpoints"]],
    [{ endpoints: many(251) }, ["endpoints"]],
    [{ endpoints: ["a", ""] }, ["endpoints.1"]],
    [{ eventTypes: ["ok", "a b"] }, ["eventTypes.1"]],
    [{ channel: "a b" }, ["channel"]],
    [{ statusCodeClass: 404 }, ["statusCodeClass"]],
    [{ ratePerSecond: 0 }, ["ratePerSecond"]],
    [{ ratePerSecond: 1001, missing: 1, dryRun: "yes" }, ["dryRun", "missing", "ratePerSecond"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay", { since: "2026-08-01T12:00:00Z" }, [
    [{ status: 4 }, ["status"]],
    [{ status: "failed" }, ["status"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive", {}, [
    [{ ids: [] }, ["ids"]],
    [{ ids: [1] }, ["ids.0"]],
  ]],
  ...["/api/v1/oauth-app", "/api/v1/app/{app_id}/oauth-app", "/api/v1/oauth-app/doctor"].map((path) => ["POST", path, OAUTH_APP, [
    [{ name: null }, ["name"]],
    [{ name: text(257), uid: "a b" }, ["name", "uid"]],
    [{ id: "oapp_nonsense" }, ["id"]],
    [{ provider: "no-such" }, ["provider"]],
    [{ provider: "oauth2" }, ["providerConfig.oauth.authorizeUrl", "providerConfig.oauth.tokenUrl"]],
    [{ providerConfig: [] }, ["providerConfig"]],
    [{ providerConfig: { surprise: 1 } }, ["providerConfig.surprise"]],
    [{ issuer: "https://issuer.example" }, ["issuer"]],
    [{ variables: { surprise: "x" } }, ["variables.surprise"]],
    [{ scopes: "repo" }, ["scopes"]],
    [{ scopes: ["repo", "a b"] }, ["scopes.1"]],
    [{ scopes: ["repo", "repo"] }, ["scopes.1"]],
    [{ scopes: many(101) }, ["scopes"]],
    [{ allScopes: "yes", enabled: 1 }, ["allScopes", "enabled"]],
    [{ returnUrls: ["https://a.example/", "http://a.example/", "https://a.example/#x"] }, ["returnUrls.1", "returnUrls.2"]],
    [{ clientId: null }, ["clientId"]],
    [{ clientId: " x" }, ["clientId"]],
    [{ clientSecret: "a secret\u0000" }, ["clientSecret"]],
    [{ provider: "resend" }, ["clientId", "clientSecret"]],
  ]]),
  ["PATCH", "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}", {}, [
    [{ provider: "slack" }, ["provider"]],
    [{ clientId: null }, ["clientId"]],
    [{ name: null, scopes: null }, ["name", "scopes"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/session", {}, [
    [{}, ["oauthAppId"]],
    [{ oauthAppId: "oapp_nonsense" }, ["oauthAppId"]],
    [{ oauthAppId: 7, label: "", uid: "a b" }, ["label", "oauthAppId", "uid"]],
    [{ connectionId: "conn_nonsense" }, ["connectionId"]],
    [{ connectionId: "x", uid: "y" }, ["uid"]],
    [{ oauthAppId: "x", scopes: [""], returnUrl: 7, variables: { a: 1 } }, ["returnUrl", "scopes.0", "variables.a"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/import", {}, [
    [{}, ["oauthAppId", "refreshToken"]],
    [{ oauthAppId: "nobody", refreshToken: "a token" }, ["refreshToken"]],
    [{ oauthAppId: "nobody", accessToken: "x", expiresAt: "tomorrow", account: "" }, ["account", "expiresAt"]],
    [{ oauthAppId: "nobody", accessToken: "x" }, ["oauthAppId"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/key", { provider: "resend", key: "re_a_key" }, [
    [{ provider: "no-such" }, ["provider"]],
    [{ provider: "github" }, ["provider"]],
    [{ key: "" }, ["key"]],
    [{ key: "a b" }, ["key"]],
    [{ key: null }, ["key"]],
    [{ provider: "twilio" }, ["user"]],
    [{ variables: { surprise: "x" } }, ["variables.surprise"]],
    [{ connectionId: "nobody" }, ["connectionId"]],
    [{ connectionId: "nobody", uid: "x" }, ["uid"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/service-account", { provider: "google-service-account", scopes: ["a"] }, [
    [{}, ["key"]],
    [{ key: {} }, ["key.client_email", "key.private_key"]],
    [{ key: { client_email: "x", private_key: "nonsense" } }, ["key.client_email", "key.private_key"]],
    [{ connectionId: "nobody", uid: "x" }, ["key", "uid"]],
    [{ key: {}, scopes: null, subject: "x" }, ["key.client_email", "key.private_key", "scopes", "subject"]],
  ]],
  ["PATCH", "/api/v1/app/{app_id}/connection/{connection_id}", {}, [
    [{ label: "", uid: "a b", enabled: null }, ["enabled", "label", "uid"]],
    [{ label: text(257) }, ["label"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/{connection_id}/toggle", {}, [
    [{}, ["enabled"]],
    [{ enabled: null }, ["enabled"]],
  ]],
  ["POST", "/api/v1/app/{app_id}/connection/{connection_id}/token", {}, [[{ refresh: "yes" }, ["refresh"]]]],
  ["POST", "/api/v1/event-type", { name: "x.y", description: "x" }, [
    [{ name: "a b" }, ["name"]],
    [{ name: text(257) }, ["name"]],
    [{ description: null }, ["description"]],
    [{ schemas: { 1: "x" } }, ["schemas"]],
    [{ featureFlag: "a b", archived: 1 }, ["archived", "featureFlag"]],
  ]],
];

for (const [method, path, good, faulty] of fields) {
  test(`${method} ${path} names the place of each fault`, async () => {
    for (const [wrong, places] of faulty) {
      const what = JSON.stringify(wrong).slice(0, 100);
      const answer = await api(method, filled(path, own), { ...good, ...wrong });
      assertClean(answer, what);
      assert.equal(answer.status, 422, `${what}: ${JSON.stringify(answer.body)}`);
      assert.equal(answer.body.code, "validation");
      assert.deepEqual(answer.body.detail.map(({ loc }) => loc.join(".")).sort(), places.map((place) => `body.${place}`), what);
      for (const secret of wrong.secrets ?? [wrong.secret, wrong.clientSecret, wrong.key, wrong.refreshToken]) {
        const shown = typeof secret === "string" && secret.trim() && JSON.stringify(answer.body).includes(secret.trim());
        assert.ok(!shown, `${what} stands in ${JSON.stringify(answer.body)}`);
      }
    }
  });
}

test("a body that is too large is 413", async () => {
  // On a connection of its own: the server answers before it has read all, and closes.
  const body = JSON.stringify({ eventType: "a.b", payload: { text: "x".repeat(3 << 20) } });
  const headers = { authorization: `Bearer ${postern.token()}`, "content-length": body.length };
  const status = await new Promise((done, failed) => {
    const to = new URL(`/api/v1/app/${own.app}/msg`, postern.url);
    const sent = request(to, { method: "POST", agent: false, headers }, (answer) => done(answer.resume().statusCode));
    sent.on("error", failed).end(body);
  });
  assert.equal(status, 413);
});

test("unknown ids, odd ids and another tenant's ids are 404", async () => {
  const flip = (id) => id.slice(0, -1) + (id.endsWith("0") ? "1" : "0");
  const unknown = Object.fromEntries(Object.entries(own).map(([noun, id]) => [noun, flip(id)]));
  const bodies = {
    endpoint: { url: "http://127.0.0.1:9/" },
    source: { name: "S", provider: "api_key", config: { header: "x-key" } },
    made: { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: ["a key that is long enough"] },
    secret: { secret: "another key, long enough" },
    headers: { headers: {} },
  };
  for (const operation of (await operations()).filter(isTenants)) {
    for (const wrong of [
      { ...unknown, app: own.app },
      { ...other, app: own.app },
      unknown,
    ]) {
      const path = filled(operation.path, wrong);
      const onlyApp = !/\{(endpoint_id|sink_id|source_id|msg_id|oauth_app_id|connection_id)\}/.test(operation.path);
      if ((onlyApp && wrong.app === own.app) || operation.method === "PUT") continue;
      const isMade = operation.path.endsWith("/source");
      const isHeaders = operation.path.endsWith("/headers");
      const kind = path.includes("secret/rotate") ? "secret" : isHeaders ? "headers" : isMade ? "made" : path.includes("/source") ? "source" : "endpoint";
      const message = { eventType: "a.b", payload: {} };
      const isOfCustomers = operation.path.endsWith("/entitlement-backfill");
      const many = { ...message, ...job, messages: [message], name: "x", after: "2026-08-01T12:00:00Z", topic: "projects/acme/topics/gmail", ...IMPORT, ...bodies[kind] };
      const given = ofConnections(operation.path, own.oauthApp) ?? (isOfCustomers ? {} : many);
      const body = takesBody(operation) ? given : undefined;
      const answer = await api(operation.method, path, body);
      assertClean(answer, `${operation.method} ${path}`);
      assert.equal(answer.status, 404, `${operation.method} ${path}: ${JSON.stringify(answer.body)}`);
    }
  }
  for (const odd of ["%00", "a%2Fb", "x".repeat(300), "%FF", "msg_", "..%2f"]) {
    const answer = await api("GET", `/api/v1/app/${odd}/msg`);
    assertClean(answer, odd);
    assert.ok([400, 404, 422].includes(answer.status), `${odd}: ${answer.status}`);
  }
});

/** A table of no endpoints. */
const IMPORT = { source: "csv", csv: "application_uid,url,secret" };

/** What an operation of apps or connections would take; none: it is no such operation. */
function ofConnections(path, oauthAppId) {
  const key = { client_email: "a@b.example", private_key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" };
  if (/\/oauth-app(\/doctor)?$/.test(path)) return OAUTH_APP;
  if (path.endsWith("/oauth-app/{oauth_app_id}")) return { name: "x" };
  if (path.endsWith("/connection/session")) return { oauthAppId };
  if (path.endsWith("/connection/import")) return { oauthAppId, accessToken: "a-token" };
  if (path.endsWith("/connection/key")) return { provider: "resend", key: "re_a_key" };
  if (path.endsWith("/connection/service-account")) return { provider: "google-service-account", key, scopes: ["a"] };
  if (path.endsWith("/connection/{connection_id}")) return { label: "x" };
  if (path.endsWith("/toggle")) return { enabled: true };
  return path.endsWith("{connection_id}/token") ? {} : undefined;
}

/** A body that the operation would take, so that nothing but the authority is wrong. */
function goodBody(operation) {
  if (!takesBody(operation)) {
    return undefined;
  }
  const { path } = operation;
  const connected = ofConnections(path, own.oauthApp);
  if (connected) return connected;
  const source = { name: "S", provider: "api_key", config: { header: "x-key" } };
  if (path.endsWith("/seek")) return { after: "2026-08-01T12:00:00Z" };
  if (path.endsWith("/import")) return IMPORT;
  if (path.endsWith("/entitlement-config")) return { enabled: true };
  if (path.endsWith("/entitlement-backfill")) return {};
  if (path.endsWith("/erase")) return { confirm: own.app };
  if (path.endsWith("/source")) return { ...source, secrets: ["a key that is long enough"] };
  if (path.endsWith("/secret/rotate")) return { secret: "another key, long enough" };
  if (path.endsWith("/diagnose")) return { headers: {} };
  if (path.endsWith("/gmail-push")) return { topic: "projects/acme/topics/gmail" };
  if (path.endsWith("/source/{source_id}/replay")) return { since: "2026-08-01T12:00:00Z" };
  if (path.includes("/source/{source_id}")) return source;
  if (path.endsWith("/headers")) return { headers: {} };
  if (path.includes("/endpoint")) return { ...job, url: "http://127.0.0.1:9/" };
  if (path.endsWith("/msg/batch")) return { messages: [{ eventType: "a.b", payload: {} }] };
  if (path.includes("/msg") || path.endsWith("/replay")) return job;
  return { name: "x.y", description: "x" };
}

test("another organisation sees and changes nothing of it, with any operation", async () => {
  const stranger = caller(postern, postern.token({ org: OTHER }));
  const ofTenants = (await operations()).filter(isTenants).filter(isGuarded);
  assert.ok(ofTenants.length >= 20);
  for (const operation of ofTenants) {
    const answer = await stranger(operation.method, filled(operation.path, own), goodBody(operation));
    assertClean(answer, operation.path);
    assert.equal(answer.status, 404, `${operation.method} ${operation.path}`);
  }
});

test("a tenant's token of another tenant sees and changes nothing of it, with any operation", async () => {
  const stranger = caller(postern, postern.token({ app: other.app }));
  for (const operation of (await operations()).filter(isTenants).filter(isGuarded)) {
    const answer = await stranger(operation.method, filled(operation.path, own), goodBody(operation));
    assertClean(answer, operation.path);
    assert.ok([403, 404].includes(answer.status), `${operation.method} ${operation.path}: ${answer.status}`);
  }
});

test("no token but the organisation's does what is the organisation's, not even its own tenant's", async () => {
  const tenant = caller(postern, postern.token({ app: own.app }));
  const ofOrganisation = (await operations()).filter(isGuarded).filter((operation) => {
    const { method, path } = operation;
    return path.startsWith("/api/v1/event-type") || path.startsWith("/api/v1/oauth-app") || path.endsWith("/create-connection-token") || path === "/api/v1/app" || (path === "/api/v1/app/{app_id}" && method !== "GET") || (/\/(import|erase|erasure)$/.test(path) && !path.endsWith("/connection/import"));
  });
  assert.ok(ofOrganisation.length >= 11);
  for (const operation of ofOrganisation) {
    const answer = await tenant(operation.method, filled(operation.path, own), goodBody(operation));
    assert.equal(answer.status, 403, `${operation.method} ${operation.path}`);
    assert.equal(answer.body.code, "forbidden");
  }
});

test("PUT makes nothing under an id, ours or another tenant's", async () => {
  const puts = [
    [`/api/v1/app/${own.app}/endpoint/${other.endpoint}`, { url: "http://127.0.0.1:9/" }],
    [`/api/v1/app/${own.app}/endpoint/${own.endpoint.replace(/.{4}$/, "0000")}`, { url: "http://127.0.0.1:9/" }],
    [`/api/v1/app/${own.app}/source/${other.source}`, { name: "S", provider: "api_key", config: { header: "x-key" } }],
    [`/api/v1/app/${own.app}/oauth-app/${other.oauthApp}`, { name: "x", clientId: "x" }],
    [`/api/v1/app/${own.app}/oauth-app/${own.operatorApp}`, { name: "x", clientId: "x" }],
    [`/api/v1/oauth-app/${own.oauthApp}`, { name: "x", clientId: "x" }],
    [`/api/v1/app/${own.app.replace(/.{4}$/, "0000")}`, { name: "x" }],
  ];
  for (const [path, body] of puts) {
    assert.equal((await api("PUT", path, body)).status, 404, path);
  }
});

test("a tenant's token reaches that tenant alone, and no operation of the organisation", async () => {
  const tenant = caller(postern, postern.token({ app: own.app }));
  assert.equal((await tenant("GET", `/api/v1/app/${own.app}/msg`)).status, 200);
  assert.equal((await tenant("GET", `/api/v1/app/${other.app}/msg`)).status, 404);
  assert.equal((await tenant("GET", "/api/v1/app")).status, 403);
  assert.equal((await tenant("POST", "/api/v1/app", { name: "x" })).status, 403);
});

test("no token, an expired one, another algorithm and another secret are 401, at every operation", async () => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = part({ sub: "org_23rb8YdGqMT0qIzpgGwdXfHirMu", exp: now + 600 });
  const signed = (header, secret, hash = "sha256") => {
    const text = `${part(header)}.${claims}`;
    return `${text}.${createHmac(hash, secret).update(text).digest("base64url")}`;
  };
  const tokens = {
    none: null,
    empty: " ",
    expired: postern.token({ now: Date.now() - 3600_000, ttl: 60 }),
    "alg none": `${part({ alg: "none", typ: "JWT" })}.${claims}.`,
    RS256: signed({ alg: "RS256", typ: "JWT" }, testSecrets.JWT_SECRET),
    HS512: signed({ alg: "HS512", typ: "JWT" }, testSecrets.JWT_SECRET, "sha512"),
    "another secret": signed({ alg: "HS256", typ: "JWT" }, "another secret of some length"),
    "cut off": postern.token().slice(0, -3),
  };
  for (const operation of (await operations()).filter(isGuarded)) {
    for (const [what, token] of Object.entries(tokens)) {
      const answer = await caller(postern, token)(operation.method, filled(operation.path, own), takesBody(operation) ? {} : undefined);
      assert.equal(answer.status, 401, `${operation.method} ${operation.path} with ${what}`);
      assert.equal(answer.body.code, "authentication_failed");
    }
  }
});

test("parameters out of range and iterators of somewhere else are refused with their place", async () => {
  const lists = ["msg", "endpoint", "source", "oauth-app", "connection", `connection/${own.connection}/history`, `connection/${own.connection}/token/read`, `attempt/msg/${own.message}`, `attempt/endpoint/${own.endpoint}`];
  for (const list of lists) {
    for (const [query, code] of [["limit=0", 422], ["limit=x", 422], ["limit=99999", 422], ["iterator=nonsense", 400]]) {
      const answer = await api("GET", `/api/v1/app/${own.app}/${list}?${query}`);
      assert.equal(answer.status, code, `${list}?${query}: ${JSON.stringify(answer.body)}`);
      if (code === 422) assert.deepEqual(answer.body.detail[0].loc, ["query", "limit"]);
    }
  }
  const answer = await api("GET", `/api/v1/app/${own.app}/msg?before=yesterday`);
  assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ["query", "before"]]);
});

test("a uid that is taken or looks like an id is refused", async () => {
  assert.equal((await api("POST", "/api/v1/app", { name: "x", uid: "own" })).status, 409);
  assert.equal((await api("POST", "/api/v1/app", { name: "x", uid: own.app })).status, 422);
});

test("an Idempotency-Key replays the answer, and refuses another body", async () => {
  for (const [path, body, otherBody] of [
    ["/api/v1/app", { name: "Idem" }, { name: "Other" }],
    [`/api/v1/app/${other.app}/msg`, { eventType: "a.b", payload: { n: 1 } }, { eventType: "a.b", payload: { n: 2 } }],
    [`/api/v1/app/${other.app}/endpoint`, { url: "http://127.0.0.1:9/" }, { url: "http://127.0.0.1:8/" }],
  ]) {
    const key = { "idempotency-key": `key of ${path}` };
    const first = await api("POST", path, body, key);
    const again = await api("POST", path, body, key);
    assert.equal(first.body.id, again.body.id, path);
    const refused = await api("POST", path, otherBody, key);
    assert.deepEqual([refused.status, refused.body.code], [422, "idempotency_key_reused"], path);
  }
});

test("an Idempotency-Key that cannot be one is refused; one of a request that failed is free", async () => {
  for (const path of ["/api/v1/app", `/api/v1/app/${own.app}/msg`]) {
    const key = { "idempotency-key": "k".repeat(257) };
    const answer = await api("POST", path, { name: "x", eventType: "a.b", payload: {} }, key);
    assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ["header", "idempotency-key"]], path);
  }
  const key = { "idempotency-key": "failed first" };
  const path = `/api/v1/app/${other.app}/msg`;
  assert.equal((await api("POST", path, { eventType: "a b", payload: {} }, key)).status, 422);
  assert.equal((await api("POST", path, { eventType: "a.b", payload: {} }, key)).status, 202);
});

test("an Idempotency-Key of one organisation, tenant or path is none of another", async () => {
  const key = { "idempotency-key": "the same everywhere" };
  const body = { eventType: "a.b", payload: {} };
  const third = await things("third");
  const first = await api.ok("POST", `/api/v1/app/${other.app}/msg`, body, key);
  const second = await api.ok("POST", `/api/v1/app/${third.app}/msg`, body, key);
  assert.notEqual(first.id, second.id);
  await api.ok("POST", `/api/v1/app/${third.app}/endpoint`, { url: "http://127.0.0.1:9/", disabled: true }, key);
  await api.ok("DELETE", `/api/v1/app/${third.app}`);
  await api.ok("DELETE", `/api/v1/oauth-app/${third.operatorApp}`);
});

test("a path that is not there is 404, and a method that it does not take 405 with those that it takes", async () => {
  for (const path of ["/", "/api", "/api/v1", "/api/v1/", "/api/v2/app", "/api/v1/app/x/y/z", "/api/v1/APP", "/in", "/test/nothing"]) {
    const answer = await api("GET", path);
    assertClean(answer, path);
    assert.equal(answer.status, 404, path);
  }
  for (const [method, path, allow] of [
    ["DELETE", "/api/v1/app", "GET, POST"],
    ["POST", `/api/v1/app/${own.app}/msg/${own.message}`, null],
    ["PATCH", `/api/v1/app/${own.app}/endpoint/${own.endpoint}/secret`, null],
    ["POST", "/health", "GET"],
  ]) {
    const answer = await api(method, path, takesBody({ method }) ? {} : undefined);
    assertClean(answer, path);
    assert.equal(answer.status, 405, `${method} ${path}`);
    assert.ok(answer.headers.get("allow"), path);
    if (allow) assert.equal(answer.headers.get("allow"), allow);
  }
});

test("nothing of all this was written", async () => {
  const now = await inspect(postern, own.app);
  assert.deepEqual([now.messages, now.lastSequence], [counted.messages, counted.lastSequence]);
  const { data } = await api.ok("GET", `/api/v1/app/${own.app}/endpoint`);
  assert.deepEqual(data.map(({ id }) => id), [own.endpoint, own.sink]);
  const sources = (await api.ok("GET", `/api/v1/app/${own.app}/source`)).data;
  assert.deepEqual(sources.map(({ id }) => id), [own.source]);
  const made = (await api.ok("GET", "/api/v1/app")).data.filter(({ name }) => name === "Idem");
  assert.deepEqual(await written(), { ...directory, applications: directory.applications + made.length });
  assert.equal(made.length, 1);
});

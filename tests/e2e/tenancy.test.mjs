// What belongs to one tenant is nobody else's: every operation of the document is asked with another's ids, by path, by
// query, by body and by iterator. The table is read when the test runs, so that an operation that is new fails here by
// its name until somebody says below how to make what its path names and what its body is.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import Stripe from "stripe";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const OTHER = "org_23rb8YdGqMT0qIzpgGwdXfHirMv";
let postern, receiver, operations, own, sibling, stranger;

before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  receiver.at("/dead").always(500);
  const document = await (await postern.fetch("/openapi.json")).json();
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters, requestBody }]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      body: Boolean(requestBody),
      query: parameters.filter((parameter) => parameter.in === "query").map((parameter) => parameter.name),
    })),
  );
  const [one, two] = [caller(postern), caller(postern, postern.token({ org: OTHER }))];
  own = { ...(await things(one, "own")), call: one };
  sibling = { ...(await things(one, "sibling")), call: one };
  stranger = { ...(await things(two, "stranger")), call: two };
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** How to make a thing for each part of a path. Two of what is listed, so that each list has a page and one behind it. */
async function things(call, name) {
  const { id: app_id } = await call.ok("POST", "/api/v1/app", { name, uid: `uid-of-${name}` });
  await call.ok("POST", "/api/v1/app", { name: `${name} two` });
  const at = `/api/v1/app/${app_id}`;
  await paid(call, at); // before there is an endpoint that would hear of it
  const { id: endpoint_id } = await call.ok("POST", `${at}/endpoint`, { url: receiver.at("/dead").url, retrySchedule: [] });
  await call.ok("POST", `${at}/endpoint`, { url: receiver.at("/alive").url });
  const { id: source_id, url } = await call.ok("POST", `${at}/source`, body("POST /api/v1/app/{app_id}/source"));
  for (let n = 1; n <= 2; n++) {
    assert.equal((await fetch(url, { method: "POST", body: "{}", headers: { "x-key": "a wrong one" } })).status, 401);
    await eventually(() => call.ok("GET", `${at}/source/${source_id}/rejected`), ({ data }) => data.length === n, "it is on record");
  }
  await call.ok("POST", `${at}/source`, body("POST /api/v1/app/{app_id}/source"));
  const event_type_name = `only.of.${name}`;
  await call.ok("POST", "/api/v1/event-type", { name: event_type_name, description: name });
  await call.ok("POST", "/api/v1/event-type", { name: `${event_type_name}.two`, description: name });
  await call.ok("POST", `${at}/msg`, { eventType: "a.b", payload: {}, eventId: `first-of-${name}` });
  const { id: msg_id } = await call.ok("POST", `${at}/msg`, { eventType: "a.b", payload: { of: name }, eventId: `event-of-${name}` });
  const list = () => call.ok("GET", `${at}/attempt/endpoint/${endpoint_id}`);
  const attempts = await eventually(list, ({ data }) => data.length === 2, "both failed attempts are on record");
  const settled = await eventually(() => inspect2(call, app_id), ({ deliveries }) => deliveries.delivered === 2, "both are delivered");
  assert.equal(settled.deliveries.failed, 2);
  const attempt_id = attempts.data.find((attempt) => attempt.msgId === msg_id).id;
  const sink_id = await made(2, () => call.ok("POST", `${at}/endpoint`, { type: "polling" }));
  // Of no event type that there is: it ends at once, and has changed nothing.
  const nothing = { since: new Date(Date.now() - 60_000), status: "failed", eventTypes: ["of.no.message"] };
  const task_id = await made(2, () => call.ok("POST", `${at}/replay`, nothing));
  await eventually(() => call.ok("GET", `/api/v1/background-task/${task_id}`), ({ status }) => status === "finished", "its task ends");
  const operational_id = await made(2, () => call.ok("POST", OPERATIONAL, { url: receiver.at("/operational").url }));
  const app_source_id = await made(2, () => call.ok("POST", APP_LEVEL, body("POST /api/v1/source")));
  const erased_id = await made(2, async () => {
    const { id } = await call.ok("POST", "/api/v1/app", { name: `${name}, erased` });
    await call.ok("POST", `/api/v1/app/${id}/erase`, { confirm: id });
    return { id };
  });
  const operator_app_id = await made(2, () => call.ok("POST", "/api/v1/oauth-app", OAUTH_APP));
  const oauth_app_id = await made(2, () => call.ok("POST", `${at}/oauth-app`, OAUTH_APP));
  const connection_id = await made(2, async () => (await call.ok("POST", `${at}/connection/session`, { oauthAppId: oauth_app_id })).connection);
  await read(call, app_id, connection_id);
  return {
    app_id, endpoint_id, source_id, msg_id, attempt_id, event_type_name, sink_id, task_id, operational_id, app_source_id, erased_id,
    operator_app_id, oauth_app_id, connection_id,
  };
}

/** Two lines of history, and two readers: nobody has connected it, so both go away with nothing, and both are on record. */
async function read(call, app, connection) {
  const at = `/api/v1/app/${app}/connection/${connection}`;
  for (const enabled of [false, true]) await call.ok("POST", `${at}/toggle`, { enabled });
  for (const name of ["one", "two"]) {
    const { token } = await call.ok("POST", `/api/v1/auth/app/${app}/create-connection-token`, { name });
    assert.equal((await caller(postern, token)("POST", `${at}/token`)).status, 409);
  }
}

/** Two customers, of whom the first has bought twice. */
async function paid(call, at) {
  await call.ok("PUT", `${at}/entitlement-config`, body("PUT /api/v1/app/{app_id}/entitlement-config"));
  const secret = "whsec_the_secret_that_stripe_shows_once";
  const { url } = await call.ok("POST", `${at}/source`, { name: "Stripe", provider: "stripe", secrets: [secret] });
  const created = Math.floor(Date.now() / 1000);
  for (const [customer, id] of [[NAMES.customer, "sub_1"], [NAMES.customer, "sub_2"], ["cus_other", "sub_3"]]) {
    const price = { id: "price_solo", product: "prod_solo" };
    const items = { data: [{ price, current_period_start: created, current_period_end: created + 86_400 }] };
    const object = { id, object: "subscription", customer, status: "active", livemode: true, metadata: {}, items };
    const payload = JSON.stringify({ id: `evt_${id}`, object: "event", type: "customer.subscription.created", created, data: { object } });
    const signature = new Stripe("sk_test_unused").webhooks.generateTestHeaderString({ payload, secret });
    const { status } = await fetch(url, { method: "POST", body: payload, headers: { "stripe-signature": signature } });
    assert.equal(status, 200);
  }
}

/** Makes so many and names the first. */
async function made(count, make) {
  const ids = [];
  while (ids.length < count) ids.push((await make()).id);
  return ids[0];
}

const inspect2 = (call, app) => call.ok("GET", `/test/app/${app}/inspect`);

const SOURCE = { name: "S", provider: "api_key", config: { header: "x-key" } };

const APP_LEVEL = "/api/v1/source";
const OPERATIONAL = "/api/v1/operational-webhook/endpoint";
const EVENT = { eventType: "a.b", payload: {} };
const URL_ONLY = { url: "http://127.0.0.1:9/" };
const SINCE = { since: "2026-01-01T00:00:00Z" };
const HOURS = { ...SINCE, until: "2026-01-02T00:00:00Z" };
/** Jobs look back 14 days at the most. */
const RECENT = { since: new Date(Date.now() - 60_000).toISOString() };
const IMPORT = { source: "postern", applications: [] };
const OAUTH_APP = { name: "GitHub", provider: "github", clientId: "a client", clientSecret: "a secret of the client's" };
const KEY = { provider: "resend", key: "re_a_key_of_somebody" };
/** Of a service account: nobody looks into the key before the connection stands. */
const KEY_FILE = { client_email: "a@b.example", private_key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" };

/** A body that would be taken, for each operation that takes one. */
const BODIES = {
  "POST /api/v1/app": { name: "x" },
  "PUT /api/v1/app/{app_id}": { name: "x" },
  "PATCH /api/v1/app/{app_id}": { name: "x" },
  "POST /api/v1/app/{app_id}/msg": { eventType: "a.b", payload: {} },
  "POST /api/v1/app/{app_id}/msg/bulk-expunge": { ids: [] },
  "POST /api/v1/app/{app_id}/msg/search": {},
  "POST /api/v1/app/{app_id}/msg/precheck/active": { eventType: "a.b" },
  "POST /api/v1/app/{app_id}/endpoint": { url: "http://127.0.0.1:9/" },
  "PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}": { url: "http://127.0.0.1:9/" },
  "PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}": { disabled: true },
  "POST /api/v1/app/{app_id}/source": { ...SOURCE, secrets: ["a key that is long enough"] },
  "PUT /api/v1/app/{app_id}/source/{source_id}": SOURCE,
  "POST /api/v1/source": { ...SOURCE, secrets: ["a key that is long enough"] },
  "PUT /api/v1/source/{source_id}": SOURCE,
  "PATCH /api/v1/source/{source_id}": { name: "x" },
  "POST /api/v1/source/{source_id}/secret/rotate": { secret: "another key, long enough" },
  "POST /api/v1/source/{source_id}/token/rotate": {},
  "POST /api/v1/source/{source_id}/diagnose": { headers: {} },
  // The sources of these tests are of another provider: their owner reads 409.
  "POST /api/v1/source/{source_id}/gmail-push": { topic: "projects/acme/topics/gmail" },
  "POST /api/v1/app/{app_id}/source/{source_id}/gmail-push": { topic: "projects/acme/topics/gmail" },
  "POST /api/v1/app/{app_id}/connection/{connection_id}/watch": { kind: "calendar" },
  "PUT /api/v1/source/{source_id}/routing": { trustUnsignedRoute: true },
  "PUT /api/v1/source/{source_id}/route/{key}": ({ app_id }) => ({ appId: app_id }),
  "POST /api/v1/source/{source_id}/route/{key}/replay": {},
  "PATCH /api/v1/app/{app_id}/source/{source_id}": { name: "x" },
  "POST /api/v1/app/{app_id}/source/{source_id}/diagnose": { headers: {} },
  "PUT /api/v1/app/{app_id}/entitlement-config": { enabled: true, plans: [{ plan: "solo", ids: ["price_solo"] }] },
  "POST /api/v1/app/{app_id}/entitlement-backfill": {},
  "POST /api/v1/app/{app_id}/source/{source_id}/secret/rotate": { secret: "another key, long enough" },
  "POST /api/v1/app/{app_id}/source/{source_id}/token/rotate": {},
  "PATCH /api/v1/app/{app_id}/alert-email": { email: "a@b.example" },
  "POST /api/v1/app/{app_id}/erase": ({ app_id }) => ({ confirm: app_id }),
  "POST /api/v1/app/{app_id}/import": IMPORT,
  "POST /api/v1/app/{app_id}/msg/batch": { messages: [EVENT] },
  "POST /api/v1/app/{app_id}/source/{source_id}/replay": { since: RECENT.since },
  "POST /api/v1/app/{app_id}/replay": { ...RECENT, status: "failed" },
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay": RECENT,
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs": { createdBefore: "2026-01-01T00:00:00Z" },
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive": RECENT,
  "PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers": { headers: { "x-a": "b" } },
  "PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers": { headers: { "x-a": "b" } },
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt": EVENT,
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/recover": RECENT,
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing": RECENT,
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate": {},
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example": { eventType: "svix.ping" },
  "POST /api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek": { after: "2026-01-01T00:00:00Z" },
  "POST /api/v1/auth/app-portal-access/{app_id}": {},
  "POST /api/v1/auth/app/{app_id}/create-message-token": { name: "x" },
  "POST /api/v1/auth/app/{app_id}/expire-all": {},
  "POST /api/v1/auth/app/{app_id}/poller/{endpoint_id}/token/rotate": {},
  "POST /api/v1/environment/import": { eventTypes: [] },
  "POST /api/v1/event-type/import/openapi": { spec: { webhooks: {} } },
  "PUT /api/v1/event-type/{event_type_name}/retry-schedule": { retrySchedule: [] },
  "POST /api/v1/import": IMPORT,
  "POST /api/v1/msg/broadcast": EVENT,
  "POST /api/v1/operational-webhook/endpoint": URL_ONLY,
  "PUT /api/v1/operational-webhook/endpoint/{endpoint_id}": URL_ONLY,
  "PUT /api/v1/operational-webhook/endpoint/{endpoint_id}/headers": { headers: { "x-a": "b" } },
  "POST /api/v1/operational-webhook/endpoint/{endpoint_id}/secret/rotate": {},
  "POST /api/v1/stats/usage/app": HOURS,
  "POST /api/v1/oauth-app": OAUTH_APP,
  "POST /api/v1/oauth-app/doctor": OAUTH_APP,
  "PUT /api/v1/oauth-app/{oauth_app_id}": { name: "GitHub", clientId: "a client" },
  "PATCH /api/v1/oauth-app/{oauth_app_id}": { name: "x" },
  "POST /api/v1/app/{app_id}/oauth-app": OAUTH_APP,
  "POST /api/v1/app/{app_id}/oauth-app/doctor": OAUTH_APP,
  "PUT /api/v1/app/{app_id}/oauth-app/{oauth_app_id}": { name: "GitHub", clientId: "a client" },
  "PATCH /api/v1/app/{app_id}/oauth-app/{oauth_app_id}": { name: "x" },
  "POST /api/v1/app/{app_id}/connection/session": ({ oauth_app_id }) => ({ oauthAppId: oauth_app_id }),
  "POST /api/v1/app/{app_id}/connection/import": ({ oauth_app_id }) => ({ oauthAppId: oauth_app_id, accessToken: "a-token" }),
  "POST /api/v1/app/{app_id}/connection/key": KEY,
  "POST /api/v1/app/{app_id}/connection/service-account": { provider: "google-service-account", key: KEY_FILE, scopes: ["a"] },
  "PATCH /api/v1/app/{app_id}/connection/{connection_id}": { label: "x" },
  "POST /api/v1/app/{app_id}/connection/{connection_id}/toggle": { enabled: false },
  "POST /api/v1/app/{app_id}/connection/{connection_id}/token": {},
  "POST /api/v1/auth/app/{app_id}/create-connection-token": { name: "x" },
  "POST /api/v1/event-type": { name: "some.type", description: "x" },
  "PUT /api/v1/event-type/{event_type_name}": { description: "x" },
  "PATCH /api/v1/event-type/{event_type_name}": { description: "x" },
};

/** What a query must have. */
const QUERIES = {
  "GET /api/v1/app/{app_id}/stats/attempts": "?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z",
};

/** What asks for things in its body: the body with another's ids, and what must come of it. */
const BY_BODY = {
  "POST /api/v1/app/{app_id}/msg/bulk-expunge": {
    body: ({ msg_id }) => ({ ids: [msg_id] }),
    holds: (answer, { msg_id }) => assert.deepEqual(answer, { status: 200, body: { results: { [msg_id]: "not-found" } } }),
  },
  "POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive": {
    body: ({ msg_id }) => ({ ids: [msg_id] }),
    holds: (answer) => refusedAt(answer, ["body", "ids", "0"]),
  },
  "POST /api/v1/app/{app_id}/source/{source_id}/replay": {
    body: ({ endpoint_id }) => ({ since: RECENT.since, endpoints: [endpoint_id] }),
    holds: (answer, _, what) => refused(answer, what),
  },
  "POST /api/v1/app/{app_id}/replay": {
    body: ({ endpoint_id }) => ({ ...RECENT, status: "failed", endpoints: [endpoint_id] }),
    holds: (answer, _, what) => refused(answer, what),
  },
  "POST /api/v1/stats/usage/app": {
    body: ({ app_id }) => ({ ...HOURS, appIds: [own.app_id, app_id, "uid-of-stranger"] }),
    // A sibling is the same organisation's, and this is the organisation's to ask.
    holds: async ({ status, body }, theirs, what) => {
      assert.equal(status, 202, what);
      const { data } = await own.call.ok("GET", `/api/v1/background-task/${body.id}`);
      const [seen, unseen] = theirs === sibling ? [[theirs.app_id], []] : [[], [theirs.app_id]];
      assert.deepEqual(data.appStats.map(({ appId }) => appId).sort(), [own.app_id, ...seen].sort());
      assert.deepEqual(body.unresolvedAppIds, [...unseen, "uid-of-stranger"]);
    },
  },
  "POST /api/v1/app/{app_id}/connection/session": {
    body: ({ oauth_app_id }) => ({ oauthAppId: oauth_app_id }),
    holds: (answer) => refusedAt(answer, ["body", "oauthAppId"]),
  },
  "POST /api/v1/app/{app_id}/connection/import": {
    body: ({ oauth_app_id }) => ({ oauthAppId: oauth_app_id, accessToken: "a-token" }),
    holds: (answer) => refusedAt(answer, ["body", "oauthAppId"]),
  },
  "POST /api/v1/app/{app_id}/connection/key": {
    body: ({ connection_id }) => ({ connectionId: connection_id, key: "a-key" }),
    holds: (answer) => refusedAt(answer, ["body", "connectionId"]),
  },
  "POST /api/v1/app/{app_id}/connection/service-account": {
    body: ({ oauth_app_id }) => ({ oauthAppId: oauth_app_id, key: KEY_FILE, scopes: ["a"] }),
    holds: (answer) => refusedAt(answer, ["body", "oauthAppId"]),
  },
  "POST /api/v1/app/{app_id}/connection/{connection_id}/watch": {
    body: ({ source_id }) => ({ kind: "gmail", sourceId: source_id }),
    holds: (answer) => refusedAt(answer, ["body", "sourceId"]),
  },
  "POST /api/v1/app/{app_id}/msg/search": { body: async (theirs) => ({ iterator: await iterator(theirs, "msg") }), holds: refusedIterator },
};

/** What takes no ids in its body. One that does belongs into BY_BODY. */
const NO_IDS_IN_BODY = new Set(Object.keys(BODIES).filter((name) => !(name in BY_BODY)));

/** Parameters of a query that name nothing; `endpoint_id` and `iterator` do, and are asked below. */
const PLAIN = new Set([
  "limit", "order", "before", "after", "since", "until", "channel", "event_types", "tag", "with_content", "status",
  "status_code_class", "get_if_exists", "include_archived", "expunge", "dry_run", "secrets", "wait", "event_type",
  "channels", "task", "application", "active", "plan", "key", "owner", "state", "provider",
]);

/**
 * Parts of a path that name nothing by themselves: a consumer is of its poller, and is there as soon as it is named; of a
 * customer everybody may ask, and hears what is known here; secrets and refused requests are numbers of their source, watches of their connection, and a key is the provider's;
 * the providers of connections are the same for everybody, and a path of the proxy is the provider's.
 */
const NAMES = { consumer_id: "reader", customer: "cus_payer", secret_id: "1", rejected_id: "1", watch_id: "1", key: "an-account", provider_id: "github", path: "user" };

/** A name is the organisation's own: PUT makes one of its own of it. */
const MAKES_ITS_OWN = new Set(["PUT /api/v1/event-type/{event_type_name}"]);

/** For everybody. */
const OPEN = new Set([
  "GET /api/v1/health", "GET /api/v1/health/ping", "GET /health", "GET /version", "GET /portal",
  "POST /api/v1/auth/one-time-token", "GET /api/v1/app/{app_id}/jwks.json",
]);

function body(name, ids) {
  assert.ok(name in BODIES, `${name} takes a body: say in BODIES which one it would take`);
  return typeof BODIES[name] === "function" ? BODIES[name](ids) : BODIES[name];
}

/** What the path names, as things() calls it: not every endpoint is one of the same kind. */
const parts = (path) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => kind(path, name)).filter((part) => !(part in NAMES));

function kind(path, part) {
  if (part === "source_id" && path.startsWith(APP_LEVEL)) return "app_source_id";
  if (part === "oauth_app_id" && path.startsWith("/api/v1/oauth-app")) return "operator_app_id";
  if (part !== "endpoint_id") return part;
  if (path.startsWith(OPERATIONAL)) return "operational_id";
  return path.includes("/poller/{endpoint_id}") ? "sink_id" : part;
}

function filled({ name, path }, ids) {
  return path.replace(/\{(\w+)\}/g, (_, named) => {
    const part = kind(path, named);
    assert.ok(part in ids || part in NAMES, `${name} has {${part}} in its path: say in things() how to make one`);
    return ids[part] ?? NAMES[part];
  });
}

const ask = async (call, operation, ids, query = QUERIES[operation.name] ?? "") => {
  const given = operation.body ? body(operation.name, ids) : undefined;
  const { status, body: answer } = await call(operation.method, filled(operation, ids) + query, given);
  return { status, body: answer };
};

function refused({ status, body }, what, statuses = [404]) {
  assert.ok(statuses.includes(status), `${what}: ${status} ${JSON.stringify(body)}`);
  assert.ok(body.code && body.detail, what);
}

function refusedAt({ status, body }, loc) {
  assert.deepEqual([status, body.detail?.[0]?.loc], [422, loc]);
}

/** A place in another's list is refused, or is a number that says nothing: only own things come of it. */
function refusedIterator({ status, body }, theirs, what) {
  if (status === 400) {
    assert.equal(body.code, "invalid_iterator", what);
    return;
  }
  assert.equal(status, 200, `${what}: ${JSON.stringify(body)}`);
  nothingOf(theirs, body, what);
}

function nothingOf(theirs, answer, what) {
  const text = JSON.stringify(answer);
  for (const id of Object.values(theirs).filter((id) => typeof id === "string")) {
    assert.ok(!text.includes(id), `${what} tells of ${id}: ${text}`);
  }
}

/** The second page of a list of theirs begins there. */
async function iterator({ call, ...ids }, path) {
  const page = await call.ok("GET", `/api/v1/app/${ids.app_id}/${path}?limit=1`);
  assert.ok(page.iterator, `${path}: there is no page, so its iterator is not asked with`);
  return page.iterator;
}

/** All that is stored of them, as far as it is told. */
async function standing() {
  const database = await postern.database();
  const rows = async (table) => (await database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()).results;
  const of = async ({ call, app_id, endpoint_id, source_id, msg_id, attempt_id, sink_id, operational_id, task_id, connection_id }) => {
    const at = `/api/v1/app/${app_id}`;
    const { messages, deliveries, attempts, rejected, lastSequence } = await inspect(postern, app_id).catch(() => inspect2(call, app_id));
    const paths = [`endpoint/${endpoint_id}`, `endpoint/${endpoint_id}/secret`, `source/${source_id}`, `msg/${msg_id}`, `msg/${msg_id}/attempt/${attempt_id}`];
    paths.push(`endpoint/${endpoint_id}/headers`, `endpoint/${sink_id}`, `poller/${sink_id}?limit=250`);
    const things = await Promise.all(paths.map((path) => call.ok("GET", `${at}/${path}`)));
    const ofOrganisation = [`${OPERATIONAL}/${operational_id}`, `${OPERATIONAL}/${operational_id}/secret`, `${OPERATIONAL}/${operational_id}/headers`];
    things.push(await call.ok("GET", `${at}/connection/${connection_id}`), await call.ok("GET", `${at}/connection/${connection_id}/history`));
    ofOrganisation.push(`/api/v1/background-task/${task_id}`, `/api/v1/auth/app/${app_id}/poller/${sink_id}/token`);
    things.push(...(await Promise.all(ofOrganisation.map((path) => call.ok("GET", path)))));
    const lists = await Promise.all(["endpoint", "source", "msg"].map((path) => call.ok("GET", `${at}/${path}?limit=250`)));
    // An object that was evicted meanwhile knows what it wrote down of a match, which is up to an hour old.
    const settled = (shown) => JSON.parse(JSON.stringify(shown, (name, value) => (name === "lastMatchedAt" ? undefined : value)));
    return { messages, deliveries, attempts, rejected, lastSequence, things: settled(things), lists: settled(lists) };
  };
  const tables = ["application", "oauth_app", "connection"];
  const directory = Object.fromEntries(await Promise.all(tables.map(async (table) => [table, await rows(table)])));
  return { directory, tenants: await Promise.all([own, sibling, stranger].map(of)) };
}

const ofTenants = () => operations.filter(({ name, path }) => path.includes("{app_id}") && !OPEN.has(name));

describe("of what is another's nothing is told and nothing changed", () => {
  let first;
  before(async () => (first = await standing()));
  after(async () => assert.deepEqual(await standing(), first, "somebody wrote"));

  test("there are operations to ask, and all are known here", () => {
    assert.ok(ofTenants().length >= 65);
    for (const operation of operations.filter(({ name }) => !OPEN.has(name))) {
      filled(operation, own);
      if (operation.body) {
        body(operation.name, own);
        assert.ok(operation.name in BY_BODY || NO_IDS_IN_BODY.has(operation.name), operation.name);
      }
      for (const name of operation.query) {
        assert.ok(PLAIN.has(name) || ["endpoint_id", "app_id", "oauth_app_id", "iterator"].includes(name), `${operation.name}?${name}: does it name a thing?`);
      }
    }
  });

  test("by path: another organisation's application, with all that is in it, is not there", async () => {
    for (const operation of ofTenants()) {
      refused(await ask(stranger.call, operation, own), operation.name);
      if (operation.name === "PUT /api/v1/app/{app_id}") continue; // a uid is the organisation's own: it makes one
      refused(await ask(stranger.call, operation, { ...own, app_id: "uid-of-own" }), `${operation.name}, by uid`);
    }
  });

  test("by path: another tenant's token reaches nothing of it", async () => {
    const call = caller(postern, postern.token({ app: sibling.app_id }));
    for (const operation of ofTenants()) {
      refused(await ask(call, operation, own), operation.name, [403, 404]);
    }
  });

  test("by path: each part that is another tenant's, or another organisation's, is not in this one", async () => {
    let asked = 0;
    for (const operation of ofTenants()) {
      for (const part of parts(operation.path).filter((part) => part !== "app_id")) {
        for (const theirs of [sibling, stranger]) {
          assert.notEqual(theirs[part], own[part]);
          const ids = { ...own, [part]: theirs[part] };
          refused(await ask(own.call, operation, ids), `${operation.name} with another's ${part}`);
          asked += 1;
        }
      }
    }
    assert.ok(asked >= 50, `${asked}`);
  });

  test("by query: another's endpoint is not found", async () => {
    const named = operations.filter(({ query }) => query.includes("endpoint_id"));
    assert.ok(named.length >= 1);
    for (const operation of named) {
      for (const theirs of [sibling, stranger]) {
        refused(await ask(own.call, operation, own, `?endpoint_id=${theirs.endpoint_id}`), operation.name);
      }
    }
  });

  test("by query: another's app narrows a list to nothing", async () => {
    const named = operations.filter(({ query }) => query.includes("oauth_app_id"));
    assert.ok(named.length >= 1);
    for (const operation of named) {
      for (const theirs of [sibling, stranger]) {
        const answer = await ask(own.call, operation, own, `?oauth_app_id=${theirs.oauth_app_id}`);
        assert.deepEqual([answer.status, answer.body.data], [200, []], operation.name);
      }
    }
  });

  test("by query: another organisation's application is none that a key could be taken from", async () => {
    const named = operations.filter(({ query }) => query.includes("app_id"));
    assert.ok(named.length >= 1);
    for (const operation of named) {
      refused(await ask(own.call, operation, own, `?app_id=${stranger.app_id}`), operation.name);
    }
  });

  test("by body: another's ids are not found", async () => {
    for (const [name, { body: make, holds }] of Object.entries(BY_BODY)) {
      const operation = operations.find((operation) => operation.name === name);
      for (const theirs of [sibling, stranger]) {
        const { status, body: answer } = await own.call(operation.method, filled(operation, own), await make(theirs));
        await holds({ status, body: answer }, theirs, name);
      }
    }
  });

  test("by body: another's connection is none that could be connected again, nor is an operator's app of somebody else's", async () => {
    const path = `/api/v1/app/${own.app_id}/connection/session`;
    for (const theirs of [sibling, stranger]) {
      refusedAt(await own.call("POST", path, { connectionId: theirs.connection_id }), ["body", "connectionId"]);
    }
    refusedAt(await own.call("POST", path, { oauthAppId: stranger.operator_app_id }), ["body", "oauthAppId"]);
  });

  test("by iterator: a place in another's list is refused, or shows own things only", async () => {
    // A backfill's differences are pages by line, and of a backfill: there is none here.
    const lists = ofTenants().filter(({ query, path }) => query.includes("iterator") && !path.endsWith("/difference"));
    assert.ok(lists.length >= 12);
    for (const operation of lists) {
      for (const theirs of [sibling, stranger]) {
        const path = filled(operation, theirs).replace(`/api/v1/app/${theirs.app_id}/`, "");
        const at = await iterator(theirs, path);
        for (const iterator of [at, `-${at}`]) {
          const answer = await ask(own.call, operation, own, `?limit=250&iterator=${encodeURIComponent(iterator)}`);
          refusedIterator(answer, theirs, operation.name);
        }
      }
    }
  });

  test("lists of an organisation hold nothing of another's, by no iterator either", async () => {
    const lists = operations.filter(({ path, query }) => !path.includes("{") && query.includes("iterator"));
    assert.ok(lists.length >= 2);
    for (const operation of lists) {
      nothingOf(own, (await ask(stranger.call, operation, stranger, "?limit=250")).body, operation.name);
      const { iterator } = (await ask(own.call, operation, own, "?limit=1")).body;
      assert.ok(iterator, operation.name);
      refusedIterator(await ask(stranger.call, operation, stranger, `?limit=250&iterator=${encodeURIComponent(iterator)}`), own, operation.name);
    }
  });
});

test("what is named in an organisation, and is another's, is not there", async () => {
  const named = operations.filter(({ path }) => parts(path).length > 0 && !path.includes("{app_id}"));
  assert.ok(named.length >= 4);
  for (const operation of named) {
    const answer = await ask(stranger.call, operation, own);
    if (MAKES_ITS_OWN.has(operation.name)) {
      assert.equal(answer.status, 201, operation.name);
      const undone = { ...operation, method: "DELETE", body: false };
      assert.equal((await ask(stranger.call, undone, own, "?expunge=true")).status, 204);
    } else {
      refused(answer, operation.name);
    }
  }
  const kept = await own.call.ok("GET", `/api/v1/event-type/${own.event_type_name}`);
  assert.equal(kept.description, "own");
});

test("the keys of a tenant's signatures are for everybody, by its id alone, and tell nothing else", async () => {
  const keys = await stranger.call.ok("GET", `/api/v1/app/${own.app_id}/jwks.json`);
  assert.deepEqual(Object.keys(keys), ["keys"]);
  nothingOf(own, keys, "jwks.json");
  refused(await stranger.call("GET", "/api/v1/app/uid-of-own/jwks.json"), "by uid");
});

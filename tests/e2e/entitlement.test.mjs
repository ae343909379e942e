// Entitlements on the real engine: Stripe's events signed with its own package become plans, and what changes is
// delivered; a Stripe and a RevenueCat of the test's own are asked again.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const SECRET = "whsec_the_secret_that_stripe_shows_once";
const KEY = "rk_test_of_the_stripe_of_the_test";
const RC_KEY = "sk_of_version_1_of_the_test";
const RC_V2_KEY = "sk_of_version_2_of_the_test";
const DAY = 86_400;
const stripe = new Stripe("sk_test_unused");
const now = () => Math.floor(Date.now() / 1000);
const PLANS = [
  { plan: "solo", ids: ["price_solo"] },
  { plan: "team", ids: ["prod_team"] },
];
let postern, receiver, api, fake, vendor;

before(async () => {
  [receiver, fake, vendor] = await Promise.all([startReceiver(), startStripe(), startRevenueCat()]);
  postern = await start({ vars: { TEST_HOOKS: "1", STRIPE_API_URL: fake.url, REVENUECAT_API_URL: vendor.url } });
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop(), fake?.stop(), vendor?.stop()]));

/** As much of Stripe's API as is asked. */
async function startStripe() {
  const seen = [];
  const customers = new Map();
  const subscriptions = [];
  const answers = []; // statuses to be given before any other answer
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://stripe");
    seen.push(request.url);
    const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (answers.length > 0) {
      return answer(answers.shift(), { error: {} });
    }
    if (request.headers.authorization !== `Bearer ${KEY}`) {
      return answer(401, { error: {} });
    }
    const [, , kind, id] = url.pathname.split("/");
    if (kind === "customers") {
      return customers.has(id) ? answer(200, customers.get(id)) : answer(404, { error: {} });
    }
    const whose = url.searchParams.get("customer");
    const every = subscriptions.filter(({ customer }) => !whose || customer === whose);
    const behind = url.searchParams.get("starting_after");
    const from = behind ? every.findIndex(({ id }) => id === behind) + 1 : 0;
    const limit = Number(url.searchParams.get("limit"));
    const expand = url.searchParams.getAll("expand[]").includes("data.customer");
    const data = every.slice(from, from + limit).map((one) => (expand ? { ...one, customer: customers.get(one.customer) } : one));
    return answer(200, { object: "list", data, has_more: from + limit < every.length });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    customers,
    subscriptions,
    answers,
    asked: (customer) => seen.filter((url) => url.startsWith("/v1/subscriptions") && url.includes(`customer=${customer}&`)).length,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** As much of RevenueCat's API as is asked: version 1 makes who is not there, and version 2 lists who is. */
async function startRevenueCat() {
  const seen = [];
  const subscribers = new Map();
  const names = new Map(); // other names
  const answers = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://revenuecat");
    seen.push(request.url);
    const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (answers.length > 0) {
      return answer(answers.shift(), { code: 7000 });
    }
    const [, version, ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (request.headers.authorization !== `Bearer ${version === "v1" ? RC_KEY : RC_V2_KEY}`) {
      return answer(401, { code: 7225 });
    }
    if (version === "v1") {
      const [, id] = rest;
      const found = subscribers.get(id) ?? subscribers.get([...names].find(([, of]) => of.includes(id))?.[0]);
      const none = { original_app_user_id: id, subscriptions: {}, non_subscriptions: {}, entitlements: {} };
      return answer(found ? 200 : 201, { request_date: new Date().toISOString(), subscriber: found ?? none });
    }
    const [, project, , id, kind] = rest;
    assert.equal(project, "proj1ab2c3d4");
    if (kind === "aliases") {
      return answer(200, { object: "list", items: [id, ...(names.get(id) ?? [])].map((id) => ({ object: "customer.alias", id })), next_page: null });
    }
    const every = [...subscribers.keys()];
    const behind = url.searchParams.get("starting_after");
    const from = behind ? every.indexOf(behind) + 1 : 0;
    const limit = Number(url.searchParams.get("limit"));
    const items = every.slice(from, from + limit).map((id) => ({ object: "customer", id }));
    return answer(200, { object: "list", items, next_page: from + limit < every.length ? "/v2/…" : null });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    subscribers,
    names,
    answers,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A tenant with its Stripe source, its rules, and an endpoint that hears what changes. */
async function tenant(rules = {}) {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Payers" });
  const path = `/api/v1/app/${app}`;
  await api.ok("PUT", `${path}/entitlement-config`, { enabled: true, plans: PLANS, ...rules });
  const source = await api.ok("POST", `${path}/source`, { name: "Stripe", provider: "stripe", secrets: [SECRET] });
  const inbox = receiver.at(`/${app}`);
  const endpoint = await api.ok("POST", `${path}/endpoint`, { url: inbox.url, eventTypes: ["entitlement.*"] });
  const { key } = await api.ok("GET", `${path}/endpoint/${endpoint.id}/secret`);
  const post = (event, secret = SECRET) => {
    const payload = JSON.stringify(event);
    const headers = { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret }) };
    return fetch(source.url, { method: "POST", body: payload, headers });
  };
  return {
    path,
    post,
    hear: async (event) => assert.equal((await post(event)).status, 200),
    get: (customer) => api.ok("GET", `${path}/entitlement/${encodeURIComponent(customer)}`),
    /** The next thing that is told, its signature checked. */
    async told(nth) {
      const request = await inbox.request(nth);
      return new Webhook(key).verify(request.text, request.headers);
    },
  };
}

let count = 0;
const subscription = (customer, status, more = {}) => ({
  id: `sub_${customer}`,
  object: "subscription",
  customer,
  status,
  livemode: true,
  cancel_at_period_end: false,
  metadata: {},
  items: {
    data: [
      {
        price: { id: "price_solo", product: "prod_solo" },
        current_period_start: now(),
        current_period_end: now() + 30 * DAY,
      },
    ],
  },
  ...more,
});
const event = (verb, object, created = now()) => ({
  id: `evt_${++count}`,
  object: "event",
  type: `customer.subscription.${verb}`,
  created,
  data: { object },
});

test("a subscription becomes a plan, its changes are delivered signed, and its end ends it", async () => {
  const { post, hear, get, told } = await tenant();
  assert.equal((await post(event("created", subscription("cus_1", "active")), "whsec_of_a_stranger")).status, 401);
  assert.deepEqual(await get("cus_1"), {
    customer: "cus_1",
    plan: null,
    active: false,
    until: null,
    state: "none",
    source: null,
    observedAt: null,
    fetchedAt: null,
    items: [],
  });

  const active = subscription("cus_1", "active");
  await hear(event("created", active));
  const granted = await get("cus_1");
  assert.deepEqual([granted.plan, granted.active, granted.state, granted.source], ["solo", true, "active", "stripe"]);
  const end = active.items.data[0].current_period_end * 1000;
  assert.equal(Date.parse(granted.items[0].periodEnd), end);
  assert.equal(Date.parse(granted.until), end + 3_600_000);
  const first = await told(1);
  assert.equal(first.type, "entitlement.changed");
  assert.deepEqual(
    [first.data.change, first.data.customer, first.data.plan, first.data.previous.plan],
    ["granted", "cus_1", "solo", null],
  );

  const team = { ...active, items: { data: [{ ...active.items.data[0], price: { id: "price_9", product: "prod_team" } }] } };
  await hear(event("updated", team, now() + 1));
  assert.deepEqual((({ data }) => [data.change, data.plan, data.previous.plan])(await told(2)), ["changed", "team", "solo"]);

  await hear(event("deleted", { ...team, status: "canceled" }, now() + 2));
  assert.deepEqual((({ data }) => [data.change, data.plan, data.state])(await told(3)), ["revoked", null, "cancelled"]);
  await hear(event("created", active, now() - 10));
  await hear(event("updated", active, now() + 3));
  assert.deepEqual((({ plan, active }) => [plan, active])(await get("cus_1")), [null, false]);
});

test("a customer is read by the name that the checkout was given, and the tenant's own by @owner", async () => {
  const { path, hear, get } = await tenant({ billingOwner: "user 1/ä" });
  const session = { id: "cs_1", object: "checkout.session", customer: "cus_2", client_reference_id: "user 1/ä" };
  await hear({ id: "evt_session", type: "checkout.session.completed", created: now(), data: { object: session } });
  await hear(event("created", subscription("cus_2", "trialing", { trial_end: now() + DAY })));
  for (const name of ["cus_2", "user 1/ä", "@owner"]) {
    const { plan, state } = await get(name);
    assert.deepEqual([plan, state], ["solo", "trialing"], name);
  }
  const { data } = await api.ok("GET", `${path}/entitlement/${encodeURIComponent("user 1/ä")}/object`);
  assert.deepEqual(data.map(({ kind, id, object }) => [kind, id, object.status]), [["subscription", "sub_cus_2", "trialing"]]);
});

test("the list pages and narrows by plan and access", async () => {
  const { path, hear } = await tenant();
  for (const [at, status] of ["active", "unpaid", "active", "canceled", "active"].entries()) {
    await hear(event("updated", subscription(`cus_l${at}`, status)));
  }
  const names = async (query) => {
    const found = [];
    for (let iterator = ""; ; ) {
      const page = await api.ok("GET", `${path}/entitlement?limit=2${query}${iterator}`);
      found.push(...page.data.map(({ customer }) => customer));
      if (page.done) {
        return found;
      }
      iterator = `&iterator=${encodeURIComponent(page.iterator)}`;
    }
  };
  assert.deepEqual(await names(""), ["cus_l0", "cus_l1", "cus_l2", "cus_l3", "cus_l4"]);
  assert.deepEqual(await names("&active=true"), ["cus_l0", "cus_l2", "cus_l4"]);
  assert.deepEqual(await names("&active=false&order=descending"), ["cus_l3", "cus_l1"]);
  assert.deepEqual(await names("&plan=team"), []);
  assert.equal((await api("GET", `${path}/entitlement?active=perhaps`)).status, 422);
});

test("rules that do not hold are refused whole, each with its place, and a key is never shown", async () => {
  const { path } = await tenant();
  const at = `${path}/entitlement-config`;
  const { status, body } = await api("PUT", at, {
    plans: [{ plan: "solo", ids: ["a"] }, { plan: "solo", ids: ["a"] }],
    pastDue: "perhaps",
    graceDays: 100,
    stripeApiKey: "pk_live_that_a_browser_may_know",
    billingOwner: "@owner",
  });
  assert.equal(status, 422);
  const places = body.detail.map(({ loc }) => loc.slice(1).join("."));
  for (const place of ["enabled", "pastDue", "stripeApiKey"]) {
    assert.ok(places.includes(place), `${place} in ${places}`);
  }
  const wrong = await api("PUT", at, { enabled: true, plans: [{ plan: "solo", ids: ["a", "a"] }], graceDays: 100 });
  assert.deepEqual(wrong.body.detail.map(({ loc }) => loc[1]), ["plans", "graceDays"]);
  const shown = await api.ok("PUT", at, { enabled: true, stripeApiKey: KEY });
  assert.equal(shown.stripeApiKeyHint, KEY.slice(-4));
  assert.deepEqual((await api.ok("PUT", at, { enabled: true })).stripeApiKeyHint, KEY.slice(-4), "left out it stays");
  assert.ok(!JSON.stringify(await api.ok("GET", at)).includes(KEY));
  assert.equal((await api.ok("PUT", at, { enabled: true, stripeApiKey: null })).stripeApiKeyHint, null);
});

test("a tenant that did not ask for it is told so, and another organisation's is not there", async () => {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Off" });
  const { status, body } = await api("GET", `/api/v1/app/${app}/entitlement/cus_1`);
  assert.deepEqual([status, body.code], [409, "conflict"]);
  assert.equal((await api.ok("GET", `/api/v1/app/${app}/entitlement-config`)).enabled, false);
  const stranger = caller(postern, postern.token({ org: `org_${"7".repeat(27)}` }));
  for (const path of ["entitlement", "entitlement/cus_1", "entitlement/cus_1/object", "entitlement-config"]) {
    assert.equal((await stranger("GET", `/api/v1/app/${app}/${path}`)).status, 404, path);
  }
});

describe("with a key of Stripe's API", { concurrency: false }, () => {
  test("what comes together is asked for once, and the answer is the truth", async () => {
    const { hear, get, told } = await tenant({ stripeApiKey: KEY });
    fake.customers.set("cus_r1", { id: "cus_r1", object: "customer", metadata: { userId: "user-r1" } });
    fake.subscriptions.push(subscription("cus_r1", "unpaid"));
    await Promise.all([1, 2, 3].map(() => hear(event("updated", subscription("cus_r1", "active")))));
    assert.equal((await told(1)).data.change, "granted");
    const { data } = await told(2);
    assert.deepEqual([data.change, data.state, data.aliases], ["revoked", "unpaid", ["user-r1"]]);
    assert.ok(data.fetchedAt);
    assert.equal(fake.asked("cus_r1"), 1);
    const judged = await get("user-r1");
    assert.deepEqual([judged.active, judged.state], [false, "unpaid"]);
    assert.ok(judged.fetchedAt && judged.items[0].eventId === null);
  });

  test("a failure is shown, tried again, and costs nobody the plan meanwhile", async () => {
    const { path, hear, get, told } = await tenant({ stripeApiKey: KEY });
    fake.customers.set("cus_r2", { id: "cus_r2", object: "customer" });
    fake.subscriptions.push(subscription("cus_r2", "active"));
    fake.answers.push(500);
    await hear(event("created", subscription("cus_r2", "active")));
    assert.equal((await told(1)).data.change, "granted");
    const config = () => api.ok("GET", `${path}/entitlement-config`);
    const { refetch } = await eventually(config, ({ refetch }) => refetch.failing === 1, "the failure is shown");
    assert.equal(refetch.error, "Stripe answered 500");
    assert.equal((await get("cus_r2")).active, true);
    await eventually(config, ({ refetch }) => refetch.waiting === 0, "it was tried again");
    assert.ok((await get("cus_r2")).fetchedAt);
    const logged = postern.logs.map(({ message }) => message).join("\n");
    assert.ok(!logged.includes(KEY));
  });

  test("a backfill is compared with a table first, and then taken, page by page", async () => {
    const { path, get, told } = await tenant({ stripeApiKey: KEY });
    fake.subscriptions.length = 0;
    const payers = Array.from({ length: 230 }, (_, at) => `cus_b${String(at).padStart(3, "0")}`);
    for (const id of payers) {
      fake.customers.set(id, { id, object: "customer", metadata: { userId: `user-${id}` } });
      fake.subscriptions.push(subscription(id, "active"));
    }
    const at = `${path}/entitlement-backfill`;
    const ended = (id) =>
      eventually(() => api.ok("GET", `/api/v1/background-task/${id}`), ({ status }) => status !== "running", "the backfill ends");
    const lines = payers.map((id, at) => (at % 2 === 0 ? `${id},solo` : `user-${id},solo`));
    lines[0] = `${payers[0]},team`;
    const csv = ["customer,plan", ...lines, "cus_who_left,solo"].join("\n");
    const dry = await api.ok("POST", at, { csv });
    assert.equal(dry.task, "entitlement.backfill");
    const { status, data } = await ended(dry.id);
    assert.deepEqual([status, data.progress.done, data.request], ["finished", 230, { provider: "stripe", dryRun: true, lines: 231 }]);
    const differences = await api.ok("GET", `${at}/${dry.id}/difference`);
    assert.deepEqual(
      differences.data.map(({ customer, expected, found }) => [customer, expected, found]),
      [
        [payers[0], "team", "solo"],
        ["cus_who_left", "solo", null],
      ],
    );
    assert.ok(differences.done);
    assert.equal((await get(payers[0])).active, false, "a dry run takes nothing");

    const { id } = await api.ok("POST", at, { dryRun: false }, { "idempotency-key": "once" });
    assert.equal((await api.ok("POST", at, { dryRun: false }, { "idempotency-key": "once" })).id, id);
    assert.equal((await ended(id)).status, "finished");
    assert.equal((await get(`user-${payers[229]}`)).plan, "solo");
    await told(230);
    const pages = fake.seen.filter((url) => url.includes("expand"));
    assert.equal(pages.length, 6, "three pages for each");
  });

  test("a backfill that Stripe refuses is stopped by hand, and a table that does not hold is refused", async () => {
    const { path } = await tenant({ stripeApiKey: "rk_test_of_another_stripe_account" });
    const at = `${path}/entitlement-backfill`;
    const { id } = await api.ok("POST", at);
    const running = () => api.ok("GET", `/api/v1/background-task/${id}`);
    const failing = await eventually(running, ({ data }) => data.error, "the failure is shown");
    assert.deepEqual([failing.status, failing.data.error], ["running", "Stripe refuses the key"]);
    assert.equal((await api("POST", at)).status, 409, "one at a time");
    const stopped = await api.ok("POST", `/api/v1/background-task/${id}/cancel`);
    assert.equal(stopped.data.cancelled, true);
    for (const body of [{ csv: "a,b\n" }, { csv: "customer,plan\n,solo\n" }, { csv: "customer,plan\n", dryRun: false }]) {
      const { status, body: said } = await api("POST", at, body);
      assert.deepEqual([status, said.detail[0].loc], [422, ["body", "csv"]]);
    }
    const { path: other } = await tenant();
    assert.equal((await api("POST", `${other}/entitlement-backfill`)).status, 409, "without a key");
  });
});

/** What version 1 says of somebody with `price_solo`, for 30 days. */
const subscriber = (user, more = {}) => ({
  original_app_user_id: user,
  entitlements: {},
  non_subscriptions: {},
  subscriptions: {
    price_solo: {
      expires_date: new Date((now() + 30 * DAY) * 1000).toISOString(),
      purchase_date: new Date().toISOString(),
      period_type: "normal",
      store: "app_store",
      is_sandbox: false,
      unsubscribe_detected_at: null,
      billing_issues_detected_at: null,
      refunded_at: null,
      ...more,
    },
  },
});

/** A tenant with its RevenueCat source, and an endpoint that hears what changes. */
async function vendored(rules = {}) {
  const keys = { revenuecatApiKey: RC_KEY, revenuecatV2ApiKey: RC_V2_KEY, revenuecatProjectId: "proj1ab2c3d4" };
  const { path, get, told } = await tenant({ ...keys, ...rules });
  const authorization = "Bearer a value that is long enough";
  const source = await api.ok("POST", `${path}/source`, { name: "RevenueCat", provider: "revenuecat", secrets: [authorization] });
  const hear = async (event) => {
    const body = JSON.stringify({ api_version: "1.0", event });
    const { status } = await fetch(source.url, { method: "POST", headers: { authorization, "content-type": "application/json" }, body });
    assert.equal(status, 200);
  };
  return { path, get, told, hear };
}

const purchase = (user, more = {}) => ({
  id: `rc_${++count}`,
  type: "INITIAL_PURCHASE",
  app_id: "app1",
  app_user_id: user,
  original_app_user_id: user,
  product_id: "price_solo",
  original_transaction_id: `tx_${user}`,
  event_timestamp_ms: Date.now(),
  expiration_at_ms: (now() + 30 * DAY) * 1000,
  environment: "PRODUCTION",
  ...more,
});

describe("with keys of RevenueCat's API", { concurrency: false }, () => {
  test("a customer of whom an event told is asked for, whatever characters the name has, and the answer is the truth", async () => {
    const { path, get, told, hear } = await vendored();
    const user = "$RCAnonymousID:1/ä";
    vendor.subscribers.set(user, subscriber(user, { refunded_at: new Date(Date.now() + 60_000).toISOString() }));
    await hear(purchase(user));
    assert.equal((await told(1)).data.change, "granted");
    const { data } = await told(2);
    assert.deepEqual([data.change, data.state, data.source], ["revoked", "cancelled", "revenuecat"]);
    assert.ok(data.fetchedAt);
    const { items } = await get(user);
    assert.deepEqual(items.map(({ id }) => id), [`tx_${user}`], "the purchase keeps its id");
    const objects = await api.ok("GET", `${path}/entitlement/${encodeURIComponent(user)}/object`);
    assert.deepEqual(objects.data.map(({ kind }) => kind), ["customer", "subscription"]);
    assert.equal(vendor.seen.filter((url) => url.startsWith("/v1/subscribers/%24RCAnonymousID%3A1%2F%C3%A4")).length, 1);
  });

  test("a failure is shown and tried again, and no key is ever shown or logged", async () => {
    const { path, get, told, hear } = await vendored();
    vendor.subscribers.set("user-f", subscriber("user-f"));
    vendor.answers.push(500);
    await hear(purchase("user-f"));
    await told(1);
    const config = () => api.ok("GET", `${path}/entitlement-config`);
    const shown = await eventually(config, ({ refetch }) => refetch.failing === 1, "the failure is shown");
    assert.equal(shown.refetch.error, "RevenueCat answered 500");
    assert.deepEqual([shown.revenuecatApiKeyHint, shown.revenuecatV2ApiKeyHint, shown.revenuecatProjectId], ["test", "test", "proj1ab2c3d4"]);
    assert.equal((await get("user-f")).active, true);
    await eventually(config, ({ refetch }) => refetch.waiting === 0, "it was tried again");
    const logged = postern.logs.map(({ message }) => message).join("\n");
    for (const key of [RC_KEY, RC_V2_KEY]) {
      assert.ok(!logged.includes(key) && !JSON.stringify(shown).includes(key));
    }
    const wrong = { revenuecatApiKey: "appl_that_an_app_knows", revenuecatV2ApiKey: 7, revenuecatProjectId: "a/b" };
    const { status, body } = await api("PUT", `${path}/entitlement-config`, { enabled: true, ...wrong });
    assert.deepEqual([status, body.detail.map(({ loc }) => loc[1])], [422, Object.keys(wrong)]);
  });

  test("a backfill is compared with a table first, and then taken, page by page and by every name", async () => {
    const { path, get, told } = await vendored();
    vendor.subscribers.clear();
    vendor.seen.length = 0;
    for (let at = 0; at < 23; at++) {
      const id = at === 0 ? "$RCAnonymousID:b" : `user-b${at}`;
      const paid = at % 2 === 0;
      vendor.subscribers.set(id, paid ? subscriber(id) : { ...subscriber(id), subscriptions: {} });
    }
    vendor.names.set("$RCAnonymousID:b", ["user-b0"]);
    const at = `${path}/entitlement-backfill`;
    const ended = (id) =>
      eventually(() => api.ok("GET", `/api/v1/background-task/${id}`), ({ status }) => status !== "running", "the backfill ends");
    const lines = Array.from({ length: 23 }, (_, at) => `user-b${at},${at % 2 === 0 ? "solo" : ""}`);
    lines[1] = "user-b1,team";
    const dry = await api.ok("POST", at, { provider: "revenuecat", csv: ["customer,plan", ...lines].join("\n") });
    const { status, data } = await ended(dry.id);
    assert.deepEqual([status, data.error, data.progress.done], ["finished", undefined, 23]);
    const differences = await api.ok("GET", `${at}/${dry.id}/difference`);
    assert.deepEqual(differences.data.map(({ customer, expected, found }) => [customer, expected, found]), [["user-b1", "team", null]]);
    assert.equal((await get("user-b2")).active, false, "a dry run takes nothing");

    const { id } = await api.ok("POST", at, { provider: "revenuecat", dryRun: false });
    assert.equal((await ended(id)).status, "finished");
    await told(12);
    for (const name of ["$RCAnonymousID:b", "user-b0", "user-b22"]) {
      assert.equal((await get(name)).plan, "solo", name);
    }
    const listed = vendor.seen.filter((url) => url.startsWith("/v2/") && !url.includes("aliases"));
    assert.equal(listed.length, 6, "three pages for each");
    assert.equal(vendor.seen.filter((url) => url.includes("aliases")).length, 24, "names of those alone who paid");
    const { status: without } = await api("POST", `${(await tenant()).path}/entitlement-backfill`, { provider: "revenuecat" });
    const { status: unknown } = await api("POST", at, { provider: "paddle" });
    assert.deepEqual([without, unknown], [409, 422]);
  });
});

describe("with connections in the place of keys", { concurrency: false }, () => {
  /** A connection by an API key to what stands at `base`; `good` answers 200 to a key that is good. */
  async function connection(path, provider, base, good, key, more = {}) {
    const { entry } = await api.ok("GET", `/api/v1/connection-provider/${provider}`);
    const { id: _, kind: __, verified: ___, ...config } = entry;
    const providerConfig = { ...config, api: { ...config.api, base }, check: { url: good }, identity: null };
    const { id: oauthAppId } = await api.ok("POST", `${path}/oauth-app`, { name: provider, provider, providerConfig });
    const made = await api.ok("POST", `${path}/connection/key`, { oauthAppId, key, ...more });
    assert.equal(made.state, "active", made.detail);
    return made;
  }
  const toStripe = (path, more) => connection(path, "stripe-key", fake.url, `${fake.url}/v1/balance`, KEY, more);
  const rules = (path, more) => api.ok("PUT", `${path}/entitlement-config`, { enabled: true, plans: PLANS, ...more });

  test("a customer is asked for with the connection's key, which is not kept twice, and a refused one is told", async () => {
    const { path, hear, get, told } = await tenant({ stripeApiKey: KEY });
    const { id } = await toStripe(path, { uid: "billing" });
    const shown = await rules(path, { stripeConnectionId: "billing" });
    assert.deepEqual([shown.stripeConnectionId, shown.stripeApiKeyHint], [id, null]);
    fake.customers.set("cus_k1", { id: "cus_k1", object: "customer" });
    fake.subscriptions.push(subscription("cus_k1", "unpaid"));
    await hear(event("updated", subscription("cus_k1", "active")));
    assert.equal((await told(1)).data.change, "granted");
    assert.equal((await told(2)).data.change, "revoked");
    assert.ok((await get("cus_k1")).fetchedAt);

    const refetch = async () => (await api.ok("GET", `${path}/entitlement-config`)).refetch;
    fake.answers.push(401);
    await hear(event("updated", subscription("cus_k1", "unpaid"), now() + 1));
    const refused = await eventually(refetch, ({ failing }) => failing === 1, "the refusal is shown");
    assert.equal(refused.error, "Stripe refuses the connection's key");
    await eventually(refetch, ({ waiting }) => waiting === 0, "it was tried again");

    await api.ok("DELETE", `${path}/connection/${id}`);
    await hear(event("updated", subscription("cus_k1", "unpaid"), now() + 2));
    const gone = await eventually(refetch, ({ failing }) => failing === 1, "that there is no key is shown");
    assert.match(gone.error, /^The connection gives no key: /);
    assert.deepEqual((await rules(path, { stripeConnectionId: null })).stripeConnectionId, null);
    await eventually(refetch, ({ waiting }) => waiting === 0, "nobody is asked");
    const logged = postern.logs.map(({ message }) => message).join("\n");
    assert.ok(!logged.includes(KEY));
  });

  test("a key of another service is never shown to Stripe", async () => {
    const { path, hear } = await tenant();
    const other = await connection(path, "revenuecat", `${vendor.url}/v2`, `${vendor.url}/v1/subscribers/x`, RC_KEY);
    await rules(path, { stripeConnectionId: other.id });
    fake.seen.length = 0;
    await hear(event("created", subscription("cus_k2", "active")));
    const refetch = async () => (await api.ok("GET", `${path}/entitlement-config`)).refetch;
    const { error } = await eventually(refetch, ({ failing }) => failing === 1, "it is shown");
    assert.equal(error, "The connection is not one to Stripe's API");
    assert.deepEqual(fake.seen, []);
  });

  test("a backfill reads by connections, at Stripe and at RevenueCat", async () => {
    const { path, get } = await tenant();
    await toStripe(path, { uid: "stripe" });
    await connection(path, "revenuecat", `${vendor.url}/v1`, `${vendor.url}/v1/subscribers/x`, RC_KEY, { uid: "v1" });
    const lists = `${vendor.url}/v2/projects/proj1ab2c3d4/customers?limit=1`;
    await connection(path, "revenuecat", `${vendor.url}/v2`, lists, RC_V2_KEY, { uid: "v2" });
    const named = { stripeConnectionId: "stripe", revenuecatConnectionId: "v1", revenuecatV2ConnectionId: "v2" };
    await rules(path, { ...named, revenuecatProjectId: "proj1ab2c3d4" });
    fake.subscriptions.length = 0;
    fake.customers.set("cus_k3", { id: "cus_k3", object: "customer" });
    fake.subscriptions.push(subscription("cus_k3", "active"));
    vendor.subscribers.clear();
    vendor.subscribers.set("user-k3", subscriber("user-k3"));
    for (const [provider, customer] of [["stripe", "cus_k3"], ["revenuecat", "user-k3"]]) {
      const { id } = await api.ok("POST", `${path}/entitlement-backfill`, { provider, dryRun: false });
      const task = () => api.ok("GET", `/api/v1/background-task/${id}`);
      const ended = await eventually(task, ({ status, data }) => status !== "running" || data.error, "the backfill ends");
      assert.deepEqual([ended.status, ended.data.error], ["finished", undefined]);
      assert.equal((await get(customer)).plan, "solo");
    }
  });

  test("what names no connection of the tenant's, or stands beside a key, is refused with its place", async () => {
    const [{ path }, { path: other }] = [await tenant({ stripeApiKey: KEY }), await tenant()];
    const theirs = await toStripe(other);
    const config = `${path}/entitlement-config`;
    const cases = [
      { stripeConnectionId: theirs.id },
      { revenuecatConnectionId: "nobody" },
      { revenuecatV2ConnectionId: "a name, perhaps" },
      { stripeConnectionId: theirs.id, stripeApiKey: KEY },
      { stripeConnectionId: 7 },
    ];
    for (const body of cases) {
      const refused = await api("PUT", config, { enabled: true, ...body });
      assert.deepEqual([refused.status, refused.body.detail?.[0].loc], [422, ["body", Object.keys(body)[0]]], JSON.stringify(body));
    }
    const stands = await api.ok("GET", config);
    assert.deepEqual([stands.stripeConnectionId, stands.stripeApiKeyHint, stands.plans.length], [null, "test", 2]);
  });
});

test("an end that no event tells of is told when it comes", async () => {
  const { hear, get, told } = await tenant();
  const ends = subscription("cus_end", "active", { cancel_at_period_end: true });
  ends.items.data[0].current_period_end = now() + 3;
  await hear(event("created", ends));
  assert.equal((await told(1)).data.change, "granted");
  const { data, timestamp } = await told(2);
  assert.deepEqual([data.change, data.plan, data.state, data.eventId], ["revoked", null, "expired", null]);
  const late = Date.parse(timestamp) - ends.items.data[0].current_period_end * 1000;
  assert.ok(late >= 0 && late < 2000, `${late} ms after the end`);
  assert.equal((await get("cus_end")).active, false);
});

test("an export has the rules, and what is known of customers; an erasure tells how much that was", async () => {
  const { path, hear } = await tenant({ stripeApiKey: KEY });
  fake.customers.set("cus_x", { id: "cus_x", object: "customer", metadata: { userId: "user-x" } });
  await hear(event("created", subscription("cus_x", "active", { metadata: { userId: "user-x" } })));
  const lines = async (query = "") => {
    const response = await fetch(`${postern.url}${path}/export${query}`, { headers: { authorization: `Bearer ${postern.token()}` } });
    return (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
  };
  const all = await lines();
  const of = (kind) => all.filter((line) => line.kind === kind).map((line) => line[kind]);
  assert.deepEqual(of("entitlementConfig").map(({ plans, stripeApiKey }) => [plans, stripeApiKey]), [[PLANS, undefined]]);
  assert.deepEqual(of("entitlement").map(({ customer, id }) => [customer, id]), [["cus_x", "sub_cus_x"]]);
  assert.deepEqual(of("entitlementAlias"), [{ alias: "user-x", source: "stripe", customer: "cus_x" }]);
  assert.ok(of("entitlementObject").some(({ kind, object }) => kind === "subscription" && object.status === "active"));
  const end = all.at(-1);
  assert.deepEqual([end.kind, end.counts.entitlement, end.counts.entitlementConfig], ["end", 1, 1]);
  const secret = (await lines("?secrets=true")).find(({ kind }) => kind === "entitlementConfig");
  assert.equal(secret.entitlementConfig.stripeApiKey, KEY);

  const app = path.split("/").at(-1);
  const erased = await api.ok("POST", `${path}/erase`, { confirm: app });
  assert.equal(erased.erased.entitlements, 1);
});

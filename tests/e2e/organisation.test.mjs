// What belongs to an organisation, and who may do what: the catalogue of event types, environments, portals' tokens and
// their end. With the official SDKs where they have the method.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

let postern, receiver, api, fresh = 0;
before(async () => {
  // Streams end at once: every operation is asked and read to its end.
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1", STREAM_SECONDS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** An organisation of its own, so that no test sees another's catalogue. */
function organisation() {
  const org = `org_${String(++fresh).padStart(27, "0")}`;
  const token = postern.token({ org });
  return { org, token, api: caller(postern, token) };
}

const application = async (api, body = {}) => api.ok("POST", "/api/v1/app", { name: "App", ...body });
const keyOf = (url) => JSON.parse(Buffer.from(new URL(url).hash.slice("#key=".length), "base64"));
const claimsOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

async function refused(answer, status, code) {
  const { status: was, body } = await answer;
  assert.equal(was, status, JSON.stringify(body));
  if (code) assert.equal(body.code, code);
  return body;
}

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    const client = (token) => new sdk.Svix(token, { serverUrl: postern.url, numRetries: 0 });
    const fails = async (call, status) => {
      const error = await call.then(() => assert.fail(`must fail with ${status}`), (error) => error);
      assert.equal(error.code, status, `${error} ${JSON.stringify(error.body)}`);
    };

    test("keeps groups and feature flags of event types, and upserts", async () => {
      const svix = client(organisation().token);
      const put = (...request) => (svix.eventType.upsert ?? svix.eventType.update).apply(svix.eventType, request);
      const made = await svix.eventType.create({ name: "a.b", description: "d", groupName: "group", featureFlags: ["beta", "eu"] });
      assert.deepEqual([made.groupName, made.featureFlags], ["group", ["beta", "eu"]]);
      const put1 = await put("a.b", { description: "e" });
      assert.deepEqual([put1.description, put1.groupName ?? null, put1.featureFlags ?? null], ["e", null, null]);
      assert.equal(+put1.createdAt, +made.createdAt);
      const patched = await svix.eventType.patch("a.b", { featureFlags: ["eu"], groupName: "other" });
      assert.deepEqual([patched.featureFlags, patched.groupName, patched.description], [["eu"], "other", "e"]);
      const put2 = await put("c.d", { description: "new" });
      assert.equal(put2.name, "c.d");
    });

    test("imports event types from an OpenAPI document, in a dry run first", async () => {
      const svix = client(organisation().token);
      const spec = {
        openapi: "3.1.0",
        webhooks: { "pet.new": { post: { description: "A pet", requestBody: { content: { "application/json": { schema: { type: "object" } } } } } } },
      };
      await svix.eventType.create({ name: "old.one", description: "d" });
      const dry = await svix.eventType.importOpenapi({ spec, dryRun: true, replaceAll: true });
      assert.deepEqual(dry.data.modified, ["old.one", "pet.new"]);
      assert.deepEqual(dry.data.toModify.map(({ name, description }) => [name, description]), [["pet.new", "A pet"]]);
      await fails(svix.eventType.get("pet.new"), 404);
      const done = await svix.eventType.importOpenapi({ specRaw: JSON.stringify(spec), replaceAll: true });
      assert.deepEqual(done.data.modified, ["old.one", "pet.new"]);
      const made = await svix.eventType.get("pet.new");
      assert.deepEqual(made.schemas, { 1: { type: "object" } });
      assert.equal((await svix.eventType.get("old.one")).archived, true);
      assert.deepEqual((await svix.eventType.importOpenapi({ spec })).data.modified, [], "nothing is left to do");
    });

    test("takes an environment elsewhere", async () => {
      const [from, to] = [organisation(), organisation()];
      const schemas = { 1: { title: "one" } };
      await client(from.token).eventType.create({ name: "a.b", description: "d", schemas, featureFlags: ["beta"], groupName: "g" });
      await client(from.token).eventType.create({ name: "gone", description: "d", archived: true });
      await from.api.ok("PUT", "/api/v1/event-type/a.b/retry-schedule", { retrySchedule: [{ secs: 7, nanos: 0 }] });
      const exported = await client(from.token).environment.export();
      assert.deepEqual([exported.version, exported.settings, exported.connectors], [1, null, []]);
      assert.ok(exported.createdAt instanceof Date);
      await client(to.token).environment.import(exported);
      const types = (exported) => exported.eventTypes.map(({ createdAt, updatedAt, ...rest }) => rest);
      assert.deepEqual(types(await client(to.token).environment.export()), types(exported));
      // The SDKs do not know a type's schedule; the export as it is on the wire takes it along.
      await to.api.ok("POST", "/api/v1/environment/import", await from.api.ok("POST", "/api/v1/environment/export"));
      const schedule = await to.api.ok("GET", "/api/v1/event-type/a.b/retry-schedule");
      assert.deepEqual(schedule, { retrySchedule: [{ secs: 7, nanos: 0 }] });
    });

    test("gets access to a portal, which sees its tenant alone, and logs out", async () => {
      const { org, token, api } = organisation();
      const [own, other] = [await application(api), await application(api)];
      const access = await client(token).authentication.appPortalAccess(own.id, { featureFlags: ["beta"], expiry: 3600, sessionId: "s-1" });
      assert.ok(access.url.startsWith(`${postern.url}/portal#key=`), access.url);
      const claims = claimsOf(access.token);
      assert.deepEqual([claims.sub, claims.org, claims.exp - claims.iat], [own.id, org, 3600]);
      const portal = client(access.token);
      assert.equal((await portal.application.get(own.id)).id, own.id);
      await portal.endpoint.create(own.id, { url: receiver.url });
      await fails(portal.application.get(other.id), 404);
      await fails(portal.application.list(), 403);
      await fails(portal.message.create(own.id, { eventType: "a.b", payload: {} }), 403);
      await portal.authentication.logout();
      await fails(portal.application.get(own.id), 401);
      await fails(client(token).authentication.logout(), 403);
    });

    test("expires all tokens of an application, or those of a session", async () => {
      const { token, api } = organisation();
      const svix = client(token).authentication;
      const app = await application(api);
      const access = async (sessionId) => (await svix.appPortalAccess(app.id, { sessionId })).token;
      const holds = async (token) => (await caller(postern, token)("GET", `/api/v1/app/${app.id}`)).status === 200;
      const [one, two, none] = [await access("one"), await access("two"), await access()];
      assert.deepEqual([await holds(one), await holds(two), await holds(none)], [true, true, true]);
      await svix.expireAll(app.id, { sessionIds: ["one", "three"] });
      assert.deepEqual([await holds(one), await holds(two), await holds(none)], [false, true, true]);
      await svix.expireAll(app.id, { expiry: 3600 });
      assert.equal(await holds(two), true, "they hold for an hour more");
      await svix.expireAll(app.id, {});
      assert.deepEqual([await holds(two), await holds(none)], [false, false]);
      assert.equal(await holds(await access("one")), true, "what is issued later holds");
    });
  });
}

describe("event types", () => {
  test("one flag and several are the same thing, in both spellings", async () => {
    const { api } = organisation();
    const one = await api.ok("POST", "/api/v1/event-type", { name: "one", description: "", featureFlag: "beta" });
    assert.deepEqual([one.featureFlag, one.featureFlags], ["beta", ["beta"]]);
    const two = await api.ok("PATCH", "/api/v1/event-type/one", { featureFlags: ["eu", "beta"] });
    assert.deepEqual([two.featureFlag, two.featureFlags], ["eu", ["eu", "beta"]]);
    const none = await api.ok("PATCH", "/api/v1/event-type/one", { featureFlag: null });
    assert.deepEqual([none.featureFlag, none.featureFlags], [null, null]);
  });

  test("PUT makes with 201 and replaces with 200; DELETE archives, and with expunge it is gone", async () => {
    const { api } = organisation();
    const put = () => api("PUT", "/api/v1/event-type/a.b", { description: "d" });
    assert.deepEqual([(await put()).status, (await put()).status], [201, 200]);
    assert.equal((await api("DELETE", "/api/v1/event-type/a.b")).status, 204);
    assert.equal((await api.ok("GET", "/api/v1/event-type/a.b")).archived, true);
    const names = async (query) => (await api.ok("GET", `/api/v1/event-type?${query}`)).data.map(({ name }) => name);
    assert.deepEqual([await names(""), await names("include_archived=true")], [[], ["a.b"]]);
    assert.equal((await api("POST", "/api/v1/event-type", { name: "a.b", description: "back" })).status, 201);
    assert.equal((await api("DELETE", "/api/v1/event-type/a.b?expunge=true")).status, 204);
    await refused(api("GET", "/api/v1/event-type/a.b"), 404);
    await refused(api("DELETE", "/api/v1/event-type/a.b"), 404);
  });

  test("a retry schedule is set, shown, kept by a PUT of the type, and taken away", async () => {
    const { api } = organisation();
    await api.ok("POST", "/api/v1/event-type", { name: "a.b", description: "" });
    const path = "/api/v1/event-type/a.b/retry-schedule";
    assert.deepEqual(await api.ok("GET", path), { retrySchedule: null });
    const schedule = { retrySchedule: [{ secs: 5, nanos: 0 }, { secs: 300, nanos: 0 }] };
    assert.deepEqual(await api.ok("PUT", path, schedule), schedule);
    await api.ok("PUT", "/api/v1/event-type/a.b", { description: "again" });
    assert.deepEqual(await api.ok("GET", path), schedule);
    assert.deepEqual(await api.ok("PUT", path, { retrySchedule: [] }), { retrySchedule: [] });
    assert.deepEqual(await api.ok("PUT", path, { retrySchedule: null }), { retrySchedule: null });
    const faults = (await refused(api("PUT", path, { retrySchedule: [{ secs: 5, nanos: 1 }, { secs: "x" }] }), 422)).detail;
    assert.deepEqual(faults.map(({ loc }) => loc.join(".")), ["body.retrySchedule.0", "body.retrySchedule.1"]);
    await refused(api("PUT", "/api/v1/event-type/none/retry-schedule", schedule), 404);
    await refused(organisation().api("GET", path), 404);
  });

  test("a failed delivery is tried again as its event type says", async () => {
    const { api } = organisation();
    const soon = [{ secs: 1, nanos: 0 }, { secs: 1, nanos: 0 }];
    await api.ok("POST", "/api/v1/event-type", { name: "a.b", description: "" });
    await api.ok("PUT", "/api/v1/event-type/a.b/retry-schedule", { retrySchedule: soon });
    const app = await application(api);
    const inbox = receiver.at("/by-type").always(500);
    await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url });
    const message = await api.ok("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: {} });
    await inbox.request(3); // the default's third try comes after five minutes
    const attempts = await eventually(
      () => api.ok("GET", `/api/v1/app/${app.id}/attempt/msg/${message.id}`),
      ({ data }) => data.length === 3,
      "three attempts",
    );
    assert.equal(attempts.data[0].nextAttempt, null, "the plan is used up");
  });

  test("while the directory cannot be read a failed delivery goes by the default, and the log says which", async () => {
    const { api } = organisation();
    const app = await application(api);
    const inbox = receiver.at("/directory-away").always(500);
    await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url });
    const database = await postern.database();
    await database.exec("DROP INDEX event_type_scheduled");
    try {
      const message = await api.ok("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: {} });
      await inbox.request(2);
      const told = postern.logs.find(({ message: line }) => line.includes("event_type_schedules_unknown"));
      assert.ok(told?.message.includes(message.id), "the log names the delivery");
    } finally {
      await database.exec("CREATE INDEX event_type_scheduled ON event_type (organisation, name) WHERE retry_schedule IS NOT NULL");
    }
  });

  test("an import that is wrong anywhere changes nothing, and says each place", async () => {
    const { api } = organisation();
    const external = { post: { requestBody: { content: { "application/json": { schema: { $ref: "https://example.com/x" } } } } } };
    const spec = { webhooks: { "good.one": { post: {} }, "b d": { post: {} }, external } };
    const answer = await refused(api("POST", "/api/v1/event-type/import/openapi", { spec }), 422);
    assert.deepEqual(answer.detail.map(({ loc }) => loc.join("/")).sort(), ["body/spec/webhooks/b d", "body/spec/webhooks/external"]);
    for (const body of [{}, { spec: {}, specRaw: "{}" }, { specRaw: "openapi: 3.1.0\nwebhooks: {}" }, { spec: {} }]) {
      await refused(api("POST", "/api/v1/event-type/import/openapi", body), 422, "validation");
    }
    assert.deepEqual((await api.ok("GET", "/api/v1/event-type?include_archived=true")).data, []);
  });

  test("a catalogue is exported as a document that imports as it was", async () => {
    const [from, to] = [organisation(), organisation()];
    const pet = { $defs: { Pet: { properties: { friend: { $ref: "#/$defs/Pet" } } } }, $ref: "#/$defs/Pet" };
    const types = [
      { name: "pet.new", description: "A pet", schemas: { 1: { title: "old" }, 2: pet }, featureFlags: ["beta"], groupName: "pets" },
      { name: "pet.gone", description: "Gone", deprecated: true },
    ];
    for (const type of types) await from.api.ok("POST", "/api/v1/event-type", type);
    const task = await from.api("POST", "/api/v1/event-type/export/openapi");
    assert.equal(task.status, 202);
    assert.match(task.body.id, /^qtask_[0-9A-Za-z]{27}$/);
    assert.equal(task.body.status, "finished");
    const database = await postern.database();
    const row = await database.prepare("SELECT organisation, state, data FROM background_task WHERE id = ?").bind(task.body.id).first();
    assert.deepEqual([row.organisation, row.state], [from.org, "finished"]);
    const spec = JSON.parse(row.data).openapi;
    const { data } = await to.api.ok("POST", "/api/v1/event-type/import/openapi", { spec });
    assert.deepEqual(data.modified, ["pet.gone", "pet.new"]);
    const imported = await to.api.ok("GET", "/api/v1/event-type/pet.new");
    assert.deepEqual(imported.schemas, { 1: pet });
    assert.deepEqual([imported.featureFlags, imported.groupName], [["beta"], "pets"]);
    assert.equal((await to.api.ok("GET", "/api/v1/event-type/pet.gone")).deprecated, true);
  });

  test("an environment that is wrong anywhere changes nothing", async () => {
    const { api } = organisation();
    const good = { name: "a.b", description: "" };
    for (const [body, place] of [
      [{ eventTypes: [good, { name: "c d", description: "" }] }, "body.eventTypes.1.name"],
      [{ eventTypes: [good, good] }, "body.eventTypes.1.name"],
      [{ eventTypes: [good], connectors: [{ name: "x" }] }, "body.connectors"],
      [{ eventTypes: [good], settings: { a: 1 } }, "body.settings"],
      [{ eventTypes: {} }, "body.eventTypes"],
    ]) {
      const answer = await refused(api("POST", "/api/v1/environment/import", body), 422);
      assert.deepEqual(answer.detail.map(({ loc }) => loc.join(".")), [place]);
    }
    assert.deepEqual((await api.ok("POST", "/api/v1/environment/export")).eventTypes, []);
    assert.equal((await api("POST", "/api/v1/environment/import", { eventTypes: [good], settings: {}, connectors: [] })).status, 204);
  });
});

/** What is posted and changes nothing of the tenant's: it asks, or says where whoever asks stands. */
const ASKS = new Set([
  "post /api/v1/app/{app_id}/msg/search",
  "post /api/v1/app/{app_id}/msg/precheck/active",
  "post /api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek",
]);

describe("a portal", () => {
  const open = async (org, app, body) => {
    const access = await org.api.ok("POST", `/api/v1/auth/app-portal-access/${app}`, body);
    return caller(postern, access.token);
  };

  test("brings its tenant along where there is none, and refuses what does not fit", async () => {
    const org = organisation();
    const path = "/api/v1/auth/app-portal-access/new-one";
    await refused(org.api("POST", path, {}), 404);
    await refused(org.api("POST", path, { application: { name: "New", uid: "another" } }), 422);
    const first = await org.api.ok("POST", path, { application: { name: "New" } });
    const second = await org.api.ok("POST", path, { application: { name: "Never used" } });
    assert.equal(claimsOf(first.token).sub, claimsOf(second.token).sub);
    assert.equal((await org.api.ok("GET", "/api/v1/app/new-one")).name, "New");
    for (const [body, place] of [
      [{ expiry: 3599 }, "expiry"],
      [{ expiry: 604_801 }, "expiry"],
      [{ capabilities: ["ManageEndpoint"] }, "capabilities"],
      [{ capabilities: ["ViewBase", "Fly"] }, "capabilities"],
      [{ sessionId: "a b" }, "sessionId"],
      [{ featureFlags: ["a b"] }, "featureFlags"],
      [{ featureFlags: ["a", "a"] }, "featureFlags"],
    ]) {
      const answer = await refused(org.api("POST", path, body), 422);
      assert.equal(answer.detail[0].loc[1], place, JSON.stringify(body));
    }
  });

  test("that may only look changes nothing and sees no secret, with any operation", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const endpoint = (await org.api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.url, disabled: true })).id;
    const message = (await org.api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: {} })).id;
    const viewer = await open(org, app, { capabilities: ["ViewBase"] });
    const readOnly = await open(org, app, { readOnly: true });
    const document = await (await postern.fetch("/openapi.json")).json();
    const seen = new Set();
    for (const [path, methods] of Object.entries(document.paths)) {
      if (!path.startsWith("/api/v1/") || path.includes("/health") || path.endsWith("/logout") || path.endsWith("/one-time-token")) continue;
      for (const method of Object.keys(methods)) {
        const filled = path.replace("{app_id}", app).replace("{endpoint_id}", endpoint).replace("{msg_id}", message).replace(/\{.*?\}/, "x");
        const body = ["post", "put", "patch"].includes(method) ? {} : undefined;
        for (const portal of [viewer, readOnly]) {
          const { status } = await portal(method.toUpperCase(), filled, body);
          if (ASKS.has(`${method} ${path}`)) {
            assert.notEqual(status, 403, `${method} ${path} only reads`);
          } else if (method !== "get" || path.includes("secret")) {
            assert.equal(status, 403, `${method} ${path}`);
          } else if (status === 200) {
            seen.add(path);
          }
        }
      }
    }
    for (const path of ["", "/endpoint", "/endpoint/{endpoint_id}", "/msg", "/msg/{msg_id}", "/attempt/msg/{msg_id}"]) {
      assert.ok(seen.has(`/api/v1/app/{app_id}${path}`), `${path} can be read: ${[...seen]}`);
    }
    assert.ok(seen.has("/api/v1/event-type") && seen.has("/api/v1/auth/whoami"));
    assert.ok(![...seen].some((path) => path.includes("/source") || path === "/api/v1/app"), `${[...seen]}`);
  });

  test("may with each capability what it says and no more", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const endpoint = (await org.api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.url })).id;
    const base = `/api/v1/app/${app}/endpoint`;
    const portal = (...more) => open(org, app, { capabilities: ["ViewBase", ...more] });
    const secretSeer = await portal("ViewEndpointSecret");
    assert.match((await secretSeer.ok("GET", `${base}/${endpoint}/secret`)).key, /^whsec_/);
    await refused(secretSeer("PATCH", `${base}/${endpoint}`, { description: "x" }), 403, "forbidden");
    const manager = await portal("ManageEndpoint");
    await manager.ok("PATCH", `${base}/${endpoint}`, { description: "x" });
    await manager.ok("GET", `${base}/${endpoint}/secret`);
    await manager.ok("DELETE", `${base}/${endpoint}`);
  });

  test("sees the event types without a flag and those of its flags", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    for (const [name, featureFlags] of [["all", undefined], ["beta", ["beta"]], ["both", ["eu", "beta"]], ["eu", ["eu"]]]) {
      await org.api.ok("POST", "/api/v1/event-type", { name, description: "", featureFlags });
    }
    const seen = async (portal) => (await portal.ok("GET", "/api/v1/event-type")).data.map(({ name }) => name);
    assert.deepEqual(await seen(org.api), ["all", "beta", "both", "eu"]);
    const beta = await open(org, app, { featureFlags: ["beta", "other"] });
    assert.deepEqual(await seen(beta), ["all", "beta", "both"]);
    assert.equal((await beta("GET", "/api/v1/event-type/both")).status, 200);
    await refused(beta("GET", "/api/v1/event-type/eu"), 404);
    assert.deepEqual(await seen(await open(org, app, {})), ["all"]);
    const pages = [];
    for (let iterator = "", done = false; !done; ) {
      const page = await beta.ok("GET", `/api/v1/event-type?limit=1&iterator=${iterator}`);
      pages.push(...page.data.map(({ name }) => name));
      ({ iterator, done } = page);
    }
    assert.deepEqual(pages, ["all", "beta", "both"]);
    await refused(caller(postern, postern.token({ app, org: org.org }))("GET", "/api/v1/event-type"), 403);
  });

  test("is entered once with what its link carries", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const { url } = await org.api.ok("POST", `/api/v1/auth/app-portal-access/${app}`, { capabilities: ["ViewBase"], sessionId: "s", expiry: 7200 });
    const { appId, oneTimeToken } = keyOf(url);
    assert.equal(appId, app);
    await refused(caller(postern, oneTimeToken)("GET", `/api/v1/app/${app}`), 401);
    const nobody = caller(postern, null);
    const exchange = () => nobody("POST", "/api/v1/auth/one-time-token", { oneTimeToken });
    const answers = await Promise.all([exchange(), exchange(), exchange()]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401]);
    const { token, capabilities } = answers.find(({ status }) => status === 200).body;
    assert.deepEqual(capabilities, ["ViewBase"]);
    const who = await caller(postern, token).ok("GET", "/api/v1/auth/whoami");
    assert.deepEqual(who, { envId: org.org, appId: app, permissionSource: "SvixJwt", sessionId: "s" });
    const left = claimsOf(token).exp - claimsOf(oneTimeToken).exp;
    assert.ok(left <= 0 && left > -60, `it ends with the link: ${left}`);
    await refused(exchange(), 401, "authentication_failed");
    for (const oneTimeToken of ["", "x", token, org.token]) {
      await refused(nobody("POST", "/api/v1/auth/one-time-token", { oneTimeToken }), 401);
    }
    for (const body of [{}, { oneTimeToken: 7 }, ""]) {
      await refused(nobody("POST", "/api/v1/auth/one-time-token", body), 422, "validation");
    }
  });

  test("whose tokens were expired is not entered with a link of before", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const { url } = await org.api.ok("POST", `/api/v1/auth/app-portal-access/${app}`, {});
    await org.api.ok("POST", `/api/v1/auth/app/${app}/expire-all`, {});
    await refused(api("POST", "/api/v1/auth/one-time-token", { oneTimeToken: keyOf(url).oneTimeToken }), 401);
  });

  test("has no page yet and says so", async () => {
    const answer = await postern.fetch("/portal");
    assert.equal(answer.status, 501);
    assert.equal((await answer.json()).code, "not_implemented");
  });
});

describe("a token", () => {
  test("says whose it is", async () => {
    const org = organisation();
    const who = await org.api.ok("GET", "/api/v1/auth/whoami");
    assert.deepEqual(who, { envId: org.org, appId: null, permissionSource: "SvixJwt", sessionId: null });
  });

  test("for messages publishes to its tenant and does nothing else", async () => {
    const org = organisation();
    const [own, other] = [await application(org.api), await application(org.api)];
    const made = await org.api.ok("POST", `/api/v1/auth/app/${own.id}/create-message-token`, { name: "edge", expiry: 600 });
    assert.deepEqual([made.name, made.scopes], ["edge", ["message:create"]]);
    assert.ok(made.id && made.createdAt < made.expiresAt);
    const publisher = caller(postern, made.token);
    const message = { eventType: "a.b", payload: {} };
    assert.equal((await publisher("POST", `/api/v1/app/${own.id}/msg`, message)).status, 202);
    await refused(publisher("POST", `/api/v1/app/${other.id}/msg`, message), 404);
    await refused(publisher("POST", "/api/v1/app/brought/msg", { ...message, application: { name: "x" } }), 403);
    for (const path of [`/api/v1/app/${own.id}`, `/api/v1/app/${own.id}/msg`, `/api/v1/app/${own.id}/endpoint`, "/api/v1/event-type"]) {
      await refused(publisher("GET", path), 403, "forbidden");
    }
    await org.api.ok("POST", `/api/v1/auth/app/${own.id}/expire-all`, {});
    await refused(publisher("POST", `/api/v1/app/${own.id}/msg`, message), 401);
    await refused(org.api("POST", `/api/v1/auth/app/${own.id}/create-message-token`, {}), 422);
    await refused(organisation().api("POST", `/api/v1/auth/app/${own.id}/create-message-token`, { name: "x" }), 404);
  });

  test("of a tenant that the operator signed is ended like any other", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const now = Date.now() - 5_000;
    const [first, second] = [600, 601].map((ttl) => caller(postern, postern.token({ app, org: org.org, ttl, now })));
    await first.ok("POST", "/api/v1/auth/logout");
    await refused(first("GET", `/api/v1/app/${app}`), 401);
    await second.ok("GET", `/api/v1/app/${app}`);
    await org.api.ok("POST", `/api/v1/auth/app/${app}/expire-all`);
    await refused(second("GET", `/api/v1/app/${app}`), 401);
    await org.api.ok("GET", `/api/v1/app/${app}`);
  });

  test("of a tenant is not believed while it cannot be told whether it was revoked; the organisation's is", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const { token } = await org.api.ok("POST", `/api/v1/auth/app-portal-access/${app}`, {});
    const database = await postern.database();
    await database.exec("ALTER TABLE revocation RENAME TO revocation_away");
    try {
      await refused(caller(postern, token)("GET", `/api/v1/app/${app}`), 503, "overloaded");
      await org.api.ok("GET", `/api/v1/app/${app}`);
    } finally {
      await database.exec("ALTER TABLE revocation_away RENAME TO revocation");
    }
    await caller(postern, token).ok("GET", `/api/v1/app/${app}`);
  });

  test("that is expired again and again leaves no pile, and what has expired is dropped by the clock", async () => {
    const org = organisation();
    const app = (await application(org.api)).id;
    const expire = (body) => org.api.ok("POST", `/api/v1/auth/app/${app}/expire-all`, body);
    for (let n = 0; n < 5; n++) await expire({ sessionIds: ["a"] });
    for (let n = 0; n < 5; n++) await expire({});
    const database = await postern.database();
    const rows = async () => (await database.prepare("SELECT kind FROM revocation WHERE application = ?").bind(app).all()).results.map(({ kind }) => kind);
    assert.deepEqual((await rows()).sort(), ["all", "session"]);
    await database.prepare("UPDATE revocation SET expires_at = 1 WHERE application = ? AND kind = 'session'").bind(app).run();
    await postern.cron();
    assert.deepEqual(await rows(), ["all"]);
  });

  test("is revoked by nobody else's organisation", async () => {
    const [org, stranger] = [organisation(), organisation()];
    const app = (await application(org.api)).id;
    await refused(stranger.api("POST", `/api/v1/auth/app/${app}/expire-all`, {}), 404);
    await refused(stranger.api("POST", `/api/v1/auth/app-portal-access/${app}`, {}), 404);
    const body = await refused(org.api("POST", `/api/v1/auth/app/${app}/expire-all`, { expiry: 259_201, sessionIds: ["a b"] }), 422);
    assert.deepEqual(body.detail.map(({ loc }) => loc.join(".")), ["body.expiry", "body.sessionIds.0"]);
  });
});

describe("an application", () => {
  test("keeps its messages as long as it says, from 1 to 90 days", async () => {
    const org = organisation();
    const app = await application(org.api, { retentionDays: 7 });
    const path = `/api/v1/app/${app.id}`;
    assert.equal(app.retentionDays, 7);
    assert.equal((await org.api.ok("PATCH", path, { name: "Other" })).retentionDays, 7);
    assert.equal((await org.api.ok("PATCH", path, { retentionDays: 90 })).retentionDays, 90);
    assert.equal((await org.api.ok("PATCH", path, { retentionDays: null })).retentionDays, null);
    for (const retentionDays of [0, 91, 1.5, "7"]) {
      const answer = await refused(org.api("PATCH", path, { retentionDays }), 422);
      assert.deepEqual(answer.detail[0].loc, ["body", "retentionDays"]);
    }
    assert.equal((await org.api.ok("GET", "/api/v1/app")).data[0].retentionDays, null);
  });

  test("is patched field by field: what is not named stays, null clears, metadata is replaced whole", async () => {
    const org = organisation();
    const app = await application(org.api, { uid: "own", throttleRate: 5, metadata: { a: "1", b: "2" } });
    await application(org.api, { uid: "taken" });
    const path = `/api/v1/app/${app.id}`;
    const patched = await org.api.ok("PATCH", path, { metadata: { c: "3" } });
    assert.deepEqual([patched.uid, patched.throttleRate, patched.metadata, patched.name], ["own", 5, { c: "3" }, "App"]);
    assert.equal((await org.api.ok("PATCH", path, { rateLimit: 6 })).throttleRate, 6);
    const cleared = await org.api.ok("PATCH", path, { uid: null, throttleRate: null });
    assert.deepEqual([cleared.uid, cleared.throttleRate, cleared.metadata], [null, null, { c: "3" }]);
    await refused(org.api("PATCH", path, { uid: "taken" }), 409, "conflict");
    await refused(org.api("PUT", path, { name: "x", uid: "taken" }), 409, "conflict");
    for (const body of [{ name: null }, { metadata: null }, { name: "" }, { metadata: { a: 1 } }]) {
      await refused(org.api("PATCH", path, body), 422, "validation");
    }
    assert.deepEqual((await org.api.ok("GET", path)).metadata, { c: "3" });
  });

  test("is listed in the order it was made, either way", async () => {
    const org = organisation();
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push((await application(org.api)).id);
    const listed = async (query) => (await org.api.ok("GET", `/api/v1/app?${query}`)).data.map(({ id }) => id);
    const up = await listed("order=ascending");
    assert.deepEqual([...up].sort(), [...ids].sort());
    assert.deepEqual(await listed("order=descending"), up.toReversed());
  });
});

test("a payload may be kept for a shorter time than its message, within bounds", async () => {
  const org = organisation();
  const app = await application(org.api);
  const path = `/api/v1/app/${app.id}/msg`;
  const message = { eventType: "a.b", payload: {} };
  for (const more of [{ payloadRetentionPeriod: 5 }, { payloadRetentionPeriod: 90 }, { payloadRetentionHours: 1 }, { payloadRetentionPeriod: null }]) {
    assert.equal((await org.api("POST", path, { ...message, ...more })).status, 202, JSON.stringify(more));
  }
  for (const [name, value] of [["payloadRetentionPeriod", 4], ["payloadRetentionPeriod", 91], ["payloadRetentionHours", 0], ["payloadRetentionHours", 2161]]) {
    const answer = await refused(org.api("POST", path, { ...message, [name]: value }), 422);
    assert.deepEqual(answer.detail[0].loc, ["body", name]);
  }
});

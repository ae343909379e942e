// Gmail's way to a source: with a service account it is made, step by step; without one it is told how.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller } from "./api.mjs";
import { start } from "./harness.mjs";
import { startGoogle } from "./stand-in/google.mjs";

const TOPIC = "projects/acme/topics/gmail";
const SCOPE = "https://www.googleapis.com/auth/pubsub";
const GMAIL = "serviceAccount:gmail-api-push@system.gserviceaccount.com";
const PUSHES_AS = "push@acme.iam.gserviceaccount.com";
const SOURCE = { name: "Gmail", provider: "pubsub", config: { audience: "https://hooks.example", email: PUSHES_AS } };
let postern, google, api, app, source, connection;

const connect = (scopes) =>
  api.ok("POST", `/api/v1/app/${app.id}/connection/service-account`, { oauthAppId: "service", key: google.serviceAccount, scopes });

before(async () => {
  google = await startGoogle();
  postern = await start();
  api = caller(postern);
  const at = (url) => google.at(url);
  const oauth = { tokenUrl: at("https://oauth2.googleapis.com/token") };
  const bases = { pubsub: at("https://pubsub.googleapis.com") };
  await api.ok("POST", "/api/v1/oauth-app", {
    name: "Service", uid: "service", provider: "google-service-account", providerConfig: { oauth, api: { base: at("https://www.googleapis.com"), bases } },
  });
  app = await api.ok("POST", "/api/v1/app", { name: "Shop" });
  source = await api.ok("POST", `/api/v1/app/${app.id}/source`, SOURCE);
  connection = await connect([SCOPE]);
});
after(() => Promise.all([postern?.stop(), google?.stop()]));

const path = () => `/api/v1/app/${app.id}/source/${source.id}/gmail-push`;
const make = (more = {}) => api.ok("POST", path(), { topic: TOPIC, connectionId: connection.id, ...more });
const states = ({ steps }) => steps.map(({ name, state }) => `${name} ${state}`);

describe("without a connection", () => {
  test("the commands are told, and nobody is asked", async () => {
    const asked = google.seen.length;
    const told = await api.ok("POST", path(), { topic: TOPIC });
    assert.equal(told.ready, false);
    assert.deepEqual(states(told), ["topic unknown", "publisher unknown", "subscription unknown"]);
    assert.equal(told.pushEndpoint, source.url);
    const [, topic, right, subscription] = told.commands;
    assert.equal(topic, `gcloud pubsub topics create ${TOPIC}`);
    assert.match(right, new RegExp(`--member=${GMAIL} --role=roles/pubsub.publisher$`));
    assert.ok(subscription.includes(`--push-endpoint=${source.url} --push-auth-service-account=${PUSHES_AS} --push-auth-token-audience=https://hooks.example`));
    assert.equal(google.seen.length, asked);
  });
});

describe("with a service account", () => {
  test("a dry run says what is missing and makes nothing", async () => {
    const told = await make({ dryRun: true });
    assert.deepEqual(states(told), ["topic missing", "publisher missing", "subscription missing"]);
    assert.equal(google.topics.size + google.policies.size + google.subscriptions.size, 0);
  });

  test("what is missing is made, and stands the second time", async () => {
    const made = await make();
    assert.deepEqual(states(made), ["topic made", "publisher made", "subscription made"]);
    assert.equal(made.ready, true);
    assert.deepEqual([...google.topics.keys()], [TOPIC]);
    assert.deepEqual(google.policies.get(TOPIC).bindings, [{ role: "roles/pubsub.publisher", members: [GMAIL] }]);
    const subscription = google.subscriptions.get(made.subscription);
    assert.equal(subscription.topic, TOPIC);
    assert.deepEqual(subscription.pushConfig, { pushEndpoint: source.url, oidcToken: { serviceAccountEmail: PUSHES_AS, audience: "https://hooks.example" } });
    assert.deepEqual(subscription.expirationPolicy, {});
    assert.deepEqual(states(await make()), ["topic exists", "publisher exists", "subscription exists"]);
  });

  test("a source with a new address gets its subscription set right", async () => {
    const { subscription } = await make();
    const moved = await api.ok("POST", `/api/v1/app/${app.id}/source/${source.id}/token/rotate`, {});
    const looked = await make({ dryRun: true });
    assert.deepEqual(states(looked)[2], "subscription differs");
    assert.match(looked.steps[2].message, /its address/);
    assert.deepEqual(states(await make())[2], "subscription changed");
    assert.equal(google.subscriptions.get(subscription).pushConfig.pushEndpoint, moved.url);
  });

  test("a policy that somebody changed meanwhile is read again", async () => {
    google.policies.set(TOPIC, { version: 1, etag: "A", bindings: [{ role: "roles/pubsub.publisher", members: ["user:ann@example.com"] }] });
    google.next(`POST pubsub.googleapis.com/v1/${TOPIC}:setIamPolicy`, { status: 409, headers: { "content-type": "application/json" }, body: '{"error":{"code":409,"status":"ABORTED"}}' });
    assert.deepEqual(states(await make())[1], "publisher made");
    assert.deepEqual(google.policies.get(TOPIC).bindings[0].members, ["user:ann@example.com", GMAIL]);
  });

  test("what Google refuses is said with what is to be done", async () => {
    const error = { error: { code: 403, status: "PERMISSION_DENIED", message: "User not authorized to perform this action." } };
    google.next(`GET pubsub.googleapis.com/v1/${TOPIC}`, { status: 403, headers: { "content-type": "application/json" }, body: JSON.stringify(error) });
    const told = await make();
    assert.equal(told.ready, false);
    assert.equal(told.steps[0].state, "failed");
    assert.match(told.steps[0].message, /roles\/pubsub\.editor in the project acme \(Google: User not authorized/);
  });

  test("a connection without the scope, of another tenant, or unknown is refused by name", async () => {
    const other = await connect(["https://www.googleapis.com/auth/gmail.readonly"]);
    const stranger = await api.ok("POST", "/api/v1/app", { name: "Stranger" });
    const theirs = await api.ok("POST", `/api/v1/app/${stranger.id}/source`, SOURCE);
    for (const [at, id, told] of [
      [path(), other.id, /has not the scope/],
      [path(), "conn_nothing", /names no connection/],
      [`/api/v1/app/${stranger.id}/source/${theirs.id}/gmail-push`, connection.id, /names no connection/],
    ]) {
      const { status, body } = await api("POST", at, { topic: TOPIC, connectionId: id });
      assert.equal(status, 422);
      assert.deepEqual(body.detail[0].loc, ["body", "connectionId"]);
      assert.match(body.detail[0].msg, told);
    }
  });
});

test("names that are none, and a source of another provider, are refused", async () => {
  const { status, body } = await api("POST", path(), { topic: "gmail", subscription: "projects/acme/topics/x", appId: "x" });
  assert.equal(status, 422);
  assert.deepEqual(body.detail.map(({ loc }) => loc[1]), ["topic", "subscription", "appId"]);
  const key = await api.ok("POST", `/api/v1/app/${app.id}/source`, { name: "K", provider: "api_key", config: { header: "x-key" }, secrets: ["a key that is long enough"] });
  assert.equal((await api("POST", `/api/v1/app/${app.id}/source/${key.id}/gmail-push`, { topic: TOPIC })).status, 409);
});

test("an app-level source is served by the connection of a named application", async () => {
  const common = await api.ok("POST", "/api/v1/source", SOURCE);
  const at = `/api/v1/source/${common.id}/gmail-push`;
  const topic = "projects/acme/topics/for-all";
  const { status, body } = await api("POST", at, { topic, connectionId: connection.id });
  assert.equal(status, 422);
  assert.deepEqual(body.detail[0].loc, ["body", "appId"]);
  const made = await api.ok("POST", at, { topic, connectionId: connection.id, appId: app.id });
  assert.equal(made.ready, true);
  assert.equal(google.subscriptions.get(made.subscription).pushConfig.pushEndpoint, common.url);
});

// OAuth apps, the operator's and a tenant's own, the doctor that looks at them before anybody is sent to a provider, and the
// catalogue that they are made from.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";
import { settings, tenant } from "./stand-in/connecting.mjs";
import { startGithub } from "./stand-in/github.mjs";
import { startGoogle } from "./stand-in/google.mjs";
import { startMicrosoft } from "./stand-in/microsoft.mjs";
import { startNotion } from "./stand-in/notion.mjs";
import { json } from "./stand-in/server.mjs";
import { startSlack } from "./stand-in/slack.mjs";

const GMAIL = "https://www.googleapis.com/auth/gmail.readonly";
const CALENDAR = "https://www.googleapis.com/auth/calendar";
const SECRET = "canary-client-secret-of-an-app";

let postern, call, shop, other, google, github, slack, notion, microsoft;

before(async () => {
  [postern, google, github, slack, notion, microsoft] = await Promise.all([start(), startGoogle(), startGithub(), startSlack(), startNotion(), startMicrosoft()]);
  call = caller(postern);
  [shop, other] = [await tenant(postern, "shop"), await tenant(postern, "other")];
});
after(() => Promise.all([postern, google, github, slack, notion, microsoft].map((each) => each?.stop())));

/** All that the directory holds. */
async function directory() {
  const database = await postern.database();
  const { results: tables } = await database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'").all();
  const rows = await Promise.all(tables.map(({ name }) => database.prepare(`SELECT * FROM "${name}"`).all()));
  return JSON.stringify(rows.map(({ results }) => results));
}

for (const [owner, path] of [["operator", () => "/api/v1"], ["application", () => shop.at]]) {
  describe(`an app of the ${owner}'s`, () => {
    const body = (more) => ({ name: "Sign-in", provider: "google", clientId: "id-1", clientSecret: SECRET, scopes: [GMAIL], returnUrls: ["https://product.example/done"], ...more });

    test("is made, and shown with the redirect URI to register and without its secret", async () => {
      const made = await call.ok("POST", `${path()}/oauth-app`, body({ uid: "sign-in" }));
      const { id, createdAt, updatedAt, ...shown } = made;
      assert.deepEqual(shown, {
        uid: "sign-in",
        name: "Sign-in",
        owner,
        appId: owner === "operator" ? null : shop.app,
        provider: "google",
        providerConfig: null,
        variables: {},
        scopes: [GMAIL],
        allScopes: false,
        returnUrls: ["https://product.example/done"],
        clientId: "id-1",
        hasClientSecret: true,
        generation: 1,
        enabled: true,
        broken: null,
        redirectUri: `${postern.url}/oauth/callback/${id}`,
      });
      assert.match(id, /^oapp_/);
      assert.equal(createdAt, updatedAt);
      for (const name of [id, "sign-in"]) assert.deepEqual(await call.ok("GET", `${path()}/oauth-app/${name}`), made);
      const taken = await call("POST", `${path()}/oauth-app`, body({ uid: "sign-in" }));
      assert.equal(taken.status, 409);
      assert.ok(!(await directory()).includes(SECRET), "the secret stands in the directory");
    });

    test("is changed in part, and its secret moves its generation and nothing else does", async () => {
      const { id, redirectUri } = await call.ok("POST", `${path()}/oauth-app`, body());
      const renamed = await call.ok("PATCH", `${path()}/oauth-app/${id}`, { name: "Mail", scopes: [] });
      assert.deepEqual([renamed.name, renamed.scopes, renamed.generation, renamed.hasClientSecret, renamed.clientId], ["Mail", [], 1, true, "id-1"]);
      assert.equal((await call.ok("PATCH", `${path()}/oauth-app/${id}`, { clientSecret: SECRET })).generation, 1, "the same secret is no change");
      assert.equal((await call.ok("PATCH", `${path()}/oauth-app/${id}`, { clientSecret: "another" })).generation, 2);
      const moved = await call.ok("PATCH", `${path()}/oauth-app/${id}`, { clientId: "id-2" });
      assert.deepEqual([moved.generation, moved.hasClientSecret, moved.redirectUri], [3, true, redirectUri]);
      assert.equal((await call.ok("PATCH", `${path()}/oauth-app/${id}`, { clientSecret: null })).hasClientSecret, false);
    });

    test("is replaced as a whole, but for the secret, which nobody could say again", async () => {
      const { id } = await call.ok("POST", `${path()}/oauth-app`, body({ allScopes: true, enabled: false }));
      const { name, scopes, returnUrls, allScopes, enabled, hasClientSecret, clientId, generation } = await call.ok("PUT", `${path()}/oauth-app/${id}`, { name: "New", provider: "google", clientId: "id-1" });
      assert.deepEqual({ name, scopes, returnUrls, allScopes, enabled }, { name: "New", scopes: [], returnUrls: [], allScopes: false, enabled: true });
      assert.deepEqual({ hasClientSecret, clientId, generation }, { hasClientSecret: true, clientId: "id-1", generation: 1 });
      const elsewhere = await call("PUT", `${path()}/oauth-app/${id}`, { name: "New", provider: "github", clientId: "id-1" });
      assert.deepEqual([elsewhere.status, elsewhere.body.detail[0].loc], [422, ["body", "provider"]]);
    });

    test("goes, and is gone", async () => {
      const { id } = await call.ok("POST", `${path()}/oauth-app`, body());
      assert.equal((await call("DELETE", `${path()}/oauth-app/${id}`)).status, 204);
      for (const method of ["GET", "DELETE"]) assert.equal((await call(method, `${path()}/oauth-app/${id}`)).status, 404);
    });

    test("is refused whole, with each fault at its place, and without what was wrong", async () => {
      const { status, body: refused } = await call("POST", `${path()}/oauth-app`, {
        name: "",
        provider: "google",
        clientId: "id",
        clientSecret: `${SECRET} \u0000`,
        scopes: ["two words"],
        returnUrls: ["https://ann@product.example/"],
      });
      assert.equal(status, 422);
      assert.deepEqual(refused.detail.map(({ loc }) => loc.slice(0, 2).join(".")).sort(), ["body.clientSecret", "body.name", "body.returnUrls", "body.scopes"]);
      assert.ok(!JSON.stringify(refused).includes(SECRET));
      const unknown = await call("POST", `${path()}/oauth-app`, { name: "x", provider: "nobody", clientId: "id" });
      assert.deepEqual([unknown.status, unknown.body.detail[0].loc], [422, ["body", "provider"]]);
    });
  });
}

test("apps are listed by pages, in the order they were made, each owner's apart", async () => {
  const lone = await tenant(postern, "lone");
  const made = [];
  for (let n = 1; n <= 5; n += 1) made.push((await call.ok("POST", `${lone.at}/oauth-app`, { name: `App ${n}`, provider: "github", clientId: `id-${n}` })).id);
  const seen = [];
  let page = await call.ok("GET", `${lone.at}/oauth-app?limit=2`);
  for (;;) {
    seen.push(page.data.map(({ id }) => id));
    if (page.done) break;
    page = await call.ok("GET", `${lone.at}/oauth-app?limit=2&iterator=${encodeURIComponent(page.iterator)}`);
  }
  assert.deepEqual(seen, [made.slice(0, 2), made.slice(2, 4), made.slice(4)]);
  const operators = await call.ok("GET", `${lone.at}/oauth-app?owner=operator&limit=250`);
  assert.ok(operators.data.length > 0);
  assert.ok(operators.data.every(({ owner }) => owner === "operator"));
  const own = await call.ok("GET", "/api/v1/oauth-app?limit=250");
  assert.deepEqual(own.data.map(({ id }) => id), operators.data.map(({ id }) => id));
  assert.equal((await call("GET", `${lone.at}/oauth-app?owner=everybody`)).status, 422);
});

describe("who may use an app", () => {
  test("another tenant's is 404 in every way, and makes no connection", async () => {
    const { id } = await shop.oauthApp(google, "google");
    for (const [method, rest, body] of [["GET", ""], ["PUT", "", { name: "x", provider: "google", clientId: "x" }], ["PATCH", "", { name: "x" }], ["DELETE", ""], ["POST", "/doctor"]]) {
      for (const path of [`${other.at}/oauth-app/${id}${rest}`, `/api/v1/oauth-app/${id}${rest}`]) {
        assert.equal((await call(method, path, body)).status, 404, `${method} ${path}`);
      }
    }
    const session = await call("POST", `${other.at}/connection/session`, { oauthAppId: id });
    assert.deepEqual([session.status, session.body.detail[0].loc], [422, ["body", "oauthAppId"]]);
    assert.equal((await call.ok("GET", `${shop.at}/oauth-app/${id}`)).name, "google of shop");
  });

  test("the operator's is used by every tenant, by id or by name, and changed by none of them", async () => {
    const providerConfig = await settings(call, google, "google");
    const { id } = await call.ok("POST", "/api/v1/oauth-app", { name: "Ours", uid: "ours", provider: "google", providerConfig, clientId: google.client.id, clientSecret: google.client.secret });
    for (const [customer, named] of [[shop, id], [other, "ours"]]) {
      const { id: connection } = await customer.connect({ oauthAppId: named });
      const { state, oauthAppId } = await customer.get(connection);
      assert.deepEqual([state, oauthAppId], ["active", id]);
    }
    const tenants = caller(postern, postern.token({ app: shop.app }));
    assert.equal((await tenants("PATCH", `/api/v1/oauth-app/${id}`, { name: "Mine" })).status, 403);
    assert.equal((await tenants("PATCH", `${shop.at}/oauth-app/${id}`, { name: "Mine" })).status, 404);
    const still = await call("DELETE", `/api/v1/oauth-app/${id}`);
    assert.equal(still.status, 409, "connections live by it");
  });

  test("the operator's that a provider refuses is found out by one tenant for all, and told to the organisation once", async () => {
    const receiver = await startReceiver();
    const { id: endpoint } = await call.ok("POST", "/api/v1/operational-webhook/endpoint", { url: receiver.url });
    try {
      const providerConfig = await settings(call, google, "google");
      const client = { clientId: google.client.id, clientSecret: google.client.secret };
      const { id: oauthAppId } = await call.ok("POST", "/api/v1/oauth-app", { name: "Everybody's", uid: "everybodys", provider: "google", providerConfig, ...client });
      const made = [];
      for (const customer of [shop, other]) made.push((await customer.connect({ oauthAppId })).id);
      google.next(google.TOKEN, json(401, { error: "invalid_client", error_description: "Unauthorized" }));
      await shop.token(made[0], { refresh: true });
      const path = `/api/v1/oauth-app/${oauthAppId}`;
      const { broken } = await eventually(() => call.ok("GET", path), (app) => app.broken !== null, "the app's row says it");
      assert.equal(broken.words, "invalid_client: Unauthorized");
      const asked = google.of(google.TOKEN).length;
      await other.token(made[1], { refresh: true });
      const { state, reason } = await other.get(made[1]);
      assert.deepEqual([state, reason], ["blocked", "app"]);
      assert.equal(google.of(google.TOKEN).length, asked, "the other tenant's does not ask");
      // It was put right at the provider: the same secret is said again.
      await call.ok("PATCH", path, { clientSecret: google.client.secret });
      for (const [at, customer] of [shop, other].entries()) await eventually(() => customer.get(made[at]), ({ state }) => state === "active", "it heals");
      const told = () => receiver.requests.map(({ text }) => JSON.parse(text)).filter(({ data }) => data.oauthAppId === oauthAppId).sort((one, two) => one.timestamp.localeCompare(two.timestamp));
      await receiver.until(() => told().some(({ type }) => type === "oauth-app.recovered"), "its end");
      const of = { appId: null, appUid: null, oauthAppId, oauthAppUid: "everybodys", name: "Everybody's", provider: "google", brokenSince: broken.since };
      assert.deepEqual(told().map(({ type, data }) => [type, data]), [
        ["oauth-app.broken", { ...of, words: broken.words }],
        ["oauth-app.recovered", { ...of, words: null }],
      ]);
      for (const customer of [shop, other]) {
        const { data } = await call.ok("GET", `${customer.at}/msg?limit=250`);
        assert.deepEqual(data.filter(({ eventType }) => eventType.startsWith("oauth-app.")), [], "no tenant hears of the operator's");
      }
    } finally {
      await call.ok("DELETE", `/api/v1/operational-webhook/endpoint/${endpoint}`);
      await receiver.stop();
    }
  });

  test("one that is disabled makes no connections, and one whose connections are over can go", async () => {
    const { id } = await shop.oauthApp(google, "google");
    const { id: connection } = await shop.connect({ oauthAppId: id });
    await call.ok("PATCH", `${shop.at}/oauth-app/${id}`, { enabled: false });
    assert.equal((await call("POST", `${shop.at}/connection/session`, { oauthAppId: id })).status, 409);
    assert.equal((await call("DELETE", `${shop.at}/oauth-app/${id}`)).status, 409);
    await shop.disconnect(connection);
    await eventually(() => call("DELETE", `${shop.at}/oauth-app/${id}`), ({ status }) => status === 204, "it goes");
  });

  test("one app serves Gmail and Calendar, each connection with what it asks for", async () => {
    const { id } = await shop.oauthApp(google, "google", { scopes: [GMAIL, CALENDAR] });
    const mail = await shop.connect({ oauthAppId: id, scopes: [GMAIL], label: "Mail" });
    const dates = await shop.connect({ oauthAppId: id, scopes: [CALENDAR], label: "Dates" });
    const of = async ({ id }) => (await shop.get(id)).scopes.filter((scope) => scope === GMAIL || scope === CALENDAR);
    assert.deepEqual([await of(mail), await of(dates)], [[GMAIL], [CALENDAR]]);
    assert.equal((await shop.get(mail.id)).accountKey, (await shop.get(dates.id)).accountKey);
  });

  test("or two apps, each with its client, its scopes and its redirect URI", async () => {
    const second = await startGoogle({ client: { id: "5678.apps.googleusercontent.com", secret: "GOCSPX-calendar" } });
    try {
      const mail = await shop.oauthApp(google, "google", { scopes: [GMAIL], uid: "gmail" });
      const dates = await shop.oauthApp(second, "google", { scopes: [CALENDAR], uid: "calendar" });
      assert.notEqual(mail.redirectUri, dates.redirectUri);
      const made = [await shop.connect({ oauthAppId: "gmail" }), await shop.connect({ oauthAppId: "calendar" })];
      assert.deepEqual(made.map(({ asked }) => asked.client_id), [google.client.id, second.client.id]);
      for (const { id } of made) assert.equal((await shop.test(id)).ok, true);
      assert.deepEqual([google.of(google.TOKEN).at(-1).form.client_secret, second.of(second.TOKEN).at(-1).form.client_secret], [google.client.secret, second.client.secret]);
    } finally {
      await second.stop();
    }
  });
});

describe("the doctor", () => {
  /** What it finds of an app that is not saved. */
  async function found(standIn, provider, more = {}) {
    const providerConfig = await settings(call, standIn, provider);
    return call.ok("POST", `${shop.at}/oauth-app/doctor`, { name: "Not yet", provider, providerConfig, clientId: standIn.client.id, clientSecret: standIn.client.secret, ...more });
  }

  test("tells a good secret from a wrong one before anything is saved, and where browsers come back to", async () => {
    const before = (await call.ok("GET", `${shop.at}/oauth-app?limit=250`)).data.length;
    const good = await found(google, "google");
    assert.deepEqual(good, {
      id: good.id,
      redirectUri: `${postern.url}/oauth/callback/${good.id}`,
      verdict: "good",
      sentence: "The provider took the client id and secret",
      error: "invalid_grant",
      words: "Bad Request",
    });
    const wrong = await found(google, "google", { clientSecret: SECRET });
    assert.deepEqual([wrong.verdict, wrong.error, wrong.words], ["wrong_secret", "invalid_client", "The provided client secret is invalid."]);
    assert.equal((await call.ok("GET", `${shop.at}/oauth-app?limit=250`)).data.length, before);
    // The id that was shown stays, and with it the redirect URI that was registered meanwhile.
    const saved = await shop.oauthApp(google, "google", { id: good.id });
    assert.deepEqual([saved.id, saved.redirectUri], [good.id, good.redirectUri]);
    const again = await call.ok("POST", `${shop.at}/oauth-app/${saved.id}/doctor`);
    assert.deepEqual([again.verdict, again.redirectUri], ["good", good.redirectUri]);
    assert.equal((await call("POST", `${shop.at}/oauth-app`, { id: good.id, name: "Again", provider: "google", clientId: "x" })).status, 409);
    const exchange = google.of(google.TOKEN).at(-1).form;
    assert.deepEqual([exchange.grant_type, exchange.redirect_uri], ["authorization_code", good.redirectUri]);
  });

  test("reads each provider's own way of saying it", async () => {
    const verdict = async (...asked) => (await found(...asked)).verdict;
    assert.equal(await verdict(github, "github"), "good");
    assert.equal(await verdict(github, "github", { clientSecret: "wrong" }), "wrong_secret");
    assert.equal(await verdict(microsoft, "microsoft"), "good");
    assert.equal(await verdict(microsoft, "microsoft", { clientSecret: "wrong" }), "wrong_secret");
    assert.equal(await verdict(microsoft, "microsoft", { clientId: "00000000-0000-0000-0000-000000000000" }), "no_such_app");
    microsoft.state.expiredSecret = true;
    assert.equal(await verdict(microsoft, "microsoft"), "expired_secret");
    microsoft.state.expiredSecret = false;
    // Of these nobody says that they look at the secret before the code.
    assert.equal(await verdict(slack, "slack"), "probably_good");
    assert.equal(await verdict(slack, "slack", { clientSecret: "wrong" }), "wrong_secret");
    assert.equal(await verdict(slack, "slack", { clientId: "33.44" }), "no_such_app");
    assert.equal(await verdict(notion, "notion"), "probably_good");
    assert.equal(await verdict(notion, "notion", { clientSecret: "wrong" }), "wrong_secret");
  });

  test("says that the redirect URI is not registered, and that it cannot tell", async () => {
    google.next(google.TOKEN, json(400, { error: "redirect_uri_mismatch", error_description: "Bad Request" }));
    assert.equal((await found(google, "google")).verdict, "redirect_not_registered");
    google.next(google.TOKEN, { status: 503, headers: { "content-type": "text/html" }, body: "<h1>Sorry</h1>" });
    assert.equal((await found(google, "google")).verdict, "cannot_tell");
    google.next(google.TOKEN, json(200, { access_token: "for-anybody", token_type: "Bearer" }));
    const generous = await found(google, "google");
    assert.equal(generous.verdict, "cannot_tell");
    assert.match(generous.sentence, /do not trust it/);
    assert.ok(!JSON.stringify(generous).includes("for-anybody"));
  });

  test("has nothing to look at where there is no client", async () => {
    const { status, body } = await call("POST", `${shop.at}/oauth-app/doctor`, { name: "Keys", provider: "anthropic" });
    assert.deepEqual([status, body.detail[0].loc], [422, ["body", "provider"]]);
  });
});

describe("the catalogue", () => {
  test("says of each provider how it is connected, whether that is proven, and what nobody confirms", async () => {
    const { data, done } = await call.ok("GET", "/api/v1/connection-provider");
    assert.equal(done, true);
    const verified = data.filter((provider) => provider.verified).map(({ id }) => id);
    assert.deepEqual(verified, ["google", "google-service-account", "github", "github-app", "slack", "slack-user", "notion", "microsoft", "oidc", "oauth2"]);
    for (const id of ["typeform", "hubspot", "xero", "salesforce", "stripe", "shopify", "atlassian", "quickbooks", "linear", "zoom", "dropbox", "airtable", "supabase"]) {
      const provider = data.find((provider) => provider.id === id);
      assert.equal(provider.verified, false, id);
      assert.ok(["oauth2", "oidc"].includes(provider.kind), id);
      assert.ok(provider.docs.length > 0, id);
    }
    const of = (id) => data.find((provider) => provider.id === id);
    assert.match(of("notion").unsure.join(" "), /documents no PKCE/);
    assert.match(of("slack").pkceOff, /public client/);
    assert.deepEqual(of("twilio").keyUser, "Account SID");
    assert.deepEqual(of("microsoft").variables, [{ name: "tenant", label: "Tenant (common, organizations, consumers or a tenant's id)", from: "app", default: "common" }]);
    for (const id of ["openai", "anthropic", "notion-key", "typeform-key", "resend", "twilio", "meta-whatsapp", "stripe-key", "revenuecat"]) {
      assert.equal(of(id).kind, "api_key", id);
    }
  });

  test("shows one with the whole entry, as settings lie over it", async () => {
    const { entry, ...shown } = await call.ok("GET", "/api/v1/connection-provider/google");
    assert.deepEqual([shown.id, shown.kind, shown.apiBase], ["google", "oidc", "https://www.googleapis.com"]);
    assert.equal(entry.oauth.tokenUrl, "https://oauth2.googleapis.com/token");
    assert.equal((await call("GET", "/api/v1/connection-provider/nobody")).status, 404);
  });
});

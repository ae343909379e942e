// Sign-in, identity, refresh and disconnect at providers that do not keep to the standard, each against a stand-in with its
// documented quirks: where a provider says so stands in its stand-in's file.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { tenant } from "./stand-in/connecting.mjs";
import { startGithub } from "./stand-in/github.mjs";
import { startGoogle } from "./stand-in/google.mjs";
import { startMicrosoft } from "./stand-in/microsoft.mjs";
import { startNotion } from "./stand-in/notion.mjs";
import { startQuickbooks } from "./stand-in/quickbooks.mjs";
import { Codes, back, form, json, page, random, startStandIn } from "./stand-in/server.mjs";
import { startShopify } from "./stand-in/shopify.mjs";
import { startSlack } from "./stand-in/slack.mjs";

const S256 = /^[\w-]{43}$/;
const EMAIL = "https://www.googleapis.com/auth/userinfo.email";
const GMAIL = "https://www.googleapis.com/auth/gmail.readonly";
const CALENDAR = "https://www.googleapis.com/auth/calendar";

let postern, shop;
const standIns = [];

before(async () => {
  postern = await start();
  shop = await tenant(postern, "shop");
});
after(() => Promise.all([postern?.stop(), ...standIns.map((standIn) => standIn.stop())]));

/** A stand-in that ends with the tests. */
async function begun(starting) {
  const standIn = await starting;
  standIns.push(standIn);
  return standIn;
}

/** How a connection stands, once it is so. */
const until = (id, state) => eventually(() => shop.get(id), (connection) => connection.state === state, `it is ${state}`);

/** A callback with other parameters. */
function altered(callback, change) {
  const url = new URL(callback);
  change(url.searchParams);
  return url.href;
}

/** What may stand on a page, in a list, in a history: nothing that a provider gave. */
function holdsNone(text, secrets) {
  for (const secret of secrets) assert.ok(!JSON.stringify(text).includes(secret), "a secret is shown");
}

describe("Google", () => {
  let google, app;
  before(async () => {
    google = await begun(startGoogle());
    app = await shop.oauthApp(google, "google", { scopes: [GMAIL, CALENDAR] });
  });

  test("one app asks for Gmail and Calendar, offline and with consent, and tells in words what it asks for", async () => {
    const { id, first, asked, page } = await shop.connect({ oauthAppId: app.id, label: "Ann's office" });
    assert.match(first, /Read your e-mail and its settings/);
    assert.match(first, /See, change, share and delete all your calendars/);
    const { state, nonce, code_challenge, ...rest } = asked;
    assert.deepEqual(rest, {
      response_type: "code",
      client_id: google.client.id,
      redirect_uri: app.redirectUri,
      scope: `openid ${EMAIL} ${GMAIL} ${CALENDAR}`,
      code_challenge_method: "S256",
      access_type: "offline",
      prompt: "consent",
    });
    assert.match(code_challenge, S256);
    assert.ok(state && nonce);
    assert.match(page, /Google is connected/);
    assert.match(page, /ann@example\.com/);
    const connection = await shop.get(id);
    assert.equal(connection.state, "active");
    assert.deepEqual([connection.account, connection.accountKey], ["ann@example.com", "110169484474386276334"]);
    assert.deepEqual([connection.scopes, connection.missingScopes], [["openid", EMAIL, GMAIL, CALENDAR], []]);
    assert.deepEqual([connection.refreshable, connection.generation, connection.label], [true, 1, "Ann's office"]);
    const ends = Date.parse(connection.expiresAt) - Date.now();
    assert.ok(ends > 3_500_000 && ends <= 3_599_000, `an hour, not ${ends} ms`);
    // Six months without a refresh end it. Of an entry with settings of its own nobody has checked that.
    assert.equal(connection.diesConfidence, "guessed");
    assert.ok(Date.parse(connection.diesAt) > Date.now() + 179 * 86_400_000);
    const token = await shop.token(id);
    assert.ok(google.tokens.has(token.token));
    assert.equal(token.apiBase, google.at("https://www.googleapis.com"));
    holdsNone([connection, await shop.history(id)], [...google.tokens.keys(), ...google.refreshes.keys(), google.client.secret]);
  });

  test("a refresh brings no refresh token, and the old one stays", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const before = google.refreshes.size;
    const first = await shop.token(id);
    const second = await shop.token(id, { refresh: true });
    const third = await shop.token(id, { refresh: true });
    assert.equal(new Set([first.token, second.token, third.token]).size, 3);
    assert.deepEqual([second.generation, third.generation], [2, 3]);
    assert.equal(google.refreshes.size, before);
    const refreshes = google.of(google.TOKEN).filter(({ form }) => form.grant_type === "refresh_token").slice(-2);
    assert.equal(refreshes[0].form.refresh_token, refreshes[1].form.refresh_token);
    assert.equal((await shop.test(id)).ok, true);
  });

  test("a person who unticks the calendar is connected without it, and everybody is told", async () => {
    google.state.unticked = [CALENDAR];
    const { id, page } = await shop.connect({ oauthAppId: app.id });
    google.state.unticked = [];
    assert.match(page, /connected, with less than was asked for/);
    assert.match(page, /See, change, share and delete all your calendars/);
    const { state, scopes, missingScopes } = await shop.get(id);
    assert.deepEqual({ state, scopes, missingScopes }, { state: "active", scopes: ["openid", EMAIL, GMAIL], missingScopes: [CALENDAR] });
  });

  test("an app that needs all of them refuses such a grant, and gives it back", async () => {
    const strict = await shop.oauthApp(google, "google", { scopes: [GMAIL, CALENDAR], allScopes: true });
    google.state.login = "bob";
    google.state.unticked = [GMAIL];
    const { id, page } = await shop.connect({ oauthAppId: strict.id });
    google.state.unticked = [];
    google.state.login = "ann";
    assert.match(page, /something was left out/);
    assert.equal((await shop.get(id)).state, "pending");
    await eventually(() => [...google.tokens.values()], (held) => held.every(({ account }) => account.email !== "bob@example.com"), "the grant is revoked");
  });

  test("who comes back with another account changes nothing, and that grant is given back", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    google.state.login = "bob";
    const { asked, page } = await shop.connect({ connectionId: id });
    google.state.login = "ann";
    assert.equal(asked.login_hint, "ann@example.com");
    assert.match(page, /another account/);
    assert.match(page, /ann@example\.com/);
    assert.match(page, /bob@example\.com/);
    assert.equal((await shop.get(id)).generation, 1);
    await eventually(() => [...google.tokens.values()], (held) => held.every(({ account }) => account.email !== "bob@example.com"), "bob's grant is revoked");
    assert.equal((await shop.test(id)).ok, true);
  });

  test("a refresh token that comes with the first consent alone is not lost when the account connects again", async () => {
    const lone = await begun(startGoogle());
    const quiet = await shop.oauthApp(lone, "google", { config: { oauth: { authorizeParameters: { prompt: "select_account" } } } });
    const { id } = await shop.connect({ oauthAppId: quiet.id });
    assert.equal(lone.refreshes.size, 1);
    const { page } = await shop.connect({ connectionId: id });
    assert.match(page, /Google is connected/);
    assert.equal(lone.refreshes.size, 1);
    assert.deepEqual([(await shop.get(id)).refreshable, (await shop.get(id)).generation], [true, 2]);
    assert.ok(lone.tokens.has((await shop.token(id, { refresh: true })).token));
    // A second connection of the same account gets none: it lives for an hour, and says so.
    const { id: other } = await shop.connect({ oauthAppId: quiet.id });
    const { refreshable, diesAt } = await shop.get(other);
    assert.equal(refreshable, false);
    assert.ok(Date.parse(diesAt) < Date.now() + 3_600_000);
  });

  test("a session policy ends the grant until somebody signs in again", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    google.state.invalidRapt = true;
    const { status, body } = await shop.call("POST", shop.of(id, "/token"), { refresh: true });
    google.state.invalidRapt = false;
    assert.equal(status, 409, JSON.stringify(body));
    const { state, reason } = await until(id, "needs_reauth");
    assert.deepEqual({ state, reason }, { state: "needs_reauth", reason: "policy_needs_user" });
    assert.ok((await shop.history(id)).some(({ words }) => words?.includes("invalid_rapt")));
    const { page } = await shop.connect({ connectionId: id });
    assert.match(page, /Google is connected/);
    assert.equal((await shop.get(id)).state, "active");
  });

  test("a no is a no, in our words", async () => {
    const { id, page } = await shop.connect({ oauthAppId: app.id }, { answer: "no" });
    assert.match(page, /Not connected You said no at Google/);
    assert.deepEqual([(await shop.get(id)).state, (await shop.get(id)).reason], ["pending", "denied"]);
  });

  test("a callback that names another issuer ends nothing and connects nobody", async () => {
    const change = (back) => back.replace(/iss=[^&]+/, "iss=https%3A%2F%2Fevil.example");
    const before = google.of(google.TOKEN).length;
    const { id } = await shop.connect({ oauthAppId: app.id }, { change });
    assert.equal((await shop.get(id)).state, "pending");
    assert.equal(google.of(google.TOKEN).length, before);
  });

  test("a disconnect revokes the grant, and one that is gone already is said to be gone", async () => {
    const [first, second] = [await shop.connect({ oauthAppId: app.id }), await shop.connect({ oauthAppId: app.id })];
    const { revoked, connection } = await shop.disconnect(first.id);
    assert.deepEqual([revoked, connection.state], ["revoked", "revoked"]);
    const [shown] = google.of("POST oauth2.googleapis.com/revoke").slice(-1);
    assert.deepEqual(Object.keys(shown.form), ["token"]);
    assert.equal(google.refreshes.has(shown.form.token), false);
    assert.equal((await shop.disconnect(second.id)).revoked, "already_gone");
    assert.equal((await shop.disconnect(second.id)).revoked, "already_gone");
    assert.equal((await shop.call("POST", shop.of(first.id, "/token"))).status >= 400, true);
  });
});

describe("Slack", () => {
  let slack, app;
  before(async () => {
    slack = await begun(startSlack());
    app = await shop.oauthApp(slack, "slack", { scopes: ["chat:write", "users:read"] });
  });

  test("a bot's scopes are parted by commas, without PKCE, and its token counts though its type says bot", async () => {
    const { id, asked, page } = await shop.connect({ oauthAppId: app.id });
    assert.deepEqual(Object.keys(asked).sort(), ["client_id", "redirect_uri", "response_type", "scope", "state"]);
    assert.equal(asked.scope, "chat:write,users:read");
    assert.match(page, /Slack is connected/);
    const [exchange] = slack.of(slack.TOKEN).slice(-1);
    assert.deepEqual(exchange.basic, [slack.client.id, slack.client.secret]);
    assert.deepEqual(Object.keys(exchange.form).sort(), ["code", "grant_type", "redirect_uri"]);
    const { state, account, accountKey, scopes, expiresAt } = await shop.get(id);
    assert.deepEqual({ state, account, accountKey, scopes }, { state: "active", account: "Slack Softball Team", accountKey: "T9TK3CUKW:U0KRQLJ9H", scopes: ["chat:write", "users:read"] });
    assert.ok(Date.parse(expiresAt) > Date.now() + 42_000_000);
    assert.match((await shop.token(id)).token, /^xoxe\.xoxb-/);
  });

  test("each refresh token is used once", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    for (const generation of [2, 3, 4]) {
      const token = await shop.token(id, { refresh: true });
      assert.equal(token.generation, generation);
      assert.ok(slack.tokens.has(token.token));
    }
    const shown = slack.of(slack.TOKEN).filter(({ form }) => form.grant_type === "refresh_token").slice(-3);
    assert.equal(new Set(shown.map(({ form }) => form.refresh_token)).size, 3);
  });

  test("a person's token stands elsewhere in the answer, and at the root of a refresh", async () => {
    const personal = await shop.oauthApp(slack, "slack-user", { scopes: ["chat:write", "search:read"] });
    const { id, asked } = await shop.connect({ oauthAppId: personal.id });
    assert.deepEqual([asked.scope, asked.user_scope], [undefined, "chat:write,search:read"]);
    const { account, accountKey, scopes } = await shop.get(id);
    assert.deepEqual({ account, accountKey, scopes }, { account: "ann", accountKey: "T9TK3CUKW:U1234", scopes: ["chat:write", "search:read"] });
    assert.match((await shop.token(id)).token, /^xoxe\.xoxp-/);
    const fresh = await shop.token(id, { refresh: true });
    assert.match(fresh.token, /^xoxe\.xoxp-/);
    assert.ok(slack.tokens.has(fresh.token));
    assert.ok(slack.tokens.has((await shop.token(id, { refresh: true })).token), "the refresh token of a refresh is kept too");
    assert.equal((await shop.disconnect(id)).revoked, "revoked");
  });

  test("without rotation nothing ends and there is nothing to refresh", async () => {
    const steady = await begun(startSlack({ rotation: false }));
    const calm = await shop.oauthApp(steady, "slack", { scopes: ["chat:write"] });
    const { id } = await shop.connect({ oauthAppId: calm.id });
    const { expiresAt, refreshable, diesAt, nextRefreshAt } = await shop.get(id);
    assert.deepEqual({ expiresAt, refreshable, diesAt, nextRefreshAt }, { expiresAt: null, refreshable: false, diesAt: null, nextRefreshAt: null });
    assert.match((await shop.token(id)).token, /^xoxb-/);
    assert.equal((await shop.test(id)).ok, true);
  });

  test("an error that comes with 200 is an error: on exchange, in a refresh, in a test", async () => {
    slack.next(slack.TOKEN, json(200, { ok: false, error: "invalid_code" }));
    const failed = await shop.connect({ oauthAppId: app.id });
    assert.doesNotMatch(failed.page, /Slack is connected/);
    assert.deepEqual([(await shop.get(failed.id)).state, (await shop.get(failed.id)).reason], ["pending", "exchange_failed"]);

    const { id } = await shop.connect({ oauthAppId: app.id });
    slack.next("POST slack.com/api/auth.test", json(200, { ok: false, error: "fatal_error" }));
    const tested = await shop.test(id);
    assert.deepEqual([tested.ok, tested.status, tested.detail], [false, 200, "The check did not work: fatal_error"]);
    slack.next(slack.TOKEN, json(200, { ok: false, error: "invalid_refresh_token" }));
    assert.equal((await shop.call("POST", shop.of(id, "/token"), { refresh: true })).status, 409);
    assert.equal((await until(id, "needs_reauth")).reason, "grant_dead");
  });

  test("too fast is not the end of a grant", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    slack.next(slack.TOKEN, json(429, { ok: false, error: "ratelimited" }, { "retry-after": "30" }));
    const token = await shop.token(id);
    const asked = Date.now();
    await shop.call("POST", shop.of(id, "/token"), { refresh: true });
    const { state, nextRefreshAt } = await shop.get(id);
    assert.equal(state, "active");
    assert.ok(Date.parse(nextRefreshAt) >= asked + 30_000, nextRefreshAt);
    assert.equal((await shop.token(id)).token, token.token);
  });

  test("a disconnect ends the token by itself, and one that Slack does not know any more is gone", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const { token } = await shop.token(id);
    assert.equal((await shop.disconnect(id)).revoked, "revoked");
    assert.equal(slack.of("POST slack.com/api/auth.revoke").at(-1).bearer, token);
    const { id: other } = await shop.connect({ oauthAppId: app.id });
    slack.tokens.clear();
    assert.equal((await shop.disconnect(other)).revoked, "already_gone");
  });
});

describe("GitHub", () => {
  let github, app;
  before(async () => {
    github = await begun(startGithub());
    app = await shop.oauthApp(github, "github", { scopes: ["repo", "read:org"] });
  });

  test("a token that never ends, with scopes parted by commas in the answer, of an account known by its number", async () => {
    const { id, asked } = await shop.connect({ oauthAppId: app.id });
    assert.equal(asked.scope, "repo read:org");
    assert.match(asked.code_challenge, S256);
    const [exchange] = github.of(github.TOKEN).slice(-1);
    assert.equal(exchange.headers.accept, "application/json");
    assert.deepEqual([exchange.form.client_id, exchange.form.client_secret, exchange.basic], [github.client.id, github.client.secret, undefined]);
    const { account, accountKey, scopes, expiresAt, refreshable } = await shop.get(id);
    assert.deepEqual({ account, accountKey, scopes, expiresAt, refreshable }, { account: "octocat", accountKey: "583231", scopes: ["repo", "read:org"], expiresAt: null, refreshable: false });
  });

  test("an account that is renamed is still the same", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    github.user.login = "hubot";
    const { page } = await shop.connect({ connectionId: id });
    github.user.login = "octocat";
    assert.match(page, /GitHub is connected/);
    assert.equal((await shop.get(id)).account, "hubot");
  });

  test("an answer that comes as a form is read as one", async () => {
    const token = random("gho_");
    github.tokens.set(token, { scope: "repo,read:org" });
    github.next(github.TOKEN, form(200, { access_token: token, token_type: "bearer", scope: "repo,read:org" }));
    const { id } = await shop.connect({ oauthAppId: app.id });
    assert.deepEqual((await shop.get(id)).scopes, ["repo", "read:org"]);
    assert.equal((await shop.token(id)).token, token);
  });

  test("an error that comes with 200 is an error, in JSON and as a form", async () => {
    for (const answer of [json, form]) {
      github.next(github.TOKEN, answer(200, { error: "bad_verification_code", error_description: "The code passed is incorrect or expired." }));
      const { id, page } = await shop.connect({ oauthAppId: app.id });
      assert.match(page, /The code passed is incorrect or expired/);
      assert.equal((await shop.get(id)).reason, "exchange_failed");
    }
  });

  test("a disconnect ends the token with the app's own id and secret", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const { token } = await shop.token(id);
    assert.equal((await shop.disconnect(id)).revoked, "revoked");
    const [shown] = github.of(`DELETE api.github.com/applications/${github.client.id}/token`).slice(-1);
    assert.deepEqual([shown.basic, shown.json], [[github.client.id, github.client.secret], { access_token: token }]);
    assert.equal(github.tokens.has(token), false);
  });

  describe("as an app with tokens that expire", () => {
    let expiring, own;
    before(async () => {
      expiring = await begun(startGithub({ app: true, client: { id: "Iv23.github", secret: "github-app-secret" } }));
      own = await shop.oauthApp(expiring, "github-app");
    });

    test("it takes no scopes, and a refresh ends the old pair at once", async () => {
      const { id, asked } = await shop.connect({ oauthAppId: own.id });
      assert.equal(asked.scope, undefined);
      const { scopes, missingScopes, expiresAt, diesAt } = await shop.get(id);
      assert.deepEqual([scopes, missingScopes], [[], []]);
      assert.ok(Date.parse(expiresAt) > Date.now() + 28_700_000);
      // Six months, told by the answer.
      assert.ok(Math.abs(Date.parse(diesAt) - Date.now() - 15_811_200_000) < 60_000, diesAt);
      const first = await shop.token(id);
      const second = await shop.token(id, { refresh: true });
      assert.deepEqual([expiring.tokens.has(first.token), expiring.tokens.has(second.token)], [false, true]);
      assert.ok(expiring.tokens.has((await shop.token(id, { refresh: true })).token));
      const refused = await shop.call("POST", `${shop.at}/connection/session`, { oauthAppId: own.id, scopes: ["repo"] });
      assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "scopes"]]);
    });

    test("a refresh token that is spent, with 200, asks for a person", async () => {
      const { id } = await shop.connect({ oauthAppId: own.id });
      expiring.refreshes.clear();
      assert.equal((await shop.call("POST", shop.of(id, "/token"), { refresh: true })).status, 409);
      assert.equal((await until(id, "needs_reauth")).reason, "grant_dead");
    });

    test("a secret that is wrong, with 200, is the app's fault and not the grant's, and ends when it is put right", async () => {
      const { id } = await shop.connect({ oauthAppId: own.id });
      await shop.call.ok("PATCH", `${shop.at}/oauth-app/${own.id}`, { clientSecret: "a wrong one" });
      await shop.call("POST", shop.of(id, "/token"), { refresh: true });
      const blocked = await until(id, "blocked");
      assert.equal(blocked.reason, "app");
      await shop.call.ok("PATCH", `${shop.at}/oauth-app/${own.id}`, { clientSecret: expiring.client.secret });
      assert.equal((await until(id, "active")).reason, null);
    });
  });
});

describe("Notion", () => {
  let notion, app;
  before(async () => {
    notion = await begun(startNotion());
    app = await shop.oauthApp(notion, "notion");
  });

  test("the token endpoint gets JSON with Basic, and the account is the workspace's", async () => {
    const { id, asked, page } = await shop.connect({ oauthAppId: app.id });
    assert.deepEqual(Object.keys(asked).sort(), ["client_id", "owner", "redirect_uri", "response_type", "state"]);
    assert.equal(asked.owner, "user");
    assert.match(page, /Notion is connected/);
    const [exchange] = notion.of(notion.TOKEN).slice(-1);
    assert.deepEqual(exchange.basic, [notion.client.id, notion.client.secret]);
    assert.deepEqual(Object.keys(exchange.json).sort(), ["code", "grant_type", "redirect_uri"]);
    assert.equal(exchange.headers["notion-version"], "2022-06-28");
    const { account, accountKey, expiresAt, refreshable } = await shop.get(id);
    assert.deepEqual({ account, accountKey, expiresAt, refreshable }, { account: "Acme", accountKey: `f6dbd8ab:${notion.bot}`, expiresAt: null, refreshable: true });
  });

  test("every call of its API names a version", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    assert.equal((await shop.test(id)).ok, true);
    assert.equal(notion.of("GET api.notion.com/v1/users/me").at(-1).headers["notion-version"], "2022-06-28");
  });

  test("no end is told, so a refusal is what it is refreshed by, and each refresh brings a new pair", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const first = await shop.token(id);
    notion.tokens.clear();
    const tested = await shop.test(id);
    assert.deepEqual([tested.ok, tested.status], [false, 401]);
    const second = await eventually(() => shop.token(id), ({ token }) => token !== first.token, "it is refreshed");
    assert.ok(notion.tokens.has(second.token));
    assert.equal((await shop.test(id)).ok, true);
    assert.ok(notion.tokens.has((await shop.token(id, { refresh: true })).token));
    const shown = notion.of(notion.TOKEN).filter(({ json }) => json.grant_type === "refresh_token").slice(-2);
    assert.notEqual(shown[0].json.refresh_token, shown[1].json.refresh_token);
  });

  test("its own form of an error is told in its words", async () => {
    notion.next(notion.TOKEN, json(400, { object: "error", status: 400, code: "validation_error", message: "body failed validation." }));
    const { id, page } = await shop.connect({ oauthAppId: app.id });
    assert.match(page, /body failed validation/);
    assert.equal((await shop.get(id)).reason, "exchange_failed");
  });

  test("a disconnect revokes by JSON with Basic", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const { token } = await shop.token(id);
    assert.equal((await shop.disconnect(id)).revoked, "revoked");
    const [shown] = notion.of("POST api.notion.com/v1/oauth/revoke").slice(-1);
    assert.deepEqual([shown.basic, shown.json], [[notion.client.id, notion.client.secret], { token }]);
  });
});

describe("Microsoft", () => {
  let microsoft, app;
  before(async () => {
    microsoft = await begun(startMicrosoft());
    app = await shop.oauthApp(microsoft, "microsoft", { scopes: ["Mail.Read"] });
  });

  test("the issuer is the tenant's though common was asked, and scopes in another spelling are the same scopes", async () => {
    const { id, authorize, asked } = await shop.connect({ oauthAppId: app.id });
    assert.equal(authorize.href.split("?")[0], microsoft.at("https://login.microsoftonline.com/common/oauth2/v2.0/authorize"));
    assert.deepEqual([asked.scope, asked.response_mode, asked.prompt], ["openid profile email offline_access User.Read Mail.Read", "query", "select_account"]);
    const { state, account, accountKey, scopes, missingScopes } = await shop.get(id);
    assert.deepEqual({ state, account, missingScopes }, { state: "active", account: "ann@example.com", missingScopes: [] });
    assert.equal(accountKey, `${microsoft.tenant}:${microsoft.account.oid}`);
    assert.deepEqual(scopes, ["https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.Read"]);
    assert.equal((await shop.test(id)).ok, true);
  });

  test("an app of one tenant asks that tenant's own authority", async () => {
    const single = await shop.oauthApp(microsoft, "microsoft", { variables: { tenant: microsoft.tenant } });
    const { id, authorize } = await shop.connect({ oauthAppId: single.id });
    assert.ok(authorize.pathname.includes(`/${microsoft.tenant}/`), authorize.pathname);
    assert.equal((await shop.get(id)).state, "active");
    assert.ok(microsoft.tokens.has((await shop.token(id, { refresh: true })).token));
  });

  test("an id token whose issuer is another tenant than its tid connects nobody", async () => {
    microsoft.state.otherTenantInIssuer = true;
    const { id, page } = await shop.connect({ oauthAppId: app.id });
    microsoft.state.otherTenantInIssuer = false;
    assert.doesNotMatch(page, /Microsoft is connected/);
    assert.deepEqual([(await shop.get(id)).state, (await shop.get(id)).account], ["pending", null]);
  });

  test("each refresh brings a new refresh token, which is the one that is used next", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    await shop.token(id, { refresh: true });
    await shop.token(id, { refresh: true });
    const shown = microsoft.of(microsoft.TOKEN).filter(({ form }) => form.grant_type === "refresh_token").slice(-2);
    assert.notEqual(shown[0].form.refresh_token, shown[1].form.refresh_token);
    assert.equal((await shop.get(id)).generation, 3);
  });

  test("the numbers of an error decide, not its text", async () => {
    const wrong = (number) => json(400, { error: "invalid_grant", error_description: `AADSTS${number}: whatever it says today`, error_codes: [number] });
    const { id } = await shop.connect({ oauthAppId: app.id });
    microsoft.next(microsoft.TOKEN, wrong(50076));
    assert.equal((await shop.call("POST", shop.of(id, "/token"), { refresh: true })).status, 409);
    assert.equal((await until(id, "needs_reauth")).reason, "policy_needs_user");

    const { id: other } = await shop.connect({ oauthAppId: app.id });
    microsoft.state.expiredSecret = true;
    await shop.call("POST", shop.of(other, "/token"), { refresh: true });
    const { reason } = await until(other, "blocked");
    microsoft.state.expiredSecret = false;
    assert.equal(reason, "app");
  });

  test("it has no way to end one grant, and a disconnect says so", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    assert.equal((await shop.disconnect(id)).revoked, "unsupported");
    assert.equal((await shop.get(id)).state, "revoked");
  });
});

describe("Shopify", () => {
  let shopify, app;
  const session = () => ({ oauthAppId: app.id, variables: { shop: "some-shop" }, scopes: ["read_products"] });
  before(async () => {
    shopify = await begun(startShopify());
    app = await shop.oauthApp(shopify, "shopify");
  });

  test("S18: a shop has the form of Shopify's names, or there is no session for it", async () => {
    for (const name of ["", "-shop", "Some-Shop", "some_shop", "shop.example.com", "some-shop.myshopify.com", "shop/..", "shop@evil.example", "shop?", "sh\u00f6p", "a".repeat(64)]) {
      const { status, body } = await shop.call("POST", `${shop.at}/connection/session`, { ...session(), variables: { shop: name } });
      assert.equal(status, 422, name);
      assert.deepEqual(body.detail[0].loc.slice(0, 2), ["body", "variables"], name);
    }
    assert.equal((await shop.call("POST", `${shop.at}/connection/session`, { ...session(), variables: {} })).status, 422);
  });

  test("S18: a callback that is not signed by the app's secret, or is another shop's, burns nothing; the right one connects", async () => {
    const { id, back, cookie, asked } = await shop.leave(session());
    assert.equal(asked.code_challenge, undefined);
    const { sign } = shopify;
    const without = (name) => altered(back, (said) => said.delete(name));
    const set = (name, value) => altered(back, (said) => said.set(name, value));
    const genuine = new URL(back).searchParams.get("hmac");
    const forged = {
      "without a signature": without("hmac"),
      "with an empty one": set("hmac", ""),
      "with one that is no hex": set("hmac", "g".repeat(64)),
      "with a part of it": set("hmac", genuine.slice(0, 32)),
      "with another one": set("hmac", genuine.replace(/^./, (first) => (first === "0" ? "1" : "0"))),
      "signed by another secret": sign(back, "hash"),
      "with another code": set("code", "another"),
      "of another time": set("timestamp", "1337178173"),
      "without its time": without("timestamp"),
      "with something more": set("more", "1"),
      "without a shop": sign(without("shop")),
      "of another shop": sign(set("shop", "other-shop.myshopify.com")),
      "of a host that is not Shopify's": sign(set("shop", "some-shop.evil.example")),
      "of a host that only begins so": sign(set("shop", "some-shop.myshopify.com.evil.example")),
      "of a host that only ends so": sign(set("shop", "some-shop.evil.example#.myshopify.com")),
      "of a shop of another form": sign(set("shop", "Some-Shop.myshopify.com")),
    };
    for (const [name, callback] of Object.entries(forged)) {
      assert.doesNotMatch(await shop.arrive(callback, cookie), /is connected/, name);
      assert.equal((await shop.get(id)).state, "pending", name);
    }
    assert.equal(shopify.of(shopify.TOKEN).length, 0, "no code left");
    assert.match(await shop.arrive(back, cookie), /Shopify is connected/);
    const { state, account, accountKey } = await shop.get(id);
    assert.deepEqual([state, account], ["active", "Some Shop"]);
    assert.ok(accountKey.includes("some-shop.myshopify.com"), accountKey);
    const token = await shop.token(id);
    assert.ok(shopify.tokens.has(token.token));
    assert.equal(token.apiBase, shopify.at("https://some-shop.myshopify.com/admin/api"));
    assert.equal((await shop.test(id)).ok, true);
    assert.deepEqual(shopify.of(shopify.TOKEN).map(({ form }) => [form.expiring, form.code]), [["1", new URL(back).searchParams.get("code")]]);
  });
});

describe("QuickBooks", () => {
  let quickbooks, app;
  before(async () => {
    quickbooks = await begun(startQuickbooks());
    app = await shop.oauthApp(quickbooks, "quickbooks", { scopes: ["com.intuit.quickbooks.accounting"] });
  });

  test("S18: a company that is not told, or not by digits, burns nothing; one of digits connects, and stands in the API's path", async () => {
    const { id, back, cookie } = await shop.leave({ oauthAppId: app.id });
    const { realm } = quickbooks.state;
    const wrong = ["", "x", `${realm}x`, ` ${realm}`, `-${realm}`, "1.5", "0x12", "../1", `${realm}/../1`, `${realm}%2f`, "\u0661\u0662", "1".repeat(33)];
    const forged = [altered(back, (said) => said.delete("realmId")), ...wrong.map((value) => altered(back, (said) => said.set("realmId", value)))];
    for (const callback of forged) {
      assert.doesNotMatch(await shop.arrive(callback, cookie), /is connected/, callback);
      assert.equal((await shop.get(id)).state, "pending", callback);
    }
    assert.equal(quickbooks.of(quickbooks.TOKEN).length, 0, "no code left");
    assert.match(await shop.arrive(back, cookie), /QuickBooks is connected/);
    const { state, account, accountKey } = await shop.get(id);
    assert.deepEqual([state, account], ["active", "ann@example.com"]);
    assert.ok(accountKey.includes(realm), accountKey);
    assert.equal((await shop.token(id)).apiBase, quickbooks.at(`https://quickbooks.api.intuit.com/v3/company/${realm}`));
    assert.equal((await shop.test(id)).ok, true);
  });

  test("S29: another company of the same person's is another account", async () => {
    const { id } = await shop.connect({ oauthAppId: app.id });
    const { token } = await shop.token(id);
    const held = quickbooks.tokens.size;
    quickbooks.state.realm = "9130347596842146";
    const { page } = await shop.connect({ connectionId: id });
    assert.match(page, /another account/);
    await eventually(() => quickbooks.of(quickbooks.REVOKE).length, (count) => count === 1, "its grant is ended");
    assert.equal(quickbooks.tokens.size, held);
    assert.deepEqual([(await shop.token(id)).token, (await shop.token(id)).apiBase.split("/").at(-1)], [token, "4620816365221497060"]);
  });
});

describe("any provider of OAuth 2.0, by configuration", () => {
  const codes = new Codes();
  const tokens = new Map();
  const client = { id: "client of ours", secret: "s:e&c/r et" };
  let provider, app;
  before(async () => {
    const issue = (scope) => {
      const [token, refresh] = [random("at_"), random("rt_")];
      tokens.set(token, refresh);
      return json(201, { token: { access_token: token, token_type: "Bearer", refresh_token: refresh, expires_in: "7200", scope } });
    };
    provider = await begun(
      startStandIn({
        "GET auth.acme.example/eu/authorize": ({ query }) => page("Acme", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied" })),
        "POST auth.acme.example/eu/token": ({ basic, form: asked }) => {
          if (basic?.[0] !== client.id || basic?.[1] !== client.secret) return json(401, { error: "invalid_client" });
          if (asked.grant_type === "refresh_token") return [...tokens.values()].includes(asked.refresh_token) ? issue("a;b") : json(400, { error: "invalid_grant" });
          const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier });
          return issued.error ? json(400, { error: "invalid_grant" }) : issue("a;b");
        },
        "GET api.acme.example/eu/me": ({ headers }) => (tokens.has(headers["x-acme-token"]) ? json(200, { account: { number: 7, name: "Acme Ltd" } }) : json(401, {})),
        "POST auth.acme.example/eu/end": ({ form: asked }) => {
          for (const [token, refresh] of tokens) if (refresh === asked.token) tokens.delete(token);
          return { status: 204, headers: {}, body: "" };
        },
      }),
    );
    const auth = provider.at("https://auth.acme.example");
    app = await shop.call.ok("POST", `${shop.at}/oauth-app`, {
      name: "Acme",
      provider: "oauth2",
      clientId: client.id,
      clientSecret: client.secret,
      scopes: ["a", "b"],
      variables: { region: "eu" },
      providerConfig: {
        name: "Acme",
        variables: [{ name: "region", label: "Region", form: "word", from: "app" }],
        oauth: {
          authorizeUrl: `${auth}/{region}/authorize`,
          tokenUrl: `${auth}/{region}/token`,
          revoke: { url: `${auth}/{region}/end`, token: "refresh", clientAuth: "basic" },
          scopeSeparator: ";",
          rotation: "none",
          answer: { success: [201], object: "/token" },
          scopeWords: { a: "Read what is yours" },
        },
        api: { base: `${provider.at("https://api.acme.example")}/{region}`, place: { header: "x-acme-token" } },
        identity: { from: { call: { url: `${provider.at("https://api.acme.example")}/{region}/me` } }, key: ["/account/number"], label: ["/account/name"] },
        check: { url: `${provider.at("https://api.acme.example")}/{region}/me` },
      },
    });
  });

  test("it connects, tells the account, refreshes and ends as it was configured", async () => {
    const { id, first, asked, page } = await shop.connect({ oauthAppId: app.id });
    assert.match(first, /Read what is yours/);
    assert.equal(asked.scope, "a;b");
    assert.match(asked.code_challenge, S256);
    assert.match(page, /Acme is connected/);
    const { account, accountKey, scopes, expiresAt } = await shop.get(id);
    assert.deepEqual({ account, accountKey, scopes }, { account: "Acme Ltd", accountKey: "7", scopes: ["a", "b"] });
    assert.ok(Date.parse(expiresAt) > Date.now() + 7_100_000);
    const token = await shop.token(id, { refresh: true });
    assert.ok(tokens.has(token.token));
    assert.equal(token.apiBase, `${provider.at("https://api.acme.example")}/eu`);
    assert.equal((await shop.test(id)).ok, true);
    assert.equal((await shop.disconnect(id)).revoked, "revoked");
    assert.equal(tokens.has(token.token), false);
  });

  test("settings that are not known, or that would take what is the protocol's, are refused with their place", async () => {
    const asked = { name: "Acme", provider: "oauth2", clientId: "x", variables: { region: "eu" } };
    const at = async (providerConfig) => {
      const { status, body } = await shop.call("POST", `${shop.at}/oauth-app`, { ...asked, providerConfig });
      assert.equal(status, 422, JSON.stringify(body));
      return body.detail.map(({ loc }) => loc.join("."));
    };
    const auth = provider.at("https://auth.acme.example");
    const whole = { authorizeUrl: `${auth}/authorize`, tokenUrl: `${auth}/token` };
    assert.ok((await at({ oauth: { ...whole, authorizeParameters: { redirect_uri: "x" } } })).includes("body.providerConfig.oauth.authorizeParameters.redirect_uri"));
    assert.ok((await at({ oauth: { ...whole, tokenUrl: "http://169.254.169.254/token" } })).includes("body.providerConfig.oauth.tokenUrl"));
    assert.deepEqual(await at({ oauth: { ...whole, tokenUrI: "x" } }), ["body.providerConfig.oauth.tokenUrI"]);
    assert.ok((await at({ id: "google", oauth: whole })).includes("body.providerConfig.id"));
    assert.ok((await at({ oauth: { ...whole, tokenUrl: null } })).length > 0);
  });
});

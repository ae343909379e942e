// Google: sign-in, Gmail, Calendar, Pub/Sub, service accounts.
//
// - A refresh token comes with the first consent only, unless `prompt=consent` is asked with `access_type=offline`
//   [Google Identity, "Using OAuth 2.0 for Web Server Applications"].
// - A person may untick scopes: `scope` of the answer is what was granted [same page, "Step 6: Check which scopes users granted"].
// - Refresh tokens do not rotate; a refresh answer has none [same page, "Refreshing an access token"].
// - Revoking any token of a grant ends the whole grant; revoking a dead one is 400 `invalid_token`
//   [same page, "Revoking a token"].
// - A session policy ends a grant with `error_subtype: invalid_rapt` [Google Cloud docs, "Set session length"].
// - The issuer has two spellings [Google Identity, "OpenID Connect", "Validating an ID token"].
// - `users.watch` lives 7 days, asked again it is renewed; `history.list` answers 404 for an id that is too old
//   [Gmail API, "Push notifications", "Synchronizing clients"].
// - A calendar channel cannot be extended; `events.list` answers 410 for a sync token that is too old
//   [Calendar API, "Push notifications", "Synchronize resources efficiently"].
// - A service account's assertion is exchanged at the token endpoint, which is its audience (RFC 7523); without authority over
//   the domain, one with a subject is 401 `unauthorized_client` [Google Identity, "Using OAuth 2.0 for Server to Server
//   Applications"].

import { createVerify, generateKeyPairSync } from "node:crypto";

import { signed } from "./microsoft.mjs";
import { Codes, back, empty, json, page, random, startStandIn } from "./server.mjs";

const TOKEN = "POST oauth2.googleapis.com/token";
const CERTS = "https://www.googleapis.com/oauth2/v3/certs";
const WEEK = 7 * 86_400_000;

export async function startGoogle({ client = { id: "1234.apps.googleusercontent.com", secret: "GOCSPX-google" } } = {}) {
  const codes = new Codes();
  const tokens = new Map();
  const refreshes = new Map();
  const consented = new Set();
  const channels = new Map();
  const topics = new Map();
  const subscriptions = new Map();
  const policies = new Map();
  const accounts = new Map([["ann", { sub: "110169484474386276334", email: "ann@example.com" }], ["bob", { sub: "220169484474386276334", email: "bob@example.com" }]]);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const service = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const serviceAccount = {
    type: "service_account",
    project_id: "acme",
    private_key_id: "sa-1",
    private_key: service.privateKey.export({ type: "pkcs8", format: "pem" }),
    client_email: "postern@acme.iam.gserviceaccount.com",
  };
  const state = {
    login: "ann",
    /** Scopes that the person unticks. */
    unticked: [],
    accessSeconds: 3599,
    invalidRapt: false,
    /** The service account has authority over the domain. */
    delegated: true,
    history: [],
    historyId: 1000,
    /** Histories before this are forgotten: 404. */
    oldestHistory: 0,
    watch: undefined,
    events: [],
    syncToken: 0,
    /** Sync tokens before this are forgotten: 410. */
    oldestSync: 0,
    /** Its clock is so many milliseconds ahead. */
    ahead: 0,
    /** A mailbox's watch, and a calendar's channel, lives so many milliseconds. */
    life: WEEK,
    /** Each `users.watch`: when it came, until when it holds, and until when the one that it replaced would have. */
    registered: [],
    /** Each channel, oldest first: when it was opened, and when it was stopped. */
    opened: [],
  };
  const now = () => Date.now() + state.ahead;
  const wrong = (status, error, error_description, more = {}) => json(status, { error, error_description, ...more });
  const api = (status, reason, message) => json(status, { error: { code: status, message, errors: [{ reason, message, domain: "global" }], status: reason } });
  let standIn;

  const idToken = (account, nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: standIn.at("https://accounts.google.com"), azp: client.id, aud: client.id, ...account, email_verified: true, nonce, iat: now, exp: now + 3600 };
    return signed({ alg: "RS256", kid: "g-1", typ: "JWT" }, claims, privateKey);
  };
  const access = (account, scope) => {
    const token = random("ya29.");
    tokens.set(token, { account, scope });
    return token;
  };
  const who = ({ bearer }) => tokens.get(bearer);
  /** A handler for whoever holds a token with this scope. */
  const spending = (scope, handle) => (came) => {
    const token = who(came);
    if (!token) return api(401, "authError", "Request had invalid authentication credentials.");
    if (!token.scope.split(" ").some((held) => held.includes(scope))) return api(403, "insufficientPermissions", "Request had insufficient authentication scopes.");
    return handle(came, token);
  };

  const token = ({ form: asked = {}, basic }) => {
    if (asked.grant_type === "urn:ietf:params:oauth:grant-type:jwt-bearer") return assertion(asked.assertion);
    const [id, secret] = basic ?? [asked.client_id, asked.client_secret];
    if (id !== client.id || secret !== client.secret) return wrong(401, "invalid_client", "The provided client secret is invalid.");
    if (asked.grant_type === "refresh_token") {
      const old = refreshes.get(asked.refresh_token);
      if (state.invalidRapt) return wrong(400, "invalid_grant", "reauth related error (invalid_rapt)", { error_subtype: "invalid_rapt" });
      if (!old) return wrong(400, "invalid_grant", "Token has been expired or revoked.");
      return json(200, { access_token: access(old.account, old.scope), expires_in: state.accessSeconds, scope: old.scope, token_type: "Bearer" });
    }
    const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier, clientId: client.id });
    if (issued.error === "redirect") return wrong(400, "redirect_uri_mismatch", "Bad Request");
    if (issued.error) return wrong(400, "invalid_grant", "Bad Request");
    const { query, account } = issued;
    const scope = query.scope.split(" ").filter((each) => !state.unticked.includes(each)).join(" ");
    const answer = { access_token: access(account, scope), expires_in: state.accessSeconds, scope, token_type: "Bearer" };
    if (query.access_type === "offline" && (query.prompt?.includes("consent") || !consented.has(account.sub))) {
      answer.refresh_token = random("1//0");
      refreshes.set(answer.refresh_token, { account, scope });
    }
    consented.add(account.sub);
    if (scope.split(" ").includes("openid")) answer.id_token = idToken(account, query.nonce);
    return json(200, answer);
  };
  const assertion = (jwt = "") => {
    const [header, claims, signature] = jwt.split(".");
    const good = signature && createVerify("RSA-SHA256").update(`${header}.${claims}`).verify(service.publicKey, Buffer.from(signature, "base64url"));
    const read = good && JSON.parse(Buffer.from(claims, "base64url").toString());
    if (!read || read.iss !== serviceAccount.client_email || read.exp - read.iat > 3600) return wrong(400, "invalid_grant", "Invalid JWT Signature.");
    if (read.aud !== standIn.at("https://oauth2.googleapis.com/token")) return wrong(400, "invalid_grant", "Invalid JWT: Failed audience check.");
    if (read.sub && !state.delegated) return wrong(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.");
    if (read.sub && !accounts.has(read.sub.split("@")[0])) return wrong(400, "invalid_grant", "Invalid email or User ID");
    const account = read.sub ? accounts.get(read.sub.split("@")[0]) : { sub: "sa", email: serviceAccount.client_email };
    return json(200, { access_token: access(account, read.scope), expires_in: 3599, token_type: "Bearer" });
  };

  standIn = await startStandIn({
    "GET accounts.google.com/o/oauth2/v2/auth": ({ query }) => {
      const account = accounts.get(state.login);
      return page("Google", back(query, { code: codes.issue(query, { account }), scope: query.scope, iss: standIn.at("https://accounts.google.com") }), back(query, { error: "access_denied", iss: standIn.at("https://accounts.google.com") }));
    },
    [TOKEN]: token,
    "POST oauth2.googleapis.com/revoke": ({ form: asked = {} }) => {
      const found = refreshes.get(asked.token) ?? tokens.get(asked.token);
      if (!found) return wrong(400, "invalid_token", "Token expired or revoked");
      for (const kept of [tokens, refreshes]) {
        for (const [token, { account }] of kept) if (account.sub === found.account.sub) kept.delete(token);
      }
      consented.delete(found.account.sub);
      return json(200, {});
    },
    "GET www.googleapis.com/oauth2/v3/certs": () => {
      const { kty, n, e } = privateKey.export({ format: "jwk" });
      return json(200, { keys: [{ kty, n, e, kid: "g-1", use: "sig", alg: "RS256" }] });
    },
    "GET openidconnect.googleapis.com/v1/userinfo": spending("", (_came, { account }) => json(200, account)),
    "GET gmail.googleapis.com/gmail/v1/users/me/profile": spending("mail", (_came, { account }) => json(200, { emailAddress: account.email, historyId: String(state.historyId) })),
    "POST gmail.googleapis.com/gmail/v1/users/me/watch": spending("mail", ({ json: asked }) => {
      const at = now();
      state.registered.push({ at, until: at + state.life, replaced: state.watch?.expiration });
      state.watch = { ...asked, expiration: at + state.life };
      return json(200, { historyId: String(state.historyId), expiration: String(state.watch.expiration) });
    }),
    "POST gmail.googleapis.com/gmail/v1/users/me/stop": spending("mail", () => {
      state.watch = undefined;
      return empty(204);
    }),
    "GET gmail.googleapis.com/gmail/v1/users/me/history": spending("mail", ({ query }) => {
      const start = Number(query.startHistoryId);
      if (start < state.oldestHistory) return api(404, "notFound", "Requested entity was not found.");
      return json(200, { history: state.history.filter(({ id }) => Number(id) > start), historyId: String(state.historyId) });
    }),
    "GET gmail.googleapis.com/gmail/v1/users/me/messages/*": spending("mail", ({ path }) => {
      const id = path.split("/").at(-1);
      return json(200, { id, threadId: `t${id}`, labelIds: ["INBOX"], snippet: `about ${id}` });
    }),
    "GET www.googleapis.com/calendar/v3/users/me/calendarList": spending("calendar", () => json(200, { kind: "calendar#calendarList", items: [{ id: "primary" }] })),
    "POST www.googleapis.com/calendar/v3/calendars/primary/events/watch": spending("calendar", ({ json: asked }) => {
      if (channels.has(asked.id)) return api(400, "channelIdNotUnique", "Channel id not unique");
      const at = now();
      const channel = { ...asked, resourceId: "res-1", expiration: at + state.life };
      channels.set(asked.id, channel);
      state.opened.push({ channel, at });
      return json(200, { kind: "api#channel", id: asked.id, resourceId: channel.resourceId, resourceUri: "https://www.googleapis.com/calendar/v3/calendars/primary/events", token: asked.token, expiration: String(channel.expiration) });
    }),
    "POST www.googleapis.com/calendar/v3/channels/stop": spending("calendar", ({ json: asked }) => {
      const one = state.opened.find(({ channel }) => channel.id === asked.id && channel.resourceId === asked.resourceId);
      if (!one || !channels.delete(asked.id)) return api(404, "notFound", "Channel not found");
      one.stopped = now();
      return empty(204);
    }),
    "GET www.googleapis.com/calendar/v3/calendars/primary/events": spending("calendar", ({ query }) => {
      const since = query.syncToken === undefined ? 0 : Number(query.syncToken);
      if (query.syncToken !== undefined && since < state.oldestSync) return api(410, "fullSyncRequired", "Sync token is no longer valid, a full sync is required.");
      return json(200, { kind: "calendar#events", items: state.events.filter(({ at }) => at > since).map(({ at: _, ...event }) => event), nextSyncToken: String(state.syncToken) });
    }),
    "PUT pubsub.googleapis.com/v1/*": spending("pubsub", ({ path, json: asked }) => {
      const kind = path.includes("/topics/") ? topics : subscriptions;
      const name = path.replace("pubsub.googleapis.com/v1/", "");
      if (kind.has(name)) return json(409, { error: { code: 409, status: "ALREADY_EXISTS", message: `Resource already exists in the project (resource=${name}).` } });
      kind.set(name, asked ?? {});
      return json(200, { name, ...asked });
    }),
    "GET pubsub.googleapis.com/v1/*": spending("pubsub", ({ path }) => {
      const name = path.replace("pubsub.googleapis.com/v1/", "");
      if (name.endsWith(":getIamPolicy")) return json(200, policies.get(name.split(":")[0]) ?? { version: 1, etag: "ACAB" });
      const found = topics.get(name) ?? subscriptions.get(name);
      return found ? json(200, { name, ...found }) : json(404, { error: { code: 404, status: "NOT_FOUND", message: "Resource not found" } });
    }),
    "POST pubsub.googleapis.com/v1/*": spending("pubsub", ({ path, json: asked }) => {
      const [name, verb] = path.replace("pubsub.googleapis.com/v1/", "").split(":");
      if (verb === "setIamPolicy") {
        policies.set(name, asked.policy);
        return json(200, asked.policy);
      }
      if (verb === "modifyPushConfig") {
        subscriptions.set(name, { ...subscriptions.get(name), pushConfig: asked.pushConfig });
        return json(200, {});
      }
      return json(404, {});
    }),
  });

  return {
    ...standIn,
    TOKEN,
    client,
    accounts,
    serviceAccount,
    state,
    tokens,
    refreshes,
    channels,
    topics,
    subscriptions,
    policies,
    /** For `start({ beside })`: Google's keys have one address, which no setting changes; there are this one's. */
    withKeys: (worker) => [{
      ...worker,
      outboundService: (request) => fetch(request.url === CERTS ? standIn.at(CERTS) : request.url, {
        method: request.method,
        headers: request.headers,
        body: request.body,
        redirect: "manual",
        ...(request.body && { duplex: "half" }),
      }),
    }],
    /** A mail arrives: what the notification would say. */
    mail(id) {
      state.historyId += 7;
      state.history.push({ id: String(state.historyId), messages: [{ id, threadId: `t${id}` }], messagesAdded: [{ message: { id, threadId: `t${id}`, labelIds: ["INBOX", "UNREAD"] } }] });
      return { emailAddress: accounts.get(state.login).email, historyId: state.historyId };
    },
    /** A calendar's event is made or changed. */
    event(id, more = {}) {
      state.syncToken += 1;
      const updated = new Date(now()).toISOString();
      const { created = updated } = state.events.find((event) => event.id === id) ?? {};
      state.events = [...state.events.filter((event) => event.id !== id), { at: state.syncToken, id, status: "confirmed", etag: `"${state.syncToken}"`, created, updated, ...more }];
    },
    /**
     * Pub/Sub pushes a notification, with a token of Google's for `audience` as the service account `email`; `change` bends
     * its claims.
     */
    push(url, notification, { audience, email, id = random("m"), change = (claims) => claims, key = privateKey }) {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: "https://accounts.google.com", aud: audience, azp: "117", email, email_verified: true, sub: "117", iat: now, exp: now + 3600 };
      const data = Buffer.from(JSON.stringify(notification)).toString("base64");
      return fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${signed({ alg: "RS256", kid: "g-1", typ: "JWT" }, change(claims), key)}` },
        body: JSON.stringify({ message: { data, messageId: id, publishTime: new Date().toISOString() }, subscription: "projects/acme/subscriptions/gmail" }),
      });
    },
    /** A channel posts to its address. Message numbers grow; `sync` is 1. */
    notify(channel, resourceState = "exists", more = {}) {
      channel.number = (channel.number ?? 0) + 1;
      return fetch(channel.address, {
        method: "POST",
        headers: {
          "x-goog-channel-id": channel.id,
          "x-goog-channel-token": channel.token,
          "x-goog-resource-id": channel.resourceId,
          "x-goog-resource-uri": "https://www.googleapis.com/calendar/v3/calendars/primary/events",
          "x-goog-resource-state": resourceState,
          "x-goog-message-number": String(channel.number),
          ...more,
        },
      });
    },
  };
}

// Makes connections as a product and its customer do, without a browser: a session's link, the provider's pages, the
// callback; and what is asked of a connection then.
//
//   const shop = await customer(postern, peer);      // a tenant with an OAuth app at the peer
//   const id = await shop.connect();
//   await shop.token(id)

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { caller } from "./api.mjs";
import { consent } from "./oidc.mjs";

let made = 0;

/**
 * A tenant, its endpoint if `receiver` is given, and an OAuth app at the peer.
 *
 * @param {object} [options]
 * @param {object} [options.provider] `providerConfig` over what the peer's discovery document says
 * @param {string} [options.secret] the client's, of the app and at the peer
 * @param {object} [options.receiver] its endpoint hears of the tenant's connections
 */
export async function customer(postern, peer, { provider = { oauth: { rotation: "strict" } }, secret, scopes = ["api:read"], receiver } = {}) {
  made += 1;
  const api = caller(postern);
  const client = { id: `client-${made}`, secret: secret ?? `a secret of client ${made} at the peer` };
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: `Customer ${made}` });
  const path = `/api/v1/app/${app}`;
  if (receiver) await api.ok("POST", `${path}/endpoint`, { url: receiver.url });
  const oauthApp = await api.ok("POST", `${path}/oauth-app`, {
    name: "The peer",
    provider: "oidc",
    issuer: peer.issuer,
    providerConfig: provider,
    clientId: client.id,
    clientSecret: client.secret,
    scopes,
  });
  await peer.client({ ...client, redirectUri: oauthApp.redirectUri });
  const of = (id, rest = "") => `${path}/connection/${id}${rest}`;
  return {
    app,
    path,
    client,
    oauthApp,
    of,
    /** The way of a browser. Answers the connection's id, or how it ended, if `ends` says how it should. */
    async connect({ session = {}, login, answer, ends = "connected" } = {}) {
      const { url, connection } = await api.ok("POST", `${path}/connection/session`, { oauthAppId: oauthApp.id, ...session });
      const { callback, cookie } = await depart(url, { login, answer });
      const { page } = await arrive(callback, cookie);
      assert.match(page, PAGES[ends], `not ${ends}: ${page}`);
      return connection.id;
    },
    /** With tokens that the peer gave to somebody else. */
    import: (body) => api.ok("POST", `${path}/connection/import`, { oauthAppId: oauthApp.id, ...body }),
    get: (id) => api.ok("GET", of(id)),
    token: (id, body) => api("POST", of(id, "/token"), body),
    history: async (id) => (await api.ok("GET", of(id, "/history?limit=250"))).data,
    messages: async () => (await api.ok("GET", `${path}/msg?limit=250`)).data,
    /** Tokens that the peer gives to somebody else's product. */
    grant: (login = "ann") => granted(peer, client, oauthApp.redirectUri, scopes, login),
    /** What the tenant's endpoint was told of a connection, in the order in which it happened. */
    told: (id) => told(receiver, id),
    /** Fulfilled when its endpoint was told this of it. */
    hears: (id, type, patience) => receiver.until(() => told(receiver, id).some((message) => message.type === type), `${type} of ${id}`, patience),
  };
}

function told(receiver, id) {
  const messages = receiver.requests.map(({ text }) => JSON.parse(text)).filter(({ data }) => data.connectionId === id);
  return messages.sort((one, other) => one.timestamp.localeCompare(other.timestamp));
}

const PAGES = { connected: /connected/i, denied: /said no|denied|cancel/i };

/** Follows a session's link to the provider and through its pages. */
export async function depart(link, { login, answer } = {}) {
  const gone = await fetch(`${link}/go`, { redirect: "manual" });
  await gone.arrayBuffer();
  assert.equal(gone.status, 303, "the link leads to the provider");
  const cookie = gone.headers.getSetCookie()[0].split(";")[0];
  const authorize = gone.headers.get("location");
  return { authorize, cookie, callback: await consent(authorize, { login, answer }) };
}

/** Comes back from the provider, and reads the page at the end. */
export async function arrive(callback, cookie) {
  const arrived = await fetch(callback, { redirect: "manual", headers: { cookie } });
  await arrived.arrayBuffer();
  assert.equal(arrived.status, 303, "a callback answers with a way on");
  const location = new URL(arrived.headers.get("location"), callback).href;
  const page = await fetch(location);
  return { location, page: await page.text() };
}

/** An authorization code flow of the test's own. */
async function granted(peer, client, redirectUri, scopes, login) {
  const verifier = randomBytes(32).toString("base64url");
  const authorize = new URL(`${peer.issuer}/auth`);
  authorize.search = new URLSearchParams({
    response_type: "code",
    client_id: client.id,
    redirect_uri: redirectUri,
    scope: ["openid", ...scopes].join(" "),
    state: "somebody else's",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  }).toString();
  const callback = new URL(await consent(authorize.href, { login }));
  const basic = `${encodeURIComponent(client.id)}:${encodeURIComponent(client.secret)}`;
  const answer = await fetch(`${peer.issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(basic).toString("base64")}` },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: callback.searchParams.get("code"),
      redirect_uri: redirectUri,
      code_verifier: verifier,
    }),
  });
  assert.equal(answer.status, 200);
  return answer.json();
}

/** The clock of a connection's object, of a server with test hooks whose objects stay `awake`. */
export function clockOf(postern, id) {
  return {
    /** It is so many milliseconds ahead from here on, and the object's alarm has rung for it. */
    async ahead(ms) {
      const namespace = await postern.mf.getDurableObjectNamespace("CONNECTION");
      const answer = await namespace.get(namespace.idFromName(id)).fetch(`http://object/test/ahead/${ms}`);
      await answer.arrayBuffer();
    },
  };
}

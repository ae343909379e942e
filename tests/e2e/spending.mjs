// A provider on this machine whose tokens are spent: an authorization page that says yes at once, a token endpoint whose
// refresh tokens never change, and an API that answers as the test scripts it, streams and all.
//
//   const provider = await startProvider();
//   const connection = await connect(postern, base, provider, { limits: { perSecond: 2 } });
//   provider.answer("/v1/things", (request, response, call) => response.end("…"));   // next request; then an echo
//   provider.calls                                                                   // what came to the API

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

import { caller, eventually } from "./api.mjs";

/** Where the API is below the provider's origin. */
export const API = "/v1";

export async function startProvider() {
  const next = new Map();
  const fixed = new Map();
  const calls = [];
  const tokens = [];
  const waiting = new Set();
  const state = { expiresIn: 3600, refreshes: 0, exchanges: 0, refuse: undefined };
  const note = () => [...waiting].forEach((look) => look());

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://provider");
    if (url.pathname === "/authorize") {
      const back = new URL(url.searchParams.get("redirect_uri"));
      back.searchParams.set("code", randomBytes(12).toString("hex"));
      back.searchParams.set("state", url.searchParams.get("state"));
      return response.writeHead(302, { location: back.href }).end();
    }
    if (url.pathname === "/token") {
      const form = new URLSearchParams((await whole(request)).toString());
      const refresh = form.get("grant_type") === "refresh_token";
      state[refresh ? "refreshes" : "exchanges"] += 1;
      note();
      if (refresh && state.refuse) return state.refuse(response);
      const token = `at-${tokens.length + 1}-${randomBytes(16).toString("hex")}`;
      tokens.push(token);
      const body = { access_token: token, token_type: "Bearer", expires_in: state.expiresIn, ...(!refresh && { refresh_token: `rt-${randomBytes(16).toString("hex")}` }) };
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    }
    const call = { method: request.method, url: request.url, path: url.pathname, headers: request.headers, at: Date.now() };
    calls.push(call);
    const handler = next.get(url.pathname)?.shift() ?? fixed.get(url.pathname);
    note();
    if (handler) return handler(request, response, call);
    call.body = await whole(request);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ method: call.method, url: call.url, body: call.body.toString() }));
  });
  server.on("connect", (request, socket) => {
    calls.push({ method: "CONNECT", url: request.url });
    socket.destroy();
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    state,
    calls,
    /** Access tokens that it gave out, the oldest first. */
    tokens,
    /** Handlers for the next requests of a path, one each; then the echo again. */
    answer: (path, ...answers) => void next.set(path, [...(next.get(path) ?? []), ...answers]),
    /** The handler for every other request of a path. */
    always: (path, answer) => void fixed.set(path, answer),
    /** Calls of one path. */
    of: (path) => calls.filter((call) => call.path === path),
    /** Fulfilled when the predicate likes the provider. */
    until(predicate, what = "what the test waits for", patience = 30_000) {
      if (predicate()) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${what} did not come in ${patience} ms`)), patience);
        const look = () => predicate() && (clearTimeout(timer), waiting.delete(look), resolve());
        waiting.add(look);
      });
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** What an app says of this provider. */
export const settings = (provider, api = {}) => ({
  name: "A provider",
  oauth: { authorizeUrl: `${provider.origin}/authorize`, tokenUrl: `${provider.origin}/token`, clientAuth: "post", rotation: "none" },
  ...(api && { api: { base: provider.origin + API, ...api } }),
});

/** A connection of a tenant's, made by the browser's way: its first token was never refreshed. `api` goes over the API's settings; null: no API is known. */
export async function connect(postern, base, provider, api = {}, token) {
  const ask = caller(postern, token);
  const app = await ask.ok("POST", `${base}/oauth-app`, {
    name: "An app",
    provider: "oauth2",
    clientId: "a-client",
    clientSecret: "a secret of the client's",
    scopes: ["read"],
    providerConfig: settings(provider, api),
  });
  return walk(postern, base, ask, { oauthAppId: app.id });
}

/** Connects one that stands again, with what its app says now. */
export const reconnect = (postern, base, connection) => walk(postern, base, caller(postern), { connectionId: connection.id });

async function walk(postern, base, ask, what) {
  const session = await ask.ok("POST", `${base}/connection/session`, what);
  const go = await postern.fetch(`${session.url}/go`);
  const cookie = go.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const authorize = await fetch(go.headers.get("location"), { redirect: "manual" });
  const back = await postern.fetch(authorize.headers.get("location"), { headers: { cookie } });
  assert.equal(back.status, 303, await back.text());
  const path = `${base}/connection/${session.connection.id}`;
  const { oauthAppId } = await eventually(() => ask.ok("GET", path), ({ state }) => state === "active", "the connection is active");
  return { id: session.connection.id, path, app: oauthAppId };
}

/** All bytes of a stream. */
export async function whole(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// A certified OpenID provider on this machine, behind a wrapper that makes it fail as real ones do.
//
//   const peer = await startPeer();
//   peer.client({ id: "app", secret: "…", redirectUri, auth: "client_secret_basic" });
//   peer.token.dropAfter();                       // the provider does it, the answer is cut off
//   await peer.tokens(2)                          // the first two requests to the token endpoint, as they came
//
// The provider rotates refresh tokens strictly: one that was used, shown again, ends its whole grant. Other profiles are
// made by the wrapper, which remembers the answer to each refresh token and gives it again.

import { createHash, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";

import Provider from "oidc-provider";

const hash = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Where the faults of one path are scripted. Each verb holds for the next request only, in the order of calling. */
class Faults {
  queue = [];
  seen = [];
  waiting = [];
  delay = 0;

  /** Answers by itself; the provider is not asked. */
  fail = (status, body = "", headers = { "content-type": "application/json" }) => void this.queue.push({ kind: "fail", status, body: typeof body === "string" ? body : JSON.stringify(body), headers });
  /** The provider is not asked, and the connection is cut. */
  dropBefore = () => void this.queue.push({ kind: "dropBefore" });
  /** The provider is asked, and its answer is lost. */
  dropAfter = () => void this.queue.push({ kind: "dropAfter" });
  /** The provider's answer with another body. */
  patch = (change) => void this.queue.push({ kind: "patch", change });
  /** Held until the returned function is called. Before the provider is asked, or after it. */
  gate = (when = "before") => {
    let open;
    const opened = new Promise((resolve) => (open = resolve));
    this.queue.push({ kind: "gate", when, opened });
    return open;
  };
  html = () => this.fail(502, "<html><body>Bad gateway</body></html>", { "content-type": "text/html" });
  redirect = (location) => this.fail(302, "", { location });
  /** A body without an end. */
  endless = () => void this.queue.push({ kind: "endless" });
  /** Headers, and never the body. */
  hangInBody = () => void this.queue.push({ kind: "hangInBody" });

  note(entry) {
    this.seen.push(entry);
    this.waiting = this.waiting.filter(({ count, resolve }) => this.seen.length < count || resolve(this.seen.slice(0, count)));
  }

  /** The first `count` requests, once they are there. */
  requests(count) {
    if (this.seen.length >= count) return Promise.resolve(this.seen.slice(0, count));
    return new Promise((resolve) => this.waiting.push({ count, resolve: (seen) => void resolve(seen) }));
  }
}

export async function startPeer({ accessSeconds = 120, refreshSeconds = 3600, pkce = true, scopes = ["api:read", "api:write"] } = {}) {
  const paths = new Map();
  const at = (path) => {
    if (!paths.has(path)) paths.set(path, new Faults());
    return paths.get(path);
  };
  const state = { profile: "strict", graceSeconds: 60, replay: new Map(), codes: new Map(), refreshes: new Map(), revokedGrants: 0, granted: undefined };
  const clients = new Map();

  const outer = createServer();
  outer.listen(0, "127.0.0.1");
  await once(outer, "listening");
  const issuer = `http://127.0.0.1:${outer.address().port}`;

  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...privateKey.export({ format: "jwk" }), kid: "peer-1", use: "sig", alg: "RS256" };
  const provider = new Provider(issuer, {
    clients: [],
    jwks: { keys: [jwk] },
    scopes: ["openid", "offline_access", "email", ...scopes],
    claims: { openid: ["sub"], email: ["email"] },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com` }) }),
    rotateRefreshToken: () => state.profile !== "none",
    issueRefreshToken: async () => !state.withoutRefreshToken,
    ttl: { AccessToken: () => state.accessSeconds ?? accessSeconds, AuthorizationCode: 60, RefreshToken: refreshSeconds, Grant: refreshSeconds * 2, IdToken: 600, Session: 3600, Interaction: 600 },
    pkce: { required: () => pkce },
    features: { revocation: { enabled: true }, introspection: { enabled: true }, devInteractions: { enabled: false }, userinfo: { enabled: true } },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ["a test's own"] },
    conformIdTokenClaims: false,
  });
  provider.proxy = true;
  // Clients come and go with the tests: an app's redirect URI holds its id, which is made later than the provider.
  const find = provider.Client.find.bind(provider.Client);
  provider.Client.find = async (id) => clients.get(id) ?? find(id);
  provider.on("grant.revoked", () => void (state.revokedGrants += 1));
  provider.on("authorization_code.consumed", (code) => void state.codes.set(hash(code.jti), (state.codes.get(hash(code.jti)) ?? 0) + 1));
  provider.on("server_error", (_context, error) => console.error("the peer's own error:", error));

  const inner = createServer(async (request, response) => {
    const [, kind, uid, step] = new URL(request.url, issuer).pathname.split("/");
    if (kind !== "interaction" || !uid) return provider.callback()(request, response);
    try {
      await interact(provider, request, response, step, state);
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
  inner.listen(0, "127.0.0.1");
  await once(inner, "listening");

  outer.on("request", async (request, response) => {
    const url = new URL(request.url, issuer);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const faults = at(url.pathname);
    const form = new URLSearchParams(body.toString());
    // Fulfilled when whoever asked has the whole answer, or will not get it.
    const ended = once(response, "close");
    faults.note({
      ended,
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      form: Object.fromEntries(form),
      grant: form.get("grant_type"),
      code: form.get("code") && hash(form.get("code")),
      refreshToken: form.get("refresh_token") && hash(form.get("refresh_token")),
      at: Date.now(),
    });
    const fault = faults.queue.shift();
    if (faults.delay) await new Promise((resolve) => setTimeout(resolve, faults.delay));
    switch (fault?.kind) {
      case "fail":
        return response.writeHead(fault.status, fault.headers).end(fault.body);
      case "dropBefore":
        return request.socket.destroy();
      case "endless":
        return pour(response);
      case "hangInBody":
        return void response.writeHead(200, { "content-type": "application/json" }).write("{");
      case "gate":
        if (fault.when === "before") await fault.opened;
    }
    const remembered = url.pathname === "/token" && state.profile !== "strict" && state.replay.get(form.get("refresh_token"));
    const fresh = remembered && (state.profile === "reissue" || Date.now() < remembered.at + state.graceSeconds * 1000);
    const answer = fresh ? remembered.answer : await forward(inner.address().port, request, body);
    if (url.pathname === "/token" && form.get("grant_type") === "refresh_token" && answer.status === 200 && !fresh) {
      state.replay.set(form.get("refresh_token"), { at: Date.now(), answer });
      const key = hash(form.get("refresh_token"));
      state.refreshes.set(key, (state.refreshes.get(key) ?? 0) + 1);
    }
    if (fault?.kind === "dropAfter") return request.socket.destroy();
    if (fault?.kind === "gate" && fault.when === "after") await fault.opened;
    const { "content-length": _, "transfer-encoding": __, ...headers } = answer.headers;
    if (fault?.kind === "patch") {
      const changed = fault.change(JSON.parse(answer.body.toString()), answer);
      return response.writeHead(answer.status, headers).end(typeof changed === "string" ? changed : JSON.stringify(changed));
    }
    response.writeHead(answer.status, headers).end(answer.body);
  });

  return {
    issuer,
    state,
    /** Faults of a path of the provider's. */
    at,
    token: at("/token"),
    /** The private key behind its JWKS, for id tokens of a test's own. */
    key: privateKey,
    async client({ id, secret, redirectUri, auth = "client_secret_basic" }) {
      const metadata = {
        client_id: id,
        ...(auth !== "none" && { client_secret: secret }),
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: auth,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        application_type: "native",
      };
      clients.set(id, new provider.Client(metadata));
    },
    /** Of the token endpoint, the exchanges and refreshes alone. */
    exchanges: () => at("/token").seen.filter(({ grant }) => grant === "authorization_code"),
    refreshes: () => at("/token").seen.filter(({ grant }) => grant === "refresh_token"),
    /** Ends every grant of an account's, as when a person removes the app. */
    async revoke(token, client, secret) {
      const answer = await fetch(`${issuer}/token/revocation`, {
        method: "POST",
        headers: { authorization: `Basic ${Buffer.from(`${client}:${secret}`).toString("base64")}`, "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({ token }),
      });
      await answer.arrayBuffer();
      return answer.status;
    },
    async stop() {
      for (const server of [outer, inner]) {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      }
    },
  };
}

/** A browser without a browser: follows the provider's own pages, and says yes or no. Returns where it is sent at last. */
export async function consent(url, { login = "ann", answer = "yes", scopes } = {}) {
  const jar = new Map();
  let next = url;
  let init = {};
  for (let step = 0; step < 12; step += 1) {
    const response = await fetch(next, { redirect: "manual", ...init, headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "), ...init.headers } });
    for (const cookie of response.headers.getSetCookie()) {
      const [name, ...value] = cookie.split(";")[0].split("=");
      jar.set(name, value.join("="));
    }
    const text = await response.text();
    init = {};
    if (response.status >= 300 && response.status < 400) {
      const location = new URL(response.headers.get("location"), next);
      if (location.origin !== new URL(url).origin) return location.href;
      next = location.href;
      continue;
    }
    const action = /action="([^"]+)"/.exec(text)?.[1];
    if (!action) throw new Error(`the provider's page has no form: ${response.status} ${text.slice(0, 300)}`);
    const page = new URL(action, next);
    if (answer === "no") {
      next = new URL(page.pathname.replace(/\/[^/]+$/, "/abort"), page).href;
      init = { method: "POST" };
    } else {
      next = page.href;
      init = { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: new URLSearchParams({ login, ...(scopes && { scopes: scopes.join(" ") }) }).toString() };
    }
  }
  throw new Error("the provider's pages do not end");
}

/** The provider's pages: who, and whether. Plain forms; no script. */
async function interact(provider, request, response, step, state) {
  const details = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    const name = details.prompt.name;
    const page = `<!doctype html><title>The provider</title><h1>${name === "login" ? "Sign in" : "Allow this app?"}</h1>
<form method="post" action="/interaction/${details.uid}/${name}"><input name="login" value="ann" aria-label="Name"><button id="yes">${name === "login" ? "Sign in" : "Allow"}</button></form>
<form method="post" action="/interaction/${details.uid}/abort"><button id="no">Cancel</button></form>`;
    return response.writeHead(200, { "content-type": "text/html" }).end(page);
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  const finish = (result) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  if (step === "abort") return finish({ error: "access_denied", error_description: "The person said no" });
  if (step === "login") return finish({ login: { accountId: form.get("login") || "ann" } });
  const { params, session, prompt } = details;
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const wanted = prompt.details.missingOIDCScope ?? [];
  const given = form.get("scopes")?.split(" ") ?? state.granted ?? wanted;
  grant.addOIDCScope(wanted.filter((scope) => scope === "openid" || given.includes(scope)).join(" "));
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  const refused = wanted.filter((scope) => scope !== "openid" && !given.includes(scope));
  if (refused.length > 0) grant.rejectOIDCScope(refused.join(" "));
  return finish({ consent: { grantId: await grant.save() } });
}

/** Asks the provider itself. */
function forward(port, request, body) {
  return new Promise((resolve, reject) => {
    const onward = httpRequest({ host: "127.0.0.1", port, method: request.method, path: request.url, headers: { ...request.headers, "x-forwarded-proto": "http", "x-forwarded-host": request.headers.host } }, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) });
    });
    onward.on("error", reject);
    onward.end(body);
  });
}

function pour(response) {
  response.writeHead(200, { "content-type": "application/json" });
  const chunk = Buffer.alloc(16 * 1024, " ");
  const more = () => {
    while (!response.destroyed) {
      if (!response.write(chunk)) return void response.once("drain", more);
    }
  };
  more();
}

// An OAuth provider for trying: see scripts/provider. RFC 6749 with PKCE (RFC 7636, S256), revocation (RFC 7009), and refresh
// tokens that are replaced, each good once.

import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const CLIENT = { id: "postern", secret: "a-secret-for-trying" };
const KEY = "a-key-for-trying";
const { values } = parseArgs({ options: { port: { type: "string", default: "9100" }, access: { type: "string", default: "300" } } });
const accessSeconds = Number(values.access);

const random = (prefix) => prefix + randomBytes(24).toString("base64url");
const codes = new Map();
/** By access token, and by refresh token: the grant, shared by all that came of it. */
const [accesses, refreshes] = [new Map(), new Map()];

function issue(grant) {
  const [access, refresh] = [random("access-"), random("refresh-")];
  accesses.set(access, { grant, ends: Date.now() + accessSeconds * 1000 });
  refreshes.set(refresh, grant);
  return { access_token: access, token_type: "Bearer", expires_in: accessSeconds, refresh_token: refresh, scope: grant.scope };
}

const json = (status, body) => ({ status, headers: { "content-type": "application/json", "cache-control": "no-store" }, body: JSON.stringify(body) });
const wrong = (error, error_description, status = 400) => json(status, { error, error_description });
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** The page that asks: two links, no script. */
function authorize({ query }) {
  let back;
  try {
    back = new URL(query.get("redirect_uri"));
  } catch {
    return wrong("invalid_request", "redirect_uri is missing");
  }
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(back.hostname);
  if (query.get("client_id") !== CLIENT.id || !here || query.get("response_type") !== "code") {
    return wrong("invalid_request", "The client is not known, or its redirect URI is not on this machine");
  }
  const to = (parameters) => {
    const url = new URL(back);
    for (const [name, value] of Object.entries({ ...parameters, state: query.get("state") ?? "" })) url.searchParams.set(name, value);
    return escaped(url.href);
  };
  const code = random("code-");
  const scope = query.get("scope") ?? "";
  codes.set(code, { redirect: query.get("redirect_uri"), challenge: query.get("code_challenge"), scope, ends: Date.now() + 60_000 });
  const body = `<!doctype html><meta charset="utf-8"><title>Trying</title><h1>Allow access?</h1><p>Asked for: ${escaped(scope) || "nothing in particular"}</p>
<p><a id="yes" href="${to({ code })}">Allow</a> <a id="no" href="${to({ error: "access_denied", error_description: "The person said no" })}">Cancel</a></p>\n`;
  return { status: 200, headers: { "content-type": "text/html" }, body };
}

function token({ form, client }) {
  if (client?.id !== CLIENT.id || client.secret !== CLIENT.secret) return wrong("invalid_client", "The client's id or secret is wrong", 401);
  if (form.get("grant_type") === "refresh_token") {
    const grant = refreshes.get(form.get("refresh_token"));
    refreshes.delete(form.get("refresh_token"));
    return grant && !grant.over ? json(200, issue(grant)) : wrong("invalid_grant", "The refresh token is not known (any more)");
  }
  const issued = codes.get(form.get("code"));
  codes.delete(form.get("code"));
  const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
  const holds = issued && Date.now() < issued.ends && issued.redirect === form.get("redirect_uri") && (!issued.challenge || issued.challenge === challenge);
  return holds ? json(200, issue({ scope: issued.scope })) : wrong("invalid_grant", "The code does not hold");
}

function revoke({ form }) {
  const shown = form.get("token");
  const grant = refreshes.get(shown) ?? accesses.get(shown)?.grant;
  if (grant) grant.over = true;
  return json(200, {});
}

/** What an API would say, to whoever has a token that holds. */
function api({ method, url, bearer }) {
  const known = bearer === KEY ? { grant: { scope: "a key's" }, ends: Infinity } : accesses.get(bearer);
  if (!known || known.grant.over || Date.now() > known.ends) return json(401, { message: "Bad credentials" });
  if (url.pathname === "/api/me") return json(200, { id: "7", login: "ann" });
  return json(200, { method, path: url.pathname, query: url.search, scope: known.grant.scope });
}

function answer(came) {
  const { method, url } = came;
  if (method === "GET" && url.pathname === "/authorize") return authorize(came);
  if (method === "POST" && url.pathname === "/token") return token(came);
  if (method === "POST" && url.pathname === "/revoke") return revoke(came);
  // A grant without a page: what a product has that kept its tokens itself until now.
  if (method === "POST" && url.pathname === "/grant") return json(200, issue({ scope: "read" }));
  return url.pathname.startsWith("/api/") ? api(came) : json(404, { message: "Nothing here" });
}

/** HTTP Basic, or both parts in the form (RFC 6749 section 2.3.1). */
function client(header, form) {
  const basic = /^Basic (.+)$/i.exec(header ?? "")?.[1];
  if (!basic) return form.has("client_id") ? { id: form.get("client_id"), secret: form.get("client_secret") } : undefined;
  const [id, secret] = Buffer.from(basic, "base64").toString().split(":").map((part) => decodeURIComponent(part.replaceAll("+", " ")));
  return { id, secret };
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url, "http://127.0.0.1");
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  const { authorization } = request.headers;
  const bearer = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
  const { status, headers, body } = answer({ method: request.method, url, query: url.searchParams, form, bearer, client: client(authorization, form) });
  console.log(`${request.method} ${url.pathname} → ${status}`); // never a query, which holds codes
  response.writeHead(status, headers).end(body);
});
server.on("error", (error) => {
  console.error(`provider: ${error.message}`);
  process.exitCode = 1;
});
server.listen(Number(values.port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

// A provider that stands on this machine instead of its hosts: `https://api.example.com/x` is `/api.example.com/x` here.
// What each stand-in does otherwise than the standard is named in its file, with where the provider says so.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

export const random = (prefix = "", bytes = 18) => prefix + randomBytes(bytes).toString("base64url");

/** An answer in JSON. */
export const json = (status, body, headers = {}) => ({ status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });

/** An answer as a form. */
export const form = (status, body) => ({ status, headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" }, body: new URLSearchParams(body).toString() });

export const empty = (status = 200) => ({ status, headers: {}, body: "" });

/**
 * Routes are `METHOD host/path`, a path may end in `*`. A handler gets what came, read: `{ query, form, json, headers,
 * bearer, basic: [id, secret] | undefined, path, method, raw }`, and returns `{ status, headers, body }`.
 */
export async function startStandIn(routes) {
  const seen = [];
  const scripted = new Map();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const raw = Buffer.concat(chunks).toString();
    const url = new URL(request.url, "http://stand-in");
    const path = url.pathname.slice(1);
    const came = read(request, url, path, raw);
    seen.push(came);
    const route = `${request.method} ${path}`;
    const script = scripted.get(route)?.shift();
    const found = script ?? routes[route] ?? Object.entries(routes).find(([name]) => name.endsWith("*") && route.startsWith(name.slice(0, -1)))?.[1];
    if (!found) return response.writeHead(404, { "content-type": "text/html" }).end(`<h1>no ${route}</h1>`);
    try {
      const { status, headers, body } = await found(came);
      response.writeHead(status, headers).end(body);
    } catch (error) {
      response.writeHead(500, { "content-type": "text/plain" }).end(String(error.stack));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    seen,
    /** Requests of one route, oldest first. */
    of: (route) => seen.filter(({ method, path }) => `${method} ${path}` === route),
    /** The next answer of a route, whatever it would say. */
    next: (route, answer) => void scripted.set(route, [...(scripted.get(route) ?? []), typeof answer === "function" ? answer : () => answer]),
    /** Where a URL of the provider's stands here. */
    at: (url) => here(origin, url),
    /** An entry of the catalogue whose URLs lead here. */
    relocated: (entry) => relocated(entry, origin),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A code with what it was asked for: PKCE, redirect URI and client are compared when it is exchanged. Once. */
export class Codes {
  codes = new Map();

  issue(query, more = {}) {
    const code = random("code_");
    this.codes.set(code, { query, ...more });
    return code;
  }

  /** What the code was issued with, or why it does not hold. */
  redeem(code, { redirectUri, verifier, clientId }) {
    const issued = this.codes.get(code);
    if (!issued) return { error: "unknown" };
    if (issued.used) return { error: "used" };
    if (issued.query.redirect_uri !== redirectUri) return { error: "redirect" };
    if (clientId !== undefined && issued.query.client_id !== clientId) return { error: "client" };
    if (issued.query.code_challenge) {
      const challenge = createHash("sha256").update(verifier ?? "").digest("base64url");
      if (challenge !== issued.query.code_challenge) return { error: "verifier" };
    }
    issued.used = true;
    return issued;
  }
}

/** The provider's page: plain links for yes and no, no script. `consent` follows the first. */
export const page = (title, yes, no) => ({
  status: 200,
  headers: { "content-type": "text/html" },
  body: `<!doctype html><title>${title}</title><h1>${title}</h1><a id="yes" href="${yes.replaceAll("&", "&amp;")}">Allow</a> <a id="no" href="${no.replaceAll("&", "&amp;")}">Cancel</a>`,
});

/** Where the provider sends the browser back to. */
export function back(query, parameters) {
  const url = new URL(query.redirect_uri);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  if (query.state !== undefined) url.searchParams.set("state", query.state);
  return url.href;
}

/** Follows the stand-in's page. */
export async function consent(url, { answer = "yes" } = {}) {
  const response = await fetch(url, { redirect: "manual" });
  const text = await response.text();
  const link = new RegExp(`id="${answer}" href="([^"]+)"`).exec(text)?.[1];
  if (!link) throw new Error(`no way to say ${answer}: ${response.status} ${text.slice(0, 200)}`);
  return link.replaceAll("&amp;", "&");
}

function read(request, url, path, raw) {
  const type = request.headers["content-type"] ?? "";
  const authorization = request.headers.authorization ?? "";
  const basic = /^Basic (.+)$/i.exec(authorization)?.[1];
  return {
    method: request.method,
    path,
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    raw,
    form: type.startsWith("application/x-www-form-urlencoded") ? Object.fromEntries(new URLSearchParams(raw)) : undefined,
    json: type.startsWith("application/json") && raw ? JSON.parse(raw) : undefined,
    bearer: /^Bearer (.+)$/i.exec(authorization)?.[1],
    // RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
    basic: basic && Buffer.from(basic, "base64").toString().split(":").map((part) => decodeURIComponent(part.replaceAll("+", " "))),
  };
}

function here(origin, url) {
  return url.replace(/^https:\/\/([^/]+)/, (_, host) => `${origin}/${host}`);
}

/** Members of an entry that hold what looks like a URL and is not called: pages, and scopes (Google's). */
const NO_URLS = ["docs", "scopes", "scopeAnswers"];

function relocated(entry, origin) {
  if (typeof entry === "string") return entry.startsWith("https://") ? here(origin, entry) : entry;
  if (Array.isArray(entry)) return entry.map((part) => relocated(part, origin));
  if (entry && typeof entry === "object") {
    return Object.fromEntries(Object.entries(entry).map(([name, part]) => [name, NO_URLS.includes(name) ? part : relocated(part, origin)]));
  }
  return entry;
}

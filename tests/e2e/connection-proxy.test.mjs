// The proxy, on workerd, against an API on this machine: what reaches the provider, what comes back, what never leaves.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, describe, test } from "node:test";

import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { API, connect, startProvider, whole } from "./spending.mjs";

let postern;
let api;
let provider;
let base;
let connection;

before(async () => {
  [postern, provider] = await Promise.all([start(), startProvider()]);
  api = caller(postern);
  base = `/api/v1/app/${(await api.ok("POST", "/api/v1/app", { name: "Spender" })).id}`;
  connection = await connect(postern, base, provider, { callerHeaders: ["x-of-the-provider"], headers: { "x-version": "2026-11-01" }, bases: { other: `${provider.origin}/other` } });
});

after(async () => {
  await postern?.stop();
  await provider?.stop();
});

/** A request to the proxy. */
function proxy(path, { method = "GET", headers = {}, body, of = connection, token = postern.token() } = {}) {
  return postern.fetch(`${of.path}/proxy${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    body,
    ...(body && { duplex: "half" }),
  });
}

/** The same with a path that no client has tidied up. */
function raw(path, { method = "GET", headers = {} } = {}) {
  const { hostname, port } = new URL(postern.url);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path: connection.path + path, headers: { authorization: `Bearer ${postern.token()}`, ...headers } });
    request.on("response", async (response) => {
      const text = (await whole(response)).toString();
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.on("upgrade", (response, socket) => (socket.destroy(), resolve({ status: response.statusCode, text: "upgraded" })));
    request.on("error", reject);
    request.end();
  });
}

const status = (code, headers = {}, body = "") => (_request, response) => response.writeHead(code, headers).end(body);
const last = () => provider.calls.at(-1);

describe("what reaches the provider", () => {
  test("any method, its path, query and body, with the connection's token and none of the caller's", async () => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"]) {
      const body = ["POST", "PUT", "PATCH", "REPORT"].includes(method) ? `a body of ${method}` : undefined;
      const answer = await proxy("/things/a%20b?x=1&y=%2F", { method, body });
      assert.equal(answer.status, 200, `${method}: ${await answer.clone().text()}`);
      assert.deepEqual(await answer.json(), { method, url: `${API}/things/a%20b?x=1&y=%2F`, body: body ?? "" });
      assert.equal(last().headers.authorization, `Bearer ${provider.tokens.at(-1)}`);
    }
    const head = await proxy("/things", { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(last().method, "HEAD");
    await proxy("/things/");
    assert.equal(last().url, `${API}/things/`, "a slash at the end is the API's business");
    await proxy("");
    assert.equal(last().url, API);
  });

  test("another of the provider's bases by its name", async () => {
    const answer = await proxy("/@other/mail?a=1");
    assert.equal((await answer.json()).url, "/other/mail?a=1");
    const unknown = await proxy("/@evil.example/mail");
    assert.equal(unknown.status, 400);
    assert.match((await unknown.json()).detail, /no base of this name/);
  });

  test("of the caller's headers the usual ones and the provider's own, never a credential or a trace of where it came from", async () => {
    const passed = { accept: "application/json", "if-none-match": '"1"', "content-type": "text/plain", "idempotency-key": "k1", prefer: "minimal", "x-of-the-provider": "yes" };
    const dropped = { cookie: "session=secret", "x-forwarded-for": "1.2.3.4", "x-forwarded-host": "evil.example", forwarded: "for=1.2.3.4", "x-anything": "no", "cf-connecting-ip": "1.2.3.4", "proxy-authorization": "Basic x", origin: "https://evil.example", referer: "https://evil.example/" };
    const answer = await proxy("/headers", { method: "POST", body: "b", headers: { ...passed, ...dropped } });
    assert.equal(answer.status, 200);
    const { headers } = last();
    for (const [name, value] of Object.entries(passed)) assert.equal(headers[name], value, name);
    for (const name of Object.keys(dropped).filter((name) => name !== "cf-connecting-ip")) assert.equal(headers[name], undefined, name);
    assert.notEqual(headers["cf-connecting-ip"], "1.2.3.4");
    assert.equal(headers.host, new URL(provider.origin).host);
    assert.match(headers["user-agent"], /^Postern\//);
    assert.equal(headers["x-version"], "2026-11-01", "what the provider's entry says every request carries");
    assert.ok(!JSON.stringify(headers).includes(postern.token().slice(0, 20)), "our own token stays here");
  });

  test("a large body streams through, and its first part arrives before its last is sent", async () => {
    let arrived;
    const first = new Promise((resolve) => (arrived = resolve));
    provider.answer(`${API}/upload`, async (request, response) => {
      let bytes = 0;
      for await (const chunk of request) {
        bytes += chunk.length;
        arrived();
      }
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ bytes }));
    });
    const part = new Uint8Array(64 * 1024).fill(7);
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(part);
        await first; // the provider has it: only now the rest is sent
        for (let n = 0; n < 159; n += 1) controller.enqueue(part);
        controller.close();
      },
    });
    const answer = await proxy("/upload", { method: "POST", body });
    assert.equal(answer.status, 200, await answer.clone().text());
    assert.deepEqual(await answer.json(), { bytes: 160 * part.length });
  });

  test("a body over 100 MB by its own word is refused, and nothing is sent", async () => {
    const before = provider.calls.length;
    const answer = await raw("/proxy/upload", { method: "POST", headers: { "content-length": "100000001", connection: "close" } }).catch((error) => error);
    if (answer instanceof Error) assert.match(String(answer), /ECONNRESET|EPIPE|socket hang up/);
    else assert.equal(answer.status, 413);
    assert.equal(provider.calls.length, before);
  });
});

describe("what comes back", () => {
  test("the provider's status and body, sandboxed, never cached, without cookies and what belongs to its origin", async () => {
    provider.answer(`${API}/answer`, status(418, {
      "content-type": "application/json", etag: '"e"', "x-ratelimit-remaining": "7", "x-request-id": "r1", link: '<https://x>; rel="next"',
      "set-cookie": ["a=1", "b=2"], "strict-transport-security": "max-age=1", "content-security-policy": "default-src *", "alt-svc": "h3", "cache-control": "public, max-age=600",
      "access-control-allow-origin": "*", "clear-site-data": '"*"', "x-echo": `token ${provider.tokens.at(-1)}`,
    }, '{"teapot":true}'));
    const answer = await proxy("/answer");
    assert.equal(answer.status, 418);
    assert.deepEqual(await answer.json(), { teapot: true });
    const { headers } = answer;
    assert.equal(headers.get("content-security-policy"), "sandbox; default-src 'none'");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(headers.get("etag"), '"e"');
    assert.equal(headers.get("x-ratelimit-remaining"), "7");
    assert.equal(headers.get("x-request-id"), "r1");
    assert.equal(headers.get("postern-attempts"), "1");
    assert.equal(headers.get("postern-token-generation"), "1");
    for (const name of ["set-cookie", "strict-transport-security", "alt-svc", "access-control-allow-origin", "clear-site-data", "x-echo"]) {
      assert.equal(headers.get(name), null, name);
    }
  });

  test("a page comes back as text, whatever it calls itself", async () => {
    for (const type of ["text/html; charset=utf-8", "application/xhtml+xml", "image/svg+xml", "TEXT/HTML"]) {
      provider.answer(`${API}/page`, status(200, { "content-type": type }, "<script>alert(1)</script>"));
      const answer = await proxy("/page");
      assert.match(answer.headers.get("content-type"), /^text\/plain/, type);
      assert.equal(await answer.text(), "<script>alert(1)</script>");
    }
  });

  test("a stream comes as it is made: the first part is here before the provider sends the second", async () => {
    let go;
    const seen = new Promise((resolve) => (go = resolve));
    provider.answer(`${API}/events`, async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: one\n\n");
      await seen;
      response.end("data: two\n\n");
    });
    const answer = await proxy("/events");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, "data: one\n\n");
    go();
    assert.equal((await reader.read()).value, "data: two\n\n");
    assert.equal((await reader.read()).done, true);
  });

  test("a large answer comes whole", async () => {
    const bytes = 20 * 1024 * 1024;
    provider.answer(`${API}/download`, (_request, response) => void response.writeHead(200, { "content-type": "application/octet-stream" }).end(Buffer.alloc(bytes, 3)));
    const answer = await proxy("/download");
    let came = 0;
    for await (const chunk of answer.body) came += chunk.length;
    assert.equal(came, bytes);
  });

  test("a redirect is handed on and never followed: inside the API as a path of the proxy's, elsewhere as it is", async () => {
    provider.answer(`${API}/moved`, status(302, { location: `${API}/new?a=1` }), status(302, { location: "https://elsewhere.example/x" }));
    const before = provider.calls.length;
    const inside = await proxy("/moved");
    assert.equal(inside.status, 302);
    assert.equal(inside.headers.get("location"), `${connection.path}/proxy/new?a=1`);
    const outside = await proxy("/moved");
    assert.equal(outside.headers.get("location"), "https://elsewhere.example/x");
    assert.equal(provider.calls.length, before + 2);
  });
});

describe("what never leaves", () => {
  test("no path leads out of the API, however it is written", async () => {
    const before = provider.calls.length;
    const refused = [
      "/proxy//evil.example/x", "/proxy/a//b", "/proxy/a%2fb", "/proxy/a%2F..%2Fb", "/proxy/a%5cb", "/proxy/%00", "/proxy/a%zz",
      "/proxy/\\evil.example", "/proxy/https://evil.example/", "/proxy//https://evil.example", "/proxy/x?access_token=stolen", "/proxy/@nobody/x",
    ];
    for (const path of refused) {
      const answer = await raw(path);
      assert.equal(answer.status, 400, `${path}: ${answer.status} ${answer.text}`);
      assert.equal(JSON.parse(answer.text).code, "bad_request", path);
    }
    // Dots are walked before anything is looked at: these are other paths of Postern's own, and none of the proxy's.
    for (const path of ["/proxy/../../../x", "/proxy/%2e%2e/nothing", "/proxy/.%2e/%2E./x", "/proxy/a\\..\\..\\b"]) {
      const answer = await raw(path);
      assert.ok([400, 404, 405].includes(answer.status), `${path}: ${answer.status}`);
    }
    assert.equal(provider.calls.length, before, "nothing was sent");
    // What only looks like a host is a name like any other, below the base.
    const name = await raw("/proxy/user@evil.example:80/x");
    assert.equal(JSON.parse(name.text).url, `${API}/user@evil.example:80/x`);
  });

  test("neither TRACE nor a WebSocket", async () => {
    const before = provider.calls.length;
    const trace = await raw("/proxy/x", { method: "TRACE" });
    assert.ok(trace.status >= 400 && trace.status < 600, String(trace.status));
    const socket = await raw("/proxy/x", { headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" } });
    assert.equal(socket.status, 400, socket.text);
    assert.match(JSON.parse(socket.text).detail, /WebSocket/);
    assert.equal(provider.calls.length, before);
  });

  test("another tenant's connection is 404, a portal's and a wrong token go nowhere, and so does a connection that is off", async () => {
    const before = provider.calls.length;
    const other = (await api.ok("POST", "/api/v1/app", { name: "Other" })).id;
    const stolen = await postern.fetch(`/api/v1/app/${other}/connection/${connection.id}/proxy/x`, { headers: { authorization: `Bearer ${postern.token()}` } });
    assert.equal(stolen.status, 404);
    const theirs = await proxy("/x", { token: postern.token({ app: other }) });
    assert.equal(theirs.status, 404);
    const nobody = await proxy("/x", { token: "nothing" });
    assert.equal(nobody.status, 401);
    const cookie = await postern.fetch(`${connection.path}/proxy/x`, { headers: { cookie: `token=${postern.token()}` } });
    assert.equal(cookie.status, 401);
    const off = await connect(postern, base, provider);
    await api.ok("PATCH", off.path, { enabled: false });
    const answer = await proxy("/x", { of: off });
    assert.equal(answer.status, 409);
    assert.match((await answer.json()).detail, /[Ss]witched off/);
    assert.equal(provider.calls.length, before);
  });

  test("a base that leads to a private address is refused when it is set, where none is allowed", async () => {
    const strict = await start({ vars: { ALLOW_PRIVATE_ADDRESSES: "" } });
    try {
      const ask = caller(strict);
      const own = `/api/v1/app/${(await ask.ok("POST", "/api/v1/app", { name: "Strict" })).id}`;
      for (const address of [provider.origin, "https://10.0.0.1/v1", "https://169.254.169.254/latest", "https://[::1]/", "https://localhost/", "http://api.example.com/v1"]) {
        const made = await ask("POST", `${own}/oauth-app`, {
          name: "Inside", provider: "oauth2", clientId: "c", clientSecret: "a long enough secret", scopes: ["a"],
          providerConfig: { name: "P", oauth: { authorizeUrl: "https://id.example.com/a", tokenUrl: "https://id.example.com/t" }, api: { base: address } },
        });
        assert.equal(made.status, 422, `${address}: ${JSON.stringify(made.body)}`);
        assert.ok(JSON.stringify(made.body.detail).includes("api"), JSON.stringify(made.body));
      }
    } finally {
      await strict.stop();
    }
  });
});

describe("tokens", () => {
  test("a 401 is met by one refresh and one more try, with the new token and the same body", async () => {
    const own = await connect(postern, base, provider);
    const old = provider.tokens.at(-1);
    const refreshes = provider.state.refreshes;
    provider.answer(`${API}/again`, status(401, { "www-authenticate": 'Bearer error="invalid_token"' }));
    const answer = await proxy("/again", { of: own, method: "POST", body: "twice" });
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).body, "twice");
    assert.equal(answer.headers.get("postern-attempts"), "2");
    assert.equal(answer.headers.get("postern-token-generation"), "2");
    assert.equal(provider.state.refreshes, refreshes + 1);
    const [first, second] = provider.of(`${API}/again`).slice(-2);
    assert.equal(first.headers.authorization, `Bearer ${old}`);
    assert.equal(second.headers.authorization, `Bearer ${provider.tokens.at(-1)}`);
    assert.notEqual(provider.tokens.at(-1), old);
  });

  test("many 401 at once are one refresh", async () => {
    const own = await connect(postern, base, provider);
    const old = provider.tokens.at(-1);
    const refreshes = provider.state.refreshes;
    provider.always(`${API}/crowd`, (request, response) => {
      const good = request.headers.authorization !== `Bearer ${old}`;
      response.writeHead(good ? 200 : 401).end(good ? "in" : "");
    });
    const answers = await Promise.all(Array.from({ length: 12 }, () => proxy("/crowd", { of: own })));
    assert.deepEqual(answers.map(({ status }) => status), Array(12).fill(200));
    assert.equal(provider.state.refreshes, refreshes + 1);
  });

  test("a second 401 goes to the caller, and a third token is not asked for", async () => {
    const own = await connect(postern, base, provider);
    const refreshes = provider.state.refreshes;
    provider.always(`${API}/never`, status(401, { "content-type": "application/json" }, '{"no":true}'));
    const answer = await proxy("/never", { of: own });
    assert.equal(answer.status, 401);
    assert.deepEqual(await answer.json(), { no: true });
    assert.equal(provider.state.refreshes, refreshes + 1);
    assert.equal(provider.of(`${API}/never`).length, 2);
  });

  test("403, and a 401 that only misses a scope, refresh nothing", async () => {
    const refreshes = provider.state.refreshes;
    provider.answer(`${API}/scope`, status(403), status(401, { "www-authenticate": 'Bearer error="insufficient_scope"' }));
    assert.equal((await proxy("/scope")).status, 403);
    assert.equal((await proxy("/scope")).status, 401);
    assert.equal(provider.state.refreshes, refreshes);
  });

  test("a provider that says in 200 that the token is over is understood", async () => {
    const own = await connect(postern, base, provider, { unauthorised: ["token_expired"] });
    provider.answer(`${API}/slack`, status(200, { "content-type": "application/json" }, '{"ok":false,"error":"token_expired"}'));
    const answer = await proxy("/slack", { of: own });
    assert.equal(answer.headers.get("postern-attempts"), "2");
    assert.equal((await answer.json()).method, "GET");
  });

  test("a token is placed as the provider wants it", async () => {
    const own = await connect(postern, base, provider, { place: { header: "X-Access-Token" } });
    const answer = await proxy("/placed", { of: own });
    assert.equal(answer.status, 200);
    assert.equal(last().headers["x-access-token"], provider.tokens.at(-1));
    assert.equal(last().headers.authorization, undefined);
  });
});

describe("tries and limits", () => {
  test("what may be done twice is tried up to three times, anything else once", async () => {
    provider.answer(`${API}/flaky`, status(503), status(502));
    const get = await proxy("/flaky");
    assert.equal(get.status, 200);
    assert.equal(get.headers.get("postern-attempts"), "3");
    for (const method of ["POST", "PATCH"]) {
      provider.answer(`${API}/flaky`, status(503, {}, "busy"));
      const answer = await proxy("/flaky", { method, body: "b" });
      assert.equal(answer.status, 503, method);
      assert.equal(answer.headers.get("postern-attempts"), "1");
    }
    provider.answer(`${API}/flaky`, status(503));
    const keyed = await proxy("/flaky", { method: "POST", body: "b", headers: { "idempotency-key": "one" } });
    assert.equal(keyed.status, 200);
    assert.equal(keyed.headers.get("postern-attempts"), "2");
  });

  test("a connection that is cut off is tried again where that is safe, else 502 says what happened", async () => {
    const cut = (request) => void request.socket.destroy();
    provider.answer(`${API}/cut`, cut);
    assert.equal((await proxy("/cut")).status, 200);
    provider.answer(`${API}/cut`, cut);
    const before = provider.of(`${API}/cut`).length;
    const post = await proxy("/cut", { method: "POST", body: "b" });
    assert.equal(post.status, 502);
    assert.match((await post.json()).detail, /gave no answer/);
    assert.equal(provider.of(`${API}/cut`).length, before + 1);
  });

  test("a short Retry-After is waited for, a long one is handed on", async () => {
    provider.answer(`${API}/wait`, status(503, { "retry-after": "1" }));
    const began = Date.now();
    const short = await proxy("/wait");
    assert.equal(short.status, 200);
    assert.ok(Date.now() - began >= 900, "it was waited for");
    provider.answer(`${API}/wait`, status(503, { "retry-after": "60" }, "later"));
    const long = await proxy("/wait");
    assert.equal(long.status, 503);
    assert.equal(long.headers.get("retry-after"), "60");
    assert.equal(await long.text(), "later");
  });

  test("a 429 with Retry-After closes the API for everybody who spends the connection, until then", async () => {
    const own = await connect(postern, base, provider);
    provider.answer(`${API}/slow`, status(429, { "retry-after": "3" }, "slower"));
    const first = await proxy("/slow", { of: own });
    assert.equal(first.status, 429);
    assert.equal(await first.text(), "slower", "the provider's own words");
    const before = provider.calls.length;
    const second = await proxy("/slow", { of: own });
    assert.equal(second.status, 429);
    const wait = Number(second.headers.get("retry-after"));
    assert.ok(wait >= 1 && wait <= 3, String(wait));
    assert.match((await second.json()).detail, /provider's own limit; try again in \d s/);
    assert.equal(provider.calls.length, before, "nothing was sent");
    const open = await eventually(() => proxy("/slow", { of: own }), ({ status }) => status === 200, "it opens again", 10_000);
    assert.equal(open.status, 200);
  });

  test("a limit by the second refuses with 429, says which it is and when there is room", async () => {
    const own = await connect(postern, base, provider, { limits: { perSecond: 2 } });
    const before = provider.calls.length;
    const answers = await Promise.all(Array.from({ length: 8 }, () => proxy("/fast", { of: own })));
    const refused = answers.filter(({ status }) => status === 429);
    // At the turn of a second two more may have gone.
    assert.ok(refused.length >= 4 && refused.length <= 6, String(refused.length));
    assert.equal(provider.calls.length, before + 8 - refused.length);
    assert.equal(refused[0].headers.get("retry-after"), "1");
    const { code, detail } = await refused[0].json();
    assert.equal(code, "rate_limited");
    assert.match(detail, /requests per second; try again in 1 s/);
    await eventually(() => proxy("/fast", { of: own }), ({ status }) => status === 200, "there is room again", 10_000);
  });

  test("a limit by the day refuses what is more", async () => {
    const own = await connect(postern, base, provider, { limits: { perDay: 3 } });
    for (let n = 0; n < 3; n += 1) assert.equal((await proxy("/daily", { of: own })).status, 200);
    const refused = await proxy("/daily", { of: own });
    assert.equal(refused.status, 429, await refused.clone().text());
    assert.ok(Number(refused.headers.get("retry-after")) > 3600);
    assert.match((await refused.json()).detail, /requests per day/);
  });

  test("its owner sets a limit of its own, which a fault leaves as it was, and gives the provider's back", async () => {
    const own = await connect(postern, base, provider, { limits: { perDay: 50 } });
    const set = (limits) => api("PATCH", own.path, { limits });
    assert.deepEqual((await set({ perDay: 2 })).body.limits, { perSecond: null, perMinute: null, perDay: 2 });
    for (const [limits, at] of [[{ perDay: 0 }, "perDay"], [{ perHour: 5 }, "perHour"], [{ perSecond: "5" }], [{ perSecond: 2 ** 32 }], [5], [[]]]) {
      const refused = await set(limits);
      assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "limits", ...(at ? [at] : [])]], JSON.stringify(limits));
    }
    for (let n = 0; n < 2; n += 1) assert.equal((await proxy("/own", { of: own })).status, 200);
    assert.equal((await proxy("/own", { of: own })).status, 429);
    assert.equal((await set(null)).body.limits.perDay, 50);
    assert.equal((await proxy("/own", { of: own })).status, 200);
  });

  test("uses are counted and shown", async () => {
    const own = await connect(postern, base, provider);
    for (let n = 0; n < 5; n += 1) await proxy("/used", { of: own });
    provider.answer(`${API}/used`, status(401), status(200), status(429, { "retry-after": "5" }));
    assert.equal((await proxy("/used", { of: own })).headers.get("postern-attempts"), "2");
    // What an isolate spent from memory it tells with its next lease: after a 429 it takes one.
    for (const _ of "12") assert.equal((await proxy("/used", { of: own })).status, 429);
    const view = await api.ok("GET", own.path);
    assert.equal(view.used24h, 8, JSON.stringify(view));
    assert.ok(view.lastUsedAt);
  });
});

test("an entry without an API says so, and what to do", async () => {
  const own = await connect(postern, base, provider, null);
  const answer = await proxy("/x", { of: own });
  assert.equal(answer.status, 409);
  assert.match((await answer.json()).detail, /api\.base/);
});

test("nothing of a token stands in the log", () => {
  const log = JSON.stringify(postern.logs);
  for (const token of provider.tokens) assert.ok(!log.includes(token));
});

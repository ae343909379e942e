// Endpoints that name a connection, on workerd: deliveries carry its token, and the token stands nowhere else.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { API, connect, reconnect, settings, startProvider } from "./spending.mjs";

let postern;
let api;
let provider;
let app;
let base;

before(async () => {
  [postern, provider] = await Promise.all([start(), startProvider()]);
  api = caller(postern);
  app = (await api.ok("POST", "/api/v1/app", { name: "Spender" })).id;
  base = `/api/v1/app/${app}`;
});

after(async () => {
  await postern?.stop();
  await provider?.stop();
});

const status = (code, headers = {}, body = "") => (_request, response) => response.writeHead(code, headers).end(body);

let count = 0;
/** An endpoint at a path of its own below the provider's API. */
async function endpoint(connection, settings = {}) {
  const path = `${API}/hook-${(count += 1)}`;
  const made = await api.ok("POST", `${base}/endpoint`, { url: provider.origin + path, connectionId: connection.id, retrySchedule: [1, 1, 1], eventTypes: [`only.${count}`], ...settings });
  return { ...made, path: `${base}/endpoint/${made.id}`, at: path, type: `only.${count}` };
}

const publish = (to, payload = { n: 1 }) => api.ok("POST", `${base}/msg`, { eventType: to.type, payload });
const attempts = async (message) => (await api.ok("GET", `${base}/attempt/msg/${message.id}?limit=50`)).data.reverse();
const settled = (message, n) => eventually(() => attempts(message), (list) => list.length >= n, `${n} attempts`);

describe("what an endpoint may name", () => {
  test("its own tenant's connection, by id or uid, shown by its id; null takes it away", async () => {
    const connection = await connect(postern, base, provider);
    await api.ok("PATCH", connection.path, { uid: "main" });
    const url = `${provider.origin}${API}/a`;
    const made = await api.ok("POST", `${base}/endpoint`, { url, connectionId: "main", eventTypes: ["none"] });
    assert.equal(made.connectionId, connection.id);
    const path = `${base}/endpoint/${made.id}`;
    assert.equal((await api.ok("GET", path)).connectionId, connection.id);
    assert.equal((await api.ok("PATCH", path, { description: "x" })).connectionId, connection.id);
    assert.equal((await api.ok("PATCH", path, { connectionId: null })).connectionId, null);
    assert.equal((await api.ok("PATCH", path, { connectionId: connection.id })).connectionId, connection.id);
    assert.equal((await api.ok("PUT", path, { url, eventTypes: ["none"], connectionId: connection.id })).connectionId, connection.id);
    assert.equal((await api.ok("PUT", path, { url, eventTypes: ["none"] })).connectionId, null, "what replaces it says all of it");
  });

  test("nobody else's, none that never was, and nothing that is no name", async () => {
    const other = (await api.ok("POST", "/api/v1/app", { name: "Other" })).id;
    const theirs = await connect(postern, `/api/v1/app/${other}`, provider);
    const url = `${provider.origin}${API}/b`;
    const own = await api.ok("POST", `${base}/endpoint`, { url, eventTypes: ["none"] });
    for (const connectionId of [theirs.id, `conn_${"0".repeat(27)}`, "no-such-uid", "", "a b", 7, {}]) {
      for (const [method, path, body] of [["POST", `${base}/endpoint`, { url }], ["PUT", `${base}/endpoint/${own.id}`, { url }], ["PATCH", `${base}/endpoint/${own.id}`, {}]]) {
        const refused = await api(method, path, { ...body, connectionId });
        assert.equal(refused.status, 422, `${method} ${JSON.stringify(connectionId)}: ${JSON.stringify(refused.body)}`);
        assert.deepEqual(refused.body.detail[0].loc, ["body", "connectionId"]);
      }
    }
    assert.equal((await api.ok("GET", `${base}/endpoint/${own.id}`)).connectionId, null);
  });

  test("only with a URL below the connection's API, whichever of the two is changed", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection);
    for (const url of ["https://collector.example/take", `${provider.origin}/outside`, `${provider.origin}${API}/../outside`, `${provider.origin}${API}x/a`, `${provider.origin}${API}/..%2foutside`]) {
      const made = await api("POST", `${base}/endpoint`, { url, connectionId: connection.id });
      const moved = await api("PATCH", own.path, { url });
      for (const refused of [made, moved]) {
        assert.equal(refused.status, 422, `${url}: ${JSON.stringify(refused.body)}`);
        assert.deepEqual(refused.body.detail[0].loc, ["body", "url"]);
        assert.match(refused.body.detail[0].msg, /below the API of the connection/);
      }
    }
    const elsewhere = await api.ok("POST", `${base}/endpoint`, { url: "https://collector.example/take", eventTypes: ["none"] });
    assert.equal((await api("PATCH", `${base}/endpoint/${elsewhere.id}`, { connectionId: connection.id })).status, 422);
    // Without a connection the same URL is anybody's business.
    assert.equal((await api("PATCH", own.path, { url: "https://collector.example/take", connectionId: null })).status, 200);
  });

  test("not at one that is polled, and not with a connection that has no API or is over", async () => {
    const connection = await connect(postern, base, provider);
    const polled = await api("POST", `${base}/endpoint`, { type: "polling", connectionId: connection.id });
    assert.equal(polled.status, 422, JSON.stringify(polled.body));
    const bare = await connect(postern, base, provider, null);
    const refused = await api("POST", `${base}/endpoint`, { url: `${provider.origin}${API}/c`, connectionId: bare.id });
    assert.equal(refused.status, 422);
    assert.match(refused.body.detail[0].msg, /api\.base/);
    await api.ok("DELETE", connection.path);
    const over = await api("POST", `${base}/endpoint`, { url: `${provider.origin}${API}/c`, connectionId: connection.id });
    assert.equal(over.status, 422, JSON.stringify(over.body));
  });

  test("a portal may keep it or take it away, and neither name one nor turn its token elsewhere", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection);
    const access = await api.ok("POST", `/api/v1/auth/app-portal-access/${app}`, {});
    const portal = caller(postern, access.token);
    for (const [method, path, body] of [
      ["POST", `${base}/endpoint`, { url: own.url, connectionId: connection.id }],
      ["PATCH", own.path, { connectionId: connection.id }],
      ["PATCH", own.path, { url: `${provider.origin}${API}/elsewhere` }],
      ["PUT", own.path, { url: own.url, connectionId: connection.id }],
    ]) {
      const refused = await portal(method, path, body);
      assert.equal(refused.status, 403, `${method} ${JSON.stringify(body)}: ${refused.status} ${JSON.stringify(refused.body)}`);
    }
    assert.equal((await portal("PATCH", own.path, { description: "mine" })).body.connectionId, connection.id);
    assert.equal((await portal("PATCH", own.path, { connectionId: null })).body.connectionId, null);
  });
});

describe("what a delivery carries", () => {
  test("the token, over what the endpoint's owner set, beside the signature; and none without a connection", async () => {
    const connection = await connect(postern, base, provider, { headers: { "x-version": "1" } });
    const token = provider.tokens.at(-1);
    const own = await endpoint(connection, { headers: { authorization: "Bearer own", "x-own": "yes" } });
    const message = await publish(own);
    await settled(message, 1);
    const [call] = provider.of(own.at);
    assert.equal(call.headers.authorization, `Bearer ${token}`);
    assert.equal(call.headers["x-own"], "yes");
    assert.equal(call.headers["x-version"], "1");
    assert.ok(call.headers["webhook-signature"]);

    await api.ok("PATCH", own.path, { connectionId: null });
    const bare = await publish(own);
    await settled(bare, 1);
    assert.equal(provider.of(own.at).at(-1).headers.authorization, "Bearer own");
  });

  test("in the header that the provider wants, hidden in the attempt's record", async () => {
    const connection = await connect(postern, base, provider, { place: { header: "X-Of-Theirs" } });
    const own = await endpoint(connection);
    const message = await publish(own);
    const [attempt] = await settled(message, 1);
    assert.equal(provider.of(own.at)[0].headers["x-of-theirs"], provider.tokens.at(-1));
    const shown = await api.ok("GET", `${base}/msg/${message.id}/attempt/${attempt.id}/headers`);
    const text = JSON.stringify(shown);
    assert.ok(/x-of-theirs/i.test(text), text);
    assert.ok(!text.includes(provider.tokens.at(-1)));
  });

  test("of many deliveries the object is asked once, and all carry the same token", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection);
    const tokens = provider.tokens.length;
    const messages = await Promise.all(Array.from({ length: 20 }, (_, n) => publish(own, { n })));
    for (const message of messages) await settled(message, 1);
    const carried = new Set(provider.of(own.at).map(({ headers }) => headers.authorization));
    assert.deepEqual([...carried], [`Bearer ${provider.tokens.at(-1)}`]);
    assert.equal(provider.tokens.length, tokens, "and nothing was refreshed");
  });

  test("a test attempt carries it too", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection);
    const attempt = await api.ok("POST", `${own.path}/msg/test-attempt`, { eventType: "test", payload: {} });
    assert.equal(attempt.responseStatusCode, 200);
    assert.equal(provider.of(own.at)[0].headers.authorization, `Bearer ${provider.tokens.at(-1)}`);
  });
});

describe("when the token does not hold", () => {
  test("a 401 is an attempt that failed; the connection gets a new token, and the next attempt carries it", async () => {
    const connection = await connect(postern, base, provider);
    const old = provider.tokens.at(-1);
    const own = await endpoint(connection);
    provider.always(own.at, (request, response) => response.writeHead(request.headers.authorization === `Bearer ${old}` ? 401 : 200).end());
    const message = await publish(own);
    const [first, second] = await settled(message, 2);
    assert.equal(first.cause, "token_refused");
    assert.equal(first.responseStatusCode, 401);
    assert.equal(first.whoActs, "owner");
    assert.match(first.causeText, /next attempt carries it/);
    assert.equal(second.status, 0);
    const calls = provider.of(own.at);
    assert.equal(calls.length, 2, "each attempt is one request");
    assert.equal(calls[1].headers.authorization, `Bearer ${provider.tokens.at(-1)}`);
    assert.equal((await api.ok("GET", connection.path)).generation, 2);
  });

  test("many 401 at once are one refresh", async () => {
    const connection = await connect(postern, base, provider);
    const old = provider.tokens.at(-1);
    const refreshes = provider.state.refreshes;
    const own = await endpoint(connection);
    provider.always(own.at, (request, response) => response.writeHead(request.headers.authorization === `Bearer ${old}` ? 401 : 200).end());
    const messages = await Promise.all(Array.from({ length: 10 }, (_, n) => publish(own, { n })));
    for (const message of messages) {
      await eventually(() => attempts(message), (list) => list.some(({ status }) => status === 0), "it arrived");
    }
    assert.equal(provider.state.refreshes, refreshes + 1);
  });

  test("a connection that cannot be spent fails the attempt with a cause of its own; the delivery waits, nothing is sent, and it arrives once it can", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection, { retrySchedule: Array(10).fill(1), disableAfter: { failed: 1, days: 0 } });
    await api.ok("PATCH", connection.path, { enabled: false });
    const message = await publish(own);
    const [first] = await settled(message, 2);
    assert.equal(first.cause, "connection_unavailable");
    assert.equal(first.responseStatusCode, 0);
    assert.match(first.causeText, /nothing was sent/);
    assert.ok(first.nextAttempt || first.nextStep);
    assert.equal(provider.of(own.at).length, 0);
    await api.ok("PATCH", connection.path, { enabled: true });
    await eventually(() => attempts(message), (list) => list.some(({ status }) => status === 0), "it arrived");
    assert.equal((await api.ok("GET", own.path)).disabled, false);
  });

  test("a connection that was disconnected is spent no more", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection, { retrySchedule: [] });
    await api.ok("DELETE", connection.path);
    const message = await publish(own);
    const [only] = await settled(message, 1);
    assert.equal(only.cause, "connection_unavailable");
    assert.equal(provider.of(own.at).length, 0);
  });

  test("an API that has moved since leaves its endpoints without token and message, and says so", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection, { retrySchedule: [] });
    await api.ok("PATCH", `${base}/oauth-app/${connection.app}`, { providerConfig: settings(provider, { base: `${provider.origin}/v2` }) });
    await reconnect(postern, base, connection);
    const message = await publish(own);
    const [only] = await settled(message, 1);
    assert.equal(only.cause, "outside_connection");
    assert.match(only.causeText, /neither the token nor the message was sent/);
    assert.equal(provider.of(own.at).length, 0);
    await api.ok("PATCH", own.path, { url: `${provider.origin}/v2/hook` });
    await publish(own);
    await provider.until(() => provider.of("/v2/hook").length === 1, "the delivery");
    assert.equal(provider.of("/v2/hook")[0].headers.authorization, `Bearer ${provider.tokens.at(-1)}`);
  });

  test("a redirect is not followed, with the token or without it", async () => {
    const connection = await connect(postern, base, provider);
    const own = await endpoint(connection, { retrySchedule: [] });
    provider.always(own.at, status(307, { location: `${provider.origin}/stolen` }));
    const [only] = await settled(await publish(own), 1);
    assert.equal(only.cause, "redirect");
    assert.equal(provider.of("/stolen").length, 0);
  });
});

test("a receiver that repeats the token does not get it into a record, and it stands in no log", async () => {
  const connection = await connect(postern, base, provider);
  const token = provider.tokens.at(-1);
  const own = await endpoint(connection, { retrySchedule: [1] });
  provider.answer(own.at, (request, response) => {
    const echo = request.headers.authorization;
    response.writeHead(500, { "x-echo": echo, "x-plain": "kept" }).end(`you sent ${echo}, twice: ${token}`);
  });
  const message = await publish(own);
  const [first] = await settled(message, 2);
  assert.match(first.response, /you sent Bearer \*+, twice: \*+$/);
  const headers = await api.ok("GET", `${base}/msg/${message.id}/attempt/${first.id}/headers`);
  assert.ok(!JSON.stringify(headers).includes(token));
  assert.ok(JSON.stringify(headers).includes("x-plain"));
  const log = JSON.stringify(postern.logs);
  for (const known of provider.tokens) assert.ok(!log.includes(known));
});

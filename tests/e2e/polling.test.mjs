// The log, read instead of sent: pollers with the official Svix SDKs, streams with the clients that people have.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startKillable } from "./killable.mjs";
import { startReceiver } from "./receiver.mjs";

let postern, receiver, api;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

const makeApp = async (call = api) => (await call.ok("POST", "/api/v1/app", { name: "Reader" })).id;
const makeSink = (app, settings = {}) => api.ok("POST", `/api/v1/app/${app}/endpoint`, { type: "polling", ...settings });
const publish = (app, n, eventType = "invoice.paid", more = {}, call = api) =>
  call.ok("POST", `/api/v1/app/${app}/msg`, { eventType, payload: { n }, ...more });
const numbers = (messages) => messages.map(({ payload }) => payload.n);
const upTo = (count, from = 0) => Array.from({ length: count }, (_, n) => from + n);

/** The tenant's object itself, past the API. */
async function objectOf(app) {
  const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
  const object = namespace.get(namespace.idFromName(app));
  const ask = (what) => async () => (await object.fetch(`https://tenant/test/${what}`)).json();
  return { counted: ask("counted"), sockets: ask("sockets") };
}

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    let svix, app, sink;
    before(async () => {
      svix = new sdk.Svix(postern.token(), { serverUrl: postern.url });
      app = await makeApp();
      sink = await svix.endpoint.create(app, { url: "postern:poller", filterTypes: ["invoice.*"], eventTypes: ["invoice.*"] });
    });
    const failing = (call) => call.then(() => assert.fail("must fail"), (error) => error);

    test("polls page by page what the endpoint chose, and nothing is sent for it", async () => {
      for (const n of upTo(5)) {
        await publish(app, n);
        await publish(app, n, "user.made");
      }
      const messages = [];
      let iterator;
      for (let done = false; !done; ) {
        const page = await svix.message.poller.poll(app, sink.id, { limit: 2, iterator });
        assert.ok(page.data.length <= 2);
        assert.equal(typeof page.iterator, "string");
        messages.push(...page.data);
        ({ iterator, done } = page);
      }
      assert.deepEqual(numbers(messages), upTo(5));
      assert.ok(messages.every(({ id, eventType, timestamp }) => /^msg_\w{27}$/.test(id) && eventType === "invoice.paid" && timestamp instanceof Date));
      const empty = await svix.message.poller.poll(app, sink.id, { iterator });
      assert.deepEqual([empty.data, empty.done, empty.iterator], [[], true, iterator]);
      const counts = await inspect(postern, app);
      assert.deepEqual([counts.due, counts.attempts, Object.values(counts.deliveries)], [0, 0, [0, 0, 0, 0]]);
      const attempts = await svix.messageAttempt.listByMsg(app, messages[0].id);
      assert.deepEqual(attempts.data, []);
    });

    test("narrows a poll by type, channel and time", async () => {
      const own = await svix.endpoint.create(app, { url: "postern:poller" });
      await publish(app, 1, "a.one", { channels: ["x"] });
      const { timestamp } = await publish(app, 2, "a.two", { channels: ["x"] });
      await new Promise((done) => setTimeout(done, 5)); // times are of milliseconds
      await publish(app, 3, "a.one", { channels: ["y"] });
      const poll = async (options) => numbers((await svix.message.poller.poll(app, own.id, options)).data);
      assert.deepEqual(await poll({ eventType: "a.one" }), [1, 3]);
      assert.deepEqual(await poll({ channel: "x" }), [1, 2]);
      assert.deepEqual(await poll({ after: new Date(timestamp) }), [3]);
    });

    test("lets a consumer go on where it stood, and seeks", async () => {
      const own = await svix.endpoint.create(app, { url: "postern:poller" });
      for (const n of upTo(3)) {
        await publish(app, n);
      }
      const consume = (options) => svix.message.poller.consumerPoll(app, own.id, "worker-1", options);
      const first = await consume({ limit: 2 });
      assert.deepEqual(numbers(first.data), [0, 1]);
      assert.deepEqual(numbers((await consume({ limit: 2 })).data), [0, 1], "a lost answer is given again");
      const second = await consume({ limit: 2, iterator: first.iterator });
      assert.deepEqual([numbers(second.data), second.done], [[2], true]);
      const last = await consume({ iterator: second.iterator });
      assert.deepEqual(last.data, []);
      const stale = await failing(consume({ iterator: first.iterator }));
      assert.equal(stale.code, 409);

      const sought = await svix.message.poller.consumerSeek(app, own.id, "worker-1", { after: new Date(0) });
      assert.deepEqual(numbers((await consume({ iterator: sought.iterator })).data), [0, 1, 2]);
    });

    test("polls with the poller's own token, and can do nothing else with it", async () => {
      const other = await svix.endpoint.create(app, { url: "postern:poller" });
      const path = `/api/v1/auth/app/${app}/poller/${sink.id}/token`;
      const { token, scopes, expiresAt } = await api.ok("GET", path);
      assert.deepEqual([scopes, expiresAt], [[`poller:${sink.id}`], null]);
      const holder = new sdk.Svix(token, { serverUrl: postern.url });
      assert.ok((await holder.message.poller.poll(app, sink.id, { limit: 1 })).data.length > 0);
      assert.equal((await failing(holder.message.poller.poll(app, other.id))).code, 404);
      assert.equal((await failing(holder.message.list(app))).code, 401);
      assert.equal((await failing(holder.endpoint.get(app, sink.id))).code, 401);
      assert.equal((await failing(holder.application.list())).code, 401);
      const another = await makeApp();
      assert.equal((await failing(holder.message.poller.poll(another, sink.id))).code, 404);

      const rotated = await api.ok("POST", `${path}/rotate`, { oldTokenExpiry: 0, expiry: 3600 });
      assert.ok(Date.parse(rotated.expiresAt) > Date.now() + 3500_000);
      assert.equal((await failing(holder.message.poller.poll(app, sink.id))).code, 401);
      const newHolder = new sdk.Svix(rotated.token, { serverUrl: postern.url });
      assert.ok((await newHolder.message.poller.poll(app, sink.id, { limit: 1 })).data.length > 0);
    });
  });
}

describe("a poller", () => {
  test("is shown as what it is, and its token works under the application's uid", async () => {
    const app = (await api.ok("POST", "/api/v1/app", { name: "Named", uid: "named-poller" })).id;
    const sink = await makeSink(app, { uid: "events" });
    assert.deepEqual([sink.type, sink.url], ["polling", "postern:poller"]);
    const webhook = await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.url });
    assert.equal(webhook.type, "webhook");
    await publish(app, 1);
    const { token } = await api.ok("GET", `/api/v1/auth/app/${app}/poller/${sink.id}/token`);
    const page = await caller(postern, token).ok("GET", "/api/v1/app/named-poller/poller/events");
    assert.deepEqual(numbers(page.data), [1]);
  });

  test("refuses what makes no sense, with its place", async () => {
    const app = await makeApp();
    const sink = await makeSink(app);
    const webhook = await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.url });
    const path = `/api/v1/app/${app}/poller/${sink.id}`;
    const seek = { after: "2026-08-01T12:00:00Z" };
    for (const [method, at, body, status, place] of [
      ["POST", `/api/v1/app/${app}/endpoint`, { type: "pull", url: receiver.url }, 422, "body.type"],
      ["POST", `/api/v1/app/${app}/endpoint`, { type: "polling", url: receiver.url }, 422, "body.url"],
      ["POST", `/api/v1/app/${app}/endpoint`, { type: "polling", throttleRate: 5 }, 422, "body.throttleRate"],
      ["POST", `/api/v1/app/${app}/endpoint`, { type: "webhook" }, 422, "body.url"],
      ["POST", `/api/v1/app/${app}/endpoint`, { type: "webhook", url: "postern:poller" }, 422, "body.url"],
      ["PUT", `/api/v1/app/${app}/endpoint/${webhook.id}`, { type: "polling" }, 422, "body.type"],
      ["PUT", `/api/v1/app/${app}/endpoint/${sink.id}`, { url: receiver.url }, 422, "body.type"],
      ["PATCH", `/api/v1/app/${app}/endpoint/${sink.id}`, { url: receiver.url }, 422, "body.url"],
      ["GET", `${path}?limit=0`, undefined, 422, "query.limit"],
      ["GET", `${path}?limit=251`, undefined, 422, "query.limit"],
      ["GET", `${path}?wait=26`, undefined, 422, "query.wait"],
      ["GET", `${path}?after=yesterday`, undefined, 422, "query.after"],
      ["GET", `${path}?event_type=a%20b`, undefined, 422, "query.event_type"],
      ["GET", `${path}?iterator=po_1`, undefined, 400],
      ["GET", `${path}/consumer/a%20b`, undefined, 422, "path.consumer_id"],
      ["POST", `${path}/consumer/a/seek`, {}, 422, "body.after"],
      ["POST", `/api/v1/app/${app}/poller/${webhook.id}/consumer/a/seek`, seek, 404],
      ["GET", `/api/v1/app/${app}/poller/${webhook.id}`, undefined, 404],
      ["GET", `/api/v1/auth/app/${app}/poller/${webhook.id}/token`, undefined, 404],
      ["POST", `/api/v1/auth/app/${app}/poller/${sink.id}/token/rotate`, { expiry: 0 }, 422, "body.expiry"],
      ["POST", `/api/v1/auth/app/${app}/poller/${sink.id}/token/rotate`, { oldTokenExpiry: 86_401 }, 422, "body.oldTokenExpiry"],
      ["GET", `/api/v1/app/${app}/stream?after=msg_1`, undefined, 422, "query.after"],
      ["GET", `/api/v1/app/${app}/stream?event_types=*.a`, undefined, 422, "query.event_types"],
      ["GET", `/api/v1/app/${app}/stream?channels=${"c".repeat(129)}`, undefined, 422, "query.channels"],
    ]) {
      const answer = await api(method, at, body);
      assert.equal(answer.status, status, `${method} ${at} ${JSON.stringify(answer.body)}`);
      if (place) {
        assert.deepEqual(answer.body.detail.map(({ loc }) => loc.join(".")), [place], `${method} ${at}`);
      }
    }
  });

  test("belongs to its tenant: another tenant's and another organisation's is 404, its iterator 400", async () => {
    const [app, other] = [await makeApp(), await makeApp()];
    const [sink, otherSink] = [await makeSink(app), await makeSink(other)];
    const { id } = await publish(app, 1);
    const { iterator } = await api.ok("GET", `/api/v1/app/${app}/poller/${sink.id}`);
    const tenant = caller(postern, postern.token({ app: other }));
    const stranger = caller(postern, postern.token({ org: "org_00000000000000000000000000z" }));
    const seek = { after: "2026-08-01T12:00:00Z" };
    for (const [method, path, body] of [
      ["GET", `/api/v1/app/${app}/poller/${sink.id}`],
      ["GET", `/api/v1/app/${app}/poller/${sink.id}/consumer/a`],
      ["POST", `/api/v1/app/${app}/poller/${sink.id}/consumer/a/seek`, seek],
      ["GET", `/api/v1/auth/app/${app}/poller/${sink.id}/token`],
      ["POST", `/api/v1/auth/app/${app}/poller/${sink.id}/token/rotate`, {}],
      ["GET", `/api/v1/app/${app}/stream`],
    ]) {
      assert.equal((await tenant(method, path, body)).status, 404, path);
      assert.equal((await stranger(method, path, body)).status, 404, path);
      assert.equal((await caller(postern, "sk_poll_guess")(method, path, body)).status, 401, path);
      assert.equal((await caller(postern, null)(method, path, body)).status, 401, path);
    }
    for (const path of [
      `/api/v1/app/${other}/poller/${sink.id}`,
      `/api/v1/app/${other}/poller/${sink.id}/consumer/a`,
      `/api/v1/auth/app/${other}/poller/${sink.id}/token`,
    ]) {
      assert.equal((await api("GET", path)).status, 404, path);
    }
    assert.equal((await api("GET", `/api/v1/app/${other}/poller/${otherSink.id}?iterator=${iterator}`)).status, 400);
    assert.equal((await api("GET", `/api/v1/app/${other}/stream?after=${id}`)).status, 400);
  });

  test("that waits answers as soon as something is there that it wants, and with nothing when its time is over", async () => {
    const app = await makeApp();
    const sink = await makeSink(app, { eventTypes: ["invoice.*"] });
    const { counted } = await objectOf(app);
    const path = `/api/v1/app/${app}/poller/${sink.id}`;
    const { iterator } = await api.ok("GET", path);
    const { requests } = await counted();
    const began = Date.now();
    const waiting = api.ok("GET", `${path}?wait=25&iterator=${iterator}`);
    await eventually(counted, (now) => now.requests === requests + 2, "the poll, and its socket");
    await publish(app, 1, "user.made");
    await publish(app, 2);
    assert.deepEqual(numbers((await waiting).data), [2]);
    assert.ok(Date.now() - began < 20_000);
    const after = (await counted()).requests;
    assert.equal(after, requests + 5, "two accepts, and one poll more: what it does not want wakes nobody");

    const consumer = await api.ok("GET", `${path}/consumer/a?wait=1&iterator=`);
    assert.deepEqual(numbers(consumer.data), [2]);
    const begun = Date.now();
    const nothing = await api.ok("GET", `${path}/consumer/a?wait=1&iterator=${consumer.iterator}`);
    assert.deepEqual([nothing.data, nothing.done], [[], true]);
    assert.ok(Date.now() - begun >= 900);
  });

  test("whose Idempotency-Key comes twice seeks and rotates once", async () => {
    const app = await makeApp();
    const sink = await makeSink(app);
    await publish(app, 1);
    const consumer = `/api/v1/app/${app}/poller/${sink.id}/consumer/a`;
    const seek = () => api("POST", `${consumer}/seek`, { after: "2020-01-01T00:00:00Z" }, { "idempotency-key": "seek-1" });
    const sought = await seek();
    const read = await api.ok("GET", `${consumer}?iterator=${sought.body.iterator}`);
    await api.ok("GET", `${consumer}?iterator=${read.iterator}`);
    assert.deepEqual((await seek()).body, sought.body);
    assert.deepEqual((await api.ok("GET", consumer)).data, [], "it stands where it stood");
    const rotate = () =>
      api("POST", `/api/v1/auth/app/${app}/poller/${sink.id}/token/rotate`, {}, { "idempotency-key": "rotate-1" });
    const [one, two] = [await rotate(), await rotate()];
    assert.equal(one.status, 201);
    assert.deepEqual([two.status, two.body], [201, one.body]);
    assert.equal(two.headers.get("idempotent-replayed"), "true");
  });
});

describe("a stream of events", () => {
  test("gives a hundred messages that are published while it reads, each once and in order", async () => {
    const app = await makeApp();
    await publish(app, "before");
    const stream = await events(postern, app);
    assert.match(stream.headers.get("content-type"), /^text\/event-stream/);
    for (let n = 0; n < 100; n += 10) {
      await Promise.all(upTo(10, n).map((n) => publish(app, n)));
    }
    const got = await stream.take(100);
    assert.deepEqual(numbers(got.map(({ data }) => data)).sort((a, b) => a - b), upTo(100));
    const listed = await api.ok("GET", `/api/v1/app/${app}/msg?limit=250`);
    assert.deepEqual(got.map(({ id }) => id), listed.data.map(({ id }) => id).reverse().slice(1));
    assert.ok(got.every(({ id, event, data }) => event === "message" && id === data.id && data.eventType === "invoice.paid"));
    await stream.close();
  });

  test("goes on behind Last-Event-ID without a gap and without a double, whatever after says", async () => {
    const app = await makeApp();
    const first = await publish(app, 0);
    for (const n of upTo(70, 1)) {
      await publish(app, n);
    }
    const stream = await events(postern, app, { query: `?after=${first.id}` });
    const got = await stream.take(20);
    await stream.close();
    const rest = publishAll(app, upTo(30, 71));
    const resumed = await events(postern, app, { query: `?after=${first.id}`, lastEventId: got.at(-1).id });
    got.push(...(await resumed.take(80)));
    await rest;
    assert.deepEqual(numbers(got.map(({ data }) => data)), upTo(100, 1));
    await resumed.close();
  });

  test("is narrowed by patterns and channels, and shows a payload with line ends as one event", async () => {
    const app = await makeApp();
    const stream = await events(postern, app, { query: "?event_types=invoice.*,user.made&channels=eu&channels=us" });
    await publish(app, 1, "invoice.paid", { channels: ["us"] });
    await publish(app, 2, "invoice.paid");
    await publish(app, 3, "order.made", { channels: ["eu"] });
    await api.ok("POST", `/api/v1/app/${app}/msg`, '{"eventType": "user.made", "channels": ["eu"], "payload": {\n\r\n "n":\r4\n}}');
    const got = await stream.take(2);
    assert.deepEqual(numbers(got.map(({ data }) => data)), [1, 4]);
    await stream.close();
  });

  test("outlives its object's memory: the socket sleeps with the object and is told when it wakes", async () => {
    const app = await makeApp();
    const { counted } = await objectOf(app);
    await publish(app, 0);
    const stream = await events(postern, app);
    await publish(app, 1);
    assert.deepEqual(numbers((await stream.take(1)).map(({ data }) => data)), [1]);
    const before = await counted();
    assert.ok(before.requests >= 4);
    await stream.heartbeat(); // after 15 s in which nothing came; the object forgets after 10
    const evicted = await counted();
    assert.equal(evicted.requests, 0, "the object has forgotten what it counted");
    await publish(app, 2);
    assert.deepEqual(numbers((await stream.take(1)).map(({ data }) => data)), [2]);
    await stream.close();
  });

  test("costs no row, and one look for what was accepted together", async () => {
    const app = await makeApp();
    await publish(app, -1);
    const { counted } = await objectOf(app);
    const cost = async (count) => {
      const before = await counted();
      await Promise.all(upTo(count).map((n) => publish(app, n)));
      return { before, of: async () => {
        const now = await counted();
        return { rows: now.rows - before.rows, requests: now.requests - before.requests };
      } };
    };
    const alone = await (await cost(40)).of();
    const stream = await events(postern, app);
    const watched = await cost(40);
    await stream.take(40);
    const spent = await watched.of();
    assert.equal(spent.rows, alone.rows);
    assert.equal(alone.requests, 40);
    assert.ok(spent.requests < 40 + 30, `${spent.requests} requests`);
    await stream.close();
  });

  test("leaves no socket behind when its client goes, and neither does a poll that waited", async () => {
    const app = await makeApp();
    const sink = await makeSink(app);
    const { sockets } = await objectOf(app);
    const stream = await events(postern, app);
    const socket = await connect(app, "");
    assert.equal(await sockets(), 2);
    await stream.close();
    socket.close();
    await api.ok("GET", `/api/v1/app/${app}/poller/${sink.id}?wait=1`);
    await eventually(sockets, (open) => open === 0, "all of them closed"); // a stream looks up at its next heartbeat
  });

  test("ends when its application is deleted", async () => {
    const app = await makeApp();
    const stream = await events(postern, app);
    assert.equal((await api("DELETE", `/api/v1/app/${app}`)).status, 204);
    await stream.ended();
  });

  test("ends after its time with a word when to come again", async () => {
    const short = await start({ vars: { TEST_HOOKS: "1", STREAM_SECONDS: "1" } });
    try {
      const call = caller(short);
      const app = await makeApp(call);
      const first = await publish(app, 1, "a.b", {}, call);
      const stream = await events(short, app, { query: `?after=${first.id}` });
      await publish(app, 2, "a.b", {}, call);
      assert.deepEqual(numbers((await stream.take(1)).map(({ data }) => data)), [2]);
      assert.match(await stream.ended(), /retry: 1000\n\n$/);
    } finally {
      await short.stop();
    }
  });

  test("goes on after the Worker was killed, without a gap and without a double", async () => {
    const persist = mkdtempSync(join(tmpdir(), "postern-stream-"));
    let killable = await startKillable({ persist });
    try {
      let call = caller(killable);
      const app = await makeApp(call);
      const first = await publish(app, 0, "a.b", {}, call);
      const stream = await events(killable, app, { query: `?after=${first.id}` });
      for (const n of upTo(20, 1)) {
        await publish(app, n, "a.b", {}, call);
      }
      const got = await stream.take(15);
      await killable.kill();
      killable = await startKillable({ persist });
      call = caller(killable);
      for (const n of upTo(20, 21)) {
        await publish(app, n, "a.b", {}, call);
      }
      const resumed = await events(killable, app, { lastEventId: got.at(-1).id });
      got.push(...(await resumed.take(25)));
      assert.deepEqual(numbers(got.map(({ data }) => data)), upTo(40, 1));
      await resumed.close();
    } finally {
      await killable.stop();
      rmSync(persist, { recursive: true, force: true });
    }
  });
});

describe("a stream over a WebSocket", () => {
  test("gives the same messages, and resumes behind the last id", async () => {
    const app = await makeApp();
    const first = await publish(app, 0);
    const socket = await connect(app, `?after=${first.id}`);
    await publishAll(app, upTo(60, 1));
    const got = await socket.take(60);
    socket.close();
    await publishAll(app, upTo(40, 61));
    const resumed = await connect(app, `?after=${got.at(-1).id}`);
    got.push(...(await resumed.take(40)));
    assert.deepEqual(numbers(got), upTo(100, 1));
    const { data } = await api.ok("GET", `/api/v1/app/${app}/msg?limit=1`);
    assert.deepEqual(got.at(-1), data[0]);
    resumed.close();
  });

  test("takes a browser's token as a protocol, and none from the URL", async () => {
    const app = await makeApp();
    const socket = await connect(app, "", ["postern", `bearer.${postern.token({ app })}`]);
    assert.equal(socket.protocol, "postern");
    await publish(app, 1);
    assert.deepEqual(numbers(await socket.take(1)), [1]);
    socket.close();
    await assert.rejects(connect(app, `?token=${postern.token()}&authorization=Bearer%20${postern.token()}`, ["postern"]));
    await assert.rejects(connect(app, "", ["postern", "bearer.nonsense"]));
    const path = `/api/v1/app/${app}/stream?token=${postern.token()}`;
    assert.equal((await caller(postern, null)("GET", path)).status, 401);
  });

  test("sends no more than a few megabytes to a client that says nothing, and all to one that does", async () => {
    const app = await makeApp();
    const first = await publish(app, 0);
    const large = "x".repeat(900_000);
    for (const n of upTo(12, 1)) {
      await api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "large", payload: { n, large } });
    }
    const silent = await connect(app, `?after=${first.id}`);
    const { code } = await silent.closed();
    assert.equal(code, 1013);
    assert.ok(silent.messages.length >= 4 && silent.messages.length <= 10, `${silent.messages.length} came`);
    const polite = await connect(app, `?after=${silent.messages.at(-1).id}`, undefined, (socket) => socket.send("thanks"));
    const rest = await polite.take(12 - silent.messages.length);
    assert.deepEqual(numbers([...silent.messages, ...rest]), upTo(12, 1));
    polite.close();
  });
});

async function publishAll(app, all) {
  for (const n of all) {
    await publish(app, n);
  }
}

/** A client of server-sent events, by the letter of their specification as far as it is used here. */
async function events(server, app, { query = "", lastEventId } = {}) {
  const leave = new AbortController();
  const answer = await server.fetch(`/api/v1/app/${app}/stream${query}`, {
    headers: {
      authorization: `Bearer ${server.token()}`,
      accept: "text/event-stream",
      ...(lastEventId && { "last-event-id": lastEventId }),
    },
    signal: leave.signal,
  });
  assert.equal(answer.status, 200, answer.status === 200 ? "" : await answer.clone().text());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const waiting = [];
  let [rest, all, over, beats] = ["", "", false, 0];

  async function read() {
    const { value, done } = await Promise.race([reader.read(), late("a chunk of the stream")]).catch((error) => {
      if (/terminated|aborted/.test(error.message)) return { done: true };
      throw error;
    });
    over = done;
    all += value ?? "";
    rest += value ?? "";
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").map((line) => /^([^:]*):? ?(.*)$/s.exec(line).slice(1));
      const of = (name) => lines.filter(([field]) => field === name).map(([, value]) => value).join("\n");
      beats += part.startsWith(":") ? 1 : 0;
      if (of("data")) {
        waiting.push({ id: of("id"), event: of("event"), data: JSON.parse(of("data")) });
      }
    }
  }
  return {
    headers: answer.headers,
    async take(count) {
      while (waiting.length < count && !over) {
        await read();
      }
      assert.ok(waiting.length >= count, `the stream ended after ${waiting.length} of ${count} events`);
      return waiting.splice(0, count);
    },
    async heartbeat() {
      const before = beats;
      while (beats === before) {
        assert.ok(!over, "the stream ended");
        await read();
      }
    },
    async ended() {
      while (!over) {
        await read();
      }
      return all;
    },
    async close() {
      leave.abort();
      await reader.cancel().catch(() => {});
    },
  };
}

/** A WebSocket as Node has it; without protocols it sends the header that a browser's cannot. */
function connect(app, query, protocols, onMessage = () => {}) {
  const url = `${postern.url.replace("http", "ws")}/api/v1/app/${app}/stream${query}`;
  const options = protocols ? { protocols } : { headers: { authorization: `Bearer ${postern.token()}` } };
  const socket = new WebSocket(url, options);
  const messages = [];
  const waiters = new Set();
  const closed = new Promise((done) => socket.addEventListener("close", done));
  socket.addEventListener("message", ({ data }) => {
    messages.push(JSON.parse(data));
    onMessage(socket);
    for (const waiter of [...waiters]) waiter();
  });
  return new Promise((done, failed) => {
    socket.addEventListener("error", () => failed(new Error("no WebSocket came")));
    socket.addEventListener("open", () =>
      done({
        protocol: socket.protocol,
        messages,
        close: () => socket.close(),
        closed: () => Promise.race([closed, late("the end of the socket")]),
        take(count) {
          const come = new Promise((done) => {
            const waiter = () => messages.length >= count && (waiters.delete(waiter), done());
            waiters.add(waiter);
            waiter();
          });
          return Promise.race([come, late(`${count} messages`)]).then(() => messages.splice(0, count));
        },
      }),
    );
  });
}

/** Fails after half a minute: for what a test awaits. */
function late(what) {
  return new Promise((_, failed) => setTimeout(() => failed(new Error(`${what}: not within 30 s`)), 30_000).unref());
}

// Between a publish and what is owed: filters, what a message was not sent to, batches, a later time; with the official
// Svix SDK where it has the method.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Svix, messageInRaw } from "svix";
import { caller, eventually, inspect } from "./api.mjs";
import { root, start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

let postern, receiver, api, svix;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
  svix = new Svix(postern.token(), { serverUrl: postern.url, numRetries: 0 });
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

let apps = 0;
async function tenant() {
  apps += 1;
  const { id } = await svix.application.create({ name: `publish ${apps}`, uid: `publish-${apps}` });
  const base = `/api/v1/app/${id}`;
  let inboxes = 0;
  return {
    id,
    uid: `publish-${apps}`,
    base,
    /** An endpoint with an inbox of its own. */
    async endpoint(settings = {}) {
      inboxes += 1;
      const inbox = receiver.at(`/${id}/${inboxes}`);
      const endpoint = await api.ok("POST", `${base}/endpoint`, { url: inbox.url, ...settings });
      return { ...endpoint, inbox, path: `${base}/endpoint/${endpoint.id}` };
    },
    publish: (body, headers) => api("POST", `${base}/msg`, { eventType: "invoice.paid", ...body }, headers),
    batch: (messages, headers, query = "") => api("POST", `${base}/msg/batch${query}`, { messages }, headers),
    get: (message) => api.ok("GET", `${base}/msg/${message}`),
  };
}

const event = (n, more = {}) => ({ eventType: "invoice.paid", payload: { n }, ...more });

test("an endpoint with a filter gets what matches, and a message says why it went nowhere else", async () => {
  const own = await tenant();
  const all = await own.endpoint();
  const large = await own.endpoint({ filter: { body: { "/data/amount": { $gte: 100 } } } });
  const typed = await own.endpoint({ eventTypes: ["order.*"] });
  const heard = await own.endpoint({ channels: ["eu"] });
  const off = await own.endpoint({ disabled: true });
  assert.deepEqual(large.filter, { body: { "/data/amount": { $gte: 100 } } });

  const small = await svix.message.create(own.id, { eventType: "invoice.paid", payload: { data: { amount: 99.99 } } });
  const big = await svix.message.create(own.id, { eventType: "invoice.paid", payload: { data: { amount: 100 } } });
  assert.equal((await large.inbox.request(1)).headers["webhook-id"], big.id);
  await all.inbox.request(2);

  const { skipped, notSent } = await own.get(small.id);
  assert.equal(notSent, undefined);
  assert.deepEqual(
    Object.fromEntries(skipped.map(({ endpointId, reason }) => [endpointId, reason])),
    { [off.id]: "disabled", [typed.id]: "type", [heard.id]: "channel", [large.id]: "filter" },
  );
  assert.ok(skipped.every(({ text }) => text.length > 10));
  assert.equal((await own.get(big.id)).skipped.length, 3);
  await svix.endpoint.delete(own.id, typed.id);
  assert.deepEqual((await own.get(small.id)).skipped, skipped, "a deleted endpoint is still named");
  const { data } = await api.ok("GET", `${own.base}/msg`);
  assert.ok(data.every((message) => !("skipped" in message)), "not in lists");
  assert.equal(large.inbox.requests.length, 1);
});

test("a filter is replaced, kept by a patch that does not name it, and cleared by null", async () => {
  const own = await tenant();
  const filter = { body: { a: 1 } };
  const endpoint = await own.endpoint({ filter });
  const shown = async () => (await api.ok("GET", endpoint.path)).filter;
  await api.ok("PATCH", endpoint.path, { description: "x" });
  assert.deepEqual(await shown(), filter);
  await api.ok("PATCH", endpoint.path, { filter: { body: { a: 2 } } });
  assert.deepEqual(await shown(), { body: { a: 2 } });
  await api.ok("PATCH", endpoint.path, { filter: null });
  assert.equal(await shown(), null);
  await api.ok("PUT", endpoint.path, { url: endpoint.url, filter });
  assert.deepEqual(await shown(), filter);
  await api.ok("PUT", endpoint.path, { url: endpoint.url });
  assert.equal(await shown(), null);
});

test("a filter that does not hold is refused with its first wrong place, and nothing is changed", async () => {
  const own = await tenant();
  const endpoint = await own.endpoint();
  for (const [filter, place] of [
    [{}, "filter"],
    ["x", "filter"],
    [{ payload: 1 }, "filter.payload"],
    [{ body: { a: { $regex: "x" } } }, "filter.body.a.$regex"],
    [{ $or: [{ body: { a: 1 } }, { body: { b: { $in: 7 } } }] }, "filter.$or.1.body.b.$in"],
    [{ body: { a: "x".repeat(5000) } }, "filter"],
  ]) {
    for (const [method, path] of [["POST", `${own.base}/endpoint`], ["PUT", endpoint.path], ["PATCH", endpoint.path]]) {
      const { status, body } = await api(method, path, { url: endpoint.url, filter });
      assert.equal(status, 422, `${method} ${JSON.stringify(body)}`);
      assert.deepEqual(body.detail.map(({ loc }) => loc.join(".")), [`body.${place}`]);
    }
  }
  assert.equal((await api.ok("GET", endpoint.path)).filter, null);
});

test("a webhook is filtered by its kept headers and by its body", async () => {
  const own = await tenant();
  const pushed = await own.endpoint({ filter: { headers: { "X-GitHub-Event": "push" }, body: { "/commits/0/id": { $exists: true } } } });
  const secrets = ["a key that is long enough"];
  const source = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets };
  const { url } = await api.ok("POST", `${own.base}/source`, source);
  const post = async (event, body) => {
    const headers = { "x-key": secrets[0], "x-github-event": event, "content-type": "application/json" };
    assert.equal((await fetch(url, { method: "POST", headers, body })).status, 200);
  };
  await post("pull", '{"commits": [{"id": 1}]}');
  await post("push", '{"commits": []}');
  await post("push", '[{"id": 1}]');
  await post("push", '{"commits": [{"id": 4}]}');
  assert.equal((await pushed.inbox.request(1)).text, '{"commits": [{"id": 4}]}');
  const { data } = await api.ok("GET", `${own.base}/msg`);
  assert.equal(data.filter(({ notSent }) => notSent === "it went to no endpoint: 1 by filter").length, 3);
});

test("a batch is stored whole, in order, and each of it is delivered as it was written", async () => {
  const own = await tenant();
  const { inbox } = await own.endpoint();
  const raw = '{"b" : 1.00, "a":[ ]}';
  const body = `{"messages": [{"eventType": "a.b", "eventId": "first", "payload": ${raw}}, {"eventType": "c.d", "payload": {}, "channels": ["x"]}]}`;
  const { status, body: answer } = await api("POST", `${own.base}/msg/batch`, body);
  assert.equal(status, 202, JSON.stringify(answer));
  assert.deepEqual(answer.data.map(({ eventType }) => eventType), ["a.b", "c.d"]);
  const [first, second] = answer.data;
  assert.equal((await svix.message.get(own.id, "first")).id, first.id);
  assert.deepEqual((await svix.message.get(own.id, second.id)).channels, ["x"]);
  await inbox.request(2);
  const got = await inbox.matching(({ headers }) => headers["webhook-id"] === first.id);
  assert.equal(got.text, raw);
  const without = await own.batch([event(1)], {}, "?with_content=false");
  assert.deepEqual(without.body.data[0].payload, {});
});

test("a batch with anything wrong in it is refused whole, with the place", async () => {
  const own = await tenant();
  await own.publish({ eventId: "old", payload: {} });
  for (const [messages, loc] of [
    [[], "messages"],
    [Array.from({ length: 101 }, (_, n) => event(n)), "messages"],
    [{}, "messages"],
    [[event(1), 7], "messages.1"],
    [[event(1), event(2, { eventType: "a b" })], "messages.1.eventType"],
    [[event(1), { eventType: "a.b" }], "messages.1.payload"],
    [[event(1), event(2, { deliverAt: new Date(Date.now() + 31 * 86_400_000).toISOString() })], "messages.1.deliverAt"],
  ]) {
    const { status, body } = await own.batch(messages);
    assert.equal(status, 422, JSON.stringify(body));
    assert.deepEqual(body.detail.map(({ loc }) => loc.join(".")), [`body.${loc}`]);
  }
  for (const [ids, index] of [[["a", "old"], 1], [["a", "b", "a"], 2]]) {
    const { status, body } = await own.batch(ids.map((eventId, n) => event(n, { eventId })));
    assert.equal(status, 409);
    assert.equal(body.code, "conflict");
    assert.ok(body.detail.startsWith(`messages[${index}]`), body.detail);
  }
  const large = event(1, { payload: { text: "x".repeat(1_048_576) } });
  assert.equal((await own.batch([event(0), large])).status, 413);
  assert.equal((await inspect(postern, own.id)).messages, 1, "nothing of all this was stored");
  assert.equal((await own.batch([event(0, { eventId: "a" })])).status, 202, "and no eventId was taken");
});

test("an Idempotency-Key repeats the whole answer of a batch, and refuses another body", async () => {
  const own = await tenant();
  const key = { "idempotency-key": "batch" };
  const messages = [event(1, { eventId: "one" }), event(2), event(3)];
  const first = await own.batch(messages, key);
  const second = await own.batch(messages, key);
  assert.deepEqual([first.status, second.status], [202, 202]);
  assert.deepEqual(second.body, first.body);
  assert.equal(second.headers.get("idempotent-replayed"), "true");
  assert.equal(first.headers.get("idempotent-replayed"), null);
  assert.equal((await own.batch([event(1)], key)).status, 422);
  assert.equal((await inspect(postern, own.id)).messages, 3);
});

test("a batch makes the application that it brings along, and reaches no other's", async () => {
  const uid = "brought-by-a-batch";
  const application = { name: "Brought" };
  const { status } = await api("POST", `/api/v1/app/${uid}/msg/batch`, { messages: [event(1, { application }), event(2)] });
  assert.equal(status, 202);
  assert.equal((await svix.message.list(uid)).data.length, 2);
  const own = await tenant();
  const stranger = caller(postern, postern.token({ app: own.id }));
  const refused = await stranger("POST", `/api/v1/app/${uid}/msg/batch`, { messages: [event(3)] });
  assert.equal(refused.status, 404);
});

test("a batch of 100 costs a row a message and one a delivery, and shares its wake-ups and queue messages", async () => {
  const own = await tenant();
  const { inbox } = await own.endpoint();
  await own.publish({ payload: {} });
  await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 1, "the first delivery");
  const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
  const object = namespace.get(namespace.idFromName(own.id));
  const counted = async () => (await object.fetch("https://tenant/test/counted")).json();
  const before = await counted();
  assert.equal((await own.batch(Array.from({ length: 100 }, (_, n) => event(n)))).status, 202);
  await inbox.request(101);
  await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 101, "all deliveries");
  const spent = Object.fromEntries(Object.entries(await counted()).map(([name, n]) => [name, n - before[name]]));
  console.log(JSON.stringify(spent));
  assert.ok(spent.rows >= 200 && spent.rows <= 215, JSON.stringify(spent));
  assert.ok(spent.queueMessages <= 10, JSON.stringify(spent));
});

test("a message for later is shown at once and leaves at its time", async () => {
  const own = await tenant();
  const { inbox } = await own.endpoint();
  const deliverAt = new Date(Date.now() + 2500);
  const made = await svix.message.create(own.id, { eventType: "a.b", payload: { n: 1 }, deliverAt });
  assert.equal(made.deliverAt.getTime(), deliverAt.getTime());
  assert.equal((await svix.message.get(own.id, made.id)).deliverAt.getTime(), deliverAt.getTime());
  assert.equal((await svix.message.list(own.id)).data[0].deliverAt.getTime(), deliverAt.getTime());
  const got = await inbox.request(1);
  assert.ok(got.at >= deliverAt.getTime(), `${deliverAt.getTime() - got.at} ms too early`);
  assert.equal(got.headers["webhook-id"], made.id);
  const { data } = await eventually(
    () => svix.messageAttempt.listByMsg(own.id, made.id), ({ data }) => data.length === 1, "its attempt");
  assert.equal(data[0].status, 0);
  assert.equal((await inspect(postern, own.id)).due, 0);
});

test("what waits for its time is not sent to an endpoint that was disabled meanwhile", async () => {
  const own = await tenant();
  const [off, on] = [await own.endpoint(), await own.endpoint()];
  const deliverAt = new Date(Date.now() + 2000);
  const { id } = await svix.message.create(own.id, { eventType: "a.b", payload: {}, deliverAt });
  await api.ok("PATCH", off.path, { disabled: true });
  await api.ok("PATCH", off.path, { disabled: false });
  assert.equal((await on.inbox.request(1)).headers["webhook-id"], id);
  await eventually(() => inspect(postern, own.id), ({ due }) => due === 0, "nothing is due any more");
  assert.equal(off.inbox.requests.length, 0);
});

test("deliverAt that is past means at once, and one that is none or too far is refused", async () => {
  const own = await tenant();
  const { inbox } = await own.endpoint();
  const made = await own.publish({ payload: {}, deliverAt: "2020-01-01T00:00:00Z" });
  assert.deepEqual([made.status, made.body.deliverAt], [202, undefined]);
  await inbox.request(1);
  for (const deliverAt of ["tomorrow", 7, new Date(Date.now() + 31 * 86_400_000).toISOString()]) {
    const { status, body } = await own.publish({ payload: {}, deliverAt });
    assert.deepEqual([status, body.detail?.[0].loc.join(".")], [422, "body.deliverAt"], JSON.stringify(deliverAt));
  }
});

test("eventId and Idempotency-Key hold for messages for later, too", async () => {
  const own = await tenant();
  const body = { payload: {}, eventId: "later", deliverAt: new Date(Date.now() + 3_600_000).toISOString() };
  const key = { "idempotency-key": "later" };
  const first = await own.publish(body, key);
  const again = await own.publish(body, key);
  assert.deepEqual([first.status, again.status, again.headers.get("idempotent-replayed")], [202, 202, "true"]);
  assert.deepEqual(again.body, first.body);
  const { status, body: refused } = await own.publish(body);
  assert.equal(status, 409);
  assert.ok(!refused.detail.includes("messages["), refused.detail);
});

test("tags are kept, shown and found", async () => {
  const own = await tenant();
  const tagged = await svix.message.create(own.id, { eventType: "a.b", payload: {}, tags: ["vip/eu", "#1"] });
  await svix.message.create(own.id, { eventType: "a.b", payload: {}, tags: [] });
  assert.deepEqual((await svix.message.get(own.id, tagged.id)).tags, ["vip/eu", "#1"]);
  assert.deepEqual((await svix.message.list(own.id, { tag: "vip/eu" })).data.map(({ id }) => id), [tagged.id]);
  const { status, body } = await own.publish({ payload: {}, tags: ["a b"] });
  assert.deepEqual([status, body.detail[0].loc.join(".")], [422, "body.tags.0"]);
});

test("a raw payload goes with its own content type, and what is wrong with either is told", async () => {
  const own = await tenant();
  const { inbox } = await own.endpoint();
  await svix.message.create(own.id, messageInRaw("a.b", "<paid/>", "application/xml"));
  const got = await inbox.request(1);
  assert.deepEqual([got.text, got.headers["content-type"]], ["<paid/>", "application/xml"]);
  for (const [transformationsParams, loc] of [
    [{ rawPayload: 7 }, "rawPayload"],
    [{ rawPayload: "x", headers: [] }, "headers"],
    [{ rawPayload: "x", headers: { "content-type": 7 } }, "headers.content-type"],
    [{ headers: { "Content-Type": "a\nb" } }, "headers.Content-Type"],
    [{ rawPayload: "x", headers: { "content-type": "a/b", "Content-Type": "c/d" } }, "headers.content-type"],
  ]) {
    const { status, body } = await own.publish({ payload: {}, transformationsParams });
    assert.equal(status, 422, JSON.stringify(transformationsParams));
    assert.deepEqual(body.detail.map(({ loc }) => loc.join(".")), [`body.transformationsParams.${loc}`]);
  }
});

test("the outbox's relay publishes each row once, whatever stands already or is refused, and puts off what fails", async () => {
  const [, code] = readFileSync(join(root, "docs/outbox.md"), "utf8").match(/```ts\n(type Row[^]*?)```/);
  const { relay } = await import(`data:text/javascript,${encodeURIComponent(stripTypeScriptTypes(code))}`);
  const own = await tenant();
  const outbox = new Outbox();
  for (let n = 0; n < 130; n++) {
    outbox.insert(own.uid, `{"n" : ${n}.0}`);
  }
  const target = { url: postern.url, token: postern.token() };
  assert.equal(await relay(outbox, target), 100);
  assert.equal(await relay(outbox, target), 30);
  assert.equal(await relay(outbox, target), 0);
  assert.equal(outbox.rows.size, 0);
  assert.equal((await inspect(postern, own.id)).messages, 130);
  const [newest] = (await api.ok("GET", `${own.base}/msg?limit=1`)).data;
  const bytes = await postern.fetch(`${own.base}/msg/${newest.id}/body`, { headers: { authorization: `Bearer ${postern.token()}` } });
  assert.equal(await bytes.text(), '{"n" : 129.0}', "as it was written");

  // It died after a publish and before its commit, and more came; one row is none that can be taken.
  const kept = [outbox.insert(own.uid, "{}"), outbox.insert(own.uid, "{}")];
  outbox.failCommit = true;
  await assert.rejects(relay(outbox, target));
  assert.equal(outbox.rows.size, 2);
  const bad = outbox.insert(own.uid, "[]");
  kept.push(outbox.insert(own.uid, "{}"));
  assert.equal(await relay(outbox, target), 4);
  assert.deepEqual([...outbox.rows.keys()], [bad]);
  assert.equal(outbox.rows.get(bad).retryAt, Infinity);
  assert.match(outbox.rows.get(bad).error, /payload/);
  assert.equal((await inspect(postern, own.id)).messages, 133);
  for (const id of kept) {
    assert.equal((await own.get(id)).eventId, id);
  }

  const put = outbox.insert(own.uid, "{}");
  assert.equal(await relay(outbox, { ...target, url: "http://127.0.0.1:9" }), 1, "nobody listens there");
  assert.ok(outbox.rows.get(put).retryAt > Date.now());
  assert.equal(outbox.rows.get(put).attempts, 1);
  assert.equal(await relay(outbox, target), 0, "it waits for its time");
});

/** The table of docs/outbox.md as far as the relay's statements see it; the statements themselves are Postgres'. */
class Outbox {
  rows = new Map();
  #before;

  insert(app, payload) {
    const id = crypto.randomUUID();
    this.rows.set(id, { id, app, event_type: "invoice.paid", payload, attempts: 0, retryAt: 0 });
    return id;
  }

  async query(text, [ids, error, seconds] = []) {
    const verb = text.split(" ", 1)[0];
    const ready = () => [...this.rows.values()].filter(({ retryAt }) => retryAt <= Date.now());
    const change = (to) => ids.forEach((id) => Object.assign(this.rows.get(id), { error }, to(this.rows.get(id))));
    if (verb === "BEGIN") {
      this.#before = new Map([...this.rows].map(([id, row]) => [id, { ...row }]));
    } else if (verb === "COMMIT" && this.failCommit) {
      this.failCommit = false;
      throw new Error("the connection is gone");
    } else if (verb === "ROLLBACK") {
      this.rows = this.#before;
    } else if (verb === "SELECT") {
      return { rows: ready().filter(({ app }) => app === ready()[0].app).slice(0, 100).map((row) => ({ ...row })) };
    } else if (verb === "DELETE") {
      ids.forEach((id) => this.rows.delete(id));
    } else if (verb === "UPDATE") {
      change((row) => (seconds === undefined ? { retryAt: Infinity } : { attempts: row.attempts + 1, retryAt: Date.now() + seconds * 1000 }));
    } else {
      assert.equal(verb, "COMMIT", text);
    }
    return { rows: [] };
  }
}

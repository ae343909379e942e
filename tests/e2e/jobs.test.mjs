// Tries by hand and long jobs on the real engine, with the official Svix SDKs where they have the method.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { slow, startReceiver, status } from "./receiver.mjs";

const OTHER = "org_23rb8YdGqMT0qIzpgGwdXfHirMv";
let postern, receiver, api;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

const since = () => new Date(Date.now() - 3_600_000);
let inboxes = 0;
const NEVER = { failed: 0, days: 0 };

/** A tenant with an endpoint that is never switched off for failing; `answer` is what it hears first. */
async function tenant({ answer = 200, ...settings } = {}) {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Jobs" })).id;
  const inbox = receiver.at(`/jobs-${++inboxes}`).always(answer);
  const base = `/api/v1/app/${app}`;
  const endpoint = (await api.ok("POST", `${base}/endpoint`, { url: inbox.url, retrySchedule: [], disableAfter: NEVER, ...settings })).id;
  return { app, base, inbox, endpoint };
}

async function publish({ base }, count, eventType = "invoice.paid") {
  const ids = [];
  for (let n = 0; n < count; n++) {
    ids.push((await api.ok("POST", `${base}/msg`, { eventType, payload: { n } })).id);
  }
  return ids;
}

const recorded = ({ app }, deliveries) =>
  eventually(
    () => inspect(postern, app),
    ({ deliveries: found }) => Object.entries(deliveries).every(([state, count]) => found[state] === count),
    JSON.stringify(deliveries),
  );

const ended = (id) => eventually(() => api.ok("GET", `/api/v1/background-task/${id}`), (task) => task.status !== "running", "the task ends");

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    let svix;
    before(() => (svix = new sdk.Svix(postern.token(), { serverUrl: postern.url, numRetries: 0 })));

    async function refused(call, code) {
      const error = await call.then(
        () => assert.fail(`must fail with ${code}`),
        (error) => error,
      );
      assert.ok(error instanceof sdk.ApiException, `${error}`);
      assert.equal(error.code, code, JSON.stringify(error.body));
      return error.body;
    }

    test("resends a message, as often as it is asked and once for one key", async () => {
      const to = await tenant();
      const [id] = await publish(to, 1);
      await recorded(to, { delivered: 1 });
      await svix.messageAttempt.resend(to.app, id, to.endpoint);
      await svix.messageAttempt.resend(to.app, id, to.endpoint, { idempotencyKey: "once" });
      await svix.messageAttempt.resend(to.app, id, to.endpoint, { idempotencyKey: "once" });
      await to.inbox.request(3);
      const { data } = await eventually(() => svix.messageAttempt.listByMsg(to.app, id), ({ data }) => data.length === 3, "all attempts");
      assert.deepEqual(data.map(({ triggerType }) => triggerType), [1, 1, 0]);
      assert.equal(to.inbox.requests.length, 3);
      assert.equal(new Set(to.inbox.requests.map(({ headers }) => headers["webhook-id"])).size, 1, "one message has one id");

      await refused(svix.messageAttempt.resend(to.app, id.replace(/.{4}$/, "0000"), to.endpoint), 404);
      await svix.endpoint.patch(to.app, to.endpoint, { disabled: true });
      const problem = await refused(svix.messageAttempt.resend(to.app, id, to.endpoint), 409);
      assert.match(problem.detail, /disabled/);
    });

    test("recovers what failed for good and nothing else, and watches it", async () => {
      const to = await tenant({ answer: 500 });
      const failed = await publish(to, 3);
      await recorded(to, { failed: 3 });
      to.inbox.always(200);
      await publish(to, 2);
      await recorded(to, { delivered: 2 });
      const before = to.inbox.requests.length;

      const task = await svix.endpoint.recover(to.app, to.endpoint, { since: since() });
      assert.match(task.id, /^qtask_[0-9A-Za-z]{27}$/);
      assert.deepEqual([task.status, task.task], ["running", "endpoint.recover"]);
      assert.ok(task.updatedAt instanceof Date);
      await recorded(to, { delivered: 5 });
      const again = to.inbox.requests.slice(before).map(({ headers }) => headers["webhook-id"]);
      assert.deepEqual(again.sort(), failed.sort());

      await ended(task.id);
      const found = await svix.backgroundTask.get(task.id);
      assert.deepEqual([found.status, found.data.progress.done, found.data.progress.total], ["finished", 3, 3]);
      assert.equal(found.data.applicationId, to.app);
      const listed = async (options) => (await svix.backgroundTask.list({ limit: 250, ...options })).data.map(({ id }) => id);
      assert.ok((await listed({})).includes(task.id));
      assert.ok((await listed({ status: "finished", task: "endpoint.recover" })).includes(task.id));
      assert.ok(!(await listed({ status: "running" })).includes(task.id));
      assert.ok(!(await listed({ task: "message.broadcast" })).includes(task.id));

      const old = new Date(Date.now() - 15 * 86_400_000);
      const problem = await refused(svix.endpoint.recover(to.app, to.endpoint, { since: old }), 422);
      assert.deepEqual(problem.detail[0].loc, ["body", "since"]);
      await refused(svix.endpoint.recover(to.app, `${to.endpoint.slice(0, -4)}0000`, { since: since() }), 404);
    });

    test("replays what an endpoint never got", async () => {
      const to = await tenant({ eventTypes: ["order.made"] });
      const ids = await publish(to, 3);
      await publish(to, 1, "order.made");
      await recorded(to, { delivered: 1 });
      await svix.endpoint.patch(to.app, to.endpoint, { eventTypes: null, filterTypes: null });
      const task = await svix.endpoint.replayMissing(to.app, to.endpoint, { since: since() });
      assert.deepEqual([task.status, task.task], ["running", "endpoint.replay"]);
      await recorded(to, { delivered: 4 });
      assert.deepEqual(to.inbox.requests.slice(1).map(({ headers }) => headers["webhook-id"]).sort(), ids.sort());
      assert.equal((await ended(task.id)).status, "finished");
      assert.equal((await api.ok("GET", `${to.base}/attempt/msg/${ids[0]}`)).data[0].endpointId, to.endpoint);
    });

    test("replays in bulk what filters choose", async () => {
      const to = await tenant({ answer: 503 });
      await publish(to, 2);
      await publish(to, 2, "order.made");
      await recorded(to, { failed: 4 });
      to.inbox.always(200);
      const delivered = await publish(to, 1);
      await recorded(to, { delivered: 1 });
      const filters = { since: since(), eventTypes: ["invoice.paid"], status: 2, statusCodeClass: 500 };
      const task = await svix.endpoint.bulkReplay(to.app, to.endpoint, filters);
      assert.equal(task.task, "endpoint.bulk-replay");
      assert.equal((await ended(task.id)).data.progress.done, 2);
      await recorded(to, { delivered: 3, failed: 2 });

      const all = await svix.endpoint.bulkReplay(to.app, to.endpoint, { since: since() });
      assert.equal((await ended(all.id)).data.progress.done, 5);
      await recorded(to, { delivered: 5 });
      await eventually(() => api.ok("GET", `${to.base}/attempt/msg/${delivered[0]}`), ({ data }) => data.length === 2, "what was delivered goes again, too");
    });

    test("sends an example of an event type to one endpoint alone", async () => {
      const to = await tenant({ eventTypes: ["nothing.of.this"] });
      const other = receiver.at(`/jobs-${++inboxes}`);
      await svix.endpoint.create(to.app, { url: other.url });
      const type = `example.${version}`;
      const schemas = { 1: { examples: [{ n: "old" }] }, 2: { type: "object", examples: [{ n: 1 }, { n: 2 }] } };
      await svix.eventType.create({ name: type, description: "", schemas });
      const first = await svix.endpoint.sendExample(to.app, to.endpoint, { eventType: type });
      assert.deepEqual([first.eventType, first.payload], [type, { n: 1 }]);
      const second = await svix.endpoint.sendExample(to.app, to.endpoint, { eventType: type, exampleIndex: 1 });
      assert.deepEqual(second.payload, { n: 2 });
      await to.inbox.request(2);
      assert.deepEqual(to.inbox.requests.map(({ text }) => text).sort(), ['{"n":1}', '{"n":2}']);
      assert.equal(other.requests.length, 0);
      await svix.endpoint.sendExample(to.app, to.endpoint, { eventType: "svix.ping" });

      const problem = await refused(svix.endpoint.sendExample(to.app, to.endpoint, { eventType: type, exampleIndex: 2 }), 422);
      assert.deepEqual(problem.detail[0].loc, ["body", "exampleIndex"]);
      await refused(svix.endpoint.sendExample(to.app, to.endpoint, { eventType: "no.such.type" }), 404);
      await svix.eventType.create({ name: `bare.${version}`, description: "" });
      await refused(svix.endpoint.sendExample(to.app, to.endpoint, { eventType: `bare.${version}` }), 400);
    });
  });
}

test("pressing resend never cancels the retry that waits", async () => {
  const to = await tenant({ answer: 500, retrySchedule: [3] });
  const [id] = await publish(to, 1);
  await recorded(to, { waiting: 1 });
  await api.ok("POST", `${to.base}/msg/${id}/endpoint/${to.endpoint}/resend`);
  await to.inbox.request(2);
  await to.inbox.request(3);
  await recorded(to, { failed: 1 });
  const { data } = await api.ok("GET", `${to.base}/attempt/msg/${id}`);
  assert.deepEqual(data.map(({ triggerType }) => triggerType), [0, 1, 0]);
});

test("a dry run counts what the job then does, and does nothing itself", async () => {
  const to = await tenant({ answer: 500 });
  const ids = await publish(to, 4);
  await recorded(to, { failed: 4 });
  to.inbox.always(200);
  const path = `${to.base}/replay`;
  const body = { since: since(), status: "failed", endpoints: [to.endpoint] };
  for (const counted of [
    await api("POST", `${path}?dry_run=true`, body),
    await api("POST", path, { ...body, dryRun: true }),
  ]) {
    assert.equal(counted.status, 200);
    assert.deepEqual([counted.body.count, counted.body.approximated], [4, false]);
    assert.deepEqual(counted.body.sample.map(({ msgId }) => msgId), ids);
  }
  assert.equal(to.inbox.requests.length, 4);
  const begun = await api("POST", path, body, { "idempotency-key": to.app });
  const again = await api("POST", path, body, { "idempotency-key": to.app });
  assert.deepEqual([begun.status, again.status, again.body.id], [202, 202, begun.body.id]);
  assert.equal((await ended(begun.body.id)).data.progress.done, 4);
  await recorded(to, { delivered: 4 });
  assert.equal(to.inbox.requests.length, 8);
});

test("of what failed for good one, a selection or all goes again", async () => {
  const to = await tenant({ answer: 500 });
  const ids = await publish(to, 4);
  await recorded(to, { failed: 4 });
  to.inbox.always(200);
  const path = `${to.base}/endpoint/${to.endpoint}/failed/redrive`;
  await ended((await api.ok("POST", path, { ids: [ids[2]] })).id);
  await recorded(to, { delivered: 1, failed: 3 });
  await ended((await api.ok("POST", path, { ids: [ids[0], ids[2]] })).id);
  await recorded(to, { delivered: 2, failed: 2 });
  await ended((await api.ok("POST", path, { since: since() })).id);
  await recorded(to, { delivered: 4, failed: 0 });
  const elsewhere = await tenant();
  const [strange] = await publish(elsewhere, 1);
  const refused = await api("POST", path, { ids: [ids[0], strange] });
  assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "ids", "1"]]);
});

test("a job keeps its rate, is watched, and stops when it is told to", async () => {
  const to = await tenant();
  await publish(to, 30);
  await recorded(to, { delivered: 30 });
  const { id } = await api.ok("POST", `${to.base}/replay`, { since: since(), status: "any", ratePerSecond: 2 });
  await to.inbox.request(32);
  const watched = await api.ok("GET", `/api/v1/background-task/${id}`);
  assert.deepEqual([watched.status, watched.data.progress.total, watched.data.progress.rate], ["running", 30, 2]);
  assert.ok(watched.data.progress.done >= 2 && watched.data.progress.done < 30, JSON.stringify(watched.data));
  const cancelled = await api.ok("POST", `/api/v1/background-task/${id}/cancel`);
  assert.deepEqual([cancelled.status, cancelled.data.cancelled], ["failed", true]);
  assert.equal((await api.ok("GET", `/api/v1/background-task/${id}`)).data.progress.done, cancelled.data.progress.done);
  const running = await api.ok("GET", "/api/v1/background-task?status=running");
  assert.ok(!running.data.some((task) => task.id === id));
});

test("what an endpoint missed while it was off is offered, and the offer holds", async () => {
  const to = await tenant();
  await publish(to, 1);
  await recorded(to, { delivered: 1 });
  const path = `${to.base}/endpoint/${to.endpoint}`;
  assert.deepEqual(await api.ok("GET", `${path}/missed`), { since: null, until: null, count: 0, approximated: false, sample: [], replay: null });
  await api.ok("PATCH", path, { disabled: true });
  const missed = await publish(to, 3);
  await api.ok("PATCH", path, { disabled: false });
  const offer = await api.ok("GET", `${path}/missed`);
  assert.equal(offer.count, 3);
  assert.ok(offer.since < offer.until);
  const { method, path: replay, body } = offer.replay;
  const counted = await api.ok(method, `${replay}?dry_run=true`, body);
  assert.deepEqual(counted.sample.map(({ msgId }) => msgId), missed);
  await api.ok(method, replay, body);
  await recorded(to, { delivered: 4 });
  assert.equal((await api.ok("GET", `${path}/missed`)).count, 0);
});

test("cancelling old messages leaves what was delivered and takes what waits", async () => {
  const to = await tenant();
  await publish(to, 1);
  await recorded(to, { delivered: 1 });
  to.inbox.always(500);
  const path = `${to.base}/endpoint/${to.endpoint}`;
  await api.ok("PATCH", path, { retrySchedule: [2] });
  const [id] = await publish(to, 1);
  await recorded(to, { waiting: 1 });
  const answer = await api("POST", `${path}/cancel-msgs`, { createdBefore: new Date(Date.now() + 1000) });
  assert.equal(answer.status, 204);
  await eventually(() => inspect(postern, to.app), ({ due }) => due === 0, "the retry is dropped when it comes up");
  assert.equal(to.inbox.requests.length, 2);
  assert.equal((await api.ok("GET", `${to.base}/attempt/msg/${id}`)).data[0].nextAttempt, null);
});

test("a test attempt answers with what came of it, and is the only one", async () => {
  const to = await tenant({ eventTypes: ["nothing.of.this"], retrySchedule: [1] });
  const path = `${to.base}/endpoint/${to.endpoint}/msg/test-attempt`;
  const message = { eventType: "test.made", payload: { a: 1 } };
  to.inbox.answer(status(418, {}, "short and stout"), slow(1500, status(204)));
  const failed = await api("POST", path, message);
  assert.equal(failed.status, 201, JSON.stringify(failed.body));
  assert.deepEqual(
    [failed.body.status, failed.body.responseStatusCode, failed.body.response, failed.body.triggerType],
    [2, 418, "short and stout", 1],
  );
  const waited = await api("POST", path, message);
  assert.deepEqual([waited.status, waited.body.status, waited.body.responseStatusCode], [201, 0, 204]);
  assert.equal(to.inbox.requests[0].text, '{"a":1}');
  assert.equal(to.inbox.requests.length, 2);
  assert.equal((await inspect(postern, to.app)).due, 0, "no retry waits");
  assert.equal((await api("POST", path, { eventType: "test.made" })).status, 422);
});

test("many that wait for their results at the same time each hear their own", async () => {
  const to = await tenant();
  const path = `${to.base}/endpoint/${to.endpoint}/msg/test-attempt`;
  to.inbox.answer(...[200, 201, 202, 203, 204, 200].map((code) => slow(200, status(code))));
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => api("POST", path, { eventType: "a.b", payload: { n } })));
  assert.deepEqual(answers.map(({ status }) => status), Array(6).fill(201));
  const own = new Map(to.inbox.requests.map(({ headers, text }) => [headers["webhook-id"], JSON.parse(text).n]));
  answers.forEach(({ body }, at) => assert.equal(own.get(body.msgId), at + 1));
});

test("nobody sees, stops or starts a job of another", async () => {
  const to = await tenant({ answer: 500 });
  const [id] = await publish(to, 1);
  await recorded(to, { failed: 1 });
  const task = await api.ok("POST", `${to.base}/replay`, { since: since(), status: "any" });
  const stranger = caller(postern, postern.token({ org: OTHER }));
  for (const [method, path, body] of [
    ["GET", `/api/v1/background-task/${task.id}`],
    ["POST", `/api/v1/background-task/${task.id}/cancel`, {}],
    ["POST", `${to.base}/replay`, { since: since(), status: "any" }],
    ["POST", `${to.base}/msg/${id}/endpoint/${to.endpoint}/resend`, {}],
    ["GET", `/api/v1/background-task/${task.id.replace(/.{4}$/, "0000")}`],
  ]) {
    assert.equal((await stranger(method, path, body)).status, 404, path);
  }
  assert.deepEqual((await stranger.ok("GET", "/api/v1/background-task")).data, [], "and what was refused left no row");
  const own = caller(postern, postern.token({ app: to.app }));
  assert.equal((await own("GET", "/api/v1/background-task")).status, 403);
  const elsewhere = await tenant();
  const wrong = await api("POST", `${elsewhere.base}/endpoint/${to.endpoint}/recover`, { since: since() });
  assert.equal(wrong.status, 404);
});

test("how a job ended stands in the directory without anybody reading it", async () => {
  const to = await tenant({ answer: 500 });
  await publish(to, 1);
  await recorded(to, { failed: 1 });
  to.inbox.always(200);
  const task = await api.ok("POST", `${to.base}/replay`, { since: since(), status: "failed" });
  await recorded(to, { delivered: 1 });
  const database = await postern.database();
  // As if the last look had been long ago; and a row whose start broke off.
  await database.prepare("UPDATE background_task SET updated_at = 1 WHERE id = ?").bind(task.id).run();
  const broken = `${task.id.slice(0, -5)}AAAAA`;
  await database
    .prepare("INSERT INTO background_task SELECT ?, organisation, application, kind, 'running', '{}', 1, 1 FROM background_task WHERE id = ?")
    .bind(broken, task.id)
    .run();
  await postern.cron();
  const state = (id) => database.prepare("SELECT state FROM background_task WHERE id = ?").bind(id).first("state");
  assert.deepEqual([await state(task.id), await state(broken)], ["finished", "failed"]);
});

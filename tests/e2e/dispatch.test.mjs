// How deliveries leave: in order where that is asked for, not faster than an endpoint takes them, and not at all to one
// that is broken or gone. With real receivers, and the official Svix SDK where it has the method.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Svix } from "svix";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startKillable } from "./killable.mjs";
import { hang, slow, startReceiver, status } from "./receiver.mjs";

const LEASE_SECONDS = 14;
let postern, receiver, api, svix;
before(async () => {
  const vars = { TEST_HOOKS: "1", DELIVERY_TIMEOUT_SECONDS: "2", LEASE_SECONDS: String(LEASE_SECONDS) };
  [postern, receiver] = await Promise.all([start({ vars }), startReceiver()]);
  api = caller(postern);
  svix = new Svix(postern.token(), { serverUrl: postern.url, numRetries: 0 });
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** Only where nothing can be awaited: that something does not come. */
const quiet = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let count = 0;
/** A tenant with one endpoint and its inbox. */
async function tenant(settings) {
  const { id } = await svix.application.create({ name: "Dispatch" });
  const inbox = receiver.at(`/dispatch-${++count}`);
  const base = `/api/v1/app/${id}`;
  const endpoint = await api.ok("POST", `${base}/endpoint`, { url: inbox.url, ...settings });
  const path = `${base}/endpoint/${endpoint.id}`;
  return {
    id,
    inbox,
    base,
    path,
    endpoint,
    publish: (payload) => svix.message.create(id, { eventType: "a.b", payload }),
    batch: (payloads) =>
      api.ok("POST", `${base}/msg/batch`, { messages: payloads.map((payload) => ({ eventType: "a.b", payload })) }),
    get: () => api.ok("GET", path),
    patch: (change) => api("PATCH", path, change),
    attempts: async () => (await svix.messageAttempt.listByEndpoint(id, endpoint.id, { limit: 250 })).data,
    /** Until every accept's lease is over: what was lost is found by then. */
    swept: () => eventually(() => inspect(postern, id), ({ mark, lastSequence }) => mark === lastSequence, "the sweep"),
  };
}

/** What a request carries. */
const payloadOf = ({ text }) => JSON.parse(text);
const numbers = ({ requests }) => requests.map((request) => payloadOf(request).n);
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

/** Answers as `code` says of the payload and of how many requests there were, and keeps what it said. */
const answering = (code) => {
  let requests = 0;
  return (_request, response, seen) => {
    seen.status = code(payloadOf(seen), ++requests);
    response.writeHead(seen.status).end();
  };
};

/** Each request is of the first number that was not taken yet. */
function assertInOrder(requests, total) {
  let next = 0;
  for (const request of requests) {
    assert.equal(payloadOf(request).n, next, `in order: ${requests.map((request) => `${payloadOf(request).n}:${request.status}`)}`);
    next += request.status === 200 ? 1 : 0;
  }
  assert.equal(next, total);
}

describe("order", { concurrency: true }, () => {
  test("50 messages to an endpoint that fails every 7th request arrive exactly in order", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "wait" }, retrySchedule: [1, 1, 1] });
    assert.deepEqual((await own.get()).ordering, { key: null, onFailure: "wait" });
    own.inbox.always(answering((_, n) => (n % 7 === 0 ? 500 : 200)));
    for (const n of range(0, 25)) {
      await own.publish({ n });
    }
    await own.batch(range(25, 50).map((n) => ({ n })));
    await own.inbox.request(50 + 8, 60_000); // the 7th, 14th … 56th failed
    await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 50, "all delivered");
    assertInOrder(own.inbox.requests, 50);
    assert.equal(own.inbox.requests.length, 58);
    const failed = (await own.attempts()).filter(({ status }) => status === 2);
    assert.equal(failed.length, 8);
  });

  test("with a key each value has its line, and one whose receiver fails holds up no other", async () => {
    const own = await tenant({ ordering: { key: "/customer", onFailure: "wait" }, retrySchedule: Array(20).fill(1) });
    let broken = true;
    own.inbox.always(answering(({ customer }) => (customer === "a" && broken ? 500 : 200)));
    const messages = range(0, 10).flatMap((n) => ["a", "b", "c"].map((customer) => ({ customer, n })));
    await own.batch(messages);
    const of = (customer) => own.inbox.requests.filter((request) => payloadOf(request).customer === customer);
    await own.inbox.until(() => of("b").length === 10 && of("c").length === 10, "what is b's and c's");
    assert.deepEqual(new Set(of("a").map((request) => payloadOf(request).n)), new Set([0]));
    broken = false;
    await own.inbox.until(() => of("a").at(-1)?.status === 200 && payloadOf(of("a").at(-1)).n === 9, "what is a's");
    for (const customer of ["a", "b", "c"]) {
      assertInOrder(of(customer), 10);
    }
  });

  test("under wait a message that failed for good holds up its line until the endpoint is disabled", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "wait" }, retrySchedule: [1] });
    own.inbox.always(answering(({ n }) => (n === 1 ? 500 : 200)));
    await own.batch(range(0, 4).map((n) => ({ n })));
    await own.inbox.request(3); // 0, and 1 twice
    await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.failed === 1, "1 has failed for good");
    await own.publish({ n: 4 });
    await own.swept();
    assert.deepEqual(numbers(own.inbox), [0, 1, 1], "nothing behind it is sent");
    assert.equal((await own.patch({ disabled: true })).status, 200);
    assert.equal((await own.patch({ disabled: false })).status, 200);
    await own.publish({ n: 5 });
    await own.inbox.request(4);
    assert.deepEqual(numbers(own.inbox), [0, 1, 1, 5], "what was owed before is cancelled");
  });

  test("under skip the line goes on behind a message that failed for good", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "skip" }, retrySchedule: [1] });
    own.inbox.always(answering(({ n }) => (n === 1 ? 500 : 200)));
    await own.batch(range(0, 5).map((n) => ({ n })));
    await own.inbox.request(6);
    assert.deepEqual(numbers(own.inbox), [0, 1, 1, 2, 3, 4]);
  });

  test("cannot be changed while messages wait in it, and can as soon as none does", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "wait" }, retrySchedule: [] });
    own.inbox.always(answering(({ n }) => (n === 0 ? 500 : 200)));
    await own.batch([{ n: 0 }, { n: 1 }]);
    await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.failed === 1, "0 has failed for good");
    const change = { ordering: { key: "/customer", onFailure: "wait" } };
    const refused = await own.patch(change);
    assert.deepEqual([refused.status, refused.body.code], [409, "conflict"]);
    assert.equal((await own.get()).ordering.key, null);
    await own.patch({ disabled: true });
    await own.patch({ disabled: false });
    await eventually(() => own.patch(change), ({ status }) => status === 200, "the change");
    await own.batch(range(1, 4).map((n) => ({ n, customer: "a" })));
    await own.inbox.request(4);
    assert.deepEqual(numbers(own.inbox), [0, 1, 2, 3]);
  });

  test("a delivery that cannot be made holds up those behind it, and uses up none of their tries", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "wait" }, retrySchedule: [1, 1] });
    own.inbox.answer(hang());
    await own.batch(range(0, 3).map((n) => ({ n })));
    await own.inbox.request(4);
    assert.deepEqual(numbers(own.inbox), [0, 0, 1, 2]);
    const waited = own.inbox.requests[1].at - own.inbox.requests[0].at;
    assert.ok(waited >= 2000, `the next try came after ${waited} ms`);
  });

  test("a pause in the middle of a line is over when the endpoint said so, not when a lease ends", async () => {
    const own = await tenant({ ordering: { key: null, onFailure: "wait" }, retrySchedule: [1, 1] });
    own.inbox.answer(200, 200, status(503, { "retry-after": "3" }));
    await own.batch(range(0, 6).map((n) => ({ n })));
    const [, , paused, next] = await own.inbox.request(7, 20_000).then(() => own.inbox.requests);
    assert.deepEqual(numbers(own.inbox), [0, 1, 2, 2, 3, 4, 5]);
    const waited = next.at - paused.at;
    assert.ok(waited >= 3000 && waited < 6000, `it went on after ${waited} ms`);
  });
});

describe("an endpoint that asks for time", { concurrency: true }, () => {
  const inSeconds = (seconds) => new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);
  const pauses = [
    ["429 with Retry-After in seconds", () => [429, "2", Date.now() + 2000]],
    ["503 with Retry-After as a date", () => [503, inSeconds(3).toUTCString(), inSeconds(3).getTime()]],
    ["500 with Retry-After, as any failure", () => [500, "2", Date.now() + 2000]],
    ["429 without one, for ten seconds", () => [429, undefined, Date.now() + 10_000]],
    ["503 without one, for ten seconds", () => [503, undefined, Date.now() + 10_000]],
  ];
  for (const [what, pause] of pauses) {
    test(`by ${what} gets nothing until then, and everything after it`, async () => {
      const own = await tenant({ retrySchedule: [1, 1] });
      await own.publish({ n: 0 });
      await own.inbox.request(1); // it answers, so its window is open
      let opens;
      own.inbox.answer((_request, response) => {
        const [code, after, at] = pause();
        opens = at;
        response.writeHead(code, after && { "retry-after": after }).end();
      });
      await own.publish({ n: 1 });
      await eventually(own.attempts, (attempts) => attempts.length === 2, "the answer is recorded");
      await own.batch(range(2, 12).map((n) => ({ n })));
      await own.inbox.until(() => new Set(numbers(own.inbox)).size === 12 && own.inbox.requests.length === 13, "all");
      const later = own.inbox.requests.slice(2).map(({ at }) => at - opens);
      assert.ok(Math.min(...later) >= 0, `${-Math.min(...later)} ms too early`);
      assert.ok(Math.max(...later) < 5000, `${Math.max(...later)} ms after the pause`);
    });
  }
});

describe("an endpoint that answers one request well while it refuses another", () => {
  test("is left alone as long as it asked for", async () => {
    const own = await tenant({ retrySchedule: [1] });
    const held = [];
    own.inbox.always((_request, response) => held.push(response));
    await own.batch(range(0, 12).map((n) => ({ n })));
    await own.inbox.request(4);
    own.inbox.always(200);
    const opens = Date.now() + 3000;
    held[0].writeHead(429, { "retry-after": "3" }).end();
    for (const response of held.slice(1)) response.writeHead(200).end();
    await own.inbox.until((requests) => new Set(requests.map((request) => payloadOf(request).n)).size === 12, "all");
    await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 12, "all delivered");
    // The answers may come in separate reports: what left before the refusal was told of is not too early.
    const early = own.inbox.requests.slice(4).filter(({ at }) => at < opens);
    assert.ok(early.length <= 3, `${early.length} of 12 came before it wanted them`);
    assert.ok(own.inbox.requests.at(-1).at >= opens);
  });
});

describe("an endpoint that fails", { concurrency: true }, () => {
  test("ten times is left alone until one probe succeeds; then it gets everything", async () => {
    const own = await tenant({ retrySchedule: Array(8).fill(1) });
    const { inbox } = own;
    // It is mended while nobody asks.
    let healed = false;
    let last = Date.now();
    let open = 0;
    inbox.always((request, response, seen) => {
      const pause = seen.at - last;
      last = seen.at;
      if (pause > 5000 && !healed) {
        healed = true;
        seen.probe = true;
      }
      seen.beside = open++;
      response.on("close", () => open--);
      if (seen.probe) return slow(700)(request, response, seen);
      response.writeHead(healed ? 200 : 500).end();
    });
    await own.batch(range(0, 40).map((n) => ({ n })));
    const probe = await inbox.matching(({ probe }) => probe, 60_000);
    const at = inbox.requests.indexOf(probe);
    assert.ok(at >= 10 && at <= 13, `${at} requests before it was left alone`); // ten, and what was on its way
    const silence = probe.at - inbox.requests[at - 1].at;
    assert.ok(silence >= 28_000 && silence < 40_000, `it was left alone for ${silence} ms`);
    await inbox.until(() => new Set(numbers(inbox)).size === 40, "all");
    await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 40, "all delivered");
    const next = inbox.requests[at + 1];
    assert.ok(next.at >= probe.at + 700, "nothing beside the probe");
    assert.equal(inbox.requests.length, at + 40, "what was delivered was sent once");
  });

  test("for ten deliveries in a row is disabled, with the reason; enabled again it gets what is new", async () => {
    const own = await tenant({ retrySchedule: [] });
    assert.deepEqual((await own.get()).disableAfter, { failed: 10, days: 5 });
    own.inbox.always(500);
    await own.batch(range(0, 9).map((n) => ({ n })));
    const failed = (n) => ({ deliveries }) => deliveries.failed === n;
    await eventually(() => inspect(postern, own.id), failed(9), "nine have failed for good");
    assert.equal((await own.get()).disabled, false);
    const warned = () => postern.logs.filter(({ message }) => message.includes("endpoint_failing") && message.includes("half way"));
    await eventually(warned, (lines) => lines.length > 0, "a warning at half way");
    await own.publish({ n: 9 });
    await eventually(() => inspect(postern, own.id), failed(10), "ten have failed for good");
    const disabled = await own.get();
    assert.deepEqual([disabled.disabled, disabled.disabledReason], [true, "deliveries_failed"]);
    assert.ok(disabled.disabledText.includes("enable"), disabled.disabledText);
    assert.equal((await svix.endpoint.get(own.id, own.endpoint.id)).disabled, true);

    const missed = await own.publish({ n: 10 });
    own.inbox.always(200);
    const enabled = await own.patch({ disabled: false });
    assert.deepEqual([enabled.body.disabled, enabled.body.disabledReason], [false, null]);
    await own.publish({ n: 11 });
    await own.inbox.request(11);
    assert.deepEqual(numbers(own.inbox).sort((a, b) => a - b), [...range(0, 10), 11]);
    assert.deepEqual((await svix.messageAttempt.listByMsg(own.id, missed.id)).data, []);
  });

  test("now and then is not disabled: a success begins the count anew, and how many it takes is settable", async () => {
    const own = await tenant({ retrySchedule: [], disableAfter: { failed: 3, days: 0 } });
    own.inbox.answer(500, 500, 200, 500, 500, 200, 500, 500, 500);
    for (const n of range(0, 9)) {
      assert.equal((await own.get()).disabled, false, `before the ${n}th`);
      await own.publish({ n });
      await eventually(own.attempts, (attempts) => attempts.length === n + 1, `result ${n}`);
    }
    assert.equal((await own.get()).disabledReason, "deliveries_failed");
  });

  test("by 410 is disabled at once, and what it was owed is cancelled for good", async () => {
    const own = await tenant({ retrySchedule: [1] });
    const held = [];
    own.inbox.always((_request, response) => held.push(response));
    const messages = range(0, 12).map((n) => ({ n }));
    const { data } = await own.batch(messages);
    await own.inbox.request(4); // as many as go to one that has not answered yet
    held[0].writeHead(410).end();
    const gone = await eventually(own.get, ({ disabled }) => disabled, "it is disabled");
    assert.equal(gone.disabledReason, "gone");
    assert.ok(gone.disabledText.includes("410"), gone.disabledText);
    for (const response of held.slice(1)) response.writeHead(200).end();
    own.inbox.always(200);
    await own.swept();
    await own.patch({ disabled: false });
    assert.equal((await own.get()).disabledReason, null);
    await own.publish({ n: 12 });
    await own.inbox.request(5);
    await own.swept();
    const came = numbers(own.inbox);
    assert.equal(came.length, 5, `${came}`);
    assert.equal(came.at(-1), 12);
    const never = messages.filter(({ n }) => !came.includes(n));
    assert.equal(never.length, 8);
    for (const { n } of never) {
      assert.deepEqual((await svix.messageAttempt.listByMsg(own.id, data[n].id)).data, []);
    }
    const counts = await inspect(postern, own.id);
    assert.deepEqual([counts.due, counts.backlog], [0, 0]);
  });
});

// One after another: what these look at would be bent by what else the local queue, which runs one batch at a time, has.
describe("how much at a time", () => {
  test("four to an endpoint that has not answered yet, and a window that grows with its answers", async () => {
    const own = await tenant({ retrySchedule: [600] });
    let open = 0;
    let answered = 0;
    let most = 0;
    const held = [];
    own.inbox.always((_request, response) => {
      open += 1;
      most = Math.max(most, open);
      assert.ok(open <= (answered < 4 ? 4 : 16 + answered), `${open} at a time after ${answered} answers`);
      response.on("close", () => (open -= 1));
      held.push(response);
    });
    const answer = (response) => {
      answered += 1;
      response.writeHead(200).end();
    };
    await own.batch(range(0, 100).map((n) => ({ n })));
    await own.inbox.request(4);
    await quiet(1000);
    assert.equal(own.inbox.requests.length, 4, "no fifth before the first answer");
    const timer = setInterval(() => held.splice(0).forEach(answer), 300);
    try {
      held.splice(0).forEach(answer);
      await own.inbox.request(100, 60_000);
      await eventually(() => inspect(postern, own.id), ({ deliveries }) => deliveries.delivered === 100, "all delivered");
    } finally {
      clearInterval(timer);
    }
    assert.ok(most > 4, `never more than ${most} at a time`);
    assert.equal(own.inbox.requests.length, 100);
  });

  test("as many in a second as its throttleRate says, no fewer for long and none too early", async () => {
    const own = await tenant({ throttleRate: 5 });
    const begun = Date.now();
    await own.batch(range(0, 30).map((n) => ({ n })));
    await own.inbox.request(30, 40_000);
    const times = own.inbox.requests.map(({ at }) => at - begun);
    for (const [n, at] of times.entries()) {
      assert.ok(at >= (n - 1) * 200 - 50, `${n} came after ${at} ms: ${times}`);
    }
    for (const from of times) {
      const within = times.filter((at) => at >= from && at < from + 1000).length;
      assert.ok(within <= 7, `${within} within a second: ${times}`);
    }
    assert.ok(times[29] < 12_000, `the last came after ${times[29]} ms`);
    assert.equal(new Set(numbers(own.inbox)).size, 30);
  });

  test("an endpoint of one tenant that hangs delays none of another's", async () => {
    const others = await tenant();
    await others.publish({ n: 0 });
    await others.inbox.request(1);
    await eventually(() => inspect(postern, others.id), ({ deliveries }) => deliveries.delivered === 1, "it answers");

    const noisy = await svix.application.create({ name: "Noisy" });
    const inboxes = range(0, 6).map((n) => receiver.at(`/noisy-${n}`).always(hang()));
    for (const { url } of inboxes) {
      await api.ok("POST", `/api/v1/app/${noisy.id}/endpoint`, { url, retrySchedule: [600] });
    }
    const messages = range(0, 20).map((n) => ({ eventType: "a.b", payload: { n } }));
    await api.ok("POST", `/api/v1/app/${noisy.id}/msg/batch`, { messages });
    await Promise.all(inboxes.map((inbox) => inbox.request(1)));

    const waits = [];
    for (const n of range(1, 11)) {
      const begun = Date.now();
      await others.publish({ n });
      const { at } = await others.inbox.request(n + 1);
      waits.push(at - begun);
    }
    assert.ok(Math.max(...waits) < 2000, `${waits}`);
    assert.ok(inboxes.every(({ requests }) => requests.length >= 1));
  });
});

test("what an endpoint's failures add up to outlives a restart", async () => {
  const persist = mkdtempSync(join(tmpdir(), "postern-health-"));
  const inbox = receiver.at("/restarted").always(500);
  let server = await start({ persist, vars: { TEST_HOOKS: "1" } });
  try {
    let call = caller(server);
    const { id: app } = await call.ok("POST", "/api/v1/app", { name: "Restarted" });
    const { id } = await call.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, retrySchedule: [] });
    const fail = async (n) => {
      await call.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { n } });
      const failed = ({ deliveries }) => deliveries.failed === n;
      await eventually(() => inspect(server, app), failed, `${n} have failed for good`);
      return (await call.ok("GET", `/api/v1/app/${app}/endpoint/${id}`)).disabledReason;
    };
    for (const n of range(1, 10)) {
      assert.equal(await fail(n), null);
    }
    await server.stop();
    server = await start({ persist, vars: { TEST_HOOKS: "1" } });
    call = caller(server);
    assert.equal(await fail(10), "deliveries_failed");
  } finally {
    await server.stop();
    rmSync(persist, { recursive: true, force: true });
  }
});

test("kill -9 in the middle of an ordered line keeps its order and loses nothing", async () => {
  const persist = mkdtempSync(join(tmpdir(), "postern-order-"));
  const vars = { TEST_HOOKS: "1", LEASE_SECONDS: "8", DELIVERY_TIMEOUT_SECONDS: "2" };
  let server = await startKillable({ persist, vars });
  try {
    const inbox = receiver.at("/killed").always(slow(10));
    let call = caller(server);
    const { id } = await call.ok("POST", "/api/v1/app", { name: "Killed" });
    const settings = { url: inbox.url, ordering: { key: null, onFailure: "wait" }, retrySchedule: [1, 1, 1] };
    await call.ok("POST", `/api/v1/app/${id}/endpoint`, settings);
    for (const from of [0, 75]) {
      const messages = range(from, from + 75).map((n) => ({ eventType: "a.b", payload: { n } }));
      await call.ok("POST", `/api/v1/app/${id}/msg/batch`, { messages });
    }
    await inbox.request(60);
    await server.kill();
    const before = inbox.requests.length;
    server = await startKillable({ persist, vars });
    call = caller(server);
    await inbox.until(() => new Set(numbers(inbox)).size === 150, "all", 60_000);
    let next = 0;
    for (const n of numbers(inbox)) {
      assert.ok(n <= next, `${n} came before ${next}: ${numbers(inbox)}`);
      next = Math.max(next, n + 1);
    }
    const again = inbox.requests.length - 150;
    assert.ok(again <= 32, `${again} came twice: more than the lane that was out`);
    assert.ok(before < 150);
  } finally {
    await server.stop();
    rmSync(persist, { recursive: true, force: true });
  }
});

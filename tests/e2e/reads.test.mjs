// The reading side, with the official Svix SDKs where they have the method: deliveries from both ends, what failed for
// good, contents that were taken away, statistics.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver, status } from "./receiver.mjs";

let postern, receiver, api;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** An application with an endpoint that answers, one that fails and is tried again late, and one that fails for good. */
async function application(name) {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name });
  const at = `/api/v1/app/${app}`;
  const make = async (kind, more) => {
    const inbox = receiver.at(`/${name}/${kind}`);
    return (await api.ok("POST", `${at}/endpoint`, { url: inbox.url, uid: kind, ...more })).id;
  };
  receiver.at(`/${name}/later`).always(status(500, {}, "not now"));
  receiver.at(`/${name}/dead`).always(status(500, {}, "never"));
  const endpoints = {
    alive: await make("alive"),
    later: await make("later", { retrySchedule: [3600] }),
    dead: await make("dead", { retrySchedule: [] }),
  };
  const publish = async (body) => (await api.ok("POST", `${at}/msg`, { eventType: "a.b", payload: { n: 1 }, ...body })).id;
  /** All attempts of so many messages are on record. */
  const attempted = (messages) =>
    eventually(
      () => api.ok("GET", `/test/app/${app}/inspect`),
      ({ deliveries: { delivered, waiting, failed } }) => delivered === messages && waiting === messages && failed === messages,
      `${messages} messages were tried at each endpoint`,
    );
  return { app, at, endpoints, publish, attempted };
}

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    let svix, own, messages;
    const whole = { withContent: true };
    before(async () => {
      svix = new sdk.Svix(postern.token(), { serverUrl: postern.url });
      own = await application(`sdk-${version.replace(".", "")}`);
      messages = [];
      for (let n = 0; n < 5; n++) {
        messages.unshift(await own.publish({ eventType: n % 2 ? "odd.one" : "even.one", payload: { n }, channels: n === 3 ? ["vip"] : undefined }));
      }
      await own.attempted(5);
    });

    test("lists the messages of an endpoint with where each stands", async () => {
      const list = (endpoint, options) => svix.messageAttempt.listAttemptedMessages(own.app, endpoint, { ...whole, ...options });
      for (const [endpoint, stands] of [["alive", 0], ["later", 3], ["dead", 2]]) {
        const { data, done } = await list(own.endpoints[endpoint]);
        assert.deepEqual(data.map(({ id }) => id), messages);
        assert.ok(done && data.every((message) => message.status === stands), JSON.stringify(data));
        assert.deepEqual(data.map(({ payload }) => payload.n), [4, 3, 2, 1, 0]);
        assert.equal(Boolean(data[0].nextAttempt), endpoint === "later");
        assert.deepEqual((await list(endpoint, { status: stands })).data.map(({ id }) => id), messages, "by uid, too");
        assert.deepEqual((await list(endpoint, { status: 1 })).data, []);
      }
      assert.deepEqual((await list("alive", { eventTypes: ["odd.one"] })).data.map(({ id }) => id), [messages[1], messages[3]]);
      assert.deepEqual((await list("alive", { channel: "vip" })).data.map(({ id }) => id), [messages[1]]);
      assert.deepEqual((await list("alive", { tag: "none" })).data, []);
      const { timestamp } = await svix.message.get(own.app, messages[2]);
      assert.deepEqual((await list("alive", { before: timestamp })).data.map(({ id }) => id), messages.slice(3));
      assert.deepEqual((await list("alive", { after: timestamp })).data.map(({ id }) => id), messages.slice(0, 2));
    });

    test("pages the messages of an endpoint forward and back", async () => {
      const list = (options) => svix.messageAttempt.listAttemptedMessages(own.app, "later", { limit: 2, ...options });
      const first = await list();
      const second = await list({ iterator: first.iterator });
      const third = await list({ iterator: second.iterator });
      assert.deepEqual([first, second, third].flatMap(({ data }) => data.map(({ id }) => id)), messages);
      assert.deepEqual([first.done, second.done, third.done], [false, false, true]);
      const back = await list({ iterator: third.prevIterator });
      assert.deepEqual(back.data.map(({ id }) => id), second.data.map(({ id }) => id));
    });

    test("lists the endpoints of a message with where it stands", async () => {
      const { data, done } = await svix.messageAttempt.listAttemptedDestinations(own.app, messages[0]);
      assert.ok(done);
      assert.deepEqual(data.map(({ id, uid, status }) => [id, uid, status]), [
        [own.endpoints.alive, "alive", 0],
        [own.endpoints.later, "later", 3],
        [own.endpoints.dead, "dead", 2],
      ]);
      assert.ok(data[1].nextAttempt > new Date(Date.now() + 3000_000) && !data[0].nextAttempt);
      const raw = await api.ok("GET", `${own.at}/msg/${messages[0]}/endpoint`);
      assert.equal(raw.data[1].waitsFor.reason, "schedule");
      assert.equal(raw.data[1].waitsFor.until, raw.data[1].nextAttempt);
      assert.equal(raw.data[0].waitsFor, null);
    });

    test("counts the deliveries of an endpoint", async () => {
      const none = { success: 0, pending: 0, sending: 0, fail: 0, canceled: 0 };
      const stats = (endpoint, options) => svix.endpoint.getStats(own.app, own.endpoints[endpoint], options);
      assert.deepEqual(await stats("alive"), { ...none, success: 5 });
      assert.deepEqual(await stats("later"), { ...none, sending: 5 });
      assert.deepEqual(await stats("dead"), { ...none, fail: 5 });
      assert.deepEqual(await stats("alive", { until: new Date(Date.now() - 7200_000) }), none);
      assert.deepEqual(await stats("alive", { since: new Date(Date.now() - 7200_000) }), { ...none, success: 5 });
    });

    test("counts what applications used", async () => {
      const hours = { since: new Date(Date.now() - 3600_000), until: new Date(Date.now() + 3600_000) };
      const uid = `unused-${version}`;
      const unused = await svix.application.create({ name: "Unused", uid });
      const count = (appIds, more) => svix.statistics.aggregateAppStats({ ...hours, ...more, appIds });
      const task = await count([uid, own.app, "nobody", unused.id]);
      assert.deepEqual([task.status, task.task, [...task.unresolvedAppIds]], ["finished", "application.stats", ["nobody"]]);
      const { status, data } = await svix.backgroundTask.get(task.id);
      assert.equal(status, "finished");
      assert.deepEqual(data.appStats, [
        { appId: own.app, appUid: null, messages: 5, messageDestinations: 15, attempts: { success: 5, failure: 10 } },
        { appId: unused.id, appUid: uid, messages: 0, messageDestinations: 0, attempts: { success: 0, failure: 0 } },
      ]);
      const all = (await svix.backgroundTask.get((await count()).id)).data.appStats.map(({ appId }) => appId);
      assert.ok(all.includes(own.app) && all.includes(unused.id), "all, if none is named");
      for (const [names, more] of [[["nobody"]], [[]], [[own.app], { until: hours.since }], [["n o"]]]) {
        await assert.rejects(count(names, more), ({ code }) => code === 422);
      }
    });

    test("reads an attempt, and takes its response away", async () => {
      const { data } = await svix.messageAttempt.listByEndpoint(own.app, own.endpoints.later, whole);
      const [attempt] = data;
      const got = await svix.messageAttempt.get(own.app, attempt.msgId, attempt.id);
      assert.deepEqual(got, attempt);
      assert.equal(got.response, "not now");
      await svix.messageAttempt.expungeContent(own.app, attempt.msgId, attempt.id);
      assert.equal((await svix.messageAttempt.get(own.app, attempt.msgId, attempt.id)).response, "EXPUNGED");
      const listed = (await svix.messageAttempt.listByMsg(own.app, attempt.msgId, { ...whole, endpointId: "later" })).data;
      assert.deepEqual(listed.map(({ response }) => response), ["EXPUNGED"]);
      await assert.rejects(svix.messageAttempt.get(own.app, data[1].msgId, attempt.id), { code: 404 });
    });

    test("takes a message's body away, and what of it is not delivered is cancelled", async () => {
      const message = messages[4];
      await svix.message.expungeContent(own.app, message);
      const got = await svix.message.get(own.app, message, whole);
      assert.deepEqual(got.payload, { expired: true });
      assert.equal((await api("GET", `${own.at}/msg/${message}/body`)).status, 404);
      assert.equal((await api("GET", `${own.at}/msg/${message}/raw`)).status, 404);
      const { data } = await svix.messageAttempt.listAttemptedDestinations(own.app, message);
      assert.deepEqual(data.map(({ status }) => status), [0, 2, 2]);
      const stats = await svix.endpoint.getStats(own.app, own.endpoints.later);
      assert.deepEqual([stats.sending, stats.canceled], [4, 1]);
      await svix.message.expungeContent(own.app, message);
      await assert.rejects(svix.message.expungeContent(own.app, "nobody"), { code: 404 });
    });

    test("prechecks a message", async () => {
      const { id: app } = await svix.application.create({ name: "Precheck" });
      const active = async (eventType) => (await svix.message.precheck(app, { eventType })).active;
      assert.equal(await active("order.made"), false);
      await svix.endpoint.create(app, { url: receiver.at("/precheck").url, filterTypes: ["order.*"], eventTypes: ["order.*"] });
      assert.deepEqual([await active("order.made"), await active("invoice.paid")], [true, false]);
    });
  });
}

test("what failed for good is a list of the endpoint's and of the application's", async () => {
  const own = await application("failed");
  const messages = [await own.publish({}), await own.publish({}), await own.publish({})].reverse();
  await own.attempted(3);
  for (const path of ["failed", `endpoint/dead/failed`]) {
    const first = await api.ok("GET", `${own.at}/${path}?limit=2`);
    const second = await api.ok("GET", `${own.at}/${path}?limit=2&iterator=${first.iterator}`);
    const all = [...first.data, ...second.data];
    assert.deepEqual(all.map(({ message }) => message.id), messages);
    assert.deepEqual([first.done, second.done], [false, true]);
    const back = await api.ok("GET", `${own.at}/${path}?limit=2&iterator=${second.prevIterator}`);
    assert.deepEqual(back.data, first.data);
    for (const { endpointId, attempts, cause, causeText, responseStatusCode, failedAt, message } of all) {
      assert.deepEqual([endpointId, attempts, cause, responseStatusCode], [own.endpoints.dead, 1, "server_error", 500]);
      assert.ok(causeText.endsWith(".") && new Date(failedAt) <= new Date());
      assert.deepEqual(message.payload, { n: 1 });
    }
  }
  assert.deepEqual((await api.ok("GET", `${own.at}/endpoint/alive/failed`)).data, []);
  assert.equal((await api("GET", `${own.at}/endpoint/nobody/failed`)).status, 404);
});

test("many bodies go at once, and each is told of", async () => {
  const own = await application("bulk");
  const [one, two] = [await own.publish({}), await own.publish({ eventId: "named" })];
  const { results } = await api.ok("POST", `${own.at}/msg/bulk-expunge`, { ids: [one, "named", "nobody"] });
  assert.deepEqual(results, { [one]: "expunged", named: "expunged", nobody: "not-found" });
  for (const message of [one, two]) {
    assert.deepEqual((await api.ok("GET", `${own.at}/msg/${message}`)).payload, { expired: true });
  }
  const many = await api("POST", `${own.at}/msg/bulk-expunge`, { ids: Array(251).fill("x") });
  assert.deepEqual([many.status, many.body.detail[0].loc], [422, ["body", "ids"]]);
});

test("a body is read as a text, and one that is none as base64", async () => {
  const own = await application("raw");
  const message = await own.publish({ payload: { "b ": 1.5 } });
  const raw = await api.ok("GET", `${own.at}/msg/${message}/raw`);
  assert.deepEqual(raw, { payload: '{"b ":1.5}', contentType: "application/json", encoding: "utf8" });
  const source = { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: ["a key that is long enough"] };
  const { url } = await api.ok("POST", `${own.at}/source`, source);
  const headers = { "x-key": "a key that is long enough", "content-type": "image/png" };
  assert.equal((await fetch(url, { method: "POST", headers, body: Buffer.from([0xff, 0x00]) })).status, 200);
  const { data } = await api.ok("GET", `${own.at}/msg?limit=1`);
  assert.deepEqual(await api.ok("GET", `${own.at}/msg/${data[0].id}/raw`), { payload: "/wA=", contentType: "image/png", encoding: "base64" });
});

test("messages are searched with the filters in the body", async () => {
  const own = await application("search");
  const messages = [];
  for (let n = 0; n < 3; n++) {
    messages.unshift(await own.publish({ eventType: n === 1 ? "c.d" : "a.b", channels: n === 2 ? ["vip"] : undefined }));
  }
  const search = (body) => api.ok("POST", `${own.at}/msg/search`, body);
  const ids = async (body) => (await search(body)).data.map(({ id }) => id);
  assert.deepEqual(await ids({}), messages);
  assert.deepEqual(await ids({ event_types: ["c.d"] }), [messages[1]]);
  assert.deepEqual(await ids({ channel: "vip" }), [messages[0]]);
  assert.deepEqual(await ids({ tag: "any" }), []);
  const page = await search({ limit: 1, with_content: true });
  assert.deepEqual(page.data[0].payload, { n: 1 });
  assert.deepEqual((await search({ limit: 1 })).data[0].payload, {});
  assert.deepEqual(await ids({ iterator: page.iterator }), messages.slice(1));
  const wrong = await api("POST", `${own.at}/msg/search`, { limit: 0, before: "yesterday", channel: "a b", event_types: [], tag: "" });
  assert.deepEqual([wrong.status, wrong.body.detail.map(({ loc }) => loc[1]).sort()], [422, ["before", "channel", "event_types", "limit", "tag"]]);
});

test("attempts are counted, by endpoint and by type", async () => {
  const own = await application("counts");
  await own.publish({ eventType: "a.b" });
  await own.publish({ eventType: "c.d" });
  await own.attempted(2);
  const count = async (query) => (await api.ok("GET", `${own.at}/attempt/endpoint/dead/count${query}`));
  assert.deepEqual(await count(""), { count: 2, approximated: false });
  assert.deepEqual(await count("?status=2&status_code_class=500"), { count: 2, approximated: false });
  assert.deepEqual(await count("?status=0"), { count: 0, approximated: false });
  assert.deepEqual(await count("?event_types=a.b"), { count: 1, approximated: false });
  const [since, until] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3600_000).toISOString());
  const stats = await api.ok("GET", `${own.at}/stats/attempts?since=${since}&until=${until}`);
  const each = { success: 1, failure: 2, canceled: 0 };
  assert.deepEqual(stats.by_event_type, { "a.b": each, "c.d": each });
  assert.deepEqual([stats.total_success, stats.total_failure, stats.total_canceled], [2, 4, 0]);
  assert.ok(stats.since <= since && stats.until >= until, "whole hours");
  const one = await api.ok("GET", `${own.at}/stats/attempts?since=${since}&until=${until}&event_types=c.d`);
  assert.deepEqual(Object.keys(one.by_event_type), ["c.d"]);
  const missing = await api("GET", `${own.at}/stats/attempts?since=${since}`);
  assert.deepEqual([missing.status, missing.body.detail[0].loc], [422, ["query", "until"]]);
});

test("a rate that holds something back says so", async () => {
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "rate" });
  const at = `/api/v1/app/${app}`;
  await api.ok("POST", `${at}/endpoint`, { url: receiver.at("/rate").url, uid: "slow", throttleRate: 1 });
  const ask = () => api.ok("GET", `${at}/endpoint/slow/rate-limit-status`);
  assert.deepEqual(await ask(), { status: "Ok", throttledSince: null });
  for (let n = 0; n < 4; n++) {
    await api.ok("POST", `${at}/msg`, { eventType: "a.b", payload: {} });
  }
  const limited = await ask();
  assert.equal(limited.status, "RateLimited");
  assert.ok(new Date(limited.throttledSince) <= new Date());
  const { data } = await api.ok("GET", `${at}/endpoint/slow/msg`);
  assert.deepEqual([data[0].status, data[0].waitsFor.reason], [1, "rate_limited"]);
  await receiver.at("/rate").request(4);
  assert.deepEqual(await eventually(ask, ({ status }) => status === "Ok", "nothing waits any more"), { status: "Ok", throttledSince: null });
});

// The official Svix SDKs, the last 1.x and 2.x, against Postern unchanged: every operation that is built, by `serverUrl`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

let postern, receiver, api;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars: { TEST_HOOKS: "1" } }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    let svix;
    const name = (text) => `${text}-${version.replace(".", "")}`;
    before(() => (svix = new sdk.Svix(postern.token(), { serverUrl: postern.url })));

    /** PUT: 1.x says `update`, 2.x says `upsert`. */
    const put = (noun, ...request) => (svix[noun].upsert ?? svix[noun].update).apply(svix[noun], request);
    /** 2.x asks for contents only where it is told to. */
    const whole = { withContent: true };

    /** A call that must fail with this status; answers the error's body. */
    async function refused(call, status) {
      const error = await call.then(
        () => assert.fail(`must fail with ${status}`),
        (error) => error,
      );
      assert.ok(error instanceof sdk.ApiException, `${error}`);
      assert.equal(error.code, status, JSON.stringify(error.body));
      return error.body;
    }

    /** Every item of a list, page by page. */
    async function all(list, limit) {
      const items = [];
      for (let iterator = null, pages = 0; ; pages++) {
        assert.ok(pages < 50, "the list has no end");
        const page = await list({ limit, iterator });
        assert.ok(page.data.length <= limit);
        items.push(...page.data);
        if (page.done) {
          return items;
        }
        assert.ok(page.iterator, "a page that is not the last has an iterator");
        iterator = page.iterator;
      }
    }

    test("makes, finds, lists, changes and deletes applications", async () => {
      const uid = name("acme");
      const made = await svix.application.create({ name: "Acme", uid, throttleRate: 50, metadata: { plan: "gold" } });
      assert.match(made.id, /^app_[0-9A-Za-z]{27}$/);
      assert.equal(made.name, "Acme");
      assert.equal(made.uid, uid);
      assert.deepEqual(made.metadata, { plan: "gold" });
      assert.equal(made.throttleRate, 50);
      assert.ok(made.createdAt instanceof Date && made.updatedAt instanceof Date);
      assert.deepEqual(await svix.application.get(made.id), made);
      assert.deepEqual(await svix.application.get(uid), made);

      await refused(svix.application.create({ name: "Other", uid }), 409);
      assert.deepEqual(await svix.application.getOrCreate({ name: "Never used", uid }), made);
      const other = await svix.application.getOrCreate({ name: "Other", uid: name("other") });
      assert.notEqual(other.id, made.id);

      const updated = await put("application", made.id, { name: "Acme 2", uid });
      assert.equal(updated.name, "Acme 2");
      assert.deepEqual(updated.metadata, {});
      const patched = await svix.application.patch(made.id, { metadata: { a: "b" } });
      assert.deepEqual([patched.name, patched.metadata], ["Acme 2", { a: "b" }]);
      assert.equal((await svix.application.get(uid)).name, "Acme 2");

      const byPut = await put("application", name("by-put"), { name: "By PUT" });
      assert.equal(byPut.uid, name("by-put"), "a uid that is not there is made");
      await refused(put("application", made.id.replace(/.{4}$/, "0000"), { name: "Nobody" }), 404);

      const third = await svix.application.create({ name: "Third" });
      const ids = (await all((page) => svix.application.list(page), 1)).map(({ id }) => id);
      for (const id of [made.id, other.id, third.id]) {
        assert.equal(ids.filter((listed) => listed === id).length, 1, `${id} once in ${ids}`);
      }

      await svix.application.delete(made.id);
      await refused(svix.application.get(made.id), 404);
      await refused(svix.application.get(uid), 404);
      await refused(svix.message.create(made.id, { eventType: "a.b", payload: {} }), 404);
      const again = await svix.application.create({ name: "Again", uid });
      assert.notEqual(again.id, made.id);
    });

    test("makes, finds, lists, changes and deletes endpoints", async () => {
      const app = await svix.application.create({ name: "Endpoints" });
      const inbox = receiver.at(`/${name("endpoints")}`);
      const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
      const made = await svix.endpoint.create(app.id, {
        url: inbox.url,
        description: "first",
        uid: "first",
        secret,
        channels: ["a"],
        metadata: { k: "v" },
        throttleRate: 7,
        headers: { "x-tenant": "1" },
        filterTypes: ["invoice.paid"],
        eventTypes: ["invoice.paid"],
      });
      assert.match(made.id, /^ep_[0-9A-Za-z]{27}$/);
      assert.equal(made.url, inbox.url);
      assert.equal(made.description, "first");
      assert.equal(made.uid, "first");
      assert.deepEqual(made.channels, ["a"]);
      assert.deepEqual(made.eventTypes ?? made.filterTypes, ["invoice.paid"]);
      assert.equal(made.throttleRate ?? made.rateLimit, 7);
      assert.deepEqual(made.metadata, { k: "v" });
      assert.equal(made.disabled, false);
      assert.deepEqual(await svix.endpoint.get(app.id, "first"), made);
      assert.deepEqual(await svix.endpoint.getSecret(app.id, made.id), { key: secret });

      const second = await svix.endpoint.create(app.id, { url: inbox.url });
      const { key } = await svix.endpoint.getSecret(app.id, second.id);
      assert.match(key, /^whsec_[A-Za-z0-9+/=]{32}$/);
      await refused(svix.endpoint.create(app.id, { url: inbox.url, uid: "first" }), 409);

      const patched = await svix.endpoint.patch(app.id, made.id, { description: "patched", channels: null });
      assert.equal(patched.description, "patched");
      assert.equal(patched.channels ?? null, null);
      assert.equal(patched.uid, "first");
      const updated = await put("endpoint", app.id, made.id, { url: `${inbox.url}?x=1`, disabled: true });
      assert.equal(updated.url, `${inbox.url}?x=1`);
      assert.equal(updated.disabled, true);
      assert.equal(updated.description, "");
      assert.deepEqual(await svix.endpoint.getSecret(app.id, made.id), { key: secret }, "an update keeps the secret");

      const third = await svix.endpoint.create(app.id, { url: inbox.url });
      const ids = [made.id, second.id, third.id];
      assert.deepEqual((await all((page) => svix.endpoint.list(app.id, page), 1)).map(({ id }) => id), ids);
      const { data } = await svix.endpoint.list(app.id, { order: "descending" });
      assert.deepEqual(data.map(({ id }) => id), ids.toReversed());

      const byPut = await put("endpoint", app.id, "by-put", { url: inbox.url });
      assert.equal(byPut.uid, "by-put", "a uid that is not there is made");
      await svix.endpoint.delete(app.id, byPut.id);

      await svix.endpoint.delete(app.id, second.id);
      await refused(svix.endpoint.get(app.id, second.id), 404);
      await refused(svix.endpoint.getSecret(app.id, second.id), 404);
      assert.equal((await svix.endpoint.list(app.id)).data.length, 2);
    });

    test("reads and writes the fields beside Svix's through plain HTTP, and does not trip over them", async () => {
      const app = await svix.application.create({ name: "Beside" });
      const body = { url: receiver.at(`/${name("beside")}`).url, retrySchedule: [1, 60], headerNames: "both" };
      const made = await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, body);
      assert.deepEqual(made.retrySchedule, [1, 60]);
      assert.equal((await svix.endpoint.get(app.id, made.id)).id, made.id);
      await svix.endpoint.patch(app.id, made.id, { description: "by the SDK" });
      const after = await api.ok("GET", `/api/v1/app/${app.id}/endpoint/${made.id}`);
      assert.deepEqual(after.retrySchedule, [1, 60]);
      assert.equal(after.headerNames, "both");
    });

    test("makes, finds, lists, changes and deletes event types", async () => {
      const type = name("invoice.paid");
      const schemas = { "1": { type: "object", title: "Invoice" } };
      const made = await svix.eventType.create({ name: type, description: "An invoice was paid", schemas });
      assert.equal(made.name, type);
      assert.deepEqual(made.schemas, schemas);
      assert.equal(made.archived, false);
      assert.deepEqual(await svix.eventType.get(type), made);
      await refused(svix.eventType.create({ name: type, description: "" }), 409);

      const others = [name("user/added:v2"), name("user.gone")];
      for (const other of others) {
        await svix.eventType.create({ name: other, description: "" });
      }
      assert.equal((await svix.eventType.get(others[0])).name, others[0], "a slash in a name is no part of the path");
      const listed = (await all((page) => svix.eventType.list({ ...page, withContent: true }), 2)).map((each) => each.name);
      for (const each of [type, ...others]) {
        assert.equal(listed.filter((one) => one === each).length, 1, `${each} once in ${listed}`);
      }

      assert.equal((await svix.eventType.patch(type, { description: "patched" })).description, "patched");
      const updated = await put("eventType", type, { description: "updated", deprecated: true });
      assert.equal(updated.description, "updated");
      assert.equal(updated.deprecated, true);

      await svix.eventType.delete(type);
      assert.equal((await svix.eventType.get(type)).archived, true);
      const named = async (options) => (await svix.eventType.list({ limit: 250, ...options })).data.map((each) => each.name);
      assert.ok(!(await named({})).includes(type));
      assert.ok((await named({ includeArchived: true })).includes(type));
      await svix.eventType.delete(type, { expunge: true });
      await refused(svix.eventType.get(type), 404);
    });

    test("publishes, finds and lists messages, each event once", async () => {
      const app = await svix.application.create({ name: "Messages" });
      const payload = { a: 1, nested: { list: [1, "two", null] } };
      const made = await svix.message.create(app.id, { eventType: "invoice.paid", eventId: "evt_1", payload, channels: ["c1"] }, whole);
      assert.match(made.id, /^msg_[0-9A-Za-z]{27}$/);
      assert.equal(made.eventType, "invoice.paid");
      assert.equal(made.eventId, "evt_1");
      assert.deepEqual(made.channels, ["c1"]);
      assert.deepEqual(made.payload, payload);
      assert.ok(made.timestamp instanceof Date);
      assert.deepEqual(await svix.message.get(app.id, made.id, whole), made);
      const hidden = await svix.message.get(app.id, made.id, { withContent: false });
      assert.deepEqual(hidden.payload, {});

      const problem = await refused(svix.message.create(app.id, { eventType: "x.y", eventId: "evt_1", payload: {} }), 409);
      assert.equal(problem.code, "conflict");

      const types = ["user.added", "invoice.paid", "user.gone", "user.added"];
      const rest = [];
      for (const eventType of types) {
        rest.push(await svix.message.create(app.id, { eventType, payload: { eventType } }));
      }
      const ids = [made, ...rest].map(({ id }) => id).toReversed();
      const list = (options) => svix.message.list(app.id, options);
      assert.deepEqual((await all(list, 2)).map(({ id }) => id), ids, "newest first, each once");
      const listed = async (options) => (await list(options)).data.map(({ id }) => id);
      assert.deepEqual(await listed({ eventTypes: ["user.added", "user.gone"] }), [rest[3].id, rest[2].id, rest[0].id]);
      assert.deepEqual(await listed({ channel: "c1" }), [made.id]);
      assert.deepEqual(await listed({ after: new Date(Date.now() + 60_000) }), []);
      assert.deepEqual(await listed({ before: new Date(Date.now() + 60_000) }), ids);
      assert.deepEqual(await listed({ before: new Date(made.timestamp.getTime() - 1000) }), []);
      const bare = await list({ withContent: false });
      assert.ok(bare.data.every((message) => Object.keys(message.payload).length === 0));
    });

    test("publishes raw text with a type of its own", async () => {
      const inbox = receiver.at(`/${name("raw")}`);
      const app = await svix.application.create({ name: "Raw" });
      await svix.endpoint.create(app.id, { url: inbox.url });
      await svix.message.create(app.id, sdk.messageInRaw("a.b", "<xml>ö</xml>", "application/xml"));
      const got = await inbox.request(1);
      assert.equal(got.text, "<xml>ö</xml>");
      assert.equal(got.headers["content-type"], "application/xml");
    });

    test("a repeated idempotency key gives the first answer", async () => {
      const app = await svix.application.create({ name: "Once" });
      const options = { idempotencyKey: name("key") };
      const message = { eventType: "a.b", payload: { n: 1 } };
      const first = await svix.message.create(app.id, message, options);
      const second = await svix.message.create(app.id, message, options);
      assert.equal(second.id, first.id);
      assert.equal((await svix.message.list(app.id)).data.length, 1);
      await refused(svix.message.create(app.id, { ...message, payload: { n: 2 } }, options), 422);
    });

    test("lists attempts by message and by endpoint, narrowed in every way", async () => {
      const good = receiver.at(`/${name("good")}`);
      const bad = receiver.at(`/${name("bad")}`).always(503);
      const app = await svix.application.create({ name: "Attempts" });
      const { id: goodId } = await svix.endpoint.create(app.id, { url: good.url });
      const badOne = { url: bad.url, retrySchedule: [] };
      const { id: badId } = await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, badOne);
      const paid = await svix.message.create(app.id, { eventType: "invoice.paid", payload: {}, channels: ["c1"] });
      const added = await svix.message.create(app.id, { eventType: "user.added", payload: {} });

      const byMessage = (message, options) => svix.messageAttempt.listByMsg(app.id, message, options);
      for (const { id } of [paid, added]) {
        await eventually(() => byMessage(id), ({ data }) => data.length === 2, "both attempts");
      }
      const endpoints = async (options) => (await byMessage(paid.id, options)).data.map((each) => each.endpointId).sort();
      assert.deepEqual(await endpoints(), [goodId, badId].sort());
      assert.deepEqual(await endpoints({ status: 0 }), [goodId]);
      assert.deepEqual(await endpoints({ status: 2 }), [badId]);
      assert.deepEqual(await endpoints({ statusCodeClass: 200 }), [goodId]);
      assert.deepEqual(await endpoints({ statusCodeClass: 500 }), [badId]);
      assert.deepEqual(await endpoints({ statusCodeClass: 400 }), []);
      assert.deepEqual(await endpoints({ endpointId: badId }), [badId]);
      assert.deepEqual(await endpoints({ channel: "c1", status: 0 }), [goodId]);
      assert.deepEqual(await endpoints({ channel: "c2" }), []);
      assert.deepEqual(await endpoints({ eventTypes: ["user.added"] }), []);

      const messages = async (options) =>
        (await svix.messageAttempt.listByEndpoint(app.id, badId, options)).data.map(({ msgId }) => msgId);
      assert.deepEqual((await messages()).sort(), [added.id, paid.id].sort());
      assert.deepEqual(await messages({ eventTypes: ["invoice.paid"] }), [paid.id]);
      assert.deepEqual(await messages({ channel: "c1" }), [paid.id]);
      assert.deepEqual(await messages({ status: 0 }), []);
      assert.deepEqual(await messages({ before: new Date(Date.now() - 3_600_000) }), []);
      assert.equal((await messages({ after: new Date(Date.now() - 3_600_000) })).length, 2);
      assert.deepEqual(await messages({ after: new Date(Date.now() + 3_600_000) }), []);
      const paged = await all((page) => svix.messageAttempt.listByEndpoint(app.id, badId, page), 1);
      assert.deepEqual(paged.map(({ msgId }) => msgId).sort(), [added.id, paid.id].sort());

      const [attempt] = (await byMessage(paid.id, { status: 2 })).data;
      assert.match(attempt.id, /^atmpt_[0-9A-Za-z]{27}$/);
      assert.equal(attempt.msgId, paid.id);
      assert.equal(attempt.url, bad.url);
      assert.equal(attempt.responseStatusCode, 503);
      assert.equal(attempt.triggerType, 0);
      assert.ok(attempt.timestamp instanceof Date);

      await refused(byMessage(paid.id.replace(/.{4}$/, "0000")), 404);
      await refused(svix.messageAttempt.listByEndpoint(app.id, `${badId.slice(0, -4)}0000`), 404);
    });

    test("is told that the server is there", async () => {
      await svix.health.get();
    });

    test("hears each fault with its place as a validation error", async () => {
      const app = await svix.application.create({ name: "Faults" });
      const problem = await refused(svix.endpoint.create(app.id, { url: "no url", channels: ["a b"] }), 422);
      assert.deepEqual(problem.detail.map(({ loc }) => loc.join(".")).sort(), ["body.channels.0", "body.url"]);
      for (const { msg, type } of problem.detail) {
        assert.ok(msg && type);
      }
    });

    test("with a tenant's token reaches its own tenant and no other", async () => {
      const [own, other] = await Promise.all(["Own", "Other"].map((name) => svix.application.create({ name })));
      const tenant = new sdk.Svix(postern.token({ app: own.id }), { serverUrl: postern.url });
      assert.equal((await tenant.application.get(own.id)).name, "Own");
      await tenant.message.create(own.id, { eventType: "a.b", payload: {} });
      await refused(tenant.application.get(other.id), 404);
      await refused(tenant.message.list(other.id), 404);
      await refused(tenant.application.list(), 403);
    });

    test("is told that an operation is not built, in one sentence", async () => {
      const client = new sdk.Svix(postern.token(), { serverUrl: postern.url, numRetries: 0 }); // it tries again on 5xx
      const problem = await refused(client.ingest.source.list(), 501);
      const { code, detail } = JSON.parse(problem); // the SDKs leave an error of 5xx as text
      assert.equal(code, "not_implemented");
      assert.ok(detail.includes("does not have it"), detail);
    });
  });
}

// The release before this one crossed with this one, on the same state: a deployment reaches the edge and the objects
// one after the other, may be taken back, and may come again. Whatever was promised in one step holds in the next.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { Svix } from "svix";
import { caller, eventually } from "./api.mjs";
import { root, start } from "./harness.mjs";
import { leftOut, previousBundle, previousRelease } from "./previous.mjs";
import { startReceiver } from "./receiver.mjs";

const BUNDLES = { new: join(root, "build") };
const vars = { LEASE_SECONDS: "30" };
const SECRET = "a key that is long enough";
const left = leftOut();
const options = left ? { skip: `the history of ${previousRelease} is not here` } : {};
let persist, receiver, postern, api, svix;
/** What earlier steps have left: each message with its text, and each endpoint that stands. */
const messages = new Map();
let app, endpoint, source;
/** Where the last step left a delivery that waits for its retry. */
let waiting;

before(async () => {
  if (left) return;
  BUNDLES.old = await previousBundle();
  persist = mkdtempSync(join(tmpdir(), "postern-releases-"));
  receiver = await startReceiver();
}, { timeout: 900_000 });
after(async () => {
  await postern?.stop();
  await receiver?.stop();
  if (persist) rmSync(persist, { recursive: true, force: true });
});

/** The next step of a deployment: the same state, with these two. */
async function deployed(edge, objects) {
  await postern?.stop();
  postern = undefined;
  postern = await start({ persist, vars, edge: BUNDLES[edge], objects: BUNDLES[objects] });
  api = caller(postern);
  svix = new Svix(postern.token(), { serverUrl: postern.url });
}

const STEPS = [
  ["old", "old", "where it began"],
  ["new", "old", "the edge is deployed first"],
  ["new", "new", "the objects follow"],
  ["old", "new", "the objects were first, or the edge is taken back"],
  ["old", "old", "all is taken back"],
  ["new", "new", "and it comes again"],
  ["old", "new", "once more the other way"],
];

for (const [at, [edge, objects, why]] of STEPS.entries()) {
  test(`${at + 1}. ${edge} edge, ${objects} objects (${why}): publish, deliver, retry, list, change`, options, async () => {
    await deployed(edge, objects);
    if (at === 0) await begin();
    await earlierStepsHold();
    await openDeliveriesGoOn();
    await works(`step-${at}`);
    if (edge === "new" && objects === "old") await sayThatTheyAreBeingUpdated();
    if (edge === "new" && objects === "new") await doWhatIsNew(`step-${at}`);
    await leaveOneOpen(`step-${at}`);
  });
}

async function begin() {
  app = (await svix.application.create({ name: "Acme", uid: "acme" })).id;
  endpoint = await svix.endpoint.create(app, { url: receiver.at("/all").url });
  const config = { header: "x-key", eventId: "/id" };
  source = await api.ok("POST", `/api/v1/app/${app}/source`, { name: "S", provider: "api_key", config, secrets: [SECRET] });
}

/** All that was there is there, and reads as it did. */
async function earlierStepsHold() {
  for (const [id, text] of messages) {
    assert.equal((await svix.message.get(app, id)).payload.text, text);
  }
  const listed = new Set();
  for (let iterator; ; ) {
    const page = await svix.message.list(app, { limit: 50, iterator });
    for (const { id } of page.data) listed.add(id);
    if (page.done) break;
    ({ iterator } = page);
  }
  for (const id of messages.keys()) assert.ok(listed.has(id), `${id} is not listed any more`);
  assert.equal((await svix.endpoint.get(app, endpoint.id)).url, endpoint.url);
}

/** A delivery that failed, and whose retry is due when another release stands there. */
async function leaveOneOpen(step) {
  const channel = `open-${step}`;
  waiting = receiver.at(`/${channel}`).answer(500);
  const own = await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: waiting.url, channels: [channel], retrySchedule: [3] });
  await svix.message.create(app, { eventType: "a.b", channels: [channel], payload: { text: channel } });
  await eventually(() => svix.messageAttempt.listByEndpoint(app, own.id), ({ data }) => data.length === 1, "the failure");
}

async function openDeliveriesGoOn() {
  const again = await waiting?.request(2, 40_000);
  assert.equal(again?.text, waiting?.requests[0].text);
}

/** The ordinary life of a tenant. */
async function works(step) {
  const all = receiver.at("/all");
  const { key } = await svix.endpoint.getSecret(app, endpoint.id);
  const message = await svix.message.create(app, { eventType: "a.b", payload: { text: step }, eventId: step });
  messages.set(message.id, step);
  const got = await all.matching(({ headers }) => headers["webhook-id"] === message.id);
  assert.equal(JSON.parse(new Webhook(key).verify(got.body, got.headers) && got.text).text, step);
  await assert.rejects(svix.message.create(app, { eventType: "a.b", payload: {}, eventId: "step-0" }), { code: 409 });

  // A webhook in: once, however often it comes.
  const id = `evt_${step}`;
  const { url } = await api.ok("GET", `/api/v1/app/${app}/source/${source.id}`);
  const address = new URL(new URL(url).pathname, postern.url);
  for (let n = 0; n < 2; n++) {
    const answer = await fetch(address, { method: "POST", headers: { "x-key": SECRET, "content-type": "application/json" }, body: JSON.stringify({ id }) });
    assert.equal(answer.status, 200);
  }
  await all.matching(({ text }) => text === JSON.stringify({ id }));

  // A retry, and what is told of it.
  const inbox = receiver.at(`/${step}`).answer(500);
  const own = await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, uid: step, channels: [step], retrySchedule: [1] });
  const tried = await svix.message.create(app, { eventType: "a.b", channels: [step], payload: { text: `tried at ${step}` } });
  messages.set(tried.id, `tried at ${step}`);
  await inbox.request(2);
  const attempts = await eventually(
    () => svix.messageAttempt.listByEndpoint(app, own.id),
    ({ data }) => data.length === 2,
    "both attempts",
  );
  assert.deepEqual(attempts.data.map(({ responseStatusCode }) => responseStatusCode), [200, 500]);
  const ofMessage = await svix.messageAttempt.listByMsg(app, tried.id, { endpointId: own.id });
  assert.equal(ofMessage.data.length, 2);

  // Changes.
  const patched = await svix.endpoint.patch(app, step, { description: "patched", disabled: true });
  assert.deepEqual([patched.description, patched.disabled], ["patched", true]);
  const replaced = await svix.endpoint.update(app, step, { url: `${inbox.url}/new`, uid: step });
  assert.deepEqual([replaced.url, replaced.description, replaced.disabled], [`${inbox.url}/new`, "", false]);
  assert.ok((await svix.endpoint.list(app)).data.some(({ uid }) => uid === step));
  await svix.endpoint.delete(app, step);
  await assert.rejects(svix.endpoint.get(app, step), { code: 404 });

  // Tenants come and go.
  const passing = await svix.application.create({ name: step, uid: `passing-${step}` });
  await svix.application.patch(`passing-${step}`, { throttleRate: 10 });
  await svix.application.delete(passing.id);
  await assert.rejects(svix.application.get(passing.id), { code: 404 });
  await assert.rejects(svix.endpoint.list(passing.id), { code: 404 });
}

/** What older objects do not know is neither a failure of ours nor a hanging request. */
async function sayThatTheyAreBeingUpdated() {
  const half = (await svix.application.create({ name: "Half", uid: "half" })).id;
  const csv = `url,secret\nhttp://127.0.0.1:9/,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`;
  for (const [method, path, body] of [
    ["GET", `/api/v1/app/${app}/export`],
    ["POST", `/api/v1/app/${app}/import`, { source: "csv", csv }],
    ["POST", `/api/v1/app/${half}/erase`, { confirm: half }],
  ]) {
    const answer = await api(method, path, body);
    assert.deepEqual([answer.status, answer.body.code], [501, "not_implemented"], `${method} ${path}: ${JSON.stringify(answer.body)}`);
    assert.match(answer.body.detail, /being updated/);
  }
  // What is no such call is what it was.
  assert.equal((await api("GET", `/api/v1/app/${app}/endpoint/ep_none`)).status, 404);
}

/** The half that was asked of older objects is finished by newer ones; and what is new reads what is old. */
async function doWhatIsNew(step) {
  const database = await postern.database();
  const half = await database.prepare("SELECT id FROM application WHERE state = 'deleting'").first("id");
  if (half) {
    const { status, body } = await api("POST", `/api/v1/app/${half}/erase`, { confirm: half });
    assert.deepEqual([status, body.erased.directoryRows.application], [200, 1], JSON.stringify(body));
  }
  const answer = await postern.fetch(`/api/v1/app/${app}/export`, { headers: { authorization: `Bearer ${postern.token()}` } });
  const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
  const exported = new Set(lines.filter(({ kind }) => kind === "message").map(({ message }) => message.id));
  for (const id of messages.keys()) assert.ok(exported.has(id), `${step}: ${id} is not exported`);
  assert.equal(lines.at(-1).kind, "end");
}

test("the erasure that was asked of older objects was finished", options, async () => {
  const database = await postern.database();
  const { results } = await database.prepare("SELECT erased_at FROM erasure").all();
  assert.equal(results.length, 1);
  assert.ok(results[0].erased_at > 0);
});

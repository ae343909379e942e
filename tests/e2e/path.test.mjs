// The path: a signed webhook in, a signed and retried delivery out.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { Svix } from "svix";
import { caller, eventually, start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const SECRET = "whsec_the_secret_that_stripe_shows_once";
const stripe = new Stripe("sk_test_unused");
let postern, svix, api;

before(async () => {
  postern = await start();
  api = caller(postern.url);
  svix = new Svix(postern.token, { serverUrl: postern.url });
});
after(() => postern?.stop());

/** A Stripe event, signed as Stripe does. */
function signed(id, secret = SECRET) {
  const payload = JSON.stringify({ id, object: "event", type: "invoice.paid", created: 1_700_000_000, data: {} }, null, 2);
  return { payload, headers: { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret }) } };
}

/** What the SDK has no method or no field for. */
async function post(path, body) {
  const answer = await api("POST", `/api/v1${path}`, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

const source = (app, body) => post(`/app/${app}/source`, body);

test("a webhook that Stripe signed reaches the tenant's endpoint, signed anew, byte for byte", async (t) => {
  const receiver = await startReceiver(t);
  const app = await svix.application.create({ name: "Acme" });
  const endpoint = await svix.endpoint.create(app.id, { url: receiver.url });
  const { key } = await svix.endpoint.getSecret(app.id, endpoint.id);
  const from = await source(app.id, { name: "Stripe", provider: "stripe", secrets: [SECRET] });

  const { payload, headers } = signed("evt_1");
  const taken = await fetch(from.url, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: payload });
  assert.equal(taken.status, 200, await taken.clone().text());
  assert.equal(await taken.text(), "");

  const got = await receiver.request(1);
  assert.equal(got.body.toString(), payload);
  assert.equal(got.headers["content-type"], "application/json");
  new Webhook(key).verify(got.body, got.headers);

  const messages = await svix.message.list(app.id);
  assert.equal(messages.data.length, 1);
  assert.equal(messages.data[0].eventType, "invoice.paid");
  assert.equal(got.headers["webhook-id"], messages.data[0].id);
  const attempts = await eventually(
    () => svix.messageAttempt.listByMsg(app.id, messages.data[0].id),
    ({ data }) => data.length === 1,
    "the attempt",
  );
  assert.equal(attempts.data[0].status, 0);
  assert.equal(attempts.data[0].responseStatusCode, 200);
});

test("the same event again is answered the same and delivered once", async (t) => {
  const receiver = await startReceiver(t);
  const app = await svix.application.create({ name: "Twice" });
  await svix.endpoint.create(app.id, { url: receiver.url });
  const from = await source(app.id, { name: "Stripe", provider: "stripe", secrets: [SECRET] });
  for (let n = 0; n < 3; n++) {
    const { payload, headers } = signed("evt_same");
    const taken = await fetch(from.url, { method: "POST", headers, body: payload });
    assert.equal(taken.status, 200);
  }
  await receiver.request(1);
  const { data } = await svix.message.list(app.id);
  assert.equal(data.length, 1);
  assert.equal(receiver.requests.length, 1);
});

test("a delivery that fails is tried again on the endpoint's schedule, with the same id", async (t) => {
  const receiver = await startReceiver(t, 500, 503, 200);
  const app = await svix.application.create({ name: "Retry" });
  const endpoint = await post(`/app/${app.id}/endpoint`, { url: receiver.url, retrySchedule: [1, 1] });
  const message = await svix.message.create(app.id, { eventType: "a.b", payload: { n: 1 } });
  const third = await receiver.request(3);
  assert.equal(new Set(receiver.requests.map((request) => request.headers["webhook-id"])).size, 1);
  assert.equal(third.headers["webhook-id"], message.id);
  const attempts = await eventually(
    () => svix.messageAttempt.listByEndpoint(app.id, endpoint.id),
    ({ data }) => data.length === 3,
    "three attempts",
  );
  assert.deepEqual(attempts.data.map((attempt) => attempt.responseStatusCode), [200, 503, 500]);
});

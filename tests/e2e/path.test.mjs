// The path: a signed webhook in, a signed and retried delivery out.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { Svix } from "svix";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const SECRET = "whsec_the_secret_that_stripe_shows_once";
const stripe = new Stripe("sk_test_unused");
let postern, svix, api, receiver;

before(async () => {
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  receiver = await startReceiver();
  api = caller(postern);
  svix = new Svix(postern.token(), { serverUrl: postern.url });
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

/** A Stripe event, signed as Stripe does. */
function signed(id, secret = SECRET) {
  const payload = JSON.stringify({ id, object: "event", type: "invoice.paid", created: 1_700_000_000, data: {} }, null, 2);
  return { payload, headers: { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret }) } };
}

const source = (app, body) => api.ok("POST", `/api/v1/app/${app}/source`, body);

test("a webhook that Stripe signed reaches the tenant's endpoint, signed anew, byte for byte", async () => {
  const inbox = receiver.at("/first");
  const app = await svix.application.create({ name: "Acme" });
  const endpoint = await svix.endpoint.create(app.id, { url: inbox.url });
  const { key } = await svix.endpoint.getSecret(app.id, endpoint.id);
  const from = await source(app.id, { name: "Stripe", provider: "stripe", secrets: [SECRET] });

  const { payload, headers } = signed("evt_1");
  const taken = await fetch(from.url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: payload,
  });
  assert.equal(taken.status, 200);
  assert.equal(await taken.text(), "");

  const got = await inbox.request(1);
  assert.equal(got.text, payload);
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

test("the same event again is answered the same and delivered once", async () => {
  const inbox = receiver.at("/twice");
  const app = await svix.application.create({ name: "Twice" });
  await svix.endpoint.create(app.id, { url: inbox.url });
  const from = await source(app.id, { name: "Stripe", provider: "stripe", secrets: [SECRET] });
  for (let n = 0; n < 3; n++) {
    const { payload, headers } = signed("evt_same");
    const taken = await fetch(from.url, { method: "POST", headers, body: payload });
    assert.equal(taken.status, 200);
  }
  await inbox.request(1);
  const { data } = await svix.message.list(app.id);
  assert.equal(data.length, 1);
  assert.equal(inbox.requests.length, 1);
});

test("a delivery that fails is tried again on the endpoint's schedule, with the same id", async () => {
  const inbox = receiver.at("/retry").answer(500, 503);
  const app = await svix.application.create({ name: "Retry" });
  const endpoint = await api.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url, retrySchedule: [1, 1] });
  const message = await svix.message.create(app.id, { eventType: "a.b", payload: { n: 1 } });
  await inbox.request(3);
  assert.deepEqual([...new Set(inbox.requests.map(({ headers }) => headers["webhook-id"]))], [message.id]);
  const attempts = await eventually(
    () => svix.messageAttempt.listByEndpoint(app.id, endpoint.id),
    ({ data }) => data.length === 3,
    "three attempts",
  );
  assert.deepEqual(attempts.data.map((attempt) => attempt.responseStatusCode), [200, 503, 500]);
});

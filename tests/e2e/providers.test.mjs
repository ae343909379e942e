// Providers over HTTP, signed with their own packages where they have one: handshakes, batches, answers, and signatures that
// the Worker checks with WebCrypto.

import assert from "node:assert/strict";
import { createHmac, createSign, generateKeyPairSync, randomUUID, sign as signWith } from "node:crypto";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { sign as signGitHub } from "@octokit/webhooks-methods";
import { Webhook } from "svix";
import twilio from "twilio";
import { caller, eventually } from "./api.mjs";
import { start } from "./harness.mjs";

let postern, api;
/** The key sets that stand on a server of this machine, and how often each was fetched. */
const keySets = new Map();
const fetched = new Map();
let keyServer;

before(async () => {
  keyServer = createServer((request, answer) => {
    fetched.set(request.url, (fetched.get(request.url) ?? 0) + 1);
    const keys = keySets.get(request.url)?.();
    answer.writeHead(keys ? 200 : 500, { "content-type": "application/json" });
    answer.end(JSON.stringify({ keys }));
  });
  await new Promise((done) => keyServer.listen(0, "127.0.0.1", done));
  postern = await start({ vars: { TEST_HOOKS: "1" } });
  api = caller(postern);
});
after(async () => {
  await postern?.stop();
  keyServer?.closeAllConnections();
  await new Promise((done) => keyServer.close(done));
});

async function source(provider, settings = {}) {
  const app = await api.ok("POST", "/api/v1/app", { name: provider });
  const from = await api.ok("POST", `/api/v1/app/${app.id}/source`, { name: "Source", provider, ...settings });
  return { app, from, path: `/api/v1/app/${app.id}/source/${from.id}` };
}

async function post(from, body, headers = {}, init = {}) {
  const answer = await fetch(from.url ?? from, { method: "POST", redirect: "manual", body, headers, ...init });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const messages = async (app) => (await api.ok("GET", `/api/v1/app/${app.id}/msg`)).data.reverse();
const hmac = (secret, text, encoding = "hex") => createHmac("sha256", secret).update(text).digest(encoding);
const seconds = () => Math.floor(Date.now() / 1000);
const JSON_TYPE = { "content-type": "application/json" };

describe("GitHub", { concurrency: true }, () => {
  const secret = "It's a Secret to Everybody";
  const headers = async (body, event, id) => ({
    ...JSON_TYPE,
    "x-github-event": event,
    "x-github-delivery": id,
    "x-hub-signature-256": await signGitHub(secret, body),
  });

  test("signs with its own package, and its ping makes the source active and no message", async () => {
    const { app, from, path } = await source("github", { secrets: [secret] });
    const ping = '{"zen":"Design for failure.","hook_id":1}';
    assert.deepEqual([(await post(from, ping, await headers(ping, "ping", "d-0"))).status], [200]);
    assert.equal((await api.ok("GET", path)).state, "active");
    assert.deepEqual(await messages(app), []);
    const body = '{"action":"opened","repository":{"id":1}}';
    assert.equal((await post(from, body, await headers(body, "pull_request", "d-1"))).status, 200);
    assert.equal((await post(from, body, await headers(body, "pull_request", "d-1"))).status, 200);
    const [message, ...rest] = await messages(app);
    assert.deepEqual([message.eventType, message.eventId, rest.length], ["pull_request.opened", "d-1", 0]);
    assert.equal((await post(from, `${body} `, await headers(body, "push", "d-2"))).status, 401);
  });

  test("has the same signature under another delivery id marked", async () => {
    const { app, from } = await source("github", { secrets: [secret] });
    const body = '{"action":"opened","repository":{"id":2}}';
    for (const id of ["d-1", "d-2"]) {
      assert.equal((await post(from, body, await headers(body, "push", id))).status, 200);
    }
    const [first, second] = await messages(app);
    assert.deepEqual([first.sameAs, second.sameAs], [undefined, first.id]);
  });

  test("sends an event that nobody knows, and it is taken", async () => {
    const { app, from } = await source("github", { secrets: [secret] });
    assert.equal((await post(from, "{}", await headers("{}", "an_event_of_tomorrow", "d-1"))).status, 200);
    assert.equal((await messages(app))[0].eventType, "an_event_of_tomorrow");
  });
});

describe("Twilio", { concurrency: true }, () => {
  const token = "12345678901234567890123456789012";

  test("signs address and form with its own package, and hears a TwiML answer", async () => {
    const { app, from } = await source("twilio", { secrets: [token] });
    const form = { MessageSid: "SM1", MessageStatus: "delivered", AccountSid: "AC1", To: "+1555" };
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": twilio.getExpectedTwilioSignature(token, from.url, form),
    };
    const answer = await post(from, new URLSearchParams(form).toString(), headers);
    assert.deepEqual([answer.status, answer.text], [200, "<Response/>"]);
    assert.match(answer.headers.get("content-type"), /^text\/xml/);
    assert.equal((await messages(app))[0].eventType, "message.delivered");
    const wrong = await post(from, new URLSearchParams({ ...form, To: "+1556" }).toString(), headers);
    assert.equal(wrong.status, 403);
  });

  test("hears what the owner wants it to say", async () => {
    const answer = { kind: "xml", body: "<Response><Message>Hello</Message></Response>" };
    const { from } = await source("twilio", { secrets: [token], answer });
    const form = { MessageSid: "SM1", SmsStatus: "received", Body: "hi" };
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": twilio.getExpectedTwilioSignature(token, from.url, form),
    };
    assert.equal((await post(from, new URLSearchParams(form).toString(), headers)).text, answer.body);
  });

  test("is verified by the address that the owner says it has", async () => {
    const { from } = await source("twilio", { secrets: [token], publicUrl: "https://hooks.acme.example" });
    const url = `https://hooks.acme.example${new URL(from.url).pathname}`;
    const form = { CallSid: "CA1", CallStatus: "ringing" };
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": twilio.getExpectedTwilioSignature(token, url, form),
    };
    assert.equal((await post(from, new URLSearchParams(form).toString(), headers)).status, 200);
  });
});

test("Svix signs with its own package", async () => {
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const { app, from } = await source("svix", { secrets: [secret] });
  const body = '{"type":"user.added"}';
  const now = new Date();
  const headers = { "svix-id": "msg_1", "svix-timestamp": `${seconds()}`, "svix-signature": new Webhook(secret).sign("msg_1", now, body) };
  assert.equal((await post(from, body, headers)).status, 200);
  assert.equal((await messages(app))[0].eventId, "msg_1");
});

describe("Slack", { concurrency: true }, () => {
  const secret = "8f742231b10e8888abcd99yyyzzz85a5";
  const headers = (body, more) => {
    const time = seconds();
    return { "x-slack-request-timestamp": `${time}`, "x-slack-signature": `v0=${hmac(secret, `v0:${time}:${body}`)}`, ...more };
  };

  test("is answered its challenge once it is verified, as text that no browser runs", async () => {
    const { app, from, path } = await source("slack", { secrets: [secret] });
    const body = '{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}';
    assert.equal((await post(from, body, { ...headers(body), "x-slack-signature": "v0=00" })).status, 401);
    const answer = await post(from, body, headers(body));
    assert.deepEqual([answer.status, answer.text], [200, JSON.parse(body).challenge]);
    assert.match(answer.headers.get("content-type"), /^text\/plain/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.equal((await api.ok("GET", path)).state, "active");
    assert.deepEqual(await messages(app), []);
  });

  test("probes with ssl_check, and that is no message", async () => {
    const { app, from } = await source("slack", { secrets: [secret] });
    const body = "ssl_check=1&token=x";
    assert.equal((await post(from, body, headers(body))).status, 200);
    assert.deepEqual(await messages(app), []);
  });

  test("retries something that never came, and it is stored and counted", async () => {
    const { app, from, path } = await source("slack", { secrets: [secret] });
    const body = '{"team_id":"T1","event":{"type":"app_mention"},"type":"event_callback","event_id":"Ev1"}';
    assert.equal((await post(from, body, headers(body, { "x-slack-retry-num": "1" }))).status, 200);
    assert.equal((await messages(app)).length, 1);
    assert.equal((await api.ok("GET", `${path}/stats`)).retries, 1);
  });
});

test("Meta's handshake is answered by its token alone, and never as a page", async () => {
  const settings = { secrets: ["0123456789abcdef0123456789abcdef"], config: { verifyToken: "meatyhamhock-and-more-of-it" } };
  const { from, path } = await source("meta", settings);
  const ask = (query) => post(`${from.url}?${new URLSearchParams({ "hub.mode": "subscribe", ...query })}`, undefined, {}, { method: "GET" });
  const wrong = await ask({ "hub.challenge": "1", "hub.verify_token": "another" });
  assert.equal(wrong.status, 403);
  for (const challenge of ["<script>", "1".repeat(1025)]) {
    const refused = await ask({ "hub.challenge": challenge, "hub.verify_token": "meatyhamhock-and-more-of-it" });
    assert.equal(refused.status, 403, challenge);
    assert.ok(!refused.text.includes(challenge));
  }
  assert.equal((await api.ok("GET", path)).state, "pending");
  const right = await ask({ "hub.challenge": "1158201444", "hub.verify_token": "meatyhamhock-and-more-of-it" });
  assert.deepEqual([right.status, right.text], [200, "1158201444"]);
  assert.equal((await api.ok("GET", path)).state, "active");
});

test("Notion's token is taken once, shown to the owner, verified with, and then neither shown nor replaced", async () => {
  const { app, from, path } = await source("notion");
  const handshake = (token) => post(from, JSON.stringify({ verification_token: token }), JSON_TYPE);
  assert.equal((await api("GET", `${path}/captured-secret`)).status, 404);
  const answer = await handshake("secret_of_notion_0123456789");
  assert.deepEqual([answer.status, answer.text], [200, ""]);
  assert.deepEqual(await api.ok("GET", `${path}/captured-secret`), { secret: "secret_of_notion_0123456789" });
  assert.equal((await api.ok("GET", path)).state, "pending");
  assert.ok((await handshake("secret_of_somebody_0123456789")).status >= 400, "another one is not taken");
  const body = '{"id":"n1","type":"page.created","workspace_id":"w"}';
  const signed = { ...JSON_TYPE, "x-notion-signature": `sha256=${hmac("secret_of_notion_0123456789", body)}` };
  assert.equal((await post(from, body, signed)).status, 200);
  assert.equal((await messages(app))[0].eventType, "page.created");
  assert.equal((await api.ok("GET", path)).state, "active");
  assert.equal((await api("GET", `${path}/captured-secret`)).status, 404);
  assert.ok((await handshake("secret_of_somebody_0123456789")).status >= 400);
  const again = body.replace("n1", "n2");
  const headers = { ...JSON_TYPE, "x-notion-signature": `sha256=${hmac("secret_of_notion_0123456789", again)}` };
  assert.equal((await post(from, again, headers)).status, 200, "the secret is the one that it was");
});

test("Discord hears its PING byte for byte, and 401 for a bad signature", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
  const { from } = await source("discord", { config: { publicKey: key } });
  const headers = (body) => {
    const time = `${seconds()}`;
    return { ...JSON_TYPE, "x-signature-timestamp": time, "x-signature-ed25519": signWith(null, Buffer.from(time + body), privateKey).toString("hex") };
  };
  const ping = '{"id":"1","type":1,"application_id":"9"}';
  const answer = await post(from, ping, headers(ping));
  assert.deepEqual([answer.status, answer.text, answer.headers.get("content-type")], [200, '{"type":1}', "application/json"]);
  assert.equal((await post(from, ping, { ...headers(ping), "x-signature-ed25519": "00".repeat(64) })).status, 401);
  const event = '{"version":1,"application_id":"9","type":1,"event":{"type":"APPLICATION_AUTHORIZED","data":{}}}';
  const taken = await post(from, event, headers(event));
  assert.deepEqual([taken.status, taken.text], [204, ""]);
});

test("Google's channel says its first word, and that is no message", async () => {
  const { app, from, path } = await source("google-calendar", { secrets: ["c1:398348u3tu83ut8uu38-and-more"] });
  const headers = (state, number) => ({
    "x-goog-channel-id": "c1",
    "x-goog-channel-token": "398348u3tu83ut8uu38-and-more",
    "x-goog-resource-id": "r1",
    "x-goog-resource-state": state,
    "x-goog-message-number": `${number}`,
    "x-goog-resource-uri": "https://www.googleapis.com/calendar/v3/calendars/primary/events?alt=json",
  });
  assert.equal((await post(from, "", headers("sync", 1))).status, 200);
  assert.equal((await api.ok("GET", path)).state, "active");
  assert.deepEqual(await messages(app), []);
  assert.equal((await post(from, "", headers("exists", 2))).status, 200);
  assert.equal((await messages(app))[0].eventType, "calendar.exists");
  assert.equal((await post(from, "", { ...headers("exists", 3), "x-goog-channel-id": "c2" })).status, 401);
});

describe("SendGrid", { concurrency: true }, () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = publicKey.export({ format: "der", type: "spki" }).toString("base64");
  const headers = (body) => {
    const time = `${seconds()}`;
    return {
      ...JSON_TYPE,
      "x-twilio-email-event-webhook-timestamp": time,
      "x-twilio-email-event-webhook-signature": createSign("sha256").update(time + body).sign(privateKey, "base64"),
    };
  };
  const settings = { config: { publicKey: key } };

  test("is checked on P-256 by WebCrypto, and its batch is one request and a message each", async () => {
    const { app, from } = await source("sendgrid", settings);
    const body = '[{"event":"open","sg_event_id":"a"},{"event":"click","sg_event_id":"b"},7]\r\n';
    assert.equal((await post(from, body, headers(body))).status, 200);
    const taken = await messages(app);
    assert.deepEqual(taken.map(({ eventType, eventId }) => [eventType, eventId ?? null]), [["open", "a"], ["click", "b"], ["unknown", null]]);
    assert.deepEqual(taken[0].payload, { event: "open", sg_event_id: "a" });
    assert.deepEqual(taken.map(({ partOfRequest }) => partOfRequest), [true, true, true]);
    const authorization = `Bearer ${postern.token()}`;
    const request = await postern.fetch(`/api/v1/app/${app.id}/msg/${taken[1].id}/request`, { headers: { authorization } });
    assert.deepEqual([request.status, request.headers.get("postern-messages"), await request.text()], [200, "3", body], "as it came");
    assert.equal(request.headers.get("content-type"), "application/json");
    assert.match(request.headers.get("content-security-policy"), /^sandbox/);
    assert.equal((await post(from, `${body} `, headers(body))).status, 401);
    const overlapping = '[{"event":"click","sg_event_id":"b"},{"event":"bounce","sg_event_id":"c"}]';
    assert.equal((await post(from, overlapping, headers(overlapping))).status, 200);
    assert.deepEqual((await messages(app)).map(({ eventId }) => eventId ?? null), ["a", "b", null, "c"]);
  });

  test("is examined with its key, and so are the mistakes of whoever stands in between", async () => {
    const { path } = await source("sendgrid", settings);
    const findings = async (signed, body) => {
      const told = await api.ok("POST", `${path}/diagnose`, { headers: headers(signed), body });
      return told.findings;
    };
    const body = '[{"event":"open","sg_event_id":"a"}]\r\n';
    assert.deepEqual((await findings(body, body)).map(({ code }) => code), ["accepted"]);
    const cut = await findings(body, body.trim());
    assert.equal(cut[0].code, "mismatch");
    assert.ok(cut.some(({ step, code }) => step === "match" && code === "body_end"), JSON.stringify(cut));
    const other = await findings("something else", body);
    assert.ok(!other.some(({ step }) => step === "match"), JSON.stringify(other));
    assert.ok(other.some(({ code }) => code === "nothing_matched"), JSON.stringify(other));
  });

  test("stays whole where the owner wants it so, and is deduped as a whole", async () => {
    const { app, from } = await source("sendgrid", { ...settings, splitBatches: false });
    const body = '[{"event":"open","sg_event_id":"a"},{"event":"click","sg_event_id":"b"}]';
    for (const _ of [1, 2]) {
      assert.equal((await post(from, body, headers(body))).status, 200);
    }
    const [message, ...rest] = await messages(app);
    assert.deepEqual([message.eventType, rest.length], ["webhook.received", 0]);
    assert.deepEqual(message.payload, { contentType: "application/json", text: body });
  });

  test("may send a thousand events in one request, and an empty one", async () => {
    const { app, from } = await source("sendgrid", settings);
    const body = JSON.stringify(Array.from({ length: 1000 }, (_, n) => ({ event: "open", sg_event_id: `e${n}` })));
    const answer = await post(from, body, headers(body));
    assert.equal(answer.status, 200, answer.text);
    const page = await api.ok("GET", `/api/v1/app/${app.id}/msg?limit=250`);
    assert.deepEqual([page.data.length, page.done], [250, false]);
    assert.equal((await post(from, "[]", headers("[]"))).status, 200);
  });
});

describe("tokens with a key set", { concurrency: true }, () => {
  const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = ({ publicKey }, kid) => ({ ...publicKey.export({ format: "jwk" }), kid, use: "sig" });
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = ({ privateKey }, kid, claims = {}) => {
    const head = part({ alg: "RS256", kid, typ: "JWT" });
    const text = `${head}.${part({ iss: "https://issuer.example", aud: "us", iat: seconds(), exp: seconds() + 300, ...claims })}`;
    return { authorization: `Bearer ${text}.${createSign("sha256").update(text).sign(privateKey, "base64url")}` };
  };
  const withKeys = async (keys) => {
    const path = `/${randomUUID()}`;
    keySets.set(path, keys);
    const config = { jwksUrl: `http://127.0.0.1:${keyServer.address().port}${path}`, issuer: "https://issuer.example", audience: "us" };
    return { ...(await source("jwt", { config })), at: path };
  };

  test("are believed by the key that they name, which is fetched once", async () => {
    const pair = rsa();
    const { at, app, from } = await withKeys(() => [jwk(pair, "k1")]);
    for (const _ of [1, 2, 3]) {
      const answer = await post(from, "{}", token(pair, "k1"));
      assert.equal(answer.status, 200, answer.text);
    }
    assert.equal(fetched.get(at), 1);
    assert.equal((await messages(app)).length, 3);
    assert.equal((await post(from, "{}", token(rsa(), "k1"))).status, 401, "another key of that name");
    assert.equal((await post(from, "{}", token(pair, "k1", { aud: "them" }))).status, 401);
  });

  test("with a key that the set has not make it be fetched again at most once a minute", async () => {
    const pair = rsa();
    const { at, from } = await withKeys(() => [jwk(pair, "k1")]);
    assert.equal((await post(from, "{}", token(pair, "k1"))).status, 200);
    for (const n of [1, 2, 3]) {
      assert.equal((await post(from, "{}", token(rsa(), `other-${n}`))).status, 401);
    }
    assert.ok(fetched.get(at) <= 2, `${fetched.get(at)} fetches`);
  });

  test("whose keys cannot be had are asked to come again, and are believed when they can", async () => {
    const pair = rsa();
    let there = false;
    const { from } = await withKeys(() => (there ? [jwk(pair, "k1")] : undefined));
    const answer = await post(from, "{}", token(pair, "k1"));
    assert.equal(answer.status, 503);
    there = true;
    await eventually(() => post(from, "{}", token(pair, "k1")), ({ status }) => status === 200, "the keys are there", 15_000);
  });

  test("are examined with their key set: another key, another audience, and what holds", async () => {
    const pair = rsa();
    const { from, path } = await withKeys(() => [jwk(pair, "k1")]);
    const codes = async (headers) => {
      const { findings } = await api.ok("POST", `${path}/diagnose`, { headers, body: "{}" });
      return findings.map(({ code }) => code);
    };
    assert.deepEqual(await codes(token(pair, "k1")), ["accepted"]);
    assert.equal((await codes(token(rsa(), "k1")))[0], "mismatch");
    assert.equal((await codes(token(pair, "k1", { aud: "them" })))[0], "wrong_audience");
    assert.ok((await codes(token(pair, "k2"))).includes("stale_keys"));
    assert.equal((await post(from, "{}", token(pair, "k1"))).status, 200);
  });

  test("may stand at an address without TLS on this machine alone", async () => {
    const app = await api.ok("POST", "/api/v1/app", { name: "jwt" });
    const config = { jwksUrl: "http://keys.example/set", issuer: "https://issuer.example", audience: "us" };
    const answer = await api("POST", `/api/v1/app/${app.id}/source`, { name: "Source", provider: "jwt", config });
    assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ["body", "config", "jwksUrl"]]);
  });

  test("are never fetched from a private address", async () => {
    const config = { jwksUrl: "https://10.0.0.1/keys", issuer: "https://issuer.example", audience: "us" };
    const app = await api.ok("POST", "/api/v1/app", { name: "jwt" });
    const answer = await api("POST", `/api/v1/app/${app.id}/source`, { name: "Source", provider: "jwt", config });
    if (answer.status === 201) {
      assert.equal((await post(answer.body, "{}", token(rsa(), "k1"))).status, 503);
    } else {
      assert.equal(answer.status, 422);
    }
  });
});

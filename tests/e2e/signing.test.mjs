// What a request carries, as its receiver sees it: signatures of every kind while keys rotate, own headers, the way
// through a forwarder; and what an attempt says of it afterwards.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, createHmac, createPublicKey, randomBytes, verify } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import * as svix1 from "svix";
import * as svix2 from "svix2";
import { caller, eventually } from "./api.mjs";
import { root, start } from "./harness.mjs";
import { startReceiver, status } from "./receiver.mjs";

const vars = { TEST_HOOKS: "1", DELIVERY_TIMEOUT_SECONDS: "2", LEASE_SECONDS: "10" };
let postern, receiver, api;
before(async () => {
  [postern, receiver] = await Promise.all([start({ vars }), startReceiver()]);
  api = caller(postern);
});
after(() => Promise.all([postern?.stop(), receiver?.stop()]));

let count = 0;
const inboxOf = (what) => receiver.at(`/${what}-${++count}`);
const makeApp = (call = api) => call.ok("POST", "/api/v1/app", { name: "Signing" });
const makeEndpoint = (app, inbox, body, call = api) =>
  call.ok("POST", `/api/v1/app/${app.id}/endpoint`, { url: inbox.url, ...body });
const publish = (app, call = api) =>
  call.ok("POST", `/api/v1/app/${app.id}/msg`, { eventType: "a.b", payload: { text: "ö", n: 1.5 } });
const path = (app, endpoint) => `/api/v1/app/${app.id}/endpoint/${endpoint.id}`;

/** The attempt of a message that is tried once. */
async function attemptOf(app, message, call = api) {
  const list = await eventually(
    () => call.ok("GET", `/api/v1/app/${app.id}/attempt/msg/${message.id}`),
    ({ data }) => data.length > 0,
    "an attempt",
  );
  return list.data[0];
}

/** What `standardwebhooks` does not check yet: a `v1a` signature under a public key, as the specification says. */
function holds(publicKey, { headers, body }) {
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(publicKey.replace("whpk_", ""), "base64")]);
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const signatures = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  return signatures.some((one) => verify(null, signed, key, Buffer.from(one.slice(4), "base64")));
}

const kindsOf = ({ headers }) => headers["webhook-signature"].split(" ").map((one) => one.split(",")[0]);

for (const [version, sdk] of [["1.x", svix1], ["2.x", svix2]]) {
  describe(`the Svix SDK ${version}`, () => {
    let svix;
    before(() => (svix = new sdk.Svix(postern.token(), { serverUrl: postern.url })));

    /** PUT: 1.x says `updateHeaders`, 2.x says `setHeaders`. */
    const putHeaders = (...request) => (svix.endpoint.setHeaders ?? svix.endpoint.updateHeaders).apply(svix.endpoint, request);

    test("rotates a secret: during the overlap requests verify with both, and the current one is shown", async () => {
      const inbox = inboxOf("rotate");
      const app = await makeApp();
      const endpoint = await makeEndpoint(app, inbox, { headerNames: "svix" });
      const { key: first } = await svix.endpoint.getSecret(app.id, endpoint.id);
      await svix.endpoint.rotateSecret(app.id, endpoint.id, {});
      const { key: second } = await svix.endpoint.getSecret(app.id, endpoint.id);
      const own = `whsec_${randomBytes(24).toString("base64")}`;
      await svix.endpoint.rotateSecret(app.id, endpoint.id, { key: own, gracePeriodSeconds: 3600 });
      assert.equal((await svix.endpoint.getSecret(app.id, endpoint.id)).key, own);
      assert.equal(new Set([first, second, own]).size, 3);

      await publish(app);
      const { body, headers } = await inbox.request(1);
      for (const key of [first, second, own]) {
        new sdk.Webhook(key).verify(body, headers); // throws if it does not hold
      }
      const stranger = `whsec_${randomBytes(24).toString("base64")}`;
      assert.throws(() => new sdk.Webhook(stranger).verify(body, headers));

      await svix.endpoint.rotateSecret(app.id, endpoint.id, { gracePeriodSeconds: 0 });
      await publish(app);
      const after = await inbox.request(2);
      assert.throws(() => new sdk.Webhook(own).verify(after.body, after.headers));
      const { key: last } = await svix.endpoint.getSecret(app.id, endpoint.id);
      new sdk.Webhook(last).verify(after.body, after.headers);
    });

    test("is told by 400 that ten old keys are enough", async () => {
      const app = await makeApp();
      const endpoint = await makeEndpoint(app, inboxOf("many"));
      for (let n = 0; n < 10; n++) {
        await svix.endpoint.rotateSecret(app.id, endpoint.id, {});
      }
      await assert.rejects(svix.endpoint.rotateSecret(app.id, endpoint.id, {}), { code: 400 });
    });

    test("sets, changes and reads an endpoint's headers, which are sent with their case", async () => {
      const inbox = inboxOf("headers");
      const app = await makeApp();
      const endpoint = await makeEndpoint(app, inbox);
      assert.deepEqual(await svix.endpoint.getHeaders(app.id, endpoint.id), { headers: {}, sensitive: [] });
      await putHeaders(app.id, endpoint.id, {
        headers: { "X-Shop": "7", "X-Old": "1", Authorization: "Bearer hidden" },
      });
      assert.deepEqual(await svix.endpoint.getHeaders(app.id, endpoint.id), {
        headers: { "X-Shop": "7", "X-Old": "1" },
        sensitive: ["Authorization"],
      });
      await svix.endpoint.patchHeaders(app.id, endpoint.id, { headers: { "X-sHOP": "8", "X-New": "2" }, deleteHeaders: ["x-old"] });
      assert.deepEqual((await svix.endpoint.getHeaders(app.id, endpoint.id)).headers, { "X-sHOP": "8", "X-New": "2" });

      await publish(app);
      const { rawHeaders, headers } = await inbox.request(1);
      assert.equal(headers["x-shop"], "8");
      assert.equal(headers["x-old"], undefined);
      assert.equal(headers.authorization, "Bearer hidden");
      assert.ok(rawHeaders.includes("X-sHOP"), `${rawHeaders}`);
    });
  });
}

describe("own headers", () => {
  test("null takes one away, and a reserved name, a wrong value or a second spelling is refused with its place", async () => {
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inboxOf("reserved"), { headers: { "X-A": "1", "X-B": "2" } });
    const at = `${path(app, endpoint)}/headers`;
    const patched = await api("PATCH", at, { headers: { "x-a": null } });
    assert.equal(patched.status, 204);
    for (const [method, headers, place] of [
      ["PUT", { Host: "x" }, "Host"],
      ["PUT", { "webhook-signature": "v1,x" }, "webhook-signature"],
      ["PUT", { "X-Amz-Date": "x" }, "X-Amz-Date"],
      ["PATCH", { "User-Agent": "x" }, "User-Agent"],
      ["PATCH", { "X-C": "a\r\nb" }, "X-C"],
      ["PUT", { "X-C": "x".repeat(4097) }, "X-C"],
      ["PUT", { "X-C": 7 }, "X-C"],
    ]) {
      const { status: code, body } = await api(method, at, { headers });
      assert.equal(code, 422, place);
      assert.deepEqual(body.detail[0].loc, ["body", "headers", place]);
    }
    for (const headers of [{ "X-C": "1", "x-c": "2" }, undefined, []]) {
      assert.equal((await api("PUT", at, { headers })).status, 422);
    }
    assert.deepEqual(await api.ok("GET", at), { headers: { "X-B": "2" }, sensitive: [] });
  });

  test("another organisation's endpoint is not found", async () => {
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inboxOf("foreign"), {});
    const stranger = caller(postern, postern.token({ org: "org_23rb8YdGqMT0qIzpgGwdXfHirMv" }));
    for (const [method, rest, body] of [
      ["GET", "/headers"],
      ["PUT", "/headers", { headers: {} }],
      ["PATCH", "/headers", { headers: {} }],
      ["POST", "/secret/rotate", {}],
    ]) {
      assert.equal((await stranger(method, path(app, endpoint) + rest, body)).status, 404, `${method} ${rest}`);
    }
  });
});

describe("v1a", () => {
  test("both kinds sign at once, and the public key is at a URL that anybody may read", async () => {
    const inbox = inboxOf("both");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox, { signatures: ["v1", "v1a"] });
    assert.deepEqual(endpoint.signatures, ["v1", "v1a"]);
    const { key, publicKey } = await api.ok("GET", `${path(app, endpoint)}/secret`);
    assert.match(key, /^whsec_/);
    assert.match(publicKey, /^whpk_/);
    await publish(app);
    const request = await inbox.request(1);
    assert.deepEqual(kindsOf(request), ["v1", "v1a"]);
    const svix = Object.fromEntries(Object.entries(request.headers).map(([n, v]) => [n.replace("webhook-", "svix-"), v]));
    new svix1.Webhook(key).verify(request.body, svix);
    assert.ok(holds(publicKey, request));
    assert.ok(!holds(publicKey, { ...request, body: Buffer.from("{}") }));

    const answer = await postern.fetch(`/api/v1/app/${app.id}/jwks.json`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("cache-control"), "public, max-age=300");
    const { keys } = await answer.json();
    assert.equal(keys.length, 1);
    assert.ok(keys[0].kid.startsWith(`${endpoint.id}.`));
    const { x } = createPublicKey({ key: keys[0], format: "jwk" }).export({ format: "jwk" });
    assert.equal(Buffer.from(x, "base64url").toString("base64"), publicKey.replace("whpk_", ""));

    await api.ok("POST", `${path(app, endpoint)}/secret/rotate`, {});
    const rotated = await (await postern.fetch(`/api/v1/app/${app.id}/jwks.json`)).json();
    assert.equal(rotated.keys.length, 2, "the one that is ending, too");
    await publish(app);
    const second = await inbox.request(2);
    assert.deepEqual(kindsOf(second), ["v1", "v1", "v1a", "v1a"]);
    assert.ok(holds(publicKey, second));
  });

  test("a whsk_ secret is taken, shown as whpk_, and signs alone", async () => {
    const inbox = inboxOf("pair");
    const app = await makeApp();
    const pair = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const endpoint = await makeEndpoint(app, inbox, { secret: `whsk_${pair}` });
    assert.deepEqual(endpoint.signatures, ["v1a"]);
    const { key } = await api.ok("GET", `${path(app, endpoint)}/secret`);
    assert.equal(key, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
    await publish(app);
    const request = await inbox.request(1);
    assert.deepEqual(kindsOf(request), ["v1a"]);
    assert.ok(holds(key, request));
  });

  test("there are no keys of a tenant that is not there, by uid, or of one without v1a", async () => {
    const app = await api.ok("POST", "/api/v1/app", { name: "Keys", uid: "keys-uid" });
    await makeEndpoint(app, inboxOf("none"));
    const ask = async (id) => postern.fetch(`/api/v1/app/${id}/jwks.json`);
    assert.deepEqual(await (await ask(app.id)).json(), { keys: [] });
    for (const id of ["keys-uid", `app_${"0".repeat(27)}`]) {
      assert.equal((await ask(id)).status, 404, id);
    }
  });
});

describe("a signature of an older kind", () => {
  const secret = "a secret of the old days";

  test("is sent beside the standard one, and its secret is never shown", async () => {
    const inbox = inboxOf("legacy");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox, {
      legacySignature: { header: "X-Webhook-Signature", algorithm: "hmac-sha256", encoding: "hex", prefix: "sha256=", secret },
    });
    assert.deepEqual(endpoint.legacySignature, {
      header: "X-Webhook-Signature",
      algorithm: "hmac-sha256",
      encoding: "hex",
      prefix: "sha256=",
      template: "{body}",
      value: "{signature}",
      secretHint: "days",
    });
    await publish(app);
    const request = await inbox.request(1);
    const expected = createHmac("sha256", secret).update(request.body).digest("hex");
    assert.equal(request.headers["x-webhook-signature"], `sha256=${expected}`);
    assert.ok(request.rawHeaders.includes("X-Webhook-Signature"));
    assert.deepEqual(kindsOf(request), ["v1"]);

    const shown = JSON.stringify(await api.ok("GET", path(app, endpoint)));
    assert.ok(!shown.includes(secret));
    const gone = await api.ok("PATCH", path(app, endpoint), { legacySignature: null });
    assert.equal(gone.legacySignature, null);
    await publish(app);
    assert.equal((await inbox.request(2)).headers["x-webhook-signature"], undefined);
  });

  test("may sign the time and carry it, and changes without its secret", async () => {
    const inbox = inboxOf("legacy-time");
    const app = await makeApp();
    const endpoint = await makeEndpoint(app, inbox, { legacySignature: { header: "X-Sign", secret } });
    await api.ok("PUT", path(app, endpoint), {
      url: inbox.url,
      legacySignature: {
        header: "Shop-Signature",
        algorithm: "hmac-sha512",
        encoding: "base64url",
        template: "{timestamp}.{id}.{body}",
        value: "t={timestamp},v1={signature}",
      },
    });
    await publish(app);
    const { headers, body } = await inbox.request(1);
    const time = headers["webhook-timestamp"];
    const code = createHmac("sha512", secret).update(`${time}.${headers["webhook-id"]}.`).update(body).digest("base64url");
    assert.equal(headers["shop-signature"], `t=${time},v1=${code}`);
    assert.equal(headers["x-sign"], undefined);
  });

  test("that does not hold is refused with its places", async () => {
    const app = await makeApp();
    const refused = async (legacySignature) => {
      const { status: code, body } = await api("POST", `/api/v1/app/${app.id}/endpoint`, { url: receiver.url, legacySignature });
      assert.equal(code, 422);
      return body.detail.map(({ loc }) => loc.join("."));
    };
    const at = (name) => [`body.legacySignature.${name}`];
    assert.deepEqual(await refused({ header: "Host", secret }), at("header"));
    assert.deepEqual(await refused({ header: "X-A", secret, algorithm: "md5" }), at("algorithm"));
    assert.deepEqual(await refused({ header: "X-A", secret, template: "{id}" }), at("template"));
    assert.deepEqual(await refused({ header: "X-A", secret, value: "none" }), at("value"));
    assert.deepEqual(await refused({ header: "X-A", secret: "short" }), at("secret"));
    assert.deepEqual(await refused({ header: "X-A" }), at("secret"));
    assert.deepEqual(await refused({ secret }), at("header"));
    assert.deepEqual(await refused("X-A"), ["body.legacySignature"]);
    assert.deepEqual((await api.ok("GET", `/api/v1/app/${app.id}/endpoint`)).data, []);
  });
});

describe("what an attempt says", () => {
  test("a firewall's challenge is a cause of its own, with the text for the receiver and what comes next", async () => {
    const inbox = inboxOf("firewall").always(status(403, { "cf-mitigated": "challenge", server: "cloudflare" }, "<title>Just a moment...</title>"));
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [3600] });
    const attempt = await attemptOf(app, await publish(app));
    assert.equal(attempt.cause, "firewall");
    assert.equal(attempt.whoActs, "receiver_network");
    assert.match(attempt.nextStep, /^The next attempt is at 20/);
    for (const part of [new URL(inbox.url).pathname, "Postern/", "webhook-signature"]) {
      assert.ok(attempt.textForReceiver.includes(part), attempt.textForReceiver);
    }
  });

  test("an endpoint's own refusal is its owner's, and failed for good is said so", async () => {
    const inbox = inboxOf("refusal").always(status(403, { server: "cloudflare" }, '{"error":"signature"}'));
    const app = await makeApp();
    await makeEndpoint(app, inbox, { retrySchedule: [] });
    const attempt = await attemptOf(app, await publish(app));
    assert.deepEqual([attempt.cause, attempt.whoActs, attempt.textForReceiver], ["client_error", "owner", null]);
    assert.match(attempt.nextStep, /failed for good/);
  });

  test("the network's own page is told from an endpoint that uses its numbers", async () => {
    for (const [body, cause] of [["error code: 522", "no_answer"], ["error code: 526", "tls"], ['{"own":true}', "server_error"]]) {
      const inbox = inboxOf("network").always(status(cause === "tls" ? 526 : 522, { server: "cloudflare" }, body));
      const tenant = await makeApp();
      await makeEndpoint(tenant, inbox, { retrySchedule: [] });
      assert.equal((await attemptOf(tenant, await publish(tenant))).cause, cause);
    }
  });

  test("headers that were sent and answered are kept, credentials by name only and cookies not at all", async () => {
    const inbox = inboxOf("kept").always(status(200, { "x-answer": "yes", "set-cookie": "session=1" }, "ok"));
    const app = await makeApp();
    await makeEndpoint(app, inbox, { headers: { Authorization: "Bearer hidden", "X-Shop": "7" } });
    const message = await publish(app);
    const attempt = await attemptOf(app, message);
    assert.deepEqual([attempt.nextStep, attempt.whoActs], [null, null]);
    const at = `/api/v1/app/${app.id}/msg/${message.id}/attempt/${attempt.id}/headers`;
    const kept = await api.ok("GET", at);
    const { headers } = inbox.requests[0];
    assert.equal(kept.sentHeaders["webhook-id"], message.id);
    assert.equal(kept.sentHeaders["webhook-signature"], headers["webhook-signature"]);
    assert.equal(kept.sentHeaders["X-Shop"], "7");
    assert.deepEqual(kept.sensitive, ["Authorization"]);
    assert.deepEqual(kept.responseHeaders.find(([name]) => name === "x-answer"), ["x-answer", "yes"]);
    assert.ok(!JSON.stringify(kept).includes("hidden") && !JSON.stringify(kept).includes("session"));

    const other = await publish(app);
    await attemptOf(app, other);
    for (const wrong of [at.replace(message.id, other.id), at.replace(attempt.id, `atmpt_${"0".repeat(27)}`)]) {
      assert.equal((await api("GET", wrong)).status, 404, wrong);
    }
    const stranger = caller(postern, postern.token({ org: "org_23rb8YdGqMT0qIzpgGwdXfHirMv" }));
    assert.equal((await stranger("GET", at)).status, 404);
  });
});

describe("through a forwarder", () => {
  const secret = randomBytes(24).toString("base64");
  let forwarder, forwarded, call;

  async function startForwarder(environment) {
    const child = spawn(process.execPath, [join(root, "scripts/egress/forwarder.mjs")], {
      env: { ...process.env, EGRESS_SECRET: secret, HOST: "127.0.0.1", PORT: "0", ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout });
    const [line] = await once(lines, "line");
    return {
      url: `http://127.0.0.1:${JSON.parse(line).listening}/`,
      async stop() {
        child.kill();
        await once(child, "exit");
      },
    };
  }

  before(async () => {
    forwarder = await startForwarder({ EGRESS_ALLOW_PRIVATE: "1" });
    forwarded = await start({ vars: { ...vars, EGRESS_URL: forwarder.url, EGRESS_SECRET: secret } });
    call = caller(forwarded);
  });
  after(() => Promise.all([forwarded?.stop(), forwarder?.stop()]));

  const sendTo = async (url) => {
    const app = await makeApp(call);
    const endpoint = await makeEndpoint(app, { url }, { retrySchedule: [], headers: { "X-sHOP": "7" } }, call);
    const message = await publish(app, call);
    return { app, endpoint, message, attempt: await attemptOf(app, message, call) };
  };

  test("a delivery arrives as it would have otherwise, and nothing of the forwarder's goes on", async () => {
    const inbox = inboxOf("forwarded").always(status(201, { "x-answer": "yes", "postern-egress": "timeout" }, "made"));
    const { app, endpoint, attempt } = await sendTo(inbox.url);
    assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.response], [0, 201, "made"]);
    const { body, headers, rawHeaders } = await inbox.request(1);
    const { key } = await call.ok("GET", `${path(app, endpoint)}/secret`);
    const svix = Object.fromEntries(Object.entries(headers).map(([n, v]) => [n.replace("webhook-", "svix-"), v]));
    new svix1.Webhook(key).verify(body, svix);
    assert.ok(rawHeaders.includes("X-sHOP"));
    assert.equal(headers.host, new URL(inbox.url).host);
    assert.ok(!Object.keys(headers).some((name) => name.startsWith("postern-egress") || name.startsWith("cf-")), `${rawHeaders}`);
  });

  test("an endpoint's failures keep their causes", async () => {
    const gone = await startReceiver();
    await gone.stop();
    const slow = inboxOf("forwarded-slow").always(() => {});
    const broken = inboxOf("forwarded-broken").always(500);
    const causes = await Promise.all(
      [gone.url, slow.url, broken.url].map(async (url) => {
        const { attempt } = await sendTo(url);
        return [attempt.cause, attempt.responseStatusCode];
      }),
    );
    assert.deepEqual(causes, [["connection_lost", 0], ["timeout", 0], ["server_error", 500]]);
  });

  test("without it, and with another secret, nothing is sent and the operator is told", async () => {
    const inbox = inboxOf("never");
    const other = await startForwarder({ EGRESS_SECRET: "another secret of some length", EGRESS_ALLOW_PRIVATE: "1" });
    const gone = await startForwarder({});
    await gone.stop();
    for (const { url } of [other, gone]) {
      const server = await start({ vars: { ...vars, EGRESS_URL: url, EGRESS_SECRET: secret } });
      try {
        const own = caller(server);
        const app = await makeApp(own);
        await makeEndpoint(app, inbox, { retrySchedule: [] }, own);
        const attempt = await attemptOf(app, await publish(app, own), own);
        assert.deepEqual([attempt.cause, attempt.whoActs, attempt.responseStatusCode], ["egress", "operator", 0]);
      } finally {
        await server.stop();
      }
    }
    await other.stop();
    assert.equal(inbox.requests.length, 0);
  });

  test("it refuses what nobody signed, what is old, and private addresses", async () => {
    const inbox = inboxOf("open-proxy");
    const strict = await startForwarder({});
    const ask = async (at, own, time = Math.floor(Date.now() / 1000)) => {
      const digest = createHash("sha256").update("{}").digest("hex");
      const lines = ["v1", time, 1000, "POST", inbox.url, "x-a", "1", digest].join("\n");
      const headers = {
        "x-a": "1",
        "postern-egress-target": inbox.url,
        "postern-egress-headers": "x-a",
        "postern-egress-deadline-ms": "1000",
        "postern-egress-timestamp": `${time}`,
        "postern-egress-signature": `v1=${createHmac("sha256", own).update(lines).digest("hex")}`,
      };
      const answer = await fetch(at.url, { method: "POST", headers, body: "{}" });
      return answer.headers.get("postern-egress");
    };
    assert.equal(await ask(forwarder, "not the secret"), "unauthorized");
    assert.equal(await ask(forwarder, secret, 1_614_265_330), "unauthorized");
    assert.equal(await ask(strict, secret), "address");
    assert.equal(inbox.requests.length, 0);
    assert.equal(await ask(forwarder, secret), "answered");
    assert.equal((await inbox.request(1)).headers["x-a"], "1");
    await strict.stop();
  });

  test("set by halves it stops the deployment", async () => {
    const server = await start({ vars: { ...vars, EGRESS_URL: forwarder.url } });
    try {
      const { status: code } = await caller(server)("GET", "/api/v1/app");
      assert.equal(code, 500);
      assert.ok(server.logs.some(({ message }) => message.includes("EGRESS_SECRET")));
    } finally {
      await server.stop();
    }
  });
});

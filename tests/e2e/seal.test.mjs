// Sealed values are plain AES-256-GCM and HKDF: WebCrypto opens them without a line of Postern's code, so that a secret
// can be had back from a backup and its master key alone. The vector is the one that stands beside the Rust code. And a
// tenant's secrets are sealed anew under a new master key, until the old one can go.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Webhook } from "svix";
import { caller, eventually } from "./api.mjs";
import { start, testSecrets } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";
import { open as opened } from "./sealing.mjs";

const KEYS = new Map([[1, Buffer.from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "base64")]]);
const SEALED =
  "AQGgoaKjpKWmp6ipqqstkyN+JGybWiLj56VNNxHpFkbUh6KR/WmzP4lTzP8Ojxc7K4gm04duofaXlBKRIR4Yqo+Xs82HM8L5TlxQ44nGWCRxH7gqsqr4bKDHazwFsg==";
const PLACE = { tenant: "app_23rb8YdGqMT0qIzpgGwdXfHirMu", table: "endpoint", column: "secret", row: 7n, generation: 3n };

test("a value that was sealed here opens with WebCrypto", async () => {
  assert.equal(await open(SEALED, PLACE), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
});

test("it opens in its place and nowhere else", async () => {
  const places = [
    { ...PLACE, tenant: "app_23rb8YdGqMT0qIzpgGwdXfHirMv" },
    { ...PLACE, table: "source" },
    { ...PLACE, table: "endpoints", column: "ecret" },
    { ...PLACE, row: 3n, generation: 7n },
    { ...PLACE, generation: 4n },
  ];
  for (const place of places) {
    await assert.rejects(open(SEALED, place), { name: "OperationError" });
  }
});

test("a value that was altered does not open", async () => {
  const blob = Buffer.from(SEALED, "base64");
  for (const at of [14, blob.length - 1]) {
    const altered = Buffer.from(blob);
    altered[at] ^= 1;
    await assert.rejects(open(altered.toString("base64"), PLACE), { name: "OperationError" });
  }
});

test("a master key is replaced under a tenant's endpoints and sources, and the old one goes when nothing needs it", async (t) => {
  const persist = mkdtempSync(join(tmpdir(), "postern-reseal-"));
  const [one, two] = [1, 2].map((version) => `${version}:${randomBytes(32).toString("base64")}`);
  const receiver = await startReceiver();
  let postern;
  t.after(async () => {
    await postern?.stop();
    await receiver.stop();
    rmSync(persist, { recursive: true, force: true });
  });
  const deploy = async (keys) => {
    const port = postern && Number(new URL(postern.url).port);
    await postern?.stop();
    postern = await start({ persist, port, secrets: { ...testSecrets, MASTER_KEYS: keys } });
  };
  const ok = (...request) => caller(postern).ok(...request);
  const count = async () => {
    const { active, keys } = await ok("GET", "/api/v1/master-key");
    return { active, tenants: Object.fromEntries(keys.map(({ version, tenants }) => [version, tenants])) };
  };

  await deploy(one);
  const { id } = await ok("POST", "/api/v1/app", { name: "Sealed" });
  const app = `/api/v1/app/${id}`;
  const endpoint = await ok("POST", `${app}/endpoint`, { url: receiver.at("/hook").url, headers: { authorization: "Bearer of-the-endpoint" } });
  const { key } = await ok("GET", `${app}/endpoint/${endpoint.id}/secret`);
  const sink = await ok("POST", `${app}/endpoint`, { type: "polling" });
  const token = await ok("GET", `/api/v1/auth${app.slice(7)}/poller/${sink.id}/token`);
  const source = await ok("POST", `${app}/source`, { name: "Shop", provider: "api_key", config: { header: "x-key" }, secrets: ["a-key-of-ours"] });
  const told = await ok("POST", "/api/v1/operational-webhook/endpoint", { url: receiver.at("/told").url });
  const secretOfTold = await ok("GET", `/api/v1/operational-webhook/endpoint/${told.id}/secret`);
  const holds = async () => {
    const before = receiver.at("/hook").requests.length;
    await ok("POST", `${app}/msg`, { eventType: "a.b", payload: { n: before } });
    const { body, headers } = await receiver.at("/hook").request(before + 1);
    new Webhook(key).verify(body, headers); // throws if it does not hold
    assert.equal(headers.authorization, "Bearer of-the-endpoint");
    const into = (secret) => fetch(source.url, { method: "POST", headers: { "x-key": secret }, body: "{}" });
    assert.equal((await into("a-key-of-ours")).status, 200);
    assert.equal((await into("another-key-of-ours")).status, 401);
    await receiver.at("/hook").request(before + 2);
    assert.equal((await ok("GET", `${app}/source/${source.id}`)).url, source.url);
    assert.deepEqual(await ok("GET", `/api/v1/operational-webhook/endpoint/${told.id}/secret`), secretOfTold);
    assert.deepEqual(await ok("GET", `/api/v1/auth${app.slice(7)}/poller/${sink.id}/token`), token);
  };
  await holds();
  await postern.cron();
  assert.deepEqual(await count(), { active: 1, tenants: { 1: 1 } });

  await deploy(`${two},${one}`);
  assert.deepEqual(await count(), { active: 2, tenants: { 1: 1, 2: 1 } });
  await holds();
  const asked = async () => {
    await postern.cron();
    return count();
  };
  const done = await eventually(asked, ({ tenants }) => tenants[1] === 0, "the tenant is asked");
  assert.deepEqual(done, { active: 2, tenants: { 1: 0, 2: 1 } });
  await holds();

  await deploy(two);
  assert.deepEqual(await count(), { active: 2, tenants: { 2: 1 } });
  await holds();

  // The slip: without the new key it is named as one that is needed, and nothing is lost.
  await deploy(one);
  await postern.cron();
  assert.deepEqual(await count(), { active: 1, tenants: { 1: 1, 2: 2 } });
  await deploy(`${two},${one}`);
  await holds();
});

const open = (sealed, place) => opened(Buffer.from(sealed, "base64"), place, KEYS);

// Secrets of connections at rest: none of them anywhere in clear, each opens in its own place alone, and a master key is
// replaced while tokens are refreshed.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { caller, eventually } from "./api.mjs";
import { arrive, customer, depart } from "./connecting.mjs";
import { start, testSecrets } from "./harness.mjs";
import { startPeer } from "./oidc.mjs";
import { tapQueues } from "./queue-tap.mjs";
import { startReceiver } from "./receiver.mjs";
import { masterKeys, open, seal } from "./sealing.mjs";

let receiver;
const peers = [];
const folders = [];
const servers = new Set();

before(async () => {
  receiver = await startReceiver();
});
after(async () => {
  for (const server of servers) await server.stop();
  for (const peer of peers) await peer.stop();
  await receiver?.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function folder() {
  folders.push(mkdtempSync(join(tmpdir(), "postern-secrets-")));
  return folders.at(-1);
}

async function run(options) {
  const server = await start(options);
  servers.add(server);
  return { ...server, stop: () => (servers.delete(server), server.stop()) };
}

async function peerOf(state = {}) {
  const peer = await startPeer();
  Object.assign(peer.state, state);
  peers.push(peer);
  return peer;
}

test("no secret stands in a log, an answer, a message, a queue or a file of the platform's, whatever went wrong", async () => {
  const persist = folder();
  const queues = tapQueues();
  const postern = await run({ persist, beside: queues.beside });
  queues.listen(postern);
  const peer = await peerOf();
  const canaries = new Canaries();
  const answers = [];
  const api = caller(postern);
  const ask = async (...call) => {
    const answer = await api(...call);
    if (!answer.body.token) answers.push(JSON.stringify(answer.body)); // a token read shows what it is asked for
    return answer.body;
  };
  /** The next answer of the peer's token endpoint, and what is secret in it. */
  const listen = () =>
    peer.token.patch((body) => {
      canaries.add({ access: body.access_token, refresh: body.refresh_token, idToken: body.id_token });
      return body;
    });
  const shop = await customer(postern, peer, {
    receiver,
    secret: `client-secret/${randomBytes(24).toString("base64")}`,
    provider: { oauth: { rotation: "reissue_old_ok" }, api: { base: peer.issuer } },
  });
  peer.state.profile = "reissue";
  canaries.add({ clientSecret: shop.client.secret });
  const connect = async (session, { login, answer } = {}) => {
    const opened = await api.ok("POST", `${shop.path}/connection/session`, { oauthAppId: shop.oauthApp.id, ...session });
    const link = opened.url.split("/").at(-1);
    canaries.add({ link }, { raw: Buffer.from(link, "base64url").subarray(-32) });
    const { authorize, callback, cookie } = await depart(opened.url, { login, answer });
    const query = new URL(authorize).searchParams;
    canaries.add({ state: query.get("state"), nonce: query.get("nonce"), cookie: cookie.split("=")[1] }, { raw: Buffer.from(query.get("state"), "base64url").subarray(-32) });
    if (!answer) listen();
    const arrived = await arrive(callback, cookie);
    answers.push(arrived.location, arrived.page);
    canaries.add({ code: new URL(callback).searchParams.get("code") });
    return opened.connection.id;
  };

  // A life with its failures.
  const id = await connect();
  await connect({}, { login: "bob", answer: "no" });
  assert.equal((await ask("GET", shop.of(id))).state, "active");
  const read = async () => canaries.add({ access: (await api.ok("POST", shop.of(id, "/token"))).token });
  await read();
  peer.at("/me").fail(401, { error: "invalid_token" }); // the proxy refreshes, and asks again
  listen();
  const proxied = await ask("GET", shop.of(id, "/proxy/me"));
  assert.equal(proxied.sub, "ann", JSON.stringify(proxied));
  listen();
  await api.ok("POST", shop.of(id, "/token"), { refresh: true });
  await ask("POST", shop.of(id, "/test"));
  for (const shown of ["refresh_token", "client_secret"]) {
    // Servers that repeat what they were sent.
    const secret = shown === "refresh_token" ? peer.refreshes().at(-1).form.refresh_token : shop.client.secret;
    peer.token.fail(400, { error: "invalid_request", error_description: `The ${shown} ${secret} is not what I want` });
    await ask("POST", shop.of(id, "/token"), { refresh: true });
    listen();
    await ask("PATCH", `${shop.path}/oauth-app/${shop.oauthApp.id}`, { clientSecret: `${shop.client.secret}` });
    await ask("POST", `${shop.path}/oauth-app/${shop.oauthApp.id}/doctor`);
  }
  const wrong = `wrong-secret-${randomBytes(12).toString("hex")}`;
  canaries.add({ wrong });
  await ask("PATCH", `${shop.path}/oauth-app/${shop.oauthApp.id}`, { clientSecret: wrong });
  await ask("POST", shop.of(id, "/token"), { refresh: true });
  await ask("POST", `${shop.path}/oauth-app/doctor`, { name: "a draft", provider: "oidc", issuer: peer.issuer, clientId: "x", clientSecret: wrong });
  await ask("PATCH", `${shop.path}/oauth-app/${shop.oauthApp.id}`, { clientSecret: shop.client.secret });

  // What is wrong inside is told to the log alone.
  const database = await postern.database();
  const { secret: sealed } = await database.prepare("SELECT secret FROM oauth_app WHERE id = ?").bind(shop.oauthApp.id).first();
  const put = (value) => database.prepare("UPDATE oauth_app SET secret = ? WHERE id = ?").bind(value, shop.oauthApp.id).run();
  await put(`${sealed.slice(0, -8)}AAAAAAA=`);
  await ask("POST", shop.of(id, "/token"), { refresh: true });
  await ask("POST", `${shop.path}/connection/session`, { oauthAppId: shop.oauthApp.id });
  await put(sealed);
  const events = () => postern.logs.map(({ message }) => JSON.parse(message).event);
  await eventually(events, (names) => ["app_not_read", "api_failed"].every((name) => names.includes(name)), "the log tells of it");

  // What a person or another product brings.
  const brought = await shop.grant("carol");
  canaries.add({ access: brought.access_token, refresh: brought.refresh_token, idToken: brought.id_token });
  listen();
  await ask("POST", `${shop.path}/connection/import`, { oauthAppId: shop.oauthApp.id, accessToken: brought.access_token, refreshToken: brought.refresh_token, scopes: ["openid"] });
  await ask("POST", `${shop.path}/connection/import`, { oauthAppId: shop.oauthApp.id, refreshToken: `${brought.refresh_token} and a blank` });
  const keyed = await ask("POST", `${shop.path}/oauth-app`, {
    name: "Keys",
    provider: "api-key",
    providerConfig: { api: { base: peer.issuer }, check: { method: "GET", url: `${peer.issuer}/key` } },
  });
  const key = `sk-test-${randomBytes(24).toString("base64url")}`;
  canaries.add({ key });
  for (const answer of [[200, {}], [401, { error: "invalid_key", error_description: `Incorrect API key provided: ${key}` }]]) {
    peer.at("/key").fail(...answer);
    await ask("POST", `${shop.path}/connection/key`, { oauthAppId: keyed.id, key });
  }
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ format: "pem", type: "pkcs8" });
  canaries.add(...pem.split("\n").filter((line) => line.length === 64).map((line) => ({ privateKey: line })));
  const robot = await ask("POST", `${shop.path}/oauth-app`, {
    name: "Robots",
    provider: "google-service-account",
    providerConfig: { oauth: { tokenUrl: `${peer.issuer}/robot` } },
  });
  const robotToken = `robot-${randomBytes(24).toString("base64url")}`;
  canaries.add({ robotToken });
  peer.at("/robot").fail(200, { access_token: robotToken, token_type: "Bearer", expires_in: 3600 });
  peer.at("/robot").fail(400, { error: "invalid_grant", error_description: "Invalid JWT Signature." });
  const service = { type: "service_account", client_email: "robot@project.iam.gserviceaccount.com", private_key: pem, private_key_id: "key-1" };
  const robots = [];
  for (let n = 0; n < 2; n += 1) robots.push(await ask("POST", `${shop.path}/connection/service-account`, { oauthAppId: robot.id, key: service, scopes: ["https://www.googleapis.com/auth/drive"] }));
  assert.equal(robots[0].state, "active", JSON.stringify(robots[0]));
  canaries.add({ assertion: peer.at("/robot").seen[0].form.assertion });

  const last = await connect({ connectionId: id });
  assert.equal(last, id);
  for (const what of ["", "/history", "/token/read"]) await ask("GET", shop.of(id, what));
  for (const list of ["/connection", "/oauth-app", "/msg"]) await ask("GET", `${shop.path}${list}`);
  for (const { form } of peer.token.seen) canaries.add({ verifier: form.code_verifier, code: form.code, refresh: form.refresh_token });
  await shop.hears(id, "connection.created");
  assert.ok(canaries.size > 40, `${canaries.size} secrets were used`);

  const sinks = () => [
    ["the log", Buffer.from(JSON.stringify(postern.logs))],
    ["answers", Buffer.from(answers.join("\n"))],
    ["the queues", Buffer.concat(queues.bodies)],
    ["messages", Buffer.from(receiver.requests.map(({ text, headers }) => text + JSON.stringify(headers)).join("\n"))],
    ...filesUnder(persist),
  ];
  const running = canaries.found(sinks());
  assert.ok(queues.bodies.some((body) => body.includes(id)), "the queues were looked into: messages of the connection went over them");
  assert.ok(sinks().some(([, bytes]) => bytes.includes(shop.client.id)), "the files were read: what is no secret stands in them");
  await ask("DELETE", shop.of(id));
  await postern.stop();
  assert.deepEqual([...running, ...canaries.found(sinks())], []);
  assert.equal(canaries.found([["a control", Buffer.from(`x${Buffer.from(`a:${key}`).toString("base64")}`)]]).length, 1, "the scan finds what is there");
});

test("nothing of a connection's secrets is left in its object after a disconnect or a reset", async () => {
  const persist = folder();
  const postern = await run({ persist });
  const peer = await peerOf();
  const shop = await customer(postern, peer, { receiver });
  const [gone, reset, kept] = [await shop.connect({ login: "ann" }), await shop.connect({ login: "bob" }), await shop.connect({ login: "carol" })];
  const api = caller(postern);
  await api.ok("POST", `${shop.path}/connection/session`, { oauthAppId: shop.oauthApp.id, connectionId: gone }); // a link that is open
  await api.ok("DELETE", shop.of(gone));
  await api.ok("POST", shop.of(reset, "/reset"));
  await shop.hears(gone, "connection.revoked");
  await postern.stop();
  for (const [id, count] of [[gone, 0], [reset, 0], [kept, 1]]) {
    const object = objectOf(persist, id);
    const rows = (table) => object.prepare(`SELECT count(*) AS count FROM ${table}`).get().count;
    assert.equal(rows("credential"), count);
    if (count === 0) assert.deepEqual([rows("session"), rows("attempt")], [0, 0]);
    object.close();
  }
});

test("what is sealed opens with WebCrypto in its place alone, and what WebCrypto seals opens here", async () => {
  const persist = folder();
  let postern = await run({ persist });
  const peer = await peerOf();
  const shop = await customer(postern, peer, { receiver });
  const id = await shop.connect();
  const { body: shown } = await shop.token(id);
  await postern.stop();

  const keys = masterKeys(testSecrets.MASTER_KEYS);
  const object = objectOf(persist, id);
  const { access, refresh } = object.prepare("SELECT access, refresh FROM credential").get();
  const place = (column, more) => ({ tenant: shop.app, table: `${id}/credential`, column, row: 1n, generation: 1n, ...more });
  assert.equal(await open(access, place("access"), keys), shown.token);
  const first = await open(refresh, place("refresh"), keys);
  const elsewhere = [place("refresh"), place("access", { generation: 2n }), place("access", { row: 2n }), place("access", { table: "credential" }), place("access", { tenant: shop.oauthApp.id })];
  for (const other of elsewhere) await assert.rejects(open(access, other, keys), { name: "OperationError" });

  const brought = `brought-${randomBytes(16).toString("hex")}`;
  object.prepare("UPDATE credential SET access = ?").run(await seal(brought, place("access"), keys, 1));
  object.close();
  postern = await run({ persist, port: Number(new URL(postern.url).port) });
  const token = (body) => caller(postern)("POST", shop.of(id, "/token"), body);
  assert.equal((await token()).body.token, brought);
  assert.equal((await token({ refresh: true })).body.generation, 2);
  assert.equal(peer.refreshes()[0].form.refresh_token, first);
  await postern.stop();

  // An older blob beside a newer row does not open, and is not overwritten.
  const swapped = objectOf(persist, id);
  swapped.prepare("UPDATE credential SET access = ?").run(Buffer.from(access));
  swapped.close();
  postern = await run({ persist, port: Number(new URL(postern.url).port) });
  assert.equal((await token()).status, 409);
  const view = await caller(postern).ok("GET", shop.of(id));
  assert.deepEqual([view.state, view.reason], ["blocked", "seal_broken"]);
  await postern.stop();
  const after = objectOf(persist, id);
  assert.deepEqual(Buffer.from(after.prepare("SELECT access FROM credential").get().access), Buffer.from(access));
  after.close();
});

test("a master key is replaced under live refreshes, and the old one goes when nothing needs it", async () => {
  const CONNECTIONS = 12;
  const persist = folder();
  const key = () => randomBytes(32).toString("base64");
  const [one, two] = [`1:${key()}`, `2:${key()}`];
  const secrets = (keys) => ({ ...testSecrets, MASTER_KEYS: keys });
  let postern = await run({ persist, secrets: secrets(one) });
  const again = async (keys) => {
    await postern.stop();
    postern = await run({ persist, port: Number(new URL(postern.url).port), secrets: secrets(keys) });
  };
  const peer = await peerOf();
  const shop = await customer(postern, peer);
  const ids = await Promise.all(Array.from({ length: CONNECTIONS }, async (_, n) => (await shop.import({ ...tokensOf(await shop.grant(`person-${n}`)), scopes: ["openid"] })).id));
  const count = async () => {
    const { active, keys } = await caller(postern).ok("GET", "/api/v1/master-key");
    return { active, keys: keys.map(({ version, configured, connections, oauthApps }) => [version, configured, connections, oauthApps]) };
  };
  const all = { active: 1, keys: [[1, true, CONNECTIONS, 1]] };
  assert.deepEqual(await eventually(count, ({ keys }) => keys[0][2] === CONNECTIONS, "each row says its key"), all);

  await again(`${two},${one}`);
  assert.deepEqual(await count(), { active: 2, keys: [[1, true, CONNECTIONS, 1], [2, true, 0, 0]] });
  const token = (id, refresh) => caller(postern)("POST", shop.of(id, "/token"), { refresh });
  const [live, idle] = [ids.slice(0, CONNECTIONS / 2), ids.slice(CONNECTIONS / 2)];
  const before = new Map(await Promise.all(idle.map(async (id) => [id, (await token(id, false)).body.token])));
  const refreshed = live.map(async (id) => {
    for (let n = 0; n < 3; n += 1) assert.equal((await token(id, true)).status, 200);
  });
  await postern.cron();
  await Promise.all(refreshed);
  // A run begins anywhere among the connections and may end before it has asked all.
  const asked = async () => {
    await postern.cron();
    return count();
  };
  const done = ({ keys }) => keys.every(([version, , connections, apps]) => version === 2 || connections + apps === 0);
  assert.deepEqual(await eventually(asked, done, "all is sealed anew"), { active: 2, keys: [[1, true, 0, 0], [2, true, CONNECTIONS, 1]] });
  for (const [id, was] of before) assert.equal((await token(id, false)).body.token, was, "sealed anew, it is the same token");

  await again(two);
  assert.deepEqual(await count(), { active: 2, keys: [[2, true, CONNECTIONS, 1]] });
  for (const id of ids) assert.equal((await token(id, true)).status, 200);
  assert.equal(peer.state.revokedGrants, 0, "no refresh token was sent twice");

  // The slip: without it nothing is lost, and it heals when the key is back.
  await again(one);
  assert.equal((await token(ids[0], false)).status, 503);
  const blocked = await caller(postern).ok("GET", shop.of(ids[0]));
  assert.deepEqual([blocked.state, blocked.reason], ["blocked", "kek_missing"]);
  await again(`${two},${one}`);
  assert.equal((await token(ids[0], false)).status, 200);
  assert.equal((await caller(postern).ok("GET", shop.of(ids[0]))).state, "active");
});

const tokensOf = ({ access_token: accessToken, refresh_token: refreshToken }) => ({ accessToken, refreshToken });

/** Every file below a folder, with its bytes. */
function filesUnder(path) {
  return readdirSync(path, { recursive: true })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile())
    .map((name) => [name, readFileSync(name)]);
}

/** The storage of a connection's object. */
function objectOf(persist, id) {
  for (const [name] of filesUnder(persist).filter(([name]) => name.endsWith(".sqlite"))) {
    const database = new DatabaseSync(name);
    const tables = database.prepare("SELECT count(*) AS count FROM sqlite_master WHERE name IN ('connection', 'credential')").get().count;
    if (tables === 2 && JSON.parse(database.prepare("SELECT facts FROM connection").get()?.facts ?? "{}").id === id) return database;
    database.close();
  }
  throw new Error(`${id} has no object in ${persist}`);
}

/** Secrets that were used, and where one of them stands, however it is written. */
class Canaries {
  #needles = new Map();

  add(...secrets) {
    for (const secret of secrets) {
      for (const [name, value] of Object.entries(secret)) {
        if (!value) continue;
        const bytes = Buffer.from(value);
        assert.ok(bytes.length >= 16, `${name} is too short to be looked for`);
        const texts = typeof value === "string" ? [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)] : [];
        const written = [bytes, ...texts, bytes.toString("hex"), bytes.toString("hex").toUpperCase(), ...inBase64(bytes)];
        this.#needles.set(`${name} ${bytes.toString("base64")}`, [name, [...new Set(written.map(String))].map((text) => Buffer.from(text)).concat(bytes)]);
      }
    }
  }

  get size() {
    return this.#needles.size;
  }

  /** What stands where. */
  found(sinks) {
    const found = [];
    for (const [sink, bytes] of sinks) {
      for (const [name, needles] of this.#needles.values()) {
        const needle = needles.find((needle) => bytes.includes(needle));
        if (needle) found.push(`${name} in ${sink}: …${bytes.subarray(Math.max(0, bytes.indexOf(needle) - 60), bytes.indexOf(needle) + 12).toString("latin1")}…`);
      }
    }
    return found;
  }
}

/** How bytes look inside base64, wherever they begin in it. */
function inBase64(bytes) {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64").replace(/=+$/, "");
    // The characters at the edges hold bits of the neighbours.
    const inner = text.slice(before === 0 ? 0 : before + 1, (bytes.length + before) % 3 === 0 ? undefined : -1);
    return [inner, inner.replaceAll("+", "-").replaceAll("/", "_")];
  });
}

// In and out: endpoints that come with the secrets that they have, a tenant written out, a tenant erased.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { Svix } from "svix";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { redirect, startReceiver } from "./receiver.mjs";

const KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/** Where endpoints lie whose deliveries nobody looks at. */
const NOWHERE = "http://127.0.0.1:9";
let persist, from, to, theirs, api, svix, receiver;

before(async () => {
  persist = mkdtempSync(join(tmpdir(), "postern-moving-"));
  [from, to, receiver] = await Promise.all([start(), start({ vars: { TEST_HOOKS: "1" }, persist }), startReceiver()]);
  theirs = caller(from);
  api = caller(to);
  svix = new Svix(to.token(), { serverUrl: to.url });
});
after(async () => {
  await Promise.all([from?.stop(), to?.stop(), receiver?.stop()]);
  rmSync(persist, { recursive: true, force: true });
});

const of = (plan, kind) => plan.filter((planned) => planned.kind === kind);
const actions = (plan, kind) => of(plan, kind).map(({ action }) => action);

/** Follows iterators to the end; answers all that was planned. */
async function imported(body, path = "/api/v1/import") {
  const plan = [];
  for (let iterator, runs = 1; ; runs++) {
    const answer = await api.ok("POST", path, { ...body, iterator });
    plan.push(...answer.plan);
    assert.equal(answer.stopped, null);
    if (answer.done) return { plan, runs };
    iterator = answer.iterator;
  }
}

/** The lines of an export: `{kind, …}`. */
async function exported(app, query = "", token = to.token()) {
  const answer = await to.fetch(`/api/v1/app/${app}/export${query}`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200, await answer.clone().text());
  assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
  const text = await answer.text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

// ---- import from a server that speaks Svix's API

test("everything of another server is planned, then taken with its secrets, then found", async () => {
  const inbox = receiver.at("/moved");
  const first = await theirs.ok("POST", "/api/v1/app", { name: "Acme", uid: "acme", metadata: { tier: "gold" } });
  const second = await theirs.ok("POST", "/api/v1/app", { name: "No uid" });
  await theirs.ok("POST", "/api/v1/event-type", { name: "invoice.paid", description: "paid", schemas: { 1: { type: "object" } } });
  const endpoint = (app, body) => theirs.ok("POST", `/api/v1/app/${app.id}/endpoint`, body);
  await endpoint(first, { url: inbox.url, uid: "main", secret: KEY, eventTypes: ["invoice.*"], description: "the one", throttleRate: 50 });
  const nameless = await endpoint(first, { url: `${NOWHERE}/off?key=hidden`, disabled: true, channels: ["eu"] });
  await endpoint(second, { url: `${NOWHERE}/second`, secret: OTHER_KEY });

  const body = { source: "svix", url: from.url, token: from.token() };
  const { plan } = await imported(body);
  assert.deepEqual(actions(plan, "application"), ["create", "create"]);
  assert.deepEqual(actions(plan, "endpoint"), ["create", "create", "create"]);
  assert.deepEqual(actions(plan, "eventType"), ["create"]);
  assert.ok(!JSON.stringify(plan).includes("hidden"), "a plan shows no credentials of a URL");
  assert.deepEqual((await api.ok("GET", "/api/v1/app")).data, [], "a plan writes nothing");
  assert.deepEqual((await api.ok("GET", "/api/v1/event-type")).data, []);

  const done = (await imported({ ...body, dryRun: false })).plan;
  const bare = (plan) => plan.map(({ id: _, ...rest }) => rest);
  assert.deepEqual(bare(done), bare(plan), "what is done is what was planned");
  const apps = (await api.ok("GET", "/api/v1/app")).data;
  assert.deepEqual(apps.map(({ uid }) => uid).sort(), ["acme", `svix.${second.id}`]);
  assert.deepEqual(apps.find(({ uid }) => uid === "acme").metadata, { tier: "gold" });
  assert.equal((await svix.endpoint.getSecret("acme", "main")).key, KEY);
  const main = await svix.endpoint.get("acme", "main");
  assert.deepEqual([main.description, main.filterTypes, main.rateLimit, main.disabled], ["the one", ["invoice.*"], 50, false]);
  const off = await svix.endpoint.get("acme", `svix.${nameless.id}`);
  assert.deepEqual([off.disabled, off.channels], [true, ["eu"]]);
  assert.deepEqual((await api.ok("GET", "/api/v1/event-type/invoice.paid")).schemas, { 1: { type: "object" } });

  // The receiver that has moved checks with the secret that it had.
  await svix.message.create("acme", { eventType: "invoice.paid", payload: { n: 1 } });
  const got = await inbox.request(1);
  new Webhook(KEY).verify(got.body, got.headers);

  const again = (await imported({ ...body, dryRun: false })).plan;
  assert.ok(again.every(({ action }) => action === "exists"), JSON.stringify(again));
  assert.equal((await api.ok("GET", "/api/v1/app/acme/endpoint")).data.length, 2);

  // What was changed here since is not overwritten, and not made twice.
  await svix.endpoint.patch("acme", "main", { url: `${NOWHERE}/changed` });
  const changed = (await imported({ ...body, dryRun: false })).plan;
  const conflict = changed.find(({ endpoint }) => endpoint === "main");
  assert.deepEqual([conflict.action, /another URL/.test(conflict.why)], ["conflict", true]);
  assert.equal((await api.ok("GET", "/api/v1/app/acme/endpoint")).data.length, 2);
  assert.ok(!JSON.stringify(to.logs).includes(from.token()), "the token is in no log");
});

test("one application is imported into the one that the path names", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Target", uid: "target" })).id;
  const body = { source: "svix", url: `${from.url}/api/v1/`, token: from.token(), dryRun: false };
  const refused = await api("POST", `/api/v1/app/${app}/import`, body);
  assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "applications"]]);
  const { plan } = await imported({ ...body, applications: ["acme"] }, "/api/v1/app/target/import");
  assert.deepEqual(actions(plan, "endpoint"), ["create", "create"]);
  assert.deepEqual(of(plan, "eventType"), []);
  assert.equal((await svix.endpoint.getSecret("target", "main")).key, KEY);
  const nobody = await api.ok("POST", "/api/v1/import", { ...body, applications: ["nobody"] });
  assert.deepEqual([nobody.counts.invalid, nobody.plan[0].why], [1, "The source has no such application"]);
});

test("an import is bounded, says where to go on, and misses none", async () => {
  const organisation = "org_23rb8YdGqMT0qIzpgGwdXfHirMv";
  const many = caller(from, from.token({ org: organisation }));
  const uids = Array.from({ length: 55 }, (_, n) => `many-${n}`);
  for (const uid of uids) {
    const { id } = await many.ok("POST", "/api/v1/app", { name: uid, uid });
    await many.ok("POST", `/api/v1/app/${id}/endpoint`, { url: `${NOWHERE}/${uid}` });
  }
  const body = { source: "svix", url: from.url, token: from.token({ org: organisation }), dryRun: false };
  const { plan, runs } = await imported(body);
  assert.ok(runs >= 2, `${runs} runs`);
  assert.deepEqual(new Set(of(plan, "endpoint").map(({ application }) => application)), new Set(uids));
  assert.deepEqual(actions(plan, "endpoint"), uids.map(() => "create"));
  const odd = await api("POST", "/api/v1/import", { ...body, iterator: "odd" });
  assert.deepEqual([odd.status, odd.body.code], [400, "invalid_iterator"]);
});

test("what cannot be taken of an endpoint is said of that endpoint", async () => {
  const source = await startReceiver();
  const answers = {
    "/api/v1/app/odd": { id: "odd", uid: "odd", name: "Odd" },
    "/api/v1/app/odd/endpoint": {
      data: ["asymmetric", "masked", "private", "silent", "../../x"].map((id) => ({
        id,
        url: id === "private" ? "http://10.0.0.1/" : `${NOWHERE}/${id}`,
        filterTypes: [],
        channels: [],
        rateLimit: null,
      })),
      iterator: null,
      done: true,
    },
  };
  source.always((request, response) => {
    const path = new URL(request.url, "http://source").pathname;
    const [, id, part] = /endpoint\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    const headers = { headers: id === "masked" ? { "x-plain": "1", host: "x" } : {}, sensitive: id === "masked" ? ["authorization"] : [] };
    const secret = { key: id === "asymmetric" ? "whsk_MC4CAQAwBQYDK2VwBCIEIJx" : OTHER_KEY };
    const answer = answers[path] ?? { headers, secret }[part];
    const status = id === "silent" && part === "secret" ? 403 + 1 : 200;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer ?? {}));
  });
  try {
    const body = { source: "svix", url: source.origin, token: "sk_test_123", applications: ["odd"], dryRun: false };
    const { plan } = await imported(body);
    const found = Object.fromEntries(of(plan, "endpoint").map((planned) => [planned.endpoint.replace(/^svix\./, ""), planned]));
    assert.equal(found.masked.action, "create");
    assert.equal(found.masked.left.length, 2);
    assert.match(found.masked.left.join(), /authorization.*itself/);
    assert.deepEqual([found.asymmetric.action, found.private.action, found.silent.action], ["invalid", "invalid", "invalid"]);
    assert.match(found.asymmetric.why, /whsk_/);
    assert.match(found.private.why, /private/);
    assert.match(found.silent.why, /no secret/);
    assert.equal(found["../../x"].action, "invalid");
    assert.ok(!JSON.stringify(plan).includes("MC4CAQAwBQYDK2Vw"), "a secret is in no answer");
    assert.ok(source.requests.every(({ url }) => url.startsWith("/api/v1/app/odd")), "no id leads to another path");
    assert.ok(source.requests.every(({ headers }) => headers.authorization === "Bearer sk_test_123"));
  } finally {
    await source.stop();
  }
});

test("a source that may not be called, refuses or leads elsewhere is said at its place, and the token goes nowhere else", async () => {
  const source = await startReceiver();
  const elsewhere = await startReceiver();
  try {
    const asked = (url, token = "sk_test_123") => api("POST", "/api/v1/import", { source: "svix", url, token });
    for (const url of ["http://10.0.0.1", "http://169.254.169.254/latest", to.url, "ftp://x.example", `${source.origin}/?a=b`]) {
      const { status, body } = await asked(url);
      assert.deepEqual([status, body.detail[0].loc], [422, ["body", "url"]], url);
    }
    const wrong = await asked(from.url, "not a token".replaceAll(" ", "_"));
    assert.deepEqual([wrong.status, wrong.body.detail[0].loc], [422, ["body", "token"]]);
    source.always(redirect(`${elsewhere.origin}/api/v1/event-type`));
    assert.equal((await asked(source.origin)).status, 422);
    assert.equal(elsewhere.requests.length, 0);
    source.always((_request, response) => response.writeHead(200).end("this is not JSON"));
    assert.match((await asked(source.origin)).body.detail[0].msg, /not what Svix/);
    source.always((_request, response) => response.writeHead(429).end());
    assert.match((await asked(source.origin)).body.detail[0].msg, /slower/);
  } finally {
    await Promise.all([source.stop(), elsewhere.stop()]);
  }
});

// ---- import from a table

test("a table is planned, taken and found; each row stands for itself", async () => {
  const csv = [
    "application_uid,url,secret,event_types,channels,description,uid,headers,disabled",
    `table,${NOWHERE}/a,${KEY},"invoice.paid, order.*",,"says ""hi"", twice",a,"{""x-key"": ""1""}",false`,
    `table,${NOWHERE}/b,${OTHER_KEY},,eu,,b,,yes`,
    `table,http://10.0.0.1/,${KEY},,,,c,,`,
    `table,${NOWHERE}/d,,,,,d,,`,
    `other,${NOWHERE}/a,${KEY},,,,a,nonsense,`,
    `other,${NOWHERE}/a,${KEY},,,,,,`,
  ].join("\r\n");
  const expected = ["create", "create", "invalid", "invalid", "invalid", "create"];
  const planned = await api.ok("POST", "/api/v1/import", { source: "csv", csv, dryRun: true });
  assert.deepEqual(actions(planned.plan, "endpoint"), expected);
  assert.deepEqual(planned.counts, { create: 5, exists: 0, conflict: 0, invalid: 3 });
  assert.equal((await api("GET", "/api/v1/app/table")).status, 404);
  assert.ok(!JSON.stringify(planned).includes(KEY));

  const done = await api.ok("POST", "/api/v1/import", { source: "csv", csv, dryRun: false });
  assert.deepEqual(actions(done.plan, "endpoint"), expected);
  assert.equal((await svix.endpoint.getSecret("table", "b")).key, OTHER_KEY);
  const a = await svix.endpoint.get("table", "a");
  assert.deepEqual([a.description, a.filterTypes], ['says "hi", twice', ["invoice.paid", "order.*"]]);
  assert.equal((await svix.endpoint.get("table", "b")).disabled, true);
  const again = await api.ok("POST", "/api/v1/import", { source: "csv", csv, dryRun: false });
  assert.deepEqual(again.counts, { create: 0, exists: 5, conflict: 0, invalid: 3 });

  // Into one application, rows of another are not taken.
  const one = await api.ok("POST", "/api/v1/app/table/import", { source: "csv", csv, dryRun: true });
  assert.deepEqual(actions(one.plan, "endpoint"), ["exists", "exists", "invalid", "invalid", "invalid", "invalid"]);
});

test("a table of more rows than one request takes goes on with its iterator", async () => {
  const rows = Array.from({ length: 620 }, (_, n) => `${NOWHERE}/${n},whsec_${Buffer.from(`a key of 24 bytes: ${String(n).padStart(5, "0")}`).toString("base64")},u-${n}`);
  const app = (await api.ok("POST", "/api/v1/app", { name: "Long" })).id;
  const { plan, runs } = await imported({ source: "csv", csv: ["url,secret,uid", ...rows].join("\n"), dryRun: false }, `/api/v1/app/${app}/import`);
  assert.equal(runs, 2);
  assert.deepEqual(actions(plan, "endpoint"), rows.map(() => "create"));
});

test("a table that is none is refused whole, with its line", async () => {
  for (const csv of ["", "url\nx", 'application_uid,url,secret\na,"b', "application_uid,url,secret\na,b", "application_uid,url,secret,x\n"]) {
    const { status, body } = await api("POST", "/api/v1/import", { source: "csv", csv });
    assert.deepEqual([status, body.detail[0].loc], [422, ["body", "csv"]], csv);
  }
});

test("an import needs the organisation's token", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Guarded" })).id;
  const tenant = caller(to, to.token({ app }));
  const body = { source: "csv", csv: `url,secret\n${NOWHERE},${KEY}` };
  for (const path of ["/api/v1/import", `/api/v1/app/${app}/import`]) {
    assert.equal((await tenant("POST", path, body)).status, 403, path);
  }
});

// ---- export

/** A tenant with a source, two endpoints and messages of text and of bytes, delivered and failed. */
async function tenant(name, messages) {
  const inbox = receiver.at(`/${name}`);
  // Every second one fails: with more the endpoint would be left alone for a while.
  const broken = receiver.at(`/${name}/broken`).answer(...Array.from({ length: messages }, (_, n) => (n % 2 ? 500 : 200)));
  const app = (await api.ok("POST", "/api/v1/app", { name, uid: name })).id;
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url, secret: KEY, headers: { "x-key": "a receiver's own" } });
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: broken.url, retrySchedule: [] });
  const secret = "a key that is long enough";
  const source = await api.ok("POST", `/api/v1/app/${app}/source`, { name: "S", provider: "api_key", config: { header: "x-key" }, secrets: [secret] });
  const bytes = Buffer.from([0xff, 0x00, 0xfe]);
  await fetch(source.url, { method: "POST", headers: { "x-key": secret, "content-type": "application/octet-stream" }, body: bytes });
  for (let n = 1; n < messages; n++) {
    await api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { n, text: "line\nbreak ä" } });
  }
  await inbox.until((requests) => requests.length === messages, "every delivery");
  await broken.until((requests) => requests.length === messages, "every failure, and what is between");
  await eventually(
    () => inspect(to, app),
    ({ deliveries }) => deliveries.delivered + deliveries.failed === 2 * messages,
    "a record of each delivery",
  );
  return { app, bytes, inbox };
}

test("an export holds everything, without secrets, and says that it is whole", async () => {
  const { app, bytes } = await tenant("exported", 60);
  const lines = await exported(app);
  const counts = {};
  for (const { kind } of lines.slice(0, -1)) counts[kind] = (counts[kind] ?? 0) + 1;
  assert.deepEqual(counts, { application: 1, endpoint: 2, source: 1, message: 60, delivery: 120, attempt: 120 });
  assert.deepEqual(lines.at(-1), { kind: "end", counts });
  assert.equal(lines[0].application.uid, "exported");

  const messages = lines.filter(({ kind }) => kind === "message").map(({ message }) => message);
  const binary = messages.find(({ bodyBase64 }) => bodyBase64);
  assert.deepEqual(Buffer.from(binary.bodyBase64, "base64"), bytes);
  assert.equal(JSON.parse(messages.at(-1).body).n, 59);
  assert.deepEqual(new Set(messages.map(({ id }) => id)).size, 60);
  const failed = lines.filter(({ delivery }) => delivery?.status === "failed");
  assert.equal(failed.length, 30);
  assert.ok(lines.filter(({ kind }) => kind === "attempt").every(({ attempt }) => [200, 500].includes(attempt.responseStatusCode)));

  const text = JSON.stringify(lines);
  for (const secret of [KEY, "a receiver's own", "a key that is long enough", "/in/"]) {
    assert.ok(!text.includes(secret), `${secret} is in the export`);
  }
  const whole = JSON.stringify(await exported(app, "?secrets=true"));
  for (const secret of [KEY, "a receiver's own", "a key that is long enough"]) {
    assert.ok(whole.includes(secret), `${secret} is not in the export`);
  }
  const own = to.token({ app });
  assert.deepEqual(await exported(app, "", own), lines, "a tenant may take its own along");
  assert.equal((await caller(to, own)("GET", `/api/v1/app/${app}/export?secrets=true`)).status, 403);

  // From each cursor on, the rest is the same; and the counts at the end are those of the whole.
  const cursors = lines.flatMap(({ cursor }, at) => (cursor ? [[cursor, at]] : []));
  assert.ok(cursors.length >= 2, `${cursors.length} cursors`);
  await api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { late: true } });
  for (const [cursor, at] of cursors) {
    const rest = await exported(app, `?after=${cursor}`);
    const bare = (lines) => lines.map(({ cursor: _, ...line }) => line);
    assert.deepEqual(bare(rest), bare(lines.slice(at + 1)), "behind a cursor");
  }
  assert.equal((await exported(app)).at(-1).counts.message, 61);

  const other = (await api.ok("POST", "/api/v1/app", { name: "Another" })).id;
  for (const [path, status] of [
    [`/api/v1/app/${other}/export?after=${cursors[0][0]}`, 400],
    [`/api/v1/app/${app}/export?after=odd`, 400],
    [`/api/v1/app/${app}/export?secrets=perhaps`, 422],
  ]) {
    assert.equal((await api("GET", path)).status, status, path);
  }
});

test("an export of more than a page comes in parts, as its reader takes them", async () => {
  const app = (await api.ok("POST", "/api/v1/app", { name: "Large" })).id;
  const text = "x".repeat(900_000);
  for (let n = 0; n < 48; n++) {
    await api.ok("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: { n, text } });
  }
  const calls = async () => {
    const tenants = await to.mf.getDurableObjectNamespace("TENANT");
    const answer = await tenants.get(tenants.idFromName(app)).fetch("https://tenant/test/counted");
    return (await answer.json()).requests;
  };
  const before = await calls();
  const answer = await to.fetch(`/api/v1/app/${app}/export`, { headers: { authorization: `Bearer ${to.token()}` } });
  const reader = answer.body.getReader();
  let received = (await reader.read()).value.length;
  await new Promise((done) => setTimeout(done, 300)); // nothing is to happen: there is no event to await
  const ahead = (await calls()) - before;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    received += value.length;
  }
  assert.ok(received > 48 * text.length);
  const all = (await calls()) - before;
  assert.ok(all >= 10, `${all} pages`);
  assert.ok(ahead <= all / 2, `${ahead} of ${all} pages were asked for while nobody read: what sockets hold, and no more`);
});

// ---- erase

test("an erasure tells what there was; afterwards there is a tombstone, and the proof", async () => {
  const { app, inbox } = await tenant("erased", 20);
  const key = { "idempotency-key": "made once" };
  const kept = await api.ok("POST", "/api/v1/app", { name: "Kept" }, key);
  const source = (await api.ok("GET", `/api/v1/app/${app}/source`)).data[0];
  const database = await to.database();
  const rows = async (id) => {
    const tables = (await database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf%'").all()).results;
    const found = {};
    for (const { name } of tables) {
      const all = (await database.prepare(`SELECT * FROM ${name}`).all()).results;
      const count = all.filter((row) => JSON.stringify(row).includes(id)).length;
      if (count) found[name] = count;
    }
    return found;
  };
  await database
    .prepare("INSERT INTO background_task VALUES ('qtask_1', ?, ?, 'endpoint.recover', 'running', '{}', 1, 1)")
    .bind("org_x", app)
    .run();
  const remembered = await api.ok("POST", "/api/v1/app", { name: "Remembered", uid: "remembered" }, { "idempotency-key": "k" });
  assert.deepEqual(await rows(remembered.id), { application: 1, idempotency: 1 });
  await api.ok("POST", `/api/v1/auth/app/${app}/expire-all`, { sessionIds: ["one"] });
  const shared = await api.ok("POST", "/api/v1/source", { name: "Shared", provider: "slack", secrets: ["0123456789abcdef0123456789abcdef"] });
  for (const id of [app, kept.id]) {
    await api.ok("PUT", `/api/v1/source/${shared.id}/route/T1`, { appId: id });
  }
  assert.deepEqual(await rows(app), { application: 1, background_task: 1, revocation: 1, route: 1 });

  const erase = (id, body = { confirm: id }) => api("POST", `/api/v1/app/${id}/erase`, body);
  for (const body of [{}, { confirm: kept.id }, { confirm: true }]) {
    const refused = await erase(app, body);
    assert.deepEqual([refused.status, refused.body.detail[0].loc], [422, ["body", "confirm"]]);
  }
  assert.equal((await caller(to, to.token({ app }))("POST", `/api/v1/app/${app}/erase`, { confirm: app })).status, 403);
  const { status, body } = await erase(app);
  assert.equal(status, 200, JSON.stringify(body));
  const { bytes, ...told } = body.erased;
  assert.deepEqual(told, {
    messages: 20, deliveries: 40, attempts: 40, endpoints: 2, sources: 1, entitlements: 0, exact: true,
    connections: 0, grants: { revoked: 0, alreadyGone: 0, unsupported: 0, failed: 0, unknown: 0 },
    directoryRows: { application: 1, connection: 0, backgroundTask: 1, idempotency: 0, revocation: 1, route: 1, oauthApp: 0 },
  });
  assert.ok(bytes > 0 && Date.parse(body.at) > 0);
  assert.deepEqual(body.left.map(({ place }) => place), ["queues", "overflow", "backups", "object storage", "providers"]);
  assert.equal((await erase(remembered.id)).body.erased.directoryRows.idempotency, 1);

  // The directory knows nothing of it but the line, and the line knows nothing of who it was.
  assert.deepEqual([await rows(app), await rows('"erased"'), await rows(remembered.id)], [{}, {}, {}]);
  const hash = createHash("sha256").update(app).digest("hex");
  assert.deepEqual(await rows(hash), { erasure: 1 });
  assert.equal(body.applicationHash, hash);
  const proof = (await api.ok("GET", `/api/v1/erasure?application=${app}`)).data;
  assert.deepEqual(proof, [body]);
  assert.deepEqual((await erase(app)).body, body, "asked again, it says the same");
  const all = (await api.ok("GET", "/api/v1/erasure")).data.map(({ applicationHash }) => applicationHash);
  assert.equal(all[0], hash);
  const stranger = caller(to, to.token({ org: "org_23rb8YdGqMT0qIzpgGwdXfHirMv" }));
  assert.deepEqual((await stranger.ok("GET", `/api/v1/erasure?application=${app}`)).data, []);
  assert.equal((await stranger("POST", `/api/v1/app/${app}/erase`, { confirm: app })).status, 404);

  // Nothing answers any more, and nothing comes to life again.
  for (const path of ["", "/msg", "/endpoint", "/source", "/export"]) {
    assert.equal((await api("GET", `/api/v1/app/${app}${path}`)).status, 404, path);
  }
  assert.equal((await api("GET", "/api/v1/app/erased")).status, 404);
  assert.equal((await api("POST", `/api/v1/app/${app}/msg`, { eventType: "a.b", payload: {} })).status, 404);
  const late = await fetch(source.url, { method: "POST", headers: { "x-key": "a key that is long enough" }, body: "{}" });
  assert.ok([200, 404].includes(late.status)); // an isolate may know the source for 30 s; nothing is stored
  await to.cron();
  assert.equal((await api("GET", `/api/v1/app/${app}/msg`)).status, 404);
  assert.equal(inbox.requests.length, 20);
  assert.equal((await api("GET", `/api/v1/app/${kept.id}`)).status, 200, "its neighbour is as it was");
  const { claims } = await api.ok("GET", `/api/v1/source/${shared.id}/route/T1`);
  assert.deepEqual(claims.map(({ appId }) => appId), [kept.id], "and gets what it claimed");
  const storage = await stored(app);
  assert.deepEqual(storage, { meta: 1 });
});

test("an erasure that broke off is finished by the clock, and told", async () => {
  const { app } = await tenant("halved", 3);
  const database = await to.database();
  const hash = createHash("sha256").update(app).digest("hex");
  const { organisation } = await database.prepare("SELECT organisation FROM application WHERE id = ?").bind(app).first();
  // As it stands when the edge dies between the directory and the object, a minute ago.
  await database.prepare("INSERT INTO erasure (tenant, organisation, asked_at) VALUES (?, ?, 1)").bind(hash, organisation).run();
  await database.prepare("UPDATE application SET state = 'deleting', uid = NULL, updated_at = 1 WHERE id = ?").bind(app).run();
  const [open] = (await api.ok("GET", `/api/v1/erasure?application=${app}`)).data;
  assert.deepEqual([open.at, open.erased], [null, null]);
  await to.cron();
  const [done] = await eventually(
    async () => (await api.ok("GET", `/api/v1/erasure?application=${app}`)).data,
    ([line]) => line.at !== null,
    "the erasure",
  );
  assert.deepEqual([done.erased.messages, done.erased.directoryRows.application], [3, 1]);
  assert.equal(await database.prepare("SELECT count(*) AS n FROM application WHERE id = ?").bind(app).first("n"), 0);
});

/** What an object's storage holds, by table. */
async function stored(app) {
  const tenants = await to.mf.getDurableObjectNamespace("TENANT");
  const name = `${tenants.idFromName(app)}.sqlite`;
  const file = readdirSync(persist, { recursive: true }).find((path) => path.endsWith(name));
  assert.ok(file, "the object's storage is a file");
  const storage = new DatabaseSync(join(persist, file), { readOnly: true });
  try {
    const tables = storage.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND substr(name, 1, 4) <> '_cf_'").all();
    return Object.fromEntries(tables.map(({ name }) => [name, storage.prepare(`SELECT count(*) AS n FROM ${name}`).get().n]));
  } finally {
    storage.close();
  }
}

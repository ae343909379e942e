// The built Worker on Miniflare's API: real workerd, real D1, objects and queues, and deliveries that leave from workerd.

import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

export const root = new URL("../../", import.meta.url).pathname;

/** The organisation of the tests. */
export const ORGANISATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
export const OTHER_ORGANISATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMv";

const JWT_SECRET = "a secret of the tests, long enough";
const MASTER_KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/** Starts the Worker. `vars` are added to its variables; `persist` is a folder that keeps its state. */
export async function start({ vars = {}, persist, port, dir = join(root, "build"), log } = {}) {
  port ??= await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { compatibility_date, flags } = configuration();
  const mf = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port,
      name: "postern",
      compatibilityDate: compatibility_date,
      compatibilityFlags: flags,
      cf: false,
      logRequests: false,
      ...(persist ? { resourcePersistencePath: persist } : {}),
      ...(log ? { handleRuntimeStdio: log } : {}),
      modulesRoot: dir,
      modules: [
        { type: "ESModule", path: join(dir, "index.js") },
        { type: "CompiledWasm", path: join(dir, "index_bg.wasm") },
      ],
      bindings: {
        BASE_URL: url,
        JWT_SECRET,
        MASTER_KEYS,
        ALLOW_PRIVATE_ADDRESSES: "localhost",
        TEST_HOOKS: "1",
        ...vars,
      },
      durableObjects: { TENANT: { className: "Tenant", useSQLite: true } },
      d1Databases: { DB: "00000000-0000-4000-8000-000000000001" },
      queueProducers: {
        DELIVERIES: "postern-deliveries",
        DELIVERIES_SLOW: "postern-deliveries-slow",
        OVERFLOW: "postern-overflow",
      },
      queueConsumers: {
        "postern-deliveries": { maxBatchSize: 10, maxBatchTimeout: 0, maxRetries: 20 },
        "postern-deliveries-slow": { maxBatchSize: 5, maxBatchTimeout: 0, maxRetries: 20 },
        "postern-overflow": { maxBatchSize: 10, maxBatchTimeout: 0, maxRetries: 100 },
      },
    }),
  );
  await mf.ready;
  await migrate(await mf.getD1Database("DB"));
  return {
    url,
    mf,
    token: token({ sub: ORGANISATION }),
    /** What a tenant's object says of itself. */
    async inspect(tenant) {
      const response = await fetch(`${url}/test/app/${tenant}/inspect`, {
        headers: { authorization: `Bearer ${token({ sub: ORGANISATION })}` },
      });
      if (!response.ok) throw new Error(`inspect: ${response.status} ${await response.text()}`);
      return response.json();
    },
    /** A tenant's object itself, beside the Worker. */
    async object(tenant) {
      const namespace = await mf.getDurableObjectNamespace("TENANT");
      return namespace.get(namespace.idFromName(tenant));
    },
    stop: () => mf.dispose(),
  };
}

/** A token as `svix-server jwt generate` makes them. */
export function token(claims, { secret = JWT_SECRET, header = {}, ttl = 3600 } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT", ...header })}.${part({ iat: now, nbf: now, exp: now + ttl, ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** A call of the API beside the SDKs: `{status, headers, body}`, the body as JSON where it is JSON. */
export function caller(url, bearer = token({ sub: ORGANISATION })) {
  return async (method, path, body, headers = {}) => {
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
      redirect: "manual",
    });
    const text = await response.text();
    let parsed = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // not JSON: the text itself
    }
    return { status: response.status, headers: response.headers, body: parsed };
  };
}

/** Asks until the answer is as it should be: for what has no event to await, such as a row behind the API. */
export async function eventually(ask, holds, what, withinMs = 30_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${withinMs} ms; last ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const random = (n = 6) => randomBytes(n).toString("hex");

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function migrate(database) {
  await database.prepare("CREATE TABLE IF NOT EXISTS applied (name TEXT PRIMARY KEY)").run();
  const folder = join(root, "migrations");
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".sql")).sort()) {
    if (await database.prepare("SELECT 1 FROM applied WHERE name = ?").bind(name).first()) continue;
    const sql = readFileSync(join(folder, name), "utf8").replace(/--.*$/gm, "");
    const statements = sql.split(/;\s*$/m).map((text) => text.trim()).filter(Boolean);
    await database.batch([
      ...statements.map((text) => database.prepare(text)),
      database.prepare("INSERT INTO applied VALUES (?)").bind(name),
    ]);
  }
}

function configuration() {
  const text = readFileSync(join(root, "wrangler.toml"), "utf8");
  const [, compatibility_date] = text.match(/^compatibility_date = "(.*)"/m);
  const [, list] = text.match(/^compatibility_flags = \[([^\]]*)\]/m);
  const flags = [...list.replace(/#.*$/gm, "").matchAll(/"([^"]+)"/g)].map((found) => found[1]);
  return { compatibility_date, flags };
}

// The built Worker on workerd, as wrangler.toml describes it, through Miniflare's API: outgoing requests leave from
// workerd itself, so that refusals, redirects and deadlines are the real ones.
//
//   const postern = await start();          // state of its own, on a port of its own
//   await postern.fetch("/health");
//   await postern.stop();

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig, unstable_splitSqlQuery } from "wrangler";
import { freshSecrets } from "../../scripts/lib/secrets.mjs";
import { DEVELOPMENT_ORGANISATION, issueToken } from "../../scripts/lib/token.mjs";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export { DEVELOPMENT_ORGANISATION };

/** One set for all servers of a test file, so that one that starts again opens what the last one sealed. */
export const testSecrets = freshSecrets();

/**
 * @param {object} [options]
 * @param {Record<string, string>} [options.vars] over those of wrangler.toml: LEASE_SECONDS, TEST_HOOKS …; one that
 *   is null is taken away
 * @param {Record<string, string>} [options.secrets]
 * @param {string} [options.persist] a folder that keeps the state; without one it is gone with the server
 * @param {number} [options.port]
 * @param {string} [options.edge] the folder of the bundle that runs, if it is not build/
 * @param {string} [options.objects] the folder of the bundle whose objects it asks: they stand in a Worker of their
 *   own then, as if a deployment had reached one and not the other
 * @param {(worker: object) => object[]} [options.beside] makes of the Worker, as Miniflare is told of it, all that run
 *   there: itself first
 * @param {boolean} [options.awake] objects stay in memory however long nobody asks them: what a test hook set in one
 *   holds until the server ends
 * @param {object} [options.runtime] more options of Miniflare's own
 */
export async function start({
  vars = {},
  secrets = testSecrets,
  persist,
  port,
  edge = join(root, "build"),
  objects,
  beside = (worker) => [worker],
  awake = false,
  runtime,
} = {}) {
  for (const bundle of [edge, objects ?? edge]) {
    if (!existsSync(join(bundle, "index.js"))) {
      throw new Error(`${bundle} is empty: scripts/build --no-opt fills build/`);
    }
  }
  const at = port ?? (await freePort());
  const url = `http://127.0.0.1:${at}`;
  const logs = [];
  const given = bindings({ BASE_URL: url, ALLOW_PRIVATE_ADDRESSES: "localhost", ...vars }, secrets);
  const worker = { ...configured(edge, awake), bindings: given };
  const mf = new Miniflare(
    convertV4MiniflareOptions({
      workers: objects
        ? [withObjectsElsewhere(worker), onlyObjects({ ...configured(objects), bindings: given })]
        : beside(worker),
      host: "127.0.0.1",
      port: at,
      cf: false,
      log: new Log(LogLevel.ERROR),
      logRequests: false,
      handleStructuredLogs: keep(logs),
      ...(persist && { resourcePersistencePath: persist }),
      ...runtime,
    }),
  );
  try {
    await mf.ready;
    await applyMigrations(await mf.getD1Database("DB"));
  } catch (error) {
    await mf.dispose();
    throw error;
  }

  return {
    url,
    mf,
    /** What the Worker wrote to its console: `{level, message, timestamp}`, oldest first. */
    logs,
    /** An operator's token, or with `app` a tenant's. */
    token: (options) => issueToken(secrets.JWT_SECRET, options),
    fetch: (path, init) => fetch(new URL(path, url), { redirect: "manual", ...init }),
    database: () => mf.getD1Database("DB"),
    /** Runs the cron handler, which never runs by itself here. */
    cron: async (cron = "* * * * *") => (await mf.getWorker()).scheduled({ cron }),
    /** Hands a batch to the consumer as a queue would, and returns what it did with each message. */
    consume: async (queue, messages) => (await mf.getWorker()).queue(queue, messages),
    stop: () => mf.dispose(),
  };
}

process.env.WRANGLER_LOG ??= "error"; // else it announces secrets of .dev.vars that are not used here

/** Where the objects stand when they have a Worker of their own. */
const OBJECTS = "postern-objects";

function withObjectsElsewhere(worker) {
  const elsewhere = Object.entries(worker.durableObjects).map(([name, object]) => [name, { ...object, scriptName: OBJECTS }]);
  return { ...worker, durableObjects: Object.fromEntries(elsewhere) };
}

/** Objects hand out lanes by themselves, but the queues' consumer and the front door are the other Worker's. */
function onlyObjects({ queueConsumers: _, assets: __, cronTriggers: ___, ...worker }) {
  return { ...worker, name: OBJECTS };
}

/** wrangler.toml as Miniflare wants it: bindings, queues, objects, assets, compatibility. */
function configured(bundle, awake = false) {
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(root, "wrangler.toml"));
  const { modulesRules: _, durableObjects, ...options } = workerOptions;
  const objects = Object.entries(durableObjects).map(([name, object]) => [name, { ...object, unsafePreventEviction: awake }]);
  return {
    ...options,
    durableObjects: Object.fromEntries(objects),
    name: "postern",
    rootPath: root,
    modulesRoot: bundle,
    modules: [
      { type: "ESModule", path: join(bundle, "index.js") },
      { type: "CompiledWasm", path: join(bundle, "index_bg.wasm") },
    ],
  };
}

/** The vars of wrangler.toml and those of the test. What a developer has in .dev.vars has no say here. */
function bindings(vars, secrets) {
  const { vars: configured } = unstable_readConfig({ config: join(root, "wrangler.toml") });
  return Object.fromEntries(Object.entries({ ...configured, ...vars, ...secrets }).filter(([, value]) => value !== null));
}

/** As `wrangler d1 migrations apply` does it, with the same table, so that either goes on where the other stopped. */
async function applyMigrations(database) {
  const folder = join(root, "migrations");
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".sql")).sort() : [];
  await database
    .prepare(
      "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, " +
        "applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    )
    .run();
  const applied = await database.prepare("SELECT name FROM d1_migrations").all();
  const done = new Set(applied.results.map((row) => row.name));
  for (const name of names.filter((name) => !done.has(name))) {
    const statements = unstable_splitSqlQuery(readFileSync(join(folder, name), "utf8"));
    await database.batch([
      ...statements.map((statement) => database.prepare(statement)),
      database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
    ]);
  }
}

function keep(logs) {
  const shown = process.env.POSTERN_TEST_LOGS === "1";
  return (log) => {
    logs.push(log);
    if (shown) {
      process.stderr.write(`${log.level}: ${log.message}\n`);
    }
  };
}

/** BASE_URL has to be known before the server starts, so its port has to be too. */
function freePort() {
  return new Promise((done, failed) => {
    const server = createServer().on("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

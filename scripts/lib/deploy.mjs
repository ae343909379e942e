// What scripts/deploy does once the Worker is built: makes what the account lacks, migrates, deploys. Each step looks
// first and may be run again after any failure.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { freshSecrets } from "./secrets.mjs";

process.env.WRANGLER_LOG ??= "error"; // of reading the configuration here; each command says its own part
const { experimental_readRawConfig, unstable_readConfig } = await import("wrangler");
delete process.env.WRANGLER_LOG;

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const toml = join(root, "wrangler.toml");

const { environment, dry } = readOptions();
const config = unstable_readConfig({ config: toml, env: environment });
const queues = config.queues.producers.map((producer) => producer.queue);
const buckets = config.r2_buckets.map((bucket) => bucket.bucket_name);
const database = config.d1_databases[0];
const kept = join(root, ".postern", `secrets.${environment}.json`);

if (dry) {
  printPlan();
  checkBundle();
} else {
  requireBaseUrl();
  requireAccount();
  const id = provideDatabase();
  provideQueues();
  provideBuckets();
  const secrets = missingSecrets();
  const resolved = writeResolved(id);
  say(`applying the migrations to ${database.database_name}`);
  wrangler(["d1", "migrations", "apply", "DB", "--remote", "--config", resolved, "--env", environment], "inherit");
  say(`deploying ${config.name}`);
  const withSecrets = secrets ? ["--secrets-file", secrets] : [];
  wrangler(["deploy", "--config", resolved, "--env", environment, ...withSecrets], "inherit");
  say(`deployed: ${config.vars.BASE_URL}/health answers when all its bindings do`);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: { "dry-run": { type: "boolean", default: false }, env: { type: "string", default: "production" } },
    });
    const known = Object.keys(experimental_readRawConfig({ config: toml }).rawConfig.env ?? {});
    if (!known.includes(values.env)) {
      throw new Error(`wrangler.toml has no environment '${values.env}': ${known.join(", ")}`);
    }
    return { environment: values.env, dry: values["dry-run"] };
  } catch (error) {
    return fail(error.message);
  }
}

function printPlan() {
  const { BASE_URL } = config.vars;
  const routes = [config.routes ?? [], config.route ?? []].flat().map((route) => route.pattern ?? route);
  console.log(`Plan for ${environment}; nothing is asked of the account:
  database    ${database.database_name}, made if absent; then what of migrations/ it lacks
  queues      ${queues.join(", ")}, made if absent
  buckets     ${buckets.join(", ")}, made if absent
  secrets     JWT_SECRET, MASTER_KEYS, made if absent; a copy stays in .postern/secrets.${environment}.json
  worker      ${config.name}, at ${routes.join(", ") || "its workers.dev address"}
  BASE_URL    ${BASE_URL || `empty: a deployment stops until [env.${environment}.vars] names it`}
`);
}

/** wrangler's own checks, which need no network: that the bundle exports each class that is bound, for one. */
function checkBundle() {
  const folder = mkdtempSync(join(tmpdir(), "postern-deploy-"));
  try {
    wrangler(["deploy", "--dry-run", "--outdir", folder, "--config", toml, "--env", environment], "inherit");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function requireBaseUrl() {
  const value = config.vars.BASE_URL;
  if (!URL.canParse(value) || new URL(value).protocol !== "https:") {
    fail(`BASE_URL in [env.${environment}.vars] of wrangler.toml must be the https address that providers post to`);
  }
}

function requireAccount() {
  if (run(["whoami", "--json"], "pipe").status !== 0) {
    fail("no Cloudflare account: run 'npx wrangler login', or set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID");
  }
}

function provideDatabase() {
  const find = () => json(wrangler(["d1", "list", "--json"])).find(({ name }) => name === database.database_name);
  let found = find();
  if (!found) {
    say(`making the database ${database.database_name}`);
    wrangler(["d1", "create", database.database_name, "--update-config=false"]);
    found = find();
  }
  return found?.uuid ?? fail(`the account does not list the database ${database.database_name} after it was made`);
}

function provideBuckets() {
  for (const bucket of buckets) {
    if (!ifPresent(/bucket .*does not exist|not found|NoSuchBucket/i, ["r2", "bucket", "info", bucket])) {
      say(`making the bucket ${bucket}`);
      wrangler(["r2", "bucket", "create", bucket, "--update-config=false"]);
    }
  }
}

function provideQueues() {
  for (const queue of queues) {
    if (!ifPresent(/Queue .*does not exist/, ["queues", "info", queue])) {
      say(`making the queue ${queue}`);
      wrangler(["queues", "create", queue]);
    }
  }
}

/**
 * A file with the secrets that the Worker does not have yet, or null. They are kept before they are used: the account
 * never shows a secret again, tokens are signed with one, and without the other nothing that is sealed opens.
 */
function missingSecrets() {
  // Without --name: beside --env wrangler would look for a Worker called postern-production, find none, and the
  // secrets that everything is sealed with would be made anew.
  const listed = ifPresent(/Worker "[^"]*".* not found/, ["secret", "list", "--format", "json", "--config", toml, "--env", environment]);
  const present = new Set(listed ? json(listed).map(({ name }) => name) : []); // no Worker yet, no secrets yet
  const own = existsSync(kept) ? JSON.parse(readFileSync(kept, "utf8")) : {};
  const missing = Object.entries({ ...freshSecrets(), ...own }).filter(([name]) => !present.has(name));
  if (missing.length === 0) {
    return null;
  }
  mkdirSync(dirname(kept), { recursive: true });
  writeFileSync(kept, `${JSON.stringify({ ...own, ...Object.fromEntries(missing) }, null, 2)}\n`, { mode: 0o600 });
  say(`made ${missing.map(([name]) => name).join(" and ")}; keep .postern/secrets.${environment}.json in a safe place`);
  const file = join(root, ".postern", `secrets.${environment}.upload.json`);
  writeFileSync(file, JSON.stringify(Object.fromEntries(missing)), { mode: 0o600 });
  process.on("exit", () => rmSync(file, { force: true }));
  return file;
}

/** wrangler.toml with the database's real id. Paths in it are whole, as it stands in another folder. */
function writeResolved(id) {
  const { rawConfig } = experimental_readRawConfig({ config: toml });
  const whole = (path) => join(root, path);
  rawConfig.main = whole(rawConfig.main);
  rawConfig.assets.directory = whole(rawConfig.assets.directory);
  rawConfig.build.cwd = root;
  rawConfig.env[environment].d1_databases = rawConfig.env[environment].d1_databases.map((entry) => ({
    ...entry,
    database_id: id,
    migrations_dir: whole(entry.migrations_dir),
  }));
  const file = join(root, ".postern", `wrangler.${environment}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(rawConfig, null, 2));
  return file;
}

/** Runs wrangler and returns what it wrote to stdout; a failure ends the script with wrangler's own words. */
function wrangler(args, output = "pipe") {
  const done = run(args, output);
  if (done.status !== 0) {
    fail(`'wrangler ${args.slice(0, 2).join(" ")}' failed${words(done)}`);
  }
  return done.stdout;
}

/** Like `wrangler`, but null where it says in these words that the thing is absent. Any other failure ends the script. */
function ifPresent(absent, args) {
  const done = run(args, "pipe");
  if (done.status === 0) {
    return done.stdout;
  }
  if (absent.test(`${done.stdout}${done.stderr}`)) {
    return null;
  }
  return fail(`'wrangler ${args.slice(0, 2).join(" ")}' failed${words(done)}`);
}

function run(args, output) {
  const script = join(root, "node_modules/wrangler/bin/wrangler.js");
  return spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", output, output],
    env: { ...process.env, POSTERN_BUILD: "ready" },
  });
}

function words({ stdout, stderr }) {
  const text = `${stderr ?? ""}${stdout ?? ""}`.trim();
  return text ? `:\n${text}` : "";
}

function json(text) {
  return JSON.parse(text.slice(text.search(/^\[/m)));
}

function say(sentence) {
  console.error(`deploy: ${sentence}`);
}

function fail(sentence) {
  say(sentence);
  process.exit(1);
}

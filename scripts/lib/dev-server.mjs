// What scripts/dev runs once Node, npm packages and tools are there: build, migrate, serve, watch, end.

import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, watch, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { endGroup, groupRunsFrom, processRuns, startGroup } from "./process-group.mjs";
import { developmentSecrets } from "./secrets.mjs";
import { issueToken } from "./token.mjs";

const root = realpathSync(join(dirname(fileURLToPath(import.meta.url)), "../.."));
const notes = process.env.POSTERN_NOTES ?? join(root, ".postern");
const began = Date.now();
const groups = new Set(); // what this run has started and not yet seen end
let ending = null;

for (const [name, status] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(name, () => end(status));
}

const options = readOptions();
const state = prepareState(options.persist);
await endOrphans(state);
const port = options.port === 0 ? await freePort() : options.port;
if (!(await portIsFree(port))) {
  fail(`port ${port} is taken: choose another with --port N`);
}
const url = `http://127.0.0.1:${port}`;
const record = join(notes, "dev", `${port}.json`);
const current = join(notes, "dev.json");
if (options.readyFile) {
  rmSync(options.readyFile, { force: true }); // an old one would announce a server that is not there yet
}
const secrets = developmentSecrets(root);

await Promise.all([build(), migrate()]);
let wrangler = serve();
await untilHealthy();
announce();
watchMigrations();

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        port: { type: "string", default: "8787" },
        persist: { type: "string", default: join(root, ".wrangler/state") },
        "ready-file": { type: "string" },
        release: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    fail(error.message);
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    fail(`'${values.port}' is not a port`);
  }
  // A relative path means the folder in which the script was typed.
  const from = process.env.POSTERN_CALLED_FROM ?? process.cwd();
  const readyFile = values["ready-file"] && resolve(from, values["ready-file"]);
  return { port, persist: resolve(from, values.persist), readyFile, build: values.release ? "release" : (process.env.POSTERN_BUILD ?? "dev") };
}

function prepareState(folder) {
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(notes, "dev"), { recursive: true });
  return realpathSync(folder);
}

/** Ends what an earlier run left behind when it was killed without a chance to: its workerd holds port and state. */
async function endOrphans(state) {
  for (const name of readdirSync(join(notes, "dev"))) {
    const file = join(notes, "dev", name);
    const left = readJson(file);
    if (left && processRuns(left.pid, "dev-server.mjs")) {
      if (left.state === state) {
        fail(`a server runs on this state already, at ${left.url} (process ${left.pid})`);
      }
      continue;
    }
    if (left && groupRunsFrom(left.group, join(root, "node_modules"))) {
      say(`ending what an earlier run left behind at ${left.url}`);
      await endGroup(left.group);
    }
    rmSync(file, { force: true });
  }
}

async function build() {
  await run(join(root, "scripts/build"), [], "the build failed");
}

async function migrate() {
  if (!hasMigrations()) {
    return;
  }
  const args = ["d1", "migrations", "apply", "DB", "--local", "--persist-to", state];
  await run(process.execPath, [wranglerScript(), ...args], "the migrations failed", "pipe");
}

function hasMigrations() {
  const folder = join(root, "migrations");
  return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".sql"));
}

/** Runs to the end; a failure ends the script. Piped output is shown only then. */
async function run(command, args, sentence, output = "inherit") {
  const child = startGroup(command, args, { cwd: root, stdio: ["ignore", output, output], env: environment() });
  groups.add(child.pid);
  let text = "";
  child.stdout?.on("data", (data) => (text += data));
  child.stderr?.on("data", (data) => (text += data));
  const status = await new Promise((done) => child.on("error", done).on("close", done));
  groups.delete(child.pid);
  if (status !== 0 && !ending) {
    fail(text ? `${sentence}:\n${text}` : sentence);
  }
  await ending; // when there is one, it never returns: what would follow must not begin any more
}

function serve() {
  const vars = { BASE_URL: url, ALLOW_PRIVATE_ADDRESSES: "localhost" };
  const args = ["dev", "--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0", "--persist-to", state];
  args.push("--show-interactive-dev-session=false");
  for (const [name, value] of Object.entries(vars)) {
    args.push("--var", `${name}:${value}`);
  }
  const child = startGroup(process.execPath, [wranglerScript(), ...args], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    env: environment(),
  });
  groups.add(child.pid);
  writeJson(record, { pid: process.pid, group: child.pid, url, state });
  child.ended = new Promise((done) => child.on("close", done));
  child.on("close", (status) => {
    if (!ending && child === wrangler) {
      fail(`wrangler ended by itself (status ${status})`);
    }
  });
  return child;
}

async function untilHealthy() {
  for (;;) {
    const status = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) }).then((answer) => answer.status, () => 0);
    if (status === 200) {
      return;
    }
    await delay(100);
  }
}

function announce() {
  const token = issueToken(secrets.JWT_SECRET);
  writeJson(current, { url, port, state, pid: process.pid });
  if (options.readyFile) {
    writeJson(options.readyFile, { url, token });
  }
  console.log(`
Postern serves ${url} (after ${((Date.now() - began) / 1000).toFixed(1)} s; state in ${state})
Operator token: ${token}
Next, in another terminal: scripts/demo
`);
}

/** A new migration is applied while nobody else has the database open. */
function watchMigrations() {
  if (!existsSync(join(root, "migrations"))) {
    return;
  }
  let timer = null;
  let chain = Promise.resolve();
  watch(join(root, "migrations"), () => {
    clearTimeout(timer);
    timer = setTimeout(() => (chain = chain.then(restart)), 200); // an editor writes a file in several steps
  });
}

async function restart() {
  if (ending) {
    return;
  }
  say("the migrations changed: applying them");
  const old = wrangler;
  wrangler = null;
  await endGroup(old.pid);
  groups.delete(old.pid);
  await migrate();
  wrangler = serve();
  await untilHealthy();
  say(`serves ${url} again`);
}

async function end(status) {
  ending ??= (async () => {
    await Promise.all([...groups].map((group) => endGroup(group)));
    for (const file of [record, current, options.readyFile]) {
      if (file && (file !== current || readJson(current)?.pid === process.pid)) {
        rmSync(file, { force: true });
      }
    }
    process.exit(status);
  })();
  await ending;
}

/** Says what is wrong and ends. What it returns is never fulfilled, so that nothing goes on behind it. */
function fail(sentence) {
  say(sentence);
  if (groups.size === 0) {
    process.exit(1);
  }
  return end(1);
}

function environment() {
  return { ...process.env, POSTERN_BUILD: options.build };
}

function wranglerScript() {
  return join(root, "node_modules/wrangler/bin/wrangler.js");
}

function portIsFree(port) {
  return listens(port).then((server) => new Promise((done) => server.close(() => done(true))), () => false);
}

async function freePort() {
  const server = await listens(0);
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function listens(port) {
  return new Promise((done, refused) => {
    const server = createServer().on("error", refused);
    server.listen(port, "127.0.0.1", () => done(server));
  });
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

/** Whole or not at all: whoever waits for the file never reads half of it. */
function writeJson(file, value) {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

function say(sentence) {
  console.error(`dev: ${sentence}`);
}

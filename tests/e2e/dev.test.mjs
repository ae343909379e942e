// What a person types, as a person types it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { groupRunsFrom } from "../../scripts/lib/process-group.mjs";
import { root } from "./harness.mjs";

const folder = mkdtempSync(join(tmpdir(), "postern-dev-"));
const readyFile = join(folder, "ready.json");
const running = new Set();
after(() => {
  for (const child of running) {
    child.kill("SIGTERM");
  }
  rmSync(folder, { recursive: true, force: true });
});

test("scripts/dev serves, says where, and ends all that it started when it is told to", async () => {
  const { child, url } = await dev();
  assert.equal((await fetch(`${url}/health`)).status, 200);
  const { url: other } = JSON.parse(readFileSync(join(folder, "notes/dev.json"), "utf8"));
  assert.equal(other, url);

  child.kill("SIGTERM");
  await once(child, "exit");
  assert.equal(stillServes(child.served), false);
  await assert.rejects(fetch(`${url}/health`));
});

test("scripts/dev refuses a state that another server has open", async () => {
  const { child, url } = await dev();
  const second = spawnDev();
  const [status] = await once(second, "exit");
  assert.equal(status, 1);
  assert.match(second.said, new RegExp(`a server runs on this state already, at ${url}`));

  child.kill("SIGTERM");
  await once(child, "exit");
});

test("after a kill -9 a start on the same state ends what was left behind and serves", async () => {
  const first = await dev();
  first.child.kill("SIGKILL"); // wrangler and both workerd live on
  await once(first.child, "exit");
  assert.equal(stillServes(first.child.served), true);

  const second = await dev();
  assert.equal(stillServes(first.child.served), false);
  assert.equal((await fetch(`${second.url}/health`)).status, 200);

  second.child.kill("SIGINT");
  const [status] = await once(second.child, "exit");
  assert.equal(status, 130);
});

test("scripts/token prints a token alone", async () => {
  const app = "app_23rb8YdGqMT0qIzpgGwdXfHirMu";
  const child = spawn(join(root, "scripts/token"), ["--app", app, "--ttl", "60"]);
  let printed = "";
  child.stdout.on("data", (data) => (printed += data));
  await once(child, "close");
  const [, claims] = printed.trimEnd().split(".");
  const { sub, org, iat, exp } = JSON.parse(Buffer.from(claims, "base64url").toString());
  assert.equal(sub, app);
  assert.match(org, /^org_/);
  assert.equal(exp - iat, 60);
});

async function dev() {
  const ready = appears(readyFile);
  const child = spawnDev();
  const ended = once(child, "exit").then(([status]) => {
    throw new Error(`scripts/dev ended with status ${status}:\n${child.said}`);
  });
  ended.catch(() => {}); // after it is ready the test itself ends it
  await Promise.race([ready, ended]);
  const { url, token } = JSON.parse(readFileSync(readyFile, "utf8"));
  assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  child.served = JSON.parse(readFileSync(join(folder, `notes/dev/${new URL(url).port}.json`), "utf8")).group;
  return { child, url };
}

function spawnDev() {
  const args = ["--port", "0", "--persist", join(folder, "state"), "--ready-file", readyFile];
  const child = spawn(join(root, "scripts/dev"), args, {
    env: { ...process.env, POSTERN_BUILD: "ready", POSTERN_NOTES: join(folder, "notes") },
  });
  child.said = "";
  child.stdout.on("data", (data) => (child.said += data));
  child.stderr.on("data", (data) => (child.said += data));
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

/** Whether anything of the group that served still runs. */
function stillServes(group) {
  return groupRunsFrom(group, join(root, "node_modules"));
}

/** The file is written whole under another name first, so that its appearance is all that there is to await. */
async function appears(file) {
  rmSync(file, { force: true });
  const watcher = watch(folder);
  await new Promise((done) => watcher.on("change", (_type, name) => name === "ready.json" && existsSync(file) && done()));
  watcher.close();
}

// The harness in a process of its own, for tests that kill it: `kill` takes node and workerd away at once with
// SIGKILL, as a power cut would, and a start with the same `persist` goes on with what was durable.
//
//   let postern = await startKillable({ persist });
//   await postern.kill();
//   postern = await startKillable({ persist });

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { endGroup } from "../../scripts/lib/process-group.mjs";
import { issueToken } from "../../scripts/lib/token.mjs";
import { start, testSecrets } from "./harness.mjs";

const self = fileURLToPath(import.meta.url);

/** @param {object} options those of `start`; `persist` must be among them, or there is nothing to go on with */
export async function startKillable(options) {
  const secrets = options.secrets ?? testSecrets;
  const child = fork(self, [], { detached: true, stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
  child.send({ ...options, secrets });
  const [answer] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([status]) => [{ error: `the process ended with status ${status}` }]),
  ]);
  if (answer.error) {
    await endGroup(child.pid);
    throw new Error(answer.error);
  }
  const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : Promise.resolve();
  return {
    url: answer.url,
    pid: child.pid,
    token: (options) => issueToken(secrets.JWT_SECRET, options),
    fetch: (path, init) => fetch(new URL(path, answer.url), { redirect: "manual", ...init }),
    /** Asks the object of a tenant for one of its test hooks. */
    async object(app, path) {
      child.send({ app, path });
      const [{ status }] = await once(child, "message");
      if (status !== 200) {
        throw new Error(`${path}: ${status}`);
      }
    },
    /** Both processes at once, without a last word. */
    async kill() {
      process.kill(-child.pid, "SIGKILL");
      await ended;
      await endGroup(child.pid); // returns when workerd is gone too and the port is free
    },
    async stop() {
      child.disconnect();
      await ended;
      await endGroup(child.pid);
    },
  };
}

if (process.argv[1] === self && process.send) {
  const [options] = await once(process, "message");
  try {
    const server = await start(options);
    process.send({ url: server.url });
    process.on("message", async ({ app, path }) => {
      const namespace = await server.mf.getDurableObjectNamespace("TENANT");
      const answer = await namespace.get(namespace.idFromName(app)).fetch(new URL(path, "https://tenant"));
      process.send({ status: answer.status });
    });
    await once(process, "disconnect"); // the test asked for it, or died
    await server.stop();
  } catch (error) {
    process.send({ error: error.stack });
  }
  process.exit();
}

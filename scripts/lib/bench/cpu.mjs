import { readFileSync, readdirSync } from "node:fs";
import { figure } from "./figures.mjs";
import { BODY, once } from "./load.mjs";
import { RUNNER, median, options, repeated } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { withBare, withTenant } from "./workers.mjs";

const COUNT = options.quick ? 1000 : 3000;
const WARM_UP = 500;
const CLIENTS = 8;
const TICKS_A_SECOND = 100; // USER_HZ, on every Linux

/**
 * Processor time of the runtime for one message, its threads, queues and SQLite included: what a machine that others use at
 * the same time disturbs least. Only where /proc tells it.
 */
export async function cpu() {
  try {
    readFileSync("/proc/self/stat");
  } catch {
    process.stderr.write("  left out: this system has no /proc\n");
    return;
  }
  const accepted = ({ url, headers }) => () =>
    once({ url: `${url}/msg?with_content=false`, headers, body: `{"eventType":"bench","payload":${BODY}}` });
  const delivered = (endpoints) =>
    withReceiver((receiver) =>
      withTenant(async ({ api, publish }) => {
        for (let n = 0; n < endpoints; n++) await api("/endpoint", { url: `${receiver.url}${n}` });
        return spent(publish, endpoints, receiver);
      }),
    );
  const parts = {
    "CPU of an accept, bare Worker": () => withBare(({ url }) => spent(() => once({ url: `${url}/`, headers: {} }))),
    "CPU of an accept through the API": () => withTenant((tenant) => spent(accepted(tenant))),
    "CPU of a message with one delivery, bare Worker": () =>
      withReceiver((receiver) =>
        withBare(({ url }) => spent(() => once({ url: `${url}/deliver`, headers: {} }), 1, receiver), receiver.url),
      ),
    "CPU of a message with one delivery": () => delivered(1),
    "CPU of a message with 10 deliveries": () => delivered(10),
  };
  let bare;
  for (const [what, measure] of Object.entries(parts)) {
    const runs = await repeated(measure);
    if (what.endsWith("bare Worker")) bare = median(runs);
    const ofBare = what.endsWith("bare Worker") || what.includes("10") ? undefined : bare;
    figure(what, runs, "ms", RUNNER, { ofBare });
  }
}

/** Milliseconds a message, from the first publish to the last arrival. */
async function spent(publish, endpoints = 1, receiver = undefined) {
  let next = 0;
  const run = async (count) => {
    const end = next + count;
    const room = () => !receiver || next * endpoints - receiver.count() < 512;
    const client = async () => {
      while (next < end) {
        if (room()) await publish(next++);
        else await new Promise((done) => setTimeout(done, 1));
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    if (receiver && !(await receiver.reached(end * endpoints, 60_000))) throw new Error("not all arrived");
  };
  const count = Math.ceil(COUNT / (endpoints > 1 ? 3 : 1));
  await run(Math.ceil(WARM_UP / (endpoints > 1 ? 3 : 1)));
  const before = runtimeTime();
  await run(count);
  return (runtimeTime() - before) / count;
}

/** Of the runtimes that this process started, so far, in ms. */
function runtimeTime() {
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let stat;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    } catch {
      continue; // it has ended
    }
    const [, name, rest] = /\((.*)\) (.*)/s.exec(stat);
    const fields = rest.split(" "); // from the third on: state, parent …
    if (name === "workerd" && Number(fields[1]) === process.pid) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks * 1000) / TICKS_A_SECOND;
}

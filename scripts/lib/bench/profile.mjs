// Where the processor's time goes while messages are delivered: a sampling profile of the isolate, in which the edge, the
// consumer and the objects all run. Functions of the wasm have names only in a build that kept them:
//
//   CARGO_PROFILE_RELEASE_STRIP=none scripts/build --no-opt && scripts/bench --ready --only profile
//
// Written as .postern/bench.cpuprofile, which a browser's developer tools open; the table is of the isolate's own time, and
// what the runtime does outside of it (sockets, queues, SQLite's own thread) is in "(program)" and "(idle)".

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../../tests/e2e/harness.mjs";
import { arrivals } from "./fanout.mjs";
import { RUN_MS } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { withTenant } from "./workers.mjs";

const SHOWN = 40;

export async function profile() {
  const { recorded, delivered } = await withReceiver((receiver) =>
    withTenant(
      async ({ postern, publish }) => {
        const inspector = await connect(new URL("/core:user:postern", await postern.mf.getInspectorURL()));
        await inspector.call("Profiler.enable");
        await inspector.call("Profiler.setSamplingInterval", { interval: 200 });
        let delivered = 0;
        const rate = await arrivals(receiver, 1, (n) => publish(n), async () => {
          delivered = receiver.count();
          await inspector.call("Profiler.start");
        });
        const { profile: recorded } = await inspector.call("Profiler.stop");
        inspector.close();
        console.log(`${Math.round(rate)} deliveries/s, the profiler's own cost included`);
        return { recorded, delivered: receiver.count() - delivered };
      },
      { endpoint: receiver.url, runtime: { inspectorPort: 0 } },
    ),
  );
  const file = join(root, ".postern/bench.cpuprofile");
  writeFileSync(file, JSON.stringify(recorded));
  show(recorded, delivered);
  console.log(`${file}, over ${RUN_MS} ms\n`);
}

/** A connection to the isolate's inspector. */
async function connect(url) {
  const socket = new WebSocket(url);
  await new Promise((done, failed) => {
    socket.addEventListener("open", done);
    socket.addEventListener("error", () => failed(new Error(`no inspector at ${url}`)));
  });
  const waiting = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const told = waiting.get(id);
    if (error) told?.failed(new Error(error.message));
    else told?.done(result);
  });
  let last = 0;
  return {
    call: (method, params = {}) =>
      new Promise((done, failed) => {
        waiting.set(++last, { done, failed });
        socket.send(JSON.stringify({ id: last, method, params }));
      }),
    close: () => socket.close(),
  };
}

/** By function: its own time, and that of all it called, in microseconds per delivered message. */
function show({ nodes, samples, timeDeltas }, delivered) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const node of nodes) for (const child of node.children ?? []) byId.get(child).parent = node;
  const times = new Map();
  const of = (name) => times.get(name) ?? times.set(name, { own: 0, all: 0 }).get(name);
  samples.forEach((id, n) => {
    const leaf = byId.get(id);
    of(nameOf(leaf)).own += timeDeltas[n];
    const stack = new Set();
    for (let node = leaf; node; node = node.parent) stack.add(nameOf(node));
    for (const name of stack) of(name).all += timeDeltas[n];
  });
  const per = (time) => (time / delivered).toFixed(1).padStart(9);
  for (const order of ["own", "all"]) {
    console.log(`\nµs per delivered message (${delivered}), by ${order === "own" ? "a function's own time" : "time with all it calls"}`);
    const sorted = [...times].sort(([, a], [, b]) => b[order] - a[order]).slice(0, SHOWN);
    for (const [name, { own, all }] of sorted) console.log(`${per(own)} ${per(all)}  ${name.slice(0, 140)}`);
  }
}

function nameOf({ callFrame: { functionName, url, lineNumber } }) {
  return functionName || `${url.split("/").at(-1)}:${lineNumber}`;
}

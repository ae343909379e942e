// What scripts/bench measures, once both Workers are built.

import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { root, start } from "../../../tests/e2e/harness.mjs";

const RUNNER = "Miniflare's API, workerd, one machine with its load";
const CLIENTS = 32;
const BODY = JSON.stringify({ type: "bench", text: "x".repeat(1000) });
const KEY = "a key of the bench, long enough";

/** List prices in dollars a million, read 2026-11 ("Pricing" of Workers, Durable Objects, Queues); rows are rows written. */
const PRICES = { workerRequest: 0.3, objectRequest: 0.15, row: 1, queueOperation: 0.4, cpuMillisecond: 0.02 };

const { values: options } = parseArgs({
  options: {
    json: { type: "string" },
    quick: { type: "boolean", default: false },
    ready: { type: "boolean", default: false },
    only: { type: "string" },
  },
});
const RUNS = options.quick ? 1 : 3;
const RUN_MS = options.quick ? 2000 : 5000;
const figures = [];
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

const parts = { size, startup, accept, latency, deliver, cost };
const chosen = options.only?.split(",") ?? Object.keys(parts);
for (const name of chosen) {
  if (!(name in parts)) {
    process.stderr.write(`bench: there is no part '${name}': ${Object.keys(parts).join(", ")}\n`);
    process.exit(1);
  }
  process.stderr.write(`measuring ${name} …\n`);
  await parts[name]();
}
print();

function size() {
  const wasm = readFileSync(join(root, "build/index_bg.wasm"));
  figure("wasm, raw", wasm.length / 1024, "KiB", "the build");
  figure("wasm, gzip -9", gzipSync(wasm, { level: 9 }).length / 1024, "KiB", "the build");
}

async function startup() {
  const times = await repeated(async () => {
    const began = performance.now();
    const postern = await start();
    await postern.fetch("/version");
    const took = performance.now() - began;
    await postern.stop();
    return took;
  });
  figure("start to first answer, runtime and migrations included", median(times), "ms", RUNNER);
}

/** Accepted messages a second, no endpoint wants them: through the API, through /in/, and the bare Worker. */
async function accept() {
  const bare = await repeated(() => withBare(({ url }) => rate(() => ({ url: `${url}/`, headers: {} }))));
  const api = await repeated(() =>
    withTenant(({ postern, app }) => {
      const body = `{"eventType":"bench","payload":${BODY}}`;
      const headers = { authorization: `Bearer ${postern.token()}`, "content-type": "application/json" };
      return rate(() => ({ url: `${postern.url}/api/v1/app/${app}/msg?with_content=false`, headers, body }));
    }),
  );
  const inbound = await repeated(() =>
    withTenant(async ({ source }) => {
      const signature = createHmac("sha256", KEY).update(BODY).digest("hex");
      return rate(() => ({ url: source.url, headers: { "x-sig": signature, "content-type": "application/json" } }));
    }),
  );
  figure("accepted, bare Worker in Rust (one INSERT)", median(bare), "messages/s", RUNNER);
  figure("accepted through the API", median(api), "messages/s", RUNNER, median(api) / median(bare));
  figure("accepted through /in/ (HMAC verified)", median(inbound), "messages/s", RUNNER, median(inbound) / median(bare));
}

/** From the publish to the arrival at the endpoint. */
async function latency() {
  const lone = await withReceiver((receiver) =>
    withTenant(async ({ publish }) => {
      const times = [];
      for (let n = 0; n < (options.quick ? 10 : 40); n++) {
        times.push(await receiver.roundTrip(publish, n));
        await delay(50);
      }
      return times.slice(3); // the first ones meet an endpoint that is not proven yet
    }, receiver.url),
  );
  const steady = await withReceiver((receiver) =>
    withTenant(async ({ publish }) => {
      const pending = [];
      for (let n = 0; n < (options.quick ? 200 : 1000); n++) {
        pending.push(receiver.roundTrip(publish, n));
        await delay(10);
      }
      return (await Promise.all(pending)).slice(50);
    }, receiver.url),
  );
  for (const [what, times] of [["a lone message", lone], ["100 messages/s", steady]]) {
    figure(`accept to arrival, ${what}, p50`, quantile(times, 0.5), "ms", RUNNER);
    figure(`accept to arrival, ${what}, p99`, quantile(times, 0.99), "ms", RUNNER);
  }
}

/** The highest offered rate at which the backlog does not grow: what was published in a step has arrived soon after. */
async function deliver() {
  let published = 0; // no number comes twice: its Idempotency-Key would be answered without a message
  const holds = (offered, { publish, receiver, wait }) => async () => {
    const from = receiver.count();
    const count = Math.round((offered * RUN_MS) / 1000);
    const began = performance.now();
    const pending = [];
    for (let n = 0; n < count; n++) {
      const due = began + (n * 1000) / offered;
      if (due > performance.now()) await delay(due - performance.now());
      pending.push(publish(published++));
    }
    await Promise.all(pending);
    if (performance.now() - began > RUN_MS * 1.2) return false; // it was not even accepted at that rate
    return receiver.reached(from + count, wait);
  };
  const highest = async (context) => {
    let best = 0;
    for (let offered = 50; offered <= 2000; offered = Math.round(offered * 1.25)) {
      if (!(await holds(offered, context)())) break;
      best = offered;
    }
    return best;
  };
  const bare = await withReceiver((receiver) =>
    withBare(({ url }) => {
      const publish = () => once({ url: `${url}/deliver`, headers: {} });
      return highest({ publish, receiver, wait: 1000 });
    }, receiver.url),
  );
  const own = await withReceiver((receiver) =>
    withTenant(({ publish }) => highest({ publish, receiver, wait: 1000 }), receiver.url),
  );
  figure("delivered, bare Worker in Rust (one INSERT, one fetch)", bare, "messages/s", RUNNER);
  figure("delivered", own, "messages/s", `${RUNNER}; its queue runs one batch at a time`, own / bare);
}

/** Rows, requests and queue messages of a message, counted by the object, and what they cost at list price. */
async function cost() {
  const loaded = 2000;
  const profile = async (count, pace) =>
    withReceiver((receiver) =>
      withTenant(async ({ publish, counted }) => {
        await receiver.roundTrip(publish, -1); // the endpoint is proven from here on
        await delay(500);
        const before = await counted();
        await pace(publish, receiver, count, counted);
        if (!(await receiver.reached(count + 1, 60_000))) throw new Error("not all arrived");
        await awake(counted, 35_000); // the alarm's own rows: leases of 30 s have ended
        const after = await counted();
        return Object.fromEntries(Object.keys(after).map((name) => [name, (after[name] - before[name]) / count]));
      }, receiver.url, "30"),
    );
  const burst = await profile(loaded, async (publish, _receiver, count) => {
    let next = 0;
    const client = async () => {
      while (next < count) await publish(next++);
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  });
  const lone = await profile(2, async (publish, receiver, count, counted) => {
    for (let n = 0; n < count; n++) {
      await receiver.roundTrip(publish, n);
      await awake(counted, 35_000); // its lease ends before the next one comes
    }
  });
  for (const [what, per] of [["loaded", burst], ["a lone message", lone]]) {
    figure(`rows written per message, ${what}`, per.rows, "", "counted in the object");
    figure(`object requests per message, ${what} (alarms included)`, per.requests + per.alarms, "", "counted in the object");
    figure(`queue messages per message, ${what}`, per.queueMessages, "", "counted in the object");
    const dollars =
      PRICES.workerRequest * (1 + per.queueMessages / 5) +
      PRICES.objectRequest * (per.requests + per.alarms) +
      PRICES.row * per.rows +
      PRICES.queueOperation * 3 * per.queueMessages +
      PRICES.cpuMillisecond * 5;
    figure(`dollars per million messages, ${what}`, dollars, "$", "list price of 2026-11, 5 ms of CPU assumed");
  }
}

// ------------------------------------------------------------------------------------------------ what is measured

/** Passes time without letting the object fall asleep, which would begin its counts anew. */
async function awake(counted, ms) {
  for (const end = performance.now() + ms; performance.now() < end; await delay(2000)) await counted();
}

async function withTenant(work, endpoint, leaseSeconds = "60") {
  const postern = await start({ vars: { TEST_HOOKS: "1", LEASE_SECONDS: leaseSeconds } });
  try {
    const headers = { authorization: `Bearer ${postern.token()}`, "content-type": "application/json" };
    const call = async (path, body) => JSON.parse(await once({ url: `${postern.url}/api/v1${path}`, headers, body }));
    const app = (await call("/app", JSON.stringify({ name: "Bench" }))).id;
    const config = { header: "x-sig" };
    const source = await call(`/app/${app}/source`, JSON.stringify({ name: "B", provider: "hmac", config, secrets: [KEY] }));
    if (endpoint) await call(`/app/${app}/endpoint`, JSON.stringify({ url: endpoint }));
    const publish = (n) =>
      once({
        url: `${postern.url}/api/v1/app/${app}/msg?with_content=false`,
        headers: { ...headers, "idempotency-key": `bench ${n}` },
        body: `{"eventType":"bench","payload":{"n":${n},"text":"${"x".repeat(1000)}"}}`,
      });
    const counted = async () => {
      const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
      return (await namespace.get(namespace.idFromName(app)).fetch("https://tenant/test/counted")).json();
    };
    return await work({ postern, app, source, publish, counted });
  } finally {
    await postern.stop();
  }
}

async function withBare(work, target = "http://127.0.0.1:9/") {
  const dir = join(root, ".postern/bench-bare");
  const mf = new Miniflare(
    convertV4MiniflareOptions({
      name: "bare",
      host: "127.0.0.1",
      port: 0,
      compatibilityDate: "2026-08-01",
      cf: false,
      logRequests: false,
      modulesRoot: dir,
      modules: [
        { type: "ESModule", path: join(dir, "index.js") },
        { type: "CompiledWasm", path: join(dir, "index_bg.wasm") },
      ],
      bindings: { TARGET: target },
      durableObjects: { ROWS: { className: "Rows", useSQLite: true } },
    }),
  );
  try {
    return await work({ url: (await mf.ready).origin });
  } finally {
    await mf.dispose();
  }
}

/** An endpoint that knows when each message came. */
async function withReceiver(work) {
  const waiting = new Map();
  let count = 0;
  const server = createServer((incoming, response) => {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => {
      response.end();
      count++;
      const n = Buffer.concat(chunks).toString().match(/"n":(-?\d+)/)?.[1];
      waiting.get(n)?.(performance.now());
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const receiver = {
    url: `http://127.0.0.1:${server.address().port}/`,
    count: () => count,
    async roundTrip(publish, n) {
      const arrived = new Promise((done) => waiting.set(String(n), done));
      const began = performance.now();
      await publish(n);
      return (await arrived) - began;
    },
    async reached(wanted, wait) {
      for (const end = performance.now() + wait; count < wanted && performance.now() < end; ) await delay(20);
      return count >= wanted;
    },
  };
  try {
    return await work(receiver);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** One request; a status that is no success ends the bench. */
function once({ url, headers, body = BODY }) {
  return new Promise((done, failed) => {
    const sent = request(url, { method: "POST", agent, headers: { ...headers, "content-length": Buffer.byteLength(body) } });
    sent.on("error", failed);
    sent.on("response", (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => {
        if (response.statusCode >= 300) failed(new Error(`${url}: ${response.statusCode} ${text}`));
        else done(text);
      });
    });
    sent.end(body);
  });
}

/** Requests a second of so many clients, after a second to warm up. */
async function rate(next) {
  const run = async (ms) => {
    const end = performance.now() + ms;
    let count = 0;
    const client = async () => {
      while (performance.now() < end) {
        await once(next());
        count++;
      }
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: CLIENTS }, client));
    return (count * 1000) / (performance.now() - began);
  };
  await run(1000);
  return run(RUN_MS);
}

async function repeated(measure) {
  const results = [];
  for (let n = 0; n < RUNS; n++) results.push(await measure());
  return results;
}

// ---------------------------------------------------------------------------------------------------------- output

function figure(what, value, unit, runner, ratio) {
  figures.push({ what, value: Math.round(value * 100) / 100, unit, runner, ...(ratio && { ofBare: Math.round(ratio * 100) / 100 }) });
}

function print() {
  const machine = `${cpus().length} × ${cpus()[0].model.trim()}, Node ${process.version}`;
  const width = Math.max(...figures.map(({ what }) => what.length));
  for (const { what, value, unit, runner, ofBare } of figures) {
    const ratio = ofBare === undefined ? "" : `${Math.round(ofBare * 100)} % of bare`;
    console.log(`${what.padEnd(width)}  ${String(value).padStart(9)} ${unit.padEnd(11)} ${ratio.padEnd(14)} ${runner}`);
  }
  console.log(`\n${machine}; medians of ${RUNS}`);
  if (options.json) {
    const file = resolve(process.env.POSTERN_CALLED_FROM ?? ".", options.json);
    writeFileSync(file, `${JSON.stringify({ machine, runs: RUNS, prices: PRICES, figures }, null, 2)}\n`);
  }
}

function median(values) {
  return quantile(values, 0.5);
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

import { performance } from "node:perf_hooks";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { withConnections } from "./connected.mjs";
import { figure } from "./figures.mjs";
import { once, rate } from "./load.mjs";
import { RUNNER, median, options, quantile, repeated } from "./options.mjs";

const SAMPLES = options.quick ? 300 : 3000;
const WARM_UP = 50;

/** A Worker that hands every request on and its answer back: the least that standing between costs on this machine. */
const LEAST = `export default { fetch: (request, { TARGET }) => fetch(TARGET, { method: request.method, redirect: "manual" }) };`;

/**
 * What the proxy costs over calling the provider's API oneself, with a token in the isolate's memory. Direct, through a
 * Worker that only hands on, and through the proxy, one request after the other in turn; then 32 at a time.
 */
export async function proxy() {
  await withConnections(1, async ({ tenant: { headers }, provider, connections: [connection] }) => {
    await withLeast(`${provider}/v1/things`, async (least) => {
      const ways = {
        direct: { url: `${provider}/v1/things`, headers: {}, method: "GET" },
        least: { url: least, headers: {}, method: "GET" },
        proxy: { url: `${connection.url}/proxy/things`, headers, method: "GET" },
      };
      const times = await inTurn(ways);
      for (const [name, q] of [["p50", 0.5], ["p99", 0.99]]) {
        const [direct, between, own] = ["direct", "least", "proxy"].map((way) => quantile(times[way], q));
        const over = (ms, than) => `${(ms - than).toFixed(2)} ms more, ${(ms / than).toFixed(2)} ×`;
        figure(`calling the provider, direct, ${name}`, direct, "ms", RUNNER);
        figure(`through a Worker that only hands on, ${name}`, between, "ms", RUNNER, { beside: `${over(between, direct)} direct` });
        figure(`through the proxy, ${name}`, own, "ms", RUNNER, { beside: `${over(own, direct)} direct; ${over(own, between)} the least` });
      }
      const rates = {};
      for (const [way, request] of Object.entries(ways)) rates[way] = await repeated(() => rate(() => request));
      const [direct, between] = [median(rates.direct), median(rates.least)];
      figure("calls, direct", rates.direct, "a second", RUNNER);
      figure("calls through a Worker that only hands on", rates.least, "a second", RUNNER, { beside: `${(between / direct).toFixed(2)} × direct` });
      figure("calls through the proxy", rates.proxy, "a second", RUNNER, {
        beside: `${(median(rates.proxy) / direct).toFixed(2)} × direct, ${(median(rates.proxy) / between).toFixed(2)} × the least`,
      });
    });
  });
}

async function inTurn(ways) {
  const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
  for (let n = -WARM_UP; n < SAMPLES; n++) {
    for (const [way, request] of Object.entries(ways)) {
      const began = performance.now();
      await once(request);
      if (n >= 0) times[way].push(performance.now() - began);
    }
  }
  return times;
}

async function withLeast(target, work) {
  const mf = new Miniflare(
    convertV4MiniflareOptions({
      name: "least",
      host: "127.0.0.1",
      port: 0,
      compatibilityDate: "2026-08-01",
      cf: false,
      logRequests: false,
      modules: true,
      script: LEAST,
      bindings: { TARGET: target },
    }),
  );
  try {
    await work((await mf.ready).origin);
  } finally {
    await mf.dispose();
  }
}

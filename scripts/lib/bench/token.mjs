import { performance } from "node:perf_hooks";
import { withConnections } from "./connected.mjs";
import { figure } from "./figures.mjs";
import { clients, once } from "./load.mjs";
import { RUNNER, RUN_MS, median, quantile, repeated } from "./options.mjs";

/** A connection's tokens are read 3,000 times a minute at the most. */
const CONNECTIONS = 24;
const READERS = 8;

/**
 * How often a token that is good is read through the API, and how long one read takes. Each asks the connection's object and
 * is written down in the directory; beside it a look at the connection, which asks the object alone.
 */
export async function token() {
  await withConnections(CONNECTIONS, async ({ tenant: { headers }, connections }) => {
    let next = 0;
    const any = () => connections[next++ % connections.length].url;
    const looks = await repeated(() => timed(() => ({ url: any(), headers, method: "GET" })));
    const reads = await repeated(() => timed(() => ({ url: `${any()}/token`, headers, body: "{}" })));
    const look = (of) => median(looks.map(of));
    figure("looks at a connection", looks.map(perSecond), "a second", RUNNER);
    figure("tokens read through the API (warm, audited)", reads.map(perSecond), "a second", RUNNER, {
      beside: `${(median(reads.map(perSecond)) / look(perSecond)).toFixed(2)} × the looks`,
    });
    for (const [name, q] of [["p50", 0.5], ["p99", 0.99]]) {
      const at = ({ times }) => quantile(times, q);
      figure(`reading a token (warm, ${READERS} readers), ${name}`, reads.map(at), "ms", RUNNER, {
        beside: `${(median(reads.map(at)) / look(at)).toFixed(2)} × a look`,
      });
    }
  });
}

const perSecond = ({ times, ms }) => (times.length * 1000) / ms;

/** How long each request took, of so many readers after a second to warm up. */
async function timed(request) {
  await clients(READERS, 1000, () => once(request()));
  const times = [];
  const began = performance.now();
  await clients(READERS, RUN_MS, async () => {
    const asked = performance.now();
    await once(request());
    times.push(performance.now() - asked);
  });
  return { times, ms: performance.now() - began };
}

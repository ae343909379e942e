import { performance } from "node:perf_hooks";
import { figure } from "./figures.mjs";
import { once } from "./load.mjs";
import { RUNNER, options, quantile } from "./options.mjs";
import { tenantOf, withPostern } from "./workers.mjs";

/** Messages of a tenant. The first is what the others are compared with. */
const SIZES = [1_000, 100_000, ...(options.full ? [1_000_000] : [])];

const BATCH = 100;
const SAMPLES = options.quick ? 500 : 2000;
const WARM_UP = 50;

/**
 * How long an accept, a page and a look at one message take with few and with many messages in one tenant. The tenants are
 * asked in turn, one request after the other, so that whatever else the machine does meets all of them alike. No endpoint
 * wants the messages.
 */
export async function flat() {
  await withPostern(async (postern) => {
    const tenants = [];
    for (const size of SIZES) {
      const tenant = await tenantOf(postern, `${size} messages`);
      tenants.push({ size, requests: requests(tenant, await fill(tenant, size)) });
    }
    for (const what of Object.keys(tenants[0].requests)) {
      const times = await inTurn(tenants.map((tenant) => tenant.requests[what]));
      tenants.forEach(({ size }, number) => {
        const name = `${what}, 10^${Math.round(Math.log10(size))} messages`;
        for (const [quantileName, q] of [["p50", 0.5], ["p99", 0.99]]) {
          const [own, least] = [times[number], times[0]].map((all) => quantile(all, q));
          const beside = number > 0 ? `${(own / least).toFixed(2)} × that of 10^3` : undefined;
          figure(`${name}, ${quantileName}`, own, "ms", RUNNER, { beside });
        }
      });
    }
  });
}

/** The ids of what was stored, in the order of acceptance. */
async function fill({ api }, size) {
  const stored = [];
  let missing = size;
  const client = async () => {
    while (missing > 0) {
      const count = Math.min(BATCH, missing);
      missing -= count;
      const messages = Array.from({ length: count }, (_, n) => ({ eventType: `type.${n % 7}`, payload: { n } }));
      const { data } = await api("/msg/batch?with_content=false", { messages });
      stored.push(...data.map(({ id }) => id));
    }
  };
  await Promise.all([client(), client(), client()]);
  return stored;
}

function requests({ url, headers }, stored) {
  const any = () => stored[Math.floor(Math.random() * stored.length)];
  const get = (path) => ({ url: `${url}${path}`, headers, method: "GET" });
  const body = JSON.stringify({ eventType: "bench", payload: { text: "x".repeat(1000) } });
  let next = 0;
  return {
    "the newest 50": () => get("/msg?limit=50&with_content=false"),
    "50 from anywhere": () => get(`/msg?limit=50&with_content=false&iterator=${any()}`),
    "one message": () => get(`/msg/${any()}`),
    accept: () => ({
      url: `${url}/msg?with_content=false`,
      headers: { ...headers, "idempotency-key": `flat ${next++}` },
      body,
    }),
  };
}

/** Of each the times, in ms. */
async function inTurn(requests) {
  const times = requests.map(() => []);
  for (let n = -WARM_UP; n < SAMPLES; n++) {
    for (const [number, request] of requests.entries()) {
      const asked = request();
      const began = performance.now();
      await once(asked);
      if (n >= 0) times[number].push(performance.now() - began);
    }
  }
  return times;
}

import { createHmac } from "node:crypto";
import { Agent, request } from "node:http";
import { performance } from "node:perf_hooks";
import { figure } from "./figures.mjs";
import { BODY, once, paced } from "./load.mjs";
import { RUNNER, options, quantile, repeated } from "./options.mjs";
import { KEY, tenantOf, withPostern } from "./workers.mjs";

const AIM = 1.2;

/** Webhooks a second of the tenant that is looked at, and bad signatures a second at the other one. */
const RATE = 40;
const FLOOD = 200;

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

const PHASE_MS = options.quick ? 5000 : 15_000;

/**
 * Whether a tenant notices that somebody floods another one's source with signatures that do not hold: the p99 of its
 * accepts through /in/ over that of the same time without. Beside it the ratio of two times without, which is the noise.
 * Load and Worker share the processors, so the flood takes them from both.
 */
export async function flood() {
  const runs = await repeated(measured);
  const over = (name, other) => runs.map((run) => run[name] / run[other]);
  const noise = over("calm", "before").map((ratio) => ratio.toFixed(2));
  const name = `p99 of accepts through /in/, ${RATE}/s`;
  figure(`${name}, nothing else`, runs.map(({ calm }) => calm), "ms", RUNNER, { beside: `noise ${noise.join(", ")} ×` });
  figure(`${name}, ${FLOOD}/s bad signatures at another tenant`, over("flooded", "calm"), "×", RUNNER, { limit: AIM });
}

function measured() {
  return withPostern(async (postern) => {
    const source = async (name) => {
      const { api } = await tenantOf(postern, name);
      return api("/source", { name, provider: "hmac", config: { header: "x-sig" }, secrets: [KEY] });
    };
    const [looked, flooded] = [await source("looked at"), await source("flooded")];
    const signature = createHmac("sha256", KEY).update(BODY).digest("hex");
    const type = { "content-type": "application/json" };
    const phase = async () => {
      const times = await paced(RATE, PHASE_MS, async () => {
        const began = performance.now();
        await once({ url: looked.url, headers: { ...type, "x-sig": signature } });
        return performance.now() - began;
      });
      return quantile(times, 0.99);
    };
    await phase(); // warm
    const before = await phase();
    const calm = await phase();
    const bad = paced(FLOOD, PHASE_MS, () => refused(flooded.url, { ...type, "x-sig": "00".repeat(32) }));
    const during = await phase();
    await bad;
    return { before, calm, flooded: during };
  });
}

/** One that must not be believed. */
function refused(url, headers) {
  return new Promise((done, failed) => {
    const sent = request(url, { method: "POST", agent, headers: { ...headers, "content-length": Buffer.byteLength(BODY) } });
    sent.on("error", failed);
    sent.on("response", (response) => {
      response.resume();
      response.on("end", () => (response.statusCode === 401 ? done() : failed(new Error(`${url}: ${response.statusCode}`))));
    });
    sent.end(BODY);
  });
}

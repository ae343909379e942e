import { BROKER, consumersAtOnce } from "./consumers.mjs";
import { figure } from "./figures.mjs";
import { paced } from "./load.mjs";
import { RUNNER, options, quantile, repeated } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { tenantOf, withPostern } from "./workers.mjs";

const CONCURRENCIES = [1, 4, 16];
const AIM = 1.2;

const HEALTHY = 20;
/** Messages a second of all healthy tenants together. */
const HEALTHY_RATE = 60;

const ENDPOINTS_OF_THE_OTHER = 10;
/** Its messages a second: with half of its endpoints hanging, five sends a second that end with their deadline. */
const RATE_OF_THE_OTHER = 1;

const DEADLINE_SECONDS = options.quick ? 5 : 15;
const PHASE_MS = options.quick ? 5000 : 15_000;

/**
 * Whether 20 tenants notice that half of another one's endpoints take requests and never answer. Their p99 of arrival
 * over that of the same time before, when nothing was sent to those endpoints: from the moment when they stop to answer
 * until the first deadline, when nobody can know which ones hang, and after it. Beside it the ratio of two times when
 * nothing hung, which is the noise.
 */
export async function fairness() {
  for (const atOnce of CONCURRENCIES) {
    const runs = await repeated(() => measured(atOnce));
    const of = (name) => runs.map((run) => run[name]);
    const over = (name, other) => runs.map((run) => run[name] / run[other]);
    const name = `healthy tenants' p99, ${atOnce} consumer${atOnce > 1 ? "s" : ""}`;
    const noise = over("calm", "before").map((ratio) => ratio.toFixed(2));
    figure(`${name}, nothing hangs`, of("calm"), "ms", RUNNER, { beside: `noise ${noise.join(", ")} ×` });
    figure(`${name}, another's endpoints begin to hang`, over("onset", "calm"), "×", BROKER, { limit: AIM });
    figure(`${name}, another's endpoints hang`, over("settled", "calm"), "×", BROKER, { limit: AIM });
  }
}

function measured(atOnce) {
  return withReceiver((receiver) =>
    withPostern(
      async (postern) => {
        const healthy = [];
        for (let n = 0; n < HEALTHY; n++) {
          const tenant = await tenantOf(postern, `healthy ${n}`);
          await tenant.api("/endpoint", { url: `${receiver.url}healthy/${n}` });
          healthy.push(tenant);
        }
        const other = await tenantOf(postern, "the other");
        for (let n = 0; n < ENDPOINTS_OF_THE_OTHER; n++) {
          const half = n < ENDPOINTS_OF_THE_OTHER / 2;
          const [path, only] = half ? ["hangs", { eventTypes: ["to.all"] }] : ["answers", {}];
          await other.api("/endpoint", { url: `${receiver.url}${path}/${n}`, ...only });
        }

        let published = 0;
        const phase = async (ms, eventType) => {
          const theirs = paced(RATE_OF_THE_OTHER, ms, () => other.publish(published++, { eventType }));
          const times = await paced(HEALTHY_RATE, ms, (n) => {
            const { publish } = healthy[n % HEALTHY];
            return receiver.roundTrip(publish, published++, 30_000);
          });
          await theirs;
          return quantile(times, 0.99);
        };
        await phase(3000, "to.all"); // all have shown that they answer
        const before = await phase(PHASE_MS, "to.half");
        const calm = await phase(PHASE_MS, "to.half");
        receiver.hang();
        const onset = await phase(DEADLINE_SECONDS * 1000, "to.all");
        await phase(2000, "to.all"); // the first deadlines are reported
        const settled = await phase(PHASE_MS, "to.all");
        return { before, calm, onset, settled };
      },
      { beside: consumersAtOnce(atOnce), vars: { DELIVERY_TIMEOUT_SECONDS: String(DEADLINE_SECONDS) } },
    ),
  );
}

import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { figure } from "./figures.mjs";
import { CLIENTS, options } from "./options.mjs";
import { PRICES } from "./prices.mjs";
import { withReceiver } from "./receiver.mjs";
import { withTenant } from "./workers.mjs";

const COUNTED = "counted in the object";

/** The ledger's budget for a message that is delivered with one key. tests/e2e/budget.test.mjs holds it. */
const LIMITS = {
  loaded: { rows: 3.2, requests: 1.2, queueMessages: 0.5 },
  lone: { rows: 5, requests: 4, queueMessages: 1 },
};

/** Counts do not depend on how long a lease is, and its end has to be waited for: the alarm behind it costs, too. */
const LEASE_SECONDS = options.quick ? 16 : 30;
const LEASE_OVER_MS = LEASE_SECONDS * 1000 + 2000;

/** Rows, requests and queue messages of a message, counted by the object, beside the budget; what they cost at list price. */
export async function cost() {
  const loaded = await profile(options.quick ? 600 : 2000, async ({ publish, count }) => {
    let next = 0;
    const client = async () => {
      while (next < count) await publish(next++);
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  });
  const lone = await profile(options.quick ? 1 : 2, async ({ publish, receiver, count, counted }) => {
    for (let n = 0; n < count; n++) {
      await receiver.roundTrip(publish, n);
      await awake(counted); // its lease ends before the next one comes
    }
  });
  tell("loaded", loaded, LIMITS.loaded);
  tell("a lone message", lone, LIMITS.lone);
}

function profile(count, work) {
  const vars = { LEASE_SECONDS: String(LEASE_SECONDS), ...(options.quick && { DELIVERY_TIMEOUT_SECONDS: "1" }) };
  return withReceiver((receiver) =>
    withTenant(
      async ({ postern, publish, counted }) => {
        await receiver.roundTrip(publish, -1); // the endpoint is proven from here on
        await delay(500);
        const before = await counted();
        await work({ publish, receiver, count, counted });
        if (!(await receiver.reached(count + 1, 60_000))) throw new Error("not all arrived");
        await awake(counted);
        const after = await counted();
        const per = Object.fromEntries(Object.keys(after).map((name) => [name, (after[name] - before[name]) / count]));
        // On a machine that is too slow for this load, what waited too long is handed out again, and written.
        const late = postern.logs.some(({ message }) => message.includes("leases_lost"));
        return { ...per, beside: late ? "leases were lost: measure again" : undefined };
      },
      { endpoint: receiver.url, vars },
    ),
  );
}

/** Waits for the leases to end without letting the object fall asleep, which would begin its counts anew. */
async function awake(counted) {
  for (const end = performance.now() + LEASE_OVER_MS; performance.now() < end; await delay(2000)) await counted();
}

function tell(what, { beside, ...per }, limits) {
  const requests = per.requests + per.alarms;
  figure(`rows written per message, ${what}`, per.rows, "", COUNTED, { limit: limits.rows, beside });
  figure(`object requests per message, ${what} (alarms included)`, requests, "", COUNTED, { limit: limits.requests });
  figure(`queue messages per message, ${what}`, per.queueMessages, "", COUNTED, { limit: limits.queueMessages });
  const dollars =
    PRICES.workerRequest * (1 + per.queueMessages / 5) +
    PRICES.objectRequest * requests +
    PRICES.row * per.rows +
    PRICES.queueOperation * 3 * per.queueMessages +
    PRICES.cpuMillisecond * 5;
  figure(`dollars per million messages, ${what}`, dollars, "$", "list price of 2026-11, 5 ms of CPU assumed");
}

import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { figure } from "./figures.mjs";
import { once } from "./load.mjs";
import { RUNNER, RUN_MS, median, repeated } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { withBare, withTenant } from "./workers.mjs";

/** Deliveries that are published and have not arrived: enough that nobody waits for work, few enough to drain soon. */
const AHEAD = 256;

const KEYS = 10;

/** Deliveries a second: to 1, 10 and 100 endpoints of one tenant, in one order, and in one order per key. */
export async function fanout() {
  const bare = await repeated(() =>
    withReceiver((receiver) =>
      withBare(({ url }) => arrivals(receiver, 1, () => once({ url: `${url}/deliver`, headers: {} })), receiver.url),
    ),
  );
  figure(`arrivals, bare Worker in Rust (${AHEAD} on their way)`, bare, "deliveries/s", RUNNER);
  const ofBare = median(bare);
  for (const count of [1, 10, 100]) {
    const runs = await repeated(() => delivered(count));
    figure(`delivered to ${count} endpoint${count > 1 ? "s" : ""} of a tenant`, runs, "deliveries/s", RUNNER, { ofBare });
  }
  const ordered = await repeated(() => delivered(1, { key: null, onFailure: "skip" }));
  figure("delivered to one endpoint in order", ordered, "deliveries/s", RUNNER, { ofBare });
  const keyed = await repeated(() => delivered(1, { key: "/key", onFailure: "skip" }));
  figure(`delivered to one endpoint in order per key (${KEYS} keys)`, keyed, "deliveries/s", RUNNER, { ofBare });
}

function delivered(endpoints, ordering) {
  return withReceiver((receiver) =>
    withTenant(async ({ api, publish }) => {
      for (let n = 0; n < endpoints; n++) {
        await api("/endpoint", { url: `${receiver.url}${n}`, ...(ordering && { ordering }) });
      }
      const overtaken = ordering && watchOrder(receiver, ordering.key);
      const rate = await arrivals(receiver, endpoints, (n) => publish(n, { key: n % KEYS }));
      if (overtaken?.()) throw new Error(`${overtaken()} deliveries came after one that was accepted later`);
      return rate;
    }),
  );
}

/** A rate of an order that was not kept would be none. Ids grow in the order of acceptance. */
function watchOrder(receiver, byKey) {
  const last = new Map();
  let overtaken = 0;
  receiver.watch((request, n) => {
    const line = byKey ? n % KEYS : 0;
    const id = request.headers["webhook-id"];
    if (id < (last.get(line) ?? "")) overtaken++;
    else last.set(line, id);
  });
  return () => overtaken;
}

/**
 * Arrivals a second while at most AHEAD deliveries are on their way. What comes until the endpoints have shown that they
 * answer is not counted; `begin` is called behind it.
 */
export async function arrivals(receiver, each, publish, begin = () => {}) {
  let published = 0;
  const clients = each === 1 ? 8 : 2;
  const room = () => published * each - receiver.count() < AHEAD;
  const publishFor = async (ms) => {
    const end = performance.now() + ms;
    const client = async () => {
      while (performance.now() < end) {
        if (room()) await publish(published++);
        else await delay(1);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
  };
  await publish(published++);
  if (!(await receiver.reached(each, 20_000))) throw new Error(`only ${receiver.count()} of ${each} endpoints got a message`);
  await publishFor(1500);
  await begin();
  const [from, began] = [receiver.count(), performance.now()];
  await publishFor(RUN_MS);
  const rate = ((receiver.count() - from) * 1000) / (performance.now() - began);
  if (!(await receiver.reached(published * each, 20_000))) {
    throw new Error(`${published * each - receiver.count()} of ${published * each} deliveries did not arrive`);
  }
  return rate;
}

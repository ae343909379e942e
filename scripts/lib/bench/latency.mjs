import { setTimeout as delay } from "node:timers/promises";
import { figure } from "./figures.mjs";
import { paced } from "./load.mjs";
import { RUNNER, options, quantile } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { withTenant } from "./workers.mjs";

/** From the publish to the arrival at the endpoint. */
export async function latency() {
  const lone = await measured(async (receiver, publish) => {
    const times = [];
    for (let n = 0; n < (options.quick ? 10 : 40); n++) {
      times.push(await receiver.roundTrip(publish, n));
      await delay(50);
    }
    return times.slice(3); // the first ones meet an endpoint that is not proven yet
  });
  const steady = await measured(async (receiver, publish) => {
    const times = await paced(100, options.quick ? 2000 : 10_000, (n) => receiver.roundTrip(publish, n));
    return times.slice(50);
  });
  for (const [what, times] of [["a lone message", lone], ["100 messages/s", steady]]) {
    figure(`accept to arrival, ${what}, p50`, quantile(times, 0.5), "ms", RUNNER);
    figure(`accept to arrival, ${what}, p99`, quantile(times, 0.99), "ms", RUNNER);
  }
}

function measured(work) {
  return withReceiver((receiver) =>
    withTenant(({ publish }) => work(receiver, publish), { endpoint: receiver.url }),
  );
}

import { performance } from "node:perf_hooks";
import { figure } from "./figures.mjs";
import { once, paced } from "./load.mjs";
import { RUNNER, RUN_MS } from "./options.mjs";
import { withReceiver } from "./receiver.mjs";
import { withBare, withTenant } from "./workers.mjs";

/** The highest offered rate at which the backlog does not grow: what was published in a step has arrived soon after. */
export async function deliver() {
  const bare = await withReceiver((receiver) =>
    withBare(({ url }) => {
      const publish = () => once({ url: `${url}/deliver`, headers: {} });
      return highest(receiver, publish);
    }, receiver.url),
  );
  const own = await withReceiver((receiver) =>
    withTenant(({ publish }) => highest(receiver, publish), { endpoint: receiver.url }),
  );
  figure("delivered, bare Worker in Rust (one INSERT, one fetch)", bare, "messages/s", RUNNER);
  figure("delivered", own, "messages/s", `${RUNNER}; its queue runs one batch at a time`, { ofBare: bare });
}

async function highest(receiver, publish) {
  let best = 0;
  let published = 0; // no number comes twice: its Idempotency-Key would be answered without a message
  for (let offered = 50; offered <= 2000; offered = Math.round(offered * 1.25)) {
    const before = receiver.count();
    const began = performance.now();
    const all = await paced(offered, RUN_MS, () => publish(published++));
    const accepted = performance.now() - began <= RUN_MS * 1.2;
    if (!accepted || !(await receiver.reached(before + all.length, 1000))) break;
    best = offered;
  }
  return best;
}

// Several invocations of the consumer at once. Miniflare's broker runs one batch at a time of each queue and has no setting
// for more, so that a broker of the bench's own stands between the queues and the consumer, at one at a time, too.

import { join } from "node:path";
import { root } from "../../../tests/e2e/harness.mjs";

export const BROKER = "a broker of the bench's own calls the consumer, that many batches of each queue at once";

/** For `start`: Postern with so many invocations of its consumer at once for each queue of deliveries. */
export function consumersAtOnce(count) {
  const isOwn = ([queue]) => queue.includes("deliveries");
  return (postern) => {
    const consumers = Object.entries(postern.queueConsumers);
    const sizes = consumers.filter(isOwn).map(([queue, { maxBatchSize }]) => [queue, maxBatchSize]);
    const broker = {
      name: "broker",
      modulesRoot: root,
      modules: [{ type: "ESModule", path: join(root, "scripts/lib/bench/broker/index.js") }],
      compatibilityDate: postern.compatibilityDate,
      compatibilityFlags: ["experimental", "service_binding_extra_handlers"],
      bindings: { AT_ONCE: count, BATCH_SIZES: Object.fromEntries(sizes) },
      serviceBindings: { POSTERN: postern.name },
      durableObjects: { BROKER: { className: "Broker", unsafePreventEviction: true } },
      queueConsumers: Object.fromEntries(sizes.map(([queue]) => [queue, { maxBatchSize: 100, maxBatchTimeout: 0 }])),
    };
    const others = Object.fromEntries(consumers.filter((consumer) => !isOwn(consumer)));
    // Before a Worker with assets stands one of Miniflare's, which knows nothing of batches.
    return [{ ...postern, assets: undefined, queueConsumers: others }, broker];
  };
}

// An endpoint that knows when each message came, by the number `n` in its body; the end of one that never answers, too.

import { createServer } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

export async function withReceiver(work) {
  const waiting = new Map();
  let count = 0;
  let hanging = false;
  let watch = () => {};
  const server = createServer((incoming, response) => {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => {
      if (hanging && incoming.url.startsWith("/hangs")) return;
      response.end();
      count++;
      const n = Buffer.concat(chunks).toString().match(/"n":(-?\d+)/)?.[1];
      waiting.get(n)?.(performance.now());
      watch(incoming, n);
    });
  });
  server.keepAliveTimeout = 60_000; // a connection closed in the wrong moment would look like a failure of the sender
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const receiver = {
    url: `http://127.0.0.1:${server.address().port}/`,
    count: () => count,
    /** From here on requests to `/hangs…` are taken and never answered, nor counted. */
    hang: () => void (hanging = true),
    /** Calls `seen(request, n)` for each that comes. */
    watch: (seen) => void (watch = seen),
    /** From the publish to the arrival, in ms. Infinite when it did not come in that time. */
    async roundTrip(publish, n, patience) {
      const arrived = new Promise((done) => waiting.set(String(n), done));
      const began = performance.now();
      await publish(n);
      const late = patience && delay(patience, Infinity, { ref: false });
      const at = await Promise.race([arrived, ...(late ? [late] : [])]);
      waiting.delete(String(n));
      return at - began;
    },
    async reached(wanted, wait) {
      for (const end = performance.now() + wait; count < wanted && performance.now() < end; ) await delay(20);
      return count >= wanted;
    },
  };
  try {
    return await work(receiver);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

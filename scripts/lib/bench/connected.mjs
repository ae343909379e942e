// Connections for the bench: API keys, which nobody has to connect and nothing refreshes, of a provider on this machine.

import { once as event } from "node:events";
import { createServer } from "node:http";
import { tenantOf, withPostern } from "./workers.mjs";

/** What the provider's API answers. */
export const ANSWER = JSON.stringify({ object: "thing", text: "x".repeat(1000) });

/** `work({ postern, tenant, provider, connections })` with so many connections; each is `{ id, url }`. */
export async function withConnections(count, work) {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/json", "content-length": ANSWER.length }).end(ANSWER);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await event(server, "listening");
  const provider = `http://127.0.0.1:${server.address().port}`;
  try {
    await withPostern(async (postern) => {
      const tenant = await tenantOf(postern);
      const app = await tenant.api("/oauth-app", {
        name: "Bench",
        provider: "api-key",
        providerConfig: { name: "Bench", api: { base: `${provider}/v1` } },
      });
      const connections = [];
      for (let n = 0; n < count; n++) {
        const { id } = await tenant.api("/connection/key", { oauthAppId: app.id, key: `key-of-the-bench-${n}` });
        connections.push({ id, url: `${tenant.url}/connection/${id}` });
      }
      await work({ postern, tenant, provider, connections });
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

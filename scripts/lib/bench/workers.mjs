// The Workers that are measured: Postern with a tenant, and the bare one.

import { join } from "node:path";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { root, start } from "../../../tests/e2e/harness.mjs";
import { once } from "./load.mjs";

/** The secret of a tenant's source. */
export const KEY = "a key of the bench, long enough";

export async function withPostern(work, options = {}) {
  const postern = await start({ ...options, vars: { TEST_HOOKS: "1", ...options.vars } });
  try {
    return await work(postern);
  } finally {
    await postern.stop();
  }
}

/**
 * A tenant of it: `api(path, body)` posts there, `publish(n)` one message with that number, which comes once however often
 * it is published.
 */
export async function tenantOf(postern, name = "Bench") {
  const headers = { authorization: `Bearer ${postern.token()}`, "content-type": "application/json" };
  const call = async (path, body) =>
    JSON.parse(await once({ url: `${postern.url}/api/v1${path}`, headers, body: JSON.stringify(body) }));
  const { id: app } = await call("/app", { name });
  return {
    postern,
    app,
    headers,
    url: `${postern.url}/api/v1/app/${app}`,
    api: (path, body) => call(`/app/${app}${path}`, body),
    publish: (n, { eventType = "bench", ...payload } = {}) =>
      once({
        url: `${postern.url}/api/v1/app/${app}/msg?with_content=false`,
        headers: { ...headers, "idempotency-key": `bench ${n}` },
        body: JSON.stringify({ eventType, payload: { n, ...payload, text: "x".repeat(1000) } }),
      }),
    /** What the object was billed for since it woke. */
    async counted() {
      const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
      return (await namespace.get(namespace.idFromName(app)).fetch("https://tenant/test/counted")).json();
    },
  };
}

export function withTenant(work, { endpoint, ...options } = {}) {
  return withPostern(async (postern) => {
    const tenant = await tenantOf(postern);
    if (endpoint) await tenant.api("/endpoint", { url: endpoint });
    return work(tenant);
  }, options);
}

export async function withBare(work, target = "http://127.0.0.1:9/") {
  const dir = join(root, ".postern/bench-bare");
  const mf = new Miniflare(
    convertV4MiniflareOptions({
      name: "bare",
      host: "127.0.0.1",
      port: 0,
      compatibilityDate: "2026-08-01",
      cf: false,
      logRequests: false,
      modulesRoot: dir,
      modules: [
        { type: "ESModule", path: join(dir, "index.js") },
        { type: "CompiledWasm", path: join(dir, "index_bg.wasm") },
      ],
      bindings: { TARGET: target },
      durableObjects: { ROWS: { className: "Rows", useSQLite: true } },
    }),
  );
  try {
    return await work({ url: (await mf.ready).origin });
  } finally {
    await mf.dispose();
  }
}

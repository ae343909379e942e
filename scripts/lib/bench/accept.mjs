import { createHmac } from "node:crypto";
import { figure } from "./figures.mjs";
import { BODY, rate } from "./load.mjs";
import { RUNNER, median, repeated } from "./options.mjs";
import { KEY, withBare, withTenant } from "./workers.mjs";

/** Accepted messages a second, no endpoint wants them: through the API, through /in/, and the bare Worker. */
export async function accept() {
  const bare = await repeated(() => withBare(({ url }) => rate(() => ({ url: `${url}/`, headers: {} }))));
  const api = await repeated(() =>
    withTenant(({ url, headers }) => {
      const body = `{"eventType":"bench","payload":${BODY}}`;
      return rate(() => ({ url: `${url}/msg?with_content=false`, headers, body }));
    }),
  );
  const inbound = await repeated(() =>
    withTenant(async ({ api }) => {
      const config = { header: "x-sig" };
      const source = await api("/source", { name: "B", provider: "hmac", config, secrets: [KEY] });
      const signature = createHmac("sha256", KEY).update(BODY).digest("hex");
      return rate(() => ({ url: source.url, headers: { "x-sig": signature, "content-type": "application/json" } }));
    }),
  );
  const ofBare = median(bare);
  figure("accepted, bare Worker in Rust (one INSERT)", bare, "messages/s", RUNNER);
  figure("accepted through the API", api, "messages/s", RUNNER, { ofBare });
  figure("accepted through /in/ (HMAC verified)", inbound, "messages/s", RUNNER, { ofBare });
}

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
  // The same body through a source that verifies nothing, and through one of Stripe's.
  const unverified = await repeated(() => through("unverified", { iUnderstand: WORDS }, undefined, () => ({})));
  const stripe = await repeated(() =>
    through("stripe", {}, [STRIPE], () => {
      const time = Math.floor(Date.now() / 1000);
      const signature = createHmac("sha256", STRIPE).update(`${time}.${BODY}`).digest("hex");
      return { "stripe-signature": `t=${time},v1=${signature}` };
    }),
  );
  const ofBare = median(bare);
  figure("accepted, bare Worker in Rust (one INSERT)", bare, "messages/s", RUNNER);
  figure("accepted through the API", api, "messages/s", RUNNER, { ofBare });
  figure("accepted through /in/ (HMAC verified)", inbound, "messages/s", RUNNER, { ofBare });
  figure("accepted through /in/ (nothing verified)", unverified, "messages/s", RUNNER, { ofBare });
  figure("accepted through /in/ (Stripe verified)", stripe, "messages/s", RUNNER, { ofBare });
}

const STRIPE = "whsec_the_secret_of_the_bench_long_enough";
const WORDS = "anybody who knows the address can post";

/** What a source of this preset takes a second. Signing costs the load as much as it must: once a second. */
function through(provider, config, secrets, headersNow) {
  return withTenant(async ({ api }) => {
    const source = await api("/source", { name: "B", provider, config, ...(secrets && { secrets }) });
    let signed = { at: 0, headers: {} };
    return rate(() => {
      if (Date.now() - signed.at > 1000) signed = { at: Date.now(), headers: headersNow() };
      return { url: source.url, headers: { ...signed.headers, "content-type": "application/json" } };
    });
  });
}

// Shopify: sign-in of a shop.
//
// - Every shop is its own host, `{shop}.myshopify.com` [shopify.dev, "Implement authorization code grant manually"].
// - The callback is signed: `hmac` is the hex HMAC-SHA256, with the app's secret, of its other parameters, sorted and joined
//   [same page, "Verify the installation request"].
// - With `expiring=1` a token lives for an hour and comes with a refresh token for 90 days [shopify.dev, "About offline
//   access tokens"].
// - Tokens go into `X-Shopify-Access-Token`, and no Bearer counts [shopify.dev, "Authentication and authorization"].

import { createHmac } from "node:crypto";

import { Codes, back, json, page, random, startStandIn } from "./server.mjs";

export async function startShopify({ shop = "some-shop", client = { id: "shopify-client", secret: "hush" } } = {}) {
  const codes = new Codes();
  const tokens = new Set();
  const refreshes = new Set();
  const host = `${shop}.myshopify.com`;
  const TOKEN = `POST ${host}/admin/oauth/access_token`;

  const issue = () => {
    const [token, refresh] = [random("shpat_"), random("shprt_")];
    tokens.add(token);
    refreshes.add(refresh);
    return json(200, { access_token: token, scope: "read_products", expires_in: 3600, refresh_token: refresh, refresh_token_expires_in: 7_776_000 });
  };
  const sign = (url, secret = client.secret) => {
    const signed = new URL(url);
    signed.searchParams.delete("hmac");
    const said = [...signed.searchParams].sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, value]) => `${name}=${value}`);
    signed.searchParams.set("hmac", createHmac("sha256", secret).update(said.join("&")).digest("hex"));
    return signed.href;
  };

  const standIn = await startStandIn({
    [`GET ${host}/admin/oauth/authorize`]: ({ query }) => {
      const timestamp = String(Math.floor(Date.now() / 1000));
      return page("Shopify", sign(back(query, { code: codes.issue(query), shop: host, host: Buffer.from(`${host}/admin`).toString("base64"), timestamp })), back(query, { error: "access_denied", shop: host }));
    },
    [TOKEN]: ({ form: asked = {} }) => {
      if (asked.client_id !== client.id || asked.client_secret !== client.secret) return json(401, { error: "invalid_client" });
      if (asked.grant_type === "refresh_token") return refreshes.has(asked.refresh_token) ? issue() : json(400, { error: "invalid_grant" });
      const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri ?? codes.codes.get(asked.code)?.query.redirect_uri });
      if (issued.error || asked.expiring !== "1") return json(400, { error: "invalid_request", error_description: "The authorization code was not found or was already used" });
      return issue();
    },
    [`POST ${host}/admin/api/2026-01/graphql.json`]: ({ headers }) =>
      tokens.has(headers["x-shopify-access-token"])
        ? json(200, { data: { shop: { id: "gid://shopify/Shop/1", name: "Some Shop", myshopifyDomain: host } } })
        : json(401, { errors: "[API] Invalid API key or access token (unrecognized login or wrong password)" }),
  });
  return { ...standIn, TOKEN, client, host, tokens, sign };
}

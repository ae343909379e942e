// QuickBooks: sign-in of a company.
//
// - The callback says which company it is, as `realmId`, and the token answer does not [Intuit Developer, "Set up OAuth 2.0",
//   step "Create your authorization request"].
// - The token endpoint takes Basic alone; the refresh token's life is `x_refresh_token_expires_in` [same page, "Exchange the
//   authorization code"].
// - Companies stand in the API's path, and errors are XML unless JSON is asked for [Intuit Developer, "CompanyInfo", "Basics
//   of the QuickBooks API"].

import { Codes, back, empty, json, page, random, startStandIn } from "./server.mjs";

const TOKEN = "POST oauth.platform.intuit.com/oauth2/v1/tokens/bearer";
const REVOKE = "POST developer.api.intuit.com/v2/oauth2/tokens/revoke";

export async function startQuickbooks({ client = { id: "intuit-client", secret: "intuit-secret" } } = {}) {
  const codes = new Codes();
  const tokens = new Map();
  const state = { realm: "4620816365221497060" };

  const issue = (realm) => {
    const [token, refresh] = [random("eyJ"), random("AB11")];
    tokens.set(token, { realm, refresh });
    return json(200, { token_type: "bearer", expires_in: 3600, refresh_token: refresh, x_refresh_token_expires_in: 8_726_400, access_token: token });
  };
  const isClient = (basic) => basic?.[0] === client.id && basic?.[1] === client.secret;

  const standIn = await startStandIn({
    "GET appcenter.intuit.com/connect/oauth2": ({ query }) => page("Intuit", back(query, { code: codes.issue(query, { realm: state.realm }), realmId: state.realm }), back(query, { error: "access_denied" })),
    [TOKEN]: ({ basic, form: asked = {} }) => {
      if (!isClient(basic)) return json(401, { error: "invalid_client" });
      if (asked.grant_type === "refresh_token") {
        const [old, held] = [...tokens].find(([, { refresh }]) => refresh === asked.refresh_token) ?? [];
        if (!held) return json(400, { error: "invalid_grant", error_description: "Incorrect or invalid refresh token" });
        tokens.delete(old);
        return issue(held.realm);
      }
      const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri });
      return issued.error ? json(400, { error: "invalid_grant" }) : issue(issued.realm);
    },
    [REVOKE]: ({ basic, json: asked }) => {
      if (!isClient(basic)) return json(401, { error: "invalid_client" });
      for (const [token, { refresh }] of tokens) if (refresh === asked?.token || token === asked?.token) tokens.delete(token);
      return empty(200);
    },
    "GET accounts.platform.intuit.com/v1/openid_connect/userinfo": ({ bearer }) => (tokens.has(bearer) ? json(200, { sub: "1182d6ec", email: "ann@example.com" }) : json(401, {})),
    "GET quickbooks.api.intuit.com/v3/company/*": ({ path, bearer, headers }) => {
      const realm = path.split("/")[3];
      if (headers.accept !== "application/json") return { status: 406, headers: { "content-type": "application/xml" }, body: "<IntuitResponse/>" };
      return tokens.get(bearer)?.realm === realm ? json(200, { CompanyInfo: { CompanyName: "Acme Ltd" } }) : json(401, { Fault: { type: "AUTHENTICATION" } });
    },
  });
  return { ...standIn, TOKEN, REVOKE, client, state, tokens };
}

// Microsoft's identity platform.
//
// - The issuer in an id token holds the tenant's GUID although `common` was asked; `tid` and `oid` are the account
//   [Microsoft Learn, "ID token claims reference"].
// - The reason of an error stands in `error_codes` as numbers, `error_description` begins with `AADSTS` and the number and is
//   not stable [Microsoft Learn, "Microsoft Entra authentication and authorization error codes"].
// - A refresh gives a new refresh token, and the old one still works [Microsoft Learn, "Refresh tokens"].
// - Scopes come back in another spelling than they were asked for: Graph's with its address before them, and those of
//   OpenID Connect (`openid`, `profile`, `email`, `offline_access`) need not come back at all [Microsoft Learn, "Microsoft identity platform and OAuth 2.0 authorization code flow",
//   successful response].
// - A single tenant's own authority is its GUID in the path in place of `common` [Microsoft Learn, "OpenID Connect on the
//   Microsoft identity platform", find your app's endpoints].
// - There is no way to revoke one grant.

import { createSign, generateKeyPairSync } from "node:crypto";

import { Codes, back, json, page, random, startStandIn } from "./server.mjs";

const TENANT = "9122040d-6c67-4c5b-b112-36a304b66dad";
const AUTHORITY = "login.microsoftonline.com/common";
const STANDARD = ["openid", "profile", "email", "offline_access"];

export async function startMicrosoft({ client = { id: "6731de76-14a6-49ae-97bc-6eba6914391e", secret: "microsoft-secret" }, issuerBase } = {}) {
  const codes = new Codes();
  const tokens = new Map();
  const refreshes = new Map();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = { oid: "00000000-0000-0000-66f3-3332eca7ea81", name: "Ann" };
  const state = {
    expiredSecret: false,
    /** An id token that names another tenant in `iss` than in `tid`. */
    otherTenantInIssuer: false,
  };
  const wrong = (status, error, number, text) => json(status, { error, error_description: `AADSTS${number}: ${text} Trace ID: 0000 Timestamp: 2026-01-01`, error_codes: [number], timestamp: "2026-01-01 00:00:00Z", trace_id: "0", correlation_id: "0" });
  let standIn;
  const issuer = () => `${issuerBase ?? standIn.at("https://login.microsoftonline.com")}/${state.otherTenantInIssuer ? "11111111-6c67-4c5b-b112-36a304b66dad" : TENANT}/v2.0`;
  const echoed = (scope) =>
    scope
      .split(" ")
      .filter((each) => !STANDARD.includes(each))
      .map((each) => `https://graph.microsoft.com/${each}`)
      .join(" ");
  const idToken = (nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { ver: "2.0", iss: issuer(), sub: "pairwise", aud: client.id, exp: now + 3600, iat: now, nbf: now, nonce, tid: TENANT, oid: account.oid, name: account.name, preferred_username: "ann@example.com" };
    return signed({ typ: "JWT", alg: "RS256", kid: "ms-1" }, claims, privateKey);
  };
  const issue = (scope, nonce) => {
    const access_token = random("EwB");
    const refresh_token = random("M.R3_BAY.");
    tokens.set(access_token, { scope });
    refreshes.set(refresh_token, { scope });
    return json(200, { token_type: "Bearer", scope: echoed(scope), expires_in: 3600, ext_expires_in: 3600, access_token, refresh_token, ...(scope.split(" ").includes("openid") && { id_token: idToken(nonce) }) });
  };
  const authorize = ({ query }) =>
    page("Microsoft", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied", error_description: "AADSTS65004: User declined to consent to access the app." }));
  const token = ({ form: asked = {}, basic }) => {
    const [id, secret] = basic ?? [asked.client_id, asked.client_secret];
    if (id !== client.id) return wrong(400, "unauthorized_client", 700016, `Application with identifier '${id}' was not found in the directory.`);
    if (state.expiredSecret) return wrong(401, "invalid_client", 7000222, "The provided client secret keys for app are expired.");
    if (secret !== client.secret) return wrong(401, "invalid_client", 7000215, "Invalid client secret provided.");
    if (asked.grant_type === "refresh_token") {
      const old = refreshes.get(asked.refresh_token);
      return old ? issue(old.scope) : wrong(400, "invalid_grant", 700082, "The refresh token has expired due to inactivity.");
    }
    const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier, clientId: client.id });
    if (issued.error) return wrong(400, "invalid_grant", issued.error === "used" ? 54005 : 9002313, "The provided authorization code is not valid.");
    return issue(issued.query.scope, issued.query.nonce);
  };
  const { kty, n, e } = privateKey.export({ format: "jwk" });
  const keys = () => json(200, { keys: [{ kty, n, e, kid: "ms-1", use: "sig", issuer: "https://login.microsoftonline.com/{tenantid}/v2.0" }] });
  const authority = (tenant) => ({
    [`GET login.microsoftonline.com/${tenant}/oauth2/v2.0/authorize`]: authorize,
    [`POST login.microsoftonline.com/${tenant}/oauth2/v2.0/token`]: token,
    [`GET login.microsoftonline.com/${tenant}/discovery/v2.0/keys`]: keys,
  });
  standIn = await startStandIn({
    ...authority("common"),
    ...authority(TENANT),
    "GET graph.microsoft.com/v1.0/me": ({ bearer }) =>
      tokens.has(bearer) ? json(200, { id: account.oid }) : json(401, { error: { code: "InvalidAuthenticationToken", message: "Access token has expired or is not yet valid." } }),
  });
  return { ...standIn, client, account, tenant: TENANT, tokens, refreshes, state, TOKEN: `POST ${AUTHORITY}/oauth2/v2.0/token` };
}

/** A JWT signed with RS256. */
export function signed(header, claims, key) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createSign("RSA-SHA256").update(text).sign(key).toString("base64url")}`;
}

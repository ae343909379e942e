// GitHub: OAuth apps and GitHub Apps.
//
// - Errors of the token endpoint come with 200 [GitHub Docs, "Troubleshooting OAuth app access token request errors"].
// - Without `Accept: application/json` the answer is a form [GitHub Docs, "Authorizing OAuth apps", step 2].
// - Scopes in the answer are separated by commas [same page]; a GitHub App's answer has an empty `scope`
//   [GitHub Docs, "Generating a user access token for a GitHub App"].
// - A GitHub App's token lives 8 hours, its refresh token 6 months; a refresh ends the old pair at once
//   [GitHub Docs, "Refreshing user access tokens"].
// - One token is ended by DELETE with Basic and JSON [GitHub Docs, REST, "Delete an app token"], the whole grant by
//   [GitHub Docs, REST, "Delete an app authorization"]; both answer 204.
// - Every request needs a `User-Agent` [GitHub Docs, REST, "Getting started", user agent required]: 403 without one.
// - `X-OAuth-Scopes` tells the scopes of a token [GitHub Docs, "Scopes for OAuth apps"].

import { Codes, back, empty, form, json, page, random, startStandIn } from "./server.mjs";

const TOKEN = "POST github.com/login/oauth/access_token";

export async function startGithub({ client = { id: "Iv1.github", secret: "github-secret" }, app = false } = {}) {
  const codes = new Codes();
  const tokens = new Map();
  const refreshes = new Map();
  const user = { id: 583231, login: "octocat" };
  const issue = (scope) => {
    const token = random(app ? "ghu_" : "gho_");
    tokens.set(token, { scope });
    if (!app) return { access_token: token, token_type: "bearer", scope };
    const refresh = random("ghr_");
    refreshes.set(refresh, { token, scope });
    return { access_token: token, expires_in: 28800, refresh_token: refresh, refresh_token_expires_in: 15811200, token_type: "bearer", scope: "" };
  };
  const wrong = (error, description) => ({ error, error_description: description, error_uri: "https://docs.github.com/" });
  const token = (came) => {
    const asked = came.form ?? came.json ?? {};
    const answer = (body) => ((came.headers.accept ?? "").includes("application/json") ? json(200, body) : form(200, body));
    if (asked.client_id !== client.id || asked.client_secret !== client.secret) {
      return answer(wrong("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."));
    }
    if (asked.grant_type === "refresh_token") {
      const old = refreshes.get(asked.refresh_token);
      if (!old) return answer(wrong("bad_refresh_token", "The refresh token passed is incorrect or expired."));
      refreshes.delete(asked.refresh_token);
      tokens.delete(old.token);
      return answer(issue(old.scope));
    }
    const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier, clientId: client.id });
    if (issued.error === "redirect") return answer(wrong("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application."));
    if (issued.error) return answer(wrong("bad_verification_code", "The code passed is incorrect or expired."));
    return answer(issue((issued.query.scope ?? "").split(" ").filter(Boolean).join(",")));
  };
  const ended = ({ basic, json: body }) => {
    if (basic?.[0] !== client.id || basic?.[1] !== client.secret) return json(401, { message: "Bad credentials" });
    if (!tokens.delete(body?.access_token)) return json(404, { message: "Not Found" });
    return empty(204);
  };
  const standIn = await startStandIn({
    "GET github.com/login/oauth/authorize": ({ query }) =>
      page("Authorize", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied", error_description: "The user has denied your application access." })),
    [TOKEN]: token,
    "GET api.github.com/user": ({ bearer, headers }) => {
      const known = tokens.get(bearer);
      if (!headers["user-agent"]) return json(403, { message: "Request forbidden by administrative rules. Please make sure your request has a User-Agent header" });
      if (!known) return json(401, { message: "Bad credentials", documentation_url: "https://docs.github.com/rest", status: "401" });
      return json(200, user, { "x-oauth-scopes": known.scope.replaceAll(",", ", "), "x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4999" });
    },
    [`DELETE api.github.com/applications/${client.id}/token`]: ended,
    [`DELETE api.github.com/applications/${client.id}/grant`]: ended,
  });
  return { ...standIn, client, user, tokens, refreshes, TOKEN };
}

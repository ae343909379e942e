// Slack.
//
// - The API answers 200 with `ok: false` [Slack API docs, "Web API: evaluating responses"].
// - Scopes are separated by commas; user scopes are asked for by `user_scope`, and the user's token stands in `authed_user`
//   [Slack API docs, "oauth.v2.access"].
// - With token rotation on, tokens live 12 hours and a refresh token is revoked when used; without it there is no
//   `expires_in` [Slack API docs, "Using token rotation"]. A used one answers `invalid_refresh_token`.
// - Too fast is 429 with `Retry-After` [Slack API docs, "Rate limits"].

import { Codes, back, json, page, random, startStandIn } from "./server.mjs";

const TOKEN = "POST slack.com/api/oauth.v2.access";

export async function startSlack({ client = { id: "11.22", secret: "slack-secret" }, rotation = true } = {}) {
  const codes = new Codes();
  const tokens = new Map();
  const refreshes = new Map();
  const team = { id: "T9TK3CUKW", name: "Slack Softball Team" };
  const wrong = (error) => json(200, { ok: false, error });
  const issue = (scope) => {
    const token = random("xoxe.xoxb-1-");
    tokens.set(token, { scope });
    const answer = { ok: true, access_token: token, token_type: "bot", scope, bot_user_id: "U0KRQLJ9H", app_id: "A0KRD7HC3", team, enterprise: null, is_enterprise_install: false, authed_user: { id: "U1234" } };
    if (!rotation) return json(200, answer);
    const refresh = random("xoxe-1-");
    refreshes.set(refresh, { token, scope });
    return json(200, { ...answer, refresh_token: refresh, expires_in: 43200 });
  };
  const standIn = await startStandIn({
    "GET slack.com/oauth/v2/authorize": ({ query }) => page("Slack", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied" })),
    [TOKEN]: ({ form: asked = {}, basic }) => {
      const [id, secret] = basic ?? [asked.client_id, asked.client_secret];
      if (id !== client.id) return wrong("invalid_client_id");
      if (secret !== client.secret) return wrong("bad_client_secret");
      if (asked.grant_type === "refresh_token") {
        const old = refreshes.get(asked.refresh_token);
        if (!old) return wrong("invalid_refresh_token");
        refreshes.delete(asked.refresh_token);
        return issue(old.scope);
      }
      const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier });
      if (issued.error === "redirect") return wrong("bad_redirect_uri");
      if (issued.error) return wrong("invalid_code");
      return issue(issued.query.scope ?? "");
    },
    "POST slack.com/api/auth.test": ({ bearer }) =>
      tokens.has(bearer)
        ? json(200, { ok: true, url: "https://softball.slack.com/", team: team.name, user: "bot", team_id: team.id, user_id: "U0KRQLJ9H", bot_id: "B1", is_enterprise_install: false })
        : wrong(bearer ? "invalid_auth" : "not_authed"),
    "POST slack.com/api/auth.revoke": ({ bearer }) => (tokens.delete(bearer) ? json(200, { ok: true, revoked: true }) : wrong("invalid_auth")),
  });
  return { ...standIn, client, team, tokens, refreshes, TOKEN };
}

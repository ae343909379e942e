// Slack.
//
// - The API answers 200 with `ok: false` [Slack API docs, "Web API: evaluating responses"].
// - Scopes are separated by commas; user scopes are asked for by `user_scope`, and the user's token stands in `authed_user`
//   [Slack API docs, "oauth.v2.access"]. Asked for user scopes alone, the root has no token.
// - `token_type` is `bot` or `user`, never `bearer` [same page].
// - A refresh of a user's token is answered at the root, with `token_type: "user"` [slackapi/python-slack-sdk,
//   slack_sdk/oauth/token_rotation/rotator.py].
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
  /** A token of the bot's or of a person's, with its refresh token if tokens rotate. */
  const fresh = (kind, scope) => {
    const access_token = random(`${rotation ? "xoxe." : ""}${kind === "bot" ? "xoxb" : "xoxp"}-1-`);
    tokens.set(access_token, { kind, scope });
    const answer = { access_token, token_type: kind, scope };
    if (!rotation) return answer;
    const refresh_token = random("xoxe-1-");
    refreshes.set(refresh_token, { kind, scope });
    return { ...answer, refresh_token, expires_in: 43200 };
  };
  const about = { app_id: "A0KRD7HC3", team, enterprise: null, is_enterprise_install: false };
  const issue = ({ scope, user_scope }) =>
    json(200, {
      ok: true,
      ...(scope && { ...fresh("bot", scope), bot_user_id: "U0KRQLJ9H" }),
      ...about,
      authed_user: { id: "U1234", ...(user_scope && fresh("user", user_scope)) },
    });
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
        return json(200, { ok: true, ...fresh(old.kind, old.scope), ...about });
      }
      const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri, verifier: asked.code_verifier });
      if (issued.error === "redirect") return wrong("bad_redirect_uri");
      if (issued.error) return wrong("invalid_code");
      return issue(issued.query);
    },
    "POST slack.com/api/auth.test": ({ bearer }) => {
      const held = tokens.get(bearer);
      if (!held) return wrong(bearer ? "invalid_auth" : "not_authed");
      const who = held.kind === "bot" ? { user: "bot", user_id: "U0KRQLJ9H", bot_id: "B1" } : { user: "ann", user_id: "U1234" };
      return json(200, { ok: true, url: "https://softball.slack.com/", team: team.name, team_id: team.id, ...who, is_enterprise_install: false });
    },
    "POST slack.com/api/auth.revoke": ({ bearer }) => (tokens.delete(bearer) ? json(200, { ok: true, revoked: true }) : wrong("invalid_auth")),
  });
  return { ...standIn, client, team, tokens, refreshes, TOKEN };
}

// Notion.
//
// - The token endpoint takes Basic and JSON, nothing else [Notion API docs, "Authorization", step 3].
// - Errors are `{object: "error", status, code, message}` in the API [Notion API docs, "Status codes"] and the standard's
//   `error` at the token endpoint [Notion API docs, "Authorization"].
// - A refresh gives a new pair; no `expires_in` is told [Notion API docs, "Refresh a token"].
// - Every call of the API needs `Notion-Version` [Notion API docs, "Versioning"].

import { Codes, back, json, page, random, startStandIn } from "./server.mjs";

const TOKEN = "POST api.notion.com/v1/oauth/token";

export async function startNotion({ client = { id: "463558a3-725e-4f37-b6d3-0889894f68de", secret: "secret_notion" } } = {}) {
  const codes = new Codes();
  const tokens = new Set();
  const refreshes = new Set();
  const wrong = (status, code, message) => json(status, { object: "error", status, code, message });
  const bot = "8ae92a0e-1c0e-4f2f-a46c-5d6a0a1e44ab";
  const issue = () => {
    const access_token = random("ntn_");
    const refresh_token = random("nrt_");
    tokens.add(access_token);
    refreshes.add(refresh_token);
    return json(200, { access_token, token_type: "bearer", refresh_token, bot_id: bot, workspace_icon: null, workspace_name: "Acme", workspace_id: "f6dbd8ab", owner: { type: "user" }, duplicated_template_id: null, request_id: random() });
  };
  const mayAsk = ({ basic, json: asked }) => basic?.[0] === client.id && basic?.[1] === client.secret && asked;
  const standIn = await startStandIn({
    "GET api.notion.com/v1/oauth/authorize": ({ query }) => page("Notion", back(query, { code: codes.issue(query) }), back(query, { error: "access_denied" })),
    [TOKEN]: (came) => {
      if (!mayAsk(came)) return json(401, { error: "invalid_client" });
      const asked = came.json;
      if (asked.grant_type === "refresh_token") return refreshes.delete(asked.refresh_token) ? issue() : json(400, { error: "invalid_grant" });
      const issued = codes.redeem(asked.code, { redirectUri: asked.redirect_uri });
      return issued.error ? json(400, { error: "invalid_grant", error_description: "Invalid code." }) : issue();
    },
    "POST api.notion.com/v1/oauth/revoke": (came) => {
      if (!mayAsk(came)) return json(401, { error: "invalid_client" });
      tokens.delete(came.json.token);
      return json(200, { request_id: random() });
    },
    "GET api.notion.com/v1/users/me": ({ bearer, headers }) => {
      if (!headers["notion-version"]) return wrong(400, "missing_version", "Notion-Version header failed validation: Notion-Version header should be defined, instead was `undefined`.");
      if (!tokens.has(bearer)) return wrong(401, "unauthorized", "API token is invalid.");
      return json(200, { object: "user", id: bot, type: "bot", name: "Acme's bot", bot: { owner: { type: "user" }, workspace_name: "Acme" } });
    },
  });
  return { ...standIn, client, bot, tokens, refreshes, TOKEN };
}

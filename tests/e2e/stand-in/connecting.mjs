// Connections to stand-ins, made as a product and its customer make them, without a browser.
//
//   const shop = await tenant(postern, "shop");
//   const app = await shop.oauthApp(google, "google", { scopes: [GMAIL] });
//   const { id, asked, page } = await shop.connect({ oauthAppId: app.id });

import assert from "node:assert/strict";

import { caller } from "../api.mjs";
import { consent } from "./server.mjs";

/** The entry of the catalogue as an app carries it whose provider is a stand-in. */
export async function settings(call, standIn, provider, more = {}) {
  const { entry } = await call.ok("GET", `/api/v1/connection-provider/${provider}`);
  const { id: _, kind: __, verified: ___, ...config } = standIn.relocated(entry);
  return laid(config, more);
}

/** A tenant, and what it does with connections. */
export async function tenant(postern, name = "tenant") {
  const call = caller(postern);
  const { id: app } = await call.ok("POST", "/api/v1/app", { name });
  const at = `/api/v1/app/${app}`;
  const of = (id, rest = "") => `${at}/connection/${id}${rest}`;
  const mine = {
    call,
    app,
    at,
    of,
    /** An app at a stand-in. `config` lies over the catalogue's entry, `more` over what the app says. */
    async oauthApp(standIn, provider, { config, ...more } = {}) {
      const providerConfig = await settings(call, standIn, provider, config);
      const client = { clientId: standIn.client?.id, clientSecret: standIn.client?.secret };
      return call.ok("POST", `${at}/oauth-app`, { name: `${provider} of ${name}`, provider, providerConfig, ...client, ...more });
    },
    /**
     * A session, followed to the provider: `asked` is what that was asked, `back` the callback that it leads to, which is
     * not followed yet, `id` the connection's.
     */
    async leave(session, { answer = "yes" } = {}) {
      const { url, connection } = await call.ok("POST", `${at}/connection/session`, session);
      const begin = await fetch(url);
      const first = await begin.text();
      const gone = await fetch(`${url}/go`, { redirect: "manual" });
      await gone.arrayBuffer();
      assert.equal(gone.status, 303, "the link leads to the provider");
      const authorize = new URL(gone.headers.get("location"));
      const cookie = gone.headers.getSetCookie()[0].split(";")[0];
      const back = await consent(authorize.href, { answer });
      return { id: connection.id, first, authorize, asked: Object.fromEntries(authorize.searchParams), back, cookie };
    },
    /** Follows a callback; answers the text of the page at the end. */
    async arrive(back, cookie) {
      const arrived = await fetch(back, { redirect: "manual", headers: { cookie } });
      await arrived.arrayBuffer();
      assert.equal(arrived.status, 303, "a callback answers with a way on");
      const location = new URL(arrived.headers.get("location"), back);
      return words(await (await fetch(location)).text());
    },
    /** A session, followed to the provider and back. `page` is the text of the result. */
    async connect(session, { answer, change = (back) => back } = {}) {
      const left = await mine.leave(session, { answer });
      return { ...left, page: await mine.arrive(change(left.back), left.cookie) };
    },
    get: (id) => call.ok("GET", of(id)),
    token: (id, body = {}) => call.ok("POST", of(id, "/token"), body),
    test: (id) => call.ok("POST", of(id, "/test")),
    disconnect: (id) => call.ok("DELETE", of(id)),
    history: async (id) => (await call.ok("GET", of(id, "/history"))).data,
  };
  return mine;
}

/** One object over another, member by member. */
function laid(under, over) {
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const both = (name) => isObject(under[name]) && isObject(over[name]);
  const members = Object.keys(over).map((name) => [name, both(name) ? laid(under[name], over[name]) : over[name]]);
  return { ...under, ...Object.fromEntries(members) };
}

/** A page's words, as a person reads them. */
function words(html) {
  const text = html.replace(/<style[^]*?<\/style>/g, " ").replace(/<[^>]+>/g, " ");
  const plain = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };
  return text.replace(/&(?:lt|gt|quot|#39|amp);/g, (entity) => plain[entity]).replace(/\s+/g, " ").trim();
}

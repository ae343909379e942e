// A person at a browser, without a browser: cookies of their own, one step at a time, so that a test can stand between any
// two of them.
//
//   const ann = person(postern);
//   const callback = await ann.leave(session.url);             // to the provider, and through its pages
//   const { location, page } = await ann.arrive(callback);     // back, and to the page at the end

import assert from "node:assert/strict";
import { consent } from "./oidc.mjs";

/**
 * @param {object} postern
 * @param {string} [base] what the deployment believes to be its address; its requests go to the test's server
 */
export function person(postern, base = postern.url) {
  const jar = new Map();
  const here = (url) => new URL(url.startsWith(base) ? url.slice(base.length) : url, postern.url).href;
  /** One request, with the cookies; no redirect is followed. */
  const get = async (url, { method = "GET", headers = {}, cookies = true, body } = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(here(url), { method, body, redirect: "manual", headers: { ...(cookies && cookie && { cookie }), ...headers } });
    const set = answer.headers.getSetCookie();
    for (const line of set) {
      const [, name, value, rest] = /^([^=]+)=([^;]*)(.*)$/.exec(line);
      if (/Max-Age=0(;|$)/.test(rest)) jar.delete(name);
      else jar.set(name, value);
    }
    return { status: answer.status, headers: answer.headers, set, location: answer.headers.get("location"), text: await answer.text() };
  };
  /** Follows a session's link; answers where it leads. */
  const go = async (link, options) => {
    const gone = await get(`${link}/go`, options);
    assert.equal(gone.status, 303, gone.text);
    return gone.location;
  };
  /** To the provider and through its pages; answers the callback's URL, which is not asked yet. */
  const leave = async (link, answers) => consent(await go(link), answers);
  /** Back from the provider, and to the page at the end if it is one of ours. */
  const arrive = async (callback) => {
    const { status, location, set } = await get(callback);
    assert.equal(status, 303, "a callback answers with a way on, and nothing else");
    const { text: page } = location.startsWith("/") ? await get(location) : { text: null };
    return { location, page, set };
  };
  return { jar, here, get, go, leave, arrive, connect: async (link, answers) => arrive(await leave(link, answers)) };
}

/** What stands on a page, as somebody reads it: its title first. */
export const words = (page) =>
  page
    .replace(/<head>.*<\/head>/s, "")
    .replace(/<[^>]+>/g, " ")
    .replace(/&lt;/g, "<")
    .replace(/&gt;/g, ">")
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, "&")
    .replace(/\s+/g, " ")
    .trim();

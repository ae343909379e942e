// Tokens of the kind that `svix-server jwt generate` makes: HS256, `sub` is the organisation, or the tenant with
// its organisation in `org`.

import { createHmac } from "node:crypto";

/** The organisation that development and the tests act for. Any id would do; one that stays lets state be kept. */
export const DEVELOPMENT_ORGANISATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";

/** Long enough for a day's work and a soak. */
export const DEFAULT_TTL_SECONDS = 30 * 24 * 60 * 60;

/**
 * @param {string} jwtSecret what the Worker has as JWT_SECRET: one secret, or a JSON list of `{kid, secret}`, whose
 *   first signs here
 */
export function issueToken(jwtSecret, { org = DEVELOPMENT_ORGANISATION, app, ttl = DEFAULT_TTL_SECONDS, now = Date.now() } = {}) {
  const { kid, secret } = jwtSecret.startsWith("[") ? JSON.parse(jwtSecret)[0] : { secret: jwtSecret };
  const iat = Math.floor(now / 1000);
  const claims = { iat, exp: iat + ttl, ...(app ? { sub: app, org } : { sub: org }) };
  const signed = [{ alg: "HS256", typ: "JWT", ...(kid && { kid }) }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

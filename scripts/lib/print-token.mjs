// scripts/token: a token under development's secret, alone on stdout.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { knownDevelopmentSecrets } from "./secrets.mjs";
import { DEFAULT_TTL_SECONDS, DEVELOPMENT_ORGANISATION, issueToken } from "./token.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

try {
  const { values } = parseArgs({
    options: {
      org: { type: "string", default: DEVELOPMENT_ORGANISATION },
      app: { type: "string" },
      ttl: { type: "string", default: String(DEFAULT_TTL_SECONDS) },
    },
  });
  if (!/^org_[0-9A-Za-z]{27}$/.test(values.org)) {
    throw new Error(`'${values.org}' is not an organisation's id: org_ and 27 letters and digits`);
  }
  if (values.app !== undefined && !/^app_[0-9A-Za-z]{27}$/.test(values.app)) {
    throw new Error(`'${values.app}' is not a tenant's id: app_ and 27 letters and digits`);
  }
  if (!/^[1-9]\d{0,9}$/.test(values.ttl)) {
    throw new Error(`'${values.ttl}' is not a number of seconds`);
  }
  const secret = knownDevelopmentSecrets(root)?.JWT_SECRET;
  if (!secret) {
    throw new Error("there is no .dev.vars with a JWT_SECRET yet: scripts/dev makes it");
  }
  console.log(issueToken(secret, { org: values.org, app: values.app, ttl: Number(values.ttl) }));
} catch (error) {
  console.error(`token: ${error.message}`);
  process.exitCode = 1;
}

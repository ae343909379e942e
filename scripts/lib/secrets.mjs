// The Worker's two secrets: fresh ones, and where development keeps its own.

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export function freshSecrets() {
  return {
    JWT_SECRET: randomBytes(32).toString("base64url"),
    MASTER_KEYS: `1:${randomBytes(32).toString("base64")}`,
  };
}

/** The secrets of `.dev.vars`. What is absent is made and added; what stands there is never touched. */
export function developmentSecrets(root) {
  const file = join(root, ".dev.vars");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const found = parse(text);
  const missing = Object.entries(freshSecrets()).filter(([name]) => !(name in found));
  if (missing.length > 0) {
    const begin = text === "" || text.endsWith("\n") ? text : `${text}\n`;
    writeFileSync(file, begin + missing.map(([name, value]) => `${name}="${value}"\n`).join(""), { mode: 0o600 });
  }
  return { ...found, ...Object.fromEntries(missing) };
}

/** The secrets of `.dev.vars` as they stand, or null. */
export function knownDevelopmentSecrets(root) {
  const file = join(root, ".dev.vars");
  return existsSync(file) ? parse(readFileSync(file, "utf8")) : null;
}

function parse(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const [, name, quoted] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name) {
      found[name] = quoted.replace(/^(["'`])(.*)\1$/, "$2");
    }
  }
  return found;
}

// What Postern's parser reads out of an address, workerd's own `URL` must read too: where the two differ, the rule would
// judge one host and the runtime would call another.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";
import { root } from "./harness.mjs";

/** Answers with what `new URL` makes of each string, or null where it throws. */
const READER = `export default {
  async fetch(request) {
    const read = (text) => { try { return new URL(text).href; } catch { return null; } };
    return Response.json((await request.json()).map(read));
  },
};`;

const rows = JSON.parse(readFileSync(join(root, "tests/fixtures/addresses.json"), "utf8"));
let mf;
before(async () => {
  mf = new Miniflare(
    convertV4MiniflareOptions({ modules: true, script: READER, compatibilityDate: "2026-08-01", host: "127.0.0.1", port: 0, cf: false }),
  );
  await mf.ready;
});
after(() => mf?.dispose());

/** What the runtime makes of each of these texts, in their order. */
async function read(texts) {
  const answer = await mf.dispatchFetch("http://reader/", { method: "POST", body: JSON.stringify(texts) });
  assert.equal(answer.status, 200);
  return answer.json();
}

/** All rows that the runtime reads in another way than the table says. */
async function differences(rows, text, wanted) {
  const hrefs = await read(rows.map(text));
  return rows
    .map((row, n) => ({ url: text(row), why: row.why, wanted: wanted(row), read: hrefs[n] }))
    .filter(({ wanted, read }) => wanted !== read);
}

test("the runtime reads each address of the table as the rule reads it", async () => {
  const known = rows.filter((row) => row.href !== null);
  assert.ok(known.length > 300, `${known.length} rows`);
  assert.deepEqual(await differences(known, (row) => row.url, (row) => row.href), []);
});

test("what the rule calls malformed is no URL for the runtime either", async () => {
  const malformed = rows.filter((row) => row.refusal === "malformed");
  assert.ok(malformed.length > 50, `${malformed.length} rows`);
  // The runtime decodes no Punycode and takes these as they stand. The rule decodes, finds nothing valid, and refuses: the
  // stricter reading, so nothing is called that was not judged. A difference of any other kind would be a hole.
  const undecoded = "Punycode that holds nothing valid";
  const found = await differences(malformed, (row) => row.url, () => null);
  assert.deepEqual(found.filter(({ why, url, read }) => why !== undecoded || read !== url), []);
});

test("what is sent is what the runtime sends, to the letter", async () => {
  const sent = rows.filter((row) => row.sent);
  assert.ok(sent.length > 50, `${sent.length} rows`);
  assert.deepEqual(await differences(sent, (row) => row.sent, (row) => row.sent), []);
});

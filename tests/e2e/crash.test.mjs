// A power cut in the middle: what was answered 200 is delivered, and nothing is in the ledger twice.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { caller, inspect } from "./api.mjs";
import { startKillable } from "./killable.mjs";
import { startReceiver } from "./receiver.mjs";

const WEBHOOKS = 2000;
const CLIENTS = 16;
// Leases as short as a deadline of two seconds allows, so that the test does not wait a minute for what was lost.
const vars = { TEST_HOOKS: "1", LEASE_SECONDS: "8", DELIVERY_TIMEOUT_SECONDS: "2" };
let persist, receiver, postern;

before(async () => {
  persist = mkdtempSync(join(tmpdir(), "postern-crash-"));
  receiver = await startReceiver();
  postern = await startKillable({ persist, vars });
});
after(async () => {
  await postern?.stop();
  await receiver?.stop();
  rmSync(persist, { recursive: true, force: true });
});

test(`kill -9 in the middle of ${WEBHOOKS} webhooks loses none that was answered and stores none twice`, async () => {
  let api = caller(postern);
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: "Crash" });
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: receiver.url });
  const { id: source } = await api.ok("POST", `/api/v1/app/${app}/source`, {
    name: "Shop",
    provider: "api_key",
    config: { header: "x-key", eventId: "/id" },
    secrets: ["a key that is long enough"],
  });
  const address = async () => (await api.ok("GET", `/api/v1/app/${app}/source/${source}`)).url;

  const answered = new Set();
  const post = async (url, n) => {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-key": "a key that is long enough" },
      body: JSON.stringify({ id: `evt_${n}`, n }),
    });
    assert.equal(answer.status, 200, await answer.text());
    answered.add(n);
  };
  /** Posts from `next` on with many clients; ends when all are posted, or when the server is gone. */
  const postAll = async (url, numbers, killAt) => {
    const queue = [...numbers];
    const client = async () => {
      for (let n = queue.shift(); n !== undefined; n = queue.shift()) {
        try {
          await post(url, n);
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          return; // the server died under this request: it was not answered
        }
        if (answered.size === killAt) await postern.kill();
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  };

  const all = Array.from({ length: WEBHOOKS }, (_, n) => n);
  await postAll(await address(), all, WEBHOOKS / 2);
  assert.ok(answered.size >= WEBHOOKS / 2 && answered.size < WEBHOOKS, `${answered.size} were answered before the cut`);

  postern = await startKillable({ persist, vars });
  api = caller(postern);
  // As a provider does: what was not answered is posted again, and some of what was, too.
  await postAll(await address(), all.filter((n) => !answered.has(n) || n % 10 === 0));
  assert.equal(answered.size, WEBHOOKS);

  const arrived = () => new Set(receiver.requests.map((request) => JSON.parse(request.text).n));
  await receiver.until(() => arrived().size === WEBHOOKS, "every webhook", 120_000);
  const { messages, lastSequence } = await inspect(postern, app);
  assert.equal(messages, WEBHOOKS);
  assert.equal(lastSequence, WEBHOOKS);
});

// What a message costs, counted by the object itself on workerd: rows as they are billed, calls, alarms, messages to a
// queue. Counts only; scripts/bench measures times.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { caller, eventually, inspect } from "./api.mjs";
import { start } from "./harness.mjs";
import { startReceiver } from "./receiver.mjs";

const SECRET = "a secret of the provider's";
let receiver;
const running = [];

before(async () => {
  receiver = await startReceiver();
});
after(() => Promise.all([...running.map((postern) => postern.stop()), receiver?.stop()]));

test("a lone message costs at most 5 rows, 4 calls and one queue message, its alarm included", async () => {
  const own = await tenant(await serve(8), "/lone");
  await own.post("evt_first");
  await own.settled(1); // the source is in use, and the alarm of the segment's end stands
  await own.rotateAddress(); // the edge has to ask whose it is, as it does every 30 s

  const spent = await own.spentOn(async () => {
    await own.post("evt_lone");
    await own.settled(2);
  });

  const told = JSON.stringify(spent);
  assert.ok(spent.rows >= 3, `fewer than a key, a message and a delivery: the count is wrong; ${told}`);
  assert.ok(spent.rows <= 5, told);
  assert.ok(spent.alarms >= 1, `the alarm behind the lease is part of it; ${told}`);
  assert.ok(spent.requests + spent.alarms <= 4, told);
  assert.equal(spent.queueMessages, 1, told);

  const again = await own.spentOn(() => own.post("evt_lone"));
  assert.equal(again.rows, 1, "a duplicate is counted on the first, and writes nothing else");
  assert.equal(again.queueMessages, 0, "a duplicate sends nothing");
});

test("under load with one key a delivered message costs at most 3.2 rows, 1.2 calls and half a queue message", async () => {
  const own = await tenant(await serve(16), "/load");
  await own.post("evt_first");
  await own.delivered(1); // the endpoint has shown that it answers

  const count = 600;
  const spent = await own.spentOn(async () => {
    const ids = Array.from({ length: count }, (_, n) => `evt_${n}`);
    const client = async () => {
      for (let id = ids.pop(); id; id = ids.pop()) {
        await own.post(id);
      }
    };
    await Promise.all(Array.from({ length: 32 }, client));
    await own.settled(count + 1);
  });

  const told = JSON.stringify(spent);
  console.log(told);
  assert.ok(spent.rows >= 3 * count, `fewer than a key, a message and a delivery: the count is wrong; ${told}`);
  assert.ok(spent.rows <= 3.2 * count, told);
  assert.ok(spent.requests + spent.alarms <= 1.2 * count, told);
  assert.ok(spent.queueMessages <= 0.5 * count, told);
});

/** With a lease that leaves a little room for a send, so that the alarm behind it comes soon and is counted too. */
async function serve(leaseSeconds) {
  const vars = { TEST_HOOKS: "1", LEASE_SECONDS: String(leaseSeconds), DELIVERY_TIMEOUT_SECONDS: "1" };
  const postern = await start({ vars });
  running.push(postern);
  return postern;
}

async function tenant(postern, path) {
  const api = caller(postern);
  const inbox = receiver.at(path);
  const { id: app } = await api.ok("POST", "/api/v1/app", { name: path });
  await api.ok("POST", `/api/v1/app/${app}/endpoint`, { url: inbox.url });
  const { id: source, url } = await api.ok("POST", `/api/v1/app/${app}/source`, {
    name: "Shop",
    provider: "hmac",
    config: { header: "x-signature", eventId: "/id" },
    secrets: [SECRET],
  });
  const namespace = await postern.mf.getDurableObjectNamespace("TENANT");
  const object = namespace.get(namespace.idFromName(app));
  const counted = async () => (await object.fetch("https://tenant/test/counted")).json();
  let looks = 0;
  let address = url;

  async function until(messages, more) {
    await inbox.request(messages);
    const look = () => {
      looks += 1;
      return inspect(postern, app);
    };
    const done = (counts) => counts.deliveries.delivered === messages && more(counts);
    await eventually(look, done, `${messages} deliveries on record`);
  }

  return {
    async post(id) {
      const body = JSON.stringify({ id, text: "x".repeat(1000) });
      const signature = createHmac("sha256", SECRET).update(body).digest("hex");
      const headers = { "content-type": "application/json", "x-signature": signature };
      const answer = await fetch(address, { method: "POST", headers, body });
      assert.equal(answer.status, 200, await answer.text());
    },
    async rotateAddress() {
      await api.ok("POST", `/api/v1/app/${app}/source/${source}/token/rotate`, { overlapSeconds: 0 });
      address = (await api.ok("GET", `/api/v1/app/${app}/source/${source}`)).url;
    },
    /** All is delivered and recorded. */
    delivered: (messages) => until(messages, () => true),
    /** And the alarm has looked behind the last lease. */
    settled: (messages) => until(messages, ({ mark }) => mark === messages),
    /** What the object was billed for meanwhile, without the looks of the test itself. */
    async spentOn(work) {
      const [before, looked] = [await counted(), looks];
      await work();
      const after = await counted();
      const spent = Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
      assert.ok(Object.values(spent).every((n) => n >= 0), "the object was evicted in between: its counts began anew");
      return { ...spent, requests: spent.requests - (looks - looked) };
    },
  };
}

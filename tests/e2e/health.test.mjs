import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "./harness.mjs";

let postern;
before(async () => (postern = await start()));
after(() => postern?.stop());

test("a server with all its bindings says that it is well", async () => {
  const answer = await postern.fetch("/health");
  assert.equal(answer.status, 200);
});

test("a server says which version it is", async () => {
  const answer = await postern.fetch("/version");
  assert.equal(answer.status, 200);
  const { version } = await answer.json();
  assert.match(version, /^\d+\.\d+\.\d+/);
});

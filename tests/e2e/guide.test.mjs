// The guide of connections, done as it stands: its commands one after the other in one shell, against the built Worker and
// the provider for trying, and what each answers held against what the guide says that it answers.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { root, start } from "./harness.mjs";
import { consent } from "./stand-in/server.mjs";

let postern, provider, providerUrl;

before(async () => {
  postern = await start();
  provider = spawn("bash", [join(root, "scripts/provider"), "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  [providerUrl] = await once(createInterface({ input: provider.stdout }), "line");
});
after(async () => {
  provider?.kill();
  await postern?.stop();
});

/** The guide's blocks, in their order: commands, and the answer that stands below them. */
function steps(text) {
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, kind, content]) => ({ kind, content }));
  const found = [];
  for (const { kind, content } of blocks) {
    if (kind === "sh") found.push({ commands: content });
    else if (kind === "json") found.at(-1).answer = JSON.parse(content);
  }
  return found;
}

/** All that the guide shows is there, and is so; `…` stands for anything. */
function holds(shown, answer, place) {
  if (typeof shown === "string") {
    const pattern = shown.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
    assert.match(String(answer), new RegExp(`^${pattern}$`, "s"), place);
  } else if (shown && typeof shown === "object") {
    assert.ok(answer && typeof answer === "object", `${place}: ${answer}`);
    for (const [name, part] of Object.entries(shown)) holds(part, answer[name], `${place}.${name}`);
    if (Array.isArray(shown)) assert.equal(answer.length, shown.length, place);
  } else {
    assert.equal(answer, shown, place);
  }
}

/** A shell that does one step after the other, and tells what each wrote. */
function shell() {
  const bash = spawn("bash", ["-eu", "-o", "pipefail"], { stdio: ["pipe", "pipe", "inherit"], cwd: root });
  const lines = createInterface({ input: bash.stdout })[Symbol.asyncIterator]();
  return {
    async run(commands) {
      bash.stdin.write(`${commands}\necho; echo end-of-step\n`);
      const out = [];
      for (;;) {
        const { value, done } = await lines.next();
        assert.ok(!done, `the shell gave up at: ${commands}\n${out.join("\n")}`);
        if (value === "end-of-step") return out.join("\n").trim();
        out.push(value);
      }
    },
    stop: () => bash.stdin.end(),
  };
}

/** What a person does with a link. */
async function browse(link, words) {
  const shown = await fetch(link);
  assert.match(await shown.text(), words);
  const gone = await fetch(`${link}/go`, { redirect: "manual" });
  const cookie = gone.headers.getSetCookie()[0].split(";")[0];
  const callback = await consent(gone.headers.get("location"));
  const came = await fetch(callback, { redirect: "manual", headers: { cookie } });
  const page = await fetch(new URL(came.headers.get("location"), postern.url));
  assert.match(await page.text(), /connected/i);
}

/** A text of ours, with what stands here for what it names. */
const read = (path) =>
  readFileSync(join(root, path), "utf8")
    .replaceAll("$(scripts/token)", postern.token())
    .replaceAll("http://127.0.0.1:8787", postern.url)
    .replaceAll("http://127.0.0.1:9100", providerUrl);

test("each command of docs/connections.md works, and answers what stands below it", async () => {
  const guide = steps(read("docs/connections.md"));
  assert.ok(guide.length >= 15);
  assert.ok(guide.filter(({ answer }) => answer).length >= 12);
  const bash = shell();
  try {
    for (const { commands, answer } of guide) {
      const out = await bash.run(commands);
      if (answer) holds(answer, JSON.parse(out.split("\n").at(-1)), commands);
      if (commands.includes("# open it in a browser")) await browse(out, /Read what is yours/);
    }
  } finally {
    bash.stop();
  }
});

test("the way of README.md to a first connection leads there", async () => {
  const section = /^## Five minutes to a first connection\n(.*?)^## /ms.exec(read("README.md"))[1];
  const [{ commands }] = steps(section);
  const [before, after] = commands.split(/(?<=# open it in a browser, and say yes\n)/);
  const bash = shell();
  try {
    // What it has from the section before it.
    await bash.run(steps(read("docs/connections.md"))[0].commands);
    await browse(await bash.run(before.replace("scripts/provider &", "true")), /Continue to/);
    assert.deepEqual(JSON.parse(await bash.run(after)), { id: "7", login: "ann" });
  } finally {
    bash.stop();
  }
});

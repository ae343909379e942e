import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { root } from "../../../tests/e2e/harness.mjs";
import { figure } from "./figures.mjs";
import { once } from "./load.mjs";
import { RUNNER, median, options } from "./options.mjs";
import { withPostern } from "./workers.mjs";

const NATIVE = "native, release build, one thread";
const FILES = ["inbound.json", "providers.json"];
const TIMES = options.quick ? 200 : 1000;
const ROUNDS = 5;

/**
 * What one judgement of a genuine request costs with each preset: natively, and in the Worker, RSA and P-256 by WebCrypto
 * there. In the Worker it is the time of a request that judges many times less that of one that judges once.
 */
export async function verify() {
  const measured = new Map();
  for (const file of FILES) {
    for (const told of native(file)) if (!measured.has(told.provider)) measured.set(told.provider, told);
  }
  await withPostern(async (postern) => {
    const timed = async (request, times) => {
      const body = JSON.stringify({ measured: { ...request, times } });
      const began = performance.now();
      const answer = await once({ url: `${postern.url}/test/verify`, headers: { "content-type": "application/json" }, body });
      if (JSON.parse(answer).believed !== times) throw new Error(`${request.provider}: ${answer}`);
      return performance.now() - began;
    };
    for (const { provider, micros, request } of [...measured.values()].sort((a, b) => a.provider.localeCompare(b.provider))) {
      await timed(request, TIMES); // compiled by then
      const runs = [];
      for (let n = 0; n < ROUNDS; n++) {
        const one = await timed(request, 1);
        runs.push((((await timed(request, TIMES)) - one) * 1000) / (TIMES - 1));
      }
      figure(`verifying ${provider}, native`, micros, "µs", NATIVE);
      figure(`verifying ${provider}, in the Worker`, median(runs), "µs", RUNNER);
    }
  });
}

function native(file) {
  const example = ["run", "--release", "--quiet", "-p", "postern-domain", "--example", "verify", "--"];
  const { status, stdout, stderr } = spawnSync("cargo", [...example, `tests/vectors/${file}`, "--cost"], { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../../../tests/e2e/harness.mjs";
import { figure } from "./figures.mjs";

/** What is uploaded. */
export function size() {
  const wasm = readFileSync(join(root, "build/index_bg.wasm"));
  figure("wasm, raw", wasm.length / 1024, "KiB", "the build");
  figure("wasm, gzip -9", gzipSync(wasm, { level: 9 }).length / 1024, "KiB", "the build");
}

// The bundle of the release before this one, built once from its own sources and kept in the cache folder.
//
//   const previous = await previousBundle();     // a folder with index.js and index_bg.wasm
//
// tests/fixtures/previous-release names its commit. Where the history is not there (a shallow clone) it cannot be had,
// and that is a failure: POSTERN_SKIP_RELEASES=1 says that the tests may be left out.

import { execFile, execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { root } from "./harness.mjs";

const PARTS = ["index.js", "index_bg.wasm"];

export const previousRelease = readFileSync(join(root, "tests/fixtures/previous-release"), "utf8").trim();

/** The folder of its bundle. */
export async function previousBundle() {
  const home = process.env.POSTERN_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "postern");
  const bundle = join(home, "releases", previousRelease);
  if (!PARTS.every((part) => existsSync(join(bundle, part)))) {
    await build(bundle);
  }
  return bundle;
}

/** Whether its sources can be had. */
function hasHistory() {
  try {
    execFileSync("git", ["cat-file", "-e", `${previousRelease}^{commit}`], { cwd: root, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Where these tests may be left out, because nobody can have what they need. */
export const leftOut = () => process.env.POSTERN_SKIP_RELEASES === "1" && !hasHistory();

async function build(bundle) {
  if (!hasHistory()) {
    throw new Error(
      `the release before, ${previousRelease}, is not in this clone's history: git fetch --unshallow, ` +
        "or POSTERN_SKIP_RELEASES=1 to leave these tests out",
    );
  }
  mkdirSync(join(root, ".postern"), { recursive: true });
  const sources = mkdtempSync(join(root, ".postern/release-"));
  const run = promisify(execFile);
  try {
    // Its files alone: a worktree would write into a repository that others may be at work in.
    await run("bash", ["-o", "pipefail", "-c", `git archive "$1" | tar -x -C "$2"`, "bash", previousRelease, sources], { cwd: root });
    if (readFileSync(join(sources, "package-lock.json"), "utf8") === readFileSync(join(root, "package-lock.json"), "utf8")) {
      symlinkSync(join(root, "node_modules"), join(sources, "node_modules"));
    }
    // In this checkout's target folder: what both releases depend on is compiled there already.
    const env = { ...process.env, CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR || join(root, "target") };
    delete env.POSTERN_BUILD;
    delete env.POSTERN_NOTES;
    await run(join(sources, "scripts/build"), ["--no-opt"], { cwd: sources, env, maxBuffer: 1 << 24 });
    // Whole or not at all: another run may look for it in this moment.
    mkdirSync(join(bundle, ".."), { recursive: true });
    const ready = mkdtempSync(`${bundle}.`);
    for (const part of PARTS) {
      cpSync(join(sources, "build", part), join(ready, part));
    }
    rmSync(bundle, { recursive: true, force: true });
    renameSync(ready, bundle);
  } catch (error) {
    throw new Error(`the release before could not be built: ${error.stderr ?? error.message}`, { cause: error });
  } finally {
    rmSync(sources, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !leftOut()) {
  console.log(await previousBundle());
}

// Starting a tree of processes so that it can be ended whole, also by another run than the one that started it.
// The tree is a process group of its own: wrangler, its second node, esbuild and both workerd stay in it.

import { execFileSync, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";

export function startGroup(command, args, options) {
  return spawn(command, args, { ...options, detached: true });
}

/** Ends every process of the group: politely, and after `patience` ms without asking. */
export async function endGroup(group, patience = 4000) {
  signal(group, "SIGTERM");
  for (const until = Date.now() + patience; isAlive(group); await delay(50)) {
    if (Date.now() > until) {
      signal(group, "SIGKILL");
    }
  }
}

/**
 * Whether the group still is the one that was started from this folder. A number says nothing by itself: the system
 * gives it to another process once the group is gone.
 */
export function groupRunsFrom(group, folder) {
  return processes().some((process) => process.group === group && process.command.includes(`${folder}/`));
}

export function processRuns(pid, part) {
  return processes().some((process) => process.pid === pid && process.command.includes(part));
}

function processes() {
  return execFileSync("ps", ["-axwwo", "pid=,pgid=,stat=,command="], { encoding: "utf8", maxBuffer: 1 << 26 })
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((found) => found && !found[3].startsWith("Z"))
    .map(([, pid, group, , command]) => ({ pid: Number(pid), group: Number(group), command }));
}

function isAlive(group) {
  return processes().some((process) => process.group === group);
}

function signal(group, name) {
  try {
    process.kill(-group, name);
  } catch (error) {
    if (error.code !== "ESRCH") {
      throw error;
    }
  }
}

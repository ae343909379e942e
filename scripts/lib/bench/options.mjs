// What was asked for on the command line, and how long and how often a measurement runs.

import { parseArgs } from "node:util";

export const { values: options } = parseArgs({
  options: {
    json: { type: "string" },
    svg: { type: "string" },
    quick: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    ready: { type: "boolean", default: false },
    only: { type: "string" },
  },
});

export const RUNS = options.quick ? 1 : 3;
export const RUN_MS = options.quick ? 2000 : 5000;
export const CLIENTS = 32;
export const RUNNER = "Miniflare's API, workerd, one machine with its load";

export async function repeated(measure) {
  const results = [];
  for (let n = 0; n < RUNS; n++) results.push(await measure());
  return results;
}

export function median(values) {
  return quantile(values, 0.5);
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

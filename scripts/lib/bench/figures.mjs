// What was measured: gathered, printed as a table, written as JSON.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { RUNS, median, options } from "./options.mjs";
import { PRICES } from "./prices.mjs";

export const figures = [];

/**
 * @param {string} what
 * @param {number | number[]} value the figure, or that of each run: then it is their median, and the table shows how far
 *   the runs lie apart
 * @param {string} unit
 * @param {string} runner on what it was taken, and what has to be known of that
 * @param {object} [beside]
 * @param {number} [beside.ofBare] the same of the bare Worker
 * @param {number} [beside.limit] what it may be, or is meant to be, at the most
 * @param {string} [beside.beside] what else it is to be read beside
 */
export function figure(what, value, unit, runner, { ofBare, limit, beside } = {}) {
  const runs = [value].flat();
  const middle = median(runs);
  figures.push({
    what,
    value: rounded(middle),
    unit,
    runner,
    ...(runs.length > 1 && { from: rounded(Math.min(...runs)), to: rounded(Math.max(...runs)) }),
    ...(ofBare && { ofBare: rounded(middle / ofBare) }),
    ...(limit !== undefined && { limit }),
    ...(beside && { beside }),
  });
}

export function print() {
  const rows = figures.map(({ what, value, unit, from, to, ofBare, limit, beside, runner }) => [
    what,
    `${value} ${unit}`.trim(),
    from === undefined ? "" : `${from} to ${to}`,
    [
      ofBare !== undefined && `${Math.round(ofBare * 100)} % of bare`,
      limit !== undefined && `limit ${limit}${value > limit ? ": OVER" : ""}`,
      beside,
    ]
      .filter(Boolean)
      .join(", "),
    runner,
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  }
  console.log(`\n${machine()}; medians of ${RUNS}`);
  if (options.json) {
    const told = { machine: machine(), runs: RUNS, prices: PRICES, figures };
    writeFileSync(asked(options.json), `${JSON.stringify(told, null, 2)}\n`);
  }
}

export function machine() {
  return `${cpus().length} × ${cpus()[0].model.trim()}, Node ${process.version}`;
}

/** A file that the command line names, from where the command was typed. */
export function asked(file) {
  return resolve(process.env.POSTERN_CALLED_FROM ?? ".", file);
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}

// The main figures as an SVG without anything else: bars by group, each with its value, in light and in dark.

import { writeFileSync } from "node:fs";
import { asked, figures, machine } from "./figures.mjs";

const WIDTH = 880;
const NAMES = 360;
const VALUES = 190;
const ROW = 26;
const HEAD = 40;

/** Which figures, by how their names begin, and what their bars are drawn against: the longest of them, or a limit. */
const GROUPS = [
  { title: "Messages a second", begins: ["accepted", "delivered, bare", "delivered"], unit: "messages/s" },
  { title: "Deliveries a second of one tenant", begins: ["arrivals", "delivered"], unit: "deliveries/s" },
  { title: "From accept to arrival, ms", begins: ["accept to arrival"], unit: "ms" },
  { title: "Healthy tenants' p99 while another's endpoints hang, over that of before", begins: ["healthy tenants"], unit: "×" },
  { title: "p99 with so many messages in one tenant, ms", begins: ["the newest", "50 from", "one message", "accept, 10"], ends: "p99" },
  { title: "What a message costs, of its budget", begins: ["rows", "object requests", "queue messages"], ofLimit: true },
];

export function chart(file) {
  let y = 64;
  const parts = [];
  for (const group of GROUPS) {
    const rows = figures.filter((figure) => belongs(figure, group));
    if (rows.length === 0) continue;
    y += HEAD;
    parts.push(`<text class="group" x="0" y="${y - 14}">${escaped(group.title)}</text>`);
    const most = Math.max(...rows.map((row) => scaled(row, group)), ...rows.map(({ limit }) => (limit && !group.ofLimit ? limit : 0)));
    for (const row of rows) {
      parts.push(bar(row, group, most, y));
      y += ROW;
    }
  }
  const heading = "Postern, measured";
  writeFileSync(
    asked(file),
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 0 ${WIDTH + 32} ${y + 16}" role="img" aria-labelledby="title figures">
<title id="title">${heading}</title>
<desc id="figures">${escaped(summary())}</desc>
<style>
  .ground { fill: #fff; }
  text { font: 13px system-ui, sans-serif; fill: #1c1e21; }
  .heading { font-size: 20px; font-weight: 600; }
  .quiet { fill: #5a6068; font-size: 12px; }
  .group { font-weight: 600; }
  .bar { fill: #2f6fb3; }
  .bare { fill: #b4bac2; }
  .limit { stroke: #b3261e; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #15181c; }
    text { fill: #e8eaed; }
    .quiet { fill: #9aa2ab; }
    .bar { fill: #6ea8e6; }
    .bare { fill: #4b525b; }
    .limit { stroke: #ff8a80; }
  }
</style>
<rect class="ground" x="-16" width="${WIDTH + 32}" height="${y + 16}"/>
<text class="heading" x="0" y="34">${heading}</text>
<text class="quiet" x="0" y="54">${escaped(machine())}; the load runs on the same machine. Grey: a bare Worker in Rust. Line: the limit.</text>
${parts.join("\n")}
</svg>
`,
  );
}

function belongs({ what, unit }, group) {
  const begins = group.begins.some((begin) => what.startsWith(begin));
  const fits = group.unit === undefined || group.unit === unit;
  return begins && fits && what.endsWith(group.ends ?? "");
}

function scaled({ value, limit }, { ofLimit }) {
  return ofLimit ? value / limit : value;
}

function bar(row, group, most, y) {
  const { what, value, unit, limit } = row;
  const room = WIDTH - NAMES - VALUES;
  const width = Math.max(1, (scaled(row, group) / most) * room);
  const at = limit === undefined ? undefined : NAMES + ((group.ofLimit ? 1 : limit) / Math.max(most, group.ofLimit ? 1 : 0)) * room;
  const beside = [
    group.ofLimit ? `${value} of ${limit}` : `${value} ${unit}`,
    row.ofBare !== undefined && `${Math.round(row.ofBare * 100)} % of bare`,
  ];
  const shown = beside.filter(Boolean).join(", ");
  return [
    `<g><title>${escaped(`${what}: ${shown}`)}</title>`,
    `<text x="${NAMES - 10}" y="${y + 14}" text-anchor="end">${escaped(shortened(what))}</text>`,
    `<rect class="${what.includes("bare") ? "bare" : "bar"}" x="${NAMES}" y="${y + 2}" width="${width.toFixed(1)}" height="16" rx="2"/>`,
    at !== undefined && `<line class="limit" x1="${at.toFixed(1)}" x2="${at.toFixed(1)}" y1="${y}" y2="${y + 20}"/>`,
    `<text x="${(Math.max(NAMES + width, at ?? 0) + 8).toFixed(1)}" y="${y + 14}">${escaped(shown)}</text></g>`,
  ]
    .filter(Boolean)
    .join("");
}

/** For those who do not see the bars. */
function summary() {
  const shown = figures.filter((figure) => GROUPS.some((group) => belongs(figure, group)));
  return shown.map(({ what, value, unit }) => `${what} ${value} ${unit}`.trim()).join("; ");
}

/** What stands in brackets is in the table, and in the bar's own title. */
function shortened(what) {
  return what
    .replace(/ \(.*\)/, "")
    .replace("healthy tenants' p99, ", "")
    .replace("accept to arrival, ", "");
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

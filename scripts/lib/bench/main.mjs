// What scripts/bench measures, once both Workers are built.

import { accept } from "./accept.mjs";
import { chart } from "./chart.mjs";
import { cost } from "./cost.mjs";
import { cpu } from "./cpu.mjs";
import { deliver } from "./deliver.mjs";
import { fairness } from "./fairness.mjs";
import { fanout } from "./fanout.mjs";
import { print } from "./figures.mjs";
import { flat } from "./flat.mjs";
import { flood } from "./flood.mjs";
import { latency } from "./latency.mjs";
import { options } from "./options.mjs";
import { profile } from "./profile.mjs";
import { proxy } from "./proxy.mjs";
import { size } from "./size.mjs";
import { startup } from "./startup.mjs";
import { token } from "./token.mjs";
import { verify } from "./verify.mjs";

const parts = { size, startup, accept, verify, flood, latency, deliver, fanout, fairness, flat, token, proxy, cpu, cost };
/** Only when they are asked for: they measure nothing that could be quoted. */
const others = { profile };

const chosen = options.only?.split(",") ?? Object.keys(parts);
const unknown = chosen.find((name) => !(name in parts) && !(name in others));
if (unknown !== undefined) {
  process.stderr.write(`bench: there is no part '${unknown}': ${Object.keys({ ...parts, ...others }).join(", ")}\n`);
  process.exit(1);
}
for (const name of chosen) {
  process.stderr.write(`measuring ${name} …\n`);
  await { ...parts, ...others }[name]();
}
print();
if (options.svg) chart(options.svg);

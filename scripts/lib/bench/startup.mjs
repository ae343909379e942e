import { performance } from "node:perf_hooks";
import { start } from "../../../tests/e2e/harness.mjs";
import { figure } from "./figures.mjs";
import { RUNNER, repeated } from "./options.mjs";

export async function startup() {
  const times = await repeated(async () => {
    const began = performance.now();
    const postern = await start();
    await postern.fetch("/version");
    const took = performance.now() - began;
    await postern.stop();
    return took;
  });
  figure("start to first answer, runtime and migrations included", times, "ms", RUNNER);
}

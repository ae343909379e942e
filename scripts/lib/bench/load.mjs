// The load: requests from this process.

import { Agent, request } from "node:http";
import { performance } from "node:perf_hooks";
import { CLIENTS, RUN_MS } from "./options.mjs";

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** Of messages that nobody looks into. */
export const BODY = JSON.stringify({ type: "bench", text: "x".repeat(1000) });

/** One request; a status that is no success ends the bench. */
export function once({ url, headers, method = "POST", body = BODY }) {
  return new Promise((done, failed) => {
    const length = method === "GET" ? {} : { "content-length": Buffer.byteLength(body) };
    const sent = request(url, { method, agent, headers: { ...headers, ...length } });
    sent.on("error", failed);
    sent.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (data) => (text += data));
      response.on("end", () => {
        if (response.statusCode >= 300) failed(new Error(`${url}: ${response.statusCode} ${text}`));
        else done(text);
      });
    });
    sent.end(method === "GET" ? undefined : body);
  });
}

/** So many clients, each doing one thing after the other until the time is over; how often they did it. */
export async function clients(count, ms, work) {
  const end = performance.now() + ms;
  let done = 0;
  const client = async () => {
    while (performance.now() < end) {
      await work();
      done++;
    }
  };
  await Promise.all(Array.from({ length: count }, client));
  return done;
}

/** Requests a second of so many clients, after a second to warm up. */
export async function rate(next) {
  await clients(CLIENTS, 1000, () => once(next()));
  const began = performance.now();
  const count = await clients(CLIENTS, RUN_MS, () => once(next()));
  return (count * 1000) / (performance.now() - began);
}

/** Begins `work(n)` so many times a second, however long each takes; fulfilled when all have ended. */
export async function paced(perSecond, ms, work) {
  const began = performance.now();
  const pending = [];
  for (let n = 0; n < Math.round((perSecond * ms) / 1000); n++) {
    const early = began + (n * 1000) / perSecond - performance.now();
    if (early > 0) await new Promise((done) => setTimeout(done, early));
    pending.push(work(n));
  }
  return Promise.all(pending);
}

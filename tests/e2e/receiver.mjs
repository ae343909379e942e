// A local receiver of webhooks: what it answers is scripted, what it got can be awaited.

import http from "node:http";
import { once } from "node:events";

/**
 * Answers of a script, each for one request; the last one for all that follow:
 * a status, {status, headers, body}, "hang" (never answers), "endless" (a body without an end), "drip" (headers, then
 * nothing). It ends with the test `t`.
 */
export async function startReceiver(t, ...script) {
  const requests = [];
  const waiting = [];
  const answers = script.length ? script : [200];
  const sockets = new Set();

  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const got = {
      at: Date.now(),
      method: request.method,
      url: request.url,
      headers: request.headers,
      body: Buffer.concat(chunks),
    };
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(got);
    for (const each of waiting.splice(0)) each();
    if (answer === "hang") return;
    if (answer === "drip") {
      response.writeHead(200, { "content-length": "1000" });
      response.write("a");
      return;
    }
    if (answer === "endless") {
      response.writeHead(200);
      const chunk = Buffer.alloc(64 * 1024, "x");
      const pump = () => {
        while (!response.destroyed && response.write(chunk));
        if (!response.destroyed) response.once("drain", pump);
      };
      pump();
      return;
    }
    const { status, headers = {}, body = "" } = typeof answer === "number" ? { status: answer } : answer;
    response.writeHead(status, headers);
    response.end(body);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  const receiver = {
    url: `http://127.0.0.1:${server.address().port}/hook`,
    requests,
    /** The n-th request (from 1), as soon as it is there. */
    async request(n, withinMs = 30_000) {
      return (await this.until(() => requests.length >= n, `request ${n}`, withinMs)) && requests[n - 1];
    },
    /** Until a condition over the requests holds; looked at when one comes. */
    async until(holds, what, withinMs = 30_000) {
      const end = Date.now() + withinMs;
      while (!holds(requests)) {
        const left = end - Date.now();
        if (left <= 0) throw new Error(`no ${what} within ${withinMs} ms; ${requests.length} requests came`);
        let timer;
        await Promise.race([
          new Promise((resolve) => waiting.push(resolve)),
          new Promise((resolve) => (timer = setTimeout(resolve, left))),
        ]);
        clearTimeout(timer);
      }
      return true;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  t?.after(() => receiver.stop());
  return receiver;
}

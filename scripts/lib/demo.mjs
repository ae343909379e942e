// What scripts/demo shows: one webhook on its whole way.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { knownDevelopmentSecrets } from "./secrets.mjs";
import { issueToken } from "./token.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const SECRET = "whsec_what_stripe_shows_once_when_an_endpoint_is_made";
const PATIENCE_MS = 30_000;

const server = await findServer();
let receiver;
try {
  receiver = await startReceiver();
  await tell(server, receiver);
} catch (error) {
  process.stderr.write(`demo: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  await receiver?.stop();
  await server.stop();
}

async function tell(server, receiver) {
  const api = caller(server);
  const app = await api("POST", "/app", { name: "Acme (demo)" });
  say(`tenant     ${app.id}`);

  const endpoints = [];
  for (const [path, description] of [["/steady", "answers at once"], ["/shaky", "fails twice first"]]) {
    const body = { url: receiver.origin + path, description, retrySchedule: [1, 2] };
    const endpoint = await api("POST", `/app/${app.id}/endpoint`, body);
    const { key } = await api("GET", `/app/${app.id}/endpoint/${endpoint.id}/secret`);
    endpoints.push({ ...endpoint, path, key });
    say(`endpoint   ${endpoint.id}  ${endpoint.url}  (${description})`);
  }
  const source = await api("POST", `/app/${app.id}/source`, { name: "Stripe", provider: "stripe", secrets: [SECRET] });
  say(`source     ${source.id}  ${source.url.replace(/(\/in\/.{12}).*/, "$1…")}`);

  const id = `evt_demo_${Date.now()}`;
  const event = { id, object: "event", type: "invoice.paid", created: Math.floor(Date.now() / 1000), data: { object: {} } };
  const payload = JSON.stringify(event, null, 2);
  const header = new Stripe("sk_test_unused").webhooks.generateTestHeaderString({ payload, secret: SECRET });
  const began = Date.now();
  const post = (signature) =>
    fetch(source.url, {
      method: "POST",
      headers: { "content-type": "application/json", "stripe-signature": signature },
      body: payload,
    });
  const forged = await post(header.replace(/v1=.{4}/, "v1=0000"));
  expect(forged.status === 401, `a forged signature was answered ${forged.status}`);
  say(`forged     ${id} with a wrong signature: ${forged.status} ${(await forged.json()).code}`);
  const taken = await post(header);
  expect(taken.status === 200, `the webhook was answered ${taken.status}: ${await taken.text()}`);
  say(`verified   ${id}: ${taken.status} after ${Date.now() - began} ms`);
  const again = await post(header);
  expect(again.status === 200, `the duplicate was answered ${again.status}`);

  const { data: messages } = await api("GET", `/app/${app.id}/msg`);
  expect(messages.length === 1, `${messages.length} messages are stored instead of one`);
  const [message] = messages;
  say(`stored     ${message.id}  ${message.eventType}  once, though it came twice`);

  const attempts = await until(
    () => api("GET", `/app/${app.id}/attempt/msg/${message.id}`).then(({ data }) => data),
    (data) => endpoints.every(({ id }) => data.some((attempt) => attempt.endpointId === id && attempt.status === 0)),
    "both endpoints have it",
  );
  for (const attempt of attempts.reverse()) {
    const { path } = endpoints.find(({ id }) => id === attempt.endpointId);
    const after = `+${((Date.parse(attempt.timestamp) - began) / 1000).toFixed(2)} s`;
    say(`attempt    ${after.padEnd(9)} ${path.padEnd(8)} ${attempt.responseStatusCode} ${attempt.statusText}`);
  }
  for (const { path, key } of endpoints) {
    const got = receiver.requests.filter((request) => request.url === path).at(-1);
    new Webhook(key).verify(got.body, got.headers); // throws if it does not hold
    expect(got.body.toString() === payload, "the body changed on its way");
    say(`signature  ${path.padEnd(8)} ${got.headers["webhook-id"]} holds, and the body is what Stripe sent, byte for byte`);
  }
  say("done");
}

/** The server to show it on: the one that URL and TOKEN name, a running one, or one of our own. */
async function findServer() {
  const { URL: url, TOKEN: token } = process.env;
  if (url && token) {
    say(`server     ${url}`);
    return { url, token, stop: async () => {} };
  }
  const note = join(root, ".postern/dev.json");
  const running = existsSync(note) ? JSON.parse(readFileSync(note, "utf8")) : null;
  const secrets = knownDevelopmentSecrets(root);
  if (running && secrets && (await isHealthy(running.url))) {
    say(`server     ${running.url} (scripts/dev is running)`);
    return { url: running.url, token: issueToken(secrets.JWT_SECRET), stop: async () => {} };
  }
  return startServer();
}

async function startServer() {
  say("server     none is running: starting one (the first time that takes minutes, for it is built)");
  const folder = mkdtempSync(join(tmpdir(), "postern-demo-"));
  const file = join(folder, "ready.json");
  const args = ["--port", "0", "--persist", join(folder, "state"), "--ready-file", file];
  const child = spawn(join(root, "scripts/dev"), args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let ended = null;
  const end = new Promise((done) => child.on("close", (status) => done((ended = status ?? 1))));
  child.stdout.on("data", (text) => process.env.VERBOSE && process.stderr.write(text));
  const stop = async () => {
    child.kill("SIGTERM");
    await end;
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => void stop().then(() => process.exit(1)));
  }
  while (!existsSync(file)) {
    if (ended !== null) {
      process.stderr.write("demo: scripts/dev did not start; its words stand above\n");
      process.exit(1);
    }
    await delay(200);
  }
  const { url, token } = JSON.parse(readFileSync(file, "utf8"));
  say(`server     ${url}`);
  return { url, token, stop };
}

function isHealthy(url) {
  return fetch(`${url}/health`, { signal: AbortSignal.timeout(3000) }).then((answer) => answer.ok, () => false);
}

/** Two endpoints: /shaky answers 500 and 503 first. */
async function startReceiver() {
  const requests = [];
  const failures = [500, 503];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    requests.push({ url: request.url, headers: request.headers, body: Buffer.concat(chunks) });
    response.writeHead(request.url === "/shaky" ? (failures.shift() ?? 200) : 200).end();
  });
  await new Promise((done, failed) => server.on("error", failed).listen(0, "127.0.0.1", done));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    requests,
    stop: () => new Promise((done) => server.close(done) && server.closeAllConnections()),
  };
}

function caller({ url, token }) {
  return async (method, path, body) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    expect(answer.ok, `${method} ${path} was answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };
}

async function until(ask, holds, what) {
  for (const end = Date.now() + PATIENCE_MS; ; await delay(100)) {
    const answer = await ask();
    if (holds(answer)) {
      return answer;
    }
    expect(Date.now() < end, `after ${PATIENCE_MS / 1000} s it is not so that ${what}`);
  }
}

function expect(holds, sentence) {
  if (!holds) {
    throw new Error(sentence);
  }
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

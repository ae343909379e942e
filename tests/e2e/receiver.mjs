// An endpoint of a tenant's on this machine: it answers as the test scripts it, keeps each request byte for byte, and
// lets a test await what comes instead of sleeping.
//
//   const receiver = await startReceiver();
//   receiver.answer(500, hang(), redirect("/elsewhere"), status(429, { "retry-after": "2" }));   // then 200 for ever
//   const second = await receiver.request(2);
//   const other = receiver.at("/other");        // the same server, another script and list

import { once } from "node:events";
import { createServer } from "node:http";

/** @typedef {(request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse, seen: object) => unknown} Answer */

/** A status with headers and a body. */
export const status = (code, headers = {}, body = "") => (_request, response) => response.writeHead(code, headers).end(body);

/** Reads the request and never answers, until the receiver stops. */
export const hang = () => () => {};

/** Sends the headers and a beginning, and never the rest. */
export const hangInBody = (code = 200, headers = {}) => (_request, response) =>
  void response.writeHead(code, headers).write("a beginning");

export const redirect = (location, code = 302) => status(code, { location });

/** Answers after a while. */
export const slow = (milliseconds, then = status(200)) => (request, response, seen) => {
  const timer = setTimeout(() => then(request, response, seen), milliseconds);
  response.on("close", () => clearTimeout(timer));
};

/** A body without an end. `seen.sent` counts its bytes, so that a test sees when the reader had enough. */
export const endless = (code = 200) => (_request, response, seen) => {
  const chunk = Buffer.alloc(16 * 1024, "x");
  seen.sent = 0;
  response.writeHead(code);
  const pour = () => {
    while (!response.destroyed) {
      seen.sent += chunk.length;
      if (!response.write(chunk)) {
        response.once("drain", pour);
        return;
      }
    }
  };
  pour();
};

/** Closes the connection without a word. */
export const reset = () => (request) => void request.socket.destroy();

/** Something that is not HTTP. */
export const garbage = () => (request) => void request.socket.end("this is not HTTP\r\n\r\n");

export async function startReceiver() {
  const inboxes = new Map();
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://receiver").pathname;
    await (inboxes.get(path) ?? inboxes.get("")).receive(request, response);
  });
  server.keepAliveTimeout = 60_000; // a connection closed in the wrong moment would look like a failure of the sender
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;

  const everything = new Inbox(`${origin}/`);
  inboxes.set("", everything);
  return Object.assign(everything, {
    origin,
    /** The inbox of one path: what comes there is not in the receiver's own list. */
    at(path) {
      const inbox = inboxes.get(path) ?? new Inbox(origin + path);
      inboxes.set(path, inbox);
      return inbox;
    },
    /** Ends what hangs, too. */
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  });
}

class Inbox {
  #script = [];
  #always = status(200);
  #waiting = new Set();

  constructor(url) {
    this.url = url;
    /**
     * What has come, oldest first: `{method, url, headers, rawHeaders, body, text, at, closed}`; `body` is the raw
     * bytes, `at` the time when the whole request was here, `closed` is fulfilled when the answer or the connection ended.
     */
    this.requests = [];
  }

  /** Answers for the next requests, one each: a status, or a function such as `hang()`. */
  answer(...answers) {
    this.#script.push(...answers.map(asAnswer));
    return this;
  }

  /** The answer when the script is used up; 200 unless it is said here. */
  always(answer) {
    this.#always = asAnswer(answer);
    return this;
  }

  /** The n-th request, counted from 1, whether it is here or still to come. */
  async request(n, patience) {
    await this.until((requests) => requests.length >= n, `request ${n}`, patience);
    return this.requests[n - 1];
  }

  /** The first request that the predicate likes. */
  async matching(predicate, patience) {
    await this.until((requests) => requests.some(predicate), "a matching request", patience);
    return this.requests.find(predicate);
  }

  /** Fulfilled when the predicate likes the list. */
  until(predicate, what = "what the test waits for", patience = 30_000) {
    if (predicate(this.requests)) {
      return Promise.resolve();
    }
    return new Promise((done, failed) => {
      const waiter = () => predicate(this.requests) && finish(done);
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#waiting.delete(waiter);
        settle(value);
      };
      const timer = setTimeout(() => {
        const seen = this.requests.map((request) => `${request.method} ${request.url}`).slice(-10);
        finish(failed, new Error(`${this.url}: ${what} did not come in ${patience} ms; ${this.requests.length} came, last ${seen}`));
      }, patience);
      this.#waiting.add(waiter);
    });
  }

  async receive(request, response) {
    const chunks = [];
    try {
      for await (const chunk of request) {
        chunks.push(chunk);
      }
    } catch {
      return; // the sender went away in the middle: that is no request
    }
    const body = Buffer.concat(chunks);
    const { method, url, headers, rawHeaders } = request;
    const closed = new Promise((done) => response.on("close", done));
    const seen = { method, url, headers, rawHeaders, body, text: body.toString(), at: Date.now(), closed };
    const answer = this.#script.shift() ?? this.#always;
    answer(request, response, seen);
    this.requests.push(seen);
    for (const waiter of [...this.#waiting]) {
      waiter();
    }
  }
}

function asAnswer(answer) {
  return typeof answer === "number" ? status(answer) : answer;
}

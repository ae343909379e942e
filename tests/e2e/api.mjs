// What the tests do with Postern's API beside the official SDKs.

import assert from "node:assert/strict";

/** A call: `{status, headers, body}`, the body as JSON where it is JSON. A body that is text or bytes goes as it is. */
export function caller(postern, token = postern.token()) {
  const call = async (method, path, body, headers = {}) => {
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const answer = await postern.fetch(path, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined || raw ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: parsed(text) };
  };
  /** A call that must succeed; answers its body. */
  call.ok = async (...request) => {
    const { status, body } = await call(...request);
    assert.ok(status < 300, `${request[0]} ${request[1]}: ${status} ${JSON.stringify(body)}`);
    return body;
  };
  return call;
}

/** What a tenant's object says of itself: counts of rows, the mark, the alarm. */
export async function inspect(postern, app) {
  return caller(postern).ok("GET", `/test/app/${app}/inspect`);
}

/** Asks until the answer is as it should be: for what has no event to await, such as a row behind the API. */
export async function eventually(ask, holds, what, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) {
      return answer;
    }
    assert.ok(Date.now() < end, `${what}: not within ${patience} ms; the last answer was ${JSON.stringify(answer)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // not JSON
  }
}

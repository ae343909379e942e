// What goes over the queues, for tests that look at it: a Worker of its own consumes them, shows each body to the test, and
// has Postern's consumer do what it would have done.

/** `beside` is for the options of `start`; `listen` takes what it answered; `bodies` is all that came, as bytes. */
export function tapQueues() {
  const bodies = [];
  let postern;
  const handOn = async (request) => {
    const { queue, messages } = await request.json();
    const given = messages.map(({ bytes, json, timestamp, ...message }) => {
      const body = bytes === undefined ? json : Buffer.from(bytes, "base64");
      bodies.push(bytes === undefined ? Buffer.from(JSON.stringify(json)) : body);
      return { ...message, timestamp: new Date(timestamp), body };
    });
    return Response.json(await postern.consume(queue, given));
  };
  return {
    bodies,
    beside: ({ queueConsumers, ...worker }) => [
      worker,
      { name: "tap", modules: true, script: TAP, compatibilityDate: worker.compatibilityDate, queueConsumers, serviceBindings: { POSTERN: handOn } },
    ],
    listen: (server) => {
      postern = server;
    },
  };
}

const TAP = `
export default {
  async queue(batch, env) {
    const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
    const messages = batch.messages.map(({ id, timestamp, attempts, body }) => ({
      id, timestamp, attempts, ...(body instanceof ArrayBuffer || ArrayBuffer.isView(body) ? { bytes: text(body) } : { json: body }),
    }));
    const answer = await env.POSTERN.fetch("http://tap", { method: "POST", body: JSON.stringify({ queue: batch.queue, messages }) });
    const { outcome, ackAll, retryBatch, explicitAcks, retryMessages } = await answer.json();
    if (outcome !== "ok") throw new Error(outcome);
    if (ackAll) batch.ackAll();
    if (retryBatch.retry) batch.retryAll(retryBatch);
    for (const message of batch.messages) {
      if (explicitAcks.includes(message.id)) message.ack();
      const again = retryMessages.find(({ msgId }) => msgId === message.id);
      if (again) message.retry({ delaySeconds: again.delaySeconds });
    }
  },
};`;

// A broker that lets several invocations of Postern's consumer run at once, as the platform does and the local one does
// not. Postern's queues bring it their messages; it hands them to Postern in batches, so many at a time, and keeps what is
// to be tried again.

import { DurableObject } from "cloudflare:workers";

export default {
  async queue({ queue, messages }, env) {
    const broker = env.BROKER.get(env.BROKER.idFromName(queue));
    await broker.take(queue, messages.map(({ id, timestamp, body, attempts }) => ({ id, timestamp, body, attempts })));
  },
};

/** Of one queue. */
export class Broker extends DurableObject {
  #waiting = [];
  #running = 0;

  take(queue, messages) {
    this.#waiting.push(...messages);
    this.#run(queue);
  }

  #run(queue) {
    while (this.#running < this.env.AT_ONCE && this.#waiting.length > 0) {
      this.#running++;
      const batch = this.#waiting.splice(0, this.env.BATCH_SIZES[queue]);
      this.ctx.waitUntil(
        this.#consume(queue, batch).then(() => {
          this.#running--;
          this.#run(queue);
        }),
      );
    }
  }

  async #consume(queue, batch) {
    const { outcome, retryBatch, retryMessages } = await this.env.POSTERN.queue(queue, batch);
    if (outcome !== "ok" || retryBatch.retry) throw new Error(`${queue}: the consumer never throws, but this was ${outcome}`);
    const delays = new Map(retryMessages.map(({ msgId, delaySeconds = 0 }) => [msgId, delaySeconds]));
    for (const message of batch) {
      if (delays.has(message.id)) {
        const again = () => this.take(queue, [{ ...message, attempts: message.attempts + 1 }]);
        setTimeout(again, delays.get(message.id) * 1000);
      }
    }
  }
}

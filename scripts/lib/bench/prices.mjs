/** List prices in dollars a million, read 2026-11 ("Pricing" of Workers, Durable Objects, Queues); rows are rows written. */
export const PRICES = { workerRequest: 0.3, objectRequest: 0.15, row: 1, queueOperation: 0.4, cpuMillisecond: 0.02 };

// Sealed values are plain AES-256-GCM and HKDF: WebCrypto opens them without a line of Postern's code, so that a secret
// can be had back from a backup and its master key alone. The vector is the one that stands beside the Rust code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open as opened } from "./sealing.mjs";

const KEYS = new Map([[1, Buffer.from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "base64")]]);
const SEALED =
  "AQGgoaKjpKWmp6ipqqstkyN+JGybWiLj56VNNxHpFkbUh6KR/WmzP4lTzP8Ojxc7K4gm04duofaXlBKRIR4Yqo+Xs82HM8L5TlxQ44nGWCRxH7gqsqr4bKDHazwFsg==";
const PLACE = { tenant: "app_23rb8YdGqMT0qIzpgGwdXfHirMu", table: "endpoint", column: "secret", row: 7n, generation: 3n };

test("a value that was sealed here opens with WebCrypto", async () => {
  assert.equal(await open(SEALED, PLACE), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
});

test("it opens in its place and nowhere else", async () => {
  const places = [
    { ...PLACE, tenant: "app_23rb8YdGqMT0qIzpgGwdXfHirMv" },
    { ...PLACE, table: "source" },
    { ...PLACE, table: "endpoints", column: "ecret" },
    { ...PLACE, row: 3n, generation: 7n },
    { ...PLACE, generation: 4n },
  ];
  for (const place of places) {
    await assert.rejects(open(SEALED, place), { name: "OperationError" });
  }
});

test("a value that was altered does not open", async () => {
  const blob = Buffer.from(SEALED, "base64");
  for (const at of [14, blob.length - 1]) {
    const altered = Buffer.from(blob);
    altered[at] ^= 1;
    await assert.rejects(open(altered.toString("base64"), PLACE), { name: "OperationError" });
  }
});

const open = (sealed, place) => opened(Buffer.from(sealed, "base64"), place, KEYS);

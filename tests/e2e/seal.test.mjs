// Sealed values are plain AES-256-GCM and HKDF: WebCrypto opens them without a line of Postern's code, so that a secret
// can be had back from a backup and its master key alone. The vector is the one that stands beside the Rust code.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";

const MASTER_KEY = Buffer.from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "base64");
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

/** `0x01 | key's version | nonce, 12 bytes | ciphertext and tag`; inside, a length, the value and zeros. */
async function open(sealed, { tenant, table, column, row, generation }) {
  const blob = Buffer.from(sealed, "base64");
  assert.deepEqual([...blob.subarray(0, 2)], [1, 1]);
  const master = await webcrypto.subtle.importKey("raw", MASTER_KEY, "HKDF", false, ["deriveKey"]);
  const key = await webcrypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: Buffer.from("postern/kek/v1"), info: parts("field", tenant) },
    master,
    { name: "AES-GCM", length: 256 },
    false,
    ["decrypt"],
  );
  const additionalData = parts("postern/field/v1", tenant, table, column, number(row), number(generation));
  const padded = Buffer.from(
    await webcrypto.subtle.decrypt({ name: "AES-GCM", iv: blob.subarray(2, 14), additionalData }, key, blob.subarray(14)),
  );
  assert.equal(padded.length % 32, 0);
  const end = 4 + padded.readUInt32BE(0);
  assert.ok(padded.subarray(end).every((byte) => byte === 0));
  return padded.subarray(4, end).toString();
}

/** Each part behind its length. */
function parts(...list) {
  return Buffer.concat(
    list.map(Buffer.from).flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
}

function number(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

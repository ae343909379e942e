// Postern's sealing, written down a second time with WebCrypto alone: plain HKDF and AES-256-GCM.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";

/** Master keys of a Worker's secret, by their version. */
export const masterKeys = (text) => new Map(text.split(",").map((entry) => entry.split(":")).map(([version, key]) => [Number(version), Buffer.from(key, "base64")]));

/**
 * Opens `0x01 | key's version | nonce, 12 bytes | ciphertext and tag`; inside, a length, the value and zeros.
 *
 * @param {Uint8Array} blob
 * @param {{tenant: string, table: string, column: string, row: bigint, generation: bigint}} place
 * @param {Map<number, Buffer>} keys
 */
export async function open(blob, place, keys) {
  const bytes = Buffer.from(blob);
  assert.equal(bytes[0], 1);
  const padded = Buffer.from(
    await webcrypto.subtle.decrypt(
      { name: "AES-GCM", iv: bytes.subarray(2, 14), additionalData: associated(place) },
      await fieldKey(keys.get(bytes[1]), place.tenant),
      bytes.subarray(14),
    ),
  );
  assert.equal(padded.length % 32, 0);
  const end = 4 + padded.readUInt32BE(0);
  assert.ok(padded.subarray(end).every((byte) => byte === 0));
  return padded.subarray(4, end).toString();
}

/** The reverse. */
export async function seal(text, place, keys, version) {
  const plain = Buffer.from(text);
  const padded = Buffer.alloc(Math.ceil((plain.length + 4) / 32) * 32);
  padded.writeUInt32BE(plain.length);
  plain.copy(padded, 4);
  const iv = webcrypto.getRandomValues(new Uint8Array(12));
  const key = await fieldKey(keys.get(version), place.tenant);
  const sealed = await webcrypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: associated(place) }, key, padded);
  return Buffer.concat([Buffer.from([1, version]), iv, Buffer.from(sealed)]);
}

async function fieldKey(master, tenant) {
  const from = await webcrypto.subtle.importKey("raw", master, "HKDF", false, ["deriveKey"]);
  return webcrypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: Buffer.from("postern/kek/v1"), info: parts("field", tenant) },
    from,
    { name: "AES-GCM", length: 256 },
    false,
    ["decrypt", "encrypt"],
  );
}

const associated = ({ tenant, table, column, row, generation }) => parts("postern/field/v1", tenant, table, column, number(row), number(generation));

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

// What an envelope is, read from docs/reference/room-events.md alone: nothing here is the node's code.
// The signature is checked by OpenSSL, through node:crypto.

import { createHash, createPublicKey, verify } from "node:crypto";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const SIZE_MAX = 46_000;

/** Matrix's canonical JSON: keys in the order of their UTF-8, integers alone. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new Error(`number: ${value}`);
  return JSON.stringify(value);
}

export const digest = (value) => createHash("sha256").update(canonical(value)).digest("hex");

/** The public key of a did:key. */
function keyOf(did) {
  const text = did.startsWith("did:key:z") ? did.slice(9) : "";
  let number = 0n;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) throw new Error(`did: ${did}`);
    number = number * 58n + BigInt(digit);
  }
  // The first byte is 0xed: no zeros stand before it.
  const bytes = Buffer.from(number.toString(16), "hex");
  if (bytes.length !== 34 || bytes[0] !== 0xed || bytes[1] !== 0x01) throw new Error(`did: ${did}`);
  const key = { kty: "OKP", crv: "Ed25519", x: bytes.subarray(2).toString("base64url") };
  return createPublicKey({ key, format: "jwk" });
}

/** Throws where nobody signed this content for this room, type and sender. */
export function check(content, room, type, sender) {
  for (const field of ["id", "did", "room", "type", "sender", "sig"]) {
    if (typeof content[field] !== "string") throw new Error(`shape: ${field} is missing`);
  }
  const { sig, "m.relates_to": relation, ...said } = content;
  if (relation?.rel_type === "m.replace" || "m.new_content" in content) throw new Error("edit: an envelope never is one");
  if (Buffer.byteLength(canonical({ ...said, sig })) > SIZE_MAX) throw new Error("size: it is too large");
  if (!/^[0-9a-f]{128}$/.test(sig)) throw new Error("signature: 128 hex digits");
  const isSigned = verify(null, Buffer.from(canonical(said)), keyOf(said.did), Buffer.from(sig, "hex"));
  if (!isSigned) throw new Error("signature: it is not that of its DID");
  for (const [what, isSo] of Object.entries({ room, type, sender })) {
    if (said[what] !== isSo) throw new Error(`${what}: signed for ${said[what]}, found at ${isSo}`);
  }
}

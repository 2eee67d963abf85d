// Ids: generated ones, and ids that become a part of a URL. Other arguments that are checked before a request.

import { TidelineError } from "./errors.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const DIGITS = /^\d{1,16}$/;

let lastTime = 0;
let lastCount = 0;

/**
 * Random bytes. Web Crypto has getRandomValues on insecure origins too, where randomUUID is missing. Node 18 has no global
 * Web Crypto: ids must be unique among those of one sender and need not be secret, so Math.random is enough there.
 */
function randomBytes(count) {
  const bytes = new Uint8Array(count);
  return globalThis.crypto?.getRandomValues(bytes) ?? bytes.map(() => Math.random() * 256);
}

/** A UUIDv7 that sorts after every one that was generated here before it. */
export function uuidv7() {
  const bytes = randomBytes(16);
  const now = Date.now();
  if (now > lastTime) {
    lastTime = now;
    lastCount = bytes[6] & 0x07;
  } else if (++lastCount > 0xfff) {
    lastTime++;
    lastCount = 0;
  }
  for (let i = 0, time = lastTime; i < 6; i++, time = Math.floor(time / 256)) bytes[5 - i] = time % 256;
  bytes[6] = 0x70 | (lastCount >> 8);
  bytes[7] = lastCount & 0xff;
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export const isUuid = (value) => typeof value === "string" && UUID.test(value);

/** Applications take ids from links: any other text in a URL would make it a different request. */
function checked(fits, value, what) {
  if (fits) return value;
  throw new TidelineError({ code: "validation", detail: `not ${what}: ${JSON.stringify(String(value).slice(0, 80))}` });
}

/** The id as the server writes it; `validation` when it is not an id. */
export const uuid = (value) => checked(isUuid(value), value, "a UUID").toLowerCase();

/** The seq, for a URL; `validation` when it is not a seq. */
export const seqOf = (value) => checked(DIGITS.test(String(value)), value, "a seq");

/** The emoji as a segment of a URL; `validation` when it would make it a different request. */
export const emojiOf = (value) => encodeURIComponent(checked(typeof value === "string" && !["", ".", ".."].includes(value), value, "an emoji"));

/** A time that is a Date, as text; `validation` when it is no time. */
export const iso = (time) => (time instanceof Date ? checked(Number.isFinite(time.getTime()), time, "a time").toISOString() : time);

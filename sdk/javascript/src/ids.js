// Ids that are made here.

// getRandomValues and not randomUUID, which insecure origins do not have. Node 18 has it in a module only.
const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
let lastTime = 0;
let lastCount = 0;

/** A UUIDv7 that sorts after every one made or seen before it: outboxes are kept in this order. */
export function uuidv7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
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

/** A clock that was set back, or another tab's that is ahead, must not put new messages before older ones. */
export function noteId(id) {
  const time = parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  if (id[14] === "7" && time > lastTime && time < Date.now() + 86_400_000) [lastTime, lastCount] = [time, 0xfff];
}

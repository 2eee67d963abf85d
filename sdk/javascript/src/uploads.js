// Uploads. The media of a message are uploaded before it is sent. An upload is repeated by what the server says: it has a part or not,
// and the same `client_media_id` is the same upload. So tabs need no agreement, and a lock only keeps them from sending the same part
// twice.

import { TidelineError } from "./errors.js";
import { isUuid, uuidv7 } from "./ids.js";
import { DAY_MS, SLOWEST, UPLOADS, UPLOADS_PARTS } from "./limits.js";
import { abortable, backoff, handled, linked } from "./signals.js";

/** The types that the server shows. Anything else is a file. */
const PICTURES = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const VIDEOS = ["video/mp4", "video/webm", "video/quicktime"];
/** The shortest time between two events of progress, and between two looks at an upload that the server processes. */
const PROGRESS_MS = 100;
const LOOK_MS = 500;

/** The kind of media of a type. A video needs its dimensions and its length. */
function kindOf(mime, { width, height, duration_ms }) {
  if (PICTURES.includes(mime)) return "image";
  return VIDEOS.includes(mime) && width && height && duration_ms !== undefined ? "video" : "file";
}

/** The SHA-256 digest in base64, where the engine has one: not in Node 18, and not on insecure origins. */
async function digestOf(bytes) {
  const subtle = globalThis.crypto?.subtle;
  return subtle && btoa(String.fromCharCode(...new Uint8Array(await subtle.digest("SHA-256", bytes))));
}

const lost = () => new TidelineError({ code: "bytes_lost", detail: "the bytes of the upload are not stored here any more: attach the file again" });

/** A number of turns, in the order of asking. */
class Turns {
  #free;
  #queue = [];

  constructor(count) {
    this.#free = count;
  }

  async run(signal, work) {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      this.#give();
    }
  }

  async #wait(signal) {
    let turn;
    const mine = new Promise((resolve) => this.#queue.push((turn = resolve)));
    try {
      await abortable(mine, signal);
    } catch (error) {
      const at = this.#queue.indexOf(turn);
      if (at >= 0) this.#queue.splice(at, 1);
      else this.#give();
      throw error;
    }
  }

  #give() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free++;
  }
}

/** The uploads of the person: those that run or have failed, and those that are ready and not sent yet. */
export class Uploads {
  #core;
  #isSent;
  #items = new Map();
  #bytes = new Map();
  #waiting = new Map();
  #running = new Map();
  /** The writes of each upload, one after the other: a delete must come last. */
  #writes = new Map();
  #emittedAt = new Map();
  #gone = new Set();
  #open = new Turns(UPLOADS);
  #parts = new Turns(UPLOADS_PARTS);

  /** `isSent` says whether a message of the outbox has this upload. */
  constructor(core, isSent) {
    this.#core = core;
    this.#isSent = isSent;
  }

  list() {
    return [...this.#items.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  get(id) {
    return this.#items.get(id) ?? null;
  }

  /** The bytes of an upload, as far as they are stored here; null: they are not. */
  async bytes(id) {
    const item = this.#items.get(id);
    return item ? (this.#bytes.get(id) ?? this.#core.store.readBytes(`${item.user_id}:bytes:${id}`)) : null;
  }

  isWanted(id) {
    return this.#isSent(id);
  }

  /** Begins an upload, and returns it. The bytes are a Blob, a File, or bytes in memory. */
  add(bytes, { kind, name = bytes.name ?? "file", mime = bytes.type || "application/octet-stream", width, height, duration_ms } = {}) {
    const { session, life } = this.#core;
    life.signal.throwIfAborted();
    if (!session.current) throw new TidelineError({ code: "unauthenticated", status: 401, detail: "nobody is logged in: call login" });
    if (!(bytes instanceof Blob) && !(bytes instanceof ArrayBuffer) && !ArrayBuffer.isView(bytes)) {
      throw new TidelineError({ code: "validation", detail: "an upload is a Blob, or bytes in memory" });
    }
    const blob = bytes instanceof Blob ? bytes : new Blob([bytes]);
    const id = uuidv7();
    const about = { kind: kind ?? kindOf(mime, { width, height, duration_ms }), name, mime, size: blob.size, width, height, duration_ms };
    const state = { state: "uploading", sent: 0, media_id: null, media: null, error: null };
    const item = { id, client_media_id: id, user_id: session.user.id, ...about, ...state, created_at: new Date().toISOString() };
    this.#bytes.set(id, blob);
    this.#change(item);
    this.#then(id, () => this.#core.store.writeBytes(`${item.user_id}:bytes:${id}`, blob));
    this.#start(id);
    return item;
  }

  /** The media when they are ready. Rejects when the upload has failed or was cancelled. */
  async done(id, { signal } = {}) {
    if (!this.#items.has(id)) await this.#load();
    const item = this.#items.get(id);
    if (!item) throw refused(lost());
    if (item.state === "ready") return item.media;
    if (item.state === "failed") throw refused(new TidelineError(item.error));
    let waiting = this.#waiting.get(id);
    if (!waiting) {
      waiting = {};
      waiting.promise = handled(new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject })));
      this.#waiting.set(id, waiting);
    }
    this.#start(id);
    return abortable(waiting.promise, signal);
  }

  /** Uploads a failed one again, and looks again at one that is ready: the server deletes media that no message has for a day. */
  retry(id) {
    const item = this.#items.get(id);
    if (!item || item.state === "uploading" || item.state === "processing") return;
    const anew = ["media_rejected", "client_msg_id_reused"].includes(item.error?.code) && { media_id: null, client_media_id: uuidv7() };
    this.#change({ ...item, ...anew, state: "uploading", sent: 0, media: null, error: null });
    this.#start(id);
  }

  /** Ends an upload, and deletes what the server has of it. */
  async cancel(id) {
    const item = this.#items.get(id);
    if (!item) return;
    this.#core.tabs.post({ type: "upload_gone", id });
    this.gone(id);
    await this.#unwrite(item);
    if (item.media_id) await this.#delete(item);
  }

  /** Media that a message has stay. What cannot be deleted now, the server deletes after a day. */
  #delete({ media_id, user_id }) {
    return this.#core.session.call("DELETE", `/v1/media/${media_id}`, { user: user_id }).catch(() => {});
  }

  /** It was cancelled, perhaps in another tab. */
  gone(id) {
    const item = this.#forget(id);
    if (!item) return;
    const error = new TidelineError({ code: "discarded", detail: "the upload was cancelled" });
    this.#running.get(id)?.abort(error);
    this.#settle(id, (waiting) => waiting.reject(refused(error)));
    this.#core.emit("upload", { ...item, state: "cancelled" });
  }

  /** A message has the media: the upload has done its work. */
  posted(id) {
    const item = this.#forget(id);
    if (!item) return;
    this.#running.get(id)?.abort(new TidelineError({ code: "hurry" }));
    this.#core.spawn(this.#unwrite(item));
  }

  /** The same, of media that are a picture of a user or a group. */
  kept(id) {
    this.#core.tabs.post({ type: "upload_gone", id });
    this.posted(id);
  }

  #forget(id) {
    const item = this.#items.get(id);
    this.#gone.add(id);
    for (const map of [this.#items, this.#bytes, this.#emittedAt]) map.delete(id);
    return item;
  }

  async #unwrite({ id, user_id }) {
    await this.#then(id, async () => {
      await this.#core.store.delete(`${user_id}:upload:${id}`);
      await this.#core.store.deleteBytes(`${user_id}:bytes:${id}`);
    });
    this.#writes.delete(id);
  }

  /** One write after the other, also when the client is closed meanwhile. */
  #then(id, write) {
    const writes = Promise.resolve(this.#writes.get(id)).then(write);
    this.#writes.set(id, writes);
    this.#core.spawn(writes);
    return writes;
  }

  #change(item) {
    this.#items.set(item.id, item);
    this.#then(item.id, () => this.#items.has(item.id) && this.#core.store.write(`${item.user_id}:upload:${item.id}`, this.#items.get(item.id)));
    this.#tell(item);
  }

  #tell(item) {
    this.#emittedAt.set(item.id, Date.now());
    this.#core.emit("upload", item);
    this.#core.tabs.post({ type: "upload", upload: item });
  }

  #progress(id, sent) {
    const item = this.#items.get(id);
    if (!item || sent === item.sent) return;
    const next = { ...item, sent: Math.min(sent, item.size), error: null };
    this.#items.set(id, next);
    if (Date.now() - (this.#emittedAt.get(id) ?? 0) >= PROGRESS_MS || next.sent === next.size) this.#tell(next);
  }

  /** Another tab uploads it. If that tab closes, the leader goes on. */
  receive(item) {
    if (this.#gone.has(item.id)) return;
    this.#items.set(item.id, item);
    this.#core.emit("upload", item);
    if (item.state === "ready" || item.state === "failed") {
      this.#running.get(item.id)?.abort(new TidelineError({ code: "hurry" }));
      this.#conclude(item);
    } else if (this.#core.tabs.leader) this.#start(item.id);
  }

  #conclude({ id, state, media, error }) {
    if (state === "ready") this.#settle(id, (waiting) => waiting.resolve(media));
    else this.#settle(id, (waiting) => waiting.reject(refused(new TidelineError(error))));
  }

  #settle(id, how) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting) how(waiting);
  }

  rejectAll(reason) {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (waiting) => waiting.reject(reason));
  }

  clear() {
    for (const map of [this.#items, this.#bytes, this.#emittedAt]) map.clear();
  }

  /** Their owner has logged out. */
  async drop() {
    const { owner } = this.#core.session;
    await Promise.all(this.#writes.values());
    this.#writes.clear();
    for (const key of await this.#core.store.keys(`${owner}:upload:`)) await this.#core.store.delete(key);
    for (const key of await this.#core.store.bytesKeys(`${owner}:bytes:`)) await this.#core.store.deleteBytes(key);
  }

  /** Takes up the uploads of an earlier run or of another tab, after the messages that they belong to. */
  async restore() {
    await this.#load();
    await this.#tidy();
    if (this.#core.tabs.leader) this.startAll();
  }

  async #load() {
    const { session, store } = this.#core;
    const { owner } = session;
    const fits = (value) => value === null || (value.user_id === owner && isUuid(value.id) && typeof value.state === "string" && value.size >= 0);
    for (const key of await store.keys(`${owner}:upload:`)) {
      const item = await store.read(key, fits);
      if (session.owner !== owner || !item || this.#items.has(item.id) || this.#gone.has(item.id)) continue;
      this.#items.set(item.id, item);
      this.#core.emit("upload", item);
    }
  }

  /** Deletes what is left of uploads: the bytes of one that is not there, and one that has ended a day ago and belongs to no message. */
  async #tidy() {
    const { owner } = this.#core.session;
    const start = `${owner}:bytes:`;
    const stored = await this.#core.store.bytesKeys(start);
    // An upload is written before its bytes.
    const known = new Set((await this.#core.store.keys(`${owner}:upload:`)).map((key) => key.split(":").at(-1)));
    for (const key of stored) if (!known.has(key.slice(start.length)) && !this.#items.has(key.slice(start.length))) await this.#core.store.deleteBytes(key);
    for (const { id, state, created_at } of this.list()) {
      const ended = state === "ready" || state === "failed";
      if (ended && !this.#isSent(id) && Date.now() - new Date(created_at) > DAY_MS) this.posted(id);
    }
  }

  startAll() {
    for (const { id, state } of this.list()) if (state === "uploading" || state === "processing") this.#start(id);
  }

  // One upload, in one tab at a time.

  #start(id) {
    const { session, links } = this.#core;
    if (!session.term || this.#running.has(id)) return;
    const link = linked([session.term.signal], { all: links });
    this.#running.set(id, link);
    const work = () => this.#open.run(link.signal, () => this.#run(id, link.signal));
    const done = () => {
      link.done();
      if (this.#running.get(id) === link) this.#running.delete(id);
    };
    this.#core.spawn(this.#core.withLock(`${session.owner}:upload:${id}`, work, { signal: link.signal }).finally(done));
  }

  async #run(id, signal) {
    for (let failures = 0, anew = false; this.#items.has(id); ) {
      const before = this.#items.get(id).sent;
      try {
        const media = await this.#transfer(id, signal);
        signal.throwIfAborted();
        const item = this.#items.get(id);
        return this.#end({ ...item, state: "ready", media, sent: item.size, error: null });
      } catch (error) {
        const item = this.#items.get(id);
        if (signal.aborted || !item) throw error;
        if (error.status === 404 && item.media_id && !anew) {
          // The server has deleted it: after a day, or on another device.
          anew = true;
          this.#change({ ...item, media_id: null, client_media_id: uuidv7(), sent: 0 });
          continue;
        }
        const { code, status, detail, request_id, errors } = error;
        const reason = { code, status, detail, request_id, errors };
        if (!error.transient && status !== 401) return this.#end({ ...item, state: "failed", error: reason });
        this.#items.set(id, { ...item, error: reason });
        this.#tell(this.#items.get(id));
        failures = item.sent > before ? 1 : failures + 1;
        await this.#core.pause(backoff(this.#core.backoff, failures - 1, error), signal, { atLeast: error.retryAfterMs ?? 0 });
      }
    }
  }

  #end(item) {
    this.#change(item);
    this.#conclude(item);
  }

  async #transfer(id, signal) {
    const { client_media_id, media_id, kind, name, mime, size, width, height, duration_ms, user_id: user } = this.#items.get(id);
    const { session } = this.#core;
    let upload;
    if (media_id) upload = await session.authorized("GET", `/v1/media/${media_id}/upload`, { user, signal });
    else {
      const body = { client_media_id, kind, name, mime, size, width, height, duration_ms };
      // A cancel does not end this request, or the server would keep an upload that nobody knows.
      upload = await session.authorized("POST", "/v1/media", { user, body });
      if (signal.aborted && !this.#items.has(id)) this.#core.spawn(this.#delete({ media_id: upload.media.id, user_id: user }));
      signal.throwIfAborted();
      this.#change({ ...this.#items.get(id), media_id: upload.media.id });
    }
    const path = `/v1/media/${upload.media.id}`;
    let { media } = upload;
    if (media.state === "uploading") {
      await this.#sendParts(id, path, upload, signal);
      signal.throwIfAborted();
      this.#change({ ...this.#items.get(id), state: "processing", sent: size, error: null });
      media = await session.authorized("POST", `${path}/complete`, { user, signal });
    }
    while (media.state === "processing") {
      await this.#core.pause(LOOK_MS, signal);
      media = await session.authorized("POST", `${path}/complete`, { user, signal });
    }
    if (media.state === "ready") return media;
    throw new TidelineError({ code: "media_rejected", detail: `the server has refused the media: ${media.reason}`, errors: [{ pointer: "", detail: media.reason }] });
  }

  /** Sends the parts that are missing, two at a time. After a failure no other part is begun; one that is on its way may arrive. */
  async #sendParts(id, path, { parts, part_bytes }, signal) {
    const missing = parts.filter(({ received }) => !received);
    const sent = new Map(parts.filter(({ received }) => received).map(({ part, size }) => [part, size]));
    const link = linked([signal]);
    const note = (part, bytes) => {
      sent.set(part, bytes);
      this.#progress(id, [...sent.values()].reduce((sum, one) => sum + one, 0));
    };
    const work = async () => {
      for (let one; (one = missing.shift()); ) {
        const { part, size } = one;
        const send = () => this.#sendPart(id, `${path}/parts/${part}`, { from: (part - 1) * part_bytes, size, progress: (bytes) => note(part, Math.min(bytes, size)) }, link.signal);
        try {
          await this.#parts.run(link.signal, send);
        } catch (error) {
          missing.length = 0;
          throw error;
        }
        note(part, size);
      }
    };
    const offline = () => link.abort(new TidelineError({ code: "network", detail: "the network is gone" }));
    this.#core.onOffline.add(offline);
    try {
      note(0, 0);
      const failed = (await Promise.allSettled([work(), work()])).find(({ status }) => status === "rejected");
      signal.throwIfAborted();
      if (failed) throw failed.reason;
    } finally {
      this.#core.onOffline.delete(offline);
      link.done();
    }
  }

  async #sendPart(id, path, { from, size, progress }, signal) {
    const { user_id: user } = this.#items.get(id) ?? {};
    const bytes = await this.#read(id, from, size);
    const options = { user, bytes, digest: await digestOf(bytes), progress, signal, timeoutMs: this.#core.options.requestTimeoutMs + size / SLOWEST };
    for (let failures = 0; ; failures++) {
      try {
        return await this.#core.session.authorized("PUT", path, options);
      } catch (error) {
        // It came twice, and the upload was completed: what is left to do is the server's.
        if (error.code === "conflict") return null;
        // Another tab or device sends parts too.
        if (error.status !== 429) throw error;
        await this.#core.pause(backoff(this.#core.backoff, failures, error), signal);
      }
    }
  }

  /** A file that was changed or moved since cannot be read; the stored copy can. */
  async #read(id, from, size) {
    for (const look of [() => this.#bytes.get(id), () => this.#core.store.readBytes(`${this.#items.get(id)?.user_id}:bytes:${id}`)]) {
      const blob = await look();
      const bytes = await blob?.slice(from, from + size).arrayBuffer().catch(() => null);
      if (bytes?.byteLength !== size) continue;
      this.#bytes.set(id, blob);
      return bytes;
    }
    throw lost();
  }
}

/** The error of an upload, which ends the message too. */
function refused(error) {
  return Object.defineProperty(error, "refusedUpload", { value: true });
}

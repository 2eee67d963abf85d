// Sending. A message goes into the outbox, and leaves it when the server has stored or refused it. Each conversation has
// one message in flight, over all tabs: with two, a retry of the first could be stored after the second. A message is sent
// only under the session of the person who wrote it, or waits for that session.
//
// The media of a message are uploaded before it is sent, and later messages of its conversation wait. An upload is repeated by what
// the server says: it has a part or not, and the same `client_media_id` is the same upload. So tabs need no agreement, and a lock only
// keeps them from sending the same part twice.

import { TidelineError } from "./errors.js";
import { isUuid, seqOf, uuid, uuidv7 } from "./ids.js";
import { DAY_MS, SLOWEST, UPLOADS, UPLOADS_PARTS } from "./limits.js";
import { abortable, backoff, handled, linked } from "./signals.js";

/** How many settled sends are remembered, so that a late read of the storage does not restore one. */
const SETTLED = 1_000;

const keyOf = ({ user_id, client_msg_id }) => `${user_id}:outbox:${client_msg_id}`;
const isContent = ({ kind, content }) => typeof kind === "string" && content instanceof Object;
/** The uploads of a message, by the field of its content. */
const uploadsOf = ({ upload, poster_upload }) => Object.entries({ media_id: upload, poster_media_id: poster_upload }).filter(([, id]) => id !== undefined);
const isForward = ({ forward }) => isUuid(forward?.conversation_id) && Number.isSafeInteger(forward.seq) && forward.seq > 0;

/** A copy, because a retry must equal the first attempt. It is made as JSON, which also copies the proxies of frameworks. */
function contentOf(message, mentions) {
  let cause;
  try {
    const copy = JSON.parse(JSON.stringify(typeof message === "string" ? { kind: "text", content: { text: message } } : message));
    const { kind, forward, upload, poster_upload } = copy;
    const content = upload === undefined ? copy.content : (copy.content ?? {});
    if (forward !== undefined && kind === undefined && content === undefined && !mentions && isForward({ forward })) {
      return { forward: { conversation_id: forward.conversation_id, seq: forward.seq } };
    }
    if (forward !== undefined) throw new TypeError("a forward has no other content");
    if (mentions) content.mentions = [...mentions];
    const uploads = { ...(upload !== undefined && { upload: uuid(upload) }), ...(poster_upload !== undefined && { poster_upload: uuid(poster_upload) }) };
    if (isContent({ kind, content })) return { kind, content, ...uploads };
  } catch (error) {
    cause = error;
  }
  throw new TidelineError({ code: "validation", detail: "a message is a text, { kind, content } of JSON, { kind, upload }, or { forward: { conversation_id, seq } }, and its mentions are a list", cause });
}

export class Outbox {
  #core;
  items = new Map();
  uploads;
  writes = Promise.resolve();
  #attempts = new Map();
  #waiting = new Map();
  #pumps = new Map();
  #settled = new Set();
  /** The person whose stored messages have been read, and the ids of messages that were written here before that. */
  #loadedFor = null;
  #early = [];
  #lastOrder = 0;

  constructor(core) {
    this.#core = core;
    this.uploads = new Uploads(core, (id) => [...this.items.values()].some((item) => uploadsOf(item).some(([, one]) => one === id)));
  }

  list() {
    return [...this.items.values()].sort((a, b) => a.order - b.order || (a.client_msg_id < b.client_msg_id ? -1 : 1));
  }

  send(conversationId, message, { mentions, mention_all, reply_to, expires_in, client_msg_id = uuidv7(), signal } = {}) {
    const { session, life } = this.#core;
    try {
      life.signal.throwIfAborted();
      signal?.throwIfAborted();
      conversationId = uuid(conversationId);
      client_msg_id = uuid(client_msg_id);
      const body = contentOf(message, mentions);
      const more = {
        ...(mention_all && { mention_all: true }),
        ...(reply_to !== undefined && { reply_to: Number(seqOf(reply_to)) }),
        ...(expires_in !== undefined && { expires_in }),
      };
      const options = { client_msg_id, signal, ...more };
      if (!session.current) return handled(session.sessionNow().then(() => this.send(conversationId, body, options)));
      const created_at = new Date().toISOString();
      const item = { client_msg_id, user_id: session.user.id, conversation_id: conversationId, ...body, created_at, ...more };
      return this.#enqueue({ ...item, order: this.#number() }, signal);
    } catch (error) {
      return handled(Promise.reject(error));
    }
  }

  retry(clientMsgId, { signal } = {}) {
    const item = this.items.get(clientMsgId.toLowerCase());
    if (!item) return Promise.reject(new TidelineError({ code: "not_found", detail: "no such message in the outbox" }));
    if (item.state !== "failed") return this.#promise(item.client_msg_id, signal);
    for (const [, id] of uploadsOf(item)) this.uploads.retry(id);
    return this.#enqueue(item, signal);
  }

  async discard(clientMsgId) {
    const item = this.items.get(clientMsgId.toLowerCase());
    if (!item) return;
    this.#core.tabs.post({ type: "discarded", item });
    this.discarded(item);
    for (const [, id] of uploadsOf(item)) if (!this.uploads.isWanted(id)) this.#core.spawn(this.uploads.cancel(id));
    await this.#unwrite(item);
  }

  /** The session has ended. Unstored messages stay until their owner logs in again or discards them. */
  end(reason) {
    for (const attempt of this.#attempts.values()) attempt.abort(reason);
    this.rejectAll(reason);
  }

  /** Messages of another person are not shown. They stay in the storage. */
  clear() {
    this.items.clear();
    this.uploads.clear();
    this.#loadedFor = null;
    this.#early = [];
  }

  /** Their owner has logged out: all of their messages are deleted. */
  async drop() {
    const items = [...this.items.values()];
    this.clear();
    for (const item of items) await this.#unwrite(item);
    await this.uploads.drop();
  }

  /** Waits until no message of a conversation is in flight, at most for the time of a request. */
  async drained(conversationId, signal) {
    const link = linked([signal], { ms: this.#core.options.requestTimeoutMs, all: this.#core.links });
    try {
      await this.load();
      for (let item; this.#core.session.term && (item = this.#next(conversationId)); ) {
        await abortable(this.#promise(item.client_msg_id).catch(() => {}), link.signal);
      }
    } finally {
      link.done();
    }
  }

  /** The order of sending is by number, not by id: an application may bring its own ids, and clocks are set back. */
  #number() {
    return (this.#lastOrder = Math.max(this.#lastOrder + 1, Date.now()));
  }

  async #unwrite(item) {
    await this.writes;
    await this.#core.store.delete(keyOf(item));
  }

  #enqueue(item, signal) {
    item = { ...item, state: "sending", error: null };
    this.#core.typing.sent(item.conversation_id);
    const stored = this.#promise(item.client_msg_id, signal);
    this.#settled.delete(item.client_msg_id);
    if (this.#loadedFor !== item.user_id) {
      if (this.#early.push(item.client_msg_id) === 1) this.writes = this.writes.then(() => this.load());
    }
    this.#note(item);
    this.#write(item);
    this.#core.tabs.post({ type: "item", item });
    this.pump(item.conversation_id);
    return stored;
  }

  #promise(id, signal) {
    let waiting = this.#waiting.get(id);
    if (!waiting) {
      waiting = {};
      waiting.promise = handled(new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject })));
      this.#waiting.set(id, waiting);
    }
    if (!signal) return waiting.promise;
    const discard = () => this.#core.spawn(this.discard(id));
    signal.aborted ? discard() : signal.addEventListener("abort", discard, { once: true });
    handled(waiting.promise.finally(() => signal.removeEventListener("abort", discard)));
    return handled(abortable(waiting.promise, signal));
  }

  #note(item) {
    this.#lastOrder = Math.max(this.#lastOrder, item.order);
    this.items.set(item.client_msg_id, item);
    this.#core.emit("send", { state: item.state, item, message: null, error: item.error });
  }

  /** Writes happen one after the other, and an item is written before it is sent. */
  #write({ client_msg_id }) {
    this.writes = this.writes.then(() => {
      const item = this.items.get(client_msg_id);
      return item && this.#core.store.write(keyOf(item), item);
    });
  }

  /** Reads the stored messages of an earlier run or of another tab. */
  async load() {
    const { session, store } = this.#core;
    const { owner } = session;
    try {
      const found = [];
      for (const key of await store.keys(`${owner}:outbox:`)) {
        const item = await store.read(key, (value) => value === null || this.#isItem(value, owner));
        if (item && !this.#settled.has(item.client_msg_id) && !this.items.has(item.client_msg_id)) found.push([key, item]);
      }
      if (session.owner !== owner) return;
      found.sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [at, [key, item]] of found.entries()) {
        // Versions before 0.1 stored no number; their ids were the order.
        if (this.#sendable(item)) this.#note({ order: at, ...item });
        else await this.#refuse(key, item);
      }
      this.#loadedFor = owner;
      this.#core.spawn(this.uploads.restore());
      for (const id of this.#early.splice(0)) {
        const item = this.items.get(id);
        if (item) this.items.set(id, { ...item, order: this.#number() });
      }
    } catch (error) {
      this.#core.report(error);
    }
  }

  #isItem(value, owner) {
    const { user_id, client_msg_id, state } = value;
    const known = state === "sending" || state === "failed";
    return known && user_id === owner && typeof client_msg_id === "string" && (isContent(value) || isForward(value));
  }

  /** Its ids become a part of a URL. Versions before 0.1 did not check them. */
  #sendable({ conversation_id, client_msg_id }) {
    return isUuid(conversation_id) && isUuid(client_msg_id);
  }

  async #refuse(key, item) {
    await this.#core.store.delete(key);
    const error = { code: "validation", status: 0, detail: "an id of the message is not a UUID", request_id: null, errors: [] };
    this.#core.emit("send", { state: "failed", item: { ...item, state: "failed", error }, message: null, error });
  }

  #next(conversationId) {
    return this.list().find((item) => item.conversation_id === conversationId && item.state === "sending");
  }

  /** Sends the queued messages of a conversation, of all tabs, one at a time under the lock, until the session ends. */
  pump(conversationId) {
    const { session, life } = this.#core;
    if (!session.term) return;
    const { owner, term } = session;
    const name = `${owner}:send:${conversationId}`;
    const running = this.#pumps.get(name);
    if (running) return void (running.again = true);
    const pump = { again: false };
    const empty = async () => {
      pump.again = false;
      await this.writes;
      if (!this.#next(conversationId)) await this.load();
      return !this.#next(conversationId) && !pump.again;
    };
    const drain = async () => {
      for (let failures = 0; !term.signal.aborted && !(await empty()) && !term.signal.aborted; ) {
        const item = this.#next(conversationId);
        if (item) failures = await this.#attempt(item, failures);
      }
    };
    this.#pumps.set(name, pump);
    const done = () => {
      this.#pumps.delete(name);
      // A message came after the last check, or the same person has logged in again.
      if (pump.again && session.owner === owner && !life.signal.aborted) this.pump(conversationId);
    };
    this.#core.spawn(this.#core.withLock(name, drain).finally(done));
  }

  /** Sends the queued messages of all conversations. */
  pumpAll() {
    this.uploads.startAll();
    for (const item of this.list()) if (item.state === "sending") this.pump(item.conversation_id);
  }

  /** The rules of a conversation may have changed: a message that waits for slow mode is sent again. */
  wake(conversationId) {
    const link = this.#attempts.get(this.#next(conversationId)?.client_msg_id);
    if (link?.slow) link.abort(new TidelineError({ code: "hurry" }));
  }

  /** One attempt, and a pause after a failure. Returns the number of consecutive failures. */
  async #attempt(item, failures) {
    const { session, tabs, life, links } = this.#core;
    const link = linked([], { all: links });
    this.#attempts.set(item.client_msg_id, link);
    const { client_msg_id, conversation_id, user_id, kind, forward, mention_all, reply_to, expires_in } = item;
    try {
      const content = await this.#withMedia(item, link.signal);
      const body = { client_msg_id, kind, content, forward, mention_all, reply_to, expires_in };
      const options = { body, user: user_id, signal: link.signal };
      const message = await session.authorized("POST", `/v1/conversations/${uuid(conversation_id)}/messages`, options);
      // Post before the item is deleted: if this tab dies in between, another tab sends it again and gets the same response.
      tabs.post({ type: "stored", item, message });
      this.stored(item, message);
      await this.#unwrite(item);
    } catch (error) {
      life.signal.throwIfAborted();
      if (link.signal.aborted) return 0;
      // Only a refusal is final, of the message or of its upload. Without a session, or without a response, the message waits.
      if (error.transient || (error.status < 400 && !error.refusedUpload) || error.status === 401) {
        this.#core.emit("send", { state: "sending", item, message: null, error });
        link.slow = error.code === "slow_mode";
        // Later messages wait until this one is settled: this keeps their order.
        const ms = backoff(this.#core.backoff, failures, error);
        await this.#core.pause(ms, link.signal, { atLeast: error.retryAfterMs ?? 0 }).catch(() => life.signal.throwIfAborted());
        return failures + 1;
      }
      this.#failed(item, error);
    } finally {
      link.done();
      if (this.#attempts.get(client_msg_id) === link) this.#attempts.delete(client_msg_id);
    }
    return 0;
  }

  /** The content with its media, which the server must have. */
  async #withMedia(item, signal) {
    const content = { ...item.content };
    for (const [name, id] of uploadsOf(item)) content[name] = (await this.uploads.done(id, { signal })).id;
    return item.content && content;
  }

  #failed(item, error) {
    if (!this.items.has(item.client_msg_id)) return;
    const { code, status, detail, request_id, errors } = error;
    const failed = { ...item, state: "failed", error: { code, status, detail, request_id, errors } };
    this.#note(failed);
    this.#write(failed);
    this.#core.tabs.post({ type: "item", item: failed });
    this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  /** Another tab has written a message, or a send has failed there. */
  receive(item) {
    if (this.#settled.has(item.client_msg_id) || !this.#sendable(item)) return;
    this.#note({ order: this.#number(), ...item });
    if (item.state === "failed") {
      const error = new TidelineError(item.error);
      this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
    } else if (this.#core.tabs.leader) this.pump(item.conversation_id);
  }

  stored(item, message) {
    const known = this.#forget(item);
    for (const [, id] of uploadsOf(item)) if (!this.uploads.isWanted(id)) this.uploads.posted(id);
    if (!known) return;
    this.#core.changes.expect(message);
    this.#core.emit("send", { state: "stored", item: { ...item, state: "stored" }, message, error: null });
    this.#settle(item.client_msg_id, (waiting) => waiting.resolve(message));
  }

  discarded(item) {
    if (!this.#forget(item)) return;
    const error = new TidelineError({ code: "discarded", detail: "the message was given up" });
    this.#attempts.get(item.client_msg_id)?.abort(error);
    this.#core.emit("send", { state: "discarded", item: { ...item, state: "discarded" }, message: null, error: null });
    this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  #forget({ client_msg_id }) {
    this.#settled.add(client_msg_id);
    if (this.#settled.size > SETTLED) this.#settled.delete(this.#settled.values().next().value);
    return this.items.delete(client_msg_id);
  }

  #settle(id, how) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting) how(waiting);
  }

  rejectAll(reason) {
    this.uploads.rejectAll(reason);
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (waiting) => waiting.reject(reason));
  }
}

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

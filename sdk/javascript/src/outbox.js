// Sending. A message goes into the outbox, and leaves it when the server has stored or refused it. Each conversation has
// one message in flight, over all tabs: with two, a retry of the first could be stored after the second. A message is sent
// only under the session of the person who wrote it, or waits for that session.
//
// The media of a message are uploaded before it is sent (uploads.js), and later messages of its conversation wait.

import { TidelineError } from "./errors.js";
import { isUuid, seqOf, uuid, uuidv7 } from "./ids.js";
import { abortable, backoff, handled, linked } from "./signals.js";
import { Uploads } from "./uploads.js";

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

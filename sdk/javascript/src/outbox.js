// Sending. A message goes into the outbox, and leaves it when the server has stored or refused it. Each conversation has
// one message in flight, over all tabs: with two, a retry of the first could land behind the second.

import { TidelineError } from "./errors.js";
import { noteId, uuidv7 } from "./ids.js";
import { abortable, backoff, handled, linked } from "./signals.js";

/** How many settled sends are remembered, so that a late look into the storage does not bring one back. */
const SETTLED = 1_000;

export class Outbox {
  #core;
  items = new Map();
  /** The attempts under way, by the id of their message. */
  attempts = new Map();
  settled = new Set();
  writes = Promise.resolve();
  #waiting = new Map();
  #pumps = new Map();

  constructor(core) {
    this.#core = core;
  }

  list() {
    return [...this.items.values()].sort((a, b) => (a.client_msg_id < b.client_msg_id ? -1 : 1));
  }

  send(conversationId, message, { mentions, client_msg_id = uuidv7(), signal } = {}) {
    const ended = [this.#core.life.signal, signal].find((one) => one?.aborted);
    if (ended) return handled(Promise.reject(ended.reason));
    const options = { mentions, client_msg_id, signal };
    if (!this.#core.session.current) return handled(this.#core.session.sessionNow().then(() => this.send(conversationId, message, options)));
    // A copy, because a retry must say exactly what the first attempt said.
    const { kind, content } = typeof message === "string" ? { kind: "text", content: { text: message } } : structuredClone(message);
    if (mentions) content.mentions = [...mentions];
    const created_at = new Date().toISOString();
    const user_id = this.#core.session.current.user.id;
    return this.#enqueue({ client_msg_id, user_id, conversation_id: conversationId, kind, content, created_at }, signal);
  }

  retry(clientMsgId, { signal } = {}) {
    const item = this.items.get(clientMsgId);
    if (!item) return Promise.reject(new TidelineError({ code: "not_found", detail: "no such message in the outbox" }));
    return item.state === "failed" ? this.#enqueue(item, signal) : this.#promise(clientMsgId, signal);
  }

  async discard(clientMsgId) {
    const item = this.items.get(clientMsgId);
    if (!item) return;
    this.#core.tabs.post({ type: "discarded", item });
    await this.discarded(item);
    await this.#unwrite(item);
  }

  #outboxKey({ user_id, client_msg_id }) {
    return `${user_id}:outbox:${client_msg_id}`;
  }

  async #unwrite(item) {
    await this.writes;
    await this.#core.storage.delete(this.#core.prefix + this.#outboxKey(item));
  }

  #enqueue(item, signal) {
    item = { ...item, state: "sending", error: null };
    const stored = this.#promise(item.client_msg_id, signal);
    this.settled.delete(item.client_msg_id);
    this.note(item);
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

  note(item) {
    noteId(item.client_msg_id);
    this.items.set(item.client_msg_id, item);
    this.#core.tell("send", { state: item.state, item, message: null, error: item.error });
  }

  /** Writes happen one after the other, and an item is written before it is sent. */
  #write(item) {
    this.writes = this.writes.then(() => this.items.get(item.client_msg_id) === item && this.#core.keep(this.#outboxKey(item), item));
  }

  async load() {
    try {
      for (const key of await this.#core.storage.keys(`${this.#core.prefix}${this.#core.session.owner}:outbox:`)) {
        const item = JSON.parse((await this.#core.storage.get(key)) ?? "null");
        if (item && !this.settled.has(item.client_msg_id) && !this.items.has(item.client_msg_id)) this.note(item);
      }
    } catch (cause) {
      this.#core.report(new TidelineError({ code: "storage_failed", detail: "cannot read the outbox", cause }));
    }
  }

  #next(conversationId) {
    return this.list().find((item) => item.conversation_id === conversationId && item.state === "sending");
  }

  /** Sends what a conversation has waiting, whichever tab has written it; one at a time by the lock. */
  pump(conversationId) {
    const owner = this.#core.session.owner;
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
      for (let failures = 0; this.#core.session.owner === owner && !(await empty()); ) {
        const item = this.#next(conversationId);
        if (item) failures = await this.#attempt(item, failures);
      }
    };
    this.#pumps.set(name, pump);
    const done = () => {
      this.#pumps.delete(name);
      // Something came after the last look.
      if (pump.again && this.#core.session.owner === owner && !this.#core.life.signal.aborted) this.pump(conversationId);
    };
    this.#core.spawn(this.#core.withLock(name, drain).finally(done));
  }

  /** One attempt, and the pause after it if it was for nothing. Returns how many have failed in a row. */
  async #attempt(item, failures) {
    const link = linked([], { all: this.#core.links });
    this.attempts.set(item.client_msg_id, link);
    const { client_msg_id, conversation_id, kind, content } = item;
    const options = { body: { client_msg_id, kind, content }, signal: link.signal };
    try {
      const message = await this.#core.session.authorized("POST", `/v1/conversations/${conversation_id}/messages`, options);
      // Told before it is forgotten: when this tab dies in between, another one sends it again and is told the same.
      this.#core.tabs.post({ type: "stored", item, message });
      this.stored(item, message);
      await this.#unwrite(item);
    } catch (error) {
      if (this.#core.life.signal.aborted) throw error;
      if (link.signal.aborted) return 0;
      if (error.transient) {
        this.#core.tell("send", { state: "sending", item, message: null, error });
        // Until this one is settled, later ones wait: that is what keeps the order.
        const pause = this.#core.pause(backoff(this.#core.backoff, failures, error), link.signal, { early: true });
        await pause.catch(() => this.#core.life.signal.throwIfAborted());
        return failures + 1;
      }
      this.#failed(item, error);
    } finally {
      link.done();
      if (this.attempts.get(client_msg_id) === link) this.attempts.delete(client_msg_id);
    }
    return 0;
  }

  #failed(item, error) {
    if (!this.items.has(item.client_msg_id)) return;
    const { code, status, detail, request_id, errors } = error;
    const failed = { ...item, state: "failed", error: { code, status, detail, request_id, errors } };
    this.note(failed);
    this.#write(failed);
    this.#core.tabs.post({ type: "item", item: failed });
    this.settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  stored(item, message) {
    if (!this.#forget(item)) return;
    this.#core.tell("send", { state: "stored", item: { ...item, state: "stored" }, message, error: null });
    this.settle(item.client_msg_id, (waiting) => waiting.resolve(message));
  }

  async discarded(item) {
    if (!this.#forget(item)) return;
    const error = new TidelineError({ code: "discarded", detail: "the message was given up" });
    this.attempts.get(item.client_msg_id)?.abort(error);
    this.#core.tell("send", { state: "discarded", item: { ...item, state: "discarded" }, message: null, error: null });
    this.settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  #forget({ client_msg_id }) {
    this.settled.add(client_msg_id);
    if (this.settled.size > SETTLED) this.settled.delete(this.settled.values().next().value);
    return this.items.delete(client_msg_id);
  }

  settle(id, how) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting) how(waiting);
  }

  rejectAll(reason) {
    for (const id of [...this.#waiting.keys()]) this.settle(id, (waiting) => waiting.reject(reason));
  }
}

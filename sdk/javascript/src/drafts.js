// Drafts that follow from device to device: the last content of each conversation is stored on the server, under the version that
// this device has seen. A draft is void when the person has sent a message above its `after_seq`, from whichever device.

import { uuid } from "./ids.js";
import { backoff, handled } from "./signals.js";

/** The server stores a draft at most this often. */
const PAUSE_MS = 2_000;
/** How long the first content waits for the next one. */
const SETTLE_MS = 500;

const same = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);

export class Drafts {
  #core;
  /** The drafts on the server, as far as they are known. A void or deleted one has its version, and no content. */
  #known = new Map();
  /** Contents that are not stored yet; null deletes. */
  #wanted = new Map();
  /** The promises of `set`, until there is nothing to store. */
  #waiting = new Map();
  #heads = new Map();
  /** The seq of the person's newest message, as far as it is known. */
  #sent = new Map();
  /** Conversations whose draft has changed while a message was in flight. */
  #held = new Set();
  #storing = new Set();
  #storedAt = new Map();

  constructor(core) {
    this.#core = core;
    core.on("resync", ({ conversations }) => {
      for (const { id, last_seq } of conversations) this.#heads.set(id, Math.max(last_seq, this.#heads.get(id) ?? 0));
    });
    core.on("message", ({ message }) => this.#head(message));
    core.on("draft", ({ conversation_id, draft }) => this.#receive(conversation_id, draft));
    core.on("conversation", ({ conversation_id, conversation }) => conversation === null && this.#drop(conversation_id));
    core.on("send", ({ state, item, message }) => {
      if (state === "stored") this.#head(message);
      if (state === "sending") return;
      if (this.#held.delete(item.conversation_id)) this.#report(item.conversation_id);
      this.#start(item.conversation_id);
    });
    core.on("connection", ({ state }) => {
      if (state === "online") for (const id of this.#wanted.keys()) this.#start(id);
    });
    core.on("signed_out", () => {
      for (const id of [...this.#wanted.keys()]) this.#settle(id);
      for (const map of [this.#known, this.#wanted, this.#heads, this.#sent, this.#held, this.#storedAt]) map.clear();
    });
  }

  /** Reads the drafts of all conversations. */
  async load({ signal } = {}) {
    for (let cursor; cursor !== null; ) {
      const page = await this.#core.session.call("GET", "/v1/drafts", { query: { limit: 100, cursor }, signal });
      for (const draft of page.drafts) this.#keep(draft);
      cursor = page.next_cursor;
    }
    return [...this.#known.values()].filter(({ content }) => content !== null);
  }

  /** The content of the draft; null without one. What this device has set counts before it is stored. */
  get(id) {
    id = uuid(id);
    return this.#wanted.has(id) ? this.#wanted.get(id) : (this.#known.get(id)?.content ?? null);
  }

  /** Whether a content that this device has set is not stored yet. */
  isPending(id) {
    return this.#wanted.has(uuid(id));
  }

  /**
   * Sets the content of the draft; null deletes it. It is stored soon, the last content of several. When another device was first, the
   * content that was set here replaces its draft: the person is writing here. The promise is fulfilled when nothing is left to store.
   */
  set(id, content) {
    id = uuid(id);
    this.#wanted.set(id, content && JSON.parse(JSON.stringify(content)));
    if (!this.#waiting.has(id)) {
      const waiting = {};
      waiting.promise = handled(new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject })));
      this.#waiting.set(id, waiting);
    }
    this.#start(id);
    return this.#waiting.get(id).promise;
  }

  /** Nothing is left to store. */
  #settle(id, error = null) {
    const waiting = this.#waiting.get(id);
    this.#wanted.delete(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(error);
    else waiting?.resolve();
  }

  /** The person sends the content of the draft: the message makes it void, and there is nothing to store. */
  sent(id) {
    this.#settle(uuid(id));
  }

  #drop(id) {
    this.#settle(id);
    for (const map of [this.#known, this.#wanted, this.#heads, this.#sent, this.#held, this.#storedAt]) map.delete(id);
  }

  #head({ conversation_id: id, seq, sender_id }) {
    this.#heads.set(id, Math.max(seq, this.#heads.get(id) ?? 0));
    if (sender_id !== this.#core.session.owner) return;
    this.#sent.set(id, Math.max(seq, this.#sent.get(id) ?? 0));
    const known = this.#known.get(id);
    if (known) this.#change(id, known);
  }

  #receive(id, draft) {
    const known = this.#known.get(id);
    if (known && draft && draft.version < known.version) return;
    this.#change(id, draft ?? { conversation_id: id, version: known?.version ?? 0, content: null, after_seq: 0, at: null });
  }

  /** Keeps a state of a draft, unless a later one is known. A message above `after_seq` from the person makes it void. */
  #keep(draft) {
    const { conversation_id: id, version, after_seq } = draft;
    if (this.#known.get(id)?.version > version) return;
    this.#known.set(id, this.#sent.get(id) > after_seq ? { ...draft, content: null } : draft);
  }

  #change(id, draft) {
    const before = this.#known.get(id)?.content ?? null;
    this.#keep(draft);
    if (same(before, this.#known.get(id).content)) return;
    // A message in flight makes the draft void, which may be its own text.
    if (this.#isSending(id)) this.#held.add(id);
    else this.#report(id);
  }

  #report(id) {
    this.#core.emit("draft_changed", { conversation_id: id, content: this.#known.get(id)?.content ?? null });
  }

  #isSending(id) {
    return this.#core.outbox.list().some((item) => item.conversation_id === id && item.state === "sending");
  }

  #start(id) {
    if (!this.#wanted.has(id) || this.#storing.has(id) || !this.#core.session.current) return;
    this.#storing.add(id);
    this.#storedAt.set(id, Math.max(this.#storedAt.get(id) ?? 0, Date.now() - PAUSE_MS + SETTLE_MS));
    this.#core.spawn(this.#store(id).finally(() => this.#storing.delete(id)));
  }

  async #store(id) {
    const { session } = this.#core;
    const user = session.user.id;
    for (let failures = 0; this.#wanted.has(id) && session.user?.id === user; ) {
      // A message in flight would make the next draft void. The `send` event of its end starts again.
      if (this.#isSending(id)) return;
      const wait = (this.#storedAt.get(id) ?? 0) + PAUSE_MS - Date.now();
      if (wait > 0) {
        await this.#core.pause(wait, session.term?.signal);
        continue;
      }
      const content = this.#wanted.get(id);
      const known = this.#known.get(id);
      if (same(content, known?.content)) {
        this.#settle(id);
        return;
      }
      this.#storedAt.set(id, Date.now());
      try {
        const draft = await this.#put(id, content, known?.version ?? 0, user);
        this.#keep(draft);
        if (this.#wanted.get(id) === content) this.#settle(id);
        failures = 0;
      } catch (error) {
        if (error.code === "version_conflict" && error.draft) {
          // The server's version counts, also a lower one: after a restore from a backup the same conflict would repeat without a pause.
          if (known) known.version = Math.min(known.version, error.draft.version);
          this.#change(id, error.draft);
          this.#storedAt.delete(id);
        } else if (error.transient) await this.#core.pause(backoff(this.#core.backoff, failures++, error), session.term?.signal, { atLeast: error.retryAfterMs ?? 0 });
        else {
          this.#settle(id, error);
          throw error;
        }
      }
    }
  }

  async #put(id, content, version, user) {
    const path = `/v1/conversations/${id}/draft`;
    const after_seq = this.#heads.get(id) ?? 0;
    if (content !== null) return this.#core.session.authorized("PUT", path, { body: { version, content, after_seq }, user });
    await this.#core.session.authorized("DELETE", path, { query: { version }, user });
    return { conversation_id: id, version, content: null, after_seq, at: null };
  }
}

// What this page knows: conversations, people, blocks, and the messages of what was opened. It hears the SDK's events and
// tells the views which part has changed; it knows nothing of the page.

import { Thread } from "./thread.js";

const NAMES_AT_ONCE = 100;

export class Store {
  conversations = new Map();
  people = new Map();
  blocked = new Set();
  /** Whether the first state has arrived: an empty list means nothing before that. */
  ready = false;
  #threads = new Map();
  #asked = new Map();
  #views = new Map();
  #pending = new Set();
  #tideline;

  constructor(tideline) {
    this.#tideline = tideline;
    tideline.on("resync", (event) => this.#resync(event));
    tideline.on("message", (entry) => this.#message(entry));
    tideline.on("read", (entry) => this.#read(entry));
    tideline.on("conversation", (entry) => this.#conversation(entry));
    tideline.on("members", (entry) => this.#members(entry));
    tideline.on("send", (event) => this.#send(event));
    tideline.on("connection", ({ state }) => {
      if (state !== "online") return;
      this.#mend();
      this.#tell("online");
    });
  }

  /**
   * `conversations` (the list), `thread`, `members` and `gone` (with the id of a conversation), `arrived` (with it and the
   * message), `resync`, `online`.
   */
  on(name, view) {
    if (!this.#views.has(name)) this.#views.set(name, new Set());
    this.#views.get(name).add(view);
  }

  #tell(name, ...what) {
    for (const view of this.#views.get(name) ?? []) view(...what);
  }

  /** Many entries of one page are one change of the list. */
  #listChanged() {
    if (this.#pending.has("list")) return;
    this.#pending.add("list");
    queueMicrotask(() => {
      this.#pending.delete("list");
      this.#tell("conversations");
    });
  }

  get me() {
    return this.#tideline.user;
  }

  get total() {
    return [...this.conversations.values()].reduce((sum, { me }) => sum + me.unread, 0);
  }

  /** By activity, the newest first. */
  get sorted() {
    const time = (one) => one.last_message?.created_at ?? one.created_at;
    return [...this.conversations.values()].sort((a, b) => (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : a.id < b.id ? 1 : -1));
  }

  clear() {
    for (const map of [this.conversations, this.people, this.blocked, this.#threads, this.#asked]) map.clear();
    this.ready = false;
  }

  thread(id) {
    if (!this.#threads.has(id)) {
      const changed = async () => {
        const thread = this.#threads.get(id);
        await this.know(thread.messages.map((message) => message.sender_id));
        this.#tell("thread", id);
      };
      this.#threads.set(id, new Thread(id, this.#tideline, changed));
    }
    return this.#threads.get(id);
  }

  /** What is not stored yet. A message may be both for a moment, told twice in either order. */
  outbox(id) {
    const stored = new Set(this.thread(id).messages.map((message) => message.client_msg_id));
    return this.#tideline.outbox.filter((item) => item.conversation_id === id && !stored.has(item.client_msg_id));
  }

  /** Fetches the people of these ids who are not known yet. Names are worth having, not worth failing for. */
  async know(ids) {
    const missing = [...new Set(ids)].filter((id) => !this.people.has(id) && !this.#asked.has(id));
    for (let from = 0; from < missing.length; from += NAMES_AT_ONCE) {
      const some = missing.slice(from, from + NAMES_AT_ONCE);
      const asked = this.#tideline
        .listUsers({ ids: some })
        .then((users) => this.meet(users), () => {})
        .finally(() => some.forEach((id) => this.#asked.delete(id)));
      for (const id of some) this.#asked.set(id, asked);
    }
    await Promise.all(ids.map((id) => this.#asked.get(id)));
  }

  meet(users) {
    for (const user of users) this.people.set(user.id, user);
  }

  put(conversation) {
    if (conversation.peer) this.meet([conversation.peer]);
    this.conversations.set(conversation.id, conversation);
    this.#listChanged();
    return conversation;
  }

  /** Of a large conversation nobody is told of new titles and members: it is looked at when it is opened. */
  async refresh(id) {
    if (this.conversations.get(id)?.fanout !== "read") return;
    const conversation = await this.#tideline.getConversation(id);
    if (this.conversations.has(id)) this.put(conversation);
  }

  /** The ids of the people of these usernames, without those whom nobody knows. */
  async named(usernames) {
    const known = new Map([...this.people.values()].map((user) => [user.username, user]));
    const missing = usernames.filter((name) => !known.has(name));
    const found = await Promise.all(missing.map((name) => this.#tideline.findUser(name).catch(() => null)));
    this.meet(found.filter(Boolean));
    return [...usernames.map((name) => known.get(name)), ...found].filter(Boolean).map(({ id }) => id);
  }

  setBlocked(id, blocked) {
    if (blocked) this.blocked.add(id);
    else this.blocked.delete(id);
    this.#listChanged();
  }

  async loadBlocks() {
    const found = new Set();
    for (let cursor; cursor !== null; ) {
      const page = await this.#tideline.listBlocks({ cursor, limit: 100 });
      for (const { id } of page.users) found.add(id);
      cursor = page.next_cursor;
    }
    this.blocked = found;
    this.#listChanged();
  }

  /** Forward only, whatever arrives in whichever order. */
  markedRead(id, seq, unread) {
    const conversation = this.conversations.get(id);
    if (!conversation || seq < conversation.me.read_seq) return;
    Object.assign(conversation.me, { read_seq: seq, unread });
    this.#listChanged();
  }

  async #resync({ reason, conversations }) {
    this.conversations.clear();
    for (const conversation of conversations) this.put(conversation);
    if (this.me) this.meet([this.me]);
    await this.know(conversations.filter((one) => one.last_message).map((one) => one.last_message.sender_id));
    this.ready = true;
    this.#listChanged();
    for (const [id, thread] of this.#threads) {
      if (!this.conversations.has(id)) this.#lost(id);
      else if (reason === "epoch_changed" || reason === "cursor_ahead") await thread.reset();
    }
    this.#mend();
    this.#tell("resync");
  }

  /** Threads fetch by themselves what they did not hear of. When that fails too, the next time online comes here again. */
  #mend() {
    for (const [id, thread] of this.#threads) {
      const conversation = this.conversations.get(id);
      if (conversation) thread.reach(conversation.last_seq).catch(() => {});
    }
  }

  /** The conversation of an entry; fetched when the entry is the first that we hear of it, null when we are out of it. */
  async #about(id) {
    const known = this.conversations.get(id);
    if (known) return known;
    try {
      return this.put(await this.#tideline.getConversation(id));
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  async #message({ conversation_id: id, message, unread, at }) {
    const conversation = await this.#about(id);
    if (!conversation) return;
    await this.know([message.sender_id]);
    if (message.seq > conversation.last_seq) Object.assign(conversation, { last_seq: message.seq, last_message: message, updated_at: at });
    conversation.me.unread = unread;
    if (message.sender_id === this.me?.id) conversation.me.read_seq = Math.max(conversation.me.read_seq, message.seq);
    this.#listChanged();
    this.#threads.get(id)?.take(message).catch(() => {});
    this.#tell("arrived", conversation, message);
  }

  #read({ conversation_id: id, read_seq, unread }) {
    this.markedRead(id, read_seq, unread);
  }

  #conversation({ conversation_id: id, conversation }) {
    if (conversation) this.put(conversation);
    else this.#lost(id);
    this.#tell("members", id);
  }

  #lost(id) {
    const was = this.conversations.get(id);
    this.conversations.delete(id);
    this.#threads.delete(id);
    this.#listChanged();
    this.#tell("gone", id, was);
  }

  async #members({ conversation_id: id }) {
    try {
      this.put(await this.#tideline.getConversation(id));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#lost(id);
    }
    this.#tell("members", id);
  }

  #send({ state, item, message }) {
    const id = item.conversation_id;
    // Drawn by the thread's own change when it takes the message, so that nothing is missing in between.
    if (state === "stored" && this.#threads.get(id)?.loaded) {
      this.#threads.get(id).take(message).then(() => this.#tell("thread", id), () => this.#tell("thread", id));
    } else this.#tell("thread", id);
  }
}

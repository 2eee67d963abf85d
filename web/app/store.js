// What this page knows: conversations, people, blocks, and the messages of what was opened. It hears the SDK's events and
// tells the views which part has changed; it knows nothing of the page.

import { paced } from "./dom.js";
import { Thread } from "./thread.js";

const NAMES_AT_ONCE = 100;
const MEMBERS_AT_ONCE = 500;
const BLOCKS_AGAIN_MS = 5_000;
/** Conversations whose messages are kept, those that were opened last. */
const THREADS = 20;

export class Store {
  conversations = new Map();
  people = new Map();
  blocked = new Set();
  /** Whether the first state has arrived: an empty list means nothing before that. */
  ready = false;
  #threads = new Map();
  #members = new Map();
  #asked = new Map();
  /** Messages that the server has stored, until their thread has them. */
  #sent = new Map();
  #views = new Map();
  #changes = new Map();
  #session = {};
  #tideline;

  constructor(tideline) {
    this.#tideline = tideline;
    tideline.on("resync", (event) => this.#resync(event));
    tideline.on("message", (entry) => this.#message(entry));
    tideline.on("read", (entry) => this.#read(entry));
    tideline.on("conversation", (entry) => this.#conversation(entry));
    tideline.on("members", (entry) => this.#membersChanged(entry));
    tideline.on("send", (event) => this.#send(event));
    tideline.on("connection", ({ state }) => {
      if (state !== "online") return;
      this.#mend();
      this.#tell("online");
    });
  }

  /**
   * To be drawn, once for many changes: `conversations` (the list), `people` (names), `thread` (with the id of a
   * conversation). At once: `members` and `gone` (with such an id), `arrived` (with a conversation and its message),
   * `resync`, `online`; and what the other tabs must be told: `renamed`, `retitled`, `blocked`.
   */
  on(name, view) {
    if (!this.#views.has(name)) this.#views.set(name, new Set());
    this.#views.get(name).add(view);
  }

  #tell(name, ...what) {
    for (const view of this.#views.get(name) ?? []) view(...what);
  }

  #changed(name, ...what) {
    this.#changes.set([name, ...what].join(" "), [name, ...what]);
    this.#draw();
  }

  #draw = paced(() => {
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    for (const change of changes) this.#tell(...change);
  });

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

  /** The next person inherits nothing, answers that are still under way included. */
  clear() {
    for (const map of [this.conversations, this.people, this.blocked, this.#threads, this.#members, this.#asked, this.#sent]) map.clear();
    this.#session = {};
    this.ready = false;
  }

  /** The answer to something that was asked in this session. */
  async #answer(question) {
    const session = this.#session;
    const answer = await question;
    if (this.#session !== session) throw new Error("signed out meanwhile");
    return answer;
  }

  /** The messages of a conversation. */
  thread(id) {
    const thread = this.#threads.get(id) ?? new Thread(id, this.#tideline, (messages) => {
      if (this.#threads.get(id) !== thread) return;
      for (const { client_msg_id } of messages) this.#sent.delete(client_msg_id);
      this.know(messages.map((message) => message.sender_id));
      this.#changed("thread", id);
    });
    this.#threads.delete(id);
    this.#threads.set(id, thread);
    if (this.#threads.size > THREADS) this.#threads.delete(this.#threads.keys().next().value);
    return thread;
  }

  /** What is not stored yet, or was a moment ago. A message may be both for a moment, told twice in either order. */
  outbox(id) {
    const stored = new Set(this.thread(id).messages.map((message) => message.client_msg_id));
    const items = [...this.#sent.values(), ...this.#tideline.outbox];
    return items.filter((item) => item.conversation_id === id && !stored.has(item.client_msg_id));
  }

  /** What could not be sent to conversations that one is no longer in: there is no other place where it is shown. */
  get lost() {
    return this.ready ? this.#tideline.outbox.filter(({ state, conversation_id }) => state === "failed" && !this.conversations.has(conversation_id)) : [];
  }

  /** Fetches the people of these ids who are not known yet. Nothing waits for names: they are drawn when they come. */
  know(ids) {
    const missing = [...new Set(ids)].filter((id) => !this.people.has(id) && !this.#asked.has(id));
    for (let from = 0; from < missing.length; from += NAMES_AT_ONCE) {
      const some = missing.slice(from, from + NAMES_AT_ONCE);
      const asked = this.#answer(this.#tideline.listUsers({ ids: some }))
        .then((users) => this.meet(users), () => {})
        .finally(() => some.forEach((id) => this.#asked.get(id) === asked && this.#asked.delete(id)));
      for (const id of some) this.#asked.set(id, asked);
    }
  }

  meet(users) {
    for (const user of users) this.people.set(user.id, user);
    this.#changed("people");
  }

  put(conversation) {
    if (conversation.peer) this.meet([conversation.peer]);
    this.conversations.set(conversation.id, conversation);
    this.#changed("conversations");
    return conversation;
  }

  /** Of a large conversation nobody is told of new titles and members: it is looked at when it is opened. */
  async refresh(id) {
    if (this.conversations.get(id)?.fanout !== "read") return;
    const conversation = await this.#answer(this.#tideline.getConversation(id));
    if (this.conversations.has(id)) this.put(conversation);
  }

  /** The people of a conversation, as far as they are known here. */
  members(id) {
    const { peer } = this.conversations.get(id) ?? {};
    return peer ? [peer] : (this.#members.get(id) ?? []);
  }

  /** Learns who is in a group: the first page, for names that are written there. */
  async loadMembers(id) {
    if (this.conversations.get(id)?.kind === "direct") return;
    const { members } = await this.#answer(this.#tideline.listMembers(id, { limit: MEMBERS_AT_ONCE }));
    if (!this.conversations.has(id)) return;
    const users = members.map(({ user }) => user);
    this.#members.set(id, users);
    this.meet(users);
  }

  /** The ids of those in a conversation whom these usernames mean. Others whom we have met may be in it too. */
  named(id, usernames) {
    const known = new Map([...this.people.values(), ...this.members(id)].map((user) => [user.username, user.id]));
    return usernames.map((name) => known.get(name)).filter(Boolean);
  }

  /** This person, here or in another tab, has another name. */
  rename(user) {
    if (this.people.get(user.id)?.display_name === user.display_name) return;
    this.meet([user]);
    this.#tell("renamed", user);
  }

  /** A conversation has another title; of a large one nobody tells the other tabs. */
  retitle({ id, title }) {
    const conversation = this.conversations.get(id);
    if (!conversation || conversation.title === title) return;
    this.put({ ...conversation, title });
    this.#tell("retitled", { id, title });
  }

  setBlocked(id, blocked) {
    if (this.blocked.has(id) === blocked) return;
    if (blocked) this.blocked.add(id);
    else this.blocked.delete(id);
    this.#changed("conversations");
    this.#tell("blocked", id, blocked);
  }

  /** Asks for them until they are here, or until another person is. */
  async loadBlocks() {
    const session = this.#session;
    const found = new Set();
    try {
      for (let cursor; cursor !== null; ) {
        const page = await this.#answer(this.#tideline.listBlocks({ cursor, limit: 100 }));
        for (const { id } of page.users) found.add(id);
        cursor = page.next_cursor;
      }
    } catch {
      return void setTimeout(() => this.#session === session && this.loadBlocks(), BLOCKS_AGAIN_MS);
    }
    this.blocked = found;
    this.#changed("conversations");
  }

  /** Forward only, whatever arrives in whichever order. */
  markedRead(id, seq, unread) {
    const conversation = this.conversations.get(id);
    if (!conversation || seq < conversation.me.read_seq) return;
    Object.assign(conversation.me, { read_seq: seq, unread });
    this.#changed("conversations");
  }

  async #resync({ reason, conversations }) {
    this.conversations.clear();
    for (const conversation of conversations) this.put(conversation);
    if (this.me) this.meet([this.me]);
    this.know(conversations.filter((one) => one.last_message).map((one) => one.last_message.sender_id));
    this.ready = true;
    this.#changed("conversations");
    for (const [id, thread] of [...this.#threads]) {
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
      if (!conversation) continue;
      thread.reach(conversation.last_seq).catch(() => {});
      this.know(thread.messages.map((message) => message.sender_id));
    }
  }

  /** The conversation of an entry; fetched when the entry is the first that we hear of it, null when we are out of it. */
  async #about(id) {
    const known = this.conversations.get(id);
    if (known) return known;
    try {
      return this.put(await this.#answer(this.#tideline.getConversation(id)));
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  async #message({ conversation_id: id, message, unread, at }) {
    const conversation = await this.#about(id);
    if (!conversation) return;
    this.know([message.sender_id]);
    if (message.seq > conversation.last_seq) Object.assign(conversation, { last_seq: message.seq, last_message: message, updated_at: at });
    conversation.me.unread = unread;
    if (message.sender_id === this.me?.id) conversation.me.read_seq = Math.max(conversation.me.read_seq, message.seq);
    this.#changed("conversations");
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
    for (const map of [this.conversations, this.#threads, this.#members]) map.delete(id);
    this.#changed("conversations");
    this.#tell("gone", id, was);
  }

  /** The server knows better than this page what a conversation is. */
  async #ask(id) {
    try {
      this.put(await this.#answer(this.#tideline.getConversation(id)));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#lost(id);
    }
  }

  async #membersChanged({ conversation_id: id }) {
    await this.#ask(id);
    if (this.#members.has(id)) this.loadMembers(id).catch(() => {});
    this.#tell("members", id);
  }

  #send({ state, item, message }) {
    const id = item.conversation_id;
    const thread = this.#threads.get(id);
    if (state === "stored" && thread?.loaded) {
      // It is shown until the thread has taken it, so that nothing is missing in between.
      this.#sent.set(item.client_msg_id, item);
      thread.take(message).then(() => this.#sent.delete(item.client_msg_id), () => {});
    }
    if (item.error?.code === "muted") this.#ask(id).catch(() => {});
    this.#changed("thread", id);
  }
}

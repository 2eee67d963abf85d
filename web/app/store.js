// The state of this page: conversations, people, blocks, and the messages of opened conversations. It handles the SDK's
// events and notifies the views of changed parts; it does not depend on the page.
//
// This file is long because every event changes conversations, unread counts and messages together.

import { newerState } from "../tideline.js";
import { now } from "./dates.js";
import { paced } from "./dom.js";
import { isGone } from "./format.js";
import { Thread } from "./thread.js";

const NAMES_PER_REQUEST = 100;
const MEMBERS_PER_PAGE = 500;
const AGAIN_MS = 5_000;
/** By then the server has erased an expired message. */
const ERASED_MS = 8_000;
const PLAIN = { notify: null, pinned: false, archived: false, hidden_through: null, nickname: null };
/** The number of conversations whose messages are kept, those that were opened last. */
const THREADS = 20;

export class Store {
  conversations = new Map();
  people = new Map();
  blocked = new Set();
  /** How many seconds after its send a message may be edited or recalled: 0 for never, -1 for always. */
  windows = { edit: 0, recall: 0 };
  /** The features of the server, and the largest conversation in which everybody may name everyone. */
  features = new Set();
  mentionAll = 0;
  /** What the server allows. */
  limits = {};
  /** The largest conversation in which people see who types. */
  typingMembers = 0;
  /** Whether the first state has arrived: before that, an empty list has no meaning. */
  ready = false;
  #threads = new Map();
  #members = new Map();
  #owners = new Map();
  #asked = new Map();
  /** Messages that the server has stored, until their thread contains them. */
  #sent = new Map();
  /** Large conversations to read again. */
  #stale = new Set();
  #views = new Map();
  #changes = new Map();
  #session = {};
  #tideline;

  constructor(tideline) {
    this.#tideline = tideline;
    tideline.on("resync", (event) => this.#resync(event));
    tideline.on("message", (entry) => this.#message(entry));
    for (const name of ["edit", "recall", "reaction", "pin", "change"]) tideline.on(name, (entry) => this.#changedEntry(entry));
    tideline.on("invalidate", ({ conversation_id }) => this.#invalidate(conversation_id));
    tideline.on("mention", () => this.#recount());
    tideline.on("read", (entry) => this.#read(entry));
    tideline.on("settings", ({ conversation_id, settings }) => this.arrange(conversation_id, settings));
    tideline.on("cleared", ({ conversation_id, cleared_seq, unread }) => this.cleared(conversation_id, cleared_seq, unread));
    tideline.on("hidden", ({ conversation_id, hidden_seq }) => this.hide(conversation_id, hidden_seq));
    tideline.on("conversation", (entry) => this.#conversation(entry));
    tideline.on("members", (entry) => this.#membersChanged(entry));
    tideline.on("send", (event) => this.#send(event));
    tideline.on("user", (user) => this.rename(user));
    tideline.on("me", () => this.#rereadBlocks());
    tideline.on("connection", ({ state }) => {
      if (state !== "online") return;
      this.#mend();
      this.#tell("online");
    });
  }

  /**
   * Throttled, once for many changes: `conversations` (the list), `people` (names), `thread` (with the id of a
   * conversation). Immediate: `members` and `gone` (with such an id), `arrived` and `edited` (with a conversation and its
   * message; a recalled or hidden message is `edited` too, and a cleared history, with its seq), `resync`, `online`, `features`; and the events for the other tabs: `renamed`, `retitled`,
   * `blocked`.
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

  get mentions() {
    return [...this.conversations.values()].reduce((sum, { me }) => sum + me.unread_mentions, 0);
  }

  /** The pinned ones first, then by activity, the newest first. */
  get sorted() {
    const time = (one) => one.last_message?.created_at ?? one.created_at;
    const pinned = ({ me }) => Number(me.settings.pinned);
    return [...this.conversations.values()].sort((a, b) => pinned(b) - pinned(a) || (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : a.id < b.id ? 1 : -1));
  }

  /** The next person starts with an empty state, even if responses of the last session still arrive. */
  clear() {
    for (const map of [this.conversations, this.people, this.blocked, this.#threads, this.#members, this.#owners, this.#asked, this.#sent]) map.clear();
    this.#session = {};
    this.ready = false;
  }

  /** The response to a request of this session. */
  async #ofSession(request) {
    const session = this.#session;
    const response = await request;
    if (this.#session !== session) throw new Error("logged out meanwhile");
    return response;
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

  /** Messages that are not stored yet, or were stored just now. Both events may come in either order, so one may be in both. */
  outbox(id) {
    const stored = new Set(this.thread(id).messages.map((message) => message.client_msg_id));
    const items = [...this.#sent.values(), ...this.#tideline.outbox];
    return items.filter((item) => item.conversation_id === id && !stored.has(item.client_msg_id));
  }

  /** Unsent messages to conversations that the person has left: they are shown nowhere else. */
  get lost() {
    return this.ready ? this.#tideline.outbox.filter(({ state, conversation_id }) => state === "failed" && !this.conversations.has(conversation_id)) : [];
  }

  /** Fetches the people with these ids who are not loaded yet. Nothing waits for names: they are drawn when they arrive. */
  know(ids) {
    const missing = [...new Set(ids)].filter((id) => !this.people.has(id) && !this.#asked.has(id));
    for (let from = 0; from < missing.length; from += NAMES_PER_REQUEST) {
      const some = missing.slice(from, from + NAMES_PER_REQUEST);
      const asked = this.#ofSession(this.#tideline.listUsers({ ids: some }))
        .then((users) => this.meet(users), () => {})
        .finally(() => some.forEach((id) => this.#asked.get(id) === asked && this.#asked.delete(id)));
      for (const id of some) this.#asked.set(id, asked);
    }
  }

  meet(users) {
    for (const user of users) {
      const known = this.people.get(user.id);
      if (known?.rev > user.rev) continue;
      this.people.set(user.id, user);
      if (known && known.rev !== user.rev) this.#asPeer(user);
    }
    this.#changed("people");
  }

  #asPeer(user) {
    for (const one of this.conversations.values()) if (one.peer?.id === user.id) one.peer = user;
    this.#changed("conversations");
  }

  /** Names or statuses of people may be others now. */
  redraw() {
    this.#changed("people");
    this.#changed("conversations");
  }

  /** Profiles have no entries: these people are read again, if they have changed. */
  async revise(ids) {
    for (let from = 0; from < ids.length; from += NAMES_PER_REQUEST) {
      this.meet(await this.#ofSession(this.#tideline.listUsers({ ids: ids.slice(from, from + NAMES_PER_REQUEST) })));
    }
  }

  put(conversation) {
    // A server of an earlier version has no settings.
    conversation.me = { unread_mentions: 0, marked_unread: false, cleared_seq: 0, settings: PLAIN, ...conversation.me };
    if (conversation.peer) {
      this.meet([conversation.peer]);
      conversation.peer = this.people.get(conversation.peer.id);
    }
    // The response may be older than a change that an event has brought.
    const last = this.conversations.get(conversation.id)?.last_message;
    if (last && last.seq === conversation.last_message?.seq) conversation.last_message = newerState(conversation.last_message, last);
    this.conversations.set(conversation.id, conversation);
    this.#changed("conversations");
    return conversation;
  }

  /** Members of a large conversation get no entries about titles and members, so it is read when it is opened. */
  async refresh(id) {
    if (this.conversations.get(id)?.fanout !== "read") return;
    const conversation = await this.#ofSession(this.#tideline.getConversation(id));
    if (this.conversations.has(id)) this.put(conversation);
  }

  /** The people of a conversation, as far as they are loaded here. */
  members(id) {
    const { peer } = this.conversations.get(id) ?? {};
    return peer ? [peer] : (this.#members.get(id) ?? []);
  }

  /** Loads the members of a group: only the first page, for the names in its messages. */
  async loadMembers(id) {
    if (this.conversations.get(id)?.kind === "direct") return;
    const { members } = await this.#ofSession(this.#tideline.listMembers(id, { limit: MEMBERS_PER_PAGE }));
    if (!this.conversations.has(id)) return;
    const users = members.map(({ user }) => user);
    this.#members.set(id, users);
    this.#owners.set(id, members.find(({ role }) => role === "owner")?.user.id);
    this.meet(users);
  }

  /** Whether the person may recall a message of this sender at any time, as far as the members are loaded. */
  moderates(id, sender) {
    const { kind, me } = this.conversations.get(id);
    return kind !== "direct" && (me.role === "owner" || (me.role === "admin" && this.#owners.get(id) !== sender));
  }

  /** The ids of the people with these usernames. People from other conversations count too: they may be members as well. */
  named(id, usernames) {
    const known = new Map([...this.people.values(), ...this.members(id)].map((user) => [user.username, user.id]));
    return usernames.map((name) => known.get(name)).filter(Boolean);
  }

  /** A person has another name; the change was made here or in another tab. */
  rename(user) {
    const before = this.people.get(user.id)?.display_name;
    this.meet([user]);
    if (before !== user.display_name) this.#tell("renamed", user);
  }

  /** A conversation has another title; for a large one, no entry reaches the other tabs. */
  retitle({ id, title }) {
    const conversation = this.conversations.get(id);
    if (!conversation || conversation.title === title) return;
    this.put({ ...conversation, title });
    this.#tell("retitled", { id, title });
  }

  /** A group has another picture. */
  picture({ id, avatar_url }) {
    const conversation = this.conversations.get(id);
    if (conversation) this.put({ ...conversation, avatar_url });
  }

  setBlocked(id, blocked) {
    if (this.blocked.has(id) === blocked) return;
    if (blocked) this.blocked.add(id);
    else this.blocked.delete(id);
    this.#changed("conversations");
    this.#tell("blocked", id, blocked);
  }

  /** Loads what no event brings: the blocks, and what the server allows. */
  load() {
    this.#loadBlocks();
    this.#insist(async () => {
      const { features, limits } = await this.#ofSession(this.#tideline.getCapabilities());
      this.features = new Set(features);
      this.limits = limits;
      this.mentionAll = limits.mention_all ?? 0;
      this.typingMembers = limits.typing_members ?? 0;
      const seconds = (name) => (features.includes(name) ? limits[`${name}_seconds`] : 0);
      this.windows = { edit: seconds("edit"), recall: seconds("recall") };
      for (const id of this.#threads.keys()) this.#changed("thread", id);
      this.#changed("conversations");
      this.#tell("features");
    });
  }

  #loadBlocks() {
    this.#insist(async () => {
      const found = new Set();
      for (let cursor; cursor !== null; ) {
        const page = await this.#ofSession(this.#tideline.listBlocks({ cursor, limit: 100 }));
        for (const { id } of page.users) found.add(id);
        cursor = page.next_cursor;
      }
      this.blocked = found;
      this.#changed("conversations");
    });
  }

  /** Blocked or unblocked on another device, perhaps. */
  #rereadBlocks = paced(() => this.#loadBlocks(), 1_000);

  /** Repeats until it succeeds, or another person has logged in. */
  async #insist(work) {
    const session = this.#session;
    try {
      await work();
    } catch {
      setTimeout(() => this.#session === session && this.#insist(work), AGAIN_MS);
    }
  }

  /** Moves only forward, in whichever order the events arrive. */
  markedRead(id, seq, unread, marked_unread = false) {
    const conversation = this.conversations.get(id);
    if (!conversation || seq < conversation.me.read_seq) return;
    Object.assign(conversation.me, { read_seq: seq, unread, marked_unread });
    if (unread === 0) conversation.me.unread_mentions = 0;
    else if (conversation.me.unread_mentions > 0) this.#recount();
    this.#changed("conversations");
  }

  /** The counts of mentions are the server's: no entry has them. Once for many events. */
  #recount = paced(() => this.#insist(async () => {
    if (!this.ready || !this.me) return;
    const { conversations } = await this.#ofSession(this.#tideline.getUnread({ mentions: true }));
    const counts = new Map(conversations.map(({ conversation_id, mentions }) => [conversation_id, mentions ?? 0]));
    for (const { id, me } of this.conversations.values()) me.unread_mentions = counts.get(id) ?? 0;
    this.#changed("conversations");
  }), 200);

  /** Whether a message names the person: by name, with everyone, or as the one who is replied to. */
  isNamed({ sender_id, kind, content, mention_all, reply_to }) {
    const me = this.me?.id;
    if (sender_id === me) return false;
    return (kind === "text" && (content?.mentions?.includes(me) ?? false)) || mention_all === true || reply_to?.sender_id === me;
  }

  /** Whether the person wants to be notified of a message. */
  notifies({ me }, message) {
    const { level = "all", until = null } = me.settings.notify ?? {};
    if (until && new Date(until) <= now()) return true;
    return level === "all" || (level === "mentions" && this.isNamed(message));
  }

  /** The conversation has other settings of the person. */
  arrange(id, settings) {
    const conversation = this.conversations.get(id);
    if (!conversation) return;
    conversation.me.settings = settings;
    this.#changed("conversations");
    this.#changed("people");
  }

  /** The history was cleared up to a seq; the messages count as read. */
  cleared(id, seq, unread) {
    const conversation = this.conversations.get(id);
    if (!conversation || seq <= conversation.me.cleared_seq) return;
    conversation.me.cleared_seq = seq;
    if (conversation.last_message?.seq <= seq) conversation.last_message = null;
    this.markedRead(id, Math.max(seq, conversation.me.read_seq), unread ?? Math.max(0, conversation.last_seq - Math.max(seq, conversation.me.read_seq)));
    this.#threads.get(id)?.clear(seq).catch(() => {});
    this.#tell("edited", conversation, { seq, kind: "cleared", conversation_id: id });
    this.#changed("conversations");
  }

  /** A message was hidden by the person. */
  hide(id, seq) {
    const conversation = this.conversations.get(id);
    if (!conversation) return;
    const last = conversation.last_message;
    if (last?.seq === seq) conversation.last_message = { ...last, kind: "hidden", content: {} };
    this.#threads.get(id)?.hide(seq).catch(() => {});
    this.#tell("edited", conversation, { seq, kind: "hidden", conversation_id: id, content: {} });
    this.#changed("conversations");
  }

  /** The person has marked a conversation as unread. */
  markUnread(id) {
    const conversation = this.conversations.get(id);
    if (conversation) conversation.me.marked_unread = true;
    this.#changed("conversations");
  }

  /** Whether the person may name everyone in a conversation. A member whose name is that word comes first. */
  mayNameAll(id) {
    const { kind, member_count, me } = this.conversations.get(id);
    return kind !== "direct" && this.features.has("replies") && (me.role !== "member" || member_count <= this.mentionAll) && this.named(id, ["all"]).length === 0;
  }

  /** The response to a reaction. */
  reacted(id, { seq, reactions }) {
    this.#threads.get(id)?.patch(seq, { reactions }).catch(() => {});
  }

  async #resync({ reason, conversations }) {
    this.conversations.clear();
    for (const conversation of conversations) this.put(conversation);
    if (this.me) this.people.set(this.me.id, this.me);
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

  /** Threads fetch missed messages by themselves. When that fails too, the next `online` event repeats it. */
  #mend() {
    for (const [id, thread] of this.#threads) {
      const conversation = this.conversations.get(id);
      if (!conversation) continue;
      thread.reach(conversation.last_seq).catch(() => {});
      this.know(thread.messages.map((message) => message.sender_id));
    }
  }

  /** The conversation of an entry; fetched when it is not loaded yet, null when the person is no longer a member. */
  async #about(id) {
    const known = this.conversations.get(id);
    if (known) return known;
    try {
      return this.put(await this.#ofSession(this.#tideline.getConversation(id)));
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
    // In a large conversation the SDK counts by the read position that it knows, and expired messages may have moved it.
    conversation.me.unread = conversation.fanout === "read" ? Math.min(unread, Math.max(0, message.seq - conversation.me.read_seq)) : unread;
    if (message.sender_id === this.me?.id) {
      Object.assign(conversation.me, { read_seq: Math.max(conversation.me.read_seq, message.seq), marked_unread: false });
      if (unread === 0) conversation.me.unread_mentions = 0;
    } else if (message.sender_id === conversation.peer?.id && conversation.peer_read_seq !== null) {
      // A send also marks the conversation as read.
      conversation.peer_read_seq = Math.max(conversation.peer_read_seq, message.seq);
    }
    // In a large conversation no entry names everyone.
    if (conversation.fanout === "read" && message.mention_all) this.#recount();
    this.#changed("conversations");
    this.#threads.get(id)?.take(message).catch(() => {});
    if (!isGone(message)) this.#tell("arrived", conversation, message);
  }

  #changedEntry({ kind, conversation_id: id, message, unread }) {
    const conversation = this.conversations.get(id);
    // Only entries of small conversations have their counts.
    if (conversation?.fanout === "write" && kind !== "change") conversation.me.unread = unread;
    this.change(message);
  }

  /** A message has another state: of its states, the newest one is kept. */
  change(message) {
    const id = message.conversation_id;
    const conversation = this.conversations.get(id);
    if (!conversation) return;
    const last = conversation.last_message;
    if (last?.seq === message.seq) conversation.last_message = newerState(last, message);
    this.#changed("conversations");
    this.#threads.get(id)?.change(message).catch(() => {});
    const unread = message.seq > conversation.me.read_seq;
    if (conversation.me.unread_mentions > 0 && unread) this.#recount();
    // The read position moves past it. In a large conversation no entry says so.
    if (message.kind === "expired" && conversation.fanout === "read" && unread) setTimeout(() => this.#askSoon(id), ERASED_MS);
    this.#tell("edited", conversation, message);
  }

  /** Too many changes were missed: the messages are read again. */
  async #invalidate(id) {
    if (!this.conversations.has(id)) return;
    await this.#threads.get(id)?.reset();
    await this.#ask(id);
    this.#tell("resync");
  }

  #read({ conversation_id: id, read_seq, unread, marked_unread }) {
    this.markedRead(id, read_seq, unread, marked_unread);
  }

  /** What others have read is visible from now on, or no longer. */
  reread() {
    for (const one of this.conversations.values()) if (one.kind === "direct") one.peer_read_seq = null;
    this.#changed("conversations");
    for (const id of this.#threads.keys()) if (this.conversations.get(id)?.kind === "direct") this.renew(id).catch(() => {});
  }

  /** What the other person has read. The rest of the response may be older than an event. */
  async renew(id) {
    const { peer_read_seq } = await this.#ofSession(this.#tideline.getConversation(id));
    const conversation = this.conversations.get(id);
    if (!conversation) return;
    conversation.peer_read_seq = peer_read_seq === null ? null : Math.max(peer_read_seq, conversation.peer_read_seq ?? 0);
    this.#changed("conversations");
  }

  #conversation({ conversation_id: id, conversation }) {
    if (conversation) this.put(conversation);
    else this.#lost(id);
    this.#tell("members", id);
  }

  #lost(id) {
    const was = this.conversations.get(id);
    for (const map of [this.conversations, this.#threads, this.#members, this.#owners]) map.delete(id);
    this.#changed("conversations");
    this.#tell("gone", id, was);
  }

  /** Reads the conversation from the server: this page's copy may be stale. */
  async #ask(id) {
    try {
      this.put(await this.#ofSession(this.#tideline.getConversation(id)));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#lost(id);
    }
  }

  /** Once for many events. */
  #askSoon(id) {
    this.#stale.add(id);
    this.#askStale();
  }

  #askStale = paced(() => {
    for (const id of this.#stale) if (this.conversations.has(id)) this.#ask(id).catch(() => {});
    this.#stale.clear();
  }, 1_000);

  async #membersChanged({ conversation_id: id }) {
    await this.#ask(id);
    if (this.#members.has(id)) this.loadMembers(id).catch(() => {});
    this.#tell("members", id);
  }

  #send({ state, item, message }) {
    const id = item.conversation_id;
    const thread = this.#threads.get(id);
    if (state === "stored" && thread?.loaded) {
      // It is shown until the thread has taken it, so that there is no gap in between.
      this.#sent.set(item.client_msg_id, item);
      thread.take(message).then(() => this.#sent.delete(item.client_msg_id), () => {});
    }
    // A rule of the conversation may have changed.
    if (["muted", "forbidden"].includes(item.error?.code)) this.#ask(id).catch(() => {});
    this.#changed("thread", id);
  }
}

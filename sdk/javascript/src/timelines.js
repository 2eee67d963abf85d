// What was taken of the conversations whose messages are not in the inbox, and which conversations a wait watches.
//
// Messages of large conversations (`fanout: "read"`) are in no inbox: the wait watches the conversation from the last seq that the
// application has taken, and its history is read. To the application they are the same `message` events. One wait watches at most
// 100 conversations: those that the application shows, and the large ones with the latest activity. News of the others shows at
// the end of the next wait, because the unread total no longer equals the sum of the counts.
//
// A small conversation is watched while the application shows it, for the changes that have no entry in the inbox: reactions in
// a group with more members than the operator allows entries for.

import { unlisted } from "./changes.js";
import { uuid } from "./ids.js";
import { PAGE_LIMIT, WATCH } from "./limits.js";

export const fromHistory = (message, readSeq) => unlisted("message", message, message.created_at, Math.max(0, message.seq - readSeq));

/** `changes` has the numbers above 0. */
const noSeqs = (epoch, conversations = []) => {
  const changed = conversations.filter(({ change_seq }) => change_seq > 0);
  return { epoch, of: {}, large: {}, changes: Object.fromEntries(changed.map(({ id, change_seq }) => [id, change_seq])) };
};

export class Timelines {
  #core;
  /**
   * The last seqs that were taken: of large conversations, or with `backfill` of all. `large` is by activity, newest last.
   * `changes` has the numbers up to which changes were taken.
   */
  seqs = noSeqs(null);
  /** How often the application watches a conversation here, and the conversations that other tabs watch. */
  #own = new Map();
  #others = new Map();
  /** The last seqs of small conversations that were watched. */
  #heads = new Map();

  constructor(core) {
    this.#core = core;
  }

  clear() {
    this.seqs = noSeqs(null);
    this.#heads.clear();
    this.#others.clear();
  }

  /** In another epoch, the seqs and numbers of a conversation belong to other messages, and the application drops what it has. */
  renew(epoch, conversations) {
    if (this.seqs.epoch === epoch) return;
    this.seqs = noSeqs(epoch, conversations);
    this.#heads.clear();
  }

  // Watching.

  /** Watches a conversation until the returned function is called. */
  watch(id) {
    id = uuid(id);
    this.#own.set(id, (this.#own.get(id) ?? 0) + 1);
    if (this.#own.get(id) === 1) this.#tell();
    this.#core.typing.tellHere(id);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      if (this.#own.get(id) > 1) return void this.#own.set(id, this.#own.get(id) - 1);
      this.#own.delete(id);
      this.#tell();
    };
  }

  get own() {
    return [...this.#own.keys()];
  }

  #tell() {
    if (this.#core.tabs.leader) this.#core.sync.rewatch();
    else this.#core.tabs.tellWatched();
  }

  /** Another tab watches these conversations now. */
  watchFor(tab, ids) {
    if (ids.length > 0) this.#others.set(tab, ids);
    else this.#others.delete(tab);
    if (this.#core.tabs.leader) this.#core.sync.rewatch();
  }

  /** Watched conversations that the server does not find. */
  unwatchAll() {
    const found = this.#own.size + this.#others.size > 0;
    this.#own.clear();
    this.#others.clear();
    return found;
  }

  /** The conversations that the application shows, in this tab or another one. */
  get shown() {
    return [...this.#shown];
  }

  get #shown() {
    return new Set([...this.#own.keys(), ...[...this.#others.values()].flat()]);
  }

  /** The conversations of a wait, each with its last seq and its number. */
  watched(withNumbers) {
    const { of, large } = this.seqs;
    // A server without numbers has nothing to say about a small conversation.
    const shown = [...this.#shown].filter((id) => large[id] || withNumbers).slice(0, WATCH);
    const rest = Object.keys(large).filter((id) => !shown.includes(id));
    const ids = [...(shown.length < WATCH ? rest.slice(shown.length - WATCH) : []), ...shown];
    const change = (id) => (withNumbers ? `:${this.#core.changes.numberOf(id)}` : "");
    return ids.map((id) => `${id}:${large[id] ? of[id] : (this.#heads.get(id) ?? 0)}${change(id)}`);
  }

  /** The heads of the watched conversations, for the other tabs. */
  get heads() {
    const { of, large, changes } = this.seqs;
    return [...new Set([...Object.keys(large), ...this.#shown])].map((id) => [id, of[id] ?? 0, changes[id]]);
  }

  /** Records newer heads of a watched conversation: the last seq, and the number of the last change. */
  noteHead(id, seq, change) {
    const one = this.seqs.large[id];
    if (one) one.last_seq = Math.max(one.last_seq, seq);
    else if (!this.#shown.has(id)) return;
    else this.#heads.set(id, Math.max(seq, this.#heads.get(id) ?? 0));
    this.#core.changes.noteHead(id, change);
  }

  // Large conversations.

  get mostAreUnwatched() {
    return Object.keys(this.seqs.large).length > WATCH;
  }

  /** Finds the large conversations. Those that were taken before are read from there, others from now on. */
  learnAll(conversations) {
    const { of } = this.seqs;
    // A seq beyond the head belongs to other data, even in the same epoch.
    for (const id of Object.keys(of)) if (!(of[id] <= conversations.get(id)?.last_seq)) delete of[id];
    this.seqs.large = {};
    this.#heads.clear();
    for (const one of [...conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? -1 : 1))) {
      this.learn(one, this.#core.options.backfill ? 0 : (of[one.id] ?? one.last_seq));
    }
  }

  /** A large conversation is read from `seq` on, or from the last seq that was taken. */
  learn({ id, fanout, last_seq, me }, seq) {
    if (fanout !== "read") return;
    const { of, large } = this.seqs;
    of[id] = Math.max(of[id] ?? 0, seq);
    large[id] = { last_seq, read_seq: me.read_seq };
  }

  leave(id) {
    for (const seqs of [this.seqs.of, this.seqs.large]) delete seqs[id];
    for (const map of [this.#own, this.#heads]) map.delete(id);
    for (const [tab, ids] of this.#others) this.#others.set(tab, ids.filter((one) => one !== id));
    this.#core.changes.leave(id);
  }

  /** Delivers the messages of each conversation that the application does not have yet. */
  async fill(conversations, signal) {
    const { of } = this.seqs;
    for (const { id, last_seq, me } of conversations) {
      if ((of[id] ?? 0) >= last_seq) continue;
      for await (const { messages } of this.#pages(id, signal)) {
        this.#core.changes.expect(...messages);
        for (const message of messages) {
          await this.#core.deliver("message", fromHistory(message, me.read_seq), signal);
          of[id] = message.seq;
        }
      }
    }
  }

  /** The history of a conversation, after the last seq that was taken. */
  async *#pages(id, signal) {
    for (let more = true; more; ) {
      const since_seq = this.seqs.of[id] ?? 0;
      const query = { since_seq, limit: PAGE_LIMIT };
      const { messages, has_more } = await this.#core.sync.ask("GET", `/v1/conversations/${uuid(id)}/messages`, { query, signal });
      yield { id, since_seq, messages };
      more = has_more && messages.length > 0;
    }
  }

  /**
   * Reads the large conversations whose head is beyond the last seq that was taken, and then all changes, or until a time. As with
   * entries, a page is shared first.
   */
  async catchUp(signal, until = Infinity) {
    const { sync, tabs, changes } = this.#core;
    const { of, large } = this.seqs;
    for (const id of Object.keys(large).filter((id) => of[id] < large[id].last_seq)) {
      try {
        for await (const page of this.#pages(id, signal)) {
          const heads = page.messages.slice(-1).map(({ seq }) => [id, seq]);
          if (tabs.leader) tabs.post({ type: "history", ...sync.position, page, heads });
          await this.take(page, signal);
          if (Date.now() > until) return;
        }
      } catch (error) {
        // The person is no longer a member. The inbox has this entry, or gets it soon.
        if (error.code !== "not_found") throw error;
      }
    }
    if (!changes.missed) return;
    await changes.catchUp(signal);
    await sync.remember();
  }

  /** Delivers messages of a large conversation to the application as if they were entries. */
  async take({ id, messages }, signal) {
    const { sync, session } = this.#core;
    const { of, large } = this.seqs;
    const one = large[id];
    messages = messages.filter(({ seq }) => seq > of[id]);
    if (messages.length === 0) return;
    this.#core.changes.expect(...messages);
    // The conversation with the newest activity is the last.
    delete large[id];
    large[id] = one;
    try {
      const { since, epoch } = sync.position;
      const entries = messages.map((message) => fromHistory(message, one.read_seq));
      await this.#core.deliver("entries", { entries, since, next: since, epoch }, signal);
      for (const entry of entries) {
        const { seq, sender_id } = entry.message;
        await this.#core.deliver("message", entry, signal);
        this.#core.typing.arrived(entry.message);
        of[id] = seq;
        this.noteHead(id, seq);
        // A send also marks the conversation as read.
        if (sender_id === session.owner) one.read_seq = Math.max(one.read_seq, seq);
      }
    } finally {
      if (!signal.aborted) {
        await sync.remember();
        sync.countLarge(id);
      }
    }
  }

  /** Updates the watched conversations after an entry that was taken. */
  follow({ kind, conversation_id: id, conversation, message, read_seq, cleared_seq }) {
    const { of, large } = this.seqs;
    const { changes, options } = this.#core;
    if (kind === "message" && options.backfill) of[id] = message.seq;
    if (message && large[id]) this.noteHead(id, message.seq, message.change_seq);
    else if (message) {
      if (message.change_seq) changes.brought(id, message.change_seq);
      if (kind === "message") this.noteHead(id, message.seq);
    }
    const read = kind === "read" ? read_seq : kind === "cleared" ? cleared_seq : 0;
    if (large[id]) large[id].read_seq = Math.max(large[id].read_seq, read);
    if (kind !== "conversation") return;
    if (!conversation) return this.leave(id);
    // Up to the switch, messages and changes were in the inbox.
    this.learn(conversation, Math.max(conversation.switch_seq, conversation.me.joined_seq));
    if (large[id]) this.noteHead(id, 0, conversation.change_seq);
  }
}

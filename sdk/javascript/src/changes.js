// Messages that change. A change takes the next number of its conversation (`change_seq`). In a small conversation the inbox has an
// entry for each edit and recall. A watched one has a number up to which the application has taken its changes, and the changed
// messages are read. The numbers are kept for all conversations: they never expire, so after a trimmed inbox they find every change.

//
// A message expires without an entry and without a number: the client turns it into a stub at its `expires_at`.

import { LONGEST_PAUSE_MS } from "./errors.js";
import { PAGE_LIMIT, RESYNC_CHANGES } from "./limits.js";
import { uuid } from "./ids.js";
import { backoff } from "./signals.js";

/** Numbers of one conversation that are remembered until the head of the inbox is reached. */
const BROUGHT = 1_000;
/** Messages whose end is awaited: those that expire first. */
const EXPECTED = 10_000;
/** The server's time is in whole seconds. A smaller difference of the clocks is not certain. */
const CLOCK_MS = 2_000;

/** Stubs are final: an expired message has no content again, and a hidden one stays hidden. */
const rank = (message) => ["expired", "recalled", "hidden"].indexOf(message?.kind);

/**
 * The state to keep of two states of one message, in whichever order they have arrived: the one with the higher `change_seq`.
 * An unchanged message has none. A stub stays a stub, and a message that the user has hidden stays hidden.
 */
export const newerState = (one, other) => {
  if (rank(one) !== rank(other)) return rank(other) > rank(one) || !one ? other : one;
  return (other?.change_seq ?? 0) > (one?.change_seq ?? 0) ? other : (one ?? other);
};

/** A message that is not from the inbox, in the form of an entry, but without a seq there. */
export const unlisted = (kind, message, at, unread) => ({ seq: null, kind, conversation_id: message.conversation_id, at, unread, message });
const timeOf = ({ kind, recalled, edited_at, expires_at, created_at }) => (kind === "expired" ? expires_at : recalled?.at) ?? edited_at ?? created_at;
const asChange = (message, unread) => unlisted("change", message, timeOf(message), unread);

/** What stays of a message that has expired, or that the user has hidden. */
const stubOf = ({ id, conversation_id, seq, sender_id, client_msg_id, created_at, change_seq, expires_at }, kind) =>
  ({ id, conversation_id, seq, sender_id, client_msg_id, created_at, kind, content: {}, ...(change_seq && { change_seq }), ...(expires_at && { expires_at }) });

export class Changes {
  #core;
  /** Whether the server has numbers. */
  exist = true;
  /** The latest numbers of the conversations with changes that were not taken. */
  #ahead = new Map();
  /** The numbers of changes that entries of small conversations have brought, since the last fetch reached the head of the inbox. */
  #brought = new Map();
  /** The reads of messages that are in flight, by conversation. */
  #reads = new Map();
  /** The stubs of messages that will expire, by conversation and seq, with their time. One timer is for the nearest of them. */
  #expected = new Map();
  #nearest = Infinity;
  #timer = null;
  #failures = 0;
  /** How far the server's clock is ahead of this device's, in ms. */
  #offset = 0;

  constructor(core) {
    this.#core = core;
  }

  clear() {
    this.#ahead.clear();
    this.#brought.clear();
    this.drop();
    this.exist = true;
  }

  get #numbers() {
    return this.#core.timelines.seqs.changes;
  }

  /** The number up to which the application has taken the changes of a conversation. */
  numberOf(id) {
    return this.#numbers[id] ?? 0;
  }

  noteHead(id, change) {
    if (change > this.numberOf(id)) this.#ahead.set(id, Math.max(change, this.#ahead.get(id) ?? 0));
  }

  /** At the start all changes that were missed are ahead, and no others. */
  begin(conversations) {
    this.#ahead.clear();
    // A number beyond the head belongs to other data, even in the same epoch.
    for (const id of Object.keys(this.#numbers)) if (!(this.#numbers[id] <= conversations.get(id)?.change_seq)) delete this.#numbers[id];
    for (const { id, change_seq } of conversations.values()) this.noteHead(id, change_seq);
  }

  /** An entry of a small conversation has brought the change with this number. */
  brought(id, change) {
    const numbers = this.#brought.get(id) ?? new Set();
    if (numbers.size < BROUGHT) this.#brought.set(id, numbers.add(change));
  }

  leave(id) {
    delete this.#numbers[id];
    this.#brought.delete(id);
  }

  /**
   * To be called at the head of the inbox. An entry has the present state of its message, so an earlier change of another message
   * may come after it; at the head all have come. Reactions may have no entries, so a number moves only over numbers that came.
   */
  settle() {
    for (const [id, numbers] of this.#brought) {
      if (this.#core.timelines.seqs.large[id]) continue;
      let number = this.numberOf(id);
      while (numbers.has(number + 1)) number++;
      if (number > 0) this.#numbers[id] = number;
    }
    this.#brought.clear();
  }

  async catchUp(signal) {
    for (const [id, head] of this.#ahead) {
      try {
        if (head - this.numberOf(id) > RESYNC_CHANGES && !this.#core.options.backfill) {
          await this.#core.deliver("invalidate", { conversation_id: id, change_seq: head }, signal);
          this.#numbers[id] = head;
        } else if (head > this.numberOf(id)) await this.#read(id, signal);
      } catch (error) {
        if (error.code !== "not_found") throw error;
      }
      this.#ahead.delete(id);
    }
  }

  get missed() {
    return this.#ahead.size > 0;
  }

  async #read(id, signal) {
    const { sync, tabs, timelines } = this.#core;
    for (let more = true; more; ) {
      const since = this.numberOf(id);
      const query = { changed_since: since, epoch: timelines.seqs.epoch, limit: PAGE_LIMIT };
      const { messages, change_seq, has_more } = await sync.ask("GET", `/v1/conversations/${uuid(id)}/messages`, { query, signal });
      const changes = { id, since, messages, change_seq };
      if (tabs.leader) tabs.post({ type: "changes", ...sync.position, changes, heads: [[id, 0, change_seq]] });
      await this.take(changes, signal);
      more = has_more;
    }
  }

  /** Delivers changed messages to the application, and moves the number of their conversation. */
  async take({ id, messages, change_seq }, signal) {
    const { sync, timelines } = this.#core;
    const { since, epoch } = sync.position;
    // The history brings later messages, as they are then.
    const entries = messages.filter(({ seq }) => !(seq > timelines.seqs.of[id])).map((message) => asChange(message, sync.unreadOf(id)));
    for (const { message } of entries) this.note(message);
    for (const message of messages) this.expect(message);
    if (entries.length > 0) await this.#core.deliver("entries", { entries, since, next: since, epoch }, signal);
    for (const entry of entries) await this.#core.deliver("change", entry, signal);
    this.#numbers[id] = Math.max(this.numberOf(id), change_seq);
  }

  // Reads in flight: a page has the state of its snapshot, and a change that comes before the page does is newer. The application
  // has no copy of that message yet to which it could apply the change, so the page gets it.

  /** The response of `read`, a page or a message, with the changes that have come meanwhile. */
  async overlay(id, read) {
    const changes = { states: new Map(), hidden: new Set(), cleared: 0 };
    const reads = this.#reads.get(id) ?? new Set();
    this.#reads.set(id, reads.add(changes));
    try {
      const response = await read();
      const newest = (message) => {
        const now = newerState(message, changes.states.get(message.seq));
        this.expect(now);
        return changes.hidden.has(message.seq) && now.kind !== "hidden" ? stubOf(now, "hidden") : now;
      };
      if (!response.messages) return newest(response);
      const visible = response.messages.filter(({ seq }) => seq > changes.cleared);
      return { ...response, messages: visible.map(newest), ...(response.replied && { replied: response.replied.map(newest) }) };
    } finally {
      reads.delete(changes);
      if (reads.size === 0) this.#reads.delete(id);
    }
  }

  /** A message has this state now. */
  note(message) {
    for (const { states } of this.#reads.get(message.conversation_id) ?? []) states.set(message.seq, newerState(message, states.get(message.seq)));
  }

  /** An entry may concern messages that are being read, or brings messages that will expire. */
  noteEntry({ kind, conversation_id: id, message, conversation, hidden_seq, cleared_seq }) {
    if (message) this.note(message);
    this.expect(message, conversation?.last_message);
    for (const changes of this.#reads.get(id) ?? []) {
      if (kind === "hidden") changes.hidden.add(hidden_seq);
      if (kind === "cleared") changes.cleared = Math.max(changes.cleared, cleared_seq);
    }
  }

  // Messages that expire. The application has their content; here are only the stubs.

  /** The time of the server. */
  get now() {
    return Date.now() + this.#offset;
  }

  /** The server's time of a response, where the browser shows it. */
  learnTime({ headers }) {
    const ahead = Date.parse(headers.get("Date")) + 500 - Date.now();
    if (!Number.isNaN(ahead)) this.#offset = Math.abs(ahead) < CLOCK_MS ? 0 : ahead;
  }

  /** The application gets these messages. Those that will expire become stubs at their time. */
  expect(...messages) {
    for (const message of messages) {
      if (!message?.expires_at) continue;
      const key = `${message.conversation_id} ${message.seq}`;
      const at = Date.parse(message.expires_at);
      // The last one has the latest number.
      const known = this.#expected.get(key)?.stub;
      if (rank(message) >= 0) this.#expected.delete(key);
      else if (known === undefined || (message.change_seq ?? 0) >= (known.change_seq ?? 0)) this.#expected.set(key, { at, stub: stubOf(message, "expired") });
      if (rank(message) < 0 && at < this.#nearest) this.#await(at);
    }
    if (this.#expected.size <= EXPECTED) return;
    const sorted = [...this.#expected].sort(([, one], [, other]) => one.at - other.at);
    for (const [key] of sorted.slice(EXPECTED / 2)) this.#expected.delete(key);
  }

  #await(at, atLeast = 0) {
    clearTimeout(this.#timer);
    this.#nearest = at;
    if (at === Infinity) return;
    const wait = Math.max(atLeast, at - Date.now() - this.#offset);
    this.#timer = setTimeout(() => this.#core.spawn(this.#expire()), Math.min(wait, LONGEST_PAUSE_MS));
    // A timer alone does not keep a program of Node running.
    this.#timer.unref?.();
  }

  /** Another person or other data follow: no message of before expires. */
  drop() {
    this.#expected.clear();
    this.#failures = 0;
    this.#await(Infinity);
  }

  /** Delivers the stubs of all messages whose time has come. A handler that fails gets them again. */
  async #expire() {
    let pause = 0;
    this.#nearest = -Infinity;
    try {
      await this.#core.sync.serially(() => this.#deliverExpired());
      this.#failures = 0;
    } catch (error) {
      pause = backoff(this.#core.backoff, this.#failures++, error);
      this.#core.report(error);
    } finally {
      this.#await(Math.min(...[...this.#expected.values()].map(({ at }) => at)), pause);
    }
  }

  async #deliverExpired() {
    const { sync, life } = this.#core;
    const { now } = this;
    const due = [...this.#expected].filter(([, { at }]) => at <= now).sort(([, one], [, other]) => one.at - other.at);
    if (due.length === 0 || life.signal.aborted) return;
    const entries = due.map(([, { stub }]) => asChange(stub, sync.unreadOf(stub.conversation_id)));
    for (const { message } of entries) this.note(message);
    const { since, epoch } = sync.position ?? {};
    if (since !== undefined) await this.#core.deliver("entries", { entries, since, next: since, epoch }, life.signal);
    for (const [n, [key, { stub }]] of due.entries()) {
      if (this.#expected.get(key)?.stub !== stub) continue;
      await this.#core.deliver("change", entries[n], life.signal);
      this.#expected.delete(key);
    }
  }
}

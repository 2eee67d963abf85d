// The sync loop: resync, wait, fetch, apply, store the position.
//
// Messages of small conversations are entries of the inbox. Those of large ones (`fanout: "read"`) are in no inbox: the
// wait watches the conversation from the last seq that the application has taken, and its history is read. To the
// application they are the same `message` events. One wait watches at most 100 conversations, those with the latest activity.
// News of the others shows at the end of the next wait, because the unread total no longer equals the sum of the counts.
//
// A message that changes takes the next number of its conversation (`change_seq`). In a small conversation the inbox has an entry
// for each change. A large one is watched with the number up to which the application has taken its changes, and the changed
// messages are read. The numbers are kept for all conversations: they never expire, so after a trimmed inbox they find every change.

import { PAGE } from "./api.js";
import { asked, RESYNC, TidelineError } from "./errors.js";
import { uuid } from "./ids.js";
import { abortable, backoff, linked } from "./signals.js";

const ENTRY_KINDS = ["message", "mention", "edit", "recall", "reaction", "read", "conversation", "members"];
/** The limit of a page. An answer costs a browser more than the entries in it, and the server limits the bytes of a page. */
const CATCH_UP = 500;
/** How long after the time-out of a wait its answer may take. */
const ANSWER_MS = 10_000;
/** A wait that began less than this time ago is not replaced. */
const RECENT_MS = 1_000;
/** The most conversations that the server lets one wait watch. */
const WATCH = 100;
/** With more changes than this, reading the conversation again costs less. */
const MOST_CHANGES = 1_000;

/**
 * The state to keep of two states of one message, in whichever order they have arrived: the one with the higher `change_seq`.
 * An unchanged message has none.
 */
export const newerState = (one, other) => ((other?.change_seq ?? 0) > (one?.change_seq ?? 0) ? other : (one ?? other));

/** A message that is not from the inbox, in the form of an entry, but without a seq there. */
const unlisted = (kind, message, at, unread) => ({ seq: null, kind, conversation_id: message.conversation_id, at, unread, message });
const fromHistory = (message, readSeq) => unlisted("message", message, message.created_at, Math.max(0, message.seq - readSeq));
const asChange = (message, unread) => unlisted("change", message, message.recalled?.at ?? message.edited_at ?? message.created_at, unread);

/** `changes` has the numbers above 0. */
const noSeqs = (epoch, conversations = []) => {
  const changed = conversations.filter(({ change_seq }) => change_seq > 0);
  return { epoch, of: {}, large: {}, changes: Object.fromEntries(changed.map(({ id, change_seq }) => [id, change_seq])) };
};

export class Sync {
  #core;
  run = null;
  position = null;
  connection = "stopped";
  /**
   * The last seqs that were taken: of large conversations, or with `backfill` of all. `large` is by activity, newest last.
   * `changes` has the numbers up to which changes were taken.
   */
  seqs = noSeqs(null);
  resume = null;
  #counts = new Map();
  #countedTo = 0;
  /** The latest numbers of the conversations with changes that were not taken. */
  #changed = new Map();
  /** The numbers of changes that entries of small conversations have brought, since the last fetch reached the head of the inbox. */
  #brought = new Map();
  /** Whether the server has numbers. */
  #hasNumbers = true;
  #turn = Promise.resolve();
  #wait = null;
  #hurry = false;

  constructor(core) {
    this.#core = core;
  }

  get unread() {
    const conversations = Object.fromEntries(this.#counts);
    return { total: [...this.#counts.values()].reduce((sum, count) => sum + count, 0), conversations };
  }

  setConnection(state, error = null, retryInMs = null) {
    if (state === this.connection && !error) return;
    this.connection = state;
    this.#core.tell("connection", { state, leader: this.#core.tabs.leader, error, retryInMs });
    if (this.#core.tabs.leader) this.#core.tabs.announce();
  }

  async start({ signal } = {}) {
    await this.#core.session.sessionNow();
    signal?.throwIfAborted();
    if (this.connection === "superseded") {
      this.resume?.();
      if (!this.#core.tabs.leader) this.#core.tabs.post({ type: "resume" });
    }
    if (!this.run) this.#begin(signal);
    return abortable(this.run.started, signal);
  }

  #begin(signal) {
    const run = linked([], { all: this.#core.links });
    this.run = run;
    run.user = this.#core.session.user.id;
    const stop = () => this.run === run && this.stop(signal.reason);
    signal?.addEventListener("abort", stop);
    run.over = () => signal?.removeEventListener("abort", stop);
    run.started = (async () => {
      this.setConnection("connecting");
      this.#core.spawn(this.#core.outbox.load());
      const stored = this.#core.options.resume && (await this.#readPosition());
      if (stored) await this.insist(run.signal, () => this.#countAgain(run.signal));
      else await this.insist(run.signal, async () => {}, "start");
      this.setConnection("online");
      this.#core.spawn(this.#core.tabs.elect(run.signal));
      if (this.#core.hasTabs) this.#core.spawn(this.#core.tabs.watchLeader(run.signal));
      this.#core.tabs.post({ type: "ping" });
    })();
    // After a failed start, `start` can be called again.
    this.#core.spawn(run.started.catch((error) => (this.run === run && this.stop(error), Promise.reject(error))));
  }

  /** A request of the person for whom the loop runs. */
  #ask(method, path, options) {
    return this.#core.session.authorized(method, path, { ...options, user: this.run?.user });
  }

  stop(reason) {
    this.run?.abort(reason);
    this.run?.done();
    this.run?.over();
    this.run = null;
    this.position = null;
    for (const map of [this.#counts, this.#changed, this.#brought]) map.clear();
    this.seqs = noSeqs(null);
    this.#hasNumbers = true;
    this.setConnection("stopped");
  }

  /** Repeats a step until it succeeds. Resyncs when the server requires it, and backs off after all other failures. */
  async insist(signal, step, reason = null) {
    for (let failures = 0, resyncs = 0; ; ) {
      try {
        if (reason) await this.serially(() => this.#startOver(reason, signal));
        reason = null;
        return await step();
      } catch (error) {
        signal.throwIfAborted();
        // Two nodes of different epochs must not make the client list all conversations in a tight loop.
        if (RESYNC.includes(error.code)) {
          reason = error.code;
          if (resyncs++ === 0) continue;
        }
        const ms = backoff(this.#core.backoff, failures++, error);
        if (error.code === "handler_failed" || !error.transient) this.#core.report(error);
        if (error.code !== "handler_failed") this.setConnection("offline", error, ms);
        await this.#core.pause(ms, signal, { atLeast: error.retryAfterMs ?? 0 });
      }
    }
  }

  /** Runs the tasks that move the position one after the other. */
  serially(task) {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The start of a device, and a resync: the inbox continues from its position *before* the first page was read. */
  async #startOver(reason, signal) {
    const found = new Map();
    let first;
    for (let cursor; cursor !== null; ) {
      const query = { order: "id", limit: PAGE, cursor };
      const page = await this.#ask("GET", "/v1/conversations", { query, signal });
      first ??= page;
      for (const conversation of page.conversations) found.set(conversation.id, conversation);
      cursor = page.next_cursor;
    }
    const conversations = [...found.values()];
    const { epoch, inbox_seq } = first;
    // In another epoch, the seqs and numbers of a conversation belong to other messages, and the application drops what it has.
    if (this.seqs.epoch !== epoch) this.seqs = noSeqs(epoch, conversations);
    this.#hasNumbers = conversations.every(({ change_seq }) => change_seq !== undefined);
    await this.#core.deliver("resync", { reason, epoch, inbox_seq, conversations }, signal);
    this.#learnAll(found);
    if (this.#core.options.backfill) await this.#fill(conversations, signal);
    this.position = { since: inbox_seq, epoch };
    this.#countedTo = inbox_seq;
    const counts = conversations.map(({ id, me }) => [id, me.unread]).filter(([, unread]) => unread > 0);
    this.#recount(new Map(counts));
    await this.#catchUpChanges(signal);
    await this.remember();
    this.setConnection("online");
    this.#core.tabs.post({ type: "entries", since: inbox_seq, epoch, entries: [] });
  }

  /** Finds the large conversations. Those that were taken before are read from there, others from now on. */
  #learnAll(conversations) {
    const { of, changes } = this.seqs;
    // A seq or number beyond the head belongs to other data, even in the same epoch.
    for (const id of Object.keys(of)) if (!(of[id] <= conversations.get(id)?.last_seq)) delete of[id];
    for (const id of Object.keys(changes)) if (!(changes[id] <= conversations.get(id)?.change_seq)) delete changes[id];
    this.seqs.large = {};
    this.#changed.clear();
    for (const one of [...conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? -1 : 1))) {
      this.#learn(one, this.#core.options.backfill ? 0 : (of[one.id] ?? one.last_seq));
      this.#hearChange(one.id, one.change_seq);
    }
  }

  /** A large conversation is read from `seq` on, or from the last seq that was taken. */
  #learn({ id, fanout, last_seq, me }, seq) {
    if (fanout !== "read") return;
    const { of, large } = this.seqs;
    of[id] = Math.max(of[id] ?? 0, seq);
    large[id] = { last_seq, read_seq: me.read_seq };
  }

  /** Delivers the messages of each conversation that the application does not have yet. */
  async #fill(conversations, signal) {
    const { of } = this.seqs;
    for (const { id, last_seq, me } of conversations) {
      if ((of[id] ?? 0) >= last_seq) continue;
      for await (const { messages } of this.#pages(id, signal)) {
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
      const query = { since_seq, limit: CATCH_UP };
      const { messages, has_more } = await this.#ask("GET", `/v1/conversations/${uuid(id)}/messages`, { query, signal });
      yield { id, since_seq, messages };
      more = has_more && messages.length > 0;
    }
  }

  /** Records newer heads of a large conversation: the last seq, and the number of the last change. */
  hear(id, seq, change) {
    const one = this.seqs.large[id];
    if (!one) return;
    one.last_seq = Math.max(one.last_seq, seq);
    this.#hearChange(id, change);
  }

  #hearChange(id, change) {
    if (change > this.numberOf(id)) this.#changed.set(id, Math.max(change, this.#changed.get(id) ?? 0));
  }

  /** The number up to which the application has taken the changes of a conversation. */
  numberOf(id) {
    return this.seqs.changes[id] ?? 0;
  }

  /**
   * Reads the large conversations whose head is beyond the last seq that was taken, and then all changes. As with entries, a page
   * is shared first.
   */
  async catchUp(signal) {
    const { of, large } = this.seqs;
    for (const id of Object.keys(large).filter((id) => of[id] < large[id].last_seq)) {
      try {
        for await (const page of this.#pages(id, signal)) {
          const heads = page.messages.slice(-1).map(({ seq }) => [id, seq]);
          if (this.#core.tabs.leader) this.#core.tabs.post({ type: "history", ...this.position, page, heads });
          await this.takeHistory(page, signal);
        }
      } catch (error) {
        // The person is no longer a member. The inbox has this entry, or gets it soon.
        if (error.code !== "not_found") throw error;
      }
    }
    if (this.#changed.size === 0) return;
    await this.#catchUpChanges(signal);
    await this.remember();
  }

  async #catchUpChanges(signal) {
    for (const [id, head] of this.#changed) {
      try {
        if (head - this.numberOf(id) > MOST_CHANGES && !this.#core.options.backfill) {
          await this.#core.deliver("invalidate", { conversation_id: id, change_seq: head }, signal);
          this.seqs.changes[id] = head;
        } else await this.#readChanges(id, signal);
      } catch (error) {
        if (error.code !== "not_found") throw error;
      }
      this.#changed.delete(id);
    }
  }

  async #readChanges(id, signal) {
    for (let more = true; more; ) {
      const since = this.numberOf(id);
      const query = { changed_since: since, epoch: this.seqs.epoch, limit: CATCH_UP };
      const { messages, change_seq, has_more } = await this.#ask("GET", `/v1/conversations/${uuid(id)}/messages`, { query, signal });
      const changes = { id, since, messages, change_seq };
      if (this.#core.tabs.leader) this.#core.tabs.post({ type: "changes", ...this.position, changes, heads: [[id, 0, change_seq]] });
      await this.takeChanges(changes, signal);
      more = has_more;
    }
  }

  /** Delivers changed messages to the application, and moves the number of their conversation. */
  async takeChanges({ id, messages, change_seq }, signal) {
    const { of, changes } = this.seqs;
    const { since, epoch } = this.position;
    // The history brings later messages, as they are then.
    const entries = messages.filter(({ seq }) => !(seq > of[id])).map((message) => asChange(message, this.#counts.get(id) ?? 0));
    if (entries.length > 0) await this.#core.deliver("entries", { entries, since, next: since, epoch }, signal);
    for (const entry of entries) await this.#core.deliver("change", entry, signal);
    changes[id] = Math.max(this.numberOf(id), change_seq);
  }

  /** Delivers messages of a large conversation to the application as if they were entries. */
  async takeHistory({ id, messages }, signal) {
    const { of, large } = this.seqs;
    const one = large[id];
    messages = messages.filter(({ seq }) => seq > of[id]);
    if (messages.length === 0) return;
    // The conversation with the newest activity is the last.
    delete large[id];
    large[id] = one;
    try {
      const { since, epoch } = this.position;
      const entries = messages.map((message) => fromHistory(message, one.read_seq));
      await this.#core.deliver("entries", { entries, since, next: since, epoch }, signal);
      for (const entry of entries) {
        const { seq, sender_id } = entry.message;
        await this.#core.deliver("message", entry, signal);
        of[id] = seq;
        this.hear(id, seq);
        // A send also marks the conversation as read.
        if (sender_id === this.#core.session.owner) one.read_seq = Math.max(one.read_seq, seq);
      }
    } finally {
      if (!signal.aborted) {
        await this.remember();
        this.#recount(this.#counted(new Map(this.#counts), id, 0));
      }
    }
  }

  /** Fetches until there is no more. The leader shares each page before it takes it, so its handlers do not delay other tabs. */
  async fetchAll(signal) {
    for (let more = true; more; ) {
      const { since, epoch } = this.position;
      const query = { since_seq: since, epoch, limit: CATCH_UP };
      const page = await this.#ask("GET", "/v1/inbox", { query, signal });
      if (this.#core.tabs.leader) this.#core.tabs.post({ type: "entries", since, epoch, entries: page.entries });
      await this.take(page.entries, signal);
      more = page.has_more;
    }
    // An entry has the present state of its message, so an earlier change of another message may come after it. At the head, all
    // changes up to these numbers have come, unless the conversation has become large meanwhile.
    for (const [id, change] of this.#brought) if (!this.seqs.large[id]) this.seqs.changes[id] = Math.max(this.numberOf(id), change);
    this.#brought.clear();
  }

  /** Delivers entries to the application, and moves the position after each entry that was taken. */
  async take(entries, signal) {
    const position = this.position;
    entries = entries.filter((entry) => entry.seq > position.since);
    if (entries.length === 0) return;
    const counts = new Map(this.#counts);
    try {
      await this.#core.deliver("entries", { entries, since: position.since, next: entries.at(-1).seq, epoch: position.epoch }, signal);
      for (const entry of entries) {
        if (entry.seq !== position.since + 1) throw new TidelineError({ code: "gap", detail: `entry ${entry.seq} after ${position.since}` });
        if (this.#isNew(entry)) {
          await this.#core.deliver(entry.kind, entry, signal);
          this.#follows(entry);
        }
        position.since = entry.seq;
        // Every entry, of a known kind or not, has the unread count as of it.
        if (entry.seq > this.#countedTo) this.#counted(counts, entry.conversation_id, entry.unread);
      }
    } finally {
      if (!signal.aborted) {
        await this.remember();
        this.#recount(counts);
      }
    }
  }

  /** Skips unknown kinds, and messages that were already read in the history. */
  #isNew({ kind, conversation_id, message }) {
    return kind === "message" ? message.seq > (this.seqs.of[conversation_id] ?? 0) : ENTRY_KINDS.includes(kind);
  }

  /** Updates the watched conversations after an entry that was taken. */
  #follows({ kind, conversation_id: id, conversation, message, read_seq }) {
    const { of, large, changes } = this.seqs;
    if (kind === "message" && this.#core.options.backfill) of[id] = message.seq;
    if (message && large[id]) this.hear(id, message.seq, message.change_seq);
    else if (message?.change_seq) this.#brought.set(id, Math.max(message.change_seq, this.#brought.get(id) ?? 0));
    if (kind === "read" && large[id]) large[id].read_seq = Math.max(large[id].read_seq, read_seq);
    if (kind !== "conversation") return;
    // Up to the switch, messages and changes were in the inbox.
    if (conversation) {
      this.#learn(conversation, Math.max(conversation.switch_seq, conversation.me.joined_seq));
      return this.hear(id, 0, conversation.change_seq);
    }
    for (const seqs of [of, large, changes]) delete seqs[id];
    this.#brought.delete(id);
  }

  /** For large conversations the client computes the unread count; for others the entry has it. */
  #counted(counts, id, told) {
    const one = this.seqs.large[id];
    const unread = one ? one.last_seq - one.read_seq : told;
    return unread > 0 ? counts.set(id, unread) : (counts.delete(id), counts);
  }

  #recount(counts) {
    const before = JSON.stringify(this.unread);
    this.#counts = new Map([...counts].sort());
    if (JSON.stringify(this.unread) !== before) this.#core.tell("unread", this.unread);
  }

  /** The position is stored only for an application that keeps its own copy; others must list anyway. */
  async remember() {
    if (!this.#core.options.resume || !this.#core.tabs.leader || !this.run) return;
    await this.#core.store.write(`${this.run.user}:position`, { ...this.position, seqs: this.seqs });
  }

  async #readPosition() {
    const fits = (value) => value === null || (Number.isSafeInteger(value.since) && typeof value.epoch === "string");
    const found = await this.#core.store.read(`${this.run.user}:position`, fits);
    // Older versions without large conversations or changes did not store them.
    if (!found?.seqs?.large || !found.seqs.of || !found.seqs.changes) return false;
    const { seqs, ...position } = found;
    this.position = position;
    this.seqs = seqs;
    return true;
  }

  async #countAgain(signal) {
    const { conversations, as_of_seq } = await this.#ask("GET", "/v1/unread", { signal });
    this.#countedTo = as_of_seq;
    this.#recount(new Map(conversations.map((one) => [one.conversation_id, one.unread])));
    const { large } = this.seqs;
    for (const { conversation_id: id, unread } of conversations) if (large[id]) this.hear(id, large[id].read_seq + unread);
  }

  /** One wait, and a fetch of its news. After a failure the time-out is 0, to detect quickly that the server answers again. */
  async round(signal) {
    const timeout = this.connection === "online" && !this.#hurry ? this.#core.options.waitSeconds : 0;
    this.#hurry = false;
    const wait = Object.assign(linked([signal]), { began: Date.now() });
    this.#wait = wait;
    const { since, epoch } = this.position;
    const { of, large } = this.seqs;
    const change = (id) => (this.#hasNumbers ? `:${this.numberOf(id)}` : "");
    const watch = Object.keys(large).slice(-WATCH).map((id) => `${id}:${of[id]}${change(id)}`);
    const options = { query: { since_seq: since, epoch, timeout, watch }, signal: wait.signal, timeoutMs: timeout * 1_000 + ANSWER_MS };
    let notice;
    try {
      notice = await this.#ask("GET", "/v1/notices", options);
    } catch (error) {
      if (error.code === "hurry") return;
      // A node of an older version refuses numbers.
      if (error.code === "validation" && watch.length > 0 && this.#hasNumbers) return void (this.#hasNumbers = false);
      if (error.code !== "not_found") throw error;
      // The person is no longer a member of a watched conversation. The inbox has an entry about it.
      await this.serially(() => this.fetchAll(signal));
      if (this.position.since === since) throw error;
      return;
    } finally {
      wait.done();
      this.#wait = null;
    }
    this.setConnection("online");
    await this.serially(() => this.#takeNotice(notice, signal));
    if (notice.reconnect) await this.#core.pause(asked(notice.retry_after_ms) ?? backoff(this.#core.backoff, 0), signal);
    if (!notice.superseded) return;
    this.setConnection("superseded");
    await abortable(new Promise((resolve) => (this.resume = resolve)), signal);
    this.setConnection("connecting");
  }

  async #takeNotice({ news, watched, total_unread }, signal) {
    if (news) await this.fetchAll(signal);
    for (const { conversation_id, last_seq, change_seq } of watched) {
      this.hear(conversation_id, last_seq, change_seq);
      this.#hasNumbers ||= change_seq !== undefined;
    }
    await this.catchUp(signal);
    // For conversations beyond the limit of a wait, the total is the only signal.
    if (Object.keys(this.seqs.large).length <= WATCH || total_unread === this.unread.total) return;
    await this.#countAgain(signal);
    await this.catchUp(signal);
  }

  networkChanged = (event) => {
    if (event.type === "online") for (const wake of [...this.#core.nudges]) wake();
    // A wait that was active when the network was lost gets no more data.
    if (event.type === "offline") this.#wait?.abort(new TidelineError({ code: "network", detail: "the network is gone" }));
    else if (globalThis.document?.visibilityState !== "hidden") this.look();
  };

  /** The page is visible again, or the network is back: a wait from before a sleep may use a dead connection. */
  look() {
    if (!this.#core.tabs.leader) return this.#core.tabs.post({ type: "look" });
    if (!this.#wait || Date.now() - this.#wait.began < RECENT_MS) return;
    this.#hurry = true;
    this.#wait.abort(new TidelineError({ code: "hurry" }));
  }

  /** Takes everything beyond the position, of the inbox and of large conversations. */
  async takeAll(signal) {
    await this.fetchAll(signal);
    await this.catchUp(signal);
  }
}

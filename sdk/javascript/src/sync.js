// The sync loop: start over, wait, fetch, apply, remember.
//
// Messages of small conversations are entries of the inbox. Those of large ones (`fanout: "read"`) are in no inbox: the
// wait watches the conversation from the last seq of it that the application has taken, and its history is read. To the
// application they are the same `message` events. One wait watches 100 at most, those of the latest activity; of the others
// we hear with the next wait, since the sum of what is unread no longer agrees.

import { PAGE } from "./api.js";
import { asked, RESYNC, TidelineError } from "./errors.js";
import { uuid } from "./ids.js";
import { abortable, backoff, linked } from "./signals.js";

const ENTRY_KINDS = ["message", "mention", "read", "conversation", "members"];
/** The limit of a page. An answer costs a browser more than the entries in it, and the server limits the bytes of a page. */
const CATCH_UP = 500;
/** How long an answer may take after the time of the wait is over. */
const ANSWER_MS = 10_000;
/** A wait that began within this time needs no other. */
const RECENT_MS = 1_000;
/** The most conversations that the server lets one wait watch. */
const WATCH = 100;

/** A message that was read in the history, in the form of an entry of the inbox, in which it has no seq. */
const unlisted = (message, readSeq) => ({
  seq: null,
  kind: "message",
  conversation_id: message.conversation_id,
  at: message.created_at,
  unread: Math.max(0, message.seq - readSeq),
  message,
});

export class Sync {
  #core;
  run = null;
  position = null;
  connection = "stopped";
  /** The last seqs that were taken: of large conversations, with a backfill of all. The `large` ones by activity, newest last. */
  seqs = { epoch: null, of: {}, large: {} };
  resume = null;
  #counts = new Map();
  #countedTo = 0;
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
      const stored = this.#core.options.resume && (await this.#recall());
      if (stored) await this.insist(run.signal, () => this.#countAgain(run.signal));
      else await this.insist(run.signal, async () => {}, "start");
      this.setConnection("online");
      this.#core.spawn(this.#core.tabs.elect(run.signal));
      if (this.#core.hasTabs) this.#core.spawn(this.#core.tabs.watchLeader(run.signal));
      this.#core.tabs.post({ type: "ping" });
    })();
    // What has failed to start can be started again.
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
    this.#counts.clear();
    this.seqs = { epoch: null, of: {}, large: {} };
    this.setConnection("stopped");
  }

  /** Repeats a step until it succeeds: starts over where the server says so, and backs off from all other failures. */
  async insist(signal, step, reason = null) {
    for (let failures = 0, resyncs = 0; ; ) {
      try {
        if (reason) await this.serially(() => this.#startOver(reason, signal));
        reason = null;
        return await step();
      } catch (error) {
        signal.throwIfAborted();
        // Two nodes of different epochs must not make us list all conversations in a tight circle.
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

  /** Everything that moves the position, one after the other. */
  serially(task) {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** How a device starts, and starts over: the inbox is continued from where it was *before* the first page was read. */
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
    // In another life of the database a conversation's seqs are other messages.
    if (this.seqs.epoch !== epoch) this.seqs = { epoch, of: {}, large: {} };
    await this.#core.deliver("resync", { reason, epoch, inbox_seq, conversations }, signal);
    this.#learnAll(found);
    if (this.#core.options.backfill) await this.#fill(conversations, signal);
    this.position = { since: inbox_seq, epoch };
    this.#countedTo = inbox_seq;
    const counts = conversations.map(({ id, me }) => [id, me.unread]).filter(([, unread]) => unread > 0);
    this.#recount(new Map(counts));
    await this.remember();
    this.setConnection("online");
    this.#core.tabs.post({ type: "entries", since: inbox_seq, epoch, entries: [] });
  }

  /** Which conversations are large. Of those that were taken before, what was missed follows; of others, what comes now. */
  #learnAll(conversations) {
    const { of } = this.seqs;
    // A seq beyond the head is from other data, whatever the epoch says.
    for (const id of Object.keys(of)) if (!(of[id] <= conversations.get(id)?.last_seq)) delete of[id];
    this.seqs.large = {};
    for (const one of [...conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? -1 : 1))) {
      this.#learn(one, this.#core.options.backfill ? 0 : (of[one.id] ?? one.last_seq));
    }
  }

  /** A large conversation is read from `seq` on, or from where it was taken up to. */
  #learn({ id, fanout, last_seq, me }, seq) {
    if (fanout !== "read") return;
    const { of, large } = this.seqs;
    of[id] = Math.max(of[id] ?? 0, seq);
    large[id] = { last_seq, read_seq: me.read_seq };
  }

  /** Reads what each conversation has beyond what was delivered of it. */
  async #fill(conversations, signal) {
    const { of } = this.seqs;
    for (const { id, last_seq, me } of conversations) {
      if ((of[id] ?? 0) >= last_seq) continue;
      for await (const { messages } of this.#pages(id, signal)) {
        for (const message of messages) {
          await this.#core.deliver("message", unlisted(message, me.read_seq), signal);
          of[id] = message.seq;
        }
      }
    }
  }

  /** The history of a conversation, from what was taken of it on. */
  async *#pages(id, signal) {
    for (let more = true; more; ) {
      const since_seq = this.seqs.of[id] ?? 0;
      const query = { since_seq, limit: CATCH_UP };
      const { messages, has_more } = await this.#ask("GET", `/v1/conversations/${uuid(id)}/messages`, { query, signal });
      yield { id, since_seq, messages };
      more = has_more && messages.length > 0;
    }
  }

  /** Somebody says how far a large conversation has got. */
  hear(id, seq) {
    const one = this.seqs.large[id];
    if (one) one.last_seq = Math.max(one.last_seq, seq);
  }

  /** Reads the large conversations that got beyond what was taken of them. As with entries, a page is shared first. */
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
        // We are out of it, as the inbox says, or will in a moment.
        if (error.code !== "not_found") throw error;
      }
    }
  }

  /** Hands messages of a large conversation to the application as if they were entries. */
  async takeHistory({ id, messages }, signal) {
    const { of, large } = this.seqs;
    const one = large[id];
    messages = messages.filter(({ seq }) => seq > of[id]);
    if (messages.length === 0) return;
    // The newest activity is behind all others.
    delete large[id];
    large[id] = one;
    try {
      const { since, epoch } = this.position;
      const entries = messages.map((message) => unlisted(message, one.read_seq));
      await this.#core.deliver("entries", { entries, since, next: since, epoch }, signal);
      for (const entry of entries) {
        const { seq, sender_id } = entry.message;
        await this.#core.deliver("message", entry, signal);
        of[id] = seq;
        this.hear(id, seq);
        // Sending means having read.
        if (sender_id === this.#core.session.owner) one.read_seq = Math.max(one.read_seq, seq);
      }
    } finally {
      if (!signal.aborted) {
        await this.remember();
        this.#recount(this.#counted(new Map(this.#counts), id, 0));
      }
    }
  }

  /** Fetches until there is no more. The leader shares each page before taking it: its own handlers hold up nobody else. */
  async fetchAll(signal) {
    for (let more = true; more; ) {
      const { since, epoch } = this.position;
      const query = { since_seq: since, epoch, limit: CATCH_UP };
      const page = await this.#ask("GET", "/v1/inbox", { query, signal });
      if (this.#core.tabs.leader) this.#core.tabs.post({ type: "entries", since, epoch, entries: page.entries });
      await this.take(page.entries, signal);
      more = page.has_more;
    }
  }

  /** Hands entries to the application, and moves the position behind each that was taken. */
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
        // Every entry, known or not, says how much is unread as of it.
        if (entry.seq > this.#countedTo) this.#counted(counts, entry.conversation_id, entry.unread);
      }
    } finally {
      if (!signal.aborted) {
        await this.remember();
        this.#recount(counts);
      }
    }
  }

  /** Kinds that we do not know are skipped, and so is a message that was read in the history before. */
  #isNew({ kind, conversation_id, message }) {
    return kind === "message" ? message.seq > (this.seqs.of[conversation_id] ?? 0) : ENTRY_KINDS.includes(kind);
  }

  /** What an entry that was taken means for what is to be watched. */
  #follows({ kind, conversation_id: id, conversation, message, read_seq }) {
    const { of, large } = this.seqs;
    if (kind === "message" && this.#core.options.backfill) of[id] = message.seq;
    if (kind === "mention") this.hear(id, message.seq);
    if (kind === "read" && large[id]) large[id].read_seq = Math.max(large[id].read_seq, read_seq);
    if (kind !== "conversation") return;
    // Up to the switch, messages were in the inbox.
    if (conversation) return this.#learn(conversation, Math.max(conversation.switch_seq, conversation.me.joined_seq));
    delete of[id];
    delete large[id];
  }

  /** Of large conversations we count ourselves; of others we are told. */
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

  /** The position outlives the process only for an application that keeps its own copy; others must list anyway. */
  async remember() {
    if (!this.#core.options.resume || !this.#core.tabs.leader || !this.run) return;
    await this.#core.store.write(`${this.run.user}:position`, { ...this.position, seqs: this.seqs });
  }

  async #recall() {
    const fits = (value) => value === null || (Number.isSafeInteger(value.since) && typeof value.epoch === "string");
    const found = await this.#core.store.read(`${this.run.user}:position`, fits);
    // A version that did not know of large conversations has not kept any.
    if (!found?.seqs?.large || !found.seqs.of) return false;
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

  /** Waits once, and fetches what there is. After a failure it asks without waiting, to know soon that all is well again. */
  async round(signal) {
    const timeout = this.connection === "online" && !this.#hurry ? this.#core.options.waitSeconds : 0;
    this.#hurry = false;
    const wait = Object.assign(linked([signal]), { began: Date.now() });
    this.#wait = wait;
    const { since, epoch } = this.position;
    const { of, large } = this.seqs;
    const watch = Object.keys(large).slice(-WATCH).map((id) => `${id}:${of[id]}`);
    const options = { query: { since_seq: since, epoch, timeout, watch }, signal: wait.signal, timeoutMs: timeout * 1_000 + ANSWER_MS };
    let notice;
    try {
      notice = await this.#ask("GET", "/v1/notices", options);
    } catch (error) {
      if (error.code === "hurry") return;
      if (error.code !== "not_found") throw error;
      // We are out of a conversation that we watch. The inbox says of which.
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
    for (const { conversation_id, last_seq } of watched) this.hear(conversation_id, last_seq);
    await this.catchUp(signal);
    // The sum is all that we hear of those that we cannot watch.
    if (Object.keys(this.seqs.large).length <= WATCH || total_unread === this.unread.total) return;
    await this.#countAgain(signal);
    await this.catchUp(signal);
  }

  networkChanged = (event) => {
    if (event.type === "online") for (const wake of [...this.#core.nudges]) wake();
    // A wait that was under way when the network went hears nothing any more.
    if (event.type === "offline") this.#wait?.abort(new TidelineError({ code: "network", detail: "the network is gone" }));
    else if (globalThis.document?.visibilityState !== "hidden") this.look();
  };

  /** Somebody looks at the page again, or the network is back: a wait from before a sleep may be on a dead connection. */
  look() {
    if (!this.#core.tabs.leader) return this.#core.tabs.post({ type: "look" });
    if (!this.#wait || Date.now() - this.#wait.began < RECENT_MS) return;
    this.#hurry = true;
    this.#wait.abort(new TidelineError({ code: "hurry" }));
  }

  /** All that there is beyond the position, of the inbox and of large conversations. */
  async takeAll(signal) {
    await this.fetchAll(signal);
    await this.catchUp(signal);
  }
}

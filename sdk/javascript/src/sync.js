// The sync loop: resync, wait, fetch, apply, store the position.
//
// Messages of small conversations are entries of the inbox. Those of large ones are read from their history (timelines.js), and
// changes without an entry by their numbers (changes.js).

import { asked, RESYNC, TidelineError } from "./errors.js";
import { FETCHING_MS, MAX_PAUSE_MS, PAGE, PAGE_LIMIT, RESPONSE_MS } from "./limits.js";
import { readContacts } from "./people.js";
import { abortable, backoff, linked, pauseBetweenWaits } from "./signals.js";

const ENTRY_KINDS = ["message", "mention", "edit", "recall", "reaction", "pin", "read", "conversation", "members", "settings", "draft", "cleared", "hidden", "me", "contact", "contact_request", "scheduled_failed"];
/** The timeout of a wait after a failure, in seconds. The server takes one with 0 for no sign that the user is there. */
const SHORT = 1;
/** A wait that began less than this time ago is not replaced. */
const RECENT_MS = 1_000;
/** How long a wait goes on after the application has changed what it watches. */
const REWATCH_MS = 100;

export class Sync {
  #core;
  run = null;
  position = null;
  connection = "stopped";
  resume = null;
  #counts = new Map();
  #countedTo = 0;
  /** The position at which the last fetch reached the head of the inbox. */
  #headAt = null;
  #turn = Promise.resolve();
  #wait = null;
  #hurry = false;
  /** When the last wait was answered. */
  #answeredAt = -Infinity;
  #rewatching = null;

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
    if (state !== "online") this.#core.typing.clear();
    this.#core.presence.connected(state === "online");
    this.#core.emit("connection", { state, leader: this.#core.tabs.leader, error, retryInMs });
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
      this.#core.presence.tellLeader();
    })();
    // After a failed start, `start` can be called again.
    this.#core.spawn(run.started.catch((error) => (this.run === run && this.stop(error), Promise.reject(error))));
  }

  /** A request of the person for whom the loop runs. */
  ask(method, path, options) {
    return this.#core.session.authorized(method, path, { ...options, user: this.run?.user });
  }

  stop(reason) {
    this.run?.abort(reason);
    this.run?.done();
    this.run?.over();
    this.run = null;
    this.position = null;
    this.#headAt = null;
    this.#counts.clear();
    clearTimeout(this.#rewatching);
    this.#rewatching = null;
    this.#core.timelines.clear();
    this.#core.changes.clear();
    this.#core.typing.exist = true;
    this.setConnection("stopped");
    this.#core.presence.clear();
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
        const { ms, atLeast } = pauseBetweenWaits(this.#core.backoff, failures++, error, Date.now() - this.#answeredAt);
        if (error.code === "handler_failed" || !error.transient) this.#core.report(error);
        if (error.code !== "handler_failed") this.setConnection("offline", error, ms);
        await this.#core.pause(ms, signal, { atLeast });
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
      const page = await this.ask("GET", "/v1/conversations", { query, signal });
      first ??= page;
      for (const conversation of page.conversations) found.set(conversation.id, conversation);
      cursor = page.next_cursor;
    }
    const conversations = [...found.values()];
    const { epoch, inbox_seq } = first;
    const { timelines, changes } = this.#core;
    if (reason === "epoch_changed" || reason === "cursor_ahead") changes.drop();
    timelines.renew(epoch, conversations);
    changes.exist = conversations.every(({ change_seq }) => change_seq !== undefined);
    changes.expect(...conversations.map(({ last_message }) => last_message));
    await this.#core.deliver("resync", { reason, epoch, inbox_seq, conversations }, signal);
    await readContacts(this.#core, signal);
    // The account that is stored here may be from before the last run.
    this.#core.session.reread();
    timelines.learnAll(found);
    changes.begin(found);
    if (this.#core.options.backfill) await timelines.fill(conversations, signal);
    this.position = { since: inbox_seq, epoch };
    this.#countedTo = inbox_seq;
    const counts = conversations.map(({ id, me }) => [id, me.unread]).filter(([, unread]) => unread > 0);
    this.#recount(new Map(counts));
    await changes.catchUp(signal);
    await this.remember();
    this.setConnection("online");
    this.#core.tabs.post({ type: "entries", since: inbox_seq, epoch, entries: [] });
  }

  /**
   * Fetches until there is no more, or until a time. The leader shares each page before it takes it, so its handlers do not delay other
   * tabs.
   */
  async fetchAll(signal, until = Infinity) {
    for (;;) {
      const { since, epoch } = this.position;
      const query = { since_seq: since, epoch, limit: PAGE_LIMIT };
      const page = await this.ask("GET", "/v1/inbox", { query, signal });
      if (this.#core.tabs.leader) this.#core.tabs.post({ type: "entries", since, epoch, entries: page.entries });
      await this.take(page.entries, signal);
      if (!page.has_more) break;
      if (Date.now() > until) return;
    }
    this.#headAt = this.position.since;
    this.#core.changes.settle();
  }

  get isAtHead() {
    return this.#headAt === this.position.since;
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
          this.#core.changes.noteEntry(entry);
          await this.#core.deliver(entry.kind, entry, signal);
          if (entry.kind === "message") this.#core.typing.arrived(entry.message);
          this.#core.timelines.follow(entry);
          if (entry.kind === "me" && this.#core.tabs.leader) this.#core.session.reread();
          if (entry.kind === "conversation") this.#core.outbox.wake(entry.conversation_id);
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
    return kind === "message" ? message.seq > (this.#core.timelines.seqs.of[conversation_id] ?? 0) : ENTRY_KINDS.includes(kind);
  }

  /** For large conversations the client computes the unread count; for others the entry has it. */
  #counted(counts, id, listed) {
    const one = this.#core.timelines.seqs.large[id];
    const unread = one ? one.last_seq - one.read_seq : listed;
    return unread > 0 ? counts.set(id, unread) : (counts.delete(id), counts);
  }

  unreadOf(id) {
    return this.#counts.get(id) ?? 0;
  }

  /** The seqs of a large conversation have moved. */
  countLarge(id) {
    this.#recount(this.#counted(new Map(this.#counts), id, 0));
  }

  #recount(counts) {
    const before = JSON.stringify(this.unread);
    this.#counts = new Map([...counts].sort());
    if (JSON.stringify(this.unread) !== before) this.#core.emit("unread", this.unread);
  }

  /** The position is stored only for an application that keeps its own copy; others must list anyway. */
  async remember() {
    if (!this.#core.options.resume || !this.#core.tabs.leader || !this.run) return;
    await this.#core.store.write(`${this.run.user}:position`, { ...this.position, seqs: this.#core.timelines.seqs });
  }

  async #readPosition() {
    const fits = (value) => value === null || (Number.isSafeInteger(value.since) && typeof value.epoch === "string");
    const found = await this.#core.store.read(`${this.run.user}:position`, fits);
    // Older versions without large conversations or changes did not store them.
    if (!found?.seqs?.large || !found.seqs.of || !found.seqs.changes) return false;
    const { seqs, ...position } = found;
    this.position = position;
    this.#core.timelines.seqs = seqs;
    return true;
  }

  async #countAgain(signal) {
    const { conversations, as_of_seq } = await this.ask("GET", "/v1/unread", { signal });
    this.#countedTo = as_of_seq;
    this.#recount(new Map(conversations.map((one) => [one.conversation_id, one.unread])));
    const { timelines } = this.#core;
    const { large } = timelines.seqs;
    for (const { conversation_id: id, unread } of conversations) if (large[id]) timelines.noteHead(id, large[id].read_seq + unread);
  }

  /** One wait, and a fetch of its news. After a failure it is short, to detect quickly that the server answers again. */
  async round(signal) {
    const asks = this.#core.presence.asked();
    const isShort = this.connection !== "online" || this.#hurry || (asks.presence && this.#core.presence.isBehind);
    const timeout = isShort ? SHORT : this.#core.options.waitSeconds;
    this.#hurry = false;
    const wait = Object.assign(linked([signal]), { began: Date.now() });
    this.#wait = wait;
    const { since, epoch } = this.position;
    const { timelines, changes } = this.#core;
    const watch = timelines.watched(changes.exist);
    const typing = this.#core.typing.asked();
    const options = { query: { since_seq: since, epoch, timeout, watch, typing, ...asks }, signal: wait.signal, timeoutMs: timeout * 1_000 + RESPONSE_MS };
    let notice;
    try {
      notice = await this.ask("GET", "/v1/notices", options);
    } catch (error) {
      if (error.code === "hurry") return;
      if (error.code === "presence_cursor_invalid") return this.#core.presence.invalid();
      // A node of an older version refuses what it does not know: who is online, who types, and numbers.
      if (error.code === "validation" && Object.values(asks).some(Boolean)) return void (this.#core.presence.exist = false);
      if (error.code === "validation" && typing.length > 0) return void (this.#core.typing.exist = false);
      if (error.code === "validation" && watch.length > 0 && changes.exist) return void (changes.exist = false);
      if (error.code !== "not_found") throw error;
      // The person is no longer a member of a watched conversation. The inbox has an entry about it.
      await this.serially(() => this.fetchAll(signal));
      if (this.position.since === since && !timelines.unwatchAll()) throw error;
      return;
    } finally {
      wait.done();
      this.#wait = null;
    }
    this.#answeredAt = Date.now();
    this.setConnection("online");
    await this.serially(() => this.#takeNotice(notice, signal));
    this.#core.typing.take(notice.signals?.typing);
    this.#core.presence.take(notice.signals?.presence, asks);
    if (notice.reconnect) await this.#core.pause(Math.min(asked(notice.retry_after_ms) ?? backoff(this.#core.backoff, 0), MAX_PAUSE_MS), signal);
    if (!notice.superseded) return;
    this.setConnection("superseded");
    await abortable(new Promise((resolve) => (this.resume = resolve)), signal);
    this.setConnection("connecting");
  }

  async #takeNotice({ news, watched, total_unread }, signal) {
    const until = this.#answeredAt + FETCHING_MS;
    if (news) await this.fetchAll(signal, until);
    const { timelines, changes } = this.#core;
    for (const { conversation_id, last_seq, change_seq, reads_moved } of watched) {
      if (reads_moved) {
        this.#core.tabs.post({ type: "reads", conversation_id });
        await this.#core.deliver("reads_moved", { conversation_id }, signal);
      }
      timelines.noteHead(conversation_id, last_seq, change_seq);
      changes.exist ||= change_seq !== undefined;
    }
    await timelines.catchUp(signal, until);
    // For conversations beyond the limit of a wait, the total is the only signal.
    if (!timelines.mostAreUnwatched || total_unread === this.unread.total) return;
    await this.#countAgain(signal);
    await timelines.catchUp(signal, until);
  }

  /** Other conversations are watched: the wait is replaced, once for several changes in a row. */
  rewatch() {
    this.#rewatching ??= setTimeout(() => {
      this.#rewatching = null;
      this.#wait?.abort(new TidelineError({ code: "hurry" }));
    }, REWATCH_MS);
  }

  networkChanged = (event) => {
    if (event.type === "online") for (const wake of [...this.#core.nudges]) wake();
    if (event.type === "offline") for (const end of [...this.#core.onOffline]) end();
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
    await this.#core.timelines.catchUp(signal);
  }
}

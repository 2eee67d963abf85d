// The tab that holds the lock `leader` waits and fetches for all tabs of this browser; the others get the entries on the
// channel. Each tab has its own position, and inbox seqs have no gaps. So a tab that missed a broadcast detects it and fetches
// the entries itself; the same holds for the history and the changes of large conversations. No broadcast has to arrive.

import { RESYNC, TidelineError } from "./errors.js";
import { uuidv7 } from "./ids.js";
import { backoff, linked } from "./signals.js";

export class Tabs {
  #core;
  leader = false;
  #self = uuidv7();
  #channel = null;
  #queue = null;
  #leaderSeenAt = 0;
  #mending = false;
  #mends = 0;

  constructor(core) {
    this.#core = core;
  }

  open() {
    if (!this.#core.hasTabs || this.#channel || this.#core.life.signal.aborted) return;
    try {
      this.#channel = new BroadcastChannel(this.#core.prefix);
    } catch (error) {
      if (error.name !== "SecurityError") throw error;
      return this.#core.separate();
    }
    this.#channel.onmessage = ({ data }) => this.#receive(data);
  }

  close() {
    if (this.#channel && this.#core.session.owner) {
      this.post({ type: "watch", tab: this.#self, ids: [] });
      this.tellPeople({ ids: [] });
    }
    this.#channel?.close();
    this.#channel = null;
  }

  post(message) {
    this.#channel?.postMessage({ user_id: this.#core.session.owner, ...message });
  }

  announce() {
    const { sync, timelines } = this.#core;
    if (sync.position) this.post({ type: "head", ...sync.position, heads: timelines.heads, settled: sync.isAtHead, state: sync.connection });
  }

  /** The leader watches for all tabs. */
  tellWatched() {
    if (!this.leader) this.post({ type: "watch", tab: this.#self, ids: this.#core.timelines.own });
  }

  tellPeople(people) {
    this.post({ type: "people", tab: this.#self, people });
  }

  /** A tab gets the lock when the leader closes, and loses it when another tab steals it because this one seemed frozen. */
  async elect(signal) {
    for (let steal = false; !signal.aborted; ) {
      const term = linked([signal]);
      this.#queue = linked([signal]);
      const options = steal ? { steal } : { signal: this.#queue.signal };
      steal = false;
      try {
        await this.#core.locks.request(`${this.#core.prefix}${this.#core.session.owner}:leader`, options, () => this.#lead(term.signal));
      } catch (error) {
        steal = error.code === "silent";
        if (!signal.aborted && !steal && error.name !== "AbortError") {
          this.#core.report(error);
          await this.#core.pause(backoff(this.#core.backoff, 3), signal);
        }
      } finally {
        this.leader = false;
        term.abort(new TidelineError({ code: "deposed" }));
        term.done();
        this.#queue.done();
        // Broadcasts since the loss of the lock did not reach this tab.
        this.post({ type: "ping" });
      }
    }
  }

  async #lead(signal) {
    this.leader = true;
    this.#core.emit("connection", { state: this.#core.sync.connection, leader: true, error: null, retryInMs: null });
    await this.#core.sync.remember();
    await this.#core.outbox.load();
    this.#core.outbox.pumpAll();
    this.post({ type: "watches" });
    for (;;) {
      this.announce();
      await this.#core.sync.insist(signal, () => this.#core.sync.round(signal));
    }
  }

  /** A frozen leader holds the lock and does not answer. The visible tab pings it from time to time, and takes over. */
  async watchLeader(signal) {
    const ms = this.#core.options.leaderSilenceMs;
    for (;;) {
      await this.#core.pause(ms, signal);
      this.#core.presence.tellLeader();
      if (this.leader || globalThis.document?.visibilityState === "hidden") continue;
      const askedAt = Date.now();
      this.post({ type: "ping" });
      await this.#core.pause(ms / 2, signal);
      if (!this.leader && this.#leaderSeenAt < askedAt) this.#queue?.abort(new TidelineError({ code: "silent" }));
    }
  }

  #receive(data) {
    const { session, outbox, sync, timelines, typing, presence } = this.#core;
    if (data.type === "session") return this.#core.spawn(session.receive(data));
    if (!session.current || data.user_id !== session.owner) return;
    const { item } = data;
    if (data.type === "stored") return outbox.stored(item, data.message);
    if (data.type === "discarded") return outbox.discarded(item);
    if (data.type === "item") return outbox.receive(item);
    if (data.type === "upload") return outbox.uploads.receive(data.upload);
    if (data.type === "upload_gone") return outbox.uploads.gone(data.id);
    if (data.type === "block") return this.#core.emit("block", data.block);
    if (!sync.run || !sync.position) return;
    if (this.leader) {
      if (data.type === "ping" || data.type === "look") this.announce();
      if (data.type === "look") sync.look();
      if (data.type === "watch") {
        timelines.watchFor(data.tab, data.ids);
        typing.tellAgain(data.ids);
      }
      if (data.type === "people") presence.watchFor(data.tab, data.people);
      if (data.type === "resume") sync.resume?.();
      return;
    }
    if (data.type === "watches") {
      presence.tellLeader();
      return this.tellWatched();
    }
    if (data.type === "typing") return timelines.own.includes(data.conversation_id) && typing.receive(data);
    if (data.type === "presence") return presence.receive(data);
    if (data.type === "users") return presence.profiles.keep(data.users);
    if (data.type === "reads") return this.#core.emit("reads_moved", { conversation_id: data.conversation_id });
    if (!["head", "entries", "history", "changes"].includes(data.type)) return;
    this.#leaderSeenAt = Date.now();
    if (data.state) sync.setConnection(data.state);
    this.#core.spawn(this.#follow(data, sync.run.signal));
  }

  /** Takes the entries of the leader if they follow the position of this tab, and fetches the rest. */
  async #follow({ since, epoch, entries, page, changes, heads, settled }, signal) {
    if (this.#mending) return;
    const { sync, timelines, changes: numbers } = this.#core;
    try {
      await sync.serially(async () => {
        if (epoch !== sync.position.epoch) throw new TidelineError({ code: "epoch_changed" });
        if (since > sync.position.since) await sync.fetchAll(signal);
        if (entries) await sync.take(entries, signal);
        if (page && page.since_seq <= timelines.seqs.of[page.id]) await timelines.take(page, signal);
        if (changes && changes.since <= numbers.numberOf(changes.id)) await numbers.take(changes, signal);
        if (settled && since === sync.position.since) numbers.settle();
        for (const [id, seq, change] of heads ?? []) timelines.noteHead(id, seq, change);
        if (heads) await timelines.catchUp(signal);
      });
      this.#mends = 0;
    } catch (error) {
      if (signal.aborted || this.#mending) return;
      this.#mending = true;
      const reason = RESYNC.includes(error.code) ? error.code : null;
      try {
        // A leader that repeats entries that do not fit must not make this tab fetch in a tight loop.
        if (this.#mends++ > 0) await this.#core.pause(backoff(this.#core.backoff, this.#mends), signal, { atLeast: 0 });
        await sync.insist(signal, () => sync.serially(() => sync.takeAll(signal)), reason);
      } finally {
        this.#mending = false;
      }
      // Broadcasts during the repair were ignored.
      this.post({ type: "ping" });
    }
  }
}

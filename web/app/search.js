// The search for messages: the pages of one search, and what becomes of the messages that were found.

import { newerState } from "../tideline.js";
import { isGone } from "./format.js";

const PAGE = 20;
/** A step goes on over short pages until it has found this many, for this many requests at most. */
const ENOUGH = 10;
const REQUESTS = 10;
/** How often a search is repeated that the server was too busy for, and the least pause. */
const REPEATS = 8;
const PAUSE_MS = 1_000;
/** All messages of one moment fit into a page. */
const MOST = 50;

const keyOf = ({ conversation_id, seq }) => `${conversation_id} ${seq}`;
const isBusy = ({ code }) => ["rate_limited", "overloaded", "storage_unavailable"].includes(code);

export class Search {
  /** `{ message, highlights }`, the newest first. */
  results = [];
  /** `idle`, `looking`, `busy` (the server is, and the search goes on), `done` or `failed`. */
  state = "idle";
  error = null;
  /** Whether all messages were looked at. */
  complete = false;
  /** Whether the last page was too short, so that the search has gone on by itself. */
  further = false;
  #tideline;
  #draw;
  #query = null;
  #cursor;
  #turn = null;
  /** The results are those of an earlier search. */
  #isOld = false;
  /** The messages that have changed while a page was read, which may have their state of before. */
  #states = new Map();

  /** `draw` is called after every change. */
  constructor(tideline, store, draw) {
    this.#tideline = tideline;
    this.#draw = draw;
    store.on("edited", (_, message) => this.#changed(message));
    store.on("gone", (id) => this.#keep(({ message }) => message.conversation_id !== id));
    // Changes may have been missed.
    store.on("resync", () => this.#query && this.begin(this.#query));
    store.on("online", () => this.state === "failed" && this.error.transient && this.more());
  }

  /** Begins a search. The results of the one before stay until it has found something. */
  begin(query) {
    this.#turn?.abort();
    this.#turn = null;
    this.#query = query;
    this.#cursor = undefined;
    this.#isOld = true;
    this.complete = false;
    return this.more();
  }

  stop() {
    this.#turn?.abort();
    this.#turn = this.#query = this.error = null;
    this.results = [];
    this.state = "idle";
    this.#states.clear();
    this.#draw();
  }

  /** Looks for more results. */
  async more() {
    if (this.#turn || this.complete || !this.#query) return;
    const turn = (this.#turn = new AbortController());
    this.further = false;
    this.#say("looking");
    const enough = (this.#isOld ? 0 : this.results.length) + ENOUGH;
    try {
      for (let n = 0; n < REQUESTS && !this.complete && (this.#isOld || this.results.length < enough); n++) {
        const page = await this.#page(turn.signal);
        // A later search has begun.
        if (this.#turn !== turn) return;
        this.#take(page);
        this.further = this.results.length < enough;
        this.#say("looking");
      }
      this.#turn = null;
      this.#say("done");
    } catch (error) {
      if (this.#turn !== turn) return;
      this.#turn = null;
      if (this.#isOld) this.results = [];
      this.error = error;
      this.#say("failed");
    }
  }

  #say(state) {
    this.state = state;
    this.#draw();
  }

  async #page(signal) {
    this.#states.clear();
    for (let repeats = 0; ; repeats++) {
      try {
        return await this.#tideline.searchMessages({ ...this.#query, limit: PAGE, cursor: this.#cursor }, { signal });
      } catch (error) {
        if (!isBusy(error) || repeats === REPEATS || signal.aborted) throw error;
        this.#say("busy");
        await new Promise((resolve) => setTimeout(resolve, Math.max(PAUSE_MS, error.retryAfterMs ?? 0)));
        signal.throwIfAborted();
      }
    }
  }

  #take({ results, next_cursor, complete }) {
    if (this.#isOld) this.results = [];
    this.#isOld = false;
    this.#cursor = next_cursor;
    this.complete = complete;
    const known = new Set(this.results.map(({ message }) => keyOf(message)));
    for (const found of results) {
      if (known.has(keyOf(found.message))) continue;
      this.results.push(found);
      const state = this.#states.get(keyOf(found.message));
      if (state) this.#apply(found, state);
      if (this.#states.get(found.message.conversation_id) >= found.message.seq) this.#keep((one) => one !== found);
    }
  }

  #keep(is) {
    const kept = this.results.filter(is);
    if (kept.length === this.results.length) return;
    this.results = kept;
    this.#draw();
  }

  #changed(message) {
    const { conversation_id: id, seq } = message;
    if (!this.#query) return;
    if (message.kind === "cleared") {
      this.#states.set(id, seq);
      return this.#keep((one) => one.message.conversation_id !== id || one.message.seq > seq);
    }
    this.#states.set(keyOf(message), message);
    const found = this.results.find((one) => keyOf(one.message) === keyOf(message));
    if (found) this.#apply(found, message);
  }

  /** A found message has another state. */
  #apply(found, message) {
    const before = found.message;
    if (newerState(before, message) !== message) return;
    if (isGone(message)) return this.#keep((one) => one !== found);
    found.message = message;
    if (message.version !== before.version) {
      found.highlights = [];
      this.#again(found).catch(() => {});
    }
    this.#draw();
  }

  /** An edited message may not have the words any more, or has them elsewhere: a search for its moment says so. */
  async #again(found) {
    const query = this.#query;
    const { conversation_id, seq, created_at } = found.message;
    const at = Date.parse(created_at);
    const { results } = await this.#tideline.searchMessages({ ...query, conversation_id, from: new Date(at), to: new Date(at + 1), limit: MOST });
    if (this.#query !== query) return;
    const now = results.find(({ message }) => message.seq === seq);
    if (!now) return this.#keep((one) => one !== found);
    if (now.message.version === found.message.version) Object.assign(found, now);
    this.#draw();
  }
}

// The shared parts of a client: its options, its events, and the time until `close`. Each part finds the others here.

import { Changes } from "./changes.js";
import { Drafts } from "./drafts.js";
import { inBrowser } from "./environment.js";
import { LONGEST_PAUSE_MS, TidelineError } from "./errors.js";
import { REQUEST_MS } from "./limits.js";
import { Locks } from "./locks.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";
import { Session } from "./session.js";
import { abortable, linked } from "./signals.js";
import { localStorageOrNull, memoryStorage, Store } from "./storage.js";
import { Sync } from "./sync.js";
import { Tabs } from "./tabs.js";
import { Timelines } from "./timelines.js";
import { Typing } from "./typing.js";

const NETWORK_EVENTS = ["online", "offline", "pageshow", "visibilitychange"];
const DEFAULTS = { requestTimeoutMs: REQUEST_MS, waitSeconds: 25, leaderSilenceMs: 15_000, resume: false, backfill: false };

/** An option that is undefined counts as not given. */
const given = (options = {}) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

export class Core {
  life = new AbortController();
  links = new Set();
  nudges = new Set();
  /** What is to be ended when the network is gone. */
  onOffline = new Set();
  session = new Session(this);
  outbox = new Outbox(this);
  timelines = new Timelines(this);
  changes = new Changes(this);
  typing = new Typing(this);
  presence = new Presence(this);
  sync = new Sync(this);
  tabs = new Tabs(this);
  #handlers = new Map();
  #tasks = new Set();
  #network;
  #closing = null;
  drafts = new Drafts(this);

  constructor(options) {
    this.options = { ...DEFAULTS, ...given(options) };
    const url = options.url ?? globalThis.location?.origin;
    if (!url) throw new TypeError("tell Tideline the url of the server");
    this.url = new URL(url).href.replace(/\/+$/, "");
    this.backoff = { base: 500, cap: 30_000, ...given(options.backoff) };
    this.prefix = `tideline:${options.name ?? this.url}:`;
    const storage = options.storage ?? localStorageOrNull();
    this.store = new Store(storage ?? memoryStorage(), this.prefix, (error) => this.report(error));
    // A shared storage identifies the tabs of one browser. Two programs in one Node process share nothing.
    const tabs = storage && (options.tabs ?? inBrowser) && typeof BroadcastChannel === "function";
    const locks = tabs ? (options.locks ?? globalThis.navigator?.locks) : null;
    this.hasTabs = Boolean(locks);
    this.locks = new Locks(locks, () => this.separate());
    this.#network = options.network ?? (inBrowser ? window : null);
    for (const name of NETWORK_EVENTS) this.#network?.addEventListener(name, this.sync.networkChanged);
  }

  /** The APIs that tabs need are forbidden here: this client works alone. */
  separate() {
    this.hasTabs = false;
    this.tabs.close();
  }

  on(name, handler, { signal } = {}) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    const handlers = this.#handlers.get(name);
    const own = (event) => handler(event);
    const off = () => {
      handlers.delete(own);
      signal?.removeEventListener("abort", off);
    };
    if (!signal?.aborted) handlers.add(own);
    signal?.addEventListener("abort", off);
    return off;
  }

  /** Whether the application handles such events. */
  handles(name) {
    return (this.#handlers.get(name)?.size ?? 0) > 0;
  }

  /** Emits an event without waiting for its handlers. */
  emit(name, event) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        Promise.resolve(handler(event)).catch((error) => this.report(error));
      } catch (error) {
        this.report(error);
      }
    }
  }

  /** Emits an event and waits for its handlers: they must succeed before the position moves. */
  async deliver(name, event, signal) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        await abortable(handler(event), signal);
      } catch (cause) {
        signal.throwIfAborted();
        throw new TidelineError({ code: "handler_failed", detail: `a handler of "${name}" failed: ${cause?.message ?? cause}`, cause });
      }
    }
  }

  report(error) {
    const handlers = [...(this.#handlers.get("error") ?? [])];
    if (handlers.length === 0) console.error(error);
    for (const handler of handlers) {
      try {
        handler(error);
      } catch (failure) {
        console.error(failure, error);
      }
    }
  }

  /** Pauses. With `atLeast`, going online again ends the pause early, but not before these ms. */
  async pause(ms, signal, { atLeast = null } = {}) {
    this.life.signal.throwIfAborted();
    const link = linked([signal], { all: this.links });
    const due = Date.now() + atLeast;
    let timer, wake;
    const over = new Promise((resolve) => {
      timer = setTimeout(resolve, Math.min(ms, LONGEST_PAUSE_MS));
      wake = () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, due - Date.now());
      };
      if (atLeast !== null) this.nudges.add(wake);
    });
    try {
      await abortable(over, link.signal);
    } finally {
      clearTimeout(timer);
      this.nudges.delete(wake);
      link.done();
    }
  }

  /** A separate signal for every lock request: with many conversations one signal would have too many listeners. */
  async withLock(name, held, { signal } = {}) {
    this.life.signal.throwIfAborted();
    const link = linked([signal], { all: this.links });
    try {
      return await this.locks.request(this.prefix + name, { signal: link.signal }, held);
    } finally {
      link.done();
    }
  }

  /** Work in the background: `close` waits for it, and a failure that no caller gets is reported. */
  spawn(promise) {
    const task = promise.catch((error) => {
      const expected = this.life.signal.aborted || !this.session.current || error instanceof TidelineError;
      if (!expected) this.report(error);
    });
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }

  close() {
    this.#closing ??= (async () => {
      const reason = new TidelineError({ code: "closed", detail: "closed by the application" });
      for (const name of NETWORK_EVENTS) this.#network?.removeEventListener(name, this.sync.networkChanged);
      await this.outbox.writes;
      this.life.abort(reason);
      for (const link of [...this.links]) link.abort(reason);
      this.sync.stop(reason);
      this.outbox.rejectAll(reason);
      this.tabs.close();
      await Promise.allSettled([...this.#tasks]);
    })();
    return this.#closing;
  }
}

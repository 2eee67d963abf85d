// What the parts of a client share: its options, its events, and the time until `close`. Each part finds the others here.

import { inBrowser } from "./environment.js";
import { TidelineError } from "./errors.js";
import { SoloLocks } from "./locks.js";
import { Outbox } from "./outbox.js";
import { Session } from "./session.js";
import { abortable, linked } from "./signals.js";
import { defaultStorage } from "./storage.js";
import { Sync } from "./sync.js";
import { Tabs } from "./tabs.js";

const NETWORK_EVENTS = ["online", "offline", "pageshow", "visibilitychange"];
const DEFAULTS = { requestTimeoutMs: 30_000, waitSeconds: 25, leaderSilenceMs: 15_000, resume: false, backfill: false };

export class Core {
  life = new AbortController();
  links = new Set();
  nudges = new Set();
  session = new Session(this);
  outbox = new Outbox(this);
  sync = new Sync(this);
  tabs = new Tabs(this);
  #handlers = new Map();
  #tasks = new Set();
  #network;
  #closing = null;

  constructor(options) {
    this.options = { ...DEFAULTS, ...options };
    const url = options.url ?? globalThis.location?.origin;
    if (!url) throw new TypeError("tell Tideline the url of the server");
    this.url = new URL(url).href.replace(/\/+$/, "");
    this.storage = options.storage ?? defaultStorage();
    this.backoff = { base: 500, cap: 30_000, ...options.backoff };
    this.prefix = `tideline:${options.name ?? this.url}:`;
    // Tabs are told from programs by the storage they share. Two programs in one Node process share nothing.
    const tabs = options.tabs ?? inBrowser;
    const locks = tabs && typeof BroadcastChannel === "function" ? (options.locks ?? globalThis.navigator?.locks) : null;
    this.locks = locks ?? new SoloLocks();
    this.hasTabs = Boolean(locks);
    this.#network = options.network ?? (inBrowser ? window : null);
    for (const name of NETWORK_EVENTS) this.#network?.addEventListener(name, this.sync.networkChanged);
  }

  on(name, handler, { signal } = {}) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    const handlers = this.#handlers.get(name);
    const own = (event) => handler(event);
    const off = () => void handlers.delete(own);
    if (!signal?.aborted) handlers.add(own);
    signal?.addEventListener("abort", off, { once: true });
    return off;
  }

  /** For news that wait for nobody. */
  tell(name, event) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        Promise.resolve(handler(event)).catch((error) => this.report(error));
      } catch (error) {
        this.report(error);
      }
    }
  }

  /** For what must be taken before the position moves. */
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
    if (this.#handlers.get("error")?.size) for (const handler of this.#handlers.get("error")) handler(error);
    else console.error(error);
  }

  /** Waits. Being online again ends it early, but not a time that the server has asked for. */
  async pause(ms, signal, { early = false } = {}) {
    this.life.signal.throwIfAborted();
    const link = linked([signal], { all: this.links });
    let timer, wake;
    const over = new Promise((resolve) => {
      timer = setTimeout((wake = resolve), ms);
      if (early) this.nudges.add(wake);
    });
    try {
      await abortable(over, link.signal);
    } finally {
      clearTimeout(timer);
      this.nudges.delete(wake);
      link.done();
    }
  }

  /** Storage that is full or forbidden costs the survival of a reload, not the chat. */
  async keep(key, value) {
    try {
      await this.storage.set(this.prefix + key, JSON.stringify(value));
      return true;
    } catch (cause) {
      this.report(new TidelineError({ code: "storage_failed", detail: `cannot store ${key}`, cause }));
      return false;
    }
  }

  withLock(name, held) {
    return this.locks.request(this.prefix + name, { signal: this.life.signal }, held);
  }

  /** Work in the background: `close` waits for it, and a failure that nobody else hears of is reported. */
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

// The storage of the session, the outbox and the position.

import { inBrowser } from "./environment.js";
import { TidelineError } from "./errors.js";

/** Storage in memory, which ends with the process: the default in Node. */
export function memoryStorage() {
  const values = new Map();
  return {
    get: (key) => values.get(key) ?? null,
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    keys: (prefix) => [...values.keys()].filter((key) => key.startsWith(prefix)),
  };
}

/** The browser's localStorage, which all tabs of an origin share and which survives them. */
export function browserStorage(local = globalThis.localStorage) {
  return {
    get: (key) => local.getItem(key),
    set: (key, value) => local.setItem(key, value),
    delete: (key) => local.removeItem(key),
    keys: (prefix) => Object.keys(local).filter((key) => key.startsWith(prefix)),
  };
}

/** localStorage, or null without one. It may be forbidden, and then even reading the property throws. */
export function localStorageOrNull() {
  try {
    return inBrowser && window.localStorage ? browserStorage(window.localStorage) : null;
  } catch {
    return null;
  }
}

/** A storage of JSON under a prefix. A failure is reported, and only costs persistence over a reload. */
export class Store {
  #storage;
  #prefix;
  #report;

  constructor(storage, prefix, report) {
    this.#storage = storage;
    this.#prefix = prefix;
    this.#report = report;
  }

  /** The value, or null. A value that is damaged, or does not pass `fits`, is deleted: it would fail again at every start. */
  async read(key, fits) {
    const text = await this.#try("read", key, (full) => this.#storage.get(full), null);
    if (text === null || text === undefined) return null;
    try {
      const value = JSON.parse(text);
      if (fits(value)) return value;
    } catch {
      // Reported like a value of another form.
    }
    this.#report(new TidelineError({ code: "storage_failed", detail: `what is stored as ${key} is damaged, and was deleted` }));
    await this.delete(key);
    return null;
  }

  /** Whether it was stored. */
  async write(key, value) {
    return this.#try("store", key, async (full) => (await this.#storage.set(full, JSON.stringify(value)), true), false);
  }

  delete(key) {
    return this.#try("delete", key, (full) => this.#storage.delete(full));
  }

  /** The keys with this prefix, without the common prefix of all keys. */
  async keys(start) {
    const keys = await this.#try("list", start, (full) => this.#storage.keys(full), []);
    return keys.map((key) => key.slice(this.#prefix.length));
  }

  async #try(what, key, act, otherwise) {
    try {
      return await act(this.#prefix + key);
    } catch (cause) {
      // Site data are blocked: the same as no storage.
      if (cause?.name === "SecurityError") {
        this.#storage = memoryStorage();
        return act(this.#prefix + key);
      }
      this.#report(new TidelineError({ code: "storage_failed", detail: `cannot ${what} ${key}`, cause }));
      return otherwise;
    }
  }
}

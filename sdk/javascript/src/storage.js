// Where the session, the outbox and the position are kept.

import { inBrowser } from "./environment.js";
import { TidelineError } from "./errors.js";

/** Storage that is gone with the process: what Node gets unless it is given another. */
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

/** localStorage, or null where there is none. It may be forbidden, and then even looking at it throws. */
export function localStorageOrNull() {
  try {
    return inBrowser && window.localStorage ? browserStorage(window.localStorage) : null;
  } catch {
    return null;
  }
}

/** A storage of JSON under a prefix. What fails is reported, and costs the survival of a reload, not the chat. */
export class Store {
  #storage;
  #prefix;
  #report;

  constructor(storage, prefix, report) {
    this.#storage = storage;
    this.#prefix = prefix;
    this.#report = report;
  }

  /** The value, or null. What is damaged, or does not pass `fits`, is deleted: it would fail again at every start. */
  async read(key, fits) {
    const text = await this.#try("read", key, (full) => this.#storage.get(full), null);
    if (text === null || text === undefined) return null;
    try {
      const value = JSON.parse(text);
      if (fits(value)) return value;
    } catch {
      // It is told like what has another form.
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

  /** The keys that begin so, without the prefix of all. */
  async keys(start) {
    const keys = await this.#try("list", start, (full) => this.#storage.keys(full), []);
    return keys.map((key) => key.slice(this.#prefix.length));
  }

  async #try(what, key, act, otherwise) {
    try {
      return await act(this.#prefix + key);
    } catch (cause) {
      // Site data are blocked: it is as if there were no storage.
      if (cause?.name === "SecurityError") {
        this.#storage = memoryStorage();
        return act(this.#prefix + key);
      }
      this.#report(new TidelineError({ code: "storage_failed", detail: `cannot ${what} ${key}`, cause }));
      return otherwise;
    }
  }
}

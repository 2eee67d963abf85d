// The storage of the session, the outbox and the position, and of the bytes of uploads.

import { inBrowser } from "./environment.js";
import { TidelineError } from "./errors.js";

function mapped() {
  const values = new Map();
  return {
    get: (key) => values.get(key) ?? null,
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    keys: (prefix) => [...values.keys()].filter((key) => key.startsWith(prefix)),
  };
}

/** Storage in memory, which ends with the process: the default in Node. */
export function memoryStorage() {
  return { ...mapped(), bytes: mapped() };
}

/** The browser's localStorage, which all tabs of an origin share and which survives them. The bytes of uploads are in IndexedDB. */
export function browserStorage(local = globalThis.localStorage) {
  return {
    get: (key) => local.getItem(key),
    set: (key, value) => local.setItem(key, value),
    delete: (key) => local.removeItem(key),
    keys: (prefix) => Object.keys(local).filter((key) => key.startsWith(prefix)),
    ...(globalThis.indexedDB && { bytes: indexed(globalThis.indexedDB) }),
  };
}

/** Blobs in IndexedDB. The database is opened at the first use, and again after the browser has closed it. */
function indexed(factory) {
  let opening = null;
  const open = () =>
    (opening ??= new Promise((resolve, reject) => {
      const request = factory.open("tideline", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("bytes");
      request.onerror = () => ((opening = null), reject(request.error));
      request.onsuccess = () => {
        request.result.onclose = () => (opening = null);
        resolve(request.result);
      };
    }));
  const act = async (mode, work) => {
    const transaction = (await open()).transaction("bytes", mode);
    const request = work(transaction.objectStore("bytes"));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  };
  return {
    get: (key) => act("readonly", (store) => store.get(key)),
    set: (key, value) => act("readwrite", (store) => store.put(value, key)),
    delete: (key) => act("readwrite", (store) => store.delete(key)),
    keys: (prefix) => act("readonly", (store) => store.getAllKeys(IDBKeyRange.bound(prefix, `${prefix}\uffff`))),
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

  // The bytes of uploads. A storage without `bytes` keeps none.

  /** A Blob, or null. */
  async readBytes(key) {
    return (await this.#try("read", key, (full) => this.#storage.bytes?.get(full), null)) ?? null;
  }

  writeBytes(key, blob) {
    return this.#try("store", key, (full) => this.#storage.bytes?.set(full, blob));
  }

  deleteBytes(key) {
    return this.#try("delete", key, (full) => this.#storage.bytes?.delete(full));
  }

  async bytesKeys(start) {
    const keys = await this.#try("list", start, (full) => this.#storage.bytes?.keys(full), null);
    return (keys ?? []).map((key) => key.slice(this.#prefix.length));
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

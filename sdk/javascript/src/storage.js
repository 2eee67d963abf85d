// Where the session, the outbox and the position are kept.

import { inBrowser } from "./environment.js";

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

/** localStorage may be forbidden, and then even looking at it throws. */
export function defaultStorage() {
  try {
    if (inBrowser && window.localStorage) return browserStorage(window.localStorage);
  } catch {
    // Then it is as in Node: the session ends with the page.
  }
  return memoryStorage();
}

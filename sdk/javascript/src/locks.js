// Mutual exclusion: in one program by these locks, among the tabs of a browser by Web Locks.

import { abortable } from "./signals.js";

/** A replacement of Web Locks without tabs (Node, insecure origins), with the same order of requests. */
export class SoloLocks {
  #tails = new Map();

  async request(name, { signal }, held) {
    const before = this.#tails.get(name);
    let release;
    const mine = new Promise((resolve) => (release = resolve));
    const tail = Promise.all([before, mine]);
    this.#tails.set(name, tail);
    try {
      await abortable(before, signal);
      return await held({ name });
    } finally {
      release();
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}

/** Web Locks while they are allowed: with site data blocked, a request for one is a SecurityError. */
export class Locks {
  #locks;
  #forbidden;

  /** `forbidden` is called when Web Locks are not allowed. */
  constructor(locks, forbidden) {
    this.#locks = locks ?? new SoloLocks();
    this.#forbidden = forbidden;
  }

  async request(name, options, held) {
    let began = false;
    const once = (lock) => {
      began = true;
      return held(lock);
    };
    try {
      return await this.#locks.request(name, options, once);
    } catch (error) {
      if (began || error?.name !== "SecurityError") throw error;
      if (!(this.#locks instanceof SoloLocks)) this.#locks = new SoloLocks();
      this.#forbidden();
      return this.#locks.request(name, options, held);
    }
  }
}

// One at a time: in one program by these locks, among the tabs of a browser by Web Locks.

import { abortable } from "./signals.js";

/** Web Locks for one alone: the same order of things where there are no tabs (Node, insecure origins). */
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

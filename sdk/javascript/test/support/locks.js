// Web Locks in memory, for tabs in one process: queues, signals and stealing as in the standard.

export class FakeLocks {
  #held = new Map();
  #queues = new Map();

  request(name, { signal, steal = false }, callback) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      const request = { callback, resolve, reject };
      if (steal) {
        this.#held.get(name)?.reject(new DOMException("stolen", "AbortError"));
        this.#held.delete(name);
        queue.unshift(request);
      } else queue.push(request);
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(request);
        if (at >= 0) queue.splice(at, 1);
        if (at >= 0) reject(signal.reason);
      });
      this.#grant(name);
    });
  }

  get held() {
    return [...this.#held.keys()];
  }

  #grant(name) {
    if (this.#held.has(name)) return;
    const next = this.#queues.get(name)?.shift();
    if (!next) return;
    this.#held.set(name, next);
    const free = () => {
      if (this.#held.get(name) !== next) return;
      this.#held.delete(name);
      this.#grant(name);
    };
    Promise.resolve()
      .then(() => next.callback({ name }))
      .finally(free)
      .then(next.resolve, next.reject);
  }
}

// Tabs of one browser send each other changes for which the server has no entry: a login, a block, a new name. They also
// send the visible conversation, so that no tab notifies of it.

/** Where site data is blocked, its constructor throws, and a tab works alone. */
function channel() {
  try {
    return new BroadcastChannel("tideline.page");
  } catch {
    return null;
  }
}

export class Tabs {
  #channel = channel();
  #handlers = new Map();
  #user;
  #looked;
  #self = String(Math.random());
  #announced = null;
  /** The conversation that is visible in another tab, and that tab. */
  #elsewhere = null;

  /** `user` returns the id of the person logged in here, `looked` that of the conversation that is visible here; or null. */
  constructor(user, looked) {
    this.#user = user;
    this.#looked = looked;
    this.#channel?.addEventListener("message", ({ data }) => this.#receive(data));
    for (const name of ["focus", "blur"]) window.addEventListener(name, () => this.look());
    document.addEventListener("visibilitychange", () => this.look());
    window.addEventListener("pagehide", () => this.#announce(null));
  }

  /** `signed_in` (with the id), `blocked` (an id, and whether), `renamed` (the user), `retitled` (the conversation), `scheduled`. */
  on(name, handler) {
    this.#handlers.set(name, handler);
  }

  /** Sends an event to the other tabs; an event about one person is handled only by tabs of that person. */
  tell(name, ...what) {
    this.#channel?.postMessage({ name, what, user: this.#user(), from: this.#self });
  }

  #receive({ name, what, user, from }) {
    if (name === "look") {
      if (what[0]) this.#elsewhere = { conversation: what[0], from };
      else if (this.#elsewhere?.from === from) this.#elsewhere = null;
    } else if (name === "signed_in" || user === this.#user()) this.#handlers.get(name)?.(...what);
  }

  /** To be called when another conversation is opened. */
  look() {
    this.#announce(this.#looked());
  }

  #announce(conversation) {
    if (conversation === this.#announced) return;
    this.#announced = conversation;
    this.tell("look", conversation);
  }

  /** Whether this conversation is visible in one of the tabs. */
  isLookedAt(conversation) {
    return this.#looked() === conversation || this.#elsewhere?.conversation === conversation;
  }
}

// Tideline for JavaScript: accounts, conversations, sending and staying in sync, in browsers and in Node 18 or later.
//
//   const tideline = new Tideline({ url });
//   await tideline.login({ username, password });
//   tideline.on("message", ({ message }) => show(message));
//   await tideline.start();
//   await tideline.send(conversation.id, "hello");
//
// Values look as they do in the HTTP API (`/docs`); types are in tideline.d.ts. The modules beside this one:
//   errors, ids, signals, storage, locks, environment: small tools
//   core      what the parts of a client share: options, events, the time until `close`
//   session   requests and the session
//   api       a method per operation
//   outbox    sending, with one message in flight per conversation
//   sync      the loop: start over, wait, fetch, apply, remember
//   tabs      one of them waits for all
//
// Two rules run through all of it. A thing that was not answered is done again, with the same id, because the server keeps
// the first answer. And a position moves only after the application has taken what lies before it.

import { Api } from "./api.js";
import { Core } from "./core.js";

export { TidelineError } from "./errors.js";
export { uuidv7 } from "./ids.js";
export { browserStorage, memoryStorage } from "./storage.js";

export class Tideline extends Api {
  #core;

  /** See `TidelineOptions` in tideline.d.ts. In a browser `new Tideline()` talks to the page's own origin. */
  constructor(options = {}) {
    const core = new Core(options);
    super(core);
    this.#core = core;
  }

  /** Who is signed in; null when nobody is. */
  get user() {
    return this.#core.session.user;
  }

  /** The device that this installation is; null when nobody is signed in. */
  get deviceId() {
    return this.#core.session.current?.device_id ?? null;
  }

  /** What is not stored yet, in the order of sending: `sending`, or `failed` until `retry` or `discard`. */
  get outbox() {
    return this.#core.outbox.list();
  }

  /** `connecting`, `online`, `offline`, `superseded`, `stopped`. */
  get connection() {
    return this.#core.sync.connection;
  }

  /** The last inbox seq that the application has taken, and the epoch that it belongs to; null before `start`. */
  get position() {
    const { position } = this.#core.sync;
    return position && { ...position };
  }

  /** Unread counts as of `position`: the sum, and the conversations that have any. */
  get unread() {
    return this.#core.sync.unread;
  }

  /** Whether this tab is the one that waits for all. */
  get leader() {
    return this.#core.tabs.leader;
  }

  /** Takes up the session that an earlier run has left in the storage. Null when there is none: log in. */
  restore() {
    return this.#core.session.restore();
  }

  /** Makes an account and signs in. */
  register(account, options) {
    return this.#core.session.register(account, options);
  }

  /** Signs in, on the same device as before if the server still knows it. */
  login(account, options) {
    return this.#core.session.login(account, options);
  }

  /** Signs out here whatever the network says, and forgets what is stored of this account. */
  logout(options) {
    return this.#core.session.logout(options);
  }

  updateMe(change, options) {
    return this.#core.session.updateMe(change, options);
  }

  /**
   * Sends a text, or `{ kind, content }`. `mentions` are the ids of members whom the text names. The promise is for those
   * who want to wait: it yields the stored message. Nobody has to; `send` events tell the same. What is not stored yet
   * survives a reload and is sent by the next `start`.
   */
  send(conversationId, message, options) {
    return this.#core.outbox.send(conversationId, message, options);
  }

  /** Tries a failed message again, under its old id. */
  retry(clientMsgId, options) {
    return this.#core.outbox.retry(clientMsgId, options);
  }

  /** Gives a message up. It may have been stored all the same, if an attempt was on its way. */
  discard(clientMsgId) {
    return this.#core.outbox.discard(clientMsgId);
  }

  /**
   * Calls the handler at every such event, and returns a function that ends this. Handlers of `resync`, `entries` and of
   * entries are waited for; when one throws, the position stays, and the rest of the page comes again after a pause.
   */
  on(name, handler, options) {
    return this.#core.on(name, handler, options);
  }

  /**
   * Begins to stay in sync, and is done when the application has taken the first state. It repeats what fails until then.
   * Its signal ends the sync, also later. After `superseded`, calling it again waits here again.
   */
  start(options) {
    return this.#core.sync.start(options);
  }

  /** Ends everything at once: the wait, the attempts to send, timers, the lock and the channel. The outbox stays stored. */
  close() {
    return this.#core.close();
  }
}

// Tideline for JavaScript: accounts, conversations, sending and staying in sync, in browsers and in Node 18 or later.
//
//   const tideline = new Tideline({ url });
//   await tideline.login({ username, password });
//   tideline.on("message", ({ message }) => show(message));
//   await tideline.start();
//   await tideline.send(conversation.id, "hello");
//
// Values look as they do in the HTTP API (`/docs`); types are in tideline.d.ts. The modules beside this one:
//   errors, ids, limits, signals, storage, locks, environment: small tools
//   core      the shared parts of a client: options, events, the time until `close`
//   session   requests and the session
//   api       a method per operation
//   people    those of them that concern people: profiles, blocks, contacts, requests
//   desks     those of service desks
//   outbox    sending, with one message in flight per conversation, and the uploads of its media
//   sync      the loop: start over, wait, fetch, apply, remember
//   timelines the conversations that are watched and read
//   changes   the numbers of changed messages, and messages that expire
//   drafts    drafts on all devices
//   typing    who types
//   presence  who is online
//   tabs      one tab waits for all
//
// Two rules hold everywhere. A request without a response is repeated with the same id, because the server keeps the first
// response. And a position moves only after the application has taken everything before it.

import { Api } from "./api.js";
import { Core } from "./core.js";

export { newerState } from "./changes.js";
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

  /** The person who is logged in; null without a session. */
  get user() {
    return this.#core.session.user;
  }

  /** The device of this installation; null without a session. */
  get deviceId() {
    return this.#core.session.current?.device_id ?? null;
  }

  /** Messages that are not stored yet, in the order of sending: `sending`, or `failed` until `retry` or `discard`. */
  get outbox() {
    return this.#core.outbox.list();
  }

  /** `connecting`, `online`, `offline`, `superseded`, `stopped`. */
  get connection() {
    return this.#core.sync.connection;
  }

  /** The last inbox seq that the application has taken, and its epoch; null before `start`. */
  get position() {
    const { position } = this.#core.sync;
    return position && { ...position };
  }

  /** Unread counts as of `position`: the total, and the conversations with unread messages. */
  get unread() {
    return this.#core.sync.unread;
  }

  /** Whether this tab waits for all tabs. */
  get leader() {
    return this.#core.tabs.leader;
  }

  /** Takes up the stored session of an earlier run. Null without one: log in. */
  restore() {
    return this.#core.session.restore();
  }

  /** Creates an account and logs in. */
  register(account, options) {
    return this.#core.session.register(account, options);
  }

  /** Logs in, as the same device as before if the server still has it. */
  login(account, options) {
    return this.#core.session.login(account, options);
  }

  /** Logs out here even without a network, and deletes the stored data of this account. */
  logout(options) {
    return this.#core.session.logout(options);
  }

  /** The drafts of the user: stored for all devices. */
  get drafts() {
    return this.#core.drafts;
  }

  /** The uploads of the user: media for messages. */
  get uploads() {
    return this.#core.outbox.uploads;
  }

  /**
   * Watches a conversation that the application shows, until the returned function is called: its changes that have no entry in the
   * inbox arrive as `change` events, such as reactions in a group with many members.
   */
  watch(conversationId) {
    return this.#core.timelines.watch(conversationId);
  }

  /**
   * The user types in a conversation, or no longer: to be called as often as the text changes. A request is sent at most every
   * 5 seconds, and of the end.
   */
  typing(conversationId, typing = true) {
    this.#core.typing.note(conversationId, typing);
  }

  /**
   * The application shows whether these people are online: up to 100, of more the first ones. They replace those before, and an empty
   * list ends it. Their states come as `presence` events, and changes within the time of a wait; with `wake` sooner, which costs a
   * request more, at most every 10 seconds.
   */
  watchPresence(userIds, options) {
    this.#core.presence.watch(userIds, options);
  }

  /** What the user does here, for others to see: `active`, or `idle` for `away`. Until it is set, a device that waits is active. */
  setActivity(activity) {
    this.#core.presence.setActivity(activity);
  }

  deactivate(proof, options) {
    return this.#core.session.deactivate(proof, options);
  }

  deleteAccount(proof, options) {
    return this.#core.session.deleteAccount(proof, options);
  }

  /**
   * Sends a text, `{ kind, content }`, `{ kind, upload, content: { alt } }` with the id of an upload (a video also with `poster_upload`), or
   * `{ forward: { conversation_id, seq } }`, a copy of another message. A message with an upload is sent when the media are ready.
   * `mentions` are the ids of members whom the text names; `mention_all` names everyone, and `reply_to` is the seq of the message to which it replies. The
   * promise yields the stored message. Awaiting it is optional, since `send` events report the same. An unstored message survives a
   * reload and is sent by the next `start`.
   */
  send(conversationId, message, options) {
    return this.#core.outbox.send(conversationId, message, options);
  }

  /** Sends a failed message again, under its old id. */
  retry(clientMsgId, options) {
    return this.#core.outbox.retry(clientMsgId, options);
  }

  /** Discards a message. It may still have been stored, if an attempt was in flight. */
  discard(clientMsgId) {
    return this.#core.outbox.discard(clientMsgId);
  }

  /**
   * Calls the handler at every such event, and returns a function that removes it. Handlers of `resync`, `entries` and of
   * entries are awaited; when one throws, the position stays, and the rest of the page comes again after a pause.
   */
  on(name, handler, options) {
    return this.#core.on(name, handler, options);
  }

  /**
   * Starts the sync, and resolves when the application has taken the first state. It repeats failures until then.
   * Its signal ends the sync, also later. After `superseded`, another call waits here again.
   */
  start(options) {
    return this.#core.sync.start(options);
  }

  /** Ends everything immediately: the wait, the attempts to send, timers, the lock and the channel. The outbox stays stored. */
  close() {
    return this.#core.close();
  }
}

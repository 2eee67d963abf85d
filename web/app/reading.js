// The read position: messages are read when they are visible and the page has the focus. And what the other person has read.

import { $$ } from "./dom.js";

const READ_PAUSE_MS = 250;
/** When a read mark that failed is tried again. */
const READ_AGAIN_MS = 5_000;
/** How often the position of the other person is requested, while it is not at the end and the person looks: events can be missed. */
const PEER_MS = 30_000;

const dialogs = $$("dialog");

export class Reading {
  #tideline;
  #store;
  #seen;
  #isCovered;
  #id = null;
  #pause = null;
  #marking = 0;
  /** Whether it was marked as unread when it was opened: opening it ends the mark. One that is set later is kept. */
  #marked = false;
  #asking = false;

  /** `seen` returns the highest seq that is visible, and `isCovered` whether something is in front of the messages. */
  constructor(tideline, store, seen, isCovered) {
    this.#tideline = tideline;
    this.#store = store;
    this.#seen = seen;
    this.#isCovered = isCovered;
    store.on("online", () => this.look());
    for (const name of ["focus", "pageshow"]) window.addEventListener(name, () => (this.look(), this.#askPeer()));
    document.addEventListener("visibilitychange", () => this.look());
    // A dialog is closed, and the messages behind it are visible.
    document.addEventListener("close", () => this.look(), { capture: true });
    tideline.on("reads_moved", ({ conversation_id }) => conversation_id === this.#id && void this.#askPeer());
    setInterval(() => this.#askPeer(), PEER_MS);
  }

  open(id) {
    this.#id = id;
    this.#marked = this.#store.conversations.get(id).me.marked_unread;
    this.#askPeer();
  }

  close() {
    clearTimeout(this.#pause);
    this.#id = this.#pause = null;
    this.#marking = 0;
  }

  get isAttentive() {
    return document.visibilityState === "visible" && document.hasFocus() && !dialogs.some((dialog) => dialog.open) && !this.#isCovered();
  }

  look() {
    if (!this.#id || !this.isAttentive || this.#pause) return;
    this.#pause = setTimeout(() => {
      this.#pause = null;
      this.#read();
    }, READ_PAUSE_MS);
  }

  #read() {
    const id = this.#id;
    const conversation = this.#store.conversations.get(id);
    if (!conversation || !this.isAttentive) return;
    const { read_seq } = conversation.me;
    const seen = Math.max(this.#seen(), read_seq);
    if (seen <= Math.max(read_seq, this.#marking) && !this.#marked) return;
    const marked = this.#marked;
    this.#marking = seen;
    this.#marked = false;
    this.#tideline.markRead(id, seen).then(
      ({ read_seq, unread }) => this.#store.markedRead(id, read_seq, unread),
      () => {
        if (this.#id !== id) return;
        this.#marking = 0;
        this.#marked = marked;
        setTimeout(() => this.look(), READ_AGAIN_MS);
      },
    );
  }

  /** No entry has what others have read: it is requested while an own message waits to be read. */
  async #askPeer() {
    const conversation = this.#store.conversations.get(this.#id);
    if (!conversation || this.#asking || !this.isAttentive || this.#tideline.connection !== "online") return;
    const { peer_read_seq, last_seq, last_message } = conversation;
    if (peer_read_seq === null || peer_read_seq >= last_seq || last_message?.sender_id !== this.#store.me?.id) return;
    this.#asking = true;
    await this.#store.renew(this.#id).catch(() => {});
    this.#asking = false;
  }
}

// The pinned messages of the open conversation: a bar with the newest one, and the list of all.

import { newerState } from "../tideline.js";
import { $, busy, el, icon, open, toast } from "./dom.js";
import { explain } from "./errors.js";
import { face } from "./faces.js";
import { isGone, moment, nameOf, previewOf } from "./format.js";
import { t } from "./texts.js";

const SHORT = 200;

export class Pins {
  #tideline;
  #store;
  #jump;
  #id = null;
  /** The messages that are pinned, or were changed since the conversation was opened, by seq. */
  #states = new Map();
  #dialog = $("#pins-dialog");
  #list = $("#pins");

  /** `jump` goes to the message with a seq. */
  constructor(tideline, store, jump) {
    this.#tideline = tideline;
    this.#store = store;
    this.#jump = jump;
    $("#pins-bar").addEventListener("click", () => this.show());
    store.on("edited", (_, message) => this.#changed(message));
    store.on("people", () => this.#dialog.open && this.#draw());
    for (const name of ["resync", "online", "features"]) store.on(name, () => this.#load());
  }

  open(id) {
    this.#id = id;
    this.#load();
  }

  close() {
    this.#id = null;
    this.#states.clear();
    this.#dialog.close();
    this.#list.replaceChildren();
    $("#pins-text").textContent = "";
    $("#pins-bar").hidden = true;
  }

  /** The newest pin first. */
  get #pinned() {
    const pinned = [...this.#states.values()].filter((message) => message.pinned && !isGone(message));
    return pinned.sort((a, b) => (a.pinned.at < b.pinned.at ? 1 : -1));
  }

  async #load() {
    const id = this.#id;
    if (!id || !this.#store.features.has("pins")) return;
    try {
      const { messages, change_seq } = await this.#tideline.listPins(id);
      if (this.#id !== id) return;
      // What was pinned before, and is not in the list, is no longer pinned. A later change is newer than the list.
      for (const [seq, state] of this.#states) if (!(state.change_seq > change_seq)) this.#states.delete(seq);
      for (const message of messages) this.#keep(message);
    } catch {
      // The next connection tries again.
    }
    this.#draw();
  }

  #keep(message) {
    this.#states.set(message.seq, newerState(message, this.#states.get(message.seq)));
  }

  #changed(message) {
    if (message.conversation_id !== this.#id) return;
    if (message.kind === "cleared") for (const seq of this.#states.keys()) seq <= message.seq && this.#states.delete(seq);
    else this.#keep(message);
    this.#draw();
  }

  #draw() {
    const pinned = this.#pinned;
    const bar = $("#pins-bar");
    const focused = document.activeElement === bar;
    bar.hidden = pinned.length === 0;
    if (bar.hidden && focused) $("#log").focus();
    $("#pins-text").textContent = pinned.length > 0 ? previewOf(pinned[0]).slice(0, SHORT) : "";
    $("#pins-count").textContent = t("pins.count", { count: pinned.length });
    if (!this.#dialog.open) return;
    const key = this.#list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.#list.replaceChildren(...(pinned.length > 0 ? pinned.map((message) => this.#row(message)) : [el("li", { class: "soft" }, t("pins.none"))]));
    if (key) ($(`[data-key="${key}"]`, this.#list) ?? $("button", this.#list) ?? $("[data-close]", this.#dialog)).focus();
  }

  /** Shows the list. */
  show() {
    open(this.#dialog);
    this.#draw();
  }

  #row(message) {
    const { seq, sender_id, pinned } = message;
    this.#store.know([sender_id, pinned.by]);
    const of = (id) => (id === this.#store.me?.id ? t("message.you") : nameOf(this.#store.people.get(id)));
    const go = () => {
      this.#dialog.close();
      this.#jump(seq);
    };
    const words = el("span", { class: "mentioned-words" }, el("bdi", { class: "member-name" }, of(sender_id)), el("span", { class: "mentioned-text", dir: "auto" }, previewOf(message).slice(0, SHORT)), el("span", { class: "soft" }, t(pinned.by === this.#store.me?.id ? "pins.by.you" : "pins.by", { name: of(pinned.by), time: moment(pinned.at) })));
    const unpin = el("button", {
      type: "button", class: "round", title: t("message.unpin"), "aria-label": t("pins.unpin", { text: previewOf(message).slice(0, 60) }), "data-key": `unpin ${seq}`,
      onclick: ({ currentTarget }) => busy(currentTarget, () => this.set(message, false)),
    }, icon("close"));
    return el("li", { class: "pins-row" }, el("button", { type: "button", class: "mentioned-row", "data-key": `go ${seq}`, onclick: go }, face(this.#store.people.get(sender_id) ?? { id: sender_id }, of(sender_id)), words), this.mayPin(this.#id) ? unpin : null);
  }

  /** Whether the person may pin messages of a conversation, and unpin them. */
  mayPin(id) {
    const { kind, peer, pinning, me } = this.#store.conversations.get(id) ?? {};
    if (!kind || !this.#store.features.has("pins")) return false;
    return kind === "direct" ? !this.#store.blocked.has(peer?.id) : me.role !== "member" || pinning === "all";
  }

  /** Pins a message, or ends that. The response has no message, so it is read. */
  async set({ conversation_id: id, seq }, pinned) {
    try {
      await (pinned ? this.#tideline.pinMessage(id, seq) : this.#tideline.unpinMessage(id, seq));
      toast(t(pinned ? "pins.pinned" : "pins.unpinned"));
      this.#store.change(await this.#tideline.getMessage(id, seq));
    } catch (error) {
      toast(explain(error));
    }
  }
}

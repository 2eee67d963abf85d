// Forwarding: a dialog to choose the conversations that get a copy of a message.

import { $, el, open, toast } from "./dom.js";
import { explainSend } from "./errors.js";
import { faceOf } from "./faces.js";
import { isGone, previewOf, titleOf } from "./format.js";
import { t } from "./texts.js";

const SHORT = 200;
/** The most conversations in the list: a search finds the others. */
const MOST = 100;

export class Forward {
  #tideline;
  #store;
  #barred;
  #message = null;
  #found = [];
  #at = 0;
  #dialog = $("#forward-dialog");
  #find = $("#forward-find");
  #list = $("#forward-list");

  /** `barred` returns why the person cannot write to a conversation, if so. */
  constructor(tideline, store, barred) {
    this.#tideline = tideline;
    this.#store = store;
    this.#barred = barred;
    this.#find.addEventListener("input", () => this.#search());
    this.#find.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#send([...this.#list.children].indexOf(option));
    });
    this.#dialog.addEventListener("close", () => this.forget());
    store.on("edited", (_, message) => {
      const ours = this.#message && message.conversation_id === this.#message.conversation_id;
      if (!ours || (message.kind === "cleared" ? this.#message.seq > message.seq : message.seq !== this.#message.seq)) return;
      if (isGone(message)) this.#dialog.close();
      else $("#forward-text").textContent = previewOf(message).slice(0, SHORT);
    });
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#message = null;
    this.#found = [];
    this.#find.value = "";
    this.#list.replaceChildren();
    $("#forward-text").replaceChildren();
  }

  /** Whether a message can be forwarded: the server has it, and something is left of it. */
  has(message) {
    return Boolean(message.seq) && !isGone(message) && this.#store.features.has("slow_mode");
  }

  show(message) {
    this.#message = message;
    $("#forward-text").textContent = previewOf(message).slice(0, SHORT);
    this.#search();
    open(this.#dialog);
    this.#find.focus();
  }

  #search() {
    const words = this.#find.value.trim().toLowerCase();
    const fits = (one) => `${titleOf(one)} ${one.peer?.username ?? ""}`.toLowerCase().includes(words);
    this.#found = this.#store.sorted.filter((one) => fits(one) && !this.#barred(one)).slice(0, MOST);
    this.#at = 0;
    this.#draw();
  }

  #draw() {
    const rows = this.#found.map((one, n) =>
      el("li", { role: "option", id: `forward-${n}`, "aria-selected": String(n === this.#at) }, faceOf(one), el("bdi", { class: "mention-name" }, titleOf(one)), one.peer ? el("span", { class: "soft" }, `@${one.peer.username}`) : null));
    this.#list.replaceChildren(...rows);
    $("#forward-none").textContent = this.#found.length > 0 ? "" : t("list.unmatched");
    this.#find.setAttribute("aria-expanded", String(this.#found.length > 0));
    if (this.#found.length === 0) return this.#find.removeAttribute("aria-activedescendant");
    this.#find.setAttribute("aria-activedescendant", `forward-${this.#at}`);
    this.#list.children[this.#at].scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.isComposing || (!step && event.key !== "Enter")) return;
    event.preventDefault();
    if (this.#found.length === 0) return;
    if (!step) return this.#send(this.#at);
    this.#at = (this.#at + step + this.#found.length) % this.#found.length;
    this.#draw();
  }

  /** The copy is a message of the outbox: it is sent when there is a connection. */
  #send(n) {
    const { conversation_id, seq } = this.#message;
    const to = this.#found[n];
    const title = titleOf(to);
    this.#dialog.close();
    this.#tideline.send(to.id, { forward: { conversation_id, seq } }).then(
      () => toast(t("forward.sent", { title })),
      (error) => toast(t("forward.failed", { title, reason: explainSend(error) })),
    );
  }
}

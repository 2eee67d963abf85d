// The messages that name the person, the newest first.

import { $, busy, el, open, toast } from "./dom.js";
import { explain } from "./errors.js";
import { face } from "./faces.js";
import { isGone, moment, nameOf, previewOf, titleOf } from "./format.js";
import { t } from "./texts.js";

const PAGE = 30;

export class Mentioned {
  #tideline;
  #store;
  #go;
  #found = [];
  #before = undefined;
  #dialog = $("#mentioned-dialog");
  #list = $("#mentioned");

  /** `go` opens a message. */
  constructor(tideline, store, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#go = go;
    store.on("conversations", () => this.#badge());
    store.on("people", () => this.#dialog.open && this.#draw());
    store.on("edited", (_, message) => {
      const at = this.#found.findIndex((one) => one.conversation_id === message.conversation_id && one.seq === message.seq);
      if (at < 0) return;
      if (isGone(message)) this.#found.splice(at, 1);
      else this.#found[at] = { ...this.#found[at], message };
      if (this.#dialog.open) this.#draw();
    });
    $("#mentioned-button").addEventListener("click", () => this.show());
    $("#mentioned-more").addEventListener("click", ({ currentTarget }) => busy(currentTarget, () => this.#load()));
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#found = [];
    this.#list.replaceChildren();
  }

  async show() {
    this.forget();
    this.#before = undefined;
    this.#list.replaceChildren(el("li", { class: "soft" }, t("noun.loading")));
    $("#mentioned-more").hidden = true;
    open(this.#dialog);
    await this.#load();
  }

  async #load() {
    const user = this.#store.me?.id;
    try {
      const { mentions, next_cursor } = await this.#tideline.listMentions({ before: this.#before, limit: PAGE });
      if (user !== this.#store.me?.id) return;
      this.#found.push(...mentions);
      this.#before = next_cursor;
      this.#store.know(mentions.map(({ message }) => message.sender_id));
    } catch (error) {
      toast(explain(error));
    }
    this.#draw();
  }

  #draw() {
    const rows = this.#found.filter(({ conversation_id }) => this.#store.conversations.has(conversation_id)).map((mention) => this.#row(mention));
    this.#list.replaceChildren(...(rows.length > 0 ? rows : [el("li", { class: "soft" }, t("mentioned.none"))]));
    $("#mentioned-more").hidden = !this.#before;
  }

  #row({ conversation_id, seq, at, message }) {
    const conversation = this.#store.conversations.get(conversation_id);
    const sender = this.#store.people.get(message.sender_id);
    const name = nameOf(sender);
    const where = conversation.kind === "direct" ? moment(at) : t("mentioned.where", { title: titleOf(conversation), time: moment(at) });
    const run = () => {
      this.#dialog.close();
      this.#go(conversation_id, seq);
    };
    const fresh = seq > conversation.me.read_seq;
    return el("li", { class: fresh ? "is-new" : null },
      el("button", { type: "button", class: "mentioned-row", onclick: run },
        face(sender ?? { id: message.sender_id }, name),
        el("span", { class: "mentioned-words" }, el("span", { class: "member-name" }, el("bdi", {}, name), fresh ? el("span", { class: "sr-only" }, ` ${t("list.unread")}`) : null), el("span", { class: "mentioned-text", dir: "auto" }, previewOf(message).slice(0, 200)), el("span", { class: "soft" }, where))));
  }

  #badge() {
    const { mentions } = this.#store;
    const badge = $("#mentioned-badge");
    badge.hidden = mentions === 0;
    badge.textContent = mentions > 99 ? "99+" : String(mentions);
    const label = mentions > 0 ? t("mentioned.open.count", { count: mentions }) : t("mentioned.open");
    $("#mentioned-button").setAttribute("aria-label", label);
    $("#mentioned-button").title = label;
  }
}

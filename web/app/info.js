// Who has read a message, who has reacted to it, and when it expires.

import { $, el, icon, open } from "./dom.js";
import { nameOfEmoji } from "./emoji.js";
import { explain } from "./errors.js";
import { face } from "./faces.js";
import { inTime, isGone, moment, nameOf } from "./format.js";
import { t } from "./texts.js";

const PAGE = 100;

export class Info {
  #tideline;
  #store;
  /** The message that is shown. */
  #message = null;
  /** The last request for what is shown. */
  #filling = null;
  #dialog = $("#info-dialog");
  #body = $("#info-body");

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    this.#dialog.addEventListener("close", () => (this.#message = null));
    store.on("edited", (_, message) => {
      const { conversation_id, seq } = this.#message ?? {};
      if (conversation_id === message.conversation_id && isGone(message) && (message.kind === "cleared" ? seq <= message.seq : seq === message.seq)) this.#dialog.close();
    });
    tideline.on("reads_moved", ({ conversation_id }) => {
      if (this.#message?.conversation_id === conversation_id) this.#fill(this.#message).catch(() => {});
    });
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#body.replaceChildren();
  }

  #conversation({ conversation_id }) {
    return this.#store.conversations.get(conversation_id);
  }

  /** In a small group the sender sees who has read a message, and so do the owner and the admins. */
  #hasReaders(message) {
    const { kind, fanout, me } = this.#conversation(message) ?? {};
    return this.#store.features.has("receipts") && kind === "group" && fanout === "write" && (message.sender_id === this.#store.me?.id || me.role !== "member");
  }

  #isRead(message) {
    return this.#hasReaders(message) || (message.reactions?.length ?? 0) > 0;
  }

  /** Whether there is anything to show of a message. */
  has(message) {
    return this.#isRead(message) || Boolean(message.expires_at);
  }

  /** The key of the title. */
  titleOf(message) {
    return this.#isRead(message) ? "info.title" : "info.expiry";
  }

  async show(message) {
    this.#message = message;
    $("#info-title").textContent = t(this.titleOf(message));
    this.#body.replaceChildren(el("p", { class: "soft" }, t("noun.loading")));
    open(this.#dialog);
    await this.#fill(message);
  }

  async #fill(message) {
    const { conversation_id: id, seq } = message;
    const mine = (this.#filling = {});
    const parts = await Promise.all([
      message.expires_at ? [this.#expiry(message)] : [],
      this.#hasReaders(message) ? this.#readers(id, seq).catch((error) => [this.#failure("info.readers", error)]) : [],
      (message.reactions?.length ?? 0) > 0 ? this.#reactions(id, seq).catch((error) => [this.#failure("info.reactions", error)]) : [],
    ]);
    if (this.#message === message && this.#filling === mine) this.#body.replaceChildren(...parts.flat());
  }

  #expiry(message) {
    const words = [el("p", {}, t("message.expires", { time: inTime(message.expires_at) })), el("p", { class: "soft" }, el("time", { datetime: message.expires_at }, moment(message.expires_at)))];
    return el("section", {}, this.#isRead(message) ? el("h3", {}, t("info.expiry")) : null, ...words);
  }

  #failure(title, error) {
    return el("section", {}, el("h3", {}, t(title)), el("p", { class: "error" }, explain(error)));
  }

  /** All pages: a small conversation has few. */
  async #all(page) {
    const found = [];
    for (let cursor; cursor !== null; ) {
      const one = await page({ limit: PAGE, cursor });
      found.push(one);
      cursor = one.next_cursor;
    }
    return found;
  }

  async #readers(id, seq) {
    const pages = await this.#all((page) => this.#tideline.listReceipts(id, seq, page));
    const { readers, eligible } = pages[0];
    const members = pages.flatMap((page) => page.members);
    await this.#learn(members.map(({ user_id }) => user_id));
    const rank = ({ read, delivered }) => (read ? 0 : delivered ? 1 : 2);
    const rows = members.sort((a, b) => rank(a) - rank(b) || this.#name(a).localeCompare(this.#name(b))).map((member) => {
      const state = t(member.read ? "info.read" : member.delivered ? "info.delivered" : "info.waiting");
      return this.#row(member.user_id, el("span", { class: "soft state-words" }, icon(member.read ? "checks" : member.delivered ? "check" : "clock"), state));
    });
    return [el("section", {}, el("h3", {}, t("info.readers")), el("p", { class: "soft" }, t("info.count", { readers, count: eligible })), el("ul", { class: "members" }, ...rows))];
  }

  async #reactions(id, seq) {
    const pages = await this.#all((page) => this.#tideline.listReactions(id, seq, page));
    const users = pages.flatMap((page) => page.users);
    await this.#learn(users.map(({ user_id }) => user_id));
    const rows = users.map(({ user_id, emoji }) => this.#row(user_id, el("span", { class: "emoji-sign", role: "img", "aria-label": nameOfEmoji(emoji) }, emoji)));
    return [el("section", {}, el("h3", {}, t("info.reactions")), el("ul", { class: "members" }, ...rows))];
  }

  async #learn(ids) {
    const missing = [...new Set(ids)].filter((id) => !this.#store.people.has(id));
    for (let from = 0; from < missing.length; from += PAGE) this.#store.meet(await this.#tideline.listUsers({ ids: missing.slice(from, from + PAGE) }));
  }

  #name({ user_id }) {
    return nameOf(this.#store.people.get(user_id));
  }

  #row(id, ...parts) {
    const user = this.#store.people.get(id);
    const name = nameOf(user);
    return el("li", {}, face(user ?? { id }, name), el("bdi", { class: "member-words member-name" }, name), ...parts);
  }
}

// The list of conversations, the latest first; unsent messages to conversations that the person has left; the window title.

import { $, $$, el, isComposing } from "./dom.js";
import { avatar, kindName, moment, nameOf, previewOf, shortTime, titleOf } from "./format.js";
import { t } from "./texts.js";

export class List {
  #tideline;
  #store;
  #rows = new Map();
  #current = null;

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    store.on("thread", () => this.#drawLost());
    for (const name of ["conversations", "people"]) store.on(name, () => this.draw());
    $("#filter").addEventListener("input", () => this.draw());
    $("#filter").addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      // Escape ends the search, and must not do more elsewhere.
      event.stopPropagation();
      this.forget();
      this.draw();
    });
    $("#conversations").addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step || event.altKey) return;
      event.preventDefault();
      const links = $$("a", $("#conversations"));
      links[links.indexOf(document.activeElement) + step]?.focus();
    });
    // Words such as "yesterday" become wrong with time.
    setInterval(() => this.draw(), 60_000);
  }

  forget() {
    $("#filter").value = "";
  }

  set current(id) {
    this.#current = id;
    this.draw();
  }

  /** The conversation above or below the current one. */
  neighbour(step) {
    const shown = this.#shown();
    const now = shown.findIndex(({ id }) => id === this.#current);
    return shown[now < 0 ? 0 : now + step]?.id ?? null;
  }

  #shown() {
    const words = $("#filter").value.trim().toLowerCase();
    return this.#store.sorted.filter((one) => `${titleOf(one)} ${one.peer?.username ?? ""}`.toLowerCase().includes(words));
  }

  draw() {
    const shown = this.#shown();
    const list = $("#conversations");
    let place = list.firstChild;
    const kept = new Map();
    for (const conversation of shown) {
      const row = this.#rows.get(conversation.id) ?? this.#make(conversation.id);
      this.#dress(row, conversation);
      kept.set(conversation.id, row);
      if (row === place) place = place.nextSibling;
      else list.insertBefore(row, place);
    }
    for (const [id, row] of this.#rows) if (!kept.has(id)) row.remove();
    this.#rows = kept;
    this.#drawEmpty(shown.length);
    this.#drawLost();
    this.#drawTitle();
  }

  #drawLost() {
    const { lost } = this.#store;
    $("#lost").hidden = lost.length === 0;
    const seen = lost.map((item) => item.client_msg_id).join();
    if ($("#lost").dataset.seen === seen) return;
    $("#lost").dataset.seen = seen;
    $("#lost-list").replaceChildren(...lost.map((item) => this.#lost(item)));
  }

  #lost(item) {
    const discard = () => {
      // The button disappears with it.
      $("#new-button").focus();
      this.#tideline.discard(item.client_msg_id).catch(() => {});
    };
    return el("li", {},
      el("p", { class: "lost-text", dir: "auto" }, [previewOf(item), item.content.url].filter(Boolean).join("\n")),
      el("p", { class: "soft" }, moment(item.created_at)),
      el("button", { type: "button", class: "link", onclick: discard }, t("message.discard")));
  }

  #make(id) {
    return el("li", {},
      el("a", { href: `#/c/${id}` },
        el("span", { class: "face" }),
        el("span", { class: "first-line" }, el("span", { class: "title", dir: "auto" }), el("time", {})),
        el("span", { class: "second-line" }, el("span", { class: "preview", dir: "auto" }), el("span", { class: "badge", hidden: true }, el("span"), el("span", { class: "sr-only" }, ` ${t("list.unread")}`)))));
  }

  #dress(row, conversation) {
    const { kind, peer, last_message: last, me } = conversation;
    const title = titleOf(conversation);
    const mine = last?.sender_id === this.#store.me?.id;
    const text = last ? previewOf(last).slice(0, 200) : t(kind === "direct" ? "list.quiet" : `list.new.${kindName(conversation)}`);
    const preview = !last ? text
      : mine ? t("list.mine", { text })
      : kind === "direct" ? text
      : t("list.theirs", { name: nameOf(this.#store.people.get(last.sender_id)), text });
    // The list is drawn at every message, so it leaves unchanged elements alone.
    const seen = JSON.stringify([title, preview, me.unread, last?.created_at ?? conversation.created_at, new Date().toDateString()]);
    if (row.dataset.seen !== seen) {
      row.dataset.seen = seen;
      const time = last?.created_at ?? conversation.created_at;
      $(".face", row).replaceChildren(avatar(peer?.id ?? conversation.id, title, kind));
      $(".title", row).textContent = title;
      $(".preview", row).textContent = preview;
      $("time", row).dateTime = time;
      $("time", row).textContent = shortTime(time);
      $(".badge", row).hidden = me.unread === 0;
      $(".badge", row).firstChild.textContent = me.unread > 999 ? "999+" : String(me.unread);
      row.classList.toggle("unread", me.unread > 0);
    }
    if (conversation.id === this.#current) $("a", row).setAttribute("aria-current", "page");
    else $("a", row).removeAttribute("aria-current");
  }

  #drawEmpty(shown) {
    const note = $("#list-empty");
    note.hidden = shown > 0;
    const none = this.#store.conversations.size === 0;
    note.textContent = t(!this.#store.ready ? "noun.loading" : none ? "list.none" : "list.unmatched");
  }

  #drawTitle() {
    const { total } = this.#store;
    const open = this.#store.conversations.get(this.#current);
    document.title = `${total > 0 ? `(${total > 999 ? "999+" : total}) ` : ""}${open ? `${titleOf(open)} · ` : ""}Tideline`;
  }
}

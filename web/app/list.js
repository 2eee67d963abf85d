// The list of conversations, the latest first; unsent messages to conversations that the person has left; the window title.

import { $, el, icon } from "./dom.js";
import { face, faceOf, says } from "./faces.js";
import { arrows } from "./finder.js";
import { kindName, moment, nameOf, ownTitleOf, plain, previewOf, shortTime, titleOf } from "./format.js";
import { dotted, spokenDot, stateOf } from "./presence.js";
import { t } from "./texts.js";

/** How many titles stand above the messages that were found. */
const TITLES = 5;

export class List {
  #tideline;
  #store;
  #drafts;
  #rows = new Map();
  #current = null;
  /** Whether the archived conversations are shown, and not the others. */
  #archive = false;
  /** Whether all titles that fit are shown above the messages that were found. */
  #all = false;
  /** Whether messages are searched, too. */
  isSearching = () => false;

  constructor(tideline, store, drafts) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    drafts.on(() => this.draw());
    $("#archive-button").addEventListener("click", () => {
      this.#archive = !this.#archive;
      this.draw();
    });
    store.on("thread", () => this.#drawLost());
    tideline.on("upload", () => this.#drawLost());
    for (const name of ["conversations", "people"]) store.on(name, () => this.draw());
    $("#filter").addEventListener("input", () => {
      this.#all = false;
      this.draw();
    });
    $("#titles-more").addEventListener("click", () => {
      const { length } = $("#conversations").children;
      this.#all = true;
      this.draw();
      $("a", $("#conversations").children[length]).focus();
    });
    arrows($("#filter"), $("#list-nav"), "#conversations a, .found-row");
    // Words such as "yesterday" become wrong with time.
    setInterval(() => this.draw(), 60_000);
  }

  forget() {
    $("#filter").value = "";
    this.#archive = this.#all = false;
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
    const fits = (one) => `${titleOf(one)} ${one.peer ? nameOf(one.peer) : ""} ${ownTitleOf(one)} ${one.peer?.username ?? ""}`.toLowerCase().includes(words);
    if (!words && this.isSearching()) return [];
    // A search finds archived and hidden ones too.
    return this.#store.sorted.filter((one) => (words ? fits(one) : isListed(one) && one.me.settings.archived === this.#archive));
  }

  #drawArchive() {
    const archived = this.#store.sorted.filter((one) => isListed(one) && one.me.settings.archived);
    if (archived.length === 0) this.#archive = false;
    const unread = archived.reduce((sum, { me }) => sum + me.unread, 0);
    const button = $("#archive-button");
    button.hidden = archived.length === 0 || $("#filter").value.trim() !== "" || this.isSearching();
    button.classList.toggle("is-open", this.#archive);
    $("#archive-text").textContent = this.#archive ? t("list.archive.back") : t("list.archive");
    $("#archive-count").textContent = this.#archive ? "" : String(archived.length);
    $("#archive-badge").hidden = this.#archive || unread === 0;
    $("#archive-badge").firstChild.textContent = counted(unread);
    $("#archive-mark").hidden = this.#archive || unread > 0 || !archived.some(({ me }) => me.marked_unread);
  }

  draw() {
    this.#drawArchive();
    const fitting = this.#shown();
    const shown = this.isSearching() && !this.#all ? fitting.slice(0, TITLES) : fitting;
    $("#titles-more").hidden = shown.length === fitting.length;
    $("#titles-more").textContent = t("details.more", { count: fitting.length - shown.length });
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
    const seen = JSON.stringify(lost.map((item) => [item.client_msg_id, this.#named(item)]));
    if ($("#lost").dataset.seen === seen) return;
    $("#lost").dataset.seen = seen;
    $("#lost-list").replaceChildren(...lost.map((item) => this.#lost(item)));
  }

  /** What a message says that is not sent. The name of its media is that of their upload. */
  #named({ kind, content, forward, upload }) {
    const name = this.#tideline.uploads.get(upload)?.name;
    return [previewOf({ kind, content: { name, ...content }, forward }), kind === "file" ? null : name && plain(name), content?.url].filter(Boolean).join("\n");
  }

  #lost(item) {
    const discard = () => {
      // The button disappears with it.
      $("#new-button").focus();
      this.#tideline.discard(item.client_msg_id).catch(() => {});
    };
    return el("li", {},
      el("p", { class: "lost-text", dir: "auto" }, this.#named(item)),
      el("p", { class: "soft" }, moment(item.created_at)),
      el("button", { type: "button", class: "link", onclick: discard }, t("message.discard")));
  }

  #make(id) {
    return el("li", {},
      el("a", { href: `#/c/${id}` },
        el("span", { class: "face" }),
        el("span", { class: "first-line" }, el("span", { class: "title", dir: "auto" }), el("span", { class: "spoken" }), el("span", { class: "said" }), el("span", { class: "marks" }), el("time", {})),
        el("span", { class: "second-line" }, el("span", { class: "preview", dir: "auto" }), el("span", { class: "named-badge", hidden: true }, el("span", { "aria-hidden": "true" }, "@"), el("span", { class: "sr-only" })), el("span", { class: "badge", hidden: true }, el("span"), el("span", { class: "sr-only" }, ` ${t("list.unread")}`)), el("span", { class: "unread-mark", hidden: true }, el("span", { class: "sr-only" }, t("list.marked"))))));
  }

  #dress(row, conversation) {
    const { kind, peer, last_message: last, me } = conversation;
    const title = titleOf(conversation);
    const mine = last?.sender_id === this.#store.me?.id;
    const text = last ? previewOf(last).slice(0, 200) : t(me.cleared_seq > me.joined_seq ? "list.cleared" : kind === "direct" ? "list.quiet" : `list.new.${kindName(conversation)}`);
    const draft = conversation.id === this.#current ? "" : this.#drafts.get(conversation.id).trim();
    const preview = draft ? t("list.draft", { text: draft.slice(0, 200) })
      : !last ? text
      : mine ? t("list.mine", { text })
      : kind === "direct" ? text
      : t("list.theirs", { name: nameOf(this.#store.people.get(last.sender_id)), text });
    const said = says(peer);
    // The list is drawn at every message, so it leaves unchanged elements alone.
    const seen = JSON.stringify([title, preview, me.unread, me.unread_mentions, me.marked_unread, me.settings, last?.created_at ?? conversation.created_at, new Date().toDateString(), peer?.avatar_url ?? conversation.avatar_url, said?.textContent, stateOf(peer)]);
    if (row.dataset.seen !== seen) {
      row.dataset.seen = seen;
      const time = last?.created_at ?? conversation.created_at;
      $(".face", row).replaceChildren(peer ? dotted(peer, face(peer, title)) : faceOf(conversation, title));
      $(".spoken", row).replaceChildren(...[spokenDot(peer)].filter(Boolean));
      $(".said", row).replaceChildren(...(said ? [said] : []));
      $(".title", row).textContent = title;
      $(".preview", row).textContent = preview;
      $("time", row).dateTime = time;
      $("time", row).textContent = shortTime(time);
      $(".badge", row).hidden = me.unread === 0;
      $(".badge", row).firstChild.textContent = counted(me.unread);
      $(".unread-mark", row).hidden = !me.marked_unread || me.unread > 0;
      $(".named-badge", row).hidden = me.unread_mentions === 0;
      $(".named-badge .sr-only", row).textContent = me.unread_mentions > 0 ? `${t("list.mentions", { count: me.unread_mentions })} ` : "";
      $(".marks", row).replaceChildren(...this.#marks(me.settings));
      row.classList.toggle("unread", me.unread > 0 || me.marked_unread);
      row.classList.toggle("quiet", me.settings.notify?.level === "none");
      row.classList.toggle("drafted", draft !== "");
    }
    if (conversation.id === this.#current) $("a", row).setAttribute("aria-current", "page");
    else $("a", row).removeAttribute("aria-current");
  }

  #marks({ pinned, notify }) {
    const mark = (drawing, words) => [icon(drawing), el("span", { class: "sr-only" }, `${words} `)];
    return [...(notify?.level === "none" ? mark("bell-off", t("list.quieted")) : []), ...(pinned ? mark("pin", t("list.pinned")) : [])];
  }

  #drawEmpty(shown) {
    const note = $("#list-empty");
    note.hidden = shown > 0 || this.isSearching();
    const none = $("#filter").value.trim() === "";
    const archived = !$("#archive-button").hidden;
    note.textContent = t(!this.#store.ready ? "noun.loading" : !none ? "list.unmatched" : archived ? "list.archived" : "list.none");
  }

  #drawTitle() {
    const { total } = this.#store;
    const open = this.#store.conversations.get(this.#current);
    document.title = `${total > 0 ? `(${counted(total)}) ` : ""}${open ? `${titleOf(open)} · ` : ""}Tideline`;
  }
}

const counted = (count) => (count > 999 ? "999+" : String(count));

/** A hidden conversation comes back with its next message. */
const isListed = ({ last_seq, me }) => !(me.settings.hidden_through >= last_seq && me.settings.hidden_through !== null);

// A search on the page: its field, its filters and its results. There is one for all conversations, and one for the open one.

import { $, $$, el, isComposing } from "./dom.js";
import { explain } from "./errors.js";
import { face, faceOf } from "./faces.js";
import { Filters } from "./filters.js";
import { moment, nameOf, plain, previewOf, shortTime, titleOf } from "./format.js";
import { excerpt } from "./marks.js";
import { Search } from "./search.js";
import { t } from "./texts.js";

/** A search begins when the person pauses. */
const PAUSE_MS = 300;

/** The arrow keys move through the items of a pane, from its input on and back to it. */
export function arrows(input, pane, selector) {
  const move = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || isComposing(event)) return;
    const items = $$(selector, pane);
    const now = items.indexOf(event.target);
    if (event.target === input ? step < 0 : now < 0) return;
    event.preventDefault();
    (now + step < 0 ? input : items[now + step])?.focus();
  };
  for (const node of pane.contains(input) ? [pane] : [input, pane]) node.addEventListener("keydown", move);
}

export class Finder {
  #store;
  #name;
  #input;
  #pane;
  #list;
  #more;
  #search;
  #filters;
  #scope;
  #go;
  #changed;
  #rows = new Map();
  #late = null;
  #asked = null;
  /** The result that was opened last: the focus returns to it. */
  #opened = null;

  /**
   * `name` begins the ids of the elements, `scope` returns the id of the only conversation to search or null, `people` those to suggest,
   * `go` opens a result, `end` is what Escape does, and `changed` is called when a search begins or ends.
   */
  constructor(tideline, store, contacts, { name, input, scope = () => null, people, go, end = () => (this.clear(), input.focus()), changed = () => {} }) {
    this.#store = store;
    this.#name = name;
    this.#input = input;
    this.#scope = scope;
    this.#go = go;
    this.#changed = changed;
    [this.#pane, this.#list, this.#more] = ["pane", "results", "more"].map((part) => $(`#${name}-${part}`));
    this.#search = new Search(tideline, store, () => this.draw());
    this.#filters = new Filters(tideline, store, contacts, name, { people, changed: () => this.#look() });
    for (const view of ["people", "conversations"]) store.on(view, () => this.draw());
    store.on("features", () => this.#look(0));
    input.addEventListener("input", (event) => event.isComposing || this.#look());
    input.addEventListener("compositionend", () => this.#look());
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || isComposing(event)) return;
      // There may be new messages with the same words.
      this.#asked = null;
      this.#look(0);
    });
    for (const place of [input, this.#pane.parentElement]) {
      place.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || isComposing(event) || (place !== input && !this.active)) return;
        // It ends the search, and must not do more elsewhere.
        event.stopPropagation();
        event.preventDefault();
        end();
      });
    }
    this.#more.addEventListener("click", () => this.#search.more());
    $(`#${name}-retry`).addEventListener("click", () => {
      this.#input.focus();
      this.#search.more();
    });
    this.#list.addEventListener("click", ({ target }) => this.#open(target.closest(".found-row")));
    const near = new IntersectionObserver((seen) => {
      // A search that finds little goes on by itself only so far.
      if (seen.some(({ isIntersecting }) => isIntersecting) && this.#search.state === "done" && !this.#search.further) this.#search.more();
    }, { root: this.#pane.closest(".scroll"), rootMargin: "0px 0px 200px" });
    near.observe(this.#more);
  }

  /** What is searched for; null: nothing. */
  get #query() {
    if (!this.#store.features.has("search")) return null;
    const q = this.#input.value.trim();
    const scope = this.#scope();
    const { alone, timed, filters } = this.#filters.query;
    if (!q && !alone && !(scope && timed)) return null;
    return { ...(q && { q }), ...(scope && { conversation_id: scope }), ...filters };
  }

  get active() {
    return this.#query !== null;
  }

  /** Ends the search. */
  clear() {
    this.#input.value = "";
    this.#opened = null;
    this.#filters.clear();
    this.#look(0);
  }

  /** Moves the focus to the result that was opened last, if it is still there. */
  resume() {
    const row = $(".found-row", this.#rows.get(this.#opened) ?? document.createElement("i"));
    row?.focus();
    return row !== null;
  }

  #look(ms = PAUSE_MS) {
    clearTimeout(this.#late);
    this.#late = null;
    const query = this.#query;
    this.#changed();
    if (query === null) {
      this.#asked = null;
      if (this.#search.state !== "idle") this.#search.stop();
      return this.draw();
    }
    const asked = JSON.stringify(query);
    if (asked === this.#asked) return this.draw();
    const begin = () => {
      this.#late = null;
      this.#asked = asked;
      this.#search.begin(query);
    };
    if (ms === 0) begin();
    else this.#late = setTimeout(begin, ms);
    this.draw();
  }

  #open(row) {
    const found = row && this.#search.results.find(({ message }) => row.dataset.key === message.id);
    if (!found) return;
    this.#opened = found.message.id;
    for (const one of $$("[aria-current]", this.#list)) one.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    this.#go(found);
  }

  // The view.

  draw() {
    this.#filters.draw();
    this.#pane.hidden = !this.active;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.closest("li") : null;
    const at = [...this.#list.children].indexOf(focused);
    const kept = new Map();
    let place = this.#list.firstChild;
    for (const found of this.#search.results) {
      const conversation = this.#store.conversations.get(found.message.conversation_id);
      if (!conversation) continue;
      const row = this.#row(found, conversation);
      kept.set(found.message.id, row);
      if (row === place) place = place.nextSibling;
      else this.#list.insertBefore(row, place);
    }
    for (const [id, row] of this.#rows) if (!kept.has(id)) row.remove();
    this.#rows = kept;
    if (focused && !focused.isConnected && this.active) ($(".found-row", this.#list.children[at] ?? this.#list.lastChild ?? this.#pane) ?? this.#input).focus();
    this.#drawState();
  }

  #drawState() {
    const { state, complete, error, further } = this.#search;
    const count = this.#rows.size;
    const some = count > 0;
    const more = further ? "search.still" : "noun.loading";
    const words = {
      idle: () => "",
      looking: () => (some && further ? t("search.still.found", { count }) : some ? t("search.found", { count }) : t(more)),
      busy: () => t("search.busy"),
      done: () => (complete ? (some ? t("search.all", { count }) : t("search.none")) : some ? t("search.found", { count }) : t("search.none.yet")),
      failed: () => explain(error),
    };
    const status = $(`#${this.#name}-status`);
    const text = words[state]();
    if (status.textContent !== text) status.textContent = text;
    $(`#${this.#name}-retry`).hidden = state !== "failed" || error.code === "validation";
    const was = document.activeElement === this.#more;
    const looking = state === "looking" || state === "busy";
    this.#more.hidden = !(state === "done" && !complete) && !(looking && was);
    if (looking) this.#more.setAttribute("aria-disabled", "true");
    else this.#more.removeAttribute("aria-disabled");
    if (was && this.#more.hidden) ($$(".found-row", this.#list).at(-1) ?? this.#input).focus();
    this.#list.setAttribute("aria-busy", String(looking));
  }

  #row(found, conversation) {
    const { message } = found;
    const row = this.#rows.get(message.id) ?? el("li", {}, el("button", { type: "button", class: "mentioned-row found-row", "data-key": message.id }));
    const mine = message.sender_id === this.#store.me?.id;
    const sender = this.#store.people.get(message.sender_id);
    if (!sender) this.#store.know([message.sender_id]);
    const name = mine ? t("message.you") : nameOf(sender);
    const title = titleOf(conversation);
    const seen = JSON.stringify([message.kind, message.version, found.highlights, title, name, conversation.avatar_url, conversation.peer?.avatar_url, sender?.avatar_url, new Date().toDateString()]);
    if (row.dataset.seen === seen) return row;
    row.dataset.seen = seen;
    const everywhere = this.#scope() === null;
    const by = everywhere && (mine || conversation.kind !== "direct") ? [el("bdi", { class: "found-by" }, name), ": "] : [];
    row.firstChild.replaceChildren(
      everywhere ? faceOf(conversation, title) : face(sender ?? { id: message.sender_id }, name),
      el("span", { class: "mentioned-words" },
        el("span", { class: "found-head" },
          el("bdi", { class: "member-name" }, everywhere ? title : name),
          message.edited_at ? el("span", { class: "soft" }, t("search.edited")) : null,
          el("time", { datetime: message.created_at, title: moment(message.created_at) }, shortTime(message.created_at))),
        el("span", { class: "mentioned-text" }, ...by, ...this.#words(found))));
    return row;
  }

  /** The text around the first found word, with marks. */
  #words({ message, highlights }) {
    const { kind, content } = message;
    const field = highlights[0]?.field;
    if (!field) return [el("bdi", {}, excerpt(previewOf(message), []).map(({ text }) => text).join(""))];
    const shown = (text) => (field === "name" ? plain(text) : text);
    const parts = excerpt(content[field], highlights).map(({ text, marked }) => (marked ? el("mark", {}, shown(text)) : shown(text)));
    // What is around the text in a preview of the message: that of another text is cut at its place.
    const [before, after] = field === "text" ? ["", ""] : previewOf({ kind, content: { [field]: "\ufffc" } }).split("\ufffc");
    return [before, el("bdi", {}, ...parts), after];
  }
}

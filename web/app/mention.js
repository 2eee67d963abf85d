// Completion of `@`: members of the conversation, by the beginning of a name, with the keyboard or the pointer.

import { $, el, isComposing } from "./dom.js";
import { face } from "./faces.js";
import { avatar, nameOf } from "./format.js";
import { t } from "./texts.js";

const MOST = 8;
/** The last choice names everyone in the conversation. */
const EVERYONE = { id: "all", username: "all" };

export class Mention {
  #store;
  #text;
  #list = $("#mentions");
  #conversation = null;
  #found = [];
  #at = 0;
  #done;

  /** `text` is the input element; `done` is called when its value was changed here. */
  constructor(store, text, done) {
    this.#store = store;
    this.#text = text;
    this.#done = done;
    for (const name of ["input", "click"]) text.addEventListener(name, () => this.#look());
    text.addEventListener("blur", () => this.close());
    // Runs before the composer handles Enter and the page handles Escape.
    text.form.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    // The focus stays in the composer.
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#pick([...this.#list.children].indexOf(option));
    });
  }

  set conversation(id) {
    this.#conversation = id;
    this.close();
  }

  /** The word after an `@` whose end is at the caret. */
  get #begun() {
    const { selectionStart, selectionEnd, value } = this.#text;
    if (selectionStart !== selectionEnd) return null;
    return value.slice(0, selectionStart).match(/(?<![\w.@-])@([\w.-]{0,32})$/)?.[1].toLowerCase() ?? null;
  }

  #look() {
    const word = this.#begun;
    const fits = (user) => user.username.startsWith(word) || nameOf(user).toLowerCase().split(/\s+/).some((part) => part.startsWith(word));
    const others = word === null ? [] : this.#store.members(this.#conversation).filter((user) => user.id !== this.#store.me?.id && fits(user));
    others.sort((a, b) => b.username.startsWith(word) - a.username.startsWith(word) || nameOf(a).localeCompare(nameOf(b)));
    const everyone = word !== null && "all".startsWith(word) && this.#store.mayNameAll(this.#conversation) ? [EVERYONE] : [];
    this.#found = [...others, ...everyone].slice(0, MOST);
    this.#at = 0;
    this.#draw();
  }

  #draw() {
    const open = this.#found.length > 0;
    this.#list.hidden = !open;
    this.#list.replaceChildren(...this.#found.map((user, n) =>
      el("li", { role: "option", id: `mention-${n}`, "aria-selected": String(n === this.#at) },
        user === EVERYONE ? avatar(user.id, "@") : face(user), el("bdi", { class: "mention-name" }, user === EVERYONE ? t("mention.all") : nameOf(user)), el("span", { class: "soft" }, `@${user.username}`))));
    if (open) {
      this.#text.setAttribute("aria-controls", "mentions");
      this.#text.setAttribute("aria-activedescendant", `mention-${this.#at}`);
      this.#list.children[this.#at].scrollIntoView({ block: "nearest" });
    } else for (const name of ["aria-controls", "aria-activedescendant"]) this.#text.removeAttribute(name);
    $("#mention-count").textContent = open ? t("mention.count", { count: this.#found.length }) : "";
  }

  close() {
    this.#found = [];
    this.#draw();
  }

  #key(event) {
    if (this.#found.length === 0 || event.target !== this.#text || isComposing(event)) return;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && !event.altKey) {
      this.#at = (this.#at + step + this.#found.length) % this.#found.length;
      this.#draw();
    } else if ((event.key === "Enter" && !event.shiftKey) || (event.key === "Tab" && !event.shiftKey)) this.#pick(this.#at);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #pick(n) {
    const { selectionStart } = this.#text;
    this.#text.setRangeText(`@${this.#found[n].username} `, selectionStart - this.#begun.length - 1, selectionStart, "end");
    this.close();
    this.#done();
  }
}

// People who are suggested while a username is typed: contacts and people of conversations, and those that the server finds.

import { $, el, isComposing } from "./dom.js";
import { face } from "./faces.js";
import { nameOf } from "./format.js";
import { t } from "./texts.js";

const MOST = 6;
/** The server searches from this many letters on. */
const LEAST = 3;
/** A search waits until the person pauses: there are 30 a minute. */
const PAUSE_MS = 350;

export class Suggest {
  #tideline;
  #store;
  #people;
  #input;
  #list;
  #found = [];
  #at = -1;
  #late = null;
  /** What the server has found, by the letters. */
  #answers = new Map();
  #also;
  #own;

  /**
   * `input` has usernames, with spaces or commas between them; the list is put after it. `also` returns more people to suggest, and with
   * `own` the person is one of them.
   */
  constructor(tideline, store, people, input, { also = () => [], own = false } = {}) {
    this.#tideline = tideline;
    this.#store = store;
    this.#people = people;
    this.#input = input;
    this.#also = also;
    this.#own = own;
    this.#list = el("ul", { class: "choices suggestions scroll", role: "listbox", id: `${input.id}-suggestions`, "aria-label": t("suggest.label"), hidden: true });
    (input.closest(".inline") ?? input).after(this.#list);
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", this.#list.id]]) input.setAttribute(name, value);
    input.addEventListener("input", () => this.#look());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.close());
    // The input keeps the focus.
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#pick([...this.#list.children].indexOf(option));
    });
    tideline.on("signed_out", () => {
      this.#answers.clear();
      this.close();
    });
  }

  close() {
    clearTimeout(this.#late);
    this.#found = [];
    this.#draw();
  }

  /** The name at the end of the input, and where it begins. */
  get #word() {
    const [word] = this.#input.value.match(/[^\s,;]*$/);
    return { word: word.toLowerCase().replace(/^@/, ""), from: this.#input.value.length - word.length };
  }

  #look() {
    clearTimeout(this.#late);
    const { word } = this.#word;
    this.#show(word);
    if (word.length < LEAST || !/^[a-z0-9_.-]+$/.test(word) || this.#answers.has(word)) return;
    this.#late = setTimeout(async () => {
      const users = await this.#tideline.searchUsers(word, { limit: MOST }).catch(() => null);
      if (!users) return;
      this.#answers.set(word, users);
      if (this.#word.word === word && document.activeElement === this.#input) this.#show(word);
    }, PAUSE_MS);
  }

  #show(word) {
    const taken = new Set(this.#input.value.toLowerCase().split(/[\s,;]+/).slice(0, -1));
    const known = [...this.#people.contacts.values()].map(({ user }) => user);
    const peers = [...this.#store.conversations.values()].map(({ peer }) => peer).filter(Boolean);
    const fits = (user) => user.username.startsWith(word) || nameOf(user).toLowerCase().split(/\s+/).some((part) => part.startsWith(word));
    const all = [...[...known, ...peers, ...this.#also()].filter(fits), ...(this.#answers.get(word) ?? [])];
    const wanted = ({ id, username, deleted }) => (this.#own || id !== this.#store.me?.id) && !deleted && !taken.has(username);
    this.#found = word === "" ? [] : [...new Map(all.map((user) => [user.id, user])).values()].filter(wanted).slice(0, MOST);
    // The whole name is there already.
    if (this.#found.length === 1 && this.#found[0].username === word) this.#found = [];
    this.#at = -1;
    this.#draw();
  }

  #draw() {
    const open = this.#found.length > 0;
    this.#list.hidden = !open;
    this.#input.setAttribute("aria-expanded", String(open));
    this.#list.replaceChildren(...this.#found.map((user, n) =>
      el("li", { role: "option", id: `${this.#input.id}-suggestion-${n}`, "aria-selected": String(n === this.#at) }, face(user), el("bdi", { class: "mention-name" }, nameOf(user)), el("bdi", { class: "soft" }, `@${user.username}`))));
    if (open && this.#at >= 0) this.#input.setAttribute("aria-activedescendant", `${this.#input.id}-suggestion-${this.#at}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (this.#found.length === 0 || isComposing(event)) return;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step) {
      this.#at = (this.#at + step + this.#found.length + (this.#at < 0 && step < 0 ? 1 : 0)) % this.#found.length;
      this.#draw();
      this.#list.children[this.#at].scrollIntoView({ block: "nearest" });
    } else if (["Enter", "Tab"].includes(event.key) && this.#at >= 0) this.#pick(this.#at);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #pick(n) {
    const { from } = this.#word;
    this.#store.meet([this.#found[n]]);
    this.#input.value = `${this.#input.value.slice(0, from)}${this.#found[n].username}`;
    this.close();
    this.#input.focus();
    this.#input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

/** Suggests people at the inputs that the page always has. */
export const suggestAt = (tideline, store, people) => ["#new-people", "#contacts-name"].map((where) => new Suggest(tideline, store, people, $(where)));

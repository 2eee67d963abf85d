// The search in the open conversation: a pane beside it, or above it where there is no room.

import { $, isComposing } from "./dom.js";
import { arrows, Finder } from "./finder.js";

/** Where the pane covers the conversation; see app.css. */
const covers = matchMedia("(max-width: 75rem)");

export class Within {
  #store;
  #uncovered;
  #finder;
  #id = null;
  #back = null;
  #root = $("#here");
  #input = $("#here-input");
  #button = $("#here-button");

  /** `jump` goes to a message of the conversation, and marks what was found in it; `uncovered` is called when the messages are visible again. */
  constructor(tideline, store, contacts, { jump, uncovered }) {
    this.#store = store;
    this.#uncovered = uncovered;
    this.#finder = new Finder(tideline, store, contacts, {
      name: "here",
      input: this.#input,
      scope: () => this.#id,
      people: () => store.members(this.#id),
      end: () => this.close(),
      go: (found) => {
        this.fold();
        jump(found.message.seq, found);
      },
    });
    arrows(this.#input, this.#root, ".found-row");
    store.on("features", () => this.#offer());
    this.#button.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
    $("#here-close").addEventListener("click", () => this.close());
    this.#root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      event.stopPropagation();
      event.preventDefault();
      this.close();
    });
  }

  #offer() {
    this.#button.hidden = !this.#store.features.has("search");
    if (this.#button.hidden) this.close();
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  /** Whether the messages are not visible behind it. */
  get isCovering() {
    return this.isOpen && covers.matches;
  }

  /** Another conversation is open, or none. */
  begin(id) {
    if (this.isOpen) this.#show(false);
    this.#id = id;
    this.#finder.clear();
    this.#back = null;
    this.#offer();
  }

  #show(shown) {
    this.#root.hidden = !shown;
    this.#button.setAttribute("aria-expanded", String(shown));
    if (!shown) this.#uncovered();
  }

  /** Makes room for the messages. The search goes on when it is opened again. */
  fold() {
    if (this.isCovering) this.#show(false);
  }

  open() {
    if (!this.#id || this.#button.hidden) return;
    if (!this.isOpen) this.#back = document.activeElement;
    this.#show(true);
    if (this.#finder.resume()) return;
    this.#input.focus();
    this.#input.select();
  }

  /** Ends the search. The focus returns to where it was. */
  close() {
    if (!this.isOpen) return;
    const inside = this.#root.contains(document.activeElement);
    this.#show(false);
    this.#finder.clear();
    if (inside) (this.#back?.isConnected && this.#back.checkVisibility?.() !== false && this.#back !== document.body ? this.#back : this.#button).focus();
    this.#back = null;
  }
}

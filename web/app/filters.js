// The filters of a search: a small panel with a person, a kind and two days, and each of them as a button that removes it.

import { $, el, icon, isComposing, say } from "./dom.js";
import { explain } from "./errors.js";
import { field } from "./forms.js";
import { nameOf } from "./format.js";
import { findPeople } from "./new.js";
import { Suggest } from "./suggest.js";
import { locale, t } from "./texts.js";

/** What the server is asked for, by the choices of the panel. */
const KINDS = { text: { kind: "text" }, media: { kind: ["image", "video"] }, links: { has: "link" }, files: { kind: "file" } };
const NONE = { person: null, kind: "", from: "", to: "" };
const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });

/** Midnight of a day of a date input, in the person's own time; `later` days after it. */
function midnight(value, later = 0) {
  const [year, month, date] = value.split("-").map(Number);
  return new Date(year, month - 1, date + later);
}

export class Filters {
  #tideline;
  #store;
  #name;
  #values = { ...NONE };
  #changed;
  #button;
  #panel;
  #chips;
  #person;

  /** `name` begins the ids of the elements. `people` are those to suggest beside contacts; `changed` is called after a change. */
  constructor(tideline, store, contacts, name, { people, changed }) {
    this.#tideline = tideline;
    this.#store = store;
    this.#name = name;
    this.#changed = changed;
    [this.#button, this.#panel, this.#chips] = ["filter", "filters", "chips"].map((part) => $(`#${name}-${part}`));
    const kinds = [["", t("search.kind.all")], ...Object.keys(KINDS).map((kind) => [kind, t(`search.kind.${kind}`)])];
    this.#panel.append(
      field({ id: `${name}-person`, text: t("search.person"), autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": `${name}-person-error` }),
      el("p", { class: "error", id: `${name}-person-error`, role: "alert", hidden: true }),
      field({ id: `${name}-kind`, text: t("search.kind"), options: kinds }),
      el("div", { class: "days" }, field({ id: `${name}-from`, text: t("search.from"), type: "date" }), field({ id: `${name}-to`, text: t("search.to"), type: "date" })),
    );
    this.#person = $(`#${name}-person`);
    new Suggest(tideline, store, contacts, this.#person, { also: people, own: true });
    this.#person.addEventListener("change", () => this.#choose());
    this.#person.addEventListener("keydown", (event) => event.key === "Enter" && !isComposing(event) && !event.defaultPrevented && this.#choose());
    for (const part of ["kind", "from", "to"]) $(`#${name}-${part}`).addEventListener("change", ({ target }) => this.#set(part, target.value));
    this.#button.addEventListener("click", () => this.#show(this.#panel.hidden));
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      event.stopPropagation();
      this.#show(false);
      this.#button.focus();
    });
  }

  #show(shown) {
    this.#panel.hidden = !shown;
    this.#button.setAttribute("aria-expanded", String(shown));
    if (shown) this.#person.focus();
  }

  /** Removes all filters. */
  clear() {
    this.#values = { ...NONE };
    for (const part of ["person", "kind", "from", "to"]) $(`#${this.#name}-${part}`).value = "";
    say($(`#${this.#name}-person-error`), null);
    this.#show(false);
    this.draw();
  }

  /** The filters as those of `searchMessages`. With `alone` they need no words beside them; times do, except in one conversation. */
  get query() {
    const { person, kind, from, to } = this.#values;
    return {
      alone: Boolean(person || kind),
      timed: Boolean(from || to),
      filters: { ...(person && { sender_id: person.id }), ...KINDS[kind], ...(from && { from: midnight(from) }), ...(to && { to: midnight(to, 1) }) },
    };
  }

  #set(part, value) {
    this.#values[part] = value;
    this.draw();
    this.#changed();
  }

  async #choose() {
    const error = $(`#${this.#name}-person-error`);
    const name = this.#person.value.trim().toLowerCase().replace(/^@/, "");
    say(error, null);
    if (!name) return;
    try {
      const known = [...this.#store.people.values()].find(({ username }) => username === name);
      const person = known ?? (await findPeople(this.#tideline, name))[0];
      // Chosen or changed meanwhile.
      if (this.#person.value.trim().toLowerCase().replace(/^@/, "") !== name) return;
      this.#store.meet([person]);
      this.#person.value = "";
      this.#set("person", person);
    } catch (problem) {
      say(error, explain(problem));
    }
  }

  draw() {
    const { person, kind, from, to } = this.#values;
    const shown = [
      ...(person ? [["person", person.id === this.#store.me?.id ? t("search.by.you") : t("search.by", { name: nameOf(this.#store.people.get(person.id) ?? person) })]] : []),
      ...(kind ? [["kind", t(`search.kind.${kind}`)]] : []),
      ...(from ? [["from", t("search.since", { day: day.format(midnight(from)) })]] : []),
      ...(to ? [["to", t("search.until", { day: day.format(midnight(to)) })]] : []),
    ];
    this.#button.classList.toggle("is-on", shown.length > 0);
    this.#chips.hidden = shown.length === 0;
    const seen = JSON.stringify(shown);
    if (this.#chips.dataset.seen === seen) return;
    this.#chips.dataset.seen = seen;
    this.#chips.replaceChildren(...shown.map(([part, words]) =>
      el("li", {}, el("button", { type: "button", class: "chip", "aria-label": t("search.remove", { filter: words }), onclick: () => this.#remove(part) }, el("bdi", {}, words), icon("close")))));
  }

  #remove(part) {
    if (part !== "person") $(`#${this.#name}-${part}`).value = "";
    this.#set(part, NONE[part]);
    ($("button", this.#chips) ?? this.#button).focus();
  }
}

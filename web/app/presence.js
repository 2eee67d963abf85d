// Who is online: whom this page shows, what is known of them, and whether the person is active here.

import { $, el, paced } from "./dom.js";
import { ago } from "./format.js";
import { t } from "./texts.js";

/** The most people that are asked for: first those on the screen. */
const SHOWN = 100;
/** So long after the last input, or after the page was hidden, the person is away. */
const IDLE_MS = 300_000;
const HIDDEN_MS = 60_000;
const LOOK_MS = 10_000;
const INPUTS = ["pointermove", "pointerdown", "keydown", "wheel"];

/** What is known of people, by id. */
const known = new Map();

/** `online`, `away`, `busy` or `offline`; null: it is not known, or may not be seen. */
export const stateOf = (user) => {
  const { state = "unknown" } = known.get(user?.id) ?? {};
  return state === "unknown" || user.deleted ? null : state;
};

/** A picture with a dot at it. The dot has a form for each state; `presenceWords` says the same. */
export function dotted(user, picture) {
  const state = stateOf(user);
  const dot = state && state !== "offline" ? el("span", { class: "presence-dot", "data-state": state, "aria-hidden": "true" }) : null;
  return el("span", { class: "dotted" }, picture, dot);
}

/** The state of a person as text, or when the person was last seen; null: nothing is known. */
export function presenceWords(user) {
  const state = stateOf(user);
  const { last_seen_at: seen } = known.get(user?.id) ?? {};
  if (!state) return null;
  return state === "offline" && seen ? t("presence.seen", { time: ago(seen) }) : t(`presence.${state}`);
}

/** For a screen reader: what the dot shows. */
export function spokenDot(user) {
  const state = stateOf(user);
  return state && state !== "offline" ? el("span", { class: "sr-only" }, ` ${t(`presence.${state}`)}`) : null;
}

export class Presence {
  #tideline;
  #store;
  #people;
  #first;
  #views = new Set();
  #watched = "";
  /** When the person was last active here. */
  #activeAt = Date.now();

  /** `first` returns the ids of the people on the screen. */
  constructor(tideline, store, people, first) {
    this.#tideline = tideline;
    this.#store = store;
    this.#people = people;
    this.#first = first;
    tideline.on("presence", ({ presences }) => {
      for (const one of presences) known.set(one.user_id, one);
      this.#draw();
    });
    tideline.on("users", ({ users }) => store.meet(users));
    for (const name of ["conversations", "blocked"]) store.on(name, () => this.look());
    people.on(() => this.look());
    for (const name of INPUTS) document.addEventListener(name, () => this.#touched(), { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => this.#touched());
    setInterval(() => this.#judge(), LOOK_MS);
    this.#judge();
  }

  /** The view is called on every change. */
  on(view) {
    this.#views.add(view);
  }

  #draw = paced(() => {
    for (const view of this.#views) view();
  });

  /** Other people may be on the screen. */
  look = paced(() => {
    if (!this.#store.me) return;
    const { contacts } = this.#people;
    const peers = this.#store.sorted.map(({ peer }) => peer?.id);
    const ids = [...this.#first(), ...($("#contacts-dialog").open ? contacts.keys() : []), ...peers, ...contacts.keys()];
    const shown = [...new Set(ids)].filter((id) => id && id !== this.#store.me.id && !this.#store.blocked.has(id)).slice(0, SHOWN);
    const wake = this.#isActive;
    const seen = [wake, ...[...shown].sort()].join();
    if (seen === this.#watched) return;
    this.#watched = seen;
    // Of others nothing more comes.
    for (const id of known.keys()) if (!shown.includes(id)) known.delete(id);
    this.#tideline.watchPresence(shown, { wake });
    this.#draw();
  }, 500);

  forget() {
    known.clear();
    this.#watched = "";
    this.#tideline.watchPresence([]);
  }

  get #isActive() {
    return Date.now() - this.#activeAt < (document.visibilityState === "hidden" ? HIDDEN_MS : IDLE_MS);
  }

  #touched() {
    const was = this.#isActive;
    this.#activeAt = Date.now();
    if (!was) this.#judge();
  }

  /** A change of presence ends a wait only while somebody looks. */
  #judge() {
    this.#tideline.setActivity(this.#isActive ? "active" : "idle");
    this.look();
  }
}

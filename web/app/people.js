// The person's contacts, and the requests to become friends, as the events of the SDK bring them.

import { announce } from "./announce.js";
import { now } from "./dates.js";
import { aliases, nameOf } from "./format.js";
import { t } from "./texts.js";

/** How often people who are shown are read again, while the page is visible. */
const REVISE_MS = 300_000;
/** Not more often than this when the page becomes visible. */
const PAUSE_MS = 60_000;
/** The people of the conversations with the latest activity. */
const REVISED = 100;

export class People {
  contacts = new Map();
  /** Whether the contacts have arrived. A server of an earlier version has none. */
  ready = false;
  #requests = new Map();
  #views = new Set();
  #tideline;
  #store;
  #revised = Date.now();

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    tideline.on("contacts", (all) => this.#all(all));
    tideline.on("contact", ({ user_id, contact }) => (contact ? this.put(contact) : this.drop(user_id)));
    tideline.on("contact_request", ({ user_id, request }) => this.#request(user_id, request));
    document.addEventListener("visibilitychange", () => this.#revise(PAUSE_MS));
    // A status ends at its time, without an event.
    setInterval(() => {
      this.#store.redraw();
      this.#tell();
      this.#revise(REVISE_MS);
    }, 60_000);
  }

  /** The view is called on every change. */
  on(view) {
    this.#views.add(view);
  }

  #tell() {
    for (const view of this.#views) view();
  }

  #changed() {
    this.#store.redraw();
    this.#tell();
  }

  forget() {
    for (const map of [this.contacts, this.#requests, aliases]) map.clear();
    this.ready = false;
    this.#tell();
  }

  #revise(pause) {
    if (document.visibilityState === "hidden" || !this.#store.ready || Date.now() - this.#revised < pause) return;
    this.#revised = Date.now();
    const peers = this.#store.sorted.map(({ peer }) => peer?.id).filter(Boolean);
    this.#store.revise(peers.slice(0, REVISED)).catch(() => {});
  }

  /** The requests that are pending: `in`, those of others; `out`, those of the person. The newest first. */
  pending(direction) {
    const all = [...this.#requests.values()].filter((one) => one.direction === direction && one.state === "pending" && new Date(one.expires_at) > now());
    return all.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  }

  requestOf(direction, id) {
    return this.pending(direction).find(({ user }) => user.id === id) ?? null;
  }

  #all({ contacts, requests }) {
    this.contacts = new Map(contacts.map((contact) => [contact.user.id, contact]));
    this.#requests = new Map(requests.map((request) => [`${request.direction} ${request.user.id}`, request]));
    aliases.clear();
    for (const { user, alias } of contacts) if (alias) aliases.set(user.id, alias);
    this.#store.meet([...contacts, ...requests].map(({ user }) => user));
    this.ready = true;
    this.#changed();
  }

  /** A contact as it is now: from an event, or the response to a change. */
  put(contact) {
    const { user, alias, state } = contact;
    this.contacts.set(user.id, contact);
    if (alias) aliases.set(user.id, alias);
    else aliases.delete(user.id);
    // All requests of two friends are gone.
    if (state === "friend") for (const direction of ["in", "out"]) this.#requests.delete(`${direction} ${user.id}`);
    this.#store.meet([user]);
    this.#changed();
  }

  drop(id) {
    this.contacts.delete(id);
    aliases.delete(id);
    this.#changed();
    // The person may have been erased.
    this.#store.revise([id]).catch(() => {});
  }

  /** The request of the two as it is now. */
  #request(id, request) {
    const known = this.requestOf("in", id);
    this.end(id);
    if (!request) return;
    this.asked(request);
    if (!known && request.direction === "in" && request.state === "pending") announce(t("requests.announce", { name: nameOf(request.user) }));
  }

  /** A request as it is now: from an event, or the response to it. */
  asked(request) {
    this.#requests.set(`${request.direction} ${request.user.id}`, request);
    this.#store.meet([request.user]);
    this.#changed();
  }

  /** There are no requests of the two any more. */
  end(id) {
    for (const direction of ["in", "out"]) this.#requests.delete(`${direction} ${id}`);
    this.#changed();
  }

  // What the person does. The entries report it as well; the view does not wait for them.

  /** Takes the response to a request, unless another person has logged in. */
  async #after(request, take) {
    const user = this.#store.me?.id;
    const response = await request;
    if (this.#store.me?.id === user) take(response);
    return response;
  }

  /** Puts a person on the list, or changes what is noted. */
  note(id, notes) {
    return this.#after(this.#tideline.putContact(id, notes), (contact) => this.put(contact));
  }

  remove(id) {
    return this.#after(this.#tideline.removeContact(id), () => this.drop(id));
  }

  /** Asks a person to become friends. They are, if the person has asked before. */
  async ask(id, message) {
    const request = await this.#after(this.#tideline.requestContact(id, { message }), (request) => request.state === "pending" && this.asked(request));
    if (request.state === "accepted") await this.#after(this.#tideline.getContact(id), (contact) => this.put(contact));
  }

  accept(id) {
    return this.#after(this.#tideline.acceptContact(id), (contact) => this.put(contact));
  }

  decline(id) {
    return this.#after(this.#tideline.declineContact(id), () => this.end(id));
  }

  cancel(id) {
    return this.#after(this.#tideline.cancelContact(id), () => this.end(id));
  }

  /** The conversation with a person. */
  async conversationWith(id) {
    const known = [...this.#store.conversations.values()].find(({ peer }) => peer?.id === id);
    if (known) return known;
    return this.#after(this.#tideline.createDirect(id), (conversation) => this.#store.conversations.has(conversation.id) || this.#store.put(conversation));
  }
}

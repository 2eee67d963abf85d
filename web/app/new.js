// Starting a conversation: with one person, a group or a channel; or joining an existing channel.

import { uuidv7 } from "../tideline.js";
import { $, $$, busy, open, say, toast } from "./dom.js";
import { Complaint, explain } from "./errors.js";
import { listed, nameOf } from "./format.js";
import { t } from "./texts.js";

/** The people with these usernames, in the order of the list; the error names the unknown ones. */
export async function findPeople(tideline, text) {
  const names = [...new Set(text.toLowerCase().split(/[\s,;]+/).map((name) => name.replace(/^@/, "")).filter(Boolean))];
  if (names.length === 0) throw new Complaint(t("new.nobody"));
  const people = await Promise.all(names.map((username) => tideline.findUser(username)));
  const unknown = names.filter((_, n) => !people[n]);
  if (unknown.length > 0) throw new Complaint(t("new.unknown", { names: unknown.map((name) => t("new.unknown.name", { name })).join(", ") }));
  return people;
}

/** Says which of these people were not added. */
export function refusedOf(ids, people) {
  const names = ids.map((id) => nameOf(people.find((user) => user.id === id)));
  return t("details.refused", { names: listed(names) });
}

export class New {
  #tideline;
  #store;
  #go;
  #clientId = null;
  /** Aborted when the dialog closes: work that was started in it is dropped then. */
  #opening = null;

  /** `go` opens a conversation. */
  constructor(tideline, store, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#go = go;
    for (const radio of $$("#new-form [name=kind]")) radio.addEventListener("change", () => this.#dress());
    $("#new-form").addEventListener("input", () => this.#identify());
    $("#new-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const { signal } = this.#opening;
      busy($("#new-submit"), () => this.#submit(signal), signal);
    });
    $("#new-dialog").addEventListener("close", () => this.#opening.abort());
  }

  show() {
    $("#new-form").reset();
    this.#identify();
    this.#opening = new AbortController();
    this.#dress();
    open($("#new-dialog"));
    $("#new-people").focus();
  }

  /** One input is one group or channel, however often it is sent; changed input is another one. */
  #identify() {
    this.#clientId = uuidv7();
  }

  get #kind() {
    return $("#new-form").elements.kind.value;
  }

  #dress() {
    const kind = this.#kind;
    const titled = kind === "group" || kind === "channel";
    $("#new-title-field").hidden = !titled;
    $("#new-title-label").textContent = titled ? t(`new.${kind}.title`) : "";
    $("#new-people-label").textContent = t(`new.${kind}.people`);
    $("#new-people-help").textContent = t(`new.${kind}.help`);
    $("#new-open-field").hidden = kind !== "channel";
    $("#new-submit").textContent = t(`new.${kind}.submit`);
    say($("#new-error"), null);
  }

  async #submit(signal) {
    say($("#new-error"), null);
    try {
      const values = Object.fromEntries(new FormData($("#new-form")));
      const conversation = this.#kind === "join" ? await this.#join(values.people) : await this.#make(values, signal);
      if (signal.aborted) return;
      if (!this.#store.conversations.has(conversation.id)) this.#store.put(conversation);
      $("#new-dialog").close();
      this.#go(conversation.id);
      if (conversation.refused?.length > 0) toast(refusedOf(conversation.refused, [...this.#store.people.values()]));
    } catch (error) {
      if (!signal.aborted) say($("#new-error"), explain(error));
    }
  }

  async #make({ kind, title, people, open }, signal) {
    const found = kind !== "direct" && !people.trim() ? [] : await findPeople(this.#tideline, people);
    // The dialog is closed: create nothing more.
    signal.throwIfAborted();
    const ids = found.map(({ id }) => id);
    this.#store.meet(found);
    if (kind === "direct") {
      if (ids.length > 1) throw new Complaint(t("new.several"));
      return this.#tideline.createDirect(ids[0]);
    }
    if (!title.trim()) throw new Complaint(t(`new.${kind}.untitled`));
    const made = { title: title.trim(), member_ids: ids.filter((id) => id !== this.#store.me.id), client_conversation_id: this.#clientId };
    return kind === "group" ? this.#tideline.createGroup(made) : this.#tideline.createChannel({ ...made, public: open === "on" });
  }

  async #join(text) {
    const [id] = text.toLowerCase().match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) ?? [];
    if (!id) throw new Complaint(t("new.id"));
    try {
      return await this.#tideline.join(id);
    } catch (error) {
      // It is not a channel, or not public, or the person is a member of it already and may not add people.
      if (error.status === 403 || error.status === 404) throw new Complaint(t("new.private"));
      throw error;
    }
  }
}

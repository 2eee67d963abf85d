// Who types: what the user does here is sent to the server, and what waits say about others becomes events.
//
// A wait names the conversations that the application watches, each with the mark of what was said last. Nothing of this is stored.

import { uuid } from "./ids.js";

/** While the user types, it is sent again after this time. */
const REPEAT_MS = 5_000;
/** Without a repeat the server ends it after this time. */
const ENDS_MS = 8_000;
/** The server drops a request less than 2 s after another one, by its own clock. */
const PAUSE_MS = 2_500;
/** The most conversations of one wait. */
const WATCHED = 4;

export class Typing {
  #core;
  /** Whether the server tells who types. */
  exist = true;
  /** When it was sent last that the user types, and whether it still holds, by conversation. */
  #sent = new Map();
  /** The others that type, by conversation, and the mark of the signal that said so. */
  #others = new Map();

  constructor(core) {
    this.#core = core;
  }

  /** The user types in a conversation, or no longer: as often as the application likes. */
  note(id, typing) {
    id = uuid(id);
    const { at = -Infinity, holds = false } = this.#sent.get(id) ?? {};
    const age = Date.now() - at;
    if (typing ? age < (holds ? REPEAT_MS : PAUSE_MS) : !holds || age >= ENDS_MS) return;
    this.#sent.set(id, { at: typing ? Date.now() : at, holds: typing });
    this.#core.spawn(this.#core.session.call("PUT", `/v1/conversations/${id}/typing`, { body: { typing }, repeat: "never" }));
  }

  /** A message ends it on the server too. */
  sent(id) {
    const sent = this.#sent.get(id);
    if (sent) sent.holds = false;
  }

  /** The conversations of a wait. */
  asked() {
    const ids = this.exist ? this.#core.timelines.shown.slice(0, WATCHED) : [];
    for (const id of this.#others.keys()) if (!ids.includes(id)) this.#others.delete(id);
    return ids.map((id) => `${id}:${this.#others.get(id)?.mark ?? "0"}`);
  }

  /** The signals of a wait. */
  take(signals) {
    for (const { conversation_id, user_ids, mark } of signals ?? []) {
      this.#others.set(conversation_id, { user_ids, mark });
      this.#tell(conversation_id, user_ids);
    }
  }

  /** For a tab that has begun to watch these conversations. */
  tellAgain(ids) {
    for (const id of ids) if (this.#others.has(id)) this.#core.tabs.post({ type: "typing", conversation_id: id, user_ids: this.#others.get(id).user_ids });
  }

  /** For this tab, when it begins to watch what another one does already. */
  tellHere(id) {
    const { user_ids } = this.#others.get(id) ?? {};
    if (this.#core.tabs.leader && user_ids?.length > 0) this.#core.emit("typing", { conversation_id: id, user_ids });
  }

  #tell(conversation_id, user_ids) {
    if (this.#core.tabs.leader) this.#core.tabs.post({ type: "typing", conversation_id, user_ids });
    this.#core.emit("typing", { conversation_id, user_ids });
  }

  /** A message has arrived: its sender types no longer. The signal that says so comes later. */
  arrived({ conversation_id: id, sender_id }) {
    const others = this.#others.get(id);
    if (!others?.user_ids.includes(sender_id)) return;
    others.user_ids = others.user_ids.filter((user) => user !== sender_id);
    this.#tell(id, others.user_ids);
  }

  /** The leader has the users who type. */
  receive({ conversation_id, user_ids }) {
    this.#others.set(conversation_id, { user_ids, mark: "0" });
    this.#core.emit("typing", { conversation_id, user_ids });
  }

  /** Without a connection nobody knows who types. */
  clear() {
    this.#sent.clear();
    const shown = [...this.#others].filter(([, { user_ids }]) => user_ids.length > 0);
    this.#others.clear();
    for (const [conversation_id] of shown) this.#core.emit("typing", { conversation_id, user_ids: [] });
  }
}

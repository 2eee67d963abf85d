// What somebody has begun to write, per conversation: it outlives a reload, and ends with the session.

import { recall, remember, remembered } from "./settings.js";

export class Drafts {
  #user = null;

  /** Of this person from now on. What others left behind, whose session ended while no page was open, goes. */
  begin(user) {
    this.#user = user;
    for (const name of remembered("draft.")) if (!name.startsWith(`draft.${user}.`)) remember(name, null);
  }

  get(conversation) {
    return recall(`draft.${this.#user}.${conversation}`) ?? "";
  }

  set(conversation, text) {
    if (this.#user) remember(`draft.${this.#user}.${conversation}`, text || null);
  }

  /** In another tab the next person may write already: only one's own go. */
  end() {
    for (const name of remembered(`draft.${this.#user}.`)) remember(name, null);
    this.#user = null;
  }
}

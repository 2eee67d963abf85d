// What somebody has begun to write, per conversation: it outlives a reload, and a session that the server ends. It is shown
// to its writer only, and goes when they sign out.

import { recall, remember, remembered } from "./settings.js";

export class Drafts {
  #user = null;

  /** Of this person from now on. Those of others stay for them, as what they have not sent does. */
  begin(user) {
    this.#user = user;
  }

  get(conversation) {
    return recall(`draft.${this.#user}.${conversation}`) ?? "";
  }

  set(conversation, text) {
    if (this.#user) remember(`draft.${this.#user}.${conversation}`, text || null);
  }

  /** `left` when its person has signed out. In another tab the next person may write already: only one's own go. */
  end(left) {
    if (left) for (const name of remembered(`draft.${this.#user}.`)) remember(name, null);
    this.#user = null;
  }
}

// Unsent text per conversation. It survives a reload and a session that the server ends. It is shown only to its writer, and
// deleted when they sign out.

import { recall, remember, remembered } from "./settings.js";

export class Drafts {
  #user = null;

  /** Shows the drafts of this person from now on. Drafts of others stay stored for them, like their unsent messages. */
  begin(user) {
    this.#user = user;
  }

  get(conversation) {
    return recall(`draft.${this.#user}.${conversation}`) ?? "";
  }

  set(conversation, text) {
    if (this.#user) remember(`draft.${this.#user}.${conversation}`, text || null);
  }

  /** `left` when its person has signed out. The next person may already write in another tab: only this person's are deleted. */
  end(left) {
    if (left) for (const name of remembered(`draft.${this.#user}.`)) remember(name, null);
    this.#user = null;
  }
}

// Unsent text per conversation. It survives a reload and a session that the server ends, and follows the person to other devices. It
// is shown only to its writer, and deleted here when they log out.
//
// Two texts are stored in this browser: the present one, and the one that the server has. While they differ, the text was written
// here, and a draft of another device does not replace it. They are one value, so that another tab sees both of them or none.

import { recall, remember, remembered } from "./settings.js";

/** A logout waits this long for what is not stored on the server yet. */
const LAST_MS = 3_000;

export class Drafts {
  #user = null;
  #tideline;
  #views = [];
  /** Whether the server stores drafts. */
  #stores = false;
  /** The last `load`. */
  #loaded = null;
  /** What the server does not have yet. */
  #pending = new Set();
  /** The texts by conversation: the list asks for each at every draw. */
  #texts = new Map();

  constructor(tideline) {
    this.#tideline = tideline;
    // A message that is refused does not make its draft void.
    tideline.on("send", ({ state, item }) => state === "failed" && this.#put(item.conversation_id));
    tideline.on("draft_changed", ({ conversation_id, content }) => this.#came(conversation_id, content?.text ?? ""));
    // Written or sent in another tab.
    window.addEventListener("storage", ({ key }) => {
      if (key !== null && !key.includes(".draft.")) return;
      this.#texts.clear();
      if (key) this.#yield(key.split(".").at(-1));
      this.#changed();
    });
  }

  /** `view` is called when a text was changed elsewhere. */
  on(view) {
    this.#views.push(view);
  }

  /** Another tab has another text: that tab stores it, and what this tab has not stored yet must not replace it. */
  #yield(conversation) {
    const { drafts } = this.#tideline;
    if (drafts.isPending(conversation) && (drafts.get(conversation)?.text ?? "") !== this.get(conversation)) drafts.sent(conversation);
  }

  #changed() {
    for (const view of this.#views) view();
  }

  /** Shows the drafts of this person from now on. Drafts of others stay stored for them, like their unsent messages. */
  begin(user) {
    this.#user = user;
    this.#texts.clear();
    this.#stores = false;
  }

  /** The server stores drafts: those of other devices come, and those that were written here meanwhile go. */
  load() {
    return (this.#loaded = this.#load());
  }

  async #load() {
    const user = this.#user;
    const drafts = await this.#tideline.drafts.load();
    if (user !== this.#user) return;
    this.#stores = true;
    const found = new Map(drafts.map(({ conversation_id, content }) => [conversation_id, typeof content.text === "string" ? content.text : ""]));
    const known = remembered(`draft.${user}.`).map((name) => name.split(".").at(-1));
    for (const id of new Set([...found.keys(), ...known])) if (!this.#came(id, found.get(id) ?? "")) this.#put(id);
  }

  get(conversation) {
    if (!this.#texts.has(conversation)) this.#texts.set(conversation, this.#both(conversation).text);
    return this.#texts.get(conversation);
  }

  /** The present text, and the one that the server has. Another tab may have written them just now. */
  #both(conversation) {
    try {
      const [text, stored] = JSON.parse(recall(`draft.${this.#user}.${conversation}`));
      return { text, stored };
    } catch {
      return { text: "", stored: "" };
    }
  }

  #keep(conversation, text, stored) {
    this.#texts.set(conversation, text);
    remember(`draft.${this.#user}.${conversation}`, text || stored ? JSON.stringify([text, stored]) : null);
  }

  set(conversation, text) {
    if (!this.#user || text === this.get(conversation)) return;
    this.#keep(conversation, text, this.#both(conversation).stored);
    this.#put(conversation);
  }

  /** The text is sent: the message makes the stored draft void. */
  sent(conversation) {
    if (!this.#user) return;
    this.#keep(conversation, "", "");
    if (this.#stores) this.#tideline.drafts.sent(conversation);
  }

  /** A message without the text is sent. It makes the stored draft void, and the text is stored again. */
  stays(conversation) {
    const text = this.get(conversation);
    if (!this.#user || !text) return;
    this.#keep(conversation, text, "");
    this.#put(conversation);
  }

  #put(conversation) {
    if (!this.#stores || !this.#user) return;
    const user = this.#user;
    const text = this.get(conversation);
    const stored = () => {
      if (this.#user !== user || this.#both(conversation).text !== text) return;
      this.#keep(conversation, text, text);
      // Another device may have stored a later one since.
      this.#came(conversation, this.#tideline.drafts.get(conversation)?.text ?? "");
    };
    const pending = this.#tideline.drafts.set(conversation, text ? { text } : null).then(stored, () => {}).finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }

  /** Before a logout: waits until the server has what was written here. */
  async settle() {
    const all = async () => {
      await this.#loaded;
      await Promise.all(this.#pending);
    };
    await Promise.race([all().catch(() => {}), new Promise((resolve) => setTimeout(resolve, LAST_MS))]);
  }

  /** The server has another text. It replaces the one here, unless that was written here since: then false. */
  #came(conversation, came) {
    if (!this.#user) return true;
    const { text, stored } = this.#both(conversation);
    // Another tab may write at this moment: a value that stays is not written again.
    if (text === came && stored === came) return true;
    const own = text !== stored;
    this.#keep(conversation, own ? text : came, came);
    if (!own) this.#changed();
    return !own || text === came;
  }

  /** `left` when its person has logged out. The next person may already write in another tab: only this person's are deleted. */
  end(left) {
    if (left) for (const name of remembered(`draft.${this.#user}.`)) remember(name, null);
    this.#user = null;
    this.#texts.clear();
    this.#stores = false;
  }
}

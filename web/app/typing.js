// Who types in the open conversation.

import { $ } from "./dom.js";
import { listed, nameOf } from "./format.js";
import { t } from "./texts.js";

/** More names than this are only counted. */
const NAMED = 2;

export class Typing {
  #tideline;
  #store;
  #id = null;
  #ids = [];

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    tideline.on("typing", ({ conversation_id, user_ids }) => {
      if (conversation_id !== this.#id) return;
      this.#ids = user_ids;
      store.know(user_ids);
      this.#draw();
    });
    store.on("people", () => this.#draw());
    $("#text").addEventListener("blur", () => this.#sent(false));
  }

  open(id) {
    this.#id = id;
    this.#ids = [];
    this.#draw();
  }

  close() {
    this.#sent(false);
    this.open(null);
  }

  /** The text was changed by the person. */
  wrote(text) {
    this.#sent(text !== "");
  }

  #sent(typing) {
    const conversation = this.#store.conversations.get(this.#id);
    const { features, typingMembers } = this.#store;
    if (!conversation || conversation.kind === "channel" || !features.has("typing") || conversation.member_count > typingMembers) return;
    this.#tideline.typing(this.#id, typing);
  }

  #draw() {
    const ids = this.#ids.filter((id) => id !== this.#store.me?.id && !this.#store.blocked.has(id));
    const names = ids.map((id) => nameOf(this.#store.people.get(id)));
    const words = names.length === 0 ? "" : names.length > NAMED ? t("typing.many", { count: names.length }) : t(names.length === 1 ? "typing.one" : "typing.some", { names: listed(names) });
    // A screen reader says each change.
    if ($("#typing").textContent !== words) $("#typing").textContent = words;
  }
}

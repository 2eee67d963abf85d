// How the person arranges a conversation for themselves: pinned, archived, hidden, its notifications, a mark, a cleared history.

import { $, confirm, menu, toast } from "./dom.js";
import { explain } from "./errors.js";
import { titleOf } from "./format.js";
import { t } from "./texts.js";

export class Arrange {
  #tideline;
  #store;
  #chat;
  #rename;

  /** `chat` is the open conversation; `rename` shows where it gets the person's own name. */
  constructor(tideline, store, chat, rename) {
    this.#tideline = tideline;
    this.#store = store;
    this.#chat = chat;
    this.#rename = rename;
    $("#arrange-button").addEventListener("click", ({ currentTarget }) => menu(currentTarget, this.#items(), currentTarget));
  }

  #items() {
    const { id } = this.#chat;
    const { kind, last_seq, me } = this.#store.conversations.get(id);
    const { pinned, archived, notify } = me.settings;
    const set = (change, said) => () => this.#act(async () => this.#store.arrange(id, await this.#tideline.updateSettings(id, change)), said);
    const level = notify?.level ?? "all";
    const levels = kind === "direct" ? ["all", "none"] : ["all", "mentions", "none"];
    return [
      { label: t(pinned ? "arrange.unpin" : "arrange.pin"), run: set({ pinned: !pinned }, pinned ? "arrange.unpinned" : "arrange.pinned") },
      { label: t(archived ? "arrange.unarchive" : "arrange.archive"), run: set({ archived: !archived }, archived ? "arrange.unarchived" : "arrange.archived") },
      { label: t("arrange.unread"), run: () => this.#markUnread(id) },
      { label: t("arrange.name"), run: () => this.#rename(id) },
      ...levels.map((one) => ({ label: t(`arrange.notify.${one}`), checked: one === level, run: set({ notify: one === "all" ? null : { level: one } }, `arrange.notified.${one}`) })),
      { label: t("arrange.hide"), run: () => this.#hide(id, last_seq) },
      { label: t("arrange.clear"), danger: true, run: () => this.#clear(id) },
    ];
  }

  async #act(work, said) {
    try {
      await work();
      if (said) toast(t(said));
      return true;
    } catch (error) {
      toast(explain(error));
      return false;
    }
  }

  async #markUnread(id) {
    const done = await this.#act(async () => {
      await this.#tideline.markUnread(id);
      this.#store.markUnread(id);
    });
    // An open conversation is read: it is closed.
    if (done && this.#chat.id === id) location.hash = "#/";
  }

  async #hide(id, hidden_through) {
    const done = await this.#act(async () => this.#store.arrange(id, await this.#tideline.updateSettings(id, { hidden_through })), "arrange.hidden");
    if (done && this.#chat.id === id) location.hash = "#/";
  }

  async #clear(id) {
    const conversation = this.#store.conversations.get(id);
    if (!(await confirm({ title: t("clear.ask", { title: titleOf(conversation) }), text: t("clear.text"), yes: t("clear.yes") }))) return;
    const { last_seq } = conversation;
    await this.#act(async () => {
      await this.#tideline.clearHistory(id, last_seq);
      this.#store.cleared(id, last_seq);
    });
  }
}

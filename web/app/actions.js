// What is done with a message. The server decides; actions that it would refuse are left out.

import { versionRow } from "./bubble.js";
import { now } from "./dates.js";
import { $, confirm, el, open, shut, toast } from "./dom.js";
import { explain } from "./errors.js";
import { isGone } from "./format.js";
import { t } from "./texts.js";

export class Actions {
  #tideline;
  #store;
  #chat;
  #info;
  /** The seq of the message whose versions are shown. */
  #versionsOf = null;

  /** `chat` has the `id`, what may be done in it (`mayWrite`), and its `composer`, `editing`, `reactions`, `pins`, `forward` and `log`. */
  constructor(tideline, store, chat, info) {
    this.#tideline = tideline;
    this.#store = store;
    this.#chat = chat;
    this.#info = info;
    $("#versions-dialog").addEventListener("close", () => (this.#versionsOf = null));
  }

  /** The actions for a message, as items of a menu. */
  of(message) {
    const { windows, me, features } = this.#store;
    const { kind, sender_id, seq } = message;
    if (kind === "hidden") return [];
    const mine = sender_id === me?.id;
    const gone = isGone(message);
    const recallable = !gone && ((mine && isOpen(message, windows.recall)) || this.#store.moderates(this.#chat.id, sender_id));
    // The message may have another state when an item is chosen.
    const item = (shown, label, run, danger) => (shown ? [{ label: t(label), run: () => run(this.#chat.log.find(seq) ?? message), danger }] : []);
    const { composer, editing, reactions, pins, forward, mayWrite } = this.#chat;
    const pinned = Boolean(message.pinned);
    return [
      ...item(!gone && mayWrite && features.has("replies"), "message.reply", (now) => isGone(now) || composer.replyTo(now)),
      ...item(this.mayReact(message), "reaction.add", () => reactions.pick(message, this.#buttonOf(seq))),
      ...item(forward.has(message), "message.forward", (now) => isGone(now) || forward.show(now)),
      ...item(!gone && pins.mayPin(this.#chat.id), pinned ? "message.unpin" : "message.pin", () => pins.set(message, !pinned)),
      ...item(this.isEditable(message), "message.edit", () => editing.begin(seq)),
      ...item(!gone && this.#info.has(message), this.#info.titleOf(message), () => this.#info.show(message)),
      ...item(features.has("settings"), "message.hide", () => this.#hide(message), true),
      ...item(recallable, "message.recall", () => this.#recall(message), true),
    ];
  }

  #buttonOf(seq) {
    return $(`#rows .row[data-seq="${seq}"] .row-menu`) ?? $("#log");
  }

  /** While a person is muted, the server refuses reactions. In a channel its readers react. */
  mayReact(message) {
    return Boolean(message.seq) && !isGone(message) && this.#store.features.has("reactions") && this.#chat.mayReact;
  }

  isEditable({ sender_id, kind, created_at, forward }) {
    return kind === "text" && !forward && sender_id === this.#store.me?.id && this.#chat.mayWrite && isOpen({ created_at }, this.#store.windows.edit);
  }

  async #recall({ conversation_id: id, seq }) {
    if (!(await confirm({ title: t("recall.ask"), text: t("recall.text"), yes: t("message.recall") }))) return;
    try {
      this.#store.change(await this.#tideline.recall(id, seq));
    } catch (error) {
      toast(explain(error));
    }
  }

  async #hide({ conversation_id: id, seq }) {
    if (!(await confirm({ title: t("hide.ask"), text: t("hide.text"), yes: t("message.hide") }))) return;
    try {
      await this.#tideline.hideMessages(id, [seq]);
      this.#store.hide(id, seq);
    } catch (error) {
      toast(explain(error));
    }
  }

  /** The newest version comes first. */
  async showVersions(message) {
    const { conversation_id: id, seq } = message;
    const list = $("#versions");
    this.#versionsOf = seq;
    list.replaceChildren(el("li", { class: "soft" }, t("noun.loading")));
    open($("#versions-dialog"));
    const rows = await this.#tideline.versions(id, seq).then(
      (versions) => versions.reverse().map((version) => versionRow(version, message)),
      (error) => [el("li", { class: "error" }, explain(error))],
    );
    if (this.#versionsOf === seq) list.replaceChildren(...rows);
  }

  /** A message has another state. Nothing stays on the page of one that is gone. */
  changed(message) {
    if (!isGone(message)) return;
    const isOf = (seq) => (message.kind === "cleared" ? seq <= message.seq : seq === message.seq);
    shut((button) => isOf(Number(button.closest(".row")?.dataset.seq)));
    if (this.#versionsOf === null || !isOf(this.#versionsOf)) return;
    $("#versions-dialog").close();
    $("#versions").replaceChildren();
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#versionsOf = null;
    $("#versions").replaceChildren();
  }
}

/** Whether a message may still be changed, so many seconds after its send; with -1 always. */
const isOpen = ({ created_at }, seconds) => seconds < 0 || Math.max(0, now() - new Date(created_at)) < seconds * 1_000;

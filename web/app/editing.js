// Editing a message: the composer has its text, and the draft waits.

import { announce } from "./announce.js";
import { $, busy, icon, say, toast } from "./dom.js";
import { explain } from "./errors.js";
import { isGone } from "./format.js";
import { t } from "./texts.js";

export class Editing {
  #tideline;
  #store;
  #chat;
  /** The message that is being edited: `seq`, `version`, its `content`, `saving` (aborts the request), `conflict` (its present state). */
  #now = null;
  #text = $("#text");

  /** `chat` has the `id`, the `log` and the `composer`, and `isEditable` and `named` for a message and a text. */
  constructor(tideline, store, chat) {
    this.#tideline = tideline;
    this.#store = store;
    this.#chat = chat;
    $("#editing-stop").addEventListener("click", () => this.stop());
    $("#conflict-mine").addEventListener("click", () => this.#overwrite());
    $("#conflict-theirs").addEventListener("click", () => this.stop());
    $("#editing").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.stop();
    });
  }

  get isOpen() {
    return this.#now !== null;
  }

  /** Edits the last message that may be edited. */
  last() {
    const message = this.#chat.log.findLast((message) => this.#chat.isEditable(message));
    if (message) this.begin(message.seq);
  }

  begin(seq) {
    const message = this.#chat.log.find(seq);
    if (!message || !this.#chat.isEditable(message)) return;
    const { version = 1, content } = message;
    if (this.#now) this.stop();
    this.#chat.composer.replyTo(null);
    this.#now = { seq, version, content, saving: null, conflict: null };
    this.#store.know(content.mentions ?? []);
    this.#text.value = content.text;
    this.#draw();
    this.#text.focus();
    this.#text.setSelectionRange(content.text.length, content.text.length);
    announce(t("edit.begun"));
  }

  stop(focus = true) {
    if (!this.#now) return;
    this.#now.saving?.abort();
    this.#now = null;
    this.#chat.composer.restore();
    this.#draw();
    if (focus) this.#chat.composer.focus();
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    $("#conflict-text").replaceChildren();
  }

  #gone() {
    this.stop();
    toast(t("error.message_gone"));
  }

  #draw() {
    const { seq = null, conflict = null, saving = null } = this.#now ?? {};
    const edits = seq !== null;
    $("#editing").hidden = !edits;
    $("#conflict").hidden = !conflict;
    $("#conflict-text").textContent = conflict?.content.text ?? "";
    $("#composer").classList.toggle("edits", edits);
    $("#attach-button").hidden = edits;
    $("#text-label").textContent = t(edits ? "edit.label" : "chat.message");
    $("#send-button").setAttribute("aria-label", t(edits ? "noun.save" : "action.send"));
    $("#send-button").replaceChildren(icon(edits ? "check" : "send"));
    this.#text.readOnly = Boolean(saving);
    this.#chat.log.mark(seq);
    this.#chat.composer.fit();
  }

  /** A message has another state. */
  changed(message) {
    const now = this.#now;
    const gone = isGone(message);
    const concerns = message.kind === "cleared" ? now?.seq <= message.seq : now?.seq === message.seq;
    // The response to a request that saves has its own state.
    if (!concerns || (now.saving && !gone)) return;
    if (gone) this.#gone();
    else if ((message.version ?? 1) > now.version) this.#showConflict(message);
  }

  async save(text) {
    const editing = this.#now;
    const { seq, version, content } = editing;
    if (editing.saving) return;
    if (editing.conflict) return $("#conflict-mine").focus();
    if (text === content.text) return this.stop();
    // People whose names are not loaded stay named.
    const unknown = (content.mentions ?? []).filter((id) => !this.#store.people.has(id));
    const mentions = [...new Set([...this.#chat.named(text), ...unknown])];
    const saving = (editing.saving = new AbortController());
    this.#draw();
    const change = { version, content: { text, ...(mentions.length > 0 && { mentions }) } };
    const save = () => this.#tideline.edit(this.#chat.id, seq, change, { signal: saving.signal });
    try {
      this.#store.change(await busy($("#send-button"), save, saving.signal));
      if (this.#now === editing) this.stop();
    } catch (error) {
      if (this.#now !== editing) return;
      editing.saving = null;
      if (error.code === "message_gone") return this.#gone();
      this.#draw();
      if (error.code !== "version_conflict") return say($("#composer-error"), explain(error));
      this.#showConflict(error.current);
      this.#store.change(error.current);
    }
  }

  /** Another device has edited the message: the person decides which text remains. */
  #showConflict(message) {
    if (message.content.text === this.#text.value.trim()) return this.stop();
    this.#now.conflict = message;
    this.#draw();
  }

  /** Saves the text of the composer over the one of another device. */
  #overwrite() {
    const { conflict } = this.#now;
    Object.assign(this.#now, { version: conflict.version, content: conflict.content, conflict: null });
    this.#draw();
    this.#text.focus();
    this.#chat.composer.submit();
  }
}

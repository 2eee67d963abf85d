// The composer: the text that is written, its draft, the message to which it replies, and what else is sent.

import { Attachments } from "./attach.js";
import { $, isComposing, say } from "./dom.js";
import { fillPicker, isEmoji } from "./emoji.js";
import { isGone, nameOf, namesIn, previewOf } from "./format.js";
import { Mention } from "./mention.js";
import { t } from "./texts.js";

const TEXT_BYTES = 16 * 1024;
const MENTIONS = 100;
const REPLY = 200;

export class Composer {
  #tideline;
  #store;
  #drafts;
  #chat;
  #mention;
  #attachments;
  /** The seq of the message to which the text replies. */
  #reply = null;
  #text = $("#text");

  /** `chat` has the `id`, the `log` and the `editing`. */
  constructor(tideline, store, drafts, chat) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    this.#chat = chat;
    $("#composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (isComposing(event)) return;
      const { editing } = this.#chat;
      // On a phone Enter is the only way to a new line. An input method uses Enter to end its own work.
      if (event.key === "Enter" && !event.shiftKey && !touch.matches) this.submit();
      else if (event.key === "Escape" && editing.isOpen) editing.stop();
      else if (event.key === "Escape" && this.#reply !== null) this.replyTo(null);
      else if (event.key === "ArrowUp" && !modified(event) && !this.#text.value && !editing.isOpen) editing.last();
      else return;
      event.preventDefault();
    });
    this.#text.addEventListener("input", () => this.#typed());
    $("#reply-stop").addEventListener("click", () => {
      this.replyTo(null);
      this.focus();
    });
    drafts.on(() => this.#follow());
    this.#mention = new Mention(store, this.#text, () => this.#typed());
    fillPicker($("#emoji-panel"), (emoji) => this.#insert(emoji), () => this.#showEmoji(false, true));
    $("#emoji-button").addEventListener("click", () => this.toggleEmoji());
    document.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("#emoji-panel, #emoji-button")) this.#showEmoji(false);
    });
    this.#attachments = new Attachments(tideline, store, chat);
    $("#attach-button").addEventListener("click", () => {
      const { id } = this.#chat;
      this.#attachments.ask((message) => this.#send(id, message, this.#ofSession()));
    });
  }

  open(id) {
    this.#mention.conversation = id;
    this.restore();
    this.fit();
    this.#attachments.draw();
  }

  close() {
    this.replyTo(null);
    this.#showEmoji(false);
    say($("#composer-error"), null);
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#text.value = this.#text.placeholder = "";
    this.#attachments.forget();
  }

  /** Focuses the text, or the element that replaces the composer. */
  focus() {
    ($("#composer").hidden ? $("#log") : this.#text).focus();
  }

  /** When a conversation is opened. A phone would show its keyboard. */
  begin() {
    if (!touch.matches && !$("#composer").hidden) this.#text.focus();
  }

  /** The text that is written. */
  get text() {
    return this.#text.value.trim();
  }

  /** The written message, for a later send; null when it is too long. A reply is one of its options. */
  message() {
    const { text } = this;
    if (!text || !this.fit()) return null;
    const mentions = this.named(text);
    const content = isEmoji(text) ? { kind: "emoji", content: { emoji: text } } : { kind: "text", content: { text, ...(mentions.length > 0 && { mentions }) } };
    return { ...content, ...(this.#reply !== null && { reply_to: this.#reply }), ...(this.#namesAll(text) && { mention_all: true }) };
  }

  /** The text will be sent later: nothing of it stays here. */
  scheduled() {
    this.replyTo(null);
    this.#text.value = "";
    this.#typed();
  }

  /** Shows the draft. */
  restore() {
    this.#text.value = this.#drafts.get(this.#chat.id);
  }

  /** The draft was changed elsewhere. */
  #follow() {
    const { id, editing } = this.#chat;
    if (!id || editing.isOpen || this.#text.value === this.#drafts.get(id)) return;
    this.restore();
    this.fit();
  }

  /** The draft is stored while it is written: a page may end at any time. */
  #typed() {
    if (!this.#chat.editing.isOpen) {
      this.#drafts.set(this.#chat.id, this.#text.value);
      this.#chat.typing.wrote(this.#text.value);
    }
    this.fit();
  }

  fit() {
    const over = new TextEncoder().encode(this.#text.value).length - TEXT_BYTES;
    say($("#composer-error"), over > 0 ? t("chat.bytes", { count: over }) : null);
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
    this.#chat.later?.draw();
    this.#attachments?.show();
    return over <= 0;
  }

  /** The ids of the people whom a text names. */
  named(text) {
    return this.#store.named(this.#chat.id, namesIn(text).slice(0, MENTIONS));
  }

  // Replies.

  /** The text replies to this message; null: to none. */
  replyTo(message) {
    const seq = message?.seq ?? null;
    if (message) this.#chat.editing.stop(false);
    this.#reply = seq;
    $("#replying").hidden = seq === null;
    $("#reply-name").textContent = message ? this.#nameOf(message) : "";
    $("#reply-text").textContent = message ? previewOf(message).slice(0, REPLY) : "";
    if (!message) return;
    this.#text.setAttribute("aria-describedby", "replying");
    this.focus();
  }

  #nameOf({ sender_id }) {
    return sender_id === this.#store.me?.id ? t("message.you") : nameOf(this.#store.people.get(sender_id));
  }

  /** A message has another state: nothing is left of one that is gone. */
  changed(message) {
    if (this.#reply === null) return;
    if (message.kind === "cleared" ? this.#reply > message.seq : this.#reply !== message.seq) return;
    if (isGone(message)) this.replyTo(null);
    else $("#reply-text").textContent = previewOf(message).slice(0, REPLY);
  }

  /** The options of a reply, which ends with its message. */
  #ofSession() {
    const reply_to = this.#reply;
    this.replyTo(null);
    this.#text.removeAttribute("aria-describedby");
    return reply_to === null ? {} : { reply_to };
  }

  // Sending.

  submit() {
    const text = this.#text.value.trim();
    const { id, editing } = this.#chat;
    const attached = this.#attachments.any && !editing.isOpen;
    if (!(text || attached) || !this.fit()) return;
    if (editing.isOpen) return void editing.save(text);
    if (text) this.#submitText(id, text);
    this.#submitFiles(id);
    this.#text.focus();
  }

  /** What is written later is another message, also while the files are still looked at. */
  async #submitFiles(id) {
    if (!this.#attachments.any) return;
    let options = this.#ofSession();
    for (const message of await this.#attachments.take()) {
      this.#send(id, message, options);
      options = {};
    }
  }

  #submitText(id, text) {
    const mentions = this.named(text);
    this.#text.value = "";
    this.#drafts.sent(id);
    this.fit();
    this.#showEmoji(false);
    const options = { ...this.#ofSession(), ...(mentions.length > 0 && { mentions }), ...(this.#namesAll(text) && { mention_all: true }) };
    this.#send(id, isEmoji(text) ? { kind: "emoji", content: { emoji: text } } : text, options);
  }

  #namesAll(text) {
    return namesIn(text).includes("all") && this.#store.mayNameAll(this.#chat.id);
  }

  #send(id, message, options) {
    // `send` events report the result, and it is shown at the message.
    this.#tideline.send(id, message, options).catch(() => {});
    this.#drafts.stays(id);
    if (id === this.#chat.id) this.#chat.sent();
  }

  // Emojis.

  #insert(emoji) {
    const { selectionStart, selectionEnd } = this.#text;
    this.#text.setRangeText(emoji, selectionStart, selectionEnd, "end");
    this.#typed();
    this.#showEmoji(false, true);
  }

  toggleEmoji() {
    this.#showEmoji($("#emoji-panel").hidden, true);
  }

  #showEmoji(shown, focus = false) {
    const panel = $("#emoji-panel");
    panel.hidden = !shown;
    $("#emoji-button").setAttribute("aria-expanded", String(shown));
    if (focus) (shown ? $("[tabindex='0']", panel) : this.#text).focus();
  }
}

const modified = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
const touch = matchMedia("(pointer: coarse)");

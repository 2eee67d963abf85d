// The open conversation: its frame, its read position, and the composer. Its messages are in log.js.

import { attach } from "./attach.js";
import { now } from "./dates.js";
import { $, $$, busy, isComposing, paced, say, toast } from "./dom.js";
import { fillPicker, isEmoji } from "./emoji.js";
import { explain } from "./errors.js";
import { avatar, membersOf, moment, nameOf, namesIn, previewOf, titleOf } from "./format.js";
import { Log } from "./log.js";
import { Mention } from "./mention.js";
import { t } from "./texts.js";

const TEXT_BYTES = 16 * 1024;
const MENTIONS = 100;
const READ_PAUSE_MS = 250;
/** When a read mark that failed is tried again. */
const READ_AGAIN_MS = 5_000;

export class Chat {
  #tideline;
  #store;
  #id = null;
  #drafts;
  #mention;
  #reading = null;
  #marking = 0;
  #unmute = null;
  #said = "";
  /** The reason why the person cannot write here, as it was drawn last; null before that. */
  #barred = null;
  #log;
  #text = $("#text");

  constructor(tideline, store, drafts) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    this.#log = new Log(tideline, store, { moved: () => this.#look(), write: () => this.#write() });
    store.on("conversations", () => this.#drawFrame());
    store.on("arrived", (conversation, message) => this.#arrived(conversation, message));
    store.on("online", () => this.#look());
    for (const name of ["focus", "pageshow"]) window.addEventListener(name, () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    // A dialog is closed, and the messages behind it are visible.
    document.addEventListener("close", () => this.#look(), { capture: true });
    this.#compose();
  }

  get id() {
    return this.#id;
  }

  open(id) {
    if (this.#id === id) return;
    this.close();
    this.#id = id;
    this.#mention.conversation = id;
    this.#barred = null;
    this.#text.value = this.#drafts.get(id);
    this.#fit();
    $("#no-chat").hidden = true;
    $("#chat").hidden = false;
    this.#drawFrame();
    this.#log.open(id, this.#store.conversations.get(id).me);
    this.#store.refresh(id).catch(() => {});
    this.#store.loadMembers(id).catch(() => {});
  }

  close() {
    clearTimeout(this.#reading);
    clearTimeout(this.#unmute);
    this.#log.close();
    this.#id = this.#reading = null;
    this.#marking = 0;
    this.#showEmoji(false);
    say($("#composer-error"), null);
    $("#chat").hidden = true;
    $("#no-chat").hidden = false;
  }

  /** Deletes the data of one person before the next one signs in. */
  forget() {
    this.close();
    this.#text.value = this.#text.placeholder = this.#said = "";
    for (const part of ["title", "subtitle", "avatar"]) $(`#chat-${part}`).replaceChildren();
    for (const part of ["#announcer", "#blocked-text"]) $(part).replaceChildren();
  }

  // The frame: the title above, and below the composer or the reason why there is none.

  #drawFrame() {
    const conversation = this.#store.conversations.get(this.#id);
    if (!conversation) return;
    const { kind, peer, me } = conversation;
    const title = titleOf(conversation);
    $("#chat-title").textContent = title;
    $("#chat-subtitle").textContent = kind === "direct" ? `@${peer?.username ?? "…"}` : kind === "channel" ? t("list.channel", { members: membersOf(conversation) }) : membersOf(conversation);
    $("#chat-avatar").replaceChildren(avatar(peer?.id ?? conversation.id, title, kind));
    this.#text.placeholder = t("chat.placeholder", { title });
    const blocked = kind === "direct" && this.#store.blocked.has(peer?.id);
    const mutedMs = me.muted_until ? new Date(me.muted_until) - now() : 0;
    clearTimeout(this.#unmute);
    // A timer takes at most 2^31 ms. For mutes longer than a day, a redraw after a day is enough.
    if (mutedMs > 0) this.#unmute = setTimeout(() => this.#drawFrame(), Math.min(mutedMs + 500, 86_400_000));
    const reads = kind === "channel" && me.role === "member";
    $("#composer").hidden = blocked || reads || mutedMs > 0;
    $("#blocked-bar").hidden = !$("#composer").hidden;
    $("#blocked-action").hidden = !blocked;
    const barred = blocked ? t("chat.blocked", { title })
      : reads ? t("chat.readers")
      : mutedMs > 0 ? t("chat.muted", { time: moment(me.muted_until) }) : "";
    $("#blocked-text").textContent = barred;
    if (barred && this.#barred !== null && barred !== this.#barred) this.#announce(barred);
    this.#barred = barred;
    if (document.activeElement.closest("#composer[hidden], #blocked-bar[hidden]")) this.#write();
    this.#drawJump();
  }

  // Reading: messages are read when they are visible and the page has the focus.

  #attentive() {
    return document.visibilityState === "visible" && document.hasFocus() && !dialogs.some((dialog) => dialog.open);
  }

  #look() {
    if (!this.#id) return;
    this.#drawJump();
    if (!this.#attentive() || this.#reading) return;
    this.#reading = setTimeout(() => {
      this.#reading = null;
      this.#read();
    }, READ_PAUSE_MS);
  }

  #read() {
    const id = this.#id;
    const conversation = this.#store.conversations.get(id);
    if (!conversation || !this.#attentive()) return;
    const { seen } = this.#log;
    if (seen <= Math.max(conversation.me.read_seq, this.#marking)) return;
    this.#marking = seen;
    this.#tideline.markRead(id, seen).then(
      ({ read_seq, unread }) => this.#store.markedRead(id, read_seq, unread),
      () => {
        if (this.#id !== id) return;
        this.#marking = 0;
        setTimeout(() => this.#look(), READ_AGAIN_MS);
      },
    );
  }

  #drawJump() {
    this.#log.drawJump(this.#store.conversations.get(this.#id)?.me.unread ?? 0);
  }

  #arrived(conversation, message) {
    if (message.sender_id === this.#store.me?.id) return;
    const here = conversation.id === this.#id;
    if (here && this.#log.divider === null && !this.#attentive()) this.#log.divider = message.seq - 1;
    const name = nameOf(this.#store.people.get(message.sender_id));
    const where = here || conversation.kind === "direct" ? "announce.direct" : "announce.group";
    this.#announce(t(where, { name, title: titleOf(conversation), text: previewOf(message).slice(0, 200) }));
  }

  #announce(text) {
    this.#said = text;
    this.#tell();
  }

  /** Of many messages at once, a screen reader announces the last. */
  #tell = paced(() => ($("#announcer").textContent = this.#said));

  // Writing.

  #compose() {
    const form = $("#composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      // On a phone Enter is the only way to a new line. An input method uses Enter to end its own work.
      if (event.key !== "Enter" || event.shiftKey || isComposing(event) || touch.matches) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#typed());
    // Written or sent in another tab.
    window.addEventListener("storage", () => this.#recall());
    this.#mention = new Mention(this.#store, this.#text, () => this.#typed());
    fillPicker($("#emoji-panel"), (emoji) => this.#insert(emoji), () => this.#showEmoji(false, true));
    $("#emoji-button").addEventListener("click", () => this.toggleEmoji());
    document.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("#emoji-panel, #emoji-button")) this.#showEmoji(false);
    });
    $("#attach-button").addEventListener("click", () => {
      const id = this.#id;
      attach((message) => this.#send(id, message));
    });
    $("#blocked-action").addEventListener("click", ({ target }) =>
      busy(target, async () => {
        const { peer } = this.#store.conversations.get(this.#id);
        try {
          await this.#tideline.unblockUser(peer.id);
          this.#store.setBlocked(peer.id, false);
          this.#drawFrame();
          this.#write();
        } catch (error) {
          toast(explain(error));
        }
      }),
    );
  }

  focus() {
    if (!touch.matches && !$("#composer").hidden) this.#text.focus();
  }

  /** Focuses the composer, or the text that replaces it. */
  #write() {
    ($("#composer").hidden ? $("#log") : this.#text).focus();
  }

  /** The draft is stored while it is written: a page may end at any time. */
  #typed() {
    this.#drafts.set(this.#id, this.#text.value);
    this.#fit();
  }

  #recall() {
    if (!this.#id || this.#text.value === this.#drafts.get(this.#id)) return;
    this.#text.value = this.#drafts.get(this.#id);
    this.#fit();
  }

  #fit() {
    const over = new TextEncoder().encode(this.#text.value).length - TEXT_BYTES;
    say($("#composer-error"), over > 0 ? t("chat.bytes", { count: over }) : null);
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
    return over <= 0;
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text || !this.#fit()) return;
    const mentions = this.#store.named(this.#id, namesIn(text).slice(0, MENTIONS));
    this.#text.value = "";
    this.#typed();
    this.#showEmoji(false);
    this.#send(this.#id, isEmoji(text) ? { kind: "emoji", content: { emoji: text } } : text, mentions);
    this.#text.focus();
  }

  #send(id, message, mentions = []) {
    // `send` events report the result, and it is shown at the message.
    this.#tideline.send(id, message, mentions.length > 0 ? { mentions } : {}).catch(() => {});
    if (id !== this.#id) return;
    this.#log.divider = null;
    this.#log.toEnd();
    this.#log.draw();
  }

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

const dialogs = $$("dialog");
const touch = matchMedia("(pointer: coarse)");

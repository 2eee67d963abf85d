// The open conversation: its frame, its read position, the composer, which also edits messages, and what else is done with a
// message. The messages are in log.js.

import { attach } from "./attach.js";
import { now } from "./dates.js";
import { versionRow } from "./bubble.js";
import { $, $$, busy, confirm, el, icon, isComposing, open, paced, say, toast } from "./dom.js";
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
  /** The message that is being edited: `seq`, `version`, its `content`, `saving` (aborts the request), `conflict` (its present state). */
  #editing = null;
  /** The seq of the message whose versions are shown. */
  #versionsOf = null;
  #log;
  #text = $("#text");

  constructor(tideline, store, drafts) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    this.#log = new Log(tideline, store, {
      moved: () => this.#look(),
      write: () => this.#write(),
      actions: (message) => this.#actions(message),
      versions: (message) => this.#showVersions(message),
    });
    store.on("conversations", () => this.#drawFrame());
    store.on("arrived", (conversation, message) => this.#arrived(conversation, message));
    store.on("edited", (conversation, message) => this.#changed(conversation, message));
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
    if (this.#editing) this.#stopEditing(false);
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
    this.#versionsOf = null;
    this.#text.value = this.#text.placeholder = this.#said = "";
    for (const part of ["title", "subtitle", "avatar"]) $(`#chat-${part}`).replaceChildren();
    for (const part of ["#announcer", "#blocked-text", "#conflict-text", "#versions"]) $(part).replaceChildren();
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
    if (barred && this.#editing) this.#stopEditing(false);
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
    this.#announceMessage(conversation, message);
  }

  #announceMessage(conversation, message) {
    const name = nameOf(this.#store.people.get(message.sender_id));
    const where = conversation.id === this.#id || conversation.kind === "direct" ? "announce.direct" : "announce.group";
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
      if (isComposing(event)) return;
      // On a phone Enter is the only way to a new line. An input method uses Enter to end its own work.
      if (event.key === "Enter" && !event.shiftKey && !touch.matches) this.#submit();
      else if (event.key === "Escape" && this.#editing) this.#stopEditing();
      else if (event.key === "ArrowUp" && !modified(event) && !this.#text.value && !this.#editing) this.#editLast();
      else return;
      event.preventDefault();
    });
    $("#editing-stop").addEventListener("click", () => this.#stopEditing());
    $("#conflict-mine").addEventListener("click", () => this.#overwrite());
    $("#conflict-theirs").addEventListener("click", () => this.#stopEditing());
    $("#editing").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.#stopEditing();
    });
    $("#versions-dialog").addEventListener("close", () => (this.#versionsOf = null));
    this.#text.addEventListener("input", () => this.#typed());
    // Written or sent in another tab.
    window.addEventListener("storage", () => this.#restoreDraft());
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
    if (!this.#editing) this.#drafts.set(this.#id, this.#text.value);
    this.#fit();
  }

  #restoreDraft() {
    if (!this.#id || this.#editing || this.#text.value === this.#drafts.get(this.#id)) return;
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

  #named(text) {
    return this.#store.named(this.#id, namesIn(text).slice(0, MENTIONS));
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text || !this.#fit()) return;
    if (this.#editing) return void this.#save(text);
    const mentions = this.#named(text);
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

  // What is done with a message. The server decides; actions that it would refuse are left out.

  #actions(message) {
    const { windows, me } = this.#store;
    if (message.kind === "recalled") return [];
    const recallable = (message.sender_id === me?.id && isOpen(message, windows.recall)) || this.#store.moderates(this.#id, message.sender_id);
    return [
      ...(this.#isEditable(message) ? [{ label: t("message.edit"), run: () => this.#edit(message.seq) }] : []),
      ...(recallable ? [{ label: t("message.recall"), danger: true, run: () => this.#recall(message) }] : []),
    ];
  }

  #isEditable({ sender_id, kind, created_at }) {
    return kind === "text" && sender_id === this.#store.me?.id && !this.#barred && isOpen({ created_at }, this.#store.windows.edit);
  }

  async #recall({ conversation_id: id, seq }) {
    if (!(await confirm({ title: t("recall.ask"), text: t("recall.text"), yes: t("message.recall") }))) return;
    try {
      this.#store.change(await this.#tideline.recall(id, seq));
    } catch (error) {
      toast(explain(error));
    }
  }

  /** The newest version comes first. */
  async #showVersions(message) {
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

  /** A message has another state. Nothing stays on the page of a recalled one. */
  #changed(conversation, message) {
    const recalled = message.kind === "recalled";
    if (recalled && message.recalled.by !== this.#store.me?.id) this.#announceMessage(conversation, message);
    if (conversation.id !== this.#id) return;
    if (recalled && this.#versionsOf === message.seq) {
      $("#versions-dialog").close();
      $("#versions").replaceChildren();
    }
    const editing = this.#editing;
    // The answer to a request that saves has its own state.
    if (editing?.seq !== message.seq || (editing.saving && !recalled)) return;
    if (recalled) this.#gone();
    else if ((message.version ?? 1) > editing.version) this.#showConflict(message);
  }

  // Editing: the composer has the text of a message, and the draft waits.

  #editLast() {
    const message = this.#log.findLast((message) => this.#isEditable(message));
    if (message) this.#edit(message.seq);
  }

  #edit(seq) {
    const message = this.#log.find(seq);
    if (!message || !this.#isEditable(message)) return;
    const { version = 1, content } = message;
    if (this.#editing) this.#stopEditing();
    this.#editing = { seq, version, content, saving: null, conflict: null };
    this.#store.know(content.mentions ?? []);
    this.#text.value = content.text;
    this.#drawEditing();
    this.#text.focus();
    this.#text.setSelectionRange(content.text.length, content.text.length);
    this.#announce(t("edit.begun"));
  }

  #stopEditing(focus = true) {
    this.#editing.saving?.abort();
    this.#editing = null;
    this.#text.value = this.#drafts.get(this.#id);
    this.#drawEditing();
    if (focus) this.#write();
  }

  #gone() {
    this.#stopEditing();
    toast(t("error.message_gone"));
  }

  #drawEditing() {
    const { seq = null, conflict = null, saving = null } = this.#editing ?? {};
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
    this.#log.mark(seq);
    this.#fit();
  }

  async #save(text) {
    const editing = this.#editing;
    const { seq, version, content } = editing;
    if (editing.saving) return;
    if (editing.conflict) return $("#conflict-mine").focus();
    if (text === content.text) return this.#stopEditing();
    // People whose names are not loaded stay named.
    const unknown = (content.mentions ?? []).filter((id) => !this.#store.people.has(id));
    const mentions = [...new Set([...this.#named(text), ...unknown])];
    const saving = (editing.saving = new AbortController());
    this.#drawEditing();
    const change = { version, content: { text, ...(mentions.length > 0 && { mentions }) } };
    const save = () => this.#tideline.edit(this.#id, seq, change, { signal: saving.signal });
    try {
      this.#store.change(await busy($("#send-button"), save, saving.signal));
      if (this.#editing === editing) this.#stopEditing();
    } catch (error) {
      if (this.#editing !== editing) return;
      editing.saving = null;
      if (error.code === "message_gone") return this.#gone();
      this.#drawEditing();
      if (error.code !== "version_conflict") return say($("#composer-error"), explain(error));
      this.#showConflict(error.current);
      this.#store.change(error.current);
    }
  }

  /** Another device has edited the message: the person decides which text remains. */
  #showConflict(message) {
    if (message.content.text === this.#text.value.trim()) return this.#stopEditing();
    this.#editing.conflict = message;
    this.#drawEditing();
  }

  /** Saves the text of the composer over the one of another device. */
  #overwrite() {
    const { conflict } = this.#editing;
    Object.assign(this.#editing, { version: conflict.version, content: conflict.content, conflict: null });
    this.#drawEditing();
    this.#text.focus();
    this.#submit();
  }
}

/** Whether a message may still be changed, so many seconds after its send; with -1 always. */
const isOpen = ({ created_at }, seconds) => seconds < 0 || Math.max(0, now() - new Date(created_at)) < seconds * 1_000;
const modified = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
const dialogs = $$("dialog");
const touch = matchMedia("(pointer: coarse)");

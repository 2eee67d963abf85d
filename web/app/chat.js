// The open conversation: its frame, and the parts that it consists of. The messages are in log.js, the text that is written in
// composer.js, what is done with a message in actions.js, and the read position in reading.js.

import { Actions } from "./actions.js";
import { announce, hush } from "./announce.js";
import { Composer } from "./composer.js";
import { now } from "./dates.js";
import { $, busy, el, toast } from "./dom.js";
import { Editing } from "./editing.js";
import { explain } from "./errors.js";
import { face, faceOf, says } from "./faces.js";
import { isGone, membersOf, nameOf, ownTitleOf, previewOf, titleOf } from "./format.js";
import { Forward } from "./forward.js";
import { Info } from "./info.js";
import { Log } from "./log.js";
import { Pins } from "./pins.js";
import { dotted, presenceWords } from "./presence.js";
import { Reactions } from "./reactions.js";
import { Reading } from "./reading.js";
import { barredFrom, SlowMode } from "./rules.js";
import { Scheduled } from "./scheduled.js";
import { t } from "./texts.js";
import { Typing } from "./typing.js";
import { Within } from "./within.js";

export class Chat {
  log;
  reading;
  reactions;
  composer;
  editing;
  pins;
  forward;
  later;
  typing;
  within;
  #slow;
  #tideline;
  #store;
  #actions;
  #info;
  #id = null;
  #unmute = null;
  /** Ends the watch of the open conversation. */
  #unwatch = null;
  /** The reason why the person cannot write here, as it was drawn last; null before that. */
  #barred = null;

  constructor(tideline, store, drafts, people) {
    this.#tideline = tideline;
    this.#store = store;
    this.#info = new Info(tideline, store);
    this.#actions = new Actions(tideline, store, this, this.#info);
    this.reactions = new Reactions(tideline, store);
    this.pins = new Pins(tideline, store, (seq) => this.log.jump(seq));
    this.forward = new Forward(tideline, store, (conversation) => barredFrom(conversation, store.blocked));
    this.log = new Log(tideline, store, {
      moved: () => this.#look(),
      write: () => this.composer.focus(),
      actions: (message) => this.#actions.of(message),
      versions: (message) => this.#actions.showVersions(message),
      react: {
        allowed: (message) => this.#actions.mayReact(message),
        toggle: (message, emoji) => this.reactions.toggle(message, emoji),
        pick: (message, button) => this.reactions.pick(message, button),
      },
    });
    this.reading = new Reading(tideline, store, () => this.log.seen, () => this.within.isCovering);
    this.editing = new Editing(tideline, store, this);
    this.#slow = new SlowMode(tideline);
    this.typing = new Typing(tideline, store);
    this.composer = new Composer(tideline, store, drafts, this);
    this.later = new Scheduled(tideline, store, this);
    this.within = new Within(tideline, store, people, { jump: (seq, found) => this.log.jump(seq, found), uncovered: () => this.reading.look() });
    store.on("conversations", () => this.drawFrame());
    store.on("arrived", (conversation, message) => this.#arrived(conversation, message));
    store.on("edited", (conversation, message) => this.#changed(conversation, message));
    $("#blocked-action").addEventListener("click", ({ target }) => busy(target, () => this.#unblock()));
  }

  get id() {
    return this.#id;
  }

  /** The other person of the open direct conversation. */
  get peer() {
    return this.#conversation?.peer?.id ?? null;
  }

  get #conversation() {
    return this.#store.conversations.get(this.#id);
  }

  open(id) {
    if (this.#id === id) return;
    this.close();
    this.#id = id;
    this.#barred = null;
    $("#no-chat").hidden = true;
    $("#chat").hidden = false;
    this.composer.open(id);
    this.drawFrame();
    this.log.open(id, this.#conversation.me);
    this.reading.open(id);
    this.pins.open(id);
    this.#slow.open(id);
    this.typing.open(id);
    this.within.begin(id);
    this.later.again();
    this.#unwatch = this.#tideline.watch(id);
    this.#store.refresh(id).catch(() => {});
    const { peer } = this.#conversation;
    if (peer) this.#store.revise([peer.id]).catch(() => {});
    this.#store.loadMembers(id).catch(() => {});
  }

  close() {
    clearTimeout(this.#unmute);
    this.#unwatch?.();
    this.#unwatch = null;
    this.reading.close();
    this.pins.close();
    this.#slow.close();
    this.typing.close();
    this.within.begin(null);
    if (this.#id) this.editing.stop(false);
    this.log.close();
    this.composer.close();
    this.#id = null;
    $("#chat").hidden = true;
    $("#no-chat").hidden = false;
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.close();
    for (const part of [this.#actions, this.#info, this.forward, this.#slow, this.composer, this.editing, this.later]) part.forget();
    hush();
    for (const part of ["title", "subtitle", "avatar"]) $(`#chat-${part}`).replaceChildren();
    $("#blocked-text").replaceChildren();
  }

  focus() {
    this.composer.begin();
  }

  toggleEmoji() {
    this.composer.toggleEmoji();
  }

  // What the person may do here.

  get mayWrite() {
    return !this.#barred;
  }

  /** Readers do not write, but react. */
  get mayReact() {
    const { kind, posting, me } = this.#conversation ?? {};
    return !this.#barred || ((kind === "channel" || posting === "admins") && me.role === "member" && !(new Date(me.muted_until ?? 0) > now()));
  }

  isEditable(message) {
    return this.#actions.isEditable(message);
  }

  named(text) {
    return this.composer.named(text);
  }

  /** A message was sent here: the person has read what is above it. */
  sent() {
    this.log.divider = null;
    this.log.toEnd();
    this.log.draw();
  }

  // The frame: the title above, and below the composer or the reason why there is none.

  drawFrame() {
    const conversation = this.#conversation;
    if (!conversation) return;
    const { kind, peer, me } = conversation;
    const title = titleOf(conversation);
    const members = kind === "direct" ? `@${peer?.username ?? "…"}` : kind === "channel" ? t("list.channel", { members: membersOf(conversation) }) : membersOf(conversation);
    const own = title === ownTitleOf(conversation) ? "" : `${ownTitleOf(conversation)} · `;
    const said = says(peer);
    const present = presenceWords(peer);
    $("#chat-title").textContent = title;
    $("#chat-subtitle").replaceChildren(...(present ? [el("span", { class: "present" }, present), " · "] : []), `${own}${members}`, ...(said ? [" · ", said] : []));
    $("#chat-avatar").replaceChildren(peer ? dotted(peer, face(peer, title)) : faceOf(conversation, title));
    $("#text").placeholder = t("chat.placeholder", { title });
    $("#arrange-button").hidden = !this.#store.features.has("settings");
    const blocked = kind === "direct" && this.#store.blocked.has(peer?.id);
    const mutedMs = me.muted_until ? new Date(me.muted_until) - now() : 0;
    clearTimeout(this.#unmute);
    // A timer takes at most 2^31 ms. For mutes longer than a day, a redraw after a day is enough.
    if (mutedMs > 0) this.#unmute = setTimeout(() => this.drawFrame(), Math.min(mutedMs + 500, 86_400_000));
    const barred = barredFrom(conversation, this.#store.blocked);
    $("#composer").hidden = Boolean(barred);
    $("#blocked-bar").hidden = !$("#composer").hidden;
    $("#blocked-action").hidden = !blocked;
    $("#blocked-text").textContent = barred;
    if (barred && this.#barred !== null && barred !== this.#barred) announce(barred);
    const changed = barred !== this.#barred;
    this.#barred = barred;
    if (barred) {
      this.editing.stop(false);
      this.composer.replyTo(null);
    }
    // What may be done with the messages has changed.
    if (changed) this.log.draw();
    if (document.activeElement.closest("#composer[hidden], #blocked-bar[hidden]")) this.composer.focus();
    this.#drawJump();
  }

  async #unblock() {
    const { peer } = this.#conversation;
    try {
      await this.#tideline.unblockUser(peer.id);
      this.#store.setBlocked(peer.id, false);
      this.drawFrame();
      this.composer.focus();
    } catch (error) {
      toast(explain(error));
    }
  }

  #look() {
    if (!this.#id) return;
    this.#drawJump();
    this.reading.look();
  }

  #drawJump() {
    this.log.drawJump(this.#conversation?.me.unread ?? 0);
  }

  #arrived(conversation, message) {
    if (message.sender_id === this.#store.me?.id) return;
    const here = conversation.id === this.#id;
    if (here && this.log.divider === null && !this.reading.isAttentive) this.log.divider = message.seq - 1;
    if (here || this.#store.notifies(conversation, message)) this.#announceMessage(conversation, message);
  }

  #announceMessage(conversation, message) {
    const name = nameOf(this.#store.people.get(message.sender_id));
    const where = conversation.id === this.#id || conversation.kind === "direct" ? "announce.direct" : "announce.group";
    announce(t(where, { name, title: titleOf(conversation), text: previewOf(message).slice(0, 200) }));
  }

  /** A message has another state. */
  #changed(conversation, message) {
    if (message.kind === "recalled" && message.recalled.by !== this.#store.me?.id) this.#announceMessage(conversation, message);
    // What was announced may be a message that is gone now.
    else if (isGone(message)) hush();
    if (conversation.id !== this.#id) return;
    for (const part of [this.#actions, this.editing, this.composer]) part.changed(message);
  }
}

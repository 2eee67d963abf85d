// The conversation that is open: its messages, where one is in them, what was read, and the line to write in.

import { attach } from "./attach.js";
import { dress, row } from "./bubble.js";
import { $, busy, el, say, toast } from "./dom.js";
import { fillPicker, isEmoji } from "./emoji.js";
import { explain } from "./errors.js";
import { avatar, dayName, membersOf, moment, nameOf, namesIn, previewOf, titleOf } from "./format.js";
import { t } from "./texts.js";

const TEXT_BYTES = 16 * 1024;
const MENTIONS = 100;
/** Messages of one person within this time stand together. */
const TOGETHER_MS = 5 * 60_000;
/** How near to an end counts as being there, and how far above the first message older ones are fetched. */
const NEAR = 48;
const AHEAD = 800;
const READ_PAUSE_MS = 250;

export class Chat {
  #tideline;
  #store;
  #id = null;
  #rows = new Map();
  #drafts = new Map();
  /** The unread divider stands behind this seq until one leaves or answers. */
  #divider = null;
  #stick = true;
  #older = null;
  #problem = null;
  #reading = null;
  #marking = 0;
  #unmute = null;
  #log = $("#log");
  #text = $("#text");

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    store.on("thread", (id) => id === this.#id && this.#draw());
    store.on("conversations", () => this.#drawFrame());
    for (const name of ["resync", "online"]) store.on(name, () => this.#reload());
    store.on("arrived", (conversation, message) => this.#arrived(conversation, message));
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Pictures, a growing line to write in, the keyboard of a phone: at the end one stays at the end.
    const grown = new ResizeObserver(() => {
      if (this.#stick) this.#toEnd();
      this.#look();
    });
    grown.observe(this.#log);
    grown.observe($("#rows"));
    for (const name of ["focus", "pageshow"]) window.addEventListener(name, () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    $("#jump").addEventListener("click", () => {
      this.#log.scrollTo({ top: this.#log.scrollHeight, behavior: calm.matches ? "auto" : "smooth" });
      this.#text.focus();
    });
    this.#compose();
  }

  get id() {
    return this.#id;
  }

  async open(id) {
    if (this.#id === id) return;
    this.close();
    this.#id = id;
    const { me } = this.#store.conversations.get(id);
    this.#divider = me.unread > 0 ? me.read_seq : null;
    this.#stick = true;
    this.#text.value = this.#drafts.get(id) ?? "";
    this.#fit();
    $("#no-chat").hidden = true;
    $("#chat").hidden = false;
    this.#drawFrame();
    this.#draw();
    this.#store.refresh(id).catch(() => {});
    await this.#load(me.unread);
  }

  async #load(unread) {
    const id = this.#id;
    try {
      this.#problem = null;
      await this.#store.thread(id).load(unread);
    } catch (error) {
      if (this.#id === id) this.#problem = error;
    }
    if (this.#id !== id) return;
    this.#draw();
    this.#place();
  }

  /** After a start-over the messages may be other ones, and without a connection they could not be fetched. */
  #reload() {
    const conversation = this.#store.conversations.get(this.#id);
    if (!conversation) return;
    if (!this.#store.thread(this.#id).loaded) this.#load(conversation.me.unread);
    else if (this.#problem) this.#loadOlder();
  }

  /** Where reading begins: at the divider if there is one, otherwise at the end. */
  #place() {
    const divider = this.#rows.get("divider");
    if (divider) this.#log.scrollTop += divider.getBoundingClientRect().top - this.#log.getBoundingClientRect().top - NEAR;
    else this.#toEnd();
    this.#scrolled();
  }

  close() {
    if (this.#id && this.#text.value) this.#drafts.set(this.#id, this.#text.value);
    else this.#drafts.delete(this.#id);
    clearTimeout(this.#reading);
    clearTimeout(this.#unmute);
    this.#id = this.#divider = this.#reading = this.#older = null;
    this.#marking = 0;
    this.#rows.clear();
    $("#rows").replaceChildren();
    this.#showEmoji(false);
    say($("#composer-error"), null);
    $("#chat").hidden = true;
    $("#no-chat").hidden = false;
  }

  /** Nothing of one person is left for the next. */
  forget() {
    this.close();
    this.#drafts.clear();
    this.#text.value = "";
  }

  // The frame: the title above, and the line below or why there is none.

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
    const mutedMs = me.muted_until ? new Date(me.muted_until) - Date.now() : 0;
    clearTimeout(this.#unmute);
    // A timer takes at most 2^31 ms, and whoever is muted for longer than a day will not sit here waiting.
    if (mutedMs > 0) this.#unmute = setTimeout(() => this.#drawFrame(), Math.min(mutedMs + 500, 86_400_000));
    const reads = kind === "channel" && me.role === "member";
    $("#composer").hidden = blocked || reads || mutedMs > 0;
    $("#blocked-bar").hidden = !$("#composer").hidden;
    $("#blocked-action").hidden = !blocked;
    $("#blocked-text").textContent = blocked ? t("chat.blocked", { title })
      : reads ? t("chat.readers")
      : mutedMs > 0 ? t("chat.muted", { time: moment(me.muted_until) }) : "";
    this.#drawJump();
  }

  // The messages. All rows are listed, and the page is made to agree: rows that stay keep their element.

  #wanted() {
    const id = this.#id;
    const me = this.#store.me?.id;
    const rows = [];
    let before = null;
    let day = null;
    let divided = false;
    const add = (message, state, at, error) => {
      const mine = message.sender_id === me;
      // What is not stored yet has the time of this device's clock, which may be behind.
      if (before && new Date(at) < before.at) at = before.at.toISOString();
      const today = new Date(at).toDateString();
      const follows = before && day === today && before.sender_id === message.sender_id && new Date(at) - before.at < TOGETHER_MS;
      if (day !== today) rows.push({ key: `day ${today}`, make: () => line("day", dayName(at)) });
      const divides = !divided && this.#divider !== null && !mine && message.seq > this.#divider;
      if (divides) rows.push({ key: "divider", make: () => line("divider", t("chat.divider")) });
      divided ||= divides;
      const first = !follows || divides;
      if (before && first) before.row.look.last = true;
      const row = {
        key: `${message.sender_id} ${message.client_msg_id}`,
        make: () => this.#make(message, mine),
        look: { first, last: false, at, state: mine ? state : null, error, ...this.#again(message.client_msg_id) },
        seq: message.seq,
      };
      rows.push(row);
      before = { sender_id: message.sender_id, at: new Date(at), row };
      day = today;
    };
    for (const message of this.#store.thread(id).messages) add(message, "stored", message.created_at);
    for (const item of this.#store.outbox(id)) {
      add({ ...item, sender_id: item.user_id }, item.state, item.created_at, item.error ? explain(item.error) : undefined);
    }
    if (before) before.row.look.last = true;
    return rows;
  }

  #make(message, mine) {
    const conversation = this.#store.conversations.get(this.#id);
    const node = row(message, { mine, sender: this.#store.people.get(message.sender_id), me: this.#store.me });
    node.classList.toggle("in-group", conversation?.kind !== "direct");
    return node;
  }

  /** What to do about a message that failed. Its buttons go with it, and the keyboard goes on in the line to write in. */
  #again(clientMsgId) {
    const then = (work) => () => {
      this.#text.focus();
      work().catch(() => {});
    };
    return { retry: then(() => this.#tideline.retry(clientMsgId)), discard: then(() => this.#tideline.discard(clientMsgId)) };
  }

  #draw() {
    if (!this.#id || !this.#store.conversations.has(this.#id)) return;
    // Whoever has just scrolled away stays there, though the event that says so has not come yet.
    const stick = this.#stick && this.#isAtEnd();
    const anchor = stick ? null : this.#anchor();
    const list = $("#rows");
    const kept = new Map();
    let place = list.firstChild;
    for (const { key, make, look, seq } of this.#wanted()) {
      const node = this.#rows.get(key) ?? make();
      if (look) dress(node, look);
      if (seq) node.dataset.seq = seq;
      kept.set(key, node);
      if (node === place) place = place.nextSibling;
      else list.insertBefore(node, place);
    }
    for (const [key, node] of this.#rows) if (kept.get(key) !== node) node.remove();
    this.#rows = kept;
    this.#drawTop();
    if (anchor?.node.isConnected) this.#log.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    else if (stick) this.#toEnd();
    this.#look();
  }

  /** A row in sight, and where it is, so that it can be put back there after something was added above. */
  #anchor() {
    const { top } = this.#log.getBoundingClientRect();
    for (const node of $("#rows").children) {
      const box = node.getBoundingClientRect();
      if (box.bottom > top && node.dataset.seq) return { node, top: box.top };
    }
    return null;
  }

  #drawTop() {
    const thread = this.#store.thread(this.#id);
    const again = el("button", { type: "button", class: "link", onclick: () => (thread.loaded ? this.#loadOlder() : this.#load(0)) }, t("noun.retry"));
    const empty = thread.loaded && thread.messages.length === 0;
    const joined = this.#store.conversations.get(this.#id)?.me.joined_seq > 0;
    const start = t(joined ? "chat.joined" : empty ? "chat.empty" : "chat.start");
    const words = this.#problem ? [explain(this.#problem), " ", again] : thread.loaded && !thread.more ? [start] : [t("noun.loading")];
    $("#log-top").replaceChildren(...words);
  }

  async #loadOlder() {
    const thread = this.#store.thread(this.#id);
    if (this.#older || !thread.loaded || !thread.more) return;
    const mine = (this.#older = {});
    this.#problem = null;
    try {
      await thread.older();
    } catch (error) {
      if (this.#older === mine) this.#problem = error;
    }
    if (this.#older !== mine) return;
    this.#older = null;
    this.#drawTop();
    if (!this.#problem) this.#scrolled();
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #scrolled() {
    this.#stick = this.#isAtEnd();
    if (this.#log.scrollTop < AHEAD && !this.#problem) this.#loadOlder();
    this.#look();
  }

  #drawJump() {
    const unread = this.#store.conversations.get(this.#id)?.me.unread ?? 0;
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    $("#jump").hidden = scrollHeight - scrollTop - clientHeight < 240;
    $("#jump-text").textContent = unread > 0 ? t("chat.unread", { count: unread }) : t("chat.newest");
  }

  // Reading: what is in sight while somebody is looking.

  #attentive() {
    return document.visibilityState === "visible" && document.hasFocus();
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
    const seq = this.#seen();
    if (seq <= Math.max(conversation.me.read_seq, this.#marking)) return;
    this.#marking = seq;
    this.#tideline.markRead(id, seq).then(
      ({ read_seq, unread }) => this.#store.markedRead(id, read_seq, unread),
      // Looked at again with the next scroll, focus or message.
      () => this.#id === id && (this.#marking = 0),
    );
  }

  /** The highest seq of which a good part is in sight. */
  #seen() {
    const { bottom } = this.#log.getBoundingClientRect();
    const nodes = $("#rows").children;
    for (let n = nodes.length - 1; n >= 0; n--) {
      if (nodes[n].dataset.seq && nodes[n].getBoundingClientRect().top < bottom - 24) return Number(nodes[n].dataset.seq);
    }
    return 0;
  }

  #arrived(conversation, message) {
    if (message.sender_id === this.#store.me?.id) return;
    const here = conversation.id === this.#id;
    if (here && this.#divider === null && !this.#attentive()) this.#divider = message.seq - 1;
    const name = nameOf(this.#store.people.get(message.sender_id));
    const where = here || conversation.kind === "direct" ? "announce.direct" : "announce.group";
    $("#announcer").textContent = t(where, { name, title: titleOf(conversation), text: previewOf(message).slice(0, 200) });
  }

  // Writing.

  #compose() {
    const form = $("#composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      // On a phone Enter is the only way to a new line. An input method ends its own work with Enter.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch.matches) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#fit());
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
          this.#text.focus();
        } catch (error) {
          toast(explain(error));
        }
      }),
    );
  }

  focus() {
    if (!touch.matches && !$("#composer").hidden) this.#text.focus();
  }

  #fit() {
    const over = new TextEncoder().encode(this.#text.value).length - TEXT_BYTES;
    say($("#composer-error"), over > 0 ? t("chat.bytes", { count: over }) : null);
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${this.#text.scrollHeight}px`);
    return over <= 0;
  }

  async #submit() {
    const id = this.#id;
    const text = this.#text.value.trim();
    if (!text || !this.#fit()) return;
    const names = namesIn(text).slice(0, MENTIONS);
    const mentions = names.length > 0 ? await this.#store.named(names) : [];
    // Whoever went on writing while we looked for them is not done.
    if (this.#id !== id || this.#text.value.trim() !== text) return;
    this.#text.value = "";
    this.#fit();
    this.#showEmoji(false);
    this.#send(id, isEmoji(text) ? { kind: "emoji", content: { emoji: text } } : text, mentions);
    this.#text.focus();
  }

  #send(id, message, mentions = []) {
    if (id === this.#id) {
      this.#divider = null;
      this.#stick = true;
      this.#toEnd();
    }
    // How it goes is told by `send` events, and shown at the message.
    this.#tideline.send(id, message, mentions.length > 0 ? { mentions } : {}).catch(() => {});
  }

  #insert(emoji) {
    const { selectionStart, selectionEnd } = this.#text;
    this.#text.setRangeText(emoji, selectionStart, selectionEnd, "end");
    this.#fit();
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

const touch = matchMedia("(pointer: coarse)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const line = (name, text) => el("li", { class: name }, el("span", {}, text));

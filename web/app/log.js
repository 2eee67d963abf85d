// The messages of the open conversation on the page: their rows, the scroll position, and loading at both ends.

import { dress, row } from "./bubble.js";
import { $, $$, el, menu } from "./dom.js";
import { explain, explainFields, explainSend } from "./errors.js";
import { dayName, isGone, nameOf } from "./format.js";
import { markIn } from "./marks.js";
import { t } from "./texts.js";

/** Messages of one person within this time are grouped. */
const TOGETHER_MS = 5 * 60_000;
/** Distance from an end that counts as being there, and the distance at which more is fetched. */
const NEAR = 48;
const AHEAD = 800;
/** Distance from the end at which the button to the end is shown. */
const FAR = 240;
/** How long a message stays marked to which the person has jumped, and with words that were found in it. */
const FOUND_MS = 2_500;
const WORDS_MS = 6_000;
/** A message counts as seen when this much of it is visible. */
const SEEN = 24;

export class Log {
  /** The unread divider stays after this seq until the person closes the conversation or answers. */
  divider = null;
  /** The seq of the message that is being edited. */
  #marked = null;
  #tideline;
  #store;
  #moved;
  #write;
  #actions;
  #versions;
  #react;
  /** The seq of the message to which the person has jumped. */
  #found = null;
  /** Removes the marks of the words that were found there. */
  #unmark = () => {};
  #fading = null;
  #id = null;
  /** The seq of the message whose menu button is a stop of the Tab key; the arrow keys move to the others. */
  #reached = null;
  #rows = new Map();
  #peerRead = null;
  #stick = true;
  /** Whether the view has been scrolled to its start position: rows visible before that were not read. */
  #placed = false;
  /** The first visible row, and its position: changes above it must not move it. */
  #held = null;
  #loading = null;
  #problem = null;
  #log = $("#log");
  #list = $("#rows");

  /**
   * `moved` is called when other messages may be visible, `write` when the focus returns to the composer. `actions` returns what
   * the person may do with a message, as items of a menu, `versions` shows the versions of one, and `react` has what is done with its
   * reactions.
   */
  constructor(tideline, store, { moved, write, actions, versions, react }) {
    this.#tideline = tideline;
    this.#store = store;
    this.#moved = moved;
    this.#write = write;
    this.#actions = actions;
    this.#versions = versions;
    this.#react = react;
    store.on("thread", (id) => id === this.#id && this.draw());
    store.on("people", () => this.draw());
    // What the other person of a direct conversation has read.
    store.on("conversations", () => this.#drawRead());
    for (const name of ["resync", "online"]) store.on(name, () => this.#again());
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Pictures, a growing composer, the keyboard of a phone, rows that get their real height when they come near.
    const grown = new ResizeObserver(() => {
      this.#hold();
      this.#moved();
    });
    grown.observe(this.#log);
    grown.observe(this.#list);
    $("#jump").addEventListener("click", () => {
      this.toEnd();
      this.#write();
    });
    $("#first-unread").addEventListener("click", () => this.#toDivider());
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("focusin", ({ target }) => target.matches(".row-menu") && this.#reach(target));
    // After midnight "today" is another day.
    setInterval(() => this.draw(), 60_000);
  }

  get #thread() {
    return this.#store.thread(this.#id);
  }

  open(id, { unread, read_seq }) {
    this.#id = id;
    this.divider = unread > 0 ? read_seq : null;
    this.#stick = true;
    this.#placed = false;
    this.draw();
    this.#begin();
  }

  close() {
    if (this.#id && this.#store.conversations.has(this.#id)) this.#thread.rest().catch(() => {});
    this.#fade();
    this.#id = this.divider = this.#loading = this.#problem = this.#held = this.#marked = this.#reached = null;
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  /** The loaded message with this seq. */
  find(seq) {
    return this.#thread.messages.find((message) => message.seq === seq) ?? null;
  }

  /** The last loaded message for which `is` holds; none while newer ones are not loaded. */
  findLast(is) {
    return (!this.#thread.newer && [...this.#thread.messages].reverse().find(is)) || null;
  }

  /** Marks the message with this seq, or none. */
  mark(seq) {
    this.#marked = seq;
    this.draw();
    if (seq !== null) $(".marked", this.#list)?.scrollIntoView({ block: "nearest" });
  }

  /** Scrolls to a message, and loads it when it is not loaded. The focus moves there. `words` is a result of a search, whose words are marked. */
  async jump(seq, words = null) {
    const id = this.#id;
    this.#follow(false);
    this.#placed = true;
    const has = () => this.#thread.messages.some((message) => message.seq === seq);
    while (this.#loading && this.#id === id) await new Promise((resolve) => setTimeout(resolve, 50));
    if (this.#id !== id) return;
    if (!has() && !(await this.#load((thread) => thread.around(seq)))) return;
    if (this.#id !== id || !has()) return;
    this.#fade();
    this.#found = seq;
    this.draw();
    const node = $(`.row[data-seq="${seq}"]`, this.#list);
    if (!node) return;
    if (words) this.#unmark = markIn(node, words);
    node.scrollIntoView({ block: "center" });
    this.#scrolled();
    ($(".row-menu", node) ?? this.#log).focus({ preventScroll: true });
    this.#fading = setTimeout(() => {
      this.#fade();
      this.draw();
    }, words ? WORDS_MS : FOUND_MS);
  }

  /** Ends the marks of a jump. */
  #fade() {
    clearTimeout(this.#fading);
    this.#found = null;
    this.#unmark();
    this.#unmark = () => {};
  }

  // The menu buttons are one stop of the Tab key, as the messages are many.

  #key(event) {
    if (!event.target.matches(".row-menu")) return;
    const buttons = $$(".row-menu", this.#list);
    const now = buttons.indexOf(event.target);
    const next = { ArrowUp: now - 1, ArrowDown: now + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (next === undefined || event.altKey) return;
    event.preventDefault();
    buttons[next]?.focus();
  }

  #reach(button) {
    this.#reached = Number(button.closest(".row").dataset.seq);
    for (const one of $$(".row-menu", this.#list)) one.tabIndex = one === button ? 0 : -1;
  }

  // Loading, one step at a time; work of an earlier opening must not affect a later one.

  async #load(step) {
    const mine = (this.#loading = {});
    this.#problem = null;
    let problem = null;
    try {
      await step(this.#thread);
    } catch (error) {
      problem = error;
    }
    if (this.#loading !== mine) return false;
    this.#loading = null;
    this.#problem = problem;
    this.draw();
    return !problem;
  }

  async #begin() {
    const id = this.#id;
    await this.#load((thread) => thread.open(this.#store.conversations.get(id)));
    if (this.#id === id && !this.#loading) this.#place();
  }

  async #older() {
    if (await this.#load((thread) => thread.older())) this.#scrolled();
  }

  /** A failure is not shown: the next scroll event tries again. */
  async #later() {
    if (await this.#load((thread) => thread.later())) this.#scrolled();
    else this.#problem = null;
  }

  /** After a resync the messages may be other ones; without a connection they could not be fetched. */
  #again() {
    if (!this.#store.conversations.has(this.#id) || this.#loading) return;
    if (!this.#thread.loaded) this.#begin();
    else if (this.#problem) this.#older();
    else this.#scrolled();
  }

  // The scroll position.

  /** The start position: at the divider if there is one, otherwise at the end. */
  #place() {
    this.#placed = true;
    const divider = this.#rows.get("divider");
    this.#stick = !divider;
    if (divider) this.#log.scrollTop += divider.getBoundingClientRect().top - this.#log.getBoundingClientRect().top - NEAR;
    else this.#log.scrollTop = this.#log.scrollHeight;
    this.#scrolled();
  }

  /** Scrolls to the newest message, and stays there. */
  async toEnd() {
    this.#placed = true;
    this.#follow(true);
    this.#log.scrollTop = this.#log.scrollHeight;
    if (this.#thread.newer) await this.#load((thread) => thread.latest());
    this.#moved();
  }

  /** Scrolls to the first unread message; keyboard reading continues there. */
  async #toDivider() {
    const seq = this.divider;
    this.#follow(false);
    if (!this.#rows.has("divider")) await this.#load((thread) => thread.around(seq));
    if (this.divider !== seq || !this.#rows.has("divider")) return;
    this.#place();
    this.#log.focus();
  }

  #follow(stick) {
    this.#stick = this.#thread.following = stick;
  }

  get #below() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight;
  }

  #scrolled() {
    if (!this.#id) return;
    // A reader who was at the end stays there while newer messages are loading.
    this.#follow(this.#below < NEAR && (this.#stick || !this.#thread.newer));
    this.#held = this.#stick ? null : this.#inSight();
    if (!this.#loading) {
      if (this.#log.scrollTop < AHEAD && this.#thread.more && !this.#problem) this.#older();
      else if (this.#below < AHEAD && this.#thread.newer && !this.#stick) this.#later();
    }
    this.#moved();
  }

  /** Restores the scroll position after an element has changed its height. */
  #hold() {
    if (this.#stick) this.#log.scrollTop = this.#log.scrollHeight;
    else if (this.#held?.node.isConnected) this.#log.scrollTop += this.#top(this.#held.node) - this.#held.top;
  }

  #top(node) {
    return node.getBoundingClientRect().top - this.#log.getBoundingClientRect().top;
  }

  #inSight() {
    const rows = this.#list.children;
    for (let n = this.#first((box, log) => box.bottom > log.top); n < rows.length; n++) {
      if (rows[n].dataset.seq) return { node: rows[n], top: this.#top(rows[n]) };
    }
    return null;
  }

  /** The highest seq whose message is visible by at least `SEEN` pixels. */
  get seen() {
    if (!this.#placed) return 0;
    const rows = this.#list.children;
    for (let n = this.#first((box, log) => box.top >= log.bottom - SEEN) - 1; n >= 0; n--) {
      if (rows[n].dataset.seq) return this.#overHidden(Number(rows[n].dataset.seq));
    }
    return this.#thread.loaded && this.#rows.size === 0 ? this.#overHidden(0) : 0;
  }

  /** Hidden messages have no rows: those after a message that was seen count as seen. */
  #overHidden(seq) {
    const after = this.#thread.messages.filter((message) => message.seq > seq);
    const end = after.findIndex(({ kind }) => kind !== "hidden");
    return (end < 0 ? after.at(-1) : after[end - 1])?.seq ?? seq;
  }

  /** The first row for which `is` holds, by binary search: it holds for all rows below too. */
  #first(is) {
    const log = this.#log.getBoundingClientRect();
    const rows = this.#list.children;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (is(rows[middle].getBoundingClientRect(), log)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // The rows. `#wanted` lists all of them, and `draw` updates the page: rows that stay keep their element.

  #wanted() {
    const id = this.#id;
    const thread = this.#thread;
    const me = this.#store.me?.id;
    const { kind, peer_read_seq } = this.#store.conversations.get(id);
    const group = kind !== "direct";
    const rows = [];
    let before = null;
    let day = null;
    // If the first unread message is above the loaded range, so is the divider.
    let divided = this.divider === null || thread.messages[0]?.seq > this.divider + 1;
    const add = (message, state, at, error) => {
      const mine = message.sender_id === me;
      // A message that is not stored yet has the time of this device's clock, which may be behind.
      if (before && new Date(at) < before.at) at = before.at.toISOString();
      const today = new Date(at).toDateString();
      const follows = before && day === today && before.sender_id === message.sender_id && new Date(at) - before.at < TOGETHER_MS;
      if (day !== today) rows.push({ key: `day ${today}`, make: () => line("day"), text: dayName(at) });
      const divides = !divided && !mine && message.seq > this.divider;
      if (divides) rows.push({ key: "divider", make: () => line("divider"), text: t("chat.divider") });
      divided ||= divides;
      const first = !follows || divides;
      if (before && first) before.row.look.last = true;
      const sender = mine ? null : this.#store.people.get(message.sender_id);
      const act = message.seq && this.#actions(message).length > 0 ? ({ currentTarget }) => menu(currentTarget, this.#actions(message), this.#log) : null;
      const mark = mine && !isGone(message) ? state : null;
      const read = mark === "stored" && peer_read_seq !== null && message.seq <= peer_read_seq;
      const meant = this.#store.isNamed(message);
      const reply = this.#reply(message);
      const forwarded = this.#forwarded(message);
      const wanted = {
        key: `${message.sender_id} ${message.client_msg_id}`,
        make: () => row(message, { mine, group, sender, me: this.#store.me, meant, reply, forwarded, versions: () => this.#versions(message) }),
        shows: JSON.stringify([message.kind, message.version ?? 1, message.upload ?? null, meant, forwarded, reply && [reply.name, reply.quoted?.kind ?? String(reply.quoted), reply.quoted?.version]]),
        look: { message, sender, first, last: false, marked: Boolean(message.seq) && (message.seq === this.#marked || message.seq === this.#found), at, state: mark, read, error, act, react: this.#react, ...this.#recover(message) },
        seq: message.seq,
      };
      rows.push(wanted);
      before = { sender_id: message.sender_id, at: new Date(at), row: wanted };
      day = today;
    };
    for (const message of thread.messages) if (message.kind !== "hidden") add(message, "stored", message.created_at);
    for (const item of thread.newer && !this.#stick ? [] : this.#store.outbox(id)) {
      add({ ...item, sender_id: item.user_id }, item.state, item.created_at, item.error ? explainSend(item.error) : undefined);
    }
    if (before) before.row.look.last = true;
    return rows;
  }

  /** What a forwarded message says of its first author, who may not want to be named. */
  #forwarded({ kind, forward }) {
    if (!forward || kind === undefined) return null;
    const id = forward.sender_id;
    if (id === undefined) return t("forward.unnamed");
    if (id === this.#store.me?.id) return t("forward.own");
    this.#store.know([id]);
    return t("forward.from", { name: nameOf(this.#store.people.get(id)) });
  }

  /** What a message says of the one to which it replies. */
  #reply({ reply_to }) {
    if (!reply_to) return null;
    const seq = reply_to.seq ?? reply_to;
    const quoted = reply_to.sender_id === null ? null : this.#thread.find(seq);
    const sender = quoted?.sender_id ?? reply_to.sender_id;
    if (sender) this.#store.know([sender]);
    return { quoted, name: sender === this.#store.me?.id ? t("message.you") : nameOf(this.#store.people.get(sender)), jump: () => this.jump(seq) };
  }

  /** The actions for a failed message. Its buttons disappear with it, so the focus moves to the composer. */
  #recover(item) {
    const then = (work) => () => {
      this.#write();
      work().catch(() => {});
    };
    const { client_msg_id: id, error } = item;
    return {
      retry: then(() => this.#tideline.retry(id)),
      discard: then(() => this.#tideline.discard(id)),
      unreplied: explainFields(error).reply_to ? then(() => this.#sendUnreplied(item)) : null,
    };
  }

  /** The message to which a message replies is gone. */
  #sendUnreplied({ conversation_id, client_msg_id, kind, content, upload, poster_upload, forward, mention_all, expires_in }) {
    this.#tideline.send(conversation_id, forward ? { forward } : { kind, content, upload, poster_upload }, { mention_all, expires_in }).catch(() => {});
    return this.#tideline.discard(client_msg_id);
  }

  draw() {
    if (!this.#id || !this.#store.conversations.has(this.#id)) return;
    // A person who has just scrolled away stays there, even before the scroll event has arrived.
    if (this.#stick) this.#follow(this.#below < NEAR || !this.#list.firstChild);
    this.#held = this.#stick ? null : this.#inSight();
    const kept = new Map();
    let place = this.#list.firstChild;
    const focused = document.activeElement.closest("#rows .row");
    for (const { key, make, shows, text, look, seq } of this.#wanted()) {
      const old = this.#rows.get(key);
      const node = old && old.dataset.shows === shows ? old : make();
      if (shows !== undefined) node.dataset.shows = shows;
      if (text && node.textContent !== text) node.firstChild.textContent = text;
      if (look) dress(node, look);
      if (seq) node.dataset.seq = seq;
      kept.set(key, node);
      if (node === place) place = place.nextSibling;
      else this.#list.insertBefore(node, place);
    }
    for (const [key, node] of this.#rows) {
      if (kept.get(key) === node) continue;
      node.remove();
      // A row with another content has taken its place.
      if (node === focused) ((kept.has(key) && $(".row-menu", kept.get(key))) || this.#log).focus();
    }
    this.#rows = kept;
    const buttons = $$(".row-menu", this.#list);
    const reached = buttons.find((button) => Number(button.closest(".row").dataset.seq) === this.#reached) ?? buttons.at(-1);
    for (const button of buttons) button.tabIndex = button === reached ? 0 : -1;
    this.#drawTop();
    this.#hold();
    this.#moved();
  }

  #drawRead() {
    const read = this.#store.conversations.get(this.#id)?.peer_read_seq ?? null;
    if (this.#peerRead === read) return;
    this.#peerRead = read;
    this.draw();
  }

  #drawTop() {
    const thread = this.#thread;
    const again = el("button", { type: "button", class: "link", onclick: () => (thread.loaded ? this.#older() : this.#begin()) }, t("noun.retry"));
    const empty = thread.loaded && thread.messages.length === 0;
    const { joined_seq, cleared_seq } = this.#store.conversations.get(this.#id).me;
    const start = t(cleared_seq > joined_seq ? "chat.cleared" : joined_seq > 0 ? "chat.joined" : empty ? "chat.empty" : "chat.start");
    const words = this.#problem ? [explain(this.#problem), " ", again] : thread.loaded && !thread.more ? [start] : [t("noun.loading")];
    $("#log-top").replaceChildren(...words);
  }

  /** Whether the divider is above the visible part. */
  get #isPassed() {
    if (this.divider === null || !this.#thread.loaded) return false;
    const divider = this.#rows.get("divider");
    return divider ? this.#top(divider) + divider.offsetHeight < 0 : this.#thread.messages[0]?.seq > this.divider + 1;
  }

  /** The buttons to the first unread message and to the end. */
  drawJump(unread) {
    $("#first-unread").hidden = !this.#isPassed;
    $("#jump").hidden = this.#below < FAR && !this.#thread.newer;
    $("#jump-text").textContent = unread > 0 ? t("chat.unread", { count: unread }) : t("chat.newest");
  }
}

const line = (name) => el("li", { class: name }, el("span"));

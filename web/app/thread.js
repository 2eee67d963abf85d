// The loaded messages of one conversation: a range without gaps, of a bounded length. It ends with the newest message while the
// reader is there; further up, newer ones are left out, and loaded again on the way down.

import { newerState } from "../tideline.js";

/** How many messages one step loads, and the maximum that is kept: while the reader scrolls, and at the end. */
const PAGE = 50;
const MOST = 300;
const MOST_AT_END = 150;
/** A larger gap is not filled: the range begins again at the newest page. */
const GAP = 100;
/** The number of messages shown above the first unread one. */
const BEFORE = 20;

export class Thread {
  messages = [];
  loaded = false;
  /** Whether there are messages before the first loaded one. */
  more = false;
  #id;
  #api;
  #changed;
  #following = true;
  /** The last seq of the range, and the newest known seq. */
  #end = 0;
  #head = 0;
  #turn = Promise.resolve();

  /** `changed` gets the messages that were added. */
  constructor(id, api, changed) {
    this.#id = id;
    this.#api = api;
    this.#changed = changed;
  }

  /** Whether there are messages after the last loaded one. */
  get newer() {
    return this.loaded && this.#end < this.#head;
  }

  /** Whether the reader is at the end: then new messages push old ones out, otherwise they wait to be loaded. */
  set following(following) {
    this.#following = following;
  }

  /** One step after the other, or two pages could be added at the wrong ends. */
  #serially(step) {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Loads the first view: the newest page, or the first unread message if that is further up. */
  open({ last_seq, me }) {
    return this.#serially(async () => {
      this.#head = Math.max(this.#head, last_seq);
      const shown = this.loaded && this.#head - this.#end <= GAP && (me.unread === 0 || this.messages[0]?.seq <= me.read_seq + 1);
      if (shown) return this.#catchUp();
      if (me.unread + BEFORE <= PAGE) return this.#newest();
      await this.#from(me.read_seq);
    });
  }

  /** The messages after this seq, and some before it. */
  around(seq) {
    return this.#serially(() => this.#from(seq));
  }

  async #from(seq) {
    const since_seq = Math.max(0, seq - BEFORE);
    const page = await this.#api.listMessages(this.#id, { since_seq, limit: PAGE });
    this.#replace(page, since_seq > 0);
  }

  /** The newest page, wherever the range was. */
  latest() {
    return this.#serially(() => (this.newer || !this.loaded ? this.#newest() : undefined));
  }

  older() {
    return this.#serially(async () => {
      if (!this.loaded || !this.more) return;
      const page = await this.#api.listMessages(this.#id, { before_seq: this.messages[0].seq, limit: PAGE });
      this.more = page.has_more && page.messages.length > 0;
      this.#keep([...page.messages, ...this.messages].slice(0, MOST));
      this.#changed(page.messages);
    });
  }

  later() {
    return this.#serially(async () => {
      if (!this.newer) return;
      const page = await this.#api.listMessages(this.#id, { since_seq: this.#end, limit: PAGE });
      this.#append(page.messages, MOST, MOST);
      if (!page.has_more) this.#head = this.#end;
      this.#changed(page.messages);
    });
  }

  /** Adds a message of an event. If messages before it are missing, they are fetched together with it. */
  take(message) {
    return this.#serially(() => {
      if (!this.loaded || message.seq <= this.#end) return;
      const next = message.seq === this.#end + 1;
      this.#head = Math.max(this.#head, message.seq);
      if (!this.#following && (!next || this.messages.length >= MOST)) return this.#changed([]);
      if (!next) return this.#catchUp();
      this.#append([message]);
      this.#changed([message]);
    });
  }

  /** A message has another state. A step that loads it comes before this one, so no page brings an older state later. */
  change(message) {
    return this.#serially(() => {
      const at = this.messages.findIndex(({ seq }) => seq === message.seq);
      if (at < 0 || newerState(this.messages[at], message) !== message) return;
      this.messages[at] = message;
      this.#changed([]);
    });
  }

  /** Loads the messages up to `head` that were missed. */
  reach(head) {
    return this.#serially(() => {
      this.#head = Math.max(this.#head, head);
      return this.#following ? this.#catchUp() : this.#changed([]);
    });
  }

  /** In another epoch the seqs belong to other messages. */
  reset() {
    return this.#serially(() => this.#forget());
  }

  /** The conversation is closed: a range that does not end with the newest message is not kept. */
  rest() {
    this.#following = true;
    return this.#serially(() => this.newer && this.#forget());
  }

  #forget() {
    this.loaded = this.more = false;
    this.messages = [];
    this.#head = this.#end = 0;
  }

  async #catchUp() {
    while (this.newer) {
      if (this.#head - this.#end > GAP) return this.#newest();
      const page = await this.#api.listMessages(this.#id, { since_seq: this.#end, limit: GAP });
      this.#append(page.messages);
      if (!page.has_more || page.messages.length === 0) this.#head = this.#end;
      this.#changed(page.messages);
    }
  }

  async #newest() {
    const page = await this.#api.listMessages(this.#id, { limit: PAGE });
    this.#replace({ ...page, has_more: false }, page.has_more);
  }

  #replace({ messages, last_seq, has_more }, more) {
    this.loaded = true;
    this.more = more;
    this.#end = last_seq;
    this.#head = Math.max(this.#head, last_seq);
    this.#keep(messages);
    if (!has_more) this.#head = this.#end;
    this.#changed(messages);
  }

  /** Adds messages at the end. If the range becomes too long, the first ones are dropped. */
  #append(messages, most = this.#following ? MOST_AT_END : MOST, kept = PAGE) {
    const all = [...this.messages, ...messages];
    if (all.length > most) this.more = true;
    this.#keep(all.length > most ? all.slice(-kept) : all);
  }

  #keep(messages) {
    this.messages = messages;
    this.#end = messages.at(-1)?.seq ?? this.#end;
  }
}

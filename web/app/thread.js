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
  /** The messages to which others reply, by seq; null: it is not visible. */
  quoted = new Map();
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
  /** The seqs of quoted messages that were requested. */
  #asked = new Set();

  /** `changed` gets the messages that were added. */
  constructor(id, api, changed) {
    this.#id = id;
    this.#api = api;
    this.#changed = (messages) => {
      changed(messages);
      this.#quote();
    };
  }

  async #page(query) {
    const page = await this.#api.listMessages(this.#id, { ...query, with_replied: true });
    for (const message of page.replied ?? []) this.#keepQuoted(message);
    return page;
  }

  #keepQuoted(message) {
    this.quoted.set(message.seq, newerState(message, this.quoted.get(message.seq)));
  }

  /** The message with this seq, if it was loaded: also one that others reply to, from outside of the range. */
  find(seq) {
    return this.messages.find((message) => message.seq === seq) ?? this.quoted.get(seq);
  }

  /** Loads the messages to which new ones reply. */
  #quote() {
    const seqs = this.messages.filter(({ reply_to }) => reply_to?.sender_id && this.find(reply_to.seq) === undefined && !this.#asked.has(reply_to.seq)).map(({ reply_to }) => reply_to.seq);
    const some = [...new Set(seqs)].slice(0, 100);
    if (some.length === 0) return;
    for (const seq of some) this.#asked.add(seq);
    this.#api.listMessages(this.#id, { seqs: some }).then(
      ({ messages }) => {
        for (const message of messages) this.#keepQuoted(message);
        for (const seq of some) if (!this.quoted.has(seq)) this.quoted.set(seq, null);
        this.#changed(messages);
      },
      () => some.forEach((seq) => this.#asked.delete(seq)),
    );
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
    const page = await this.#page({ since_seq, limit: PAGE });
    this.#replace(page, since_seq > 0);
  }

  /** The newest page, wherever the range was. */
  latest() {
    return this.#serially(() => (this.newer || !this.loaded ? this.#newest() : undefined));
  }

  older() {
    return this.#serially(async () => {
      if (!this.loaded || !this.more) return;
      const page = await this.#page({ before_seq: this.messages[0].seq, limit: PAGE });
      this.more = page.has_more && page.messages.length > 0;
      this.#keep([...page.messages, ...this.messages].slice(0, MOST));
      this.#changed(page.messages);
    });
  }

  later() {
    return this.#serially(async () => {
      if (!this.newer) return;
      const page = await this.#page({ since_seq: this.#end, limit: PAGE });
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
      if (this.quoted.get(message.seq)) this.#keepQuoted(message);
      const at = this.messages.findIndex(({ seq }) => seq === message.seq);
      if (at >= 0 && newerState(this.messages[at], message) === message) this.messages[at] = message;
      else if (!this.quoted.has(message.seq)) return;
      this.#changed([]);
    });
  }

  /** The response to a request has a part of a message: its next state comes with a number of its own. */
  patch(seq, fields) {
    return this.#serially(() => {
      const at = this.messages.findIndex((message) => message.seq === seq);
      if (at < 0) return;
      this.messages[at] = { ...this.messages[at], ...fields };
      this.#changed([]);
    });
  }

  /** The person has hidden a message: nothing of its content stays here. */
  hide(seq) {
    return this.#serially(() => {
      const stub = (message) => ({ ...message, kind: "hidden", content: {}, reactions: undefined });
      const at = this.messages.findIndex((message) => message.seq === seq);
      if (at >= 0) this.messages[at] = stub(this.messages[at]);
      if (this.quoted.get(seq)) this.quoted.set(seq, stub(this.quoted.get(seq)));
      this.#changed([]);
    });
  }

  /** The person has cleared the history up to this seq. */
  clear(seq) {
    return this.#serially(() => {
      this.messages = this.messages.filter((message) => message.seq > seq);
      for (const quoted of this.quoted.keys()) if (quoted <= seq) this.quoted.set(quoted, null);
      this.more = this.messages[0]?.seq > seq + 1;
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
    this.quoted.clear();
    this.#asked.clear();
    this.#head = this.#end = 0;
  }

  async #catchUp() {
    while (this.newer) {
      if (this.#head - this.#end > GAP) return this.#newest();
      const page = await this.#page({ since_seq: this.#end, limit: GAP });
      this.#append(page.messages);
      if (!page.has_more || page.messages.length === 0) this.#head = this.#end;
      this.#changed(page.messages);
    }
  }

  async #newest() {
    const page = await this.#page({ limit: PAGE });
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

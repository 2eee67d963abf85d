// The messages of one conversation that this page has: a range without holes, of a bounded length. It ends with the newest
// one while the reader is there; further up, newer ones are left out, and loaded again on the way down.

/** How many messages one step loads, and how many are kept at most: while one reads up and down, and at the end. */
const PAGE = 50;
const MOST = 300;
const MOST_AT_END = 150;
/** A larger gap is not filled: the range begins again at the newest page. */
const GAP = 100;
/** What is shown above the first unread message. */
const BEFORE = 20;

export class Thread {
  messages = [];
  loaded = false;
  /** Whether there is anything before the first message that we have. */
  more = false;
  #id;
  #api;
  #changed;
  #following = true;
  /** The seq that the range ends with, and the newest that we have heard of. */
  #end = 0;
  #head = 0;
  #turn = Promise.resolve();

  /** `changed` gets the messages that were added. */
  constructor(id, api, changed) {
    this.#id = id;
    this.#api = api;
    this.#changed = changed;
  }

  /** Whether there is anything behind the last message that we have. */
  get newer() {
    return this.loaded && this.#end < this.#head;
  }

  /** Whether the reader is at the end: then new messages push old ones out, otherwise they wait to be loaded. */
  set following(following) {
    this.#following = following;
  }

  /** One step after the other, or two pages could be put on the wrong ends. */
  #serially(step) {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** What one sees first: the newest page, or the first unread message where that is further up. */
  open({ last_seq, me }) {
    return this.#serially(async () => {
      this.#head = Math.max(this.#head, last_seq);
      const shown = this.loaded && this.#head - this.#end <= GAP && (me.unread === 0 || this.messages[0]?.seq <= me.read_seq + 1);
      if (shown) return this.#catchUp();
      if (me.unread + BEFORE <= PAGE) return this.#newest();
      await this.#from(me.read_seq);
    });
  }

  /** The messages behind this seq, and some before it. */
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

  /** A message that was told to us. What is missing before it is fetched, and it with that. */
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

  /** After a time of not hearing: what there is up to `head`. */
  reach(head) {
    return this.#serially(() => {
      this.#head = Math.max(this.#head, head);
      return this.#following ? this.#catchUp() : this.#changed([]);
    });
  }

  /** In another life of the database the seqs are other messages. */
  reset() {
    return this.#serially(() => this.#forget());
  }

  /** Nobody looks at it any more: what does not end with the newest message is of no use later. */
  rest() {
    this.#following = true;
    return this.#serially(() => this.newer && this.#forget());
  }

  #forget() {
    this.loaded = false;
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

  /** Behind the end. Where that makes too many, the first ones go. */
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

// The messages of one conversation that this page has: always a range without holes that ends with the newest.

const PAGE = 50;
const MOST = 500;

export class Thread {
  messages = [];
  loaded = false;
  /** Whether there is anything before the first message that we have. */
  more = false;
  #id;
  #api;
  #changed;
  #head = 0;
  #loading = null;
  #turn = Promise.resolve();

  constructor(id, api, changed) {
    this.#id = id;
    this.#api = api;
    this.#changed = changed;
  }

  /** One step after the other, or two pages could be put on the wrong ends. */
  #serially(step) {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The newest page, long enough to reach what is unread. Whoever asks for it meanwhile waits for the same one. */
  load(unread = 0) {
    this.#loading ??= this.#first(unread).finally(() => (this.#loading = null));
    return this.#loading;
  }

  #first(unread) {
    return this.#serially(async () => {
      if (this.loaded) return this.#catchUp();
      const limit = Math.min(MOST, Math.max(PAGE, unread + 20));
      const page = await this.#api.listMessages(this.#id, { limit });
      this.messages = page.messages;
      this.#head = page.messages.at(-1)?.seq ?? page.last_seq;
      this.more = page.has_more;
      this.loaded = true;
      await this.#changed();
    });
  }

  older() {
    return this.#serially(async () => {
      if (!this.loaded || !this.more) return;
      const page = await this.#api.listMessages(this.#id, { before_seq: this.messages[0].seq, limit: PAGE });
      this.messages = [...page.messages, ...this.messages];
      this.more = page.has_more && page.messages.length > 0;
      await this.#changed();
    });
  }

  /** A message that was told to us. What is missing before it is fetched, and it with that. */
  take(message) {
    return this.#serially(async () => {
      if (!this.loaded || message.seq <= this.#head) return;
      if (message.seq > this.#head + 1) return this.#catchUp();
      this.#append([message]);
      await this.#changed();
    });
  }

  /** After a time of not hearing: what there is up to `head`. */
  reach(head) {
    return this.#serially(() => (this.loaded && head > this.#head ? this.#catchUp() : undefined));
  }

  /** In another life of the database the seqs are other messages. */
  reset() {
    return this.#serially(() => {
      this.loaded = false;
      this.messages = [];
    });
  }

  async #catchUp() {
    for (let more = true; more; ) {
      const page = await this.#api.listMessages(this.#id, { since_seq: this.#head, limit: 100 });
      this.#append(page.messages);
      more = page.has_more && page.messages.length > 0;
    }
    await this.#changed();
  }

  #append(messages) {
    this.messages = [...this.messages, ...messages];
    this.#head = messages.at(-1)?.seq ?? this.#head;
  }
}

// Who is online: the people that the application shows, and whether the user is active here.
//
// The cursor of a wait says what the client knows, and the answer has the difference. So a lost answer loses nothing, and other people
// need another cursor. Without people and without an activity a wait has nothing of this.

import { uuid } from "./ids.js";
import { FOLLOWED } from "./limits.js";
import { backoff } from "./signals.js";

/** How long a wait goes on after something else is to be asked. */
const LOOK_MS = 100;
/** Without a connection the last states are shown for this time. The server does the same with a device without a wait. */
const SILENT_MS = 45_000;
/** By then the server has stored when a person was last seen. */
const SEEN_MS = 16_000;
/** How long the word of another tab holds. It is repeated, once a minute at least. */
const TAB_MS = 150_000;

const hasStates = (value) => value === null || (typeof value.cursor === "string" && Array.isArray(value.presences));

export class Presence {
  #core;
  /** Whether the server knows who is online; null: it was not asked yet. */
  exist = null;
  /** What the application wants in this tab, and in others by tab. */
  #own = { ids: [], wake: false, activity: undefined };
  #tabs = new Map();
  /** The last states of the people of the cursor, by id. */
  #states = new Map();
  #cursor = null;
  /** Whether the states are shown. After a restart or a long time without a connection, only an answer makes them current. */
  #isShown = false;
  /** What the last wait has asked for. */
  #sent = "{}";
  #failures = 0;
  #preparing = false;
  #looking = null;
  #silence = null;
  /** Reads the profiles of people again, or keeps those that another tab has read; set by people.js. */
  profiles = { readAgain: async () => {}, keep: () => {} };

  constructor(core) {
    this.#core = core;
  }

  /** The application shows these people now, in place of those before. */
  watch(ids, { wake = false } = {}) {
    const before = new Set(this.#own.ids);
    this.#own.ids = [...new Set(ids.map(uuid))].slice(0, FOLLOWED);
    this.#own.wake = Boolean(wake);
    if (this.#isShown) this.#emit([...this.#states.values()].filter(({ user_id }) => !before.has(user_id)));
    this.#look();
  }

  setActivity(activity) {
    if (this.#own.activity === activity) return;
    this.#own.activity = activity;
    this.#look();
  }

  #look() {
    if (!this.#core.tabs.leader) return this.tellLeader();
    this.#looking ??= setTimeout(() => {
      this.#looking = null;
      this.#prepare();
      if (JSON.stringify(this.#parameters()) !== this.#sent) this.#core.sync.rewatch();
    }, LOOK_MS);
  }

  /** The leader asks for all tabs. */
  tellLeader() {
    if (!this.#core.tabs.leader && this.#isUsed) this.#core.tabs.tellPeople({ ...this.#own, isBehind: !this.#isShown });
  }

  /** Another tab shows these people. */
  watchFor(tab, { ids, wake, activity, isBehind }) {
    const before = this.#tabs.get(tab)?.ids ?? [];
    this.#tabs.delete(tab);
    if (ids.length > 0 || activity) this.#tabs.set(tab, { ids, wake, activity, at: Date.now() });
    const more = ids.filter((id) => (isBehind || !before.includes(id)) && this.#states.has(id));
    if (this.#isShown && more.length > 0) this.#core.tabs.post({ type: "presence", presences: more.map((id) => this.#states.get(id)) });
    this.#look();
  }

  get #isUsed() {
    return this.#own.ids.length > 0 || this.#own.activity !== undefined;
  }

  get #all() {
    return [this.#own, ...[...this.#tabs.values()].filter(({ at }) => Date.now() - at < TAB_MS)];
  }

  /** The people that all tabs show. */
  get #wanted() {
    return [...new Set(this.#all.flatMap(({ ids }) => ids))].slice(0, FOLLOWED);
  }

  /** A tab in which the user is active counts more than others. */
  get #activity() {
    const activities = this.#all.map(({ activity }) => activity);
    return ["active", "idle"].find((one) => activities.includes(one));
  }

  #parameters() {
    if (!this.exist) return {};
    const presence = this.#wanted.length > 0 ? (this.#cursor ?? undefined) : undefined;
    const presence_wake = presence && this.#all.some(({ wake }) => wake) ? true : undefined;
    return { activity: this.#activity, presence, presence_wake };
  }

  /** The parameters of a wait. */
  asked() {
    this.#prepare();
    const parameters = this.#parameters();
    this.#sent = JSON.stringify(parameters);
    return parameters;
  }

  /** What is known is from before a pause, so the answer of the next wait should come soon. */
  get isBehind() {
    return this.#cursor !== null && !this.#isShown;
  }

  // The cursor.

  get #fits() {
    return this.#cursor !== null && this.#wanted.every((id) => this.#states.has(id));
  }

  get #isReady() {
    if (this.exist === null) return this.#wanted.length === 0 && !this.#activity;
    return !this.exist || this.#wanted.length === 0 || this.#fits;
  }

  /** Gets what the next wait needs, beside the present one. */
  #prepare() {
    if (this.#wanted.length === 0) this.#drop();
    const { run } = this.#core.sync;
    if (this.#preparing || this.#isReady || !run) return;
    this.#preparing = true;
    this.#spawn(run.signal, this.#get(run.signal).finally(() => (this.#preparing = false)));
  }

  /** Work of this run of the sync, with which it ends. */
  #spawn(signal, work) {
    this.#core.spawn(work.catch((error) => signal.aborted || Promise.reject(error)));
  }

  #drop() {
    this.#cursor = null;
    this.#states.clear();
    this.#isShown = false;
  }

  async #get(signal) {
    while (this.#core.tabs.leader && !this.#isReady) {
      try {
        if (this.#failures > 0) await this.#core.pause(backoff(this.#core.backoff, this.#failures - 1), signal);
        this.exist ??= (await this.#core.session.call("GET", "/v1/capabilities", { auth: false, signal })).features.includes("presence");
        if (!this.exist) return;
        if (this.#wanted.length > 0) await this.#getCursor(signal);
        // Other people are wanted meanwhile. A server that answers for others must not be asked in a tight loop.
        if (!this.#isReady) this.#failures++;
        this.#core.sync.rewatch();
      } catch (error) {
        signal.throwIfAborted();
        this.#failures++;
        // A node of an earlier version has no presence.
        if (error.status === 404) this.exist = false;
        if (error.retryAfterMs) await this.#core.pause(error.retryAfterMs, signal);
        if (!error.transient) throw error;
      }
    }
  }

  async #getCursor(signal) {
    const stored = this.#cursor === null && this.#failures === 0 ? await this.#stored() : null;
    if (stored) return this.#begin(stored.cursor, stored.presences);
    const user_ids = this.#wanted;
    const { cursor, presences } = await this.#core.sync.ask("POST", "/v1/presence/cursors", { body: { user_ids }, signal });
    this.#begin(cursor, presences);
    this.#show();
    await this.#remember();
  }

  #begin(cursor, presences) {
    this.#cursor = cursor;
    this.#states = new Map(presences.map((one) => [one.user_id, one]));
    this.#isShown = false;
  }

  #show() {
    this.#isShown = true;
    const all = [...this.#states.values()];
    this.#tell(all);
    this.#core.spawn(this.profiles.readAgain(all));
  }

  /** The server does not take the cursor: a day is over. */
  invalid() {
    this.#failures++;
    this.#cursor = null;
  }

  /** An application that keeps its state between runs continues with the cursor as well. */
  get #key() {
    return `${this.#core.sync.run?.user}:presence`;
  }

  async #stored() {
    const found = this.#core.options.resume ? await this.#core.store.read(this.#key, hasStates) : null;
    const ids = new Set(found?.presences.map(({ user_id }) => user_id));
    return found && this.#wanted.every((id) => ids.has(id)) ? found : null;
  }

  async #remember() {
    if (!this.#core.options.resume || !this.#core.sync.run || this.#cursor === null) return;
    await this.#core.store.write(this.#key, { cursor: this.#cursor, presences: [...this.#states.values()] });
  }

  // The states.

  /** The signal of a wait that has asked for it. */
  take(signal, { presence }) {
    // An answer to an earlier cursor, or without signals.
    if (presence === undefined || presence !== this.#cursor || signal === undefined) return;
    this.#failures = 0;
    const changes = (signal?.changes ?? []).map((one) => ({ ...one, last_seen_at: null }));
    for (const one of changes) this.#states.set(one.user_id, one);
    this.#cursor = signal?.cursor ?? presence;
    if (!this.#isShown) this.#show();
    else if (changes.length > 0) {
      this.#tell(changes);
      this.#core.spawn(this.profiles.readAgain(changes));
    }
    if (changes.length > 0) this.#core.spawn(this.#remember());
    const left = changes.filter(({ state }) => state === "offline").map(({ user_id }) => user_id);
    const { signal: ended } = this.#core.sync.run;
    if (left.length > 0) this.#spawn(ended, this.#readSeen(left, ended));
  }

  /** A change does not say when a person was last seen. */
  async #readSeen(ids, signal) {
    await this.#core.pause(SEEN_MS, signal);
    const { presences } = await this.#core.sync.ask("GET", "/v1/presence", { query: { ids: ids.join(",") }, signal });
    const found = presences.filter(({ user_id, last_seen_at }) => last_seen_at && this.#states.get(user_id)?.state === "offline");
    for (const one of found) this.#states.set(one.user_id, { ...this.#states.get(one.user_id), last_seen_at: one.last_seen_at });
    if (this.#isShown) this.#tell(found.map(({ user_id }) => this.#states.get(user_id)));
  }

  #tell(presences) {
    if (this.#core.tabs.leader) this.#core.tabs.post({ type: "presence", presences });
    this.#emit(presences);
  }

  #emit(presences) {
    const own = presences.filter(({ user_id }) => this.#own.ids.includes(user_id));
    if (own.length > 0) this.#core.emit("presence", { presences: own });
  }

  /** The leader has these states. */
  receive({ presences }) {
    for (const one of presences) this.#states.set(one.user_id, one);
    // The cursor of an earlier time as the leader is another one's now.
    this.#cursor = null;
    this.#isShown = true;
    this.#emit(presences);
  }

  /** Without a connection nobody knows for long who is online. */
  connected(isConnected) {
    if (isConnected) {
      clearTimeout(this.#silence);
      this.#silence = null;
    } else this.#silence ??= setTimeout(() => this.#hide(), SILENT_MS);
  }

  #hide() {
    const shown = this.#isShown ? [...this.#states.keys()] : [];
    this.#isShown = false;
    this.#emit(shown.map((user_id) => ({ user_id, state: "unknown", platforms: [], last_seen_at: null, rev: null })));
  }

  /** The sync has ended. What the application wants stays. */
  clear() {
    for (const timer of [this.#silence, this.#looking]) clearTimeout(timer);
    this.#silence = this.#looking = null;
    this.#hide();
    this.#drop();
    this.#tabs.clear();
    this.exist = null;
    this.#failures = 0;
  }
}

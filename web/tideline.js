// Tideline for JavaScript: accounts, conversations, sending and staying in sync, in browsers and in Node 18 or later.
//
//   const tideline = new Tideline({ url });
//   await tideline.login({ username, password });
//   tideline.on("message", ({ message }) => show(message));
//   await tideline.start();
//   await tideline.send(conversation.id, "hello");
//
// Values look as they do in the HTTP API (`/docs`); types are in tideline.d.ts. The sections below:
//   1. errors, ids, storage, locks: small tools     4. sending: an outbox with one message in flight per conversation
//   2. requests and the session                     5. the sync loop: start over, wait, fetch, apply, remember
//   3. the API, a method per operation              6. tabs: one of them waits for all
//
// Two rules run through all of it. A thing that was not answered is done again, with the same id, because the server keeps
// the first answer. And a position moves only after the application has taken what lies before it.

// ---------------------------------------------------------------------------------------------------------------------
// 1. Small tools

/** Every failure: a refusal of the server (`code` is what to switch on), or `network`, `timeout`, `closed`, … with status 0. */
export class TidelineError extends Error {
  constructor({ code, status = 0, detail, request_id = null, errors = [], retryAfterMs = null, cause }) {
    super(detail ?? code, cause === undefined ? undefined : { cause });
    this.name = "TidelineError";
    this.code = code;
    this.status = status;
    this.detail = this.message;
    this.request_id = request_id;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may do better later. */
  get transient() {
    return this.code === "network" || this.code === "timeout" || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Storage that is gone with the process: what Node gets unless it is given another. */
export function memoryStorage() {
  const values = new Map();
  return {
    get: (key) => values.get(key) ?? null,
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    keys: (prefix) => [...values.keys()].filter((key) => key.startsWith(prefix)),
  };
}

/** The browser's localStorage, which all tabs of an origin share and which survives them. */
export function browserStorage(local = globalThis.localStorage) {
  return {
    get: (key) => local.getItem(key),
    set: (key, value) => local.setItem(key, value),
    delete: (key) => local.removeItem(key),
    keys: (prefix) => Object.keys(local).filter((key) => key.startsWith(prefix)),
  };
}

// getRandomValues and not randomUUID, which insecure origins do not have. Node 18 has it in a module only.
const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
let lastTime = 0;
let lastCount = 0;

/** A UUIDv7 that sorts after every one made or seen before it: outboxes are kept in this order. */
export function uuidv7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  if (now > lastTime) {
    lastTime = now;
    lastCount = bytes[6] & 0x07;
  } else if (++lastCount > 0xfff) {
    lastTime++;
    lastCount = 0;
  }
  for (let i = 0, time = lastTime; i < 6; i++, time = Math.floor(time / 256)) bytes[5 - i] = time % 256;
  bytes[6] = 0x70 | (lastCount >> 8);
  bytes[7] = lastCount & 0xff;
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A clock that was set back, or another tab's that is ahead, must not put new messages before older ones. */
function noteId(id) {
  const time = parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  if (id[14] === "7" && time > lastTime && time < Date.now() + 86_400_000) [lastTime, lastCount] = [time, 0xfff];
}

/** What the server answered instead of what was asked for. */
function refusal(response, problem) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After"));
  return new TidelineError({
    code: problem.code ?? "unexpected",
    status: response.status,
    detail: problem.detail ?? `the answer is ${response.status}, and not Tideline's`,
    request_id: problem.request_id ?? response.headers.get("X-Request-Id"),
    errors: problem.errors,
    retryAfterMs: problem.retry_after_ms ?? (seconds >= 0 ? seconds * 1_000 : null),
  });
}

/** Full jitter: anything up to a bound that doubles. What a server asked for is waited out first. */
const backoff = ({ base, cap }, failures, error) =>
  (error?.retryAfterMs ?? 0) + Math.random() * Math.min(cap, base * 2 ** Math.min(failures, 30));

/**
 * A signal that ends with any of these, or after a time. `done` lets go of all of them, so that nothing is left behind.
 * It is among `all` meanwhile: for the many that `close` ends, which would be too many listeners of one signal.
 */
function linked(signals, { ms, all } = {}) {
  const controller = new AbortController();
  const given = signals.filter(Boolean);
  const end = (event) => controller.abort(event.target.reason);
  for (const signal of given) signal.aborted ? controller.abort(signal.reason) : signal.addEventListener("abort", end);
  const late = new TidelineError({ code: "timeout", detail: `no answer within ${ms} ms` });
  const timer = ms === undefined ? undefined : setTimeout(() => controller.abort(late), ms);
  const done = () => {
    clearTimeout(timer);
    all?.delete(link);
    for (const signal of given) signal.removeEventListener("abort", end);
  };
  const link = { signal: controller.signal, abort: (reason) => controller.abort(reason), done };
  all?.add(link);
  return link;
}

/** The promise's outcome, or the signal's end if that comes first. */
function abortable(promise, signal) {
  if (!signal) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

/** For promises that nobody has to look at, because events tell the same: unhandled, a rejection would end a process. */
function handled(promise) {
  promise.catch(() => {});
  return promise;
}

/** Web Locks for one alone: the same order of things where there are no tabs (Node, insecure origins). */
class SoloLocks {
  #tails = new Map();

  async request(name, { signal }, held) {
    const before = this.#tails.get(name);
    let release;
    const mine = new Promise((resolve) => (release = resolve));
    const tail = Promise.all([before, mine]);
    this.#tails.set(name, tail);
    try {
      await abortable(before, signal);
      return await held({ name });
    } finally {
      release();
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}

/** A message that was read in the history, in the form of an entry of the inbox, in which it has no seq. */
const unlisted = (message, readSeq) => ({
  seq: null,
  kind: "message",
  conversation_id: message.conversation_id,
  at: message.created_at,
  unread: Math.max(0, message.seq - readSeq),
  message,
});

const inBrowser = typeof window === "object" && typeof document === "object";

/** localStorage may be forbidden, and then even looking at it throws. */
function defaultStorage() {
  try {
    if (inBrowser && window.localStorage) return browserStorage(window.localStorage);
  } catch {
    // Then it is as in Node: the session ends with the page.
  }
  return memoryStorage();
}

const RESYNC = ["cursor_ahead", "epoch_changed", "inbox_trimmed"];
const SIGNED_OUT = ["unauthenticated", "device_revoked", "refresh_invalid"];
const NETWORK_EVENTS = ["online", "offline", "pageshow", "visibilitychange"];
const ENTRY_KINDS = ["message", "mention", "read", "conversation", "members"];
/** How often a call is repeated before its caller hears of it, and how long it waits at most for `Retry-After`. */
const REPEATS = 3;
const PATIENCE_MS = 10_000;
/** A lost refresh is repeated soon: the server takes the old token for a minute only. */
const REFRESH_CAP_MS = 4_000;
const DEFAULTS = { requestTimeoutMs: 30_000, waitSeconds: 25, leaderSilenceMs: 15_000, resume: false, backfill: false };
/** Many pages of one loop, not one huge answer. */
const PAGE = 100;
/** The most conversations that the server lets one wait watch. */
const WATCH = 100;
/** How many settled sends are remembered, so that a late look into the storage does not bring one back. */
const SETTLED = 1_000;

export class Tideline {
  #url;
  #options;
  #storage;
  #locks;
  #backoff;
  #prefix;
  #network;
  #hasTabs;
  #session = null;
  #sessionStored = false;
  #refreshing = null;
  #handlers = new Map();
  #life = new AbortController();
  #links = new Set();
  #tasks = new Set();
  #nudges = new Set();
  #closing = null;

  /** See `TidelineOptions` in tideline.d.ts. In a browser `new Tideline()` talks to the page's own origin. */
  constructor(options = {}) {
    this.#options = { ...DEFAULTS, ...options };
    const url = options.url ?? globalThis.location?.origin;
    if (!url) throw new TypeError("tell Tideline the url of the server");
    this.#url = new URL(url).href.replace(/\/+$/, "");
    this.#storage = options.storage ?? defaultStorage();
    this.#backoff = { base: 500, cap: 30_000, ...options.backoff };
    this.#prefix = `tideline:${options.name ?? this.#url}:`;
    // Tabs are told from programs by the storage they share. Two programs in one Node process share nothing.
    const tabs = options.tabs ?? inBrowser;
    const locks = tabs && typeof BroadcastChannel === "function" ? (options.locks ?? globalThis.navigator?.locks) : null;
    this.#locks = locks ?? new SoloLocks();
    this.#hasTabs = Boolean(locks);
    this.#network = options.network ?? (inBrowser ? window : null);
    for (const name of NETWORK_EVENTS) this.#network?.addEventListener(name, this.#networkChanged);
  }

  // -------------------------------------------------------------------------------------------------------------------
  // 2. Requests and the session

  /** Who is signed in; null when nobody is. */
  get user() {
    return this.#session?.user ?? null;
  }

  /** The device that this installation is; null when nobody is signed in. */
  get deviceId() {
    return this.#session?.device_id ?? null;
  }

  /** One request, once. `auth` is the access token, or null. */
  async #once(method, path, { query, body, signal, timeoutMs }, token) {
    this.#life.signal.throwIfAborted();
    const link = linked([signal], { ms: timeoutMs ?? this.#options.requestTimeoutMs, all: this.#links });
    const url = new URL(this.#url + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const one of [value].flat()) if (one !== undefined && one !== null) url.searchParams.append(name, String(one));
    }
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      link.signal.throwIfAborted();
      const send = this.#options.fetch ?? globalThis.fetch;
      const request = { method, headers, signal: link.signal, cache: "no-store", credentials: "omit" };
      if (body !== undefined) request.body = JSON.stringify(body);
      const response = await abortable(send(url.href, request), link.signal);
      const text = await abortable(response.text(), link.signal);
      if (response.status === 204) return null;
      let value;
      try {
        value = JSON.parse(text);
      } catch (cause) {
        // Not Tideline but something before it: a proxy's page, or the log-in page of a hotel's network.
        if (response.ok) throw new TidelineError({ code: "network", detail: "the answer is not JSON", cause });
        value = {};
      }
      if (response.ok) return value;
      throw refusal(response, value);
    } catch (error) {
      if (link.signal.aborted) throw link.signal.reason;
      if (error instanceof TidelineError) throw error;
      throw new TidelineError({ code: "network", detail: `no answer from ${this.#url}`, cause: error });
    } finally {
      link.done();
    }
  }

  /** With the session: an access token that has ended is refreshed, and only then; a session that has ended ends here too. */
  async #authorized(method, path, options) {
    const { user } = await this.#sessionNow();
    for (let refreshes = 0; ; refreshes++) {
      // What one person has begun is not repeated as another who has signed in meanwhile.
      if (this.#session?.user.id !== user.id) throw new TidelineError({ code: "signed_out", status: 401, detail: "signed out meanwhile" });
      const token = this.#session.access_token;
      try {
        return await this.#once(method, path, options, token);
      } catch (error) {
        if (error.code === "token_expired" && refreshes < 2) await abortable(this.#refresh(token), options.signal);
        else if (error.status === 401 && SIGNED_OUT.includes(error.code)) throw await this.#sessionEnded(error, token);
        else throw error;
      }
    }
  }

  /**
   * A call of the application. What may do better later is repeated a few times: `always`, because the request is safe to
   * repeat; after a `refusal` only, because then nothing was done; or `never`, because the caller has a loop of its own.
   */
  async #call(method, path, options = {}) {
    const { repeat = "always", auth = true } = options;
    for (let failures = 0; ; failures++) {
      try {
        return await (auth ? this.#authorized(method, path, options) : this.#once(method, path, options));
      } catch (error) {
        // The first DELETE was done, and only its answer was lost.
        if (method === "DELETE" && error.status === 404 && failures > 0) return null;
        const again = repeat === "always" ? error.transient : repeat === "refusal" && error.status === 429;
        if (!again || failures >= REPEATS || error.retryAfterMs > PATIENCE_MS) throw error;
        await this.#pause(backoff(this.#backoff, failures, error), options.signal);
      }
    }
  }

  /** Waits. Being online again ends it early, but not a time that the server has asked for. */
  async #pause(ms, signal, { early = false } = {}) {
    this.#life.signal.throwIfAborted();
    const link = linked([signal], { all: this.#links });
    let timer, wake;
    const over = new Promise((resolve) => {
      timer = setTimeout((wake = resolve), ms);
      if (early) this.#nudges.add(wake);
    });
    try {
      await abortable(over, link.signal);
    } finally {
      clearTimeout(timer);
      this.#nudges.delete(wake);
      link.done();
    }
  }

  async #sessionNow() {
    const session = this.#session ?? ((await this.restore()) && this.#session);
    if (!session) throw new TidelineError({ code: "unauthenticated", status: 401, detail: "nobody is signed in: call login" });
    return session;
  }

  /** Takes up the session that an earlier run has left in the storage. Null when there is none: log in. */
  async restore() {
    if (this.#life.signal.aborted) throw this.#life.signal.reason;
    if (!this.#session) {
      const session = await this.#storedSession();
      if (session && !this.#session) {
        this.#owner = session.user.id;
        this.#sessionStored = true;
        this.#adopt(session);
      }
    }
    return this.user;
  }

  async #storedSession() {
    return JSON.parse((await this.#storage.get(`${this.#prefix}session`)) ?? "null");
  }

  /** The storage knows better than this tab, unless it has refused to store. To be asked under the lock `refresh`. */
  #currentSession() {
    return this.#sessionStored ? this.#storedSession() : this.#session;
  }

  #adopt(session) {
    this.#session = session;
    if (session) this.#openChannel();
  }

  /** Tokens are stored before they are used: the old refresh token dies with the first use of the new ones. */
  async #signedIn({ user, device_id, access_token, refresh_token }) {
    const session = { user, device_id, access_token, refresh_token };
    if (this.#owner !== user.id) this.#outbox.clear();
    this.#owner = user.id;
    this.#sessionStored = await this.#keep("session", session);
    await this.#keep("device", device_id);
    this.#adopt(session);
    this.#post({ type: "session", session });
    return user;
  }

  /** Storage that is full or forbidden costs the survival of a reload, not the chat. */
  async #keep(key, value) {
    try {
      await this.#storage.set(this.#prefix + key, JSON.stringify(value));
      return true;
    } catch (cause) {
      this.#report(new TidelineError({ code: "storage_failed", detail: `cannot store ${key}`, cause }));
      return false;
    }
  }

  /**
   * One refresh at a time in this tab, and by the lock one in all tabs: a refresh token is good once, and a second use
   * looks to the server like a thief's. Whoever comes second finds the new tokens in the storage.
   */
  #refresh(token) {
    this.#refreshing ??= this.#withLock("refresh", async () => {
      const session = await this.#currentSession();
      if (!session || session.user.id !== this.#session?.user.id) {
        throw new TidelineError({ code: "unauthenticated", status: 401, detail: "signed out meanwhile" });
      }
      if (session.access_token !== token) return this.#adopt(session);
      for (let failures = 0; ; failures++) {
        try {
          const body = { refresh_token: session.refresh_token };
          return await this.#signedIn(await this.#once("POST", "/v1/auth/refresh", { body }));
        } catch (error) {
          // A lost answer logs nobody out: the server takes the same token again, for a minute.
          if (!error.transient || this.#life.signal.aborted) throw error;
          const { base, cap } = this.#backoff;
          await this.#pause(backoff({ base, cap: Math.min(cap, REFRESH_CAP_MS) }, failures, error), null, { early: true });
        }
      }
    })
      .catch(async (error) => {
        throw SIGNED_OUT.includes(error.code) ? await this.#sessionEnded(error, token) : error;
      })
      .finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  /** The server knows this session no more. The outbox stays: its owner may log in again. */
  async #sessionEnded(error, token) {
    if (this.#session?.access_token !== token) return error;
    // Another tab may have signed in meanwhile; what it has stored stays.
    if ((await this.#storedSession())?.access_token === token) {
      await this.#storage.delete(`${this.#prefix}session`);
      this.#post({ type: "session", session: null, reason: error.code });
    }
    this.#signedOut(error);
    return error;
  }

  /** Ends what runs for the session: here, or because another tab has said so. */
  #signedOut(reason) {
    if (!this.#session) return;
    this.#session = null;
    this.#stop(reason);
    this.#rejectAll(reason);
    this.#tell("signed_out", { reason: reason.code });
  }

  // -------------------------------------------------------------------------------------------------------------------
  // 3. The API. Every method takes `{ signal }` last; what comes back is the answer's body.

  /** Makes an account and signs in. */
  async register({ username, password, display_name, device }, { signal } = {}) {
    const body = { username, password, display_name, device: await this.#deviceInfo(device, false) };
    return this.#enter(await this.#call("POST", "/v1/auth/register", { body, auth: false, repeat: "refusal", signal }));
  }

  /** Signs in, on the same device as before if the server still knows it. */
  async login({ username, password, device }, { signal } = {}) {
    const body = { username, password, device: await this.#deviceInfo(device, true) };
    return this.#enter(await this.#call("POST", "/v1/auth/login", { body, auth: false, repeat: "refusal", signal }));
  }

  async #deviceInfo(given, known) {
    const stored = JSON.parse((await this.#storage.get(`${this.#prefix}device`)) ?? "null");
    const id = known && stored ? { id: stored } : {};
    return { platform: inBrowser ? "web" : "other", ...id, ...this.#options.device, ...given };
  }

  async #enter(session) {
    if (this.#session && this.#session.user.id !== session.user.id) {
      const reason = new TidelineError({ code: "signed_out" });
      for (const attempt of this.#attempts.values()) attempt.abort(reason);
      this.#signedOut(reason);
    }
    return this.#withLock("refresh", () => this.#signedIn(session));
  }

  /** Signs out here whatever the network says, and forgets what is stored of this account. */
  async logout({ signal } = {}) {
    const { user } = await this.#sessionNow();
    try {
      await this.#call("POST", "/v1/auth/logout", { signal });
    } catch (error) {
      if (!SIGNED_OUT.includes(error.code)) throw error;
    } finally {
      // Under the lock, so that a refresh of another tab does not store the session again.
      await this.#withLock("refresh", async () => {
        for (const key of await this.#storage.keys(`${this.#prefix}${user.id}:`)) await this.#storage.delete(key);
        await this.#storage.delete(`${this.#prefix}session`);
      });
      this.#post({ type: "session", session: null, reason: "signed_out" });
      this.#outbox.clear();
      this.#signedOut(new TidelineError({ code: "signed_out", detail: "signed out" }));
    }
  }


  getMe({ signal } = {}) {
    return this.#call("GET", "/v1/me", { signal });
  }

  async updateMe({ display_name }, { signal } = {}) {
    const user = await this.#call("PATCH", "/v1/me", { body: { display_name }, signal });
    await this.#withLock("refresh", async () => {
      const session = await this.#currentSession();
      if (session?.user.id === user.id) await this.#signedIn({ ...session, user });
    });
    return user;
  }

  getUser(userId, { signal } = {}) {
    return this.#call("GET", `/v1/users/${userId}`, { signal });
  }

  /** The users of up to 100 ids, or of one exact username. Unknown ones are left out. */
  async listUsers({ ids, username }, { signal } = {}) {
    const query = { ids: ids?.join(","), username };
    return (await this.#call("GET", "/v1/users", { query, signal })).users;
  }

  async findUser(username, { signal } = {}) {
    return (await this.listUsers({ username }, { signal }))[0] ?? null;
  }

  async listDevices({ signal } = {}) {
    return (await this.#call("GET", "/v1/me/devices", { signal })).devices;
  }

  removeDevice(deviceId, { signal } = {}) {
    return this.#call("DELETE", `/v1/me/devices/${deviceId}`, { signal });
  }

  /** Signs all other devices out. */
  changePassword({ old_password, new_password }, { signal } = {}) {
    const body = { old_password, new_password };
    return this.#call("PUT", "/v1/me/password", { body, repeat: "refusal", signal });
  }

  listBlocks({ limit, cursor } = {}, { signal } = {}) {
    return this.#call("GET", "/v1/me/blocks", { query: { limit, cursor }, signal });
  }

  blockUser(userId, { signal } = {}) {
    return this.#call("PUT", `/v1/me/blocks/${userId}`, { signal });
  }

  unblockUser(userId, { signal } = {}) {
    return this.#call("DELETE", `/v1/me/blocks/${userId}`, { signal });
  }

  /** The conversation with one other person: there is one per pair, and asking again finds it. */
  createDirect(userId, { signal } = {}) {
    return this.#call("POST", "/v1/conversations", { body: { kind: "direct", user_id: userId }, signal });
  }

  /** A new group. Its `client_conversation_id` is what makes a repeat find the group instead of making another. */
  createGroup({ title, member_ids = [], client_conversation_id = uuidv7() }, { signal } = {}) {
    const body = { kind: "group", title, member_ids, client_conversation_id };
    return this.#call("POST", "/v1/conversations", { body, signal });
  }

  /** A new channel: the owner and admins post, the others read. Into a public one anybody may `join` who has its id. */
  createChannel({ title, public: open = false, member_ids = [], client_conversation_id = uuidv7() }, { signal } = {}) {
    const body = { kind: "channel", title, public: open, member_ids, client_conversation_id };
    return this.#call("POST", "/v1/conversations", { body, signal });
  }

  listConversations({ order, limit, cursor } = {}, { signal } = {}) {
    return this.#call("GET", "/v1/conversations", { query: { order, limit, cursor }, signal });
  }

  getConversation(conversationId, { signal } = {}) {
    return this.#call("GET", `/v1/conversations/${conversationId}`, { signal });
  }

  updateConversation(conversationId, { title }, { signal } = {}) {
    return this.#call("PATCH", `/v1/conversations/${conversationId}`, { body: { title }, signal });
  }

  listMembers(conversationId, { limit, cursor } = {}, { signal } = {}) {
    return this.#call("GET", `/v1/conversations/${conversationId}/members`, { query: { limit, cursor }, signal });
  }

  addMembers(conversationId, userIds, { signal } = {}) {
    return this.#call("POST", `/v1/conversations/${conversationId}/members`, { body: { user_ids: userIds }, signal });
  }

  removeMember(conversationId, userId, { signal } = {}) {
    return this.#call("DELETE", `/v1/conversations/${conversationId}/members/${userId}`, { signal });
  }

  /** Lets oneself into a public channel, and yields it. */
  async join(conversationId, { signal } = {}) {
    await this.addMembers(conversationId, [(await this.#sessionNow()).user.id], { signal });
    return this.getConversation(conversationId, { signal });
  }

  async leave(conversationId, { signal } = {}) {
    return this.removeMember(conversationId, (await this.#sessionNow()).user.id, { signal });
  }

  updateMember(conversationId, userId, { role, muted_until }, { signal } = {}) {
    const body = { role, muted_until };
    return this.#call("PATCH", `/v1/conversations/${conversationId}/members/${userId}`, { body, signal });
  }

  setRole(conversationId, userId, role, options) {
    return this.updateMember(conversationId, userId, { role }, options);
  }

  /** `until` is a Date or a time as text; null lets them post again. */
  mute(conversationId, userId, until, options) {
    const muted_until = until instanceof Date ? until.toISOString() : until;
    return this.updateMember(conversationId, userId, { muted_until }, options);
  }

  listMessages(conversationId, { since_seq, before_seq, limit } = {}, { signal } = {}) {
    const query = { since_seq, before_seq, limit };
    return this.#call("GET", `/v1/conversations/${conversationId}/messages`, { query, signal });
  }

  getMessage(conversationId, seq, { signal } = {}) {
    return this.#call("GET", `/v1/conversations/${conversationId}/messages/${seq}`, { signal });
  }

  /** Message by message: the newest first, or with `since_seq` the oldest after it first. */
  async *history(conversationId, { since_seq, before_seq, limit = PAGE } = {}, { signal } = {}) {
    for (let more = true; more; ) {
      const page = await this.listMessages(conversationId, { since_seq, before_seq, limit }, { signal });
      if (since_seq === undefined) page.messages.reverse();
      yield* page.messages;
      const last = page.messages.at(-1)?.seq;
      if (since_seq === undefined) before_seq = last;
      else since_seq = last;
      more = page.has_more && last !== undefined;
    }
  }

  /** Moves forward only. The other devices learn of it by a `read` entry. */
  markRead(conversationId, seq, { signal } = {}) {
    return this.#call("PUT", `/v1/conversations/${conversationId}/read`, { body: { seq }, signal });
  }

  getUnread({ signal } = {}) {
    return this.#call("GET", "/v1/unread", { signal });
  }

  /** Sleeps on the server for so many seconds: what is cut earlier is cut by a proxy in between. */
  diagnoseLongpoll(timeout = 25, { signal } = {}) {
    return this.#call("GET", "/v1/diagnostics/longpoll", { query: { timeout }, timeoutMs: 70_000, repeat: "never", signal });
  }

  getCapabilities({ signal } = {}) {
    return this.#call("GET", "/v1/capabilities", { auth: false, signal });
  }

  // -------------------------------------------------------------------------------------------------------------------
  // 4. Sending. A message goes into the outbox, and leaves it when the server has stored or refused it. Each conversation
  // has one message in flight, over all tabs: with two, a retry of the first could land behind the second.

  #owner = null;
  #outbox = new Map();
  #waiting = new Map();
  #attempts = new Map();
  #pumps = new Map();
  #settled = new Set();
  #writes = Promise.resolve();

  /** What is not stored yet, in the order of sending: `sending`, or `failed` until `retry` or `discard`. */
  get outbox() {
    return [...this.#outbox.values()].sort((a, b) => (a.client_msg_id < b.client_msg_id ? -1 : 1));
  }

  /**
   * Sends a text, or `{ kind, content }`. `mentions` are the ids of members whom the text names. The promise is for those
   * who want to wait: it yields the stored message. Nobody has to; `send` events tell the same. What is not stored yet
   * survives a reload and is sent by the next `start`.
   */
  send(conversationId, message, { mentions, client_msg_id = uuidv7(), signal } = {}) {
    const ended = [this.#life.signal, signal].find((one) => one?.aborted);
    if (ended) return handled(Promise.reject(ended.reason));
    const options = { mentions, client_msg_id, signal };
    if (!this.#session) return handled(this.#sessionNow().then(() => this.send(conversationId, message, options)));
    // A copy, because a retry must say exactly what the first attempt said.
    const { kind, content } = typeof message === "string" ? { kind: "text", content: { text: message } } : structuredClone(message);
    if (mentions) content.mentions = [...mentions];
    const created_at = new Date().toISOString();
    const user_id = this.#session.user.id;
    return this.#enqueue({ client_msg_id, user_id, conversation_id: conversationId, kind, content, created_at }, signal);
  }

  /** Tries a failed message again, under its old id. */
  retry(clientMsgId, { signal } = {}) {
    const item = this.#outbox.get(clientMsgId);
    if (!item) return Promise.reject(new TidelineError({ code: "not_found", detail: "no such message in the outbox" }));
    return item.state === "failed" ? this.#enqueue(item, signal) : this.#promise(clientMsgId, signal);
  }

  /** Gives a message up. It may have been stored all the same, if an attempt was on its way. */
  async discard(clientMsgId) {
    const item = this.#outbox.get(clientMsgId);
    if (!item) return;
    this.#post({ type: "discarded", item });
    await this.#discarded(item);
    await this.#unwrite(item);
  }

  #outboxKey({ user_id, client_msg_id }) {
    return `${user_id}:outbox:${client_msg_id}`;
  }

  async #unwrite(item) {
    await this.#writes;
    await this.#storage.delete(this.#prefix + this.#outboxKey(item));
  }

  #enqueue(item, signal) {
    item = { ...item, state: "sending", error: null };
    const stored = this.#promise(item.client_msg_id, signal);
    this.#settled.delete(item.client_msg_id);
    this.#note(item);
    this.#write(item);
    this.#post({ type: "item", item });
    this.#pump(item.conversation_id);
    return stored;
  }

  #promise(id, signal) {
    let waiting = this.#waiting.get(id);
    if (!waiting) {
      waiting = {};
      waiting.promise = handled(new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject })));
      this.#waiting.set(id, waiting);
    }
    if (!signal) return waiting.promise;
    const discard = () => this.#spawn(this.discard(id));
    signal.aborted ? discard() : signal.addEventListener("abort", discard, { once: true });
    handled(waiting.promise.finally(() => signal.removeEventListener("abort", discard)));
    return handled(abortable(waiting.promise, signal));
  }

  #note(item) {
    noteId(item.client_msg_id);
    this.#outbox.set(item.client_msg_id, item);
    this.#tell("send", { state: item.state, item, message: null, error: item.error });
  }

  /** Writes happen one after the other, and an item is written before it is sent. */
  #write(item) {
    this.#writes = this.#writes.then(() => this.#outbox.get(item.client_msg_id) === item && this.#keep(this.#outboxKey(item), item));
  }

  async #loadOutbox() {
    try {
      for (const key of await this.#storage.keys(`${this.#prefix}${this.#owner}:outbox:`)) {
        const item = JSON.parse((await this.#storage.get(key)) ?? "null");
        if (item && !this.#settled.has(item.client_msg_id) && !this.#outbox.has(item.client_msg_id)) this.#note(item);
      }
    } catch (cause) {
      this.#report(new TidelineError({ code: "storage_failed", detail: "cannot read the outbox", cause }));
    }
  }

  #next(conversationId) {
    return this.outbox.find((item) => item.conversation_id === conversationId && item.state === "sending");
  }

  /** Sends what a conversation has waiting, whichever tab has written it; one at a time by the lock. */
  #pump(conversationId) {
    const owner = this.#owner;
    const name = `${owner}:send:${conversationId}`;
    const running = this.#pumps.get(name);
    if (running) return void (running.again = true);
    const pump = { again: false };
    const empty = async () => {
      pump.again = false;
      await this.#writes;
      if (!this.#next(conversationId)) await this.#loadOutbox();
      return !this.#next(conversationId) && !pump.again;
    };
    const drain = async () => {
      for (let failures = 0; this.#owner === owner && !(await empty()); ) {
        const item = this.#next(conversationId);
        if (item) failures = await this.#attempt(item, failures);
      }
    };
    this.#pumps.set(name, pump);
    const done = () => {
      this.#pumps.delete(name);
      // Something came after the last look.
      if (pump.again && this.#owner === owner && !this.#life.signal.aborted) this.#pump(conversationId);
    };
    this.#spawn(this.#withLock(name, drain).finally(done));
  }

  /** One attempt, and the pause after it if it was for nothing. Returns how many have failed in a row. */
  async #attempt(item, failures) {
    const link = linked([], { all: this.#links });
    this.#attempts.set(item.client_msg_id, link);
    const { client_msg_id, conversation_id, kind, content } = item;
    const options = { body: { client_msg_id, kind, content }, signal: link.signal };
    try {
      const message = await this.#authorized("POST", `/v1/conversations/${conversation_id}/messages`, options);
      // Told before it is forgotten: when this tab dies in between, another one sends it again and is told the same.
      this.#post({ type: "stored", item, message });
      this.#stored(item, message);
      await this.#unwrite(item);
    } catch (error) {
      if (this.#life.signal.aborted) throw error;
      if (link.signal.aborted) return 0;
      if (error.transient) {
        this.#tell("send", { state: "sending", item, message: null, error });
        // Until this one is settled, later ones wait: that is what keeps the order.
        const pause = this.#pause(backoff(this.#backoff, failures, error), link.signal, { early: true });
        await pause.catch(() => this.#life.signal.throwIfAborted());
        return failures + 1;
      }
      this.#failed(item, error);
    } finally {
      link.done();
      if (this.#attempts.get(client_msg_id) === link) this.#attempts.delete(client_msg_id);
    }
    return 0;
  }

  #failed(item, error) {
    if (!this.#outbox.has(item.client_msg_id)) return;
    const { code, status, detail, request_id, errors } = error;
    const failed = { ...item, state: "failed", error: { code, status, detail, request_id, errors } };
    this.#note(failed);
    this.#write(failed);
    this.#post({ type: "item", item: failed });
    this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  #stored(item, message) {
    if (!this.#forget(item)) return;
    this.#tell("send", { state: "stored", item: { ...item, state: "stored" }, message, error: null });
    this.#settle(item.client_msg_id, (waiting) => waiting.resolve(message));
  }

  async #discarded(item) {
    if (!this.#forget(item)) return;
    const error = new TidelineError({ code: "discarded", detail: "the message was given up" });
    this.#attempts.get(item.client_msg_id)?.abort(error);
    this.#tell("send", { state: "discarded", item: { ...item, state: "discarded" }, message: null, error: null });
    this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
  }

  #forget({ client_msg_id }) {
    this.#settled.add(client_msg_id);
    if (this.#settled.size > SETTLED) this.#settled.delete(this.#settled.values().next().value);
    return this.#outbox.delete(client_msg_id);
  }

  #settle(id, how) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting) how(waiting);
  }

  #rejectAll(reason) {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, (waiting) => waiting.reject(reason));
  }

  // -------------------------------------------------------------------------------------------------------------------
  // 5. The sync loop
  //
  // Messages of small conversations are entries of the inbox. Those of large ones (`fanout: "read"`) are in no inbox: the
  // wait watches the conversation from the last seq of it that the application has taken, and its history is read. To the
  // application they are the same `message` events. One wait watches 100 at most, those of the latest activity; of the others
  // we hear with the next wait, since the sum of what is unread no longer agrees.

  #run = null;
  #position = null;
  #counts = new Map();
  #countedTo = 0;
  /** The last seqs that were taken: of large conversations, with a backfill of all. The `large` ones by activity, newest last. */
  #seqs = { epoch: null, of: {}, large: {} };
  #connection = "stopped";
  #turn = Promise.resolve();
  #wait = null;
  #resume = null;

  /** `connecting`, `online`, `offline`, `superseded`, `stopped`. */
  get connection() {
    return this.#connection;
  }

  /** The last inbox seq that the application has taken, and the epoch that it belongs to; null before `start`. */
  get position() {
    return this.#position && { ...this.#position };
  }

  /** Unread counts as of `position`: the sum, and the conversations that have any. */
  get unread() {
    const conversations = Object.fromEntries(this.#counts);
    return { total: [...this.#counts.values()].reduce((sum, count) => sum + count, 0), conversations };
  }

  /**
   * Calls the handler at every such event, and returns a function that ends this. Handlers of `resync`, `entries` and of
   * entries are waited for; when one throws, the position stays, and the rest of the page comes again after a pause.
   */
  on(name, handler, { signal } = {}) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    const handlers = this.#handlers.get(name);
    const own = (event) => handler(event);
    const off = () => void handlers.delete(own);
    if (!signal?.aborted) handlers.add(own);
    signal?.addEventListener("abort", off, { once: true });
    return off;
  }

  /** For news that wait for nobody. */
  #tell(name, event) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        Promise.resolve(handler(event)).catch((error) => this.#report(error));
      } catch (error) {
        this.#report(error);
      }
    }
  }

  /** For what must be taken before the position moves. */
  async #deliver(name, event, signal) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        await abortable(handler(event), signal);
      } catch (cause) {
        signal.throwIfAborted();
        throw new TidelineError({ code: "handler_failed", detail: `a handler of "${name}" failed: ${cause?.message ?? cause}`, cause });
      }
    }
  }

  #report(error) {
    if (this.#handlers.get("error")?.size) for (const handler of this.#handlers.get("error")) handler(error);
    else console.error(error);
  }

  #setConnection(state, error = null, retryInMs = null) {
    if (state === this.#connection && !error) return;
    this.#connection = state;
    this.#tell("connection", { state, leader: this.#leader, error, retryInMs });
    if (this.#leader) this.#announce();
  }

  /**
   * Begins to stay in sync, and is done when the application has taken the first state. It repeats what fails until then.
   * Its signal ends the sync, also later. After `superseded`, calling it again waits here again.
   */
  async start({ signal } = {}) {
    await this.#sessionNow();
    signal?.throwIfAborted();
    if (this.#connection === "superseded") {
      this.#resume?.();
      if (!this.#leader) this.#post({ type: "resume" });
    }
    if (!this.#run) {
      const run = (this.#run = this.#begin());
      const stop = () => this.#run === run && this.#stop(signal.reason);
      signal?.addEventListener("abort", stop, { once: true });
    }
    return abortable(this.#run.started, signal);
  }

  #begin() {
    const run = linked([this.#life.signal]);
    run.started = (async () => {
      this.#setConnection("connecting");
      this.#spawn(this.#loadOutbox());
      const stored = this.#options.resume && (await this.#recall());
      if (stored) await this.#insist(run.signal, () => this.#countAgain(run.signal));
      else await this.#insist(run.signal, async () => {}, "start");
      this.#setConnection("online");
      this.#spawn(this.#elect(run.signal));
      if (this.#hasTabs) this.#spawn(this.#watchLeader(run.signal));
      this.#post({ type: "ping" });
    })();
    this.#spawn(run.started);
    return run;
  }

  #stop(reason) {
    this.#run?.abort(reason);
    this.#run?.done();
    this.#run = null;
    this.#position = null;
    this.#counts.clear();
    this.#seqs = { epoch: null, of: {}, large: {} };
    this.#setConnection("stopped");
  }

  /** Repeats a step until it succeeds: starts over where the server says so, and backs off from all other failures. */
  async #insist(signal, step, reason = null) {
    for (let failures = 0, resyncs = 0; ; ) {
      try {
        if (reason) await this.#serially(() => this.#startOver(reason, signal));
        reason = null;
        return await step();
      } catch (error) {
        signal.throwIfAborted();
        // Two nodes of different epochs must not make us list all conversations in a tight circle.
        if (RESYNC.includes(error.code)) {
          reason = error.code;
          if (resyncs++ === 0) continue;
        }
        const ms = backoff(this.#backoff, failures++, error);
        if (error.code === "handler_failed" || !error.transient) this.#report(error);
        if (error.code !== "handler_failed") this.#setConnection("offline", error, ms);
        await this.#pause(ms, signal, { early: true });
      }
    }
  }

  /** Everything that moves the position, one after the other. */
  #serially(task) {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** How a device starts, and starts over: the inbox is continued from where it was *before* the first page was read. */
  async #startOver(reason, signal) {
    const found = new Map();
    let first;
    for (let cursor; cursor !== null; ) {
      const query = { order: "id", limit: PAGE, cursor };
      const page = await this.#authorized("GET", "/v1/conversations", { query, signal });
      first ??= page;
      for (const conversation of page.conversations) found.set(conversation.id, conversation);
      cursor = page.next_cursor;
    }
    const conversations = [...found.values()];
    const { epoch, inbox_seq } = first;
    // In another life of the database a conversation's seqs are other messages.
    if (this.#seqs.epoch !== epoch) this.#seqs = { epoch, of: {}, large: {} };
    await this.#deliver("resync", { reason, epoch, inbox_seq, conversations }, signal);
    this.#learnAll(found);
    if (this.#options.backfill) await this.#fill(conversations, signal);
    this.#position = { since: inbox_seq, epoch };
    this.#countedTo = inbox_seq;
    const counts = conversations.map(({ id, me }) => [id, me.unread]).filter(([, unread]) => unread > 0);
    this.#recount(new Map(counts));
    await this.#remember();
    this.#setConnection("online");
    this.#post({ type: "entries", since: inbox_seq, epoch, entries: [] });
  }

  /** Which conversations are large. Of those that were taken before, what was missed follows; of others, what comes now. */
  #learnAll(conversations) {
    const { of } = this.#seqs;
    // A seq beyond the head is from other data, whatever the epoch says.
    for (const id of Object.keys(of)) if (!(of[id] <= conversations.get(id)?.last_seq)) delete of[id];
    this.#seqs.large = {};
    for (const one of [...conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? -1 : 1))) {
      this.#learn(one, this.#options.backfill ? 0 : (of[one.id] ?? one.last_seq));
    }
  }

  /** A large conversation is read from `seq` on, or from where it was taken up to. */
  #learn({ id, fanout, last_seq, me }, seq) {
    if (fanout !== "read") return;
    const { of, large } = this.#seqs;
    of[id] = Math.max(of[id] ?? 0, seq);
    large[id] = { last_seq, read_seq: me.read_seq };
  }

  /** Reads what each conversation has beyond what was delivered of it. */
  async #fill(conversations, signal) {
    const { of } = this.#seqs;
    for (const { id, last_seq, me } of conversations) {
      if ((of[id] ?? 0) >= last_seq) continue;
      for await (const { messages } of this.#pages(id, signal)) {
        for (const message of messages) {
          await this.#deliver("message", unlisted(message, me.read_seq), signal);
          of[id] = message.seq;
        }
      }
    }
  }

  /** The history of a conversation, from what was taken of it on. */
  async *#pages(id, signal) {
    for (let more = true; more; ) {
      const since_seq = this.#seqs.of[id] ?? 0;
      const query = { since_seq, limit: PAGE };
      const { messages, has_more } = await this.#authorized("GET", `/v1/conversations/${id}/messages`, { query, signal });
      yield { id, since_seq, messages };
      more = has_more && messages.length > 0;
    }
  }

  /** Somebody says how far a large conversation has got. */
  #hear(id, seq) {
    const one = this.#seqs.large[id];
    if (one) one.last_seq = Math.max(one.last_seq, seq);
  }

  /** Reads the large conversations that got beyond what was taken of them. As with entries, a page is shared first. */
  async #catchUp(signal) {
    const { of, large } = this.#seqs;
    for (const id of Object.keys(large).filter((id) => of[id] < large[id].last_seq)) {
      try {
        for await (const page of this.#pages(id, signal)) {
          const heads = page.messages.slice(-1).map(({ seq }) => [id, seq]);
          if (this.#leader) this.#post({ type: "history", ...this.#position, page, heads });
          await this.#takeHistory(page, signal);
        }
      } catch (error) {
        // We are out of it, as the inbox says, or will in a moment.
        if (error.code !== "not_found") throw error;
      }
    }
  }

  /** Hands messages of a large conversation to the application as if they were entries. */
  async #takeHistory({ id, messages }, signal) {
    const { of, large } = this.#seqs;
    const one = large[id];
    messages = messages.filter(({ seq }) => seq > of[id]);
    if (messages.length === 0) return;
    // The newest activity is behind all others.
    delete large[id];
    large[id] = one;
    try {
      const { since, epoch } = this.#position;
      const entries = messages.map((message) => unlisted(message, one.read_seq));
      await this.#deliver("entries", { entries, since, next: since, epoch }, signal);
      for (const entry of entries) {
        const { seq, sender_id } = entry.message;
        await this.#deliver("message", entry, signal);
        of[id] = seq;
        this.#hear(id, seq);
        // Sending means having read.
        if (sender_id === this.#owner) one.read_seq = Math.max(one.read_seq, seq);
      }
    } finally {
      if (!signal.aborted) {
        await this.#remember();
        this.#recount(this.#counted(new Map(this.#counts), id, 0));
      }
    }
  }

  /** Fetches until there is no more. The leader shares each page before taking it: its own handlers hold up nobody else. */
  async #fetchAll(signal) {
    for (let more = true; more; ) {
      const { since, epoch } = this.#position;
      const query = { since_seq: since, epoch, limit: PAGE };
      const page = await this.#authorized("GET", "/v1/inbox", { query, signal });
      if (this.#leader) this.#post({ type: "entries", since, epoch, entries: page.entries });
      await this.#take(page.entries, signal);
      more = page.has_more;
    }
  }

  /** Hands entries to the application, and moves the position behind each that was taken. */
  async #take(entries, signal) {
    const position = this.#position;
    entries = entries.filter((entry) => entry.seq > position.since);
    if (entries.length === 0) return;
    const counts = new Map(this.#counts);
    try {
      await this.#deliver("entries", { entries, since: position.since, next: entries.at(-1).seq, epoch: position.epoch }, signal);
      for (const entry of entries) {
        if (entry.seq !== position.since + 1) throw new TidelineError({ code: "gap", detail: `entry ${entry.seq} after ${position.since}` });
        if (this.#isNew(entry)) {
          await this.#deliver(entry.kind, entry, signal);
          this.#follows(entry);
        }
        position.since = entry.seq;
        // Every entry, known or not, says how much is unread as of it.
        if (entry.seq > this.#countedTo) this.#counted(counts, entry.conversation_id, entry.unread);
      }
    } finally {
      if (!signal.aborted) {
        await this.#remember();
        this.#recount(counts);
      }
    }
  }

  /** Kinds that we do not know are skipped, and so is a message that was read in the history before. */
  #isNew({ kind, conversation_id, message }) {
    return kind === "message" ? message.seq > (this.#seqs.of[conversation_id] ?? 0) : ENTRY_KINDS.includes(kind);
  }

  /** What an entry that was taken means for what is to be watched. */
  #follows({ kind, conversation_id: id, conversation, message, read_seq }) {
    const { of, large } = this.#seqs;
    if (kind === "message" && this.#options.backfill) of[id] = message.seq;
    if (kind === "mention") this.#hear(id, message.seq);
    if (kind === "read" && large[id]) large[id].read_seq = Math.max(large[id].read_seq, read_seq);
    if (kind !== "conversation") return;
    // Up to the switch, messages were in the inbox.
    if (conversation) return this.#learn(conversation, Math.max(conversation.switch_seq, conversation.me.joined_seq));
    delete of[id];
    delete large[id];
  }

  /** Of large conversations we count ourselves; of others we are told. */
  #counted(counts, id, told) {
    const one = this.#seqs.large[id];
    const unread = one ? one.last_seq - one.read_seq : told;
    return unread > 0 ? counts.set(id, unread) : (counts.delete(id), counts);
  }

  #recount(counts) {
    const before = JSON.stringify(this.unread);
    this.#counts = new Map([...counts].sort());
    if (JSON.stringify(this.unread) !== before) this.#tell("unread", this.unread);
  }

  /** The position outlives the process only for an application that keeps its own copy; others must list anyway. */
  async #remember() {
    if (!this.#options.resume || !this.#leader || !this.#session) return;
    await this.#keep(`${this.#session.user.id}:position`, { ...this.#position, seqs: this.#seqs });
  }

  async #recall() {
    const key = `${this.#prefix}${this.#session.user.id}:position`;
    const { seqs, ...position } = JSON.parse((await this.#storage.get(key)) ?? "{}");
    // A version that did not know of large conversations has not kept any.
    if (!seqs?.large) return false;
    this.#position = position;
    this.#seqs = seqs;
    return true;
  }

  async #countAgain(signal) {
    const { conversations, as_of_seq } = await this.#authorized("GET", "/v1/unread", { signal });
    this.#countedTo = as_of_seq;
    this.#recount(new Map(conversations.map((one) => [one.conversation_id, one.unread])));
    const { large } = this.#seqs;
    for (const { conversation_id: id, unread } of conversations) if (large[id]) this.#hear(id, large[id].read_seq + unread);
  }

  /** Waits once, and fetches what there is. After a failure it asks without waiting, to know soon that all is well again. */
  async #round(signal) {
    const timeout = this.#connection === "online" ? this.#options.waitSeconds : 0;
    const wait = linked([signal]);
    this.#wait = wait;
    const { since, epoch } = this.#position;
    const { of, large } = this.#seqs;
    const watch = Object.keys(large).slice(-WATCH).map((id) => `${id}:${of[id]}`);
    const options = { query: { since_seq: since, epoch, timeout, watch }, signal: wait.signal, timeoutMs: timeout * 1_000 + 10_000 };
    let notice;
    try {
      notice = await this.#authorized("GET", "/v1/notices", options);
    } catch (error) {
      if (error.code !== "not_found") throw error;
      // We are out of a conversation that we watch. The inbox says of which.
      await this.#serially(() => this.#fetchAll(signal));
      if (this.#position.since === since) throw error;
      return;
    } finally {
      wait.done();
      this.#wait = null;
    }
    this.#setConnection("online");
    await this.#serially(() => this.#takeNotice(notice, signal));
    if (notice.reconnect) await this.#pause(notice.retry_after_ms ?? 0, signal);
    if (!notice.superseded) return;
    this.#setConnection("superseded");
    await abortable(new Promise((resolve) => (this.#resume = resolve)), signal);
    this.#setConnection("connecting");
  }

  async #takeNotice({ news, watched, total_unread }, signal) {
    if (news) await this.#fetchAll(signal);
    for (const { conversation_id, last_seq } of watched) this.#hear(conversation_id, last_seq);
    await this.#catchUp(signal);
    // The sum is all that we hear of those that we cannot watch.
    if (Object.keys(this.#seqs.large).length <= WATCH || total_unread === this.unread.total) return;
    await this.#countAgain(signal);
    await this.#catchUp(signal);
  }

  #networkChanged = (event) => {
    if (event.type === "online") for (const wake of [...this.#nudges]) wake();
    // A wait that was under way when the network went, or when the page was frozen, hears nothing any more.
    else if (event.type === "offline" || event.persisted) {
      this.#wait?.abort(new TidelineError({ code: "network", detail: "the network is gone" }));
    }
    // Whoever looks at this tab again wants to see all that it has missed.
    if (!this.#leader) this.#post({ type: "ping" });
  };

  // -------------------------------------------------------------------------------------------------------------------
  // 6. Tabs. Whoever holds the lock `leader` waits and fetches for all tabs of this browser; the others hear the entries
  // on the channel. Each tab has a position of its own, and inbox seqs have no holes: so a tab that missed something
  // sees it, and fetches that itself; so it is with the history of large conversations. Nothing depends on a broadcast arriving.

  #channel = null;
  #leader = false;
  #queue = null;
  #heardAt = 0;
  #mending = false;

  /** Whether this tab is the one that waits for all. */
  get leader() {
    return this.#leader;
  }

  #withLock(name, held) {
    return this.#locks.request(this.#prefix + name, { signal: this.#life.signal }, held);
  }

  #openChannel() {
    if (!this.#hasTabs || this.#channel || this.#life.signal.aborted) return;
    this.#channel = new BroadcastChannel(this.#prefix);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
  }

  #post(message) {
    this.#channel?.postMessage({ user_id: this.#owner, ...message });
  }

  #announce() {
    const { of, large } = this.#seqs;
    const heads = Object.keys(large).map((id) => [id, of[id]]);
    if (this.#position) this.#post({ type: "head", ...this.#position, heads, state: this.#connection });
  }

  /** The lock comes to us when the leader goes, and goes when another tab steals it because we seemed frozen. */
  async #elect(signal) {
    for (let steal = false; !signal.aborted; ) {
      const term = linked([signal]);
      this.#queue = linked([signal]);
      const options = steal ? { steal } : { signal: this.#queue.signal };
      steal = false;
      try {
        await this.#locks.request(`${this.#prefix}${this.#owner}:leader`, options, () => this.#lead(term.signal));
      } catch (error) {
        steal = error.code === "silent";
        if (!signal.aborted && !steal && error.name !== "AbortError") {
          this.#report(error);
          await this.#pause(backoff(this.#backoff, 3), signal);
        }
      } finally {
        this.#leader = false;
        term.abort(new TidelineError({ code: "deposed" }));
        term.done();
        this.#queue.done();
        // What was said to the others since we were deposed was not said to us.
        this.#post({ type: "ping" });
      }
    }
  }

  async #lead(signal) {
    this.#leader = true;
    this.#tell("connection", { state: this.#connection, leader: true, error: null, retryInMs: null });
    await this.#remember();
    await this.#loadOutbox();
    for (const item of this.outbox) if (item.state === "sending") this.#pump(item.conversation_id);
    for (;;) {
      this.#announce();
      await this.#insist(signal, () => this.#round(signal));
    }
  }

  /** A leader that is frozen holds the lock and hears nothing. The tab that is looked at asks now and then, and takes over. */
  async #watchLeader(signal) {
    const ms = this.#options.leaderSilenceMs;
    for (;;) {
      await this.#pause(ms, signal);
      if (this.#leader || globalThis.document?.visibilityState === "hidden") continue;
      const askedAt = Date.now();
      this.#post({ type: "ping" });
      await this.#pause(ms / 2, signal);
      if (!this.#leader && this.#heardAt < askedAt) this.#queue?.abort(new TidelineError({ code: "silent" }));
    }
  }

  #heard(data) {
    if (data.type === "session") return this.#sessionHeard(data);
    if (!this.#session || data.user_id !== this.#owner) return;
    const { item } = data;
    if (data.type === "stored") return this.#stored(item, data.message);
    if (data.type === "discarded") return void this.#discarded(item);
    if (data.type === "item") return this.#itemHeard(item);
    if (!this.#run || !this.#position) return;
    if (this.#leader) {
      if (data.type === "ping") this.#announce();
      if (data.type === "resume") this.#resume?.();
      return;
    }
    if (!["head", "entries", "history"].includes(data.type)) return;
    this.#heardAt = Date.now();
    if (data.state) this.#setConnection(data.state);
    this.#spawn(this.#follow(data, this.#run.signal));
  }

  #sessionHeard({ session, reason, user_id }) {
    if (!this.#session) return;
    if (session?.user.id === this.#session.user.id) this.#session = session;
    else if (session || user_id === this.#owner) this.#signedOut(new TidelineError({ code: reason ?? "signed_out" }));
  }

  #itemHeard(item) {
    if (this.#settled.has(item.client_msg_id)) return;
    this.#note(item);
    if (item.state === "failed") {
      const error = new TidelineError(item.error);
      this.#settle(item.client_msg_id, (waiting) => waiting.reject(error));
    } else if (this.#leader) this.#pump(item.conversation_id);
  }

  /** Takes what the leader has said if it fits behind what we have, and fetches the rest. */
  async #follow({ since, epoch, entries, page, heads }, signal) {
    if (this.#mending) return;
    try {
      await this.#serially(async () => {
        if (epoch !== this.#position.epoch) throw new TidelineError({ code: "epoch_changed" });
        if (since > this.#position.since) await this.#fetchAll(signal);
        if (entries) await this.#take(entries, signal);
        if (page && page.since_seq <= this.#seqs.of[page.id]) await this.#takeHistory(page, signal);
        for (const [id, seq] of heads ?? []) this.#hear(id, seq);
        if (heads) await this.#catchUp(signal);
      });
    } catch (error) {
      if (signal.aborted || this.#mending) return;
      this.#mending = true;
      const reason = RESYNC.includes(error.code) ? error.code : null;
      await this.#insist(signal, () => this.#serially(() => this.#fetchAll(signal)), reason).finally(() => (this.#mending = false));
      // What was said while we were mending was not listened to.
      this.#post({ type: "ping" });
    }
  }

  /** Work in the background: `close` waits for it, and a failure that nobody else hears of is reported. */
  #spawn(promise) {
    const task = promise.catch((error) => {
      const expected = this.#life.signal.aborted || !this.#session || error instanceof TidelineError;
      if (!expected) this.#report(error);
    });
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }

  /** Ends everything at once: the wait, the attempts to send, timers, the lock and the channel. The outbox stays stored. */
  close() {
    this.#closing ??= (async () => {
      const reason = new TidelineError({ code: "closed", detail: "closed by the application" });
      for (const name of NETWORK_EVENTS) this.#network?.removeEventListener(name, this.#networkChanged);
      await this.#writes;
      this.#life.abort(reason);
      for (const link of [...this.#links]) link.abort(reason);
      this.#stop(reason);
      this.#rejectAll(reason);
      this.#channel?.close();
      this.#channel = null;
      await Promise.allSettled([...this.#tasks]);
    })();
    return this.#closing;
  }
}

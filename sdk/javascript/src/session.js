// Requests and their session: one refresh at a time, over all tabs.

import { inBrowser } from "./environment.js";
import { refusal, SESSION_ENDED, TidelineError } from "./errors.js";
import { abortable, backoff, linked } from "./signals.js";

/** How often a call is repeated before it fails, and the longest `Retry-After` that it waits for. */
/** The server refused these requests before it did anything, so even calls that are not safe to repeat may be repeated. */
const NOTHING_DONE = ["rate_limited", "overloaded"];
const REPEATS = 3;
const PATIENCE_MS = 10_000;
/** A lost refresh is repeated soon: the server accepts the old token for only a minute. */
const REFRESH_CAP_MS = 4_000;

/** A request with bytes by XMLHttpRequest: `fetch` does not tell how much was sent. */
function sendWatched(href, { method, headers, body, signal }, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const end = () => request.abort();
    request.open(method, href);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => progress(loaded);
    request.onload = () => {
      const names = request.getAllResponseHeaders().trim().split("\r\n").filter(Boolean).map((line) => line.split(": "));
      const text = [204, 304].includes(request.status) ? null : request.responseText;
      const response = new Response(text, { status: request.status, headers: names });
      // It follows redirects.
      const redirected = request.responseURL !== href;
      resolve(redirected ? Object.defineProperties(response, { redirected: { value: true }, url: { value: request.responseURL } }) : response);
    };
    request.onerror = request.onabort = () => reject(new TypeError("no response"));
    request.onloadend = () => signal.removeEventListener("abort", end);
    signal.addEventListener("abort", end);
    request.send(body);
  });
}

const isSession = (value) =>
  value === null || [value.user?.id, value.access_token, value.refresh_token].every((text) => typeof text === "string");
const loggedOutError = (detail) => new TidelineError({ code: "signed_out", detail });

export class Session {
  #core;
  /** `user`, `device_id` and the tokens; null without a session. */
  current = null;
  /** The owner of the outbox: the id of the person who is logged in, or was last. */
  owner = null;
  /** Aborted when this person is logged out; null without a session. */
  term = null;
  #stored = false;
  /** After a logout only `restore` and `login` start a session: a call must not run as the next person. */
  #left = false;
  #refreshing = null;
  /** Whether the account must be read again, and whether a request for it is in flight. */
  #stale = false;
  #rereading = false;

  constructor(core) {
    this.#core = core;
  }

  get user() {
    return this.current?.user ?? null;
  }

  /**
   * One request, once. `token` is the access token, if any. Instead of a `body` of JSON it may have `bytes`, of which `progress` gets
   * how many were sent; with `blob` the response is a Blob.
   */
  async #once(method, path, { query, body, bytes, digest, blob, progress, signal, timeoutMs }, token) {
    this.#core.life.signal.throwIfAborted();
    const link = linked([signal], { ms: timeoutMs ?? this.#core.options.requestTimeoutMs, all: this.#core.links });
    const url = new URL(this.#core.url + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const one of [value].flat()) if (one !== undefined && one !== null) url.searchParams.append(name, String(one));
    }
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (bytes !== undefined) headers["Content-Type"] = "application/octet-stream";
    if (digest) headers["Content-Digest"] = `sha-256=:${digest}:`;
    try {
      link.signal.throwIfAborted();
      // A redirect is not followed: its target would get the credentials.
      const request = { method, headers, signal: link.signal, cache: "no-store", credentials: "omit", redirect: "manual" };
      if (body !== undefined) request.body = JSON.stringify(body);
      if (bytes !== undefined) request.body = bytes;
      const watched = progress && typeof XMLHttpRequest === "function";
      const response = await (watched ? abortable(sendWatched(url.href, request, progress), link.signal) : this.#fetch(url.href, request));
      this.#core.changes.learnTime(response);
      if (blob && (response.status === 307 || response.type === "opaqueredirect")) {
        const stored = await this.#fromStore(response, url, request);
        if (stored?.ok) return await abortable(stored.blob(), link.signal);
      }
      const redirects = response.type === "opaqueredirect" || response.redirected || (response.status >= 300 && response.status < 400);
      if (redirects) throw await this.#redirection(response, url, link.signal);
      if (blob && response.ok) return await abortable(response.blob(), link.signal);
      const text = await abortable(response.text(), link.signal);
      if (response.status === 204) return null;
      let value;
      try {
        value = JSON.parse(text);
      } catch (cause) {
        // The response comes from another server: a proxy's page, or the login page of a hotel's network.
        if (response.ok) throw new TidelineError({ code: "network", detail: "the response is not JSON", cause });
        value = null;
      }
      if (response.ok) return value;
      throw refusal(response, value);
    } catch (error) {
      if (link.signal.aborted) throw link.signal.reason;
      if (error instanceof TidelineError) throw error;
      throw new TidelineError({ code: "network", detail: `no response from ${this.#core.url}`, cause: error });
    } finally {
      link.done();
    }
  }

  #fetch(href, request) {
    const send = this.#core.options.fetch ?? globalThis.fetch;
    return abortable(send(href, request), request.signal);
  }

  /**
   * Media that the server leaves to their store. It gets no credentials. A browser hides its address, so it follows the redirect by itself,
   * and leaves them out on the way to another origin.
   */
  #fromStore(response, url, { signal, cache, credentials, ...request }) {
    const location = response.headers.get("Location");
    const others = location ? {} : { ...request, redirect: "follow" };
    return this.#fetch(new URL(location ?? url, url).href, { ...others, signal, cache, credentials }).catch(() => null);
  }

  /** Names the new URL. Browsers hide the target of a redirect, so there it is followed once, without credentials. */
  async #redirection(response, url, signal) {
    const location = response.headers.get("Location");
    let to = location ? new URL(location, url).href : response.redirected ? response.url : null;
    if (!to) {
      const request = { signal, cache: "no-store", credentials: "omit" };
      const followed = await this.#fetch(`${this.#core.url}/v1/capabilities`, request).catch(() => null);
      to = followed?.redirected ? followed.url : "another address";
    }
    return new TidelineError({ code: "network", detail: `${url.origin} redirects to ${to}: give Tideline the url of the server itself` });
  }

  /**
   * A request with the session of the `user` with this id. An expired access token is refreshed; a session that the server
   * has ended ends here too. A request of one person is never sent as another who has logged in meanwhile.
   */
  async authorized(method, path, options) {
    const user = options.user ?? (await this.sessionNow()).user.id;
    for (let refreshes = 0; ; refreshes++) {
      if (this.user?.id !== user) throw new TidelineError({ code: "signed_out", status: 401, detail: "logged out meanwhile" });
      const token = this.current.access_token;
      try {
        return await this.#once(method, path, options, token);
      } catch (error) {
        if (error.code === "token_expired" && refreshes < 2) await abortable(this.#refresh(token), options.signal);
        else if (error.status === 401 && SESSION_ENDED.includes(error.code)) throw await this.#sessionEnded(error, token);
        else throw error;
      }
    }
  }

  /**
   * A call of the application. A transient failure is repeated a few times: `always`, because the request is safe to
   * repeat; only after a `refusal`, because then nothing was done; or `never`, because the caller has its own loop. A request
   * that `removes` something has succeeded when its repeat is not found.
   */
  async call(method, path, options = {}) {
    const { repeat = "always", auth = true, removes = method === "DELETE" } = options;
    // Read once, before the first attempt: a repeat still belongs to that person.
    const user = auth ? (options.user ?? (await this.sessionNow()).user.id) : null;
    for (let failures = 0; ; failures++) {
      try {
        return await (auth ? this.authorized(method, path, { ...options, user }) : this.#once(method, path, options));
      } catch (error) {
        // The first DELETE was done, and only its response was lost.
        if (removes && error.status === 404 && failures > 0) return null;
        const again = repeat === "always" ? error.transient : repeat === "refusal" && NOTHING_DONE.includes(error.code);
        if (!again || failures >= REPEATS || error.retryAfterMs > PATIENCE_MS) throw error;
        await this.#core.pause(backoff(this.#core.backoff, failures, error), options.signal);
      }
    }
  }

  async sessionNow() {
    if (!this.current && !this.#left) await this.restore();
    if (!this.current) throw new TidelineError({ code: "unauthenticated", status: 401, detail: "nobody is logged in: call login" });
    return this.current;
  }

  async restore() {
    this.#core.life.signal.throwIfAborted();
    if (!this.current) {
      const session = await this.#readSession();
      if (session && !this.current) {
        this.#stored = true;
        this.#adopt(session);
      }
    }
    return this.user;
  }

  #readSession() {
    return this.#core.store.read("session", isSession);
  }

  /** The storage is newer than this tab, unless a write to it has failed. */
  async #latest() {
    return this.#stored ? this.#readSession() : this.current;
  }

  #adopt(session) {
    if (this.owner !== session.user.id) this.#core.outbox.clear();
    const before = this.user;
    this.owner = session.user.id;
    this.current = session;
    this.term ??= new AbortController();
    this.#left = false;
    this.#core.tabs.open();
    if (before && JSON.stringify(before) !== JSON.stringify(session.user)) this.#core.emit("user", session.user);
  }

  /** Tokens are stored before they are used: the first use of the new ones invalidates the old refresh token. */
  async #loggedIn({ user, device_id, access_token, refresh_token }) {
    const session = { user, device_id, access_token, refresh_token };
    this.#stored = await this.#core.store.write("session", session);
    await this.#core.store.write("device", device_id);
    this.#adopt(session);
    this.#core.tabs.post({ type: "session", session });
    return user;
  }

  /**
   * One refresh at a time in this tab and, by the lock, in all tabs: a refresh token is valid once, and to the server a second
   * use looks like theft. The tab that comes second finds the new tokens in the storage. A login or a logout ends the
   * refresh, and then the caller reads the session again.
   */
  #refresh(token) {
    if (this.#refreshing) return this.#refreshing.done;
    const link = linked([], { all: this.#core.links });
    const done = this.#core
      .withLock("refresh", () => this.#renew(token, link.signal), { signal: link.signal })
      .catch(async (error) => {
        if (error.code === "signed_out") return;
        throw SESSION_ENDED.includes(error.code) ? await this.#sessionEnded(error, token) : error;
      })
      .finally(() => {
        link.done();
        if (this.#refreshing?.link === link) this.#refreshing = null;
      });
    this.#refreshing = { link, done };
    return done;
  }

  #endRefresh() {
    this.#refreshing?.link.abort(loggedOutError("logged out, or in again"));
  }

  async #renew(token, signal) {
    const found = await this.#theirs();
    if (found.access_token !== token) return this.#adopt(found);
    for (let failures = 0; ; failures++) {
      try {
        const renewed = await this.#once("POST", "/v1/auth/refresh", { body: { refresh_token: found.refresh_token }, signal });
        // When another tab has logged out or in meanwhile, its stored session stays.
        const now = await this.#theirs();
        signal.throwIfAborted();
        if (now.refresh_token !== found.refresh_token) return this.#adopt(now);
        // The response has only what others see of the account.
        await this.#loggedIn({ ...renewed, user: now.user });
        if (renewed.user.rev !== now.user.rev) this.reread();
        return;
      } catch (error) {
        // A lost response does not end the session: the server accepts the same token again, for a minute.
        if (!error.transient || signal.aborted) throw error;
        const { base, cap } = this.#core.backoff;
        const ms = backoff({ base, cap: Math.min(cap, REFRESH_CAP_MS) }, failures, error);
        await this.#core.pause(ms, signal, { atLeast: error.retryAfterMs ?? 0 });
      }
    }
  }

  /** The latest session of the person who is logged in here. */
  async #theirs() {
    const session = await this.#latest();
    if (session && session.user.id === this.user?.id) return session;
    throw new TidelineError({ code: "unauthenticated", status: 401, detail: "logged out meanwhile" });
  }

  /** The server has ended this session. The outbox stays: its owner may log in again. */
  async #sessionEnded(error, token) {
    if (this.current?.access_token !== token) return error;
    // Another tab may have logged in meanwhile; its stored session stays.
    if ((await this.#readSession())?.access_token === token) {
      await this.#core.store.delete("session");
      this.#core.tabs.post({ type: "session", session: null, reason: error.code });
    }
    this.#loggedOut(error);
    return error;
  }

  /** Ends all work of the session. */
  #end(reason) {
    this.current = null;
    this.#left = true;
    this.term.abort(reason);
    this.term = null;
    this.#endRefresh();
    this.#core.sync.stop(reason);
    this.#core.outbox.end(reason);
  }

  #loggedOut(reason) {
    if (!this.current) return;
    this.#end(reason);
    this.#core.emit("signed_out", { reason: reason.code });
  }

  /** Another tab has logged in or out, or has new tokens. */
  async receive({ session, reason, user_id }) {
    if (session && session.user.id === this.user?.id) return this.#adopt(session);
    if (session) {
      this.#loggedOut(loggedOutError());
      return this.#core.emit("signed_in", { user: session.user });
    }
    if (user_id !== this.owner) return;
    const token = this.current?.access_token;
    this.#loggedOut(new TidelineError({ code: reason }));
    if (reason !== "signed_out") return;
    // Delete what this tab has written after the other one had deleted everything.
    await this.#core.outbox.drop();
    if ((await this.#readSession())?.access_token === token) await this.#core.store.delete("session");
  }

  async register({ username, password, display_name, device }, options) {
    return this.#logIn("/v1/auth/register", { username, password, display_name }, device, false, options);
  }

  async login({ username, password, device }, options) {
    return this.#logIn("/v1/auth/login", { username, password }, device, true, options);
  }

  /**
   * Logins run one after the other as a whole: on one device the later one ends the earlier, and must be the one that is kept.
   * They do not wait for a refresh, and end within the time of a request.
   */
  async #logIn(path, account, device, known, { signal } = {}) {
    const link = linked([signal], { ms: this.#core.options.requestTimeoutMs, all: this.#core.links });
    const turn = async () => {
      const body = { ...account, device: await this.#deviceInfo(device, known) };
      const session = await this.call("POST", path, { body, auth: false, repeat: "refusal", signal: link.signal });
      if (this.current && this.user.id !== session.user.id) this.#loggedOut(loggedOutError());
      this.#endRefresh();
      return this.#loggedIn(session);
    };
    try {
      return await this.#core.withLock("login", turn, { signal: link.signal });
    } finally {
      link.done();
    }
  }

  async #deviceInfo(given, known) {
    const stored = known ? await this.#core.store.read("device", (id) => id === null || typeof id === "string") : null;
    const id = stored ? { id: stored } : {};
    return { platform: inBrowser ? "web" : "other", ...id, ...this.#core.options.device, ...given };
  }

  /** Ends within the time of a request, whatever a refresh or another tab does. Nothing of the account is stored afterwards. */
  async logout({ signal } = {}) {
    const { user } = await this.sessionNow();
    const link = linked([signal], { ms: this.#core.options.requestTimeoutMs, all: this.#core.links });
    try {
      await this.call("POST", "/v1/auth/logout", { user: user.id, signal: link.signal });
    } catch (error) {
      if (!SESSION_ENDED.includes(error.code) && error.code !== "signed_out") throw error;
    } finally {
      link.done();
      if (this.user?.id === user.id) await this.#leave(user.id);
    }
  }

  /** Logs all devices out, until the next login. */
  async deactivate(proof, options) {
    await this.#endAccount("POST", "/v1/me/deactivate", proof, options);
  }

  /** Logs all devices out. The account is erased at `erase_at` of the result, unless the person logs in before. */
  deleteAccount(proof, options) {
    return this.#endAccount("DELETE", "/v1/me", proof, options);
  }

  async #endAccount(method, path, { password } = {}, { signal } = {}) {
    const { user } = await this.sessionNow();
    const ended = await this.call(method, path, { body: { password }, user: user.id, repeat: "refusal", signal });
    if (this.user?.id === user.id) await this.#leave(user.id);
    return ended;
  }

  async #leave(userId) {
    const reason = loggedOutError("logged out");
    const { store, outbox, tabs } = this.#core;
    this.#end(reason);
    await outbox.drop();
    for (const key of await store.keys(`${userId}:`)) await store.delete(key);
    if ((await this.#readSession())?.user.id === userId) await store.delete("session");
    tabs.post({ type: "session", session: null, reason: reason.code });
    this.#core.emit("signed_out", { reason: reason.code });
  }

  /** The account of this person as it is now, for all tabs. */
  async changed(user) {
    await this.#core.withLock("refresh", async () => {
      const session = await this.#latest();
      if (session?.user.id !== user.id || this.user?.id !== user.id) return;
      if (JSON.stringify(session.user) !== JSON.stringify(user)) await this.#loggedIn({ ...session, user });
    });
    return user;
  }

  /** The account has changed on another device, or may have: it is read, one request at a time. */
  reread() {
    this.#stale = true;
    if (this.#rereading) return;
    this.#rereading = true;
    this.#core.spawn(this.#readAgain().finally(() => (this.#rereading = false)));
  }

  async #readAgain() {
    while (this.#stale && this.current) {
      this.#stale = false;
      await this.changed(await this.call("GET", "/v1/me"));
    }
  }
}

// Requests, and the session that they are made with: one refresh at a time, over all tabs.

import { inBrowser } from "./environment.js";
import { refusal, SIGNED_OUT, TidelineError } from "./errors.js";
import { abortable, backoff, linked } from "./signals.js";

/** How often a call is repeated before its caller hears of it, and how long it waits at most for `Retry-After`. */
const REPEATS = 3;
const PATIENCE_MS = 10_000;
/** A lost refresh is repeated soon: the server takes the old token for a minute only. */
const REFRESH_CAP_MS = 4_000;

export class Session {
  #core;
  /** `user`, `device_id` and the tokens; null when nobody is signed in. */
  current = null;
  /** Whose outbox this is: the id of whoever is signed in, or was. */
  owner = null;
  #sessionStored = false;
  #refreshing = null;

  constructor(core) {
    this.#core = core;
  }

  get user() {
    return this.current?.user ?? null;
  }

  /** One request, once. `auth` is the access token, or null. */
  async #once(method, path, { query, body, signal, timeoutMs }, token) {
    this.#core.life.signal.throwIfAborted();
    const link = linked([signal], { ms: timeoutMs ?? this.#core.options.requestTimeoutMs, all: this.#core.links });
    const url = new URL(this.#core.url + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const one of [value].flat()) if (one !== undefined && one !== null) url.searchParams.append(name, String(one));
    }
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      link.signal.throwIfAborted();
      const send = this.#core.options.fetch ?? globalThis.fetch;
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
      throw new TidelineError({ code: "network", detail: `no answer from ${this.#core.url}`, cause: error });
    } finally {
      link.done();
    }
  }

  /** With the session: an access token that has ended is refreshed, and only then; a session that has ended ends here too. */
  async authorized(method, path, options) {
    const { user } = await this.sessionNow();
    for (let refreshes = 0; ; refreshes++) {
      // What one person has begun is not repeated as another who has signed in meanwhile.
      if (this.current?.user.id !== user.id) throw new TidelineError({ code: "signed_out", status: 401, detail: "signed out meanwhile" });
      const token = this.current.access_token;
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
  async call(method, path, options = {}) {
    const { repeat = "always", auth = true } = options;
    for (let failures = 0; ; failures++) {
      try {
        return await (auth ? this.authorized(method, path, options) : this.#once(method, path, options));
      } catch (error) {
        // The first DELETE was done, and only its answer was lost.
        if (method === "DELETE" && error.status === 404 && failures > 0) return null;
        const again = repeat === "always" ? error.transient : repeat === "refusal" && error.status === 429;
        if (!again || failures >= REPEATS || error.retryAfterMs > PATIENCE_MS) throw error;
        await this.#core.pause(backoff(this.#core.backoff, failures, error), options.signal);
      }
    }
  }

  async sessionNow() {
    const session = this.current ?? ((await this.restore()) && this.current);
    if (!session) throw new TidelineError({ code: "unauthenticated", status: 401, detail: "nobody is signed in: call login" });
    return session;
  }

  async restore() {
    if (this.#core.life.signal.aborted) throw this.#core.life.signal.reason;
    if (!this.current) {
      const session = await this.#storedSession();
      if (session && !this.current) {
        this.owner = session.user.id;
        this.#sessionStored = true;
        this.#adopt(session);
      }
    }
    return this.user;
  }

  async #storedSession() {
    return JSON.parse((await this.#core.storage.get(`${this.#core.prefix}session`)) ?? "null");
  }

  /** The storage knows better than this tab, unless it has refused to store. To be asked under the lock `refresh`. */
  #currentSession() {
    return this.#sessionStored ? this.#storedSession() : this.current;
  }

  #adopt(session) {
    this.current = session;
    if (session) this.#core.tabs.openChannel();
  }

  /** Tokens are stored before they are used: the old refresh token dies with the first use of the new ones. */
  async #signedIn({ user, device_id, access_token, refresh_token }) {
    const session = { user, device_id, access_token, refresh_token };
    if (this.owner !== user.id) this.#core.outbox.items.clear();
    this.owner = user.id;
    this.#sessionStored = await this.#core.keep("session", session);
    await this.#core.keep("device", device_id);
    this.#adopt(session);
    this.#core.tabs.post({ type: "session", session });
    return user;
  }

  /**
   * One refresh at a time in this tab, and by the lock one in all tabs: a refresh token is good once, and a second use
   * looks to the server like a thief's. Whoever comes second finds the new tokens in the storage.
   */
  #refresh(token) {
    this.#refreshing ??= this.#core.withLock("refresh", async () => {
      const session = await this.#currentSession();
      if (!session || session.user.id !== this.current?.user.id) {
        throw new TidelineError({ code: "unauthenticated", status: 401, detail: "signed out meanwhile" });
      }
      if (session.access_token !== token) return this.#adopt(session);
      for (let failures = 0; ; failures++) {
        try {
          const body = { refresh_token: session.refresh_token };
          return await this.#signedIn(await this.#once("POST", "/v1/auth/refresh", { body }));
        } catch (error) {
          // A lost answer logs nobody out: the server takes the same token again, for a minute.
          if (!error.transient || this.#core.life.signal.aborted) throw error;
          const { base, cap } = this.#core.backoff;
          await this.#core.pause(backoff({ base, cap: Math.min(cap, REFRESH_CAP_MS) }, failures, error), null, { early: true });
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
    if (this.current?.access_token !== token) return error;
    // Another tab may have signed in meanwhile; what it has stored stays.
    if ((await this.#storedSession())?.access_token === token) {
      await this.#core.storage.delete(`${this.#core.prefix}session`);
      this.#core.tabs.post({ type: "session", session: null, reason: error.code });
    }
    this.signedOut(error);
    return error;
  }

  /** Ends what runs for the session: here, or because another tab has said so. */
  signedOut(reason) {
    if (!this.current) return;
    this.current = null;
    this.#core.sync.stop(reason);
    this.#core.outbox.rejectAll(reason);
    this.#core.tell("signed_out", { reason: reason.code });
  }

  async register({ username, password, display_name, device }, { signal } = {}) {
    const body = { username, password, display_name, device: await this.#deviceInfo(device, false) };
    return this.#enter(await this.call("POST", "/v1/auth/register", { body, auth: false, repeat: "refusal", signal }));
  }

  async login({ username, password, device }, { signal } = {}) {
    const body = { username, password, device: await this.#deviceInfo(device, true) };
    return this.#enter(await this.call("POST", "/v1/auth/login", { body, auth: false, repeat: "refusal", signal }));
  }

  async #deviceInfo(given, known) {
    const stored = JSON.parse((await this.#core.storage.get(`${this.#core.prefix}device`)) ?? "null");
    const id = known && stored ? { id: stored } : {};
    return { platform: inBrowser ? "web" : "other", ...id, ...this.#core.options.device, ...given };
  }

  async #enter(session) {
    if (this.current && this.current.user.id !== session.user.id) {
      const reason = new TidelineError({ code: "signed_out" });
      for (const attempt of this.#core.outbox.attempts.values()) attempt.abort(reason);
      this.signedOut(reason);
    }
    return this.#core.withLock("refresh", () => this.#signedIn(session));
  }

  async logout({ signal } = {}) {
    const { user } = await this.sessionNow();
    try {
      await this.call("POST", "/v1/auth/logout", { signal });
    } catch (error) {
      if (!SIGNED_OUT.includes(error.code)) throw error;
    } finally {
      // Under the lock, so that a refresh of another tab does not store the session again.
      await this.#core.withLock("refresh", async () => {
        for (const key of await this.#core.storage.keys(`${this.#core.prefix}${user.id}:`)) await this.#core.storage.delete(key);
        await this.#core.storage.delete(`${this.#core.prefix}session`);
      });
      this.#core.tabs.post({ type: "session", session: null, reason: "signed_out" });
      this.#core.outbox.items.clear();
      this.signedOut(new TidelineError({ code: "signed_out", detail: "signed out" }));
    }
  }

  async updateMe({ display_name }, { signal } = {}) {
    const user = await this.call("PATCH", "/v1/me", { body: { display_name }, signal });
    await this.#core.withLock("refresh", async () => {
      const session = await this.#currentSession();
      if (session?.user.id === user.id) await this.#signedIn({ ...session, user });
    });
    return user;
  }
}

// A fake server in this process, without PostgreSQL, that records requests and messages by user.

import { memoryStorage, Tideline, uuidv7 } from "../../src/tideline.js";
import { FakeLocks } from "./locks.js";

const json = (status, value) => new Response(JSON.stringify(value), { status });

export const problem = (status, code, more = {}, headers = {}) =>
  new Response(JSON.stringify({ code, status, detail: code, request_id: "q", ...more }), { status, headers });

/** A promise that only its signal ends, as a request without a response. */
export const never = (signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

export class FakeServer {
  url = `http://${uuidv7()}.invalid`;
  /** Every request, as `{ at, method, path, query, user, body }`. */
  seen = [];
  /** The messages that were stored, as `{ user, conversation, text }`. */
  stored = [];
  /** Overrides the response to a request: a Response, an error to throw, or a promise of one. */
  intercept = () => undefined;
  entries = [];
  conversations = [];
  expired = new Set();
  #users = new Map();
  #tokens = new Map();
  #messages = new Map();

  fetch = async (href, { method = "GET", headers = {}, body, signal, redirect }) => {
    const { pathname, searchParams } = new URL(href);
    const token = headers.Authorization?.slice("Bearer ".length) ?? null;
    const user = this.#tokens.get(token) ?? null;
    const request = { at: Date.now(), method, path: pathname, query: searchParams, user: user?.username ?? null, token, redirect, signal };
    request.body = body && JSON.parse(body);
    this.seen.push(request);
    const other = await this.intercept(request);
    if (other instanceof Error) throw other;
    if (other) return other;
    return this.#respond(request, user);
  };

  count(method, path) {
    return this.seen.filter((one) => one.method === method && one.path.endsWith(path)).length;
  }

  async #respond({ method, path, query, body, token, signal }, user) {
    const what = `${method} ${path.slice("/v1".length)}`;
    if (what === "POST /auth/register" || what === "POST /auth/login") return json(200, this.#session(this.#user(body.username), body.device.id));
    if (what === "POST /auth/refresh") {
      const owner = this.#tokens.get(body.refresh_token);
      if (!owner) return problem(401, "refresh_invalid");
      this.#tokens.delete(body.refresh_token);
      return json(200, this.#session(owner));
    }
    if (!user) return problem(401, "device_revoked");
    if (this.expired.delete(token)) return problem(401, "token_expired");
    if (what === "POST /auth/logout") {
      this.revoke(user.username);
      return new Response(null, { status: 204 });
    }
    if (what === "GET /me") return json(200, user);
    if (what === "PATCH /me") return json(200, Object.assign(user, body));
    if (what === "GET /conversations") return json(200, { conversations: this.conversations, next_cursor: null, inbox_seq: 0, epoch: "e" });
    if (what === "POST /conversations") return json(201, { id: uuidv7(), ...body, owner: user.username });
    if (what === "GET /unread") return json(200, { total: 0, conversations: [], as_of_seq: 0 });
    if (what === "GET /inbox") return json(200, { entries: this.entries.filter(({ seq }) => seq > query.get("since_seq")), has_more: false });
    if (what === "GET /notices") {
      const since = Number(query.get("since_seq"));
      const notice = { news: this.entries.length > since, watched: [], total_unread: 0, reconnect: false, superseded: false };
      return notice.news || query.get("timeout") <= 1 ? json(200, notice) : never(signal);
    }
    const [, conversation] = path.match(/conversations\/([^/]+)\/messages$/) ?? [];
    if (conversation && method === "POST") return json(201, this.#store(user, conversation, body));
    if (method === "DELETE" || path.includes("/blocks/")) return new Response(null, { status: 204 });
    throw new Error(`the fake server has no ${what}`);
  }

  /** Ends all sessions of a user. */
  revoke(username) {
    for (const [token, user] of this.#tokens) if (user.username === username) this.#tokens.delete(token);
  }

  #user(username) {
    if (!this.#users.has(username)) this.#users.set(username, { id: uuidv7(), username, display_name: username });
    return this.#users.get(username);
  }

  #session(user, device_id = uuidv7()) {
    const session = { user, device_id, access_token: uuidv7(), refresh_token: uuidv7() };
    for (const token of [session.access_token, session.refresh_token]) this.#tokens.set(token, user);
    return session;
  }

  #store(user, conversation_id, { client_msg_id, kind, content }) {
    const known = this.#messages.get(`${user.id} ${client_msg_id}`);
    if (known) return known;
    const message = { id: uuidv7(), conversation_id, seq: this.stored.length + 1, sender_id: user.id, client_msg_id, kind, content };
    this.#messages.set(`${user.id} ${client_msg_id}`, message);
    this.stored.push({ user: user.username, conversation: conversation_id, text: content.text });
    return message;
  }
}

/** A client of a fake server, with short pauses between retries, closed with the test. */
export function open(t, server, options = {}) {
  const tideline = new Tideline({ url: server.url, fetch: server.fetch, backoff: { base: 1, cap: 20 }, storage: memoryStorage(), ...options });
  t.after(() => tideline.close());
  return tideline;
}

/** A browser: its tabs share storage, locks and a channel. */
export function browser(t, server) {
  const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true };
  return { ...shared, tab: (options = {}) => open(t, server, { ...shared, ...options }) };
}

export const account = (username) => ({ username, password: "correct horse" });

// The API, a method per operation. Every method takes `{ signal }` last and returns the body of the answer.

import { emojiOf, seqOf, uuid, uuidv7 } from "./ids.js";

/** The page size of a loop over all pages. It keeps each answer small. */
export const PAGE = 100;

/** The path of a message. */
const messagePath = (conversationId, seq) => `/v1/conversations/${uuid(conversationId)}/messages/${seqOf(seq)}`;

export class Api {
  #core;
  #session;

  constructor(core) {
    this.#core = core;
    this.#session = core.session;
  }

  getMe({ signal } = {}) {
    return this.#session.call("GET", "/v1/me", { signal });
  }

  async getUser(userId, { signal } = {}) {
    return this.#session.call("GET", `/v1/users/${uuid(userId)}`, { signal });
  }

  /** The users with up to 100 ids, or with one exact username. Unknown ones are left out. */
  async listUsers({ ids, username }, { signal } = {}) {
    const query = { ids: ids?.join(","), username };
    return (await this.#session.call("GET", "/v1/users", { query, signal })).users;
  }

  async findUser(username, { signal } = {}) {
    return (await this.listUsers({ username }, { signal }))[0] ?? null;
  }

  async listDevices({ signal } = {}) {
    return (await this.#session.call("GET", "/v1/me/devices", { signal })).devices;
  }

  async removeDevice(deviceId, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/me/devices/${uuid(deviceId)}`, { signal });
  }

  /** Signs all other devices out. */
  changePassword({ old_password, new_password }, { signal } = {}) {
    const body = { old_password, new_password };
    return this.#session.call("PUT", "/v1/me/password", { body, repeat: "refusal", signal });
  }

  listBlocks({ limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/me/blocks", { query: { limit, cursor }, signal });
  }

  async blockUser(userId, { signal } = {}) {
    return this.#block("PUT", userId, signal);
  }

  async unblockUser(userId, { signal } = {}) {
    return this.#block("DELETE", userId, signal);
  }

  /** Tells the other tabs of this browser: the server has no entry for it. */
  async #block(method, userId, signal) {
    const answer = await this.#session.call(method, `/v1/me/blocks/${uuid(userId)}`, { signal });
    const block = { user_id: userId, blocked: method === "PUT" };
    this.#core.tell("block", block);
    this.#core.tabs.post({ type: "block", block });
    return answer;
  }

  /** The conversation with one other person: there is one per pair, and a repeat returns the same. */
  createDirect(userId, { signal } = {}) {
    return this.#session.call("POST", "/v1/conversations", { body: { kind: "direct", user_id: userId }, signal });
  }

  /**
   * A new group. Because of its `client_conversation_id` a repeat returns the group instead of making another. `refused` of
   * the result names the people who are left out because of a block.
   */
  createGroup({ title, member_ids = [], client_conversation_id = uuidv7() }, { signal } = {}) {
    const body = { kind: "group", title, member_ids, client_conversation_id };
    return this.#session.call("POST", "/v1/conversations", { body, signal });
  }

  /** A new channel: the owner and admins post, the others read. Anybody with the id of a public one may `join`. */
  createChannel({ title, public: open = false, member_ids = [], client_conversation_id = uuidv7() }, { signal } = {}) {
    const body = { kind: "channel", title, public: open, member_ids, client_conversation_id };
    return this.#session.call("POST", "/v1/conversations", { body, signal });
  }

  listConversations({ order, limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/conversations", { query: { order, limit, cursor }, signal });
  }

  async getConversation(conversationId, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}`, { signal });
  }

  async updateConversation(conversationId, { title }, { signal } = {}) {
    return this.#session.call("PATCH", `/v1/conversations/${uuid(conversationId)}`, { body: { title }, signal });
  }

  async listMembers(conversationId, { limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/members`, { query: { limit, cursor }, signal });
  }

  /** People who are banned, or blocked by or blocking the caller, are left out: `refused` names them. */
  async addMembers(conversationId, userIds, { signal } = {}) {
    return this.#session.call("POST", `/v1/conversations/${uuid(conversationId)}/members`, { body: { user_ids: userIds }, signal });
  }

  /** When the caller leaves, waits until their messages there are stored or have failed: the server refuses them later. */
  async removeMember(conversationId, userId, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}/members/${uuid(userId)}`;
    const user = (await this.#session.sessionNow()).user.id;
    if (userId === user) await this.#core.outbox.drained(conversationId, signal);
    return this.#session.call("DELETE", path, { user, signal });
  }

  /** For the owner and admins, like the other two methods. */
  async listBans(conversationId, { limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/bans`, { query: { limit, cursor }, signal });
  }

  /** Removes a person, who can then neither join nor be added. */
  async banUser(conversationId, userId, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/bans/${uuid(userId)}`, { signal });
  }

  async unbanUser(conversationId, userId, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/conversations/${uuid(conversationId)}/bans/${uuid(userId)}`, { signal });
  }

  /** Joins a public channel, and returns it. */
  async join(conversationId, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}`;
    const user = (await this.#session.sessionNow()).user.id;
    await this.#session.call("POST", `${path}/members`, { body: { user_ids: [user] }, user, signal });
    return this.#session.call("GET", path, { user, signal });
  }

  async leave(conversationId, options) {
    return this.removeMember(conversationId, (await this.#session.sessionNow()).user.id, options);
  }

  async updateMember(conversationId, userId, { role, muted_until }, { signal } = {}) {
    const body = { role, muted_until };
    return this.#session.call("PATCH", `/v1/conversations/${uuid(conversationId)}/members/${uuid(userId)}`, { body, signal });
  }

  setRole(conversationId, userId, role, options) {
    return this.updateMember(conversationId, userId, { role }, options);
  }

  /** `until` is a Date or a time as text; null ends the mute. */
  mute(conversationId, userId, until, options) {
    const muted_until = until instanceof Date ? until.toISOString() : until;
    return this.updateMember(conversationId, userId, { muted_until }, options);
  }

  async listMessages(conversationId, { since_seq, before_seq, limit } = {}, { signal } = {}) {
    const query = { since_seq, before_seq, limit };
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/messages`, { query, signal });
  }

  async getMessage(conversationId, seq, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/messages/${seqOf(seq)}`, { signal });
  }

  /** Yields single messages: the newest first, or with `since_seq` the oldest after it first. */
  async *history(conversationId, { since_seq, before_seq, limit = PAGE } = {}, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}/messages`;
    const user = (await this.#session.sessionNow()).user.id;
    for (let more = true; more; ) {
      const page = await this.#session.call("GET", path, { query: { since_seq, before_seq, limit }, user, signal });
      if (since_seq === undefined) page.messages.reverse();
      yield* page.messages;
      const last = page.messages.at(-1)?.seq;
      if (since_seq === undefined) before_seq = last;
      else since_seq = last;
      more = page.has_more && last !== undefined;
    }
  }

  /**
   * Replaces the content of a text or custom message that the caller has sent. `version` is the version that the caller has seen,
   * 1 for an unchanged message. When it is not the present one, the error is `version_conflict`, and its `current` is the message
   * as it is now. Returns the edited message.
   */
  async edit(conversationId, seq, { version, content }, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}/messages/${seqOf(seq)}`;
    // A copy: a repeat is recognised by its equal content.
    const body = JSON.parse(JSON.stringify({ version, content }));
    return this.#session.call("PATCH", path, { body, signal });
  }

  /** Erases the content of a message for everyone, and returns the stub that stays in its place. */
  async recall(conversationId, seq, { signal } = {}) {
    return this.#session.call("DELETE", messagePath(conversationId, seq), { removes: false, signal });
  }

  /** Reacts to a message, and returns its reactions. The server compares emojis byte for byte. */
  async addReaction(conversationId, seq, emoji, { signal } = {}) {
    return this.#session.call("PUT", `${messagePath(conversationId, seq)}/reactions/${emojiOf(emoji)}`, { signal });
  }

  async removeReaction(conversationId, seq, emoji, { signal } = {}) {
    const path = `${messagePath(conversationId, seq)}/reactions/${emojiOf(emoji)}`;
    return this.#session.call("DELETE", path, { removes: false, signal });
  }

  /** A page of the users that reacted to a message, with one emoji or with any. */
  async listReactions(conversationId, seq, { emoji, limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `${messagePath(conversationId, seq)}/reactions`, { query: { emoji, limit, cursor }, signal });
  }

  /** A page of the replies to a message and to its replies, ascending. */
  async listReplies(conversationId, seq, { since_seq, limit } = {}, { signal } = {}) {
    return this.#session.call("GET", `${messagePath(conversationId, seq)}/replies`, { query: { since_seq, limit }, signal });
  }

  /** A page of the readers of a message, for its sender. */
  async listReceipts(conversationId, seq, { limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `${messagePath(conversationId, seq)}/receipts`, { query: { limit, cursor }, signal });
  }

  /** A page of the messages that name the user, newest first. */
  async listMentions({ before, limit } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/mentions", { query: { before, limit }, signal });
  }

  /** The versions of a message, oldest first; the last one is the present one. */
  async versions(conversationId, seq, { signal } = {}) {
    return (await this.#session.call("GET", `${messagePath(conversationId, seq)}/versions`, { signal })).versions;
  }

  /**
   * A page of the messages that have changed after the change with this number, each once and as it is now. `change_seq` of the
   * page is the number to continue with. The number belongs to an epoch: by default to that of `position`.
   */
  async changedSince(conversationId, number, { limit, epoch = this.#core.sync.position?.epoch } = {}, { signal } = {}) {
    const query = { changed_since: number, epoch, limit };
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/messages`, { query, signal });
  }

  /** Moves only forward. The other devices get a `read` entry. */
  async markRead(conversationId, seq, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/read`, { body: { seq }, signal });
  }

  getUnread({ signal } = {}) {
    return this.#session.call("GET", "/v1/unread", { signal });
  }

  /** Sleeps on the server for this number of seconds: if the answer fails earlier, a proxy in between has cut it. */
  diagnoseLongpoll(timeout = 25, { signal } = {}) {
    return this.#session.call("GET", "/v1/diagnostics/longpoll", { query: { timeout }, timeoutMs: 70_000, repeat: "never", signal });
  }

  getCapabilities({ signal } = {}) {
    return this.#session.call("GET", "/v1/capabilities", { auth: false, signal });
  }
}

// The API, a method per operation; those that concern people are in people.js, those of service desks in desks.js. Every method takes `{ signal }` last and returns the
// body of the response.

import { Desks } from "./desks.js";
import { emojiOf, iso, seqOf, uuid, uuidv7 } from "./ids.js";
import { LINKS, PAGE, SLOWEST } from "./limits.js";
import { abortable } from "./signals.js";

/** The path of a message. */
const messagePath = (conversationId, seq) => `/v1/conversations/${uuid(conversationId)}/messages/${seqOf(seq)}`;

const pinPath = (conversationId, seq) => `/v1/conversations/${uuid(conversationId)}/pins/${seqOf(seq)}`;

/** How long links are gathered for one request, how long before its end a link is renewed, and how many are kept. */
const GATHER_MS = 5;
const EARLY_MS = 300_000;
const KEPT = 2_000;

/** The path of a picture that the server keeps. */
const AVATAR = /^\/v1\/(users|conversations)\/([0-9a-f-]{36})\/avatar(\?|$)/i;

/** Links to media: those that are asked for together are one request, and each is kept until shortly before its end. */
class Links {
  #core;
  /** Asks for the links of items. */
  #request;
  #known = new Map();
  /** What the next request asks for, by its key: the item, a promise, and how it is fulfilled. */
  #wanted = new Map();

  constructor(core, request) {
    this.#core = core;
    this.#request = request;
    core.on("signed_out", () => this.#known.clear());
  }

  get(item, fresh) {
    const key = JSON.stringify(Object.values(item));
    const known = this.#known.get(key);
    if (!fresh && known?.until > this.#core.changes.now) return Promise.resolve(known.url);
    const before = this.#wanted.get(key);
    if (before) return before.promise;
    const wanted = { item };
    wanted.promise = new Promise((resolve, reject) => Object.assign(wanted, { resolve, reject }));
    this.#wanted.set(key, wanted);
    if (this.#wanted.size === 1) setTimeout(() => this.#core.spawn(this.#ask()), GATHER_MS);
    return wanted.promise;
  }

  async #ask() {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    for (let from = 0; from < wanted.length; from += LINKS) {
      const some = wanted.slice(from, from + LINKS);
      try {
        const links = await this.#request(some.map(([, { item }]) => item));
        for (const [at, [key, { resolve }]] of some.entries()) resolve(this.#keep(key, links[at]));
      } catch (error) {
        for (const [, { reject }] of some) reject(error);
      }
    }
  }

  #keep(key, link) {
    this.#known.delete(key);
    if (!link) return null;
    const url = new URL(link.url, `${this.#core.url}/`).href;
    this.#known.set(key, { url, until: Date.parse(link.expires_at) - EARLY_MS });
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value);
    return url;
  }
}

export class Api extends Desks {
  #core;
  #session;
  #links;
  #avatars;

  constructor(core) {
    super(core);
    this.#core = core;
    this.#session = core.session;
    this.#links = new Links(core, (items) => this.createMediaLinks(items));
    this.#avatars = new Links(core, (items) => this.#avatarLinks(items));
  }

  /** Messages of a response may expire while the application has them. */
  async #expecting(request) {
    const response = await request;
    const { messages = [], mentions = [], conversations = [response] } = response;
    const last = conversations.map((conversation) => conversation.last_message);
    this.#core.changes.expect(...messages, ...mentions.map(({ message }) => message), ...last);
    return response;
  }

  /** The conversation with one other person: there is one per pair, and a repeat returns the same. */
  createDirect(userId, { signal } = {}) {
    return this.#session.call("POST", "/v1/conversations", { body: { kind: "direct", user_id: userId }, signal });
  }

  /**
   * A new group. Because of its `client_conversation_id` a repeat returns the group instead of making another. `refused` of
   * the result names the people who are left out: a block, their privacy settings, or an account that is not in use.
   */
  createGroup({ title, member_ids = [], client_conversation_id = uuidv7(), parent }, { signal } = {}) {
    const body = { kind: "group", title, member_ids, client_conversation_id, parent };
    return this.#session.call("POST", "/v1/conversations", { body, signal });
  }

  /** A new channel: the owner and admins post, the others read. Anybody with the id of a public one may `join`. */
  createChannel({ title, public: open = false, member_ids = [], client_conversation_id = uuidv7(), parent }, { signal } = {}) {
    const body = { kind: "channel", title, public: open, member_ids, client_conversation_id, parent };
    return this.#session.call("POST", "/v1/conversations", { body, signal });
  }

  listConversations({ order, limit, cursor } = {}, { signal } = {}) {
    return this.#expecting(this.#session.call("GET", "/v1/conversations", { query: { order, limit, cursor }, signal }));
  }

  async getConversation(conversationId, { signal } = {}) {
    return this.#expecting(this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}`, { signal }));
  }

  /** Changes the title, the picture and the rules of a group. A direct conversation has only `message_ttl_seconds`. */
  async updateConversation(conversationId, { title, avatar_media_id, posting, pinning, slow_mode_seconds, message_ttl_seconds }, { signal } = {}) {
    const body = { title, avatar_media_id, posting, pinning, slow_mode_seconds, message_ttl_seconds };
    return this.#session.call("PATCH", `/v1/conversations/${uuid(conversationId)}`, { body, signal });
  }

  async listMembers(conversationId, { limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/members`, { query: { limit, cursor }, signal });
  }

  /** People who are banned, blocked by or blocking the caller, or do not accept it are left out: `refused` names them. */
  async addMembers(conversationId, userIds, { signal } = {}) {
    return this.#session.call("POST", `/v1/conversations/${uuid(conversationId)}/members`, { body: { user_ids: userIds }, signal });
  }

  /** When the caller leaves, waits until their messages there are stored or have failed: the server refuses them later. */
  async removeMember(conversationId, userId, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}/members/${uuid(userId)}`;
    const user = (await this.#session.sessionNow()).user.id;
    if (uuid(userId) === user) await this.#core.outbox.drained(uuid(conversationId), signal);
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
  async mute(conversationId, userId, until, options) {
    return this.updateMember(conversationId, userId, { muted_until: iso(until) }, options);
  }

  /** A page of messages, or those with the `seqs`. With `with_replied`, `replied` has the messages to which they reply. */
  async listMessages(conversationId, { since_seq, before_seq, seqs, with_replied, limit } = {}, { signal } = {}) {
    const query = { since_seq, before_seq, seqs: seqs?.join(","), with_replied, limit };
    return this.#read(conversationId, `/v1/conversations/${uuid(conversationId)}/messages`, { query, signal });
  }

  async getMessage(conversationId, seq, { signal } = {}) {
    return this.#read(conversationId, messagePath(conversationId, seq), { signal });
  }

  /** A change that comes while messages are read is in the response. */
  #read(conversationId, path, options) {
    return this.#core.changes.overlay(uuid(conversationId), () => this.#session.call("GET", path, options));
  }

  /** Yields single messages: the newest first, or with `since_seq` the oldest after it first. */
  async *history(conversationId, { since_seq, before_seq, limit = PAGE } = {}, { signal } = {}) {
    const path = `/v1/conversations/${uuid(conversationId)}/messages`;
    const user = (await this.#session.sessionNow()).user.id;
    for (let more = true; more; ) {
      const page = await this.#read(conversationId, path, { query: { since_seq, before_seq, limit }, user, signal });
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
    return this.#changed(await this.#session.call("PATCH", path, { body, signal }));
  }

  #changed(message) {
    this.#core.changes.note(message);
    this.#core.changes.expect(message);
    return message;
  }

  /** Erases the content of a message for everyone, and returns the stub that stays in its place. */
  async recall(conversationId, seq, { signal } = {}) {
    return this.#changed(await this.#session.call("DELETE", messagePath(conversationId, seq), { removes: false, signal }));
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

  async pinMessage(conversationId, seq, { signal } = {}) {
    return this.#session.call("PUT", pinPath(conversationId, seq), { signal });
  }

  async unpinMessage(conversationId, seq, { signal } = {}) {
    return this.#session.call("DELETE", pinPath(conversationId, seq), { removes: false, signal });
  }

  /** The pinned messages, the newest pin first. */
  async listPins(conversationId, { signal } = {}) {
    return this.#expecting(this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/pins`, { signal }));
  }

  /** A page of the replies to a message and to its replies, ascending. */
  async listReplies(conversationId, seq, { since_seq, limit } = {}, { signal } = {}) {
    return this.#read(conversationId, `${messagePath(conversationId, seq)}/replies`, { query: { since_seq, limit }, signal });
  }

  /** A page of the readers of a message, for its sender. */
  async listReceipts(conversationId, seq, { limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", `${messagePath(conversationId, seq)}/receipts`, { query: { limit, cursor }, signal });
  }

  /**
   * A page of the messages that match, the newest first, each with its `highlights`. `q` has words, `"a phrase"`, `word*` and `-word`;
   * `conversation_id` and `kind` may be lists. Go on with `cursor` while `complete` is false, also after an empty page.
   */
  async searchMessages({ q, conversation_id, sender_id, kind, has, from, to, limit, cursor } = {}, { signal } = {}) {
    const query = { q, conversation_id, sender_id, kind, has, from: iso(from), to: iso(to), limit, cursor };
    const page = await this.#session.call("GET", "/v1/search/messages", { query, signal });
    this.#core.changes.expect(...page.results.map(({ message }) => message));
    return page;
  }

  /** A page of the messages that name the user, newest first. */
  async listMentions({ before, limit } = {}, { signal } = {}) {
    return this.#expecting(this.#session.call("GET", "/v1/mentions", { query: { before, limit }, signal }));
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
    return this.#expecting(this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/messages`, { query, signal }));
  }

  /**
   * Schedules a message, in place of an earlier one under the id. `send_at` is a Date or a time as text. The server sends it once, with
   * the rights that the user has then; if it cannot be sent, there is a `scheduled_failed` entry.
   */
  async updateScheduled(clientMsgId, conversationId, { send_at, ...message }, { signal } = {}) {
    const body = { conversation_id: uuid(conversationId), send_at: iso(send_at), ...message };
    return this.#session.call("PUT", `/v1/me/scheduled/${uuid(clientMsgId)}`, { body, signal });
  }

  async deleteScheduled(clientMsgId, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/me/scheduled/${uuid(clientMsgId)}`, { signal });
  }

  async listScheduled({ limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/me/scheduled", { query: { limit, cursor }, signal });
  }

  /** Moves only forward. The other devices get a `read` entry. */
  async markRead(conversationId, seq, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/read`, { body: { seq }, signal });
  }

  /** Tells the members that look at the conversation that the user types: every 5 seconds, and false at the end. A message ends it too. */
  async updateTyping(conversationId, typing, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/typing`, { body: { typing }, signal });
  }

  /** With `mentions` also the counts of messages that name the user. */
  getUnread({ mentions, signal } = {}) {
    return this.#session.call("GET", "/v1/unread", { query: { mentions }, signal });
  }

  // For the user alone, on all devices.

  /** Marks a conversation as unread, until it is read or the user sends to it. The counts stay as they are. */
  async markUnread(conversationId, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/marked_unread`, { signal });
  }

  /** Changes the given settings of a conversation, and returns all of them. */
  async updateSettings(conversationId, { notify, pinned, archived, hidden_through, nickname }, { signal } = {}) {
    const body = { notify, pinned, archived, hidden_through, nickname };
    return this.#session.call("PATCH", `/v1/conversations/${uuid(conversationId)}/settings`, { body, signal });
  }

  /** Deletes the history up to a seq, for good. The messages count as read. */
  async clearHistory(conversationId, seq, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/cleared`, { body: { seq }, signal });
  }

  /** Hides up to 100 messages, for good: from now on the user reads stubs of kind `hidden`. */
  async hideMessages(conversationId, seqs, { signal } = {}) {
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/hidden`, { body: { seqs }, signal });
  }

  listDrafts({ limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/drafts", { query: { limit, cursor }, signal });
  }

  /**
   * Stores a draft under the version that the caller has seen, 0 for the first. When it is not the present one, the error is
   * `version_conflict`, and its `draft` is the present one. `drafts` does this by itself.
   */
  async updateDraft(conversationId, { version, content, after_seq }, { signal } = {}) {
    const body = { version, content, after_seq };
    return this.#session.call("PUT", `/v1/conversations/${uuid(conversationId)}/draft`, { body, signal });
  }

  async deleteDraft(conversationId, version, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/conversations/${uuid(conversationId)}/draft`, { query: { version }, signal });
  }

  // Media that the server keeps. `uploads` does the first four by itself.

  /** Creates an upload. Because of its `client_media_id` a repeat returns the same upload. */
  createMedia({ client_media_id = uuidv7(), kind, name, mime, size, sha256, width, height, duration_ms }, { signal } = {}) {
    const body = { client_media_id, kind, name, mime, size, sha256, width, height, duration_ms };
    return this.#session.call("POST", "/v1/media", { body, signal });
  }

  /** What the server has of an upload. */
  async getUpload(mediaId, { signal } = {}) {
    return this.#session.call("GET", `/v1/media/${uuid(mediaId)}/upload`, { signal });
  }

  /** Sends a part, a Blob or bytes. With `digest`, its SHA-256 in base64, the server checks it. */
  async uploadPart(mediaId, part, bytes, { digest, signal } = {}) {
    const timeoutMs = this.#core.options.requestTimeoutMs + (bytes.size ?? bytes.byteLength) / SLOWEST;
    return this.#session.call("PUT", `/v1/media/${uuid(mediaId)}/parts/${seqOf(part)}`, { bytes, digest, signal, timeoutMs });
  }

  /** The state of the media is `processing` when the server needs more than ten seconds: call it again. */
  async completeMedia(mediaId, { signal } = {}) {
    return this.#session.call("POST", `/v1/media/${uuid(mediaId)}/complete`, { signal });
  }

  async getMedia(mediaId, { signal } = {}) {
    return this.#session.call("GET", `/v1/media/${uuid(mediaId)}`, { signal });
  }

  /** Deletes media that nothing refers to. */
  async deleteMedia(mediaId, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/media/${uuid(mediaId)}`, { signal });
  }

  /** A page of the media of the user, newest first, and what they use of the quota. */
  listMedia({ limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/media", { query: { limit, cursor }, signal });
  }

  /** The bytes of own media, as a Blob. */
  async getMediaContent(mediaId, { variant } = {}, { signal } = {}) {
    return this.#session.call("GET", `/v1/media/${uuid(mediaId)}/content`, { query: { variant }, blob: true, signal });
  }

  /** The bytes of the media of a message, as a Blob. */
  async getMessageMedia(conversationId, seq, { variant } = {}, { signal } = {}) {
    return this.#session.call("GET", `${messagePath(conversationId, seq)}/media`, { query: { variant }, blob: true, signal });
  }

  /** Links to media of up to 100 messages, each or null. */
  async createMediaLinks(items, { signal } = {}) {
    return (await this.#session.call("POST", "/v1/media/links", { body: { items }, signal })).links;
  }

  /**
   * A link to the media of a message, for `<img>` and `<video>`, or null when the user may not see it. Links that are asked for at the
   * same time are one request, and a link is kept until shortly before its end; `fresh` asks for another one, after a 404.
   */
  async mediaLink(conversationId, seq, variant = "original", { fresh = false, signal } = {}) {
    const item = { conversation_id: uuid(conversationId), seq: Number(seqOf(seq)), variant };
    return abortable(this.#links.get(item, fresh), signal);
  }

  /** The uploaded picture of a user, as a Blob. */
  async getUserAvatar(userId, { signal } = {}) {
    return this.#session.call("GET", `/v1/users/${uuid(userId)}/avatar`, { blob: true, signal });
  }

  /** The picture of a group or channel, as a Blob. */
  async getConversationAvatar(conversationId, { signal } = {}) {
    return this.#session.call("GET", `/v1/conversations/${uuid(conversationId)}/avatar`, { blob: true, signal });
  }

  /** Links to the pictures of up to 100 users and conversations together, each or null. */
  async createAvatarLinks({ user_ids, conversation_ids }, { signal } = {}) {
    return this.#session.call("POST", "/v1/media/avatar-links", { body: { user_ids, conversation_ids }, signal });
  }

  async #avatarLinks(items) {
    const ids = (wanted) => items.filter(({ kind }) => kind === wanted).map(({ id }) => id);
    const links = await this.createAvatarLinks({ user_ids: ids("users"), conversation_ids: ids("conversations") });
    return items.map(({ kind }) => links[kind].shift());
  }

  /**
   * The address for `<img>` of the picture with this `avatar_url`, of a user or a conversation. Of one that the server keeps it is a link, as
   * with `mediaLink`, or null when there is no such picture any more; any other is as it is.
   */
  async avatarLink(avatarUrl, { fresh = false, signal } = {}) {
    const [, kind, id] = AVATAR.exec(avatarUrl ?? "") ?? [];
    return kind ? abortable(this.#avatars.get({ kind: kind.toLowerCase(), id, avatarUrl }, fresh), signal) : (avatarUrl ?? null);
  }

  /** Uploads a picture, a Blob or bytes, and makes it that of the user, whose account is returned. Null removes the picture. */
  setAvatar(picture, { name, mime } = {}, { signal } = {}) {
    return this.#show(picture, { name, mime }, (avatar_media_id) => this.updateMe({ avatar_media_id }, { signal }), signal);
  }

  /** The same for a group or channel, which is returned. */
  async setConversationAvatar(conversationId, picture, { name, mime } = {}, { signal } = {}) {
    uuid(conversationId);
    const set = (avatar_media_id) => this.updateConversation(conversationId, { avatar_media_id }, { signal });
    return this.#show(picture, { name, mime }, set, signal);
  }

  async #show(picture, about, set, signal) {
    if (picture === null) return set(null);
    const { uploads } = this.#core.outbox;
    const { id } = uploads.add(picture, { kind: "image", ...about });
    try {
      const changed = await set((await uploads.done(id, { signal })).id);
      uploads.kept(id);
      return changed;
    } catch (error) {
      this.#core.spawn(uploads.cancel(id));
      throw error;
    }
  }

  /** Sleeps on the server for this number of seconds: if the response fails earlier, a proxy in between has cut it. */
  diagnoseLongpoll(timeout = 25, { signal } = {}) {
    return this.#session.call("GET", "/v1/diagnostics/longpoll", { query: { timeout }, timeoutMs: 70_000, repeat: "never", signal });
  }

  getCapabilities({ signal } = {}) {
    return this.#session.call("GET", "/v1/capabilities", { auth: false, signal });
  }
}

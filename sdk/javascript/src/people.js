// People: the own account and its privacy, profiles, devices, blocks, contacts and requests to become friends.

import { iso, uuid } from "./ids.js";
import { PAGE_LIMIT } from "./limits.js";

/** The people that are kept: those that were read last. */
const KEPT = 5_000;

const contactPath = (userId) => `/v1/me/contacts/${uuid(userId)}`;
const requestPath = (userId) => `/v1/me/contact-requests/${uuid(userId)}`;

/** All pages of a list, and the first of them. */
async function allPages(sync, path, name, query, signal) {
  const found = [];
  let first;
  for (let cursor; cursor !== null; ) {
    const page = await sync.ask("GET", path, { query: { ...query, limit: PAGE_LIMIT, cursor }, signal });
    first ??= page;
    found.push(...page[name]);
    cursor = page.next_cursor;
  }
  return { first, found };
}

/**
 * Delivers all contacts and requests, to an application that handles them. They are read after the position at which the inbox
 * continues, and an entry has the contact as it is now: what changes meanwhile comes again as an entry.
 */
export async function readContacts(core, signal) {
  if (!core.handles("contacts")) return;
  try {
    const { first, found: contacts } = await allPages(core.sync, "/v1/me/contacts", "contacts", { order: "id" }, signal);
    const requests = [];
    for (const direction of ["in", "out"]) {
      const { found } = await allPages(core.sync, "/v1/me/contact-requests", "requests", { direction }, signal);
      requests.push(...found);
    }
    await core.deliver("contacts", { contacts, requests, inbox_seq: first.inbox_seq, epoch: first.epoch }, signal);
  } catch (error) {
    // A node of an earlier version has no contacts.
    if (error.status !== 404) throw error;
  }
}

export class People {
  #core;
  #session;
  /** The people that were read, by id: the server sends only those that have changed since. */
  #known = new Map();

  constructor(core) {
    this.#core = core;
    this.#session = core.session;
    core.presence.profiles = { readAgain: (presences) => this.#readAgain(presences), keep: (users) => this.#tell(users) };
    core.on("signed_out", () => this.#known.clear());
    // Of other data the numbers have another meaning.
    core.on("resync", ({ reason }) => reason !== "start" && this.#known.clear());
  }

  getMe({ signal } = {}) {
    return this.#session.call("GET", "/v1/me", { signal });
  }

  /** Changes the given fields. `attributes` is a merge patch: a member that is null is removed, and null removes all. */
  async updateMe({ username, display_name, avatar_url, avatar_media_id, bio, attributes, read_receipts, forward_name }, { signal } = {}) {
    const body = { username, display_name, avatar_url, avatar_media_id, bio, attributes, read_receipts, forward_name };
    return this.#session.changed(await this.#session.call("PATCH", "/v1/me", { body, signal }));
  }

  /** Sets the whole status. `until` is a Date or a time as text; without it the status stays until it is cleared. */
  async setStatus({ availability = "auto", emoji, text, until }, { signal } = {}) {
    const body = { availability, emoji, text, until: iso(until) };
    return this.#session.changed(await this.#session.call("PUT", "/v1/me/status", { body, signal }));
  }

  async clearStatus({ signal } = {}) {
    await this.#session.call("DELETE", "/v1/me/status", { signal });
    return this.#session.changed(await this.getMe({ signal }));
  }

  getPrivacy({ signal } = {}) {
    return this.#session.call("GET", "/v1/me/privacy", { signal });
  }

  /** Changes the given settings, and returns all of them. Null returns to what the operator has set. */
  updatePrivacy(
    { presence, last_seen, direct, group_add, contact_request, contacts_visible, discoverable, read_receipts, forward_name },
    { signal } = {},
  ) {
    const body = { presence, last_seen, direct, group_add, contact_request, contacts_visible, discoverable, read_receipts, forward_name };
    return this.#session.call("PATCH", "/v1/me/privacy", { body, signal });
  }

  /** The profile of a person. */
  async getUser(userId, { signal } = {}) {
    return this.#session.call("GET", `/v1/users/${uuid(userId)}`, { signal });
  }

  /**
   * The users with up to 100 ids, or with one exact username. Unknown ones are left out. Users that were read before are asked for by
   * their `rev`, so that the server sends only those that have changed.
   */
  async listUsers({ ids, username }, { signal } = {}) {
    ids = ids?.map(uuid);
    const before = new Map(ids?.map((id) => [id, this.#known.get(id)]));
    const asked = ids?.map((id) => (before.get(id)?.rev ? `${id}:${before.get(id).rev}` : id));
    const query = { ids: asked?.join(","), username };
    const { users, unchanged = [] } = await this.#session.call("GET", "/v1/users", { query, signal });
    const same = unchanged.map((id) => this.#known.get(id) ?? before.get(id));
    const found = [...users, ...same].map((user) => this.#present(user));
    for (const user of found) this.#keep(user);
    return found.sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** A status ends without another `rev`. */
  #present(user) {
    return Date.parse(user.status?.until) <= this.#core.changes.now ? { ...user, status: null } : user;
  }

  #keep(user) {
    if (this.#known.get(user.id)?.rev > user.rev) return;
    this.#known.delete(user.id);
    this.#known.set(user.id, user);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value);
  }

  /** Reads the people whose profiles have changed, for an application that handles it. */
  async #readAgain(presences) {
    const isOld = ({ user_id, rev }) => rev !== null && rev !== this.#known.get(user_id)?.rev;
    const before = new Map(presences.filter(isOld).map(({ user_id }) => [user_id, this.#known.get(user_id)?.rev]));
    if (before.size === 0 || !this.#core.handles("users")) return;
    const users = (await this.listUsers({ ids: [...before.keys()] })).filter(({ id, rev }) => rev !== before.get(id));
    if (users.length === 0) return;
    this.#core.tabs.post({ type: "users", users });
    this.#tell(users);
  }

  #tell(users) {
    for (const user of users) this.#keep(user);
    this.#core.emit("users", { users });
  }

  async findUser(username, { signal } = {}) {
    return (await this.listUsers({ username }, { signal }))[0] ?? null;
  }

  /** Up to 20 people whose usernames begin so: at least three characters. */
  async searchUsers(prefix, { limit } = {}, { signal } = {}) {
    return (await this.#session.call("GET", "/v1/users/search", { query: { prefix, limit }, signal })).users;
  }

  /** Whether these people are online: up to 100. */
  async presence(userIds, { signal } = {}) {
    return (await this.#session.call("GET", "/v1/presence", { query: { ids: userIds.join(",") }, signal })).presences;
  }

  /** The same, and the cursor from which a wait has the changes. */
  presenceCursor(userIds, { signal } = {}) {
    return this.#session.call("POST", "/v1/presence/cursors", { body: { user_ids: userIds }, signal });
  }

  async listDevices({ signal } = {}) {
    return (await this.#session.call("GET", "/v1/me/devices", { signal })).devices;
  }

  async removeDevice(deviceId, { signal } = {}) {
    return this.#session.call("DELETE", `/v1/me/devices/${uuid(deviceId)}`, { signal });
  }

  /** Logs all other devices out. */
  changePassword({ old_password, new_password }, { signal } = {}) {
    const body = { old_password, new_password };
    return this.#session.call("PUT", "/v1/me/password", { body, repeat: "refusal", signal });
  }

  listBlocks({ limit, cursor } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/me/blocks", { query: { limit, cursor }, signal });
  }

  /** A block also ends a friendship, and the requests of the two. */
  async blockUser(userId, { signal } = {}) {
    return this.#block("PUT", userId, signal);
  }

  async unblockUser(userId, { signal } = {}) {
    return this.#block("DELETE", userId, signal);
  }

  /** Tells the other tabs of this browser. Other devices have a `me` entry. */
  async #block(method, userId, signal) {
    const response = await this.#session.call(method, `/v1/me/blocks/${uuid(userId)}`, { signal });
    const block = { user_id: uuid(userId), blocked: method === "PUT" };
    this.#core.emit("block", block);
    this.#core.tabs.post({ type: "block", block });
    return response;
  }

  /** A page of contacts. `inbox_seq` is where the inbox was before the first page: entries after it have what changes meanwhile. */
  listContacts({ limit, cursor, state, tag } = {}, { signal } = {}) {
    return this.#session.call("GET", "/v1/me/contacts", { query: { order: "id", limit, cursor, state, tag }, signal });
  }

  async getContact(userId, { signal } = {}) {
    return this.#session.call("GET", contactPath(userId), { signal });
  }

  /** Adds a person to the list of contacts, or changes the given fields. The person is not notified. */
  async putContact(userId, { alias, tags, starred } = {}, { signal } = {}) {
    return this.#session.call("PUT", contactPath(userId), { body: { alias, tags, starred }, signal });
  }

  /** Adds or changes up to 100 contacts, each with its `user_id`. A refused one does not affect the others. */
  async putContacts(contacts, { signal } = {}) {
    return (await this.#session.call("POST", "/v1/me/contacts/batch", { body: { contacts }, signal })).results;
  }

  /** A friendship ends on both sides. */
  async removeContact(userId, { signal } = {}) {
    return this.#session.call("DELETE", contactPath(userId), { signal });
  }

  /** How many friends the user and a person have in common: 0 if the person does not show it. */
  async countMutualContacts(userId, { signal } = {}) {
    return this.#session.call("GET", `/v1/users/${uuid(userId)}/mutual-contacts/count`, { signal });
  }

  /** A page of requests: `in`, those of others; `out`, those of the user. */
  listContactRequests({ direction, limit, cursor }, { signal } = {}) {
    return this.#session.call("GET", "/v1/me/contact-requests", { query: { direction, limit, cursor }, signal });
  }

  /** Asks a person to become friends. If the person has asked, the two are friends now: `accepted`. */
  async requestContact(userId, { message } = {}, { signal } = {}) {
    return this.#session.call("PUT", requestPath(userId), { body: { message }, signal });
  }

  /** Accepts the request of a person, and returns the contact. */
  async acceptContact(userId, { alias, tags, starred } = {}, { signal } = {}) {
    return this.#session.call("POST", `${requestPath(userId)}/accept`, { body: { alias, tags, starred }, signal });
  }

  /** Declines the request of a person, who is not notified. */
  async declineContact(userId, { signal } = {}) {
    return this.#session.call("POST", `${requestPath(userId)}/decline`, { signal });
  }

  /** Takes the user's own request back. */
  async cancelContact(userId, { signal } = {}) {
    return this.#session.call("DELETE", requestPath(userId), { signal });
  }
}

// Never run: uses everything once, so that the compiler checks the types.

import { Tideline, TidelineError, browserStorage, memoryStorage, newerState, uuidv7 } from "../../src/tideline.js";
import type { Account, Audience, Contact, ContactRequest, Content, Conversation, Entry, Message, MessageVersion, NewMessage, OutboxItem, Profile, Seat, TidelineStorage, User } from "../../src/tideline.js";

const storage: TidelineStorage = { ...memoryStorage(), get: async (key) => key };

export async function everything(signal: AbortSignal): Promise<string> {
  const tideline = new Tideline({
    url: new URL("http://127.0.0.1:8080"),
    storage,
    fetch,
    device: { name: "Ann's laptop", platform: "web" },
    name: "mine",
    resume: true,
    backfill: true,
    tabs: true,
    locks: navigator.locks,
    network: window,
    backoff: { base: 100 },
    requestTimeoutMs: 10_000,
    waitSeconds: 50,
    leaderSilenceMs: 5_000,
  });
  new Tideline({ storage: browserStorage(sessionStorage) });

  const restored: User | null = await tideline.restore();
  if (!restored) await tideline.register({ username: "ann", password: "correct horse", display_name: "Ann" }, { signal });
  const user = await tideline.login({ username: "ann", password: "correct horse", device: { platform: "bot" } });
  await tideline.getMe({ signal });
  await tideline.updateMe({ username: user.username, display_name: user.display_name });
  const [similar] = await tideline.searchUsers("ann", { limit: 5 }, { signal });
  const [seen] = await tideline.presence([user.id], { signal });
  const { presences, cursor } = await tideline.presenceCursor([user.id]);
  if (seen?.state === "online" && seen.platforms.includes("web")) console.log(presences.length, cursor, seen.last_seen_at);
  if (similar?.deleted) await tideline.deactivate({ password: "correct horse" });
  const { erase_at } = await tideline.deleteAccount({ password: "correct horse" }, { signal });
  new Date(erase_at);
  await tideline.changePassword({ old_password: "correct horse", new_password: "battery staple" });
  const ben = (await tideline.findUser("ben")) ?? (await tideline.getUser(uuidv7()));
  const [both] = await tideline.listUsers({ ids: [ben.id, user.id] });
  await tideline.listUsers({ username: both?.username ?? "ann" });
  for (const device of await tideline.listDevices()) if (!device.current) await tideline.removeDevice(device.id);
  await tideline.blockUser(ben.id);
  const blocks = await tideline.listBlocks({ limit: 10 });
  await tideline.listBlocks({ cursor: blocks.next_cursor });
  await tideline.unblockUser(ben.id);

  const desk: User = await tideline.createDesk({ username: "acme", display_name: "Acme support", client_desk_id: uuidv7() }, { signal });
  await tideline.updateDesk(desk.id, { display_name: desk.kind ?? "desk", avatar_url: null });
  const skills = await tideline.addDeskSkills(desk.id, [...(await tideline.getDeskSkills(desk.id)), "returns"]);
  const seat: Seat = await tideline.addSeat(desk.id, ben.id, { role: "agent", skills, capacity: 3, alias: null });
  if (seat.presence === "away") await tideline.updateSeat(desk.id, ben.id, { available: false, capacity: seat.capacity + 1 });
  await tideline.updateAvailability(desk.id, { available: false, why: "lunch" });
  for (const one of await tideline.listSeats(desk.id)) if (!one.load) await tideline.removeSeat(desk.id, one.user.id);
  for (const { desk: served, seat: own } of await tideline.listDesks({ signal })) await tideline.updateAvailability(served.id, { available: !own.available });

  const account: Account = await tideline.updateMe({ avatar_url: null, bio: "Sails on Sundays", attributes: { team: null } }, { signal });
  const { status } = await tideline.setStatus({ availability: "busy", emoji: "⛵", text: account.bio, until: new Date() });
  if (status?.until && status.availability === "busy") await tideline.clearStatus({ signal });
  const privacy = await tideline.updatePrivacy({ direct: "contacts", discoverable: null, read_receipts: false });
  const audience: Audience = (await tideline.getPrivacy()).presence ?? privacy.effective.presence;
  const profile: Profile = await tideline.getUser(ben.id, { signal });
  const contact: Contact = await tideline.putContact(ben.id, { alias: "Benny", tags: ["work", audience], starred: true }, { signal });
  const results = await tideline.putContacts([{ user_id: profile.id }, { user_id: ben.id, alias: null }]);
  for (const { problem, contact: put } of results) if (problem?.code !== put?.alias) await tideline.removeContact(ben.id);
  const mine = await tideline.listContacts({ limit: 10, state: contact.state, tag: "work" });
  await tideline.listContacts({ cursor: mine.next_cursor }, { signal });
  const { count, capped } = await tideline.countMutualContacts(ben.id);
  const asked: ContactRequest = await tideline.requestContact(ben.id, { message: `${count} ${capped}` });
  if (asked.state === "pending") await tideline.cancelContact(asked.user.id);
  const { requests } = await tideline.listContactRequests({ direction: "in", limit: 10 });
  for (const { user, mutual_count } of requests) await (mutual_count ? tideline.acceptContact(user.id, { tags: [] }) : tideline.declineContact(user.id));
  tideline.on("contacts", ({ contacts, requests, inbox_seq, epoch }) => [...contacts, ...requests, inbox_seq, epoch]);
  tideline.on("contact", async ({ user_id, contact }) => contact?.alias ?? (await tideline.getContact(user_id)).alias);
  tideline.on("contact_request", ({ user_id, request }) => request?.message ?? user_id);
  tideline.on("me", ({ conversation_id, unread }) => `${conversation_id} ${unread}`);

  const off: () => void = tideline.on("message", async ({ message }) => show(message), { signal });
  tideline.on("resync", ({ reason, conversations }) => reason === "start" && conversations.map(({ me }) => me.read_seq));
  tideline.on("entries", ({ entries, since, next, epoch }) => [...entries.map(describe), since, next, epoch]);
  tideline.on("mention", ({ message, unread }) => `${show(message)} ${unread}`);
  const kept = new Map<number, Message>();
  for (const kind of ["edit", "recall", "reaction", "pin", "change"] as const) {
    tideline.on(kind, ({ message }) => kept.set(message.seq, newerState(kept.get(message.seq), message)));
  }
  tideline.on("invalidate", ({ conversation_id, change_seq }) => conversation_id === ben.id && change_seq > 1_000 && kept.clear());
  tideline.on("read", ({ read_seq }) => read_seq);
  tideline.on("reads_moved", async ({ conversation_id }) => (await tideline.getConversation(conversation_id)).peer_read_seq);
  tideline.on("conversation", ({ conversation }) => conversation?.peer?.username ?? conversation?.title);
  tideline.on("members", ({ added, removed, changed, actor_id }) => [actor_id, ...added, ...removed, changed[0]?.role]);
  tideline.on("settings", ({ settings }) => settings.notify?.level === "none" && settings.nickname);
  tideline.on("draft", ({ draft }) => draft?.version);
  tideline.on("draft_changed", ({ conversation_id, content }) => [conversation_id, content?.["text"]]);
  tideline.on("cleared", ({ cleared_seq }) => kept.delete(cleared_seq));
  tideline.on("hidden", ({ hidden_seq }) => kept.delete(hidden_seq));
  tideline.on("unread", ({ total, conversations }) => total === (conversations[ben.id] ?? 0));
  tideline.on("send", ({ state, item, message, error }) => `${state} ${item.client_msg_id} ${message?.seq} ${error?.code}`);
  tideline.on("connection", ({ state, leader, error, retryInMs }) => state === "offline" && leader && error?.code && retryInMs);
  tideline.on("signed_out", ({ reason }) => reason);
  tideline.on("signed_in", ({ user }) => user.username);
  tideline.on("user", ({ display_name }) => display_name);
  tideline.on("block", ({ user_id, blocked }) => blocked && user_id);
  tideline.on("error", (error) => error.message);
  await tideline.start({ signal });

  const direct: Conversation = await tideline.createDirect(ben.id);
  const group = await tideline.createGroup({ title: "Friday", member_ids: [ben.id], client_conversation_id: uuidv7() });
  const channel = await tideline.createChannel({ title: "News", public: true, member_ids: [ben.id], client_conversation_id: uuidv7() });
  const joined: Conversation = await tideline.join(channel.id, { signal });
  if (!joined.public || joined.fanout === "write" || joined.switch_seq === null) await tideline.leave(joined.id);
  const page = await tideline.listConversations({ order: "activity", limit: 20 });
  await tideline.getConversation(page.conversations[0]?.id ?? direct.id);
  await tideline.updateConversation(group.id, { title: "Saturday" });
  const { members } = await tideline.listMembers(group.id, { limit: 50 });
  const { already_members, refused } = await tideline.addMembers(group.id, members.map((member) => member.user.id));
  await tideline.removeMember(group.id, already_members[0] ?? refused[0] ?? group.refused[0] ?? ben.id);
  await tideline.banUser(group.id, ben.id);
  const bans = await tideline.listBans(group.id, { limit: 10 });
  if (bans.next_cursor) await tideline.listBans(group.id, { cursor: bans.next_cursor }, { signal });
  await tideline.unbanUser(group.id, bans.users[0]?.id ?? ben.id);
  await tideline.setRole(group.id, ben.id, "admin");
  await tideline.mute(group.id, ben.id, new Date());
  await tideline.updateMember(group.id, ben.id, { role: "member", muted_until: null });
  await tideline.leave(group.id);

  const sent: Message = await tideline.send(direct.id, "hi Ben", { signal, client_msg_id: uuidv7() });
  const image: Content = { kind: "image", content: { url: "https://files.example/a.png", mime: "image/png", size: 1, width: 2, height: 3 } };
  await tideline.send(direct.id, image);
  await tideline.send(group.id, "hi @ben", { mentions: [ben.id] });
  const waiting: OutboxItem[] = tideline.outbox;
  for (const item of waiting) await (item.state === "failed" ? tideline.retry(item.client_msg_id) : tideline.discard(item.client_msg_id));
  await tideline.getMessage(direct.id, sent.seq);
  const { messages, has_more, last_seq } = await tideline.listMessages(direct.id, { before_seq: sent.seq, limit: 50 });
  for await (const message of tideline.history(direct.id, { since_seq: 0 }, { signal })) messages.push(message);
  const edited: Message = await tideline.edit(direct.id, sent.seq, { version: sent.version ?? 1, content: { text: "hi Ben!" } }, { signal });
  const versions: MessageVersion[] = await tideline.versions(direct.id, edited.seq);
  const { reactions } = await tideline.addReaction(direct.id, sent.seq, "👍", { signal });
  await tideline.removeReaction(direct.id, sent.seq, reactions[0]?.emoji ?? "👍");
  const { users: reacted } = await tideline.listReactions(direct.id, sent.seq, { emoji: "👍", limit: 10 });
  await tideline.pinMessage(direct.id, sent.seq, { signal });
  const pinned = await tideline.listPins(direct.id);
  for (const { pinned: pin } of pinned.messages) if (pin?.by === ben.id) await tideline.unpinMessage(direct.id, sent.seq);
  const replies = await tideline.listReplies(direct.id, sent.seq, { since_seq: 0 });
  const { readers, members: receipts } = await tideline.listReceipts(direct.id, sent.seq);
  await tideline.updateConversation(direct.id, { message_ttl_seconds: 3600 });
  await tideline.updateConversation(group.id, { posting: "admins", pinning: "all", slow_mode_seconds: 30, message_ttl_seconds: null });
  const about = await tideline.createGroup({ title: "About it", parent: { conversation_id: direct.id, seq: sent.seq } });
  if (about.parent?.seq === sent.seq && about.posting === about.pinning) await tideline.leave(about.id);
  const copies: NewMessage[] = [image, { forward: { conversation_id: direct.id, seq: sent.seq } }];
  for (const copy of copies) kept.set((await tideline.send(group.id, copy, { expires_in: 60 })).seq, sent);
  if (sent.forward?.sender_id === ben.id) messages.push({ ...sent, created_at: sent.forward.created_at });
  for (const item of tideline.outbox) if (item.forward) await tideline.getMessage(item.forward.conversation_id, item.forward.seq);
  await tideline.send(direct.id, "for a minute", { expires_in: 60 });
  await tideline.updateScheduled(sent.client_msg_id, direct.id, { kind: "text", content: { text: "later" }, send_at: new Date() });
  const { scheduled } = await tideline.listScheduled({ limit: 10 });
  for (const { client_msg_id } of scheduled) await tideline.deleteScheduled(client_msg_id);
  tideline.on("scheduled_failed", ({ problem }) => problem.code);
  const found = await tideline.searchMessages({ q: "harbour", kind: ["text", "file"], from: new Date(), conversation_id: direct.id }, { signal });
  for (const { message, highlights } of found.results) if (highlights[0]?.field === "text" && !found.complete) messages.push(message);
  const { mentions } = await tideline.listMentions({ limit: 10 });
  for (const { message } of mentions) messages.push(message);
  if (readers > reacted.length && receipts[0]?.delivered) messages.push(...replies.messages);
  const stub: Message = await tideline.recall(direct.id, sent.seq);
  if (stub.kind === "recalled") kept.set(stub.seq, newerState(stub, null));
  const changes = await tideline.changedSince(direct.id, direct.change_seq ?? 0, { limit: versions.length }, { signal });
  for (const { change_seq, recalled, edited_at } of changes.messages) messages.push({ ...stub, created_at: `${change_seq} ${recalled?.by} ${edited_at}` });
  const { total_unread } = await tideline.markRead(direct.id, last_seq);
  const { as_of_seq } = await tideline.getUnread();
  const { total_mentions, conversations: counts } = await tideline.getUnread({ mentions: true, signal });
  if ((total_mentions ?? 0) > (counts[0]?.mentions ?? 0)) await tideline.markUnread(direct.id);
  await tideline.updateTyping(direct.id, true);
  tideline.typing(direct.id);
  tideline.typing(direct.id, false);
  tideline.on("typing", ({ conversation_id, user_ids }) => conversation_id === direct.id && user_ids.includes(ben.id));
  tideline.on("presence", ({ presences }) => presences.filter(({ state, last_seen_at }) => state === "offline" && last_seen_at));
  tideline.on("users", ({ users }) => users.map(({ rev }) => rev));
  tideline.watchPresence([ben.id]);
  tideline.watchPresence([ben.id], { wake: true });
  tideline.setActivity("idle");
  const unwatch: () => void = tideline.watch(direct.id);
  unwatch();
  const settings = await tideline.updateSettings(direct.id, { pinned: true, notify: { level: "mentions" }, nickname: null }, { signal });
  if (settings.archived) await tideline.clearHistory(direct.id, direct.first_seq);
  await tideline.hideMessages(direct.id, [sent.seq]);
  await tideline.send(direct.id, "me too", { reply_to: sent.seq, mention_all: true });
  const { replied } = await tideline.listMessages(direct.id, { seqs: [sent.seq], with_replied: true });
  messages.push(...(replied ?? []));
  for (const draft of await tideline.drafts.load()) if (!tideline.drafts.isPending(draft.conversation_id)) tideline.drafts.set(draft.conversation_id, null);
  tideline.drafts.set(direct.id, { text: tideline.drafts.get(direct.id)?.["text"] });
  tideline.drafts.sent(direct.id);
  const { drafts } = await tideline.listDrafts({ limit: 10 });
  const stored = await tideline.updateDraft(direct.id, { version: drafts[0]?.version ?? 0, content: {}, after_seq: last_seq });
  await tideline.deleteDraft(direct.id, stored.version);
  const { read_receipts } = await tideline.updateMe({ read_receipts: direct.me.marked_unread });
  const { forward_name } = await tideline.updateMe({ forward_name: false });
  if (read_receipts || forward_name) messages.length = 0;
  const upload = tideline.uploads.add(new Blob(["a"], { type: "video/mp4" }), { name: "a.mp4", width: 1, height: 1, duration_ms: 1 });
  const poster = tideline.uploads.add(new Uint8Array(1), { kind: "image", mime: "image/png" });
  await tideline.send(uuidv7(), { kind: upload.kind, upload: upload.id, poster_upload: poster.id, content: { alt: "a" } });
  const { media, parts, part_bytes } = await tideline.createMedia({ kind: "file", name: "a", mime: "text/plain", size: 1 }, { signal });
  for (const { part, received } of parts) if (!received) await tideline.uploadPart(media.id, part, new Uint8Array(part_bytes), { digest: "", signal });
  const ready = await tideline.completeMedia((await tideline.getUpload(media.id)).media.id);
  await tideline.send(uuidv7(), { kind: "file", content: { media_id: ready.id } });
  const { used_bytes, quota_bytes } = await tideline.listMedia({ limit: 1 });
  const [link] = await tideline.createMediaLinks([{ conversation_id: uuidv7(), seq: 1, variant: "small" }]);
  const address: string | null = await tideline.mediaLink(uuidv7(), 1, link?.variant, { fresh: true, signal });
  const { users: [own] } = await tideline.createAvatarLinks({ user_ids: [uuidv7()], conversation_ids: [] }, { signal });
  const picture: string | null = await tideline.avatarLink(direct.avatar_url ?? own?.url, { fresh: true, signal });
  if (picture) await tideline.setAvatar(await tideline.getUserAvatar(own?.id ?? uuidv7()), { name: "me.png" }, { signal });
  await tideline.setConversationAvatar(direct.id, picture ? await tideline.getConversationAvatar(direct.id) : null);
  const blob: Blob = address ? await tideline.getMessageMedia(uuidv7(), 1, { variant: "poster" }) : await tideline.getMediaContent(media.id);
  if (used_bytes + blob.size > quota_bytes) await tideline.deleteMedia((await tideline.getMedia(media.id)).id);
  tideline.on("upload", ({ id, state, sent, size, error }) => console.log(id, state, sent / size, error?.code));
  for (const one of tideline.uploads.list()) if (one.state === "failed") tideline.uploads.retry(one.id);
  if (tideline.uploads.get(upload.id)) await tideline.uploads.cancel((await tideline.uploads.done(upload.id, { signal })).id);
  const { waited_ms } = await tideline.diagnoseLongpoll(0);
  const { limits, features } = await tideline.getCapabilities();

  off();
  await tideline.logout();
  await tideline.close();
  return `${has_more} ${total_unread} ${as_of_seq} ${limits["page"]} ${features} ${tideline.leader} ${tideline.connection}
    ${tideline.unread.total} ${tideline.position?.since} ${tideline.user?.id} ${tideline.deviceId}`;
}

function show(message: Message): string {
  switch (message.kind) {
    case "text":
      return message.content.text;
    case "file":
      return message.content.name;
    case "video":
      return `${message.content.duration_ms}`;
    case "recalled":
      return `recalled at ${message.recalled?.at}`;
    case "expired":
      return `expired at ${message.expires_at}`;
    default:
      return message.kind;
  }
}

function describe(entry: Entry): string {
  return entry.kind === "message" ? show(entry.message) : entry.conversation_id;
}

export function explain(error: unknown): string {
  if (!(error instanceof TidelineError)) throw error;
  const { code, status, detail, request_id, errors, retryAfterMs, current, transient } = error;
  return `${code} ${status} ${detail} ${request_id} ${errors[0]?.pointer} ${retryAfterMs} ${current?.version} ${error.draft?.version} ${transient}`;
}

// @ts-expect-error a text is no content
void ((tideline: Tideline) => tideline.send("", { kind: "text", content: "hi" }));
// @ts-expect-error a forward has no content of its own
void ((tideline: Tideline) => tideline.send("", { kind: "text", content: { text: "hi" }, forward: "yes" }));
// @ts-expect-error there is no such event
void ((tideline: Tideline) => tideline.on("massage", () => {}));

/** With `exactOptionalPropertyTypes`: callers may pass a value that can be undefined. */
export async function passedOn(given: { url?: string; signal?: AbortSignal; limit?: number; name?: string }): Promise<void> {
  const { url, signal, limit, name } = given;
  const tideline = new Tideline({ url, name, device: { name }, waitSeconds: limit, backoff: { base: limit, cap: limit } });
  for (let cursor: string | null = null; ; ) {
    const page: { next_cursor: string | null } = await tideline.listConversations({ limit, cursor }, { signal });
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  await tideline.register({ username: "ann", password: "correct horse", display_name: name, device: undefined }, { signal });
  await tideline.listMessages(uuidv7(), { since_seq: limit, before_seq: limit, limit }, { signal });
  await tideline.send(uuidv7(), "hi", { mentions: undefined, client_msg_id: name, signal });
  throw new TidelineError({ code: "network", detail: name, status: limit });
}

// Conversations and messages: permissions, and delivery once and in order.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { memoryStorage, uuidv7 } from "../src/tideline.js";
import { backoff, client, eventually, person, proxy, record, texts } from "./support/people.js";
import { serve } from "./support/server.js";

describe("chat", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });
  const pair = async (t, url = server.url, options = {}) => {
    const [ann, ben] = [await person(t, url, options), await person(t, server.url)];
    return { ann, ben, chat: await ann.createDirect(ben.user.id) };
  };
  const history = async (tideline, chat) => {
    const all = [];
    for await (const message of tideline.history(chat.id, { since_seq: 0, limit: 4 })) all.push(message.content.text);
    return all;
  };

  it("sends and receives between two people, every kind", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const events = record(ben, "message", "read", "unread", "resync");
    await ben.start();
    assert.deepEqual(events.resync.map(({ reason, conversations }) => [reason, conversations.length]), [["start", 1]]);
    const first = await ann.send(chat.id, "hi Ben");
    assert.deepEqual([first.seq, first.kind, first.content], [1, "text", { text: "hi Ben" }]);
    await ann.send(chat.id, { kind: "emoji", content: { emoji: "👍" } });
    const url = "https://files.example/a.png";
    await ann.send(chat.id, { kind: "image", content: { url, mime: "image/png", size: 1, width: 2, height: 3 } });
    await ann.send(chat.id, { kind: "custom", content: { anything: [1, { x: null }] } });
    await eventually("four came", () => events.message.length === 4);
    assert.deepEqual(events.message[0].message, first);
    assert.deepEqual(ben.unread, { total: 4, conversations: { [chat.id]: 4 } });
    assert.equal((await ben.markRead(chat.id, 3)).unread, 1);
    await eventually("read", () => events.read.length === 1 && ben.unread.total === 1);
    assert.deepEqual(await ben.getUnread(), { total: 1, conversations: [{ conversation_id: chat.id, unread: 1 }], as_of_seq: ben.position.since });
    assert.deepEqual(events.unread.at(-1), { total: 1, conversations: { [chat.id]: 1 } });
    assert.deepEqual(await ben.getMessage(chat.id, 1), first);
  });

  it("has groups with roles", async (t) => {
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    const events = record(ben, "conversation", "members");
    await ben.start();
    const group = await ann.createGroup({ title: "Friday", member_ids: [ben.user.id] });
    const { id } = group;
    await eventually("events", () => events.conversation.length === 1);
    assert.equal(events.conversation[0].conversation.title, "Friday");
    assert.equal((await ann.updateConversation(id, { title: "Saturday" })).title, "Saturday");
    assert.deepEqual((await ann.addMembers(id, [cem.user.id, ben.user.id])).already_members, [ben.user.id]);
    assert.equal((await ann.setRole(id, ben.user.id, "admin")).role, "admin");
    assert.match((await ann.mute(id, cem.user.id, new Date(Date.now() + 60_000))).muted_until, /Z$/);
    await assert.rejects(cem.send(id, "psst"), { code: "muted" });
    assert.equal((await ann.mute(id, cem.user.id, null)).muted_until, null);
    const page = await ann.listMembers(id, { limit: 2 });
    const rest = await ann.listMembers(id, { limit: 2, cursor: page.next_cursor });
    assert.equal(page.members.length + rest.members.length, 3);
    await cem.leave(id);
    await assert.rejects(cem.getConversation(id), { code: "not_found" });
    await ben.removeMember(id, ann.user.id).then(assert.fail, (error) => assert.equal(error.code, "forbidden"));
    await ann.removeMember(id, ben.user.id);
    await eventually("out", () => events.conversation.at(-1).conversation === null);
    assert.ok(events.members.length > 0);
    assert.deepEqual((await ann.listConversations({ order: "activity", limit: 5 })).conversations.map((one) => one.id), [id]);
  });

  it("leaves people out of groups, and bans them", async (t) => {
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    await ben.blockUser(ann.user.id);
    const group = await ann.createGroup({ title: "Friday", member_ids: [ben.user.id, cem.user.id] });
    assert.deepEqual([group.refused, group.member_count], [[ben.user.id], 2]);
    assert.deepEqual((await ann.addMembers(group.id, [ben.user.id, cem.user.id])).refused, [ben.user.id]);
    await assert.rejects(ann.addMembers(group.id, [ben.user.id]), { code: "blocked", status: 403 });
    const channel = await ann.createChannel({ title: "News", public: true });
    await cem.join(channel.id);
    await ann.banUser(channel.id, cem.user.id);
    assert.deepEqual((await ann.listBans(channel.id)).users.map(({ id }) => id), [cem.user.id]);
    await assert.rejects(cem.join(channel.id), { code: "not_found" });
    await ann.unbanUser(channel.id, cem.user.id);
    assert.equal((await cem.join(channel.id)).me.role, "member");
  });

  it("makes one group when the response is lost", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, between.url);
    let lost = 2;
    between.onRequest = ({ method, url }) => (method === "POST" && url === "/v1/conversations" && lost-- > 0 ? "lose" : "pass");
    const group = await ann.createGroup({ title: "Once" });
    assert.deepEqual((await ann.listConversations()).conversations.map(({ id }) => id), [group.id]);
    assert.equal(lost, -1);
  });

  it("pages history both ways", async (t) => {
    const { ann, chat } = await pair(t);
    for (let n = 1; n <= 11; n++) ann.send(chat.id, `${n}`);
    await eventually("sent", () => ann.outbox.length === 0);
    const numbers = [...Array(11)].map((_, n) => `${n + 1}`);
    assert.deepEqual(await history(ann, chat), numbers);
    const back = [];
    for await (const message of ann.history(chat.id, { limit: 3 })) back.push(message.content.text);
    assert.deepEqual(back, numbers.toReversed?.() ?? [...numbers].reverse());
    const page = await ann.listMessages(chat.id, { before_seq: 5, limit: 2 });
    assert.deepEqual([page.messages.map(({ seq }) => seq), page.has_more], [[3, 4], true]);
  });

  it("stores a message once and keeps the order when responses and requests are lost", async (t) => {
    const between = await proxy(t, server.url);
    const { ann, ben, chat } = await pair(t, between.url);
    const events = record(ben, "message");
    await ben.start();
    let count = 0;
    const verdicts = ["lose", "refuse", "pass", "lose", "lose", "pass", "refuse"];
    between.onRequest = ({ method, url }) => (method === "POST" && url.endsWith("/messages") ? verdicts[count++ % verdicts.length] : "pass");
    const states = record(ann, "send");
    const sent = [...Array(20)].map((_, n) => ann.send(chat.id, `m${n}`));
    const stored = await Promise.all(sent);
    assert.deepEqual(stored.map(({ seq }) => seq), [...Array(20)].map((_, n) => n + 1));
    await eventually("all came", () => events.message.length >= 20);
    const expected = [...Array(20)].map((_, n) => `m${n}`);
    assert.deepEqual(texts(events.message), expected);
    assert.deepEqual(await history(ann, chat), expected);
    assert.ok(count > 25, `${count} attempts`);
    const last = states.send.filter(({ item }) => item.client_msg_id === stored[19].client_msg_id);
    assert.deepEqual([last[0].state, last.at(-1).state, last.at(-1).message.seq], ["sending", "stored", 20]);
    assert.ok(states.send.some(({ state, error }) => state === "sending" && error?.code === "network"));
    assert.deepEqual(ann.outbox, []);
  });

  it("fails only the message that is refused", async (t) => {
    const { ann, chat } = await pair(t);
    const id = uuidv7();
    const [, tooLong, reused, last] = await Promise.allSettled([
      ann.send(chat.id, "one", { client_msg_id: id }),
      ann.send(chat.id, "x".repeat(20_000)),
      ann.send("01900000-0000-7000-8000-000000000000", "nowhere"),
      ann.send(chat.id, "two"),
    ]);
    assert.deepEqual([tooLong.reason.code, reused.reason.code, last.value.seq], ["validation", "not_found", 2]);
    await assert.rejects(ann.send(chat.id, "other", { client_msg_id: id }), { code: "client_msg_id_reused", status: 422 });
    assert.deepEqual(ann.outbox.map(({ state, error }) => [state, error.status]).sort(), [["failed", 400], ["failed", 404], ["failed", 422]]);
    for (const { client_msg_id } of ann.outbox) await ann.discard(client_msg_id);
    assert.deepEqual(ann.outbox, []);
  });

  it("sends what waits for slow mode when slow mode ends", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const group = await ann.createGroup({ title: "Crew", member_ids: [ben.user.id] });
    await ann.updateConversation(group.id, { slow_mode_seconds: 600 });
    await ben.start();
    await ben.send(group.id, "one");
    const { send } = record(ben, "send");
    const second = ben.send(group.id, "two");
    await eventually("it waits", () => send.some(({ error }) => error?.code === "slow_mode"));
    await ann.updateConversation(group.id, { title: "The crew" });
    await eventually("it waits again", () => send.filter(({ error }) => error?.code === "slow_mode").length === 2);
    await ann.updateConversation(group.id, { slow_mode_seconds: 0 });
    assert.equal((await second).seq, 2);
  });

  it("tries a failed message again, and gives one up", async (t) => {
    const { ann, ben, chat } = await pair(t);
    await ben.blockUser(ann.user.id);
    await assert.rejects(ann.send(chat.id, "let me in"), { code: "blocked" });
    const [{ client_msg_id }] = ann.outbox;
    await ben.unblockUser(ann.user.id);
    assert.equal((await ann.retry(client_msg_id)).client_msg_id, client_msg_id);

    const between = await proxy(t, server.url);
    const cem = await person(t, between.url);
    const other = await cem.createDirect(ben.user.id);
    between.onRequest = ({ method }) => (method === "POST" ? "refuse" : "pass");
    const controller = new AbortController();
    const first = cem.send(other.id, "never mind", { signal: controller.signal });
    const second = cem.send(other.id, "but this");
    await eventually("an attempt", () => between.seen.filter((one) => one.startsWith("POST")).length > 3);
    controller.abort();
    await assert.rejects(first, { name: "AbortError" });
    // The last attempt may still be on its way to the proxy: later requests belong to the second message.
    const seen = between.seen.length;
    await eventually("attempts of the second", () => between.seen.length > seen + 1);
    between.onRequest = () => "pass";
    assert.equal((await second).seq, 1);
    assert.deepEqual(await history(cem, other), ["but this"]);
  });

  it("keeps the outbox over a reload", async (t) => {
    const between = await proxy(t, server.url);
    const storage = memoryStorage();
    const { ann, chat } = await pair(t, between.url, { storage });
    // Every response is lost: the first message is stored, but the client does not know it.
    between.onRequest = ({ method }) => (method === "POST" ? "lose" : "pass");
    const sent = [ann.send(chat.id, "one"), ann.send(chat.id, "two")];
    await eventually("an attempt", () => between.seen.some((one) => one.endsWith("/messages")));
    await ann.close();
    for (const one of sent) await assert.rejects(one, { code: "closed" });

    between.onRequest = () => "pass";
    const reloaded = client(t, between.url, { storage });
    const events = record(reloaded, "send");
    await reloaded.start();
    const third = reloaded.send(chat.id, "three");
    assert.equal((await third).seq, 3);
    assert.deepEqual(await history(reloaded, chat), ["one", "two", "three"]);
    assert.deepEqual(events.send.filter(({ state }) => state === "stored").map(({ item }) => item.content.text), ["one", "two", "three"]);
    assert.deepEqual((await storage.keys("")).filter((key) => key.includes(":outbox:")), []);
  });

  it("sends nothing of one account as another", async (t) => {
    const between = await proxy(t, server.url);
    const storage = memoryStorage();
    const { ann, ben, chat } = await pair(t, between.url, { storage });
    let annsToken;
    between.onRequest = ({ url, headers }) => {
      if (!url.endsWith("/messages")) return "pass";
      return headers.authorization === (annsToken ??= headers.authorization) ? "refuse" : "pass";
    };
    ann.send(chat.id, "from Ann");
    await eventually("an attempt", () => annsToken);
    await ann.login({ username: ben.user.username, password: "correct horse" });
    await ann.start();
    assert.equal((await ann.send(chat.id, "from Ben")).seq, 1);
    assert.deepEqual(await history(ben, chat), ["from Ben"]);
  });

  it("honours a real limit, and loses nothing by it", async (t) => {
    const limited = await serve(t, { TIDELINE_RATE_LIMIT: "2:10" });
    const [ann, ben] = [await person(t, limited.url, { backoff }), await person(t, limited.url)];
    const chat = await ann.createDirect(ben.user.id);
    const events = record(ann, "send");
    const started = Date.now();
    await Promise.all([...Array(16)].map((_, n) => ann.send(chat.id, `m${n}`)));
    assert.ok(Date.now() - started > 2_000, "it has waited");
    const refused = events.send.filter(({ error }) => error?.code === "rate_limited");
    assert.ok(refused.length > 0 && refused.every(({ error }) => error.retryAfterMs > 0 && error.status === 429));
    assert.deepEqual(await history(ben, chat), [...Array(16)].map((_, n) => `m${n}`));
  });
});

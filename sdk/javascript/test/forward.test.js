// Forwards: messages without a kind and a content until the server has stored them.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { memoryStorage, uuidv7 } from "../src/tideline.js";
import { client, eventually, person, proxy, record } from "./support/people.js";
import { account, FakeServer, open } from "./support/fake.js";
import { serve } from "./support/server.js";

describe("a forward", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("is stored once, as a copy that names the author", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, between.url);
    const [ben, cem] = [await person(t, server.url), await person(t, server.url)];
    const [from, to] = [await ann.createDirect(ben.user.id), await ann.createDirect(cem.user.id)];
    await ben.send(from.id, "sail at nine", { mentions: [ann.user.id] });
    const events = record(ann, "send");
    const came = record(cem, "message");
    await cem.start();
    let lost = 0;
    between.onRequest = ({ method, url }) => (method === "POST" && url.endsWith("/messages") && lost++ === 0 ? "lose" : "pass");
    const forward = { conversation_id: from.id, seq: 1 };
    const stored = ann.send(to.id, { forward });
    assert.deepEqual(ann.outbox.map((item) => [item.forward, "kind" in item, "content" in item, item.state]), [[forward, false, false, "sending"]]);
    const message = await stored;
    assert.deepEqual([message.kind, message.content, message.forward.sender_id, lost], ["text", { text: "sail at nine" }, ben.user.id, 2]);
    const seen = events.send.map(({ state, item, message }) => [state, item.forward, message?.seq]);
    assert.deepEqual([seen[0], seen.at(-1)], [["sending", forward, undefined], ["stored", forward, 1]]);
    await eventually("came", () => came.message.length === 1);
    assert.deepEqual([came.message[0].message, (await cem.listMessages(to.id)).last_seq], [message, 1]);
    // The author hides the name.
    assert.equal((await ben.updateMe({ forward_name: false })).forward_name, false);
    assert.equal((await ben.getMe()).forward_name, false);
    assert.deepEqual(Object.keys((await ann.send(to.id, { forward })).forward), ["created_at"]);
    await assert.rejects(ann.send(to.id, { forward: { ...forward, seq: 99 } }), { code: "not_found" });
    await ben.recall(from.id, 1);
    await assert.rejects(ann.send(to.id, { forward }), { code: "message_gone" });
    assert.deepEqual(ann.outbox.map(({ state, forward, error }) => [state, forward.seq, error.code]), [["failed", 99, "not_found"], ["failed", 1, "message_gone"]]);
  });

  it("waits in the storage, and the next run sends it", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const chat = await ann.createDirect(ben.user.id);
    await ann.send(chat.id, "again");
    const storage = memoryStorage();
    const gone = client(t, server.url, { storage, fetch: async (url, options) => (url.endsWith("/messages") ? Promise.reject(new TypeError("away")) : fetch(url, options)) });
    await gone.login({ username: ann.user.username, password: "correct horse" });
    gone.send(chat.id, { forward: { conversation_id: chat.id, seq: 1 } }, { expires_in: 60 });
    await eventually("written", async () => (await storage.keys("")).some((key) => key.includes(":outbox:")));
    await gone.close();
    const next = client(t, server.url, { storage });
    await next.restore();
    const events = record(next, "send");
    await next.start();
    await eventually("stored", () => events.send.at(-1)?.state === "stored");
    const { content, forward, expires_at } = events.send.at(-1).message;
    assert.deepEqual([content, forward.sender_id, typeof expires_at, next.outbox], [{ text: "again" }, ann.user.id, "string", []]);
  });
});

it("a forward that is malformed is refused immediately", async (t) => {
  const server = new FakeServer();
  const tideline = open(t, server);
  await tideline.login(account("xenia"));
  const [chat, good] = [uuidv7(), { conversation_id: uuidv7(), seq: 1 }];
  const before = server.seen.length;
  const wrong = [{ forward: {} }, { forward: null }, { forward: { ...good, seq: "1" } }, { forward: { ...good, seq: 0 } }, { forward: { ...good, conversation_id: "../x" } }, { forward: good, kind: "text", content: { text: "hi" } }];
  for (const message of wrong) await assert.rejects(tideline.send(chat, message), { code: "validation", status: 0 });
  await assert.rejects(tideline.send(chat, { forward: good }, { mentions: [chat] }), { code: "validation", status: 0 });
  assert.deepEqual([server.seen.length, tideline.outbox], [before, []]);
});

it("the rules of a conversation are changed, and read", async (t) => {
  const server = await serve(t);
  const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
  const direct = await ann.createDirect(ben.user.id);
  await ann.send(direct.id, "a plan");
  const group = await ann.createGroup({ title: "The plan", member_ids: [ben.user.id], parent: { conversation_id: direct.id, seq: 1 } });
  assert.deepEqual([group.parent, group.posting, group.pinning, group.slow_mode_seconds, group.message_ttl_seconds], [{ conversation_id: direct.id, seq: 1 }, "all", "admins", 0, null]);
  const rules = { posting: "admins", pinning: "all", slow_mode_seconds: 30, message_ttl_seconds: 3_600 };
  await ann.updateConversation(group.id, rules);
  const { posting, pinning, slow_mode_seconds, message_ttl_seconds } = await ben.getConversation(group.id);
  assert.deepEqual({ posting, pinning, slow_mode_seconds, message_ttl_seconds }, rules);
  await assert.rejects(ben.send(group.id, "hi"), { code: "forbidden" });
  await ann.updateConversation(group.id, { posting: "all", message_ttl_seconds: null });
  assert.equal((await ben.send(group.id, "hi")).expires_at, undefined);
  // The second message waits in the outbox, and the event says how long.
  const events = record(ben, "send");
  const second = ben.send(group.id, "hi again");
  second.catch(() => {});
  await eventually("refused", () => events.send.some(({ state, error }) => state === "sending" && error?.code === "slow_mode" && error.retryAfterMs > 20_000));
  await ann.updateConversation(direct.id, { message_ttl_seconds: 60 });
  assert.equal((await ben.getConversation(direct.id)).message_ttl_seconds, 60);
});

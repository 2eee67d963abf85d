// What a user keeps for the user alone, on all devices: settings, marks, drafts, cleared and hidden messages. And replies.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { again, eventually, person, proxy, record, texts } from "./support/people.js";
import { serve } from "./support/server.js";

const text = (words) => ({ text: words });

describe("the user's own", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  /** Two people, one of them with two devices, in a direct conversation. */
  async function devices(t, options = {}) {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ben, server.url, options);
    const chat = await ann.createDirect(ben.user.id);
    return { ann, ben, phone, chat };
  }

  it("settings, marks, cleared and hidden messages reach the other devices as entries", async (t) => {
    const { ann, ben, phone, chat } = await devices(t);
    const events = record(phone, "settings", "read", "cleared", "hidden", "entries");
    await phone.start();
    for (const words of ["one", "two", "three"]) await ann.send(chat.id, words);
    const settings = await ben.updateSettings(chat.id, { pinned: true, nickname: "Annie", notify: { level: "none" } });
    assert.deepEqual(settings, { notify: { level: "none", until: null }, pinned: true, archived: false, hidden_through: null, nickname: "Annie" });
    await eventually("settings", () => events.settings.length === 1);
    assert.deepEqual(events.settings[0].settings, settings);
    await ben.updateSettings(chat.id, { nickname: null, archived: true, hidden_through: 3 });
    assert.deepEqual((await phone.getConversation(chat.id)).me.settings, { ...settings, nickname: null, archived: true, hidden_through: 3 });
    await ben.markUnread(chat.id);
    await eventually("the mark", () => events.read.length === 1);
    assert.deepEqual([events.read[0].marked_unread, events.read[0].unread], [true, 3]);
    await ben.hideMessages(chat.id, [2, 3]);
    await eventually("hidden", () => events.hidden.length === 2);
    assert.deepEqual(events.hidden.map(({ hidden_seq }) => hidden_seq), [2, 3]);
    assert.deepEqual((await phone.getMessage(chat.id, 2)).kind, "hidden");
    assert.deepEqual((await ann.getMessage(chat.id, 2)).kind, "text");
    await ben.clearHistory(chat.id, 2);
    await eventually("cleared", () => events.cleared.length === 1);
    assert.deepEqual([events.cleared[0].cleared_seq, (await phone.listMessages(chat.id)).messages.map(({ seq }) => seq)], [2, [3]]);
    assert.ok(events.entries.flatMap(({ entries }) => entries).some(({ kind }) => kind === "cleared"));
    await assert.rejects(ben.hideMessages(chat.id, ["x"]), { code: "validation" });
    await assert.rejects(ben.updateSettings("x", {}), { code: "validation", status: 0 });
  });

  it("replies name a message and its sender, also over a restart of the outbox", async (t) => {
    const { ann, ben, phone, chat } = await devices(t);
    const events = record(phone, "message", "mention");
    await phone.start();
    await ben.send(chat.id, "what time?");
    const between = await proxy(t, server.url);
    let lost = 0;
    between.onRequest = ({ method, url }) => (method === "POST" && url.endsWith("/messages") && lost++ === 0 ? "lose" : "pass");
    const tablet = await again(t, ann, between.url);
    const reply = await tablet.send(chat.id, "nine", { reply_to: 1 });
    assert.deepEqual([reply.reply_to, reply.root_seq, lost], [{ seq: 1, sender_id: ben.user.id }, 1, 2]);
    await eventually("named", () => events.mention.length === 1);
    assert.equal(events.mention[0].message.seq, 2);
    const all = await tablet.send(chat.id, "everyone", { mention_all: true });
    assert.equal(all.mention_all, true);
    const page = await ben.listMessages(chat.id, { since_seq: 1, with_replied: true });
    assert.deepEqual([page.messages.map(({ seq }) => seq), page.replied.map(({ seq }) => seq)], [[2, 3], [1]]);
    assert.deepEqual(texts((await ben.listMessages(chat.id, { seqs: [1, 3] })).messages.map((message) => ({ message }))), ["what time?", "everyone"]);
    const { total_mentions, conversations } = await ben.getUnread({ mentions: true });
    assert.deepEqual([total_mentions, conversations[0].mentions], [2, 2]);
    await assert.rejects(ben.send(chat.id, "x", { reply_to: "1/y" }), { code: "validation", status: 0 });
    await assert.rejects(ben.send(chat.id, "x", { reply_to: 99 }), { code: "validation", status: 400 });
    await ben.discard(ben.outbox[0].client_msg_id);
  });

  it("drafts follow, and the message that is sent of one makes it void", async (t) => {
    const { ann, ben, phone, chat } = await devices(t);
    const events = record(phone, "draft", "draft_changed");
    for (const device of [ben, phone]) await device.start();
    ben.drafts.set(chat.id, text("h"));
    const stored = ben.drafts.set(chat.id, text("hello"));
    assert.deepEqual([ben.drafts.get(chat.id), ben.drafts.isPending(chat.id)], [text("hello"), true]);
    await eventually("came", () => events.draft_changed.length === 1);
    assert.deepEqual(events.draft_changed, [{ conversation_id: chat.id, content: text("hello") }]);
    await stored;
    assert.equal(ben.drafts.isPending(chat.id), false);
    assert.equal(events.draft.length, 1, "of two contents only the last one is stored");
    await ann.send(chat.id, "are you there?");
    assert.deepEqual(phone.drafts.get(chat.id), text("hello"));
    ben.drafts.sent(chat.id);
    await ben.send(chat.id, "hello");
    await eventually("void", () => events.draft_changed.length === 2);
    assert.deepEqual([events.draft_changed[1].content, phone.drafts.get(chat.id), ben.drafts.get(chat.id), (await ben.listDrafts()).drafts], [null, null, null, []]);
    // The next draft is written while the message is in flight, and is not void.
    const sending = ben.send(chat.id, "one more");
    ben.drafts.set(chat.id, text("and then"));
    await sending;
    await eventually("came", () => events.draft_changed.length === 3);
    assert.deepEqual(phone.drafts.get(chat.id), text("and then"));
    ben.drafts.set(chat.id, null);
    await eventually("deleted", () => events.draft_changed.length === 4);
    assert.deepEqual((await phone.drafts.load()).length, 0);
  });

  it("a text that is sent while its draft is being stored does not come back", async (t) => {
    const gate = () => {
      const gate = {};
      gate.passed = new Promise((open) => (gate.open = open));
      return gate;
    };
    const [begun, put, answered, post] = [gate(), gate(), gate(), gate()];
    const slow = async (url, options) => {
      const is = (method, end) => options.method === method && new URL(url).pathname.endsWith(end);
      if (is("POST", "/messages")) await post.passed;
      if (!is("PUT", "/draft")) return fetch(url, options);
      begun.open();
      await put.passed;
      const response = await fetch(url, options);
      await answered.passed;
      return response;
    };
    const { ben, phone, chat } = await devices(t, { fetch: slow });
    const events = record(phone, "draft", "draft_changed", "message");
    await phone.start();
    phone.drafts.set(chat.id, text("hello"));
    await begun.passed;
    phone.drafts.sent(chat.id);
    const sending = phone.send(chat.id, "hello");
    put.open();
    await eventually("the entry of the draft", () => events.draft.length === 1);
    assert.deepEqual(events.draft_changed, []);
    post.open();
    await sending;
    answered.open();
    await eventually("the entry of the message", () => events.message.length === 1);
    assert.deepEqual([events.draft_changed.filter(({ content }) => content), phone.drafts.get(chat.id), (await ben.listDrafts()).drafts], [[], null, []]);
  });

  it("a draft is stored by a device that knows a later version than a restored server", async (t) => {
    let puts = 0;
    const late = { version: 9, content: text("lost"), after_seq: 0, at: "2026-01-01T00:00:00.000Z" };
    const { phone, chat } = await devices(t, {
      fetch: async (url, options) => {
        if (options.method === "PUT") puts++;
        if (!new URL(url).pathname.endsWith("/v1/drafts")) return fetch(url, options);
        return Response.json({ drafts: [{ conversation_id: chat.id, ...late }], next_cursor: null });
      },
    });
    await phone.start();
    assert.deepEqual((await phone.drafts.load()).map(({ version }) => version), [9]);
    await phone.drafts.set(chat.id, text("again"));
    assert.deepEqual([phone.drafts.get(chat.id), puts], [text("again"), 2]);
  });

  it("drafts of two devices are stored by version, and a new device reads them", async (t) => {
    const { ben, phone, chat } = await devices(t);
    for (const device of [ben, phone]) await device.start();
    await phone.updateDraft(chat.id, { version: 0, content: text("from the phone"), after_seq: 0 });
    const error = await ben.updateDraft(chat.id, { version: 0, content: text("mine"), after_seq: 0 }).catch((error) => error);
    assert.deepEqual([error.code, error.draft.version, error.draft.content, error.current], ["version_conflict", 1, text("from the phone"), null]);
    // A device that knows no version takes the present one from the conflict.
    const third = await again(t, ben, server.url);
    third.drafts.set(chat.id, text("from the third"));
    await eventually("came", () => ben.drafts.get(chat.id)?.text === "from the third");
    const fourth = await again(t, ben, server.url);
    const [draft, ...others] = await fourth.drafts.load();
    assert.deepEqual([draft.content, draft.version, others, fourth.drafts.get(chat.id)], [text("from the third"), 2, [], text("from the third")]);
    await fourth.deleteDraft(chat.id, 2);
    await eventually("deleted", () => ben.drafts.get(chat.id) === null);
  });
});

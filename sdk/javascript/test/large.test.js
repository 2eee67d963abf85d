// Large conversations are watched and read, and the application gets the same events.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { memoryStorage } from "../src/tideline.js";
import { again, client, eventually, password, person, proxy, record, texts } from "./support/people.js";
import { FakeLocks } from "./support/locks.js";
import { serve } from "./support/server.js";

const names = (count, from = 0) => [...Array(count)].map((_, n) => `m${from + n}`);

describe("large conversations", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { TIDELINE_FANOUT_LIMIT: "3" })));
  after(async () => {
    for (const end of ends) await end();
  });
  const people = (t, count) => Promise.all([...Array(count)].map(() => person(t, server.url)));
  const ids = (...all) => all.map(({ user }) => user.id);
  const group = (owner, ...members) => owner.createGroup({ title: "Crew", member_ids: ids(...members) });
  const seqs = (entries, chat) => entries.filter((one) => one.conversation_id === chat.id).map(({ message }) => message.seq);
  const all = (count, from = 1) => [...Array(count)].map((_, n) => from + n);
  /** The server's counts, in the form of `unread`. */
  const counted = async (tideline) => {
    const { total, conversations } = await tideline.getUnread();
    return { total, conversations: Object.fromEntries(conversations.map((one) => [one.conversation_id, one.unread])) };
  };
  const agree = (tideline) =>
    eventually("the counts are the server's", async () => {
      const [own, there] = [JSON.stringify(tideline.unread.conversations), await counted(tideline)];
      return tideline.unread.total === there.total && own === JSON.stringify(Object.fromEntries(Object.entries(there.conversations).sort()));
    });

  it("deliver the same events while a group becomes large during sends", async (t) => {
    const [ann, ben, cem, dan, eve] = await people(t, 5);
    const everybody = [ann, ben, cem, dan, eve];
    const chat = await group(ann, ben, cem);
    const events = everybody.map((one) => record(one, "message", "entries", "conversation"));
    for (const one of everybody) await one.start();
    const talk = (who) => Promise.all(names(40).map((text) => who.send(chat.id, text)));
    const grow = async () => {
      for (const [seen, { user }] of [[5, dan], [25, eve]]) {
        await eventually("some came", () => events[0].message.length >= seen);
        await ann.addMembers(chat.id, [user.id]);
      }
    };
    await Promise.all([talk(ann), talk(ben), grow()]);
    await ann.send(chat.id, "last");
    await eventually("all have all", () => events.every(({ message }) => texts(message).at(-1) === "last"), 30_000);
    const { switch_seq, fanout } = await ann.getConversation(chat.id);
    assert.equal(fanout, "read");
    assert.ok(switch_seq > 0 && switch_seq < 80, `${switch_seq}`);
    for (const [n, one] of everybody.entries()) {
      const { joined_seq } = (await one.getConversation(chat.id)).me;
      assert.deepEqual(seqs(events[n].message, chat), all(81 - joined_seq, joined_seq + 1));
      const pages = events[n].entries.flatMap(({ entries }) => entries).filter(({ kind }) => kind === "message");
      assert.deepEqual(pages, events[n].message, "the pages say the same");
      assert.ok(events[n].conversation.some(({ conversation }) => conversation.fanout === "read"));
      await agree(one);
    }
    assert.equal(ben.unread.conversations[chat.id], (await ben.getConversation(chat.id)).me.unread);
    await ben.markRead(chat.id, 80);
    await eventually("read", () => ben.unread.total === 1);
    const [first, last] = [0, -1].map((n) => events[2].message.at(n));
    assert.deepEqual([first.unread, last.unread, last.seq, last.at], [1, 81, null, last.message.created_at]);
  });

  it("are out of sight for who was removed, and begin anew for who comes back", async (t) => {
    const [ann, ben, cem, dan] = await people(t, 4);
    const chat = await group(ann, ben, cem, dan);
    const events = record(ben, "message", "conversation");
    await ben.start();
    await ann.send(chat.id, "m0");
    await eventually("came", () => events.message.length === 1);
    await ann.removeMember(chat.id, ben.user.id);
    await ann.send(chat.id, "without him");
    await eventually("out", () => events.conversation.at(-1)?.conversation === null);
    await agree(ben);
    await ann.addMembers(chat.id, [ben.user.id]);
    await ann.send(chat.id, "m1");
    await eventually("came", () => events.message.length === 2);
    assert.deepEqual([texts(events.message), ben.connection], [["m0", "m1"], "online"]);
    await agree(ben);
  });

  it("are read on from where they were, after a reload and after a start-over", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const storage = memoryStorage();
    const options = { storage, resume: true };
    const ben = await person(t, server.url, options);
    const chat = await group(ann, ben, cem, dan);
    const events = record(ben, "message");
    await ann.send(chat.id, "before the start");
    await ben.start();
    await ann.send(chat.id, "m0");
    await eventually("came", () => events.message.length === 1);
    const stored = async () => JSON.parse((await storage.get((await storage.keys("")).find((key) => key.endsWith(":position")))) ?? "{}");
    await eventually("remembered", async () => (await stored()).seqs?.of[chat.id] === 2);
    await ben.close();

    await Promise.all(names(150, 1).map((text) => ann.send(chat.id, text)));
    const second = client(t, server.url, options);
    const eventsOfSecond = record(second, "message", "resync", "unread");
    await second.start();
    assert.equal(second.unread.total, 152);
    await eventually("the rest came", () => eventsOfSecond.message.length >= 150);
    await agree(second);
    assert.ok(eventsOfSecond.unread.every(({ total }) => total === 152), "the count was right all the time");
    assert.deepEqual([texts(eventsOfSecond.message), eventsOfSecond.resync], [names(150, 1), []]);
    await second.close();

    await ann.send(chat.id, "m151");
    await ann.send((await ann.createDirect(ben.user.id)).id, "elsewhere");
    await server.expireInbox();
    const third = client(t, server.url, options);
    const eventsOfThird = record(third, "message", "resync");
    await third.start();
    await eventually("what was missed", () => eventsOfThird.message.length === 1);
    await ann.send(chat.id, "m152");
    await eventually("and on", () => eventsOfThird.message.length === 2);
    assert.deepEqual([texts(eventsOfThird.message), eventsOfThird.resync.map(({ reason }) => reason)], [["m151", "m152"], ["inbox_trimmed"]]);
    await agree(third);
  });

  it("are delivered completely with a backfill", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const ben = await person(t, server.url, { backfill: true });
    const chat = await group(ann, ben, cem);
    for (const text of names(3)) await ann.send(chat.id, text);
    await ann.addMembers(chat.id, [dan.user.id]);
    await ann.send(chat.id, "m3");
    const events = record(ben, "message");
    await ben.start();
    await ann.send(chat.id, "m4");
    await eventually("all came", () => events.message.length >= 5);
    assert.deepEqual([texts(events.message), events.message.map(({ unread }) => unread)], [names(5), [1, 2, 3, 4, 5]]);
  });

  it("start over when a seq is beyond the head", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const storage = memoryStorage();
    const ben = await person(t, server.url, { storage, resume: true });
    const chat = await group(ann, ben, cem, dan);
    await ben.start();
    const key = await eventually("remembered", async () => (await storage.keys("")).find((one) => one.endsWith(":position")));
    await ben.close();
    const position = JSON.parse(await storage.get(key));
    position.seqs.of[chat.id] = 1_000;
    await storage.set(key, JSON.stringify(position));
    const later = client(t, server.url, { storage, resume: true });
    const events = record(later, "message", "resync");
    await later.start();
    await eventually("started over", () => events.resync.length === 1);
    await ann.send(chat.id, "m0");
    await eventually("came", () => events.message.length === 1);
    assert.deepEqual([events.resync[0].reason, events.resync.length, texts(events.message)], ["cursor_ahead", 1, ["m0"]]);
  });

  it("wait for a handler that fails, and lose nothing", async (t) => {
    const [ann, ben, cem, dan] = await people(t, 4);
    const chat = await group(ann, ben, cem, dan);
    const taken = [];
    let failures = 0;
    ben.on("message", ({ message }) => {
      if (message.content.text === "m2" && failures++ < 2) throw new Error("the disk is full");
      taken.push(message.content.text);
    });
    await ben.start();
    await Promise.all(names(5).map((text) => ann.send(chat.id, text)));
    await eventually("all taken", () => taken.length >= 5);
    assert.deepEqual([taken, failures], [names(5), 3]);
    await agree(ben);
  });

  it("are read once for all tabs, which agree", async (t) => {
    const between = await proxy(t, server.url);
    const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true };
    const tabs = [client(t, between.url, shared), client(t, between.url, shared)];
    const [ann, cem, dan] = await people(t, 3);
    await tabs[0].register({ username: `tabs-${process.pid}-${Date.now().toString(36)}`, password });
    const chat = await group(ann, tabs[0], cem);
    const events = tabs.map((tab) => record(tab, "message", "unread"));
    for (const tab of tabs) await tab.start();
    for (const text of names(3)) await ann.send(chat.id, text);
    await ann.addMembers(chat.id, [dan.user.id]);
    for (const text of names(5, 3)) await ann.send(chat.id, text);
    await eventually("both have all", () => events.every(({ message }) => message.length >= 8));
    for (const { message } of events) assert.deepEqual(texts(message), names(8));
    const reads = between.seen.filter((one) => one === `GET /v1/conversations/${chat.id}/messages`).length;
    assert.ok(reads <= 6, `${reads} reads`);
    await tabs.find(({ leader }) => !leader).markRead(chat.id, 7);
    await eventually("both count one", () => tabs.every(({ unread }) => unread.total === 1));
    assert.equal(between.mostWaits, 1);
    // The remaining client continues from its position.
    const [leader, other] = tabs[0].leader ? tabs : [tabs[1], tabs[0]];
    await leader.close();
    await ann.send(chat.id, "m8");
    await eventually("came", () => other.unread.total === 2);
    assert.deepEqual(texts(events[tabs.indexOf(other)].message), names(9));
  });

  it("mention people, in large and in small ones", async (t) => {
    const [ann, ben, cem, dan] = await people(t, 4);
    const events = record(ben, "mention", "message");
    const eventsOfDan = record(dan, "mention", "message");
    await ben.start();
    await dan.start();
    for (const chat of [await group(ann, ben, cem, dan), await group(ann, ben, dan)]) {
      const sent = await ann.send(chat.id, "@ben, look", { mentions: [ben.user.id] });
      assert.deepEqual(sent.content, { text: "@ben, look", mentions: [ben.user.id] });
      await eventually("both were delivered", () => [events.mention, events.message, eventsOfDan.message].every((one) => one.at(-1)?.conversation_id === chat.id));
      assert.deepEqual([events.mention.at(-1).message, events.message.at(-1).message], [sent, sent]);
      await agree(ben);
    }
    assert.deepEqual([events.mention.length, events.message.length, eventsOfDan.mention.length], [2, 2, 0]);
  });

  it("are channels, which one joins and leaves", async (t) => {
    const [ann, ben] = await people(t, 2);
    const events = record(ben, "message", "conversation");
    await ben.start();
    const channel = await ann.createChannel({ title: "News", public: true });
    assert.deepEqual([channel.kind, channel.public, channel.fanout, channel.switch_seq], ["channel", true, "read", 0]);
    await ann.send(channel.id, "too early");
    const joined = await ben.join(channel.id);
    assert.deepEqual([joined.me.role, joined.me.joined_seq], ["member", 1]);
    await ann.send(channel.id, "m0");
    await eventually("came", () => events.message.length === 1);
    assert.equal(events.message[0].message.content.text, "m0");
    await agree(ben);
    await assert.rejects(ben.send(channel.id, "me too"), { code: "forbidden" });
    await ben.leave(channel.id);
    await eventually("out", () => events.conversation.at(-1).conversation === null);
    await agree(ben);
    const private_ = await ann.createChannel({ title: "Ours" });
    await assert.rejects(ben.join(private_.id), { code: "not_found" });
  });

  it("may be more than one can watch", async (t) => {
    const [ann, ben] = await people(t, 2);
    const channels = [];
    for (const title of names(103)) channels.push(await ann.createChannel({ title, member_ids: [ben.user.id] }));
    const waits = [];
    const listening = (url, options) => {
      if (url.includes("/v1/notices")) waits.push(new URL(url).searchParams.getAll("watch"));
      return fetch(url, options);
    };
    const phone = await again(t, ben, server.url, { waitSeconds: 1, fetch: listening });
    const events = record(phone, "message");
    await phone.start();
    await eventually("watches", () => waits.length > 0);
    assert.equal(waits[0].length, 100);
    assert.ok(!waits[0].some((one) => one.startsWith(channels[0].id)), "not the one of the oldest activity");
    for (const channel of [channels[0], channels[102]]) await ann.send(channel.id, "news");
    await eventually("both came", () => events.message.length === 2);
    await agree(phone);
    assert.ok(waits.at(-1).some((one) => one === `${channels[0].id}:1:0`), "now it is watched");
  });
});

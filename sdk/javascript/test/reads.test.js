// Changes and reads at the same time: a page that was read before a change does not bring the old state, and a conversation that the
// application shows is watched.

import assert from "node:assert/strict";
import { describe, it, before, after } from "node:test";
import { memoryStorage, newerState, uuidv7 } from "../src/tideline.js";
import { account, FakeServer, open } from "./support/fake.js";
import { client, eventually, password, person, proxy, record } from "./support/people.js";
import { FakeLocks } from "./support/locks.js";
import { serve } from "./support/server.js";

describe("a read in flight", () => {
  /** A conversation whose messages are answered when `release` is called. */
  async function held(t) {
    const fake = new FakeServer();
    const id = uuidv7();
    const message = (seq, more = {}) => ({ id: `m${seq}`, conversation_id: id, seq, sender_id: "s", client_msg_id: `c${seq}`, created_at: "", kind: "text", content: { text: `old ${seq}` }, ...more });
    fake.conversations = [{ id, fanout: "write", last_seq: 3, change_seq: 1, updated_at: "", me: { read_seq: 3, unread: 0, joined_seq: 0 } }];
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    fake.intercept = async ({ method, path }) => {
      if (method !== "GET" || !path.includes("/messages")) return undefined;
      await gate;
      const body = path.endsWith("/messages") ? { messages: [1, 2, 3].map((seq) => message(seq)), last_seq: 3, change_seq: 1, has_more: false, replied: [message(1)] } : message(2);
      return Response.json(body);
    };
    const tideline = open(t, fake);
    await tideline.login(account("xenia"));
    await tideline.start();
    const events = record(tideline, "edit", "recall", "hidden", "cleared");
    const enter = (entries) => (fake.entries = entries.map((entry, n) => ({ seq: n + 1, conversation_id: id, at: "", unread: 0, ...entry })));
    return { tideline, id, message, events, release, enter };
  }

  it("has the changes that came before its answer", async (t) => {
    const { tideline, id, message, events, release, enter } = await held(t);
    const reads = [tideline.listMessages(id), tideline.getMessage(id, 2)];
    const history = (async () => {
      const all = [];
      for await (const one of tideline.history(id, { since_seq: 0 })) all.push(one);
      return all;
    })();
    enter([
      { kind: "edit", message: message(1, { content: { text: "new" }, version: 2, change_seq: 2 }) },
      { kind: "recall", message: message(2, { kind: "recalled", content: {}, change_seq: 3 }) },
      { kind: "hidden", hidden_seq: 3 },
    ]);
    await eventually("all came", () => events.hidden.length === 1);
    release();
    const [page, one] = await Promise.all(reads);
    assert.deepEqual(page.messages.map(({ kind, content }) => [kind, content]), [["text", { text: "new" }], ["recalled", {}], ["hidden", {}]]);
    assert.deepEqual([page.replied[0].content, one.kind, (await history).map(({ kind }) => kind)], [{ text: "new" }, "recalled", ["text", "recalled", "hidden"]]);
    assert.ok(!JSON.stringify(page).includes("old 3"));
    assert.equal((await tideline.getMessage(id, 2)).kind, "text", "a later read has its own state");
  });

  it("has no messages that were cleared meanwhile", async (t) => {
    const { tideline, id, events, release, enter } = await held(t);
    const read = tideline.listMessages(id);
    enter([{ kind: "cleared", cleared_seq: 2 }]);
    await eventually("came", () => events.cleared.length === 1);
    release();
    assert.deepEqual((await read).messages.map(({ seq }) => seq), [3]);
  });

  it("keeps what is hidden hidden", () => {
    const [hidden, edited] = [{ seq: 1, kind: "hidden" }, { seq: 1, kind: "text", change_seq: 4 }];
    assert.deepEqual([newerState(hidden, edited), newerState(edited, hidden), newerState(undefined, hidden)], [hidden, hidden, hidden]);
  });
});

describe("a conversation that is shown", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { TIDELINE_REACTION_FANOUT: "0" })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("is watched for reactions, which have no entries, and no longer when it is not shown", async (t) => {
    const [ann, cem] = [await person(t, server.url), await person(t, server.url)];
    const waits = [];
    const reads = [];
    const listening = (url, options) => {
      if (url.includes("/v1/notices")) waits.push(new URL(url).searchParams.getAll("watch"));
      if (url.includes("changed_since")) reads.push(url);
      return fetch(url, options);
    };
    const ben = await person(t, server.url, { fetch: listening });
    const chat = await ann.createGroup({ title: "Crew", member_ids: [ben.user.id, cem.user.id] });
    await ann.send(chat.id, "hi");
    const events = record(ben, "change", "edit", "message");
    await ben.start();
    await cem.addReaction(chat.id, 1, "👍");
    await ann.edit(chat.id, 1, { version: 1, content: { text: "hi!" } });
    await eventually("the edit", () => events.edit.length === 1);
    assert.equal(events.change.length, 0);
    const unwatch = ben.watch(chat.id);
    const twice = ben.watch(chat.id);
    await eventually("the reaction", () => events.change.length === 1);
    assert.deepEqual(events.change[0].message.reactions, [{ emoji: "👍", count: 1, me: false }]);
    await eventually("waits", () => waits.at(-1)[0] === `${chat.id}:1:2`);
    await cem.removeReaction(chat.id, 1, "👍");
    await eventually("came", () => events.change.length === 2);
    assert.equal(events.change[1].message.reactions?.length ?? 0, 0);
    const before = waits.length;
    await ann.send(chat.id, "again");
    await eventually("came", () => events.message.length === 1);
    await eventually("waits", () => waits.at(-1)[0] === `${chat.id}:2:3`);
    assert.ok(waits.length - before <= 4 && reads.length <= 3, `${waits.length - before} waits, ${reads.length} reads`);
    unwatch();
    unwatch();
    twice();
    await eventually("no longer", () => waits.at(-1).length === 0);
    // A conversation that does not exist does not disturb the sync.
    ben.watch(uuidv7());
    await ann.send(chat.id, "and again");
    await eventually("came", () => events.message.length === 2 && ben.connection === "online");
  });

  it("has an event when another member has read", async (t) => {
    const waits = [];
    const listening = (url, options) => {
      if (url.includes("/v1/notices")) waits.push(new URL(url).searchParams.getAll("watch"));
      return fetch(url, options);
    };
    const [ann, ben] = [await person(t, server.url), await person(t, server.url, { fetch: listening })];
    const chat = await ann.createDirect(ben.user.id);
    const { seq } = await ben.send(chat.id, "have you seen this?");
    const events = record(ben, "reads_moved");
    await ben.start();
    ben.watch(chat.id);
    await eventually("waits", () => waits.at(-1)?.[0] === `${chat.id}:${seq}:0`);
    await ann.markRead(chat.id, seq);
    await eventually("the event", () => events.reads_moved.length === 1);
    assert.deepEqual(events.reads_moved, [{ conversation_id: chat.id }]);
    assert.equal((await ben.getConversation(chat.id)).peer_read_seq, seq);
  });

  it("in one tab is watched by the leading one", async (t) => {
    const between = await proxy(t, server.url);
    const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true };
    const tabs = [client(t, between.url, shared), client(t, between.url, shared)];
    const ann = await person(t, server.url);
    await tabs[0].register({ username: `w${process.pid}-${Date.now().toString(36)}`, password });
    const chat = await ann.createGroup({ title: "Crew", member_ids: [tabs[0].user.id] });
    await ann.send(chat.id, "hi");
    for (const tab of tabs) await tab.start();
    await eventually("one leads", () => tabs.some(({ leader }) => leader));
    const events = tabs.map((tab) => record(tab, "change", "reads_moved"));
    const other = tabs.find(({ leader }) => !leader);
    const leader = tabs.find(({ leader }) => leader);
    other.watch(chat.id);
    await ann.addReaction(chat.id, 1, "👍");
    await eventually("both have it", () => events.every(({ change }) => change.length === 1));
    await ann.markRead(chat.id, 1);
    await tabs[0].send(chat.id, "hello");
    await ann.markRead(chat.id, 2);
    await eventually("both have that ann has read", () => events.every(({ reads_moved }) => reads_moved.length > 0));
    assert.deepEqual(events[tabs.indexOf(other)].reads_moved[0], { conversation_id: chat.id });
    await leader.close();
    await ann.addReaction(chat.id, 1, "🎉");
    await eventually("the next leader watches", () => events[tabs.indexOf(other)].change.at(-1).message.reactions.length === 2);
  });
});

// Tabs: clients that share storage, locks and a channel, as the tabs of one browser do.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryStorage } from "../src/tideline.js";
import { client, eventually, password, person, proxy, record, texts } from "./support/people.js";
import { FakeLocks } from "./support/locks.js";
import { serve } from "./support/server.js";

const EXPIRED_MS = 7_100;

describe("tabs", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { TIDELINE_ACCESS_TOKEN_SECONDS: "1" })));
  after(async () => {
    for (const end of ends) await end();
  });

  /** A browser: the storage, locks and network that its tabs share. */
  async function browser(t) {
    const between = await proxy(t, server.url);
    const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true };
    const open = (options = {}) => client(t, between.url, { ...shared, ...options });
    const first = open();
    await first.register({ username: `t${process.pid}-${Date.now().toString(36)}`, password });
    return { between, open, first, ...shared };
  }
  const refreshes = ({ seen }) => seen.filter((one) => one.endsWith("/refresh")).length;
  const leaders = (tabs) => tabs.filter(({ leader }) => leader).length;

  it("share one long-poll, the entries, the counts and the state", async (t) => {
    const { between, open, first } = await browser(t);
    const tabs = [first, open(), open()];
    const events = tabs.map((tab) => record(tab, "message", "unread", "read"));
    for (const tab of tabs) await tab.start();
    await eventually("one leads and waits", () => leaders(tabs) === 1 && between.waits === 1);
    const ben = await person(t, server.url);
    const chat = await ben.createDirect(first.user.id);
    for (let n = 0; n < 5; n++) await ben.send(chat.id, `m${n}`);
    await eventually("all have all", () => tabs.every((tab) => tab.unread.total === 5));
    for (const one of events) assert.deepEqual(texts(one.message), ["m0", "m1", "m2", "m3", "m4"]);
    const follower = tabs.find(({ leader }) => !leader);
    await follower.markRead(chat.id, 4);
    await eventually("all agree", () => tabs.every((tab) => tab.unread.total === 1));
    assert.deepEqual(new Set(tabs.map((tab) => JSON.stringify([tab.unread, tab.position, tab.connection]))).size, 1);
    assert.equal(between.mostWaits, 1);
    const fetches = between.seen.filter((one) => one === "GET /v1/inbox").length;
    assert.ok(fetches <= first.position.since, `${fetches} fetches`);
  });

  it("send in one order, and know of each other's messages", async (t) => {
    const { between, open, first } = await browser(t);
    const ben = await person(t, server.url);
    const chat = await first.createDirect(ben.user.id);
    const tabs = [first, open(), open()];
    for (const tab of tabs) await tab.start();
    let inFlight = 0;
    let most = 0;
    between.onRequest = (request) => {
      if (!(request.method === "POST" && request.url.endsWith("/messages"))) return "pass";
      most = Math.max(most, ++inFlight);
      request.on("close", () => inFlight--);
      return Math.random() < 0.4 ? "lose" : "pass";
    };
    const events = record(tabs[2], "send");
    const sent = [];
    for (let n = 0; n < 15; n++) sent.push(tabs[n % 3].send(chat.id, `m${n}`));
    assert.deepEqual((await Promise.all(sent)).map(({ seq }) => seq).sort((a, b) => a - b), [...Array(15)].map((_, n) => n + 1));
    const { messages } = await ben.listMessages(chat.id, { since_seq: 0 });
    const by = (tab) => messages.map(({ content }) => Number(content.text.slice(1))).filter((n) => n % 3 === tab);
    for (const tab of [0, 1, 2]) assert.deepEqual(by(tab), [0, 1, 2, 3, 4].map((n) => n * 3 + tab));
    assert.equal(most, 1);
    await eventually("all are notified", () => tabs.every(({ outbox }) => outbox.length === 0));
    const stored = events.send.filter(({ state }) => state === "stored").map(({ item }) => item.client_msg_id);
    assert.equal(new Set(stored).size, 15);
    assert.equal(stored.length, 15);
  });

  it("hand over when the leader closes or freezes, and miss nothing", async (t) => {
    const { between, open, first, locks } = await browser(t);
    const ben = await person(t, server.url);
    const chat = await ben.createDirect(first.user.id);
    // A tab whose network and channel can be cut, as when it is frozen or closed.
    const Channel = globalThis.BroadcastChannel;
    let frozen = false;
    globalThis.BroadcastChannel = class extends Channel {
      set onmessage(handler) {
        super.onmessage = (event) => frozen || handler(event);
      }
      postMessage(message) {
        if (!frozen) super.postMessage(message);
      }
    };
    t.after(() => (globalThis.BroadcastChannel = Channel));
    const ice = open({ leaderSilenceMs: 300, fetch: (url, options) => (frozen ? new Promise(() => {}) : fetch(url, options)) });
    await ice.start();
    globalThis.BroadcastChannel = Channel;
    await eventually("the first to come leads", () => ice.leader);
    const tabs = [first, open({ leaderSilenceMs: 150 }), open()];
    const events = tabs.map((tab) => record(tab, "message"));
    for (const tab of tabs) await tab.start();
    await ben.send(chat.id, "m0");
    await eventually("all have it", () => tabs.every((tab) => tab.unread.total === 1));

    frozen = true;
    await ben.send(chat.id, "m1");
    await eventually("the impatient one has taken over", () => tabs[1].leader);
    await eventually("all have it", () => tabs.every((tab) => tab.unread.total === 2));
    frozen = false;
    await eventually("the frozen one knows", () => !ice.leader);
    await eventually("and has it too", () => ice.unread.total === 2);
    await ice.close();

    await tabs[1].close();
    await ben.send(chat.id, "m2");
    await eventually("another leads", () => leaders([tabs[0], tabs[2]]) === 1);
    await eventually("both have it", () => tabs[0].unread.total === 3 && tabs[2].unread.total === 3);
    assert.deepEqual(texts(events[0].message), ["m0", "m1", "m2"]);
    assert.deepEqual(texts(events[2].message), ["m0", "m1", "m2"]);
    await tabs[0].close();
    await tabs[2].close();
    await eventually("no wait is left", () => between.waits === 0);
    assert.deepEqual(locks.held, []);
  });

  it("send what a closed tab has left", async (t) => {
    const { between, open, first } = await browser(t);
    const ben = await person(t, server.url);
    const chat = await first.createDirect(ben.user.id);
    const second = open();
    await first.start();
    await second.start();
    between.onRequest = ({ method }) => (method === "POST" ? "refuse" : "pass");
    second.send(chat.id, "one");
    second.send(chat.id, "two");
    await eventually("an attempt", () => between.seen.some((one) => one.endsWith("/messages")));
    await eventually("the other knows", () => first.outbox.length === 2);
    await second.close();
    between.onRequest = () => "pass";
    await eventually("sent", () => first.outbox.length === 0);
    const { messages } = await ben.listMessages(chat.id);
    assert.deepEqual(messages.map(({ content }) => content.text), ["one", "two"]);
  });

  it("never race for a refresh, and log out together", async (t) => {
    const { between, open, first } = await browser(t);
    const tabs = [first, open(), open(), open()];
    for (const tab of tabs) await tab.start();
    await sleep(EXPIRED_MS);
    const before = refreshes(between);
    await Promise.all(tabs.flatMap((tab) => [tab.getMe(), tab.getUnread(), tab.getMe()]));
    assert.ok(refreshes(between) - before <= 1, `${refreshes(between) - before} refreshes`);
    assert.ok(refreshes(between) >= 1);
    for (const tab of tabs) await tab.getMe();
    const events = tabs.map((tab) => record(tab, "signed_out"));
    await tabs[2].logout();
    await eventually("all are out", () => events.every((one) => one.signed_out.length === 1));
    assert.ok(tabs.every((tab) => tab.user === null && tab.connection === "stopped"));
    assert.equal(await first.restore(), null);
  });

  it("are not held up by another tab's failing handler", async (t) => {
    const { open, first } = await browser(t);
    const ben = await person(t, server.url);
    const second = open();
    const events = record(second, "message", "resync");
    await first.start();
    await second.start();
    const chat = await ben.createDirect(first.user.id);
    let failures = 0;
    first.on("message", () => {
      if (failures++ < 3) throw new Error("not here");
    });
    await ben.send(chat.id, "m0");
    await eventually("the other has it", () => events.message.length === 1);
    await eventually("this one too", () => first.unread.total === 1);
    assert.equal(failures, 4);
    assert.deepEqual(events.resync.map(({ reason }) => reason), ["start"]);
  });
});

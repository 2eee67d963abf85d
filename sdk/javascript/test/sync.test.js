// Sync: nothing is lost, duplicated or reordered when the server, the network or the application fails.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryStorage } from "../src/tideline.js";
import { again, client, eventually, person, proxy, record, texts } from "./support/people.js";
import { serve } from "./support/server.js";

const names = (count, from = 0) => [...Array(count)].map((_, n) => `m${from + n}`);

describe("sync", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });
  const pair = async (t, options = {}) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url, options)];
    return { ann, ben, chat: await ann.createDirect(ben.user.id) };
  };
  const sendAll = (tideline, chat, all) => Promise.all(all.map((text) => tideline.send(chat.id, text)));

  it("loses and doubles nothing when the server is killed in mid-chat", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const events = record(ben, "message", "connection", "resync");
    await ben.start();
    const sending = sendAll(ann, chat, names(40));
    await eventually("some came", () => events.message.length > 3);
    await server.kill();
    await eventually("noticed", () => ben.connection === "offline");
    const more = sendAll(ann, chat, names(10, 40));
    await server.start();
    const stored = [...(await sending), ...(await more)];
    assert.deepEqual(stored.map(({ seq }) => seq), [...Array(50)].map((_, n) => n + 1));
    await eventually("all came", () => events.message.length >= 50 && ben.connection === "online");
    assert.deepEqual(texts(events.message), names(50));
    assert.deepEqual(events.resync.map(({ reason }) => reason), ["start"]);
    const offline = events.connection.find(({ state }) => state === "offline");
    assert.ok(offline.error.code === "network" && offline.retryInMs >= 0);
    assert.equal(ben.unread.total, 50);
  });

  it("waits again when a node goes away, and shows no error", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const events = record(ben, "message", "connection");
    await ben.start();
    await eventually("leads", () => ben.leader);
    const stopping = server.stop();
    const first = ann.send(chat.id, "m0");
    await stopping;
    const reconnected = events.connection.filter(({ error }) => error && error.code !== "network");
    assert.deepEqual(reconnected, []);
    await server.start();
    await first;
    await ann.send(chat.id, "m1");
    await eventually("came", () => events.message.length >= 2);
    assert.deepEqual(texts(events.message), ["m0", "m1"]);
  });

  it("does what `reconnect` asks for", async (t) => {
    const { ben } = await pair(t);
    const waits = [];
    const fetch = async (url, options) => {
      if (!url.includes("/v1/notices")) return globalThis.fetch(url, options);
      waits.push(Date.now());
      const response = { news: false, last_seq: 0, total_unread: 0, epoch: "", watched: [], superseded: false };
      if (waits.length < 3) return Response.json({ ...response, reconnect: true, retry_after_ms: 150 });
      return globalThis.fetch(url, options);
    };
    const phone = await again(t, ben, server.url, { fetch });
    await phone.start();
    await eventually("three waits", () => waits.length === 3);
    assert.ok(waits[1] - waits[0] >= 145 && waits[2] - waits[1] >= 145, `${waits}`);
    assert.equal(phone.connection, "online");
  });

  it("starts over when its inbox was trimmed, with a backfill of what it missed", async (t) => {
    const storage = memoryStorage();
    const { ann, ben, chat } = await pair(t, { storage, resume: true, backfill: true });
    const events = record(ben, "message");
    await ben.start();
    await sendAll(ann, chat, names(3));
    await eventually("three came", () => events.message.length === 3);
    await eventually("remembered", async () => JSON.parse((await storage.get((await storage.keys("")).find((key) => key.endsWith(":position")))) ?? "{}").since === ben.position.since);
    await ben.close();

    await sendAll(ann, chat, names(4, 3));
    await server.expireInbox();
    const later = client(t, server.url, { storage, resume: true, backfill: true });
    const eventsOfLater = record(later, "message", "resync");
    await later.start();
    await eventually("the rest came", () => eventsOfLater.message.length >= 4);
    await ann.send(chat.id, "m7");
    await eventually("and on", () => eventsOfLater.message.length >= 5);
    assert.deepEqual(texts([...events.message, ...eventsOfLater.message]), names(8));
    assert.deepEqual(eventsOfLater.resync.map(({ reason }) => reason), ["inbox_trimmed"]);
    assert.equal(later.unread.total, 8);
  });

  it("continues where it was, without listing, when nothing was trimmed", async (t) => {
    const storage = memoryStorage();
    const { ann, ben, chat } = await pair(t, { storage, resume: true });
    await ben.start();
    await ann.send(chat.id, "m0");
    await eventually("came", () => ben.unread.total === 1);
    await ben.close();
    await ann.send(chat.id, "m1");
    const later = client(t, server.url, { storage, resume: true });
    const events = record(later, "message", "resync", "unread");
    await later.start();
    assert.equal(later.unread.total, 2);
    await eventually("came", () => events.message.length === 1);
    await sleep(50);
    assert.deepEqual([texts(events.message), events.resync, later.unread.total], [["m1"], [], 2]);
  });

  it("starts over in a new epoch, and forgets the seqs of before", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, server.url);
    const ben = await person(t, between.url, { backfill: true });
    const chat = await ann.createDirect(ben.user.id);
    const events = record(ben, "message", "resync");
    await ben.start();
    const before = ben.position;
    await sendAll(ann, chat, names(3));
    await eventually("three came", () => events.message.length === 3);
    // As after a restore from a backup: no device reaches a node before the new epoch has begun.
    between.onRequest = () => "refuse";
    await server.admin("new-epoch");
    await server.stop();
    await server.start();
    between.onRequest = () => "pass";
    await eventually("started over", () => events.resync.length === 2 && ben.connection === "online");
    assert.deepEqual(events.resync.map(({ reason }) => reason), ["start", "epoch_changed"]);
    assert.notEqual(events.resync[1].epoch, before.epoch);
    await ann.send(chat.id, "m3");
    await eventually("and on", () => events.message.length >= 7);
    assert.deepEqual(texts(events.message), [...names(3), ...names(4)]);
    assert.deepEqual(ben.position, { since: events.message.at(-1).seq, epoch: events.resync[1].epoch });
  });

  it("starts over when its position is ahead of the server's", async (t) => {
    const storage = memoryStorage();
    const { ben } = await pair(t, { storage, resume: true });
    await ben.start();
    await eventually("remembered", async () => (await storage.keys("")).some((key) => key.endsWith(":position")));
    await ben.close();
    const key = (await storage.keys("")).find((one) => one.endsWith(":position"));
    await storage.set(key, JSON.stringify({ ...JSON.parse(await storage.get(key)), since: 1_000 }));
    const later = client(t, server.url, { storage, resume: true });
    const events = record(later, "resync");
    await later.start();
    await eventually("started over", () => events.resync.length === 1);
    assert.deepEqual(events.resync.map(({ reason }) => reason), ["cursor_ahead"]);
  });

  it("stops waiting when superseded, until `start`", async (t) => {
    const storage = memoryStorage();
    const { ann, ben, chat } = await pair(t, { storage });
    const between = await proxy(t, server.url);
    await ben.start();
    const twin = client(t, between.url, { storage, name: new URL(server.url).href.replace(/\/$/, "") });
    await twin.start();
    await eventually("superseded", () => ben.connection === "superseded");
    await ann.send(chat.id, "m0");
    await eventually("the twin has it", () => twin.unread.total === 1);
    await sleep(200);
    assert.deepEqual([ben.unread.total, ben.connection], [0, "superseded"]);
    await ben.start();
    await eventually("caught up", () => ben.unread.total === 1 && ben.connection === "online");
    await eventually("now the twin is", () => twin.connection === "superseded");
  });

  it("hands an entry over again when the handler fails", async (t) => {
    const errors = [];
    const { ann, ben, chat } = await pair(t, { onError: (error) => errors.push(error) });
    const taken = [];
    let failures = 0;
    ben.on("message", async ({ message }) => {
      await sleep(1);
      const { text } = message.content;
      if (text === "m2" && failures++ < 3) throw new Error("the disk is full");
      taken.push(text);
    });
    await ben.start();
    const { since } = ben.position;
    await sendAll(ann, chat, names(5));
    await eventually("failing", () => failures > 0);
    assert.equal(ben.position.since, since + 2);
    await eventually("all taken", () => taken.length >= 5);
    assert.deepEqual(taken, names(5));
    assert.equal(ben.connection, "online");
    assert.deepEqual(errors.map(({ code, cause }) => [code, cause.message]), Array(3).fill(["handler_failed", "the disk is full"]));
  });

  it("is back soon when the network is", async (t) => {
    const network = new EventTarget();
    const between = await proxy(t, server.url);
    const { ann, ben, chat } = await pair(t);
    const phone = await again(t, ben, between.url, { network, backoff: { base: 30_000, cap: 60_000 } });
    const events = record(phone, "message");
    await phone.start();
    await eventually("waits", () => between.waits === 1);
    between.onRequest = () => "refuse";
    network.dispatchEvent(new Event("offline"));
    await eventually("offline", () => phone.connection === "offline");
    const mine = phone.send(chat.id, "from the tunnel");
    await sleep(100);
    await ann.send(chat.id, "hello?");
    between.onRequest = () => "pass";
    const started = Date.now();
    network.dispatchEvent(new Event("online"));
    await mine;
    await eventually("came", () => events.message.length === 2);
    assert.ok(Date.now() - started < 5_000, "without waiting for the pause to end");
  });

  it("ends with the signal of its start, and can begin again", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const controller = new AbortController();
    await ben.start({ signal: controller.signal });
    controller.abort();
    assert.deepEqual([ben.connection, ben.position], ["stopped", null]);
    await ann.send(chat.id, "m0");
    assert.equal((await ben.send(chat.id, "m1")).seq, 2);
    await assert.rejects(ben.start({ signal: controller.signal }), { name: "AbortError" });
    await assert.rejects(ben.send(chat.id, "not this", { signal: controller.signal }), { name: "AbortError" });
    const events = record(ben, "message");
    await ben.start();
    await ann.send(chat.id, "m2");
    await eventually("came", () => events.message.length === 1);
    assert.deepEqual([texts(events.message), ben.outbox], [["m2"], []]);
  });

  it("is logged out when the device is removed", async (t) => {
    const { ben } = await pair(t);
    const phone = await again(t, ben, server.url);
    const events = record(phone, "signed_out");
    await phone.start();
    await ben.removeDevice(phone.deviceId);
    await eventually("logged out", () => events.signed_out.length === 1);
    assert.deepEqual([events.signed_out[0].reason, phone.user, phone.connection], ["device_revoked", null, "stopped"]);
    await assert.rejects(phone.start(), { code: "unauthenticated" });
  });

  it("ends everything at close", async (t) => {
    const between = await proxy(t, server.url);
    const { ben } = await pair(t);
    const phone = await again(t, ben, between.url);
    phone.on("resync", () => {});
    await phone.start();
    await eventually("waits", () => between.waits === 1);
    const started = Date.now();
    await phone.close();
    assert.ok(Date.now() - started < 200);
    await eventually("the wait is gone", () => between.waits === 0);
    assert.equal(phone.connection, "stopped");
    await assert.rejects(phone.getMe(), { code: "closed" });
    await assert.rejects(phone.start(), { code: "closed" });
    await phone.close();
  });
});

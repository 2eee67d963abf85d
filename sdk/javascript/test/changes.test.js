// Messages that change: every device converges to the server's state, whatever it has missed.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { memoryStorage, newerState, uuidv7 } from "../src/tideline.js";
import { again, client, eventually, password, person, proxy, record } from "./support/people.js";
import { account, FakeServer, open, problem } from "./support/fake.js";
import { FakeLocks } from "./support/locks.js";
import { serve } from "./support/server.js";

const KINDS = ["message", "edit", "recall", "change"];
const text = (words) => ({ content: { text: words } });
const edited = (tideline, chat, seq, words, version = 1) => tideline.edit(chat.id, seq, { version, ...text(words) });

/** An application that keeps all messages of a conversation by the one rule. */
function cache(tideline, chat) {
  const kept = new Map();
  const keep = (message) => kept.set(message.seq, newerState(kept.get(message.seq), message));
  for (const name of KINDS) tideline.on(name, ({ message }) => message.conversation_id === chat.id && void keep(message));
  tideline.on("invalidate", ({ conversation_id }) => conversation_id === chat.id && kept.clear());
  return { keep, get: (seq) => kept.get(seq), messages: () => [...kept.values()].sort((a, b) => a.seq - b.seq) };
}

async function all(tideline, chat) {
  const messages = [];
  for await (const message of tideline.history(chat.id, { since_seq: 0, limit: 500 })) messages.push(message);
  return messages;
}

const converges = (tideline, chat, { messages }) =>
  eventually("the copy is the server's", async () => JSON.stringify(messages()) === JSON.stringify(await all(tideline, chat)));

describe("messages that change", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { TIDELINE_FANOUT_LIMIT: "3" })));
  after(async () => {
    for (const end of ends) await end();
  });
  const people = (t, count) => Promise.all([...Array(count)].map(() => person(t, server.url)));
  const group = (owner, ...members) => owner.createGroup({ title: "Crew", member_ids: members.map(({ user }) => user.id) });
  /** The stored position, and the seqs and numbers beside it. */
  const stored = async (storage) => JSON.parse((await storage.get((await storage.keys("")).find((key) => key.endsWith(":position")))) ?? null);

  /** Many messages in few requests. */
  async function sendMany(tideline, chat, count) {
    const post = (path, body, token) =>
      fetch(`${server.url}/v1${path}`, { method: "POST", headers: { "Content-Type": "application/json", Authorization: token }, body: JSON.stringify(body) }).then((response) => response.json());
    const { access_token } = await post("/auth/login", { username: tideline.user.username, password });
    for (let sent = 0; sent < count; sent += 100) {
      const messages = [...Array(Math.min(100, count - sent))].map((_, n) => ({ client_msg_id: uuidv7(), kind: "text", ...text(`m${sent + n}`) }));
      await post(`/conversations/${chat.id}/messages/batch`, { messages }, `Bearer ${access_token}`);
    }
  }

  it("keep the state with the higher number", () => {
    const [sent, first, second] = [{ seq: 1 }, { seq: 1, change_seq: 4 }, { seq: 1, change_seq: 9 }];
    assert.deepEqual([newerState(sent, second), newerState(second, sent), newerState(first, second), newerState(second, first)], [second, second, second, second]);
    assert.deepEqual([newerState(undefined, sent), newerState(null, first), newerState(first, undefined)], [sent, first, first]);
    const same = { ...first };
    assert.equal(newerState(first, same), first);
  });

  it("are edited by version, and a conflict has the present message", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, between.url);
    const ben = await person(t, server.url);
    const chat = await ann.createDirect(ben.user.id);
    const events = record(ben, "edit", "entries");
    await ben.start();
    const sent = await ann.send(chat.id, "helo");
    let lost = 0;
    between.onRequest = ({ method }) => (method === "PATCH" && lost++ === 0 ? "lose" : "pass");
    const now = await edited(ann, chat, 1, "hello");
    assert.deepEqual([now.content, now.version, now.change_seq, lost], [{ text: "hello" }, 2, 1, 2]);
    await eventually("came", () => events.edit.length === 1);
    assert.deepEqual([events.edit[0].message, events.edit[0].unread, events.entries.at(-1).entries.at(-1)], [now, 1, events.edit[0]]);
    await assert.rejects(edited(ann, chat, 1, "hi"), (error) => {
      assert.deepEqual([error.code, error.status, error.current, error.transient], ["version_conflict", 409, now, false]);
      return true;
    });
    // The second version within a second: the server asks for a pause, and the call is repeated.
    assert.equal((await edited(ann, chat, 1, "hello!", 2)).version, 3);
    const versions = await ben.versions(chat.id, 1);
    assert.deepEqual(versions.map(({ version, content }) => [version, content.text]), [[1, "helo"], [2, "hello"], [3, "hello!"]]);
    assert.equal(versions[0].at, sent.created_at);
    const error = await edited(ben, chat, 1, "mine").catch((error) => error);
    assert.deepEqual([error.code, error.current.version], ["version_conflict", 3]);
    await assert.rejects(edited(ben, chat, 1, "mine", 3), { code: "forbidden", current: null });
    await assert.rejects(ann.edit(chat.id, "1/x", { version: 1, ...text("x") }), { code: "validation", status: 0 });
  });

  it("are recalled, and no count points at them", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, between.url);
    const ben = await person(t, server.url);
    const chat = await ann.createDirect(ben.user.id);
    const events = record(ben, "recall", "read", "message");
    await ben.start();
    await ann.send(chat.id, "too early");
    await eventually("came", () => ben.unread.total === 1);
    let lost = 0;
    between.onRequest = ({ method }) => (method === "DELETE" && lost++ === 0 ? "lose" : "pass");
    const stub = await ann.recall(chat.id, 1);
    assert.deepEqual([stub.kind, stub.content, stub.recalled.by, lost], ["recalled", {}, ann.user.id, 2]);
    await eventually("came", () => events.recall.length === 1);
    assert.deepEqual([events.recall[0].message, events.recall[0].unread, events.read[0].read_seq], [stub, 0, 1]);
    assert.deepEqual([ben.unread.total, (await ben.getUnread()).total], [0, 0]);
    assert.deepEqual(await ann.recall(chat.id, 1), stub);
    for (const call of [() => edited(ann, chat, 1, "x"), () => ben.versions(chat.id, 1)]) await assert.rejects(call, { code: "message_gone", status: 409 });
    await ann.send(chat.id, "later");
    await assert.rejects(ben.recall(chat.id, 2), { code: "forbidden" });
  });

  it("of large conversations are read when the watched number has moved", async (t) => {
    const waits = [];
    const reads = [];
    const listening = (url, options) => {
      if (url.includes("/v1/notices")) waits.push(...new URL(url).searchParams.getAll("watch"));
      if (url.includes("changed_since")) reads.push(new URL(url).searchParams);
      return fetch(url, options);
    };
    const [ann, cem, dan] = await people(t, 3);
    const ben = await person(t, server.url, { fetch: listening });
    const chat = await group(ann, ben, cem, dan);
    await sendMany(ann, chat, 3);
    const copy = cache(ben, chat);
    await edited(ann, chat, 1, "before the start");
    await ben.start();
    (await all(ben, chat)).forEach(copy.keep);
    const events = record(ben, "change", "entries", "unread");
    await eventually("watches with the number", () => waits.includes(`${chat.id}:3:1`));
    await edited(ann, chat, 2, "new");
    await eventually("came", () => events.change.length === 1);
    const { message, ...entry } = events.change[0];
    assert.deepEqual([message.content.text, message.version], ["new", 2]);
    assert.deepEqual(entry, { seq: null, kind: "change", conversation_id: chat.id, at: message.edited_at, unread: 3 });
    assert.deepEqual(events.entries.at(-1).entries, events.change);
    const position = { changed_since: "1", epoch: ben.position.epoch, limit: "500" };
    assert.deepEqual([reads.length, Object.fromEntries(reads[0])], [1, position]);
    // A message and its changes together: the message comes once, as it is.
    await ann.send(chat.id, "m4");
    await Promise.all([edited(ann, chat, 4, "four"), ann.recall(chat.id, 1)]);
    await converges(ben, chat, copy);
    assert.equal(copy.get(1).kind, "recalled");
    assert.deepEqual(events.change.filter(({ message }) => message.seq === 1).at(-1).at, copy.get(1).recalled.at);
    await eventually("watches on", () => waits.includes(`${chat.id}:4:4`));
    assert.ok(reads.length <= 4, `${reads.length} reads`);
    assert.equal(ben.unread.total, (await ben.getUnread()).total);
  });

  it("come while a group becomes large", async (t) => {
    const [ann, ben, cem, dan] = await people(t, 4);
    const chat = await group(ann, ben, cem);
    const copy = cache(ben, chat);
    await ben.start();
    for (let n = 1; n <= 30; n++) {
      await ann.send(chat.id, `m${n}`);
      if (n % 2) await edited(ann, chat, n, `new ${n}`);
      if (n % 5 === 0) await ann.recall(chat.id, n - 2);
      if (n === 15) await ann.addMembers(chat.id, [dan.user.id]);
    }
    await converges(ben, chat, copy);
  });

  it("come after a device was offline while a group became large", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const options = { storage: memoryStorage(), resume: true };
    const ben = await person(t, server.url, options);
    const chat = await group(ann, ben, cem);
    const before = cache(ben, chat);
    await ben.start();
    for (const words of ["m1", "m2"]) await ann.send(chat.id, words);
    await converges(ben, chat, before);
    await ben.close();
    // The entry of the first edit has the number of the last one. The edit in between has no entry.
    await edited(ann, chat, 1, "small");
    await ann.addMembers(chat.id, [dan.user.id]);
    await edited(ann, chat, 2, "large");
    await edited(ann, chat, 1, "large too", 2);
    const later = client(t, server.url, options);
    const copy = cache(later, chat);
    before.messages().forEach(copy.keep);
    await later.start();
    await converges(later, chat, copy);
  });

  it("converge on a device whose inbox was trimmed meanwhile", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const storage = memoryStorage();
    const options = { storage, resume: true };
    const ben = await person(t, server.url, options);
    const small = await ann.createDirect(ben.user.id);
    const large = await group(ann, ben, cem, dan);
    const chats = [small, large];
    for (const chat of chats) await sendMany(ann, chat, 5);
    await ben.start();
    const copies = chats.map((chat) => cache(ben, chat));
    for (const [n, chat] of chats.entries()) (await all(ben, chat)).forEach(copies[n].keep);
    for (const chat of chats) await edited(ann, chat, 1, "seen");
    for (const [n, chat] of chats.entries()) await converges(ben, chat, copies[n]);
    // The numbers are stored with the next entry.
    await ann.send(small.id, "m6");
    await converges(ben, small, copies[0]);
    const number = async ({ id }) => (await stored(storage)).seqs.changes[id];
    await eventually("stored", async () => (await number(small)) === 1 && (await number(large)) === 1);
    await ben.close();

    for (const chat of chats) {
      await edited(ann, chat, 2, "missed");
      await edited(ann, chat, 3, "missed too");
      await ann.recall(chat.id, 3);
      await ann.recall(chat.id, 4);
    }
    await server.expireInbox();
    const later = client(t, server.url, options);
    const events = record(later, "resync", "change", "invalidate");
    for (const [n, chat] of chats.entries()) {
      const copy = cache(later, chat);
      copies[n].messages().forEach(copy.keep);
      copies[n] = copy;
    }
    await later.start();
    for (const [n, chat] of chats.entries()) await converges(later, chat, copies[n]);
    assert.deepEqual([events.resync.map(({ reason }) => reason), events.invalidate], [["inbox_trimmed"], []]);
    const seqs = (chat) => events.change.filter(({ conversation_id }) => conversation_id === chat.id).map(({ message }) => message.seq);
    for (const chat of chats) assert.deepEqual(seqs(chat), [2, 3, 4], "each once");
    await later.close();

    // Nothing has changed since: nothing is read again.
    await ann.send((await ann.createDirect(cem.user.id)).id, "elsewhere");
    await ann.send(small.id, "m7");
    await server.expireInbox();
    const third = client(t, server.url, options);
    const eventsOfThird = record(third, "resync", "change");
    await third.start();
    await eventually("started over", () => third.position.since === eventsOfThird.resync[0]?.inbox_seq);
    assert.deepEqual(eventsOfThird.change, []);
  });

  it("that are too many for a copy make it invalid, and an archive gets all", async (t) => {
    const ann = await person(t, server.url);
    const devices = [{}, { backfill: true }].map((options) => ({ ...options, resume: true, storage: memoryStorage() }));
    const ben = await person(t, server.url, devices[0]);
    const chat = await ann.createDirect(ben.user.id);
    await sendMany(ann, chat, 1_001);
    const archive = await again(t, ben, server.url, devices[1]);
    const copy = cache(archive, chat);
    for (const device of [ben, archive]) {
      await device.start();
      await eventually("stored", () => stored(devices[device === ben ? 0 : 1].storage));
      await device.close();
    }
    assert.equal(copy.messages().length, 1_001);
    for (let seq = 1; seq <= 1_001; seq += 13) await Promise.all([...Array(13)].map((_, n) => ann.recall(chat.id, seq + n)));
    await server.expireInbox();
    const [plain, whole] = devices.map((options) => client(t, server.url, options));
    const events = [plain, whole].map((device) => record(device, "invalidate", "change"));
    for (const device of [plain, whole]) await device.start();
    await eventually("all came", () => events[0].invalidate.length === 1 && events[1].change.length >= 1_001);
    assert.deepEqual([events[0].invalidate, events[0].change], [[{ conversation_id: chat.id, change_seq: 1_001 }], []]);
    assert.deepEqual([events[1].invalidate, events[1].change.length], [[], 1_001]);
    const { messages, change_seq, has_more } = await plain.changedSince(chat.id, 999, { limit: 1 });
    assert.deepEqual([messages.length, messages[0].change_seq, change_seq, has_more], [1, 1_000, 1_000, true]);
    await assert.rejects(plain.changedSince(chat.id, 0, { epoch: uuidv7() }), { code: "epoch_changed" });
    await assert.rejects(plain.changedSince(chat.id, 2_000), { code: "cursor_ahead" });
  });

  it("are not skipped when the inbox is trimmed between two of its pages", async (t) => {
    const fake = new FakeServer();
    const id = uuidv7();
    const conversation = { id, fanout: "write", last_seq: 2, change_seq: 0, updated_at: "", me: { read_seq: 2, unread: 0, joined_seq: 0 } };
    fake.conversations = [conversation];
    const reads = [];
    const message = (seq, change_seq) => ({ conversation_id: id, seq, change_seq, kind: "recalled", content: {} });
    fake.intercept = ({ path, query }) => {
      const since = Number(query.get("since_seq"));
      if (path.endsWith("/messages")) {
        reads.push(query.get("changed_since"));
        return Response.json({ messages: [message(2, 2), message(1, 3)], change_seq: 3, last_seq: 2, has_more: false });
      }
      // The first message has changed twice, and the second in between. Only the first entry of the first message was fetched.
      if (path === "/v1/inbox" && since === 1) return problem(410, "inbox_trimmed");
      if (path === "/v1/inbox") return Response.json({ entries: [{ seq: 1, kind: "recall", conversation_id: id, unread: 0, message: message(1, 3) }], has_more: true });
    };
    const tideline = open(t, fake);
    await tideline.login(account("xenia"));
    const copy = cache(tideline, conversation);
    fake.entries = [1, 2, 3];
    tideline.on("resync", ({ reason }) => {
      fake.conversations = [{ ...conversation, change_seq: 3 }];
      if (reason === "inbox_trimmed") fake.entries = [];
    });
    await tideline.start();
    await eventually("both came", () => copy.messages().length === 2);
    assert.deepEqual(reads, ["0"]);
  });

  it("start over when a number is beyond the head", async (t) => {
    const [ann, cem, dan] = await people(t, 3);
    const storage = memoryStorage();
    const ben = await person(t, server.url, { storage, resume: true });
    const chat = await group(ann, ben, cem, dan);
    await ann.send(chat.id, "m1");
    await ben.start();
    const key = await eventually("stored", async () => (await storage.keys("")).find((one) => one.endsWith(":position")));
    await ben.close();
    const position = JSON.parse(await storage.get(key));
    position.seqs.changes[chat.id] = 1_000;
    await storage.set(key, JSON.stringify(position));
    const later = client(t, server.url, { storage, resume: true });
    const events = record(later, "change", "resync");
    await later.start();
    await eventually("started over", () => events.resync.length === 1);
    await edited(ann, chat, 1, "one");
    await eventually("came", () => events.change.length === 1);
    assert.deepEqual([events.resync[0].reason, events.resync.length], ["cursor_ahead", 1]);
  });

  it("are delivered again when a handler fails", async (t) => {
    const [ann, ben, cem, dan] = await people(t, 4);
    const chat = await group(ann, ben, cem, dan);
    await sendMany(ann, chat, 3);
    const taken = [];
    let failures = 0;
    ben.on("change", ({ message }) => {
      if (message.seq === 2 && failures++ < 2) throw new Error("the disk is full");
      taken.push(message.seq);
    });
    await ben.start();
    await eventually("leads", () => ben.leader);
    await Promise.all([1, 2, 3].map((seq) => ann.recall(chat.id, seq)));
    await eventually("all taken", () => new Set(taken).size === 3);
    assert.ok(failures >= 3);
  });

  it("are read once for all tabs", async (t) => {
    const between = await proxy(t, server.url);
    const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true };
    const tabs = [client(t, between.url, shared), client(t, between.url, shared)];
    const [ann, cem, dan] = await people(t, 3);
    await tabs[0].register({ username: `c${process.pid}-${Date.now().toString(36)}`, password });
    const chat = await group(ann, tabs[0], cem, dan);
    await sendMany(ann, chat, 3);
    const events = tabs.map((tab) => record(tab, "change"));
    let reads = 0;
    between.onRequest = ({ url }) => (url.includes("changed_since") && reads++, "pass");
    for (const tab of tabs) await tab.start();
    await eventually("one leads and waits", () => tabs.some(({ leader }) => leader) && between.waits === 1);
    for (const seq of [1, 2, 3]) {
      await ann.recall(chat.id, seq);
      await eventually("both have it", () => events.every(({ change }) => change.at(-1)?.message.seq === seq));
    }
    assert.deepEqual(events.map(({ change }) => change.length), [3, 3]);
    assert.equal(reads, 3);
  });

  it("do not exist on an older server, where the rest works", async (t) => {
    // A server of before: it knows no numbers, and refuses parameters that it does not know.
    let isOld = true;
    const waits = [];
    const refusal = () => Response.json({ code: "validation", detail: "unknown" }, { status: 400 });
    const old = async (url, options) => {
      const watch = new URL(url).searchParams.getAll("watch");
      if (watch.length > 0) waits.push(watch[0]);
      if (isOld && (url.includes("changed_since") || watch.some((one) => one.split(":").length > 2))) return refusal();
      const response = await fetch(url, options);
      if (!isOld || !response.ok || response.status === 204) return response;
      const strip = (key, value) => (key === "change_seq" ? undefined : value);
      return new Response(JSON.stringify(JSON.parse(await response.text(), strip)), { status: response.status });
    };
    const [ann, cem, dan] = await people(t, 3);
    const options = { fetch: old, storage: memoryStorage(), resume: true, onError: (error) => assert.fail(error) };
    const ben = await person(t, server.url, options);
    const chat = await group(ann, ben, cem, dan);
    const events = record(ben, "message", "change");
    await ben.start();
    await sendMany(ann, chat, 2);
    await eventually("came", () => events.message.length === 2);
    assert.ok(waits.length > 0 && waits.every((one) => one.split(":").length === 2), `${waits}`);
    // Its nodes are updated one after the other: the next news says that there are numbers.
    isOld = false;
    await ann.send(chat.id, "m2");
    await eventually("came", () => events.message.length === 3);
    await edited(ann, chat, 1, "new");
    await eventually("came", () => events.change.length === 1);
    // And back.
    isOld = true;
    await ann.send(chat.id, "m3");
    await eventually("came", () => events.message.length === 4);
    await ben.close();
    const later = client(t, server.url, options);
    const eventsOfLater = record(later, "message", "resync");
    await later.start();
    await ann.send(chat.id, "m4");
    await eventually("came", () => eventsOfLater.message.length === 1);
    assert.deepEqual([eventsOfLater.resync, eventsOfLater.message[0].message.seq], [[], 5]);
  });
});

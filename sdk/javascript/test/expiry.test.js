// Messages that expire: no entry says so, and the SDK turns them into stubs at their time.

import assert from "node:assert/strict";
import { it, mock } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { memoryStorage, newerState, uuidv7 } from "../src/tideline.js";
import { eventually, person, record } from "./support/people.js";
import { account, FakeServer, open } from "./support/fake.js";
import { serve } from "./support/server.js";

const chat = uuidv7();
const START = Date.parse("2030-01-01T00:00:00.000Z");
const at = (ms) => new Date(START + ms).toISOString();
const message = (seq, ends, more = {}) => ({
  id: uuidv7(), conversation_id: chat, seq, sender_id: chat, client_msg_id: uuidv7(), kind: "text", content: { text: `m${seq}` }, created_at: at(0),
  ...(ends !== null && { expires_at: at(ends) }), ...more,
});

/** A client whose clock stands still, and pages of messages for it. */
async function clocked(t, options = {}) {
  const server = new FakeServer();
  let page = [];
  const headers = {};
  server.intercept = ({ method, path }) => (method === "GET" && path.endsWith("/messages") ? new Response(JSON.stringify({ messages: page, last_seq: 9, has_more: false }), { headers }) : undefined);
  const tideline = open(t, server, options);
  await tideline.login(account("xenia"));
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: START });
  t.after(() => mock.timers.reset());
  const waits = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (work, ms) => (waits.push(ms), setTimeout(work, ms));
  const show = async (...messages) => {
    page = messages;
    return (await tideline.listMessages(chat)).messages;
  };
  const pass = async (ms) => {
    mock.timers.tick(ms);
    for (let n = 0; n < 20; n++) await turn();
  };
  return { tideline, show, pass, headers, waits };
}

it("expired wins over content, and recalled and hidden over expired", () => {
  const content = { seq: 1, kind: "text", change_seq: 7 };
  const [expired, recalled, hidden] = [{ seq: 1, kind: "expired", change_seq: 2 }, { seq: 1, kind: "recalled", change_seq: 1 }, { seq: 1, kind: "hidden" }];
  for (const [one, other] of [[content, expired], [expired, recalled], [recalled, hidden], [content, hidden]]) assert.deepEqual([newerState(one, other), newerState(other, one)], [other, other]);
  assert.deepEqual([newerState(undefined, expired), newerState(expired, null)], [expired, expired]);
});

it("each message becomes a stub at its time, by one timer, and none without need", async (t) => {
  const { tideline, show, pass, waits } = await clocked(t);
  const events = record(tideline, "change", "entries");
  const long = () => waits.filter((ms) => ms !== 30_000);
  await show(message(1, null), message(2, null));
  assert.deepEqual(long(), []);
  const [, second] = await show(message(1, 40_000), message(2, 20_000, { change_seq: 3 }), message(3, 20_000), message(4, null), ...Array.from({ length: 100 }, (_, n) => message(n + 10, 50_000)));
  assert.deepEqual(long(), [40_000, 20_000]);
  await pass(19_999);
  assert.deepEqual(events.change, []);
  await pass(1);
  assert.deepEqual(events.change.map(({ message }) => message.seq), [2, 3]);
  const { id, sender_id, client_msg_id } = second;
  const stub = { id, conversation_id: chat, seq: 2, sender_id, client_msg_id, created_at: at(0), kind: "expired", content: {}, change_seq: 3, expires_at: at(20_000) };
  assert.deepEqual(events.change[0], { seq: null, kind: "change", conversation_id: chat, at: at(20_000), unread: 0, message: stub });
  assert.equal(newerState(second, events.change[0].message), events.change[0].message);
  await pass(20_000);
  assert.deepEqual(events.change.map(({ message }) => message.seq), [2, 3, 1]);
  await pass(60_000);
  assert.equal(events.change.length, 103);
  const before = long().length;
  await pass(3_600_000);
  assert.equal(long().length, before, "no timer is left");
});

it("a message that is recalled before, or read after its time, has no second end", async (t) => {
  const { tideline, show, pass } = await clocked(t);
  const events = record(tideline, "change");
  await show(message(1, 20_000), message(2, 20_000));
  await show(message(1, 20_000, { kind: "recalled", content: {}, change_seq: 1 }));
  await pass(20_000);
  assert.deepEqual(events.change.map(({ message }) => message.seq), [2]);
  // A page from before the end arrives late.
  await show(message(2, 20_000));
  await pass(1);
  assert.deepEqual(events.change.map(({ message }) => message.seq), [2, 2]);
});

it("the time is the server's, where it differs from the device's", async (t) => {
  const { tideline, show, pass, headers } = await clocked(t);
  const events = record(tideline, "change");
  headers.Date = new Date(START + 600_000).toUTCString();
  await show(message(1, 660_000));
  await pass(59_000);
  assert.equal(events.change.length, 0);
  await pass(1_000);
  assert.equal(events.change.length, 1);
  // Within the precision of the header, the device's clock counts.
  headers.Date = new Date(START + 61_000).toUTCString();
  await show(message(2, 120_000));
  await pass(59_999);
  assert.equal(events.change.length, 1);
  await pass(1);
  assert.equal(events.change.length, 2);
});

it("a handler that fails gets the stub again, and a logout ends all", async (t) => {
  const { tideline, show, pass } = await clocked(t);
  const [seen, errors] = [[], []];
  tideline.on("error", (error) => errors.push(error.code));
  tideline.on("change", ({ message }) => {
    seen.push(message.seq);
    if (seen.length === 1) throw new Error("not yet");
  });
  await show(message(1, 20_000), message(2, 30_000));
  await pass(20_000);
  assert.deepEqual([seen, errors], [[1], ["handler_failed"]]);
  await pass(100);
  assert.deepEqual(seen, [1, 1]);
  await tideline.logout();
  await pass(60_000);
  assert.deepEqual(seen, [1, 1]);
});

it("the copy of a device agrees with the server", async (t) => {
  const server = await serve(t, { TIDELINE_FANOUT_LIMIT: "2" });
  const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url, { storage: memoryStorage() }), await person(t, server.url)];
  const small = await ann.createDirect(ben.user.id);
  const large = await ann.createGroup({ title: "Large", member_ids: [ben.user.id, cem.user.id] });
  const kept = new Map();
  const keep = ({ message }) => void kept.set(message.id, newerState(kept.get(message.id), message));
  for (const name of ["message", "edit", "recall", "change"]) ben.on(name, keep);
  await ann.send(small.id, "before the start", { expires_in: 10 });
  await ben.start();
  const events = record(ben, "change");
  for (const message of (await ben.listMessages(small.id)).messages) keep({ message });
  for (const chat of [small, large]) {
    await ann.send(chat.id, "stays");
    await ann.send(chat.id, "goes", { expires_in: 10 });
  }
  const edited = await ann.send(small.id, "edited", { expires_in: 10 });
  await ann.edit(small.id, edited.seq, { version: 1, content: { text: "edited!" } });
  await eventually("came", () => kept.size === 6 && kept.get(edited.id)?.version === 2);
  const all = async () => (await Promise.all([small, large].map(({ id }) => ben.listMessages(id)))).flatMap(({ messages }) => messages);
  const copy = () => [...kept.values()].sort((a, b) => (a.conversation_id === b.conversation_id ? a.seq - b.seq : a.conversation_id === small.id ? -1 : 1));
  assert.deepEqual(copy(), await all());
  const own = await ben.send(small.id, "of ben", { expires_in: 10 });
  await eventually("expired", () => events.change.filter(({ message }) => message.kind === "expired").length === 5, 15_000);
  const stubs = (messages) => messages.map(({ kind, content, change_seq }) => [kind, content, change_seq]);
  assert.deepEqual(stubs(copy()), stubs(await all()));
  assert.equal(kept.get(own.id).kind, "expired");
});

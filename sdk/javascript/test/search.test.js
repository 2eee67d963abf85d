// The search for messages: pages, filters and highlights, against a server; and a found message that expires.

import assert from "node:assert/strict";
import { it, mock } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { TidelineError, uuidv7 } from "../src/tideline.js";
import { person, record } from "./support/people.js";
import { account, FakeServer, open } from "./support/fake.js";
import { serve } from "./support/server.js";

const found = ({ results }) => results.map(({ message }) => message.content.text);
/** The parts of a text that its highlights name. */
const marked = ({ message, highlights }) => highlights.map(({ field, start, length }) => message.content[field].slice(start, start + length));

it("finds messages of a server", async (t) => {
  const server = await serve(t);
  const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
  assert.ok((await ann.getCapabilities()).features.includes("search"));
  const [first, second] = [await ben.createDirect(ann.user.id), await cem.createDirect(ann.user.id)];
  const link = { url: "https://tides.example/harbour.pdf", name: "harbour plan 海図.pdf", mime: "application/pdf", size: 9 };

  await t.test("page by page, the newest first, until it is complete", async () => {
    for (let n = 1; n <= 5; n++) await ben.send(first.id, `harbour ${n}`);
    const pages = [];
    let cursor;
    do {
      const page = await ann.searchMessages({ q: "harbour", limit: 2, cursor });
      assert.equal(page.complete, page.next_cursor === null);
      pages.push(found(page));
      cursor = page.next_cursor;
    } while (cursor);
    assert.deepEqual(pages.flat(), ["harbour 5", "harbour 4", "harbour 3", "harbour 2", "harbour 1"]);
    assert.deepEqual(pages[0], ["harbour 5", "harbour 4"]);
  });

  await t.test("in several conversations, of several kinds, of a person, and between two times", async () => {
    await cem.send(second.id, "harbour, says Cem");
    await cem.send(second.id, { kind: "file", content: link });
    await ann.send(second.id, "harbour, says Ann: https://tides.example/");
    const both = { q: "harbour", conversation_id: [first.id, second.id], kind: ["text", "file"] };
    assert.equal((await ann.searchMessages(both)).results.length, 8);
    const count = async (search) => (await ann.searchMessages({ q: "harbour", ...search })).results.length;
    assert.equal(await count({ conversation_id: first.id }), 5);
    assert.equal(await count({ conversation_id: [second.id], kind: "file" }), 1);
    assert.equal(await count({ kind: ["file", "image"] }), 1);
    assert.equal(await count({ sender_id: cem.user.id }), 2);
    assert.equal(await count({ has: "link" }), 1);
    assert.deepEqual(found(await ann.searchMessages({ sender_id: ann.user.id })), ["harbour, says Ann: https://tides.example/"]);
    const { results } = await ann.searchMessages({ q: "harbour", conversation_id: first.id });
    const [fourth, third] = [results[1].message, results[2].message].map(({ created_at }) => new Date(created_at));
    assert.deepEqual(found(await ann.searchMessages({ q: "harbour", conversation_id: first.id, from: third, to: fourth })), ["harbour 3"]);
    assert.deepEqual(found(await ann.searchMessages({ q: "harbour", conversation_id: first.id, from: third.toISOString(), to: fourth.toISOString() })), ["harbour 3"]);
  });

  await t.test("a date that is no time is refused like any other wrong argument", async () => {
    const never = new Date("never");
    await assert.rejects(ann.searchMessages({ q: "harbour", from: never }), { name: "TidelineError", code: "validation", status: 0 });
    await assert.rejects(ann.updateScheduled(uuidv7(), first.id, { kind: "text", content: { text: "x" }, send_at: never }), { code: "validation", status: 0 });
    await assert.rejects(ann.setStatus({ until: never }), { code: "validation", status: 0 });
    await assert.rejects(ann.mute(first.id, ben.user.id, never), { code: "validation", status: 0 });
  });

  await t.test("highlights are slices of JavaScript strings", async () => {
    for (const [text, q, ...parts] of [
      ["我家在上海东边。", "上海", "上海"],
      ["👩‍👩‍👧 去上海🌊，再回上海", "上海", "上海", "上海"],
      ["🗾カタカナで東京タワーへ", "東京タワー", "東京タワー"],
      ["A Café 🍰 in the city", "cafe", "Café"],
      ["🎉 “to the pier” they said", '"to the pier"', "to the pier"],
    ]) {
      const { seq } = await ben.send(first.id, text);
      const { results } = await ann.searchMessages({ q, conversation_id: first.id });
      const one = results.find(({ message }) => message.seq === seq);
      assert.ok(one, text);
      assert.deepEqual(marked(one), parts, text);
      await ben.recall(first.id, seq);
    }
    const file = await ann.searchMessages({ q: "海図" });
    assert.deepEqual(file.results.map(marked), [["海図"]]);
    assert.equal(file.results[0].highlights[0].field, "name");
  });

  await t.test("a recalled message is not found, and an edited one by its present text", async () => {
    const { seq } = await ben.send(first.id, "the lighthouse");
    assert.deepEqual(found(await ann.searchMessages({ q: "lighthouse" })), ["the lighthouse"]);
    await ben.edit(first.id, seq, { version: 1, content: { text: "the windmill" } });
    assert.deepEqual(found(await ann.searchMessages({ q: "lighthouse" })), []);
    const [edited] = (await ann.searchMessages({ q: "windmill" })).results;
    assert.equal(edited.message.version, 2);
    await ben.recall(first.id, seq);
    assert.deepEqual(await ann.searchMessages({ q: "windmill" }), { results: [], next_cursor: null, complete: true });
  });

  await t.test("a search that cannot be is refused", async () => {
    const refused = (search) => ann.searchMessages(search).then(() => assert.fail("it was done"), (error) => error);
    for (const [search, field] of [[{ q: "?!" }, "q"], [{}, "q"], [{ q: "a b c d e f g h i j k l" }, "q"], [{ q: "x", from: new Date(2), to: new Date(1) }, "to"], [{ q: "x", cursor: "abc" }, "cursor"]]) {
      const error = await refused(search);
      assert.ok(error instanceof TidelineError);
      assert.deepEqual([error.code, error.errors[0].pointer], ["validation", field]);
    }
    assert.equal((await refused({ q: "x", conversation_id: uuidv7() })).code, "not_found");
  });
});

it("a found message becomes a stub at its time", async (t) => {
  const server = new FakeServer();
  const start = Date.parse("2030-01-01T00:00:00.000Z");
  const at = (ms) => new Date(start + ms).toISOString();
  const message = { id: uuidv7(), conversation_id: uuidv7(), seq: 7, sender_id: uuidv7(), client_msg_id: uuidv7(), kind: "text", content: { text: "gone soon" }, created_at: at(0), expires_at: at(20_000) };
  server.intercept = ({ path }) => (path === "/v1/search/messages" ? new Response(JSON.stringify({ results: [{ message, highlights: [] }], next_cursor: null, complete: true })) : undefined);
  const tideline = open(t, server);
  await tideline.login(account("ann"));
  const { change } = record(tideline, "change");
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: start });
  t.after(() => mock.timers.reset());
  await tideline.searchMessages({ q: "soon" });
  const pass = async (ms) => {
    mock.timers.tick(ms);
    for (let n = 0; n < 20; n++) await turn();
  };
  await pass(19_999);
  assert.deepEqual(change, []);
  await pass(1);
  assert.deepEqual(change.map(({ message }) => [message.seq, message.kind, message.content]), [[7, "expired", {}]]);
});

// Who types: what is sent to the server, and what others see.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, person, proxy, record } from "./support/people.js";
import { browser, account, FakeServer, open, problem } from "./support/fake.js";
import { serve } from "./support/server.js";

const CHAT = "01890000-0000-7000-8000-00000000000c";

describe("typing", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("is shown to those who look, until a message comes or it ends", async (t) => {
    const between = await proxy(t, server.url);
    const [ann, ben] = [await person(t, between.url), await person(t, between.url)];
    let looks = 0;
    between.onRequest = ({ url }) => (url.includes("typing=") && looks++, "pass");
    const chat = await ann.createDirect(ben.user.id);
    const events = record(ben, "typing", "message");
    await ben.start();
    const unwatch = ben.watch(chat.id);
    await eventually("a wait that looks", () => looks > 0);
    await sleep(300);
    const sent = () => between.seen.filter((one) => one.endsWith("/typing")).length;
    for (let n = 0; n < 5; n++) ann.typing(chat.id);
    await eventually("typing", () => events.typing.length === 1);
    assert.deepEqual([events.typing[0], sent()], [{ conversation_id: chat.id, user_ids: [ann.user.id] }, 1]);
    await ann.send(chat.id, "hello");
    await eventually("the end", () => events.typing.at(-1).user_ids.length === 0);
    assert.equal(events.message.length, 1);
    // A message ends it: there is nothing to take back.
    ann.typing(chat.id, false);
    const began = Date.now();
    await eventually("typing again", () => (ann.typing(chat.id), events.typing.at(-1).user_ids.length === 1));
    ann.typing(chat.id, false);
    ann.typing(chat.id, false);
    await eventually("the end", () => events.typing.at(-1).user_ids.length === 0);
    // A start, a start again and its end; on a busy machine the start is repeated after five seconds.
    const most = 3 + Math.floor((Date.now() - began) / 5_000);
    assert.ok(sent() >= 3 && sent() <= most, `${sent()} of at most ${most}`);
    unwatch();
    assert.throws(() => ann.typing("x"), { code: "validation" });
  });
});

/** A server that answers waits with signals. */
function signalling(intercept = () => undefined) {
  const server = new FakeServer();
  const asked = [];
  const signals = [];
  server.intercept = (request) => {
    const typing = request.query.getAll("typing");
    if (!request.path.endsWith("/notices") || typing.length === 0) return intercept(request);
    asked.push(typing.join());
    const [signal] = signals.filter(({ mark }) => !typing[0].endsWith(`:${mark}`)).slice(-1);
    const notice = { news: false, watched: [], total_unread: 0, reconnect: false, superseded: false };
    return intercept(request) ?? (signal && new Response(JSON.stringify({ ...notice, signals: { typing: [signal] } })));
  };
  return { server, asked, signals };
}

it("who types is asked for with the mark of the last signal, and shown in every tab that looks", async (t) => {
  const { server, asked, signals } = signalling();
  const { tab } = browser(t, server);
  const [leader, other] = [tab(), tab()];
  await leader.login(account("xenia"));
  await leader.start();
  await other.restore();
  await other.start();
  const [own, theirs] = [record(leader, "typing"), record(other, "typing")];
  leader.watch(CHAT);
  other.watch(CHAT);
  await eventually("a wait", () => asked.includes(`${CHAT}:0`));
  signals.push({ conversation_id: CHAT, user_ids: ["ben"], mark: "a" });
  leader.watch("01890000-0000-7000-8000-00000000000d");
  await eventually("the next wait", () => asked.some((one) => one.startsWith(`${CHAT}:a`)));
  await eventually("the other tab", () => theirs.typing.length > 0);
  assert.deepEqual([own.typing[0], theirs.typing[0]], Array(2).fill({ conversation_id: CHAT, user_ids: ["ben"] }));
});

it("who types shows in the leading tab when another one looks already, under an id in capitals too", async (t) => {
  const { server, signals } = signalling();
  const { tab } = browser(t, server);
  const [leader, other] = [tab(), tab()];
  await leader.login(account("xenia"));
  await leader.start();
  await eventually("it leads", () => leader.leader);
  await other.restore();
  await other.start();
  const [own, theirs] = [record(leader, "typing"), record(other, "typing")];
  signals.push({ conversation_id: CHAT, user_ids: ["ben"], mark: "a" });
  other.watch(CHAT.toUpperCase());
  await eventually("the other tab", () => theirs.typing.length > 0);
  own.typing.length = 0;
  leader.watch(CHAT.toUpperCase());
  assert.deepEqual(own.typing, [{ conversation_id: CHAT, user_ids: ["ben"] }]);
});

it("nobody types where there is no connection, or the server does not know", async (t) => {
  let down = false;
  const { server, asked, signals } = signalling(({ path }) => (down && path.endsWith("/notices") ? new Error("no network") : undefined));
  const tideline = open(t, server);
  await tideline.login(account("xenia"));
  const events = record(tideline, "typing");
  signals.push({ conversation_id: CHAT, user_ids: ["ben"], mark: "a" });
  await tideline.start();
  tideline.watch(CHAT);
  await eventually("typing", () => events.typing.length === 1);
  down = true;
  tideline.watch("01890000-0000-7000-8000-00000000000d");
  await eventually("nobody", () => events.typing.at(-1).user_ids.length === 0);
  assert.equal(asked[0], `${CHAT}:0`);

  const old = new FakeServer();
  const waits = [];
  old.intercept = ({ path, query }) => {
    if (!path.endsWith("/notices")) return;
    waits.push(query.getAll("typing").length);
    if (waits.at(-1) > 0) return problem(400, "validation");
  };
  const early = open(t, old);
  await early.login(account("xenia"));
  await early.start();
  early.watch(CHAT);
  await eventually("a wait without", () => waits.includes(1) && waits.at(-1) === 0);
});

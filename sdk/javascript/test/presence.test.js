// Who is online: what a wait asks for, what is shown of others, and the times between two waits.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as limits from "../src/limits.js";
import { pauseBetweenWaits } from "../src/signals.js";
import { memoryStorage } from "../src/tideline.js";
import { again, client, eventually, password, person, proxy, record } from "./support/people.js";
import { account, browser, FakeServer, open, problem } from "./support/fake.js";
import { serve } from "./support/server.js";

/** An answer to a wait brings the changes, and a test does not wait for long. */
const soon = { waitSeconds: 2 };
/** The server changes the state of a person every 10 seconds at most. */
const PAUSE_MS = 20_000;

/** The last states that a client has, by user. */
function shown(tideline) {
  const states = {};
  tideline.on("presence", ({ presences }) => presences.forEach((one) => (states[one.user_id] = one)));
  return states;
}

/** The queries of the waits that pass a proxy. */
function waits(between) {
  const queries = [];
  between.onRequest = ({ url }) => {
    if (url.startsWith("/v1/notices?")) queries.push(new URLSearchParams(url.split("?")[1]));
    return "pass";
  };
  return queries;
}

describe("presence", { concurrency: true }, () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("comes with the answers of waits: online with another device's wait, away, and offline after a logout", async (t) => {
    const between = await proxy(t, server.url);
    const asked = waits(between);
    const [ann, ben, cem] = [await person(t, server.url), await person(t, between.url, soon), await person(t, server.url)];
    const { id } = ann.user;
    const states = shown(ben);
    await ben.start();
    ben.watchPresence([id, cem.user.id]);
    await eventually("offline", () => states[id]?.state === "offline");
    assert.equal(states[cem.user.id].last_seen_at, null);
    await ann.start();
    await eventually("online", () => states[id].state === "online");
    assert.deepEqual([states[id].platforms, states[id].rev], [["other"], 1]);
    ann.setActivity("idle");
    await eventually("away", () => states[id].state === "away", PAUSE_MS);
    ann.setActivity("active");
    await eventually("online again", () => states[id].state === "online", PAUSE_MS);
    await ann.logout();
    await eventually("offline", () => states[id].state === "offline", PAUSE_MS);
    assert.equal(between.seen.filter((one) => one === "POST /v1/presence/cursors").length, 1, "one cursor for all of it");
    assert.ok(asked.every((query) => !query.has("activity") && !query.has("presence_wake")));
    // Other people: nothing more comes of those before.
    ben.watchPresence([]);
    await eventually("a wait without", () => !asked.at(-1).has("presence"));
  });

  it("says when a person was last seen, soon after the person has left", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url, soon)];
    const { id } = ann.user;
    await ann.updatePrivacy({ last_seen: "everyone" });
    await ben.updatePrivacy({ last_seen: "everyone" });
    const states = shown(ben);
    await ben.start();
    ben.watchPresence([id]);
    await ann.start();
    await eventually("online", () => states[id]?.state === "online", PAUSE_MS);
    await ann.logout();
    await eventually("last seen", () => states[id].last_seen_at, 2 * PAUSE_MS);
    assert.ok(Date.now() - Date.parse(states[id].last_seen_at) < 120_000);
  });

  it("ends a wait when that is wanted, and brings the profiles that have changed", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url, { waitSeconds: 50 })];
    const states = shown(ben);
    const events = record(ben, "users");
    await ben.start();
    ben.watchPresence([ann.user.id], { wake: true });
    await eventually("offline", () => states[ann.user.id]?.state === "offline");
    await ann.start();
    await eventually("online, before the wait is over", () => states[ann.user.id].state === "online", PAUSE_MS);
    await eventually("the profile", () => events.users.length === 1);
    await ann.updateMe({ display_name: "Ann Arbor" });
    await eventually("the new name", () => events.users.at(-1).users[0].display_name === "Ann Arbor", 2 * PAUSE_MS);
    assert.equal(states[ann.user.id].rev, 2);
  });

  it("goes on after a restart of the SDK with the cursor of before", async (t) => {
    const between = await proxy(t, server.url);
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const { id } = ann.user;
    const posts = () => between.seen.filter((one) => one === "POST /v1/presence/cursors").length;
    const storage = memoryStorage();
    const open = async () => {
      const made = client(t, between.url, { ...soon, storage, resume: true });
      const states = shown(made);
      if (!(await made.restore())) await made.login({ username: ben.user.username, password });
      made.watchPresence([id]);
      await made.start();
      return { made, states };
    };
    const first = await open();
    await eventually("offline", () => first.states[id]?.state === "offline");
    await sleep(200);
    await first.made.close();
    await ann.start();
    const second = await open();
    await eventually("online", () => second.states[id]?.state === "online");
    assert.equal(posts(), 1);
    await ann.logout();
    await eventually("offline", () => second.states[id].state === "offline", PAUSE_MS);
    assert.equal(posts(), 1);
  });

  it("makes a new cursor when the server does not take the one it has, and for other people", async (t) => {
    const between = await proxy(t, server.url);
    const asked = waits(between);
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    // The cursor that is stored belongs to another person.
    const { cursor, presences } = await cem.presenceCursor([ann.user.id]);
    const storage = memoryStorage();
    const bens = await again(t, ben, between.url, { ...soon, storage, resume: true });
    storage.set(`tideline:${between.url}:${ben.user.id}:presence`, JSON.stringify({ cursor, presences }));
    const states = shown(bens);
    bens.watchPresence([ann.user.id]);
    await bens.start();
    await eventually("healed", () => states[ann.user.id]?.state === "offline");
    assert.ok(asked.some((query) => query.get("presence") === cursor));
    assert.equal(bens.connection, "online");
    await cem.start();
    bens.watchPresence([cem.user.id, ann.user.id]);
    await eventually("the other too", () => states[cem.user.id]?.state === "online");
    assert.equal(between.seen.filter((one) => one === "POST /v1/presence/cursors").length, 2);
    // Fewer people need no other one.
    bens.watchPresence([ann.user.id]);
    await sleep(500);
    assert.equal(between.seen.filter((one) => one === "POST /v1/presence/cursors").length, 2);
    assert.throws(() => bens.watchPresence(["x"]), { code: "validation" });
  });

  it("asks for nothing when it is not used, or the server has none", async (t) => {
    const between = await proxy(t, server.url);
    const asked = waits(between);
    const ann = await person(t, between.url, soon);
    await ann.start();
    await eventually("two waits", () => asked.length > 1);
    for (const query of asked) assert.deepEqual([...query.keys()].sort(), ["epoch", "since_seq", "timeout"]);
    assert.ok(!between.seen.some((one) => /presence|capabilities/.test(one)));
    const none = await serve({ after: (end) => ends.push(end) }, { TIDELINE_PRESENCE: "off" });
    const off = await proxy(t, none.url);
    const queries = waits(off);
    const ben = await person(t, off.url, soon);
    const events = record(ben, "presence", "error");
    ben.setActivity("idle");
    ben.watchPresence([ann.user.id]);
    await ben.start();
    await eventually("two waits", () => queries.length > 1);
    for (const query of queries) assert.deepEqual([...query.keys()].sort(), ["epoch", "since_seq", "timeout"]);
    assert.deepEqual([events.presence, events.error, off.seen.filter((one) => one.includes("presence"))], [[], [], []]);
    assert.equal(ben.connection, "online");
  });
});

const ANN = "01890000-0000-7000-8000-00000000000a";
const BEN = "01890000-0000-7000-8000-00000000000b";
const presence = (user_id, state, more = {}) => ({ user_id, state, platforms: [], rev: null, ...more });

/** A server with presence: it has the given states, and answers waits with `signal`. */
function signalling(intercept = () => undefined) {
  const server = new FakeServer();
  const script = { states: {}, signals: [], asked: [], cursors: [] };
  server.intercept = ({ path, query, body, ...rest }) => {
    if (path === "/v1/capabilities") return Response.json({ features: ["presence"] });
    if (path === "/v1/presence/cursors") {
      script.cursors.push(body.user_ids);
      const presences = body.user_ids.map((id) => ({ ...presence(id, script.states[id] ?? "offline"), last_seen_at: null }));
      return Response.json({ presences, cursor: `c${script.cursors.length}` });
    }
    if (path !== "/v1/notices") return intercept({ path, query, body, ...rest });
    script.asked.push(Object.fromEntries(query));
    const other = intercept({ path, query, body, ...rest });
    if (other || !query.has("presence")) return other;
    const signal = script.signals.shift();
    const notice = { news: false, watched: [], total_unread: 0, reconnect: false, superseded: false };
    return signal && Response.json({ ...notice, signals: { presence: signal } });
  };
  return { server, script };
}

it("all tabs show the people that one of them asks for, and a tab with an active user counts", async (t) => {
  const { server, script } = signalling();
  script.states = { [ANN]: "online", [BEN]: "busy" };
  const { tab } = browser(t, server);
  const [leader, other] = [tab(), tab()];
  await leader.login(account("xenia"));
  await leader.start();
  await eventually("it leads", () => leader.leader);
  leader.watchPresence([ANN]);
  leader.setActivity("idle");
  await other.restore();
  const [own, theirs] = [shown(leader), shown(other)];
  other.watchPresence([BEN, ANN]);
  other.setActivity("active");
  await other.start();
  await eventually("both are asked for", () => script.asked.at(-1).presence === "c2" || script.cursors.at(-1)?.length === 2);
  await eventually("all states", () => theirs[BEN]?.state === "busy" && theirs[ANN]?.state === "online" && own[ANN]?.state === "online");
  assert.equal(own[BEN], undefined, "a tab gets what it shows");
  await eventually("active", () => script.asked.at(-1).activity === "active" && script.asked.at(-1).presence);
  script.signals.push({ changes: [presence(BEN, "offline")], cursor: "c9" });
  leader.watch(ANN);
  await eventually("the other tab", () => theirs[BEN].state === "offline");
  await eventually("the next cursor", () => script.asked.at(-1).presence === "c9");
  await leader.close();
  await eventually("the other one leads", () => other.leader && script.asked.at(-1).presence?.startsWith("c") && script.asked.at(-1).presence !== "c9");
  assert.equal(theirs[ANN].state, "online");
  assert.equal(script.asked.at(-1).activity, "active");
});

it("ids are taken in capitals too, and a server that answers for others is not asked in a tight loop", async (t) => {
  let foreign = false;
  const { server, script } = signalling();
  const inner = server.intercept;
  server.intercept = (request) => {
    if (foreign && request.path === "/v1/presence/cursors") return (script.cursors.push([]), Response.json({ presences: [], cursor: "x" }));
    return inner(request);
  };
  const tideline = open(t, server, { backoff: { base: 10_000, cap: 10_000 } });
  const states = shown(tideline);
  await tideline.login(account("xenia"));
  await tideline.start();
  tideline.watchPresence([ANN.toUpperCase(), ANN]);
  await eventually("the state", () => states[ANN]?.state === "offline");
  assert.deepEqual(script.cursors, [[ANN]]);
  foreign = true;
  tideline.watchPresence([BEN]);
  await eventually("another cursor", () => script.cursors.length > 1);
  await sleep(500);
  assert.ok(script.cursors.length < 5, `${script.cursors.length} requests`);
});

it("an activity is sent with a new wait, and a server of an earlier version is not asked again", async (t) => {
  let refuses = false;
  const { server, script } = signalling(({ path, query }) => (refuses && path === "/v1/notices" && query.has("activity") ? problem(400, "validation") : undefined));
  const tideline = open(t, server);
  await tideline.login(account("xenia"));
  await tideline.start();
  tideline.setActivity("active");
  await eventually("active", () => script.asked.at(-1)?.activity === "active");
  const before = script.asked.length;
  tideline.setActivity("idle");
  tideline.setActivity("active");
  tideline.setActivity("idle");
  await eventually("idle", () => script.asked.at(-1).activity === "idle");
  assert.equal(script.asked.length, before + 1, "several changes are one wait");
  assert.equal(script.asked.at(-1).timeout, "25");
  refuses = true;
  tideline.setActivity("active");
  await eventually("nothing of it", () => script.asked.length > before + 2 && !("activity" in script.asked.at(-1)));
  assert.equal(tideline.connection, "online");
  assert.deepEqual(script.cursors, []);
});

it("a refused or lost cursor is asked for again, and a change to an earlier cursor is not taken", async (t) => {
  let refuse = true;
  const { server, script } = signalling();
  const inner = server.intercept;
  server.intercept = (request) => (refuse && request.path === "/v1/presence/cursors" ? ((refuse = false), problem(503, "overloaded")) : inner(request));
  const tideline = open(t, server);
  const states = shown(tideline);
  await tideline.login(account("xenia"));
  tideline.watchPresence([ANN]);
  await tideline.start();
  await eventually("the second attempt", () => states[ANN]?.state === "offline" && script.asked.at(-1).presence === "c1");
  // A day is over.
  server.intercept = (request) => (request.query.get("presence") === "c1" ? (script.asked.push({}), problem(400, "presence_cursor_invalid")) : inner(request));
  script.states[ANN] = "away";
  tideline.watch(BEN);
  await eventually("a new cursor", () => script.asked.at(-1).presence === "c2" && states[ANN].state === "away");
  assert.equal(tideline.connection, "online");
});

describe("the time between two waits", () => {
  const LINGER_MS = 45_000;
  const WAY_MS = 5_000;

  it("is less than the time for which the server shows a device online", () => {
    assert.ok(LINGER_MS >= limits.BETWEEN_WAITS_MS + WAY_MS);
    // The response to a wait is lost, and then the longest pause follows.
    assert.ok(limits.RESPONSE_MS + limits.MAX_PAUSE_MS <= limits.BETWEEN_WAITS_MS);
    // After a wait pages are fetched, and the last of them fails at its timeout.
    assert.ok(limits.FETCHING_MS + limits.REQUEST_MS <= limits.BETWEEN_WAITS_MS);
    for (let n = 0; n < 20_000; n++) {
      const ago = Math.random() * (limits.FETCHING_MS + limits.REQUEST_MS);
      const error = { retryAfterMs: [null, 0, 5_000, 30_000, 3_600_000][n % 5] };
      const { ms, atLeast } = pauseBetweenWaits({ base: 500, cap: [1, 30_000, 600_000][n % 3] }, n % 40, error, ago);
      assert.ok(ms >= 0 && ms <= limits.MAX_PAUSE_MS && ms + ago <= limits.BETWEEN_WAITS_MS && atLeast <= ms, `${ms} ms, ${ago} ms after a wait`);
    }
    // What the server asks for is kept, up to the bound.
    assert.ok(pauseBetweenWaits({ base: 1, cap: 1 }, 0, { retryAfterMs: 5_000 }, 0).atLeast === 5_000);
  });

  it("ends with a wait that counts, also after a failure and in the middle of many pages", async (t) => {
    const server = new FakeServer();
    let down = true;
    let pages = 0;
    let late = 0;
    const asked = [];
    server.intercept = async ({ path, query }) => {
      if (path === "/v1/notices") asked.push(query.get("timeout"));
      if (path === "/v1/notices" && down) return ((down = false), problem(503, "overloaded"));
      if (path !== "/v1/inbox" || pages++ > 3) return undefined;
      // The network is slow.
      late += 6_000;
      return Response.json({ entries: [], has_more: true });
    };
    const tideline = open(t, server);
    await tideline.login(account("xenia"));
    const { now } = Date;
    Date.now = () => now() + late;
    t.after(() => (Date.now = now));
    server.entries = [{ seq: 1, kind: "later", conversation_id: ANN, at: "", unread: 0 }];
    await tideline.start();
    await eventually("all is fetched", () => tideline.position.since === 1);
    assert.ok(asked.every((timeout) => timeout > 0) && asked[1] === "1", String(asked));
    assert.ok(asked.length >= 4, "a wait after two pages, and again");
  });
});

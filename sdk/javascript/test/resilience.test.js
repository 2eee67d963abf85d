// Temporary failures and damaged data end nothing permanently, and cause no storm of requests.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryStorage, uuidv7 } from "../src/tideline.js";
import { account, browser, FakeServer, open, problem } from "./support/fake.js";
import { eventually, record } from "./support/people.js";

const chat = uuidv7();
const away = () => new TypeError("fetch failed");
const texts = ({ stored }) => stored.map(({ text }) => text);
const HOUR = 3_600_000;

async function loggedIn(t, options = {}) {
  const server = new FakeServer();
  const storage = options.storage ?? memoryStorage();
  const tideline = open(t, server, { storage, ...options });
  await tideline.login(account("xenia"));
  return { server, storage, tideline, key: (name) => `tideline:${server.url}:${name}` };
}

describe("a pause that the server asks for", () => {
  it("is at most an hour, is read in every form, and is never none", async (t) => {
    const { server, tideline } = await loggedIn(t);
    const after = async (respond) => {
      server.intercept = () => respond();
      const error = await tideline.getMe().catch((error) => error);
      return error.retryAfterMs;
    };
    const header = (value) => () => problem(503, "overloaded", {}, { "Retry-After": value });
    assert.equal(await after(header("99999999999")), HOUR);
    assert.equal(await after(header("30")), 30_000);
    assert.ok(Math.abs((await after(header(new Date(Date.now() + 60_000).toUTCString()))) - 60_000) < 5_000);
    assert.equal(await after(header("soon")), null);
    assert.equal(await after(() => problem(503, "overloaded", { retry_after_ms: 1e300 })), HOUR);
    for (const value of [null, "1", NaN, -5]) assert.equal(await after(() => problem(503, "overloaded", { retry_after_ms: value })), null, String(value));
  });

  it("beyond what a timer can count makes no storm", async (t) => {
    const { server, tideline } = await loggedIn(t);
    server.intercept = ({ path }) => (path === "/v1/auth/login" ? undefined : problem(503, "overloaded", { retry_after_ms: 2 ** 31 * 1_000 }));
    handledly(tideline.send(chat, "hi"));
    handledly(tideline.start());
    await sleep(200);
    assert.ok(server.seen.length < 6, `${server.seen.length} requests`);
  });

  it("of a notice is kept to as well", async (t) => {
    const { server, tideline } = await loggedIn(t);
    const notice = { news: false, watched: [], total_unread: 0, reconnect: true, superseded: false };
    server.intercept = ({ path }) => (path === "/v1/notices" ? Response.json({ ...notice, retry_after_ms: 2 ** 40 }) : undefined);
    await tideline.start();
    await sleep(200);
    assert.equal(server.count("GET", "/notices"), 1);
  });

  it("is not cut by the network coming back", async (t) => {
    const network = new EventTarget();
    const { server, tideline } = await loggedIn(t, { network, backoff: { base: 60_000, cap: 60_000 } });
    server.intercept = ({ path }) => (path.endsWith("/messages") ? problem(503, "overloaded", { retry_after_ms: 300 }) : undefined);
    handledly(tideline.send(chat, "hi"));
    await eventually("it was refused", () => server.count("POST", "/messages") === 1);
    const [{ at }] = server.seen.slice(-1);
    server.intercept = () => undefined;
    await sleep(50);
    network.dispatchEvent(new Event("online"));
    await eventually("it is stored", () => server.stored.length === 1);
    assert.ok(server.seen.at(-1).at - at >= 290, "after what was asked for");
    assert.ok(server.seen.at(-1).at - at < 30_000, "and without the own pause");
  });
});

/** For promises whose outcome the test checks elsewhere. */
function handledly(promise) {
  promise.catch(() => {});
  return promise;
}

describe("the outbox", () => {
  it("goes on trying behind a proxy that answers itself", async (t) => {
    const { server, tideline } = await loggedIn(t);
    const pages = [new Response("<h1>Forbidden</h1>", { status: 403 }), new Response("{}", { status: 404 }), new Response('{"code":1020}', { status: 400 }), new Response("<h1>Log in</h1>", { status: 401 })];
    const events = record(tideline, "send", "signed_out");
    server.intercept = ({ path }) => (path.endsWith("/messages") ? pages.shift() : undefined);
    await tideline.send(chat, "hi");
    assert.deepEqual(texts(server), ["hi"]);
    assert.deepEqual(events.send.filter(({ error }) => error).map(({ error }) => error.code), Array(4).fill("network"));
    assert.deepEqual(events.signed_out, []);
  });

  it("keeps what waits when the session ends, and sends it when the same person logs in again", async (t) => {
    const { server, tideline, storage } = await loggedIn(t);
    server.intercept = ({ path }) => (path.endsWith("/messages") ? away() : undefined);
    const rejected = assert.rejects(tideline.send(chat, "one"), { code: "device_revoked" });
    handledly(tideline.send(chat, "two"));
    await eventually("it is tried", () => server.count("POST", "/messages") > 1);
    server.revoke("xenia");
    server.intercept = () => undefined;
    await rejected;
    assert.deepEqual(tideline.outbox.map(({ state }) => state), ["sending", "sending"]);
    assert.equal((await storage.keys("")).filter((key) => key.includes(":outbox:")).length, 2);
    await tideline.login(account("xenia"));
    await tideline.start();
    await eventually("both are stored", () => server.stored.length === 2);
    assert.deepEqual(texts(server), ["one", "two"]);
  });

  it("can be given up without a session", async (t) => {
    const { server, tideline, storage } = await loggedIn(t);
    server.intercept = ({ path }) => (path.endsWith("/messages") ? away() : undefined);
    handledly(tideline.send(chat, "one"));
    await eventually("it is tried", () => server.count("POST", "/messages") > 1);
    server.revoke("xenia");
    server.intercept = () => undefined;
    await eventually("the session ends", () => tideline.user === null);
    await tideline.discard(tideline.outbox[0].client_msg_id);
    assert.deepEqual((await storage.keys("")).filter((key) => key.includes(":outbox:")), []);
  });

  it("is in the order of writing, whatever the ids and the clocks are", async (t) => {
    const { server, tideline, storage } = await loggedIn(t);
    server.intercept = ({ path }) => (path.endsWith("/messages") ? away() : undefined);
    const ids = ["ffffffff-ffff-4fff-bfff-ffffffffffff", "88888888-8888-4888-8888-888888888888", "00000000-0000-4000-8000-000000000000"];
    for (const [n, client_msg_id] of ids.entries()) handledly(tideline.send(chat, `m${n}`, { client_msg_id }));
    await eventually("they wait in the storage", async () => (await storage.keys("")).filter((key) => key.includes(":outbox:")).length === 3);
    await tideline.close();
    // The clock was a year ahead and was corrected: a new message still sorts after the older ones.
    for (const key of (await storage.keys("")).filter((key) => key.includes(":outbox:"))) {
      const item = JSON.parse(storage.get(key));
      storage.set(key, JSON.stringify({ ...item, order: item.order + 365 * 24 * HOUR }));
    }
    const later = open(t, server, { storage });
    await later.restore();
    server.intercept = () => undefined;
    await later.send(chat, "m3");
    await later.send(chat, "m4");
    assert.deepEqual(texts(server), ["m0", "m1", "m2", "m3", "m4"]);
  });

  it("takes reactive objects, and sends what they were", async (t) => {
    const { server, tideline } = await loggedIn(t);
    const reactive = (value) => new Proxy(value, { get: (target, name) => (target[name] instanceof Object ? reactive(target[name]) : target[name]) });
    const content = { text: "as it was" };
    const sent = tideline.send(chat, reactive({ kind: "text", content }), { mentions: reactive([chat]) });
    content.text = "changed";
    assert.deepEqual((await sent).content, { text: "as it was", mentions: [chat] });
    assert.deepEqual(texts(server), ["as it was"]);
    await assert.rejects(tideline.send(chat, { kind: "custom", content: { n: 1n } }), { code: "validation" });
  });

  it("is empty for a conversation before one leaves it", async (t) => {
    const { server, tideline } = await loggedIn(t);
    let lost = 3;
    server.intercept = ({ path }) => (path.endsWith("/messages") && lost-- > 0 ? away() : undefined);
    handledly(tideline.send(chat, "goodbye"));
    handledly(tideline.send(chat, "all"));
    await tideline.leave(chat);
    assert.deepEqual(texts(server), ["goodbye", "all"]);
    assert.equal(server.seen.at(-1).method, "DELETE");
    const short = open(t, server, { requestTimeoutMs: 100 });
    await short.login(account("yann"));
    server.intercept = ({ path }) => (path.endsWith("/messages") ? away() : undefined);
    handledly(short.send(chat, "never"));
    await assert.rejects(short.leave(chat), { code: "timeout" });
    assert.equal(server.seen.filter(({ method }) => method === "DELETE").length, 1);
  });
});

describe("a damaged value", () => {
  const damage = ["", "{", "null]", "[]", "7", '"x"', "{}", '{"user":{}}'];

  it("is skipped, deleted and reported, and all else works", async (t) => {
    const { server, storage, tideline, key } = await loggedIn(t, { resume: true });
    const { id } = tideline.user;
    await tideline.close();
    for (const value of damage) {
      const names = [`${id}:outbox:${uuidv7()}`, `${id}:position`];
      for (const name of names) storage.set(key(name), value);
      const next = open(t, server, { storage, resume: true });
      const events = record(next, "error");
      await next.start();
      await next.send(chat, value);
      assert.equal(storage.get(key(names[0])), null, value);
      assert.ok(events.error.length >= 1 && events.error.every(({ code }) => code === "storage_failed"), value);
      await next.close();
    }
    assert.deepEqual(texts(server), damage);
  });

  it("instead of a session or a device means that nobody is logged in", async (t) => {
    const { server, storage, key } = await loggedIn(t);
    for (const value of damage) {
      storage.set(key("session"), value);
      storage.set(key("device"), value === '"x"' ? "{" : value);
      const next = open(t, server, { storage });
      next.on("error", () => {});
      assert.equal(await next.restore(), null, value);
      assert.equal(storage.get(key("session")), null, value);
      assert.equal((await next.login(account("xenia"))).username, "xenia");
    }
  });

  it("a start that failed can be tried again", async (t) => {
    const inner = memoryStorage();
    let broken = false;
    const storage = { ...inner, get: (key) => (broken && key.endsWith("position") ? JSON.parse("{") : inner.get(key)) };
    const { tideline } = await loggedIn(t, { storage, resume: true });
    tideline.on("error", () => {});
    broken = true;
    await tideline.start().catch(() => {});
    broken = false;
    await tideline.start();
    assert.equal(tideline.connection, "online");
  });
});

it("blocked site data cost the survival of a reload only", async (t) => {
  const blocked = () => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  };
  const server = new FakeServer();
  const storage = { get: blocked, set: blocked, delete: blocked, keys: blocked };
  const locks = { request: async () => blocked() };
  const tideline = open(t, server, { storage, locks, tabs: true });
  const events = record(tideline, "error");
  await tideline.login(account("xenia"));
  await tideline.start();
  await tideline.send(chat, "hi");
  server.expired.add(server.seen.at(-1).token);
  assert.equal((await tideline.getMe()).username, "xenia");
  await eventually("it leads", () => tideline.leader && tideline.connection === "online");
  await tideline.logout();
  assert.deepEqual(events.error, []);
  assert.deepEqual([server.count("POST", "/login"), texts(server)], [1, ["hi"]]);
});

describe("staying in sync", () => {
  it("a follower whose handler keeps throwing makes no storm", async (t) => {
    const server = new FakeServer();
    const { tab } = browser(t, server);
    const large = { id: chat, fanout: "read", switch_seq: 0, last_seq: 0, updated_at: "2026-01-01T00:00:00Z", me: { read_seq: 0, unread: 0, joined_seq: 0 } };
    server.conversations = [large];
    const message = { id: uuidv7(), conversation_id: chat, seq: 1, sender_id: chat, kind: "text", content: { text: "hi" }, created_at: "2026-01-01T00:00:00Z" };
    let news = false;
    server.intercept = ({ method, path }) => {
      if (method === "GET" && path.endsWith("/messages")) return Response.json({ messages: [message], last_seq: 1, has_more: false });
      const notice = { news: false, watched: [{ conversation_id: chat, last_seq: 1 }], total_unread: 1, reconnect: false, superseded: false };
      if (path !== "/v1/notices" || !news) return;
      news = false;
      return Response.json(notice);
    };
    const pauses = { backoff: { base: 100, cap: 100 } };
    const network = new EventTarget();
    const leader = tab({ ...pauses, network });
    await leader.login(account("xenia"));
    await leader.start();
    await eventually("it leads", () => leader.leader);
    const follower = tab(pauses);
    await follower.restore();
    let failures = 0;
    follower.on("error", () => {});
    follower.on("message", () => {
      failures++;
      throw new Error("the handler fails");
    });
    await follower.start();
    await sleep(1_050);
    news = true;
    network.dispatchEvent(new Event("online"));
    await eventually("the handler fails", () => failures > 1, 5_000);
    const before = server.seen.length;
    await sleep(500);
    assert.ok(server.seen.length - before < 60, `${server.seen.length - before} requests in half a second`);
  });

  it("the leader asks immediately when the network is back or somebody looks, from whichever tab", async (t) => {
    const server = new FakeServer();
    const { tab } = browser(t, server);
    const network = new EventTarget();
    const elsewhere = new EventTarget();
    const leader = tab({ network });
    await leader.login(account("xenia"));
    await leader.start();
    await eventually("it waits", () => server.seen.some(({ path, query }) => path === "/v1/notices" && query.get("timeout") !== "1"));
    const follower = tab({ network: elsewhere });
    await follower.restore();
    await follower.start();
    const asked = () => server.seen.filter(({ path, query }) => path === "/v1/notices" && query.get("timeout") === "1").length;
    for (const [target, event] of [[network, "online"], [network, "visibilitychange"], [elsewhere, "pageshow"]]) {
      await sleep(1_050);
      const before = asked();
      target.dispatchEvent(new Event(event));
      await eventually(`it asks after ${event}`, () => asked() === before + 1, 1_000);
      // A wait that has just begun is not replaced.
      target.dispatchEvent(new Event(event));
      await sleep(50);
      assert.equal(asked(), before + 1);
    }
    assert.equal(leader.connection, "online");
  });

  it("many simultaneous requests add no listeners to one signal", async (t) => {
    const { server, tideline } = await loggedIn(t);
    const warnings = [];
    const warn = (warning) => warnings.push(warning.name);
    process.on("warning", warn);
    server.intercept = ({ path }) => (path.endsWith("/messages") ? sleep(50).then(() => undefined) : undefined);
    const controller = new AbortController();
    for (let n = 0; n < 30; n++) tideline.on("message", () => {}, { signal: controller.signal })();
    for (let n = 0; n < 30; n++) await tideline.start({ signal: controller.signal });
    await Promise.all(Array.from({ length: 40 }, () => uuidv7()).flatMap((id) => [tideline.send(id, "a"), tideline.send(id, "b")]));
    await sleep(20);
    process.off("warning", warn);
    assert.deepEqual(warnings, []);
    assert.equal(server.stored.length, 80);
  });
});

// Actions of one person are never performed as another, and data go only to the server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryStorage, Tideline, uuidv7 } from "../src/tideline.js";
import { account, browser, FakeServer, never, open, problem } from "./support/fake.js";
import { eventually, record } from "./support/people.js";

const chat = uuidv7();
const away = () => new TypeError("fetch failed");
const kept = async (storage) => (await storage.keys("")).filter((key) => !key.endsWith(":device"));

describe("two people in one browser", () => {
  it("a waiting message of the first is not sent as the second", async (t) => {
    const server = new FakeServer();
    const { tab } = browser(t, server);
    const a = tab();
    const b = tab();
    await a.login(account("xenia"));
    await b.restore();
    server.intercept = ({ path }) => (path.endsWith("/messages") ? away() : undefined);
    b.send(chat, "xenia's secret");
    await eventually("tab b tries", () => server.count("POST", "/messages") > 2);
    await a.logout();
    await a.login(account("yann"));
    server.intercept = () => undefined;
    await sleep(100);
    assert.deepEqual(server.stored, []);
    assert.equal(b.user, null, "tab b does not take up the next person's session unasked");
    await assert.rejects(b.getMe(), { code: "unauthenticated" });
    assert.equal((await b.restore()).username, "yann");
    assert.deepEqual(b.outbox, []);
  });

  it("nothing that was written stays in any tab after a logout", async (t) => {
    const server = new FakeServer();
    const { tab, storage } = browser(t, server);
    const a = tab();
    const b = tab({ resume: true });
    await a.login(account("xenia"));
    await b.start();
    // The response arrives after the logout, and before tab b gets that event.
    let respond;
    server.intercept = ({ path }) => (path.endsWith("/messages") ? new Promise((resolve) => (respond = resolve)) : undefined);
    b.send(chat, "left behind");
    await eventually("tab b tries", () => respond);
    await a.logout();
    respond(problem(403, "forbidden"));
    await eventually("tab b is logged out", () => b.user === null);
    await sleep(50);
    assert.deepEqual(b.outbox, []);
    assert.deepEqual(await kept(storage), []);
  });

  it("a call that is repeated stays the call of the person who made it", async (t) => {
    const server = new FakeServer();
    const a = open(t, server);
    await a.login(account("xenia"));
    let lost = 0;
    server.intercept = ({ method, path }) => (method === "POST" && path === "/v1/conversations" && lost++ === 0 ? away() : undefined);
    // The pause before the repeat is random from 0 ms on: here it is always long enough to log out and in again.
    t.mock.method(Math, "random", () => 1);
    const slow = open(t, server, { storage: memoryStorage(), backoff: { base: 300, cap: 300 } });
    await slow.login(account("xenia"));
    const made = slow.createGroup({ title: "xenia's" });
    await eventually("the first try is lost", () => lost === 1);
    await slow.logout();
    await slow.login(account("yann"));
    await assert.rejects(made, { code: "signed_out" });
    const owners = server.seen.filter(({ method, path }) => method === "POST" && path === "/v1/conversations").map(({ user }) => user);
    assert.deepEqual(owners, ["xenia"]);
  });

  it("a tab gets a new name, a login and a block of another tab", async (t) => {
    const server = new FakeServer();
    const { tab } = browser(t, server);
    const a = tab();
    const b = tab();
    await a.login(account("xenia"));
    await b.restore();
    const events = record(b, "user", "block", "signed_in", "signed_out");
    await a.updateMe({ display_name: "Xenia" });
    await a.blockUser(chat);
    await eventually("b knows", () => events.user.length === 1 && events.block.length === 1);
    assert.equal(b.user.display_name, "Xenia");
    assert.deepEqual(events.block, [{ user_id: chat, blocked: true }]);
    await a.logout();
    await eventually("b is logged out", () => b.user === null);
    await a.login(account("yann"));
    await eventually("b knows who is next", () => events.signed_in[0]?.user.username === "yann");
    assert.equal(b.user, null);
  });
});

describe("a login and a logout", () => {
  /** A client whose access token has expired, and whose refresh fails. */
  async function stuck(t, server) {
    const { tab, storage, locks } = browser(t, server);
    const tideline = tab({ requestTimeoutMs: 300 });
    await tideline.login(account("xenia"));
    server.intercept = ({ path, signal }) => (path === "/v1/auth/refresh" || path === "/v1/auth/logout" ? never(signal) : path === "/v1/me" ? problem(401, "token_expired") : undefined);
    const waiting = tideline.getMe();
    waiting.catch(() => {});
    await eventually("a refresh hangs", () => server.count("POST", "/refresh") > 0);
    return { tideline, waiting, storage, locks, tab };
  }

  it("end a refresh that cannot get through", async (t) => {
    const server = new FakeServer();
    const { tideline, waiting, storage } = await stuck(t, server);
    const began = Date.now();
    await assert.rejects(tideline.logout(), { code: "timeout" });
    assert.ok(Date.now() - began < 1_500);
    await assert.rejects(waiting, { code: "signed_out" });
    assert.deepEqual(await kept(storage), []);
    assert.equal(tideline.user, null);
    const second = await stuck(t, server);
    const again = Date.now();
    assert.equal((await second.tideline.login(account("yann"))).username, "yann");
    assert.ok(Date.now() - again < 1_500);
    await assert.rejects(second.waiting, { code: "signed_out" });
  });

  it("do not wait for a lock of another tab", async (t) => {
    const server = new FakeServer();
    const { tab, storage, locks } = browser(t, server);
    const tideline = tab({ requestTimeoutMs: 300 });
    await tideline.login(account("xenia"));
    const frozen = new AbortController();
    locks.request(`tideline:${server.url}:refresh`, {}, () => never(frozen.signal)).catch(() => {});
    server.intercept = ({ path }) => (path === "/v1/auth/logout" ? problem(401, "token_expired") : undefined);
    await assert.rejects(tideline.logout(), { code: "timeout" });
    assert.deepEqual(await kept(storage), []);
    frozen.abort(new Error("over"));
  });

  it("a response to a refresh that comes after a logout in another tab is not stored", async (t) => {
    const server = new FakeServer();
    const { tab, storage } = browser(t, server);
    const a = tab();
    const b = tab();
    await a.login(account("xenia"));
    await b.restore();
    let respond;
    server.intercept = ({ path, user, token }) => {
      if (path === "/v1/me") return problem(401, "token_expired");
      if (path === "/v1/auth/refresh") return new Promise((resolve) => (respond = resolve));
    };
    const call = b.getMe();
    call.catch(() => {});
    await eventually("a refresh is under way", () => respond);
    await a.logout();
    respond(Response.json({ user: { id: uuidv7(), username: "xenia" }, device_id: uuidv7(), access_token: "new", refresh_token: "new" }));
    await assert.rejects(call);
    assert.deepEqual(await kept(storage), []);
  });

  it("take turns: of two logins the one that the server knows last is kept", async (t) => {
    const server = new FakeServer();
    const { tab, storage } = browser(t, server);
    const a = tab();
    const b = tab();
    let first = true;
    let under_way = 0;
    server.intercept = async ({ path }) => {
      if (path !== "/v1/auth/login") return;
      assert.equal(under_way++, 0, "one at a time");
      if (first) await sleep(100);
      first = false;
      under_way--;
    };
    await Promise.all([a.login(account("xenia")), b.login(account("xenia"))]);
    const stored = JSON.parse(storage.get(`tideline:${server.url}:session`));
    assert.equal(stored.device_id, b.deviceId);
    await eventually("both have the same session", () => a.deviceId === b.deviceId);
  });
});

it("an id that is none goes into no address", async (t) => {
  const server = new FakeServer();
  const tideline = open(t, server);
  await tideline.login(account("xenia"));
  const before = server.seen.length;
  const bad = [`../me/blocks/${chat}#`, `../me/devices/${chat}#`, "", "1", `${chat}/`, `${chat}\n`, `${chat}?x`, undefined, null, {}, [chat, chat]];
  const calls = (id) => ({
    getUser: [id], removeDevice: [id], blockUser: [id], unblockUser: [id], getConversation: [id], updateConversation: [id, { title: "t" }], listMembers: [id],
    addMembers: [id, [chat]], removeMember: [id, chat], join: [id], leave: [id], updateMember: [id, chat, {}], setRole: [id, chat, "admin"],
    listBans: [id], banUser: [id, chat], unbanUser: [id, chat], mute: [id, chat, null], listMessages: [id], getMessage: [id, 1], markRead: [id, 1], send: [id, "hi"],
    edit: [id, 1, {}], recall: [id, 1], versions: [id, 1], changedSince: [id, 0], addReaction: [id, 1, "x"], removeReaction: [id, 1, "x"],
    listReactions: [id, 1], listReplies: [id, 1], listReceipts: [id, 1], markUnread: [id], updateSettings: [id, {}], clearHistory: [id, 1],
    hideMessages: [id, [1]], updateDraft: [id, {}], deleteDraft: [id, 1], updateScheduled: [id, chat, {}], deleteScheduled: [id], pinMessage: [id, 1],
    unpinMessage: [id, 1], listPins: [id], updateTyping: [id, true], putContact: [id], getContact: [id], removeContact: [id],
    requestContact: [id], acceptContact: [id], declineContact: [id], cancelContact: [id], countMutualContacts: [id],
    getUpload: [id], uploadPart: [id, 1, new Uint8Array(1)], completeMedia: [id], getMedia: [id], deleteMedia: [id], getMediaContent: [id],
    getMessageMedia: [id, 1], mediaLink: [id, 1], getUserAvatar: [id], getConversationAvatar: [id], setConversationAvatar: [id, null],
  });
  for (const id of bad) {
    for (const [name, args] of Object.entries(calls(id))) await assert.rejects(tideline[name](...args), { code: "validation" }, `${name} ${id}`);
    for (const name of ["removeMember", "updateMember", "setRole", "mute", "banUser", "unbanUser", "updateScheduled"]) await assert.rejects(tideline[name](chat, id, {}), { code: "validation" }, name);
    for (const name of ["getMessage", "edit", "recall", "versions", "addReaction", "removeReaction", "listReactions", "listReplies", "listReceipts", "pinMessage", "unpinMessage", "getMessageMedia", "mediaLink"]) if (id !== "1") await assert.rejects(tideline[name](chat, id, {}), { code: "validation" }, name);
    for (const emoji of ["", ".", "..", undefined]) await assert.rejects(tideline.addReaction(chat, 1, emoji), { code: "validation" });
    for (const call of [() => tideline.watch(id), () => tideline.drafts.set(id, null)]) assert.throws(call, { code: "validation" });
    await assert.rejects(tideline.history(id).next(), { code: "validation" });
    if (id !== undefined) await assert.rejects(tideline.send(chat, "hi", { client_msg_id: id }), { code: "validation" });
  }
  assert.equal(server.seen.length, before);
  assert.deepEqual(tideline.outbox, []);
  // All methods that take an id.
  const source = Object.getOwnPropertyNames(Object.getPrototypeOf(Tideline.prototype));
  const taking = source.filter((name) => /^\w+\(\w*(Id|seq)\b/.test(`${name}(${Tideline.prototype[name].toString().split("(")[1]}`));
  for (const name of taking) assert.ok(name in calls(chat) || ["createDirect", "history"].includes(name), name);
});

it("a stored message with a malformed id is dropped and reported", async (t) => {
  const server = new FakeServer();
  const storage = memoryStorage();
  const tideline = open(t, server, { storage });
  const { id } = await tideline.login(account("xenia"));
  const item = { client_msg_id: uuidv7(), user_id: id, conversation_id: "../me/devices/x#", kind: "text", content: { text: "hi" }, state: "sending" };
  const key = `tideline:${server.url}:${id}:outbox:${item.client_msg_id}`;
  storage.set(key, JSON.stringify(item));
  const events = record(tideline, "send");
  await tideline.start();
  await eventually("it is reported", () => events.send.length === 1);
  assert.deepEqual([events.send[0].state, events.send[0].error.code], ["failed", "validation"]);
  assert.equal(storage.get(key), null);
  assert.deepEqual(tideline.outbox, []);
  assert.equal(server.seen.filter(({ path }) => path.includes("devices")).length, 0);
});

describe("a redirect", () => {
  async function host(t, handler) {
    const server = createServer(handler).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => (server.closeAllConnections(), server.close()));
    return `http://127.0.0.1:${server.address().port}`;
  }

  it("is not followed with credentials, and its target is named", async (t) => {
    const requests = [];
    const target = await host(t, (request, response) => (requests.push(request.headers), response.end("{}")));
    const url = await host(t, (request, response) => response.writeHead(307, { Location: `${target}${request.url}` }).end());
    const tideline = new Tideline({ url, backoff: { base: 1, cap: 1 } });
    t.after(() => tideline.close());
    await assert.rejects(tideline.login(account("xenia")), (error) => error.code === "network" && error.detail.includes(target));
    assert.deepEqual(requests, []);
  });

  it("of a browser, which hides the target, is followed once without credentials", async (t) => {
    const server = new FakeServer();
    const tideline = open(t, server);
    await tideline.login(account("xenia"));
    server.intercept = ({ redirect, token }) => {
      if (redirect === "manual") return Object.defineProperty(new Response(null), "type", { value: "opaqueredirect" });
      assert.equal(token, null);
      return Object.defineProperties(new Response("{}"), { redirected: { value: true }, url: { value: "https://new.example/v1/capabilities" } });
    };
    await assert.rejects(tideline.changePassword({ old_password: "a", new_password: "b" }), /redirects to https:\/\/new\.example\//);
  });
});

// Profiles, status, privacy, contacts and requests to become friends.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { again, eventually, person, proxy, record } from "./support/people.js";
import { serve } from "./support/server.js";

const NIL = "00000000-0000-0000-0000-000000000000";
const soon = () => new Date(Date.now() + 3_600_000);

describe("people", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("have profiles, of which other devices and people learn", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ann, server.url);
    const events = record(phone, "me", "user", "unread", "conversation", "resync");
    await phone.start();
    await eventually("the whole account", () => phone.user.forward_name === true);
    const account = await ann.updateMe({ avatar_url: "https://files.example/a.png", bio: "Sails", attributes: { team: "harbour", desk: 4 } });
    await eventually("a new account", () => phone.user.bio === "Sails");
    assert.deepEqual([phone.user, ann.user, events.user.at(-1)], [account, account, account]);
    assert.deepEqual([events.me[0].conversation_id, events.me[0].unread, events.conversation, events.unread], [NIL, 0, [], []]);
    const profile = await ben.getUser(ann.user.id);
    assert.deepEqual([profile.bio, profile.attributes, profile.rev, profile.read_receipts], ["Sails", { team: "harbour", desk: 4 }, account.rev, undefined]);
    const changed = await ann.updateMe({ bio: null, attributes: { desk: null } });
    assert.deepEqual([changed.bio, changed.attributes, changed.rev], [null, { team: "harbour" }, account.rev + 1]);
    await assert.rejects(ann.updateMe({ bio: "x".repeat(501) }), { code: "validation" });
    assert.deepEqual((await phone.listConversations()).conversations, []);
  });

  it("have a status with an end", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ann, server.url);
    await phone.start();
    const until = soon();
    const { status } = await ann.setStatus({ availability: "busy", emoji: "⛵", text: "At sea", until });
    assert.deepEqual(status, { availability: "busy", emoji: "⛵", text: "At sea", until: until.toISOString() });
    await eventually("the status", () => phone.user.status?.text === "At sea");
    const shown = { emoji: "⛵", text: "At sea", until: until.toISOString() };
    assert.deepEqual((await ben.listUsers({ ids: [ann.user.id] }))[0].status, shown);
    assert.equal((await ann.clearStatus()).status, null);
    await eventually("no status", () => phone.user.status === null);
    assert.equal((await ben.listUsers({ ids: [ann.user.id] }))[0].status, null);
    await assert.rejects(ann.setStatus({ until: new Date(0) }), { code: "validation" });
  });

  it("are read again only when they have changed", async (t) => {
    const between = await proxy(t, server.url);
    const asked = [];
    between.onRequest = ({ url }) => (url.startsWith("/v1/users?") && asked.push(decodeURIComponent(url.split("ids=")[1])), "pass");
    const [ann, ben, cem] = [await person(t, between.url), await person(t, server.url), await person(t, server.url)];
    const ids = [ben.user.id, cem.user.id];
    const first = await ann.listUsers({ ids });
    assert.deepEqual(first.map(({ id }) => id), [...ids].sort());
    assert.deepEqual([await ann.listUsers({ ids }), asked], [first, [ids.join(), ids.map((id) => `${id}:1`).join()]]);
    await cem.updateMe({ display_name: "Cemile" });
    assert.deepEqual((await ann.listUsers({ ids })).map(({ display_name }) => display_name === "Cemile"), first.map(({ id }) => id === cem.user.id));
    await ann.listUsers({ ids });
    assert.equal(asked.at(-1), `${ben.user.id}:1,${cem.user.id}:2`);
    // A status ends without another number.
    await ben.setStatus({ text: "for a moment", until: new Date(Date.now() + 1_500) });
    assert.equal((await ann.listUsers({ ids: [ben.user.id] }))[0].status.text, "for a moment");
    await eventually("the end", async () => (await ann.listUsers({ ids: [ben.user.id] }))[0].status === null);
    assert.match(asked.at(-1), /:2$/);
    // The next person starts anew.
    await ann.logout();
    await ann.login({ username: ben.user.username, password: "correct horse" });
    await ann.listUsers({ ids });
    assert.equal(asked.at(-1), ids.join());
  });

  it("say who may begin a conversation with them", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ann, server.url);
    const events = record(phone, "me");
    await phone.start();
    const before = await ann.getPrivacy();
    assert.deepEqual([before.direct, before.effective.direct, before.read_receipts], [null, "everyone", true]);
    const privacy = await ann.updatePrivacy({ direct: "contacts", group_add: "nobody", read_receipts: false });
    assert.deepEqual([privacy.direct, privacy.effective.direct, privacy.read_receipts], ["contacts", "contacts", false]);
    await eventually("the other device", () => phone.user.read_receipts === false);
    assert.equal(events.me.length, 1);
    await assert.rejects(ben.createDirect(ann.user.id), { code: "not_accepted", status: 403 });
    const cem = await person(t, server.url);
    const crew = await ben.createGroup({ title: "Crew", member_ids: [ann.user.id, cem.user.id] });
    assert.deepEqual([crew.refused, crew.member_count], [[ann.user.id], 2]);
    await assert.rejects(ben.addMembers(crew.id, [ann.user.id]), { code: "not_accepted" });
    await ann.putContact(ben.user.id);
    assert.equal((await ben.createDirect(ann.user.id)).peer.id, ann.user.id);
    assert.equal((await ann.updatePrivacy({ direct: null })).effective.direct, "everyone");
  });

  it("have contacts, on all devices", async (t) => {
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ann, server.url);
    const events = record(phone, "contacts", "contact", "conversation", "unread");
    await phone.start();
    assert.deepEqual(events.contacts, [{ contacts: [], requests: [], inbox_seq: 0, epoch: phone.position.epoch }]);
    const contact = await ann.putContact(ben.user.id, { alias: "Benny", tags: ["work", "sea"], starred: true });
    assert.deepEqual([contact.state, contact.alias, contact.tags, contact.starred, contact.user.id], ["contact", "Benny", ["work", "sea"], true, ben.user.id]);
    await eventually("the contact", () => events.contact.length === 1);
    assert.deepEqual([events.contact[0].contact, events.contact[0].user_id, events.contact[0].conversation_id], [contact, ben.user.id, NIL]);
    const results = await ann.putContacts([{ user_id: cem.user.id }, { user_id: ann.user.id }]);
    assert.deepEqual(results.map(({ status, problem }) => [status, problem?.code]), [[200, undefined], [400, "validation"]]);
    assert.deepEqual((await ann.listContacts({ tag: "sea" })).contacts, [contact]);
    const page = await ann.listContacts({ limit: 1 });
    // Each has an entry `me` too: contacts are the audience of `last_seen`.
    assert.deepEqual([page.contacts.length, page.inbox_seq], [1, 4]);
    assert.equal((await ann.listContacts({ limit: 1, cursor: page.next_cursor })).contacts.length, 1);
    await ann.removeContact(ben.user.id);
    await eventually("removed", () => events.contact.at(-1).contact === null);
    await assert.rejects(ann.getContact(ben.user.id), { code: "not_found" });
    assert.deepEqual([events.conversation, events.unread], [[], []]);
    await assert.rejects(ann.putContact("x"), { code: "validation", status: 0 });
  });

  it("ask each other to become friends", async (t) => {
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    const events = record(ben, "contact", "contact_request");
    const own = record(ann, "contact", "contact_request");
    for (const one of [ann, ben]) await one.start();
    const request = await ann.requestContact(ben.user.id, { message: "We met at the harbour" });
    assert.deepEqual([request.state, request.direction, request.user.id, request.mutual_count], ["pending", "out", ben.user.id, null]);
    await eventually("the request", () => events.contact_request.length === 1);
    const [{ user_id, request: theirs }] = events.contact_request;
    assert.deepEqual([user_id, theirs.direction, theirs.message, theirs.mutual_count], [ann.user.id, "in", "We met at the harbour", 0]);
    assert.deepEqual((await ben.listContactRequests({ direction: "in" })).requests, [theirs]);
    const contact = await ben.acceptContact(ann.user.id, { alias: "Annie" });
    assert.deepEqual([contact.state, contact.alias], ["friend", "Annie"]);
    await eventually("friends", () => own.contact.at(-1)?.contact.state === "friend");
    assert.deepEqual((await ann.requestContact(ben.user.id)).state, "accepted");
    assert.deepEqual(await ann.countMutualContacts(ben.user.id), { count: 0, capped: false });
    await ann.requestContact(cem.user.id);
    await cem.declineContact(ann.user.id);
    assert.deepEqual((await ann.listContactRequests({ direction: "out" })).requests.map(({ state }) => state), ["pending"]);
    await ann.cancelContact(cem.user.id);
    await eventually("taken back", () => own.contact_request.at(-1)?.request === null);
    const error = await ann.requestContact(cem.user.id).catch((error) => error);
    assert.deepEqual([error.code, error.retryAfterMs > 6 * 86_400_000], ["limit_reached", true]);
    // A block ends the friendship.
    const phone = await again(t, ann, server.url);
    const seen = record(phone, "contact");
    await phone.start();
    await ann.blockUser(ben.user.id);
    await eventually("no friends", () => seen.contact.at(-1)?.contact?.state === "contact");
  });

  it("are all there again after a trimmed inbox, with what changes meanwhile", async (t) => {
    const between = await proxy(t, server.url);
    const [ann, ben, cem] = [await person(t, server.url), await person(t, server.url), await person(t, server.url)];
    const phone = await again(t, ann, between.url);
    const list = new Map();
    const requests = new Map();
    const events = record(phone, "resync");
    phone.on("contacts", (all) => {
      list.clear();
      requests.clear();
      for (const one of all.contacts) list.set(one.user.id, one.alias);
      for (const one of all.requests) requests.set(one.user.id, one.direction);
    });
    phone.on("contact", ({ user_id, contact }) => (contact ? list.set(user_id, contact.alias) : list.delete(user_id)));
    phone.on("contact_request", ({ user_id, request }) => (request ? requests.set(user_id, request.direction) : requests.delete(user_id)));
    await ann.putContact(ben.user.id, { alias: "before" });
    await phone.start();
    between.onRequest = () => "refuse";
    await ann.putContact(cem.user.id, { alias: "away" });
    await cem.requestContact(ann.user.id);
    await server.expireInbox();
    const meanwhile = ann.putContact.bind(ann, ben.user.id, { alias: "meanwhile" });
    let done;
    between.onRequest = ({ url }) => (url.startsWith("/v1/me/contact-requests") && (done ??= meanwhile()), "pass");
    await eventually("a resync", () => events.resync.length === 2);
    assert.equal(events.resync[1].reason, "inbox_trimmed");
    await eventually("the change meanwhile", () => list.get(ben.user.id) === "meanwhile");
    await done;
    assert.deepEqual(list, new Map([[ben.user.id, "meanwhile"], [cem.user.id, "away"]]));
    assert.deepEqual([...requests], [[cem.user.id, "in"]]);
  });
});

// Registration, login, session refresh, and the data of an account.

import assert from "node:assert/strict";
import { before, after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryStorage, TidelineError } from "../src/tideline.js";
import { again, client, eventually, password, person, proxy, record } from "./support/people.js";
import { serve } from "./support/server.js";

/** A token is valid for one second, plus five seconds of tolerance for clock differences. */
const EXPIRED_MS = 7_100;

describe("accounts", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { TIDELINE_ACCESS_TOKEN_SECONDS: "1" })));
  after(async () => {
    for (const end of ends) await end();
  });

  it("signs up, logs in and out, and takes a session up again", async (t) => {
    const storage = memoryStorage();
    const ann = await person(t, server.url, { storage, device: { name: "Ann's laptop", platform: "desktop" } });
    assert.equal((await ann.getMe()).id, ann.user.id);
    assert.equal((await ann.updateMe({ display_name: "Ann" })).display_name, "Ann");
    const [device] = await ann.listDevices();
    assert.deepEqual([device.id, device.name, device.platform], [ann.deviceId, "Ann's laptop", "desktop"]);

    const later = client(t, server.url, { storage });
    assert.equal(later.user, null);
    assert.equal((await later.restore()).display_name, "Ann");
    assert.equal(later.deviceId, ann.deviceId);

    const loggedOut = record(later, "signed_out");
    await later.logout();
    assert.deepEqual(loggedOut.signed_out, [{ reason: "signed_out" }]);
    assert.equal(await later.restore(), null);
    await assert.rejects(later.getMe(), { name: "TidelineError", code: "unauthenticated" });
    await assert.rejects(ann.getMe(), { code: "device_revoked" });
    assert.equal(ann.user, null);
    await later.login({ username: "ann-nobody", password }).then(assert.fail, (error) => {
      assert.ok(error instanceof TidelineError && error instanceof Error);
      assert.deepEqual([error.code, error.status, error.retryAfterMs], ["invalid_credentials", 401, null]);
      assert.match(error.request_id, /./);
    });
  });

  it("says what is wrong with an input", async (t) => {
    const nobody = client(t, server.url);
    await assert.rejects(nobody.register({ username: "?", password: "short" }), (error) => {
      assert.deepEqual(error.errors.map(({ pointer }) => pointer).sort(), ["/password", "/username"]);
      return error.code === "validation" && error.status === 400;
    });
    assert.match((await nobody.getCapabilities()).version, /^\d/);
  });

  it("logs in on the same device again, and manages the others", async (t) => {
    const storage = memoryStorage();
    const ann = await person(t, server.url, { storage });
    const { username } = ann.user;
    const phone = await again(t, ann, server.url);
    const device = ann.deviceId;
    await ann.login({ username, password });
    assert.equal(ann.deviceId, device);
    assert.equal((await ann.listDevices()).length, 2);
    await ann.removeDevice(phone.deviceId);
    await eventually("the phone is out", () => phone.getMe().then(() => false, (error) => error.code === "device_revoked"));
    const tablet = await again(t, ann, server.url);
    await ann.changePassword({ old_password: password, new_password: "battery staple" });
    await eventually("the tablet is out", () => tablet.getMe().then(() => false, (error) => error.code === "device_revoked"));
    await tablet.login({ username, password: "battery staple" });
  });

  it("finds people, and blocks them", async (t) => {
    const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
    assert.equal((await ann.findUser(ben.user.username)).id, ben.user.id);
    assert.equal(await ann.findUser("nobody-at-all"), null);
    assert.equal((await ann.getUser(ben.user.id)).username, ben.user.username);
    assert.equal((await ann.listUsers({ ids: [ann.user.id, ben.user.id] })).length, 2);
    await ann.blockUser(ben.user.id);
    assert.deepEqual((await ann.listBlocks()).users.map(({ id }) => id), [ben.user.id]);
    await assert.rejects(ben.createDirect(ann.user.id), { code: "blocked", status: 403 });
    await ann.unblockUser(ben.user.id);
    await ben.createDirect(ann.user.id);
  });

  it("changes a username, deactivates an account and deletes it", async (t) => {
    const storage = memoryStorage();
    const [ann, ben] = [await person(t, server.url, { storage }), await person(t, server.url)];
    const { username } = ann.user;
    const renamed = `${username}-b`.slice(-32);
    assert.equal((await ann.updateMe({ username: renamed })).username, renamed);
    assert.equal(ann.user.username, renamed);
    await assert.rejects(ann.updateMe({ username: `${username}-c`.slice(-32) }), { code: "limit_reached", status: 409 });
    await assert.rejects(ben.updateMe({ username }), { code: "conflict" });
    assert.deepEqual((await ben.searchUsers(renamed, { limit: 1 })).map(({ id, deleted }) => [id, deleted]), [[ann.user.id, false]]);
    await assert.rejects(ben.searchUsers("x"), { code: "validation" });
    const { presences, cursor } = await ben.presenceCursor([ann.user.id]);
    assert.deepEqual(presences.map((one) => [one.user_id, typeof one.state]), [[ann.user.id, "string"]]);
    assert.match(cursor, /^[\w-]+$/);
    assert.deepEqual((await ben.presence([ann.user.id, ben.user.id])).map((one) => one.user_id), [ann.user.id, ben.user.id]);
    await assert.rejects(ben.presence([]), { code: "validation" });

    const loggedOut = record(ann, "signed_out");
    const { id } = ann.user;
    await assert.rejects(ann.deactivate({ password: "wrong horse" }), { code: "invalid_credentials" });
    assert.equal(ann.user.id, id);
    await ann.deactivate({ password });
    assert.deepEqual([ann.user, loggedOut.signed_out], [null, [{ reason: "signed_out" }]]);
    assert.equal(await client(t, server.url, { storage }).restore(), null);
    assert.deepEqual(await ben.searchUsers(renamed), []);
    await assert.rejects(ben.createDirect(id), { code: "not_accepted", status: 403 });

    await ann.login({ username: renamed, password });
    const { erase_at } = await ann.deleteAccount({ password });
    assert.ok(new Date(erase_at) > Date.now());
    assert.equal(ann.user, null);
    await ann.login({ username: renamed, password });
    assert.equal(ann.user.id, id);
  });

  it("refreshes once for many calls, when the token has ended, and survives lost responses", async (t) => {
    const between = await proxy(t, server.url);
    const ann = await person(t, between.url);
    const refreshes = () => between.seen.filter((one) => one.endsWith("/refresh")).length;
    await ann.getMe();
    assert.equal(refreshes(), 0);
    await sleep(EXPIRED_MS);
    await Promise.all([...Array(8)].map(() => ann.getMe()));
    assert.equal(refreshes(), 1);

    let lost = 2;
    between.onRequest = ({ url }) => (url.endsWith("/refresh") && lost-- > 0 ? "lose" : "pass");
    const loggedOut = record(ann, "signed_out");
    await sleep(EXPIRED_MS);
    await Promise.all([...Array(4)].map(() => ann.getMe()));
    assert.equal(refreshes(), 4);
    await ann.getMe();
    assert.deepEqual(loggedOut.signed_out, []);
  });

  it("keeps the whole account over a refresh, and reads it again when it has changed", async (t) => {
    const ann = await person(t, server.url);
    const phone = await again(t, ann, server.url);
    await phone.updateMe({ bio: "Sails" });
    await ann.setStatus({ availability: "do_not_disturb", text: "At sea" });
    const [own, theirs] = [record(ann, "user"), record(phone, "user")];
    const before = ann.user;
    await sleep(EXPIRED_MS);
    await ann.getMe();
    assert.deepEqual([ann.user, own.user, before.bio, before.status.availability], [before, [], "Sails", "do_not_disturb"]);
    await phone.getMe();
    await eventually("the account as it is now", () => phone.user.status?.availability === "do_not_disturb");
    assert.deepEqual([phone.user, theirs.user], [before, [before]]);
  });
});

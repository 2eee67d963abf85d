// Media that the server keeps: uploads that survive what happens on the way, messages with them, and links.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, describe, it, after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateSync } from "node:zlib";
import { memoryStorage } from "../src/tideline.js";
import { FakeLocks } from "./support/locks.js";
import { again, client, eventually, person, proxy, record } from "./support/people.js";
import { serve } from "./support/server.js";

const PART = 8 * 1024 * 1024;
const digest = (bytes) => createHash("sha256").update(bytes).digest("base64");
const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());

/** A picture of one colour. */
function png(width, height, [red, green, blue] = [10, 120, 130]) {
  const crcs = Array.from({ length: 256 }, (_, n) => Array.from({ length: 8 }).reduce((c) => (c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1), n) >>> 0);
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const crc = body.reduce((sum, byte) => crcs[(sum ^ byte) & 255] ^ (sum >>> 8), 0xffffffff) ^ 0xffffffff;
    const [length, end] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    end.writeUInt32BE(crc >>> 0);
    return Buffer.concat([length, body, end]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from([red, green, blue]))]);
  const pixels = deflateSync(Buffer.concat(Array(height).fill(row)));
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), chunk("IHDR", head), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

/** A proxy that lists the parts that were sent. */
async function counted(t, url) {
  const way = await proxy(t, url);
  way.parts = () => way.seen.filter((line) => line.startsWith("PUT /v1/media/"));
  return way;
}

const isPart = ({ method, url }) => method === "PUT" && url.includes("/parts/");

describe("media", () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  /** Two people with a conversation. */
  async function pair(t, options = {}) {
    const ann = await person(t, options.url ?? server.url, options);
    const ben = await person(t, server.url);
    const chat = await ann.createDirect(ben.user.id);
    return { ann, ben, chat };
  }

  it("has a call for each operation", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const bytes = png(40, 20);
    const { media, parts } = await ann.createMedia({ kind: "image", name: "a.png", mime: "image/png", size: bytes.length });
    assert.deepEqual(parts, [{ part: 1, size: bytes.length, received: false }]);
    await assert.rejects(ann.uploadPart(media.id, 1, bytes, { digest: digest("other") }), { code: "validation" });
    assert.equal(await ann.uploadPart(media.id, 1, bytes, { digest: digest(bytes) }), null);
    assert.equal((await ann.getUpload(media.id)).parts[0].received, true);
    const ready = await ann.completeMedia(media.id);
    assert.deepEqual([ready.state, ready.width, ready.height], ["ready", 40, 20]);
    assert.equal((await ann.getMedia(media.id)).id, media.id);
    assert.deepEqual((await ann.listMedia()).media.map(({ id }) => id), [media.id]);
    const own = await ann.getMediaContent(media.id, { variant: "small" });
    assert.equal(own.type, "image/png");
    const message = await ann.send(chat.id, { kind: "image", content: { media_id: media.id, alt: "teal" } });
    assert.equal(message.content.alt, "teal");
    const read = await ben.getMessageMedia(chat.id, message.seq);
    assert.equal(digest(await bytesOf(read)), ready.sha256);
    await assert.rejects(ann.deleteMedia(media.id), { code: "conflict" });
    const [link, none] = await ben.createMediaLinks([{ conversation_id: chat.id, seq: message.seq, variant: "original" }, { conversation_id: chat.id, seq: 99, variant: "small" }]);
    assert.equal(none, null);
    assert.equal((await fetch(new URL(link.url, server.url))).headers.get("content-type"), "image/png");
    const second = await ann.createMedia({ kind: "file", name: "b", mime: "text/plain", size: 3 });
    assert.equal(await ann.deleteMedia(second.media.id), null);
  });

  it("uploads in parts and posts in order with the other messages", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const got = record(ben, "message");
    await ben.start();
    const { upload } = record(ann, "upload");
    const bytes = randomBytes(2 * PART + 1_000);
    const added = ann.uploads.add(bytes, { name: "data.bin" });
    assert.deepEqual([added.kind, added.mime, added.state], ["file", "application/octet-stream", "uploading"]);
    const sent = [ann.send(chat.id, "before"), ann.send(chat.id, { kind: "file", upload: added.id }), ann.send(chat.id, "after")];
    assert.deepEqual(ann.outbox.map(({ state, upload }) => [state, upload]), [["sending", undefined], ["sending", added.id], ["sending", undefined]]);
    const [, message] = await Promise.all(sent);
    assert.deepEqual([message.kind, message.content.name, message.content.size], ["file", "data.bin", bytes.length]);
    assert.equal(digest(await bytesOf(await ben.getMessageMedia(chat.id, message.seq))), digest(bytes));
    await eventually("all three", () => got.message.length === 3);
    assert.deepEqual(got.message.map(({ message }) => message.content.text ?? message.kind), ["before", "file", "after"]);
    const progress = upload.map(({ sent }) => sent);
    assert.deepEqual(progress, progress.toSorted((a, b) => a - b));
    assert.ok(new Set(progress).size >= 3, String(progress));
    assert.deepEqual([...new Set(upload.map(({ state }) => state))], ["uploading", "processing", "ready"]);
    assert.deepEqual(ann.uploads.list(), []);
  });

  it("continues with what is missing after a lost connection", async (t) => {
    const way = await counted(t, server.url);
    const { ann } = await pair(t, { url: way.url });
    const bytes = randomBytes(4 * PART);
    let cuts = 0;
    // The first two parts arrive. Then the connection breaks, three times in the middle of a body.
    way.onRequest = (request) => {
      if (!isPart(request) || way.parts().length < 2 || cuts >= 3) return "pass";
      cuts++;
      request.once("data", () => request.socket.destroy());
      return "pass";
    };
    const { upload } = record(ann, "upload");
    const media = await ann.uploads.done(ann.uploads.add(bytes, { name: "long.bin" }).id);
    assert.equal(media.sha256, digest(bytes));
    assert.ok(cuts >= 2);
    const arrived = way.parts().map((line) => line.at(-1));
    assert.equal(arrived.filter((part) => part === "1").length, 1);
    assert.equal(arrived.filter((part) => part === "2").length, 1);
    assert.ok(upload.some(({ state, error }) => state === "uploading" && error?.code === "network"));
    assert.ok(way.seen.some((line) => line === `GET /v1/media/${media.id}/upload`));
  });

  it("continues after a restart, and says so when the bytes are gone", async (t) => {
    const way = await counted(t, server.url);
    const storage = memoryStorage();
    const { ann, ben, chat } = await pair(t, { url: way.url, storage });
    const bytes = randomBytes(3 * PART);
    // Parts come together, in any order.
    way.onRequest = (request) => (isPart(request) && !request.url.endsWith("/1") ? "refuse" : "pass");
    const added = ann.uploads.add(bytes, { name: "big.bin", mime: "application/x-big" });
    ann.send(chat.id, { kind: "file", upload: added.id }).catch(() => {});
    ann.send(chat.id, "after").catch(() => {});
    await eventually("a part", () => ann.uploads.get(added.id).sent >= PART);
    await eventually("what is missing fails", () => ann.uploads.get(added.id).error?.code === "network");
    await ann.close();
    const copy = { ...memoryStorage() };
    for (const key of storage.keys("")) copy.set(key, storage.get(key));

    way.onRequest = () => "pass";
    const before = way.parts().filter((line) => line.endsWith("/1")).length;
    const next = client(t, way.url, { storage });
    await next.restore();
    const { send } = record(next, "send");
    await next.start();
    await eventually("both are sent", () => send.filter(({ state }) => state === "stored").length === 2);
    assert.equal(way.parts().filter((line) => line.endsWith("/1")).length, before);
    const { messages } = await ben.listMessages(chat.id);
    assert.deepEqual(messages.map(({ kind }) => kind), ["file", "text"]);
    assert.equal(digest(await bytesOf(await ben.getMessageMedia(chat.id, messages[0].seq))), digest(bytes));
    assert.deepEqual([storage.keys("").filter((key) => key.includes(":upload:")), storage.bytes.keys("")], [[], []]);

    // The same, without the bytes, and before the server had all of them.
    const third = client(t, way.url, { storage: copy });
    await third.restore();
    const failed = record(third, "send", "upload");
    const item = copy.keys("").find((key) => key.includes(":upload:"));
    copy.set(item, JSON.stringify({ ...JSON.parse(copy.get(item)), media_id: null, client_media_id: third.user.id }));
    await third.start();
    await eventually("the message has failed", () => failed.send.some(({ state }) => state === "failed"));
    const { error } = failed.send.find(({ state }) => state === "failed");
    assert.equal(error.code, "bytes_lost");
    assert.match(error.detail, /attach the file again/);
    await third.discard(third.outbox[0].client_msg_id);
    await eventually("nothing is left", () => third.uploads.list().length === 0);
  });

  it("stands doubled and lost parts", async (t) => {
    const way = await counted(t, server.url);
    const { ann } = await pair(t, { url: way.url });
    const bytes = randomBytes(2 * PART + 5);
    let lost = 0;
    way.onRequest = (request) => (isPart(request) && lost++ < 2 ? "lose" : "pass");
    const { id } = ann.uploads.add(bytes, { name: "twice.bin" });
    await eventually("it has an id", () => ann.uploads.get(id).media_id);
    const { media_id } = ann.uploads.get(id);
    // Another device of the person sends a part too.
    await (await again(t, ann, server.url)).uploadPart(media_id, 3, bytes.subarray(2 * PART)).catch(({ code }) => assert.equal(code, "conflict"));
    assert.equal((await ann.uploads.done(id)).sha256, digest(bytes));
  });

  it("cancels: the message and what the server has are gone", async (t) => {
    const way = await counted(t, server.url);
    const storage = memoryStorage();
    const { ann, chat } = await pair(t, { url: way.url, storage });
    way.onRequest = (request) => (isPart(request) ? "refuse" : "pass");
    const added = ann.uploads.add(randomBytes(100), { name: "no.bin" });
    const sent = ann.send(chat.id, { kind: "file", upload: added.id }, { client_msg_id: added.id });
    await eventually("it has an id", () => ann.uploads.get(added.id).media_id);
    const { media_id } = ann.uploads.get(added.id);
    const { upload } = record(ann, "upload");
    await Promise.all([assert.rejects(sent, { code: "discarded" }), ann.discard(added.id)]);
    await eventually("the server has deleted it", () => ann.getMedia(media_id).then(() => false, ({ status }) => status === 404));
    assert.equal(upload.at(-1).state, "cancelled");
    assert.deepEqual([ann.outbox, ann.uploads.list(), storage.bytes.keys("")], [[], [], []]);
    assert.equal((await ann.send(chat.id, "next")).seq, 1);
  });

  it("cancels while the upload is created", async (t) => {
    const way = await counted(t, server.url);
    const { ann } = await pair(t, { url: way.url });
    let created;
    way.onRequest = ({ method, url }) => {
      if (method === "POST" && url === "/v1/media") created = true;
      return "pass";
    };
    const { id } = ann.uploads.add(randomBytes(100), { name: "quick.bin" });
    await eventually("it is created", () => created);
    await ann.uploads.cancel(id);
    await eventually("nothing is there", async () => (await ann.listMedia()).media.length === 0 && way.seen.some((line) => line.startsWith("DELETE /v1/media/")));
  });

  it("shows why the server refuses media, and uploads again", async (t) => {
    const { ann, chat } = await pair(t);
    const added = ann.uploads.add(Buffer.from("<svg onload='alert(1)'/>"), { kind: "image", name: "x.png", mime: "image/png" });
    await assert.rejects(ann.send(chat.id, { kind: "image", upload: added.id }), { code: "media_rejected", errors: [{ pointer: "", detail: "type" }] });
    const [item] = ann.outbox;
    assert.deepEqual([item.state, item.error.code, ann.uploads.get(added.id).state], ["failed", "media_rejected", "failed"]);
    // The refusal of one message does not hold up the next one.
    assert.equal((await ann.send(chat.id, "next")).seq, 1);
    await assert.rejects(ann.retry(item.client_msg_id), { code: "media_rejected" });
    await ann.discard(item.client_msg_id);
    assert.deepEqual([ann.outbox, ann.uploads.list()], [[], []]);

    const { limits } = await ann.getCapabilities();
    const refusals = [
      [{ size: limits.media_image_bytes + 1, type: "image/png" }, "payload_too_large"],
      [{ size: limits.media_bytes + 1, type: "" }, "payload_too_large"],
    ];
    for (const [{ size, type }, code] of refusals) {
      const large = new Blob([new Uint8Array(size)], { type });
      await assert.rejects(ann.uploads.done(ann.uploads.add(large).id), { code });
    }
    await assert.rejects(ann.uploads.done(ann.uploads.add(new Blob(["a"]), { kind: "video", mime: "video/mp4" }).id), { code: "validation" });
    assert.throws(() => ann.uploads.add("text"), { code: "validation" });
    await assert.rejects(ann.send(chat.id, { kind: "file", upload: "x" }), { code: "validation" });
    await assert.rejects(ann.send(chat.id, { kind: "file", upload: chat.id }), { code: "bytes_lost" });
  });

  it("shows that the quota is reached", async (t) => {
    const small = await serve(t, { TIDELINE_MEDIA_QUOTA: "1048576" });
    const ann = await person(t, small.url);
    const ben = await person(t, small.url);
    const chat = await ann.createDirect(ben.user.id);
    const upload = ann.uploads.add(new Uint8Array(1_048_577), { name: "much.bin" });
    await assert.rejects(ann.send(chat.id, { kind: "file", upload: upload.id }), { code: "limit_reached" });
    assert.equal(ann.outbox[0].error.code, "limit_reached");
  });

  it("ends an upload whose parts are too large for a proxy", async (t) => {
    const way = await counted(t, server.url);
    const { ann } = await pair(t, { url: way.url });
    way.onRequest = (request, response) => {
      if (!isPart(request)) return "pass";
      request.resume().on("end", () => response.writeHead(413, { "Content-Type": "text/html" }).end("<h1>413 Request Entity Too Large</h1>"));
      return "answer";
    };
    const { id } = ann.uploads.add(randomBytes(1_000), { name: "wide.bin" });
    await eventually("it has ended", () => ann.uploads.get(id).state === "failed");
    await assert.rejects(ann.uploads.done(id), { code: "payload_too_large", status: 413 });
    assert.equal(way.parts().length, 1);
  });

  it("makes media again that the server has deleted before they were sent", async (t) => {
    const { ann, chat } = await pair(t);
    const { id } = ann.uploads.add(png(8, 8), { name: "a.png", mime: "image/png" });
    const first = await ann.uploads.done(id);
    await ann.deleteMedia(first.id);
    const sent = ann.send(chat.id, { kind: "image", upload: id });
    await assert.rejects(sent, { code: "not_found" });
    const message = await ann.retry(ann.outbox[0].client_msg_id);
    assert.notEqual(message.content.media_id, first.id);
    assert.deepEqual(ann.uploads.list(), []);
  });

  it("sends a video with its still picture", async (t) => {
    const { ann, ben, chat } = await pair(t);
    const webm = Buffer.concat([Buffer.from("1a45dfa39f42868101428284", "hex"), Buffer.from("webm"), Buffer.alloc(300)]);
    const video = ann.uploads.add(new Blob([webm], { type: "video/webm" }), { name: "v.webm", width: 320, height: 240, duration_ms: 1_000 });
    assert.equal(video.kind, "video");
    const poster = ann.uploads.add(png(320, 240), { name: "v.png", mime: "image/png" });
    const { content, seq } = await ann.send(chat.id, { kind: "video", upload: video.id, poster_upload: poster.id, content: { alt: "a wave" } });
    assert.deepEqual([content.width, content.duration_ms, content.alt], [320, 1_000, "a wave"]);
    assert.ok(content.poster_media_id && content.thumbhash);
    assert.equal((await ben.getMessageMedia(chat.id, seq, { variant: "poster" })).type, "image/png");
  });

  it("gathers links, keeps them, and has none of what may not be seen", async (t) => {
    const way = await proxy(t, server.url);
    const { ann, ben, chat } = await pair(t);
    const upload = ann.uploads.add(png(400, 300), { name: "a.png", mime: "image/png" });
    const { seq } = await ann.send(chat.id, { kind: "image", upload: upload.id });
    const reader = await again(t, ben, way.url);
    const asked = () => way.seen.filter((line) => line === "POST /v1/media/links").length;
    const [small, original, same, none] = await Promise.all([
      reader.mediaLink(chat.id, seq, "small"), reader.mediaLink(chat.id, seq), reader.mediaLink(chat.id, seq, "small"), reader.mediaLink(chat.id, 77),
    ]);
    assert.deepEqual([small === same, none, asked()], [true, null, 1]);
    assert.ok(original.startsWith(way.url));
    assert.equal((await fetch(small)).status, 200);
    assert.equal(await reader.mediaLink(chat.id, seq, "small"), small);
    assert.equal(asked(), 1);
    assert.ok(await reader.mediaLink(chat.id, seq, "small", { fresh: true }));
    assert.equal(asked(), 2);
    const many = await Promise.all(Array.from({ length: 150 }, (_, n) => reader.mediaLink(chat.id, n + 10)));
    assert.deepEqual([many.every((one) => one === null), asked()], [true, 4]);
    await ann.recall(chat.id, seq);
    assert.equal((await fetch(small)).status, 404);
    assert.equal(await reader.mediaLink(chat.id, seq, "small", { fresh: true }), null);
    await assert.rejects(reader.mediaLink(chat.id, seq, "huge"), { code: "validation" });
  });

  it("gives the user and a group a picture, and has addresses of them", async (t) => {
    const way = await proxy(t, server.url);
    const { ann, ben } = await pair(t);
    const group = await ann.createGroup({ title: "Harbour", member_ids: [ben.user.id] });
    const account = await ann.setAvatar(new Blob([png(400, 300)], { type: "image/png" }), { name: "me.png" });
    assert.match(account.avatar_url, /^\/v1\/users\/.+\/avatar\?v=/);
    assert.equal(ann.user.avatar_url, account.avatar_url);
    const { avatar_url } = await ann.setConversationAvatar(group.id, png(8, 8), { mime: "image/png" });
    assert.deepEqual(ann.uploads.list(), []);
    const seen = await ben.getUser(ann.user.id);
    assert.equal(seen.avatar_url, account.avatar_url);
    assert.equal((await ben.getUserAvatar(seen.id)).type, "image/jpeg");
    assert.equal((await ben.getConversationAvatar(group.id)).type, "image/png");

    const reader = await again(t, ben, way.url);
    const asked = () => way.seen.filter((line) => line === "POST /v1/media/avatar-links").length;
    const [person, place, same] = await Promise.all([reader.avatarLink(seen.avatar_url), reader.avatarLink(avatar_url), reader.avatarLink(seen.avatar_url)]);
    assert.deepEqual([person === same, asked()], [true, 1]);
    for (const url of [person, place]) assert.equal((await fetch(url)).status, 200);
    assert.equal(await reader.avatarLink(avatar_url), place);
    assert.deepEqual([await reader.avatarLink(null), await reader.avatarLink("https://files.example/a.png"), asked()], [null, "https://files.example/a.png", 1]);

    assert.equal((await ann.setAvatar(null)).avatar_url, null);
    assert.equal(await reader.avatarLink(seen.avatar_url, { fresh: true }), null);
    assert.equal((await fetch(person)).status, 404);
    assert.equal((await ann.setConversationAvatar(group.id, null)).avatar_url, null);
    await assert.rejects(ann.setAvatar(new Blob(["no picture"], { type: "image/png" })), { code: "media_rejected" });
    await assert.rejects(ben.setConversationAvatar(group.id, png(8, 8), { mime: "image/png" }), { code: "forbidden" });
    await eventually("what was refused is gone", async () => ann.uploads.list().length === 0 && (await ben.listMedia()).media.length === 0);
  });

  it("uploads in one of two tabs, and the other goes on when that one ends", async (t) => {
    const way = await counted(t, server.url);
    const shared = { storage: memoryStorage(), locks: new FakeLocks(), tabs: true, url: way.url };
    const { ann, ben, chat } = await pair(t, shared);
    await ann.start();
    const other = client(t, way.url, shared);
    await other.restore();
    await other.start();
    const bytes = randomBytes(3 * PART);
    way.onRequest = (request) => (isPart(request) && way.parts().length >= 2 ? "refuse" : "pass");
    const seen = record(other, "upload");
    const { id } = ann.uploads.add(bytes, { name: "tabs.bin" });
    ann.send(chat.id, { kind: "file", upload: id }).catch(() => {});
    await eventually("the other tab sees the progress", () => other.uploads.get(id)?.sent > 0);
    await eventually("it waits", () => ann.uploads.get(id).error);
    await ann.close();
    way.onRequest = () => "pass";
    await eventually("the message is stored", async () => (await ben.listMessages(chat.id)).messages.length === 1);
    const { messages } = await ben.listMessages(chat.id);
    assert.equal(digest(await bytesOf(await ben.getMessageMedia(chat.id, messages[0].seq))), digest(bytes));
    assert.ok(seen.upload.length > 1);
    await eventually("the storage is clean", () => shared.storage.bytes.keys("").length === 0);
    assert.deepEqual([other.uploads.list(), other.outbox], [[], []]);
  });

  it("waits offline, and goes on when the network is back", async (t) => {
    const way = await counted(t, server.url);
    const network = new EventTarget();
    const { ann } = await pair(t, { url: way.url, network, backoff: { base: 60_000, cap: 60_000 } });
    await ann.start();
    let hold = true;
    way.onRequest = (request) => {
      if (hold && isPart(request)) request.pause();
      return hold && isPart(request) ? "refuse" : "pass";
    };
    const { id } = ann.uploads.add(randomBytes(1_000), { name: "off.bin" });
    await eventually("it waits", () => ann.uploads.get(id).error);
    hold = false;
    await sleep(100);
    network.dispatchEvent(new Event("online"));
    assert.equal((await ann.uploads.done(id)).state, "ready");
  });

  it("deletes everything at the logout", async (t) => {
    const storage = memoryStorage();
    const way = await counted(t, server.url);
    const { ann } = await pair(t, { url: way.url, storage });
    way.onRequest = (request) => (isPart(request) ? "refuse" : "pass");
    const { id } = ann.uploads.add(randomBytes(1_000), { name: "gone.bin" });
    await eventually("the bytes are stored", () => storage.bytes.keys("").length === 1);
    const done = ann.uploads.done(id);
    await Promise.all([assert.rejects(done, { code: "signed_out" }), ann.logout()]);
    await eventually("nothing is left", () => storage.bytes.keys("").length === 0 && !storage.keys("").some((key) => key.includes(":upload:")));
    assert.deepEqual(ann.uploads.list(), []);
    assert.throws(() => ann.uploads.add(randomBytes(1)), { code: "unauthenticated" });
  });
});

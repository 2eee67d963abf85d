// Media elsewhere: links to another origin than that of the API, and bytes that come from the store itself.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { again, person, proxy } from "./support/people.js";
import { serve } from "./support/server.js";
import { store } from "./support/store.js";

const PART = 8 * 1024 * 1024;
const bytesOf = async (source) => Buffer.from(await source.arrayBuffer());

/** Two people with a conversation, and a file of two parts in it. */
async function posted(t, url) {
  const [ann, ben] = [await person(t, url), await person(t, url)];
  const chat = await ann.createDirect(ben.user.id);
  const bytes = randomBytes(PART + 1_000);
  const upload = ann.uploads.add(bytes, { name: "data.bin", mime: "application/x-data" });
  const { seq } = await ann.send(chat.id, { kind: "file", upload: upload.id });
  return { ann, ben, chat, seq, bytes };
}

describe("media elsewhere", () => {
  const ends = [];
  const t = { after: (end) => ends.unshift(end) };
  let server, front, bucket;
  before(async () => {
    // It leads to the server, which has to know its address first.
    front = await proxy(t, { toString: () => server.url });
    bucket = await store(t);
    server = await serve(t, { ...bucket.env, TIDELINE_MEDIA_PUBLIC_URL: front.url, TIDELINE_MEDIA_REDIRECT: "on" });
  });
  after(async () => {
    for (const end of ends) await end();
  });

  it("uploads to the server, and downloads what the store has", async (t) => {
    const { ann, ben, chat, seq, bytes } = await posted(t, server.url);
    bucket.signed.length = 0;
    const blob = await ben.getMessageMedia(chat.id, seq);
    assert.ok(bytes.equals(await bytesOf(blob)));
    assert.equal(blob.type, "application/octet-stream");
    const { media } = await ann.createMedia({ kind: "file", name: "b", mime: "text/plain", size: 3 });
    await ann.uploadPart(media.id, 1, Buffer.from("abc"));
    await ann.completeMedia(media.id);
    assert.equal(await (await ann.getMediaContent(media.id)).text(), "abc");
    // The store sees no token of a user.
    assert.deepEqual(bucket.signed.map(({ headers }) => headers.authorization), [undefined, undefined]);
    bucket.ahead = 61_000;
    await assert.rejects(ben.getMessageMedia(chat.id, seq), { code: "network" });
    bucket.ahead = 0;
    assert.ok(bytes.equals(await bytesOf(await ben.getMessageMedia(chat.id, seq))));
    await assert.rejects(ben.getMessageMedia(chat.id, 99), { code: "not_found" });
  });

  it("has links to the other origin, which lead to the store anew each time", async (t) => {
    const { ben, chat, seq, bytes } = await posted(t, server.url);
    const link = await ben.mediaLink(chat.id, seq);
    assert.equal(new URL(link).origin, front.url);
    assert.ok(bytes.equals(await bytesOf(await fetch(link))));
    const stored = (await fetch(link, { redirect: "manual" })).headers.get("location");
    assert.equal(new URL(stored).origin, bucket.url);
    assert.equal((await fetch(stored)).status, 200);
    bucket.ahead = 61_000;
    assert.equal((await fetch(stored)).status, 403);
    bucket.ahead = 0;
    assert.equal((await fetch(link)).status, 200);
  });

  it("asks for another link when one has ended", async (t) => {
    const { ann, ben, chat, seq, bytes } = await posted(t, server.url);
    const way = await proxy(t, server.url);
    // The first link is about to end.
    let soon = true;
    const reader = await again(t, ben, way.url, {
      fetch: async (url, request) => {
        const response = await fetch(url, request);
        if (!soon || !url.endsWith("/v1/media/links")) return response;
        soon = false;
        const { links } = await response.json();
        return Response.json({ links: links.map((one) => ({ ...one, expires_at: new Date(Date.now() + 60_000).toISOString() })) });
      },
    });
    const asked = () => way.seen.filter((line) => line === "POST /v1/media/links").length;
    await reader.mediaLink(chat.id, seq);
    const link = await reader.mediaLink(chat.id, seq);
    assert.equal(await reader.mediaLink(chat.id, seq), link);
    assert.equal(asked(), 2);
    // Of a link whose hour is over the answer is 404, and the application asks for another one.
    const [start, token] = link.split("/l/");
    const ended = Buffer.from(token, "base64url");
    ended.writeUInt32BE(ended.readUInt32BE() - 3);
    assert.equal((await fetch(`${start}/l/${ended.toString("base64url")}`)).status, 404);
    const anew = await reader.mediaLink(chat.id, seq, "original", { fresh: true });
    assert.ok(bytes.equals(await bytesOf(await fetch(anew))));
    assert.equal(asked(), 3);
    await ann.recall(chat.id, seq);
    assert.equal((await fetch(anew)).status, 404);
    assert.equal(await reader.mediaLink(chat.id, seq, "original", { fresh: true }), null);
  });
});

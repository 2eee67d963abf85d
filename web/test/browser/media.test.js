// Loading an image reveals the reader to its host. So images are loaded only from trusted hosts, or after a click.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

test("pictures of other hosts", { timeout: 300_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_TRUSTED_MEDIA_HOSTS: "media.example, *.cdn.example" });
  const browser = await browse(t, server);
  const eve = await api(t, server, "eve", "Eve");
  const ann = await browser.person("ann");
  const asked = [];
  await ann.context().route(/\.example\//, (route) => {
    asked.push(new URL(route.request().url()).host);
    return route.fulfill({ contentType: "image/png", body: PIXEL });
  });
  const chat = await eve.createDirect((await eve.findUser("ann")).id);
  const picture = (host, more) => eve.send(chat.id, { kind: "image", content: { url: `https://${host}/a.png`, mime: "image/png", size: 1, width: 30, height: 20, ...more } });
  await picture("media.example");
  await picture("a.cdn.example");
  await picture("cdn.example");
  await picture("media.example.evil.example");
  await picture("media.example", { thumbnail_url: "https://thumbs.evil.example/a.png" });
  await eve.send(chat.id, { kind: "video", content: { url: "https://films.evil.example/a.mp4", mime: "video/mp4", size: 1, width: 30, height: 20, duration_ms: 1_000, thumbnail_url: "https://poster.evil.example/a.png" } });
  await enter(ann, "Eve");

  await t.test("those of trusted hosts are loaded immediately, no others", async () => {
    await until(() => ann.locator("#rows figure").count(), 6);
    await until(() => asked.toSorted().join(), "a.cdn.example,media.example");
    await until(() => ann.locator(".unloaded").count(), 3);
    assert.match(await ann.textContent(".unloaded >> nth=1"), /media\.example\.evil\.example will see/);
    await ann.waitForTimeout(500);
    assert.equal(asked.length, 2);
  });

  await t.test("a click loads one, and that one only; the keyboard does too", async () => {
    await ann.click(".unloaded button >> nth=0");
    await until(() => asked.slice(2).join(), "cdn.example");
    await ann.focus(".unloaded button >> nth=1");
    await ann.keyboard.press("Enter");
    await until(() => asked.slice(3).join(), "thumbs.evil.example");
    assert.equal(await ann.evaluate(() => document.activeElement.href), "https://media.example/a.png");
    await until(() => ann.locator(".unloaded").count(), 1);
  });
});

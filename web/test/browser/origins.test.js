// Media and pages of different origins: a link shows its picture and plays its video, and no file of a user runs anything, whatever it is
// called and however it is opened. The browser client shows media of another origin.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { proxy } from "../../../sdk/javascript/test/support/people.js";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { store } from "../../../sdk/javascript/test/support/store.js";
import { browse, enter, password, until } from "./support/browser.js";
import { drawing, recording } from "./support/files.js";
import { api } from "./support/people.js";

/** The SDK, by its paths. */
const sdk = (path) => readFile(new URL(`../../../sdk/javascript/src/${path}`, import.meta.url));

/** A page of another origin, which has the SDK, and counts the scripts that have run. */
async function elsewhere(t) {
  const ran = [];
  const server = createServer(async (request, response) => {
    if (request.url.startsWith("/ran")) ran.push(request.url);
    if (request.url.startsWith("/sdk/")) return response.setHeader("Content-Type", "text/javascript").end(await sdk(request.url.slice(5)));
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><title>elsewhere</title><body></body>");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}`, ran };
}

/** Files with a script that reports itself. */
const hostile = (url) => {
  const script = (name) => `new Image().src = "${url}/ran/${name}"; document.title = "ran"`;
  const inside = (name) => `<script>${script(name)}</script><img src="${url}/ran/${name}-image">`;
  const svg = (name) => `<svg xmlns="http://www.w3.org/2000/svg" onload='${script(name)}'><script>${script(name)}</script></svg>`;
  return [
    ["page.html", "text/html", inside("html")],
    ["page.xhtml", "application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><body>${inside("xhtml").replace(">", "/>")}</body></html>`],
    ["picture.svg", "image/svg+xml", svg("svg")],
    ["data.xml", "text/xml", svg("xml")],
    ["script.js", "text/javascript", script("js")],
    ["style.css", "text/css", `body { background: url(${url}/ran/css) }`],
    ["sound.mp3", "audio/mpeg", `ID3\u0003\u0000\u0000\u0000\u0000\u0000\u0000${inside("mp3")}`],
    ["sound.ogg", "audio/ogg", `OggS\u0000\u0002${"\u0000".repeat(20)}${inside("ogg")}`],
    ["paper.pdf", "application/pdf", `%PDF-1.4\n${inside("pdf")}`],
  ];
};

test("media from another origin", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const { url, ran } = await elsewhere(t);
  const [ann, ben] = [await api(t, server, "ann", "Ann"), await api(t, server, "ben", "Ben")];
  const chat = await ann.createDirect((await ann.findUser("ben")).id);
  // What the browser refuses, it says on the console.
  const context = await browser.browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  /** Sends a file, and returns the link of the other person to it. */
  const link = async (bytes, about) => {
    const upload = ann.uploads.add(bytes, about);
    const { seq } = await ann.send(chat.id, { kind: upload.kind, upload: upload.id, content: {} });
    return new URL(await ben.mediaLink(chat.id, seq), server.url).href;
  };
  const links = [];
  for (const [name, mime, text] of hostile(url)) links.push([name, mime, await link(Buffer.from(text), { name, mime })]);

  await t.test("a picture is shown, and a video plays and seeks", async () => {
    const picture = await link(await drawing(page, 64, 48), { name: "sea.jpg", mime: "image/jpeg" });
    const video = await link(await recording(page), { name: "sea.webm", mime: "video/webm", width: 320, height: 180, duration_ms: 1_200 });
    const size = await page.evaluate(async (src) => {
      const img = Object.assign(new Image(), { src });
      document.body.append(img);
      await img.decode();
      return [img.naturalWidth, img.naturalHeight];
    }, picture);
    assert.deepEqual(size, [64, 48]);
    const times = await page.evaluate(async (src) => {
      const video = Object.assign(document.createElement("video"), { src, muted: true });
      const happens = (name) => new Promise((resolve, reject) => Object.assign(video, { [`on${name}`]: resolve, onerror: () => reject(video.error) }));
      document.body.append(video);
      await happens("loadeddata");
      video.currentTime = 0.5;
      await happens("seeked");
      return video.currentTime;
    }, video);
    assert.equal(times, 0.5);
    // The page shows them, and reads nothing of them.
    const read = await page.evaluate(async (src) => {
      const canvas = document.createElement("canvas").getContext("2d");
      canvas.drawImage(document.querySelector("img"), 0, 0);
      const pixels = () => canvas.getImageData(0, 0, 1, 1) && "read";
      const refused = (error) => error.name;
      return [await Promise.resolve().then(pixels).catch(refused), await fetch(src).then(() => "read", refused)];
    }, picture);
    assert.deepEqual(read, ["SecurityError", "TypeError"]);
  });

  await t.test("no file runs a script when a page embeds it", async () => {
    await page.evaluate((links) => {
      const add = (name, about) => document.body.append(Object.assign(document.createElement(name), about));
      for (const [, type, src] of links) {
        for (const name of ["iframe", "embed", "img", "audio", "script"]) add(name, { src });
        add("script", { src, type: "module" });
        add("object", { data: src, type });
        add("link", { href: src, rel: "stylesheet" });
      }
    }, links);
    await page.waitForTimeout(1_000);
    assert.deepEqual([ran, await page.title()], [[], "elsewhere"]);
  });

  await t.test("no file runs a script when it is opened, and a download has its name", async () => {
    for (const [name, mime, href] of links) {
      const tab = await context.newPage();
      const downloads = [];
      tab.on("download", (download) => downloads.push(download.suggestedFilename()));
      await tab.goto(href).catch(() => {});
      const isPlayed = mime.startsWith("audio/");
      if (isPlayed) await tab.waitForTimeout(300);
      else await until(() => downloads, [name]);
      assert.notEqual(await tab.title(), "ran", name);
      await tab.goto(`${href}?download=true`).catch(() => {});
      await until(() => downloads.at(-1), name);
      await tab.close();
    }
    assert.deepEqual(ran, []);
  });
});

test("media of another origin than the page", { timeout: 300_000 }, async (t) => {
  const { url } = await elsewhere(t);
  // It leads to the server, which has to know its address first.
  const front = await proxy(t, { toString: () => server.url });
  const bucket = await store(t);
  const server = await serve(t, { ...bucket.env, TIDELINE_MEDIA_PUBLIC_URL: front.url, TIDELINE_MEDIA_REDIRECT: "on", TIDELINE_CORS_ORIGINS: url });
  const browser = await browse(t, server);
  const ann = await api(t, server, "ann", "Ann");
  const ben = await browser.person("ben");
  const chat = await ann.createDirect((await ann.findUser("ben")).id);
  const send = async (bytes, about) => {
    const upload = ann.uploads.add(bytes, about);
    return (await ann.send(chat.id, { kind: upload.kind, upload: upload.id, content: {} })).seq;
  };
  await send(await drawing(ben, 64, 48), { name: "sea.jpg", mime: "image/jpeg" });
  await send(await recording(ben), { name: "sea.webm", mime: "video/webm", width: 320, height: 180, duration_ms: 1_200 });
  const seq = await send(Buffer.from("words"), { name: "words.bin", mime: "application/octet-stream" });

  await t.test("the browser client shows them", async () => {
    await enter(ben, "Ann");
    const shown = (all) => all.filter((node) => node.naturalWidth || node.readyState > 1).map((node) => [node.tagName, new URL(node.currentSrc).origin]);
    await until(() => ben.locator("#rows :is(img, video)").evaluateAll(shown), [["IMG", front.url], ["VIDEO", front.url]]);
  });

  await t.test("the SDK downloads them in a page of another origin", async () => {
    const page = await (await browser.browser.newContext()).newPage();
    await page.goto(url);
    bucket.signed.length = 0;
    const text = await page.evaluate(async ([url, password, chat, seq]) => {
      const { Tideline } = await import("/sdk/tideline.js");
      const client = new Tideline({ url });
      await client.login({ username: "ann", password });
      const blob = await client.getMessageMedia(chat, seq);
      await client.close();
      return blob.text();
    }, [server.url, password, chat.id, seq]);
    assert.equal(text, "words");
    assert.deepEqual(bucket.signed.map(({ headers }) => headers.authorization), [undefined]);
  });
});

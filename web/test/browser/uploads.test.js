// Media that the server keeps: attached, on their way, in the thread, in the viewer, and gone.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Tideline } from "../../../sdk/javascript/src/tideline.js";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, password, say, texts, until } from "./support/browser.js";
import { choose, drawing, recording } from "./support/files.js";
import { api } from "./support/people.js";

const PART = 8 * 1024 * 1024;
const SCREENS = fileURLToPath(new URL("../../../target/screens/", import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LOOKS = [
  { name: "wide-light", viewport: { width: 1280, height: 800 }, media: { colorScheme: "light" } },
  { name: "narrow-dark", viewport: { width: 360, height: 740 }, media: { colorScheme: "dark" } },
  { name: "wide-forced", viewport: { width: 1280, height: 800 }, media: { colorScheme: "dark", forcedColors: "active" } },
];

/** Files that are pasted or dropped: `paste` on the document, or the events of a drag over the conversation. */
const hand = (page, how, files) =>
  page.evaluate(
    ([how, files]) => {
      const dataTransfer = new DataTransfer();
      for (const { name, mimeType, bytes } of files) dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type: mimeType }));
      const fire = (node, event) => (node.dispatchEvent(event), event.defaultPrevented);
      const more = { bubbles: true, cancelable: true };
      if (how === "paste") return fire(document.querySelector("#text"), new ClipboardEvent("paste", { ...more, clipboardData: dataTransfer }));
      const seen = [];
      for (const name of how === "drop" ? ["dragenter", "dragover", "drop"] : ["dragenter", "dragover"]) {
        fire(document.querySelector("#log"), new DragEvent(name, { ...more, dataTransfer }));
        seen.push(document.querySelector("#drop").hidden);
      }
      return seen;
    },
    [how, files.map(({ name, mimeType, buffer }) => ({ name, mimeType, bytes: [...buffer] }))],
  );

const cards = (page) => page.locator(".attachment .file-name").allTextContents();
const stored = (page) => page.locator(".row.mine[data-state=stored]").count();
const isLoaded = (page, selector) => page.locator(selector).evaluateAll((all) => all.length > 0 && all.every((img) => img.complete && img.naturalWidth > 0));
/** The present state of the uploads on the page. */
const shown = (page) => page.locator(".upload progress").evaluateAll((all) => all.map(({ value }) => value));

/** Allows what the page needs to look at a video before it is sent. */

test("media that the server keeps", { timeout: 400_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const ben = await browser.person("ben");
  const cleo = await api(t, server, "cleo", "Cleo");
  const ids = [(await cleo.findUser("ann")).id, (await cleo.findUser("ben")).id];
  const group = await cleo.createGroup({ title: "Harbour", member_ids: ids });
  /** The account of Ann, from outside of the page. */
  const outside = new Tideline({ url: server.url });
  t.after(() => outside.close());
  await outside.login({ username: "ann", password });
  const photo = await drawing(ann, 1_600, 1_000);
  await enter(ann, "Harbour");
  await enter(ben, "Harbour");

  await t.test("files are attached by button, paste and drop, and can be removed", async () => {
    await choose(ann, { name: "noon.jpg", mimeType: "image/jpeg", buffer: photo }, { name: "list.txt", mimeType: "text/plain", buffer: Buffer.from("rope") });
    await until(() => cards(ann), ["noon.jpg", "list.txt"]);
    assert.equal(await ann.evaluate(() => document.activeElement.id), "text");
    const small = await drawing(ann, 60, 40, "image/png");
    assert.equal(await hand(ann, "paste", [{ name: "image.png", mimeType: "image/png", buffer: small }]), true);
    assert.deepEqual(await hand(ann, "drop", [{ name: "b.png", mimeType: "image/png", buffer: small }]), [false, false, true]);
    await until(() => cards(ann), ["noon.jpg", "list.txt", "image.png", "b.png"]);
    // The files stay while another conversation is open.
    await ann.evaluate(() => (location.hash = "#/"));
    await enter(ann, "Harbour");
    await until(() => cards(ann), ["noon.jpg", "list.txt", "image.png", "b.png"]);
    await until(() => ann.locator(".attachment canvas").count(), 3);
    assert.equal(await ann.locator(".attachment-alt").count(), 3);
    for (let n = 0; n < 2; n++) await ann.click(".attachment .round >> nth=-1");
    await ann.click(".attachment .round >> nth=1");
    await until(() => cards(ann), ["noon.jpg"]);
    await hand(ann, "drag", [{ name: "b.png", mimeType: "image/png", buffer: small }]);
    await ann.waitForSelector("#drop:not([hidden])");
    await ann.dispatchEvent("#log", "dragleave", { dataTransfer: await ann.evaluateHandle(() => (([t]) => (t.items.add(new File(["a"], "a")), t))([new DataTransfer()])) });
    await ann.waitForSelector("#drop", { state: "hidden" });
    await choose(ann, { name: "empty.txt", mimeType: "text/plain", buffer: Buffer.alloc(0) });
    await ann.waitForSelector(".toast >> text=empty.txt is empty");
    await until(() => cards(ann), ["noon.jpg"]);
  });

  await t.test("a picture appears at the other person, with a placeholder first, and nothing moves", async () => {
    const gate = {};
    gate.open = new Promise((resolve) => (gate.release = resolve));
    gate.asked = 0;
    await ben.route("**/v1/media/l/**", async (route) => {
      gate.asked++;
      await gate.open;
      return route.continue();
    });
    await ann.fill(".attachment-alt", "The harbour at noon");
    await ann.fill("#text", "Look");
    await ann.press("#text", "Enter");
    await until(() => stored(ann), 2);
    assert.deepEqual(await cards(ann), []);
    await ben.waitForSelector(".picture canvas.placeholder");
    await until(() => gate.asked, 1);
    const box = () => ben.locator(".row .frame").first().evaluate((frame) => [frame.getBoundingClientRect().width, frame.getBoundingClientRect().height].map(Math.round));
    const before = await box();
    assert.ok(Math.abs(before[0] / before[1] - 1.6) < 0.02, String(before));
    // The placeholder has the colours of the picture: blue above, dark below.
    const pixels = await ben.locator(".picture canvas").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const at = (y) => [...data.slice(4 * canvas.width * y, 4 * canvas.width * y + 3)];
      return [at(0), at(canvas.height - 1)];
    });
    for (const [found, drawn] of [[pixels[0], [0x99, 0xbb, 0xdd]], [pixels[1], [0x11, 0x55, 0x66]]]) {
      found.forEach((value, n) => assert.ok(Math.abs(value - drawn[n]) < 64, `${found} is not about ${drawn}`));
    }
    gate.release();
    await until(() => isLoaded(ben, ".picture img"), true);
    await ben.unroute("**/v1/media/l/**");
    assert.deepEqual(await box(), before);
    assert.equal(await ben.locator(".picture img").evaluate((img) => img.naturalWidth), 320);
    assert.equal(await ben.getAttribute(".picture img", "alt"), "The harbour at noon");
    assert.equal(await ben.textContent(".row figcaption"), "The harbour at noon");
    assert.deepEqual(await texts(ben), ["Look"]);
    await until(() => ben.textContent("#conversations .preview"), "Ann: Picture: The harbour at noon");
  });

  await t.test("progress is shown, later messages wait, and a cancel deletes it", async () => {
    const wire = await ann.context().newCDPSession(ann);
    await wire.send("Network.enable");
    const slow = (uploadThroughput) => wire.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
    await slow(400_000);
    const had = (await outside.listMedia()).media.length;
    await choose(ann, { name: "slow.bin", mimeType: "", buffer: randomBytes(3_000_000) });
    await ann.click("#send-button");
    await say(ann, "after it");
    await until(async () => (await shown(ann)).some((value) => value > 0.05 && value < 0.9), true);
    assert.match(await ann.textContent(".upload-words"), /kB of 3.0 MB|MB of 3.0 MB/);
    assert.equal(await ann.locator(".row.mine[data-state=sending]").count(), 2);
    await ann.click(".upload [aria-label='Do not send slow.bin']");
    await until(() => ann.locator(".upload").count(), 0);
    await slow(-1);
    await until(() => texts(ben), ["Look", "after it"]);
    await until(async () => (await outside.listMedia()).media.length, had);
    assert.equal(await ann.evaluate(() => document.activeElement.id), "text");
    await wire.detach();
  });

  await t.test("an upload goes on after a reload, with what is missing only", async () => {
    const parts = [];
    ann.on("request", (request) => request.method() === "PUT" && request.url().includes("/parts/") && parts.push(request.url().at(-1)));
    const answered = [];
    ann.on("response", (response) => response.request().method() === "PUT" && response.status() === 204 && answered.push(response.url().at(-1)));
    await ann.route(/\/parts\/3$/, (route) => route.abort());
    await choose(ann, { name: "big.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(2 * PART + 500_000, "tide") });
    const before = await stored(ann);
    await ann.click("#send-button");
    await until(() => answered.toSorted().join(""), "12");
    await until(async () => (await ann.textContent(".upload-words")), "waiting for the connection");
    parts.length = 0;
    await ann.reload();
    await ann.waitForSelector(".upload progress");
    await until(async () => parts.includes("3"), true);
    await ann.unroute(/\/parts\/3$/);
    await until(() => stored(ann), before + 1);
    assert.deepEqual([...new Set(parts)], ["3"]);
    await until(() => ben.locator(".row .file-name").allTextContents(), ["big.bin"]);
    const left = await ann.evaluate(() => new Promise((resolve) => {
      const request = indexedDB.open("tideline");
      request.onsuccess = () => (request.result.transaction("bytes").objectStore("bytes").count().onsuccess = ({ target }) => resolve(target.result));
    }));
    assert.equal(left, 0);
  });

  await t.test("a picture that waits is seen after a reload too", async () => {
    await ann.route(/\/parts\//, (route) => route.abort());
    await choose(ann, { name: "evening.jpg", mimeType: "image/jpeg", buffer: photo });
    await until(() => ann.locator(".attachment canvas").count(), 1);
    const before = await stored(ann);
    await ann.click("#send-button");
    await ann.waitForSelector(".row figure .upload");
    await ann.reload();
    await ann.waitForSelector(".row.mine[data-state=sending] figure canvas");
    await ann.unroute(/\/parts\//);
    await until(() => stored(ann), before + 1);
    await until(() => ben.locator(".picture").count(), 2);
  });

  await t.test("a refused file says why, and is discarded", async () => {
    await ann.route(/\/complete$/, async (route) => {
      const response = await route.fetch();
      return route.fulfill({ json: { ...(await response.json()), state: "rejected", reason: "damaged" } });
    });
    await choose(ann, { name: "half.jpg", mimeType: "image/jpeg", buffer: photo });
    await until(() => ann.locator(".attachment canvas").count(), 1);
    await ann.click("#send-button");
    const row = ann.locator(".row.mine").last();
    await until(() => row.getAttribute("data-state"), "failed");
    assert.match(await row.locator(".failure").textContent(), /Not sent: The file is damaged\./);
    await row.locator("text=Discard").click();
    await until(() => ann.locator("[data-state=failed]").count(), 0);
    await ann.unroute(/\/complete$/);
    // What this browser cannot show, such as half a picture, is sent as a file.
    await choose(ann, { name: "half.jpg", mimeType: "image/jpeg", buffer: photo.subarray(0, photo.length / 2) });
    const before = await stored(ann);
    await ann.click("#send-button");
    await until(() => stored(ann), before + 1);
    await until(() => ben.locator("button.file .file-name", { hasText: "half.jpg" }).count(), 1);
  });

  await t.test("the viewer is used by keyboard, and gives the focus back", async () => {
    await ben.focus(".picture >> nth=0");
    await ben.keyboard.press("Enter");
    await ben.waitForSelector(".viewer-frame.has-loaded");
    assert.equal(await ben.locator(".viewer-frame img").evaluate((img) => img.naturalWidth), 1280);
    assert.equal(await ben.textContent("#viewer-caption"), "The harbour at noon");
    assert.equal(await ben.textContent("#viewer-count"), "1 of 2");
    await ben.keyboard.press("ArrowLeft");
    assert.equal(await ben.textContent("#viewer-count"), "1 of 2");
    await ben.keyboard.press("ArrowRight");
    await until(() => ben.textContent("#viewer-count"), "2 of 2");
    assert.equal(await ben.textContent("#viewer-caption"), "evening.jpg");
    await ben.keyboard.press("Enter");
    await until(() => ben.locator(".viewer-frame img").evaluate((img) => img.naturalWidth), 1600);
    await ben.keyboard.press("ArrowDown");
    await until(async () => (await ben.evaluate(() => document.querySelector("#viewer-stage").scrollTop)) > 0, true);
    await ben.keyboard.press("Enter");
    assert.equal(await ben.evaluate(() => document.querySelector("#viewer").classList.contains("is-full")), false);
    await ben.keyboard.press("Escape");
    await ben.waitForSelector("#viewer", { state: "hidden" });
    // The browser closes a dialog before it says so.
    await until(() => ben.evaluate(() => document.activeElement === document.querySelectorAll(".picture")[1]), true);
    assert.equal(await ben.textContent("#chat-title"), "Harbour");
  });

  await t.test("a link that has ended is replaced", async () => {
    let ended = 0;
    await ben.route("**/v1/media/l/**", (route) => (ended++ < 2 ? route.fulfill({ status: 404, contentType: "application/problem+json", body: "{}" }) : route.continue()));
    let asked = 0;
    ben.on("request", (request) => request.url().endsWith("/v1/media/links") && asked++);
    await ben.reload();
    await until(() => isLoaded(ben, ".picture img"), true);
    assert.ok(ended > 2 && asked >= 2, `${ended} ${asked}`);
    await ben.unroute("**/v1/media/l/**");
    // Without an answer there is a button.
    await ben.route("**/v1/media/l/**", (route) => route.abort());
    await ben.reload();
    await ben.waitForSelector(".unloadable button");
    await ben.unroute("**/v1/media/l/**");
    await ben.click(".unloadable button >> nth=0");
    await until(() => isLoaded(ben, ".picture img >> nth=0"), true);
    await ben.reload();
    await ben.waitForSelector("#status[data-state=online]");
  });

  await t.test("a file is saved under its name", async () => {
    const name = "Zeitplan für “Süd”.pdf";
    const bytes = Buffer.concat([Buffer.from("%PDF-1.4\n"), randomBytes(500)]);
    await choose(ann, { name, mimeType: "application/pdf", buffer: bytes });
    const before = await stored(ann);
    await ann.click("#send-button");
    await until(() => stored(ann), before + 1);
    await ben.waitForSelector(`.file-name >> text=${name}`);
    const [download] = await Promise.all([ben.waitForEvent("download"), ben.locator("button.file").last().click()]);
    assert.equal(download.suggestedFilename(), name);
    assert.deepEqual(await readFile(await download.path()), bytes);
  });

  await t.test("a video has a still picture, plays and is moved by its link", async () => {
    const clip = await recording(ann);
    await choose(ann, { name: "clip.webm", mimeType: "video/webm", buffer: clip });
    await ann.waitForSelector(".attachment canvas");
    await ann.fill(".attachment-alt", "Colours");
    const before = await stored(ann);
    await ann.press(".attachment-alt", "Enter");
    await until(() => stored(ann), before + 1);
    const video = ben.locator("video");
    await video.waitFor();
    await until(async () => (await video.getAttribute("poster"))?.includes("/v1/media/l/"), true);
    assert.match(await ben.locator("figure", { has: video }).locator("figcaption").textContent(), /^0:01 · Colours$/);
    const ranges = [];
    ben.on("response", (response) => response.url().includes("/v1/media/l/") && ranges.push(response.status()));
    const times = await video.evaluate(async (video) => {
      const event = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
      video.muted = true;
      await video.play();
      await event("timeupdate");
      video.pause();
      const seeked = event("seeked");
      video.currentTime = 0.8;
      await seeked;
      return [video.currentTime, video.videoWidth, video.error];
    });
    assert.deepEqual(times, [0.8, 320, null]);
    assert.ok(ranges.every((status) => [200, 206, 304].includes(status)), String(ranges));
  });

  await t.test("the screens are accessible", async () => {
    const findings = [];
    const show = async (page, screen) => {
      await page.screenshot({ path: `${SCREENS}${screen}.png` });
      const { violations } = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
      for (const { id, nodes } of violations) findings.push(`${screen}: ${id} at ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
    };
    const look = async (page, { viewport, media }) => {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ forcedColors: "none", reducedMotion: "reduce", ...media });
    };
    for (const { name, ...options } of LOOKS) {
      await look(ann, options);
      await look(ben, options);
      await ann.route(/\/parts\//, (route) => route.abort());
      await choose(ann, { name: "noon at the harbour, seen from the pier.jpg", mimeType: "image/jpeg", buffer: photo }, { name: "list.txt", mimeType: "text/plain", buffer: Buffer.from("rope") });
      await until(() => ann.locator(".attachment canvas").count(), 1);
      await show(ann, `media-attached-${name}`);
      await ann.click("#send-button");
      await until(() => ann.locator(".upload").count(), 2);
      await show(ann, `media-sending-${name}`);
      for (let n = 0; n < 2; n++) await ann.click(".upload .round >> nth=0");
      await until(() => ann.locator(".upload").count(), 0);
      await ann.unroute(/\/parts\//);
      await ben.locator("#rows .picture").first().scrollIntoViewIfNeeded();
      await until(() => isLoaded(ben, ".picture img >> nth=0"), true);
      await show(ben, `media-thread-${name}`);
      await ben.click(".picture >> nth=0");
      await ben.waitForSelector(".viewer-frame.has-loaded");
      await show(ben, `media-viewer-${name}`);
      await ben.keyboard.press("Escape");
      const width = await ben.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(width, 0);
    }
    assert.deepEqual(findings, []);
    for (const page of [ann, ben]) await look(page, LOOKS[0]);
  });

  await t.test("a recall removes the picture, also from the viewer", async () => {
    const { messages } = await cleo.listMessages(group.id);
    const { seq } = messages.find(({ content }) => content.name === "evening.jpg");
    await ben.click(`.row[data-seq="${seq}"] .picture`);
    await ben.waitForSelector(".viewer-frame.has-loaded");
    const link = await ben.getAttribute(".viewer-frame img", "src");
    await outside.recall(group.id, seq);
    await ben.waitForSelector("#viewer", { state: "hidden" });
    await until(() => ben.locator(`.row[data-seq="${seq}"] img`).count(), 0);
    assert.equal(await ben.locator(`.row[data-seq="${seq}"] .is-recalled`).count(), 1);
    assert.equal(await ben.locator("#viewer-stage img").count(), 0);
    assert.equal((await fetch(link)).status, 404);
  });

  await t.test("no script of an uploaded file runs, whatever opens its link", async () => {
    const script = "<script>fetch('/canary')</script>";
    const hostile = [
      ["a.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" onload="fetch('/canary')">${script}</svg>`],
      ["a.html", "text/html", `<!doctype html>${script}`],
      ["a.xhtml", "application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml">${script}</html>`],
    ];
    const page = await ben.context().newPage();
    const canaries = [];
    page.on("request", (request) => request.url().includes("canary") && canaries.push(request.url()));
    for (const [name, mime, text] of hostile) {
      const { id } = outside.uploads.add(Buffer.from(text), { name, mime });
      const { seq } = await outside.send(group.id, { kind: "file", upload: id });
      const [{ url }] = await cleo.createMediaLinks([{ conversation_id: group.id, seq, variant: "original" }]);
      const [download] = await Promise.all([page.waitForEvent("download"), page.goto(`${server.url}${url}`).catch(() => {})]);
      assert.equal(download.suggestedFilename(), name);
      await page.evaluate((src) => document.body.append(Object.assign(new Image(), { src })), `${server.url}${url}`).catch(() => {});
    }
    await page.waitForTimeout(300);
    assert.deepEqual(canaries, []);
    await until(() => ben.locator("button.file .file-name", { hasText: "a.xhtml" }).count(), 1);
    await page.close();
  });

  await t.test("without a media store there are links only", async () => {
    await ann.route("**/v1/capabilities", async (route) => {
      const response = await route.fetch();
      const { features, ...rest } = await response.json();
      return route.fulfill({ json: { ...rest, features: features.filter((name) => name !== "media") } });
    });
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
    await enter(ann, "Harbour");
    await ann.click("#attach-button");
    assert.equal(await ann.textContent("#attach-title"), "Share by link");
    assert.equal(await ann.isVisible("#attach-files"), false);
    await ann.keyboard.press("Escape");
    assert.deepEqual(await hand(ann, "drop", [{ name: "b.png", mimeType: "image/png", buffer: Buffer.from("a") }]), [true, true, true]);
    assert.deepEqual(await cards(ann), []);
  });
});

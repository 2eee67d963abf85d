// Media in the thread and in the viewer, while people, messages and the connection change.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { drawing, recording } from "./support/files.js";
import { api } from "./support/people.js";

test("media that are shown", { timeout: 300_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_RATE_LIMIT: "off" });
  const browser = await browse(t, server);
  const ben = await browser.person("ben");
  const ann = await api(t, server, "ann", "Ann");
  const { id: benId } = await ann.findUser("ben");
  const group = await ann.createGroup({ title: "Harbour", member_ids: [benId] });
  const post = (bytes, about, content = {}) => {
    const { id, kind } = ann.uploads.add(bytes, about);
    return ann.send(group.id, { kind, upload: id, content });
  };
  await enter(ben, "Harbour");
  const photo = await drawing(ben, 1_600, 1_000);
  const clip = await recording(ben);

  await t.test("a video plays on when its sender has another name and picture", async () => {
    await post(clip, { name: "clip.webm", mime: "video/webm", width: 320, height: 180, duration_ms: 1_250 });
    const found = await ann.send(group.id, "a lighthouse");
    const player = ben.locator("video");
    await player.evaluate(async (video) => {
      Object.assign(video, { muted: true, loop: true });
      await video.play();
      video.focus();
      window.player = video;
    });
    await ben.fill("#filter", "lighthouse");
    await ben.click("#find-results button, #find-results a");
    await until(() => ben.locator(`.row[data-seq="${found.seq}"] mark`).count(), 1);
    await player.focus();
    await ann.setAvatar(await drawing(ben, 64, 64, "image/png"), { name: "a.png", mime: "image/png" });
    await ann.updateMe({ display_name: "Annabel" });
    // The details read the profiles of the members.
    await ben.evaluate(() => document.querySelector("#details-button").click());
    await until(() => ben.locator(".row .sender bdi").allTextContents(), ["Annabel", "Annabel"]);
    assert.equal(await ben.locator(".row .avatar img").count(), 2);
    assert.deepEqual(await ben.evaluate(() => [window.player.isConnected, window.player.paused, window.player.getAttribute("aria-label")]), [true, false, "Video from Annabel"]);
    // They end together.
    const [row, words] = await ben.locator(`.row[data-seq="${found.seq}"]`).evaluate((row) => [row.matches(".marked"), row.querySelectorAll("mark").length]);
    assert.equal(words, row ? 1 : 0);
    await ben.keyboard.press("Escape");
    await ben.fill("#filter", "");
    await player.evaluate((video) => video.pause());
  });

  /** The pictures that the viewer has; `has-loaded` shows them. */
  const widths = () => ben.locator(".viewer-frame.has-loaded img").evaluateAll((all) => all.map(({ naturalWidth }) => naturalWidth));
  const offline = () => ben.route("**/v1/media/l/**", (route) => route.abort());
  const online = () => ben.unroute("**/v1/media/l/**");
  const pictures = () => ben.locator(".picture.has-loaded").count();

  await t.test("the viewer tries again by keyboard", async () => {
    for (let n = 0; n < 3; n++) await post(photo, { name: `${n}.jpg`, mime: "image/jpeg" });
    await until(pictures, 3);
    await ben.click(".picture >> nth=0");
    await until(widths, [1280]);
    await offline();
    await ben.keyboard.press("ArrowRight");
    await ben.locator("#viewer .unloadable button").focus();
    await online();
    await ben.keyboard.press("Enter");
    await until(widths, [1280]);
    assert.equal(await ben.locator("#viewer .unloadable").count(), 0);
    assert.equal(await ben.locator("#viewer.is-full").count(), 0);
    await ben.keyboard.press("ArrowRight");
    await until(() => ben.textContent("#viewer-count"), "3 of 3");
    await until(widths, [1280]);
  });

  await t.test("the viewer says that the original is not there, and asks for it again", async () => {
    await offline();
    await ben.focus("#viewer-size");
    await ben.keyboard.press("Enter");
    await ben.waitForSelector("#viewer.is-full .unloadable");
    assert.deepEqual(await widths(), [1280]);
    await online();
    await ben.click("#viewer .unloadable button");
    await until(widths, [1600]);
    assert.equal(await ben.locator("#viewer .unloadable").count(), 0);
    // The same by itself, when the connection is back.
    await ben.keyboard.press("Escape");
    await ben.click(".picture >> nth=0");
    await until(widths, [1280]);
    await offline();
    await ben.click("#viewer-size");
    await ben.waitForSelector("#viewer.is-full .unloadable");
    await ben.context().setOffline(true);
    await ben.waitForSelector("#status:not([data-state=online])", { state: "attached" });
    await online();
    await ben.context().setOffline(false);
    await until(widths, [1600]);
    await ben.keyboard.press("Escape");
    await ben.waitForSelector("#viewer", { state: "hidden" });
  });

  await t.test("the viewer counts what comes and goes", async () => {
    const { messages } = await ann.listMessages(group.id);
    const [first, , third] = messages.filter(({ kind }) => kind === "image");
    const last = async () => [await ben.textContent("#viewer-count"), await ben.getAttribute("#viewer-next", "aria-disabled")];
    await ben.click(".picture >> nth=2");
    await until(last, ["3 of 3", "true"]);
    await ann.recall(group.id, first.seq);
    await until(last, ["2 of 2", "true"]);
    await post(photo, { name: "new.jpg", mime: "image/jpeg" });
    await until(last, ["2 of 3", "false"]);
    await ben.click("#viewer-next");
    await until(last, ["3 of 3", "true"]);
    await ann.recall(group.id, third.seq);
    await until(last, ["2 of 2", "true"]);
    await ben.keyboard.press("Escape");
    await ben.waitForSelector("#viewer", { state: "hidden" });
  });

  await t.test("a found word in a long description is visible, and that of a video is whole", async () => {
    const alt = "The harbour at noon with all boats of the village, seen from the pier beside the beacon";
    const { id } = ann.uploads.add(photo, { name: "noon.jpg", mime: "image/jpeg" });
    const { seq } = await ann.send(group.id, { kind: "image", upload: id, content: { alt } });
    const film = await post(clip, { name: "noon.webm", mime: "video/webm", width: 320, height: 180, duration_ms: 1_250 }, { alt: `${alt} by night` });
    const sees = (selector) => ben.locator(selector).evaluate((node) => {
      const [box, place] = [node, node.closest("figcaption")].map((one) => one.getBoundingClientRect());
      return box.right <= place.right && box.bottom <= place.bottom;
    });
    for (const [one, words] of [[seq, "pier beacon -night"], [film.seq, "pier night"]]) {
      await ben.fill("#filter", words);
      const marked = words.split(" ").slice(0, 2);
      await until(() => ben.locator("#find-results mark").allTextContents(), marked);
      await ben.click("#find-results .found-row");
      await ben.waitForSelector(`.row[data-seq="${one}"] figcaption mark`);
      assert.equal(await sees(`.row[data-seq="${one}"] figcaption mark >> nth=-1`), true);
    }
    await ben.fill("#filter", "");
    assert.equal(await sees(`.row[data-seq="${film.seq}"] .alt`), true);
    assert.equal(await ben.textContent(`.row[data-seq="${film.seq}"] figcaption`), `0:01 · ${alt} by night`);
  });
});

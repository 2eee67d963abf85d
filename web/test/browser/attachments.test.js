// What is attached and not sent yet: its cards while the files are looked at, and how it leaves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, texts, until } from "./support/browser.js";
import { choose, drawing } from "./support/files.js";
import { api } from "./support/people.js";

/** A page whose looks at pictures wait for `looked`, one look a call. */
async function hold(page) {
  await page.evaluate(() => {
    const decode = window.createImageBitmap;
    const waiting = [];
    window.createImageBitmap = (file) => new Promise((resolve) => waiting.push(() => resolve(decode(file))));
    window.looks = waiting;
  });
  return async () => {
    await page.waitForFunction(() => window.looks.length > 0);
    await page.evaluate(() => window.looks.shift()());
  };
}

const picture = async (page, name) => ({ name, mimeType: "image/png", buffer: await drawing(page, 80, 60, "image/png") });
const cards = (page) => page.locator(".attachment .file-name").allTextContents();

test("what is attached", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const cleo = await api(t, server, "cleo", "Cleo");
  const { id: annId } = await cleo.findUser("ann");
  const group = await cleo.createGroup({ title: "Harbour", member_ids: [annId] });
  await enter(ann, "Harbour");

  await t.test("a description is written while other files are looked at", async () => {
    const looked = await hold(ann);
    await choose(ann, await picture(ann, "one.png"), await picture(ann, "two.png"), await picture(ann, "three.png"));
    await looked();
    await ann.focus(".attachment-alt");
    await ann.keyboard.type("The harb");
    await ann.keyboard.press("ArrowLeft");
    await looked();
    await until(() => ann.locator(".attachment canvas").count(), 2);
    await ann.keyboard.type("our, ");
    await looked();
    await until(() => ann.locator(".attachment canvas").count(), 3);
    await ann.keyboard.type("and ");
    assert.equal(await ann.inputValue(".attachment-alt >> nth=0"), "The harour, and b");
    // The first one and its description go, the others stay.
    await ann.click(".attachment .round >> nth=0");
    assert.deepEqual(await cards(ann), ["two.png", "three.png"]);
    for (let n = 0; n < 2; n++) await ann.click(".attachment .round >> nth=0");
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
  });

  await t.test("what is sent is what was written and attached at Enter", async () => {
    const sent = async () => (await cleo.listMessages(group.id)).messages.map(({ kind, content, reply_to }) => [content.text ?? content.name ?? kind, reply_to?.seq ?? null]);
    const { seq } = await cleo.send(group.id, "Which pier?");
    await enter(ann, "Harbour");
    const looked = await hold(ann);
    await choose(ann, await picture(ann, "pier.png"), await picture(ann, "boat.png"));
    await ann.click(`.row[data-seq="${seq}"] .row-menu`);
    await ann.click("[role=menuitem] >> text=Reply");
    await ann.keyboard.press("Enter");
    await ann.keyboard.type("By the way, are");
    await until(() => ann.locator(".attachment .soft").allTextContents(), ["sending", "sending"]);
    await choose(ann, await picture(ann, "next.png"));
    await ann.evaluate(() => (location.hash = "#/"));
    await ann.waitForSelector("#chat", { state: "hidden" });
    for (let n = 0; n < 3; n++) await looked();
    await until(sent, [["Which pier?", null], ["pier.png", seq], ["boat.png", null]]);
    await enter(ann, "Harbour");
    assert.equal(await ann.inputValue("#text"), "By the way, are");
    await until(() => cards(ann), ["next.png"]);
    // What was removed before it went is not sent.
    await choose(ann, await picture(ann, "not.png"), await picture(ann, "late.png"));
    await ann.focus("#text");
    await ann.keyboard.press("Enter");
    await until(() => texts(ann), ["Which pier?", "By the way, are"]);
    assert.equal(await ann.inputValue("#text"), "");
    await ann.keyboard.type("later");
    await ann.click("[aria-label='Remove not.png']");
    for (let n = 0; n < 2; n++) await looked();
    await until(async () => (await sent()).slice(3), [["By the way, are", null], ["next.png", null], ["late.png", null]]);
    assert.equal(await ann.inputValue("#text"), "later");
    await ann.fill("#text", "");
  });

  await t.test("a reload asks while something is attached", async () => {
    const asked = [];
    ann.on("dialog", (dialog) => (asked.push(dialog.type()), dialog.accept()));
    await choose(ann, await picture(ann, "kept.png"));
    await until(() => cards(ann), ["kept.png"]);
    await ann.evaluate(() => (location.hash = "#/"));
    await ann.reload();
    assert.deepEqual(asked, ["beforeunload"]);
    await enter(ann, "Harbour");
    assert.deepEqual(await cards(ann), []);
    await choose(ann, await picture(ann, "sent.png"));
    await ann.click("#send-button");
    await until(() => cards(ann), []);
    await ann.reload();
    assert.equal(asked.length, 1);
    ann.removeAllListeners("dialog");
  });

  await t.test("a file that could not be sent since one was removed is shown by its name, and discarded with its bytes", async () => {
    const crew = await cleo.createGroup({ title: "Crew", member_ids: [annId] });
    await enter(ann, "Crew");
    await ann.route(/\/parts\//, (route) => route.abort());
    await choose(ann, { name: "gone.bin", mimeType: "", buffer: Buffer.alloc(5_000, "a") });
    await ann.click("#send-button");
    await ann.waitForSelector(".upload");
    await cleo.removeMember(crew.id, annId);
    await ann.waitForSelector("#chat", { state: "hidden" });
    await ann.unroute(/\/parts\//);
    await until(() => ann.locator("#lost .lost-text").allTextContents(), ["File: gone.bin"]);
    await ann.reload();
    await until(() => ann.locator("#lost .lost-text").allTextContents(), ["File: gone.bin"]);
    await ann.click("#lost >> text=Discard");
    await ann.waitForSelector("#lost", { state: "hidden" });
    const left = () => ann.evaluate(() => new Promise((resolve) => {
      const request = indexedDB.open("tideline");
      request.onsuccess = () => (request.result.transaction("bytes").objectStore("bytes").count().onsuccess = ({ target }) => resolve(target.result));
    }));
    await until(left, 0);
  });
});

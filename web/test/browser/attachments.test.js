// What is attached and not sent yet: its cards while the files are looked at, and how it leaves.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, texts, until } from "./support/browser.js";
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

async function picture(page, name) {
  const bytes = await page.evaluate(async () => {
    const blob = await new Promise((resolve) => Object.assign(document.createElement("canvas"), { width: 80, height: 60 }).toBlob(resolve, "image/png"));
    return [...new Uint8Array(await blob.arrayBuffer())];
  });
  return { name, mimeType: "image/png", buffer: Buffer.from(bytes) };
}

async function choose(page, ...files) {
  await page.click("#attach-button");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach-files")]);
  await chooser.setFiles(files);
}

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
});

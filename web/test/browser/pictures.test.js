// Pictures of people and groups: chosen, shown in every place, and removed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, say, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = fileURLToPath(new URL("../../../target/screens/", import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A picture that a page has drawn. */
async function drawing(page, width, height) {
  const bytes = await page.evaluate(
    async ([width, height]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const pen = canvas.getContext("2d");
      const sky = pen.createLinearGradient(0, 0, width, height);
      for (const [at, colour] of [[0, "#e7a"], [0.5, "#fd8"], [1, "#186"]]) sky.addColorStop(at, colour);
      pen.fillStyle = sky;
      pen.fillRect(0, 0, width, height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
      return [...new Uint8Array(await blob.arrayBuffer())];
    },
    [width, height],
  );
  return { name: "me.jpg", mimeType: "image/jpeg", buffer: Buffer.from(bytes) };
}

/** Whether the picture in this place is loaded and seen; null: there are only initials. */
const seen = (page, place) =>
  page.locator(`${place} .avatar`).first().evaluate((face) => {
    const picture = face.querySelector("img");
    return picture && picture.complete && picture.naturalWidth > 0 && getComputedStyle(picture).opacity === "1";
  });

/** Chooses a file by the keyboard. */
async function choose(page, place, file) {
  // Waited for before the focus: the browser must know of it when the key comes.
  const chooser = page.waitForEvent("filechooser");
  await page.focus(`${place} [data-key=picture-choose]`);
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(file);
}

const toasts = (page) => page.locator(".toast").allTextContents();

async function shut(page) {
  while (await page.locator("dialog[open]").count()) {
    await page.keyboard.press("Escape");
    await page.waitForTimeout(50);
  }
}

async function own(page) {
  await page.click("#account-button");
  await page.click("#profile-button");
  await page.waitForSelector("#own-status");
}

test("pictures of people and groups", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const phone = await browser.returning("ann", { viewport: { width: 320, height: 640 }, reducedMotion: "reduce" });
  const ben = await api(t, server, "ben", "Ben");
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  await ben.send(direct.id, "hello");
  const photo = await drawing(ann, 900, 600);
  const address = async () => (await ben.getUser(me.id)).avatar_url;

  await t.test("one chooses a picture by the keyboard, and other devices follow", async () => {
    await own(ann);
    await own(phone);
    assert.equal(await seen(ann, "#profile-body .hero"), null);
    await choose(ann, "#profile-body", { name: "me.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await until(async () => (await toasts(ann)).at(-1), "Please choose a JPEG, PNG, GIF or WebP picture.");
    await choose(ann, "#profile-body", photo);
    await until(() => seen(ann, "#profile-body .hero"), true);
    assert.match(await address(), /^\/v1\/users\/.+\/avatar\?v=/);
    assert.equal(await ann.evaluate(() => document.activeElement.dataset.key), "picture-choose", "the focus stays");
    assert.equal(await ann.textContent("#profile-body [data-key=picture-choose]"), "Change the picture");
    await until(() => seen(phone, "#profile-body .hero"), true);
    await ann.screenshot({ path: `${SCREENS}picture-own-wide.png` });
    await phone.screenshot({ path: `${SCREENS}picture-own-narrow.png` });
    const outside = await phone.evaluate(() => [...document.querySelectorAll("#profile-dialog *")].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.className));
    assert.deepEqual(outside, []);
    // The rest of the profile is another form: it does not take the picture away.
    const before = await address();
    assert.equal(await ann.inputValue("#own-picture"), "");
    await ann.fill("#own-bio", "Sails");
    await ann.press("#own-name", "Enter");
    await until(async () => (await ben.getUser(me.id)).bio, "Sails");
    assert.equal(await address(), before);
    await shut(ann);
    await shut(phone);
  });

  await t.test("others see it in the list, above the conversation and beside messages", async () => {
    const cleo = await browser.person("cleo");
    const group = await ben.createGroup({ title: "Harbour", member_ids: [me.id, (await ben.findUser("cleo")).id] });
    await until(() => ann.locator("#conversations .title").allTextContents(), ["Harbour", "Ben"]);
    await enter(ann, "Harbour");
    await say(ann, "I am here");
    await enter(cleo, "Harbour");
    await until(() => seen(cleo, "#rows .row.last"), true);
    await cleo.click("#details-button");
    await until(() => cleo.locator(".members .avatar img.is-loaded").count(), 1);
    assert.equal(await cleo.locator("#details-body [data-key=picture-choose]").count(), 0, "a member may not change the group's");
    await shut(cleo);

    await ben.setRole(group.id, me.id, "admin");
    await ann.click("#details-button");
    await ann.waitForSelector("#details-body [data-key=picture-choose]");
    assert.equal(await seen(ann, "#details-body .hero"), null);
    await choose(ann, "#details-body", photo);
    await until(() => seen(ann, "#details-body .hero"), true);
    await ann.screenshot({ path: `${SCREENS}picture-group-wide.png` });
    const { violations } = await ann.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
    await shut(ann);
    for (const page of [ann, cleo]) {
      await until(() => seen(page, "#chat-avatar"), true);
      await until(() => page.locator("#conversations .avatar.group img.is-loaded").count(), 1);
    }
    await cleo.screenshot({ path: `${SCREENS}picture-group-member.png` });
    await enter(phone, "Harbour");
    await until(() => seen(phone, "#chat-avatar"), true);
    await phone.click("#details-button");
    await until(() => seen(phone, "#details-body .hero"), true);
    await phone.screenshot({ path: `${SCREENS}picture-group-narrow.png` });
    await shut(phone);

    // What cannot be loaded is shown by its initials.
    const cut = await browser.installation();
    await cut.route(/\/v1\/media\/l\//, (route) => route.abort());
    const dora = await browser.tab(cut);
    await dora.fill("#username", "cleo");
    await dora.fill("#password", "correct horse");
    await dora.click("#sign-submit");
    await enter(dora, "Harbour");
    await until(() => seen(dora, "#chat-avatar"), false);
    assert.equal((await dora.textContent("#chat-avatar")).trim(), "H");
  });

  await t.test("it is removed, and the initials are back", async () => {
    await ann.click("#details-button");
    await ann.click("#details-body [data-key=picture-remove]");
    await until(() => seen(ann, "#details-body .hero"), null);
    assert.equal(await ann.locator("#details-body [data-key=picture-remove]").count(), 0);
    await shut(ann);
    await until(() => seen(phone, "#chat-avatar"), null);
    await own(ann);
    await ann.focus("#profile-body [data-key=picture-remove]");
    await ann.keyboard.press("Enter");
    await until(address, null);
    await until(() => seen(ann, "#profile-body .hero"), null);
    assert.ok(await ann.evaluate(() => document.activeElement.closest("#profile-dialog") !== null), "the focus stays in the dialog");
    // An address elsewhere takes the place of an upload.
    await choose(ann, "#profile-body", photo);
    await until(() => seen(ann, "#profile-body .hero"), true);
    await ann.fill("#own-picture", "https://faces.other.example/ann.png");
    await ann.press("#own-name", "Enter");
    await until(address, "https://faces.other.example/ann.png");
    await until(() => seen(ann, "#profile-body .hero"), null);
    await shut(ann);
  });
});

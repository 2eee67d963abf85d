// The privacy page: who sees and may do what.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;

test("privacy", { timeout: 300_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_PRIVACY: "direct=contacts,discoverable=false" });
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { reducedMotion: "reduce" });
  const phone = await browser.returning("ann", { viewport: { width: 375, height: 700 }, reducedMotion: "reduce" });
  const ben = await api(t, server, "ben", "Ben");
  const device = await api(t, server, "unused", "Unused");
  await device.login({ username: "ann", password: "correct horse" });
  const pages = async (page) => {
    await page.click("#account-button");
    await page.click("#privacy-button");
    await page.waitForSelector("#privacy-direct");
  };
  const chosen = (page, name) => page.locator(`#privacy-${name} option:checked`).textContent();

  await t.test("each setting shows what the operator has set", async () => {
    await pages(ann);
    await pages(phone);
    assert.equal(await chosen(ann, "direct"), "Default: Contacts");
    assert.equal(await chosen(ann, "group_add"), "Default: Everyone");
    assert.equal(await chosen(ann, "discoverable"), "Default: No");
    await ann.screenshot({ path: `${SCREENS}privacy-wide.png` });
    await phone.screenshot({ path: `${SCREENS}privacy-narrow.png` });
  });

  await t.test("a choice holds, and shows on other devices", async () => {
    const me = device.user.id;
    await assert.rejects(ben.createDirect(me), { code: "not_accepted" });
    await ann.selectOption("#privacy-direct", "everyone");
    await until(() => chosen(phone, "direct"), "Everyone");
    await until(async () => (await device.getPrivacy()).direct, "everyone");
    assert.equal((await ben.createDirect(me)).kind, "direct");
    await ann.selectOption("#privacy-contact_request", "nobody");
    await until(() => chosen(phone, "contact_request"), "Nobody");
    await assert.rejects(ben.requestContact(me), { code: "not_accepted" });
    await ann.selectOption("#privacy-discoverable", "yes");
    await until(() => chosen(phone, "discoverable"), "Yes");
    await ann.focus("#privacy-direct");
    await ann.selectOption("#privacy-direct", "");
    await until(() => chosen(ann, "direct"), "Default: Contacts");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "privacy-direct", "the focus stays");
    await until(async () => (await device.getPrivacy()).direct, null);
  });

  await t.test("read receipts and the name in forwards follow too", async () => {
    await ann.uncheck("#own-read_receipts");
    await until(() => phone.isChecked("#own-read_receipts"), false);
    await phone.uncheck("#own-forward_name");
    await until(() => ann.isChecked("#own-forward_name"), false);
    assert.deepEqual(await device.getMe().then((me) => [me.read_receipts, me.forward_name]), [false, false]);
  });

  await t.test("a refused change shows what holds", async () => {
    await ann.route(/\/v1\/me\/privacy$/, (route) => (route.request().method() === "PATCH" ? route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "forbidden" }) }) : route.continue()));
    await ann.selectOption("#privacy-presence", "nobody");
    await ann.waitForSelector("#toasts >> text=You are not allowed to do this here.");
    await until(() => chosen(ann, "presence"), "Default: Everyone");
    await ann.unroute(/\/v1\/me\/privacy$/);
  });

  await t.test("of two changes both hold on the page, whichever answer is late", async () => {
    let slow = true;
    await ann.route(/\/v1\/me\/privacy$/, async (route) => {
      const late = route.request().method() === "PATCH" && slow;
      slow &&= !late;
      const response = await route.fetch();
      if (late) await ann.waitForTimeout(1_500);
      await route.fulfill({ response });
    });
    await ann.selectOption("#privacy-presence", "nobody");
    await ann.selectOption("#privacy-last_seen", "nobody");
    await until(async () => (await device.getPrivacy()).last_seen, "nobody");
    await ann.waitForTimeout(2_000);
    assert.deepEqual([await chosen(ann, "presence"), await chosen(ann, "last_seen")], ["Nobody", "Nobody"]);
    await ann.unroute(/\/v1\/me\/privacy$/);
  });

  await t.test("a page that could not be loaded can be loaded again", async () => {
    await ann.keyboard.press("Escape");
    await ann.route(/\/v1\/me\/privacy$/, (route) => route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "forbidden" }) }));
    await ann.click("#privacy-button");
    await ann.waitForSelector("#privacy-body >> text=Try again");
    await ann.unroute(/\/v1\/me\/privacy$/);
    await ann.click("#privacy-body >> text=Try again");
    await until(() => chosen(ann, "presence"), "Nobody");
  });
});

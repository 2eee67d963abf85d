// Profiles and statuses: one's own, and those of others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, desktop, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

test("profiles", { timeout: 480_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_TRUSTED_MEDIA_HOSTS: "trusted.example" });
  const browser = await browse(t, server);
  const context = await browser.installation({ reducedMotion: "reduce" });
  await desktop(context);
  const asked = [];
  await context.route(/\.example\//, (route) => {
    asked.push(new URL(route.request().url()).host);
    return route.fulfill({ contentType: "image/png", body: PIXEL });
  });
  const ann = await browser.tab(context);
  await ann.click("#swap");
  for (const [id, value] of [["username", "ann"], ["display-name", "Ann"], ["password", "correct horse"]]) await ann.fill(`#${id}`, value);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const phone = await browser.returning("ann", { viewport: { width: 375, height: 700 }, reducedMotion: "reduce" });
  const ben = await api(t, server, "ben", "Ben");
  const me = await ben.findUser("ann");
  const profile = () => ben.getUser(me.id);
  const own = async (page = ann) => {
    await page.click("#account-button");
    await page.click("#profile-button");
    await page.waitForSelector("#own-status");
  };
  const shut = async (page = ann) => {
    while (await page.locator("dialog[open]").count()) {
      await page.keyboard.press("Escape");
      await page.waitForTimeout(50);
    }
  };

  await t.test("one changes the own profile, and other devices follow", async () => {
    await own();
    await own(phone);
    await ann.fill("#own-bio", "Sails on Sundays\nand <b>Mondays</b>");
    await ann.fill("#own-picture", "nonsense");
    await ann.press("#own-name", "Enter");
    await until(() => ann.textContent("#own-profile-error"), "Please give a whole address, with https:// or http:// before it.");
    await ann.fill("#own-picture", "https://faces.other.example/ann.png");
    await ann.fill("#own-name", "Ann Arbor");
    await ann.press("#own-name", "Enter");
    await until(async () => (await profile()).bio, "Sails on Sundays\nand <b>Mondays</b>");
    await until(() => phone.inputValue("#own-bio"), "Sails on Sundays\nand <b>Mondays</b>");
    await until(() => phone.textContent("#profile-body .hero-title"), "Ann Arbor");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "own-name", "the focus stays");
    // What is typed on one device is not replaced by what another one stores.
    await phone.fill("#own-bio", "half a");
    await ann.fill("#own-name", "Ann");
    await ann.press("#own-name", "Enter");
    await until(() => phone.textContent("#profile-body .hero-title"), "Ann");
    assert.equal(await phone.inputValue("#own-bio"), "half a");
    assert.deepEqual(asked, []);
    await ann.screenshot({ path: `${SCREENS}profile-own-wide.png` });
    await phone.screenshot({ path: `${SCREENS}profile-own-narrow.png` });
    await ann.click("text=Load the picture");
    await until(() => asked, ["faces.other.example"]);
  });

  await t.test("one says something about the present, with an emoji and an end", async () => {
    await ann.click("#own-emoji");
    assert.equal(await ann.evaluate(() => document.activeElement.getAttribute("aria-label")), "grinning");
    await ann.keyboard.press("ArrowRight");
    await ann.keyboard.press("Escape");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "own-emoji");
    await ann.click("#own-emoji");
    await ann.screenshot({ path: `${SCREENS}profile-emoji.png` });
    await ann.click("#own-emoji-panel [aria-label=sailboat]");
    await ann.fill("#own-status", "At sea");
    await ann.selectOption("#own-end", "3600");
    await ann.selectOption("#own-availability", "do_not_disturb");
    await ann.press("#own-status", "Enter");
    await until(() => phone.textContent("#profile-body .hero .says"), "⛵ At sea");
    const { status } = await profile();
    assert.deepEqual([status.emoji, status.text, Math.round((new Date(status.until) - Date.now()) / 60_000)], ["⛵", "At sea", 60]);
    assert.equal(await phone.inputValue("#own-availability"), "do_not_disturb");
    assert.equal(await phone.inputValue("#own-end"), "same");
    await phone.selectOption("#own-end", "at");
    await phone.fill("#own-until", "2020-01-01T00:00");
    await phone.click("#own-status-form [data-key=own-status-form-go]");
    await until(() => phone.textContent("#own-status-form-error"), "Please give a time in the future.");
    await shut();
    await shut(phone);
    await ann.click("#account-button");
    await until(() => ann.textContent("#account-body .hero .says"), "⛵ At sea");
    await shut();
  });

  await t.test("who does not want to be disturbed is not notified", async () => {
    const direct = await ben.createDirect(me.id);
    await ann.click("#bell");
    await ann.evaluate(() => (document.hasFocus = () => false));
    await ben.send(direct.id, "are you there?");
    await until(() => ann.locator("#conversations .preview").allTextContents(), ["are you there?"]);
    await ann.waitForTimeout(600);
    assert.deepEqual(await ann.evaluate(() => window.shown.length), 0);
    await own();
    await ann.click("[data-key=own-clear]");
    await until(async () => (await profile()).status, null);
    await shut();
    await ben.send(direct.id, "and now?");
    await until(() => ann.evaluate(() => window.shown.length), 1);
  });

  await t.test("the profile of another person: picture, text, status and friends in common", async () => {
    const [cem, dora] = [await api(t, server, "cem", "Cem"), await api(t, server, "dora", "Dora")];
    await ben.updateMe({ bio: "Builds <i>boats</i>", avatar_url: "https://pictures.elsewhere.example/ben.png" });
    await ben.setStatus({ emoji: "🔧", text: "In the shed", until: new Date(Date.now() + 7_200_000) });
    for (const one of [ben, me]) {
      await cem.requestContact(one.user?.id ?? one.id);
      await dora.requestContact(one.user?.id ?? one.id);
    }
    for (const one of [cem, dora]) await ben.acceptContact(one.user.id);
    await ben.updatePrivacy({ contacts_visible: "everyone" });
    await until(() => ann.getAttribute("#contacts-button", "aria-label"), "Contacts, 2 requests (Alt C)");
    await ann.click("#contacts-button");
    for (const name of ["Cem", "Dora"]) await ann.getByRole("button", { name: `Accept ${name}` }).click();
    await until(() => ann.locator("#requests .request").count(), 0);
    await shut();
    await enter(ann, "Ben");
    await ann.click("#details-button");
    await ann.click("#details-body >> text=Profile");
    await until(() => ann.textContent("#person-body .bio"), "Builds <i>boats</i>");
    assert.match(await ann.textContent("#person-body .status-line"), /^🔧 In the shed until /);
    await ann.waitForSelector("#person-body >> text=2 friends in common");
    assert.equal(asked.length, 1);
    assert.match(await ann.textContent("#person-body"), /pictures\.elsewhere\.example will see/);
    await ann.screenshot({ path: `${SCREENS}person-wide.png` });
    await ann.click("#person-body >> text=Load the picture");
    await until(() => asked.at(-1), "pictures.elsewhere.example");
    await ann.waitForSelector("#person-body img.avatar");
    // A trusted host needs no click, in lists as well.
    await cem.updateMe({ avatar_url: "https://trusted.example/cem.png" });
    await shut();
    await ann.click("#contacts-button");
    await ann.locator("#contacts img.avatar").first().waitFor();
    await until(() => asked.at(-1), "trusted.example");
    await shut();
  });

  await t.test("one asks, adds and blocks from the profile", async () => {
    await ann.click("#details-button");
    await ann.click("#details-body >> text=Profile");
    await ann.click("text=Add to contacts");
    await ann.waitForSelector("#person-alias");
    await ann.click("text=Ask to become friends");
    await ann.waitForSelector("#person-body >> text=You have asked to become friends.");
    await ben.acceptContact(me.id);
    await ann.waitForSelector("#person-body >> text=You are friends since");
    await ann.click("#person-body [data-key=block]");
    await ann.click("#confirm-yes");
    await ann.waitForSelector("#person-body >> text=Unblock Ben");
    await until(() => ann.locator("#person-body >> text=You are friends since").count(), 0);
    assert.equal((await ben.getContact(me.id)).state, "contact");
    await ann.click("#person-body [data-key=block]");
    await ann.waitForSelector("#person-body >> text=Block Ben");
    await shut();
  });

  await t.test("on a narrow page nothing is outside", async () => {
    await phone.setViewportSize({ width: 320, height: 640 });
    await own(phone);
    await phone.click("#own-emoji");
    const outside = () => phone.evaluate(() => [...document.querySelectorAll("#profile-dialog *")].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.className));
    assert.deepEqual(await outside(), []);
    await shut(phone);
  });
});

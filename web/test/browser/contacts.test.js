// Contacts and requests to become friends: what one does in a browser, and what other devices see of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;

test("contacts", { timeout: 480_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { reducedMotion: "reduce" });
  const phone = await browser.returning("ann", { viewport: { width: 375, height: 700 }, reducedMotion: "reduce" });
  const ben = await api(t, server, "ben", "Ben");
  const cem = await api(t, server, "cem", "Cem");
  const dora = await api(t, server, "dora", "Dora");
  const me = await ben.findUser("ann");
  const names = (page = ann) => page.locator("#contacts bdi.name").allTextContents();
  const rowOf = (name, page = ann) => page.locator("#contacts > li", { has: page.locator("bdi.name", { hasText: name }) });
  const shut = async (page = ann) => {
    while (await page.locator("dialog[open]").count()) {
      await page.keyboard.press("Escape");
      await page.waitForTimeout(50);
    }
  };
  const add = async (names) => {
    await ann.fill("#contacts-name", names);
    await ann.press("#contacts-name", "Enter");
  };
  const label = (page = ann) => page.getAttribute("#contacts-button", "aria-label");

  await t.test("people are added by username, and are not notified", async () => {
    await ann.click("#contacts-button");
    await until(() => ann.textContent("#contacts-none"), "No contacts yet. Add somebody by username: they are not notified.");
    await add("nobody");
    await until(() => ann.textContent("#contacts-error"), "Nobody is called “nobody”.");
    await add("ann");
    await until(() => ann.textContent("#contacts-error"), "This is you.");
    await add("ben");
    await until(() => ann.textContent("#person-body .hero-title"), "Ben");
    await ann.keyboard.press("Escape");
    await add("cem, dora");
    await until(() => names(), ["Ben", "Cem", "Dora"]);
    await phone.click("#contacts-button");
    await until(() => names(phone), ["Ben", "Cem", "Dora"]);
    assert.deepEqual((await ben.listContacts()).contacts, []);
  });

  await t.test("own names, tags and stars are found, shown everywhere, and follow to other devices", async () => {
    await rowOf("Ben").locator(".person-row").click();
    await ann.fill("#person-alias", "Benny");
    await ann.fill("#person-tags", "work, sea");
    await ann.press("#person-tags", "Enter");
    await until(() => names(phone), ["Benny", "Cem", "Dora"]);
    await until(() => rowOf("Benny", phone).locator(".tags bdi").allTextContents(), ["work", "sea"]);
    assert.match(await rowOf("Benny", phone).textContent(), /Ben · @ben/);
    await ann.keyboard.press("Escape");
    await rowOf("Dora").getByRole("button", { name: "Star Dora" }).click();
    await until(() => names(), ["Dora", "Benny", "Cem"]);
    assert.equal(await rowOf("Dora").getByRole("button", { name: "Star Dora" }).getAttribute("aria-pressed"), "true");
    assert.equal(await ann.evaluate(() => document.activeElement.dataset.key.startsWith("star ")), true, "the focus stays");
    for (const [words, found] of [["sea", ["Benny"]], ["BEN", ["Benny"]], ["dora", ["Dora"]], ["zzz", []], ["", ["Dora", "Benny", "Cem"]]]) {
      await ann.fill("#contacts-find", words);
      await until(() => names(), found);
    }
    await ann.selectOption("#contacts-which", "starred");
    await until(() => names(), ["Dora"]);
    await ann.selectOption("#contacts-which", "tag work");
    await until(() => names(), ["Benny"]);
    await ann.selectOption("#contacts-which", "");
    await ann.screenshot({ path: `${SCREENS}contacts-wide.png` });
    await phone.screenshot({ path: `${SCREENS}contacts-narrow.png` });
  });

  await t.test("a conversation is begun from the list, under the own name", async () => {
    await rowOf("Benny").getByRole("button", { name: "Message Benny" }).click();
    await until(() => ann.textContent("#chat-title"), "Benny");
    await until(() => ann.textContent("#chat-subtitle"), "offline · Ben · @ben");
    assert.equal(await ann.locator("dialog[open]").count(), 0);
    await shut(phone);
    await until(() => phone.locator("#conversations .title").allTextContents(), ["Benny"]);
    await ann.fill("#filter", "ben");
    await until(() => ann.locator("#conversations .title").allTextContents(), ["Benny"]);
    await ann.fill("#filter", "");
  });

  await t.test("the status of the other person is beside the name", async () => {
    await ben.setStatus({ emoji: "🌴", text: "On holiday" });
    await enter(phone, "Benny");
    await until(() => phone.textContent("#chat-subtitle"), "offline · Ben · @ben · 🌴 On holiday");
    await phone.click("#chat .back");
    await until(() => phone.textContent("#conversations .said"), "🌴 On holiday");
    await phone.screenshot({ path: `${SCREENS}status-narrow.png` });
    await ann.click("#contacts-button");
    await until(() => rowOf("Benny").locator(".says").textContent(), "🌴 On holiday");
    await ann.screenshot({ path: `${SCREENS}status-wide.png` });
    await shut();
  });

  await t.test("a request is counted, read out, and accepted", async () => {
    assert.equal(await label(), "Contacts (Alt C)");
    const eve = await api(t, server, "eve", "Eve");
    await eve.requestContact(me.id, { message: "We met at the harbour" });
    for (const page of [ann, phone]) await until(() => label(page), "Contacts, 1 request (Alt C)");
    assert.equal(await ann.textContent("#contacts-badge"), "1");
    assert.equal(await ann.textContent("#announcer"), "Eve asks to become friends.");
    await ann.keyboard.press("Alt+c");
    await ann.waitForSelector("#requests-pane:not([hidden])");
    assert.equal(await ann.textContent("#requests .said-to"), "We met at the harbour");
    await ann.screenshot({ path: `${SCREENS}requests-wide.png` });
    await ann.getByRole("button", { name: "Accept Eve" }).click();
    await ann.waitForSelector("#toasts >> text=You and Eve are friends.");
    for (const page of [ann, phone]) await until(() => label(page), "Contacts (Alt C)");
    assert.equal((await eve.getContact(me.id)).state, "friend");
    await ann.check("#contacts-view [value=list]");
    await ann.selectOption("#contacts-which", "friends");
    await until(() => names(), ["Eve"]);
    await ann.selectOption("#contacts-which", "");
  });

  await t.test("a request is declined, and the other person is not notified", async () => {
    const fay = await api(t, server, "fay", "Fay");
    await fay.requestContact(me.id);
    await until(() => label(phone), "Contacts, 1 request (Alt C)");
    await phone.click("#contacts-button");
    await phone.screenshot({ path: `${SCREENS}requests-narrow.png` });
    await phone.getByRole("button", { name: "Decline Fay" }).click();
    for (const page of [ann, phone]) await until(() => label(page), "Contacts (Alt C)");
    assert.deepEqual((await fay.listContactRequests({ direction: "out" })).requests.map(({ state }) => state), ["pending"]);
    await shut(phone);
  });

  await t.test("one's own request is made with a message, and taken back", async () => {
    await rowOf("Cem").locator(".person-row").click();
    await ann.fill("#person-message", "Sailing on Sunday?");
    await ann.click("text=Ask to become friends");
    await ann.waitForSelector("#person-body >> text=Take back");
    const { requests } = await cem.listContactRequests({ direction: "in" });
    assert.deepEqual(requests.map(({ message }) => message), ["Sailing on Sunday?"]);
    await ann.keyboard.press("Escape");
    await ann.check("#contacts-view [value=requests]");
    await phone.click("#contacts-button");
    await phone.check("#contacts-view [value=requests]");
    await phone.getByRole("button", { name: "Take back the request to Cem" }).click();
    await until(() => ann.locator("#requests .request").count(), 0);
    assert.deepEqual((await cem.listContactRequests({ direction: "in" })).requests, []);
    await ann.check("#contacts-view [value=list]");
    await rowOf("Cem").locator(".person-row").click();
    await ann.click("text=Ask to become friends");
    await until(() => ann.textContent("#person-ask-error"), "You have asked before. You can ask again in 7 days.");
    await shut();
    await shut(phone);
  });

  await t.test("crossing requests make friends", async () => {
    await dora.requestContact(me.id);
    await until(() => label(), "Contacts, 1 request (Alt C)");
    await ann.click("#contacts-button");
    await ann.locator("#requests .person-row").click();
    await ann.waitForSelector("#person-body >> text=Dora asks to become friends.");
    await ann.locator("#person-body").getByRole("button", { name: "Accept" }).click();
    await ann.waitForSelector("#person-body >> text=You are friends since");
    await ann.click("text=Remove from contacts");
    assert.equal(await ann.textContent("#confirm-text"), "You will not be friends any more. Your own name and tags for Dora are deleted.");
    await ann.click("#confirm-yes");
    await ann.waitForSelector("#person-body >> text=Add to contacts");
    assert.equal((await dora.getContact(me.id)).state, "contact");
    await shut();
  });

  await t.test("people who refuse to be added are named", async () => {
    for (const one of [ben, cem]) await one.updatePrivacy({ group_add: "nobody" });
    await ann.click("#new-button");
    await ann.check("#new-form [value=group]");
    await ann.fill("#group-title", "Crew");
    await ann.fill("#new-people", "ben, cem, dora");
    await ann.click("#new-submit");
    await ann.waitForSelector("#toasts >> text=Benny and Cem cannot be added by you.");
    await ann.click("#details-button");
    await ann.waitForSelector(".members li");
    await ann.fill("#add-people", "cem");
    await ann.press("#add-people", "Enter");
    await until(() => ann.textContent("#add-people-error"), "This person does not accept this.");
    await ann.locator("#details-body").getByRole("button", { name: "Dora", exact: true }).click();
    await until(() => ann.textContent("#person-body .hero-title"), "Dora");
    await shut();
    await dora.updatePrivacy({ direct: "nobody" });
    await ann.click("#contacts-button");
    await add("dora");
    await ann.click("#person-body >> text=Message");
    await ann.waitForSelector("#toasts >> text=This person does not accept this.");
    await shut();
  });

  await t.test("nothing is outside of a narrow page, in both themes", async () => {
    await phone.setViewportSize({ width: 320, height: 640 });
    await ben.setStatus({ emoji: "🌴", text: "On holiday until the next spring tide, and a little longer if the wind is good" });
    await phone.click("#contacts-button");
    await until(async () => /spring tide/.test(await rowOf("Benny", phone).locator(".says").textContent()), true);
    for (const theme of ["light", "dark"]) {
      await phone.emulateMedia({ colorScheme: theme });
      await until(() => phone.evaluate(() => document.documentElement.dataset.theme), theme);
      const wide = await phone.evaluate(() => [...document.querySelectorAll("#contacts-dialog *")].filter((one) => one.checkVisibility() && !one.matches(".says *") && one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.className));
      assert.deepEqual(wide, []);
      await phone.screenshot({ path: `${SCREENS}contacts-${theme}.png` });
    }
    await rowOf("Benny", phone).locator(".person-row").click();
    await phone.screenshot({ path: `${SCREENS}person-narrow.png` });
    await phone.reload();
    await until(() => phone.locator("#conversations .title").allTextContents().then((all) => all.includes("Benny")), true);
  });
});

// Conveniences: persistent drafts, notifications, completion of names, consistent tabs, a choice of theme.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, desktop, enter, look, password, say, texts, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const logIn = async (page, username) => {
  await page.fill("#username", username);
  await page.fill("#password", password);
  await page.click("#sign-submit");
};
const logOut = async (page) => {
  await page.click("#account-button");
  await page.click("#account-body > section:last-child button");
  await page.click("#confirm-yes");
  await page.waitForSelector("#welcome:not([hidden])");
};

test("conveniences", { timeout: 480_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ben = await api(t, server, "ben", "Ben Bo");
  const cem = await api(t, server, "cem", "Cem");
  const context = await browser.installation();
  await desktop(context);
  const ann = await browser.tab(context);
  await ann.click("#swap");
  await logIn(ann, "ann");
  await ann.waitForSelector("#status[data-state=online]");
  const me = await ben.findUser("ann");
  const group = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id] });
  const direct = await ben.createDirect(me.id);
  await ben.send(direct.id, "hello Ann");
  const shown = () => ann.evaluate(() => window.shown.map(({ title, body }) => `${title}: ${body}`));

  await t.test("a draft belongs to its conversation, and outlives a reload", async () => {
    await enter(ann, "Crew");
    await ann.fill("#text", "a draft for the crew");
    await enter(ann, "Ben Bo");
    await until(() => ann.inputValue("#text"), "");
    await ann.fill("#text", "a draft for Ben");
    await ann.reload();
    await until(() => ann.inputValue("#text"), "a draft for Ben");
    await enter(ann, "Crew");
    await until(() => ann.inputValue("#text"), "a draft for the crew");
    await ann.press("#text", "Enter");
    await until(() => texts(ann), ["a draft for the crew"]);
    await ann.reload();
    await until(() => texts(ann), ["a draft for the crew"]);
    await until(() => ann.inputValue("#text"), "");
  });

  await t.test("drafts end with the session, in every tab", async () => {
    const other = await browser.tab(context, `#/c/${direct.id}`);
    await until(() => other.inputValue("#text"), "a draft for Ben");
    await enter(ann, "Ben Bo");
    // The logout waits until the server has it.
    await ann.fill("#text", "a later draft for Ben");
    await logOut(ann);
    await other.waitForSelector("#welcome:not([hidden])");
    // The session arrives in the storage of the other tab only after the message of the login.
    await other.evaluate(() => {
      const { getItem } = Storage.prototype;
      Storage.prototype.getItem = function (key) {
        return window.late && key.endsWith("session") ? null : getItem.call(this, key);
      };
      window.late = true;
    });
    assert.deepEqual(await ann.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("draft"))), []);
    await logIn(ann, "ann");
    await ann.waitForSelector("#status[data-state=online]");
    assert.equal(await other.isVisible("#welcome"), true);
    await other.evaluate(() => {
      window.late = false;
      window.dispatchEvent(new StorageEvent("storage"));
    });
    // The other tab gets the login.
    await other.waitForSelector("#status[data-state=online]");
    await enter(ann, "Ben Bo");
    // The server has it for the next login of the same person.
    await until(() => ann.inputValue("#text"), "a later draft for Ben");
    await ann.fill("#text", "");
    await other.close();
  });

  await t.test("names are completed with the keyboard", async () => {
    await enter(ann, "Crew");
    await ann.click("#text");
    await ann.keyboard.type("hi @");
    await until(() => ann.locator("#mentions [role=option] .soft").allTextContents(), ["@ben", "@cem", "@all"]);
    await until(() => ann.getAttribute("#text", "aria-activedescendant"), "mention-0");
    await ann.keyboard.press("ArrowDown");
    await until(() => ann.locator("#mentions [aria-selected=true] .mention-name").textContent(), "Cem");
    await ann.keyboard.press("Tab");
    await until(() => ann.inputValue("#text"), "hi @cem ");
    await ann.keyboard.type("and @Bo");
    await until(() => ann.locator("#mentions [role=option] .soft").allTextContents(), ["@ben"]);
    await ann.keyboard.press("Escape");
    await until(() => ann.isVisible("#mentions"), false);
    await until(() => ann.isVisible("#chat"), true);
    await ann.keyboard.press("Enter");
    await until(async () => (await texts(ann)).at(-1), "hi @cem and @Bo");
    await until(async () => (await cem.listMessages(group.id)).messages.at(-1).content.mentions, [cem.user.id]);
  });

  await t.test("names are completed with the pointer, and an address of mail is no name", async () => {
    await ann.keyboard.type("x@b");
    await until(() => ann.isVisible("#mentions"), false);
    await ann.fill("#text", "");
    await ann.keyboard.type("@b");
    await ann.click("#mentions [role=option]");
    await until(() => ann.inputValue("#text"), "@ben ");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "text");
    await ann.press("#text", "Enter");
    await until(async () => (await texts(ann)).at(-1), "@ben");
  });

  await t.test("notifications are asked for once", async () => {
    await ann.goto(`${server.url}/#/`);
    await ann.waitForSelector("#ask:not([hidden])");
    assert.equal(await ann.evaluate(() => window.asked), 0);
    await ann.click("#ask-yes");
    assert.equal(await ann.evaluate(() => window.asked), 1);
    await until(() => ann.isVisible("#ask"), false);
    await until(() => ann.getAttribute("#bell", "aria-pressed"), "true");
  });

  await t.test("what arrives elsewhere is notified of, and rings for a mention or a person", async () => {
    await cem.send(group.id, "to everybody");
    await until(shown, ["Cem in Crew: to everybody"]);
    assert.equal(await ann.evaluate(() => window.rung), 0);
    await cem.send(group.id, "@ann look", { mentions: [me.id] });
    await until(shown, ["Cem in Crew: @ann look"]);
    await until(() => ann.evaluate(() => window.rung > 0), true);
    await enter(ann, "Crew");
    await until(shown, []);
  });

  await t.test("nothing is notified of in the open conversation, in whichever tab it is open", async () => {
    const other = await browser.tab(context, `#/c/${direct.id}`);
    await other.waitForSelector("#rows .row");
    await look(ann, false);
    await ann.evaluate(() => window.dispatchEvent(new Event("blur")));
    await look(other, true);
    const all = async () => [await shown(), await other.evaluate(() => window.shown.length)];
    await ben.send(direct.id, "you see this");
    await until(async () => (await texts(other)).at(-1), "you see this");
    await cem.send(group.id, "but not this");
    // When one tab shows the second notification, the first would have been shown too.
    await until(async () => (await all()).flat().length > 0 && (await ann.evaluate(() => window.shown.length)) + (await other.evaluate(() => window.shown.length)), 1);
    await other.close();
    await look(ann, true);
  });

  await t.test("one click ends notifications", async () => {
    await ann.goto(`${server.url}/#/`);
    await ann.click("#bell");
    await until(() => ann.getAttribute("#bell", "aria-pressed"), "false");
    const before = await badge(ann, "Ben Bo");
    await ben.send(direct.id, "quiet now");
    await until(() => badge(ann, "Ben Bo"), before + 1);
    await ann.waitForTimeout(500);
    assert.deepEqual(await shown(), []);
    await ann.reload();
    await until(() => ann.getAttribute("#bell", "aria-pressed"), "false");
    await until(() => ann.isVisible("#ask"), false);
  });

  await t.test("a block and new names in one tab reach the others", async () => {
    const other = await browser.tab(context, `#/c/${direct.id}`);
    await other.waitForSelector("#rows .row");
    await enter(ann, "Ben Bo");
    await ann.click("#details-button");
    await ann.click("[data-key=block]");
    await ann.click("#confirm-yes");
    await until(() => other.isVisible("#blocked-action"), true);
    await ann.keyboard.press("Escape");
    await other.click("#blocked-action");
    await until(() => ann.isVisible("#composer"), true);
    await other.click("#account-button");
    await ann.click("#account-button");
    await ann.click("#profile-button");
    await ann.fill("#own-name", "Ann the Second");
    await ann.press("#own-name", "Enter");
    await until(() => other.textContent("#account-body .hero-title"), "Ann the Second");
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 1);
    await ann.keyboard.press("Escape");
    await other.keyboard.press("Escape");
    await ben.setRole(group.id, me.id, "admin");
    await enter(ann, "Crew");
    await ann.click("#details-button");
    await ann.fill("#rename", "Night crew");
    await ann.press("#rename", "Enter");
    await until(async () => (await other.locator("#conversations .title").allTextContents()).includes("Night crew"), true);
    await ann.keyboard.press("Escape");
    await other.close();
  });

  await t.test("one jumps back to the first unread message, however far up it is", async () => {
    await ann.goto(`${server.url}/#/`);
    await until(() => ann.isVisible("#no-chat"), true);
    const withCem = await cem.createDirect(me.id);
    await sendMany(cem, server, withCem.id, 420);
    await until(() => ann.locator("#conversations .title", { hasText: /^Cem$/ }).count(), 1);
    await until(() => badge(ann, "Cem"), 420);
    await enter(ann, "Cem");
    await ann.waitForSelector(".divider");
    await until(() => ann.isVisible("#first-unread"), false);
    await ann.click("#jump");
    await until(async () => (await texts(ann)).at(-1), "message 420");
    // The divider is not on a loaded page.
    await until(() => ann.locator(".divider").count(), 0);
    await ann.click("#first-unread");
    await ann.waitForSelector(".divider");
    await until(() => ann.isVisible("#first-unread"), false);
    const next = await ann.evaluate(() => {
      const row = document.querySelector(".divider + .row");
      const { top, bottom } = document.querySelector("#log").getBoundingClientRect();
      const box = row.getBoundingClientRect();
      return [row.querySelector(".text").textContent, box.top > top && box.bottom < bottom, document.activeElement.id];
    });
    assert.deepEqual(next, ["message 1", true, "log"]);
    // After a reply, the button is not needed.
    await say(ann, "I have read it all");
    await until(() => ann.isVisible("#first-unread"), false);
  });

  await t.test("the theme is the system's, until another one is chosen in any tab", async () => {
    const other = await browser.tab(context);
    const theme = (page) => page.getAttribute("html", "data-theme");
    await ann.emulateMedia({ colorScheme: "dark" });
    await until(() => theme(ann), "dark");
    await ann.emulateMedia({ colorScheme: "light" });
    await until(() => theme(ann), "light");
    await ann.click("#account-button");
    await ann.selectOption("#own-theme", "dark");
    for (const page of [ann, other]) await until(() => theme(page), "dark");
    const ground = await ann.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(ground, "rgb(7, 24, 31)");
    await ann.reload();
    await until(() => theme(ann), "dark");
    await ann.click("#account-button");
    await ann.selectOption("#own-theme", "system");
    await until(() => theme(other), "light");
    await other.close();
  });

  await t.test("the members of a large group come in pages", async () => {
    const members = (await server.admin("seed", "--users", "520")).map(({ user_id }) => user_id);
    const fleet = await ben.createGroup({ title: "Fleet", member_ids: [me.id] });
    for (let from = 0; from < members.length; from += 100) await ben.addMembers(fleet.id, members.slice(from, from + 100));
    await ann.keyboard.press("Escape");
    await enter(ann, "Fleet");
    await ann.click("#details-button");
    await until(() => ann.locator("#details-body .members li").count(), 500);
    await ann.click("text=Show 22 more");
    await until(() => ann.locator("#details-body .members li").count(), 522);
    await until(() => ann.locator("[data-key=more]").count(), 0);
    assert.equal(new Set(await ann.locator("#details-body .members .soft").allTextContents()).size, 522);
    await ann.keyboard.press("Escape");
  });

  await t.test("two tabs on the first page: logging in at one is logging in at both", async () => {
    const fresh = await browser.installation();
    const tabs = [await browser.tab(fresh), await browser.tab(fresh)];
    for (const tab of tabs) await tab.waitForSelector("#welcome:not([hidden])");
    await logIn(tabs[0], "ann");
    for (const tab of tabs) await tab.waitForSelector("#status[data-state=online]");
    await until(() => tabs[1].locator("#conversations li").count(), 4);
    await enter(tabs[1], "Ben Bo");
    await say(tabs[1], "from the other one");
    await until(async () => (await ben.listMessages(direct.id)).messages.at(-1).content.text, "from the other one");
    await fresh.close();
  });
});

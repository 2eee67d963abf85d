// What one keeps for oneself: drafts on all devices, and how one arranges conversations and messages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, desktop, enter, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("one's own", { timeout: 480_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const context = await browser.installation();
  await desktop(context);
  const ann = await browser.tab(context);
  await ann.click("#swap");
  for (const [id, value] of [["username", "ann"], ["display-name", "Ann"], ["password", "correct horse"]]) await ann.fill(`#${id}`, value);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const phone = await browser.returning("ann", { viewport: { width: 320, height: 640 } });
  const ben = await api(t, server, "ben", "Ben");
  const cem = await api(t, server, "cem", "Cem");
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id] });
  await ben.send(direct.id, "hello Ann");
  await cem.send(crew.id, "hello crew");
  const titles = (page = ann) => page.locator("#conversations .title").allTextContents();
  const rowOf = (title, page = ann) => page.locator("#conversations li", { has: page.locator(".title", { hasText: title }) });
  const preview = (title, page = ann) => rowOf(title, page).locator(".preview").textContent();
  const choose = async (item, page = ann) => {
    await page.click("#arrange-button");
    await page.click(`[role^=menuitem]:has-text("${item}")`);
  };
  const home = async (page = ann) => {
    await page.goto(`${server.url}/#/`);
    await until(() => page.isVisible("#chat"), false);
  };
  await until(() => titles(), ["Crew", "Ben"]);

  await t.test("a draft follows to another device, and ends when it is sent there", async () => {
    await enter(ann, "Ben");
    await ann.fill("#text", "half a thought");
    await until(() => preview("Ben", phone), "Draft: half a thought");
    await enter(phone, "Ben");
    await until(() => phone.inputValue("#text"), "half a thought");
    await phone.fill("#text", "half a thought, and the rest");
    await until(() => ann.inputValue("#text"), "half a thought, and the rest");
    await phone.click("#send-button");
    await until(() => ann.inputValue("#text"), "");
    await until(async () => (await texts(ann)).at(-1), "half a thought, and the rest");
    // What is written offline is not replaced, and goes when the network is back.
    await context.setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    await ann.fill("#text", "from the tunnel");
    await phone.fill("#text", "from the phone");
    const device = await api(t, server, "eve", "Eve");
    await device.login({ username: "ann", password: "correct horse" });
    await until(async () => (await device.listDrafts()).drafts.map(({ content }) => content.text), ["from the phone"]);
    await context.setOffline(false);
    await until(() => ann.getAttribute("#status", "data-state"), "online");
    await until(() => phone.inputValue("#text"), "from the tunnel");
    await until(() => ann.inputValue("#text"), "from the tunnel");
    await ann.fill("#text", "");
    await until(() => phone.inputValue("#text"), "");
    // A new device has the drafts.
    await ann.fill("#text", "for the tablet");
    await until(() => phone.inputValue("#text"), "for the tablet");
    const tablet = await browser.returning("ann");
    await until(() => preview("Ben", tablet), "Draft: for the tablet");
    await tablet.context().close();
    await ann.fill("#text", "");
    await until(() => phone.inputValue("#text"), "");
    await home(phone);
  });

  await t.test("a pinned conversation is the first, on all devices", async () => {
    await enter(ann, "Ben");
    await cem.send(crew.id, "the newest");
    await until(() => titles(), ["Crew", "Ben"]);
    await choose("Pin");
    for (const page of [ann, phone]) await until(() => titles(page), ["Ben", "Crew"]);
    await ann.waitForSelector("#toasts >> text=Pinned.");
    assert.match(await rowOf("Ben").locator(".marks").textContent(), /pinned/);
    await choose("Unpin");
    await until(() => titles(phone), ["Crew", "Ben"]);
  });

  await t.test("one's own name for a conversation is one's own", async () => {
    await choose("Your own name");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "nickname");
    await ann.fill("#nickname", "Benny");
    await ann.keyboard.press("Enter");
    for (const page of [ann, phone]) await until(() => titles(page), ["Crew", "Benny"]);
    await ann.keyboard.press("Escape");
    await until(() => ann.textContent("#chat-title"), "Benny");
    await until(() => ann.textContent("#chat-subtitle"), "offline · Ben · @ben");
    await ann.fill("#filter", "ben");
    await until(() => titles(), ["Benny"]);
    await ann.fill("#filter", "");
    await ann.click("#details-button");
    await ann.fill("#nickname", "");
    await ann.press("#nickname", "Enter");
    await until(() => titles(phone), ["Crew", "Ben"]);
    await ann.keyboard.press("Escape");
  });

  await t.test("archived conversations have their own list, with their counts", async () => {
    await enter(ann, "Crew");
    await until(() => badge(ann, "Crew"), 0);
    await choose("Archive");
    for (const page of [ann, phone]) await until(() => titles(page), ["Ben"]);
    await home();
    await cem.send(crew.id, "are you here?");
    await until(() => ann.textContent("#archive-badge > :first-child"), "1");
    assert.deepEqual([await titles(), await ann.title()], [["Ben"], "(1) Tideline"]);
    await ann.click("#archive-button");
    await until(() => titles(), ["Crew"]);
    assert.deepEqual([await badge(ann, "Crew"), await ann.textContent("#archive-text")], [1, "Back to all conversations"]);
    await enter(ann, "Crew");
    await until(() => badge(ann, "Crew"), 0);
    await choose("Mark as unread");
    await until(() => phone.isVisible("#archive-mark"), true);
    await until(() => phone.isVisible("#archive-badge"), false);
    await enter(ann, "Crew");
    await until(() => phone.isVisible("#archive-mark"), false);
    // On a phone the toast leaves the composer free.
    await enter(phone, "Ben");
    await choose("Archive", phone);
    await phone.waitForSelector("#toasts >> text=Moved to the archive.");
    const [toast, composer] = [await phone.locator(".toast").last().boundingBox(), await phone.locator("#composer").boundingBox()];
    assert.ok(toast.y + toast.height <= composer.y, `${toast.y} + ${toast.height} > ${composer.y}`);
    await home(phone);
    await until(() => phone.textContent("#list-empty"), "All your conversations are archived.");
    await phone.click("#archive-button");
    await enter(phone, "Ben");
    await choose("Take out", phone);
    await home(phone);
    await choose("Take out");
    for (const page of [ann, phone]) await until(() => titles(page), ["Crew", "Ben"]);
    await until(() => ann.isVisible("#archive-button"), false);
  });

  await t.test("a hidden conversation comes back with its next message, and a search finds it", async () => {
    await choose("Hide until");
    await until(() => ann.isVisible("#chat"), false);
    for (const page of [ann, phone]) await until(() => titles(page), ["Ben"]);
    await ann.fill("#filter", "cr");
    await until(() => titles(), ["Crew"]);
    await ann.fill("#filter", "");
    await cem.send(crew.id, "back again");
    for (const page of [ann, phone]) await until(() => titles(page), ["Crew", "Ben"]);
  });

  await t.test("a mark as unread stays until the conversation is opened again", async () => {
    await enter(ann, "Crew");
    await until(() => badge(ann, "Crew"), 0);
    await choose("Mark as unread");
    await until(() => ann.isVisible("#chat"), false);
    for (const page of [ann, phone]) await until(() => rowOf("Crew", page).locator(".unread-mark").isVisible(), true);
    await until(() => ann.title(), "Tideline");
    await ann.waitForTimeout(600);
    assert.equal((await rowOf("Crew", phone).locator(".unread-mark").isVisible()), true);
    await enter(ann, "Crew");
    for (const page of [ann, phone]) await until(() => rowOf("Crew", page).locator(".unread-mark").isVisible(), false);
  });

  await t.test("a muted conversation does not notify, or only of mentions", async () => {
    const notes = () => ann.evaluate(() => window.shown.map(({ title, body }) => `${title}: ${body}`));
    await choose("Notify of mentions only");
    await ann.waitForSelector("#toasts >> text=You are notified of mentions only.");
    await ann.click("#arrange-button");
    assert.deepEqual(await ann.locator("[role=menuitemradio]").evaluateAll((all) => all.map((one) => one.getAttribute("aria-checked"))), ["false", "true", "false"]);
    await ann.keyboard.press("Escape");
    await home();
    await ann.click("#ask-yes");
    await cem.send(crew.id, "to nobody");
    await cem.send(crew.id, "@ann to you", { mentions: [me.id] });
    await until(notes, ["Cem in Crew: @ann to you"]);
    const { seq } = await cem.send(crew.id, "@ann once more", { mentions: [me.id] });
    await until(notes, ["Cem in Crew: @ann once more"]);
    await cem.edit(crew.id, seq, { version: 1, content: { text: "@ann once more, please", mentions: [me.id] } });
    await until(notes, ["Cem in Crew: @ann once more, please"]);
    await cem.recall(crew.id, seq);
    await until(notes, []);
    await enter(ann, "Crew");
    await until(() => badge(ann, "Crew"), 0);
    await choose("No notifications");
    await until(() => rowOf("Crew").evaluate((row) => row.classList.contains("quiet")), true);
    await home();
    await cem.send(crew.id, "@ann are you there?", { mentions: [me.id] });
    await ben.send(direct.id, "psst");
    await until(notes, ["Ben: psst"]);
    await until(() => badge(ann, "Crew"), 1);
    await enter(ann, "Crew");
    await choose("Notify of all messages");
    await until(() => rowOf("Crew").evaluate((row) => row.classList.contains("quiet")), false);
  });

  await t.test("a message that one hides disappears from one's own devices only", async () => {
    await enter(ann, "Ben");
    await enter(phone, "Ben");
    await ben.send(direct.id, "a secret for Ann");
    for (const page of [ann, phone]) await until(async () => (await texts(page)).at(-1), "a secret for Ann");
    await ann.locator("#rows .row").last().hover();
    await ann.locator("#rows .row").last().locator(".row-menu").click();
    await ann.click("[role=menuitem]:has-text('Hide for me')");
    await until(() => ann.textContent("#confirm-title"), "Hide this message?");
    await ann.click("#confirm-yes");
    for (const page of [ann, phone]) await until(() => page.evaluate(() => document.body.innerHTML.includes("a secret for Ann")), false);
    await until(() => preview("Ben"), "Message hidden by you");
    assert.equal((await ben.listMessages(direct.id)).messages.at(-1).content.text, "a secret for Ann");
    await until(() => badge(ann, "Ben"), 0);
    // A hidden message that was not read counts until it is passed.
    await home();
    await home(phone);
    const { seq } = await ben.send(direct.id, "unread and hidden");
    await until(() => badge(ann, "Ben"), 1);
    const third = await api(t, server, "dan", "Dan");
    await third.login({ username: "ann", password: "correct horse" });
    await third.hideMessages(direct.id, [seq]);
    await enter(ann, "Ben");
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("a cleared history is empty, and counts as read", async () => {
    await enter(ann, "Crew");
    await enter(phone, "Crew");
    await until(async () => (await texts(phone)).length > 0, true);
    await choose("Clear the history");
    await until(() => ann.textContent("#confirm-title"), "Clear the history of “Crew”?");
    await ann.click("#confirm-yes");
    for (const page of [ann, phone]) await until(() => page.locator("#rows .row").count(), 0);
    await until(() => ann.textContent("#log-top"), "You have cleared what was here before.");
    await until(() => badge(ann, "Crew"), 0);
    assert.ok((await cem.listMessages(crew.id)).messages.length > 5);
    await say(ann, "a new beginning");
    for (const page of [ann, phone]) await until(() => texts(page), ["a new beginning"]);
    await phone.reload();
    await until(() => texts(phone), ["a new beginning"]);
  });

  await t.test("the keyboard reaches the menu of a conversation", async () => {
    await ann.focus("#arrange-button");
    await ann.keyboard.press("Enter");
    assert.equal(await ann.evaluate(() => document.activeElement.textContent), "Pin");
    await ann.keyboard.press("End");
    assert.equal(await ann.evaluate(() => document.activeElement.textContent), "Clear the history");
    await ann.keyboard.press("Escape");
    assert.deepEqual([await ann.evaluate(() => document.activeElement.id), await ann.isVisible("#chat"), await ann.locator("[role=menu]").count()], ["arrange-button", true, 0]);
  });

  await t.test("everything is on the screen of a phone of 320 pixels", async () => {
    /** The elements that are cut off by the screen. */
    const outside = (...selectors) =>
      phone.evaluate((all) => all.filter((selector) => {
        const { left, right, top, bottom } = document.querySelector(selector).getBoundingClientRect();
        return left < 0 || right > innerWidth || top < 0 || bottom > innerHeight;
      }), selectors);
    await ben.send(crew.id, "a longer message, to which the phone replies", { reply_to: (await cem.listMessages(crew.id)).last_seq });
    await until(() => phone.locator(".quote").count(), 1);
    for (const emoji of ["👍", "🎉", "🦀", "🌊", "⛵"]) await cem.addReaction(crew.id, (await cem.listMessages(crew.id)).last_seq, emoji);
    await until(() => phone.locator(".reaction:not(.add)").count(), 5);
    assert.deepEqual(await outside("#chat .back", "#arrange-button", "#details-button", "#send-button", ".quote", ".reactions", ".reaction.add"), []);
    await phone.click("#arrange-button");
    assert.deepEqual(await outside("[role=menu]", "[role=menu] li:last-child"), []);
    await phone.keyboard.press("Escape");
    await phone.click(".reaction.add");
    assert.deepEqual(await outside(".react-panel", ".react-form button"), []);
    await phone.keyboard.press("Escape");
    await phone.locator(".row .row-menu").last().click();
    assert.deepEqual(await outside("[role=menu]"), []);
    await phone.click("[role=menuitem]:has-text('Reply')");
    assert.deepEqual(await outside("#replying", "#reply-stop", "#send-button"), []);
    await phone.click("#reply-stop");
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 320);
  });
});

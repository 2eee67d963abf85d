// Pinned messages: the person pins them where that is allowed, and finds them in every conversation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

test("pinned messages", { timeout: 240_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_FANOUT_LIMIT: "3" });
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const phone = await browser.returning("ann", { viewport: { width: 320, height: 640 } });
  const [ben, cem, dan] = [await api(t, server, "ben", "Ben"), await api(t, server, "cem", "Cem"), await api(t, server, "dan", "Dan")];
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  await ben.send(direct.id, "the address is Pier 4");
  await sendMany(ben, server, direct.id, 120);
  const rowOf = (text, page = ann) => page.locator("#rows .row", { has: page.locator(".text", { hasText: text }) }).last();
  const menuOf = async (text, page = ann) => {
    await rowOf(text, page).hover();
    await rowOf(text, page).locator(".row-menu").click();
    return page.locator("[role=menuitem]").allTextContents();
  };
  const choose = async (text, item, page = ann) => {
    await menuOf(text, page);
    await page.click(`[role=menuitem]:text-is("${item}")`);
  };
  const bar = async (page = ann) => ((await page.isVisible("#pins-bar")) ? [await page.textContent("#pins-count"), await page.textContent("#pins-text")] : null);
  const rows = (page = ann) => page.locator("#pins .mentioned-text").allTextContents();

  await t.test("the menu pins a message, and all devices show it", async () => {
    for (const page of [ann, phone]) {
      await until(() => page.locator("#conversations .preview").first().textContent(), "message 120");
      await enter(page, "Ben");
    }
    // It opens at the first unread message.
    await ann.click("#jump");
    await until(() => rowOf("message 120").count(), 1);
    assert.equal(await bar(), null);
    await choose("message 120", "Pin");
    await ann.waitForSelector("#toasts >> text=Pinned for everyone here.");
    for (const page of [ann, phone]) await until(() => bar(page), ["1 pinned", "message 120"]);
    await until(() => rowOf("message 120").locator(".facts").getAttribute("title"), "Pinned");
    assert.deepEqual((await ben.listPins(direct.id)).messages.map(({ pinned }) => pinned.by), [me.id]);
    // Of another person, and far up.
    await ben.pinMessage(direct.id, 1);
    for (const page of [ann, phone]) await until(() => bar(page), ["2 pinned", "the address is Pier 4"]);
    await ann.reload();
    await until(() => bar(), ["2 pinned", "the address is Pier 4"]);
  });

  await t.test("the list is reached with the keyboard, and goes to a message", async () => {
    await ann.focus("#pins-bar");
    await ann.keyboard.press("Enter");
    await until(() => rows(), ["the address is Pier 4", "message 120"]);
    assert.match(await ann.locator("#pins .soft").last().textContent(), /^Pinned by you · /);
    await ann.focus("#pins .mentioned-row >> nth=0");
    await ann.keyboard.press("Enter");
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["the address is Pier 4"]);
    await until(() => ann.locator("dialog[open]").count(), 0);
  });

  await t.test("an edit, a recall and the end of a pin change the bar and the list", async () => {
    await ben.edit(direct.id, 1, { version: 1, content: { text: "the address is Pier 5" } });
    await until(() => bar(), ["2 pinned", "the address is Pier 5"]);
    await ann.click("#pins-bar");
    await ann.getByRole("button", { name: "Unpin “message 120”" }).click();
    await until(() => rows(), ["the address is Pier 5"]);
    await until(async () => (await ben.listPins(direct.id)).messages.length, 1);
    for (const page of [ann, phone]) await until(() => bar(page), ["1 pinned", "the address is Pier 5"]);
    await ben.recall(direct.id, 1);
    await until(() => ann.textContent("#pins"), "No message is pinned.");
    for (const page of [ann, phone]) await until(() => bar(page), null);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
  });

  await t.test("in a group the rules say who pins, also in a large one", async () => {
    for (const [title, others] of [["Crew", [cem]], ["Fleet", [cem, dan]]]) {
      const group = await ben.createGroup({ title, member_ids: [me.id, ...others.map(({ user }) => user.id)] });
      await ben.send(group.id, `welcome to ${title}`);
      await enter(ann, title);
      await until(() => rowOf(`welcome to ${title}`).count(), 1);
      assert.equal((await menuOf(`welcome to ${title}`)).includes("Pin"), false);
      await ann.keyboard.press("Escape");
      await ben.pinMessage(group.id, 1);
      await until(() => bar(), ["1 pinned", `welcome to ${title}`]);
      await ann.click("#pins-bar");
      await until(() => rows(), [`welcome to ${title}`]);
      await until(() => ann.locator("#pins .round").count(), 0);
      await ann.keyboard.press("Escape");
      await until(() => ann.locator("dialog[open]").count(), 0);
      await ben.updateConversation(group.id, { pinning: "all" });
      // Members of a large one see that when they open it.
      if (title === "Fleet") await ann.reload();
      await until(() => rowOf(`welcome to ${title}`).count(), 1);
      await until(async () => {
        const items = await menuOf(`welcome to ${title}`);
        await ann.keyboard.press("Escape");
        return items.includes("Unpin");
      }, true);
      await choose(`welcome to ${title}`, "Unpin");
      await until(() => bar(), null);
    }
  });

  await t.test("the bar and the list fit on a phone of 320 pixels", async () => {
    await ben.pinMessage(direct.id, 2);
    await until(() => bar(phone), ["1 pinned", "message 1"]);
    await phone.click("#pins-bar");
    await until(() => rows(phone), ["message 1"]);
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 320);
    await phone.click("#pins .mentioned-row");
    await until(() => phone.locator(".row.marked .text").allTextContents(), ["message 1"]);
  });
});

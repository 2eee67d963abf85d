// The page can be used without a mouse: from the registration to a chat, with keys only.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("the keyboard alone", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ben = await api(t, server, "ben", "Ben");
  const page = await browser.tab(await browser.installation());
  const keys = async (...all) => {
    for (const key of all) await page.keyboard.press(key);
  };
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.tagName);
  const type = (text) => page.keyboard.type(text);

  await t.test("from nothing to a chat", async () => {
    await until(focused, "username");
    await keys("Tab", "Tab", "Tab");
    await until(() => focused(), "swap");
    await keys("Enter");
    await until(() => focused(), "username");
    await type("ann");
    await keys("Tab");
    await type("Ann");
    await keys("Tab");
    await type("correct horse");
    await keys("Enter");
    await until(focused, "new-button");
    await keys("Enter");
    await until(focused, "new-people");
    await type("ben");
    await keys("Enter");
    await until(focused, "text");
    await type("hello");
    await keys("Shift+Enter");
    await type("Ben");
    await keys("Enter");
    await until(() => texts(page), ["hello\nBen"]);
    await until(() => focused(), "text");
  });

  await t.test("an emoji is picked with the arrows", async () => {
    await keys("Alt+e");
    await until(() => focused(), "grinning");
    await keys("ArrowDown", "ArrowRight");
    await until(() => focused(), "sleeping");
    await keys("Home", "ArrowRight", "Enter");
    await until(() => focused(), "text");
    await keys("Enter");
    await until(async () => (await texts(page)).at(-1), "😄");
    await keys("Alt+e", "Escape");
    await until(() => focused(), "text");
    await until(() => page.isVisible("#emoji-panel"), false);
  });

  await t.test("shortcuts go everywhere, Escape comes back", async () => {
    const second = await ben.createGroup({ title: "Second", member_ids: [(await ben.findUser("ann")).id] });
    await ben.send(second.id, "over here");
    await until(() => page.locator("#conversations li").count(), 2);
    const title = () => page.textContent("#chat-title");
    await keys("Alt+ArrowUp");
    await until(title, "Second");
    await keys("Alt+ArrowDown");
    await until(title, "Ben");
    for (const [key, dialog] of [["h", "help"], ["a", "account"], ["i", "details"], ["n", "new"]]) {
      await keys(`Alt+${key}`);
      await page.waitForSelector(`#${dialog}-dialog[open]`);
      await keys("Escape");
      await until(() => page.locator("dialog[open]").count(), 0);
      await until(focused, "text");
    }
    await keys("Alt+s");
    await until(() => focused(), "filter");
    await type("sec");
    await until(() => page.locator("#conversations li").count(), 1);
    await keys("Tab", "Enter");
    await until(title, "Second");
    await keys("Escape");
    await until(() => page.isVisible("#no-chat"), true);
    assert.match(await page.evaluate(() => document.activeElement.hash), /^#\/c\//);
  });

  await t.test("the focus is always seen", async () => {
    await page.reload();
    await page.waitForSelector("#conversations a");
    const unseen = [];
    for (let n = 0; n < 12; n++) {
      await keys("Tab");
      const look = await page.evaluate(() => {
        const node = document.activeElement;
        const { outlineStyle, outlineWidth } = getComputedStyle(node);
        return [node.id || node.tagName, node === document.body || (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2)];
      });
      if (!look[1]) unseen.push(look[0]);
    }
    assert.deepEqual(unseen, []);
  });
});

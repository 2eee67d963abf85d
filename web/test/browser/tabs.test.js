// Tabs of one person are one device: one tab waits for all, and all tabs show the same.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, look, password, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("tabs", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const metrics = (await readFile(path.join(server.dir, "log"), "utf8")).match(/http:\S+\/metrics/)[0];
  const parked = async () => Number((await (await fetch(metrics)).text()).match(/^tideline_notices_parked (\d+)/m)[1]);

  const first = await browser.person("ann");
  const tabs = [first, await browser.tab(first.context()), await browser.tab(first.context())];
  for (const tab of tabs) await tab.waitForSelector("#status[data-state=online]");
  const ben = await api(t, server, "ben", "Ben");
  const chat = await ben.createDirect((await ben.findUser("ann")).id);

  await t.test("three tabs hold one wait", async () => {
    await until(parked, 1);
    for (const text of ["one", "two"]) await ben.send(chat.id, text);
    for (const tab of tabs) await until(() => badge(tab, "Ben"), 2);
    await until(parked, 1);
    // Long enough for a second wait to appear.
    for (let n = 0; n < 20; n++) {
      assert.ok((await parked()) <= 1, "more than one wait");
      await first.waitForTimeout(50);
    }
  });

  await t.test("what one tab reads and writes, all tabs know", async () => {
    for (const tab of tabs.slice(1)) await look(tab, false);
    await enter(tabs[1], "Ben");
    await enter(tabs[2], "Ben");
    await enter(first, "Ben");
    for (const tab of tabs) await until(() => badge(tab, "Ben"), 0);
    await say(tabs[2], "from the third tab");
    for (const tab of tabs) await until(async () => (await texts(tab)).join(), "one,two,from the third tab");
    for (const tab of tabs) await until(() => tab.locator(".row.mine[data-state=stored]").count(), 1);
  });

  await t.test("when the tab that waits is closed, another one goes on", async () => {
    await first.close();
    await ben.send(chat.id, "still there?");
    for (const tab of tabs.slice(1)) await until(async () => (await texts(tab)).at(-1), "still there?");
    await until(parked, 1);
    await tabs[1].close();
    await ben.send(chat.id, "and now?");
    await until(async () => (await texts(tabs[2])).join(), "one,two,from the third tab,still there?,and now?");
    await until(parked, 1);
  });

  await t.test("logging out in one tab logs all of them out", async () => {
    const other = await browser.tab(first.context());
    await other.waitForSelector("#status[data-state=online]");
    await other.click("#account-button");
    await other.click("#account-body >> text=Log out >> nth=-1");
    await other.click("#confirm-yes");
    for (const tab of [other, tabs[2]]) await until(() => tab.isVisible("#welcome"), true);
    await until(parked, 0);
  });

  await t.test("where tabs cannot agree, one of them stands back and says so", async () => {
    const context = await browser.installation();
    // As on a page without TLS on another host.
    await context.addInitScript(() => delete Navigator.prototype.locks);
    const one = await browser.tab(context);
    await one.fill("#username", "ann");
    await one.fill("#password", password);
    await one.click("#sign-submit");
    await until(() => one.getAttribute("#status", "data-state"), "online");
    const two = await browser.tab(context);
    await until(() => two.getAttribute("#status", "data-state"), "online");
    await until(() => one.textContent("#status-text"), "In use in another window");
    // The other window may be between two waits, and its next one would win: a person asks again then.
    const take = async () => {
      if (await one.isVisible("#status-action")) await one.click("#status-action");
      return two.getAttribute("#status", "data-state");
    };
    await until(take, "superseded");
    await until(() => one.getAttribute("#status", "data-state"), "online");
    const unread = await badge(one, "Ben");
    await ben.send(chat.id, "one more");
    await until(() => badge(one, "Ben"), unread + 1);
    await context.close();
  });
});

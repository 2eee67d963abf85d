// Two people chat in two browsers: nothing is lost, duplicated or reordered when the network or the server fails.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, look, say, texts, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const stored = (page) => page.locator(".row.mine[data-state=stored]").count();

test("in a browser", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const ben = await browser.person("ben");

  await t.test("two people find each other and chat", async () => {
    await ann.click("#new-button");
    await ann.fill("#new-people", "nobody");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#new-error"), "Nobody is called “nobody”.");
    await ann.fill("#new-people", "Ben");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#chat-title"), "Ben");
    await say(ann, "hello Ben");
    await say(ann, "🌊");
    await until(() => stored(ann), 2);
    await until(() => ann.locator(".bubble.is-emoji").count(), 1);

    await until(() => badge(ben, "Ann"), 2);
    await until(() => ben.title(), "(2) Tideline");
    await enter(ben, "Ann");
    await until(() => texts(ben), ["hello Ben", "🌊"]);
    await until(() => ben.locator(".divider").count(), 1);
    await until(() => badge(ben, "Ann"), 0);
    await until(() => ben.title(), "Ann · Tideline");
    await say(ben, "hello Ann");
    await until(() => texts(ann), ["hello Ben", "🌊", "hello Ann"]);
    await until(() => ben.locator(".divider").count(), 0);
    await until(() => ann.textContent("#announcer"), "Ben: hello Ann");
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("only what is looked at is marked as read", async () => {
    await look(ann, false);
    await say(ben, "are you there?");
    await until(() => ann.title(), "(1) Ben · Tideline");
    await ann.waitForTimeout(600);
    await until(() => badge(ann, "Ben"), 1);
    await until(() => ann.locator(".divider").count(), 1);
    await look(ann, true);
    await until(() => badge(ann, "Ben"), 0);
    await until(() => ann.title(), "Ben · Tideline");
  });

  await t.test("what is written offline is sent when the network is back", async () => {
    await ann.context().setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    for (const text of ["one", "two", "three"]) await say(ann, text);
    await until(() => ann.locator(".row.mine[data-state=sending]").count(), 3);
    await ann.context().setOffline(false);
    await until(async () => (await texts(ben)).slice(-3), ["one", "two", "three"]);
    await until(() => ann.locator(".row.mine[data-state=sending]").count(), 0);
    await until(() => ann.getAttribute("#status", "data-state"), "online");
    assert.deepEqual((await texts(ann)).slice(-3), ["one", "two", "three"]);
  });

  await t.test("a conversation that could not be loaded offline is loaded online", async () => {
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
    await ann.goto(`${server.url}/#/`);
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
    await ann.context().setOffline(true);
    await enter(ann, "Ben");
    await ann.waitForSelector("#log-top >> text=Try again");
    assert.match(await ann.textContent("#log-top"), /^The server cannot be reached/);
    await ann.context().setOffline(false);
    await until(async () => (await texts(ann)).at(-1), "three");
  });

  await t.test("the server restarts while both are writing", async () => {
    const before = (await texts(ann)).length;
    for (let n = 0; n < 3; n++) await Promise.all([say(ann, `ann ${n}`), say(ben, `ben ${n}`)]);
    const stopped = server.stop();
    for (let n = 3; n < 6; n++) await Promise.all([say(ann, `ann ${n}`), say(ben, `ben ${n}`)]);
    await stopped;
    for (let n = 6; n < 9; n++) await Promise.all([say(ann, `ann ${n}`), say(ben, `ben ${n}`)]);
    await until(async () => (await ann.locator(".row.mine[data-state=sending]").count()) > 0, true);
    await server.start();
    const said = async (page) => (await texts(page)).slice(before);
    await until(async () => [...(await said(ann))].sort(), ["ann", "ben"].flatMap((who) => Array.from({ length: 9 }, (_, n) => `${who} ${n}`)), 40_000);
    const order = await until(() => said(ben), await said(ann));
    for (const who of ["ann", "ben"]) {
      const own = order.filter((text) => text.startsWith(who));
      assert.deepEqual(own, [...own].sort(), "in the order of writing");
    }
    await until(() => ann.getAttribute("#status", "data-state"), "online", 40_000);
  });

  await t.test("a device that was away for too long starts over", async () => {
    await ann.context().setOffline(true);
    for (const text of ["missed one", "missed two"]) await say(ben, text);
    await until(async () => (await texts(ben)).at(-1), "missed two");
    await until(() => ben.locator(".row.mine[data-state=sending]").count(), 0);
    await server.expireInbox();
    await ann.context().setOffline(false);
    await until(async () => (await texts(ann)).slice(-2), ["missed one", "missed two"]);
    assert.deepEqual(await texts(ann), await texts(ben));
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("a message that is refused says why, and can be tried again", async () => {
    await ben.click("#details-button");
    await ben.click("text=Block Ann");
    await ben.click("#confirm-yes");
    await until(() => ben.textContent("#details-body h3 ~ button"), "Unblock Ann");
    await ben.keyboard.press("Escape");
    await until(() => ben.isVisible("#composer"), false);
    await say(ann, "still friends?");
    await ann.waitForSelector(".row[data-state=failed]");
    assert.match(await ann.textContent(".row[data-state=failed] .failure"), /^Not sent: .*block/i);
    await ben.click("#blocked-action");
    await ben.waitForSelector("#composer:not([hidden])");
    await ann.click(".row[data-state=failed] >> text=Try again");
    await until(async () => (await texts(ben)).at(-1), "still friends?");
    await until(() => ann.locator(".row[data-state=failed]").count(), 0);
  });

  await t.test("history goes upward without end, and stays where one reads", async () => {
    const cato = await api(t, server, "cato", "Cato");
    const chat = await cato.createDirect((await cato.findUser("ann")).id);
    await sendMany(cato, server, chat.id, 230);
    await until(() => badge(ann, "Cato"), 230);
    await enter(ann, "Cato");
    // The thread opens at the first unread message, far above the end.
    await until(() => ann.locator(".divider").count(), 1);
    await ann.click("#jump");
    await until(() => badge(ann, "Cato"), 0);
    // The first page arrives after the `online` event, which must not fetch it again: a message would be appended twice.
    const asked = [];
    await ann.route(/\/messages\?/, async (route) => {
      asked.push(new URL(route.request().url()).search);
      await ann.waitForSelector("#status[data-state=online]");
      await route.continue();
    });
    await ann.reload();
    await until(async () => (await texts(ann)).at(-1), "message 230");
    await until(() => ann.evaluate(() => document.querySelector("#log").scrollTop > 1_000), true);
    assert.deepEqual(asked, ["?with_replied=true&limit=50"]);
    await ann.unroute(/\/messages\?/);
    for (let pages = 0; (await texts(ann)).length < 230 && pages < 20; pages++) {
      const [before, count] = await ann.evaluate(() => {
        const log = document.querySelector("#log");
        log.scrollTop = 300;
        const row = [...document.querySelectorAll("#rows .row")].find((one) => one.getBoundingClientRect().top > 100);
        row.id = "watched";
        return [row.getBoundingClientRect().top, document.querySelectorAll("#rows .row").length];
      });
      await until(() => ann.evaluate((count) => document.querySelectorAll("#rows .row").length > count, count), true);
      const after = await ann.evaluate(() => {
        const row = document.querySelector("#watched");
        row.id = "";
        return row.getBoundingClientRect().top;
      });
      assert.ok(Math.abs(after - before) < 2, `a row moved from ${before} to ${after}`);
    }
    await until(() => texts(ann), Array.from({ length: 230 }, (_, n) => `message ${n + 1}`));
    await until(() => ann.textContent("#log-top"), "The beginning of the conversation.");
  });

  await t.test("a device that is logged out elsewhere is out", async () => {
    const elsewhere = await browser.returning("ann");
    await elsewhere.click("#account-button");
    await elsewhere.waitForSelector("#devices .danger");
    await until(() => elsewhere.locator("#devices li").count(), 2);
    await elsewhere.click("#devices .danger");
    await elsewhere.click("#confirm-yes");
    await until(() => ann.isVisible("#welcome"), true);
    await until(() => ann.textContent("#welcome-notice"), "This device was logged out.");
    await until(() => ann.locator("#conversations li").count(), 0);
  });

  await t.test("the server says who may do what on the page", async () => {
    const response = await fetch(server.url);
    assert.match(response.headers.get("content-security-policy"), /default-src 'none'; script-src 'self'/);
    const same = await fetch(`${server.url}/app.js`, { headers: { "If-None-Match": (await fetch(`${server.url}/app.js`)).headers.get("etag") } });
    assert.equal(same.status, 304);
    const own = await readFile(new URL("../../../sdk/javascript/src/tideline.js", import.meta.url), "utf8");
    assert.equal(await (await fetch(`${server.url}/tideline/tideline.js`)).text(), own);
  });
});

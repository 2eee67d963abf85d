// Edge cases: long messages, large text, a wrong clock, a full storage, an ended session, the focus when its element disappears.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, password, say, texts, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const tall = (lines) => (n) => Array.from({ length: lines }, (_, line) => `line ${line} of message ${n}`).join("\n");

test("edges", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const ben = await api(t, server, "ben", "Ben");
  const annId = (await ben.findUser("ann")).id;
  const direct = await ben.createDirect(annId);

  await t.test("long unread messages are opened at the first, and stay unread until they are seen", async () => {
    await sendMany(ben, server, direct.id, 3, tall(100));
    await until(() => badge(ann, "Ben"), 3);
    await enter(ann, "Ben");
    await ann.waitForSelector(".divider");
    // Longer than a read mark takes.
    await ann.waitForTimeout(1_000);
    const inSight = () => ann.evaluate(() => {
      const [divider, log] = [".divider", "#log"].map((one) => document.querySelector(one).getBoundingClientRect());
      return divider.top >= log.top && divider.bottom < log.bottom;
    });
    assert.equal(await inSight(), true);
    assert.notEqual(await badge(ann, "Ben"), 0);
    await ann.click("#jump");
    await until(() => badge(ann, "Ben"), 0);
    // A thread that is scrolled to its end stays there.
    await ben.send(direct.id, "short");
    await until(async () => (await texts(ann)).at(-1), "short");
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("what is unread is not marked while one is on the way to it", async () => {
    await ann.goto(`${server.url}/#/`);
    await sendMany(ben, server, direct.id, 200, (n) => `late ${n}`);
    await until(() => badge(ann, "Ben"), 200);
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    await ann.route(/\/messages\?/, async (route) => {
      await gate;
      await route.fallback();
    });
    await enter(ann, "Ben");
    await ann.waitForTimeout(1_000);
    await until(() => badge(ann, "Ben"), 200);
    release();
    await ann.waitForSelector(".divider");
    await ann.unroute(/\/messages\?/);
    await ann.click("#jump");
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("addresses and names keep their order between words that are written from the right", async () => {
    const address = "https://example.org/שלום/מפה";
    await ben.send(direct.id, `ראו ${address} ועוד`);
    const link = ann.locator("#rows .text a").last();
    await until(() => link.textContent(), address);
    const order = await link.evaluate((node) => {
      const x = (at) => {
        const range = document.createRange();
        range.setStart(node.firstChild, at);
        range.setEnd(node.firstChild, at + 1);
        return range.getBoundingClientRect().left;
      };
      const { left, right } = node.getBoundingClientRect();
      const after = document.createRange();
      after.selectNodeContents(node.nextSibling);
      const next = after.getBoundingClientRect();
      return { starts: Math.round(x(0) - left), torn: next.left < right - 1 && next.right > left + 1 };
    });
    assert.deepEqual(order, { starts: 0, torn: false });
  });

  for (const [width, size] of [[320, 100], [360, 150], [360, 200], [320, 200]]) {
    await t.test(`everything of the list is on the screen: ${width} pixels, text of ${size} %`, async () => {
      const context = await browser.installation({ viewport: { width, height: 740 } });
      await context.addInitScript((size) => addEventListener("DOMContentLoaded", () => document.documentElement.style.setProperty("font-size", `${size}%`)), size);
      const page = await browser.tab(context);
      await page.fill("#username", "ann");
      await page.fill("#password", password);
      await page.click("#sign-submit");
      await page.waitForSelector("#conversations a");
      const outside = await page.evaluate(() => {
        document.querySelector("#new-button").focus();
        const seen = [...document.querySelectorAll("#list-pane :is(button, a, input)")].filter((node) => node.checkVisibility());
        const cut = seen.filter((node) => node.getBoundingClientRect().left < 0 || node.getBoundingClientRect().right > innerWidth);
        const low = ["nav", "#status"].filter((one) => document.querySelector(`#list-pane ${one}`).getBoundingClientRect().height < 40);
        return { low, cut: cut.map(({ id, tagName }) => id || tagName), scrolled: document.scrollingElement.scrollLeft };
      });
      assert.deepEqual(outside, { low: [], cut: [], scrolled: 0 });
      await context.close();
    });
  }

  const focused = () => ann.evaluate(() => document.activeElement.id || document.activeElement.tagName);
  const logIn = async (page, username) => {
    await page.fill("#username", username);
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#status[data-state=online]");
  };
  const logOut = async (page) => {
    await page.click("#account-button");
    await page.click("#account-body > section:last-child button");
    const asked = await page.textContent("#confirm-text");
    await page.click("#confirm-yes");
    await page.waitForSelector("#welcome:not([hidden])");
    return asked;
  };
  const group = (title) => ben.createGroup({ title, member_ids: [annId] });

  await t.test("the keyboard is never left at nothing", async () => {
    const crew = await group("Crew");
    await ben.send(crew.id, "welcome");
    await enter(ann, "Crew");
    await until(focused, "text");
    await ben.mute(crew.id, annId, new Date(Date.now() + 3_600_000));
    await until(() => ann.isVisible("#composer"), false);
    await until(focused, "log");
    await until(async () => /^You may not write here until/.test(await ann.textContent("#announcer")), true);
    await ben.mute(crew.id, annId, null);
    await until(() => ann.isVisible("#composer"), true);
    await ann.focus("#text");
    await ben.removeMember(crew.id, annId);
    await until(() => ann.isVisible("#chat"), false);
    await until(focused, "new-button");

    await ben.addMembers(crew.id, [annId]);
    await enter(ann, "Crew");
    await ann.click("#details-button");
    await ann.click("[data-key=leave]");
    await ann.click("#confirm-yes");
    await until(() => ann.isVisible("#chat"), false);
    await until(focused, "new-button");

    await enter(ann, "Ben");
    await ann.click("#details-button");
    await ann.click("[data-key=block]");
    await ann.click("#confirm-yes");
    await ann.waitForSelector("text=Unblock Ben");
    await ann.keyboard.press("Escape");
    await ann.focus("#blocked-action");
    await ann.keyboard.press("Enter");
    await until(() => ann.isVisible("#composer"), true);
    await until(focused, "text");
  });

  await t.test("another conversation is shown above no dialog", async () => {
    await enter(ann, "Ben");
    await ann.click("#details-button");
    await ann.waitForSelector("#details-dialog[open]");
    await ann.goBack();
    await until(() => ann.locator("dialog[open]").count(), 0);
  });

  await t.test("blocks that could not be asked for at the start are asked for again", async () => {
    const eve = await api(t, server, "eve", "Eve");
    const withEve = await eve.createDirect(annId);
    await eve.send(withEve.id, "hello");
    const annApi = await api(t, server, "helper").then(async (client) => (await client.logout(), await client.login({ username: "ann", password }), client));
    await annApi.blockUser(eve.user.id);
    await ann.route(/\/v1\/me\/blocks/, (route) => route.abort());
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
    await enter(ann, "Eve");
    await until(() => ann.isVisible("#composer"), true);
    await ann.waitForTimeout(3_000);
    await ann.unroute(/\/v1\/me\/blocks/);
    await until(() => ann.isVisible("#blocked-action"), true);
    await annApi.unblockUser(eve.user.id);
  });

  await t.test("the server's clock says how long somebody is muted", async () => {
    const crew = await group("Clocks");
    const context = await browser.installation();
    await context.addInitScript(() => {
      const real = Date.now;
      Date.now = () => real() - 2 * 3_600_000;
    });
    const page = await browser.tab(context);
    await logIn(page, "ann");
    await enter(page, "Clocks");
    await ben.mute(crew.id, annId, new Date(Date.now() + 8_000));
    await until(() => page.isVisible("#composer"), false);
    await until(() => page.isVisible("#composer"), true);

    await ben.setRole(crew.id, annId, "admin");
    const dan = await api(t, server, "dan", "Dan");
    await ben.addMembers(crew.id, [dan.user.id]);
    await page.click("#details-button");
    await page.click(`[data-key="menu ${dan.user.id}"]`);
    await page.click("text=Mute for an hour");
    await page.waitForSelector("text=Let write again");
    const { members } = await ben.listMembers(crew.id);
    const minutes = (new Date(members.find(({ user }) => user.id === dan.user.id).muted_until) - Date.now()) / 60_000;
    assert.ok(minutes > 58 && minutes < 62, `${minutes} minutes`);
    await context.close();
  });

  await t.test("a draft that was sent in one tab is in no other", async () => {
    const other = await browser.tab(ann.context(), `#/c/${direct.id}`);
    await other.waitForSelector("#chat:not([hidden])");
    await enter(ann, "Ben");
    await ann.fill("#text", "said once");
    await until(() => other.inputValue("#text"), "said once");
    await ann.press("#text", "Enter");
    await until(() => other.inputValue("#text"), "");
    await other.close();
  });

  await t.test("drafts outlive a session that the server ends, for their writer only", async () => {
    const context = await browser.installation();
    const page = await browser.tab(context);
    const kim = await api(t, server, "kim", "Kim");
    const withKim = await ben.createDirect(kim.user.id);
    await ben.createDirect(annId);
    await logIn(page, "kim");
    await enter(page, "Ben");
    await page.fill("#text", "half a sentence");
    await kim.changePassword({ old_password: password, new_password: "another horse" });
    await page.waitForSelector("#welcome:not([hidden])");
    await until(() => page.inputValue("#text"), "");
    await logIn(page, "ann");
    await enter(page, "Ben");
    await until(() => page.inputValue("#text"), "");
    await logOut(page);
    await kim.changePassword({ old_password: "another horse", new_password: password });
    await logIn(page, "kim");
    await page.evaluate((id) => (location.hash = `#/c/${id}`), withKim.id);
    await until(() => page.inputValue("#text"), "half a sentence");
    await logOut(page);
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("draft"))), []);
    await context.close();
  });

  await t.test("what could not be sent since one was removed is shown until it is discarded", async () => {
    const crew = await group("Sailors");
    const context = await browser.installation();
    const page = await browser.tab(context);
    await logIn(page, "ann");
    await enter(page, "Sailors");
    await context.setOffline(true);
    await say(page, "my long unsent text");
    await page.waitForSelector("[data-state=sending]");
    await ben.removeMember(crew.id, annId);
    await context.setOffline(false);
    await until(() => page.locator("#lost .lost-text").allTextContents(), ["my long unsent text"]);
    await until(() => page.isVisible("#lost"), true);
    await page.reload();
    await until(() => page.isVisible("#lost"), true);
    await page.click("#lost >> text=Discard");
    await until(() => page.isVisible("#lost"), false);
    await until(() => page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(":outbox:")).length), 0);
    assert.equal(await logOut(page), "Your messages stay on the server.");
    await context.close();
  });

  await t.test("a page that may store nothing works", async () => {
    const blocked = await browser.installation();
    await blocked.addInitScript(() => {
      const refuse = () => {
        throw new DOMException("The operation is insecure.", "SecurityError");
      };
      Object.defineProperty(window, "localStorage", { get: refuse });
      window.BroadcastChannel = class {
        constructor() {
          refuse();
        }
      };
    });
    const page = await browser.tab(blocked);
    await logIn(page, "ann");
    await enter(page, "Ben");
    await say(page, "stored nowhere here");
    await page.waitForSelector(".row.mine[data-state=stored]");
    await blocked.close();
  });

  await t.test("a full storage is reported once, until it is no longer full", async () => {
    const full = await browser.installation();
    const other = await browser.tab(full);
    await logIn(other, "ann");
    await enter(other, "Ben");
    await other.evaluate(() => {
      window.real = Storage.prototype.setItem;
      Storage.prototype.setItem = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
      window.toasts = 0;
      new MutationObserver((all) => all.forEach(({ addedNodes }) => (window.toasts += addedNodes.length))).observe(document.querySelector("#toasts"), { childList: true });
    });
    const sent = async (text) => {
      await say(other, text);
      await until(async () => (await texts(other)).at(-1), text);
      await until(() => other.locator("[data-state=sending]").count(), 0);
    };
    for (const text of ["one", "two", "three"]) await sent(text);
    assert.equal(await other.evaluate(() => window.toasts), 1);
    await other.evaluate(() => ([window.full, Storage.prototype.setItem] = [Storage.prototype.setItem, window.real]));
    await sent("four");
    await other.evaluate(() => (Storage.prototype.setItem = window.full));
    await sent("five");
    await until(() => other.evaluate(() => window.toasts), 2);
    await full.close();
  });

  await t.test("what is wrong is said of the field that is wrong", async () => {
    await ann.click("#new-button");
    await ann.fill("#new-people", "ann");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#new-error"), "You cannot begin a conversation with yourself.");
    await ann.keyboard.press("Escape");
    await ann.click("#account-button");
    await ann.fill("#old-password", password);
    await ann.fill("#new-password", "short");
    await ann.press("#new-password", "Enter");
    await until(() => ann.locator("#account-body .error").last().textContent(), "A password has 8 to 128 characters.");
    await ann.keyboard.press("Escape");
  });
});

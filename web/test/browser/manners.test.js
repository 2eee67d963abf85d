// Input stays in its conversation, keys act on the focused element, only visible messages are marked as read, and a logout
// leaves no data for the next person.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, password, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

/** Requests that are held back until they are released. */
async function hold(page, address) {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  let arrived;
  const asked = new Promise((resolve) => (arrived = resolve));
  await page.route(address, async (route) => {
    arrived();
    await gate;
    await route.fallback().catch(() => {});
  });
  return { asked, release };
}

test("manners", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const ben = await api(t, server, "ben", "Ben");
  const cato = await api(t, server, "cato", "Cato");
  const annId = (await ben.findUser("ann")).id;
  const withBen = await ben.createDirect(annId);
  const withCato = await cato.createDirect(annId);
  const crew = await ben.createGroup({ title: "Crew", member_ids: [annId, cato.user.id] });
  await ben.setRole(crew.id, annId, "admin");
  await ben.send(crew.id, "welcome");
  await until(() => ann.locator("#conversations li").count(), 3);
  const focused = () => ann.evaluate(() => document.activeElement.id);

  await t.test("a picture goes nowhere when its dialog was closed before it was loaded", async () => {
    await ann.route(/pictures\.example/, (route) => route.fulfill({ contentType: "image/png", body: PIXEL }));
    const slow = await hold(ann, /pictures\.example\/slow/);
    await enter(ann, "Ben");
    await ann.click("#attach-button");
    await ann.fill("#attach-url", "https://pictures.example/slow.png");
    await ann.click("#attach-submit");
    await slow.asked;
    await ann.keyboard.press("Escape");
    await enter(ann, "Cato");
    await ann.click("#attach-button");
    slow.release();
    await ann.fill("#attach-url", "https://pictures.example/quick.png");
    await ann.click("#attach-submit");
    await ann.waitForSelector(".row.mine[data-state=stored] img");
    const pictures = async (client, id) => (await client.listMessages(id)).messages.map(({ content }) => content.url);
    assert.deepEqual(await pictures(cato, withCato.id), ["https://pictures.example/quick.png"]);
    assert.deepEqual(await pictures(ben, withBen.id), []);
  });

  await t.test("a conversation that was given up while it was made is not opened", async () => {
    const making = await hold(ann, /\/v1\/conversations$/);
    await ann.click("#new-button");
    await ann.check("#new-form [value=group]");
    await ann.fill("#group-title", "Given up");
    await ann.click("#new-submit");
    await making.asked;
    await ann.keyboard.press("Escape");
    await ann.fill("#text", "half a sentence");
    making.release();
    await until(() => ann.locator("#conversations .title", { hasText: "Given up" }).count(), 1);
    await until(() => ann.textContent("#chat-title"), "Cato");
    await until(() => ann.inputValue("#text"), "half a sentence");
    await ann.fill("#text", "");
  });

  await t.test("details follow a title that somebody else changes, and keep what is being typed", async () => {
    await enter(ann, "Crew");
    await ann.click("#details-button");
    await ann.waitForSelector(".members li");
    await ben.updateConversation(crew.id, { title: "Old crew" });
    await until(() => ann.inputValue("#rename"), "Old crew");
    await ann.fill("#rename", "Our crew");
    await ben.updateConversation(crew.id, { title: "New crew" });
    await until(() => ann.textContent("#details-body .hero-title"), "New crew");
    await until(() => ann.inputValue("#rename"), "Our crew");
    await ann.fill("#add-people", "cato");
    await ann.press("#add-people", "Enter");
    // Elements outside of an open dialog are inert and hidden from screen readers.
    await ann.waitForSelector("#details-dialog .toast");
    await ann.keyboard.press("Escape");
    await ann.waitForSelector("body > #toasts .toast");
  });

  await t.test("a key that ends the work of an input method sends nothing", async () => {
    await ann.fill("#text", "にほん");
    const press = (init) => ann.evaluate((init) => document.querySelector("#text").dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init })), init);
    await press({ key: "Enter", isComposing: true });
    await press({ key: "Enter", keyCode: 229 });
    await press({ key: "Escape", keyCode: 229 });
    await until(() => ann.inputValue("#text"), "にほん");
    await until(() => ann.isVisible("#chat"), true);
    await ann.press("#text", "Enter");
    await until(async () => (await texts(ann)).at(-1), "にほん");
  });

  await t.test("Escape in the search ends the search only", async () => {
    await ann.focus("#filter");
    await ann.keyboard.type("cat");
    await until(() => ann.locator("#conversations li").count(), 1);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("#conversations li").count(), 4);
    await until(() => ann.inputValue("#filter"), "");
    await until(() => ann.isVisible("#chat"), true);
    await until(() => focused(), "filter");
  });

  await t.test("on a Mac the Option key writes letters where one writes", async () => {
    const context = await browser.installation();
    await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "platform", { get: () => "MacIntel" }));
    const mac = await browser.tab(context);
    await mac.fill("#username", "ann");
    await mac.fill("#password", password);
    await mac.click("#sign-submit");
    await enter(mac, "Cato");
    await mac.focus("#text");
    for (const key of ["a", "e", "h", "n", "ArrowUp"]) await mac.press("#text", `Alt+${key}`);
    await until(() => mac.locator("dialog[open]").count(), 0);
    await until(() => mac.isVisible("#emoji-panel"), false);
    await until(() => mac.textContent("#chat-title"), "Cato");
    await mac.press("#details-button", "Alt+h");
    await until(() => mac.locator("#help-dialog[open]").count(), 1);
    await context.close();
  });

  await t.test("nothing is marked behind a dialog, and a mark that failed is made later", async () => {
    await enter(ann, "Ben");
    await ann.click("#help-button");
    await ben.send(withBen.id, "behind the help");
    await until(() => badge(ann, "Ben"), 1);
    // Longer than a read mark takes.
    await ann.waitForTimeout(600);
    await until(() => badge(ann, "Ben"), 1);
    await ann.keyboard.press("Escape");
    await until(() => badge(ann, "Ben"), 0);

    let refused = 0;
    await ann.route(/\/read$/, (route) => (refused++, route.fulfill({ status: 403, contentType: "application/json", body: "{}" })));
    await ben.send(withBen.id, "not marked at first");
    await until(() => refused > 0, true);
    await ann.unroute(/\/read$/);
    await until(() => badge(ann, "Ben"), 0);
  });

  await t.test("Enter queues immediately, offline too, with the people whom the text names", async () => {
    await enter(ann, "New crew");
    await until(() => texts(ann).then((all) => all.length > 0), true);
    await ann.context().setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    await say(ann, "@cato and @ben, look");
    await until(() => ann.inputValue("#text"), "");
    await until(() => ann.locator(".row.mine[data-state=sending]").count(), 1);
    await ann.context().setOffline(false);
    await until(() => ann.locator(".row.mine[data-state=sending]").count(), 0);
    const { messages } = await cato.listMessages(crew.id);
    assert.deepEqual([...messages.at(-1).content.mentions].sort(), [ben.user.id, cato.user.id].sort());
  });

  await t.test("a message is shown before the name of its sender is known", async () => {
    const names = await hold(ann, /\/v1\/users\?/);
    const dora = await api(t, server, "dora", "Dora");
    await ben.addMembers(crew.id, [dora.user.id]);
    await ann.route(/\/members/, (route) => route.abort());
    await dora.send(crew.id, "hello from Dora");
    await until(async () => (await texts(ann)).at(-1), "hello from Dora");
    names.release();
    await until(() => ann.locator(".sender").last().textContent(), "Dora");
    await ann.unroute(/\/members/);
  });

  await t.test("after midnight another day is today", async () => {
    const page = await (await browser.installation()).newPage();
    await page.clock.install();
    await page.goto(server.url);
    await page.fill("#username", "ann");
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await enter(page, "Ben");
    await until(() => page.locator(".day").last().textContent(), "Today");
    await page.clock.fastForward("24:00:00");
    await until(() => page.locator(".day").last().textContent(), "Yesterday");
    await page.context().close();
  });

  await t.test("the next person inherits nothing, and is not notified that the previous person has logged out", async () => {
    await ann.goto(`${server.url}/#/c/${withCato.id}`);
    await ann.waitForSelector("#chat:not([hidden])");
    await ann.fill("#text", "a secret draft");
    await enter(ann, "New crew");
    await ann.click("#details-button");
    await ann.waitForSelector(".members li");
    await ben.send(crew.id, "a last word");
    await until(() => ann.textContent("#announcer"), "Ben: a last word");
    await ann.keyboard.press("Escape");
    await ann.fill("#filter", "crew");
    // The response to the logout is lost, but the server has performed it.
    let lost = 0;
    await ann.route(/\/auth\/logout$/, async (route) => {
      if (lost++ > 0) return route.fallback();
      await route.fetch();
      await route.abort();
    });
    await ann.click("#account-button");
    await ann.click("#account-body >> text=Log out >> nth=-1");
    await ann.click("#confirm-yes");
    await until(() => ann.isVisible("#welcome"), true);
    assert.ok(lost > 0);
    await until(() => ann.isVisible("#welcome-notice"), false);
    await until(() => ann.evaluate(() => document.body.textContent.match(/secret|last word|crew|Cato/gi)), null);
    assert.equal(await ann.evaluate(() => [...document.querySelectorAll("input:not([type=radio], [type=checkbox]), textarea")].map(({ value }) => value).join("")), "");
    await until(() => ann.title(), "Tideline");

    await ann.fill("#username", "cato");
    await ann.fill("#password", password);
    await ann.click("#sign-submit");
    await until(() => ann.locator("#conversations li").count(), 2);
    await enter(ann, "Ann");
    await until(() => ann.inputValue("#text"), "");
    await until(() => ann.isVisible("#composer"), true);
  });

  await t.test("a response that comes after a logout does not change the page of the next person", async () => {
    await cato.blockUser(annId);
    const blocks = await hold(ann, /\/v1\/me\/blocks/);
    await ann.reload();
    await blocks.asked;
    await ann.click("#account-button");
    await ann.click("#account-body >> text=Log out >> nth=-1");
    await ann.click("#confirm-yes");
    await until(() => ann.isVisible("#welcome"), true);
    await api(t, server, "eva", "Eva").then((eva) => eva.createDirect(annId));
    await ann.fill("#username", "eva");
    await ann.fill("#password", password);
    await ann.click("#sign-submit");
    await enter(ann, "Ann");
    blocks.release();
    await ann.waitForTimeout(500);
    await until(() => ann.isVisible("#composer"), true);
  });
});

// Messages that expire: everywhere on the page only a stub is left, without a request.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, desktop, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

const STUB = "Message expired";

test("messages that expire", { timeout: 240_000 }, async (t) => {
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
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  const shown = (page = ann) => page.locator("#rows .row :is(.text, .unshown)").allTextContents();
  const rowOf = (text) => ann.locator("#rows .row", { has: ann.locator(":is(.text, .unshown)", { hasText: text }) }).last();
  const preview = (page = ann) => page.locator("#conversations .preview").first().textContent();
  const menuOf = async (text) => {
    await rowOf(text).hover();
    await rowOf(text).locator(".row-menu").click();
    return ann.locator("[role=menuitem]").allTextContents();
  };

  await t.test("the time that is left is shown, and then the stub, in the chat, the list, a quote and a notification", async () => {
    await until(() => preview(), "No messages yet");
    await ann.click("#ask-yes");
    await ben.send(direct.id, "the code is 4711", { expires_in: 15 });
    await until(() => ann.evaluate(() => window.shown.map(({ body }) => body)), ["the code is 4711"]);
    await until(() => preview(), "the code is 4711");
    for (const page of [ann, phone]) await enter(page, "Ben");
    await ben.send(direct.id, "did you get it?", { reply_to: 1 });
    await ben.send(direct.id, "and a last word", { expires_in: 15 });
    await until(() => shown(), ["the code is 4711", "did you get it?", "and a last word"]);
    assert.match(await rowOf("the code is 4711").locator(".facts").first().getAttribute("title"), /^Expires in \d+ seconds$/);
    assert.match(await rowOf("the code is 4711").locator(".facts .sr-only").first().textContent(), /^Expires in \d+ seconds /);
    await until(() => rowOf("did you get it?").locator(".facts .icon").count(), 0);
    await until(() => rowOf("did you get it?").locator(".quote-text").textContent(), "the code is 4711");
    assert.deepEqual(await menuOf("and a last word"), ["Reply", "Add a reaction", "Forward", "Pin", "When it expires", "Hide for me"]);
    await ann.click("[role=menuitem]:has-text('When it expires')");
    await until(async () => /^Expires in \d+ seconds/.test(await ann.textContent("#info-body")), true);
    await until(() => ann.textContent("#info-title"), "When it expires");
    const requests = [];
    for (const page of [ann, phone]) page.on("request", (request) => /messages/.test(request.url()) && requests.push(request.url()));
    for (const page of [ann, phone]) await until(() => shown(page), [STUB, "did you get it?", STUB]);
    assert.deepEqual([await ann.locator("dialog[open]").count(), requests], [0, []]);
    for (const page of [ann, phone]) assert.equal(await page.locator("#rows .quote-text").textContent(), STUB);
    await until(() => preview(), STUB);
    await until(() => ann.evaluate(() => window.shown.length), 0);
    await until(async () => (await ann.evaluate(() => document.body.innerHTML)).includes("4711"), false);
    assert.deepEqual(await menuOf(STUB), ["Hide for me"]);
    await ann.keyboard.press("Escape");
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 320);
  });

  await t.test("in a channel its badge goes", async () => {
    const news = await ben.createChannel({ title: "News", member_ids: [me.id] });
    for (const text of ["now", "then"]) await ben.send(news.id, text, { expires_in: 10 });
    await until(() => badge(ann, "News"), 2);
    await until(() => badge(ann, "News"), 0);
    await ben.send(news.id, "later");
    await until(() => badge(ann, "News"), 1);
    await until(async () => (await phone.title()).startsWith("(1)"), true);
  });

  await t.test("a reload shows the stubs of the server", async () => {
    await ann.reload();
    await until(() => shown(), [STUB, "did you get it?", STUB]);
    await until(() => ann.locator(".row .facts .icon").count(), 0);
  });
});

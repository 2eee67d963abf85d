// Messages that are sent later.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, look, until } from "./support/browser.js";
import { api } from "./support/people.js";

/** A time as the value of an input, in the time zone of the test's browser. */
const local = (at) => new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Tokyo", dateStyle: "short", timeStyle: "short" }).format(at).replace(" ", "T");

test("scheduled messages", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { timezoneId: "Asia/Tokyo" });
  const [ben, cem] = [await api(t, server, "ben", "Ben"), await api(t, server, "cem", "Cem")];
  const me = await ben.findUser("ann");
  const tablet = await api(t, server, "eve", "Eve");
  await tablet.login({ username: "ann", password: "correct horse" });
  const direct = await ben.createDirect(me.id);
  const crew = await cem.createGroup({ title: "Crew", member_ids: [me.id] });
  await ben.send(direct.id, "hello", {});
  const scheduled = async () => (await tablet.listScheduled()).scheduled;
  const rows = () => ann.locator("#later-list .mentioned-text").allTextContents();
  const closed = async () => {
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
  };
  const noon = new Date(Math.ceil(Date.now() / 86_400_000 + 1) * 86_400_000 + 3 * 3_600_000);

  await t.test("a text is scheduled in local time, with its mentions and the message to which it replies", async () => {
    await enter(ann, "Ben");
    await until(() => ann.isVisible("#later-button"), false);
    await ann.locator("#rows .row").first().hover();
    await ann.click("#rows .row-menu");
    await ann.click("[role=menuitem]:has-text('Reply')");
    await ann.fill("#text", "happy birthday @ben");
    await until(() => ann.isVisible("#later-button"), true);
    await ann.click("#later-button");
    assert.deepEqual([await ann.textContent("#later-text"), await ann.evaluate(() => document.activeElement.id)], ["happy birthday @ben", "later-time"]);
    await ann.fill("#later-time", "2020-01-01T12:00");
    await ann.click("#later-submit");
    await until(() => ann.textContent("#later-error"), "Please give a time in the future.");
    await ann.fill("#later-time", local(noon));
    await ann.press("#later-time", "Enter");
    await ann.waitForSelector("#toasts >> text=Will be sent:");
    const [one] = await scheduled();
    assert.deepEqual([one.send_at, one.conversation_id, one.content, one.reply_to], [noon.toISOString(), direct.id, { text: "happy birthday @ben", mentions: [ben.user.id] }, 1]);
    assert.deepEqual([await ann.inputValue("#text"), await ann.isVisible("#replying")], ["", false]);
    await until(() => ann.textContent("#later-badge"), "1");
    await until(() => ann.getAttribute("#later-button", "aria-label"), "Send later: 1 message waits");
    await until(async () => (await tablet.listDrafts()).drafts.length, 0);
  });

  await t.test("its time is changed, and it is cancelled", async () => {
    await ann.reload();
    await until(() => ann.isVisible("#later-button"), true);
    await ann.click("#later-button");
    await until(rows, ["happy birthday @ben"]);
    await until(() => ann.isVisible("#later-form"), false);
    const later = new Date(noon.getTime() + 3_600_000);
    await until(() => ann.inputValue("#later-list input"), local(noon));
    await ann.fill("#later-list input", local(later));
    await ann.press("#later-list input", "Enter");
    await until(async () => (await scheduled())[0].send_at, later.toISOString());
    assert.deepEqual(((one) => [one.reply_to, one.content.mentions])((await scheduled())[0]), [1, [ben.user.id]]);
    await ann.getByRole("button", { name: "Do not send it: “happy birthday @ben”" }).click();
    await ann.click("#confirm-yes");
    await until(scheduled, []);
    await until(() => ann.textContent("#later-list"), "No message waits here.");
    await closed();
    await until(() => ann.isVisible("#later-button"), false);
  });

  await t.test("one of another device is listed until it is sent", async () => {
    await tablet.updateScheduled(randomUUID(), direct.id, { kind: "text", content: { text: "right on time" }, send_at: new Date(Date.now() + 4_000) });
    await ann.fill("#text", "x");
    await ann.click("#later-button");
    await until(rows, ["right on time"]);
    await until(rows, []);
    await closed();
    await ann.fill("#text", "");
    await until(() => ann.locator("#rows .text").allTextContents(), ["hello", "right on time"]);
    await until(() => ann.isVisible("#later-button"), false);
  });

  await t.test("another tab and another device list it, and its badge goes when it is cancelled", async () => {
    const tab = await browser.tab(ann.context(), `#/c/${direct.id}`);
    await until(() => tab.isVisible("#chat"), true);
    await ann.fill("#text", "from the first tab");
    await ann.click("#later-button");
    await ann.fill("#later-time", local(noon));
    await ann.press("#later-time", "Enter");
    for (const page of [ann, tab]) await until(() => page.isVisible("#later-badge"), true);
    const [{ client_msg_id }] = await scheduled();
    await tablet.deleteScheduled(client_msg_id);
    // A look at the page, and the opening of a conversation, read the list again.
    await look(tab, true);
    await until(() => tab.isVisible("#later-button"), false);
    await ann.goto(`${server.url}/#/`);
    await enter(ann, "Ben");
    await until(() => ann.isVisible("#later-button"), false);
    await tab.close();
  });

  await t.test("one that could not be sent is shown with the reason", async () => {
    await enter(ann, "Crew");
    await tablet.updateScheduled(randomUUID(), crew.id, { kind: "text", content: { text: "to the crew" }, send_at: new Date(Date.now() + 4_000) });
    await ann.fill("#text", "x");
    await ann.click("#later-button");
    await until(rows, ["to the crew"]);
    await closed();
    await ann.fill("#text", "");
    await cem.updateConversation(crew.id, { posting: "admins" });
    await until(() => ann.isVisible("#later-failed"), true);
    await until(() => ann.locator("#later-failed-list p").first().textContent(), "A scheduled message to Crew could not be sent: You are not allowed to do this here.");
    await until(() => ann.locator("#later-failed-list .lost-text").textContent(), "to the crew");
    await ann.click("#later-failed-ok");
    await until(() => ann.isVisible("#later-failed"), false);
  });

  await t.test("it fits on a phone of 320 pixels", async () => {
    const phone = await browser.returning("ann", { viewport: { width: 320, height: 640 }, timezoneId: "Asia/Tokyo" });
    await tablet.updateScheduled(randomUUID(), direct.id, { kind: "text", content: { text: "a long text ".repeat(30).trim() }, send_at: noon });
    await enter(phone, "Ben");
    await phone.fill("#text", "another one");
    await phone.click("#later-button");
    await until(() => phone.locator("#later-list li").count(), 1);
    const outside = await phone.evaluate(() => ["#later-dialog", "#later-time", "#later-submit", "#later-list li", "#later-list input", "#later-list .danger"].filter((selector) => {
      const { left, right } = document.querySelector(selector).getBoundingClientRect();
      return left < 0 || right > innerWidth;
    }));
    assert.deepEqual(outside, []);
    await phone.keyboard.press("Escape");
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 320);
    const send = await phone.locator("#send-button").boundingBox();
    assert.ok(send.x + send.width <= 320 && (await phone.locator("#text").boundingBox()).width > 100);
  });
});

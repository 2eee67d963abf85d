// The rules of a conversation: the owner changes them, and the page follows them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("rules", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const [ann, ben] = await Promise.all(["ann", "ben"].map((name) => browser.person(name, name === "ben" ? { viewport: { width: 320, height: 640 } } : {})));
  const cem = await api(t, server, "cem", "Cem");
  const [annId, benId] = await Promise.all(["ann", "ben"].map(async (name) => (await cem.findUser(name)).id));
  const crew = await cem.createGroup({ title: "Crew", member_ids: [annId, benId] });
  await cem.setRole(crew.id, annId, "admin");
  await cem.send(crew.id, "welcome");
  const details = async (page) => {
    await page.click("#details-button");
    await page.waitForSelector("#details-dialog[open]");
  };
  const closed = async (page) => {
    await page.keyboard.press("Escape");
    await until(() => page.locator("dialog[open]").count(), 0);
  };
  const rules = async (id = crew.id) => {
    const { posting, pinning, slow_mode_seconds, message_ttl_seconds } = await cem.getConversation(id);
    return [posting, pinning, slow_mode_seconds, message_ttl_seconds];
  };
  const labels = (page) => page.locator(".rules label").allTextContents();

  await t.test("an admin changes them, and a member has none to change", async () => {
    for (const page of [ann, ben]) await enter(page, "Crew");
    await details(ann);
    assert.deepEqual(await labels(ann), ["Who may write", "Who may pin messages", "Slow mode: time between two messages of a member", "Messages disappear after"]);
    await ann.selectOption("#rule-pinning", "all");
    await until(rules, ["all", "all", 0, null]);
    await ann.selectOption("#rule-ttl", "86400");
    await until(rules, ["all", "all", 0, 86_400]);
    await until(() => ann.locator("#rule-slow option").allTextContents(), ["Off", "10 seconds", "30 seconds", "1 minute", "5 minutes", "15 minutes", "1 hour", "6 hours"]);
    // A value that is not among the choices, from another program.
    await cem.updateConversation(crew.id, { slow_mode_seconds: 45 });
    await until(() => ann.locator("#rule-slow option:checked").textContent(), "45 seconds");
    await cem.updateConversation(crew.id, { slow_mode_seconds: 0 });
    await details(ben);
    await ben.waitForSelector(".members li");
    await until(() => ben.locator(".rules").count(), 0);
    await closed(ben);
  });

  await t.test("where only admins write, a line takes the place of the composer", async () => {
    await ann.selectOption("#rule-posting", "admins");
    await until(() => ben.isVisible("#composer"), false);
    await until(() => ben.textContent("#blocked-text"), "Only the owner and admins write here.");
    await ben.locator("#rows .row").first().locator(".row-menu").click();
    await until(() => ben.locator("[role=menuitem]").allTextContents(), ["Add a reaction", "Forward", "Pin", "Hide for me"]);
    await ben.keyboard.press("Escape");
    await ann.selectOption("#rule-posting", "all");
    await until(() => ben.isVisible("#composer"), true);
    await say(ben, "thanks");
    await until(() => texts(ann), ["welcome", "thanks"]);
    await until(() => ann.locator("#rows .row .facts").last().getAttribute("title"), "Expires tomorrow");
  });

  await t.test("a refused change shows the rule that holds", async () => {
    await ann.route(/\/v1\/conversations\/[^/]+$/, (route) => (route.request().method() === "PATCH" ? route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "forbidden" }) }) : route.continue()));
    await ann.selectOption("#rule-posting", "admins");
    await ann.waitForSelector("#toasts >> text=You are not allowed to do this here.");
    await until(() => ann.inputValue("#rule-posting"), "all");
    await ann.unroute(/\/v1\/conversations\/[^/]+$/);
  });

  await t.test("slow mode says when the next message is sent", async () => {
    await ann.selectOption("#rule-slow", "10");
    await until(rules, ["all", "all", 10, 86_400]);
    await closed(ann);
    await say(ben, "one");
    await until(() => texts(ann), ["welcome", "thanks", "one"]);
    await say(ben, "two");
    await until(async () => /^Slow mode: your message is sent in \d+ seconds?\.$/.test((await ben.isVisible("#slow-note")) ? await ben.textContent("#slow-note") : ""), true);
    await until(() => ben.textContent("#announcer").then((said) => /^Slow mode/.test(said)), true);
    assert.equal(await ben.evaluate(() => document.documentElement.scrollWidth), 320);
    await until(() => ben.locator("#rows .row").last().getAttribute("data-state"), "sending");
    await until(() => texts(ann), ["welcome", "thanks", "one", "two"]);
    await until(() => ben.isVisible("#slow-note"), false);
    await cem.updateConversation(crew.id, { slow_mode_seconds: 3_000 });
    await say(ben, "much later");
    await until(() => ben.textContent("#slow-note"), "Slow mode: your message is sent in 50 minutes.");
    await cem.updateConversation(crew.id, { slow_mode_seconds: 10 });
    await until(() => texts(ann), ["welcome", "thanks", "one", "two", "much later"]);
    await until(() => ben.isVisible("#slow-note"), false);
    // Admins are not slow.
    for (const text of ["three", "four"]) await say(ann, text);
    await until(async () => (await texts(ben)).slice(-2), ["three", "four"]);
  });

  await t.test("in a direct conversation both change only how long messages stay", async () => {
    const direct = await cem.createDirect(benId);
    await cem.send(direct.id, "hello");
    await ben.goto(`${server.url}/#/`);
    await enter(ben, "Cem");
    await details(ben);
    assert.deepEqual(await labels(ben), ["Messages disappear after"]);
    await ben.selectOption("#rule-ttl", "3600");
    await until(async () => (await rules(direct.id))[3], 3_600);
    await cem.updateConversation(direct.id, { message_ttl_seconds: null });
    await until(() => ben.inputValue("#rule-ttl"), "null");
    await closed(ben);
  });

  await t.test("a channel has no rule of who writes", async () => {
    const news = await cem.createChannel({ title: "News", member_ids: [annId] });
    await cem.setRole(news.id, annId, "admin");
    await enter(ann, "News");
    await details(ann);
    await until(() => labels(ann), ["Who may pin messages", "Messages disappear after"]);
    await closed(ann);
  });
});

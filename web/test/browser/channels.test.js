// Channels, mentions, and groups that become large: only their documented differences are visible.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("channels and large groups", { timeout: 300_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_FANOUT_LIMIT: "3" });
  const browser = await browse(t, server);
  const [ann, ben] = await Promise.all(["ann", "ben"].map((name) => browser.person(name)));
  const [cem, dan] = [await api(t, server, "cem", "Cem"), await api(t, server, "dan", "Dan")];
  const titles = (page) => page.locator("#conversations .title").allTextContents();
  let id;

  await t.test("a public channel is made, and joined by its id", async () => {
    await ann.click("#new-button");
    await ann.check("#new-form [value=channel]");
    await ann.fill("#group-title", "News");
    await ann.check("#new-form [name=open]");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#chat-subtitle"), "Channel · 1 member");
    await say(ann, "too early for Ben");
    await ann.click("#details-button");
    id = await ann.textContent("#details-body .id");
    await ann.keyboard.press("Escape");

    await ben.click("#new-button");
    await ben.check("#new-form [value=join]");
    await ben.fill("#new-people", "News");
    await ben.click("#new-submit");
    await until(() => ben.textContent("#new-error"), "Please give the id of a channel: 36 letters and digits with dashes.");
    await ben.fill("#new-people", id.replace(/.$/, (last) => (last === "0" ? "1" : "0")));
    await ben.click("#new-submit");
    await until(() => ben.textContent("#new-error"), "There is no public channel with this id.");
    await ben.fill("#new-people", ` ${id}`);
    await ben.click("#new-submit");
    await until(() => ben.textContent("#chat-title"), "News");
  });

  await t.test("its readers read, and see that they cannot write", async () => {
    await until(() => ben.isVisible("#composer"), false);
    await until(() => ben.textContent("#blocked-text"), "Only the owner and admins write here.");
    await say(ann, "the first that Ben sees");
    await until(() => texts(ben), ["the first that Ben sees"]);
    await ann.click("#details-button");
    await ann.click("[aria-label='What to do about Ben']");
    await ann.click("text=Make admin");
    await ben.waitForSelector("#composer:not([hidden])");
    await say(ben, "now I write");
    await until(() => texts(ann), ["too early for Ben", "the first that Ben sees", "now I write"]);
    await ann.keyboard.press("Escape");
  });

  await t.test("a mentioned person sees the mention", async () => {
    await cem.join(id);
    await say(ann, "@Ben, and nobody@ben.example, look. @nobody");
    await until(() => ben.locator(".mentions-me .mention").allTextContents(), ["@Ben"]);
    await say(ann, "Ben, look");
    await until(() => texts(ben).then((all) => all.at(-1)), "Ben, look");
    await until(() => ben.locator(".mentions-me").count(), 1);
    await until(() => ann.locator(".mentions-me").count(), 0);
    const { messages } = await cem.listMessages(id);
    assert.deepEqual(messages.map(({ content }) => content.mentions?.length ?? 0), [1, 0]);
  });

  await t.test("a group that becomes large goes on", async () => {
    await ann.click("#new-button");
    await ann.check("#new-form [value=group]");
    await ann.fill("#group-title", "Crew");
    await ann.fill("#new-people", "ben cem");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#chat-title"), "Crew");
    await say(ann, "small");
    await until(() => badge(ben, "Crew"), 1);
    const crew = (await cem.listConversations()).conversations[0];
    await ann.click("#details-button");
    await ann.fill("#add-people", "dan");
    await ann.press("#add-people", "Enter");
    await until(() => ann.locator(".members .member-name").count(), 4);
    await ann.keyboard.press("Escape");
    for (const text of ["large", "and larger"]) await cem.send(crew.id, text);
    await until(() => texts(ann), ["small", "large", "and larger"]);
    await until(() => badge(ben, "Crew"), 3);
    // Ben gets no entry for the new title. He sees it when he opens the group.
    // The members arrive while the button is held down.
    let arrive;
    const pressed = new Promise((resolve) => (arrive = resolve));
    await ann.route(/\/members\?/, async (route) => {
      await pressed;
      await route.continue();
    });
    await ann.click("#details-button");
    await ann.fill("#rename", "Fleet");
    await ann.hover("text=Rename");
    await ann.mouse.down();
    const arrived = ann.waitForResponse(/\/members\?/).then((response) => response.finished());
    arrive();
    await arrived;
    await new Promise((resolve) => setTimeout(resolve, 200));
    await ann.mouse.up();
    await ann.unroute(/\/members\?/);
    await until(() => titles(ann).then((all) => all.includes("Fleet")), true);
    await ann.keyboard.press("Escape");
    await enter(ben, "Crew");
    await until(() => ben.textContent("#chat-title"), "Fleet");
    await until(() => badge(ben, "Fleet"), 0);
    await say(ben, "aye");
    await until(() => texts(ann), ["small", "large", "and larger", "aye"]);
    assert.equal((await dan.getUnread()).total, 3);
  });

  await t.test("who leaves a channel is out", async () => {
    await enter(ben, "News");
    await ben.click("#details-button");
    await ben.click("text=Leave the channel");
    await ben.click("#confirm-yes");
    await until(() => titles(ben), ["Fleet"]);
  });
});

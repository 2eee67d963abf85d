// Forwarding: a copy in another conversation, which names the author and not where the message was.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

test("forwards", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const context = await browser.installation();
  const ann = await browser.tab(context);
  await ann.click("#swap");
  for (const [id, value] of [["username", "ann"], ["display-name", "Ann"], ["password", "correct horse"]]) await ann.fill(`#${id}`, value);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const [ben, cem] = [await api(t, server, "ben", "Ben"), await api(t, server, "cem", "Cem")];
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id] });
  const news = await ben.createChannel({ title: "News", member_ids: [me.id] });
  const quiet = await ben.createGroup({ title: "Quiet", member_ids: [me.id] });
  await ben.updateConversation(quiet.id, { posting: "admins" });
  await ben.send(news.id, "the pier is closed");
  await ben.send(direct.id, "sail at nine");
  const rowOf = (text) => ann.locator("#rows .row", { has: ann.locator(":is(.text, .unshown)", { hasText: text }) }).last();
  const menuOf = async (text) => {
    await rowOf(text).hover();
    await rowOf(text).locator(".row-menu").click();
    return ann.locator("[role=menuitem]").allTextContents();
  };
  const forward = async (text) => {
    await menuOf(text);
    await ann.click("[role=menuitem]:has-text('Forward')");
    await ann.waitForSelector("#forward-dialog[open]");
  };
  const choices = () => ann.locator("#forward-list .mention-name").allTextContents();
  const last = async (id) => (await ben.listMessages(id)).messages.at(-1);

  await t.test("a search and the keyboard choose the conversation, and the copy names the author", async () => {
    await enter(ann, "Ben");
    await until(() => rowOf("sail at nine").count(), 1);
    await forward("sail at nine");
    await until(() => ann.textContent("#forward-text"), "sail at nine");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "forward-find");
    // Conversations in which the person may not write are left out.
    assert.deepEqual((await choices()).sort(), ["Ben", "Crew"]);
    await ann.keyboard.type("nobody");
    await until(() => choices(), []);
    await until(() => ann.textContent("#forward-none"), "Nothing by this name.");
    await ann.fill("#forward-find", "");
    await ann.keyboard.press("ArrowDown");
    const chosen = await ann.locator("#forward-list [aria-selected=true]").textContent();
    assert.equal(await ann.getAttribute("#forward-find", "aria-activedescendant"), await ann.locator("#forward-list [aria-selected=true]").getAttribute("id"));
    assert.match(chosen, /Crew|Ben/);
    await ann.keyboard.type("cre");
    await until(() => choices(), ["Crew"]);
    await ann.keyboard.press("Enter");
    await ann.waitForSelector("#toasts >> text=Forwarded to Crew.");
    const copy = await last(crew.id);
    assert.deepEqual([copy.content, copy.sender_id, copy.forward.sender_id], [{ text: "sail at nine" }, me.id, ben.user.id]);
    await enter(ann, "Crew");
    await until(() => rowOf("sail at nine").locator(".forwarded").textContent(), "Forwarded from Ben");
    assert.equal((await menuOf("sail at nine")).includes("Edit"), false, "a copy is not edited");
    await ann.keyboard.press("Escape");
    await ben.recall(direct.id, 1);
    await until(() => rowOf("sail at nine").count(), 1);
  });

  await t.test("an author who is not named, and the person", async () => {
    await ben.updateMe({ forward_name: false });
    await ben.send(direct.id, "a secret source");
    await enter(ann, "Ben");
    await until(() => rowOf("a secret source").count(), 1);
    await forward("a secret source");
    await ann.click("#forward-list li:has-text('Crew')");
    await enter(ann, "Crew");
    await until(() => rowOf("a secret source").locator(".forwarded").textContent(), "Forwarded");
    await ann.fill("#text", "my own words");
    await ann.press("#text", "Enter");
    await until(async () => (await last(crew.id)).content.text, "my own words");
    await until(() => rowOf("my own words").locator(".row-menu").count(), 1);
    await forward("my own words");
    await ann.fill("#forward-find", "crew");
    await ann.keyboard.press("Enter");
    await until(() => rowOf("my own words").locator(".forwarded").allTextContents(), ["Forwarded from you"]);
  });

  await t.test("the person is not named where others forward, if they say so", async () => {
    await ann.click("#account-button");
    await ann.click("#privacy-button");
    await until(() => ann.isEnabled("#own-forward_name"), true);
    await until(() => ann.isChecked("#own-forward_name"), true);
    await ann.uncheck("#own-forward_name");
    await ann.waitForSelector("#toasts >> text=Saved.");
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 1);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
    const { seq } = (await ben.listMessages(crew.id)).messages.find(({ content }) => content.text === "my own words");
    const copy = await ben.send(direct.id, { forward: { conversation_id: crew.id, seq } });
    assert.deepEqual(Object.keys(copy.forward), ["created_at"]);
  });

  await t.test("what is written offline waits without its content, and is sent later", async () => {
    await context.setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    await forward("a secret source");
    await ann.fill("#forward-find", "crew");
    await ann.keyboard.press("Enter");
    await until(() => rowOf("A forwarded message").getAttribute("data-state"), "sending");
    await context.setOffline(false);
    await until(() => rowOf("A forwarded message").count(), 0);
    await until(() => ann.locator("#rows .row .forwarded").allTextContents(), ["Forwarded from Ben", "Forwarded", "Forwarded from you", "Forwarded"]);
  });

  await t.test("a message that is recalled meanwhile is not forwarded", async () => {
    const { seq } = await cem.send(crew.id, "a mistake");
    await until(() => rowOf("a mistake").count(), 1);
    await forward("a mistake");
    await cem.recall(crew.id, seq);
    await until(() => ann.locator("dialog[open]").count(), 0);
    await until(async () => (await ann.evaluate(() => document.body.innerHTML)).includes("a mistake"), false);
    const { seq: other } = await cem.send(crew.id, "another mistake");
    await until(() => rowOf("another mistake").count(), 1);
    await context.setOffline(true);
    await forward("another mistake");
    await ann.fill("#forward-find", "crew");
    await ann.keyboard.press("Enter");
    await until(() => rowOf("A forwarded message").getAttribute("data-state"), "sending");
    await cem.recall(crew.id, other);
    await context.setOffline(false);
    await until(() => ann.locator(".failure").last().textContent(), "Not sent: The message that it forwards was recalled or has expired.Try againDiscard");
  });
});

// Reactions, replies, mentions, and what others have read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, enter, look, say, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

test("reactions, replies, mentions and receipts", { timeout: 480_000 }, async (t) => {
  // Reactions have entries only for the author: others see them because they look.
  const server = await serve(t, { TIDELINE_REACTION_FANOUT: "0" });
  const browser = await browse(t, server);
  const context = await browser.installation();
  const ann = await browser.tab(context);
  await ann.click("#swap");
  for (const [id, value] of [["username", "ann"], ["display-name", "Ann"], ["password", "correct horse"]]) await ann.fill(`#${id}`, value);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const ben = await api(t, server, "ben", "Ben");
  const cem = await api(t, server, "cem", "Cem");
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id] });
  const rowOf = (text) => ann.locator("#rows .row", { has: ann.locator(".text", { hasText: text }) }).last();
  const choose = async (text, item) => {
    await rowOf(text).hover();
    await rowOf(text).locator(".row-menu").click();
    await ann.click(`[role=menuitem]:has-text("${item}")`);
  };
  const reactions = (text) => rowOf(text).locator(".reaction:not(.add)").evaluateAll((all) => all.map((one) => [one.dataset.emoji, Number(one.querySelector(".reaction-count").textContent), one.getAttribute("aria-pressed") === "true"]));
  const named = (title) => ann.locator("#conversations li", { has: ann.locator(".title", { hasText: title }) }).locator(".named-badge").isVisible();
  const focused = () => ann.evaluate(() => document.activeElement.dataset.emoji ?? (document.activeElement.id || document.activeElement.className));

  await t.test("a click sets and removes a reaction, with its count", async () => {
    await ben.send(crew.id, "shall we sail?");
    await enter(ann, "Crew");
    await until(() => rowOf("shall we sail?").count(), 1);
    await choose("shall we sail?", "Add a reaction");
    await ann.click(".react-panel button[aria-label='thumbs up']");
    await until(() => reactions("shall we sail?"), [["👍", 1, true]]);
    await until(() => ann.locator(".react-panel").count(), 0);
    // Of another person, in a group whose reactions have no entries.
    await cem.addReaction(crew.id, 1, "👍");
    await cem.addReaction(crew.id, 1, "🎉");
    await until(() => reactions("shall we sail?"), [["👍", 2, true], ["🎉", 1, false]]);
    const thumb = rowOf("shall we sail?").locator("[data-emoji='👍']");
    await until(() => thumb.getAttribute("aria-label"), "thumbs up, 2 people");
    await thumb.focus();
    await ann.keyboard.press("Enter");
    await until(() => reactions("shall we sail?"), [["👍", 1, false], ["🎉", 1, false]]);
    assert.equal(await focused(), "👍", "the focus stays");
    await ann.keyboard.press("Enter");
    await until(() => reactions("shall we sail?"), [["👍", 2, true], ["🎉", 1, false]]);
    assert.deepEqual((await ben.getMessage(crew.id, 1)).reactions, [{ emoji: "👍", count: 2, me: false }, { emoji: "🎉", count: 1, me: false }]);
  });

  await t.test("any emoji can be typed, and the keyboard reaches all", async () => {
    await rowOf("shall we sail?").locator(".reaction.add").focus();
    await ann.keyboard.press("Enter");
    await ann.keyboard.press("End");
    assert.equal(await ann.evaluate(() => document.activeElement.getAttribute("aria-label")), "eyes");
    await ann.keyboard.press("Tab");
    await ann.keyboard.type("no emoji");
    await ann.keyboard.press("Enter");
    await until(() => ann.textContent("#react-error:not([hidden])"), "Please give exactly one emoji.");
    await ann.fill("#react-text", "🦀");
    await ann.keyboard.press("Enter");
    await until(() => reactions("shall we sail?"), [["👍", 2, true], ["🎉", 1, false], ["🦀", 1, true]]);
    await rowOf("shall we sail?").locator(".reaction.add").click();
    await ann.keyboard.press("Escape");
    assert.deepEqual([await ann.locator(".react-panel").count(), await ann.isVisible("#chat")], [0, true]);
    await choose("shall we sail?", "Read and reactions");
    await until(() => ann.locator("#info-body li .member-name").allTextContents(), ["Cem", "Ann", "Cem", "Ann"]);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
  });

  await t.test("a reply shows the message to which it replies, and goes there", async () => {
    await sendMany(cem, server, crew.id, 130);
    await until(async () => (await ben.listMessages(crew.id)).last_seq, 131);
    await until(() => rowOf("message 130").count(), 1);
    await choose("message 130", "Reply");
    assert.deepEqual([await ann.isVisible("#replying"), await ann.textContent("#reply-name"), await ann.textContent("#reply-text"), await focused()], [true, "Cem", "message 130", "text"]);
    await ann.keyboard.press("Escape");
    assert.deepEqual([await ann.isVisible("#replying"), await ann.isVisible("#chat")], [false, true]);
    await choose("message 130", "Reply");
    await say(ann, "that one");
    await until(() => rowOf("that one").locator(".quote-text").textContent(), "message 130");
    await until(() => ann.isVisible("#replying"), false);
    await until(async () => (await ben.listMessages(crew.id)).messages.at(-1).reply_to, { seq: 131, sender_id: cem.user.id });
    await say(ann, "and this is no reply");
    await until(async () => (await ben.listMessages(crew.id)).messages.at(-1).reply_to, undefined);
    // A message that is far up, and not loaded on this page.
    await ann.reload();
    await until(() => rowOf("that one").count(), 1);
    await cem.send(crew.id, "an answer at last", { reply_to: 1 });
    await until(() => rowOf("an answer at last").locator(".quote").textContent(), "Reply to Ben: shall we sail?");
    await until(() => rowOf("shall we sail?").count(), 0);
    await rowOf("an answer at last").locator(".quote").click();
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["shall we sail?"]);
    const seen = await rowOf("shall we sail?").evaluate((row) => {
      const [box, log] = [row.getBoundingClientRect(), document.querySelector("#log").getBoundingClientRect()];
      return box.top >= log.top && box.bottom <= log.bottom && row.contains(document.activeElement);
    });
    assert.equal(seen, true);
    await until(() => ann.locator(".row.marked").count(), 0);
    await ann.click("#jump");
    await until(() => rowOf("an answer at last").count(), 1);
  });

  await t.test("a quote follows the edit and the recall of its message", async () => {
    await ben.edit(crew.id, 1, { version: 1, content: { text: "shall we sail on Sunday?" } });
    await until(() => rowOf("an answer at last").locator(".quote-text").textContent(), "shall we sail on Sunday?");
    await cem.recall(crew.id, 131);
    await until(() => rowOf("that one").locator(".quote-text").textContent(), "Message recalled");
    await choose("an answer at last", "Reply");
    const { seq } = (await ben.listMessages(crew.id)).messages.at(-1);
    await cem.recall(crew.id, seq);
    await until(() => ann.isVisible("#replying"), false);
    await until(async () => (await ann.evaluate(() => document.body.innerHTML)).includes("an answer at last"), false);
  });

  await t.test("the menu of a message that is recalled closes", async () => {
    const { seq } = await cem.send(crew.id, "look away");
    await until(() => rowOf("look away").count(), 1);
    await rowOf("look away").hover();
    await rowOf("look away").locator(".row-menu").click();
    await ann.locator("[role=menuitem]", { hasText: "Reply" }).focus();
    await cem.recall(crew.id, seq);
    await until(() => ann.locator("[role=menu]").count(), 0);
    await until(async () => (await ann.evaluate(() => document.body.innerHTML)).includes("look away"), false);
    assert.equal(await ann.evaluate(() => document.activeElement.matches("#rows .row:last-child .row-menu")), true);
  });

  await t.test("a reply to a message that is recalled meanwhile is sent without it", async () => {
    const { seq } = await cem.send(crew.id, "a hasty word");
    await until(() => rowOf("a hasty word").count(), 1);
    await choose("a hasty word", "Reply");
    await ann.context().setOffline(true);
    await say(ann, "no hurry, @ben, now");
    await cem.recall(crew.id, seq);
    await ann.context().setOffline(false);
    await until(() => rowOf("no hurry").locator(".failure").textContent(), "Not sent: The message to which it replies was recalled or has expired.Send without the replyDiscard");
    await rowOf("no hurry").locator(".failure button").first().click();
    await until(async () => (({ content, reply_to }) => [content, reply_to])((await ben.listMessages(crew.id)).messages.at(-1)), [{ text: "no hurry, @ben, now", mentions: [ben.user.id] }, undefined]);
    await until(() => ann.locator(".failure button").count(), 0);
  });

  await t.test("what the other person has read has two ticks", async () => {
    await enter(ann, "Ben");
    await say(ann, "have you seen this?");
    await until(() => rowOf("have you seen this?").locator(".state").getAttribute("title"), "stored");
    await ben.markRead(direct.id, 1);
    await until(() => rowOf("have you seen this?").locator(".state").getAttribute("title"), "read");
    await say(ann, "and this?");
    await until(() => rowOf("and this?").locator(".state").getAttribute("title"), "stored");
    await ben.send(direct.id, "yes");
    await until(() => rowOf("and this?").locator(".state").getAttribute("title"), "read");
    // Without receipts of the own, one does not see those of others.
    await ann.click("#account-button");
    await ann.click("#privacy-button");
    await until(() => ann.isEnabled("#own-read_receipts"), true);
    await until(() => ann.isChecked("#own-read_receipts"), true);
    await ann.uncheck("#own-read_receipts");
    await until(async () => (await ben.getConversation(direct.id)).peer_read_seq, null);
    await until(() => rowOf("and this?").locator(".state").getAttribute("title"), "stored");
    await ann.check("#own-read_receipts");
    await until(async () => (await ben.getConversation(direct.id)).peer_read_seq > 0, true);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 1);
    await ann.keyboard.press("Escape");
  });

  await t.test("who has read a message of a group", async () => {
    await enter(ann, "Crew");
    await say(ann, "who reads this?");
    await until(() => rowOf("who reads this?").locator(".state").getAttribute("title"), "stored");
    const { last_seq } = await ben.listMessages(crew.id);
    await ben.markRead(crew.id, last_seq);
    await choose("who reads this?", "Read and reactions");
    await until(() => ann.locator("#info-body li .member-name").allTextContents(), ["Ben", "Cem"]);
    assert.match(await ann.textContent("#info-body"), /1 of 2 people have read it\./);
    assert.match(await ann.locator("#info-body li").first().textContent(), /read$/);
    await cem.markRead(crew.id, last_seq);
    await until(async () => /2 of 2 people have read it\./.test(await ann.textContent("#info-body")), true);
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
  });

  await t.test("mentions have a badge that agrees with the server, and a list", async () => {
    await ann.goto(`${server.url}/#/`);
    await until(() => ann.isVisible("#no-chat"), true);
    await cem.send(crew.id, "@ann look", { mentions: [me.id] });
    const all = await cem.send(crew.id, "everyone, please", { mention_all: true });
    await cem.send(crew.id, "nobody in particular");
    const counted = async () => (await (await fetchUnread()).json()).total_mentions;
    const fetchUnread = async () => {
      const { access_token } = await (await fetch(`${server.url}/v1/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ username: "ann", password: "correct horse" }) })).json();
      return fetch(`${server.url}/v1/unread?mentions=true`, { headers: { Authorization: `Bearer ${access_token}` } });
    };
    await until(() => ann.textContent("#mentioned-badge"), "2");
    await until(() => badge(ann, "Crew"), 3);
    assert.deepEqual([await counted(), await named("Crew"), await named("Ben")], [2, true, false]);
    await until(() => ann.getAttribute("#mentioned-button", "aria-label"), "Messages that name you: 2 unread");
    await cem.recall(crew.id, all.seq);
    await until(() => ann.textContent("#mentioned-badge"), "1");
    assert.equal(await counted(), 1);
    await ann.keyboard.press("Alt+m");
    await until(() => ann.locator("#mentioned .mentioned-text").first().textContent(), "@ann look");
    assert.match(await ann.locator("#mentioned .soft").first().textContent(), /^Crew · /);
    await ann.locator("#mentioned .mentioned-row").first().click();
    await until(() => ann.textContent("#chat-title"), "Crew");
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["@ann look"]);
    await until(() => badge(ann, "Crew"), 0);
    await until(() => ann.isVisible("#mentioned-badge"), false);
    assert.deepEqual([await counted(), await named("Crew")], [0, false]);
    assert.equal(await rowOf("@ann look").evaluate((row) => row.classList.contains("mentions-me")), true);
  });

  await t.test("everyone is named with @all", async () => {
    await ann.click("#text");
    await ann.keyboard.type("hello @al");
    await until(() => ann.locator("#mentions .mention-name").allTextContents(), ["Everyone"]);
    await ann.keyboard.press("Enter");
    await until(() => ann.inputValue("#text"), "hello @all ");
    await ann.keyboard.press("Enter");
    await until(async () => (await ben.listMessages(crew.id)).messages.at(-1).mention_all, true);
    await look(ann, true);
  });
});

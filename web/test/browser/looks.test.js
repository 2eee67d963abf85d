// Every screen, as a screenshot (target/screens/) and checked by axe-core.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const SCREENS = fileURLToPath(new URL("../../../target/screens/", import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PICTURE = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="600"><linearGradient id="a" x2="0" y2="1"><stop stop-color="#f7c98b"/>
  <stop offset=".5" stop-color="#e98b6d"/><stop offset="1" stop-color="#27566e"/></linearGradient><path d="M0 0h900v600H0z" fill="url(#a)"/>
  <circle cx="610" cy="300" r="70" fill="#fff1d0"/><path d="M0 360c120-30 240-30 360 0s240 30 360 0 180-20 180-20v260H0z" fill="#1a4f63"/>
  <path d="M0 440c120-30 240-30 360 0s240 30 360 0 180-20 180-20v180H0z" fill="#0d3a4c"/></svg>`;
const LOOKS = [
  { name: "wide-light", viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  { name: "wide-dark", viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  { name: "narrow-light", viewport: { width: 360, height: 740 }, colorScheme: "light", hasTouch: true },
  { name: "narrow-dark", viewport: { width: 360, height: 740 }, colorScheme: "dark", hasTouch: true },
  { name: "wide-forced", viewport: { width: 1280, height: 800 }, colorScheme: "dark", forcedColors: "active" },
  { name: "narrow-forced", viewport: { width: 360, height: 740 }, colorScheme: "light", forcedColors: "active", hasTouch: true },
];

const LAST = "Half past nine at the pier, then?";

/** People and conversations with every kind of content. */
async function people(t, server) {
  const all = {};
  for (const [username, name] of [["mira", "Mira Holm"], ["jonas", "Jonas Bekk"], ["aiko", "Aiko Tanaka"], ["tom", "Tom"], ["lea", "Léa Martin"], ["omar", "Omar Haddad"]]) {
    all[username] = await api(t, server, username, name);
  }
  const { mira, jonas, aiko, tom, lea, omar } = all;
  const ids = (...some) => some.map((one) => one.user.id);
  const withTom = await tom.createDirect(mira.user.id);
  await tom.send(withTom.id, "The ferry leaves at seven, right?");
  await mira.send(withTom.id, "Seven sharp. Bring the thermos.");
  await lea.send((await lea.createDirect(mira.user.id)).id, "Merci pour hier ! 🌊");
  const books = await omar.createGroup({ title: "Book club", member_ids: ids(mira, lea) });
  await omar.send(books.id, "Chapter nine for Thursday?");
  await lea.send(books.id, "Chapter nine it is");
  await omar.send(books.id, "I will bring the olives");
  const withAiko = await aiko.createDirect(mira.user.id);
  await aiko.send(withAiko.id, "See you at the harbour");
  await mira.markRead(withAiko.id, 1);
  const sail = await mira.createGroup({ title: "Sunday sail", member_ids: ids(jonas, aiko, tom) });
  await jonas.send(sail.id, "Morning! Wind is up, four from the south-west.");
  await tom.send(sail.id, { kind: "custom", content: { poll: ["Saturday", "Sunday"] } });
  const tide = await mira.send(sail.id, "Perfect. High water is at 14:00: https://tides.example/harbour");
  await mira.edit(sail.id, tide.seq, { version: 1, content: { text: "Perfect. High water is at 14:10: https://tides.example/harbour" } });
  await mira.recall(sail.id, (await mira.send(sail.id, "Low water, I mean")).seq);
  await aiko.recall(sail.id, (await aiko.send(sail.id, "The wrong picture")).seq);
  await aiko.send(sail.id, { kind: "image", content: { url: "https://pictures.example/harbour.svg", mime: "image/svg+xml", size: 800, width: 900, height: 600 } });
  await aiko.send(sail.id, "The harbour, an hour ago");
  await tom.send(sail.id, { kind: "file", content: { url: "https://files.example/packing-list.pdf", name: "packing-list.pdf", mime: "application/pdf", size: 48_231 } });
  await mira.send(sail.id, { kind: "emoji", content: { emoji: "😍" } });
  await jonas.send(sail.id, "I bring the thermos and the buns", { reply_to: tide.seq });
  await mira.send(sail.id, "Two thermoses, please: the last time there was none left for the way back", { reply_to: tide.seq + 6 });
  await mira.send(sail.id, { forward: { conversation_id: withTom.id, seq: 1 } });
  await jonas.send(sail.id, { forward: { conversation_id: sail.id, seq: 1 } });
  await aiko.send(sail.id, "Gone in a moment", { expires_in: 10 });
  await aiko.send(sail.id, "The code of the gate is 4711", { expires_in: 86_400 });
  await mira.updateScheduled(sail.id, sail.id, { kind: "text", content: { text: "Is everybody at home again?" }, send_at: new Date(Date.now() + 86_400_000) });
  const last = await mira.send(sail.id, LAST);
  for (const seq of [1, tide.seq]) await mira.pinMessage(sail.id, seq);
  for (const [one, ...emojis] of [[jonas, "👍", "⛵"], [aiko, "👍", "🎉"], [mira, "👍"]]) for (const emoji of emojis) await one.addReaction(sail.id, last.seq, emoji);
  await tom.addReaction(sail.id, tide.seq, "🌊");
  await jonas.markRead(sail.id, last.seq);
  await tom.markRead(withTom.id, 2);
  await mira.updateSettings(books.id, { notify: { level: "none" } });
  await mira.updateSettings(sail.id, { pinned: true });
  const old = await omar.createGroup({ title: "Regatta 2019", member_ids: ids(mira) });
  await omar.send(old.id, "See you next year");
  await mira.updateSettings(old.id, { archived: true });
  await mira.updateDraft(withAiko.id, { version: 0, content: { text: "I will be at the" }, after_seq: 1 });
  const news = await omar.createChannel({ title: "Harbour news", public: true, member_ids: ids(mira, lea, tom) });
  await omar.send(news.id, "The east pier is closed for repairs until Friday. Boats of the sailing school move to the west basin.");
  await omar.send(books.id, "@mira, which edition?", { mentions: ids(mira) });
  await omar.send(news.id, "@mira and @tom: your berths are 14 and 15 meanwhile.", { mentions: ids(mira, tom) });
  await mira.markRead(news.id, 2);
  await mira.putContact(lea.user.id, { alias: "Léa from Lyon", tags: ["sailing", "books"], starred: true });
  await mira.putContact(aiko.user.id);
  await mira.requestContact(jonas.user.id, { message: "Friends of the tide!" });
  await omar.requestContact(mira.user.id, { message: "We met at the book club. Shall we be friends here too?" });
  await lea.updateMe({ bio: "Sails on Sundays, reads on Thursdays.", avatar_url: "https://pictures.example/lea.svg" });
  await lea.setStatus({ emoji: "🌴", text: "On holiday until the spring tide", until: new Date(Date.now() + 86_400_000) });
  await mira.setStatus({ availability: "busy", emoji: "⛵", text: "At sea" });
  /** An edit on another device of Mira's. */
  const edit = async (text) => mira.edit(sail.id, last.seq, { version: (await mira.getMessage(sail.id, last.seq)).version ?? 1, content: { text } });
  return { ...all, sail, withTom, edit };
}

test("looks", { timeout: 600_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const world = await people(t, server);
  for (const { name, ...options } of LOOKS) {
    await t.test(name, async () => {
      const context = await browser.installation({ ...options, reducedMotion: "reduce" });
      await context.route(/\.example\//, (route) => route.fulfill({ contentType: "image/svg+xml", body: PICTURE }));
      const page = await browser.tab(context);
      const findings = [];
      const show = async (screen) => {
        await page.screenshot({ path: `${SCREENS}${screen}-${name}.png` });
        // In an isolated world, the page's policy does not apply.
        const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
        for (const { id, impact, nodes } of found.violations) {
          findings.push(`${screen}: ${impact} ${id} at ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
        }
      };
      const closed = async () => {
        await page.keyboard.press("Escape");
        await until(() => page.locator("dialog[open]").count(), 0);
      };

      await page.waitForSelector("#welcome:not([hidden])");
      await show("login");
      await page.click("#swap");
      await page.fill("#username", "x");
      await page.fill("#password", "short");
      await page.click("#sign-submit");
      await page.waitForSelector("#username-error:not([hidden])");
      await show("sign-up-refused");
      await page.click("#swap");
      await page.fill("#username", "mira");
      await page.fill("#password", "correct horse");
      await page.click("#sign-submit");
      await page.waitForSelector("#conversations a");
      await until(() => page.locator("#conversations .drafted").count(), 1);
      await show("list");
      await page.click("#archive-button");
      await until(() => page.locator("#conversations .title").allTextContents(), ["Regatta 2019"]);
      await show("archive");
      await page.click("#archive-button");
      await page.fill("#filter", "pier");
      await page.waitForSelector("#find-results .found-row");
      await show("search");
      await page.click("#find-filter");
      await page.selectOption("#find-kind", "text");
      await page.waitForSelector("#find-chips .chip");
      await show("search-filters");
      await page.focus("#filter");
      await page.keyboard.press("Escape");
      await page.click("#mentioned-button");
      await page.waitForSelector("#mentioned .mentioned-row");
      await show("mentioned");
      await closed();
      await page.click("#new-button");
      await page.check("#new-form [value=group]");
      await show("new");
      await page.check("#new-form [value=channel]");
      await show("new-channel");
      await page.check("#new-form [value=join]");
      await show("join");
      await closed();
      await page.click("#account-button");
      await page.waitForSelector("#devices .tile");
      await show("account");
      await page.selectOption("#own-theme", options.colorScheme === "dark" ? "light" : "dark");
      await show("account-other-theme");
      await page.selectOption("#own-theme", "system");
      await page.locator("#delete-button").scrollIntoViewIfNeeded();
      await show("account-end");
      await page.click("#delete-button");
      await show("account-delete");
      await page.click("#ends-dialog [data-close]");
      await page.click("#profile-button");
      await show("profile");
      await page.click("#own-emoji");
      await show("profile-emoji");
      await page.keyboard.press("Escape");
      await page.keyboard.press("Escape");
      await until(() => page.locator("dialog[open]").count(), 1);
      await page.click("#privacy-button");
      await page.waitForSelector("#privacy-direct");
      await show("privacy");
      await page.keyboard.press("Escape");
      await until(() => page.locator("dialog[open]").count(), 1);
      await closed();
      await page.click("#contacts-button");
      await page.waitForSelector("#requests .request");
      await show("requests");
      await page.check("#contacts-view [value=list]");
      await page.waitForSelector("#contacts .tags");
      await show("contacts");
      await page.fill("#contacts-name", "oma");
      await page.waitForSelector("#contacts-name-suggestions [role=option]");
      await show("suggestions");
      await page.fill("#contacts-name", "");
      await page.click("#contacts .person-row >> nth=0");
      await page.waitForSelector(".bio");
      await show("profile-other");
      await page.keyboard.press("Escape");
      await until(() => page.locator("dialog[open]").count(), 1);
      await closed();
      await page.click("#help-button");
      await show("help");
      await closed();

      await enter(page, "Sunday sail");
      await page.waitForSelector(".unloaded");
      await until(() => page.locator("#rows .row.last .text").last().textContent(), LAST);
      await show("chat");
      await page.click("#here-button");
      await page.fill("#here-input", "thermos");
      await page.waitForSelector("#here-results .found-row");
      await show("search-here");
      await page.keyboard.press("Escape");
      await page.click(".edited >> nth=0");
      await until(() => page.locator("#versions .text").count(), 2);
      await show("versions");
      await closed();
      const act = async (name) => {
        await page.locator(".row", { hasText: LAST }).hover();
        await page.locator(".row", { hasText: LAST }).locator(".row-menu").click();
        if (name) await page.click(`[role=menuitem]:has-text("${name}")`);
      };
      await act();
      await show("menu");
      await page.keyboard.press("Escape");
      await act("Forward");
      await show("forward");
      await closed();
      await page.click("#pins-bar");
      await page.waitForSelector("#pins .mentioned-row");
      await show("pins");
      await closed();
      await page.click("#later-button");
      await page.waitForSelector("#later-list input");
      await show("later-list");
      await closed();
      await page.fill("#text", "And who has the keys?");
      await page.click("#later-button");
      await show("later");
      await closed();
      await page.fill("#text", "");
      await act("Reply");
      await show("replying");
      await page.click("#reply-stop");
      await page.locator(".reaction.add").last().click();
      await show("react");
      await page.keyboard.press("Escape");
      await act("Read and reactions");
      await page.waitForSelector("#info-body li");
      await show("info");
      await closed();
      await act("Hide for me");
      await show("hide");
      await closed();
      await page.click("#arrange-button");
      await show("arrange");
      await page.keyboard.press("Escape");
      await act("Recall");
      await show("recall");
      await closed();
      await act("Edit");
      await show("editing");
      await page.fill("#text", "Half past ten at the pier, then? The ferry is late.");
      await world.edit("Ten at the pier, then?");
      await page.waitForSelector("#conflict:not([hidden])");
      await show("conflict");
      await page.click("#conflict-theirs");
      await world.edit(LAST);
      await until(() => page.locator("#rows .row.last .text").last().textContent(), LAST);
      await page.click(".unloaded button");
      await page.waitForFunction(() => document.querySelector("#rows img")?.complete);
      await show("picture");
      await page.fill("#text", "");
      await page.locator("#text").pressSequentially("@");
      await page.waitForSelector("#mentions [role=option]");
      await show("mentions");
      await page.keyboard.press("Escape");
      await page.fill("#text", "");
      await page.click("#emoji-button");
      await show("emoji");
      await page.keyboard.press("Escape");
      await page.click("#attach-button");
      await show("attach");
      await closed();
      await page.click("#details-button");
      await page.waitForSelector(".members li");
      await show("rules");
      await page.click(".members li .round >> nth=0");
      await show("members");
      await page.click(".actions .danger");
      await show("confirm");
      await page.keyboard.press("Escape");
      await until(() => page.locator("dialog[open]").count(), 1);
      await closed();

      await page.goto(`${server.url}/#/`);
      await enter(page, "Harbour news");
      await page.waitForSelector(".mentions-me .mention");
      await show("channel");
      await page.click("#details-button");
      await page.waitForSelector(".members li");
      await show("channel-members");
      await closed();

      // A new message in another conversation, and a message that failed.
      await page.goto(`${server.url}/#/`);
      await sendMany(world.tom, server, world.withTom.id, 2, (n) => ["One more thing", "Do we have room for a dog?"][n - 1]);
      await until(() => page.locator("#conversations .unread .title", { hasText: "Tom" }).count(), 1);
      await enter(page, "Tom");
      await page.waitForSelector(".divider");
      await show("divider");
      await world.tom.blockUser(world.mira.user.id);
      await page.fill("#text", "Of course");
      await page.click("#send-button");
      await page.waitForSelector("[data-state=failed]");
      await show("failed");
      await world.tom.unblockUser(world.mira.user.id);
      await page.click("[data-state=failed] >> text=Discard");
      await context.setOffline(true);
      await page.waitForSelector("#status[data-state=offline]", { state: "attached" });
      await page.fill("#text", "A small one");
      await page.click("#send-button");
      await page.waitForSelector("[data-state=sending]");
      await show("offline");
      await context.setOffline(false);
      await until(() => page.locator("[data-state=sending]").count(), 0);
      await page.click("#details-button");
      await page.click("text=Block Tom");
      await page.click("#confirm-yes");
      await page.waitForSelector("text=Unblock Tom");
      await show("person");
      await closed();
      await show("blocked");
      await page.click("#blocked-action");
      await page.waitForSelector("#composer:not([hidden])");

      // Written offline, to a group that the person has left by the time of the reconnect.
      const crew = await world.omar.createGroup({ title: `Crew of ${name}`, member_ids: [world.mira.user.id] });
      await page.goto(`${server.url}/#/`);
      await enter(page, crew.title);
      await context.setOffline(true);
      await page.waitForSelector("#status[data-state=offline]", { state: "attached" });
      await page.fill("#text", "I bring the charts");
      await page.click("#send-button");
      await page.waitForSelector("[data-state=sending]");
      await world.omar.removeMember(crew.id, world.mira.user.id);
      await context.setOffline(false);
      await page.waitForSelector("#lost:not([hidden])");
      await show("not-sent");
      await page.click("#lost >> text=Discard");
      await until(() => page.isVisible("#lost"), false);
      await context.close();
      assert.deepEqual(findings, []);
    });
  }
});

// All texts of the page come from its language tables.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, password, until } from "./support/browser.js";
import { api } from "./support/people.js";

const FOLDER = new URL("../../app/texts/", import.meta.url);
const tables = Object.fromEntries(
  await Promise.all((await readdir(FOLDER)).filter((file) => file.endsWith(".js")).map(async (file) => [file.replace(".js", ""), (await import(new URL(file, FOLDER))).default])),
);
const sources = await Promise.all(
  ["index.html", "app.js", ...(await readdir(new URL("../../app/", import.meta.url))).filter((file) => file.endsWith(".js")).map((file) => `app/${file}`)].map((file) =>
    readFile(new URL(`../../${file}`, import.meta.url), "utf8"),
  ),
);

const forms = (entry) => (typeof entry === "string" ? [entry] : Object.values(entry));
const values = (entry) => [...new Set(forms(entry).flatMap((text) => text.match(/\{\w+\}/g) ?? []))].sort();

test("the tables have the same texts, with the same values", () => {
  const { en, ...others } = tables;
  for (const [language, table] of Object.entries(others)) {
    assert.deepEqual(Object.keys(table), Object.keys(en), language);
    for (const [key, entry] of Object.entries(table)) {
      assert.deepEqual(values(entry), values(en[key]), `${language}: ${key}`);
      assert.equal(typeof entry, typeof en[key], `${language}: ${key}`);
      for (const text of forms(entry)) assert.ok(text.trim(), `${language}: ${key} is empty`);
      if (typeof entry === "string") continue;
      const wanted = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
      assert.deepEqual(Object.keys(entry).sort(), [...wanted].sort(), `${language}: ${key}`);
    }
    assert.equal(table["emoji.names"].split("|").length, en["emoji.names"].split("|").length, language);
  }
});

test("every text that the page asks for is in the tables, and none is there for nothing", () => {
  const text = sources.join("\n");
  const whole = [...text.matchAll(/["'`]([a-z]+(?:\.[a-z0-9_]+)+)["'`]/gi)].map(([, key]) => key);
  const begun = [...text.matchAll(/`((?:[a-z]+\.)+)\$\{[^}]+\}([a-z.]*)`/gi)].map(([, start, end]) => [start, end]);
  const areas = new Set(Object.keys(tables.en).map((key) => key.split(".")[0]));
  const unknown = whole.filter((key) => areas.has(key.split(".")[0]) && !(key in tables.en));
  assert.deepEqual(unknown, []);
  for (const [start, end] of begun.filter(([start]) => areas.has(start.split(".")[0]))) {
    assert.ok(Object.keys(tables.en).some((key) => key.startsWith(start) && key.endsWith(end)), `${start}…${end}`);
  }
  const unused = Object.keys(tables.en).filter((key) => !whole.includes(key) && !begun.some(([start, end]) => key.startsWith(start) && key.endsWith(end)));
  assert.deepEqual(unused, []);
});

/** The English table in brackets: a text without brackets on the page is not from the table. */
async function bracketed(context) {
  await context.route(/\/app\/texts\/en\.js$/, async (route) => {
    const mark = (entry) => (typeof entry === "string" ? `⟦${entry}⟧` : Object.fromEntries(Object.entries(entry).map(([form, text]) => [form, `⟦${text}⟧`])));
    const table = Object.fromEntries(Object.entries(tables.en).map(([key, entry]) => [key, key === "emoji.names" ? entry.split("|").map(mark).join("|") : mark(entry)]));
    await route.fulfill({ contentType: "text/javascript", body: `export default ${JSON.stringify(table)};` });
  });
}

/** The visible and accessible texts of the page without brackets, except data: people, messages and times. */
const outside = (page) =>
  page.evaluate(() => {
    const DATA = "time, kbd, .brand, blockquote, #app > h1, .avatar, .text, .emoji, .emoji-panel button, .host, .id, .keys kbd, option, bdi, #chat-title, .badge > :first-child, .day, #conversations .title, .emoji-sign, .reaction-count, .react-quick button, .quote-text, .mentioned-text, #archive-count, .named-badge > :first-child";
    const found = [];
    const look = (text, where) => {
      let rest = text;
      while (rest !== (rest = rest.replace(/⟦[^⟦⟧]*⟧/g, ""))) continue;
      if (/\p{L}{2}/u.test(rest.replace(/@?(Data|data)\w*/g, ""))) found.push(`${where}: ${text}`);
    };
    const shown = (node) => node.checkVisibility({ visibilityProperty: true });
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); ) {
      const parent = node.parentElement;
      if (!parent.closest(`script, style, noscript, ${DATA}`) && shown(parent)) look(node.data, parent.id || parent.className || parent.tagName);
    }
    for (const name of ["aria-label", "title", "placeholder", "alt"]) {
      for (const node of document.querySelectorAll(`[${name}]`)) if (shown(node) && !node.closest("time")) look(node.getAttribute(name), name);
    }
    look(document.title.replace("Tideline", ""), "title");
    return found;
  });

test("in a browser", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ben = await api(t, server, "databen", "DataBen");
  const mira = await api(t, server, "datamira", "DataMira");
  const group = await ben.createGroup({ title: "DataGroup", member_ids: [mira.user.id] });
  await ben.send(group.id, { kind: "custom", content: {} });
  await ben.send(group.id, { kind: "file", content: { url: "javascript:1//http://", name: "data", mime: "text/plain", size: 1 } }).catch(() => {});
  await ben.send(group.id, "hello");
  const direct = await ben.createDirect(mira.user.id);
  await ben.send(direct.id, "@datamira datahello");

  await t.test("nothing that is seen stands outside of the table", async () => {
    const context = await browser.installation();
    await bracketed(context);
    const page = await browser.tab(context);
    const wrong = new Set();
    const look = async (view) => (await outside(page)).forEach((one) => wrong.add(`${view}: ${one}`));
    const sheet = async (button, ready, view) => {
      await page.click(button);
      await page.waitForSelector(ready);
      await look(view);
    };
    const closed = async () => {
      await page.keyboard.press("Escape");
      await until(() => page.locator("dialog[open]").count(), 0);
    };

    await page.waitForSelector("#welcome:not([hidden])");
    await look("login");
    await page.click("#sign-submit");
    await look("login, empty");
    await page.click("#swap");
    await page.fill("#username", "x");
    await page.fill("#password", "short");
    await page.click("#sign-submit");
    await page.waitForSelector("#password-error:not([hidden])");
    await look("sign-up, refused");
    await page.fill("#username", "databen");
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#username-error:not([hidden])");
    await look("sign-up, taken");
    await page.click("#swap");
    await page.fill("#password", "wrong password");
    await page.click("#sign-submit");
    await page.waitForSelector("#sign-error:not([hidden])");
    await look("login, refused");
    await page.fill("#username", "datamira");
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#conversations a");
    await page.waitForSelector("#status[data-state=online]");
    await look("list");
    await page.fill("#filter", "zzz");
    await until(() => page.textContent("#find-status"), `⟦${tables.en["search.none"]}⟧`);
    await look("search, nothing");
    await page.fill("#filter", "datahello");
    await page.waitForSelector("#find-results .found-row");
    await page.click("#find-filter");
    await page.selectOption("#find-kind", "text");
    await page.fill("#find-from", "2020-01-01");
    await page.waitForSelector("#find-chips .chip >> nth=1");
    await look("search");
    await page.focus("#filter");
    await page.keyboard.press("Escape");

    for (const kind of ["direct", "group", "channel", "join"]) {
      await page.click("#new-button");
      await page.check(`#new-form [value=${kind}]`);
      await page.click("#new-submit");
      await page.waitForSelector("#new-error:not([hidden])");
      await look(`new ${kind}`);
      await closed();
    }
    await sheet("#account-button", "#devices .tile", "account");
    await sheet("#profile-button", "#own-status", "profile");
    await page.selectOption("#own-end", "at");
    await page.fill("#own-status", "datastatus");
    await page.press("#own-status", "Enter");
    await page.waitForSelector("#own-status-form-error:not([hidden])");
    await look("profile, refused");
    await page.selectOption("#own-end", "3600");
    await page.click("#own-emoji");
    await look("profile, emoji");
    await page.click("#own-emoji-panel button >> nth=0");
    await page.click("#own-status-form [data-key=own-status-form-go]");
    await page.waitForSelector("[data-key=own-clear]");
    await look("profile, with a status");
    await page.keyboard.press("Escape");
    await sheet("#privacy-button", "#privacy-direct", "privacy");
    await page.keyboard.press("Escape");
    await until(() => page.locator("dialog[open]").count(), 1);
    await page.fill("#own-username", "databen");
    await page.press("#own-username", "Enter");
    await page.waitForSelector("#username-form-error:not([hidden])");
    await look("username, taken");
    for (const what of ["deactivate", "delete"]) {
      await page.click(`#${what}-button`);
      await page.fill("#ends-password", "wrong horse");
      await page.click("#ends-yes");
      await page.waitForSelector("#ends-error:not([hidden])");
      await look(what);
      await page.click("#ends-dialog [data-close]");
    }
    await page.click("#account-body >> css=section:last-child button");
    await look("log out");
    await page.keyboard.press("Escape");
    await closed();
    await sheet("#help-button", "#help-dialog[open]", "help");
    await closed();
    await sheet("#contacts-button", "#contacts-none:not([hidden])", "contacts, none");
    await page.check("#contacts-view [value=requests]");
    await look("requests, none");
    await closed();
    await ben.updateMe({ bio: "databio", avatar_url: "https://data.example/data.png" });
    await ben.setStatus({ emoji: "🌴", text: "datastatus", until: new Date(Date.now() + 3_600_000) });
    await mira.requestContact((await api(t, server, "datacem", "DataCem")).user.id, { message: "datamessage" });
    await ben.requestContact(mira.user.id, { message: "datamessage" });
    await page.waitForSelector("#contacts-badge:not([hidden])");
    await sheet("#contacts-button", "#requests .request", "requests");
    await page.click("#requests .person-row >> nth=1");
    await page.waitForSelector("[data-key=cancel]");
    await look("person, asked");
    await page.keyboard.press("Escape");
    await page.click("#requests .person-row >> nth=0");
    await page.waitForSelector(".bio");
    await look("person, asks");
    await page.click("[data-key=accept] >> visible=true");
    await page.waitForSelector("#person-alias");
    await look("person, a friend");
    await page.fill("#person-tags", "x".repeat(33));
    await page.press("#person-tags", "Enter");
    await page.waitForSelector("#person-notes-error:not([hidden])");
    await page.fill("#person-tags", "datatag");
    await page.press("#person-tags", "Enter");
    await page.click("[data-key=remove]");
    await look("person, removing");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await until(() => page.locator("dialog[open]").count(), 1);
    await page.check("#contacts-view [value=list]");
    await page.waitForSelector("#contacts .tags");
    await look("contacts");
    await closed();
    await mira.removeContact(ben.user.id);

    await enter(page, "DataGroup");
    await page.waitForSelector("#rows .text");
    await look("group");
    await page.fill("#text", "datatext");
    await page.press("#text", "Enter");
    await page.waitForSelector(".row.mine .row-menu");
    await page.press("#text", "ArrowUp");
    await look("editing");
    await page.fill("#text", "datamine");
    const { seq } = (await ben.listMessages(group.id)).messages.at(-1);
    await mira.edit(group.id, seq, { version: 1, content: { text: "datatheirs" } });
    await page.waitForSelector("#conflict:not([hidden])");
    await look("conflict");
    await page.click("#conflict-theirs");
    await sheet(".edited", "#versions .text", "versions");
    await closed();
    const { seq: reply } = await ben.send(group.id, "dataanswer", { reply_to: seq, mention_all: true });
    for (const client of [ben, mira]) await client.addReaction(group.id, seq, "👍");
    await page.waitForSelector(".quote");
    await page.waitForSelector(".reaction.add");
    await look("quote and reactions");
    await page.hover(".row.mine");
    await sheet(".row.mine .row-menu", "[role=menu]", "menu");
    await page.click("[role=menuitem]:has-text('Forward')");
    await page.fill("#forward-find", "zzz");
    await look("forward");
    await page.fill("#forward-find", "");
    await closed();
    await ben.pinMessage(group.id, seq);
    await page.waitForSelector("#pins-bar:not([hidden])");
    await sheet("#pins-bar", "#pins .mentioned-row", "pins");
    await closed();
    await mira.send(group.id, { forward: { conversation_id: group.id, seq } });
    await ben.send(group.id, { forward: { conversation_id: group.id, seq: reply } });
    await ben.updateMe({ forward_name: false });
    await mira.send(group.id, { forward: { conversation_id: group.id, seq: reply } });
    await ben.send(group.id, "datashort", { expires_in: 3_600 });
    await page.waitForSelector(".row:has-text('datashort')");
    await look("forwarded and expiring");
    const { seq: short } = (await ben.listMessages(group.id)).messages.at(-1);
    await page.hover(`.row[data-seq="${short}"]`);
    await page.click(`.row[data-seq="${short}"] .row-menu`);
    await page.click("[role=menuitem]:has-text('expires')");
    await page.waitForSelector("#info-body time");
    await look("expiry");
    await closed();
    await ben.recall(group.id, short);
    await page.fill("#text", "datalater");
    await page.click("#later-button");
    await page.fill("#later-time", "2020-01-01T00:00");
    await page.click("#later-submit");
    await look("later, in the past");
    await page.fill("#later-time", new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 16));
    await page.click("#later-submit");
    await page.waitForSelector("#later-badge:not([hidden])");
    await sheet("#later-button", "#later-list input", "later");
    await page.click("#later-list .danger");
    await look("later, cancelled");
    await page.click("#confirm-yes");
    await until(() => page.locator("#later-list input").count(), 0);
    await look("later, none");
    await closed();
    await page.click(".row.mine .row-menu >> nth=0");
    await page.click("[role=menuitem]:has-text('Reply')");
    await look("replying");
    await page.click("#reply-stop");
    await page.click(".reaction.add");
    await page.fill("#react-text", "x");
    await page.press("#react-text", "Enter");
    await look("picker");
    await page.keyboard.press("Escape");
    await page.click(".row.mine .row-menu >> nth=0");
    await page.click("[role=menuitem]:has-text('Read')");
    await page.waitForSelector("#info-body .state-words");
    await look("info");
    await closed();
    await page.click(".row.mine .row-menu >> nth=0");
    await page.click("[role=menuitem].wrong >> nth=0");
    await look("hide");
    await closed();
    await sheet("#arrange-button", "[role=menu]", "arrange");
    await page.click("[role=menuitem].wrong");
    await look("clear");
    await closed();
    await page.click("#arrange-button");
    await page.click("[role=menuitemradio] >> nth=-1");
    await page.waitForSelector(".quiet");
    await look("quiet");
    await page.click("#arrange-button");
    await page.click("[role=menuitem] >> nth=1");
    await page.waitForSelector("#archive-button:not([hidden])");
    await look("archived");
    await page.click("#archive-button");
    await look("archive");
    await page.click("#archive-button");
    await sheet("#mentioned-button", ".mentioned-row", "mentioned");
    await closed();
    await ben.recall(group.id, reply);
    await page.click(".row.mine .row-menu >> nth=0");
    await page.click("[role=menuitem].wrong >> nth=-1");
    await look("recall");
    await page.click("#confirm-yes");
    await page.waitForSelector(".is-recalled");
    await look("recalled");
    await sheet("#emoji-button", "#emoji-panel:not([hidden])", "emoji");
    await page.keyboard.press("Escape");
    await page.click("#attach-button");
    await page.fill("#attach-url", "nonsense");
    await page.click("#attach-submit");
    await page.waitForSelector("#attach-error:not([hidden])");
    await look("share");
    await closed();
    await ben.setRole(group.id, mira.user.id, "owner");
    await sheet("#details-button", ".members li .round", "members");
    await page.click(".members li .round");
    await page.waitForSelector(".actions .danger");
    await look("member");
    await page.fill("#add-people", "datanobody");
    await page.press("#add-people", "Enter");
    await page.waitForSelector("#add-people-error:not([hidden])");
    await look("nobody to add");
    await page.click("[data-key=leave]");
    await look("leave");
    await page.keyboard.press("Escape");
    await closed();
    await ben.blockUser(mira.user.id);
    await enter(page, "DataBen");
    await page.waitForSelector(".divider");
    await page.fill("#text", "hello");
    await page.click("#send-button");
    await page.waitForSelector("[data-state=failed]");
    await look("refused");
    await ben.unblockUser(mira.user.id);
    await page.click(".failure .link >> nth=-1");
    await sheet("#details-button", "[data-key=block]", "person");
    await page.click("[data-key=block]");
    await look("block");
    await page.click("#confirm-yes");
    await until(() => page.isVisible("#blocked-action"), true);
    await closed();
    await look("blocked");
    await ben.removeMember(group.id, mira.user.id).catch(() => {});
    await context.setOffline(true);
    await page.waitForSelector("#status[data-state=offline]");
    await look("offline");
    await context.close();
    assert.deepEqual([...wrong], []);
  });

  await t.test("the language is the browser's, until another one is chosen", async () => {
    const context = await browser.installation({ locale: "zh-TW" });
    const page = await browser.tab(context);
    await until(() => page.textContent("#sign-submit"), tables.zh["sign.in.submit"]);
    await until(() => page.getAttribute("html", "lang"), "zh-Hans");
    await page.selectOption("#sign-language", "en");
    await until(() => page.textContent("#sign-submit"), tables.en["sign.in.submit"]);
    await page.fill("#username", "datamira");
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#conversations a");
    await page.click("#account-button");
    await page.selectOption("#own-language", "zh");
    await until(() => page.getAttribute("#filter", "placeholder"), tables.zh["search.label"]);
    await page.reload();
    await until(() => page.getAttribute("#filter", "placeholder"), tables.zh["search.label"]);
    await context.close();

    const other = await browser.tab(await browser.installation({ locale: "fi-FI" }));
    await until(() => other.textContent("#sign-submit"), tables.en["sign.in.submit"]);
  });
});

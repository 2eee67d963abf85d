// Messages are recalled and edited: every page, list, badge and notification shows their present state.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { badge, browse, desktop, enter, look, say, texts, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const STUB = "Message recalled";
/** What each row shows: its text, or that it was recalled. */
const shown = (page) => page.locator("#rows .row :is(.text, .unshown)").allTextContents();
const rowOf = (page, text) => page.locator("#rows .row", { hasText: text });
const preview = (page, title) => page.locator("#conversations li", { has: page.locator(".title", { hasText: title }) }).locator(".preview").textContent();
const composer = (page) => page.inputValue("#text");
const edits = (page) => page.isVisible("#editing");

test("messages that change", { timeout: 480_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const context = await browser.installation();
  await desktop(context);
  const ann = await browser.tab(context);
  await ann.click("#swap");
  for (const [id, value] of [["username", "ann"], ["display-name", "Ann"], ["password", "correct horse"]]) await ann.fill(`#${id}`, value);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const ben = await api(t, server, "ben", "Ben");
  const cem = await api(t, server, "cem", "Cem");
  const me = await ben.findUser("ann");
  const direct = await ben.createDirect(me.id);
  const focused = () => ann.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName);
  const keys = async (...all) => {
    for (const key of all) await ann.keyboard.press(key);
  };
  /** The message on the server. */
  const stored = (seq, id = direct.id) => ben.getMessage(id, seq);
  const edit = async (client, seq, text, id = direct.id) => client.edit(id, seq, { version: (await stored(seq, id)).version ?? 1, content: { text } });

  await t.test("a recalled message stays in its place, without content, count or menu", async () => {
    await ben.send(direct.id, "one");
    await ben.send(direct.id, { kind: "image", content: { url: "https://pictures.example/secret.png", mime: "image/png", size: 1, width: 3, height: 2 } });
    await ben.send(direct.id, "three");
    await until(() => badge(ann, "Ben"), 3);
    await ben.recall(direct.id, 3);
    await until(() => preview(ann, "Ben"), STUB);
    await ben.recall(direct.id, 1);
    // The first unread message is recalled: the read position has passed it.
    await until(() => badge(ann, "Ben"), 2);
    await until(() => ann.title(), "(2) Tideline");
    await enter(ann, "Ben");
    await until(() => badge(ann, "Ben"), 0);
    await ann.waitForSelector("#rows figure");
    await ben.recall(direct.id, 2);
    await until(() => shown(ann), [STUB, STUB, STUB]);
    await until(() => ann.locator("#rows figure").count(), 0);
    await ann.locator("#rows .row").first().hover();
    await ann.locator("#rows .row-menu").first().click();
    await until(() => ann.locator("[role=menuitem]").allTextContents(), ["Hide for me"]);
    await ann.keyboard.press("Escape");
    await until(() => ann.textContent("#announcer"), `Ben: ${STUB}`);
    assert.equal(await ann.evaluate(() => document.body.innerHTML.includes("secret")), false);
  });

  await t.test("an edited message has its text, a label, and a list of its versions", async () => {
    await ben.send(direct.id, "helo");
    await until(async () => (await shown(ann)).at(-1), "helo");
    await edit(ben, 4, "hello");
    await until(async () => (await shown(ann)).at(-1), "hello");
    await until(() => preview(ann, "Ben"), "hello");
    const label = rowOf(ann, "hello").locator(".edited");
    assert.match(await label.textContent(), /^edited \d?\d:\d\d$/);
    assert.match(await label.getAttribute("title"), /^edited .*\d{4}/);
    await label.focus();
    await keys("Enter");
    await until(() => ann.locator("#versions .text").allTextContents(), ["hello", "helo"]);
    assert.match(await ann.locator("#versions .soft").first().textContent(), /^Version 2 · /);
    await keys("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
    await until(() => focused(), "edited");
    // What is recalled is not shown any longer, in the list of versions neither.
    await label.click();
    await until(() => ann.locator("#versions .text").count(), 2);
    await ben.recall(direct.id, 4);
    await until(() => ann.locator("dialog[open]").count(), 0);
    await until(() => ann.locator("#versions li").count(), 0);
    await until(async () => (await shown(ann)).at(-1), STUB);
  });

  await t.test("the arrow up edits the last own message, and Escape keeps it", async () => {
    await say(ann, "first");
    await say(ann, "@ben secnd");
    await until(() => ann.locator(".row.mine[data-state=stored]").count(), 2);
    await ben.send(direct.id, "an answer");
    await until(async () => (await shown(ann)).at(-1), "an answer");
    await ann.click("#text");
    await ann.keyboard.type("x");
    await keys("ArrowUp");
    assert.equal(await edits(ann), false, "the composer has a text");
    await ann.fill("#text", "");
    await keys("ArrowUp");
    assert.deepEqual([await composer(ann), await edits(ann), await ann.isVisible("#attach-button")], ["@ben secnd", true, false]);
    await until(() => ann.locator(".row.marked .text").textContent(), "@ben secnd");
    await until(() => ann.textContent("#announcer"), "Editing your message. Escape keeps it as it is.");
    await until(() => ann.getByLabel("New text of your message").count(), 1);
    await keys("Escape");
    assert.deepEqual([await composer(ann), await edits(ann), await focused(), await ann.isVisible("#chat")], ["", false, "text", true]);
    await keys("ArrowUp");
    await ann.fill("#text", "@ben second");
    await keys("Enter");
    await until(() => edits(ann), false);
    await until(async () => (await shown(ann)).slice(-2), ["@ben second", "an answer"]);
    const { version, content } = await stored(6);
    assert.deepEqual([version, content], [2, { text: "@ben second", mentions: [ben.user.id] }]);
    await until(() => focused(), "text");
    // Nothing was changed: nothing is sent.
    await keys("ArrowUp", "Enter");
    assert.deepEqual([await edits(ann), (await stored(6)).version], [false, 2]);
  });

  await t.test("a draft waits while a message is edited, in whichever conversation", async () => {
    await ann.fill("#text", "a draft");
    await rowOf(ann, "first").hover();
    await rowOf(ann, "first").locator(".row-menu").click();
    await ann.click("[role=menuitem]:has-text('Edit')");
    await until(() => composer(ann), "first");
    await ann.fill("#text", "first of all");
    await ann.goto(`${server.url}/#/`);
    await enter(ann, "Ben");
    assert.deepEqual([await composer(ann), await edits(ann)], ["a draft", false]);
    await ann.fill("#text", "");
    assert.equal((await stored(5)).version, undefined);
  });

  await t.test("the keyboard reaches every action", async () => {
    await ann.focus("#log");
    await keys("Tab");
    const button = (text) => rowOf(ann, text).locator(".row-menu");
    const isFocused = (text) => button(text).evaluate((node) => node === document.activeElement);
    // The menus are one stop of the Tab key, at the last message first.
    while (!(await ann.evaluate(() => document.activeElement.matches(".row-menu")))) await keys("Tab");
    await until(() => isFocused("an answer"), true);
    await keys("ArrowUp");
    await until(() => isFocused("second"), true);
    await until(() => button("second").getAttribute("aria-label"), "Actions for “@ben second”");
    await keys("ArrowUp");
    await until(() => isFocused("first"), true);
    await keys("Enter");
    await until(() => ann.locator("[role=menu] [role=menuitem]").allTextContents(), ["Reply", "Add a reaction", "Forward", "Pin", "Edit", "Hide for me", "Recall"]);
    await until(() => button("first").getAttribute("aria-expanded"), "true");
    await keys("Escape");
    assert.deepEqual([await ann.locator("[role=menu]").count(), await isFocused("first"), await ann.isVisible("#chat")], [0, true, true]);
    await keys("Enter", "End", "Enter");
    await ann.waitForSelector("#confirm-dialog[open]");
    await until(() => ann.textContent("#confirm-title"), "Recall this message?");
    await keys("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
    assert.deepEqual([await isFocused("first"), (await stored(5)).kind], [true, "text"]);
    await keys("Enter", "ArrowUp", "Enter");
    await ann.waitForSelector("#confirm-dialog[open]");
    await ann.focus("#confirm-yes");
    await keys("Enter");
    await until(async () => (await shown(ann)).includes("first"), false);
    assert.equal((await stored(5)).kind, "recalled");
    await until(() => focused(), "round row-menu");
  });

  await t.test("a conflict shows the present text, and the person decides", async () => {
    const other = await api(t, server, "dan", "Dan");
    await other.login({ username: "ann", password: "correct horse" });
    const open = async (text) => {
      await ann.click("#text");
      await keys("ArrowUp");
      await ann.fill("#text", text);
    };
    // The other device edits while this one is writing.
    await open("mine");
    await edit(other, 6, "theirs");
    await until(() => ann.textContent("#conflict-text"), "theirs");
    await until(() => composer(ann), "mine");
    await ann.press("#text", "Enter");
    assert.equal(await focused(), "conflict-mine", "nothing is sent before the decision");
    await ann.click("#conflict-theirs");
    assert.deepEqual([await edits(ann), await composer(ann), (await stored(6)).content.text], [false, "", "theirs"]);
    // The response says so.
    await open("mine");
    let saves = 0;
    await ann.route(/messages\/6$/, async (route) => {
      if (saves++ === 0) await edit(other, 6, "theirs again");
      await route.fallback();
    });
    await ann.press("#text", "Enter");
    await until(() => ann.textContent("#conflict-text"), "theirs again");
    await ann.unroute(/messages\/6$/);
    await ann.click("#conflict-mine");
    await until(() => edits(ann), false);
    assert.deepEqual([(await stored(6)).content.text, await composer(ann)], ["mine", ""]);
    await until(async () => (await shown(ann)).includes("mine"), true);
    // The same text is no conflict.
    await open("agreed");
    await edit(other, 6, "agreed");
    await until(() => edits(ann), false);
    // A recall ends the editing.
    await open("too late");
    await other.recall(direct.id, 6);
    await until(() => edits(ann), false);
    await ann.waitForSelector("#toasts >> text=This message was recalled or has expired.");
    await until(() => composer(ann), "");
  });

  await t.test("a save that fails can be repeated, and its lost response edits once", async () => {
    await say(ann, "draft of a plan");
    await until(() => ann.locator(".row.mine[data-state=stored]").last().locator(".text").textContent(), "draft of a plan");
    const { seq } = (await ben.listMessages(direct.id)).messages.at(-1);
    await until(async () => [await composer(ann), await focused()], ["", "text"]);
    await keys("ArrowUp");
    await until(async () => [await composer(ann), await edits(ann)], ["draft of a plan", true]);
    await ann.fill("#text", "the plan");
    await ann.route(/messages\/\d+$/, (route) => route.fulfill({ status: 403, contentType: "application/problem+json", body: '{"code":"muted","detail":""}' }));
    await keys("Enter");
    await until(() => ann.textContent("#composer-error"), "You may not write here for now.");
    assert.deepEqual([await composer(ann), await edits(ann)], ["the plan", true]);
    await ann.unroute(/messages\/\d+$/);
    let lost = 0;
    await ann.route(/messages\/\d+$/, async (route) => {
      if (lost++ > 0) return route.fallback();
      await route.fetch();
      await route.abort();
    });
    await ann.press("#text", "Enter");
    await until(() => edits(ann), false);
    await ann.unroute(/messages\/\d+$/);
    assert.deepEqual([(await stored(seq)).version, (await stored(seq)).content.text, lost], [2, "the plan", 2]);
  });

  await t.test("a page that was read before an edit does not bring the old text back", async () => {
    await ann.goto(`${server.url}/#/`);
    await ann.reload();
    await ann.waitForSelector("#status[data-state=online]");
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    let read;
    const wasRead = new Promise((resolve) => (read = resolve));
    await ann.route(/\/messages\?/, async (route) => {
      const response = await route.fetch();
      read();
      await gate;
      await route.fulfill({ response });
    });
    await ben.send(direct.id, "old text");
    await until(() => badge(ann, "Ben"), 1);
    await enter(ann, "Ben");
    await wasRead;
    const { seq } = (await ben.listMessages(direct.id)).messages.at(-1);
    await edit(ben, seq, "new text");
    await until(() => preview(ann, "Ben"), "new text");
    release();
    await until(async () => (await shown(ann)).at(-1), "new text");
    await ann.unroute(/\/messages\?/);
  });

  await t.test("what an offline device has missed, it shows after its inbox was trimmed", async () => {
    await ben.send(direct.id, "will be recalled");
    await ben.send(direct.id, "will be edited");
    await until(async () => (await shown(ann)).slice(-2), ["will be recalled", "will be edited"]);
    const last = (await ben.listMessages(direct.id)).last_seq;
    await context.setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    await ben.recall(direct.id, last - 1);
    await edit(ben, last, "was edited");
    await server.expireInbox();
    await context.setOffline(false);
    await until(async () => (await shown(ann)).slice(-2), [STUB, "was edited"]);
    await until(() => preview(ann, "Ben"), "was edited");
  });

  await t.test("a conversation with too many missed changes is read again", async () => {
    const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id] });
    await sendMany(ben, server, crew.id, 1_001);
    await until(() => preview(ann, "Crew"), "Ben: message 1001");
    await enter(ann, "Crew");
    await ann.click("#jump");
    await until(async () => (await shown(ann)).at(-1), "message 1001");
    await context.setOffline(true);
    await until(() => ann.getAttribute("#status", "data-state"), "offline");
    for (let seq = 1; seq <= 1_001; seq += 13) await Promise.all(Array.from({ length: 13 }, (_, n) => ben.recall(crew.id, seq + n)));
    await server.expireInbox();
    await context.setOffline(false);
    await until(async () => new Set(await shown(ann)), new Set([STUB]));
    await until(() => preview(ann, "Crew"), `Ben: ${STUB}`);
    await until(() => badge(ann, "Crew"), 0);
    await enter(ann, "Ben");
  });

  await t.test("a notification follows its message", async () => {
    await ann.goto(`${server.url}/#/`);
    await ann.click("#ask-yes");
    const notes = () => ann.evaluate(() => window.shown.map(({ title, body }) => `${title}: ${body}`));
    const { seq } = await ben.send(direct.id, "psst");
    await until(notes, ["Ben: psst"]);
    await until(() => ann.evaluate(() => window.rung > 0), true);
    const rung = await ann.evaluate(() => window.rung);
    await edit(ben, seq, "pssst");
    await until(notes, ["Ben: pssst"]);
    // An older message is not the one that is shown.
    await ben.recall(direct.id, seq - 1);
    await until(() => badge(ann, "Ben"), 1);
    await until(notes, ["Ben: pssst"]);
    await ben.recall(direct.id, seq);
    await until(notes, []);
    await until(() => badge(ann, "Ben"), 0);
    assert.equal(await ann.evaluate(() => window.rung), rung);
  });

  await t.test("a channel shows changes, and its owner recalls what others wrote", async () => {
    const news = await ben.createChannel({ title: "News", member_ids: [me.id, cem.user.id] });
    for (const [client, text] of [[ben, "by the owner"]]) await client.send(news.id, text);
    await ben.setRole(news.id, cem.user.id, "admin");
    await cem.send(news.id, "by an admin");
    await enter(ann, "News");
    await until(() => shown(ann), ["by the owner", "by an admin"]);
    const actions = async (text) => {
      await rowOf(ann, text).hover();
      await rowOf(ann, text).locator(".row-menu").click();
      const found = await ann.locator("[role=menuitem]").allTextContents();
      await ann.keyboard.press("Escape");
      return found;
    };
    assert.deepEqual(await actions("by an admin"), ["Add a reaction", "Forward", "Hide for me"], "a reader does not write");
    await edit(ben, 1, "by the owner, edited", news.id);
    await until(() => shown(ann), ["by the owner, edited", "by an admin"]);
    await ben.setRole(news.id, me.id, "admin");
    await until(() => ann.isVisible("#composer"), true);
    // An admin recalls what other admins wrote, but not what the owner wrote.
    await until(() => actions("by an admin"), ["Reply", "Add a reaction", "Forward", "Pin", "Hide for me", "Recall"]);
    assert.deepEqual(await actions("by the owner"), ["Reply", "Add a reaction", "Forward", "Pin", "Hide for me"]);
    await rowOf(ann, "by an admin").locator(".row-menu").click();
    await ann.click("[role=menuitem]:has-text('Recall')");
    await ann.click("#confirm-yes");
    await until(() => shown(ann), ["by the owner, edited", STUB]);
    assert.deepEqual((await stored(2, news.id)).recalled.by, me.id);
    await until(() => preview(ann, "News"), `Cem: ${STUB}`);
  });

  await t.test("all tabs show the same", async () => {
    const other = await browser.tab(context, `#/c/${direct.id}`);
    await enter(ann, "Ben");
    await say(ann, "to be changed");
    for (const page of [ann, other]) await until(async () => (await shown(page)).at(-1), "to be changed");
    await other.click("#text");
    await other.keyboard.press("ArrowUp");
    await other.fill("#text", "changed");
    await other.keyboard.press("Enter");
    for (const page of [ann, other]) await until(async () => (await shown(page)).at(-1), "changed");
    await other.close();
    await look(ann, true);
  });

  await t.test("nothing is offered that the server does not allow any more", async () => {
    const late = await browser.installation();
    await late.route(/\/v1\/capabilities$/, async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      await route.fulfill({ response, json: { ...body, limits: { ...body.limits, edit_seconds: 0, recall_seconds: 1 } } });
    });
    const old = await browser.installation();
    await old.route(/\/v1\/capabilities$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), features: ["direct"], limits: {} } });
    });
    // Beyond the second in which the message may be recalled: an open menu stays as it was opened.
    const { created_at } = (await ben.listMessages(direct.id)).messages.at(-1);
    await until(() => Date.now() - Date.parse(created_at) > 2_000, true);
    for (const installation of [late, old]) {
      const page = await browser.tab(installation);
      await page.fill("#username", "ann");
      await page.fill("#password", "correct horse");
      await page.click("#sign-submit");
      await enter(page, "Ben");
      await until(async () => (await shown(page)).at(-1), "changed");
      if (installation === old) assert.equal(await page.locator(".row-menu").count(), 0);
      else {
        await rowOf(page, "changed").last().hover();
        await rowOf(page, "changed").last().locator(".row-menu").click();
        await until(() => page.locator("[role=menuitem]").allTextContents(), ["Reply", "Add a reaction", "Forward", "Pin", "Hide for me"]);
        await page.keyboard.press("Escape");
      }
      await page.click("#text");
      await page.keyboard.press("ArrowUp");
      await until(() => edits(page), false);
      await installation.close();
    }
  });
});

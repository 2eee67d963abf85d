// What other devices and people change while a page of a person is open.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, password, say, until } from "./support/browser.js";
import { api } from "./support/people.js";

/** The eraser runs once a minute. */
const ERASED_MS = 100_000;

/** A promise, and the function that fulfils it. */
function gate() {
  const gate = {};
  gate.passed = new Promise((open) => (gate.open = open));
  return gate;
}

test("people who change", { timeout: 480_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_ERASE_DAYS: "0" });
  const browser = await browse(t, server);
  const device = await api(t, server, "ann", "Ann");
  const [ben, cem, era] = [await api(t, server, "ben", "Ben"), await api(t, server, "cem", "Cem"), await api(t, server, "era", "Era")];
  await device.updateMe({ bio: "A careful biography" });
  await device.setStatus({ availability: "invisible", text: "Hello" });
  for (const one of [ben, era]) await device.putContact(one.user.id);
  await device.createDirect(era.user.id);
  await device.createGroup({ title: "Crew", member_ids: [ben.user.id] });
  const context = await browser.installation({ reducedMotion: "reduce" });
  const [account, inbox] = [gate(), gate()];
  let asked = 0;
  await context.route(/\/v1\/me$/, async (route) => {
    if (route.request().method() === "GET") {
      if (asked++ === 1) return route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "forbidden" }) });
      await account.passed;
    }
    return route.continue();
  });
  const ann = await browser.tab(context);
  await ann.fill("#username", "ann");
  await ann.fill("#password", password);
  await ann.click("#sign-submit");
  await ann.waitForSelector("#status[data-state=online]");
  const shut = async () => {
    while (await ann.locator("dialog[open]").count()) {
      await ann.keyboard.press("Escape");
      await ann.waitForTimeout(50);
    }
  };
  const active = () => ann.evaluate(() => document.activeElement.dataset.key ?? document.activeElement.tagName);
  const show = async (name) => {
    await ann.keyboard.press("Alt+c");
    await ann.click(`#contacts .person-row:has-text("${name}")`);
    await until(() => ann.textContent("#person-body .hero-title"), name);
  };

  await t.test("the own profile is shown and saved as a whole or not at all", async () => {
    await enter(ann, "Crew");
    await ann.keyboard.press("Alt+a");
    await ann.click("#profile-button");
    await until(() => ann.textContent("#profile-body"), "You are not allowed to do this here.");
    account.open();
    await until(() => ann.inputValue("#own-bio"), "A careful biography");
    assert.equal(await ann.inputValue("#own-availability"), "invisible");
    // What another device stores at that moment stays.
    await ann.fill("#own-name", "Annie");
    await ann.route(/\/v1\/inbox/, (route) => inbox.passed.then(() => route.continue()));
    await device.updateMe({ bio: "Another one" });
    await ann.press("#own-name", "Enter");
    await ann.waitForSelector("#toasts >> text=Saved.");
    const me = await device.getMe();
    assert.deepEqual([me.display_name, me.bio], ["Annie", "Another one"]);
    inbox.open();
    await until(() => ann.inputValue("#own-bio"), "Another one");
    await ann.fill("#own-status", "In the garden");
    await ann.press("#own-status", "Enter");
    await until(async () => (await device.getMe()).status, { availability: "invisible", emoji: null, text: "In the garden", until: null });
    await shut();
  });

  await t.test("a person that is drawn again keeps what is composed and selected", async () => {
    await show("Ben");
    const keyboard = await context.newCDPSession(ann);
    const drawn = async (change) => {
      await ann.evaluate(() => (window.before = document.querySelector("#person-alias")));
      await change();
      await until(() => ann.evaluate(() => window.before.isConnected), false);
    };
    await ann.focus("#person-alias");
    await keyboard.send("Input.imeSetComposition", { text: "ni", selectionStart: 2, selectionEnd: 2 });
    await device.putContact(cem.user.id, { alias: "Cemile" });
    await until(() => ann.locator("#contacts >> text=Cemile").count(), 1);
    await drawn(() => keyboard.send("Input.insertText", { text: "你好" }));
    assert.equal(await ann.inputValue("#person-alias"), "你好");
    await ann.locator("#person-alias").selectText();
    await drawn(() => device.putContact(cem.user.id, { alias: "Cem" }));
    await ann.keyboard.type("X");
    assert.equal(await ann.inputValue("#person-alias"), "X");
    await ann.fill("#person-alias", "");
  });

  await t.test("a profile follows the person, and its end returns the focus to the row", async () => {
    await ben.updateMe({ display_name: "Benjamin", bio: "Builds boats" });
    await device.putContact(ben.user.id, { starred: true });
    await until(() => ann.textContent("#person-body .hero-title"), "Benjamin");
    await until(() => ann.textContent("#person-body .bio"), "Builds boats");
    await ann.keyboard.press("Escape");
    await until(active, `person ${ben.user.id}`);
    await ann.focus(`[data-key="person ${cem.user.id}"]`);
    await ann.keyboard.press("Enter");
    await until(() => ann.textContent("#person-body .hero-title"), "Cem");
    await device.removeContact(cem.user.id);
    await until(() => ann.locator(`[data-key="person ${cem.user.id}"]`).count(), 0);
    await ann.keyboard.press("Escape");
    await until(() => ann.evaluate(() => document.activeElement.closest("dialog")?.id), "contacts-dialog");
  });

  await t.test("what is said is in the dialog on top", async () => {
    const place = (id) => ann.evaluate((id) => document.querySelector(id).parentElement.id, id);
    await ann.fill("#contacts-name", "cem");
    await ann.press("#contacts-name", "Enter");
    await ann.waitForSelector("#toasts >> text=added to your contacts");
    await ann.waitForSelector("#person-dialog[open]");
    assert.deepEqual([await place("#toasts"), await place("#announcer")], ["person-dialog", "person-dialog"]);
    await ann.keyboard.press("Escape");
    await until(() => place("#announcer"), "contacts-dialog");
    await shut();
    await until(() => ann.evaluate(() => document.querySelector("#announcer").parentElement.localName), "body");
  });

  await t.test("the end of an account tells of unsent messages", async () => {
    await ann.route(/\/messages$/, (route) => route.request().method() !== "POST" && route.continue());
    await say(ann, "not sent");
    await ann.waitForSelector("#rows >> text=not sent");
    await ann.keyboard.press("Alt+a");
    for (const what of ["deactivate", "delete"]) {
      await ann.click(`#${what}-button`);
      assert.match(await ann.textContent("#ends-text"), /\. One message has not been sent yet, and will be lost\.$/);
      await ann.click("#ends-dialog [data-close]");
    }
    await shut();
  });

  await t.test("an erased person has no profile, wherever it is open", async () => {
    await enter(ann, "Era");
    await show("Era");
    await ann.waitForSelector("#person-body [data-key=talk]");
    await era.deleteAccount({ password });
    await until(() => ann.textContent("#person-body .hero-title"), "Deleted account", ERASED_MS);
    assert.equal(await ann.locator("#person-body button").count(), 0);
    await until(() => ann.textContent("#chat-title"), "Deleted account");
    await shut();
  });
});

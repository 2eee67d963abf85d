// Groups: the page offers each role its actions, and the other members see their effects.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, say, texts, until } from "./support/browser.js";

test("groups", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const [ann, ben, cato] = await Promise.all(["ann", "ben", "cato"].map((name) => browser.person(name)));

  const member = (page, name) => page.locator(".members li", { has: page.locator(".member-name", { hasText: name }) });
  const names = (page) => page.locator(".members:not(#banned) .member-name").allTextContents();
  const actions = async (page, name) => {
    const button = member(page, name).getByRole("button", { name: `What to do about ${name}` });
    // A single query, because the button may disappear meanwhile.
    const [expanded] = await button.evaluateAll((all) => all.map((one) => one.getAttribute("aria-expanded")));
    if (!expanded) return [];
    if (expanded === "false") await button.click();
    return member(page, name).locator(".actions button").allTextContents();
  };
  const act = async (page, name, action) => {
    await actions(page, name);
    await member(page, name).getByRole("button", { name: action, exact: true }).click();
  };
  const details = async (page) => {
    await page.click("#details-button");
    await page.waitForSelector(".members li");
  };

  await t.test("a group is made, renamed, and grows", async () => {
    await ann.click("#new-button");
    await ann.check("#new-form [value=group]");
    await ann.fill("#group-title", "Crew");
    await ann.fill("#new-people", "ben");
    await ann.click("#new-submit");
    await until(() => ann.textContent("#chat-title"), "Crew");
    await details(ann);
    await ann.fill("#rename", "Night crew");
    await ann.click("text=Rename");
    await until(() => ben.locator("#conversations .title").allTextContents(), ["Night crew"]);
    await ann.fill("#add-people", "cato, dora");
    await ann.click("#details-body >> text=Add >> nth=-1");
    await until(() => ann.textContent("#add-people-error"), "Nobody is called “dora”.");
    await ann.fill("#add-people", "cato");
    await ann.press("#add-people", "Enter");
    await until(() => names(ann), ["Ann (you)", "Ben", "Cato"]);
    await enter(cato, "Night crew");
    await until(() => cato.textContent("#chat-subtitle"), "3 members");
  });

  await t.test("a member sees, and may leave; an owner has all of it", async () => {
    assert.deepEqual(await actions(ann, "Ben"), ["Make admin", "Make owner", "Mute for an hour", "Mute for a day", "Remove", "Ban"]);
    await enter(ben, "Night crew");
    await details(ben);
    await until(() => names(ben), ["Ann (you)", "Ben", "Cato"].map((name) => name.replace(" (you)", "")).map((name) => (name === "Ben" ? "Ben (you)" : name)));
    await until(() => ben.locator(".members li button:not(.named)").count(), 0);
    await until(() => ben.locator("#rename").count(), 0);
    await until(() => ben.isVisible("text=Leave the group"), true);
  });

  await t.test("an admin manages members, and nobody above", async () => {
    await act(ann, "Ben", "Make admin");
    await until(() => ben.locator("#rename").count(), 1);
    await until(() => actions(ben, "Ann"), []);
    await until(() => actions(ben, "Cato"), ["Mute for an hour", "Mute for a day", "Remove", "Ban"]);
  });

  await t.test("an error is shown in the form, though the form was drawn again meanwhile", async () => {
    let answer;
    await ann.route(/\/v1\/conversations\/[^/]+$/, (route) => (route.request().method() === "PATCH" ? (answer = route) : route.continue()));
    await ann.evaluate(() => (document.querySelector("#rename").dataset.drawn = "before"));
    await ann.fill("#rename", "Day crew");
    await ann.press("#rename", "Enter");
    await until(() => Boolean(answer), true);
    await act(ben, "Cato", "Mute for an hour");
    await ann.waitForSelector("#rename:not([data-drawn])");
    await answer.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ code: "forbidden" }) });
    await until(() => ann.textContent("#rename-error"), "You are not allowed to do this here.");
    await until(() => ann.inputValue("#rename"), "Day crew");
    await ann.unroute(/\/v1\/conversations\/[^/]+$/);
  });

  await t.test("a muted member cannot write, and sees when the mute ends", async () => {
    await cato.waitForSelector("#blocked-bar:not([hidden])");
    assert.match(await cato.textContent("#blocked-text"), /^You may not write here until /);
    await until(() => cato.isVisible("#composer"), false);
    await until(() => actions(ann, "Cato"), ["Make admin", "Make owner", "Let write again", "Remove", "Ban"]);
    await act(ann, "Cato", "Let write again");
    await cato.waitForSelector("#composer:not([hidden])");
    await say(cato, "thanks");
    await until(() => texts(ann), ["thanks"]);
  });

  await t.test("a banned person stays out until the ban is ended and they are added", async () => {
    await act(ann, "Cato", "Ban");
    await until(() => ann.textContent("#confirm-text"), "Cato will not see anything of this group any more, and nobody can add them again.");
    await ann.click("#confirm-yes");
    await until(() => cato.locator("#conversations li").count(), 0);
    for (const page of [ann, ben]) await until(() => names(page).then((all) => all.length), 2);
    await until(() => ann.locator("#banned .member-name").allTextContents(), ["Cato"]);
    await ann.fill("#add-people", "cato");
    await ann.press("#add-people", "Enter");
    await until(() => ann.textContent("#add-people-error"), "You are not allowed to do this here.");
    await ann.getByRole("button", { name: "Lift the ban of Cato" }).click();
    await until(() => ann.locator("#banned").count(), 0);
    await ann.press("#add-people", "Enter");
    await enter(cato, "Night crew");
    await until(() => names(ann).then((all) => all.length), 3);
  });

  await t.test("the group is handed over", async () => {
    await act(ann, "Cato", "Make owner");
    await ann.click("#confirm-yes");
    await until(() => member(ann, "Cato").locator(".role").allTextContents(), ["Owner"]);
    await until(() => actions(ann, "Cato"), []);
    await details(cato);
    await until(() => actions(cato, "Ann").then((all) => all.includes("Make owner")), true);
  });

  await t.test("who is removed or leaves is out", async () => {
    await act(cato, "Ben", "Remove");
    await cato.click("#confirm-yes");
    await until(() => ben.locator("#conversations li").count(), 0);
    await until(() => ben.isVisible("#chat"), false);
    await until(() => ben.locator("dialog[open]").count(), 0);
    await ann.click("text=Leave the group");
    await ann.click("#confirm-yes");
    await until(() => ann.locator("#conversations li").count(), 0);
    await until(() => names(cato), ["Cato (you)"]);
  });
});

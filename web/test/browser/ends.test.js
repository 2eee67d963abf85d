// The username, and the end of an account.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, password, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;

test("the end of an account", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { reducedMotion: "reduce" });
  const ben = await api(t, server, "ben", "Ben");
  const logIn = async (name) => {
    await ann.fill("#username", name);
    await ann.fill("#password", password);
    await ann.click("#sign-submit");
    await ann.waitForSelector("#status[data-state=online]");
    // The page has opened: from now on it closes no dialog.
    await until(() => ann.evaluate(() => ["new-button", "text"].includes(document.activeElement.id)), true);
  };

  await t.test("the username changes once", async () => {
    await ann.click("#account-button");
    await ann.fill("#own-username", "ben");
    await ann.press("#own-username", "Enter");
    await until(() => ann.textContent("#username-form-error"), "This username is taken or reserved.");
    await ann.fill("#own-username", "annabel");
    await ann.press("#own-username", "Enter");
    await ann.waitForSelector("#toasts >> text=Saved.");
    await until(() => ann.textContent("#account-body .hero .soft"), "@annabel");
    assert.equal(await ben.findUser("ann"), null);
    await ann.fill("#own-username", "anna");
    await ann.press("#own-username", "Enter");
    await until(async () => /^(You can change it again|It was changed less than)/.test(await ann.textContent("#username-form-error")), true);
    await ann.locator("#delete-button").scrollIntoViewIfNeeded();
    await ann.screenshot({ path: `${SCREENS}account-end.png` });
  });

  await t.test("an account is deactivated, and comes back with a login", async () => {
    const { id } = await ben.findUser("annabel");
    await ann.click("#deactivate-button");
    await ann.fill("#ends-password", "wrong horse");
    await ann.press("#ends-password", "Enter");
    await until(() => ann.textContent("#ends-error"), "The password is wrong.");
    const colour = (id) => ann.evaluate((id) => getComputedStyle(document.querySelector(id)).color, id);
    assert.equal(await colour("#ends-error"), await colour("#username-form-error"));
    await ann.fill("#ends-password", password);
    await ann.click("#ends-yes");
    await until(() => ann.textContent("#welcome-notice"), "Your account is deactivated. Log in to use it again.");
    await assert.rejects(ben.createDirect(id), { code: "not_accepted" });
    await logIn("annabel");
    assert.equal((await ben.createDirect(id)).kind, "direct");
  });

  await t.test("an account is deleted at a date, and a login calls it off", async () => {
    await ann.click("#account-button");
    await ann.click("#delete-button");
    assert.match(await ann.textContent("#ends-text"), /log in before that to keep it/);
    await ann.screenshot({ path: `${SCREENS}account-delete.png` });
    await ann.fill("#ends-password", password);
    await ann.click("#ends-yes");
    const year = new Date(Date.now() + 14 * 86_400_000).getFullYear();
    await until(async () => new RegExp(`^Your account will be erased on .*${year}.*\\. Log in before then to keep it\\.$`).test(await ann.textContent("#welcome-notice")), true);
    assert.equal(await ann.evaluate(() => JSON.stringify(localStorage).includes("annabel")), false);
    await logIn("annabel");
    await until(() => ann.locator("#conversations .title").allTextContents(), ["Ben"]);
  });
});

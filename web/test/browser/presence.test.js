// Who is online, as others see it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;
/** A change ends a wait 15 seconds after its begin at the latest, and the server changes a state every 10 seconds at most. */
const PATIENCE_MS = 45_000;

test("presence", { timeout: 480_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_PRIVACY: "last_seen=everyone" });
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { reducedMotion: "reduce" });
  const ben = await browser.person("ben", { reducedMotion: "reduce" });
  const cem = await api(t, server, "cem", "Cem");
  const [me, him] = [await cem.findUser("ann"), await cem.findUser("ben")];
  await Promise.all([cem.createDirect(me.id), cem.createDirect(him.id)]);
  const row = (page, title) => page.locator("#conversations li", { has: page.locator(".title", { hasText: title }) });
  const dot = async (page, title) => {
    const found = row(page, title).locator(".presence-dot");
    return (await found.count()) > 0 ? found.getAttribute("data-state") : null;
  };
  const present = async (page, at = "#chat-subtitle") => ((await page.locator(`${at} .present`).count()) > 0 ? page.textContent(`${at} .present`) : null);
  const availability = async (page, value) => {
    await page.click("#account-button");
    await page.click("#profile-button");
    await page.selectOption("#own-availability", value);
    await page.click("[data-key=own-status-form-go]");
    await page.waitForSelector("#toasts >> text=Saved.");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await until(() => page.locator("dialog[open]").count(), 0);
  };
  const shots = async (page, name) => {
    const { width } = page.viewportSize();
    for (const theme of ["light", "dark"]) {
      await page.evaluate((theme) => (document.documentElement.dataset.theme = theme), theme);
      await page.screenshot({ path: `${SCREENS}presence-${name}-${width}-${theme}.png` });
    }
    await page.evaluate(() => (document.documentElement.dataset.theme = "light"));
  };

  await t.test("a dot shows who is online, and a screen reader says it", async () => {
    await ann.click("#contacts-button");
    for (const name of ["ben", "cem"]) {
      await ann.fill("#contacts-name", name);
      await ann.press("#contacts-name", "Enter");
      await ann.waitForSelector("#person-dialog[open]");
      await ann.keyboard.press("Escape");
    }
    const contact = (name) => ann.locator("#contacts li", { has: ann.locator("bdi.name", { hasText: name }) });
    await until(() => contact("Ben").locator(".presence-dot").count(), 1, PATIENCE_MS);
    assert.equal(await contact("Ben").locator(".member-name").textContent(), "Ben online");
    assert.equal(await contact("Cem").locator(".presence-dot").count(), 0);
    assert.equal(await contact("Cem").locator(".member-name").textContent(), "Cem");
    await shots(ann, "contacts");
    await contact("Ben").locator(".person-row").click();
    await until(() => present(ann, "#person-body"), "online");
    assert.equal(await ann.locator("#person-body .presence-dot").getAttribute("data-state"), "online");
    await shots(ann, "person");
    await ann.click("#person-body >> text=Message");
    await ann.waitForSelector("#chat:not([hidden])");
    await until(() => dot(ann, "Ben"), "online");
    assert.equal(await dot(ann, "Cem"), null);
    assert.match(await row(ann, "Ben").locator("a").textContent(), /^B?B?Ben online/);
    assert.equal(await present(ann), "online");
    assert.equal(await present(ben), null, "nothing is open there");
    await until(() => dot(ben, "Ann"), "online", PATIENCE_MS);
    await shots(ann, "online");
  });

  await t.test("who is busy or away is shown so, in another form", async () => {
    await availability(ben, "busy");
    await until(() => dot(ann, "Ben"), "busy", PATIENCE_MS);
    assert.equal(await present(ann), "busy");
    await shots(ann, "busy");
    await cem.start();
    cem.setActivity("idle");
    await until(() => dot(ann, "Cem"), "away", PATIENCE_MS);
    await shots(ann, "away");
    await ann.setViewportSize({ width: 390, height: 780 });
    await shots(ann, "chat");
    await ann.click(".back");
    await shots(ann, "list");
    await ann.emulateMedia({ forcedColors: "active" });
    await ann.screenshot({ path: `${SCREENS}presence-list-forced.png` });
    await ann.emulateMedia({ forcedColors: "none" });
    await ann.setViewportSize({ width: 1280, height: 800 });
    await enter(ann, "Ben");
  });

  await t.test("who is invisible seems offline, and sees others", async () => {
    await availability(ben, "invisible");
    await until(() => dot(ann, "Ben"), null, PATIENCE_MS);
    assert.match(await present(ann), /^(offline|last seen )/);
    assert.equal(await dot(ben, "Ann"), "online");
    await availability(ben, "auto");
    await until(() => dot(ann, "Ben"), "online", PATIENCE_MS);
  });

  await t.test("who has logged out was last seen just now", async () => {
    await ben.click("#account-button");
    await ben.click("#account-body >> text=Log out >> nth=-1");
    await ben.click("#confirm-yes");
    await ben.waitForSelector("#welcome:not([hidden])");
    const seen = async (at) => /^last seen (this minute|1 minute ago)$/.test(await present(ann, at));
    await until(() => seen(), true, PATIENCE_MS);
    assert.equal(await dot(ann, "Ben"), null);
    await shots(ann, "seen");
    await ann.click("#details-button");
    await ann.click("#details-body >> text=Profile");
    await until(() => seen("#person-body"), true);
    await ann.setViewportSize({ width: 390, height: 780 });
    await shots(ann, "person");
    for (let n = 0; n < 2; n++) await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
    await shots(ann, "seen");
    await ann.setViewportSize({ width: 1280, height: 800 });
  });

  await t.test("a block hides both", async () => {
    await until(() => dot(ann, "Cem"), "away");
    await enter(ann, "Cem");
    await until(() => present(ann), "away");
    await cem.blockUser(me.id);
    await until(() => dot(ann, "Cem"), null, PATIENCE_MS);
    assert.equal(await present(ann), null);
  });

  await t.test("who hides the page or does nothing is away", async () => {
    const waits = [];
    const context = await browser.installation({ reducedMotion: "reduce" });
    await context.clock.install();
    context.on("request", (request) => request.url().includes("/v1/notices") && waits.push(new URL(request.url()).searchParams.get("activity")));
    const dan = await browser.tab(context);
    await dan.click("#swap");
    for (const [id, value] of [["username", "dan"], ["password", "correct horse"]]) await dan.fill(`#${id}`, value);
    await dan.click("#sign-submit");
    await until(() => waits.at(-1), "active");
    const look = (state) =>
      dan.evaluate((state) => {
        Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, state);
    await look("hidden");
    await dan.clock.fastForward(30_000);
    await until(() => waits.at(-1), "active");
    await dan.clock.fastForward(45_000);
    await until(() => waits.at(-1), "idle");
    await look("visible");
    await until(() => waits.at(-1), "active");
    await dan.clock.fastForward(320_000);
    await until(() => waits.at(-1), "idle");
    await dan.mouse.move(100, 100);
    await until(() => waits.at(-1), "active");
  });
});

// The search for messages: in all conversations beside the list, and in the open one.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, password, until } from "./support/browser.js";
import { api, sendMany } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TEXTS = { 40: "meet me at half past nine", 41: "nine is past, half of us are there", 250: "我家在上海东边。", 300: "the old lighthouse", 599: "to the lighthouse, says Ben" };

/** A picture that a page has drawn. */
async function drawing(page) {
  const url = await page.evaluate(() => Object.assign(document.createElement("canvas"), { width: 300, height: 200 }).toDataURL("image/png"));
  return Buffer.from(url.split(",")[1], "base64");
}

test("search", { timeout: 300_000 }, async (t) => {
  await mkdir(SCREENS, { recursive: true });
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const [ben, cem] = [await api(t, server, "ben", "Ben"), await api(t, server, "cem", "Cem")];
  const me = await ben.findUser("ann");
  const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id] });
  await sendMany(ben, server, crew.id, 600, (n) => TEXTS[n] ?? `message ${n}`);
  const direct = await cem.createDirect(me.id);
  await cem.send(direct.id, "a lighthouse at https://tides.example/tower");
  await cem.send(direct.id, { kind: "file", content: { url: "https://files.example/lighthouse.pdf", name: "lighthouse plan.pdf", mime: "application/pdf", size: 48_231 } });
  const picture = cem.uploads.add(await drawing(ann), { name: "night.png", mime: "image/png" });
  await cem.send(direct.id, { kind: "image", upload: picture.id, content: { alt: "The lighthouse by night" } });
  await until(() => ann.locator("#conversations li").count(), 2);

  const found = (page = ann, name = "find") => page.locator(`#${name}-results .mentioned-text`).allTextContents();
  const marks = (page = ann, name = "find") => page.locator(`#${name}-results mark`).allTextContents();
  const status = (page = ann, name = "find") => page.textContent(`#${name}-status`);
  const focused = (page = ann) => page.evaluate(() => document.activeElement.id || document.activeElement.className);
  const accessible = async (page, screen) => {
    await page.screenshot({ path: `${SCREENS}search-${screen}.png` });
    const { violations } = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
    assert.deepEqual(violations.map(({ id, nodes }) => `${screen}: ${id} at ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`), []);
  };
  const narrow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

  await t.test("the field beside the list finds titles, then messages", async () => {
    await until(() => ann.getAttribute("#filter", "placeholder"), "Search");
    await ann.getByLabel("Search conversations and messages").fill("上海");
    await until(() => found(), ["Ben: 我家在上海东边。"]);
    assert.deepEqual(await marks(), ["上海"]);
    assert.equal(await status(), "1 found");
    await until(() => ann.locator("#conversations li").count(), 0);
    await ann.fill("#filter", '"half past nine"');
    await until(() => found(), ["Ben: meet me at half past nine"]);
    await ann.fill("#filter", "cem");
    await until(() => ann.locator("#conversations .title").allTextContents(), ["Cem"]);
    await until(() => status(), "No message found.");
    await ann.fill("#filter", "lighthouse");
    await until(() => found(), ["Picture: The lighthouse by night", "File: lighthouse plan.pdf", "a lighthouse at https://tides.example/tower", "Ben: to the lighthouse, says Ben", "Ben: the old lighthouse"]);
    assert.deepEqual(await ann.locator("#find-results .member-name").allTextContents(), ["Cem", "Cem", "Cem", "Crew", "Crew"]);
    await accessible(ann, "wide");
  });

  await t.test("a result opens its message in the middle of a long history, with the words marked", async () => {
    await ann.click("#find-results .found-row >> nth=4");
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["the old lighthouse"]);
    assert.deepEqual(await ann.locator("#rows mark").allTextContents(), ["lighthouse"]);
    const shown = () => ann.locator("#rows .row").evaluateAll((rows) => rows.map((row) => Number(row.dataset.seq)));
    const seqs = await until(async () => (await shown()).filter((seq) => seq >= 285 && seq <= 315).length, 31).then(shown);
    assert.deepEqual(seqs, seqs.map((_, n) => seqs[0] + n), "no gap");
    await until(() => ann.evaluate(() => {
      const [row, log] = [document.querySelector(".row.marked"), document.querySelector("#log")].map((node) => node.getBoundingClientRect());
      return row.top > log.top && row.bottom < log.bottom;
    }), true);
    await accessible(ann, "jumped");
    // Both directions go on.
    await ann.locator("#log").evaluate((log) => (log.scrollTop = 0));
    await until(async () => (await shown())[0] < 240, true);
    await ann.locator("#log").evaluate((log) => (log.scrollTop = log.scrollHeight));
    await until(async () => (await shown()).at(-1) > 340, true);
    await until(() => ann.locator("#rows mark, .row.marked").count(), 0);
    // The results are still there; the next one is in the same conversation.
    await ann.click("#find-results .found-row >> nth=3");
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["to the lighthouse, says Ben"]);
  });

  await t.test("messages that are edited or recalled meanwhile", async () => {
    await ben.edit(crew.id, 599, { version: 1, content: { text: "here, too: lighthouse" } });
    await until(async () => [(await found())[3], (await marks())[3], await ann.locator("#find-results .found-row >> nth=3").locator(".soft").textContent()], ["Ben: here, too: lighthouse", "lighthouse", "edited"]);
    await ben.edit(crew.id, 599, { version: 2, content: { text: "a windmill" } });
    await until(async () => (await found()).length, 4);
    await ann.focus("#find-results .found-row >> nth=3");
    await ben.recall(crew.id, 300);
    await until(() => found(), ["Picture: The lighthouse by night", "File: lighthouse plan.pdf", "a lighthouse at https://tides.example/tower"]);
    await until(() => status(), "3 found");
    assert.equal(await ann.evaluate(() => document.activeElement.closest("#find-results") !== null), true);
  });

  await t.test("filters by person, kind and time", async () => {
    await ann.click("#find-filter");
    await until(() => focused(), "find-person");
    await ann.fill("#find-person", "cem");
    await ann.press("#find-person", "Enter");
    await ann.waitForSelector('#find-chips >> text="By Cem"');
    const kinds = [["media", 1], ["text", 1], ["links", 1], ["files", 1], ["", 3]];
    for (const [kind, count] of kinds) {
      await ann.selectOption("#find-kind", kind);
      await until(async () => (await found()).length, count);
    }
    await ann.selectOption("#find-kind", "links");
    await until(() => ann.locator("#find-chips .chip").allTextContents(), ["By Cem", "Links"]);
    const day = (later) => new Date(Date.now() + later * 86_400_000 - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
    await ann.fill("#find-from", day(0));
    await ann.fill("#find-to", day(0));
    await until(() => status(), "1 found");
    await accessible(ann, "filters");
    await ann.fill("#find-to", day(-1));
    await until(() => status(), "The first day must not be after the last one.");
    await ann.fill("#find-from", day(-2));
    await until(() => status(), "No message found.");
    // A removed filter leaves the focus at the next one.
    for (const name of ["Links", /^From/, /^To/]) await ann.getByRole("button", { name: typeof name === "string" ? `Remove the filter “${name}”` : new RegExp(`Remove the filter “${name.source.slice(1)}`) }).click();
    await until(async () => (await found()).length, 3);
    assert.equal(await focused(), "chip");
    // Without words, too.
    await ann.fill("#filter", "");
    await until(async () => (await found()).length, 3);
    await until(() => ann.locator("#conversations li").count(), 0);
    await ann.fill("#find-person", "nobody-here");
    await ann.press("#find-person", "Enter");
    await until(() => ann.textContent("#find-person-error"), "Nobody is called “nobody-here”.");
    await ann.focus("#filter");
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("#conversations li").count(), 2);
    assert.equal(await ann.isVisible("#find-pane"), false);
    assert.equal(await ann.isVisible("#find-filters"), false);
    assert.equal(await ann.locator("#find-chips .chip").count(), 0);
  });

  await t.test("in the open conversation", async () => {
    await enter(ann, "Crew");
    await ann.focus("#text");
    await ann.keyboard.press("Alt+f");
    await until(() => focused(), "here-input");
    await ann.keyboard.type("message 12");
    await until(async () => [(await found(ann, "here"))[0], await status(ann, "here")], ["message 129", "11 found"]);
    await accessible(ann, "here");
    await ann.keyboard.press("ArrowDown");
    await ann.keyboard.press("ArrowDown");
    await ann.keyboard.press("Enter");
    await until(() => ann.locator(".row.marked .text").allTextContents(), ["message 128"]);
    assert.deepEqual(await ann.locator(".row.marked mark").allTextContents(), ["message", "128"].map((word, n) => (n ? "12" : word)));
    assert.equal(await focused(), "round row-menu");
    // There is room for both: the focus goes back and forth.
    await ann.keyboard.press("Alt+f");
    await until(() => ann.evaluate(() => document.activeElement.textContent.includes("message 128")), true);
    await ann.keyboard.press("Escape");
    await until(() => ann.isVisible("#here"), false);
    assert.equal(await ann.isVisible("#chat"), true);
    // In one conversation, a time suffices.
    await ann.click("#here-button");
    await ann.click("#here-filter");
    await ann.fill("#here-from", "2020-01-01");
    await until(async () => (await found(ann, "here")).length >= 20, true);
    assert.equal(await status(ann, "here").then((text) => /^\d+ found so far$/.test(text)), true);
    await enter(ann, "Cem");
    await until(() => ann.isVisible("#here"), false);
    assert.equal(await ann.inputValue("#here-input"), "");
    assert.equal((await found(ann, "here")).length, 0);
  });

  await t.test("more comes on scrolling, and by the button", async () => {
    await ann.fill("#filter", "message");
    await until(async () => (await found()).length >= 20, true);
    assert.match(await status(), /^\d+ found so far$/);
    for (let n = 0; n < 3; n++) {
      const before = (await found()).length;
      await ann.locator("#find-results li").last().scrollIntoViewIfNeeded();
      await until(async () => (await found()).length > before, true);
    }
    const all = await found();
    assert.equal(new Set(all).size, all.length);
    await ann.fill("#filter", "");
  });

  await t.test("the keyboard alone", async () => {
    await ann.goto(`${server.url}/#/`);
    await ann.keyboard.press("Alt+s");
    await until(() => focused(), "filter");
    await ann.keyboard.type("ce");
    await until(async () => [await ann.locator("#conversations li").count(), await status()], [1, "No message found."]);
    await ann.keyboard.press("Escape");
    await ann.keyboard.type("上海");
    await until(async () => (await found()).length, 1);
    await ann.keyboard.press("ArrowDown");
    assert.match(await focused(), /found-row/);
    await ann.keyboard.press("ArrowUp");
    assert.equal(await focused(), "filter");
    await ann.keyboard.press("ArrowDown");
    await ann.keyboard.press("Enter");
    await until(() => ann.locator(".row.marked mark").allTextContents(), ["上海"]);
    assert.equal(await focused(), "round row-menu");
    // Back to the result, and to the list.
    await ann.keyboard.press("Escape");
    await until(() => ann.isVisible("#no-chat"), true);
    assert.match(await focused(), /found-row/);
    await ann.keyboard.press("Escape");
    assert.equal(await focused(), "filter");
    await until(() => ann.locator("#conversations li").count(), 2);
  });

  await t.test("no search while an input method composes", async () => {
    const asked = [];
    const listen = (request) => request.url().includes("/v1/search/messages") && asked.push(new URL(request.url()).searchParams.get("q"));
    ann.on("request", listen);
    await ann.evaluate(() => {
      const input = document.querySelector("#filter");
      input.value = "shang";
      input.dispatchEvent(new InputEvent("input", { isComposing: true, bubbles: true }));
    });
    await ann.waitForTimeout(600);
    await ann.evaluate(() => {
      const input = document.querySelector("#filter");
      input.value = "上海";
      input.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true }));
    });
    await until(async () => (await found()).length, 1);
    ann.off("request", listen);
    assert.deepEqual(asked, ["上海"]);
    await ann.fill("#filter", "");
  });

  await t.test("an earlier answer never replaces a later one, and a busy server is asked again", async () => {
    const held = Promise.withResolvers?.() ?? {};
    held.promise ??= new Promise((resolve) => (held.resolve = resolve));
    await ann.route(/\/v1\/search\/messages.*q=half/, async (route) => {
      await held.promise;
      await route.continue().catch(() => {});
    });
    await ann.fill("#filter", "half");
    await until(() => status(), "Loading…");
    await ann.fill("#filter", "上海");
    await until(() => found(), ["Ben: 我家在上海东边。"]);
    held.resolve();
    await ann.waitForTimeout(500);
    assert.deepEqual(await found(), ["Ben: 我家在上海东边。"]);
    let refused = 0;
    await ann.route(/\/v1\/search\/messages.*q=windmill/, (route) => {
      // The SDK repeats it three times by itself.
      if (refused++ > 3) return route.continue();
      return route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ code: "overloaded", status: 503, detail: "busy", retry_after_ms: 0 }) });
    });
    await ann.fill("#filter", "windmill");
    await until(() => status(), "The server is busy. The search goes on in a moment.");
    await until(() => found(), ["Ben: a windmill"]);
    await ann.fill("#filter", "?!");
    await until(() => status(), "Please give at least one word, and at most ten.");
    assert.deepEqual(await found(), []);
    await ann.fill("#filter", "");
  });

  await t.test("an empty page that is not complete goes on by itself, and says so", async () => {
    let pages = 0;
    await ann.route(/\/v1\/search\/messages.*q=rare/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await route.fulfill({ json: { results: [], next_cursor: `c${++pages}`, complete: false } });
    });
    await ann.fill("#filter", "rare");
    await until(() => status(), "Still looking, in older messages…");
    await until(() => status(), "No message found so far.");
    assert.equal(pages, 10);
    await ann.click("#find-more");
    await until(() => status(), "No message found so far.");
    await until(() => pages, 20);
    await ann.fill("#filter", "");
  });

  for (const width of [390, 320]) {
    await t.test(`a phone of ${width} pixels`, async () => {
      const phone = await browser.returning("ann", { viewport: { width, height: 700 }, colorScheme: width === 320 ? "dark" : "light", locale: width === 320 ? "zh-CN" : "en-GB", reducedMotion: "reduce" });
      await phone.waitForSelector("#find-filter:not([hidden])");
      await phone.fill("#filter", "lighthouse");
      await until(async () => (await found(phone)).length, 3);
      await accessible(phone, `${width}`);
      await phone.click("#find-filter");
      await phone.fill("#find-from", "2020-01-01");
      await phone.selectOption("#find-kind", "text");
      await until(async () => (await found(phone)).length, 1);
      assert.equal(await narrow(phone), 0);
      await accessible(phone, `${width}-filters`);
      await phone.click("#find-results .found-row");
      await until(() => phone.locator(".row.marked .text").allTextContents(), ["a lighthouse at https://tides.example/tower"]);
      assert.deepEqual(await phone.locator(".row.marked mark").allTextContents(), ["lighthouse"]);
      await phone.screenshot({ path: `${SCREENS}search-${width}-jumped.png` });
      await phone.click(".chat .back");
      await until(() => focused(phone).then((name) => name.includes("found-row")), true);
      await phone.focus("#filter");
      await phone.keyboard.press("Escape");
      await enter(phone, "Crew");
      // What is behind the search is not read.
      const unread = async () => Number((await phone.title()).match(/^\((\d+)\)/)?.[1] ?? 0);
      if (await phone.isVisible("#jump")) await phone.click("#jump");
      await until(() => phone.isVisible("#jump"), false);
      await until(() => phone.locator("#rows .row .text", { hasText: "message 600" }).count(), 1);
      await phone.waitForTimeout(500);
      const before = await unread();
      await phone.click("#here-button");
      await ben.send(crew.id, `to be read later, at ${width}`);
      await until(unread, before + 1);
      await phone.waitForTimeout(500);
      assert.equal(await unread(), before + 1);
      await phone.keyboard.press("Escape");
      await until(unread, before);
      await phone.click("#here-button");
      await phone.fill("#here-input", "上海");
      await until(async () => (await marks(phone, "here")).length, 1);
      assert.equal(await narrow(phone), 0);
      await accessible(phone, `${width}-here`);
      await phone.click("#here-results .found-row");
      await until(() => phone.isVisible("#here"), false);
      await until(() => phone.locator(".row.marked mark").allTextContents(), ["上海"]);
      await phone.click("#here-button");
      await until(() => focused(phone).then((name) => name.includes("found-row")), true);
      await phone.keyboard.press("Escape");
      await until(() => phone.isVisible("#here"), false);
      assert.equal(await focused(phone), "here-button");
      await phone.context().close();
    });
  }

  await t.test("many titles that fit leave room for the messages", async () => {
    for (let n = 1; n <= 7; n++) await ben.createGroup({ title: `Windmill ${n}`, member_ids: [me.id] });
    await until(() => ann.locator("#conversations li").count(), 9);
    await ann.fill("#filter", "windmill");
    await until(async () => [await ann.locator("#conversations li").count(), await found()], [5, ["Ben: a windmill"]]);
    await ann.click("text=Show 2 more");
    await until(() => ann.locator("#conversations li").count(), 7);
    assert.equal(await ann.evaluate(() => document.activeElement.querySelector(".title")?.textContent), "Windmill 2");
    await ann.keyboard.press("Escape");
    await until(() => focused(), "filter");
    await until(() => ann.locator("#conversations li").count(), 9);
  });

  await t.test("between the list and the search of a conversation where one covers the other", async () => {
    await ann.setViewportSize({ width: 1000, height: 700 });
    await enter(ann, "Crew");
    await ann.click("#here-button");
    assert.equal(await ann.isVisible("#chat"), false);
    await ann.fill("#filter", "上海");
    await ann.click("#find-results .found-row");
    await until(() => ann.locator(".row.marked mark").allTextContents(), ["上海"]);
    assert.equal(await ann.isVisible("#chat"), true);
    await ann.fill("#filter", "");
    await ann.setViewportSize({ width: 1280, height: 800 });
  });

  await t.test("Enter searches again for the same words", async () => {
    await ann.fill("#filter", "sailmaker");
    await until(() => status(), "No message found.");
    await ben.send(crew.id, "the old sailmaker");
    await ann.press("#filter", "Enter");
    await until(() => found(), ["Ben: the old sailmaker"]);
    await ann.fill("#filter", "");
  });

  await t.test("the keys of an input method are its own in the field of a person", async () => {
    await ann.click("#find-filter");
    const key = (name) => ann.locator("#find-person").evaluate((field, key) => field.dispatchEvent(new KeyboardEvent("keydown", { key, isComposing: true, bubbles: true, cancelable: true })), name);
    await ann.fill("#find-person", "安");
    await key("Enter");
    await key("Escape");
    assert.equal(await ann.isVisible("#find-person"), true);
    await ann.waitForTimeout(500);
    assert.equal(await ann.isVisible("#find-person-error"), false);
    await ann.press("#find-person", "Escape");
    assert.equal(await ann.isVisible("#find-person"), false);
  });

  await t.test("a logout leaves nothing of it", async () => {
    await enter(ann, "Crew");
    await ann.click("#here-button");
    await ann.fill("#here-input", "windmill");
    await until(async () => (await found(ann, "here")).length, 1);
    await ann.fill("#filter", "lighthouse");
    await ann.click("#find-filter");
    await ann.selectOption("#find-kind", "text");
    await ann.fill("#find-person", "cem");
    await ann.press("#find-person", "Enter");
    await until(async () => (await found()).length, 1);
    await ann.click("#account-button");
    await ann.click("#account-body >> text=Log out >> nth=-1");
    await ann.click("#confirm-yes");
    await until(() => ann.isVisible("#welcome"), true);
    assert.equal(await ann.evaluate(() => document.body.textContent.match(/lighthouse|windmill|Cem|tower/g)), null);
    assert.equal(await ann.evaluate(() => [...document.querySelectorAll("[id^=find-], [id^=here-], #filter")].map(({ value }) => value ?? "").join("")), "");
    await ann.fill("#username", "ann");
    await ann.fill("#password", password);
    await ann.click("#sign-submit");
    await until(() => ann.locator("#conversations li").count(), 9);
    assert.equal(await ann.isVisible("#find-pane"), false);
    assert.equal(await ann.isVisible("#here"), false);
  });
});

test("a server without search", { timeout: 120_000 }, async (t) => {
  const server = await serve(t, { TIDELINE_SEARCH: "off" });
  const browser = await browse(t, server);
  const ann = await browser.person("ann");
  const ben = await api(t, server, "ben", "Ben");
  const direct = await ben.createDirect((await ben.findUser("ann")).id);
  await ben.send(direct.id, "a lighthouse");
  const asked = [];
  ann.on("request", (request) => request.url().includes("/v1/search/messages") && asked.push(request.url()));
  await enter(ann, "Ben");
  await ann.fill("#filter", "lighthouse");
  await until(() => ann.textContent("#list-empty"), "Nothing by this name.");
  for (const part of ["#find-pane", "#find-filter", "#here-button"]) assert.equal(await ann.isVisible(part), false, part);
  await ann.keyboard.press("Alt+f");
  assert.equal(await ann.isVisible("#here"), false);
  assert.equal(await ann.getAttribute("#filter", "placeholder"), "Find a conversation");
  await ann.fill("#filter", "ben");
  await until(() => ann.locator("#conversations li").count(), 1);
  assert.deepEqual(asked, []);
});

// Content of other people is text: it runs no script, loads nothing that is not shown, and breaks no layout.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const HOSTILE = [
  `<script>window.hacked = 1</script>`,
  `<img src=x onerror="window.hacked = 2">`,
  `"><svg onload=window.hacked=3>`,
  `javascript:window.hacked=4`,
  `[link](javascript:window.hacked=5) data:text/html,<script>window.hacked=6</script>`,
  `https://good.example/\u202Egpj.exe`,
  `\u202Eright to left\u202C, \u2066isolated, never closed`,
  `{{constructor.constructor("window.hacked = 7")()}}`,
  "w".repeat(2_000),
  "🌊".repeat(500),
  "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘".repeat(40),
  "line\n".repeat(60).trim(),
];

test("hostile words", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const eve = await api(t, server, "eve", `<b onmouseover=alert(1)>Eve</b>\u202B`);
  for (const width of [1280, 360]) {
    await t.test(`stay words at ${width} pixels`, async () => {
      const username = `ann${width}`;
      const ann = await browser.person(username, { viewport: { width, height: 740 } });
      const asked = [];
      await ann.context().route(/example/, (route) => {
        asked.push(route.request());
        return route.fulfill({ contentType: "image/png", body: PIXEL });
      });
      const group = await eve.createGroup({ title: `<i>Group</i>\u202B${width}`, member_ids: [(await eve.findUser(username)).id] });
      const send = (kind, content) => eve.send(group.id, { kind, content });
      for (const text of HOSTILE) await eve.send(group.id, text);
      await send("emoji", { emoji: "<b>hi</b>" });
      await send("image", { url: "https://pictures.example/a.png", mime: "image/png", size: 1, width: 1, height: 100_000 });
      await send("file", { url: "https://files.example/x", name: `<u>\u202Egpj.exe`, mime: "text/html", size: 1 });
      await send("custom", { html: "<script>window.hacked = 8</script>", text: 5 });

      // In a search, too, where the words of the person are marked.
      await ann.waitForSelector("#find-filter:not([hidden])");
      for (const [words, shown] of [["hacked", HOSTILE[0]], ["gpj", "File: <u>gpj.exe"], ["wwww", "www…"]]) {
        await ann.fill("#filter", words);
        await until(async () => (await ann.locator("#find-results .mentioned-text").allTextContents()).some((text) => text.endsWith(shown)), true);
        await until(() => ann.locator("#find-results :is(script, img:not(.avatar img), b, i, u, svg[onload])").count(), 0);
        assert.equal(await ann.evaluate(() => document.querySelector("#list-nav").scrollWidth - document.querySelector("#list-nav").clientWidth), 0);
      }
      await ann.fill("#filter", "");
      await enter(ann, "<i>Group</i>");
      await until(async () => (await texts(ann)).slice(0, HOSTILE.length), HOSTILE);
      assert.equal(await ann.evaluate(() => window.hacked), undefined);
      await until(() => ann.locator("#rows :is(script, b, i, u, svg[onload], [onerror], [onmouseover])").count(), 0);
      const links = await ann.locator("#rows a").evaluateAll((all) => all.map(({ protocol, rel, target, referrerPolicy }) => ({ protocol, rel, target, referrerPolicy })));
      assert.ok(links.length >= 3);
      for (const link of links) assert.deepEqual(link, { protocol: "https:", rel: "noopener noreferrer", target: "_blank", referrerPolicy: "no-referrer" });
      await until(() => ann.textContent(".file-name"), "<u>gpj.exe");
      await until(() => ann.textContent("#chat-title"), `<i>Group</i>${width}`);
      assert.match(await ann.textContent(".unshown >> nth=-1"), /cannot show/);

      // Images of untrusted hosts are fetched only on request.
      await ann.click("#jump");
      await ann.waitForSelector(".unloaded >> nth=-1");
      assert.equal(asked.length, 0);
      await ann.click(".unloaded button");
      await until(() => asked.length, 1);
      assert.equal(asked[0].url(), "https://pictures.example/a.png");
      assert.equal((await asked[0].allHeaders()).referer, undefined);
      const overflow = await ann.evaluate(() => document.documentElement.scrollWidth - innerWidth + document.querySelector("#log").scrollWidth - document.querySelector("#log").clientWidth);
      assert.equal(overflow, 0, "nothing is wider than the page");
      const outside = await ann.locator("#rows .bubble").evaluateAll((all) => all.filter((one) => one.getBoundingClientRect().right > innerWidth || one.getBoundingClientRect().left < 0).length);
      assert.equal(outside, 0);
      await ann.context().close();
    });
  }

  await t.test("an address typed into the dialog must be one of the web", async () => {
    const ann = await browser.returning("ann1280");
    await ann.context().route(/example/, (route) => (route.request().url().endsWith("png") ? route.fulfill({ contentType: "image/png", body: PIXEL }) : route.abort()));
    await enter(ann, "<i>Group</i>");
    await ann.click("#attach-button");
    for (const [address, words] of [
      ["javascript:alert(1)", /whole address/],
      ["harbour.png", /whole address/],
      ["https://pictures.example/nothing", /No picture/],
    ]) {
      await ann.fill("#attach-url", address);
      await ann.click("#attach-submit");
      await ann.waitForSelector("#attach-error:not([hidden])");
      await until(async () => words.test(await ann.textContent("#attach-error")), true);
    }
    await ann.fill("#attach-url", "https://pictures.example/harbour.png");
    await ann.click("#attach-submit");
    await ann.waitForSelector(".row.mine[data-state=stored] img");
    await ann.click("#attach-button");
    await ann.check("#attach-form [value=file]");
    await ann.fill("#attach-url", "https://files.example/list%20of%20things.pdf");
    await ann.click("#attach-submit");
    await until(() => ann.textContent(".row.mine .file-name"), "list of things.pdf");
  });
});

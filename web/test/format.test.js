// The formatting of values, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { addressesIn } from "../app/addresses.js";
import { datesIn } from "../app/dates.js";
import { paced } from "../app/dom.js";

test("addresses end where people mean them to end", () => {
  for (const [text, ...found] of [
    ["see https://tides.example/harbour.", "https://tides.example/harbour"],
    ["(see https://en.example/wiki/Tide_(disambiguation))", "https://en.example/wiki/Tide_(disambiguation)"],
    ["https://en.example/Tide_(water), or [https://b.example/x]!", "https://en.example/Tide_(water)", "https://b.example/x"],
    ["https://a.example/?q=[1](2){3}", "https://a.example/?q=[1](2){3}"],
    ["请看 https://a.example/潮汐。谢谢", "https://a.example/潮汐"],
    ["见https://a.example/x，还有「https://b.example/y」", "https://a.example/x", "https://b.example/y"],
    ["これ（https://a.example/z）を見て", "https://a.example/z"],
    ["“https://a.example/quoted” and ‘https://b.example/quoted’", "https://a.example/quoted", "https://b.example/quoted"],
    ["https://a.example/x...", "https://a.example/x"],
    ["no address: http:// or example.org"],
  ]) {
    const addresses = addressesIn(text);
    assert.deepEqual(addresses.map(({ address }) => address), found, text);
    for (const { address, index } of addresses) assert.equal(text.slice(index, index + address.length), address);
  }
});

test("a long text of brackets or of addresses costs little", () => {
  const began = performance.now();
  for (const end of [")", "]", "}", ")]}", ".", "(", "()"]) addressesIn(`https://a/${end.repeat(16_000 / end.length)}`);
  assert.ok(performance.now() - began < 500, `${performance.now() - began} ms`);
  assert.equal(addressesIn("http://a ".repeat(1_800)).length, 50);
});

test("what is drawn waits a moment after a slow draw, and not many times as long", async () => {
  const drawn = [];
  const draw = paced(() => {
    for (const end = performance.now() + 60; performance.now() < end; );
    drawn.push(performance.now());
  });
  draw();
  await sleep(100);
  for (let n = 0; n < 100; n++) draw();
  await sleep(1_000);
  assert.equal(drawn.length, 2);
});

test("the days of a week have different names in every language", () => {
  for (const language of ["en-GB", "he", "th", "vi", "zh"]) {
    const { shortTime } = datesIn(language);
    const days = Array.from({ length: 6 }, (_, n) => shortTime(Date.now() - (n + 1) * 86_400_000));
    assert.equal(new Set(days).size, 6, `${language}: ${days}`);
  }
});

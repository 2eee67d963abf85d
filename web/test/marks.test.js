// The part of a text around found words, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { excerpt } from "../app/marks.js";

/** The excerpt with brackets around the found words. */
const shown = (text, ...words) => excerpt(text, words.map((word) => ({ start: text.indexOf(word), length: word.length }))).map((part) => (part.marked ? `[${part.text}]` : part.text)).join("");

test("a short text is whole, with its marks", () => {
  assert.equal(shown("我家在上海东边。", "上海"), "我家在[上海]东边。");
  assert.equal(shown("one two three", "one", "three"), "[one] two [three]");
  assert.equal(shown("nothing"), "nothing");
  assert.equal(shown("", ), "");
});

test("a long text is cut around the first word, between words", () => {
  const text = `${"some words before ".repeat(20)}harbour${" and after".repeat(40)} harbour`;
  const cut = shown(text, "harbour");
  assert.match(cut, /^…(some|words|before) .*before \[harbour\] and after .*…$/);
  assert.ok(cut.length < 200, cut);
});

test("a long word before the found one is left out, and a text without spaces begins close to it", () => {
  assert.equal(shown(`${"W".repeat(60)} needle`, "needle"), "…[needle]");
  assert.equal(shown(`${"海".repeat(60)}上海`, "上"), `…${"海".repeat(10)}[上]海`);
});

test("no character is cut in two, and a mark that is too long is cut with the text", () => {
  for (let n = 0; n < 40; n++) {
    const cut = shown(`${"a".repeat(n)}${"🌊".repeat(100)}上海${"🎉".repeat(200)}`, "上海");
    assert.ok(cut.isWellFormed?.() ?? true, cut);
    assert.ok(cut.includes("[上海]"));
    assert.ok(!/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(cut), cut);
  }
  const long = "海".repeat(500);
  assert.deepEqual(excerpt(long, [{ start: 0, length: 500 }]), [{ text: "海".repeat(180), marked: true }, { text: "…", marked: false }]);
});

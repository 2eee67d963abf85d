// Found words: the part of a text around them, and their marks on the page. Places count UTF-16 code units, as in the API.

import { $, el } from "./dom.js";

/** How much of a text is shown before the first found word, at most and in a text without spaces, and how much in all. */
const BEFORE = 24;
const CLOSE = 10;
const LENGTH = 180;

const isLow = (code) => code >= 0xdc00 && code <= 0xdfff;

/** The begin of a part with the word at `first`: after a space if there is one, and never inside of a character that is two code units. */
function cut(text, first) {
  const at = first - BEFORE;
  if (at <= 0) return 0;
  const space = text.slice(at, first).search(/\s/);
  const from = space < 0 ? first - CLOSE : at + space + 1;
  return isLow(text.charCodeAt(from)) ? from + 1 : from;
}

/** The text around its first highlight, as parts: `{ text, marked }`. */
export function excerpt(text, highlights) {
  const first = highlights[0]?.start ?? 0;
  const from = Math.min(first, cut(text, first));
  const end = Math.min(text.length, from + LENGTH);
  const to = isLow(text.charCodeAt(end)) ? end - 1 : end;
  const parts = [];
  const add = (start, stop, marked) => stop > start && parts.push({ text: text.slice(start, stop), marked });
  let at = from;
  for (const { start, length } of highlights) {
    if (start >= to) break;
    add(at, start, false);
    at = Math.min(to, start + length);
    add(start, at, true);
  }
  add(at, to, false);
  if (from > 0) parts.unshift({ text: "…", marked: false });
  if (to < text.length) parts.push({ text: "…", marked: false });
  return parts;
}

/** Where a row shows the searched fields. */
const PLACES = { text: ".text", name: ".file-name", alt: ".alt" };

/** Marks the found words in the row of a message, unless it has another text by now. Returns what removes the marks. */
export function markIn(row, { message, highlights }) {
  const place = highlights.length > 0 ? $(PLACES[highlights[0].field], row) : null;
  if (!place || place.textContent !== message.content[highlights[0].field]) return () => {};
  const nodes = [];
  const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const marks = [];
  let at = 0;
  for (const node of nodes) {
    const end = at + node.data.length;
    // From the end, since a split keeps the places before it.
    for (const { start, length } of [...highlights].reverse()) {
      const [from, to] = [Math.max(start, at), Math.min(start + length, end)];
      if (from >= to) continue;
      if (to < at + node.data.length) node.splitText(to - at);
      const found = from > at ? node.splitText(from - at) : node;
      const mark = el("mark", {});
      found.replaceWith(mark);
      mark.append(found);
      marks.push(mark);
    }
    at = end;
  }
  return () => {
    for (const mark of marks) mark.replaceWith(...mark.childNodes);
    place.normalize();
  };
}

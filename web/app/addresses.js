// URLs in texts that people write.

/** URLs contain these characters only in escaped form: Chinese, Japanese or Korean text continues right after a URL. */
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/gi;
const PAIRS = { ")": "(", "]": "[", "}": "{" };
/** URLs beyond this number in one text stay text: each link costs the page of every reader. */
const MOST = 50;

/** The http and https URLs in a text, with their positions, without the end of a sentence or brackets around them. */
export function addressesIn(text) {
  const found = [];
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    if (found.push({ address: trimmed(match), index }) === MOST) break;
  }
  return found;
}

/** The brackets are counted once: a text of brackets only must not take quadratic time. */
function trimmed(address) {
  const counts = {};
  for (const char of address) counts[char] = (counts[char] ?? 0) + 1;
  let end = address.length;
  for (; ; end--) {
    const last = address[end - 1];
    const closes = last in PAIRS && counts[last] > (counts[PAIRS[last]] ?? 0);
    if (!closes && !/[.,;:!?]/.test(last)) return address.slice(0, end);
    counts[last]--;
  }
}

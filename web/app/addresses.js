// Addresses in texts that people write.

/** No address holds them as they are: what is said in Chinese, Japanese or Korean goes on behind it. */
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/gi;
const PAIRS = { ")": "(", "]": "[", "}": "{" };
/** Of more addresses in one text the rest stays text: each link costs the page of everybody who reads it. */
const MOST = 50;

/** The http and https addresses in a text, and where they are. The end of a sentence is no part, nor a bracket around them. */
export function addressesIn(text) {
  const found = [];
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    if (found.push({ address: trimmed(match), index }) === MOST) break;
  }
  return found;
}

/** The brackets are counted once: a text of nothing but brackets must not take the square of its length. */
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

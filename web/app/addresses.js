// Addresses in texts that people write.

/** No address holds them as they are: what is said in Chinese, Japanese or Korean goes on behind it. */
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/gi;
const PAIRS = { ")": "(", "]": "[", "}": "{" };

/** The http and https addresses in a text, and where they are. The end of a sentence is no part, nor a bracket around them. */
export function addressesIn(text) {
  return [...text.matchAll(ADDRESS)].map(({ 0: found, index }) => {
    let address = found;
    for (;;) {
      const last = address.at(-1);
      const open = PAIRS[last];
      const closes = open && address.split(last).length > address.split(open).length;
      if (!closes && !/[.,;:!?]/.test(last)) return { address, index };
      address = address.slice(0, -1);
    }
  });
}

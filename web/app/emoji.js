// A small emoji picker, and the check for a single emoji. Arrow keys move in the grid, which is one stop of the Tab key.

import { el } from "./dom.js";
import { t } from "./texts.js";

/** In the order of their names in the text tables. */
export const EMOJI = `😀 😄 😂 🙂 😉 😊 😍 😘 😜 🤔
😎 😴 😢 😭 😡 😱 🤯 🥳 🤗 🙄
👍 👎 👌 👏 🙏 💪 👋 🤝 ✌️ 👀
❤️ 💙 💚 💔 🔥 ✨ 🎉 🎂 ☕ 🍕
🌊 🐚 🐟 🐙 ⛵ 🏖️ ☀️ 🌙 ⭐ 🌈
✅ ❌ ❓ ❗ ⏰ 📌 📎 💡 🚀 🐞`.split(/\s/);

/** The reactions that are offered first. */
export const QUICK = ["👍", "❤️", "😂", "😍", "😢", "🎉", "🙏", "👀"];

/** The name of an emoji in the person's language, or the emoji. */
export const nameOfEmoji = (emoji) => t("emoji.names").split("|")[EMOJI.indexOf(emoji)] ?? emoji;

const graphemes = typeof Intl.Segmenter === "function" ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/** Whether this text is exactly one emoji. */
export function isEmoji(text) {
  if (!graphemes || text.length > 32 || new TextEncoder().encode(text).length > 64) return false;
  if ([...graphemes.segment(text)].length !== 1) return false;
  // In Unicode, digits and "#" are emoji too, but need a variation selector or a keycap to look like one.
  return /\p{Emoji_Presentation}|\p{Extended_Pictographic}|\p{Regional_Indicator}|\ufe0f/u.test(text);
}

/** Fills the panel; `pick` gets the emoji, `close` handles Escape. */
export function fillPicker(panel, pick, close) {
  const names = t("emoji.names").split("|");
  const buttons = EMOJI.map((emoji, n) =>
    el("button", { type: "button", "aria-label": names[n], title: names[n], tabindex: n === 0 ? 0 : -1, onclick: () => pick(emoji) }, emoji),
  );
  panel.replaceChildren(...buttons);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      return close();
    }
    // The style sheet defines the number in a row: fewer on a small screen.
    const columns = getComputedStyle(panel).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity };
    if (!(event.key in step)) return;
    event.preventDefault();
    const now = buttons.indexOf(document.activeElement);
    const next = Math.min(buttons.length - 1, Math.max(0, now + step[event.key]));
    for (const [n, button] of buttons.entries()) button.tabIndex = n === next ? 0 : -1;
    buttons[next].focus();
  });
}

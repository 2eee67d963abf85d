// What a screen reader says without being asked.

import { $, paced } from "./dom.js";

let said = "";

/** Of sentences that come together, a screen reader says the last. */
const tell = paced(() => ($("#announcer").textContent = said));

export function announce(text) {
  said = text;
  tell();
}

/** Deletes what was said last. */
export function hush() {
  said = "";
  $("#announcer").replaceChildren();
}

// How the page looks and speaks: what one chooses once in a browser, on the first page or in the account.

import { el } from "./dom.js";
import { LANGUAGES, language, speak } from "./texts.js";

/** Makes the select element one of languages, each by its own name. */
export function languages(select) {
  select.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) => el("option", { value, selected: value === language }, name)));
  select.addEventListener("change", () => speak(select.value));
  return select;
}

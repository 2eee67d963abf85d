// Theme and language of the page: chosen once in a browser, on the first page or in the account.

import { $$, el } from "./dom.js";
import { recall, remember } from "./settings.js";
import { LANGUAGES, language, speak, t } from "./texts.js";

const THEMES = ["system", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
/** The colour that a phone paints around the page: as `--mist` in app.css. */
const AROUND = { light: "#e6f0f0", dark: "#081a21" };

const chosen = () => (THEMES.includes(recall("theme")) ? recall("theme") : "system");

/** The style sheet uses the page's setting and not the system's, so that one choice holds everywhere. */
function paint() {
  const theme = chosen() === "system" ? (dark.matches ? "dark" : "light") : chosen();
  document.documentElement.dataset.theme = theme;
  for (const meta of $$("meta[name=theme-color]")) meta.content = AROUND[theme];
  for (const select of $$("[data-themes]")) select.value = chosen();
}

dark.addEventListener("change", paint);
// Chosen in another tab.
window.addEventListener("storage", paint);
paint();

function choices(select, options, current, choose) {
  select.replaceChildren(...options.map(([value, name]) => el("option", { value, selected: value === current }, name)));
  select.addEventListener("change", () => choose(select.value));
  return select;
}

/** Fills the select element with languages, each by its own name. */
export const languages = (select) => choices(select, Object.entries(LANGUAGES), language, speak);

/** Fills the select element with themes. */
export function themes(select) {
  select.dataset.themes = "";
  const options = THEMES.map((theme) => [theme, t(`looks.theme.${theme}`)]);
  return choices(select, options, chosen(), (theme) => {
    remember("theme", theme === "system" ? null : theme);
    paint();
  });
}

// The texts of the page, in one of several languages: `t` returns a text of the table (app/texts/), `fill` puts the texts into
// the elements of index.html. The language is the one that was chosen here, or the first available one of the browser.

import { $$ } from "./dom.js";
import { recall, remember } from "./settings.js";

/** The tables, and the name of each language in itself. */
export const LANGUAGES = { en: "English", zh: "中文" };
/** The language tag of a table for the browser, which chooses fonts and voices by it. */
const TAGS = { en: "en", zh: "zh-Hans" };
const ATTRIBUTES = ["aria-label", "placeholder", "title"];

const base = (tag) => tag.toLowerCase().split("-")[0];
const known = (name) => Object.hasOwn(LANGUAGES, name ?? "");

const wished = navigator.languages.find((tag) => known(base(tag))) ?? "en";
export const language = known(recall("language")) ? recall("language") : base(wished);
/** For dates and numbers: the person's own region if it is one of the language. */
export const locale = navigator.languages.find((tag) => base(tag) === language) ?? TAGS[language];

const { default: table } = await import(`./texts/${language}.js`);
const forms = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);
document.documentElement.lang = TAGS[language];

/** Whether there is a text of this name. */
export const has = (key) => Object.hasOwn(table, key);

/** The text of this name, with its values: `t("list.members", { count: 3 })`. */
export function t(key, values = {}) {
  const entry = table[key];
  const text = typeof entry === "string" ? entry : (entry[forms.select(values.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? numbers.format(values[name]) : values[name]));
}

/** Puts the texts where the page says `data-t`, and into the attributes of which it says `data-t-…`. */
export function fill() {
  for (const node of $$("[data-t]")) node.textContent = t(node.dataset.t);
  for (const name of ATTRIBUTES) {
    for (const node of $$(`[data-t-${name}]`)) node.setAttribute(name, t(node.getAttribute(`data-t-${name}`)));
  }
}

/** Switches to another language by a reload. Drafts stay; see app/drafts.js. */
export function speak(name) {
  remember("language", name);
  location.reload();
}

// Forms that are built by the page.

import { busy, el, say } from "./dom.js";
import { explain } from "./errors.js";

/** A labelled input, text area (`rows`) or select (`options`). */
export function field({ id, text, help, options, value, rows, ...rest }) {
  const about = help ? { "aria-describedby": `${id}-help` } : {};
  const own = { id, name: id, "data-key": id, ...about, ...rest };
  const input = options
    ? el("select", { class: "pick", ...own }, ...options.map(([one, words]) => el("option", { value: one, selected: one === value }, words)))
    : rows
      ? el("textarea", { class: "words", rows, ...own }, value ?? "")
      : el("input", { value: value ?? null, ...own });
  return el("div", { class: "field" }, el("label", { for: id }, text), input, help ? el("p", { class: "help", id: `${id}-help` }, help) : null);
}

/** A section that is a form; `submit` gets its values, and its failure is shown as text. `more` are further buttons. */
export function form({ id, title, fields, label, more = [] }, submit) {
  const error = el("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true });
  const go = el("button", { class: "plain", "data-key": `${id}-go` }, label);
  const send = async (event) => {
    event.preventDefault();
    say(error, null);
    await busy(go, async () => {
      try {
        await submit(Object.fromEntries(new FormData(event.target)), event.target);
      } catch (problem) {
        // The form may have been drawn again meanwhile.
        say(document.getElementById(`${id}-error`) ?? error, explain(problem));
      }
    });
  };
  const buttons = more.length > 0 ? el("div", { class: "inline" }, go, ...more) : go;
  return el("form", { id, class: "section", novalidate: true, onsubmit: send }, title ? el("h3", {}, title) : null, ...fields, error, buttons);
}

// Draws a part of the page again without disturbing the person.

import { $, say } from "./dom.js";

/**
 * A function that draws the content of `root` again by `parts`. While a button is held down it waits, since a button that is replaced
 * then gets no click. The focus returns to the element with the same `data-key`, or to `otherwise`. Typed input and errors stay.
 */
export function steady(root, parts, otherwise) {
  let pressed = false;
  let stale = false;
  function draw() {
    stale = pressed;
    if (pressed) return;
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const at = focused?.selectionStart ?? null;
    const typed = new Map([...root.querySelectorAll("input[id], textarea[id]")].filter(isTyped).map((input) => [input.id, input.value]));
    const errors = new Map([...root.querySelectorAll(".error[id]:not([hidden])")].map((error) => [error.id, error.textContent]));
    root.replaceChildren(...parts().filter(Boolean));
    for (const [id, value] of typed) {
      const input = root.querySelector(`#${CSS.escape(id)}`);
      if (input) input.value = value;
    }
    for (const [id, text] of errors) {
      const error = root.querySelector(`#${CSS.escape(id)}`);
      if (error) say(error, text);
    }
    if (!focused) return;
    const next = focused.dataset.key ? root.querySelector(`[data-key="${CSS.escape(focused.dataset.key)}"]`) : null;
    (next ?? otherwise()).focus();
    if (next && at !== null) next.setSelectionRange(at, at);
  }
  root.addEventListener("pointerdown", () => (pressed = true));
  // The result of a click is drawn immediately.
  root.addEventListener("click", () => (pressed = false), { capture: true });
  for (const name of ["pointerup", "pointercancel"]) {
    // The click event, if there is one, comes right after this one.
    window.addEventListener(name, () =>
      setTimeout(() => {
        pressed = false;
        if (stale) draw();
      }),
    );
  }
  return draw;
}

/** What another person or device has changed meanwhile is not typed input. */
const isTyped = (input) => !["checkbox", "radio"].includes(input.type) && input.value !== input.defaultValue;

/** The button that closes the dialog. */
export const closing = (dialog) => () => $("[data-close]", dialog);

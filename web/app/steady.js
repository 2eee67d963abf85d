// Draws a part of the page again without disturbing the person.

import { $, say } from "./dom.js";

/**
 * A function that draws the content of `root` again by `parts`. While a button is held down it waits, since a button that is replaced
 * then gets no click, and while an input method composes, since it would lose what is composed. The focus returns to the element with the
 * same `data-key`, or to `otherwise`. Typed input, its selection and errors stay.
 */
export function steady(root, parts, otherwise) {
  let pressed = false;
  let composing = null;
  let stale = false;
  function draw() {
    stale = pressed || Boolean(composing?.isConnected);
    if (stale) return;
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const { selectionStart: start = null, selectionEnd: end, selectionDirection: way } = focused ?? {};
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
    if (next && start !== null) next.setSelectionRange(start, end, way);
  }
  root.addEventListener("pointerdown", () => (pressed = true));
  root.addEventListener("compositionstart", ({ target }) => (composing = target));
  root.addEventListener("compositionend", () => {
    composing = null;
    // In some browsers the last input event comes after this one.
    setTimeout(() => stale && draw());
  });
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

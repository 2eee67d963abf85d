// Building the page. Text becomes text nodes and nothing else: there is no way here to make markup out of a string.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: `on…` are listeners, everything else attributes; absent children and values are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Keys that belong to an input method. Safari's ends its work before it sends the key that has ended it, with this code. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Shows a sentence, or hides its place when there is none. */
export function say(node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
}

/**
 * Runs something that the user waits for, once at a time: the button is busy until it is done, or until `signal` says that
 * nobody waits for it any more.
 */
export async function busy(button, work, signal) {
  if (button.getAttribute("aria-disabled") === "true") return;
  // Not `disabled`, which would take the focus away from whoever uses the keyboard.
  button.setAttribute("aria-disabled", "true");
  const free = () => button.removeAttribute("aria-disabled");
  signal?.addEventListener("abort", free, { once: true });
  try {
    return await work();
  } finally {
    signal?.removeEventListener("abort", free);
    if (!signal?.aborted) free();
  }
}

/**
 * `work` as a function that may be called at every change: it runs at once for the first, and for all that come soon after it
 * together. The pause is at least `ms`, and long beside the work itself, so that the page stays free for other things; it has
 * an upper bound, so that one slow draw does not hold back what comes next. By a timer and not by the frames, of which a
 * hidden page has none.
 */
export function paced(work, ms = 100) {
  let timer = null;
  let next = 0;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      const began = performance.now();
      work();
      next = performance.now() + Math.max(ms, Math.min(PAUSE_MS, PAUSES * (performance.now() - began)));
    }, next - performance.now());
  };
}

/** How many times longer than the work the pause is, and the longest. */
const PAUSES = 40;
const PAUSE_MS = 400;

/** Opens a dialog, and closes it by its own buttons and by a click beside it. */
export function open(dialog) {
  if (!dialog.dataset.ready) {
    dialog.dataset.ready = "yes";
    dialog.addEventListener("close", place);
    // Pressed and let go beside it: whoever selects text and lets go outside does not mean it.
    let pressed = false;
    dialog.addEventListener("pointerdown", (event) => (pressed = event.target === dialog));
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]") || (event.target === dialog && pressed)) dialog.close();
    });
  }
  if (!dialog.open) dialog.showModal();
}

/** Asks before something that cannot be undone. */
export function confirm({ title, text, yes }) {
  const dialog = $("#confirm-dialog");
  $("#confirm-title").textContent = title;
  $("#confirm-text").textContent = text;
  $("#confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  open(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** A sentence in the corner, for a while. */
export function toast(text) {
  const note = el("p", { class: "toast" }, text);
  place();
  $("#toasts").append(note);
  setTimeout(() => note.remove(), 6_000);
}

/** An open dialog lies above the whole page, and what is outside of it is neither seen nor read out. */
function place() {
  const room = $$("dialog[open]").at(-1) ?? document.body;
  if ($("#toasts").parentElement !== room) room.append($("#toasts"));
}

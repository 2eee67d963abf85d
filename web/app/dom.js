// Builds the page. Text becomes only text nodes: there is no function here that turns a string into markup.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: `on…` are listeners, other properties attributes; null children and values are left out. */
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

/** One of the icons in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Keys that belong to an input method. In Safari, composition ends before its last key event, which has this code. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Shows a sentence, or hides its element when there is none. */
export function say(node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
}

/**
 * Runs an action that the user waits for, once at a time: the button is busy until it is done, or until `signal` says
 * that the user no longer waits for it.
 */
export async function busy(button, work, signal) {
  if (button.getAttribute("aria-disabled") === "true") return;
  // Not `disabled`, which would take the focus away from people who use the keyboard.
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
 * Throttles `work`: it runs immediately for the first change, and once for all changes that come soon after it. The pause is
 * at least `ms`, and long compared with the work itself, so that the page stays responsive. It has an upper bound, so that
 * one slow draw does not delay the next. It uses a timer and not animation frames, which a hidden page does not get.
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

/** How many times longer than the work the pause is, and its maximum. */
const PAUSES = 40;
const PAUSE_MS = 400;

/** Opens a dialog, which its own buttons and a click outside close. */
export function open(dialog) {
  if (!dialog.dataset.ready) {
    dialog.dataset.ready = "yes";
    dialog.addEventListener("close", () => {
      const room = place();
      const { opener } = dialog.dataset;
      const now = document.activeElement;
      if (!opener || (now !== document.body && !dialog.contains(now))) return;
      // The row that has opened it was drawn again meanwhile.
      ($(`[data-key="${CSS.escape(opener)}"]`, room) ?? $("[data-close]", room))?.focus();
    });
    // Only a press and a release outside: a text selection that ends outside must not close it.
    let pressed = false;
    dialog.addEventListener("pointerdown", (event) => (pressed = event.target === dialog));
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]") || (event.target === dialog && pressed)) dialog.close();
    });
  }
  if (dialog.open) return;
  dialog.dataset.opener = document.activeElement?.dataset.key ?? "";
  dialog.showModal();
  // The last one is on top.
  layers.delete(dialog);
  layers.add(dialog);
  place();
}

/** The dialogs in the order in which they were opened. */
const layers = new Set();

/** Answers the last question of `confirm`. */
let answer = null;

/** Asks for confirmation of an action that cannot be undone. */
export function confirm({ title, text, yes }) {
  const dialog = $("#confirm-dialog");
  $("#confirm-title").textContent = title;
  $("#confirm-text").textContent = text;
  $("#confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  // The close event of the question before may come late, when this one is open: it must answer neither of them with yes.
  answer?.(false);
  open(dialog);
  return new Promise((resolve) => {
    answer = resolve;
    dialog.onclose = () => dialog.open || resolve(dialog.returnValue === "yes");
  });
}

/** The open menu or panel: its button, and a function that closes it. */
let opened = null;

/**
 * Opens `node` at a button, or closes it. Escape and a press outside close it. The focus returns to the button, or to `otherwise` when
 * the button was removed. Returns a function that closes it; null when it was open.
 */
export function float(button, node, otherwise) {
  const was = opened?.button;
  opened?.close();
  if (was === button) return null;
  const listening = new AbortController();
  const close = (focus = true) => {
    if (opened?.close === close) opened = null;
    listening.abort();
    node.remove();
    button.setAttribute("aria-expanded", "false");
    if (focus) (button.isConnected ? button : otherwise).focus();
  };
  const place = () => {
    if (!button.isConnected) return;
    const [at, own] = [button.getBoundingClientRect(), node.getBoundingClientRect()];
    const top = at.bottom + own.height < innerHeight ? at.bottom : at.top - own.height;
    node.style.setProperty("top", `${Math.max(8, Math.min(top, innerHeight - own.height - 8))}px`);
    node.style.setProperty("left", `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`);
  };
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    event.preventDefault();
    event.stopPropagation();
  });
  const listen = (name, work) => window.addEventListener(name, work, { capture: true, signal: listening.signal });
  // The press itself moves the focus.
  listen("pointerdown", ({ target }) => node.contains(target) || button.contains(target) || close(false));
  listen("hashchange", () => close(false));
  for (const name of ["scroll", "resize"]) listen(name, ({ target }) => node.contains(target) || place());
  opened = { button, close };
  button.setAttribute("aria-expanded", "true");
  button.closest("main").append(node);
  place();
  return close;
}

/** Closes the open menu or panel if `is` holds for its button. */
export function shut(is) {
  if (opened && is(opened.button)) opened.close();
}

/**
 * Opens a menu at a button, or closes it. Items are `{ label, run, danger, checked }`; `checked` makes one of a choice. The arrow
 * keys move in it, and Tab closes it too.
 */
export function menu(button, items, otherwise) {
  let close;
  const entries = items.map(({ label, run, danger, checked }) => {
    const role = checked === undefined ? { role: "menuitem" } : { role: "menuitemradio", "aria-checked": String(checked) };
    return el("button", { type: "button", ...role, tabindex: -1, class: danger ? "wrong" : null, onclick: () => (close(), run()) }, label, checked ? icon("check") : null);
  });
  const list = el("ul", { class: "menu scroll", role: "menu", "aria-label": button.getAttribute("aria-label") }, ...entries.map((entry) => el("li", { role: "none" }, entry)));
  list.addEventListener("keydown", (event) => {
    const now = entries.indexOf(document.activeElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (next !== undefined) entries.at(next % entries.length).focus();
    else if (event.key === "Tab") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  close = float(button, list, otherwise);
  if (close) entries[0].focus();
}

/** Shows a sentence in the corner for some time. */
export function toast(text) {
  const note = el("p", { class: "toast" }, text);
  place();
  $("#toasts").append(note);
  setTimeout(() => note.remove(), 6_000);
}

/** An open dialog covers the whole page: the rest is neither visible nor read out. Returns what is on top. */
function place() {
  const room = [...layers].filter(({ open }) => open).at(-1) ?? document.body;
  for (const node of [$("#toasts"), $("#announcer")]) if (node.parentElement !== room) room.append(node);
  return room;
}

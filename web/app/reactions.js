// The reactions to a message: a button for each emoji with its count, and a panel to pick another one.

import { $, el, float, icon, toast } from "./dom.js";
import { isEmoji, nameOfEmoji, QUICK } from "./emoji.js";
import { explain } from "./errors.js";
import { isGone } from "./format.js";
import { t } from "./texts.js";

/**
 * Draws the reactions of a message. `react.toggle(message, emoji)` sets or removes the person's own; `react.pick(message, button)`
 * opens the panel; `react.allowed(message)` says whether the person may react. Buttons stay while their emoji does: they may have
 * the focus.
 */
export function dressReactions(place, message, react) {
  const reactions = message.seq && !isGone(message) ? (message.reactions ?? []) : [];
  const allowed = react.allowed(message);
  const shown = JSON.stringify([reactions, allowed, message.seq]);
  if (place.dataset.shows === shown) return;
  place.dataset.shows = shown;
  place.hidden = reactions.length === 0;
  const before = new Map([...place.querySelectorAll("[data-emoji]")].map((button) => [button.dataset.emoji, button]));
  const focused = place.contains(document.activeElement);
  const buttons = reactions.map(({ emoji, count, me }) => {
    const button = before.get(emoji) ?? el("button", { type: "button", class: "reaction", "data-emoji": emoji }, el("span", { class: "emoji-sign", "aria-hidden": "true" }, emoji), el("span", { class: "reaction-count", "aria-hidden": "true" }));
    $(".reaction-count", button).textContent = String(count);
    button.setAttribute("aria-pressed", String(me));
    button.setAttribute("aria-label", t("reaction.one", { name: nameOfEmoji(emoji), count }));
    if (!allowed && !me) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    button.onclick = () => (allowed || me) && react.toggle(message, emoji);
    return button;
  });
  const add = el("button", { type: "button", class: "reaction add", "aria-label": t("reaction.add"), title: t("reaction.add"), "aria-haspopup": "dialog", "aria-expanded": "false", onclick: ({ currentTarget }) => react.pick(message, currentTarget) }, icon("react"));
  place.replaceChildren(...buttons, ...(allowed && reactions.length > 0 ? [add] : []));
  if (focused && !place.contains(document.activeElement)) (buttons[0] ?? place.closest(".row").querySelector(".row-menu") ?? $("#log")).focus();
}

export class Reactions {
  #tideline;
  #store;

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
  }

  /** The server has the last word: a block or a mute in between is its response. */
  async toggle({ conversation_id: id, seq, reactions }, emoji) {
    const own = reactions?.some((one) => one.emoji === emoji && one.me);
    try {
      const response = await (own ? this.#tideline.removeReaction(id, seq, emoji) : this.#tideline.addReaction(id, seq, emoji));
      this.#store.reacted(id, response);
    } catch (error) {
      toast(explain(error));
    }
  }

  /** Opens the panel at a button: some emojis, and a field for any other. */
  pick(message, button) {
    let close;
    const choose = (emoji) => {
      close();
      this.toggle(message, emoji);
    };
    const quick = QUICK.map((emoji) => {
      const own = message.reactions?.some((one) => one.emoji === emoji && one.me) ?? false;
      return el("button", { type: "button", "aria-label": nameOfEmoji(emoji), title: nameOfEmoji(emoji), "aria-pressed": String(own), onclick: () => choose(emoji) }, emoji);
    });
    const input = el("input", { id: "react-text", autocomplete: "off", spellcheck: "false", maxlength: 32, "aria-describedby": "react-error", placeholder: t("reaction.other") });
    const error = el("p", { id: "react-error", class: "error", role: "alert", hidden: true }, t("reaction.wrong"));
    const submit = (event) => {
      event.preventDefault();
      const emoji = input.value.trim();
      if (isEmoji(emoji)) return choose(emoji);
      error.hidden = false;
      input.focus();
    };
    const form = el("form", { class: "react-form", novalidate: true, onsubmit: submit }, el("label", { class: "sr-only", for: "react-text" }, t("reaction.other")), input, el("button", { class: "plain small" }, t("reaction.add.short")), error);
    const panel = el("div", { class: "react-panel", role: "dialog", "aria-label": t("reaction.add") }, el("div", { class: "react-quick" }, ...quick), form);
    panel.addEventListener("keydown", (event) => {
      const now = quick.indexOf(document.activeElement);
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: quick.length - 1 }[event.key];
      if (now < 0 || next === undefined) return;
      event.preventDefault();
      quick[(next + quick.length) % quick.length].focus();
    });
    // The focus stays in the panel until it is closed.
    panel.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !panel.contains(relatedTarget) && panel.isConnected && close(false));
    close = float(button, panel, $("#log"));
    if (close) quick[0].focus();
  }
}

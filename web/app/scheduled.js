// Messages that are sent later: scheduling one, the list of a conversation, and the notice of one that could not be sent.

import { uuidv7 } from "../tideline.js";
import { now } from "./dates.js";
import { $, busy, confirm, el, open, paced, say, toast } from "./dom.js";
import { explain } from "./errors.js";
import { moment, previewOf, titleOf } from "./format.js";
import { t } from "./texts.js";

const PAGE = 100;
const SHORT = 200;
const MINUTE_MS = 60_000;
/** The list is read again at most so often. */
const AGAIN_MS = 3_000;

/** A time as the value of an input, in local time. */
const inputOf = (time) => {
  const at = new Date(time);
  return new Date(at - at.getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, 16);
};

/** The next full hour that is at least this far away. */
const soon = () => Math.ceil((now() + 5 * MINUTE_MS) / (60 * MINUTE_MS)) * 60 * MINUTE_MS;

export class Scheduled {
  #tideline;
  #store;
  #chat;
  /** All scheduled messages of the person, by `client_msg_id`. */
  #all = new Map();
  /** Those that could not be sent, until the person has dismissed them. */
  #failed = [];
  /** Called when a message was scheduled, moved or cancelled here. */
  changed = () => {};
  /** The number of changes here: a list that was asked for before one of them lacks it. */
  #changes = 0;
  #dialog = $("#later-dialog");
  #list = $("#later-list");

  /** `chat` has the `id` and the `composer`, which has the text to send. */
  constructor(tideline, store, chat) {
    this.#tideline = tideline;
    this.#store = store;
    this.#chat = chat;
    $("#later-button").addEventListener("click", () => this.show());
    $("#later-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy($("#later-submit"), () => this.#schedule());
    });
    $("#later-failed-ok").addEventListener("click", () => {
      this.#failed = [];
      this.#drawFailed();
      $("#new-button").focus();
    });
    for (const name of ["features", "online"]) store.on(name, this.again);
    window.addEventListener("focus", this.again);
    // Sent: on this device or by the server.
    store.on("arrived", (_, { client_msg_id }) => this.#drop(client_msg_id) && this.draw());
    tideline.on("scheduled_failed", (entry) => this.#fail(entry));
  }

  forget() {
    this.#all.clear();
    this.#failed = [];
    this.#drawFailed();
    this.#dialog.close();
    this.#list.replaceChildren();
    $("#later-text").replaceChildren();
  }

  get #here() {
    const here = [...this.#all.values()].filter(({ conversation_id }) => conversation_id === this.#chat.id);
    return here.sort((a, b) => (a.send_at < b.send_at ? -1 : 1));
  }

  /** No entry reports what another tab or device has scheduled or cancelled. */
  again = paced(() => this.#load().catch(() => {}), AGAIN_MS);

  async #load() {
    const user = this.#store.me?.id;
    if (!user || !this.#store.features.has("scheduled")) return;
    const changes = this.#changes;
    const found = new Map();
    for (let cursor; cursor !== null; ) {
      const page = await this.#tideline.listScheduled({ limit: PAGE, cursor });
      for (const one of page.scheduled) found.set(one.client_msg_id, one);
      cursor = page.next_cursor;
    }
    if (user !== this.#store.me?.id) return;
    if (changes !== this.#changes) return void this.again();
    this.#all = found;
    this.draw();
  }

  /** The button is there for a text, and for messages that wait. */
  draw() {
    const count = this.#here.length;
    const { composer, editing } = this.#chat;
    const button = $("#later-button");
    button.hidden = !this.#store.features.has("scheduled") || editing.isOpen || (count === 0 && !composer.text);
    const label = count > 0 ? t("later.open.count", { count }) : t("later.open");
    button.setAttribute("aria-label", label);
    button.title = label;
    $("#later-badge").hidden = count === 0;
    $("#later-badge").textContent = String(count);
    if (this.#dialog.open) this.#drawDialog();
  }

  async show() {
    this.#drawDialog();
    say($("#later-error"), null);
    // The browser's own minimum is by its clock, and the server has the last word.
    $("#later-time").value = inputOf(soon());
    open(this.#dialog);
    if (this.#chat.composer.text) $("#later-time").focus();
    await this.#load().catch((error) => toast(explain(error)));
  }

  #drawDialog() {
    const { text } = this.#chat.composer;
    $("#later-form").hidden = !text;
    $("#later-text").textContent = text.slice(0, SHORT);
    const key = this.#list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const typed = new Map([...this.#list.querySelectorAll("input")].filter((input) => input.value !== input.defaultValue).map((input) => [input.dataset.key, input.value]));
    const rows = this.#here.map((one) => this.#row(one));
    this.#list.replaceChildren(...(rows.length > 0 ? rows : text ? [] : [el("li", { class: "soft" }, t("later.none"))]));
    for (const input of this.#list.querySelectorAll("input")) input.value = typed.get(input.dataset.key) ?? input.value;
    $("#later-list-title").hidden = rows.length === 0;
    if (key) ($(`[data-key="${key}"]`, this.#list) ?? $("[data-close]", this.#dialog)).focus();
  }

  #row(one) {
    const { client_msg_id: id, send_at } = one;
    const short = previewOf(one).slice(0, 60);
    const time = el("input", { type: "datetime-local", class: "pick", value: inputOf(send_at), "data-key": `time ${id}`, "aria-label": t("later.time.of", { text: short }) });
    const save = el("button", { class: "plain small", "data-key": `save ${id}`, "aria-label": t("later.change", { text: short }) }, t("noun.save"));
    const submit = (event) => {
      event.preventDefault();
      busy(save, () => this.#move(one, time.value));
    };
    const remove = el("button", { type: "button", class: "danger quiet small", "data-key": `remove ${id}`, "aria-label": t("later.remove", { text: short }), onclick: ({ currentTarget }) => this.#remove(currentTarget, one) }, t("later.yes"));
    return el("li", { class: "later-row" },
      el("p", { class: "mentioned-text", dir: "auto" }, previewOf(one).slice(0, SHORT)),
      el("p", { class: "soft" }, t("later.at", { time: moment(send_at) })),
      el("form", { class: "inline", novalidate: true, onsubmit: submit }, time, save, remove));
  }

  /** The chosen time; null when there is none, or it has passed. */
  #timeOf(value) {
    const at = new Date(value);
    return at > now() ? at : null;
  }

  async #schedule() {
    const { id, composer } = this.#chat;
    const at = this.#timeOf($("#later-time").value);
    const message = composer.message();
    if (!at) return say($("#later-error"), t("later.past"));
    if (!message) return say($("#later-error"), t("error.validation"));
    try {
      this.#keep(await this.#tideline.updateScheduled(uuidv7(), id, { ...message, send_at: at }));
    } catch (error) {
      return say($("#later-error"), explain(error));
    }
    if (this.#chat.id === id) composer.scheduled();
    this.#dialog.close();
    toast(t("later.done", { time: moment(at) }));
    this.draw();
  }

  async #move({ client_msg_id, conversation_id, send_at: _, ...message }, value) {
    const at = this.#timeOf(value);
    if (!at) return toast(t("later.past"));
    try {
      this.#keep(await this.#tideline.updateScheduled(client_msg_id, conversation_id, { ...message, send_at: at }));
      toast(t("later.done", { time: moment(at) }));
    } catch (error) {
      await this.#load().catch(() => {});
      toast(explain(error));
    }
    this.draw();
  }

  #keep(one) {
    this.#changes++;
    this.#all.set(one.client_msg_id, one);
    this.changed();
  }

  #drop(id) {
    if (!this.#all.delete(id)) return false;
    this.#changes++;
    return true;
  }

  async #remove(button, one) {
    if (!(await confirm({ title: t("later.ask"), text: previewOf(one).slice(0, SHORT), yes: t("later.yes") }))) return;
    await busy(button, async () => {
      try {
        await this.#tideline.deleteScheduled(one.client_msg_id);
        this.#drop(one.client_msg_id);
        this.changed();
      } catch (error) {
        toast(explain(error));
      }
    });
    this.draw();
  }

  // What could not be sent.

  #fail({ client_msg_id, conversation_id, problem, scheduled }) {
    const was = scheduled ?? this.#all.get(client_msg_id);
    this.#drop(client_msg_id);
    const conversation = this.#store.conversations.get(was?.conversation_id ?? conversation_id);
    this.#failed.push({ text: was ? previewOf(was).slice(0, SHORT) : "", title: conversation ? titleOf(conversation) : "", reason: explain(problem) });
    this.#drawFailed();
    this.draw();
  }

  #drawFailed() {
    $("#later-failed").hidden = this.#failed.length === 0;
    const words = ({ title, reason }) => (title ? t("later.failed.in", { title, reason }) : t("later.failed", { reason }));
    $("#later-failed-list").replaceChildren(...this.#failed.map((one) => el("li", {}, el("p", {}, words(one)), one.text ? el("p", { class: "lost-text", dir: "auto" }, one.text) : null)));
  }
}

// The person's own profile and status.

import { now } from "./dates.js";
import { $, el, icon, open, toast } from "./dom.js";
import { EMOJI, fillPicker, isEmoji } from "./emoji.js";
import { Complaint, explain } from "./errors.js";
import { face, isKept, says, statusOf } from "./faces.js";
import { field, form } from "./forms.js";
import { duration, moment, shownNameOf, webUrl } from "./format.js";
import { ask, isLoaded } from "./media.js";
import { pictureButtons } from "./pictures.js";
import { closing, steady } from "./steady.js";
import { t } from "./texts.js";

const AVAILABILITIES = ["auto", "away", "busy", "do_not_disturb", "invisible"];
/** When a status may end, in seconds from now. */
const ENDS = [1_800, 3_600, 14_400, 86_400, 604_800];

/** The fields of a change that are others in the account: what another device has stored meanwhile stays. */
const differing = (change, me) => Object.fromEntries(Object.entries(change).filter(([name, value]) => value !== undefined && value !== (me[name] ?? null)));

export class Profile {
  #tideline;
  #store;
  /** What is chosen for the status, but not saved: `emoji`, `end`, `availability`. */
  #chosen = {};
  /** The account that was read, and why it could not be read. */
  #read = null;
  #failure = null;
  #dialog = $("#profile-dialog");
  #draw;

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    this.#draw = steady($("#profile-body"), () => (this.#me ? this.#parts() : [el("p", { class: "soft" }, this.#failure ?? t("noun.loading"))]), closing(this.#dialog));
    tideline.on("user", () => this.#dialog.open && this.#draw());
  }

  show() {
    this.forget();
    this.#draw();
    open(this.#dialog);
    this.#load(this.#tideline.user.id);
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#chosen = {};
    this.#read = this.#failure = null;
    $("#profile-body").replaceChildren();
  }

  async #load(id) {
    try {
      const me = await this.#tideline.getMe();
      if (this.#tideline.user?.id !== id) return;
      this.#read = me;
      this.#take(me);
    } catch (error) {
      if (this.#tideline.user?.id !== id) return;
      this.#failure = explain(error);
      if (this.#dialog.open) this.#draw();
    }
  }

  #take(me) {
    if (this.#store.me?.id !== me.id) return;
    this.#store.rename(me);
    if (this.#dialog.open) this.#draw();
  }

  /** The whole account, which a login and lists of members do not have: what is not in it would be erased by saving. */
  get #me() {
    const { user } = this.#tideline;
    return user && "bio" in user ? user : this.#read;
  }

  #parts() {
    const me = this.#me;
    return me ? [this.#hero(me), this.#picture(me), this.#statusForm(me), this.#profileForm(me)] : [];
  }

  #hero(me) {
    const said = says(me);
    return el("div", { class: "hero" }, face(me, shownNameOf(me)), el("div", {},
      el("p", { class: "hero-title", dir: "auto" }, shownNameOf(me)), el("p", { class: "soft" }, el("bdi", {}, `@${me.username}`)),
      said ? el("p", { class: "status-line" }, said) : null));
  }

  #picture(me) {
    if (!this.#store.features.has("media")) return null;
    return pictureButtons(Boolean(me.avatar_url), async (picture, about) => this.#take(await this.#tideline.setAvatar(picture, about)));
  }

  #profileForm(me) {
    const kept = isKept(me.avatar_url);
    const fields = [
      field({ id: "own-name", text: t("account.name"), value: me.display_name, maxlength: 64, autocomplete: "name", dir: "auto" }),
      field({ id: "own-picture", text: t("profile.picture"), help: t("profile.picture.help"), value: kept ? "" : (me.avatar_url ?? ""), type: "url", inputmode: "url", maxlength: 2_048, autocomplete: "off", spellcheck: "false" }),
      field({ id: "own-bio", text: t("profile.bio"), value: me.bio ?? "", rows: 3, maxlength: 500, dir: "auto" }),
    ];
    const url = webUrl(me.avatar_url ?? "");
    const load = () => {
      ask(url);
      this.#store.redraw();
      this.#draw();
    };
    const more = url && !isLoaded(url) ? [el("button", { type: "button", class: "plain", "data-key": "own-picture-load", onclick: load }, t("message.picture.load"))] : [];
    return form({ id: "own-profile", title: t("profile.shown"), fields, label: t("noun.save"), more }, async (values) => {
      const address = values["own-picture"].trim() || null;
      // Without an address an uploaded picture stays.
      const change = { display_name: values["own-name"].trim(), avatar_url: kept ? (address ?? undefined) : address, bio: values["own-bio"].trim() || null };
      if (change.avatar_url && !webUrl(change.avatar_url)) throw new Complaint(t("share.address"));
      const differs = differing(change, me);
      if (Object.keys(differs).length > 0) this.#take(await this.#tideline.updateMe(differs));
      toast(t("account.saved"));
    });
  }

  // The status.

  #statusForm(me) {
    const status = statusOf(me);
    const until = status?.until ?? null;
    const before = { emoji: status?.emoji ?? "", end: until ? "same" : "", availability: status?.availability ?? "auto" };
    const { emoji, end, availability } = { ...before, ...this.#chosen };
    const ends = [["", t("profile.until.never")], ...(until ? [["same", moment(until)]] : []), ...ENDS.map((seconds) => [String(seconds), t("profile.until.in", { time: duration(seconds) })]), ["at", t("profile.until.at")]];
    const time = el("input", { type: "datetime-local", id: "own-until", name: "own-until", class: "pick", "aria-label": t("profile.until.at"), "data-key": "own-until", hidden: end !== "at" });
    const fields = [
      el("div", { class: "field" }, el("label", { for: "own-status" }, t("profile.status")),
        el("div", { class: "inline" }, this.#emojiButton(emoji), el("input", { id: "own-status", name: "own-status", "data-key": "own-status", value: status?.text ?? "", maxlength: 100, autocomplete: "off", dir: "auto", placeholder: t("profile.status.say") })),
        el("div", { id: "own-emoji-panel", class: "emoji-panel in-sheet", role: "group", "aria-label": t("action.emoji"), hidden: true })),
      field({ id: "own-end", text: t("profile.until"), options: ends, value: end, onchange: ({ currentTarget }) => {
        this.#chosen.end = currentTarget.value;
        time.hidden = currentTarget.value !== "at";
      } }),
      time,
      field({ id: "own-availability", text: t("profile.availability"), help: t("profile.availability.help"), options: AVAILABILITIES.map((one) => [one, t(`profile.availability.${one}`)]), value: availability, onchange: ({ currentTarget }) => (this.#chosen.availability = currentTarget.value) }),
    ];
    const clear = async () => {
      const account = await this.#tideline.clearStatus();
      this.#chosen = {};
      this.#take(account);
      toast(t("profile.status.cleared"));
    };
    const more = status ? [el("button", { type: "button", class: "plain", "data-key": "own-clear", onclick: () => clear().catch(() => toast(t("error.unknown"))) }, t("profile.status.clear"))] : [];
    return form({ id: "own-status-form", title: t("profile.now"), fields, label: t("profile.status.set"), more }, async (values) => {
      const text = values["own-status"].trim();
      const next = { availability: values["own-availability"], emoji: emoji || null, text: text || null, until: this.#until(values, until) };
      const account = await this.#tideline.setStatus(next);
      this.#chosen = {};
      this.#take(account);
      toast(t("account.saved"));
    });
  }

  #until(values, until) {
    const end = values["own-end"];
    if (end === "same") return until;
    if (end === "") return null;
    const time = end === "at" ? new Date(values["own-until"]) : new Date(now() + Number(end) * 1_000);
    if (!(time > now())) throw new Complaint(t("profile.until.past"));
    return time;
  }

  #emojiButton(emoji) {
    const toggle = () => {
      const panel = $("#own-emoji-panel");
      panel.hidden = !panel.hidden;
      $("#own-emoji").setAttribute("aria-expanded", String(!panel.hidden));
      if (panel.hidden) return;
      if (panel.childElementCount === 0) this.#fill(panel, emoji);
      $("button", panel).focus();
    };
    const label = emoji ? t("profile.emoji.is", { emoji }) : t("profile.emoji");
    return el("button", { type: "button", class: "plain emoji-choice", id: "own-emoji", "data-key": "own-emoji", "aria-expanded": "false", "aria-controls": "own-emoji-panel", "aria-label": label, title: label, onclick: toggle },
      emoji ? el("span", { class: "emoji-sign" }, emoji) : icon("smile"));
  }

  #fill(panel, emoji) {
    const pick = (chosen) => {
      this.#chosen.emoji = chosen;
      this.#draw();
      $("#own-emoji").focus();
    };
    const close = () => {
      panel.hidden = true;
      $("#own-emoji").setAttribute("aria-expanded", "false");
      $("#own-emoji").focus();
    };
    // Escape closes the panel only, and not the dialog.
    panel.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
    fillPicker(panel, pick, close);
    const other = el("input", { class: "other", "aria-label": t("reaction.other"), placeholder: t("reaction.other"), maxlength: 32, value: EMOJI.includes(emoji) ? null : emoji || null });
    other.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
    other.addEventListener("input", () => isEmoji(other.value.trim()) && pick(other.value.trim()));
    panel.append(other, el("button", { type: "button", class: "none", onclick: () => pick("") }, t("profile.emoji.none")));
  }
}

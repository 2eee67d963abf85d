// The profile of another person: what they show, and what the person at this page has to do with them.

import { $, busy, confirm, el, open, toast } from "./dom.js";
import { Complaint, explain } from "./errors.js";
import { face, says, statusOf } from "./faces.js";
import { field, form } from "./forms.js";
import { inTime, moment, nameOf, shownNameOf, webUrl } from "./format.js";
import { ask, isLoaded } from "./media.js";
import { dotted, presenceWords } from "./presence.js";
import { closing, steady } from "./steady.js";
import { t } from "./texts.js";

const TAGS = 32;
const TAG_LENGTH = 32;

/** Tags in a text, with commas between them. */
export const tagsIn = (text) => [...new Set(text.split(/[,，、]/).map((tag) => tag.trim()).filter(Boolean))];

export class Person {
  #tideline;
  #store;
  #people;
  #go;
  #id = null;
  /** What was read of the person: the profile, and the count of friends in common. */
  #profile = null;
  #mutual = null;
  #loading = null;
  #dialog = $("#person-dialog");
  #draw;

  /** `go` opens a conversation. */
  constructor(tideline, store, people, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#people = people;
    this.#go = go;
    this.#draw = steady($("#person-body"), () => this.#parts(), closing(this.#dialog));
    people.on(() => this.redraw());
    store.on("blocked", () => this.redraw());
    store.on("people", () => {
      if (this.#dialog.open && store.people.get(this.#id)?.rev > this.#profile?.rev) this.#load(this.#id);
    });
  }

  redraw() {
    if (this.#dialog.open) this.#draw();
  }

  /** The person who is shown. */
  get id() {
    return this.#dialog.open ? this.#id : null;
  }

  show(id) {
    this.#id = id;
    this.#profile = this.#mutual = null;
    $("#person-body").replaceChildren();
    this.#draw();
    open(this.#dialog);
    this.#load(id);
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#id = this.#profile = this.#mutual = this.#loading = null;
    $("#person-body").replaceChildren();
  }

  async #load(id) {
    if (this.#loading === id) return;
    this.#loading = id;
    const user = this.#store.me?.id;
    const is = () => this.#id === id && this.#store.me?.id === user;
    try {
      const profile = await this.#tideline.getUser(id);
      if (!is()) return;
      this.#profile = profile;
      this.#store.meet([profile]);
      this.#draw();
      const mutual = await this.#tideline.countMutualContacts(id);
      if (!is()) return;
      this.#mutual = mutual;
      this.#draw();
    } catch (error) {
      if (is()) toast(explain(error));
    } finally {
      if (this.#loading === id) this.#loading = null;
    }
  }

  get #user() {
    return this.#profile ?? this.#store.people.get(this.#id) ?? null;
  }

  #parts() {
    const user = this.#user;
    if (!user) return [el("p", { class: "soft" }, t("noun.loading"))];
    const blocked = this.#store.blocked.has(user.id);
    // Nothing reaches an erased account.
    if (user.deleted) return [this.#hero(user), blocked ? this.#block(user, blocked) : null];
    return [this.#hero(user), this.#about(user), this.#actions(user), blocked ? null : this.#friendship(user), this.#notes(user), this.#block(user, blocked)];
  }

  #hero(user) {
    const name = nameOf(user);
    const shown = shownNameOf(user);
    const present = this.#store.blocked.has(user.id) ? null : presenceWords(user);
    return el("div", { class: "hero" }, dotted(user, face(user)), el("div", {},
      el("p", { class: "hero-title", dir: "auto" }, name),
      present ? el("p", { class: "present" }, present) : null,
      el("p", { class: "soft" }, el("bdi", {}, name === shown ? `@${user.username}` : `${shown} · @${user.username}`))));
  }

  /** The picture of another host is loaded when the person asks for it. */
  #picture(user) {
    const url = webUrl(user.avatar_url ?? "");
    if (!url || isLoaded(url)) return null;
    const load = () => {
      ask(url);
      this.#store.redraw();
      this.#draw();
    };
    return el("div", {}, el("button", { type: "button", class: "link", "data-key": "picture", onclick: load }, t("message.picture.load")),
      el("p", { class: "soft" }, t("message.picture.why", { host: url.host })));
  }

  #about(user) {
    const said = says(user);
    const { until } = statusOf(user) ?? {};
    const bio = this.#profile?.bio;
    const { count = 0, capped = false } = this.#mutual ?? {};
    return el("section", {},
      said ? el("p", { class: "status-line" }, said, until ? el("span", { class: "soft" }, ` ${t("person.until", { time: moment(until) })}`) : null) : null,
      bio ? el("p", { class: "bio", dir: "auto" }, bio) : null,
      this.#picture(user),
      count > 0 ? el("p", { class: "soft" }, t(capped ? "person.mutual.more" : "person.mutual", { count })) : null);
  }

  /** Shows a failure as text. */
  async #act(button, work, failed = explain) {
    const id = this.#id;
    await busy(button, async () => {
      try {
        await work(id);
      } catch (error) {
        toast(failed(error));
      }
    });
  }

  #button(key, words, work, kind = "plain") {
    return el("button", { type: "button", class: kind, "data-key": key, onclick: ({ currentTarget }) => this.#act(currentTarget, work) }, words);
  }

  #actions(user) {
    const talk = async (id) => {
      const conversation = await this.#people.conversationWith(id);
      if (this.#id === id && this.#dialog.open) this.#go(conversation.id);
    };
    return el("div", { class: "buttons" }, this.#button("talk", t("person.talk"), talk, "primary"),
      this.#people.contacts.has(user.id) ? null : this.#button("add", t("person.add"), (id) => this.#people.note(id, {})));
  }

  // Friends.

  #friendship(user) {
    const contact = this.#people.contacts.get(user.id);
    const incoming = this.#people.requestOf("in", user.id);
    const outgoing = this.#people.requestOf("out", user.id);
    const parts = contact?.state === "friend" ? [el("p", { class: "soft" }, t("person.friends.since", { time: moment(contact.friends_since) }))]
      : incoming ? this.#incoming(incoming)
      : outgoing ? this.#outgoing(outgoing)
      : [this.#askForm(user)];
    return el("section", {}, el("h3", {}, t("person.friends")), ...parts);
  }

  #incoming({ user, message }) {
    const accept = async (id) => {
      await this.#people.accept(id);
      toast(t("requests.accepted", { name: nameOf(user) }));
    };
    return [el("p", {}, t("person.asks", { name: nameOf(user) })), message ? el("blockquote", { class: "said-to", dir: "auto" }, message) : null,
      el("div", { class: "buttons" }, this.#button("accept", t("requests.accept"), accept), this.#button("decline", t("requests.decline"), (id) => this.#people.decline(id), "danger quiet"))].filter(Boolean);
  }

  #outgoing({ message, expires_at }) {
    return [el("p", {}, t("person.asked", { time: inTime(expires_at) })), message ? el("blockquote", { class: "said-to", dir: "auto" }, message) : null,
      this.#button("cancel", t("requests.cancel"), (id) => this.#people.cancel(id))].filter(Boolean);
  }

  #askForm({ id }) {
    const message = field({ id: "person-message", text: t("person.message"), rows: 2, maxlength: 300, dir: "auto" });
    return form({ id: "person-ask", fields: [message], label: t("person.ask") }, async (values) => {
      try {
        await this.#people.ask(id, values["person-message"].trim() || null);
      } catch (error) {
        throw error.code === "limit_reached" && error.retryAfterMs ? new Complaint(t("person.ask.later", { time: inTime(Date.now() + error.retryAfterMs) })) : error;
      }
    });
  }

  // What the person notes.

  #notes({ id }) {
    const contact = this.#people.contacts.get(id);
    if (!contact) return null;
    const fields = [
      field({ id: "person-alias", text: t("person.alias"), value: contact.alias ?? "", maxlength: 64, autocomplete: "off", dir: "auto" }),
      field({ id: "person-tags", text: t("person.tags"), help: t("person.tags.help"), value: contact.tags.join(", "), autocomplete: "off", dir: "auto" }),
    ];
    const save = async (values) => {
      const tags = tagsIn(values["person-tags"]);
      if (tags.length > TAGS || tags.some((tag) => [...tag].length > TAG_LENGTH)) throw new Complaint(t("person.tags.wrong"));
      await this.#people.note(id, { alias: values["person-alias"].trim() || null, tags });
      toast(t("account.saved"));
    };
    const star = ({ currentTarget }) => this.#act(currentTarget, () => this.#people.note(id, { starred: currentTarget.checked }));
    return el("section", {}, el("h3", {}, t("person.notes")), el("p", { class: "soft" }, t("person.notes.help")),
      el("label", { class: "check" }, el("input", { type: "checkbox", "data-key": "star", checked: contact.starred, onchange: star }), t("person.star")),
      form({ id: "person-notes", fields, label: t("noun.save") }, save),
      el("button", { type: "button", class: "danger quiet", "data-key": "remove", onclick: ({ currentTarget }) => this.#remove(currentTarget, contact) }, t("person.remove")));
  }

  async #remove(button, { user, state }) {
    const name = nameOf(user);
    const text = t(state === "friend" ? "person.remove.friend" : "person.remove.text", { name });
    if (!(await confirm({ title: t("person.remove.ask", { name }), text, yes: t("person.remove.yes") }))) return;
    await this.#act(button, (id) => this.#people.remove(id));
  }

  #block(user, blocked) {
    const name = nameOf(user);
    const toggle = async ({ currentTarget }) => {
      if (!blocked && !(await confirm({ title: t("details.block.ask", { name }), text: t("details.block.ask.text"), yes: t("details.block") }))) return;
      await this.#act(currentTarget, async (id) => {
        await (blocked ? this.#tideline.unblockUser(id) : this.#tideline.blockUser(id));
        this.#store.setBlocked(id, !blocked);
      });
    };
    return el("section", {}, el("h3", {}, t("details.block")), el("p", { class: "soft" }, t(blocked ? "details.block.now" : "details.block.then")),
      el("button", { type: "button", class: blocked ? "plain" : "danger quiet", "data-key": "block", onclick: toggle }, t(blocked ? "details.unblock.person" : "details.block.person", { name })));
  }
}

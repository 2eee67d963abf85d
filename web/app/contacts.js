// The contacts: the list, and the requests to become friends.

import { $, $$, busy, el, icon, open, say, toast } from "./dom.js";
import { Complaint, explain } from "./errors.js";
import { face, says } from "./faces.js";
import { inTime, listed, moment, nameOf, plain, shownNameOf } from "./format.js";
import { findPeople } from "./new.js";
import { dotted, spokenDot } from "./presence.js";
import { closing, steady } from "./steady.js";
import { t } from "./texts.js";

/** The number of contacts that are shown until the person asks for more. */
const SHOWN = 100;

export class Contacts {
  #tideline;
  #store;
  #people;
  #show;
  #go;
  #shown = SHOWN;
  #dialog = $("#contacts-dialog");
  #drawList;
  #drawRequests;

  /** `showPerson` shows a profile, `go` opens a conversation. */
  constructor(tideline, store, people, showPerson, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#people = people;
    this.#show = showPerson;
    this.#go = go;
    this.#drawList = steady($("#contacts"), () => this.#list(), () => $("#contacts-find"));
    this.#drawRequests = steady($("#requests"), () => this.#requests(), closing(this.#dialog));
    people.on(() => this.#draw());
    store.on("people", () => this.#dialog.open && this.#draw());
    $("#contacts-button").addEventListener("click", () => this.show());
    for (const radio of $$("#contacts-view input")) radio.addEventListener("change", () => this.#draw());
    for (const name of ["input", "change"]) $("#contacts-filters").addEventListener(name, () => this.#draw());
    $("#contacts-more").addEventListener("click", () => {
      this.#shown += SHOWN;
      this.#draw();
    });
    $("#contacts-add").addEventListener("submit", (event) => {
      event.preventDefault();
      busy($("#contacts-add-go"), () => this.#add());
    });
    this.#draw();
  }

  show() {
    if (!this.#people.ready) return;
    this.#shown = SHOWN;
    $("#contacts-find").value = "";
    $("#contacts-which").value = "";
    say($("#contacts-error"), null);
    const asked = this.#people.pending("in").length > 0;
    $(`#contacts-view [value=${asked ? "requests" : "list"}]`).checked = true;
    this.#draw();
    open(this.#dialog);
    if (!asked) $("#contacts-find").focus();
    this.#store.revise([...this.#people.contacts.keys()].slice(0, SHOWN)).catch(() => {});
  }

  redraw() {
    if (this.#dialog.open) this.#draw();
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    for (const id of ["contacts", "requests"]) $(`#${id}`).replaceChildren();
  }

  #draw() {
    const asked = this.#people.pending("in").length;
    const label = asked > 0 ? t("contacts.open.count", { count: asked }) : t("contacts.open");
    $("#contacts-button").hidden = !this.#people.ready;
    $("#contacts-button").title = label;
    $("#contacts-button").setAttribute("aria-label", label);
    for (const badge of $$("#contacts-badge, #requests-badge")) {
      badge.hidden = asked === 0;
      badge.textContent = asked > 99 ? "99+" : String(asked);
    }
    const view = $("#contacts-view input:checked").value;
    $("#contacts-pane").hidden = view !== "list";
    $("#requests-pane").hidden = view !== "requests";
    if (!this.#dialog.open && !this.#people.ready) return;
    this.#drawFilter();
    this.#drawList();
    this.#drawRequests();
  }

  // The list.

  #drawFilter() {
    const which = $("#contacts-which");
    const tags = [...new Set([...this.#people.contacts.values()].flatMap((contact) => contact.tags))].sort((a, b) => a.localeCompare(b));
    const options = [["", t("contacts.all")], ["starred", t("contacts.starred")], ["friends", t("contacts.friends")], ...tags.map((tag) => [`tag ${tag}`, t("contacts.tag", { tag: plain(tag) })])];
    const seen = JSON.stringify(options);
    if (which.dataset.seen === seen) return;
    which.dataset.seen = seen;
    const { value } = which;
    which.replaceChildren(...options.map(([one, words]) => el("option", { value: one, selected: one === value }, words)));
  }

  get #found() {
    const words = $("#contacts-find").value.trim().toLowerCase();
    const which = $("#contacts-which").value;
    const fits = (one) =>
      (which === "" || (which === "starred" && one.starred) || (which === "friends" && one.state === "friend") || one.tags.some((tag) => which === `tag ${tag}`)) &&
      [one.alias ?? "", one.user.display_name, one.user.username, ...one.tags].join("\n").toLowerCase().includes(words);
    const now = (contact) => ({ ...contact, user: this.#store.people.get(contact.user.id) ?? contact.user });
    const found = [...this.#people.contacts.values()].map(now).filter(fits);
    return found.sort((a, b) => b.starred - a.starred || nameOf(a.user).localeCompare(nameOf(b.user)));
  }

  #list() {
    const found = this.#found;
    $("#contacts-more").hidden = found.length <= this.#shown;
    const none = this.#people.contacts.size === 0 ? "contacts.none" : "list.unmatched";
    say($("#contacts-none"), found.length > 0 ? null : t(none));
    return found.slice(0, this.#shown).map((contact) => this.#row(contact));
  }

  #row({ user, state, alias, tags, starred }) {
    const name = nameOf(user);
    const said = says(user);
    const about = [alias ? shownNameOf(user) : null, `@${user.username}`].filter(Boolean).join(" · ");
    const star = ({ currentTarget }) => this.#act(currentTarget, () => this.#people.note(user.id, { starred: !starred }));
    return el("li", {},
      el("button", { type: "button", class: "person-row", "data-key": `person ${user.id}`, onclick: () => this.#show(user.id) },
        dotted(user, face(user)),
        el("span", { class: "member-words" },
          el("span", { class: "member-name" }, el("bdi", { class: "name" }, name), spokenDot(user), said ? " " : null, said),
          el("span", { class: "soft" }, el("bdi", {}, about), state === "friend" ? ` · ${t("contacts.friend")}` : null),
          tags.length > 0 ? el("span", { class: "tags" }, ...tags.map((tag) => el("bdi", { class: "role" }, plain(tag)))) : null)),
      el("button", { type: "button", class: "round star", "data-key": `star ${user.id}`, "aria-pressed": String(starred), "aria-label": t("contacts.star", { name }), title: t("contacts.star", { name }), onclick: star }, icon("star")),
      el("button", { type: "button", class: "round", "data-key": `talk ${user.id}`, "aria-label": t("contacts.talk", { name }), title: t("contacts.talk", { name }), onclick: ({ currentTarget }) => this.#act(currentTarget, () => this.#talk(user)) }, icon("chat")));
  }

  async #talk({ id }) {
    const conversation = await this.#people.conversationWith(id);
    if (this.#dialog.open) this.#go(conversation.id);
  }

  async #add() {
    say($("#contacts-error"), null);
    const me = this.#store.me?.id;
    try {
      const found = await findPeople(this.#tideline, $("#contacts-name").value);
      if (found.some(({ id }) => id === me)) throw new Complaint(t("contacts.self"));
      for (const { id } of found) await this.#people.note(id, {});
      if (this.#store.me?.id !== me) return;
      $("#contacts-name").value = "";
      toast(t("contacts.added", { names: listed(found.map(nameOf)) }));
      if (found.length === 1 && this.#dialog.open) this.#show(found[0].id);
    } catch (error) {
      say($("#contacts-error"), explain(error));
    }
  }

  // Requests.

  #requests() {
    const part = (direction) => {
      const all = this.#people.pending(direction);
      const rows = all.length > 0 ? el("ul", { class: "members" }, ...all.map((request) => this.#request(request))) : el("p", { class: "soft" }, t(`requests.${direction}.none`));
      return el("section", {}, el("h3", {}, t(`requests.${direction}`)), rows);
    };
    return [part("in"), part("out")];
  }

  #request({ user: asked, direction, message, mutual_count, created_at, expires_at }) {
    const user = this.#store.people.get(asked.id) ?? asked;
    const name = nameOf(user);
    const act = (key, work, kind) =>
      el("button", { type: "button", class: `${kind} small`, "data-key": `${key} ${user.id}`, "aria-label": t(`requests.${key}.label`, { name }), onclick: ({ currentTarget }) => this.#act(currentTarget, work) }, t(`requests.${key}`));
    const accept = async () => {
      await this.#people.accept(user.id);
      toast(t("requests.accepted", { name }));
    };
    const time = direction === "in" ? el("time", { datetime: created_at }, moment(created_at)) : t("requests.expires", { time: inTime(expires_at) });
    return el("li", { class: "request" },
      el("button", { type: "button", class: "person-row", "data-key": `asked ${user.id}`, onclick: () => this.#show(user.id) },
        face(user),
        el("span", { class: "member-words" },
          el("span", { class: "member-name" }, el("bdi", { class: "name" }, name)),
          el("span", { class: "soft" }, el("bdi", {}, `@${user.username}`), " · ", time),
          mutual_count > 0 ? el("span", { class: "soft" }, t("person.mutual", { count: mutual_count })) : null)),
      message ? el("blockquote", { class: "said-to", dir: "auto" }, message) : null,
      el("div", { class: "buttons" }, ...(direction === "in" ? [act("accept", accept, "plain"), act("decline", () => this.#people.decline(user.id), "danger quiet")] : [act("cancel", () => this.#people.cancel(user.id), "plain")])));
  }

  async #act(button, work) {
    await busy(button, async () => {
      try {
        await work();
      } catch (error) {
        toast(explain(error));
      }
    });
  }
}

// The details of a conversation and their changes: the other person, or the group, its members and their roles.

import { now } from "./dates.js";
import { $, busy, confirm, el, icon, open, say, toast } from "./dom.js";
import { explain } from "./errors.js";
import { face, faceOf, says } from "./faces.js";
import { kindName, membersOf, moment, nameOf, ownTitleOf, titleOf } from "./format.js";
import { findPeople, refusedOf } from "./new.js";
import { pictureButtons } from "./pictures.js";
import { changeRule, rulesOf } from "./rules.js";
import { t } from "./texts.js";

const RANK = { member: 0, admin: 1, owner: 2 };
const HOUR_MS = 3_600_000;
/** The members of one page, and the number shown until the person asks for more. */
const PAGE = 500;
/** The number of banned people that are shown; when a ban is lifted, the next one is shown. */
const BANS = 100;

export class Details {
  #tideline;
  #store;
  #id = null;
  #members = null;
  #banned = [];
  /** The error message of each form, by the form's id. */
  #errors = new Map();
  #shown = PAGE;
  #opened = null;
  /** Whether a button is held down, and whether the data has changed since. */
  #pressed = false;
  #stale = false;
  #showPerson;
  #dialog = $("#details-dialog");
  #body = $("#details-body");

  /** `showPerson` shows a profile. */
  constructor(tideline, store, showPerson) {
    this.#tideline = tideline;
    this.#store = store;
    this.#showPerson = showPerson;
    store.on("members", (id) => id === this.#id && this.#dialog.open && this.#load());
    store.on("blocked", () => this.#dialog.open && this.#draw());
    store.on("gone", (id) => id === this.#id && this.#dialog.close());
    this.#body.addEventListener("pointerdown", () => (this.#pressed = true));
    // The result of a click is drawn immediately.
    this.#body.addEventListener("click", () => (this.#pressed = false), { capture: true });
    for (const name of ["pointerup", "pointercancel"]) {
      // The click event, if there is one, comes right after this one.
      window.addEventListener(name, () => setTimeout(() => this.#released()));
    }
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#id = this.#members = this.#opened = null;
    this.#banned = [];
    this.#errors.clear();
    this.#body.replaceChildren();
  }

  /** Shows the details; with `focus` at the element with this id. */
  show(id, focus = null) {
    this.forget();
    this.#id = id;
    this.#shown = PAGE;
    this.#draw();
    open(this.#dialog);
    if (focus) $(`#${focus}`, this.#body)?.focus();
    this.#load();
  }

  get #conversation() {
    return this.#store.conversations.get(this.#id);
  }

  async #load() {
    const id = this.#id;
    const user = this.#store.me?.id;
    if (this.#conversation?.kind === "direct") return this.#draw();
    try {
      await this.#store.refresh(id);
      const manages = RANK[this.#conversation?.me.role] >= RANK.admin;
      const [members, { users }] = await Promise.all([this.#list(id), manages ? this.#tideline.listBans(id, { limit: BANS }) : { users: [] }]);
      if (id !== this.#id || user !== this.#store.me?.id) return;
      this.#store.meet(members.map(({ user }) => user));
      this.#banned = users;
      this.#members = members.sort((a, b) => RANK[b.role] - RANK[a.role] || nameOf(a.user).localeCompare(nameOf(b.user)));
    } catch (error) {
      if (id !== this.#id) return;
      if (error.status !== 404) toast(explain(error));
    }
    this.#draw();
  }

  /** Loads as many members as are shown, page after page. */
  async #list(id) {
    const found = [];
    for (let cursor; cursor !== null && found.length < this.#shown; ) {
      const page = await this.#tideline.listMembers(id, { limit: PAGE, ...(cursor && { cursor }) });
      found.push(...page.members);
      cursor = page.next_cursor;
    }
    return found;
  }

  /** Shows a failure of an action as text. The inbox reports the change as well; the view does not wait for that. */
  async #act(button, work) {
    await busy(button, async () => {
      try {
        await work();
        if (this.#conversation) await this.#load();
      } catch (error) {
        toast(explain(error));
      }
    });
  }

  #released() {
    this.#pressed = false;
    if (this.#stale) this.#draw();
  }

  #draw() {
    const conversation = this.#conversation;
    // A button that is replaced while it is held down gets no click.
    this.#stale = this.#pressed;
    if (!conversation || this.#pressed) return;
    const focused = this.#body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    // Only typed input is restored: a name that another person has changed meanwhile is not typed input.
    const changed = [...this.#body.querySelectorAll("input")].filter((input) => input.value !== input.defaultValue);
    const typed = new Map(changed.map((input) => [input.id, input.value]));
    const parts = conversation.kind === "direct" ? this.#person(conversation) : this.#group(conversation);
    this.#body.replaceChildren(...parts);
    for (const [id, value] of typed) if (id && this.#body.querySelector(`#${id}`)) $(`#${id}`, this.#body).value = value;
    if (focused) (this.#body.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? $("[data-close]", this.#dialog)).focus();
  }

  // A direct conversation.

  #person(conversation) {
    const { peer, created_at } = conversation;
    const blocked = this.#store.blocked.has(peer.id);
    const name = nameOf(peer);
    const toggle = el("button", {
      type: "button", class: blocked ? "plain" : "danger quiet", "data-key": "block",
      onclick: ({ currentTarget }) => this.#block(currentTarget, peer, blocked),
    }, t(blocked ? "details.unblock.person" : "details.block.person", { name }));
    return [
      el("div", { class: "hero" }, face(peer, name), el("div", {}, el("p", { class: "hero-title", dir: "auto" }, name), el("p", { class: "soft" }, `@${peer.username}`))),
      el("div", {}, el("button", { type: "button", class: "plain", "data-key": "profile", onclick: () => this.#showPerson(peer.id) }, t("person.title"))),
      this.#nicknameForm(conversation),
      el("p", { class: "soft" }, t("details.since", { time: moment(created_at) })),
      this.#rules(conversation),
      el("section", {}, el("h3", {}, t("details.block")),
        el("p", { class: "soft" }, t(blocked ? "details.block.now" : "details.block.then")), toggle),
    ].filter(Boolean);
  }

  async #block(button, peer, blocked) {
    const name = nameOf(peer);
    if (!blocked && !(await confirm({ title: t("details.block.ask", { name }), text: t("details.block.ask.text"), yes: t("details.block") }))) return;
    await this.#act(button, async () => {
      await (blocked ? this.#tideline.unblockUser(peer.id) : this.#tideline.blockUser(peer.id));
      this.#store.setBlocked(peer.id, !blocked);
    });
  }

  // A group.

  #group(conversation) {
    const { me, member_count } = conversation;
    const what = kindName(conversation);
    const unlisted = this.#members ? member_count - this.#members.length : 0;
    const manages = RANK[me.role] >= RANK.admin;
    return [
      el("div", { class: "hero" }, faceOf(conversation, ownTitleOf(conversation)), el("div", {},
        el("p", { class: "hero-title", dir: "auto" }, ownTitleOf(conversation)), el("p", { class: "soft" }, t(`details.you.${me.role}`, { members: membersOf(conversation) })))),
      manages ? this.#picture(conversation) : null,
      conversation.public ? el("section", {}, el("h3", {}, t("details.public")), el("p", { class: "soft" }, t("details.public.text")), el("code", { class: "id" }, conversation.id)) : null,
      this.#nicknameForm(conversation),
      manages ? this.#renameForm(conversation) : null,
      manages ? this.#addForm() : null,
      this.#rules(conversation),
      el("section", {}, el("h3", {}, t("details.members")),
        this.#members
          ? el("ul", { class: "members" }, ...this.#members.map((member) => this.#member(member, me.role)))
          : el("p", { class: "soft" }, t("noun.loading")),
        unlisted > 0 ? el("button", { type: "button", class: "plain", "data-key": "more", onclick: ({ currentTarget }) => this.#more(currentTarget) }, t("details.more", { count: Math.min(unlisted, PAGE) })) : null),
      this.#banned.length > 0 ? this.#bans() : null,
      el("section", {}, el("button", { type: "button", class: "danger quiet", "data-key": "leave", onclick: ({ currentTarget }) => this.#leave(currentTarget) }, t(`details.leave.${what}`))),
    ].filter(Boolean);
  }

  #picture({ id, avatar_url }) {
    if (!this.#store.features.has("media")) return null;
    return pictureButtons(Boolean(avatar_url), async (picture, about) => {
      this.#store.picture(await this.#tideline.setConversationAvatar(id, picture, about));
      if (id === this.#id) this.#draw();
    });
  }

  #bans() {
    const id = this.#id;
    const ban = (user) => {
      const name = nameOf(user);
      const lift = ({ currentTarget }) => this.#act(currentTarget, () => this.#tideline.unbanUser(id, user.id));
      return el("li", {},
        face(user, name),
        el("div", { class: "member-words" }, el("p", { class: "member-name", dir: "auto" }, name), el("p", { class: "soft" }, `@${user.username}`)),
        el("button", { type: "button", class: "plain small", "aria-label": t("details.unban.label", { name }), onclick: lift }, t("details.unban")));
    };
    return el("section", {}, el("h3", {}, t("details.banned")), el("ul", { class: "members", id: "banned" }, ...this.#banned.map(ban)));
  }

  async #more(button) {
    this.#shown += PAGE;
    await busy(button, () => this.#load());
  }

  #inlineForm({ id, label, value = "", button, maxlength }, submit) {
    const input = el("input", { id, value, maxlength, autocomplete: "off", spellcheck: "false", dir: "auto", "data-key": id, "aria-describedby": `${id}-error` });
    const error = el("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true });
    say(error, this.#errors.get(id) ?? null);
    // Meanwhile the form may have been redrawn, or may belong to another conversation.
    const of = this.#id;
    const tell = (text) => {
      if (of !== this.#id) return;
      this.#errors.set(id, text);
      const shown = this.#body.querySelector(`#${id}-error`);
      if (shown) say(shown, text);
    };
    const go = el("button", { class: "plain", "data-key": `${id}-go` }, button);
    const send = async (event) => {
      event.preventDefault();
      tell(null);
      await busy(go, async () => {
        try {
          await submit(input);
          await this.#load();
        } catch (problem) {
          tell(explain(problem));
        }
      });
    };
    return el("form", { class: "field", novalidate: true, onsubmit: send }, el("label", { for: id }, label), el("div", { class: "inline" }, input, go), error);
  }

  #renameForm({ id, title }) {
    const spec = { id: "rename", label: t("details.name"), value: title, button: t("details.rename"), maxlength: 128 };
    return this.#inlineForm(spec, async (input) => this.#store.retitle(await this.#tideline.updateConversation(id, { title: input.value.trim() })));
  }

  /** The name that only the person sees. */
  #nicknameForm({ id, me }) {
    if (!this.#store.features.has("settings")) return null;
    const spec = { id: "nickname", label: t("details.nickname"), value: me.settings.nickname ?? "", button: t("noun.save"), maxlength: 64 };
    return this.#inlineForm(spec, async (input) => {
      this.#store.arrange(id, await this.#tideline.updateSettings(id, { nickname: input.value.trim() || null }));
      toast(t("account.saved"));
    });
  }

  #rules(conversation) {
    const { id } = conversation;
    return rulesOf(conversation, this.#store.features, async (change) => {
      await changeRule(this.#tideline, this.#store, id, change);
      if (id === this.#id) this.#draw();
    });
  }

  #addForm() {
    const id = this.#id;
    const spec = { id: "add-people", label: t("details.add.label"), button: t("details.add") };
    return this.#inlineForm(spec, async (input) => {
      const people = await findPeople(this.#tideline, input.value);
      const { already_members, refused } = await this.#tideline.addMembers(id, people.map((one) => one.id));
      (this.#body.querySelector("#add-people") ?? input).value = "";
      const said = [];
      if (already_members.length > 0) said.push(t(already_members.length === 1 ? "details.added.one" : "details.added.some"));
      if (refused.length > 0) said.push(refusedOf(refused, people));
      if (said.length > 0) toast(said.join(" "));
    });
  }

  #member({ user, role, muted_until }, mine) {
    const name = nameOf(user);
    const own = user.id === this.#store.me?.id;
    const muted = muted_until && new Date(muted_until) > now();
    const actions = own ? [] : this.#actions(user, role, muted, mine);
    const expanded = this.#opened === user.id && actions.length > 0;
    const listId = `actions-${user.id}`;
    const toggle = actions.length === 0 ? null : el("button", {
      type: "button", class: "round", "aria-expanded": String(expanded), "aria-controls": listId, "aria-label": t("details.menu", { name }), "data-key": `menu ${user.id}`,
      onclick: () => {
        this.#opened = expanded ? null : user.id;
        this.#draw();
      },
    }, icon("more"));
    const profile = el("button", { type: "button", class: "named", "data-key": `person ${user.id}`, onclick: () => this.#showPerson(user.id) }, own ? t("details.own", { name }) : name);
    const said = says(user);
    return el("li", {},
      face(user, name),
      el("div", { class: "member-words" },
        el("p", {}, el("span", { class: "member-name", dir: "auto" }, profile), said ? " " : null, said),
        el("p", { class: "soft" }, muted ? t("details.mutedUntil", { username: user.username, time: moment(muted_until) }) : `@${user.username}`)),
      role === "member" ? null : el("span", { class: `role role-${role}` }, t(`details.role.${role}`)),
      toggle,
      el("div", { class: "actions", id: listId, hidden: !expanded }, ...(expanded ? actions : [])));
  }

  /** The actions that my role allows on a member of this role. */
  #actions(user, role, muted, mine) {
    const id = this.#id;
    const name = nameOf(user);
    const action = (label, work, kind = "plain") =>
      el("button", { type: "button", class: `${kind} small`, "data-key": `${label} ${user.id}`, onclick: ({ currentTarget }) => this.#act(currentTarget, work) }, label);
    const asked = (question, work) => async () => ((await confirm(question)) ? work() : undefined);
    const roles = mine !== "owner" ? [] : [
      role === "member" ? action(t("details.make.admin"), () => this.#tideline.setRole(id, user.id, "admin")) : action(t("details.make.member"), () => this.#tideline.setRole(id, user.id, "member")),
      action(t("details.make.owner"), asked(
        { title: t(`details.hand.${kindName(this.#conversation)}`, { name }), text: t("details.hand.text", { name }), yes: t("details.hand.yes") },
        () => this.#tideline.setRole(id, user.id, "owner"),
      )),
    ];
    const lower = RANK[mine] <= RANK[role] || mine === "member" ? [] : [
      ...(muted
        ? [action(t("details.unmute"), () => this.#tideline.mute(id, user.id, null))]
        : [1, 24].map((hours) => action(t(`details.mute.${hours}`), () => this.#tideline.mute(id, user.id, new Date(now() + hours * HOUR_MS))))),
      action(t("details.remove"), asked(
        { title: t("details.remove.ask", { name }), text: t(`details.remove.${kindName(this.#conversation)}`, { name }), yes: t("details.remove") },
        () => this.#tideline.removeMember(id, user.id),
      ), "danger quiet"),
      action(t("details.ban"), asked(
        { title: t("details.ban.ask", { name }), text: t(`details.ban.${kindName(this.#conversation)}`, { name }), yes: t("details.ban") },
        () => this.#tideline.banUser(id, user.id),
      ), "danger quiet"),
    ];
    return [...roles, ...lower];
  }

  async #leave(button) {
    const conversation = this.#conversation;
    const text = t(`details.leave.text.${conversation.public ? "public" : kindName(conversation)}`);
    const heir = conversation.me.role === "owner" && this.#members?.length > 1;
    const question = { title: t("details.leave.ask", { title: titleOf(conversation) }), text: heir ? t("details.leave.heir", { text }) : text, yes: t("details.leave.yes") };
    if (!(await confirm(question))) return;
    await this.#act(button, () => this.#tideline.leave(this.#id));
  }
}

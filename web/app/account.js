// The account: its pages, the password, the devices, and logging out.

import { $, busy, confirm, el, icon, open, toast } from "./dom.js";
import { Ends } from "./ends.js";
import { explain } from "./errors.js";
import { face, says } from "./faces.js";
import { field, form } from "./forms.js";
import { ago, plain, shownNameOf } from "./format.js";
import { languages, themes } from "./looks.js";
import { has, t } from "./texts.js";

export class Account {
  /** Whether the person chose to log out: then the end of the session is not reported as forced. */
  leaving = false;
  #tideline;
  #store;
  #drafts;
  #pages;
  #ends;
  #devices = null;
  #dialog = $("#account-dialog");
  #body = $("#account-body");

  /** `pages` are the profile and the privacy page, `goodbye` shows a sentence after the end of the account. */
  constructor(tideline, store, drafts, pages, goodbye) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    this.#pages = pages;
    this.#ends = new Ends(tideline, (work) => this.#leaving(() => drafts.settle().then(work)), goodbye);
    store.on("people", () => $(".hero", this.#body)?.replaceWith(this.#hero()));
  }

  show() {
    this.#devices = null;
    this.#draw();
    open(this.#dialog);
    this.#load();
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#dialog.close();
    this.#devices = null;
    this.#body.replaceChildren();
  }

  async #load() {
    const { user } = this.#tideline;
    try {
      const devices = await this.#tideline.listDevices();
      if (this.#tideline.user?.id !== user.id) return;
      this.#devices = devices.sort((a, b) => b.current - a.current || (a.last_seen_at < b.last_seen_at ? 1 : -1));
    } catch (error) {
      if (this.#tideline.user) toast(explain(error));
      return;
    }
    this.#drawDevices();
  }

  #draw() {
    const { rename, last } = this.#ends.parts(this.#user);
    const page = (name) => el("button", { type: "button", class: "plain", id: `${name}-button`, onclick: () => this.#pages[name].show() }, t(`${name}.title`));
    this.#body.replaceChildren(
      this.#hero(),
      el("section", { class: "buttons" }, page("profile"), page("privacy")),
      this.#looks(),
      el("section", {}, el("h3", {}, t("account.devices")), el("p", { class: "soft" }, t("account.devices.text")), el("ul", { class: "members", id: "devices" })),
      rename,
      this.#passwordForm(),
      last,
      el("section", {}, el("button", { type: "button", class: "danger quiet", onclick: ({ currentTarget }) => this.#leave(currentTarget) }, t("account.out"))),
    );
    this.#drawDevices();
  }

  /** The current account: another tab may have changed the name. */
  get #user() {
    const { user } = this.#tideline;
    return this.#store.people.get(user.id) ?? user;
  }

  #hero() {
    const user = this.#user;
    const name = shownNameOf(user);
    const said = says(user);
    return el("div", { class: "hero" }, face(user, name), el("div", {}, el("p", { class: "hero-title", dir: "auto" }, name), el("p", { class: "soft" }, `@${user.username}`), said ? el("p", { class: "status-line" }, said) : null));
  }

  #looks() {
    const field = (id, label, fill) => el("div", { class: "field" }, el("label", { for: id }, label), fill(el("select", { id, class: "pick" })));
    return el("section", {}, field("own-language", t("looks.language"), languages), field("own-theme", t("looks.theme"), themes));
  }

  #passwordForm() {
    const fields = [
      { id: "old-password", text: t("account.password.old"), type: "password", autocomplete: "current-password", maxlength: 128 },
      { id: "new-password", text: t("account.password.new"), type: "password", autocomplete: "new-password", maxlength: 128 },
    ];
    return form({ id: "password-form", title: t("account.password"), fields: fields.map(field), label: t("account.password.change") }, async (values, form) => {
      await this.#tideline.changePassword({ old_password: values["old-password"], new_password: values["new-password"] });
      form.reset();
      toast(t("account.password.changed"));
      await this.#load();
    });
  }

  #drawDevices() {
    const list = $("#devices");
    if (!list) return;
    if (!this.#devices) return list.replaceChildren(el("li", { class: "soft" }, t("noun.loading")));
    list.replaceChildren(...this.#devices.map((device) => this.#device(device)));
  }

  #device({ id, name, platform, last_seen_at, current }) {
    const title = plain(name || "") || t(has(`account.device.${platform}`) ? `account.device.${platform}` : "account.device.other");
    const out = async ({ currentTarget }) => {
      if (!(await confirm({ title: t("account.device.out.ask", { name: title }), text: t("account.device.out.text"), yes: t("account.device.out") }))) return;
      await busy(currentTarget, async () => {
        try {
          await this.#tideline.removeDevice(id);
          $("[data-close]", this.#dialog).focus();
          await this.#load();
        } catch (error) {
          toast(explain(error));
        }
      });
    };
    return el("li", {},
      el("span", { class: "tile", "aria-hidden": "true" }, icon("device")),
      el("div", { class: "member-words" },
        el("p", { class: "member-name", dir: "auto" }, title),
        el("p", { class: "soft" }, current ? t("account.device.this") : t("account.device.seen", { ago: ago(last_seen_at) }))),
      current ? null : el("button", { type: "button", class: "danger quiet small", onclick: out, "aria-label": t("account.device.out.label", { name: title }) }, t("account.device.out")));
  }

  async #leave(button) {
    const unsent = this.#tideline.outbox.length;
    const text = unsent > 0 ? t("account.out.unsent", { count: unsent }) : t("account.out.text");
    if (!(await confirm({ title: t("account.out.ask"), text, yes: t("account.out") }))) return;
    // Logs out here even when the server is unreachable.
    await busy(button, () => this.#leaving(() => this.#drafts.settle().then(() => this.#tideline.logout()).catch(() => {})));
  }

  async #leaving(work) {
    this.leaving = true;
    try {
      return await work();
    } finally {
      this.leaving = false;
    }
  }
}

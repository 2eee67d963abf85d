// The account: the name that others see, the password, the devices, and logging out.

import { $, busy, confirm, el, icon, open, say, toast } from "./dom.js";
import { explain } from "./errors.js";
import { ago, avatar, nameOf, plain } from "./format.js";
import { languages, themes } from "./looks.js";
import { has, t } from "./texts.js";

export class Account {
  /** Whether the person chose to log out: then the end of the session is not reported as forced. */
  leaving = false;
  #tideline;
  #store;
  #drafts;
  #devices = null;
  #dialog = $("#account-dialog");
  #body = $("#account-body");

  constructor(tideline, store, drafts) {
    this.#tideline = tideline;
    this.#store = store;
    this.#drafts = drafts;
    store.on("renamed", () => $(".hero", this.#body)?.replaceWith(this.#hero()));
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
    const user = this.#user;
    this.#body.replaceChildren(
      this.#hero(),
      this.#nameForm(user),
      this.#looks(),
      this.#privacy(),
      el("section", {}, el("h3", {}, t("account.devices")), el("p", { class: "soft" }, t("account.devices.text")), el("ul", { class: "members", id: "devices" })),
      this.#passwordForm(),
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
    const name = nameOf(user);
    return el("div", { class: "hero" }, avatar(user.id, name), el("div", {}, el("p", { class: "hero-title", dir: "auto" }, name), el("p", { class: "soft" }, `@${user.username}`)));
  }

  #form(title, inputs, label, submit) {
    const error = el("p", { class: "error", role: "alert", hidden: true });
    const go = el("button", { class: "plain" }, label);
    const send = async (event) => {
      event.preventDefault();
      say(error, null);
      await busy(go, async () => {
        try {
          await submit(Object.fromEntries(new FormData(event.target)), event.target);
        } catch (problem) {
          say(error, explain(problem));
        }
      });
    };
    const fields = inputs.map(({ id, text, ...rest }) => el("div", { class: "field" }, el("label", { for: id }, text), el("input", { id, name: id, ...rest })));
    return el("form", { class: "section", novalidate: true, onsubmit: send }, title ? el("h3", {}, title) : null, ...fields, error, go);
  }

  #nameForm(user) {
    const input = { id: "own-name", text: t("account.name"), value: user.display_name, maxlength: 64, autocomplete: "name", dir: "auto" };
    return this.#form(null, [input], t("noun.save"), async (values) => {
      this.#store.rename(await this.#tideline.updateMe({ display_name: values["own-name"].trim() }));
      toast(t("account.saved"));
      this.#draw();
      $("#own-name").focus();
    });
  }

  #looks() {
    const field = (id, label, fill) => el("div", { class: "field" }, el("label", { for: id }, label), fill(el("select", { id, class: "pick" })));
    return el("section", {}, field("own-language", t("looks.language"), languages), field("own-theme", t("looks.theme"), themes));
  }

  /** What others see of the person. It is known when the account has loaded. */
  #privacy() {
    const { features } = this.#store;
    const box = (field, shown) => shown && el("input", { type: "checkbox", id: `own-${field}`, disabled: true, "aria-describedby": `own-${field}-help`, onchange: ({ currentTarget }) => this.#choose(currentTarget, field) });
    const boxes = { read_receipts: box("read_receipts", features.has("receipts")), forward_name: box("forward_name", features.has("slow_mode")) };
    const shown = Object.entries(boxes).filter(([, one]) => one);
    if (shown.length === 0) return el("div", { hidden: true });
    const user = this.#tideline.user.id;
    this.#tideline.getMe().then((me) => {
      if (this.#tideline.user?.id !== user) return;
      for (const [field, one] of shown) Object.assign(one, { checked: me[field], disabled: false });
    }, () => {});
    return el("section", {}, ...shown.flatMap(([field, one]) => [el("label", { class: "check" }, one, t(`account.${field}`)), el("p", { class: "help", id: `own-${field}-help` }, t(`account.${field}.help`))]));
  }

  async #choose(box, field) {
    const wanted = box.checked;
    try {
      await this.#tideline.updateMe({ [field]: wanted });
      toast(t("account.saved"));
      if (field === "read_receipts") this.#store.reread();
    } catch (error) {
      box.checked = !wanted;
      toast(explain(error));
    }
  }

  #passwordForm() {
    const inputs = [
      { id: "old-password", text: t("account.password.old"), type: "password", autocomplete: "current-password", maxlength: 128 },
      { id: "new-password", text: t("account.password.new"), type: "password", autocomplete: "new-password", maxlength: 128 },
    ];
    return this.#form(t("account.password"), inputs, t("account.password.change"), async (values, form) => {
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
    this.leaving = true;
    await busy(button, () => this.#drafts.settle().then(() => this.#tideline.logout()).catch(() => {}));
    this.leaving = false;
  }
}

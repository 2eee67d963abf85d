// The account: the name that others see, the password, the devices, and the way out.

import { $, busy, confirm, el, explain, icon, open, say, toast } from "./dom.js";
import { ago, avatar, nameOf, plain } from "./format.js";

const PLATFORMS = { web: "Browser", ios: "iPhone or iPad", android: "Android", desktop: "Desktop", bot: "Bot", other: "Device" };

export class Account {
  #tideline;
  #store;
  #devices = null;
  #dialog = $("#account-dialog");
  #body = $("#account-body");

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
  }

  show() {
    this.#devices = null;
    this.#draw();
    open(this.#dialog);
    this.#load();
  }

  close() {
    this.#dialog.close();
    this.#body.replaceChildren();
  }

  async #load() {
    try {
      const devices = await this.#tideline.listDevices();
      this.#devices = devices.sort((a, b) => b.current - a.current || (a.last_seen_at < b.last_seen_at ? 1 : -1));
    } catch (error) {
      if (this.#tideline.user) toast(explain(error));
      return;
    }
    this.#drawDevices();
  }

  #draw() {
    const { user } = this.#tideline;
    const name = nameOf(user);
    this.#body.replaceChildren(
      el("div", { class: "hero" }, avatar(user.id, name), el("div", {}, el("p", { class: "hero-title", dir: "auto" }, name), el("p", { class: "soft" }, `@${user.username}`))),
      this.#nameForm(user),
      el("section", {}, el("h3", {}, "Devices"), el("p", { class: "soft" }, "Where this account is signed in."), el("ul", { class: "members", id: "devices" })),
      this.#passwordForm(),
      el("section", {}, el("button", { type: "button", class: "danger quiet", onclick: ({ currentTarget }) => this.#leave(currentTarget) }, "Sign out")),
    );
    this.#drawDevices();
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
    const input = { id: "own-name", text: "Name that others see", value: user.display_name, maxlength: 64, autocomplete: "name", dir: "auto" };
    return this.#form(null, [input], "Save", async (values) => {
      this.#store.meet([await this.#tideline.updateMe({ display_name: values["own-name"].trim() })]);
      toast("Saved.");
      this.#draw();
      $("#own-name").focus();
    });
  }

  #passwordForm() {
    const inputs = [
      { id: "old-password", text: "Password now", type: "password", autocomplete: "current-password", maxlength: 128 },
      { id: "new-password", text: "New password", type: "password", autocomplete: "new-password", maxlength: 128 },
    ];
    return this.#form("Password", inputs, "Change it, and sign out all other devices", async (values, form) => {
      await this.#tideline.changePassword({ old_password: values["old-password"], new_password: values["new-password"] });
      form.reset();
      toast("Your password is changed.");
      await this.#load();
    });
  }

  #drawDevices() {
    const list = $("#devices");
    if (!list) return;
    if (!this.#devices) return list.replaceChildren(el("li", { class: "soft" }, "Loading…"));
    list.replaceChildren(...this.#devices.map((device) => this.#device(device)));
  }

  #device({ id, name, platform, last_seen_at, current }) {
    const title = plain(name || "") || PLATFORMS[platform] || PLATFORMS.other;
    const out = async ({ currentTarget }) => {
      if (!(await confirm({ title: `Log out “${title}”?`, text: "Whoever uses it has to sign in again.", yes: "Log out" }))) return;
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
        el("p", { class: "soft" }, current ? "This one" : `Last seen ${ago(last_seen_at)}`)),
      current ? null : el("button", { type: "button", class: "danger quiet small", onclick: out, "aria-label": `Log out ${title}` }, "Log out"));
  }

  async #leave(button) {
    const unsent = this.#tideline.outbox.length;
    const text = unsent > 0 ? `${unsent === 1 ? "One message has" : `${unsent} messages have`} not been sent yet, and will be lost.` : "Your messages stay on the server.";
    if (!(await confirm({ title: "Sign out?", text, yes: "Sign out" }))) return;
    // Signs out here whatever the server says; it may be out of reach.
    await busy(button, () => this.#tideline.logout().catch(() => {}));
  }
}

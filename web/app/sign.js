// Logging in and signing up.

import { $, busy, say } from "./dom.js";
import { explain, explainFields } from "./errors.js";
import { t } from "./texts.js";

export class Sign {
  #tideline;
  #done;
  #mode = "in";

  constructor(tideline, done) {
    this.#tideline = tideline;
    this.#done = done;
    $("#swap").addEventListener("click", () => {
      this.#show(this.#mode === "in" ? "up" : "in");
      $("#username").focus();
    });
    $("#sign-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy($("#sign-submit"), () => this.#submit());
    });
  }

  /** `notice` is the reason why the person has to log in again. */
  show(notice = null) {
    this.#show("in");
    say($("#welcome-notice"), notice);
    $("#welcome").hidden = false;
    $("#app").hidden = true;
    document.title = "Tideline";
    $("#username").focus();
  }

  #show(mode) {
    this.#mode = mode;
    $("#welcome-title").textContent = t(`sign.${mode}.title`);
    $("#welcome-lede").textContent = t(`sign.${mode}.lede`);
    $("#sign-submit").textContent = t(`sign.${mode}.submit`);
    $("#swap-text").textContent = t(`sign.${mode}.swap`);
    $("#swap").textContent = t(`sign.${mode}.other`);
    $("#display-name-field").hidden = mode === "in";
    $("#username-help").hidden = $("#password-help").hidden = mode === "in";
    $("#password").autocomplete = mode === "in" ? "current-password" : "new-password";
    this.#complain({});
  }

  #complain({ username, display_name, password, all }) {
    for (const [name, text] of Object.entries({ username, display_name, password })) {
      say($(`#${name}-error`), text);
      const input = $("#sign-form").elements[name];
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
    say($("#sign-error"), all);
    $("#sign-form [aria-invalid]")?.focus();
  }

  async #submit() {
    const { username, display_name, password } = Object.fromEntries(new FormData($("#sign-form")));
    const missing = {
      username: username.trim() ? null : t(this.#mode === "in" ? "sign.username.give" : "sign.username.choose"),
      password: password ? null : t("sign.password.give"),
    };
    if (missing.username || missing.password) return this.#complain(missing);
    this.#complain({});
    try {
      const who = { username: username.trim(), password };
      if (this.#mode === "in") await this.#tideline.login(who);
      else await this.#tideline.register({ ...who, display_name: display_name.trim() || undefined });
      $("#sign-form").reset();
      await this.#done();
    } catch (error) {
      this.#complain(this.#byField(error));
    }
  }

  /** An error about a field is shown at that field. */
  #byField(error) {
    const found = explainFields(error);
    if (error.code === "conflict") found.username = explain(error);
    return Object.keys(found).length > 0 ? found : { all: explain(error) };
  }
}

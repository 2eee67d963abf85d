// The end of an account: it is deactivated, or deleted. The password proves that it is the person.

import { $, busy, el, open, say, toast } from "./dom.js";
import { Complaint, explain } from "./errors.js";
import { field, form } from "./forms.js";
import { inTime, moment } from "./format.js";
import { t } from "./texts.js";

export class Ends {
  #tideline;
  #leave;
  #goodbye;
  #what = null;
  #dialog = $("#ends-dialog");

  /**
   * `leave` does work that ends the session by the person's own choice; `goodbye` shows a sentence at the login that follows.
   */
  constructor(tideline, leave, goodbye) {
    this.#tideline = tideline;
    this.#leave = leave;
    this.#goodbye = goodbye;
    $("#ends-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy($("#ends-yes"), () => this.#end());
    });
  }

  /** The username, and the two ends, as parts of the account page. */
  parts(user) {
    const name = field({ id: "own-username", text: t("ends.username"), help: t("ends.username.help"), value: user.username, maxlength: 32, autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
    const rename = form({ id: "username-form", fields: [name], label: t("noun.save") }, (values) => this.#rename(values["own-username"].trim()));
    const end = (what) => el("button", { type: "button", class: "danger quiet", id: `${what}-button`, onclick: () => this.#ask(what) }, t(`ends.${what}`));
    const last = el("section", {}, el("h3", {}, t("ends.title")), el("p", { class: "soft" }, t("ends.help")), el("div", { class: "buttons" }, end("deactivate"), end("delete")));
    return { rename, last };
  }

  async #rename(username) {
    try {
      await this.#tideline.updateMe({ username });
      toast(t("account.saved"));
    } catch (error) {
      if (error.code !== "limit_reached") throw error;
      const ms = error.retryAfterMs;
      throw new Complaint(ms ? t("ends.username.later", { time: inTime(Date.now() + ms) }) : t("ends.username.limit"));
    }
  }

  #ask(what) {
    this.#what = what;
    $("#ends-form").reset();
    say($("#ends-error"), null);
    $("#ends-title").textContent = t(`ends.${what}.ask`);
    const unsent = this.#tideline.outbox.length;
    $("#ends-text").textContent = [t(`ends.${what}.text`), unsent > 0 ? t("account.out.unsent", { count: unsent }) : ""].join(" ").trim();
    $("#ends-yes").textContent = t(`ends.${what}.yes`);
    open(this.#dialog);
    $("#ends-password").focus();
  }

  async #end() {
    const what = this.#what;
    const password = $("#ends-password").value || undefined;
    say($("#ends-error"), null);
    try {
      const done = await this.#leave(() => (what === "delete" ? this.#tideline.deleteAccount({ password }) : this.#tideline.deactivate({ password })));
      this.#goodbye(what === "delete" ? t("ends.delete.done", { time: moment(done.erase_at) }) : t("ends.deactivate.done"));
    } catch (error) {
      say($("#ends-error"), error.code === "invalid_credentials" ? t("ends.password.wrong") : explain(error));
    }
  }
}

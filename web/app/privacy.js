// The privacy page: who sees and may do what.

import { $, el, open, toast } from "./dom.js";
import { explain } from "./errors.js";
import { field } from "./forms.js";
import { closing, steady } from "./steady.js";
import { t } from "./texts.js";

const AUDIENCES = ["direct", "group_add", "contact_request", "contacts_visible", "presence", "last_seen"];
/** The features of the server that these belong to. */
const BOXES = { read_receipts: "receipts", forward_name: "slow_mode" };

export class Privacy {
  #tideline;
  #store;
  /** The settings; null before they have arrived. */
  #now = null;
  /** The last request: they run one after the other, since of two answers the later one must be the newer. */
  #last = Promise.resolve();
  #failed = false;
  #dialog = $("#privacy-dialog");
  #draw;

  constructor(tideline, store) {
    this.#tideline = tideline;
    this.#store = store;
    this.#draw = steady($("#privacy-body"), () => this.#parts(), closing(this.#dialog));
    // Changed here, or on another device.
    tideline.on("me", () => this.#dialog.open && this.#load());
  }

  show() {
    this.#now = null;
    this.#load();
    this.#draw();
    open(this.#dialog);
  }

  /** Deletes the data of one person before the next one logs in. */
  forget() {
    this.#now = null;
    $("#privacy-body").replaceChildren();
  }

  #load() {
    this.#failed = false;
    this.#request(() => this.#tideline.getPrivacy());
  }

  /** What was chosen while an earlier request is running stays on the page. */
  #request(ask, done = () => {}) {
    const user = this.#store.me?.id;
    const isSame = () => user === this.#store.me?.id;
    const own = this.#last.then(async () => {
      try {
        const privacy = isSame() && (await ask());
        if (!isSame()) return;
        this.#now = privacy;
        done();
      } catch (error) {
        if (!isSame()) return;
        this.#failed = true;
        toast(explain(error));
      }
      if (this.#last === own) this.#draw();
    });
    this.#last = own;
  }

  #again() {
    const retry = () => {
      this.#load();
      this.#draw();
    };
    return this.#failed ? el("button", { type: "button", class: "link", onclick: retry }, t("noun.retry")) : el("p", { class: "soft" }, t("noun.loading"));
  }

  #parts() {
    if (!this.#now) return [this.#again()];
    return [
      el("p", { class: "soft" }, t("privacy.lede")),
      ...AUDIENCES.map((name) => this.#choice(name, ["everyone", "contacts", "nobody"], (one) => one, (one) => t(`privacy.audience.${one}`))),
      this.#choice("discoverable", ["yes", "no"], (one) => (one ? "yes" : "no"), (one) => t(`privacy.${one}`)),
      el("section", {}, ...Object.keys(BOXES).filter((name) => this.#store.features.has(BOXES[name])).flatMap((name) => this.#box(name))),
    ];
  }

  /** A choice, with what the operator has set as the first one: what that is shows while it holds. */
  #choice(name, values, nameOfValue, words) {
    const chosen = this.#now[name];
    const holds = words(nameOfValue(this.#now.effective[name]));
    const own = chosen === null ? t("privacy.default.is", { what: holds }) : t("privacy.default");
    const options = [["", own], ...values.map((one) => [one, words(one)])];
    const read = { "": null, yes: true, no: false };
    const change = ({ currentTarget }) => this.#change({ [name]: currentTarget.value in read ? read[currentTarget.value] : currentTarget.value });
    return field({ id: `privacy-${name}`, text: t(`privacy.${name}`), options, value: chosen === null ? "" : nameOfValue(chosen), onchange: change });
  }

  #box(name) {
    const id = `own-${name}`;
    const change = ({ currentTarget }) => this.#change({ [name]: currentTarget.checked });
    const box = el("input", { type: "checkbox", id, checked: this.#now[name], "data-key": id, "aria-describedby": `${id}-help`, onchange: change });
    return [el("label", { class: "check" }, box, t(`account.${name}`)), el("p", { class: "help", id: `${id}-help` }, t(`account.${name}.help`))];
  }

  #change(change) {
    this.#request(() => this.#tideline.updatePrivacy(change), () => {
      toast(t("account.saved"));
      if ("read_receipts" in change) this.#store.reread();
    });
  }
}

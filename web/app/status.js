// The state of the connection, shown discreetly: as text only when it helps.

import { $, say } from "./dom.js";
import { t } from "./texts.js";

/** A shorter interruption is not shown. */
const SILENT_MS = 1_500;

export class Status {
  #tideline;
  #late = null;

  constructor(tideline) {
    this.#tideline = tideline;
    tideline.on("connection", () => this.draw());
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.draw());
    $("#status-action").addEventListener("click", () => tideline.start().catch(() => {}));
  }

  draw() {
    clearTimeout(this.#late);
    const state = navigator.onLine ? this.#tideline.connection : "offline";
    const [look, words] = {
      online: ["online", t("status.online")],
      superseded: ["superseded", t("status.superseded")],
      offline: navigator.onLine ? ["reconnecting", t("status.reconnecting")] : ["offline", t("status.offline")],
    }[state] ?? ["reconnecting", t("status.connecting")];
    const show = () => {
      $("#status").dataset.state = look;
      $("#status-text").textContent = words;
      say($("#chat-status"), look === "online" ? null : words);
      $("#status-action").hidden = look !== "superseded";
    };
    if (look === "reconnecting" && $("#status").dataset.state === "online") this.#late = setTimeout(show, SILENT_MS);
    else show();
  }
}

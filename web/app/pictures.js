// The buttons that give the person or a group a picture, and take it away.

import { sniff, shortName } from "./attach.js";
import { busy, el, toast } from "./dom.js";
import { Complaint, explainSend } from "./errors.js";
import { t } from "./texts.js";

const TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/** Asks for a file; null: none was chosen. */
function chosen() {
  const input = el("input", { type: "file", accept: TYPES.join(",") });
  return new Promise((resolve) => {
    input.addEventListener("change", () => resolve(input.files[0] ?? null));
    input.addEventListener("cancel", () => resolve(null));
    input.click();
  });
}

/** `set` gets the picture and what is known of the file, or null, and keeps it; `has` says whether there is a picture now. */
export function pictureButtons(has, set) {
  const act = async (button, work, done) => {
    await busy(button, async () => {
      try {
        if (await work()) toast(t(done));
      } catch (error) {
        toast(explainSend(error));
      }
    });
  };
  const choose = async () => {
    const file = await chosen();
    if (!file) return false;
    // The server compares the type with the bytes.
    const mime = await sniff(file);
    if (!TYPES.includes(mime)) throw new Complaint(t("picture.other"));
    toast(t("picture.sending"));
    await set(file, { name: shortName(file.name), mime });
    return true;
  };
  const remove = async () => {
    await set(null);
    return true;
  };
  const button = (key, kind, words, work, done) => el("button", { type: "button", class: kind, "data-key": key, onclick: ({ currentTarget }) => act(currentTarget, work, done) }, words);
  return el("div", { class: "buttons" }, button("picture-choose", "plain", t(has ? "picture.change" : "picture.choose"), choose, "picture.saved"),
    has ? button("picture-remove", "danger quiet", t("picture.remove"), remove, "picture.removed") : null);
}

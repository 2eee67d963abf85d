// People as they are shown: their pictures, and what they say about the present.

import { now } from "./dates.js";
import { el } from "./dom.js";
import { avatar, nameOf, webUrl } from "./format.js";
import { isLoaded } from "./media.js";

/** The picture of a person if it may be loaded without a click, and otherwise the initials. */
export function face(user, name = nameOf(user)) {
  const letters = avatar(user?.id, name);
  const url = webUrl(user?.avatar_url ?? "");
  if (!url || !isLoaded(url)) return letters;
  // Referrer policy and lazy loading must be set before the URL, or it is fetched without them.
  const picture = el("img", { class: "avatar", alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  picture.addEventListener("error", () => picture.replaceWith(letters));
  picture.src = url.href;
  return picture;
}

/** The status of a person, unless it has ended. */
export function statusOf(user) {
  const { status } = user ?? {};
  return status && !(status.until && new Date(status.until) <= now()) ? status : null;
}

/** Emoji and text of the status of a person; null: there are none. */
export function says(user) {
  const { emoji, text } = statusOf(user) ?? {};
  if (!emoji && !text) return null;
  return el("span", { class: "says" }, emoji ? el("span", { class: "emoji-sign" }, emoji) : null, emoji && text ? " " : null, text ? el("bdi", {}, text) : null);
}

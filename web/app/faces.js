// People and groups as they are shown: their pictures, and what they say about the present.

import { now } from "./dates.js";
import { el } from "./dom.js";
import { avatar, nameOf, titleOf, webUrl } from "./format.js";
import { followAvatar, isLoaded } from "./media.js";

/** Whether this is the picture of a person or group that the server keeps. */
export const isKept = (url) => Boolean(url?.startsWith("/v1/"));

/** The link by which each picture was loaded, by its path. One that was shown before is shown again without its initials in between. */
const loaded = new Map();
const MOST = 500;

/** Deletes what one person has seen before the next one logs in. */
export const forget = () => loaded.clear();

/** The initials, and over them the picture that the server keeps, as soon as it is there. */
function covered(letters, url) {
  if (!isKept(url)) return letters;
  const before = loaded.get(url);
  const picture = el("img", { alt: "", loading: before ? null : "lazy", decoding: before ? "sync" : "async", referrerpolicy: "no-referrer", draggable: "false", class: before ? "is-loaded" : null });
  picture.addEventListener("load", () => {
    picture.classList.add("is-loaded");
    loaded.set(url, picture.src);
    if (loaded.size > MOST) loaded.delete(loaded.keys().next().value);
  });
  picture.addEventListener("error", () => {
    picture.classList.remove("is-loaded");
    loaded.delete(url);
  });
  if (before) picture.src = before;
  followAvatar(picture, url);
  letters.append(picture);
  return letters;
}

/** The picture of a person if it may be loaded without a click, and otherwise the initials. */
export function face(user, name = nameOf(user)) {
  const letters = avatar(user?.id, name);
  if (isKept(user?.avatar_url)) return covered(letters, user.avatar_url);
  const url = webUrl(user?.avatar_url ?? "");
  if (!url || !isLoaded(url)) return letters;
  // Referrer policy and lazy loading must be set before the URL, or it is fetched without them.
  const picture = el("img", { class: "avatar", alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  picture.addEventListener("error", () => picture.replaceWith(letters));
  picture.src = url.href;
  return picture;
}

/** The picture of a conversation: of the other person, or of the group. */
export function faceOf(conversation, title = titleOf(conversation)) {
  const { id, kind, peer, avatar_url } = conversation;
  return peer ? face(peer, title) : covered(avatar(id, title, kind), avatar_url);
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

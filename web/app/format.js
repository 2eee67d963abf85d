// Values in a readable form: times (more in dates.js), sizes, names, URLs, avatars.

import { datesIn } from "./dates.js";
import { el } from "./dom.js";
import { locale, t } from "./texts.js";

export const { timeOfDay, moment, shortTime, dayName, ago, inTime } = datesIn(locale);

export function bytes(size) {
  if (!(size > 0)) return "";
  const unit = Math.min(3, Math.floor(Math.log(size) / Math.log(1_000)));
  return `${(size / 1_000 ** unit).toFixed(unit > 1 ? 1 : 0)} ${["B", "kB", "MB", "GB"][unit]}`;
}

/**
 * A name, a title or a file name on its own line. Characters that change the text direction could make "gpj.exe" look
 * like a picture, and control characters are never useful in a name.
 */
export const plain = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");

/** The person's own names for people on the list of contacts, by id; set by people.js. */
export const aliases = new Map();

export const nameOf = (user) => (user ? plain(aliases.get(user.id) ?? "") || shownNameOf(user) : t("list.somebody"));

/** The name that everybody sees. */
export const shownNameOf = (user) => (user ? plain(user.display_name || user.username) : t("list.somebody"));

/** A URL that may be opened or shown; null for every other scheme. */
export function webUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}

/** The person's own name for the conversation comes first, then the own name for the other person. */
export const titleOf = (conversation) =>
  plain(conversation.me?.settings?.nickname ?? "") || (conversation.kind === "direct" ? nameOf(conversation.peer) : ownTitleOf(conversation));

/** The title that all members see. */
export const ownTitleOf = (conversation) =>
  conversation.kind === "direct" ? shownNameOf(conversation.peer) : plain(conversation.title ?? "") || t(`list.untitled.${kindName(conversation)}`);

/** The kind of a conversation with many people, as a part of the key of a text. */
export const kindName = ({ kind }) => (kind === "channel" ? "channel" : "group");

export const membersOf = ({ member_count: count }) => t("list.members", { count });

/** The usernames that a text mentions: `@ben`, but not an email address, and not the end of a sentence. */
export const namesIn = (text) =>
  [...new Set([...text.toLowerCase().matchAll(/(?<![\w.@-])@([a-z0-9_.-]+)/g)].map(([, name]) => name.replace(/[.-]+$/, "")))].filter((name) => name.length > 2);

/** Nothing is left of the content of these. `cleared` is a whole history. */
export const isGone = ({ kind }) => ["recalled", "expired", "hidden", "cleared"].includes(kind);

/** A message in one line. */
export function previewOf({ kind, content, forward }) {
  // The server copies the content.
  if (forward && kind === undefined) return t("forward.waiting");
  if (kind === "text") return content.text;
  if (kind === "emoji") return content.emoji;
  if (kind === "image") return content.alt ? t("message.picture.of", { text: content.alt }) : t("message.picture");
  if (kind === "video") return content.alt ? t("message.video.of", { text: content.alt }) : t("message.video");
  if (kind === "recalled") return t("message.recalled");
  if (kind === "expired") return t("message.expired");
  if (kind === "hidden") return t("message.hidden");
  return kind === "file" ? t("message.file", { name: plain(content.name ?? "") }) : t("message.other");
}

const UNITS = [["year", 31_536_000], ["week", 604_800], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** A number of seconds in the largest unit that fits. */
export function duration(seconds) {
  const [unit, size] = UNITS.find(([, size]) => seconds % size === 0);
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(seconds / size);
}

/** Names in a row, as the language has it. */
export const listed = (names) => new Intl.ListFormat(locale).format(names);

const hue = (id) => [...String(id)].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7) % 8;

/** Initials on one of eight colours, always the same for one id. */
export function avatar(id, name, kind = "direct") {
  const words = name.trim().split(/\s+/);
  const first = (word) => [...(word ?? "")][0] ?? "";
  const letters = first(words[0]) + (words.length > 1 ? first(words.at(-1)) : "");
  return el("span", { class: `avatar hue-${hue(id)}${kind === "direct" ? "" : " group"}`, "aria-hidden": "true" }, letters.toUpperCase() || "~");
}

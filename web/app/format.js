// Values as people read them: times, sizes, names, addresses, avatars.

import { el } from "./dom.js";
import { locale, t } from "./texts.js";

const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "long" });
const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });
const date = new Intl.DateTimeFormat(locale, { dateStyle: "full" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
const daysAgo = (time) => Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const timeOfDay = (time) => clock.format(new Date(time));
export const moment = (time) => full.format(new Date(time));

/** For the list: the time today, then the weekday, then the date. */
export function shortTime(time) {
  const days = daysAgo(time);
  if (days <= 0) return timeOfDay(time);
  return days < 7 ? weekday.format(new Date(time)).slice(0, 3) : short.format(new Date(time));
}

/** For the line between two days. */
export function dayName(time) {
  const days = daysAgo(time);
  return days < 2 ? capital(relative.format(-days, "day")) : days < 7 ? weekday.format(new Date(time)) : date.format(new Date(time));
}

export function ago(time) {
  const minutes = Math.round((Date.now() - new Date(time)) / 60_000);
  if (minutes < 60) return relative.format(-Math.max(0, minutes), "minute");
  return minutes < 1_440 ? relative.format(-Math.round(minutes / 60), "hour") : relative.format(-Math.round(minutes / 1_440), "day");
}

export function bytes(size) {
  if (!(size > 0)) return "";
  const unit = Math.min(3, Math.floor(Math.log(size) / Math.log(1_000)));
  return `${(size / 1_000 ** unit).toFixed(unit > 1 ? 1 : 0)} ${["B", "kB", "MB", "GB"][unit]}`;
}

/**
 * A name, a title or a file's name for a line of its own. Characters that turn the direction of writing would let
 * "gpj.exe" pass for a picture, and control characters have no business in a name.
 */
export const plain = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");

export const nameOf = (user) => (user ? plain(user.display_name || user.username) : t("list.somebody"));

/** An address that may be opened or shown; null for every other scheme. */
export function webUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}

export const titleOf = (conversation) =>
  conversation.kind === "direct" ? nameOf(conversation.peer) : plain(conversation.title ?? "") || t(`list.untitled.${kindName(conversation)}`);

/** What many people are in together, as a part of the name of a text. */
export const kindName = ({ kind }) => (kind === "channel" ? "channel" : "group");

export const membersOf = ({ member_count: count }) => t("list.members", { count });

/** The usernames that a text names: `@ben`, but no address of mail, and not the end of a sentence. */
export const namesIn = (text) =>
  [...new Set([...text.toLowerCase().matchAll(/(?<![\w.@-])@([a-z0-9_.-]+)/g)].map(([, name]) => name.replace(/[.-]+$/, "")))].filter((name) => name.length > 2);

/** One line of what a message says. */
export function previewOf({ kind, content }) {
  if (kind === "text") return content.text;
  if (kind === "emoji") return content.emoji;
  if (kind === "image") return t("message.picture");
  if (kind === "video") return t("message.video");
  return kind === "file" ? t("message.file", { name: plain(content.name) }) : t("message.other");
}

const hue = (id) => [...String(id)].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7) % 8;

/** Initials on one of eight colours of the sea, always the same for one id. */
export function avatar(id, name, kind = "direct") {
  const words = name.trim().split(/\s+/);
  const first = (word) => [...(word ?? "")][0] ?? "";
  const letters = first(words[0]) + (words.length > 1 ? first(words.at(-1)) : "");
  return el("span", { class: `avatar hue-${hue(id)}${kind === "direct" ? "" : " group"}`, "aria-hidden": "true" }, letters.toUpperCase() || "~");
}

// One message as an element. Text of others is only used as text, or as a URL that `webUrl` has checked.

import { addressesIn } from "./addresses.js";
import { $, el, icon } from "./dom.js";
import { face } from "./faces.js";
import { bytes, inTime, isGone, moment, nameOf, plain, previewOf, shortTime, timeOfDay, webUrl } from "./format.js";
import { ask, isLoaded, ofServer, rename, shaped } from "./media.js";
import { dressReactions } from "./reactions.js";
import { t } from "./texts.js";

/** A link to another site, which gets neither a referrer nor access to this page. */
function outside(url, ...children) {
  return el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer", referrerpolicy: "no-referrer" }, ...children);
}

/** Text with its http and https URLs as links. */
function linked(text) {
  const parts = [];
  let from = 0;
  for (const { address, index } of addressesIn(text)) {
    const url = webUrl(address);
    if (!url) continue;
    parts.push(text.slice(from, index), outside(url, address));
    from = index + address.length;
  }
  return [...parts, text.slice(from)];
}

/** Text in which mentions of the reader are highlighted. */
function named(text, username) {
  const at = `@${username}`;
  const parts = text.split(new RegExp(`(?<![\\w.@-])(${at.replaceAll(".", "\\.")})(?![\\w-]|\\.\\w)`, "i"));
  return parts.map((part) => (part.toLowerCase() === at ? el("span", { class: "mention" }, part) : part));
}

const host = (url) => el("span", { class: "host" }, url.host);

function unshown(what, drawing = "box") {
  return el("p", { class: "unshown" }, icon(drawing), what);
}

function picture(content, name) {
  const url = webUrl(content.url);
  if (!url) return unshown(t("message.picture.address"));
  const source = webUrl(content.thumbnail_url ?? "") ?? url;
  if (isLoaded(source)) return el("figure", {}, shaped(loaded(url, source, name), content), el("figcaption", {}, host(url)));
  const load = ({ currentTarget }) => {
    ask(source);
    const shown = picture(content, name);
    currentTarget.closest("figure").replaceWith(shown);
    // The focus moves to the element that replaces the button.
    $("a", shown).focus();
  };
  const frame = el("div", { class: "frame unloaded" },
    icon("box"), el("button", { type: "button", class: "link", onclick: load }, t("message.picture.load")), el("span", {}, t("message.picture.why", { host: source.host })));
  return el("figure", {}, shaped(frame, content), el("figcaption", {}, outside(url, host(url))));
}

function loaded(url, source, name) {
  // Referrer policy and lazy loading must be set before the URL, or it is fetched without them.
  const img = el("img", { class: "media", alt: t("message.picture.from", { name }), loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  const frame = outside(url, img);
  frame.classList.add("frame");
  img.addEventListener("error", () => frame.replaceChildren(unshown(t("message.picture.failed"))));
  img.src = source.href;
  return frame;
}

function video(content, name) {
  const url = webUrl(content.url);
  if (!url) return unshown(t("message.video.address"));
  const poster = webUrl(content.thumbnail_url ?? "");
  const player = el("video", { class: "media", controls: true, preload: "none", playsinline: true, poster: poster && isLoaded(poster) ? poster.href : null, "aria-label": t("message.video.from", { name }) });
  player.src = url.href;
  const seconds = Math.round(content.duration_ms / 1_000);
  const length = seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} · ` : "";
  return el("figure", {}, shaped(el("div", { class: "frame" }, player), content), el("figcaption", {}, length, outside(url, host(url))));
}

function file(content) {
  const url = webUrl(content.url);
  if (!url) return unshown(t("message.file.address"));
  const facts = [bytes(content.size), url.host].filter(Boolean).join(" · ");
  const words = el("span", { class: "file-words" }, el("bdi", { class: "file-name" }, plain(content.name)), el("span", { class: "host" }, facts));
  const link = outside(url, icon("file"), words);
  link.className = "file";
  return link;
}

function body(message, name, me) {
  const { kind, content, forward } = message;
  const media = ofServer(message, name);
  if (media) return media;
  if (forward && kind === undefined) return unshown(t("forward.waiting"), "forward");
  if (kind === "text" && typeof content?.text === "string") {
    const parts = linked(content.text);
    const words = me ? parts.flatMap((part) => (typeof part === "string" ? named(part, me.username) : part)) : parts;
    return el("p", { class: "text", dir: "auto" }, ...words);
  }
  if (kind === "emoji" && typeof content?.emoji === "string") return el("p", { class: "emoji", dir: "auto" }, content.emoji);
  if (kind === "image") return picture(content, name);
  if (kind === "video") return video(content, name);
  if (kind === "file") return file(content);
  if (kind === "recalled") return unshown(t("message.recalled"), "gone");
  return kind === "expired" ? unshown(t("message.expired"), "timer") : unshown(t("message.unknown"));
}

/** A version of an edited message, for the list of all. */
export function versionRow({ version, content, at }, { kind }) {
  return el("li", {}, el("p", { class: "soft" }, t("versions.one", { version, time: moment(at) })), body({ kind, content }, "", null));
}

/** The mark after the time: nothing for messages of others, the send state for the person's own. */
const STATES = { sending: ["clock", "message.sending"], stored: ["check", "message.stored"], read: ["checks", "message.read"], failed: ["alert", "message.unsent"] };

const KINDS = ["text", "emoji", "image", "video", "file", "recalled", "expired"];
/** The length of a quoted text. */
const QUOTED = 200;
/** The length of a text that identifies a message for a screen reader. */
const SHORT = 60;

/** The message to which one replies, as a button that goes to it. `quoted` is undefined while it loads, and null when it is not visible. */
function quote(quoted, name, jump) {
  const gone = quoted === null || (quoted !== undefined && isGone(quoted));
  const words = quoted === undefined ? t("noun.loading") : quoted === null ? t("reply.unseen") : previewOf(quoted).slice(0, QUOTED);
  const text = el("span", { class: gone ? "quote-text soft-text" : "quote-text", dir: "auto" }, words);
  if (quoted === null) return el("p", { class: "quote" }, text);
  return el("button", { type: "button", class: "quote", onclick: jump }, el("span", { class: "quote-name" }, el("span", { class: "sr-only" }, `${t("reply.title")} `), el("bdi", {}, name)), el("span", { class: "sr-only" }, ": "), text);
}

/**
 * The row of a message or of an item of the outbox; `dress` adds the parts that change. `versions` shows an edited message's. `reply`
 * has the quoted message, the name of its sender, and a function that goes to it. `forwarded` says from whom the message is.
 */
export function row(message, { mine, group, sender, me, meant, versions, reply, forwarded }) {
  const name = mine ? t("message.you") : nameOf(sender);
  const edited = message.edited_at && el("button", { type: "button", class: "edited", title: t("message.edited", { time: moment(message.edited_at) }), "aria-haspopup": "dialog", onclick: versions }, t("message.edited", { time: shortTime(message.edited_at) }));
  const node = el("li", { class: `row${mine ? " mine" : ""}${group ? " in-group" : ""}${meant ? " mentions-me" : ""}` },
    mine ? null : face(sender ?? { id: message.sender_id }, name),
    el("div", { class: "stack" },
      el("p", { class: "sender" }, el("bdi", {}, name), meant ? el("span", { class: "sr-only" }, ` ${t("message.mentions")}`) : null),
      el("div", { class: `bubble is-${KINDS.includes(message.kind) ? message.kind : "other"}` },
        forwarded && !isGone(message) ? el("p", { class: "forwarded" }, icon("forward"), forwarded) : null,
        reply && !isGone(message) ? quote(reply.quoted, reply.name, reply.jump) : null,
        body(message, name, meant ? me : null),
        el("p", { class: "meta" }, el("span", { class: "facts" }), el("time", {}), edited && "·", edited, el("span", { class: "state" }))),
      el("div", { class: "reactions", role: "group", "aria-label": t("reaction.label"), hidden: true }),
      mine ? el("div", { class: "failure" }) : null));
  node.dataset.sender = identity(sender);
  return node;
}

const identity = (sender) => JSON.stringify([nameOf(sender), sender?.avatar_url ?? null]);

/** The sender has another name or picture. The rest of the row stays: a video may be playing there. */
function dressSender(node, message, sender) {
  if (!sender || node.dataset.sender === identity(sender)) return;
  node.dataset.sender = identity(sender);
  const name = nameOf(sender);
  node.firstChild.replaceWith(face(sender, name));
  $(".sender bdi", node).textContent = name;
  rename(node, message, name);
}

/** The button for the actions of a message, if there are any: `act` opens their menu. */
function offer(node, act, message) {
  const button = node.querySelector(".row-menu");
  if (!act) return button?.remove();
  if (button) return void (button.onclick = act);
  const label = t("message.actions", { text: previewOf(message).slice(0, SHORT) });
  node.append(el("button", { type: "button", class: "round row-menu", tabindex: -1, "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label }, icon("more")));
  node.lastChild.onclick = act;
}

/** What is said beside the time of a message: whether it is pinned, and when it expires. */
function dressFacts(place, message) {
  const facts = isGone(message) ? [] : [
    ...(message.pinned ? [["pin", t("message.pinned")]] : []),
    ...(message.expires_at ? [["timer", t("message.expires", { time: inTime(message.expires_at) })]] : []),
  ];
  const words = facts.map(([, text]) => text).join(" · ");
  if (place.title === words) return;
  place.title = words;
  place.replaceChildren(...facts.flatMap(([drawing, text]) => [icon(drawing), el("span", { class: "sr-only" }, `${text} `)]));
}

/** Sets the parts that may change while a row is shown: its place among its neighbours, its time, its state and its actions. */
export function dress(node, { message, sender, first, last, marked, at, state, read, error, act, react, retry, discard, unreplied }) {
  node.classList.toggle("first", first);
  node.classList.toggle("last", last);
  node.classList.toggle("marked", marked);
  offer(node, act, message);
  dressSender(node, message, sender);
  dressReactions($(".reactions", node), message, react);
  dressFacts($(".facts", node), message);
  const time = node.querySelector("time");
  if (time.dateTime !== at) {
    time.dateTime = at;
    time.textContent = timeOfDay(at);
    time.title = moment(at);
  }
  const is = JSON.stringify([state ?? "", error ?? "", read]);
  if (node.dataset.is === is) return;
  node.dataset.is = is;
  node.dataset.state = state ?? "";
  node.classList.toggle("read", read);
  const [drawing, words] = STATES[read ? "read" : state] ?? [];
  const waiting = drawing ? t(state === "sending" && error ? "message.waiting" : words) : "";
  const place = node.querySelector(".state");
  place.replaceChildren(...(drawing ? [icon(drawing), el("span", { class: "sr-only" }, waiting)] : []));
  place.title = waiting;
  node.querySelector(".failure")?.replaceChildren(...(state === "failed" ? [
    t("message.failed", { reason: error }),
    unreplied
      ? el("button", { type: "button", class: "link", onclick: unreplied }, t("message.unreplied"))
      : el("button", { type: "button", class: "link", onclick: retry }, t("noun.retry")),
    el("button", { type: "button", class: "link", onclick: discard }, t("message.discard")),
  ] : []));
}

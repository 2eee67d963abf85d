// Pictures, videos and files of messages. Those of another host are loaded immediately only if the operator trusts that host
// (TIDELINE_TRUSTED_MEDIA_HOSTS), others after a click: a picture reveals to its host who views it, and when. Those that the server
// keeps are loaded by links that the SDK renews, with a placeholder first, and a picture opens in the viewer.

import { $, $$, el, icon, open, toast } from "./dom.js";
import { bytes, isGone, plain } from "./format.js";
import { t } from "./texts.js";

const hosts = $("meta[name=media-hosts]").content.split(" ").filter(Boolean);
const asked = new Set();

const trusts = (host) => (pattern) => pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)));

/** Whether this picture may be loaded without a click. */
export const isLoaded = (url) => url.origin === location.origin || asked.has(url.href) || hosts.some(trusts(url.host));

/** The person has clicked to see this picture; it is shown from then on, until they log out. */
export const ask = (url) => asked.add(url.href);

export function forget() {
  asked.clear();
  previews.clear();
  $("#viewer").close();
}

/** A box with the shape of the picture, so that nothing moves when it has loaded. */
export function shaped(node, { width, height }) {
  const ratio = Math.min(3, Math.max(0.5, width / height || 1));
  node.style.setProperty("--ratio", String(ratio));
  return node;
}

// Placeholders.

const SIDE = 32;

/**
 * The pixels of a thumbhash, the format of Evan Wallace: a few cosines for lightness, two colour axes and opacity. `null` for what is
 * none.
 */
export function pixelsOf(text) {
  const hash = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  if (hash.length < 5) return null;
  const bits = (from, count) => {
    let value = 0;
    for (let n = count - 1; n >= 0; n--) value = value * 2 + ((hash[(from + n) >> 3] >> ((from + n) & 7)) & 1);
    return value;
  };
  const [clear, wide, short] = [bits(23, 1), bits(39, 1), Math.max(1, bits(24, 3))];
  const long = clear ? 5 : 7;
  const ratio = wide ? long / short : short / long;
  const [across, down] = wide ? [long, Math.max(3, short)] : [Math.max(3, short), long];
  let at = clear ? 48 : 40;
  /** The factors of a channel, row by row: those with a low frequency only. */
  const channel = (mean, scale, columns, rows) => {
    const factors = [{ x: 0, y: 0, by: mean }];
    for (let y = 0; y < rows; y++) {
      for (let x = y ? 0 : 1; x * rows < columns * (rows - y); x++, at += 4) factors.push({ x, y, by: (bits(at, 4) / 7.5 - 1) * scale * 2 });
    }
    return factors;
  };
  const light = channel(bits(0, 6) / 63, bits(18, 5) / 31, across, down);
  const yellow = channel(bits(6, 6) / 31.5 - 1, (bits(27, 6) / 63) * 1.25, 3, 3);
  const red = channel(bits(12, 6) / 31.5 - 1, (bits(33, 6) / 63) * 1.25, 3, 3);
  const solid = clear ? channel(bits(40, 4) / 15, bits(44, 4) / 15, 5, 5) : [{ x: 0, y: 0, by: 1 }];
  const [width, height] = [Math.round(SIDE * Math.min(1, ratio)), Math.round(SIDE / Math.max(1, ratio))];
  const data = new Uint8ClampedArray(width * height * 4);
  for (let n = 0; n < width * height; n++) {
    const [u, v] = [((n % width) + 0.5) / width, (Math.floor(n / width) + 0.5) / height];
    const [l, p, q, a] = [light, yellow, red, solid].map((factors) => factors.reduce((sum, { x, y, by }) => sum + by * Math.cos(Math.PI * u * x) * Math.cos(Math.PI * v * y), 0));
    const blue = l - (2 / 3) * p;
    const first = (3 * l - blue + q) / 2;
    data.set([first, first - q, blue, a].map((value) => 255 * value), n * 4);
  }
  return { width, height, data };
}

/** What is seen until the picture has come: the picture of this device, if it was sent here, or a blurred one. */
function placeholder({ thumbhash, media_id }) {
  if (previews.has(media_id)) return copyOf(previews.get(media_id));
  try {
    const { width, height, data } = pixelsOf(thumbhash);
    const canvas = el("canvas", { class: "placeholder", width, height, "aria-hidden": "true" });
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    return canvas;
  } catch {
    return el("span", { class: "placeholder" });
  }
}

// What was attached here is shown from here.

const PREVIEW = 704;
const PREVIEWS = 50;
/** Drawn pictures, by the id of their upload, and later by that of their media. */
const previews = new Map();

/** A small drawing of a picture, or of a frame of a video. */
export function drawn(source, width, height, most = PREVIEW) {
  const scale = Math.min(1, most / Math.max(width, height));
  const canvas = el("canvas", { class: "placeholder", width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)), "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const copyOf = (canvas) => drawn(canvas, canvas.width, canvas.height);

export function keepPreview(id, canvas) {
  previews.set(id, canvas);
  if (previews.size > PREVIEWS) previews.delete(previews.keys().next().value);
}

// Links.

/** How often elements that have not loaded yet get a link that is still valid. */
const RENEW_MS = 10 * 60_000;
/** A second failure within this time is shown. */
const PATIENCE_MS = 20_000;

let tideline;
/** How an element loads again, and whether it has what it shows; `place` is where it will be. */
const loaders = new Map();

/** Connects the elements with the SDK, and the viewer with what happens to messages. */
export function connect(client, store) {
  tideline = client;
  tideline.on("upload", drawUpload);
  store.on("online", () => again(({ failed }) => failed));
  store.on("edited", (conversation, message) => viewer.changed(message));
  setInterval(() => again(({ loaded }) => !loaded), RENEW_MS);
}

function again(is) {
  for (const [node, loader] of loaders) {
    if (!(loader.place ?? node).isConnected) loaders.delete(node);
    else if (is(loader)) loader.load();
  }
}

/** Loads media of a message into an element. */
const follow = (node, { conversation_id, seq }, variant, shown) => followLink(node, (options) => tideline.mediaLink(conversation_id, seq, variant, options), shown);

/** Loads a picture of a person or a group that the server keeps. */
export const followAvatar = (node, avatarUrl, shown) => followLink(node, (options) => tideline.avatarLink(avatarUrl, options), shown);

/**
 * Loads media into an element, by the links that `link` asks for. A link ends, also while a video plays: then there is another one. `shown`
 * gets false when the media cannot be loaded, and a function that tries again.
 */
function followLink(node, link, shown = () => {}) {
  let triedAt = -Infinity;
  const loader = { loaded: false, failed: false };
  const fail = () => {
    loader.failed = true;
    shown(false, () => loader.load(true));
  };
  loader.load = async (fresh = false) => {
    try {
      const url = await link({ fresh });
      if (!url) return fail();
      const anew = fresh || loader.failed;
      loader.failed = false;
      shown(true);
      if (anew || node.src !== url) node.src = url;
    } catch {
      fail();
    }
  };
  const done = () => (loader.loaded = true);
  node.addEventListener(node.tagName === "VIDEO" ? "loadeddata" : "load", done);
  node.addEventListener("error", () => {
    if (!node.getAttribute("src")) return;
    loader.loaded = false;
    if (performance.now() - triedAt < PATIENCE_MS) return fail();
    triedAt = performance.now();
    if (node.tagName === "VIDEO") resume(node);
    loader.load(true);
  });
  loaders.set(node, loader);
  loader.load();
}

/** A video goes on where its link has ended. */
function resume(video) {
  const { currentTime, paused } = video;
  video.addEventListener("loadedmetadata", () => {
    video.currentTime = currentTime;
    if (!paused) video.play().catch(() => {});
  }, { once: true });
}

/** Saves media under their own name. */
async function save({ conversation_id, seq, content }) {
  try {
    const link = await tideline.mediaLink(conversation_id, seq);
    if (!link) return toast(t("error.not_found"));
    const url = new URL(link);
    url.searchParams.set("download", "true");
    // The server says that it is saved; a page of an error must not replace this one.
    const target = url.origin === location.origin ? {} : { target: "_blank", rel: "noopener noreferrer" };
    el("a", { href: url.href, download: plain(content.name ?? ""), referrerpolicy: "no-referrer", ...target }).click();
  } catch {
    toast(t("error.network"));
  }
}

// In the thread.

/** The width of a picture in the thread, in CSS pixels. */
const WIDTH = 352;
/** An animation of more bytes is shown as a still picture. */
const ANIMATION_BYTES = 4_000_000;

/** The smallest form that is sharp here. Smaller forms of an animation do not move. */
function variantFor({ mime, size, width, variants = [] }) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (mime === "image/gif" && size <= ANIMATION_BYTES && !still) return "original";
  const wanted = 0.9 * devicePixelRatio * Math.min(WIDTH, width);
  return variants.toSorted((a, b) => a.width - b.width).find((one) => one.width >= wanted)?.name ?? (variants.some(({ name }) => name === "medium") ? "medium" : "original");
}

/** Nothing is said in a frame any more. The focus of its button moves. */
function succeed(frame) {
  const note = $(".unloadable", frame);
  if (note?.contains(document.activeElement)) ($(".picture, video", frame) ?? frame.closest("[tabindex='0']") ?? $("#viewer-size")).focus();
  note?.remove();
}

/** Says in a frame that its media cannot be loaded. */
function failing(frame, words) {
  return (is, retry) => {
    succeed(frame);
    if (is) return;
    const button = el("button", { type: "button", class: "link", onclick: (event) => (event.stopPropagation(), retry()) }, t("noun.retry"));
    frame.append(el("div", { class: "unloadable" }, icon("box"), el("span", {}, words), button));
  };
}

/** The media of a message that the server keeps, or that are on their way; null: it has no such media. */
export function ofServer(message, name) {
  const { kind, content, upload } = message;
  if (upload !== undefined) return sending(message);
  if (!content?.media_id || message.seq === undefined) return null;
  if (kind === "image") return picture(message, name);
  return kind === "video" ? film(message, name) : kind === "file" ? file(message) : null;
}

function figure({ width }, ...children) {
  const node = el("figure", {}, ...children);
  // A small picture is not shown larger than it is.
  if (width > 0) node.style.setProperty("--width", `${width}px`);
  return node;
}

/** The description is an element of its own, so that found words can be marked there. */
const caption = (alt = "", facts = "") => el("figcaption", { dir: "auto" }, facts, el("span", { class: "alt" }, alt));

/** The messages of the pictures on the page, for the viewer. */
const messages = new WeakMap();

function picture(message, name) {
  const { content } = message;
  const img = el("img", { class: "media", alt: content.alt ?? t("message.picture.from", { name }), decoding: "async", loading: "lazy", referrerpolicy: "no-referrer", draggable: "false" });
  const button = el("button", { type: "button", class: "picture", "aria-haspopup": "dialog", onclick: () => viewer.show(button) }, placeholder(content), img);
  const frame = shaped(el("div", { class: "frame kept" }, button), content);
  img.addEventListener("load", () => button.classList.add("has-loaded"));
  messages.set(button, { ...message, name });
  follow(img, message, variantFor(content), failing(frame, t("message.picture.failed")));
  return figure(content, frame, caption(content.alt));
}

/** The sender of the media in a row has another name. */
export function rename(row, { kind, content }, name) {
  const button = $(".picture", row);
  if (button) messages.get(button).name = name;
  const media = content?.alt === undefined && $(".media", row);
  if (media) media.setAttribute(kind === "image" ? "alt" : "aria-label", t(`message.${kind === "image" ? "picture" : "video"}.from`, { name }));
}

const clock = (ms) => {
  const seconds = Math.round(ms / 1_000);
  return seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
};

function film(message, name) {
  const { content } = message;
  const player = el("video", { class: "media", controls: true, preload: "metadata", playsinline: true, "aria-label": content.alt ?? t("message.video.from", { name }) });
  const frame = shaped(el("div", { class: "frame kept film" }, placeholder(content), player), content);
  follow(player, message, "original", failing(frame, t("message.video.failed")));
  const poster = (url) => url && (player.poster = url);
  if (content.poster_media_id) tideline.mediaLink(message.conversation_id, message.seq, "poster").then(poster, () => {});
  const length = clock(content.duration_ms);
  return figure({}, frame, caption(content.alt, length && content.alt ? `${length} · ` : length));
}

function fileWords(name, facts) {
  return el("span", { class: "file-words" }, el("bdi", { class: "file-name" }, plain(name)), el("span", { class: "host" }, facts));
}

function file(message) {
  const { name, size } = message.content;
  const label = t("media.save", { name: plain(name) });
  const button = el("button", { type: "button", class: "file kept", title: label, onclick: () => save(message) }, icon("file"), fileWords(name, bytes(size)), icon("down"));
  button.append(el("span", { class: "sr-only" }, t("media.save.short")));
  return button;
}

// On their way.

/** The messages whose uploads are not loaded yet, by the element that shows their progress. */
const unknown = new WeakMap();

function sending(message) {
  const { kind, upload: id, client_msg_id } = message;
  const upload = tideline.uploads.get(id);
  const name = plain(upload?.name ?? t("share.kind.file"));
  const cancel = () => {
    $("#text").focus();
    tideline.discard(client_msg_id).catch(() => {});
  };
  const strip = el("div", { class: "upload", "data-upload": id },
    el("progress", { max: 1, value: 0, "aria-label": t("upload.label", { name }) }), el("span", { class: "upload-words" }),
    el("button", { type: "button", class: "round", "aria-label": t("upload.cancel", { name }), title: t("upload.cancel", { name }), onclick: cancel }, icon("close")));
  if (upload) dressUpload(strip, upload);
  else {
    strip.hidden = true;
    unknown.set(strip, message);
  }
  if (kind === "file" || !(upload?.width > 0 || previews.has(id))) return el("div", { class: "uploading" }, el("div", { class: "file" }, icon("file"), fileWords(name, bytes(upload?.size))), strip);
  const shape = previews.get(id) ?? upload;
  const frame = shaped(el("div", { class: "frame kept" }, previews.has(id) ? copyOf(previews.get(id)) : icon("file")), shape);
  if (!previews.has(id) && kind === "image") preview(id, frame);
  return figure(upload ?? {}, frame, strip);
}

/** After a reload the bytes are still here. */
async function preview(id, frame) {
  try {
    const bitmap = await createImageBitmap(await tideline.uploads.bytes(id));
    keepPreview(id, drawn(bitmap, bitmap.width, bitmap.height));
    frame.replaceChildren(copyOf(previews.get(id)));
  } catch {
    // The icon stays.
  }
}

function dressUpload(strip, { state, sent, size, error }) {
  const words = state === "processing" || state === "ready" ? t("upload.processing") : error ? t("message.waiting") : t("upload.sent", { sent: bytes(sent) || "0 B", size: bytes(size) });
  $("progress", strip).value = size > 0 ? sent / size : 1;
  if ($(".upload-words", strip).textContent !== words) $(".upload-words", strip).textContent = words;
}

function drawUpload(upload) {
  if (upload.state === "ready" && previews.has(upload.id)) keepPreview(upload.media.id, previews.get(upload.id));
  if (upload.state === "cancelled") previews.delete(upload.id);
  for (const strip of $$(`[data-upload="${upload.id}"]`)) {
    if (unknown.has(strip) && tideline.uploads.get(upload.id)) strip.parentElement.replaceWith(sending(unknown.get(strip)));
    else dressUpload(strip, upload);
  }
}

// The viewer: one picture on the whole page, and the others of the conversation by the arrow keys.

class Viewer {
  #dialog = $("#viewer");
  #stage = $("#viewer-stage");
  #message = null;
  #rows = new MutationObserver(() => this.#count());
  /** The picture is shown in its own size. */
  #full = false;

  constructor() {
    this.#dialog.addEventListener("close", () => this.#closed());
    this.#stage.addEventListener("keydown", (event) => {
      // A button inside has its own.
      if (event.target !== this.#stage || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      this.#resize();
    });
    this.#dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || this.#full || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.#step(step);
    });
    this.#stage.addEventListener("click", ({ target }) => (target === this.#stage ? this.#dialog.close() : this.#resize()));
    $("#viewer-size").addEventListener("click", () => this.#resize());
    $("#viewer-save").addEventListener("click", () => save(this.#message));
    $("#viewer-before").addEventListener("click", () => this.#step(-1));
    $("#viewer-next").addEventListener("click", () => this.#step(1));
  }

  get #pictures() {
    return $$("#rows .picture");
  }

  get #button() {
    const is = (button) => messages.get(button).seq === this.#message?.seq && messages.get(button).conversation_id === this.#message.conversation_id;
    return this.#pictures.find(is);
  }

  show(button) {
    this.#draw(messages.get(button));
    this.#rows.observe($("#rows"), { childList: true });
    open(this.#dialog);
    $("#viewer-size").focus();
  }

  #step(by) {
    const all = this.#pictures;
    const next = all[all.indexOf(this.#button) + by];
    if (next && this.#message) this.#draw(messages.get(next));
  }

  #draw(message) {
    const { content, name } = message;
    this.#message = message;
    const img = el("img", { alt: content.alt ?? t("message.picture.from", { name }), decoding: "async", referrerpolicy: "no-referrer" });
    img.style.setProperty("--width", `${content.width}px`);
    const frame = el("div", { class: "viewer-frame" }, placeholder(content), img);
    frame.style.setProperty("--ratio", String(content.width / content.height || 1));
    frame.style.setProperty("--width", `${content.width}px`);
    img.addEventListener("load", () => frame.classList.add("has-loaded"));
    this.#stage.replaceChildren(frame);
    this.#full = false;
    this.#dress();
    this.#count();
    $("#viewer-caption").textContent = content.alt ?? plain(content.name ?? "");
    follow(img, message, "medium", failing(frame, t("message.picture.failed")));
  }

  /** Where the picture is among those of the page, which come and go meanwhile. */
  #count() {
    const all = this.#pictures;
    const at = all.indexOf(this.#button);
    $("#viewer-count").textContent = all.length > 1 ? t("viewer.count", { at: at + 1, count: all.length }) : "";
    // Not `disabled`: the focus stays.
    $("#viewer-before").setAttribute("aria-disabled", String(at <= 0));
    $("#viewer-next").setAttribute("aria-disabled", String(at === all.length - 1));
  }

  /** Between the size of the page and that of the picture. */
  #resize() {
    const frame = $(".viewer-frame", this.#stage);
    if (!frame) return;
    this.#full = !this.#full;
    this.#dress();
    if (!this.#full || frame.dataset.original) return;
    frame.dataset.original = "yes";
    const small = $("img", frame);
    const large = small.cloneNode();
    large.removeAttribute("src");
    const come = () => {
      small.replaceWith(large);
      frame.classList.add("has-loaded");
      succeed(frame);
    };
    large.addEventListener("load", come, { once: true });
    follow(large, this.#message, "original", failing(frame, t("message.picture.failed")));
    loaders.get(large).place = frame;
  }

  /** In its own size the arrow keys move over it. */
  #dress() {
    this.#dialog.classList.toggle("is-full", this.#full);
    this.#stage.tabIndex = this.#full ? 0 : -1;
    if (this.#full) this.#stage.focus();
    else if (document.activeElement === this.#stage) $("#viewer-size").focus();
    $("#viewer-size").setAttribute("aria-pressed", String(this.#full));
  }

  /** A message is gone: so is its picture. */
  changed(message) {
    if (!this.#message || !isGone(message) || message.conversation_id !== this.#message.conversation_id) return;
    if (message.kind === "cleared" ? this.#message.seq <= message.seq : this.#message.seq === message.seq) this.#dialog.close();
  }

  #closed() {
    const button = this.#button;
    this.#rows.disconnect();
    this.#stage.replaceChildren();
    for (const part of ["caption", "count"]) $(`#viewer-${part}`).textContent = "";
    if (this.#message) (button ?? $("#log")).focus({ preventScroll: Boolean(button && isSeen(button)) });
    this.#message = null;
  }
}

function isSeen(node) {
  const [box, log] = [node.getBoundingClientRect(), $("#log").getBoundingClientRect()];
  return box.top < log.bottom && box.bottom > log.top;
}

const viewer = new Viewer();

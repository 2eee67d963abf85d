// Pictures, videos and files: attached to what is written, where the server keeps media, or shared by their URL. The browser determines
// the metadata that a message must have.

import { announce } from "./announce.js";
import { $, busy, el, icon, open, say, toast } from "./dom.js";
import { bytes, plain, webUrl } from "./format.js";
import { ask, drawn, keepPreview } from "./media.js";
import { t } from "./texts.js";

const PATIENCE_MS = 15_000;
const MIME = {
  avif: "image/avif", gif: "image/gif", jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", svg: "image/svg+xml", webp: "image/webp",
  mov: "video/quicktime", mp4: "video/mp4", ogv: "video/ogg", webm: "video/webm",
  csv: "text/csv", pdf: "application/pdf", txt: "text/plain", zip: "application/zip",
};
const OTHERWISE = { image: "image/jpeg", video: "video/mp4", file: "application/octet-stream" };

const dialog = $("#attach-dialog");
/** The open dialog: the callback for its message, and a signal that ends with it. */
let opening = null;

/** Asks for files, which `add` gets where the server keeps media, or for a URL; the message that shares it is passed to `send`. */
function attach(send, add) {
  opening?.controller.abort();
  opening = { send, add, controller: new AbortController() };
  $("#attach-form").reset();
  say($("#attach-error"), null);
  $("#attach-title").textContent = t(add ? "attach.title" : "share.title");
  $("#attach-local").hidden = !add;
  open(dialog);
  $(add ? "#attach-files" : "#attach-url").focus();
}

$("#attach-files").addEventListener("click", () => $("#attach-input").click());
$("#attach-input").addEventListener("change", ({ target }) => {
  const files = [...target.files];
  target.value = "";
  if (files.length === 0) return;
  const { add } = opening;
  dialog.close();
  add(files);
});

// Work of one opening must not affect the next, which may be in another conversation.
dialog.addEventListener("close", () => opening.controller.abort());

$("#attach-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const { send, controller } = opening;
  const share = async () => {
    const { kind, url } = Object.fromEntries(new FormData(event.target));
    const address = webUrl(url.trim());
    if (!address) return say($("#attach-error"), t("share.address"));
    say($("#attach-error"), null);
    try {
      const content = await describe(kind, address, controller.signal);
      if (controller.signal.aborted) return;
      send({ kind, content });
      dialog.close();
    } catch {
      if (!controller.signal.aborted) say($("#attach-error"), t(`share.${kind}.failed`));
    }
  };
  busy($("#attach-submit"), share, controller.signal);
});

async function describe(kind, url, signal) {
  const name = nameIn(url);
  const mime = MIME[name.split(".").at(-1).toLowerCase()];
  // Only the file's own host knows the size, and the page may not request it: 0 means unknown.
  const content = { url: url.href, mime: mime?.startsWith(kind) || kind === "file" ? (mime ?? OTHERWISE.file) : OTHERWISE[kind], size: 0 };
  if (kind === "file") return { ...content, name };
  const seen = await (kind === "image" ? measurePicture : measureVideo)(url.href, signal);
  if (!(seen.width > 0 && seen.height > 0)) throw new Error("nothing to see");
  return { ...content, ...seen };
}

function nameIn(url) {
  const last = url.pathname.split("/").filter(Boolean).at(-1) ?? url.host;
  try {
    return decodeURIComponent(last).slice(0, 60);
  } catch {
    return last.slice(0, 60);
  }
}

/** The sender of a picture has asked to see it. */
function measurePicture(address, signal) {
  ask(new URL(address));
  const img = new Image();
  img.referrerPolicy = "no-referrer";
  const size = () => ({ width: img.naturalWidth, height: img.naturalHeight });
  return loaded(img, "load", address, size, signal);
}

function measureVideo(address, signal) {
  const video = document.createElement("video");
  video.preload = "metadata";
  const size = () => ({ width: video.videoWidth, height: video.videoHeight, duration_ms: Math.round(video.duration * 1_000) || 0 });
  return loaded(video, "loadedmetadata", address, size, signal);
}

function loaded(media, name, address, size, signal) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(reject, PATIENCE_MS);
    const end = () => {
      clearTimeout(late);
      media.removeAttribute("src");
      reject(signal.reason);
    };
    signal.addEventListener("abort", end, { once: true });
    media.addEventListener(name, () => resolve(size()), { once: true });
    media.addEventListener("error", reject, { once: true });
    media.src = address;
    media.addEventListener(name, () => clearTimeout(late), { once: true });
  });
}

// Files.

/** The first bytes of a file say what it is to the server; its name may say something else. */
const SIGNS = [
  ["image/jpeg", /^\xff\xd8\xff/], ["image/png", /^\x89PNG\r\n\x1a\n/], ["image/gif", /^GIF8[79]a/], ["image/webp", /^RIFF[^]{4}WEBP/],
  ["video/quicktime", /^[^]{4}ftypqt  /], ["video/mp4", /^[^]{4}ftyp(3g2|3gp|F4V|M4V|MSNV|XAVC|avc1|cmf|dash|iso|mmp4|mp4|mp71)/], ["video/webm", /^\x1a\x45\xdf\xa3[^]*webm/],
];
const HEAD = 64;
/** What the server does not decode. */
const SIDE = 16_384;
const PIXELS = 50_000_000;
/** The longer side of the still picture of a video. */
const POSTER = 1_280;
const ALT = 333;
const NAME_BYTES = 255;

/** The type of a picture or video that the server shows; null for all others. */
export async function sniff(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, HEAD).arrayBuffer()));
  return SIGNS.find(([, sign]) => sign.test(head))?.[0] ?? null;
}

/** A name that the server takes: what is too long is left out before the ending. */
export function shortName(name) {
  const size = (text) => new TextEncoder().encode(text).length;
  const dot = name.lastIndexOf(".");
  const ending = dot > 0 && name.length - dot <= 16 ? name.slice(dot) : "";
  let chars = [...name.slice(0, name.length - ending.length)];
  while (size(chars.join("")) + size(ending) > NAME_BYTES) chars = chars.slice(0, -1);
  return chars.join("") + ending || "file";
}

/** What is known of a file: its kind, its type, and for pictures and videos their dimensions and a drawing. */
async function look(file, limits) {
  const name = shortName(file.name);
  const plainFile = { kind: "file", name, mime: file.type || OTHERWISE.file };
  const mime = await sniff(file);
  try {
    if (mime?.startsWith("image/") && file.size <= limits.media_image_bytes) return { ...plainFile, ...(await lookAtPicture(file)), mime };
    if (mime?.startsWith("video/")) return { ...plainFile, ...(await lookAtVideo(file)), mime };
  } catch {
    // This browser cannot show it. It is sent as it is.
  }
  return plainFile;
}

async function lookAtPicture(file) {
  const bitmap = await createImageBitmap(file);
  const { width, height } = bitmap;
  if (Math.max(width, height) > SIDE || width * height > PIXELS) throw new Error("too large to decode");
  const preview = drawn(bitmap, width, height);
  bitmap.close();
  return { kind: "image", width, height, preview };
}

async function lookAtVideo(file) {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.preload = "auto";
  const url = URL.createObjectURL(file);
  const event = (name) =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("no frame")), PATIENCE_MS);
      const end = (how) => (clearTimeout(late), how());
      video.addEventListener(name, () => end(resolve), { once: true });
      video.addEventListener("error", () => end(reject), { once: true });
    });
  const seek = (time) => {
    const there = event("seeked");
    video.currentTime = time;
    return there;
  };
  try {
    const loaded = event("loadeddata");
    video.src = url;
    await loaded;
    // The length of a recording is found at its end.
    if (!Number.isFinite(video.duration)) await seek(Number.MAX_SAFE_INTEGER);
    const duration_ms = Math.round(video.duration * 1_000);
    await seek(Math.min(0.1, video.duration / 2));
    const { videoWidth: width, videoHeight: height } = video;
    if (!(width > 0 && height > 0 && duration_ms >= 0)) throw new Error("nothing to see");
    const poster = await new Promise((resolve) => drawn(video, width, height, POSTER).toBlob(resolve, "image/jpeg", 0.85));
    return { kind: "video", width, height, duration_ms, poster, preview: drawn(video, width, height) };
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

function drop(list, one) {
  if (list.includes(one)) list.splice(list.indexOf(one), 1);
}

/** What is known of the file of a card: first nothing, and once more when it was looked at. */
function dressCard(one) {
  const { file, about: { kind, preview }, card } = one;
  $(".attachment-picture", card).replaceChildren(preview ? drawn(preview, preview.width, preview.height, 128) : icon("file"));
  if (kind === "file" || $(".attachment-alt", card)) return;
  const describe = el("input", { class: "attachment-alt", maxlength: ALT, dir: "auto", autocomplete: "off", value: one.alt, placeholder: t("attach.alt"), "aria-label": t("attach.alt.of", { name: plain(file.name) }) });
  describe.addEventListener("input", () => (one.alt = describe.value));
  $(".attachment-words", card).append(describe);
}

/** The files that are attached to what is written in each conversation, until it is sent. */
export class Attachments {
  #tideline;
  #store;
  #chat;
  #lists = new Map();
  #list = $("#attachments");
  /** Ends when all files were looked at. */
  #looking = Promise.resolve();

  /** `chat` has the `id`, whether the person may write, and the `editing`. */
  constructor(tideline, store, chat) {
    this.#tideline = tideline;
    this.#store = store;
    this.#chat = chat;
    document.addEventListener("paste", (event) => this.#paste(event));
    // Only the text is stored as a draft.
    window.addEventListener("beforeunload", (event) => [...this.#lists.values()].some(({ length }) => length > 0) && event.preventDefault());
    this.#takeDrops();
  }

  /** Opens the dialog. */
  ask(send) {
    const { id } = this.#chat;
    attach(send, this.#isTaken ? (files) => this.add(files, id) : null);
  }

  get #isTaken() {
    return this.#store.features.has("media");
  }

  get #isOpen() {
    const { id, mayWrite, editing } = this.#chat;
    return Boolean(id && mayWrite && !editing.isOpen && this.#isTaken && !$("dialog[open]:not(#attach-dialog)"));
  }

  get #own() {
    return this.#lists.get(this.#chat.id) ?? [];
  }

  /** Whether there is something to send; what was sent may still have to be looked at. */
  get any() {
    return this.#own.some(({ goes }) => !goes);
  }

  /** Attaches files to what is written in a conversation. */
  add(files, id = this.#chat.id) {
    const list = this.#lists.get(id) ?? [];
    this.#lists.set(id, list);
    const { media_bytes = Infinity, media_open_uploads: most = 20 } = this.#store.limits;
    for (const file of files) {
      if (list.length >= most) {
        toast(t("attach.many", { count: most }));
        break;
      }
      if (file.size > media_bytes) toast(t("attach.large", { name: plain(file.name), size: bytes(media_bytes) }));
      else if (file.size === 0) toast(t("attach.empty", { name: plain(file.name) }));
      else list.push({ file, about: null, alt: "" });
    }
    for (const one of list.filter(({ about }) => !about)) this.#look(one, id, list);
    this.draw();
    $("#text").focus();
    if (this.#own.length > 0) announce(t("attach.count", { count: this.#own.length }));
  }

  /** One after the other: a decoded picture takes much memory. */
  #look(one, id, list) {
    one.about = { kind: "file", name: one.file.name };
    const work = async () => {
      try {
        one.about = await look(one.file, this.#store.limits);
        if (one.card) dressCard(one);
      } catch {
        toast(t("attach.unread", { name: plain(one.file.name) }));
        drop(list, one);
      }
      if (id === this.#chat.id) this.draw();
    };
    this.#looking = this.#looking.then(work);
  }

  /** The messages for what is attached now, when all of it was looked at: their uploads begin then. Until then it can be removed. */
  async take() {
    const { id } = this.#chat;
    const going = [...this.#own];
    for (const one of going) {
      one.goes = true;
      $(".soft", one.card).textContent = t("message.sending");
    }
    await this.#looking;
    // After a logout there is no list.
    const list = this.#lists.get(id) ?? [];
    const taken = going.filter((one) => list.includes(one));
    for (const one of taken) drop(list, one);
    this.draw();
    return taken.map(({ file, about: { kind, name, mime, width, height, duration_ms, poster, preview }, alt }) => {
      const { id } = this.#tideline.uploads.add(file, { kind, name, mime, width, height, duration_ms });
      if (preview) keepPreview(id, preview);
      const still = poster && this.#tideline.uploads.add(poster, { kind: "image", name: "poster.jpg", mime: "image/jpeg" });
      const content = kind !== "file" && alt.trim() ? { alt: alt.trim() } : {};
      return { kind, upload: id, content, ...(still && { poster_upload: still.id }) };
    });
  }

  forget() {
    this.#lists.clear();
    this.draw();
  }

  /** While a message is edited, what is attached waits. */
  show() {
    this.#list.hidden = this.#own.length === 0 || this.#chat.editing.isOpen;
  }

  /** The cards stay where they are: the person may be writing in one. */
  draw() {
    for (const one of this.#own) if (!one.card) this.#makeCard(one);
    const cards = this.#own.map(({ card }) => card);
    const focused = document.activeElement.closest("#attachments");
    for (const card of [...this.#list.children]) if (!cards.includes(card)) card.remove();
    if (focused && document.activeElement === document.body) $("#text").focus();
    this.#list.append(...cards.filter((card) => card.parentElement !== this.#list));
    this.show();
  }

  #makeCard(one) {
    const name = plain(one.file.name);
    const remove = () => {
      drop(this.#own, one);
      this.draw();
      ($(".round", this.#list) ?? $("#text")).focus();
    };
    one.card = el("li", { class: "attachment" },
      el("span", { class: "attachment-picture" }),
      el("span", { class: "attachment-words" }, el("bdi", { class: "file-name" }, name), el("span", { class: "soft" }, bytes(one.file.size))),
      el("button", { type: "button", class: "round", "aria-label": t("attach.remove", { name }), title: t("attach.remove", { name }), onclick: remove }, icon("close")));
    dressCard(one);
  }

  /** Text comes before a picture of it, which some programs put beside it. */
  #paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0 || event.clipboardData.types.includes("text/plain") || dialog.open || !this.#isOpen) return;
    event.preventDefault();
    this.add(files);
  }

  /** Files are dropped anywhere on the page. Where they are not taken, they must not replace the page either. */
  #takeDrops() {
    const note = $("#drop");
    let depth = 0;
    const on = (name, work) =>
      document.addEventListener(name, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        work(event);
        note.hidden = depth <= 0 || !this.#isOpen;
      });
    on("dragenter", () => depth++);
    on("dragleave", () => depth--);
    on("dragover", ({ dataTransfer }) => (dataTransfer.dropEffect = this.#isOpen ? "copy" : "none"));
    on("drop", ({ dataTransfer }) => {
      depth = 0;
      const files = [...dataTransfer.files];
      if (!this.#isOpen || files.length === 0) return;
      if (dialog.open) dialog.close();
      this.add(files);
    });
  }
}

// Pictures, videos and files are shared by their URL. The browser determines the metadata that a message must have.

import { $, busy, open, say } from "./dom.js";
import { webUrl } from "./format.js";
import { ask } from "./media.js";
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

/** Asks for a URL, and passes the message that shares it to `send`. */
export function attach(send) {
  opening?.controller.abort();
  opening = { send, controller: new AbortController() };
  $("#attach-form").reset();
  say($("#attach-error"), null);
  open(dialog);
  $("#attach-url").focus();
}

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

// Desktop notifications and a sound for messages that arrive in conversations that are not visible. The browser asks for the
// permission once, after a click; another click turns them off. Only one tab notifies: the one that waits for all.

import { $, icon } from "./dom.js";
import { statusOf } from "./faces.js";
import { isGone, nameOf, previewOf, titleOf } from "./format.js";
import { recall, remember } from "./settings.js";
import { t } from "./texts.js";

/** Messages that arrive together are one notification per conversation, and one sound. */
const GATHER_MS = 300;
const QUIET_MS = 2_000;
const TONES = [[880, 0], [1175, 0.12]];

export class Notify {
  #tideline;
  #store;
  #tabs;
  #go;
  #waiting = new Map();
  #shown = new Map();
  #late = null;
  #rang = 0;
  #audio = null;

  /** `go` opens a conversation. */
  constructor(tideline, store, tabs, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#tabs = tabs;
    this.#go = go;
    store.on("arrived", (conversation, message) => this.#arrived(conversation, message));
    store.on("edited", (conversation, message) => this.#changed(conversation, message));
    store.on("conversations", () => this.#tidy());
    $("#bell").addEventListener("click", () => this.toggle());
    $("#ask-yes").addEventListener("click", () => this.toggle(true));
    $("#ask-no").addEventListener("click", () => this.toggle(false));
    // Switched in another tab.
    window.addEventListener("storage", () => this.draw());
    this.draw();
  }

  get on() {
    return recall("notify") === "on";
  }

  /** The browser asks for the permission when notifications are first turned on, and never again. */
  async toggle(on = !this.on) {
    remember("notify", on ? "on" : "off");
    this.draw();
    if (on) await globalThis.Notification?.requestPermission?.();
    else this.forget();
  }

  draw() {
    const bell = $("#bell");
    bell.setAttribute("aria-pressed", String(this.on));
    bell.title = t(this.on ? "notify.on" : "notify.off");
    bell.replaceChildren(icon(this.on ? "bell" : "bell-off"));
    $("#ask").hidden = recall("notify") !== null;
  }

  /** Removes all notifications from the desktop when a session ends. */
  forget() {
    clearTimeout(this.#late);
    this.#late = null;
    this.#waiting.clear();
    for (const { shown } of this.#shown.values()) shown.close();
    this.#shown.clear();
  }

  #arrived(conversation, message) {
    const me = this.#store.me?.id;
    if (!this.on || !this.#tideline.leader || message.sender_id === me || !this.#store.notifies(conversation, message)) return;
    if (statusOf(this.#store.me)?.availability === "do_not_disturb") return;
    const mentions = this.#store.isNamed(message);
    const rings = mentions || conversation.kind === "direct" || (this.#waiting.get(conversation.id)?.rings ?? false);
    this.#waiting.set(conversation.id, { message, rings });
    this.#late ??= setTimeout(() => this.#speak(), GATHER_MS);
  }

  /** The notification of a recalled message is withdrawn, and that of an edited one replaced, without a sound. */
  #changed(conversation, message) {
    const { id } = conversation;
    const waiting = this.#waiting.get(id);
    const shown = this.#shown.get(id);
    const gone = isGone(message);
    const concerns = (seq) => (message.kind === "cleared" ? seq <= message.seq : seq === message.seq);
    if (waiting && concerns(waiting.message.seq)) {
      if (gone) this.#waiting.delete(id);
      else waiting.message = message;
    }
    if (!shown || !concerns(shown.seq)) return;
    if (gone) this.#withdraw(id);
    // A reaction changes nothing of what is shown.
    else if (shown.version !== (message.version ?? 1)) this.#show(conversation, message);
  }

  #speak() {
    this.#late = null;
    const news = [...this.#waiting].filter(([id, { message }]) => {
      const conversation = this.#store.conversations.get(id);
      return conversation && conversation.me.read_seq < message.seq && !this.#tabs.isLookedAt(id);
    });
    this.#waiting.clear();
    for (const [id, { message }] of news) this.#show(this.#store.conversations.get(id), message);
    if (news.some(([, { rings }]) => rings)) this.#ring();
  }

  #show(conversation, message) {
    if (globalThis.Notification?.permission !== "granted") return;
    const name = nameOf(this.#store.people.get(message.sender_id));
    const title = conversation.kind === "direct" ? name : t("notify.title", { name, title: titleOf(conversation) });
    try {
      // One per conversation, the newest; the page plays the sound itself.
      const shown = new Notification(title, { body: previewOf(message).slice(0, 200), tag: conversation.id, icon: "/icon.svg", silent: true });
      shown.onclick = () => {
        window.focus();
        this.#go(conversation.id);
        shown.close();
      };
      this.#shown.set(conversation.id, { shown, seq: message.seq, version: message.version ?? 1 });
    } catch {
      // On a phone only an installed page may notify.
    }
  }

  /** Messages that have been read need no notification. */
  #tidy() {
    for (const id of this.#shown.keys()) if (!(this.#store.conversations.get(id)?.me.unread > 0)) this.#withdraw(id);
  }

  #withdraw(id) {
    this.#shown.get(id).shown.close();
    this.#shown.delete(id);
  }

  #ring() {
    // Browsers block sound until the person has used the page.
    if (!navigator.userActivation?.hasBeenActive || Date.now() - this.#rang < QUIET_MS) return;
    this.#rang = Date.now();
    this.#audio ??= new AudioContext();
    for (const [pitch, after] of TONES) {
      const start = this.#audio.currentTime + after;
      const tone = new OscillatorNode(this.#audio, { frequency: pitch });
      const volume = new GainNode(this.#audio, { gain: 0 });
      volume.gain.linearRampToValueAtTime(0.12, start + 0.01);
      volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.4);
      tone.connect(volume).connect(this.#audio.destination);
      tone.start(start);
      tone.stop(start + 0.45);
    }
  }
}

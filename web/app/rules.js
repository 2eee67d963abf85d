// The rules of a conversation: who posts, who pins, how often, and how long messages stay. And what they mean for the person.

import { announce } from "./announce.js";
import { now } from "./dates.js";
import { $, el, say, toast } from "./dom.js";
import { explain } from "./errors.js";
import { duration, moment, titleOf } from "./format.js";
import { t } from "./texts.js";

/** The choices, in seconds. The server allows others too. */
const SLOW = [0, 10, 30, 60, 300, 900, 3_600, 21_600];
const STAYS = [null, 3_600, 86_400, 604_800, 2_592_000, 31_536_000];

/** Why the person cannot write in a conversation; an empty text: they can. */
export function barredFrom(conversation, blocked) {
  const { kind, peer, me, posting } = conversation;
  if (kind === "direct") return blocked.has(peer?.id) ? t("chat.blocked", { title: titleOf(conversation) }) : "";
  if (me.role === "member" && (kind === "channel" || posting === "admins")) return t("chat.readers");
  return me.muted_until && new Date(me.muted_until) > now() ? t("chat.muted", { time: moment(me.muted_until) }) : "";
}

/** The rules as a section of the details, for those who may change them. `change` gets the changed one. */
export function rulesOf(conversation, features, change) {
  const { kind, me, posting, pinning, slow_mode_seconds, message_ttl_seconds } = conversation;
  const direct = kind === "direct";
  if (!direct && me.role === "member") return null;
  const choice = (id, label, values, value, wordsOf, read) => {
    const all = values.includes(value) ? values : [...values, value];
    const options = all.map((one) => el("option", { value: String(one), selected: one === value }, wordsOf(one)));
    const select = el("select", { id, class: "pick", "data-key": id, onchange: () => change(read(select.value)) }, ...options);
    return el("div", { class: "field" }, el("label", { for: id }, label), select);
  };
  const whom = (one) => t(`rules.${one}`);
  const seconds = (text) => (text === "null" ? null : Number(text));
  const rules = [
    ...(direct || kind === "channel" || !features.has("slow_mode") ? [] : [choice("rule-posting", t("rules.posting"), ["all", "admins"], posting, whom, (value) => ({ posting: value }))]),
    ...(direct || !features.has("pins") ? [] : [choice("rule-pinning", t("rules.pinning"), ["all", "admins"], pinning, whom, (value) => ({ pinning: value }))]),
    ...(direct || kind === "channel" || !features.has("slow_mode") ? [] : [choice("rule-slow", t("rules.slow"), SLOW, slow_mode_seconds, (one) => (one === 0 ? t("rules.slow.off") : duration(one)), (value) => ({ slow_mode_seconds: Number(value) }))]),
    ...(features.has("ttl") ? [choice("rule-ttl", t("rules.ttl"), STAYS, message_ttl_seconds ?? null, (one) => (one === null ? t("rules.ttl.off") : duration(one)), (value) => ({ message_ttl_seconds: seconds(value) }))] : []),
  ];
  return rules.length > 0 ? el("section", { class: "rules" }, el("h3", {}, t("rules.title")), ...rules, features.has("ttl") ? el("p", { class: "help" }, t("rules.ttl.help")) : null) : null;
}

/** Stores a changed rule. The view then shows the rule that holds. */
export async function changeRule(tideline, store, id, change) {
  try {
    const conversation = await tideline.updateConversation(id, change);
    if (store.conversations.has(id)) store.put(conversation);
    toast(t("account.saved"));
  } catch (error) {
    toast(explain(error));
  }
}

/** Seconds; minutes from two minutes on, and hours from two hours on. */
const roundedUp = (seconds) => {
  const size = seconds > 7_200 ? 3_600 : seconds > 120 ? 60 : 1;
  return Math.max(1, Math.ceil(seconds / size)) * size;
};

/** Slow mode: says when the next message of the person is sent. */
export class SlowMode {
  #until = new Map();
  #id = null;
  #timer = null;

  constructor(tideline) {
    tideline.on("send", ({ state, item, error }) => {
      const { client_msg_id, conversation_id } = item;
      if (state === "sending" && error?.code === "slow_mode") this.#wait(conversation_id, client_msg_id, error.retryAfterMs ?? 0);
      else if (state !== "sending" && this.#until.get(conversation_id)?.of === client_msg_id) this.#until.delete(conversation_id);
      this.#draw();
    });
  }

  #wait(id, of, ms) {
    const at = Date.now() + ms;
    // A repeated attempt has nothing new to say.
    const fresh = !(Math.abs((this.#until.get(id)?.at ?? 0) - at) < 2_000);
    this.#until.set(id, { of, at });
    if (fresh && id === this.#id) announce(this.#words());
  }

  open(id) {
    this.#id = id;
    this.#draw();
  }

  close() {
    this.#id = null;
    this.#draw();
  }

  forget() {
    this.#until.clear();
    this.close();
  }

  #words() {
    const wait = this.#until.get(this.#id);
    return wait ? t("rules.slow.wait", { time: duration(roundedUp((wait.at - Date.now()) / 1_000)) }) : null;
  }

  /** The seconds are counted for the eyes: a screen reader says them once. */
  #draw() {
    clearTimeout(this.#timer);
    const words = this.#words();
    say($("#slow-note"), words);
    if (words) this.#timer = setTimeout(() => this.#draw(), 1_000);
  }
}

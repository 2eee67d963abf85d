// Tideline in a browser: the SDK below, a store of the data, and a view for each part of the page.
//
// The URL says what is open (`#/c/<conversation>`), so that the back button, a reload and a second tab work as expected.
// Text that others wrote is put on the page as text only; see app/dom.js and the policy that the server sends.

import { Tideline } from "./tideline.js";
import { Account } from "./app/account.js";
import { Arrange } from "./app/arrange.js";
import { Chat } from "./app/chat.js";
import { Contacts } from "./app/contacts.js";
import { learn } from "./app/dates.js";
import { Details } from "./app/details.js";
import { $, $$, isComposing, open, toast } from "./app/dom.js";
import { Drafts } from "./app/drafts.js";
import { forget as forgetFaces } from "./app/faces.js";
import { Finder } from "./app/finder.js";
import { titleOf } from "./app/format.js";
import { List } from "./app/list.js";
import { languages } from "./app/looks.js";
import { connect as connectMedia, forget as forgetMedia } from "./app/media.js";
import { Mentioned } from "./app/mentioned.js";
import { New } from "./app/new.js";
import { Notify } from "./app/notify.js";
import { stores } from "./app/settings.js";
import { People } from "./app/people.js";
import { Person } from "./app/person.js";
import { Presence } from "./app/presence.js";
import { Privacy } from "./app/privacy.js";
import { Profile } from "./app/profile.js";
import { Sign } from "./app/sign.js";
import { Status } from "./app/status.js";
import { Store } from "./app/store.js";
import { suggestAt } from "./app/suggest.js";
import { Tabs } from "./app/tabs.js";
import { fill, has, t } from "./app/texts.js";

fill();
languages($("#sign-language"));

const tideline = new Tideline({ device: { name: browserName() }, fetch: async (...request) => learn(await fetch(...request)) });
const store = new Store(tideline);
connectMedia(tideline, store);
const drafts = new Drafts(tideline);
const people = new People(tideline, store);
const list = new List(tideline, store, drafts);
const chat = new Chat(tideline, store, drafts, people);
const profile = new Profile(tideline, store);
const privacy = new Privacy(tideline, store);
const person = new Person(tideline, store, people, (id) => go(id));
/** Shows the profile of a person; the own one can be changed. */
const showPerson = (id) => {
  if (id === tideline.user?.id) return profile.show();
  person.show(id);
  presence.look();
};
const contacts = new Contacts(tideline, store, people, showPerson, (id) => go(id));
suggestAt(tideline, store, people);
const presence = new Presence(tideline, store, people, () => [person.id, chat.peer]);
for (const draw of [() => list.draw(), () => chat.drawFrame(), () => contacts.redraw(), () => person.redraw()]) presence.on(draw);
const details = new Details(tideline, store, showPerson);
const account = new Account(tideline, store, drafts, { profile, privacy }, (text) => sign.show(text));
const status = new Status(tideline);
const fresh = new New(tideline, store, (id) => go(id));
const sign = new Sign(tideline, async () => {
  tabs.tell("signed_in", tideline.user.id);
  await enter();
});
const tabs = new Tabs(() => tideline.user?.id ?? null, () => (document.visibilityState === "visible" && document.hasFocus() ? chat.id : null));
const notify = new Notify(tideline, store, tabs, (id) => go(id));
const mentioned = new Mentioned(tideline, store, (id, seq) => go(id, seq));
const finder = new Finder(tideline, store, people, {
  name: "find",
  input: $("#filter"),
  people: () => [...store.people.values()],
  go: (found) => go(found.message.conversation_id, found.message.seq, found),
  changed: () => list.draw(),
});
list.isSearching = () => finder.active;
new Arrange(tideline, store, chat, (id) => details.show(id, "nickname"));

/** The name of this device in the person's list of devices. */
function browserName() {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrom(e|ium)\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : t("account.device.web");
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Mac OS/.test(agent) ? "macOS" : /Windows/.test(agent) ? "Windows" : /Linux/.test(agent) ? "Linux" : null;
  return system ? t("account.device.on", { browser, system }) : browser;
}

/** The message to show when its conversation is open. */
let wanted = null;

/** Opens a conversation, at a message or where the person left it. `found` is the result of a search. */
const go = (id, seq = null, found = null) => {
  wanted = seq === null ? null : { id, seq, found };
  if (location.hash === `#/c/${id}`) show();
  else location.hash = `#/c/${id}`;
};

const closeDialogs = () => $$("dialog[open]").forEach((dialog) => dialog.close());

/** Shows the conversation that the URL names, and closes everything above it, unless `keeps`. */
function show({ keeps = false } = {}) {
  if (!tideline.user || !store.ready) return;
  if (!keeps) closeDialogs();
  const id = location.hash.match(/^#\/c\/([0-9a-f-]{36})$/)?.[1] ?? null;
  const known = id !== null && store.conversations.has(id);
  $("#app").classList.toggle("in-chat", known);
  list.current = known ? id : null;
  if (known) {
    chat.open(id);
    if (wanted?.id === id) {
      chat.within.fold();
      chat.log.jump(wanted.seq, wanted.found);
    } else chat.focus();
    wanted = null;
  } else {
    const was = chat.id;
    chat.close();
    // Back in the list, the focus returns to the link of the conversation, or to the "new" button if that link is gone.
    if (was && !(finder.active && finder.resume())) $(store.conversations.has(was) ? `#conversations a[href="#/c/${CSS.escape(was)}"]` : "#new-button")?.focus();
    if (id) history.replaceState(null, "", "#/");
  }
  tabs.look();
  presence.look();
}

async function enter() {
  next = null;
  $("#welcome").hidden = true;
  $("#app").hidden = false;
  store.clear();
  drafts.begin(tideline.user.id);
  list.draw();
  status.draw();
  // It repeats failures until it has the first state; only a logout ends it early.
  await tideline.start().catch(() => {});
  if (!tideline.user) return;
  store.load();
  // The person may have opened a dialog meanwhile.
  show({ keeps: true });
  if (!chat.id) $("#new-button").focus();
}

tideline.on("signed_out", ({ reason }) => {
  closeDialogs();
  for (const form of $$("form")) form.reset();
  $("#toasts").replaceChildren();
  finder.clear();
  for (const part of [account, details, list, chat, notify, mentioned, people, contacts, person, presence, profile, privacy]) part.forget();
  drafts.end(account.leaving);
  forgetMedia();
  forgetFaces();
  store.clear();
  list.draw();
  history.replaceState(null, "", "#/");
  $("#app").classList.remove("in-chat");
  const ended = `sign.ended.${reason}`;
  sign.show(has(ended) && !account.leaving ? t(ended) : null);
  follow();
});

// Changes in another tab of this browser.

/** The id of the person who logged in there, while another person was still logged in here. */
let next = null;

async function follow() {
  if (!next || !$("#app").hidden) return;
  if ((await tideline.restore()) && next) await enter();
}

tabs.on("signed_in", (id) => {
  if (tideline.user?.id === id && !$("#app").hidden) return;
  next = id;
  follow();
});
// What another process of the browser has stored may be here only after its message.
addEventListener("storage", follow);
tabs.on("blocked", (id, blocked) => store.setBlocked(id, blocked));
tabs.on("renamed", (user) => store.rename(user));
tabs.on("retitled", (conversation) => store.retitle(conversation));
tabs.on("scheduled", () => chat.later.again());
chat.later.changed = () => tabs.tell("scheduled");
for (const name of ["blocked", "renamed", "retitled"]) store.on(name, (...what) => tabs.tell(name, ...what));

/** Whether the person was warned that nothing can be stored: one warning is enough, until storing works again. */
let refused = false;

tideline.on("error", (error) => {
  // Without the bytes of an upload only a reload ends it.
  if (error.code !== "storage_failed" || error.detail.includes(":bytes:")) return console.warn(error);
  if (!refused) toast(t("storage.refused"));
  refused = true;
});
tideline.on("send", ({ state }) => {
  if (state === "stored" && refused) refused = !stores();
});

store.on("gone", (id, conversation) => {
  if (chat.id !== id) return;
  toast(conversation ? t("chat.out.titled", { title: titleOf(conversation) }) : t("chat.out"));
  location.hash = "#/";
});

store.on("features", () => {
  const all = store.features.has("search");
  $("[for=filter]").textContent = t(all ? "search.find" : "list.find");
  $("#filter").placeholder = t(all ? "search.label" : "list.find");
  $("#find-filter").hidden = !all;
});
store.on("features", () => store.features.has("drafts") && void drafts.load().catch(() => {}));
tideline.on("resync", () => store.features.has("drafts") && void drafts.load().catch(() => {}));

window.addEventListener("hashchange", show);

const COMMANDS = {
  KeyA: () => account.show(),
  KeyC: () => contacts.show(),
  KeyE: () => chat.id && chat.toggleEmoji(),
  KeyF: () => chat.id && chat.within.open(),
  KeyH: () => open($("#help-dialog")),
  KeyI: () => chat.id && details.show(chat.id),
  KeyM: () => mentioned.show(),
  KeyN: () => fresh.show(),
  KeyS: () => $("#filter").focus(),
  ArrowUp: () => jump(-1),
  ArrowDown: () => jump(1),
};

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

function jump(step) {
  const id = list.neighbour(step);
  if (id) go(id);
}

document.addEventListener("keydown", (event) => {
  if (!tideline.user || $("dialog[open]") || isComposing(event)) return;
  if (event.key === "Escape" && !event.defaultPrevented && chat.id) {
    if (chat.within.isOpen) chat.within.close();
    else location.hash = "#/";
  }
  // On a Mac this key writes letters and moves by words in a text field.
  if (MAC && event.target.matches("input, textarea")) return;
  // By the position of the key: with Alt many keyboards write another letter.
  const command = event.altKey && !event.ctrlKey && !event.metaKey ? COMMANDS[event.code] : null;
  if (!command) return;
  event.preventDefault();
  command();
});

$("#new-button").addEventListener("click", () => fresh.show());
$("#no-chat-new").addEventListener("click", () => fresh.show());
$("#account-button").addEventListener("click", () => account.show());
$("#help-button").addEventListener("click", () => open($("#help-dialog")));
$("#details-button").addEventListener("click", () => details.show(chat.id));

if (await tideline.restore()) await enter();
else sign.show();

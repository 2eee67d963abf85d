// Beginning a conversation: with one person, a group or a channel; or joining a channel that is there.

import { uuidv7 } from "../tideline.js";
import { $, $$, busy, explain, open, say } from "./dom.js";

/** The people of these usernames, in the order of the list; says which of them nobody has. */
export async function findPeople(tideline, text) {
  const names = [...new Set(text.toLowerCase().split(/[\s,;]+/).map((name) => name.replace(/^@/, "")).filter(Boolean))];
  if (names.length === 0) throw new Error("Please give a username.");
  const people = await Promise.all(names.map((username) => tideline.findUser(username)));
  const unknown = names.filter((_, n) => !people[n]);
  if (unknown.length > 0) throw new Error(`Nobody is called ${unknown.map((name) => `“${name}”`).join(", ")}.`);
  return people;
}

const MORE = "With spaces between them. You can add more people later.";
const KINDS = {
  direct: { people: "Username", help: "Exactly as they signed up.", submit: "Start" },
  group: { title: "Name of the group", people: "Usernames", help: MORE, submit: "Create group" },
  channel: { title: "Name of the channel", people: "Usernames of readers", help: MORE, submit: "Create channel" },
  join: { people: "Id of the channel", help: "Its members find it in the details of a public channel.", submit: "Join" },
};

export class New {
  #tideline;
  #store;
  #go;
  #clientId = null;

  /** `go` opens a conversation. */
  constructor(tideline, store, go) {
    this.#tideline = tideline;
    this.#store = store;
    this.#go = go;
    for (const radio of $$("#new-form [name=kind]")) radio.addEventListener("change", () => this.#dress());
    $("#new-form").addEventListener("submit", (event) => {
      event.preventDefault();
      busy($("#new-submit"), () => this.#submit());
    });
  }

  show() {
    $("#new-form").reset();
    // One form is one group or channel, however often it is sent.
    this.#clientId = uuidv7();
    this.#dress();
    open($("#new-dialog"));
    $("#new-people").focus();
  }

  get #kind() {
    return $("#new-form").elements.kind.value;
  }

  #dress() {
    const { title, people, help, submit } = KINDS[this.#kind];
    $("#new-title-field").hidden = !title;
    $("#new-title-label").textContent = title ?? "";
    $("#new-people-label").textContent = people;
    $("#new-people-help").textContent = help;
    $("#new-open-field").hidden = this.#kind !== "channel";
    $("#new-submit").textContent = submit;
    say($("#new-error"), null);
  }

  async #submit() {
    say($("#new-error"), null);
    try {
      const values = Object.fromEntries(new FormData($("#new-form")));
      const conversation = this.#kind === "join" ? await this.#join(values.people) : await this.#make(values);
      if (!this.#store.conversations.has(conversation.id)) this.#store.put(conversation);
      $("#new-dialog").close();
      this.#go(conversation.id);
    } catch (error) {
      say($("#new-error"), explain(error));
    }
  }

  async #make({ kind, title, people, open }) {
    const found = kind !== "direct" && !people.trim() ? [] : await findPeople(this.#tideline, people);
    const ids = found.map(({ id }) => id);
    this.#store.meet(found);
    if (kind === "direct") {
      if (ids.length > 1) throw new Error("For more than one person, make a group.");
      return this.#tideline.createDirect(ids[0]);
    }
    if (!title.trim()) throw new Error(`Please give the ${kind} a name.`);
    const made = { title: title.trim(), member_ids: ids.filter((id) => id !== this.#store.me.id), client_conversation_id: this.#clientId };
    return kind === "group" ? this.#tideline.createGroup(made) : this.#tideline.createChannel({ ...made, public: open === "on" });
  }

  async #join(text) {
    const [id] = text.toLowerCase().match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) ?? [];
    if (!id) throw new Error("Please give the id of a channel: 36 letters and digits with dashes.");
    try {
      return await this.#tideline.join(id);
    } catch (error) {
      // It is no channel, or not a public one, or a conversation that one is in already and may not add people to.
      if (error.status === 403 || error.status === 404) throw new Error("There is no public channel with this id.");
      throw error;
    }
  }
}

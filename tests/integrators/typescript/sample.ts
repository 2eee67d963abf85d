// What a program with generated types looks like: two people sign up, one waits, the other sends, the first fetches.
//
// That it compiles is the test of the types: paths, parameters, bodies and answers of the document, and a switch over
// the kinds of entries and messages that names every field. It is run against a real server as well.

import type { components, paths } from "./api.js";

type Schemas = components["schemas"];
type Method = "get" | "post" | "put" | "patch" | "delete";

/** The JSON of an operation's good answers. */
type Good<O> = O extends { responses: infer R }
  ? { [S in keyof R & (200 | 201)]: R[S] extends { content: { "application/json": infer B } } ? B : never }[keyof R & (200 | 201)]
  : never;

/** The JSON of its request. */
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : undefined;

/** Its parameters in the query. */
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : undefined;

const base = process.env["TIDELINE_URL"];

async function call<P extends keyof paths & string, M extends Method & keyof paths[P]>(
  method: M,
  path: P,
  options: { token?: string; at?: Record<string, string>; body?: Body<paths[P][M]>; query?: Query<paths[P][M]> },
): Promise<Good<paths[P][M]>> {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => options.at?.[name] ?? name);
  const pairs = Object.entries(options.query ?? {}).map(([name, value]): [string, string] => [name, String(value)]);
  const query = new URLSearchParams(pairs);
  const answer = await fetch(`${base}${filled}?${query}`, {
    method: method.toUpperCase(),
    headers: {
      "Content-Type": "application/json",
      ...(options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const json: unknown = await answer.json();
  if (!answer.ok) {
    const problem = json as Schemas["Problem"];
    throw new Error(`${problem.code}: ${problem.detail}`);
  }
  return json as Good<paths[P][M]>;
}

function signUp(name: string): Promise<Schemas["Session"]> {
  const username = `${name}_${crypto.randomUUID().slice(0, 13)}`;
  const device: Schemas["NewDevice"] = { name: "sample", platform: "bot" };
  return call("post", "/v1/auth/register", { body: { username, password: crypto.randomUUID(), device } });
}

/** Every kind of message has its own content. */
function describe(message: Schemas["Message"]): string {
  switch (message.kind) {
    case "text":
      return message.content.text;
    case "emoji":
      return message.content.emoji;
    case "image":
      return `${message.content.url} ${message.content.width}×${message.content.height}`;
    case "video":
      return `${message.content.url} ${message.content.duration_ms} ms`;
    case "file":
      return `${message.content.name} ${message.content.size}`;
    case "custom":
      return JSON.stringify(message.content);
    case "recalled":
      return `recalled by ${message.recalled?.by}`;
    case "expired":
      return `expired at ${message.expires_at}`;
    case "hidden":
      return "hidden";
    default: {
      const unknown: never = message;
      return `a kind of tomorrow: ${JSON.stringify(unknown)}`;
    }
  }
}

/** Every kind of entry has its own fields. */
function tell(entry: Schemas["Entry"]): string {
  switch (entry.kind) {
    case "message":
      return `${entry.message.seq}: ${describe(entry.message)}`;
    case "mention":
      return `named in ${entry.message.seq}`;
    case "edit":
      return `version ${entry.message.version} of ${entry.message.seq}`;
    case "recall":
      return `${entry.message.seq}: ${describe(entry.message)}`;
    case "reaction":
      return `${entry.message.reactions?.length ?? 0} reactions to ${entry.message.seq}`;
    case "read":
      return `read up to ${entry.read_seq}`;
    case "conversation":
      return entry.conversation === null ? "out" : `in ${entry.conversation.title ?? entry.conversation.peer?.username}`;
    case "members":
      return `+${entry.added.length} −${entry.removed.length}, by ${entry.actor_id}`;
    case "pin":
      return entry.message.pinned ? `pinned ${entry.message.seq}` : `no longer pinned ${entry.message.seq}`;
    case "settings":
      return entry.settings.archived ? "archived" : `notifies of ${entry.settings.notify?.level ?? "all"}`;
    case "draft":
      return entry.draft === null ? "no draft" : `version ${entry.draft.version} of the draft`;
    case "cleared":
      return `cleared up to ${entry.cleared_seq}`;
    case "hidden":
      return `hid ${entry.hidden_seq}`;
    case "me":
      return "the own account has changed";
    case "contact":
      return entry.contact === null ? `no contact ${entry.user_id}` : `${entry.contact.state} ${entry.contact.user.username}`;
    case "contact_request":
      return entry.request === null ? `no request of ${entry.user_id}` : `${entry.request.direction}: ${entry.request.message ?? ""}`;
    case "scheduled_failed":
      return `could not send ${entry.client_msg_id}: ${entry.problem.code}`;
    default: {
      const unknown: never = entry;
      return `a kind of tomorrow: ${JSON.stringify(unknown)}`;
    }
  }
}

// What the types must refuse; an error that does not come is an error.
export const mistakes = () => [
  // @ts-expect-error the content of a text is no emoji
  { client_msg_id: "", kind: "text", content: { emoji: "👍" } } satisfies Schemas["SendMessage"],
  // @ts-expect-error a direct conversation is with somebody
  { kind: "direct" } satisfies Schemas["CreateConversationRequest"],
  // @ts-expect-error there is no such path
  call("get", "/v1/inboxes", {}),
];

const [ann, ben] = await Promise.all([signUp("ann"), signUp("ben")]);
const chat = await call("post", "/v1/conversations", {
  token: ann.access_token,
  body: { kind: "direct", user_id: ben.user.id },
});
const { inbox_seq: since, epoch } = await call("get", "/v1/conversations", {
  token: ben.access_token,
  query: { order: "id" },
});
const waiting = call("get", "/v1/notices", { token: ben.access_token, query: { since_seq: since, epoch, timeout: 20 } });
const message: Schemas["SendMessage"] = { client_msg_id: crypto.randomUUID(), kind: "text", content: { text: "typed" } };
const sent = await call("post", "/v1/conversations/{id}/messages", {
  token: ann.access_token,
  at: { id: chat.id },
  body: message,
});
const notice: Schemas["Notice"] = await waiting;
const page = await call("get", "/v1/inbox", { token: ben.access_token, query: { since_seq: since, epoch } });
const lines = page.entries.map(tell);
if (!notice.news || lines.join() !== `${sent.seq}: typed`) {
  throw new Error(`expected the message, got ${JSON.stringify({ notice, lines })}`);
}
const { results } = await call("get", "/v1/search/messages", { token: ben.access_token, query: { q: "typed", kind: ["text"] } });
if (results.length !== 1 || results[0]?.highlights[0]?.length !== "typed".length) {
  throw new Error(`expected the message with its highlight, got ${JSON.stringify(results)}`);
}
console.log("typescript: a typed program signs up, waits, sends, fetches and searches");

// The types of tideline.js. What the server says has the names and forms of its API (`/docs`).

export interface User {
  id: string;
  username: string;
  display_name: string;
  created_at: string;
}

export type Platform = "web" | "ios" | "android" | "desktop" | "bot" | "other";

export interface DeviceInfo {
  name?: string | undefined;
  platform?: Platform | undefined;
}

export interface Device {
  id: string;
  name: string | null;
  platform: Platform;
  created_at: string;
  last_seen_at: string;
  current: boolean;
}

export type Role = "owner" | "admin" | "member";

export interface Conversation {
  id: string;
  /** An open set: `direct`, `group`, `channel`. */
  kind: "direct" | "group" | "channel" | (string & {});
  title: string | null;
  /** Whether anybody may `join` who has the id: only channels are. */
  public: boolean;
  /** `read`: it is large, and is watched instead of being in the inbox. The events are the same. */
  fanout: "write" | "read";
  /** Of a large one: messages above this seq are in no inbox. */
  switch_seq: number | null;
  member_count: number;
  last_seq: number;
  last_message: Message | null;
  created_at: string;
  updated_at: string;
  me: { role: Role; read_seq: number; unread: number; joined_seq: number; muted_until: string | null };
  /** The other person of a direct conversation. */
  peer: User | null;
}

export interface CreatedConversation extends Conversation {
  /** Who was left out because of a block. */
  refused: string[];
}

export interface Member {
  user: User;
  role: Role;
  joined_at: string;
  muted_until: string | null;
}

export interface ImageContent {
  url: string;
  mime: string;
  size: number;
  width: number;
  height: number;
  thumbnail_url?: string | null | undefined;
}

export interface VideoContent extends ImageContent {
  duration_ms: number;
}

export interface FileContent {
  url: string;
  name: string;
  mime: string;
  size: number;
}

/** What can be said. An open set: a newer server may hand out kinds that are not listed here; skip them. */
export type Content =
  | { kind: "text"; content: { text: string; mentions?: string[] | undefined } }
  | { kind: "emoji"; content: { emoji: string } }
  | { kind: "image"; content: ImageContent }
  | { kind: "video"; content: VideoContent }
  | { kind: "file"; content: FileContent }
  | { kind: "custom"; content: Record<string, unknown> };

export type Message = Content & {
  id: string;
  conversation_id: string;
  seq: number;
  sender_id: string;
  client_msg_id: string;
  created_at: string;
};

interface EntryBase {
  seq: number;
  conversation_id: string;
  at: string;
  /** The conversation's unread count as of this entry. */
  unread: number;
}

export interface MessageEntry extends EntryBase {
  kind: "message";
  message: Message;
}

/** A text names you. Its message comes as a `message` too, before or after this. */
export interface MentionEntry extends EntryBase {
  kind: "mention";
  message: Message;
}

export interface ReadEntry extends EntryBase {
  kind: "read";
  read_seq: number;
}

export interface ConversationEntry extends EntryBase {
  kind: "conversation";
  /** The conversation as it is now; null: you are out of it. */
  conversation: Conversation | null;
}

export interface MembersEntry extends EntryBase {
  kind: "members";
  actor_id: string;
  added: string[];
  removed: string[];
  changed: { user_id: string; role: Role; muted_until: string | null }[];
}

/** A message of a large conversation, or of a backfill: it is like an entry of the inbox, but has no seq there. */
export type HistoryMessage = Omit<MessageEntry, "seq"> & { seq: null };

/** What `entries` events hold. They may hold kinds that are not listed here; skip them. */
export type Entry = MessageEntry | HistoryMessage | MentionEntry | ReadEntry | ConversationEntry | MembersEntry;

export interface Unread {
  total: number;
  /** Conversations with something unread, by id. */
  conversations: Record<string, number>;
}

export type ConnectionState = "connecting" | "online" | "offline" | "superseded" | "stopped";

export interface Violation {
  pointer: string;
  detail: string;
}

/** A message on its way. */
export type OutboxItem = Content & {
  client_msg_id: string;
  conversation_id: string;
  user_id: string;
  created_at: string;
  /** Of two messages in the outbox, the one with the lower number goes first. */
  order: number;
  state: "sending" | "stored" | "failed" | "discarded";
  /** Why it has failed. */
  error: { code: string; status: number; detail: string; request_id: string | null; errors: Violation[] } | null;
};

export interface Events {
  /** The application's picture is to be made anew from these conversations. Waited for. */
  resync: {
    reason: "start" | "cursor_ahead" | "epoch_changed" | "inbox_trimmed";
    epoch: string;
    inbox_seq: number;
    conversations: Conversation[];
  };
  /** A page of entries as a whole, before its entries one by one: for those who write them in one transaction. Waited for. */
  entries: { entries: Entry[]; since: number; next: number; epoch: string };
  /**
   * Each message once, and those of a conversation in order. Waited for, as `mention`, `read`, `conversation` and `members`
   * are. More than 100 large conversations: those beyond the 100 of the latest activity are heard of up to `waitSeconds`
   * later, and what one has written there oneself, on another device, only with the next message of somebody else.
   */
  message: MessageEntry | HistoryMessage;
  mention: MentionEntry;
  read: ReadEntry;
  conversation: ConversationEntry;
  members: MembersEntry;
  unread: Unread;
  /** Every change of a message of the outbox. `error` beside `sending`: an attempt was for nothing, another will follow. */
  send: { state: OutboxItem["state"]; item: OutboxItem; message: Message | null; error: TidelineError | OutboxItem["error"] };
  connection: { state: ConnectionState; leader: boolean; error: TidelineError | null; retryInMs: number | null };
  /** `signed_out`, or the code with which the server has ended the session. */
  signed_out: { reason: string };
  /** Another tab has signed in, and nobody is signed in here any more: `restore` takes that session up. */
  signed_in: { user: User };
  /** The own account has changed, here or in another tab. */
  user: User;
  /** Somebody was blocked or unblocked, in this tab or in another one of this browser. */
  block: { user_id: string; blocked: boolean };
  /** What went wrong in the background: handlers that failed, storage that is full. Without a handler it is logged. */
  error: Error;
}

/** Where the session, the outbox and the position are kept. Values are text; every method may be asynchronous. */
export interface TidelineStorage {
  get(key: string): string | null | Promise<string | null>;
  set(key: string, value: string): void | Promise<void>;
  delete(key: string): void | Promise<void>;
  /** All keys that begin with this. */
  keys(prefix: string): string[] | Promise<string[]>;
}

/** The part of `navigator.locks` that is used. */
export interface TidelineLocks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, callback: (lock: any) => Promise<any>): Promise<any>;
}

export interface TidelineOptions {
  /** The server, without `/v1`. In a browser the page's own origin when not given. */
  url?: string | URL | undefined;
  /** localStorage in browsers, otherwise memory. */
  storage?: TidelineStorage | undefined;
  fetch?: typeof globalThis.fetch | undefined;
  /** How this installation calls itself when it signs in. */
  device?: DeviceInfo | undefined;
  /** Tells installations apart that share a storage; the url when not given. */
  name?: string | undefined;
  /** The application keeps its own copy between runs: `start` continues where it was instead of listing anew. */
  resume?: boolean | undefined;
  /** Every message of every conversation is delivered, by a `message` event, from the first one on: for copies and archives. */
  backfill?: boolean | undefined;
  /** Whether others share the storage and one of them waits for all: true in browsers. Needs Web Locks. */
  tabs?: boolean | undefined;
  /** Instead of `navigator.locks`. */
  locks?: TidelineLocks | undefined;
  /** Tells `online`, `offline` and `pageshow`: the window in browsers. */
  network?: EventTarget | undefined;
  /** Pauses after failures: anything up to `base * 2 ** failures`, at most `cap`, in ms (500, 30,000). */
  backoff?: { base?: number | undefined; cap?: number | undefined } | undefined;
  /** 30,000. A wait has its own time. */
  requestTimeoutMs?: number | undefined;
  /** How long one wait takes at most, 1 to 55; 25. */
  waitSeconds?: number | undefined;
  /** How long the leading tab may be silent before it is asked whether it lives; 15,000. */
  leaderSilenceMs?: number | undefined;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface PageOptions {
  limit?: number | undefined;
  /** The `next_cursor` of the page before; null is the first page. */
  cursor?: string | null | undefined;
}

export class TidelineError extends Error {
  constructor(problem: {
    code: string;
    status?: number | undefined;
    detail?: string | undefined;
    request_id?: string | null | undefined;
    errors?: Violation[] | undefined;
    retryAfterMs?: number | null | undefined;
    cause?: unknown;
  });
  /**
   * A code of `/docs/problems`, or one of our own, with status 0: `network`, `timeout`, `closed`, `signed_out`,
   * `discarded`, `handler_failed`, `storage_failed`, and `validation` for an id that is not one, or what is no message.
   * An open set.
   */
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly request_id: string | null;
  readonly errors: Violation[];
  readonly retryAfterMs: number | null;
  /** Whether the same request may do better later. */
  readonly transient: boolean;
}

export class Tideline {
  constructor(options?: TidelineOptions);

  readonly user: User | null;
  readonly deviceId: string | null;
  readonly outbox: OutboxItem[];
  readonly unread: Unread;
  readonly position: { since: number; epoch: string } | null;
  readonly connection: ConnectionState;
  readonly leader: boolean;

  restore(): Promise<User | null>;
  register(account: { username: string; password: string; display_name?: string | undefined; device?: DeviceInfo | undefined }, options?: CallOptions): Promise<User>;
  login(account: { username: string; password: string; device?: DeviceInfo | undefined }, options?: CallOptions): Promise<User>;
  logout(options?: CallOptions): Promise<void>;
  getMe(options?: CallOptions): Promise<User>;
  updateMe(change: { display_name: string }, options?: CallOptions): Promise<User>;
  changePassword(change: { old_password: string; new_password: string }, options?: CallOptions): Promise<null>;
  getUser(userId: string, options?: CallOptions): Promise<User>;
  listUsers(which: { ids: string[] } | { username: string }, options?: CallOptions): Promise<User[]>;
  findUser(username: string, options?: CallOptions): Promise<User | null>;
  listDevices(options?: CallOptions): Promise<Device[]>;
  removeDevice(deviceId: string, options?: CallOptions): Promise<null>;
  listBlocks(page?: PageOptions, options?: CallOptions): Promise<{ users: User[]; next_cursor: string | null }>;
  blockUser(userId: string, options?: CallOptions): Promise<null>;
  unblockUser(userId: string, options?: CallOptions): Promise<null>;

  createDirect(userId: string, options?: CallOptions): Promise<CreatedConversation>;
  createGroup(group: { title: string; member_ids?: string[] | undefined; client_conversation_id?: string | undefined }, options?: CallOptions): Promise<CreatedConversation>;
  createChannel(
    channel: { title: string; public?: boolean | undefined; member_ids?: string[] | undefined; client_conversation_id?: string | undefined },
    options?: CallOptions,
  ): Promise<CreatedConversation>;
  listConversations(
    page?: PageOptions & { order?: "activity" | "id" | undefined },
    options?: CallOptions,
  ): Promise<{ conversations: Conversation[]; next_cursor: string | null; inbox_seq: number; epoch: string }>;
  getConversation(conversationId: string, options?: CallOptions): Promise<Conversation>;
  updateConversation(conversationId: string, change: { title: string }, options?: CallOptions): Promise<Conversation>;

  listMembers(conversationId: string, page?: PageOptions, options?: CallOptions): Promise<{ members: Member[]; next_cursor: string | null }>;
  addMembers(
    conversationId: string,
    userIds: string[],
    options?: CallOptions,
  ): Promise<{ added: string[]; already_members: string[]; refused: string[] }>;
  removeMember(conversationId: string, userId: string, options?: CallOptions): Promise<null>;
  listBans(conversationId: string, page?: PageOptions, options?: CallOptions): Promise<{ users: User[]; next_cursor: string | null }>;
  banUser(conversationId: string, userId: string, options?: CallOptions): Promise<null>;
  unbanUser(conversationId: string, userId: string, options?: CallOptions): Promise<null>;
  join(conversationId: string, options?: CallOptions): Promise<Conversation>;
  leave(conversationId: string, options?: CallOptions): Promise<null>;
  updateMember(conversationId: string, userId: string, change: { role?: Role | undefined; muted_until?: string | null | undefined }, options?: CallOptions): Promise<Member>;
  setRole(conversationId: string, userId: string, role: Role, options?: CallOptions): Promise<Member>;
  mute(conversationId: string, userId: string, until: Date | string | null, options?: CallOptions): Promise<Member>;

  listMessages(
    conversationId: string,
    page?: { since_seq?: number | undefined; before_seq?: number | undefined; limit?: number | undefined },
    options?: CallOptions,
  ): Promise<{ messages: Message[]; last_seq: number; has_more: boolean }>;
  getMessage(conversationId: string, seq: number, options?: CallOptions): Promise<Message>;
  history(
    conversationId: string,
    from?: { since_seq?: number | undefined; before_seq?: number | undefined; limit?: number | undefined },
    options?: CallOptions,
  ): AsyncGenerator<Message, void, undefined>;
  markRead(
    conversationId: string,
    seq: number,
    options?: CallOptions,
  ): Promise<{ conversation_id: string; read_seq: number; unread: number; total_unread: number }>;
  getUnread(options?: CallOptions): Promise<{ total: number; conversations: { conversation_id: string; unread: number }[]; as_of_seq: number }>;
  diagnoseLongpoll(timeout?: number, options?: CallOptions): Promise<{ asked_ms: number; waited_ms: number; reconnect: boolean }>;
  getCapabilities(options?: CallOptions): Promise<{ version: string; epoch: string; features: string[]; limits: Record<string, number> }>;

  send(
    conversationId: string,
    message: string | Content,
    options?: CallOptions & { mentions?: string[] | undefined; client_msg_id?: string | undefined },
  ): Promise<Message>;
  retry(clientMsgId: string, options?: CallOptions): Promise<Message>;
  discard(clientMsgId: string): Promise<void>;

  on<Name extends keyof Events>(name: Name, handler: (event: Events[Name]) => unknown, options?: CallOptions): () => void;
  start(options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}

export function memoryStorage(): TidelineStorage;
export function browserStorage(local?: Storage): TidelineStorage;
export function uuidv7(): string;

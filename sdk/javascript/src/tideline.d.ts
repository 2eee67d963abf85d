// The types of tideline.js. Data of the server have the names and forms of its API (`/docs`).

export interface User {
  id: string;
  /** A person, a bot or another system; or a service desk. Later servers may have more kinds. Absent: an older server. */
  kind?: "person" | "desk";
  username: string;
  display_name: string;
  /** An http or https URL, or the path of a picture that the server keeps, which changes with it: `avatarLink` has an address for both. */
  avatar_url: string | null;
  /** What the user says about the present; null: nothing. */
  status: Status | null;
  /** The number of the profile. It grows with each change that others can see. */
  rev: number;
  created_at: string;
  /** The account is erased: show `display_name` and no profile. Absent: an older server. */
  deleted?: boolean;
}

/** What others see of the user's presence. `auto`: what the devices show. */
export type Availability = "auto" | "away" | "busy" | "do_not_disturb" | "invisible";

export interface Status {
  /** Only in the user's own account. */
  availability?: Availability;
  emoji: string | null;
  text: string | null;
  /** When it ends; null: when the user ends it. */
  until: string | null;
}

/** The seat of somebody who serves a desk. Only the staff of the desk reads it. */
export interface Seat {
  desk_id: string;
  user: User;
  /** Each role may also do what those before it may. */
  role: "agent" | "supervisor" | "admin";
  /** The name under which the user answers; null: the desk's name. */
  alias: string | null;
  skills: string[];
  /** How many cases the user has at most. */
  capacity: number;
  /** How many the user has, with open offers. */
  load: number;
  /** The user takes new cases. */
  available: boolean;
  /** Why not, as far as it is known. */
  why: string | null;
  /** While the seat is available; `unknown` otherwise. */
  presence: Presence["state"];
  /** How many offers in a row the user has missed. */
  missed: number;
  given_at: string;
  /** It grows with each change of the seat. */
  version: number;
}

/** All that a user shows others. */
export interface Profile extends User {
  bio: string | null;
  /** What integrations store about the user. */
  attributes: Record<string, unknown>;
}

/** The user's own account. */
export interface Account extends Profile {
  /** Others see what the user has read, and the user sees what they have read. Absent: an older server. */
  read_receipts?: boolean;
  /** Copies of the user's messages that others make name the user. Absent: an older server. */
  forward_name?: boolean;
}

/** Whether a user is online. A user who may not be seen is `unknown`. */
export interface Presence {
  user_id: string;
  state: "online" | "away" | "busy" | "offline" | "unknown";
  platforms: Platform[];
  last_seen_at: string | null;
  /** If it differs from that of the user, read the user again. */
  rev: number | null;
}

/** What a user does at a device: `idle` shows the user `away`, unless another device is active. */
export type Activity = "active" | "idle";

/** Who may see or do something. `contacts`: the people on the user's own list. */
export type Audience = "everyone" | "contacts" | "nobody";

/** Who sees and may do what. */
export interface Audiences {
  presence: Audience;
  last_seen: Audience;
  /** Who may create a direct conversation with the user. */
  direct: Audience;
  group_add: Audience;
  contact_request: Audience;
  /** Who may count the friends in common with the user. */
  contacts_visible: Audience;
  /** Whether a search by the beginning of a username finds the user. */
  discoverable: boolean;
}

/** What the user has chosen; null: what the operator has set. */
export type PrivacyChoices = { [Name in keyof Audiences]: Audiences[Name] | null };

export interface Privacy extends PrivacyChoices {
  read_receipts: boolean;
  forward_name: boolean;
  /** What holds. */
  effective: Audiences;
}

/** What the user notes about a person. A field that is absent is not changed. */
export interface ContactNotes {
  /** The user's own name for the person; null removes it. */
  alias?: string | null | undefined;
  tags?: string[] | undefined;
  starred?: boolean | undefined;
}

/** A person on the user's list. Alias, tags and star are the user's own. */
export interface Contact {
  user: User;
  /** `friend`: each is on the list of the other. */
  state: "contact" | "friend";
  alias: string | null;
  tags: string[];
  starred: boolean;
  created_at: string;
  friends_since: string | null;
}

/** A request to become friends. */
export interface ContactRequest {
  /** The other person. */
  user: User;
  /** `in`: the other has asked. */
  direction: "in" | "out";
  /** A request that was declined stays `pending` for the person who asked, until it expires. */
  state: "pending" | "accepted" | "expired";
  message: string | null;
  /** Of a request to the user: the friends in common. */
  mutual_count: number | null;
  created_at: string;
  expires_at: string;
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
  /** The picture of a group or channel: a path for `avatarLink`, which changes with the picture. */
  avatar_url: string | null;
  /** Whether every person with the id may `join`. Only channels can be public. */
  public: boolean;
  /** `read`: a large conversation, whose messages are in no inbox: the SDK watches it. The events are the same. */
  fanout: "write" | "read";
  /** With `fanout: "read"`: messages above this seq are in no inbox. */
  switch_seq: number | null;
  member_count: number;
  /** The first seq that the user may see. `last_seq + 1`: there is none. */
  first_seq: number;
  last_seq: number;
  /** The number of the latest change of its messages. Absent: a server without `changes` in its capabilities. */
  change_seq?: number;
  /** New messages expire this number of seconds after their send. Null: they do not. Absent: a server without `ttl`. */
  message_ttl_seconds?: number | null;
  last_message: Message | null;
  created_at: string;
  updated_at: string;
  me: {
    role: Role;
    read_seq: number;
    unread: number;
    /** Those of them that name the user. */
    unread_mentions: number;
    /** The user has marked it as unread. */
    marked_unread: boolean;
    joined_seq: number;
    /** The user has cleared the history up to this seq. */
    cleared_seq: number;
    muted_until: string | null;
    settings: ConversationSettings;
  };
  /** The other person of a direct conversation. */
  peer: User | null;
  /** That person has read up to this seq. Null if one of the two hides what they read. */
  peer_read_seq: number | null;
  posting: Permission;
  pinning: Permission;
  /** A member other than the owner and the admins sends one message in this time. 0: any number. */
  slow_mode_seconds: number;
  /** The message to which it was created, if the user sees that. */
  parent: MessageRef | null;
}

/** Every member, or the owner and the admins. */
export type Permission = "all" | "admins";

export interface MessageRef {
  conversation_id: string;
  seq: number;
}

export interface CreatedConversation extends Conversation {
  /** The people that were not added: because of a block, or because they do not accept it. */
  refused: string[];
}

export interface Member {
  user: User;
  role: Role;
  joined_at: string;
  muted_until: string | null;
}

/** What a message has of media that the server keeps. */
export interface StoredMedia {
  media_id?: string;
  /** The still picture of a video. */
  poster_media_id?: string;
  /** What it shows, for people who do not see it. */
  alt?: string;
  /** A placeholder: a thumbhash in base64. */
  thumbhash?: string;
  /** The smaller forms of a picture, or of the still picture of a video. */
  variants?: MediaVariant[];
}

export interface MediaVariant {
  /** At most 320 or 1280 pixels a side. */
  name: "small" | "medium" | (string & {});
  mime: string;
  size: number;
  width: number;
  height: number;
}

export interface ImageContent extends StoredMedia {
  /** Of media that the server keeps: a path that needs the token. Use `mediaLink`. */
  url: string;
  mime: string;
  size: number;
  width: number;
  height: number;
  thumbnail_url?: string | null | undefined;
  /** The file name of media that the server keeps. */
  name?: string;
}

export interface VideoContent extends ImageContent {
  duration_ms: number;
}

export interface FileContent extends StoredMedia {
  url: string;
  name: string;
  mime: string;
  size: number;
}

/** The content of a message. An open set: skip kinds that are not listed here, which a newer server may send. */
export type Content =
  | { kind: "text"; content: { text: string; mentions?: string[] | undefined } }
  | { kind: "emoji"; content: { emoji: string } }
  | { kind: "image"; content: ImageContent }
  | { kind: "video"; content: VideoContent }
  | { kind: "file"; content: FileContent }
  | { kind: "custom"; content: Record<string, unknown> };

/** The content of a message that is recalled or has expired, or that the user has hidden: only its place is left. */
export type Stub = { kind: "recalled" | "expired" | "hidden"; content: Record<string, never> };

/** A copy of a message that the user sees, in place of a content. Its mentions are not copied. */
export interface ForwardMessage {
  forward: MessageRef;
}

/** A message with media that the server has. */
export interface MediaMessage {
  kind: MediaKind;
  content: { media_id: string; poster_media_id?: string | undefined; alt?: string | undefined };
}

/** A message with media that are being uploaded: ids of `uploads`. */
export interface UploadMessage {
  kind: MediaKind;
  upload: string;
  /** The still picture of a video. */
  poster_upload?: string | undefined;
  content?: { alt?: string | undefined } | undefined;
}

/** A message to send. */
export type NewMessage = Content | ForwardMessage | MediaMessage | UploadMessage;

export type MediaKind = "image" | "video" | "file";

/** A picture, video or file that the server keeps. */
export interface Media {
  id: string;
  kind: MediaKind;
  name: string;
  mime: string;
  size: number;
  state: "uploading" | "processing" | "ready" | "rejected";
  /** Why it was rejected: `size`, `digest`, `type`, `dimensions`, `scan` or `damaged`. */
  reason: string | null;
  width: number | null;
  height: number | null;
  duration_ms: number | null;
  thumbhash: string | null;
  variants: MediaVariant[];
  sha256: string | null;
  created_at: string;
}

/** What is said of a picture that is uploaded. Name and type of a File are its own. */
export interface PictureFile {
  name?: string | undefined;
  /** Bytes need one, and a Blob that has no type. */
  mime?: string | undefined;
}

/** A link to the picture of a user or a conversation. */
export interface AvatarLink {
  id: string;
  url: string;
  expires_at: string;
}

/** A form of media. Where a small picture has no smaller form, the next larger one is served. */
export type MediaForm = "original" | "medium" | "small" | "poster";

/** What the server has of an upload. */
export interface MediaUpload {
  media: Media;
  /** The size of every part but the last one. */
  part_bytes: number;
  parts: { part: number; size: number; received: boolean }[];
  expires_at: string | null;
  direct: { part: number; url: string; headers: Record<string, string>; expires_at: string }[] | null;
}

/** An upload of `uploads`. */
export interface Upload {
  id: string;
  client_media_id: string;
  user_id: string;
  /** Null until the server has created it. */
  media_id: string | null;
  kind: MediaKind;
  name: string;
  mime: string;
  size: number;
  width?: number | undefined;
  height?: number | undefined;
  duration_ms?: number | undefined;
  state: "uploading" | "processing" | "ready" | "failed" | "cancelled";
  /** How many of its bytes were sent. */
  sent: number;
  /** From `ready` on. */
  media: Media | null;
  /** The reason of the failure; while it is `uploading`, why it waits. */
  error: OutboxItem["error"];
  created_at: string;
}

/** The uploads of the user. They go on after a lost connection and after a restart; two parts are sent at a time. */
export interface Uploads {
  /** Those that run or have failed, and those that are ready and not sent yet. */
  list(): Upload[];
  get(id: string): Upload | null;
  /**
   * Begins an upload. Without `kind`, a picture of a type that the server shows is an `image`, a video with its dimensions and its length
   * a `video`, and anything else a `file`. Name and type of a File are its own. Throws when nobody is logged in.
   */
  add(
    bytes: Blob | ArrayBuffer | ArrayBufferView,
    about?: {
      kind?: MediaKind | undefined;
      name?: string | undefined;
      mime?: string | undefined;
      width?: number | undefined;
      height?: number | undefined;
      duration_ms?: number | undefined;
    },
  ): Upload;
  /** The bytes of an upload, such as for a preview after a restart; null: they are not stored here. */
  bytes(id: string): Promise<Blob | null>;
  /** The media when they are ready. Rejects when the upload has failed or was cancelled. */
  done(id: string, options?: CallOptions): Promise<Media>;
  /** Uploads a failed one again. `retry` of a message does it too. */
  retry(id: string): void;
  /** Ends an upload, and deletes what the server has of it. `discard` of a message does it too. */
  cancel(id: string): Promise<void>;
}

export type Message = (Content | Stub) & {
  id: string;
  conversation_id: string;
  seq: number;
  sender_id: string;
  client_msg_id: string;
  created_at: string;
  /** The number of its last change. Of two states of a message, the one with the higher number is the newer one. */
  change_seq?: number;
  /** The version of the content of an edited message. The first version is 1. */
  version?: number;
  edited_at?: string;
  /** The reactions, in the order of first use; `me`: the user is one of them. */
  reactions?: ReactionCount[];
  /** The message to which it replies; `sender_id` is null if the user may not see that message. */
  reply_to?: { seq: number; sender_id: string | null };
  /** The first message of the chain of replies. */
  root_seq?: number;
  /** It names everyone in the conversation. */
  mention_all?: boolean;
  /** From then on its kind is `expired`, without an entry: the SDK has a `change` event. */
  expires_at?: string;
  recalled?: { by: string; at: string };
  /** It is a copy: of whom, unless the author hides that, and from when. */
  forward?: { sender_id?: string; created_at: string };
  /** Who pinned it, and when. */
  pinned?: { by: string; at: string };
};

/** A version of a message. Its content has the kind of the message. */
export interface MessageVersion {
  /** The first version, as sent, is 1. */
  version: number;
  content: Record<string, unknown>;
  at: string;
}

/** The number of users with one reaction to a message. */
export interface ReactionCount {
  emoji: string;
  count: number;
  /** The user is one of them. */
  me: boolean;
}

export interface MessageReactions {
  seq: number;
  change_seq: number;
  reactions: ReactionCount[];
}

/** A member that can see a message: whether the member has read it, and whether a device of the member has it. */
export interface Receipt {
  user_id: string;
  read: boolean;
  delivered: boolean;
}

/** A message that names the user. */
export interface Mention {
  conversation_id: string;
  seq: number;
  at: string;
  message: Message;
}

export type SearchedKind = "text" | "emoji" | "image" | "video" | "file" | "custom";

/** What is searched for. `q` may be absent when there is another filter beside the times. */
export interface MessageSearch {
  q?: string | undefined;
  conversation_id?: string | readonly string[] | undefined;
  sender_id?: string | undefined;
  kind?: SearchedKind | readonly SearchedKind[] | undefined;
  has?: "media" | "link" | undefined;
  /** Inclusive. */
  from?: Date | string | undefined;
  /** Exclusive. */
  to?: Date | string | undefined;
  /** 1 to 50. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface FoundMessage {
  message: Message;
  /** Where `content[field]` matches, in UTF-16 code units, ascending and without overlaps. */
  highlights: { field: "text" | "name" | "alt"; start: number; length: number }[];
}

export interface MessagePage {
  messages: Message[];
  last_seq: number;
  /** The number up to which the page includes changes. Absent: a server without `changes`. */
  change_seq?: number;
  has_more: boolean;
  /** With `with_replied`: the messages to which those of the page reply, without those of the page. */
  replied?: Message[];
}

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

/** A text message mentions the user. The message is also delivered as a `message`, before or after this event. */
export interface MentionEntry extends EntryBase {
  kind: "mention";
  message: Message;
}

/** A message of a small conversation has a new version. If it was recalled since, it is a stub. */
export interface EditEntry extends EntryBase {
  kind: "edit";
  message: Message;
}

/** A message was recalled: any in a small conversation, one of the user in a large one. */
export interface RecallEntry extends EntryBase {
  kind: "recall";
  message: Message;
}

/** A message was pinned, or is no longer pinned. */
export interface PinEntry extends EntryBase {
  kind: "pin";
  message: Message;
}

/** The reactions to a message have changed. */
export interface ReactionEntry extends EntryBase {
  kind: "reaction";
  message: Message;
}

/**
 * A changed message for which the inbox has no entry: of a large conversation, of a small one after a trimmed inbox, or one that
 * has expired. `at` is the time of its end or its last edit.
 */
export interface ChangeEntry extends Omit<EntryBase, "seq"> {
  seq: null;
  kind: "change";
  message: Message;
}

export interface ReadEntry extends EntryBase {
  kind: "read";
  read_seq: number;
  marked_unread: boolean;
}

export interface ConversationEntry extends EntryBase {
  kind: "conversation";
  /** The current conversation; null: the user is no longer a member. */
  conversation: Conversation | null;
}

export interface MembersEntry extends EntryBase {
  kind: "members";
  actor_id: string;
  added: string[];
  removed: string[];
  changed: { user_id: string; role: Role; muted_until: string | null }[];
}

/** The user's own settings of a conversation. */
export interface ConversationSettings {
  notify: { level: "all" | "mentions" | "none"; until: string | null } | null;
  pinned: boolean;
  archived: boolean;
  hidden_through: number | null;
  nickname: string | null;
}

/** The user has changed the settings of the conversation, on this device or another. */
export interface SettingsEntry extends EntryBase {
  kind: "settings";
  settings: ConversationSettings;
}

/** The message that the user is writing in a conversation. */
export interface Draft {
  conversation_id: string;
  version: number;
  /** As the application has stored it. */
  content: Record<string, unknown> | null;
  after_seq: number;
  at: string | null;
}

/** The drafts of the user: the last content of each conversation, on all devices. */
export interface Drafts {
  /** Reads the drafts of all conversations. */
  load(options?: CallOptions): Promise<Draft[]>;
  /** The content of the draft; null without one. */
  get(conversationId: string): Record<string, unknown> | null;
  /** Whether a content that this device has set is not stored yet. */
  isPending(conversationId: string): boolean;
  /** Sets the content, any JSON object; null deletes it. The promise is fulfilled when nothing is left to store. */
  set(conversationId: string, content: Record<string, unknown> | null): Promise<void>;
  /** The user sends the content: the message makes the draft void. */
  sent(conversationId: string): void;
}

/** The user has stored or deleted a draft, on this device or another; null: there is none. */
export interface DraftEntry extends EntryBase {
  kind: "draft";
  draft: Draft | null;
}

/** The user has cleared the history up to a seq, on this device or another. */
export interface ClearedEntry extends EntryBase {
  kind: "cleared";
  cleared_seq: number;
}

/** The user has hidden a message, on this device or another. */
export interface HiddenEntry extends EntryBase {
  kind: "hidden";
  /** The seq of the message in the conversation. */
  hidden_seq: number;
}

/** The account, the status, the privacy or the blocks of the user have changed. `conversation_id` is the nil UUID. */
export interface MeEntry extends EntryBase {
  kind: "me";
}

/** A contact as it is now; null: the person is not on the list. `conversation_id` is the nil UUID. */
export interface ContactEntry extends EntryBase {
  kind: "contact";
  user_id: string;
  contact: Contact | null;
}

/** A request as it is now; null: there is none. `conversation_id` is the nil UUID. */
export interface ContactRequestEntry extends EntryBase {
  kind: "contact_request";
  user_id: string;
  request: ContactRequest | null;
}

/** A scheduled message of the user could not be sent. `conversation_id` is the nil UUID if the user is no longer a member. */
export interface ScheduledFailedEntry extends EntryBase {
  kind: "scheduled_failed";
  /** The message as it was scheduled: the user may want the text back. */
  scheduled: ScheduledMessage | null;
  client_msg_id: string;
  problem: { code: string; detail: string };
}

/** A message that the server sends later. */
export type ScheduledMessage = Content & {
  client_msg_id: string;
  conversation_id: string;
  send_at: string;
  reply_to?: number;
  mention_all?: boolean;
  expires_in?: number;
};

/** A message of a large conversation or of a backfill: like an inbox entry, but without an inbox seq. */
export type HistoryMessage = Omit<MessageEntry, "seq"> & { seq: null };

/** An entry of `entries` events. An open set: skip kinds that are not listed here. */
export type Entry =
  | MessageEntry
  | HistoryMessage
  | MentionEntry
  | EditEntry
  | RecallEntry
  | ReactionEntry
  | PinEntry
  | ChangeEntry
  | ReadEntry
  | ConversationEntry
  | MembersEntry
  | SettingsEntry
  | DraftEntry
  | ClearedEntry
  | HiddenEntry
  | MeEntry
  | ContactEntry
  | ContactRequestEntry
  | ScheduledFailedEntry;

export interface Unread {
  total: number;
  /** The counts of conversations with unread messages, by id. */
  conversations: Record<string, number>;
}

export type ConnectionState = "connecting" | "online" | "offline" | "superseded" | "stopped";

export interface Violation {
  pointer: string;
  detail: string;
}

/** A message in the outbox. A forward has no `kind` and no `content` until it is stored, and one with an upload only its `alt`. */
export type OutboxItem = (
  | (Content & { forward?: never; upload?: never })
  | (ForwardMessage & { kind?: never; content?: never; upload?: never })
  | (UploadMessage & { content: { alt?: string | undefined }; forward?: never })
) & {
  client_msg_id: string;
  conversation_id: string;
  user_id: string;
  created_at: string;
  mention_all?: true;
  reply_to?: number;
  expires_in?: number;
  /** Messages are sent in ascending order of this number. */
  order: number;
  state: "sending" | "stored" | "failed" | "discarded";
  /** The reason of the failure. */
  error: { code: string; status: number; detail: string; request_id: string | null; errors: Violation[] } | null;
};

export interface Events {
  /** The application must rebuild its state from these conversations. The SDK waits for the handler. */
  resync: {
    reason: "start" | "cursor_ahead" | "epoch_changed" | "inbox_trimmed";
    epoch: string;
    inbox_seq: number;
    conversations: Conversation[];
  };
  /**
   * All contacts and requests, after `resync`, for the application to replace its own lists. They are read only when there is a handler
   * at that time. Entries after the position of `resync` have what changes meanwhile.
   */
  contacts: { contacts: Contact[]; requests: ContactRequest[]; inbox_seq: number; epoch: string };
  /** A page of entries, before the events of its entries, so that a handler can store it in one transaction. The SDK waits for it. */
  entries: { entries: Entry[]; since: number; next: number; epoch: string };
  /**
   * Each message once, in the order of its conversation. The SDK waits for the handler, as for all others up to `contact_request`. With
   * more than 100 large conversations, only the 100 with the latest activity are watched: messages of the others arrive up to
   * `waitSeconds` later. Messages that the user sends there from another device, and changes, arrive only with the next message
   * of another person.
   */
  message: MessageEntry | HistoryMessage;
  mention: MentionEntry;
  /**
   * `edit`, `recall`, `pin` and `change` have a message as it is now: of this state and the stored one, keep `newerState`. Several
   * events may have the same state. The application may not have the message.
   */
  edit: EditEntry;
  recall: RecallEntry;
  /** The reactions to a message have changed. */
  reaction: ReactionEntry;
  scheduled_failed: ScheduledFailedEntry;
  /** A message was pinned, or is no longer pinned. */
  pin: PinEntry;
  change: ChangeEntry;
  /**
   * The device has missed more than 1,000 changes of this conversation: the application drops its copy of the messages, and
   * reads them again. With `backfill` every change is delivered instead.
   */
  invalidate: { conversation_id: string; change_seq: number };
  read: ReadEntry;
  /**
   * In a small conversation that is watched another member has read more: `peer_read_seq` or the receipts have changed. Moves can be
   * missed.
   */
  reads_moved: { conversation_id: string };
  conversation: ConversationEntry;
  members: MembersEntry;
  settings: SettingsEntry;
  draft: DraftEntry;
  cleared: ClearedEntry;
  /** A page or message that was being read has the stub already; of stored ones the application deletes the content. */
  hidden: HiddenEntry;
  /** The own account, the privacy or the blocks have changed, on this device or another. A changed account also has a `user` event. */
  me: MeEntry;
  /** A contact was added, changed or removed, or a friendship has begun or ended. */
  contact: ContactEntry;
  /** A request to become friends was made, or has ended other than by its acceptance. */
  contact_request: ContactRequestEntry;
  /** The draft of a conversation has another content, from another device or because a message has made it void. */
  draft_changed: { conversation_id: string; content: Record<string, unknown> | null };
  unread: Unread;
  /** The others that type now in a conversation that is watched, at most 4 of these. Empty: nobody does any more. It is not awaited. */
  typing: { conversation_id: string; user_ids: string[] };
  /**
   * The states of people of `watchPresence`: all of them at first, later those that have changed. Without a connection for 45 seconds
   * they are `unknown`. `last_seen_at` of a person who has just left comes some seconds later, in an event of its own. It is not awaited.
   */
  presence: { presences: Presence[] };
  /**
   * The profiles of people of `watchPresence` that the SDK has read because they were new to it, or had another `rev`. It reads them only
   * when there is a handler. It is not awaited.
   */
  users: { users: User[] };
  /** Every change of a message in the outbox. `error` together with `sending`: an attempt failed and will be repeated. */
  send: { state: OutboxItem["state"]; item: OutboxItem; message: Message | null; error: TidelineError | OutboxItem["error"] };
  /** Every change of an upload, and its progress. */
  upload: Upload;
  connection: { state: ConnectionState; leader: boolean; error: TidelineError | null; retryInMs: number | null };
  /** `signed_out`, or the code with which the server ended the session. */
  signed_out: { reason: string };
  /** Another tab has logged in, and this tab is logged out: `restore` continues that session. */
  signed_in: { user: User };
  /** The user's own account has changed, on this device or another. */
  user: Account;
  /** The user has blocked or unblocked a person, in this tab or in another one of this browser. */
  block: { user_id: string; blocked: boolean };
  /** An error in the background, such as a failed handler or a full storage. Without a handler it is logged. */
  error: Error;
}

/** The storage of the session, the outbox, the uploads and the position. Values are text. Every method may be asynchronous. */
export interface TidelineStorage {
  get(key: string): string | null | Promise<string | null>;
  set(key: string, value: string): void | Promise<void>;
  delete(key: string): void | Promise<void>;
  /** All keys with this prefix. */
  keys(prefix: string): string[] | Promise<string[]>;
  /** The bytes of uploads. Without it they are kept in memory: after a restart an upload has failed. */
  bytes?:
    | {
        get(key: string): Blob | null | undefined | Promise<Blob | null | undefined>;
        set(key: string, value: Blob): unknown;
        delete(key: string): unknown;
        keys(prefix: string): string[] | Promise<string[]>;
      }
    | undefined;
}

/** The part of `navigator.locks` that the SDK uses. */
export interface TidelineLocks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, callback: (lock: any) => Promise<any>): Promise<any>;
}

export interface TidelineOptions {
  /** The URL of the server, without `/v1`. Default in a browser: the origin of the page. */
  url?: string | URL | undefined;
  /** Default: localStorage in browsers, otherwise memory. */
  storage?: TidelineStorage | undefined;
  /** Sends the requests. In browsers, `uploads` sends parts by XMLHttpRequest, which tells the progress. */
  fetch?: typeof globalThis.fetch | undefined;
  /** The name and platform of this installation at login. */
  device?: DeviceInfo | undefined;
  /** Distinguishes installations that share a storage. Default: the url. */
  name?: string | undefined;
  /** The application keeps its state between runs: `start` continues from the stored position, without a resync. */
  resume?: boolean | undefined;
  /** Delivers every message of every conversation as a `message` event, from the first one on: for copies and archives. */
  backfill?: boolean | undefined;
  /** Whether tabs share the storage, and one of them waits for all. Default: true in browsers. Needs Web Locks. */
  tabs?: boolean | undefined;
  /** A replacement for `navigator.locks`. */
  locks?: TidelineLocks | undefined;
  /** The source of `online`, `offline` and `pageshow` events. Default: the window in browsers. */
  network?: EventTarget | undefined;
  /** Pauses after failures: random, up to `base * 2 ** failures`, at most `cap`, in ms. Default: 500 and 30,000. Between two waits at most 20,000. */
  backoff?: { base?: number | undefined; cap?: number | undefined } | undefined;
  /** The timeout of requests, except waits. Default: 30,000. */
  requestTimeoutMs?: number | undefined;
  /** The timeout of a wait, 1 to 55. Default: 25. */
  waitSeconds?: number | undefined;
  /** The silence of the leading tab after which it is probed. Default: 15,000. */
  leaderSilenceMs?: number | undefined;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface PageOptions {
  limit?: number | undefined;
  /** The `next_cursor` of the previous page; null for the first page. */
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
    current?: Message | null | undefined;
    draft?: Draft | null | undefined;
    cause?: unknown;
  });
  /**
   * A code of `/docs/problems`, or one of our own, with status 0: `network`, `timeout`, `closed`, `signed_out`,
   * `discarded`, `handler_failed`, `storage_failed`, `bytes_lost` (the bytes of an upload are not stored here any more), `media_rejected`
   * (the server has refused media; the detail of `errors[0]` is the reason), and `validation` for a malformed id or message. An open set.
   */
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly request_id: string | null;
  readonly errors: Violation[];
  readonly retryAfterMs: number | null;
  /** With `version_conflict`: the message as it is now. Show it, and let the user decide. */
  readonly current: Message | null;
  /** With `version_conflict` of a draft: the draft as it is now. */
  readonly draft: Draft | null;
  /** Whether the same request may succeed later. */
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
  readonly drafts: Drafts;
  readonly uploads: Uploads;

  restore(): Promise<User | null>;
  register(account: { username: string; password: string; display_name?: string | undefined; device?: DeviceInfo | undefined }, options?: CallOptions): Promise<User>;
  login(account: { username: string; password: string; device?: DeviceInfo | undefined }, options?: CallOptions): Promise<User>;
  logout(options?: CallOptions): Promise<void>;
  getMe(options?: CallOptions): Promise<Account>;
  /** Logs all devices out, until the next login. An account without a password leaves it out. */
  deactivate(proof: { password?: string | undefined }, options?: CallOptions): Promise<void>;
  /** The same, and the account is erased at `erase_at`, unless the person logs in before. */
  deleteAccount(proof: { password?: string | undefined }, options?: CallOptions): Promise<{ erase_at: string }>;
  updateMe(
    change: {
      /** Once in 14 days. */
      username?: string | undefined;
      display_name?: string | undefined;
      avatar_url?: string | null | undefined;
      /** An own image that is ready, in place of `avatar_url`. `setAvatar` uploads it too. */
      avatar_media_id?: string | null | undefined;
      bio?: string | null | undefined;
      /** A merge patch (RFC 7396): a member that is null is removed, and null removes all. */
      attributes?: Record<string, unknown> | null | undefined;
      read_receipts?: boolean | undefined;
      forward_name?: boolean | undefined;
    },
    options?: CallOptions,
  ): Promise<Account>;
  setStatus(
    status: {
      availability?: Availability | undefined;
      emoji?: string | null | undefined;
      text?: string | null | undefined;
      until?: Date | string | null | undefined;
    },
    options?: CallOptions,
  ): Promise<Account>;
  clearStatus(options?: CallOptions): Promise<Account>;
  getPrivacy(options?: CallOptions): Promise<Privacy>;
  updatePrivacy(
    change: { [Name in keyof PrivacyChoices]?: PrivacyChoices[Name] | undefined } & {
      read_receipts?: boolean | undefined;
      forward_name?: boolean | undefined;
    },
    options?: CallOptions,
  ): Promise<Privacy>;
  changePassword(change: { old_password: string; new_password: string }, options?: CallOptions): Promise<null>;
  getUser(userId: string, options?: CallOptions): Promise<Profile>;
  listUsers(which: { ids: string[] } | { username: string }, options?: CallOptions): Promise<User[]>;
  findUser(username: string, options?: CallOptions): Promise<User | null>;
  /** Up to 20 people whose usernames begin so: at least three characters. */
  searchUsers(prefix: string, page?: { limit?: number | undefined }, options?: CallOptions): Promise<User[]>;
  /** Whether these people are online: up to 100. */
  presence(userIds: string[], options?: CallOptions): Promise<Presence[]>;
  /** The same, and the cursor from which a wait has the changes. */
  presenceCursor(userIds: string[], options?: CallOptions): Promise<{ presences: Presence[]; cursor: string }>;
  listDevices(options?: CallOptions): Promise<Device[]>;
  removeDevice(deviceId: string, options?: CallOptions): Promise<null>;
  listBlocks(page?: PageOptions, options?: CallOptions): Promise<{ users: User[]; next_cursor: string | null }>;
  blockUser(userId: string, options?: CallOptions): Promise<null>;
  unblockUser(userId: string, options?: CallOptions): Promise<null>;
  listContacts(
    page?: PageOptions & { state?: Contact["state"] | undefined; tag?: string | undefined },
    options?: CallOptions,
  ): Promise<{ contacts: Contact[]; next_cursor: string | null; inbox_seq: number; epoch: string }>;
  getContact(userId: string, options?: CallOptions): Promise<Contact>;
  putContact(userId: string, notes?: ContactNotes, options?: CallOptions): Promise<Contact>;
  putContacts(
    contacts: (ContactNotes & { user_id: string })[],
    options?: CallOptions,
  ): Promise<{ user_id: string; status: number; contact: Contact | null; problem: { code: string; detail: string } | null }[]>;
  removeContact(userId: string, options?: CallOptions): Promise<null>;
  countMutualContacts(userId: string, options?: CallOptions): Promise<{ count: number; capped: boolean }>;
  listContactRequests(
    page: PageOptions & { direction: ContactRequest["direction"] },
    options?: CallOptions,
  ): Promise<{ requests: ContactRequest[]; next_cursor: string | null }>;
  requestContact(userId: string, request?: { message?: string | null | undefined }, options?: CallOptions): Promise<ContactRequest>;
  acceptContact(userId: string, notes?: ContactNotes, options?: CallOptions): Promise<Contact>;
  declineContact(userId: string, options?: CallOptions): Promise<null>;
  cancelContact(userId: string, options?: CallOptions): Promise<null>;

  createDesk(
    desk: { username: string; display_name: string; client_desk_id: string },
    options?: CallOptions,
  ): Promise<User>;
  listDesks(options?: CallOptions): Promise<{ desk: User; seat: Seat }[]>;
  updateDesk(
    deskId: string,
    change: { display_name?: string | undefined; avatar_url?: string | null | undefined },
    options?: CallOptions,
  ): Promise<User>;
  getDeskSkills(deskId: string, options?: CallOptions): Promise<string[]>;
  /** The present skills in their order, with new ones after them. */
  addDeskSkills(deskId: string, skills: string[], options?: CallOptions): Promise<string[]>;
  listSeats(deskId: string, options?: CallOptions): Promise<Seat[]>;
  addSeat(
    deskId: string,
    userId: string,
    seat: { role: Seat["role"]; skills: string[]; capacity: number; alias?: string | null | undefined },
    options?: CallOptions,
  ): Promise<Seat>;
  updateSeat(
    deskId: string,
    userId: string,
    change: { available?: false | undefined; skills?: string[] | undefined; capacity?: number | undefined },
    options?: CallOptions,
  ): Promise<Seat>;
  removeSeat(deskId: string, userId: string, options?: CallOptions): Promise<null>;
  updateAvailability(
    deskId: string,
    availability: { available: boolean; why?: string | null | undefined },
    options?: CallOptions,
  ): Promise<Seat>;

  createDirect(userId: string, options?: CallOptions): Promise<CreatedConversation>;
  createGroup(
    group: { title: string; member_ids?: string[] | undefined; client_conversation_id?: string | undefined; parent?: MessageRef | undefined },
    options?: CallOptions,
  ): Promise<CreatedConversation>;
  createChannel(
    channel: { title: string; public?: boolean | undefined; member_ids?: string[] | undefined; client_conversation_id?: string | undefined; parent?: MessageRef | undefined },
    options?: CallOptions,
  ): Promise<CreatedConversation>;
  listConversations(
    page?: PageOptions & { order?: "activity" | "id" | undefined },
    options?: CallOptions,
  ): Promise<{ conversations: Conversation[]; next_cursor: string | null; inbox_seq: number; epoch: string }>;
  getConversation(conversationId: string, options?: CallOptions): Promise<Conversation>;
  updateConversation(
    conversationId: string,
    change: {
      title?: string | undefined;
      /** An own image that is ready. `setConversationAvatar` uploads it too. */
      avatar_media_id?: string | null | undefined;
      posting?: Permission | undefined;
      pinning?: Permission | undefined;
      slow_mode_seconds?: number | undefined;
      /** Null: messages do not expire. */
      message_ttl_seconds?: number | null | undefined;
    },
    options?: CallOptions,
  ): Promise<Conversation>;

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
    page?: {
      since_seq?: number | undefined;
      before_seq?: number | undefined;
      seqs?: number[] | undefined;
      with_replied?: boolean | undefined;
      limit?: number | undefined;
    },
    options?: CallOptions,
  ): Promise<MessagePage>;
  getMessage(conversationId: string, seq: number, options?: CallOptions): Promise<Message>;
  history(
    conversationId: string,
    from?: { since_seq?: number | undefined; before_seq?: number | undefined; limit?: number | undefined },
    options?: CallOptions,
  ): AsyncGenerator<Message, void, undefined>;
  edit(
    conversationId: string,
    seq: number,
    change: { version: number; content: { text: string; mentions?: string[] | undefined } | Record<string, unknown> },
    options?: CallOptions,
  ): Promise<Message>;
  recall(conversationId: string, seq: number, options?: CallOptions): Promise<Message>;
  versions(conversationId: string, seq: number, options?: CallOptions): Promise<MessageVersion[]>;
  addReaction(conversationId: string, seq: number, emoji: string, options?: CallOptions): Promise<MessageReactions>;
  removeReaction(conversationId: string, seq: number, emoji: string, options?: CallOptions): Promise<MessageReactions>;
  listReactions(
    conversationId: string,
    seq: number,
    page?: PageOptions & { emoji?: string | undefined },
    options?: CallOptions,
  ): Promise<{ users: { user_id: string; emoji: string; at: string }[]; next_cursor: string | null }>;
  pinMessage(conversationId: string, seq: number, options?: CallOptions): Promise<null>;
  unpinMessage(conversationId: string, seq: number, options?: CallOptions): Promise<null>;
  listPins(conversationId: string, options?: CallOptions): Promise<{ messages: Message[]; change_seq: number }>;
  listReplies(
    conversationId: string,
    seq: number,
    page?: { since_seq?: number | undefined; limit?: number | undefined },
    options?: CallOptions,
  ): Promise<MessagePage>;
  listReceipts(
    conversationId: string,
    seq: number,
    page?: PageOptions,
    options?: CallOptions,
  ): Promise<{ readers: number; delivered: number; eligible: number; members: Receipt[]; next_cursor: string | null }>;
  searchMessages(
    search: MessageSearch,
    options?: CallOptions,
  ): Promise<{ results: FoundMessage[]; next_cursor: string | null; complete: boolean }>;
  listMentions(
    page?: { before?: string | undefined; limit?: number | undefined },
    options?: CallOptions,
  ): Promise<{ mentions: Mention[]; next_cursor: string | null }>;
  changedSince(
    conversationId: string,
    number: number,
    page?: { limit?: number | undefined; epoch?: string | undefined },
    options?: CallOptions,
  ): Promise<MessagePage>;
  updateScheduled(
    clientMsgId: string,
    conversationId: string,
    message: Content & {
      send_at: string | Date;
      reply_to?: number | undefined;
      mention_all?: boolean | undefined;
      expires_in?: number | undefined;
    },
    options?: CallOptions,
  ): Promise<ScheduledMessage>;
  deleteScheduled(clientMsgId: string, options?: CallOptions): Promise<void>;
  listScheduled(page?: PageOptions, options?: CallOptions): Promise<{ scheduled: ScheduledMessage[]; next_cursor: string | null }>;
  markRead(
    conversationId: string,
    seq: number,
    options?: CallOptions,
  ): Promise<{ conversation_id: string; read_seq: number; unread: number; total_unread: number }>;
  getUnread(options?: CallOptions & { mentions?: boolean | undefined }): Promise<{
    total: number;
    /** With `mentions`. */
    total_mentions?: number;
    conversations: { conversation_id: string; unread: number; mentions?: number }[];
    as_of_seq: number;
  }>;
  updateTyping(conversationId: string, typing: boolean, options?: CallOptions): Promise<null>;
  markUnread(conversationId: string, options?: CallOptions): Promise<null>;
  updateSettings(
    conversationId: string,
    change: {
      notify?: { level: "all" | "mentions" | "none"; until?: string | null | undefined } | null | undefined;
      pinned?: boolean | undefined;
      archived?: boolean | undefined;
      hidden_through?: number | null | undefined;
      nickname?: string | null | undefined;
    },
    options?: CallOptions,
  ): Promise<ConversationSettings>;
  clearHistory(conversationId: string, seq: number, options?: CallOptions): Promise<null>;
  hideMessages(conversationId: string, seqs: number[], options?: CallOptions): Promise<null>;
  listDrafts(page?: PageOptions, options?: CallOptions): Promise<{ drafts: Draft[]; next_cursor: string | null }>;
  updateDraft(
    conversationId: string,
    draft: { version: number; content: Record<string, unknown>; after_seq: number },
    options?: CallOptions,
  ): Promise<Draft>;
  deleteDraft(conversationId: string, version: number, options?: CallOptions): Promise<null>;

  createMedia(
    media: {
      client_media_id?: string | undefined;
      kind: MediaKind;
      name: string;
      mime: string;
      size: number;
      /** In base64. */
      sha256?: string | undefined;
      width?: number | undefined;
      height?: number | undefined;
      duration_ms?: number | undefined;
    },
    options?: CallOptions,
  ): Promise<MediaUpload>;
  getUpload(mediaId: string, options?: CallOptions): Promise<MediaUpload>;
  /** `digest`: the SHA-256 of the part, in base64. */
  uploadPart(
    mediaId: string,
    part: number,
    bytes: Blob | ArrayBuffer | ArrayBufferView,
    options?: CallOptions & { digest?: string | undefined },
  ): Promise<null>;
  completeMedia(mediaId: string, options?: CallOptions): Promise<Media>;
  getMedia(mediaId: string, options?: CallOptions): Promise<Media>;
  deleteMedia(mediaId: string, options?: CallOptions): Promise<null>;
  listMedia(page?: PageOptions, options?: CallOptions): Promise<{ media: Media[]; next_cursor: string | null; used_bytes: number; quota_bytes: number }>;
  getMediaContent(mediaId: string, which?: { variant?: MediaForm | undefined }, options?: CallOptions): Promise<Blob>;
  getMessageMedia(conversationId: string, seq: number, which?: { variant?: MediaForm | undefined }, options?: CallOptions): Promise<Blob>;
  createMediaLinks(
    items: { conversation_id: string; seq: number; variant: MediaForm }[],
    options?: CallOptions,
  ): Promise<({ conversation_id: string; seq: number; variant: MediaForm; url: string; expires_at: string } | null)[]>;
  /** A link to the media of a message, or null. It works for an hour or more: ask again for each element, and with `fresh` after a 404. */
  mediaLink(conversationId: string, seq: number, variant?: MediaForm, options?: CallOptions & { fresh?: boolean | undefined }): Promise<string | null>;
  getUserAvatar(userId: string, options?: CallOptions): Promise<Blob>;
  getConversationAvatar(conversationId: string, options?: CallOptions): Promise<Blob>;
  createAvatarLinks(
    wanted: { user_ids?: string[] | undefined; conversation_ids?: string[] | undefined },
    options?: CallOptions,
  ): Promise<{ users: (AvatarLink | null)[]; conversations: (AvatarLink | null)[] }>;
  /**
   * The address for `<img>` of the picture with this `avatar_url`. Of one that the server keeps it is a link, or null when there is no such
   * picture any more; any other is as it is. Ask again for each element, and with `fresh` after a 404.
   */
  avatarLink(avatarUrl: string | null | undefined, options?: CallOptions & { fresh?: boolean | undefined }): Promise<string | null>;
  /** Uploads a picture, and makes it that of the user. Null removes the picture. */
  setAvatar(picture: Blob | ArrayBuffer | ArrayBufferView | null, about?: PictureFile, options?: CallOptions): Promise<Account>;
  /** The same for a group or channel. */
  setConversationAvatar(
    conversationId: string,
    picture: Blob | ArrayBuffer | ArrayBufferView | null,
    about?: PictureFile,
    options?: CallOptions,
  ): Promise<Conversation>;
  diagnoseLongpoll(timeout?: number, options?: CallOptions): Promise<{ asked_ms: number; waited_ms: number; reconnect: boolean }>;
  getCapabilities(options?: CallOptions): Promise<{ version: string; epoch: string; features: string[]; limits: Record<string, number> }>;

  send(
    conversationId: string,
    message: string | NewMessage,
    options?: CallOptions & {
      mentions?: string[] | undefined;
      mention_all?: boolean | undefined;
      /** The seq of a message of the conversation. */
      reply_to?: number | undefined;
      /** Seconds after which the content is gone. */
      expires_in?: number | undefined;
      client_msg_id?: string | undefined;
    },
  ): Promise<Message>;
  retry(clientMsgId: string, options?: CallOptions): Promise<Message>;
  discard(clientMsgId: string): Promise<void>;

  on<Name extends keyof Events>(name: Name, handler: (event: Events[Name]) => unknown, options?: CallOptions): () => void;
  /** The user types in a conversation, or no longer: to be called as often as the text changes. */
  typing(conversationId: string, typing?: boolean): void;
  /**
   * The application shows whether these people are online: up to 100, of more the first ones. They replace those before, and an empty
   * list ends it. Changes come as `presence` events within the time of a wait. With `wake` a change ends the wait, at most once in 10
   * seconds.
   */
  watchPresence(userIds: string[], options?: { wake?: boolean | undefined }): void;
  /** What the user does at this device. Until it is set, a device that is started counts as active. */
  setActivity(activity: Activity): void;
  /** Watches a conversation that the application shows, until the returned function is called. */
  watch(conversationId: string): () => void;
  start(options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}

export function memoryStorage(): TidelineStorage;
export function browserStorage(local?: Storage): TidelineStorage;
export function uuidv7(): string;
/** The state to keep of two states of one message, in whichever order they have arrived: the one with the higher `change_seq`, or the stub. */
export function newerState(one: Message, other: Message | null | undefined): Message;
export function newerState(one: Message | null | undefined, other: Message): Message;

//! The archive: each message once, by conversation and seq.

use crate::model::ids::{ChangeSeq, ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::message::SendOptions;
use crate::model::page::{PAGE_BYTES, PageSize, Range};
use crate::model::time::Timestamp;
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::Message;
use crate::model::wire::message_ref::MessageRef;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::content::{message_state, stored_body, stored_extra};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, RowHandle, Tid, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable, QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// A row of `messages_now`.
#[derive(QueryableByName)]
pub struct MessageRow {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: ConversationId,
    #[diesel(sql_type = BigInt)]
    seq: ConvSeq,
    #[diesel(sql_type = SqlUuid)]
    id: MessageId,
    #[diesel(sql_type = SqlUuid)]
    sender_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    client_msg_id: ClientMsgId,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
    #[diesel(sql_type = Nullable<Text>)]
    changes: Option<String>,
}

impl MessageRow {
    pub(in crate::storage::pg) fn build(self) -> StorageResult<Message> {
        Ok(Message {
            state: message_state(&self.kind, self.changes.as_deref())?,
            id: self.id,
            conversation_id: self.conversation_id,
            seq: self.seq,
            sender_id: self.sender_id,
            client_msg_id: self.client_msg_id,
            body: stored_body(self.kind, self.content)?,
            created_at: self.created_at,
        })
    }
}

/// A member of a locked conversation.
#[derive(Clone, Copy, Debug, Queryable)]
pub struct MemberRow {
    /// The conversation.
    pub conversation: ConversationId,
    /// The member.
    pub user: UserId,
    /// The member's row.
    pub place: RowHandle,
    /// Only messages above this seq are visible: the head when the member joined, or the seq up to which the member has cleared.
    pub visible_after: ConvSeq,
    /// Read up to here.
    pub read_seq: ConvSeq,
    /// An owner or admin.
    pub can_moderate: bool,
    /// The owner.
    pub is_owner: bool,
    /// The last message that names the member.
    pub mentioned_seq: ConvSeq,
    /// The member has marked the conversation as unread.
    pub marked_unread: bool,
    /// The member has cleared the history up to here.
    pub cleared_seq: ConvSeq,
    /// The newest message that the member has sent; 0: none.
    pub sent_seq: ConvSeq,
    /// Muted until this time.
    pub muted_until: Option<Timestamp>,
    /// The database's time after locking.
    pub now: Timestamp,
}

impl MemberRow {
    /// The member's positions, as they are stored.
    pub fn positions(&self) -> MemberPositions {
        MemberPositions {
            read_seq: self.read_seq,
            mentioned_seq: self.mentioned_seq,
            marked_unread: self.marked_unread,
            cleared_seq: self.cleared_seq,
            sent_seq: self.sent_seq,
        }
    }
}

type MemberColumns = (
    SqlUuid,
    SqlUuid,
    Tid,
    BigInt,
    BigInt,
    Bool,
    Bool,
    BigInt,
    Bool,
    BigInt,
    BigInt,
    Nullable<Timestamptz>,
    Timestamptz,
);

/// The key of a message: its conversation and its seq.
pub type MessageKey = (ConversationId, ConvSeq);

/// The idempotency key of a send: used by one sender, once.
pub type Key = (ConversationId, UserId, ClientMsgId);

/// The members of locked conversations: all of those with write fan-out, and the given users of large ones.
pub fn load_members(
    conn: &mut PgConnection,
    small: &[ConversationId],
    of_large: &[(ConversationId, UserId)],
) -> StorageResult<Vec<MemberRow>> {
    Ok(sql(include_str!("archive_members.sql"))
        .bind::<Uuids, _>(small)
        .bind::<Uuids, _>(of_large.iter().map(|one| one.0).collect::<Vec<_>>())
        .bind::<Uuids, _>(of_large.iter().map(|one| one.1).collect::<Vec<_>>())
        .columns::<MemberColumns>()
        .load(conn)?)
}

/// A message that was stored before.
#[derive(Clone, Debug)]
pub struct StoredSend {
    /// What was sent; nothing after a recall.
    pub sent: Option<StoredBody>,
    /// What the sender added to it.
    pub options: SendOptions,
    /// The message as it is now.
    pub message: Message,
}

/// The messages that were stored under these keys.
pub fn replays(conn: &mut PgConnection, keys: &[Key]) -> StorageResult<Vec<StoredSend>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        now: MessageRow,
        #[diesel(sql_type = Text)]
        sent_kind: String,
        #[diesel(sql_type = Nullable<Text>)]
        sent_content: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        sent_extra: Option<String>,
    }
    let rows: Vec<Row> = sql(include_str!("archive_replays.sql"))
        .bind::<Uuids, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
        .bind::<Uuids, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
        .bind::<Uuids, _>(keys.iter().map(|key| key.2).collect::<Vec<_>>())
        .load(conn)?;
    let build = |row: Row| {
        let sent = row
            .sent_content
            .map(|json| stored_body(row.sent_kind, json));
        Ok(StoredSend {
            sent: sent.transpose()?,
            options: stored_extra(row.sent_extra.as_deref())?.options(),
            message: row.now.build()?,
        })
    };
    rows.into_iter().map(build).collect()
}

/// The head of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct ConversationHead {
    /// The seq of its newest message.
    pub last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    pub change_seq: ChangeSeq,
    /// The last message that names everyone.
    pub all_seq: ConvSeq,
    /// The time of its newest message, or of a later change of its title or members.
    pub updated_at: Timestamp,
}

/// The positions of a member in a conversation.
#[derive(Clone, Copy, Debug)]
pub struct MemberPositions {
    /// Read up to here.
    pub read_seq: ConvSeq,
    /// The last message that names the member.
    pub mentioned_seq: ConvSeq,
    /// The member has marked the conversation as unread.
    pub marked_unread: bool,
    /// The member has cleared the history up to here.
    pub cleared_seq: ConvSeq,
    /// The newest message that the member has sent; 0: none.
    pub sent_seq: ConvSeq,
}

/// The changes of a batch to locked conversations.
#[derive(Default)]
pub struct Changes {
    /// Messages to append.
    pub messages: Messages,
    /// The new head of each changed conversation.
    pub heads: HashMap<RowHandle, ConversationHead>,
    /// The new positions of each member with a changed position.
    pub positions: HashMap<RowHandle, MemberPositions>,
}

/// Messages to append, by column: each has the same index in every list.
#[derive(Default)]
pub struct Messages {
    /// Their conversations.
    pub conversations: Vec<ConversationId>,
    /// Their next seqs.
    pub seqs: Vec<ConvSeq>,
    /// Their new ids.
    pub ids: Vec<MessageId>,
    /// Their senders.
    pub senders: Vec<UserId>,
    /// The senders' ids for them.
    pub client_msg_ids: Vec<ClientMsgId>,
    /// Their kinds.
    pub kinds: Vec<&'static str>,
    /// Their contents as JSON.
    pub contents: Vec<String>,
    /// What they have beside their contents, as JSON.
    pub extras: Vec<Option<String>>,
    /// Their times.
    pub at: Vec<Timestamp>,
}

/// A range of a conversation's messages above `joined`, ascending, cut at about [`PAGE_BYTES`]. It is cut by the stored
/// lengths, so that only returned contents are read.
pub fn page(
    conn: &mut PgConnection,
    conversation: ConversationId,
    joined: ConvSeq,
    range: Range<ConvSeq>,
    limit: PageSize,
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = match range {
        Range::Since(since) => sql("SELECT * FROM (
                 SELECT *, sum(length) OVER (ORDER BY seq) - length AS before
                 FROM (SELECT * FROM messages_now
                       WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS page
             ) AS sized WHERE before < $4 ORDER BY seq")
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(since.max(joined))
        .bind::<BigInt, _>(limit.get())
        .bind::<BigInt, _>(PAGE_BYTES)
        .load(conn)?,
        Range::Before(_) | Range::Newest => {
            let before = match range {
                Range::Before(before) => before,
                Range::Since(_) | Range::Newest => ConvSeq(i64::MAX),
            };
            sql("SELECT * FROM (
                     SELECT *, sum(length) OVER (ORDER BY seq DESC) - length AS before
                     FROM (SELECT * FROM messages_now
                           WHERE conversation_id = $1 AND seq > $2 AND seq < $3
                           ORDER BY seq DESC LIMIT $4) AS page
                 ) AS sized WHERE before < $5 ORDER BY seq")
            .bind::<SqlUuid, _>(conversation)
            .bind::<BigInt, _>(joined)
            .bind::<BigInt, _>(before)
            .bind::<BigInt, _>(limit.get())
            .bind::<BigInt, _>(PAGE_BYTES)
            .load(conn)?
        }
    };
    rows.into_iter().map(MessageRow::build).collect()
}

/// One message.
pub fn get(
    conn: &mut PgConnection,
    conversation: ConversationId,
    seq: ConvSeq,
) -> StorageResult<Option<Message>> {
    // BETWEEN and ORDER BY leave one index (decision 0002).
    let row: Option<MessageRow> = sql(
        "SELECT * FROM messages_now WHERE conversation_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT 1",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .bind::<BigInt, _>(seq)
    .get_result(conn)
    .optional()?;
    row.map(MessageRow::build).transpose()
}

/// The messages with these keys.
pub fn some(
    conn: &mut PgConnection,
    keys: &[(ConversationId, ConvSeq)],
) -> StorageResult<Vec<Message>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<MessageRow> = sql(
        "SELECT m.* FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT * FROM messages_now
             WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .load(conn)?;
    rows.into_iter().map(MessageRow::build).collect()
}

/// The replies to a message and to its replies, after a seq.
pub fn replies(
    conn: &mut PgConnection,
    conversation: ConversationId,
    root: ConvSeq,
    since: ConvSeq,
    limit: PageSize,
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = sql("SELECT * FROM (
             SELECT m.*, sum(m.length) OVER (ORDER BY m.seq) - m.length AS before FROM (
                 SELECT conversation_id, seq FROM replies
                 WHERE conversation_id = $1 AND root_seq = $2 AND seq > $3 ORDER BY seq LIMIT $4
             ) AS k CROSS JOIN LATERAL (
                 SELECT * FROM messages_now
                 WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
             ) AS m
         ) AS sized WHERE before < $5 ORDER BY seq")
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(root)
    .bind::<BigInt, _>(since)
    .bind::<BigInt, _>(limit.get())
    .bind::<BigInt, _>(PAGE_BYTES)
    .load(conn)?;
    rows.into_iter().map(MessageRow::build).collect()
}

/// What is left of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Its content.
    There,
    /// A stub.
    Gone,
}

/// Those of these messages that the users see, each with its user: messages to copy to another conversation.
pub fn seen_by(
    conn: &mut PgConnection,
    messages: &[(UserId, MessageRef)],
) -> StorageResult<HashMap<(UserId, MessageRef), Presence>> {
    let column = || messages.iter();
    let rows: Vec<(UserId, ConversationId, ConvSeq, bool)> = sql(
        "SELECT k.user_id, k.conversation_id, k.seq, n.gone FROM unnest($1, $2, $3) AS k(user_id, conversation_id, seq)
         CROSS JOIN LATERAL (
             SELECT FROM members
             WHERE conversation_id = k.conversation_id AND user_id = k.user_id AND GREATEST(joined_seq, cleared_seq) < k.seq LIMIT 1
         ) AS m CROSS JOIN LATERAL (
             SELECT kind IN ('recalled', 'expired') AS gone FROM messages_now
             WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
         ) AS n",
    )
    .bind::<Uuids, _>(column().map(|(user, _)| *user).collect::<Vec<_>>())
    .bind::<Uuids, _>(column().map(|(_, of)| of.conversation_id).collect::<Vec<_>>())
    .bind::<BigInts, _>(column().map(|(_, of)| of.seq).collect::<Vec<_>>())
    .columns::<(SqlUuid, SqlUuid, BigInt, Bool)>()
    .load(conn)?;
    let build = |(user, conversation_id, seq, gone)| {
        let of = MessageRef {
            conversation_id,
            seq,
        };
        let presence = if gone {
            Presence::Gone
        } else {
            Presence::There
        };
        ((user, of), presence)
    };
    Ok(rows.into_iter().map(build).collect())
}

//! Conversations, their members, and the pairs of direct ones.
//!
//! Lock order, everywhere: the direct-pair row, then conversations in ascending id, then timelines in ascending user id.
//! Rows of `members` change only under their conversation's lock. A statement that waits for a lock still sees
//! everything else with the snapshot it began with, so whatever depends on the lock is read by a statement that starts
//! after the locking one returned.

use crate::model::account::User;
use crate::model::conversation::{
    Conversation, ConversationCursor, ConversationKind, Fanout, Me, Order, Role,
};
use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::message::{Message, StoredBody};
use crate::model::page::Limit;
use crate::model::time::Timestamp;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use chrono::DateTime;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use serde_json::value::RawValue;

/// A conversation under its row lock.
#[derive(Clone, Debug, QueryableByName)]
pub struct LockedConversation {
    /// The conversation.
    #[diesel(sql_type = SqlUuid)]
    pub id: ConversationId,
    /// Its head.
    #[diesel(sql_type = BigInt)]
    pub last_seq: ConvSeq,
    /// How many members it has.
    #[diesel(sql_type = Integer)]
    pub member_count: i32,
    /// The time of its latest change.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: Timestamp,
}

/// Locks conversations, in ascending order of their ids; unknown ones are left out.
pub fn lock(
    conn: &mut PgConnection,
    ids: &[ConversationId],
) -> StorageResult<Vec<LockedConversation>> {
    Ok(sql(
        "SELECT id, last_seq, member_count, updated_at FROM conversations
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind::<Uuids, _>(ids)
    .load(conn)?)
}

/// The direct conversation of a pair.
pub fn find_direct(
    conn: &mut PgConnection,
    low: UserId,
    high: UserId,
) -> StorageResult<Option<ConversationId>> {
    let row: Option<IdRow> = sql(
        "SELECT conversation_id AS id FROM direct_pairs WHERE low_user_id = $1 AND high_user_id = $2",
    )
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .get_result(conn)
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// Claims a pair for a new direct conversation, or returns `false` when another one has it: the loser of a race waits
/// here for the winner's commit, and must look again in a new statement.
pub fn claim_direct(
    conn: &mut PgConnection,
    low: UserId,
    high: UserId,
    id: ConversationId,
) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO direct_pairs (low_user_id, high_user_id, conversation_id) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?
        == 1)
}

/// Makes a conversation with its first members, and returns its time.
pub fn create(
    conn: &mut PgConnection,
    id: ConversationId,
    kind: ConversationKind,
    members: &[UserId],
) -> StorageResult<Timestamp> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        at: Timestamp,
    }
    let count = i32::try_from(members.len()).unwrap_or(i32::MAX);
    let row: Row = sql(
        "INSERT INTO conversations (id, kind, member_count, created_at, updated_at)
         SELECT $1, $2, $3, t, t FROM (SELECT clock_timestamp() AS t) AS now RETURNING created_at AS at",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(kind_name(kind))
    .bind::<Integer, _>(count)
    .get_result(conn)?;
    sql(
        "INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at)
         SELECT $1, u, $2, 0, 0, $3 FROM unnest($4) AS u",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(role_name(Role::Member))
    .bind::<Timestamptz, _>(row.at)
    .bind::<Uuids, _>(members)
    .execute(conn)?;
    Ok(row.at)
}

/// What a member may see of a conversation's timeline.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct View {
    /// Only seqs above this one.
    #[diesel(sql_type = BigInt)]
    pub joined_seq: ConvSeq,
    /// Read up to here.
    #[diesel(sql_type = BigInt)]
    pub read_seq: ConvSeq,
    /// The head.
    #[diesel(sql_type = BigInt)]
    pub last_seq: ConvSeq,
}

/// The view of a member; nothing for anybody else.
pub fn view(
    conn: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> StorageResult<Option<View>> {
    Ok(sql(
        "SELECT m.joined_seq, m.read_seq, c.last_seq FROM members m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.conversation_id = $1 AND m.user_id = $2",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(user)
    .get_result(conn)
    .optional()?)
}

/// The conversations with these ids that the user is in.
pub fn by_ids(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[ConversationId],
) -> StorageResult<Vec<Conversation>> {
    let rows: Vec<ConversationRow> = sql(concat!(
        include_str!("conversations.sql"),
        " WHERE me.conversation_id = ANY($1) AND me.user_id = $2"
    ))
    .bind::<Uuids, _>(ids)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    rows.into_iter().map(ConversationRow::build).collect()
}

/// A page of the user's conversations after a cursor.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    order: Order,
    after: Option<&ConversationCursor>,
    limit: Limit,
) -> StorageResult<Vec<Conversation>> {
    let after_id = after.map(|cursor| cursor.after);
    let rows: Vec<ConversationRow> = match order {
        Order::Id => sql(concat!(
            include_str!("conversations.sql"),
            " WHERE me.user_id = $1 AND me.conversation_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
              ORDER BY me.conversation_id LIMIT $3"
        ))
        .bind::<SqlUuid, _>(user)
        .bind::<Nullable<SqlUuid>, _>(after_id)
        .bind::<BigInt, _>(limit.get())
        .load(conn)?,
        Order::Activity => {
            let updated_at = after
                .and_then(|cursor| DateTime::from_timestamp_micros(cursor.updated_us))
                .map(Timestamp);
            sql(concat!(
                include_str!("conversations.sql"),
                " WHERE me.user_id = $1 AND (c.updated_at, c.id) <
                    (COALESCE($2, 'infinity'), COALESCE($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
                  ORDER BY c.updated_at DESC, c.id DESC LIMIT $4"
            ))
            .bind::<SqlUuid, _>(user)
            .bind::<Nullable<Timestamptz>, _>(updated_at)
            .bind::<Nullable<SqlUuid>, _>(after_id)
            .bind::<BigInt, _>(limit.get())
            .load(conn)?
        }
    };
    rows.into_iter().map(ConversationRow::build).collect()
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: ConversationId,
}

/// A row of `conversations.sql`.
#[derive(QueryableByName)]
struct ConversationRow {
    #[diesel(sql_type = SqlUuid)]
    id: ConversationId,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Integer)]
    member_count: i32,
    #[diesel(sql_type = BigInt)]
    last_seq: ConvSeq,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
    #[diesel(sql_type = Timestamptz)]
    updated_at: Timestamp,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = BigInt)]
    read_seq: ConvSeq,
    #[diesel(sql_type = BigInt)]
    joined_seq: ConvSeq,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<Timestamp>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    peer_id: Option<UserId>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_username: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_display_name: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    peer_created_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_id: Option<MessageId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_sender_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_client_msg_id: Option<ClientMsgId>,
    #[diesel(sql_type = Nullable<Text>)]
    message_kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    message_content: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    message_created_at: Option<Timestamp>,
}

impl ConversationRow {
    fn build(self) -> StorageResult<Conversation> {
        let last_message = match (
            self.message_id,
            self.message_sender_id,
            self.message_client_msg_id,
            self.message_kind,
            self.message_content,
            self.message_created_at,
        ) {
            (Some(id), Some(sender_id), Some(client_msg_id), Some(kind), Some(json), Some(at)) => {
                Some(Message {
                    id,
                    conversation_id: self.id,
                    seq: self.last_seq,
                    sender_id,
                    client_msg_id,
                    body: StoredBody {
                        kind,
                        content: raw_json(json)?,
                    },
                    created_at: at,
                })
            }
            _ => None,
        };
        let peer = match (
            self.peer_id,
            self.peer_username,
            self.peer_display_name,
            self.peer_created_at,
        ) {
            (Some(id), Some(username), Some(display_name), Some(created_at)) => Some(User {
                id,
                username,
                display_name,
                created_at,
            }),
            _ => None,
        };
        Ok(Conversation {
            id: self.id,
            kind: parse_kind(&self.kind)?,
            title: self.title,
            fanout: Fanout::Write,
            member_count: self.member_count,
            last_seq: self.last_seq,
            last_message,
            created_at: self.created_at,
            updated_at: self.updated_at,
            me: Me {
                role: parse_role(&self.role)?,
                read_seq: self.read_seq,
                unread: self.last_seq.0 - self.read_seq.0,
                joined_seq: self.joined_seq,
                muted_until: self.muted_until,
            },
            peer,
        })
    }
}

/// Content as stored: written by us from a checked value, so it is JSON.
pub(super) fn raw_json(text: String) -> StorageResult<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| StorageError::Bug(error.to_string()))
}

fn kind_name(kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => "direct",
    }
}

fn parse_kind(name: &str) -> StorageResult<ConversationKind> {
    match name {
        "direct" => Ok(ConversationKind::Direct),
        _ => Err(StorageError::Bug(format!(
            "unknown conversation kind {name}"
        ))),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
    }
}

fn parse_role(name: &str) -> StorageResult<Role> {
    match name {
        "member" => Ok(Role::Member),
        _ => Err(StorageError::Bug(format!("unknown role {name}"))),
    }
}

//! Conversations: locked rows for writing, and the view of a member.
//!
//! Lock order, everywhere: users by ascending id, then the uniqueness key of a new conversation (the pair of two users or the
//! creator's id for it), then conversations by ascending id, then timelines by ascending user id.
//!
//! Rows of `members` change only under their conversation's lock, and what one member alone sees (settings, drafts, hidden messages)
//! only under the lock of that member's timeline. A statement that waits for a lock reads all other rows from
//! the snapshot with which it began, so data that depends on the lock is read by a later statement.

use crate::model::ids::{
    ChangeSeq, ClientMsgId, ConvSeq, ConversationId, MediaId, MessageId, UserId,
};
use crate::model::page::ConversationCursor;
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::wire::conversation::{
    Conversation, ConversationKind, Fanout, Me, Order, Permission,
};
use crate::model::wire::media::conversation_avatar;
use crate::model::wire::member::Role;
use crate::model::wire::message::Message;
use crate::model::wire::message_ref::MessageRef;
use crate::model::wire::user::User;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::messaging::content::{message_state, stored_body};
use crate::storage::pg::messaging::settings::SettingsRow;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{RowHandle, Tid, Uuids};
use chrono::DateTime;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable, QueryableByName, RunQueryDsl};

/// A conversation under its row lock.
#[derive(Clone, Debug, Queryable)]
pub struct LockedConversation {
    /// The conversation.
    pub id: ConversationId,
    /// Its row.
    pub place: RowHandle,
    /// Its head.
    pub last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    pub change_seq: ChangeSeq,
    /// The last message that names everyone.
    pub all_seq: ConvSeq,
    /// The number of members.
    pub member_count: i32,
    /// The time of its latest change.
    pub updated_at: Timestamp,
    /// It is direct, and one of the two users blocks the other.
    pub blocked: bool,
    /// Only the owner and admins post.
    pub leads_post: bool,
    /// With read fan-out: messages above this seq are in no inbox.
    pub read_fanout_from_seq: Option<ConvSeq>,
    /// Messages expire this number of seconds after their send.
    pub ttl_seconds: Option<i64>,
    /// All messages up to this one are gone, and count as read.
    pub floor_seq: ConvSeq,
    /// Only the owner and the admins pin messages.
    pub leads_pin: bool,
    /// The least time between two messages of another member, in seconds.
    pub slow_seconds: i32,
}

/// Locks conversations by ascending id. Unknown ids are left out.
pub fn lock(
    conn: &mut PgConnection,
    ids: &[ConversationId],
) -> StorageResult<Vec<LockedConversation>> {
    Ok(sql(
        "SELECT id, ctid, last_seq, change_seq, all_seq, member_count, updated_at, blocked, leads_post OR kind = 'channel' AS leads_post, switch_seq,
                ttl_seconds, floor_seq, leads_pin AND kind <> 'direct' AS leads_pin, slow_seconds
         FROM conversations WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind::<Uuids, _>(ids)
    .columns::<(SqlUuid, Tid, BigInt, BigInt, BigInt, Integer, Timestamptz, Bool, Bool, Nullable<BigInt>, Nullable<BigInt>, BigInt, Bool, Integer)>()
    .load(conn)?)
}

/// Limits lock waits to 20 ms for the rest of the transaction. (NOWAIT covers only the rows of one statement, and the lock may
/// be that of a conversation, a timeline or a table.)
pub fn set_short_lock_timeout(conn: &mut PgConnection) -> StorageResult<()> {
    Ok(conn.batch_execute("SET LOCAL lock_timeout = '20ms'")?)
}

/// A conversation to create.
pub struct NewConversation<'a> {
    /// Its id.
    pub id: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// A group's title.
    pub title: Option<&'a str>,
    /// The number of members.
    pub member_count: usize,
    /// It has read fan-out from the beginning.
    pub large: bool,
    /// Every user that has its id may join.
    pub public: bool,
    /// The message to which it is created.
    pub parent: Option<MessageRef>,
}

/// Creates a conversation without members, and returns the time.
pub fn create(conn: &mut PgConnection, new: &NewConversation<'_>) -> StorageResult<Timestamp> {
    Ok(sql(
        "INSERT INTO conversations (id, kind, title, member_count, switch_seq, public, parent_id, parent_seq, created_at, updated_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, t, t FROM (SELECT clock_timestamp() AS t) AS now RETURNING created_at AS at",
    )
    .bind::<SqlUuid, _>(new.id)
    .bind::<Text, _>(new.kind.as_str())
    .bind::<Nullable<Text>, _>(new.title)
    .bind::<Integer, _>(count(new.member_count))
    .bind::<Nullable<BigInt>, _>(new.large.then_some(ConvSeq(0)))
    .bind::<Bool, _>(new.public)
    .bind::<Nullable<SqlUuid>, _>(new.parent.map(|of| of.conversation_id))
    .bind::<Nullable<BigInt>, _>(new.parent.map(|of| of.seq))
    .scalar::<Timestamptz>()
    .get_result(conn)?)
}

/// A number of members, as it is stored.
pub(in crate::storage::pg) fn count(members: usize) -> i32 {
    i32::try_from(members).unwrap_or(i32::MAX)
}

/// Sets whether one user of a direct conversation blocks the other. Under its lock.
pub fn set_blocked(
    conn: &mut PgConnection,
    id: ConversationId,
    blocked: bool,
) -> StorageResult<()> {
    sql("UPDATE conversations SET blocked = $1 WHERE id = $2")
        .bind::<Bool, _>(blocked)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    Ok(())
}

/// The part of a conversation's timeline that a member may see.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct View {
    /// Only seqs above this one: the head when the member joined, or the seq up to which the member has cleared.
    #[diesel(sql_type = BigInt)]
    pub visible_after: ConvSeq,
    /// Read up to here.
    #[diesel(sql_type = BigInt)]
    pub read_seq: ConvSeq,
    /// The head.
    #[diesel(sql_type = BigInt)]
    pub last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    #[diesel(sql_type = BigInt)]
    pub change_seq: ChangeSeq,
    /// The newest message that the member has sent; 0: none.
    #[diesel(sql_type = BigInt)]
    pub sent_seq: ConvSeq,
    /// It has read fan-out.
    #[diesel(sql_type = Bool)]
    pub large: bool,
    /// The member hides messages of it.
    #[diesel(sql_type = Bool)]
    pub hides: bool,
}

/// The view of a member; none if the user is not a member.
pub fn view(
    conn: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> StorageResult<Option<View>> {
    Ok(sql(
        "SELECT GREATEST(m.joined_seq, m.cleared_seq) AS visible_after, GREATEST(m.read_seq, c.floor_seq) AS read_seq, m.sent_seq,
                c.last_seq, c.change_seq, m.large, COALESCE(s.hides, 0) > 0 AS hides
         FROM members m JOIN conversations c ON c.id = m.conversation_id
         LEFT JOIN LATERAL (
             SELECT hides FROM conversation_settings WHERE user_id = m.user_id AND conversation_id = m.conversation_id LIMIT 1
         ) AS s ON true
         WHERE m.conversation_id = $1 AND m.user_id = $2",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(user)
    .get_result(conn)
    .optional()?)
}

/// Those of these conversations that the user is a member of. The ids must be distinct. Without `receipts` nobody sees what others
/// have read.
pub fn by_ids(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[ConversationId],
    receipts: bool,
) -> StorageResult<Vec<Conversation>> {
    let rows: Vec<ConversationRow> = sql(concat!(
        "WITH me AS MATERIALIZED (
             SELECT m.* FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
                 SELECT * FROM members WHERE conversation_id = w.id AND user_id = $2 LIMIT 1
             ) AS m
         ) ",
        include_str!("conversations.sql"),
    ))
    .bind::<Uuids, _>(ids)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    rows.into_iter().map(|row| row.build(receipts)).collect()
}

/// A page of the user's conversations after a cursor, cut at about [`PAGE_BYTES`] of last messages. Returns also whether more
/// may follow.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    order: Order,
    after: Option<&ConversationCursor>,
    limit: PageSize,
    receipts: bool,
) -> StorageResult<(Vec<Conversation>, bool)> {
    let after_id = after.map(|cursor| cursor.after);
    let rows: Vec<ConversationRow> = match order {
        Order::Id => sql(concat!(
            "WITH me AS MATERIALIZED (
                 SELECT * FROM members
                 WHERE user_id = $1 AND conversation_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
                 ORDER BY conversation_id LIMIT $3
             ) SELECT * FROM (SELECT *, sum(length) OVER (ORDER BY id) - length AS before FROM (",
            include_str!("conversations.sql"),
            ") AS page) AS sized WHERE before < $4 ORDER BY id"
        ))
        .bind::<SqlUuid, _>(user)
        .bind::<Nullable<SqlUuid>, _>(after_id)
        .bind::<BigInt, _>(limit.get())
        .bind::<BigInt, _>(PAGE_BYTES)
        .load(conn)?,
        Order::Activity => {
            let updated_at = after
                .and_then(|cursor| DateTime::from_timestamp_micros(cursor.updated_us))
                .map(Timestamp);
            sql(concat!(
                "WITH me AS MATERIALIZED (
                     SELECT m.* FROM members m JOIN conversations c ON c.id = m.conversation_id
                     WHERE m.user_id = $1 AND (c.updated_at, c.id) <
                         (COALESCE($2, 'infinity'), COALESCE($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
                     ORDER BY c.updated_at DESC, c.id DESC LIMIT $4
                 ) SELECT * FROM (
                     SELECT *, sum(length) OVER (ORDER BY updated_at DESC, id DESC) - length AS before FROM (",
                include_str!("conversations.sql"),
                ") AS page) AS sized WHERE before < $5 ORDER BY updated_at DESC, id DESC"
            ))
            .bind::<SqlUuid, _>(user)
            .bind::<Nullable<Timestamptz>, _>(updated_at)
            .bind::<Nullable<SqlUuid>, _>(after_id)
            .bind::<BigInt, _>(limit.get())
            .bind::<BigInt, _>(PAGE_BYTES)
            .load(conn)?
        }
    };
    let full = i64::try_from(rows.len()).is_ok_and(|len| len == limit.get());
    // A page that was cut has at least this many bytes.
    let may_be_cut = rows.iter().map(|row| row.length).sum::<i64>() >= PAGE_BYTES;
    let page: StorageResult<Vec<_>> = rows.into_iter().map(|row| row.build(receipts)).collect();
    Ok((page?, full || may_be_cut))
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
    #[diesel(sql_type = Nullable<SqlUuid>)]
    avatar_media_id: Option<MediaId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    switch_seq: Option<ConvSeq>,
    #[diesel(sql_type = Bool)]
    public: bool,
    #[diesel(sql_type = Integer)]
    member_count: i32,
    #[diesel(sql_type = BigInt)]
    last_seq: ConvSeq,
    #[diesel(sql_type = BigInt)]
    change_seq: ChangeSeq,
    #[diesel(sql_type = Nullable<BigInt>)]
    ttl_seconds: Option<i64>,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
    #[diesel(sql_type = Timestamptz)]
    updated_at: Timestamp,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = BigInt)]
    read_seq: ConvSeq,
    #[diesel(sql_type = Bool)]
    may_have_mentions: bool,
    #[diesel(sql_type = BigInt)]
    joined_seq: ConvSeq,
    #[diesel(sql_type = BigInt)]
    cleared_seq: ConvSeq,
    #[diesel(sql_type = Bool)]
    marked_unread: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<Timestamp>,
    #[diesel(embed)]
    settings: SettingsRow,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    peer_id: Option<UserId>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_username: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_avatar_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_status_emoji: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    peer_status_text: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    peer_status_until: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    peer_rev: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    peer_created_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Bool>)]
    peer_deleted: Option<bool>,
    #[diesel(sql_type = Nullable<BigInt>)]
    peer_read_seq: Option<ConvSeq>,
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
    #[diesel(sql_type = Nullable<Text>)]
    message_changes: Option<String>,
    #[diesel(sql_type = Bool)]
    message_hidden: bool,
    #[diesel(sql_type = Bool)]
    leads_post: bool,
    #[diesel(sql_type = Bool)]
    leads_pin: bool,
    #[diesel(sql_type = Integer)]
    slow_seconds: i32,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    parent_id: Option<ConversationId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    parent_seq: Option<ConvSeq>,
    #[diesel(sql_type = BigInt)]
    length: i64,
}

impl ConversationRow {
    fn build(self, receipts: bool) -> StorageResult<Conversation> {
        let mut last_message = match (
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
                    state: message_state(&kind, self.message_changes.as_deref())?,
                    body: stored_body(kind, json)?,
                    created_at: at,
                })
            }
            _ => None,
        };
        if self.message_hidden {
            last_message.iter_mut().for_each(Message::hide);
        }
        let peer = match (
            self.peer_id,
            self.peer_username,
            self.peer_display_name,
            self.peer_rev,
            self.peer_created_at,
        ) {
            (Some(id), Some(username), Some(display_name), Some(rev), Some(created_at)) => {
                Some(User::from(UserRow {
                    id,
                    kind: self.peer_kind.unwrap_or_default(),
                    username,
                    display_name,
                    avatar_url: self.peer_avatar_url,
                    status_emoji: self.peer_status_emoji,
                    status_text: self.peer_status_text,
                    status_until: self.peer_status_until,
                    rev,
                    created_at,
                    deleted: self.peer_deleted == Some(true),
                }))
            }
            _ => None,
        };
        Ok(Conversation {
            id: self.id,
            kind: parse_kind(&self.kind)?,
            title: self.title,
            avatar_url: self
                .avatar_media_id
                .map(|media| conversation_avatar(self.id, media)),
            fanout: self.switch_seq.map_or(Fanout::Write, |_| Fanout::Read),
            switch_seq: self.switch_seq,
            public: self.public,
            member_count: self.member_count,
            first_seq: self.joined_seq.max(self.cleared_seq).next(),
            last_seq: self.last_seq,
            change_seq: self.change_seq,
            message_ttl_seconds: self.ttl_seconds,
            last_message,
            created_at: self.created_at,
            updated_at: self.updated_at,
            me: Me {
                role: parse_role(&self.role)?,
                read_seq: self.read_seq,
                unread: self.last_seq.0 - self.read_seq.0,
                unread_mentions: 0,
                may_have_mentions: self.may_have_mentions,
                marked_unread: self.marked_unread,
                joined_seq: self.joined_seq,
                cleared_seq: self.cleared_seq,
                muted_until: self.muted_until,
                settings: self.settings.build()?,
            },
            peer,
            peer_read_seq: self.peer_read_seq.filter(|_| receipts),
            posting: Permission::of_leads(self.leads_post),
            pinning: Permission::of_leads(self.leads_pin),
            slow_mode_seconds: self.slow_seconds,
            parent: self
                .parent_id
                .zip(self.parent_seq)
                .map(|(conversation_id, seq)| MessageRef {
                    conversation_id,
                    seq,
                }),
        })
    }
}

/// A kind as stored.
pub(in crate::storage::pg) fn parse_kind(name: &str) -> StorageResult<ConversationKind> {
    ConversationKind::from_name(name)
        .ok_or_else(|| StorageError::Bug(format!("unknown conversation kind {name}")))
}

/// A role as stored.
pub(in crate::storage::pg) fn parse_role(name: &str) -> StorageResult<Role> {
    Role::from_name(name).ok_or_else(|| StorageError::Bug(format!("unknown role {name}")))
}

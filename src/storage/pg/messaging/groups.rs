//! What a change of a group reads and writes of its conversation.

use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::conversation::ConversationKind;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::conversations::{count, parse_kind};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// The rules of a group that its owner and admins set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRules {
    /// Only the owner and the admins post.
    pub leads_post: bool,
    /// Only the owner and the admins pin messages.
    pub leads_pin: bool,
    /// The least time between two messages of another member, in seconds.
    pub slow_seconds: i32,
    /// Messages expire this number of seconds after their send.
    pub ttl_seconds: Option<i64>,
}

/// The state of a conversation for a change of it, read under its lock.
pub struct GroupRow {
    /// The kind. A direct conversation has no title, and its members do not change.
    pub kind: ConversationKind,
    /// The title.
    pub title: Option<String>,
    /// Every user that has its id may join.
    pub public: bool,
    /// With read fan-out: messages above this seq are in no inbox.
    pub read_fanout_from_seq: Option<ConvSeq>,
    /// The number of members.
    pub member_count: usize,
    /// The number of the latest change of members.
    pub last_change: ConvSeq,
    /// The database's time after locking, but not before the conversation's latest change.
    pub at: Timestamp,
    /// The rules.
    pub rules: GroupRules,
    /// The picture and its owner.
    pub avatar: Option<(UserId, MediaId)>,
}

/// Reads a conversation. Under its lock.
pub fn get(conn: &mut PgConnection, id: ConversationId) -> StorageResult<Option<GroupRow>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Nullable<Text>)]
        title: Option<String>,
        #[diesel(sql_type = Bool)]
        public: bool,
        #[diesel(sql_type = Nullable<BigInt>)]
        switch_seq: Option<ConvSeq>,
        #[diesel(sql_type = Integer)]
        member_count: i32,
        #[diesel(sql_type = BigInt)]
        last_change: ConvSeq,
        #[diesel(sql_type = Timestamptz)]
        at: Timestamp,
        #[diesel(sql_type = Bool)]
        leads_post: bool,
        #[diesel(sql_type = Bool)]
        leads_pin: bool,
        #[diesel(sql_type = Integer)]
        slow_seconds: i32,
        #[diesel(sql_type = Nullable<BigInt>)]
        ttl_seconds: Option<i64>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        avatar_owner_id: Option<UserId>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        avatar_media_id: Option<MediaId>,
    }
    let row: Option<Row> = sql(
        "SELECT kind, title, public, switch_seq, member_count, last_change,
                GREATEST(clock_timestamp(), updated_at) AS at, leads_post OR kind = 'channel' AS leads_post, leads_pin, slow_seconds,
                ttl_seconds, avatar_owner_id, avatar_media_id
         FROM conversations WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id)
    .get_result(conn)
    .optional()?;
    row.map(|row| {
        Ok(GroupRow {
            kind: parse_kind(&row.kind)?,
            title: row.title,
            public: row.public,
            read_fanout_from_seq: row.switch_seq,
            member_count: usize::try_from(row.member_count).unwrap_or(0),
            last_change: row.last_change,
            at: row.at,
            rules: GroupRules {
                leads_post: row.leads_post,
                leads_pin: row.leads_pin,
                slow_seconds: row.slow_seconds,
                ttl_seconds: row.ttl_seconds,
            },
            avatar: row.avatar_owner_id.zip(row.avatar_media_id),
        })
    })
    .transpose()
}

/// Writes the new state of a conversation. Under its lock.
pub fn update(conn: &mut PgConnection, id: ConversationId, group: &GroupRow) -> StorageResult<()> {
    sql("UPDATE conversations SET title = $1, last_change = $2, member_count = $3, switch_seq = $4, updated_at = $5,
             leads_post = $6, leads_pin = $7, slow_seconds = $8, ttl_seconds = $9, avatar_owner_id = $10, avatar_media_id = $11
         WHERE id = $12")
    .bind::<Nullable<Text>, _>(group.title.as_deref())
    .bind::<BigInt, _>(group.last_change)
    .bind::<Integer, _>(count(group.member_count))
    .bind::<Nullable<BigInt>, _>(group.read_fanout_from_seq)
    .bind::<Timestamptz, _>(group.at)
    .bind::<Bool, _>(group.rules.leads_post)
    .bind::<Bool, _>(group.rules.leads_pin)
    .bind::<Integer, _>(group.rules.slow_seconds)
    .bind::<Nullable<BigInt>, _>(group.rules.ttl_seconds)
    .bind::<Nullable<SqlUuid>, _>(group.avatar.map(|(owner, _)| owner))
    .bind::<Nullable<SqlUuid>, _>(group.avatar.map(|(_, media)| media))
    .bind::<SqlUuid, _>(id)
    .execute(conn)?;
    Ok(())
}

/// The pictures of those of these conversations that the user is a member of, as far as they have one: conversation, owner, media.
pub fn avatars(
    conn: &mut PgConnection,
    member: UserId,
    ids: &[ConversationId],
) -> StorageResult<Vec<(ConversationId, UserId, MediaId)>> {
    let found: Vec<(ConversationId, Option<UserId>, Option<MediaId>)> = sql("SELECT c.id, c.avatar_owner_id, c.avatar_media_id
         FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
             SELECT conversation_id FROM members WHERE conversation_id = w.id AND user_id = $2 LIMIT 1
         ) AS m CROSS JOIN LATERAL (
             SELECT id, avatar_owner_id, avatar_media_id FROM conversations WHERE id = m.conversation_id LIMIT 1
         ) AS c")
    .bind::<Uuids, _>(ids)
    .bind::<SqlUuid, _>(member)
    .columns::<(SqlUuid, Nullable<SqlUuid>, Nullable<SqlUuid>)>()
    .load(conn)?;
    let shown = |(id, owner, media): (_, Option<_>, Option<_>)| Some((id, owner?, media?));
    Ok(found.into_iter().filter_map(shown).collect())
}

/// Whether a conversation has this picture.
pub fn has_avatar(conn: &mut PgConnection, media: MediaId) -> StorageResult<bool> {
    let found: Vec<ConversationId> =
        sql("SELECT id FROM conversations WHERE avatar_media_id = $1 LIMIT 1")
            .bind::<SqlUuid, _>(media)
            .scalar::<SqlUuid>()
            .load(conn)?;
    Ok(!found.is_empty())
}

//! What a change of a group reads and writes of its conversation.

use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use crate::model::wire::conversation::ConversationKind;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::conversations::{count, parse_kind};
use crate::storage::pg::sql::sql;
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
    }
    let row: Option<Row> = sql(
        "SELECT kind, title, public, switch_seq, member_count, last_change,
                GREATEST(clock_timestamp(), updated_at) AS at, leads_post OR kind = 'channel' AS leads_post, leads_pin, slow_seconds,
                ttl_seconds
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
        })
    })
    .transpose()
}

/// Writes the new state of a conversation. Under its lock.
pub fn update(conn: &mut PgConnection, id: ConversationId, group: &GroupRow) -> StorageResult<()> {
    sql("UPDATE conversations SET title = $1, last_change = $2, member_count = $3, switch_seq = $4, updated_at = $5,
             leads_post = $6, leads_pin = $7, slow_seconds = $8, ttl_seconds = $9
         WHERE id = $10")
    .bind::<Nullable<Text>, _>(group.title.as_deref())
    .bind::<BigInt, _>(group.last_change)
    .bind::<Integer, _>(count(group.member_count))
    .bind::<Nullable<BigInt>, _>(group.read_fanout_from_seq)
    .bind::<Timestamptz, _>(group.at)
    .bind::<Bool, _>(group.rules.leads_post)
    .bind::<Bool, _>(group.rules.leads_pin)
    .bind::<Integer, _>(group.rules.slow_seconds)
    .bind::<Nullable<BigInt>, _>(group.rules.ttl_seconds)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?;
    Ok(())
}

//! Members' own settings of conversations. Rows change only under their user's timeline lock.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::settings::{ConversationSettings, Notify, NotifyLevel};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// The columns of the settings; those of a member without a row are the defaults.
#[derive(QueryableByName)]
pub(in crate::storage::pg) struct SettingsRow {
    #[diesel(sql_type = Nullable<Text>)]
    notify: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    notify_until: Option<Timestamp>,
    #[diesel(sql_type = Bool)]
    pinned: bool,
    #[diesel(sql_type = Bool)]
    archived: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    hidden_through: Option<ConvSeq>,
    #[diesel(sql_type = Nullable<Text>)]
    nickname: Option<String>,
}

impl SettingsRow {
    pub(in crate::storage::pg) fn build(self) -> StorageResult<ConversationSettings> {
        let notify = self.notify.map(|name| {
            let level = NotifyLevel::from_name(&name)
                .ok_or_else(|| StorageError::Bug(format!("unknown level {name}")))?;
            Ok::<_, StorageError>(Notify {
                level,
                until: self.notify_until,
            })
        });
        Ok(ConversationSettings {
            notify: notify.transpose()?,
            pinned: self.pinned,
            archived: self.archived,
            hidden_through: self.hidden_through,
            nickname: self.nickname,
        })
    }
}

/// The user's settings of those of these conversations that have some.
pub fn some(
    conn: &mut PgConnection,
    user: UserId,
    conversations: &[ConversationId],
) -> StorageResult<HashMap<ConversationId, ConversationSettings>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        conversation_id: ConversationId,
        #[diesel(embed)]
        settings: SettingsRow,
    }
    let rows: Vec<Row> = sql(
        "SELECT s.*, s.pinned_at IS NOT NULL AS pinned FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
             SELECT * FROM conversation_settings WHERE user_id = $2 AND conversation_id = w.id LIMIT 1
         ) AS s",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    rows.into_iter()
        .map(|row| Ok((row.conversation_id, row.settings.build()?)))
        .collect()
}

/// The user's settings of a conversation.
pub fn get(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
) -> StorageResult<ConversationSettings> {
    let found = some(conn, user, &[conversation])?.remove(&conversation);
    Ok(found.unwrap_or_default())
}

/// Stores settings. A conversation that is pinned already keeps the time at which it was pinned.
pub fn put(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
    settings: &ConversationSettings,
    at: Timestamp,
) -> StorageResult<()> {
    sql("INSERT INTO conversation_settings AS s
             (user_id, conversation_id, notify, notify_until, pinned_at, archived, hidden_through, nickname)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             notify = excluded.notify, notify_until = excluded.notify_until, archived = excluded.archived,
             hidden_through = excluded.hidden_through, nickname = excluded.nickname,
             pinned_at = CASE WHEN excluded.pinned_at IS NOT NULL THEN COALESCE(s.pinned_at, excluded.pinned_at) END")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .bind::<Nullable<Text>, _>(settings.notify.map(|notify| notify.level.as_str()))
    .bind::<Nullable<Timestamptz>, _>(settings.notify.and_then(|notify| notify.until))
    .bind::<Nullable<Timestamptz>, _>(settings.pinned.then_some(at))
    .bind::<Bool, _>(settings.archived)
    .bind::<Nullable<BigInt>, _>(settings.hidden_through)
    .bind::<Nullable<Text>, _>(settings.nickname.as_deref())
    .execute(conn)?;
    Ok(())
}

/// The number of conversations that the user has pinned.
pub fn pinned(conn: &mut PgConnection, user: UserId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM conversation_settings WHERE user_id = $1 AND pinned_at IS NOT NULL")
            .bind::<SqlUuid, _>(user)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// Deletes what a former member alone saw of a conversation: the settings and the draft. Hidden messages stay
/// hidden in the inbox.
pub fn forget(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
) -> StorageResult<()> {
    sql("WITH settings AS (
             DELETE FROM conversation_settings WHERE user_id = $1 AND conversation_id = $2
         )
         DELETE FROM drafts WHERE user_id = $3 AND conversation_id = $4")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .execute(conn)?;
    Ok(())
}

/// Deletes settings of a user, at most `limit`. Returns how many. The user's hidden messages are deleted before.
pub fn erase_some(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(
        sql("DELETE FROM conversation_settings WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM conversation_settings WHERE user_id = $2 ORDER BY conversation_id LIMIT $3))")
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(user)
        .bind::<BigInt, _>(limit)
        .execute(conn)?,
    )
}

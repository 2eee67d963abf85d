//! The reactions of users to messages. The counts are in the states of the messages.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::PageSize;
use crate::model::time::Timestamp;
use crate::model::wire::reaction::Reaction;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Texts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};

/// A reaction: one user, one emoji, one message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReactionKey {
    /// The message.
    pub message: MessageKey,
    /// The emoji.
    pub emoji: String,
    /// The user.
    pub user: UserId,
}

/// Those of these reactions that are stored, with their times.
pub fn stored(conn: &mut PgConnection, keys: &[ReactionKey]) -> StorageResult<Vec<ReactionKey>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(ConversationId, ConvSeq, String, UserId)> = sql(
        "SELECT k.conversation_id, k.seq, k.emoji, k.user_id
         FROM unnest($1, $2, $3, $4) AS k(conversation_id, seq, emoji, user_id) CROSS JOIN LATERAL (
             SELECT FROM reactions
             WHERE conversation_id = k.conversation_id AND seq = k.seq AND emoji = k.emoji AND user_id = k.user_id LIMIT 1
         ) AS r",
    )
    .bind::<Uuids, _>(keys.iter().map(|key| key.message.0).collect::<Vec<_>>())
    .bind::<BigInts, _>(keys.iter().map(|key| key.message.1).collect::<Vec<_>>())
    .bind::<Texts, _>(keys.iter().map(|key| key.emoji.as_str()).collect::<Vec<_>>())
    .bind::<Uuids, _>(keys.iter().map(|key| key.user).collect::<Vec<_>>())
    .columns::<(SqlUuid, BigInt, Text, SqlUuid)>()
    .load(conn)?;
    let build = |(conversation, seq, emoji, user)| ReactionKey {
        message: (conversation, seq),
        emoji,
        user,
    };
    Ok(rows.into_iter().map(build).collect())
}

/// A page of the reactions to a message, by emoji and user, after one of them.
pub fn page(
    conn: &mut PgConnection,
    (conversation, seq): MessageKey,
    emoji: Option<&str>,
    after: Option<(&str, UserId)>,
    limit: PageSize,
) -> StorageResult<Vec<Reaction>> {
    let after_user = after.map(|(_, user)| user);
    let rows: Vec<(UserId, String, Timestamp)> = match emoji {
        Some(emoji) => sql("SELECT user_id, emoji, at FROM reactions
             WHERE conversation_id = $1 AND seq = $2 AND emoji = $3
                 AND user_id > COALESCE($4, '00000000-0000-0000-0000-000000000000') ORDER BY user_id LIMIT $5")
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(seq)
        .bind::<Text, _>(emoji)
        .bind::<Nullable<SqlUuid>, _>(after_user)
        .bind::<BigInt, _>(limit.get())
        .columns::<(SqlUuid, Text, Timestamptz)>()
        .load(conn)?,
        None => sql("SELECT user_id, emoji, at FROM reactions
             WHERE conversation_id = $1 AND seq = $2
                 AND (emoji, user_id) > ($3, COALESCE($4, '00000000-0000-0000-0000-000000000000'))
             ORDER BY emoji, user_id LIMIT $5")
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(seq)
        .bind::<Text, _>(after.map_or("", |(emoji, _)| emoji))
        .bind::<Nullable<SqlUuid>, _>(after_user)
        .bind::<BigInt, _>(limit.get())
        .columns::<(SqlUuid, Text, Timestamptz)>()
        .load(conn)?,
    };
    let build = |(user_id, emoji, at)| Reaction { user_id, emoji, at };
    Ok(rows.into_iter().map(build).collect())
}

/// How many reactions of a recalled message one statement deletes.
const SLICE: i64 = 500;

/// Deletes reactions of one recalled message. Returns whether there may be more to delete.
pub fn erase_some(conn: &mut PgConnection) -> StorageResult<bool> {
    let next: Option<(ConversationId, ConvSeq)> =
        sql("SELECT conversation_id, seq FROM erasures WHERE conversation_id > '00000000-0000-0000-0000-000000000000'
             ORDER BY conversation_id, seq LIMIT 1")
            .columns::<(SqlUuid, BigInt)>()
            .get_result(conn)
            .optional()?;
    let Some((conversation, seq)) = next else {
        return Ok(false);
    };
    let deleted = sql("WITH gone AS (
             SELECT emoji, user_id FROM reactions WHERE conversation_id = $1 AND seq = $2 ORDER BY emoji, user_id LIMIT $3
         )
         DELETE FROM reactions r USING gone
         WHERE r.conversation_id = $4 AND r.seq = $5 AND r.emoji = gone.emoji AND r.user_id = gone.user_id")
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .bind::<BigInt, _>(SLICE)
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .execute(conn)?;
    if deleted == 0 {
        sql("DELETE FROM erasures WHERE conversation_id = $1 AND seq = $2")
            .bind::<SqlUuid, _>(conversation)
            .bind::<BigInt, _>(seq)
            .execute(conn)?;
    }
    Ok(true)
}

//! Messages that members have hidden from themselves. Rows change only under their user's timeline lock.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Uuid as SqlUuid};
use std::collections::HashSet;

/// Hides messages, and returns those that were not hidden before; if there are some, with the number of all hidden ones of the
/// conversation.
pub fn hide(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
    seqs: &[ConvSeq],
) -> StorageResult<(Vec<ConvSeq>, i32)> {
    let mut new: Vec<ConvSeq> = sql(
        "INSERT INTO hidden_messages (user_id, conversation_id, seq) SELECT $1, $2, q FROM unnest($3) AS n(q)
         ON CONFLICT DO NOTHING RETURNING seq",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInts, _>(seqs)
    .scalar::<BigInt>()
    .load(conn)?;
    if new.is_empty() {
        return Ok((new, 0));
    }
    new.sort_unstable();
    let hides = sql("WITH flagged AS (UPDATE timelines SET hides = true WHERE user_id = $1 AND NOT hides)
         INSERT INTO conversation_settings AS s (user_id, conversation_id, hides) VALUES ($2, $3, $4)
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET hides = s.hides + excluded.hides RETURNING hides")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .bind::<Integer, _>(i32::try_from(new.len()).unwrap_or(i32::MAX))
    .scalar::<Integer>()
    .get_result(conn)?;
    Ok((new, hides))
}

/// Forgets hidden messages up to a seq, which the user has cleared. Those of an earlier membership stay hidden, and count no more. Under the lock of the user's timeline, as every change here.
pub fn clear(
    conn: &mut PgConnection,
    user: UserId,
    (conversation, seq): (ConversationId, ConvSeq),
) -> StorageResult<()> {
    sql("WITH flagged AS (
             UPDATE timelines SET hides = true WHERE user_id = $1 AND NOT hides
         ), gone AS (
             DELETE FROM hidden_messages WHERE user_id = $2 AND conversation_id = $3 AND seq <= $4 AND seq > (
                 SELECT joined_seq FROM members WHERE conversation_id = $5 AND user_id = $6
             ) RETURNING 1
         )
         UPDATE conversation_settings SET hides = hides - (SELECT count(*) FROM gone)
         WHERE user_id = $7 AND conversation_id = $8 AND hides > 0")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(conversation)
    .execute(conn)?;
    Ok(())
}

/// Those of these messages that the user has hidden, or has cleared with the history.
pub fn among(
    conn: &mut PgConnection,
    user: UserId,
    keys: &[(ConversationId, ConvSeq)],
) -> StorageResult<HashSet<(ConversationId, ConvSeq)>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<(ConversationId, ConvSeq)> = sql(include_str!("hidden_among.sql"))
        .bind::<Uuids, _>(conversations)
        .bind::<BigInts, _>(seqs)
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(user)
        .columns::<(SqlUuid, BigInt)>()
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// Deletes what a user has hidden, at most `limit` messages. Returns how many.
pub fn erase_some(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(
        sql("DELETE FROM hidden_messages WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM hidden_messages WHERE user_id = $2 ORDER BY conversation_id, seq LIMIT $3))")
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(user)
        .bind::<BigInt, _>(limit)
        .execute(conn)?,
    )
}

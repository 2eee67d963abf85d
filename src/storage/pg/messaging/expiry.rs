//! Messages that expire. Rows of `expiring` change only under their conversation's lock.

use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use crate::model::wire::content::RECALLED;
use crate::model::wire::message::Message;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Timestamps, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};

/// The most messages that a sweep reads in one statement.
pub const SLICE: i64 = 500;

/// Notes when messages expire, for the sweeper.
pub fn add(conn: &mut PgConnection, expiring: &[(MessageKey, Timestamp)]) -> StorageResult<()> {
    if expiring.is_empty() {
        return Ok(());
    }
    sql("INSERT INTO expiring (conversation_id, seq, expires_at) SELECT c, q, t FROM unnest($1, $2, $3) AS n(c, q, t)")
        .bind::<Uuids, _>(expiring.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind::<BigInts, _>(expiring.iter().map(|(key, _)| key.1).collect::<Vec<_>>())
        .bind::<Timestamps, _>(expiring.iter().map(|(_, at)| *at).collect::<Vec<_>>())
        .execute(conn)?;
    Ok(())
}

/// The next messages whose time has passed and whose contents are not erased.
pub fn due(conn: &mut PgConnection) -> StorageResult<Vec<MessageKey>> {
    Ok(sql("SELECT conversation_id, seq FROM expiring
         WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1")
    .bind::<BigInt, _>(SLICE)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?)
}

/// Whether this transaction may sweep: no other one does. The nodes would do the same work, which is safe.
pub fn try_lock(conn: &mut PgConnection) -> StorageResult<bool> {
    Ok(
        sql("SELECT pg_try_advisory_xact_lock(hashtext('tideline expiry')) AS locked")
            .scalar::<Bool>()
            .get_result(conn)?,
    )
}

/// Erases a message that is due, and its row of the sweeper. A statement for each message: joined with a list, the planner would scan
/// the tables (decision 0002). A recalled message is erased already.
pub fn erase(conn: &mut PgConnection, message: &Message) -> StorageResult<()> {
    if message.body.kind == RECALLED {
        sql("DELETE FROM expiring WHERE conversation_id = $1 AND seq = $2")
            .bind::<SqlUuid, _>(message.conversation_id)
            .bind::<BigInt, _>(message.seq)
            .execute(conn)?;
        return Ok(());
    }
    // Both unique keys, so that either index finds one row.
    sql("WITH due AS (
             DELETE FROM expiring WHERE conversation_id = $1 AND seq = $2
         ), everyone AS (
             DELETE FROM mentions_all WHERE conversation_id = $3 AND seq = $4
         )
         UPDATE messages SET content = NULL, length = NULL, extra = json_build_object('expires_at', extra -> 'expires_at')
         WHERE conversation_id = $5 AND seq = $6 AND sender_id = $7 AND client_msg_id = $8")
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.sender_id)
    .bind::<SqlUuid, _>(message.client_msg_id)
    .execute(conn)?;
    let Some(change_seq) = message.state.as_ref().and_then(|state| state.change_seq) else {
        return Ok(());
    };
    sql("WITH versions AS (
             DELETE FROM message_versions WHERE conversation_id = $1 AND seq = $2
         ), reacted AS (
             INSERT INTO erasures (conversation_id, seq) VALUES ($3, $4) ON CONFLICT DO NOTHING
         ), unpinned AS (
             DELETE FROM pins WHERE conversation_id = $5 AND seq = $6
         )
         UPDATE message_states
         SET version = 1, content = NULL, length = NULL, edited_at = NULL, reactions = NULL, author_told_at = NULL,
             pinned_at = NULL, pinned_by = NULL
         WHERE conversation_id = $7 AND seq = $8 AND change_seq = $9")
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<BigInt, _>(change_seq)
    .execute(conn)?;
    Ok(())
}

/// The first message after a seq that has its content, if there is one.
pub fn first_after(
    conn: &mut PgConnection,
    conversation: ConversationId,
    seq: ConvSeq,
) -> StorageResult<Option<ConvSeq>> {
    Ok(sql(
        "SELECT seq FROM messages WHERE conversation_id = $1 AND seq > $2 AND content IS NOT NULL ORDER BY seq LIMIT 1",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .scalar::<BigInt>()
    .get_result(conn)
    .optional()?)
}

/// Notes that all messages up to a seq are gone.
pub fn set_floor(
    conn: &mut PgConnection,
    conversation: ConversationId,
    floor: ConvSeq,
) -> StorageResult<()> {
    sql("UPDATE conversations SET floor_seq = $1 WHERE id = $2")
        .bind::<BigInt, _>(floor)
        .bind::<SqlUuid, _>(conversation)
        .execute(conn)?;
    Ok(())
}

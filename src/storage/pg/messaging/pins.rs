//! The pinned messages of conversations.

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId};
use crate::model::wire::message::{MAX_PINS, Message};
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::{MessageKey, MessageRow};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use std::collections::BTreeMap;

/// The number of pinned messages of each of these conversations.
pub fn counts(
    conn: &mut PgConnection,
    conversations: &[ConversationId],
) -> StorageResult<Vec<(ConversationId, i64)>> {
    Ok(sql(
        "SELECT k.id, p.n FROM unnest($1) AS k(id) CROSS JOIN LATERAL (
             SELECT count(*) AS n FROM pins WHERE conversation_id = k.id
         ) AS p",
    )
    .bind::<Uuids, _>(conversations)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?)
}

/// Writes changes of pins: each with the number of the change that pinned the message; none if it is no longer pinned. Under the locks of
/// their conversations.
pub fn write(
    conn: &mut PgConnection,
    changes: &BTreeMap<MessageKey, Option<ChangeSeq>>,
) -> StorageResult<()> {
    // A statement each: joined with a list, the planner would scan the table (decision 0002).
    for ((conversation, seq), pinned) in changes {
        let Some(number) = pinned else {
            sql("DELETE FROM pins WHERE conversation_id = $1 AND seq = $2")
                .bind::<SqlUuid, _>(conversation)
                .bind::<BigInt, _>(seq)
                .execute(conn)?;
            continue;
        };
        sql(
            "INSERT INTO pins (conversation_id, seq, change_seq) VALUES ($1, $2, $3)
             ON CONFLICT (conversation_id, seq) DO UPDATE SET change_seq = excluded.change_seq",
        )
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(seq)
        .bind::<BigInt, _>(number)
        .execute(conn)?;
    }
    Ok(())
}

/// The pinned messages of a conversation above `joined`, the newest pin first.
pub fn list(
    conn: &mut PgConnection,
    conversation: ConversationId,
    joined: ConvSeq,
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = sql("SELECT m.* FROM (
             SELECT conversation_id, seq, change_seq FROM pins
             WHERE conversation_id = $1 ORDER BY change_seq DESC LIMIT $2
         ) AS p CROSS JOIN LATERAL (
             SELECT * FROM messages_now
             WHERE conversation_id = p.conversation_id AND seq BETWEEN p.seq AND p.seq ORDER BY seq LIMIT 1
         ) AS m WHERE m.seq > $3 ORDER BY p.change_seq DESC")
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(MAX_PINS as i64)
    .bind::<BigInt, _>(joined)
    .load(conn)?;
    rows.into_iter().map(MessageRow::build).collect()
}

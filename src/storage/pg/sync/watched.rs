//! Heads of conversations, for watches.

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::moved::TimelineHeads;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use std::collections::HashMap;

/// The heads of watched conversations. Pairs in which the user is not a member are left out.
pub fn by_members(
    conn: &mut PgConnection,
    pairs: &[(UserId, ConversationId)],
) -> StorageResult<HashMap<(UserId, ConversationId), TimelineHeads>> {
    let (users, conversations): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let rows: Vec<(UserId, ConversationId, ConvSeq, ChangeSeq)> =
        sql("SELECT w.u AS user_id, w.c AS conversation_id, h.last_seq, h.change_seq
         FROM unnest($1, $2) AS w(u, c) CROSS JOIN LATERAL (
             SELECT c.last_seq, c.change_seq FROM members m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.conversation_id = w.c AND m.user_id = w.u LIMIT 1
         ) AS h")
        .bind::<Uuids, _>(users)
        .bind::<Uuids, _>(conversations)
        .columns::<(SqlUuid, SqlUuid, BigInt, BigInt)>()
        .load(conn)?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(user, id, last_seq, change_seq)| {
            let heads = TimelineHeads {
                last_seq,
                change_seq,
            };
            ((user, id), heads)
        })
        .collect())
}

/// The heads of conversations.
pub fn heads(
    conn: &mut PgConnection,
    ids: &[ConversationId],
) -> StorageResult<Vec<(ConversationId, TimelineHeads)>> {
    let rows: Vec<(ConversationId, ConvSeq, ChangeSeq)> =
        sql("SELECT id, last_seq, change_seq FROM conversations WHERE id = ANY($1)")
            .bind::<Uuids, _>(ids)
            .columns::<(SqlUuid, BigInt, BigInt)>()
            .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(id, last_seq, change_seq)| {
            let heads = TimelineHeads {
                last_seq,
                change_seq,
            };
            (id, heads)
        })
        .collect())
}

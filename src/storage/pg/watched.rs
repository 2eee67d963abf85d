//! The heads of conversations, for the waits that watch them.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// A conversation that somebody watches.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Watched {
    /// Who.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// What.
    #[diesel(sql_type = SqlUuid)]
    pub conversation_id: ConversationId,
    /// Its head.
    #[diesel(sql_type = BigInt)]
    pub last_seq: ConvSeq,
}

/// The heads of watched conversations, of those pairs of which the user is a member of the conversation.
pub fn by_members(
    conn: &mut PgConnection,
    pairs: &[(UserId, ConversationId)],
) -> StorageResult<Vec<Watched>> {
    let (users, conversations): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    Ok(
        sql("SELECT w.u AS user_id, w.c AS conversation_id, h.last_seq
         FROM unnest($1, $2) AS w(u, c) CROSS JOIN LATERAL (
             SELECT c.last_seq FROM members m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.conversation_id = w.c AND m.user_id = w.u LIMIT 1
         ) AS h")
        .bind::<Uuids, _>(users)
        .bind::<Uuids, _>(conversations)
        .load(conn)?,
    )
}

/// The heads of conversations.
pub fn heads(
    conn: &mut PgConnection,
    ids: &[ConversationId],
) -> StorageResult<Vec<(ConversationId, ConvSeq)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: ConversationId,
        #[diesel(sql_type = BigInt)]
        last_seq: ConvSeq,
    }
    let rows: Vec<Row> = sql("SELECT id, last_seq FROM conversations WHERE id = ANY($1)")
        .bind::<Uuids, _>(ids)
        .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.id, row.last_seq)).collect())
}

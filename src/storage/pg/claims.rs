//! Who makes a conversation: of two who would at once, the first one to claim the pair of people, or the creator's own id.

use crate::model::ids::{ClientConversationId, ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: ConversationId,
}

/// Locks a pair of people, whether they have a conversation or not, to the end of the transaction: a new conversation and
/// a new block of the same pair must not miss each other.
pub fn lock_pair(conn: &mut PgConnection, (low, high): (UserId, UserId)) -> StorageResult<()> {
    sql("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind::<Text, _>(format!("tideline pair {low} {high}"))
        .execute(conn)?;
    Ok(())
}

/// The direct conversation of a pair.
pub fn find_direct(
    conn: &mut PgConnection,
    (low, high): (UserId, UserId),
) -> StorageResult<Option<ConversationId>> {
    let row: Option<IdRow> = sql(
        "SELECT conversation_id AS id FROM direct_pairs WHERE low_user_id = $1 AND high_user_id = $2",
    )
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .get_result(conn)
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// Claims a pair for a new direct conversation, or returns `false` when another one has it: the loser of a race waits
/// here for the winner's commit, and must look again in a new statement.
pub fn claim_direct(
    conn: &mut PgConnection,
    (low, high): (UserId, UserId),
    id: ConversationId,
) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO direct_pairs (low_user_id, high_user_id, conversation_id) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?
        == 1)
}

/// The group that the creator has made under an id of their own.
pub fn find_group(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientConversationId,
) -> StorageResult<Option<ConversationId>> {
    let row: Option<IdRow> = sql("SELECT conversation_id AS id FROM client_conversations
         WHERE creator_id = $1 AND client_conversation_id = $2")
    .bind::<SqlUuid, _>(creator)
    .bind::<SqlUuid, _>(client_id)
    .get_result(conn)
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// Claims a creator's own id for a new group, or returns `false` when another one has it, as [`claim_direct`] does.
pub fn claim_group(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientConversationId,
    id: ConversationId,
) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO client_conversations (creator_id, client_conversation_id, conversation_id)
         VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(creator)
    .bind::<SqlUuid, _>(client_id)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?
        == 1)
}

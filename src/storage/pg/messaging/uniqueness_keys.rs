//! Who makes a conversation: of two who would at once, the first one to claim the pair of people, or the creator's own id.

use crate::model::ids::{ClientConversationId, ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{Binary, Nullable, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// The direct conversation of a pair.
pub fn find_direct(
    conn: &mut PgConnection,
    (low, high): (UserId, UserId),
) -> StorageResult<Option<ConversationId>> {
    Ok(sql(
        "SELECT conversation_id AS id FROM direct_pairs WHERE low_user_id = $1 AND high_user_id = $2",
    )
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .scalar::<SqlUuid>()
    .get_result(conn)
    .optional()?)
}

/// Claims a pair for a new direct conversation, or returns `false` when another one has it: the loser of a race waits
/// here for the winner's commit, and must look again in a new statement.
pub fn reserve_direct_pair(
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

/// A group that was made under an id of its creator.
#[derive(QueryableByName)]
pub struct ReservedGroup {
    /// The group.
    #[diesel(sql_type = SqlUuid)]
    pub conversation_id: ConversationId,
    /// A hash of what was asked; nothing of a group from before these were kept.
    #[diesel(sql_type = Nullable<Binary>)]
    pub request_hash: Option<Vec<u8>>,
    /// Who was left out.
    #[diesel(sql_type = Uuids)]
    pub refused: Vec<UserId>,
}

/// The group that the creator has made under an id of their own.
pub fn find_group(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientConversationId,
) -> StorageResult<Option<ReservedGroup>> {
    Ok(sql(
        "SELECT conversation_id, request_hash, COALESCE(refused, '{}') AS refused FROM client_conversations
         WHERE creator_id = $1 AND client_conversation_id = $2",
    )
    .bind::<SqlUuid, _>(creator)
    .bind::<SqlUuid, _>(client_id)
    .get_result(conn)
    .optional()?)
}

/// Claims a creator's own id for a new group, or returns `false` when another one has it, as [`reserve_direct_pair`] does.
pub fn reserve_group_id(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientConversationId,
    group: &ReservedGroup,
) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO client_conversations (creator_id, client_conversation_id, conversation_id, request_hash, refused)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(creator)
    .bind::<SqlUuid, _>(client_id)
    .bind::<SqlUuid, _>(group.conversation_id)
    .bind::<Nullable<Binary>, _>(group.request_hash.as_deref())
    .bind::<Uuids, _>(&group.refused)
    .execute(conn)?
        == 1)
}

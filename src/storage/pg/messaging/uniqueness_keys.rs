//! Uniqueness keys of conversations: the pair of users of a direct one, the creator's id for a group. Of concurrent requests the
//! first one to reserve the key creates the conversation.

use crate::model::ids::{ClientConversationId, ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Nullable, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// The direct conversation of a pair of users.
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

/// Reserves a pair for a new direct conversation. Returns `false` if another conversation has it. A concurrent request waits
/// here for the commit of the first one, and then has to read the conversation in a new statement.
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

/// A group that was created with a creator's id.
#[derive(QueryableByName)]
pub struct ReservedGroup {
    /// The group.
    #[diesel(sql_type = SqlUuid)]
    pub conversation_id: ConversationId,
    /// A hash of the request; none for groups that were created before hashes were stored.
    #[diesel(sql_type = Nullable<Binary>)]
    pub request_hash: Option<Vec<u8>>,
    /// The users that were not added.
    #[diesel(sql_type = Uuids)]
    pub refused: Vec<UserId>,
}

/// The group that the creator created with this id.
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

/// Reserves a creator's id for a new group. Returns `false` if another group has it; see [`reserve_direct_pair`].
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

/// Deletes a creator's ids of groups, at most `limit`. Returns how many.
pub fn erase_some(conn: &mut PgConnection, creator: UserId, limit: i64) -> StorageResult<usize> {
    Ok(
        sql("DELETE FROM client_conversations WHERE creator_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM client_conversations WHERE creator_id = $2 ORDER BY client_conversation_id LIMIT $3))")
        .bind::<SqlUuid, _>(creator)
        .bind::<SqlUuid, _>(creator)
        .bind::<BigInt, _>(limit)
        .execute(conn)?,
    )
}

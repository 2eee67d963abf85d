//! Who may type in a conversation.

use crate::model::ids::{ConversationId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Integer, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};

/// Whether others see that a user types: the user may post now, in a conversation of at most `limit` members that is no channel.
/// `None` if the user is not a member.
pub fn may_type(
    conn: &mut PgConnection,
    id: ConversationId,
    user: UserId,
    limit: i32,
) -> StorageResult<Option<bool>> {
    Ok(sql(
        "SELECT c.kind <> 'channel' AND c.member_count <= $1 AND NOT c.blocked AND NOT (c.leads_post AND m.role = 'member')
             AND COALESCE(m.muted_until <= clock_timestamp(), true) AS may
         FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.conversation_id = $2 AND m.user_id = $3",
    )
    .bind::<Integer, _>(limit)
    .bind::<SqlUuid, _>(id)
    .bind::<SqlUuid, _>(user)
    .scalar::<Bool>()
    .get_result(conn)
    .optional()?)
}

//! Bans from groups and channels. Rows change only under their conversation's lock.

use crate::model::ids::{ConversationId, UserId};
use crate::model::page::PageSize;
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::users::users_by_ids;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use std::collections::HashSet;

/// Bans a user, unless banned already.
pub fn insert(
    conn: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> StorageResult<()> {
    sql("INSERT INTO bans (conversation_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind::<SqlUuid, _>(conversation)
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Removes a ban, if it exists.
pub fn delete(
    conn: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> StorageResult<()> {
    sql("DELETE FROM bans WHERE conversation_id = $1 AND user_id = $2")
        .bind::<SqlUuid, _>(conversation)
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Those of these users that are banned.
pub fn among(
    conn: &mut PgConnection,
    conversation: ConversationId,
    users: &[UserId],
) -> StorageResult<HashSet<UserId>> {
    let banned: Vec<UserId> = sql("SELECT w.user_id FROM unnest($1) AS w(user_id)
         CROSS JOIN LATERAL (SELECT FROM bans WHERE conversation_id = $2 AND user_id = w.user_id LIMIT 1) AS b")
    .bind::<Uuids, _>(users)
    .bind::<SqlUuid, _>(conversation)
    .scalar::<SqlUuid>()
    .load(conn)?;
    Ok(banned.into_iter().collect())
}

/// A page of the banned users, by id, after one of them.
pub fn page(
    conn: &mut PgConnection,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: PageSize,
) -> StorageResult<Vec<User>> {
    let ids: Vec<UserId> = sql("SELECT user_id FROM bans WHERE conversation_id = $1
             AND user_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
         ORDER BY user_id LIMIT $3")
    .bind::<SqlUuid, _>(conversation)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .scalar::<SqlUuid>()
    .load(conn)?;
    users_by_ids(conn, &ids)
}

//! The people with whom a user who is erased has relations.

use crate::model::ids::UserId;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use std::collections::BTreeSet;

/// People whom the user blocks, and with whom the user has a contact or a request on either side: at most `limit` of each kind.
pub fn related(
    conn: &mut PgConnection,
    user: UserId,
    limit: i64,
) -> StorageResult<BTreeSet<UserId>> {
    let mut people = sql(
        "SELECT blocked_id AS id FROM blocks WHERE blocker_id = $1 ORDER BY blocked_id LIMIT $2",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .scalar::<SqlUuid>()
    .load(conn)?;
    let contacts: Vec<UserId> = sql(
        "(SELECT contact_id AS id FROM contacts WHERE owner_id = $1 LIMIT $2)
         UNION ALL (SELECT owner_id FROM contacts WHERE contact_id = $3 LIMIT $4)",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .scalar::<SqlUuid>()
    .load(conn)?;
    let requests: Vec<UserId> = sql(
        "(SELECT peer_id AS id FROM contact_requests WHERE user_id = $1 LIMIT $2)
         UNION ALL (SELECT user_id FROM contact_requests WHERE peer_id = $3 LIMIT $4)",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .scalar::<SqlUuid>()
    .load(conn)?;
    people.extend(contacts);
    people.extend(requests);
    Ok(people.into_iter().collect())
}

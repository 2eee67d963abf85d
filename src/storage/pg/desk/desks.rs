//! Desks. Each is a user, too.

use crate::model::ids::{ClientDeskId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Texts;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};

/// The desk that its creator has created with this id.
pub fn created(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientDeskId,
) -> StorageResult<Option<UserId>> {
    Ok(
        sql("SELECT desk_id FROM client_desks WHERE creator_id = $1 AND client_desk_id = $2")
            .bind::<SqlUuid, _>(creator)
            .bind::<SqlUuid, _>(client_id)
            .scalar::<SqlUuid>()
            .get_result(conn)
            .optional()?,
    )
}

/// How many desks a user has created.
pub fn count(conn: &mut PgConnection, creator: UserId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM client_desks WHERE creator_id = $1")
            .bind::<SqlUuid, _>(creator)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// Reserves a creator's id for a desk. Returns `false` if another desk has it. A concurrent request waits here for the commit of the
/// first one, and then has to read the desk in a new statement.
pub fn reserve(
    conn: &mut PgConnection,
    creator: UserId,
    client_id: ClientDeskId,
    desk: UserId,
) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO client_desks (creator_id, client_desk_id, desk_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(creator)
    .bind::<SqlUuid, _>(client_id)
    .bind::<SqlUuid, _>(desk)
    .execute(conn)?
        == 1)
}

/// A desk has no answer for groups, requests of friends and questions for its presence.
const PRIVACY: &str = r#"{"presence": "nobody", "last_seen": "nobody", "direct": "nobody", "group_add": "nobody",
    "contact_request": "nobody", "contacts_visible": "nobody"}"#;

/// Makes a new user a desk.
pub fn insert(conn: &mut PgConnection, desk: UserId) -> StorageResult<()> {
    sql("UPDATE users SET kind = 'desk', privacy = $1::json WHERE id = $2")
        .bind::<Text, _>(PRIVACY)
        .bind::<SqlUuid, _>(desk)
        .execute(conn)?;
    sql("INSERT INTO desks (id) VALUES ($1)")
        .bind::<SqlUuid, _>(desk)
        .execute(conn)?;
    Ok(())
}

/// The skills of a desk, if it is one.
pub fn skills(conn: &mut PgConnection, desk: UserId) -> StorageResult<Option<Vec<String>>> {
    Ok(sql("SELECT skills FROM desks WHERE id = $1")
        .bind::<SqlUuid, _>(desk)
        .scalar::<Texts>()
        .get_result(conn)
        .optional()?)
}

/// Locks a desk: its skills, and who has which role.
pub fn lock(conn: &mut PgConnection, desk: UserId) -> StorageResult<()> {
    sql("SELECT id FROM desks WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<SqlUuid, _>(desk)
        .execute(conn)?;
    Ok(())
}

/// Replaces the skills. Under [`lock`].
pub fn put_skills(conn: &mut PgConnection, desk: UserId, skills: &[String]) -> StorageResult<()> {
    sql("UPDATE desks SET skills = $1 WHERE id = $2")
        .bind::<Texts, _>(skills)
        .bind::<SqlUuid, _>(desk)
        .execute(conn)?;
    Ok(())
}

//! What users have chosen about their privacy.

use crate::model::ids::UserId;
use crate::model::wire::people::privacy::{Audience, Privacy, PrivacyChoices};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Nullable, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use std::collections::HashSet;

/// What a user has chosen.
pub fn choices(conn: &mut PgConnection, user: UserId) -> StorageResult<PrivacyChoices> {
    let stored: Option<Option<String>> =
        sql("SELECT privacy::text AS privacy FROM users WHERE id = $1")
            .bind::<SqlUuid, _>(user)
            .scalar::<Nullable<Text>>()
            .get_result(conn)
            .optional()?;
    let Some(json) = stored.flatten() else {
        return Ok(PrivacyChoices::default());
    };
    serde_json::from_str(&json).map_err(|error| StorageError::Bug(error.to_string()))
}

/// Stores what a user has chosen.
pub fn put(conn: &mut PgConnection, user: UserId, privacy: &Privacy) -> StorageResult<()> {
    let json = serde_json::to_string(&privacy.choices)
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    sql("UPDATE users SET privacy = $1::json, read_receipts = $2, forward_name = $3 WHERE id = $4")
        .bind::<Text, _>(json)
        .bind::<Bool, _>(privacy.read_receipts)
        .bind::<Bool, _>(privacy.forward_name)
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Those of these people whose audience of this setting does not have the user. `default` is for those who have not chosen.
pub fn refusing(
    conn: &mut PgConnection,
    user: UserId,
    people: &[UserId],
    setting: &'static str,
    default: Audience,
) -> StorageResult<HashSet<UserId>> {
    let refusing: Vec<UserId> = sql(include_str!("refusing.sql"))
        .bind::<Text, _>(setting)
        .bind::<Text, _>(default.as_str())
        .bind::<Uuids, _>(people)
        .bind::<SqlUuid, _>(user)
        .scalar::<SqlUuid>()
        .load(conn)?;
    Ok(refusing.into_iter().collect())
}

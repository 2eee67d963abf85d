//! Users as others see them.

use crate::model::account::Username;
use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::user::{Status, User, UserKind};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use std::collections::HashSet;

/// A user, of the view `users_now`.
#[derive(QueryableByName)]
pub(in crate::storage::pg) struct UserRow {
    #[diesel(sql_type = SqlUuid)]
    pub(in crate::storage::pg) id: UserId,
    #[diesel(sql_type = Text)]
    pub(in crate::storage::pg) kind: String,
    #[diesel(sql_type = Text)]
    pub(in crate::storage::pg) username: String,
    #[diesel(sql_type = Text)]
    pub(in crate::storage::pg) display_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::storage::pg) avatar_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::storage::pg) status_emoji: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::storage::pg) status_text: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(in crate::storage::pg) status_until: Option<Timestamp>,
    #[diesel(sql_type = BigInt)]
    pub(in crate::storage::pg) rev: i64,
    #[diesel(sql_type = Timestamptz)]
    pub(in crate::storage::pg) created_at: Timestamp,
    #[diesel(sql_type = Bool)]
    pub(in crate::storage::pg) deleted: bool,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let is_shown = row.status_emoji.is_some() || row.status_text.is_some();
        let status = Status {
            availability: None,
            emoji: row.status_emoji,
            text: row.status_text,
            until: row.status_until,
        };
        let mut kinds = UserKind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.as_str() == row.kind);
        Self {
            id: row.id,
            kind: kind.unwrap_or_default(),
            username: row.username,
            display_name: row.display_name,
            avatar_url: row.avatar_url,
            status: is_shown.then_some(status),
            rev: row.rev,
            created_at: row.created_at,
            deleted: row.deleted,
        }
    }
}

/// The users with these ids, in the order of their ids; unknown ids are left out.
pub fn users_by_ids(conn: &mut PgConnection, ids: &[UserId]) -> StorageResult<Vec<User>> {
    let rows: Vec<UserRow> = sql(
        "SELECT id, kind, username, display_name, avatar_url, status_emoji, status_text, status_until, rev, created_at, deleted
         FROM users_now WHERE id = ANY($1) ORDER BY id",
    )
    .bind::<Uuids, _>(ids)
        .load(conn)?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// The user with this username.
pub fn user_by_name(conn: &mut PgConnection, username: &Username) -> StorageResult<Option<User>> {
    let row: Option<UserRow> = sql("SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted
         FROM usernames n JOIN users_now u ON u.id = n.user_id WHERE n.username = $1 AND n.reserved_until IS NULL")
    .bind::<Text, _>(username.as_str())
    .get_result(conn)
    .optional()?;
    Ok(row.map(User::from))
}

/// Whether the account of a user is in use.
pub fn is_active(conn: &mut PgConnection, user: UserId) -> StorageResult<bool> {
    Ok(
        sql("SELECT state = 'active' AS is_active FROM users WHERE id = $1")
            .bind::<SqlUuid, _>(user)
            .scalar::<Bool>()
            .get_result(conn)?,
    )
}

/// The users, of these, that show their read positions.
pub fn showing_reads(conn: &mut PgConnection, users: &[UserId]) -> StorageResult<HashSet<UserId>> {
    let shown: Vec<UserId> = sql("SELECT id FROM users WHERE id = ANY($1) AND read_receipts")
        .bind::<Uuids, _>(users)
        .scalar::<SqlUuid>()
        .load(conn)?;
    Ok(shown.into_iter().collect())
}

/// Those of these users that forwards of their messages name.
pub fn named_in_forwards(
    conn: &mut PgConnection,
    users: &[UserId],
) -> StorageResult<HashSet<UserId>> {
    let named: Vec<UserId> = sql("SELECT id FROM users WHERE id = ANY($1) AND forward_name")
        .bind::<Uuids, _>(users)
        .scalar::<SqlUuid>()
        .load(conn)?;
    Ok(named.into_iter().collect())
}

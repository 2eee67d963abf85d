//! Who may see whose presence, and when people were last seen.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// What decides whether two people see each other's presence.
#[derive(QueryableByName)]
pub struct PresencePair {
    /// Who wants to see.
    #[diesel(sql_type = SqlUuid)]
    pub viewer_id: UserId,
    /// Who is to be seen.
    #[diesel(sql_type = SqlUuid)]
    pub person_id: UserId,
    /// The viewer's number of what decides who sees the presence.
    #[diesel(sql_type = Integer)]
    pub viewer_rev: i32,
    /// The person's.
    #[diesel(sql_type = Integer)]
    pub person_rev: i32,
    /// Both accounts are active, and neither blocks the other.
    #[diesel(sql_type = Bool)]
    pub may_meet: bool,
    /// Whom the viewer lets see the presence, if the viewer has chosen.
    #[diesel(sql_type = Nullable<Text>)]
    pub viewer_presence: Option<String>,
    /// Whom the viewer lets see the time online, if the viewer has chosen.
    #[diesel(sql_type = Nullable<Text>)]
    pub viewer_last_seen: Option<String>,
    /// Whom the person lets see the presence, if the person has chosen.
    #[diesel(sql_type = Nullable<Text>)]
    pub person_presence: Option<String>,
    /// Whom the person lets see the time online, if the person has chosen.
    #[diesel(sql_type = Nullable<Text>)]
    pub person_last_seen: Option<String>,
    /// The person is on the viewer's list.
    #[diesel(sql_type = Bool)]
    pub viewer_lists: bool,
    /// The viewer is on the person's list.
    #[diesel(sql_type = Bool)]
    pub person_lists: bool,
    /// When the person was last seen.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_seen_at: Option<Timestamp>,
}

/// What decides whether the people of these pairs, a viewer and a person, see each other. Pairs with an unknown user are left out.
pub fn pairs(
    conn: &mut PgConnection,
    pairs: &[(UserId, UserId)],
) -> StorageResult<Vec<PresencePair>> {
    let (viewers, people): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    Ok(sql(include_str!("presence.sql"))
        .bind::<Uuids, _>(viewers)
        .bind::<Uuids, _>(people)
        .load(conn)?)
}

/// Moves the number of what decides who sees the presence of a user. Under the lock of the user's row.
pub fn move_audience(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql("UPDATE users SET audience_rev = audience_rev + 1 WHERE id = $1")
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Whether a user, or the default for those who have not chosen, lets only contacts see the presence or the time online.
pub fn has_contacts_audience(
    conn: &mut PgConnection,
    user: UserId,
    defaults: (&str, &str),
) -> StorageResult<bool> {
    let (presence, last_seen) = defaults;
    let found: Vec<bool> = sql(
        "SELECT COALESCE(privacy ->> 'presence', $1) = 'contacts' OR COALESCE(privacy ->> 'last_seen', $2) = 'contacts' AS is_contacts
         FROM users WHERE id = $3",
    )
    .bind::<Text, _>(presence)
    .bind::<Text, _>(last_seen)
    .bind::<SqlUuid, _>(user)
    .scalar::<Bool>()
    .load(conn)?;
    Ok(found.into_iter().any(|one| one))
}

/// Stores that users were online at these times, in seconds since 1970, unless they were later.
pub fn store_last_seen(
    conn: &mut PgConnection,
    users: &[UserId],
    times: &[i64],
) -> StorageResult<()> {
    sql(
        "INSERT INTO last_seen AS l (user_id, at)
         SELECT w.id, to_timestamp(w.at) FROM unnest($1, $2) AS w(id, at)
         CROSS JOIN LATERAL (SELECT FROM users WHERE id = w.id AND state <> 'deleted' LIMIT 1) AS u ORDER BY w.id
         ON CONFLICT (user_id) DO UPDATE SET at = GREATEST(l.at, excluded.at)",
    )
    .bind::<Uuids, _>(users)
    .bind::<BigInts, _>(times)
    .execute(conn)?;
    Ok(())
}

/// Deletes when a user was last seen.
pub fn forget_last_seen(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql("DELETE FROM last_seen WHERE user_id = $1")
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

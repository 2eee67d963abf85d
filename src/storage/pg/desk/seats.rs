//! Who serves desks. A removed seat keeps its row.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::desk::{MAX_SEATS, Seat, SeatRole};
use crate::model::wire::people::presence::PresenceState;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// A seat, with its skills as bits.
#[derive(QueryableByName)]
pub struct SeatRow {
    #[diesel(embed)]
    user: UserRow,
    #[diesel(sql_type = SqlUuid)]
    desk_id: UserId,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    alias: Option<String>,
    #[diesel(sql_type = BigInt)]
    skills: i64,
    #[diesel(sql_type = BigInt)]
    capacity: i64,
    #[diesel(sql_type = SmallInt)]
    load: i16,
    #[diesel(sql_type = Bool)]
    available: bool,
    #[diesel(sql_type = Nullable<Text>)]
    why: Option<String>,
    #[diesel(sql_type = SmallInt)]
    missed: i16,
    #[diesel(sql_type = Timestamptz)]
    given_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

impl SeatRow {
    /// The seat of a desk with these skills. The presence is not known here.
    fn build(self, skills: &[String]) -> StorageResult<Seat> {
        let names = skills.iter().enumerate();
        let names = names.filter(|(place, _)| self.skills & 1 << place != 0);
        Ok(Seat {
            desk_id: self.desk_id,
            user: self.user.into(),
            role: parse_role(&self.role)?,
            alias: self.alias,
            skills: names.map(|(_, name)| name.clone()).collect(),
            capacity: self.capacity,
            load: self.load,
            available: self.available,
            why: self.why,
            presence: PresenceState::Unknown,
            missed: self.missed,
            given_at: self.given_at,
            version: self.version,
        })
    }
}

fn parse_role(name: &str) -> StorageResult<SeatRole> {
    let mut roles = SeatRole::ALL.into_iter();
    let found = roles.find(|role| role.as_str() == name);
    found.ok_or_else(|| StorageError::Bug(format!("unknown role {name:?} of a seat")))
}

/// The role of a user at a desk; none without a seat.
pub fn role(
    conn: &mut PgConnection,
    desk: UserId,
    user: UserId,
) -> StorageResult<Option<SeatRole>> {
    let role: Option<String> =
        sql("SELECT role FROM seats WHERE desk_id = $1 AND user_id = $2 AND removed_at IS NULL")
            .bind::<SqlUuid, _>(desk)
            .bind::<SqlUuid, _>(user)
            .scalar::<Text>()
            .get_result(conn)
            .optional()?;
    role.map(|role| parse_role(&role)).transpose()
}

/// One seat of a desk with these skills.
pub fn get(
    conn: &mut PgConnection,
    desk: UserId,
    user: UserId,
    skills: &[String],
) -> StorageResult<Option<Seat>> {
    let row: Option<SeatRow> = sql(concat!(
        "WITH s AS (SELECT * FROM seats WHERE desk_id = $1 AND user_id = $2)",
        include_str!("seats.sql")
    ))
    .bind::<SqlUuid, _>(desk)
    .bind::<SqlUuid, _>(user)
    .get_result(conn)
    .optional()?;
    row.map(|row| row.build(skills)).transpose()
}

/// The seats of a desk with these skills, by user id.
pub fn of_desk(
    conn: &mut PgConnection,
    desk: UserId,
    skills: &[String],
) -> StorageResult<Vec<Seat>> {
    let rows: Vec<SeatRow> = sql(concat!(
        "WITH s AS (SELECT * FROM seats WHERE desk_id = $1)",
        include_str!("seats.sql")
    ))
    .bind::<SqlUuid, _>(desk)
    .load(conn)?;
    rows.into_iter().map(|row| row.build(skills)).collect()
}

/// The desks at which a user has a seat, up to the limit of seats of a desk.
pub fn desks_of(conn: &mut PgConnection, user: UserId) -> StorageResult<Vec<UserId>> {
    Ok(sql(
        "SELECT desk_id FROM seats WHERE user_id = $1 AND removed_at IS NULL ORDER BY user_id, desk_id LIMIT $2",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(MAX_SEATS)
    .scalar::<SqlUuid>()
    .load(conn)?)
}

/// The numbers of a desk's seats, and of those of admins. Under the desk's lock.
pub fn counts(conn: &mut PgConnection, desk: UserId) -> StorageResult<(i64, i64)> {
    Ok(sql(
        "SELECT count(*) AS seats, count(*) FILTER (WHERE role = 'admin') AS admins FROM seats
         WHERE desk_id = $1 AND removed_at IS NULL",
    )
    .bind::<SqlUuid, _>(desk)
    .columns::<(BigInt, BigInt)>()
    .get_result(conn)?)
}

/// What the staff decides of a seat.
#[derive(Clone, Debug)]
pub struct SeatDuties {
    /// What the user may do.
    pub role: SeatRole,
    /// The name under which the user answers.
    pub alias: Option<String>,
    /// The skills, as bits in the order of the desk's.
    pub skills: i64,
    /// How many cases the user has at most.
    pub capacity: i64,
}

/// Gives a user a seat, or changes it. Under the desk's lock.
pub fn put(
    conn: &mut PgConnection,
    desk: UserId,
    user: UserId,
    duties: &SeatDuties,
) -> StorageResult<()> {
    sql(
        "INSERT INTO seats AS s (desk_id, user_id, role, alias, skills, capacity) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (desk_id, user_id) DO UPDATE SET role = excluded.role, alias = excluded.alias, skills = excluded.skills,
             capacity = excluded.capacity, removed_at = NULL, version = s.version + 1",
    )
    .bind::<SqlUuid, _>(desk)
    .bind::<SqlUuid, _>(user)
    .bind::<Text, _>(duties.role.as_str())
    .bind::<Nullable<Text>, _>(duties.alias.as_deref())
    .bind::<BigInt, _>(duties.skills)
    .bind::<BigInt, _>(duties.capacity)
    .execute(conn)?;
    Ok(())
}

/// Whether a user takes new cases, and why not. A user who becomes available has missed no offers.
pub fn set_available(
    conn: &mut PgConnection,
    desk: UserId,
    user: UserId,
    available: bool,
    why: Option<&str>,
) -> StorageResult<()> {
    sql(
        "UPDATE seats SET available = $1, why = $2, missed = CASE WHEN $3 THEN 0 ELSE missed END, version = version + 1
         WHERE desk_id = $4 AND user_id = $5",
    )
    .bind::<Bool, _>(available)
    .bind::<Nullable<Text>, _>(why)
    .bind::<Bool, _>(available)
    .bind::<SqlUuid, _>(desk)
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// Takes the seat of a user away. Under the desk's lock.
pub fn remove(conn: &mut PgConnection, desk: UserId, user: UserId) -> StorageResult<()> {
    sql(
        "UPDATE seats SET removed_at = now(), alias = NULL, available = false, why = NULL, version = version + 1
         WHERE desk_id = $1 AND user_id = $2",
    )
    .bind::<SqlUuid, _>(desk)
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// Takes all seats of a user away, unless a desk would have no admin left: then nothing changes, and the result is `false`. Takes the locks
/// of the desks, after that of the user's row.
pub fn remove_all(conn: &mut PgConnection, user: UserId) -> StorageResult<bool> {
    sql(
        "SELECT id FROM desks
         WHERE id = ANY(ARRAY(SELECT desk_id FROM seats WHERE user_id = $1 AND removed_at IS NULL ORDER BY user_id, desk_id))
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    let left: Option<UserId> = sql(
        "SELECT s.desk_id FROM (
             SELECT desk_id FROM seats WHERE user_id = $1 AND role = 'admin' AND removed_at IS NULL ORDER BY user_id, desk_id
         ) AS s
         LEFT JOIN LATERAL (
             SELECT user_id FROM seats
             WHERE desk_id = s.desk_id AND user_id <> $2 AND role = 'admin' AND removed_at IS NULL LIMIT 1
         ) AS o ON true
         WHERE o.user_id IS NULL LIMIT 1",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .scalar::<SqlUuid>()
    .get_result(conn)
    .optional()?;
    if left.is_some() {
        return Ok(false);
    }
    sql(
        "UPDATE seats SET removed_at = now(), alias = NULL, available = false, why = NULL, version = version + 1
         WHERE user_id = $1 AND removed_at IS NULL",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(true)
}

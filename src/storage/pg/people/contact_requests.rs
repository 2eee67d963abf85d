//! Requests to become friends. The rows of a pair of people change under the lock of both users (`blocks::lock`).

use crate::model::ids::UserId;
use crate::model::page::PageSize;
use crate::model::time::Timestamp;
use crate::model::wire::people::contact::{ContactRequest, Direction, RequestState};
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable, QueryableByName, RunQueryDsl};

/// One side of a request: the user, and the other person.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// The user whose row it is.
    pub user: UserId,
    /// The other person.
    pub peer: UserId,
    /// The user has asked.
    pub outgoing: bool,
}

impl Side {
    /// The row of a user who has asked a person.
    pub fn asking(user: UserId, peer: UserId) -> Self {
        Self {
            user,
            peer,
            outgoing: true,
        }
    }

    /// The row of the person who was asked.
    pub fn asked(self) -> Self {
        Self {
            user: self.peer,
            peer: self.user,
            outgoing: !self.outgoing,
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct Standing {
    /// It has neither ended nor expired.
    pub pending: bool,
    /// Milliseconds since it has ended or expired.
    pub ended_ms_ago: i64,
}

/// Where the request of this row stands; none without a row.
pub fn standing(conn: &mut PgConnection, side: Side) -> StorageResult<Option<Standing>> {
    Ok(
        sql("SELECT ended_at IS NULL AND expires_at > now() AS pending,
             floor(1000 * extract(epoch FROM now() - LEAST(ended_at, expires_at)))::bigint AS ago
         FROM contact_requests WHERE user_id = $1 AND peer_id = $2 AND outgoing = $3")
        .bind::<SqlUuid, _>(side.user)
        .bind::<SqlUuid, _>(side.peer)
        .bind::<Bool, _>(side.outgoing)
        .columns::<(Bool, BigInt)>()
        .get_result(conn)
        .optional()?,
    )
}

/// How many requests of a user are pending.
pub fn pending(conn: &mut PgConnection, user: UserId) -> StorageResult<i64> {
    Ok(sql("SELECT count(*) AS n FROM contact_requests
         WHERE user_id = $1 AND outgoing AND ended_at IS NULL AND expires_at > now()")
    .bind::<SqlUuid, _>(user)
    .scalar::<BigInt>()
    .get_result(conn)?)
}

/// Writes the row of one side of a new request.
pub fn put(
    conn: &mut PgConnection,
    side: Side,
    message: Option<&str>,
    mutual_count: Option<i32>,
    days: i32,
) -> StorageResult<()> {
    sql(
        "INSERT INTO contact_requests (user_id, peer_id, outgoing, message, mutual_count, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, now(), now() + make_interval(days => $6))
         ON CONFLICT (user_id, outgoing, peer_id) DO UPDATE SET message = excluded.message,
             mutual_count = excluded.mutual_count, created_at = excluded.created_at, expires_at = excluded.expires_at,
             ended_at = NULL",
    )
    .bind::<SqlUuid, _>(side.user)
    .bind::<SqlUuid, _>(side.peer)
    .bind::<Bool, _>(side.outgoing)
    .bind::<Nullable<Text>, _>(message)
    .bind::<Nullable<Integer>, _>(mutual_count)
    .bind::<Integer, _>(days)
    .execute(conn)?;
    Ok(())
}

/// Ends the request of this row. Returns whether it was pending.
pub fn end(conn: &mut PgConnection, side: Side) -> StorageResult<bool> {
    let ended = sql(
        "UPDATE contact_requests SET ended_at = now()
         WHERE user_id = $1 AND peer_id = $2 AND outgoing = $3 AND ended_at IS NULL AND expires_at > now()",
    )
    .bind::<SqlUuid, _>(side.user)
    .bind::<SqlUuid, _>(side.peer)
    .bind::<Bool, _>(side.outgoing)
    .execute(conn)?;
    Ok(ended > 0)
}

/// Deletes the row of one side. Returns whether the request was pending there.
pub fn remove(conn: &mut PgConnection, side: Side) -> StorageResult<bool> {
    let was_pending: Option<bool> = sql(
        "DELETE FROM contact_requests WHERE user_id = $1 AND peer_id = $2 AND outgoing = $3
         RETURNING ended_at IS NULL AND expires_at > now() AS pending",
    )
    .bind::<SqlUuid, _>(side.user)
    .bind::<SqlUuid, _>(side.peer)
    .bind::<Bool, _>(side.outgoing)
    .scalar::<Bool>()
    .get_result(conn)
    .optional()?;
    Ok(was_pending == Some(true))
}

#[derive(QueryableByName)]
struct RequestRow {
    #[diesel(embed)]
    user: UserRow,
    #[diesel(sql_type = Bool)]
    outgoing: bool,
    #[diesel(sql_type = Nullable<Text>)]
    message: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    mutual_count: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    asked_at: Timestamp,
    #[diesel(sql_type = Timestamptz)]
    expires_at: Timestamp,
    #[diesel(sql_type = Bool)]
    expired: bool,
}

impl From<RequestRow> for ContactRequest {
    fn from(row: RequestRow) -> Self {
        Self {
            user: row.user.into(),
            direction: match row.outgoing {
                true => Direction::Out,
                false => Direction::In,
            },
            state: match row.expired {
                true => RequestState::Expired,
                false => RequestState::Pending,
            },
            message: row.message,
            mutual_count: row.mutual_count,
            created_at: row.asked_at,
            expires_at: row.expires_at,
        }
    }
}

/// The requests between a user and these people that have not ended, as the user sees them.
pub fn among(
    conn: &mut PgConnection,
    user: UserId,
    people: &[UserId],
) -> StorageResult<Vec<ContactRequest>> {
    let rows: Vec<RequestRow> = sql(concat!(
        "WITH r AS MATERIALIZED (
             SELECT found.* FROM unnest($1) AS w(id) CROSS JOIN unnest(ARRAY[true, false]) AS d(outgoing)
             CROSS JOIN LATERAL (
                 SELECT * FROM contact_requests
                 WHERE user_id = $2 AND outgoing = d.outgoing AND peer_id = w.id AND ended_at IS NULL LIMIT 1
             ) AS found
         ) ",
        include_str!("contact_requests.sql")
    ))
    .bind::<Uuids, _>(people)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    Ok(rows.into_iter().map(ContactRequest::from).collect())
}

/// A page of the requests of a user in one direction that have not ended, by the other person's id.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    direction: Direction,
    after: Option<UserId>,
    limit: PageSize,
) -> StorageResult<Vec<ContactRequest>> {
    let rows: Vec<RequestRow> = sql(concat!(
        "WITH r AS MATERIALIZED (
             SELECT * FROM contact_requests WHERE user_id = $1 AND outgoing = $2
                 AND peer_id > COALESCE($3, '00000000-0000-0000-0000-000000000000') AND ended_at IS NULL
             ORDER BY peer_id LIMIT $4
         ) ",
        include_str!("contact_requests.sql")
    ))
    .bind::<SqlUuid, _>(user)
    .bind::<Bool, _>(direction == Direction::Out)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .load(conn)?;
    Ok(rows.into_iter().map(ContactRequest::from).collect())
}

/// Deletes up to `most` rows that have expired this many days ago. Returns how many.
pub fn delete_expired(conn: &mut PgConnection, days: i32, most: i64) -> StorageResult<usize> {
    Ok(sql("DELETE FROM contact_requests WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM contact_requests WHERE expires_at < now() - make_interval(days => $1)
             ORDER BY expires_at LIMIT $2
         ))")
    .bind::<Integer, _>(days)
    .bind::<BigInt, _>(most)
    .execute(conn)?)
}

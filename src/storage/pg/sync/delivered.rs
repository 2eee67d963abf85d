//! The time up to which an inbox is on a device.

use crate::model::ids::{InboxSeq, UserId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Nullable, Timestamptz};

/// The time before which every message is among the entries up to a seq, for each of these seqs in their order; none if it is not
/// known.
pub fn until(
    conn: &mut PgConnection,
    positions: &[(UserId, InboxSeq)],
) -> StorageResult<Vec<Option<Timestamp>>> {
    let (users, seqs): (Vec<_>, Vec<_>) = positions.iter().copied().unzip();
    Ok(sql(include_str!("delivered_until.sql"))
        .bind::<Uuids, _>(users)
        .bind::<BigInts, _>(seqs)
        .scalar::<Nullable<Timestamptz>>()
        .load(conn)?)
}

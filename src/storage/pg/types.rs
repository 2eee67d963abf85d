//! SQL types of the model's values, for binding and reading.

use crate::model::ids::{
    ChangeSeq, ClientConversationId, ClientDeskId, ClientMediaId, ClientMsgId, ConvSeq,
    ConversationId, DeviceId, Epoch, InboxSeq, MediaId, MessageId, UserId,
};
use crate::model::time::Timestamp;
use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, Queryable};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, SqlType, Text, Timestamptz, Uuid as SqlUuid,
};
use std::io::Write as _;

/// Arrays of the SQL types, for statements over `unnest`.
pub type Uuids = Array<SqlUuid>;
/// See [`Uuids`].
pub type BigInts = Array<BigInt>;
/// See [`Uuids`].
pub type Integers = Array<Integer>;
/// See [`Uuids`].
pub type Bools = Array<Bool>;
/// See [`Uuids`].
pub type Texts = Array<Text>;
/// See [`Uuids`].
pub type Binaries = Array<Binary>;
/// See [`Uuids`].
pub type Timestamps = Array<Timestamptz>;
/// See [`Uuids`].
pub type Tids = Array<Tid>;

/// The SQL type of `ctid`.
#[derive(SqlType)]
#[diesel(postgres_type(oid = 27, array_oid = 1010))]
pub struct Tid;

/// The physical place of a row (`ctid`). It is valid while the transaction holds the lock under which alone the row changes,
/// and finds the row without an index (decision 0019).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowHandle([u8; 6]);

impl ToSql<Tid, Pg> for RowHandle {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&self.0)?;
        Ok(IsNull::No)
    }
}

impl FromSql<Tid, Pg> for RowHandle {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(value.as_bytes().try_into()?))
    }
}

impl Queryable<Tid, Pg> for RowHandle {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

macro_rules! column {
    ($sql:ty, $inner:ty: $($name:ident),*) => {$(
        impl ToSql<$sql, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <$inner as ToSql<$sql, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<$sql, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                <$inner as FromSql<$sql, Pg>>::from_sql(value).map(Self)
            }
        }

        impl Queryable<$sql, Pg> for $name {
            type Row = Self;

            fn build(row: Self) -> deserialize::Result<Self> {
                Ok(row)
            }
        }
    )*};
}

column!(SqlUuid, uuid::Uuid: UserId, DeviceId, ConversationId, MessageId, ClientMsgId, ClientConversationId, ClientDeskId, ClientMediaId, Epoch, MediaId);
column!(BigInt, i64: ConvSeq, InboxSeq, ChangeSeq);
column!(Timestamptz, DateTime<Utc>: Timestamp);

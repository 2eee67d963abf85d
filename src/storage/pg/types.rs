//! How the model's values are bound to statements and read from rows.

use crate::model::ids::{
    ClientMsgId, ConvSeq, ConversationId, DeviceId, Epoch, InboxSeq, MessageId, UserId,
};
use crate::model::time::Timestamp;
use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid};

/// Arrays of the SQL types, for statements over `unnest`.
pub type Uuids = Array<SqlUuid>;
/// See [`Uuids`].
pub type BigInts = Array<BigInt>;
/// See [`Uuids`].
pub type Texts = Array<Text>;
/// See [`Uuids`].
pub type Binaries = Array<Binary>;
/// See [`Uuids`].
pub type Timestamps = Array<Timestamptz>;

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
    )*};
}

column!(SqlUuid, uuid::Uuid: UserId, DeviceId, ConversationId, MessageId, ClientMsgId, Epoch);
column!(BigInt, i64: ConvSeq, InboxSeq);
column!(Timestamptz, DateTime<Utc>: Timestamp);

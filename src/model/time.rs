//! Times of the contract: RFC 3339, UTC, milliseconds, `Z`.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::str::FromStr;
use utoipa::ToSchema;

/// A time in UTC. It keeps the database's microseconds and shows milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-20T09:30:00.123Z")]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    /// The time this number of seconds after the beginning of 1970.
    pub fn of_seconds(seconds: i64) -> Self {
        Self(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is not a valid time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be a time such as 2026-11-20T09:30:00Z")]
pub struct NotATime;

/// Parses RFC 3339 with any offset, in the years 1970 to 9999, and truncates to milliseconds.
impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            // A leap second is the next second: PostgreSQL has none.
            .and_then(|moment| DateTime::from_timestamp_millis(moment.timestamp_millis()))
            .filter(|moment| (1970..=9999).contains(&moment.year()))
            .map(Self)
            .ok_or(NotATime)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

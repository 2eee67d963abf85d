//! The limit of requests.

use crate::config::{ConfigError, Lookup, RateLimit};

pub(super) fn load(lookup: Lookup<'_>) -> Result<Option<RateLimit>, ConfigError> {
    let text = lookup("TIDELINE_RATE_LIMIT").unwrap_or_else(|| "50:200".to_owned());
    if text == "off" {
        return Ok(None);
    }
    let (rate, burst) = text.split_once(':').unwrap_or((&text, ""));
    match (rate.parse(), burst.parse()) {
        (Ok(per_second @ 1..=100_000), Ok(burst @ 1..=1_000_000)) => {
            Ok(Some(RateLimit { per_second, burst }))
        }
        _ => Err(ConfigError::Bad(
            "TIDELINE_RATE_LIMIT",
            text,
            "off, or requests a second (1 to 100000), a colon and the burst (1 to 1000000), such as 50:200",
        )),
    }
}

//! The search for people.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::{Caller, Username};
use crate::model::wire::user::User;
use crate::storage::pg::people::search;

/// The shortest prefix of a search, in characters: shorter ones would list everybody.
pub const MIN_PREFIX: usize = 3;

/// The most people of a search.
pub const MAX_FOUND: i64 = 20;

/// The people in use whose usernames begin so, without those whom the caller blocks or who do not want to be found. Who blocks the
/// caller is found, so that a search does not show it.
pub async fn by_prefix(
    delivery: &Delivery,
    caller: Caller,
    prefix: &str,
    limit: i64,
) -> Result<Vec<User>, Error> {
    let detail = "must be 3 to 32 characters";
    if !(MIN_PREFIX..=Username::MAX).contains(&prefix.chars().count()) {
        return Err(Error::invalid("prefix", detail));
    }
    // No username begins with anything that is none.
    let Some(prefix) = Username::parse(prefix) else {
        return Ok(Vec::new());
    };
    let is_discoverable = delivery.config.privacy.discoverable;
    let found = move |conn: &mut _| {
        search::by_prefix(conn, caller.user, prefix.as_str(), is_discoverable, limit)
    };
    Ok(delivery.pg.read("search_users", found).await?)
}

//! Who may see whom, as PostgreSQL has said since the cursors that are in use were made.

use crate::model::ids::UserId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The most pairs that are remembered.
const MAX_PAIRS: usize = 100_000;

/// A caller and a person.
type Pair = (UserId, UserId);

/// The numbers of both of what decides who sees their presence.
pub type PairRevs = (u16, u16);

/// Permissions, each with the numbers under which it was found. It holds as long as neither has moved.
#[derive(Default)]
pub struct Permissions {
    pairs: Mutex<HashMap<Pair, (PairRevs, bool)>>,
}

impl Permissions {
    /// Whether the caller may see the person, if that is known for these numbers.
    pub fn get(&self, pair: Pair, revs: PairRevs) -> Option<bool> {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let (found_under, may) = pairs.get(&pair)?;
        (*found_under == revs).then_some(*may)
    }

    /// Remembers a permission.
    pub fn store(&self, pair: Pair, revs: PairRevs, may: bool) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= MAX_PAIRS {
            pairs.clear();
        }
        pairs.insert(pair, (revs, may));
    }
}

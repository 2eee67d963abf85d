//! The rows of the table, one file each.

pub mod archive;
pub mod changes;
pub mod delivery;
pub mod fetch;
pub mod group;
pub mod media;
pub mod nodes;
pub mod parked;
pub mod presence;
pub mod reconnect;
pub mod search;
pub mod sends;

use crate::client::Person;
use crate::load::{RequestSource, send};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::sync::Arc;

/// Every person sends to the next one in the ring, repeatedly. In random order, because neighbours share an inbox.
fn sends_of(people: &[Person], ring: &[String]) -> RequestSource {
    let mut pairs: Vec<_> = people.iter().cloned().zip(ring.iter().cloned()).collect();
    pairs.shuffle(&mut StdRng::seed_from_u64(1));
    Arc::new(move |n| {
        let (person, conversation) = &pairs[n % pairs.len()];
        send(person, conversation)
    })
}

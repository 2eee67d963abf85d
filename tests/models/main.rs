//! Models of the three protocols that have too many orders for tests: checked in every order within small bounds.
//!
//! A model is a sound design and some broken ones, each without one rule. The checker (stateright) explores every reachable
//! state, breadth first. In the sound design every property must hold. Each broken design must be refuted, which shows that the
//! property depends on the rule.
//!
//! A counterexample is the list of steps to the first state in which a property fails. Those of the broken designs are in their
//! tests, and none is shorter. When a sound design fails, the test prints the steps and the final state; for the shortest list,
//! set `broken` to this property and call `refuted`.
//!
//! `wait` is about notices, `unread` about the hash of unread counts, `changes` about change numbers. `hash` is the Redis side in
//! Rust; `tests/it/properties/scripts.rs` proves that it is equal. The exploration keeps a processor busy for seconds, so it is not
//! in `tests/it`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

mod changes;
mod hash;
mod unread;
mod wait;

use stateright::{Checker, HasDiscoveries, Model, Property};
use std::fmt::Debug;
use std::hash::Hash;

/// A model that can check one property alone: the first state that fails it ends the exploration.
trait Design:
    Model<State: Clone + Debug + Hash + PartialEq, Action: Clone + Debug + PartialEq>
{
    /// The property that a broken design must fail.
    fn broken(&self) -> Option<&'static str>;
}

/// The properties that the design checks.
fn asked<D: Design>(design: &D, all: Vec<Property<D>>) -> Vec<Property<D>> {
    let asked = |one: &Property<D>| design.broken().is_none_or(|name| name == one.name);
    all.into_iter().filter(asked).collect()
}

/// Asserts that every property holds in every state, and returns the number of states.
fn states_of<D>(design: D) -> usize
where
    D: Design<State: Send + Sync, Action: Send + Sync> + Send + Sync + 'static,
{
    let checker = design
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    checker.assert_properties();
    checker.unique_state_count()
}

/// Asserts that a broken design fails its property, and returns a shortest counterexample.
fn refuted<D>(design: D) -> String
where
    D: Design<State: Send + Sync, Action: Send + Sync> + Send + Sync + 'static,
{
    let property = design.broken().expect("a property to refute");
    let found = design.checker().spawn_bfs().join().discovery(property);
    let path = found.unwrap_or_else(|| panic!("nothing refutes: {property}"));
    let steps = path.into_actions().into_iter();
    let steps: Vec<_> = steps.map(|step| format!("{step:?}")).collect();
    steps.join(", ")
}

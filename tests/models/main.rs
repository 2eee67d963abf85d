//! Models: the two protocols that no test can try in every order, checked in every order within small bounds.
//!
//! A model is a sound design and a few broken ones, each the design without one of its rules. The checker (stateright)
//! walks through every state that the design can reach, breadth first: in the sound one every property must hold, and each
//! broken one must be refuted, which shows that the property sees the rule and that the rule is needed.
//!
//! A counterexample is the list of steps from nothing to the first state in which a property fails. Those of the broken designs
//! are written down in their tests, and none is shorter. When a sound design fails, the test prints the list and the state at
//! its end; ask that design for this property alone (`broken`) with `refuted` to have the shortest.
//!
//! `wait` is about notices, `unread` about the hash of unread counts. `hash` is what Redis runs, in Rust;
//! `tests/it/properties/scripts.rs` proves that it is. The walks keep a processor busy for seconds, so they are not among the
//! tests of `tests/it`, some of which watch the clock.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

mod hash;
mod unread;
mod wait;

use stateright::{Checker, HasDiscoveries, Model, Property};
use std::fmt::Debug;
use std::hash::Hash;

/// A model that can be asked for one property alone: the first state that fails it ends the walk.
trait Design:
    Model<State: Clone + Debug + Hash + PartialEq, Action: Clone + Debug + PartialEq>
{
    /// The property to be refuted, of a broken design.
    fn broken(&self) -> Option<&'static str>;
}

/// Those of the properties that the design is asked for.
fn asked<D: Design>(design: &D, all: Vec<Property<D>>) -> Vec<Property<D>> {
    let asked = |one: &Property<D>| design.broken().is_none_or(|name| name == one.name);
    all.into_iter().filter(asked).collect()
}

/// Asserts that every property holds in every state, and returns how many there are.
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

/// Asserts that a broken design fails its property, and returns a shortest way to there.
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

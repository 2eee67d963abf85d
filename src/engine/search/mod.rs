//! Search: the index is a filter that says which messages may match, and the archive decides.

pub mod cursor;
pub mod filter;
mod folding;
pub mod gate;
pub mod hints;
pub mod page;
pub mod position;
pub mod query;
mod sources;
pub mod text;

use cursor::SearchCursors;
use gate::SearchGate;
use hints::IndexHints;
use std::sync::Arc;

/// The handle for search.
pub struct SearchService {
    /// Signs cursors.
    pub cursors: SearchCursors,
    /// Limits the searches that run.
    pub gate: SearchGate,
    /// What the indexer has to do.
    pub hints: Arc<IndexHints>,
}

impl SearchService {
    /// A handle whose keys are derived from the secret of tokens; none if that cannot be a key.
    pub fn new(secret: &[u8], hints: Arc<IndexHints>) -> Option<Self> {
        Some(Self {
            cursors: SearchCursors::new(secret)?,
            gate: SearchGate::default(),
            hints,
        })
    }
}

//! Tokens, passwords and revocations.

pub mod passwords;
pub mod revocations;
pub mod tokens;
pub mod used_generations;

//! The database instance: migrations, epoch, settings, clock.

pub mod instance;

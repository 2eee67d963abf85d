//! Why a node does not run.

use crate::engine::error::Error;
use crate::node::handles::OpenError;
use std::net::SocketAddr;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address of this variable is taken, or not of this machine.
    #[error("cannot listen on {0}, {1}: {2}")]
    Bind(&'static str, SocketAddr, std::io::Error),
    /// A listener, a thread, a signal.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The settings, PostgreSQL or its database are not usable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something does not end, most likely PostgreSQL.
    #[error(
        "the drain time has passed and not everything has ended: what PostgreSQL has not answered may or may not be stored"
    )]
    Unfinished,
    /// The inbox has no partition for new entries.
    #[error("cannot make the inbox's partitions: {0:?}")]
    Partitions(Error),
}

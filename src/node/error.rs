//! The errors of the start and the stop of a node.

use crate::engine::error::Error;
use crate::node::handles::OpenError;
use std::net::SocketAddr;

/// Why a node did not start or did not stop in time.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address of this variable is in use, or not of this machine.
    #[error("cannot listen on {0}, {1}: {2}")]
    Bind(&'static str, SocketAddr, std::io::Error),
    /// A listener, a thread or a signal handler failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The handles could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The drain did not finish, most likely because PostgreSQL does not answer.
    #[error(
        "the drain time has passed and not everything has ended: what PostgreSQL has not answered may or may not be stored"
    )]
    Unfinished,
    /// The inbox has no partition for new entries.
    #[error("cannot create the inbox's partitions: {0:?}")]
    Partitions(Error),
}

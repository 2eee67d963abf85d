//! The inspection of uploaded media: what they are, whether they are whole, and what is shown of them.
//!
//! Nothing here is decoded in the process of the node. A decoder cannot be cancelled there, an allocation that fails ends the
//! process, and a defect of a decoder would have the node's secrets in its reach. [`decoder`] starts a child process for each
//! upload, and [`decode`] is what the child does.

pub mod avatars;
pub mod decode;
pub mod decoder;
pub mod links;
pub mod part_budget;
pub mod protocol;
pub mod reader;
pub mod scan;
mod sniff;
pub mod sources;
mod strip;
pub mod turns;
mod variants;

use crate::config::media::MediaConfig;
use crate::engine::media::decoder::Decoder;
use crate::engine::media::links::LinkKeys;
use crate::engine::media::part_budget::PartBudget;
use crate::engine::media::turns::Turns;
use crate::model::ids::Epoch;
use crate::storage::objects::Objects;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The handle for media.
pub struct MediaService {
    /// The settings.
    pub config: MediaConfig,
    /// The store.
    pub objects: Objects,
    /// The decoder of pictures.
    pub decoder: Decoder,
    /// The keys of links.
    pub links: LinkKeys,
    /// The memory for parts of uploads.
    pub parts: PartBudget,
    /// The runs of the processing.
    pub runs: Turns,
    /// Notified when a run has ended.
    pub ended: Notify,
    /// No upload may begin: the store is nearly full.
    pub is_full: AtomicBool,
    /// The bytes that all users have reserved: those of the last look, and those of this node since.
    pub total: AtomicI64,
    /// Where the processing runs: it outlives the request that starts it.
    pub runtime: Handle,
}

impl MediaService {
    /// For this store, on the current Tokio runtime. None if the secret cannot be a key.
    pub fn new(
        config: MediaConfig,
        objects: Objects,
        decoder: PathBuf,
        secret: &[u8],
        epoch: Epoch,
    ) -> Option<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Some(Self {
            decoder: Decoder::new(decoder, (cores / 2).max(1)),
            links: LinkKeys::new(secret, epoch)?,
            parts: PartBudget::default(),
            runs: Turns::default(),
            ended: Notify::new(),
            is_full: AtomicBool::new(objects.has_less_than(config.least_free)),
            total: AtomicI64::new(0),
            runtime: Handle::current(),
            config,
            objects,
        })
    }
}

//! The handle for conversations, messages and synchronization: writers, PostgreSQL, Redis, waits, and caches.

use crate::config::Config;
use crate::engine::media::MediaService;
use crate::engine::reading::inbox_pages::Pages;
use crate::engine::reading::unread_counts::Recounts;
use crate::engine::search::SearchService;
use crate::engine::waiting::delivered::DeliveredPositions;
use crate::engine::waiting::head_query::Heads;
use crate::engine::waiting::registry::WaitRegistry;
use crate::engine::waiting::total_cache::UnreadTotalCache;
use crate::engine::writer::Writers;
use crate::model::ids::Epoch;
use crate::storage::pg::Pg;
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::notices::Notices;
use crate::telemetry::Metrics;
use std::sync::Arc;
use tokio::sync::Notify;

/// The handle for conversations, messages and synchronization.
pub struct Delivery {
    /// The settings.
    pub config: Arc<Config>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The epoch of the database.
    pub epoch: Epoch,
    /// PostgreSQL.
    pub pg: Pg,
    /// Redis.
    pub redis: Arc<Redis>,
    /// The batching writers.
    pub writers: Writers,
    /// Media, if there is a store.
    pub media: Option<Arc<MediaService>>,
    /// Search, if this node searches.
    pub search: Option<Arc<SearchService>>,
    /// The waits of this node.
    pub waiters: Arc<WaitRegistry>,
    /// Queries inbox heads.
    pub heads: Heads,
    /// How far devices have their inboxes.
    pub delivered: DeliveredPositions,
    /// Caches unread totals for waits.
    pub totals: UnreadTotalCache,
    /// Counts unread messages in PostgreSQL.
    pub recounts: Recounts,
    /// Reads pages of inboxes.
    pub pages: Pages,
    /// The subscriptions to the signals of other nodes.
    pub notices: Notices,
    /// Signals were lost: every wait has to read its head again.
    pub notices_lost: Arc<Notify>,
}

//! A message ends the typing of its sender.

use crate::engine::delivery::Delivery;
use crate::model::ids::{ConversationId, UserId};
use crate::storage::redis::sync::notices::publish_typing;
use std::sync::Arc;

/// Publishes that the sender of a message no longer types, if this node has published that they do. The request does not wait for
/// Redis.
pub fn end_with_message(delivery: &Delivery, user: UserId, id: ConversationId) {
    if delivery.waiters.typing.is_over(user, id) {
        delivery.metrics.typing_published.inc();
        let (redis, epoch) = (Arc::clone(&delivery.redis), delivery.epoch);
        tokio::spawn(async move { publish_typing(&redis, epoch, (id, user, false)).await });
    }
}

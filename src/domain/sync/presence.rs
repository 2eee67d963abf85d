//! Keeps the copies of all nodes' devices: publishes those of this node, reads those of others, and concludes which nodes are gone.

use crate::domain::people::presence;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::engine::presence::mine::DeviceFacts;
use crate::engine::waiting::registry::Wake;
use crate::model::ids::UserId;
use crate::model::people::presence::{Beat, NodeId, PersonFacts};
use crate::model::wire::user::{Availability, Platform};
use crate::storage::pg::identity::online::{self, OnlineDevice};
use crate::storage::pg::people::presence as rows;
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::presence as shared;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::time::Instant;

/// Devices or people of one statement.
const BATCH: usize = 10_000;

/// How much later the version of an upload is: a node that has missed one sees a hole.
const UPLOAD_STEP: u64 = 2;

/// What this node has stored in Redis.
#[derive(Default)]
pub struct Published {
    version: u64,
    /// The devices in Redis are those that were published.
    is_stored: bool,
    called_at: Option<Instant>,
}

/// Publishes what has changed since the last tick, and learns what others have published.
pub async fn tick(delivery: &Delivery, auth: &Auth, published: &mut Published) {
    read_nodes(delivery).await;
    read_people(delivery).await;
    let people = &delivery.waiters.presence;
    let now = auth.tokens.clock.now();
    let replica = &people.replica;
    let changes = people.mine.take_changes(now, &people.timings, replica);
    people.replica.apply_own(&changes);
    let notices = changes.iter().take_while(|(key, _)| key.is_notice());
    let (notices, of_devices) = changes.split_at(notices.count());
    let metrics = &delivery.metrics;
    metrics
        .presence_published
        .inc_by(u64::try_from(of_devices.len()).unwrap_or_default());
    let (epoch, node, expiry) = (delivery.epoch, people.node, people.timings.expiry);
    // Without changes a call shows that none is missing, and that Redis still has all.
    let is_due = published
        .called_at
        .is_none_or(|at| at.elapsed() >= people.timings.beat);
    let mut calls: Vec<_> = changes.chunks(shared::MAX_CHANGES).collect();
    if calls.is_empty() && is_due {
        calls.push(&[]);
    }
    for call in calls {
        if !published.is_stored {
            break;
        }
        published.called_at = Some(Instant::now());
        let version = published.version;
        let called = shared::publish(&delivery.redis, epoch, node, version, call, expiry).await;
        match called {
            Ok(Some(version)) => published.version = version,
            // Redis has lost the devices, or the answer to an earlier call was lost.
            Ok(None) | Err(_) => published.is_stored = false,
        }
    }
    if !published.is_stored {
        // An upload has no notices.
        people
            .mine
            .announce(notices.iter().map(|(key, _)| key.user));
        published.version += UPLOAD_STEP;
        let devices = people.replica.own();
        let version = published.version;
        let uploaded = shared::upload(&delivery.redis, epoch, node, version, &devices, expiry);
        published.is_stored = uploaded.await.is_ok();
        published.called_at = Some(Instant::now());
    }
}

/// Wakes the waits that have something to show, unless PostgreSQL is busy: they stay for the timeout.
pub async fn wake(delivery: &Delivery) {
    let online = &delivery.waiters.presence;
    let moved = online.replica.take_moved();
    online.subscribers.moved(&moved, &online.timings);
    let due = online.subscribers.take_due().into_iter();
    let found = due.map(async |wait| {
        let changes = presence::changes(delivery, wait.user, &wait.cursor).await;
        changes.map(|_| (wait.user, wait.id))
    });
    let woken = join_all(found).await.into_iter().flatten();
    delivery.waiters.wake_waits(woken, Wake::Presence);
}

/// Reads the nodes whose devices are not known whole.
async fn read_nodes(delivery: &Delivery) {
    let people = &delivery.waiters.presence;
    let replica = &people.replica;
    for node in replica.unread() {
        let channel = [Channel::Node(node)];
        if delivery.notices.subscribe(&channel).await.is_err() {
            return;
        }
        let Ok(found) = shared::read(&delivery.redis, delivery.epoch, node).await else {
            return;
        };
        if let Some(found) = found {
            let versions = (found.from, found.through);
            replica.finish_read(node, versions, &found.devices, &people.timings);
        }
    }
}

/// Reads the rows of new people, and of people that have changed.
async fn read_people(delivery: &Delivery) {
    let people = &delivery.waiters.presence;
    let unread = people.mine.take_unread(&people.timings);
    for asked in unread.chunks(BATCH) {
        let devices = asked.to_vec();
        let read = move |conn: &mut _| online::devices(conn, &devices);
        match delivery.pg.read("presence_devices", read).await {
            Ok(found) => people
                .mine
                .store(asked, found.into_iter().map(facts).collect()),
            // `Pg` has logged the error.
            Err(_) => people.mine.keep_unread(asked),
        }
    }
}

fn facts(row: OnlineDevice) -> DeviceFacts {
    let mut platforms = Platform::ALL.into_iter();
    let mut availabilities = Availability::ALL.into_iter();
    let availability = availabilities.find(|one| one.as_str() == row.availability);
    let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    DeviceFacts {
        user: row.user_id,
        device: row.device_id,
        platform: platforms
            .find(|one| one.as_str() == row.platform)
            .unwrap_or_default(),
        facts: PersonFacts {
            rev: number(row.rev),
            audience_rev: row.audience_rev.cast_unsigned(),
            availability: availability.unwrap_or_default(),
            as_of: number(row.as_of),
        },
        // Seconds are cut off.
        until: row.until.map(|until| until.0.timestamp() + 1),
    }
}

/// The beats of this node, and what it has concluded from those of the others.
#[derive(Default)]
pub struct Heartbeat {
    beats: u64,
    /// Nodes that are gone.
    nodes: Vec<(NodeId, Beat)>,
    /// Their people who are online nowhere else, and until when they were.
    users: HashMap<UserId, i64>,
}

/// Counts a beat, and concludes from those of the others which of them are gone. `now` is the time by the database's clock.
pub async fn beat(delivery: &Delivery, now: i64, heartbeat: &mut Heartbeat) {
    let people = &delivery.waiters.presence;
    let (epoch, node, timings) = (delivery.epoch, people.node, &people.timings);
    heartbeat.beats += 1;
    let (count, gone) = (heartbeat.beats, &heartbeat.nodes);
    let own = (node, Beat { count, at: now });
    let beats = shared::beat(&delivery.redis, epoch, own, gone, timings.expiry).await;
    let Ok(beats) = beats else {
        people.replica.beat_unanswered(timings);
        return;
    };
    heartbeat.nodes.clear();
    let gone = people.replica.beat_answered(node, &beats, now, timings);
    let channels: Vec<_> = gone
        .nodes
        .iter()
        .map(|(node, _)| Channel::Node(*node))
        .collect();
    delivery.notices.unsubscribe(&channels).await;
    if people.replica.is_first(node, timings) {
        heartbeat.users.extend(gone.users);
    }
    heartbeat.nodes.extend(gone.nodes);
}

/// Stores when people were last seen: those who have left, who stay for long, or whose node is gone.
pub async fn store_last_seen(delivery: &Delivery, now: i64, heartbeat: &mut Heartbeat) {
    let people = &delivery.waiters.presence;
    people.mine.keep_seen(heartbeat.users.drain());
    let seen = people.mine.take_seen(now, &people.timings, &people.replica);
    let seen: Vec<_> = seen.into_iter().collect();
    for chunk in seen.chunks(BATCH) {
        let (users, times): (Vec<_>, Vec<_>) = chunk.iter().copied().unzip();
        let store = move |conn: &mut _| rows::store_last_seen(conn, &users, &times);
        if delivery.pg.read("last_seen", store).await.is_err() {
            people.mine.keep_seen(chunk.iter().copied());
        }
    }
}

//! The devices of each node, as a hash with a version, and the beats of all nodes. A node changes its own hash only, and publishes each
//! change on its channel.

use crate::model::ids::Epoch;
use crate::model::people::presence::{Beat, DeviceChange, DeviceKey, DevicePresence, NodeId};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::devices::{
    FIELD, field, parse_field, parse_value, payload, value,
};
use crate::storage::redis::transport::server::RedisUnavailable;
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

static TELL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("present_tell.lua")));
static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));

/// The most changes of one call, which blocks Redis for about 0.4 ms.
pub const MAX_CHANGES: usize = 200;

/// Devices of one command of an upload, and about those of one page of a scan.
const CHUNK: usize = 1_000;

/// The field of the version.
const VERSION: &str = "v";

/// The hash tag keeps all keys of a node in one slot.
fn key(epoch: Epoch, node: NodeId) -> String {
    format!("tl:{epoch}:present:{{{}}}", node.0)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Publishes at most [`MAX_CHANGES`] changes of this node, of which Redis has `version`. Returns the new version; none if Redis has another
/// one.
pub async fn publish(
    redis: &Redis,
    epoch: Epoch,
    node: NodeId,
    version: u64,
    changes: &[DeviceChange],
    expiry: Duration,
) -> Result<Option<u64>, RedisUnavailable> {
    let key = key(epoch, node);
    let set = changes
        .iter()
        .filter_map(|(key, one)| Some((*key, (*one)?)));
    let mut call = TELL.key(&key);
    call.arg(Channel::Node(node).name(epoch))
        .arg(version)
        .arg(milliseconds(expiry))
        .arg(payload(changes))
        .arg(set.clone().count());
    for (key, one) in set {
        call.arg(&field(key)[..]).arg(&value(one)[..]);
    }
    for (key, _) in changes.iter().filter(|(_, one)| one.is_none()) {
        call.arg(&field(*key)[..]);
    }
    redis
        .run(&key, async |mut connection| {
            call.invoke_async(&mut connection).await
        })
        .await
}

/// Stores all devices of this node, as this version. The version is written last: without it the hash is not read.
pub async fn upload(
    redis: &Redis,
    epoch: Epoch,
    node: NodeId,
    version: u64,
    devices: &[(DeviceKey, DevicePresence)],
    expiry: Duration,
) -> Result<(), RedisUnavailable> {
    let key = key(epoch, node);
    let run = async |pipe: redis::Pipeline| {
        redis
            .run(&key, async |mut connection: MultiplexedConnection| {
                pipe.exec_async(&mut connection).await
            })
            .await
    };
    let mut pipe = redis::pipe();
    pipe.cmd("DEL").arg(&key).ignore();
    run(pipe).await?;
    for chunk in devices.chunks(CHUNK) {
        let mut pipe = redis::pipe();
        let command = pipe.cmd("HSET").arg(&key);
        for (key, one) in chunk {
            command.arg(&field(*key)[..]).arg(&value(*one)[..]);
        }
        run(pipe).await?;
    }
    let mut pipe = redis::pipe();
    pipe.cmd("HSET")
        .arg(&key)
        .arg(VERSION)
        .arg(version)
        .ignore();
    pipe.cmd("PEXPIRE")
        .arg(&key)
        .arg(milliseconds(expiry))
        .ignore();
    let message = format!("{version}:");
    let channel = Channel::Node(node).name(epoch);
    pipe.cmd("SPUBLISH").arg(channel).arg(message).ignore();
    run(pipe).await
}

/// A node as it was read.
#[derive(Debug, Default)]
pub struct NodeDevices {
    /// The version at the begin of the reading.
    pub from: u64,
    /// The version at its end.
    pub through: u64,
    /// The devices of a version between these. Changes between them may be missing.
    pub devices: HashMap<DeviceKey, DevicePresence>,
}

/// All devices of a node; none if the node is storing them now.
pub async fn read(
    redis: &Redis,
    epoch: Epoch,
    node: NodeId,
) -> Result<Option<NodeDevices>, RedisUnavailable> {
    let key = key(epoch, node);
    let version = async || {
        let get = redis.run(&key, async |mut connection| {
            let mut get = redis::cmd("HGET");
            let get = get.arg(&key).arg(VERSION);
            get.query_async::<Option<u64>>(&mut connection).await
        });
        get.await
    };
    let Some(from) = version().await? else {
        return Ok(None);
    };
    let mut devices = HashMap::new();
    let mut cursor = 0_u64;
    loop {
        let page = redis.run(&key, async |mut connection| {
            let mut scan = redis::cmd("HSCAN");
            let scan = scan.arg(&key).arg(cursor).arg("COUNT").arg(CHUNK);
            scan.query_async::<(u64, Vec<(Vec<u8>, Vec<u8>)>)>(&mut connection)
                .await
        });
        let (next, page) = page.await?;
        let parsed = page.iter().filter_map(|(field, value)| {
            let is_device = field.len() == FIELD;
            let key = parse_field(field).filter(|_| is_device)?;
            Some((key, parse_value(value)?))
        });
        devices.extend(parsed);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let through = version().await?;
    Ok(through.map(|through| NodeDevices {
        from,
        through,
        devices,
    }))
}

/// The beats of all nodes.
pub type Beats = HashMap<NodeId, Beat>;

/// Stores a beat of this node, and returns those of all nodes. Nodes that are gone are removed.
pub async fn beat(
    redis: &Redis,
    epoch: Epoch,
    (node, own): (NodeId, Beat),
    gone: &[(NodeId, Beat)],
    expiry: Duration,
) -> Result<Beats, RedisUnavailable> {
    let key = format!("tl:{epoch}:beats:{{nodes}}");
    let mut call = BEAT.key(&key);
    call.arg(node.0.to_string());
    let text = |beat: Beat| format!("{}:{}", beat.count, beat.at);
    call.arg(text(own)).arg(milliseconds(expiry));
    for (node, beat) in gone {
        call.arg(node.0.to_string()).arg(text(*beat));
    }
    let beats: HashMap<String, String> = redis
        .run(&key, async |mut connection| {
            call.invoke_async(&mut connection).await
        })
        .await?;
    let parsed = beats.into_iter().filter_map(|(node, beat)| {
        let (count, at) = beat.split_once(':')?;
        let (count, at) = (count.parse().ok()?, at.parse().ok()?);
        Some((NodeId(Uuid::try_parse(&node).ok()?), Beat { count, at }))
    });
    Ok(parsed.collect())
}

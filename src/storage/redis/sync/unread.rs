//! A user's unread counts in Redis: one hash, which only two scripts change (`unread_apply.lua` has the rules).

use crate::model::ids::{ConversationId, Epoch, InboxSeq, UserId};
use crate::model::unread::CommittedEntry;
use crate::model::wire::unread::{ConversationUnread, Unread};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::transport::server::RedisUnavailable;
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Instant;
use uuid::Uuid;

static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_apply.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_merge.lua")));

/// Counts expire a week after their rebuild, so that absent users need no memory. A miss costs only a rebuild.
const EXPIRY_MS: u64 = 7 * 86_400_000;

/// The most entries of one call of the script, which blocks Redis for 1 to 2 ms.
const MAX_ENTRIES: usize = 250;

/// About how many keys one SCAN reads, which blocks Redis for a fraction of a millisecond.
const SCAN_COUNT: usize = 100;

/// The count in an entry of a large conversation, which the hash does not count.
const NOT_COUNTED: i64 = -1;

/// The unread total as of a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The watermark: all entries up to it are counted.
    pub as_of: InboxSeq,
    /// The sum of the counts.
    pub total: i64,
}

/// The hash tag keeps all keys of a user in one slot.
fn key(epoch: Epoch, user: UserId) -> String {
    format!("tl:{epoch}:unread:{{{user}}}")
}

/// The result of applying entries.
#[derive(Debug, Default)]
pub struct Applied {
    /// The total of each receiver whose counts are known.
    pub totals: HashMap<UserId, Total>,
    /// How many entries Redis did not receive.
    pub lost: usize,
}

/// Entries of one receiver.
struct Part<'a> {
    user: UserId,
    key: String,
    entries: &'a [&'a CommittedEntry],
}

/// One call of the script: parts of one slot.
type Call<'a> = Vec<Part<'a>>;

/// The result of a call: the watermark and the total of each receiver, if known.
type Returned = Vec<Option<(i64, i64)>>;

/// The calls for these parts, as few as possible. The parts of each slot keep their order.
fn calls<'a>(redis: &Redis, parts: impl Iterator<Item = Part<'a>>) -> Vec<Call<'a>> {
    let mut slots: HashMap<u16, Vec<Call>> = HashMap::new();
    for part in parts {
        let calls = slots.entry(redis.slot(&part.key)).or_default();
        let has = |call: &Call| call.iter().map(|part| part.entries.len()).sum::<usize>();
        match calls.last_mut() {
            Some(call) if has(call) + part.entries.len() <= MAX_ENTRIES => call.push(part),
            _ => calls.push(vec![part]),
        }
    }
    slots.into_values().flatten().collect()
}

/// Applies entries: many receivers in one call of the script, and all calls to one server in one pipeline.
pub async fn apply(redis: &Redis, epoch: Epoch, entries: &[CommittedEntry]) -> Applied {
    let mut groups: HashMap<UserId, Vec<&CommittedEntry>> = HashMap::new();
    for entry in entries {
        groups.entry(entry.receiver).or_default().push(entry);
    }
    let parts = groups.iter().flat_map(|(user, group)| {
        group.chunks(MAX_ENTRIES).map(|entries| Part {
            user: *user,
            key: key(epoch, *user),
            entries,
        })
    });
    let calls = calls(redis, parts);
    let pipeline = |calls: &[&Call], load: bool| {
        let mut pipe = redis::pipe();
        if load {
            let source = include_str!("unread_apply.lua");
            pipe.cmd("SCRIPT").arg("LOAD").arg(source).ignore();
        }
        for call in calls {
            let command = pipe.cmd("EVALSHA").arg(APPLY.get_hash()).arg(call.len());
            for part in *call {
                command.arg(&part.key);
            }
            for part in *call {
                command
                    .arg(Channel::Inbox(part.user).name(epoch))
                    .arg(part.entries.len());
                for entry in part.entries {
                    command
                        .arg(entry.seq.0)
                        .arg(entry.conversation.0.to_string())
                        .arg(entry.unread.unwrap_or(NOT_COUNTED));
                }
            }
        }
        pipe
    };
    let run = async |mut connection: MultiplexedConnection, calls: Vec<&Call>| {
        match pipeline(&calls, false).query_async(&mut connection).await {
            // Redis lost the script: a restart, or SCRIPT FLUSH. Applying entries twice changes nothing.
            Err(error) if error.kind() == redis::ServerErrorKind::NoScript.into() => {
                pipeline(&calls, true).query_async(&mut connection).await
            }
            result => result,
        }
    };
    let (mut applied, mut unknown) = (Applied::default(), HashSet::new());
    let results = redis.scatter(
        &redis.servers,
        calls.iter().collect(),
        |call| call.first().map_or("", |part| &part.key),
        run,
    );
    for (calls, results) in results.await {
        let results: Result<Vec<Returned>, _> = results;
        let parts = calls.into_iter().flatten();
        let Ok(results) = results else {
            applied.lost += parts.map(|part| part.entries.len()).sum::<usize>();
            continue;
        };
        // The last part of a user has the total as of the newest entry.
        for (part, result) in parts.zip(results.into_iter().flatten()) {
            if let Some((mark, total)) = result {
                let as_of = InboxSeq(mark);
                applied.totals.insert(part.user, Total { as_of, total });
            } else {
                unknown.insert(part.user);
            }
        }
    }
    // An entry of a large conversation makes only the total of its own part unknown, not that of a later part.
    applied.totals.retain(|user, _| !unknown.contains(user));
    applied
}

/// The total, if known.
pub async fn total(
    redis: &Redis,
    epoch: Epoch,
    user: UserId,
) -> Result<Option<Total>, RedisUnavailable> {
    let key = key(epoch, user);
    let (mark, total): (Option<i64>, Option<i64>) = redis
        .run(&key, async |mut connection| {
            redis::cmd("HMGET")
                .arg(&key)
                .arg(&["mark", "total"])
                .query_async(&mut connection)
                .await
        })
        .await?;
    Ok(mark.zip(total).map(|(mark, total)| Total {
        as_of: InboxSeq(mark),
        total,
    }))
}

/// All counts, if known.
pub async fn all(
    redis: &Redis,
    epoch: Epoch,
    user: UserId,
) -> Result<Option<Unread>, RedisUnavailable> {
    let key = key(epoch, user);
    let fields: HashMap<String, String> = redis
        .run(&key, async |mut connection| {
            redis::cmd("HGETALL")
                .arg(&key)
                .query_async(&mut connection)
                .await
        })
        .await?;
    let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
    let (Some(mark), Some(total)) = (number("mark"), number("total")) else {
        return Ok(None);
    };
    let mut conversations: Vec<_> = fields
        .iter()
        .filter_map(|(field, value)| {
            let conversation_id = ConversationId(Uuid::try_parse(field).ok()?);
            let unread = value.split_once(':')?.0.parse().ok()?;
            (unread > 0).then_some(ConversationUnread {
                mentions: None,
                conversation_id,
                unread,
            })
        })
        .collect();
    conversations.sort_unstable_by_key(|one| one.conversation_id);
    Ok(Some(Unread {
        total_mentions: None,
        total,
        conversations,
        as_of_seq: InboxSeq(mark),
    }))
}

/// The position of a walk over all users whose counts are in Redis, from master to master. It begins and ends at the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    master: usize,
    cursor: u64,
}

/// One step of a walk: some users, and the position of the next step. A walk may return a user twice, and may miss users when
/// masters change meanwhile.
pub async fn users(
    redis: &Redis,
    epoch: Epoch,
    at: Walk,
) -> Result<(Walk, Vec<UserId>), RedisUnavailable> {
    let masters = redis.masters().await?;
    let Some(master) = masters.get(at.master) else {
        return Ok((Walk::default(), Vec::new()));
    };
    let began = Instant::now();
    let scan = async |mut connection| {
        redis::cmd("SCAN")
            .arg(at.cursor)
            .arg("MATCH")
            .arg(format!("tl:{epoch}:unread:*"))
            .arg("COUNT")
            .arg(SCAN_COUNT)
            .query_async::<(u64, Vec<String>)>(&mut connection)
            .await
    };
    let scanned = master.run(scan).await;
    if scanned.is_err() {
        redis.refresh_topology(began, None).await;
    }
    let (cursor, keys) = scanned?;
    let user = |key: &String| {
        let (_, user) = key.trim_end_matches('}').rsplit_once('{')?;
        Some(UserId(Uuid::try_parse(user).ok()?))
    };
    let next = match (cursor, at.master + 1) {
        (0, next) if next == masters.len() => Walk::default(),
        (0, master) => Walk { master, cursor },
        (_, _) => Walk { cursor, ..at },
    };
    Ok((next, keys.iter().filter_map(user).collect()))
}

/// Merges counts from PostgreSQL into the hash.
pub async fn merge(
    redis: &Redis,
    epoch: Epoch,
    user: UserId,
    counts: &Unread,
) -> Result<(), RedisUnavailable> {
    let key = key(epoch, user);
    let mut call = MERGE.key(&key);
    call.arg(EXPIRY_MS).arg(counts.as_of_seq.0);
    for one in &counts.conversations {
        call.arg(one.conversation_id.0.to_string()).arg(one.unread);
    }
    redis
        .run(&key, async |mut connection| {
            call.invoke_async::<()>(&mut connection).await
        })
        .await
}

/// Deletes the counts: they belong to another epoch, or are wrong.
pub async fn forget(redis: &Redis, epoch: Epoch, user: UserId) -> Result<(), RedisUnavailable> {
    let key = key(epoch, user);
    redis
        .run(&key, async |mut connection| {
            redis::cmd("DEL")
                .arg(&key)
                .query_async::<()>(&mut connection)
                .await
        })
        .await
}

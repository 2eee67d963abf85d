//! A user's unread counts: one hash, changed by two scripts only (`unread_apply.lua` tells the rules).

use crate::model::ids::{ConversationId, Epoch, InboxSeq, UserId};
use crate::model::unread::{CommittedEntry, ConversationUnread, Unread};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::notices::Channel;
use crate::storage::redis::transport::server::RedisUnavailable;
use redis::Script;
use redis::aio::MultiplexedConnection;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Instant;
use uuid::Uuid;

static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_apply.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_merge.lua")));

/// A week after a rebuild counts are forgotten: a miss is only a rebuild, and a user who is away for long costs nothing.
const EXPIRY_MS: u64 = 7 * 86_400_000;

/// Entries of one call of the script: one or two milliseconds, in which Redis does nothing else.
const MAX_ENTRIES: usize = 250;

/// About how many keys one step of a walk looks at: a fraction of a millisecond, in which Redis does nothing else.
const SCAN_COUNT: usize = 100;

/// What stands for a count in an entry of a large conversation, which the hash does not count.
const NOT_COUNTED: i64 = -1;

/// The total as of a position: every entry up to it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The watermark.
    pub as_of: InboxSeq,
    /// The sum of the counts.
    pub total: i64,
}

/// The braces keep everything of a user in one slot of a cluster.
fn key(epoch: Epoch, user: UserId) -> String {
    format!("tl:{epoch}:unread:{{{user}}}")
}

/// What came of applying entries.
#[derive(Debug, Default)]
pub struct Applied {
    /// The total of each receiver whose counts are known.
    pub totals: HashMap<UserId, Total>,
    /// How many entries Redis was not told of.
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

/// What it returns: the mark and the total of each receiver, where they are known.
type Returned = Vec<Option<(i64, i64)>>;

/// As few calls as may be, with the parts of each slot in their order.
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

/// Applies entries: those of many receivers in one call of the script, and all of which one server has the counts in one
/// pipeline.
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
            // Redis forgot the script: a restart, or SCRIPT FLUSH. Entries applied twice change nothing.
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
        // Of several parts of one user the last one has the total as of the newest entry.
        for (part, result) in parts.zip(results.into_iter().flatten()) {
            if let Some((mark, total)) = result {
                let as_of = InboxSeq(mark);
                applied.totals.insert(part.user, Total { as_of, total });
            } else {
                unknown.insert(part.user);
            }
        }
    }
    // What is large in one part is missing in the total of a later one.
    applied.totals.retain(|user, _| !unknown.contains(user));
    applied
}

/// The total, if it is known.
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

/// All counts, if they are known.
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
                conversation_id,
                unread,
            })
        })
        .collect();
    conversations.sort_unstable_by_key(|one| one.conversation_id);
    Ok(Some(Unread {
        total,
        conversations,
        as_of_seq: InboxSeq(mark),
    }))
}

/// How far a walk over all users whose counts are known has come: from master to master. It begins and ends at the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    master: usize,
    cursor: u64,
}

/// One step of a walk: some of the users, and where the next step begins. A walk may come by the same user twice, and when
/// masters change under way, miss some.
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

/// Merges counts computed from PostgreSQL.
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

/// Forgets the counts: they belong to another life of the database, or are wrong.
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

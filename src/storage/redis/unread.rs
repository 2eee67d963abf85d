//! A user's unread counts: one hash, changed by two scripts only (`unread_apply.lua` tells the rules).

use crate::model::ids::{ConversationId, Epoch, InboxSeq, UserId};
use crate::model::unread::{Announcement, ConversationUnread, Unread};
use crate::storage::redis::notices::channel;
use crate::storage::redis::{Redis, RedisUnavailable};
use redis::Script;
use std::collections::HashMap;
use std::sync::LazyLock;
use uuid::Uuid;

static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_apply.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unread_merge.lua")));

/// A week after a rebuild counts are forgotten: a miss is only a rebuild, and a user who is away for long costs nothing.
const EXPIRY_MS: u64 = 7 * 86_400_000;

/// Entries of one call of the script, which cannot unpack more than some thousand values.
const ENTRIES: usize = 1_000;

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

/// Applies entries, those of one receiver in one script. Returns the total of each receiver whose counts are known.
pub async fn apply(
    redis: &Redis,
    epoch: Epoch,
    entries: &[Announcement],
) -> Result<HashMap<UserId, Total>, RedisUnavailable> {
    let mut groups: HashMap<UserId, Vec<&Announcement>> = HashMap::new();
    for entry in entries {
        groups.entry(entry.receiver).or_default().push(entry);
    }
    let calls: Vec<(UserId, &[&Announcement])> = groups
        .iter()
        .flat_map(|(user, group)| group.chunks(ENTRIES).map(|chunk| (*user, chunk)))
        .collect();
    let pipeline = |load: bool| {
        let mut pipe = redis::pipe();
        if load {
            let source = include_str!("unread_apply.lua");
            pipe.cmd("SCRIPT").arg("LOAD").arg(source).ignore();
        }
        for (user, chunk) in &calls {
            let command = pipe.cmd("EVALSHA").arg(APPLY.get_hash()).arg(1);
            command.arg(key(epoch, *user)).arg(channel(epoch, *user));
            for entry in *chunk {
                command
                    .arg(entry.seq.0)
                    .arg(entry.conversation.0.to_string())
                    .arg(entry.unread);
            }
        }
        pipe
    };
    let results: Vec<Option<(i64, i64)>> = redis
        .run(async |mut manager| {
            match pipeline(false).query_async(&mut manager).await {
                // Redis forgot the script: a restart, or SCRIPT FLUSH. Entries applied twice change nothing.
                Err(error) if error.kind() == redis::ServerErrorKind::NoScript.into() => {
                    pipeline(true).query_async(&mut manager).await
                }
                result => result,
            }
        })
        .await?;
    // Of several calls for one user the last one has the total as of the newest entry.
    Ok(calls
        .into_iter()
        .zip(results)
        .filter_map(|((user, _), result)| {
            let (mark, total) = result?;
            let as_of = InboxSeq(mark);
            Some((user, Total { as_of, total }))
        })
        .collect())
}

/// The total, if it is known.
pub async fn total(
    redis: &Redis,
    epoch: Epoch,
    user: UserId,
) -> Result<Option<Total>, RedisUnavailable> {
    let (mark, total): (Option<i64>, Option<i64>) = redis
        .run(async |mut manager| {
            redis::cmd("HMGET")
                .arg(key(epoch, user))
                .arg(&["mark", "total"])
                .query_async(&mut manager)
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
    let fields: HashMap<String, String> = redis
        .run(async |mut manager| {
            redis::cmd("HGETALL")
                .arg(key(epoch, user))
                .query_async(&mut manager)
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

/// Merges counts computed from PostgreSQL.
pub async fn merge(
    redis: &Redis,
    epoch: Epoch,
    user: UserId,
    counts: &Unread,
) -> Result<(), RedisUnavailable> {
    let mut call = MERGE.key(key(epoch, user));
    call.arg(EXPIRY_MS).arg(counts.as_of_seq.0);
    for one in &counts.conversations {
        call.arg(one.conversation_id.0.to_string()).arg(one.unread);
    }
    redis
        .run(async |mut manager| call.invoke_async::<()>(&mut manager).await)
        .await
}

/// Forgets the counts: they belong to another life of the database.
pub async fn forget(redis: &Redis, epoch: Epoch, user: UserId) -> Result<(), RedisUnavailable> {
    redis
        .run(async |mut manager| {
            redis::cmd("DEL")
                .arg(key(epoch, user))
                .query_async::<()>(&mut manager)
                .await
        })
        .await
}

//! Which messages name which users, and which messages are replies.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::PageSize;
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Timestamps, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Timestamptz, Uuid as SqlUuid};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A user that a message names, or no longer names.
#[derive(Clone, Copy, Debug)]
pub struct NamedUser {
    /// When the message named the user.
    pub at: Timestamp,
    /// The user is no longer named.
    pub is_gone: bool,
}

/// The changes of a batch.
#[derive(Default)]
pub struct MentionChanges {
    /// The users that messages name, or no longer name.
    pub named: BTreeMap<(MessageKey, UserId), NamedUser>,
    /// Messages that name everyone.
    pub all: Vec<MessageKey>,
    /// Messages that named everyone and are recalled.
    pub recalled_all: Vec<MessageKey>,
    /// Replies, each with the first message of its chain.
    pub replies: Vec<(MessageKey, ConvSeq)>,
}

impl MentionChanges {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.all.is_empty() && self.replies.is_empty()
    }
}

/// Writes the changes of a batch.
pub fn write(conn: &mut PgConnection, changes: &MentionChanges) -> StorageResult<()> {
    fn column<I: Iterator, T>(rows: I, of: impl FnMut(I::Item) -> T) -> Vec<T> {
        rows.map(of).collect()
    }
    if !changes.is_empty() {
        let named = || changes.named.iter();
        let users = || column(named(), |((_, user), _)| *user);
        let conversations = || column(named(), |(((id, _), _), _)| *id);
        let seqs = || column(named(), |(((_, seq), _), _)| *seq);
        sql(include_str!("mention_changes.sql"))
            .bind::<Uuids, _>(users())
            .bind::<Uuids, _>(conversations())
            .bind::<BigInts, _>(seqs())
            .bind::<Timestamps, _>(column(named(), |(_, one)| one.at))
            .bind::<Array<Bool>, _>(column(named(), |(_, one)| one.is_gone))
            .bind::<Uuids, _>(conversations())
            .bind::<BigInts, _>(seqs())
            .bind::<Uuids, _>(users())
            .bind::<Uuids, _>(column(changes.all.iter(), |key| key.0))
            .bind::<BigInts, _>(column(changes.all.iter(), |key| key.1))
            .bind::<Uuids, _>(column(changes.replies.iter(), |(key, _)| key.0))
            .bind::<BigInts, _>(column(changes.replies.iter(), |(_, root)| *root))
            .bind::<BigInts, _>(column(changes.replies.iter(), |(key, _)| key.1))
            .execute(conn)?;
    }
    for (conversation, seq) in &changes.recalled_all {
        sql("DELETE FROM mentions_all WHERE conversation_id = $1 AND seq = $2")
            .bind::<SqlUuid, _>(conversation)
            .bind::<BigInt, _>(seq)
            .execute(conn)?;
    }
    Ok(())
}

/// The users that these messages have ever named.
pub fn named(
    conn: &mut PgConnection,
    keys: &[MessageKey],
) -> StorageResult<HashMap<MessageKey, BTreeSet<UserId>>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<(ConversationId, ConvSeq, UserId)> = sql(
        "SELECT k.conversation_id, k.seq, n.user_id FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT user_id FROM message_mentions WHERE conversation_id = k.conversation_id AND seq = k.seq ORDER BY user_id
         ) AS n",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .columns::<(SqlUuid, BigInt, SqlUuid)>()
    .load(conn)?;
    let mut named: HashMap<MessageKey, BTreeSet<UserId>> = HashMap::new();
    for (conversation, seq, user) in rows {
        named.entry((conversation, seq)).or_default().insert(user);
    }
    Ok(named)
}

/// A conversation of which the unread mentions of a user are counted: the messages after a seq.
#[derive(Clone, Copy, Debug)]
pub struct UnreadRange {
    /// The conversation.
    pub conversation: ConversationId,
    /// Read up to here.
    pub after: ConvSeq,
}

/// The messages in these ranges that name a user, or everyone; with whether they do it by name.
pub fn unread(
    conn: &mut PgConnection,
    user: UserId,
    ranges: &[UnreadRange],
) -> StorageResult<BTreeMap<MessageKey, bool>> {
    let conversations: Vec<_> = ranges.iter().map(|one| one.conversation).collect();
    let after: Vec<_> = ranges.iter().map(|one| one.after).collect();
    let by_name: Vec<(ConversationId, ConvSeq)> = sql(
        "SELECT k.conversation_id, n.seq FROM unnest($1, $2) AS k(conversation_id, after) CROSS JOIN LATERAL (
             SELECT seq FROM mentions
             WHERE user_id = $3 AND conversation_id = k.conversation_id AND seq > k.after AND NOT gone ORDER BY seq
         ) AS n",
    )
    .bind::<Uuids, _>(&conversations)
    .bind::<BigInts, _>(&after)
    .bind::<SqlUuid, _>(user)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?;
    let with_all: Vec<(ConversationId, ConvSeq)> = sql(
        "SELECT k.conversation_id, n.seq FROM unnest($1, $2) AS k(conversation_id, after) CROSS JOIN LATERAL (
             SELECT seq FROM mentions_all WHERE conversation_id = k.conversation_id AND seq > k.after ORDER BY seq
         ) AS n",
    )
    .bind::<Uuids, _>(&conversations)
    .bind::<BigInts, _>(&after)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?;
    let with_all = with_all.into_iter().map(|key| (key, false));
    Ok(with_all
        .chain(by_name.into_iter().map(|key| (key, true)))
        .collect())
}

/// The senders of these messages, without those messages that have expired.
pub fn senders(
    conn: &mut PgConnection,
    keys: &[MessageKey],
) -> StorageResult<Vec<(MessageKey, UserId)>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<(ConversationId, ConvSeq, UserId)> = sql(
        "SELECT k.conversation_id, k.seq, m.sender_id FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT sender_id, kind FROM messages_now
             WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
         ) AS m WHERE m.kind <> 'expired'",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .columns::<(SqlUuid, BigInt, SqlUuid)>()
    .load(conn)?;
    let build = |(conversation, seq, sender)| ((conversation, seq), sender);
    Ok(rows.into_iter().map(build).collect())
}

/// A message that names a user.
#[derive(Clone, Copy, Debug)]
pub struct MentionRow {
    /// The message.
    pub key: MessageKey,
    /// When it named the user.
    pub at: Timestamp,
}

/// The newest messages that name a user, before one of them.
pub fn newest(
    conn: &mut PgConnection,
    user: UserId,
    before: Option<MentionRow>,
    limit: PageSize,
) -> StorageResult<Vec<MentionRow>> {
    let rows: Vec<(ConversationId, ConvSeq, Timestamp)> =
        sql("SELECT conversation_id, seq, at FROM mentions
         WHERE user_id = $1 AND NOT gone AND (at, conversation_id, seq) <
             (COALESCE($2, 'infinity'), COALESCE($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), $4)
         ORDER BY at DESC, conversation_id DESC, seq DESC LIMIT $5")
        .bind::<SqlUuid, _>(user)
        .bind::<Nullable<Timestamptz>, _>(before.map(|one| one.at))
        .bind::<Nullable<SqlUuid>, _>(before.map(|one| one.key.0))
        .bind::<BigInt, _>(before.map_or(ConvSeq(i64::MAX), |one| one.key.1))
        .bind::<BigInt, _>(limit.get())
        .columns::<(SqlUuid, BigInt, Timestamptz)>()
        .load(conn)?;
    let build = |(conversation, seq, at)| MentionRow {
        key: (conversation, seq),
        at,
    };
    Ok(rows.into_iter().map(build).collect())
}

/// Those of these conversations in which unread messages may name a user, with the read position.
pub fn ranges(
    conn: &mut PgConnection,
    user: UserId,
    conversations: &[ConversationId],
) -> StorageResult<Vec<UnreadRange>> {
    let rows: Vec<(ConversationId, ConvSeq)> = sql(
        "SELECT m.conversation_id, GREATEST(m.read_seq, c.floor_seq) AS read_seq FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
             SELECT conversation_id, read_seq, mentioned_seq FROM members
             WHERE conversation_id = w.id AND user_id = $2 LIMIT 1
         ) AS m CROSS JOIN LATERAL (
             SELECT all_seq, floor_seq FROM conversations WHERE id = m.conversation_id LIMIT 1
         ) AS c WHERE GREATEST(m.mentioned_seq, c.all_seq) > GREATEST(m.read_seq, c.floor_seq)",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<SqlUuid, _>(user)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?;
    let build = |(conversation, after)| UnreadRange {
        conversation,
        after,
    };
    Ok(rows.into_iter().map(build).collect())
}

/// Deletes a user's list of mentions, at most `limit` of them. Returns how many.
pub fn erase_some(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(sql(
        "DELETE FROM mentions WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM mentions WHERE user_id = $2 ORDER BY at LIMIT $3))",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .execute(conn)?)
}

//! The states of messages that have changed since they were stored, and their old versions.

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::wire::message::{Message, MessageVersion};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::messaging::archive::MessageRow;
use crate::storage::pg::messaging::content::stored_content;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Integers, Texts, Timestamps, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The key of a message: its conversation and its seq.
pub type MessageKey = (ConversationId, ConvSeq);

/// The changes of a batch to stored messages, under the locks of their conversations.
#[derive(Default)]
pub struct StateChanges {
    /// The new state of each changed message. A version beyond the first stands in its body.
    pub states: BTreeMap<MessageKey, Message>,
    /// Versions that are no longer the present one.
    pub versions: BTreeMap<(MessageKey, i32), OldVersion>,
    /// Messages to erase: the content and all versions.
    pub erased: Vec<MessageKey>,
}

impl StateChanges {
    /// Erases a message, which is left with this state.
    pub fn erase(&mut self, key: MessageKey, stub: Message) {
        self.versions.retain(|(of, _), _| *of != key);
        self.states.insert(key, stub);
        self.erased.push(key);
    }
}

/// A version between the first and the present one.
pub struct OldVersion {
    /// The content as JSON.
    pub content: String,
    /// When it was stored.
    pub at: Timestamp,
}

/// Writes changes of messages.
pub fn write(conn: &mut PgConnection, changes: &StateChanges) -> StorageResult<()> {
    let states = || changes.states.values();
    let state = || states().map(|message| message.state.as_deref());
    let keys = || changes.versions.keys();
    let versions = || changes.versions.values();
    let version = |message: &Message| message.state.as_ref()?.version;
    let (gone, gone_seqs): (Vec<_>, Vec<_>) = changes.erased.iter().copied().unzip();
    let erased: i64 = sql(include_str!("state_changes.sql"))
        .bind::<Uuids, _>(states().map(|one| one.conversation_id).collect::<Vec<_>>())
        .bind::<BigInts, _>(states().map(|one| one.seq).collect::<Vec<_>>())
        .bind::<BigInts, _>(
            state()
                .map(|one| one.map(|state| state.change_seq).unwrap_or_default())
                .collect::<Vec<_>>(),
        )
        .bind::<Integers, _>(
            states()
                .map(|one| version(one).unwrap_or(1))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            states()
                .map(|one| version(one).map(|_| one.body.content.get()))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Timestamptz>>, _>(
            state()
                .map(|one| one.and_then(|state| state.edited_at))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Timestamptz>>, _>(
            state()
                .map(|one| one.and_then(|state| Some(state.recalled?.at)))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<SqlUuid>>, _>(
            state()
                .map(|one| one.and_then(|state| Some(state.recalled?.by)))
                .collect::<Vec<_>>(),
        )
        .bind::<Uuids, _>(keys().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind::<BigInts, _>(keys().map(|(key, _)| key.1).collect::<Vec<_>>())
        .bind::<Integers, _>(keys().map(|(_, version)| *version).collect::<Vec<_>>())
        .bind::<Texts, _>(
            versions()
                .map(|one| one.content.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Timestamps, _>(versions().map(|one| one.at).collect::<Vec<_>>())
        .bind::<Uuids, _>(&gone)
        .bind::<BigInts, _>(&gone_seqs)
        .bind::<Uuids, _>(&gone)
        .bind::<BigInts, _>(&gone_seqs)
        .scalar::<BigInt>()
        .get_result(conn)?;
    if usize::try_from(erased) != Ok(gone.len()) {
        return Err(StorageError::Bug(format!(
            "{erased} of {} messages were erased",
            gone.len()
        )));
    }
    Ok(())
}

/// The most recalled messages after a position that are read.
const RUN: i64 = 100;

/// The recalled messages among the 100 after each of these positions.
pub fn recalled_after(
    conn: &mut PgConnection,
    positions: &[MessageKey],
) -> StorageResult<Vec<MessageKey>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = positions.iter().copied().unzip();
    Ok(sql(
        "SELECT k.conversation_id, r.seq FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT seq FROM message_states
             WHERE conversation_id = k.conversation_id AND seq > k.seq AND seq <= k.seq + $3 AND recalled_at IS NOT NULL
             ORDER BY seq
         ) AS r",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .bind::<BigInt, _>(RUN)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?)
}

/// The messages of a conversation above `joined` that changed after a number, in the order of their changes, cut at about
/// [`PAGE_BYTES`].
pub fn changed_since(
    conn: &mut PgConnection,
    conversation: ConversationId,
    joined: ConvSeq,
    since: ChangeSeq,
    limit: PageSize,
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = sql("SELECT * FROM (
             SELECT m.*, s.change_seq, sum(m.length) OVER (ORDER BY s.change_seq) - m.length AS before FROM (
                 SELECT conversation_id, seq, change_seq FROM message_states
                 WHERE conversation_id = $1 AND change_seq > $2 AND seq > $3 ORDER BY change_seq LIMIT $4
             ) AS s CROSS JOIN LATERAL (
                 SELECT * FROM messages_now
                 WHERE conversation_id = s.conversation_id AND seq BETWEEN s.seq AND s.seq ORDER BY seq LIMIT 1
             ) AS m
         ) AS sized WHERE before < $5 ORDER BY change_seq")
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(since)
    .bind::<BigInt, _>(joined)
    .bind::<BigInt, _>(limit.get())
    .bind::<BigInt, _>(PAGE_BYTES)
    .load(conn)?;
    rows.into_iter().map(MessageRow::build).collect()
}

/// All versions of a message, oldest first; none after a recall.
pub fn versions(
    conn: &mut PgConnection,
    (conversation, seq): MessageKey,
) -> StorageResult<Vec<MessageVersion>> {
    let rows: Vec<(i32, String, Timestamp)> = sql(include_str!("state_versions.sql"))
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(seq)
        .columns::<(Integer, Text, Timestamptz)>()
        .load(conn)?;
    let build = |(version, content, at)| {
        Ok(MessageVersion {
            version,
            content: stored_content(content)?,
            at,
        })
    };
    rows.into_iter().map(build).collect()
}

/// A message as a former member has seen it.
pub struct SeenVersion {
    /// The message.
    pub key: MessageKey,
    /// The version.
    pub version: i32,
    /// The content.
    pub content: Box<RawValue>,
    /// When a version after the first was stored.
    pub edited_at: Option<Timestamp>,
}

/// The last version of each of these messages that was stored before this user left its conversation. Recalled messages are left out.
pub fn before_leaving(
    conn: &mut PgConnection,
    user: UserId,
    keys: &[MessageKey],
) -> StorageResult<Vec<SeenVersion>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<(ConversationId, ConvSeq, i32, String, Option<Timestamp>)> =
        sql(include_str!("state_before_leaving.sql"))
            .bind::<Uuids, _>(conversations)
            .bind::<BigInts, _>(seqs)
            .bind::<SqlUuid, _>(user)
            .columns::<(SqlUuid, BigInt, Integer, Text, Nullable<Timestamptz>)>()
            .load(conn)?;
    let build = |(conversation, seq, version, content, edited_at)| {
        Ok(SeenVersion {
            key: (conversation, seq),
            version,
            content: stored_content(content)?,
            edited_at,
        })
    };
    rows.into_iter().map(build).collect()
}

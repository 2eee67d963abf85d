//! The states of messages that have changed since they were stored, and their old versions.

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::wire::message::{Message, MessageState, MessageVersion};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::messaging::archive::{MessageKey, MessageRow};
use crate::storage::pg::messaging::content::{stored_content, stored_reactions};
use crate::storage::pg::messaging::pins;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Integers, Texts, Timestamps, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// The changes of a batch to stored messages, under the locks of their conversations.
#[derive(Default)]
pub struct StateChanges {
    /// The new state of each changed message. A version beyond the first stands in its body.
    pub states: BTreeMap<MessageKey, Message>,
    /// Versions that are no longer the present one.
    pub versions: BTreeMap<(MessageKey, i32), OldVersion>,
    /// Reactions that were added or removed.
    pub reactions: BTreeMap<ReactionKey, ReactionChange>,
    /// Messages that were pinned, each by the change with this number, or are no longer pinned.
    pub pins: BTreeMap<MessageKey, Option<ChangeSeq>>,
    /// Messages to erase: the content, all versions and all reactions.
    pub erased: Vec<MessageKey>,
    /// Messages whose contents change, also to nothing: what the index of the search has of them is old.
    pub rewritten: BTreeSet<MessageKey>,
}

impl StateChanges {
    /// Erases a message.
    pub fn erase(&mut self, key: MessageKey) {
        self.versions.retain(|(of, _), _| *of != key);
        self.reactions.retain(|of, _| of.message != key);
        self.erased.push(key);
        self.rewritten.insert(key);
    }

    /// Notes a change of a reaction, which may have changed in this batch already.
    pub fn react(&mut self, key: ReactionKey, change: ReactionChange) {
        let noted = self.reactions.entry(key).or_insert(change);
        noted.stored_at = change.stored_at;
    }
}

/// A reaction that was added or removed.
#[derive(Clone, Copy, Debug)]
pub struct ReactionChange {
    /// It was stored before the batch.
    pub was_stored: bool,
    /// When it was added; nothing when it is removed.
    pub stored_at: Option<Timestamp>,
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
    fn column<I: Iterator, T>(rows: I, of: impl FnMut(I::Item) -> T) -> Vec<T> {
        rows.map(of).collect()
    }
    let states = changes
        .states
        .values()
        .filter_map(|message| Some((message, message.state.as_deref()?)));
    let states: Vec<_> = states.collect();
    let rows = || states.iter().copied();
    let reactions = states
        .iter()
        .map(|(_, state)| stored_reactions(&state.reactions))
        .collect::<StorageResult<Vec<_>>>()?;
    let content = |(message, state): (&Message, &MessageState)| {
        state.version.map(|_| message.body.content.get().to_owned())
    };
    let versions = || changes.versions.iter();
    let added = || {
        let added = changes.reactions.iter().filter(|(_, one)| !one.was_stored);
        added.filter_map(|(key, one)| Some((key, one.stored_at?)))
    };
    sql(include_str!("state_changes.sql"))
        .bind::<Uuids, _>(column(versions(), |(((id, _), _), _)| *id))
        .bind::<BigInts, _>(column(versions(), |(((_, seq), _), _)| *seq))
        .bind::<Integers, _>(column(versions(), |((_, version), _)| *version))
        .bind::<Texts, _>(column(versions(), |(_, old)| old.content.as_str()))
        .bind::<Timestamps, _>(column(versions(), |(_, old)| old.at))
        .bind::<Uuids, _>(column(added(), |(key, _)| key.message.0))
        .bind::<BigInts, _>(column(added(), |(key, _)| key.message.1))
        .bind::<Texts, _>(column(added(), |(key, _)| key.emoji.as_str()))
        .bind::<Uuids, _>(column(added(), |(key, _)| key.user))
        .bind::<Timestamps, _>(column(added(), |(_, at)| at))
        .bind::<Uuids, _>(column(changes.erased.iter(), |key| key.0))
        .bind::<BigInts, _>(column(changes.erased.iter(), |key| key.1))
        .bind::<Uuids, _>(column(rows(), |(message, _)| message.conversation_id))
        .bind::<BigInts, _>(column(rows(), |(message, _)| message.seq))
        .bind::<BigInts, _>(column(rows(), |(_, state)| {
            state.change_seq.unwrap_or_default()
        }))
        .bind::<Integers, _>(column(rows(), |(message, _)| message.version()))
        .bind::<Array<Nullable<Text>>, _>(column(rows(), content))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows(), |(_, state)| state.edited_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows(), |(_, state)| {
            Some(state.recalled?.at)
        }))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(rows(), |(_, state)| Some(state.recalled?.by)))
        .bind::<Array<Nullable<Text>>, _>(reactions)
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows(), |(_, state)| state.author_told_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows(), |(_, state)| {
            Some(state.pinned?.at)
        }))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(rows(), |(_, state)| Some(state.pinned?.by)))
        .execute(conn)?;
    pins::write(conn, &changes.pins)?;
    // A statement each: joined with a list, the planner would scan the tables (decision 0002).
    for (key, reaction) in &changes.reactions {
        if reaction.was_stored && reaction.stored_at.is_none() {
            withdraw(conn, key)?;
        }
    }
    for key in &changes.erased {
        erase(conn, changes.states.get(key))?;
    }
    Ok(())
}

/// Deletes a reaction.
fn withdraw(conn: &mut PgConnection, key: &ReactionKey) -> StorageResult<()> {
    sql("DELETE FROM reactions WHERE conversation_id = $1 AND seq = $2 AND emoji = $3 AND user_id = $4")
        .bind::<SqlUuid, _>(key.message.0)
        .bind::<BigInt, _>(key.message.1)
        .bind::<Text, _>(&key.emoji)
        .bind::<SqlUuid, _>(key.user)
        .execute(conn)?;
    Ok(())
}

/// Erases the content and the versions of a message.
fn erase(conn: &mut PgConnection, message: Option<&Message>) -> StorageResult<()> {
    let Some(message) = message else {
        return Err(StorageError::Bug(
            "an erased message without a state".to_owned(),
        ));
    };
    sql("DELETE FROM message_versions WHERE conversation_id = $1 AND seq = $2")
        .bind::<SqlUuid, _>(message.conversation_id)
        .bind::<BigInt, _>(message.seq)
        .execute(conn)?;
    // Both unique keys, so that either index finds one row.
    let erased = sql(
        "UPDATE messages SET content = NULL, length = NULL, extra = NULL
         WHERE conversation_id = $1 AND seq = $2 AND sender_id = $3 AND client_msg_id = $4",
    )
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<BigInt, _>(message.seq)
    .bind::<SqlUuid, _>(message.sender_id)
    .bind::<SqlUuid, _>(message.client_msg_id)
    .execute(conn)?;
    match erased {
        1 => Ok(()),
        other => Err(StorageError::Bug(format!("{other} messages were erased"))),
    }
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

/// A reader and a message.
pub type SeenKey = (UserId, ConversationId, ConvSeq);

/// A message as a former member has seen it.
pub struct SeenVersion {
    /// The reader and the message.
    pub key: SeenKey,
    /// The version.
    pub version: i32,
    /// The content.
    pub content: Box<RawValue>,
    /// When a version after the first was stored.
    pub edited_at: Option<Timestamp>,
}

/// The last version of each of these messages that was stored before this reader left its conversation. Recalled messages are left out.
pub fn before_leaving(
    conn: &mut PgConnection,
    keys: &[SeenKey],
) -> StorageResult<Vec<SeenVersion>> {
    let rows: Vec<(SeenKey, i32, String, Option<Timestamp>)> =
        sql(include_str!("state_before_leaving.sql"))
            .bind::<Uuids, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
            .bind::<Uuids, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
            .bind::<BigInts, _>(keys.iter().map(|key| key.2).collect::<Vec<_>>())
            .columns::<(
                (SqlUuid, SqlUuid, BigInt),
                Integer,
                Text,
                Nullable<Timestamptz>,
            )>()
            .load(conn)?;
    let build = |(key, version, content, edited_at)| {
        Ok(SeenVersion {
            key,
            version,
            content: stored_content(content)?,
            edited_at,
        })
    };
    rows.into_iter().map(build).collect()
}

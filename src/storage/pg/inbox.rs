//! The inboxes: their heads, which hand out seqs under their locks, and their entries.

use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, InboxSeq, MessageId, UserId};
use crate::model::inbox::EntryKind;
use crate::model::message::{Message, StoredBody};
use crate::model::page::{Limit, PAGE_BYTES};
use crate::model::time::Timestamp;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::conversations::raw_json;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Texts, Timestamps, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// A timeline right after it was advanced under its lock.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Advanced {
    /// Whose timeline.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// The new head.
    #[diesel(sql_type = BigInt)]
    pub last_seq: InboxSeq,
    /// The time for the new entries: never below that of the entries before.
    #[diesel(sql_type = Timestamptz)]
    pub last_at: Timestamp,
}

/// Locks timelines in ascending order of their users and advances each by so many entries; missing ones are made, so
/// membership must have been checked before. The locks hold to the commit: per timeline, commits happen in the order of
/// the seqs, and no reader ever sees an entry appear below one it has seen.
fn advance(
    conn: &mut PgConnection,
    counts: &HashMap<UserId, i64>,
    at: Timestamp,
) -> StorageResult<HashMap<UserId, Advanced>> {
    let (users, counts): (Vec<_>, Vec<_>) = counts.iter().map(|(u, n)| (*u, *n)).unzip();
    let rows: Vec<Advanced> = sql("INSERT INTO timelines (user_id, last_seq, last_at)
         SELECT u, n, $1 FROM unnest($2, $3) AS s(u, n) ORDER BY u
         ON CONFLICT (user_id) DO UPDATE SET last_seq = timelines.last_seq + excluded.last_seq,
                                             last_at = GREATEST(timelines.last_at, excluded.last_at)
         RETURNING user_id, last_seq, last_at")
    .bind::<Timestamptz, _>(at)
    .bind::<Uuids, _>(users)
    .bind::<BigInts, _>(counts)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.user_id, row)).collect())
}

/// An entry to deliver.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry {
    /// Whose inbox.
    pub receiver: UserId,
    /// What kind.
    pub kind: EntryKind,
    /// The conversation that it concerns.
    pub conversation: ConversationId,
    /// What it refers to, by kind.
    pub ref_seq: ConvSeq,
    /// The conversation's count for the receiver as of this entry.
    pub unread: i64,
}

/// Delivers entries to inboxes, in this order per receiver, and returns the seq of each.
pub fn deliver(
    conn: &mut PgConnection,
    entries: &[NewEntry],
    at: Timestamp,
) -> StorageResult<Vec<InboxSeq>> {
    let mut counts: HashMap<UserId, i64> = HashMap::new();
    for entry in entries {
        *counts.entry(entry.receiver).or_default() += 1;
    }
    let advanced = advance(conn, &counts, at)?;
    let mut seqs = Vec::with_capacity(entries.len());
    let mut times = Vec::with_capacity(entries.len());
    for entry in entries {
        let (Some(left), Some(timeline)) = (
            counts.get_mut(&entry.receiver),
            advanced.get(&entry.receiver),
        ) else {
            return Err(StorageError::Bug("a timeline was not advanced".to_owned()));
        };
        *left -= 1;
        seqs.push(InboxSeq(timeline.last_seq.0 - *left));
        times.push(timeline.last_at);
    }
    let column = |of: fn(&NewEntry) -> uuid::Uuid| entries.iter().map(of).collect::<Vec<_>>();
    sql(
        "INSERT INTO inbox (receiver_id, seq, at, kind, conversation_id, ref_seq, unread)
         SELECT r, s, t, k, c, f, n FROM unnest($1, $2, $3, $4, $5, $6, $7) AS e(r, s, t, k, c, f, n)",
    )
    .bind::<Uuids, _>(column(|entry| entry.receiver.0))
    .bind::<BigInts, _>(&seqs)
    .bind::<Timestamps, _>(times)
    .bind::<Texts, _>(entries.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>())
    .bind::<Uuids, _>(column(|entry| entry.conversation.0))
    .bind::<BigInts, _>(entries.iter().map(|e| e.ref_seq).collect::<Vec<_>>())
    .bind::<BigInts, _>(entries.iter().map(|e| e.unread).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(seqs)
}

/// The heads of these users' inboxes; a user without one has had no entry yet.
pub fn heads(
    conn: &mut PgConnection,
    users: &[UserId],
) -> StorageResult<HashMap<UserId, InboxSeq>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
        #[diesel(sql_type = BigInt)]
        last_seq: InboxSeq,
    }
    let rows: Vec<Row> = sql("SELECT user_id, last_seq FROM timelines WHERE user_id = ANY($1)")
        .bind::<Uuids, _>(users)
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.last_seq))
        .collect())
}

/// An entry as stored, with the message that it refers to.
pub struct StoredEntry {
    /// Its seq.
    pub seq: InboxSeq,
    /// Its time.
    pub at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// The conversation that it concerns.
    pub conversation: ConversationId,
    /// What it refers to, by kind.
    pub ref_seq: ConvSeq,
    /// The count as of it.
    pub unread: i64,
    /// The message of a message entry.
    pub message: Option<Message>,
}

/// A page of an inbox, and the head of the same snapshot.
pub fn page(
    conn: &mut PgConnection,
    receiver: UserId,
    since: InboxSeq,
    limit: Limit,
) -> StorageResult<(InboxSeq, Vec<StoredEntry>)> {
    let rows: Vec<PageRow> = sql(include_str!("inbox_page.sql"))
        .bind::<SqlUuid, _>(receiver)
        .bind::<BigInt, _>(since)
        .bind::<BigInt, _>(limit.get())
        .bind::<SqlUuid, _>(receiver)
        .bind::<BigInt, _>(PAGE_BYTES)
        .load(conn)?;
    let head = rows.first().map_or(InboxSeq(0), |row| row.head);
    let entries: StorageResult<Vec<_>> = rows
        .into_iter()
        .filter_map(|row| row.build().transpose())
        .collect();
    Ok((head, entries?))
}

/// The oldest entry that is kept.
pub fn first_kept(conn: &mut PgConnection, receiver: UserId) -> StorageResult<Option<InboxSeq>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        seq: InboxSeq,
    }
    let row: Option<Row> = sql("SELECT seq FROM inbox WHERE receiver_id = $1 ORDER BY seq LIMIT 1")
        .bind::<SqlUuid, _>(receiver)
        .get_result(conn)
        .optional()?;
    Ok(row.map(|row| row.seq))
}

/// A row of `inbox_page.sql`.
#[derive(QueryableByName)]
struct PageRow {
    #[diesel(sql_type = BigInt)]
    head: InboxSeq,
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<InboxSeq>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    entry_kind: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversation_id: Option<ConversationId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    ref_seq: Option<ConvSeq>,
    #[diesel(sql_type = Nullable<BigInt>)]
    unread: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<MessageId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    sender_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    client_msg_id: Option<ClientMsgId>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    content: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<Timestamp>,
}

impl PageRow {
    /// The entry; nothing when the page is empty and the row only carries the head.
    fn build(self) -> StorageResult<Option<StoredEntry>> {
        let (
            Some(seq),
            Some(at),
            Some(entry_kind),
            Some(conversation),
            Some(ref_seq),
            Some(unread),
        ) = (
            self.seq,
            self.at,
            self.entry_kind,
            self.conversation_id,
            self.ref_seq,
            self.unread,
        )
        else {
            return Ok(None);
        };
        let message = match (
            self.id,
            self.sender_id,
            self.client_msg_id,
            self.kind,
            self.content,
            self.created_at,
        ) {
            (
                Some(id),
                Some(sender_id),
                Some(client_msg_id),
                Some(kind),
                Some(content),
                Some(created_at),
            ) => Some(Message {
                id,
                conversation_id: conversation,
                seq: ref_seq,
                sender_id,
                client_msg_id,
                body: StoredBody {
                    kind,
                    content: raw_json(content)?,
                },
                created_at,
            }),
            _ => None,
        };
        Ok(Some(StoredEntry {
            seq,
            at,
            kind: entry_kind,
            conversation,
            ref_seq,
            unread,
            message,
        }))
    }
}

//! Inboxes: their heads, which assign seqs under a lock, and their entries.

use crate::model::events;
use crate::model::events::find;
use crate::model::events::spec::{EventSpec, Reference};
use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, InboxSeq, MessageId, UserId};
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::unread::CommittedEntry;
use crate::model::wire::message::Message;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::messaging::archive::Changes;
use crate::storage::pg::messaging::content::{message_state, stored_body};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Bools, Texts, Tids, Timestamps, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable, QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// The seqs that were allocated to a timeline, up to its new head.
#[derive(Clone, Copy, Debug, Queryable)]
pub struct AllocatedSeqs {
    /// The user.
    pub user_id: UserId,
    /// The new head.
    pub last_seq: InboxSeq,
    /// The time of the new entries: not before that of earlier entries.
    pub last_at: Timestamp,
}

/// Locks timelines by ascending user id and advances each by its number of entries. Missing timelines are created, so
/// membership must have been checked before. The locks hold until the commit, so a timeline's commits are in the order of its
/// seqs: no reader sees an entry appear below one that it has seen.
fn allocate_inbox_seqs(
    conn: &mut PgConnection,
    counts: &HashMap<UserId, i64>,
    at: Timestamp,
) -> StorageResult<HashMap<UserId, AllocatedSeqs>> {
    let (users, counts): (Vec<_>, Vec<_>) = counts.iter().map(|(u, n)| (*u, *n)).unzip();
    let rows: Vec<AllocatedSeqs> = sql("INSERT INTO timelines (user_id, last_seq, last_at)
         SELECT u, n, $1 FROM unnest($2, $3) AS s(u, n) ORDER BY u
         ON CONFLICT (user_id) DO UPDATE SET last_seq = timelines.last_seq + excluded.last_seq,
                                             last_at = GREATEST(timelines.last_at, excluded.last_at)
         RETURNING user_id, last_seq, last_at")
    .bind::<Timestamptz, _>(at)
    .bind::<Uuids, _>(users)
    .bind::<BigInts, _>(counts)
    .columns::<(SqlUuid, BigInt, Timestamptz)>()
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.user_id, row)).collect())
}

/// Locks a user's timeline, and returns the time of an entry that is written now; none if the user is in no conversation. Data that
/// depends on the lock is read by a later statement.
pub fn lock_timeline(conn: &mut PgConnection, user: UserId) -> StorageResult<Option<Timestamp>> {
    Ok(sql(
        "SELECT GREATEST(clock_timestamp(), last_at) AS at FROM timelines WHERE user_id = $1 FOR NO KEY UPDATE",
    )
    .bind::<SqlUuid, _>(user)
    .scalar::<Timestamptz>()
    .get_result(conn)
    .optional()?)
}

/// An entry to deliver.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry {
    /// The user.
    pub receiver: UserId,
    /// The event.
    pub event: &'static EventSpec,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq that it refers to; its meaning depends on the event.
    pub ref_seq: ConvSeq,
    /// The receiver's unread count of the conversation as of this entry.
    pub unread: i64,
    /// The conversation has read fan-out.
    pub large: bool,
}

/// Writes entries to inboxes, in this order per receiver, and the changes of conversations. Returns the entries, for the
/// publisher after the commit.
pub fn deliver(
    conn: &mut PgConnection,
    changes: &Changes,
    entries: &[NewEntry],
    at: Timestamp,
) -> StorageResult<Vec<CommittedEntry>> {
    let mut counts: HashMap<UserId, i64> = HashMap::new();
    for entry in entries {
        *counts.entry(entry.receiver).or_default() += 1;
    }
    let advanced = match counts.is_empty() {
        true => HashMap::new(),
        false => allocate_inbox_seqs(conn, &counts, at)?,
    };
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
    let messages = &changes.messages;
    let heads: Vec<_> = changes.heads.values().collect();
    let positions: Vec<_> = changes.positions.values().collect();
    let written: (i64, i64) = sql(include_str!("inbox_deliver.sql"))
        .bind::<Uuids, _>(&messages.conversations)
        .bind::<BigInts, _>(&messages.seqs)
        .bind::<Uuids, _>(&messages.ids)
        .bind::<Uuids, _>(&messages.senders)
        .bind::<Uuids, _>(&messages.client_msg_ids)
        .bind::<Texts, _>(&messages.kinds)
        .bind::<Texts, _>(&messages.contents)
        .bind::<Array<Nullable<Text>>, _>(&messages.extras)
        .bind::<Timestamps, _>(&messages.at)
        .bind::<Tids, _>(changes.heads.keys().copied().collect::<Vec<_>>())
        .bind::<BigInts, _>(heads.iter().map(|head| head.last_seq).collect::<Vec<_>>())
        .bind::<BigInts, _>(heads.iter().map(|head| head.change_seq).collect::<Vec<_>>())
        .bind::<BigInts, _>(heads.iter().map(|head| head.all_seq).collect::<Vec<_>>())
        .bind::<Timestamps, _>(heads.iter().map(|head| head.updated_at).collect::<Vec<_>>())
        .bind::<Tids, _>(changes.positions.keys().copied().collect::<Vec<_>>())
        .bind::<BigInts, _>(positions.iter().map(|one| one.read_seq).collect::<Vec<_>>())
        .bind::<BigInts, _>(
            positions
                .iter()
                .map(|one| one.mentioned_seq)
                .collect::<Vec<_>>(),
        )
        .bind::<Bools, _>(
            positions
                .iter()
                .map(|one| one.marked_unread)
                .collect::<Vec<_>>(),
        )
        .bind::<BigInts, _>(
            positions
                .iter()
                .map(|one| one.cleared_seq)
                .collect::<Vec<_>>(),
        )
        .bind::<BigInts, _>(positions.iter().map(|one| one.sent_seq).collect::<Vec<_>>())
        .bind::<Uuids, _>(entries.iter().map(|e| e.receiver).collect::<Vec<_>>())
        .bind::<BigInts, _>(&seqs)
        .bind::<Timestamps, _>(times)
        .bind::<Texts, _>(entries.iter().map(|e| e.event.name).collect::<Vec<_>>())
        .bind::<Uuids, _>(entries.iter().map(|e| e.conversation).collect::<Vec<_>>())
        .bind::<BigInts, _>(entries.iter().map(|e| e.ref_seq).collect::<Vec<_>>())
        .bind::<BigInts, _>(entries.iter().map(|e| e.unread).collect::<Vec<_>>())
        .columns::<(BigInt, BigInt)>()
        .get_result(conn)?;
    // A stale row handle would silently leave a head or a position unchanged.
    let meant = (changes.heads.len() as i64, changes.positions.len() as i64);
    if written != meant {
        return Err(StorageError::Bug(format!(
            "{written:?} of {meant:?} conversations and members were at their places"
        )));
    }
    Ok(entries
        .iter()
        .zip(seqs)
        .map(|(entry, seq)| CommittedEntry {
            receiver: entry.receiver,
            seq,
            conversation: entry.conversation,
            unread: Some(entry.unread).filter(|_| !entry.large),
        })
        .collect())
}

/// The head of an inbox and, of the same snapshot, the unread count of large conversations, which have no message entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The head.
    pub seq: InboxSeq,
    /// The sum over the user's large conversations; none if there are none.
    pub large_unread: Option<i64>,
}

/// The heads of these users' inboxes. A user without an entry so far is left out.
pub fn heads(conn: &mut PgConnection, users: &[UserId]) -> StorageResult<HashMap<UserId, Head>> {
    let rows: Vec<(UserId, InboxSeq, Option<i64>)> = sql("SELECT t.user_id, t.last_seq, (
             SELECT sum(c.last_seq - GREATEST(m.read_seq, c.floor_seq))::bigint
             FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = t.user_id AND m.large
         ) AS large_unread
         FROM timelines t WHERE t.user_id = ANY($1)")
    .bind::<Uuids, _>(users)
    .columns::<(SqlUuid, BigInt, Nullable<BigInt>)>()
    .load(conn)?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(user, seq, large_unread)| (user, Head { seq, large_unread }))
        .collect())
}

/// A stored entry, with the message that it refers to.
pub struct StoredEntry {
    /// The seq.
    pub seq: InboxSeq,
    /// The time.
    pub at: Timestamp,
    /// The name of its event.
    pub event: String,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq that it refers to; its meaning depends on the event.
    pub ref_seq: ConvSeq,
    /// The receiver's unread count of the conversation as of this entry.
    pub unread: i64,
    /// The message, of an event that refers to one.
    pub message: Option<Message>,
}

impl StoredEntry {
    /// Whether its `ref_seq` means this.
    pub fn refers_to(&self, reference: Reference) -> bool {
        find(&self.event).is_some_and(|event| event.reference == reference)
    }

    /// Whether it has the id of a person in place of a conversation's.
    pub fn concerns_person(&self) -> bool {
        find(&self.event).is_some_and(|event| event.reference.is_about_person())
    }
}

/// About the greatest length of a contact or a request, with its user.
const PERSON_BYTES: i64 = 6 * 1024;

/// A request for a page of an inbox: the entries after a seq, up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct PageOf {
    /// The user.
    pub receiver: UserId,
    /// The seq before the page.
    pub since: InboxSeq,
    /// The most entries.
    pub limit: PageSize,
}

/// A page of an inbox.
pub struct StoredPage {
    /// The head of the same snapshot.
    pub head: InboxSeq,
    /// The user has hidden messages or cleared a history.
    pub hides: bool,
    /// The entries, in order.
    pub entries: Vec<StoredEntry>,
}

/// Pages of inboxes, in the order of the requests.
pub fn pages(conn: &mut PgConnection, asked: &[PageOf]) -> StorageResult<Vec<StoredPage>> {
    let rows: Vec<PageRow> = sql(include_str!("inbox_pages.sql"))
        .bind::<Uuids, _>(asked.iter().map(|one| one.receiver).collect::<Vec<_>>())
        .bind::<BigInts, _>(asked.iter().map(|one| one.since).collect::<Vec<_>>())
        .bind::<BigInts, _>(asked.iter().map(|one| one.limit.get()).collect::<Vec<_>>())
        .bind::<Texts, _>(events::names(Reference::Message))
        .bind::<BigInt, _>(PAGE_BYTES)
        .columns::<PageColumns>()
        .load(conn)?;
    let none = || StoredPage {
        head: InboxSeq(0),
        hides: false,
        entries: Vec::new(),
    };
    let mut pages: Vec<_> = asked.iter().map(|_| none()).collect();
    for row in rows {
        let place = usize::try_from(row.place - 1).ok();
        let page = place.and_then(|place| pages.get_mut(place));
        let page = page.ok_or_else(|| StorageError::Bug("a page without a request".to_owned()))?;
        page.head = row.head;
        page.hides = row.hides;
        page.entries.extend(row.build()?);
    }
    for (page, of) in pages.iter_mut().zip(asked) {
        // The check for holes needs the order, and SQL does not guarantee it without ORDER BY. Sorting costs less here.
        page.entries.sort_unstable_by_key(|entry| entry.seq);
        cut(conn, of.receiver, &mut page.entries)?;
    }
    Ok(pages)
}

/// Cuts a page, which the statement has cut by its messages alone, by all that it will carry, at about [`PAGE_BYTES`].
fn cut(
    conn: &mut PgConnection,
    receiver: UserId,
    entries: &mut Vec<StoredEntry>,
) -> StorageResult<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        seq: InboxSeq,
        #[diesel(sql_type = BigInt)]
        length: i64,
    }
    // One entry of each conversation carries its last message: the last one. It is counted at the first one, so that a page that
    // is cut in between is not longer.
    let mut with_message: HashMap<ConversationId, InboxSeq> = HashMap::new();
    let mut others = Vec::new();
    let mut has_people = false;
    for entry in &*entries {
        match find(&entry.event).map(|event| event.reference) {
            Some(Reference::Conversation) => {
                let first = with_message.entry(entry.conversation).or_insert(entry.seq);
                if *first == entry.seq {
                    others.push(entry);
                }
            }
            Some(Reference::MembersChange | Reference::Draft) => others.push(entry),
            Some(Reference::Contact | Reference::ContactRequest) => has_people = true,
            Some(
                Reference::Message
                | Reference::Position
                | Reference::Settings
                | Reference::ScheduledFailure,
            )
            | None => {}
        }
    }
    if others.is_empty() && !has_people {
        return Ok(());
    }
    let rows: Vec<Row> = sql(include_str!("inbox_lengths.sql"))
        .bind::<Texts, _>(events::names(Reference::Conversation))
        .bind::<Texts, _>(events::names(Reference::MembersChange))
        .bind::<Texts, _>(events::names(Reference::Draft))
        .bind::<SqlUuid, _>(receiver)
        .bind::<BigInts, _>(others.iter().map(|e| e.seq).collect::<Vec<_>>())
        .bind::<Texts, _>(others.iter().map(|e| e.event.as_str()).collect::<Vec<_>>())
        .bind::<Uuids, _>(others.iter().map(|e| e.conversation).collect::<Vec<_>>())
        .bind::<BigInts, _>(others.iter().map(|e| e.ref_seq).collect::<Vec<_>>())
        .load(conn)?;
    let lengths: HashMap<_, _> = rows.into_iter().map(|row| (row.seq, row.length)).collect();
    let mut before = 0_i64;
    entries.retain(|entry| {
        let is_kept = before < PAGE_BYTES;
        let length = match &entry.message {
            Some(message) => i64::try_from(message.body.content.get().len()).unwrap_or(i64::MAX),
            None if entry.concerns_person() => PERSON_BYTES,
            None => lengths.get(&entry.seq).copied().unwrap_or_default(),
        };
        before = before.saturating_add(length);
        is_kept
    });
    Ok(())
}

/// The oldest entry of an inbox that was not deleted.
pub fn first_kept(conn: &mut PgConnection, receiver: UserId) -> StorageResult<Option<InboxSeq>> {
    Ok(
        sql("SELECT seq FROM inbox WHERE receiver_id = $1 ORDER BY seq LIMIT 1")
            .bind::<SqlUuid, _>(receiver)
            .scalar::<BigInt>()
            .get_result(conn)
            .optional()?,
    )
}

/// Deletes entries older than `before` of the next `users` users. Returns the last of these users and the number of deleted
/// entries; none if there is no further user. Times ascend within an inbox, so only its beginning is deleted.
pub fn expire(
    conn: &mut PgConnection,
    after: Option<UserId>,
    users: i64,
    before: Timestamp,
) -> StorageResult<Option<(UserId, usize)>> {
    let users: Vec<UserId> = sql("SELECT user_id FROM timelines
         WHERE user_id > COALESCE($1, '00000000-0000-0000-0000-000000000000') ORDER BY user_id LIMIT $2")
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(users)
    .scalar::<SqlUuid>()
    .load(conn)?;
    let Some(last) = users.last().copied() else {
        return Ok(None);
    };
    let gone = sql("DELETE FROM inbox WHERE receiver_id = ANY($1) AND at < $2")
        .bind::<Uuids, _>(users)
        .bind::<Timestamptz, _>(before)
        .execute(conn)?;
    Ok(Some((last, gone)))
}

type PageColumns = (
    BigInt,
    BigInt,
    Bool,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<SqlUuid>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<SqlUuid>,
    Nullable<SqlUuid>,
    Nullable<SqlUuid>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Text>,
);

/// A row of `inbox_pages.sql`.
#[derive(Queryable)]
struct PageRow {
    place: i64,
    head: InboxSeq,
    hides: bool,
    seq: Option<InboxSeq>,
    at: Option<Timestamp>,
    entry_kind: Option<String>,
    conversation_id: Option<ConversationId>,
    ref_seq: Option<ConvSeq>,
    unread: Option<i64>,
    id: Option<MessageId>,
    sender_id: Option<UserId>,
    client_msg_id: Option<ClientMsgId>,
    kind: Option<String>,
    content: Option<String>,
    created_at: Option<Timestamp>,
    changes: Option<String>,
}

impl PageRow {
    /// The entry; none if the page is empty and the row has only the head.
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
                state: message_state(&kind, self.changes.as_deref())?,
                body: stored_body(kind, content)?,
                created_at,
            }),
            _ => None,
        };
        Ok(Some(StoredEntry {
            seq,
            at,
            event: entry_kind,
            conversation,
            ref_seq,
            unread,
            message,
        }))
    }
}

//! The archive: every message once, by conversation and seq.

use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::message::{Message, StoredBody};
use crate::model::page::{Limit, PAGE_BYTES, Range};
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::conversations::raw_json;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Binaries, Texts, Timestamps, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// A row of the archive.
#[derive(QueryableByName)]
pub struct MessageRow {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: ConversationId,
    #[diesel(sql_type = BigInt)]
    seq: ConvSeq,
    #[diesel(sql_type = SqlUuid)]
    id: MessageId,
    #[diesel(sql_type = SqlUuid)]
    sender_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    client_msg_id: ClientMsgId,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
}

impl MessageRow {
    fn build(self) -> StorageResult<Message> {
        Ok(Message {
            id: self.id,
            conversation_id: self.conversation_id,
            seq: self.seq,
            sender_id: self.sender_id,
            client_msg_id: self.client_msg_id,
            body: StoredBody {
                kind: self.kind,
                content: raw_json(self.content)?,
            },
            created_at: self.created_at,
        })
    }
}

/// A stored message that a send may be a repeat of, and the digest of its kind and content.
pub struct Stored {
    /// The message.
    pub message: Message,
    /// SHA-256 of kind and canonical content.
    pub digest: Vec<u8>,
}

#[derive(QueryableByName)]
struct StoredRow {
    #[diesel(embed)]
    message: MessageRow,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
}

/// The messages that were stored under these keys, each of one sender in one conversation.
pub fn find_replays(
    conn: &mut PgConnection,
    conversations: &[ConversationId],
    senders: &[UserId],
    client_msg_ids: &[ClientMsgId],
) -> StorageResult<Vec<Stored>> {
    let rows: Vec<StoredRow> = sql(
        "SELECT m.conversation_id, m.seq, m.id, m.sender_id, m.client_msg_id, m.kind, m.content::text AS content,
                m.created_at, m.digest
         FROM unnest($1, $2, $3) AS k(conversation_id, sender_id, client_msg_id)
         JOIN messages m ON m.conversation_id = k.conversation_id AND m.sender_id = k.sender_id
              AND m.client_msg_id = k.client_msg_id AND m.conversation_id = ANY($4)",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<Uuids, _>(senders)
    .bind::<Uuids, _>(client_msg_ids)
    .bind::<Uuids, _>(conversations)
    .load(conn)?;
    rows.into_iter()
        .map(|stored| {
            Ok(Stored {
                message: stored.message.build()?,
                digest: stored.digest,
            })
        })
        .collect()
}

/// Rows to append, by column.
#[derive(Default)]
pub struct NewRows {
    /// The conversations, which are locked.
    pub conversations: Vec<ConversationId>,
    /// Their next seqs.
    pub seqs: Vec<ConvSeq>,
    /// New ids.
    pub ids: Vec<MessageId>,
    /// Who sends.
    pub senders: Vec<UserId>,
    /// The senders' own ids.
    pub client_msg_ids: Vec<ClientMsgId>,
    /// Names of kinds.
    pub kinds: Vec<String>,
    /// Contents as JSON.
    pub contents: Vec<String>,
    /// Digests of kind and content.
    pub digests: Vec<Vec<u8>>,
    /// Times.
    pub at: Vec<Timestamp>,
}

/// Appends messages to the archive.
pub fn append(conn: &mut PgConnection, rows: &NewRows) -> StorageResult<()> {
    sql(
        "INSERT INTO messages (conversation_id, seq, id, sender_id, client_msg_id, kind, content, digest, created_at)
         SELECT c, s, i, u, m, k, j::json, d, t FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
             AS n(c, s, i, u, m, k, j, d, t)",
    )
    .bind::<Uuids, _>(&rows.conversations)
    .bind::<BigInts, _>(&rows.seqs)
    .bind::<Uuids, _>(&rows.ids)
    .bind::<Uuids, _>(&rows.senders)
    .bind::<Uuids, _>(&rows.client_msg_ids)
    .bind::<Texts, _>(&rows.kinds)
    .bind::<Texts, _>(&rows.contents)
    .bind::<Binaries, _>(&rows.digests)
    .bind::<Timestamps, _>(&rows.at)
    .execute(conn)?;
    Ok(())
}

/// A range of a conversation's messages above `joined`, ascending, cut at about [`PAGE_BYTES`].
pub fn page(
    conn: &mut PgConnection,
    conversation: ConversationId,
    joined: ConvSeq,
    range: Range<ConvSeq>,
    limit: Limit,
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = match range {
        Range::Since(since) => sql(
            "SELECT * FROM (
                 SELECT conversation_id, seq, id, sender_id, client_msg_id, kind, content::text AS content, created_at,
                        sum(octet_length(content::text)) OVER (ORDER BY seq) - octet_length(content::text) AS before
                 FROM (SELECT * FROM messages WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS page
             ) AS sized WHERE before < $4 ORDER BY seq",
        )
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(since.max(joined))
        .bind::<BigInt, _>(limit.get())
        .bind::<BigInt, _>(PAGE_BYTES)
        .load(conn)?,
        Range::Before(_) | Range::Newest => {
            let before = match range {
                Range::Before(before) => before,
                Range::Since(_) | Range::Newest => ConvSeq(i64::MAX),
            };
            sql(
                "SELECT * FROM (
                     SELECT conversation_id, seq, id, sender_id, client_msg_id, kind, content::text AS content, created_at,
                            sum(octet_length(content::text)) OVER (ORDER BY seq DESC) - octet_length(content::text)
                                AS before
                     FROM (SELECT * FROM messages WHERE conversation_id = $1 AND seq > $2 AND seq < $3
                           ORDER BY seq DESC LIMIT $4) AS page
                 ) AS sized WHERE before < $5 ORDER BY seq",
            )
            .bind::<SqlUuid, _>(conversation)
            .bind::<BigInt, _>(joined)
            .bind::<BigInt, _>(before)
            .bind::<BigInt, _>(limit.get())
            .bind::<BigInt, _>(PAGE_BYTES)
            .load(conn)?
        }
    };
    rows.into_iter().map(MessageRow::build).collect()
}

/// One message.
pub fn get(
    conn: &mut PgConnection,
    conversation: ConversationId,
    seq: ConvSeq,
) -> StorageResult<Option<Message>> {
    let row: Option<MessageRow> = sql(
        "SELECT conversation_id, seq, id, sender_id, client_msg_id, kind, content::text AS content, created_at
         FROM messages WHERE conversation_id = $1 AND seq = $2",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(seq)
    .get_result(conn)
    .optional()?;
    row.map(MessageRow::build).transpose()
}

//! What a search looks at: the conversations of its caller, the blocks that may have a match, and messages.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::{MessageKey, MessageRow};
use crate::storage::pg::search::blocks::BLOCK;
use crate::storage::pg::sql::{Sql, sql};
use crate::storage::pg::types::{BigInts, Timestamps, Uuids};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::HashMap;

/// A conversation that the caller searches.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The conversation.
    pub conversation: ConversationId,
    /// Only messages above this seq are visible and there.
    pub floor: ConvSeq,
    /// The seq of the newest message.
    pub last_seq: ConvSeq,
    /// All messages up to this seq are in the index.
    pub indexed: ConvSeq,
}

/// The conversations of a user, by id. If some are given: those of them that the user is in.
pub fn scopes(
    conn: &mut PgConnection,
    user: UserId,
    only: &[ConversationId],
) -> StorageResult<Vec<Scope>> {
    type Columns = (SqlUuid, BigInt, BigInt, BigInt);
    let rows: Vec<(ConversationId, ConvSeq, ConvSeq, ConvSeq)> = match only {
        [] => sql(include_str!("scopes.sql"))
            .bind::<BigInt, _>(BLOCK)
            .bind::<SqlUuid, _>(user)
            .columns::<Columns>()
            .load(conn)?,
        only => sql(include_str!("scopes_among.sql"))
            .bind::<BigInt, _>(BLOCK)
            .bind::<Uuids, _>(only)
            .bind::<SqlUuid, _>(user)
            .columns::<Columns>()
            .load(conn)?,
    };
    let build = |(conversation, floor, last_seq, indexed)| Scope {
        conversation,
        floor,
        last_seq,
        indexed,
    };
    Ok(rows.into_iter().map(build).collect())
}

/// A block that may have a match.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The number of the block.
    pub block: i64,
    /// The time of its newest message.
    pub newest_at: Timestamp,
}

/// Which blocks are looked for.
pub struct Blocks<'a> {
    /// A `tsquery`.
    pub query: &'a str,
    /// The conversations, by id.
    pub scopes: &'a [Scope],
    /// Blocks with a message at this time or later.
    pub from: Option<Timestamp>,
    /// Blocks whose newest message is older.
    pub before: Option<Timestamp>,
}

/// The newest of the blocks that may have a match.
pub fn newest(
    conn: &mut PgConnection,
    blocks: &Blocks<'_>,
    limit: i64,
) -> StorageResult<Vec<Candidate>> {
    let rows = with_lexemes(sql(include_str!("newest_candidates.sql")), blocks)
        .bind::<Nullable<Timestamptz>, _>(blocks.from)
        .bind::<Nullable<Timestamptz>, _>(blocks.before)
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, BigInt, Timestamptz)>()
        .load(conn)?;
    Ok(candidates(rows))
}

/// The blocks that may have a match and a message at `at`, or on both sides of it.
pub fn around(
    conn: &mut PgConnection,
    blocks: &Blocks<'_>,
    at: Timestamp,
) -> StorageResult<Vec<Candidate>> {
    let rows = with_lexemes(sql(include_str!("candidates_around.sql")), blocks)
        .bind::<Timestamptz, _>(at)
        .bind::<Timestamptz, _>(at)
        .columns::<(SqlUuid, BigInt, Timestamptz)>()
        .load(conn)?;
    Ok(candidates(rows))
}

/// A statement with what both have in common: the lexemes, the conversations and their floors.
fn with_lexemes<'a>(statement: Sql<'a>, blocks: &Blocks<'a>) -> Sql<'a> {
    statement
        .bind::<Text, _>(blocks.query)
        .bind::<Uuids, _>(ids(blocks.scopes))
        .bind::<Uuids, _>(ids(blocks.scopes))
        .bind::<BigInt, _>(BLOCK)
        .bind::<BigInts, _>(floors(blocks.scopes))
        .bind::<Uuids, _>(ids(blocks.scopes))
}

fn ids(scopes: &[Scope]) -> Vec<ConversationId> {
    scopes.iter().map(|scope| scope.conversation).collect()
}

fn floors(scopes: &[Scope]) -> Vec<ConvSeq> {
    scopes.iter().map(|scope| scope.floor).collect()
}

fn candidates(rows: Vec<(ConversationId, i64, Timestamp)>) -> Vec<Candidate> {
    let build = |(conversation, block, newest_at)| Candidate {
        conversation,
        block,
        newest_at,
    };
    rows.into_iter().map(build).collect()
}

/// When these messages were stored.
pub fn times(
    conn: &mut PgConnection,
    keys: &[MessageKey],
) -> StorageResult<HashMap<MessageKey, Timestamp>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<(MessageKey, Timestamp)> = sql(
        "SELECT m.* FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT conversation_id, seq, created_at FROM messages
             WHERE conversation_id = k.conversation_id AND seq BETWEEN k.seq AND k.seq ORDER BY seq LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .columns::<((SqlUuid, BigInt), Timestamptz)>()
    .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// A range of seqs, both ends included, of which only messages count that were stored until a time.
pub struct UntilRange {
    /// The conversation.
    pub conversation: ConversationId,
    /// The first seq.
    pub first: ConvSeq,
    /// The last seq.
    pub last: ConvSeq,
    /// The time.
    pub until: Timestamp,
}

/// The newest message of each range that has one: its key, and when it was stored.
pub fn newest_until(
    conn: &mut PgConnection,
    ranges: &[UntilRange],
) -> StorageResult<Vec<(MessageKey, Timestamp)>> {
    let rows = sql(
        "SELECT m.* FROM unnest($1, $2, $3, $4) AS r(conversation_id, first, last, until) CROSS JOIN LATERAL (
             SELECT conversation_id, seq, created_at FROM messages
             WHERE conversation_id = r.conversation_id AND seq BETWEEN r.first AND r.last AND created_at <= r.until
             ORDER BY seq DESC LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(ranges.iter().map(|range| range.conversation).collect::<Vec<_>>())
    .bind::<BigInts, _>(ranges.iter().map(|range| range.first).collect::<Vec<_>>())
    .bind::<BigInts, _>(ranges.iter().map(|range| range.last).collect::<Vec<_>>())
    .bind::<Timestamps, _>(ranges.iter().map(|range| range.until).collect::<Vec<_>>())
    .columns::<((SqlUuid, BigInt), Timestamptz)>()
    .load(conn)?;
    Ok(rows)
}

/// The messages of ranges of seqs, both ends included.
pub fn messages(
    conn: &mut PgConnection,
    ranges: &[(ConversationId, ConvSeq, ConvSeq)],
) -> StorageResult<Vec<Message>> {
    let rows: Vec<MessageRow> = sql(
        "SELECT m.* FROM unnest($1, $2, $3) AS r(conversation_id, first, last) CROSS JOIN LATERAL (
             SELECT * FROM messages_now
             WHERE conversation_id = r.conversation_id AND seq BETWEEN r.first AND r.last ORDER BY seq LIMIT 64
         ) AS m",
    )
    .bind::<Uuids, _>(ranges.iter().map(|range| range.0).collect::<Vec<_>>())
    .bind::<BigInts, _>(ranges.iter().map(|range| range.1).collect::<Vec<_>>())
    .bind::<BigInts, _>(ranges.iter().map(|range| range.2).collect::<Vec<_>>())
    .load(conn)?;
    rows.into_iter().map(MessageRow::build).collect()
}

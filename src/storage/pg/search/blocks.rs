//! The blocks of the index: 32 messages of a conversation each. Rows are inserted and marked only under their conversation's lock.

use crate::model::ids::{ConvSeq, ConversationId};
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Texts};
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Nullable, Uuid as SqlUuid};
use std::collections::BTreeSet;

/// The messages of a block.
pub const BLOCK: i64 = 32;

/// The lexeme of a block that may have anything.
pub const ANYTHING: &str = "*";

/// The block of a message.
pub fn block_of(seq: ConvSeq) -> i64 {
    (seq.0 - 1).div_euclid(BLOCK)
}

/// Whether a message is the last one of its block.
pub fn is_last(seq: ConvSeq) -> bool {
    seq.0 % BLOCK == 0
}

/// A block whose lexemes are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedBlock {
    /// The number of the block.
    pub block: i64,
    /// How often it was marked.
    pub version: i32,
}

/// Marks the blocks of changed messages, as far as they are there. After the changes, under the locks of their conversations.
pub fn mark(
    conn: &mut PgConnection,
    messages: impl Iterator<Item = MessageKey>,
) -> StorageResult<()> {
    let blocks: BTreeSet<_> = messages.map(|(id, seq)| (id, block_of(seq))).collect();
    // A statement each: joined with a list, the planner would scan the table (decision 0002).
    for (id, block) in blocks {
        sql("UPDATE search_blocks SET tokens = '*', marked = true, version = version + 1 WHERE conversation_id = $1 AND block = $2")
            .bind::<SqlUuid, _>(id)
            .bind::<BigInt, _>(block)
            .execute(conn)?;
    }
    Ok(())
}

/// The newest block of a conversation.
pub fn newest(conn: &mut PgConnection, conversation: ConversationId) -> StorageResult<Option<i64>> {
    let found = sql(
        "SELECT block FROM search_blocks WHERE conversation_id = $1 ORDER BY block DESC LIMIT 1",
    )
    .bind::<SqlUuid, _>(conversation)
    .scalar::<BigInt>()
    .load(conn)?;
    Ok(found.first().copied())
}

/// Inserts blocks that may have anything, or marks those that are there. Under the lock of their conversation, which has all of their messages.
pub fn insert(
    conn: &mut PgConnection,
    conversation: ConversationId,
    blocks: std::ops::Range<i64>,
) -> StorageResult<()> {
    let seqs = |of: fn(i64) -> i64| blocks.clone().map(of).collect::<Vec<_>>();
    sql(include_str!("insert_blocks.sql"))
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInts, _>(seqs(|block| block))
        .bind::<BigInts, _>(seqs(|block| block * BLOCK + 1))
        .bind::<BigInts, _>(seqs(|block| (block + 1) * BLOCK))
        .bind::<SqlUuid, _>(conversation)
        .bind::<SqlUuid, _>(conversation)
        .execute(conn)?;
    Ok(())
}

/// The first marked blocks of a conversation.
pub fn marked(
    conn: &mut PgConnection,
    conversation: ConversationId,
    limit: i64,
) -> StorageResult<Vec<MarkedBlock>> {
    let rows: Vec<(i64, i32)> = sql(
        "SELECT block, version FROM search_blocks WHERE conversation_id = $1 AND marked ORDER BY block LIMIT $2",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(limit)
    .columns::<(BigInt, Integer)>()
    .load(conn)?;
    let build = |(block, version)| MarkedBlock { block, version };
    Ok(rows.into_iter().map(build).collect())
}

/// Conversations with marked blocks, by id, after this one.
pub fn with_marks(
    conn: &mut PgConnection,
    after: ConversationId,
    limit: i64,
) -> StorageResult<BTreeSet<ConversationId>> {
    let rows: Vec<ConversationId> = sql("SELECT conversation_id FROM search_blocks
         WHERE marked AND conversation_id > $1 ORDER BY conversation_id LIMIT $2")
    .bind::<SqlUuid, _>(after)
    .bind::<BigInt, _>(limit)
    .scalar::<SqlUuid>()
    .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// The number of marked blocks, at most 10,000.
pub fn count_marked(conn: &mut PgConnection) -> StorageResult<i64> {
    let found = sql("SELECT count(*) FROM (SELECT FROM search_blocks
         WHERE marked AND conversation_id >= '00000000-0000-0000-0000-000000000000' LIMIT 10000) AS marked")
    .scalar::<BigInt>()
    .load(conn)?;
    Ok(found.first().copied().unwrap_or(0))
}

/// Lets the commit of this transaction return before it is on disk.
pub fn commit_lazily(conn: &mut PgConnection) -> StorageResult<()> {
    Ok(conn.batch_execute("SET LOCAL synchronous_commit = off")?)
}

/// Writes the lexemes of a block, unless it was marked again meanwhile.
pub fn write(
    conn: &mut PgConnection,
    conversation: ConversationId,
    marked: MarkedBlock,
    lexemes: &[String],
) -> StorageResult<()> {
    sql("UPDATE search_blocks SET tokens = array_to_tsvector($1), marked = false WHERE conversation_id = $2 AND block = $3 AND version = $4")
        .bind::<Texts, _>(lexemes)
        .bind::<SqlUuid, _>(conversation)
        .bind::<BigInt, _>(marked.block)
        .bind::<Integer, _>(marked.version)
        .execute(conn)?;
    Ok(())
}

/// The full blocks of a conversation that are not in the index.
pub fn lag(conn: &mut PgConnection, conversation: ConversationId) -> StorageResult<i64> {
    let found = sql("SELECT c.last_seq / $1 - COALESCE(n.block + 1, 0) FROM conversations c LEFT JOIN LATERAL (
             SELECT block FROM search_blocks WHERE conversation_id = c.id ORDER BY block DESC LIMIT 1
         ) AS n ON true WHERE c.id = $2")
    .bind::<BigInt, _>(BLOCK)
    .bind::<SqlUuid, _>(conversation)
    .scalar::<BigInt>()
    .load(conn)?;
    Ok(found.first().copied().unwrap_or(0))
}

/// A conversation and how far its index is behind.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// The conversation.
    pub conversation: ConversationId,
    /// Full blocks that are not in the index.
    pub blocks: i64,
}

/// A page of conversations by id.
pub fn lags(
    conn: &mut PgConnection,
    after: Option<ConversationId>,
    limit: i64,
) -> StorageResult<Vec<Lag>> {
    let rows: Vec<(ConversationId, i64)> = sql(include_str!("lags.sql"))
        .bind::<BigInt, _>(BLOCK)
        .bind::<Nullable<SqlUuid>, _>(after)
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, BigInt)>()
        .load(conn)?;
    let build = |(conversation, blocks)| Lag {
        conversation,
        blocks,
    };
    Ok(rows.into_iter().map(build).collect())
}

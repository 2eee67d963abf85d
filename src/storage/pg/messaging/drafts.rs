//! Drafts. Rows change only under their user's timeline lock.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::wire::draft::Draft;
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::content::stored_content;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

#[derive(QueryableByName)]
struct DraftRow {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: ConversationId,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Nullable<Text>)]
    content: Option<String>,
    #[diesel(sql_type = BigInt)]
    after_seq: ConvSeq,
    #[diesel(sql_type = Timestamptz)]
    at: Timestamp,
}

impl DraftRow {
    fn build(self) -> StorageResult<Draft> {
        Ok(Draft {
            conversation_id: self.conversation_id,
            version: self.version,
            content: self.content.map(stored_content).transpose()?,
            after_seq: self.after_seq,
            at: Some(self.at),
        })
    }
}

/// The user's drafts of these conversations, void ones included.
pub fn some(
    conn: &mut PgConnection,
    user: UserId,
    conversations: &[ConversationId],
) -> StorageResult<Vec<Draft>> {
    let rows: Vec<DraftRow> = sql("SELECT d.* FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
             SELECT * FROM drafts WHERE user_id = $2 AND conversation_id = w.id LIMIT 1
         ) AS d")
    .bind::<Uuids, _>(conversations)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    rows.into_iter().map(DraftRow::build).collect()
}

/// The user's draft of a conversation, also a void one.
pub fn get(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
) -> StorageResult<Draft> {
    let found = some(conn, user, &[conversation])?.pop();
    Ok(found.unwrap_or_else(|| Draft::none(conversation)))
}

/// A page of the user's drafts after a conversation, deleted and void ones included, cut at about [`PAGE_BYTES`]. Returns also whether
/// more may follow.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<ConversationId>,
    limit: PageSize,
) -> StorageResult<(Vec<Draft>, bool)> {
    let rows: Vec<DraftRow> = sql("SELECT * FROM (
             SELECT *, sum(length) OVER (ORDER BY conversation_id) - length AS before FROM (
                 SELECT *, COALESCE(octet_length(content::text), 0) AS length FROM drafts
                 WHERE user_id = $1 AND conversation_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
                 ORDER BY conversation_id LIMIT $3
             ) AS page
         ) AS sized WHERE before < $4 ORDER BY conversation_id")
    .bind::<SqlUuid, _>(user)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .bind::<BigInt, _>(PAGE_BYTES)
    .load(conn)?;
    let full = i64::try_from(rows.len()).is_ok_and(|len| len == limit.get());
    let length = |row: &DraftRow| row.content.as_ref().map_or(0, String::len);
    // A page that was cut has at least this many bytes.
    let bytes: usize = rows.iter().map(length).sum();
    let may_be_cut = i64::try_from(bytes).is_ok_and(|bytes| bytes >= PAGE_BYTES);
    let page: StorageResult<_> = rows.into_iter().map(DraftRow::build).collect();
    Ok((page?, full || may_be_cut))
}

/// Stores a version of a draft.
pub fn put(
    conn: &mut PgConnection,
    user: UserId,
    draft: &Draft,
    at: Timestamp,
) -> StorageResult<()> {
    sql("INSERT INTO drafts (user_id, conversation_id, version, content, after_seq, at) VALUES ($1, $2, $3, $4::json, $5, $6)
         ON CONFLICT (user_id, conversation_id) DO UPDATE SET
             version = excluded.version, content = excluded.content, after_seq = excluded.after_seq, at = excluded.at")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(draft.conversation_id)
    .bind::<BigInt, _>(draft.version)
    .bind::<Nullable<Text>, _>(draft.content.as_ref().map(|content| content.get()))
    .bind::<BigInt, _>(draft.after_seq)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    Ok(())
}

/// Deletes the content of a draft. Its version stays.
pub fn delete(
    conn: &mut PgConnection,
    user: UserId,
    conversation: ConversationId,
) -> StorageResult<()> {
    sql("UPDATE drafts SET content = NULL WHERE user_id = $1 AND conversation_id = $2")
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(conversation)
        .execute(conn)?;
    Ok(())
}

/// Deletes drafts of a user, at most `limit`. Returns how many.
pub fn erase_some(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(
        sql("DELETE FROM drafts WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM drafts WHERE user_id = $2 ORDER BY conversation_id LIMIT $3))")
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(user)
        .bind::<BigInt, _>(limit)
        .execute(conn)?,
    )
}

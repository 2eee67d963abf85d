//! Messages that are sent later, and those that could not be sent.

use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MediaId, UserId};
use crate::model::message::Extra;
use crate::model::page::{PAGE_BYTES, PageSize};
use crate::model::time::Timestamp;
use crate::model::wire::scheduled::{ScheduledFailed, ScheduledMessage, SendFailure};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::messaging::content::{stored_content, stored_extra};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::BigInts;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// The most messages that a node claims in one statement.
pub const SLICE: i64 = 100;

#[derive(QueryableByName)]
struct ScheduledRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    client_msg_id: ClientMsgId,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: ConversationId,
    #[diesel(sql_type = Timestamptz)]
    send_at: Timestamp,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Nullable<Text>)]
    options: Option<String>,
}

impl ScheduledRow {
    fn build(self) -> StorageResult<(UserId, ScheduledMessage)> {
        let options = stored_extra(self.options.as_deref())?.options();
        let message = ScheduledMessage {
            client_msg_id: self.client_msg_id,
            conversation_id: self.conversation_id,
            send_at: self.send_at,
            kind: self.kind,
            content: stored_content(self.content)?,
            reply_to: options.reply_to,
            mention_all: options.mention_all,
            expires_in: options.expires_in,
        };
        Ok((self.user_id, message))
    }
}

/// The number of scheduled messages of a user, without this one.
pub fn others(conn: &mut PgConnection, user: UserId, id: ClientMsgId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM scheduled WHERE user_id = $1 AND client_msg_id <> $2")
            .bind::<SqlUuid, _>(user)
            .bind::<SqlUuid, _>(id)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// Whether a message refers to these media.
pub fn refers_to(conn: &mut PgConnection, media: MediaId) -> StorageResult<bool> {
    let found: Vec<UserId> = sql(
        "SELECT user_id FROM scheduled WHERE content ->> 'media_id' = $1
         UNION ALL SELECT user_id FROM scheduled WHERE content ->> 'poster_media_id' = $2 LIMIT 1",
    )
    .bind::<Text, _>(media.to_string())
    .bind::<Text, _>(media.to_string())
    .scalar::<SqlUuid>()
    .load(conn)?;
    Ok(!found.is_empty())
}

/// Stores a message, in place of an earlier one under its id. False: that one is being sent.
pub fn put(
    conn: &mut PgConnection,
    user: UserId,
    message: &ScheduledMessage,
) -> StorageResult<bool> {
    let options = Extra {
        reply_to: message.reply_to,
        mention_all: message.mention_all,
        expires_in: message.expires_in,
        ..Extra::default()
    };
    let options = options
        .to_json()
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    let stored = sql("INSERT INTO scheduled AS s (user_id, client_msg_id, conversation_id, send_at, kind, content, options)
         VALUES ($1, $2, $3, $4, $5, $6::json, $7::json)
         ON CONFLICT (user_id, client_msg_id) DO UPDATE SET
             conversation_id = excluded.conversation_id, send_at = excluded.send_at, kind = excluded.kind,
             content = excluded.content, options = excluded.options, claimed_until = NULL
         WHERE s.claimed_until IS NULL OR s.claimed_until <= statement_timestamp()")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(message.client_msg_id)
    .bind::<SqlUuid, _>(message.conversation_id)
    .bind::<Timestamptz, _>(message.send_at)
    .bind::<Text, _>(&message.kind)
    .bind::<Text, _>(message.content.get())
    .bind::<Nullable<Text>, _>(options)
    .execute(conn)?;
    Ok(stored == 1)
}

/// Deletes a message. Returns whether one is left, which is being sent.
pub fn delete(conn: &mut PgConnection, user: UserId, id: ClientMsgId) -> StorageResult<bool> {
    sql(
        "DELETE FROM scheduled WHERE user_id = $1 AND client_msg_id = $2
             AND (claimed_until IS NULL OR claimed_until <= statement_timestamp())",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?;
    let left: i64 =
        sql("SELECT count(*) AS n FROM scheduled WHERE user_id = $1 AND client_msg_id = $2")
            .bind::<SqlUuid, _>(user)
            .bind::<SqlUuid, _>(id)
            .scalar::<BigInt>()
            .get_result(conn)?;
    Ok(left > 0)
}

/// A page of the user's messages after an id, cut at about [`PAGE_BYTES`]. Returns also whether more may follow.
pub fn page(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<ClientMsgId>,
    limit: PageSize,
) -> StorageResult<(Vec<ScheduledMessage>, bool)> {
    let rows: Vec<ScheduledRow> = sql("SELECT * FROM (
             SELECT *, sum(length) OVER (ORDER BY client_msg_id) - length AS before FROM (
                 SELECT *, octet_length(content::text) AS length FROM scheduled
                 WHERE user_id = $1 AND client_msg_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
                 ORDER BY client_msg_id LIMIT $3
             ) AS page
         ) AS sized WHERE before < $4 ORDER BY client_msg_id")
    .bind::<SqlUuid, _>(user)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .bind::<BigInt, _>(PAGE_BYTES)
    .load(conn)?;
    let full = i64::try_from(rows.len()).is_ok_and(|len| len == limit.get());
    // A page that was cut has at least this many bytes.
    let bytes: usize = rows.iter().map(|row| row.content.len()).sum();
    let may_be_cut = i64::try_from(bytes).is_ok_and(|bytes| bytes >= PAGE_BYTES);
    let built = rows.into_iter().map(|row| Ok(row.build()?.1));
    Ok((built.collect::<StorageResult<_>>()?, full || may_be_cut))
}

/// Claims messages whose time has come, for 30 seconds: longer than a send takes. In the order of their times. A statement for each
/// claim: joined with a list, the planner would scan the table (decision 0002). Of two nodes, one finds the row unclaimed.
pub fn claim(conn: &mut PgConnection) -> StorageResult<Vec<(UserId, ScheduledMessage)>> {
    let due: Vec<(UserId, ClientMsgId)> = sql("SELECT user_id, client_msg_id FROM scheduled
         WHERE send_at <= statement_timestamp() AND (claimed_until IS NULL OR claimed_until <= statement_timestamp())
         ORDER BY send_at LIMIT $1")
    .bind::<BigInt, _>(SLICE)
    .columns::<(SqlUuid, SqlUuid)>()
    .load(conn)?;
    let mut claimed = Vec::new();
    for (user, id) in due {
        let row: Option<ScheduledRow> = sql(
            "UPDATE scheduled SET claimed_until = statement_timestamp() + interval '30 seconds'
             WHERE user_id = $1 AND client_msg_id = $2 AND send_at <= statement_timestamp()
                 AND (claimed_until IS NULL OR claimed_until <= statement_timestamp())
             RETURNING user_id, client_msg_id, conversation_id, send_at, kind, content, options",
        )
        .bind::<SqlUuid, _>(user)
        .bind::<SqlUuid, _>(id)
        .get_result(conn)
        .optional()?;
        claimed.extend(row.map(ScheduledRow::build).transpose()?);
    }
    Ok(claimed)
}

/// Deletes a message that was claimed, unless it was replaced since. Returns whether it was there.
pub fn finish(conn: &mut PgConnection, user: UserId, id: ClientMsgId) -> StorageResult<bool> {
    let deleted = sql(
        "DELETE FROM scheduled WHERE user_id = $1 AND client_msg_id = $2 AND claimed_until IS NOT NULL",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?;
    Ok(deleted == 1)
}

/// Stores why a message was not sent, and returns its number. Under the lock of the user's timeline.
pub fn fail(
    conn: &mut PgConnection,
    user: UserId,
    failed: &ScheduledFailed,
) -> StorageResult<ConvSeq> {
    Ok(sql(
        "INSERT INTO scheduled_failures (user_id, number, client_msg_id, code, detail, message)
         SELECT $1, COALESCE((SELECT number FROM scheduled_failures WHERE user_id = $2 ORDER BY number DESC LIMIT 1), 0) + 1,
             $3, $4, $5, $6::json
         RETURNING number",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(failed.client_msg_id)
    .bind::<Text, _>(&failed.problem.code)
    .bind::<Text, _>(&failed.problem.detail)
    .bind::<Nullable<Text>, _>(failed.scheduled.as_ref().map(|one| one.get()))
    .scalar::<BigInt>()
    .get_result(conn)?)
}

/// The failures of a user with these numbers.
pub fn failures(
    conn: &mut PgConnection,
    user: UserId,
    numbers: &[ConvSeq],
) -> StorageResult<HashMap<ConvSeq, ScheduledFailed>> {
    let rows: Vec<(ConvSeq, ClientMsgId, String, String, Option<String>)> = sql(
        "SELECT f.number, f.client_msg_id, f.code, f.detail, f.message::text AS message FROM unnest($1) AS w(number) CROSS JOIN LATERAL (
             SELECT * FROM scheduled_failures WHERE user_id = $2 AND number = w.number LIMIT 1
         ) AS f",
    )
    .bind::<BigInts, _>(numbers)
    .bind::<SqlUuid, _>(user)
    .columns::<(BigInt, SqlUuid, Text, Text, Nullable<Text>)>()
    .load(conn)?;
    let build = |(number, client_msg_id, code, detail, message): (_, _, _, _, Option<String>)| {
        let failed = ScheduledFailed {
            client_msg_id,
            problem: SendFailure { code, detail },
            scheduled: message.map(stored_content).transpose()?,
        };
        Ok((number, failed))
    };
    rows.into_iter().map(build).collect()
}

/// Deletes scheduled messages of a user, at most `limit`. Returns how many.
pub fn erase_some(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(sql(
        "DELETE FROM scheduled WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM scheduled WHERE user_id = $2 ORDER BY client_msg_id LIMIT $3))",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .execute(conn)?)
}

/// Deletes failures of a user's scheduled messages, at most `limit`. Returns how many.
pub fn erase_failures(conn: &mut PgConnection, user: UserId, limit: i64) -> StorageResult<usize> {
    Ok(sql(
        "DELETE FROM scheduled_failures WHERE user_id = $1 AND ctid = ANY(ARRAY(
             SELECT ctid FROM scheduled_failures WHERE user_id = $2 ORDER BY number LIMIT $3))",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(limit)
    .execute(conn)?)
}

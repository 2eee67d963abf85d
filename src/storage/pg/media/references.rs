//! The media of messages. Rows change only under their conversation's lock.

use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Texts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel::{Queryable, RunQueryDsl};

/// The picture, video or file of a message.
pub const CONTENT: &str = "content";

/// The still picture of a video.
pub const POSTER: &str = "poster";

/// Media of a message.
#[derive(Clone, Debug, Queryable)]
pub struct MediaReference {
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// Its seq.
    pub seq: ConvSeq,
    /// [`CONTENT`] or [`POSTER`].
    pub role: String,
    /// The owner of the media.
    pub owner: UserId,
    /// The media.
    pub media: MediaId,
}

/// Notes the media of messages.
pub fn add(conn: &mut PgConnection, new: &[MediaReference]) -> StorageResult<()> {
    if new.is_empty() {
        return Ok(());
    }
    sql(
        "INSERT INTO message_media (conversation_id, seq, role, media_id, owner_id)
         SELECT c, q, r, m, o FROM unnest($1, $2, $3, $4, $5) AS n(c, q, r, m, o)",
    )
    .bind::<Uuids, _>(new.iter().map(|one| one.conversation).collect::<Vec<_>>())
    .bind::<BigInts, _>(new.iter().map(|one| one.seq).collect::<Vec<_>>())
    .bind::<Texts, _>(new.iter().map(|one| &*one.role).collect::<Vec<_>>())
    .bind::<Uuids, _>(new.iter().map(|one| one.media).collect::<Vec<_>>())
    .bind::<Uuids, _>(new.iter().map(|one| one.owner).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// Removes the media of a message. The collector looks at them.
pub fn remove(conn: &mut PgConnection, message: MessageKey) -> StorageResult<()> {
    sql("WITH gone AS (
             DELETE FROM message_media WHERE conversation_id = $1 AND seq = $2 RETURNING owner_id, media_id
         )
         INSERT INTO media_candidates (owner_id, media_id, at) SELECT DISTINCT owner_id, media_id, clock_timestamp() FROM gone
         ON CONFLICT DO NOTHING")
    .bind::<SqlUuid, _>(message.0)
    .bind::<BigInt, _>(message.1)
    .execute(conn)?;
    Ok(())
}

/// Notes that media have lost a reference. The collector looks at them.
pub fn lost(conn: &mut PgConnection, owner: UserId, media: MediaId) -> StorageResult<()> {
    sql(
        "INSERT INTO media_candidates (owner_id, media_id, at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(media)
    .execute(conn)?;
    Ok(())
}

/// The media of messages.
pub fn of_messages(
    conn: &mut PgConnection,
    messages: &[MessageKey],
) -> StorageResult<Vec<MediaReference>> {
    let (conversations, seqs): (Vec<_>, Vec<_>) = messages.iter().copied().unzip();
    Ok(sql("SELECT r.conversation_id, r.seq, r.role, r.owner_id, r.media_id
         FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT * FROM message_media WHERE conversation_id = k.conversation_id AND seq = k.seq LIMIT 2
         ) AS r")
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(seqs)
    .columns::<(SqlUuid, BigInt, Text, SqlUuid, SqlUuid)>()
    .load(conn)?)
}

/// The most messages that refer to media among which those of a member are looked for, and the most of those that are found.
const MANY: [i64; 2] = [100_000, 1_000];

/// Messages of the member's conversations that refer to this media. They may be gone, or hidden from the member.
pub fn of_media(
    conn: &mut PgConnection,
    media: MediaId,
    member: UserId,
) -> StorageResult<Vec<MediaReference>> {
    let [all, found] = MANY;
    Ok(sql(
        "SELECT r.conversation_id, r.seq, r.role, r.owner_id, r.media_id
         FROM (SELECT * FROM message_media WHERE media_id = $1 LIMIT $2) AS r CROSS JOIN LATERAL (
             SELECT FROM members WHERE conversation_id = r.conversation_id AND user_id = $3 LIMIT 1
         ) AS m LIMIT $4",
    )
    .bind::<SqlUuid, _>(media)
    .bind::<BigInt, _>(all)
    .bind::<SqlUuid, _>(member)
    .bind::<BigInt, _>(found)
    .columns::<(SqlUuid, BigInt, Text, SqlUuid, SqlUuid)>()
    .load(conn)?)
}

/// Whether a message refers to these media.
pub fn exists(conn: &mut PgConnection, media: MediaId) -> StorageResult<bool> {
    let found: Vec<MediaId> = sql("SELECT media_id FROM message_media WHERE media_id = $1 LIMIT 1")
        .bind::<SqlUuid, _>(media)
        .scalar::<SqlUuid>()
        .load(conn)?;
    Ok(!found.is_empty())
}

//! The truth about unread counts: heads minus read positions.

use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::unread::{ConversationUnread, Unread};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// All counts of a user and the inbox head that they belong to, in one snapshot.
pub fn counts(conn: &mut PgConnection, user: UserId) -> StorageResult<Unread> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        head: InboxSeq,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        conversation_id: Option<ConversationId>,
        #[diesel(sql_type = Nullable<BigInt>)]
        unread: Option<i64>,
    }
    let rows: Vec<Row> = sql("SELECT t.head, u.conversation_id, u.unread
         FROM (SELECT COALESCE((SELECT last_seq FROM timelines WHERE user_id = $1), 0) AS head) AS t
         LEFT JOIN (
             SELECT m.conversation_id, c.last_seq - m.read_seq AS unread
             FROM members m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.user_id = $2 AND c.last_seq > m.read_seq
         ) AS u ON true ORDER BY u.conversation_id")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    let as_of_seq = rows.first().map_or(InboxSeq(0), |row| row.head);
    let conversations: Vec<_> = rows
        .into_iter()
        .filter_map(|row| {
            Some(ConversationUnread {
                conversation_id: row.conversation_id?,
                unread: row.unread?,
            })
        })
        .collect();
    Ok(Unread {
        total: conversations.iter().map(|one| one.unread).sum(),
        conversations,
        as_of_seq,
    })
}

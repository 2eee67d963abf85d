//! The truth about unread counts: heads minus read positions.

use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::unread::{ConversationUnread, Counts, Unread};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// All counts of a user and the inbox head that they belong to, in one snapshot.
pub fn counts(conn: &mut PgConnection, user: UserId) -> StorageResult<Counts> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        head: InboxSeq,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        conversation_id: Option<ConversationId>,
        #[diesel(sql_type = Nullable<BigInt>)]
        unread: Option<i64>,
        #[diesel(sql_type = Nullable<Bool>)]
        large: Option<bool>,
    }
    let rows: Vec<Row> = sql("SELECT t.head, u.conversation_id, u.unread, u.large
         FROM (SELECT COALESCE((SELECT last_seq FROM timelines WHERE user_id = $1), 0) AS head) AS t
         LEFT JOIN (
             SELECT m.conversation_id, c.last_seq - m.read_seq AS unread, m.large
             FROM members m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.user_id = $2 AND c.last_seq > m.read_seq
         ) AS u ON true ORDER BY u.conversation_id")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    let as_of_seq = rows.first().map_or(InboxSeq(0), |row| row.head);
    let (mut conversations, mut large) = (Vec::new(), Vec::new());
    for row in rows {
        if let (Some(conversation_id), Some(unread)) = (row.conversation_id, row.unread) {
            let of_its_size = match row.large {
                Some(true) => &mut large,
                Some(false) | None => &mut conversations,
            };
            of_its_size.push(ConversationUnread {
                conversation_id,
                unread,
            });
        }
    }
    let small = Unread {
        total: conversations.iter().map(|one| one.unread).sum(),
        conversations,
        as_of_seq,
    };
    Ok(Counts { small, large })
}

/// What is unread in a user's large conversations.
pub fn large(conn: &mut PgConnection, user: UserId) -> StorageResult<Vec<ConversationUnread>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        conversation_id: ConversationId,
        #[diesel(sql_type = BigInt)]
        unread: i64,
    }
    let rows: Vec<Row> = sql("SELECT m.conversation_id, c.last_seq - m.read_seq AS unread
         FROM members m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.user_id = $1 AND m.large AND c.last_seq > m.read_seq")
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| ConversationUnread {
            conversation_id: row.conversation_id,
            unread: row.unread,
        })
        .collect())
}

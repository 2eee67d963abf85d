//! Unread counts from PostgreSQL: heads minus read positions.

use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::unread::Counts;
use crate::model::wire::unread::{ConversationUnread, Unread};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use std::collections::{BTreeSet, HashMap};

/// All counts of each of these users, and the inbox head of the same snapshot.
pub fn counts(conn: &mut PgConnection, users: &[UserId]) -> StorageResult<Vec<Counts>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
        #[diesel(sql_type = BigInt)]
        head: InboxSeq,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        conversation_id: Option<ConversationId>,
        #[diesel(sql_type = Nullable<BigInt>)]
        unread: Option<i64>,
        #[diesel(sql_type = Nullable<Bool>)]
        large: Option<bool>,
    }
    // OFFSET 0 forces one index scan per user: a join over all users would read all memberships.
    let rows: Vec<Row> = sql(
        "SELECT w.user_id, t.head, u.conversation_id, u.unread, u.large
         FROM unnest($1) AS w(user_id)
         CROSS JOIN LATERAL (
             SELECT COALESCE((SELECT last_seq FROM timelines WHERE user_id = w.user_id), 0) AS head
         ) AS t
         LEFT JOIN LATERAL (
             SELECT m.conversation_id, c.last_seq - GREATEST(m.read_seq, c.floor_seq) AS unread, m.large
             FROM members m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.user_id = w.user_id AND c.last_seq > GREATEST(m.read_seq, c.floor_seq) OFFSET 0
         ) AS u ON true ORDER BY w.user_id, u.conversation_id",
    )
    .bind::<Uuids, _>(distinct(users))
    .load(conn)?;
    let mut found: HashMap<UserId, Counts> = HashMap::with_capacity(users.len());
    for row in rows {
        let counts = found.entry(row.user_id).or_insert_with(|| Counts {
            small: Unread {
                total_mentions: None,
                total: 0,
                conversations: Vec::new(),
                as_of_seq: row.head,
            },
            large: Vec::new(),
        });
        if let (Some(conversation_id), Some(unread)) = (row.conversation_id, row.unread) {
            let one = ConversationUnread {
                mentions: None,
                conversation_id,
                unread,
            };
            if row.large == Some(true) {
                counts.large.push(one);
            } else {
                counts.small.total += unread;
                counts.small.conversations.push(one);
            }
        }
    }
    let missing = || StorageError::Bug("a user without counts".to_owned());
    let of = |user| found.get(user).cloned().ok_or_else(missing);
    users.iter().map(of).collect()
}

/// Several devices of one user may be in one query.
fn distinct(users: &[UserId]) -> Vec<UserId> {
    let users: BTreeSet<_> = users.iter().copied().collect();
    users.into_iter().collect()
}

/// The unread counts of a user's large conversations.
pub fn large(conn: &mut PgConnection, user: UserId) -> StorageResult<Vec<ConversationUnread>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        conversation_id: ConversationId,
        #[diesel(sql_type = BigInt)]
        unread: i64,
    }
    let rows: Vec<Row> = sql(
        "SELECT m.conversation_id, c.last_seq - GREATEST(m.read_seq, c.floor_seq) AS unread
         FROM members m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.user_id = $1 AND m.large AND c.last_seq > GREATEST(m.read_seq, c.floor_seq)",
    )
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| ConversationUnread {
            mentions: None,
            conversation_id: row.conversation_id,
            unread: row.unread,
        })
        .collect())
}

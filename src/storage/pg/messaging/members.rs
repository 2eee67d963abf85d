//! Members of conversations. Their rows change only under their conversation's lock.

use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::page::PageSize;
use crate::model::time::Timestamp;
use crate::model::wire::member::{Member, MemberChange, MembersChanged, Role};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::messaging::conversations::parse_role;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Texts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// A member of a locked conversation.
#[derive(Clone, Copy, Debug)]
pub struct MemberState {
    /// The user.
    pub user: UserId,
    /// The role.
    pub role: Role,
    /// Read up to here.
    pub read_seq: ConvSeq,
    /// Muted until this time.
    pub muted_until: Option<Timestamp>,
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = BigInt)]
    read_seq: ConvSeq,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<Timestamp>,
}

impl StateRow {
    fn build(self) -> StorageResult<MemberState> {
        Ok(MemberState {
            user: self.user_id,
            role: parse_role(&self.role)?,
            read_seq: self.read_seq,
            muted_until: self.muted_until,
        })
    }
}

/// All members of a conversation.
pub fn all(
    conn: &mut PgConnection,
    conversation: ConversationId,
) -> StorageResult<Vec<MemberState>> {
    let rows: Vec<StateRow> =
        sql("SELECT user_id, role, read_seq, muted_until FROM members WHERE conversation_id = $1")
            .bind::<SqlUuid, _>(conversation)
            .load(conn)?;
    rows.into_iter().map(StateRow::build).collect()
}

/// How much of a conversation a member may see, and has read.
#[derive(Clone, Copy, Debug)]
pub struct MemberPosition {
    /// The user.
    pub user: UserId,
    /// The role.
    pub role: Role,
    /// Only messages above this seq are visible.
    pub joined_seq: ConvSeq,
    /// Read up to here.
    pub read_seq: ConvSeq,
}

/// The positions of all members of a small conversation, by user.
pub fn positions(
    conn: &mut PgConnection,
    conversation: ConversationId,
) -> StorageResult<Vec<MemberPosition>> {
    let rows: Vec<(UserId, String, ConvSeq, ConvSeq)> = sql(
        "SELECT user_id, role, joined_seq, read_seq FROM members WHERE conversation_id = $1 ORDER BY user_id",
    )
    .bind::<SqlUuid, _>(conversation)
    .columns::<(SqlUuid, Text, BigInt, BigInt)>()
    .load(conn)?;
    let build = |(user, role, joined_seq, read_seq): (_, String, _, _)| {
        Ok(MemberPosition {
            user,
            role: parse_role(&role)?,
            joined_seq,
            read_seq,
        })
    };
    rows.into_iter().map(build).collect()
}

/// Those of these users that are members.
pub fn some(
    conn: &mut PgConnection,
    conversation: ConversationId,
    users: &[UserId],
) -> StorageResult<Vec<MemberState>> {
    // With `= ANY` the planner reads all members: it expects as few as an average conversation has.
    let rows: Vec<StateRow> = sql("SELECT m.user_id, m.role, m.read_seq, m.muted_until
         FROM (SELECT DISTINCT user_id FROM unnest($1) AS u(user_id)) AS w CROSS JOIN LATERAL (
             SELECT * FROM members WHERE conversation_id = $2 AND user_id = w.user_id LIMIT 1
         ) AS m")
    .bind::<Uuids, _>(users)
    .bind::<SqlUuid, _>(conversation)
    .load(conn)?;
    rows.into_iter().map(StateRow::build).collect()
}

/// The successor of an owner: the admin that joined first, else the member that joined first, and whose account is in use before others.
/// Reads all members, which happens only when an owner leaves.
pub fn successor(
    conn: &mut PgConnection,
    conversation: ConversationId,
    owner: UserId,
) -> StorageResult<Option<MemberState>> {
    let row: Option<StateRow> = sql(
        "SELECT m.user_id, m.role, m.read_seq, m.muted_until FROM members m
         CROSS JOIN LATERAL (SELECT state FROM users WHERE id = m.user_id LIMIT 1) AS u
         WHERE m.conversation_id = $1 AND m.user_id <> $2
         ORDER BY u.state = 'active' DESC, m.role = 'admin' DESC, m.joined_at, m.user_id LIMIT 1",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(owner)
    .get_result(conn)
    .optional()?;
    row.map(StateRow::build).transpose()
}

/// Marks all members when a conversation changes to read fan-out.
pub fn enable_read_fanout(
    conn: &mut PgConnection,
    conversation: ConversationId,
) -> StorageResult<()> {
    sql("UPDATE members SET large = true WHERE conversation_id = $1")
        .bind::<SqlUuid, _>(conversation)
        .execute(conn)?;
    Ok(())
}

/// Where and when users join: messages above `head` are visible and unread.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// The head.
    pub head: ConvSeq,
    /// The time.
    pub at: Timestamp,
    /// The conversation has read fan-out.
    pub large: bool,
}

/// Adds members.
pub fn insert(
    conn: &mut PgConnection,
    conversation: ConversationId,
    people: &[(UserId, Role)],
    joining: Joining,
) -> StorageResult<()> {
    let (users, roles): (Vec<_>, Vec<_>) =
        people.iter().map(|(u, role)| (*u, role.as_str())).unzip();
    sql(
        "INSERT INTO members (conversation_id, user_id, role, joined_seq, read_seq, joined_at, large)
         SELECT $1, u, r, h, h, $2, $3 FROM unnest($4, $5) AS n(u, r) CROSS JOIN (SELECT $6::bigint AS h) AS head",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<Timestamptz, _>(joining.at)
    .bind::<Bool, _>(joining.large)
    .bind::<Uuids, _>(users)
    .bind::<Texts, _>(roles)
    .bind::<BigInt, _>(joining.head)
    .execute(conn)?;
    Ok(())
}

/// Removes and returns the stored mutes of users that were muted when they left and now rejoin.
pub fn take_mutes(
    conn: &mut PgConnection,
    conversation: ConversationId,
    users: &[UserId],
) -> StorageResult<Vec<(UserId, Timestamp)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
        #[diesel(sql_type = Timestamptz)]
        muted_until: Timestamp,
    }
    let rows: Vec<Row> = sql(
        "SELECT m.user_id, m.muted_until FROM unnest($1) AS w(user_id) CROSS JOIN LATERAL (
             SELECT * FROM mutes WHERE conversation_id = $2 AND user_id = w.user_id LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(users)
    .bind::<SqlUuid, _>(conversation)
    .load(conn)?;
    for row in &rows {
        sql("DELETE FROM mutes WHERE conversation_id = $1 AND user_id = $2")
            .bind::<SqlUuid, _>(conversation)
            .bind::<SqlUuid, _>(row.user_id)
            .execute(conn)?;
    }
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.muted_until))
        .collect())
}

/// Writes a change of a conversation's members, and stores it under its number, to which inbox entries refer.
pub fn change(
    conn: &mut PgConnection,
    conversation: ConversationId,
    number: ConvSeq,
    change: &MembersChanged,
    joining: Joining,
) -> StorageResult<()> {
    // One statement each: a change removes one or two members, and `= ANY` would read all (see `some`).
    for user in &change.removed {
        // A mute is kept when its member leaves, and the time: the inbox of a former member shows messages as of then.
        sql(
            "WITH gone AS (DELETE FROM members WHERE conversation_id = $1 AND user_id = $2 RETURNING *), former AS (
                 INSERT INTO former_members (conversation_id, user_id, joined_seq, cleared_seq, left_at)
                 SELECT conversation_id, user_id, joined_seq, cleared_seq, $3 FROM gone
                 ON CONFLICT (conversation_id, user_id, joined_seq) DO UPDATE
                 SET cleared_seq = excluded.cleared_seq, left_at = excluded.left_at
             )
             INSERT INTO mutes (conversation_id, user_id, muted_until)
             SELECT conversation_id, user_id, muted_until FROM gone WHERE muted_until > $4
             ON CONFLICT (conversation_id, user_id) DO UPDATE SET muted_until = excluded.muted_until",
        )
        .bind::<SqlUuid, _>(conversation)
        .bind::<SqlUuid, _>(user)
        .bind::<Timestamptz, _>(joining.at)
        .bind::<Timestamptz, _>(joining.at)
        .execute(conn)?;
    }
    if !change.added.is_empty() {
        let added: Vec<_> = change.added.iter().map(|u| (*u, Role::Member)).collect();
        insert(conn, conversation, &added, joining)?;
    }
    for one in &change.changed {
        sql("UPDATE members SET role = $1, muted_until = $2 WHERE conversation_id = $3 AND user_id = $4")
            .bind::<Text, _>(one.role.as_str())
            .bind::<Nullable<Timestamptz>, _>(one.muted_until)
            .bind::<SqlUuid, _>(conversation)
            .bind::<SqlUuid, _>(one.user_id)
            .execute(conn)?;
    }
    let changed = serde_json::to_string(&change.changed)
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    sql(
        "INSERT INTO member_changes (conversation_id, seq, actor_id, added, removed, changed)
         SELECT $1, $2, $3, $4, $5, $6::json",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<BigInt, _>(number)
    .bind::<SqlUuid, _>(change.actor_id)
    .bind::<Uuids, _>(&change.added)
    .bind::<Uuids, _>(&change.removed)
    .bind::<Text, _>(changed)
    .execute(conn)?;
    Ok(())
}

/// The changes with these keys.
pub fn changes(
    conn: &mut PgConnection,
    keys: &[(ConversationId, ConvSeq)],
) -> StorageResult<Vec<((ConversationId, ConvSeq), MembersChanged)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        conversation_id: ConversationId,
        #[diesel(sql_type = BigInt)]
        seq: ConvSeq,
        #[diesel(sql_type = SqlUuid)]
        actor_id: UserId,
        #[diesel(sql_type = Uuids)]
        added: Vec<UserId>,
        #[diesel(sql_type = Uuids)]
        removed: Vec<UserId>,
        #[diesel(sql_type = Text)]
        changed: String,
    }
    let (conversations, numbers): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let rows: Vec<Row> = sql(
        "SELECT m.conversation_id, m.seq, m.actor_id, m.added, m.removed, m.changed::text AS changed
         FROM unnest($1, $2) AS k(conversation_id, seq) CROSS JOIN LATERAL (
             SELECT * FROM member_changes WHERE conversation_id = k.conversation_id AND seq = k.seq LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<BigInts, _>(numbers)
    .load(conn)?;
    rows.into_iter()
        .map(|row| {
            let changed: Vec<MemberChange> = serde_json::from_str(&row.changed)
                .map_err(|error| StorageError::Bug(error.to_string()))?;
            let change = MembersChanged {
                actor_id: row.actor_id,
                added: row.added,
                removed: row.removed,
                changed,
            };
            Ok(((row.conversation_id, row.seq), change))
        })
        .collect()
}

/// A member with its user.
#[derive(QueryableByName)]
struct MemberRow {
    #[diesel(embed)]
    user: UserRow,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Timestamptz)]
    joined_at: Timestamp,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<Timestamp>,
}

impl MemberRow {
    fn build(self) -> StorageResult<Member> {
        Ok(Member {
            user: self.user.into(),
            role: parse_role(&self.role)?,
            joined_at: self.joined_at,
            muted_until: self.muted_until,
        })
    }
}

/// One member.
pub fn get(
    conn: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> StorageResult<Option<Member>> {
    let row: Option<MemberRow> = sql(
        "SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted,
             m.role, m.joined_at, m.muted_until
         FROM members m JOIN users_now u ON u.id = m.user_id WHERE m.conversation_id = $1 AND m.user_id = $2",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<SqlUuid, _>(user)
    .get_result(conn)
    .optional()?;
    row.map(MemberRow::build).transpose()
}

/// A page of members, by user id, after one of them.
pub fn page(
    conn: &mut PgConnection,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: PageSize,
) -> StorageResult<Vec<Member>> {
    let rows: Vec<MemberRow> = sql(
        "SELECT u.id, u.kind, u.username, u.display_name, u.avatar_url, u.status_emoji, u.status_text, u.status_until, u.rev, u.created_at, u.deleted,
             m.role, m.joined_at, m.muted_until
         FROM members m JOIN users_now u ON u.id = m.user_id
         WHERE m.conversation_id = $1 AND m.user_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
         ORDER BY m.user_id LIMIT $3",
    )
    .bind::<SqlUuid, _>(conversation)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .load(conn)?;
    rows.into_iter().map(MemberRow::build).collect()
}

/// What a user may see of a conversation that the user is in.
#[derive(Clone, Copy)]
pub struct Visible {
    /// The head when the user joined.
    pub joined_seq: ConvSeq,
    /// The greater of `joined_seq` and the seq up to which the user has cleared.
    pub after: ConvSeq,
}

/// What each of these users may see of a conversation, of those that the user is in.
pub fn visible(
    conn: &mut PgConnection,
    places: &[(UserId, ConversationId)],
) -> StorageResult<HashMap<(UserId, ConversationId), Visible>> {
    let (users, conversations): (Vec<_>, Vec<_>) = places.iter().copied().unzip();
    let rows: Vec<((UserId, ConversationId), ConvSeq, ConvSeq)> = sql(
        "SELECT m.user_id, m.conversation_id, m.joined_seq, GREATEST(m.joined_seq, m.cleared_seq)
         FROM unnest($1, $2) AS w(reader, id) CROSS JOIN LATERAL (
             SELECT user_id, conversation_id, joined_seq, cleared_seq FROM members
             WHERE conversation_id = w.id AND user_id = w.reader LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(users)
    .bind::<Uuids, _>(conversations)
    .columns::<((SqlUuid, SqlUuid), BigInt, BigInt)>()
    .load(conn)?;
    let build = |(place, joined_seq, after)| (place, Visible { joined_seq, after });
    Ok(rows.into_iter().map(build).collect())
}

/// The newest message that a user has sent in each of these conversations, of those that the user is in.
pub fn sent(
    conn: &mut PgConnection,
    user: UserId,
    conversations: &[ConversationId],
) -> StorageResult<HashMap<ConversationId, ConvSeq>> {
    let rows: Vec<(ConversationId, ConvSeq)> = sql(
        "SELECT m.conversation_id, m.sent_seq FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
             SELECT conversation_id, sent_seq FROM members WHERE conversation_id = w.id AND user_id = $2 LIMIT 1
         ) AS m",
    )
    .bind::<Uuids, _>(conversations)
    .bind::<SqlUuid, _>(user)
    .columns::<(SqlUuid, BigInt)>()
    .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// A page of the conversations that a user is in, by id, each with whether its members can leave it.
pub fn conversations(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<ConversationId>,
    limit: i64,
) -> StorageResult<Vec<(ConversationId, bool)>> {
    Ok(
        sql("SELECT m.conversation_id, c.can_leave FROM members m CROSS JOIN LATERAL (
             SELECT kind <> 'direct' AS can_leave FROM conversations WHERE id = m.conversation_id LIMIT 1
         ) AS c
         WHERE m.user_id = $1 AND m.conversation_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
         ORDER BY m.conversation_id LIMIT $3")
        .bind::<SqlUuid, _>(user)
        .bind::<Nullable<SqlUuid>, _>(after)
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, Bool)>()
        .load(conn)?,
    )
}

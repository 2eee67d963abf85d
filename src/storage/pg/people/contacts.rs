//! Contacts. The rows of a pair of people change under the lock of both users (`blocks::lock`).

use crate::model::ids::UserId;
use crate::model::page::PageSize;
use crate::model::people::contact::{ContactFilter, ContactNotes};
use crate::model::time::Timestamp;
use crate::model::wire::people::contact::{Contact, ContactState};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{Texts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

#[derive(QueryableByName)]
struct ContactRow {
    #[diesel(embed)]
    user: UserRow,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    alias: Option<String>,
    #[diesel(sql_type = Texts)]
    tags: Vec<String>,
    #[diesel(sql_type = Bool)]
    starred: bool,
    #[diesel(sql_type = Timestamptz)]
    added_at: Timestamp,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    friends_since: Option<Timestamp>,
}

impl ContactRow {
    fn build(self) -> StorageResult<Contact> {
        let known = [ContactState::Contact, ContactState::Friend].into_iter();
        let state = known.clone().find(|one| one.as_str() == self.state);
        let unknown = || StorageError::Bug(format!("unknown state of a contact {:?}", self.state));
        Ok(Contact {
            user: self.user.into(),
            state: state.ok_or_else(unknown)?,
            alias: self.alias,
            tags: self.tags,
            starred: self.starred,
            created_at: self.added_at,
            friends_since: self.friends_since,
        })
    }
}

/// Those of these people that are on the owner's list, by id.
pub fn among(
    conn: &mut PgConnection,
    owner: UserId,
    people: &[UserId],
) -> StorageResult<Vec<Contact>> {
    let rows: Vec<ContactRow> = sql(concat!(
        "WITH c AS MATERIALIZED (
             SELECT found.* FROM unnest($1) AS w(id) CROSS JOIN LATERAL (
                 SELECT * FROM contacts WHERE owner_id = $2 AND contact_id = w.id LIMIT 1
             ) AS found
         ) ",
        include_str!("contacts.sql")
    ))
    .bind::<Uuids, _>(people)
    .bind::<SqlUuid, _>(owner)
    .load(conn)?;
    rows.into_iter().map(ContactRow::build).collect()
}

/// One contact.
pub fn get(
    conn: &mut PgConnection,
    owner: UserId,
    person: UserId,
) -> StorageResult<Option<Contact>> {
    Ok(among(conn, owner, &[person])?.pop())
}

/// A page of contacts by id, after one of them.
pub fn page(
    conn: &mut PgConnection,
    owner: UserId,
    filter: &ContactFilter,
    after: Option<UserId>,
    limit: PageSize,
) -> StorageResult<Vec<Contact>> {
    let state = filter.state.map(ContactState::as_str);
    let tags: Vec<_> = filter.tag.iter().collect();
    let rows: Vec<ContactRow> = sql(concat!(
        "WITH c AS MATERIALIZED (
             SELECT * FROM contacts WHERE owner_id = $1
                 AND contact_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
                 AND state = COALESCE($3, state) AND tags @> $4
             ORDER BY contact_id LIMIT $5
         ) ",
        include_str!("contacts.sql")
    ))
    .bind::<SqlUuid, _>(owner)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<Nullable<Text>, _>(state)
    .bind::<Texts, _>(tags)
    .bind::<BigInt, _>(limit.get())
    .load(conn)?;
    rows.into_iter().map(ContactRow::build).collect()
}

/// How many contacts a user has.
pub fn count(conn: &mut PgConnection, owner: UserId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM contacts WHERE owner_id = $1")
            .bind::<SqlUuid, _>(owner)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// Adds a contact, or changes what its owner has noted.
pub fn put(
    conn: &mut PgConnection,
    owner: UserId,
    person: UserId,
    notes: &ContactNotes,
) -> StorageResult<()> {
    sql(
        "INSERT INTO contacts (owner_id, contact_id, state, alias, tags, starred, created_at)
         VALUES ($1, $2, 'contact', $3, $4, $5, clock_timestamp())
         ON CONFLICT (owner_id, contact_id) DO UPDATE SET alias = excluded.alias, tags = excluded.tags,
             starred = excluded.starred",
    )
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(person)
    .bind::<Nullable<Text>, _>(notes.alias.as_deref())
    .bind::<Texts, _>(&notes.tags)
    .bind::<Bool, _>(notes.starred)
    .execute(conn)?;
    Ok(())
}

/// Makes two people friends: each is on the list of the other.
pub fn befriend(conn: &mut PgConnection, one: UserId, other: UserId) -> StorageResult<()> {
    sql(
        "INSERT INTO contacts (owner_id, contact_id, state, created_at, friends_since)
         SELECT o, c, 'friend', clock_timestamp(), clock_timestamp() FROM unnest($1, $2) AS p(o, c)
         ON CONFLICT (owner_id, contact_id) DO UPDATE SET state = 'friend', friends_since = clock_timestamp()
         WHERE contacts.state <> 'friend'",
    )
    .bind::<Uuids, _>(vec![one, other])
    .bind::<Uuids, _>(vec![other, one])
    .execute(conn)?;
    Ok(())
}

/// Ends a friendship: each keeps the other as a contact. Returns whether they were friends.
pub fn unfriend(conn: &mut PgConnection, one: UserId, other: UserId) -> StorageResult<bool> {
    let mut ended = 0;
    for (owner, person) in [(one, other), (other, one)] {
        ended += sql("UPDATE contacts SET state = 'contact', friends_since = NULL
             WHERE owner_id = $1 AND contact_id = $2 AND state = 'friend'")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(person)
        .execute(conn)?;
    }
    Ok(ended > 0)
}

/// Removes a contact from a list. Returns whether it was there.
pub fn remove(conn: &mut PgConnection, owner: UserId, person: UserId) -> StorageResult<bool> {
    let removed = sql("DELETE FROM contacts WHERE owner_id = $1 AND contact_id = $2")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(person)
        .execute(conn)?;
    Ok(removed > 0)
}

/// How many friends two people have in common, up to `most`.
pub fn mutual_count(
    conn: &mut PgConnection,
    one: UserId,
    other: UserId,
    most: i32,
) -> StorageResult<i32> {
    Ok(sql(
        "SELECT count(*)::integer AS n FROM (
             SELECT FROM contacts a JOIN contacts b ON b.contact_id = a.contact_id
             WHERE a.owner_id = $1 AND a.state = 'friend' AND b.owner_id = $2 AND b.state = 'friend' LIMIT $3
         ) AS common",
    )
    .bind::<SqlUuid, _>(one)
    .bind::<SqlUuid, _>(other)
    .bind::<BigInt, _>(i64::from(most))
    .scalar::<Integer>()
    .get_result(conn)?)
}

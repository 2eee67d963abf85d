//! Profiles and the settings of accounts.

use crate::model::ids::{MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::people::profile::{Account, Profile};
use crate::model::wire::user::{Availability, Status, User};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

#[derive(QueryableByName)]
struct AccountRow {
    #[diesel(embed)]
    user: UserRow,
    #[diesel(sql_type = Text)]
    availability: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    status_until: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    bio: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    attributes: Option<String>,
    #[diesel(sql_type = Bool)]
    read_receipts: bool,
    #[diesel(sql_type = Bool)]
    forward_name: bool,
}

impl AccountRow {
    fn build(self) -> StorageResult<Account> {
        let attributes = self.attributes.as_deref().map(serde_json::from_str);
        let attributes = attributes.transpose();
        let attributes = attributes.map_err(|error| StorageError::Bug(error.to_string()))?;
        Ok(Account {
            profile: Profile {
                user: own_user(self.user.into(), &self.availability, self.status_until)?,
                bio: self.bio,
                attributes: attributes.unwrap_or_default(),
            },
            read_receipts: self.read_receipts,
            forward_name: self.forward_name,
        })
    }
}

/// The user as the user's own devices see it: the status has the availability.
fn own_user(mut user: User, availability: &str, until: Option<Timestamp>) -> StorageResult<User> {
    let known = Availability::ALL.into_iter();
    let found = known.clone().find(|one| one.as_str() == availability);
    let availability =
        found.ok_or_else(|| StorageError::Bug(format!("unknown availability {availability:?}")))?;
    if let Some(status) = &mut user.status {
        status.availability = Some(availability);
    } else if availability != Availability::Auto {
        user.status = Some(Status {
            availability: Some(availability),
            emoji: None,
            text: None,
            until,
        });
    }
    Ok(user)
}

/// The account of a user.
pub fn account(conn: &mut PgConnection, id: UserId) -> StorageResult<Option<Account>> {
    let row: Option<AccountRow> = sql(
        "SELECT n.id, n.kind, n.username, n.display_name, n.avatar_url, n.status_emoji, n.status_text, n.status_until, n.rev,
             n.created_at, n.deleted, n.availability, u.bio, u.attributes::text AS attributes, u.read_receipts, u.forward_name
         FROM users_now n JOIN users u ON u.id = n.id WHERE n.id = $1",
    )
    .bind::<SqlUuid, _>(id)
    .get_result(conn)
    .optional()?;
    row.map(AccountRow::build).transpose()
}

/// Locks an account. Returns the time of the change.
pub fn lock(conn: &mut PgConnection, id: UserId) -> StorageResult<Option<Timestamp>> {
    Ok(
        sql("SELECT clock_timestamp() AS at FROM users WHERE id = $1 FOR NO KEY UPDATE")
            .bind::<SqlUuid, _>(id)
            .scalar::<Timestamptz>()
            .get_result(conn)
            .optional()?,
    )
}

/// Writes the account. Under [`lock`].
pub fn write(conn: &mut PgConnection, account: &Account) -> StorageResult<()> {
    let profile = &account.profile;
    let (user, status) = (&profile.user, profile.user.status.as_ref());
    let attributes = serde_json::to_string(&profile.attributes)
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    let attributes = Some(attributes).filter(|_| !profile.attributes.is_empty());
    let availability = status.and_then(|status| status.availability);
    sql(
        "UPDATE users SET display_name = $1, avatar_url = $2, bio = $3, attributes = $4::json, rev = $5, availability = $6,
             status_emoji = $7, status_text = $8, status_until = $9, read_receipts = $10, forward_name = $11
         WHERE id = $12",
    )
    .bind::<Text, _>(&user.display_name)
    .bind::<Nullable<Text>, _>(user.avatar_url.as_deref())
    .bind::<Nullable<Text>, _>(profile.bio.as_deref())
    .bind::<Nullable<Text>, _>(attributes)
    .bind::<BigInt, _>(user.rev)
    .bind::<Text, _>(availability.unwrap_or_default().as_str())
    .bind::<Nullable<Text>, _>(status.and_then(|status| status.emoji.as_deref()))
    .bind::<Nullable<Text>, _>(status.and_then(|status| status.text.as_deref()))
    .bind::<Nullable<Timestamptz>, _>(status.and_then(|status| status.until))
    .bind::<Bool, _>(account.read_receipts)
    .bind::<Bool, _>(account.forward_name)
    .bind::<SqlUuid, _>(user.id)
    .execute(conn)?;
    Ok(())
}

/// Notes the uploaded picture of a user, and returns the one before. Under [`lock`].
pub fn set_avatar(
    conn: &mut PgConnection,
    user: UserId,
    media: Option<MediaId>,
) -> StorageResult<Option<MediaId>> {
    Ok(sql(
        "UPDATE users u SET avatar_media_id = $1 FROM (SELECT id, avatar_media_id FROM users WHERE id = $2) AS old
         WHERE u.id = old.id RETURNING old.avatar_media_id",
    )
    .bind::<Nullable<SqlUuid>, _>(media)
    .bind::<SqlUuid, _>(user)
    .scalar::<Nullable<SqlUuid>>()
    .get_result(conn)?)
}

/// The uploaded pictures of these users, as far as they have one.
pub fn avatars(conn: &mut PgConnection, users: &[UserId]) -> StorageResult<Vec<(UserId, MediaId)>> {
    Ok(sql(
        "SELECT id, avatar_media_id FROM users WHERE id = ANY($1) AND avatar_media_id IS NOT NULL",
    )
    .bind::<Uuids, _>(users)
    .columns::<(SqlUuid, SqlUuid)>()
    .load(conn)?)
}

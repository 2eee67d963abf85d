//! Rows of media.

use crate::model::ids::{ClientMediaId, MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::{Media, MediaState, MediaVariant};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The form of a picture that has its own pixels, and the only form of other media.
pub const ORIGINAL: &str = "original";

/// Media as they are stored.
#[derive(Clone, Debug)]
pub struct StoredMedia {
    /// What the owner sees.
    pub media: Media,
    /// The owner.
    pub owner: UserId,
    /// The request that created it; empty when it is deleted, or its owner erased.
    pub declared: String,
    /// The part of the keys of its objects that the last run of the processing has chosen.
    pub object: Option<Uuid>,
    /// How often a decoder has failed without a verdict.
    pub tries: i32,
    /// Its share of the owner's usage.
    pub reserved: i64,
    /// When it is deleted, unless a message refers to it.
    pub expires_at: Option<Timestamp>,
}

impl StoredMedia {
    /// The key of a form of it; none before the processing.
    pub fn key(&self, variant: &str) -> Option<String> {
        Some(object_key(self.media.id, self.object?, variant))
    }

    /// The keys of all its objects, those of a run that has not ended included.
    pub fn keys(&self) -> Vec<String> {
        let forms = [ORIGINAL, "small", "medium"].into_iter();
        forms.filter_map(|form| self.key(form)).collect()
    }
}

/// The key of an object. It has no name, no user and no digest of the content in it.
pub fn object_key(media: MediaId, object: Uuid, form: &str) -> String {
    let digest = Sha256::digest(media.0.as_bytes());
    let first = digest.first().copied().unwrap_or_default();
    format!("{first:02x}/{media}/{object}/{form}")
}

#[derive(QueryableByName)]
struct MediaRow {
    #[diesel(sql_type = SqlUuid)]
    owner_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    id: MediaId,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared: String,
    #[diesel(sql_type = Text)]
    mime: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Integer>)]
    width: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    height: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    duration_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    thumbhash: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    variants: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    object_id: Option<Uuid>,
    #[diesel(sql_type = Integer)]
    tries: i32,
    #[diesel(sql_type = BigInt)]
    reserved: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<Timestamp>,
}

impl MediaRow {
    fn build(self) -> StorageResult<StoredMedia> {
        let bug = |what: &str| StorageError::Bug(format!("unknown {what} of media {}", self.id));
        let mut states = MediaState::ALL.into_iter();
        let state = states.find(|state| state.as_str() == self.state);
        let base64 = |bytes: Vec<u8>| BASE64_STANDARD.encode(bytes);
        Ok(StoredMedia {
            media: Media {
                id: self.id,
                kind: MediaKind::parse(&self.kind).ok_or_else(|| bug("kind"))?,
                state: state.ok_or_else(|| bug("state"))?,
                variants: serde_json::from_str(&self.variants)
                    .map_err(|_not_variants| bug("variants"))?,
                name: self.name,
                mime: self.mime,
                size: self.size,
                reason: self.reason,
                width: self.width,
                height: self.height,
                duration_ms: self.duration_ms,
                thumbhash: self.thumbhash.map(base64),
                sha256: self.sha256.map(base64),
                created_at: self.created_at,
            },
            owner: self.owner_id,
            declared: self.declared,
            object: self.object_id,
            tries: self.tries,
            reserved: self.reserved,
            expires_at: self.expires_at,
        })
    }
}

fn build(rows: Vec<MediaRow>) -> StorageResult<Vec<StoredMedia>> {
    rows.into_iter().map(MediaRow::build).collect()
}

/// Media of an owner.
pub fn get(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
) -> StorageResult<Option<StoredMedia>> {
    let rows = sql("SELECT m.owner_id, m.id, m.kind, m.name, m.declared, m.mime, m.size, m.sha256, m.width, m.height, m.duration_ms, m.thumbhash,
             m.variants::text AS variants, m.state, m.reason, m.object_id, m.tries, m.reserved, m.created_at, m.expires_at
         FROM media m WHERE owner_id = $1 AND id = $2")
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .load(conn)?;
    Ok(build(rows)?.pop())
}

/// The same, locked for a change. Under the lock of the owner's usage.
pub fn lock(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
) -> StorageResult<Option<StoredMedia>> {
    sql("SELECT FROM media WHERE owner_id = $1 AND id = $2 FOR UPDATE")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    get(conn, owner, id)
}

/// Keeps media from being deleted until the transaction ends. Returns them as they are then.
pub fn hold(
    conn: &mut PgConnection,
    keys: &[(UserId, MediaId)],
) -> StorageResult<Vec<StoredMedia>> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    // A statement for each, in order: the planner does not promise one for rows that it locks.
    for (owner, id) in &keys {
        sql("SELECT FROM media WHERE owner_id = $1 AND id = $2 FOR SHARE")
            .bind::<SqlUuid, _>(*owner)
            .bind::<SqlUuid, _>(*id)
            .execute(conn)?;
    }
    some(conn, &keys)
}

/// Media with these keys.
pub fn some(
    conn: &mut PgConnection,
    keys: &[(UserId, MediaId)],
) -> StorageResult<Vec<StoredMedia>> {
    let (owners, ids): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    build(
        sql("SELECT m.owner_id, m.id, m.kind, m.name, m.declared, m.mime, m.size, m.sha256, m.width, m.height, m.duration_ms, m.thumbhash,
             m.variants::text AS variants, m.state, m.reason, m.object_id, m.tries, m.reserved, m.created_at, m.expires_at
         FROM unnest($1, $2) AS k(owner_id, id) CROSS JOIN LATERAL (
                 SELECT * FROM media WHERE owner_id = k.owner_id AND id = k.id LIMIT 1
             ) AS m")
        .bind::<Uuids, _>(owners)
        .bind::<Uuids, _>(ids)
        .load(conn)?,
    )
}

/// The media that an owner has created with this id.
pub fn of_client(
    conn: &mut PgConnection,
    owner: UserId,
    id: ClientMediaId,
) -> StorageResult<Option<StoredMedia>> {
    let rows = sql("SELECT m.owner_id, m.id, m.kind, m.name, m.declared, m.mime, m.size, m.sha256, m.width, m.height, m.duration_ms, m.thumbhash,
             m.variants::text AS variants, m.state, m.reason, m.object_id, m.tries, m.reserved, m.created_at, m.expires_at
         FROM media m WHERE owner_id = $1 AND client_media_id = $2")
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .load(conn)?;
    Ok(build(rows)?.pop())
}

/// A page of the media of an owner, newest first, without deleted ones.
pub fn page(
    conn: &mut PgConnection,
    owner: UserId,
    before: Option<MediaId>,
    limit: i64,
) -> StorageResult<Vec<StoredMedia>> {
    build(
        sql("SELECT m.owner_id, m.id, m.kind, m.name, m.declared, m.mime, m.size, m.sha256, m.width, m.height, m.duration_ms, m.thumbhash,
             m.variants::text AS variants, m.state, m.reason, m.object_id, m.tries, m.reserved, m.created_at, m.expires_at
         FROM media m WHERE owner_id = $1 AND id < COALESCE($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                 AND state <> 'deleted' ORDER BY id DESC LIMIT $3")
        .bind::<SqlUuid, _>(owner)
        .bind::<Nullable<SqlUuid>, _>(before)
        .bind::<BigInt, _>(limit)
        .load(conn)?,
    )
}

/// Writes what the processing has found: the state, and for `ready` everything else. Under [`lock`].
pub fn write(conn: &mut PgConnection, stored: &StoredMedia) -> StorageResult<()> {
    let media = &stored.media;
    let bytes = |text: &Option<String>| {
        let decoded = text.as_ref().map(|text| BASE64_STANDARD.decode(text));
        decoded
            .transpose()
            .map_err(|error| StorageError::Bug(error.to_string()))
    };
    let variants = variants_json(&media.variants)?;
    sql("UPDATE media SET mime = $1, size = $2, sha256 = $3, width = $4, height = $5, thumbhash = $6, variants = $7::json,
             state = $8, reason = $9, object_id = $10, reserved = $11, expires_at = $12, lease_until = NULL
         WHERE owner_id = $13 AND id = $14")
    .bind::<Text, _>(&media.mime)
    .bind::<BigInt, _>(media.size)
    .bind::<Nullable<Binary>, _>(bytes(&media.sha256)?)
    .bind::<Nullable<Integer>, _>(media.width)
    .bind::<Nullable<Integer>, _>(media.height)
    .bind::<Nullable<Binary>, _>(bytes(&media.thumbhash)?)
    .bind::<Text, _>(variants)
    .bind::<Text, _>(media.state.as_str())
    .bind::<Nullable<Text>, _>(media.reason.as_deref())
    .bind::<Nullable<SqlUuid>, _>(stored.object)
    .bind::<BigInt, _>(stored.reserved)
    .bind::<Nullable<Timestamptz>, _>(stored.expires_at)
    .bind::<SqlUuid, _>(stored.owner)
    .bind::<SqlUuid, _>(media.id)
    .execute(conn)?;
    Ok(())
}

/// Media of an owner whose request is not forgotten.
pub fn requested(
    conn: &mut PgConnection,
    owner: UserId,
    limit: i64,
) -> StorageResult<Vec<MediaId>> {
    Ok(
        sql("SELECT id FROM media WHERE owner_id = $1 AND declared <> '' ORDER BY id LIMIT $2")
            .bind::<SqlUuid, _>(owner)
            .bind::<BigInt, _>(limit)
            .scalar::<SqlUuid>()
            .load(conn)?,
    )
}

/// Forgets the request that created media, and leaves them this name. Under [`lock`].
pub fn forget_request(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
    name: &str,
) -> StorageResult<()> {
    sql("UPDATE media SET name = $1, declared = '' WHERE owner_id = $2 AND id = $3")
        .bind::<Text, _>(name)
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    Ok(())
}

fn variants_json(variants: &[MediaVariant]) -> StorageResult<String> {
    serde_json::to_string(variants).map_err(|error| StorageError::Bug(error.to_string()))
}

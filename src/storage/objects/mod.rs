//! The media store: the objects that hold the bytes of media, in a directory or in S3.
//!
//! An object has only a key and bytes. Everything else about it is in PostgreSQL. Nothing here lists objects.

pub mod error;
pub mod presigned;
mod staged;

use crate::config::media::MediaConfig;
use crate::storage::objects::error::{ObjectError, ObjectResult};
use crate::storage::objects::presigned::Presigner;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// How long an operation on one part of an object may take.
const DEADLINE: Duration = Duration::from_secs(4);

/// The media store.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    directory: Option<PathBuf>,
    /// A file that a directory has as long as it is the store, and not the place where it is mounted.
    marker: Option<PathBuf>,
    /// For requests that clients make to the store themselves.
    pub presigner: Option<Presigner>,
}

impl Objects {
    /// Opens the store of the settings. It need not answer.
    pub fn open(config: &MediaConfig) -> ObjectResult<Self> {
        if let Some(path) = config.url.strip_prefix("file://") {
            let failed = |error: std::io::Error| ObjectError::Unavailable(error.to_string());
            std::fs::create_dir_all(path).map_err(failed)?;
            let store = LocalFileSystem::new_with_prefix(path)?
                .with_fsync(true)
                .with_automatic_cleanup(true);
            return Ok(Self {
                store: Arc::new(store),
                directory: Some(path.into()),
                marker: None,
                presigner: None,
            });
        }
        let (store, prefix) = s3(config)?;
        let bucket = Arc::new(store);
        let store: Arc<dyn ObjectStore> = match prefix.is_empty() {
            true => Arc::clone(&bucket) as _,
            false => Arc::new(PrefixStore::new(Arc::clone(&bucket), prefix.clone())),
        };
        Ok(Self {
            store,
            directory: None,
            marker: None,
            presigner: Some(Presigner {
                store: bucket,
                prefix,
            }),
        })
    }

    /// Writes an object, or replaces it.
    pub async fn put(&self, key: &str, bytes: Vec<Bytes>) -> ObjectResult<()> {
        self.check().await?;
        let payload = PutPayload::from_iter(bytes);
        within(self.store.put(&Path::from(key), payload)).await?;
        Ok(())
    }

    /// Begins an object that is written part by part.
    pub async fn write(&self, key: &str) -> ObjectResult<ObjectWriter> {
        self.check().await?;
        let upload = within(self.store.put_multipart(&Path::from(key))).await?;
        Ok(ObjectWriter(upload))
    }

    /// The bytes of an object.
    pub async fn get(&self, key: &str) -> ObjectResult<Bytes> {
        within(async { self.store.get(&Path::from(key)).await?.bytes().await }).await
    }

    /// The length of an object; none if there is no such object.
    pub async fn length(&self, key: &str) -> ObjectResult<Option<u64>> {
        match within(self.store.head(&Path::from(key))).await {
            Ok(found) => Ok(Some(found.size)),
            Err(ObjectError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A range of the bytes of an object.
    pub async fn range(&self, key: &str, range: Range<u64>) -> ObjectResult<Bytes> {
        within(self.store.get_range(&Path::from(key), range)).await
    }

    /// Deletes objects, and what a process that was killed has left of them. Those that do not exist count as deleted. Returns those that
    /// could not be deleted.
    pub async fn delete(&self, keys: Vec<String>) -> Vec<String> {
        if self.check().await.is_err() {
            return keys;
        }
        if let Some(directory) = self.directory.clone() {
            let objects: Vec<_> = keys.iter().map(|key| directory.join(key)).collect();
            let remove = move || {
                objects
                    .iter()
                    .try_for_each(|one| staged::remove(&directory, one))
            };
            if !matches!(tokio::task::spawn_blocking(remove).await, Ok(Ok(()))) {
                return keys;
            }
        }
        let paths = keys.iter().map(|key| Ok(Path::from(key.as_str())));
        let paths: BoxStream<'static, _> =
            futures_util::stream::iter(paths.collect::<Vec<_>>()).boxed();
        let results: Vec<_> =
            match timeout(10 * DEADLINE, self.store.delete_stream(paths).collect()).await {
                Ok(results) => results,
                Err(_elapsed) => return keys,
            };
        // A directory names what it does not have by the whole path of the file.
        let is_gone = |result: Result<Path, object_store::Error>| match result {
            Ok(path) => Some(path.to_string()),
            Err(object_store::Error::NotFound { path, .. }) => Some(path),
            Err(_) => None,
        };
        let gone: Vec<_> = results.into_iter().filter_map(is_gone).collect();
        let is_left = |key: &String| !gone.iter().any(|path| path.ends_with(key.as_str()));
        keys.into_iter().filter(is_left).collect()
    }

    /// Whether this is the store that belongs to the database with this id. A new store gets the id.
    pub async fn is_of(&mut self, id: Uuid, is_new: bool) -> ObjectResult<bool> {
        let key = format!("store/{id}");
        if is_new {
            self.put(&key, vec![Bytes::from_static(b"tideline")])
                .await?;
        }
        self.marker = self.directory.as_ref().map(|root| root.join(&key));
        match self.get(&key).await {
            Ok(_) => Ok(true),
            Err(ObjectError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a directory is still the store: what is written while its file system is not mounted would be lost.
    pub async fn check(&self) -> ObjectResult<()> {
        let Some(marker) = &self.marker else {
            return Ok(());
        };
        let marker = marker.clone();
        let look = tokio::task::spawn_blocking(move || marker.try_exists());
        match timeout(DEADLINE, look).await {
            Ok(Ok(Ok(true))) => Ok(()),
            _ => Err(ObjectError::Unavailable(
                "the directory is not the store".to_owned(),
            )),
        }
    }

    /// Whether less than this share of the disk of a directory is free, in percent.
    pub fn has_less_than(&self, percent: u64) -> bool {
        let Some(directory) = &self.directory else {
            return false;
        };
        rustix::fs::statvfs(directory)
            .is_ok_and(|disk| disk.f_bavail < disk.f_blocks / 100 * percent)
    }
}

/// An object that is being written. It exists once it is complete.
pub struct ObjectWriter(Box<dyn MultipartUpload>);

impl ObjectWriter {
    /// Writes the next part. All but the last have the same size.
    pub async fn part(&mut self, bytes: Bytes) -> ObjectResult<()> {
        within(self.0.put_part(bytes.into())).await
    }

    /// Makes the object.
    pub async fn complete(mut self) -> ObjectResult<()> {
        within(self.0.complete()).await?;
        Ok(())
    }

    /// Gives it up.
    pub async fn abort(mut self) {
        // A failure leaves parts that the store's own rules remove.
        let _left = within(self.0.abort()).await;
    }
}

async fn within<T>(work: impl Future<Output = object_store::Result<T>>) -> ObjectResult<T> {
    match timeout(DEADLINE, work).await {
        Ok(result) => Ok(result?),
        Err(_elapsed) => Err(ObjectError::Unavailable("no answer in time".to_owned())),
    }
}

fn s3(config: &MediaConfig) -> ObjectResult<(AmazonS3, String)> {
    // For the whole process, unless it has one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let rest = config.url.strip_prefix("s3://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(ClientOptions::new().with_timeout(DEADLINE))
        .with_retry(RetryConfig {
            max_retries: 2,
            retry_timeout: DEADLINE,
            ..RetryConfig::default()
        });
    for (name, value) in &config.store_options {
        let key = name.parse().map_err(ObjectError::from)?;
        builder = builder.with_config(key, value);
    }
    Ok((builder.build()?, prefix.trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deletion_leaves_nothing_and_counts_what_is_not_there() {
        let name = format!("tideline-objects-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let objects = Objects::open(&MediaConfig {
            url: format!("file://{}", dir.display()),
            direct: false,
            redirect: false,
            bytes: 0,
            quota: 0,
            total: None,
            least_free: 0,
            scan: None,
            public_url: None,
            store_options: Vec::new(),
        })
        .unwrap();
        let keys = ["a/b/original", "a/b/small", "a/c/original"].map(str::to_owned);
        let [whole, missing, begun] = &keys;
        objects
            .put(whole, vec![Bytes::from_static(b"x")])
            .await
            .unwrap();
        // As a process leaves it that is killed while it writes.
        let mut writer = objects.write(begun).await.unwrap();
        writer.part(Bytes::from_static(b"x")).await.unwrap();
        std::mem::forget(writer);
        assert!(dir.join("a/c/original#1").exists());
        assert_eq!(objects.length(missing).await.unwrap(), None);
        assert_eq!(objects.delete(keys.to_vec()).await, [""; 0]);
        assert!(!dir.join("a").exists());
        std::fs::remove_dir(&dir).unwrap();
    }
}

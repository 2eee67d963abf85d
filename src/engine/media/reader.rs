//! Reads a complete upload once: its size, its digest, its type, a scan for malware. Writes the objects that are served.

use crate::engine::media::MediaService;
use crate::engine::media::decoder::{DecoderError, Inspection, Output};
use crate::engine::media::protocol::{HEAD_BYTES, OutputName};
use crate::engine::media::scan::Scan;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::MediaVariant;
use crate::storage::error::StorageError;
use crate::storage::objects::ObjectWriter;
use crate::storage::objects::error::ObjectError;
use crate::storage::pg::media::rows::{ORIGINAL, StoredMedia};
use crate::storage::pg::media::uploads::StoredPart;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};

/// Why an upload is refused, as clients see it.
pub type RejectionReason = &'static str;

/// Why there is no verdict. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// PostgreSQL.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The scanner.
    #[error("the scanner failed: {0}")]
    Scanner(#[from] std::io::Error),
    /// The decoder.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
}

/// What was found.
pub struct FoundMedia {
    /// Media type.
    pub mime: String,
    /// Bytes of the original, as it is served.
    pub size: i64,
    /// Their digest, in base64.
    pub sha256: String,
    /// Width in pixels, of a picture.
    pub width: Option<i32>,
    /// Height in pixels, of a picture.
    pub height: Option<i32>,
    /// The placeholder, in base64.
    pub thumbhash: Option<String>,
    /// The smaller forms.
    pub variants: Vec<MediaVariant>,
}

/// Reads an upload and writes its objects.
pub async fn read(
    service: &MediaService,
    upload: &StoredMedia,
    received: &[StoredPart],
) -> Result<Result<FoundMedia, RejectionReason>, ReadError> {
    match upload.media.kind {
        MediaKind::Image => picture(service, upload, received).await,
        MediaKind::Video | MediaKind::File => copy(service, upload, received).await,
    }
}

/// A picture: read whole, stripped and made smaller by the decoder.
async fn picture(
    service: &MediaService,
    upload: &StoredMedia,
    received: &[StoredPart],
) -> Result<Result<FoundMedia, RejectionReason>, ReadError> {
    let mut bytes = BytesMut::new();
    for part in received {
        bytes.extend_from_slice(&service.objects.get(&part.key).await?);
    }
    let (bytes, media) = (bytes.freeze(), &upload.media);
    if length(&bytes) != media.size {
        return Ok(Err("size"));
    }
    if media.sha256.is_some() && media.sha256 != Some(digest(bytes.clone()).await) {
        return Ok(Err("digest"));
    }
    let inspection = service.decoder.inspect(media.kind, &media.mime, bytes);
    let (mime, size, thumbhash, outputs) = match inspection.await? {
        Inspection::Rejected(reason) => return Ok(Err(reason.as_str())),
        Inspection::Accepted {
            mime,
            width,
            height,
            thumbhash,
            outputs,
        } => (mime, [width, height], thumbhash, outputs),
    };
    let original = outputs.iter().find(|one| one.name == OutputName::Original);
    let original = original.map(|one| one.bytes.clone());
    let original = original.ok_or_else(|| DecoderError::Failed("no original".to_owned()))?;
    if let Some(address) = &service.config.scan {
        let mut scan = Scan::begin(address).await?;
        scan.send(&original).await;
        if !scan.is_clean().await? {
            return Ok(Err("scan"));
        }
    }
    let puts = outputs.iter().map(|output| async {
        let key = upload.key(output.name.as_str());
        let key = key.ok_or(ObjectError::Missing)?;
        let bytes = vec![output.bytes.clone()];
        service.objects.put(&key, bytes).await
    });
    try_join_all(puts).await?;
    let [width, height] = size.map(|side| side.map(pixels));
    Ok(Ok(FoundMedia {
        mime,
        size: length(&original),
        sha256: digest(original).await,
        width,
        height,
        thumbhash: thumbhash.map(|bytes| BASE64_STANDARD.encode(bytes)),
        variants: outputs.iter().filter_map(variant).collect(),
    }))
}

fn length(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

fn pixels(side: u32) -> i32 {
    i32::try_from(side).unwrap_or(i32::MAX)
}

fn variant(output: &Output) -> Option<MediaVariant> {
    (output.name != OutputName::Original).then(|| MediaVariant {
        name: output.name.as_str().to_owned(),
        mime: output.mime.clone(),
        size: length(&output.bytes),
        width: pixels(output.width),
        height: pixels(output.height),
    })
}

/// A video or a file: copied part by part, as it is.
async fn copy(
    service: &MediaService,
    upload: &StoredMedia,
    received: &[StoredPart],
) -> Result<Result<FoundMedia, RejectionReason>, ReadError> {
    let key = upload.key(ORIGINAL).ok_or(ObjectError::Missing)?;
    let mut writer = service.objects.write(&key).await?;
    match copied(service, upload, received, &mut writer).await {
        Ok(Ok(found)) => {
            writer.complete().await?;
            Ok(Ok(found))
        }
        refused => {
            writer.abort().await;
            refused
        }
    }
}

async fn copied(
    service: &MediaService,
    upload: &StoredMedia,
    received: &[StoredPart],
    writer: &mut ObjectWriter,
) -> Result<Result<FoundMedia, RejectionReason>, ReadError> {
    let mut scan = match &service.config.scan {
        Some(address) => Some(Scan::begin(address).await?),
        None => None,
    };
    let (mut hasher, mut size, mut head) = (Sha256::new(), 0, Bytes::new());
    for part in received {
        let bytes = service.objects.get(&part.key).await?;
        if size == 0 {
            head = bytes.slice(..bytes.len().min(HEAD_BYTES));
        }
        size += length(&bytes);
        if let Some(scan) = &mut scan {
            scan.send(&bytes).await;
        }
        hasher = hash(hasher, bytes.clone()).await;
        writer.part(bytes).await?;
    }
    let media = &upload.media;
    if size != media.size {
        return Ok(Err("size"));
    }
    let sha256 = BASE64_STANDARD.encode(hasher.finalize());
    if media
        .sha256
        .as_ref()
        .is_some_and(|declared| *declared != sha256)
    {
        return Ok(Err("digest"));
    }
    if let Some(scan) = scan
        && !scan.is_clean().await?
    {
        return Ok(Err("scan"));
    }
    let inspection = service.decoder.inspect(media.kind, &media.mime, head);
    Ok(match inspection.await? {
        Inspection::Rejected(reason) => Err(reason.as_str()),
        Inspection::Accepted { mime, .. } => Ok(FoundMedia {
            mime,
            size,
            sha256,
            width: None,
            height: None,
            thumbhash: None,
            variants: Vec::new(),
        }),
    })
}

/// The SHA-256 digest in base64.
async fn digest(bytes: Bytes) -> String {
    BASE64_STANDARD.encode(hash(Sha256::new(), bytes).await.finalize())
}

/// Hashes bytes on a thread for blocking work: a megabyte takes a millisecond.
async fn hash(mut hasher: Sha256, bytes: Bytes) -> Sha256 {
    let hashed = tokio::task::spawn_blocking(move || {
        hasher.update(&bytes);
        hasher
    });
    // The closure cannot fail, and a runtime that stops ends this task too.
    hashed.await.unwrap_or_default()
}

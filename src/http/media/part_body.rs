//! The body of a part of an upload: raw bytes of a known length, hashed as they come.

use crate::engine::media::part_budget::PartMemory;
use crate::http::kit::problem::{Code, Problem};
use crate::model::wire::violation::Violation;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::future::{Ready, ready};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a client may send nothing, and after which the rate is looked at.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lowest rate, in bytes a second.
const LOWEST_RATE: u64 = 64 * 1024;

/// The least bytes of a block in memory, but for the last.
const BLOCK_BYTES: usize = 64 * 1024;

/// What has come, in blocks: a client decides how small the pieces are, and each would cost more than its bytes.
#[derive(Default)]
struct Blocks {
    whole: Vec<Bytes>,
    last: BytesMut,
}

impl Blocks {
    fn add(&mut self, piece: &[u8]) {
        self.last.extend_from_slice(piece);
        if self.last.len() >= BLOCK_BYTES {
            self.whole.push(self.last.split().freeze());
        }
    }

    fn end(mut self) -> Vec<Bytes> {
        self.whole.push(self.last.freeze());
        self.whole
    }
}

/// A body that is not read yet.
pub struct PartBody {
    payload: Payload,
    head: Result<PartHead, Problem>,
}

/// What the headers say of it.
struct PartHead {
    declared: Option<u64>,
    digest: Option<Vec<u8>>,
}

impl FromRequest for PartBody {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // A faulty head is answered when the path has been looked at.
        ready(Ok(Self {
            head: PartHead::of(request),
            payload: payload.take(),
        }))
    }
}

impl PartHead {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let headers = request.headers();
        let mut encodings = headers.get_all(header::CONTENT_ENCODING);
        if !encodings.all(|one| one.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::compressed_body());
        }
        let content_type = request.content_type();
        if !content_type.eq_ignore_ascii_case("application/octet-stream") {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        let declared = headers.get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        let digest = match headers.get("content-digest") {
            None => None,
            Some(value) => {
                let parsed = value.to_str().ok().and_then(parse_digest);
                let detail = "must have a digest sha-256=:…: of 32 bytes in base64";
                let wrong = || Violation::new("Content-Digest", detail);
                Some(parsed.ok_or_else(wrong)?)
            }
        };
        Ok(Self { declared, digest })
    }
}

impl PartBody {
    /// Whether the headers allow it.
    pub fn check(&self) -> Result<(), Problem> {
        self.head.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Reads it. Other than this number of bytes, or than the digest says, is an error.
    pub async fn read(
        mut self,
        size: i64,
        mut memory: PartMemory,
    ) -> Result<(Vec<Bytes>, PartMemory), Problem> {
        let wrong_length = || {
            let detail = format!("must be {size} bytes long");
            Problem::from(Violation::new("", detail))
        };
        let PartHead { declared, digest } = self.head?;
        let size_u64 = u64::try_from(size).unwrap_or_default();
        if declared.is_some_and(|declared| declared != size_u64) {
            return Err(wrong_length());
        }
        let (mut blocks, mut received) = (Blocks::default(), 0_u64);
        let mut hasher = digest.is_some().then(Sha256::new);
        let begun = Instant::now();
        loop {
            let next = timeout(PATIENCE, self.payload.next()).await;
            let Some(chunk) = next.map_err(|_elapsed| Problem::new(Code::RequestTimeout))? else {
                break;
            };
            let chunk = chunk.map_err(|_broken| Violation::new("", "does not come to its end"))?;
            received += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if received > size_u64 {
                return Err(wrong_length());
            }
            let time = begun.elapsed();
            if time > PATIENCE && received < time.as_secs() * LOWEST_RATE {
                return Err(Problem::new(Code::RequestTimeout));
            }
            memory.grow(chunk.len())?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&chunk);
            }
            blocks.add(&chunk);
        }
        if received != size_u64 {
            return Err(wrong_length());
        }
        let found = hasher.map(|hasher| hasher.finalize().to_vec());
        if digest != found {
            let detail = "must be the digest of the bytes";
            return Err(Violation::new("Content-Digest", detail).into());
        }
        Ok((blocks.end(), memory))
    }
}

/// The SHA-256 digest of a `Content-Digest` (RFC 9530), which may have others too.
fn parse_digest(value: &str) -> Option<Vec<u8>> {
    let members = value.split(',').map(str::trim);
    let base64 = members
        .filter_map(|member| member.strip_prefix("sha-256=:"))
        .find_map(|rest| rest.strip_suffix(':'))?;
    let digest = BASE64_STANDARD.decode(base64).ok()?;
    (digest.len() == 32).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, Blocks, parse_digest};

    #[test]
    fn small_pieces_are_joined() {
        let mut blocks = Blocks::default();
        for n in 0..3 * BLOCK_BYTES + 1 {
            blocks.add(&[(n % 251) as u8]);
        }
        let blocks = blocks.end();
        assert_eq!(blocks.len(), 4);
        let bytes = blocks.concat();
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(n, byte)| *byte == (n % 251) as u8)
        );
        assert_eq!(bytes.len(), 3 * BLOCK_BYTES + 1);
    }

    #[test]
    fn digest_is_read_among_others() {
        let digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!(parse_digest(digest).unwrap().len(), 32);
        assert!(parse_digest(&format!("sha-512=:AA==:, {digest}")).is_some());
        for wrong in ["", "sha-256=AA==", "sha-256=:AA==:", "md5=:AA==:"] {
            assert_eq!(parse_digest(wrong), None, "{wrong}");
        }
    }
}

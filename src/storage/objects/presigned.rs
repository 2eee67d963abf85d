//! Requests that clients make to S3 themselves, signed by this server.

use crate::storage::objects::error::{ObjectError, ObjectResult};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Signs requests to a bucket.
#[derive(Clone)]
pub struct Presigner {
    pub(super) store: Arc<AmazonS3>,
    pub(super) prefix: String,
}

/// A request for a client.
pub struct PresignedRequest {
    /// Its URL.
    pub url: String,
    /// The headers that it must have.
    pub headers: BTreeMap<String, String>,
}

/// The digest that the store compares with the bytes.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

impl Presigner {
    /// A `PUT` of an object whose bytes have this SHA-256 digest, in base64. The length cannot be signed.
    pub async fn put(
        &self,
        key: &str,
        digest: &str,
        life: Duration,
    ) -> ObjectResult<PresignedRequest> {
        let value = HeaderValue::from_str(digest)
            .map_err(|error| ObjectError::Unavailable(error.to_string()))?;
        let options = SignedUrlOptions::new().with_signed_header(CHECKSUM, value);
        let headers = BTreeMap::from([(CHECKSUM.to_string(), digest.to_owned())]);
        Ok(PresignedRequest {
            url: self.sign(Method::PUT, key, life, &options).await?,
            headers,
        })
    }

    /// A `GET` of an object, whose response has this type and disposition.
    pub async fn get(
        &self,
        key: &str,
        content_type: &str,
        disposition: &str,
        life: Duration,
    ) -> ObjectResult<String> {
        let options = SignedUrlOptions::new().with_query([
            ("response-content-type", content_type),
            ("response-content-disposition", disposition),
            ("response-cache-control", "private, no-cache"),
        ]);
        self.sign(Method::GET, key, life, &options).await
    }

    async fn sign(
        &self,
        method: Method,
        key: &str,
        life: Duration,
        options: &SignedUrlOptions,
    ) -> ObjectResult<String> {
        let path = match self.prefix.is_empty() {
            true => Path::from(key),
            false => Path::from(format!("{}/{key}", self.prefix)),
        };
        let url = self.store.signed_url_opts(method, &path, life, options);
        Ok(url.await?.to_string())
    }
}

//! The settings of the media store.

use std::fmt;

/// The settings of the media store.
#[derive(Clone)]
pub struct MediaConfig {
    /// `TIDELINE_MEDIA_URL`: `file:///…` or `s3://bucket/prefix`.
    pub url: String,
    /// `TIDELINE_MEDIA_DIRECT`: clients may upload parts to the store itself.
    pub direct: bool,
    /// `TIDELINE_MEDIA_REDIRECT`: clients are redirected to the store to download.
    pub redirect: bool,
    /// `TIDELINE_MEDIA_BYTES`: the largest upload.
    pub bytes: i64,
    /// `TIDELINE_MEDIA_QUOTA`: the most bytes of a user.
    pub quota: i64,
    /// `TIDELINE_MEDIA_TOTAL`: the most bytes of all users.
    pub total: Option<i64>,
    /// A directory refuses uploads when less than this share of its disk is free, in percent.
    pub least_free: u64,
    /// `TIDELINE_MEDIA_SCAN`: host and port of clamd.
    pub scan: Option<String>,
    /// `TIDELINE_MEDIA_PUBLIC_URL`: what the paths of links follow.
    pub public_url: Option<String>,
    /// The variables of S3, which have the names of its tools.
    pub store_options: Vec<(String, String)>,
}

impl fmt::Debug for MediaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaConfig").finish_non_exhaustive()
    }
}
